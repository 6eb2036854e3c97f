//! Plays a seed: lives of the process, each from a start to a crash, until nothing is owed.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use switchyard::clock::{Clock, ClockBaseline, Timekeeper};
use switchyard::codec::seal::{DigestKey, SealKey, SealKeys};
use switchyard::domain::books::accounting::{AccountingRequest, DeliveryStatus};
use switchyard::domain::cluster::{Queue, Work};
use switchyard::domain::command::{Command, Resolution};
use switchyard::domain::flow::attempt::{Evidence, Operation};
use switchyard::domain::flow::order::{OrderKind, SettlementMode};
use switchyard::domain::flow::reversal::{Phase, ReversalEntry};
use switchyard::domain::ids::{ChannelId, ChannelOrderNo, OrderId};
use switchyard::domain::time::{DueWindow, Timestamp};
use switchyard::engine::day_close::CloseError;
use switchyard::engine::{Engine, EngineError, Vault, WorkResult};
use switchyard::entropy::Entropy;
use switchyard::store::Store;
use switchyard::store::memory::MemoryStore;
use tokio::task::JoinSet;

use crate::accounting_side;
use crate::bank::Fate;
use crate::bank_side::Bank;
use crate::core_side;
use crate::hostile::{HostileStore, Pulse};
use crate::limits::NodeLimits;
use crate::terms;
use crate::verdict;
use crate::world::{Event, NodeTally, Tally, Wish, World, decider, note_error};

/// How long the channels stay hostile, in virtual time.
const HOSTILE_FOR: Duration = Duration::from_secs(2_400);
const CRASHES: u64 = 10;
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

pub struct Played {
    pub violations: Vec<String>,
    pub history: Vec<String>,
    pub tally: Tally,
    pub nodes: NodeTally,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Crashed,
    StoreFailed,
    Settled,
    HostilityOver,
}

/// Plays one seed to its end.
pub fn play(seed: u64, orders: u64) -> Played {
    let world = world_of(seed, orders);
    let calm_at = world.state().now.plus(HOSTILE_FOR);
    // Bounded: crashes are counted, and a store fails only while the world is hostile.
    loop {
        {
            let state = world.state();
            if !state.violations.is_empty() {
                break;
            }
        }
        let end = live(&world, calm_at, seed);
        world.store.faults().restart();
        verdict::compare_shadow(&world);
        let mut state = world.state();
        state.failing = None;
        match end {
            End::Settled => break,
            End::HostilityOver => state.calm = true,
            End::Crashed => state.tally.crashes += 1,
            End::StoreFailed => state.tally.store_failures += 1,
        }
        let down = state.millis(500..60_000);
        state.now = state.now.plus(down);
    }
    judged(&world)
}

/// A world whose core has so many wishes.
pub fn world_of(seed: u64, orders: u64) -> World {
    let world = World::new(seed);
    for number in 0..orders {
        let wish = wish(&world, number);
        world.state().wishes.push(wish);
    }
    world
}

/// The last word on a world that has come to rest.
pub fn judged(world: &World) -> Played {
    verdict::judge(world);
    let mut state = world.state();
    Played {
        violations: std::mem::take(&mut state.violations),
        history: std::mem::take(&mut state.history),
        tally: state.tally.clone(),
        nodes: state.nodes.tally.clone(),
    }
}

fn wish(world: &World, number: u64) -> Wish {
    let mut state = world.state();
    let mut channels = terms::ALL.to_vec();
    state.random.shuffle(&mut channels);
    let kept = state.random.usize(1..=channels.len());
    channels.truncate(kept);
    let payout = state.chance(8);
    // A channel that keeps numbers pays to cards alone.
    let keeps_none = !channels.iter().any(|name| terms::terms(name).keeps_pan);
    let to_account = payout && keeps_none && state.chance(50);
    let escrow = !payout && state.chance(30);
    Wish {
        caller_order_id: format!("core-{number}"),
        amount_minor: state.random.i64(1..1_000_000),
        settlement_mode: if escrow { SettlementMode::Escrow } else { SettlementMode::Instant },
        channels,
        answered: None,
        releases: 0,
        hold: !payout && state.chance(30),
        payout,
        to_account,
        follow_ups: 0,
        capture: None,
        last_follow_up: None,
    }
}

pub fn live(world: &World, calm_at: Timestamp, seed: u64) -> End {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime without I/O");
    runtime.block_on(async {
        let started = world.state().now;
        let clock = Clock::runtime(started);
        let steps = {
            let mut state = world.state();
            let steps = state.random.u64(50..2_500);
            (!state.calm && state.tally.crashes < CRASHES).then_some(steps)
        };
        let pulse = Pulse::new(steps);
        let process = Process { node: 1, store: world.store.clone(), pulse: pulse.clone() };
        let life = process.begin(world, &clock, calm_at, seed);
        let end = tokio::select! {
            biased;
            () = pulse.stopped.notified() => End::Crashed,
            end = life.run() => end,
        };
        world.state().now = clock.now();
        end
    })
}

/// A process that is about to start.
pub struct Process {
    pub node: u16,
    /// The store as this process has it.
    pub store: MemoryStore,
    pub pulse: Pulse,
}

impl Process {
    pub fn begin(self, world: &World, clock: &Clock, calm_at: Timestamp, seed: u64) -> Life {
        let Self { node, store, pulse } = self;
        let keeper = keeper(world, clock);
        let incarnation = store.cluster().map(|cluster| cluster.incarnation());
        if incarnation.is_some() {
            keeper.begin_lease();
        }
        let store: Arc<dyn Store> =
            Arc::new(HostileStore { world: world.clone(), pulse: pulse.clone(), store });
        let limits = incarnation.map(|node| Arc::new(NodeLimits::new(world, node, &store)));
        let bank = Bank {
            world: world.clone(),
            pulse,
            clock: clock.clone(),
            keeper: keeper.clone(),
            node: incarnation,
            limits: limits.clone(),
        };
        let key = SealKey::new("k1", &[7; 32]).expect("32 bytes");
        let drawn = seed ^ clock.now().as_millis().unsigned_abs() ^ u64::from(node) << 48;
        let vault = Vault::new(
            SealKeys::new(key, Vec::new()).expect("one key"),
            DigestKey::new(&[9; 32]).expect("32 bytes"),
            Entropy::seeded(drawn),
        );
        let engine = Engine::new(store, Arc::new(bank), keeper, vault, node);
        Life {
            world: world.clone(),
            engine: Arc::new(engine),
            limits,
            clock: clock.clone(),
            tasks: JoinSet::new(),
            calm_at,
        }
    }
}

/// The clock of a life, wrong as it may be, held against what the last one knew.
fn keeper(world: &World, truth: &Clock) -> Timekeeper {
    let mut state = world.state();
    if state.calm {
        state.clock_error_ms.store(0, Ordering::SeqCst);
    }
    let by_ms = Arc::clone(&state.clock_error_ms);
    let shown = Clock::Wrong { of: Box::new(truth.clone()), by_ms };
    let first_order_at = state.rows.orders.values().next().map(|order| order.created_at);
    let beginning = ClockBaseline { seen: state.last_seen.clone(), first_order_at };
    let keeper = Timekeeper::start(shown, beginning, 2);
    state.last_seen = Some(keeper.last_seen());
    keeper
}

/// What a task of this life was about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Job {
    Entry(OrderId),
    Chain(OrderId),
    Wish(usize),
    Other,
}

pub struct Life {
    world: World,
    pub engine: Arc<Engine>,
    /// Where there are several nodes.
    pub limits: Option<Arc<NodeLimits>>,
    clock: Clock,
    tasks: JoinSet<Job>,
    calm_at: Timestamp,
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
        if !calm {
            let mut state = self.world.state();
            wishes.retain(|number| state.wishes[*number].answered.is_none() || state.chance(10));
        }
        let mut in_hand = BTreeSet::new();
        let started = self.clock.now();
        let mut rounds = 0;
        loop {
            while let Some(ended) = self.tasks.try_join_next() {
                match ended {
                    Ok(Job::Wish(number)) => {
                        let answered = self.world.state().wishes[number].answered.is_some();
                        if !answered {
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
        let unanswered = state.wishes.iter().filter(|wish| wish.answered.is_none()).count();
        let (events, clock) = (state.events.len(), self.engine.clock().look());
        format!(
            "orders {open:?}, entries {entries:?}, requests {owed:?}, {unanswered} wishes, \
             {events} events, truth {:?}, {clock:?}",
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
        let pause = event.into_iter().chain(entries).chain(requests).min();
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

    async fn work_due(&mut self, in_hand: &mut BTreeSet<Job>) {
        for name in terms::ALL {
            let channel = ChannelId::from_stored(name);
            let longest = terms::terms(name).longest_wait();
            let due = DueWindow::at(self.engine.clock().now(), longest)
                .of_shards(self.engine.reversal_shards(&channel));
            let due = self.engine.store().due_reversals(channel, due, 50).await;
            let due = due.unwrap_or_else(|error| {
                self.world.state().violate(format!("due entries: {error}"));
                Vec::new()
            });
            for entry in due {
                let job = Job::Entry(entry.order);
                // Now and then two workers take the same entry, as two nodes may.
                let again = self.world.state().mischief(10);
                if in_hand.insert(job) || again {
                    let (engine, world) = (Arc::clone(&self.engine), self.world.clone());
                    self.tasks.spawn(async move {
                        work(&engine, &world, &entry).await;
                        job
                    });
                }
            }
        }
    }

    /// Recovery of lost calls, an operator's retry, a release.
    async fn housekeeping(&mut self) {
        let lost = self.engine.recover_lost(7).await;
        let is_ours = self.engine.holds(&Work::Recovery);
        let left_behind = if is_ours { self.engine.recover_orphans(7).await } else { Ok(0) };
        for count in [lost, left_behind] {
            match count {
                Ok(count) => self.world.state().tally.recovered += count as u64,
                Err(error) => note_error(&self.world, "recovery", &error),
            }
        }
        let (stuck, released) = {
            let mut state = self.world.state();
            let stuck: Vec<OrderId> = state
                .rows
                .entries
                .values()
                .filter(|entry| entry.phase == Phase::Operator)
                .map(|entry| entry.order)
                .collect();
            let stuck = (!stuck.is_empty() && state.mischief(20))
                .then(|| stuck[state.random.usize(0..stuck.len())]);
            let count = state.wishes.len();
            (stuck, state.random.usize(0..count))
        };
        if let Some(id) = stuck {
            let decider = decider("try again");
            match self.engine.operate(id, Command::Retry { decider }).await {
                Ok(_) => self.world.state().tally.retries += 1,
                Err(error) => note_error(&self.world, "a retry", &error),
            }
        }
        core_side::release(&self.engine, &self.world, released).await;
        let asked = {
            let mut state = self.world.state();
            let count = state.wishes.len();
            [0; 3].map(|_| state.random.usize(0..count))
        };
        for number in asked {
            let (engine, world) = (Arc::clone(&self.engine), self.world.clone());
            self.tasks.spawn(async move {
                core_side::follow_up(&engine, &world, number).await;
                Job::Other
            });
        }
        accounting_side::look_at_parked(&self.engine, &self.world, 30).await;
        self.close_days();
    }

    /// Closes what has ended, now and then by two at once.
    fn close_days(&mut self) {
        for name in terms::ALL {
            let close = Work::Close(ChannelId::from_stored(name));
            let twice = self.world.state().mischief(20);
            // Who has just lost the work may still be at it.
            if !self.engine.holds(&close) && !twice {
                continue;
            }
            for _ in 0..=u8::from(twice) {
                let (engine, world) = (Arc::clone(&self.engine), self.world.clone());
                self.tasks.spawn(async move {
                    match engine.close_due_days(&ChannelId::from_stored(name)).await {
                        Ok(_) => {}
                        Err(CloseError::Engine(error)) => note_error(&world, "a close", &error),
                        Err(error) => world.state().violate(format!("a close: {error}")),
                    }
                    Job::Other
                });
            }
        }
    }

    /// What accounting is owed, one request of a chain at a time.
    async fn account_due(&mut self, in_hand: &mut BTreeSet<Job>) {
        let due = DueWindow::at(self.engine.clock().now(), accounting_side::WAIT_MAX)
            .of_shards(self.engine.shards(Queue::Accounting));
        let due = self.engine.store().due_accounting(due, 100).await;
        let due = due.unwrap_or_else(|error| {
            self.world.state().violate(format!("due requests: {error}"));
            Vec::new()
        });
        for request in due {
            let job = Job::Chain(request.id.chain);
            let again = self.world.state().mischief(5);
            if in_hand.insert(job) || again {
                let (engine, world) = (Arc::clone(&self.engine), self.world.clone());
                self.tasks.spawn(async move {
                    accounting_side::deliver(&engine, &world, request).await;
                    job
                });
            }
        }
    }

    /// In a calm world an operator looks into the ledgers. True when nothing is left.
    async fn settle_rest(&mut self) -> bool {
        let (left, busy) = {
            let state = self.world.state();
            let left: Vec<ReversalEntry> = state.rows.entries.values().cloned().collect();
            let open = state.rows.orders.values().any(|order| !order.status.is_final());
            let unanswered = state.wishes.iter().any(|wish| wish.answered.is_none());
            let done = |status: DeliveryStatus| status.lets_others_pass();
            let owed = state.rows.accounting.values().any(|one| !done(one.delivery.status));
            (left, open || unanswered || owed || !state.events.is_empty())
        };
        accounting_side::look_at_parked(&self.engine, &self.world, 100).await;
        if left.is_empty() {
            return !busy;
        }
        if !self.world.state().events.is_empty() {
            return false;
        }
        for entry in left.iter().filter(|entry| entry.phase == Phase::Operator) {
            let command = self.truth(entry);
            let resolved = matches!(command, Command::Resolve { .. });
            match self.engine.operate(entry.order, command).await {
                Ok(_) if resolved => self.world.state().tally.resolved += 1,
                Ok(_) => {}
                Err(error) => note_error(&self.world, "an operator", &error),
            }
        }
        false
    }

    /// What an operator who sees the channel's ledger decides.
    fn truth(&self, entry: &ReversalEntry) -> Command {
        let state = self.world.state();
        let order = &state.rows.orders[&entry.order];
        let decider = decider("the channel's ledger says so");
        let fate = |number: &ChannelOrderNo| {
            state.ledger.records.get(number).map_or(Fate::Absent, |record| record.fate)
        };
        let resolution = match (order.unresolved(), order.instruction.kind) {
            (Some(attempt), _) => match fate(&order.channel_order_no(attempt.number)) {
                Fate::Done => Resolution::Succeeded,
                Fate::Reversed => {
                    assert!(attempt.operation != Operation::Undo, "undos are not reversed");
                    Resolution::Reversed
                }
                _ => Resolution::Failed,
            },
            (None, OrderKind::Undo { of }) => {
                let terms = terms::terms(entry.channel.as_str());
                let can = terms.can(Operation::Undo) && !terms.follow_up_needs_card;
                if fate(&of) == Fate::Done && can {
                    return Command::Retry { decider };
                }
                Resolution::Failed
            }
            (None, _) => Resolution::Failed,
        };
        Command::Resolve { resolution, decider }
    }
}

async fn work(engine: &Arc<Engine>, world: &World, entry: &ReversalEntry) {
    match engine.work(entry).await {
        Ok(WorkResult::Ended | WorkResult::Open | WorkResult::Nothing) => {}
        Err(EngineError::Refused(refusal)) => {
            world.state().violate(format!("working {}: {refusal}", entry.order));
        }
        Err(error) => note_error(world, "work", &error),
    }
}
