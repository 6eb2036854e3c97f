//! One life of the process: what happens at the channels, what the core asks, and what the workers
//! do, until a crash or until nothing is owed.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use switchyard::clock::Clock;
use switchyard::domain::attempt::Evidence;
use switchyard::domain::books::accounting::{AccountingRequest, DeliveryStatus};
use switchyard::domain::ids::OrderId;
use switchyard::domain::time::{DueWindow, Timestamp};
use switchyard::engine::Engine;
use tokio::task::JoinSet;

use crate::accounting_side;
use crate::agreements;
use crate::core_side;
use crate::limits::NodeLimits;
use crate::play::End;
use crate::terms;
use crate::world::{Event, World, note_error};

/// Virtual time in which a calm world must have settled everything.
const CALM_FOR: Duration = Duration::from_secs(10 * 24 * 3_600);
const CALM_ROUNDS: u32 = 4_000;
/// How far a clock may be off that jumps: seconds, a wait, past midnight and the cut-off, a year.
/// Half of the jumps set it right again.
const ERRORS_MS: [i64; 16] = [
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    1_000,
    60_000,
    240_000,
    660_000,
    72_000_000,
    34_560_000_000,
    -60_000,
    -72_000_000,
    -34_560_000_000,
];

/// What a task of this life was about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Job {
    Agreement(usize),
    Entry(OrderId),
    Chain(OrderId),
    Wish(usize),
    Other,
}

pub struct Life {
    pub world: World,
    pub engine: Arc<Engine>,
    /// Where there are several nodes.
    pub limits: Option<Arc<NodeLimits>>,
    pub clock: Clock,
    pub tasks: JoinSet<Job>,
    pub calm_at: Timestamp,
}

impl Life {
    pub async fn run(mut self) -> End {
        self.pump();
        if let Err(error) = self.engine.recover_orphans(7).await {
            note_error(&self.world, "recovery", &error);
        }
        let (calm, orders) = {
            let state = self.world.state();
            (state.calm, state.wishes.len())
        };
        let mut wishes: Vec<usize> = (0..orders).rev().collect();
        if calm {
            // When they were refused, a call may have been at work that nobody heard of again.
            self.world.state().wishes.iter_mut().for_each(|wish| wish.is_refused = false);
        } else {
            let mut state = self.world.state();
            wishes.retain(|number| !state.wishes[*number].is_settled() || state.chance(10));
        }
        let mut in_hand = BTreeSet::new();
        let started = self.clock.now();
        let mut rounds = 0;
        loop {
            while let Some(ended) = self.tasks.try_join_next() {
                match ended {
                    Ok(Job::Wish(number)) => {
                        let is_settled = self.world.state().wishes[number].is_settled();
                        if !is_settled {
                            wishes.insert(0, number);
                        }
                        in_hand.remove(&Job::Wish(number));
                    }
                    Ok(job) => {
                        in_hand.remove(&job);
                    }
                    Err(error) => self.world.state().violate(format!("a task died: {error}")),
                }
            }
            self.pump();
            if !self.engine.takes_orders() {
                return End::StoreFailed;
            }
            if !self.world.state().violations.is_empty() {
                return End::Settled;
            }
            let now = self.clock.now();
            if !calm && now >= self.calm_at {
                return End::HostilityOver;
            }
            self.watch_the_clock();
            self.bind_cards(&mut in_hand);
            self.submit(&mut wishes, &mut in_hand);
            self.work_due(&mut in_hand).await;
            self.account_due(&mut in_hand).await;
            if calm && self.tasks.is_empty() && self.settle_rest().await {
                return End::Settled;
            }
            rounds += 1;
            if calm && (rounds > CALM_ROUNDS || now.since(started) > CALM_FOR) {
                let text = format!("I-3: a calm world does not settle: {}", self.rest());
                self.world.state().violate(text);
                return End::Settled;
            }
            if rounds % 8 == 0 {
                self.housekeeping().await;
            }
            let pause = self.pause(calm);
            tokio::time::sleep(pause).await;
        }
    }

    /// The machine's clock jumps now and then; what is borne out is looked at, and kept.
    fn watch_the_clock(&mut self) {
        let clock = self.engine.clock();
        let mut state = self.world.state();
        if state.mischief(2) {
            let error_ms = ERRORS_MS[state.random.usize(0..ERRORS_MS.len())];
            let before_ms = state.clock_error_ms.swap(error_ms, Ordering::SeqCst);
            state.tally.clock_jumps += u64::from(before_ms != error_ms);
        }
        state.tally.clock_doubts += u64::from(clock.look().doubt.is_some());
        if state.chance(20) {
            state.last_seen = Some(clock.last_seen());
        }
    }

    /// What is left to settle, for whoever reads a violation.
    fn rest(&self) -> String {
        let state = self.world.state();
        let open = state.rows.orders.values().filter(|order| !order.status.is_final());
        let open: Vec<_> =
            open.map(|order| (order.id, order.instruction.kind, order.status)).collect();
        let entries = state.rows.entries.values();
        let entries: Vec<_> = entries.map(|one| (one.order, one.phase, one.due_at)).collect();
        let owed = |one: &&AccountingRequest| !one.delivery.status.lets_others_pass();
        let owed = state.rows.accounting.values().filter(owed);
        let owed: Vec<_> = owed.map(|one| (one.id, one.delivery.status)).collect();
        let unanswered = state.wishes.iter().filter(|wish| !wish.is_settled()).count();
        let unbound = (0..state.wanted.len()).filter(|number| !state.is_at_rest(*number)).count();
        let (events, clock) = (state.events.len(), self.engine.clock().look());
        format!(
            "orders {open:?}, entries {entries:?}, requests {owed:?}, {unanswered} wishes, \
             {unbound} agreements, {events} events, truth {:?}, {clock:?}",
            self.clock.now()
        )
    }

    /// Until something is due, or for a moment while all is hostile.
    fn pause(&self, calm: bool) -> Duration {
        let mut state = self.world.state();
        if !calm || !self.tasks.is_empty() {
            return state.millis(20..2_500);
        }
        let (truth, now) = (self.clock.now(), self.engine.clock().now());
        let event = state.events.keys().next().map(|(at, _)| at.since(truth));
        let wait = |due: DueWindow, at| if due.is_due(at) { Duration::ZERO } else { at.since(now) };
        let entries = state.rows.entries.values().filter_map(|entry| {
            let longest = terms::terms(entry.channel.as_str()).longest_wait();
            entry.due_at.map(|at| wait(DueWindow::at(now, longest), at))
        });
        let owed = |request: &&AccountingRequest| request.delivery.status == DeliveryStatus::Owed;
        let requests = state.rows.accounting.values().filter(owed);
        let due = DueWindow::at(now, accounting_side::WAIT_MAX);
        let requests = requests.map(|request| wait(due, request.delivery.due_at));
        // Of what is unknown of an agreement the core asks again.
        let at_rest = (0..state.wanted.len()).all(|number| state.is_at_rest(number));
        let asks = (!at_rest).then_some(Duration::from_secs(20));
        let pause = event.into_iter().chain(entries).chain(requests).chain(asks).min();
        pause.unwrap_or(Duration::from_secs(1)) + Duration::from_millis(1)
    }

    /// Lets happen at the channels what is due there, and delivers their notices.
    fn pump(&mut self) {
        loop {
            let due = {
                let mut state = self.world.state();
                state.now = self.clock.now();
                state.due()
            };
            let Some((id, event)) = due else { return };
            match event {
                Event::Arrive { number } => self.world.state().arrive(number, false),
                Event::Finish { number } => self.world.state().settle(number, false),
                Event::Reverse { number } => self.world.state().reverse_late(number),
                Event::Claim { number } => self.world.state().claim(number),
                Event::Bind { number } => self.world.state().bind(number),
                Event::Unbind { number, by_holder } => {
                    self.world.state().unbind(number, by_holder);
                }
                Event::Notice { order, evidence, sure } => self.deliver(id, order, evidence, sure),
            }
        }
    }

    fn deliver(&mut self, id: u64, order: OrderId, evidence: Evidence, sure: bool) {
        let (engine, world) = (Arc::clone(&self.engine), self.world.clone());
        self.tasks.spawn(async move {
            match engine.weigh(order, evidence).await {
                Ok(_) if sure => {
                    let mut state = world.state();
                    // It may lie in the queue again already.
                    if state.events.keys().any(|(_, other)| *other == id) {
                        state.taken.insert(id);
                    }
                }
                Ok(_) => {}
                Err(error) => note_error(&world, "a notice", &error),
            }
            Job::Other
        });
    }

    /// Takes the agreements that the core wants a step further, at times twice at once.
    fn bind_cards(&mut self, in_hand: &mut BTreeSet<Job>) {
        let count = self.world.state().wanted.len();
        for number in 0..count {
            let again = {
                let mut state = self.world.state();
                let is_turn = state.calm || state.chance(20);
                if !is_turn || state.is_at_rest(number) {
                    continue;
                }
                state.mischief(10)
            };
            let job = Job::Agreement(number);
            if in_hand.insert(job) || again {
                let (engine, world) = (Arc::clone(&self.engine), self.world.clone());
                self.tasks.spawn(async move {
                    agreements::step(&engine, &world, number).await;
                    job
                });
            }
        }
    }

    fn submit(&mut self, wishes: &mut Vec<usize>, in_hand: &mut BTreeSet<Job>) {
        let calm = self.world.state().calm;
        let ready = calm || self.world.state().chance(60);
        if !ready {
            return;
        }
        let Some(number) = wishes.pop() else { return };
        if in_hand.insert(Job::Wish(number)) {
            let (engine, world) = (Arc::clone(&self.engine), self.world.clone());
            self.tasks.spawn(async move {
                core_side::ask(&engine, &world, number).await;
                Job::Wish(number)
            });
        }
    }
}
