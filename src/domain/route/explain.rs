//! A plan with every reason: the verdict of each rule and each channel on an order.
//!
//! For people and for tests of routes; it sends nothing and may allocate freely. It examines by the
//! same checks as `plan`, so the two cannot disagree.

use crate::domain::closed_set;
use crate::domain::ids::ChannelId;
use crate::domain::route::channel::{Channel, Strike};
use crate::domain::route::rates::{FoundRate, RateScope};
use crate::domain::route::{
    FEE_NOT_KNOWN, RoutePlan, RouteSubject, Rule, Strategy, assert_by_id, plan,
};

closed_set! {
    /// The verdict on a rule.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum RuleVerdict {
        /// Some of its conditions do not hold.
        DoesNotFit => "does_not_fit",
        /// The rule fits, has no channel left, and hands on to the next.
        FallsThrough => "falls_through",
        /// The rule decides, even where it has no channel left.
        Decides => "decides",
        /// The rule fits, but an earlier one has decided.
        NotReached => "not_reached",
    }
}

/// A condition that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// The stable word of the condition.
    pub condition: &'static str,
    /// Why, for people.
    pub sentence: String,
}

/// The verdict on a channel that a rule lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CandidateVerdict {
    /// `place` counts from 1; `standing` says what it was ranked by.
    Kept { place: usize, standing: String },
    /// Every reason, most lasting first.
    Struck(Vec<Strike>),
}

/// A channel that a rule lists, with its verdict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExplainedCandidate<'a> {
    pub channel: &'a ChannelId,
    pub verdict: CandidateVerdict,
    /// Where the rule ranks by it and the channel is kept: the rate, and what it was drawn from.
    pub rate: Option<FoundRate>,
}

/// A rule with its verdict.
#[derive(Debug, Clone, PartialEq)]
pub struct ExplainedRule<'a> {
    pub rule: &'a Rule,
    pub verdict: RuleVerdict,
    /// Empty if it fits.
    pub mismatches: Vec<Mismatch>,
    /// In the rule's order; examined even where the rule does not fit or is not reached.
    pub candidates: Vec<ExplainedCandidate<'a>>,
}

/// The plan of an order, and what every rule said about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Explanation<'a> {
    pub rules: Vec<ExplainedRule<'a>>,
    pub plan: RoutePlan<'a>,
}

/// Explains what [`plan`] gives for the same arguments.
pub fn explain<'a>(
    rules: &'a [Rule],
    channels: &[Channel<'a>],
    subject: &RouteSubject<'_>,
    draw: u64,
) -> Explanation<'a> {
    assert_by_id(channels);
    let mut decided = false;
    let mut explained = Vec::with_capacity(rules.len());
    for rule in rules {
        let mismatches = mismatches(rule, subject);
        let chosen = rule.choose(channels, subject, draw);
        let verdict = if !mismatches.is_empty() {
            RuleVerdict::DoesNotFit
        } else if decided {
            RuleVerdict::NotReached
        } else if chosen.kept.is_empty() && rule.fall_through {
            RuleVerdict::FallsThrough
        } else {
            decided = true;
            RuleVerdict::Decides
        };
        let candidates = candidates(rule, &chosen, channels, subject);
        explained.push(ExplainedRule { rule, verdict, mismatches, candidates });
    }
    Explanation { rules: explained, plan: plan(rules, channels, subject, draw) }
}

fn mismatches(rule: &Rule, subject: &RouteSubject<'_>) -> Vec<Mismatch> {
    let failing = rule.conditions.iter().filter(|condition| !condition.holds(subject));
    failing
        .map(|condition| Mismatch {
            condition: condition.name(),
            sentence: condition.sentence(subject),
        })
        .collect()
}

fn candidates<'a>(
    rule: &'a Rule,
    chosen: &RoutePlan<'a>,
    channels: &[Channel<'a>],
    subject: &RouteSubject<'_>,
) -> Vec<ExplainedCandidate<'a>> {
    let (by_name, strategy) = (rule.target.by_name(), rule.target.strategy());
    let verdict = |entry: super::ListedChannel<'a, '_>| {
        let place = chosen.kept.iter().position(|kept| kept.channel.id == *entry.id);
        let (verdict, rate) = match (place, entry.found) {
            (Some(place), Some(channel)) => {
                let rate = channel.health.success_rate;
                let standing = standing(strategy, chosen.kept[place].standing, rate);
                let rate = (strategy == Strategy::SuccessRate).then_some(rate);
                (CandidateVerdict::Kept { place: place + 1, standing }, rate)
            }
            (None, Some(channel)) => {
                (CandidateVerdict::Struck(channel.strikes(subject, by_name)), None)
            }
            (_, None) => (CandidateVerdict::Struck(vec![Strike::UnknownChannel]), None),
        };
        ExplainedCandidate { channel: entry.id, verdict, rate }
    };
    rule.target.listed(channels).into_iter().map(verdict).collect()
}

/// The reason for a channel's rank, for people.
fn standing(strategy: Strategy, standing: i64, rate: FoundRate) -> String {
    match strategy {
        Strategy::Priority => "as listed".to_owned(),
        Strategy::Weighted => format!("drawn with weight {standing}"),
        Strategy::LowestCost if standing == FEE_NOT_KNOWN => {
            "no fee rule of the channel fits, so it comes last".to_owned()
        }
        Strategy::LowestCost => format!("a fee of {standing} minor units"),
        Strategy::SuccessRate => {
            let FoundRate { ppm, scope, samples } = rate;
            let samples = match scope {
                RateScope::Health => String::new(),
                RateScope::Situation
                | RateScope::CardType
                | RateScope::Issuer
                | RateScope::Operation => format!("{samples} "),
            };
            let (whole, part, from) = (ppm / 10_000, ppm % 10_000, scope.sentence());
            format!("a success rate of {whole}.{part:04} %, by {samples}{from}")
        }
    }
}
