//! What is sent: the fields, the signed text, the address, and card data encrypted or not at all.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::date_time_ymd;
use zeroize::Zeroizing;

use super::sample::*;
use crate::channel::protocol::unionpay_acp::UnionPayAcp;
use crate::channel::protocol::unionpay_acp::request::txn_time;
use crate::channel::protocol::unionpay_acp::settings::SigningPem;
use crate::channel::{Adapter, ChannelRequest, WireRequest};
use crate::codec::FieldLimits;
use crate::codec::acp;
use crate::codec::certificate::Certificate;
use crate::codec::form::Fields;
use crate::codec::sample_keys::{authority_params, end_params, issue, merchant_key, other_key};
use crate::codec::sign::RsaDecryptor;
use crate::domain::attempt::Operation;
use crate::domain::money::Currency;
use crate::domain::time::Timestamp;

fn sent(adapter: &UnionPayAcp, request: &ChannelRequest) -> (WireRequest, Fields) {
    let wire = adapter.encode(request, now()).expect("a request");
    let fields = Fields::decode_form(&wire.body, FieldLimits::MESSAGE).expect("a form");
    (wire, fields)
}

fn assert_signed(fields: &Fields) {
    let certificate = Certificate::from_pem(&merchant_pem()).expect("a certificate");
    let verifier = certificate.verifier().expect("an RSA key");
    assert_eq!(acp::verify_rsa(fields, &verifier), Ok(()));
}

#[test]
fn golden_payment() {
    let (wire, fields) = sent(adapter(), &payment());
    assert_eq!(wire.method, http::Method::POST);
    assert_eq!(wire.url, "https://acp.example.com/gateway/api/backTransReq.do");
    assert_eq!(wire.headers[0].1, "application/x-www-form-urlencoded;charset=UTF-8");
    let customer = STANDARD.encode(
        "{certifTp=01&certifId=341126197709218366&customerNm=张三&phoneNo=13552535506&cvn2=123\
         &expired=3011}",
    );
    assert_eq!(
        &**acp::signed_text(&fields),
        &format!(
            "accNo=6216261000000000018&accType=01&accessType=0\
             &backUrl=https://pay.example.com/notices/unionpay?x=1&bizType=000301\
             &certId=68758028149&channelType=07&currencyCode=156&customerInfo={customer}\
             &encoding=UTF-8&merId=777290058110097&orderId=250601001000000000901&signMethod=01\
             &txnAmt=10000&txnSubType=01&txnTime=20250601101600&txnType=01&version=5.1.0"
        )
    );
    assert_signed(&fields);
}

#[test]
fn golden_inquiry_reversal_and_undo() {
    let rows = [
        (
            inquiry(),
            "queryTrans.do",
            "accessType=0&bizType=000301&certId=68758028149&encoding=UTF-8\
             &merId=777290058110097&orderId=250601001000000000901&signMethod=01&txnSubType=00\
             &txnTime=20250601101600&txnType=00&version=5.1.0",
        ),
        (
            reversal(),
            "reversal.do",
            "accessType=0&bizType=000000&certId=68758028149&channelType=07&encoding=UTF-8\
             &merId=777290058110097&orderId=250601001000000000901&signMethod=01&txnSubType=01\
             &txnTime=20250601101600&txnType=99&version=5.1.0",
        ),
        (
            undo(),
            "backTransReq.do",
            "accessType=0&backUrl=https://pay.example.com/notices/unionpay?x=1&bizType=000301\
             &certId=68758028149&channelType=07&currencyCode=156&encoding=UTF-8\
             &merId=777290058110097&orderId=250601001000000000901\
             &origQryId=442401051450467846498&signMethod=01&txnAmt=10000&txnSubType=00\
             &txnTime=20250601101600&txnType=31&version=5.1.0",
        ),
    ];
    for (request, path, text) in rows {
        let (wire, fields) = sent(adapter(), &request);
        assert_eq!(wire.url, format!("https://acp.example.com/gateway/api/{path}"));
        assert_eq!(&**acp::signed_text(&fields), text);
        assert_signed(&fields);
    }
}

#[test]
fn an_undo_names_the_original_by_our_number_where_the_channel_gave_none() {
    let ChannelRequest::FollowUp { facts, mut original, pan } = undo() else { unreachable!() };
    original.channel_reference = None;
    let (_, fields) = sent(adapter(), &ChannelRequest::FollowUp { facts, original, pan });
    assert_eq!(fields.get("origQryId"), None);
    assert_eq!(fields.get("origOrderId"), Some("250531001000000000701"));
    assert_eq!(fields.get("origTxnTime"), Some(TXN_TIME));
}

#[test]
fn i_11_card_data_is_encrypted_where_a_certificate_is_given() {
    let mut settings = settings();
    settings.encryption = vec![signer_pem(&end_params("encryption"))];
    let (_, fields) = sent(&UnionPayAcp::new(settings).expect("good settings"), &payment());
    let decryptor = RsaDecryptor::from_pem(&unionpay_key().serialize_pem()).expect("a key");
    let decrypt = |text: &str| {
        let cipher = STANDARD.decode(text).expect("base64");
        String::from_utf8(decryptor.decrypt(&cipher).expect("ours").to_vec()).expect("UTF-8")
    };
    assert_eq!(fields.get("encryptCertId"), Some("68758028149"));
    assert_eq!(decrypt(fields.get("accNo").expect("accNo")), TEST_PAN);
    let customer = STANDARD.decode(fields.get("customerInfo").expect("it is sent"));
    let customer = String::from_utf8(customer.expect("base64")).expect("UTF-8");
    let plain = "{certifTp=01&certifId=341126197709218366&customerNm=张三&encryptedInfo=";
    let sealed = customer.strip_prefix(plain).and_then(|rest| rest.strip_suffix('}'));
    let sealed = sealed.expect("the plain keys, then the sealed ones");
    assert_eq!(decrypt(sealed), "phoneNo=13552535506&cvn2=123&expired=3011");
    let text = acp::signed_text(&fields);
    for secret in [TEST_PAN, "13552535506", "=123"] {
        assert!(!text.contains(secret) && !customer.contains(secret));
    }
}

#[test]
fn a_bare_card_needs_no_customer_info() {
    let mut card = card();
    (card.expiry, card.cvv) = (None, None);
    (card.holder, card.id_number) = (Some(" ".to_owned()), None);
    card.phone = None;
    let request =
        ChannelRequest::Charge { facts: facts(Operation::Payment), instrument: card.into() };
    let (_, fields) = sent(adapter(), &request);
    assert_eq!(fields.get("customerInfo"), None);
    assert_eq!(fields.get("accNo"), Some(TEST_PAN));
}

#[test]
fn a_name_cannot_bring_a_field_along() {
    for holder in ["张三&cvn2=999", "a=b", "{x", "y]", "line\nbreak"] {
        let mut card = card();
        card.holder = Some(holder.to_owned());
        let (facts, instrument) = (facts(Operation::Payment), card.into());
        let request = ChannelRequest::Charge { facts, instrument };
        let error = adapter().encode(&request, now()).err().expect("it is refused");
        assert_eq!(
            error.to_string(),
            "the payment request cannot be built: customerNm: a character in it cannot be sent to \
             this channel"
        );
    }
}

#[test]
fn only_cny_is_sent() {
    let ChannelRequest::Charge { mut facts, instrument } = payment() else { unreachable!() };
    facts.currency = Currency::Hkd;
    let request = ChannelRequest::Charge { facts, instrument };
    let error = adapter().encode(&request, now()).err().expect("it is refused");
    assert_eq!(error.problem, "HKD is not CNY, the only currency here");
}

#[test]
fn the_newest_certificate_that_is_valid_signs() {
    let certificate = |serial: u8, year: i32| {
        let mut params = end_params("merchant");
        params.serial_number = Some(rcgen::SerialNumber::from_slice(&[serial]));
        params.not_before = date_time_ymd(year, 1, 1);
        let key = Zeroizing::new(merchant_key().serialize_pem());
        let root = authority_params("Root");
        SigningPem { certificate: issue(&params, merchant_key(), &root, other_key()), key }
    };
    let mut settings = settings();
    settings.signing = vec![certificate(1, 2020), certificate(3, 2027), certificate(2, 2025)];
    let adapter = UnionPayAcp::new(settings).expect("good settings");
    let (_, fields) = sent(&adapter, &inquiry());
    assert_eq!(fields.get("certId"), Some("2"));
    let late = Timestamp::from_millis(1_893_456_001_000);
    let error = adapter.encode(&inquiry(), late).err().expect("all have expired");
    assert_eq!(error.problem, "no signing certificate is valid now");
}

#[test]
fn card_data_goes_to_the_newest_encryption_certificate_that_is_valid() {
    let certificate = |serial: u8, from: i32, until: i32| {
        let mut params = end_params("encryption");
        params.serial_number = Some(rcgen::SerialNumber::from_slice(&[serial]));
        (params.not_before, params.not_after) =
            (date_time_ymd(from, 1, 1), date_time_ymd(until, 1, 1));
        issue(&params, other_key(), &authority_params("Root"), other_key())
    };
    let mut settings = settings();
    // The second replaces the first in 2026 and is taken back before the first has expired.
    settings.encryption = vec![certificate(1, 2020, 2030), certificate(2, 2026, 2028)];
    let adapter = UnionPayAcp::new(settings).expect("good settings");
    let serial_at = |year: i32| {
        let at = Timestamp::from_millis(date_time_ymd(year, 6, 1).unix_timestamp() * 1_000);
        let wire = adapter.encode(&payment(), at).map_err(|error| error.problem)?;
        let fields = Fields::decode_form(&wire.body, FieldLimits::MESSAGE).expect("a form");
        Ok::<_, String>(fields.get("encryptCertId").map(str::to_owned))
    };
    for (year, serial) in [(2025, "1"), (2026, "2"), (2027, "2"), (2028, "1")] {
        assert_eq!(serial_at(year), Ok(Some(serial.to_owned())), "{year}");
    }
    // Never in clear where it should be encrypted.
    assert!(serial_at(2019).is_err());
}

#[test]
fn fixed_fields_go_where_the_file_says() {
    let mut settings = settings();
    settings.fields = vec![("acqInsCode".to_owned(), "00012345".to_owned())];
    settings.payment_fields = vec![("merCatCode".to_owned(), "5411".to_owned())];
    let adapter = UnionPayAcp::new(settings).expect("good settings");
    let (_, of_payment) = sent(&adapter, &payment());
    let (_, of_inquiry) = sent(&adapter, &inquiry());
    assert_eq!(of_payment.get("acqInsCode"), Some("00012345"));
    assert_eq!(of_payment.get("merCatCode"), Some("5411"));
    assert_eq!(of_inquiry.get("acqInsCode"), Some("00012345"));
    assert_eq!(of_inquiry.get("merCatCode"), None);
}

#[test]
fn times_are_written_as_in_beijing() {
    let rows = [
        (0, "19700101080000"),
        (1_748_744_160_999, "20250601101600"),
        (1_767_196_799_000, "20251231235959"),
        (1_767_196_800_000, "20260101000000"),
    ];
    for (millis, expected) in rows {
        assert_eq!(txn_time(Timestamp::from_millis(millis)), expected);
    }
}
