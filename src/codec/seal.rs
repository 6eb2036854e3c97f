//! Seals a short secret for storage, and digests a text so that it can be compared but not read.
//!
//! This is how a card number may lie on disk while a reversal still needs it (I-11): AES-256-GCM
//! (NIST SP 800-38D) under a key that is named by an id, so that keys can change while old records
//! stay readable. The nonce is given by the caller: randomness is not made here.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use zeroize::Zeroizing;

use super::sign::HmacKey;
use crate::domain::card::SealedPan;

/// Bytes of a sealing key: AES-256.
pub const SEAL_KEY_BYTES: usize = 32;
/// Bytes of a nonce: 96 bits, the length that GCM is made for.
pub const NONCE_BYTES: usize = 12;
/// Bytes of the authentication tag at the end of sealed bytes.
pub const TAG_BYTES: usize = 16;
/// Bytes of a secret that can be sealed: a card number with its expiry is below 32.
pub const SECRET_BYTES_MAX: usize = 4 * 1024;
/// Bytes of a key id.
pub const KEY_ID_BYTES_MAX: usize = 32;
/// Bytes that a digesting key has at least.
pub const DIGEST_KEY_BYTES_MIN: usize = 16;
/// Bytes of a keyed digest: 128 bits, where two texts of one digest are not to be met.
pub const DIGEST_BYTES: usize = 16;

/// Why a secret was not sealed or opened. Says nothing of the secret or the key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    #[error("a sealing key has {SEAL_KEY_BYTES} bytes, not {length}")]
    KeyLength { length: usize },
    #[error("a digesting key has at least {DIGEST_KEY_BYTES_MIN} bytes, not {length}")]
    DigestKeyLength { length: usize },
    #[error("a key id has 1 to {KEY_ID_BYTES_MAX} letters, digits, dots, dashes or underscores")]
    KeyId,
    #[error("two sealing keys have the id {key_id}")]
    DuplicateKeyId { key_id: String },
    #[error("a secret of {length} bytes is longer than the {SECRET_BYTES_MAX} that are sealed")]
    SecretLength { length: usize },
    #[error("no sealing key has the id {key_id}: the key that sealed this record was taken away")]
    UnknownKey { key_id: String },
    #[error("the sealed bytes were changed, or belong to another record or key")]
    Changed,
}

/// A sealing key and the id that sealed records name it by.
pub struct SealKey {
    id: String,
    key: LessSafeKey,
}

impl SealKey {
    /// `id` has 1 to 32 of `A-Z a-z 0-9 . - _`; `key` has 32 random bytes.
    pub fn new(id: &str, key: &[u8]) -> Result<Self, SealError> {
        let of_id = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
        if id.is_empty() || id.len() > KEY_ID_BYTES_MAX || !id.bytes().all(of_id) {
            return Err(SealError::KeyId);
        }
        let unbound = UnboundKey::new(&AES_256_GCM, key)
            .map_err(|_| SealError::KeyLength { length: key.len() })?;
        Ok(Self { id: id.to_owned(), key: LessSafeKey::new(unbound) })
    }

    pub fn id(&self) -> &str {
        &self.id
    }

    /// Seals `secret` for the record that `context` names (an attempt's id, say): in any other
    /// record it does not open.
    ///
    /// `nonce` must be random and never used twice with one key: a repeated one gives both secrets
    /// away. Random nonces are good for 2³² records of one key (SP 800-38D §8.3).
    pub fn seal(
        &self,
        nonce: [u8; NONCE_BYTES],
        context: &[u8],
        secret: &[u8],
    ) -> Result<SealedPan, SealError> {
        if secret.len() > SECRET_BYTES_MAX {
            return Err(SealError::SecretLength { length: secret.len() });
        }
        // Room for the tag, so that the secret is encrypted where it lies and never moved.
        let mut bytes = Vec::with_capacity(secret.len() + TAG_BYTES);
        bytes.extend_from_slice(secret);
        self.key
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(context),
                &mut bytes,
            )
            .expect("AES-GCM takes any secret below 64 GiB");
        Ok(SealedPan { key_id: self.id.clone(), nonce, bytes })
    }

    /// The secret, wiped when dropped. The context is the one it was sealed with.
    pub fn open(
        &self,
        sealed: &SealedPan,
        context: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, SealError> {
        if sealed.key_id != self.id {
            return Err(SealError::UnknownKey { key_id: sealed.key_id.clone() });
        }
        let mut bytes = Zeroizing::new(sealed.bytes.clone());
        let length = self
            .key
            .open_in_place(
                Nonce::assume_unique_for_key(sealed.nonce),
                Aad::from(context),
                &mut bytes,
            )
            .map_err(|_| SealError::Changed)?
            .len();
        bytes.truncate(length);
        Ok(bytes)
    }
}

impl fmt::Debug for SealKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "SealKey({})", self.id)
    }
}

/// The key that seals now, and the older ones that still open what they sealed.
#[derive(Debug)]
pub struct SealKeys {
    current: SealKey,
    older: Vec<SealKey>,
}

impl SealKeys {
    /// Refuses two keys of one id.
    pub fn new(current: SealKey, older: Vec<SealKey>) -> Result<Self, SealError> {
        for (index, key) in older.iter().enumerate() {
            let taken = key.id == current.id || older[..index].iter().any(|one| one.id == key.id);
            if taken {
                return Err(SealError::DuplicateKeyId { key_id: key.id.clone() });
            }
        }
        Ok(Self { current, older })
    }

    /// Seals with the current key; see [`SealKey::seal`].
    pub fn seal(
        &self,
        nonce: [u8; NONCE_BYTES],
        context: &[u8],
        secret: &[u8],
    ) -> Result<SealedPan, SealError> {
        self.current.seal(nonce, context, secret)
    }

    /// Opens with the key that the sealed secret names; see [`SealKey::open`].
    pub fn open(
        &self,
        sealed: &SealedPan,
        context: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let mut keys = std::iter::once(&self.current).chain(&self.older);
        let key = keys.find(|key| key.id == sealed.key_id);
        let key = key.ok_or_else(|| SealError::UnknownKey { key_id: sealed.key_id.clone() })?;
        key.open(sealed, context)
    }
}

/// A key that turns a text into a digest by which it can be recognised, but not found by trial.
///
/// A plain hash of a card number is no secret: there are few enough numbers to try them all. With a
/// key that is not in the store, there is nothing to try against (PCI DSS 3.5.1.1).
#[derive(Clone)]
pub struct DigestKey(HmacKey);

impl DigestKey {
    /// `key` has at least 16 random bytes and is used for nothing else.
    pub fn new(key: &[u8]) -> Result<Self, SealError> {
        if key.len() < DIGEST_KEY_BYTES_MIN {
            return Err(SealError::DigestKeyLength { length: key.len() });
        }
        Ok(Self(HmacKey::new(key)))
    }

    /// The first 16 bytes of the text's HMAC-SHA256: equal for equal texts and only for them.
    pub fn digest(&self, text: &str) -> [u8; DIGEST_BYTES] {
        let whole = self.0.tag(&[text.as_bytes()]);
        let mut out = [0; DIGEST_BYTES];
        out.copy_from_slice(&whole[..DIGEST_BYTES]);
        out
    }
}

impl fmt::Debug for DigestKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("DigestKey(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::sign::hex_lower;

    const PAN: &[u8] = b"6216261000000000018";

    fn key(id: &str, byte: u8) -> SealKey {
        SealKey::new(id, &[byte; SEAL_KEY_BYTES]).expect("a key")
    }

    #[test]
    fn sealing_matches_the_published_vector() {
        // Test case 14 of the GCM specification (McGrew and Viega): all zeros, AES-256.
        let sealed = key("zero", 0).seal([0; NONCE_BYTES], b"", &[0; 16]).expect("sealed");
        assert_eq!(
            hex_lower(&sealed.bytes),
            "cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919"
        );
    }

    #[test]
    fn i_11_a_sealed_card_number_opens_for_its_record_only() {
        let keys = SealKeys::new(key("b", 2), vec![key("a", 1)]).expect("two keys");
        let sealed = keys.seal([7; NONCE_BYTES], b"attempt 1", PAN).expect("sealed");
        assert_eq!(sealed.key_id, "b");
        assert!(!sealed.bytes.windows(6).any(|window| window == &PAN[..6]));
        assert_eq!(&**keys.open(&sealed, b"attempt 1").expect("ours"), PAN);
        assert_eq!(keys.open(&sealed, b"attempt 2").err(), Some(SealError::Changed));
        for place in 0..sealed.bytes.len() {
            let mut changed = sealed.clone();
            changed.bytes[place] ^= 1;
            assert_eq!(keys.open(&changed, b"attempt 1").err(), Some(SealError::Changed));
        }
        for length in 0..sealed.bytes.len() {
            let cut = SealedPan { bytes: sealed.bytes[..length].to_vec(), ..sealed.clone() };
            assert_eq!(keys.open(&cut, b"attempt 1").err(), Some(SealError::Changed));
        }
    }

    #[test]
    fn an_older_key_still_opens_and_a_lost_one_is_named() {
        let sealed = key("a", 1).seal([7; NONCE_BYTES], b"", PAN).expect("sealed");
        let rotated = SealKeys::new(key("b", 2), vec![key("a", 1)]).expect("two keys");
        assert_eq!(&**rotated.open(&sealed, b"").expect("an older key"), PAN);
        let lost = SealKeys::new(key("b", 2), Vec::new()).expect("one key");
        let unknown = SealError::UnknownKey { key_id: "a".to_owned() };
        assert_eq!(lost.open(&sealed, b"").err(), Some(unknown));
        let renamed = SealKeys::new(key("a", 2), Vec::new()).expect("one key");
        assert_eq!(renamed.open(&sealed, b"").err(), Some(SealError::Changed));
    }

    #[test]
    fn bad_keys_and_secrets_are_refused() {
        let duplicate = SealError::DuplicateKeyId { key_id: "a".to_owned() };
        assert_eq!(SealKeys::new(key("a", 1), vec![key("a", 2)]).err(), Some(duplicate.clone()));
        let twice = vec![key("a", 1), key("a", 2)];
        assert_eq!(SealKeys::new(key("b", 1), twice).err(), Some(duplicate));
        assert_eq!(SealKey::new("a", &[0; 16]).err(), Some(SealError::KeyLength { length: 16 }));
        for id in ["", "a b", "密", &"a".repeat(33)] {
            assert_eq!(SealKey::new(id, &[0; 32]).err(), Some(SealError::KeyId), "{id}");
        }
        let long = vec![0; SECRET_BYTES_MAX + 1];
        assert_eq!(
            key("a", 1).seal([0; NONCE_BYTES], b"", &long).err(),
            Some(SealError::SecretLength { length: SECRET_BYTES_MAX + 1 })
        );
        assert_eq!(DigestKey::new(&[1; 15]).err(), Some(SealError::DigestKeyLength { length: 15 }));
    }

    #[test]
    fn a_digest_is_the_front_of_the_hmac() {
        // RFC 4231 test case 1.
        let digest = DigestKey::new(&[0x0b; 20]).expect("a key");
        assert_eq!(hex_lower(&digest.digest("Hi There")), "b0344c61d8db38535ca8afceaf0bf12b");
        assert_ne!(digest.digest("Hi there"), digest.digest("Hi There"));
    }

    #[test]
    fn i_11_debug_shows_no_key_and_no_secret() {
        let seal_key = key("a", 1);
        let sealed = seal_key.seal([7; NONCE_BYTES], b"", PAN).expect("sealed");
        let digest = DigestKey::new(&[1; 16]).expect("a key");
        assert_eq!(
            format!("{seal_key:?} {sealed:?} {digest:?}"),
            "SealKey(a) SealedPan(a, 35 bytes) DigestKey(***)"
        );
    }
}
