//! How often a channel carries orders of a kind out: by issuer, card type, operation and amount.
//!
//! A channel's health ([`super::health`]) says whether it works. Its rates say how well the way
//! behind it, channel and issuer together, serves orders of a kind, for a rule that ranks by
//! `success_rate`. They are learnt from attempts of orders that are routed; follow-ups have no
//! choice of channel. [`Sample::of`] says which of them speak.
//!
//! A sample loses half of its weight in each half-life, and a cell speaks only while its samples
//! weigh as much as the floor: under it the next wider cell speaks, and at last the channel's
//! health, which a channel begins with. So one that is avoided for its rate is tried again when
//! what it has shown is out of date.
//!
//! Pure values: whoever holds a table says when something was learnt and what time it is. The
//! weights do not depend on the order in which samples are told, so that the books of earlier
//! processes give the same rates as their lives did.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use crate::domain::attempt::{Attempt, AttemptState, Operation};
use crate::domain::bin::CardType;
use crate::domain::closed_set;
use crate::domain::closed_set::StoredNumber as _;
use crate::domain::order::{Instruction, Order};
use crate::domain::outcome::Reason;
use crate::domain::route::condition::INSTITUTION_DIGITS;
use crate::domain::route::health::{HealthMark, SUCCESS_RATE_PPM_WHOLE};
use crate::domain::route::{CardTraits, RouteAsk, RouteSubject};
use crate::domain::terms::RateTerms;
use crate::domain::time::Timestamp;

/// From each of these amounts on, in minor units of whatever currency, orders are a band of their
/// own.
const BANDS_FROM_MINOR: [i64; 4] = [10_000, 100_000, 500_000, 2_000_000];

/// The most cells of one channel, some 80 bytes each.
pub const CELLS_MAX: usize = 4_096;
/// A full table is looked through for what weighs nothing any more once in this part of a
/// half-life, so that a stream of rare situations costs nobody a search at each order.
const SWEEPS_IN_HALF_LIFE: u32 = 8;
/// Samples that weigh less together are forgotten, as a lone one is after a half-life.
const KEPT_FROM: f64 = 0.5;

/// The circumstances that an order's success depends on, or a group of them: the facts that are
/// `None` are not told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Situation {
    pub operation: Operation,
    /// The institution: the first digits of the issuer's code, which name it in all regions.
    issuer: Option<[u8; INSTITUTION_DIGITS]>,
    pub card_type: Option<CardType>,
    band: Option<u8>,
}

closed_set! {
    /// What a rate is drawn from, narrowest first.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
    pub enum RateScope {
        /// Orders of the same issuer, card type, operation and amount band.
        Situation => "situation",
        /// Orders of the same issuer, card type and operation.
        CardType => "card_type",
        /// Orders of the same issuer and operation.
        Issuer => "issuer",
        /// All orders of the operation.
        Operation => "operation",
        /// No orders of the kind, or too few: the channel's health.
        Health => "health",
    }
}

impl RateScope {
    /// The orders that it is drawn from, for people.
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::Situation => "orders of its issuer, card type, operation and amount band",
            Self::CardType => "orders of its issuer, card type and operation",
            Self::Issuer => "orders of its issuer and operation",
            Self::Operation => "orders of its operation",
            Self::Health => "the channel's health, for too few orders of the kind were seen",
        }
    }
}

impl Situation {
    /// The situation of an order that asks for a route; `None` of a service, and of what is not
    /// routed.
    pub fn of(subject: &RouteSubject<'_>) -> Option<Self> {
        match subject.ask {
            RouteAsk::Order(order) | RouteAsk::Code(order) => Self::of_asked(order, subject.card),
            RouteAsk::Service { .. } => None,
        }
    }

    /// The situation that an order was in, from what is kept of it.
    pub fn of_order(order: &Order) -> Option<Self> {
        let asked = &order.instruction;
        let card = asked
            .card()
            .and_then(|card| CardTraits::of(card.row.as_deref(), card.masked.as_str().as_bytes()));
        Self::of_asked(asked, card)
    }

    fn of_asked(asked: &Instruction, card: Option<CardTraits<'_>>) -> Option<Self> {
        let operation = asked.kind.operation().filter(|one| one.begins_with_card())?;
        let issuer = card.and_then(|card| card.issuer);
        let below = BANDS_FROM_MINOR.iter().take_while(|from| asked.amount.get() >= **from);
        Some(Self {
            operation,
            issuer: issuer.and_then(|issuer| issuer.code.as_bytes().first_chunk().copied()),
            card_type: card.and_then(|card| card.card_type),
            band: u8::try_from(below.count()).ok(),
        })
    }

    /// This one and the wider groups that it belongs to, narrowest first, each once.
    pub fn widening(self) -> impl DoubleEndedIterator<Item = (RateScope, Self)> {
        let any_amount = Self { band: None, ..self };
        let any_type = Self { card_type: None, ..any_amount };
        let any_card = Self { issuer: None, ..any_type };
        let (has_issuer, has_type) = (self.issuer.is_some(), self.card_type.is_some());
        let groups = [
            self.band.is_some().then_some((RateScope::Situation, self)),
            (has_issuer && has_type).then_some((RateScope::CardType, any_amount)),
            has_issuer.then_some((RateScope::Issuer, any_type)),
            Some((RateScope::Operation, any_card)),
        ];
        groups.into_iter().flatten()
    }

    /// What such a group is drawn from.
    const fn scope(self) -> RateScope {
        match (self.band, self.card_type, self.issuer) {
            (Some(_), _, _) => RateScope::Situation,
            (None, Some(_), _) => RateScope::CardType,
            (None, None, Some(_)) => RateScope::Issuer,
            (None, None, None) => RateScope::Operation,
        }
    }

    /// One number for all facts, each in a place of its own: a plan looks dozens of situations up,
    /// and numbers compare fastest.
    fn key(self) -> u64 {
        let [a, b, c, d] = self.issuer.unwrap_or_default();
        let card_type = self.card_type.map_or(0, CardType::number);
        let band = self.band.map_or(0, |band| band.saturating_add(1));
        u64::from_be_bytes([self.operation.number(), card_type, band, 0, a, b, c, d])
    }

    /// The first four digits of the issuer's code.
    pub fn issuer(&self) -> Option<&str> {
        self.issuer.as_ref().and_then(|digits| std::str::from_utf8(digits).ok())
    }

    /// The band of its amounts: from, and below, in minor units; the last has no end.
    pub fn amounts(&self) -> Option<(i64, Option<i64>)> {
        let place = usize::from(self.band?);
        let from = place.checked_sub(1).and_then(|before| BANDS_FROM_MINOR.get(before));
        Some((from.copied().unwrap_or(0), BANDS_FROM_MINOR.get(place).copied()))
    }
}

/// What an attempt says of its channel's way with orders of its kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    pub is_success: bool,
    /// When that became known.
    pub at: Timestamp,
}

impl Sample {
    /// A success is an approval. A failure is a refusal that another way might not have had
    /// ([`Reason::blames_way`]), and a result that the channel left unknown by its own fault,
    /// whatever it came to later: the payer waited. An empty account or a wrong CVV would have been
    /// refused everywhere, and says nothing; nor does what was never sent, is open still, or a
    /// person has decided. Once there is a sample, it stays what it is.
    pub fn of(attempt: &Attempt) -> Option<Self> {
        let was_left_unknown = attempt.unknown_cause.map(HealthMark::of_unknown);
        if was_left_unknown == Some(HealthMark::Fault) {
            let at = attempt.unresolved_at.unwrap_or(attempt.sent_at);
            return Some(Self { is_success: false, at });
        }
        let is_success = match attempt.state {
            AttemptState::Approved => true,
            AttemptState::Declined if attempt.reason.is_some_and(Reason::blames_way) => false,
            AttemptState::Declined
            | AttemptState::NotSent
            | AttemptState::Reversed
            | AttemptState::Sending
            | AttemptState::Pending
            | AttemptState::Unknown => return None,
        };
        Some(Self { is_success, at: attempt.ended_at.unwrap_or(attempt.sent_at) })
    }
}

/// The rate that a channel is ranked by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FoundRate {
    /// Millionths, 0 to 1,000,000.
    pub ppm: u32,
    pub scope: RateScope,
    /// What the samples weigh now, rounded; 0 where the channel's health speaks.
    pub samples: u32,
}

impl FoundRate {
    /// The rate of a channel of which too few orders of the kind were seen.
    pub const fn of_health(ppm: u32) -> Self {
        Self { ppm, scope: RateScope::Health, samples: 0 }
    }
}

/// The samples of one group.
#[derive(Debug, Clone, Copy)]
struct RateCell {
    /// What all samples weighed at `since`, and the successes among them.
    all: f64,
    successes: f64,
    since: Timestamp,
    /// What a look-up needs, so that it computes nothing: the rate, and until when the samples
    /// weigh as much as the floor.
    ppm: u32,
    speaks_until: Option<Timestamp>,
}

impl RateCell {
    const fn empty(now: Timestamp) -> Self {
        Self { all: 0.0, successes: 0.0, since: now, ppm: 0, speaks_until: None }
    }

    /// What its samples weigh. A clock that was ahead has counted them before now, whatever it
    /// showed: they are as new as can be.
    fn weight(&self, terms: RateTerms, now: Timestamp) -> f64 {
        self.all * terms.left_after(now.since(self.since))
    }

    fn add(&mut self, terms: RateTerms, is_success: bool, weight: f64, now: Timestamp) {
        let left = terms.left_after(now.since(self.since));
        self.all = self.all.mul_add(left, weight);
        self.successes = self.successes.mul_add(left, if is_success { weight } else { 0.0 });
        self.since = now;
        let whole = f64::from(SUCCESS_RATE_PPM_WHOLE);
        // What has no weight left is 0 / 0, and the cast makes 0 of it; it does not speak.
        self.ppm = ((self.successes / self.all * whole).round() as u32).min(SUCCESS_RATE_PPM_WHOLE);
        let above_floor = self.all / f64::from(terms.samples_min);
        self.speaks_until = (above_floor >= 1.0)
            .then(|| now.plus(terms.half_life.mul_f64(above_floor.log2().min(HALF_LIVES_MAX))));
    }
}

/// A bound for arithmetic: 2^64 samples are more than there ever are.
const HALF_LIVES_MAX: f64 = 64.0;

/// A cell as people see it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RateRow {
    pub scope: RateScope,
    pub situation: Situation,
    pub ppm: u32,
    /// What its samples weigh now.
    pub weight: f64,
    /// Whether that is enough for a plan.
    pub speaks: bool,
}

/// The rates of one channel.
#[derive(Debug, Clone)]
pub struct RateTable {
    terms: RateTerms,
    /// By [`Situation::key`].
    cells: BTreeMap<u64, (Situation, RateCell)>,
    /// When a full table may be looked through again.
    next_sweep: Option<Timestamp>,
}

impl RateTable {
    pub fn new(terms: RateTerms) -> Self {
        Self { terms, cells: BTreeMap::new(), next_sweep: None }
    }

    pub const fn terms(&self) -> RateTerms {
        self.terms
    }

    /// Counts a sample in its cell and the wider ones, by the weight that its age leaves it. The
    /// widest comes first: where the table is full, the narrow ones are left out.
    pub fn count(&mut self, situation: Situation, sample: Sample, now: Timestamp) {
        let terms = self.terms;
        let weight = terms.left_after(now.since(sample.at));
        for (_, group) in situation.widening().rev() {
            if self.cells.len() >= CELLS_MAX && !self.cells.contains_key(&group.key()) {
                self.sweep(now);
            }
            let has_room = self.cells.len() < CELLS_MAX;
            let (_, cell) = match self.cells.entry(group.key()) {
                Entry::Occupied(found) => found.into_mut(),
                Entry::Vacant(place) if has_room => place.insert((group, RateCell::empty(now))),
                Entry::Vacant(_) => continue,
            };
            cell.add(terms, sample.is_success, weight, now);
        }
    }

    /// Forgets what weighs nothing any more.
    fn sweep(&mut self, now: Timestamp) {
        let pause = self.terms.half_life / SWEEPS_IN_HALF_LIFE;
        // A moment further ahead was read off a clock that has been set back since.
        let waits = |next: Timestamp| now < next && next <= now.plus(pause);
        if self.next_sweep.is_some_and(waits) {
            return;
        }
        let terms = self.terms;
        self.cells.retain(|_, (_, cell)| cell.weight(terms, now) >= KEPT_FROM);
        self.next_sweep = Some(now.plus(pause));
    }

    /// The rate of the narrowest cell whose samples weigh enough; `None` if there is none.
    pub fn find(&self, situation: Situation, now: Timestamp) -> Option<FoundRate> {
        situation.widening().find_map(|(scope, group)| {
            let (_, cell) = self.cells.get(&group.key())?;
            (now <= cell.speaks_until?).then(|| FoundRate {
                ppm: cell.ppm,
                scope,
                samples: cell.weight(self.terms, now).round() as u32,
            })
        })
    }

    /// Every cell that weighs anything, the heaviest first; equals come in the order of their
    /// facts.
    pub fn rows(&self, now: Timestamp) -> Vec<RateRow> {
        let row = |(situation, cell): &(Situation, RateCell)| RateRow {
            scope: situation.scope(),
            situation: *situation,
            ppm: cell.ppm,
            weight: cell.weight(self.terms, now),
            speaks: cell.speaks_until.is_some_and(|until| now <= until),
        };
        let mut rows: Vec<RateRow> = self.cells.values().map(row).collect();
        rows.retain(|row| row.weight >= KEPT_FROM);
        rows.sort_by(|left, right| right.weight.total_cmp(&left.weight));
        rows
    }
}
