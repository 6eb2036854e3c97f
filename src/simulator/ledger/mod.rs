//! The channel's own books: every charge and undo by channel order number.
//!
//! It is independent of HTTP, dialects and faults: a request that arrives here is processed,
//! whatever becomes of its reply. One order number is charged at most once. Card numbers are masked
//! before they arrive (I-11). Entries are spread over locked shards, so that a benchmark's requests
//! seldom contend.

mod calendar;
mod follow_up;
mod snapshot;

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::domain::card::MaskedPan;
use crate::domain::money::{AmountMinor, Currency};
use crate::domain::time::{BusinessDate, ClearingCalendar, Timestamp};

use self::calendar::Calendar;
use super::chance::hash;

pub use self::calendar::cut_off_far_from;
pub(super) use self::calendar::unionpay_calendar;
pub use self::snapshot::{EntryKind, EntryState, LedgerEntry, LedgerSnapshot};

const SHARDS: usize = 64;
const RATE_WHOLE_PPM: i64 = 1_000_000;
/// What one payout costs, whatever its amount.
const PAYOUT_FEE_MINOR: i64 = 100;

/// The issuer's decision about an order, before it is entered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::simulator) struct IssuerDecision {
    pub approves: bool,
    /// The dialect's code of the result.
    pub code: &'static str,
    /// How long the channel works before the result stands.
    pub working: Duration,
}

/// An order that a caller has entered.
pub(in crate::simulator) struct BankOrder<'a> {
    pub order_no: &'a str,
    /// The caller's time of sending: in some dialects an order is named by its number and this
    /// time.
    pub sent_at: &'a str,
    pub amount: AmountMinor,
    pub currency: Currency,
    pub card: Option<MaskedPan>,
    /// The product that it is of, in the channel's words; empty where it has none.
    pub product: &'static str,
}

/// The part of an entry that replies are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::simulator) struct EntryFacts {
    pub kind: EntryKind,
    pub amount: AmountMinor,
    pub currency: Currency,
    pub state: EntryState,
    /// Whether `Working` ends as `Approved`.
    pub approves: bool,
    pub code: &'static str,
    /// The channel's own running number, from 1.
    pub trace: u64,
    pub received_at: Timestamp,
    /// When `Working` ends.
    pub ready_at: Timestamp,
    pub changed_at: Timestamp,
    pub settle_date: BusinessDate,
    /// The clearing day on which a success was taken back under its own number.
    pub reversed_on: Option<BusinessDate>,
    pub fee_minor: i64,
    /// The refunded part of a charge or capture; the captured part of an authorisation.
    pub used_minor: i64,
    /// How often this number was requested; more than 1 means a repeated request.
    pub requests: u32,
    pub contradicted: bool,
}

impl EntryFacts {
    /// Ends the work when its time has come, or at once if `forced`.
    fn end_work(&mut self, now: Timestamp, forced: bool) {
        if self.state == EntryState::Working && (forced || now >= self.ready_at) {
            self.state = if self.approves { EntryState::Approved } else { EntryState::Declined };
            self.changed_at = now.min(self.ready_at).max(self.received_at);
        }
    }
}

struct Record {
    facts: EntryFacts,
    sent_at: Box<str>,
    card: Option<MaskedPan>,
    product: &'static str,
    /// The number of the charge that an undo takes back.
    original: Option<Box<str>>,
    /// The number of the undo that took this charge back, or is doing so.
    undone_by: Option<Box<str>>,
}

/// An entry as an inquiry returns it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::simulator) struct EntryView {
    pub facts: EntryFacts,
    pub sent_at: Box<str>,
    pub card: Option<MaskedPan>,
    pub product: &'static str,
}

/// The result of entering an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::simulator) enum OrderResult {
    New(EntryFacts),
    /// The number exists; `same` if with the same kind, amount and currency.
    Known {
        facts: EntryFacts,
        same: bool,
    },
}

/// The result of a reversal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::simulator) enum ReversalResult {
    Done(EntryFacts),
    Already(EntryFacts),
    /// An undo took it back before.
    Undone(EntryFacts),
    /// The original failed, or its clearing day is over.
    Refused(EntryFacts),
    NotFound,
}

/// The result of a follow-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::simulator) enum FollowUpResult {
    Entered(OrderResult),
    /// The original was reversed or undone before.
    Already,
    /// The original failed or its clearing day is over.
    Refused,
    /// The amount or currency is not the original's.
    Differs,
    NotFound,
}

#[derive(Default)]
struct Shard {
    records: HashMap<Box<str>, Record>,
    /// Numbers whose reversal was answered "no such order": a charge that comes later is refused.
    dead: HashSet<Box<str>>,
    /// Numbers with reversals that are taken and not carried out yet, with their count.
    put_off: HashMap<Box<str>, u32>,
    /// Numbers with a reversal that is being carried out, with the clearing day on which it was
    /// taken.
    taken_on: HashMap<Box<str>, BusinessDate>,
}

/// See the head of this file.
pub(in crate::simulator) struct Ledger {
    shards: Vec<Mutex<Shard>>,
    /// Reversals and undos touch two entries, so only one of them runs at a time.
    undoing: Mutex<()>,
    /// Order numbers by the channel's own reference, for dialects that undo by it.
    references: Mutex<HashMap<String, Box<str>>>,
    traces: AtomicU64,
    calendar: Calendar,
    fee_rate_ppm: u32,
    keeps_refund_fees: bool,
    late_arrivals: bool,
}

impl Ledger {
    /// `fee_rate_ppm` is 0 to 1,000,000 millionths of the amount.
    pub fn new(fee_rate_ppm: u32, late_arrivals: bool) -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            undoing: Mutex::new(()),
            references: Mutex::default(),
            traces: AtomicU64::new(0),
            calendar: Calendar::new(unionpay_calendar()),
            fee_rate_ppm,
            keeps_refund_fees: false,
            late_arrivals,
        }
    }

    /// A refund has no fee of its own, neither charged nor returned.
    pub fn with_refund_fees_kept(mut self, kept: bool) -> Self {
        self.keeps_refund_fees = kept;
        self
    }

    /// Clearing days end by this calendar, at a whole minute, instead of UnionPay's.
    pub fn with_calendar(mut self, calendar: ClearingCalendar) -> Self {
        self.calendar = Calendar::new(calendar);
        self
    }

    /// The civil date at the channel's place.
    pub fn today(&self, now: Timestamp) -> jiff::civil::Date {
        self.calendar.day(now).today.civil()
    }

    /// The present clearing day.
    pub fn settling(&self, now: Timestamp) -> BusinessDate {
        self.calendar.day(now).settles
    }

    /// The wall clock at the channel's place.
    pub fn civil(&self, moment: Timestamp) -> jiff::civil::DateTime {
        self.calendar.civil(moment)
    }

    /// Enters a charge, once for each number. `dead_code` declines a charge that comes after its
    /// reversal was answered "no such order".
    pub fn charge(
        &self,
        now: Timestamp,
        instruction: BankOrder<'_>,
        verdict: IssuerDecision,
        dead_code: &'static str,
    ) -> OrderResult {
        self.begin(now, EntryKind::Charge, instruction, verdict, dead_code)
    }

    /// Enters an authorisation, in the same way.
    pub fn preauthorise(
        &self,
        now: Timestamp,
        instruction: BankOrder<'_>,
        verdict: IssuerDecision,
        dead_code: &'static str,
    ) -> OrderResult {
        self.begin(now, EntryKind::Preauth, instruction, verdict, dead_code)
    }

    /// Enters a payout, in the same way: it is never taken back.
    pub fn pay_out(
        &self,
        now: Timestamp,
        instruction: BankOrder<'_>,
        verdict: IssuerDecision,
        dead_code: &'static str,
    ) -> OrderResult {
        self.begin(now, EntryKind::Payout, instruction, verdict, dead_code)
    }

    fn begin(
        &self,
        now: Timestamp,
        kind: EntryKind,
        instruction: BankOrder<'_>,
        verdict: IssuerDecision,
        dead_code: &'static str,
    ) -> OrderResult {
        let mut shard = self.shard(instruction.order_no);
        if let Some(known) = existing_entry(&mut shard, now, kind, &instruction) {
            return known;
        }
        let verdict = spare_dead(&shard, &instruction, verdict, dead_code);
        let facts = self.facts(now, kind, &instruction, verdict);
        enter(&mut shard, instruction, facts, None);
        OrderResult::New(facts)
    }

    /// Looks an order up by its number.
    pub fn look(&self, now: Timestamp, order_no: &str) -> Option<EntryView> {
        let mut shard = self.shard(order_no);
        let record = shard.records.get_mut(order_no)?;
        record.facts.end_work(now, false);
        let Record { facts, sent_at, card, product, .. } = record;
        let (sent_at, card) = (sent_at.clone(), card.clone());
        Some(EntryView { facts: *facts, sent_at, card, product })
    }

    /// Ends the work on an order now, because its notice is about to say so.
    pub fn finish(&self, now: Timestamp, order_no: &str) -> Option<EntryFacts> {
        self.change(order_no, |facts| facts.end_work(now, true))
    }

    /// Marks an order whose well-signed notice contradicted it.
    pub fn mark_contradicted(&self, order_no: &str) {
        self.change(order_no, |facts| facts.contradicted = true);
    }

    /// Takes back, under its own number and within its clearing day, an order that stands or is
    /// still being worked on. With `sent_at` both must fit. An unknown number becomes dead, unless
    /// late arrivals are on.
    pub fn reverse(&self, now: Timestamp, order_no: &str, sent_at: Option<&str>) -> ReversalResult {
        self.take_back(now, order_no, sent_at, false)
    }

    /// Records that a reversal of this number was taken and will be carried out late: until then
    /// others of it are refused.
    pub fn defer_reversal(&self, order_no: &str) {
        *self.shard(order_no).put_off.entry(order_no.into()).or_insert(0) += 1;
    }

    /// Ends the deferral, since the reversal is carried out now.
    pub fn end_deferral(&self, order_no: &str) {
        let mut shard = self.shard(order_no);
        let left = shard.put_off.get(order_no).map_or(0, |count| count.saturating_sub(1));
        match left {
            0 => shard.put_off.remove(order_no),
            left => shard.put_off.insert(order_no.into(), left),
        };
    }

    /// The next reversal of this number was taken on an earlier clearing day: it takes back today
    /// what that day allowed.
    pub fn reverse_as_of(&self, order_no: &str, taken_on: BusinessDate) {
        self.shard(order_no).taken_on.insert(order_no.into(), taken_on);
    }

    /// The same for a channel that reverses refunds too.
    pub fn reverse_any(&self, now: Timestamp, order_no: &str) -> ReversalResult {
        self.take_back(now, order_no, None, true)
    }

    fn take_back(
        &self,
        now: Timestamp,
        order_no: &str,
        sent_at: Option<&str>,
        with_refunds: bool,
    ) -> ReversalResult {
        let _one_at_a_time = lock(&self.undoing);
        let mut shard = self.shard(order_no);
        let day = self.calendar.day(now);
        let is_put_off = shard.put_off.contains_key(order_no);
        let taken_on = shard.taken_on.remove(order_no).unwrap_or(day.settles);
        let fitting = |record: &&mut Record| sent_at.is_none_or(|text| *record.sent_at == *text);
        let Some(record) = shard.records.get_mut(order_no).filter(fitting) else {
            if !self.late_arrivals && !shard.records.contains_key(order_no) {
                shard.dead.insert(order_no.into());
            }
            return ReversalResult::NotFound;
        };
        record.facts.end_work(now, false);
        match record.facts.state {
            EntryState::Reversed => return ReversalResult::Already(record.facts),
            EntryState::Undone => return ReversalResult::Undone(record.facts),
            EntryState::Declined => return ReversalResult::Refused(record.facts),
            EntryState::Working | EntryState::Approved => {}
        }
        // Most channels reverse no refund, and none a payout or an order that a refund or a capture
        // rests on.
        let spared = record.facts.kind == EntryKind::Refund && !with_refunds
            || record.facts.kind == EntryKind::Payout;
        let built_upon = record.facts.used_minor > 0 || spared;
        if is_put_off || built_upon || record.facts.settle_date != taken_on {
            return ReversalResult::Refused(record.facts);
        }
        let succeeded = record.facts.state == EntryState::Approved;
        record.facts.reversed_on = succeeded.then_some(day.settles);
        record.facts.state = EntryState::Reversed;
        record.facts.changed_at = now;
        let facts = record.facts;
        let original = record.original.clone();
        drop(shard);
        if let Some(original) = original
            && facts.approves
        {
            self.give_back(now, facts.kind, facts.amount, &original);
        }
        ReversalResult::Done(facts)
    }

    /// Remembers the channel's own reference of an order.
    pub fn remember(&self, reference: String, order_no: &str) {
        lock(&self.references).insert(reference, order_no.into());
    }

    /// The order number that belongs to the channel's own reference.
    pub fn order_no_of(&self, reference: &str) -> Option<Box<str>> {
        lock(&self.references).get(reference).cloned()
    }

    /// All entries by order number, each as it stands at `now`.
    pub fn snapshot(&self, now: Timestamp) -> LedgerSnapshot {
        let mut entries = Vec::new();
        for shard in &self.shards {
            for (order_no, record) in &mut lock(shard).records {
                record.facts.end_work(now, false);
                entries.push(public_entry(order_no, record));
            }
        }
        LedgerSnapshot::of(entries)
    }

    fn shard(&self, order_no: &str) -> MutexGuard<'_, Shard> {
        lock(&self.shards[(hash(0, "", order_no) % SHARDS as u64) as usize])
    }

    fn change(&self, order_no: &str, change: impl FnOnce(&mut EntryFacts)) -> Option<EntryFacts> {
        let mut shard = self.shard(order_no);
        let record = shard.records.get_mut(order_no)?;
        change(&mut record.facts);
        Some(record.facts)
    }

    fn facts(
        &self,
        now: Timestamp,
        kind: EntryKind,
        instruction: &BankOrder<'_>,
        verdict: IssuerDecision,
    ) -> EntryFacts {
        // At most 10^12 times 10^6, which 63 bits hold; rounded half up. A hold costs nothing.
        let free = match kind {
            EntryKind::Preauth | EntryKind::Payout => true,
            EntryKind::Refund => self.keeps_refund_fees,
            EntryKind::Charge | EntryKind::Undo | EntryKind::Capture => false,
        };
        let rated =
            if free { 0 } else { 1 } * instruction.amount.get() * i64::from(self.fee_rate_ppm);
        let mut facts = EntryFacts {
            kind,
            amount: instruction.amount,
            currency: instruction.currency,
            state: EntryState::Working,
            approves: verdict.approves,
            code: verdict.code,
            trace: self.traces.fetch_add(1, Ordering::Relaxed) + 1,
            received_at: now,
            ready_at: now.plus(verdict.working),
            changed_at: now,
            settle_date: self.calendar.day(now).settles,
            reversed_on: None,
            fee_minor: match kind {
                EntryKind::Payout => PAYOUT_FEE_MINOR,
                _ => (rated + RATE_WHOLE_PPM / 2) / RATE_WHOLE_PPM,
            },
            used_minor: 0,
            requests: 1,
            contradicted: false,
        };
        facts.end_work(now, false);
        facts
    }
}

/// The entry that already has this number, with one more request counted.
fn existing_entry(
    shard: &mut Shard,
    now: Timestamp,
    kind: EntryKind,
    asked: &BankOrder<'_>,
) -> Option<OrderResult> {
    let record = shard.records.get_mut(asked.order_no)?;
    record.facts.end_work(now, false);
    record.facts.requests = record.facts.requests.saturating_add(1);
    let facts = record.facts;
    let same = (facts.kind, facts.amount, facts.currency) == (kind, asked.amount, asked.currency);
    Some(OrderResult::Known { facts, same })
}

fn spare_dead(
    shard: &Shard,
    instruction: &BankOrder<'_>,
    verdict: IssuerDecision,
    dead_code: &'static str,
) -> IssuerDecision {
    if shard.dead.contains(instruction.order_no) {
        IssuerDecision { approves: false, code: dead_code, working: Duration::ZERO }
    } else {
        verdict
    }
}

fn enter(
    shard: &mut Shard,
    instruction: BankOrder<'_>,
    facts: EntryFacts,
    original: Option<Box<str>>,
) {
    let BankOrder { order_no, sent_at, card, product, .. } = instruction;
    let sent_at = sent_at.into();
    let record = Record { facts, sent_at, card, product, original, undone_by: None };
    shard.records.insert(order_no.into(), record);
}

fn public_entry(order_no: &str, record: &Record) -> LedgerEntry {
    let facts = &record.facts;
    LedgerEntry {
        order_no: order_no.to_owned(),
        kind: facts.kind,
        state: facts.state,
        amount_minor: facts.amount.get(),
        currency: facts.currency.name(),
        code: facts.code,
        product: record.product,
        card: record.card.as_ref().map(|card| card.as_str().to_owned()),
        original: record.original.as_deref().map(str::to_owned),
        undone_by: record.undone_by.as_deref().map(str::to_owned),
        trace: facts.trace,
        requests: facts.requests,
        received_at_ms: facts.received_at.as_millis(),
        changed_at_ms: facts.changed_at.as_millis(),
        settle_date: facts.settle_date.to_string(),
        reversed_on: facts.reversed_on.map(|date| date.to_string()),
        fee_minor: facts.fee_minor,
        used_minor: facts.used_minor,
        contradicted: facts.contradicted,
    }
}

/// A lock that survives a panic elsewhere: no entry is ever half-written.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
