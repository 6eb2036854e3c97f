//! Proposals to the BIN table, by BIN, fact and card length. Those that are open have an index
//! entry.

use serde::{Deserialize, Serialize};

use crate::domain::bin::proposal::{
    BinEvidence, BinEvidenceSource, BinProposal, BinProposalDecision, BinProposalId,
    BinProposalState,
};
use crate::domain::bin::{BIN_LENGTH_MAX, Bin};
use crate::domain::closed_set::StoredNumber;
use crate::domain::ids::{ChannelId, OrderId};
use crate::domain::write_set::WriteSet;
use crate::store::form::{StoredFields, decode, decode_head, encode, millis, wrong};
use crate::store::head::{Entries, Head};
use crate::store::key::{Key, Parts};
use crate::store::plan::CommitPlan;
use crate::store::row::{Table, Versioned, get, list_indexed, list_rows, plan_put};
use crate::store::sorted::{StoreResult, onward};
use crate::store::sql::read::{page_limit, parameters};
use crate::store::sql::step::{SqlPlan, Step, VersionChange, versioned};
use crate::store::sql::table::{SqlFields, SqlTable, sql_columns};
use crate::store::sql::value::{JsonMoment, Named, SqlJson};
use crate::store::{CommitError, Store, StoreError, StoreRead};

const BIN_PROPOSALS: StoredFields = StoredFields { table: "bin_proposals" };
const LETTER: u8 = b'I';
/// Those that a person is to decide on.
const OPEN: u8 = b's';

pub(in crate::store) struct BinProposals;

impl Table for BinProposals {
    type Row = BinProposal;

    const NAME: &'static str = BIN_PROPOSALS.table;
    const LETTERS: &'static [(u8, &'static str)] =
        &[(LETTER, "proposals to the BIN table"), (OPEN, "entries of open proposals")];

    fn key(row: &BinProposal) -> Vec<u8> {
        key_of(LETTER, row.id)
    }

    fn encode(row: &BinProposal) -> Vec<u8> {
        proposal_bytes(row)
    }

    fn decode(key: &[u8], bytes: &[u8]) -> StoreResult<BinProposal> {
        read_proposal(id_of(key)?, bytes)
    }

    fn entries(key: &[u8], bytes: &[u8]) -> StoreResult<Entries> {
        Self::head(key, bytes).map(|head| head.entries)
    }

    fn plan(writes: &WriteSet, plan: &mut CommitPlan) {
        plan_put::<Self>(&writes.bin_proposals, plan);
    }

    fn sql_steps() -> Vec<Step> {
        versioned::<Self>().into()
    }

    fn sql_plan(writes: &WriteSet, plan: &mut SqlPlan) -> Result<(), CommitError> {
        let rows = writes.bin_proposals.iter().map(|row| (row.version, VersionChange::Put(row)));
        plan.replace::<Self>(0, rows)
    }
}

impl Versioned for BinProposals {
    fn version(row: &BinProposal) -> u32 {
        row.version
    }

    fn head(key: &[u8], bytes: &[u8]) -> StoreResult<Head> {
        let head: ProposalHead = decode_head(BIN_PROPOSALS.table, bytes)?;
        let state: BinProposalState = BIN_PROPOSALS.code("state", head.state)?;
        let mut entries = Entries::default();
        if state == BinProposalState::Open {
            entries.add(vec![OPEN], key);
        }
        Ok(Head { version: head.version, entries })
    }
}

/// BINs have zero bytes behind their digits, so that keys sort as the texts do.
fn key_of(letter: u8, id: BinProposalId) -> Vec<u8> {
    let mut digits = [0; BIN_LENGTH_MAX];
    digits[..id.bin.length()].copy_from_slice(id.bin.digits());
    Key::of(letter).number(digits).number([id.fact.number(), id.pan_length]).0
}

fn id_of(key: &[u8]) -> StoreResult<BinProposalId> {
    let fields = BIN_PROPOSALS;
    let mut parts = Parts::of(key);
    let digits: [u8; BIN_LENGTH_MAX] = parts.number()?;
    let [fact, pan_length] = parts.number()?;
    let length = digits.iter().position(|digit| *digit == 0).unwrap_or(BIN_LENGTH_MAX);
    let bin = Bin::from_digits(&digits[..length]).map_err(|_| wrong(fields.table, "bin"))?;
    Ok(BinProposalId { bin, pan_length, fact: fields.code("fact", fact)? })
}

impl SqlTable for BinProposals {
    type Written<'a> = &'a BinProposal;
    type Row = BinProposal;

    sql_columns! {
        row: "bin_proposals";
        key {
            bin: row.id.bin,
            pan_length: row.id.pan_length,
            fact: row.id.fact,
        }
        fixed {
            table_says: row.table_says,
            opened_at: row.opened_at,
        }
        changing {
            version: row.version,
            state: row.state,
            bin_table: row.bin_table,
            evidence: SqlJson(row.evidence.iter().map(JsonEvidence::of).collect::<Vec<_>>()),
            orders: row.orders,
            newest: row.newest,
            changed_at: row.changed_at,
            decided_by: row.decision.as_ref().map(|decision| decision.by.as_str()),
            decided_at: row.decision.as_ref().map(|decision| decision.at),
            decision_reason: row.decision.as_ref().map(|decision| decision.reason.as_str()),
            made_table: row.decision.as_ref().and_then(|decision| decision.bin_table),
        }
    }

    fn read(row: &SqlFields<'_>) -> StoreResult<BinProposal> {
        let SqlJson(evidence): SqlJson<Vec<JsonEvidence>> = row.get("evidence")?;
        let decision = match row.get("decided_by")? {
            Some(by) => Some(BinProposalDecision {
                by,
                at: row.get("decided_at")?,
                reason: row.get("decision_reason")?,
                bin_table: row.get("made_table")?,
            }),
            None => None,
        };
        Ok(BinProposal {
            id: BinProposalId {
                bin: row.get("bin")?,
                pan_length: row.get("pan_length")?,
                fact: row.get("fact")?,
            },
            version: row.get("version")?,
            state: row.get("state")?,
            table_says: row.get("table_says")?,
            bin_table: row.get("bin_table")?,
            evidence: evidence.into_iter().map(JsonEvidence::read).collect(),
            orders: row.get("orders")?,
            newest: row.get("newest")?,
            opened_at: row.get("opened_at")?,
            changed_at: row.get("changed_at")?,
            decision,
        })
    }
}

impl dyn Store + '_ {
    pub fn bin_proposal(&self, id: BinProposalId) -> StoreRead<'_, Option<BinProposal>> {
        if let Some(tables) = self.tables() {
            return tables.one::<BinProposals>(
                "WHERE t.bin = $1 AND t.pan_length = $2 AND t.fact = $3",
                parameters![id.bin, id.pan_length, id.fact],
            );
        }
        self.look(move |rows| get::<BinProposals>(rows, &key_of(LETTER, id)))
    }

    /// Proposals by BIN, fact and card length: those that are open, or all.
    pub fn bin_proposals(
        &self,
        open: bool,
        after: Option<BinProposalId>,
        limit: usize,
    ) -> StoreRead<'_, Vec<BinProposal>> {
        if let Some(tables) = self.tables() {
            let (bin, fact, pan_length) = after.map_or((String::new(), 0, 0), |id| {
                (id.bin.to_string(), id.fact.number(), id.pan_length)
            });
            let mut parameters = parameters![open, bin, fact, pan_length];
            parameters.push(page_limit(limit));
            return tables.list::<BinProposals>(
                "WHERE (t.state = 'open' OR NOT $1) \
                 AND (t.bin, array_position(ARRAY['debit', 'credit', 'quasi_credit', 'prepaid', \
                 'retired'], t.fact)::smallint, t.pan_length) > ($2, $3, $4) \
                 ORDER BY t.bin, array_position(ARRAY['debit', 'credit', 'quasi_credit', \
                 'prepaid', 'retired'], t.fact), t.pan_length LIMIT $5",
                parameters,
            );
        }
        if open {
            let last = after.map(|id| key_of(OPEN, id));
            return self.list(move |rows| {
                list_indexed::<BinProposals>(rows, onward(&[OPEN], last), 1, limit)
            });
        }
        let last = after.map(|id| key_of(LETTER, id));
        self.list(move |rows| list_rows::<BinProposals>(rows, &[LETTER], last, limit))
    }
}

/// Evidence as a part of a column.
#[derive(Serialize, Deserialize)]
struct JsonEvidence {
    source: Named<BinEvidenceSource>,
    order: u64,
    channel: String,
    at: JsonMoment,
    told: String,
}

impl JsonEvidence {
    fn of(one: &BinEvidence) -> Self {
        Self {
            source: Named(one.source),
            order: one.order.as_u64(),
            channel: one.channel.to_string(),
            at: JsonMoment(one.at),
            told: one.told.clone(),
        }
    }

    fn read(self) -> BinEvidence {
        BinEvidence {
            source: self.source.0,
            order: OrderId::from_u64(self.order),
            channel: ChannelId::from_stored(&self.channel),
            at: self.at.0,
            told: self.told,
        }
    }
}

#[derive(Serialize, Deserialize)]
struct ProposalHead {
    version: u32,
    state: u8,
}

#[derive(Serialize, Deserialize)]
struct EvidenceRecord<'a> {
    source: u8,
    order: u64,
    channel: &'a str,
    at: u64,
    told: &'a str,
}

#[derive(Serialize, Deserialize)]
struct ProposalDecisionRecord<'a> {
    by: &'a str,
    at: u64,
    reason: &'a str,
    bin_table: Option<u32>,
}

/// Begins with the fields of [`ProposalHead`].
#[derive(Serialize, Deserialize)]
struct ProposalRecord<'a> {
    head: ProposalHead,
    table_says: u8,
    bin_table: u32,
    #[serde(borrow)]
    evidence: Vec<EvidenceRecord<'a>>,
    orders: u32,
    newest: u64,
    opened_at: u64,
    changed_at: u64,
    decision: Option<ProposalDecisionRecord<'a>>,
}

fn proposal_bytes(row: &BinProposal) -> Vec<u8> {
    let evidence = row.evidence.iter().map(|one| EvidenceRecord {
        source: one.source.number(),
        order: one.order.as_u64(),
        channel: one.channel.as_str(),
        at: millis(one.at),
        told: &one.told,
    });
    encode(&ProposalRecord {
        head: ProposalHead { version: row.version, state: row.state.number() },
        table_says: row.table_says.number(),
        bin_table: row.bin_table,
        evidence: evidence.collect(),
        orders: row.orders,
        newest: row.newest.as_u64(),
        opened_at: millis(row.opened_at),
        changed_at: millis(row.changed_at),
        decision: row.decision.as_ref().map(|decision| ProposalDecisionRecord {
            by: &decision.by,
            at: millis(decision.at),
            reason: &decision.reason,
            bin_table: decision.bin_table,
        }),
    })
}

fn read_proposal(id: BinProposalId, bytes: &[u8]) -> Result<BinProposal, StoreError> {
    let fields = BIN_PROPOSALS;
    let record: ProposalRecord<'_> = decode(fields.table, bytes)?;
    let evidence = record.evidence.iter().map(|one| {
        Ok(BinEvidence {
            source: fields.code("source", one.source)?,
            order: OrderId::from_u64(one.order),
            channel: ChannelId::from_stored(one.channel),
            at: fields.time(one.at)?,
            told: one.told.to_owned(),
        })
    });
    let decision = record.decision.map(|decision| {
        Ok::<_, StoreError>(BinProposalDecision {
            by: decision.by.to_owned(),
            at: fields.time(decision.at)?,
            reason: decision.reason.to_owned(),
            bin_table: decision.bin_table,
        })
    });
    Ok(BinProposal {
        id,
        version: record.head.version,
        state: fields.code("state", record.head.state)?,
        table_says: fields.code("table_says", record.table_says)?,
        bin_table: record.bin_table,
        evidence: evidence.collect::<Result<_, StoreError>>()?,
        orders: record.orders,
        newest: OrderId::from_u64(record.newest),
        opened_at: fields.time(record.opened_at)?,
        changed_at: fields.time(record.changed_at)?,
        decision: decision.transpose()?,
    })
}
