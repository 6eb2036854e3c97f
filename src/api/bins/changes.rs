//! What differs between two versions of the BIN table, in pages: the rows, and the changes of
//! issuers' names.

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
    DiffCounts, KeptTable, LiveBinTable, NameChangeView, RowChangeView, RowKey, UnreadableVersion,
    name_changes, row_changes,
};

/// What a version is named by.
const A_VERSION: &str = "the number of a version of `GET /v1/bin-table`; 0 is the shipped table";
/// What a change of a name is named by, as a cursor: versions never change.
const A_PLACE: &str = "the place of a change in the listing";

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
    let (from, to) = versions(&mut query, &state)?;
    let (after, limit) = query.page(RowKey::FORM, RowKey::parse)?;
    let bins = Arc::clone(&state.bins);
    let now = state.engine.clock().now();
    let answer = move || -> Result<Response, ApiError> {
        let (before, later) = (kept(&bins, from)?, kept(&bins, to)?);
        let mut counts = DiffCounts::of_names(&before.table, &later.table);
        let (mut rows, mut is_last) = (Vec::new(), true);
        for change in row_changes(&before.table, &later.table) {
            counts.count(&change.kinds);
            let is_behind = after.is_none_or(|after| change.key > after);
            match is_behind && rows.len() < limit {
                true => rows.push(change),
                false => is_last &= !is_behind,
            }
        }
        let next = rows.last().filter(|_| !is_last).map(|change| change.key.to_string());
        let (before_dated, later_dated) = (before.dated(now), later.dated(now));
        let view = |change| RowChangeView::of(change, before_dated, later_dated);
        let changes = rows.into_iter().filter_map(view).collect();
        Ok(json(StatusCode::OK, &ChangesBody { from, to, counts, changes, next }))
    };
    blocking(answer).await?
}

/// A page of the changes of issuers' names that differ.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "BinTableIssuerChanges")]
pub struct NameChangesBody<'table> {
    /// The version before.
    from: u32,
    /// The version after.
    to: u32,
    /// Those of the page, by issuer code and old name.
    issuer_changes: Vec<NameChangeView<'table>>,
    /// The `after` of the next page.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// `GET /v1/bin-table/issuer-changes?from=[&to=&after=&limit=]`
pub async fn issuer_changes(
    State(state): State<Arc<ApiState>>,
    MayInspect(_): MayInspect,
    uri: Uri,
) -> Result<Response, ApiError> {
    let mut query = Query::of(&uri);
    let (from, to) = versions(&mut query, &state)?;
    let (after, limit) = query.page(A_PLACE, |text| text.parse::<usize>().ok())?;
    let bins = Arc::clone(&state.bins);
    let answer = move || -> Result<Response, ApiError> {
        let (before, later) = (kept(&bins, from)?, kept(&bins, to)?);
        let after = after.unwrap_or(0);
        let changes = name_changes(before.table.issuers(), later.table.issuers());
        let mut changes = changes.skip(after);
        let page: Vec<_> = changes.by_ref().take(limit).filter_map(NameChangeView::of).collect();
        let next = changes.next().map(|_| (after + page.len()).to_string());
        Ok(json(StatusCode::OK, &NameChangesBody { from, to, issuer_changes: page, next }))
    };
    blocking(answer).await?
}

/// The two versions that are compared: the second one is that in force unless it is named.
fn versions(query: &mut Query<'_>, state: &ApiState) -> Result<(u32, u32), ApiError> {
    let version = |text: &str| text.parse::<u32>().ok();
    let from = query.parsed("from", A_VERSION, version)?;
    let from = from.ok_or_else(|| Query::invalid("from", A_VERSION))?;
    let to = query.parsed("to", A_VERSION, version)?;
    Ok((from, to.unwrap_or_else(|| state.bins.current().version)))
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
