//! What a channel charges for a transaction: integers only, rounded half up once, rule named.

use crate::domain::bin::CardType;
use crate::domain::money::AMOUNT_MINOR_MAX;

/// One million parts: rates are integers of millionths, so 0.35 % is 3,500.
pub const RATE_PPM_WHOLE: u32 = 1_000_000;

/// What becomes of the fee when money is refunded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RefundFee {
    /// The channel keeps it.
    #[default]
    Keep,
    /// The channel gives it back, for a part of the amount the same part of it.
    Return,
}

/// One line of a channel's fee schedule; the first that fits decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeeRule {
    /// The name that a clearing record keeps.
    pub name: String,
    /// The card types it is for; empty means all, unknown ones included.
    pub card_types: Vec<CardType>,
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
}

impl FeeSchedule {
    /// The fee of a transaction of `amount_minor` (0 to 999,999,999,999).
    ///
    /// A schedule without a fitting rule charges nothing and says so in the rule's place.
    pub fn fee(&self, card_type: Option<CardType>, amount_minor: i64) -> Fee {
        assert!((0..=AMOUNT_MINOR_MAX).contains(&amount_minor), "an amount in its range");
        match self.rule(card_type, amount_minor) {
            Some(rule) => Fee { minor: rule.charge(amount_minor), rule: rule.name.clone() },
            None => Fee { minor: 0, rule: "none".to_owned() },
        }
    }

    /// What the channel gives back of its fee for `original_minor` when `refund_minor` of it is
    /// refunded. Rounded down, so that parts never add up to more than the fee; all of it for all.
    pub fn returned(
        &self,
        card_type: Option<CardType>,
        original_minor: i64,
        refund_minor: i64,
    ) -> Fee {
        assert!((1..=original_minor).contains(&refund_minor), "I-8: a refund is a part");
        let mut fee = self.fee(card_type, original_minor);
        fee.minor = match self.rule(card_type, original_minor).map(|rule| rule.refund) {
            Some(RefundFee::Return) => {
                let parts = i128::from(fee.minor) * i128::from(refund_minor);
                let part = parts / i128::from(original_minor);
                i64::try_from(part).expect("a part of the fee is no more than the fee")
            }
            Some(RefundFee::Keep) | None => 0,
        };
        fee
    }

    fn rule(&self, card_type: Option<CardType>, amount_minor: i64) -> Option<&FeeRule> {
        self.rules.iter().find(|rule| {
            let of_type = rule.card_types.is_empty()
                || card_type.is_some_and(|kind| rule.card_types.contains(&kind));
            of_type && (rule.from_minor..=rule.to_minor).contains(&amount_minor)
        })
    }
}

impl FeeRule {
    /// Rate, rounded half up to the minor unit, plus the fixed part; then minimum, then cap.
    ///
    /// The order follows the contracts' wording (round, then bound); with whole minor units as
    /// bounds both orders agree.
    fn charge(&self, amount_minor: i64) -> i64 {
        let parts = i128::from(amount_minor) * i128::from(self.rate_ppm);
        let rated = (parts + i128::from(RATE_PPM_WHOLE / 2)) / i128::from(RATE_PPM_WHOLE);
        let raw = i64::try_from(rated).expect("a rate of at most one keeps it below the amount");
        let bounded = (raw + self.fixed_minor).max(self.minimum_minor);
        self.cap_minor.map_or(bounded, |cap| bounded.min(cap))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rule(rate_ppm: u32) -> FeeRule {
        FeeRule {
            name: "standard".to_owned(),
            card_types: Vec::new(),
            from_minor: 0,
            to_minor: AMOUNT_MINOR_MAX,
            rate_ppm,
            fixed_minor: 0,
            minimum_minor: 0,
            cap_minor: None,
            refund: RefundFee::Keep,
        }
    }

    #[test]
    fn published_examples_come_out_to_the_fen() {
        // UnionPay's sample statement at 0.6 %, and the 2016 card fee notice's debit and credit.
        let debit = FeeRule { cap_minor: Some(1_300), ..rule(3_500) };
        let rows = [
            (rule(6_000), 476_800, 2_861),
            (rule(6_000), 83_800, 503),
            (rule(6_000), 9_900, 59),
            (rule(6_000), 142_200, 853),
            (rule(6_000), 133_300, 800),
            (rule(6_000), 456_700, 2_740),
            (debit.clone(), 1_000_000, 1_300),
            (debit, 300_000, 1_050),
            (rule(4_500), 1_000_000, 4_500),
            (rule(325), 300_000, 98),
            (FeeRule { fixed_minor: 5, ..rule(0) }, 1, 5),
            (FeeRule { minimum_minor: 10, ..rule(1) }, 100, 10),
        ];
        for (rule, amount_minor, expected) in rows {
            let schedule = FeeSchedule { rules: vec![rule] };
            assert_eq!(schedule.fee(None, amount_minor).minor, expected, "{amount_minor}");
        }
    }

    #[test]
    fn the_first_fitting_rule_decides_and_is_named() {
        let debit = FeeRule {
            name: "debit".to_owned(),
            card_types: vec![CardType::Debit],
            to_minor: 999,
            ..rule(1_000)
        };
        let schedule = FeeSchedule { rules: vec![debit, rule(6_000)] };
        assert_eq!(schedule.fee(Some(CardType::Debit), 500).rule, "debit");
        assert_eq!(schedule.fee(Some(CardType::Debit), 1_000).rule, "standard");
        assert_eq!(schedule.fee(Some(CardType::Credit), 500).rule, "standard");
        assert_eq!(schedule.fee(None, 500).rule, "standard");
        assert_eq!(FeeSchedule::default().fee(None, 500), Fee { minor: 0, rule: "none".into() });
    }

    #[test]
    fn a_refund_gives_the_fee_back_where_that_is_agreed() {
        let returning = FeeRule { refund: RefundFee::Return, ..rule(6_000) };
        let schedule = FeeSchedule { rules: vec![returning] };
        assert_eq!(schedule.fee(None, 10_001).minor, 60);
        assert_eq!(schedule.returned(None, 10_001, 10_001).minor, 60);
        let parts = [3_333, 3_334, 3_334].map(|part| schedule.returned(None, 10_001, part).minor);
        assert_eq!(parts, [19, 20, 20]);
        let keeping = FeeSchedule { rules: vec![rule(6_000)] };
        let kept = Fee { minor: 0, rule: "standard".to_owned() };
        assert_eq!(keeping.returned(None, 10_001, 5_000), kept);
        assert_eq!(FeeSchedule::default().returned(None, 5, 5).rule, "none");
    }

    proptest! {
        #[test]
        fn rounding_is_half_up(amount in 0..=AMOUNT_MINOR_MAX, rate in 0..=RATE_PPM_WHOLE) {
            let fee = FeeSchedule { rules: vec![rule(rate)] }.fee(None, amount).minor;
            let exact = i128::from(amount) * i128::from(rate);
            let error = i128::from(fee) * 1_000_000 - exact;
            prop_assert!(error > -500_000 && error <= 500_000, "off by {error} millionths");
        }
    }
}
