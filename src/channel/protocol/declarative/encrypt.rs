//! Encrypts single values of a body, as `[http.encrypt]` says: the filter `encrypted` of templates.
//!
//! The initial vector is made from the key, the request and the text themselves, so it is never the
//! same for two texts and nobody without the key can foresee it; and the same request gives the
//! same bytes. (RSA's padding, SM2 and the keys of envelopes are random all the same.) Also opens
//! what notices and replies bring encrypted.
//! Must not know where a value goes.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::document::ChannelAnswer;
use super::path::Path;
use crate::codec::certificate::Certificate;
use crate::codec::crypto::cipher::{
    BLOCK_BYTES, BlockCipher, BlockKey, Mode, OaepEncryptor, fresh_key,
};
use crate::codec::crypto::digest::Digest;
use crate::codec::crypto::sm2::{Sm2Encryptor, Sm2Form};
use crate::codec::pem::parse_pem;
use crate::codec::sign::{CipherError, HmacKey, KeyError, RsaEncryptor, hex_lower, read_hex};

/// The DER public key of a PEM text, bare or inside a certificate.
pub fn public_key_der(text: &str) -> Result<Vec<u8>, KeyError> {
    let blocks = parse_pem(text)?;
    let key = blocks.iter().find(|b| matches!(b.label(), "PUBLIC KEY" | "RSA PUBLIC KEY"));
    match key {
        Some(block) => Ok(block.contents.to_vec()),
        None => {
            let whole = Certificate::from_pem(text).map_err(|_| KeyError::PublicKey)?;
            Ok(whole.public_key_der().to_vec())
        }
    }
}

/// The key of a channel's fields.
#[derive(Debug)]
pub enum FieldKey {
    Public(PublicFieldKey),
    Block {
        key: Box<BlockKey>,
        /// Makes initial vectors; derived from the same secret.
        vectors: Box<HmacKey>,
        /// Agreed on once and for all, and then not sent along.
        fixed_vector: Option<Vec<u8>>,
    },
    /// A new key of a block cipher for each request, which goes along under the channel's own.
    Envelope {
        under: PublicFieldKey,
        block: BlockCipher,
        mode: Mode,
        fixed_vector: Option<Vec<u8>>,
    },
}

/// The channel's own key.
#[derive(Debug)]
pub enum PublicFieldKey {
    Oaep(Box<OaepEncryptor>),
    Pkcs1(Box<RsaEncryptor>),
    Sm2(Box<Sm2Encryptor>, Sm2Form),
}

impl PublicFieldKey {
    fn encrypt(&self, plain: &[u8]) -> Result<Vec<u8>, CipherError> {
        match self {
            Self::Oaep(key) => key.encrypt(plain),
            Self::Pkcs1(key) => key.encrypt(plain),
            Self::Sm2(key, form) => key.encrypt(plain, *form),
        }
    }
}

/// The key of one request, and the same under the channel's own.
pub struct Envelope {
    key: FieldKey,
    /// As it is sent.
    pub wrapped: String,
}

impl FieldKey {
    pub fn block(key: BlockKey, secret: &[u8], fixed_vector: Option<Vec<u8>>) -> Self {
        let derived = Digest::Sha256.hmac(secret, &[b"initial vectors of encrypted fields"]);
        Self::Block { key: Box::new(key), vectors: Box::new(HmacKey::new(&derived)), fixed_vector }
    }
}

/// How fields are encrypted.
#[derive(Debug)]
pub struct Encryption {
    pub key: FieldKey,
    pub is_hex: bool,
}

impl Encryption {
    /// A new envelope for one request; `None` where the key is no envelope's, or refuses.
    pub fn seal(&self) -> Option<Envelope> {
        let FieldKey::Envelope { under, block, mode, fixed_vector } = &self.key else {
            return None;
        };
        let secret = fresh_key(BLOCK_BYTES).ok()?;
        let key = BlockKey::new(*block, *mode, &secret).ok()?;
        let wrapped = self.write(&under.encrypt(&secret).ok()?);
        Some(Envelope { key: FieldKey::block(key, &secret, fixed_vector.clone()), wrapped })
    }

    /// Whether each request has an envelope of its own.
    pub const fn is_envelope(&self) -> bool {
        matches!(self.key, FieldKey::Envelope { .. })
    }

    /// The text that stands for `plain` in the request that `seed` names, and that has this
    /// envelope.
    pub fn apply(
        &self,
        envelope: Option<&Envelope>,
        seed: &str,
        plain: &str,
    ) -> Result<String, CipherError> {
        let key = envelope.map_or(&self.key, |envelope| &envelope.key);
        let bytes = match key {
            FieldKey::Public(key) => key.encrypt(plain.as_bytes())?,
            FieldKey::Envelope { .. } => return Err(CipherError::Refused),
            FieldKey::Block { key, fixed_vector: Some(vector), .. } => {
                key.encrypt(vector, &[], plain.as_bytes())?
            }
            FieldKey::Block { key, vectors, fixed_vector: None } => {
                let tag = vectors.tag(&[seed.as_bytes(), b"\0", plain.as_bytes()]);
                let mut whole = tag[..key.mode().vector_bytes()].to_vec();
                let cipher = key.encrypt(&whole, &[], plain.as_bytes())?;
                whole.extend_from_slice(&cipher);
                whole
            }
        };
        Ok(self.write(&bytes))
    }

    fn write(&self, bytes: &[u8]) -> String {
        if self.is_hex { hex_lower(bytes) } else { BASE64.encode(bytes) }
    }
}

/// The encrypted part of a notice or a reply: where its pieces stand, and the key.
#[derive(Debug)]
pub struct Decryption {
    pub key: BlockKey,
    pub cipher_text: Path,
    pub vector: Option<Path>,
    pub context: Option<Path>,
    /// Whether the cipher text is hexadecimal instead of base64.
    pub is_hex: bool,
}

impl Decryption {
    /// The text that [`Self::open`] opens, of a cipher text and its vector.
    pub fn write(&self, vector: &str, cipher: Vec<u8>) -> String {
        let mut bytes = Vec::new();
        if self.vector.is_none() {
            bytes.extend_from_slice(vector.as_bytes());
        }
        bytes.extend_from_slice(&cipher);
        if self.is_hex { hex_lower(&bytes) } else { BASE64.encode(&bytes) }
    }

    /// The plain text inside a message.
    pub fn open_in(&self, outer: &ChannelAnswer) -> Option<Vec<u8>> {
        let text = |path: Option<&Path>| match path {
            Some(path) => outer.text(path).ok().map(|found| found.unwrap_or_default().into_owned()),
            None => Some(String::new()),
        };
        let cipher = text(Some(&self.cipher_text))?;
        self.open(&cipher, &text(self.vector.as_ref())?, &text(self.context.as_ref())?)
    }

    /// The same; the texts are those at the paths.
    pub fn open(&self, cipher: &str, vector: &str, context: &str) -> Option<Vec<u8>> {
        let mut bytes = if self.is_hex { read_hex(cipher)? } else { BASE64.decode(cipher).ok()? };
        let length = self.key.mode().vector_bytes();
        let vector = match (&self.vector, self.key.mode()) {
            (Some(_), Mode::Cbc | Mode::Gcm) => vector.as_bytes().to_vec(),
            (None, Mode::Cbc | Mode::Gcm) if bytes.len() >= length => {
                bytes.drain(..length).collect()
            }
            (Some(_) | None, Mode::Cbc | Mode::Ecb | Mode::Gcm) => Vec::new(),
        };
        let plain = self.key.decrypt(&vector, context.as_bytes(), &bytes).ok()?;
        Some(plain.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::super::format::BodyFormat;
    use super::*;

    #[test]
    fn a_vector_is_made_of_the_request_and_the_text_and_sent_along() {
        let secret = [7; 16];
        for (block, mode) in [(BlockCipher::Sm4, Mode::Cbc), (BlockCipher::Aes, Mode::Gcm)] {
            let key = || BlockKey::new(block, mode, &secret).expect("a key");
            let made = Encryption { key: FieldKey::block(key(), &secret, None), is_hex: false };
            let first = made.apply(None, "1", "4111111111111111").expect("encrypted");
            assert_eq!(first, made.apply(None, "1", "4111111111111111").expect("encrypted"));
            let vector = |text: &str| BASE64.decode(text).expect("base64")[..12].to_vec();
            for (seed, plain) in [("2", "4111111111111111"), ("1", "5555555555554444")] {
                let other = made.apply(None, seed, plain).expect("encrypted");
                assert_ne!(vector(&first), vector(&other));
            }
            let opening = Decryption {
                key: key(),
                cipher_text: path(),
                vector: None,
                context: None,
                is_hex: false,
            };
            assert_eq!(opening.open(&first, "", "").as_deref(), Some(&b"4111111111111111"[..]));
            assert_eq!(opening.open("AAAA", "", ""), None);
        }
        let key = BlockKey::new(BlockCipher::Sm4, Mode::Cbc, &secret).expect("a key");
        let fixed = FieldKey::block(key, &secret, Some(vec![0; 16]));
        let text =
            Encryption { key: fixed, is_hex: true }.apply(None, "1", "x").expect("encrypted");
        assert_eq!(text.len(), 32);
    }

    fn path() -> Path {
        Path::parse("/c", BodyFormat::Json).expect("a path")
    }
}
