//! Fees on the way of an order: by its clearing date and merchant, and back by what was charged.

use switchyard::domain::attempt::{AttemptState, Source};
use switchyard::domain::command::{CardInMemory, Command};
use switchyard::domain::fee::{FeeRule, FeeSchedule, RefundFee};
use switchyard::domain::ids::{MerchantCategory, OrderId};
use switchyard::domain::money::AMOUNT_MINOR_MAX;
use switchyard::domain::order::{OrderKind, OrderStatus, SettlementMode};
use switchyard::domain::outcome::{Approval, Outcome};
use switchyard::domain::terms::Terms;
use switchyard::domain::time::BusinessDate;

use crate::build::{AMOUNT, Desk, approved, declined, order, terms};
use crate::follow_ups::{acknowledged, ask, succeeded};

fn rule(rate_ppm: u32) -> FeeRule {
    FeeRule {
        name: format!("at {rate_ppm}"),
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
        refund: RefundFee::Return,
    }
}

fn charging(rules: Vec<FeeRule>) -> Terms {
    Terms { fees: FeeSchedule { rules }, ..terms() }
}

fn date(yyyymmdd: u32) -> Option<BusinessDate> {
    BusinessDate::from_yyyymmdd(yyyymmdd)
}

/// The fee and its rule in an order's only clearing record.
fn fee(desk: &Desk, id: OrderId) -> (i64, &str) {
    let [record] = &desk.rows.clearing[&id][..] else { panic!("one record of {id}") };
    assert_eq!(record.net_minor, record.principal_minor - record.fee_minor);
    (record.fee_minor, &record.fee_rule)
}

/// Asks for a follow-up, has it booked, and lets the channel say yes.
fn carry_out(desk: &mut Desk, place: u64, kind: OrderKind, minor: i64) -> OrderId {
    let id = ask(desk, place, kind, minor).expect("it is allowed");
    if desk.rows.orders[&id].attempts.is_empty() {
        let booked = Box::new(acknowledged(desk, id));
        desk.run_on(id, Command::BeginFollowUp { booked }).expect("it waits");
    }
    desk.learn_of(id, 1, Source::Reply, approved(), CardInMemory::No);
    assert_eq!(desk.rows.orders[&id].status, OrderStatus::Succeeded);
    id
}

#[test]
fn the_clearing_date_decides_which_rate_holds() {
    // The tests' day is 22 November; the channel may say that it clears on the 23rd.
    let old = FeeRule { until: date(20_261_122), ..rule(6_000) };
    let new = FeeRule { from: date(20_261_123), ..rule(5_000) };
    for (settle_mmdd, expected) in
        [(None, (74, "at 6000")), (Some("1122"), (74, "at 6000")), (Some("1123"), (62, "at 5000"))]
    {
        let mut desk = Desk::sending_to(charging(vec![old.clone(), new.clone()]), &["one"]);
        let settle_mmdd = settle_mmdd.map(str::to_owned);
        let approval = Approval { code: "00".to_owned(), settle_mmdd, ..Approval::default() };
        desk.learn(Source::Reply, Outcome::Approved(approval));
        assert_eq!(fee(&desk, desk.id), expected);
        let kept = desk.order().charged.as_ref().expect("it was charged");
        assert_eq!((kept.minor, kept.rule.as_str()), expected);
    }
}

#[test]
fn what_is_late_is_cleared_on_the_first_open_day_at_the_rate_of_its_own() {
    let old = FeeRule { until: date(20_261_122), ..rule(6_000) };
    let new = FeeRule { from: date(20_261_123), ..rule(5_000) };
    let terms = charging(vec![old, new]);
    // A success, and one that is claimed against a decline.
    for learnt in [vec![approved()], vec![declined(), approved()]] {
        let mut desk = Desk::sending_to(terms.clone(), &["one"]);
        desk.shut_through = date(20_261_125);
        for outcome in learnt {
            desk.learn(Source::Notice, outcome);
        }
        assert_eq!(fee(&desk, desk.id), (74, "at 6000"));
        let record = &desk.rows.clearing[&desk.id][0];
        assert_eq!(Some(record.date), date(20_261_126));
        let request = desk.rows.accounting.values().next().expect("it is booked");
        assert_eq!(Some(request.business_date), date(20_261_126));
    }
}

#[test]
fn the_merchants_category_decides_and_follow_ups_have_it() {
    let hospital = MerchantCategory::parse("8062").expect("four digits");
    let exempt = FeeRule { categories: vec![hospital], ..rule(0) };
    let mut order = order(OrderKind::Preauth, SettlementMode::Instant, &["one"]);
    order.instruction.merchant_category = Some(hospital);
    let mut desk = Desk::sending_order(charging(vec![exempt, rule(6_000)]), order);
    desk.learn(Source::Reply, approved());
    let of = desk.id;
    let capture = carry_out(&mut desk, 1, OrderKind::Capture { of }, AMOUNT);
    assert_eq!(fee(&desk, capture), (0, "at 0"));
    let refund = carry_out(&mut desk, 2, OrderKind::Refund { of: capture }, AMOUNT);
    assert_eq!(fee(&desk, refund), (0, "at 0"));
}

#[test]
fn what_comes_back_is_what_was_charged_whatever_the_terms_say_now() {
    for (is_void, parts) in [(true, vec![AMOUNT]), (false, vec![1, AMOUNT / 2, AMOUNT / 2])] {
        let terms = charging(vec![rule(6_000)]);
        let mut desk = succeeded(terms, OrderKind::Payment, SettlementMode::Instant);
        assert_eq!(fee(&desk, desk.id), (74, "at 6000"));
        // From tomorrow's file on, or today's: another rate, and nothing comes back.
        desk.terms = charging(vec![FeeRule { refund: RefundFee::Keep, ..rule(9_000) }]);
        let (of, mut back) = (desk.id, 0);
        for (place, part) in (1..).zip(parts) {
            let kind = if is_void { OrderKind::Void { of } } else { OrderKind::Refund { of } };
            let id = carry_out(&mut desk, place, kind, part);
            let (minor, name) = fee(&desk, id);
            assert_eq!(name, "at 6000");
            assert!(minor <= 0, "it comes back");
            back += minor;
        }
        assert_eq!(back, -74, "exactly the original fee, is_void: {is_void}");
        assert_eq!(desk.order().claims.fee_back_minor, 74);
    }
}

#[test]
fn a_refund_that_fails_takes_no_part_of_the_fee_along() {
    let terms = charging(vec![rule(6_000)]);
    let mut desk = succeeded(terms, OrderKind::Payment, SettlementMode::Instant);
    let of = desk.id;
    let id = ask(&mut desk, 1, OrderKind::Refund { of }, AMOUNT).expect("it is allowed");
    let booked = Box::new(acknowledged(&desk, id));
    desk.run_on(id, Command::BeginFollowUp { booked }).expect("it waits");
    desk.learn_of(id, 1, Source::Reply, declined(), CardInMemory::No);
    assert_eq!(desk.order().claims.fee_back_minor, 0);
    let id = carry_out(&mut desk, 2, OrderKind::Refund { of }, AMOUNT);
    assert_eq!(fee(&desk, id).0, -74);
    // Then the channel claims the failed one too: the fee comes back once.
    let failed = OrderId::compose(261_122, 1, 101);
    desk.learn_of(failed, 1, Source::Notice, approved(), CardInMemory::No);
    assert_eq!(fee(&desk, failed).0, 0);
    assert_eq!(desk.order().claims.fee_back_minor, 74);
}

#[test]
fn i_5_an_undo_gives_back_the_fee_of_the_success_it_undoes() {
    let mut desk = Desk::after(charging(vec![rule(6_000)]), &[(Source::Reply, declined())]);
    desk.learn(Source::Notice, approved());
    assert_eq!(fee(&desk, desk.id), (74, "at 6000"));
    desk.terms = charging(vec![rule(1)]);
    let undo = desk.undo().id;
    desk.run_on(undo, Command::BeginUndo).expect("it is owed");
    desk.learn_of(undo, 1, Source::Reply, approved(), CardInMemory::No);
    assert_eq!(desk.rows.orders[&undo].attempts[0].state, AttemptState::Approved);
    assert_eq!(fee(&desk, undo), (-74, "at 6000"));
}
