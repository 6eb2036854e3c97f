//! Notices: believed like replies, matched by number, time and amount, and refused when in doubt.

use proptest::prelude::*;

use super::sample::*;
use crate::channel::{Adapter, Notice, NoticeRefusal};
use crate::codec::form::Fields;
use crate::codec::sample_keys::end_params;
use crate::domain::money::Currency;
use crate::domain::outcome::{Approval, Outcome};

fn taken(fields: Fields) -> Result<Notice, NoticeRefusal> {
    adapter().decode_notice(&notice(signed(fields).encode_form()), now())
}

fn outcome(txn_type: &str, code: &str) -> &'static str {
    let found = taken(answer(txn_type, &[("respCode", code)])).expect("a notice");
    found.understood.outcome.name()
}

#[test]
fn a_notice_names_its_attempt_and_its_end() {
    let more = [
        ("respCode", "00"),
        ("queryId", "442401051450467846498"),
        ("settleDate", "0601"),
        ("accNo", TEST_PAN),
        ("respMsg", "成功 [0000000]"),
    ];
    let found = taken(answer("01", &more)).expect("a notice");
    assert_eq!(found.channel_order_no.to_string(), ORDER_ID);
    let amount = found.amount.as_ref().and_then(|amount| amount.minor(Currency::Cny));
    assert_eq!((amount, found.currency), (Some(10_000), Some(Currency::Cny)));
    assert_eq!(found.sent_at_text.as_deref(), Some(TXN_TIME));
    let approval = Approval {
        channel_reference: Some("442401051450467846498".to_owned()),
        code: "00".to_owned(),
        settle_mmdd: Some("0601".to_owned()),
        card_type: None,
    };
    assert_eq!(found.understood.outcome, Outcome::Approved(approval));
    assert!(found.understood.transcript.contains("accNo=621626*********0018"));
    assert!(found.understood.transcript.contains("respMsg=成功 [0000000]"));
}

#[test]
fn a_notices_code_is_the_end_of_its_transaction() {
    let rows = [
        ("01", "A6", "approved"),
        ("01", "03", "unknown"),
        ("01", "04", "unknown"),
        ("01", "05", "pending"),
        ("01", "01", "declined"),
        ("01", "64", "declined"),
        ("01", "45", "unknown"),
        ("01", "ZZ", "unknown"),
        ("31", "00", "approved"),
        ("31", "45", "unknown"),
        ("31", "35", "declined"),
    ];
    for (txn_type, code, expected) in rows {
        assert_eq!(outcome(txn_type, code), expected, "{txn_type} {code}");
    }
}

#[test]
fn a_notice_that_is_not_clear_is_refused() {
    let unknown_order = [
        ("merId", "777290058110098"),
        ("orderId", "250601001000000000900"),
        ("orderId", "20160317150838"),
    ];
    for (key, value) in unknown_order {
        let refusal = taken(answer("01", &[("respCode", "00"), (key, value)]));
        assert_eq!(refusal, Err(NoticeRefusal::UnknownOrder), "{key}={value}");
    }
    let unreadable = [
        ("txnType", "99"),
        ("txnType", "13"),
        ("txnType", "00"),
        ("txnType", ""),
        ("merId", ""),
        ("orderId", ""),
        ("txnTime", ""),
        ("txnAmt", ""),
        ("txnAmt", "-5"),
        ("currencyCode", "999"),
        ("txnSubType", "02"),
        ("bizType", "000902"),
        ("respCode", ""),
    ];
    for (key, value) in unreadable {
        let refusal = taken(answer("01", &[("respCode", "00"), (key, value)]));
        assert!(matches!(refusal, Err(NoticeRefusal::Unreadable(_))), "{key}={value}");
    }
}

#[test]
fn i_2_a_notice_that_is_not_unionpays_is_refused() {
    let mut tampered = signed(answer("01", &[("respCode", "00")]));
    tampered.set("txnAmt", "1");
    let stranger = signer_pem(&end_params("someone"));
    let foreign = signed_with(answer("01", &[("respCode", "00")]), &stranger);
    let unsigned = answer("01", &[("respCode", "00")]);
    for fields in [tampered, foreign, unsigned] {
        let refusal = adapter().decode_notice(&notice(fields.encode_form()), now());
        assert!(matches!(refusal, Err(NoticeRefusal::BadSignature(_))), "{refusal:?}");
    }
}

#[test]
fn a_notice_says_whose_certificate_is_not_believed_and_why() {
    let mut expired = end_params(UNIONPAY);
    expired.not_after = rcgen::date_time_ymd(2023, 10, 22);
    let fields = signed_with(answer("01", &[("respCode", "00")]), &signer_pem(&expired));
    let refusal = adapter().decode_notice(&notice(fields.encode_form()), now());
    let words = refusal.expect_err("it has expired").to_string();
    for part in ["has expired", "serial number 68758028149", "中国银联", "valid until 2023-10-22"]
    {
        assert!(words.contains(part), "{words}");
    }
}

#[test]
fn i_11_a_strangers_certificate_brings_no_card_number_into_an_objection() {
    let stranger = signer_pem(&end_params(&format!("{TEST_PAN}\n{}", "x".repeat(500))));
    let fields = signed_with(answer("01", &[("respCode", "00")]), &stranger);
    let refusal = adapter().decode_notice(&notice(fields.encode_form()), now());
    let words = refusal.expect_err("it is nobody's").to_string();
    assert!(!words.contains(TEST_PAN) && !words.contains('\n') && words.len() < 400, "{words}");
}

#[test]
fn a_notice_in_another_currency_says_so() {
    let found = taken(answer("01", &[("respCode", "00"), ("currencyCode", "392")]));
    assert_eq!(found.expect("a notice").currency, Some(Currency::Jpy));
    let silent = taken(answer("01", &[("respCode", "00"), ("currencyCode", "")]));
    assert_eq!(silent.expect("a notice").currency, None);
}

#[test]
fn the_channel_hears_ok_or_repeats() {
    let taken = adapter().answer_notice(true);
    assert_eq!((taken.status, &taken.body[..]), (200, b"ok".as_slice()));
    assert_eq!(adapter().answer_notice(false).status, 400);
}

proptest! {
    #[test]
    fn i_2_any_bytes_are_a_refused_notice(body in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(adapter().decode_notice(&notice(body), now()).is_err());
    }

    #[test]
    fn i_2_a_notice_with_one_letter_changed_is_refused_or_the_same(
        place in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let whole = signed(answer("01", &[("respCode", "00")])).encode_form();
        let before = adapter().decode_notice(&notice(whole.clone()), now());
        let mut body = whole.into_bytes();
        let place = place.index(body.len());
        body[place] = byte;
        // Another spelling of the same character (`%2b`, `%2B`) is the same notice.
        let after = adapter().decode_notice(&notice(body), now());
        prop_assert!(after.is_err() || after == before);
    }
}
