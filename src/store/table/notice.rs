//! Notices to the core, by order.

use serde::{Deserialize, Serialize};

use crate::domain::books::accounting::{Delivery, DeliveryStatus};
use crate::domain::ids::OrderId;
use crate::domain::time::Due;
use crate::domain::write_set::{CoreNotice, WriteSet};
use crate::store::form::{Fields, decode, encode, millis};
use crate::store::key::{Parts, order_key};
use crate::store::plan::Plan;
use crate::store::row::{Head, Table, Versioned, due_rows, get, plan_put};
use crate::store::sorted::Read;
use crate::store::{Reading, Store, StoreError};

use super::delivery::{Deliveries, DeliveryRecord, head_of, of_status};

const NOTICES: Fields = Fields { table: "notices" };
const LETTER: u8 = b'N';
const DUE: u8 = b'n';
const PARKED: u8 = b'u';

pub(in crate::store) struct Notices;

impl Table for Notices {
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

    fn decode(key: &[u8], bytes: &[u8]) -> Read<CoreNotice> {
        read_notice(Parts::of(key).order()?, bytes)
    }

    fn reads_head(key: &[u8], bytes: &[u8]) -> Read<()> {
        Self::head(key, bytes).map(drop)
    }

    fn plan(writes: &WriteSet, plan: &mut Plan) {
        plan_put::<Self>(&writes.notices, plan);
    }
}

impl Versioned for Notices {
    fn version(notice: &CoreNotice) -> u32 {
        notice.delivery.version
    }

    fn head(key: &[u8], bytes: &[u8]) -> Read<Head> {
        head_of::<Self>(key, bytes)
    }
}

impl Deliveries for Notices {
    const DUE: u8 = DUE;
    const PARKED: u8 = PARKED;

    fn delivery(notice: &CoreNotice) -> &Delivery {
        &notice.delivery
    }
}

impl dyn Store + '_ {
    pub fn notice(&self, order: OrderId) -> Reading<'_, Option<CoreNotice>> {
        self.look(move |rows| get::<Notices>(rows, &order_key(LETTER, order)))
    }

    /// Notices to the core by order, of one status or of all.
    pub fn notices(
        &self,
        status: Option<DeliveryStatus>,
        after: Option<OrderId>,
        limit: usize,
    ) -> Reading<'_, Vec<CoreNotice>> {
        let after = after.map(|order| order_key(LETTER, order));
        self.list(move |rows| of_status::<Notices>(rows, status, after, limit))
    }

    /// Owed notices to the core that are due, the longest due first; behind them what is dated
    /// wrong.
    pub fn due_notices(&self, due: Due, limit: usize) -> Reading<'_, Vec<CoreNotice>> {
        self.list(move |rows| due_rows::<Notices>(rows, &[DUE], due, limit))
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
