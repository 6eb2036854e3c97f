//! What no store may have written: the auditor's rows after each commit, and what changed.
//!
//! What can be said of rows alone is `domain/audit`'s.

use std::collections::BTreeSet;

use switchyard::domain::attempt::{AttemptState, Source};
use switchyard::domain::audit::{AuditedSums, FINAL, OPEN, check_close, check_order};
use switchyard::domain::ids::ChannelId;
use switchyard::domain::order::Order;
use switchyard::domain::time::BusinessDate;
use switchyard::domain::write_set::{EntryChange, WriteSet};

pub use switchyard::domain::audit::{AuditedRows as Rows, check_invariants};

macro_rules! hold {
    ($found:expr, $holds:expr, $($text:tt)*) => {
        if !$holds {
            $found.push(format!($($text)*));
        }
    };
}

/// An auditor who sees each write set.
pub trait Auditor {
    /// Applies a write set that a store has written, and tells what no store may have written.
    fn apply(&mut self, writes: &WriteSet) -> Vec<String>;
}

impl Auditor for Rows {
    fn apply(&mut self, writes: &WriteSet) -> Vec<String> {
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
            let last = closed_through(self, id);
            hold!(
                found,
                last.is_none_or(|last| last < day),
                "I-7: {id} closes {day} after {last:?}"
            );
            let shut = self.shut.get(id).is_some_and(|shut| *shut >= day);
            hold!(found, shut, "I-7: {id} closes {day}, which still takes records");
            self.closes.insert((id.clone(), day), close.clone());
            let mut sums = AuditedSums::default();
            self.clearing.values().flatten().for_each(|record| sums.add(record));
            found.extend(check_close(&sums, close));
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

fn closed_through(rows: &Rows, channel: &ChannelId) -> Option<BusinessDate> {
    let of = |(id, date): &(ChannelId, BusinessDate)| (id == channel).then_some(*date);
    rows.closes.keys().filter_map(of).max()
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
