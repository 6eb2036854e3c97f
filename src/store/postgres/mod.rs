//! The store that keeps the books in PostgreSQL: typed tables, commits in groups, one row for each
//! writer that says what became of its last group.
//!
//! A commit is encoded where it is asked for and waits in one queue; each *writer* has a connection
//! of its own, takes what waits and writes it as one transaction (`writer`). Reads have a pool of
//! connections, and are one statement each. Whether a group was written is never guessed: its token
//! is asked for (`session`). A database that has lost what it acknowledged is named, and takes no
//! more orders.

mod at_rest;
mod connect;
mod group;
mod limits;
mod nodes;
mod loss;
mod mark;
mod open;
mod session;
mod state;
mod statements;
mod tls;
mod tokens;
mod writer;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::{Mutex, Semaphore, mpsc, oneshot};

use crate::domain::ids::OrderId;
use crate::domain::write_set::WriteSet;
use crate::store::sql::read::{Tables, field, parameters};
use crate::store::{
    Cluster, ClusterState, CommitError, RowQuery, Store, StoreError, StoreFuture, StoreRead, table,
};

pub use at_rest::DatabaseBooks;
pub use loss::accept_loss;
pub use state::PostgresState;

use connect::Connector;
use open::Opened;
use tokens::{TokenFile, Tokens};
use writer::{Ask, TransactionWriter};

/// The pause between two looks whether the database answers.
const LOOKED_FOR_EVERY: Duration = Duration::from_secs(1);

/// What a PostgreSQL store is opened with.
#[derive(Clone)]
pub struct PostgresSettings {
    /// `postgres://user@host:port/database`, with the options of libpq that the driver knows.
    pub url: String,
    pub password: Option<String>,
    /// What TLS trusts; without it none is spoken.
    pub tls: Option<Arc<rustls::ClientConfig>>,
    /// The fingerprints of the keys that cards are sealed and compared with, by their names: the
    /// books are opened with those that they were used with.
    pub key_prints: BTreeMap<String, String>,
    /// The node's own folder, which remembers what the database has acknowledged.
    pub folder: Option<PathBuf>,
    /// The number that stands in this node's order ids, 0 to 999.
    pub node: u16,
    /// Where this node's API listens, for operators.
    pub address: String,
    /// Connections that write groups of commits, 1 to 64.
    pub writers: u16,
    /// Connections for reads, 1 to 1,000.
    pub readers: u16,
    /// Commits that wait; past it they are [`CommitError::Busy`].
    pub queue_max: usize,
    /// Commits that one transaction makes durable together.
    pub group_max: usize,
}

impl PostgresSettings {
    /// The defaults of the settings' file, at a database.
    pub fn at(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            password: None,
            tls: None,
            key_prints: BTreeMap::new(),
            folder: None,
            node: 0,
            address: String::new(),
            writers: 2,
            readers: 6,
            queue_max: 8_192,
            group_max: 256,
        }
    }
}

/// What the writers of a store share.
struct Shared {
    connector: Connector,
    node: i32,
    incarnation: i64,
    queue: Mutex<mpsc::Receiver<Ask>>,
    /// Half of the writers carry out statements, while the others' COMMITs are under way.
    turns: Arc<Semaphore>,
    group_max: usize,
    /// This process has lost its lease of the books.
    fenced: AtomicBool,
    /// The database has lost what it acknowledged.
    lost: AtomicBool,
    /// Whether the database answered when it was last asked.
    reachable: AtomicBool,
    /// The last number of each writer that was acknowledged.
    lasts: Vec<AtomicI64>,
    tokens: Option<TokenFile>,
    /// The last number of each day and node that this process has taken.
    given: Mutex<BTreeMap<(u32, u16), u64>>,
}

impl Shared {
    /// Why no commit is taken any more.
    fn ended(&self) -> Option<CommitError> {
        if self.fenced.load(Ordering::Acquire) {
            return Some(CommitError::Fenced);
        }
        self.lost.load(Ordering::Acquire).then(|| CommitError::Failed(history_lost()))
    }
}

/// What is said of a database that has gone back in time.
fn history_lost() -> StoreError {
    StoreError::Backend {
        context: "history_lost",
        detail: "the database has lost commits that it had acknowledged: a fail-over to a standby \
                 that was behind, or a restored backup; bring it back, or accept the loss with \
                 `switchyard store accept-loss --reason`"
            .to_owned(),
    }
}

/// The store in PostgreSQL.
pub struct PostgresStore {
    tables: Arc<Tables>,
    queue: mpsc::Sender<Ask>,
    shared: Arc<Shared>,
    state: PostgresState,
}

impl PostgresStore {
    /// Opens the books: makes the tables in an empty database, and becomes the node's next
    /// incarnation, after which an earlier one writes nothing any more.
    pub async fn open(settings: &PostgresSettings) -> Result<Self, StoreError> {
        let connector = Connector::new(settings)?;
        let tokens = settings.folder.as_deref().map(|folder| TokenFile::of(settings.node, folder));
        let Opened { incarnation, writers } =
            open::open(&connector, settings, tokens.as_ref()).await?;
        let (queue, asked) = mpsc::channel(settings.queue_max.max(1));
        let shared = Arc::new(Shared {
            node: i32::from(settings.node),
            incarnation,
            queue: Mutex::new(asked),
            turns: Arc::new(Semaphore::new((writers.len() / 2).max(1))),
            group_max: settings.group_max.max(1),
            fenced: AtomicBool::new(false),
            lost: AtomicBool::new(false),
            reachable: AtomicBool::new(true),
            lasts: writers.iter().map(|(_, last)| AtomicI64::new(*last)).collect(),
            tokens,
            given: Mutex::default(),
            connector: connector.clone(),
        });
        remember(&shared);
        for (number, last) in writers {
            tokio::spawn(TransactionWriter::new(Arc::clone(&shared), number, last).run());
        }
        let pool = connector.pool(usize::from(settings.readers.max(1)))?;
        let tables = Arc::new(Tables::new(pool));
        tokio::spawn(watch(Arc::downgrade(&shared), Arc::downgrade(&tables)));
        let state = PostgresState::of(Arc::clone(&tables), connector);
        Ok(Self { tables, queue, shared, state })
    }

    async fn write(&self, writes: &WriteSet) -> Result<(), CommitError> {
        if let Some(ended) = self.shared.ended() {
            return Err(ended);
        }
        let plan = table::sql_plan(writes)?;
        let (reply, answer) = oneshot::channel();
        self.queue.try_send(Ask { plan, reply }).map_err(|_| CommitError::Busy)?;
        match answer.await {
            Ok(answer) => answer,
            // A writer that ends has said why.
            Err(_) => Err(self.shared.ended().unwrap_or(CommitError::Busy)),
        }
    }

    async fn take_numbers(&self, yymmdd: u32, node: u16, count: u32) -> Result<u64, CommitError> {
        if let Some(ended) = self.shared.ended() {
            return Err(ended);
        }
        let row = "INSERT INTO order_numbers (yymmdd, node, given) VALUES ($1, $2, 0) \
                   ON CONFLICT DO NOTHING";
        // A database that has gone back in time must not give out again what it gave before.
        let take = "UPDATE order_numbers SET given = greatest(given, $4) + $3 \
                    WHERE yymmdd = $1 AND node = $2 RETURNING given";
        let mut given = self.shared.given.lock().await;
        let last = given.entry((yymmdd, node)).or_default();
        let taken = async {
            self.tables.query(row, parameters![yymmdd, node], |_| Ok(())).await?;
            let given = |values: Vec<Option<&[u8]>>| field::<u64>(&values, 0);
            self.tables.query(take, parameters![yymmdd, node, count, *last], given).await
        };
        // Numbers that were taken and not heard of are never given out again.
        let taken = taken.await.map_err(CommitError::Unavailable)?;
        *last = *taken.first().ok_or(CommitError::Conflict)?;
        Ok(*last - u64::from(count) + 1)
    }
}

impl Store for PostgresStore {
    fn commit<'a>(&'a self, writes: &'a WriteSet) -> StoreFuture<'a, Result<(), CommitError>> {
        Box::pin(self.write(writes))
    }

    fn lease(
        &self,
        yymmdd: u32,
        node: u16,
        count: u32,
    ) -> StoreFuture<'_, Result<u64, CommitError>> {
        Box::pin(self.take_numbers(yymmdd, node, count))
    }

    /// The tables answer for it, as for all reads.
    fn left_in_flight(&self) -> Arc<[(OrderId, u8)]> {
        Arc::default()
    }

    fn cluster(&self) -> Option<&dyn Cluster> {
        Some(self)
    }

    fn cluster_state(&self) -> Option<&dyn ClusterState> {
        Some(&self.state)
    }

    fn is_reachable(&self) -> bool {
        self.shared.reachable.load(Ordering::Acquire) && self.shared.ended().is_none()
    }

    fn tables(&self) -> Option<&Tables> {
        Some(&self.tables)
    }

    fn show<'a>(&'a self, look: RowQuery<'a>) -> StoreRead<'a, ()> {
        drop(look);
        Box::pin(async { Err(no_sorted_bytes()) })
    }

    fn show_page(&self, look: RowQuery<'static>) -> StoreRead<'_, ()> {
        self.show(look)
    }
}

/// Writes down in the node's folder what the database has acknowledged.
fn remember(shared: &Shared) {
    let Some(tokens) = &shared.tokens else { return };
    let lasts = shared.lasts.iter().map(|last| last.load(Ordering::Acquire)).collect();
    let acknowledged = Tokens { incarnation: shared.incarnation, lasts };
    if let Err(error) = tokens.write(&acknowledged) {
        tracing::warn!(%error, "what the database has acknowledged cannot be written down");
    }
}

/// Asks the database, again and again, whether it is there and whose the node is.
async fn watch(shared: Weak<Shared>, tables: Weak<Tables>) {
    loop {
        tokio::time::sleep(LOOKED_FOR_EVERY).await;
        let (Some(shared), Some(tables)) = (shared.upgrade(), tables.upgrade()) else { return };
        remember(&shared);
        let look = "SELECT incarnation FROM nodes WHERE node = $1";
        let incarnation = |values: Vec<Option<&[u8]>>| field::<u64>(&values, 0);
        let found = tables.query(look, parameters![shared.node], incarnation).await;
        let was = shared.reachable.swap(found.is_ok(), Ordering::AcqRel);
        match found {
            Ok(incarnations) => {
                if !was {
                    tracing::info!("the database answers again");
                }
                if incarnations
                    .first()
                    .is_some_and(|now| *now != shared.incarnation.cast_unsigned())
                {
                    shared.fenced.store(true, Ordering::Release);
                }
            }
            Err(error) if was => tracing::error!(%error, "the database does not answer"),
            Err(_) => {}
        }
    }
}

/// Every read has an answer of its own from tables.
fn no_sorted_bytes() -> StoreError {
    let detail = "this read has no answer from tables".to_owned();
    StoreError::Backend { context: "the store has no sorted bytes", detail }
}

/// How long a writer waits before it looks for the database again, by how often it has looked.
fn pause(tries: u32) -> Duration {
    Duration::from_millis(20 << tries.min(6))
}
