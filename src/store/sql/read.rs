//! Reads of tables: one statement each, which shows the rows of one moment.

use std::fmt::Display;
use std::time::Duration;

use deadpool_postgres::{Pool, PoolError};
use tokio_postgres::types::private::BytesMut;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type};

use crate::domain::ids::{OrderId, SHARDS, Shards};
use crate::domain::time::DueWindow;
use crate::store::form::damaged;
use crate::store::sql::table::{ColumnPart, SqlFields, SqlTable, names};
use crate::store::sql::value::{FromColumn, ToColumn};
use crate::store::{PAGE_MAX, StoreError, StoreRead};

/// Whose row `h` is neither fenced nor followed by a later life of its node.
pub(in crate::store) const STANDS: &str = "EXISTS (SELECT 1 FROM nodes n WHERE n.node = h.node \
     AND n.incarnation = h.incarnation AND n.fenced_at IS NULL)";

/// A read that takes longer finds the database out of reach.
const READ_WAIT_MAX: Duration = Duration::from_secs(5);

pub(in crate::store) type DynError = Box<dyn std::error::Error + Sync + Send>;

/// The tables of a store that has them, as its reads see them.
pub struct Tables {
    pool: Pool,
    wait: Duration,
}

/// A parameter of a statement.
#[derive(Debug)]
pub(in crate::store) struct Parameter(Vec<u8>);

/// A parameter with this value.
pub(in crate::store) fn parameter(value: impl ToColumn) -> Parameter {
    let mut field = Vec::new();
    value.field(&mut field);
    Parameter(field)
}

/// Parameters that lie one behind the other.
fn fields_in(mut fields: &[u8]) -> Vec<Parameter> {
    let mut found = Vec::new();
    while let Some((length, _)) = fields.split_first_chunk::<4>() {
        let length = usize::try_from(i32::from_be_bytes(*length)).unwrap_or(0);
        let Some((field, rest)) = fields.split_at_checked(4 + length) else { break };
        found.push(Parameter(field.to_vec()));
        fields = rest;
    }
    found
}

/// A parameter with a list of values.
pub(in crate::store) fn list_parameter<T: ToColumn>(values: Vec<T>) -> Parameter {
    let mut array = Vec::new();
    let count = i32::try_from(values.len()).expect("a list of at most some million values");
    for number in [1, 0] {
        array.extend_from_slice(&i32::to_be_bytes(number));
    }
    array.extend_from_slice(&T::TYPE.oid().to_be_bytes());
    for number in [count, 1] {
        array.extend_from_slice(&i32::to_be_bytes(number));
    }
    values.iter().for_each(|value| value.field(&mut array));
    parameter(array)
}

impl ToSql for Parameter {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, DynError> {
        let (length, value) = self.0.split_at(4);
        out.extend_from_slice(value);
        Ok(if length[0] == u8::MAX { IsNull::Yes } else { IsNull::No })
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn to_sql_checked(&self, sql: &Type, out: &mut BytesMut) -> Result<IsNull, DynError> {
        self.to_sql(sql, out)
    }
}

/// A column's bytes, whatever its type.
struct AnyBytes<'a>(&'a [u8]);

impl<'a> FromSql<'a> for AnyBytes<'a> {
    fn from_sql(_: &Type, bytes: &'a [u8]) -> Result<Self, DynError> {
        Ok(Self(bytes))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

/// The fields of a row, in the order of its columns.
pub(in crate::store) fn fields_of(row: &tokio_postgres::Row) -> Vec<Option<&[u8]>> {
    let bytes = |place| row.try_get::<_, Option<AnyBytes<'_>>>(place).ok().flatten();
    (0..row.len()).map(|place| bytes(place).map(|AnyBytes(bytes)| bytes)).collect()
}

/// A field of a row that is no table's, in its place.
pub(in crate::store) fn field<T: FromColumn>(
    values: &[Option<&[u8]>],
    place: usize,
) -> Result<T, StoreError> {
    let field = values.get(place).and_then(|value| T::take_field(*value));
    field.ok_or_else(|| damaged("a statement", "a field is none of its type"))
}

/// How a statement's error reads where nothing of the statement is in doubt.
pub(in crate::store) fn out_of_reach(error: impl Display) -> StoreError {
    StoreError::Unavailable { detail: error.to_string() }
}

/// The same with the server's words, which the driver keeps behind its own.
pub(in crate::store) fn database_error(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(told) => format!("{} ({})", told.message(), told.code().code()),
        None => match std::error::Error::source(error) {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        },
    }
}

impl Tables {
    pub(in crate::store) const fn new(pool: Pool) -> Self {
        Self { pool, wait: READ_WAIT_MAX }
    }

    /// For reads of everything, which take as long as they take.
    pub(in crate::store) const fn patient(pool: Pool) -> Self {
        Self { pool, wait: Duration::from_secs(24 * 60 * 60) }
    }

    /// The rows of a statement, each as `read` makes it of its fields.
    pub(in crate::store) async fn query<R>(
        &self,
        sql: &str,
        parameters: Vec<Parameter>,
        read: impl Fn(Vec<Option<&[u8]>>) -> Result<R, StoreError>,
    ) -> Result<Vec<R>, StoreError> {
        let asked = async {
            let client = self.pool.get().await.map_err(|error| match error {
                PoolError::Backend(error) => out_of_reach(database_error(&error)),
                other => out_of_reach(other),
            })?;
            let parameters: Vec<&(dyn ToSql + Sync)> =
                parameters.iter().map(|one| one as &(dyn ToSql + Sync)).collect();
            let answer = async {
                let statement = client.prepare_cached(sql).await?;
                client.query(&statement, &parameters).await
            };
            match answer.await {
                Ok(rows) => Ok(rows),
                Err(error) => Err(out_of_reach(database_error(&error))),
            }
        };
        let rows = tokio::time::timeout(self.wait, asked).await;
        let rows = rows.map_err(|_| out_of_reach("it does not answer in time"))??;
        rows.iter().map(|row| read(fields_of(row))).collect()
    }

    /// A page of a table's rows in the order of its key, and the fields of the last one's key. It
    /// begins behind such fields.
    pub(in crate::store) async fn page<T: SqlTable>(
        &self,
        after: Option<Vec<u8>>,
        limit: usize,
    ) -> Result<(Vec<T::Row>, Option<Vec<u8>>), StoreError> {
        let key = || T::COLUMNS.iter().filter(|column| column.part == ColumnPart::Key);
        let (named, length) = (names(key(), "t."), key().count());
        let mut parameters: Vec<Parameter> = after.as_deref().map(fields_in).unwrap_or_default();
        let behind = match parameters.len() {
            0 => String::new(),
            many => {
                let places: Vec<String> = (1..=many).map(|place| format!("${place}")).collect();
                format!("WHERE ({named}) > ({})", places.join(", "))
            }
        };
        parameters.push(page_limit(limit));
        let (selected, table, limit) = (T::selected(), T::SQL_NAME, parameters.len());
        let sql =
            format!("SELECT {selected} FROM {table} t {behind} ORDER BY {named} LIMIT ${limit}");
        let read = |values: Vec<Option<&[u8]>>| {
            let key = values.iter().take(length).copied().flatten();
            let fields: Vec<u8> = key.flat_map(|value| parameter(value).0).collect();
            Ok((T::read_selected(values)?, fields))
        };
        let mut rows = self.query(&sql, parameters, read).await?;
        let last = rows.last_mut().map(|(_, fields)| std::mem::take(fields));
        Ok((rows.into_iter().map(|(row, _)| row).collect(), last))
    }

    /// The rows of a table that `rest` names: what stands behind `FROM table t`.
    pub(in crate::store) async fn rows<T: SqlTable>(
        &self,
        rest: &str,
        parameters: Vec<Parameter>,
    ) -> Result<Vec<T::Row>, StoreError> {
        let sql = format!("SELECT {} FROM {} t {rest}", T::selected(), T::SQL_NAME);
        self.query(&sql, parameters, T::read_selected).await
    }

    pub(in crate::store) fn list<'a, T: SqlTable + 'a>(
        &'a self,
        rest: &'a str,
        parameters: Vec<Parameter>,
    ) -> StoreRead<'a, Vec<T::Row>>
    where
        T::Row: Send,
    {
        Box::pin(self.rows::<T>(rest, parameters))
    }

    pub(in crate::store) fn one<'a, T: SqlTable + 'a>(
        &'a self,
        rest: &'a str,
        parameters: Vec<Parameter>,
    ) -> StoreRead<'a, Option<T::Row>>
    where
        T::Row: Send,
    {
        Box::pin(async move { Ok(self.rows::<T>(rest, parameters).await?.pop()) })
    }

    /// The rows that are due: those whose time has come, and behind them those that are dated too
    /// far ahead. `which` are all that wait; a text in it is `$4`.
    pub(in crate::store) fn due<'a, T: SqlTable + 'a>(
        &'a self,
        which: &'a str,
        due: DueWindow,
        limit: usize,
        text: Option<Parameter>,
    ) -> StoreRead<'a, Vec<T::Row>>
    where
        T::Row: Send,
    {
        let name = T::SQL_NAME;
        let columns = names(T::COLUMNS, "");
        let mut parameters = vec![parameter(due.now()), parameter(due.bound()), page_limit(limit)];
        parameters.extend(text);
        let mut which = which.to_owned();
        if due.shards() != Shards::EVERY {
            let (key, place) = (T::COLUMNS[0].name, parameters.len() + 1);
            which.push_str(&format!(" AND {key} % {SHARDS} = ANY(${place})"));
            parameters.push(list_parameter(due.shards().iter().map(u64::from).collect()));
        }
        let part = |time| {
            format!(
                "(SELECT * FROM {name} WHERE {which} AND due_at {time} ORDER BY due_at LIMIT $3)"
            )
        };
        let sql = format!(
            "SELECT {columns} FROM ({} UNION ALL {}) t ORDER BY due_at > $2, due_at, {} LIMIT $3",
            part("<= $1"),
            part("> $2"),
            T::COLUMNS[0].name,
        );
        Box::pin(async move {
            self.query(&sql, parameters, |values| {
                T::read(&SqlFields { table: name, columns: T::COLUMNS, values })
            })
            .await
        })
    }
}

/// The number that a page by numbers begins behind.
pub(in crate::store) fn after_id(after: Option<OrderId>) -> OrderId {
    after.unwrap_or(OrderId::from_u64(0))
}

/// How many rows a page has at most.
pub(in crate::store) fn page_limit(limit: usize) -> Parameter {
    parameter(u64::try_from(limit.min(PAGE_MAX)).unwrap_or(u64::MAX))
}

/// The parameters of a statement, in their order.
macro_rules! parameters {
    ($($value:expr),* $(,)?) => { vec![$($crate::store::sql::read::parameter($value)),*] };
}

pub(in crate::store) use parameters;
