//! An owed undo: it is sent until the channel has done it, or a person must look.

use switchyard::domain::attempt::{AttemptState, Operation, Source};
use switchyard::domain::books::accounting::{BookingEvent, RequestId};
use switchyard::domain::command::{CardInMemory, Command, Refusal};
use switchyard::domain::ids::OrderId;
use switchyard::domain::order::OrderStatus;
use switchyard::domain::outcome::{Outcome, Reason};
use switchyard::domain::reversal::{Phase, Resolution};
use switchyard::domain::terms::Terms;

use crate::build::{
    AMOUNT, Desk, approved, decider, declined, not_found, not_sent, pending, seconds, terms,
    unknown,
};

/// Books that owe an undo, and its id.
fn owing(terms: Terms) -> (Desk, OrderId) {
    let mut desk = Desk::after(terms, &[(Source::Reply, declined())]);
    desk.learn(Source::Notice, approved());
    let id = desk.undo().id;
    (desk, id)
}

fn reply(desk: &mut Desk, id: OrderId, outcome: Outcome) {
    let attempt = desk.rows.orders[&id].attempts.len() as u8;
    desk.learn_of(id, attempt, Source::Reply, outcome, CardInMemory::No);
}

fn sending(terms: Terms) -> (Desk, OrderId) {
    let (mut desk, id) = owing(terms);
    desk.run_on(id, Command::BeginUndo).expect("it is owed");
    (desk, id)
}

#[test]
fn i_1_an_undo_is_durable_before_it_is_sent() {
    let (mut desk, id) = sending(terms());
    let attempt = &desk.rows.orders[&id].attempts[0];
    assert_eq!((attempt.operation, attempt.state), (Operation::Undo, AttemptState::Sending));
    assert_eq!(desk.rows.entries[&id].attempt, 1);
    // Nobody sends it twice, and nobody resolves it under its call.
    assert_eq!(desk.run_on(id, Command::BeginUndo).err(), Some(Refusal::WrongPhase));
    let retry = Command::Retry { decider: decider() };
    assert_eq!(desk.run_on(id, retry).err(), Some(Refusal::WrongPhase));
    let resolve = Command::Resolve { resolution: Resolution::Failed, decider: decider() };
    assert_eq!(desk.run_on(id, resolve).err(), Some(Refusal::WrongPhase));
}

#[test]
fn i_5_claim_and_undo_come_to_zero() {
    let (mut desk, id) = sending(terms());
    reply(&mut desk, id, approved());
    let undo = &desk.rows.orders[&id];
    assert_eq!(undo.status, OrderStatus::Succeeded);
    assert!(!desk.rows.entries.contains_key(&id), "I-6: nothing is owed any more");
    let claimed = &desk.rows.clearing[&desk.id][0];
    let back = &desk.rows.clearing[&id][0];
    assert_eq!((claimed.principal_minor, back.principal_minor), (AMOUNT, -AMOUNT));
    assert_eq!(claimed.net_minor + back.net_minor, 0);
    let balanced = &desk.rows.accounting[&RequestId { chain: id, sequence: 2 }];
    assert_eq!(balanced.event, BookingEvent::SuspenseBalanced);
    let opened = &desk.rows.accounting[&RequestId { chain: id, sequence: 1 }];
    let turned = |entry: usize| &opened.postings[1 - entry];
    for (place, entry) in balanced.postings.iter().enumerate() {
        assert_eq!(entry.account, turned(place).account, "the two requests cancel out");
    }
}

#[test]
fn an_unsent_undo_is_tried_again_and_again() {
    let (mut desk, id) = owing(terms());
    for wait in [0, 1, 10, 60, 600, 600] {
        let due = desk.rows.entries[&id].due_at.expect("it is owed");
        assert_eq!(due.since(desk.now), seconds(wait));
        desk.wait(seconds(wait));
        desk.run_on(id, Command::BeginUndo).expect("it is owed");
        reply(&mut desk, id, not_sent());
        assert_eq!(desk.rows.entries[&id].phase, Phase::UndoOwed);
    }
    assert_eq!(desk.rows.orders[&id].attempts.len(), 6);
}

#[test]
fn a_declined_undo_needs_a_person() {
    let (mut desk, id) = sending(terms());
    reply(&mut desk, id, declined());
    assert_eq!(desk.rows.entries[&id].phase, Phase::Operator);
    assert!(!desk.rows.orders[&id].status.is_final());
    let failing = Command::Resolve { resolution: Resolution::Failed, decider: decider() };
    for resolution in [Resolution::Succeeded, Resolution::Reversed] {
        let command = Command::Resolve { resolution, decider: decider() };
        assert_eq!(desk.run_on(id, command).err(), Some(Refusal::NothingToResolve));
    }
    let mut given_up = desk.clone();
    given_up.run_on(id, failing).expect("an operator may give it up");
    assert_eq!(given_up.rows.orders[&id].status, OrderStatus::Failed);
    assert_eq!(given_up.rows.orders[&id].reason, Some(Reason::OperatorDecision));
    desk.run_on(id, Command::Retry { decider: decider() }).expect("or have it tried again");
    assert_eq!(desk.rows.entries[&id].phase, Phase::UndoOwed);
    desk.run_on(id, Command::BeginUndo).expect("it is owed");
    reply(&mut desk, id, approved());
    assert_eq!(desk.rows.orders[&id].status, OrderStatus::Succeeded);
}

#[test]
fn i_3_a_lost_undo_is_inquired_of_and_owed_again_if_it_never_arrived() {
    let (mut desk, id) = sending(terms());
    reply(&mut desk, id, unknown());
    assert_eq!(desk.rows.entries[&id].phase, Phase::Inquiring);
    desk.learn_of(id, 1, Source::Inquiry, not_found(), CardInMemory::No);
    assert_eq!(desk.rows.entries[&id].phase, Phase::Inquiring, "it may still be on its way");
    desk.wait(seconds(600));
    desk.learn_of(id, 1, Source::Inquiry, not_found(), CardInMemory::No);
    assert_eq!(desk.rows.entries[&id].phase, Phase::UndoOwed);
    desk.run_on(id, Command::BeginUndo).expect("it is owed again");
    assert_eq!(desk.rows.orders[&id].attempts.len(), 2);
    reply(&mut desk, id, pending());
    desk.learn_of(id, 2, Source::Notice, approved(), CardInMemory::No);
    assert_eq!(desk.rows.orders[&id].status, OrderStatus::Succeeded);
}

#[test]
fn an_undo_is_never_reversed() {
    let (mut desk, id) = sending(Terms { inquire: Vec::new(), ..terms() });
    reply(&mut desk, id, unknown());
    assert_eq!(desk.rows.entries[&id].phase, Phase::Operator);
    let (mut desk, id) = sending(terms());
    reply(&mut desk, id, unknown());
    for _ in 0..10 {
        desk.wait(seconds(1_000));
        desk.learn_of(id, 1, Source::Inquiry, unknown(), CardInMemory::No);
        assert_eq!(desk.rows.entries[&id].phase, Phase::Inquiring);
    }
}

#[test]
fn a_channel_that_cannot_undo_leaves_it_to_a_person() {
    let (mut desk, id) = owing(Terms { operations: vec![Operation::Payment], ..terms() });
    desk.run_on(id, Command::BeginUndo).expect("it is due");
    assert_eq!(desk.rows.entries[&id].phase, Phase::Operator);
    assert!(desk.rows.orders[&id].attempts.is_empty());
}
