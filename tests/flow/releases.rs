//! I-8: escrowed money is released once, and never more than was paid.

use switchyard::domain::attempt::Source;
use switchyard::domain::books::accounting::{BookingEvent, RequestId, VoucherType};
use switchyard::domain::command::{Command, Decision, Refusal};
use switchyard::domain::ids::{CallerId, CallerOrderId, OrderId};
use switchyard::domain::money::AmountMinor;
use switchyard::domain::order::{Instruction, Order, OrderKind, OrderStatus, SettlementMode};

use crate::build::{AMOUNT, Desk, approved, declined, order, terms, unknown};

fn escrow() -> Desk {
    Desk::sending_order(terms(), order(OrderKind::Payment, SettlementMode::Escrow, &["one"]))
}

fn release(desk: &mut Desk, number: u64, minor: i64) -> Result<Decision, Refusal> {
    let (kind, own) = (OrderKind::Release { of: desk.id }, format!("r-{number}"));
    let (caller, own) = (CallerId::from_stored("core"), CallerOrderId::from_stored(&own));
    let mut asked = Instruction::on(desk.order(), kind, caller, own);
    asked.amount = AmountMinor::new(minor).expect("an amount");
    let release = Order::accepted(OrderId::compose(261_122, 1, 100 + number), asked, desk.now);
    desk.run(Command::Release { release: Box::new(release) })
}

#[test]
fn i_8_parts_are_released_until_nothing_is_left() {
    let mut desk = escrow();
    desk.learn(Source::Reply, approved());
    let first = &desk.rows.accounting[&RequestId { chain: desk.id, sequence: 1 }];
    assert_eq!(first.event, BookingEvent::EscrowPayment);
    release(&mut desk, 1, 1).expect("a part");
    release(&mut desk, 2, AMOUNT - 2).expect("another part");
    let left = Refusal::ExceedsLeft { left_minor: 1 };
    assert_eq!(release(&mut desk, 3, 2).err(), Some(left));
    release(&mut desk, 4, 1).expect("the last fen");
    let left = Refusal::ExceedsLeft { left_minor: 0 };
    assert_eq!(release(&mut desk, 5, 1).err(), Some(left));
    assert_eq!(desk.order().released_minor, AMOUNT);
    assert_eq!(desk.rows.orders.len(), 4, "a refused release writes nothing");
    for sequence in 2..=4 {
        let request = &desk.rows.accounting[&RequestId { chain: desk.id, sequence }];
        assert_eq!(request.event, BookingEvent::EscrowRelease);
        assert_eq!(request.voucher, VoucherType::Transfer);
    }
}

#[test]
fn i_8_the_whole_is_released_at_once() {
    let mut desk = escrow();
    desk.learn(Source::Reply, approved());
    let decision = release(&mut desk, 1, AMOUNT).expect("all of it");
    let done = decision.writes.orders.iter().find(|order| order.id != desk.id);
    assert_eq!(done.map(|order| order.status), Some(OrderStatus::Succeeded));
    assert!(decision.writes.transactions.is_empty() && decision.writes.clearing.is_empty());
}

#[test]
fn i_8_only_a_succeeded_escrow_payment_is_released() {
    let mut instant = Desk::after(terms(), &[(Source::Reply, approved())]);
    assert_eq!(release(&mut instant, 1, 1).err(), Some(Refusal::NotEscrow));
    for word in [None, Some(unknown()), Some(declined())] {
        let mut desk = escrow();
        if let Some(word) = word {
            desk.learn(Source::Reply, word);
        }
        assert_eq!(release(&mut desk, 1, 1).err(), Some(Refusal::NotSucceeded));
    }
}

/// A claim against an escrow payment does not touch what was released.
#[test]
fn i_5_a_failure_claim_leaves_releases_alone() {
    let mut desk = escrow();
    desk.learn(Source::Reply, approved());
    release(&mut desk, 1, AMOUNT / 2).expect("a part");
    desk.learn(Source::Notice, declined());
    assert_eq!(desk.order().released_minor, AMOUNT / 2);
    release(&mut desk, 2, AMOUNT - AMOUNT / 2).expect("the rest");
}
