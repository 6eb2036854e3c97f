//! Signatures by key pairs that channels ask for beside RSA with SHA-2 (`codec::sign`): RSA (PKCS#1
//! v1.5) with SHA-1 and MD5, ECDSA on P-256, Ed25519.
//!
//! RSA with SHA-1 and MD5 is here because channels demand it; nothing of ours is built on it. ECDSA
//! draws a random number for each signature, as the library does; the others' bytes have no
//! randomness.

use std::fmt;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256_SHA256_FIXED,
    ECDSA_P256_SHA256_FIXED_SIGNING, ED25519, EcdsaKeyPair, Ed25519KeyPair, ParsedPublicKey,
};
use rsa::pkcs1::{DecodeRsaPrivateKey, DecodeRsaPublicKey};
use rsa::pkcs8::{DecodePrivateKey, DecodePublicKey};
use rsa::traits::PublicKeyParts;
use rsa::{Pkcs1v15Sign, PrivateKey, PublicKey};
use sm2::elliptic_curve::common::getrandom::SysRng;

use super::digest::Digest;
use crate::codec::pem::{PemError, parse_pem};
use crate::codec::sign::SignatureError;

/// Why a key pair's half cannot be used. Never quotes the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PairKeyError {
    #[error(transparent)]
    Pem(#[from] PemError),
    #[error("there is no PEM block with a private key of this algorithm")]
    PrivateKey,
    #[error("there is no public key of this algorithm")]
    PublicKey,
    #[error("an RSA key has 2048 to 4096 bits here")]
    Length,
}

/// The algorithm of a key pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PairAlgorithm {
    /// RSASSA-PKCS1-v1_5 (RFC 8017 §8.2) over MD5 or SHA-1; nothing signs with another digest.
    Rsa(Digest),
    /// ECDSA on P-256 with SHA-256 (FIPS 186-5): ASN.1 DER, or `r` and `s` end to end.
    EcdsaP256 { is_raw: bool },
    /// RFC 8032.
    Ed25519,
}

/// What stands before an RSA-signed digest and names it (RFC 8017 §9.2, note 1).
const fn digest_info(digest: Digest) -> Option<&'static [u8]> {
    match digest {
        Digest::Md5 => Some(&[
            0x30, 0x20, 0x30, 0x0c, 0x06, 0x08, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x02, 0x05,
            0x05, 0x00, 0x04, 0x10,
        ]),
        Digest::Sha1 => Some(&[
            0x30, 0x21, 0x30, 0x09, 0x06, 0x05, 0x2b, 0x0e, 0x03, 0x02, 0x1a, 0x05, 0x00, 0x04,
            0x14,
        ]),
        Digest::Sha256 | Digest::Sha512 | Digest::Sm3 => None,
    }
}

fn padding(digest: Digest) -> Option<Pkcs1v15Sign> {
    let prefix = digest_info(digest)?;
    let hash_len = usize::from(*prefix.last()?);
    Some(Pkcs1v15Sign { hash_len: Some(hash_len), prefix: prefix.into() })
}

/// A private key that signs.
pub struct PairSigner(SigningHalf);

enum SigningHalf {
    Rsa(Digest, Box<PrivateKey>),
    Ecdsa(Box<EcdsaKeyPair>),
    Ed25519(Box<Ed25519KeyPair>),
}

impl PairSigner {
    /// Takes the first private key of a PEM text: PKCS#8, PKCS#1 (RSA) or SEC 1 (ECDSA).
    pub fn from_pem(algorithm: PairAlgorithm, text: &str) -> Result<Self, PairKeyError> {
        let blocks = parse_pem(text)?;
        let block = blocks.iter().find(|block| block.label().ends_with("PRIVATE KEY"));
        let block = block.ok_or(PairKeyError::PrivateKey)?;
        let (label, der) = (block.label(), &block.contents[..]);
        let wrong = PairKeyError::PrivateKey;
        let half = match algorithm {
            PairAlgorithm::Rsa(digest) => {
                let key = match label {
                    "RSA PRIVATE KEY" => PrivateKey::from_pkcs1_der(der).map_err(|_| wrong)?,
                    _ => PrivateKey::from_pkcs8_der(der).map_err(|_| wrong)?,
                };
                check_length(key.size())?;
                padding(digest).ok_or(wrong)?;
                SigningHalf::Rsa(digest, Box::new(key))
            }
            PairAlgorithm::EcdsaP256 { is_raw } => {
                let scheme = if is_raw {
                    &ECDSA_P256_SHA256_FIXED_SIGNING
                } else {
                    &ECDSA_P256_SHA256_ASN1_SIGNING
                };
                let key = EcdsaKeyPair::from_private_key_der(scheme, der);
                SigningHalf::Ecdsa(Box::new(key.map_err(|_| wrong)?))
            }
            PairAlgorithm::Ed25519 => {
                let key = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der);
                SigningHalf::Ed25519(Box::new(key.map_err(|_| wrong)?))
            }
        };
        Ok(Self(half))
    }

    /// The signature; the error is a key that refuses.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignatureError> {
        let refused = SignatureError::Mismatch;
        match &self.0 {
            SigningHalf::Rsa(digest, key) => {
                let padding = padding(*digest).ok_or(refused)?;
                // Blinded by a random number, so that its time tells nothing of the key.
                let signature = key.sign_with_rng(&mut SysRng, padding, &digest.of(&[message]));
                signature.map_err(|_| refused)
            }
            SigningHalf::Ecdsa(key) => {
                let signature = key.sign(&SystemRandom::new(), message).map_err(|_| refused)?;
                Ok(signature.as_ref().to_vec())
            }
            SigningHalf::Ed25519(key) => Ok(key.sign(message).as_ref().to_vec()),
        }
    }
}

impl fmt::Debug for PairSigner {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("PairSigner(***)")
    }
}

/// A public key that verifies what its other half signed.
pub struct PairVerifier(VerifyingHalf);

enum VerifyingHalf {
    Rsa(Digest, Box<PublicKey>),
    Parsed(Box<ParsedPublicKey>),
}

impl PairVerifier {
    /// Takes DER: SubjectPublicKeyInfo, as certificates have it, or PKCS#1 (RSA).
    pub fn from_der(algorithm: PairAlgorithm, der: &[u8]) -> Result<Self, PairKeyError> {
        let wrong = PairKeyError::PublicKey;
        let parsed = |key: Result<ParsedPublicKey, _>| {
            key.map(|key| Self(VerifyingHalf::Parsed(Box::new(key)))).map_err(|_| wrong)
        };
        match algorithm {
            PairAlgorithm::Rsa(digest) => {
                let key = PublicKey::from_public_key_der(der).ok();
                let key = key.or_else(|| PublicKey::from_pkcs1_der(der).ok()).ok_or(wrong)?;
                check_length(key.size())?;
                padding(digest).ok_or(wrong)?;
                Ok(Self(VerifyingHalf::Rsa(digest, Box::new(key))))
            }
            PairAlgorithm::EcdsaP256 { is_raw: true } => {
                parsed(ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, der))
            }
            PairAlgorithm::EcdsaP256 { is_raw: false } => {
                parsed(ParsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, der))
            }
            PairAlgorithm::Ed25519 => parsed(ParsedPublicKey::new(&ED25519, der)),
        }
    }

    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), SignatureError> {
        let wrong = SignatureError::Mismatch;
        match &self.0 {
            VerifyingHalf::Rsa(digest, key) => {
                let padding = padding(*digest).ok_or(wrong)?;
                key.verify(padding, &digest.of(&[message]), signature).map_err(|_| wrong)
            }
            VerifyingHalf::Parsed(key) => key.verify_sig(message, signature).map_err(|_| wrong),
        }
    }
}

impl fmt::Debug for PairVerifier {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("PairVerifier(…)")
    }
}

/// What is shorter is broken; what is longer, the library does not take.
fn check_length(bytes: usize) -> Result<(), PairKeyError> {
    if (256..=512).contains(&bytes) { Ok(()) } else { Err(PairKeyError::Length) }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::KeyPair as _;
    use rsa::pkcs1::EncodeRsaPublicKey;

    use super::*;
    use crate::codec::sample_keys::merchant_key;

    /// RFC 8032 §7.1, test 2, as PKCS#8.
    const ED25519: &str = "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIEzNCJso/5banbbDRuwRTg9bijGfNaumJNqM9u1PuKb7
-----END PRIVATE KEY-----";
    /// Made by OpenSSL for this test.
    const P256: &str = "-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgwDye3ZtuyfEvDuid
RBYWPOp18ebKbPTsaO+M0+xioRShRANCAAQsA5xIGf4q9FtSoPAc8PjEMOpTfhjQ
X4ibTx6nUHsqvtrvGGKgEdFEM6WdNnyah0l4K6Uz2jE7k6V9lpPQfJZg
-----END PRIVATE KEY-----";

    /// The public half, each algorithm's plain form.
    fn public_bytes(signer: &PairSigner) -> Vec<u8> {
        match &signer.0 {
            SigningHalf::Rsa(_, key) => {
                let der = PublicKey::from(key.as_ref()).to_pkcs1_der().expect("it encodes");
                der.as_bytes().to_vec()
            }
            SigningHalf::Ecdsa(key) => key.public_key().as_ref().to_vec(),
            SigningHalf::Ed25519(key) => key.public_key().as_ref().to_vec(),
        }
    }

    #[test]
    fn a_signature_fits_its_message_key_and_algorithm_only() {
        let rsa = merchant_key().serialize_pem();
        let all = [
            (PairAlgorithm::Rsa(Digest::Md5), rsa.as_str()),
            (PairAlgorithm::Rsa(Digest::Sha1), &rsa),
            (PairAlgorithm::EcdsaP256 { is_raw: true }, P256),
            (PairAlgorithm::EcdsaP256 { is_raw: false }, P256),
            (PairAlgorithm::Ed25519, ED25519),
        ];
        for (algorithm, pem) in all {
            let signer = PairSigner::from_pem(algorithm, pem).expect("a key");
            let public = public_bytes(&signer);
            let verifier = PairVerifier::from_der(algorithm, &public).expect("its other half");
            let signature = signer.sign(b"message").expect("signed");
            assert_eq!(verifier.verify(b"message", &signature), Ok(()), "{algorithm:?}");
            assert!(verifier.verify(b"massage", &signature).is_err(), "{algorithm:?}");
            assert!(verifier.verify(b"message", &signature[1..]).is_err(), "{algorithm:?}");
            for (other, _) in all.iter().filter(|(other, _)| *other != algorithm) {
                let accepted = PairVerifier::from_der(*other, &public)
                    .is_ok_and(|other| other.verify(b"message", &signature).is_ok());
                assert!(!accepted, "{algorithm:?} by {other:?}");
            }
            assert!(!format!("{signer:?}{verifier:?}").contains("30"), "shows nothing");
        }
    }

    #[test]
    fn ed25519_is_that_of_rfc_8032() {
        let signer = PairSigner::from_pem(PairAlgorithm::Ed25519, ED25519).expect("a key");
        let signature = signer.sign(&[0x72]).expect("signed");
        assert_eq!(
            crate::codec::sign::hex_lower(&signature),
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da\
             085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
        );
    }

    #[test]
    fn i_11_a_key_of_another_kind_is_refused_and_not_quoted() {
        let wrong = [
            (PairAlgorithm::Rsa(Digest::Sha1), P256),
            (PairAlgorithm::Rsa(Digest::Sm3), "-----BEGIN X-----AAEC-----END X-----"),
            (PairAlgorithm::Ed25519, P256),
            (PairAlgorithm::EcdsaP256 { is_raw: false }, ED25519),
        ];
        for (algorithm, pem) in wrong {
            let refused = PairSigner::from_pem(algorithm, pem).err();
            assert_eq!(refused, Some(PairKeyError::PrivateKey), "{algorithm:?}");
        }
        assert!(PairVerifier::from_der(PairAlgorithm::Ed25519, b"no key").is_err());
    }
}
