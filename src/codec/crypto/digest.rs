//! Digests and keyed digests by name: MD5, SHA-1, SHA-256, SHA-512, SM3.
//!
//! MD5 (RFC 1321) and SHA-1 withstand no attacker who chooses both texts; channels that sign with
//! them rely on the shared key inside the digested text. SM3 is GB/T 32905-2016.

use aws_lc_rs::digest as library;
use md5::{Digest as _, Md5};
use sm3::Sm3;
use zeroize::Zeroizing;

/// The most bytes that a block of one of these digests has.
const BLOCK_BYTES_MAX: usize = 128;

/// Which digest is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Digest {
    Md5,
    Sha1,
    Sha256,
    Sha512,
    Sm3,
}

impl Digest {
    /// Bytes of a block, which HMAC fills its key up to (RFC 2104 §2).
    const fn block_bytes(self) -> usize {
        match self {
            Self::Md5 | Self::Sha1 | Self::Sha256 | Self::Sm3 => 64,
            Self::Sha512 => BLOCK_BYTES_MAX,
        }
    }

    /// The digest of the pieces laid end to end: 16, 20, 32, 64 or 32 bytes.
    pub fn of(self, pieces: &[&[u8]]) -> Vec<u8> {
        match self {
            Self::Md5 => {
                let mut state = Md5::new();
                pieces.iter().for_each(|piece| state.update(piece));
                state.finalize().to_vec()
            }
            Self::Sm3 => {
                let mut state = Sm3::new();
                pieces.iter().for_each(|piece| state.update(piece));
                state.finalize().to_vec()
            }
            Self::Sha1 => of_library(&library::SHA1_FOR_LEGACY_USE_ONLY, pieces),
            Self::Sha256 => of_library(&library::SHA256, pieces),
            Self::Sha512 => of_library(&library::SHA512, pieces),
        }
    }

    /// HMAC (RFC 2104) of the pieces laid end to end, under a key of any length.
    pub fn hmac(self, key: &[u8], pieces: &[&[u8]]) -> Vec<u8> {
        let length = self.block_bytes();
        let mut block = Zeroizing::new([0_u8; BLOCK_BYTES_MAX]);
        if key.len() > length {
            let short = Zeroizing::new(self.of(&[key]));
            block[..short.len()].copy_from_slice(&short);
        } else {
            block[..key.len()].copy_from_slice(key);
        }
        let masked = |mask: u8| Zeroizing::new(block.map(|byte| byte ^ mask));
        let (inner, outer) = (masked(0x36), masked(0x5c));
        let mut text: Vec<&[u8]> = vec![&inner[..length]];
        text.extend_from_slice(pieces);
        self.of(&[&outer[..length], &self.of(&text)])
    }
}

/// SHA-256 of a text that comes in pieces.
pub struct RunningSha256(library::Context);

impl Default for RunningSha256 {
    fn default() -> Self {
        Self(library::Context::new(&library::SHA256))
    }
}

impl RunningSha256 {
    pub fn update(&mut self, piece: &[u8]) {
        self.0.update(piece);
    }

    pub fn finish(self) -> [u8; 32] {
        *self.0.finish().as_ref().first_chunk().expect("SHA-256 has 32 bytes")
    }
}

fn of_library(algorithm: &'static library::Algorithm, pieces: &[&[u8]]) -> Vec<u8> {
    let mut state = library::Context::new(algorithm);
    pieces.iter().for_each(|piece| state.update(piece));
    state.finish().as_ref().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::sign::hex_lower;

    #[test]
    fn digests_match_their_standards() {
        let rows: [(Digest, &[u8], &str); 12] = [
            // RFC 1321 A.5.
            (Digest::Md5, b"", "d41d8cd98f00b204e9800998ecf8427e"),
            (Digest::Md5, b"a", "0cc175b9c0f1b6a831c399e269772661"),
            (Digest::Md5, b"abc", "900150983cd24fb0d6963f7d28e17f72"),
            (Digest::Md5, b"message digest", "f96b697d7cb7938d525a2f31aaf161d0"),
            (Digest::Md5, b"abcdefghijklmnopqrstuvwxyz", "c3fcd3d76192e4007dfb496cca67e13b"),
            (
                Digest::Md5,
                b"1234567890123456789012345678901234567890123456789012345678901234567890123456\
                  7890",
                "57edf4a22be3c955ac49da2e2107b67a",
            ),
            // FIPS 180-4 examples.
            (Digest::Sha1, b"abc", "a9993e364706816aba3e25717850c26c9cd0d89d"),
            (
                Digest::Sha256,
                b"abc",
                "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
            ),
            (
                Digest::Sha512,
                b"abc",
                "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a\
                 2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
            ),
            // GB/T 32905-2016 A.1 and A.2.
            (
                Digest::Sm3,
                b"abc",
                "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0",
            ),
            (
                Digest::Sm3,
                b"abcdabcdabcdabcdabcdabcdabcdabcdabcdabcdabcdabcdabcdabcdabcdabcd",
                "debe9ff92275b8a138604889c18e5a4d6fdb70e5387e5765293dcba39c0c5732",
            ),
            (Digest::Sm3, b"", "1ab21d8355cfa17f8e61194831e81a8f22bec8c728fefb747ed035eb5082aa2b"),
        ];
        for (digest, text, expected) in rows {
            assert_eq!(hex_lower(&digest.of(&[text])), expected, "{digest:?}");
            let (front, back) = text.split_at(text.len() / 2);
            assert_eq!(hex_lower(&digest.of(&[front, back])), expected, "{digest:?} in pieces");
        }
    }

    #[test]
    fn keyed_digests_match_rfc_2202_and_rfc_4231() {
        let long_key = [0xaa_u8; 80];
        let long = b"Test Using Larger Than Block-Size Key - Hash Key First";
        let longer_key = [0xaa_u8; 131];
        let rows: [(Digest, &[u8], &[u8], &str); 8] = [
            (
                Digest::Md5,
                b"Jefe",
                b"what do ya want for nothing?",
                "750c783e6ab0b503eaa86e310a5db738",
            ),
            (Digest::Md5, &long_key, long, "6b1ab7fe4bd7bf8f0b62e6ce61b9d0cd"),
            (
                Digest::Sha1,
                b"Jefe",
                b"what do ya want for nothing?",
                "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79",
            ),
            (Digest::Sha1, &long_key, long, "aa4ae5e15272d00e95705637ce8a3b55ed402112"),
            (
                Digest::Sha256,
                b"Jefe",
                b"what do ya want for nothing?",
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            ),
            // RFC 4231 test cases 2 and 6.
            (
                Digest::Sha512,
                b"Jefe",
                b"what do ya want for nothing?",
                "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea250554\
                 9758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737",
            ),
            (
                Digest::Sha512,
                &longer_key,
                long,
                "80b24263c7c1a3ebb71493c1dd7be8b49b46d1f41b4aeec1121b013783f8f352\
                 6b56d037e05f2598bd0fd2215d6a1e5295e64f73f63f0aec8b915a985d786598",
            ),
            // GM/T 0042-2015 has the same text under a key of its own; this row is OpenSSL's.
            (
                Digest::Sm3,
                b"Jefe",
                b"what do ya want for nothing?",
                "2e87f1d16862e6d964b50a5200bf2b10b764faa9680a296a2405f24bec39f882",
            ),
        ];
        for (digest, key, text, expected) in rows {
            assert_eq!(hex_lower(&digest.hmac(key, &[text])), expected, "{digest:?}");
            let tag = digest.hmac(key, &[&text[..3], &text[3..]]);
            assert_eq!(hex_lower(&tag), expected, "{digest:?} in pieces");
        }
    }
}
