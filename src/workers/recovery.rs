//! Finds attempts whose call has died, here or with an earlier process: their end is unknown.

use std::sync::Arc;
use std::time::Duration;

use crate::engine::Engine;
use crate::telemetry;
use crate::workers::{PAGE, Stop};

/// How often the open orders are looked through while the process runs. A call that dies without
/// its process is a defect of ours, so this is a safety net and need not be quick.
const EVERY: Duration = Duration::from_secs(30);

/// Looks through the open orders at intervals until asked to stop.
pub async fn run(engine: Arc<Engine>, mut stop: Stop) {
    loop {
        tokio::select! {
            biased;
            () = stop.asked() => return,
            () = tokio::time::sleep(EVERY) => {}
        }
        match engine.recover_lost(PAGE).await {
            Ok(0) => {}
            Ok(count) => {
                tracing::error!(orders = count, "calls were lost; their attempts are unknown now");
            }
            Err(error) => tracing::error!(
                error = %telemetry::chain(&error),
                "the open orders cannot be looked through"
            ),
        }
    }
}
