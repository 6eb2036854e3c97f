//! The statement files that have landed at any node of the database.

use crate::domain::books::statement::{LandedFile, StatementOrigin};
use crate::domain::ids::ChannelId;
use crate::domain::time::BusinessDate;
use crate::store::StoreError;
use crate::store::form::damaged;
use crate::store::sql::read::{Tables, field, parameters};

const FILES: &str = "SELECT channel, date, name, sha256, bytes, landed_at, origin, brought_by, \
     refused FROM statement_files WHERE channel = $1 ORDER BY landed_at, date, name";
const KEEP_PART: &str = "INSERT INTO statement_parts (sha256, part, body) VALUES ($1, $2, $3) \
     ON CONFLICT (sha256, part) DO UPDATE SET body = excluded.body";
const PART: &str = "SELECT body FROM statement_parts WHERE sha256 = $1 AND part = $2";
const LAND: &str = "INSERT INTO statement_files \
     (channel, date, name, sha256, bytes, landed_at, origin, brought_by) \
     VALUES ($1, $2, $3, $4, $5, date_trunc('milliseconds', clock_timestamp()), $6, $7) \
     ON CONFLICT DO NOTHING RETURNING name";
const REFUSE: &str = "UPDATE statement_files SET refused = $4 \
     WHERE channel = $1 AND date = $2 AND sha256 = $3";

fn read(values: &[Option<&[u8]>]) -> Result<LandedFile, StoreError> {
    let origin: String = field(values, 6)?;
    let origin = StatementOrigin::parse(&origin);
    Ok(LandedFile {
        channel: field(values, 0)?,
        date: field(values, 1)?,
        name: field(values, 2)?,
        sha256: field(values, 3)?,
        bytes: field(values, 4)?,
        landed_at: field(values, 5)?,
        origin: origin.ok_or_else(|| damaged("statement_files", "an origin is none of ours"))?,
        by: field(values, 7)?,
        refused: field(values, 8)?,
    })
}

pub(super) async fn files(
    tables: &Tables,
    channel: &ChannelId,
) -> Result<Vec<LandedFile>, StoreError> {
    tables.query(FILES, parameters![channel.as_str()], |values| read(&values)).await
}

pub(super) async fn keep_part(
    tables: &Tables,
    sha256: &str,
    part: u32,
    body: &[u8],
) -> Result<(), StoreError> {
    tables.query(KEEP_PART, parameters![sha256, part, body], |_| Ok(())).await.map(|_| ())
}

pub(super) async fn part(
    tables: &Tables,
    sha256: &str,
    part: u32,
) -> Result<Option<Vec<u8>>, StoreError> {
    let key = parameters![sha256, part];
    Ok(tables.query(PART, key, |values| field(&values, 0)).await?.pop())
}

pub(super) async fn land(tables: &Tables, file: &LandedFile) -> Result<bool, StoreError> {
    let row = parameters![
        file.channel.as_str(),
        file.date,
        file.name.as_str(),
        file.sha256.as_str(),
        file.bytes,
        file.origin.name(),
        file.by.as_str(),
    ];
    Ok(!tables.query(LAND, row, |_| Ok(())).await?.is_empty())
}

pub(super) async fn refuse(
    tables: &Tables,
    (channel, date, sha256): (&ChannelId, BusinessDate, &str),
    problem: &str,
) -> Result<(), StoreError> {
    let told = parameters![channel.as_str(), date, sha256, problem];
    tables.query(REFUSE, told, |_| Ok(())).await.map(|_| ())
}
