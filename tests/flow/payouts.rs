//! Payouts: booked first, sent once to one channel, never reversed, ended by evidence alone.

use switchyard::domain::attempt::{AttemptState, Operation, Source};
use switchyard::domain::books::accounting::{BookingEvent, PostingSide, RequestId, VoucherType};
use switchyard::domain::books::clearing::ClearingState;
use switchyard::domain::command::{CardInMemory, Command, Refusal};
use switchyard::domain::effect::Effect;
use switchyard::domain::fee::{FeeRule, FeeSchedule, RefundFee};
use switchyard::domain::money::AMOUNT_MINOR_MAX;
use switchyard::domain::order::{OrderKind, OrderStatus, SettlementMode};
use switchyard::domain::outcome::{Outcome, Reason, UnknownCause};
use switchyard::domain::reversal::{Phase, Resolution};
use switchyard::domain::terms::{AfterInquiry, Terms};
use switchyard::domain::write_set::ReportedEnd;

use crate::build::{
    AMOUNT, Desk, approved, decide_on, decider, decline, declined, not_found, not_sent, order,
    pending, seconds, terms, unknown,
};
use crate::follow_ups::{acknowledged, booked};

/// One that was accepted, and waits for accounting.
fn accepted(terms: Terms) -> Desk {
    let kind = OrderKind::Payout;
    Desk::sending_order(terms, order(kind, SettlementMode::Instant, &["one", "two"]))
}

/// One that has left.
fn begun(terms: Terms) -> Desk {
    let mut desk = accepted(terms);
    let booked = Box::new(acknowledged(&desk, desk.id));
    let decision = desk.run(Command::BeginFollowUp { booked }).expect("it waits");
    assert!(decision.effects.contains(&Effect::Send { order: desk.id, attempt: 1 }));
    desk
}

fn events(desk: &Desk) -> Vec<BookingEvent> {
    desk.rows.accounting.values().map(|request| request.event).collect()
}

fn charging_by_the_piece() -> Terms {
    let rule = |name: &str, is_payout, rate_ppm, fixed_minor| FeeRule {
        name: name.to_owned(),
        from: None,
        until: None,
        is_payout,
        card_types: Vec::new(),
        categories: Vec::new(),
        from_minor: 0,
        to_minor: AMOUNT_MINOR_MAX,
        rate_ppm,
        fixed_minor,
        minimum_minor: 0,
        cap_minor: None,
        refund: RefundFee::Return,
    };
    let rules = vec![rule("payments", false, 6_000, 0), rule("payouts", true, 0, 100)];
    Terms { fees: FeeSchedule { rules }, ..terms() }
}

#[test]
fn i_7_a_payout_is_booked_first_and_leaves_once_for_one_channel() {
    let mut desk = accepted(charging_by_the_piece());
    assert_eq!((desk.order().status, desk.order().attempts.len()), (OrderStatus::Accepted, 0));
    assert!(desk.order().sealed_pan.is_some(), "its payee waits with it");
    assert_eq!(desk.order().candidates.len(), 1, "it is booked on one channel");
    let request = booked(&desk, desk.id);
    assert_eq!(request.id, RequestId { chain: desk.id, sequence: 1 });
    assert_eq!((request.event, request.voucher), (BookingEvent::Payout, VoucherType::Payment));
    let lines: Vec<_> =
        request.postings.iter().map(|e| (e.side, e.account.as_str(), e.amount_minor)).collect();
    let expected = [
        (PostingSide::Debit, "merchant:m-1:pending_clearing", AMOUNT),
        (PostingSide::Credit, "channel:one:pending_clearing", AMOUNT),
    ];
    assert_eq!(lines, expected);
    let begin = || Box::new(acknowledged(&desk, desk.id));
    let (first, again) = (begin(), begin());
    desk.run(Command::BeginFollowUp { booked: first }).expect("it waits");
    let attempt = desk.attempt();
    assert_eq!((attempt.operation, attempt.state), (Operation::Payout, AttemptState::Sending));
    assert!(attempt.sealed_pan.is_some() && desk.order().sealed_pan.is_none());
    let again = Command::BeginFollowUp { booked: again };
    assert_eq!(desk.run(again).err(), Some(Refusal::WrongPhase), "a second word sends nothing");
    desk.learn(Source::Reply, approved());
    assert_eq!(desk.state(), (AttemptState::Approved, OrderStatus::Succeeded));
    let record = &desk.rows.clearing[&desk.id][0];
    let sums = (record.principal_minor, record.fee_minor, record.net_minor);
    assert_eq!(sums, (-AMOUNT, 100, -AMOUNT - 100), "the fee is charged beside the money");
    assert_eq!(record.fee_rule, "payouts");
    assert_eq!(events(&desk), [BookingEvent::Payout]);
    assert_eq!(desk.rows.notices[&desk.id].len(), 1, "the core hears of it");
}

#[test]
fn i_3_every_end_of_a_payout_stands_on_evidence_and_takes_back_what_did_not_come_about() {
    type End = (fn(&mut Desk), OrderStatus, Option<Reason>);
    fn late(desk: &mut Desk, source: Source, outcome: Outcome) {
        desk.learn(Source::Reply, unknown());
        desk.learn(source, outcome);
    }
    fn resolved(desk: &mut Desk, resolution: Resolution) {
        desk.learn(Source::Reply, unknown());
        desk.run(Command::Resolve { resolution, decider: decider() }).expect("it is unknown");
    }
    let poor = Some(Reason::InsufficientFunds);
    let (done, failed) = (OrderStatus::Succeeded, OrderStatus::Failed);
    let decided = Some(Reason::OperatorDecision);
    let ends: [End; 12] = [
        (|desk| drop(desk.learn(Source::Reply, approved())), done, None),
        (|desk| drop(desk.learn(Source::Reply, declined())), failed, poor),
        (|desk| drop(desk.learn(Source::Reply, not_sent())), failed, {
            Some(Reason::ChannelUnavailable)
        }),
        (|desk| late(desk, Source::Inquiry, approved()), done, None),
        (|desk| late(desk, Source::Inquiry, declined()), failed, poor),
        (|desk| late(desk, Source::Notice, approved()), done, None),
        (|desk| late(desk, Source::Statement, approved()), done, None),
        (|desk| late(desk, Source::Statement, declined()), failed, poor),
        (
            |desk| {
                desk.learn(Source::Reply, unknown());
                desk.wait(seconds(600));
                desk.learn(Source::Inquiry, not_found());
            },
            failed,
            Some(Reason::NeverArrived),
        ),
        (|desk| resolved(desk, Resolution::Succeeded), done, None),
        (|desk| resolved(desk, Resolution::Failed), failed, decided),
        (|desk| resolved(desk, Resolution::Reversed), OrderStatus::Reversed, decided),
    ];
    for (place, (end, status, reason)) in ends.into_iter().enumerate() {
        let mut desk = begun(terms());
        end(&mut desk);
        assert_eq!((desk.order().status, desk.order().reason), (status, reason), "end {place}");
        let both = [BookingEvent::Payout, BookingEvent::PayoutTakenBack];
        let kept = if status == OrderStatus::Succeeded { 1 } else { 2 };
        assert_eq!(events(&desk), both[..kept], "end {place}");
        assert_eq!(desk.order().attempts.len(), 1, "it is sent once: end {place}");
        assert!(!desk.rows.entries.contains_key(&desk.id), "I-6: end {place}");
    }
}

#[test]
fn i_4_a_decline_that_another_channel_might_take_ends_a_payout_all_the_same() {
    let mut desk = begun(terms());
    desk.learn(Source::Reply, decline(Reason::NotSupported, true));
    assert_eq!(desk.state(), (AttemptState::Declined, OrderStatus::Failed));
    assert_eq!(desk.order().attempts.len(), 1, "it was booked on the first one");
}

#[test]
fn i_3_an_unknown_payout_is_asked_about_and_never_reversed() {
    // Whatever a channel could reverse.
    let terms = Terms { reversible: Operation::ALL.to_vec(), keeps_pan: false, ..terms() };
    let mut desk = begun(terms);
    desk.learn(Source::Reply, unknown());
    assert!(desk.attempt().sealed_pan.is_none(), "I-11: the call that needed it is over");
    for _ in 0..8 {
        desk.wait_until_due();
        assert_eq!(desk.entry().phase, Phase::Inquiring);
        assert_eq!(desk.run(Command::BeginReversal).err(), Some(Refusal::WrongPhase));
        desk.learn(Source::Inquiry, unknown());
        assert_eq!(desk.state(), (AttemptState::Unknown, OrderStatus::Unknown));
    }
    assert!(desk.entry().due_at.is_some(), "it is asked about every day");
    // A month later it is still no failure, and a line of the statement ends it.
    desk.wait(seconds(30 * 24 * 60 * 60));
    desk.learn(Source::Inquiry, pending());
    desk.learn(Source::Statement, approved());
    assert_eq!(desk.order().status, OrderStatus::Succeeded);
    // Where nothing can be asked, a person looks at once.
    let blind = Terms { inquire: Vec::new(), then: AfterInquiry::Reverse, ..crate::build::terms() };
    let mut desk = begun(blind);
    desk.learn(Source::Reply, unknown());
    assert_eq!(desk.entry().phase, Phase::Operator);
}

#[test]
fn i_1_a_process_that_dies_with_a_payout_on_its_way_leaves_an_unknown() {
    let mut desk = begun(terms());
    desk.wait(seconds(60));
    desk.learn(Source::Recovery, Outcome::Unknown(UnknownCause::ProcessDied));
    assert_eq!(desk.state(), (AttemptState::Unknown, OrderStatus::Unknown));
    assert_eq!(events(&desk), [BookingEvent::Payout], "what is booked stays booked");
    desk.learn(Source::Inquiry, approved());
    assert_eq!(desk.state(), (AttemptState::Approved, OrderStatus::Succeeded));
}

#[test]
fn i_5_a_success_after_the_end_is_a_receivable_and_a_return_is_kept_against_the_success() {
    // A payout that had failed in our books, and was paid out after all.
    let mut desk = begun(terms());
    desk.learn(Source::Reply, declined());
    let decision = desk.learn(Source::Notice, approved());
    assert_eq!(desk.claims()[0].undo, None, "nobody takes money from a payee's card");
    let [record] = &decision.writes.clearing[..] else { panic!("one record") };
    assert_eq!(record.state, ClearingState::Contradicted);
    assert_eq!(record.principal_minor, -AMOUNT);
    let [request] = &decision.writes.accounting[..] else { panic!("one request") };
    assert_eq!(request.event, BookingEvent::SuspenseReceivable);
    assert_eq!(request.id, RequestId { chain: desk.id, sequence: 3 });
    // One that succeeded, and whose money came back later: the success stands, a person looks.
    let mut desk = begun(terms());
    desk.learn(Source::Reply, approved());
    let decision = desk.learn(Source::Notice, declined());
    assert_eq!(desk.order().status, OrderStatus::Succeeded);
    assert_eq!(desk.claims()[0].reported, ReportedEnd::Failure);
    assert!(decision.writes.accounting.is_empty() && decision.writes.clearing.is_empty());
}

#[test]
fn a_payout_is_refused_where_it_cannot_be_booked_or_carried_out() {
    let payout = |channels: &[&str]| order(OrderKind::Payout, SettlementMode::Instant, channels);
    let unbooked = Terms { has_accounting: false, ..terms() };
    let unable = Terms { operations: vec![Operation::Payment], ..terms() };
    let operation = Operation::Payout;
    for (terms, channels, refusal) in [
        (unbooked, &["one"][..], Refusal::AccountingNotConfigured),
        (unable, &["one"], Refusal::OperationNotSupported { operation }),
        (terms(), &[], Refusal::NoCandidate),
    ] {
        let accept = Command::Accept { card: crate::build::card(), code: None };
        assert_eq!(decide_on(&terms, payout(channels), accept).err(), Some(refusal));
    }
    let accept = Command::Accept { card: CardInMemory::No, code: None };
    let refused = decide_on(&terms(), payout(&["one"]), accept).err();
    assert_eq!(refused, Some(Refusal::NoCandidate), "nobody knows the payee");
}
