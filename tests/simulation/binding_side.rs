//! The channels as the engine asks them to bind cards: what happens to such a request on its way
//! there and back.

use switchyard::channel::{IssuedToken, ServiceFacts, ServiceSubject};
use switchyard::domain::agreement::AgreementState;
use switchyard::domain::attempt::Operation;
use switchyard::domain::card_service::CardService;
use switchyard::domain::ids::{AgreementId, ChannelId, ChannelOrderNo};
use switchyard::domain::instrument::{Instrument, InstrumentFacts};
use switchyard::domain::outcome::{NotSentCause, Outcome, Reason, UnknownCause};

use crate::agreements::bound_card;
use crate::bank::declined;
use crate::bank_side::{Bank, MARGIN, Way};
use crate::bindings::yes;
use crate::terms;
use crate::world::Event;

/// What is heard of a request, and the token that comes with it.
type Heard = (Outcome, Option<IssuedToken>);

impl Bank {
    pub async fn serve(
        &self,
        channel: &ChannelId,
        facts: &ServiceFacts,
        subject: &ServiceSubject,
    ) -> Heard {
        self.check_service(channel, facts, subject);
        if facts.service == CardService::AgreementInquiry {
            return self.look_up(channel, facts.channel_order_no).await;
        }
        let ended = subject.token.as_deref().and_then(|one| self.world.state().binding_of(one));
        if facts.service == CardService::AgreementConfirmation {
            self.world.state().begin_binding(facts, channel);
        }
        let way = self.way();
        self.pause(5..800).await;
        match way {
            Way::NotSent => (Outcome::NotSent(NotSentCause::NoConnection), None),
            Way::LostBefore => {
                self.pause(1_000..8_000).await;
                (Outcome::Unknown(UnknownCause::TimedOut), None)
            }
            Way::Late => {
                self.comes_late(channel, facts, ended);
                self.pause(1_000..8_000).await;
                (Outcome::Unknown(UnknownCause::TimedOut), None)
            }
            Way::Through => {
                let (outcome, issued) = self.arrives(facts, ended);
                let is_confirmed = issued.is_some();
                let heard = self.answer(outcome).await;
                let is_heard = matches!(heard, Outcome::Approved(_));
                let is_lost = is_confirmed && !is_heard;
                self.world.state().tally.confirmations_lost += u64::from(is_lost);
                (heard, issued.filter(|_| is_heard))
            }
        }
    }

    /// What is long on its way arrives before a "no such" is believed, or never.
    fn comes_late(&self, channel: &ChannelId, facts: &ServiceFacts, ended: Option<ChannelOrderNo>) {
        let bound = terms::terms(channel.as_str()).not_found_final_after - MARGIN;
        let (mut state, number) = (self.world.state(), facts.channel_order_no);
        match (facts.service, ended) {
            (CardService::AgreementConfirmation, _) => {
                let sent_at = state.binding(number).sent_at;
                let after = state.lateness(sent_at, bound);
                state.binding(number).coming = true;
                state.later(after, Event::Bind { number });
            }
            (CardService::AgreementEnd, Some(number)) => {
                let after = state.millis(1_000..400_000);
                state.later(after, Event::Unbind { number, by_holder: false });
            }
            _ => {}
        }
    }

    fn arrives(&self, facts: &ServiceFacts, ended: Option<ChannelOrderNo>) -> Heard {
        let (mut state, number) = (self.world.state(), facts.channel_order_no);
        match facts.service {
            CardService::AgreementCode if state.chance(6) => {
                (declined(Reason::CardRestricted, "B3"), None)
            }
            CardService::AgreementCode => (yes(number), None),
            CardService::AgreementConfirmation => {
                state.bind(number);
                state.word_of_binding(number)
            }
            CardService::AgreementEnd => {
                (ended.map_or(yes(number), |number| state.end_binding(number)), None)
            }
            CardService::AgreementInquiry
            | CardService::Verification
            | CardService::PaymentCode => {
                unreachable!("the world asks for none, and inquiries are answered elsewhere")
            }
        }
    }

    async fn look_up(&self, channel: &ChannelId, number: ChannelOrderNo) -> Heard {
        let terms = terms::terms(channel.as_str());
        self.pause(5..500).await;
        let mut state = self.world.state();
        // What has never left cannot come late.
        let sent_at = state.bindings.get(&number).map_or(state.now, |binding| binding.sent_at);
        let lag = state.now.since(sent_at) + MARGIN < terms.not_found_final_after;
        match state.random.u8(0..100) {
            _ if state.calm => state.word_of_binding(number),
            0..=9 => (Outcome::Unknown(UnknownCause::TimedOut), None),
            10..=14 => (Outcome::NotSent(NotSentCause::NoRateLeft), None),
            20..=31 if lag => (Outcome::NotFound { code: "34".to_owned() }, None),
            _ => state.word_of_binding(number),
        }
    }

    /// A request about an agreement is durable before it leaves, and names the core's card or the
    /// channel's own token.
    fn check_service(&self, channel: &ChannelId, facts: &ServiceFacts, subject: &ServiceSubject) {
        let number = facts.channel_order_no;
        let mut state = self.world.state();
        let row = state.agreements.get(&AgreementId::of(number.order));
        let asked = row.and_then(|row| match facts.service {
            CardService::AgreementCode => {
                (row.state == AgreementState::SendingCode).then_some(row.last_call)
            }
            CardService::AgreementConfirmation => {
                (row.state == AgreementState::Confirming).then_some(row.last_call)
            }
            CardService::AgreementEnd => {
                (row.state == AgreementState::Ending).then_some(row.last_call)
            }
            CardService::AgreementInquiry => row.confirmation,
            CardService::Verification | CardService::PaymentCode => None,
        });
        let is_durable = asked
            .is_some_and(|call| (call.number, call.sent_at) == (number.attempt, facts.sent_at));
        if !is_durable || row.is_some_and(|row| row.channel != *channel) {
            let text = format!("I-1: {} {number} left for {channel} as {row:?}", facts.service);
            state.violate(text);
        }
        let is_named = match facts.service {
            CardService::AgreementEnd => {
                let bound = subject.token.as_deref().and_then(|token| state.binding_of(token));
                bound.is_some_and(|bound| bound.order == number.order)
            }
            CardService::AgreementInquiry => true,
            _ => {
                let card = bound_card();
                let is_its = |given: &switchyard::domain::card::CardInput| {
                    (&given.pan, &given.phone) == (&card.pan, &card.phone)
                };
                subject.card.as_deref().is_some_and(is_its)
            }
        };
        if !is_named {
            state.violate(format!("{} {number} is about something else", facts.service));
        }
    }

    /// An order by an agreement goes to the agreement's channel with its own token. Gives the
    /// binding that it is paid by.
    pub fn check_payer(
        &self,
        channel: &ChannelId,
        number: ChannelOrderNo,
        instrument: &Instrument,
    ) -> Option<ChannelOrderNo> {
        let mut state = self.world.state();
        let order = state.rows.orders.get(&number.order)?;
        let is_payout = order.attempts.iter().any(|one| one.operation == Operation::Payout);
        let named = order.instruction.instrument.as_ref().and_then(InstrumentFacts::agreement);
        let token = instrument.token();
        let bound = token.and_then(|token| state.binding_of(token));
        let is_its = bound.is_some_and(|bound| {
            named == Some(AgreementId::of(bound.order))
                && state.bindings[&bound].channel == *channel
                && !is_payout
        });
        if !is_its && (named.is_some() || token.is_some()) {
            state.violate(format!("{number} is paid by {bound:?}, and named {named:?}"));
        }
        state.tally.sent_by_agreement += u64::from(is_its);
        bound
    }
}
