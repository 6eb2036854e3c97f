//! The last look at a decision before it leaves: the invariants that its rows can show.

use crate::domain::attempt::AttemptState;
use crate::domain::books::accounting::DeliveryStatus;
use crate::domain::effect::Effect;
use crate::domain::flow::DecisionDraft;
use crate::domain::order::{Order, OrderKind, OrderStatus};

impl DecisionDraft<'_> {
    pub(super) fn sweep(&self) {
        let order = &self.order;
        let open = order.unresolved();
        assert!(!(order.status.is_final() && open.is_some()), "I-3: an end leaves nothing open");
        let undo = matches!(order.instruction.kind, OrderKind::Undo { .. });
        let owed = undo && !order.status.is_final();
        let needs_entry = owed || open.is_some_and(|attempt| attempt.state.needs_entry());
        assert_eq!(self.entry.is_some(), needs_entry, "I-6: an entry exactly while unresolved");
        assert_same_end(&self.view.order, order);
        if let (Some(old), Some(new)) = (&self.view.original, &self.original) {
            assert_same_end(&old.order, new);
        }
        for effect in &self.effects {
            if let Effect::Send { order, attempt } = effect {
                let written = self.writes.orders.iter().find(|row| row.id == *order);
                let sending = written.and_then(|row| row.attempt(*attempt));
                let durable = sending.is_some_and(|one| one.state == AttemptState::Sending);
                assert!(durable, "I-1: durable before it is sent");
            }
        }
        self.sweep_books();
        for row in self.writes.orders.iter().chain([order]) {
            assert_claims(row);
        }
    }

    /// I-7: the rows of a success depend on the order's kind.
    fn sweep_books(&self) {
        let succeeds = self.order.status == OrderStatus::Succeeded
            && self.view.order.status != OrderStatus::Succeeded;
        let writes = &self.writes;
        if succeeds {
            // Orders that give money back or pay it out are booked before; operations that move no
            // money are not cleared.
            let (clearing, requests) = match (self.order.instruction.kind, self.moves_money()) {
                (_, false) => (0, 0),
                (OrderKind::Refund { .. } | OrderKind::Void { .. } | OrderKind::Payout, true) => {
                    (1, 0)
                }
                (
                    OrderKind::Payment
                    | OrderKind::Capture { .. }
                    | OrderKind::Undo { .. }
                    | OrderKind::Preauth
                    | OrderKind::Release { .. },
                    true,
                ) => (1, 1),
            };
            assert_eq!(writes.transactions.len(), 1, "I-7: one transaction for a success");
            assert_eq!(writes.clearing.len(), clearing, "I-7: clearing records of a success");
            assert_eq!(writes.accounting.len(), requests, "I-7: requests of a success");
        } else {
            assert!(writes.transactions.is_empty(), "I-7: no transaction without success");
        }
        for request in &writes.accounting {
            assert_eq!(request.imbalance_minor(), 0, "I-7: entries balance");
            let owed = request.delivery.status == DeliveryStatus::Owed;
            assert_eq!(owed, request.delivery.version == 1, "I-7: nobody booked a new one yet");
        }
    }
}

fn assert_same_end(old: &Order, new: &Order) {
    if old.status.is_final() {
        assert_eq!(old.status, new.status, "I-5: final is final");
        assert_eq!(old.attempts, new.attempts, "I-5: final is final");
    }
}

/// I-8: others never draw more from an order than its amount.
fn assert_claims(order: &Order) {
    let (whole, claims) = (order.instruction.amount.get(), order.claims);
    let parts = [
        order.released_minor,
        claims.refunded_minor,
        claims.captured_minor,
        claims.from_escrow_minor,
        claims.contradicted_minor,
    ];
    assert!(parts.iter().all(|minor| *minor >= 0), "I-8: nothing is drawn twice back");
    let drawn = claims.refunded_minor + claims.captured_minor;
    assert!(drawn <= whole, "I-8: no more is given back or captured than there is");
    let gone = order.released_minor + claims.from_escrow_minor;
    assert!(gone <= whole, "I-8: no more leaves escrow than was paid");
}
