//! Waits until nothing is owed, and plays the operator for what only a person may end.
//!
//! An operator looks into the channel's own ledger, as one would telephone the channel, and then
//! uses the API like anyone: has an entry worked again, or ends it with a reason that is kept.

use std::time::Duration;

use serde_json::json;

use super::books;
use super::client::ApiClient;
use super::town::Town;
use crate::app::App;
use crate::clock::stopwatch;
use crate::domain::books::accounting::DeliveryStatus;
use crate::domain::order::OrderKind;
use crate::domain::reversal::{Phase, ReversalEntry};
use crate::domain::time::{DueWindow, Timestamp};
use crate::simulator::{EntryKind, EntryState};
use crate::store::PAGE_MAX;

/// When the waiting ends whatever is still owed; the checks then say what it is.
const DRAIN_WITHIN: Duration = Duration::from_secs(120);
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// An entry that is not due for longer than this is one for the operator.
const PATIENCE: Duration = Duration::from_secs(30);

/// Open work, for the progress line. Counts stop at a page.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OpenWork {
    pub orders: usize,
    pub entries: usize,
    pub accounting: usize,
    pub core_notices: usize,
    pub channel_notices: usize,
}

impl OpenWork {
    pub fn is_nothing(self) -> bool {
        self == Self::default()
    }

    pub fn sentence(self) -> String {
        format!(
            "still owed: {} open orders, {} reversal entries, {} bookings, {} notices to the core, \
             {} from channels",
            self.orders, self.entries, self.accounting, self.core_notices, self.channel_notices
        )
    }
}

/// The operator's work.
#[derive(Debug, Clone, Copy, Default)]
pub struct Operator {
    pub retried: u32,
    pub resolved: u32,
}

/// Returns when nothing is owed, or when the time is up: then with what is still owed.
pub async fn run(
    app: &App,
    town: &Town,
    api: &ApiClient,
    mut look_on: impl FnMut(&OpenWork),
) -> anyhow::Result<(Operator, OpenWork)> {
    let mut operator = Operator::default();
    let started = stopwatch();
    loop {
        let owed = count(app, town).await?;
        look_on(&owed);
        if owed.is_nothing() || started.elapsed() > DRAIN_WITHIN {
            return Ok((operator, owed));
        }
        if owed.entries > 0 {
            operate(app, town, api, &mut operator).await?;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn count(app: &App, town: &Town) -> anyhow::Result<OpenWork> {
    let store = app.state().engine.store();
    // Owed notices are listed by when they are due.
    let ever = DueWindow::at(Timestamp::from_millis(i64::MAX), Duration::MAX);
    let owed = Some(DeliveryStatus::Owed);
    Ok(OpenWork {
        // Channels' notices first: one that comes after this look may open what follows.
        channel_notices: town.notices_waiting(),
        orders: store.open_orders(None, PAGE_MAX).await?.len(),
        entries: store.reversals(None, PAGE_MAX).await?.len(),
        accounting: store.accounting_requests(owed, None, PAGE_MAX).await?.len(),
        core_notices: store.due_notices(ever, PAGE_MAX).await?.len(),
    })
}

/// Sees to the entries that will not end by themselves.
async fn operate(
    app: &App,
    town: &Town,
    api: &ApiClient,
    operator: &mut Operator,
) -> anyhow::Result<()> {
    let engine = &app.state().engine;
    let now = engine.clock().now();
    for entry in books::entries(engine.store().as_ref()).await? {
        let is_due_soon = entry.due_at.is_some_and(|due| due.since(now) < PATIENCE);
        let is_worked = entry.due_at.is_none() && entry.phase != Phase::Operator;
        if is_due_soon || is_worked {
            continue;
        }
        let is_told = entry.phase == Phase::Operator && has_ended(app, town, &entry).await?;
        let (verb, body) = if is_told {
            operator.resolved += 1;
            let reason = "the channel's own ledger shows that nothing stands to be taken back";
            ("resolve", json!({ "outcome": "failed", "reason": reason }))
        } else {
            operator.retried += 1;
            ("retry", json!({ "reason": "the channel is calm again" }))
        };
        // A refusal means that evidence came first; the next look sees what is left.
        api.post(&format!("/v1/reversals/{}/{verb}", entry.order), &body, None).await?;
    }
    Ok(())
}

/// Whether an undo is owed of which no request is open, and the ledger shows that what it would
/// take back does not stand.
async fn has_ended(app: &App, town: &Town, entry: &ReversalEntry) -> anyhow::Result<bool> {
    let order = app.state().engine.store().order(entry.order).await?;
    let Some(order) = order.filter(|order| order.unresolved().is_none()) else { return Ok(false) };
    let OrderKind::Undo { of } = order.instruction.kind else { return Ok(false) };
    let number = of.to_string();
    let ledgers = town.simulators().filter(|(id, _)| *id == entry.channel.as_str());
    let mut states = ledgers.filter_map(|(_, simulator)| {
        simulator.ledger().get(&number).map(|line| (line.kind, line.state))
    });
    Ok(match states.next() {
        None => true,
        // An undo is not taken back itself, and nor is a payout.
        Some((EntryKind::Undo | EntryKind::Refund | EntryKind::Payout, _)) => true,
        Some((EntryKind::Charge | EntryKind::Preauth | EntryKind::Capture, state)) => {
            !matches!(state, EntryState::Approved | EntryState::Working)
        }
    })
}
