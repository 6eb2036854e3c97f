//! Rows for the tests of stored forms: one fixed row of each kind, and rows drawn from a seed.

use std::sync::Arc;

use crate::domain::bin::{Bin, BinRow, Brand, CardBrands, CardType};
use crate::domain::books::Transaction;
use crate::domain::books::accounting::{
    AccountingRequest, BookingEvent, Delivery, DeliveryStatus, Posting, PostingSide, RequestId,
    SourceDocument, VoucherType,
};
use crate::domain::books::clearing::{ClearingRecord, ClearingState};
use crate::domain::card::{CardDigests, CardFacts, MaskedPan, SealedPan};
use crate::domain::fee::{Fee, RefundFee};
use crate::domain::flow::attempt::{Attempt, AttemptState, Operation, Source};
use crate::domain::flow::event::{EventKind, EventRemark, OrderEvent};
use crate::domain::flow::order::{
    Candidate, Claims, Instruction, Order, OrderKind, OrderStatus, RouteVerdict, SettlementMode,
};
use crate::domain::flow::reversal::{HistoryLine, Phase, ReversalEntry};
use crate::domain::ids::{
    AgreementId, CallerId, CallerOrderId, ChannelId, ChannelOrderNo, DifferenceId,
    MerchantCategory, MerchantId, OrderId, SettlementId,
};
use crate::domain::instrument::InstrumentFacts;
use crate::domain::money::{AMOUNT_MINOR_MAX, AmountMinor, Currency};
use crate::domain::outcome::{Objection, Reason, UnknownCause};
use crate::domain::payer_code::{CodeFacts, MaskedCode};
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

use super::{SampleTable, head_fits};

/// Draws rows; the same seed draws the same rows.
pub(in crate::store) struct Draw {
    pub(in crate::store) random: fastrand::Rng,
}

impl Draw {
    pub(in crate::store) fn from(seed: u64) -> Self {
        Self { random: fastrand::Rng::with_seed(seed) }
    }

    pub(in crate::store) fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.random.usize(..all.len())]
    }

    pub(in crate::store) fn maybe<T>(&mut self, draw: impl FnOnce(&mut Self) -> T) -> Option<T> {
        self.random.bool().then(|| draw(self))
    }

    pub(in crate::store) fn several<T>(
        &mut self,
        most: usize,
        mut draw: impl FnMut(&mut Self) -> T,
    ) -> Vec<T> {
        (0..self.random.usize(..=most)).map(|_| draw(self)).collect()
    }

    pub(in crate::store) fn text(&mut self, most: usize) -> String {
        let letters = ['a', 'Z', '0', '-', '"', '\\', '\0', '付', '√', '\n'];
        (0..self.random.usize(..=most)).map(|_| self.of(&letters)).collect()
    }

    fn bin(&mut self) -> Bin {
        let length = self.random.usize(2..=12);
        let digits: String = (0..length).map(|_| self.random.digit(10)).collect();
        Bin::parse(&digits).expect("2 to 12 digits")
    }

    pub(in crate::store) fn word(&mut self) -> String {
        let letters = ['a', 'q', 'Z', '0', '9', '-', '_', '.', ':'];
        (0..self.random.usize(1..=32)).map(|_| self.of(&letters)).collect()
    }

    pub(in crate::store) fn id(&mut self) -> OrderId {
        OrderId::from_u64(self.random.u64(..))
    }

    pub(in crate::store) fn time(&mut self) -> Timestamp {
        Timestamp::from_millis(self.random.i64(0..=253_370_764_800_000))
    }

    pub(in crate::store) fn date(&mut self) -> BusinessDate {
        let (year, month) = (self.random.u32(1970..=9999), self.random.u32(1..=12));
        let number = year * 10_000 + month * 100 + self.random.u32(1..=28);
        BusinessDate::from_yyyymmdd(number).expect("every month has 28 days")
    }

    pub(in crate::store) fn amount(&mut self) -> AmountMinor {
        AmountMinor::new(self.random.i64(1..=AMOUNT_MINOR_MAX)).expect("in its range")
    }

    pub(in crate::store) fn channel(&mut self) -> ChannelId {
        ChannelId::from_stored(&self.word())
    }

    pub(in crate::store) fn number(&mut self) -> ChannelOrderNo {
        ChannelOrderNo { order: self.id(), attempt: self.random.u8(1..=99) }
    }

    pub(super) fn order(&mut self) -> Order {
        let kinds = [
            OrderKind::Payment,
            OrderKind::Undo { of: self.number() },
            OrderKind::Release { of: self.id() },
            OrderKind::Preauth,
            OrderKind::Capture { of: self.id() },
            OrderKind::Refund { of: self.id() },
            OrderKind::Void { of: self.id() },
            OrderKind::Payout,
        ];
        let mut attempts = self.several(4, Self::attempt);
        for (place, attempt) in (1..).zip(&mut attempts) {
            attempt.number = place;
        }
        Order {
            id: self.id(),
            version: self.random.u32(..),
            instruction: Instruction {
                caller: CallerId::from_stored(&self.word()),
                caller_order_id: CallerOrderId::from_stored(&self.word()),
                kind: self.of(&kinds),
                merchant_id: MerchantId::from_stored(&self.word()),
                amount: self.amount(),
                currency: self.of(&Currency::ALL),
                settlement_mode: self.of(&SettlementMode::ALL),
                merchant_category: self.maybe(|draw| {
                    MerchantCategory::from_number(draw.random.u16(0..=9_999)).expect("four digits")
                }),
                merchant_fee_minor: self.maybe(|draw| draw.random.i64(0..=AMOUNT_MINOR_MAX)),
                instrument: self.maybe(Self::instrument),
                description: self.maybe(|draw| draw.text(60)),
                notify_url: self.maybe(|draw| draw.text(90)),
            },
            status: self.of(&OrderStatus::ALL),
            reason: self.maybe(|draw| draw.of(&Reason::ALL)),
            attempts,
            route: self.maybe(|draw| Arc::new(draw.route())),
            candidates: self.several(3, |draw| Candidate {
                channel: draw.channel(),
                keeps_pan: draw.random.bool(),
            }),
            released_minor: self.random.i64(0..=AMOUNT_MINOR_MAX),
            claims: Claims {
                refunded_minor: self.random.i64(0..=AMOUNT_MINOR_MAX),
                captured_minor: self.random.i64(0..=AMOUNT_MINOR_MAX),
                from_escrow_minor: self.random.i64(0..=AMOUNT_MINOR_MAX),
                contradicted_minor: self.random.i64(0..=AMOUNT_MINOR_MAX),
                given_back_minor: self.random.i64(0..=3),
                fee_back_minor: self.random.i64(0..=3),
            },
            sealed_pan: self.maybe(Self::sealed),
            accounting_sequence: self.random.u16(..),
            clearing_date: self.maybe(Self::date),
            charged: self.maybe(|draw| Fee {
                minor: draw.random.i64(0..=AMOUNT_MINOR_MAX),
                rule: draw.text(12),
                refund: draw.of(&RefundFee::ALL),
            }),
            created_at: self.time(),
            finished_at: self.maybe(Self::time),
        }
    }

    fn instrument(&mut self) -> InstrumentFacts {
        let card = self.card();
        match self.random.u8(0..3) {
            0 => card.into(),
            1 => InstrumentFacts::Agreement { id: AgreementId::of(self.id()), card },
            _ => {
                let masked = MaskedCode::of("130000000000001234");
                InstrumentFacts::Code(CodeFacts { masked, digest: self.random.u128(..) })
            }
        }
    }

    pub(super) fn card(&mut self) -> CardFacts {
        let digest = |draw: &mut Self| draw.maybe(|draw| draw.random.u64(..)).unwrap_or(0);
        CardFacts {
            masked: MaskedPan::from_stored("621626*********0018"),
            digests: CardDigests {
                pan: self.random.u128(..),
                expiry: digest(self),
                holder: digest(self),
                id_type: digest(self),
                id_number: digest(self),
                phone: digest(self),
            },
            row: self.maybe(|draw| {
                Arc::new(BinRow {
                    bin: draw.bin(),
                    pan_length: draw.random.u8(..),
                    issuer_code: draw.text(8),
                    issuer_name: draw.text(20),
                    card_name: draw.text(20),
                    card_type: draw.of(&CardType::ALL),
                    brands: CardBrands {
                        first: draw.of(&Brand::ALL),
                        second: draw.maybe(|draw| draw.of(&Brand::ALL)),
                    },
                })
            }),
        }
    }

    fn attempt(&mut self) -> Attempt {
        let causes = [UnknownCause::TimedOut, UnknownCause::ProcessDied];
        Attempt {
            number: 0,
            channel: self.channel(),
            operation: self.of(&Operation::ALL),
            state: self.of(&AttemptState::ALL),
            sent_at: self.time(),
            channel_reference: self.maybe(|draw| draw.text(32)),
            acknowledged_at: self.maybe(Self::time),
            code: self.maybe(|draw| draw.text(8)),
            reason: self.maybe(|draw| draw.of(&Reason::ALL)),
            unknown_cause: self.maybe(|draw| draw.of(&causes)),
            objection: self.maybe(|draw| Objection::new(draw.text(32))),
            unresolved_at: self.maybe(Self::time),
            ended_at: self.maybe(Self::time),
            ended_by: self.maybe(|draw| draw.of(&Source::ALL)),
            sealed_pan: self.maybe(Self::sealed),
        }
    }

    pub(super) fn sealed(&mut self) -> SealedPan {
        SealedPan {
            key_id: self.word(),
            nonce: [self.random.u8(..); 12],
            bytes: self.several(40, |draw| draw.random.u8(..)),
        }
    }

    pub(super) fn entry(&mut self) -> ReversalEntry {
        ReversalEntry {
            order: self.id(),
            attempt: self.random.u8(..=99),
            version: self.random.u32(..),
            channel: self.channel(),
            amount: self.amount(),
            currency: self.of(&Currency::ALL),
            phase: self.of(&Phase::ALL),
            step: self.random.u16(..),
            due_at: self.maybe(Self::time),
            opened_at: self.time(),
            pending: self.random.bool(),
            reversal_left_at: self.maybe(Self::time),
            reversal_ends_at: self.maybe(Self::time),
            reversals_unanswered: self.random.u32(..),
            reversal_refused: self.random.bool(),
            reversals_exhausted: self.random.bool(),
            inquiries: self.random.u32(..),
            reversals: self.random.u32(..),
            history: self.several(40, |draw| HistoryLine { at: draw.time(), what: draw.text(40) }),
        }
    }

    fn delivery(&mut self) -> Delivery {
        Delivery {
            status: self.of(&DeliveryStatus::ALL),
            tries: self.random.u32(..),
            due_at: self.time(),
            acknowledged_at: self.maybe(Self::time),
            last_error: self.maybe(|draw| draw.text(80)),
            unanswered: self.random.bool(),
            version: self.random.u32(..),
        }
    }

    pub(super) fn accounting(&mut self) -> AccountingRequest {
        let chain = self.id();
        let vouchers = [VoucherType::Receipt, VoucherType::Payment, VoucherType::Transfer];
        let order = self.maybe(Self::id).unwrap_or(chain);
        let attempted = self.maybe(Self::id).unwrap_or(chain);
        let merchant_id = MerchantId::from_stored(&self.word());
        let source = match self.random.u8(0..3) {
            0 => SourceDocument::Difference {
                difference: DifferenceId::of(chain),
                merchant_id: self.maybe(|_| merchant_id),
            },
            1 => SourceDocument::Settlement {
                settlement: SettlementId::of(chain),
                bank_reference: self.text(40),
            },
            _ => SourceDocument::Order {
                order,
                channel_order_no: ChannelOrderNo {
                    order: attempted,
                    attempt: self.random.u8(1..=99),
                },
                channel_reference: self.maybe(|draw| draw.text(32)),
                merchant_id,
            },
        };
        AccountingRequest {
            id: RequestId { chain, sequence: self.random.u16(..) },
            event: self.of(&BookingEvent::ALL),
            voucher: self.of(&vouchers),
            channel: self.channel(),
            source,
            currency: self.of(&Currency::ALL),
            postings: self.several(4, |draw| Posting {
                side: draw.of(&[PostingSide::Debit, PostingSide::Credit]),
                account: draw.text(40),
                amount_minor: if draw.random.bool() { 1 } else { -1 } * draw.amount().get(),
            }),
            business_date: self.date(),
            created_at: self.time(),
            delivery: self.delivery(),
        }
    }

    pub(super) fn notice(&mut self) -> CoreNotice {
        CoreNotice {
            order: self.id(),
            url: self.text(90),
            created_at: self.time(),
            delivery: self.delivery(),
        }
    }

    pub(super) fn transaction(&mut self) -> Transaction {
        let order = self.id();
        let attempted = self.maybe(Self::id).unwrap_or(order);
        Transaction {
            order,
            movement: self.of(&Operation::ALL),
            channel: self.channel(),
            channel_order_no: ChannelOrderNo { order: attempted, attempt: self.random.u8(1..=99) },
            channel_reference: self.maybe(|draw| draw.text(32)),
            merchant_id: MerchantId::from_stored(&self.word()),
            amount: self.amount(),
            currency: self.of(&Currency::ALL),
            clearing_date: self.date(),
            at: self.time(),
            source: self.of(&Source::ALL),
            transcript: self.text(400),
        }
    }

    pub(super) fn clearing(&mut self) -> ClearingRecord {
        let channel_order_no = self.number();
        ClearingRecord {
            channel: self.channel(),
            date: self.date(),
            order: self.maybe(Self::id).unwrap_or(channel_order_no.order),
            channel_order_no,
            channel_reference: self.maybe(|draw| draw.text(32)),
            movement: self.of(&Operation::ALL),
            currency: self.of(&Currency::ALL),
            principal_minor: self.random.i64(..),
            fee_minor: self.random.i64(..),
            net_minor: self.random.i64(..),
            fee_rule: self.text(20),
            state: self.of(&ClearingState::ALL),
            at: self.time(),
        }
    }

    pub(super) fn contradiction(&mut self) -> Contradiction {
        Contradiction {
            order: self.id(),
            attempt: self.random.u8(1..=99),
            reported: self.of(&ReportedEnd::ALL),
            ordinal: self.random.u8(..),
            source: self.of(&Source::ALL),
            at: self.time(),
            transcript: self.text(400),
            channel_reference: self.maybe(|draw| draw.text(30)),
            undo: self.maybe(Self::id),
        }
    }

    fn event(&mut self) -> OrderEvent {
        OrderEvent {
            order: self.id(),
            version: self.random.u32(..),
            ordinal: self.random.u8(..),
            at: self.time(),
            kind: self.of(&EventKind::ALL),
            attempt: self.random.u8(0..=99),
            source: self.maybe(|draw| draw.of(&Source::ALL)),
            outcome: self.maybe(|draw| draw.text(10)),
            cause: self.maybe(|draw| draw.text(20)),
            code: self.maybe(|draw| draw.text(10)),
            remark: self.maybe(|draw| draw.of(&EventRemark::ALL)),
            detail: self.maybe(|draw| draw.text(100)),
            actor: self.maybe(|draw| draw.text(32)),
            transcript: self.text(400),
        }
    }

    fn route(&mut self) -> RouteVerdict {
        let channel = |draw: &mut Self| ChannelId::from_stored(&draw.text(10));
        RouteVerdict {
            rule: self.text(10),
            place: self.random.u16(..),
            bin_table: self.random.u32(..),
            kept: self.several(3, channel),
            struck: self.several(3, |draw| (channel(draw), draw.text(10))),
        }
    }

    pub(super) fn audit(&mut self) -> AuditEntry {
        AuditEntry {
            at: self.time(),
            actor: self.text(32),
            action: self.text(32),
            subject: self.text(32),
            reason: self.text(200),
        }
    }
}

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
        transcript: "respCode=05".to_owned(),
        ..event
    }
}

pub(super) fn audit() -> AuditEntry {
    AuditEntry {
        at: moment(12),
        actor: "ann".to_owned(),
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
