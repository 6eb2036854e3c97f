//! How much of a day's orders a change would send elsewhere, and whether that is too much to be put
//! in force without a person's yes.

use std::collections::BTreeMap;

use super::ReplayReport;
use crate::domain::ids::ChannelId;

/// The fewest orders that a change is judged by: of fewer, one order is a large share.
pub const JUDGED_MIN: u64 = 20;
/// The most moves that are shown, the largest first.
pub const MOVES_SHOWN_MAX: usize = 10;

/// Orders that go from one channel to another; `None`: no channel takes them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelMove {
    pub from: Option<ChannelId>,
    pub to: Option<ChannelId>,
    pub orders: u64,
}

/// What a change does to the plans of some orders.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PlanMoves {
    /// The orders that were planned again.
    pub orders: u64,
    /// Those whose first channel changes, or that have none any more.
    pub moved: u64,
    /// The largest moves first, [`MOVES_SHOWN_MAX`] at most.
    pub largest: Vec<ChannelMove>,
}

impl PlanMoves {
    /// The moves of a replay, whatever the currency.
    pub fn of(report: &ReplayReport) -> Self {
        let mut by_channels: BTreeMap<(Option<ChannelId>, Option<ChannelId>), u64> =
            BTreeMap::new();
        for ((from, to, _), moved) in &report.moves {
            *by_channels.entry((from.clone(), to.clone())).or_default() += moved.orders;
        }
        let each = by_channels.into_iter();
        let mut largest: Vec<ChannelMove> =
            each.map(|((from, to), orders)| ChannelMove { from, to, orders }).collect();
        // Equals stay in the order of their channels.
        largest.sort_by_key(|one| std::cmp::Reverse(one.orders));
        largest.truncate(MOVES_SHOWN_MAX);
        Self { orders: report.orders, moved: report.moved(), largest }
    }

    /// Whether they are more than this many hundredths of the orders. Fewer orders than
    /// [`JUDGED_MIN`] say nothing.
    pub const fn exceed(&self, percent: u8) -> bool {
        let orders = self.orders as u128;
        self.orders >= JUDGED_MIN && self.moved as u128 * 100 > orders * percent as u128
    }

    /// The share that moves, in millionths; 0 of no orders.
    pub fn share_ppm(&self) -> u32 {
        let ppm = (u128::from(self.moved) * 1_000_000).checked_div(u128::from(self.orders));
        u32::try_from(ppm.unwrap_or(0)).unwrap_or(u32::MAX)
    }
}

/// For people: `45 of 100 orders (45.00 %) would go elsewhere: bank to direct 45`.
impl std::fmt::Display for PlanMoves {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let hundredths = self.share_ppm() / 100;
        let (whole, part) = (hundredths / 100, hundredths % 100);
        write!(
            formatter,
            "{} of {} orders ({whole}.{part:02} %) would go elsewhere",
            self.moved, self.orders
        )?;
        for (place, one) in self.largest.iter().enumerate() {
            let name = |id: &Option<ChannelId>| match id {
                Some(id) => id.to_string(),
                None => "no channel".to_owned(),
            };
            let before = if place == 0 { ": " } else { ", " };
            write!(formatter, "{before}{} to {} {}", name(&one.from), name(&one.to), one.orders)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::money::Currency;
    use crate::domain::route::replay::Moved;

    fn id(name: &str) -> Option<ChannelId> {
        Some(ChannelId::parse(name).expect("a channel id"))
    }

    #[test]
    fn moves_are_told_the_largest_first_whatever_their_currency() {
        let moved = |orders| Moved { orders, amount_minor: 1 };
        let report = ReplayReport {
            orders: 100,
            moves: BTreeMap::from([
                ((id("bank"), None, Currency::Cny), moved(5)),
                ((id("bank"), id("direct"), Currency::Cny), moved(30)),
                ((id("bank"), id("direct"), Currency::Usd), moved(10)),
            ]),
            ..ReplayReport::default()
        };
        let moves = PlanMoves::of(&report);
        let told = "45 of 100 orders (45.00 %) would go elsewhere: bank to direct 40, \
                    bank to no channel 5";
        assert_eq!(moves.to_string(), told);
        assert!(moves.exceed(44) && !moves.exceed(45), "more than the share, not as much");
        let few = PlanMoves { orders: JUDGED_MIN - 1, moved: JUDGED_MIN - 1, largest: Vec::new() };
        assert!(!few.exceed(0), "a handful of orders is no measure");
        assert_eq!(PlanMoves::default().share_ppm(), 0);
    }

    proptest! {
        #[test]
        fn nothing_that_moves_exceeds_all_and_nothing_that_stays_exceeds_none(
            orders in 0_u64..=u64::MAX, moved in 0_u64..=u64::MAX, percent in 0_u8..=100,
        ) {
            let moved = moved.min(orders);
            let moves = PlanMoves { orders, moved, largest: Vec::new() };
            prop_assert!(!moves.exceed(100));
            prop_assert!(moved > 0 || !moves.exceed(percent));
            prop_assert!(moves.share_ppm() <= 1_000_000);
            if percent > 0 && moves.exceed(percent) {
                prop_assert!(moves.exceed(percent - 1));
            }
        }
    }
}
