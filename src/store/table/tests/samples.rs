//! Rows for the tests of stored forms: one fixed row of each kind.

use std::sync::Arc;

use super::draw::Draw;
use super::{SampleTable, head_fits};
use crate::domain::attempt::{Attempt, AttemptState, Operation, Source};
use crate::domain::bin::{Bin, BinRow, Brand, CardBrands, CardType};
use crate::domain::books::Transaction;
use crate::domain::books::accounting::{
    AccountingRequest, BookingEvent, Delivery, DeliveryStatus, Posting, PostingSide, RequestId,
    SourceDocument, VoucherType,
};
use crate::domain::books::clearing::{ClearingRecord, ClearingState};
use crate::domain::card::{CardDigests, CardFacts, MaskedPan, SealedPan};
use crate::domain::event::{EventKind, EventRemark, OrderEvent};
use crate::domain::fee::{Fee, RefundFee};
use crate::domain::ids::{
    CallerId, CallerOrderId, ChannelId, ChannelOrderNo, MerchantCategory, MerchantId, OrderId,
};
use crate::domain::money::{AmountMinor, Currency};
use crate::domain::order::{
    Candidate, Claims, Instruction, Order, OrderKind, OrderStatus, RouteVerdict, SettlementMode,
};
use crate::domain::outcome::{Objection, Reason, UnknownCause};
use crate::domain::reversal::{HistoryLine, Phase, ReversalEntry};
use crate::domain::time::{BusinessDate, Timestamp};
use crate::domain::write_set::{AuditEntry, Contradiction, CoreNotice, ReportedEnd};
use crate::store::table::accounting::AccountingRequests;
use crate::store::table::audit::Audit;
use crate::store::table::clearing::Clearing;
use crate::store::table::contradiction::Contradictions;
use crate::store::table::event::OrderEvents;
use crate::store::table::notice::CoreNotices;
use crate::store::table::order::Orders;
use crate::store::table::reversal::Reversals;
use crate::store::table::transaction::Transactions;

/// 2026-11-22T08:00:00Z and some milliseconds later.
pub(super) fn moment(later_ms: i64) -> Timestamp {
    Timestamp::from_millis(1_795_334_400_000 + later_ms)
}

pub(super) fn first_id() -> OrderId {
    OrderId::compose(261_122, 1, 7)
}

pub(super) fn date() -> BusinessDate {
    BusinessDate::from_yyyymmdd(20_261_122).expect("a date")
}

/// An attempt with every optional field.
fn attempt() -> Attempt {
    Attempt {
        number: 1,
        channel: ChannelId::from_stored("unionpay"),
        operation: Operation::Payment,
        state: AttemptState::Unknown,
        sent_at: moment(1),
        announced_at: Some(moment(0)),
        channel_reference: Some("202611220800001".to_owned()),
        acknowledged_at: Some(moment(1)),
        code: Some("05".to_owned()),
        reason: Some(Reason::DoNotHonour),
        unknown_cause: Some(UnknownCause::BadSignature),
        objection: Some(Objection::new("the signer's certificate has expired")),
        unresolved_at: Some(moment(2)),
        ended_at: Some(moment(3)),
        ended_by: Some(Source::Notice),
        sealed_pan: Some(SealedPan {
            key_id: "k1".to_owned(),
            nonce: [9; 12],
            bytes: vec![1, 2, 3],
        }),
    }
}

/// An order with every optional field.
pub(super) fn order() -> Order {
    let attempt = attempt();
    let row = BinRow {
        bin: Bin::parse("621626").expect("six digits"),
        pan_length: 19,
        issuer_code: "03070000".to_owned(),
        issuer_name: "平安银行".to_owned(),
        card_name: "借记卡".to_owned(),
        card_type: CardType::Debit,
        brands: CardBrands::one(Brand::UnionPay),
    };
    let digests = CardDigests { pan: 0x0102, expiry: 3, ..CardDigests::default() };
    Order {
        id: first_id(),
        version: 2,
        instruction: Instruction {
            caller: CallerId::from_stored("core"),
            caller_order_id: CallerOrderId::from_stored("A-1"),
            kind: OrderKind::Undo { of: ChannelOrderNo { order: first_id(), attempt: 3 } },
            merchant_id: MerchantId::from_stored("m-1"),
            amount: AmountMinor::new(12_345).expect("an amount"),
            currency: Currency::Cny,
            settlement_mode: SettlementMode::Escrow,
            merchant_category: None,
            merchant_fee_minor: None,
            instrument: Some(
                CardFacts {
                    masked: MaskedPan::from_stored("621626*********0018"),
                    digests,
                    row: Some(Arc::new(row)),
                }
                .into(),
            ),
            description: Some("tea".to_owned()),
            notify_url: Some("https://core.example/n".to_owned()),
        },
        status: OrderStatus::Unknown,
        reason: Some(Reason::NeverArrived),
        attempts: vec![attempt],
        route: Some(Arc::new(RouteVerdict {
            rule: "big".to_owned(),
            place: 2,
            bin_table: 7,
            kept: vec![ChannelId::from_stored("bank")],
            struck: vec![(ChannelId::from_stored("shut"), "outside_hours".to_owned())],
        })),
        candidates: vec![Candidate { channel: ChannelId::from_stored("bank"), keeps_pan: true }],
        released_minor: 5,
        claims: Claims {
            refunded_minor: 6,
            captured_minor: 7,
            from_escrow_minor: 8,
            contradicted_minor: 9,
            ..Claims::default()
        },
        sealed_pan: Some(SealedPan { key_id: "k2".to_owned(), nonce: [8; 12], bytes: vec![4, 5] }),
        accounting_sequence: 2,
        clearing_date: Some(date()),
        charged: None,
        created_at: moment(0),
        finished_at: Some(moment(4)),
    }
}

/// The same with what its longest form adds.
pub(super) fn charged_order() -> Order {
    let mut order = order();
    order.instruction.merchant_category = MerchantCategory::from_number(5_411);
    order.instruction.merchant_fee_minor = Some(300);
    order.charged =
        Some(Fee { minor: 74, rule: "debit".to_owned(), refund: RefundFee::ReturnWhenWhole });
    order.claims.given_back_minor = 11;
    order.claims.fee_back_minor = 10;
    order
}

pub(super) fn entry() -> ReversalEntry {
    ReversalEntry {
        order: first_id(),
        attempt: 1,
        version: 3,
        channel: ChannelId::from_stored("unionpay"),
        amount: AmountMinor::new(12_345).expect("an amount"),
        currency: Currency::Hkd,
        phase: Phase::Reversing,
        step: 2,
        due_at: Some(moment(5)),
        opened_at: moment(0),
        pending: false,
        reversal_left_at: Some(moment(4)),
        reversal_ends_at: Some(moment(6)),
        reversals_unanswered: 1,
        reversal_refused: false,
        reversals_exhausted: true,
        inquiries: 4,
        reversals: 1,
        history: vec![HistoryLine { at: moment(1), what: "reply: unknown".to_owned() }],
    }
}

pub(super) fn transaction() -> Transaction {
    Transaction {
        order: first_id(),
        movement: Operation::Payment,
        channel: ChannelId::from_stored("unionpay"),
        channel_order_no: ChannelOrderNo { order: first_id(), attempt: 1 },
        channel_reference: Some("202611220800001".to_owned()),
        merchant_id: MerchantId::from_stored("m-1"),
        amount: AmountMinor::new(12_345).expect("an amount"),
        currency: Currency::Cny,
        clearing_date: date(),
        at: moment(9),
        source: Source::Inquiry,
        transcript: "respCode=00".to_owned(),
    }
}

pub(super) fn clearing() -> ClearingRecord {
    ClearingRecord {
        channel: ChannelId::from_stored("unionpay"),
        date: date(),
        order: first_id(),
        channel_order_no: ChannelOrderNo { order: first_id(), attempt: 1 },
        channel_reference: None,
        movement: Operation::Undo,
        currency: Currency::Cny,
        principal_minor: -12_345,
        fee_minor: -74,
        net_minor: -12_271,
        fee_rule: "standard".to_owned(),
        state: ClearingState::Contradicted,
        at: moment(9),
    }
}

fn delivery() -> Delivery {
    Delivery {
        status: DeliveryStatus::Parked,
        tries: 3,
        due_at: moment(60_000),
        acknowledged_at: Some(moment(61_000)),
        last_error: Some("422".to_owned()),
        unanswered: true,
        version: 4,
    }
}

pub(super) fn accounting() -> AccountingRequest {
    let entry =
        |side, account: &str| Posting { side, account: account.to_owned(), amount_minor: 100 };
    AccountingRequest {
        id: RequestId { chain: first_id(), sequence: 2 },
        event: BookingEvent::EscrowRelease,
        voucher: VoucherType::Transfer,
        channel: ChannelId::from_stored("unionpay"),
        source: SourceDocument::Order {
            order: OrderId::compose(261_122, 1, 8),
            channel_order_no: ChannelOrderNo { order: first_id(), attempt: 1 },
            channel_reference: None,
            merchant_id: MerchantId::from_stored("m-1"),
        },
        currency: Currency::Cny,
        postings: vec![entry(PostingSide::Debit, "a"), entry(PostingSide::Credit, "b")],
        business_date: date(),
        created_at: moment(10),
        delivery: delivery(),
    }
}

pub(super) fn notice() -> CoreNotice {
    CoreNotice {
        order: first_id(),
        url: "https://core.example/n".to_owned(),
        created_at: moment(10),
        delivery: delivery(),
    }
}

pub(super) fn contradiction() -> Contradiction {
    Contradiction {
        order: first_id(),
        attempt: 1,
        reported: ReportedEnd::Success,
        ordinal: 0,
        source: Source::Statement,
        at: moment(11),
        transcript: "line 7".to_owned(),
        channel_reference: Some("Q7".to_owned()),
        undo: Some(OrderId::compose(261_123, 1, 1)),
        clearing_date: Some(date()),
    }
}

fn event() -> OrderEvent {
    let event = OrderEvent::new(first_id(), moment(13), EventKind::Learned, 1);
    OrderEvent {
        version: 3,
        source: Some(Source::Inquiry),
        outcome: Some("declined".to_owned()),
        cause: Some("do_not_honour".to_owned()),
        code: Some("05".to_owned()),
        remark: Some(EventRemark::Held),
        detail: Some("late".to_owned()),
        actor: Some("ann".to_owned()),
        approver: Some("bo".to_owned()),
        transcript: "respCode=05".to_owned(),
        sent: "POST https://bank/pay".to_owned(),
        ..event
    }
}

pub(super) fn audit() -> AuditEntry {
    AuditEntry {
        at: moment(12),
        actor: "ann".to_owned(),
        approver: Some("bo".to_owned()),
        action: "reversal.resolve".to_owned(),
        subject: first_id().to_string(),
        reason: "the bank said so".to_owned(),
    }
}

impl SampleTable for Orders {
    fn fixed() -> Vec<Order> {
        vec![order(), charged_order()]
    }

    fn draw(draw: &mut Draw) -> Order {
        draw.order()
    }
}

impl SampleTable for Reversals {
    fn fixed() -> Vec<ReversalEntry> {
        vec![entry()]
    }

    fn draw(draw: &mut Draw) -> ReversalEntry {
        draw.entry()
    }

    fn hold(row: &ReversalEntry) {
        head_fits::<Self>(row);
    }
}

impl SampleTable for Transactions {
    fn fixed() -> Vec<Transaction> {
        vec![transaction()]
    }

    fn draw(draw: &mut Draw) -> Transaction {
        draw.transaction()
    }
}

impl SampleTable for Clearing {
    fn fixed() -> Vec<ClearingRecord> {
        vec![clearing()]
    }

    fn draw(draw: &mut Draw) -> ClearingRecord {
        draw.clearing()
    }
}

impl SampleTable for AccountingRequests {
    fn fixed() -> Vec<AccountingRequest> {
        vec![accounting()]
    }

    fn draw(draw: &mut Draw) -> AccountingRequest {
        draw.accounting()
    }

    fn hold(row: &AccountingRequest) {
        head_fits::<Self>(row);
    }
}

impl SampleTable for CoreNotices {
    fn fixed() -> Vec<CoreNotice> {
        vec![notice()]
    }

    fn draw(draw: &mut Draw) -> CoreNotice {
        draw.notice()
    }

    fn hold(row: &CoreNotice) {
        head_fits::<Self>(row);
    }
}

impl SampleTable for Contradictions {
    fn fixed() -> Vec<Contradiction> {
        vec![contradiction()]
    }

    fn draw(draw: &mut Draw) -> Contradiction {
        draw.contradiction()
    }
}

impl SampleTable for OrderEvents {
    fn fixed() -> Vec<OrderEvent> {
        vec![event()]
    }

    fn draw(draw: &mut Draw) -> OrderEvent {
        draw.event()
    }
}

impl SampleTable for Audit {
    fn fixed() -> Vec<(u64, AuditEntry)> {
        vec![(7, audit())]
    }

    fn draw(draw: &mut Draw) -> (u64, AuditEntry) {
        (draw.random.u64(..), draw.audit())
    }
}
