//! Tells the core how orders ended, signed, until it acknowledges.
//!
//! A refusal is no end: a core that is being deployed answers 404 for a while. A notice that is not
//! acknowledged within days is parked, where an operator sees it and can have it sent again.
//!
//! A notice is signed as Standard Webhooks says ([`crate::codec::webhook`]), with every key in
//! force: the core that knows one of them believes it, so keys are changed one after the other.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use reqwest::Client;
use reqwest::header::HeaderName;

use crate::codec::notice;
use crate::codec::webhook::{self, WebhookKey};
use crate::config::checked::DeliverySettings;
use crate::domain::cluster::Queue;
use crate::domain::ids::OrderId;
use crate::domain::time::DueWindow;
use crate::domain::write_set::{CoreNotice, WriteSet};
use crate::engine::{Engine, EngineError};
use crate::telemetry;
use crate::workers::KeysInFlight;
use crate::workers::delivery::{self, PostFacts, PostResult};
use crate::workers::driver::{Tasks, Worker};

/// The keys that sign notices, the newest first; they may be exchanged while the daemon runs.
pub struct NoticeKeys(ArcSwap<Vec<WebhookKey>>);

impl NoticeKeys {
    pub fn new(keys: Vec<WebhookKey>) -> Self {
        Self(ArcSwap::from_pointee(keys))
    }

    pub fn replace(&self, keys: Vec<WebhookKey>) {
        self.0.store(Arc::new(keys));
    }

    /// The headers of one try.
    fn headers(&self, id: &str, at_s: i64, body: &[u8]) -> Vec<(HeaderName, String)> {
        let signed = webhook::signatures(&self.0.load(), id, at_s, body);
        vec![
            (HeaderName::from_static(webhook::ID_HEADER), id.to_owned()),
            (HeaderName::from_static(webhook::TIMESTAMP_HEADER), at_s.to_string()),
            (HeaderName::from_static(webhook::SIGNATURE_HEADER), signed),
        ]
    }
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
    keys: Arc<NoticeKeys>,
    client: Client,
}

/// Delivers the notices that are due.
pub struct NoticeWorker {
    desk: Arc<NoticeDesk>,
    in_flight: KeysInFlight<OrderId>,
}

impl NoticeWorker {
    pub fn new(
        engine: Arc<Engine>,
        work: NoticeWork,
        keys: Arc<NoticeKeys>,
    ) -> Result<Self, String> {
        let client = delivery::client(work.delivery.timeout)?;
        let desk = Arc::new(NoticeDesk { engine, work, keys, client });
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

async fn deliver(desk: &NoticeDesk, mut owed: CoreNotice) -> Result<(), EngineError> {
    let store = desk.engine.store();
    let current = store.notice(owed.order).await?;
    // The row that a page showed may be old by now; its successor is looked at anew.
    if current.is_none_or(|now| now.delivery != owed.delivery) {
        return Ok(());
    }
    let id = owed.order;
    let order = store.order(id).await?.ok_or(EngineError::NoSuchOrder { id })?;
    let body = notice::body(&order);
    let tried_at = desk.engine.clock().now();
    let key = id.to_string();
    let headers = desk.keys.headers(&key, tried_at.as_millis() / 1_000, &body);
    let facts = PostFacts { to: "core", place: desk.engine.traces().of(id), now: tried_at };
    let posted = delivery::post(&desk.client, &owed.url, body, headers, facts).await;
    let present = desk.engine.clock().present();
    let now = present.now();
    let is_late = present.age(owed.created_at) >= desk.work.retry_for;
    let posted = with_patience(posted, is_late);
    telemetry::count_delivery("core", delivery::result(&posted));
    if let PostResult::Refused(answer) = &posted {
        tracing::error!(
            order.id = key,
            answer,
            "the core does not take a notice; it is parked until an operator has it sent again"
        );
    }
    owed.delivery = delivery::after(&owed.delivery, &posted, &desk.work.delivery, now);
    desk.engine.record(WriteSet { notices: vec![owed], ..WriteSet::default() }).await
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
}
