//! Refreshes the BIN table from its source at intervals; a bad table is refused and the live one
//! stays.

use std::sync::Arc;

use crate::clock::Timekeeper;
use crate::config::checked::BinTableSettings;
use crate::tables::bin::{
    LiveBinTable, Occasion, RefreshOptions, RefreshReport, fetch_table, is_url, public_source,
};
use crate::telemetry;
use crate::workers::driver::{Tasks, Worker};

/// The actor of a refresh by the timer, in the table's history.
const WHO: &str = "timer";

/// Refreshes the table from its source.
pub struct BinTableWorker {
    table: Arc<LiveBinTable>,
    settings: BinTableSettings,
    source: String,
    clock: Timekeeper,
}

impl BinTableWorker {
    /// `None` without a source: there is nothing to do.
    pub fn new(
        table: Arc<LiveBinTable>,
        settings: BinTableSettings,
        clock: Timekeeper,
    ) -> Option<Self> {
        let source = settings.source.clone()?;
        Some(Self { table, settings, source, clock })
    }
}

impl Worker for BinTableWorker {
    const NAME: &'static str = "bin_table";
    const AT_START: bool = false;

    async fn round(&mut self, tasks: &mut Tasks) -> usize {
        let public = public_source(&self.source);
        match refresh(&self.table, &self.settings, &self.source, &self.clock).await {
            Ok(RefreshReport { version, rows, unchanged, .. }) => {
                tracing::info!(
                    source = %public, version, rows, unchanged, "the BIN table was refreshed"
                );
                rows
            }
            Err(error) => {
                tracing::error!(
                    source = %public,
                    error,
                    "the BIN table could not be refreshed; it stays as it was"
                );
                tasks.report(error);
                0
            }
        }
    }
}

async fn refresh(
    table: &Arc<LiveBinTable>,
    settings: &BinTableSettings,
    source: &str,
    clock: &Timekeeper,
) -> Result<RefreshReport, String> {
    let bytes = if is_url(source) {
        fetch_table(source).await.map_err(|error| telemetry::chain(&error))?
    } else {
        tokio::fs::read(source).await.map_err(|error| error.to_string())?
    };
    let options = RefreshOptions {
        min_rows: settings.min_rows,
        max_removed_percent: settings.max_removed_percent,
        versions_kept: settings.versions_kept,
        ..RefreshOptions::default()
    };
    let (table, source) = (Arc::clone(table), source.to_owned());
    let now_ms = clock.now().as_millis();
    let refreshed = tokio::task::spawn_blocking(move || {
        table.refresh(&bytes, &source, Occasion { who: WHO, now_ms }, &options)
    });
    let refreshed = refreshed.await.map_err(|_| "the refresh has panicked".to_owned())?;
    refreshed.map_err(|refusal| telemetry::chain(&refusal))
}
