//! Accounting requests, by chain and place in it.

use serde::{Deserialize, Serialize};

use crate::domain::books::accounting::{
    AccountingRequest, Delivery, DeliveryStatus, Posting, PostingSide, RequestId, SourceDocument,
};
use crate::domain::closed_set::StoredNumber;
use crate::domain::ids::{
    ChannelId, ChannelOrderNo, DifferenceId, MerchantId, OrderId, SettlementId,
};
use crate::domain::time::DueWindow;
use crate::domain::write_set::WriteSet;
use crate::store::form::{StoredFields, decode, encode, millis, text};
use crate::store::head::{Entries, Head};
use crate::store::key::{Key, Parts};
use crate::store::plan::CommitPlan;
use crate::store::row::{Table, Versioned, due_rows, get, plan_put};
use crate::store::sorted::StoreResult;
use crate::store::sql::read::parameters;
use crate::store::sql::step::{SqlPlan, Step, VersionChange, versioned};
use crate::store::sql::table::{SqlFields, SqlTable, sql_columns};
use crate::store::sql::value::{Named, SqlJson};
use crate::store::{Backlog, CommitError, Store, StoreError, StoreRead};

use super::delivery::{
    Deliveries, DeliveryRecord, backlog, delivery_of, head_of, of_status, sql_backlog,
    sql_of_status,
};

const ACCOUNTING: StoredFields = StoredFields { table: "accounting_requests" };
const LETTER: u8 = b'A';
const DUE: u8 = b'a';
const PARKED: u8 = b'p';

pub(in crate::store) struct AccountingRequests;

impl Table for AccountingRequests {
    type Row = AccountingRequest;

    const NAME: &'static str = ACCOUNTING.table;
    const LETTERS: &'static [(u8, &'static str)] = &[
        (LETTER, "accounting requests"),
        (DUE, "entries of accounting requests that are due"),
        (PARKED, "entries of accounting requests that are parked"),
    ];

    fn key(request: &AccountingRequest) -> Vec<u8> {
        key_of(request.id)
    }

    fn encode(request: &AccountingRequest) -> Vec<u8> {
        accounting_bytes(request)
    }

    fn decode(key: &[u8], bytes: &[u8]) -> StoreResult<AccountingRequest> {
        let mut parts = Parts::of(key);
        let (chain, sequence) = (parts.order()?, parts.number().map(u16::from_be_bytes)?);
        read_accounting(RequestId { chain, sequence }, bytes)
    }

    fn entries(key: &[u8], bytes: &[u8]) -> StoreResult<Entries> {
        Self::head(key, bytes).map(|head| head.entries)
    }

    fn plan(writes: &WriteSet, plan: &mut CommitPlan) {
        plan_put::<Self>(&writes.accounting, plan);
    }

    fn sql_steps() -> Vec<Step> {
        versioned::<Self>().into()
    }

    fn sql_plan(writes: &WriteSet, plan: &mut SqlPlan) -> Result<(), CommitError> {
        let rows =
            writes.accounting.iter().map(|row| (row.delivery.version, VersionChange::Put(row)));
        plan.replace::<Self>(0, rows)
    }
}

impl Versioned for AccountingRequests {
    fn version(request: &AccountingRequest) -> u32 {
        request.delivery.version
    }

    fn head(key: &[u8], bytes: &[u8]) -> StoreResult<Head> {
        head_of::<Self>(key, bytes)
    }
}

impl Deliveries for AccountingRequests {
    const DUE: u8 = DUE;
    const PARKED: u8 = PARKED;

    fn delivery(request: &AccountingRequest) -> &Delivery {
        &request.delivery
    }
}

fn key_of(id: RequestId) -> Vec<u8> {
    Key::of(LETTER).order(id.chain).number(id.sequence.to_be_bytes()).0
}

impl SqlTable for AccountingRequests {
    type Written<'a> = &'a AccountingRequest;
    type Row = AccountingRequest;

    sql_columns! {
        request: "accounting_requests";
        key { chain: request.id.chain, sequence: request.id.sequence, }
        fixed {
            event: request.event,
            voucher: request.voucher,
            channel: request.channel.as_str(),
            order_id: SourceColumns::of(request).order,
            attempt_order: SourceColumns::of(request).number.map(|number| number.order),
            attempt: SourceColumns::of(request).number.map(|number| number.attempt),
            channel_reference: SourceColumns::of(request).channel_reference,
            merchant_id: SourceColumns::of(request).merchant_id,
            difference: SourceColumns::of(request).difference,
            settlement: SourceColumns::of(request).settlement,
            bank_reference: SourceColumns::of(request).bank_reference,
            currency: request.currency,
            entries: entries(request),
            debit_minor: sum(request, PostingSide::Debit),
            credit_minor: sum(request, PostingSide::Credit),
            business_date: request.business_date,
            created_at: request.created_at,
        }
        changing {
            version: request.delivery.version,
            status: request.delivery.status,
            tries: request.delivery.tries,
            due_at: request.delivery.due_at,
            acknowledged_at: request.delivery.acknowledged_at,
            last_error: request.delivery.last_error.as_deref(),
            unanswered: request.delivery.unanswered,
        }
    }

    fn read(row: &SqlFields<'_>) -> StoreResult<AccountingRequest> {
        let SqlJson(entries): SqlJson<Vec<(Named<PostingSide>, String, i64)>> =
            row.get("entries")?;
        let posting = |(Named(side), account, amount_minor)| {
            let amount_minor = ACCOUNTING.signed(amount_minor)?;
            Ok(Posting { side, account, amount_minor })
        };
        Ok(AccountingRequest {
            id: RequestId { chain: row.get("chain")?, sequence: row.get("sequence")? },
            event: row.get("event")?,
            voucher: row.get("voucher")?,
            channel: row.get("channel")?,
            source: source_of(row)?,
            currency: row.get("currency")?,
            postings: entries.into_iter().map(posting).collect::<StoreResult<_>>()?,
            business_date: row.get("business_date")?,
            created_at: row.get("created_at")?,
            delivery: delivery_of(row)?,
        })
    }
}

/// A request's source document as columns: those of its kind, the others are empty.
#[derive(Default)]
struct SourceColumns<'a> {
    order: Option<OrderId>,
    number: Option<ChannelOrderNo>,
    channel_reference: Option<&'a str>,
    merchant_id: Option<&'a str>,
    difference: Option<DifferenceId>,
    settlement: Option<SettlementId>,
    bank_reference: Option<&'a str>,
}

impl<'a> SourceColumns<'a> {
    fn of(request: &'a AccountingRequest) -> Self {
        let empty = Self::default();
        match &request.source {
            SourceDocument::Order { order, channel_order_no, channel_reference, merchant_id } => {
                Self {
                    order: Some(*order),
                    number: Some(*channel_order_no),
                    channel_reference: channel_reference.as_deref(),
                    merchant_id: Some(merchant_id.as_str()),
                    ..empty
                }
            }
            SourceDocument::Difference { difference, merchant_id } => {
                let merchant_id = merchant_id.as_ref().map(MerchantId::as_str);
                Self { difference: Some(*difference), merchant_id, ..empty }
            }
            SourceDocument::Settlement { settlement, bank_reference } => {
                let bank_reference = Some(bank_reference.as_str());
                Self { settlement: Some(*settlement), bank_reference, ..empty }
            }
        }
    }
}

fn source_of(row: &SqlFields<'_>) -> StoreResult<SourceDocument> {
    if let Some(order) = row.get("order_id")? {
        let number =
            ChannelOrderNo { order: row.get("attempt_order")?, attempt: row.get("attempt")? };
        return Ok(SourceDocument::Order {
            order,
            channel_order_no: number,
            channel_reference: row.get("channel_reference")?,
            merchant_id: row.get("merchant_id")?,
        });
    }
    if let Some(difference) = row.get("difference")? {
        return Ok(SourceDocument::Difference { difference, merchant_id: row.get("merchant_id")? });
    }
    let settlement = row.get("settlement")?;
    Ok(SourceDocument::Settlement { settlement, bank_reference: row.get("bank_reference")? })
}

/// The postings, each as side, account and amount.
fn entries(request: &AccountingRequest) -> SqlJson<Vec<(&str, &str, i64)>> {
    let postings = request.postings.iter();
    SqlJson(postings.map(|one| (one.side.name(), one.account.as_str(), one.amount_minor)).collect())
}

fn sum(request: &AccountingRequest, side: PostingSide) -> i64 {
    let postings = request.postings.iter().filter(|posting| posting.side == side);
    postings.fold(0, |sum, posting| sum.saturating_add(posting.amount_minor))
}

impl dyn Store + '_ {
    pub fn accounting_request(&self, id: RequestId) -> StoreRead<'_, Option<AccountingRequest>> {
        if let Some(tables) = self.tables() {
            return tables.one::<AccountingRequests>(
                "WHERE t.chain = $1 AND t.sequence = $2",
                parameters![id.chain, id.sequence],
            );
        }
        self.look(move |rows| get::<AccountingRequests>(rows, &key_of(id)))
    }

    /// Accounting requests by id, of one status or of all.
    pub fn accounting_requests(
        &self,
        status: Option<DeliveryStatus>,
        after: Option<RequestId>,
        limit: usize,
    ) -> StoreRead<'_, Vec<AccountingRequest>> {
        if let Some(tables) = self.tables() {
            return sql_of_status::<AccountingRequests>(
                tables,
                "(t.chain, t.sequence) > ($1, $2)",
                "t.chain, t.sequence",
                after.map_or_else(
                    || parameters![0_i64, 0_i32],
                    |id| parameters![id.chain, id.sequence],
                ),
                status,
                limit,
            );
        }
        self.list(move |rows| {
            of_status::<AccountingRequests>(rows, status, after.map(key_of), limit)
        })
    }

    /// How many accounting requests are owed, and how many are parked. No row is read.
    pub fn accounting_backlog(&self) -> StoreRead<'_, Backlog> {
        if let Some(tables) = self.tables() {
            return sql_backlog::<AccountingRequests>(tables);
        }
        self.list(backlog::<AccountingRequests>)
    }

    /// Owed accounting requests that are due, the longest due first; behind them what is dated
    /// wrong.
    pub fn due_accounting(
        &self,
        due: DueWindow,
        limit: usize,
    ) -> StoreRead<'_, Vec<AccountingRequest>> {
        if let Some(tables) = self.tables() {
            return tables.due::<AccountingRequests>("status = 'owed'", due, limit, None);
        }
        self.list(move |rows| due_rows::<AccountingRequests>(rows, &[DUE], due, limit))
    }
}

#[derive(Serialize, Deserialize)]
struct AccountingRecord<'a> {
    #[serde(borrow)]
    delivery: DeliveryRecord<'a>,
    event: u8,
    voucher: u8,
    channel: &'a str,
    source: SourceRecord<'a>,
    currency: u8,
    entries: Vec<PostingRecord<'a>>,
    business_date: u32,
    created_at: u64,
}

/// `postcard` numbers the variants by their place: new ones are added at the end.
#[derive(Serialize, Deserialize)]
enum SourceRecord<'a> {
    Order {
        /// `None` where it is the chain's own first order, which the key names.
        order: Option<u64>,
        /// Whose attempt it is; `None` where it is the chain's own first order.
        attempt_order: Option<u64>,
        attempt: u8,
        channel_reference: Option<&'a str>,
        merchant_id: &'a str,
    },
    Difference {
        difference: u64,
        merchant_id: Option<&'a str>,
    },
    Settlement {
        settlement: u64,
        bank_reference: &'a str,
    },
}

#[derive(Serialize, Deserialize)]
struct PostingRecord<'a> {
    side: u8,
    account: &'a str,
    amount_minor: i64,
}

fn accounting_bytes(request: &AccountingRequest) -> Vec<u8> {
    encode(&AccountingRecord {
        delivery: DeliveryRecord::of(&request.delivery),
        event: request.event.number(),
        voucher: request.voucher.number(),
        channel: request.channel.as_str(),
        source: source_record(request.id.chain, &request.source),
        currency: request.currency.number(),
        entries: request
            .postings
            .iter()
            .map(|entry| PostingRecord {
                side: entry.side.number(),
                account: &entry.account,
                amount_minor: entry.amount_minor,
            })
            .collect(),
        business_date: request.business_date.yyyymmdd(),
        created_at: millis(request.created_at),
    })
}

fn source_record(chain: OrderId, source: &SourceDocument) -> SourceRecord<'_> {
    let other = |order: OrderId| (order != chain).then(|| order.as_u64());
    match source {
        SourceDocument::Order { order, channel_order_no, channel_reference, merchant_id } => {
            SourceRecord::Order {
                order: other(*order),
                attempt_order: other(channel_order_no.order),
                attempt: channel_order_no.attempt,
                channel_reference: channel_reference.as_deref(),
                merchant_id: merchant_id.as_str(),
            }
        }
        SourceDocument::Difference { difference, merchant_id } => SourceRecord::Difference {
            difference: difference.as_u64(),
            merchant_id: merchant_id.as_ref().map(MerchantId::as_str),
        },
        SourceDocument::Settlement { settlement, bank_reference } => {
            SourceRecord::Settlement { settlement: settlement.as_u64(), bank_reference }
        }
    }
}

fn read_source(chain: OrderId, record: &SourceRecord<'_>) -> SourceDocument {
    let order_of = |stored: Option<u64>| stored.map_or(chain, OrderId::from_u64);
    match *record {
        SourceRecord::Order { order, attempt_order, attempt, channel_reference, merchant_id } => {
            SourceDocument::Order {
                order: order_of(order),
                channel_order_no: ChannelOrderNo { order: order_of(attempt_order), attempt },
                channel_reference: text(channel_reference),
                merchant_id: MerchantId::from_stored(merchant_id),
            }
        }
        SourceRecord::Difference { difference, merchant_id } => SourceDocument::Difference {
            difference: DifferenceId::from_u64(difference),
            merchant_id: merchant_id.map(MerchantId::from_stored),
        },
        SourceRecord::Settlement { settlement, bank_reference } => SourceDocument::Settlement {
            settlement: SettlementId::from_u64(settlement),
            bank_reference: bank_reference.to_owned(),
        },
    }
}

fn read_accounting(id: RequestId, bytes: &[u8]) -> Result<AccountingRequest, StoreError> {
    let record: AccountingRecord<'_> = decode(ACCOUNTING.table, bytes)?;
    let entry = |stored: &PostingRecord<'_>| {
        Ok::<_, StoreError>(Posting {
            side: ACCOUNTING.code("side", stored.side)?,
            account: stored.account.to_owned(),
            amount_minor: ACCOUNTING.signed(stored.amount_minor)?,
        })
    };
    Ok(AccountingRequest {
        id,
        event: ACCOUNTING.code("event", record.event)?,
        voucher: ACCOUNTING.code("voucher", record.voucher)?,
        channel: ChannelId::from_stored(record.channel),
        source: read_source(id.chain, &record.source),
        currency: ACCOUNTING.currency(record.currency)?,
        postings: record.entries.iter().map(entry).collect::<Result<_, _>>()?,
        business_date: ACCOUNTING.date(record.business_date)?,
        created_at: ACCOUNTING.time(record.created_at)?,
        delivery: record.delivery.read(ACCOUNTING)?,
    })
}
