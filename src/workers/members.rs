//! Renews this node's lease of the books, and fences nodes that are gone.

use std::sync::Arc;

use crate::channel::registry::Registry;
use crate::engine::Engine;
use crate::workers::driver::{Tasks, Worker};

/// Keeps this node among those that share the books.
pub struct MemberWorker {
    engine: Arc<Engine>,
    registry: Arc<Registry>,
}

impl MemberWorker {
    pub const fn new(engine: Arc<Engine>, registry: Arc<Registry>) -> Self {
        Self { engine, registry }
    }
}

impl Worker for MemberWorker {
    const NAME: &'static str = "members";

    async fn round(&mut self, tasks: &mut Tasks) -> usize {
        let fenced = self.engine.renew_lease().await.unwrap_or_else(|error| {
            tasks.fail("the lease of this node could not be renewed; it is tried again", &error);
            0
        });
        if let Err(error) = self.registry.exchange(false).await {
            tasks.fail("the channels' limits could not be told to the other nodes", &error);
        }
        fenced
    }

    fn signal(&mut self) -> impl Future<Output = ()> + Send {
        self.engine.signals().members.notified()
    }

    /// The others need not wait for the lease to end.
    async fn end(&mut self, tasks: Tasks) {
        tasks.finish().await;
        if let Err(error) = self.registry.exchange(true).await {
            tracing::warn!(%error, "what this node holds of channels' limits is not given back");
        }
        if let Err(error) = self.engine.leave().await {
            let error = crate::telemetry::chain(&error);
            tracing::warn!(error, "the lease of this node is not given back; it ends by itself");
        }
    }
}
