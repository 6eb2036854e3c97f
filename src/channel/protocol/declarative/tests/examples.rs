//! Meadow Bank (form, MD5), Canyon Pay (JSON, RSA, notices) and Quarry Bank (XML, SM2): what they
//! are sent, what their replies prove. Expected bytes and digests were made by hand and with
//! Python's `hashlib`; signatures of key pairs are checked against the text that must be signed.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue};

use super::*;
use crate::channel::protocol::sample::{sample_card, sample_facts, sample_now, sample_requests};
use crate::codec::crypto::cipher::{BlockCipher, BlockKey, Mode, OaepDecryptor, OaepDigest};
use crate::codec::crypto::digest::Digest;
use crate::codec::crypto::sm2::{Sm2Form, Sm2Verifier};
use crate::codec::form::Fields;
use crate::codec::sign::{RsaSigner, RsaVerifier, read_hex};
use crate::codec::xml::Element;

pub fn adapter(text: &str) -> Declarative {
    load(text).expect("the shipped file is right")
}

fn refund() -> ChannelRequest {
    let facts = AttemptFacts {
        operation: Operation::Refund,
        amount: AmountMinor::new(30).expect("an amount"),
        ..facts(8)
    };
    ChannelRequest::FollowUp { facts, original: super::facts(7), pan: None }
}

fn text(wire: &WireRequest) -> &str {
    std::str::from_utf8(&wire.body).expect("UTF-8")
}

#[test]
fn meadow_s_requests_are_these_forms_with_md5() {
    let rows = [
        (
            bare_payment(),
            "amt=12.30&card_no=4111111111111111&cur=156&mer_id=802310048990001\
             &order_id=261122001000000000701&service=pay&sign_type=MD5\
             &txn_time=20261122160000&version=2.0",
        ),
        (inquiry(), "mer_id=802310048990001&order_id=261122001000000000701&service=query"),
        (
            refund(),
            "amt=0.30&mer_id=802310048990001&order_id=261122001000000000801\
             &orig_order_id=261122001000000000701&service=refund",
        ),
    ];
    let adapter = adapter(MEADOW);
    for (request, line) in rows {
        let wire = adapter.encode(&request, now()).expect("encodable");
        assert_eq!(wire.url, "https://gateway.meadow-bank.example/acq/trade.do");
        let pairs = line.split('&').map(|pair| pair.split_once('=').expect("a pair"));
        let mut expected: Fields = pairs.collect();
        let signed = line.replace("&sign_type=MD5", "");
        let digest = Digest::Md5.of(&[format!("{signed}&key={SHARED_KEY}").as_bytes()]);
        expected.set("sign", &hex_lower(&digest).to_uppercase());
        assert_eq!(text(&wire), expected.encode_form());
    }
    // Computed with Python's `hashlib.md5` over the sorted line, "&key=" and the key.
    let wire = adapter.encode(&inquiry(), now()).expect("encodable");
    assert!(
        text(&wire).contains(
            "&sign=A230955870925\
         217360CCEB467564917"
        ),
        "{}",
        text(&wire)
    );
}

pub fn meadow_reply(pairs: &str) -> WireReply {
    let mut fields: Fields =
        pairs.split('&').map(|pair| pair.split_once('=').expect("a pair")).collect();
    let digest = Digest::Md5.of(&[format!("{}&key={SHARED_KEY}", fields.encode_line()).as_bytes()]);
    fields.set("sign", &hex_lower(&digest));
    WireReply { status: 200, headers: HeaderMap::new(), body: fields.encode_form().into() }
}

#[test]
fn meadow_s_replies_have_points_and_codes_for_the_original() {
    let yes = format!("amt=12.30&order_id={ORDER}&resp_code=00&trace_no=T1");
    let original = |code: &str| format!("amt=12.3&orig_resp_code={code}&{}", &yes[10..]);
    let rows = [
        (payment(), yes.clone(), approved("00", Some("T1"), None)),
        (payment(), yes.replace("12.30", "12.31"), unknown(UnknownCause::Mismatched)),
        (payment(), yes.replace("12.30", "1230.0.0"), unknown(UnknownCause::Garbled)),
        (payment(), "resp_code=51".to_owned(), declined(Reason::InsufficientFunds, "51")),
        (inquiry(), original("00"), approved("00", Some("T1"), None)),
        (inquiry(), original("51"), declined(Reason::InsufficientFunds, "51")),
        (inquiry(), original("P1"), pending("P1", Some("T1"))),
        (inquiry(), original("ZZ"), unknown(UnknownCause::UnlistedCode)),
        (inquiry(), yes.clone(), unknown(UnknownCause::Garbled)),
        (inquiry(), "resp_code=25".to_owned(), Outcome::NotFound { code: "25".to_owned() }),
        (inquiry(), "resp_code=05".to_owned(), unknown(UnknownCause::InquiryFailed)),
        (reversal(), format!("order_id={ORDER}&resp_code=A1"), approved("A1", None, None)),
        (reversal(), "resp_code=A1".to_owned(), unknown(UnknownCause::Garbled)),
        (refund(), format!("order_id={UNDO_ORDER}&resp_code=00"), approved("00", None, None)),
        (refund(), format!("order_id={ORDER}&resp_code=00"), unknown(UnknownCause::Mismatched)),
        (refund(), "resp_code=12".to_owned(), declined(Reason::OriginalNotEligible, "12")),
        (refund(), "resp_code=96".to_owned(), unknown(UnknownCause::ChannelUnsure)),
    ];
    let adapter = adapter(MEADOW);
    for (request, pairs, expected) in rows {
        let understood = adapter.decode(&request, &meadow_reply(&pairs), now());
        assert_eq!(understood.outcome, expected, "{} {pairs}", request.name());
    }
}

#[test]
fn i_2_a_form_is_believed_only_with_the_bank_s_own_signature() {
    let pairs = format!("amt=12.30&order_id={ORDER}&resp_code=00&trace_no=T1");
    let good = meadow_reply(&pairs);
    let text = String::from_utf8(good.body.to_vec()).expect("a form");
    let adapter = adapter(MEADOW);
    let without = text.split("&sign=").next().expect("the fields before it").to_owned();
    for body in [text.replace("T1", "T2"), without, format!("{text}&z=1")] {
        let reply = WireReply { body: body.into(), ..good.clone() };
        let outcome = adapter.decode(&payment(), &reply, now()).outcome;
        assert_eq!(outcome, unknown(UnknownCause::BadSignature));
    }
    // Empty fields and `sign_type` are outside of the signature, as the bank has it.
    let more = WireReply { body: format!("{text}&sign_type=MD5&memo=").into(), ..good.clone() };
    assert!(matches!(adapter.decode(&payment(), &more, now()).outcome, Outcome::Approved(_)));
    let twice = WireReply { body: format!("{text}&amt=12.30").into(), ..good };
    let outcome = adapter.decode(&payment(), &twice, now()).outcome;
    assert_eq!(outcome, unknown(UnknownCause::Garbled));
}

/// What stands between `name="` and the next quote in the Authorization header.
fn part<'w>(wire: &'w WireRequest, name: &str) -> &'w str {
    let whole = header(wire, "authorization");
    let start = whole.find(&format!("{name}=\"")).expect("the part") + name.len() + 2;
    whole[start..].split('"').next().expect("its end")
}

#[test]
fn canyon_s_requests_are_signed_in_their_authorization_header() {
    let adapter = adapter(CANYON);
    let decryptor =
        OaepDecryptor::from_pem(&other_key().serialize_pem(), OaepDigest::Sha1).expect("a key");
    let ours = RsaSigner::from_pem(&merchant_key().serialize_pem()).expect("a key");
    let ours = RsaVerifier::from_der(&ours.public_key_der()).expect("a key");
    let rows = [
        (payment(), "POST", "/v3/pay/cards".to_owned()),
        (inquiry(), "GET", format!("/v3/pay/cards/{ORDER}?mchid=1900007291")),
        (reversal(), "POST", format!("/v3/pay/cards/{ORDER}/revoke")),
        (refund(), "POST", "/v3/refunds".to_owned()),
    ];
    for (request, method, path) in rows {
        let wire = adapter.encode(&request, now()).expect("encodable");
        assert_eq!(
            (wire.method.as_str(), &*wire.url),
            (method, &*format!("https://api.canyon-pay.example{path}"))
        );
        let (time, nonce) = (part(&wire, "time"), part(&wire, "nonce"));
        assert_eq!((time, nonce.len(), part(&wire, "mchid")), ("1795334401", 32, "1900007291"));
        let body = text(&wire);
        let signed = format!("{method}\n{path}\n{time}\n{nonce}\n{body}\n");
        let signature = BASE64.decode(part(&wire, "signature")).expect("base64");
        assert_eq!(ours.verify(signed.as_bytes(), &signature), Ok(()), "{method} {path}");
        let later = adapter.encode(&request, Timestamp::from_millis(now().as_millis() + 1));
        assert_ne!(part(&later.expect("encodable"), "nonce"), nonce);
    }
    let wire = adapter.encode(&payment(), now()).expect("encodable");
    let body: serde_json::Value = serde_json::from_slice(&wire.body).expect("JSON");
    let card = BASE64.decode(body["card"]["number"].as_str().expect("a text")).expect("base64");
    assert_eq!(&**decryptor.decrypt(&card).expect("for the platform"), PAN.as_bytes());
    assert_eq!(body["amount"]["total"], 1_230);
    let wire = adapter.encode(&bare_payment(), now()).expect("encodable");
    // The name in quotes: a ciphertext in base64 may hold any three letters.
    assert!(!text(&wire).contains("\"cvv\""));
}

/// A reply or notice as the platform signs it, under the id of one of its keys.
pub fn canyon_reply(status: u16, body: &str, serial: &'static str) -> WireReply {
    let signer = RsaSigner::from_pem(&other_key().serialize_pem()).expect("a key");
    let signature = signer.sign(format!("1795334402\nN1\n{body}\n").as_bytes());
    let mut headers = HeaderMap::new();
    headers.insert("canyon-timestamp", HeaderValue::from_static("1795334402"));
    headers.insert("canyon-nonce", HeaderValue::from_static("N1"));
    headers.insert("canyon-serial", HeaderValue::from_static(serial));
    let signature = BASE64.encode(signature).parse().expect("base64");
    headers.insert("canyon-signature", signature);
    WireReply { status, headers, body: Bytes::copy_from_slice(body.as_bytes()) }
}

pub const SERIAL: &str = "7132D72A03E93CDDF8C03BBD1F37EEDF";

#[test]
fn canyon_s_replies_have_a_state_or_a_code() {
    let told = |state: &str| {
        format!(
            concat!(
                r#"{{"out_trade_no":"{}","trade_state":"{}","amount":{{"total":1230}},"#,
                r#""transaction_id":"C1"}}"#
            ),
            ORDER, state
        )
    };
    let refunded = |state: &str| {
        format!(r#"{{"out_refund_no":"{UNDO_ORDER}","status":"{state}","amount":{{"refund":30}}}}"#)
    };
    let refund_asked = ChannelRequest::Inquiry {
        facts: refund().attempt().expect("an attempt").clone(),
        original: None,
        pan: None,
        now: now(),
    };
    let no = |code: &str| format!(r#"{{"code":"{code}","message":"no"}}"#);
    let rows = [
        (payment(), 200, told("SUCCESS"), approved("", Some("C1"), None)),
        (payment(), 200, told("PAYING"), pending("", Some("C1"))),
        (payment(), 200, told("PAYERROR"), declined(Reason::ChannelFailure, "")),
        (payment(), 200, told("NEW"), unknown(UnknownCause::UnlistedCode)),
        (payment(), 200, told("SUCCESS").replace("1230", "1"), unknown(UnknownCause::Mismatched)),
        (
            payment(),
            200,
            told("SUCCESS").replace("1230", r#"1230,"currency":"JPY""#),
            unknown(UnknownCause::Mismatched),
        ),
        (payment(), 200, "{}".to_owned(), unknown(UnknownCause::Garbled)),
        (payment(), 403, no("NOT_ENOUGH"), declined(Reason::InsufficientFunds, "NOT_ENOUGH")),
        (payment(), 500, no("NOT_ENOUGH"), unknown(UnknownCause::HttpStatus)),
        (payment(), 404, no("SYSTEM_ERROR"), unknown(UnknownCause::ChannelUnsure)),
        (
            inquiry(),
            404,
            no("RESOURCE_NOT_EXISTS"),
            Outcome::NotFound { code: "RESOURCE_NOT_EXISTS".to_owned() },
        ),
        (inquiry(), 403, no("NOT_ENOUGH"), unknown(UnknownCause::InquiryFailed)),
        (inquiry(), 200, told("REVOKED"), declined(Reason::ReversedAfterUnknown, "")),
        (reversal(), 200, told("REVOKED"), approved("", None, None)),
        (reversal(), 200, told("SUCCESS"), unknown(UnknownCause::ChannelUnsure)),
        (refund(), 200, refunded("PROCESSING"), pending("", None)),
        (refund_asked.clone(), 200, refunded("SUCCESS"), approved("", None, None)),
        (refund_asked.clone(), 200, refunded("CLOSED"), declined(Reason::ChannelFailure, "")),
        (refund_asked, 200, refunded("ABNORMAL"), unknown(UnknownCause::ChannelUnsure)),
    ];
    let adapter = adapter(CANYON);
    for (request, status, body, expected) in rows {
        let reply = canyon_reply(status, &body, SERIAL);
        assert_eq!(adapter.decode(&request, &reply, now()).outcome, expected, "{body}");
        let other = canyon_reply(200, &body, "0000");
        let outcome = adapter.decode(&request, &other, now()).outcome;
        assert_eq!(outcome, unknown(UnknownCause::BadSignature), "under a key that is not known");
    }
}

/// A platform that changes its key is believed under both ids while the file lists both.
#[test]
fn i_2_a_key_id_chooses_among_the_platform_s_keys() {
    let listed = format!("keys = {{ {SERIAL} = \"file:keys/canyon-pay-platform.pem\" }}");
    assert!(CANYON.contains(&listed));
    let rotating = listed.replace(" }", ", NEW = \"file:keys/canyon-pay-platform.pem\" }");
    let body = format!(r#"{{"code":"NOT_ENOUGH","x":"{ORDER}"}}"#);
    let adapter = adapter(&CANYON.replace(&listed, &rotating));
    for (serial, fits) in [(SERIAL, true), ("NEW", true), ("OLD", false), ("", false)] {
        let outcome = adapter.decode(&payment(), &canyon_reply(403, &body, serial), now()).outcome;
        assert_eq!(matches!(outcome, Outcome::Declined(_)), fits, "{serial}");
    }
}

fn canyon_notice(event: &str, content: &str) -> WireNotice {
    let key = BlockKey::new(BlockCipher::Aes, Mode::Gcm, NOTICE_KEY.as_bytes()).expect("32 bytes");
    let cipher = key.encrypt(b"nonce-of-12-", b"trade", content.as_bytes()).expect("encrypted");
    let body = serde_json::json!({
        "event_type": event,
        "resource": {
            "ciphertext": BASE64.encode(cipher),
            "nonce": "nonce-of-12-",
            "associated_data": "trade",
        },
    });
    let reply = canyon_reply(200, &body.to_string(), SERIAL);
    WireNotice { headers: reply.headers, body: reply.body }
}

#[test]
fn canyon_s_notices_are_verified_opened_and_told_apart() {
    let adapter = adapter(CANYON);
    let paid = format!(
        concat!(
            r#"{{"out_trade_no":"{}","trade_state":"SUCCESS","amount":{{"total":1230}},"#,
            r#""transaction_id":"C1"}}"#
        ),
        ORDER
    );
    let good = canyon_notice("PAY.SUCCESS", &paid);
    let notice = adapter.decode_notice(&good, now()).expect("a notice");
    assert_eq!(notice.channel_order_no.to_string(), ORDER);
    let minor = |notice: &Notice, currency| {
        notice.amount.as_ref().and_then(|amount| amount.minor(currency))
    };
    assert_eq!((minor(&notice, Currency::Cny), notice.currency), (Some(1_230), None));
    let in_yen = paid.replace(r#"1230}"#, r#"1230,"currency":"JPY"}"#);
    let in_yen = adapter.decode_notice(&canyon_notice("PAY.SUCCESS", &in_yen), now());
    assert_eq!(in_yen.expect("a notice").currency, Some(Currency::Jpy));
    assert_eq!(notice.understood.outcome, approved("", Some("C1"), None));
    let back =
        format!(r#"{{"out_refund_no":"{UNDO_ORDER}","status":"CLOSED","amount":{{"refund":30}}}}"#);
    let notice = adapter.decode_notice(&canyon_notice("REFUND.CLOSED", &back), now());
    let notice = notice.expect("a notice");
    assert_eq!(notice.channel_order_no.to_string(), UNDO_ORDER);
    assert_eq!(notice.understood.outcome, declined(Reason::ChannelFailure, ""));

    let mut forged = good.clone();
    forged.body = Bytes::from(String::from_utf8_lossy(&good.body).replace("PAY", "pay"));
    let refusal = adapter.decode_notice(&forged, now()).expect_err("its body is another one");
    assert_eq!(
        refusal.to_string(),
        "the notice is not believed: its signature fits none of the channel's keys"
    );
    let refusals = [
        canyon_notice("OTHER", &paid),
        canyon_notice("PAY.SUCCESS", "no JSON"),
        canyon_notice("PAY.SUCCESS", &paid.replace("1230", "\"x\"")),
    ];
    for refused in refusals {
        let refusal = adapter.decode_notice(&refused, now()).expect_err("refused");
        assert!(matches!(refusal, NoticeRefusal::Unreadable(_)), "{refusal}");
    }
    let stranger = canyon_notice("PAY.SUCCESS", &paid.replace(ORDER, "x"));
    assert_eq!(adapter.decode_notice(&stranger, now()), Err(NoticeRefusal::UnknownOrder));
    assert_eq!(adapter.answer_notice(true).body, r#"{"code":"SUCCESS"}"#);
    assert_eq!(adapter.answer_notice(false).status, 400);
}

fn quarry_body(wire: &WireRequest) -> &str {
    let whole = text(wire);
    let start = whole.find("<body>").expect("a body");
    &whole[start..whole.find("</body>").expect("its end") + "</body>".len()]
}

#[test]
fn quarry_s_requests_are_this_xml_with_sm2() {
    let adapter = adapter(QUARRY);
    let ours = Sm2Signer::parse(&"1".repeat(64), USUAL_USER_ID).expect("a key");
    let ours = Sm2Verifier::parse(&hex_lower(&ours.public_key()), USUAL_USER_ID).expect("a key");
    let key = read_hex(&"3".repeat(32)).expect("hexadecimal");
    let key = BlockKey::new(BlockCipher::Sm4, Mode::Cbc, &key).expect("a key");
    for request in [payment(), refund(), inquiry(), reversal()] {
        let wire = adapter.encode(&request, now()).expect("encodable");
        assert_eq!(wire.url, "https://b2b.quarry-bank.example/acq/trade");
        let root = Element::parse(&wire.body).expect("XML");
        let sign = root.text_at("/trade/sign").expect("one").expect("there");
        let sign = BASE64.decode(sign).expect("base64");
        let signed = quarry_body(&wire).as_bytes();
        assert_eq!(ours.verify(signed, &sign, Sm2Form::Der), Ok(()), "{}", request.name());
        assert_eq!(wire.body, adapter.encode(&request, now()).expect("again").body);
    }
    let wire = adapter.encode(&payment(), now()).expect("encodable");
    let root = Element::parse(&wire.body).expect("XML");
    let text = |path| root.text_at(path).expect("one").unwrap_or_default().to_owned();
    assert_eq!(text("/trade/@version"), "1.0");
    assert_eq!(text("/trade/body/txn"), "payment");
    assert_eq!(text("/trade/body/txn/@merId"), "QB330001");
    assert_eq!(text("/trade/body/amount/@currency"), "CNY");
    assert_eq!(text("/trade/body/memo"), "订单 \"7\"");
    let number = BASE64.decode(text("/trade/body/card/number")).expect("base64");
    let (vector, cipher) = number.split_at(16);
    assert_eq!(&**key.decrypt(vector, &[], cipher).expect("ours"), PAN.as_bytes());
    let wire = adapter.encode(&refund(), now()).expect("encodable");
    let expected = format!(
        "<body><txn merId=\"QB330001\">refund</txn><orderNo>{UNDO_ORDER}</orderNo>\
         <origOrderNo>{ORDER}</origOrderNo><amount currency=\"CNY\">0.30</amount></body>"
    );
    assert_eq!(quarry_body(&wire), expected);
}

pub fn quarry_reply(inside: &str) -> WireReply {
    let signer = Sm2Signer::parse(&"2".repeat(64), USUAL_USER_ID).expect("a key");
    let body = format!("<body>{inside}</body>");
    let sign = BASE64.encode(signer.sign(body.as_bytes(), Sm2Form::Der));
    let whole = format!(
        "<?xml version=\"1.0\"?>\n<q:trade xmlns:q=\"u\">\n{body}<sign>{sign}</sign></q:trade>"
    );
    WireReply { status: 200, headers: HeaderMap::new(), body: whole.into() }
}

#[test]
fn quarry_s_replies_are_read_from_the_signed_element() {
    let yes = format!(
        "<code>000000</code><orderNo>{ORDER}</orderNo><amount currency=\"CNY\">12.30</amount>\
         <trace>Q1</trace><settleDate>2026-11-22</settleDate>"
    );
    let asked = |code: &str| format!("{yes}<origCode>{code}</origCode>");
    let code = |code: &str| format!("<code>{code}</code>");
    let rows = [
        (payment(), yes.clone(), approved("000000", Some("Q1"), Some("1122"))),
        (payment(), yes.replace("12.30", "12.31"), unknown(UnknownCause::Mismatched)),
        (payment(), format!("{yes}<code>E10051</code>"), unknown(UnknownCause::Garbled)),
        (payment(), code("E10051"), declined(Reason::InsufficientFunds, "E10051")),
        (payment(), code("P00001"), pending("P00001", None)),
        (payment(), code("X"), unknown(UnknownCause::UnlistedCode)),
        (payment(), code("<x/>"), unknown(UnknownCause::Garbled)),
        (inquiry(), asked("000000"), approved("000000", Some("Q1"), None)),
        (inquiry(), asked("E10051"), declined(Reason::InsufficientFunds, "E10051")),
        (inquiry(), code("E10051"), unknown(UnknownCause::InquiryFailed)),
        (inquiry(), code("X"), unknown(UnknownCause::InquiryFailed)),
        (inquiry(), code("E20025"), Outcome::NotFound { code: "E20025".to_owned() }),
        (reversal(), code("E20001"), declined(Reason::OriginalNotEligible, "E20001")),
        (reversal(), yes.clone(), approved("000000", None, None)),
    ];
    let adapter = adapter(QUARRY);
    for (request, inside, expected) in rows {
        let reply = quarry_reply(&inside);
        assert_eq!(adapter.decode(&request, &reply, now()).outcome, expected, "{inside}");
    }
    let good = String::from_utf8(quarry_reply(&yes).body.to_vec()).expect("UTF-8");
    let spoilt = [
        good.replace("12.30", "12.3"),
        good.replace("<orderNo>", "<orderNo >"),
        good.replace("<sign>", "<sign>A"),
        // A second body: which one was signed would be a guess.
        good.replace("<sign>", "<body><code>000000</code></body><sign>"),
    ];
    for body in spoilt {
        let reply = WireReply { status: 200, headers: HeaderMap::new(), body: body.into() };
        let outcome = adapter.decode(&payment(), &reply, now()).outcome;
        assert_eq!(outcome, unknown(UnknownCause::BadSignature));
    }
}

/// Whatever the core may ask is either described by the file and built, or refused before anything
/// is sent.
#[test]
fn every_request_is_described_or_refused() {
    let described = [HARBOUR, MEADOW, CANYON, QUARRY].map(|text| {
        let adapter = adapter(text);
        let requests = sample_requests(sample_now());
        let built = requests.iter().filter(|request| {
            let made = adapter.encode(request, sample_now());
            assert_eq!(made.is_ok(), adapter.describes(request), "{}", request.name());
            made.is_ok()
        });
        built.count()
    });
    assert_eq!(described, [33, 16, 5, 20]);
    let void = ChannelRequest::FollowUp {
        facts: sample_facts(Operation::Void, 2),
        original: sample_facts(Operation::Payment, 1),
        pan: Some(sample_card().pan.clone()),
    };
    let error = adapter(CANYON).encode(&void, now()).err().expect("this channel has no void");
    assert_eq!(error.request, "void");
    assert_eq!(error.problem, "this channel file has no such operation");
}
