//! Rows that are drawn from a seed.

use std::sync::Arc;

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
    AgreementId, CallerId, CallerOrderId, ChannelId, ChannelOrderNo, DifferenceId,
    MerchantCategory, MerchantId, OrderId, SettlementId,
};
use crate::domain::instrument::InstrumentFacts;
use crate::domain::money::{AMOUNT_MINOR_MAX, AmountMinor, Currency};
use crate::domain::order::{
    Candidate, Claims, Instruction, Order, OrderKind, OrderStatus, RouteVerdict, SettlementMode,
};
use crate::domain::outcome::{Objection, Reason, UnknownCause};
use crate::domain::payee_account::{AccountDigests, AccountFacts, AccountKind, MaskedAccount};
use crate::domain::payer_code::{CodeFacts, MaskedCode};
use crate::domain::reversal::{HistoryLine, Phase, ReversalEntry};
use crate::domain::time::{BusinessDate, Timestamp};
use crate::domain::write_set::{AuditEntry, Contradiction, CoreNotice, ReportedEnd};

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

    pub(in crate::store) fn bin(&mut self) -> Bin {
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
        match self.random.u8(0..4) {
            0 => card.into(),
            1 => InstrumentFacts::Agreement { id: AgreementId::of(self.id()), card },
            2 => InstrumentFacts::Account(AccountFacts {
                kind: self.of(&AccountKind::ALL),
                masked: MaskedAccount::of("13800138000"),
                digests: AccountDigests {
                    id: self.random.u128(..),
                    name: self.maybe(|draw| draw.random.u64(..)).unwrap_or(0),
                },
            }),
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
            announced_at: self.maybe(Self::time),
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
            clearing_date: self.maybe(Self::date),
        }
    }

    pub(super) fn event(&mut self) -> OrderEvent {
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
            approver: self.maybe(|draw| draw.text(32)),
            transcript: self.text(400),
            sent: self.text(400),
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
            approver: self.maybe(|draw| draw.text(32)),
            action: self.text(32),
            subject: self.text(32),
            reason: self.text(200),
        }
    }
}
