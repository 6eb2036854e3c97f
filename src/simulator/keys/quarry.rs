//! The keys of the simulated Quarry Bank, all made from one secret. They protect nothing (I-11).

use crate::codec::crypto::cipher::{BlockCipher, BlockKey, Mode};
use crate::codec::crypto::sm2::{Sm2Signer, Sm2Verifier, USUAL_USER_ID};
use crate::codec::sign::{hex_lower, read_hex, sha256_hex};

/// The bank's keys, and the texts of its merchant's.
pub struct QuarryKeys {
    pub(in crate::simulator) merchant: Sm2Verifier,
    pub(in crate::simulator) bank: Sm2Signer,
    pub(in crate::simulator) cards: BlockKey,
    /// Hexadecimal, like the other two texts.
    pub merchant_private: String,
    pub bank_public: String,
    pub cards_shared: String,
}

impl QuarryKeys {
    /// The keys of one secret, the same every time.
    pub fn of(secret: &str) -> Self {
        let text = |name: &str| sha256_hex(format!("{secret} {name}").as_bytes());
        let signer = |private: &str| {
            Sm2Signer::parse(private, USUAL_USER_ID)
                .expect("a digest is below the order of the curve, all but surely")
        };
        let (bank, merchant_private) = (signer(&text("bank")), text("merchant"));
        let merchant_public = hex_lower(&signer(&merchant_private).public_key());
        let cards_shared = text("cards")[..32].to_owned();
        let cards = read_hex(&cards_shared).expect("a digest in digits");
        Self {
            merchant: Sm2Verifier::parse(&merchant_public, USUAL_USER_ID)
                .expect("it was just made"),
            bank_public: hex_lower(&bank.public_key()),
            bank,
            cards: BlockKey::new(BlockCipher::Sm4, Mode::Cbc, &cards).expect("16 bytes"),
            merchant_private,
            cards_shared,
        }
    }
}
