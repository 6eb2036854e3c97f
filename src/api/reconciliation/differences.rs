//! Differences: those of a batch, the open ones, and their balancing.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use http::{HeaderMap, StatusCode, Uri};
use schemars::JsonSchema;
use serde::Serialize;

use crate::api::auth::{MayInspect, MayOperate};
use crate::api::channels::channel_id;
use crate::api::dto::json;
use crate::api::error::ApiError;
use crate::api::held;
use crate::api::input::json::JsonFields;
use crate::api::input::query::Query;
use crate::api::input::{PathSegment, read_json};
use crate::api::page::{next_of, page};
use crate::api::reconciliation::batches;
use crate::api::reconciliation::body::{DifferenceBody, listed};
use crate::api::reconciliation::error::no_such_difference;
use crate::api::stream::{self, Pages, streamed_form};
use crate::api::{ApiState, run_detached};
use crate::codec::word;
use crate::domain::approval::{HeldAction, HeldRemedy};
use crate::domain::books::difference::{Balancing, Difference, DifferenceState, Remedy};
use crate::domain::ids::{BatchId, DifferenceId, MerchantId};
use crate::reconciliation::matching::form::{COLUMNS, list};
use crate::store::{FoundRow, PAGE_MAX, Store, StoreError};

/// A verdict of a batch, with its difference as it is now.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "FoundDifference")]
struct FoundBody<'row> {
    /// Its place in the batch.
    ordinal: u32,
    /// As the batch found it; the difference's own may have changed since.
    #[schemars(with = "word::ClassWord")]
    found_as: &'static str,
    /// The difference as it is now.
    difference: DifferenceBody<'row>,
}

impl<'row> From<&'row FoundRow> for FoundBody<'row> {
    fn from((ordinal, class, difference): &'row FoundRow) -> Self {
        let difference = DifferenceBody::from(difference);
        Self { ordinal: *ordinal, found_as: class.name(), difference }
    }
}

/// A batch's differences.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "FoundDifferences")]
pub struct FoundPage<'row> {
    /// The batch's number.
    batch: String,
    /// The rows.
    differences: Vec<FoundBody<'row>>,
    /// The `after` of the next page; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// `GET /v1/reconciliations/{batch}/differences?after=&limit=`
pub async fn of_batch(
    State(state): State<Arc<ApiState>>,
    MayInspect(_): MayInspect,
    PathSegment(id): PathSegment,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, ApiError> {
    let (after, limit) = Query::of(&uri).page("an ordinal", |text| text.parse().ok())?;
    let batch = batches::load(&state, &id).await?.id;
    if let Some(form) = streamed_form(&headers) {
        let store = Arc::clone(state.engine.store());
        return Ok(stream::answer(
            BatchDifferences { store, batch, after: None, ended: false },
            form,
        ));
    }
    let rows = state.engine.store().found_differences(batch, after, limit).await?;
    let next = next_of(&rows, limit, |row| row.0.to_string());
    let differences = rows.iter().map(FoundBody::from).collect();
    Ok(json(StatusCode::OK, &FoundPage { batch: batch.to_string(), differences, next }))
}

/// The differences of a batch, page by page.
struct BatchDifferences {
    store: Arc<dyn Store>,
    batch: BatchId,
    after: Option<u32>,
    ended: bool,
}

impl Pages for BatchDifferences {
    type Row = FoundRow;

    const TABLE: &'static str = "found differences";

    async fn next(&mut self) -> Result<Option<Vec<FoundRow>>, StoreError> {
        if self.ended {
            return Ok(None);
        }
        let rows = self.store.found_differences(self.batch, self.after, PAGE_MAX).await?;
        self.ended = rows.len() < PAGE_MAX;
        self.after = rows.last().map(|row| row.0).or(self.after);
        Ok(Some(rows))
    }

    fn heading() -> Vec<u8> {
        let columns = COLUMNS.iter().copied().chain(["difference", "state"]);
        let mut heading = columns.collect::<Vec<_>>().join(",").into_bytes();
        heading.push(b'\n');
        heading
    }

    fn csv(rows: &[FoundRow]) -> csv::Result<Vec<u8>> {
        let mut writer = csv::WriterBuilder::new().has_headers(false).from_writer(Vec::new());
        let (mut record, mut numbers) = (csv::ByteRecord::new(), itoa::Buffer::new());
        for (_, class, difference) in rows {
            record.clear();
            list(&listed(difference, *class), &mut record, &mut numbers);
            record.push_field(difference.id.to_string().as_bytes());
            record.push_field(difference.state.name().as_bytes());
            writer.write_byte_record(&record)?;
        }
        writer.into_inner().map_err(|error| error.into_error().into())
    }

    fn write_line(row: &FoundRow, line: &mut Vec<u8>) -> serde_json::Result<()> {
        serde_json::to_writer(line, &FoundBody::from(row))
    }
}

/// `GET /v1/differences?channel=&state=&after=&limit=`: the open differences of a channel.
pub async fn open(
    State(state): State<Arc<ApiState>>,
    MayInspect(_): MayInspect,
    uri: Uri,
) -> Result<Response, ApiError> {
    let mut query = Query::of(&uri);
    let channel = query.text("channel");
    let channel = channel.ok_or_else(|| Query::invalid("channel", "a channel is needed"))?;
    let wanted = |text: &str| DifferenceState::parse(text).filter(|state| state.is_open());
    let wanted = query.parsed("state", "carried or suspended", wanted)?;
    let (after, limit) = query.page("an id of 19 digits", DifferenceId::parse)?;
    let channel = channel_id(&state, &channel)?;
    let rows = state.engine.store().open_differences(channel, after, limit).await?;
    let next = next_of(&rows, limit, |row| row.id.to_string());
    let fits = |row: &&Difference| wanted.is_none_or(|state| row.state == state);
    Ok(page("differences", rows.iter().filter(fits).map(DifferenceBody::from), next))
}

/// `GET /v1/differences/{id}`
pub async fn one(
    State(state): State<Arc<ApiState>>,
    MayInspect(_): MayInspect,
    PathSegment(id): PathSegment,
    uri: Uri,
) -> Result<Response, ApiError> {
    Query::of(&uri).finish()?;
    let row = state.engine.store().difference(parsed(&id)?).await?;
    Ok(json(StatusCode::OK, &DifferenceBody::from(&row.ok_or_else(no_such_difference)?)))
}

/// `POST /v1/differences/{id}/resolve`: a person says where its money belongs (平账).
pub async fn resolve(
    State(state): State<Arc<ApiState>>,
    MayOperate(seat): MayOperate,
    PathSegment(id): PathSegment,
    request: Request,
) -> Result<Response, ApiError> {
    let (parts, body) = request.into_parts();
    let body = read_json(&parts, body, state.body_limits()).await?;
    let asked = read(&state, &body, seat.name().to_string())?;
    let id = parsed(&id)?;
    if state.settings.four_eyes.remedies {
        let row = state.differences.look(id, &asked).await?;
        let Balancing { remedy, merchant_id, reason, .. } = asked;
        let asked_for = HeldRemedy { difference: id, version: row.version, remedy, merchant_id };
        return held::ask(state, &seat, HeldAction::Remedy(asked_for), reason).await;
    }
    let balanced =
        run_detached(async move { Ok(state.differences.balance(id, asked, None).await?) });
    Ok(json(StatusCode::OK, &DifferenceBody::from(&balanced.await?)))
}

fn read(state: &ApiState, body: &[u8], actor: String) -> Result<Balancing, ApiError> {
    let mut fields = JsonFields::parse(body)?;
    let names = || Remedy::ALL.map(Remedy::name).join(", ");
    let remedy = fields.required_text("remedy")?;
    let remedy = Remedy::parse(&remedy)
        .ok_or_else(|| fields.invalid("remedy", format!("one of: {}", names())))?;
    let merchant_id = match fields.text("merchant_id")? {
        None => None,
        Some(text) => Some(
            MerchantId::parse(&text)
                .map_err(|error| fields.invalid("merchant_id", error.to_string()))?,
        ),
    };
    let reason = state.reason(&mut fields)?;
    let reason = reason.ok_or_else(|| fields.missing("reason"))?;
    fields.finish()?;
    Ok(Balancing { remedy, merchant_id, actor, approver: None, reason })
}

fn parsed(id: &str) -> Result<DifferenceId, ApiError> {
    DifferenceId::parse(id).ok_or_else(no_such_difference)
}
