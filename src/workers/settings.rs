//! Follows the settings that all nodes of a store run.

use std::sync::Arc;

use crate::engine::shared_settings::SharedSettings;
use crate::workers::driver::{Tasks, Worker};

/// Fetches what was published, and switches to it at its moment.
pub struct SettingsWorker(Arc<SharedSettings>);

impl SettingsWorker {
    pub const fn new(shared: Arc<SharedSettings>) -> Self {
        Self(shared)
    }
}

impl Worker for SettingsWorker {
    const NAME: &'static str = "settings";

    async fn round(&mut self, tasks: &mut Tasks) -> usize {
        let followed = self.0.follow().await;
        if let Some(problem) = self.0.problem() {
            tasks.report(problem);
        }
        followed.unwrap_or_else(|error| {
            tasks.fail("published settings could not be fetched; it is tried again", &error);
            0
        })
    }
}
