//! BIN table, channels and routes at a start: this machine's files, or what all nodes of a store
//! run.

use std::path::Path;
use std::sync::Arc;

use super::{StartError, common_terms, load_channels, load_routes};
use crate::channel::Channels as _;
use crate::channel::registry::{ChannelTexts, ChannelVersion, Registry};
use crate::clock::Timekeeper;
use crate::config::checked::Settings;
use crate::config::mistake::Mistake;
use crate::domain::cluster::{SettingHistory, SettingKind};
use crate::domain::ids::ChannelId;
use crate::engine::Engine;
use crate::engine::link_keys::shared_keys;
use crate::engine::shared_settings::{
    SharedSettings, channel_texts, channel_versions, routes_text, run_tables, seed_of, table_lines,
};
use crate::store::{ClusterState, Store, StoreError};
use crate::tables::bin::LiveBinTable;
use crate::tables::routes::{LiveRoutes, RoutesRefusal};

/// What a node runs beside its books.
pub struct RunSettings {
    pub registry: Arc<Registry>,
    pub routes: Arc<LiveRoutes>,
    pub bins: Arc<LiveBinTable>,
    /// `None` where the files are this machine's own.
    pub shared: Option<Arc<SharedSettings>>,
}

/// Loads what this node runs. A store that nodes share is the truth of it; the files are the seed
/// of one that has no versions.
pub async fn load_settings(
    store: &Arc<dyn Store>,
    settings: &Settings,
    data: &Path,
    clock: Timekeeper,
) -> Result<RunSettings, StartError> {
    let bins = Arc::new(LiveBinTable::load(data).map_err(StartError::BinTable)?);
    let Some(state) = store.cluster_state() else {
        bins.keep_own().map_err(StartError::BinTable)?;
        let registry = Arc::new(load_channels(settings, data, clock)?);
        let routes = Arc::new(load_routes(settings, &registry)?);
        return Ok(RunSettings { registry, routes, bins, shared: None });
    };
    let (mut versions, mut now) = state.settings_after(0).await?;
    if versions.is_empty() {
        let registry = load_channels(settings, data, clock.clone())?;
        load_routes(settings, &registry)?;
        let tables = bins.published().map_err(StartError::BinTable)?;
        let routes = read_routes(settings)?;
        // Not before the versions that this start has kept.
        (_, now) = state.settings_after(0).await?;
        state.seed(&seed_of(registry.kept_versions(), routes, tables, now)).await?;
        (versions, now) = state.settings_after(0).await?;
    }
    let mut history = SettingHistory::default();
    history.extend(versions);
    let running = history.last_active(now);
    let texts = channel_texts(&history, running);
    let registry =
        load_shared_channels(settings, data, clock.clone(), texts, channel_versions(&history))?;
    registry.copy_versions();
    let routes = load_shared_routes(settings, &history, running, &registry.ids())?;
    fetch_tables(state, &bins, &history, running, settings.bin_table.versions_kept).await?;
    let (registry, routes) = (Arc::new(registry), Arc::new(routes));
    let run = (Arc::clone(&registry), Arc::clone(&routes), Arc::clone(&bins));
    let kept = settings.bin_table.versions_kept;
    let shared = SharedSettings::new(Arc::clone(store), clock, run, kept, (history, running));
    Ok(RunSettings { registry, routes, bins, shared: Some(Arc::new(shared)) })
}

/// Has links' sign-ons bring keys for all nodes, where several share the books.
pub(super) fn share_link_keys(engine: &Arc<Engine>, registry: &Registry) {
    if let Some(keys) = shared_keys(engine) {
        registry.share_link_keys(keys);
    }
}

/// The channels of texts that nodes share; their credentials lie below the settings' folder.
pub fn load_shared_channels(
    settings: &Settings,
    data: &Path,
    clock: impl Into<Timekeeper>,
    texts: ChannelTexts,
    versions: Vec<ChannelVersion>,
) -> Result<Registry, StartError> {
    let files = (settings.channels_folder.as_path(), settings.routes_file.as_path());
    let loaded =
        Registry::load_shared(files, data, common_terms(settings), clock, (texts, versions));
    loaded.map_err(StartError::Mistakes)
}

/// The routes that nodes share, as they stand after a publication.
pub fn load_shared_routes(
    settings: &Settings,
    history: &SettingHistory,
    up_to: u64,
    known: &[ChannelId],
) -> Result<LiveRoutes, StartError> {
    let text = routes_text(history, up_to);
    let loaded = LiveRoutes::of_shared(&settings.routes_file, text.as_deref(), known);
    loaded.map_err(|refusal| StartError::Mistakes(routes_mistakes(settings, refusal)))
}

/// What a refusal of routes says, as mistakes.
pub(super) fn routes_mistakes(settings: &Settings, refusal: RoutesRefusal) -> Vec<Mistake> {
    match refusal {
        RoutesRefusal::Mistaken { mistakes } => mistakes,
        other => {
            let name = settings.routes_file.display().to_string();
            let problem = crate::telemetry::chain(&other);
            vec![Mistake::new(&name, 0, "", &problem, "check the file")]
        }
    }
}

/// The text of the routes file, which reads; `None` where there is none.
fn read_routes(settings: &Settings) -> Result<Option<String>, StartError> {
    let path = &settings.routes_file;
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => {
            let problem = format!("cannot be read: {error}");
            let name = path.display().to_string();
            let mistake = Mistake::new(&name, 0, "", &problem, "check the file's rights");
            Err(StartError::Mistakes(vec![mistake]))
        }
    }
}

/// Brings the data folder's BIN tables to what stands after a publication. One that cannot be run
/// is passed over for the one before it, as a damaged file is.
async fn fetch_tables(
    state: &dyn ClusterState,
    bins: &LiveBinTable,
    history: &SettingHistory,
    up_to: u64,
    kept: usize,
) -> Result<(), StartError> {
    let lacking = bins.lacks(&table_lines(history, up_to), kept).map_err(StartError::BinTable)?;
    let tables: Vec<_> = history.of_kind(SettingKind::BinTable, up_to).collect();
    let mut fetched = Vec::new();
    for version in lacking.into_iter().filter_map(|place| tables.get(place)) {
        let body = state.setting_body(version.kind, &version.name, version.version).await?;
        fetched.extend(body.map(|body| (version.note.clone(), body)));
    }
    run_tables(bins, history, up_to, &fetched)
        .map_err(|detail| StoreError::Backend { context: "the BIN table of the store", detail })?;
    Ok(())
}
