//! A writer's connection: a group goes in one flight, and its COMMIT in a second, so that nothing
//! is in doubt before that one has left.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use tokio_postgres::types::ToSql;
use tokio_postgres::{Error, Row, Statement};

use crate::domain::ids::OrderId;
use crate::store::sql::read::{database_error, fields_of};
use crate::store::sql::step::Step;
use crate::store::sql::value::FromColumn;
use crate::store::{CommitError, table};

use super::Shared;
use super::connect::DatabaseLink;
use super::group::GroupStep;

/// A statement that takes longer is given up before it is in doubt: locks are waited for less long.
const FLIGHT_WAIT_MAX: Duration = Duration::from_secs(10);

const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED";
const TOKEN: &str = "UPDATE writers SET last = $4::bigint, void = $5 WHERE node = $1 \
                     AND writer = $2 AND incarnation = $3 AND last = $4::bigint - 1";
const STANDING: &str =
    "SELECT incarnation, last, void FROM writers WHERE node = $1 AND writer = $2";
const OWNER: &str = "SELECT id FROM orders WHERE caller = $1 AND caller_order_id = $2";

/// Why a group was not written.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    /// The connection is gone, or the database takes nothing just now.
    #[error("{0}")]
    Away(String),
    /// Others were in the way: the same again.
    #[error("others were in the way")]
    Again,
    /// A key is taken: the same again, and each statement tells which.
    #[error("a key is taken")]
    Taken,
    /// A row is none that the tables take.
    #[error("{0}")]
    Refused(String),
}

/// A writer's place in its row of `writers`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Token {
    pub writer: i32,
    pub number: i64,
}

/// What a writer's row says.
#[derive(Debug, Clone, Copy)]
pub(super) struct Standing {
    pub incarnation: i64,
    pub last: i64,
    pub void: bool,
}

/// How a COMMIT ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Written,
    /// It was written here, and perhaps nowhere else.
    Warned,
    /// Nobody knows.
    InDoubt,
}

pub(super) struct Session {
    link: DatabaseLink,
    token: Statement,
    prepared: BTreeMap<(usize, Asked), Statement>,
}

/// What a group's statements are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Asked {
    /// To write it, or to fail where a key is taken: what nearly every group comes to.
    Briefly,
    /// Which rows each has written.
    ForEachRow,
}

impl Asked {
    fn sql(self, step: &Step) -> &str {
        match (self, &step.unless_taken) {
            (Self::Briefly, Some(brief)) => brief,
            _ => &step.sql,
        }
    }

    /// Whether the step's statement returns keys that are to be judged.
    pub(super) const fn judges(self, step: &Step) -> bool {
        matches!(self, Self::ForEachRow) || step.unless_taken.is_none()
    }
}

impl Session {
    pub(super) async fn open(shared: &Shared) -> Result<Self, Trouble> {
        let away = |error: Error| Trouble::Away(database_error(&error));
        let link = shared.connector.writer_link().await.map_err(away)?;
        let token = link.client.prepare(TOKEN).await.map_err(|error| trouble(&error))?;
        Ok(Self { link, token, prepared: BTreeMap::new() })
    }

    /// Prepares what a group needs and no earlier one did.
    async fn prepare(
        &mut self,
        shared: &Shared,
        group: &[GroupStep<'_>],
        asked: Asked,
    ) -> Result<(), Error> {
        for step in group {
            if let Entry::Vacant(unprepared) = self.prepared.entry((step.step, asked)) {
                let sql = asked
                    .sql(&table::sql_steps()[step.step])
                    .replace("{node}", &shared.node.to_string())
                    .replace("{incarnation}", &shared.incarnation.to_string());
                unprepared.insert(self.link.client.prepare(&sql).await?);
            }
        }
        Ok(())
    }

    /// Begins a transaction, takes the token's number, and carries out the statements. Gives the
    /// keys that each returned; `None` if the number is not the writer's to take.
    pub(super) async fn fly(
        &mut self,
        shared: &Shared,
        token: Token,
        (group, asked): (&[GroupStep<'_>], Asked),
    ) -> Result<Option<Vec<Vec<Vec<u8>>>>, Trouble> {
        let flown = self.carry_out(shared, token, (group, asked));
        let flight = tokio::time::timeout(FLIGHT_WAIT_MAX, flown);
        match flight.await {
            Ok(flown) => flown.map_err(|error| trouble(&error)),
            Err(_) => Err(Trouble::Away("it does not answer in time".to_owned())),
        }
    }

    async fn carry_out(
        &mut self,
        shared: &Shared,
        token: Token,
        (group, asked): (&[GroupStep<'_>], Asked),
    ) -> Result<Option<Vec<Vec<Vec<u8>>>>, Error> {
        self.prepare(shared, group, asked).await?;
        let session = &*self;
        let client = &session.link.client;
        let mut flights: Vec<Flight<'_, Result<Flown, Error>>> =
            Vec::with_capacity(group.len() + 2);
        flights
            .push(Box::pin(async move { client.batch_execute(BEGIN).await.map(|()| Flown::Done) }));
        flights.push(Box::pin(async move {
            session.take(shared, token, false).await.map(Flown::Token)
        }));
        for step in group {
            let statement = &session.prepared[&(step.step, asked)];
            flights.push(Box::pin(async move {
                let parameters: Vec<&(dyn ToSql + Sync)> =
                    step.parameters.iter().map(|one| one as &(dyn ToSql + Sync)).collect();
                client.query(statement, &parameters).await.map(Flown::Rows)
            }));
        }
        let mut returned = Vec::with_capacity(group.len());
        let mut is_taken = false;
        // The first error is the cause of those behind it.
        for flown in in_order(flights).await {
            match flown? {
                Flown::Done => {}
                Flown::Token(taken) => is_taken = taken,
                Flown::Rows(rows) => returned.push(rows.iter().map(key_of).collect()),
            }
        }
        Ok(is_taken.then_some(returned))
    }

    async fn take(&self, shared: &Shared, token: Token, void: bool) -> Result<bool, Error> {
        let Token { writer, number } = token;
        let parameters: [&(dyn ToSql + Sync); 5] =
            [&shared.node, &writer, &shared.incarnation, &number, &void];
        self.link.client.execute(&self.token, &parameters).await.map(|rows| rows == 1)
    }

    /// Takes a number outside of a group; tells whether it was the writer's to take, and whether
    /// that was told without a warning.
    pub(super) async fn take_alone(
        &self,
        shared: &Shared,
        token: Token,
        void: bool,
    ) -> Result<(bool, bool), Error> {
        let before = self.link.warnings.load(Ordering::Acquire);
        let taken = self.take(shared, token, void).await?;
        Ok((taken, self.link.warnings.load(Ordering::Acquire) == before))
    }

    pub(super) async fn commit(&self) -> Ending {
        let before = self.link.warnings.load(Ordering::Acquire);
        match self.link.client.batch_execute("COMMIT").await {
            Err(_) => Ending::InDoubt,
            Ok(()) if self.link.warnings.load(Ordering::Acquire) != before => Ending::Warned,
            Ok(()) => Ending::Written,
        }
    }

    pub(super) async fn roll_back(&self) -> Result<(), Error> {
        self.link.client.batch_execute("ROLLBACK").await
    }

    /// What the writer's row says now.
    pub(super) async fn standing(&self, shared: &Shared, writer: i32) -> Result<Standing, Error> {
        let row = self.link.client.query_opt(STANDING, &[&shared.node, &writer]).await?;
        // A row that is not there is one of a database that has forgotten it.
        row.map_or(
            Ok(Standing { incarnation: shared.incarnation, last: i64::MIN, void: false }),
            |row| {
                Ok(Standing {
                    incarnation: row.try_get(0)?,
                    last: row.try_get(1)?,
                    void: row.try_get(2)?,
                })
            },
        )
    }

    /// Whether the database knows less of any writer than it had acknowledged by now.
    pub(super) async fn has_lost(&self, shared: &Shared) -> Result<bool, Error> {
        let acknowledged: Vec<i64> =
            shared.lasts.iter().map(|last| last.load(Ordering::Acquire)).collect();
        let look = "SELECT last FROM writers WHERE node = $1 ORDER BY writer";
        let rows = self.link.client.query(look, &[&shared.node]).await?;
        for (place, acknowledged) in acknowledged.into_iter().enumerate() {
            let has: i64 = rows.get(place).map_or(Ok(i64::MIN), |row| row.try_get(0))?;
            if has < acknowledged {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Waits until each writer's group that is under way has ended, one after the other: what they
    /// have read before is older than what is read from now on.
    pub(super) async fn wait_for_others(&self) -> Result<(), Error> {
        let client = &self.link.client;
        for row in client.query("SELECT node, writer FROM writers ORDER BY 1, 2", &[]).await? {
            let (node, writer): (i32, i32) = (row.try_get(0)?, row.try_get(1)?);
            let touch = "UPDATE writers SET last = last WHERE node = $1 AND writer = $2";
            client.execute(touch, &[&node, &writer]).await?;
        }
        Ok(())
    }

    /// Why a write set's guards do not hold.
    pub(super) async fn refusal(
        &self,
        callers: &[(OrderId, String, String)],
    ) -> Result<CommitError, Error> {
        for (id, caller, own) in callers {
            let row = self.link.client.query_opt(OWNER, &[caller, own]).await?;
            let fields = row.as_ref().map(fields_of).unwrap_or_default();
            let owner = fields.first().and_then(|id| OrderId::take_field(*id));
            // The same order under the same id is a repeated commit, not another order.
            if let Some(existing) = owner.filter(|owner| owner != id) {
                return Ok(CommitError::Duplicate { existing });
            }
        }
        Ok(CommitError::Conflict)
    }

    /// Writes down that the database has lost what it acknowledged, as well as that can be done.
    pub(super) async fn mark_lost(&self, shared: &Shared) -> Result<(), Error> {
        let mark = "UPDATE nodes SET history_lost_at = coalesce(history_lost_at, now()) \
                    WHERE node = $1";
        self.link.client.execute(mark, &[&shared.node]).await.map(drop)
    }
}

/// A message that is under way with others.
type Flight<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

enum Flown {
    Done,
    Token(bool),
    Rows(Vec<Row>),
}

/// The key that a statement returned, as a step's row has it.
fn key_of(row: &Row) -> Vec<u8> {
    let mut key = Vec::with_capacity(24);
    for field in fields_of(row) {
        let length = field.map_or(-1, |bytes| i32::try_from(bytes.len()).unwrap_or(i32::MAX));
        key.extend_from_slice(&length.to_be_bytes());
        key.extend_from_slice(field.unwrap_or_default());
    }
    key
}

/// Sends all in their order, and waits for all.
async fn in_order<T>(mut flights: Vec<Flight<'_, T>>) -> Vec<T> {
    let mut ended: Vec<Option<T>> = flights.iter().map(|_| None).collect();
    poll_fn(|context| {
        for (flight, end) in flights.iter_mut().zip(&mut ended) {
            if end.is_none()
                && let Poll::Ready(value) = flight.as_mut().poll(context)
            {
                *end = Some(value);
            }
        }
        if ended.iter().all(Option::is_some) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    ended.into_iter().flatten().collect()
}

/// What an error of a statement says, before any COMMIT has left.
fn trouble(error: &Error) -> Trouble {
    let detail = database_error(error);
    let Some(code) = error.code().map(|code| code.code()) else {
        // What does not leave is a fault of ours, and the connection is none the worse.
        let cause = std::error::Error::source(error);
        let is_gone = error.is_closed() || cause.is_some_and(|cause| cause.is::<io::Error>());
        return if is_gone { Trouble::Away(detail) } else { Trouble::Refused(detail) };
    };
    match code {
        // A lock that was waited for too long.
        "55P03" => Trouble::Again,
        "23505" => Trouble::Taken,
        _ if code.starts_with("40") => Trouble::Again,
        _ if code.starts_with("22") || code.starts_with("23") => Trouble::Refused(detail),
        _ => Trouble::Away(detail),
    }
}
