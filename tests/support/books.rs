//! Rows of the books as the engine would write them, numbered by the test.

use std::sync::Arc;
use std::time::Duration;

use switchyard::domain::attempt::{Attempt, AttemptState, Operation, Source};
use switchyard::domain::bin::{Bin, BinRow, Brand, CardBrands, CardType};
use switchyard::domain::books::Transaction;
use switchyard::domain::books::accounting::{
    self, AccountNames, AccountingRequest, Booking, BookingEvent, Delivery, RequestId,
};
use switchyard::domain::books::clearing::{ClearingRecord, ClearingState};
use switchyard::domain::card::{CardDigests, CardFacts, MaskedPan};
use switchyard::domain::fee::{FeeSchedule, FeeSubject};
use switchyard::domain::ids::{CallerId, CallerOrderId, ChannelId, MerchantId, OrderId};
use switchyard::domain::money::{AmountMinor, Currency};
use switchyard::domain::order::{Instruction, Order, OrderKind, OrderStatus};
use switchyard::domain::reversal::{Phase, ReversalEntry};
use switchyard::domain::time::{BusinessDate, DueWindow, Timestamp};
use switchyard::domain::write_set::{AuditEntry, Contradiction, CoreNotice, ReportedEnd, WriteSet};

pub const CHANNEL: &str = "unionpay";

/// 2026-11-22T08:00:00Z and some milliseconds later.
pub fn moment(later_ms: i64) -> Timestamp {
    Timestamp::from_millis(1_795_334_400_000 + later_ms)
}

/// What has come due by then, however far ahead the rest is dated.
pub fn due_by(later_ms: i64) -> DueWindow {
    DueWindow::at(moment(later_ms), Duration::MAX)
}

pub fn date() -> BusinessDate {
    BusinessDate::from_yyyymmdd(20_261_122).expect("a date")
}

pub fn id(sequence: u64) -> OrderId {
    OrderId::compose(261_122, 1, sequence)
}

pub fn channel() -> ChannelId {
    ChannelId::from_stored(CHANNEL)
}

pub fn caller() -> CallerId {
    CallerId::from_stored("core")
}

pub fn caller_order_id(sequence: u64) -> CallerOrderId {
    CallerOrderId::from_stored(&format!("A-{sequence:012}"))
}

fn card() -> CardFacts {
    let row = BinRow {
        bin: Bin::parse("621626").expect("six digits"),
        pan_length: 19,
        issuer_code: "03070000".to_owned(),
        issuer_name: "平安银行".to_owned(),
        card_name: "借记卡".to_owned(),
        card_type: CardType::Debit,
        brands: CardBrands::one(Brand::UnionPay),
    };
    CardFacts {
        masked: MaskedPan::from_stored("621626*********0018"),
        digests: CardDigests { pan: 7, expiry: 8, ..CardDigests::default() },
        row: Some(Arc::new(row)),
    }
}

/// A new order whose first attempt is about to be sent.
pub fn order(sequence: u64) -> Order {
    let attempt = Attempt {
        number: 1,
        channel: channel(),
        operation: Operation::Payment,
        state: AttemptState::Sending,
        sent_at: moment(0),
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
    };
    let merchant = MerchantId::from_stored("merchant-7");
    let amount = AmountMinor::new(12_345).expect("an amount");
    let (kind, own) = (OrderKind::Payment, caller_order_id(sequence));
    let asked = Instruction::new(caller(), own, kind, merchant, amount, Currency::Cny);
    let asked = Instruction { instrument: Some(card().into()), ..asked };
    let mut order = Order::accepted(id(sequence), asked, moment(0));
    order.version = 1;
    order.status = OrderStatus::Processing;
    order.attempts = vec![attempt];
    order
}

/// The order's next version.
pub fn next(order: &Order) -> Order {
    Order { version: order.version + 1, ..order.clone() }
}

/// The order's next version, succeeded.
pub fn succeeded(order: &Order) -> Order {
    let mut order = next(order);
    order.status = OrderStatus::Succeeded;
    order.attempts[0].state = AttemptState::Approved;
    order.attempts[0].channel_reference = Some("202611220800001234567".to_owned());
    order.attempts[0].code = Some("00".to_owned());
    order.attempts[0].ended_at = Some(moment(300));
    order.attempts[0].ended_by = Some(Source::Reply);
    order.accounting_sequence = 1;
    order.clearing_date = Some(date());
    order.finished_at = Some(moment(300));
    order
}

pub fn transaction(order: &Order) -> Transaction {
    Transaction {
        order: order.id,
        movement: Operation::Payment,
        channel: channel(),
        channel_order_no: order.channel_order_no(1),
        channel_reference: Some("202611220800001234567".to_owned()),
        merchant_id: order.instruction.merchant_id.clone(),
        amount: order.instruction.amount,
        currency: order.instruction.currency,
        clearing_date: date(),
        at: moment(300),
        source: Source::Reply,
        transcript: "respCode=00&respMsg=success&queryId=202611220800001234567".to_owned(),
    }
}

pub fn clearing(transaction: &Transaction) -> ClearingRecord {
    let fee = FeeSchedule::default().fee(&FeeSubject {
        card_type: None,
        category: None,
        amount_minor: transaction.amount.get(),
        date: transaction.clearing_date,
        is_payout: transaction.movement == Operation::Payout,
    });
    ClearingRecord::of(transaction, ClearingState::Due, fee)
}

/// An owed request, due `due_ms` after the start.
pub fn request(order: &Order, due_ms: i64) -> AccountingRequest {
    let booking = Booking {
        id: RequestId { chain: order.id, sequence: 1 },
        order: order.id,
        event: BookingEvent::InstantPayment,
        amount: order.instruction.amount,
        from_escrow_minor: 0,
        names: &AccountNames::default(),
        now: moment(due_ms),
    };
    accounting::request(&booking, &transaction(order))
}

pub fn notice(order: &Order, due_ms: i64) -> CoreNotice {
    CoreNotice {
        order: order.id,
        url: "https://core.example/notices".to_owned(),
        created_at: moment(300),
        delivery: Delivery::owed(moment(due_ms)),
    }
}

/// A first version of an order's entry, due `due_ms` after the start.
pub fn entry(order: &Order, channel: &str, due_ms: Option<i64>) -> ReversalEntry {
    ReversalEntry {
        order: order.id,
        attempt: 1,
        version: 1,
        channel: ChannelId::from_stored(channel),
        amount: order.instruction.amount,
        currency: order.instruction.currency,
        phase: Phase::Inquiring,
        step: 0,
        due_at: due_ms.map(moment),
        opened_at: moment(0),
        pending: false,
        reversal_left_at: None,
        reversal_ends_at: None,
        reversals_unanswered: 0,
        reversal_refused: false,
        reversals_exhausted: false,
        inquiries: 0,
        reversals: 0,
        history: Vec::new(),
    }
}

pub fn contradiction(order: &Order, attempt: u8, reported: ReportedEnd) -> Contradiction {
    Contradiction {
        order: order.id,
        attempt,
        reported,
        ordinal: 0,
        source: Source::Notice,
        at: moment(500),
        transcript: "respCode=00".to_owned(),
        channel_reference: None,
        undo: None,
        clearing_date: None,
    }
}

pub fn audit(subject: &str) -> AuditEntry {
    AuditEntry {
        at: moment(0),
        actor: "ann".to_owned(),
        approver: None,
        action: "reversal.resolve".to_owned(),
        subject: subject.to_owned(),
        reason: "the bank said so".to_owned(),
    }
}

/// The first commit of a payment.
pub fn accepted(order: &Order) -> WriteSet {
    WriteSet { orders: vec![order.clone()], ..WriteSet::default() }
}

/// The second commit of a payment: everything that a success writes.
pub fn paid(order: &Order) -> WriteSet {
    let order = succeeded(order);
    let transaction = transaction(&order);
    WriteSet {
        clearing: vec![clearing(&transaction)],
        accounting: vec![request(&order, 300)],
        transactions: vec![transaction],
        orders: vec![order],
        ..WriteSet::default()
    }
}
