//! Keys and certificates that the tests of this folder share: making an RSA key takes long, so each
//! is made once in a test run, afresh, and none is ever in the repository.

use std::sync::OnceLock;

use rcgen::{KeyPair, PKCS_RSA_SHA256, RsaKeySize};

fn make_key(slot: &'static OnceLock<KeyPair>) -> &'static KeyPair {
    slot.get_or_init(|| {
        KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).expect("an RSA key")
    })
}

/// The key of whoever signs or decrypts in a test.
pub fn merchant_key() -> &'static KeyPair {
    static KEY: OnceLock<KeyPair> = OnceLock::new();
    make_key(&KEY)
}

/// A key that is not the merchant's; also the key of the root authority.
pub fn other_key() -> &'static KeyPair {
    static KEY: OnceLock<KeyPair> = OnceLock::new();
    make_key(&KEY)
}
