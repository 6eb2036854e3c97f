//! Rows of what a channel does with a card beside orders.

use super::samples::{Draw, first_id, moment};
use super::{SampleTable, head_fits};
use crate::domain::card::CardDigests;
use crate::domain::ids::{CallerId, CallerOrderId, ChannelId, MerchantId, VerificationId};
use crate::domain::outcome::{Reason, UnknownCause};
use crate::domain::verification::{
    CardVerification, VerificationEnd, VerificationRequest, VerificationVerdict,
};
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
