//! Weighs replies that links brought after their requests had been given up: a late answer to an
//! order of any operation is evidence as good as a notice, and one to a reversal ends it as it
//! would have in time.
//!
//! It holds nothing that matters: what is lost here, with a full queue or a crash, the next
//! reversal of the same attempt finds out.

use std::sync::Arc;

use tokio::sync::mpsc;

use crate::channel::registry::Registry;
use crate::channel::tcp::{AskedKind, LateReply};
use crate::domain::command::Refusal;
use crate::domain::flow::attempt::Source;
use crate::domain::outcome::Outcome;
use crate::engine::{Engine, EngineError};
use crate::telemetry;
use crate::workers::Stop;

/// Runs until asked to stop.
pub async fn run(
    engine: Arc<Engine>,
    registry: Arc<Registry>,
    mut replies: mpsc::Receiver<LateReply>,
    mut stop: Stop,
) {
    loop {
        let late = tokio::select! {
            biased;
            () = stop.asked() => return,
            late = replies.recv() => late,
        };
        let Some(late) = late else { return };
        weigh(&engine, &registry, &late).await;
    }
}

async fn weigh(engine: &Engine, registry: &Registry, late: &LateReply) {
    let Some(understood) = registry.decode_late_reply(late) else { return };
    // What says nothing for certain is what we knew already.
    if matches!(understood.outcome, Outcome::Unknown(_)) {
        return;
    }
    let number = late.asked.facts.channel_order_no;
    let weighed = match late.asked.kind {
        AskedKind::Order { .. } => {
            let evidence = understood.into_evidence(Source::Notice, number.attempt);
            engine.weigh(number.order, evidence).await
        }
        AskedKind::Reversal => {
            let asked_at = Some(late.asked_at);
            engine.learn_reversal(number.order, number.attempt, understood, asked_at).await
        }
    };
    match weighed {
        Ok(_) => tracing::info!(
            channel.name = %late.channel, channel.order_no = %number,
            "a late reply is taken as evidence"
        ),
        // The attempt has its end already.
        Err(EngineError::Refused(Refusal::NothingOpen)) => {}
        // The books cannot be written: the entry stays due.
        Err(error) => tracing::warn!(
            channel.name = %late.channel, channel.order_no = %number,
            error = %telemetry::chain(&error), "a late reply could not be written"
        ),
    }
}
