//! Every order of up to seven events around one payment (faults F8), on three kinds of channel.
//!
//! The channel is played with them: it may carry a reversal out late, as long as that one has not
//! been answered and is not too old, and from then on no word about the present calls the payment a
//! success. Words of the past still may.
//!
//! States that differ in nothing but counts and times are explored once, which is what makes all
//! orders affordable: the events that follow can do the same from either. After each event the
//! auditor looks at the books, and the end must stand on evidence that was really given.

use std::collections::BTreeSet;
use std::time::Duration;

use switchyard::domain::attempt::{Attempt, AttemptState, Source};
use switchyard::domain::command::{CardInMemory, Command, Refusal};
use switchyard::domain::effect::Effect;
use switchyard::domain::order::{OrderKind, OrderStatus};
use switchyard::domain::outcome::{Outcome, Reason};
use switchyard::domain::reversal::{Phase, Resolution};
use switchyard::domain::terms::{ReverseUntil, Terms};
use switchyard::domain::time::Timestamp;

use crate::auditor::check_invariants;
use crate::build::{
    Desk, approved, card, decline, declined, not_found, not_sent, pending, seconds, terms, unknown,
};

/// How many events one order of them has; `SWITCHYARD_FLOW_DEPTH` gives another number.
const DEPTH: usize = 7;
/// How long after it left this channel carries a reversal out at the latest: 40 s for its call, and
/// 600 s on its way.
const REVERSED_WITHIN: Duration = Duration::from_secs(640);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Word {
    Approved,
    Declined,
    Elsewhere,
    Pending,
    Unknown,
    NotSent,
    NotFound,
}

impl Word {
    fn outcome(self) -> Outcome {
        match self {
            Self::Approved => approved(),
            Self::Declined => declined(),
            Self::Elsewhere => decline(Reason::NotSupported, true),
            Self::Pending => pending(),
            Self::Unknown => unknown(),
            Self::NotSent => not_sent(),
            Self::NotFound => not_found(),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Event {
    Learn(Source, Word),
    /// A statement of an earlier day, which has the payment's line.
    OldStatement,
    /// The channel carries out a reversal that it had long had, and tells nobody.
    LateReversal,
    BeginReversal,
    Reversal(Word),
    Retry,
    Resolve(Resolution),
    /// Time passes until "no such order" is final.
    Wait,
    /// The clearing day ends.
    DayEnds,
    BeginUndo,
    Undo(Word),
}

fn events() -> Vec<Event> {
    use Word::{Approved, Declined, Elsewhere, NotFound, NotSent, Pending, Unknown};
    let mut events = vec![
        Event::BeginReversal,
        Event::Retry,
        Event::Resolve(Resolution::Succeeded),
        Event::Resolve(Resolution::Failed),
        Event::Resolve(Resolution::Reversed),
        Event::Wait,
        Event::DayEnds,
        Event::BeginUndo,
        Event::Learn(Source::Recovery, Unknown),
        Event::Learn(Source::Statement, Approved),
        Event::Learn(Source::Statement, Declined),
        Event::Learn(Source::Statement, NotFound),
        Event::OldStatement,
        Event::LateReversal,
    ];
    let replies = [Unknown, Pending, Approved, Declined, Elsewhere, NotSent];
    events.extend(replies.map(|word| Event::Learn(Source::Reply, word)));
    events.extend([Approved, Declined, Pending].map(|word| Event::Learn(Source::Notice, word)));
    let inquiries = [Approved, Declined, NotFound, Pending, Unknown, NotSent];
    events.extend(inquiries.map(|word| Event::Learn(Source::Inquiry, word)));
    let reversals = [Approved, Declined, Unknown, NotSent, NotFound];
    events.extend(reversals.map(Event::Reversal));
    events.extend([Approved, Declined, Unknown, NotSent].map(Event::Undo));
    events
}

/// What was really said and done so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Given {
    success: bool,
    failure: bool,
    nothing_sent: bool,
    /// The attempt that the channel says it has reversed.
    reversed: Option<u8>,
    /// The attempt whose reversal has left last.
    reversals: Option<u8>,
    /// Reversals whose call has not ended for us.
    calls: u8,
    /// The attempt that the channel has taken back, told or not.
    taken_back: Option<u8>,
    /// The attempt that the channel has said it works on, while it was open.
    acknowledged: Option<u8>,
    replies_to: u8,
    operator: Option<Decided>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Decided {
    Succeeded,
    Failed,
    Reversed,
}

#[derive(Clone)]
struct Play {
    desk: Desk,
    given: Given,
    /// When each reversal left that has not been answered with an end of its own.
    on_its_way: Vec<Timestamp>,
    path: Vec<Event>,
}

impl Play {
    /// Plays one event; false where it cannot happen here.
    fn play(&mut self, event: Event) -> bool {
        self.path.push(event);
        match event {
            Event::Learn(source, word) => return self.learn(source, word),
            Event::OldStatement => {
                let first = self.desk.order().attempts[0].sent_at;
                self.given.success = true;
                self.desk.learn_as_of(Source::Statement, approved(), first);
            }
            Event::LateReversal => {
                if !self.may_be_reversed() {
                    return false;
                }
                // The youngest: those before it can still be refused.
                self.on_its_way.pop();
                self.given.taken_back = self.given.reversals;
            }
            Event::BeginReversal => {
                let begun = self.desk.run(Command::BeginReversal);
                let left = |effect: &Effect| matches!(effect, Effect::SendReversal { .. });
                let sent = begun.as_ref().is_ok_and(|begun| begun.effects.iter().any(left));
                self.refused(begun.is_ok(), begun.err());
                if sent {
                    let number = Some(self.desk.attempt().number);
                    if self.given.reversals != number {
                        (self.given.calls, self.on_its_way) = (0, Vec::new());
                    }
                    self.given.reversals = number;
                    self.given.calls += 1;
                    self.on_its_way.push(self.desk.now);
                }
            }
            Event::Reversal(word) => return self.reversal(word),
            Event::Retry => {
                let done = self.desk.retry();
                self.refused(done.is_ok(), done.err());
            }
            Event::Resolve(resolution) => {
                let done = self.desk.resolve(resolution);
                if self.refused(done.is_ok(), done.err()) {
                    self.given.operator = Some(match resolution {
                        Resolution::Succeeded => Decided::Succeeded,
                        Resolution::Failed => Decided::Failed,
                        Resolution::Reversed => Decided::Reversed,
                    });
                }
            }
            Event::Wait => self.desk.wait(seconds(600)),
            Event::DayEnds => self.desk.wait(seconds(24 * 3_600)),
            Event::BeginUndo => {
                let Some(undo) = self.undo() else { return false };
                let begun = self.desk.run_on(undo, Command::BeginUndo);
                self.refused(begun.is_ok(), begun.err());
            }
            Event::Undo(word) => {
                let Some(undo) = self.undo() else { return false };
                let Some(open) = self.desk.rows.orders[&undo].unresolved() else { return false };
                let number = open.number;
                let hand = CardInMemory::No;
                self.desk.learn_of(undo, number, Source::Reply, word.outcome(), hand);
            }
        }
        true
    }

    /// A refusal writes nothing, and only these may come of a wrong moment.
    fn refused(&self, done: bool, refusal: Option<Refusal>) -> bool {
        let expected = matches!(refusal, None | Some(Refusal::NothingOpen | Refusal::WrongPhase));
        assert!(expected, "{refusal:?} after {:?}", self.path);
        done
    }

    fn learn(&mut self, source: Source, word: Word) -> bool {
        let attempt = self.desk.attempt();
        let (number, state) = (attempt.number, attempt.state);
        let now = attempt.sent_at.plus(self.desk.terms.not_found_final_after) <= self.desk.now;
        // A call replies once, and only an attempt that left its call is inquired of.
        if source == Source::Reply {
            if self.given.replies_to >= number {
                return false;
            }
            self.given.replies_to = number;
        }
        if source == Source::Inquiry && state == AttemptState::Sending {
            return false;
        }
        if number > 1 && word == Word::Elsewhere {
            return false;
        }
        // What speaks of the present does not call a success what the channel has taken back.
        let of_now = matches!(source, Source::Inquiry | Source::Statement);
        if of_now && word == Word::Approved && self.given.taken_back == Some(number) {
            return false;
        }
        if word == Word::Pending && state.is_unresolved() {
            self.given.acknowledged = Some(number);
        }
        match word {
            Word::Approved => self.given.success = true,
            Word::Declined | Word::Elsewhere => self.given.failure = true,
            Word::NotFound => self.given.failure |= now,
            Word::NotSent => self.given.nothing_sent |= source == Source::Reply,
            Word::Pending | Word::Unknown => {}
        }
        self.desk.learn_of(self.desk.id, number, source, word.outcome(), card());
        true
    }

    fn reversal(&mut self, word: Word) -> bool {
        let Some(number) = self.given.reversals else { return false };
        // A call ends once for us; a yes may come again, and late.
        match word {
            Word::Approved => self.given.taken_back = Some(number),
            _ if self.given.calls == 0 => return false,
            // One that was carried out is not refused.
            Word::Declined | Word::NotSent | Word::NotFound if self.on_its_way.is_empty() => {
                return false;
            }
            Word::Declined | Word::NotSent | Word::NotFound => {
                self.given.calls -= 1;
                self.on_its_way.remove(0);
            }
            Word::Elsewhere | Word::Pending | Word::Unknown => {
                self.given.calls -= 1;
            }
        }
        let sent_at = self.desk.order().attempts[usize::from(number) - 1].sent_at;
        let now = sent_at.plus(self.desk.terms.not_found_final_after) <= self.desk.now;
        if word == Word::Approved {
            self.given.reversed = Some(number);
        }
        self.given.failure |= word == Word::NotFound && now;
        let done = self.desk.learn_reversal_of(number, word.outcome());
        self.refused(done.is_ok(), done.err());
        true
    }

    /// Whether a reversal that left can still be carried out, for all that the channel has said.
    fn may_be_reversed(&self) -> bool {
        let last = |left: &Timestamp| left.plus(REVERSED_WITHIN) > self.desk.now;
        self.on_its_way.iter().any(last)
    }

    fn undo(&self) -> Option<switchyard::domain::ids::OrderId> {
        let undo = |kind| matches!(kind, OrderKind::Undo { .. });
        self.desk
            .rows
            .orders
            .values()
            .find(|order| undo(order.instruction.kind))
            .map(|order| order.id)
    }

    /// Money truth: an end stands on evidence of its own kind.
    fn check(&self) {
        let found = check_invariants(&self.desk.rows);
        assert!(found.is_empty(), "{found:#?} after {:?}", self.path);
        let (given, order) = (&self.given, self.desk.order());
        let operator = |decided| given.operator == Some(decided);
        let holds = match order.status {
            OrderStatus::Succeeded => given.success || operator(Decided::Succeeded),
            OrderStatus::Failed => given.failure || given.nothing_sent || operator(Decided::Failed),
            OrderStatus::Reversed => given.reversed.is_some() || operator(Decided::Reversed),
            OrderStatus::Accepted | OrderStatus::Processing | OrderStatus::Unknown => true,
        };
        assert!(holds, "I-3: {:?} on {given:?} after {:?}", order.status, self.path);
        // What a channel has told is believed only when no reversal can take it back any more.
        let approved = order.approved();
        let told = approved.is_some_and(|one| one.ended_by != Some(Source::Operator));
        let approved = approved.map(|attempt| attempt.number);
        let of_it = approved.is_some() && given.reversals == approved;
        let silently =
            approved.is_some() && given.taken_back == approved && given.reversed.is_none();
        let safe = !(silently || of_it && self.may_be_reversed());
        assert!(!told || safe, "I-3: a reversal undoes a success after {:?}", self.path);
        let ended_as = |one: &Attempt| one.reason == Some(Reason::NeverArrived);
        let lost = order.attempts.iter().find(|attempt| ended_as(attempt));
        let disowned = lost.is_some_and(|one| given.acknowledged == Some(one.number));
        assert!(!disowned, "I-3: acknowledged, and never arrived, after {:?}", self.path);
        // A believed success that the channel has taken back leaves a trace.
        let taken_back = approved.is_some() && given.reversed == approved;
        let silent = taken_back && self.desk.claims().is_empty();
        assert!(!silent, "I-5: reversed and succeeded after {:?}", self.path);
        let entry = self.desk.rows.entries.get(&self.desk.id);
        let due_at = entry.and_then(|entry| entry.due_at);
        let bound = self.desk.now.plus(self.desk.terms.longest_wait());
        assert!(due_at.is_none_or(|due_at| due_at <= bound), "it waits too long: {:?}", self.path);
        let reversing = entry.is_some_and(|entry| entry.phase == Phase::Reversing);
        let pending = self.desk.attempt().state == AttemptState::Pending;
        let called = self.path.contains(&Event::Retry) || given.reversals.is_some();
        assert!(!(reversing && pending) || called, "pending is reversed: {:?}", self.path);
    }

    /// What later events can depend on, without counts that only grow and moments that only pass.
    fn fingerprint(&self) -> String {
        let mut text = format!("{:?} {} ", self.given, self.may_be_reversed());
        let terms = &self.desk.terms;
        for order in self.desk.rows.orders.values() {
            text += &format!(
                "{:?} {:?} {:?} ",
                order.instruction.kind,
                order.status,
                order.candidates.len()
            );
            for attempt in &order.attempts {
                let late = terms.not_found_is_final(attempt, &self.desk.present());
                let open = terms.reversal_window_open(attempt.sent_at, &self.desk.present());
                let acknowledged = attempt.acknowledged_at.is_some();
                text += &format!("{:?} {late} {open} {acknowledged} ", attempt.state);
            }
            if let Some(entry) = self.desk.rows.entries.get(&order.id) {
                text += &format!(
                    "{:?} {} {:?} {} {} {} {} {} {} ",
                    entry.phase,
                    entry.step.min(4),
                    entry.due_at.is_some(),
                    entry.pending,
                    entry.reversals_unanswered.min(2),
                    entry.reversible_until().is_some_and(|until| until > self.desk.now),
                    entry.reversal_refused,
                    entry.reversals_exhausted,
                    entry.reversals.min(2),
                );
            }
            let claims = self.desk.rows.contradictions.get(&order.id);
            for claim in claims.into_iter().flatten() {
                text += &format!("{} {:?} ", claim.attempt, claim.reported);
            }
        }
        text
    }
}

fn explore(terms: Terms, least: usize) {
    let events = events();
    let desk = Desk::sending_to(terms, &["one", "two"]);
    let mut level =
        vec![Play { desk, given: Given::default(), on_its_way: Vec::new(), path: Vec::new() }];
    let mut seen = BTreeSet::new();
    let depth = std::env::var("SWITCHYARD_FLOW_DEPTH").ok();
    let depth = depth.map_or(DEPTH, |text| text.parse().expect("the setting is a number"));
    let mut played = 0;
    for _ in 0..depth {
        let mut next = Vec::new();
        for play in &level {
            for event in &events {
                let mut one = play.clone();
                if !one.play(*event) {
                    continue;
                }
                played += 1;
                one.check();
                if seen.insert(one.fingerprint()) {
                    next.push(one);
                }
            }
        }
        level = next;
    }
    println!("{played} steps, {} states", seen.len());
    assert!(seen.len() >= least, "only {} states: the events do not reach far", seen.len());
}

#[test]
fn i_3_to_i_7_in_every_order_where_the_channel_can_be_asked_and_reversed() {
    explore(Terms { inquire: vec![seconds(2)], reverse: vec![seconds(0); 2], ..terms() }, 500);
}

#[test]
fn i_3_to_i_7_in_every_order_where_it_can_only_be_reversed() {
    let reverse_until = ReverseUntil::ClearingDay;
    explore(Terms { inquire: Vec::new(), reverse_until, ..terms() }, 500);
}

#[test]
fn i_3_to_i_7_in_every_order_where_it_can_only_be_asked() {
    explore(Terms { reverse: Vec::new(), inquire: vec![seconds(2)], ..terms() }, 300);
}
