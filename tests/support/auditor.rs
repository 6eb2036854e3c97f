//! An auditor of the books: recomputes I-3 to I-9 from the rows alone.
//!
//! It shares no rule with the code under test: it reads fields, counts and adds. What it finds is
//! told in sentences that begin with the invariant's number.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use switchyard::domain::books::Transaction;
use switchyard::domain::books::accounting::{
    AccountingRequest, BookingEvent, DeliveryStatus, Posting, PostingSide, RequestId,
};
use switchyard::domain::books::clearing::{ClearingRecord, ClearingState};
use switchyard::domain::books::day_close::DayClose;
use switchyard::domain::flow::attempt::{Attempt, AttemptState, Operation, Source};
use switchyard::domain::flow::order::{Order, OrderKind, OrderStatus, SettlementMode};
use switchyard::domain::flow::reversal::{Phase, ReversalEntry};
use switchyard::domain::ids::{ChannelId, OrderId};
use switchyard::domain::money::Currency;
use switchyard::domain::outcome::Reason;
use switchyard::domain::time::BusinessDate;
use switchyard::domain::write_set::{
    Contradiction, CoreNotice, EntryChange, ReportedEnd, WriteSet,
};

/// Every row of a store, as an auditor keeps them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rows {
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
}

const FINAL: [OrderStatus; 3] =
    [OrderStatus::Succeeded, OrderStatus::Failed, OrderStatus::Reversed];
const OPEN: [AttemptState; 3] =
    [AttemptState::Sending, AttemptState::Pending, AttemptState::Unknown];

fn open(order: &Order) -> Vec<&Attempt> {
    order.attempts.iter().filter(|attempt| OPEN.contains(&attempt.state)).collect()
}

macro_rules! hold {
    ($found:expr, $holds:expr, $($text:tt)*) => {
        if !$holds {
            $found.push(format!($($text)*));
        }
    };
}

impl Rows {
    /// Applies a write set that a store has written, and tells what no store may have written.
    pub fn apply(&mut self, writes: &WriteSet) -> Vec<String> {
        let mut found = Vec::new();
        for order in &writes.orders {
            let old = self.orders.insert(order.id, order.clone());
            found.extend(check_history(old.as_ref(), order));
            // The entry is still the one that the order was decided on.
            found.extend(check_success(self, order));
        }
        for change in &writes.entries {
            match change {
                EntryChange::Put(entry) => {
                    let old = self.entries.insert(entry.order, entry.clone());
                    let before = old.map_or(0, |old| old.version);
                    hold!(found, entry.version == before + 1, "I-6: entry {} skips", entry.order);
                }
                EntryChange::Remove { order, version } => {
                    let old = self.entries.remove(order).map(|old| old.version);
                    hold!(found, old == Some(*version), "I-6: entry {order} is not there to go");
                }
            }
        }
        for request in &writes.accounting {
            let old = self.accounting.insert(request.id, request.clone());
            let before = old.map_or(0, |old| old.delivery.version);
            let next = request.delivery.version == before + 1;
            hold!(found, next, "I-7: request {} is written twice", request.id);
        }
        for row in &writes.transactions {
            self.transactions.entry(row.order).or_default().push(row.clone());
        }
        for (id, day) in &writes.shut {
            let through = self.shut.entry(id.clone()).or_insert(*day);
            *through = (*through).max(*day);
        }
        for close in &writes.closes {
            let (id, day) = (&close.channel, close.date);
            let last = self.closed_through(id);
            hold!(
                found,
                last.is_none_or(|last| last < day),
                "I-7: {id} closes {day} after {last:?}"
            );
            let shut = self.shut.get(id).is_some_and(|shut| *shut >= day);
            hold!(found, shut, "I-7: {id} closes {day}, which still takes records");
            self.closes.insert((id.clone(), day), close.clone());
            found.extend(check_close(self, close));
        }
        for row in &writes.clearing {
            let open = self.shut.get(&row.channel).is_none_or(|last| *last < row.date);
            hold!(found, open, "I-7: {} is written into a shut day", row.channel_order_no);
            self.clearing.entry(row.order).or_default().push(row.clone());
        }
        for row in &writes.contradictions {
            self.contradictions.entry(row.order).or_default().push(row.clone());
        }
        for row in &writes.notices {
            let kept = self.notices.entry(row.order).or_default();
            kept.retain(|old| old.delivery.version + 1 != row.delivery.version);
            kept.push(row.clone());
        }
        let touched = writes.orders.iter().map(|order| order.id);
        let touched = touched.chain(writes.contradictions.iter().map(|row| row.order));
        for id in touched.collect::<BTreeSet<_>>() {
            found.extend(check_order(self, id));
        }
        found
    }
}

impl Rows {
    fn closed_through(&self, channel: &ChannelId) -> Option<BusinessDate> {
        let of = |(id, date): &(ChannelId, BusinessDate)| (id == channel).then_some(*date);
        self.closes.keys().filter_map(of).max()
    }
}

/// A closed day's totals are the sums of its records, then and for ever.
fn check_close(rows: &Rows, close: &DayClose) -> Vec<String> {
    let mut sums: BTreeMap<Currency, (u64, i64, i64, i64)> = BTreeMap::new();
    let records = rows.clearing.values().flatten();
    for row in records.filter(|row| row.channel == close.channel && row.date == close.date) {
        let sum = sums.entry(row.currency).or_default();
        sum.0 += 1;
        sum.1 += row.principal_minor;
        sum.2 += row.fee_minor;
        sum.3 += row.net_minor;
    }
    let closed = close.totals.iter().map(|(currency, totals)| {
        let money = (totals.principal_minor, totals.fee_minor, totals.net_minor);
        (*currency, (totals.records, money.0, money.1, money.2))
    });
    let mut found = Vec::new();
    let same = closed.collect::<BTreeMap<_, _>>() == sums;
    hold!(found, same, "I-7: {} {} is closed with other sums", close.channel, close.date);
    found
}

/// I-3: what a channel says is no success while a reversal can still undo it.
fn check_success(rows: &Rows, order: &Order) -> Vec<String> {
    let mut found = Vec::new();
    let approved = order.attempts.iter().find(|a| a.state == AttemptState::Approved);
    let Some((approved, entry)) = approved.zip(rows.entries.get(&order.id)) else { return found };
    let (Some(left), Some(ended)) = (entry.reversal_left_at, approved.ended_at) else {
        return found;
    };
    let told = approved.ended_by != Some(Source::Operator);
    let about = entry.attempt == approved.number && entry.reversals_unanswered > 0;
    let Some(wait) = rows.reversals_end_after.get(&approved.channel) else { return found };
    let over = ended >= left.plus(*wait);
    let id = order.id;
    hold!(found, !(told && about) || over, "I-3: {id} succeeded with a reversal on its way");
    found
}

/// I-5: what is final stays; versions count.
fn check_history(old: Option<&Order>, new: &Order) -> Vec<String> {
    let mut found = Vec::new();
    let id = new.id;
    let before = old.map_or(0, |old| old.version);
    hold!(found, new.version == before + 1, "I-5: order {id} skips a version");
    let Some(old) = old else { return found };
    if FINAL.contains(&old.status) {
        let mut expected = old.clone();
        expected.version = new.version;
        expected.released_minor = new.released_minor;
        expected.claims = new.claims;
        expected.accounting_sequence = new.accounting_sequence;
        hold!(found, &expected == new, "I-5: final order {id} was edited");
    }
    for (before, after) in old.attempts.iter().zip(&new.attempts) {
        let ended = !OPEN.contains(&before.state);
        hold!(found, !ended || before == after, "I-5: an ended attempt of {id} was edited");
    }
    hold!(found, new.attempts.len() >= old.attempts.len(), "I-5: an attempt of {id} is gone");
    let same = (
        old.instruction.amount,
        &old.instruction.caller,
        &old.instruction.caller_order_id,
        old.instruction.kind,
    ) == (
        new.instruction.amount,
        &new.instruction.caller,
        &new.instruction.caller_order_id,
        new.instruction.kind,
    );
    hold!(found, same, "I-9: order {id} became another one");
    found
}

/// Everything that can be said of all rows.
pub fn check_invariants(rows: &Rows) -> Vec<String> {
    let mut found: Vec<String> = rows.orders.keys().flat_map(|id| check_order(rows, *id)).collect();
    let mut callers = BTreeSet::new();
    for order in rows.orders.values() {
        let new = callers
            .insert((order.instruction.caller.clone(), order.instruction.caller_order_id.clone()));
        hold!(found, new, "I-9: {} has two orders", order.instruction.caller_order_id);
    }
    found.extend(rows.closes.values().flat_map(|close| check_close(rows, close)));
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
pub fn check_order(rows: &Rows, id: OrderId) -> Vec<String> {
    let Some(order) = rows.orders.get(&id) else {
        return vec![format!("I-9: order {id} is not in the books")];
    };
    let mut found = check_attempts(rows, order);
    found.extend(check_end(order));
    found.extend(check_entry(rows, order));
    found.extend(check_books(rows, order));
    found.extend(check_claims(rows, order));
    found.extend(check_claimed(rows, order));
    let ended = FINAL.contains(&order.status);
    let tells = ended && order.instruction.notify_url.is_some() && !is_undo(order);
    let notices = rows.notices.get(&id).map_or(0, Vec::len);
    hold!(found, notices == usize::from(tells), "I-7: order {id} owes {notices} notices");
    found
}

/// I-3 and I-4 over the attempts.
fn check_attempts(rows: &Rows, order: &Order) -> Vec<String> {
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

/// Whether an order holds an amount on a card, or lets a held one go: no money moves by it.
fn is_about_a_hold(rows: &Rows, order: &Order) -> bool {
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
    let unsent = gives_back(order) && order.attempts.is_empty();
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
fn check_entry(rows: &Rows, order: &Order) -> Vec<String> {
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

/// I-7: one transaction, one clearing record and one request for each success, and they agree.
fn check_books(rows: &Rows, order: &Order) -> Vec<String> {
    let mut found = Vec::new();
    let id = order.id;
    let release = matches!(order.instruction.kind, OrderKind::Release { .. });
    let moved = order.status == OrderStatus::Succeeded && !release;
    let transactions = rows.transactions.get(&id).map_or(&[][..], Vec::as_slice);
    hold!(found, transactions.len() == usize::from(moved), "I-7: transactions of {id}");
    let cleared = moved && !is_about_a_hold(rows, order);
    let clearing = rows.clearing.get(&id).map_or(&[][..], Vec::as_slice);
    let due: Vec<_> = clearing.iter().filter(|r| r.state == ClearingState::Due).collect();
    hold!(found, due.len() == usize::from(cleared), "I-7: {} clearing records of {id}", due.len());
    let chain: Vec<_> = rows.accounting.values().filter(|r| r.id.chain == id).collect();
    let whole = chain.iter().enumerate().all(|(place, r)| usize::from(r.id.sequence) == place + 1);
    let counted = usize::from(order.accounting_sequence) == chain.len();
    hold!(found, whole && counted, "I-7: the chain of {id} has a gap");
    for request in &chain {
        let side = |side| request.postings.iter().filter(move |entry| entry.side == side);
        let sum = |s| side(s).map(|entry| entry.amount_minor).sum::<i64>();
        let red =
            matches!(request.event, BookingEvent::RefundTakenBack | BookingEvent::VoidTakenBack);
        let sign = if red { -1 } else { 1 };
        let signed = request.postings.iter().all(|entry| entry.amount_minor * sign > 0);
        let balanced = sum(PostingSide::Debit) == sum(PostingSide::Credit) && signed;
        hold!(found, balanced, "I-7: request {} does not balance", request.id);
        let first = matches!(request.event, BookingEvent::Refund | BookingEvent::Void);
        let parked = !first && request.delivery.status == DeliveryStatus::Parked;
        hold!(found, !parked, "I-7: request {} is parked", request.id);
    }
    found.extend(check_requests(rows, order));
    let (Some(transaction), Some(record)) = (transactions.first(), due.first()) else {
        return found;
    };
    let sign = match transaction.movement {
        Operation::Undo | Operation::Refund | Operation::Void => -1,
        _ => 1,
    };
    let sums = record.principal_minor == sign * order.instruction.amount.get()
        && record.net_minor == record.principal_minor - record.fee_minor;
    hold!(found, sums, "I-7: the clearing record of {id} does not add up");
    let approved = order.attempts.iter().find(|a| a.state == AttemptState::Approved);
    let same = approved.is_some_and(|attempt| {
        transaction.channel_order_no.attempt == attempt.number
            && record.channel_order_no == transaction.channel_order_no
            && transaction.channel == attempt.channel
            && record.channel == attempt.channel
            && record.date == transaction.clearing_date
            && Some(record.date) == order.clearing_date
    });
    hold!(found, same, "I-7: the books of {id} disagree with its attempt");
    found
}

/// I-5: each claim stands once, and a claimed success of a payment owes exactly one undo.
fn check_claims(rows: &Rows, order: &Order) -> Vec<String> {
    let mut found = Vec::new();
    let id = order.id;
    let claims = rows.contradictions.get(&id).map_or(&[][..], Vec::as_slice);
    let mut seen = BTreeSet::new();
    let mut owed = 0;
    for row in claims {
        let (claim, reference) = ((row.attempt, row.reported), row.channel_reference.clone());
        hold!(found, seen.insert((claim, reference)), "I-5: a claim of {id} stands twice");
        let before: Vec<_> =
            claims.iter().filter(|one| (one.attempt, one.reported) == claim).collect();
        let placed = before.iter().filter(|one| one.ordinal < row.ordinal).count();
        hold!(found, placed == usize::from(row.ordinal), "I-5: claims of {id} are miscounted");
        let attempt = order.attempts.get(usize::from(row.attempt).wrapping_sub(1));
        let state = attempt.map(|attempt| attempt.state);
        // Of a success, a second one under another of the channel's numbers is a claim too.
        let again = row.reported == ReportedEnd::Success && state == Some(AttemptState::Approved);
        let ours = attempt.and_then(|attempt| attempt.channel_reference.as_ref());
        let other = row.channel_reference.as_ref().is_some_and(|theirs| Some(theirs) != ours);
        let against = state.is_some_and(|state| {
            let approved = state == AttemptState::Approved;
            !OPEN.contains(&state)
                && (approved == (row.reported == ReportedEnd::Failure) || again && other)
        });
        hold!(found, against, "I-5: a claim of {id} contradicts nothing: {state:?}");
        let moves = row.reported == ReportedEnd::Success && row.ordinal == 0 && !again;
        let takes = attempt.is_some_and(|a| {
            let takes = [Operation::Payment, Operation::Preauth, Operation::Capture];
            takes.contains(&a.operation)
        });
        let hold = is_about_a_hold(rows, order);
        let stays = rows.claims_stay && row.source == Source::Statement && !hold;
        let wants = moves && takes && !stays;
        if moves && !hold && (gives_back(order) || takes && stays) {
            let event = match takes {
                true => BookingEvent::SuspenseOpened,
                false => BookingEvent::SuspenseReceivable,
            };
            let kept =
                rows.accounting.values().filter(|r| r.order() == Some(id) && r.event == event);
            hold!(found, kept.count() == 1, "I-5: what is claimed of {id} is in no suspense");
            owed += 1;
        }
        hold!(found, row.undo.is_some() == wants, "I-5: a claim of {id} owes a wrong undo");
        let Some(undo) = row.undo.and_then(|undo| rows.orders.get(&undo)) else { continue };
        owed += usize::from(!hold);
        found.extend(check_undo(rows, order, row.attempt, undo));
    }
    let state = ClearingState::Contradicted;
    let records = rows.clearing.get(&id).map_or(&[][..], Vec::as_slice);
    let records = records.iter().filter(|record| record.state == state).count();
    hold!(found, records == owed, "I-5: {records} contradicted records of {id}, {owed} undos");
    found
}

fn check_undo(rows: &Rows, order: &Order, attempt: u8, undo: &Order) -> Vec<String> {
    let mut found = Vec::new();
    let id = undo.id;
    let named = (order.id, attempt);
    let of =
        matches!(undo.instruction.kind, OrderKind::Undo { of } if (of.order, of.attempt) == named);
    hold!(
        found,
        of && undo.instruction.amount == order.instruction.amount,
        "I-5: undo {id} undoes something else"
    );
    let opened = rows.accounting.get(&RequestId { chain: id, sequence: 1 });
    let opened = opened.is_some_and(|request| request.event == BookingEvent::SuspenseOpened);
    let opened = opened != (order.instruction.kind == OrderKind::Preauth);
    hold!(found, opened, "I-5: undo {id} has no suspense");
    let of_attempt = |row: &&ClearingRecord| {
        row.state == ClearingState::Contradicted && row.channel_order_no.attempt == attempt
    };
    let claimed = rows.clearing.get(&order.id).and_then(|all| all.iter().find(of_attempt));
    let back = rows.clearing.get(&id).and_then(|all| all.first());
    if let (Some(claimed), Some(back)) = (claimed, back) {
        let zero = claimed.principal_minor + back.principal_minor == 0
            && claimed.net_minor + back.net_minor == 0;
        hold!(found, zero, "I-5: undo {id} does not bring the claim to zero");
        let same = (&claimed.channel, order.instruction.currency) == (&back.channel, back.currency);
        hold!(found, same, "I-5: undo {id} went to another channel");
    }
    found
}

/// I-7: the booking events of an order, and how far they are.
fn check_requests(rows: &Rows, order: &Order) -> Vec<String> {
    let mut found = Vec::new();
    let id = order.id;
    let of =
        |event| rows.accounting.values().filter(move |r| r.order() == Some(id) && r.event == event);
    let succeeded = usize::from(order.status == OrderStatus::Succeeded);
    let ended = matches!(order.status, OrderStatus::Failed | OrderStatus::Reversed);
    let once = match (order.instruction.kind, order.instruction.settlement_mode) {
        _ if is_about_a_hold(rows, order) => None,
        (OrderKind::Payment | OrderKind::Capture { .. }, SettlementMode::Instant) => {
            Some(BookingEvent::InstantPayment)
        }
        (OrderKind::Payment | OrderKind::Capture { .. }, SettlementMode::Escrow) => {
            Some(BookingEvent::EscrowPayment)
        }
        (OrderKind::Undo { .. }, _) => Some(BookingEvent::SuspenseBalanced),
        (OrderKind::Release { .. }, _) => Some(BookingEvent::EscrowRelease),
        _ => None,
    };
    if let Some(event) = once {
        let booked = of(event).count();
        hold!(found, booked == succeeded, "I-7: {booked} requests of {} for {id}", event.name());
    }
    let (first, back) = match order.instruction.kind {
        OrderKind::Void { .. } => (BookingEvent::Void, BookingEvent::VoidTakenBack),
        _ => (BookingEvent::Refund, BookingEvent::RefundTakenBack),
    };
    let first: Vec<_> = of(first).collect();
    let back: Vec<_> = of(back).collect();
    let money = gives_back(order) && !is_about_a_hold(rows, order);
    let sent = !order.attempts.is_empty();
    hold!(found, first.len() == usize::from(money), "I-7: {id} is booked first once");
    let perhaps = first.first().is_some_and(|first| first.delivery.unanswered);
    let red = usize::from(money && ended && (sent || perhaps));
    hold!(found, back.len() == red, "I-7: {} red letters of {id}", back.len());
    let Some(first) = first.first() else { return found };
    let status = first.delivery.status;
    let acknowledged = status == DeliveryStatus::Acknowledged;
    hold!(found, acknowledged == sent, "I-7: {id} left before it was booked, or after: {status:?}");
    let withdrawn = ended && !sent;
    hold!(found, (status == DeliveryStatus::Withdrawn) == withdrawn, "I-7: {id} is {status:?}");
    for request in back {
        let mirrored = first.postings.iter().zip(&request.postings).all(|(one, other)| {
            (one.side, &one.account, -one.amount_minor)
                == (other.side, &other.account, other.amount_minor)
        });
        let whole = first.postings.len() == request.postings.len();
        hold!(found, mirrored && whole, "I-7: {} takes something else back", request.id);
    }
    let credit = |entry: &&Posting| entry.side == PostingSide::Credit;
    let given: i64 = first.postings.iter().filter(credit).map(|entry| entry.amount_minor).sum();
    hold!(found, given == order.instruction.amount.get(), "I-7: {id} books another amount");
    let escrow = |entry: &&Posting| entry.account == "company:transitional";
    let escrow: i64 = first.postings.iter().filter(escrow).map(|entry| entry.amount_minor).sum();
    let agreed = escrow == order.claims.from_escrow_minor;
    hold!(found, agreed, "I-8: {id} takes {escrow} out of escrow");
    found
}

/// I-8: what others have drawn from an order, added up from them, is what it says, and no more
/// than it has.
fn check_claimed(rows: &Rows, order: &Order) -> Vec<String> {
    let mut found = Vec::new();
    let root = match order.instruction.kind {
        OrderKind::Release { of }
        | OrderKind::Refund { of }
        | OrderKind::Void { of }
        | OrderKind::Capture { of } => of,
        OrderKind::Payment | OrderKind::Preauth => order.id,
        OrderKind::Undo { .. } => return found,
    };
    for id in [root, order.id] {
        if let Some(one) = rows.orders.get(&id) {
            found.extend(check_root(rows, one));
        } else {
            found.push(format!("I-8: {} draws on nothing", order.id));
        }
    }
    found
}

fn check_root(rows: &Rows, root: &Order) -> Vec<String> {
    let mut found = Vec::new();
    let id = root.id;
    let (mut released, mut refunded, mut captured, mut escrow, mut claimed) = (0, 0, 0, 0, 0);
    let (mut voids, mut captures) = (0, 0);
    for other in rows.orders.values() {
        let minor = other.instruction.amount.get();
        let live = !matches!(other.status, OrderStatus::Failed | OrderStatus::Reversed);
        match other.instruction.kind {
            OrderKind::Release { of } if of == id => released += minor,
            OrderKind::Refund { of } | OrderKind::Void { of } if of == id && live => {
                refunded += minor;
                escrow += other.claims.from_escrow_minor;
                voids += usize::from(matches!(other.instruction.kind, OrderKind::Void { .. }));
            }
            OrderKind::Capture { of } if of == id && live => {
                captured += minor;
                captures += 1;
            }
            _ => {}
        }
        let follows = matches!(
            other.instruction.kind,
            OrderKind::Refund { of } | OrderKind::Void { of } | OrderKind::Capture { of }
                if of == id
        );
        let against = rows.contradictions.get(&other.id).map_or(&[][..], Vec::as_slice);
        let ended_otherwise = |number: u8| {
            let attempt = other.attempts.get(usize::from(number).wrapping_sub(1));
            attempt.is_some_and(|attempt| attempt.state != AttemptState::Approved)
        };
        let success = |row: &Contradiction| {
            row.reported == ReportedEnd::Success && ended_otherwise(row.attempt)
        };
        if follows && against.iter().any(success) {
            claimed += minor;
        }
    }
    let whole = root.instruction.amount.get();
    let told = root.claims;
    if !gives_back(root) {
        let same = (refunded, captured, escrow, claimed, released)
            == (
                told.refunded_minor,
                told.captured_minor,
                told.from_escrow_minor,
                told.contradicted_minor,
                root.released_minor,
            );
        hold!(found, same, "I-8: {id} says {told:?}, others drew {refunded} {captured} {escrow}");
    }
    hold!(found, refunded + captured <= whole, "I-8: more of {id} is given back than there is");
    hold!(found, released + escrow <= whole, "I-8: more of {id} leaves escrow than was paid");
    hold!(found, captures <= 1 && voids <= 1, "I-8: {id} is captured or voided twice");
    let alone = voids == 0 || (refunded == whole && captures == 0);
    hold!(found, alone, "I-8: {id} is voided and something else");
    let drawn = released + refunded + captured > 0;
    hold!(found, root.status == OrderStatus::Succeeded || !drawn, "I-8: {id} has not succeeded");
    let escrowed = root.instruction.settlement_mode == SettlementMode::Escrow;
    hold!(found, escrowed || released + escrow == 0, "I-8: {id} was never in escrow");
    found
}
