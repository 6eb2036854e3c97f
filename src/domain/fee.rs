//! A channel's fee for a transaction: integers only, rounded half up once, rule named.
//!
//! A rule holds for the clearing dates, cards, merchants and amounts that it names, so a change of
//! rates is a further rule with its date. The fee that comes back with a refund is a part of the
//! charged one, never of one that is computed anew.

use crate::domain::bin::CardType;
use crate::domain::closed_set;
use crate::domain::ids::MerchantCategory;
use crate::domain::money::AMOUNT_MINOR_MAX;
use crate::domain::time::BusinessDate;

/// One million parts: rates are integers of millionths, so 0.35 % is 3,500.
pub const RATE_PPM_WHOLE: u32 = 1_000_000;
/// The rule's name where no rule fits.
pub const NO_FEE_RULE: &str = "none";

closed_set! {
    /// What a refund does to the fee.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
    pub enum RefundFee {
        /// The channel keeps it.
        #[default]
        Keep = 1 => "keep",
        /// The channel gives it back in proportion to the amount.
        Return = 2 => "return",
        /// The channel gives it back, as a whole, with the refund that completes the amount.
        ReturnWhenWhole = 3 => "return_when_whole",
    }
}

/// The facts that a fee depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FeeSubject {
    pub card_type: Option<CardType>,
    pub category: Option<MerchantCategory>,
    /// 0 to 999,999,999,999.
    pub amount_minor: i64,
    /// The clearing date.
    pub date: BusinessDate,
    /// Whether money is paid out to the card; else it is taken from it.
    pub is_payout: bool,
}

/// One line of a channel's fee schedule; the first that fits decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeeRule {
    /// The name that a clearing record keeps.
    pub name: String,
    /// The first clearing date that it is for; from the beginning if absent.
    pub from: Option<BusinessDate>,
    /// The last one; without an end if absent.
    pub until: Option<BusinessDate>,
    /// Whether it is for payouts; else it is for payments and captures.
    pub is_payout: bool,
    /// The card types it is for; empty means all, unknown ones included.
    pub card_types: Vec<CardType>,
    /// The merchant categories it is for; empty means all, unknown ones included.
    pub categories: Vec<MerchantCategory>,
    /// The smallest amount that it is for, in minor units.
    pub from_minor: i64,
    /// The largest amount that it is for, in minor units.
    pub to_minor: i64,
    /// Rate in millionths of the amount, 0 to 1,000,000.
    pub rate_ppm: u32,
    /// A fixed part for each transaction, added to the rated part, in minor units.
    pub fixed_minor: i64,
    /// The least that is charged, in minor units.
    pub minimum_minor: i64,
    /// The most that is charged, in minor units.
    pub cap_minor: Option<i64>,
    pub refund: RefundFee,
}

/// A channel's fees.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FeeSchedule {
    pub rules: Vec<FeeRule>,
}

/// A fee and the rule that gave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fee {
    /// Minor units, never negative here; a clearing record turns its sign for money going back.
    pub minor: i64,
    pub rule: String,
    /// The rule for refunds.
    pub refund: RefundFee,
}

impl FeeSchedule {
    /// The fee of a transaction.
    ///
    /// A schedule without a fitting rule charges nothing and says so in the rule's place.
    pub fn fee(&self, subject: &FeeSubject) -> Fee {
        let amount_minor = subject.amount_minor;
        assert!((0..=AMOUNT_MINOR_MAX).contains(&amount_minor), "an amount in its range");
        match self.rules.iter().find(|rule| rule.fits(subject)) {
            Some(rule) => {
                let minor = rule.charge(amount_minor);
                Fee { minor, rule: rule.name.clone(), refund: rule.refund }
            }
            None => Fee { minor: 0, rule: NO_FEE_RULE.to_owned(), refund: RefundFee::Keep },
        }
    }
}

impl Fee {
    /// The part of this fee, charged for `amount_minor`, that has come back when refunds have given
    /// back `refunded_minor` in all.
    ///
    /// The channel keeps the fee in proportion to the remaining amount, rounded half up, and the
    /// rest has come back: however the parts are cut, together they give back exactly the fee once
    /// nothing is left.
    pub fn returned(&self, amount_minor: i64, refunded_minor: i64) -> i64 {
        assert!((0..=amount_minor).contains(&refunded_minor), "I-8: refunds are parts");
        assert!(amount_minor > 0, "an order has an amount");
        let left_minor = amount_minor - refunded_minor;
        match self.refund {
            RefundFee::Keep => 0,
            RefundFee::Return => {
                let parts = i128::from(self.minor) * i128::from(left_minor);
                let kept = half_up(parts, i128::from(amount_minor));
                self.minor - i64::try_from(kept).expect("a part of the fee is no more than it")
            }
            RefundFee::ReturnWhenWhole => {
                if left_minor == 0 {
                    self.minor
                } else {
                    0
                }
            }
        }
    }
}

impl FeeRule {
    fn fits(&self, subject: &FeeSubject) -> bool {
        let of_type = self.card_types.is_empty()
            || subject.card_type.is_some_and(|kind| self.card_types.contains(&kind));
        let of_category = self.categories.is_empty()
            || subject.category.is_some_and(|category| self.categories.contains(&category));
        let in_force = self.from.is_none_or(|from| from <= subject.date)
            && self.until.is_none_or(|until| subject.date <= until);
        let of_amount = (self.from_minor..=self.to_minor).contains(&subject.amount_minor);
        let of_way = self.is_payout == subject.is_payout;
        of_way && of_type && of_category && in_force && of_amount
    }

    /// Whether a clearing date is in both rules' times.
    pub fn overlaps(&self, other: &Self) -> bool {
        let before = |end: Option<BusinessDate>, start: Option<BusinessDate>| {
            end.zip(start).is_some_and(|(end, start)| end < start)
        };
        !before(self.until, other.from) && !before(other.until, self.from)
    }

    /// Rate, rounded half up to the minor unit, plus the fixed part; then minimum, then cap.
    ///
    /// The order follows the contracts' wording (round, then bound); with whole minor units as
    /// bounds both orders agree.
    fn charge(&self, amount_minor: i64) -> i64 {
        let parts = i128::from(amount_minor) * i128::from(self.rate_ppm);
        let rated = half_up(parts, i128::from(RATE_PPM_WHOLE));
        let raw = i64::try_from(rated).expect("a rate of at most one keeps it below the amount");
        let bounded = (raw + self.fixed_minor).max(self.minimum_minor);
        self.cap_minor.map_or(bounded, |cap| bounded.min(cap))
    }
}

/// The quotient of a non-negative number and a positive one, rounded half up.
fn half_up(parts: i128, whole: i128) -> i128 {
    (parts * 2 + whole) / (whole * 2)
}

#[cfg(test)]
mod tests;
