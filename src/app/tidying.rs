//! Tidies histograms, which keep every sample until the metrics are read, and looks how much the
//! disk of the data folder still takes.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use metrics_exporter_prometheus::PrometheusHandle;

use crate::telemetry;
use crate::workers::driver::{Tasks, Worker};

pub const EVERY: Duration = Duration::from_secs(5);

pub struct TidyWorker {
    pub metrics: PrometheusHandle,
    pub data: PathBuf,
}

impl Worker for TidyWorker {
    const NAME: &'static str = "metrics";

    async fn round(&mut self, tasks: &mut Tasks) -> usize {
        self.metrics.run_upkeep();
        match rustix::fs::statvfs(&self.data) {
            Ok(disk) => {
                let bytes = |blocks: u64| blocks.saturating_mul(disk.f_frsize);
                telemetry::gauge_disk(bytes(disk.f_bavail), bytes(disk.f_blocks));
            }
            Err(error) => {
                let error = io::Error::from(error);
                tasks.fail("the disk of the data folder cannot be looked at", &error);
            }
        }
        0
    }
}
