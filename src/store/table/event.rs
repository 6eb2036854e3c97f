//! What happened to orders, by order, version and their place in it. Append-only.

use serde::{Deserialize, Serialize};

use crate::domain::closed_set::StoredNumber;
use crate::domain::event::{EventPlace, OrderEvent};
use crate::domain::ids::OrderId;
use crate::domain::write_set::WriteSet;
use crate::store::form::{StoredFields, decode, encode, millis, text};
use crate::store::key::{Key, Parts, order_key};
use crate::store::plan::CommitPlan;
use crate::store::row::{Table, list_rows, plan_new};
use crate::store::sorted::StoreResult;
use crate::store::sql::read::{page_limit, parameters};
use crate::store::sql::step::{Answer, SqlPlan, Step, insert};
use crate::store::sql::table::{SqlFields, SqlTable, sql_columns};
use crate::store::{CommitError, Store, StoreError, StoreRead};

const EVENTS: StoredFields = StoredFields { table: "order_events" };
const LETTER: u8 = b'H';

pub(in crate::store) struct OrderEvents;

impl Table for OrderEvents {
    type Row = OrderEvent;

    const NAME: &'static str = EVENTS.table;
    const LETTERS: &'static [(u8, &'static str)] = &[(LETTER, "what happened to orders")];

    fn key(event: &OrderEvent) -> Vec<u8> {
        key_of(event.order, event.place())
    }

    fn encode(event: &OrderEvent) -> Vec<u8> {
        event_bytes(event)
    }

    fn decode(key: &[u8], bytes: &[u8]) -> StoreResult<OrderEvent> {
        read_event(Parts::of(key), bytes)
    }

    fn plan(writes: &WriteSet, plan: &mut CommitPlan) {
        plan_new::<Self>(&writes.events, plan);
    }

    fn sql_steps() -> Vec<Step> {
        vec![insert::<Self>(Answer::Held)]
    }

    fn sql_plan(writes: &WriteSet, plan: &mut SqlPlan) -> Result<(), CommitError> {
        plan.append::<Self>(0, &writes.events)
    }
}

fn key_of(order: OrderId, (version, ordinal): EventPlace) -> Vec<u8> {
    Key::of(LETTER).order(order).number(version.to_be_bytes()).number([ordinal]).0
}

impl SqlTable for OrderEvents {
    type Written<'a> = &'a OrderEvent;
    type Row = OrderEvent;

    sql_columns! {
        row: "order_events";
        key { order_id: row.order, version: row.version, ordinal: row.ordinal, }
        fixed {
            at: row.at,
            kind: row.kind,
            attempt: row.attempt,
            source: row.source,
            outcome: row.outcome.as_deref(),
            cause: row.cause.as_deref(),
            code: row.code.as_deref(),
            remark: row.remark,
            detail: row.detail.as_deref(),
            actor: row.actor.as_deref(),
            approver: row.approver.as_deref(),
            transcript: row.transcript.as_str(),
            sent: row.sent.as_str(),
        }
    }

    fn read(row: &SqlFields<'_>) -> StoreResult<OrderEvent> {
        Ok(OrderEvent {
            order: row.get("order_id")?,
            version: row.get("version")?,
            ordinal: row.get("ordinal")?,
            at: row.get("at")?,
            kind: row.get("kind")?,
            attempt: row.get("attempt")?,
            source: row.get("source")?,
            outcome: row.get("outcome")?,
            cause: row.get("cause")?,
            code: row.get("code")?,
            remark: row.get("remark")?,
            detail: row.get("detail")?,
            actor: row.get("actor")?,
            approver: row.get("approver")?,
            transcript: row.get("transcript")?,
            sent: row.get("sent")?,
        })
    }
}

impl dyn Store + '_ {
    /// What happened to an order behind an event, in its order.
    pub fn order_events(
        &self,
        order: OrderId,
        after: Option<EventPlace>,
        limit: usize,
    ) -> StoreRead<'_, Vec<OrderEvent>> {
        if let Some(tables) = self.tables() {
            // No event has the version 0.
            let (version, ordinal) = after.unwrap_or((0, u8::MAX));
            let mut all = parameters![order, version, ordinal];
            all.push(page_limit(limit));
            return tables.list::<OrderEvents>(
                "WHERE t.order_id = $1 AND (t.version, t.ordinal) > ($2, $3) \
                 ORDER BY t.version, t.ordinal LIMIT $4",
                all,
            );
        }
        let after = after.map(|place| key_of(order, place));
        self.list(move |rows| {
            list_rows::<OrderEvents>(rows, &order_key(LETTER, order), after, limit)
        })
    }
}

#[derive(Serialize, Deserialize)]
struct EventRecord<'a> {
    at: u64,
    kind: u8,
    attempt: u8,
    source: Option<u8>,
    #[serde(borrow)]
    outcome: Option<&'a str>,
    cause: Option<&'a str>,
    code: Option<&'a str>,
    remark: Option<u8>,
    detail: Option<&'a str>,
    actor: Option<&'a str>,
    approver: Option<&'a str>,
    transcript: &'a str,
    sent: &'a str,
}

fn event_bytes(event: &OrderEvent) -> Vec<u8> {
    encode(&EventRecord {
        at: millis(event.at),
        kind: event.kind.number(),
        attempt: event.attempt,
        source: event.source.map(StoredNumber::number),
        outcome: event.outcome.as_deref(),
        cause: event.cause.as_deref(),
        code: event.code.as_deref(),
        remark: event.remark.map(StoredNumber::number),
        detail: event.detail.as_deref(),
        actor: event.actor.as_deref(),
        approver: event.approver.as_deref(),
        transcript: &event.transcript,
        sent: &event.sent,
    })
}

fn read_event(mut key: Parts<'_>, bytes: &[u8]) -> Result<OrderEvent, StoreError> {
    let record: EventRecord<'_> = decode(EVENTS.table, bytes)?;
    let (order, version, [ordinal]) = (key.order()?, key.number()?, key.number()?);
    Ok(OrderEvent {
        order,
        version: u32::from_be_bytes(version),
        ordinal,
        at: EVENTS.time(record.at)?,
        kind: EVENTS.code("kind", record.kind)?,
        attempt: record.attempt,
        source: EVENTS.code_option("source", record.source)?,
        outcome: text(record.outcome),
        cause: text(record.cause),
        code: text(record.code),
        remark: EVENTS.code_option("remark", record.remark)?,
        detail: text(record.detail),
        actor: text(record.actor),
        approver: text(record.approver),
        transcript: record.transcript.to_owned(),
        sent: record.sent.to_owned(),
    })
}
