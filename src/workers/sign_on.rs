//! Signs on for the terminals of links whose keys all nodes use, so that the others need not wait
//! for this node's first request.

use std::sync::Arc;

use crate::channel::registry::Registry;
use crate::domain::cluster::Work;
use crate::domain::ids::ChannelId;
use crate::engine::Engine;
use crate::workers::KeysInFlight;
use crate::workers::driver::{Tasks, Worker};

/// Connects the links that this node signs on.
pub struct SignOnWorker {
    engine: Arc<Engine>,
    registry: Arc<Registry>,
    in_flight: KeysInFlight<ChannelId>,
}

impl SignOnWorker {
    pub fn new(engine: Arc<Engine>, registry: Arc<Registry>) -> Self {
        Self { engine, registry, in_flight: KeysInFlight::default() }
    }
}

impl Worker for SignOnWorker {
    const NAME: &'static str = "sign_on";

    async fn round(&mut self, tasks: &mut Tasks) -> usize {
        let mut begun = 0;
        for channel in self.registry.signed_on_for_all() {
            if !self.engine.holds(&Work::SignOn(channel.clone())) {
                continue;
            }
            let Some(hold) = self.in_flight.hold(&channel) else { continue };
            let registry = Arc::clone(&self.registry);
            begun += 1;
            tasks.spawn(async move {
                let is_up = registry.connect_links(&channel).await;
                drop(hold);
                // The log has why each link is down.
                if is_up { Ok(()) } else { Err(format!("no link of `{channel}` is up")) }
            });
        }
        begun
    }

    fn end(&mut self, tasks: Tasks) -> impl Future<Output = ()> + Send {
        tasks.cut_off()
    }
}
