//! Requests for a second person, by id. Of those that wait, one is about each thing.

use serde::{Deserialize, Serialize};

use crate::domain::approval::{
    ApprovalDecision, ApprovalRequest, HeldAction, HeldBinTable, HeldRefund, HeldRemedy,
    HeldResolve, OpenEnd, OperatorKey,
};
use crate::domain::bin::StatedDate;
use crate::domain::books::difference::Remedy;
use crate::domain::closed_set::StoredNumber;
use crate::domain::ids::{
    ApprovalId, CallerId, CallerOrderId, ChannelId, DifferenceId, MerchantId, OrderId,
};
use crate::domain::money::Currency;
use crate::domain::reversal::Resolution;
use crate::domain::write_set::WriteSet;
use crate::store::form::{StoredFields, decode, decode_head, encode, millis, text, wrong};
use crate::store::head::{Entries, Head};
use crate::store::key::{Key, Parts, bounds, order_key};
use crate::store::plan::CommitPlan;
use crate::store::row::{Table, Versioned, get, holder, list_indexed, plan_put};
use crate::store::sorted::{Scan, SortedRows, StoreResult, onward};
use crate::store::sql::read::{after_id, page_limit, parameter, parameters};
use crate::store::sql::step::{SqlPlan, Step, VersionChange, versioned};
use crate::store::sql::table::{SqlFields, SqlTable, sql_columns};
use crate::store::sql::value::{Named, SqlJson};
use crate::store::{CommitError, PAGE_MAX, Store, StoreError, StoreRead};

const APPROVALS: StoredFields = StoredFields { table: "approvals" };
const LETTER: u8 = b'G';
/// Those that wait.
const WAITING: u8 = b'h';
/// What those that wait are about.
const SUBJECT: u8 = b'l';

pub(in crate::store) struct Approvals;

impl Table for Approvals {
    type Row = ApprovalRequest;

    const NAME: &'static str = APPROVALS.table;
    const LETTERS: &'static [(u8, &'static str)] = &[
        (LETTER, "requests for a second person"),
        (WAITING, "entries of requests that wait"),
        (SUBJECT, "what waiting requests are about"),
    ];

    fn key(row: &ApprovalRequest) -> Vec<u8> {
        order_key(LETTER, row.id.chain())
    }

    fn encode(row: &ApprovalRequest) -> Vec<u8> {
        approval_bytes(row)
    }

    fn decode(key: &[u8], bytes: &[u8]) -> StoreResult<ApprovalRequest> {
        read_approval(ApprovalId::of(Parts::of(key).order()?), bytes)
    }

    fn entries(key: &[u8], bytes: &[u8]) -> StoreResult<Entries> {
        Self::head(key, bytes).map(|head| head.entries)
    }

    fn plan(writes: &WriteSet, plan: &mut CommitPlan) {
        plan_put::<Self>(&writes.approvals, plan);
    }

    fn sql_steps() -> Vec<Step> {
        versioned::<Self>().into()
    }

    fn sql_plan(writes: &WriteSet, plan: &mut SqlPlan) -> Result<(), CommitError> {
        let rows = writes.approvals.iter().map(|row| (row.version, VersionChange::Put(row)));
        plan.replace::<Self>(0, rows)
    }
}

impl Versioned for Approvals {
    fn version(row: &ApprovalRequest) -> u32 {
        row.version
    }

    fn head(key: &[u8], bytes: &[u8]) -> StoreResult<Head> {
        let head: ApprovalHead<'_> = decode_head(APPROVALS.table, bytes)?;
        let mut entries = Entries::default();
        if let Some(subject) = head.waits_on {
            entries.add(vec![WAITING], key);
            entries.unique.push(subject_key(subject));
        }
        Ok(Head { version: head.version, entries })
    }
}

fn subject_key(subject: &str) -> Vec<u8> {
    Key::of(SUBJECT).text(subject).0
}

/// What a request is about while it waits, with its kind: two refunds of one payment are about the
/// same, a refund and the end of an unknown are not.
fn subject_of(action: &HeldAction) -> String {
    format!("{} {}", action.kind().name(), action.subject())
}

fn waits_on(row: &ApprovalRequest) -> Option<String> {
    row.state.is_waiting().then(|| subject_of(&row.action))
}

fn kept_bytes(row: &ApprovalRequest) -> Option<&[u8]> {
    match &row.action {
        HeldAction::BinTable(table) => table.bytes.as_deref(),
        HeldAction::Refund(_)
        | HeldAction::Resolve(_)
        | HeldAction::Remedy(_)
        | HeldAction::Switch { .. } => None,
    }
}

impl SqlTable for Approvals {
    type Written<'a> = &'a ApprovalRequest;
    type Row = ApprovalRequest;

    sql_columns! {
        row: "approvals";
        key { id: row.id, }
        fixed {
            kind: row.action.kind(),
            subject: row.action.subject(),
            action: SqlJson(ActionRecord::of(&row.action)),
            asked_by: row.asked_by.name.as_str(),
            asker: row.asked_by.person.as_str(),
            reason: row.reason.as_str(),
            asked_at: row.asked_at,
            until: row.until,
        }
        changing {
            version: row.version,
            state: row.state,
            waits_on: waits_on(row),
            decided_by: row.decision.as_ref().map(|decision| decision.by.name.as_str()),
            decider: row.decision.as_ref().map(|decision| decision.by.person.as_str()),
            decided_at: row.decision.as_ref().map(|decision| decision.at),
            decision_reason: row.decision.as_ref().and_then(|one| one.reason.as_deref()),
            ended_at: row.ended_at,
            outcome: row.outcome.as_deref(),
            content: kept_bytes(row),
        }
    }

    fn read(row: &SqlFields<'_>) -> StoreResult<ApprovalRequest> {
        let SqlJson(action): SqlJson<ActionRecord> = row.get("action")?;
        let decision = match row.get("decided_by")? {
            Some(name) => Some(ApprovalDecision {
                by: OperatorKey { name, person: row.get("decider")? },
                at: row.get("decided_at")?,
                reason: row.get("decision_reason")?,
            }),
            None => None,
        };
        Ok(ApprovalRequest {
            id: row.get("id")?,
            version: row.get("version")?,
            action: action.read(row.get("content")?)?,
            asked_by: OperatorKey { name: row.get("asked_by")?, person: row.get("asker")? },
            reason: row.get("reason")?,
            asked_at: row.get("asked_at")?,
            until: row.get("until")?,
            state: row.get("state")?,
            decision,
            ended_at: row.get("ended_at")?,
            outcome: row.get("outcome")?,
        })
    }
}

impl dyn Store + '_ {
    pub fn approval(&self, id: ApprovalId) -> StoreRead<'_, Option<ApprovalRequest>> {
        if let Some(tables) = self.tables() {
            return tables.one::<Approvals>("WHERE t.id = $1", parameters![id]);
        }
        self.look(move |rows| get::<Approvals>(rows, &order_key(LETTER, id.chain())))
    }

    /// The request that waits about the same thing as an action.
    pub fn approval_waiting_on(
        &self,
        action: &HeldAction,
    ) -> StoreRead<'_, Option<ApprovalRequest>> {
        let subject = subject_of(action);
        if let Some(tables) = self.tables() {
            return tables.one::<Approvals>("WHERE t.waits_on = $1", parameters![subject]);
        }
        self.look(move |rows| holder::<Approvals>(rows, &subject_key(&subject)))
    }

    /// The requests that wait, the oldest first. One whose time is over is among them until
    /// somebody touches it.
    pub fn waiting_approvals(
        &self,
        after: Option<ApprovalId>,
        limit: usize,
    ) -> StoreRead<'_, Vec<ApprovalRequest>> {
        let after = after.map(ApprovalId::chain);
        if let Some(tables) = self.tables() {
            let mut parameters = parameters![after_id(after)];
            parameters.push(page_limit(limit));
            return tables.list::<Approvals>(
                "WHERE t.waits_on IS NOT NULL AND t.id > $1 ORDER BY t.id LIMIT $2",
                parameters,
            );
        }
        let last = after.map(|id| order_key(WAITING, id));
        self.list(move |rows| list_indexed::<Approvals>(rows, onward(&[WAITING], last), 1, limit))
    }

    /// All requests, the newest first, below an id.
    pub fn approvals(
        &self,
        before: Option<ApprovalId>,
        limit: usize,
    ) -> StoreRead<'_, Vec<ApprovalRequest>> {
        let before = before.map(ApprovalId::chain);
        if let Some(tables) = self.tables() {
            let newest = OrderId::from_u64(i64::MAX.unsigned_abs());
            let mut parameters = vec![parameter(before.unwrap_or(newest))];
            parameters.push(page_limit(limit));
            return tables
                .list::<Approvals>("WHERE t.id < $1 ORDER BY t.id DESC LIMIT $2", parameters);
        }
        self.list(move |rows| newest_first(rows, before, limit.min(PAGE_MAX)))
    }
}

fn newest_first(
    rows: SortedRows<'_>,
    before: Option<OrderId>,
    limit: usize,
) -> StoreResult<Vec<ApprovalRequest>> {
    let (from, end) = bounds(&[LETTER]);
    let to = before.map_or(end, |id| order_key(LETTER, id));
    let mut found = Vec::new();
    if limit == 0 {
        return Ok(found);
    }
    rows.scan_back(&from, &to, &mut |key, bytes| {
        found.push(Approvals::decode(key, bytes)?);
        Ok(if found.len() < limit { Scan::On } else { Scan::Enough })
    })?;
    Ok(found)
}

/// An action as it rests, without the bytes that only carrying it out needs.
#[derive(Serialize, Deserialize)]
enum ActionRecord {
    Refund {
        of: u64,
        is_void: bool,
        order_id: String,
        amount_minor: i64,
        currency: Named<Currency>,
        left_minor: i64,
        description: Option<String>,
        notify_url: Option<String>,
    },
    Resolve {
        order: u64,
        resolution: Named<Resolution>,
        amount_minor: i64,
        currency: Named<Currency>,
        attempt: u8,
        pending: bool,
        reversals: u32,
    },
    Remedy {
        difference: u64,
        version: u32,
        remedy: Named<Remedy>,
        merchant_id: Option<String>,
    },
    BinTable {
        sha256: String,
        length: u64,
        source: String,
        as_of: Option<String>,
        version: u32,
        complaint: String,
    },
    Switch {
        channel: String,
        enabled: bool,
    },
}

impl ActionRecord {
    fn of(action: &HeldAction) -> Self {
        match action {
            HeldAction::Refund(refund) => Self::Refund {
                of: refund.of.as_u64(),
                is_void: refund.is_void,
                order_id: refund.caller_order_id.to_string(),
                amount_minor: refund.amount.get(),
                currency: Named(refund.currency),
                left_minor: refund.left_minor,
                description: refund.description.clone(),
                notify_url: refund.notify_url.clone(),
            },
            HeldAction::Resolve(resolve) => Self::Resolve {
                order: resolve.order.as_u64(),
                resolution: Named(resolve.resolution),
                amount_minor: resolve.amount.get(),
                currency: Named(resolve.currency),
                attempt: resolve.seen.attempt,
                pending: resolve.seen.pending,
                reversals: resolve.seen.reversals,
            },
            HeldAction::Remedy(remedy) => Self::Remedy {
                difference: remedy.difference.as_u64(),
                version: remedy.version,
                remedy: Named(remedy.remedy),
                merchant_id: remedy.merchant_id.as_ref().map(ToString::to_string),
            },
            HeldAction::BinTable(table) => Self::BinTable {
                sha256: hex(&table.sha256),
                length: table.length,
                source: table.source.clone(),
                as_of: table.as_of.map(|date| date.to_string()),
                version: table.version,
                complaint: table.complaint.clone(),
            },
            HeldAction::Switch { channel, enabled } => {
                Self::Switch { channel: channel.to_string(), enabled: *enabled }
            }
        }
    }

    fn read(self, bytes: Option<Vec<u8>>) -> StoreResult<HeldAction> {
        let fields = APPROVALS;
        Ok(match self {
            Self::Refund {
                of,
                is_void,
                order_id,
                amount_minor,
                currency,
                left_minor,
                description,
                notify_url,
            } => HeldAction::Refund(HeldRefund {
                of: OrderId::from_u64(of),
                is_void,
                caller_order_id: CallerOrderId::from_stored(&order_id),
                amount: fields.amount(amount_minor)?,
                currency: currency.0,
                left_minor,
                description,
                notify_url,
            }),
            Self::Resolve {
                order,
                resolution,
                amount_minor,
                currency,
                attempt,
                pending,
                reversals,
            } => HeldAction::Resolve(HeldResolve {
                order: OrderId::from_u64(order),
                resolution: resolution.0,
                amount: fields.amount(amount_minor)?,
                currency: currency.0,
                seen: OpenEnd { attempt, pending, reversals },
            }),
            Self::Remedy { difference, version, remedy, merchant_id } => {
                HeldAction::Remedy(HeldRemedy {
                    difference: DifferenceId::from_u64(difference),
                    version,
                    remedy: remedy.0,
                    merchant_id: merchant_id.as_deref().map(MerchantId::from_stored),
                })
            }
            Self::BinTable { sha256, length, source, as_of, version, complaint } => {
                let as_of = as_of.map(|date| {
                    StatedDate::parse(&date).ok_or_else(|| wrong(fields.table, "as_of"))
                });
                HeldAction::BinTable(HeldBinTable {
                    sha256: digest(&sha256).ok_or_else(|| wrong(fields.table, "sha256"))?,
                    length,
                    source,
                    as_of: as_of.transpose()?,
                    version,
                    complaint,
                    bytes,
                })
            }
            Self::Switch { channel, enabled } => {
                HeldAction::Switch { channel: ChannelId::from_stored(&channel), enabled }
            }
        })
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn digest(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (place, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(place * 2..place * 2 + 2)?, 16).ok()?;
    }
    Some(bytes)
}

#[derive(Serialize, Deserialize)]
struct ApprovalHead<'a> {
    version: u32,
    waits_on: Option<&'a str>,
}

#[derive(Serialize, Deserialize)]
struct OperatorRecord<'a> {
    name: &'a str,
    person: &'a str,
}

impl<'a> OperatorRecord<'a> {
    fn of(operator: &'a OperatorKey) -> Self {
        Self { name: operator.name.as_str(), person: operator.person.as_str() }
    }

    fn read(&self) -> OperatorKey {
        OperatorKey {
            name: CallerId::from_stored(self.name),
            person: CallerId::from_stored(self.person),
        }
    }
}

#[derive(Serialize, Deserialize)]
struct DecisionRecord<'a> {
    #[serde(borrow)]
    by: OperatorRecord<'a>,
    at: u64,
    reason: Option<&'a str>,
}

/// Begins with the fields of [`ApprovalHead`].
#[derive(Serialize, Deserialize)]
struct ApprovalRecord<'a> {
    #[serde(borrow)]
    head: ApprovalHead<'a>,
    state: u8,
    action: ActionRecord,
    asked_by: OperatorRecord<'a>,
    reason: &'a str,
    asked_at: u64,
    until: u64,
    decision: Option<DecisionRecord<'a>>,
    ended_at: Option<u64>,
    outcome: Option<&'a str>,
    content: Option<&'a [u8]>,
}

fn approval_bytes(row: &ApprovalRequest) -> Vec<u8> {
    let waits_on = waits_on(row);
    encode(&ApprovalRecord {
        head: ApprovalHead { version: row.version, waits_on: waits_on.as_deref() },
        state: row.state.number(),
        action: ActionRecord::of(&row.action),
        asked_by: OperatorRecord::of(&row.asked_by),
        reason: &row.reason,
        asked_at: millis(row.asked_at),
        until: millis(row.until),
        decision: row.decision.as_ref().map(|decision| DecisionRecord {
            by: OperatorRecord::of(&decision.by),
            at: millis(decision.at),
            reason: decision.reason.as_deref(),
        }),
        ended_at: row.ended_at.map(millis),
        outcome: row.outcome.as_deref(),
        content: kept_bytes(row),
    })
}

fn read_approval(id: ApprovalId, bytes: &[u8]) -> Result<ApprovalRequest, StoreError> {
    let fields = APPROVALS;
    let record: ApprovalRecord<'_> = decode(fields.table, bytes)?;
    let decision = record.decision.map(|decision| {
        Ok::<_, StoreError>(ApprovalDecision {
            by: decision.by.read(),
            at: fields.time(decision.at)?,
            reason: text(decision.reason),
        })
    });
    Ok(ApprovalRequest {
        id,
        version: record.head.version,
        action: record.action.read(record.content.map(<[u8]>::to_vec))?,
        asked_by: record.asked_by.read(),
        reason: record.reason.to_owned(),
        asked_at: fields.time(record.asked_at)?,
        until: fields.time(record.until)?,
        state: fields.code("state", record.state)?,
        decision: decision.transpose()?,
        ended_at: fields.time_option(record.ended_at)?,
        outcome: text(record.outcome),
    })
}
