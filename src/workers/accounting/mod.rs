//! Delivers accounting requests until acknowledged: per chain in sequence, chains in parallel, and
//! several in one post where accounting takes them so.
//!
//! Upholds the order of a chain (a request goes only when the one before it is acknowledged or
//! withdrawn) and "booked first" (whoever keeps an acknowledgement begins what waited for it, in
//! the same commit). A delivery that is lost is repeated under the same key. What is booked first
//! is marked as unanswered before it leaves, so that a crash cannot hide that it may have been
//! booked.

mod answer;
mod outage;
mod post;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use reqwest::Client;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::checked::DeliverySettings;
use crate::domain::books::accounting::{AccountingRequest, DeliveryStatus, RequestId};
use crate::domain::cluster::Queue;
use crate::domain::ids::OrderId;
use crate::domain::time::{DueWindow, Timestamp};
use crate::domain::write_set::WriteSet;
use crate::engine::{Engine, EngineError};
use crate::telemetry;
use crate::workers::delivery::{self, PostResult};
use crate::workers::driver::{Tasks, Worker};
use crate::workers::{Hold, KeysInFlight};
use outage::Outage;

/// Rows read beyond those that are under way and those that can start.
const SPARE_ROWS: usize = 64;
/// When a request that waits behind a parked one is looked at again.
const PARKED_WAIT: Duration = Duration::from_secs(30);

/// How the worker delivers.
#[derive(Debug, Clone)]
pub struct AccountingWork {
    /// `in_flight` counts posts.
    pub delivery: DeliverySettings,
    /// The most requests of one post, from 1; 1 is one voucher in each body.
    pub batch_max: usize,
}

/// Delivers accounting requests.
pub struct AccountingWorker {
    desk: Arc<AccountingDesk>,
    chains: KeysInFlight<OrderId>,
}

impl AccountingWorker {
    /// `None` without a URL: nothing is sent, the requests stay, and the API shows them.
    pub fn new(engine: Arc<Engine>, work: AccountingWork) -> Result<Option<Self>, String> {
        let Some(url) = work.delivery.url.clone() else { return Ok(None) };
        let client = delivery::client(work.delivery.timeout)?;
        telemetry::gauge_accounting(true);
        let posts = Arc::new(Semaphore::new(work.delivery.in_flight.get() as usize));
        let outage = Mutex::default();
        let desk = Arc::new(AccountingDesk { engine, work, url, client, posts, outage });
        Ok(Some(Self { desk, chains: KeysInFlight::default() }))
    }
}

impl Worker for AccountingWorker {
    const NAME: &'static str = "accounting";

    async fn round(&mut self, tasks: &mut Tasks) -> usize {
        look(&self.desk, &self.chains, tasks).await.unwrap_or_else(|error| {
            tasks.fail("the accounting requests cannot be read; they are looked for again", &error);
            0
        })
    }

    fn signal(&mut self) -> impl Future<Output = ()> + Send {
        self.desk.engine.signals().accounting.notified()
    }
}

struct AccountingDesk {
    engine: Arc<Engine>,
    work: AccountingWork,
    url: String,
    client: Client,
    /// A permit for each post under way.
    posts: Arc<Semaphore>,
    outage: Mutex<Outage>,
}

impl AccountingDesk {
    fn outage(&self) -> std::sync::MutexGuard<'_, Outage> {
        self.outage.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The request that is next in its chain, and our hold on the chain.
struct ChainHead {
    hold: Hold<OrderId>,
    request: AccountingRequest,
}

/// Starts the delivery of what may go, one request of a chain at a time.
async fn look(
    desk: &Arc<AccountingDesk>,
    chains: &KeysInFlight<OrderId>,
    tasks: &mut Tasks,
) -> Result<usize, EngineError> {
    let room = desk.posts.available_permits() * desk.work.batch_max;
    if room == 0 {
        return Ok(0);
    }
    let (mut group, mut begun) = (Vec::new(), 0);
    let mut permit = None;
    for request in may_go(desk, chains, room).await? {
        let Some(hold) = chains.hold(&request.id.chain) else { continue };
        if permit.is_none() {
            let Ok(free) = Arc::clone(&desk.posts).try_acquire_owned() else { break };
            permit = Some(free);
        }
        group.push(ChainHead { hold, request });
        begun += 1;
        if group.len() == desk.work.batch_max {
            start(desk, tasks, std::mem::take(&mut group), permit.take());
        }
    }
    if !group.is_empty() {
        start(desk, tasks, group, permit);
    }
    Ok(begun)
}

/// Owed requests that are due, or need not wait since an outage is over; the longest due first.
/// There may be more of them than room.
async fn may_go(
    desk: &AccountingDesk,
    chains: &KeysInFlight<OrderId>,
    room: usize,
) -> Result<Vec<AccountingRequest>, EngineError> {
    let now = desk.engine.clock().now();
    let settings = &desk.work.delivery;
    let due = DueWindow::at(now, settings.longest_wait().max(PARKED_WAIT))
        .of_shards(desk.engine.shards(Queue::Accounting));
    let read = due.by(desk.outage().horizon(now, settings));
    let mut limit = chains.len() + room + SPARE_ROWS;
    // Bounded by a page: a request that waits for its own time may stand before one that need not.
    loop {
        let mut rows = desk.engine.store().due_accounting(read, limit).await?;
        let whole = rows.len() < limit;
        {
            let outage = desk.outage();
            rows.retain(|request| {
                let delivery = &request.delivery;
                due.is_due(delivery.due_at) || outage.lets_go(delivery, now, settings)
            });
        }
        if whole || rows.len() >= chains.len() + room {
            return Ok(rows);
        }
        limit *= 4;
    }
}

fn start(
    desk: &Arc<AccountingDesk>,
    tasks: &mut Tasks,
    group: Vec<ChainHead>,
    permit: Option<OwnedSemaphorePermit>,
) {
    let desk = Arc::clone(desk);
    tasks.spawn(async move {
        let begun = deliver(&desk, group).await;
        drop(permit);
        desk.engine.signals().accounting.notify_one();
        let carried = begun.into_iter().map(async |id| {
            desk.engine.carry_out(id).await.map(drop).map_err(|error| {
                let error = telemetry::chain(&error);
                tracing::error!(
                    order.id = %id, error,
                    "an order whose request is booked may not have been sent; recovery ends it"
                );
                error
            })
        });
        join_all(carried).await.into_iter().collect()
    });
}

/// Gives the orders that acknowledgements have begun. The chains are free when it returns.
async fn deliver(desk: &AccountingDesk, group: Vec<ChainHead>) -> Vec<OrderId> {
    let mut ours = Vec::with_capacity(group.len());
    let mut holds = Vec::with_capacity(group.len());
    for ChainHead { hold, request } in group {
        if may_post(desk, &request).await {
            ours.push(request);
            holds.push(hold);
        }
    }
    if ours.is_empty() {
        return Vec::new();
    }
    let (ours, holds, was_unanswered) = mark(desk, ours, holds).await;
    if ours.is_empty() {
        return Vec::new();
    }
    let posted = post::post(desk, &ours).await;
    weigh(desk, &posted);
    let ends = ours.into_iter().zip(&posted).zip(was_unanswered);
    let written = ends.map(|((request, one), was)| write(desk, request, one, was));
    let begun = join_all(written).await.into_iter().flatten().collect();
    drop(holds);
    begun
}

/// Marks what is booked first as unanswered, before it leaves: an operator may give it up, and must
/// then know whether it may have been booked. Gives what may leave, and which were marked before.
/// What could not be marked stays, and is due again.
async fn mark(
    desk: &AccountingDesk,
    ours: Vec<AccountingRequest>,
    holds: Vec<Hold<OrderId>>,
) -> (Vec<AccountingRequest>, Vec<Hold<OrderId>>, Vec<bool>) {
    let marked = ours.into_iter().map(async |mut request: AccountingRequest| {
        let was_unanswered = request.delivery.unanswered;
        if was_unanswered || !request.event.is_booked_first() {
            return Some((request, was_unanswered));
        }
        request.delivery.unanswered = true;
        request.delivery.version += 1;
        commit(desk, request.clone()).await.then_some((request, was_unanswered))
    });
    let (mut leave, mut kept, mut were) = (Vec::new(), Vec::new(), Vec::new());
    for (marked, hold) in join_all(marked).await.into_iter().zip(holds) {
        let Some((request, was_unanswered)) = marked else { continue };
        leave.push(request);
        kept.push(hold);
        were.push(was_unanswered);
    }
    (leave, kept, were)
}

/// Notes what a post proves about accounting as a whole.
fn weigh(desk: &AccountingDesk, posted: &[PostResult]) {
    let answers =
        |one: &PostResult| matches!(one, PostResult::Acknowledged | PostResult::Refused(_));
    let mut outage = desk.outage();
    if !posted.iter().any(answers) {
        if outage.failed() {
            telemetry::gauge_accounting(false);
            tracing::warn!(
                "accounting does not answer; what is owed to it waits and is tried again"
            );
        }
    } else if outage.answered(desk.engine.clock().now()) {
        telemetry::gauge_accounting(true);
        tracing::info!("accounting answers again; what waits for it goes now");
    }
}

/// Whether every earlier request of the chain is acknowledged, so that this one may go. If not, it
/// is put off.
async fn may_post(desk: &AccountingDesk, request: &AccountingRequest) -> bool {
    match turn(desk, request).await {
        Ok(ChainTurn::Ours) => true,
        // The row that a page showed may be old by now; its successor is looked at anew.
        Ok(ChainTurn::Gone) => false,
        Ok(ChainTurn::After(earlier)) => {
            let now = desk.engine.clock().now();
            // Its turn comes with the other's acknowledgement, whatever time stands here.
            let due_at = match earlier.delivery.status {
                DeliveryStatus::Parked => now.plus(PARKED_WAIT),
                DeliveryStatus::Owed | DeliveryStatus::Acknowledged | DeliveryStatus::Withdrawn => {
                    earlier.delivery.due_at.max(now.plus(desk.work.delivery.wait(1)))
                }
            };
            let why = format!("the request waits for {}", earlier.id);
            put_off(desk, request.clone(), due_at, Some(why)).await;
            false
        }
        Err(error) => {
            tracing::error!(
                error = %telemetry::chain(&error),
                "a chain of accounting requests cannot be read; it waits"
            );
            false
        }
    }
}

enum ChainTurn {
    Ours,
    /// An operator or another round has written it meanwhile.
    Gone,
    /// An earlier request of its chain has not been acknowledged.
    After(Box<AccountingRequest>),
}

async fn turn(
    desk: &AccountingDesk,
    request: &AccountingRequest,
) -> Result<ChainTurn, EngineError> {
    let store = desk.engine.store();
    let current = store.accounting_request(request.id).await?;
    if current.is_none_or(|now| now.delivery != request.delivery) {
        return Ok(ChainTurn::Gone);
    }
    if request.id.sequence > 1 {
        let id = RequestId { chain: request.id.chain, sequence: request.id.sequence - 1 };
        let earlier = store.accounting_request(id).await?;
        let open = |one: &AccountingRequest| !one.delivery.status.lets_others_pass();
        if let Some(earlier) = earlier.filter(open) {
            return Ok(ChainTurn::After(Box::new(earlier)));
        }
    }
    Ok(ChainTurn::Ours)
}

/// Moves the time of an owed request; nothing is counted as a try.
async fn put_off(
    desk: &AccountingDesk,
    mut request: AccountingRequest,
    due_at: Timestamp,
    why: Option<String>,
) {
    request.delivery.due_at = due_at;
    request.delivery.version += 1;
    request.delivery.last_error = why;
    commit(desk, request).await;
}

/// Writes down what became of a try. `was_unanswered` says how the request stood before it left.
async fn write(
    desk: &AccountingDesk,
    request: AccountingRequest,
    posted: &PostResult,
    was_unanswered: bool,
) -> Option<OrderId> {
    let now = desk.engine.clock().now();
    let mut after = request.clone();
    after.delivery.unanswered = was_unanswered;
    after.delivery = delivery::after(&after.delivery, posted, &desk.work.delivery, now);
    if *posted != PostResult::Acknowledged {
        commit(desk, after).await;
        return None;
    }
    let id = request.id;
    match desk.engine.acknowledge(after).await {
        Ok(begun) => {
            call_next(desk, id).await;
            begun
        }
        // The request is posted again, under the same key, and then acknowledged again.
        Err(error) => {
            let error = telemetry::chain(&error);
            tracing::warn!(
                request.id = %id, error,
                "an acknowledgement could not be kept; its request is posted again"
            );
            let due_at = now.plus(desk.work.delivery.wait(1));
            let why = "the acknowledgement could not be stored".to_owned();
            put_off(desk, request, due_at, Some(why)).await;
            None
        }
    }
}

/// The next request of the chain was put off while it had to wait: now it is due.
async fn call_next(desk: &AccountingDesk, id: RequestId) {
    let Some(sequence) = id.sequence.checked_add(1) else { return };
    let next = RequestId { chain: id.chain, sequence };
    let now = desk.engine.clock().now();
    match desk.engine.store().accounting_request(next).await {
        Ok(Some(next))
            if next.delivery.status == DeliveryStatus::Owed && next.delivery.due_at > now =>
        {
            put_off(desk, next, now, None).await;
        }
        Ok(_) => {}
        Err(error) => {
            tracing::error!(
                error = %telemetry::chain(&error),
                "a chain of accounting requests cannot be read; it waits"
            );
        }
    }
}

/// Whether it was written. A lost write only means that the request is sent once more, under the
/// same key.
async fn commit(desk: &AccountingDesk, request: AccountingRequest) -> bool {
    let writes = WriteSet { accounting: vec![request], ..WriteSet::default() };
    let written = desk.engine.record(writes).await;
    if let Err(error) = &written {
        tracing::warn!(
            error = %telemetry::chain(error),
            "the state of a delivery could not be kept; it is posted again"
        );
    }
    written.is_ok()
}
