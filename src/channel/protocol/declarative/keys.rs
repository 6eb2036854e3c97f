//! The keys that sign what we send and prove what the channel sends, parsed once. None is ever
//! shown (I-11).

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use zeroize::Zeroizing;

use super::encrypt::public_key_der;
use crate::codec::crypto::digest::Digest;
use crate::codec::crypto::sm2::{Sm2Form, Sm2Signer, Sm2Verifier};
use crate::codec::sign::{
    HmacKey, RsaScheme, RsaSigner, RsaVerifier, equal_in_constant_time, hex_lower, read_hex,
};

/// How a signature is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Algorithm {
    /// HMAC (RFC 2104) with a shared key.
    Hmac(Digest),
    /// A plain digest; the shared key is a part of what is digested.
    Digest(Digest),
    /// RSA with SHA-256 (RFC 8017 §8).
    Rsa(RsaScheme),
    /// SM2 with SM3 (GB/T 32918.2) in the name of a user id.
    Sm2 { form: Sm2Form, user_id: String },
}

impl Algorithm {
    /// Whether both sides have the same key.
    pub const fn is_shared(&self) -> bool {
        matches!(self, Self::Hmac(_) | Self::Digest(_))
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
}

impl Encoding {
    pub fn write(self, bytes: &[u8]) -> String {
        match self {
            Self::Hex => hex_lower(bytes),
            Self::HexUpper => hex_lower(bytes).to_ascii_uppercase(),
            Self::Base64 => BASE64.encode(bytes),
        }
    }

    pub fn read(self, text: &str) -> Option<Vec<u8>> {
        match self {
            Self::Hex | Self::HexUpper => read_hex(text),
            Self::Base64 => BASE64.decode(text).ok(),
        }
    }
}

/// A shared secret as text; wiped when dropped, never shown.
pub struct Secret(Zeroizing<String>);

impl std::fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Secret(***)")
    }
}

impl Secret {
    /// A line end behind the key is the editor's, not the key's.
    fn parse(text: &str) -> Result<Self, String> {
        let key = text.trim_end_matches(['\r', '\n']);
        if key.is_empty() {
            return Err("the shared key is empty".to_owned());
        }
        Ok(Self(Zeroizing::new(key.to_owned())))
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
    fn hmac(digest: Digest, text: &str) -> Result<Self, String> {
        let secret = Secret::parse(text)?;
        Ok(match digest {
            Digest::Sha256 => Self::HmacSha256(Box::new(HmacKey::new(secret.0.as_bytes()))),
            Digest::Md5 | Digest::Sha1 | Digest::Sha512 | Digest::Sm3 => Self::Hmac(digest, secret),
        })
    }

    pub fn tag(&self, message: &[u8]) -> Vec<u8> {
        match self {
            Self::HmacSha256(key) => key.tag(&[message]).to_vec(),
            Self::Hmac(digest, key) => digest.hmac(key.0.as_bytes(), &[message]),
            Self::Digest(digest, _) => digest.of(&[message]),
        }
    }

    /// The key's text where it is a part of what is digested.
    pub fn text(&self) -> &str {
        match self {
            Self::Digest(_, key) => &key.0,
            Self::HmacSha256(_) | Self::Hmac(..) => "",
        }
    }
}

/// A key that signs what we send.
#[derive(Debug)]
pub enum SigningKey {
    Shared(SharedKey),
    Rsa(RsaScheme, Box<RsaSigner>),
    Sm2(Sm2Form, Box<Sm2Signer>),
}

impl SigningKey {
    /// `text` is the shared key itself, or the text of a private key.
    pub fn parse(algorithm: &Algorithm, text: &str) -> Result<Self, String> {
        match algorithm {
            Algorithm::Hmac(digest) => SharedKey::hmac(*digest, text).map(Self::Shared),
            Algorithm::Digest(digest) => {
                Ok(Self::Shared(SharedKey::Digest(*digest, Secret::parse(text)?)))
            }
            Algorithm::Rsa(scheme) => {
                let signer = RsaSigner::from_pem(text).map_err(|error| error.to_string())?;
                Ok(Self::Rsa(*scheme, Box::new(signer)))
            }
            Algorithm::Sm2 { form, user_id } => {
                let signer = Sm2Signer::parse(text, user_id).map_err(|error| error.to_string())?;
                Ok(Self::Sm2(*form, Box::new(signer)))
            }
        }
    }

    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        match self {
            Self::Shared(key) => key.tag(message),
            Self::Rsa(scheme, key) => key.sign_as(*scheme, message),
            Self::Sm2(form, key) => key.sign(message, *form),
        }
    }

    pub fn text(&self) -> &str {
        match self {
            Self::Shared(key) => key.text(),
            Self::Rsa(..) | Self::Sm2(..) => "",
        }
    }
}

/// A key that proves what the channel sends.
#[derive(Debug)]
pub enum VerifyingKey {
    Shared(SharedKey),
    Rsa(Box<RsaVerifier>),
    Sm2(Sm2Form, Box<Sm2Verifier>),
}

impl VerifyingKey {
    /// `text` is the shared key itself, or the text of a public key or a certificate. The
    /// certificate is only a wrapper here: the file pins its key, so its dates prove nothing.
    pub fn parse(algorithm: &Algorithm, text: &str) -> Result<Self, String> {
        match algorithm {
            Algorithm::Hmac(digest) => SharedKey::hmac(*digest, text).map(Self::Shared),
            Algorithm::Digest(digest) => {
                Ok(Self::Shared(SharedKey::Digest(*digest, Secret::parse(text)?)))
            }
            Algorithm::Rsa(scheme) => {
                let der = public_key_der(text).map_err(|error| error.to_string())?;
                let verifier = RsaVerifier::from_der_for(*scheme, &der);
                let verifier = verifier.map_err(|error| error.to_string())?;
                Ok(Self::Rsa(Box::new(verifier)))
            }
            Algorithm::Sm2 { form, user_id } => {
                let verifier = Sm2Verifier::parse(text, user_id);
                let verifier = verifier.map_err(|error| error.to_string())?;
                Ok(Self::Sm2(*form, Box::new(verifier)))
            }
        }
    }

    pub fn proves(&self, message: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::Shared(key) => equal_in_constant_time(&key.tag(message), signature),
            Self::Rsa(key) => key.verify(message, signature).is_ok(),
            Self::Sm2(form, key) => key.verify(message, signature, *form).is_ok(),
        }
    }

    pub fn text(&self) -> &str {
        match self {
            Self::Shared(key) => key.text(),
            Self::Rsa(_) | Self::Sm2(..) => "",
        }
    }
}
