//! Each fault does what it says, and the ledger shows what really happened.

use super::*;

/// One fault always, with waits so short that a test need not wait.
async fn bank(faults: Faults) -> (Simulator, HarbourMerchant) {
    let quick = DurationRange::millis(1, 2);
    let faults = Faults { hang_for: quick, delay_for: quick, ..faults };
    let settings = SimulatorSettings::harbour_bank("harbour", TestClock::noon().clock())
        .with_declines_percent(0)
        .with_faults(faults);
    let simulator = Simulator::start(settings).await.expect("a simulator");
    let merchant = HarbourMerchant::of(&simulator);
    (simulator, merchant)
}

/// The merchant's view of one charge.
#[derive(Debug, PartialEq, Eq)]
enum ChargeView {
    NoReply,
    Status(u16),
    NoMessage,
    BadSignature,
    Code(String),
}

async fn see(merchant: &HarbourMerchant, order_no: &str) -> ChargeView {
    let body = HarbourMerchant::charge_body(order_no);
    let Ok(response) = merchant.send("/v1/charges", &body).await else {
        return ChargeView::NoReply;
    };
    if response.status() != reqwest::StatusCode::OK {
        return ChargeView::Status(response.status().as_u16());
    }
    match merchant.prove(response).await {
        None => ChargeView::NoMessage,
        Some(proved) if !proved.signed => ChargeView::BadSignature,
        Some(proved) => ChargeView::Code(proved.text("code").to_owned()),
    }
}

async fn see_many(merchant: &HarbourMerchant, orders: u32) -> Vec<ChargeView> {
    let mut seen = Vec::new();
    for index in 0..orders {
        seen.push(see(merchant, &order_no(index)).await);
    }
    seen
}

#[tokio::test]
async fn dropped_before_means_that_nothing_happened() {
    let (simulator, merchant) = bank(Faults { drop_before: 10_000, ..Faults::calm() }).await;
    assert!(see_many(&merchant, 5).await.iter().all(|seen| *seen == ChargeView::NoReply));
    assert_eq!(simulator.count(SimulatorEvent::DroppedBefore), 5);
    assert!(simulator.stop().await.entries().is_empty());
}

#[tokio::test]
async fn a_lost_reply_hides_a_charge_that_happened() {
    let (simulator, merchant) = bank(Faults { lose_reply: 10_000, ..Faults::calm() }).await;
    let seen = see_many(&merchant, 30).await;
    assert!(seen.iter().all(|seen| *seen == ChargeView::NoReply), "{seen:?}");
    let kinds = [
        SimulatorEvent::ReplyLostByClose,
        SimulatorEvent::ReplyLostByReset,
        SimulatorEvent::ReplyLostByHang,
    ];
    let counts = kinds.map(|kind| simulator.count(kind));
    assert!(counts.iter().all(|count| *count > 0), "{counts:?}");
    assert_eq!(counts.iter().sum::<u64>(), 30);
    simulator.set_faults(Faults::calm()).expect("possible faults");
    assert_eq!(merchant.query(&order_no(0)).await.text("state"), "SUCCESS");
    assert_eq!(simulator.stop().await.count(EntryState::Approved), 30);
}

/// The caller gets no answer to the first reversal and is refused the second; the first is carried
/// out all the same.
#[tokio::test]
async fn a_late_reversal_is_carried_out_although_a_second_was_refused() {
    let late = DurationRange::millis(200, 300);
    let faults = Faults { reversal_late: 10_000, reversal_late_for: late, ..Faults::calm() };
    let (simulator, merchant) = bank(faults).await;
    let number = order_no(1);
    assert_eq!(see(&merchant, &number).await, ChargeView::Code("0000".to_owned()));
    let body = HarbourMerchant::order_body(&number);
    assert!(merchant.send("/v1/charges/reverse", &body).await.is_err(), "nothing is answered");
    assert_eq!(simulator.count(SimulatorEvent::ReversalLate), 1);
    simulator.set_faults(Faults::calm()).expect("possible faults");
    assert_eq!(merchant.query(&number).await.text("state"), "SUCCESS", "it stands so far");
    assert_eq!(merchant.reverse(&number).await.text("code"), "2002", "one is under way");
    while merchant.query(&number).await.text("state") == "SUCCESS" {
        tokio::task::yield_now().await;
    }
    assert_eq!(simulator.stop().await.count(EntryState::Reversed), 1);
}

#[tokio::test]
async fn spoiled_replies_prove_nothing_although_the_charge_happened() {
    let calm = Faults::calm();
    let rows = [
        (SimulatorEvent::Garbage, Faults { garbage: 10_000, ..calm }),
        (SimulatorEvent::Truncated, Faults { truncated: 10_000, ..calm }),
        (SimulatorEvent::HttpError, Faults { http_error: 10_000, ..calm }),
        (SimulatorEvent::BadSignature, Faults { bad_signature: 10_000, ..calm }),
    ];
    for (happening, faults) in rows {
        let (simulator, merchant) = bank(faults).await;
        let seen = see_many(&merchant, 20).await;
        let fits = |seen: &ChargeView| match happening {
            // An empty JSON object is garbage too: a message without anything.
            SimulatorEvent::Garbage => {
                matches!(seen, ChargeView::NoMessage | ChargeView::BadSignature)
            }
            SimulatorEvent::Truncated => *seen == ChargeView::NoMessage,
            SimulatorEvent::HttpError => matches!(seen, ChargeView::Status(408 | 429 | 500..=599)),
            _ => *seen == ChargeView::BadSignature,
        };
        assert!(seen.iter().all(fits), "{happening:?}: {seen:?}");
        assert_eq!(simulator.count(happening), 20);
        assert_eq!(simulator.stop().await.count(EntryState::Approved), 20);
    }
}

#[tokio::test]
async fn an_unclear_code_is_signed_and_says_nothing() {
    let (simulator, merchant) = bank(Faults { unclear: 10_000, ..Faults::calm() }).await;
    let seen = see_many(&merchant, 10).await;
    let unclear = |seen: &ChargeView| match seen {
        ChargeView::Code(code) => ["1091", "1099"].contains(&code.as_str()),
        _ => false,
    };
    assert!(seen.iter().all(unclear), "{seen:?}");
    assert_eq!(simulator.stop().await.count(EntryState::Approved), 10);
}

#[tokio::test]
async fn a_delayed_request_is_processed_although_its_caller_hung_up() {
    let faults = Faults { delay: 10_000, ..Faults::calm() };
    let (simulator, merchant) = bank(faults).await;
    let seen = see_many(&merchant, 10).await;
    assert!(seen.iter().all(|seen| *seen == ChargeView::Code("0000".to_owned())), "{seen:?}");
    assert_eq!(simulator.count(SimulatorEvent::Delayed), 10);
    let slow = Faults { delay_for: DurationRange::millis(500, 500), ..faults };
    simulator.set_faults(slow).expect("possible faults");
    let merchant = Arc::new(merchant);
    let mut callers = tokio::task::JoinSet::new();
    for index in 10..20 {
        let merchant = Arc::clone(&merchant);
        callers.spawn(async move { see(&merchant, &order_no(index)).await });
    }
    until("all requests have come", || simulator.count(SimulatorEvent::Delayed) == 20).await;
    callers.shutdown().await;
    until("every late request is processed", || {
        simulator.ledger().count(EntryState::Approved) == 20
    })
    .await;
}

#[tokio::test]
async fn a_retry_meets_a_fault_of_its_own() {
    let (simulator, merchant) = bank(Faults { lose_reply: 5_000, ..Faults::calm() }).await;
    let mut seen = Vec::new();
    for _ in 0..20 {
        seen.push(see(&merchant, &order_no(1)).await);
    }
    assert!(
        seen.contains(&ChargeView::NoReply) && seen.contains(&ChargeView::Code("0000".to_owned()))
    );
    let ledger = simulator.stop().await;
    assert_eq!((ledger.entries().len(), ledger.entries()[0].requests), (1, 20));
}

#[tokio::test]
async fn one_seed_gives_one_ledger_and_one_count_of_faults() {
    let mut runs = Vec::new();
    for seed in [11, 11, 12] {
        let quick = DurationRange::millis(0, 1);
        let faults = Faults { hang_for: quick, delay_for: quick, ..Faults::hostile() };
        let settings = SimulatorSettings::harbour_bank("harbour", TestClock::noon().clock())
            .with_declines_percent(30)
            .with_seed(seed)
            .with_faults(faults);
        let simulator = Simulator::start(settings).await.expect("a simulator");
        let merchant = HarbourMerchant::of(&simulator);
        let seen = see_many(&merchant, 120).await;
        let counters = simulator.counters();
        runs.push((seen, counters, simulator.stop().await.json_lines()));
    }
    assert_eq!(runs[0], runs[1], "seed 11");
    assert_ne!(runs[0], runs[2], "seeds 11 and 12");
}

#[tokio::test]
async fn a_stopped_simulator_ends_what_hangs() {
    let hang = DurationRange::millis(3_600_000, 3_600_000);
    let (simulator, merchant) = bank(Faults::calm()).await;
    let faults = Faults { delay: 10_000, delay_for: hang, ..Faults::calm() };
    simulator.set_faults(faults).expect("possible faults");
    let call = tokio::spawn(async move { see(&merchant, &order_no(1)).await });
    until("the request has come", || simulator.count(SimulatorEvent::Delayed) == 1).await;
    simulator.stop().await;
    assert_eq!(call.await.expect("no panic"), ChargeView::NoReply);
}
