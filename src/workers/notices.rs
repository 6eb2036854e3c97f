//! Tells the core how orders ended, signed, until it acknowledges.
//!
//! A refusal is no end: a core that is being deployed answers 404 for a while. A notice that is not
//! acknowledged within days is parked, where an operator sees it and can have it sent again.
//!
//! `Switchyard-Signature: t=<epoch seconds>,v1=<hex>`, where the hex is HMAC-SHA256 over
//! `<t>.<body>` under the key of the settings; the core checks it before it believes a notice.

use std::sync::Arc;
use std::time::Duration;

use reqwest::Client;
use reqwest::header::HeaderName;
use serde::Serialize;

use crate::codec::sign::{HmacKey, hex_lower};
use crate::config::checked::DeliverySettings;
use crate::domain::cluster::Queue;
use crate::domain::flow::order::Order;
use crate::domain::ids::OrderId;
use crate::domain::time::DueWindow;
use crate::domain::write_set::{CoreNotice, WriteSet};
use crate::engine::{Engine, EngineError};
use crate::telemetry;
use crate::workers::KeysInFlight;
use crate::workers::delivery::{self, PostResult};
use crate::workers::driver::{Tasks, Worker};

/// The header that carries the signature.
pub const SIGNATURE_HEADER: &str = "switchyard-signature";

/// A notice to the core: enough to end its own order; it can ask for the rest. Absent values are
/// `null`.
#[derive(Serialize)]
struct NoticeMessage<'order> {
    id: String,
    order_id: &'order str,
    kind: &'static str,
    of: Option<String>,
    status: &'static str,
    reason: Option<&'static str>,
    amount: i64,
    currency: &'static str,
    merchant_id: &'order str,
    channel: Option<&'order str>,
    channel_reference: Option<&'order str>,
    clearing_date: Option<String>,
    finished_at: Option<String>,
}

/// The bytes that are posted, and signed.
pub fn body(order: &Order) -> Vec<u8> {
    let approved = order.approved().or(order.attempts.last());
    let told = NoticeMessage {
        id: order.id.to_string(),
        order_id: order.instruction.caller_order_id.as_str(),
        kind: order.instruction.kind.name(),
        of: order.instruction.kind.original().map(|of| of.to_string()),
        status: order.status.name(),
        reason: order.reason.map(crate::domain::outcome::Reason::name),
        amount: order.instruction.amount.get(),
        currency: order.instruction.currency.name(),
        merchant_id: order.instruction.merchant_id.as_str(),
        channel: approved.map(|attempt| attempt.channel.as_str()),
        channel_reference: approved.and_then(|attempt| attempt.channel_reference.as_deref()),
        clearing_date: order.clearing_date.map(|date| date.to_string()),
        finished_at: order.finished_at.map(crate::domain::time::Timestamp::rfc3339),
    };
    serde_json::to_vec(&told).expect("plain texts and integers always serialise")
}

/// The signature header's value for a body.
pub fn signature(key: &HmacKey, at_s: i64, body: &[u8]) -> String {
    let time = at_s.to_string();
    let tag = key.tag(&[time.as_bytes(), b".", body]);
    format!("t={time},v1={}", hex_lower(tag.as_ref()))
}

/// How the worker delivers.
#[derive(Debug, Clone)]
pub struct NoticeWork {
    pub delivery: DeliverySettings,
    /// How long after an order's end its notice is tried; then it is parked.
    pub retry_for: Duration,
}

struct NoticeDesk {
    engine: Arc<Engine>,
    work: NoticeWork,
    key: HmacKey,
    client: Client,
}

/// Delivers the notices that are due.
pub struct NoticeWorker {
    desk: Arc<NoticeDesk>,
    in_flight: KeysInFlight<OrderId>,
}

impl NoticeWorker {
    pub fn new(engine: Arc<Engine>, work: NoticeWork, key: HmacKey) -> Result<Self, String> {
        let client = delivery::client(work.delivery.timeout)?;
        let desk = Arc::new(NoticeDesk { engine, work, key, client });
        Ok(Self { desk, in_flight: KeysInFlight::default() })
    }

    async fn look(&self, tasks: &mut Tasks) -> Result<usize, EngineError> {
        let (desk, mut begun) = (&self.desk, 0);
        let most = desk.work.delivery.in_flight.get() as usize;
        if self.in_flight.len() >= most {
            return Ok(0);
        }
        let due = DueWindow::at(desk.engine.clock().now(), desk.work.delivery.longest_wait())
            .of_shards(desk.engine.shards(Queue::Notices));
        for notice in desk.engine.store().due_notices(due, most * 2).await? {
            if self.in_flight.len() >= most {
                break;
            }
            let Some(hold) = self.in_flight.hold(&notice.order) else { continue };
            let desk = Arc::clone(desk);
            begun += 1;
            tasks.spawn(async move {
                let delivered = deliver(&desk, notice).await.map_err(|error| {
                    let error = telemetry::chain(&error);
                    tracing::error!(error, "a notice could not be delivered; it is posted again");
                    error
                });
                drop(hold);
                desk.engine.signals().notices.notify_one();
                delivered
            });
        }
        Ok(begun)
    }
}

impl Worker for NoticeWorker {
    const NAME: &'static str = "notices";

    async fn round(&mut self, tasks: &mut Tasks) -> usize {
        self.look(tasks).await.unwrap_or_else(|error| {
            tasks.fail("the notices cannot be read; they are looked for again", &error);
            0
        })
    }

    fn signal(&mut self) -> impl Future<Output = ()> + Send {
        self.desk.engine.signals().notices.notified()
    }
}

async fn deliver(desk: &NoticeDesk, mut notice: CoreNotice) -> Result<(), EngineError> {
    let store = desk.engine.store();
    let current = store.notice(notice.order).await?;
    // The row that a page showed may be old by now; its successor is looked at anew.
    if current.is_none_or(|now| now.delivery != notice.delivery) {
        return Ok(());
    }
    let id = notice.order;
    let order = store.order(id).await?.ok_or(EngineError::NoSuchOrder { id })?;
    let body = body(&order);
    let at_s = desk.engine.clock().now().as_millis() / 1_000;
    let name = HeaderName::from_static(SIGNATURE_HEADER);
    let headers = vec![(name, signature(&desk.key, at_s, &body))];
    let key = id.to_string();
    let posted = delivery::post(&desk.client, &notice.url, &key, body, headers).await;
    let present = desk.engine.clock().present();
    let now = present.now();
    let is_late = present.age(notice.created_at) >= desk.work.retry_for;
    let posted = with_patience(posted, is_late);
    telemetry::count_delivery("core", delivery::result(&posted));
    if let PostResult::Refused(answer) = &posted {
        tracing::error!(
            order.id = key,
            answer,
            "the core does not take a notice; it is parked until an operator has it sent again"
        );
    }
    notice.delivery = delivery::after(&notice.delivery, &posted, &desk.work.delivery, now);
    desk.engine.record(WriteSet { notices: vec![notice], ..WriteSet::default() }).await
}

/// Whatever is no acknowledgement is tried again, until it is late; then it is given up.
fn with_patience(posted: PostResult, is_late: bool) -> PostResult {
    match posted {
        PostResult::Acknowledged => PostResult::Acknowledged,
        PostResult::Refused(why) | PostResult::Later(why) | PostResult::Unanswered(why) => {
            if is_late {
                PostResult::Refused(why)
            } else {
                PostResult::Later(why)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_time_parks_a_notice() {
        let why = || "it answered 404".to_owned();
        for posted in
            [PostResult::Refused(why()), PostResult::Later(why()), PostResult::Unanswered(why())]
        {
            assert_eq!(with_patience(posted.clone(), false), PostResult::Later(why()));
            assert_eq!(with_patience(posted, true), PostResult::Refused(why()));
        }
        assert_eq!(with_patience(PostResult::Acknowledged, true), PostResult::Acknowledged);
    }

    #[test]
    fn a_notice_is_signed_over_time_and_body() {
        let key = HmacKey::new(b"0123456789abcdef0123456789abcdef");
        let signed = signature(&key, 1_700_000_000, b"{}");
        let (time, hex) = signed.split_once(",v1=").expect("both parts");
        assert_eq!(time, "t=1700000000");
        assert_eq!(hex.len(), 64);
        assert_ne!(signed, signature(&key, 1_700_000_001, b"{}"));
        assert_ne!(signed, signature(&key, 1_700_000_000, b"{ }"));
    }
}
