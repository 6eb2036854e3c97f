//! Faults and their frequency: the settings, the plan drawn for each request and each notice, and
//! the count of faults done.
//!
//! A plan is drawn by a hash of seed, operation, order number and repetition, so a run can be
//! repeated and a retry is a new draw. It is independent of HTTP and of dialects.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::domain::closed_set;

use super::chance::{Chance, DurationRange, PARTS_WHOLE, hash};

/// The frequency of each fault, in parts of ten thousand, and the lengths of delays.
///
/// At most one of the first seven happens to a request, so their sum is at most 10,000. A delay may
/// come on top of them. Notice faults are drawn once for each order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Faults {
    /// The connection is closed before anything is processed.
    pub drop_before: u16,
    /// The request is processed, then the connection is closed, reset or left hanging.
    pub lose_reply: u16,
    /// Processed; the answer is 200 with a body that is no message.
    pub garbage: u16,
    /// Processed; the answer ends in its middle.
    pub truncated: u16,
    /// Processed; the answer is a status of 408, 429 or 5xx.
    pub http_error: u16,
    /// Processed; the answer's signature is wrong.
    pub bad_signature: u16,
    /// Processed; the answer's code says that the result is not clear.
    pub unclear: u16,
    /// The request is processed late, or the answer leaves late.
    pub delay: u16,
    /// The length of a delay. A request may be *processed* that late too, so the longest must lie
    /// below the channel file's `not_found_final_after`: only then is "no such order" evidence.
    pub delay_for: DurationRange,
    /// A reversal without an answer: its connection is closed at once, the reversal is carried out
    /// late, and until then others of the same order are refused.
    pub reversal_late: u16,
    /// The length of that delay. It must lie below the time in which the channel file says that a
    /// request can be under way: only then may a success be believed after it.
    pub reversal_late_for: DurationRange,
    /// The time that a lost reply hangs: longer than the caller's time-out.
    pub hang_for: DurationRange,
    /// The notice is never sent. Excludes every other notice fault.
    pub notice_missing: u16,
    /// The notice is sent one to three times more.
    pub notice_repeated: u16,
    pub notice_delayed: u16,
    pub notice_delay_for: DurationRange,
    /// Another notice, well signed, says the opposite of the ledger, before or after the true one.
    pub notice_contradicting: u16,
    /// Another notice, badly signed, says the opposite of the ledger.
    pub notice_forged: u16,
}

impl Faults {
    /// Nothing goes wrong: for a benchmark, and for draining after a run.
    pub const fn calm() -> Self {
        Self {
            drop_before: 0,
            lose_reply: 0,
            garbage: 0,
            truncated: 0,
            http_error: 0,
            bad_signature: 0,
            unclear: 0,
            delay: 0,
            delay_for: DurationRange::millis(10, 400),
            reversal_late: 0,
            reversal_late_for: DurationRange::millis(300, 1_500),
            hang_for: DurationRange::millis(12_000, 15_000),
            notice_missing: 0,
            notice_repeated: 0,
            notice_delayed: 0,
            notice_delay_for: DurationRange::millis(50, 2_000),
            notice_contradicting: 0,
            notice_forged: 0,
        }
    }

    /// A bad day: 5 % of replies lost after processing, 2 % dropped before, some of all else.
    pub const fn lossy() -> Self {
        Self {
            drop_before: 200,
            lose_reply: 500,
            garbage: 50,
            truncated: 50,
            http_error: 50,
            bad_signature: 50,
            unclear: 50,
            delay: 500,
            reversal_late: 500,
            notice_missing: 300,
            notice_repeated: 1_000,
            notice_delayed: 1_000,
            notice_contradicting: 100,
            notice_forged: 100,
            ..Self::calm()
        }
    }

    /// A third of all requests go wrong, and most notices.
    pub const fn hostile() -> Self {
        Self {
            drop_before: 600,
            lose_reply: 1_000,
            garbage: 300,
            truncated: 300,
            http_error: 300,
            bad_signature: 300,
            unclear: 400,
            delay: 2_000,
            reversal_late: 2_500,
            notice_missing: 1_500,
            notice_repeated: 3_000,
            notice_delayed: 3_000,
            notice_contradicting: 1_000,
            notice_forged: 1_000,
            ..Self::calm()
        }
    }

    /// The preset named `calm`, `lossy` or `hostile`.
    pub fn preset(name: &str) -> Option<Self> {
        match name {
            "calm" => Some(Self::calm()),
            "lossy" => Some(Self::lossy()),
            "hostile" => Some(Self::hostile()),
            _ => None,
        }
    }

    /// Checks that the parts are parts of ten thousand; the error names one that is not.
    pub fn check(&self) -> Result<(), String> {
        let whole = u32::from(PARTS_WHOLE);
        let exclusive: u32 = self.exclusive().iter().map(|parts| u32::from(*parts)).sum();
        if exclusive > whole {
            return Err(format!("the faults of one request add up to {exclusive} of {whole}"));
        }
        let others = [
            self.delay,
            self.reversal_late,
            self.notice_missing,
            self.notice_repeated,
            self.notice_delayed,
            self.notice_contradicting,
            self.notice_forged,
        ];
        match others.iter().find(|parts| **parts > PARTS_WHOLE) {
            Some(parts) => Err(format!("a fault happens {parts} times in {whole}")),
            None => Ok(()),
        }
    }

    const fn exclusive(&self) -> [u16; 7] {
        [
            self.drop_before,
            self.lose_reply,
            self.garbage,
            self.truncated,
            self.http_error,
            self.bad_signature,
            self.unclear,
        ]
    }

    /// Whether no request can have a fault, so that nothing needs to be drawn.
    fn spares_requests(&self) -> bool {
        let late = self.delay > 0 || self.reversal_late > 0;
        !late && self.exclusive().iter().all(|parts| *parts == 0)
    }
}

/// The dialects' names of a reversal.
const REVERSALS: [&str; 2] = ["reverse", "reversal"];

/// The one thing that goes wrong with a request, if any.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RequestFault {
    None,
    DropBefore,
    LoseReply(Loss),
    Garbage,
    Truncated,
    HttpError,
    BadSignature,
    Unclear,
}

/// How a reply gets lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Loss {
    /// The connection ends in good order.
    Close,
    /// The connection is reset.
    Reset,
    /// Nothing is sent for this long; then the connection is closed.
    Hang(Duration),
}

/// The plan for one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RequestPlan {
    pub fault: RequestFault,
    pub delay_before: Duration,
    pub delay_after: Duration,
    /// The delay of a reversal that gets no answer.
    pub reversal_late: Option<Duration>,
    /// A number that chooses among the variants of a fault.
    pub variant: u64,
}

impl RequestPlan {
    const PLAIN: Self = Self {
        fault: RequestFault::None,
        delay_before: Duration::ZERO,
        delay_after: Duration::ZERO,
        reversal_late: None,
        variant: 0,
    };

    fn draw(faults: &Faults, operation: &str, chance: &mut Chance) -> Self {
        let fault = draw_fault(faults, chance);
        let variant = chance.below(u64::MAX);
        let mut plan = Self { fault, variant, ..Self::PLAIN };
        if chance.hits(faults.delay) {
            let delay = chance.between(faults.delay_for);
            if chance.below(2) == 0 {
                plan.delay_before = delay;
            } else {
                plan.delay_after = delay;
            }
        }
        let reverses = REVERSALS.contains(&operation);
        if reverses && plan.fault == RequestFault::None && chance.hits(faults.reversal_late) {
            plan.reversal_late = Some(chance.between(faults.reversal_late_for));
        }
        plan
    }

    pub fn is_delayed(&self) -> bool {
        !(self.delay_before.is_zero() && self.delay_after.is_zero())
    }
}

fn draw_fault(faults: &Faults, chance: &mut Chance) -> RequestFault {
    let mut left = chance.below(u64::from(PARTS_WHOLE));
    let loss = match chance.below(3) {
        0 => Loss::Close,
        1 => Loss::Reset,
        _ => Loss::Hang(chance.between(faults.hang_for)),
    };
    let kinds = [
        RequestFault::DropBefore,
        RequestFault::LoseReply(loss),
        RequestFault::Garbage,
        RequestFault::Truncated,
        RequestFault::HttpError,
        RequestFault::BadSignature,
        RequestFault::Unclear,
    ];
    for (kind, parts) in kinds.into_iter().zip(faults.exclusive()) {
        if left < u64::from(parts) {
            return kind;
        }
        left -= u64::from(parts);
    }
    RequestFault::None
}

/// The plan for the notice of one order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct NoticePlan {
    pub missing: bool,
    /// Whether the true notice is late by the fault of that name.
    pub delayed: bool,
    /// The time from the result to the true notice.
    pub delay: Duration,
    /// The times from the result to further copies of it.
    pub copies: Vec<Duration>,
    /// The time from the result to a well-signed notice that says the opposite.
    pub contradiction: Option<Duration>,
    /// The time from the result to a badly signed notice that says the opposite.
    pub forgery: Option<Duration>,
}

impl NoticePlan {
    pub fn draw(faults: &Faults, seed: u64, order_no: &str) -> Self {
        let mut chance = Chance::of(seed, "notice", order_no, 0);
        if chance.hits(faults.notice_missing) {
            return Self { missing: true, ..Self::default() };
        }
        let span = faults.notice_delay_for;
        let mut plan = Self::default();
        if chance.hits(faults.notice_delayed) {
            plan.delayed = true;
            plan.delay = chance.between(span);
        }
        if chance.hits(faults.notice_repeated) {
            let copies = 1 + chance.below(3);
            plan.copies = (0..copies).map(|_| plan.delay + chance.between(span)).collect();
        }
        if chance.hits(faults.notice_contradicting) {
            // If the contradiction comes first, the true notice follows it.
            if chance.below(2) == 0 {
                plan.contradiction = Some(plan.delay);
                plan.delay += chance.between(span) + Duration::from_millis(1);
            } else {
                plan.contradiction =
                    Some(plan.delay + chance.between(span) + Duration::from_millis(1));
            }
        }
        if chance.hits(faults.notice_forged) {
            plan.forgery = Some(chance.between(DurationRange { least: Duration::ZERO, ..span }));
        }
        plan
    }
}

closed_set! {
    /// An event that is counted: a fault, or one of a few others.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
    pub enum SimulatorEvent {
        /// Every request that could be read and was addressed to this channel.
        Request => "requests",
        /// A request that was refused as malformed, badly signed or not for this merchant.
        RequestRefused => "requests_refused",
        DroppedBefore => "dropped_before",
        ReplyLostByClose => "reply_lost_by_close",
        ReplyLostByReset => "reply_lost_by_reset",
        ReplyLostByHang => "reply_lost_by_hang",
        Garbage => "garbage",
        Truncated => "truncated",
        HttpError => "http_error",
        BadSignature => "bad_signature",
        Unclear => "unclear",
        Delayed => "delayed",
        /// A reversal was carried out late, without an answer.
        ReversalLate => "reversals_late",
        /// Every post of a notice, retries and copies included.
        NoticePost => "notice_posts",
        /// Notices that were not acknowledged within the retries.
        NoticeGivenUp => "notice_given_up",
        NoticeMissing => "notice_missing",
        NoticeDelayed => "notice_delayed",
        NoticeRepeated => "notice_repeated",
        NoticeContradicting => "notice_contradicting",
        NoticeForged => "notice_forged",
    }
}

/// The count of each event.
#[derive(Default)]
pub(super) struct Counters([AtomicU64; SimulatorEvent::ALL.len()]);

impl Counters {
    pub fn add(&self, happening: SimulatorEvent) {
        self.add_many(happening, 1);
    }

    pub fn add_many(&self, happening: SimulatorEvent, times: u64) {
        self.0[happening as usize].fetch_add(times, Ordering::Relaxed);
    }

    pub fn snapshot(&self) -> BTreeMap<SimulatorEvent, u64> {
        let read = |happening: SimulatorEvent| self.0[happening as usize].load(Ordering::Relaxed);
        SimulatorEvent::ALL.into_iter().map(|happening| (happening, read(happening))).collect()
    }
}

const SHARDS: usize = 16;

/// The number of requests for each order and operation, so that every retry is its own draw.
#[derive(Default)]
pub(super) struct Repeats {
    shards: [Mutex<HashMap<u64, u32>>; SHARDS],
}

impl Repeats {
    /// Draws the plan for the next request of `operation` for `order_no`.
    pub fn plan(&self, faults: &Faults, seed: u64, operation: &str, order_no: &str) -> RequestPlan {
        if faults.spares_requests() {
            return RequestPlan::PLAIN;
        }
        let name = hash(seed, operation, order_no);
        let mut shard = self.shards[(name % SHARDS as u64) as usize]
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let times = shard.entry(name).or_insert(0);
        let nth = *times;
        *times = times.saturating_add(1);
        drop(shard);
        let mut chance = Chance::of(seed, operation, order_no, nth);
        RequestPlan::draw(faults, operation, &mut chance)
    }

    /// How many plans were drawn for `operation` of `order_no`; calm times draw none.
    pub fn times(&self, seed: u64, operation: &str, order_no: &str) -> u32 {
        let name = hash(seed, operation, order_no);
        let shard = &self.shards[(name % SHARDS as u64) as usize];
        let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        shard.get(&name).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plans(seed: u64) -> Vec<RequestPlan> {
        let repeats = Repeats::default();
        let faults = Faults::hostile();
        let order = |index: u32| format!("order{}", index % 500);
        (0..2_000).map(|index| repeats.plan(&faults, seed, "charge", &order(index))).collect()
    }

    #[test]
    fn one_seed_plans_one_run_and_a_retry_is_a_new_draw() {
        assert_eq!(plans(1), plans(1));
        assert_ne!(plans(1), plans(2));
        let drawn = plans(1);
        assert_ne!(drawn[..500], drawn[500..1_000]);
    }

    #[test]
    fn the_presets_are_possible_and_as_bad_as_they_say() {
        for name in ["calm", "lossy", "hostile"] {
            let faults = Faults::preset(name).expect("a preset");
            assert_eq!(faults.check(), Ok(()), "{name}");
        }
        assert_eq!(Faults::preset("kind"), None);
        let faulty = plans(1).iter().filter(|plan| plan.fault != RequestFault::None).count();
        assert!((540..740).contains(&faulty), "{faulty} of 2000");
        let lost = Faults { lose_reply: 9_000, drop_before: 2_000, ..Faults::calm() };
        assert!(lost.check().is_err_and(|text| text.contains("11000")));
        assert!(Faults { delay: 10_001, ..Faults::calm() }.check().is_err());
    }

    #[test]
    fn a_contradiction_leaves_before_or_after_the_true_notice() {
        let faults = Faults { notice_contradicting: 10_000, ..Faults::calm() };
        let mut before = 0;
        for index in 0..200 {
            let plan = NoticePlan::draw(&faults, 5, &index.to_string());
            let contradiction = plan.contradiction.expect("always one");
            assert_ne!(contradiction, plan.delay);
            before += usize::from(contradiction < plan.delay);
        }
        assert!((60..140).contains(&before), "{before} of 200 came before");
        assert_eq!(NoticePlan::draw(&Faults::calm(), 5, "1"), NoticePlan::default());
    }

    #[test]
    fn counters_are_in_the_order_of_their_list() {
        let counters = Counters::default();
        for (place, happening) in SimulatorEvent::ALL.into_iter().enumerate() {
            assert_eq!(happening as usize, place);
            counters.add_many(happening, place as u64);
        }
        assert_eq!(counters.snapshot()[&SimulatorEvent::Unclear], SimulatorEvent::Unclear as u64);
    }
}
