//! Settlements of channels, by id. A receipt of the bank's belongs to one settlement.

use serde::{Deserialize, Serialize};

use crate::domain::books::settlement::{BankReceipt, ChannelSettlement, SettledAmounts};
use crate::domain::closed_set::StoredNumber;
use crate::domain::ids::{ChannelId, SettlementId};
use crate::domain::write_set::WriteSet;
use crate::store::form::{StoredFields, decode, decode_head, encode, millis};
use crate::store::head::{Entries, Head};
use crate::store::key::{Key, Parts, order_key};
use crate::store::plan::CommitPlan;
use crate::store::row::{Following, Table, Versioned, get, holder, list_indexed, plan_put};
use crate::store::sorted::{StoreResult, onward};
use crate::store::sql::read::{after_id, page_limit, parameters};
use crate::store::sql::step::{Answer, Field, SqlPlan, Step, VersionChange, latest, versioned};
use crate::store::sql::table::{SqlFields, SqlTable, sql_columns};
use crate::store::sql::value::{JsonDate, JsonMoment, SqlJson, SqlType};
use crate::store::{CommitError, Store, StoreError, StoreRead};

const SETTLEMENTS: StoredFields = StoredFields { table: "settlements" };
const LETTER: u8 = b'M';
const OF_CHANNEL: u8 = b'm';
/// By the bank's number of a receipt.
const RECEIPT: u8 = b'q';

pub(in crate::store) struct Settlements;

impl Table for Settlements {
    type Row = ChannelSettlement;

    const NAME: &'static str = SETTLEMENTS.table;
    const LETTERS: &'static [(u8, &'static str)] = &[
        (LETTER, "settlements"),
        (OF_CHANNEL, "entries of channels' settlements"),
        (RECEIPT, "entries of receipts"),
    ];

    fn key(settlement: &ChannelSettlement) -> Vec<u8> {
        order_key(LETTER, settlement.id.chain())
    }

    fn encode(settlement: &ChannelSettlement) -> Vec<u8> {
        settlement_bytes(settlement)
    }

    fn decode(key: &[u8], bytes: &[u8]) -> StoreResult<ChannelSettlement> {
        read_settlement(SettlementId::of(Parts::of(key).order()?), bytes)
    }

    fn entries(key: &[u8], bytes: &[u8]) -> StoreResult<Entries> {
        Self::head(key, bytes).map(|head| head.entries)
    }

    fn plan(writes: &WriteSet, plan: &mut CommitPlan) {
        plan_put::<Self>(&writes.settlements, plan);
    }

    fn sql_steps() -> Vec<Step> {
        let gone = "DELETE FROM receipts t USING {rows} WHERE t.settlement = u.settlement";
        let taken = "INSERT INTO receipts (channel, bank_reference, settlement) \
                     SELECT * FROM {rows} ON CONFLICT DO NOTHING RETURNING channel, bank_reference";
        let receipt = [
            ("channel", SqlType::Text),
            ("bank_reference", SqlType::Text),
            ("settlement", SqlType::Bigint),
        ];
        let mut steps = Vec::from(versioned::<Self>());
        steps.push(Step::own(gone, &receipt[2..], Answer::Nothing));
        steps.push(Step::own(taken, &receipt, Answer::Held));
        steps
    }

    fn sql_plan(writes: &WriteSet, plan: &mut SqlPlan) -> Result<(), CommitError> {
        let rows = writes.settlements.iter().map(|row| (row.version, VersionChange::Put(row)));
        plan.replace::<Self>(0, rows)?;
        for (row, is_new) in latest(&writes.settlements, |row| row.id, |row| row.version) {
            if !is_new {
                plan.add(GIVEN_UP, &[&row.id], &[]);
            }
            for receipt in &row.receipts {
                let key: [&dyn Field; 2] = [&row.channel.as_str(), &receipt.bank_reference];
                plan.claim(TAKEN, "receipts", &key, &row.id)?;
            }
        }
        Ok(())
    }

    const SQL_FOLLOWING: &'static [Following] = &[Following {
        table: "receipts",
        columns: "channel, bank_reference, settlement",
        rows: "SELECT s.channel, r.receipt->>0, s.id \
               FROM settlements s, json_array_elements(s.receipts) AS r(receipt)",
    }];
}

impl Versioned for Settlements {
    fn version(settlement: &ChannelSettlement) -> u32 {
        settlement.version
    }

    fn head(key: &[u8], bytes: &[u8]) -> StoreResult<Head> {
        let head: SettlementHeadRecord<'_> = decode_head(SETTLEMENTS.table, bytes)?;
        let mut entries = Entries::default();
        entries.add(Key::of(OF_CHANNEL).text(head.channel).0, key);
        let receipts = head.receipts.iter();
        entries.unique.extend(receipts.map(|one| receipt_key(head.channel, one.bank_reference)));
        Ok(Head { version: head.version, entries })
    }
}

fn receipt_key(channel: &str, bank_reference: &str) -> Vec<u8> {
    Key::of(RECEIPT).text(channel).text(bank_reference).0
}

const GIVEN_UP: usize = 3;
const TAKEN: usize = 4;

impl SqlTable for Settlements {
    type Written<'a> = &'a ChannelSettlement;
    type Row = ChannelSettlement;

    sql_columns! {
        row: "settlements";
        key { id: row.id, }
        changing {
            version: row.version,
            channel: row.channel.as_str(),
            from_date: row.from,
            to_date: row.to,
            currency: row.currency,
            receipts: receipts(row),
            principal_minor: row.expected.principal_minor,
            fee_minor: row.expected.fee_minor,
            net_minor: row.expected.net_minor,
            state: row.state,
            reasons: SqlJson(&row.reasons),
            opened_at: row.opened_at,
            agreed_at: row.agreed_at,
            accounting_sequence: row.accounting_sequence,
        }
    }

    fn read(row: &SqlFields<'_>) -> StoreResult<ChannelSettlement> {
        let SqlJson(receipts): SqlJson<Vec<SqlReceipt<String>>> = row.get("receipts")?;
        let receipt = |(bank_reference, received_minor, received_on, at, by)| {
            let (JsonDate(received_on), JsonMoment(at)) = (received_on, at);
            BankReceipt { bank_reference, received_minor, received_on, at, by }
        };
        let SqlJson(reasons) = row.get("reasons")?;
        Ok(ChannelSettlement {
            id: row.get("id")?,
            version: row.get("version")?,
            channel: row.get("channel")?,
            from: row.get("from_date")?,
            to: row.get("to_date")?,
            currency: row.get("currency")?,
            receipts: receipts.into_iter().map(receipt).collect(),
            expected: settled_amounts(row)?,
            state: row.get("state")?,
            reasons,
            opened_at: row.get("opened_at")?,
            agreed_at: row.get("agreed_at")?,
            accounting_sequence: row.get("accounting_sequence")?,
        })
    }
}

/// The bank's reference, the amount, the day, the moment it was told, by whom.
type SqlReceipt<T> = (T, i64, JsonDate, JsonMoment, T);

fn receipts(row: &ChannelSettlement) -> SqlJson<Vec<SqlReceipt<&str>>> {
    let receipts = row.receipts.iter().map(|one| {
        let (received_on, at) = (JsonDate(one.received_on), JsonMoment(one.at));
        (one.bank_reference.as_str(), one.received_minor, received_on, at, one.by.as_str())
    });
    SqlJson(receipts.collect())
}

/// Money of its three columns.
pub(super) fn settled_amounts(row: &SqlFields<'_>) -> StoreResult<SettledAmounts> {
    Ok(SettledAmounts {
        principal_minor: row.get("principal_minor")?,
        fee_minor: row.get("fee_minor")?,
        net_minor: row.get("net_minor")?,
    })
}

impl dyn Store + '_ {
    pub fn settlement(&self, id: SettlementId) -> StoreRead<'_, Option<ChannelSettlement>> {
        if let Some(tables) = self.tables() {
            return tables.one::<Settlements>("WHERE t.id = $1", parameters![id]);
        }
        self.look(move |rows| get::<Settlements>(rows, &order_key(LETTER, id.chain())))
    }

    /// A channel's settlements, by id.
    pub fn settlements(
        &self,
        channel: ChannelId,
        after: Option<SettlementId>,
        limit: usize,
    ) -> StoreRead<'_, Vec<ChannelSettlement>> {
        if let Some(tables) = self.tables() {
            let mut parameters = parameters![channel, after_id(after.map(SettlementId::chain))];
            parameters.push(page_limit(limit));
            return tables.list::<Settlements>(
                "WHERE t.channel = $1 AND t.id > $2 ORDER BY t.id LIMIT $3",
                parameters,
            );
        }
        self.list(move |rows| {
            let prefix = Key::of(OF_CHANNEL).channel(&channel).0;
            let last = after.map(|id| Key(prefix.clone()).order(id.chain()).0);
            list_indexed::<Settlements>(rows, onward(&prefix, last), prefix.len(), limit)
        })
    }

    /// The settlement that has a receipt of the bank's.
    pub fn settlement_by_receipt(
        &self,
        channel: ChannelId,
        bank_reference: String,
    ) -> StoreRead<'_, Option<ChannelSettlement>> {
        if let Some(tables) = self.tables() {
            return tables.one::<Settlements>(
                "JOIN receipts c ON c.settlement = t.id \
                 WHERE c.channel = $1 AND c.bank_reference = $2",
                parameters![channel, bank_reference],
            );
        }
        let entry = receipt_key(channel.as_str(), &bank_reference);
        self.look(move |rows| holder::<Settlements>(rows, &entry))
    }
}

#[derive(Serialize, Deserialize)]
struct SettlementHeadRecord<'a> {
    version: u32,
    channel: &'a str,
    receipts: Vec<ReceiptRecord<'a>>,
}

#[derive(Serialize, Deserialize)]
struct ReceiptRecord<'a> {
    bank_reference: &'a str,
    received_minor: i64,
    received_on: u32,
    at: u64,
    by: &'a str,
}

/// Begins with the fields of [`SettlementHeadRecord`].
#[derive(Serialize, Deserialize)]
struct SettlementRecord<'a> {
    #[serde(borrow)]
    head: SettlementHeadRecord<'a>,
    from: u32,
    to: u32,
    currency: u8,
    expected: SettledRecord,
    state: u8,
    reasons: Vec<&'a str>,
    opened_at: u64,
    agreed_at: Option<u64>,
    accounting_sequence: u16,
}

#[derive(Serialize, Deserialize)]
pub(super) struct SettledRecord {
    principal_minor: i64,
    fee_minor: i64,
    net_minor: i64,
}

impl SettledRecord {
    pub(super) const fn of(settled: &SettledAmounts) -> Self {
        let SettledAmounts { principal_minor, fee_minor, net_minor } = *settled;
        Self { principal_minor, fee_minor, net_minor }
    }

    pub(super) const fn read(&self) -> SettledAmounts {
        let Self { principal_minor, fee_minor, net_minor } = *self;
        SettledAmounts { principal_minor, fee_minor, net_minor }
    }
}

fn settlement_bytes(settlement: &ChannelSettlement) -> Vec<u8> {
    let receipts = settlement.receipts.iter().map(|receipt| ReceiptRecord {
        bank_reference: &receipt.bank_reference,
        received_minor: receipt.received_minor,
        received_on: receipt.received_on.yyyymmdd(),
        at: millis(receipt.at),
        by: &receipt.by,
    });
    encode(&SettlementRecord {
        head: SettlementHeadRecord {
            version: settlement.version,
            channel: settlement.channel.as_str(),
            receipts: receipts.collect(),
        },
        from: settlement.from.yyyymmdd(),
        to: settlement.to.yyyymmdd(),
        currency: settlement.currency.number(),
        expected: SettledRecord::of(&settlement.expected),
        state: settlement.state.number(),
        reasons: settlement.reasons.iter().map(String::as_str).collect(),
        opened_at: millis(settlement.opened_at),
        agreed_at: settlement.agreed_at.map(millis),
        accounting_sequence: settlement.accounting_sequence,
    })
}

fn read_settlement(id: SettlementId, bytes: &[u8]) -> Result<ChannelSettlement, StoreError> {
    let fields = SETTLEMENTS;
    let record: SettlementRecord<'_> = decode(fields.table, bytes)?;
    let receipt = |receipt: &ReceiptRecord<'_>| {
        Ok::<_, StoreError>(BankReceipt {
            bank_reference: receipt.bank_reference.to_owned(),
            received_minor: receipt.received_minor,
            received_on: fields.date(receipt.received_on)?,
            at: fields.time(receipt.at)?,
            by: receipt.by.to_owned(),
        })
    };
    Ok(ChannelSettlement {
        id,
        version: record.head.version,
        channel: ChannelId::from_stored(record.head.channel),
        from: fields.date(record.from)?,
        to: fields.date(record.to)?,
        currency: fields.currency(record.currency)?,
        receipts: record.head.receipts.iter().map(receipt).collect::<Result<_, _>>()?,
        expected: record.expected.read(),
        state: fields.code("state", record.state)?,
        reasons: record.reasons.into_iter().map(str::to_owned).collect(),
        opened_at: fields.time(record.opened_at)?,
        agreed_at: fields.time_option(record.agreed_at)?,
        accounting_sequence: record.accounting_sequence,
    })
}
