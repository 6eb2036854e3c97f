//! What outlives a crash: the store, the channels' ledgers, what is on its way, and the core.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicI64;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use switchyard::clock::{Clock, LastSeen};
use switchyard::domain::agreement::Agreement;
use switchyard::domain::attempt::{AttemptState, Evidence, Source, VolumeKind};
use switchyard::domain::books::accounting::RequestId;
use switchyard::domain::books::clearing::ClearingRecord;
use switchyard::domain::cluster::Incarnation;
use switchyard::domain::command::Decider;
use switchyard::domain::ids::{AgreementId, ChannelId, ChannelOrderNo, OrderId};
use switchyard::domain::order::{OrderStatus, SettlementMode};
use switchyard::domain::outcome::{Reason, UnknownCause};
use switchyard::domain::time::{BusinessDate, Timestamp};
use switchyard::domain::write_set::WriteSet;
use switchyard::engine::EngineError;
use switchyard::engine::follow_ups::FollowUp;
use switchyard::store::memory::{FailedRows, MemoryStore};

use crate::agreements::WantedAgreement;
use crate::auditor::{Auditor, Rows};
use crate::bank::Ledger;
use crate::bank_side::MARGIN;
use crate::bindings::Binding;
use crate::terms;

/// 2026-11-22T14:40:00Z: twenty minutes before the channels' clearing day ends.
const EPOCH_MS: i64 = 1_795_358_400_000;

/// Something that will reach somebody at its time.
#[derive(Debug, Clone)]
pub enum Event {
    /// A request that was long on its way reaches its channel.
    Arrive { number: ChannelOrderNo },
    /// The channel has finished what it was working on.
    Finish { number: ChannelOrderNo },
    /// A reversal that was long on its way reaches its channel.
    Reverse { number: ChannelOrderNo },
    /// A channel's notice reaches us.
    Notice { order: OrderId, evidence: Evidence, sure: bool },
    /// A channel comes up with a claim against what it had said before.
    Claim { number: ChannelOrderNo },
    /// A confirmation that was long on its way reaches its channel.
    Bind { number: ChannelOrderNo },
    /// What a confirmation has bound is made void: by a request that was long on its way, or by the
    /// card's holder at the channel.
    Unbind { number: ChannelOrderNo, by_holder: bool },
}

/// A payment as the core knows it.
#[derive(Debug, Clone)]
pub struct Wish {
    pub caller_order_id: String,
    pub amount_minor: i64,
    pub settlement_mode: SettlementMode,
    pub channels: Vec<&'static str>,
    pub answered: Option<(OrderId, OrderStatus)>,
    /// The agreement that it names, as a place among those that are wanted.
    pub agreement: Option<usize>,
    /// It was refused for good, since its agreement cannot be paid by.
    pub is_refused: bool,
    pub releases: u8,
    pub hold: bool,
    /// Money is to be paid out: to the card, or to an account.
    pub payout: bool,
    pub to_account: bool,
    /// How many follow-up ids the core has used up.
    pub follow_ups: u8,
    /// The capture of a hold, once the core knows it.
    pub capture: Option<OrderId>,
    /// The last follow-up that was taken, and its answer.
    pub last_follow_up: Option<(FollowUp, OrderId)>,
}

impl Wish {
    /// Whether the core has heard what it waits for.
    pub const fn is_settled(&self) -> bool {
        self.answered.is_some() || self.is_refused
    }
}

macro_rules! tally {
    ($tally:ident: $($name:ident),*) => {
        /// How often each thing happened.
        #[derive(Debug, Clone, Default)]
        pub struct $tally { $(pub $name: u64,)* }

        impl $tally {
            pub fn add(&mut self, other: &Self) { $(self.$name += other.$name;)* }
            pub fn all_seen(&self) -> bool { true $(&& self.$name > 0)* }
        }
    };
}

tally!(
    NodeTally: starts,
    crashes,
    pauses,
    fenced,
    ended_by_fence,
    not_sent,
    no_room,
    no_volume,
    orphans
);

tally!(
    Tally: orders,
    commits,
    crashes,
    store_failures,
    succeeded,
    failed,
    reversed,
    undone,
    undo_failed,
    contradictions,
    lost_before,
    lost_after,
    late,
    garbled,
    not_sent,
    elsewhere,
    pending,
    not_found,
    reversal_refused,
    late_reversals,
    reversed_late,
    refused_beside_another,
    notices,
    false_claims,
    true_claims,
    repeated,
    differing,
    retries,
    resolved,
    released,
    recovered,
    holds,
    captured,
    refunded,
    voided,
    paid_out,
    sent_to_accounts,
    payouts_failed,
    follow_ups_failed,
    follow_ups_reversed,
    follow_up_reversals,
    late_follow_ups,
    refused_follow_ups,
    repeated_follow_ups,
    booked,
    booking_answers_lost,
    booking_refused,
    withdrawn,
    red_letters,
    closed_days,
    late_successes,
    clock_jumps,
    clock_doubts,
    never_arrived,
    agreements,
    differing_agreements,
    refused_steps,
    cards_gone,
    bound,
    not_bound,
    confirmations_lost,
    bound_by_inquiry,
    unbound,
    unbound_by_holder,
    sent_by_agreement,
    paid_by_agreement,
    refused_by_channel,
    refused_by_books,
    expired
);

pub struct State {
    pub random: fastrand::Rng,
    pub calm: bool,
    /// What time it truly is.
    pub now: Timestamp,
    /// How much more the machine's clock shows, in milliseconds.
    pub clock_error_ms: Arc<AtomicI64>,
    /// The file that a start holds the clock against.
    pub last_seen: Option<LastSeen>,
    pub ledger: Ledger,
    pub events: BTreeMap<(Timestamp, u64), Event>,
    pub taken: BTreeSet<u64>,
    /// What the accounting system has in its books, and the order that it is about.
    pub booked: BTreeMap<RequestId, OrderId>,
    pub next_event: u64,
    pub rows: Rows,
    /// The rows of agreements that were written.
    pub agreements: BTreeMap<AgreementId, Agreement>,
    pub wanted: Vec<WantedAgreement>,
    /// What the channels have bound, by its confirmation.
    pub bindings: BTreeMap<ChannelOrderNo, Binding>,
    pub wishes: Vec<Wish>,
    pub history: Vec<String>,
    pub violations: Vec<String>,
    pub tally: Tally,
    /// What the nodes have done, where there are several.
    pub nodes: Nodes,
    /// What becomes of the rows of the commit that is about to fail.
    pub failing: Option<FailedRows>,
}

#[derive(Clone)]
pub struct World {
    pub store: MemoryStore,
    state: Arc<Mutex<State>>,
    /// The true time, which the store of several nodes reads.
    clock: Arc<Mutex<Option<Clock>>>,
}

/// What the nodes have done, as the world has seen it.
#[derive(Debug, Default)]
pub struct Nodes {
    pub tally: NodeTally,
    pub fenced: BTreeSet<Incarnation>,
    /// How many requests of each node are on their way to each channel.
    pub on_their_way: BTreeMap<(Incarnation, ChannelId), u32>,
    /// What the orders of all nodes have taken of each day's limit.
    pub taken: BTreeMap<(ChannelId, VolumeKind, BusinessDate), i64>,
    /// Who has put each attempt in flight.
    owners: BTreeMap<(OrderId, u8), Incarnation>,
}

impl World {
    pub fn new(seed: u64) -> Self {
        // Stamps of a clock that jumps prove no age: the truth does, in `written`.
        let rows = Rows::default();
        let state = State {
            random: fastrand::Rng::with_seed(seed),
            calm: false,
            now: Timestamp::from_millis(EPOCH_MS),
            clock_error_ms: Arc::default(),
            last_seen: None,
            ledger: Ledger::default(),
            events: BTreeMap::new(),
            taken: BTreeSet::new(),
            booked: BTreeMap::new(),
            next_event: 0,
            rows,
            agreements: BTreeMap::new(),
            wanted: Vec::new(),
            bindings: BTreeMap::new(),
            wishes: Vec::new(),
            history: Vec::new(),
            violations: Vec::new(),
            tally: Tally::default(),
            nodes: Nodes::default(),
            failing: None,
        };
        let (clock, state) = (Arc::default(), Arc::new(Mutex::new(state)));
        let clock: Arc<Mutex<Option<Clock>>> = clock;
        let shown = Arc::clone(&clock);
        let now = move || {
            let clock = shown.lock().expect("no one panics while holding the clock");
            clock.as_ref().map_or(Timestamp::from_millis(EPOCH_MS), Clock::now)
        };
        let world = Self { store: MemoryStore::of_nodes(Arc::new(now)), state, clock };
        let seen = world.clone();
        world.store.on_commit(Box::new(move |writes| seen.state().written(writes)));
        world
    }

    /// The true time from here on.
    pub fn goes_by(&self, clock: &Clock) {
        *self.clock.lock().expect("no one panics while holding the clock") = Some(clock.clone());
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no one panics while holding the world")
    }
}

impl State {
    /// Takes a written write set into the shadow books, and audits what it touched.
    pub fn written(&mut self, writes: &WriteSet) {
        self.tally.commits += 1;
        self.tally.contradictions += writes.contradictions.len() as u64;
        self.tally.closed_days += writes.closes.len() as u64;
        self.tally.late_successes +=
            writes.clearing.iter().filter(|row| self.is_late(row)).count() as u64;
        self.hold_against_the_truth(writes);
        self.history.push(format!("{writes:?}"));
        for row in &writes.agreements {
            self.agreement_written(row);
        }
        let found = self.rows.apply(writes);
        if !found.is_empty() {
            self.violations.extend(found);
            self.violations.push(format!("after {writes:#?}"));
        }
    }

    /// Holds what a node has written against who put its attempts in flight.
    pub fn written_by(&mut self, node: Incarnation, writes: &WriteSet) {
        for order in &writes.orders {
            for attempt in &order.attempts {
                let place = (order.id, attempt.number);
                if attempt.state == AttemptState::Sending {
                    self.nodes.owners.entry(place).or_insert(node);
                    continue;
                }
                let Some(owner) = self.nodes.owners.remove(&place) else { continue };
                let died = attempt.unknown_cause == Some(UnknownCause::ProcessDied);
                if owner == node || !died {
                    continue;
                }
                self.nodes.tally.orphans += 1;
                let terms = terms::terms(attempt.channel.as_str());
                let is_lost = self.now.since(attempt.sent_at) >= terms.call_ends_after;
                if !self.nodes.fenced.contains(&owner) && !is_lost {
                    let number = order.channel_order_no(attempt.number);
                    self.violate(format!("{node} took {number} from {owner}, which stands"));
                }
            }
        }
    }

    /// A node was fenced.
    pub fn fenced(&mut self, dead: Incarnation) {
        self.nodes.tally.fenced += 1;
        self.nodes.fenced.insert(dead);
    }

    /// No age is believed and no day is closed before its time, whatever our clock shows.
    fn hold_against_the_truth(&mut self, writes: &WriteSet) {
        let mut early = Vec::new();
        for order in &writes.orders {
            let old = self.rows.orders.get(&order.id);
            for attempt in &order.attempts {
                let was_open = old.and_then(|old| old.attempt(attempt.number));
                if !was_open.is_some_and(|old| old.state.is_unresolved()) {
                    continue;
                }
                let number = order.channel_order_no(attempt.number);
                let record = self.ledger.records.get(&number);
                // An operator is believed, and answers for it.
                let told = attempt.ended_by != Some(Source::Operator);
                let coming = record.is_some_and(|record| record.reversals_coming > 0);
                if attempt.state == AttemptState::Approved && told && coming {
                    early.push(format!("I-3: {number} succeeded with a reversal on its way"));
                }
                if attempt.reason != Some(Reason::NeverArrived) {
                    continue;
                }
                self.tally.never_arrived += 1;
                let Some(record) = record else { continue };
                let bound = terms::terms(record.channel.as_str()).not_found_final_after - MARGIN;
                if self.now.since(record.sent_at) < bound {
                    early.push(format!("I-3: `not found` of {number} was believed too early"));
                }
            }
        }
        for close in &writes.closes {
            let terms = terms::terms(close.channel.as_str());
            if close.date >= terms.calendar.date_of(self.now.plus(MARGIN)) {
                early.push(format!("I-7: {} {} was closed too early", close.channel, close.date));
            }
        }
        self.violations.extend(early);
    }

    /// Whether a record is of a day that was closed before it came.
    fn is_late(&self, row: &ClearingRecord) -> bool {
        let number = row.channel_order_no;
        let order = self.rows.orders.get(&number.order);
        let attempt = order.and_then(|order| order.attempt(number.attempt));
        let sent = attempt
            .map(|attempt| terms::terms(row.channel.as_str()).calendar.date_of(attempt.sent_at));
        sent.is_some_and(|date| self.rows.closes.contains_key(&(row.channel.clone(), date)))
    }

    pub fn violate(&mut self, text: String) {
        self.violations.push(text);
    }

    /// True in `percent` of the cases; never when all is calm.
    pub fn mischief(&mut self, percent: u8) -> bool {
        !self.calm && self.random.u8(0..100) < percent
    }

    pub fn chance(&mut self, percent: u8) -> bool {
        self.random.u8(0..100) < percent
    }

    /// A duration drawn evenly between two numbers of milliseconds.
    pub fn millis(&mut self, range: std::ops::Range<u64>) -> Duration {
        Duration::from_millis(self.random.u64(range))
    }

    pub fn later(&mut self, after: Duration, event: Event) -> u64 {
        let id = self.next_event;
        self.next_event += 1;
        let at = self.now.plus(after);
        self.events.insert((at, id), event);
        id
    }

    /// The next event whose time has come.
    pub fn due(&mut self) -> Option<(u64, Event)> {
        let (at, id) = *self.events.keys().next()?;
        if at > self.now {
            return None;
        }
        let event = self.events.remove(&(at, id)).expect("its key was just seen");
        if self.taken.remove(&id) {
            return self.due();
        }
        if let Event::Notice { sure: true, .. } = &event {
            // Repeated until it is taken, also across our crashes.
            self.events.insert((self.now.plus(Duration::from_secs(30)), id), event.clone());
        }
        Some((id, event))
    }
}

pub fn decider(reason: &str) -> Decider {
    Decider { actor: "ann".to_owned(), approver: None, reason: reason.to_owned() }
}

/// Errors that the world's mischief explains are not violations.
pub fn note_error(world: &World, what: &str, error: &EngineError) {
    let explained = matches!(
        error,
        EngineError::Busy
            | EngineError::Unavailable
            | EngineError::NotDurable
            | EngineError::StoreFailed
            | EngineError::Contended
            | EngineError::Refused(_)
    );
    if !explained {
        world.state().violate(format!("{what}: {error}"));
    }
}
