//! What is made of replies: each class, each mismatch, each reason not to believe one (I-2).

use proptest::prelude::*;
use rcgen::date_time_ymd;

use super::sample::*;
use crate::channel::file::codes::CodeTable;
use crate::channel::protocol::unionpay_acp::UnionPayAcp;
use crate::channel::protocol::unionpay_acp::codes::ReversalReply;
use crate::channel::protocol::unionpay_acp::trust::TEST_SIGNER;
use crate::channel::{Adapter, ChannelRequest, ReplyMeaning, TRANSCRIPT_BYTES_MAX, WireReply};
use crate::codec::form::Fields;
use crate::codec::sample_keys::{
    GOLDEN_MIDDLE, GOLDEN_ROOT, authority_params, end_params, issue, merchant_key,
};
use crate::domain::attempt::Operation;
use crate::domain::bin::CardType;
use crate::domain::outcome::{Approval, Decline, Outcome, Reason, UnknownCause};
use crate::domain::time::Timestamp;

fn understood(request: &ChannelRequest, fields: Fields) -> ReplyMeaning {
    adapter().decode(request, &reply(signed(fields).encode_line()), now())
}

fn outcome(request: &ChannelRequest, txn_type: &str, more: &[(&str, &str)]) -> Outcome {
    understood(request, answer(txn_type, more)).outcome
}

fn unknown(cause: UnknownCause) -> Outcome {
    Outcome::Unknown(cause)
}

fn pending(code: &str) -> Outcome {
    Outcome::Pending { code: code.to_owned(), channel_reference: None }
}

fn declined(reason: Reason, code: &str, elsewhere: bool) -> Outcome {
    Outcome::Declined(Decline { reason, code: code.to_owned(), elsewhere })
}

fn approved(code: &str) -> Outcome {
    Outcome::Approved(Approval { code: code.to_owned(), ..Approval::default() })
}

#[test]
fn a_payments_reply_is_accepted_declined_or_unknown() {
    let rows = [
        ("00", pending("00")),
        ("A6", pending("A6")),
        ("05", pending("05")),
        ("03", unknown(UnknownCause::ChannelUnsure)),
        ("12", unknown(UnknownCause::ChannelUnsure)),
        ("46", unknown(UnknownCause::ChannelUnsure)),
        ("64", declined(Reason::InsufficientFunds, "64", false)),
        ("02", declined(Reason::ChannelUnavailable, "02", true)),
        ("ZZ", unknown(UnknownCause::UnlistedCode)),
        ("", unknown(UnknownCause::Garbled)),
    ];
    for (code, expected) in rows {
        let found = outcome(&payment(), "01", &[("respCode", code)]);
        assert_eq!(found, expected, "{code}");
    }
}

/// The number that UnionPay gives what it has taken is kept from its first word on.
#[test]
fn a_pending_reply_brings_its_query_id() {
    for (query_id, kept) in [("442401051450467846498", true), ("4424-0105", false), ("", false)] {
        let rows = [("respCode", "00"), ("queryId", query_id)];
        let found = outcome(&payment(), "01", &rows);
        let channel_reference = kept.then(|| query_id.to_owned());
        let expected = Outcome::Pending { code: "00".to_owned(), channel_reference };
        assert_eq!(found, expected, "{query_id}");
    }
}

#[test]
fn an_inquiry_tells_the_end_of_the_original() {
    let ok = ("respCode", "00");
    let end = |code| outcome(&inquiry(), "01", &[ok, ("origRespCode", code)]);
    assert_eq!(end("05"), pending("05"));
    assert_eq!(end("04"), unknown(UnknownCause::ChannelUnsure));
    assert_eq!(end("01"), declined(Reason::ChannelFailure, "01", false));
    assert_eq!(end("64"), declined(Reason::InsufficientFunds, "64", false));
    assert_eq!(end("75"), unknown(UnknownCause::ChannelUnsure));
    assert_eq!(end(""), unknown(UnknownCause::Garbled));
    let full =
        [ok, ("origRespCode", "00"), ("queryId", "442401051450467846498"), ("settleDate", "0601")];
    let approval = Approval {
        channel_reference: Some("442401051450467846498".to_owned()),
        code: "00".to_owned(),
        settle_mmdd: Some("0601".to_owned()),
        card_type: None,
    };
    assert_eq!(outcome(&inquiry(), "01", &full), Outcome::Approved(approval));
}

#[test]
fn an_inquiry_tells_the_card_s_type() {
    let types = [
        ("01", Some(CardType::Debit)),
        ("02", Some(CardType::Credit)),
        ("03", Some(CardType::QuasiCredit)),
        ("05", Some(CardType::Prepaid)),
        ("00", None),
        ("04", None),
        ("", None),
    ];
    for (code, expected) in types {
        let rows = [("respCode", "00"), ("origRespCode", "00"), ("payCardType", code)];
        let Outcome::Approved(approval) = outcome(&inquiry(), "01", &rows) else {
            panic!("{code}: it is a yes");
        };
        assert_eq!(approval.card_type, expected, "{code}");
    }
}

#[test]
fn a_failed_inquiry_says_nothing_of_the_payment() {
    for code in ["11", "37", "64", "ZZ"] {
        let more = [("respCode", code), ("origRespCode", "00"), ("txnSubType", "00")];
        let expected = unknown(UnknownCause::InquiryFailed);
        assert_eq!(outcome(&inquiry(), "00", &more), expected, "{code}");
    }
    let none = [("respCode", "34"), ("txnAmt", ""), ("currencyCode", "")];
    assert_eq!(outcome(&inquiry(), "00", &none), Outcome::NotFound { code: "34".to_owned() });
}

#[test]
fn an_undo_is_inquired_of_as_an_undo() {
    let request = ChannelRequest::Inquiry {
        facts: facts(Operation::Undo),
        original: None,
        pan: None,
        now: now(),
    };
    let more = [("respCode", "00"), ("origRespCode", "45")];
    assert_eq!(outcome(&request, "31", &more), approved("45"));
    assert_eq!(outcome(&request, "01", &more), unknown(UnknownCause::Mismatched));
}

#[test]
fn an_undos_reply() {
    let rows = [
        ("00", pending("00")),
        ("45", approved("45")),
        ("46", approved("46")),
        ("34", declined(Reason::OriginalNotEligible, "34", false)),
        ("06", unknown(UnknownCause::ChannelUnsure)),
    ];
    for (code, expected) in rows {
        assert_eq!(outcome(&undo(), "31", &[("respCode", code)]), expected, "{code}");
    }
}

#[test]
fn a_reversals_reply_is_the_end_of_it() {
    let rows = [
        ("00", approved("00")),
        ("46", approved("46")),
        ("34", Outcome::NotFound { code: "34".to_owned() }),
        ("35", declined(Reason::OriginalNotEligible, "35", false)),
        ("39", unknown(UnknownCause::ChannelUnsure)),
    ];
    for (code, expected) in rows {
        let more = [("respCode", code), ("txnAmt", "")];
        assert_eq!(outcome(&reversal(), "99", &more), expected, "{code}");
    }
    let mut settings = settings();
    settings.reversal_reply = ReversalReply::Accepted;
    let adapter = UnionPayAcp::new(settings).expect("good settings");
    let body = signed(answer("99", &[("respCode", "00")])).encode_line();
    assert_eq!(adapter.decode(&reversal(), &reply(body), now()).outcome, pending("00"));
}

#[test]
fn i_2_an_answer_about_something_else_is_unknown() {
    let wrong = [
        ("orderId", "250601001000000000902"),
        ("orderId", ""),
        ("txnTime", "20250601101601"),
        ("txnTime", ""),
        ("merId", "777290058110098"),
        ("txnAmt", "10001"),
        ("txnAmt", "1e4"),
        ("currencyCode", "840"),
        ("txnType", "04"),
        ("txnType", ""),
        ("txnSubType", "02"),
        ("bizType", "000902"),
    ];
    for (key, value) in wrong {
        for (request, kind) in
            [(payment(), "01"), (inquiry(), "01"), (reversal(), "99"), (undo(), "31")]
        {
            let more = [("respCode", "00"), ("origRespCode", "00"), (key, value)];
            let found = understood(&request, answer(kind, &more));
            assert_eq!(found.outcome, unknown(UnknownCause::Mismatched), "{kind} {key}={value}");
            let objection = found.objection.expect("the field is named").to_string();
            assert!(objection.starts_with(key), "{objection}");
        }
    }
    // The gateway answers an inquiry for whatever product, and a payment's reply only for its own.
    let any = [("respCode", "00"), ("origRespCode", "00"), ("bizType", "000000")];
    assert_eq!(outcome(&inquiry(), "01", &any), approved("00"));
    assert_eq!(outcome(&payment(), "01", &any), unknown(UnknownCause::Mismatched));
    let padded = [("respCode", "00"), ("origRespCode", "00"), ("txnAmt", "000000010000")];
    assert_eq!(outcome(&inquiry(), "01", &padded), approved("00"));
}

#[test]
fn i_2_an_old_reply_to_the_payment_is_no_reply_to_its_reversal() {
    let replayed = outcome(&reversal(), "01", &[("respCode", "00")]);
    assert_eq!(replayed, unknown(UnknownCause::Mismatched));
    // And the end of a reversal is not the end of the payment.
    let more = [("respCode", "00"), ("origRespCode", "00")];
    assert_eq!(outcome(&inquiry(), "99", &more), unknown(UnknownCause::Mismatched));
}

#[test]
fn i_2_what_is_no_answer_is_unknown() {
    let good = signed(answer("01", &[("respCode", "64")])).encode_line();
    for status in [100, 201, 204, 302, 400, 408, 429, 500, 502, 504] {
        let mut wire = reply(good.clone());
        wire.status = status;
        let found = adapter().decode(&payment(), &wire, now());
        assert_eq!(found.outcome, unknown(UnknownCause::HttpStatus), "{status}");
        assert_eq!(found.transcript, format!("HTTP status {status}"));
    }
    for body in ["", " \r\n", "{}", "<html>busy</html>", "a=1&a=2", "a={"] {
        let found = adapter().decode(&payment(), &reply(body), now());
        assert_eq!(found.outcome, unknown(UnknownCause::Garbled), "{body}");
    }
    let found = adapter().decode(&payment(), &reply("respCode=00"), now());
    assert_eq!(found.outcome, unknown(UnknownCause::BadSignature));
}

/// The reply that would decline the payment, with a signer of the test's choice.
fn judged(adapter: &UnionPayAcp, certificate: &str, at: Timestamp) -> (Outcome, String) {
    let fields = signed_with(answer("01", &[("respCode", "64")]), certificate);
    let found = adapter.decode(&payment(), &reply(fields.encode_line()), at);
    (found.outcome, found.transcript)
}

#[test]
fn i_2_who_is_not_unionpay_is_not_believed() {
    let mut expired = end_params(UNIONPAY);
    expired.not_after = date_time_ymd(2025, 1, 1);
    let early = Timestamp::from_millis(1_000_000_000_000);
    let good = signer_pem(&end_params(UNIONPAY));
    let self_signed =
        issue(&end_params(UNIONPAY), unionpay_key(), &end_params(UNIONPAY), unionpay_key());
    let other_key = issue(&end_params(UNIONPAY), merchant_key(), &authority_params("Middle"), {
        crate::codec::sample_keys::middle_key()
    });
    let rows = [
        (signer_pem(&expired), now(), "certificate has expired"),
        (good, early, "is not valid yet"),
        (signer_pem(&end_params("041@Z1@某公司@1")), now(), "is not UnionPay's"),
        (signer_pem(&end_params(TEST_SIGNER)), now(), "is not UnionPay's"),
        (self_signed, now(), "no configured authority"),
        (other_key, now(), "does not fit"),
        ("rubbish".to_owned(), now(), "cannot be read"),
        ("x".repeat(20_000), now(), "has more than"),
        (String::new(), now(), "brings no"),
    ];
    for (certificate, at, words) in rows {
        let (outcome, transcript) = judged(adapter(), &certificate, at);
        assert_eq!(outcome, unknown(UnknownCause::BadSignature), "{words}");
        assert!(
            transcript.starts_with("not believed: ") && transcript.contains(words),
            "{transcript}"
        );
    }
    // And named, for whoever reads the log or the order.
    let fields = signed_with(answer("01", &[("respCode", "64")]), &signer_pem(&expired));
    let found = adapter().decode(&payment(), &reply(fields.encode_line()), now());
    let objection = found.objection.expect("why it is not believed").to_string();
    for part in ["has expired", "serial number 68758028149", "owner 041@", "until 2025-01-01"] {
        assert!(objection.contains(part), "{objection}");
    }
}

/// Whole replies to `inquiry()`, signed by OpenSSL under the golden certificates.
fn golden(body: &str) -> ReplyMeaning {
    let mut settings = settings();
    settings.root_certificates = GOLDEN_ROOT.to_owned();
    settings.intermediate_certificates = Some(GOLDEN_MIDDLE.to_owned());
    let adapter = UnionPayAcp::new(settings).expect("good settings");
    adapter.decode(&inquiry(), &reply(body), now())
}

#[test]
fn a_signer_as_unionpay_publishes_them_is_believed() {
    for (form, body) in [
        ("SHA-1", include_str!("golden/inquiry-sha1.txt")),
        ("SHA-1 and a T61String of UTF-8", include_str!("golden/inquiry-t61-utf-8.txt")),
        ("SHA-1 and a T61String of GBK", include_str!("golden/inquiry-t61-gbk.txt")),
    ] {
        let found = golden(body);
        assert_eq!(found.outcome.name(), "approved", "{form}: {}", found.transcript);
        let changed = golden(&body.replace("origRespCode=00", "origRespCode=64"));
        assert_eq!(changed.outcome, unknown(UnknownCause::BadSignature), "{form}");
    }
}

#[test]
fn i_2_a_message_signed_with_sha_1_and_a_forged_chain_are_not_believed() {
    // The first is of version 5.0.0, whose digests are SHA-1 in both places. The second brings its
    // own middle authority along.
    for (body, words) in [
        (include_str!("golden/inquiry-sha1-message.txt"), "does not fit"),
        (include_str!("golden/inquiry-forged.txt"), "was not signed by the authority"),
    ] {
        let found = golden(body);
        assert_eq!(found.outcome, unknown(UnknownCause::BadSignature), "{words}");
        assert!(found.transcript.contains(words), "{}", found.transcript);
    }
}

#[test]
fn both_certificates_of_unionpay_are_believed_while_one_replaces_the_other() {
    let certificate = |serial: u8, from: i32, until: i32| {
        let mut params = end_params(UNIONPAY);
        params.serial_number = Some(rcgen::SerialNumber::from_slice(&[serial]));
        (params.not_before, params.not_after) =
            (date_time_ymd(from, 1, 1), date_time_ymd(until, 1, 1));
        signer_pem(&params)
    };
    let (old, new) = (certificate(1, 2020, 2026), certificate(2, 2025, 2030));
    let at = |year| Timestamp::from_millis(date_time_ymd(year, 6, 1).unix_timestamp() * 1_000);
    let believed = |pem: &str, year| judged(adapter(), pem, at(year)).0.name() == "declined";
    let rows = [(2024, true, false), (2025, true, true), (2026, false, true)];
    // Twice: what is remembered is believed for no longer than the certificate holds.
    for (year, by_old, by_new) in rows.into_iter().chain(rows) {
        assert_eq!([believed(&old, year), believed(&new, year)], [by_old, by_new], "{year}");
    }
}

#[test]
fn the_test_systems_signer_is_believed_outside_production_only() {
    let certificate = signer_pem(&end_params(TEST_SIGNER));
    let mut settings = settings();
    settings.production = false;
    let test = UnionPayAcp::new(settings).expect("good settings");
    assert_eq!(judged(&test, &certificate, now()).0.name(), "declined");
    assert_eq!(judged(adapter(), &certificate, now()).0.name(), "unknown");
}

#[test]
fn i_2_a_changed_amount_is_not_believed() {
    let mut fields = signed(answer("01", &[("respCode", "00"), ("origRespCode", "00")]));
    fields.set("txnAmt", "1");
    let found = adapter().decode(&inquiry(), &reply(fields.encode_line()), now());
    assert_eq!(found.outcome, unknown(UnknownCause::BadSignature));
    fields.set("txnAmt", "10000");
    fields.set("signMethod", "12");
    let found = adapter().decode(&inquiry(), &reply(fields.encode_line()), now());
    assert_eq!(found.outcome, unknown(UnknownCause::BadSignature));
}

#[test]
fn a_believed_signer_is_remembered_until_it_expires() {
    let adapter = UnionPayAcp::new(settings()).expect("good settings");
    for name in ["x", "y"] {
        judged(&adapter, &signer_pem(&end_params(name)), now());
    }
    assert_eq!(adapter.keys.trust.remembered_signers(), 0);
    let certificate = signer_pem(&end_params(UNIONPAY));
    for _ in 0..2 {
        assert_eq!(judged(&adapter, &certificate, now()).0.name(), "declined");
        assert_eq!(adapter.keys.trust.remembered_signers(), 1);
    }
    let late = Timestamp::from_millis(1_893_456_001_000);
    assert_eq!(judged(&adapter, &certificate, late).0.name(), "unknown");
    for number in 0..12 {
        let name = UNIONPAY.replace("Z12", &format!("Z{number}"));
        assert_eq!(judged(&adapter, &signer_pem(&end_params(&name)), now()).0.name(), "declined");
    }
    assert_eq!(adapter.keys.trust.remembered_signers(), 8);
}

#[test]
fn nested_values_and_empty_fields_survive() {
    let mut fields = answer("01", &[("respCode", "64"), ("respMsg", "余额不足[1000064]")]);
    fields.set("tokenPayData", "{token=6235240000020757577&trId=62000000001}");
    fields.set("reqReserved", "[{a=b&c=d}]");
    let body = format!("{{{}&payType=}}\r\n", signed(fields).encode_line());
    let found = adapter().decode(&payment(), &reply(body), now());
    assert_eq!(found.outcome, declined(Reason::InsufficientFunds, "64", false));
    assert!(found.transcript.contains("reqReserved=[{a=b&c=d}]"), "{}", found.transcript);
    assert!(found.transcript.contains("&tokenPayData=***&"), "{}", found.transcript);
}

#[test]
fn i_11_a_transcript_keeps_the_words_without_card_data() {
    let more = [
        ("respCode", "00"),
        ("origRespCode", "00"),
        ("accNo", TEST_PAN),
        ("customerInfo", "e2N2bjI9MTIzfQ=="),
        ("respMsg", "成功[0000000]"),
    ];
    let found = understood(&inquiry(), answer("01", &more));
    for kept in [
        "accNo=621626*********0018&",
        "customerInfo=***&",
        "orderId=250601001000000000901&",
        "signPubKeyCert=serial:68758028149&",
        "respMsg=成功[0000000]&",
    ] {
        assert!(found.transcript.contains(kept), "{kept} in {}", found.transcript);
    }
    assert!(!found.transcript.contains(TEST_PAN));
    assert!(found.transcript.len() <= TRANSCRIPT_BYTES_MAX);
    let long = understood(&inquiry(), answer("01", &[("reserved", &"好".repeat(9_000))]));
    assert!(long.transcript.len() <= TRANSCRIPT_BYTES_MAX);
}

fn every_request() -> [ChannelRequest; 4] {
    [payment(), inquiry(), reversal(), undo()]
}

#[test]
fn i_2_every_status_but_200_is_unknown() {
    let said = [("01", "00"), ("01", "64")];
    let replies = said.map(|(kind, code)| {
        let body = signed(answer(kind, &[("respCode", code)])).encode_line();
        (reply(body), code)
    });
    for (good, code) in &replies {
        let found = adapter().decode(&payment(), good, now()).outcome;
        assert!(!matches!(found, Outcome::Unknown(_)), "{code} counts under 200: {found:?}");
        for status in (100..=599).filter(|status| *status != good.status) {
            let other = WireReply { status, ..good.clone() };
            for request in every_request() {
                let found = adapter().decode(&request, &other, now()).outcome;
                assert_eq!(found, unknown(UnknownCause::HttpStatus), "{status} {code}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// Whatever its length: what the manual does not list proves nothing.
    #[test]
    fn i_2_an_unlisted_code_is_unknown(code in "[0-9A-Za-z]{1,8}") {
        let adapter = adapter();
        let is_listed = |table: &CodeTable| table.verdict(&code).is_some();
        let codes = &adapter.codes;
        prop_assume!(!is_listed(codes.reply(Operation::Payment)));
        prop_assume!(!is_listed(codes.end(Operation::Payment)) && !is_listed(codes.reversal()));
        prop_assume!(!matches!(&*code, "00" | "34"));
        let said = [("respCode", &*code)];
        let ended = [("respCode", "00"), ("origRespCode", &*code)];
        let asked = [
            (payment(), "01", said.to_vec()),
            (inquiry(), "01", said.to_vec()),
            (inquiry(), "01", ended.to_vec()),
            (reversal(), "99", said.to_vec()),
        ];
        for (request, kind, more) in asked {
            let body = signed(answer(kind, &more)).encode_line();
            let found = adapter.decode(&request, &reply(body), now()).outcome;
            prop_assert!(matches!(found, Outcome::Unknown(_)), "{} {:?}", code, found);
        }
    }
}

proptest! {
    #[test]
    fn i_2_any_bytes_are_an_unknown_reply(body in prop::collection::vec(any::<u8>(), 0..300)) {
        for request in every_request() {
            let found = adapter().decode(&request, &reply(body.clone()), now());
            prop_assert_eq!(found.outcome.name(), "unknown");
            prop_assert!(found.transcript.len() <= TRANSCRIPT_BYTES_MAX);
        }
    }

    #[test]
    fn i_2_any_line_is_an_unknown_reply(
        line in "((respCode|txnType|signature|signMethod|signPubKeyCert)=[0-9a-z{}+/]{0,9}&?){0,8}"
    ) {
        let found = adapter().decode(&payment(), &reply(line), now());
        prop_assert_eq!(found.outcome.name(), "unknown");
    }

    #[test]
    fn i_2_whatever_a_believed_reply_says_no_payment_is_approved_by_it(
        code in "(00|A6|34|6[0-9]|\\PC{0,3})",
        end in "(00|A6|0[1-5]|\\PC{0,40})",
        reference in "\\PC{0,60}",
        date in "([0-9]{4}|\\PC{0,6})",
        amount in "(10000|[0-9]{0,30}|\\PC{0,9})",
    ) {
        let more = [
            ("respCode", &*code),
            ("origRespCode", &*end),
            ("queryId", &*reference),
            ("settleDate", &*date),
            ("txnAmt", &*amount),
        ];
        for (request, kind) in [(payment(), "01"), (inquiry(), "01")] {
            let body = signed(answer(kind, &more)).encode_line();
            let found = adapter().decode(&request, &reply(body), now());
            let asked = matches!(request, ChannelRequest::Inquiry { .. });
            let ended = matches!(&*code, "00" | "A6") && matches!(&*end, "00" | "A6");
            prop_assert!(found.outcome.name() != "approved" || (asked && ended));
            prop_assert!(found.outcome.name() != "not_sent");
        }
    }

    #[test]
    fn i_2_a_reply_with_one_byte_changed_is_unknown(
        place in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut body = signed(answer("01", &[("respCode", "64")])).encode_line().into_bytes();
        let place = place.index(body.len());
        prop_assume!(body[place] != byte);
        body[place] = byte;
        let found = adapter().decode(&payment(), &reply(body), now());
        prop_assert_eq!(found.outcome.name(), "unknown");
    }
}
