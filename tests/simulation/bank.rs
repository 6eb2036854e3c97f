//! The channels' own books: what they received, what they did, and what they then say.

use std::collections::BTreeMap;
use std::time::Duration;

use switchyard::channel::AttemptFacts;
use switchyard::domain::attempt::{AttemptState, Evidence, Operation, Source};
use switchyard::domain::books::reconcile::{Item, Status};
use switchyard::domain::ids::{ChannelId, ChannelOrderNo};
use switchyard::domain::money::Currency;
use switchyard::domain::outcome::{Decline, Outcome, Reason, UnknownCause};
use switchyard::domain::time::{Present, Timestamp};

use crate::bindings::yes;
use crate::terms;
use crate::world::{Event, State};

/// What became of a request at its channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Never heard of: lost, or still on its way.
    Absent,
    Working,
    Done,
    Declined,
    Elsewhere,
    Reversed,
    Undone,
}

#[derive(Debug, Clone)]
pub struct Record {
    pub channel: ChannelId,
    pub operation: Operation,
    pub original: Option<ChannelOrderNo>,
    /// The binding that it is paid by.
    pub binding: Option<ChannelOrderNo>,
    pub amount_minor: i64,
    /// When it truly was sent, whatever our clock showed.
    pub sent_at: Timestamp,
    pub fate: Fate,
    /// It is on its way and will arrive.
    pub coming: bool,
    /// Decided once, so that the channel does not contradict itself.
    pub refuses: Option<bool>,
    /// The channel has come up with a success after it had said otherwise.
    pub claimed: bool,
    /// Reversals of it that are long on their way and will be carried out.
    pub reversals_coming: u8,
}

#[derive(Debug, Clone, Default)]
pub struct Ledger {
    pub records: BTreeMap<ChannelOrderNo, Record>,
}

impl Ledger {
    /// What is left of each number's lines: number, and amount as seen from our side.
    pub fn lines(&self) -> BTreeMap<ChannelOrderNo, i64> {
        let sum = |lines: Vec<Item>| lines.iter().map(|line| line.amount_minor).sum::<i64>();
        let sums = self.statements().into_iter().map(|(number, lines)| (number, sum(lines)));
        sums.filter(|(_, minor)| *minor != 0).collect()
    }

    /// What the channels' statements show under each number. Of a success that was reversed they
    /// have its line and one that takes it back.
    pub fn statements(&self) -> BTreeMap<ChannelOrderNo, Vec<Item>> {
        let lines = |(number, record): (&ChannelOrderNo, &Record)| {
            let of_hold = record.original.is_some_and(|original| {
                self.records.get(&original).is_some_and(|one| one.operation == Operation::Preauth)
            });
            let line = |movement: Operation| Item {
                movement,
                amount_minor: movement.sign() * record.amount_minor,
                fee_minor: None,
                currency: Currency::Cny,
                status: Status::Succeeded,
                date: None,
            };
            let own = line(record.operation);
            let lines = match (record.operation, record.fate) {
                (Operation::Payment | Operation::Capture, Fate::Done | Fate::Undone) => vec![own],
                (Operation::Payment | Operation::Capture, Fate::Reversed) => {
                    vec![own, line(Operation::Void)]
                }
                (Operation::Undo | Operation::Void, Fate::Done) if of_hold => return None,
                (Operation::Undo, Fate::Done) => vec![line(Operation::Void)],
                (Operation::Void | Operation::Refund | Operation::Payout, Fate::Done) => vec![own],
                _ => return None,
            };
            Some((*number, lines))
        };
        self.records.iter().filter_map(lines).collect()
    }
}

pub fn declined(reason: Reason, code: &str) -> Outcome {
    Outcome::Declined(Decline { reason, code: code.to_owned(), elsewhere: false })
}

impl State {
    pub fn register(&mut self, facts: &AttemptFacts, channel: &ChannelId) {
        let number = facts.channel_order_no;
        let record = Record {
            channel: channel.clone(),
            operation: facts.operation,
            original: None,
            binding: None,
            amount_minor: facts.amount.get(),
            sent_at: self.now,
            fate: Fate::Absent,
            coming: false,
            refuses: None,
            claimed: false,
            reversals_coming: 0,
        };
        let maybe_sent = |(other, record): (&ChannelOrderNo, &Record)| {
            let resolved = match record.fate {
                Fate::Absent => !record.coming,
                Fate::Declined | Fate::Elsewhere => true,
                Fate::Working | Fate::Done | Fate::Reversed | Fate::Undone => record.claimed,
            };
            other.order == number.order && !resolved
        };
        if self.ledger.records.iter().any(maybe_sent) {
            self.violate(format!("I-4: {number} was sent while another attempt may have been"));
        }
        if self.ledger.records.insert(number, record).is_some() {
            let order = self.rows.orders.get(&number.order);
            let text = format!("I-1: {number} was sent twice: {order:#?}");
            self.violate(text);
        }
    }

    pub fn record(&mut self, number: ChannelOrderNo) -> &mut Record {
        self.ledger.records.get_mut(&number).expect("it was registered when it was sent")
    }

    /// The request reaches its channel.
    pub fn arrive(&mut self, number: ChannelOrderNo, at_once: bool) {
        self.record(number).coming = false;
        if self.record(number).fate != Fate::Absent {
            self.violate(format!("I-1: {number} arrived twice"));
        }
        if self.record(number).channel.as_str() == terms::ACCEPTING {
            self.record(number).fate = Fate::Working;
            let longest = if self.calm { 2_000 } else { 90_000 };
            let after = self.millis(200..longest);
            self.later(after, Event::Finish { number });
        } else {
            self.settle(number, at_once);
        }
    }

    /// Whether the channel's own books let a refund, void or capture happen.
    fn allows(&self, number: ChannelOrderNo) -> bool {
        let records = &self.ledger.records;
        let record = &records[&number];
        let original = record.original.expect("a follow-up names its original");
        let Some(first) = records.get(&original) else { return false };
        let done = records.iter().filter(|(other, one)| {
            **other != number && one.original == Some(original) && one.fate == Fate::Done
        });
        let drawn: i64 = done.map(|(_, one)| one.amount_minor).sum();
        let whole = record.operation == Operation::Refund || drawn == 0;
        first.fate == Fate::Done && whole && drawn + record.amount_minor <= first.amount_minor
    }

    /// The channel carries it out, or refuses, and perhaps tells us by notice.
    pub fn settle(&mut self, number: ChannelOrderNo, at_once: bool) {
        let record = self.record(number).clone();
        let is_void = record.binding.is_some_and(|binding| !self.pays(binding));
        self.tally.refused_by_channel += u64::from(is_void);
        let fate = match record.operation {
            _ if is_void => Fate::Declined,
            Operation::Payment | Operation::Payout => match self.random.u8(0..100) {
                0..=69 => Fate::Done,
                70..=79 if at_once => Fate::Elsewhere,
                _ => Fate::Declined,
            },
            Operation::Undo => {
                let original = record.original.expect("an undo names its original");
                let done = self.ledger.records.get(&original).map(|record| record.fate);
                if done == Some(Fate::Done) {
                    self.record(original).fate = Fate::Undone;
                    Fate::Done
                } else {
                    Fate::Declined
                }
            }
            Operation::Preauth => match self.random.u8(0..100) {
                0..=79 => Fate::Done,
                80..=89 if at_once => Fate::Elsewhere,
                _ => Fate::Declined,
            },
            Operation::Refund | Operation::Void | Operation::Capture => {
                let allowed = self.allows(number);
                if allowed && !self.chance(12) { Fate::Done } else { Fate::Declined }
            }
        };
        self.tally.elsewhere += u64::from(fate == Fate::Elsewhere);
        self.record(number).fate = fate;
        let accepting = record.channel.as_str() == terms::ACCEPTING;
        if self.mischief(if accepting { 70 } else { 30 }) {
            let sure = self.random.bool();
            for _ in 0..self.random.u8(1..4) {
                let after = match self.random.u8(0..10) {
                    0 => self.millis(300_000..3_600_000),
                    1..=4 => self.millis(1_000..60_000),
                    _ => self.millis(0..500),
                };
                self.tell(number, self.word(number), after, sure);
            }
        }
        if self.mischief(8) {
            let after = self.millis(30_000..1_800_000);
            self.later(after, Event::Claim { number });
        }
    }

    pub fn tell(&mut self, number: ChannelOrderNo, outcome: Outcome, after: Duration, sure: bool) {
        self.tally.notices += 1;
        let evidence = Evidence {
            source: Source::Notice,
            attempt: number.attempt,
            outcome,
            objection: None,
            as_of: None,
            transcript: format!("notice of {number}"),
            sent: String::new(),
        };
        self.later(after, Event::Notice { order: number.order, evidence, sure });
    }

    /// What the channel truthfully says of a request.
    pub fn word(&self, number: ChannelOrderNo) -> Outcome {
        let code = |text: &str| text.to_owned();
        match self.ledger.records.get(&number).map_or(Fate::Absent, |record| record.fate) {
            Fate::Absent => Outcome::NotFound { code: code("34") },
            Fate::Working => {
                Outcome::Pending { code: code("05"), channel_reference: Some(format!("q{number}")) }
            }
            Fate::Done | Fate::Undone => yes(number),
            Fate::Declined => declined(Reason::InsufficientFunds, "51"),
            Fate::Elsewhere => Outcome::Declined(Decline {
                reason: Reason::NotSupported,
                code: code("57"),
                elsewhere: true,
            }),
            Fate::Reversed => declined(Reason::ChannelFailure, "R0"),
        }
    }

    /// A reversal that was received in time is carried out at last, and nobody is told.
    pub fn reverse_late(&mut self, number: ChannelOrderNo) {
        let record = self.record(number);
        record.reversals_coming -= 1;
        let stands = record.fate == Fate::Done && !record.claimed;
        if stands && record.refuses != Some(true) {
            record.fate = Fate::Reversed;
            self.tally.reversed_late += 1;
        }
    }

    /// A reversal reaches its channel; gives the channel's answer.
    pub fn reverse(&mut self, number: ChannelOrderNo) -> Outcome {
        let Some(record) = self.ledger.records.get(&number).cloned() else {
            return self.word(number);
        };
        let terms = terms::terms(record.channel.as_str());
        if !terms.reversal_window_open(record.sent_at, &Present::certain(self.now)) {
            self.tally.reversal_refused += 1;
            return declined(Reason::OutsideWindow, "W0");
        }
        // One of it is under way, so this one is refused: which says nothing of the other.
        if record.reversals_coming > 0 && self.chance(50) {
            self.tally.refused_beside_another += 1;
            return declined(Reason::OriginalNotEligible, "E1");
        }
        match record.fate {
            Fate::Absent => self.word(number),
            Fate::Working => Outcome::Unknown(UnknownCause::ChannelUnsure),
            Fate::Reversed => yes(number),
            Fate::Undone => declined(Reason::OriginalNotEligible, "E0"),
            Fate::Done | Fate::Declined | Fate::Elsewhere => {
                let percent = if record.fate == Fate::Done { 12 } else { 50 };
                let drawn = self.chance(percent);
                let refuses = *self.record(number).refuses.get_or_insert(drawn);
                if refuses || record.claimed {
                    self.tally.reversal_refused += 1;
                    return declined(Reason::OriginalNotEligible, "E0");
                }
                if record.fate == Fate::Done {
                    self.record(number).fate = Fate::Reversed;
                }
                yes(number)
            }
        }
    }

    /// The channel contradicts what our books have made of an attempt: truly, so that its own books
    /// change with the claim, or falsely. Tried again later while our attempt is open.
    pub fn claim(&mut self, number: ChannelOrderNo) {
        let order = self.rows.orders.get(&number.order);
        let attempt = order.and_then(|order| order.attempt(number.attempt));
        let Some(state) = attempt.map(|attempt| attempt.state) else { return };
        let record = self.record(number).clone();
        let unsettled = record.coming || record.fate == Fate::Working;
        match state {
            AttemptState::Sending | AttemptState::Pending | AttemptState::Unknown => {
                if !self.calm {
                    self.later(Duration::from_secs(60), Event::Claim { number });
                }
            }
            _ if unsettled => {}
            AttemptState::Approved => {
                self.tally.false_claims += 1;
                self.tell(number, declined(Reason::ChannelFailure, "X9"), Duration::ZERO, true);
            }
            AttemptState::Declined | AttemptState::NotSent | AttemptState::Reversed => {
                let standing = record.original.is_none_or(|original| {
                    self.ledger.records.get(&original).is_some_and(|one| one.fate == Fate::Done)
                });
                let can = record.operation != Operation::Undo
                    && standing
                    && matches!(record.fate, Fate::Declined | Fate::Elsewhere | Fate::Reversed);
                if can && self.chance(60) {
                    self.tally.true_claims += 1;
                    self.tally.late_follow_ups += u64::from(record.original.is_some());
                    self.record(number).fate = Fate::Done;
                    self.record(number).claimed = true;
                } else {
                    self.tally.false_claims += 1;
                }
                self.tell(number, yes(number), Duration::ZERO, true);
            }
        }
    }
}
