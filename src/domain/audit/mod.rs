//! An auditor of the books: recomputes I-2 to I-9 and I-11 from the rows alone.
//!
//! It shares no rule with the code that writes them: it reads fields, counts and adds. What it
//! finds is told in sentences that begin with the invariant's number. `store check` asks it about
//! books at work, and the tests after every commit.

mod books;
mod claims;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::domain::attempt::{Attempt, AttemptState, Operation, Source};
use crate::domain::books::Transaction;
use crate::domain::books::accounting::{AccountingRequest, RequestId};
use crate::domain::books::clearing::ClearingRecord;
use crate::domain::books::day_close::DayClose;
use crate::domain::ids::{ChannelId, OrderId};
use crate::domain::order::{Order, OrderKind, OrderStatus};
use crate::domain::outcome::Reason;
use crate::domain::reversal::{Phase, ReversalEntry};
use crate::domain::time::BusinessDate;
use crate::domain::write_set::{Contradiction, CoreNotice};

pub use books::{AuditedSums, check_close};

macro_rules! hold {
    ($found:expr, $holds:expr, $($text:tt)*) => {
        if !$holds {
            $found.push(format!($($text)*));
        }
    };
}

pub(crate) use hold;

/// Rows of a store, as an auditor keeps them: all, or those of orders that refer to each other.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AuditedRows {
    pub orders: BTreeMap<OrderId, Order>,
    pub entries: BTreeMap<OrderId, ReversalEntry>,
    pub transactions: BTreeMap<OrderId, Vec<Transaction>>,
    pub clearing: BTreeMap<OrderId, Vec<ClearingRecord>>,
    pub accounting: BTreeMap<RequestId, AccountingRequest>,
    pub contradictions: BTreeMap<OrderId, Vec<Contradiction>>,
    pub notices: BTreeMap<OrderId, Vec<CoreNotice>>,
    pub closes: BTreeMap<(ChannelId, BusinessDate), DayClose>,
    /// The last day of each channel that takes no records any more.
    pub shut: BTreeMap<ChannelId, BusinessDate>,
    /// From when on each channel's "no such order" may be believed.
    pub believed_after: BTreeMap<ChannelId, Duration>,
    /// How long after it left a reversal that nobody answered may be carried out. A channel that is
    /// not named here, or above, has a clock whose stamps prove no age.
    pub reversals_end_after: BTreeMap<ChannelId, Duration>,
    /// What statements claim against the books stays in suspense, and is not undone.
    pub claims_stay: bool,
    /// The books of a gateway at work: what its channels' files said is not known, and an operator
    /// may have left a request parked.
    pub are_live: bool,
}

/// The states in which an order has ended.
pub const FINAL: [OrderStatus; 3] =
    [OrderStatus::Succeeded, OrderStatus::Failed, OrderStatus::Reversed];

/// The states in which an attempt has no end.
pub const OPEN: [AttemptState; 3] =
    [AttemptState::Sending, AttemptState::Pending, AttemptState::Unknown];

fn open(order: &Order) -> Vec<&Attempt> {
    order.attempts.iter().filter(|attempt| OPEN.contains(&attempt.state)).collect()
}

/// Everything that can be said of all rows.
pub fn check_invariants(rows: &AuditedRows) -> Vec<String> {
    let mut found: Vec<String> = rows.orders.keys().flat_map(|id| check_order(rows, *id)).collect();
    let mut callers = BTreeSet::new();
    for order in rows.orders.values() {
        let new = callers
            .insert((order.instruction.caller.clone(), order.instruction.caller_order_id.clone()));
        hold!(found, new, "I-9: {} has two orders", order.instruction.caller_order_id);
    }
    for close in rows.closes.values() {
        let mut sums = AuditedSums::default();
        rows.clearing.values().flatten().for_each(|record| sums.add(record));
        found.extend(check_close(&sums, close));
    }
    for id in rows.entries.keys() {
        hold!(found, rows.orders.contains_key(id), "I-6: entry {id} has no order");
    }
    for id in rows.accounting.values().filter_map(AccountingRequest::order) {
        hold!(found, rows.orders.contains_key(&id), "I-7: a request books no order {id}");
    }
    for id in rows.transactions.keys().chain(rows.clearing.keys()) {
        hold!(found, rows.orders.contains_key(id), "I-7: the books have no order {id}");
    }
    found
}

/// What one order's rows show.
pub fn check_order(rows: &AuditedRows, id: OrderId) -> Vec<String> {
    let Some(order) = rows.orders.get(&id) else {
        return vec![format!("I-9: order {id} is not in the books")];
    };
    let mut found = check_attempts(rows, order);
    found.extend(check_end(order));
    found.extend(check_entry(rows, order));
    found.extend(books::check_books(rows, order));
    found.extend(claims::check_claims(rows, order));
    found.extend(claims::check_claimed(rows, order));
    let ended = FINAL.contains(&order.status);
    let tells = ended && order.instruction.notify_url.is_some() && !is_undo(order);
    let notices = rows.notices.get(&id).map_or(0, Vec::len);
    // Where an order names no place, the settings may.
    let by_settings = rows.are_live && ended && !is_undo(order) && !tells && notices == 1;
    let owed = notices == usize::from(tells) || by_settings;
    hold!(found, owed, "I-7: order {id} owes {notices} notices");
    found
}

/// I-3 and I-4 over the attempts.
fn check_attempts(rows: &AuditedRows, order: &Order) -> Vec<String> {
    let mut found = Vec::new();
    let id = order.id;
    let count = open(order).len();
    hold!(found, count <= 1, "I-4: order {id} has {count} unresolved attempts");
    let last = order.attempts.len();
    for (place, attempt) in order.attempts.iter().enumerate() {
        let name = format!("attempt {} of {id}", attempt.number);
        hold!(found, usize::from(attempt.number) == place + 1, "I-4: {name} has a wrong number");
        if OPEN.contains(&attempt.state) {
            hold!(found, place + 1 == last, "I-4: {name} is open and another was tried");
            hold!(found, attempt.ended_by.is_none(), "I-3: {name} is open and has ended");
            continue;
        }
        let by = attempt.ended_by;
        hold!(found, by.is_some() && attempt.ended_at.is_some(), "I-3: {name} ended by nothing");
        hold!(found, by != Some(Source::Recovery), "I-3: {name} ended by age");
        hold!(found, attempt.sealed_pan.is_none(), "I-11: {name} keeps its sealed number");
        if attempt.state == AttemptState::NotSent {
            hold!(found, by == Some(Source::Reply), "I-2: {name} was not sent, says {by:?}");
        }
        let disowned = attempt.reason == Some(Reason::NeverArrived);
        let had = attempt.acknowledged_at.is_some();
        hold!(found, !(disowned && had), "I-3: {name} was acknowledged and never arrived");
        if attempt.reason == Some(Reason::NeverArrived)
            && let Some(wait) = rows.believed_after.get(&attempt.channel)
        {
            let waited = attempt.ended_at.map_or(Duration::ZERO, |at| at.since(attempt.sent_at));
            hold!(found, waited >= *wait, "I-3: {name} `not found` was believed too early");
        }
        if place + 1 < last {
            let dead = match attempt.state {
                AttemptState::NotSent => true,
                AttemptState::Declined => {
                    by == Some(Source::Reply) || attempt.operation == Operation::Undo
                }
                _ => false,
            };
            hold!(found, dead, "I-4: {name} is {:?}, yet another was tried", attempt.state);
        }
    }
    found
}

fn is_undo(order: &Order) -> bool {
    matches!(order.instruction.kind, OrderKind::Undo { .. })
}

/// Refunds and voids, which are booked before they leave if they give money back.
fn gives_back(order: &Order) -> bool {
    matches!(order.instruction.kind, OrderKind::Refund { .. } | OrderKind::Void { .. })
}

/// Orders that give money away: booked before they leave.
fn gives_money(order: &Order) -> bool {
    gives_back(order) || order.instruction.kind == OrderKind::Payout
}

/// Whether an order holds an amount on a card, or lets a held one go: no money moves by it.
fn is_about_a_hold(rows: &AuditedRows, order: &Order) -> bool {
    let of = match order.instruction.kind {
        OrderKind::Preauth => return true,
        OrderKind::Void { of } => of,
        OrderKind::Undo { of } => of.order,
        _ => return false,
    };
    rows.orders.get(&of).is_some_and(|original| original.instruction.kind == OrderKind::Preauth)
}

/// I-3: an end stands on the last attempt's evidence.
fn check_end(order: &Order) -> Vec<String> {
    let mut found = Vec::new();
    let id = order.id;
    if let OrderKind::Release { .. } = order.instruction.kind {
        let done = order.status == OrderStatus::Succeeded && order.attempts.is_empty();
        hold!(found, done, "I-8: release {id} is not done");
        return found;
    }
    let last = order.attempts.last().map(|attempt| attempt.state);
    let ended = FINAL.contains(&order.status);
    hold!(found, ended == order.finished_at.is_some(), "I-3: order {id} has half an end");
    hold!(found, !ended || open(order).is_empty(), "I-3: order {id} ended with an open attempt");
    let undo = is_undo(order);
    // Booked first: it waits for accounting, or accounting never took it.
    let unsent = gives_money(order) && order.attempts.is_empty();
    let approved =
        order.attempts.iter().filter(|attempt| attempt.state == AttemptState::Approved).count();
    let holds = match order.status {
        OrderStatus::Succeeded => last == Some(AttemptState::Approved),
        OrderStatus::Reversed => last == Some(AttemptState::Reversed),
        OrderStatus::Failed if undo || unsent => order.reason == Some(Reason::OperatorDecision),
        OrderStatus::Failed => {
            matches!(last, Some(AttemptState::Declined | AttemptState::NotSent))
        }
        OrderStatus::Accepted => unsent || (undo && order.attempts.is_empty()),
        OrderStatus::Processing | OrderStatus::Unknown => undo || !open(order).is_empty(),
    };
    hold!(found, holds, "I-3: order {id} is {:?} with {last:?} last", order.status);
    let success = order.status == OrderStatus::Succeeded;
    hold!(found, approved == usize::from(success), "I-3: order {id} has {approved} approvals");
    found
}

/// I-6: an entry exactly while an attempt is unresolved or an undo is owed, and never forgotten.
fn check_entry(rows: &AuditedRows, order: &Order) -> Vec<String> {
    let mut found = Vec::new();
    let id = order.id;
    let undo = is_undo(order);
    let attempt = open(order).first().copied();
    let left =
        attempt.is_some_and(|a| matches!(a.state, AttemptState::Pending | AttemptState::Unknown));
    let needed = left || (undo && !FINAL.contains(&order.status));
    let entry = rows.entries.get(&id);
    hold!(found, entry.is_some() == needed, "I-6: entry of {id}: {} wanted", needed);
    let Some(entry) = entry else { return found };
    hold!(
        found,
        entry.amount == order.instruction.amount,
        "I-6: entry {id} is about another amount"
    );
    let sending = attempt.is_some_and(|a| a.state == AttemptState::Sending);
    let forgotten = entry.due_at.is_none() && entry.phase != Phase::Operator && !sending;
    hold!(found, !forgotten, "I-6: entry {id} is never due again");
    let counted = entry.reversals_unanswered <= entry.reversals;
    let dated = entry.reversal_left_at.is_some() == entry.reversal_ends_at.is_some()
        && (entry.reversal_left_at.is_some() || entry.reversals == 0);
    hold!(found, counted && dated, "I-6: entry {id} miscounts");
    if let Some(attempt) = attempt {
        let about = (entry.attempt, &entry.channel) == (attempt.number, &attempt.channel);
        hold!(found, about, "I-6: entry {id} is about another attempt");
        let other = attempt.operation != Operation::Undo;
        hold!(found, other || entry.phase != Phase::Reversing, "I-6: an undo of {id} is reversed");
    }
    found
}
