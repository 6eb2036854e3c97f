//! Reads `[http.encrypt]`, and `[http.decrypt]` of notices: ciphers and keys. No mistake quotes a
//! key (I-11).

use crate::channel::protocol::declarative::encrypt::public_key_der;
use crate::channel::protocol::declarative::encrypt::{Decryption, Encryption, FieldKey};
use crate::channel::protocol::declarative::format::BodyFormat;
use crate::channel::protocol::declarative::keys::KeyForm;
use crate::channel::protocol::declarative::path::Path;
use crate::codec::crypto::cipher::{BlockCipher, BlockKey, Mode, OaepDigest, OaepEncryptor};
use crate::codec::sign::{RsaEncryptor, read_hex};
use crate::config::credential::CredentialResolver;
use crate::config::section::Section;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cipher {
    Oaep(OaepDigest),
    Pkcs1,
    Block(BlockCipher, Mode),
}

const CIPHERS: [(&str, Cipher); 9] = [
    ("aes-gcm", Cipher::Block(BlockCipher::Aes, Mode::Gcm)),
    ("aes-cbc", Cipher::Block(BlockCipher::Aes, Mode::Cbc)),
    ("aes-ecb", Cipher::Block(BlockCipher::Aes, Mode::Ecb)),
    ("sm4-gcm", Cipher::Block(BlockCipher::Sm4, Mode::Gcm)),
    ("sm4-cbc", Cipher::Block(BlockCipher::Sm4, Mode::Cbc)),
    ("sm4-ecb", Cipher::Block(BlockCipher::Sm4, Mode::Ecb)),
    ("rsa-oaep-sha1", Cipher::Oaep(OaepDigest::Sha1)),
    ("rsa-oaep-sha256", Cipher::Oaep(OaepDigest::Sha256)),
    ("rsa-pkcs1", Cipher::Pkcs1),
];

/// `None` after a mistake.
pub fn read_encryption(
    section: &Section<'_>,
    resolve: &CredentialResolver<'_>,
) -> Option<Encryption> {
    let cipher = section.choice("algorithm", &CIPHERS);
    let form = section.choice_or("key_form", KeyForm::Hex, &KeyForm::WORDS);
    let is_hex = section.choice_or("encoding", false, &[("base64", false), ("hex", true)]);
    let vector = section.optional_parsed("iv", "00000000000000000000000000000000", |text| {
        let vector = read_hex(text).ok_or("is not hexadecimal")?;
        match cipher {
            Cipher::Block(_, Mode::Cbc) if vector.len() == Mode::Cbc.vector_bytes() => Ok(vector),
            Cipher::Block(_, Mode::Gcm) => Err("gives the key away with GCM (leave it out)"),
            Cipher::Block(..) | Cipher::Oaep(_) | Cipher::Pkcs1 => {
                Err("is 32 hexadecimal digits, and for CBC only")
            }
        }
    });
    let key = section.parsed("key", "file:keys/bank-fields.key", |reference| {
        let text = resolve(reference)?;
        Ok::<FieldKey, String>(match cipher {
            Cipher::Oaep(digest) => {
                let der = public_key_der(&text).map_err(|error| error.to_string())?;
                let key = OaepEncryptor::from_der(&der, digest);
                FieldKey::Oaep(Box::new(key.map_err(|error| error.to_string())?))
            }
            Cipher::Pkcs1 => {
                let der = public_key_der(&text).map_err(|error| error.to_string())?;
                let key = RsaEncryptor::from_der(&der).map_err(|error| error.to_string())?;
                FieldKey::Pkcs1(Box::new(key))
            }
            Cipher::Block(block, mode) => {
                let secret = form.read(&text)?;
                let key = BlockKey::new(block, mode, &secret).map_err(|error| error.to_string())?;
                FieldKey::block(key, &secret, vector.clone())
            }
        })
    });
    Some(Encryption { key: key?, is_hex })
}

/// `None` after a mistake.
pub fn read_decryption(
    section: &Section<'_>,
    format: BodyFormat,
    resolve: &CredentialResolver<'_>,
) -> Option<Decryption> {
    let cipher = section.choice("algorithm", &CIPHERS);
    let form = section.choice_or("key_form", KeyForm::Hex, &KeyForm::WORDS);
    let key = section.parsed("key", "env:BANK_NOTICE_KEY", |reference| match cipher {
        Cipher::Block(block, mode) => {
            let secret = form.read(&resolve(reference)?)?;
            BlockKey::new(block, mode, &secret).map_err(|error| error.to_string())
        }
        Cipher::Oaep(_) | Cipher::Pkcs1 => Err("notices are opened with a shared key".to_owned()),
    });
    let path = |key| section.optional_parsed(key, "/resource/nonce", |t| Path::parse(t, format));
    let (vector, context) = (path("nonce"), path("context"));
    let cipher_text =
        section.parsed("cipher_text", "/resource/ciphertext", |text| Path::parse(text, format));
    Some(Decryption { key: key?, cipher_text: cipher_text?, vector, context })
}
