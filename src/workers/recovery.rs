//! Finds attempts whose call has died, here, with an earlier process or with another node: their
//! end is unknown.

use std::sync::Arc;
use std::time::Duration;

use crate::domain::cluster::Work;
use crate::engine::{Engine, EngineError};
use crate::workers::PAGE;
use crate::workers::driver::{Tasks, Worker};

/// How often the open orders are looked through while the process runs. A call that dies without
/// its process is a defect of ours, so this is a safety net and need not be quick.
pub const EVERY: Duration = Duration::from_secs(30);

/// Looks through the open orders.
pub struct RecoveryWorker {
    engine: Arc<Engine>,
}

impl RecoveryWorker {
    pub const fn new(engine: Arc<Engine>) -> Self {
        Self { engine }
    }

    async fn recover(&self) -> Result<usize, EngineError> {
        let lost = self.engine.recover_lost(PAGE).await?;
        // A process that has its books to itself has ended what was left behind at its start.
        let is_shared = self.engine.store().cluster().is_some();
        let is_ours = is_shared && self.engine.holds(&Work::Recovery);
        Ok(lost + if is_ours { self.engine.recover_orphans(PAGE).await? } else { 0 })
    }
}

impl Worker for RecoveryWorker {
    const NAME: &'static str = "recovery";
    const AT_START: bool = false;

    async fn round(&mut self, tasks: &mut Tasks) -> usize {
        match self.recover().await {
            Ok(orders) => {
                if orders > 0 {
                    tracing::error!(orders, "calls were lost; their attempts are unknown now");
                }
                orders
            }
            Err(error) => {
                tasks.fail("the open orders cannot be looked through", &error);
                0
            }
        }
    }

    fn signal(&mut self) -> impl Future<Output = ()> + Send {
        self.engine.signals().recovery.notified()
    }
}
