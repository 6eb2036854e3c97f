//! The accounting system, and the worker that delivers to it: it books, refuses, or is not heard.

use std::sync::Arc;
use std::time::Duration;

use switchyard::domain::books::accounting::{AccountingRequest, DeliveryStatus, RequestId};
use switchyard::domain::write_set::WriteSet;
use switchyard::engine::Engine;

use crate::world::{World, decider, note_error};

/// The longest wait that a failed delivery is put off for.
pub const WAIT_MAX: Duration = Duration::from_secs(6);

enum Answer {
    Booked,
    Refused,
    Unheard,
}

/// Delivers one request, as the worker does, and carries out what it has begun.
pub async fn deliver(engine: &Arc<Engine>, world: &World, request: AccountingRequest) {
    if request.id.sequence > 1 {
        let id = RequestId { chain: request.id.chain, sequence: request.id.sequence - 1 };
        match engine.store().accounting_request(id).await {
            Ok(Some(earlier)) if earlier.delivery.status.lets_others_pass() => {}
            Ok(_) => return postpone(engine, world, request).await,
            Err(error) => return world.state().violate(format!("a chain: {error}")),
        }
    }
    // A row that was read long ago says nothing of now.
    match engine.store().accounting_request(request.id).await {
        Ok(Some(now)) if now.delivery == request.delivery => {}
        _ => return,
    }
    let was_unanswered = request.delivery.unanswered;
    let mut request = request;
    if request.event.is_booked_first() && !was_unanswered {
        request.delivery.unanswered = true;
        request.delivery.version += 1;
        if !record(engine, world, request.clone()).await {
            return;
        }
    }
    let mut after = request.clone();
    after.delivery.version += 1;
    after.delivery.tries += 1;
    match post(world, &request) {
        Answer::Booked => {
            after.delivery.status = DeliveryStatus::Acknowledged;
            after.delivery.unanswered = false;
            after.delivery.acknowledged_at = Some(engine.clock().now());
            match engine.acknowledge(after).await {
                Ok(Some(id)) => {
                    if let Err(error) = engine.carry_out(id).await {
                        note_error(world, "what was booked", &error);
                    }
                }
                Ok(None) => {}
                Err(error) => note_error(world, "an acknowledgement", &error),
            }
        }
        Answer::Refused => {
            after.delivery.status = DeliveryStatus::Parked;
            after.delivery.unanswered = was_unanswered;
            record(engine, world, after).await;
        }
        Answer::Unheard => postpone(engine, world, request).await,
    }
}

fn post(world: &World, request: &AccountingRequest) -> Answer {
    let mut state = world.state();
    let known = state.booked.contains_key(&request.id);
    let draw = if state.calm { 0 } else { state.random.u8(0..100) };
    match draw {
        // It may refuse what it has booked: a repeat is a duplicate to it.
        90..=94 if request.event.is_booked_first() => {
            state.tally.booking_refused += 1;
            return Answer::Refused;
        }
        95..=99 => return Answer::Unheard,
        _ => {}
    }
    let order = request.order().expect("only orders are booked here");
    state.booked.insert(request.id, order);
    state.tally.booked += u64::from(!known);
    state.tally.red_letters += u64::from(!known && request.event.is_red_letter());
    if (80..90).contains(&draw) {
        state.tally.booking_answers_lost += 1;
        return Answer::Unheard;
    }
    Answer::Booked
}

async fn postpone(engine: &Arc<Engine>, world: &World, mut request: AccountingRequest) {
    let wait = world.state().millis(500..5_000);
    request.delivery.due_at = engine.clock().now().plus(wait + Duration::from_millis(1));
    request.delivery.version += 1;
    record(engine, world, request).await;
}

/// Whether it was written.
async fn record(engine: &Arc<Engine>, world: &World, request: AccountingRequest) -> bool {
    let writes = WriteSet { accounting: vec![request], ..WriteSet::default() };
    let written = engine.record(writes).await;
    if let Err(error) = &written {
        note_error(world, "a delivery", error);
    }
    written.is_ok()
}

/// An operator has some of what was refused sent again, and gives the rest up.
pub async fn look_at_parked(engine: &Arc<Engine>, world: &World, percent: u8) {
    let parked: Vec<AccountingRequest> = {
        let state = world.state();
        let parked = |one: &&AccountingRequest| one.delivery.status == DeliveryStatus::Parked;
        state.rows.accounting.values().filter(parked).cloned().collect()
    };
    for mut request in parked {
        let (looks, again) = {
            let mut state = world.state();
            (state.chance(percent), state.random.bool())
        };
        if !looks {
            continue;
        }
        if again {
            request.delivery.status = DeliveryStatus::Owed;
            request.delivery.due_at = engine.clock().now();
            request.delivery.version += 1;
            record(engine, world, request).await;
        } else {
            match engine.withdraw(request.id, decider("accounting refuses it")).await {
                Ok(_) => world.state().tally.withdrawn += 1,
                Err(error) => note_error(world, "a withdrawal", &error),
            }
        }
    }
}
