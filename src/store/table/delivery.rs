//! What is delivered until it is acknowledged: accounting requests and notices to the core.
//!
//! A delivery has an index entry by time while it is owed, and one by its key while it is parked.

use serde::{Deserialize, Serialize};

use crate::domain::books::accounting::{Delivery, DeliveryStatus};
use crate::domain::closed_set::StoredNumber;
use crate::store::form::{StoredFields, decode_head, millis, text};
use crate::store::head::{Entries, Head, identity};
use crate::store::key::{Key, bounds};
use crate::store::row::{Versioned, list_indexed, smallest};
use crate::store::sorted::{Scan, SortedRows, StoreResult, onward, page};
use crate::store::sql::read::{Parameter, Tables, field, page_limit};
use crate::store::sql::table::{SqlFields, SqlTable};
use crate::store::{Backlog, StoreError, StoreRead};

/// A table of deliveries.
pub(super) trait Deliveries: Versioned {
    const DUE: u8;
    const PARKED: u8;

    fn delivery(row: &Self::Row) -> &Delivery;
}

/// See [`Versioned::head`].
pub(super) fn head_of<T: Deliveries>(key: &[u8], bytes: &[u8]) -> StoreResult<Head> {
    let fields = StoredFields { table: T::NAME };
    let head: DeliveryHeadRecord = decode_head(T::NAME, bytes)?;
    let due_at = fields.time(head.due_at)?;
    let mut entries = Entries::default();
    match fields.code("status", head.status)? {
        DeliveryStatus::Owed => entries.add(Key::of(T::DUE).time(due_at).0, key),
        DeliveryStatus::Parked => entries.add(vec![T::PARKED], key),
        DeliveryStatus::Acknowledged | DeliveryStatus::Withdrawn => {}
    }
    Ok(Head { version: head.version, entries })
}

/// Those of one status or of all, by key, behind the one with the key `after`. The owed ones are
/// few unless the other side is down.
pub(super) fn of_status<T: Deliveries>(
    rows: SortedRows<'_>,
    status: Option<DeliveryStatus>,
    after: Option<Vec<u8>>,
    limit: usize,
) -> StoreResult<Vec<T::Row>> {
    let has = |row: &T::Row| status.is_none_or(|status| T::delivery(row).status == status);
    match status {
        Some(DeliveryStatus::Owed) => {
            smallest::<T>(rows, bounds(&[T::DUE]), 9, after.as_deref(), limit, has)
        }
        Some(DeliveryStatus::Parked) => {
            let last = after.map(|key| [&[T::PARKED], identity(&key)].concat());
            list_indexed::<T>(rows, onward(&[T::PARKED], last), 1, limit)
        }
        Some(DeliveryStatus::Acknowledged | DeliveryStatus::Withdrawn) | None => {
            page(rows, onward(&[T::LETTER], after), limit, |key, row| {
                Ok(Some(T::decode(key, row)?).filter(has))
            })
        }
    }
}

/// How many are owed, and how many are parked. No row is read.
pub(super) fn backlog<T: Deliveries>(rows: SortedRows<'_>) -> StoreResult<Backlog> {
    let count = |index: u8| {
        let (mut entries, (from, to)) = (0, bounds(&[index]));
        rows.scan(&from, &to, &mut |_, _| {
            entries += 1;
            Ok(Scan::On)
        })?;
        Ok(entries)
    };
    Ok(Backlog { owed: count(T::DUE)?, parked: count(T::PARKED)? })
}

/// The same in SQL.
pub(super) fn sql_backlog<T: SqlTable>(tables: &Tables) -> StoreRead<'_, Backlog> {
    Box::pin(async move {
        let count =
            |status| format!("(SELECT count(*) FROM {} WHERE status = '{status}')", T::SQL_NAME);
        let counts = format!("SELECT {}, {}", count("owed"), count("parked"));
        let read = |values: Vec<Option<&[u8]>>| {
            Ok(Backlog { owed: field(&values, 0)?, parked: field(&values, 1)? })
        };
        let found = tables.query(&counts, Vec::new(), read).await?;
        Ok(found.into_iter().next().unwrap_or_default())
    })
}

/// The same in SQL: the rows that `behind` shows, in the order of `key`.
pub(super) fn sql_of_status<'a, T: SqlTable<Row: Send> + 'a>(
    tables: &'a Tables,
    behind: &'a str,
    key: &'a str,
    mut parameters: Vec<Parameter>,
    status: Option<DeliveryStatus>,
    limit: usize,
) -> StoreRead<'a, Vec<T::Row>> {
    let has = status.map_or(String::new(), |status| format!(" AND t.status = '{status}'"));
    parameters.push(page_limit(limit));
    let place = parameters.len();
    Box::pin(async move {
        let rest = format!("WHERE {behind}{has} ORDER BY {key} LIMIT ${place}");
        tables.rows::<T>(&rest, parameters).await
    })
}

/// A delivery of its columns.
pub(super) fn delivery_of(row: &SqlFields<'_>) -> StoreResult<Delivery> {
    Ok(Delivery {
        status: row.get("status")?,
        tries: row.get("tries")?,
        due_at: row.get("due_at")?,
        acknowledged_at: row.get("acknowledged_at")?,
        last_error: row.get("last_error")?,
        unanswered: row.get("unanswered")?,
        version: row.get("version")?,
    })
}

#[derive(Serialize, Deserialize)]
struct DeliveryHeadRecord {
    version: u32,
    status: u8,
    due_at: u64,
}

/// Begins with the fields of [`DeliveryHeadRecord`].
#[derive(Serialize, Deserialize)]
pub(super) struct DeliveryRecord<'a> {
    head: DeliveryHeadRecord,
    tries: u32,
    acknowledged_at: Option<u64>,
    last_error: Option<&'a str>,
    unanswered: bool,
}

impl<'a> DeliveryRecord<'a> {
    pub(super) fn of(delivery: &'a Delivery) -> Self {
        Self {
            head: DeliveryHeadRecord {
                version: delivery.version,
                status: delivery.status.number(),
                due_at: millis(delivery.due_at),
            },
            tries: delivery.tries,
            acknowledged_at: delivery.acknowledged_at.map(millis),
            last_error: delivery.last_error.as_deref(),
            unanswered: delivery.unanswered,
        }
    }

    pub(super) fn read(&self, fields: StoredFields) -> Result<Delivery, StoreError> {
        Ok(Delivery {
            status: fields.code("status", self.head.status)?,
            tries: self.tries,
            due_at: fields.time(self.head.due_at)?,
            acknowledged_at: fields.time_option(self.acknowledged_at)?,
            last_error: text(self.last_error),
            unanswered: self.unanswered,
            version: self.head.version,
        })
    }
}
