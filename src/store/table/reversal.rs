//! The temp reversal table. An entry has an index entry while it is due.

use serde::{Deserialize, Serialize};

use crate::domain::closed_set::StoredNumber;
use crate::domain::ids::{ChannelId, OrderId};
use crate::domain::reversal::{HistoryLine, ReversalEntry};
use crate::domain::time::DueWindow;
use crate::domain::write_set::{EntryChange, WriteSet};
use crate::store::form::{StoredFields, decode, decode_head, encode, millis};
use crate::store::head::{Entries, Head};
use crate::store::key::{Key, Parts, order_key};
use crate::store::plan::CommitPlan;
use crate::store::row::{Table, Versioned, due_rows, get, list_rows};
use crate::store::sorted::{SortedRows, StoreResult};
use crate::store::sql::read::{after_id, page_limit, parameter, parameters};
use crate::store::sql::step::{SqlPlan, Step, VersionChange, key_fields, versioned};
use crate::store::sql::table::{SqlFields, SqlTable, history, read_history, sql_columns};
use crate::store::{CommitError, Store, StoreError, StoreRead};

const TABLE: &str = "reversals";
const FIELDS: StoredFields = StoredFields { table: TABLE };

const LETTER: u8 = b'R';
const DUE: u8 = b'r';

pub(in crate::store) struct Reversals;

impl Table for Reversals {
    type Row = ReversalEntry;

    const NAME: &'static str = TABLE;
    const LETTERS: &'static [(u8, &'static str)] =
        &[(LETTER, "reversal entries"), (DUE, "entries of reversals that are due")];

    fn key(entry: &ReversalEntry) -> Vec<u8> {
        order_key(LETTER, entry.order)
    }

    fn encode(entry: &ReversalEntry) -> Vec<u8> {
        entry_bytes(entry)
    }

    fn decode(key: &[u8], bytes: &[u8]) -> StoreResult<ReversalEntry> {
        read_entry(Parts::of(key).order()?, bytes)
    }

    fn entries(key: &[u8], bytes: &[u8]) -> StoreResult<Entries> {
        Self::head(key, bytes).map(|head| head.entries)
    }

    fn plan(writes: &WriteSet, plan: &mut CommitPlan) {
        for change in &writes.entries {
            match change {
                EntryChange::Put(entry) => {
                    plan.put(Self::key(entry), entry.version, entry_bytes(entry), Self::head);
                }
                EntryChange::Remove { order, version } => {
                    plan.remove(order_key(LETTER, *order), *version, Self::head);
                }
            }
        }
    }

    fn sql_steps() -> Vec<Step> {
        versioned::<Self>().into()
    }

    fn sql_plan(writes: &WriteSet, plan: &mut SqlPlan) -> Result<(), CommitError> {
        let changes = writes.entries.iter().map(|change| match change {
            EntryChange::Put(entry) => (entry.version, VersionChange::Put(entry)),
            EntryChange::Remove { order, version } => {
                (*version, VersionChange::Remove(key_fields(&[order])))
            }
        });
        plan.replace::<Self>(0, changes)
    }
}

impl Versioned for Reversals {
    fn version(entry: &ReversalEntry) -> u32 {
        entry.version
    }

    fn head(key: &[u8], bytes: &[u8]) -> StoreResult<Head> {
        let head: ReversalHeadRecord<'_> = decode_head(TABLE, bytes)?;
        let mut entries = Entries::default();
        if let Some(due_at) = FIELDS.time_option(head.due_at)? {
            entries.add(Key::of(DUE).text(head.channel).time(due_at).0, key);
        }
        Ok(Head { version: head.version, entries })
    }
}

pub(super) fn reversal_of(
    rows: SortedRows<'_>,
    order: OrderId,
) -> StoreResult<Option<ReversalEntry>> {
    get::<Reversals>(rows, &order_key(LETTER, order))
}

impl SqlTable for Reversals {
    type Written<'a> = &'a ReversalEntry;
    type Row = ReversalEntry;

    sql_columns! {
        entry: "reversal_entries";
        key { order_id: entry.order, }
        fixed { opened_at: entry.opened_at, }
        changing {
            version: entry.version,
            attempt: entry.attempt,
            channel: entry.channel.as_str(),
            amount_minor: entry.amount,
            currency: entry.currency,
            phase: entry.phase,
            step: entry.step,
            due_at: entry.due_at,
            pending: entry.pending,
            reversal_left_at: entry.reversal_left_at,
            reversal_ends_at: entry.reversal_ends_at,
            reversals_unanswered: entry.reversals_unanswered,
            reversal_refused: entry.reversal_refused,
            reversals_exhausted: entry.reversals_exhausted,
            inquiries: entry.inquiries,
            reversals: entry.reversals,
            history: history(entry.history.iter().map(|line| (line.at, line.what.as_str()))),
        }
    }

    fn read(row: &SqlFields<'_>) -> StoreResult<ReversalEntry> {
        let line = |(at, what)| HistoryLine { at, what };
        Ok(ReversalEntry {
            order: row.get("order_id")?,
            attempt: row.get("attempt")?,
            version: row.get("version")?,
            channel: row.get("channel")?,
            amount: row.get("amount_minor")?,
            currency: row.get("currency")?,
            phase: row.get("phase")?,
            step: row.get("step")?,
            due_at: row.get("due_at")?,
            opened_at: row.get("opened_at")?,
            pending: row.get("pending")?,
            reversal_left_at: row.get("reversal_left_at")?,
            reversal_ends_at: row.get("reversal_ends_at")?,
            reversals_unanswered: row.get("reversals_unanswered")?,
            reversal_refused: row.get("reversal_refused")?,
            reversals_exhausted: row.get("reversals_exhausted")?,
            inquiries: row.get("inquiries")?,
            reversals: row.get("reversals")?,
            history: read_history(row)?.into_iter().map(line).collect(),
        })
    }
}

impl dyn Store + '_ {
    pub fn reversal(&self, order: OrderId) -> StoreRead<'_, Option<ReversalEntry>> {
        if let Some(tables) = self.tables() {
            return tables.one::<Reversals>("WHERE t.order_id = $1", parameters![order]);
        }
        self.look(move |rows| reversal_of(rows, order))
    }

    /// The temp reversal table, by order id.
    pub fn reversals(
        &self,
        after: Option<OrderId>,
        limit: usize,
    ) -> StoreRead<'_, Vec<ReversalEntry>> {
        if let Some(tables) = self.tables() {
            return tables.list::<Reversals>(
                "WHERE t.order_id > $1 ORDER BY t.order_id LIMIT $2",
                vec![parameter(after_id(after)), page_limit(limit)],
            );
        }
        let after = after.map(|order| order_key(LETTER, order));
        self.list(move |rows| list_rows::<Reversals>(rows, &[LETTER], after, limit))
    }

    /// A channel's entries that are due, the longest due first; behind them what is dated wrong.
    pub fn due_reversals(
        &self,
        channel: ChannelId,
        due: DueWindow,
        limit: usize,
    ) -> StoreRead<'_, Vec<ReversalEntry>> {
        if let Some(tables) = self.tables() {
            return tables.due::<Reversals>(
                "channel = $4 AND due_at IS NOT NULL",
                due,
                limit,
                Some(parameter(channel)),
            );
        }
        let prefix = Key::of(DUE).channel(&channel).0;
        self.list(move |rows| due_rows::<Reversals>(rows, &prefix, due, limit))
    }
}

#[derive(Serialize, Deserialize)]
struct ReversalHeadRecord<'a> {
    version: u32,
    due_at: Option<u64>,
    channel: &'a str,
}

/// Begins with the fields of [`ReversalHeadRecord`].
#[derive(Serialize, Deserialize)]
struct ReversalRecord<'a> {
    #[serde(borrow)]
    head: ReversalHeadRecord<'a>,
    attempt: u8,
    amount_minor: i64,
    currency: u8,
    phase: u8,
    step: u16,
    opened_at: u64,
    pending: bool,
    reversal_left_at: Option<u64>,
    reversal_ends_at: Option<u64>,
    reversals_unanswered: u32,
    reversal_refused: bool,
    reversals_exhausted: bool,
    inquiries: u32,
    reversals: u32,
    history: Vec<(u64, &'a str)>,
}

fn entry_bytes(entry: &ReversalEntry) -> Vec<u8> {
    encode(&ReversalRecord {
        head: ReversalHeadRecord {
            version: entry.version,
            due_at: entry.due_at.map(millis),
            channel: entry.channel.as_str(),
        },
        attempt: entry.attempt,
        amount_minor: entry.amount.get(),
        currency: entry.currency.number(),
        phase: entry.phase.number(),
        step: entry.step,
        opened_at: millis(entry.opened_at),
        pending: entry.pending,
        reversal_left_at: entry.reversal_left_at.map(millis),
        reversal_ends_at: entry.reversal_ends_at.map(millis),
        reversals_unanswered: entry.reversals_unanswered,
        reversal_refused: entry.reversal_refused,
        reversals_exhausted: entry.reversals_exhausted,
        inquiries: entry.inquiries,
        reversals: entry.reversals,
        history: entry.history.iter().map(|line| (millis(line.at), &*line.what)).collect(),
    })
}

fn read_entry(order: OrderId, bytes: &[u8]) -> Result<ReversalEntry, StoreError> {
    let record: ReversalRecord<'_> = decode(TABLE, bytes)?;
    let line = |(at, what): &(u64, &str)| {
        Ok::<_, StoreError>(HistoryLine { at: FIELDS.time(*at)?, what: (*what).to_owned() })
    };
    Ok(ReversalEntry {
        order,
        attempt: record.attempt,
        version: record.head.version,
        channel: ChannelId::from_stored(record.head.channel),
        amount: FIELDS.amount(record.amount_minor)?,
        currency: FIELDS.currency(record.currency)?,
        phase: FIELDS.code("phase", record.phase)?,
        step: record.step,
        due_at: FIELDS.time_option(record.head.due_at)?,
        opened_at: FIELDS.time(record.opened_at)?,
        pending: record.pending,
        reversal_left_at: FIELDS.time_option(record.reversal_left_at)?,
        reversal_ends_at: FIELDS.time_option(record.reversal_ends_at)?,
        reversals_unanswered: record.reversals_unanswered,
        reversal_refused: record.reversal_refused,
        reversals_exhausted: record.reversals_exhausted,
        inquiries: record.inquiries,
        reversals: record.reversals,
        history: record.history.iter().map(line).collect::<Result<_, _>>()?,
    })
}
