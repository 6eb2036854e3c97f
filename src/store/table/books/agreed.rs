//! The agreed lines of reconciliation batches: bytes that only their reader knows, cut into parts,
//! by batch and place.
//!
//! A million lines make more than a megabyte. Parts keep a row as small as the blocks in which rows
//! are stored, so that nothing has to be read whole where one row is wanted.

use crate::domain::ids::BatchId;
use crate::domain::write_set::WriteSet;
use crate::store::form::{FORM, damaged};
use crate::store::key::{Key, Parts, bounds, order_key};
use crate::store::plan::CommitPlan;
use crate::store::row::Table;
use crate::store::sorted::{Scan, StoreResult};
use crate::store::sql::read::parameters;
use crate::store::sql::step::{Answer, SqlPlan, Step, insert};
use crate::store::sql::table::{SqlFields, SqlTable, sql_columns};
use crate::store::{CommitError, Store, StoreError, StoreRead};

/// Every part but the last has so many bytes; the last one has fewer, and may have none.
const PART_BYTES: usize = 32 * 1024;
const TABLE: &str = "agreed_lines";
const LETTER: u8 = b'z';

pub(in crate::store) struct AgreedLines;

/// A part of a batch's agreed lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::store) struct AgreedPart {
    pub batch: BatchId,
    pub part: u32,
    pub lines: Vec<u8>,
}

impl Table for AgreedLines {
    type Row = AgreedPart;

    const NAME: &'static str = TABLE;
    const LETTERS: &'static [(u8, &'static str)] = &[(LETTER, "agreed lines")];

    fn key(row: &AgreedPart) -> Vec<u8> {
        key_of(row.batch, row.part)
    }

    fn encode(row: &AgreedPart) -> Vec<u8> {
        agreed_part(&row.lines)
    }

    fn decode(key: &[u8], bytes: &[u8]) -> StoreResult<AgreedPart> {
        let mut parts = Parts::of(key);
        Ok(AgreedPart {
            batch: BatchId::of(parts.order()?),
            part: parts.number().map(u32::from_be_bytes)?,
            lines: read_agreed_part(bytes)?.to_vec(),
        })
    }

    fn plan(writes: &WriteSet, plan: &mut CommitPlan) {
        for (batch, lines) in &writes.agreed_lines {
            for (part, lines) in (0..).zip(agreed_parts(lines)) {
                plan.insert(key_of(*batch, part), agreed_part(lines));
            }
        }
    }

    fn sql_steps() -> Vec<Step> {
        vec![insert::<Self>(Answer::Held)]
    }

    fn sql_plan(writes: &WriteSet, plan: &mut SqlPlan) -> Result<(), CommitError> {
        let parts = writes.agreed_lines.iter().flat_map(|(batch, lines)| {
            let part = |(part, lines): (u32, &[u8])| AgreedPart {
                batch: *batch,
                part,
                lines: lines.to_vec(),
            };
            (0..).zip(agreed_parts(lines)).map(part)
        });
        plan.append::<Self>(0, &parts.collect::<Vec<_>>())
    }
}

fn key_of(batch: BatchId, part: u32) -> Vec<u8> {
    Key::of(LETTER).order(batch.chain()).number(part.to_be_bytes()).0
}

impl SqlTable for AgreedLines {
    type Written<'a> = &'a AgreedPart;
    type Row = AgreedPart;

    sql_columns! {
        row: "agreed_lines";
        key { batch: row.batch, part: row.part, }
        fixed { lines: row.lines.as_slice(), }
    }

    fn read(row: &SqlFields<'_>) -> StoreResult<AgreedPart> {
        Ok(AgreedPart {
            batch: row.get("batch")?,
            part: row.get("part")?,
            lines: row.get("lines")?,
        })
    }
}

/// The parts of a batch, put together.
fn joined(parts: &[AgreedPart]) -> StoreResult<Option<Vec<u8>>> {
    let Some(last) = parts.last() else { return Ok(None) };
    if (0..).zip(parts).any(|(place, part)| part.part != place) {
        return Err(damaged(TABLE, "a part is missing"));
    }
    if !is_last_agreed_part(&last.lines) {
        return Err(damaged(TABLE, "its last part is missing"));
    }
    Ok(Some(parts.iter().flat_map(|part| &part.lines).copied().collect()))
}

impl dyn Store + '_ {
    /// Which lines agreed in a batch, as it was written.
    pub fn agreed_lines(&self, id: BatchId) -> StoreRead<'_, Option<Vec<u8>>> {
        if let Some(tables) = self.tables() {
            return Box::pin(async move {
                let rest = "WHERE t.batch = $1 ORDER BY t.part";
                joined(&tables.rows::<AgreedLines>(rest, parameters![id]).await?)
            });
        }
        self.list(move |rows| {
            let (from, to) = bounds(&order_key(LETTER, id.chain()));
            let mut lines = Vec::new();
            let (mut next, mut is_whole) = (0_u32, false);
            rows.scan(&from, &to, &mut |key, row| {
                let part = read_agreed_part(row)?;
                if key != key_of(id, next) {
                    return Err(damaged(TABLE, "a part is missing"));
                }
                lines.extend_from_slice(part);
                is_whole = is_last_agreed_part(part);
                next += 1;
                Ok(if is_whole { Scan::Enough } else { Scan::On })
            })?;
            match (next, is_whole) {
                (0, _) => Ok(None),
                (_, true) => Ok(Some(lines)),
                (_, false) => Err(damaged(TABLE, "its last part is missing")),
            }
        })
    }
}

/// Cuts agreed lines into parts, in order.
pub(in crate::store::table) fn agreed_parts(lines: &[u8]) -> impl Iterator<Item = &[u8]> {
    let whole = lines.len() / PART_BYTES;
    (0..=whole).map(move |part| {
        let from = part * PART_BYTES;
        &lines[from..lines.len().min(from + PART_BYTES)]
    })
}

pub(in crate::store::table) fn agreed_part(part: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(part.len() + 1);
    bytes.push(FORM);
    bytes.extend_from_slice(part);
    bytes
}

/// Reads a part, without a copy.
pub(in crate::store::table) fn read_agreed_part(bytes: &[u8]) -> Result<&[u8], StoreError> {
    match bytes.split_first() {
        None => Err(damaged(TABLE, "it is empty")),
        Some((&FORM, part)) if part.len() > PART_BYTES => {
            Err(damaged(TABLE, "it is longer than a part"))
        }
        Some((&FORM, part)) => Ok(part),
        Some((form, _)) => Err(damaged(TABLE, &format!("it has the unknown form {form}"))),
    }
}

/// Whether no part follows.
pub(in crate::store::table) fn is_last_agreed_part(part: &[u8]) -> bool {
    part.len() < PART_BYTES
}
