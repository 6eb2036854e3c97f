//! Entries that refer to an earlier one: undos, refunds and captures, and their rules.
//!
//! An approved follow-up takes effect on its original when it is entered, however long the channel
//! works on it: nothing else can take the same money meanwhile.

use std::time::Duration;

use crate::domain::money::AmountMinor;
use crate::domain::time::Timestamp;

use super::{
    BankOrder, EntryFacts, EntryKind, EntryState, FollowUpResult, IssuerDecision, Ledger,
    OrderResult, enter, existing_entry, lock, spare_dead,
};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// The age up to which a charge can be refunded, by UnionPay's rules.
const REFUND_DAYS_MAX: u32 = 330;
/// The age up to which an authorisation can be captured.
const PREAUTH_DAYS_MAX: u32 = 30;
/// A capture may be for 15 % more than what was authorised.
const CAPTURE_PERCENT_MAX: i64 = 115;

impl Ledger {
    /// Enters an undo of the whole of `original_no`: a charge or a capture of the same clearing
    /// day, or an authorisation.
    pub fn undo(
        &self,
        now: Timestamp,
        instruction: BankOrder<'_>,
        original_no: &str,
        verdict: IssuerDecision,
        dead_code: &'static str,
    ) -> FollowUpResult {
        self.follow(now, EntryKind::Undo, instruction, original_no, verdict, dead_code)
    }

    /// Enters a refund of a part or the rest of `original_no`, a charge or a capture.
    pub fn refund(
        &self,
        now: Timestamp,
        instruction: BankOrder<'_>,
        original_no: &str,
        verdict: IssuerDecision,
        dead_code: &'static str,
    ) -> FollowUpResult {
        self.follow(now, EntryKind::Refund, instruction, original_no, verdict, dead_code)
    }

    /// Enters the one capture of the authorisation `original_no`.
    pub fn capture(
        &self,
        now: Timestamp,
        instruction: BankOrder<'_>,
        original_no: &str,
        verdict: IssuerDecision,
        dead_code: &'static str,
    ) -> FollowUpResult {
        self.follow(now, EntryKind::Capture, instruction, original_no, verdict, dead_code)
    }

    fn follow(
        &self,
        now: Timestamp,
        kind: EntryKind,
        instruction: BankOrder<'_>,
        original_no: &str,
        verdict: IssuerDecision,
        dead_code: &'static str,
    ) -> FollowUpResult {
        let _one_at_a_time = lock(&self.undoing);
        let mut shard = self.shard(instruction.order_no);
        if let Some(known) = existing_entry(&mut shard, now, kind, &instruction) {
            return FollowUpResult::Entered(known);
        }
        let verdict = spare_dead(&shard, &instruction, verdict, dead_code);
        drop(shard);
        if let Err(refusal) = self.take(now, kind, &instruction, original_no, verdict.approves) {
            return refusal;
        }
        let mut shard = self.shard(instruction.order_no);
        // A charge may have taken the number while the original was read.
        if let Some(known) = existing_entry(&mut shard, now, kind, &instruction) {
            drop(shard);
            if verdict.approves {
                self.give_back(now, kind, instruction.amount, original_no);
            }
            return FollowUpResult::Entered(known);
        }
        let facts = self.facts(now, kind, &instruction, verdict);
        enter(&mut shard, instruction, facts, Some(original_no.into()));
        FollowUpResult::Entered(OrderResult::New(facts))
    }

    /// Checks the follow-up against its original, and changes the original if it is approved.
    fn take(
        &self,
        now: Timestamp,
        kind: EntryKind,
        asked: &BankOrder<'_>,
        original_no: &str,
        approves: bool,
    ) -> Result<(), FollowUpResult> {
        let mut shard = self.shard(original_no);
        let original = shard.records.get_mut(original_no).ok_or(FollowUpResult::NotFound)?;
        original.facts.end_work(now, false);
        match original.facts.state {
            EntryState::Reversed | EntryState::Undone => return Err(FollowUpResult::Already),
            EntryState::Working | EntryState::Declined => return Err(FollowUpResult::Refused),
            EntryState::Approved => {}
        }
        let same_day = original.facts.settle_date == self.calendar.day(now).settles;
        may_follow(kind, &original.facts, asked, now, same_day)?;
        if !approves {
            return Ok(());
        }
        match kind {
            EntryKind::Refund | EntryKind::Capture => {
                original.facts.used_minor += asked.amount.get();
            }
            EntryKind::Undo => {
                original.facts.state = EntryState::Undone;
                original.facts.changed_at = now;
                original.undone_by = Some(asked.order_no.into());
            }
            EntryKind::Charge | EntryKind::Preauth | EntryKind::Payout => {}
        }
        // An authorisation whose capture is undone may be captured again.
        let above = original.original.clone().filter(|_| kind == EntryKind::Undo);
        let captured = original.facts;
        drop(shard);
        if let Some(above) = above
            && captured.kind == EntryKind::Capture
        {
            self.use_more(&above, -captured.amount.get());
        }
        Ok(())
    }

    /// Reverses the effect of an approved follow-up on its original.
    pub(super) fn give_back(
        &self,
        now: Timestamp,
        kind: EntryKind,
        amount: AmountMinor,
        original_no: &str,
    ) {
        match kind {
            EntryKind::Refund | EntryKind::Capture => self.use_more(original_no, -amount.get()),
            EntryKind::Undo => self.restore(now, original_no),
            EntryKind::Charge | EntryKind::Preauth | EntryKind::Payout => {}
        }
    }

    /// Restores an entry whose undo was itself reversed.
    fn restore(&self, now: Timestamp, original_no: &str) {
        let mut shard = self.shard(original_no);
        let Some(original) = shard.records.get_mut(original_no) else { return };
        if original.facts.state != EntryState::Undone {
            return;
        }
        original.facts.state = EntryState::Approved;
        original.facts.changed_at = now;
        original.undone_by = None;
        let facts = original.facts;
        let above = original.original.clone();
        drop(shard);
        if let Some(above) = above
            && facts.kind == EntryKind::Capture
        {
            self.use_more(&above, facts.amount.get());
        }
    }

    fn use_more(&self, order_no: &str, minor: i64) {
        self.change(order_no, |facts| facts.used_minor += minor);
    }
}

/// Whether this kind of follow-up may be made of an approved original now.
fn may_follow(
    kind: EntryKind,
    original: &EntryFacts,
    asked: &BankOrder<'_>,
    now: Timestamp,
    same_day: bool,
) -> Result<(), FollowUpResult> {
    let (whole, amount) = (original.amount.get(), asked.amount.get());
    let age = now.since(original.received_at);
    let moves_money = matches!(original.kind, EntryKind::Charge | EntryKind::Capture);
    let holds_money = original.kind == EntryKind::Preauth;
    let fresh = holds_money && age <= DAY * PREAUTH_DAYS_MAX;
    let (allowed, over, fits) = match kind {
        EntryKind::Undo => {
            ((moves_money && same_day) || fresh, original.used_minor > 0, amount == whole)
        }
        EntryKind::Refund => (
            moves_money && age <= DAY * REFUND_DAYS_MAX,
            original.used_minor >= whole,
            amount <= whole - original.used_minor,
        ),
        EntryKind::Capture => {
            (fresh, original.used_minor > 0, amount * 100 <= whole * CAPTURE_PERCENT_MAX)
        }
        EntryKind::Charge | EntryKind::Preauth | EntryKind::Payout => (false, false, false),
    };
    if !allowed {
        return Err(FollowUpResult::Refused);
    }
    if over {
        return Err(FollowUpResult::Already);
    }
    if fits && original.currency == asked.currency { Ok(()) } else { Err(FollowUpResult::Differs) }
}
