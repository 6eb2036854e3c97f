//! Notices to the core, by order.

use serde::{Deserialize, Serialize};

use crate::domain::books::accounting::{Delivery, DeliveryStatus};
use crate::domain::ids::OrderId;
use crate::domain::time::DueWindow;
use crate::domain::write_set::{CoreNotice, WriteSet};
use crate::store::form::{StoredFields, decode, encode, millis};
use crate::store::head::{Entries, Head};
use crate::store::key::{Parts, order_key};
use crate::store::plan::CommitPlan;
use crate::store::row::{Table, Versioned, due_rows, get, plan_put};
use crate::store::sorted::StoreResult;
use crate::store::sql::read::{after_id, parameters};
use crate::store::sql::step::{SqlPlan, Step, VersionChange, versioned};
use crate::store::sql::table::{SqlFields, SqlTable, sql_columns};
use crate::store::{Backlog, CommitError, Store, StoreError, StoreRead};

use super::delivery::{
    Deliveries, DeliveryRecord, backlog, delivery_of, head_of, of_status, sql_backlog,
    sql_of_status,
};

const NOTICES: StoredFields = StoredFields { table: "notices" };
const LETTER: u8 = b'N';
const DUE: u8 = b'n';
const PARKED: u8 = b'u';

pub(in crate::store) struct CoreNotices;

impl Table for CoreNotices {
    type Row = CoreNotice;

    const NAME: &'static str = NOTICES.table;
    const LETTERS: &'static [(u8, &'static str)] = &[
        (LETTER, "notices"),
        (DUE, "entries of notices that are due"),
        (PARKED, "entries of notices that are parked"),
    ];

    fn key(notice: &CoreNotice) -> Vec<u8> {
        order_key(LETTER, notice.order)
    }

    fn encode(notice: &CoreNotice) -> Vec<u8> {
        notice_bytes(notice)
    }

    fn decode(key: &[u8], bytes: &[u8]) -> StoreResult<CoreNotice> {
        read_notice(Parts::of(key).order()?, bytes)
    }

    fn entries(key: &[u8], bytes: &[u8]) -> StoreResult<Entries> {
        Self::head(key, bytes).map(|head| head.entries)
    }

    fn plan(writes: &WriteSet, plan: &mut CommitPlan) {
        plan_put::<Self>(&writes.notices, plan);
    }

    fn sql_steps() -> Vec<Step> {
        versioned::<Self>().into()
    }

    fn sql_plan(writes: &WriteSet, plan: &mut SqlPlan) -> Result<(), CommitError> {
        let rows = writes.notices.iter().map(|row| (row.delivery.version, VersionChange::Put(row)));
        plan.replace::<Self>(0, rows)
    }
}

impl Versioned for CoreNotices {
    fn version(notice: &CoreNotice) -> u32 {
        notice.delivery.version
    }

    fn head(key: &[u8], bytes: &[u8]) -> StoreResult<Head> {
        head_of::<Self>(key, bytes)
    }
}

impl Deliveries for CoreNotices {
    const DUE: u8 = DUE;
    const PARKED: u8 = PARKED;

    fn delivery(notice: &CoreNotice) -> &Delivery {
        &notice.delivery
    }
}

impl SqlTable for CoreNotices {
    type Written<'a> = &'a CoreNotice;
    type Row = CoreNotice;

    sql_columns! {
        notice: "notices";
        key { order_id: notice.order, }
        fixed { url: notice.url.as_str(), created_at: notice.created_at, }
        changing {
            version: notice.delivery.version,
            status: notice.delivery.status,
            tries: notice.delivery.tries,
            due_at: notice.delivery.due_at,
            acknowledged_at: notice.delivery.acknowledged_at,
            last_error: notice.delivery.last_error.as_deref(),
            unanswered: notice.delivery.unanswered,
        }
    }

    fn read(row: &SqlFields<'_>) -> StoreResult<CoreNotice> {
        Ok(CoreNotice {
            order: row.get("order_id")?,
            url: row.get("url")?,
            created_at: row.get("created_at")?,
            delivery: delivery_of(row)?,
        })
    }
}

impl dyn Store + '_ {
    pub fn notice(&self, order: OrderId) -> StoreRead<'_, Option<CoreNotice>> {
        if let Some(tables) = self.tables() {
            return tables.one::<CoreNotices>("WHERE t.order_id = $1", parameters![order]);
        }
        self.look(move |rows| get::<CoreNotices>(rows, &order_key(LETTER, order)))
    }

    /// Notices to the core by order, of one status or of all.
    pub fn notices(
        &self,
        status: Option<DeliveryStatus>,
        after: Option<OrderId>,
        limit: usize,
    ) -> StoreRead<'_, Vec<CoreNotice>> {
        if let Some(tables) = self.tables() {
            return sql_of_status::<CoreNotices>(
                tables,
                "t.order_id > $1",
                "t.order_id",
                parameters![after_id(after)],
                status,
                limit,
            );
        }
        let after = after.map(|order| order_key(LETTER, order));
        self.list(move |rows| of_status::<CoreNotices>(rows, status, after, limit))
    }

    /// How many notices to the core are owed, and how many are parked. No row is read.
    pub fn notice_backlog(&self) -> StoreRead<'_, Backlog> {
        if let Some(tables) = self.tables() {
            return sql_backlog::<CoreNotices>(tables);
        }
        self.list(backlog::<CoreNotices>)
    }

    /// Owed notices to the core that are due, the longest due first; behind them what is dated
    /// wrong.
    pub fn due_notices(&self, due: DueWindow, limit: usize) -> StoreRead<'_, Vec<CoreNotice>> {
        if let Some(tables) = self.tables() {
            return tables.due::<CoreNotices>("status = 'owed'", due, limit, None);
        }
        self.list(move |rows| due_rows::<CoreNotices>(rows, &[DUE], due, limit))
    }
}

#[derive(Serialize, Deserialize)]
struct NoticeRecord<'a> {
    #[serde(borrow)]
    delivery: DeliveryRecord<'a>,
    url: &'a str,
    created_at: u64,
}

fn notice_bytes(notice: &CoreNotice) -> Vec<u8> {
    encode(&NoticeRecord {
        delivery: DeliveryRecord::of(&notice.delivery),
        url: &notice.url,
        created_at: millis(notice.created_at),
    })
}

fn read_notice(order: OrderId, bytes: &[u8]) -> Result<CoreNotice, StoreError> {
    let record: NoticeRecord<'_> = decode(NOTICES.table, bytes)?;
    Ok(CoreNotice {
        order,
        url: record.url.to_owned(),
        created_at: NOTICES.time(record.created_at)?,
        delivery: record.delivery.read(NOTICES)?,
    })
}
