//! What the core asks of agreements: a card is bound by a code, orders name it, and some are
//! withdrawn. Each step is asked again until it is heard, at times by two at once.

use std::sync::Arc;

use switchyard::domain::agreement::{
    AgreementRefusal, AgreementRequest, AgreementState, mask_phone,
};
use switchyard::domain::card::{CardFacts, CardInput, SmsCode};
use switchyard::domain::ids::{AgreementId, CallerId, CallerOrderId, ChannelId, MerchantId};
use switchyard::engine::agreements::GivenCode;
use switchyard::engine::{AgreementAnswer, Engine, EngineError};
use tokio::time::Instant;

use crate::core_side::{card, patient};
use crate::terms;
use crate::world::{State, World, note_error};

const PHONE: &str = "13800138000";
/// How many agreements the core of a world wants.
pub const WANTED: usize = 8;

/// An agreement as the core knows it.
#[derive(Debug, Clone)]
pub struct WantedAgreement {
    pub caller_order_id: String,
    /// The one channel that binds the card.
    pub channel: &'static str,
    pub id: Option<AgreementId>,
    /// It is withdrawn at last.
    ends: bool,
    /// It has no codes or numbers left.
    given_up: bool,
}

/// The agreements that the core of a world wants.
pub fn wanted(state: &mut State) -> Vec<WantedAgreement> {
    let one = |number| WantedAgreement {
        caller_order_id: format!("bind-{number}"),
        channel: terms::BINDING[state.random.usize(0..terms::BINDING.len())],
        id: None,
        ends: state.chance(50),
        given_up: false,
    };
    (0..WANTED).map(one).collect()
}

pub fn bound_card() -> CardInput {
    let mut card = card();
    card.phone = Some(PHONE.to_owned());
    card
}

fn code() -> SmsCode {
    SmsCode::parse("123456").expect("six digits")
}

impl State {
    /// Whether the core wants nothing more of one of its agreements.
    pub fn is_at_rest(&self, number: usize) -> bool {
        let wanted = &self.wanted[number];
        let row = wanted.id.and_then(|id| self.agreements.get(&id));
        let Some(row) = row else { return false };
        wanted.given_up
            || match row.state {
                AgreementState::Active => !wanted.ends,
                AgreementState::Failed | AgreementState::Ended => true,
                AgreementState::SendingCode
                | AgreementState::CodeSent
                | AgreementState::CodeUnknown
                | AgreementState::Confirming
                | AgreementState::Unknown
                | AgreementState::Ending => false,
            }
    }

    /// Whether an order that was refused for its agreement is refused for good.
    pub fn is_refused_for_good(&self, number: usize, refusal: AgreementRefusal) -> bool {
        match refusal {
            AgreementRefusal::Expired
            | AgreementRefusal::WrongState(AgreementState::Failed | AgreementState::Ended) => true,
            AgreementRefusal::WrongState(_)
            | AgreementRefusal::UnderWay
            | AgreementRefusal::CodesUsedUp
            | AgreementRefusal::CallsUsedUp => self.wanted[number].given_up,
        }
    }
}

/// One step towards what the core wants of an agreement.
pub async fn step(engine: &Arc<Engine>, world: &World, number: usize) {
    let (wanted, opens, calm) = {
        let mut state = world.state();
        let wanted = state.wanted[number].clone();
        // Now and then it is opened again, as after a lost answer.
        let opens = wanted.id.is_none() || state.mischief(5);
        (wanted, opens, state.calm)
    };
    let Some(id) = wanted.id.filter(|_| !opens) else {
        return open(engine, world, number).await;
    };
    let row = match engine.store().agreement(id).await {
        Ok(Some(row)) => row,
        Ok(None) => return world.state().violate(format!("I-12: agreement {id} is gone")),
        Err(error) => return note(world, number, "an agreement", Err(error.into())),
    };
    let waits = |percent| !calm && !world.state().chance(percent);
    let asked = match row.state {
        AgreementState::CodeSent | AgreementState::CodeUnknown => confirm(engine, world, id).await,
        AgreementState::SendingCode | AgreementState::Confirming | AgreementState::Unknown => {
            let was_unknown = row.state == AgreementState::Unknown;
            let seen = engine.look_at_agreement(row).await;
            let is_found = matches!(&seen, Ok(row) if row.state == AgreementState::Active);
            world.state().tally.bound_by_inquiry += u64::from(was_unknown && is_found);
            seen.map(|_| ())
        }
        AgreementState::Active if !wanted.ends || waits(4) => return,
        AgreementState::Active | AgreementState::Ending => {
            engine.end_agreement(id, patient()).await.map(|_| ())
        }
        AgreementState::Failed | AgreementState::Ended => return,
    };
    note(world, number, "a step of an agreement", asked);
}

async fn open(engine: &Arc<Engine>, world: &World, number: usize) {
    let (wanted, differing, until) = {
        let mut state = world.state();
        let wanted = state.wanted[number].clone();
        let differing = wanted.id.is_some() && state.chance(50);
        let until = if state.chance(30) { Instant::now() } else { patient() };
        (wanted, differing, until)
    };
    let mut card = bound_card();
    if differing {
        card.phone = Some("13900139000".to_owned());
    }
    let asked = AgreementRequest {
        caller: CallerId::from_stored("core"),
        caller_order_id: CallerOrderId::from_stored(&wanted.caller_order_id),
        merchant_id: MerchantId::from_stored("m-1"),
        card: facts(engine, &card),
        phone: mask_phone(card.phone.as_deref().expect("it has one")),
    };
    let channel = ChannelId::from_stored(wanted.channel);
    match engine.open_agreement(asked, card, channel, until).await {
        Err(EngineError::Differs(differs)) if differing && differs.field == "card.phone" => {
            world.state().tally.differing_agreements += 1;
        }
        Ok(_) if differing => {
            let text = format!("I-9: {} was bound with another phone", wanted.caller_order_id);
            world.state().violate(text);
        }
        Ok(AgreementAnswer { agreement, is_repeat }) => {
            let mut state = world.state();
            state.tally.agreements += u64::from(!is_repeat);
            if wanted.id.is_some_and(|known| known != agreement.id || !is_repeat) {
                state.violate(format!("I-9: {} got another answer", wanted.caller_order_id));
            }
            state.wanted[number].id = Some(agreement.id);
        }
        Err(error) => note(world, number, "the opening of an agreement", Err(error)),
    }
}

pub fn facts(engine: &Engine, card: &CardInput) -> CardFacts {
    CardFacts { masked: card.pan.masked(), digests: engine.vault().digests(card), row: None }
}

/// Gives the code, or has another one sent. The card comes along half the time.
async fn confirm(engine: &Arc<Engine>, world: &World, id: AgreementId) -> Result<(), EngineError> {
    let (again, with_card) = {
        let mut state = world.state();
        (state.mischief(20), state.calm || state.chance(50))
    };
    let card = with_card.then(bound_card);
    let asked = if again {
        engine.send_agreement_code(id, card, patient()).await
    } else {
        engine.confirm_agreement(id, GivenCode { code: code(), card }, patient()).await
    };
    match asked {
        Err(EngineError::CardGone) if !with_card => {
            world.state().tally.cards_gone += 1;
            Ok(())
        }
        // The code that was sent before is given next.
        Err(EngineError::Agreement(AgreementRefusal::CodesUsedUp)) if again => Ok(()),
        asked => asked.map(|_| ()),
    }
}

/// Two at once refuse each other, and an agreement runs out of numbers at last.
fn note(world: &World, number: usize, what: &str, asked: Result<(), EngineError>) {
    match asked {
        Ok(()) => {}
        Err(EngineError::Agreement(AgreementRefusal::CallsUsedUp)) => {
            world.state().wanted[number].given_up = true;
        }
        Err(EngineError::Agreement(
            AgreementRefusal::UnderWay | AgreementRefusal::WrongState(_),
        )) => world.state().tally.refused_steps += 1,
        Err(error) => note_error(world, what, &error),
    }
}
