//! SM2 signatures with SM3 (GB/T 32918.2-2016): keys that sign and verify, with the signer's id.
//! SM2 encryption (GB/T 32918.4-2016) draws a random number for each text, as the library does.
//!
//! What is signed is not the text alone but `ZA` before it, a digest of the signer's id, the curve
//! and the public key (§5.5). Signing is deterministic (as RFC 6979 has it for ECDSA), so a wrong
//! random number can give no key away and the same text gives the same bytes.

use std::fmt;

use sm2::dsa::signature::{Signer, Verifier};
use sm2::dsa::{Signature, SigningKey, VerifyingKey};
use sm2::elliptic_curve::common::getrandom::SysRng;
use sm2::pkcs8::{DecodePrivateKey, DecodePublicKey};
use sm2::pke::EncryptingKey;
use sm2::{PublicKey, SecretKey};
use zeroize::Zeroizing;

use crate::codec::certificate::Certificate;
use crate::codec::pem::{PemError, parse_pem};
use crate::codec::sign::{CipherError, SignatureError, read_hex};

/// The id that is used where two parties have agreed on none (GM/T 0009-2012 §10).
pub const USUAL_USER_ID: &str = "1234567812345678";
/// Bytes of a user id; its length in bits must fit 16 bits (GB/T 32918.2 §5.5).
pub const USER_ID_BYTES_MAX: usize = 256;

const BEGIN: &str = "-----BEGIN ";

/// Why an SM2 key cannot be used. Never quotes the key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Sm2KeyError {
    #[error(transparent)]
    Pem(#[from] PemError),
    #[error(
        "there is no SM2 private key: neither PEM (PRIVATE KEY, EC PRIVATE KEY, SM2 PRIVATE KEY) \
         nor 64 hexadecimal digits"
    )]
    PrivateKey,
    #[error(
        "there is no SM2 public key: neither PEM (PUBLIC KEY, CERTIFICATE) nor 130 hexadecimal \
         digits that begin with 04"
    )]
    PublicKey,
    #[error("an SM2 user id has 1 to {USER_ID_BYTES_MAX} bytes")]
    UserId,
}

/// How the two numbers of a signature are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sm2Form {
    /// ASN.1 DER, a sequence of two integers (GM/T 0009-2012 §7.3): 70 to 72 bytes, seldom fewer.
    Der,
    /// `r` and `s` end to end, 32 bytes each.
    Raw,
}

/// A private SM2 key that signs in its user's name.
pub struct Sm2Signer(SigningKey);

impl Sm2Signer {
    /// Takes the first private key of a PEM text, PKCS#8 or SEC 1, or 64 hexadecimal digits.
    pub fn parse(text: &str, user_id: &str) -> Result<Self, Sm2KeyError> {
        check_user_id(user_id)?;
        let key = SigningKey::new(user_id, &parse_private(text)?);
        key.map(Self).map_err(|_| Sm2KeyError::PrivateKey)
    }

    pub fn sign(&self, message: &[u8], form: Sm2Form) -> Vec<u8> {
        let signature: Signature = self.0.sign(message);
        match form {
            Sm2Form::Der => signature.to_der().as_ref().to_vec(),
            Sm2Form::Raw => signature.to_bytes().to_vec(),
        }
    }

    /// The public key, uncompressed: `04`, x and y, 65 bytes.
    pub fn public_key(&self) -> Vec<u8> {
        self.0.verifying_key().to_sec1_bytes().to_vec()
    }
}

impl fmt::Debug for Sm2Signer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Sm2Signer(***)")
    }
}

/// A public SM2 key that verifies what its user signed.
pub struct Sm2Verifier(VerifyingKey);

impl Sm2Verifier {
    /// Takes a public key or a certificate as PEM, or 130 hexadecimal digits (`04`, x, y).
    ///
    /// A certificate is only the wrapper of its key: nothing else of it is looked at.
    pub fn parse(text: &str, user_id: &str) -> Result<Self, Sm2KeyError> {
        check_user_id(user_id)?;
        let key = VerifyingKey::new(user_id, parse_public(text)?);
        key.map(Self).map_err(|_| Sm2KeyError::PublicKey)
    }

    pub fn verify(
        &self,
        message: &[u8],
        signature: &[u8],
        form: Sm2Form,
    ) -> Result<(), SignatureError> {
        let parsed = match form {
            Sm2Form::Der => Signature::from_der(signature),
            Sm2Form::Raw => Signature::from_slice(signature),
        };
        let parsed = parsed.map_err(|_| SignatureError::Mismatch)?;
        self.0.verify(message, &parsed).map_err(|_| SignatureError::Mismatch)
    }
}

impl fmt::Debug for Sm2Verifier {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Sm2Verifier(…)")
    }
}

/// A public SM2 key that encrypts texts.
pub struct Sm2Encryptor(EncryptingKey);

impl Sm2Encryptor {
    /// Takes what [`Sm2Verifier::parse`] takes.
    pub fn parse(text: &str) -> Result<Self, Sm2KeyError> {
        Ok(Self(EncryptingKey::new(parse_public(text)?)))
    }

    /// The cipher text: ASN.1 DER (GM/T 0009-2012 §7.2), or `C1`, `C3` and `C2` end to end. Every
    /// call gives other bytes; an empty text has none.
    pub fn encrypt(&self, plain: &[u8], form: Sm2Form) -> Result<Vec<u8>, CipherError> {
        match form {
            Sm2Form::Der => self.0.encrypt_der(&mut SysRng, plain),
            Sm2Form::Raw => self.0.encrypt(&mut SysRng, plain),
        }
        .map_err(|_| CipherError::Refused)
    }
}

impl fmt::Debug for Sm2Encryptor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Sm2Encryptor(…)")
    }
}

fn check_user_id(user_id: &str) -> Result<(), Sm2KeyError> {
    let fits = (1..=USER_ID_BYTES_MAX).contains(&user_id.len());
    if fits { Ok(()) } else { Err(Sm2KeyError::UserId) }
}

fn parse_private(text: &str) -> Result<SecretKey, Sm2KeyError> {
    if !text.contains(BEGIN) {
        let bytes = Zeroizing::new(read_hex(text.trim()).ok_or(Sm2KeyError::PrivateKey)?);
        return SecretKey::from_slice(&bytes).map_err(|_| Sm2KeyError::PrivateKey);
    }
    for block in parse_pem(text)? {
        let parsed = match block.label() {
            "PRIVATE KEY" => SecretKey::from_pkcs8_der(&block.contents).ok(),
            "EC PRIVATE KEY" | "SM2 PRIVATE KEY" => SecretKey::from_sec1_der(&block.contents).ok(),
            _ => continue,
        };
        return parsed.ok_or(Sm2KeyError::PrivateKey);
    }
    Err(Sm2KeyError::PrivateKey)
}

fn parse_public(text: &str) -> Result<PublicKey, Sm2KeyError> {
    if !text.contains(BEGIN) {
        let bytes = read_hex(text.trim()).ok_or(Sm2KeyError::PublicKey)?;
        return PublicKey::from_sec1_bytes(&bytes).map_err(|_| Sm2KeyError::PublicKey);
    }
    let blocks = parse_pem(text)?;
    let key = blocks.iter().find(|block| block.label() == "PUBLIC KEY");
    let parsed = match key {
        Some(block) => PublicKey::from_public_key_der(&block.contents),
        None => {
            let whole = Certificate::from_pem(text).map_err(|_| Sm2KeyError::PublicKey)?;
            PublicKey::from_public_key_der(whole.public_key_der())
        }
    };
    parsed.map_err(|_| Sm2KeyError::PublicKey)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::sign::hex_lower;

    /// GB/T 32918.5-2017 A.2 (the recommended curve), also draft-shen-sm2-ecdsa.
    const PRIVATE: &str = "3945208f7b2144b13f36e38ac6d39f9588\
                           9393692860b51a42fb81ef4df7c5b8";
    const PUBLIC: &str = "0409f9df311e5421a150dd7d161e4bc5c672179fad1833fc076bb08ff356f35020\
                          ccea490ce26775a52dc6ea718cc1aa600aed05fbf35e084a6632f6072da9ad13";
    const SIGNATURE: &str = "f5a03b0648d2c4630eeac513e1bb81a15944da3827d5b74143ac7eaceee720b3\
                             b1b6aa29df212fd8763182bc0d421ca1bb9038fd1f7f42d4840b69c485bbc1aa";

    #[test]
    fn the_published_example_verifies() {
        let verifier = Sm2Verifier::parse(PUBLIC, USUAL_USER_ID).expect("the example's key");
        let signature = read_hex(SIGNATURE).expect("hexadecimal");
        assert_eq!(verifier.verify(b"message digest", &signature, Sm2Form::Raw), Ok(()));
        let wrong = Err(SignatureError::Mismatch);
        assert_eq!(verifier.verify(b"message digests", &signature, Sm2Form::Raw), wrong);
        assert_eq!(verifier.verify(b"message digest", &signature[1..], Sm2Form::Raw), wrong);
        assert_eq!(verifier.verify(b"message digest", &signature, Sm2Form::Der), wrong);
        let stranger = Sm2Verifier::parse(PUBLIC, "another").expect("the same key");
        assert_eq!(stranger.verify(b"message digest", &signature, Sm2Form::Raw), wrong);
    }

    #[test]
    fn a_signature_fits_its_key_text_and_form_only() {
        let signer = Sm2Signer::parse(PRIVATE, USUAL_USER_ID).expect("the example's key");
        assert_eq!(hex_lower(&signer.public_key()), PUBLIC);
        let verifier = Sm2Verifier::parse(PUBLIC, USUAL_USER_ID).expect("a key");
        for (form, other) in [(Sm2Form::Der, Sm2Form::Raw), (Sm2Form::Raw, Sm2Form::Der)] {
            let signature = signer.sign(b"text", form);
            assert_eq!(signature, signer.sign(b"text", form));
            assert_eq!(verifier.verify(b"text", &signature, form), Ok(()));
            assert!(verifier.verify(b"text", &signature, other).is_err());
            assert!(verifier.verify(b"test", &signature, form).is_err());
            for place in 0..signature.len() {
                let mut changed = signature.clone();
                changed[place] ^= 1;
                assert!(verifier.verify(b"text", &changed, form).is_err(), "{form:?} {place}");
            }
        }
        assert!(verifier.verify(b"text", &[0; 64], Sm2Form::Raw).is_err());
    }

    #[test]
    fn i_11_a_bad_key_is_refused_and_not_quoted() {
        let bad = ["", "zz", "00", "-----BEGIN X-----AAEC-----END X-----"];
        for text in bad {
            assert!(Sm2Signer::parse(text, USUAL_USER_ID).is_err(), "{text}");
            assert!(Sm2Verifier::parse(text, USUAL_USER_ID).is_err(), "{text}");
        }
        let zero = "0".repeat(64);
        assert_eq!(Sm2Signer::parse(&zero, USUAL_USER_ID).err(), Some(Sm2KeyError::PrivateKey));
        assert_eq!(Sm2Signer::parse(PRIVATE, "").err(), Some(Sm2KeyError::UserId));
        let signer = Sm2Signer::parse(PRIVATE, USUAL_USER_ID).expect("a key");
        assert!(!format!("{signer:?}").contains("3945"));
    }
}
