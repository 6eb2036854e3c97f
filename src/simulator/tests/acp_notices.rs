//! UnionPay's notices and replies under faults.

use super::*;
use crate::simulator::keys::tests::shared_keys;

async fn platform(faults: Faults, statuses: &[u16]) -> (Simulator, AcpMerchant, Inbox) {
    let inbox = Inbox::open(statuses).await;
    let quick = DurationRange::millis(1, 3);
    let faults = Faults { notice_delay_for: quick, ..faults };
    let waits = vec![Duration::from_millis(1); 4];
    let retries = NoticeRetries { waits, timeout: Duration::from_secs(10) };
    let settings =
        SimulatorSettings::unionpay_acp("unionpay", shared_keys(), TestClock::noon().clock())
            .with_declines_percent(40)
            .with_working(quick)
            .with_faults(faults)
            .with_notice_retries(retries);
    let simulator = Simulator::start(settings).await.expect("a simulator");
    let merchant = AcpMerchant::of(&simulator, &inbox.url);
    (simulator, merchant, inbox)
}

/// Consumes ten orders and waits until every notice is delivered. Returns the number accepted.
async fn consume_ten(simulator: &Simulator, merchant: &AcpMerchant) -> u64 {
    let mut accepted = 0;
    for index in 0..10 {
        accepted += u64::from(code(&merchant.consume(&order_no(index)).await) == "00");
    }
    until("all is told", || simulator.notices_waiting() == 0).await;
    assert!(accepted > 0);
    accepted
}

/// Whether a notice says what the ledger says.
fn is_true(ledger: &LedgerSnapshot, notice: &Fields) -> bool {
    let order_no = notice.get("orderId").expect("an order number");
    ledger.get(order_no).expect("an entry").code == code(notice)
}

#[tokio::test]
async fn a_notice_comes_again_until_it_is_acknowledged() {
    let (simulator, merchant, inbox) = platform(Faults::calm(), &[500, 302]).await;
    let accepted = consume_ten(&simulator, &merchant).await;
    assert_eq!(inbox.count() as u64, accepted + 2);
    assert_eq!(simulator.count(SimulatorEvent::NoticeGivenUp), 0);
}

#[tokio::test]
async fn a_notice_is_given_up_after_five_posts() {
    let (simulator, merchant, inbox) = platform(Faults::calm(), &[503; 1_000]).await;
    let accepted = consume_ten(&simulator, &merchant).await;
    assert_eq!(inbox.count() as u64, accepted * 5);
    assert_eq!(simulator.count(SimulatorEvent::NoticeGivenUp), accepted);
    assert_eq!(simulator.count(SimulatorEvent::NoticePost), accepted * 5);
}

#[tokio::test]
async fn a_missing_notice_never_comes_but_the_query_knows() {
    let faults = Faults { notice_missing: 10_000, ..Faults::calm() };
    let (simulator, merchant, inbox) = platform(faults, &[]).await;
    let accepted = consume_ten(&simulator, &merchant).await;
    assert_eq!((inbox.count(), simulator.count(SimulatorEvent::NoticeMissing)), (0, accepted));
    for entry in simulator.ledger().entries() {
        let query = merchant.query(&entry.order_no).await;
        assert_eq!(query.get("origRespCode"), Some(entry.code));
    }
}

#[tokio::test]
async fn repeated_and_delayed_notices_are_the_same_truth_again() {
    let faults = Faults { notice_repeated: 10_000, notice_delayed: 10_000, ..Faults::calm() };
    let (simulator, merchant, inbox) = platform(faults, &[]).await;
    let accepted = consume_ten(&simulator, &merchant).await;
    let copies = simulator.count(SimulatorEvent::NoticeRepeated);
    assert!((accepted..=accepted * 3).contains(&copies), "{copies} of {accepted}");
    assert_eq!(simulator.count(SimulatorEvent::NoticeDelayed), accepted);
    assert_eq!(inbox.count() as u64, accepted + copies);
    let ledger = simulator.stop().await;
    for notice in inbox.notices() {
        assert!(merchant.proves(&notice) && is_true(&ledger, &notice));
    }
}

#[tokio::test]
async fn a_contradiction_is_well_signed_and_false_and_the_ledger_says_so() {
    let faults = Faults { notice_contradicting: 10_000, ..Faults::calm() };
    let (simulator, merchant, inbox) = platform(faults, &[]).await;
    let accepted = consume_ten(&simulator, &merchant).await;
    assert_eq!(simulator.count(SimulatorEvent::NoticeContradicting), accepted);
    assert_eq!(inbox.count() as u64, accepted * 2);
    let ledger = simulator.stop().await;
    let marked = ledger.entries().iter().filter(|entry| entry.contradicted).count();
    assert_eq!(marked as u64, accepted);
    let notices = inbox.notices();
    assert!(notices.iter().all(|notice| merchant.proves(notice)));
    let lies = notices.iter().filter(|notice| !is_true(&ledger, notice)).count();
    assert_eq!(lies as u64, accepted);
    for lie in notices.iter().filter(|notice| !is_true(&ledger, notice)) {
        let entry = ledger.get(lie.get("orderId").unwrap_or_default()).expect("an entry");
        assert_eq!(entry.state == EntryState::Approved, code(lie) != "00");
    }
}

#[tokio::test]
async fn a_forgery_is_false_and_proves_nothing() {
    let faults = Faults { notice_forged: 10_000, ..Faults::calm() };
    let (simulator, merchant, inbox) = platform(faults, &[]).await;
    let accepted = consume_ten(&simulator, &merchant).await;
    assert_eq!(simulator.count(SimulatorEvent::NoticeForged), accepted);
    let ledger = simulator.stop().await;
    let (proved, forged): (Vec<_>, Vec<_>) =
        inbox.notices().into_iter().partition(|notice| merchant.proves(notice));
    assert_eq!((proved.len() as u64, forged.len() as u64), (accepted, accepted));
    assert!(proved.iter().all(|notice| is_true(&ledger, notice)));
    assert!(forged.iter().all(|notice| !is_true(&ledger, notice)));
}

#[tokio::test]
async fn a_badly_signed_reply_proves_nothing_and_an_unclear_one_says_nothing() {
    let (simulator, merchant, _inbox) =
        platform(Faults { bad_signature: 10_000, ..Faults::calm() }, &[]).await;
    for index in 0..6 {
        let fields = merchant.consume_fields(&order_no(index));
        let response = merchant.send(BACK, fields).await.expect("a response");
        let body = response.bytes().await.expect("a body");
        let reply = Fields::decode_line(&body, FieldLimits::MESSAGE).expect("a message");
        assert!(!merchant.proves(&reply));
    }
    let unclear = Faults { unclear: 10_000, ..Faults::calm() };
    simulator.set_faults(unclear).expect("possible faults");
    for index in 6..12 {
        let reply = merchant.consume(&order_no(index)).await;
        assert!(["03", "04", "05", "06", "99"].contains(&code(&reply)), "{}", code(&reply));
        let query = merchant.query(&order_no(index)).await;
        assert!(["03", "06", "37"].contains(&code(&query)), "{}", code(&query));
        assert_eq!(query.get("origRespCode"), None);
    }
    assert_eq!(simulator.count(SimulatorEvent::BadSignature), 6);
    assert_eq!(simulator.count(SimulatorEvent::Unclear), 12);
    assert_eq!(simulator.stop().await.entries().len(), 12);
}
