//! Listings as streams of CSV or NDJSON, page by page, so that memory does not grow with them.
//!
//! When the store fails under way the connection is broken off: a cut body must not look like a
//! whole one.

use axum::body::{Body, Bytes};
use axum::response::Response;
use futures_util::stream;
use http::{HeaderMap, HeaderValue, header};

use crate::store::StoreError;
use crate::telemetry;

/// The forms that a whole listing can have.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum StreamForm {
    Csv,
    Lines,
}

/// The form that the caller accepts before JSON, if it names one.
pub fn streamed_form(headers: &HeaderMap) -> Option<StreamForm> {
    let accept = headers.get(header::ACCEPT)?.to_str().ok()?.to_ascii_lowercase();
    accept.split(',').find_map(|kind| match kind.split(';').next().unwrap_or_default().trim() {
        "text/csv" => Some(Some(StreamForm::Csv)),
        "application/x-ndjson" => Some(Some(StreamForm::Lines)),
        "application/json" | "*/*" => Some(None),
        _ => None,
    })?
}

/// A listing that is read page by page.
pub trait Pages: Send + 'static {
    type Row: Send + Sync;

    /// The name of the rows, for the log.
    const TABLE: &'static str;

    /// The next page; `None` after the last.
    fn next(&mut self) -> impl Future<Output = Result<Option<Vec<Self::Row>>, StoreError>> + Send;

    /// The heading of the CSV form.
    fn heading() -> Vec<u8>;

    /// The rows in the CSV form; an error is a row that cannot be written.
    fn csv(rows: &[Self::Row]) -> csv::Result<Vec<u8>>;

    /// Writes a row as one line of JSON, without its end.
    fn write_line(row: &Self::Row, line: &mut Vec<u8>) -> serde_json::Result<()>;
}

struct PageStream<P> {
    pages: P,
    form: StreamForm,
    begun: bool,
    ended: bool,
}

/// The whole listing as one answer.
pub fn answer<P: Pages>(pages: P, form: StreamForm) -> Response {
    let under = PageStream { pages, form, begun: false, ended: false };
    let chunks = stream::unfold(under, |mut under| async {
        let chunk = under.next().await?;
        Some((chunk, under))
    });
    let mut response = Response::new(Body::from_stream(chunks));
    let kind = match form {
        StreamForm::Csv => "text/csv; charset=utf-8",
        StreamForm::Lines => "application/x-ndjson",
    };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

impl<P: Pages> PageStream<P> {
    /// The next page in its form; `None` after the last.
    async fn next(&mut self) -> Option<Result<Bytes, StoreError>> {
        if self.ended {
            return None;
        }
        let page = match self.pages.next().await {
            Ok(page) => page,
            Err(error) => {
                let error_text = telemetry::chain(&error);
                tracing::error!(error = error_text, table = P::TABLE, "a stream broke off");
                self.ended = true;
                return Some(Err(error));
            }
        };
        self.ended = page.is_none();
        let with_heading = !std::mem::replace(&mut self.begun, true);
        let written = write::<P>(&page.unwrap_or_default(), self.form, with_heading);
        match written {
            Ok(bytes) if bytes.is_empty() && self.ended => None,
            written => Some(written),
        }
    }
}

fn write<P: Pages>(
    rows: &[P::Row],
    form: StreamForm,
    with_heading: bool,
) -> Result<Bytes, StoreError> {
    let damaged = |detail: String| StoreError::Damaged { table: P::TABLE, detail };
    match form {
        StreamForm::Csv => {
            // An empty listing has a heading too.
            let mut bytes = if with_heading { P::heading() } else { Vec::new() };
            bytes.extend(P::csv(rows).map_err(|error| damaged(error.to_string()))?);
            Ok(bytes.into())
        }
        StreamForm::Lines => {
            let mut lines = Vec::new();
            for row in rows {
                P::write_line(row, &mut lines).map_err(|error| damaged(error.to_string()))?;
                lines.push(b'\n');
            }
            Ok(lines.into())
        }
    }
}
