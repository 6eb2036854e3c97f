//! The keys that sign what we send and prove what the channel sends, parsed once. None is ever
//! shown (I-11).

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD as BASE64, URL_SAFE_NO_PAD};
use zeroize::Zeroizing;

use super::encrypt::public_key_der;
use crate::codec::crypto::digest::Digest;
use crate::codec::crypto::pair::{PairAlgorithm, PairSigner, PairVerifier};
use crate::codec::crypto::sm2::{Sm2Form, Sm2Signer, Sm2Verifier};
use crate::codec::sign::{
    HmacKey, RsaScheme, RsaSigner, RsaVerifier, equal_in_constant_time, hex_lower, read_hex,
};

/// How a key that both sides have goes into a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SharedScheme {
    /// HMAC (RFC 2104).
    Hmac(Digest),
    /// A plain digest; the key is a part of what is digested.
    Digest(Digest),
}

/// How a signature is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Algorithm {
    Shared(SharedScheme),
    /// RSA with SHA-2 (RFC 8017 §8).
    Rsa(RsaScheme),
    /// Another key pair.
    Pair(PairAlgorithm),
    /// SM2 with SM3 (GB/T 32918.2) in the name of a user id.
    Sm2 {
        form: Sm2Form,
        user_id: String,
    },
}

impl Algorithm {
    /// Whether both sides have the same key.
    pub const fn is_shared(&self) -> bool {
        matches!(self, Self::Shared(_))
    }
}

/// How a signature is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// Lower case when written, either case when read.
    Hex,
    /// Upper case when written, either case when read.
    HexUpper,
    Base64,
    /// RFC 4648 §5, without padding when written, with or without it when read.
    Base64Url,
}

impl Encoding {
    pub fn write(self, bytes: &[u8]) -> String {
        match self {
            Self::Hex => hex_lower(bytes),
            Self::HexUpper => hex_lower(bytes).to_ascii_uppercase(),
            Self::Base64 => BASE64.encode(bytes),
            Self::Base64Url => URL_SAFE_NO_PAD.encode(bytes),
        }
    }

    pub fn read(self, text: &str) -> Option<Vec<u8>> {
        match self {
            Self::Hex | Self::HexUpper => read_hex(text),
            Self::Base64 => BASE64.decode(text).ok(),
            Self::Base64Url => URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).ok(),
        }
    }
}

/// How a shared key's text stands for its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyForm {
    Hex,
    Base64,
    Text,
}

impl KeyForm {
    pub const WORDS: [(&'static str, Self); 3] =
        [("hex", Self::Hex), ("base64", Self::Base64), ("text", Self::Text)];

    /// A line end behind the key is the editor's, not the key's.
    pub fn read(self, text: &str) -> Result<Zeroizing<Vec<u8>>, String> {
        let text = text.trim_end_matches(['\r', '\n']);
        let bytes = match self {
            Self::Hex => read_hex(text).ok_or("the key is not hexadecimal".to_owned())?,
            Self::Base64 => BASE64.decode(text).map_err(|_| "the key is not base64".to_owned())?,
            Self::Text => text.as_bytes().to_vec(),
        };
        if bytes.is_empty() {
            return Err("the shared key is empty".to_owned());
        }
        Ok(Zeroizing::new(bytes))
    }
}

/// The secret of both sides; wiped when dropped, never shown.
pub struct Secret(Zeroizing<Vec<u8>>);

impl std::fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Secret(***)")
    }
}

/// A key that both sides have.
#[derive(Debug)]
pub enum SharedKey {
    /// HMAC-SHA256, prepared: it is the usual one.
    HmacSha256(Box<HmacKey>),
    Hmac(Digest, Secret),
    Digest(Digest, Secret),
}

impl SharedKey {
    /// `text` is the key itself in its form.
    fn read(scheme: SharedScheme, form: KeyForm, text: &str) -> Result<Self, String> {
        let bytes = form.read(text)?;
        Ok(match scheme {
            SharedScheme::Hmac(Digest::Sha256) => Self::HmacSha256(Box::new(HmacKey::new(&bytes))),
            SharedScheme::Hmac(digest) => Self::Hmac(digest, Secret(bytes)),
            SharedScheme::Digest(digest) => Self::Digest(digest, Secret(bytes)),
        })
    }

    fn tag(&self, message: &[u8]) -> Vec<u8> {
        match self {
            Self::HmacSha256(key) => key.tag(&[message]).to_vec(),
            Self::Hmac(digest, key) => digest.hmac(&key.0, &[message]),
            Self::Digest(digest, _) => digest.of(&[message]),
        }
    }

    /// The key where it is a part of what is digested.
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Digest(_, key) => &key.0,
            Self::HmacSha256(_) | Self::Hmac(..) => &[],
        }
    }
}

/// A key that signs what we send.
#[derive(Debug)]
pub enum SigningKey {
    Shared(SharedKey),
    Rsa(RsaScheme, Box<RsaSigner>),
    Pair(Box<PairSigner>),
    Sm2(Sm2Form, Box<Sm2Signer>),
}

impl SigningKey {
    /// `text` is the shared key itself in its form, or the text of a private key.
    pub fn parse(algorithm: &Algorithm, form: KeyForm, text: &str) -> Result<Self, String> {
        match algorithm {
            Algorithm::Shared(scheme) => SharedKey::read(*scheme, form, text).map(Self::Shared),
            Algorithm::Rsa(scheme) => {
                let signer = in_armour(text, &PRIVATE_LABELS, RsaSigner::from_pem)?;
                Ok(Self::Rsa(*scheme, Box::new(signer)))
            }
            Algorithm::Pair(algorithm) => {
                let parse = |text: &str| PairSigner::from_pem(*algorithm, text);
                Ok(Self::Pair(Box::new(in_armour(text, &PRIVATE_LABELS, parse)?)))
            }
            Algorithm::Sm2 { form, user_id } => {
                let signer = Sm2Signer::parse(text, user_id).map_err(|error| error.to_string())?;
                Ok(Self::Sm2(*form, Box::new(signer)))
            }
        }
    }

    /// `None` where the key refuses.
    pub fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        match self {
            Self::Shared(key) => Some(key.tag(message)),
            Self::Rsa(scheme, key) => Some(key.sign_as(*scheme, message)),
            Self::Pair(key) => key.sign(message).ok(),
            Self::Sm2(form, key) => Some(key.sign(message, *form)),
        }
    }

    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Shared(key) => key.bytes(),
            Self::Rsa(..) | Self::Pair(_) | Self::Sm2(..) => &[],
        }
    }
}

/// A key that proves what the channel sends.
#[derive(Debug)]
pub enum VerifyingKey {
    Shared(SharedKey),
    Rsa(Box<RsaVerifier>),
    Pair(Box<PairVerifier>),
    Sm2(Sm2Form, Box<Sm2Verifier>),
}

impl VerifyingKey {
    /// `text` is the shared key itself in its form, or the text of a public key or a certificate.
    /// The certificate is only a wrapper here: the file pins its key, so its dates prove nothing.
    pub fn parse(algorithm: &Algorithm, form: KeyForm, text: &str) -> Result<Self, String> {
        match algorithm {
            Algorithm::Shared(scheme) => SharedKey::read(*scheme, form, text).map(Self::Shared),
            Algorithm::Rsa(scheme) => {
                let der = in_armour(text, &["PUBLIC KEY"], public_key_der)?;
                let verifier = RsaVerifier::from_der_for(*scheme, &der);
                let verifier = verifier.map_err(|error| error.to_string())?;
                Ok(Self::Rsa(Box::new(verifier)))
            }
            Algorithm::Pair(algorithm) => {
                let der = in_armour(text, &["PUBLIC KEY"], public_key_der)?;
                let verifier = PairVerifier::from_der(*algorithm, &der);
                Ok(Self::Pair(Box::new(verifier.map_err(|error| error.to_string())?)))
            }
            Algorithm::Sm2 { form, user_id } => {
                let verifier = Sm2Verifier::parse(text, user_id);
                let verifier = verifier.map_err(|error| error.to_string())?;
                Ok(Self::Sm2(*form, Box::new(verifier)))
            }
        }
    }

    /// The half that proves what a private key signs; `text` is the private key's, or the shared
    /// one. `None` where it cannot be read, or gives no public half.
    pub fn of_signer(algorithm: &Algorithm, form: KeyForm, text: &str) -> Option<Self> {
        let rsa = || in_armour(text, &PRIVATE_LABELS, RsaSigner::from_pem).ok();
        match algorithm {
            Algorithm::Shared(scheme) => {
                SharedKey::read(*scheme, form, text).ok().map(Self::Shared)
            }
            Algorithm::Rsa(scheme) => {
                let verifier = RsaVerifier::from_der_for(*scheme, &rsa()?.public_key_der()).ok()?;
                Some(Self::Rsa(Box::new(verifier)))
            }
            Algorithm::Pair(pair @ PairAlgorithm::Rsa(_)) => {
                let verifier = PairVerifier::from_der(*pair, &rsa()?.public_key_der()).ok()?;
                Some(Self::Pair(Box::new(verifier)))
            }
            Algorithm::Pair(PairAlgorithm::EcdsaP256 { .. } | PairAlgorithm::Ed25519) => None,
            Algorithm::Sm2 { form, user_id } => {
                let public = Sm2Signer::parse(text, user_id).ok()?.public_key();
                let verifier = Sm2Verifier::parse(&hex_lower(&public), user_id).ok()?;
                Some(Self::Sm2(*form, Box::new(verifier)))
            }
        }
    }

    pub fn proves(&self, message: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::Shared(key) => equal_in_constant_time(&key.tag(message), signature),
            Self::Rsa(key) => key.verify(message, signature).is_ok(),
            Self::Pair(key) => key.verify(message, signature).is_ok(),
            Self::Sm2(form, key) => key.verify(message, signature, *form).is_ok(),
        }
    }

    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Shared(key) => key.bytes(),
            Self::Rsa(_) | Self::Pair(_) | Self::Sm2(..) => &[],
        }
    }
}

const PRIVATE_LABELS: [&str; 2] = ["PRIVATE KEY", "RSA PRIVATE KEY"];

/// Reads a key's text as PEM. Some channels hand keys out as bare base64: such a text gets the
/// armour of the first label that fits it.
fn in_armour<T, E: std::fmt::Display>(
    text: &str,
    labels: &[&str],
    parse: impl Fn(&str) -> Result<T, E>,
) -> Result<T, String> {
    let mut refusal = String::new();
    for label in labels {
        match parse(&armoured(text, label)) {
            Ok(read) => return Ok(read),
            Err(error) if refusal.is_empty() => refusal = error.to_string(),
            Err(_) => {}
        }
    }
    Err(refusal)
}

fn armoured<'t>(text: &'t str, label: &str) -> Cow<'t, str> {
    let is_base64 = |byte: u8| byte.is_ascii_alphanumeric() || b"+/=\r\n".contains(&byte);
    if text.is_empty() || !text.bytes().all(is_base64) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n"))
}
