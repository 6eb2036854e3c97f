//! Payouts (代付): money that leaves for a card or an account, the operation where an unknown costs
//! most.
//!
//! A payout is booked first, as a refund is: it is accepted with its one channel and its payee
//! sealed, leaves when accounting has acknowledged its request, in the commit that keeps the
//! acknowledgement, and is sent once. The request names the channel that the money leaves by, so no
//! other one is tried. There is no reversal: an unknown payout is inquired of until evidence ends
//! it, and what was booked is taken back only where it has ended without success.

use crate::domain::attempt::Operation;
use crate::domain::books::accounting::{self, BookedOrder, Booking, BookingEvent, RequestId};
use crate::domain::command::{CardInMemory, Refusal};
use crate::domain::effect::Effect;
use crate::domain::flow::DecisionDraft;
use crate::domain::order::OrderKind;

impl DecisionDraft<'_> {
    /// Accepts a payout for the first channel of its plan, and owes accounting its request.
    pub(super) fn accept_payout(&mut self, card: &CardInMemory) -> Result<(), Refusal> {
        assert_eq!(self.order.instruction.kind, OrderKind::Payout, "other kinds leave at once");
        let CardInMemory::Yes { sealed } = card else { return Err(Refusal::NoCandidate) };
        let terms = self.terms;
        if self.order.candidates.is_empty() {
            return Err(Refusal::NoCandidate);
        }
        if !terms.can(Operation::Payout) {
            return Err(Refusal::OperationNotSupported { operation: Operation::Payout });
        }
        if !terms.has_accounting {
            return Err(Refusal::AccountingNotConfigured);
        }
        self.order.candidates.truncate(1);
        self.order.sealed_pan.clone_from(sealed);
        self.book_payout(BookingEvent::Payout);
        Ok(())
    }

    /// Takes back what was booked for a payout that has ended without success. One that never left
    /// was refused by accounting, at every try or only at the last one.
    pub(super) fn take_payout_back(&mut self) {
        if !self.order.attempts.is_empty() || self.booked_perhaps {
            self.book_payout(BookingEvent::PayoutTakenBack);
        }
    }

    /// The request belongs to today's books: a payout that is booked first has no clearing date.
    fn book_payout(&mut self, event: BookingEvent) {
        self.order.accounting_sequence += 1;
        let order = &self.order;
        let planned = order.candidates.first().map(|candidate| &candidate.channel);
        let tried = order.attempts.first().map(|attempt| &attempt.channel);
        let booking = Booking {
            id: RequestId { chain: order.id, sequence: order.accounting_sequence },
            order: order.id,
            event,
            amount: order.instruction.amount,
            from_escrow_minor: 0,
            names: &self.terms.accounts,
            now: self.now,
        };
        let source = BookedOrder {
            channel: tried.or(planned).unwrap_or(&self.terms.channel),
            channel_order_no: order.channel_order_no(1),
            channel_reference: None,
            merchant_id: &order.instruction.merchant_id,
            amount: order.instruction.amount,
            currency: order.instruction.currency,
            business_date: self.present.today(&self.terms.calendar),
        };
        self.writes.accounting.push(accounting::request(&booking, source));
        self.effects.push(Effect::Book);
    }
}
