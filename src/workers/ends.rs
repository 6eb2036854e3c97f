//! Looks for orders that have ended on other nodes while calls wait for them here.

use std::sync::Arc;
use std::time::Duration;

use crate::engine::Engine;
use crate::workers::driver::{Tasks, Worker};

/// How long an end on another node may stay unheard of. Without a call that waits, a look reads
/// nothing.
pub const EVERY: Duration = Duration::from_millis(100);

/// Announces ends that other nodes have written.
pub struct EndWorker {
    engine: Arc<Engine>,
}

impl EndWorker {
    pub const fn new(engine: Arc<Engine>) -> Self {
        Self { engine }
    }
}

impl Worker for EndWorker {
    const NAME: &'static str = "ends";

    async fn round(&mut self, tasks: &mut Tasks) -> usize {
        self.engine.announce_ends().await.unwrap_or_else(|error| {
            tasks.fail("ends on other nodes cannot be looked for", &error);
            0
        })
    }
}
