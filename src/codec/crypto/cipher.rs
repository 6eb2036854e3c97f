//! Encryption of single fields: AES and SM4 in three modes, and RSA-OAEP.
//!
//! The initial vector is given by the caller: nothing here draws random numbers, except the keys of
//! single messages and RSA's padding (RFC 8017 §7.1), which are random by definition. SM4 is
//! GB/T 32907-2016, SM4-GCM is RFC 8998 §3.2.1's.

use std::fmt;

use aes_gcm::AesGcm;
use aes_gcm::aead::consts::U12;
use aes_gcm::aead::{Aead, Payload};
use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::cipher::{
    AES_128, AES_256, DecryptionContext, EncryptionContext, PaddedBlockDecryptingKey,
    PaddedBlockEncryptingKey, UnboundCipherKey,
};
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::rsa::{
    OAEP_SHA1_MGF1SHA1, OAEP_SHA256_MGF1SHA256, OaepAlgorithm, OaepPrivateDecryptingKey,
    OaepPublicEncryptingKey, PrivateDecryptingKey, PublicEncryptingKey,
};
use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockModeDecrypt, BlockModeEncrypt, KeyInit, KeyIvInit};
use sm4::Sm4;
use zeroize::Zeroizing;

use crate::codec::pem::parse_pem;
use crate::codec::sign::{CipherError, KeyError};

/// Bytes of a block of AES and SM4, which is also the length of CBC's initial vector.
pub const BLOCK_BYTES: usize = 16;
/// Bytes of GCM's initial vector.
pub const GCM_VECTOR_BYTES: usize = 12;
const TAG_BYTES: usize = 16;

type Sm4Gcm = AesGcm<Sm4, U12>;

/// A block cipher.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlockCipher {
    /// AES with a key of 16 or 32 bytes.
    Aes,
    /// SM4 with a key of 16 bytes.
    Sm4,
}

/// How blocks are chained. CBC and ECB are padded as PKCS#7 has it (RFC 5652 §6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Equal blocks show; for channels that demand it.
    Ecb,
    /// Nothing guards it against change: the message around it must be signed.
    Cbc,
    Gcm,
}

impl Mode {
    /// Bytes of the initial vector.
    pub const fn vector_bytes(self) -> usize {
        match self {
            Self::Ecb => 0,
            Self::Cbc => BLOCK_BYTES,
            Self::Gcm => GCM_VECTOR_BYTES,
        }
    }
}

/// A new key of so many bytes, for one message; drawn by the library.
pub fn fresh_key(bytes: usize) -> Result<Zeroizing<Vec<u8>>, CipherError> {
    let mut key = Zeroizing::new(vec![0; bytes]);
    aws_lc_rs::rand::fill(&mut key).map_err(|_| CipherError::Refused)?;
    Ok(key)
}

/// A shared key of a block cipher in one mode.
pub struct BlockKey {
    block: BlockCipher,
    mode: Mode,
    key: Zeroizing<Vec<u8>>,
}

impl BlockKey {
    /// The error is the wrong length.
    pub fn new(block: BlockCipher, mode: Mode, key: &[u8]) -> Result<Self, CipherError> {
        let fits = match block {
            BlockCipher::Aes => matches!(key.len(), 16 | 32),
            BlockCipher::Sm4 => key.len() == 16,
        };
        if fits {
            Ok(Self { block, mode, key: Zeroizing::new(key.to_vec()) })
        } else {
            Err(CipherError::KeyLength { length: key.len() })
        }
    }

    pub const fn mode(&self) -> Mode {
        self.mode
    }

    /// The cipher text, with GCM's tag at its end and without the vector. With GCM a vector must
    /// never be used twice under one key, and `context` must be the same when decrypting; with CBC
    /// nobody may foresee the vector.
    pub fn encrypt(
        &self,
        vector: &[u8],
        context: &[u8],
        plain: &[u8],
    ) -> Result<Vec<u8>, CipherError> {
        if vector.len() != self.mode.vector_bytes() {
            return Err(CipherError::Refused);
        }
        match self.block {
            BlockCipher::Aes => self.encrypt_aes(vector, context, plain),
            BlockCipher::Sm4 => self.encrypt_sm4(vector, context, plain),
        }
        .ok_or(CipherError::Refused)
    }

    /// The plain text, wiped when dropped.
    pub fn decrypt(
        &self,
        vector: &[u8],
        context: &[u8],
        cipher: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, CipherError> {
        if vector.len() != self.mode.vector_bytes() {
            return Err(CipherError::NotForThisKey);
        }
        match self.block {
            BlockCipher::Aes => self.decrypt_aes(vector, context, cipher),
            BlockCipher::Sm4 => self.decrypt_sm4(vector, context, cipher),
        }
        .map(Zeroizing::new)
        .ok_or(CipherError::NotForThisKey)
    }

    fn encrypt_sm4(&self, vector: &[u8], context: &[u8], plain: &[u8]) -> Option<Vec<u8>> {
        match self.mode {
            Mode::Ecb => Some(
                ecb::Encryptor::<Sm4>::new_from_slice(&self.key)
                    .ok()?
                    .encrypt_padded_vec::<Pkcs7>(plain),
            ),
            Mode::Cbc => Some(
                cbc::Encryptor::<Sm4>::new_from_slices(&self.key, vector)
                    .ok()?
                    .encrypt_padded_vec::<Pkcs7>(plain),
            ),
            Mode::Gcm => Sm4Gcm::new_from_slice(&self.key)
                .ok()?
                .encrypt(vector.try_into().ok()?, Payload { msg: plain, aad: context })
                .ok(),
        }
    }

    fn decrypt_sm4(&self, vector: &[u8], context: &[u8], cipher: &[u8]) -> Option<Vec<u8>> {
        match self.mode {
            Mode::Ecb => ecb::Decryptor::<Sm4>::new_from_slice(&self.key)
                .ok()?
                .decrypt_padded_vec::<Pkcs7>(cipher)
                .ok(),
            Mode::Cbc => cbc::Decryptor::<Sm4>::new_from_slices(&self.key, vector)
                .ok()?
                .decrypt_padded_vec::<Pkcs7>(cipher)
                .ok(),
            Mode::Gcm => Sm4Gcm::new_from_slice(&self.key)
                .ok()?
                .decrypt(vector.try_into().ok()?, Payload { msg: cipher, aad: context })
                .ok(),
        }
    }

    fn encrypt_aes(&self, vector: &[u8], context: &[u8], plain: &[u8]) -> Option<Vec<u8>> {
        let mut text = plain.to_vec();
        match self.mode {
            Mode::Gcm => {
                let nonce = Nonce::try_assume_unique_for_key(vector).ok()?;
                self.aes_gcm()?
                    .seal_in_place_append_tag(nonce, Aad::from(context), &mut text)
                    .ok()?;
            }
            Mode::Ecb => {
                PaddedBlockEncryptingKey::ecb_pkcs7(self.aes()?)
                    .ok()?
                    .less_safe_encrypt(&mut text, EncryptionContext::None)
                    .ok()?;
            }
            Mode::Cbc => {
                let vector = FixedLength::try_from(vector).ok()?;
                PaddedBlockEncryptingKey::cbc_pkcs7(self.aes()?)
                    .ok()?
                    .less_safe_encrypt(&mut text, EncryptionContext::Iv128(vector))
                    .ok()?;
            }
        }
        Some(text)
    }

    fn decrypt_aes(&self, vector: &[u8], context: &[u8], cipher: &[u8]) -> Option<Vec<u8>> {
        let mut text = cipher.to_vec();
        let length = match self.mode {
            Mode::Gcm => {
                let nonce = Nonce::try_assume_unique_for_key(vector).ok()?;
                let opened =
                    self.aes_gcm()?.open_in_place(nonce, Aad::from(context), &mut text).ok()?;
                opened.len()
            }
            Mode::Ecb => PaddedBlockDecryptingKey::ecb_pkcs7(self.aes()?)
                .ok()?
                .decrypt(&mut text, DecryptionContext::None)
                .ok()?
                .len(),
            Mode::Cbc => {
                let vector = FixedLength::try_from(vector).ok()?;
                PaddedBlockDecryptingKey::cbc_pkcs7(self.aes()?)
                    .ok()?
                    .decrypt(&mut text, DecryptionContext::Iv128(vector))
                    .ok()?
                    .len()
            }
        };
        text.truncate(length);
        Some(text)
    }

    fn aes(&self) -> Option<UnboundCipherKey> {
        let algorithm = if self.key.len() == 16 { &AES_128 } else { &AES_256 };
        UnboundCipherKey::new(algorithm, &self.key).ok()
    }

    fn aes_gcm(&self) -> Option<LessSafeKey> {
        let algorithm = if self.key.len() == 16 { &AES_128_GCM } else { &AES_256_GCM };
        UnboundKey::new(algorithm, &self.key).ok().map(LessSafeKey::new)
    }

    /// Bytes that encryption adds to a plain text of `length`.
    pub const fn growth(&self, length: usize) -> usize {
        match self.mode {
            Mode::Ecb | Mode::Cbc => BLOCK_BYTES - length % BLOCK_BYTES,
            Mode::Gcm => TAG_BYTES,
        }
    }
}

impl fmt::Debug for BlockKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "BlockKey({:?} {:?})", self.block, self.mode)
    }
}

/// The digest of RSA-OAEP and of its mask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OaepDigest {
    Sha1,
    Sha256,
}

impl OaepDigest {
    const fn algorithm(self) -> &'static OaepAlgorithm {
        match self {
            Self::Sha1 => &OAEP_SHA1_MGF1SHA1,
            Self::Sha256 => &OAEP_SHA256_MGF1SHA256,
        }
    }
}

/// A public RSA key that encrypts short texts: RSAES-OAEP (RFC 8017 §7.1).
pub struct OaepEncryptor {
    key: OaepPublicEncryptingKey,
    digest: OaepDigest,
}

impl OaepEncryptor {
    /// Takes DER SubjectPublicKeyInfo, as certificates have it.
    pub fn from_der(public_key: &[u8], digest: OaepDigest) -> Result<Self, KeyError> {
        let key = PublicEncryptingKey::from_der(public_key).map_err(|_| KeyError::PublicKey)?;
        let key = OaepPublicEncryptingKey::new(key).map_err(|_| KeyError::PublicKey)?;
        Ok(Self { key, digest })
    }

    /// Every call gives other bytes.
    pub fn encrypt(&self, plain: &[u8]) -> Result<Vec<u8>, CipherError> {
        let limit = self.key.max_plaintext_size(self.digest.algorithm());
        if plain.len() > limit {
            return Err(CipherError::TooLong { length: plain.len(), limit });
        }
        let mut out = vec![0; self.key.ciphertext_size()];
        let made = self.key.encrypt(self.digest.algorithm(), plain, &mut out, None);
        let length = made.map_err(|_| CipherError::Refused)?.len();
        out.truncate(length);
        Ok(out)
    }
}

impl fmt::Debug for OaepEncryptor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "OaepEncryptor({} bits)", self.key.key_size_bits())
    }
}

/// A private RSA key that decrypts what [`OaepEncryptor`] encrypted.
pub struct OaepDecryptor {
    key: OaepPrivateDecryptingKey,
    digest: OaepDigest,
}

impl OaepDecryptor {
    /// Takes the first PKCS#8 private key of a PEM text.
    pub fn from_pem(text: &str, digest: OaepDigest) -> Result<Self, KeyError> {
        let blocks = parse_pem(text)?;
        let block = blocks.iter().find(|block| block.label() == "PRIVATE KEY");
        let block = block.ok_or(KeyError::NoPrivateKey)?;
        let rejected = |reason: String| KeyError::PrivateKey { reason };
        let key = PrivateDecryptingKey::from_pkcs8(&block.contents)
            .map_err(|error| rejected(error.to_string()))?;
        let key =
            OaepPrivateDecryptingKey::new(key).map_err(|error| rejected(error.to_string()))?;
        Ok(Self { key, digest })
    }

    /// The plain text, wiped when dropped.
    pub fn decrypt(&self, cipher: &[u8]) -> Result<Zeroizing<Vec<u8>>, CipherError> {
        let mut plain = Zeroizing::new(vec![0; self.key.min_output_size()]);
        let made = self.key.decrypt(self.digest.algorithm(), cipher, &mut plain, None);
        let length = made.map_err(|_| CipherError::NotForThisKey)?.len();
        plain.truncate(length);
        Ok(plain)
    }
}

impl fmt::Debug for OaepDecryptor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("OaepDecryptor(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::sample_keys::merchant_key;
    use crate::codec::sign::{hex_lower, read_hex};

    const SM4_KEY: &str = "0123456789abcdeffedcba9876543210";

    fn hex(text: &str) -> Vec<u8> {
        read_hex(text).expect("hexadecimal")
    }

    fn key(block: BlockCipher, mode: Mode, text: &str) -> BlockKey {
        BlockKey::new(block, mode, &hex(text)).expect("a key")
    }

    #[test]
    fn sm4_matches_its_standard() {
        // GB/T 32907-2016 A.1: one block under itself. Padding adds a second block.
        let once = key(BlockCipher::Sm4, Mode::Ecb, SM4_KEY);
        let cipher = once.encrypt(&[], &[], &hex(SM4_KEY)).expect("encrypted");
        assert_eq!(hex_lower(&cipher[..16]), "681edf34d206965e86b3e94f536e4246");
        // RFC 8998 A.1.
        let plain = "aaaaaaaaaaaaaaaabbbbbbbbbbbbbbbbccccccccccccccccdddddddddddddddd\
                     eeeeeeeeeeeeeeeeffffffffffffffffeeeeeeeeeeeeeeeeaaaaaaaaaaaaaaaa";
        let sealed = key(BlockCipher::Sm4, Mode::Gcm, SM4_KEY)
            .encrypt(
                &hex("00001234567800000000abcd"),
                &hex("feedfacedeadbeeffeedfacedeadbeefabaddad2"),
                &hex(plain),
            )
            .expect("sealed");
        assert_eq!(
            hex_lower(&sealed),
            "17f399f08c67d5ee19d0dc9969c4bb7d5fd46fd3756489\
             069157b282bb200735\
             d82710ca5c22f0ccfa7cbf93d496ac15a56834cbcf98c397b4024a2691233b8d\
             83de3541e4c2b58177e065a9bf7b62ec"
        );
    }

    /// GB/T 32907-2016 A.2: a million times under the same key.
    #[test]
    fn sm4_matches_its_standard_after_a_million_rounds() {
        use sm4::cipher::{BlockCipherEncrypt, KeyInit};
        let bytes: [u8; 16] = hex(SM4_KEY).try_into().expect("16 bytes");
        let cipher = Sm4::new(&bytes.into());
        let mut block = bytes.into();
        for _ in 0..1_000_000 {
            cipher.encrypt_block(&mut block);
        }
        assert_eq!(hex_lower(&block), "595298c7c6fd271f0402f804c33d3f66");
    }

    #[test]
    fn aes_matches_its_standards() {
        // NIST SP 800-38A F.1.1 and F.2.1, first blocks; F.2.5 for 256 bits.
        let plain = hex("6bc1bee22e409f96e93d7e117393172a");
        let vector = hex("000102030405060708090a0b0c0d0e0f");
        let short = "2b7e151628aed2a6abf7158809cf4f3c";
        let long = "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4";
        let rows = [
            (Mode::Ecb, short, &[][..], "3ad77bb40d7a3660a89ecaf32466ef97"),
            (Mode::Cbc, short, &vector, "7649abac8119b246cee98e9b12e9197d"),
            (Mode::Cbc, long, &vector, "f58c4c04d6e5f1ba779eabfb5f7bfbd6"),
        ];
        for (mode, text, vector, expected) in rows {
            let cipher = key(BlockCipher::Aes, mode, text).encrypt(vector, &[], &plain);
            assert_eq!(hex_lower(&cipher.expect("encrypted")[..16]), expected, "{mode:?}");
        }
        // The GCM specification's test case 4 (McGrew and Viega).
        let sealed = key(BlockCipher::Aes, Mode::Gcm, "feffe9928665731c6d6a8f9467308308")
            .encrypt(
                &hex("cafebabefacedbaddecaf888"),
                &hex("feedfacedeadbeeffeedfacedeadbeefabaddad2"),
                &hex("d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95\
                      956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39"),
            )
            .expect("sealed");
        assert_eq!(hex_lower(&sealed[60..]), "5bc94fbc3221a5db94fae95ae7121a47");
    }

    #[test]
    fn every_mode_is_undone_by_its_own_key_vector_and_context_only() {
        for block in [BlockCipher::Aes, BlockCipher::Sm4] {
            for mode in [Mode::Ecb, Mode::Cbc, Mode::Gcm] {
                let ours = key(block, mode, SM4_KEY);
                let vector = vec![7; mode.vector_bytes()];
                for length in [0, 1, 15, 16, 17, 40] {
                    let plain = vec![b'4'; length];
                    let cipher = ours.encrypt(&vector, b"a", &plain).expect("encrypted");
                    assert_eq!(cipher.len(), length + ours.growth(length), "{block:?} {mode:?}");
                    let opened = ours.decrypt(&vector, b"a", &cipher).expect("ours");
                    assert_eq!(&**opened, &plain[..]);
                }
                let cipher = ours.encrypt(&vector, b"a", b"4111").expect("encrypted");
                let other = key(block, mode, "00000000000000000000000000000001");
                let read = other.decrypt(&vector, b"a", &cipher).ok();
                assert!(read.is_none_or(|text| &**text != b"4111"), "{block:?} {mode:?}");
                assert!(ours.decrypt(&[0; 5], b"a", &cipher).is_err());
                assert!(ours.decrypt(&vector, b"a", &cipher[1..]).is_err());
                let fits = ours.decrypt(&vector, b"b", &cipher).is_ok();
                assert_eq!(fits, mode != Mode::Gcm, "{block:?} {mode:?}");
            }
        }
        assert!(BlockKey::new(BlockCipher::Sm4, Mode::Ecb, &[0; 32]).is_err());
        assert!(BlockKey::new(BlockCipher::Aes, Mode::Ecb, &[0; 24]).is_err());
    }

    #[test]
    fn oaep_is_undone_by_its_private_key_and_digest_only() {
        let pem = merchant_key().serialize_pem();
        let public = crate::codec::sign::RsaSigner::from_pem(&pem).expect("a key").public_key_der();
        let rows = [
            (OaepDigest::Sha1, OaepDigest::Sha256, 214),
            (OaepDigest::Sha256, OaepDigest::Sha1, 190),
        ];
        for (digest, other, limit) in rows {
            let encryptor = OaepEncryptor::from_der(&public, digest).expect("a public key");
            let decryptor = OaepDecryptor::from_pem(&pem, digest).expect("a key");
            let cipher = encryptor.encrypt(b"6216261000000000018").expect("short enough");
            assert_ne!(cipher, encryptor.encrypt(b"6216261000000000018").expect("short enough"));
            assert_eq!(&**decryptor.decrypt(&cipher).expect("ours"), b"6216261000000000018");
            let wrong = OaepDecryptor::from_pem(&pem, other).expect("a key");
            assert!(wrong.decrypt(&cipher).is_err());
            let long = vec![0; limit + 1];
            let refused = CipherError::TooLong { length: limit + 1, limit };
            assert_eq!(encryptor.encrypt(&long).err(), Some(refused));
        }
    }
}
