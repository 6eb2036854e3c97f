//! UnionPay from a merchant's side, without faults.

use super::*;
use crate::simulator::keys::tests::shared_keys;

async fn platform(
    settings: impl FnOnce(SimulatorSettings) -> SimulatorSettings,
) -> (Simulator, AcpMerchant, Inbox, TestClock) {
    let clock = TestClock::noon();
    let inbox = Inbox::open(&[]).await;
    let plain = SimulatorSettings::unionpay_acp("unionpay", shared_keys(), clock.clock())
        .with_declines_percent(0)
        .with_working(DurationRange::millis(1, 2));
    let simulator = Simulator::start(settings(plain)).await.expect("a simulator");
    let merchant = AcpMerchant::of(&simulator, &inbox.url);
    (simulator, merchant, inbox, clock)
}

#[tokio::test]
async fn a_consume_is_accepted_then_told_by_notice_and_query() {
    let (simulator, merchant, inbox, _) = platform(|plain| plain).await;
    let reply = merchant.consume(&order_no(1)).await;
    assert_eq!(code(&reply), "00");
    assert_eq!(reply.get("reqReserved"), Some("备注 test"));
    let query_id = reply.get("queryId").expect("the platform's number").to_owned();
    assert_eq!(query_id.len(), 21);
    assert!(query_id.starts_with("20261122120000"), "{query_id}");
    assert_eq!(reply.get("accNo"), Some("621626*********0018"));
    for key in ["customerInfo", "encryptCertId"] {
        assert_eq!(reply.get(key), None, "{key}");
    }
    until("the notice", || inbox.count() == 1).await;
    let notice = inbox.notices().remove(0);
    assert!(merchant.proves(&notice));
    assert_eq!(code(&notice), "00");
    let rows = [
        ("orderId", order_no(1)),
        ("txnAmt", "1000".to_owned()),
        ("settleDate", "1122".to_owned()),
        ("queryId", query_id),
        ("accNo", "621626*********0018".to_owned()),
        ("merId", MERCHANT_ID.to_owned()),
        ("txnTime", "20261122120000".to_owned()),
    ];
    for (key, expected) in &rows {
        assert_eq!(notice.get(key), Some(expected.as_str()), "{key}");
    }
    let query = merchant.query(&order_no(1)).await;
    assert_eq!((code(&query), query.get("origRespCode")), ("00", Some("00")));
    for (key, expected) in &rows {
        assert_eq!(query.get(key), Some(expected.as_str()), "{key}");
    }
    assert_eq!(query.get("traceNo"), Some("000001"));
    until("the notice is acknowledged", || simulator.notices_waiting() == 0).await;
    assert_eq!(simulator.count(SimulatorEvent::NoticePost), 1);
}

#[tokio::test]
async fn work_in_progress_is_05() {
    let long = DurationRange::millis(3_600_000, 3_600_000);
    let (simulator, merchant, inbox, clock) = platform(|plain| plain.with_working(long)).await;
    assert_eq!(code(&merchant.consume(&order_no(1)).await), "00");
    let query = merchant.query(&order_no(1)).await;
    assert_eq!((code(&query), query.get("origRespCode")), ("00", Some("05")));
    assert_eq!((inbox.count(), simulator.notices_waiting()), (0, 1));
    clock.forward(3_600_000);
    assert_eq!(merchant.query(&order_no(1)).await.get("origRespCode"), Some("00"));
}

#[tokio::test]
async fn a_decline_is_told_at_once_or_later_with_its_code() {
    let (simulator, merchant, inbox, _) = platform(|plain| plain.with_declines_percent(100)).await;
    let mut told = std::collections::BTreeSet::new();
    let mut later = 0;
    for index in 0..40 {
        match code(&merchant.consume(&order_no(index)).await) {
            "00" => later += 1,
            at_once => {
                told.insert(at_once.to_owned());
            }
        }
    }
    until("the notices", || simulator.notices_waiting() == 0).await;
    assert!((1..40).contains(&later), "{later} of 40 are told later");
    let ledger = simulator.ledger();
    assert_eq!((inbox.count(), ledger.count(EntryState::Declined)), (later, 40));
    for notice in inbox.notices() {
        assert!(merchant.proves(&notice));
        told.insert(code(&notice).to_owned());
    }
    assert!(!told.contains("00") && told.len() >= 5, "{told:?}");
    for entry in ledger.entries() {
        let query = merchant.query(&entry.order_no).await;
        assert_eq!((code(&query), query.get("origRespCode")), ("00", Some(entry.code)));
    }
}

#[tokio::test]
async fn a_number_is_a_duplicate_whatever_its_time_and_found_by_both() {
    let (simulator, merchant, _inbox, _) = platform(|plain| plain).await;
    assert_eq!(code(&merchant.consume(&order_no(1)).await), "00");
    assert_eq!(code(&merchant.consume(&order_no(1)).await), "12");
    let mut other = merchant.consume_fields(&order_no(1));
    other.set("txnTime", "20261122120001");
    assert_eq!(code(&merchant.ask(BACK, other).await), "12");
    let mut query = AcpMerchant::fields(("00", "00"), &order_no(1));
    query.set("txnTime", "20261122120001");
    assert_eq!(code(&merchant.ask(QUERY, query).await), "34");
    assert_eq!(code(&merchant.query(&order_no(2)).await), "34");
    let ledger = simulator.stop().await;
    assert_eq!((ledger.entries().len(), ledger.entries()[0].requests), (1, 3));
}

#[tokio::test]
async fn a_reversal_undoes_once_and_kills_a_number_that_it_did_not_find() {
    let (simulator, merchant, _inbox, clock) = platform(|plain| plain).await;
    merchant.consume(&order_no(1)).await;
    assert_eq!(code(&merchant.reverse(&order_no(1)).await), "00");
    assert_eq!(code(&merchant.reverse(&order_no(1)).await), "46");
    assert_eq!(merchant.query(&order_no(1)).await.get("origRespCode"), Some("46"));
    assert_eq!(code(&merchant.reverse(&order_no(2)).await), "34");
    assert_eq!(code(&merchant.consume(&order_no(2)).await), "30");
    merchant.consume(&order_no(3)).await;
    clock.forward(11 * 3_600_000);
    assert_eq!(code(&merchant.reverse(&order_no(3)).await), "35");
    until("the work is done", || simulator.notices_waiting() == 0).await;
    let ledger = simulator.stop().await;
    let states: Vec<_> = ledger.entries().iter().map(|entry| entry.state).collect();
    assert_eq!(states, [EntryState::Reversed, EntryState::Declined, EntryState::Approved]);
}

#[tokio::test]
async fn an_undo_is_accepted_then_told_and_is_possible_once() {
    let (simulator, merchant, inbox, _) = platform(|plain| plain).await;
    let query_id = merchant.consume(&order_no(1)).await.get("queryId").map(str::to_owned);
    let query_id = query_id.expect("the platform's number");
    until("the charge is decided", || simulator.notices_waiting() == 0).await;
    assert_eq!(code(&merchant.undo(&order_no(2), &query_id, "999").await), "36");
    assert_eq!(code(&merchant.undo(&order_no(2), "000000000000000000000", "1000").await), "35");
    assert_eq!(code(&merchant.undo(&order_no(2), &query_id, "1000").await), "00");
    assert_eq!(code(&merchant.undo(&order_no(2), &query_id, "1000").await), "12");
    assert_eq!(code(&merchant.undo(&order_no(3), &query_id, "1000").await), "45");
    until("the undo's notice", || inbox.count() == 2).await;
    let notice = &inbox.notices()[1];
    assert!(merchant.proves(notice));
    assert_eq!((code(notice), notice.get("txnType")), ("00", Some("31")));
    assert_eq!(merchant.query(&order_no(2)).await.get("origRespCode"), Some("00"));
    assert_eq!(simulator.stop().await.net_minor()[&order_no(1)[..19]], 0);
}

#[tokio::test]
async fn what_is_not_right_is_refused_with_its_code() {
    let (simulator, merchant, _inbox, _) = platform(|plain| plain).await;
    let rows = [
        ("version", "5.0.0", "10"),
        ("txnTime", "now", "10"),
        ("orderId", "with-dash", "10"),
        ("orderId", "short", "10"),
        ("txnAmt", "0", "10"),
        ("txnAmt", "-1", "10"),
        ("txnAmt", "1.00", "10"),
        ("currencyCode", "840", "10"),
        ("accNo", "not encrypted", "10"),
        ("encryptCertId", "1", "10"),
        ("customerInfo", "e30=&", "10"),
        ("backUrl", "", "13"),
        ("channelType", "", "13"),
        ("merId", "777290058110098", "32"),
        ("txnType", "04", "32"),
    ];
    for (key, value, expected) in rows {
        let mut fields = merchant.consume_fields(&order_no(1));
        fields.set(key, value);
        assert_eq!(code(&merchant.ask(BACK, fields).await), expected, "{key}={value}");
    }
    let fields = merchant.consume_fields(&order_no(1));
    assert_eq!(code(&merchant.ask(QUERY, fields).await), "32");
    let mut unsigned = merchant.consume_fields(&order_no(1));
    acp_codec::sign_rsa(&mut unsigned, &merchant.serial, &merchant.signer);
    unsigned.set("txnAmt", "1");
    let url = format!("{}{BACK}", merchant.base_url);
    let response = merchant.client.post(url).body(unsigned.encode_form()).send().await;
    let body = response.expect("a response").bytes().await.expect("a body");
    let refused = Fields::decode_line(&body, FieldLimits::MESSAGE).expect("a message");
    assert_eq!(code(&refused), "11");
    let response = merchant.send("/other", Fields::new()).await.expect("a response");
    assert_eq!(response.status(), reqwest::StatusCode::NOT_FOUND);
    assert!(simulator.stop().await.entries().is_empty());
}

#[tokio::test]
async fn card_data_are_opened_and_judged() {
    let (simulator, merchant, _inbox, _) = platform(|plain| plain).await;
    let rows = [
        (CARD, "expired=3011", "00"),
        ("6216261000000000019", "expired=3011", "61"),
        (CARD, "expired=2610", "73"),
        (CARD, "expired=3013", "65"),
        (CARD, "cvn2=12", "65"),
        (CARD, "phoneNo=123", "66"),
    ];
    for (index, (card, secret, expected)) in rows.into_iter().enumerate() {
        let mut fields = merchant.consume_fields(&order_no(index as u32));
        fields.set("accNo", &merchant.seal(card));
        let customer = format!("{{encryptedInfo={}}}", merchant.seal(secret));
        fields.set("customerInfo", &STANDARD.encode(customer));
        assert_eq!(code(&merchant.ask(BACK, fields).await), expected, "{secret}");
    }
    // A merchant without the encryption permission sends plain values.
    let mut plain = merchant.consume_fields(&order_no(9));
    plain.remove("encryptCertId");
    plain.set("accNo", CARD);
    plain.set("customerInfo", &STANDARD.encode("{cvn2=123&expired=3011}"));
    assert_eq!(code(&merchant.ask(BACK, plain).await), "00");
    assert!(!simulator.stop().await.json_lines().contains(CARD));
}
