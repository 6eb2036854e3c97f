//! Plans as tables, and properties of every plan.

mod codes;
mod random;
mod rates;
mod replay;
mod strategies;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::civil;
use jiff::tz::TimeZone;
use proptest::prelude::*;
use proptest::strategy::Strategy as Generate;

use super::Strategy;
use super::channel::{ChannelHealth, ChannelState};
use super::explain::{CandidateVerdict, RuleVerdict, explain};
use super::hours::{DayWindow, Hours};
use super::maintenance::MaintenanceWindow;
use super::rates::FoundRate;
use super::*;
use crate::domain::fee::{FeeRule, FeeSchedule, RefundFee};
use crate::domain::ids::MerchantId;
use crate::domain::instrument::InstrumentKind;
use crate::domain::money::{AMOUNT_MINOR_MAX, AmountMinor, Currency};
use crate::domain::order::{OrderKind, SettlementMode};
use crate::domain::time::ClearingCalendar;

const NAMES: [&str; 5] = ["acquirer", "bank", "city-bank", "direct", "unionpay"];

fn id(name: &str) -> ChannelId {
    ChannelId::parse(name).expect("a channel id")
}

fn ids(names: &[&str]) -> Vec<ChannelId> {
    names.iter().map(|name| id(name)).collect()
}

fn moment(text: &str) -> Timestamp {
    let moment: jiff::Timestamp = text.parse().expect("RFC 3339");
    Timestamp::from_millis(moment.as_millisecond())
}

fn beijing(window: &str) -> Hours {
    Hours {
        windows: vec![DayWindow::parse(window).expect("a window")],
        zone: TimeZone::get("Asia/Shanghai").expect("the zone is compiled in"),
    }
}

fn calendar() -> ClearingCalendar {
    let zone = TimeZone::get("Asia/Shanghai").expect("the zone is compiled in");
    ClearingCalendar { zone, cut_off: civil::time(23, 0, 0, 0) }
}

fn fees(rate_ppm: u32) -> Arc<FeeSchedule> {
    let rule = FeeRule {
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
    };
    Arc::new(FeeSchedule { rules: vec![rule] })
}

fn profile(name: &str) -> ChannelProfile {
    ChannelProfile {
        id: id(name),
        state: ChannelState::Live,
        enabled: true,
        operations: vec![Operation::Payment],
        services: Vec::new(),
        instruments: vec![InstrumentKind::Card],
        payees: vec![InstrumentKind::Card],
        account_kinds: Vec::new(),
        code_beginnings: Vec::new(),
        card_types: Vec::new(),
        brands: Vec::new(),
        currencies: Vec::new(),
        per_order_min_minor: 1,
        per_order_max_minor: AMOUNT_MINOR_MAX,
        per_day_minor: None,
        payouts_per_day_minor: None,
        hours: None,
        maintenance: Vec::new(),
        fees: fees(6_000),
        calendar: calendar(),
        keeps_pan: false,
    }
}

const WELL: ChannelHealth = ChannelHealth {
    breaker_open: false,
    success_rate: FoundRate::of_health(1_000_000),
    rate_left: true,
    used_today_minor: [0; 2],
};

/// The five channels of these tests, each changed as a test wants it.
fn world(change: impl Fn(&mut ChannelProfile, &mut ChannelHealth)) -> World {
    let one = |name: &&str| {
        let (mut profile, mut health) = (profile(name), WELL);
        change(&mut profile, &mut health);
        (profile, health)
    };
    World { channels: NAMES.iter().map(one).collect() }
}

#[derive(Debug)]
struct World {
    channels: Vec<(ChannelProfile, ChannelHealth)>,
}

impl World {
    fn channels(&self) -> Vec<Channel<'_>> {
        self.channels.iter().map(|(profile, health)| Channel { profile, health: *health }).collect()
    }
}

struct Order {
    instruction: Instruction,
    prefix: CardPrefix,
    card: Option<CardTraits<'static>>,
    now: Timestamp,
}

/// A debit card of a bank in Beijing pays 1,000.00 CNY at ten in the morning.
fn order() -> Order {
    let merchant = MerchantId::parse("shop-1").expect("a merchant id");
    let amount = AmountMinor::new(100_000).expect("an amount");
    let card = CardTraits {
        issuer: Some(IssuerTraits { code: "01021000", name: "工商银行" }),
        card_type: Some(CardType::Debit),
        brands: CardBrands::one(Brand::UnionPay),
    };
    Order {
        instruction: Instruction::unsent(OrderKind::Payment, merchant, amount, Currency::Cny),
        prefix: CardPrefix::leading("622848"),
        card: Some(card),
        now: moment("2026-11-22T02:00:00Z"),
    }
}

impl Order {
    fn subject(&self) -> RouteSubject<'_> {
        let Self { instruction, prefix, card, now } = self;
        let ask = RouteAsk::Order(instruction);
        RouteSubject { ask, prefix: *prefix, card: *card, bound_to: None, now: *now }
    }

    fn amount(mut self, minor: i64) -> Self {
        self.instruction.amount = AmountMinor::new(minor).expect("an amount");
        self
    }

    fn card(mut self, card: Option<CardTraits<'static>>) -> Self {
        self.card = card;
        self
    }

    fn card_type(mut self, card_type: CardType) -> Self {
        self.card = self.card.map(|card| CardTraits { card_type: Some(card_type), ..card });
        self
    }

    fn at(mut self, text: &str) -> Self {
        self.now = moment(text);
        self
    }
}

fn rule(name: &str, conditions: Vec<Condition>, target: RouteTarget) -> Rule {
    Rule { name: name.to_owned(), conditions, target, fall_through: false }
}

fn priority(names: &[&str]) -> RouteTarget {
    RouteTarget::named(Strategy::Priority, ids(names)).expect("channels, each once")
}

fn kept<'p>(plan: &'p RoutePlan<'_>) -> Vec<&'p str> {
    plan.kept.iter().map(|kept| kept.channel.id.as_str()).collect()
}

fn struck<'p>(plan: &'p RoutePlan<'_>) -> Vec<(&'p str, &'static str)> {
    plan.struck.iter().map(|struck| (struck.channel.as_str(), struck.strike.name())).collect()
}

#[test]
fn s37_the_card_type_decides_between_bank_and_unionpay() {
    let rules = [
        rule(
            "debit goes to the bank",
            vec![Condition::CardTypes(vec![CardType::Debit])],
            priority(&["bank", "unionpay"]),
        ),
        rule("the rest", Vec::new(), priority(&["unionpay"])),
    ];
    let world = world(|_, _| {});
    let rows = [
        (order(), Some("debit goes to the bank"), vec!["bank", "unionpay"]),
        (order().card_type(CardType::Credit), Some("the rest"), vec!["unionpay"]),
        (order().card(None), Some("the rest"), vec!["unionpay"]),
    ];
    for (order, name, channels) in rows {
        let (rules, given) = (&rules[..], world.channels());
        let plan = plan(rules, &given, &order.subject(), 0);
        assert_eq!(plan.rule_name(), name);
        assert_eq!(kept(&plan), channels);
    }
}

#[test]
fn s38_new_orders_go_to_live_channels_and_to_testing_ones_by_name() {
    let every = Rule::default_rule();
    let named = rule("named", Vec::new(), priority(&["bank"]));
    let rows = [
        (ChannelState::Contracted, false, false),
        (ChannelState::Testing, true, false),
        (ChannelState::Live, true, true),
        (ChannelState::Draining, false, false),
        (ChannelState::Closed, false, false),
    ];
    for (state, by_name, by_default) in rows {
        let world = world(|profile, _| profile.state = state);
        for (rule, expected) in [(&named, by_name), (&every, by_default)] {
            let (rules, given, order) = (std::slice::from_ref(rule), world.channels(), order());
            let plan = plan(rules, &given, &order.subject(), 0);
            assert_eq!(!plan.kept.is_empty(), expected, "{} by {}", state.name(), rule.name);
            let all_disabled = plan.struck.iter().all(|s| s.strike == Strike::Disabled(state));
            assert!(all_disabled, "{}", state.name());
        }
        assert_eq!(ChannelState::parse(state.name()), Some(state));
    }
}

#[test]
fn each_condition_fits_what_it_names_and_nothing_else() {
    let merchant = |name: &str| BTreeSet::from([MerchantId::parse(name).expect("an id")]);
    let prefixes = |texts: &[&str]| {
        Condition::BinPrefixes(texts.iter().map(|text| CardPrefix::leading(text)).collect())
    };
    let amount = |from_minor, to_minor| Condition::Amount { from_minor, to_minor };
    let issuers = |code: &str| Condition::IssuerCodes(vec![code.to_owned()]);
    let rows = [
        (Condition::Operations(vec![Operation::Payment], Vec::new()), order(), true),
        (Condition::Operations(vec![Operation::Undo], Vec::new()), order(), false),
        (amount(100_000, 100_000), order(), true),
        (amount(100_001, AMOUNT_MINOR_MAX), order(), false),
        (amount(1, 99_999), order(), false),
        (Condition::Currencies(vec![Currency::Usd, Currency::Cny]), order(), true),
        (Condition::Currencies(vec![Currency::Usd]), order(), false),
        (Condition::Settlements(vec![SettlementMode::Instant]), order(), true),
        (Condition::Settlements(vec![SettlementMode::Escrow]), order(), false),
        (Condition::CardTypes(vec![CardType::Debit]), order(), true),
        (Condition::CardTypes(vec![CardType::Debit]), order().card(None), false),
        (Condition::Brands(vec![Brand::Visa, Brand::UnionPay]), order(), true),
        (Condition::Brands(vec![Brand::Visa]), order(), false),
        (Condition::Brands(vec![Brand::UnionPay]), order().card(None), false),
        (issuers("0102"), order(), true),
        (issuers("01021000"), order(), true),
        (issuers("01020000"), order(), false),
        (issuers("0102"), order().card(None), false),
        (prefixes(&["4", "622848"]), order(), true),
        (prefixes(&["62284"]), order().card(None), true),
        (prefixes(&["6228480"]), order(), false),
        (Condition::Merchants(merchant("shop-1")), order(), true),
        (Condition::Merchants(merchant("shop-2")), order(), false),
        (Condition::Hours(beijing("08:00-20:00")), order(), true),
        (Condition::Hours(beijing("08:00-20:00")), order().at("2026-11-22T12:00:00Z"), false),
    ];
    for (condition, order, expected) in rows {
        let rule = rule("one", vec![condition.clone()], priority(&["bank"]));
        assert_eq!(rule.fits(&order.subject()), expected, "{condition:?}");
        assert!(!condition.name().is_empty());
        assert!(condition.sentence(&order.subject()).starts_with("the "), "{condition:?}");
    }
}

#[test]
fn each_reason_strikes_and_is_named() {
    type Change = fn(&mut ChannelProfile, &mut ChannelHealth);
    let rows: [(&str, Change); 13] = [
        ("switched_off", |profile, _| profile.enabled = false),
        ("disabled", |profile, _| profile.state = ChannelState::Draining),
        ("operation", |profile, _| profile.operations = vec![Operation::Undo]),
        ("card_type", |profile, _| profile.card_types = vec![CardType::Credit]),
        ("brand", |profile, _| profile.brands = vec![Brand::Visa]),
        ("currency", |profile, _| profile.currencies = vec![Currency::Usd]),
        ("below_minimum", |profile, _| profile.per_order_min_minor = 100_001),
        ("above_maximum", |profile, _| profile.per_order_max_minor = 99_999),
        ("daily_limit", |profile, health| {
            profile.per_day_minor = Some(1_000_000);
            health.used_today_minor = [900_001, 0];
        }),
        ("outside_hours", |profile, _| profile.hours = Some(beijing("22:00-10:00"))),
        ("maintenance", |profile, _| {
            let text = "2026-11-22 09:00 to 13:00";
            let window = MaintenanceWindow::parse(text, &profile.calendar.zone).expect("a window");
            profile.maintenance = vec![window];
        }),
        ("breaker_open", |_, health| health.breaker_open = true),
        ("no_rate_left", |_, health| health.rate_left = false),
    ];
    let rules = [rule("one", Vec::new(), priority(&["bank", "nowhere", "unionpay"]))];
    for (name, change) in rows {
        let world = world(|profile, health| {
            if profile.id.as_str() == "bank" {
                change(profile, health);
            }
        });
        let (given, order) = (world.channels(), order());
        let plan = plan(&rules, &given, &order.subject(), 0);
        assert_eq!(kept(&plan), ["unionpay"], "{name}");
        assert_eq!(struck(&plan), [("bank", name), ("nowhere", "unknown_channel")]);
        assert!(plan.struck.iter().all(|struck| struck.strike.to_string().len() > 20));
    }
}

#[test]
fn maintenance_ends_at_its_minute_and_says_so() {
    let world = world(|profile, _| {
        let text = "2026-11-21 22:00 to 2026-11-22 10:01";
        let window = MaintenanceWindow::parse(text, &profile.calendar.zone).expect("a window");
        profile.maintenance = vec![window];
    });
    let (rules, given) = ([Rule::default_rule()], world.channels());
    let during = order();
    let struck = plan(&rules, &given, &during.subject(), 0).struck;
    let until = "the channel has maintenance until 2026-11-22 10:01, its time";
    assert_eq!(struck[0].strike.to_string(), until);
    let after = order().at("2026-11-22T02:01:00Z");
    assert_eq!(plan(&rules, &given, &after.subject(), 0).kept.len(), NAMES.len());
}

#[test]
fn a_bound_belongs_to_what_it_allows() {
    let world = world(|profile, health| {
        profile.per_order_min_minor = 100_000;
        profile.per_order_max_minor = 100_000;
        profile.per_day_minor = Some(300_000);
        health.used_today_minor = [200_000, 0];
        profile.card_types = vec![CardType::Debit];
        profile.brands = vec![Brand::UnionPay];
        profile.currencies = vec![Currency::Cny];
        profile.hours = Some(beijing("10:00-10:01"));
    });
    let (rules, given, fits) = ([Rule::default_rule()], world.channels(), order());
    assert_eq!(plan(&rules, &given, &fits.subject(), 0).kept.len(), NAMES.len());
    for beyond in [order().amount(100_001), order().amount(99_999), order().card(None)] {
        assert!(plan(&rules, &given, &beyond.subject(), 0).kept.is_empty());
    }
}

#[test]
fn a_rule_without_a_channel_decides_unless_it_may_fall_through() {
    let world = world(|profile, _| profile.enabled = profile.id.as_str() == "unionpay");
    let closed = |fall_through| Rule {
        fall_through,
        ..rule("closed", Vec::new(), priority(&["bank", "nowhere"]))
    };
    let open = || rule("open", Vec::new(), priority(&["direct", "unionpay"]));
    let credit = || {
        let only = vec![Condition::CardTypes(vec![CardType::Credit])];
        rule("credit", only, priority(&["unionpay"]))
    };
    let rows = [
        (vec![closed(false), open()], Some("closed"), vec![], 2),
        (vec![closed(true), open()], Some("open"), vec!["unionpay"], 1),
        (vec![closed(true), credit(), open()], Some("open"), vec!["unionpay"], 1),
        (vec![closed(true), credit()], Some("closed"), vec![], 2),
        (vec![closed(true), closed(true)], Some("closed"), vec![], 2),
        (vec![credit()], None, vec![], 0),
        (vec![], None, vec![], 0),
    ];
    for (rules, name, channels, struck_count) in rows {
        let (given, order) = (world.channels(), order());
        let plan = plan(&rules, &given, &order.subject(), 0);
        assert_eq!(plan.rule_name(), name, "{rules:?}");
        assert_eq!(kept(&plan), channels);
        assert_eq!(plan.struck.len(), struck_count);
    }
}

#[test]
fn an_explanation_says_why_of_every_rule_and_channel() {
    let world = world(|profile, health| match profile.id.as_str() {
        "bank" => {
            profile.currencies = vec![Currency::Usd];
            health.breaker_open = true;
        }
        "direct" => profile.enabled = false,
        _ => {}
    });
    let conditions = vec![
        Condition::Amount { from_minor: 1, to_minor: 5 },
        Condition::CardTypes(vec![CardType::Credit, CardType::Prepaid]),
        Condition::Settlements(vec![SettlementMode::Instant]),
    ];
    let rules = [
        rule("small credit", conditions, priority(&["acquirer"])),
        Rule { fall_through: true, ..rule("bank", Vec::new(), priority(&["bank", "nowhere"])) },
        rule("named", Vec::new(), priority(&["direct", "unionpay"])),
        Rule::default_rule(),
    ];
    let (given, order) = (world.channels(), order());
    let said = explain(&rules, &given, &order.subject(), 7);
    let verdicts: Vec<_> = said.rules.iter().map(|rule| rule.verdict.name()).collect();
    assert_eq!(verdicts, ["does_not_fit", "falls_through", "decides", "not_reached"]);
    let mismatches: Vec<_> =
        said.rules[0].mismatches.iter().map(|m| (m.condition, m.sentence.as_str())).collect();
    assert_eq!(
        mismatches,
        [
            ("amount", "the amount is 100000 minor units, not 1 to 5"),
            ("card_types", "the card type is debit, not credit, prepaid"),
        ]
    );
    let strikes = vec![Strike::Currency, Strike::BreakerOpen];
    assert_eq!(said.rules[1].candidates[0].verdict, CandidateVerdict::Struck(strikes));
    let unknown = CandidateVerdict::Struck(vec![Strike::UnknownChannel]);
    assert_eq!(said.rules[1].candidates[1].verdict, unknown);
    let first = CandidateVerdict::Kept { place: 1, standing: "as listed".to_owned() };
    assert_eq!(said.rules[2].candidates[1].verdict, first);
    let best = "a success rate of 100.0000 %, by the channel's health, for too few orders of the \
                kind were seen"
        .to_owned();
    let best = CandidateVerdict::Kept { place: 1, standing: best };
    assert_eq!(said.rules[3].candidates[0].verdict, best);
    assert_eq!(kept(&said.plan), ["unionpay"]);
}

#[test]
fn the_order_keeps_its_candidates_best_first() {
    let world = world(|profile, _| profile.keeps_pan = profile.id.as_str() == "bank");
    let rules = [rule("both", Vec::new(), priority(&["unionpay", "bank"]))];
    let (given, order) = (world.channels(), order());
    let candidates = plan(&rules, &given, &order.subject(), 0).candidates();
    let expected = [("unionpay", false), ("bank", true)]
        .map(|(name, keeps_pan)| Candidate { channel: id(name), keeps_pan });
    assert_eq!(candidates, expected);
}

#[test]
fn what_the_bin_table_says_is_what_rules_ask() {
    let facts = order().card.expect("a card");
    assert_eq!(
        (facts.card_type, facts.brands),
        (Some(CardType::Debit), CardBrands::one(Brand::UnionPay))
    );
    for strategy in Strategy::ALL {
        let same = |other: &Strategy| other.name() == strategy.name();
        assert_eq!(Strategy::ALL.iter().filter(|other| same(other)).count(), 1);
    }
}

#[test]
fn a_card_of_which_only_the_brand_is_known_fits_rules_about_that_alone() {
    let bare = CardTraits::of(None, b"8100123456789012");
    let order = order().card(bare);
    assert!(Condition::Brands(vec![Brand::UnionPay]).holds(&order.subject()));
    assert!(!Condition::Brands(vec![Brand::Visa]).holds(&order.subject()));
    let unknown = [
        (Condition::CardTypes(CardType::ALL.to_vec()), "the card type is not known, not "),
        (Condition::IssuerCodes(vec!["0102".to_owned()]), "the issuer is not known, not 0102"),
    ];
    for (condition, told) in unknown {
        assert!(!condition.holds(&order.subject()), "{condition:?}");
        let sentence = condition.sentence(&order.subject());
        assert!(sentence.starts_with(told), "{sentence}");
    }
    let world = world(|profile, _| profile.brands = vec![Brand::UnionPay]);
    let (rules, given) = ([Rule::default_rule()], world.channels());
    assert!(!plan(&rules, &given, &order.subject(), 0).kept.is_empty());
    assert_eq!(CardTraits::of(None, b"8172123456789012"), None);
}

#[test]
fn a_rule_about_an_issuer_says_its_name_of_today() {
    let told = Condition::IssuerCodes(vec!["0103".to_owned()]).sentence(&order().subject());
    assert_eq!(told, "the issuer is 01021000 (工商银行), not 0103");
}

#[test]
fn a_card_of_two_brands_is_taken_by_channels_of_either() {
    let brands = CardBrands { first: Brand::Visa, second: Some(Brand::UnionPay) };
    let mut both = order();
    both.card = both.card.map(|card| CardTraits { brands, ..card });
    let rows = [
        (vec![], true),
        (vec![Brand::UnionPay], true),
        (vec![Brand::Visa], true),
        (vec![Brand::Jcb, Brand::UnionPay], true),
        (vec![Brand::Jcb], false),
    ];
    for (taken, fits) in rows {
        let world = world(|profile, _| profile.brands.clone_from(&taken));
        let (rules, given) = ([Rule::default_rule()], world.channels());
        assert_eq!(!plan(&rules, &given, &both.subject(), 0).kept.is_empty(), fits, "{taken:?}");
        if !taken.is_empty() {
            assert_eq!(Condition::Brands(taken).holds(&both.subject()), fits);
        }
    }
    let told = Condition::Brands(vec![Brand::Jcb]).sentence(&both.subject());
    assert_eq!(told, "the brand is visa+unionpay, not jcb");
}
