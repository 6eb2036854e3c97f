//! How UnionPay's ACP 5.1.0 messages are signed and proved: string building, RSA and shared key.
//!
//! Facts: the signed text is the non-empty fields except `signature`, in byte order of their keys,
//! as `key=value` joined with `&`, in UTF-8. Method 01 signs the lower-case hexadecimal SHA-256 of
//! it (so the text is hashed twice) with RSASSA-PKCS1-v1_5 and SHA-256; method 11 hashes it with
//! the hash of a shared key behind it. Which certificate to believe is the caller's decision; what
//! a message means is the adapter's.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::form::Fields;
use super::sign::{
    RsaSigner, RsaVerifier, Sha256, SignatureError, equal_in_constant_time, hex_lower, sha256_hex,
};

/// The field that carries the signature and is never part of the signed text.
pub const SIGNATURE: &str = "signature";
/// The field that names the signing certificate by its decimal serial number.
pub const CERT_ID: &str = "certId";
/// The field that names the method.
pub const SIGN_METHOD: &str = "signMethod";
/// RSA with SHA-256.
pub const METHOD_RSA: &str = "01";
/// SHA-256 with a shared key.
pub const METHOD_SHARED_KEY: &str = "11";

/// Who owns the certificates that UnionPay signs with.
pub const UNIONPAY_OWNER: &str = "中国银联股份有限公司";

/// Whether fields without a value stand in the signed text.
#[derive(Clone, Copy, PartialEq, Eq)]
enum EmptyFields {
    LeftOut,
    Kept,
}

/// Signs `fields` with RSA: cuts blanks, drops empty fields, then sets `certId`, `signMethod` and
/// `signature`, which it gives back. After it the fields must be sent as they are.
///
/// `cert_id` is the decimal serial number of the certificate that belongs to `signer`.
pub fn sign_rsa(fields: &mut Fields, cert_id: &str, signer: &RsaSigner) -> String {
    prepare_rsa(fields, cert_id);
    let digest = text_digest_hex(fields, EmptyFields::LeftOut);
    let signature = STANDARD.encode(signer.sign(digest.as_bytes()));
    fields.set(SIGNATURE, &signature);
    signature
}

/// The fields as [`sign_rsa`] signs them, without the signature.
pub fn prepare_rsa(fields: &mut Fields, cert_id: &str) {
    fields.set(CERT_ID, cert_id);
    fields.set(SIGN_METHOD, METHOD_RSA);
    fields.trim_and_drop_empty();
}

/// Proves fields that came in, whose `signMethod` is 01, with the key of their certificate.
pub fn verify_rsa(fields: &Fields, verifier: &RsaVerifier) -> Result<(), SignatureError> {
    let text = fields.get(SIGNATURE).filter(|text| !text.is_empty());
    let signature = STANDARD
        .decode(text.ok_or(SignatureError::Missing)?)
        .map_err(|_| SignatureError::NotBase64)?;
    verify_either_text(fields, |digest| verifier.verify(digest.as_bytes(), &signature))
}

/// Whether a believed certificate is UnionPay's own, by the common name of its subject.
///
/// The name has parts with `@` between; the third is the owner and must be [`UNIONPAY_OWNER`].
/// `also_accepted` are further owners or whole common names, such as `00040000:SIGN` of the test
/// system, which must not be accepted in production.
pub fn owner_is_accepted(common_name: &str, also_accepted: &[String]) -> bool {
    let owner = common_name.split('@').nth(2);
    owner == Some(UNIONPAY_OWNER)
        || also_accepted.iter().any(|name| name == common_name || owner == Some(name.as_str()))
}

/// The shared key of method 11, kept as the hash that is signed with: the key itself is forgotten.
#[derive(Clone)]
pub struct AcpSharedKey {
    hash_hex: Zeroizing<String>,
}

impl AcpSharedKey {
    pub fn new(secret: &[u8]) -> Self {
        Self { hash_hex: Zeroizing::new(sha256_hex(secret)) }
    }

    fn signature(&self, fields: &Fields, empty: EmptyFields) -> String {
        let mut digest = start_text(fields, empty);
        digest.update(b"&");
        digest.update(self.hash_hex.as_bytes());
        hex_lower(&digest.finish())
    }
}

impl fmt::Debug for AcpSharedKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SharedKey(***)")
    }
}

/// Signs `fields` with a shared key: cuts blanks, drops empty fields and `certId` (this method has
/// none), then sets `signMethod` and `signature`.
pub fn sign_shared(fields: &mut Fields, key: &AcpSharedKey) {
    fields.remove(CERT_ID);
    fields.set(SIGN_METHOD, METHOD_SHARED_KEY);
    fields.trim_and_drop_empty();
    let signature = key.signature(fields, EmptyFields::LeftOut);
    fields.set(SIGNATURE, &signature);
}

/// Proves fields that came in, whose `signMethod` is 11.
pub fn verify_shared(fields: &Fields, key: &AcpSharedKey) -> Result<(), SignatureError> {
    let given = fields.get(SIGNATURE).filter(|text| !text.is_empty());
    let given = given.ok_or(SignatureError::Missing)?.as_bytes();
    let fits = |empty| equal_in_constant_time(key.signature(fields, empty).as_bytes(), given);
    if fits(EmptyFields::LeftOut) || (has_empty(fields) && fits(EmptyFields::Kept)) {
        Ok(())
    } else {
        Err(SignatureError::Mismatch)
    }
}

/// The text that is signed, for a person who looks for the reason of a mismatch. It may hold card
/// data in clear: never log it (I-11).
pub fn signed_text(fields: &Fields) -> Zeroizing<String> {
    let length = fields.iter().map(|(key, value)| key.len() + value.len() + 2).sum();
    let mut text = Zeroizing::new(String::with_capacity(length));
    visit_text(fields, EmptyFields::LeftOut, |piece| text.push_str(piece));
    text
}

/// Tries the text without empty fields, as the rule has it, and if there are any also the text with
/// them: the official software drops them from requests and notices but not from answers. An empty
/// field says nothing, so accepting either lets nobody change a message.
fn verify_either_text(
    fields: &Fields,
    verify: impl Fn(&str) -> Result<(), SignatureError>,
) -> Result<(), SignatureError> {
    let proved = verify(&text_digest_hex(fields, EmptyFields::LeftOut));
    if proved.is_err() && has_empty(fields) {
        return verify(&text_digest_hex(fields, EmptyFields::Kept));
    }
    proved
}

fn has_empty(fields: &Fields) -> bool {
    fields.iter().any(|(_, value)| value.is_empty())
}

fn text_digest_hex(fields: &Fields, empty: EmptyFields) -> String {
    hex_lower(&start_text(fields, empty).finish())
}

/// Hashes the text piece by piece, so that no copy of it is left in memory.
fn start_text(fields: &Fields, empty: EmptyFields) -> Sha256 {
    let mut digest = Sha256::new();
    visit_text(fields, empty, |piece| digest.update(piece.as_bytes()));
    digest
}

fn visit_text(fields: &Fields, empty: EmptyFields, mut visit: impl FnMut(&str)) {
    let mut first = true;
    for (key, value) in fields.iter() {
        if key == SIGNATURE || (empty == EmptyFields::LeftOut && value.is_empty()) {
            continue;
        }
        if !first {
            visit("&");
        }
        first = false;
        visit(key);
        visit("=");
        visit(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::sample_keys::{SIGNER_NAME, merchant_key, other_key};

    /// The message whose hash the official software gave; a blank at the end of `reqReserved` and
    /// an empty field must make no difference.
    fn sample() -> Fields {
        [
            ("accNo", "6216261000000000018"),
            ("accType", "01"),
            ("accessType", "0"),
            ("backUrl", "http://127.0.0.1:8080/notify?x=1"),
            ("bizType", "000301"),
            ("certId", "68759663125"),
            ("channelType", "07"),
            ("currencyCode", "156"),
            ("customerIp", " "),
            ("encoding", "UTF-8"),
            ("merId", "777290058110097"),
            ("orderId", "20250601101600001"),
            ("reqReserved", "备注 test "),
            ("signMethod", "01"),
            ("txnAmt", "10000"),
            ("txnSubType", "01"),
            ("txnTime", "20250601101600"),
            ("txnType", "01"),
            ("version", "5.1.0"),
        ]
        .into_iter()
        .collect()
    }

    fn signer() -> RsaSigner {
        RsaSigner::from_pem(&merchant_key().serialize_pem()).expect("a key")
    }

    fn verifier(signer: &RsaSigner) -> RsaVerifier {
        RsaVerifier::from_der(&signer.public_key_der()).expect("a public key")
    }

    #[test]
    fn the_signed_text_and_its_hash_are_those_of_the_official_software() {
        let mut fields = sample();
        fields.trim_and_drop_empty();
        assert_eq!(
            &**signed_text(&fields),
            "accNo=6216261000000000018&accType=01&accessType=0&backUrl=http://127.0.0.1:8080/notify\
             ?x=1&bizType=000301&certId=68759663125&channelType=07&currencyCode=156&encoding=UTF-8\
             &merId=777290058110097&orderId=20250601101600001&reqReserved=备注 test&signMethod=01\
             &txnAmt=10000&txnSubType=01&txnTime=20250601101600&txnType=01&version=5.1.0"
        );
        assert_eq!(
            text_digest_hex(&fields, EmptyFields::LeftOut),
            "c17db5eceec74482da619bc86295656617ce749d041d0d25799a3816b6956cdb"
        );
    }

    #[test]
    fn rsa_signs_the_hexadecimal_text_of_the_hash() {
        let signer = signer();
        let mut fields = sample();
        fields.set("signature", "an old one");
        sign_rsa(&mut fields, "68759663125", &signer);
        let expected =
            signer.sign(b"c17db5eceec74482da619bc86295656617ce749d041d0d25799a3816b6956cdb");
        assert_eq!(fields.get("signature"), Some(STANDARD.encode(expected).as_str()));
        assert_eq!(fields.get("customerIp"), None);
        assert_eq!(verify_rsa(&fields, &verifier(&signer)), Ok(()));
    }

    #[test]
    fn a_changed_message_is_not_proved() {
        let signer = signer();
        let verifier = verifier(&signer);
        let mut fields = sample();
        sign_rsa(&mut fields, "68759663125", &signer);
        let rows: [(&str, &str, SignatureError); 6] = [
            ("txnAmt", "10001", SignatureError::Mismatch),
            ("more", "x", SignatureError::Mismatch),
            ("reqReserved", "备注 test ", SignatureError::Mismatch),
            ("signature", "", SignatureError::Missing),
            ("signature", "*", SignatureError::NotBase64),
            ("signature", "AAEC", SignatureError::Mismatch),
        ];
        for (key, value, expected) in rows {
            let mut changed = fields.clone();
            changed.set(key, value);
            assert_eq!(verify_rsa(&changed, &verifier), Err(expected), "{key}={value}");
        }
        let stranger = RsaSigner::from_pem(&other_key().serialize_pem()).expect("a key");
        let stranger = RsaVerifier::from_der(&stranger.public_key_der()).expect("a public key");
        assert_eq!(verify_rsa(&fields, &stranger), Err(SignatureError::Mismatch));
    }

    #[test]
    fn an_answer_may_be_signed_with_or_without_its_empty_fields() {
        let signer = signer();
        let verifier = verifier(&signer);
        let mut answer: Fields =
            [("respCode", "00"), ("reserved", ""), ("signMethod", "01")].into_iter().collect();
        for text in ["respCode=00&signMethod=01", "reserved=&respCode=00&signMethod=01"] {
            let signature = signer.sign(sha256_hex(text.as_bytes()).as_bytes());
            answer.set("signature", &STANDARD.encode(signature));
            assert_eq!(verify_rsa(&answer, &verifier), Ok(()), "{text}");
        }
    }

    #[test]
    fn the_owner_is_the_third_part_of_the_name() {
        let test_system = ["00040000:SIGN".to_owned()];
        let rows: [(&str, &[String], bool); 8] = [
            (SIGNER_NAME, &[], true),
            ("041@2025-1@中国银联股份有限公司", &[], true),
            ("中国银联股份有限公司", &[], false),
            ("041@中国银联股份有限公司@x", &[], false),
            ("041@2025-1@中国银联股份有限公司 @1", &[], false),
            ("00040000:SIGN", &[], false),
            ("00040000:SIGN", &test_system, true),
            ("041@Z1@00040000:SIGN@1", &test_system, true),
        ];
        for (name, also, expected) in rows {
            assert_eq!(owner_is_accepted(name, also), expected, "{name}");
        }
    }

    #[test]
    fn the_shared_key_gives_the_published_vector() {
        let key = AcpSharedKey::new(b"testsecurekey");
        let mut fields: Fields = [
            ("encoding", "UTF-8"),
            ("merId", "777290058110097"),
            ("txnType", "00"),
            ("version", "5.1.0"),
            ("certId", "1"),
        ]
        .into_iter()
        .collect();
        sign_shared(&mut fields, &key);
        assert_eq!(
            fields.get("signature"),
            Some("a016f385067b6cc6302a454b8e0c6a34429a6d0b9b471e008d4293047e1dcc16")
        );
        assert_eq!(verify_shared(&fields, &key), Ok(()));
        let other = AcpSharedKey::new(b"another key");
        assert_eq!(verify_shared(&fields, &other), Err(SignatureError::Mismatch));
        fields.set("txnType", "01");
        assert_eq!(verify_shared(&fields, &key), Err(SignatureError::Mismatch));
        fields.remove("signature");
        assert_eq!(verify_shared(&fields, &key), Err(SignatureError::Missing));
        assert_eq!(format!("{key:?}"), "SharedKey(***)");
    }
}
