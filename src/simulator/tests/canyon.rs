//! Canyon Pay through its shipped channel file: payments and refunds that end later, and the
//! notices of their ends.

use super::banks::*;
use super::*;
use crate::channel::WireNotice;
use crate::channel::protocol::sample::sample_now;
use crate::channel::samples::purpose::describe;
use crate::domain::attempt::Operation::{Payment, Refund};

pub const CANYON: &str = include_str!("../../../channels/canyon-pay.toml");

/// The answers of the same requests, in order, before and after the platform has done its work.
#[tokio::test]
async fn canyon_pay_and_its_file_agree_on_every_operation() {
    let clock = TestClock::noon();
    let met = meet_at("canyon-pay", CANYON, Faults::calm(), &clock, None).await;
    let refused = "declined original_not_eligible";
    assert_eq!(met.ask(&inquiry(Payment, 1, 1_230)).await, "not_found");
    let mut first = Vec::new();
    for sequence in 2..=21 {
        first.push(met.ask(&charge(Payment, sequence)).await);
    }
    let count = |word: &str| first.iter().filter(|told| *told == word).count();
    assert!(count("approved") > 0 && count("pending") > 0, "{first:?}");
    assert_eq!(count("approved") + count("pending"), first.len(), "{first:?}");
    clock.forward(1_000);
    for sequence in 2..=21 {
        assert_eq!(met.ask(&charge(Payment, sequence)).await, "approved", "the same again");
        assert_eq!(met.ask(&inquiry(Payment, sequence, 1_230)).await, "approved");
    }
    let rows = vec![
        (inquiry(Payment, 2, 1_231), "unknown"),
        (follow(Refund, 31, (Payment, 2), 1_000), "pending"),
        (inquiry(Refund, 31, 1_000), "pending"),
        (follow(Refund, 32, (Payment, 2), 231), refused),
        (follow(Refund, 33, (Payment, 99), 1), refused),
        (inquiry(Refund, 33, 1), "not_found"),
        (inquiry(Refund, 3, 1_230), "not_found"),
        (reversal(Payment, 2), refused),
        (reversal(Payment, 3), "approved"),
        (reversal(Payment, 3), "approved"),
        (inquiry(Payment, 3, 1_230), "declined reversed_after_unknown"),
        (follow(Refund, 34, (Payment, 3), 1_230), refused),
        (reversal(Payment, 98), "not_found"),
        (charge(Payment, 98), "declined do_not_honour"),
    ];
    play(&met, rows).await;
    clock.forward(1_000);
    assert_eq!(met.ask(&inquiry(Refund, 31, 1_000)).await, "approved");
    assert_eq!(met.simulator.count(SimulatorEvent::RequestRefused), 0);
    let ledger = met.simulator.ledger();
    assert!(ledger.charged_twice().is_empty());
}

#[tokio::test]
async fn i_2_the_end_is_told_by_a_signed_notice_and_a_forgery_proves_nothing() {
    let inbox = Inbox::open(&[500]).await;
    let quick = DurationRange::millis(1, 3);
    let faults = Faults { notice_forged: 10_000, notice_delay_for: quick, ..Faults::calm() };
    let clock = TestClock::noon();
    let met = meet_at("canyon-pay", CANYON, faults, &clock, Some(&inbox.url)).await;
    for sequence in 1..=8 {
        met.ask(&charge(Payment, sequence)).await;
    }
    met.ask(&follow(Refund, 9, (Payment, 1), 230)).await;
    until("all is told", || met.simulator.notices_waiting() == 0).await;
    let (mut told, mut refused) = (BTreeMap::new(), 0);
    for (headers, body) in inbox.letters() {
        match met.adapter.decode_notice(&WireNotice { headers, body }, sample_now()) {
            Ok(notice) => {
                let number = notice.channel_order_no.to_string();
                told.insert(number, describe(&notice.understood.outcome));
            }
            Err(crate::channel::NoticeRefusal::BadSignature(_)) => refused += 1,
            Err(other) => panic!("{other}"),
        }
    }
    assert!(refused >= 8, "each has a forgery: {refused}");
    assert!(told.len() >= 8, "{told:?}");
    assert!(told.values().all(|outcome| outcome == "approved"), "{told:?}");
}

#[tokio::test]
async fn reports_have_paths_of_their_own_and_every_other_is_the_channel_s() {
    let clock = TestClock::noon();
    let met = meet_at("canyon-pay", CANYON, Faults::calm(), &clock, None).await;
    let get = async |path: &str| {
        let url = format!("{}{path}", met.simulator.base_url());
        client().get(url).send().await.expect("a response").status().as_u16()
    };
    assert_eq!(get("/ledger").await, 200);
    assert_eq!(get("/ledger/summary").await, 200);
    assert_eq!(get("/statements/2026-11-22/planted").await, 200);
    assert_eq!(get("/v3/pay/cards/1").await, 401, "unsigned");
    assert_eq!(met.simulator.count(SimulatorEvent::RequestRefused), 1);
}
