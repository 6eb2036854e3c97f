//! What is delivered to the accounting system and to the core, and its retry, one or many.

use std::collections::BTreeMap;

use axum::extract::{Path, Request};
use http::Method;
use serde_json::Value;

use super::plain;
use crate::console::desk::{PageResult, PageVisit, members};

/// Rows of a page of deliveries.
const KEYS: [&str; 3] = ["state", "after", "limit"];

/// `GET /console/accounting?state=&after=`
pub async fn accounting(visit: PageVisit) -> PageResult {
    let mut page = visit.page("accounting");
    page.list("found", &visit.call_path("/v1/accounting-requests", &KEYS)).await?;
    page.show()
}

/// `GET /console/accounting/{id}`
pub async fn request(visit: PageVisit, Path(id): Path<String>) -> PageResult {
    let mut page = visit.page("accounting_request");
    page.ask("request", &format!("/v1/accounting-requests/{}", plain(&id)?)).await?;
    page.show()
}

/// `POST /console/accounting/{id}/withdraw`
pub async fn withdraw(visit: PageVisit, Path(id): Path<String>, request: Request) -> PageResult {
    let (id, fields) = (plain(&id)?, visit.form(request).await?);
    let body = members(&fields, &["reason"]);
    visit.send(Method::POST, &format!("/v1/accounting-requests/{id}/withdraw"), &body).await?;
    Ok(visit.done(&format!("/console/accounting/{id}"), "withdrawn"))
}

/// `POST /console/accounting/retry`
pub async fn retry_accounting(visit: PageVisit, request: Request) -> PageResult {
    retry_each(visit, request, "/v1/accounting-requests", "/console/accounting").await
}

/// `GET /console/notices?state=&after=`
pub async fn notices(visit: PageVisit) -> PageResult {
    let mut page = visit.page("notices");
    page.list("found", &visit.call_path("/v1/notices", &KEYS)).await?;
    page.show()
}

/// `POST /console/notices/retry`
pub async fn retry_notices(visit: PageVisit, request: Request) -> PageResult {
    retry_each(visit, request, "/v1/notices", "/console/notices").await
}

/// Has each of the chosen ones delivered now.
async fn retry_each(visit: PageVisit, request: Request, listing: &str, back: &str) -> PageResult {
    let (ids, fields) = visit.form_of_many(request).await?;
    let body = members(&fields, &["reason"]);
    each(&visit, &ids, |id| format!("{listing}/{id}/retry"), &body).await?;
    let parked = BTreeMap::from([("state".to_owned(), "parked".to_owned())]);
    Ok(visit.done(&crate::console::desk::link(back, &parked, &[]), "retried_all"))
}

/// Makes the same call for each of these ids. Those that are refused are shown together, each with
/// its reason; the others are carried out.
pub async fn each(
    visit: &PageVisit,
    ids: &[String],
    path: impl Fn(&str) -> String,
    body: &Value,
) -> Result<(), crate::console::desk::Stop> {
    let mut refused = Vec::new();
    for id in ids {
        let answer = visit.try_send(Method::POST, &path(plain(id)?), Some(body)).await;
        if !answer.status.is_success() {
            refused.push((id.clone(), answer));
        }
    }
    if refused.is_empty() { Ok(()) } else { Err(visit.refused(ids.len(), refused)) }
}
