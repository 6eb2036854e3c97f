//! Requests for a second person, of every kind and state.

use super::draw::Draw;
use super::samples::{first_id, moment};
use super::{SampleTable, head_fits};
use crate::domain::approval::{
    ApprovalDecision, ApprovalRequest, ApprovalState, HeldAction, HeldBinTable, HeldRefund,
    HeldRemedy, HeldResolve, OpenEnd, OperatorKey,
};
use crate::domain::bin::StatedDate;
use crate::domain::books::difference::Remedy;
use crate::domain::ids::{
    ApprovalId, CallerId, CallerOrderId, ChannelId, DifferenceId, MerchantId, OrderId,
};
use crate::domain::money::{AmountMinor, Currency};
use crate::domain::reversal::Resolution;
use crate::store::table::approval::Approvals;

impl Draw {
    fn operator(&mut self) -> OperatorKey {
        OperatorKey {
            name: CallerId::from_stored(&self.word()),
            person: CallerId::from_stored(&self.word()),
        }
    }

    fn held_action(&mut self, waits: bool) -> HeldAction {
        let amount = AmountMinor::new(self.random.i64(1..=1_000_000)).expect("an amount");
        let currency = self.of(&Currency::ALL);
        match self.random.u8(0..5) {
            0 => HeldAction::Refund(HeldRefund {
                of: self.id(),
                is_void: self.random.bool(),
                caller_order_id: CallerOrderId::from_stored(&self.word()),
                amount,
                currency,
                left_minor: self.random.i64(0..=1_000_000),
                description: self.maybe(|draw| draw.text(40)),
                notify_url: self.maybe(|draw| draw.text(40)),
            }),
            1 => HeldAction::Resolve(HeldResolve {
                order: self.id(),
                resolution: self.of(&Resolution::ALL),
                amount,
                currency,
                seen: OpenEnd {
                    attempt: self.random.u8(..),
                    pending: self.random.bool(),
                    reversals: self.random.u32(..),
                },
            }),
            2 => HeldAction::Remedy(HeldRemedy {
                difference: DifferenceId::of(self.id()),
                version: self.random.u32(..),
                remedy: self.of(&Remedy::ALL),
                merchant_id: self.maybe(|draw| MerchantId::from_stored(&draw.word())),
            }),
            3 => HeldAction::BinTable(HeldBinTable {
                sha256: self.random.u128(..).to_be_bytes().repeat(2).try_into().expect("32 bytes"),
                length: self.random.u64(0..=1_000_000),
                source: self.text(40),
                as_of: StatedDate::parse("2026-11"),
                version: self.random.u32(..),
                complaint: self.text(40),
                bytes: waits.then(|| self.text(90).into_bytes()),
            }),
            _ => HeldAction::Switch { channel: self.channel(), enabled: self.random.bool() },
        }
    }

    fn approval_request(&mut self) -> ApprovalRequest {
        let state = self.of(&ApprovalState::ALL);
        ApprovalRequest {
            id: ApprovalId::of(self.id()),
            version: self.random.u32(..),
            action: self.held_action(state.is_waiting()),
            asked_by: self.operator(),
            reason: self.text(60),
            asked_at: self.time(),
            until: self.time(),
            state,
            decision: self.maybe(|draw| ApprovalDecision {
                by: draw.operator(),
                at: draw.time(),
                reason: draw.maybe(|draw| draw.text(30)),
            }),
            ended_at: self.maybe(Self::time),
            outcome: self.maybe(|draw| draw.text(30)),
        }
    }
}

/// One of each kind, each with every optional field.
fn requests() -> Vec<ApprovalRequest> {
    let operator = |name: &str, person: &str| OperatorKey {
        name: CallerId::from_stored(name),
        person: CallerId::from_stored(person),
    };
    let amount = AmountMinor::new(12_345).expect("an amount");
    let actions = [
        HeldAction::Refund(HeldRefund {
            of: first_id(),
            is_void: false,
            caller_order_id: CallerOrderId::from_stored("R-7"),
            amount,
            currency: Currency::Cny,
            left_minor: 20_000,
            description: Some("returned".to_owned()),
            notify_url: Some("https://core.example/n".to_owned()),
        }),
        HeldAction::Resolve(HeldResolve {
            order: first_id(),
            resolution: Resolution::Failed,
            amount,
            currency: Currency::Cny,
            seen: OpenEnd { attempt: 1, pending: true, reversals: 2 },
        }),
        HeldAction::Remedy(HeldRemedy {
            difference: DifferenceId::of(first_id()),
            version: 3,
            remedy: Remedy::Merchant,
            merchant_id: Some(MerchantId::from_stored("m-42")),
        }),
        HeldAction::BinTable(HeldBinTable {
            sha256: [7; 32],
            length: 2,
            source: "uploaded".to_owned(),
            as_of: StatedDate::parse("2026-11-22"),
            version: 4,
            complaint: "9 rows are fewer".to_owned(),
            bytes: Some(vec![8, 9]),
        }),
        HeldAction::Switch { channel: ChannelId::from_stored("unionpay"), enabled: true },
    ];
    let request = |(place, action)| ApprovalRequest {
        id: ApprovalId::of(OrderId::compose(261_123, 1, place)),
        version: 2,
        action,
        asked_by: operator("ann-2", "ann"),
        reason: "the bank said so".to_owned(),
        asked_at: moment(1),
        until: moment(9),
        state: ApprovalState::Approved,
        decision: Some(ApprovalDecision {
            by: operator("bo-1", "bo"),
            at: moment(2),
            reason: Some("seen".to_owned()),
        }),
        ended_at: Some(moment(3)),
        outcome: Some("done".to_owned()),
    };
    (1..).zip(actions).map(request).collect()
}

impl SampleTable for Approvals {
    fn fixed() -> Vec<ApprovalRequest> {
        requests()
    }

    fn draw(draw: &mut Draw) -> ApprovalRequest {
        draw.approval_request()
    }

    fn hold(row: &ApprovalRequest) {
        head_fits::<Self>(row);
    }
}
