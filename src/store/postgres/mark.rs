//! The mark of a move of the books, in the database: while it is there, no node opens them.

use tokio_postgres::{Error, Transaction};

use crate::store::StoreError;
use crate::store::sql::read::{database_error, field, fields_of, parameter};
use crate::store::sql::value::FromColumn;
use crate::store::whole::MoveMark;

pub(super) const MARK: &str = "SELECT id, role, state, other, kind, last FROM moves";
const SET_MARK: &str =
    "INSERT INTO moves (id, role, state, other, kind, last) VALUES ($1, $2, $3, $4, $5, $6)";
/// There is one mark at most.
pub(super) const NO_MARK: &str = "DELETE FROM moves";
/// Whoever opens the books holds this row too: the mark is seen, or waits.
pub(super) const GATE: &str = "SELECT step FROM schema_steps WHERE step = 1 FOR UPDATE";

/// How a refused step reads.
pub(super) fn broken(error: &Error) -> StoreError {
    let detail = match error.as_db_error() {
        Some(_) => database_error(error),
        None => return StoreError::Unavailable { detail: database_error(error) },
    };
    StoreError::Backend { context: "the database refuses a step of the move", detail }
}

pub(super) fn read_mark(values: &[Option<&[u8]>]) -> Result<MoveMark, StoreError> {
    let last = values.get(5).copied().flatten();
    let kind: u64 = field(values, 4)?;
    Ok(MoveMark {
        id: field(values, 0)?,
        role: field(values, 1)?,
        state: field(values, 2)?,
        other: field(values, 3)?,
        kind: usize::try_from(kind).unwrap_or(usize::MAX),
        last: last.and_then(Vec::<u8>::take),
    })
}

pub(super) async fn set_mark(transaction: &Transaction<'_>, mark: &MoveMark) -> Result<(), Error> {
    let MoveMark { id, role, state, other, kind, last } = mark;
    let kind = parameter(u64::try_from(*kind).unwrap_or(u64::MAX));
    let [id, role, state, other, last] = [
        parameter(id.as_str()),
        parameter(*role),
        parameter(*state),
        parameter(other.as_str()),
        parameter(last.as_deref()),
    ];
    transaction.execute(NO_MARK, &[]).await?;
    transaction.execute(SET_MARK, &[&id, &role, &state, &other, &kind, &last]).await.map(drop)
}

/// Refuses books that a move goes from, or comes to.
pub(super) async fn check_not_moving(transaction: &Transaction<'_>) -> Result<(), StoreError> {
    transaction.execute(GATE, &[]).await.map_err(|error| broken(&error))?;
    let rows = transaction.query(MARK, &[]).await.map_err(|error| broken(&error))?;
    match rows.first() {
        None => Ok(()),
        Some(row) => {
            let mark = read_mark(&fields_of(row))?;
            let context = "the books in the database are not open";
            Err(StoreError::Backend { context, detail: mark.to_string() })
        }
    }
}
