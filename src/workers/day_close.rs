//! Closes clearing days when their time has come.

use std::sync::Arc;

use crate::domain::cluster::Work;
use crate::engine::day_close::CloseError;
use crate::engine::{Engine, EngineError};
use crate::telemetry;
use crate::workers::driver::{Tasks, Worker};

/// Closes the days that are due. A failed close is tried again in the next round.
pub struct DayCloseWorker {
    engine: Arc<Engine>,
}

impl DayCloseWorker {
    pub const fn new(engine: Arc<Engine>) -> Self {
        Self { engine }
    }
}

impl Worker for DayCloseWorker {
    const NAME: &'static str = "day_close";

    async fn round(&mut self, tasks: &mut Tasks) -> usize {
        let mut closed = 0;
        for channel in self.engine.channels().ids() {
            if tasks.is_stop_requested() || !self.engine.takes_orders() {
                break;
            }
            if !self.engine.holds(&Work::Close(channel.clone())) {
                continue;
            }
            match self.engine.close_due_days(&channel).await {
                Ok(days) => closed += days,
                Err(CloseError::Engine(EngineError::Contended)) => {
                    tracing::debug!(channel.name = %channel, "a clearing day is closed by another");
                }
                Err(error) => {
                    let error = telemetry::chain(&error);
                    tracing::error!(
                        channel.name = %channel, error,
                        "a clearing day could not be closed; it is tried again"
                    );
                    tasks.report(error);
                }
            }
        }
        closed
    }
}
