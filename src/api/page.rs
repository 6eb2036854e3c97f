//! A page of a listing, in the one form that all listings have.

use axum::response::Response;
use http::StatusCode;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use crate::api::dto::json;

/// Rows under their listing's name, then `next`: the `after` of the page behind them, absent at the
/// end.
struct Page<'row, B, N> {
    name: &'static str,
    rows: &'row [B],
    next: Option<N>,
}

impl<B: Serialize, N: Serialize> Serialize for Page<'_, B, N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry(self.name, self.rows)?;
        if let Some(next) = &self.next {
            map.serialize_entry("next", next)?;
        }
        map.end()
    }
}

/// The page that says `rows`; without `next` the listing ends.
pub fn page<B: Serialize, N: Serialize>(
    name: &'static str,
    rows: impl Iterator<Item = B>,
    next: Option<N>,
) -> Response {
    let rows = Vec::from_iter(rows);
    json(StatusCode::OK, &Page { name, rows: &rows, next })
}

/// A page of stored rows, of which at most `limit` were asked for; a row's place is what `after`
/// must be for the rows behind it.
pub fn listing<'row, R, B: Serialize, N: Serialize>(
    name: &'static str,
    rows: &'row [R],
    limit: usize,
    place: impl Fn(&R) -> N,
    body: impl Fn(&'row R) -> B,
) -> Response {
    page(name, rows.iter().map(body), next_of(rows, limit, place))
}

/// The place of the last row of a full page: there may be more behind it.
pub fn next_of<R, N>(rows: &[R], limit: usize, place: impl Fn(&R) -> N) -> Option<N> {
    rows.last().filter(|_| rows.len() == limit).map(place)
}
