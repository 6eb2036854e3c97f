//! Holds what the clock shows against evidence.
//!
//! Three witnesses are asked. The machine's **steady clock** says how much time has passed within
//! this process: it bears out what it has counted, and no more. The **last moment of the books**
//! says how early it can be at a start. The **Date headers of channels** say what others think it
//! is: nobody signs them, so one alone can only withhold trust, and it takes as many hosts as the
//! settings say, and more than contradict, to bear out a clock that is ahead of the first two.
//!
//! What is borne out never runs faster than one sixtieth over the steady clock without such
//! evidence: so a short standstill is made up for by itself, and a wrong clock gains nothing that
//! matters.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use crate::clock::{Clock, ClockBaseline, ClockStep, LastSeen, LeaseAsked, NodeLease};
use crate::domain::closed_set;
use crate::domain::time::{Present, Timestamp};

/// A step of the clock against the steady clock that is a jump; less is drift. Milliseconds.
const STEP_MAX_MS: i64 = 1_000;
/// The clock is doubted when it differs by more from what is borne out: a restart or a reboot takes
/// less. Milliseconds.
const DIFFERENCE_MAX_MS: i64 = 5 * 60_000;
/// How far a channel's Date may lie from our clock and still agree: a slow reply, a lazy clock.
/// Milliseconds.
const DATE_TOLERANCE_MS: i64 = 2 * 60_000;
/// What is borne out follows the clock by one part in so many of the time that passes.
const FOLLOWED_BY_ONE_IN: i64 = 60;
/// The least time between two Dates of one connection pool that are looked at.
const HEARD_EVERY_MS: i64 = 1_000;
/// The most hosts whose Dates are remembered.
const HOSTS_MAX: usize = 1_000;
/// How far what an operator reads off a clock may be from ours when the word reaches us.
const CONFIRMED_WITHIN_MS: i64 = 60_000;

closed_set! {
    /// Why the clock is not believed.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
    pub enum Doubt {
        /// The clock is ahead of what is borne out: it jumped, or the daemon has stood still for
        /// long.
        Ahead => "clock_ahead",
        /// The clock is behind a moment that was borne out before.
        Behind => "clock_behind",
        /// More channels say that it is earlier than agree with the clock.
        Contradicted => "clock_contradicted",
    }
}

/// A host's clock by its Date header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostClock {
    pub host: String,
    /// How much more than our clock it says now; negative if less. Milliseconds.
    pub off_by_ms: i64,
    pub agrees: bool,
    /// An operator has said that this clock is the wrong one.
    pub is_overruled: bool,
}

/// How the clock stands, for operators.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClockStanding {
    /// The machine's clock, or the store's where nodes share it.
    pub clock: Timestamp,
    pub present: Present,
    pub doubt: Option<Doubt>,
    /// The hosts' clocks since our clock's last jump.
    pub heard: Vec<HostClock>,
    /// How many hosts must bear out a clock that is ahead.
    pub witnesses_min: usize,
}

/// The result of an operator's confirmation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Confirmation {
    Taken(ClockStanding),
    /// The clock does not show what the operator has read off another one.
    Differs,
}

/// The daemon's clock. Copies are one clock.
#[derive(Clone)]
pub struct Timekeeper(Arc<KeeperState>);

struct KeeperState {
    clock: Clock,
    witnesses_min: usize,
    lease: OnceLock<NodeLease>,
    // All of these are milliseconds on top of the steady clock's count.
    /// The moment that is borne out.
    proven_ahead: AtomicI64,
    /// The most that channels leave of it while they contradict.
    bound_ahead: AtomicI64,
    /// The moment that was shown last.
    shown_ahead: AtomicI64,
    /// The steady clock's count at the last jump of what is shown.
    jumped_at: AtomicI64,
    hosts: Mutex<HostClocks>,
}

struct HostClocks {
    /// Each host's Date on top of the steady clock's count, and when it came.
    said: BTreeMap<String, (i64, i64)>,
    overruled_off_by_ms: BTreeMap<String, i64>,
    doubt: Option<Doubt>,
    looked_at: i64,
}

impl From<Clock> for Timekeeper {
    /// A clock with nothing to hold it against.
    fn from(clock: Clock) -> Self {
        Self::start(clock, ClockBaseline::default(), 2)
    }
}

impl Timekeeper {
    /// `witnesses_min` is at least 1: so many hosts must bear out a clock that is ahead.
    pub fn start(clock: Clock, beginning: ClockBaseline, witnesses_min: usize) -> Self {
        let (wall, steady) = (clock.now().as_millis(), clock.steady_ms());
        let proven = match (&beginning.seen, beginning.first_order_at) {
            (Some(seen), Some(_)) => seen.proven_ms,
            (None, Some(first)) => first.as_millis().min(wall),
            (_, None) => wall,
        };
        let overruled_off_by_ms = beginning.seen.map(|seen| seen.overruled_off_by_ms);
        let overruled_off_by_ms = overruled_off_by_ms.unwrap_or_default();
        let hosts = HostClocks {
            said: BTreeMap::new(),
            overruled_off_by_ms,
            doubt: None,
            looked_at: steady,
        };
        let keeper = Self(Arc::new(KeeperState {
            clock,
            witnesses_min: witnesses_min.max(1),
            lease: OnceLock::new(),
            proven_ahead: AtomicI64::new(proven - steady),
            bound_ahead: AtomicI64::new(i64::MAX),
            shown_ahead: AtomicI64::new(wall.max(proven) - steady),
            jumped_at: AtomicI64::new(steady),
            hosts: Mutex::new(hosts),
        }));
        keeper.look();
        keeper
    }

    /// From now on this process acts for the books only while a lease of them is in force: others
    /// may share them.
    pub fn begin_lease(&self) {
        let _begun = self.0.lease.set(NodeLease::by(self.0.clock.machine().clone()));
    }

    /// The lease that this process acts on; `None` where it has the books to itself.
    pub fn lease(&self) -> Option<&NodeLease> {
        self.0.lease.get()
    }

    /// Follows the clock of the store that nodes share: what it said to a question that was asked
    /// then. Nothing to do by another clock.
    pub fn follow(&self, asked: LeaseAsked, said: Timestamp) {
        let Clock::Shared(shared) = &self.0.clock else { return };
        if let Some(ClockStep(by_ms)) = shared.follow(asked, said) {
            tracing::error!(by_ms, "the database's clock has leapt, or this machine has slept");
        }
    }

    /// Whether this process may act for the books now.
    pub fn may_act(&self) -> bool {
        self.lease().is_none_or(NodeLease::is_in_force)
    }

    /// The daemon's clock, for stamps and waits. It does not follow the machine's clock behind what
    /// is borne out.
    pub fn now(&self) -> Timestamp {
        self.present().now()
    }

    /// The present, for whatever asks about an age or a day.
    pub fn present(&self) -> Present {
        let state = &*self.0;
        let (wall, steady) = (state.clock.now().as_millis(), state.clock.steady_ms());
        let proven_ahead = state.proven_ahead.load(Ordering::Acquire);
        let shown_ahead = displayed_ahead(wall - steady, proven_ahead);
        let seen = state.shown_ahead.load(Ordering::Acquire);
        if (shown_ahead - seen).abs() > STEP_MAX_MS {
            // In this order: a reader of the new offset sees when it began.
            state.jumped_at.store(steady, Ordering::Release);
            state.shown_ahead.store(shown_ahead, Ordering::Release);
        }
        let steady_for_ms = steady - state.jumped_at.load(Ordering::Acquire);
        let bound_ahead = state.bound_ahead.load(Ordering::Acquire);
        let steady_for = Duration::from_millis(u64::try_from(steady_for_ms).unwrap_or(0));
        let moment = |ahead: i64| Timestamp::from_millis(steady.saturating_add(ahead));
        Present::new(moment(shown_ahead), moment(proven_ahead.min(bound_ahead)), steady_for)
    }

    /// From when on something is in force that begins now: while the clock is ahead, no later than
    /// what is borne out, since what is dated ahead would stand behind all that comes.
    pub fn effective_from(&self) -> Timestamp {
        let standing = self.look();
        match standing.doubt {
            Some(Doubt::Ahead) => standing.present.proven(),
            Some(Doubt::Behind | Doubt::Contradicted) | None => standing.present.now(),
        }
    }

    /// Why the clock was doubted when it was last looked at.
    pub fn doubt(&self) -> Option<Doubt> {
        self.hosts().doubt
    }

    /// Takes a host's Date as evidence: milliseconds since 1970, as it was when the reply came.
    pub fn hear(&self, host: &str, said: Timestamp) {
        let steady = self.0.clock.steady_ms();
        let mut hosts = self.hosts();
        if hosts.said.len() < HOSTS_MAX || hosts.said.contains_key(host) {
            hosts.said.insert(host.to_owned(), (said.as_millis() - steady, steady));
        }
        drop(hosts);
        self.look();
    }

    /// Whether the machine's clock shows this, within a minute.
    pub fn shows(&self, moment: Timestamp) -> bool {
        let wall = self.0.clock.now().as_millis();
        (moment.as_millis() - wall).abs() <= CONFIRMED_WITHIN_MS
    }

    /// An operator reads `shown` off another clock and says that ours is right: hosts that
    /// contradict it are overruled until their clocks change.
    pub fn confirm(&self, shown: Timestamp) -> Confirmation {
        let state = &*self.0;
        let (wall, steady) = (state.clock.now().as_millis(), state.clock.steady_ms());
        if !self.shows(shown) {
            return Confirmation::Differs;
        }
        let mut hosts = self.hosts();
        let contrary: Vec<(String, i64)> = hosts
            .said
            .iter()
            .map(|(host, (ahead, _))| (host.clone(), steady + ahead - wall))
            .filter(|(_, off_by_ms)| off_by_ms.abs() > DATE_TOLERANCE_MS)
            .collect();
        hosts.overruled_off_by_ms.extend(contrary);
        drop(hosts);
        self.believe(wall - steady);
        Confirmation::Taken(self.look())
    }

    /// Looks at all evidence. Called at intervals: what is borne out follows the clock a little
    /// with each call, by the time that has passed since the last.
    pub fn look(&self) -> ClockStanding {
        // A look notes a jump first.
        let _present = self.present();
        let state = &*self.0;
        let mut hosts = self.hosts();
        let (wall, steady) = (state.clock.now().as_millis(), state.clock.steady_ms());
        let heard = self.dates_since_jump(&mut hosts, wall, steady);
        let agreeing = heard.iter().filter(|one| one.agrees).count();
        let contrary = || heard.iter().filter(|one| !one.agrees && !one.is_overruled);
        let outvoted = agreeing <= contrary().count();
        let difference = wall - steady - state.proven_ahead.load(Ordering::Acquire);
        // That it is earlier than we thought passes no rule early: one witness is enough.
        let enough = if difference < 0 { 1 } else { state.witnesses_min };
        if agreeing >= enough && !outvoted {
            self.believe(wall - steady);
            hosts.doubt = None;
            hosts.looked_at = steady;
            return self.standing(wall, hosts.doubt, heard);
        }
        let earlier = || contrary().filter(|one| one.off_by_ms < 0);
        let latest = earlier().map(|one| wall + one.off_by_ms - steady).max();
        let bound = latest.filter(|_| earlier().count() > agreeing).unwrap_or(i64::MAX);
        state.bound_ahead.store(bound, Ordering::Release);
        hosts.doubt = if difference > DIFFERENCE_MAX_MS {
            Some(Doubt::Ahead)
        } else if difference < -DIFFERENCE_MAX_MS {
            Some(Doubt::Behind)
        } else {
            (bound != i64::MAX).then_some(Doubt::Contradicted)
        };
        if hosts.doubt.is_some() {
            hosts.looked_at = steady;
        } else {
            // A fraction of a millisecond counts the next time.
            let step_max = (steady - hosts.looked_at).max(0) / FOLLOWED_BY_ONE_IN;
            hosts.looked_at += step_max * FOLLOWED_BY_ONE_IN;
            state.proven_ahead.fetch_add(difference.clamp(-step_max, step_max), Ordering::AcqRel);
        }
        self.follow_drift(wall - steady);
        self.standing(wall, hosts.doubt, heard)
    }

    /// The state that the next process needs.
    pub fn last_seen(&self) -> LastSeen {
        let present = self.present();
        let hosts = self.hosts();
        LastSeen {
            proven_ms: present.proven().as_millis(),
            overruled_off_by_ms: hosts.overruled_off_by_ms.clone(),
        }
    }

    fn hosts(&self) -> MutexGuard<'_, HostClocks> {
        self.0.hosts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The clock is borne out as it stands.
    fn believe(&self, ahead: i64) {
        self.0.proven_ahead.store(ahead, Ordering::Release);
        self.0.bound_ahead.store(i64::MAX, Ordering::Release);
    }

    /// Drift is followed, so that it never adds up to a jump.
    fn follow_drift(&self, wall_ahead: i64) {
        let now_ahead = displayed_ahead(wall_ahead, self.0.proven_ahead.load(Ordering::Acquire));
        let seen = self.0.shown_ahead.load(Ordering::Acquire);
        if (now_ahead - seen).abs() <= STEP_MAX_MS {
            self.0.shown_ahead.store(now_ahead, Ordering::Release);
        }
    }

    /// The Dates since the clock's last jump: the steady clock stands still while the machine
    /// sleeps, so earlier ones prove nothing about a jump.
    fn dates_since_jump(&self, hosts: &mut HostClocks, wall: i64, steady: i64) -> Vec<HostClock> {
        let since = self.0.jumped_at.load(Ordering::Acquire);
        hosts.said.retain(|_, (_, at)| *at >= since);
        let overruled = &hosts.overruled_off_by_ms;
        let one = |(host, (ahead, _)): (&String, &(i64, i64))| {
            let off_by_ms = steady + ahead - wall;
            let as_overruled = |by: &i64| (off_by_ms - by).abs() <= DATE_TOLERANCE_MS;
            HostClock {
                host: host.clone(),
                off_by_ms,
                agrees: off_by_ms.abs() <= DATE_TOLERANCE_MS,
                is_overruled: overruled.get(host).is_some_and(as_overruled),
            }
        };
        hosts.said.iter().map(one).collect()
    }

    fn standing(&self, wall: i64, doubt: Option<Doubt>, heard: Vec<HostClock>) -> ClockStanding {
        ClockStanding {
            clock: Timestamp::from_millis(wall),
            present: self.present(),
            doubt,
            heard,
            witnesses_min: self.0.witnesses_min,
        }
    }
}

/// The shown time: the clock, but never behind the moment that is borne out.
const fn displayed_ahead(wall_ahead: i64, proven_ahead: i64) -> i64 {
    if wall_ahead + STEP_MAX_MS < proven_ahead { proven_ahead } else { wall_ahead }
}

/// Hears the Dates of one connection pool, now and then.
pub struct Witness {
    keeper: Timekeeper,
    /// The steady clock's count when one was last looked at.
    heard_at: AtomicI64,
}

impl Witness {
    pub const fn of(keeper: Timekeeper) -> Self {
        Self { keeper, heard_at: AtomicI64::new(i64::MIN) }
    }

    /// The clock that its evidence is for.
    pub const fn keeper(&self) -> &Timekeeper {
        &self.keeper
    }

    /// Takes the Date of a reply that has just come from a host. One that does not read says
    /// nothing, and neither do those that come too soon after another.
    pub fn hear(&self, host: impl FnOnce() -> String, date: &str) {
        let steady = self.keeper.0.clock.steady_ms();
        let last = self.heard_at.load(Ordering::Relaxed);
        if steady < last.saturating_add(HEARD_EVERY_MS) {
            return;
        }
        self.heard_at.store(steady, Ordering::Relaxed);
        let Ok(said) = jiff::fmt::rfc2822::parse(date) else { return };
        self.keeper.hear(&host(), Timestamp::from_millis(said.timestamp().as_millisecond()));
    }
}

#[cfg(test)]
mod tests;
