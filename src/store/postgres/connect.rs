//! Connections to the database: their options, their TLS, and the warnings that come on them.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use deadpool_postgres::{
    ClientWrapper, Connect, Hook, HookError, Manager, ManagerConfig, Pool, PoolBuilder,
    RecyclingMethod, Runtime,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinHandle;
use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};
use tokio_postgres::{AsyncMessage, Client, Config, Connection, Error, NoTls};

use crate::store::StoreError;

use super::PostgresSettings;
use super::tls::DatabaseTls;

/// What each connection sets: nobody holds rows for longer than this, and no statement is worth
/// being compiled, which takes a hundred times longer than carrying it out.
const OPTIONS: &str = "-c idle_in_transaction_session_timeout=5s -c lock_timeout=5s -c jit=off";
/// What a writer's connection sets besides. Its statements find rows by their keys, and each is
/// planned once: a plan that was made while a table was small would read all of it for each group,
/// and planning anew costs more than the statement.
const WRITER_OPTIONS: &str = "-c plan_cache_mode=force_generic_plan \
     -c enable_seqscan=off -c enable_bitmapscan=off -c enable_hashjoin=off \
     -c enable_mergejoin=off";
/// Everything that is read is of this moment, however long it takes.
const SNAPSHOT: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY; \
     SET LOCAL idle_in_transaction_session_timeout = 0";
const CONNECT_WAIT_MAX: Duration = Duration::from_secs(5);
/// A peer that is gone without a word is found out after so long.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(10);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
/// What the peer's machine does not confirm for so long ends a connection.
const UNHEARD_MAX: Duration = Duration::from_secs(30);

/// How connections are made.
#[derive(Clone)]
pub(super) struct Connector {
    config: Config,
    tls: Option<DatabaseTls>,
}

/// A connection that is no pool's, and how many warnings came on it.
pub(super) struct DatabaseLink {
    pub client: Client,
    pub warnings: Arc<AtomicU64>,
}

impl Connector {
    pub(super) fn new(settings: &PostgresSettings) -> Result<Self, StoreError> {
        let refused = |detail: String| StoreError::Backend { context: "store.url", detail };
        // The server's certificate and name are always verified, which libpq has another word for.
        let url = settings.url.replace("sslmode=verify-full", "sslmode=require");
        let mut config: Config = url.parse().map_err(|error: Error| refused(error.to_string()))?;
        if config.get_password().is_some() {
            return Err(refused("a password stands in it: name it in store.password".to_owned()));
        }
        if let Some(password) = &settings.password {
            config.password(password);
        }
        if !url.contains("sslmode=") {
            let mode = if is_near(&config) { SslMode::Disable } else { SslMode::Require };
            config.ssl_mode(mode);
        }
        if config.get_ssl_mode() == SslMode::Require && settings.tls.is_none() {
            return Err(refused("it asks for TLS, and nothing is trusted".to_owned()));
        }
        let options = config.get_options().map(|own| format!("{own} {OPTIONS}"));
        config.options(options.unwrap_or_else(|| OPTIONS.to_owned()));
        config.application_name("switchyard");
        config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        config.connect_timeout(CONNECT_WAIT_MAX);
        config.keepalives_idle(KEEPALIVE_IDLE);
        config.keepalives_interval(KEEPALIVE_INTERVAL);
        config.tcp_user_timeout(UNHEARD_MAX);
        let tls = settings.tls.clone().map(DatabaseTls);
        Ok(Self { config, tls })
    }

    /// A connection of one's own.
    pub(super) async fn link(&self) -> Result<DatabaseLink, Error> {
        self.link_by(&self.config).await
    }

    /// A connection for groups of commits.
    pub(super) async fn writer_link(&self) -> Result<DatabaseLink, Error> {
        let mut config = self.config.clone();
        let options = config.get_options().unwrap_or_default().to_owned();
        self.link_by(config.options(format!("{options} {WRITER_OPTIONS}"))).await
    }

    async fn link_by(&self, config: &Config) -> Result<DatabaseLink, Error> {
        let warnings = Arc::new(AtomicU64::new(0));
        let (client, _) = self.connect_counting(config, Arc::clone(&warnings)).await?;
        Ok(DatabaseLink { client, warnings })
    }

    async fn connect_counting(
        &self,
        config: &Config,
        warnings: Arc<AtomicU64>,
    ) -> Result<(Client, JoinHandle<()>), Error> {
        match &self.tls {
            Some(tls) => {
                let (client, connection) = config.connect(tls.clone()).await?;
                Ok((client, tokio::spawn(carry(connection, warnings))))
            }
            None => {
                let (client, connection) = config.connect(NoTls).await?;
                Ok((client, tokio::spawn(carry(connection, warnings))))
            }
        }
    }

    /// A pool of connections for reads.
    pub(super) fn pool(&self, size: usize) -> Result<Pool, StoreError> {
        Self::built(self.pool_of(size))
    }

    /// A pool of one connection, whose reads all see the books as they were at one moment. Where
    /// the connection is lost, no read is answered any more.
    pub(super) fn snapshot(&self) -> Result<Pool, StoreError> {
        let was_made = Arc::new(AtomicBool::new(false));
        let begin = Hook::async_fn(move |client: &mut ClientWrapper, _| {
            let again = was_made.swap(true, Ordering::AcqRel);
            Box::pin(async move {
                match again {
                    true => Err(HookError::message("the connection of the snapshot was lost")),
                    false => client.batch_execute(SNAPSHOT).await.map_err(HookError::Backend),
                }
            })
        });
        Self::built(self.pool_of(1).post_create(begin))
    }

    fn pool_of(&self, size: usize) -> PoolBuilder {
        let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = Manager::from_connect(self.config.clone(), self.clone(), recycling);
        Pool::builder(manager).max_size(size).runtime(Runtime::Tokio1)
    }

    fn built(pool: PoolBuilder) -> Result<Pool, StoreError> {
        pool.build().map_err(|error| StoreError::Backend {
            context: "the pool of connections",
            detail: error.to_string(),
        })
    }
}

impl Connect for Connector {
    fn connect(
        &self,
        config: &Config,
    ) -> Pin<Box<dyn Future<Output = Result<(Client, JoinHandle<()>), Error>> + Send + '_>> {
        let config = config.clone();
        Box::pin(async move { self.connect_counting(&config, Arc::default()).await })
    }
}

/// Whether all hosts are this machine.
fn is_near(config: &Config) -> bool {
    config.get_hosts().iter().all(|host| match host {
        Host::Tcp(name) => matches!(name.as_str(), "localhost" | "127.0.0.1" | "::1" | "[::1]"),
        Host::Unix(_) => true,
    })
}

/// Carries a connection until its end. A notice comes before the answer that it belongs to.
async fn carry<S, T>(mut connection: Connection<S, T>, warnings: Arc<AtomicU64>)
where
    S: AsyncRead + AsyncWrite + Unpin,
    T: AsyncRead + AsyncWrite + Unpin,
{
    while let Some(message) = poll_fn(|context| connection.poll_message(context)).await {
        match message {
            // The words of a severity are in the server's language.
            Ok(AsyncMessage::Notice(told)) if told.code().code().starts_with("01") => {
                warnings.fetch_add(1, Ordering::AcqRel);
            }
            Ok(_) => {}
            // Whoever waits for an answer hears of it.
            Err(_) => break,
        }
    }
}
