//! Keys and certificates that the tests of this folder share: making an RSA key takes long, so each
//! is made once in a test run, afresh, and none is ever in the repository.

use std::sync::OnceLock;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
    PKCS_RSA_SHA256, RsaKeySize, SerialNumber,
};

/// The owner name of the sample signer's certificate, in the form that UnionPay's CA gives.
pub const SIGNER_NAME: &str = "041@2025-1@中国银联股份有限公司@1";

/// What OpenSSL made once of keys that it then forgot, as UnionPay's authority does it: both
/// authorities and the signers are signed with SHA-1, good from 2025 to 2044. For a signer:
///
/// - `openssl req -new -newkey rsa:2048 -nodes -keyout k -out r -config c -utf8 -subj
///   /C=CN/O=Sample/CN=…`, with `string_mask = utf8only` in `c`; for a T61String with `nombstr`,
///   no `-utf8`, and the name's bytes in UTF-8 or GBK;
/// - `openssl x509 -req -in r -CA middle.pem -CAkey m -sha1 -days 7300 -set_serial 68759585097
///   -extfile e`, with `keyUsage=digitalSignature,nonRepudiation` in `e`.
///
/// The forged one is of another middle authority with the same name.
pub const GOLDEN_ROOT: &str = include_str!("golden/root.pem");
pub const GOLDEN_MIDDLE: &str = include_str!("golden/middle.pem");
pub const GOLDEN_SIGNER_SHA1: &str = include_str!("golden/signer-sha1.pem");
pub const GOLDEN_SIGNER_SHA256: &str = include_str!("golden/signer-sha256.pem");
pub const GOLDEN_SIGNER_T61_GBK: &str = include_str!("golden/signer-t61-gbk.pem");
pub const GOLDEN_SIGNER_T61_UTF_8: &str = include_str!("golden/signer-t61-utf-8.pem");
pub const GOLDEN_SIGNER_FORGED: &str = include_str!("golden/signer-forged.pem");
/// The common name of every golden signer.
pub const GOLDEN_SIGNER_NAME: &str = "041@8310000000083040@中国银联股份有限公司@00016495";

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

/// The key of the certificate authority in the middle of a chain.
pub fn middle_key() -> &'static KeyPair {
    static KEY: OnceLock<KeyPair> = OnceLock::new();
    make_key(&KEY)
}

/// A key that is not the merchant's; also the key of the root authority.
pub fn other_key() -> &'static KeyPair {
    static KEY: OnceLock<KeyPair> = OnceLock::new();
    make_key(&KEY)
}

/// Parameters of a certificate with this common name, good from 2020 to 2030, that is no CA.
pub fn end_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(2030, 1, 1);
    params.serial_number = Some(SerialNumber::from_slice(&[0x10, 0x02, 0x4c, 0x3f, 0x75]));
    params
}

/// The same for a certificate authority.
pub fn authority_params(name: &str) -> CertificateParams {
    let mut params = end_params(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
}

/// The authority that issues where it does not matter which one does.
pub fn sample_authority() -> CertificateParams {
    authority_params("Sample Authority")
}

/// The PEM of a certificate for `subject_key`, signed in the name of `issuer` by `issuer_key`.
pub fn issue(
    params: &CertificateParams,
    subject_key: &KeyPair,
    issuer: &CertificateParams,
    issuer_key: &KeyPair,
) -> String {
    params
        .signed_by(subject_key, &Issuer::from_params(issuer, issuer_key))
        .expect("a certificate")
        .pem()
}
