//! Differences, by id. One record of ours, and one line of a statement, belong to one difference.

mod sql;

use serde::{Deserialize, Serialize};

use crate::domain::books::difference::{
    Difference, DifferenceEvent, DifferenceState, Gap, LineSide, RecordSide,
};
use crate::domain::books::reconcile::Item;
use crate::domain::closed_set::StoredNumber;
use crate::domain::ids::{BatchId, ChannelId, ChannelOrderNo, DifferenceId, OrderId};
use crate::domain::time::{BusinessDate, DueWindow, Timestamp};
use crate::domain::write_set::WriteSet;
use crate::store::form::{StoredFields, decode, decode_head, encode, millis, text, wrong};
use crate::store::head::{Entries, Head};
use crate::store::key::{Key, Parts, order_key};
use crate::store::plan::CommitPlan;
use crate::store::row::{
    Following, Table, Versioned, due_rows, get, holder, list_indexed, plan_put,
};
use crate::store::sorted::{SortedRows, StoreResult, onward, page};
use crate::store::sql::read::{after_id, page_limit, parameters};
use crate::store::sql::step::{SqlPlan, Step};
use crate::store::{CommitError, Store, StoreError, StoreRead};

const TABLE: &str = "differences";
const FIELDS: StoredFields = StoredFields { table: TABLE };

const LETTER: u8 = b'E';
const BY_RECORD: u8 = b'e';
const BY_LINE: u8 = b'i';
/// Those that are carried or suspended, by channel.
const OPEN: u8 = b'j';
/// Carried ones by the end of their time.
const DUE: u8 = b'w';

pub(in crate::store) struct Differences;

impl Table for Differences {
    type Row = Difference;

    const NAME: &'static str = TABLE;
    const LETTERS: &'static [(u8, &'static str)] = &[
        (LETTER, "differences"),
        (BY_RECORD, "entries of differences' records"),
        (BY_LINE, "entries of differences' lines"),
        (OPEN, "entries of open differences"),
        (DUE, "entries of differences that are due"),
    ];

    fn key(difference: &Difference) -> Vec<u8> {
        order_key(LETTER, difference.id.chain())
    }

    fn encode(difference: &Difference) -> Vec<u8> {
        difference_bytes(difference)
    }

    fn decode(key: &[u8], bytes: &[u8]) -> StoreResult<Difference> {
        read_difference(DifferenceId::of(Parts::of(key).order()?), bytes)
    }

    fn entries(key: &[u8], bytes: &[u8]) -> StoreResult<Entries> {
        Self::head(key, bytes).map(|head| head.entries)
    }

    fn plan(writes: &WriteSet, plan: &mut CommitPlan) {
        plan_put::<Self>(&writes.differences, plan);
    }

    fn sql_steps() -> Vec<Step> {
        sql::steps()
    }

    fn sql_plan(writes: &WriteSet, plan: &mut SqlPlan) -> Result<(), CommitError> {
        sql::plan(writes, plan)
    }

    const SQL_FOLLOWING: &'static [Following] = &[
        Following {
            table: "difference_records",
            columns: "channel, date, attempt_order, attempt, difference",
            rows: "SELECT channel, record_date, record_order, record_attempt, id \
                   FROM differences WHERE record_date IS NOT NULL",
        },
        Following {
            table: "difference_lines",
            columns: "channel, date, digest, difference",
            rows: "SELECT channel, line_date, line_digest, id FROM differences \
                   WHERE line_date IS NOT NULL",
        },
    ];
}

impl Versioned for Differences {
    fn version(difference: &Difference) -> u32 {
        difference.version
    }

    fn head(key: &[u8], bytes: &[u8]) -> StoreResult<Head> {
        let head = read_head(&decode_head(TABLE, bytes)?)?;
        let channel = &head.channel;
        let mut entries = Entries::default();
        if head.state.is_open() {
            entries.add(Key::of(OPEN).channel(channel).0, key);
        }
        if let (DifferenceState::Carried, Some(due_at)) = (head.state, head.due_at) {
            entries.add(Key::of(DUE).time(due_at).0, key);
        }
        let record = head.record.map(|(date, number)| record_key(channel, date, number));
        let line = head.line.map(|(date, digest)| line_key(channel, date, digest));
        entries.unique.extend(record.into_iter().chain(line));
        Ok(Head { version: head.version, entries })
    }
}

/// What the index entries of a date's records, or of its lines, begin with.
fn date_prefix(index: u8, channel: &ChannelId, date: BusinessDate) -> Vec<u8> {
    Key::of(index).channel(channel).date(date).0
}

fn record_key(channel: &ChannelId, date: BusinessDate, number: ChannelOrderNo) -> Vec<u8> {
    Key(date_prefix(BY_RECORD, channel, date)).channel_order_no(number).0
}

fn line_key(channel: &ChannelId, date: BusinessDate, digest: [u8; 16]) -> Vec<u8> {
    Key(date_prefix(BY_LINE, channel, date)).number(digest).0
}

pub(super) fn difference_of(
    rows: SortedRows<'_>,
    id: DifferenceId,
) -> StoreResult<Option<Difference>> {
    get::<Differences>(rows, &order_key(LETTER, id.chain()))
}

impl dyn Store + '_ {
    pub fn difference(&self, id: DifferenceId) -> StoreRead<'_, Option<Difference>> {
        if let Some(tables) = self.tables() {
            return tables.one::<Differences>("WHERE t.id = $1", parameters![id]);
        }
        self.look(move |rows| difference_of(rows, id))
    }

    /// The difference that has a record of ours.
    pub fn difference_of_record(
        &self,
        channel: ChannelId,
        date: BusinessDate,
        number: ChannelOrderNo,
    ) -> StoreRead<'_, Option<Difference>> {
        if let Some(tables) = self.tables() {
            return tables.one::<Differences>(
                "JOIN difference_records c ON c.difference = t.id WHERE c.channel = $1 \
                 AND c.date = $2 AND c.attempt_order = $3 AND c.attempt = $4",
                parameters![channel, date, number.order, number.attempt],
            );
        }
        self.look(move |rows| holder::<Differences>(rows, &record_key(&channel, date, number)))
    }

    /// The difference that has a line of a statement.
    pub fn difference_of_line(
        &self,
        channel: ChannelId,
        date: BusinessDate,
        digest: [u8; 16],
    ) -> StoreRead<'_, Option<Difference>> {
        if let Some(tables) = self.tables() {
            return tables.one::<Differences>(
                "JOIN difference_lines c ON c.difference = t.id WHERE c.channel = $1 \
                 AND c.date = $2 AND c.digest = $3",
                parameters![channel, date, digest],
            );
        }
        self.look(move |rows| holder::<Differences>(rows, &line_key(&channel, date, digest)))
    }

    /// Differences that have a record of a date, by channel order number.
    pub fn differences_of_records(
        &self,
        channel: ChannelId,
        date: BusinessDate,
        after: Option<ChannelOrderNo>,
        limit: usize,
    ) -> StoreRead<'_, Vec<Difference>> {
        if let Some(tables) = self.tables() {
            let (order, attempt) = after.map_or((after_id(None), 0), |no| (no.order, no.attempt));
            let mut parameters = parameters![channel, date, order, attempt];
            parameters.push(page_limit(limit));
            return tables.list::<Differences>(
                "JOIN difference_records c ON c.difference = t.id WHERE c.channel = $1 \
                 AND c.date = $2 AND (c.attempt_order, c.attempt) > ($3, $4) \
                 ORDER BY c.attempt_order, c.attempt LIMIT $5",
                parameters,
            );
        }
        let last = after.map(|number| record_key(&channel, date, number));
        self.holders(onward(&date_prefix(BY_RECORD, &channel, date), last), limit)
    }

    /// Differences that have a line of a date's statement, by digest.
    pub fn differences_of_lines(
        &self,
        channel: ChannelId,
        date: BusinessDate,
        after: Option<[u8; 16]>,
        limit: usize,
    ) -> StoreRead<'_, Vec<Difference>> {
        if let Some(tables) = self.tables() {
            let after = after.map(|digest| digest.to_vec()).unwrap_or_default();
            let mut parameters = parameters![channel, date, after];
            parameters.push(page_limit(limit));
            return tables.list::<Differences>(
                "JOIN difference_lines c ON c.difference = t.id WHERE c.channel = $1 \
                 AND c.date = $2 AND c.digest > $3 ORDER BY c.digest LIMIT $4",
                parameters,
            );
        }
        let last = after.map(|digest| line_key(&channel, date, digest));
        self.holders(onward(&date_prefix(BY_LINE, &channel, date), last), limit)
    }

    fn holders(&self, bounds: (Vec<u8>, Vec<u8>), limit: usize) -> StoreRead<'_, Vec<Difference>> {
        self.list(move |rows| {
            page(rows, bounds, limit, |entry, _| holder::<Differences>(rows, entry))
        })
    }

    /// Differences of a channel that are carried or suspended, by id.
    pub fn open_differences(
        &self,
        channel: ChannelId,
        after: Option<DifferenceId>,
        limit: usize,
    ) -> StoreRead<'_, Vec<Difference>> {
        if let Some(tables) = self.tables() {
            let mut parameters = parameters![channel, after_id(after.map(DifferenceId::chain))];
            parameters.push(page_limit(limit));
            return tables.list::<Differences>(
                "WHERE t.channel = $1 AND t.id > $2 AND t.state IN ('carried', 'suspended') \
                 ORDER BY t.id LIMIT $3",
                parameters,
            );
        }
        self.list(move |rows| {
            let prefix = Key::of(OPEN).channel(&channel).0;
            let last = after.map(|id| Key(prefix.clone()).order(id.chain()).0);
            list_indexed::<Differences>(rows, onward(&prefix, last), prefix.len(), limit)
        })
    }

    /// Carried differences whose time is over, the longest due first; behind them what is dated
    /// wrong.
    pub fn due_differences(&self, due: DueWindow, limit: usize) -> StoreRead<'_, Vec<Difference>> {
        if let Some(tables) = self.tables() {
            return tables.due::<Differences>("state = 'carried'", due, limit, None);
        }
        self.list(move |rows| due_rows::<Differences>(rows, &[DUE], due, limit))
    }
}

/// What guards and indexes a difference.
struct DifferenceHead {
    version: u32,
    state: DifferenceState,
    channel: ChannelId,
    due_at: Option<Timestamp>,
    line: Option<(BusinessDate, [u8; 16])>,
    record: Option<(BusinessDate, ChannelOrderNo)>,
}

#[derive(Serialize, Deserialize)]
struct DifferenceHeadRecord<'a> {
    version: u32,
    state: u8,
    channel: &'a str,
    due_at: Option<u64>,
    line: Option<LineKeyRecord>,
    record: Option<RecordKeyRecord>,
}

#[derive(Serialize, Deserialize)]
struct LineKeyRecord {
    date: u32,
    digest: [u8; 16],
}

#[derive(Serialize, Deserialize)]
struct RecordKeyRecord {
    date: u32,
    order: u64,
    attempt: u8,
}

/// Begins with the fields of [`DifferenceHeadRecord`].
#[derive(Serialize, Deserialize)]
struct DifferenceRecord<'a> {
    #[serde(borrow)]
    head: DifferenceHeadRecord<'a>,
    class: u8,
    key: u8,
    /// What the head does not say of the line; there exactly if the head has one.
    line: Option<LineRecord<'a>>,
    /// What the head does not say of the record; there exactly if the head has one.
    record: Option<OwnRecord<'a>>,
    found_by: u64,
    changed_by: u64,
    opened_at: u64,
    held: Vec<GapRecord>,
    accounting_sequence: u16,
    remedy: Option<(u8, &'a str)>,
    history: Vec<(u64, &'a str)>,
}

#[derive(Serialize, Deserialize)]
struct LineRecord<'a> {
    line: u32,
    order_no: &'a str,
    reference: &'a str,
    item: Option<ItemRecord>,
    unreadable: Option<(&'a str, &'a str)>,
}

#[derive(Serialize, Deserialize)]
struct OwnRecord<'a> {
    #[serde(borrow)]
    reference: Option<&'a str>,
    item: ItemRecord,
}

#[derive(Serialize, Deserialize)]
struct GapRecord {
    currency: u8,
    principal_minor: i64,
    fee_minor: i64,
}

/// What is compared of a line or a record.
#[derive(Serialize, Deserialize)]
struct ItemRecord {
    movement: u8,
    amount_minor: i64,
    fee_minor: Option<i64>,
    currency: u8,
    status: u8,
    date: Option<u32>,
}

impl ItemRecord {
    fn of(item: &Item) -> Self {
        Self {
            movement: item.movement.number(),
            amount_minor: item.amount_minor,
            fee_minor: item.fee_minor,
            currency: item.currency.number(),
            status: item.status.number(),
            date: item.date.map(|date| date.yyyymmdd()),
        }
    }

    fn read(&self, fields: StoredFields) -> Result<Item, StoreError> {
        Ok(Item {
            movement: fields.code("movement", self.movement)?,
            amount_minor: self.amount_minor,
            fee_minor: self.fee_minor,
            currency: fields.currency(self.currency)?,
            status: fields.code("status", self.status)?,
            date: self.date.map(|date| fields.date(date)).transpose()?,
        })
    }
}

fn head_record(difference: &Difference) -> DifferenceHeadRecord<'_> {
    DifferenceHeadRecord {
        version: difference.version,
        state: difference.state.number(),
        channel: difference.channel.as_str(),
        due_at: difference.due_at.map(millis),
        line: difference
            .line
            .as_ref()
            .map(|line| LineKeyRecord { date: line.date.yyyymmdd(), digest: line.digest }),
        record: difference.record.as_ref().map(|record| RecordKeyRecord {
            date: record.date.yyyymmdd(),
            order: record.channel_order_no.order.as_u64(),
            attempt: record.channel_order_no.attempt,
        }),
    }
}

fn difference_bytes(difference: &Difference) -> Vec<u8> {
    encode(&DifferenceRecord {
        head: head_record(difference),
        class: difference.class.number(),
        key: difference.key.number(),
        line: difference.line.as_ref().map(|line| LineRecord {
            line: line.line,
            order_no: &line.order_no,
            reference: &line.reference,
            item: line.item.as_ref().map(ItemRecord::of),
            unreadable: line.unreadable.as_ref().map(|(why, text)| (why.as_str(), text.as_str())),
        }),
        record: difference.record.as_ref().map(|record| OwnRecord {
            reference: record.reference.as_deref(),
            item: ItemRecord::of(&record.item),
        }),
        found_by: difference.found_by.as_u64(),
        changed_by: difference.changed_by.as_u64(),
        opened_at: millis(difference.opened_at),
        held: difference
            .held
            .iter()
            .map(|gap| GapRecord {
                currency: gap.currency.number(),
                principal_minor: gap.principal_minor,
                fee_minor: gap.fee_minor,
            })
            .collect(),
        accounting_sequence: difference.accounting_sequence,
        remedy: difference.remedy.as_ref().map(|(remedy, why)| (remedy.number(), why.as_str())),
        history: difference.history.iter().map(|event| (millis(event.at), &*event.what)).collect(),
    })
}

fn read_head(head: &DifferenceHeadRecord<'_>) -> Result<DifferenceHead, StoreError> {
    let line = |line: &LineKeyRecord| Ok::<_, StoreError>((FIELDS.date(line.date)?, line.digest));
    let record = |record: &RecordKeyRecord| {
        let order = OrderId::from_u64(record.order);
        let number = ChannelOrderNo { order, attempt: record.attempt };
        Ok::<_, StoreError>((FIELDS.date(record.date)?, number))
    };
    Ok(DifferenceHead {
        version: head.version,
        state: FIELDS.code("state", head.state)?,
        channel: ChannelId::from_stored(head.channel),
        due_at: FIELDS.time_option(head.due_at)?,
        line: head.line.as_ref().map(line).transpose()?,
        record: head.record.as_ref().map(record).transpose()?,
    })
}

fn read_difference(id: DifferenceId, bytes: &[u8]) -> Result<Difference, StoreError> {
    let record: DifferenceRecord<'_> = decode(TABLE, bytes)?;
    let head = read_head(&record.head)?;
    let gap = |gap: &GapRecord| {
        let GapRecord { currency, principal_minor, fee_minor } = *gap;
        let currency = FIELDS.currency(currency)?;
        Ok::<_, StoreError>(Gap { currency, principal_minor, fee_minor })
    };
    let event = |(at, what): &(u64, &str)| {
        Ok::<_, StoreError>(DifferenceEvent { at: FIELDS.time(*at)?, what: (*what).to_owned() })
    };
    let remedy = |(remedy, why): (u8, &str)| {
        Ok::<_, StoreError>((FIELDS.code("remedy", remedy)?, why.to_owned()))
    };
    Ok(Difference {
        id,
        version: head.version,
        channel: head.channel,
        class: FIELDS.code("class", record.class)?,
        key: FIELDS.code("key", record.key)?,
        line: read_line(head.line, record.line.as_ref())?,
        record: read_own(head.record, record.record.as_ref())?,
        state: head.state,
        found_by: BatchId::from_u64(record.found_by),
        changed_by: BatchId::from_u64(record.changed_by),
        opened_at: FIELDS.time(record.opened_at)?,
        due_at: head.due_at,
        held: record.held.iter().map(gap).collect::<Result<_, _>>()?,
        accounting_sequence: record.accounting_sequence,
        remedy: record.remedy.map(remedy).transpose()?,
        history: record.history.iter().map(event).collect::<Result<_, _>>()?,
    })
}

fn read_line(
    key: Option<(BusinessDate, [u8; 16])>,
    record: Option<&LineRecord<'_>>,
) -> Result<Option<LineSide>, StoreError> {
    let ((date, digest), record) = match (key, record) {
        (Some(key), Some(record)) => (key, record),
        (None, None) => return Ok(None),
        (Some(_), None) | (None, Some(_)) => return Err(wrong(TABLE, "line")),
    };
    Ok(Some(LineSide {
        date,
        digest,
        line: record.line,
        order_no: record.order_no.to_owned(),
        reference: record.reference.to_owned(),
        item: record.item.as_ref().map(|item| item.read(FIELDS)).transpose()?,
        unreadable: record.unreadable.map(|(why, text)| (why.to_owned(), text.to_owned())),
    }))
}

fn read_own(
    key: Option<(BusinessDate, ChannelOrderNo)>,
    record: Option<&OwnRecord<'_>>,
) -> Result<Option<RecordSide>, StoreError> {
    let ((date, channel_order_no), record) = match (key, record) {
        (Some(key), Some(record)) => (key, record),
        (None, None) => return Ok(None),
        (Some(_), None) | (None, Some(_)) => return Err(wrong(TABLE, "record")),
    };
    Ok(Some(RecordSide {
        date,
        channel_order_no,
        reference: text(record.reference),
        item: record.item.read(FIELDS)?,
    }))
}
