//! What can become of a payment or a pre-authorisation, step by step, as a cashier asks for it.
//!
//! A step waits for the end of the one before. Where the channel refuses a follow-up, it is asked
//! for once more under another order id, as a core would; what fails then too ends the life.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use switchyard::clock::Clock;

use crate::support::core::{Answer, Core, TEST_CARD};
use crate::support::wire::until;
use crate::town::Channel;

const AMOUNT: i64 = 100_000;
const PART: i64 = 30_000;

/// How it goes on after the card was charged, or the amount held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    RefundedInTwoParts,
    Voided,
    CapturedAndRefunded,
    CapturedAndVoided,
    HoldLetGo,
    /// Nothing was charged: money leaves for a card.
    PaidOut,
}

impl Life {
    pub const ALL: [Self; 6] = [
        Self::RefundedInTwoParts,
        Self::Voided,
        Self::CapturedAndRefunded,
        Self::CapturedAndVoided,
        Self::HoldLetGo,
        Self::PaidOut,
    ];
    /// So many of them, from the first on, begin with a payment.
    pub const OF_PAYMENTS: usize = 2;
    /// So many do not need payouts.
    pub const OF_CARDS_THAT_PAY: usize = 5;

    pub async fn live(self, cashier: &Cashier, channel: Channel) {
        // `None` where the channel refused, or an unknown was taken back: then nothing follows.
        let _whole = match self {
            Self::RefundedInTwoParts => refunded_in_two_parts(cashier, channel).await,
            Self::Voided => voided(cashier, channel).await,
            Self::CapturedAndRefunded => captured_and_refunded(cashier, channel).await,
            Self::CapturedAndVoided => captured_and_voided(cashier, channel).await,
            Self::HoldLetGo => hold_let_go(cashier, channel).await,
            Self::PaidOut => paid_out(cashier, channel).await,
        };
    }
}

async fn refunded_in_two_parts(cashier: &Cashier, channel: Channel) -> Option<()> {
    let paid = cashier.charge("/v1/payments", channel).await?;
    refund_all(cashier, &paid, AMOUNT).await
}

async fn refund_all(cashier: &Cashier, paid: &Value, whole: i64) -> Option<()> {
    let path = format!("/v1/payments/{}/refunds", id_of(paid));
    cashier.follow(&path, Some(PART)).await?;
    let rest = cashier.follow(&path, None).await?;
    assert_eq!(rest["amount"], whole - PART, "all that is left");
    let shown = cashier.core.payment(id_of(paid)).await;
    assert_eq!(shown.body["refunded"], whole);
    cashier.is_refused(&path, Some(1), (422, "exceeds_left")).await;
    Some(())
}

async fn voided(cashier: &Cashier, channel: Channel) -> Option<()> {
    let paid = cashier.charge("/v1/payments", channel).await?;
    cashier.follow(&format!("/v1/payments/{}/void", id_of(&paid)), None).await?;
    let refunds = format!("/v1/payments/{}/refunds", id_of(&paid));
    cashier.is_refused(&refunds, Some(1), (422, "exceeds_left")).await;
    Some(())
}

async fn capture(cashier: &Cashier, channel: Channel, minor: i64) -> Option<Value> {
    let held = cashier.charge("/v1/preauths", channel).await?;
    let path = format!("/v1/preauths/{}/capture", id_of(&held));
    let captured = cashier.follow(&path, Some(minor)).await?;
    cashier.is_refused(&path, Some(1), (422, "exceeds_left")).await;
    Some(captured)
}

async fn captured_and_refunded(cashier: &Cashier, channel: Channel) -> Option<()> {
    let captured = capture(cashier, channel, AMOUNT - 1).await?;
    refund_all(cashier, &captured, AMOUNT - 1).await
}

async fn captured_and_voided(cashier: &Cashier, channel: Channel) -> Option<()> {
    let captured = capture(cashier, channel, AMOUNT).await?;
    cashier.follow(&format!("/v1/payments/{}/void", id_of(&captured)), None).await?;
    Some(())
}

async fn hold_let_go(cashier: &Cashier, channel: Channel) -> Option<()> {
    let held = cashier.charge("/v1/preauths", channel).await?;
    cashier.follow(&format!("/v1/preauths/{}/void", id_of(&held)), None).await?;
    let capture = format!("/v1/preauths/{}/capture", id_of(&held));
    cashier.is_refused(&capture, Some(1), (422, "exceeds_left")).await;
    Some(())
}

async fn paid_out(cashier: &Cashier, channel: Channel) -> Option<()> {
    let body = json!({
        "order_id": cashier.next_order_id(),
        "merchant_id": channel.id,
        "amount": PART,
        "currency": "CNY",
        "card": { "pan": TEST_CARD, "holder": "Ann Payee" },
    });
    let paid = cashier.ask("/v1/payouts", &body).await?;
    assert_eq!(paid["attempts"].as_array().map(Vec::len), Some(1), "it is sent once");
    let again = cashier.core.post("/v1/payouts", &body).await;
    assert_eq!((again.status, again.id()), (200, id_of(&paid)), "I-9");
    let refunds = format!("/v1/payments/{}/refunds", id_of(&paid));
    cashier.is_refused(&refunds, Some(1), (409, "wrong_kind")).await;
    Some(())
}

fn id_of(order: &Value) -> &str {
    order["id"].as_str().expect("an id")
}

/// Asks the daemon, patiently.
pub struct Cashier {
    core: Core,
    orders: AtomicU64,
    refused: AtomicU64,
}

impl Cashier {
    pub fn new(core: Core) -> Self {
        Self { core, orders: AtomicU64::new(0), refused: AtomicU64::new(0) }
    }

    /// How many orders a channel refused, or proved never to have got.
    pub fn refused_by_channels(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    fn next_order_id(&self) -> String {
        format!("A-{}", self.orders.fetch_add(1, Ordering::Relaxed))
    }

    /// Pays or holds, and gives the order if it succeeded.
    async fn charge(&self, path: &str, channel: Channel) -> Option<Value> {
        let body = json!({
            "order_id": self.next_order_id(),
            "merchant_id": channel.id,
            "amount": AMOUNT,
            "currency": "CNY",
            "card": { "pan": TEST_CARD, "expiry": "4912" },
        });
        self.ask(path, &body).await
    }

    /// Asks for a follow-up, and once more if it failed.
    async fn follow(&self, path: &str, amount: Option<i64>) -> Option<Value> {
        for _ in 0..2 {
            let body = self.follow_up_body(amount);
            if let Some(done) = self.ask(path, &body).await {
                return Some(done);
            }
        }
        None
    }

    fn follow_up_body(&self, amount: Option<i64>) -> Value {
        // Who does not need the card again only compares it.
        let card = json!({ "pan": TEST_CARD });
        let mut body = json!({ "order_id": self.next_order_id(), "card": card });
        if let Some(amount) = amount {
            body["amount"] = amount.into();
        }
        body
    }

    async fn is_refused(&self, path: &str, amount: Option<i64>, how: (u16, &str)) {
        let refused = self.core.post(path, &self.follow_up_body(amount)).await;
        assert_eq!((refused.status, refused.text("code")), how, "{path}: {}", refused.body);
    }

    /// Asks until there is an answer, waits for the order's end, and gives it if it succeeded.
    async fn ask(&self, path: &str, body: &Value) -> Option<Value> {
        let taken = async || {
            let answer = self.core.post(path, body).await;
            match answer.text("code") {
                // Every channel is paused for the moment, or there is no room: nothing was written.
                "no_route" | "queue_full" => None,
                _ => Some(answer),
            }
        };
        let answer: Answer = until("an answer", taken).await;
        assert!(matches!(answer.status, 200 | 202), "{path}: {} {}", answer.status, answer.body);
        let id = answer.id().to_owned();
        let ended = async || {
            let order = self.core.payment(&id).await.body;
            match order["status"].as_str() {
                Some("succeeded" | "failed" | "reversed") => Some(order),
                _ => {
                    self.work_if_put_off(&id).await;
                    None
                }
            }
        };
        let order = until(&format!("the end of {id}"), ended).await;
        if answer.status == 200 {
            assert_eq!(order["status"], answer.text("status"), "I-5");
        }
        if order["status"] == "succeeded" {
            return Some(order);
        }
        self.refused.fetch_add(1, Ordering::Relaxed);
        None
    }

    /// What an operator does about an entry that is to be looked at once a day.
    async fn work_if_put_off(&self, id: &str) {
        let entry = self.core.get(&format!("/v1/reversals/{id}")).await;
        if entry.status != 200 {
            return;
        }
        let due_at = entry.body["due_at"].as_str().and_then(|text| text.parse().ok());
        let due_at = due_at.map(|at: jiff::Timestamp| at.as_millisecond());
        let in_an_hour = Clock::System.now().plus(Duration::from_secs(3_600)).as_millis();
        let operator = entry.text("phase") == "operator";
        if operator || due_at.is_some_and(|due_at| due_at > in_an_hour) {
            let path = format!("/v1/reversals/{id}/retry");
            let retried = self.core.post(&path, &json!({ "reason": "do not wait" })).await;
            assert!(matches!(retried.status, 200 | 202 | 409), "{retried:?}");
        }
    }
}
