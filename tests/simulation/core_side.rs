//! What the core asks for after a payment: refunds, voids and captures, and the same ones again.

use std::sync::Arc;
use std::time::Duration;

use switchyard::domain::card::CardInput;
use switchyard::domain::flow::order::{Instruction, Order, OrderKind, OrderStatus};
use switchyard::domain::ids::{CallerId, CallerOrderId, OrderId};
use switchyard::domain::money::AmountMinor;
use switchyard::engine::follow_ups::FollowUp;
use switchyard::engine::{Acceptance, Engine, EngineError};
use tokio::time::Instant;

use crate::life::{card, note_error};
use crate::world::{State, Wish, World};

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
        FollowUp { instruction, amount: self.amount, card: self.card }
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
        card: state.chance(60).then(card),
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
