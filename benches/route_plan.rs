//! What one routing plan costs: 10 channels, 50 rules of which the last one fits. No pass or fail.
//!
//! `cargo bench --bench route_plan` measures and prints the nanoseconds of one plan for each
//! strategy, and of a past order that both sides of a replay plan again; any other run only shows
//! that it works.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use jiff::civil;
use jiff::tz::TimeZone;

use switchyard::domain::attempt::{Attempt, AttemptState, Operation};
use switchyard::domain::bin::{Bin, BinRow, Brand, CardBrands, CardType};
use switchyard::domain::card::{CardDigests, CardFacts, MaskedPan};
use switchyard::domain::fee::{FeeRule, FeeSchedule, RefundFee};
use switchyard::domain::ids::{ChannelId, MerchantId, OrderId};
use switchyard::domain::instrument::InstrumentKind;
use switchyard::domain::money::{AMOUNT_MINOR_MAX, AmountMinor, Currency};
use switchyard::domain::order::{Instruction, Order, OrderKind, OrderStatus};
use switchyard::domain::route::channel::{Channel, ChannelHealth, ChannelProfile, ChannelState};
use switchyard::domain::route::condition::{CardPrefix, Condition};
use switchyard::domain::route::hours::{DayWindow, Hours};
use switchyard::domain::route::maintenance::MaintenanceWindow;
use switchyard::domain::route::rates::{FoundRate, RateTable, Sample, Situation};
use switchyard::domain::route::replay::{Replay, RouteSet};
use switchyard::domain::route::{
    CardTraits, IssuerTraits, RouteAsk, RouteSubject, RouteTarget, Rule, Strategy, plan,
};
use switchyard::domain::terms::RateTerms;
use switchyard::domain::time::{ClearingCalendar, Timestamp};

const CHANNELS: usize = 10;
const RULES: usize = 50;
/// Short rounds: the best one is then likely to have had the processor for itself.
const PLANS: u64 = 5_000;

fn main() {
    let measured = std::env::args().any(|argument| argument == "--bench");
    let rounds = if measured { 400 } else { 1 };
    let profiles: Vec<ChannelProfile> = (0..CHANNELS).map(profile).collect();
    let channels: Vec<Channel<'_>> = profiles.iter().enumerate().map(channel).collect();
    let merchant = MerchantId::parse("merchant-1").expect("a merchant id");
    let amount = AmountMinor::new(123_456).expect("an amount");
    let instruction = Instruction::unsent(OrderKind::Payment, merchant, amount, Currency::Cny);
    let subject = RouteSubject {
        ask: RouteAsk::Order(&instruction),
        prefix: CardPrefix::leading("6216261000000000018"),
        card: Some(CardTraits {
            issuer: Some(IssuerTraits { code: "03070010", name: "平安银行" }),
            card_type: Some(CardType::Debit),
            brands: CardBrands::one(Brand::UnionPay),
        }),
        bound_to: None,
        now: Timestamp::from_millis(1_795_000_000_000),
    };
    for strategy in Strategy::ALL {
        let rules = rules(strategy);
        let nanoseconds = (0..rounds)
            .map(|_| nanoseconds_of_one(&rules, &channels, &subject))
            .fold(f64::INFINITY, f64::min);
        println!("{:>12}: {nanoseconds:.0} ns a plan", strategy.name());
    }
    let nanoseconds =
        (0..rounds).map(|_| nanoseconds_of_rate(&subject)).fold(f64::INFINITY, f64::min);
    println!("{:>12}: {nanoseconds:.0} ns for each channel of a plan", "rate");
    let (rules, rates) = (rules(Strategy::LowestCost), RateTerms::default());
    let set = RouteSet { rules, profiles: profiles.clone(), rates };
    let past = past_order(&instruction, subject.now);
    let nanoseconds =
        (0..rounds).map(|_| nanoseconds_of_replay(&set, &past)).fold(f64::INFINITY, f64::min);
    println!("{:>12}: {nanoseconds:.0} ns an order", "replay");
    println!("best of {rounds} rounds; {RULES} rules, {CHANNELS} channels");
}

fn nanoseconds_of_one(rules: &[Rule], channels: &[Channel<'_>], subject: &RouteSubject<'_>) -> f64 {
    let start = Instant::now();
    for draw in 0..PLANS {
        let draw = draw.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        black_box(plan(black_box(rules), black_box(channels), black_box(subject), draw));
    }
    start.elapsed().as_nanos() as f64 / PLANS as f64
}

/// A look-up that finds enough samples in the third group, in a table of a busy channel.
fn nanoseconds_of_rate(subject: &RouteSubject<'_>) -> f64 {
    let mut table = RateTable::new(RateTerms::default());
    let sample = Sample { is_success: true, at: subject.now };
    let card = subject.card.expect("it has a card");
    for number in 0..1_000 {
        let code = format!("{number:04}0000");
        let issuer = Some(IssuerTraits { code: &code, name: "" });
        for card_type in CardType::ALL {
            let card = Some(CardTraits { issuer, card_type: Some(card_type), ..card });
            let situation = Situation::of(&RouteSubject { card, ..*subject });
            let of_type = if card_type == CardType::Credit { 30 } else { 1 };
            for _ in 0..of_type {
                table.count(situation.expect("a payment"), sample, subject.now);
            }
        }
    }
    let start = Instant::now();
    for _ in 0..PLANS {
        let situation = Situation::of(black_box(subject)).expect("a payment");
        black_box(table.find(situation, subject.now));
    }
    start.elapsed().as_nanos() as f64 / PLANS as f64
}

fn nanoseconds_of_replay(set: &RouteSet, past: &Order) -> f64 {
    let mut replay = Replay::new(set, set);
    let start = Instant::now();
    for draw in 0..PLANS {
        replay.take(black_box(past), draw);
    }
    let nanoseconds = start.elapsed().as_nanos() as f64 / PLANS as f64;
    assert_eq!(replay.finish().orders, PLANS);
    nanoseconds
}

/// An order that one channel has approved.
fn past_order(instruction: &Instruction, at: Timestamp) -> Order {
    let row = BinRow {
        bin: Bin::parse("621626").expect("a BIN"),
        pan_length: 19,
        issuer_code: "03070010".to_owned(),
        issuer_name: "平安银行".to_owned(),
        card_name: String::new(),
        card_type: CardType::Debit,
        brands: CardBrands::one(Brand::UnionPay),
    };
    let masked = MaskedPan::from_stored("621626*********0018");
    let digests = CardDigests::default();
    let mut asked = instruction.clone();
    asked.instrument = Some(CardFacts { masked, digests, row: Some(Arc::new(row)) }.into());
    let mut order = Order::accepted(OrderId::compose(261_122, 1, 1), asked, at);
    order.status = OrderStatus::Succeeded;
    order.attempts.push(Attempt {
        number: 1,
        channel: channel_id(0),
        operation: Operation::Payment,
        state: AttemptState::Approved,
        sent_at: at,
        announced_at: None,
        channel_reference: None,
        acknowledged_at: None,
        code: None,
        reason: None,
        unknown_cause: None,
        objection: None,
        unresolved_at: None,
        ended_at: None,
        ended_by: None,
        sealed_pan: None,
    });
    order
}

/// Forty-nine rules that fail on their second condition or later, and one that fits.
fn rules(strategy: Strategy) -> Vec<Rule> {
    let channels: Vec<ChannelId> = (0..CHANNELS).map(channel_id).collect();
    let target = match strategy {
        Strategy::Weighted => RouteTarget::weighted(
            channels.into_iter().zip([5, 10, 15, 20].into_iter().cycle()).collect(),
        ),
        Strategy::Priority | Strategy::LowestCost | Strategy::SuccessRate => {
            RouteTarget::named(strategy, channels)
        }
    };
    let target = target.expect("the channels are named once");
    let rule = |number: usize| {
        let last = match number % 4 {
            _ if number + 1 == RULES => Condition::Hours(hours("00:00-24:00")),
            0 => Condition::CardTypes(vec![CardType::Credit]),
            1 => Condition::Hours(hours("01:00-02:00")),
            2 => Condition::IssuerCodes(vec!["0102".to_owned(), "01030000".to_owned()]),
            _ => Condition::BinPrefixes(
                ["622848", "622700", "4"].map(CardPrefix::leading).into_iter().collect(),
            ),
        };
        let amount = Condition::Amount { from_minor: 1, to_minor: AMOUNT_MINOR_MAX };
        Rule {
            name: format!("rule {number}"),
            conditions: vec![amount, Condition::Currencies(vec![Currency::Cny]), last],
            target: target.clone(),
            fall_through: false,
        }
    };
    (0..RULES).map(rule).collect()
}

fn calendar() -> ClearingCalendar {
    let zone = TimeZone::get("Asia/Shanghai").expect("the zone is compiled in");
    ClearingCalendar { zone, cut_off: civil::time(23, 0, 0, 0) }
}

fn hours(window: &str) -> Hours {
    Hours {
        windows: vec![DayWindow::parse(window).expect("a window")],
        zone: TimeZone::get("Asia/Shanghai").expect("the zone is compiled in"),
    }
}

fn maintenance(text: &str) -> MaintenanceWindow {
    MaintenanceWindow::parse(text, &TimeZone::UTC).expect("a window")
}

fn channel_id(number: usize) -> ChannelId {
    ChannelId::parse(&format!("channel-{number:02}")).expect("a channel id")
}

fn profile(number: usize) -> ChannelProfile {
    let fee = FeeRule {
        name: "standard".to_owned(),
        from: None,
        until: None,
        is_payout: false,
        card_types: Vec::new(),
        categories: Vec::new(),
        from_minor: 0,
        to_minor: AMOUNT_MINOR_MAX,
        rate_ppm: 6_000 - number as u32 * 100,
        fixed_minor: 0,
        minimum_minor: 1,
        cap_minor: Some(2_000),
        refund: RefundFee::Keep,
    };
    ChannelProfile {
        id: channel_id(number),
        state: ChannelState::Live,
        enabled: true,
        operations: Operation::ALL.to_vec(),
        services: Vec::new(),
        instruments: vec![InstrumentKind::Card],
        payees: vec![InstrumentKind::Card],
        account_kinds: Vec::new(),
        code_beginnings: Vec::new(),
        card_types: vec![CardType::Credit, CardType::Debit],
        brands: vec![Brand::UnionPay],
        currencies: vec![Currency::Cny],
        per_order_min_minor: 1,
        per_order_max_minor: if number == 3 { 100 } else { 5_000_000 },
        per_day_minor: Some(100_000_000_000),
        payouts_per_day_minor: Some(100_000_000_000),
        hours: Some(hours("00:30-23:00")),
        maintenance: vec![maintenance("2026-12-01 02:00 to 04:00")],
        fees: Arc::new(FeeSchedule { rules: vec![fee] }),
        calendar: calendar(),
        keeps_pan: false,
    }
}

fn channel<'a>((number, profile): (usize, &'a ChannelProfile)) -> Channel<'a> {
    let health = ChannelHealth {
        breaker_open: number == 5,
        success_rate: FoundRate::of_health(990_000 + (number as u32 * 7_919) % 10_000),
        rate_left: true,
        used_today_minor: [1_000_000, 0],
    };
    Channel { profile, health }
}
