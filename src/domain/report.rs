//! One channel's day at a glance: volume, success, fees, profit, differences, suspense, settlement.
//!
//! Rows are added one by one and only sums are kept, so that a report is as small on a day of
//! millions. Orders count on the day on which they were accepted, money on its clearing date; open
//! rows count as they stand when the report is made.

use std::collections::BTreeMap;

use crate::domain::attempt::{AttemptState, Operation};
use crate::domain::books::clearing::{ClearingRecord, ClearingState};
use crate::domain::books::difference::{Difference, DifferenceState, Gap};
use crate::domain::books::reconcile::Class;
use crate::domain::books::settlement::SettledAmounts;
use crate::domain::closed_set;
use crate::domain::ids::ChannelId;
use crate::domain::money::Currency;
use crate::domain::order::{Order, OrderStatus};
use crate::domain::route::health::HealthMark;
use crate::domain::time::{BusinessDate, Timestamp};

/// Millionths that are a whole.
const PPM: u64 = 1_000_000;
const DAY_MS: u128 = 24 * 60 * 60 * 1_000;

/// Orders and attempts of one operation.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Volume {
    pub orders: u64,
    pub succeeded: u64,
    pub failed: u64,
    pub reversed: u64,
    /// Not final yet: accepted, processing or unknown.
    pub open: u64,
    /// The amounts asked for, by currency, in minor units.
    pub asked_minor: BTreeMap<Currency, i128>,
    /// Tries at this channel, those that were not sent left out.
    pub attempts: u64,
    pub approved: u64,
    /// The channel's faults, by the rule of its health.
    pub faults: u64,
    /// Tries of which no byte left.
    pub not_sent: u64,
}

/// Sums of clearing records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ClearingSums {
    pub records: u64,
    pub principal_minor: i128,
    pub fee_minor: i128,
}

/// The channel's fees beside those that the core charges its merchants, for payments and captures
/// of which the core gave its fee.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Profit {
    pub orders: u64,
    pub merchant_fee_minor: i128,
    pub channel_fee_minor: i128,
    /// Orders of which the core gave none.
    pub without: u64,
}

closed_set! {
    /// How long something has been in suspense, in whole days since it was found.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub enum Age {
        ToThree => "0-3",
        ToSeven => "4-7",
        ToThirty => "8-30",
        Older => ">30",
    }
}

impl Age {
    /// The age at `now` of what was found at `opened_at`.
    pub fn of(opened_at: Timestamp, now: Timestamp) -> Self {
        match now.since(opened_at).as_millis() / DAY_MS {
            0..=3 => Self::ToThree,
            4..=7 => Self::ToSeven,
            8..=30 => Self::ToThirty,
            _ => Self::Older,
        }
    }
}

/// Open differences of one class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OpenDifferences {
    pub carried: u64,
    pub suspended: u64,
}

/// The money of one age and currency in suspense.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Suspense {
    pub differences: u64,
    /// Money that others owe us, not negative.
    pub receivable_minor: i128,
    /// Money that we hold for others, not negative.
    pub payable_minor: i128,
}

impl Suspense {
    /// Adds what is held for one difference: each gap keeps its account by its sign.
    pub fn add(&mut self, gap: &Gap) {
        let (principal, fee) = (i128::from(gap.principal_minor), i128::from(gap.fee_minor));
        self.receivable_minor += (-principal).max(0) + fee.max(0);
        self.payable_minor += principal.max(0) + (-fee).max(0);
    }
}

closed_set! {
    /// Whether a date's money has come.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub enum SettlementStanding {
        /// No statement of the date has been reconciled.
        NoStatement => "no_statement",
        /// The bank has not received what the statement says, or nobody has said so.
        Open => "open",
        /// A part was settled; a revision of the statement has changed the rest.
        Partly => "partly",
        Settled => "settled",
    }
}

impl SettlementStanding {
    /// The standing of a statement's money, by the part that is settled.
    pub fn of(stated: Option<SettledAmounts>, settled: Option<SettledAmounts>) -> Self {
        match (stated, settled) {
            (None, None) => Self::NoStatement,
            (Some(_), None) => Self::Open,
            (stated, Some(settled)) if stated == Some(settled) => Self::Settled,
            (_, Some(_)) => Self::Partly,
        }
    }
}

/// The report, as far as rows have been added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DailyReport {
    pub channel: ChannelId,
    pub date: BusinessDate,
    pub volume: BTreeMap<Operation, Volume>,
    /// Due clearing records by movement.
    pub cleared: BTreeMap<(Operation, Currency), ClearingSums>,
    /// Records of successes that our orders do not have (I-5).
    pub contradicted: BTreeMap<Currency, ClearingSums>,
    /// All records by the fee rule that they name.
    pub fees: BTreeMap<(String, Currency), ClearingSums>,
    pub profit: BTreeMap<Currency, Profit>,
    /// Of the channel, whatever their date.
    pub differences: BTreeMap<Class, OpenDifferences>,
    pub suspense: BTreeMap<(Age, Currency), Suspense>,
}

impl DailyReport {
    pub fn new(channel: ChannelId, date: BusinessDate) -> Self {
        Self {
            channel,
            date,
            volume: BTreeMap::new(),
            cleared: BTreeMap::new(),
            contradicted: BTreeMap::new(),
            fees: BTreeMap::new(),
            profit: BTreeMap::new(),
            differences: BTreeMap::new(),
            suspense: BTreeMap::new(),
        }
    }

    /// Adds an order that was accepted on the date, if it went to the channel or waits for it.
    pub fn order(&mut self, order: &Order) {
        let Some(operation) = order.instruction.kind.operation() else { return };
        let here = |channel: &ChannelId| *channel == self.channel;
        let waits = || order.candidates.first().is_some_and(|next| here(&next.channel));
        let went = order.attempts.iter().any(|attempt| here(&attempt.channel));
        let is_here = went || (order.attempts.is_empty() && waits());
        if !is_here {
            return;
        }
        let volume = self.volume.entry(operation).or_default();
        volume.orders += 1;
        *volume.asked_minor.entry(order.instruction.currency).or_default() +=
            i128::from(order.instruction.amount.get());
        match order.status {
            OrderStatus::Succeeded => volume.succeeded += 1,
            OrderStatus::Failed => volume.failed += 1,
            OrderStatus::Reversed => volume.reversed += 1,
            OrderStatus::Accepted | OrderStatus::Processing | OrderStatus::Unknown => {
                volume.open += 1;
            }
        }
        for attempt in order.attempts.iter().filter(|attempt| attempt.channel == self.channel) {
            if attempt.state == AttemptState::NotSent {
                volume.not_sent += 1;
                continue;
            }
            volume.attempts += 1;
            match HealthMark::of_attempt(attempt) {
                HealthMark::Success => volume.approved += 1,
                HealthMark::Fault => volume.faults += 1,
                HealthMark::Answered | HealthMark::Nothing => {}
            }
        }
    }

    /// Adds a clearing record of the date. `merchant_fee_minor` is what the core charges for the
    /// record's order, if it has said so.
    pub fn record(&mut self, record: &ClearingRecord, merchant_fee_minor: Option<i64>) {
        let rule = (record.fee_rule.clone(), record.currency);
        self.fees.entry(rule).or_default().add(record);
        match record.state {
            ClearingState::Contradicted => {
                self.contradicted.entry(record.currency).or_default().add(record);
                return;
            }
            ClearingState::Due => {
                let key = (record.movement, record.currency);
                self.cleared.entry(key).or_default().add(record);
            }
        }
        if record.movement.sign() <= 0 {
            return;
        }
        let profit = self.profit.entry(record.currency).or_default();
        match merchant_fee_minor {
            None => profit.without += 1,
            Some(minor) => {
                profit.orders += 1;
                profit.merchant_fee_minor += i128::from(minor);
                profit.channel_fee_minor += i128::from(record.fee_minor);
            }
        }
    }

    /// Adds an open difference of the channel, as it stands at `now`.
    pub fn difference(&mut self, difference: &Difference, now: Timestamp) {
        let of_class = self.differences.entry(difference.class).or_default();
        match difference.state {
            DifferenceState::Carried => of_class.carried += 1,
            DifferenceState::Suspended => of_class.suspended += 1,
            DifferenceState::Balanced | DifferenceState::Cleared => {}
        }
        let age = Age::of(difference.opened_at, now);
        for gap in &difference.held {
            let suspense = self.suspense.entry((age, gap.currency)).or_default();
            suspense.differences += 1;
            suspense.add(gap);
        }
    }

    /// Successes among what the channel answered for, in millionths; `None` if it was never asked.
    pub fn success_rate_ppm(&self) -> Option<u32> {
        let approved: u64 = self.volume.values().map(|volume| volume.approved).sum();
        let faults: u64 = self.volume.values().map(|volume| volume.faults).sum();
        let ppm = (approved * PPM).checked_div(approved + faults)?;
        Some(u32::try_from(ppm).expect("a part of a whole"))
    }

    /// Currencies that the date's records have, in their order.
    pub fn currencies(&self) -> Vec<Currency> {
        let of = |currency: &Currency| self.fees.keys().any(|(_, one)| one == currency);
        Currency::ALL.into_iter().filter(of).collect()
    }
}

impl ClearingSums {
    fn add(&mut self, record: &ClearingRecord) {
        self.records += 1;
        self.principal_minor += i128::from(record.principal_minor);
        self.fee_minor += i128::from(record.fee_minor);
        assert_eq!(
            record.net_minor,
            record.principal_minor - record.fee_minor,
            "I-7: net is principal less fee in every record"
        );
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn ages_are_whole_days() {
        let opened = Timestamp::from_millis(0);
        let at = |days: u64, ms: u64| {
            let later = Duration::from_secs(days * 86_400) + Duration::from_millis(ms);
            Age::of(opened, opened.plus(later)).name()
        };
        assert_eq!([at(0, 0), at(3, 86_399_999), at(4, 0)], ["0-3", "0-3", "4-7"]);
        assert_eq!([at(7, 86_399_999), at(8, 0), at(30, 86_399_999)], ["4-7", "8-30", "8-30"]);
        assert_eq!(at(31, 0), ">30");
    }

    #[test]
    fn suspense_keeps_each_gap_on_the_side_of_its_sign() {
        let mut suspense = Suspense::default();
        for (principal_minor, fee_minor) in [(500, 0), (-300, 0), (0, 7), (0, -2)] {
            suspense.add(&Gap { currency: Currency::Cny, principal_minor, fee_minor });
        }
        assert_eq!((suspense.receivable_minor, suspense.payable_minor), (307, 502));
    }

    #[test]
    fn a_date_is_settled_when_all_that_is_stated_is() {
        let some = |principal| SettledAmounts::new(principal, 0);
        let rows = [
            (None, None, "no_statement"),
            (some(5), None, "open"),
            (some(5), some(5), "settled"),
            (some(6), some(5), "partly"),
        ];
        for (stated, settled, name) in rows {
            assert_eq!(SettlementStanding::of(stated, settled).name(), name);
        }
    }
}
