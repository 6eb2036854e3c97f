//! Reads `[http.encrypt]`, and `[http.decrypt]` of notices and replies: ciphers and keys. No
//! mistake quotes a key (I-11).

use std::sync::Arc;

use crate::channel::protocol::declarative::encrypt::{
    Decryption, Encryption, FieldKey, PublicFieldKey, public_key_der,
};
use crate::channel::protocol::declarative::format::BodyFormat;
use crate::channel::protocol::declarative::keys::KeyForm;
use crate::channel::protocol::declarative::path::Path;
use crate::codec::crypto::cipher::{BlockCipher, BlockKey, Mode, OaepDigest, OaepEncryptor};
use crate::codec::crypto::sm2::{Sm2Encryptor, Sm2Form};
use crate::codec::sign::{RsaEncryptor, read_hex};
use crate::config::credential::CredentialResolver;
use crate::config::section::Section;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cipher {
    Oaep(OaepDigest),
    Pkcs1,
    Sm2,
    Block(BlockCipher, Mode),
}

const CIPHERS: [(&str, Cipher); 10] = [
    ("aes-gcm", Cipher::Block(BlockCipher::Aes, Mode::Gcm)),
    ("aes-cbc", Cipher::Block(BlockCipher::Aes, Mode::Cbc)),
    ("aes-ecb", Cipher::Block(BlockCipher::Aes, Mode::Ecb)),
    ("sm4-gcm", Cipher::Block(BlockCipher::Sm4, Mode::Gcm)),
    ("sm4-cbc", Cipher::Block(BlockCipher::Sm4, Mode::Cbc)),
    ("sm4-ecb", Cipher::Block(BlockCipher::Sm4, Mode::Ecb)),
    ("rsa-oaep-sha1", Cipher::Oaep(OaepDigest::Sha1)),
    ("rsa-oaep-sha256", Cipher::Oaep(OaepDigest::Sha256)),
    ("rsa-pkcs1", Cipher::Pkcs1),
    ("sm2", Cipher::Sm2),
];

/// Under what an envelope's key goes.
const UNDER: [(&str, Cipher); 4] = [CIPHERS[6], CIPHERS[7], CIPHERS[8], CIPHERS[9]];

fn public_key(cipher: Cipher, form: Sm2Form, text: &str) -> Result<PublicFieldKey, String> {
    let der = || public_key_der(text).map_err(|error| error.to_string());
    match cipher {
        Cipher::Oaep(digest) => {
            let key = OaepEncryptor::from_der(&der()?, digest);
            Ok(PublicFieldKey::Oaep(Box::new(key.map_err(|error| error.to_string())?)))
        }
        Cipher::Pkcs1 => {
            let key = RsaEncryptor::from_der(&der()?).map_err(|error| error.to_string())?;
            Ok(PublicFieldKey::Pkcs1(Box::new(key)))
        }
        Cipher::Sm2 => {
            let key = Sm2Encryptor::parse(text).map_err(|error| error.to_string())?;
            Ok(PublicFieldKey::Sm2(Box::new(key), form))
        }
        Cipher::Block(..) => Err("is no public key's cipher".to_owned()),
    }
}

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
            Cipher::Block(..) | Cipher::Oaep(_) | Cipher::Pkcs1 | Cipher::Sm2 => {
                Err("is 32 hexadecimal digits, and for CBC only")
            }
        }
    });
    let under = section.optional_choice("key_under", &UNDER);
    let sm2_form =
        section.choice_or("form", Sm2Form::Der, &[("der", Sm2Form::Der), ("raw", Sm2Form::Raw)]);
    let key = section.parsed("key", "file:keys/bank-fields.key", |reference| {
        let text = resolve(reference)?;
        Ok::<FieldKey, String>(match (cipher, under) {
            (Cipher::Block(block, mode), Some(under)) => {
                let under = public_key(under, sm2_form, &text)?;
                FieldKey::Envelope { under, block, mode, fixed_vector: vector.clone() }
            }
            (Cipher::Block(block, mode), None) => {
                let secret = form.read(&text)?;
                let key = BlockKey::new(block, mode, &secret).map_err(|error| error.to_string())?;
                FieldKey::block(key, &secret, vector.clone())
            }
            (_, Some(_)) => return Err("key_under is for a block cipher inside".to_owned()),
            (public, None) => FieldKey::Public(public_key(public, sm2_form, &text)?),
        })
    });
    Some(Encryption { key: key?, is_hex })
}

/// Which messages are encrypted, and how they are opened.
pub struct DecryptionOf {
    pub decryption: Arc<Decryption>,
    pub notices: bool,
    pub replies: bool,
}

/// `None` after a mistake.
pub fn read_decryption(
    section: &Section<'_>,
    format: BodyFormat,
    resolve: &CredentialResolver<'_>,
) -> Option<DecryptionOf> {
    let cipher = section.choice("algorithm", &CIPHERS);
    let form = section.choice_or("key_form", KeyForm::Hex, &KeyForm::WORDS);
    let key = section.parsed("key", "env:BANK_NOTICE_KEY", |reference| match cipher {
        Cipher::Block(block, mode) => {
            let secret = form.read(&resolve(reference)?)?;
            BlockKey::new(block, mode, &secret).map_err(|error| error.to_string())
        }
        Cipher::Oaep(_) | Cipher::Pkcs1 | Cipher::Sm2 => {
            Err("what is encrypted is opened with a shared key".to_owned())
        }
    });
    let path = |key| section.optional_parsed(key, "/resource/nonce", |t| Path::parse(t, format));
    let (vector, context) = (path("nonce"), path("context"));
    let cipher_text =
        section.parsed("cipher_text", "/resource/ciphertext", |text| Path::parse(text, format));
    let is_hex = section.choice_or("encoding", false, &[("base64", false), ("hex", true)]);
    let kinds = [("notices", false), ("replies", true)];
    let of = section.choices_or("of", &["notices"], &kinds);
    let decryption = Decryption { key: key?, cipher_text: cipher_text?, vector, context, is_hex };
    Some(DecryptionOf {
        decryption: Arc::new(decryption),
        notices: of.contains(&false),
        replies: of.contains(&true),
    })
}
