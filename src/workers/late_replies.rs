//! Weighs replies that links brought after their requests had been given up: a late answer to an
//! order of any operation is evidence as good as a notice, and one to a reversal ends it as it
//! would have in time.
//!
//! The queue holds nothing that matters: a reply that is lost here, with a full queue or a crash,
//! the next reversal of the same attempt finds out.

use std::sync::Arc;

use tokio::sync::mpsc;

use crate::channel::registry::Registry;
use crate::channel::transport::tcp::{LateReply, TracedRequest};
use crate::domain::attempt::Source;
use crate::domain::command::Refusal;
use crate::domain::outcome::Outcome;
use crate::engine::{Engine, EngineError};
use crate::telemetry;
use crate::workers::driver::{Tasks, Worker};

/// Weighs late replies, one a round, as they come.
pub struct LateReplyWorker {
    engine: Arc<Engine>,
    registry: Arc<Registry>,
    replies: mpsc::Receiver<LateReply>,
    next: Option<LateReply>,
}

impl LateReplyWorker {
    pub const fn new(
        engine: Arc<Engine>,
        registry: Arc<Registry>,
        replies: mpsc::Receiver<LateReply>,
    ) -> Self {
        Self { engine, registry, replies, next: None }
    }
}

impl Worker for LateReplyWorker {
    const NAME: &'static str = "late_replies";
    const AT_START: bool = false;

    async fn round(&mut self, tasks: &mut Tasks) -> usize {
        let Some(late) = self.next.take() else { return 0 };
        if let Err(error) = weigh(&self.engine, &self.registry, &late).await {
            tasks.report(error);
        }
        1
    }

    async fn signal(&mut self) {
        self.next = self.replies.recv().await;
        if self.next.is_none() {
            // The links are gone, and nothing comes any more.
            std::future::pending::<()>().await;
        }
    }
}

async fn weigh(engine: &Engine, registry: &Registry, late: &LateReply) -> Result<(), String> {
    let Some(understood) = registry.decode_late_reply(late) else { return Ok(()) };
    // An unknown outcome adds nothing to what we know.
    if matches!(understood.outcome, Outcome::Unknown(_)) {
        return Ok(());
    }
    let number = late.asked.facts.channel_order_no;
    let weighed = match late.asked.kind {
        TracedRequest::Order { .. } => {
            let evidence = understood.into_evidence(Source::Notice, number.attempt);
            engine.weigh(number.order, evidence).await
        }
        TracedRequest::Reversal => {
            let asked = (number.attempt, late.asked_at);
            engine.learn_reversal(number.order, asked, understood, true).await
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
        Err(error) => {
            let error = telemetry::chain(&error);
            tracing::warn!(
                channel.name = %late.channel, channel.order_no = %number, error,
                "a late reply could not be written"
            );
            return Err(error);
        }
    }
    Ok(())
}
