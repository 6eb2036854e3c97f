//! Delivers accounting requests until acknowledged: per chain in sequence, chains in parallel.

use std::sync::Arc;
use std::time::Duration;

use reqwest::Client;
use serde::Serialize;
use tokio::task::JoinSet;

use crate::config::checked::DeliverySettings;
use crate::domain::batch::Batch;
use crate::domain::books::accounting::{AccountingRequest, RequestId, SourceDocument};
use crate::domain::ids::{MerchantId, OrderId};
use crate::engine::{Engine, EngineError};
use crate::telemetry;
use crate::workers::delivery::{self, Posted};
use crate::workers::{InFlight, Stop, next_round, reap};

/// What travels: complete in itself, so that accounting need know nothing of us (S6, S9).
#[derive(Serialize)]
struct Voucher<'a> {
    request_id: String,
    event: &'static str,
    voucher_type: &'static str,
    source_document: DocumentForm<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    order_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    merchant_id: Option<&'a str>,
    currency: &'static str,
    business_date: String,
    entries: Vec<EntryForm<'a>>,
    created_at: String,
}

#[derive(Serialize)]
struct DocumentForm<'a> {
    channel: &'a str,
    #[serde(flatten)]
    document: Document<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Document<'a> {
    Order { channel_order_no: String, channel_reference: Option<&'a str> },
    Difference { difference: String },
    Settlement { settlement: String, bank_reference: &'a str },
}

impl<'a> Document<'a> {
    fn of(source: &'a SourceDocument) -> Self {
        match source {
            SourceDocument::Order { channel_order_no, channel_reference, .. } => Self::Order {
                channel_order_no: channel_order_no.to_string(),
                channel_reference: channel_reference.as_deref(),
            },
            SourceDocument::Difference { difference, .. } => {
                Self::Difference { difference: difference.to_string() }
            }
            SourceDocument::Settlement { settlement, bank_reference } => {
                Self::Settlement { settlement: settlement.to_string(), bank_reference }
            }
        }
    }
}

#[derive(Serialize)]
struct EntryForm<'a> {
    side: &'static str,
    account: &'a str,
    amount: i64,
}

/// The JSON body of a request.
pub fn body(request: &AccountingRequest) -> Vec<u8> {
    let entries = request.entries.iter().map(|entry| EntryForm {
        side: entry.side.name(),
        account: &entry.account,
        amount: entry.amount_minor,
    });
    let voucher = Voucher {
        request_id: request.id.to_string(),
        event: request.event.name(),
        voucher_type: request.voucher.name(),
        source_document: DocumentForm {
            channel: request.channel.as_str(),
            document: Document::of(&request.source),
        },
        order_id: request.order().map(|order| order.to_string()),
        merchant_id: request.merchant_id().map(MerchantId::as_str),
        currency: request.currency.code(),
        business_date: request.business_date.to_string(),
        entries: entries.collect(),
        created_at: request.created_at.rfc3339(),
    };
    serde_json::to_vec(&voucher).expect("plain texts and integers always serialise")
}

/// Runs until asked to stop. Without a URL nothing is sent: the requests stay, and the API shows
/// them.
pub async fn run(
    engine: Arc<Engine>,
    settings: DeliverySettings,
    look_every: Duration,
    mut stop: Stop,
) {
    let Some(url) = settings.url.clone() else { return stop.asked().await };
    let client = match delivery::client(settings.timeout) {
        Ok(client) => client,
        Err(problem) => {
            tracing::error!(problem, "accounting requests cannot be delivered");
            return stop.asked().await;
        }
    };
    let desk = Arc::new(Desk { engine, settings, url, client });
    let chains = InFlight::default();
    let mut tasks = JoinSet::new();
    while !stop.is_asked() {
        if let Err(error) = look(&desk, &chains, &mut tasks).await {
            tracing::error!(
                error = %telemetry::chain(&error),
                "the accounting requests cannot be read"
            );
        }
        reap(&mut tasks, "accounting");
        next_round(&desk.engine.signals().accounting, look_every, &mut stop).await;
    }
    while tasks.join_next().await.is_some() {}
}

struct Desk {
    engine: Arc<Engine>,
    settings: DeliverySettings,
    url: String,
    client: Client,
}

/// Starts the delivery of what is due, one request of a chain at a time.
async fn look(
    desk: &Arc<Desk>,
    chains: &InFlight<OrderId>,
    tasks: &mut JoinSet<()>,
) -> Result<(), EngineError> {
    let most = desk.settings.in_flight.get() as usize;
    if chains.len() >= most {
        return Ok(());
    }
    let now = desk.engine.clock().now();
    let due = desk.engine.store().due_accounting(now, most * 2).await?;
    for request in due {
        if chains.len() >= most {
            break;
        }
        let Some(claim) = chains.claim(&request.id.chain) else { continue };
        let desk = Arc::clone(desk);
        tasks.spawn(async move {
            let begun = deliver(&desk, request).await;
            drop(claim);
            desk.engine.signals().accounting.notify_one();
            if let Some(id) = begun
                && let Err(error) = desk.engine.carry_out(id).await
            {
                let error = telemetry::chain(&error);
                tracing::error!(order.id = %id, error, "what was booked may not have left");
            }
        });
    }
    Ok(())
}

/// Gives the order that the acknowledgement has begun, if one waited for it.
async fn deliver(desk: &Desk, request: AccountingRequest) -> Option<OrderId> {
    match turn(desk, &request).await {
        Ok(Turn::Ours) => {}
        // The row that a page showed may be old by now; its successor is looked at anew.
        Ok(Turn::Gone) => return None,
        Ok(Turn::After(earlier)) => {
            postpone(desk, request, format!("it waits for {earlier}")).await;
            return None;
        }
        Err(error) => {
            tracing::error!(error = %telemetry::chain(&error), "a chain cannot be read");
            return None;
        }
    }
    let key = request.id.to_string();
    let posted = delivery::post(&desk.client, &desk.url, &key, body(&request), Vec::new()).await;
    telemetry::count_delivery("accounting", delivery::result(&posted));
    if let Posted::Refused(answer) = &posted {
        tracing::error!(request.id = key, answer, "accounting refuses a request; it is parked");
    }
    write(desk, request, &posted).await
}

enum Turn {
    Ours,
    /// Someone has written it meanwhile.
    Gone,
    /// An earlier request of its chain has not been acknowledged.
    After(RequestId),
}

/// Whether every earlier request of the chain is acknowledged, so that this one may go.
async fn turn(desk: &Desk, request: &AccountingRequest) -> Result<Turn, EngineError> {
    let store = desk.engine.store();
    let current = store.accounting_request(request.id).await?;
    if current.is_none_or(|now| now.delivery != request.delivery) {
        return Ok(Turn::Gone);
    }
    if request.id.sequence > 1 {
        let id = RequestId { chain: request.id.chain, sequence: request.id.sequence - 1 };
        let earlier = store.accounting_request(id).await?;
        let open = |one: &AccountingRequest| !one.delivery.status.lets_others_pass();
        if earlier.as_ref().is_some_and(open) {
            return Ok(Turn::After(id));
        }
    }
    Ok(Turn::Ours)
}

/// Makes room for others while this one cannot go on; nothing is counted as a try.
async fn postpone(desk: &Desk, mut request: AccountingRequest, why: String) {
    let now = desk.engine.clock().now();
    request.delivery.due_at = now.plus(desk.settings.wait(1));
    request.delivery.version += 1;
    request.delivery.last_error = Some(why);
    commit(desk, request).await;
}

async fn write(desk: &Desk, request: AccountingRequest, posted: &Posted) -> Option<OrderId> {
    let now = desk.engine.clock().now();
    let mut after = request.clone();
    after.delivery = delivery::after(&request.delivery, posted, &desk.settings, now);
    if *posted != Posted::Acknowledged {
        commit(desk, after).await;
        return None;
    }
    match desk.engine.acknowledge(after).await {
        Ok(begun) => begun,
        // It is posted again, under the same key, and then acknowledged again.
        Err(error) => {
            let error = telemetry::chain(&error);
            tracing::warn!(request.id = %request.id, error, "an acknowledgement was not kept");
            postpone(desk, request, "its acknowledgement could not be kept".to_owned()).await;
            None
        }
    }
}

/// A lost write only means that the request is sent once more, under the same key.
async fn commit(desk: &Desk, request: AccountingRequest) {
    let batch = Batch { accounting: vec![request], ..Batch::default() };
    if let Err(error) = desk.engine.record(batch).await {
        tracing::warn!(error = %telemetry::chain(&error), "a delivery was not written down");
    }
}
