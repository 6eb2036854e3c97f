//! What-if over orders of the past.

use super::*;
use crate::domain::attempt::{Attempt, AttemptState};
use crate::domain::bin::{Bin, BinRow};
use crate::domain::card::{CardDigests, CardFacts, MaskedPan};
use crate::domain::ids::{AgreementId, OrderId};
use crate::domain::instrument::InstrumentFacts;
use crate::domain::order::{Order as PastOrder, OrderStatus, RouteVerdict};
use crate::domain::payee_account::{AccountDigests, AccountFacts, AccountKind, MaskedAccount};
use crate::domain::payer_code::{CodeFacts, MaskedCode};
use crate::domain::route::replay::{Move, Moved, Replay, RouteSet, SAMPLES_MIN};
use crate::domain::terms::RateTerms;

const FORENOON: &str = "2026-11-22T02:00:00Z";

fn priority(names: &[&str]) -> Rule {
    rule("all", Vec::new(), RouteTarget::named(Strategy::Priority, ids(names)).expect("a target"))
}

fn set(rules: Vec<Rule>, change: impl Fn(&mut ChannelProfile)) -> RouteSet {
    let profiles = NAMES.iter().map(|name| {
        let mut profile = profile(name);
        change(&mut profile);
        profile
    });
    RouteSet { rules, profiles: profiles.collect(), rates: RateTerms::default() }
}

fn facts(issuer_code: &str) -> CardFacts {
    let row = BinRow {
        bin: Bin::parse("62284800").expect("a BIN"),
        pan_length: 19,
        issuer_code: issuer_code.to_owned(),
        issuer_name: "a bank".to_owned(),
        card_name: String::new(),
        card_type: CardType::Debit,
        brands: CardBrands::one(Brand::UnionPay),
    };
    CardFacts {
        masked: MaskedPan::from_stored("622848*********0018"),
        digests: CardDigests::default(),
        row: Some(Arc::new(row)),
    }
}

/// An order of 1,000.00 CNY that ended at this channel.
fn past(number: u64, channel: &str, state: AttemptState) -> PastOrder {
    let created_at = moment(FORENOON).plus(std::time::Duration::from_secs(number));
    let merchant = MerchantId::parse("shop-1").expect("a merchant id");
    let amount = AmountMinor::new(100_000).expect("an amount");
    let mut asked = Instruction::unsent(OrderKind::Payment, merchant, amount, Currency::Cny);
    asked.instrument = Some(facts("01021000").into());
    let number = OrderId::compose(261_122, 1, number);
    let mut order = PastOrder::accepted(number, asked, created_at);
    order.status = match state {
        AttemptState::Approved => OrderStatus::Succeeded,
        AttemptState::Declined | AttemptState::NotSent => OrderStatus::Failed,
        AttemptState::Reversed => OrderStatus::Reversed,
        AttemptState::Sending | AttemptState::Pending => OrderStatus::Processing,
        AttemptState::Unknown => OrderStatus::Unknown,
    };
    order.attempts.push(Attempt {
        number: 1,
        channel: id(channel),
        operation: Operation::Payment,
        state,
        sent_at: created_at,
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

fn key(from: Option<&str>, to: Option<&str>) -> Move {
    (from.map(id), to.map(id), Currency::Cny)
}

#[test]
fn the_same_rules_move_nothing_and_tell_what_is_known() {
    let same = set(vec![priority(&["bank", "direct"])], |_| {});
    let mut replay = Replay::new(&same, &same);
    for number in 0..10 {
        let state = if number < 7 { AttemptState::Approved } else { AttemptState::Declined };
        replay.take(&past(number, "bank", state), number);
    }
    replay.take(&past(10, "bank", AttemptState::Unknown), 0);
    let report = replay.finish();
    assert_eq!((report.orders, report.moved(), report.undecided), (11, 0, 0));
    assert_eq!(report.in_force, report.candidate);
    let share = report.candidate.shares[&(id("bank"), Currency::Cny)];
    // 0.6 % of 1,000.00, of the seven that succeeded.
    assert_eq!((share.orders, share.amount_minor, share.fee_minor), (11, 1_100_000, 7 * 600));
    let approvals = report.candidate.approvals;
    assert_eq!((approvals.known, approvals.open, approvals.without_figures), (7, 1, 0));
    assert!(approvals.expected.abs() < f64::EPSILON && approvals.margin.abs() < f64::EPSILON);
}

#[test]
fn what_moves_is_expected_from_what_its_channel_has_shown() {
    let in_force = set(vec![priority(&["bank"])], |_| {});
    let candidate = set(vec![priority(&["direct"])], |profile| profile.fees = fees(2_000));
    let mut replay = Replay::new(&in_force, &candidate);
    // The direct link has shown 80 % on orders of the kind, the bank 50 %.
    for number in 0..100 {
        let approved = number % 5 != 0;
        let state = if approved { AttemptState::Approved } else { AttemptState::Declined };
        replay.take(&past(number, "direct", state), number);
    }
    for number in 100..200 {
        let approved = number % 2 == 0;
        let state = if approved { AttemptState::Approved } else { AttemptState::Declined };
        replay.take(&past(number, "bank", state), number);
    }
    let report = replay.finish();
    let moved = Moved { orders: 200, amount_minor: 20_000_000 };
    assert_eq!(report.moves, BTreeMap::from([(key(Some("bank"), Some("direct")), moved)]));
    let now = report.in_force.approvals;
    assert_eq!((now.known, now.without_figures), (50, 0));
    assert!((now.expected - 50.0).abs() < 1.0, "half of a hundred at the bank: {now:?}");
    let then = report.candidate.approvals;
    assert_eq!(then.known, 80);
    assert!((then.expected - 80.0).abs() < 2.0, "{then:?}");
    assert!((5.0..20.0).contains(&then.margin), "{then:?}");
    let fee = |side: &crate::domain::route::replay::SideReport, name| {
        side.shares[&(id(name), Currency::Cny)].fee_minor
    };
    // 130 orders succeeded, and are taken to succeed elsewhere too.
    assert_eq!(fee(&report.in_force, "bank"), 130 * 600);
    assert_eq!(fee(&report.candidate, "direct"), 130 * 200);
}

#[test]
fn a_channel_with_too_few_answers_says_nothing() {
    let in_force = set(vec![priority(&["bank"])], |_| {});
    let candidate = set(vec![priority(&["direct"])], |_| {});
    let mut replay = Replay::new(&in_force, &candidate);
    for number in 0..SAMPLES_MIN - 1 {
        replay.take(&past(number, "direct", AttemptState::Approved), 0);
    }
    replay.take(&past(SAMPLES_MIN, "bank", AttemptState::Approved), 0);
    let report = replay.finish();
    let (known, silent) =
        (report.candidate.approvals.known, report.candidate.approvals.without_figures);
    assert_eq!((known, silent), (SAMPLES_MIN - 1, 1));
}

#[test]
fn each_side_fills_its_own_days_up_to_their_limits() {
    let limited = |profile: &mut ChannelProfile| {
        profile.per_day_minor = (profile.id == id("bank")).then_some(250_000);
    };
    let in_force = set(vec![priority(&["bank", "direct"])], |_| {});
    let candidate = set(vec![priority(&["bank", "direct"])], limited);
    let mut replay = Replay::new(&in_force, &candidate);
    // Two fit; what failed took no part of the day.
    replay.take(&past(0, "bank", AttemptState::Declined), 0);
    for number in 1..6 {
        replay.take(&past(number, "bank", AttemptState::Approved), 0);
    }
    let report = replay.finish();
    let moved = Moved { orders: 3, amount_minor: 300_000 };
    assert_eq!(report.moves, BTreeMap::from([(key(Some("bank"), Some("direct")), moved)]));
    let hits = BTreeMap::from([((id("bank"), "daily_limit"), 3)]);
    assert_eq!((report.candidate.struck, report.in_force.struck), (hits, BTreeMap::new()));
}

#[test]
fn an_order_without_a_route_is_counted_and_moves_to_nowhere() {
    let in_force = set(vec![priority(&["bank"])], |_| {});
    let candidate = set(vec![priority(&["bank"])], |profile| profile.per_order_max_minor = 99_999);
    let mut replay = Replay::new(&in_force, &candidate);
    replay.take(&past(0, "bank", AttemptState::Approved), 0);
    let report = replay.finish();
    assert_eq!((report.in_force.without_route, report.candidate.without_route), (0, 1));
    assert_eq!(report.moves.keys().collect::<Vec<_>>(), [&key(Some("bank"), None)]);
}

#[test]
fn i_11_a_rule_that_asks_for_more_digits_than_are_kept_is_told() {
    let asks = |digits: &str| {
        let prefix = Condition::BinPrefixes(vec![CardPrefix::parse(digits).expect("digits")]);
        let to = RouteTarget::named(Strategy::Priority, ids(&["direct"])).expect("a target");
        let rules = vec![rule("prefix", vec![prefix], to), priority(&["bank"])];
        let same = set(vec![priority(&["bank"])], |_| {});
        let candidate = set(rules, |_| {});
        let mut replay = Replay::new(&same, &candidate);
        replay.take(&past(0, "bank", AttemptState::Approved), 0);
        let report = replay.finish();
        (report.moved(), report.undecided)
    };
    // The BIN of the card has eight digits, the masked number six.
    assert_eq!(asks("622848"), (1, 0));
    assert_eq!(asks("62284800"), (1, 0));
    assert_eq!(asks("622848001"), (0, 1));
    assert_eq!(asks("622849001"), (0, 0), "another card's digits decide nothing here");
}

#[test]
fn an_order_by_a_payer_s_code_is_planned_as_one() {
    let by_bin = Condition::BinPrefixes(vec![CardPrefix::leading("13")]);
    let to = RouteTarget::named(Strategy::Priority, ids(&["direct"])).expect("a target");
    let rules = vec![rule("prefix", vec![by_bin], to), priority(&["bank", "unionpay"])];
    let takes = |taker: &'static str| {
        move |profile: &mut ChannelProfile| {
            let is_taker = profile.id == id(taker);
            let kind = if is_taker { InstrumentKind::Code } else { InstrumentKind::Card };
            profile.instruments = vec![kind];
        }
    };
    let in_force = set(rules.clone(), takes("bank"));
    let candidate = set(rules, takes("unionpay"));
    let mut replay = Replay::new(&in_force, &candidate);
    let mut shown = past(1, "bank", AttemptState::Approved);
    let masked = MaskedCode::of("130000000000001234");
    let code = CodeFacts { masked, digest: 1 };
    shown.instruction.instrument = Some(InstrumentFacts::Code(code));
    assert!(Replay::is_planned(&shown));
    replay.take(&shown, 0);
    let report = replay.finish();
    let moved = Moved { orders: 1, amount_minor: 100_000 };
    assert_eq!(report.moves, BTreeMap::from([(key(Some("bank"), Some("unionpay")), moved)]));
    assert_eq!((report.orders, report.undecided), (1, 0), "a code has no digits to ask for");
    let struck = BTreeMap::from([((id("bank"), "instrument"), 1)]);
    assert_eq!(report.candidate.struck, struck);
}

#[test]
fn a_payout_to_an_account_is_planned_as_one() {
    let to_cards = Condition::Instruments(vec![InstrumentKind::Card]);
    let to = RouteTarget::named(Strategy::Priority, ids(&["direct"])).expect("a target");
    let rules = vec![rule("cards", vec![to_cards], to), priority(&["bank", "unionpay"])];
    let pays = |payer: &'static str| {
        move |profile: &mut ChannelProfile| {
            let is_payer = profile.id == id(payer);
            let kind = if is_payer { InstrumentKind::Account } else { InstrumentKind::Card };
            profile.operations.push(Operation::Payout);
            profile.payees = vec![kind];
            profile.account_kinds = vec![AccountKind::Login];
        }
    };
    let in_force = set(rules.clone(), pays("bank"));
    let candidate = set(rules, pays("unionpay"));
    let mut replay = Replay::new(&in_force, &candidate);
    let mut payout = past(1, "bank", AttemptState::Approved);
    payout.instruction.kind = OrderKind::Payout;
    payout.attempts[0].operation = Operation::Payout;
    payout.instruction.instrument = Some(InstrumentFacts::Account(AccountFacts {
        kind: AccountKind::Login,
        masked: MaskedAccount::of("13800138000"),
        digests: AccountDigests::default(),
    }));
    assert!(Replay::is_planned(&payout));
    replay.take(&payout, 0);
    let report = replay.finish();
    let moved = Moved { orders: 1, amount_minor: 100_000 };
    assert_eq!(report.moves, BTreeMap::from([(key(Some("bank"), Some("unionpay")), moved)]));
    assert_eq!((report.orders, report.undecided), (1, 0), "an account has no digits to ask for");
    let struck = BTreeMap::from([((id("bank"), "instrument"), 1)]);
    assert_eq!(report.candidate.struck, struck);
}

#[test]
fn an_order_by_agreement_is_its_channel_s_alone() {
    let both = |profile: &mut ChannelProfile| {
        profile.instruments = vec![InstrumentKind::Card, InstrumentKind::Agreement];
    };
    let in_force = set(vec![priority(&["direct", "bank"])], both);
    let candidate = set(vec![priority(&["unionpay", "direct", "bank"])], both);
    let mut replay = Replay::new(&in_force, &candidate);
    let bound = |order: &mut PastOrder| {
        let card = facts("01021000");
        let id = AgreementId::from_u64(1);
        order.instruction.instrument = Some(InstrumentFacts::Agreement { id, card });
    };
    let mut sent = past(1, "bank", AttemptState::Approved);
    bound(&mut sent);
    replay.take(&sent, 0);
    // One that was never sent: its plan has kept the channel of the agreement.
    let mut unsent = past(2, "bank", AttemptState::NotSent);
    unsent.attempts.clear();
    bound(&mut unsent);
    assert!(!Replay::is_planned(&unsent), "nothing says whose agreement it was");
    unsent.route = Some(Arc::new(RouteVerdict {
        rule: "all".to_owned(),
        place: 1,
        bin_table: 1,
        kept: ids(&["bank"]),
        struck: Vec::new(),
    }));
    replay.take(&unsent, 0);
    let report = replay.finish();
    assert_eq!((report.orders, report.moved()), (2, 0));
    let shares: Vec<_> = report.candidate.shares.keys().map(|(channel, _)| channel).collect();
    assert_eq!(shares, [&id("bank")]);
    let struck =
        BTreeMap::from([((id("unionpay"), "agreement"), 2), ((id("direct"), "agreement"), 2)]);
    assert_eq!(report.candidate.struck, struck);
}

#[test]
fn the_fee_of_a_past_order_is_the_one_that_its_plan_compared() {
    let dear = |profile: &mut ChannelProfile| {
        let rate = if profile.id == id("bank") { 2_000 } else { 6_000 };
        profile.fees = fees(rate);
    };
    let cheapest = RouteTarget::every_live(Strategy::LowestCost);
    let same = set(vec![rule("cheap", Vec::new(), cheapest)], dear);
    let mut replay = Replay::new(&same, &same);
    replay.take(&past(1, "direct", AttemptState::Approved), 0);
    let report = replay.finish();
    let share = report.in_force.shares[&(id("bank"), Currency::Cny)];
    let world = world(|profile, _| dear(profile));
    let (order, given) = (order(), world.channels());
    let plan = plan(&same.rules, &given, &order.subject(), 0);
    assert_eq!(share.fee_minor, plan.kept[0].standing);
    assert_eq!(share.fee_minor, 200);
}

#[test]
fn what_is_not_routed_is_passed_over() {
    let same = set(vec![priority(&["bank"])], |_| {});
    let mut replay = Replay::new(&same, &same);
    let mut refund = past(1, "bank", AttemptState::Approved);
    refund.instruction.kind = OrderKind::Refund { of: OrderId::from_u64(1) };
    assert!(!Replay::is_planned(&refund));
    replay.take(&refund, 0);
    assert_eq!(replay.finish().orders, 0);
}

#[test]
fn past_orders_are_planned_by_what_channels_had_shown_until_then() {
    let best = RouteTarget::named(Strategy::SuccessRate, ids(&["bank", "direct"]));
    let in_force = set(vec![priority(&["bank"])], |_| {});
    let candidate = set(vec![rule("best", Vec::new(), best.expect("a target"))], |_| {});
    let mut replay = Replay::new(&in_force, &candidate);
    let refused = |number| {
        let mut order = past(number, "bank", AttemptState::Declined);
        order.attempts[0].reason = Some(crate::domain::outcome::Reason::NotSupported);
        order
    };
    // Refusals that blame no fault of the channel leave its health whole: the rates alone tell.
    let floor = u64::from(RateTerms::default().samples_min);
    for number in 0..floor * 2 {
        replay.take(&refused(number), 0);
    }
    // They fade a little from second to second, so that one more makes up for it.
    let report = replay.finish();
    assert_eq!(report.moved(), floor - 1, "from the floor on the other channel is better");
}
