//! Fees: published examples, and the whole schedule against exact fractions.

use proptest::prelude::*;

use super::*;

fn date(yyyymmdd: u32) -> BusinessDate {
    BusinessDate::from_yyyymmdd(yyyymmdd).expect("a date")
}

fn category(code: &str) -> MerchantCategory {
    MerchantCategory::parse(code).expect("four digits")
}

fn rule(rate_ppm: u32) -> FeeRule {
    FeeRule {
        name: "standard".to_owned(),
        from: None,
        until: None,
        is_payout: false,
        card_types: Vec::new(),
        categories: Vec::new(),
        from_minor: 0,
        to_minor: AMOUNT_MINOR_MAX,
        rate_ppm,
        fixed_minor: 0,
        minimum_minor: 0,
        cap_minor: None,
        refund: RefundFee::Keep,
    }
}

fn subject(amount_minor: i64) -> FeeSubject {
    let date = date(20_261_122);
    FeeSubject { card_type: None, category: None, amount_minor, date, is_payout: false }
}

fn charged(rule: FeeRule, amount_minor: i64) -> Fee {
    FeeSchedule { rules: vec![rule] }.fee(&subject(amount_minor))
}

#[test]
fn a_payout_has_a_fee_of_its_own() {
    let piece =
        FeeRule { name: "payouts".to_owned(), is_payout: true, fixed_minor: 100, ..rule(0) };
    let both = FeeSchedule { rules: vec![rule(3_500), piece] };
    let named = |schedule: &FeeSchedule, is_payout| {
        let fee = schedule.fee(&FeeSubject { is_payout, ..subject(10_000) });
        (fee.rule, fee.minor)
    };
    assert_eq!(named(&both, false), ("standard".to_owned(), 35));
    assert_eq!(named(&both, true), ("payouts".to_owned(), 100));
    let charges = FeeSchedule { rules: vec![rule(3_500)] };
    assert_eq!(named(&charges, true), (NO_FEE_RULE.to_owned(), 0));
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
        assert_eq!(charged(rule, amount_minor).minor, expected, "{amount_minor}");
    }
}

/// One millionth of a minor unit below the half of it, and the half itself: where the products are
/// beyond what a floating-point number holds exactly, it takes one for the other.
#[test]
fn the_largest_amounts_are_rounded_where_exact_fractions_are() {
    let rate_ppm = RATE_PPM_WHOLE - 1;
    let below_half = |thousands: i64| 1_000_000 * (999_999 - thousands) + 500_001;
    for amount_minor in (0..200).map(below_half) {
        let parts = i128::from(amount_minor) * i128::from(rate_ppm);
        assert_eq!(parts % 1_000_000, 499_999, "{amount_minor}");
        let floor = i64::try_from(parts / 1_000_000).expect("less than the amount");
        assert_eq!(charged(rule(rate_ppm), amount_minor).minor, floor, "{amount_minor}");
        let half_minor = amount_minor - 1;
        assert_eq!(charged(rule(rate_ppm), half_minor).minor, floor, "{half_minor}");
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
    let named = |card_type, amount_minor| {
        schedule.fee(&FeeSubject { card_type, ..subject(amount_minor) }).rule
    };
    assert_eq!(named(Some(CardType::Debit), 500), "debit");
    assert_eq!(named(Some(CardType::Debit), 1_000), "standard");
    assert_eq!(named(Some(CardType::Credit), 500), "standard");
    assert_eq!(named(None, 500), "standard");
    let none = FeeSchedule::default().fee(&subject(500));
    assert_eq!(none, Fee { minor: 0, rule: "none".into(), refund: RefundFee::Keep });
}

#[test]
fn hospitals_pay_nothing_and_a_merchant_without_a_category_is_no_hospital() {
    // The exemption of the 2016 notice: non-profit hospitals and schools.
    let free = FeeRule {
        name: "exempt".to_owned(),
        categories: vec![category("8062"), category("8211")],
        ..rule(0)
    };
    let schedule = FeeSchedule { rules: vec![free, rule(6_000)] };
    let named = |category| schedule.fee(&FeeSubject { category, ..subject(10_000) }).rule;
    assert_eq!(named(Some(category("8062"))), "exempt");
    assert_eq!(named(Some(category("5411"))), "standard");
    assert_eq!(named(None), "standard");
}

#[test]
fn a_change_of_rates_holds_from_its_date() {
    let old = FeeRule { until: Some(date(20_260_930)), ..rule(6_000) };
    let new = FeeRule { from: Some(date(20_261_001)), ..rule(5_000) };
    assert!(!old.overlaps(&new) && !new.overlaps(&old) && old.overlaps(&old));
    assert!(rule(1).overlaps(&new), "one without dates is always in force");
    let schedule = FeeSchedule { rules: vec![new, old] };
    let fee = |day| schedule.fee(&FeeSubject { date: date(day), ..subject(10_000) }).minor;
    assert_eq!([fee(20_250_101), fee(20_260_930)], [60, 60]);
    assert_eq!([fee(20_261_001), fee(20_300_101)], [50, 50]);
}

#[test]
fn parts_give_back_exactly_the_fee_where_that_is_agreed() {
    let fee = |refund| charged(FeeRule { refund, ..rule(6_000) }, 10_001);
    assert_eq!(fee(RefundFee::Return).minor, 60);
    let backs = |refund| [3_333, 6_667, 10_001].map(|sum| fee(refund).returned(10_001, sum));
    assert_eq!(backs(RefundFee::Return), [20, 40, 60]);
    assert_eq!(backs(RefundFee::Keep), [0, 0, 0]);
    assert_eq!(backs(RefundFee::ReturnWhenWhole), [0, 0, 60]);
    // Half of one minor unit is kept until the rest comes back.
    let small = Fee { minor: 1, ..fee(RefundFee::Return) };
    assert_eq!([small.returned(2, 1), small.returned(2, 2)], [0, 1]);
}

/// A fraction in lowest terms, so that nothing is rounded before the very end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Exact {
    over: i128,
    under: i128,
}

impl Exact {
    fn of(over: i128, under: i128) -> Self {
        assert!(under > 0, "a fraction of something");
        let (mut a, mut b) = (over.abs(), under);
        while b != 0 {
            (a, b) = (b, a % b);
        }
        Self { over: over / a.max(1), under: under / a.max(1) }
    }

    fn whole(number: i64) -> Self {
        Self::of(number.into(), 1)
    }

    fn times(self, other: Self) -> Self {
        Self::of(self.over * other.over, self.under * other.under)
    }

    fn less(self, other: Self) -> Self {
        Self::of(self.over * other.under - other.over * self.under, self.under * other.under)
    }

    fn is_below(self, other: Self) -> bool {
        self.less(other).over < 0
    }

    /// The only whole number n with n - 1/2 <= self < n + 1/2, found by looking.
    fn nearest(self) -> i64 {
        let half = Self::of(1, 2);
        let guess = i64::try_from(self.over.div_euclid(self.under)).expect("an amount");
        let fits = |number: &i64| {
            let below = Self::whole(*number).less(half);
            !self.is_below(below) && self.is_below(below.less(Self::whole(-1)))
        };
        (guess - 1..=guess + 1).find(fits).expect("one of three")
    }
}

/// The fee by the words of the manual, from a schedule that is searched from its end.
fn by_the_book(schedule: &FeeSchedule, subject: &FeeSubject) -> (i64, String) {
    let mut found = (0, NO_FEE_RULE.to_owned());
    for rule in schedule.rules.iter().rev() {
        let number = subject.date.yyyymmdd();
        let early = rule.from.is_some_and(|from| number < from.yyyymmdd());
        let late = rule.until.is_some_and(|until| number > until.yyyymmdd());
        let small = subject.amount_minor < rule.from_minor;
        let large = subject.amount_minor > rule.to_minor;
        let listed = |kind: &CardType| Some(*kind) == subject.card_type;
        let other_card = !rule.card_types.is_empty() && !rule.card_types.iter().any(listed);
        let listed = |category: &MerchantCategory| Some(*category) == subject.category;
        let other_shop = !rule.categories.is_empty() && !rule.categories.iter().any(listed);
        let other_way = rule.is_payout != subject.is_payout;
        if early || late || small || large || other_card || other_shop || other_way {
            continue;
        }
        let rate = Exact::of(rule.rate_ppm.into(), 1_000_000);
        let mut minor = Exact::whole(subject.amount_minor).times(rate).nearest();
        minor += rule.fixed_minor;
        if minor < rule.minimum_minor {
            minor = rule.minimum_minor;
        }
        if let Some(cap) = rule.cap_minor
            && minor > cap
        {
            minor = cap;
        }
        found = (minor, rule.name.clone());
    }
    found
}

fn some_categories() -> impl Strategy<Value = Vec<MerchantCategory>> {
    let codes = prop::sample::subsequence(vec!["5411", "8062", "8211"], 0..=2);
    codes.prop_map(|codes| codes.into_iter().map(category).collect())
}

fn day() -> impl Strategy<Value = BusinessDate> {
    (20_260_901..=20_260_930_u32).prop_map(date)
}

/// Amounts at which tiers and roundings turn, and any other.
fn amount(most: i64) -> impl Strategy<Value = i64> {
    prop_oneof![0..=300_i64, Just(50_000), 0..=100_000_i64, 0..=most]
}

prop_compose! {
    fn any_rule()(
        number in 0..6_u8,
        dates in (prop::option::of(day()), prop::option::of(day())),
        card_types in prop::sample::subsequence(CardType::ALL.to_vec(), 0..=2),
        categories in some_categories(),
        tier in (amount(AMOUNT_MINOR_MAX), prop::option::of(amount(AMOUNT_MINOR_MAX))),
        rate_ppm in prop_oneof![0..=10_000_u32, 0..=RATE_PPM_WHOLE, Just(5_000), Just(3_250)],
        (fixed_minor, minimum_minor) in (0..=50_i64, 0..=200_i64),
        cap in prop::option::of(0..=2_000_i64),
        refund in prop::sample::select(RefundFee::ALL.to_vec()),
        is_payout in prop::bool::weighted(0.2),
    ) -> FeeRule {
        FeeRule {
            name: format!("rule-{number}"),
            from: dates.0,
            until: dates.1,
            is_payout,
            card_types,
            categories,
            from_minor: tier.0,
            to_minor: tier.1.unwrap_or(AMOUNT_MINOR_MAX),
            rate_ppm,
            fixed_minor,
            minimum_minor,
            cap_minor: cap.map(|above| minimum_minor + above),
            refund,
        }
    }
}

prop_compose! {
    fn any_subject()(
        card_type in prop::option::of(prop::sample::select(CardType::ALL.to_vec())),
        code in prop::option::of(prop::sample::select(vec!["5411", "8062", "8211", "7011"])),
        amount_minor in amount(AMOUNT_MINOR_MAX),
        date in day(),
        is_payout in prop::bool::weighted(0.2),
    ) -> FeeSubject {
        FeeSubject { card_type, category: code.map(category), amount_minor, date, is_payout }
    }
}

proptest! {
    /// Every schedule of up to eight rules, against exact fractions and a search of another kind.
    #[test]
    fn the_schedule_is_exact(
        rules in prop::collection::vec(any_rule(), 0..8),
        subjects in prop::collection::vec(any_subject(), 1..20),
    ) {
        let schedule = FeeSchedule { rules };
        for subject in subjects {
            let fee = schedule.fee(&subject);
            prop_assert_eq!((fee.minor, fee.rule), by_the_book(&schedule, &subject));
        }
    }

    /// However refunds cut an amount, they give back no more than the fee, and all of it in the
    /// end where it comes back at all; each sum is the nearest to its exact share.
    #[test]
    fn refunds_give_back_no_more_than_was_charged(
        minor in prop_oneof![0..=3_i64, 0..=100_000_i64],
        cuts in prop::collection::vec(1..=1_000_i64, 1..10),
        refund in prop::sample::select(RefundFee::ALL.to_vec()),
    ) {
        let fee = Fee { minor, rule: "any".to_owned(), refund };
        let amount_minor: i64 = cuts.iter().sum();
        let (mut refunded, mut back) = (0, 0);
        for cut in cuts {
            refunded += cut;
            let sum = fee.returned(amount_minor, refunded);
            prop_assert!(back <= sum && sum <= minor, "{} then {}", back, sum);
            back = sum;
            let left = Exact::of((amount_minor - refunded).into(), amount_minor.into());
            let kept = Exact::whole(minor).times(left).nearest();
            match refund {
                RefundFee::Return => prop_assert_eq!(minor - sum, kept),
                RefundFee::Keep => prop_assert_eq!(sum, 0),
                RefundFee::ReturnWhenWhole => prop_assert!(sum == 0 || left.over == 0),
            }
        }
        prop_assert_eq!(back, if refund == RefundFee::Keep { 0 } else { minor });
    }
}
