//! What-if: the orders of a time that has passed, planned again under other rules and channels.
//!
//! Two sides plan every order: what is in force, and the candidate. Both see the same reconstructed
//! moment, so that what differs between them is the work of the change alone. Reconstructed are the
//! hours, fees and maintenance windows of the order's own time, each side's use of the daily limits
//! by what it would have sent itself, and the success rates by what the channels answered.
//! The pace, the breakers and the operators' switches of that time are not kept anywhere: every
//! channel is taken to have been switched on and well.
//!
//! What an order would have come to at a channel that never saw it is an expectation
//! ([`Expectation`]), and it is told apart from what is known. Pure, like the plan itself.

mod experience;
pub mod moves;

use std::collections::BTreeMap;

use crate::domain::attempt::{AttemptState, Operation, VolumeKind};
use crate::domain::card::CardFacts;
use crate::domain::ids::ChannelId;
use crate::domain::instrument::InstrumentFacts;
use crate::domain::money::Currency;
use crate::domain::order::{Order, OrderKind, OrderStatus};
use crate::domain::route::channel::{Channel, ChannelHealth, ChannelProfile};
use crate::domain::route::condition::{CardPrefix, Condition};
use crate::domain::route::health::{HealthMark, SuccessRate};
use crate::domain::route::rates::{FoundRate, RateTable, Sample, Situation};
use crate::domain::route::{CardTraits, RouteAsk, RouteSubject, Rule, plan};
use crate::domain::terms::RateTerms;
use crate::domain::time::BusinessDate;

use experience::Experience;
pub use experience::{Expectation, SAMPLES_MIN};

/// Rules and channels that orders are planned under.
#[derive(Debug, Clone, PartialEq)]
pub struct RouteSet {
    pub rules: Vec<Rule>,
    /// By id, each once.
    pub profiles: Vec<ChannelProfile>,
    /// How success rates are kept; those of what is in force hold for both sides of a replay.
    pub rates: RateTerms,
}

/// What a channel had shown by the moment of an order.
struct Shown {
    health: SuccessRate,
    rates: RateTable,
}

/// What one side would have done with one channel and currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ChannelShare {
    /// The orders whose plan begins with the channel.
    pub orders: u64,
    /// Their sum, in minor units.
    pub amount_minor: i64,
    /// The channel's fees for those of them that succeeded, in minor units, by the side's schedule.
    /// An order that moves is taken to end as it did.
    pub fee_minor: i64,
}

/// What one side would have done.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SideReport {
    pub shares: BTreeMap<(ChannelId, Currency), ChannelShare>,
    /// How often a channel of the deciding rule was struck, by the strike's stable word.
    pub struck: BTreeMap<(ChannelId, &'static str), u64>,
    /// The orders that no channel takes.
    pub without_route: u64,
    /// Approvals among the orders that have a route.
    pub approvals: Expectation,
}

/// Orders that go elsewhere: from and to (`None`: no channel takes them), and the currency.
pub type Move = (Option<ChannelId>, Option<ChannelId>, Currency);

/// How many orders move, and their sum in minor units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Moved {
    pub orders: u64,
    pub amount_minor: i64,
}

/// What a change would have made of the orders of a time.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ReplayReport {
    /// The orders that were planned: those with a route of their own.
    pub orders: u64,
    /// Orders of which a rule asks more leading digits of the card than are kept (I-11). They are
    /// planned as if that condition did not hold.
    pub undecided: u64,
    pub in_force: SideReport,
    pub candidate: SideReport,
    pub moves: BTreeMap<Move, Moved>,
}

impl ReplayReport {
    /// The orders whose first channel changes.
    pub fn moved(&self) -> u64 {
        self.moves.values().map(|moved| moved.orders).sum()
    }
}

/// The day's volumes of one channel, as one side has filled them.
#[derive(Debug, Clone, Copy, Default)]
struct DayUse {
    date: Option<BusinessDate>,
    used_minor: [i64; VolumeKind::ALL.len()],
}

/// One side on its way through the orders.
struct PlanningSide<'s> {
    set: &'s RouteSet,
    days: Vec<DayUse>,
    report: SideReport,
    /// The orders that this side sends where they never were.
    sent_elsewhere: BTreeMap<(ChannelId, Situation), u64>,
}

/// Takes the orders of a time, oldest first, and sums up what a change would have made of them.
pub struct Replay<'s> {
    in_force: PlanningSide<'s>,
    candidate: PlanningSide<'s>,
    shown: BTreeMap<ChannelId, Shown>,
    experience: Experience,
    report: ReplayReport,
}

impl<'s> Replay<'s> {
    pub fn new(in_force: &'s RouteSet, candidate: &'s RouteSet) -> Self {
        Self {
            in_force: PlanningSide::new(in_force),
            candidate: PlanningSide::new(candidate),
            shown: BTreeMap::new(),
            experience: Experience::default(),
            report: ReplayReport::default(),
        }
    }

    /// Whether an order is planned: it has a route of its own, and what routing asked of its
    /// instrument is kept.
    pub fn is_planned(order: &Order) -> bool {
        subject_of(order).is_some()
    }

    /// Plans one order anew on both sides. `draw` is any number, for weighted rules: the same one
    /// serves both, so that chance alone moves no order. Orders that are not planned
    /// ([`Self::is_planned`]) are passed over.
    pub fn take(&mut self, order: &Order, draw: u64) {
        let Some(subject) = subject_of(order) else { return };
        let asked = &order.instruction;
        self.report.orders += 1;
        // Of an agreement's card no more was known then; a code or an account has no digits of one.
        let by_card = matches!(asked.instrument, Some(InstrumentFacts::Card(_)));
        let sides = [&self.in_force, &self.candidate];
        if by_card && sides.iter().any(|side| side.asks_more_digits(&subject)) {
            self.report.undecided += 1;
        }
        let before = self.in_force.plan(order, &subject, draw, &self.shown);
        let after = self.candidate.plan(order, &subject, draw, &self.shown);
        if before != after {
            let moved = self.report.moves.entry((before, after, asked.currency)).or_default();
            moved.orders += 1;
            moved.amount_minor = moved.amount_minor.saturating_add(asked.amount.get());
        }
        self.learn(order, &subject);
    }

    /// The report, with what is to be expected of the orders that a side sends elsewhere.
    pub fn finish(self) -> ReplayReport {
        let experience = &self.experience;
        ReplayReport {
            in_force: self.in_force.finish(experience),
            candidate: self.candidate.finish(experience),
            ..self.report
        }
    }

    /// What the channels that the order really went to have shown.
    fn learn(&mut self, order: &Order, subject: &RouteSubject<'_>) {
        let Some(situation) = Situation::of(subject) else { return };
        for attempt in &order.attempts {
            let at = attempt.ended_at.unwrap_or(attempt.sent_at);
            let shown = match self.shown.get_mut(&attempt.channel) {
                Some(shown) => shown,
                None => {
                    let rates = RateTable::new(self.in_force.set.rates);
                    let new = Shown { health: SuccessRate::initial(at), rates };
                    self.shown.entry(attempt.channel.clone()).or_insert(new)
                }
            };
            shown.health = shown.health.after(HealthMark::of_attempt(attempt), at);
            if let Some(sample) = Sample::of(attempt) {
                shown.rates.count(situation, sample, subject.now);
            }
            let approved = match attempt.state {
                AttemptState::Approved => true,
                AttemptState::Declined | AttemptState::Reversed => false,
                AttemptState::Sending
                | AttemptState::NotSent
                | AttemptState::Pending
                | AttemptState::Unknown => continue,
            };
            self.experience.learn(&attempt.channel, situation, approved);
        }
    }
}

impl<'s> PlanningSide<'s> {
    fn new(set: &'s RouteSet) -> Self {
        Self {
            set,
            days: vec![DayUse::default(); set.profiles.len()],
            report: SideReport::default(),
            sent_elsewhere: BTreeMap::new(),
        }
    }

    fn asks_more_digits(&self, subject: &RouteSubject<'_>) -> bool {
        let conditions = self.set.rules.iter().flat_map(|rule| &rule.conditions);
        conditions.into_iter().any(|condition| match condition {
            Condition::BinPrefixes(wanted) => {
                wanted.iter().any(|wanted| wanted.is_longer_than(&subject.prefix))
            }
            _ => false,
        })
    }

    /// Plans the order, counts it, and gives the channel that it would have gone to first.
    fn plan(
        &mut self,
        order: &Order,
        subject: &RouteSubject<'_>,
        draw: u64,
        shown: &BTreeMap<ChannelId, Shown>,
    ) -> Option<ChannelId> {
        let set = self.set;
        let seen = |(place, profile)| self.seen(place, profile, subject, shown);
        let channels: Vec<Channel<'s>> = set.profiles.iter().enumerate().map(seen).collect();
        let plan = plan(&set.rules, &channels, subject, draw);
        for struck in &plan.struck {
            let key = (struck.channel.clone(), struck.strike.name());
            *self.report.struck.entry(key).or_default() += 1;
        }
        let Some(first) = plan.kept.first().map(|kept| kept.channel) else {
            self.report.without_route += 1;
            return None;
        };
        self.count(order, subject, first);
        Some(first.id.clone())
    }

    /// The channel at the moment of the order, as far as this side has filled its day.
    fn seen(
        &self,
        place: usize,
        profile: &'s ChannelProfile,
        subject: &RouteSubject<'_>,
        shown: &BTreeMap<ChannelId, Shown>,
    ) -> Channel<'s> {
        let (now, shown) = (subject.now, shown.get(&profile.id));
        let found = shown.zip(Situation::of(subject));
        let found = found.and_then(|(shown, situation)| shown.rates.find(situation, now));
        let health = shown.map_or(SuccessRate::initial(now), |shown| shown.health);
        let has_limit = VolumeKind::ALL.iter().any(|kind| profile.limit_of_day(*kind).is_some());
        let day = self.days.get(place).filter(|_| has_limit);
        let today = day.filter(|day| day.date == Some(profile.calendar.date_of(now)));
        let health = ChannelHealth {
            breaker_open: false,
            success_rate: found.unwrap_or_else(|| FoundRate::of_health(health.ppm(now))),
            rate_left: true,
            used_today_minor: today.map(|day| day.used_minor).unwrap_or_default(),
        };
        Channel { profile, health }
    }

    fn count(&mut self, order: &Order, subject: &RouteSubject<'_>, channel: &ChannelProfile) {
        let asked = &order.instruction;
        let amount_minor = asked.amount.get();
        let date = channel.calendar.date_of(subject.now);
        let succeeded = order.status == OrderStatus::Succeeded;
        let share = self.report.shares.entry((channel.id.clone(), asked.currency)).or_default();
        share.orders += 1;
        share.amount_minor = share.amount_minor.saturating_add(amount_minor);
        // A pre-authorisation is charged for when it is captured, by its captured amount.
        if succeeded && asked.kind != OrderKind::Preauth {
            let fee = channel.fee_of(subject).map_or(0, |fee| fee.minor);
            share.fee_minor = share.fee_minor.saturating_add(fee);
        }
        let ended_without_money =
            matches!(order.status, OrderStatus::Failed | OrderStatus::Reversed);
        let kind = asked.kind.operation().and_then(VolumeKind::of);
        if let Some(kind) = kind.filter(|_| !ended_without_money) {
            self.fill_day(&channel.id, date, kind, amount_minor);
        }
        self.expect(order, subject, &channel.id);
    }

    fn fill_day(&mut self, id: &ChannelId, date: BusinessDate, kind: VolumeKind, amount: i64) {
        let place = self.set.profiles.iter().position(|profile| profile.id == *id);
        let Some(day) = place.and_then(|place| self.days.get_mut(place)) else { return };
        if day.date != Some(date) {
            *day = DayUse { date: Some(date), ..DayUse::default() };
        }
        let used = &mut day.used_minor[kind as usize];
        *used = used.saturating_add(amount);
    }

    /// Where the channel has seen the order, what became of it there is known.
    fn expect(&mut self, order: &Order, subject: &RouteSubject<'_>, id: &ChannelId) {
        let known = order.attempts.iter().rev().find(|attempt| attempt.channel == *id);
        match known.map(|attempt| attempt.state) {
            Some(AttemptState::Approved) => self.report.approvals.known += 1,
            Some(AttemptState::Declined | AttemptState::Reversed) => {}
            Some(AttemptState::Pending | AttemptState::Unknown | AttemptState::Sending) => {
                self.report.approvals.open += 1;
            }
            Some(AttemptState::NotSent) | None => {
                if let Some(situation) = Situation::of(subject) {
                    *self.sent_elsewhere.entry((id.clone(), situation)).or_default() += 1;
                }
            }
        }
    }

    fn finish(self, experience: &Experience) -> SideReport {
        let approvals = experience.expect(self.report.approvals, &self.sent_elsewhere);
        SideReport { approvals, ..self.report }
    }
}

/// An order as routing saw it, from what is kept of it; `None` where it was not routed, or its
/// instrument is not kept.
fn subject_of(order: &Order) -> Option<RouteSubject<'_>> {
    let asked = &order.instruction;
    if !asked.kind.operation().is_some_and(Operation::begins_with_card) {
        return None;
    }
    let unseen = RouteSubject {
        ask: RouteAsk::Order(asked),
        prefix: CardPrefix::default(),
        card: None,
        bound_to: None,
        now: order.created_at,
    };
    let traits = asked.card().and_then(|card| {
        let masked = card.masked.as_str().as_bytes();
        CardTraits::of(card.row.as_deref(), masked)
    });
    Some(match asked.instrument.as_ref()? {
        InstrumentFacts::Card(card) => {
            RouteSubject { prefix: kept_prefix(card), card: traits, ..unseen }
        }
        InstrumentFacts::Agreement { card, .. } => RouteSubject {
            prefix: CardPrefix::leading(card.masked.as_str()),
            card: traits,
            bound_to: Some(channel_of_agreement(order)?),
            ..unseen
        },
        InstrumentFacts::Code(_) | InstrumentFacts::Account(_) => unseen,
    })
}

/// The channel of the agreement that an order was paid by: no other one can have had it, and the
/// plan has kept no other.
fn channel_of_agreement(order: &Order) -> Option<&ChannelId> {
    let asked = order.attempts.first().map(|attempt| &attempt.channel);
    let kept = order.route.as_ref().and_then(|route| route.kept.first());
    asked.or(kept)
}

/// The leading digits that an order keeps of its card: the first six, or its BIN where that is
/// longer.
fn kept_prefix(card: &CardFacts) -> CardPrefix {
    let masked = CardPrefix::leading(card.masked.as_str());
    let bin = card.row.as_deref().map(|row| CardPrefix::leading(row.bin.as_str()));
    bin.filter(|bin| bin.is_longer_than(&masked)).unwrap_or(masked)
}
