//! Refunds, voids, pre-authorisations and captures: what they may do, and what each end leaves.

mod orders;
mod unknown;

use switchyard::domain::attempt::{AttemptState, Operation, Source};
use switchyard::domain::books::accounting::{
    AccountingRequest, BookingEvent, DeliveryStatus, PostingSide, RequestId, VoucherType,
};
use switchyard::domain::card::SealedPan;
use switchyard::domain::command::{CardInMemory, Command, Refusal, RepeatedCard, WantedBy};
use switchyard::domain::effect::{Alert, Effect};
use switchyard::domain::fee::{FeeRule, FeeSchedule, RefundFee};
use switchyard::domain::ids::{CallerId, CallerOrderId, OrderId};
use switchyard::domain::money::{AMOUNT_MINOR_MAX, AmountMinor};
use switchyard::domain::order::{Instruction, Order, OrderKind, OrderStatus, SettlementMode};
use switchyard::domain::outcome::{Outcome, Reason};
use switchyard::domain::reversal::{Phase, Resolution};
use switchyard::domain::terms::Terms;

use crate::build::{
    AMOUNT, Desk, approved, decider, declined, not_found, not_sent, order, pending, seconds, terms,
    unknown,
};

const DAY_S: u64 = 24 * 60 * 60;

/// A desk with an order that has succeeded.
pub fn succeeded(terms: Terms, kind: OrderKind, settlement: SettlementMode) -> Desk {
    let mut desk = Desk::sending_order(terms, order(kind, settlement, &["one", "two"]));
    desk.learn(Source::Reply, approved());
    desk
}

fn paid() -> Desk {
    succeeded(terms(), OrderKind::Payment, SettlementMode::Instant)
}

fn held() -> Desk {
    succeeded(terms(), OrderKind::Preauth, SettlementMode::Instant)
}

/// The order of a follow-up on `of`, as the engine gives it to `decide`.
pub fn follow_up(desk: &Desk, place: u64, kind: OrderKind, minor: i64) -> Order {
    let of = kind.original().expect("it follows an order up");
    let (caller, own) =
        (CallerId::from_stored("core"), CallerOrderId::from_stored(&format!("f-{place}")));
    let original = &desk.rows.orders[&of];
    let mut asked = Instruction::on(original, kind, caller, own);
    asked.notify_url.clone_from(&original.instruction.notify_url);
    asked.amount = AmountMinor::new(minor).expect("an amount");
    Order::accepted(OrderId::compose(261_122, 1, 100 + place), asked, desk.now)
}

fn ask_with(
    desk: &mut Desk,
    place: u64,
    kind: OrderKind,
    minor: i64,
    card: Option<RepeatedCard>,
) -> Result<OrderId, Refusal> {
    ask_for(desk, place, (kind, minor), card, WantedBy::One)
}

fn ask_for(
    desk: &mut Desk,
    place: u64,
    (kind, minor): (OrderKind, i64),
    card: Option<RepeatedCard>,
    wanted_by: WantedBy,
) -> Result<OrderId, Refusal> {
    let order = follow_up(desk, place, kind, minor);
    let (id, of) = (order.id, kind.original().expect("it follows an order up"));
    desk.run_on(of, Command::FollowUp { order: Box::new(order), card, wanted_by }).map(|_| id)
}

pub fn ask(desk: &mut Desk, place: u64, kind: OrderKind, minor: i64) -> Result<OrderId, Refusal> {
    ask_with(desk, place, kind, minor, None)
}

fn refund(desk: &mut Desk, place: u64, minor: i64) -> Result<OrderId, Refusal> {
    let of = desk.id;
    ask(desk, place, OrderKind::Refund { of }, minor)
}

fn void(desk: &mut Desk, place: u64) -> Result<OrderId, Refusal> {
    let of = desk.id;
    ask(desk, place, OrderKind::Void { of }, AMOUNT)
}

fn capture(desk: &mut Desk, place: u64, minor: i64) -> Result<OrderId, Refusal> {
    let of = desk.id;
    ask(desk, place, OrderKind::Capture { of }, minor)
}

/// The request that an order waits for, or waited for.
pub fn booked(desk: &Desk, id: OrderId) -> AccountingRequest {
    let first = |request: &&AccountingRequest| {
        request.order() == Some(id) && request.event.is_booked_first()
    };
    desk.rows.accounting.values().find(first).expect("it is booked first").clone()
}

pub fn acknowledged(desk: &Desk, id: OrderId) -> AccountingRequest {
    let mut request = booked(desk, id);
    request.delivery.status = DeliveryStatus::Acknowledged;
    request.delivery.acknowledged_at = Some(desk.now);
    request.delivery.version += 1;
    request
}

/// Accounting has booked it: it leaves.
fn begin(desk: &mut Desk, id: OrderId) {
    let booked = Box::new(acknowledged(desk, id));
    let decision = desk.run_on(id, Command::BeginFollowUp { booked }).expect("it waits");
    let send = Effect::Send { order: id, attempt: 1 };
    assert!(decision.effects.contains(&send), "{:?}", decision.effects);
}

fn begun_refund(desk: &mut Desk, place: u64, minor: i64) -> OrderId {
    let id = refund(desk, place, minor).expect("there is enough");
    begin(desk, id);
    id
}

fn reply(desk: &mut Desk, id: OrderId, outcome: Outcome) {
    desk.learn_of(id, 1, Source::Reply, outcome, CardInMemory::No);
}

fn events(desk: &Desk, id: OrderId) -> Vec<&'static str> {
    let of = |request: &&AccountingRequest| request.order() == Some(id);
    desk.rows.accounting.values().filter(of).map(|request| request.event.name()).collect()
}

fn status(desk: &Desk, id: OrderId) -> (OrderStatus, Option<Reason>) {
    (desk.rows.orders[&id].status, desk.rows.orders[&id].reason)
}

#[test]
fn i_7_a_refund_is_booked_first_and_leaves_when_that_is_acknowledged() {
    let mut desk = paid();
    let id = refund(&mut desk, 1, 345).expect("there is enough");
    let order = &desk.rows.orders[&id];
    assert_eq!((order.status, order.attempts.len()), (OrderStatus::Accepted, 0));
    assert_eq!(desk.order().claims.refunded_minor, 345);
    let request = booked(&desk, id);
    assert_eq!(request.id, RequestId { chain: desk.id, sequence: 2 });
    assert_eq!((request.event, request.voucher), (BookingEvent::Refund, VoucherType::Payment));
    let lines: Vec<_> =
        request.postings.iter().map(|e| (e.side, e.account.as_str(), e.amount_minor)).collect();
    let expected = [
        (PostingSide::Debit, "merchant:m-1:pending_clearing", 345),
        (PostingSide::Credit, "channel:one:pending_clearing", 345),
    ];
    assert_eq!(lines, expected);
    begin(&mut desk, id);
    let attempt = &desk.rows.orders[&id].attempts[0];
    assert_eq!((attempt.operation, attempt.state), (Operation::Refund, AttemptState::Sending));
    assert_eq!(attempt.channel.as_str(), "one");
    assert_eq!(booked(&desk, id).delivery.status, DeliveryStatus::Acknowledged);
    // A second acknowledgement begins nothing.
    let again = Command::BeginFollowUp { booked: Box::new(acknowledged(&desk, id)) };
    assert_eq!(desk.run_on(id, again).err(), Some(Refusal::WrongPhase));
    reply(&mut desk, id, approved());
    assert_eq!(status(&desk, id), (OrderStatus::Succeeded, None));
    assert_eq!(desk.rows.clearing[&id][0].principal_minor, -345);
    assert_eq!(events(&desk, id), ["refund"]);
    assert_eq!(desk.rows.notices[&id].len(), 1, "the core hears of it");
}

type End = (fn(&mut Desk, OrderId), OrderStatus, Option<Reason>);

fn resolve_as(desk: &mut Desk, id: OrderId, resolution: Resolution) {
    reply(desk, id, unknown());
    desk.run_on(id, Command::Resolve { resolution, decider: decider() }).expect("it is unknown");
}

fn learn(desk: &mut Desk, id: OrderId, source: Source, outcome: Outcome) {
    desk.learn_of(id, 1, source, outcome, CardInMemory::No);
}

/// Every way in which a follow-up that was sent can end.
fn ends() -> [End; 9] {
    let failed = |reason| (OrderStatus::Failed, Some(reason));
    let end = |how: fn(&mut Desk, OrderId), (status, reason)| (how, status, reason);
    let done = (OrderStatus::Succeeded, None);
    let decided = Some(Reason::OperatorDecision);
    [
        end(|desk, id| reply(desk, id, approved()), done),
        end(|desk, id| reply(desk, id, declined()), failed(Reason::InsufficientFunds)),
        end(|desk, id| reply(desk, id, not_sent()), failed(Reason::ChannelUnavailable)),
        end(
            |desk, id| {
                reply(desk, id, unknown());
                learn(desk, id, Source::Inquiry, approved());
            },
            done,
        ),
        end(
            |desk, id| {
                reply(desk, id, pending());
                learn(desk, id, Source::Notice, declined());
            },
            failed(Reason::InsufficientFunds),
        ),
        end(
            |desk, id| {
                reply(desk, id, unknown());
                desk.wait(seconds(600));
                learn(desk, id, Source::Inquiry, not_found());
            },
            failed(Reason::NeverArrived),
        ),
        end(|desk, id| resolve_as(desk, id, Resolution::Succeeded), done),
        end(|desk, id| resolve_as(desk, id, Resolution::Failed), failed(Reason::OperatorDecision)),
        end(
            |desk, id| resolve_as(desk, id, Resolution::Reversed),
            (OrderStatus::Reversed, decided),
        ),
    ]
}

#[test]
fn i_8_a_claim_is_kept_by_success_and_given_back_by_every_other_end() {
    for (place, (end, expected, reason)) in ends().into_iter().enumerate() {
        for is_void in [false, true] {
            for settlement in SettlementMode::ALL {
                let mut desk = succeeded(terms(), OrderKind::Payment, settlement);
                let id = if is_void { void(&mut desk, 1) } else { refund(&mut desk, 1, AMOUNT) };
                let id = id.expect("it is the same day");
                begin(&mut desk, id);
                end(&mut desk, id);
                assert_eq!(status(&desk, id), (expected, reason), "end {place}");
                let kept = if expected == OrderStatus::Succeeded { AMOUNT } else { 0 };
                assert_eq!(desk.order().claims.refunded_minor, kept, "end {place}");
                let first = if is_void { "void" } else { "refund" };
                let back = if is_void { "void_taken_back" } else { "refund_taken_back" };
                let all = [first, back];
                let events = events(&desk, id);
                assert_eq!(events, all[..if kept == 0 { 2 } else { 1 }], "end {place}");
                assert!(!desk.rows.entries.contains_key(&id), "I-6: end {place}");
            }
        }
    }
}

/// The same for what is sent at once, and books nothing before.
#[test]
fn i_8_captures_and_voids_of_a_hold_end_the_same_way() {
    for (place, (end, expected, reason)) in ends().into_iter().enumerate() {
        for is_void in [false, true] {
            let mut desk = held();
            let id = if is_void { void(&mut desk, 1) } else { capture(&mut desk, 1, AMOUNT) };
            let id = id.expect("it is held");
            end(&mut desk, id);
            assert_eq!(status(&desk, id), (expected, reason), "end {place}");
            let kept = if expected == OrderStatus::Succeeded { 0 } else { AMOUNT };
            assert_eq!(desk.order().left_minor(), kept, "end {place}");
            let booked = events(&desk, id).len();
            let paid_in = !is_void && expected == OrderStatus::Succeeded;
            assert_eq!(booked, usize::from(paid_in), "end {place}");
        }
    }
}

#[test]
fn i_8_refunds_under_way_count_and_one_that_fails_makes_room() {
    let mut desk = paid();
    let first = begun_refund(&mut desk, 1, AMOUNT - 100);
    let second = begun_refund(&mut desk, 2, 60);
    assert_eq!(refund(&mut desk, 3, 41), Err(Refusal::ExceedsLeft { left_minor: 40 }));
    assert_eq!(void(&mut desk, 3), Err(Refusal::ExceedsLeft { left_minor: 40 }));
    reply(&mut desk, first, declined());
    reply(&mut desk, second, approved());
    let third = begun_refund(&mut desk, 3, AMOUNT - 60);
    reply(&mut desk, third, approved());
    assert_eq!(refund(&mut desk, 4, 1), Err(Refusal::ExceedsLeft { left_minor: 0 }));
    let red = &desk.rows.accounting.values().find(|request| request.event.is_red_letter());
    let red = red.expect("the first was taken back");
    assert_eq!(red.voucher, VoucherType::Payment);
    assert!(red.postings.iter().all(|entry| entry.amount_minor == 100 - AMOUNT), "{red:?}");
}

#[test]
fn i_14_one_operator_gives_back_no_more_in_parts_than_at_once() {
    let mut desk = paid();
    let of = desk.id;
    let alone = |desk: &mut Desk, place, kind, minor, most_minor| {
        ask_for(desk, place, (kind, minor), None, WantedBy::OneUpTo { most_minor })
    };
    let refund = OrderKind::Refund { of };
    let needs_two = |minor, left_minor| {
        let amount = AmountMinor::new(minor).expect("an amount");
        Err(Refusal::NeedsSecondPerson { amount, left_minor })
    };
    assert_eq!(alone(&mut desk, 1, refund, 101, 100), needs_two(101, AMOUNT));
    alone(&mut desk, 1, refund, 60, 100).expect("below the bound");
    assert_eq!(alone(&mut desk, 2, refund, 41, 100), needs_two(41, AMOUNT - 60));
    alone(&mut desk, 2, refund, 40, 100).expect("as much as one may");
    assert_eq!(alone(&mut desk, 3, refund, 1, 100), needs_two(1, AMOUNT - 100));
    // What the core gives back counts, and is bound by nothing.
    ask(&mut desk, 3, refund, 500).expect("a core's own");
    assert_eq!(alone(&mut desk, 4, refund, 1, 600), needs_two(1, AMOUNT - 600));
    alone(&mut desk, 4, refund, 1, 601).expect("up to the bound");
    // Two people are bound by nothing, and a hold that is let go gives nothing back.
    let two = WantedBy::Two(decider());
    ask_for(&mut desk, 5, (refund, 300), None, two).expect("two people");
    let mut desk = held();
    let void = OrderKind::Void { of: desk.id };
    alone(&mut desk, 1, void, AMOUNT, 0).expect("no money came in");
    let mut desk = paid();
    let void = OrderKind::Void { of: desk.id };
    assert_eq!(alone(&mut desk, 1, void, AMOUNT, AMOUNT - 1), needs_two(AMOUNT, AMOUNT));
}

#[test]
fn i_8_a_refund_takes_what_is_still_in_escrow_first() {
    let mut desk = succeeded(terms(), OrderKind::Payment, SettlementMode::Escrow);
    let release = |desk: &mut Desk, place, minor| {
        let of = desk.id;
        let release = Box::new(follow_up(desk, place, OrderKind::Release { of }, minor));
        desk.run(Command::Release { release }).map(|_| ())
    };
    release(&mut desk, 1, 345).expect("it is in escrow");
    let id = begun_refund(&mut desk, 2, AMOUNT - 100);
    let lines: Vec<_> = booked(&desk, id)
        .postings
        .into_iter()
        .map(|entry| (entry.side, entry.account, entry.amount_minor))
        .collect();
    let expected = [
        (PostingSide::Debit, "merchant:m-1:pending_clearing".to_owned(), 245),
        (PostingSide::Debit, "company:transitional".to_owned(), AMOUNT - 345),
        (PostingSide::Credit, "channel:one:pending_clearing".to_owned(), AMOUNT - 100),
    ];
    assert_eq!(lines, expected);
    assert_eq!(release(&mut desk, 3, 1), Err(Refusal::ExceedsLeft { left_minor: 0 }));
    // It does not come about, so the escrow is whole again.
    reply(&mut desk, id, declined());
    assert_eq!(desk.order().unreleased_minor(), AMOUNT - 345);
    release(&mut desk, 4, AMOUNT - 345).expect("it is in escrow again");
}

#[test]
fn refusals_say_what_stands_in_the_way() {
    let whole = AMOUNT;
    let of = paid().id;
    let refund = OrderKind::Refund { of };
    let void = OrderKind::Void { of };
    let capture = OrderKind::Capture { of };
    let only_payments = || Terms { operations: vec![Operation::Payment], ..terms() };
    let no_parts = || Terms { partial_refund: false, ..terms() };
    let unbooked = || Terms { has_accounting: false, ..terms() };
    let payment = OrderKind::Payment;
    let preauth = OrderKind::Preauth;
    let unsupported = |operation| Refusal::OperationNotSupported { operation };
    let rows: [(Terms, OrderKind, OrderKind, i64, u64, Refusal); 14] = [
        (terms(), payment, capture, whole, 0, Refusal::WrongKind),
        (terms(), preauth, refund, whole, 0, Refusal::WrongKind),
        (terms(), payment, refund, whole + 1, 0, Refusal::ExceedsLeft { left_minor: whole }),
        (terms(), payment, void, whole - 1, 0, Refusal::ExceedsLeft { left_minor: whole }),
        (terms(), preauth, capture, whole + 1, 0, Refusal::ExceedsLeft { left_minor: whole }),
        (only_payments(), payment, refund, 1, 0, unsupported(Operation::Refund)),
        (only_payments(), payment, void, whole, 0, unsupported(Operation::Void)),
        (only_payments(), preauth, capture, 1, 0, unsupported(Operation::Capture)),
        (no_parts(), payment, refund, whole - 1, 0, Refusal::PartNotSupported),
        (unbooked(), payment, refund, 1, 0, Refusal::AccountingNotConfigured),
        (unbooked(), payment, void, whole, 0, Refusal::AccountingNotConfigured),
        (terms(), payment, void, whole, 1, Refusal::NotSameDay),
        (terms(), payment, refund, 1, 181, Refusal::RefundWindowClosed { days: 180 }),
        (terms(), preauth, void, whole, 31, Refusal::PreauthExpired { days: 30 }),
    ];
    for (place, (terms, first, kind, minor, days, expected)) in rows.into_iter().enumerate() {
        let mut desk = succeeded(terms, first, SettlementMode::Instant);
        desk.wait(seconds(days * DAY_S));
        let before = desk.rows.clone();
        assert_eq!(ask(&mut desk, 1, kind, minor), Err(expected), "row {place}");
        assert_eq!(desk.rows, before, "row {place}: nothing is written");
    }
    let mut desk = Desk::unknown();
    assert_eq!(ask(&mut desk, 1, refund, 1), Err(Refusal::NotSucceeded));
    // A refund and a void are no money paid in: nobody gives them back.
    let mut desk = paid();
    let id = begun_refund(&mut desk, 1, 5);
    reply(&mut desk, id, approved());
    let of_refund = OrderKind::Refund { of: id };
    assert_eq!(ask(&mut desk, 2, of_refund, 5), Err(Refusal::WrongKind));
}

#[test]
fn a_pre_authorisation_holds_and_moves_no_money() {
    let mut desk = held();
    assert_eq!(desk.order().status, OrderStatus::Succeeded);
    assert_eq!(desk.attempt().operation, Operation::Preauth);
    assert!(desk.rows.clearing.is_empty() && desk.rows.accounting.is_empty(), "I-7");
    assert_eq!(desk.rows.transactions[&desk.id].len(), 1);
    // It is captured once, for less than it holds, and nothing of it is left then.
    let id = capture(&mut desk, 1, AMOUNT - 45).expect("it holds as much");
    assert_eq!(capture(&mut desk, 2, 1), Err(Refusal::ExceedsLeft { left_minor: 0 }));
    assert_eq!(void(&mut desk, 2), Err(Refusal::ExceedsLeft { left_minor: 45 }));
    reply(&mut desk, id, approved());
    assert_eq!(desk.rows.clearing[&id][0].principal_minor, AMOUNT - 45);
    assert_eq!(events(&desk, id), ["instant_payment"]);
    // The capture is the payment's success: it is refunded like one, in its own chain.
    let refund = ask(&mut desk, 3, OrderKind::Refund { of: id }, 100).expect("it was paid in");
    assert_eq!(booked(&desk, refund).id, RequestId { chain: id, sequence: 2 });
    begin(&mut desk, refund);
    reply(&mut desk, refund, approved());
    assert_eq!(desk.rows.orders[&id].claims.refunded_minor, 100);
}

#[test]
fn a_capture_that_fails_leaves_the_hold_to_another() {
    for outcome in [declined(), not_sent()] {
        let mut desk = held();
        let id = capture(&mut desk, 1, AMOUNT).expect("it holds as much");
        reply(&mut desk, id, outcome);
        assert_eq!(status(&desk, id).0, OrderStatus::Failed);
        assert_eq!(desk.order().claims.captured_minor, 0);
        let id = capture(&mut desk, 2, AMOUNT).expect("it holds as much");
        reply(&mut desk, id, approved());
    }
}

#[test]
fn a_hold_is_let_go_without_a_booking_even_after_its_day() {
    let mut desk = succeeded(
        Terms { has_accounting: false, ..terms() },
        OrderKind::Preauth,
        SettlementMode::Escrow,
    );
    desk.wait(seconds(20 * DAY_S));
    let id = void(&mut desk, 1).expect("it was not captured");
    assert_eq!(desk.rows.orders[&id].attempts[0].state, AttemptState::Sending);
    assert_eq!(capture(&mut desk, 2, 1), Err(Refusal::ExceedsLeft { left_minor: 0 }));
    reply(&mut desk, id, approved());
    assert_eq!(status(&desk, id).0, OrderStatus::Succeeded);
    assert!(desk.rows.clearing.is_empty() && desk.rows.accounting.is_empty(), "I-7");
}

#[test]
fn a_void_gives_the_fee_back_and_a_refund_as_agreed() {
    let rule = |refund| FeeRule {
        name: "standard".to_owned(),
        from: None,
        until: None,
        is_payout: false,
        card_types: Vec::new(),
        categories: Vec::new(),
        from_minor: 0,
        to_minor: AMOUNT_MINOR_MAX,
        rate_ppm: 6_000,
        fixed_minor: 0,
        minimum_minor: 0,
        cap_minor: None,
        refund,
    };
    // 0.6 % of 123.45 is 0.74. Of that 0.49 is kept for two thirds, and 0.25 comes back.
    for (policy, is_void, minor, fee_minor) in [
        (RefundFee::Keep, true, AMOUNT, -74),
        (RefundFee::Keep, false, AMOUNT, 0),
        (RefundFee::Return, false, AMOUNT, -74),
        (RefundFee::Return, false, AMOUNT / 3, -25),
        (RefundFee::ReturnWhenWhole, false, AMOUNT, -74),
        (RefundFee::ReturnWhenWhole, false, AMOUNT / 3, 0),
    ] {
        let fees = FeeSchedule { rules: vec![rule(policy)] };
        let terms = Terms { fees, ..terms() };
        let mut desk = succeeded(terms, OrderKind::Payment, SettlementMode::Instant);
        let id = if is_void { void(&mut desk, 1) } else { refund(&mut desk, 1, minor) };
        let id = id.expect("it is the same day");
        begin(&mut desk, id);
        reply(&mut desk, id, approved());
        let record = &desk.rows.clearing[&id][0];
        assert_eq!((record.principal_minor, record.fee_minor), (-minor, fee_minor));
        assert_eq!(record.net_minor, fee_minor.abs() - minor);
        assert_eq!(record.fee_rule, "standard");
    }
}

fn card_again(pan_digest: u128) -> Option<RepeatedCard> {
    let sealed = SealedPan { key_id: "k1".to_owned(), nonce: [3; 12], bytes: vec![4; 32] };
    Some(RepeatedCard { pan_digest, sealed })
}

#[test]
fn i_11_a_card_given_again_is_the_originals_and_is_kept_only_while_needed() {
    let needy = || Terms { follow_up_needs_card: true, keeps_pan: false, ..terms() };
    let kind = |desk: &Desk| OrderKind::Refund { of: desk.id };
    let mut desk = succeeded(needy(), OrderKind::Payment, SettlementMode::Instant);
    let kind = kind(&desk);
    assert_eq!(ask(&mut desk, 1, kind, 5), Err(Refusal::CardRequired));
    assert_eq!(ask_with(&mut desk, 1, kind, 5, card_again(9)), Err(Refusal::CardDiffers));
    let id = ask_with(&mut desk, 1, kind, 5, card_again(1)).expect("it is the card");
    assert!(desk.rows.orders[&id].sealed_pan.is_some());
    begin(&mut desk, id);
    let order = &desk.rows.orders[&id];
    assert!(order.sealed_pan.is_none() && order.attempts[0].sealed_pan.is_some());
    reply(&mut desk, id, unknown());
    assert!(desk.rows.orders[&id].attempts[0].sealed_pan.is_some(), "inquiry may need it");
    desk.learn_of(id, 1, Source::Inquiry, approved(), CardInMemory::No);
    assert!(desk.rows.orders[&id].attempts[0].sealed_pan.is_none());
    // Where no channel wants it, it is compared and forgotten.
    let terms = Terms { keeps_pan: false, ..terms() };
    let mut desk = succeeded(terms, OrderKind::Payment, SettlementMode::Instant);
    assert_eq!(ask_with(&mut desk, 1, kind, 5, card_again(9)), Err(Refusal::CardDiffers));
    let id = ask_with(&mut desk, 1, kind, 5, card_again(1)).expect("it is the card");
    assert!(desk.rows.orders[&id].sealed_pan.is_none());
}

#[test]
fn what_accounting_refuses_is_withdrawn_with_its_order_and_without_red_letter() {
    let mut desk = paid();
    let id = refund(&mut desk, 1, 500).expect("there is enough");
    let withdraw =
        |desk: &Desk| Command::Withdraw { booked: Box::new(booked(desk, id)), decider: decider() };
    // While it is owed, accounting may yet book it.
    let command = withdraw(&desk);
    assert_eq!(desk.run_on(id, command).err(), Some(Refusal::WrongPhase));
    let mut parked = booked(&desk, id);
    parked.delivery.status = DeliveryStatus::Parked;
    parked.delivery.version += 1;
    desk.rows.accounting.insert(parked.id, parked);
    let command = withdraw(&desk);
    desk.run_on(id, command).expect("accounting refuses it");
    assert_eq!(status(&desk, id), (OrderStatus::Failed, Some(Reason::OperatorDecision)));
    assert_eq!(events(&desk, id), ["refund"]);
    assert_eq!(booked(&desk, id).delivery.status, DeliveryStatus::Withdrawn);
    assert_eq!(desk.order().claims.refunded_minor, 0);
}

#[test]
fn i_7_what_may_have_been_booked_is_withdrawn_with_its_red_letter() {
    let mut desk = paid();
    let id = refund(&mut desk, 1, 500).expect("there is enough");
    let mut parked = booked(&desk, id);
    parked.delivery.status = DeliveryStatus::Parked;
    // A try had no answer, and the next one was refused.
    parked.delivery.unanswered = true;
    parked.delivery.version += 1;
    desk.rows.accounting.insert(parked.id, parked);
    let command = Command::Withdraw { booked: Box::new(booked(&desk, id)), decider: decider() };
    let decision = desk.run_on(id, command).expect("accounting refuses it now");
    assert!(decision.effects.contains(&Effect::Book), "the red letter is due");
    assert_eq!(status(&desk, id), (OrderStatus::Failed, Some(Reason::OperatorDecision)));
    assert_eq!(events(&desk, id), ["refund", "refund_taken_back"]);
    assert_eq!(booked(&desk, id).delivery.status, DeliveryStatus::Withdrawn);
    assert_eq!(desk.order().claims.refunded_minor, 0);
}
