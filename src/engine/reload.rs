//! Reloads of channel files, routes and BIN table beside payments.
//!
//! Channels and routes are put in force together or not at all. Before that the orders of late are
//! planned under both; a change that sends a larger share of them elsewhere than the settings allow
//! is *held*: what is in force stays, until a person says yes to the moves.

use std::sync::{Arc, Mutex, PoisonError};

use crate::channel::Channels as _;
use crate::channel::registry::{FileMistakes, ReadChannels, Registry};
use crate::codec::sign::sha256_hex;
use crate::domain::route::replay::RouteSet;
use crate::domain::route::replay::moves::PlanMoves;
use crate::domain::time::Timestamp;
use crate::domain::write_set::AuditEntry;
use crate::engine::{Engine, EngineError};
use crate::tables::bin::LiveBinTable;
use crate::tables::routes::{LiveRoutes, ReadRoutes, RoutesRefusal};
use crate::telemetry;

/// Characters of a digest that name the files of a reload.
const NAME_LENGTH: usize = 12;

/// Who wants a reload, and why.
#[derive(Debug, Clone)]
pub struct ReloadCall {
    pub who: String,
    pub reason: String,
    /// Whether it is put in force however many orders move.
    pub accepts_moves: bool,
    /// The files whose moves were shown ([`HeldReload::files`]), and which alone are accepted.
    pub files: Option<String>,
}

/// A reload that waits for a person's yes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldReload {
    pub at: Timestamp,
    /// What names the files that were read: 12 hexadecimal digits.
    pub files: String,
    pub moves: PlanMoves,
}

/// What is in force after a reload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reloaded {
    pub channels: usize,
    /// `None` where nodes share their routes, which a reload leaves alone.
    pub rules: Option<usize>,
    /// What names the files; `None` where nodes share them.
    pub files: Option<String>,
    /// What it does to the orders of late; `None` where it touches no plan.
    pub moves: Option<PlanMoves>,
    /// Whether a newer version of the BIN table is in force.
    pub bin_table: bool,
}

/// Why channels and routes stay as they were.
#[derive(Debug, thiserror::Error)]
pub enum ReloadRefusal {
    #[error("the channels' files or the routes have mistakes")]
    Mistaken { channels: FileMistakes, routes: Option<RoutesRefusal> },
    #[error("{}", .0.moves)]
    Held(Arc<HeldReload>),
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// What is reloaded.
pub struct Reloads {
    engine: Arc<Engine>,
    registry: Arc<Registry>,
    routes: Arc<LiveRoutes>,
    bins: Arc<LiveBinTable>,
    /// All nodes of the store run the same files: only this machine's credentials are read again.
    is_shared: bool,
    /// The share of the orders of late, in hundredths, that a reload may move; 100 holds none.
    hold_above_percent: u8,
    held: Mutex<Option<Arc<HeldReload>>>,
    one_at_a_time: tokio::sync::Mutex<()>,
}

impl Reloads {
    pub(super) fn new(
        engine: Arc<Engine>,
        (registry, routes, bins): (Arc<Registry>, Arc<LiveRoutes>, Arc<LiveBinTable>),
        is_shared: bool,
        hold_above_percent: u8,
    ) -> Self {
        telemetry::gauge_reload_held(false);
        Self {
            engine,
            registry,
            routes,
            bins,
            is_shared,
            hold_above_percent,
            held: Mutex::default(),
            one_at_a_time: tokio::sync::Mutex::default(),
        }
    }

    /// The reload that is held, if one is.
    pub fn held(&self) -> Option<Arc<HeldReload>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn hold(&self, held: Option<Arc<HeldReload>>) {
        telemetry::gauge_reload_held(held.is_some());
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = held;
    }

    /// Reads everything anew. Without a call nobody can be asked: it is a signal's. What becomes of
    /// it is in the log. The BIN table has versions of its own and is looked for in any case.
    pub async fn reload(
        self: &Arc<Self>,
        call: Option<&ReloadCall>,
    ) -> Result<Reloaded, ReloadRefusal> {
        let _turn = self.one_at_a_time.lock().await;
        let bin_table = !self.is_shared && self.reload_bin_table().await;
        let ended = self.reload_plans(call).await;
        match &ended {
            Ok(reloaded) => {
                tracing::info!(channels = reloaded.channels, "the channels are reloaded");
                if let Some(rules) = reloaded.rules {
                    tracing::info!(rules, "the routes are reloaded");
                }
            }
            Err(refusal) => self.report(refusal),
        }
        ended.map(|reloaded| Reloaded { bin_table, ..reloaded })
    }

    async fn reload_bin_table(&self) -> bool {
        let bins = Arc::clone(&self.bins);
        match tokio::task::spawn_blocking(move || bins.reload_if_newer()).await {
            Ok(Ok(changed)) => {
                tracing::info!(changed, "a newer version of the BIN table was looked for");
                changed
            }
            Ok(Err(problem)) => {
                let error = telemetry::chain(&problem);
                tracing::error!(error, "the BIN table cannot be reloaded; it stays as it was");
                false
            }
            Err(_) => {
                tracing::error!("the reload of the BIN table has panicked; it stays as it was");
                false
            }
        }
    }

    async fn reload_plans(
        self: &Arc<Self>,
        call: Option<&ReloadCall>,
    ) -> Result<Reloaded, ReloadRefusal> {
        if self.is_shared {
            return self.reload_credentials(call).await;
        }
        let this = Arc::clone(self);
        let read = tokio::task::spawn_blocking(move || this.read()).await;
        let (channels, routes) = read.map_err(|_| EngineError::Died)??;
        let files = name_of(&channels, &routes);
        let moves = self.judge(&channels, &routes, &files, call).await?;
        if let Some(call) = call {
            self.audit(call, Some(&files), moves.as_ref()).await?;
        }
        let this = Arc::clone(self);
        let put = tokio::task::spawn_blocking(move || {
            // Routes name channels: those are there first.
            let channels = this.registry.put_in_force(channels)?;
            Ok((channels, this.routes.put_in_force(routes).rules))
        });
        let put = put.await.map_err(|_| EngineError::Died)?;
        let (channels, rules) = put.map_err(mistaken)?;
        self.hold(None);
        Ok(Reloaded { channels, rules: Some(rules), files: Some(files), moves, bin_table: false })
    }

    /// Where nodes share their files, this machine's credentials are read again; no plan changes.
    async fn reload_credentials(
        &self,
        call: Option<&ReloadCall>,
    ) -> Result<Reloaded, ReloadRefusal> {
        if let Some(call) = call {
            self.audit(call, None, None).await?;
        }
        let registry = Arc::clone(&self.registry);
        let reloaded = tokio::task::spawn_blocking(move || registry.reload()).await;
        let channels = reloaded.map_err(|_| EngineError::Died)?.map_err(mistaken)?;
        Ok(Reloaded { channels, rules: None, files: None, moves: None, bin_table: false })
    }

    /// Every file as it is now.
    fn read(&self) -> Result<(ReadChannels, ReadRoutes), ReloadRefusal> {
        let channels = self.registry.read_again();
        let known = match &channels {
            Ok(channels) => channels.ids(),
            Err(_) => self.registry.ids(),
        };
        match (channels, self.routes.read_again(&known)) {
            (Ok(channels), Ok(routes)) => Ok((channels, routes)),
            (channels, routes) => Err(ReloadRefusal::Mistaken {
                channels: channels.err().unwrap_or_default(),
                routes: routes.err(),
            }),
        }
    }

    /// What a change does to the orders of late, unless it is more than nobody has said yes to;
    /// `None` where it touches no plan, and nothing is planned again.
    async fn judge(
        &self,
        channels: &ReadChannels,
        routes: &ReadRoutes,
        files: &str,
        call: Option<&ReloadCall>,
    ) -> Result<Option<PlanMoves>, ReloadRefusal> {
        let rules = self.routes.current().rules.clone();
        let rates = self.registry.rate_terms();
        let in_force = RouteSet { rules, profiles: self.registry.profiles(), rates };
        let rules = routes.routes.rules.clone();
        let candidate = RouteSet { rules, profiles: channels.profiles(), rates };
        if in_force == candidate {
            return Ok(None);
        }
        let moves = self.engine.judge(&in_force, &candidate).await?;
        let is_accepted = call.is_some_and(|call| {
            call.accepts_moves && call.files.as_deref().is_none_or(|shown| shown == files)
        });
        if is_accepted || !moves.exceed(self.hold_above_percent) {
            return Ok(Some(moves));
        }
        let at = self.engine.clock().now();
        let held = Arc::new(HeldReload { at, files: files.to_owned(), moves });
        self.hold(Some(Arc::clone(&held)));
        Err(ReloadRefusal::Held(held))
    }

    /// Keeps who has put it in force, before it is.
    async fn audit(
        &self,
        call: &ReloadCall,
        files: Option<&str>,
        moves: Option<&PlanMoves>,
    ) -> Result<(), EngineError> {
        let action = match call.accepts_moves {
            true => "reload.accept_moves",
            false => "reload",
        };
        let subject = match (files, moves) {
            (None, _) => "credentials".to_owned(),
            (Some(files), None) => format!("files {files}: no plan changes"),
            (Some(files), Some(moves)) => {
                format!("files {files}: {} of {} orders move", moves.moved, moves.orders)
            }
        };
        let entry = AuditEntry {
            at: self.engine.clock().now(),
            actor: call.who.clone(),
            approver: None,
            action: action.to_owned(),
            subject,
            reason: call.reason.clone(),
        };
        self.engine.audit(entry).await
    }

    fn report(&self, refusal: &ReloadRefusal) {
        match refusal {
            ReloadRefusal::Mistaken { channels, routes } => {
                for mistake in channels {
                    tracing::error!(%mistake, "the channels stay as they were");
                }
                match routes {
                    Some(RoutesRefusal::Mistaken { mistakes }) => {
                        for mistake in mistakes {
                            tracing::error!(%mistake, "the routes stay as they were");
                        }
                    }
                    Some(refusal) => {
                        let error = telemetry::chain(refusal);
                        tracing::error!(error, "the routes stay as they were");
                    }
                    None => {}
                }
                tracing::error!("nothing is reloaded: channels and routes are so together");
            }
            ReloadRefusal::Held(held) => tracing::warn!(
                files = held.files,
                moves = %held.moves,
                hold_above_percent = self.hold_above_percent,
                "the reload is held: it moves more orders than the settings allow, and what was in \
                 force stays; `switchyard reload --accept-moves --reason TEXT` puts it in force"
            ),
            ReloadRefusal::Engine(error) => {
                let error = telemetry::chain(error);
                tracing::error!(error, "nothing is reloaded: its moves cannot be judged");
            }
        }
    }
}

const fn mistaken(channels: FileMistakes) -> ReloadRefusal {
    ReloadRefusal::Mistaken { channels, routes: None }
}

/// What names the files that were read.
fn name_of(channels: &ReadChannels, routes: &ReadRoutes) -> String {
    let texts =
        channels.texts().map(|(id, text)| format!("{id} {}\n", sha256_hex(text.as_bytes())));
    let all: String = texts.chain([routes.sha256.clone()]).collect();
    let mut name = sha256_hex(all.as_bytes());
    name.truncate(NAME_LENGTH);
    name
}
