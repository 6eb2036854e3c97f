//! The rows that differ between two versions of the BIN table, in pages.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::{StatusCode, Uri};
use schemars::JsonSchema;
use serde::Serialize;

use super::{blocking, disk};
use crate::api::ApiState;
use crate::api::auth::MayInspect;
use crate::api::dto::json;
use crate::api::error::{ApiError, ProblemCode};
use crate::api::input::query::Query;
use crate::tables::bin::{
    DiffCounts, KeptTable, LiveBinTable, RowChangeView, RowKey, TableDiff, UnreadableVersion,
    row_changes,
};

/// What a version is named by.
const A_VERSION: &str = "the number of a version of `GET /v1/bin-table`; 0 is the shipped table";

/// A page of the rows that differ.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "BinTableChanges")]
pub struct ChangesBody<'table> {
    /// The version before.
    from: u32,
    /// The version after.
    to: u32,
    /// Of all rows that differ, not of the page alone.
    counts: DiffCounts,
    /// The rows of the page, by BIN and card length.
    changes: Vec<RowChangeView<'table>>,
    /// The `after` of the next page.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// `GET /v1/bin-table/changes?from=[&to=&after=&limit=]`
pub async fn changes(
    State(state): State<Arc<ApiState>>,
    MayInspect(_): MayInspect,
    uri: Uri,
) -> Result<Response, ApiError> {
    let mut query = Query::of(&uri);
    let version = |text: &str| text.parse::<u32>().ok();
    let from = query.parsed("from", A_VERSION, version)?;
    let from = from.ok_or_else(|| Query::invalid("from", A_VERSION))?;
    let to = query.parsed("to", A_VERSION, version)?;
    let (after, limit) = query.page(RowKey::FORM, RowKey::parse)?;
    let bins = Arc::clone(&state.bins);
    let to = to.unwrap_or_else(|| bins.current().version);
    let now = state.engine.clock().now();
    let answer = move || -> Result<Response, ApiError> {
        let (before, later) = (kept(&bins, from)?, kept(&bins, to)?);
        let behind = |key: RowKey| after.is_none_or(|after| key > after);
        let changes = row_changes(&before.table, &later.table);
        let mut rows: Vec<_> =
            changes.filter(|change| behind(change.key)).take(limit + 1).collect();
        let is_last = rows.len() <= limit;
        rows.truncate(limit);
        let next = rows.last().filter(|_| !is_last).map(|change| change.key.to_string());
        let (before_dated, later_dated) = (before.dated(now), later.dated(now));
        let view = |change| RowChangeView::of(change, before_dated, later_dated);
        let body = ChangesBody {
            from,
            to,
            counts: TableDiff::between(&before.table, &later.table).counts(),
            changes: rows.into_iter().filter_map(view).collect(),
            next,
        };
        Ok(json(StatusCode::OK, &body))
    };
    blocking(answer).await?
}

/// A version that cannot be looked at is not there, whatever has become of it.
fn kept(bins: &LiveBinTable, version: u32) -> Result<KeptTable, ApiError> {
    bins.kept(version).map_err(|error| match error {
        UnreadableVersion::Versions(error) => disk(&error),
        UnreadableVersion::Unknown { .. } | UnreadableVersion::Damaged(_) => {
            ApiError::new(ProblemCode::NotFound, error.to_string())
        }
    })
}
