//! What the core asks for after a payment: refunds, voids and captures, and the same ones again.

use std::sync::Arc;

use switchyard::domain::flow::order::{OrderKind, OrderStatus};
use switchyard::domain::ids::{CallerId, CallerOrderId, OrderId};
use switchyard::domain::money::AmountMinor;
use switchyard::engine::follow_ups::FollowUp;
use switchyard::engine::{Engine, EngineError, Submitted};

use crate::life::{card, note_error};
use crate::world::{State, Wish, World};

/// Asks for one follow-up of a payment or hold that has succeeded.
pub async fn follow_up(engine: &Arc<Engine>, world: &World, number: usize) {
    let drawn = {
        let mut state = world.state();
        let wish = state.wishes[number].clone();
        let again = wish.last_follow_up.clone().filter(|_| state.chance(15));
        match again {
            Some((asked, id)) => Some((asked, Some(id))),
            None => draw(&mut state, &wish).map(|asked| (asked, None)),
        }
    };
    let Some((asked, known)) = drawn else { return };
    let answer = engine.follow_up(asked.clone()).await;
    let mut state = world.state();
    match answer {
        Ok(Submitted { order, repeated }) => {
            if let Some(known) = known {
                state.tally.repeated_follow_ups += 1;
                if order.id != known || !repeated {
                    state.violate(format!("I-9: {} got another answer", asked.caller_order_id));
                }
                return;
            }
            let wish = &mut state.wishes[number];
            if matches!(asked.kind, OrderKind::Capture { .. })
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
                state.violate(format!("I-9: the repeat of {} is refused", asked.caller_order_id));
            }
            drop(state);
            note_error(world, "a follow-up", &error);
        }
    }
}

fn draw(state: &mut State, wish: &Wish) -> Option<FollowUp> {
    let (id, status) = wish.answered?;
    // Now and then the core asks without looking.
    if status != OrderStatus::Succeeded && !state.chance(10) {
        return None;
    }
    let kind = kind(state, wish, id);
    let part = state.random.i64(1..=wish.amount_minor);
    let whole = state.chance(30) || matches!(kind, OrderKind::Void { .. });
    Some(FollowUp {
        merchant_category: None,
        merchant_fee_minor: None,
        caller: CallerId::from_stored("core"),
        caller_order_id: CallerOrderId::from_stored(&format!(
            "{}-f{}",
            wish.caller_order_id, wish.follow_ups
        )),
        kind,
        amount: (!whole).then(|| AmountMinor::new(part).expect("an amount")),
        card: state.chance(60).then(card),
        description: None,
        notify_url: None,
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
