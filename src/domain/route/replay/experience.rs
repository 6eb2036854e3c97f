//! What channels have made of orders, and what is to be expected of orders that they never saw.

use std::collections::BTreeMap;

use crate::domain::ids::ChannelId;
use crate::domain::route::rates::Situation;

/// The fewest answers from which a rate is drawn: below it a wider group of orders speaks.
pub const SAMPLES_MIN: u64 = 30;
/// The quantile of the normal distribution that leaves 2.5 % on each side.
const QUANTILE_95: f64 = 1.96;

/// Answers, and how many of them were approvals.
#[derive(Debug, Clone, Copy, Default)]
struct Answers {
    all: u64,
    approved: u64,
}

/// What channels have answered.
#[derive(Debug, Default)]
pub struct Experience {
    answers: BTreeMap<(ChannelId, Situation), Answers>,
}

/// The approvals of a side's orders.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Expectation {
    /// Approvals of orders that the channel has really seen.
    pub known: u64,
    /// Orders whose end at the channel is still open.
    pub open: u64,
    /// Orders that the channel never saw and has enough answers of the kind for: the sum of what
    /// is to be expected of them.
    pub expected: f64,
    /// Half the width of the interval in which that sum lies with 95 %.
    pub margin: f64,
    /// Orders that the channel never saw, and that it has too few answers for to say anything.
    pub without_figures: u64,
}

impl Experience {
    pub fn learn(&mut self, channel: &ChannelId, situation: Situation, approved: bool) {
        for (_, group) in situation.widening() {
            let answers = self.answers.entry((channel.clone(), group)).or_default();
            answers.all += 1;
            answers.approved += u64::from(approved);
        }
    }

    /// Adds what is to be expected of orders in these situations, so many of each.
    ///
    /// A situation's rate is that of the narrowest group with [`SAMPLES_MIN`] answers. The interval
    /// of a rate is Wilson's; those of the groups are independent of each other, so that their
    /// margins add up as squares, each widened by the chance of its own orders.
    pub fn expect(
        &self,
        base: Expectation,
        orders: &BTreeMap<(ChannelId, Situation), u64>,
    ) -> Expectation {
        let mut expectation = base;
        let mut variance = 0.0;
        for ((channel, situation), count) in orders {
            let answers = situation.widening().find_map(|(_, group)| {
                let answers = self.answers.get(&(channel.clone(), group))?;
                (answers.all >= SAMPLES_MIN).then_some(answers)
            });
            let Some(answers) = answers else {
                expectation.without_figures += count;
                continue;
            };
            let (rate, margin) = wilson(*answers);
            let count = *count as f64;
            expectation.expected += count * rate;
            let of_rate = count * margin;
            let of_chance = QUANTILE_95 * QUANTILE_95 * count * rate * (1.0 - rate);
            variance += of_rate * of_rate + of_chance;
        }
        expectation.margin = variance.sqrt();
        expectation
    }
}

/// The centre and half the width of Wilson's interval with 95 % (E. B. Wilson, 1927): it stays
/// within 0 and 1 where answers are few or all alike.
fn wilson(answers: Answers) -> (f64, f64) {
    let (all, approved) = (answers.all as f64, answers.approved as f64);
    let square = QUANTILE_95 * QUANTILE_95;
    let rate = approved / all;
    let centre = (rate + square / (2.0 * all)) / (1.0 + square / all);
    let spread = (rate * (1.0 - rate) / all + square / (4.0 * all * all)).sqrt();
    (centre, QUANTILE_95 * spread / (1.0 + square / all))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wilsons_interval_is_that_of_the_tables() {
        // 8 of 10: 0.490 to 0.943; 0 of 10: 0 to 0.278.
        for (approved, low, high) in [(8, 0.490, 0.943), (0, 0.0, 0.278), (10, 0.722, 1.0)] {
            let (centre, margin) = wilson(Answers { all: 10, approved });
            assert!((centre - margin - low).abs() < 0.001, "{approved}: {centre} {margin}");
            assert!((centre + margin - high).abs() < 0.001, "{approved}: {centre} {margin}");
        }
    }
}
