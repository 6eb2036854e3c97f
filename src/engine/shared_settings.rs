//! What all nodes of a store run alike: BIN table, routes and channel files. The store has their
//! versions; each node fetches them, checks that it can run them, says so, and switches at the
//! moment that the publication names.
//!
//! A node that cannot run a version keeps what it runs, and is not ready.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::channel::registry::{ChannelTexts, ChannelVersion, Registry};
use crate::clock::{Timekeeper, stopwatch};
use crate::codec::sign::sha256_hex;
use crate::domain::cluster::{
    ACTIVE_AFTER, Publication, RENEWED_EVERY, SettingHistory, SettingKind, SettingVersion,
};
use crate::domain::ids::ChannelId;
use crate::domain::time::Timestamp;
use crate::store::{ClusterState, PublishError, Store, StoreError};
use crate::tables::bin::{
    LiveBinTable, Occasion, PublishedTable, RefreshOptions, RefreshRefusal, RefreshReport,
    RollbackRefusal, RollbackReport, RollbackTarget,
};
use crate::tables::routes::{LiveRoutes, RoutesRefusal};

/// Who gives a store without versions its first ones.
const SEEDED_BY: &str = "switchyard";
const SEED_REASON: &str = "the files of the first node";
/// How often a change is weighed anew because another one was published meanwhile.
const TRIES_MAX: usize = 5;
/// A switch that comes so soon is waited for: it is somewhat more than the pause between two looks.
const WAITED_FOR: Duration = Duration::from_millis(RENEWED_EVERY.as_millis() as u64 * 5 / 4);
/// The pause between two looks whether a version is in force.
const LOOKED_FOR_EVERY: Duration = Duration::from_millis(250);

/// Why a change of the BIN table was not published, or is not live here.
#[derive(Debug, thiserror::Error)]
pub enum SharedChangeError<R: std::error::Error + 'static> {
    #[error(transparent)]
    Refused(R),
    /// This node does not run what the others do, so it cannot weigh a change of it.
    #[error("this node cannot run version {version} of the settings: {problem}")]
    NotLoaded { version: u64, problem: String },
    /// The moment of what was published last, by this change or before it, has not come here.
    #[error("version {version} of the settings is not in force here yet; look again in a moment")]
    NotYet { version: u64 },
    #[error(transparent)]
    Publish(#[from] PublishError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the call on the BIN table has panicked; nothing was published")]
    Died,
}

/// The tables of versions that this node's folder lacks, by their lines of the history.
type FetchedTables = Vec<(String, Vec<u8>)>;

/// What a change would report, what it would publish, and why.
type Weighed<T, R> = Result<(T, Option<PublishedTable>, String), R>;

#[derive(Default)]
struct Followed {
    history: Arc<SettingHistory>,
    /// The publication that this node runs.
    running: u64,
    /// The last one that it can run.
    loaded: u64,
    /// Why it cannot run a later one.
    problem: Option<String>,
    /// What the store was told last.
    reported: Option<(u64, String)>,
    fetched: FetchedTables,
}

/// This node among those that run the same settings.
pub struct SharedSettings {
    store: Arc<dyn Store>,
    registry: Arc<Registry>,
    routes: Arc<LiveRoutes>,
    bins: Arc<LiveBinTable>,
    clock: Timekeeper,
    /// BIN tables that the folder has copies of.
    tables_kept: usize,
    progress: Mutex<Followed>,
    /// Versions are followed by one at a time.
    following: tokio::sync::Mutex<()>,
}

impl SharedSettings {
    /// A node that runs what the history says at a publication.
    pub fn new(
        store: Arc<dyn Store>,
        clock: Timekeeper,
        (registry, routes, bins): (Arc<Registry>, Arc<LiveRoutes>, Arc<LiveBinTable>),
        tables_kept: usize,
        (history, running): (SettingHistory, u64),
    ) -> Self {
        let history = Arc::new(history);
        let progress = Followed { history, running, loaded: running, ..Followed::default() };
        let (progress, following) = (Mutex::new(progress), tokio::sync::Mutex::default());
        Self { store, registry, routes, bins, clock, tables_kept, progress, following }
    }

    fn state(&self) -> Result<&dyn ClusterState, StoreError> {
        let missing = || StoreError::Unavailable { detail: "it shares no files".to_owned() };
        self.store.cluster_state().ok_or_else(missing)
    }

    fn followed(&self) -> MutexGuard<'_, Followed> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why this node cannot run the last version; `None` where it can.
    pub fn problem(&self) -> Option<String> {
        self.followed().problem.clone()
    }

    /// The publication that this node runs.
    pub fn running(&self) -> u64 {
        self.followed().running
    }

    /// Fetches what was published since, checks it, says so, and makes the switches whose time
    /// comes before the next look. Gives how many versions were new.
    pub async fn follow(self: &Arc<Self>) -> Result<usize, StoreError> {
        let _one_at_a_time = self.following.lock().await;
        let known = self.followed().history.last();
        let (later, now) = self.state()?.settings_after(known).await?;
        // The store's clock is carried on from here, however long a check takes.
        let looked = stopwatch();
        let news = later.len();
        if news > 0 {
            self.learn(later).await?;
        }
        let (history, was_loaded) = {
            let progress = self.followed();
            (Arc::clone(&progress.history), progress.loaded)
        };
        let last = history.last();
        if last > was_loaded || self.problem().is_some() {
            let checked = self.check(&history, last).await?;
            self.note(last, checked);
        }
        self.report().await?;
        let soon = now.plus(looked.elapsed() + WAITED_FOR);
        // Each at its own moment, also where another version is published behind it: nodes look at
        // different times, and all run the same.
        while let Some((at, next)) = history.next_switch(self.running(), now.plus(looked.elapsed()))
        {
            if at > soon || !self.can_run(&history, next).await? {
                break;
            }
            tokio::time::sleep(at.since(now).saturating_sub(looked.elapsed())).await;
            let ran = self.run(&history, self.running(), next).await;
            let switched = ran.is_ok();
            self.note_switch(next, ran);
            self.report().await?;
            if !switched {
                break;
            }
        }
        Ok(news)
    }

    /// Takes versions that were published since, before any node runs them: orders are judged by
    /// their terms everywhere.
    async fn learn(self: &Arc<Self>, later: Vec<SettingVersion>) -> Result<(), StoreError> {
        let mut history = SettingHistory::clone(&self.followed().history);
        history.extend(later);
        let (registry, versions) = (Arc::clone(&self.registry), channel_versions(&history));
        let learnt = blocking(move || {
            registry.learn_versions(versions);
            registry.copy_versions();
            Ok(())
        });
        let context = "the channel files of the store";
        learnt.await.map_err(|detail| StoreError::Backend { context, detail })?;
        self.followed().history = Arc::new(history);
        Ok(())
    }

    /// Whether a version that takes effect can be run. The last one has been checked.
    async fn can_run(
        self: &Arc<Self>,
        history: &Arc<SettingHistory>,
        version: u64,
    ) -> Result<bool, StoreError> {
        if version == history.last() {
            return Ok(self.followed().loaded == version);
        }
        let checked = self.check(history, version).await?;
        let can_run = checked.is_ok();
        // What is wrong with the last one is what is said.
        if !can_run && self.problem().is_none() {
            self.note(version, checked);
        }
        Ok(can_run)
    }

    /// Keeps whether this node has switched to a version.
    fn note_switch(&self, version: u64, ran: Result<(), String>) {
        if ran.is_err() {
            return self.note(version, ran);
        }
        let mut progress = self.followed();
        progress.running = version;
        progress.loaded = progress.loaded.max(version);
        tracing::info!(version, "the settings of this version are in force");
    }

    /// Keeps whether a version can be run, and says it once.
    fn note(&self, version: u64, checked: Result<(), String>) {
        let mut progress = self.followed();
        match checked {
            Ok(()) => {
                progress.loaded = version;
                progress.problem = None;
            }
            Err(problem) => {
                progress.loaded = progress.loaded.min(version.saturating_sub(1));
                if progress.problem.as_ref() != Some(&problem) {
                    tracing::error!(
                        version,
                        problem,
                        "published settings cannot be run here; what runs stays, and this node is \
                         not ready"
                    );
                }
                progress.problem = Some(problem);
            }
        }
    }

    /// Tells the store what this node has loaded, where it does not know.
    async fn report(&self) -> Result<(), StoreError> {
        let Some(cluster) = self.store.cluster() else { return Ok(()) };
        let told = {
            let progress = self.followed();
            (progress.loaded, progress.problem.clone().unwrap_or_default())
        };
        if self.followed().reported.as_ref() == Some(&told) {
            return Ok(());
        }
        self.state()?.report_loaded(cluster.incarnation(), told.0, &told.1).await?;
        self.followed().reported = Some(told);
        Ok(())
    }

    /// Whether everything as it stands after a publication would run here; if not, why.
    async fn check(
        self: &Arc<Self>,
        history: &Arc<SettingHistory>,
        up_to: u64,
    ) -> Result<Result<(), String>, StoreError> {
        let fetched = match self.fetch_tables(history, up_to).await? {
            Ok(fetched) => fetched,
            Err(problem) => return Ok(Err(problem)),
        };
        let (this, history) = (Arc::clone(self), Arc::clone(history));
        let checked = blocking(move || {
            let texts = channel_texts(&history, up_to);
            let known: Vec<ChannelId> = texts.keys().cloned().collect();
            this.registry.check(&texts).map_err(|mistakes| told(&mistakes))?;
            let routes = routes_text(&history, up_to);
            let routes = this.routes.check_shared(routes.as_deref(), &known);
            routes.map_err(|refusal| told_of_routes(&refusal))?;
            for (line, csv) in &fetched {
                LiveBinTable::check_published(line, csv).map_err(|error| error.to_string())?;
            }
            this.followed().fetched.extend(fetched);
            Ok(())
        });
        Ok(checked.await)
    }

    /// The tables that the folder lacks of those that stand after a publication.
    async fn fetch_tables(
        self: &Arc<Self>,
        history: &Arc<SettingHistory>,
        up_to: u64,
    ) -> Result<Result<FetchedTables, String>, StoreError> {
        let (this, listed) = (Arc::clone(self), Arc::clone(history));
        let lacking = blocking(move || {
            let lines = table_lines(&listed, up_to);
            this.bins.lacks(&lines, this.tables_kept).map_err(|error| error.to_string())
        });
        let lacking = match lacking.await {
            Ok(lacking) => lacking,
            Err(problem) => return Ok(Err(problem)),
        };
        let tables: Vec<&SettingVersion> = history.of_kind(SettingKind::BinTable, up_to).collect();
        let mut fetched = FetchedTables::new();
        for version in lacking.into_iter().filter_map(|place| tables.get(place)) {
            let body = self.state()?.setting_body(version.kind, &version.name, version.version);
            if let Some(body) = body.await? {
                fetched.push((version.note.clone(), body));
            }
        }
        Ok(Ok(fetched))
    }

    /// Runs everything as it stands after a publication.
    async fn run(
        self: &Arc<Self>,
        history: &Arc<SettingHistory>,
        before: u64,
        up_to: u64,
    ) -> Result<(), String> {
        let (this, history) = (Arc::clone(self), Arc::clone(history));
        let ran = blocking(move || {
            let texts = channel_texts(&history, up_to);
            let known: Vec<ChannelId> = texts.keys().cloned().collect();
            // A reload makes every connection anew.
            if history.channels(before) != history.channels(up_to) {
                this.registry.run_shared(texts).map_err(|mistakes| told(&mistakes))?;
            }
            let routes = routes_text(&history, up_to);
            let routes = this.routes.run_shared(routes.as_deref(), &known);
            routes.map_err(|refusal| told_of_routes(&refusal))?;
            let fetched = std::mem::take(&mut this.followed().fetched);
            run_tables(&this.bins, &history, up_to, &fetched)
        });
        ran.await
    }

    /// Returns when this node runs the last version that was published.
    async fn settled<R: std::error::Error + 'static>(
        self: &Arc<Self>,
    ) -> Result<u64, SharedChangeError<R>> {
        let looks = (ACTIVE_AFTER + RENEWED_EVERY).as_millis() / LOOKED_FOR_EVERY.as_millis();
        for _ in 0..looks {
            self.follow().await?;
            let (running, last, problem) = {
                let progress = self.followed();
                (progress.running, progress.history.last(), progress.problem.clone())
            };
            if let Some(problem) = problem {
                return Err(SharedChangeError::NotLoaded { version: last, problem });
            }
            if running == last {
                return Ok(last);
            }
            tokio::time::sleep(LOOKED_FOR_EVERY).await;
        }
        Err(SharedChangeError::NotYet { version: self.followed().history.last() })
    }

    /// Weighs a change of the BIN table, publishes it, and returns when it is live here. It is made
    /// by somebody, who may have said why; else its reason is what `weigh` tells.
    async fn change_table<T: Send + 'static, R: std::error::Error + Send + 'static>(
        self: &Arc<Self>,
        (who, reason): (&str, Option<&str>),
        weigh: impl Fn(&LiveBinTable, Occasion<'_>) -> Weighed<T, R> + Send + Sync + 'static,
    ) -> Result<T, SharedChangeError<R>> {
        let weigh = Arc::new(weigh);
        for _ in 0..TRIES_MAX {
            let after = self.settled().await?;
            let (this, weighed) = (Arc::clone(self), Arc::clone(&weigh));
            let at = self.clock.now();
            let (by, why) = (who.to_owned(), reason.map(str::to_owned));
            let weighed = tokio::task::spawn_blocking(move || {
                let reason = why.as_deref();
                let occasion = Occasion { who: &by, reason, now_ms: at.as_millis() };
                weighed(&this.bins, occasion)
            });
            let weighed = weighed.await.map_err(|_| SharedChangeError::Died)?;
            let (report, table, told) = weighed.map_err(SharedChangeError::Refused)?;
            let Some(table) = table else { return Ok(report) };
            let publication = Publication {
                after,
                kind: SettingKind::BinTable,
                name: String::new(),
                sha256: table.sha256,
                body: table.csv,
                note: table.line,
                made_by: who.to_owned(),
                reason: reason.map_or(told, str::to_owned),
                at,
            };
            match self.state()?.publish(&publication).await {
                Ok(_) => {
                    self.settled().await?;
                    return Ok(report);
                }
                Err(PublishError::Overtaken) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(PublishError::Overtaken.into())
    }

    /// Publishes the table in `bytes`, and returns when it is live here. `source` is a path or URL;
    /// `by` has who brings it, and why.
    pub async fn refresh(
        self: &Arc<Self>,
        bytes: Vec<u8>,
        source: String,
        by: (&str, Option<&str>),
        options: RefreshOptions,
    ) -> Result<RefreshReport, SharedChangeError<RefreshRefusal>> {
        let told = format!("a refresh from {}", crate::tables::bin::public_source(&source));
        self.change_table(by, move |bins, occasion| {
            let (report, table) = bins.weigh(&bytes, &source, occasion, &options)?;
            Ok((report, table, told.clone()))
        })
        .await
    }

    /// Publishes an earlier table, and returns when it is live here.
    pub async fn roll_back(
        self: &Arc<Self>,
        target: RollbackTarget,
        by: (&str, Option<&str>),
    ) -> Result<RollbackReport, SharedChangeError<RollbackRefusal>> {
        self.change_table(by, move |bins, occasion| {
            let (report, table) = bins.weigh_return(target, occasion)?;
            let told = format!("a rollback from version {}", report.previous_version);
            Ok((report, Some(table), told))
        })
        .await
    }
}

/// Makes the BIN table's folder a copy of what stands after a publication.
pub fn run_tables(
    bins: &LiveBinTable,
    history: &SettingHistory,
    up_to: u64,
    fetched: &[(String, Vec<u8>)],
) -> Result<(), String> {
    let csvs: Vec<(&str, &[u8])> =
        fetched.iter().map(|(line, csv)| (line.as_str(), csv.as_slice())).collect();
    let ran = bins.run_published(&table_lines(history, up_to), &csvs);
    ran.map_err(|error| error.to_string())
}

/// The lines of the BIN table's history up to a publication.
pub fn table_lines(history: &SettingHistory, up_to: u64) -> Vec<&str> {
    history.of_kind(SettingKind::BinTable, up_to).map(|one| one.note.as_str()).collect()
}

/// The channel files as they stand after a publication.
pub fn channel_texts(history: &SettingHistory, up_to: u64) -> ChannelTexts {
    let text = |one: &SettingVersion| String::from_utf8_lossy(&one.body).into_owned();
    history.channels(up_to).into_iter().map(|(id, one)| (id, text(one))).collect()
}

/// Every version of every channel file.
pub fn channel_versions(history: &SettingHistory) -> Vec<ChannelVersion> {
    let files = history.of_kind(SettingKind::Channel, u64::MAX);
    let version = |one: &SettingVersion| {
        let id = ChannelId::parse(&one.name).ok()?;
        let text = String::from_utf8_lossy(&one.body).into_owned();
        Some(ChannelVersion { id, since: one.active_at, text })
    };
    files.filter_map(version).collect()
}

/// The routes as they stand after a publication.
pub fn routes_text(history: &SettingHistory, up_to: u64) -> Option<String> {
    history.routes(up_to).map(|one| String::from_utf8_lossy(&one.body).into_owned())
}

/// The versions that a store without any gets: the files of its first node, with all that its
/// channels have run under before.
pub fn seed_of(
    channels: Vec<ChannelVersion>,
    routes: Option<String>,
    tables: Vec<PublishedTable>,
    now: Timestamp,
) -> SettingHistory {
    let seed = |kind, name: &str, active_at, body: Vec<u8>| SettingVersion {
        kind,
        name: name.to_owned(),
        version: 0,
        active_at,
        sha256: sha256_hex(&body),
        body,
        note: String::new(),
        made_by: SEEDED_BY.to_owned(),
        reason: SEED_REASON.to_owned(),
    };
    let mut rows: Vec<SettingVersion> = Vec::new();
    for ChannelVersion { id, since, text } in channels {
        rows.push(seed(SettingKind::Channel, id.as_str(), since.min(now), text.into_bytes()));
    }
    if let Some(routes) = routes {
        rows.push(seed(SettingKind::Routes, "", now, routes.into_bytes()));
    }
    for PublishedTable { line, sha256, csv } in tables {
        let row = seed(SettingKind::BinTable, "", now, csv);
        rows.push(SettingVersion { note: line, sha256, ..row });
    }
    // Each kind stays in its order.
    rows.sort_by_key(|row| row.active_at);
    for (version, row) in (1..).zip(&mut rows) {
        row.version = version;
    }
    let mut history = SettingHistory::default();
    history.extend(rows);
    history
}

fn told(mistakes: &[impl std::fmt::Display]) -> String {
    let all: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
    all.join("\n")
}

fn told_of_routes(refusal: &RoutesRefusal) -> String {
    match refusal {
        RoutesRefusal::Mistaken { mistakes } => told(mistakes),
        other => crate::telemetry::chain(other),
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    let done: Result<Result<T, String>, _> = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|_| Err("the work on it has panicked".to_owned()))
}
