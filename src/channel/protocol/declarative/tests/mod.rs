//! Golden requests of the shipped files, and what their replies prove. Here is Harbour Bank.

mod doubts;
mod examples;
mod reading;
mod sent;
mod statements;

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::channel::AttemptFacts;
use crate::codec::crypto::sm2::{Sm2Signer, USUAL_USER_ID};
use crate::codec::sample_keys::{merchant_key, other_key};
use crate::codec::sign::{HmacKey, hex_lower};
use crate::config::mistake::Mistakes;
use crate::config::raw::Document;
use crate::domain::attempt::Operation;
use crate::domain::card::{CardInput, Cvv, Expiry, Pan};
use crate::domain::ids::{ChannelOrderNo, MerchantId, OrderId};
use crate::domain::money::{AmountMinor, Currency};
use crate::domain::outcome::{Approval, Decline, Reason};

pub const HARBOUR: &str = include_str!("../../../../../channels/harbour-bank.toml");
pub const MEADOW: &str = include_str!("../../../../../channels/meadow-bank.toml");
pub const CANYON: &str = include_str!("../../../../../channels/canyon-pay.toml");
pub const QUARRY: &str = include_str!("../../../../../channels/quarry-bank.toml");
pub const SHARED_KEY: &str = "a shared key for tests only";
pub const NOTICE_KEY: &str = "32 characters for AES-256 tests.";
pub const ORDER: &str = "261122001000000000701";
pub const UNDO_ORDER: &str = "261122001000000000801";
pub const PAN: &str = "4111111111111111";

/// The credentials that the shipped files name.
pub fn resolve(reference: &str) -> Result<String, String> {
    match reference {
        "env:HARBOUR_BANK_KEY" => Ok(SHARED_KEY.to_owned()),
        "env:MEADOW_BANK_KEY" => Ok(SHARED_KEY.to_owned()),
        "file:keys/canyon-pay-merchant.pem" => Ok(merchant_key().serialize_pem()),
        "file:keys/canyon-pay-platform.pem" => Ok(other_key().public_key_pem()),
        "env:CANYON_PAY_NOTICE_KEY" => Ok(NOTICE_KEY.to_owned()),
        "file:keys/quarry-bank-merchant.pem" => Ok("1".repeat(64)),
        "file:keys/quarry-bank-public.pem" => {
            let bank = Sm2Signer::parse(&"2".repeat(64), USUAL_USER_ID).expect("a key");
            Ok(hex_lower(&bank.public_key()))
        }
        "env:QUARRY_BANK_CARD_KEY" => Ok("3".repeat(32)),
        _ => Err("there is no such credential".to_owned()),
    }
}

/// The adapter of a file, or every mistake in it.
pub fn load(text: &str) -> Result<Declarative, Vec<String>> {
    let mistakes = Mistakes::new();
    let document = Document::parse("bank.toml", text).expect("TOML");
    let root = document.root(&mistakes);
    let codes = read_codes(&root, "codes");
    let adapter = read(root.section("http"), &codes, &resolve);
    match mistakes.into_result() {
        Ok(()) => Ok(adapter.expect("no mistake, so an adapter")),
        Err(found) => Err(found.iter().map(ToString::to_string).collect()),
    }
}

fn harbour() -> Declarative {
    load(HARBOUR).expect("the shipped file is right")
}

/// Every shipped file.
fn all() -> [Declarative; 4] {
    [HARBOUR, MEADOW, CANYON, QUARRY].map(|text| load(text).expect("the shipped file is right"))
}

pub fn sent_at() -> Timestamp {
    let moment: jiff::Timestamp = "2026-11-22T08:00:00Z".parse().expect("RFC 3339");
    Timestamp::from_millis(moment.as_millisecond())
}

/// One second later.
pub fn now() -> Timestamp {
    Timestamp::from_millis(sent_at().as_millis() + 1_000)
}

pub fn facts(sequence: u64) -> AttemptFacts {
    let order = OrderId::compose(261_122, 1, sequence);
    AttemptFacts {
        channel_order_no: ChannelOrderNo { order, attempt: 1 },
        sent_at: sent_at(),
        announced_at: None,
        operation: Operation::Payment,
        merchant_id: MerchantId::parse("shop-1").expect("an id"),
        amount: AmountMinor::new(1_230).expect("an amount"),
        currency: Currency::Cny,
        description: None,
        channel_reference: Some("H0000001".to_owned()),
        payee_kind: None,
    }
}

pub fn card() -> CardInput {
    CardInput {
        pan: Pan::parse(PAN).expect("a published test number"),
        expiry: Expiry::parse_yymm("3012"),
        cvv: Cvv::parse("123"),
        holder: Some("ZHANG \"SAN\"".to_owned()),
        id_type: None,
        id_number: None,
        phone: None,
    }
}

pub fn bare_payment() -> ChannelRequest {
    let mut card = card();
    (card.expiry, card.cvv, card.holder) = (None, None, None);
    ChannelRequest::Charge { facts: facts(7), instrument: card.into() }
}

pub fn payment() -> ChannelRequest {
    let facts = AttemptFacts { description: Some("订单 \"7\"".to_owned()), ..facts(7) };
    ChannelRequest::Charge { facts, instrument: card().into() }
}

pub fn inquiry() -> ChannelRequest {
    ChannelRequest::Inquiry { facts: facts(7), original: None, pan: None, now: now() }
}

pub fn reversal() -> ChannelRequest {
    ChannelRequest::Reversal { facts: facts(7), original: None, pan: None, now: now() }
}

pub fn undo() -> ChannelRequest {
    let facts_of_undo = AttemptFacts { operation: Operation::Undo, ..facts(8) };
    ChannelRequest::FollowUp { facts: facts_of_undo, original: facts(7), pan: None }
}

pub fn header<'w>(wire: &'w WireRequest, name: &str) -> &'w str {
    let mut found = wire.headers.iter().filter(|(key, _)| key == name);
    let value = found.next().map(|(_, value)| value.to_str().expect("plain text"));
    assert!(found.next().is_none(), "{name} once");
    value.unwrap_or_default()
}

#[test]
fn a_bank_is_a_file_of_a_hundred_keys_or_so() {
    fn keys(item: &toml_edit::Item) -> usize {
        let table = item.as_table_like();
        let of_list = item.as_array_of_tables().into_iter().flatten();
        let inner = table.into_iter().flat_map(|table| table.iter().map(|(_, item)| keys(item)));
        let listed = of_list.map(|table| table.len());
        if table.is_none() && !item.is_array_of_tables() { 1 } else { inner.chain(listed).sum() }
    }
    // The first one binds cards and pays to accounts as well.
    for (text, most) in [(HARBOUR, 176), (MEADOW, 125), (CANYON, 125), (QUARRY, 125)] {
        let document: toml_edit::DocumentMut = text.parse().expect("TOML");
        assert!(keys(document.as_item()) <= most);
        assert!(text.lines().all(|line| line.chars().count() <= 100));
    }
    let sections = |text| load(text).expect("a right file").sections().collect::<Vec<_>>();
    assert_eq!(sections(CANYON), ["payment", "refund", "inquiry", "refund_inquiry", "reversal"]);
    let all = ["payment", "preauth", "capture", "void", "refund", "undo", "inquiry", "reversal"];
    assert_eq!(sections(QUARRY), all);
    let services = [
        "verification",
        "agreement_code",
        "agreement_confirmation",
        "agreement_inquiry",
        "agreement_end",
        "payment_code",
    ];
    let own = [&all[..2], &["payout"], &all[2..], &services].concat();
    assert_eq!(sections(HARBOUR), own);
}

/// The signatures were computed with Python's `hmac` over "1795334401", a line feed and the body.
#[test]
fn harbour_s_requests_are_these_bytes() {
    let rows = [
        (
            payment(),
            "",
            concat!(
                r#"{"merchantId":"M00012345","orderNo":"261122001000000000701","#,
                r#""sentAt":"20261122160000","amount":1230,"currency":"CNY","#,
                r#""card":{"number":"4111111111111111","expiry":"3012","cvv":"123"},"#,
                r#""memo":"订单 \"7\""}"#
            ),
            "17bb648fe643d9ff5845d5884f5ff3b158b1ea3f3795002860def2c781e9a460",
        ),
        (
            bare_payment(),
            "",
            concat!(
                r#"{"merchantId":"M00012345","orderNo":"261122001000000000701","#,
                r#""sentAt":"20261122160000","amount":1230,"currency":"CNY","#,
                r#""card":{"number":"4111111111111111"}}"#
            ),
            "6952b87bb4a2563500747a337c7f7b693b6691807105da5f2d98deca2fd92ec7",
        ),
        (
            inquiry(),
            "/query",
            r#"{"merchantId":"M00012345","orderNo":"261122001000000000701"}"#,
            "fbd556cb6c672df9923b476bc2dc4069714c4e0cdac7aa0cc27bc808c68a6e5c",
        ),
        (
            reversal(),
            "/reverse",
            r#"{"merchantId":"M00012345","orderNo":"261122001000000000701"}"#,
            "fbd556cb6c672df9923b476bc2dc4069714c4e0cdac7aa0cc27bc808c68a6e5c",
        ),
        (
            undo(),
            "/undo",
            concat!(
                r#"{"merchantId":"M00012345","orderNo":"261122001000000000801","#,
                r#""originalOrderNo":"261122001000000000701","originalTradeNo":"H0000001","#,
                r#""amount":1230}"#
            ),
            "38ef1bd25c96ed83123bacf0e1b73515458154530312fb40ff5475edeb5c62ff",
        ),
    ];
    let adapter = harbour();
    for (request, path, body, signature) in rows {
        let wire = adapter.encode(&request, now()).expect("encodable");
        assert_eq!(wire.method, "POST");
        assert_eq!(wire.url, format!("https://api.harbour-bank.example/v1/charges{path}"));
        assert_eq!(std::str::from_utf8(&wire.body), Ok(body));
        assert_eq!(header(&wire, "content-type"), "application/json");
        assert_eq!(header(&wire, "x-timestamp"), "1795334401");
        assert_eq!(header(&wire, "x-signature"), signature);
        assert_eq!(wire.headers.len(), 3);
    }
}

#[test]
fn i_11_card_data_is_in_the_body_only() {
    for (adapter, shows) in all().into_iter().zip([true, true, false, false]) {
        let wire = adapter.encode(&payment(), now()).expect("encodable");
        assert!(!wire.url.contains(PAN) && !format!("{:?}", wire.headers).contains(PAN));
        assert_eq!(String::from_utf8_lossy(&wire.body).contains(PAN), shows, "{}", wire.url);
    }
}

/// A reply as Harbour Bank signs it.
pub fn harbour_reply(body: &str) -> WireReply {
    let tag = HmacKey::new(SHARED_KEY.as_bytes()).tag(&[b"1795334402\n", body.as_bytes()]);
    let mut headers = HeaderMap::new();
    headers.insert("x-timestamp", HeaderValue::from_static("1795334402"));
    headers.insert("x-signature", hex_lower(&tag).parse().expect("hex"));
    WireReply { status: 200, headers, body: Bytes::copy_from_slice(body.as_bytes()) }
}

pub fn pending(code: &str, reference: Option<&str>) -> Outcome {
    let channel_reference = reference.map(str::to_owned);
    Outcome::Pending { code: code.to_owned(), channel_reference }
}

pub fn approved(code: &str, reference: Option<&str>, settle_mmdd: Option<&str>) -> Outcome {
    Outcome::Approved(Approval {
        channel_reference: reference.map(str::to_owned),
        code: code.to_owned(),
        settle_mmdd: settle_mmdd.map(str::to_owned),
        card_type: None,
    })
}

pub fn declined(reason: Reason, code: &str) -> Outcome {
    Outcome::Declined(Decline { reason, code: code.to_owned(), elsewhere: false })
}

pub fn unknown(cause: UnknownCause) -> Outcome {
    Outcome::Unknown(cause)
}

pub fn not_found() -> Outcome {
    Outcome::NotFound { code: "1404".to_owned() }
}

/// Plays each body (`{order}` stands for the attempt's number) as a signed reply.
fn check_harbour(request: &ChannelRequest, rows: Vec<(&str, Outcome)>) {
    let adapter = harbour();
    let order = request.stated().channel_order_no.to_string();
    for (body, expected) in rows {
        let body = body.replace("{order}", &order);
        let understood = adapter.decode(request, &harbour_reply(&body), now());
        assert_eq!(understood.outcome, expected, "{} {body}", request.name());
        assert_eq!(understood.transcript.len(), body.len(), "{body}");
    }
}

#[test]
fn harbour_s_payment_replies() {
    let closed =
        Decline { reason: Reason::ChannelUnavailable, code: "1503".to_owned(), elsewhere: true };
    check_harbour(
        &payment(),
        vec![
            (
                concat!(
                    r#"{"code":"0000","message":"ok","orderNo":"{order}","tradeNo":"H1","#,
                    r#""amount":1230,"settleDate":"1122"}"#
                ),
                approved("0000", Some("H1"), Some("1122")),
            ),
            (
                concat!(
                    r#"{"code":"0000","orderNo":"{order}","tradeNo":"H1","amount":"1230","#,
                    r#""settleDate":null}"#
                ),
                approved("0000", Some("H1"), None),
            ),
            (r#"{"code":"1051","orderNo":"{order}"}"#, declined(Reason::InsufficientFunds, "1051")),
            (r#"{"code":"1082"}"#, declined(Reason::WrongCredentials, "1082")),
            (r#"{"code":"1503"}"#, Outcome::Declined(closed)),
            (r#"{"code":"1099"}"#, pending("1099", None)),
            (r#"{"code":"1099","tradeNo":"H1"}"#, pending("1099", Some("H1"))),
            // A reference that cannot be one takes nothing from the word.
            (r#"{"code":"1099","tradeNo":"H\u00071"}"#, pending("1099", None)),
            (r#"{"code":"1091"}"#, unknown(UnknownCause::ChannelUnsure)),
            (r#"{"code":"7777"}"#, unknown(UnknownCause::UnlistedCode)),
            (r#"{"code":0}"#, unknown(UnknownCause::UnlistedCode)),
            (r#"{"code":null}"#, unknown(UnknownCause::Garbled)),
            (r#"{"code":["0000"]}"#, unknown(UnknownCause::Garbled)),
            (r#"{"message":"ok"}"#, unknown(UnknownCause::Garbled)),
            (r#""0000""#, unknown(UnknownCause::Garbled)),
        ],
    );
}

#[test]
fn i_2_a_yes_that_does_not_name_our_order_and_amount_is_no_yes() {
    check_harbour(
        &payment(),
        vec![
            (
                r#"{"code":"0000","orderNo":"261122001000000000702","tradeNo":"H1","amount":1230}"#,
                unknown(UnknownCause::Mismatched),
            ),
            (
                r#"{"code":"0000","orderNo":"{order}","tradeNo":"H1","amount":1231}"#,
                unknown(UnknownCause::Mismatched),
            ),
            (
                r#"{"code":"1051","orderNo":"261122001000000000702"}"#,
                unknown(UnknownCause::Mismatched),
            ),
            (
                r#"{"code":"1099","orderNo":"{order}","amount":1}"#,
                unknown(UnknownCause::Mismatched),
            ),
            (r#"{"code":"0000","tradeNo":"H1","amount":1230}"#, unknown(UnknownCause::Garbled)),
            (
                r#"{"code":"0000","orderNo":"{order}","amount":1230}"#,
                unknown(UnknownCause::Garbled),
            ),
            (
                r#"{"code":"0000","orderNo":"{order}","tradeNo":"H1","amount":12.5}"#,
                unknown(UnknownCause::Garbled),
            ),
            (
                concat!(
                    r#"{"code":"0000","orderNo":"{order}","tradeNo":"H1","amount":1230,"#,
                    r#""settleDate":"1399"}"#
                ),
                // The yes counts; the books do not take such a date.
                approved("0000", Some("H1"), Some("1399")),
            ),
        ],
    );
}

#[test]
fn harbour_s_inquiry_tells_the_query_from_the_payment() {
    let whole = concat!(
        r#"{"code":"0000","state":"SUCCESS","orderNo":"{order}","tradeNo":"H1","#,
        r#""amount":1230,"settleDate":"1122"}"#
    );
    let failed = |code: &str| {
        format!(r#"{{"code":"0000","state":"FAILED","resultCode":"{code}","orderNo":"{ORDER}"}}"#)
    };
    check_harbour(
        &inquiry(),
        vec![
            (whole, approved("0000", Some("H1"), Some("1122"))),
            (&failed("1051"), declined(Reason::InsufficientFunds, "1051")),
            (&failed("7777"), declined(Reason::ChannelFailure, "7777")),
            (&failed("0000"), unknown(UnknownCause::ChannelUnsure)),
            (&failed("1091"), unknown(UnknownCause::ChannelUnsure)),
            (
                r#"{"code":"0000","state":"FAILED","orderNo":"{order}"}"#,
                declined(Reason::ChannelFailure, "0000"),
            ),
            (r#"{"code":"0000","state":"FAILED"}"#, unknown(UnknownCause::Garbled)),
            (r#"{"code":"0000","state":"PROCESSING","orderNo":"{order}"}"#, pending("0000", None)),
            (
                r#"{"code":"0000","state":"REVERSED","orderNo":"{order}"}"#,
                declined(Reason::ReversedAfterUnknown, "0000"),
            ),
            (
                r#"{"code":"0000","state":"FROZEN","orderNo":"{order}"}"#,
                unknown(UnknownCause::UnlistedCode),
            ),
            (r#"{"code":"0000","orderNo":"{order}"}"#, unknown(UnknownCause::Garbled)),
            (r#"{"code":"1404"}"#, not_found()),
            // These speak of the query: the payment may have gone through all the same.
            (r#"{"code":"1400"}"#, unknown(UnknownCause::InquiryFailed)),
            (r#"{"code":"1503"}"#, unknown(UnknownCause::InquiryFailed)),
            (r#"{"code":"1900"}"#, unknown(UnknownCause::InquiryFailed)),
            (r#"{"code":"1091"}"#, unknown(UnknownCause::InquiryFailed)),
            (r#"{"code":"2001"}"#, unknown(UnknownCause::InquiryFailed)),
        ],
    );
}

#[test]
fn harbour_s_reversal_and_undo_have_codes_of_their_own() {
    let refused = declined(Reason::OriginalNotEligible, "2002");
    check_harbour(
        &reversal(),
        vec![
            (r#"{"code":"0000","orderNo":"{order}"}"#, approved("0000", None, None)),
            (r#"{"code":"2001"}"#, approved("2001", None, None)),
            (r#"{"code":"1404"}"#, not_found()),
            (r#"{"code":"2002"}"#, refused.clone()),
            // The reversal could not be carried out now; that is no refusal for good.
            (r#"{"code":"1503"}"#, unknown(UnknownCause::ChannelUnsure)),
        ],
    );
    check_harbour(
        &undo(),
        vec![
            (
                r#"{"code":"0000","orderNo":"{order}","tradeNo":"H2","amount":1230}"#,
                approved("0000", Some("H2"), None),
            ),
            (r#"{"code":"2001"}"#, approved("2001", None, None)),
            (r#"{"code":"2002"}"#, refused),
            (r#"{"code":"1404"}"#, declined(Reason::OriginalNotEligible, "1404")),
            (r#"{"code":"1503"}"#, unknown(UnknownCause::ChannelUnsure)),
            (
                r#"{"code":"0000","orderNo":"261122001000000000701"}"#,
                unknown(UnknownCause::Mismatched),
            ),
        ],
    );
    assert_eq!(undo().stated().channel_order_no.to_string(), UNDO_ORDER);
}

#[test]
fn i_2_a_reply_that_is_not_proven_is_unknown() {
    let body = format!(r#"{{"code":"0000","orderNo":"{ORDER}","tradeNo":"H1","amount":1230}}"#);
    let good = harbour_reply(&body);
    let adapter = harbour();
    let outcome = |reply: &WireReply| adapter.decode(&payment(), reply, now()).outcome;
    assert_eq!(outcome(&good), approved("0000", Some("H1"), None));

    let tampered = WireReply { body: body.replace("H1", "H2").into(), ..good.clone() };
    assert_eq!(outcome(&tampered), unknown(UnknownCause::BadSignature));
    for name in ["x-timestamp", "x-signature"] {
        let mut without = good.clone();
        without.headers.remove(name);
        assert_eq!(outcome(&without), unknown(UnknownCause::BadSignature), "{name}");
        let mut twice = good.clone();
        twice.headers.append(name, HeaderValue::from_static("1795334402"));
        assert_eq!(outcome(&twice), unknown(UnknownCause::BadSignature), "{name}");
    }
    let mut other = good.clone();
    other.headers.insert("x-timestamp", HeaderValue::from_static("1795334403"));
    assert_eq!(outcome(&other), unknown(UnknownCause::BadSignature));

    for status in [201, 204, 302, 400, 408, 429, 500, 502] {
        let reply = WireReply { status, ..good.clone() };
        assert_eq!(outcome(&reply), unknown(UnknownCause::HttpStatus), "{status}");
    }
    for body in ["", "<html>", "{\"code\":\"0000\"", "[[[["] {
        assert_eq!(outcome(&harbour_reply(body)), unknown(UnknownCause::Garbled), "{body}");
    }
    let deep = "[".repeat(10_000);
    assert_eq!(outcome(&harbour_reply(&deep)), unknown(UnknownCause::Garbled));
}

#[test]
fn i_11_a_transcript_shows_no_card_number_and_no_owner() {
    let reply = harbour_reply(r#"{"code":"1051","card":"4111111111111111","who":"ZHANG SAN"}"#);
    let mut named = card();
    named.holder = Some("ZHANG SAN".to_owned());
    let request = ChannelRequest::Charge { facts: facts(7), instrument: named.into() };
    let transcript = harbour().decode(&request, &reply, now()).transcript;
    assert_eq!(transcript, r#"{"code":"1051","card":"411111******1111","who":"Z********"}"#);
}

#[test]
fn a_bank_without_notices_says_so() {
    let notice = WireNotice { headers: HeaderMap::new(), body: Bytes::new() };
    let adapter = harbour();
    assert_eq!(adapter.decode_notice(&notice, now()), Err(NoticeRefusal::Unsupported));
    assert_eq!(adapter.answer_notice(false).status, 404);
}

fn any_request() -> impl Strategy<Value = ChannelRequest> {
    prop_oneof![Just(payment()), Just(inquiry()), Just(reversal()), Just(undo())]
}

/// JSON that looks like a reply but is not one that this bank gives.
fn strange_body() -> impl Strategy<Value = String> {
    let key = prop_oneof![
        Just("code"),
        Just("state"),
        Just("resultCode"),
        Just("amount"),
        Just("tradeNo"),
        Just("settleDate"),
        Just("message")
    ];
    let value = prop_oneof![
        Just("\"0000\""),
        Just("\"SUCCESS\""),
        Just("\"2001\""),
        Just("1230"),
        Just("1e400"),
        Just("-0.5"),
        Just("null"),
        Just("{}"),
        Just("[\"0000\"]"),
        Just("\"\\u0000\"")
    ];
    let pair = (key, value).prop_map(|(key, value)| format!("\"{key}\":{value}"));
    proptest::collection::vec(pair, 0..8).prop_map(|pairs| format!("{{{}}}", pairs.join(",")))
}

proptest! {
    #[test]
    fn i_2_no_bytes_are_a_final_answer(
        request in any_request(),
        body in proptest::collection::vec(any::<u8>(), 0..512),
        status in any::<u16>(),
    ) {
        let reply = WireReply { status, headers: HeaderMap::new(), body: body.into() };
        for adapter in all() {
            let outcome = adapter.decode(&request, &reply, now()).outcome;
            prop_assert!(matches!(outcome, Outcome::Unknown(_)), "{outcome:?}");
        }
    }

    #[test]
    fn i_2_no_signed_payment_reply_without_our_order_is_a_yes(body in strange_body()) {
        let adapter = harbour();
        for request in [payment(), inquiry()] {
            let outcome = adapter.decode(&request, &harbour_reply(&body), now()).outcome;
            prop_assert!(!matches!(outcome, Outcome::Approved(_)), "{outcome:?}");
        }
    }
}
