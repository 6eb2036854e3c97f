//! What the core asks for: payments, holds and payouts, what follows them, and the same ones again.

use std::sync::Arc;
use std::time::Duration;

use switchyard::domain::agreement::{AgreementRefusal, AgreementState};
use switchyard::domain::card::{CardFacts, CardInput, Pan};
use switchyard::domain::ids::{CallerId, CallerOrderId, ChannelId, MerchantId, OrderId};
use switchyard::domain::instrument::{Instrument, InstrumentFacts};
use switchyard::domain::money::{AmountMinor, Currency};
use switchyard::domain::order::{
    Candidate, Instruction, Order, OrderKind, OrderStatus, SettlementMode,
};
use switchyard::domain::payee_account::{AccountFacts, AccountKind, PayeeAccount};
use switchyard::engine::follow_ups::FollowUp;
use switchyard::engine::{Acceptance, Engine, EngineError};
use tokio::time::Instant;

use crate::terms;
use crate::world::{State, Wish, World, note_error};

pub fn card() -> CardInput {
    CardInput {
        pan: Pan::parse("6216261000000000018").expect("a published test number"),
        expiry: None,
        cvv: None,
        holder: None,
        id_type: None,
        id_number: None,
        phone: None,
    }
}

pub fn account() -> PayeeAccount {
    let parsed = PayeeAccount::parse(AccountKind::UserId, "2088102146225135", Some("ANN PAYEE"));
    parsed.expect("an id of a wallet's user")
}

/// What an order is to be paid by, or to pay, or why that cannot be.
type NamedInstrument = Result<Instrument, EngineError>;

/// What a wish names, and what its order keeps of it. `None`: its agreement is not there yet.
async fn named(
    engine: &Engine,
    world: &World,
    wish: &Wish,
) -> Result<Option<(NamedInstrument, InstrumentFacts)>, EngineError> {
    let Some(number) = wish.agreement else {
        let instrument = if wish.to_account { account().into() } else { card().into() };
        return Ok(Some((Ok(instrument), instrument_facts(wish, engine))));
    };
    let Some(id) = world.state().wanted[number].id else { return Ok(None) };
    let row = engine.store().agreement(id).await?;
    let row = row.ok_or(EngineError::Contended)?;
    let facts = InstrumentFacts::Agreement { id, card: row.asked.card.clone() };
    let token = engine.payable_token(&row);
    if token.is_ok() && row.state != AgreementState::Active {
        let state = row.state.name();
        world.state().violate(format!("an order may name agreement {id}, which is {state}"));
    }
    if let Err(EngineError::Agreement(AgreementRefusal::Expired)) = &token {
        let mut state = world.state();
        state.tally.expired += 1;
        // A clock that runs ahead refuses nobody.
        if row.ends_at.is_none_or(|ends_at| state.now < ends_at) {
            state.violate(format!("agreement {id} was refused before it had expired"));
        }
    }
    let by_it = token.map(|token| Instrument::Agreement { token, sms_code: None });
    Ok(Some((by_it, facts)))
}

/// What the order keeps of it.
fn instrument_facts(wish: &Wish, engine: &Engine) -> InstrumentFacts {
    if wish.to_account {
        let account = account();
        let digests = engine.vault().account_digests(&account);
        let (kind, masked) = (account.kind(), account.masked());
        return InstrumentFacts::Account(AccountFacts { kind, masked, digests });
    }
    let card = card();
    let (masked, digests) = (card.pan.masked(), engine.vault().digests(&card));
    CardFacts { masked, digests, row: None }.into()
}

fn order(id: OrderId, wish: &Wish, facts: InstrumentFacts, engine: &Engine) -> Order {
    let candidate = |name: &&str| Candidate {
        channel: ChannelId::from_stored(name),
        keeps_pan: terms::terms(name).keeps_pan,
    };
    let kind = match (wish.payout, wish.hold) {
        (true, _) => OrderKind::Payout,
        (false, true) => OrderKind::Preauth,
        (false, false) => OrderKind::Payment,
    };
    let (caller, merchant) = (CallerId::from_stored("core"), MerchantId::from_stored("m-1"));
    let own = CallerOrderId::from_stored(&wish.caller_order_id);
    let amount = AmountMinor::new(wish.amount_minor).expect("an amount");
    let instruction = Instruction {
        settlement_mode: wish.settlement_mode,
        instrument: Some(facts),
        notify_url: Some("https://core.example/notices".to_owned()),
        ..Instruction::new(caller, own, kind, merchant, amount, Currency::Cny)
    };
    let mut order = Order::accepted(id, instruction, engine.clock().now());
    order.candidates = wish.channels.iter().map(candidate).collect();
    order
}

/// The core asks for a payment, again until it has an answer; at times it asks for another one
/// under the same number.
pub async fn ask(engine: &Arc<Engine>, world: &World, number: usize) {
    let (wish, differing, until) = {
        let mut state = world.state();
        let wish = state.wishes[number].clone();
        let differing = wish.answered.is_some() && state.chance(30);
        // A call whose wait is over must still be compared and answered (I-9).
        let until = if number.is_multiple_of(3) { Instant::now() } else { patient() };
        (wish, differing, until)
    };
    let (instrument, facts) = match named(engine, world, &wish).await {
        Ok(Some(named)) => named,
        Ok(None) => return,
        Err(error) => return note_error(world, "an instrument", &error),
    };
    let id = match engine.next_order_id().await {
        Ok(id) => id,
        Err(error) => return note_error(world, "an order id", &error),
    };
    let mut asked = order(id, &wish, facts, engine);
    if differing {
        asked.instruction.amount = AmountMinor::new(wish.amount_minor + 1).expect("an amount");
    }
    let answer = match instrument {
        Ok(instrument) => outcome(engine.accept(asked, instrument.into(), None, until).await).await,
        Err(refused) => kept(engine, &asked.instruction, refused).await,
    };
    let mut state = world.state();
    match answer {
        Err(EngineError::Agreement(refusal)) => {
            state.tally.refused_by_books += 1;
            if wish.answered.is_some() {
                state.violate(format!("I-9: the repeat of {} is refused", wish.caller_order_id));
            }
            let named = wish.agreement.expect("only agreements are refused so");
            let is_over = state.is_refused_for_good(named, refusal);
            state.wishes[number].is_refused = is_over;
        }
        Err(EngineError::Differs(differs)) if differing && differs.field == "amount" => {
            state.tally.differing += 1;
        }
        _ if differing && answer.is_ok() => {
            state.violate(format!("I-9: {} was taken with another amount", wish.caller_order_id));
        }
        Ok((order, repeated)) => {
            state.tally.repeated += u64::from(repeated);
            if let Some((known, status)) = wish.answered {
                let same = known == order.id && repeated;
                let kept = !status.is_final() || status == order.status;
                if !(same && kept) {
                    state.violate(format!("I-9: {} got another answer", wish.caller_order_id));
                }
            }
            state.wishes[number].answered = Some((order.id, order.status));
        }
        Err(error) => {
            drop(state);
            note_error(world, "an order", &error);
        }
    }
}

/// The order that a refused one repeats, or the refusal.
async fn kept(
    engine: &Engine,
    asked: &Instruction,
    refused: EngineError,
) -> Result<(Order, bool), EngineError> {
    let (caller, own) = (asked.caller.clone(), asked.caller_order_id.clone());
    let kept = engine.store().order_by_caller(caller, own).await?.ok_or(refused)?;
    kept.instruction.same_content(asked)?;
    Ok((kept, true))
}

/// Releases a part of an escrow payment that has succeeded.
pub async fn release(engine: &Arc<Engine>, world: &World, number: usize) {
    let (wish, part) = {
        let mut state = world.state();
        let wish = state.wishes[number].clone();
        let part = state.random.i64(1..=wish.amount_minor);
        (wish, part)
    };
    let (Some((payment, _)), SettlementMode::Escrow) = (wish.answered, wish.settlement_mode) else {
        return;
    };
    let payment = wish.capture.unwrap_or(payment);
    let Ok(Some(original)) = engine.store().order(payment).await else { return };
    let (kind, caller) = (OrderKind::Release { of: payment }, CallerId::from_stored("core"));
    let own = format!("{}-r{}", wish.caller_order_id, wish.releases);
    let own = CallerOrderId::from_stored(&own);
    let instruction = Instruction::on(&original, kind, caller, own);
    let amount = Some(AmountMinor::new(part).expect("an amount"));
    let asked = FollowUp { instruction, amount, card: None, most_minor: None, approved: None };
    match outcome(engine.follow_up(asked, patient()).await).await {
        Ok(_) => {
            let mut state = world.state();
            state.tally.released += 1;
            state.wishes[number].releases += 1;
        }
        // The store failed or the release was too much; the same number with another amount too.
        Err(EngineError::Differs(_)) => world.state().wishes[number].releases += 1,
        Err(error) => note_error(world, "a release", &error),
    }
}

/// Asks for one follow-up of a payment or hold that has succeeded.
pub async fn follow_up(engine: &Arc<Engine>, world: &World, number: usize) {
    let (again, drawn) = {
        let mut state = world.state();
        let wish = state.wishes[number].clone();
        let again = wish.last_follow_up.clone().filter(|_| state.chance(15));
        let drawn = if again.is_none() { draw(&mut state, &wish) } else { None };
        (again, drawn)
    };
    let (asked, known) = match (again, drawn) {
        (Some((asked, id)), _) => (asked, Some(id)),
        (None, Some(drawn)) => {
            // A store that does not answer has no original to show.
            let of = drawn.kind.original().expect("it follows an order up");
            let Ok(Some(original)) = engine.store().order(of).await else { return };
            (drawn.asked(&original), None)
        }
        (None, None) => return,
    };
    let answer = outcome(engine.follow_up(asked.clone(), patient()).await).await;
    let mut state = world.state();
    match answer {
        Ok((order, repeated)) => {
            if let Some(known) = known {
                state.tally.repeated_follow_ups += 1;
                if order.id != known || !repeated {
                    state.violate(format!(
                        "I-9: {} got another answer",
                        asked.instruction.caller_order_id
                    ));
                }
                return;
            }
            let wish = &mut state.wishes[number];
            if matches!(asked.instruction.kind, OrderKind::Capture { .. })
                && order.status == OrderStatus::Succeeded
            {
                wish.capture = Some(order.id);
            }
            wish.last_follow_up = Some((asked, order.id));
            wish.follow_ups += 1;
        }
        // It was taken by a call whose answer was lost, with other content.
        Err(EngineError::Differs(_)) if known.is_none() => state.wishes[number].follow_ups += 1,
        Err(error) => {
            let refused = matches!(error, EngineError::Refused(_));
            state.tally.refused_follow_ups += u64::from(refused);
            if refused && known.is_some() {
                let own = &asked.instruction.caller_order_id;
                state.violate(format!("I-9: the repeat of {own} is refused"));
            }
            drop(state);
            note_error(world, "a follow-up", &error);
        }
    }
}

/// Longer than any disk of the simulation takes.
pub fn patient() -> Instant {
    Instant::now() + Duration::from_secs(3_600)
}

/// The order as its own work leaves it, and whether it had been taken before.
pub async fn outcome(
    accepted: Result<Acceptance, EngineError>,
) -> Result<(Order, bool), EngineError> {
    let acceptance = accepted?;
    let is_repeat = acceptance.is_repeat;
    Ok((acceptance.outcome().await?, is_repeat))
}

/// A follow-up that was drawn, before its original is known.
struct Drawn {
    kind: OrderKind,
    own: CallerOrderId,
    amount: Option<AmountMinor>,
    card: Option<Arc<CardInput>>,
}

impl Drawn {
    fn asked(self, original: &Order) -> FollowUp {
        let caller = CallerId::from_stored("core");
        let instruction = Instruction::on(original, self.kind, caller, self.own);
        FollowUp {
            instruction,
            amount: self.amount,
            card: self.card,
            most_minor: None,
            approved: None,
        }
    }
}

fn draw(state: &mut State, wish: &Wish) -> Option<Drawn> {
    let (id, status) = wish.answered?;
    // Now and then the core asks without looking.
    if status != OrderStatus::Succeeded && !state.chance(10) {
        return None;
    }
    let kind = kind(state, wish, id);
    let part = state.random.i64(1..=wish.amount_minor);
    let whole = state.chance(30) || matches!(kind, OrderKind::Void { .. });
    let own = format!("{}-f{}", wish.caller_order_id, wish.follow_ups);
    Some(Drawn {
        kind,
        own: CallerOrderId::from_stored(&own),
        amount: (!whole).then(|| AmountMinor::new(part).expect("an amount")),
        card: state.chance(60).then(|| Arc::new(card())),
    })
}

fn kind(state: &mut State, wish: &Wish, id: OrderId) -> OrderKind {
    let of = wish.capture.filter(|_| state.chance(80)).unwrap_or(id);
    let hold = wish.hold && of == id;
    match (hold, state.random.u8(0..100)) {
        (true, 0..=64) => OrderKind::Capture { of },
        (true, 65..=84) | (false, 0..=24) => OrderKind::Void { of },
        (_, _) => OrderKind::Refund { of },
    }
}
