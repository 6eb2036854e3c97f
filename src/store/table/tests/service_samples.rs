//! Rows of what a channel does with a card beside orders.

use super::draw::Draw;
use super::samples::{first_id, moment};
use super::{SampleTable, head_fits};
use crate::domain::agreement::{Agreement, AgreementCall, AgreementRequest, AgreementState};
use crate::domain::card::{CardDigests, CardFacts, MaskedPan, SealedPan};
use crate::domain::ids::{
    AgreementId, CallerId, CallerOrderId, ChannelId, MerchantId, VerificationId,
};
use crate::domain::money::{AmountMinor, Currency};
use crate::domain::outcome::{Reason, UnknownCause};
use crate::domain::payment_code::{
    CodeCall, CodePayer, CodedKind, PaymentCode, PaymentCodeRequest, PaymentCodeState,
};
use crate::domain::verification::{
    CardVerification, VerificationEnd, VerificationRequest, VerificationVerdict,
};
use crate::store::table::agreement::Agreements;
use crate::store::table::payment_code::PaymentCodes;
use crate::store::table::verification::Verifications;

impl Draw {
    fn element(&mut self) -> u64 {
        self.maybe(|draw| draw.random.u64(..)).unwrap_or(0)
    }

    fn verification(&mut self) -> CardVerification {
        CardVerification {
            id: VerificationId::of(self.id()),
            version: self.random.u32(..),
            asked: VerificationRequest {
                caller: CallerId::from_stored(&self.word()),
                caller_order_id: CallerOrderId::from_stored(&self.word()),
                merchant_id: MerchantId::from_stored(&self.word()),
                digests: CardDigests {
                    pan: self.random.u128(..),
                    expiry: 0,
                    holder: self.element(),
                    id_type: self.element(),
                    id_number: self.element(),
                    phone: self.element(),
                },
            },
            channel: self.channel(),
            tries: self.random.u8(1..=99),
            sent_at: self.time(),
            created_at: self.time(),
            end: self.maybe(|draw| VerificationEnd {
                verdict: draw.of(&VerificationVerdict::ALL),
                reason: draw.maybe(|draw| draw.of(&Reason::ALL)),
                unknown_cause: draw.maybe(|draw| draw.of(&UnknownCause::ALL)),
                code: draw.maybe(|draw| draw.text(32)),
                at: draw.time(),
            }),
        }
    }
}

impl Draw {
    fn agreement_call(&mut self) -> AgreementCall {
        AgreementCall { number: self.random.u8(1..=99), sent_at: self.time() }
    }

    fn agreement(&mut self) -> Agreement {
        Agreement {
            id: AgreementId::of(self.id()),
            version: self.random.u32(..),
            asked: AgreementRequest {
                caller: CallerId::from_stored(&self.word()),
                caller_order_id: CallerOrderId::from_stored(&self.word()),
                merchant_id: MerchantId::from_stored(&self.word()),
                card: self.card(),
                phone: "138****8000".to_owned(),
            },
            channel: self.channel(),
            state: self.of(&AgreementState::ALL),
            last_call: self.agreement_call(),
            confirmation: self.maybe(Self::agreement_call),
            codes_sent: self.random.u8(..),
            codes_refused: self.random.u8(..),
            reason: self.maybe(|draw| draw.of(&Reason::ALL)),
            unknown_cause: self.maybe(|draw| draw.of(&UnknownCause::ALL)),
            code: self.maybe(|draw| draw.text(32)),
            transcript: self.text(60),
            token: self.maybe(Self::sealed),
            ends_at: self.maybe(Self::time),
            created_at: self.time(),
            changed_at: self.time(),
        }
    }
}

/// An agreement with every optional field.
fn agreement() -> Agreement {
    let digests = CardDigests { pan: 7, phone: 11, ..CardDigests::default() };
    let masked = MaskedPan::from_stored("621626*********0018");
    Agreement {
        id: AgreementId::of(first_id()),
        version: 4,
        asked: AgreementRequest {
            caller: CallerId::from_stored("core"),
            caller_order_id: CallerOrderId::from_stored("G-7"),
            merchant_id: MerchantId::from_stored("m-42"),
            card: CardFacts { masked, digests, row: None },
            phone: "138****847x".to_owned(),
        },
        channel: ChannelId::from_stored("unionpay"),
        state: AgreementState::Ending,
        last_call: AgreementCall { number: 3, sent_at: moment(3) },
        confirmation: Some(AgreementCall { number: 2, sent_at: moment(1) }),
        codes_sent: 1,
        codes_refused: 2,
        reason: Some(Reason::WrongSmsCode),
        unknown_cause: Some(UnknownCause::TimedOut),
        code: Some("71".to_owned()),
        transcript: "respCode=71".to_owned(),
        token: Some(SealedPan { key_id: "k2".to_owned(), nonce: [8; 12], bytes: vec![4, 5] }),
        ends_at: Some(moment(9)),
        created_at: moment(0),
        changed_at: moment(3),
    }
}

impl SampleTable for Agreements {
    fn fixed() -> Vec<Agreement> {
        vec![agreement()]
    }

    fn draw(draw: &mut Draw) -> Agreement {
        draw.agreement()
    }

    fn hold(row: &Agreement) {
        head_fits::<Self>(row);
    }
}

/// A verification that has ended, with every optional field.
fn verification() -> CardVerification {
    CardVerification {
        id: VerificationId::of(first_id()),
        version: 2,
        asked: VerificationRequest {
            caller: CallerId::from_stored("core"),
            caller_order_id: CallerOrderId::from_stored("V-7"),
            merchant_id: MerchantId::from_stored("m-42"),
            digests: CardDigests {
                pan: 7,
                expiry: 0,
                holder: 8,
                id_type: 9,
                id_number: 10,
                phone: 11,
            },
        },
        channel: ChannelId::from_stored("unionpay"),
        tries: 1,
        sent_at: moment(1),
        created_at: moment(1),
        end: Some(VerificationEnd {
            verdict: VerificationVerdict::Differs,
            reason: Some(Reason::IdentityMismatch),
            unknown_cause: Some(UnknownCause::TimedOut),
            code: Some("66".to_owned()),
            at: moment(2),
        }),
    }
}

impl SampleTable for Verifications {
    fn fixed() -> Vec<CardVerification> {
        vec![verification()]
    }

    fn draw(draw: &mut Draw) -> CardVerification {
        draw.verification()
    }

    fn hold(row: &CardVerification) {
        head_fits::<Self>(row);
    }
}

impl Draw {
    fn code_call(&mut self) -> CodeCall {
        CodeCall { order: self.id(), sent_at: self.time() }
    }

    fn payment_code(&mut self) -> PaymentCode {
        let by_card = self.random.bool();
        PaymentCode {
            asked: PaymentCodeRequest {
                caller: CallerId::from_stored(&self.word()),
                caller_order_id: CallerOrderId::from_stored(&self.word()),
                kind: self.of(&CodedKind::ALL),
                merchant_id: MerchantId::from_stored(&self.word()),
                amount: self.amount(),
                currency: self.of(&Currency::ALL),
                payer: match by_card {
                    true => CodePayer::Card { pan: self.random.u128(..) },
                    false => CodePayer::Agreement(AgreementId::of(self.id())),
                },
            },
            version: self.random.u32(..),
            channel: self.channel(),
            state: self.of(&PaymentCodeState::ALL),
            last_call: self.code_call(),
            standing: self.maybe(Self::code_call),
            requests: self.random.u8(1..),
            reason: self.maybe(|draw| draw.of(&Reason::ALL)),
            unknown_cause: self.maybe(|draw| draw.of(&UnknownCause::ALL)),
            code: self.maybe(|draw| draw.text(32)),
            created_at: self.time(),
            changed_at: self.time(),
        }
    }
}

/// The code of a payment by card, with every optional field.
fn payment_code() -> PaymentCode {
    let (order, sent_at) = (first_id(), moment(1));
    PaymentCode {
        asked: PaymentCodeRequest {
            caller: CallerId::from_stored("core"),
            caller_order_id: CallerOrderId::from_stored("A-7"),
            kind: CodedKind::Payment,
            merchant_id: MerchantId::from_stored("m-42"),
            amount: AmountMinor::new(1_230).expect("an amount"),
            currency: Currency::Cny,
            payer: CodePayer::Card { pan: 7 },
        },
        version: 4,
        channel: ChannelId::from_stored("unionpay"),
        state: PaymentCodeState::Refused,
        last_call: CodeCall { order, sent_at: moment(3) },
        standing: Some(CodeCall { order, sent_at }),
        requests: 2,
        reason: Some(Reason::IdentityMismatch),
        unknown_cause: Some(UnknownCause::TimedOut),
        code: Some("66".to_owned()),
        created_at: moment(1),
        changed_at: moment(3),
    }
}

impl SampleTable for PaymentCodes {
    fn fixed() -> Vec<PaymentCode> {
        let by_card = payment_code();
        let payer = CodePayer::Agreement(AgreementId::of(first_id()));
        let caller_order_id = CallerOrderId::from_stored("A-8");
        let kind = CodedKind::Preauth;
        let asked = PaymentCodeRequest { caller_order_id, kind, payer, ..by_card.asked.clone() };
        let by_agreement = PaymentCode { asked, standing: None, ..by_card.clone() };
        vec![by_card, by_agreement]
    }

    fn draw(draw: &mut Draw) -> PaymentCode {
        draw.payment_code()
    }

    fn hold(row: &PaymentCode) {
        head_fits::<Self>(row);
    }
}
