//! Closes clearing days when their time has come.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use crate::engine::day_close::CloseError;
use crate::engine::{Engine, EngineError};
use crate::telemetry;
use crate::workers::{Stop, next_round};

/// Runs until asked to stop. What could not be closed is tried again in the next round.
pub async fn run(engine: Arc<Engine>, look_every: Duration, mut stop: Stop) {
    let never = Notify::new();
    while !stop.is_asked() {
        for channel in engine.channels().ids() {
            if stop.is_asked() || !engine.takes_orders() {
                break;
            }
            match engine.close_due_days(&channel).await {
                Ok(_) => {}
                Err(CloseError::Engine(EngineError::Contended)) => {
                    tracing::debug!(channel.name = %channel, "a clearing day is closed by another");
                }
                Err(error) => {
                    let error = telemetry::chain(&error);
                    tracing::error!(
                        channel.name = %channel, error,
                        "a clearing day could not be closed; it is tried again"
                    );
                }
            }
        }
        next_round(&never, look_every, &mut stop).await;
    }
}
