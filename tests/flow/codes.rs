//! A payment that brings a code by SMS has the number and time under which that was sent.

use switchyard::domain::attempt::{Evidence, Source};
use switchyard::domain::command::{CardInMemory, Command, View};
use switchyard::domain::flow::decide;
use switchyard::domain::ids::{ChannelId, OrderId};
use switchyard::domain::order::Order;
use switchyard::domain::payment_code::{PaymentCode, PaymentCodeState};
use switchyard::domain::time::{Present, Timestamp};

use crate::build::{approved, card, decide_on, declined, not_found, payment, terms};

/// The code of this order to come, which was sent so many seconds before.
fn code_of(order: &Order, seconds: i64) -> PaymentCode {
    let asked = order.instruction.code_request().expect("a payment by card");
    let sent_at = Timestamp::from_millis(order.created_at.as_millis() - seconds * 1_000);
    let row = PaymentCode::begun(asked, ChannelId::from_stored("one"), order.id, sent_at);
    row.learn(&approved(), sent_at)
}

fn accept(code: PaymentCode) -> Command {
    Command::Accept { card: card(), code: Some(Box::new(code)) }
}

#[test]
fn the_commit_that_makes_the_attempt_durable_spends_its_code() {
    let order = payment(&["one"]);
    let code = code_of(&order, 590);
    let sent_at = code.last_call.sent_at;
    let decision = decide_on(&terms(), order.clone(), accept(code.clone())).expect("accepted");
    assert_eq!(decision.writes.orders.len(), 1, "I-1: with the attempt");
    let attempt = &decision.order.attempts[0];
    assert_eq!((attempt.announced_at, attempt.named_at()), (Some(sent_at), sent_at));
    assert_eq!(attempt.sent_at, order.created_at);
    let [spent] = &decision.writes.payment_codes[..] else { panic!("one row") };
    assert_eq!((spent.state, spent.version), (PaymentCodeState::Spent, code.version + 1));
    let bare = Command::Accept { card: card(), code: None };
    let bare = decide_on(&terms(), order.clone(), bare).expect("accepted");
    assert_eq!(bare.order.attempts[0].named_at(), order.created_at);
    assert!(bare.writes.payment_codes.is_empty());
}

/// "No such order" is believed by the age of the payment's own request, not by that of its code.
#[test]
fn i_3_an_old_code_does_not_age_its_payment() {
    let order = payment(&["one"]);
    let code = code_of(&order, 590);
    let accepted = decide_on(&terms(), order.clone(), accept(code)).expect("accepted").order;
    let now = Timestamp::from_millis(order.created_at.as_millis() + 20_000);
    let evidence = Evidence {
        source: Source::Inquiry,
        attempt: 1,
        outcome: not_found(),
        objection: None,
        as_of: Some(now),
        sent: String::new(),
        transcript: String::new(),
    };
    let learn = Command::Learn { evidence, card: CardInMemory::No, spare_id: None };
    let decision = decide(&View::of(accepted), &terms(), Present::certain(now), learn);
    let order = decision.expect("it is learnt").order;
    assert!(order.attempts[0].state.is_unresolved(), "{:?}", order.attempts[0].state);
}

#[test]
fn a_code_that_is_refused_ends_the_payment_without_another_channel() {
    let order = payment(&["one"]);
    let code = code_of(&order, 30);
    let accepted = decide_on(&terms(), order, accept(code)).expect("accepted").order;
    let evidence = Evidence {
        source: Source::Reply,
        attempt: 1,
        outcome: declined(),
        objection: None,
        as_of: None,
        sent: String::new(),
        transcript: String::new(),
    };
    let learn = Command::Learn { evidence, card: card(), spare_id: None };
    let ended = decide_on(&terms(), accepted, learn).expect("it is learnt").order;
    assert_eq!((ended.status.name(), ended.attempts.len()), ("failed", 1));
}

#[test]
#[should_panic(expected = "the code is bound to the payment's number")]
fn a_payment_under_another_number_than_its_code_s_is_not_written() {
    let order = payment(&["one"]);
    let mut code = code_of(&order, 30);
    let standing = code.standing.as_mut().expect("it was sent");
    standing.order = OrderId::compose(261_122, 1, 2);
    let _decision = decide_on(&terms(), order, accept(code));
}

#[test]
#[should_panic(expected = "no other channel knows the code")]
fn a_payment_with_a_code_has_one_channel() {
    let order = payment(&["one", "two"]);
    let code = code_of(&order, 30);
    let _decision = decide_on(&terms(), order, accept(code));
}
