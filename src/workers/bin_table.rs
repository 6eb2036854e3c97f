//! Refreshes the BIN table from its source at intervals; a bad table is refused and the live one
//! stays.

use std::sync::Arc;

use crate::config::checked::BinTableSettings;
use crate::domain::cluster::Work;
use crate::engine::Engine;
use crate::engine::shared_settings::SharedSettings;
use crate::tables::bin::{
    LiveBinTable, Occasion, RefreshOptions, RefreshReport, fetch_table, is_url, public_source,
};
use crate::telemetry;
use crate::workers::driver::{Tasks, Worker};

/// The actor of a refresh by the timer, in the table's history.
const WHO: &str = "timer";

/// Refreshes the table from its source.
pub struct BinTableWorker {
    engine: Arc<Engine>,
    table: Arc<LiveBinTable>,
    /// Where all nodes share one table.
    shared: Option<Arc<SharedSettings>>,
    settings: BinTableSettings,
    source: String,
}

impl BinTableWorker {
    /// `None` without a source: there is nothing to do.
    pub fn new(
        engine: Arc<Engine>,
        (table, shared): (Arc<LiveBinTable>, Option<Arc<SharedSettings>>),
        settings: BinTableSettings,
    ) -> Option<Self> {
        let source = settings.source.clone()?;
        Some(Self { engine, table, shared, settings, source })
    }

    async fn refresh(&self) -> Result<RefreshReport, String> {
        let source = &self.source;
        let bytes = if is_url(source) {
            fetch_table(source).await.map_err(|error| telemetry::chain(&error))?
        } else {
            tokio::fs::read(source).await.map_err(|error| error.to_string())?
        };
        let options = RefreshOptions {
            min_rows: self.settings.min_rows,
            max_removed_percent: self.settings.max_removed_percent,
            versions_kept: self.settings.versions_kept,
            ..RefreshOptions::default()
        };
        if let Some(shared) = &self.shared {
            let refreshed = shared.refresh(bytes, source.clone(), (WHO, None), options).await;
            return refreshed.map_err(|error| telemetry::chain(&error));
        }
        let (table, source) = (Arc::clone(&self.table), source.clone());
        let now_ms = self.engine.clock().now().as_millis();
        let refreshed = tokio::task::spawn_blocking(move || {
            let occasion = Occasion { who: WHO, reason: None, now_ms };
            table.refresh(&bytes, &source, occasion, &options)
        });
        let refreshed = refreshed.await.map_err(|_| "the refresh has panicked".to_owned())?;
        refreshed.map_err(|refusal| telemetry::chain(&refusal))
    }
}

impl Worker for BinTableWorker {
    const NAME: &'static str = "bin_table";
    const AT_START: bool = false;

    async fn round(&mut self, tasks: &mut Tasks) -> usize {
        if !self.engine.holds(&Work::BinTable) {
            return 0;
        }
        let public = public_source(&self.source);
        match self.refresh().await {
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
