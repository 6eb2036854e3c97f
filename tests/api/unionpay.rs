//! UnionPay's side of a channel: its keys and certificates, made afresh, and notices it signs.

use std::path::Path;
use std::sync::OnceLock;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
    PKCS_RSA_SHA256, RsaKeySize, SerialNumber,
};
use switchyard::codec::acp::sign_rsa;
use switchyard::codec::form::Fields;
use switchyard::codec::sign::RsaSigner;
use switchyard::config::editor::Editor;

/// The common name of UnionPay's own signer.
const SIGNER_NAME: &str = "041@Z12@中国银联股份有限公司@00010000:SIGN@1";
/// The merchant number of the channel's file.
const MERCHANT_ID: &str = "777000000000001";

/// The keys of one run: making an RSA key takes long.
struct Keys {
    authority: KeyPair,
    signer: KeyPair,
    merchant: KeyPair,
}

fn keys() -> &'static Keys {
    static KEYS: OnceLock<Keys> = OnceLock::new();
    let make =
        || KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).expect("an RSA key");
    KEYS.get_or_init(|| Keys { authority: make(), signer: make(), merchant: make() })
}

fn params(name: &str, is_authority: bool) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(2035, 1, 1);
    params.serial_number = Some(SerialNumber::from_slice(&[0x10, 0x02]));
    if is_authority {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    }
    params
}

/// A certificate of the one authority.
fn issue(params: &CertificateParams, subject: &KeyPair) -> String {
    let authority = self::params("Authority", true);
    let issuer = Issuer::from_params(&authority, &keys().authority);
    params.signed_by(subject, &issuer).expect("a certificate").pem()
}

/// Every operation, for the section `[abilities]` of the channel's file.
pub const ALL_OPERATIONS: &str = "operations = [\"payment\", \"refund\", \"void\", \"preauth\", \
                                  \"capture\", \"payout\", \"undo\", \"inquiry\", \"reversal\"]";

const OWN: &str = r#"
state = "live"
statement.layout = "generic-csv"
[unionpay_acp]
encryption_certificates = []
intermediate_certificates = "file:keys/root.pem"
"#;

/// Writes the shipped example channel, live, with keys of this run and these abilities in the place
/// of its operations. Its statements are read as generic CSV, which a test can write by hand.
pub fn write_channel(folder: &Path, abilities: &str) {
    let text = include_str!("../../channels/unionpay.toml");
    let mut editor = Editor::new(text).expect("TOML");
    // `reversible` goes with the operations: what a test leaves out cannot be reversed either.
    editor.remove(&["abilities"], "reversible");
    editor.lay(OWN).expect("TOML");
    editor.lay(&format!("[abilities]\n{abilities}")).expect("TOML");
    let text = editor.to_string();
    let keys_folder = folder.join("channels/keys");
    std::fs::create_dir_all(&keys_folder).expect("a folder");
    let write = |path: &str, text: &str| {
        std::fs::write(folder.join("channels").join(path), text).expect("a file");
    };
    write("unionpay.toml", &text);
    write("keys/root.pem", &issue(&params("Authority", true), &keys().authority));
    write("keys/sign.pem", &issue(&params("merchant", false), &keys().merchant));
    write("keys/sign.key", &keys().merchant.serialize_pem());
}

/// A signed notice about a payment of ours; `more` overrides its fields, an empty one goes.
pub fn notice(channel_order_no: &str, sent_at: &str, more: &[(&str, &str)]) -> String {
    let mut fields: Fields = [
        ("accessType", "0"),
        ("bizType", "000301"),
        ("currencyCode", "156"),
        ("encoding", "UTF-8"),
        ("merId", MERCHANT_ID),
        ("orderId", channel_order_no),
        ("queryId", "442401051450467846498"),
        ("respCode", "00"),
        ("txnAmt", "12345"),
        ("txnSubType", "01"),
        ("txnTime", sent_at),
        ("txnType", "01"),
        ("version", "5.1.0"),
    ]
    .into_iter()
    .collect();
    for (key, value) in more {
        fields.set(key, value);
    }
    fields.trim_and_drop_empty();
    fields.set("signPubKeyCert", &issue(&params(SIGNER_NAME, false), &keys().signer));
    let signer = RsaSigner::from_pem(&keys().signer.serialize_pem()).expect("a key");
    sign_rsa(&mut fields, "68759585097", &signer);
    fields.encode_form()
}
