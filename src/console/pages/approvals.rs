//! What waits for a second person, and that person's word.

use axum::extract::{Path, Request};
use http::Method;

use super::plain;
use crate::console::desk::{PageResult, PageVisit, members};

/// `GET /console/approvals?state=&after=`
pub async fn all(visit: PageVisit) -> PageResult {
    let mut page = visit.page("approvals");
    page.list("found", &visit.call_path("/v1/approvals", &["state", "after"])).await?;
    page.show()
}

/// `POST /console/approvals/{id}/{verb}`: approve, refuse or withdraw.
pub async fn decide(
    visit: PageVisit,
    Path((id, verb)): Path<(String, String)>,
    request: Request,
) -> PageResult {
    let (id, verb, fields) = (plain(&id)?, plain(&verb)?, visit.form(request).await?);
    let body = members(&fields, &["reason"]);
    visit.send(Method::POST, &format!("/v1/approvals/{id}/{verb}"), &body).await?;
    let said = match verb {
        "approve" => "approved",
        "refuse" => "refused",
        _ => "taken_back",
    };
    Ok(visit.done("/console/approvals", said))
}
