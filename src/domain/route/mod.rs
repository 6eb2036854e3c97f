//! Which channels an order is offered to, in which order, and why the others are not.
//!
//! Rules are tried in the order of their file; the first one that fits the order decides. Of its
//! channels, those that cannot take the order are struck with a reason each, and the rule's
//! strategy ranks the rest. Pure: rules, channels, their health and the draw are values, so the
//! same arguments give the same plan. This module must not know where health comes from, nor hold a
//! state.
//!
//! Upholds its part of I-4: a plan only ranks channels, and never holds one twice. Trying the next
//! one is for `flow` to decide.

pub mod channel;
pub mod condition;
pub mod explain;
pub mod health;
pub mod hours;
pub mod maintenance;
pub mod rates;
pub mod replay;

use std::cmp::Reverse;

use crate::domain::attempt::Operation;
use crate::domain::bin::{BinRow, Brand, CardBrands, CardType};
use crate::domain::card_service::CardService;
use crate::domain::closed_set;
use crate::domain::fee::NO_FEE_RULE;
use crate::domain::ids::{ChannelId, MerchantId};
use crate::domain::instrument::{InstrumentFacts, InstrumentKind};
use crate::domain::order::{Candidate, Instruction, OrderKind};
use crate::domain::time::Timestamp;
use channel::{Channel, ChannelProfile, Strike};
use condition::{CardPrefix, Condition};

/// The largest weight of a channel in a rule: shares finer than a millionth are not meant.
pub const WEIGHT_MAX: u32 = 1_000_000;

/// Ranks a channel behind all whose fee is known: a gap in a schedule is not a cheap channel.
const FEE_NOT_KNOWN: i64 = i64::MAX;

/// The name of the rule that holds where there is no routes file.
pub const DEFAULT_RULE_NAME: &str = "default";

/// The BIN table's facts about a card that rules and channels ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CardTraits<'a> {
    /// `None` where only the brand is known.
    pub issuer: Option<IssuerTraits<'a>>,
    /// `None` where only the brand is known.
    pub card_type: Option<CardType>,
    pub brands: CardBrands,
}

/// The bank behind a card.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IssuerTraits<'a> {
    /// UnionPay institution code, 8 digits.
    pub code: &'a str,
    /// Of today, for people.
    pub name: &'a str,
}

impl<'a> CardTraits<'a> {
    /// The facts of a card with this row, or without any and with these leading digits.
    pub fn of(row: Option<&'a BinRow>, digits: &[u8]) -> Option<Self> {
        let Some(row) = row else {
            let brands = CardBrands::one(Brand::of_bare_range(digits)?);
            return Some(Self { issuer: None, card_type: None, brands });
        };
        let issuer = IssuerTraits { code: &row.issuer_code, name: &row.issuer_name };
        let card_type = Some(row.card_type);
        Some(Self { issuer: Some(issuer), card_type, brands: row.brands })
    }
}

/// What has a route of its own, by its name: what follows another order or an agreement goes to
/// that one's channel.
#[derive(Debug, Clone, Copy)]
pub enum RoutedName {
    Order(OrderKind),
    Service(CardService),
}

impl RoutedName {
    pub const ROUTED: [Self; 5] = [
        Self::Order(OrderKind::Payment),
        Self::Order(OrderKind::Preauth),
        Self::Order(OrderKind::Payout),
        Self::Service(CardService::Verification),
        Self::Service(CardService::AgreementCode),
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Order(kind) => kind.name(),
            Self::Service(service) => service.name(),
        }
    }

    pub fn parse(name: &str) -> Option<Self> {
        Self::ROUTED.into_iter().find(|one| one.name() == name)
    }
}

/// What a channel is wanted for.
#[derive(Debug, Clone, Copy)]
pub enum RouteAsk<'a> {
    Order(&'a Instruction),
    /// The code of an order to come: it goes where the order would, to a channel that sends codes.
    Code(&'a Instruction),
    /// It has no money: no condition on money holds, and no limit of money is in its way.
    Service {
        service: CardService,
        merchant_id: &'a MerchantId,
    },
}

/// An order, or a service to a card, as routing sees it.
#[derive(Debug, Clone, Copy)]
pub struct RouteSubject<'a> {
    pub ask: RouteAsk<'a>,
    pub prefix: CardPrefix,
    /// `None` if nothing is known of the card.
    pub card: Option<CardTraits<'a>>,
    /// The channel of the agreement that the order names: no other one knows it.
    pub bound_to: Option<&'a ChannelId>,
    pub now: Timestamp,
}

impl<'a> RouteSubject<'a> {
    /// Whether it asks a channel for one of these operations or services.
    fn is_one_of(&self, operations: &[Operation], services: &[CardService]) -> bool {
        match self.ask {
            RouteAsk::Order(order) | RouteAsk::Code(order) => {
                order.kind.operation().is_some_and(|asked| operations.contains(&asked))
            }
            RouteAsk::Service { service, .. } => services.contains(&service),
        }
    }

    /// The service to a card that it asks for beside an operation.
    const fn wanted_service(&self) -> Option<CardService> {
        match self.ask {
            RouteAsk::Code(_) => Some(CardService::PaymentCode),
            RouteAsk::Order(_) | RouteAsk::Service { .. } => None,
        }
    }

    /// The order, where it is one.
    const fn order(&self) -> Option<&'a Instruction> {
        match self.ask {
            RouteAsk::Order(order) | RouteAsk::Code(order) => Some(order),
            RouteAsk::Service { .. } => None,
        }
    }

    /// What the money moves by. A service is about a card, and so is a question that names nothing.
    fn instrument(&self) -> InstrumentKind {
        let named = self.order().and_then(|order| order.instrument.as_ref());
        match (named.map(InstrumentFacts::kind), self.bound_to) {
            (Some(kind @ (InstrumentKind::Code | InstrumentKind::Account)), _) => kind,
            (Some(InstrumentKind::Card | InstrumentKind::Agreement) | None, Some(_)) => {
                InstrumentKind::Agreement
            }
            (Some(InstrumentKind::Card | InstrumentKind::Agreement) | None, None) => {
                InstrumentKind::Card
            }
        }
    }

    const fn merchant_id(&self) -> &'a MerchantId {
        match self.ask {
            RouteAsk::Order(order) | RouteAsk::Code(order) => &order.merchant_id,
            RouteAsk::Service { merchant_id, .. } => merchant_id,
        }
    }

    /// The operation's or the service's own word.
    const fn asked_name(&self) -> &'static str {
        match self.ask {
            RouteAsk::Order(order) | RouteAsk::Code(order) => order.kind.name(),
            RouteAsk::Service { service, .. } => service.name(),
        }
    }
}

closed_set! {
    /// How a rule ranks its channels. Equals keep the order in which the rule lists them.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum Strategy {
        /// As listed.
        Priority => "priority",
        /// By a draw: each channel comes first as often as its weight says.
        Weighted => "weighted",
        /// The smallest fee for this order first, by the channels' own schedules; last those whose
        /// schedule has no rule for it.
        LowestCost => "lowest_cost",
        /// The highest success rate of late for orders like this one first ([`rates`]).
        SuccessRate => "success_rate",
    }
}

/// Why channels do not make a target. `place` counts from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    #[error("names no channel")]
    Empty,
    #[error("names the same channel twice")]
    Repeated { place: usize },
    #[error("is not a weight from 1 to 1000000")]
    Weight { place: usize },
}

/// The channels of a rule and how they are ranked: never empty, none twice, every weight above 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteTarget {
    strategy: Strategy,
    channels: ChannelList,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum ChannelList {
    /// All channels, by id, as long as they are live.
    EveryLive,
    Named(Vec<Share>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Share {
    channel: ChannelId,
    weight: u32,
}

impl RouteTarget {
    /// Every live channel, by id; where the strategy is weighted, all weigh the same.
    pub const fn every_live(strategy: Strategy) -> Self {
        Self { strategy, channels: ChannelList::EveryLive }
    }

    /// The named channels; where the strategy is weighted, all weigh the same.
    pub fn named(strategy: Strategy, channels: Vec<ChannelId>) -> Result<Self, TargetError> {
        let shares = channels.into_iter().map(|channel| Share { channel, weight: 1 }).collect();
        Self::of_shares(strategy, shares)
    }

    /// The named channels with a weight each, 1 to [`WEIGHT_MAX`].
    pub fn weighted(channels: Vec<(ChannelId, u32)>) -> Result<Self, TargetError> {
        let share = |(channel, weight)| Share { channel, weight };
        Self::of_shares(Strategy::Weighted, channels.into_iter().map(share).collect())
    }

    fn of_shares(strategy: Strategy, shares: Vec<Share>) -> Result<Self, TargetError> {
        if shares.is_empty() {
            return Err(TargetError::Empty);
        }
        for (place, share) in shares.iter().enumerate() {
            if shares[..place].iter().any(|earlier| earlier.channel == share.channel) {
                return Err(TargetError::Repeated { place });
            }
            if !(1..=WEIGHT_MAX).contains(&share.weight) {
                return Err(TargetError::Weight { place });
            }
        }
        Ok(Self { strategy, channels: ChannelList::Named(shares) })
    }

    pub const fn strategy(&self) -> Strategy {
        self.strategy
    }

    /// The channels that it names, as listed; `None` if it takes every live one.
    pub fn named_channels(&self) -> Option<impl Iterator<Item = &ChannelId>> {
        match &self.channels {
            ChannelList::EveryLive => None,
            ChannelList::Named(shares) => Some(shares.iter().map(|share| &share.channel)),
        }
    }

    /// The same with their weights, which only the weighted strategy asks for.
    pub fn named_weights(&self) -> Option<impl Iterator<Item = (&ChannelId, u32)>> {
        match &self.channels {
            ChannelList::EveryLive => None,
            ChannelList::Named(shares) => {
                Some(shares.iter().map(|share| (&share.channel, share.weight)))
            }
        }
    }

    /// The listed channels, in order: the id, the channel if there is one, and the weight.
    fn listed<'a, 'c>(&'a self, channels: &'c [Channel<'a>]) -> Vec<ListedChannel<'a, 'c>> {
        let of_live = |channel: &'c Channel<'a>| ListedChannel {
            id: &channel.profile.id,
            found: Some(channel),
            weight: 1,
        };
        let of_share = |share: &'a Share| {
            let found = channels.binary_search_by(|channel| channel.profile.id.cmp(&share.channel));
            let found = found.ok().and_then(|place| channels.get(place));
            ListedChannel { id: &share.channel, found, weight: share.weight }
        };
        match &self.channels {
            ChannelList::EveryLive => channels.iter().map(of_live).collect(),
            ChannelList::Named(shares) => shares.iter().map(of_share).collect(),
        }
    }

    const fn by_name(&self) -> bool {
        matches!(self.channels, ChannelList::Named(_))
    }
}

/// One channel that a target lists.
#[derive(Clone, Copy)]
struct ListedChannel<'a, 'c> {
    id: &'a ChannelId,
    found: Option<&'c Channel<'a>>,
    weight: u32,
}

/// One rule of the routes file.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// Kept with the order and shown in explanations.
    pub name: String,
    /// All must hold; without one the rule fits every order. Cheap ones first.
    pub conditions: Vec<Condition>,
    pub target: RouteTarget,
    /// Whether the next fitting rule decides where no channel of this one is left.
    pub fall_through: bool,
}

impl Rule {
    /// The rule of an installation without a routes file: every live channel, the most successful
    /// first.
    pub fn default_rule() -> Self {
        Self {
            name: DEFAULT_RULE_NAME.to_owned(),
            conditions: Vec::new(),
            target: RouteTarget::every_live(Strategy::SuccessRate),
            fall_through: false,
        }
    }

    fn fits(&self, subject: &RouteSubject<'_>) -> bool {
        self.conditions.iter().all(|condition| condition.holds(subject))
    }

    /// Strikes the channels that cannot take the order, and ranks the others.
    fn choose<'a>(
        &'a self,
        channels: &[Channel<'a>],
        subject: &RouteSubject<'_>,
        draw: u64,
    ) -> RoutePlan<'a> {
        let listed = self.target.listed(channels);
        let by_name = self.target.by_name();
        let mut kept = Vec::with_capacity(listed.len());
        let mut struck = Vec::new();
        for entry in &listed {
            let Some(channel) = entry.found else {
                struck.push(CandidateStrike { channel: entry.id, strike: Strike::UnknownChannel });
                continue;
            };
            match channel.first_strike(subject, by_name) {
                Some(strike) => struck.push(CandidateStrike { channel: entry.id, strike }),
                None => {
                    let standing = self.target.strategy.standing(channel, entry.weight, subject);
                    kept.push(RankedChannel { channel: channel.profile, standing });
                }
            }
        }
        self.target.strategy.rank(&mut kept, draw);
        assert_eq!(kept.len() + struck.len(), listed.len(), "each listed channel has one verdict");
        RoutePlan { rule: Some(self), kept, struck }
    }
}

impl Strategy {
    /// The value by which it compares channels.
    fn standing(self, channel: &Channel<'_>, weight: u32, subject: &RouteSubject<'_>) -> i64 {
        match self {
            Self::Priority => 0,
            Self::Weighted => i64::from(weight),
            Self::LowestCost => {
                // What a service costs stands in no schedule: they come as listed.
                let Some(fee) = channel.profile.fee_of(subject) else { return FEE_NOT_KNOWN };
                if fee.rule == NO_FEE_RULE { FEE_NOT_KNOWN } else { fee.minor }
            }
            Self::SuccessRate => i64::from(channel.health.success_rate.ppm),
        }
    }

    fn rank(self, kept: &mut [RankedChannel<'_>], draw: u64) {
        match self {
            Self::Priority => {}
            Self::Weighted => rank_by_draw(kept, draw),
            Self::LowestCost => kept.sort_by_key(|candidate| candidate.standing),
            Self::SuccessRate => kept.sort_by_key(|candidate| Reverse(candidate.standing)),
        }
    }
}

/// Draws one channel after another, without putting back, each by its share of the rest.
///
/// One number serves all draws: it is read as digits of a mixed radix, whose bases are the totals
/// of the weights left. Where they use its 64 bits up, the channels left keep their order. A
/// struck channel's share falls to the others in proportion.
fn rank_by_draw(kept: &mut [RankedChannel<'_>], mut draw: u64) {
    let weight = |candidate: &RankedChannel<'_>| {
        u64::try_from(candidate.standing).expect("a weight is from 1 to 1,000,000")
    };
    let mut total: u64 = kept.iter().map(weight).sum();
    for place in 0..kept.len() {
        assert!(total > 0, "every weight is above 0");
        let mut at = draw % total;
        draw /= total;
        let left = &mut kept[place..];
        let is_drawn = |candidate: &RankedChannel<'_>| match at.checked_sub(weight(candidate)) {
            Some(rest) => {
                at = rest;
                false
            }
            None => true,
        };
        let drawn = left.iter().position(is_drawn).expect("the draw is below the total");
        total -= weight(&left[drawn]);
        left[..=drawn].rotate_right(1);
    }
}

/// A channel that can take the order.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RankedChannel<'a> {
    pub channel: &'a ChannelProfile,
    /// The value that the strategy compared: the fee in minor units (the largest number if no fee
    /// rule of the channel fits), the success rate in millionths, the weight; 0 for a priority.
    pub standing: i64,
}

/// A channel that the deciding rule lists and that cannot take the order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CandidateStrike<'a> {
    pub channel: &'a ChannelId,
    /// The first reason found; an explanation gives them all.
    pub strike: Strike,
}

/// Where an order goes.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RoutePlan<'a> {
    /// The rule that decided: the first that fitted, or the last one that was fallen through to.
    /// `None` if no rule fitted.
    pub rule: Option<&'a Rule>,
    /// Best first.
    pub kept: Vec<RankedChannel<'a>>,
    pub struck: Vec<CandidateStrike<'a>>,
}

impl RoutePlan<'_> {
    pub fn rule_name(&self) -> Option<&str> {
        self.rule.map(|rule| rule.name.as_str())
    }

    /// The part of the plan that the order keeps, so that later changes of the rules do not touch
    /// it.
    pub fn candidates(&self) -> Vec<Candidate> {
        let candidate = |kept: &RankedChannel<'_>| Candidate {
            channel: kept.channel.id.clone(),
            keeps_pan: kept.channel.keeps_pan,
        };
        self.kept.iter().map(candidate).collect()
    }
}

/// Plans one order.
///
/// `channels` are sorted by id and hold each once. `draw` is any number, drawn anew for each order;
/// only weighted rules use it.
pub fn plan<'a>(
    rules: &'a [Rule],
    channels: &[Channel<'a>],
    subject: &RouteSubject<'_>,
    draw: u64,
) -> RoutePlan<'a> {
    assert_by_id(channels);
    let mut plan = RoutePlan::default();
    for rule in rules.iter().filter(|rule| rule.fits(subject)) {
        plan = rule.choose(channels, subject, draw);
        if !(plan.kept.is_empty() && rule.fall_through) {
            break;
        }
    }
    plan
}

fn assert_by_id(channels: &[Channel<'_>]) {
    let ordered = channels.is_sorted_by(|left, right| left.profile.id < right.profile.id);
    assert!(ordered, "channels come by id, each once");
}

#[cfg(test)]
mod tests;
