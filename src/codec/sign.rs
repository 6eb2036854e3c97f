//! Digests, message authentication and RSA over bytes, with keys that the caller hands in.
//!
//! Reads no key file and knows no message format. A key is parsed once into a type that signs,
//! verifies, encrypts or decrypts many times, can be shared between threads, and whose `Debug`
//! shows no key (I-11). Everything is deterministic except RSA encryption, whose padding (RFC 8017
//! §7.2) is random by definition: the library draws it.

use std::fmt;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rsa::{
    KeyPair as RsaKeyPair, Pkcs1PrivateDecryptingKey, Pkcs1PublicEncryptingKey,
    PrivateDecryptingKey, PublicEncryptingKey,
};
use aws_lc_rs::signature::{
    KeyPair, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA512,
    RSA_PKCS1_SHA256, RSA_PKCS1_SHA512, RSA_PSS_2048_8192_SHA256, RSA_PSS_SHA256, RsaEncoding,
    RsaParameters,
};
use aws_lc_rs::{constant_time, digest, hmac};
use zeroize::Zeroizing;

use super::pem::{PemError, parse_pem};

/// Bytes that PKCS#1 v1.5 padding takes at least (RFC 8017 §7.2.1).
const PKCS1_PADDING_BYTES: usize = 11;

/// Why a key cannot be used. Never quotes the key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    #[error(transparent)]
    Pem(#[from] PemError),
    #[error(
        "the PEM text holds no private key (PRIVATE KEY or RSA PRIVATE KEY); from a PKCS#12 file \
         it is taken with `openssl pkcs12 -in FILE -legacy -nodes -out FILE.pem`"
    )]
    NoPrivateKey,
    #[error("the private key is not an RSA key of 2048 to 8192 bits ({reason})")]
    PrivateKey { reason: String },
    #[error("the public key is not an RSA key of 2048 to 8192 bits")]
    PublicKey,
}

/// Why a signature or a message authentication code does not prove its message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    #[error("the message has no signature")]
    Missing,
    #[error("the signature is not base64")]
    NotBase64,
    #[error("the signature does not fit the message and the key")]
    Mismatch,
}

/// Why a text was not encrypted or decrypted. Says nothing of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CipherError {
    #[error("{length} bytes are too many to encrypt with this key; it takes {limit}")]
    TooLong { length: usize, limit: usize },
    #[error("the ciphertext was not made for this key")]
    NotForThisKey,
    #[error("the key refused to encrypt")]
    Refused,
    #[error("a key of {length} bytes is not one of this cipher")]
    KeyLength { length: usize },
}

/// SHA-256 (FIPS 180-4) of `data`.
pub fn sha256(data: &[u8]) -> [u8; 32] {
    Sha256::new().with(data).finish()
}

/// SHA-256 of `data` as 64 lower-case hexadecimal characters.
pub fn sha256_hex(data: &[u8]) -> String {
    hex_lower(&sha256(data))
}

/// `bytes` as lower-case hexadecimal characters, two for each byte.
pub fn hex_lower(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        for half in [byte >> 4, byte & 0x0f] {
            text.push(char::from_digit(u32::from(half), 16).expect("half a byte is below 16"));
        }
    }
    text
}

/// The bytes that hexadecimal digits of either case stand for; `None` if they are none.
pub fn read_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|half| u8::try_from(half).ok());
    let pairs = text.as_bytes().chunks(2);
    pairs.map(|pair| Some(digit(*pair.first()?)? << 4 | digit(*pair.get(1)?)?)).collect()
}

/// Whether two secrets are equal, in a time that tells nothing of where they differ.
pub fn equal_in_constant_time(left: &[u8], right: &[u8]) -> bool {
    constant_time::verify_slices_are_equal(left, right).is_ok()
}

/// SHA-256 of a text that comes in pieces, so that nobody must join them in memory first.
pub struct Sha256(digest::Context);

impl Sha256 {
    pub fn new() -> Self {
        Self(digest::Context::new(&digest::SHA256))
    }

    pub fn update(&mut self, piece: &[u8]) {
        self.0.update(piece);
    }

    pub fn finish(self) -> [u8; 32] {
        let mut out = [0; 32];
        out.copy_from_slice(self.0.finish().as_ref());
        out
    }

    fn with(mut self, piece: &[u8]) -> Self {
        self.update(piece);
        self
    }
}

impl Default for Sha256 {
    fn default() -> Self {
        Self::new()
    }
}

/// A key of HMAC-SHA256 (RFC 2104), of any length.
#[derive(Clone)]
pub struct HmacKey(hmac::Key);

impl HmacKey {
    pub fn new(key: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key))
    }

    /// The code of the pieces laid end to end. Whoever needs borders between them puts them in.
    pub fn tag(&self, pieces: &[&[u8]]) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.0);
        for piece in pieces {
            context.update(piece);
        }
        let mut out = [0; 32];
        out.copy_from_slice(context.sign().as_ref());
        out
    }

    /// Whether `tag` is the whole code of the pieces, compared in constant time.
    pub fn verify(&self, pieces: &[&[u8]], tag: &[u8]) -> Result<(), SignatureError> {
        let fits = equal_in_constant_time(&self.tag(pieces), tag);
        if fits { Ok(()) } else { Err(SignatureError::Mismatch) }
    }
}

impl fmt::Debug for HmacKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("HmacKey(***)")
    }
}

/// How an RSA signature pads the digest of its message, and which digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RsaScheme {
    /// RSASSA-PKCS1-v1_5 (RFC 8017 §8.2) over SHA-256, without randomness.
    Pkcs1,
    /// The same over SHA-512.
    Pkcs1Sha512,
    /// RSASSA-PSS (RFC 8017 §8.1) over SHA-256, with a random salt of 32 bytes and the same
    /// digest in its mask.
    Pss,
}

impl RsaScheme {
    fn encoding(self) -> &'static dyn RsaEncoding {
        match self {
            Self::Pkcs1 => &RSA_PKCS1_SHA256,
            Self::Pkcs1Sha512 => &RSA_PKCS1_SHA512,
            Self::Pss => &RSA_PSS_SHA256,
        }
    }

    fn digest(self, message: &[u8]) -> digest::Digest {
        match self {
            Self::Pkcs1 | Self::Pss => digest::digest(&digest::SHA256, message),
            Self::Pkcs1Sha512 => digest::digest(&digest::SHA512, message),
        }
    }

    const fn parameters(self) -> &'static RsaParameters {
        match self {
            Self::Pkcs1 => &RSA_PKCS1_2048_8192_SHA256,
            Self::Pkcs1Sha512 => &RSA_PKCS1_2048_8192_SHA512,
            Self::Pss => &RSA_PSS_2048_8192_SHA256,
        }
    }
}

/// A private RSA key that signs digests of SHA-2.
pub struct RsaSigner {
    key: RsaKeyPair,
}

impl RsaSigner {
    /// Takes the first private key of a PEM text, PKCS#8 or PKCS#1, of 2048 to 8192 bits.
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        Ok(Self { key: parse_private_key(text)? })
    }

    /// The PKCS#1 v1.5 signature of `message`, as long as the key's modulus. The same message gives
    /// the same bytes: this scheme has no randomness.
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.sign_as(RsaScheme::Pkcs1, message)
    }

    /// The signature of `message` in any scheme.
    pub fn sign_as(&self, scheme: RsaScheme, message: &[u8]) -> Vec<u8> {
        let digest = scheme.digest(message);
        let mut signature = vec![0; self.key.public_modulus_len()];
        self.key
            .sign_digest(scheme.encoding(), &digest, &mut signature)
            .expect("a key of 2048 bits or more has room for a padded digest");
        signature
    }

    /// The public key as DER SubjectPublicKeyInfo (RFC 5280), to compare with a certificate's.
    pub fn public_key_der(&self) -> Vec<u8> {
        let der: PublicKeyX509Der<'_> =
            self.key.public_key().as_der().expect("the public half of an accepted key encodes");
        der.as_ref().to_vec()
    }
}

impl fmt::Debug for RsaSigner {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "RsaSigner({} bits)", self.key.public_modulus_len() * 8)
    }
}

/// A public RSA key that verifies what [`RsaSigner`] signed.
pub struct RsaVerifier {
    key: ParsedPublicKey,
}

impl RsaVerifier {
    /// Takes DER SubjectPublicKeyInfo (as certificates have it) or RSAPublicKey (PKCS#1), for
    /// PKCS#1 v1.5 signatures.
    pub fn from_der(public_key: &[u8]) -> Result<Self, KeyError> {
        Self::from_der_for(RsaScheme::Pkcs1, public_key)
    }

    /// The same for any scheme; the other ones' signatures do not verify.
    pub fn from_der_for(scheme: RsaScheme, public_key: &[u8]) -> Result<Self, KeyError> {
        let key = ParsedPublicKey::new(scheme.parameters(), public_key)
            .map_err(|_| KeyError::PublicKey)?;
        Ok(Self { key })
    }

    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), SignatureError> {
        self.key.verify_sig(message, signature).map_err(|_| SignatureError::Mismatch)
    }
}

impl fmt::Debug for RsaVerifier {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("RsaVerifier(…)")
    }
}

/// A public RSA key that encrypts short texts: RSAES-PKCS1-v1_5 (RFC 8017 §7.2).
pub struct RsaEncryptor {
    key: Pkcs1PublicEncryptingKey,
}

impl RsaEncryptor {
    /// Takes DER SubjectPublicKeyInfo, as certificates have it.
    pub fn from_der(public_key: &[u8]) -> Result<Self, KeyError> {
        let key = PublicEncryptingKey::from_der(public_key).map_err(|_| KeyError::PublicKey)?;
        let key = Pkcs1PublicEncryptingKey::new(key).map_err(|_| KeyError::PublicKey)?;
        Ok(Self { key })
    }

    /// Encrypts at most `modulus − 11` bytes (245 for 2048 bits). Every call gives other bytes.
    pub fn encrypt(&self, plain: &[u8]) -> Result<Vec<u8>, CipherError> {
        let limit = self.key.key_size_bytes() - PKCS1_PADDING_BYTES;
        if plain.len() > limit {
            return Err(CipherError::TooLong { length: plain.len(), limit });
        }
        let mut out = vec![0; self.key.ciphertext_size()];
        let length = self.key.encrypt(plain, &mut out).map_err(|_| CipherError::Refused)?.len();
        out.truncate(length);
        Ok(out)
    }
}

impl fmt::Debug for RsaEncryptor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "RsaEncryptor({} bits)", self.key.key_size_bits())
    }
}

/// A private RSA key that decrypts what [`RsaEncryptor`] encrypted.
///
/// This padding must never be an oracle: whoever decrypts for a stranger must not let him see, by
/// answer or by timing, whether decryption failed or the plain text was merely wrong.
pub struct RsaDecryptor {
    key: Pkcs1PrivateDecryptingKey,
}

impl RsaDecryptor {
    /// Takes the first private key of a PEM text, PKCS#8 or PKCS#1, of 2048 to 8192 bits.
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        let pair = parse_private_key(text)?;
        let rejected = |reason: String| KeyError::PrivateKey { reason };
        let der: Pkcs8V1Der<'_> = pair.as_der().map_err(|error| rejected(error.to_string()))?;
        let key = PrivateDecryptingKey::from_pkcs8(der.as_ref())
            .map_err(|error| rejected(error.to_string()))?;
        let key =
            Pkcs1PrivateDecryptingKey::new(key).map_err(|error| rejected(error.to_string()))?;
        Ok(Self { key })
    }

    /// The plain text, wiped when dropped.
    pub fn decrypt(&self, cipher: &[u8]) -> Result<Zeroizing<Vec<u8>>, CipherError> {
        let mut plain = Zeroizing::new(vec![0; self.key.min_output_size()]);
        let length =
            self.key.decrypt(cipher, &mut plain).map_err(|_| CipherError::NotForThisKey)?.len();
        plain.truncate(length);
        Ok(plain)
    }
}

impl fmt::Debug for RsaDecryptor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "RsaDecryptor({} bits)", self.key.key_size_bits())
    }
}

/// The first private key of a PEM text. Certificates beside it are skipped.
fn parse_private_key(text: &str) -> Result<RsaKeyPair, KeyError> {
    for block in parse_pem(text)? {
        let parsed = match block.label() {
            "PRIVATE KEY" => RsaKeyPair::from_pkcs8(&block.contents),
            "RSA PRIVATE KEY" => RsaKeyPair::from_der(&block.contents),
            _ => continue,
        };
        return parsed.map_err(|error| KeyError::PrivateKey { reason: error.to_string() });
    }
    Err(KeyError::NoPrivateKey)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::sample_keys::{merchant_key, other_key};

    #[test]
    fn digests_match_published_vectors() {
        // FIPS 180-4 examples: "abc" and the empty text.
        assert_eq!(
            sha256_hex(b"abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!(
            sha256_hex(b""),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
        let mut pieces = Sha256::default();
        pieces.update(b"a");
        pieces.update(b"bc");
        assert_eq!(pieces.finish(), sha256(b"abc"));
    }

    #[test]
    fn hmac_matches_rfc_4231() {
        let key = HmacKey::new(b"Jefe");
        let tag = key.tag(&[b"what do ya want ", b"for nothing?"]);
        assert_eq!(
            hex_lower(&tag),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
        assert_eq!(key.verify(&[b"what do ya want for nothing?"], &tag), Ok(()));
        assert_eq!(key.verify(&[b"what"], &tag), Err(SignatureError::Mismatch));
        assert_eq!(
            key.verify(&[b"what do ya want for nothing?"], &tag[..16]),
            Err(SignatureError::Mismatch)
        );
    }

    #[test]
    fn equality_needs_every_byte() {
        assert!(equal_in_constant_time(b"same", b"same"));
        assert!(!equal_in_constant_time(b"same", b"some"));
        assert!(!equal_in_constant_time(b"same", b"same "));
    }

    #[test]
    fn a_signature_fits_its_message_and_key_only() {
        let signer = RsaSigner::from_pem(&merchant_key().serialize_pem()).expect("a key");
        let verifier = RsaVerifier::from_der(&signer.public_key_der()).expect("its public key");
        let signature = signer.sign(b"message");
        assert_eq!(signature.len(), 256);
        assert_eq!(signature, signer.sign(b"message"));
        assert_eq!(verifier.verify(b"message", &signature), Ok(()));
        assert_eq!(verifier.verify(b"massage", &signature), Err(SignatureError::Mismatch));
        assert_eq!(verifier.verify(b"message", &signature[1..]), Err(SignatureError::Mismatch));
        let stranger = RsaSigner::from_pem(&other_key().serialize_pem()).expect("a key");
        assert_eq!(
            verifier.verify(b"message", &stranger.sign(b"message")),
            Err(SignatureError::Mismatch)
        );
    }

    #[test]
    fn each_rsa_scheme_verifies_its_own_signatures() {
        let signer = RsaSigner::from_pem(&merchant_key().serialize_pem()).expect("a key");
        let der = signer.public_key_der();
        for (scheme, other) in [
            (RsaScheme::Pkcs1, RsaScheme::Pss),
            (RsaScheme::Pss, RsaScheme::Pkcs1),
            (RsaScheme::Pkcs1Sha512, RsaScheme::Pkcs1),
        ] {
            let signature = signer.sign_as(scheme, b"message");
            let verifier = RsaVerifier::from_der_for(scheme, &der).expect("a key");
            assert_eq!(verifier.verify(b"message", &signature), Ok(()));
            assert_eq!(verifier.verify(b"massage", &signature), Err(SignatureError::Mismatch));
            let wrong = RsaVerifier::from_der_for(other, &der).expect("a key");
            assert_eq!(wrong.verify(b"message", &signature), Err(SignatureError::Mismatch));
        }
    }

    #[test]
    fn hexadecimal_is_read_in_pairs() {
        assert_eq!(read_hex("00fFa1"), Some(vec![0, 255, 161]));
        assert_eq!(read_hex(""), Some(Vec::new()));
        for wrong in ["0", "0g", "+1", "é"] {
            assert_eq!(read_hex(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn pkcs1_pem_holds_the_same_key_as_pkcs8_pem() {
        use base64::Engine;
        let pkcs8 = merchant_key().serialized_der();
        // PrivateKeyInfo is version, algorithm and an octet string that is the PKCS#1 key: for RSA
        // of 2048 bits its header has 26 bytes.
        let pkcs1 = base64::engine::general_purpose::STANDARD.encode(&pkcs8[26..]);
        let pem =
            format!("-----BEGIN RSA PRIVATE KEY-----\n{pkcs1}\n-----END RSA PRIVATE KEY-----");
        let old = RsaSigner::from_pem(&pem).expect("a PKCS#1 key");
        let new = RsaSigner::from_pem(&merchant_key().serialize_pem()).expect("a PKCS#8 key");
        assert_eq!(old.sign(b"x"), new.sign(b"x"));
        assert!(RsaDecryptor::from_pem(&pem).is_ok());
    }

    #[test]
    fn encryption_is_undone_by_its_private_key_only() {
        let pem = merchant_key().serialize_pem();
        let signer = RsaSigner::from_pem(&pem).expect("a key");
        let encryptor = RsaEncryptor::from_der(&signer.public_key_der()).expect("a public key");
        let decryptor = RsaDecryptor::from_pem(&pem).expect("a key");
        let cipher = encryptor.encrypt(b"6216261000000000018").expect("short enough");
        assert_ne!(cipher, encryptor.encrypt(b"6216261000000000018").expect("short enough"));
        assert_eq!(&**decryptor.decrypt(&cipher).expect("ours"), b"6216261000000000018");
        assert_eq!(
            &**decryptor.decrypt(&encryptor.encrypt(b"").expect("empty")).expect("ours"),
            b""
        );
        assert_eq!(
            encryptor.encrypt(&[0; 246]),
            Err(CipherError::TooLong { length: 246, limit: 245 })
        );
        assert_eq!(decryptor.decrypt(&cipher[1..]).err(), Some(CipherError::NotForThisKey));
        assert_eq!(decryptor.decrypt(b"").err(), Some(CipherError::NotForThisKey));
    }

    #[test]
    fn a_bad_key_is_refused_with_advice() {
        let rows = [
            ("no key here", KeyError::Pem(PemError::NoBlock)),
            ("-----BEGIN CERTIFICATE-----AAEC-----END CERTIFICATE-----", KeyError::NoPrivateKey),
        ];
        for (text, expected) in rows {
            assert_eq!(RsaSigner::from_pem(text).err(), Some(expected), "{text}");
        }
        let elliptic = rcgen::KeyPair::generate().expect("a key").serialize_pem();
        assert!(matches!(RsaSigner::from_pem(&elliptic), Err(KeyError::PrivateKey { .. })));
        assert!(matches!(RsaVerifier::from_der(b"\x30\x00"), Err(KeyError::PublicKey)));
        assert!(matches!(RsaEncryptor::from_der(b"\x30\x00"), Err(KeyError::PublicKey)));
        assert!(KeyError::NoPrivateKey.to_string().contains("-legacy -nodes"));
    }

    #[test]
    fn i_11_debug_shows_no_key() {
        let pem = merchant_key().serialize_pem();
        let signer = RsaSigner::from_pem(&pem).expect("a key");
        let shown = [
            format!("{signer:?}"),
            format!("{:?}", RsaDecryptor::from_pem(&pem).expect("a key")),
            format!("{:?}", RsaEncryptor::from_der(&signer.public_key_der()).expect("a key")),
            format!("{:?}", HmacKey::new(b"secret")),
        ];
        assert_eq!(
            shown,
            [
                "RsaSigner(2048 bits)",
                "RsaDecryptor(2048 bits)",
                "RsaEncryptor(2048 bits)",
                "HmacKey(***)"
            ]
        );
    }
}
