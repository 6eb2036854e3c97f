//! Builds store, tables, channels, engine, API and workers, and stops them in order.

pub mod backup;
pub mod check;
pub mod folder;
pub mod keys;
pub mod listeners;
pub mod move_mark;
pub mod moving;
mod recall;
pub mod shared;
pub mod store;
mod tidying;

use std::io;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use zeroize::Zeroizing;

use crate::api::auth::Callers;
use crate::api::reconciliation::upload::Uploads;
use crate::api::{self, ApiState, ListenerTls};
use crate::channel::Channels;
use crate::channel::registry::Registry;
use crate::channel::shares::SharesError;
use crate::clock::{Clock, ClockBaseline, LastSeen, SharedClock, Timekeeper};
use crate::config::checked::Settings;
use crate::config::mistake::Mistake;
use crate::domain::cluster::RENEWED_EVERY;
use crate::domain::terms::CommonTerms;
use crate::domain::write_set::AuditEntry;
use crate::engine::intake::Intake;
use crate::engine::{Engine, EngineError, StoreShares};
use crate::entropy::Entropy;
use crate::reconciliation::ChannelBooks;
use crate::reconciliation::incoming::{ImportDesk, Inbox, StatementDesk};
use crate::reconciliation::suspense::{DifferenceDesk, SettlementDesk};
use crate::store::{Store, StoreError};
use crate::tables::routes::LiveRoutes;
use crate::telemetry;
use crate::telemetry::workers::{WorkerReport, WorkerReports};
use crate::workers::accounting::{AccountingWork, AccountingWorker};
use crate::workers::backlog::BacklogWorker;
use crate::workers::bin_lessons::{self, BinLessonWorker};
use crate::workers::bin_table::BinTableWorker;
use crate::workers::certificates::{self, CertificateWorker};
use crate::workers::clock::{self, ClockWorker};
use crate::workers::day_close::DayCloseWorker;
use crate::workers::driver::{Worker, drive};
use crate::workers::ends::{self, EndWorker};
use crate::workers::late_replies::LateReplyWorker;
use crate::workers::members::MemberWorker;
use crate::workers::notices::{NoticeKeys, NoticeWork, NoticeWorker};
use crate::workers::reconciliation::ReconciliationWorker;
use crate::workers::recovery::{self, RecoveryWorker};
use crate::workers::reversals::ReversalWorker;
use crate::workers::settings::SettingsWorker;
use crate::workers::sign_on::SignOnWorker;
use crate::workers::spans::{self, SpanWorker};
use crate::workers::statements::StatementWorker;
use crate::workers::{PAGE, StopSignal};
use folder::{DataFolder, FolderError};
use keys::{Keys, KeysError, NoticeKeyRing};
use listeners::{ListenerUrl, bind, load_tls};
use shared::{RunSettings, load_settings, routes_mistakes, share_link_keys};
use store::{join, open_store};
use tidying::TidyWorker;

/// Statements are due at a time of day; looking for them reads the disk.
const STATEMENTS_LOOKED_FOR_EVERY: Duration = Duration::from_secs(15);
/// Days are closed at a time of day; looking for them reads the store.
const DAYS_LOOKED_FOR_EVERY: Duration = Duration::from_secs(15);
/// Open work is counted at every tenth look for due work, since counting reads all of it.
const BACKLOG_LOOKS: u32 = 10;
/// Bounds of the latency histograms, in seconds.
const SECONDS: [f64; 12] =
    [0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0];

/// Why the daemon did not start. Nothing was listening yet.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("the settings have mistakes")]
    Mistakes(Vec<Mistake>),
    #[error(transparent)]
    DataFolder(#[from] FolderError),
    #[error(transparent)]
    Keys(#[from] KeysError),
    #[error("the books cannot be opened")]
    Store(#[from] StoreError),
    #[error("the last moment of the books cannot be written to the data folder")]
    Clock(#[source] io::Error),
    #[error("the BIN table cannot be loaded")]
    BinTable(#[source] crate::tables::bin::VersionError),
    #[error("cannot listen on {address}")]
    Listen { address: SocketAddr, source: io::Error },
    #[error("the orders that an earlier process left open cannot be read")]
    Recovery(#[from] EngineError),
    #[error("the data folder is a copy, and its order numbers cannot leap")]
    Numbers(#[source] EngineError),
    #[error("the channels' limits cannot be read")]
    Shares(#[source] SharesError),
    #[error("the metrics cannot be set up: {0}")]
    Metrics(String),
}

/// The running daemon.
pub struct App {
    listeners: Vec<ListenerUrl>,
    tls: Vec<Arc<ListenerTls>>,
    state: Arc<ApiState>,
    notice_keys: NoticeKeyRing,
    first_key: Option<Zeroizing<String>>,
    ask_server: watch::Sender<bool>,
    server: JoinHandle<usize>,
    /// In the order in which they stop.
    workers: [RunningWorkers; 3],
    stop_within: Duration,
}

/// Workers, and what asks them to stop.
struct RunningWorkers {
    ask: watch::Sender<bool>,
    running: Vec<JoinHandle<()>>,
}

impl RunningWorkers {
    /// Has them stop, and cuts off those that do not end in time.
    async fn stop_by(self, deadline: tokio::time::Instant) {
        // A receiver that is gone has stopped already.
        let _ = self.ask.send(true);
        for worker in self.running {
            let abort = worker.abort_handle();
            if tokio::time::timeout_at(deadline, worker).await.is_err() {
                abort.abort();
            }
        }
    }
}

impl App {
    /// Opens everything, recovers what an earlier process left open, then listens.
    pub async fn start(
        settings: Settings,
        data: &Path,
        metrics: PrometheusHandle,
    ) -> Result<Self, StartError> {
        Self::start_by(Clock::System, settings, data, metrics).await
    }

    /// The same with a given clock, for drills of a wrong one.
    pub async fn start_by(
        clock: Clock,
        settings: Settings,
        data: &Path,
        metrics: PrometheusHandle,
    ) -> Result<Self, StartError> {
        let entropy = Entropy::System;
        telemetry::gauge_start(clock.now());
        let tls = load_tls(&settings, clock.now()).map_err(StartError::Mistakes)?;
        let mut folder = DataFolder::open(data, settings.store.url.is_some())?;
        let mut keys = Keys::open(&folder)?;
        let vault = keys.vault(&entropy)?;
        let notice_keys = keys.notice(&settings.notice_keys, &settings.base, &entropy)?;
        let (callers, first_key) = keys.callers(&settings.callers, &entropy)?;
        let fingerprints = keys.fingerprints();
        let (store, copied) = open_store(data, &settings, &fingerprints).await?;
        folder.keep(fingerprints)?;
        let in_use = recall::channels_in_use(&*store).await?;
        let clock = keep_time(clock, data, &*store, settings.clock_witnesses).await?;
        let RunSettings { registry, routes, bins, shared } =
            load_settings(&store, &settings, data, clock.clone()).await?;
        for problem in bins.problems() {
            tracing::error!(%problem, "a version of the BIN table is damaged and is skipped");
        }
        registry.missing_files(&in_use).map_err(StartError::Mistakes)?;
        let channels: Arc<dyn Channels> = Arc::<Registry>::clone(&registry);
        let inbox = Arc::new(Inbox::of_node(data, Arc::clone(&store)));
        let statements =
            StatementDesk::new(Arc::clone(&registry), Arc::clone(&inbox), clock.clone());
        let engine = Arc::new(Engine::new(store, channels, clock, vault, settings.node));
        share_link_keys(&engine, &registry);
        if let Some(copied) = copied {
            leap_numbers(&engine, data, settings.orders_per_second_max).await?;
            copied.numbers_have_leapt();
        }
        let books = ChannelBooks::new(Arc::clone(&engine), Arc::<Registry>::clone(&registry));
        let imports = ImportDesk::new(books.clone(), inbox, data, entropy.clone());
        let intake = Arc::new(Intake::new(
            Arc::clone(&engine),
            Arc::clone(&registry),
            Arc::clone(&bins),
            routes,
            entropy.clone(),
        ));
        let rate = (settings.caller_requests_per_second, settings.caller_burst);
        let state = Arc::new(ApiState {
            engine: Arc::clone(&engine),
            reloads: intake.reloads(shared.is_some(), settings.hold_above_percent),
            intake,
            registry,
            bins,
            shared,
            statements: Arc::new(statements),
            imports: Arc::new(imports),
            differences: Arc::new(DifferenceDesk::new(books)),
            settlements: SettlementDesk::new(Arc::clone(&engine)),
            uploads: Uploads::default(),
            callers: Callers::new(&callers, rate.0, rate.1),
            settings: Arc::new(settings),
            metrics,
            workers: WorkerReports::default(),
            approving: tokio::sync::Mutex::default(),
            entropy,
            ready: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
        });
        let members = begin_work(&state).await?;
        Self::listen((state, members), data, tls, notice_keys, first_key).await
    }

    async fn listen(
        (state, members): (Arc<ApiState>, RunningWorkers),
        data: &Path,
        tls: Vec<Arc<ListenerTls>>,
        notice_keys: NoticeKeyRing,
        first_key: Option<Zeroizing<String>>,
    ) -> Result<Self, StartError> {
        if let Some(shared) = &state.shared {
            // What has come into force while this node waited for its part.
            shared.follow().await?;
        }
        let (sockets, listeners) = bind(&state, &tls).await?;
        let (ask_server, mut server_stop) = StopSignal::new();
        let workers = start_workers(&state, (data, &tls), notice_keys.keys());
        // What is in flight until the workers have stopped needs the lease, and what they still do
        // is told of. A collector that does not answer keeps neither waiting.
        let workers = [workers, members, start_spans(&state)];
        state.ready.store(true, Ordering::Release);
        let served = Arc::clone(&state);
        let server = tokio::spawn(async move {
            api::serve(sockets, served, async move { server_stop.requested().await }).await
        });
        let stop_within = state.settings.server.stop_within;
        Ok(Self {
            listeners,
            tls,
            state,
            notice_keys,
            first_key,
            ask_server,
            server,
            workers,
            stop_within,
        })
    }

    /// The address on which the API listens.
    pub fn address(&self) -> SocketAddr {
        self.listeners[0].address
    }

    /// The addresses on which the daemon listens, the API's first.
    pub fn listeners(&self) -> &[ListenerUrl] {
        &self.listeners
    }

    pub fn state(&self) -> &Arc<ApiState> {
        &self.state
    }

    /// The first caller's key, if this start made it. It is shown once and stored nowhere.
    pub fn first_key(&self) -> Option<&str> {
        self.first_key.as_ref().map(|key| key.as_str())
    }

    /// Reloads channel files, routes, the keys for notices and the listeners' certificates, and the
    /// BIN table if there is a newer version. A part with a mistake stays as it was, channels and
    /// routes together, and those that would move too many orders are held. Where nodes share their
    /// settings, credentials and keys are read again, and no other file.
    pub fn reload(&self) -> JoinHandle<()> {
        for tls in &self.tls {
            tls.reload(self.state.engine.clock().now());
        }
        self.notice_keys.reload();
        let reloads = Arc::clone(&self.state.reloads);
        // The log has what becomes of it. A signal to stop is not kept waiting.
        tokio::spawn(async move { drop(reloads.reload(None).await) })
    }

    /// Stops in order: no new work, then the calls in flight, then the workers, then this
    /// node's place among those that share the books, and last what collectors of traces are told.
    /// Work that does not end within the bound is found at the next start.
    pub async fn stop(self) {
        // A receiver that is gone has stopped already.
        let _ = self.ask_server.send(true);
        let left = self.server.await.unwrap_or(0);
        let deadline = tokio::time::Instant::now() + self.stop_within;
        for workers in self.workers {
            workers.stop_by(deadline).await;
        }
        tracing::info!(connections_left = left, "stopped");
    }
}

/// Installs the recorder of the process's metrics, once for each process; tests share one.
pub fn install_metrics() -> Result<PrometheusHandle, StartError> {
    let failed =
        |error: metrics_exporter_prometheus::BuildError| StartError::Metrics(error.to_string());
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)
        .map_err(failed)?
        .install_recorder()
        .map_err(failed)?;
    crate::telemetry::describe_metrics();
    Ok(handle)
}

/// Skips the order numbers that the original of a copied or restored folder may have given out
/// after the copy was made.
async fn leap_numbers(engine: &Engine, data: &Path, per_second: u32) -> Result<(), StartError> {
    engine.leap_numbers(per_second).await.map_err(StartError::Numbers)?;
    let folder = data.display().to_string();
    tracing::warn!(
        folder,
        "the data folder was copied or restored: order numbers skip all that may have been \
         given out by now; if the daemon that it was copied from still runs, stop one of the two"
    );
    let reason = "the folder is not where it was written last: order numbers leap".to_owned();
    let entry = AuditEntry::own(engine.clock().now(), "folder.copied", folder, reason);
    engine.audit(entry).await.map_err(StartError::Numbers)
}

/// The clock, checked against the last time that an earlier process of these books knew.
async fn keep_time(
    clock: Clock,
    data: &Path,
    store: &dyn Store,
    witnesses_min: NonZeroU32,
) -> Result<Timekeeper, StartError> {
    let seen = LastSeen::read(data).unwrap_or_else(|error| {
        let error = crate::telemetry::chain(&error);
        tracing::error!(
            error,
            "the last moment of the books cannot be read; the clock is in doubt"
        );
        None
    });
    let clock = match store.cluster() {
        // Due times, days and stamps are one clock's on all nodes.
        Some(cluster) => {
            let asked = clock.asks();
            Clock::Shared(Arc::new(SharedClock::begin(clock, asked, cluster.now().await?)))
        }
        None => clock,
    };
    let first = store.orders(None, 1).await?.into_iter().next();
    let beginning = ClockBaseline { seen, first_order_at: first.map(|order| order.created_at) };
    let keeper = Timekeeper::start(clock, beginning, witnesses_min.get() as usize);
    keeper.last_seen().write(data).map_err(StartError::Clock)?;
    if store.cluster().is_some() {
        keeper.begin_lease();
    }
    Ok(keeper)
}

/// Takes this node's place among those that share the books, ends what a node or process that is
/// gone has left, and takes the channels up. Gives the workers that keep the place.
async fn begin_work(state: &ApiState) -> Result<RunningWorkers, StartError> {
    let engine = &state.engine;
    join(engine).await?;
    // From here on the lease is kept, however long the books take to be read.
    let members = start_members(state);
    let recovered = engine.recover_orphans(PAGE).await?;
    if recovered > 0 {
        tracing::warn!(orders = recovered, "attempts left in sending are unknown now");
    }
    take_up_channels(state).await?;
    Ok(members)
}

/// The channels' health and volumes, as the books and the other nodes have them.
async fn take_up_channels(state: &ApiState) -> Result<(), StartError> {
    if let Some(shares) = StoreShares::of(state.engine.store()) {
        state.registry.share_with(Arc::new(shares));
    }
    recall::recall(state).await?;
    state.registry.exchange(false).await.map_err(StartError::Shares)
}

/// The channels of the settings' folder.
pub fn load_channels(
    settings: &Settings,
    data: &Path,
    clock: impl Into<Timekeeper>,
) -> Result<Registry, StartError> {
    let common = common_terms(settings);
    Registry::load(&settings.channels_folder, &settings.routes_file, data, common, clock)
        .map_err(StartError::Mistakes)
}

/// The same for a command that only reads them, beside a daemon or before one. A missing folder is
/// a mistake: the command means another one.
pub fn view_channels(settings: &Settings, data: &Path) -> Result<Registry, StartError> {
    let folder = &settings.channels_folder;
    if !folder.is_dir() {
        let (name, problem) = (folder.display().to_string(), "there is no such folder");
        let advice = "make it, or name another as channels.folder";
        let mistake = Mistake::new(&name, 0, "channels.folder", problem, advice);
        return Err(StartError::Mistakes(vec![mistake]));
    }
    let (common, clock) = (common_terms(settings), Clock::System);
    Registry::view(&settings.channels_folder, &settings.routes_file, data, common, clock)
        .map_err(StartError::Mistakes)
}

fn common_terms(settings: &Settings) -> CommonTerms {
    CommonTerms {
        accounts: settings.accounts.clone(),
        has_accounting: settings.accounting.url.is_some(),
        notice_url: settings.notices.url.clone(),
        rates: settings.rates,
    }
}

/// The routes of the settings' file, or the default rule if they name none and the file is absent.
pub fn load_routes(settings: &Settings, registry: &Registry) -> Result<LiveRoutes, StartError> {
    if settings.routes_is_named && !settings.routes_file.exists() {
        let (name, problem) = (settings.routes_file.display().to_string(), "there is no such file");
        let advice = "make it, or leave channels.routes out";
        let mistake = Mistake::new(&name, 0, "channels.routes", problem, advice);
        return Err(StartError::Mistakes(vec![mistake]));
    }
    let loaded = LiveRoutes::load(&settings.routes_file, &registry.ids());
    loaded.map_err(|refusal| StartError::Mistakes(routes_mistakes(settings, refusal)))
}

/// Starts workers, whose reports the API shows.
struct Workers<'a> {
    reports: &'a WorkerReports,
    clock: &'a Timekeeper,
    stop: StopSignal,
    started: RunningWorkers,
}

impl<'a> Workers<'a> {
    fn of(state: &'a ApiState) -> Self {
        let (ask, stop) = StopSignal::new();
        let started = RunningWorkers { ask, running: Vec::new() };
        Self { reports: &state.workers, clock: state.engine.clock(), stop, started }
    }

    /// `every`: the longest pause between two rounds; without it, only a signal starts a round.
    fn start<W: Worker>(&mut self, every: impl Into<Option<Duration>>, worker: W) {
        let report = WorkerReport::new(W::NAME);
        self.reports.add(Arc::clone(&report));
        let (clock, stop) = (self.clock.clone(), self.stop.clone());
        self.started.running.push(tokio::spawn(drive(worker, every.into(), report, clock, stop)));
    }
}

/// Posts spans, where the settings name a collector.
fn start_spans(state: &ApiState) -> RunningWorkers {
    let (settings, mut workers) = (&state.settings, Workers::of(state));
    let resource = vec![
        ("service.name", env!("CARGO_PKG_NAME").to_owned()),
        ("service.version", env!("CARGO_PKG_VERSION").to_owned()),
        ("service.instance.id", settings.node.to_string()),
    ];
    match SpanWorker::new(&settings.otlp, resource, state.entropy.draw()) {
        Ok(Some(worker)) => workers.start(spans::EVERY, worker),
        Ok(None) => {}
        Err(problem) => tracing::error!(problem, "no span is made until the daemon is restarted"),
    }
    workers.started
}

/// Keeps this node among those that share the books, where several do.
fn start_members(state: &ApiState) -> RunningWorkers {
    let (engine, mut workers) = (&state.engine, Workers::of(state));
    if engine.store().cluster().is_some() {
        let registry = Arc::clone(&state.registry);
        workers.start(RENEWED_EVERY, MemberWorker::new(Arc::clone(engine), registry));
        workers.start(ends::EVERY, EndWorker::new(Arc::clone(engine)));
    } else {
        telemetry::gauge_only_node();
    }
    workers.started
}

fn start_workers(
    state: &ApiState,
    (data, tls): (&Path, &[Arc<ListenerTls>]),
    notice_keys: Arc<NoticeKeys>,
) -> RunningWorkers {
    let engine = || Arc::clone(&state.engine);
    let settings = &state.settings;
    let (look_every, clock) = (settings.look_every, state.engine.clock());
    let statements_every = look_every.max(STATEMENTS_LOOKED_FOR_EVERY);
    let accounting = AccountingWork {
        delivery: settings.accounting.clone(),
        batch_max: settings.accounting_batch_max,
    };
    let notices =
        NoticeWork { delivery: settings.notices.clone(), retry_for: settings.notices_retry_for };
    let mut workers = Workers::of(state);
    let registry = Arc::clone(&state.registry);
    workers.start(look_every * BACKLOG_LOOKS, BacklogWorker::new(engine(), registry));
    let in_flight = settings.reversals_in_flight.get() as usize;
    workers.start(look_every, ReversalWorker::new(engine(), in_flight));
    workers.start(recovery::EVERY, RecoveryWorker::new(engine()));
    match AccountingWorker::new(engine(), accounting) {
        Ok(Some(worker)) => workers.start(look_every, worker),
        Ok(None) => {}
        Err(problem) => tracing::error!(
            problem,
            "no accounting request can be delivered until the daemon is restarted"
        ),
    }
    match NoticeWorker::new(engine(), notices, notice_keys) {
        Ok(worker) => workers.start(look_every, worker),
        Err(problem) => {
            tracing::error!(problem, "no notice can be delivered until the daemon is restarted");
        }
    }
    workers.start(statements_every, StatementWorker::new(engine(), Arc::clone(&state.statements)));
    workers.start(
        statements_every,
        ReconciliationWorker::new(
            engine(),
            Arc::clone(&state.imports),
            Arc::clone(&state.differences),
        ),
    );
    workers.start(look_every.max(DAYS_LOOKED_FOR_EVERY), DayCloseWorker::new(engine()));
    workers.start(clock::EVERY, ClockWorker::new(clock.clone(), data.to_owned()));
    let (metrics, folder) = (state.metrics.clone(), data.to_owned());
    workers.start(tidying::EVERY, TidyWorker { metrics, data: folder });
    let certificates =
        CertificateWorker::new(Arc::clone(&state.registry), tls.to_vec(), clock.clone());
    workers.start(certificates::LOOKED_FOR_EVERY, certificates);
    let lessons = BinLessonWorker::new(engine(), Arc::clone(&state.bins));
    workers.start(bin_lessons::EVERY, lessons);
    let bins = (Arc::clone(&state.bins), state.shared.clone());
    if let Some(worker) = BinTableWorker::new(engine(), bins, settings.bin_table.clone()) {
        workers.start(settings.bin_table.refresh_every, worker);
    }
    if let Some(shared) = &state.shared {
        workers.start(RENEWED_EVERY, SettingsWorker::new(Arc::clone(shared)));
        let registry = Arc::clone(&state.registry);
        workers.start(RENEWED_EVERY, SignOnWorker::new(engine(), registry));
    }
    // Taken once: this is the only place that starts workers.
    if let Some(replies) = state.registry.take_late_replies() {
        let registry = Arc::clone(&state.registry);
        workers.start(None, LateReplyWorker::new(engine(), registry, replies));
    }
    workers.started
}
