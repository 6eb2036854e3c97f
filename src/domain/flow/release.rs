//! Escrow release: the goods have arrived, and the money goes on to the merchant (S16).

use crate::domain::books::accounting::{self, Booking, BookingEvent, RequestId};
use crate::domain::command::Refusal;
use crate::domain::effect::Effect;
use crate::domain::flow::DecisionDraft;
use crate::domain::order::{Order, OrderKind, OrderStatus, SettlementMode};

impl DecisionDraft<'_> {
    /// Books a part, or all that is left, of the view's payment under the release's own order id.
    ///
    /// No channel takes part, so it succeeds in the commit that accepts it. It has no transaction
    /// and no clearing record: no money moved at a channel.
    pub(super) fn release(&mut self, mut release: Order) -> Result<(), Refusal> {
        assert_eq!(release.version, 0, "a release is accepted once");
        assert_eq!(
            release.instruction.kind,
            OrderKind::Release { of: self.order.id },
            "it names its payment"
        );
        if self.order.instruction.settlement_mode != SettlementMode::Escrow
            || !self.order.instruction.kind.is_paid_in()
        {
            return Err(Refusal::NotEscrow);
        }
        if self.order.status != OrderStatus::Succeeded {
            return Err(Refusal::NotSucceeded);
        }
        let left_minor = self.order.unreleased_minor();
        if release.instruction.amount.get() > left_minor {
            return Err(Refusal::ExceedsLeft { left_minor });
        }
        let source = self.view.transaction.as_ref().expect("I-7: a success has its transaction");
        self.order.released_minor += release.instruction.amount.get();
        self.order.accounting_sequence += 1;
        let booking = Booking {
            id: RequestId { chain: self.order.id, sequence: self.order.accounting_sequence },
            order: release.id,
            event: BookingEvent::EscrowRelease,
            amount: release.instruction.amount,
            from_escrow_minor: 0,
            names: &self.terms.accounts,
            now: self.now,
        };
        self.writes.accounting.push(accounting::request(&booking, source));
        release.version = 1;
        release.status = OrderStatus::Succeeded;
        release.finished_at = Some(self.now);
        self.owe_notice(&release);
        self.writes.orders.push(release);
        self.effects.push(Effect::Book);
        Ok(())
    }
}
