//! Channels: how each does, what is left of its limits, its certificates and its switch.

use axum::extract::{Path, Request};
use http::Method;
use serde_json::json;

use super::plain;
use crate::console::desk::{PageResult, PageVisit, members};

/// `GET /console/channels`
pub async fn all(visit: PageVisit) -> PageResult {
    let mut page = visit.page("channels");
    page.ask("found", "/v1/channels").await?;
    page.ask("today", "/v1/today").await?;
    page.show()
}

/// `GET /console/channels/{id}`
pub async fn one(visit: PageVisit, Path(id): Path<String>) -> PageResult {
    let id = plain(&id)?;
    let mut page = visit.page("channel");
    page.ask("channel", &format!("/v1/channels/{id}")).await?;
    page.ask("day", &format!("/v1/channels/{id}/traffic")).await?;
    page.ask("kinds", &format!("/v1/channels/{id}/rates?limit=20")).await?;
    page.show()
}

/// `POST /console/channels/{id}/switch`
pub async fn switch(visit: PageVisit, Path(id): Path<String>, request: Request) -> PageResult {
    let (id, fields) = (plain(&id)?, visit.form(request).await?);
    let mut body = members(&fields, &["reason"]);
    let enabled = fields.get("enabled").is_some_and(|value| value == "true");
    body["enabled"] = json!(enabled);
    visit.send(Method::PATCH, &format!("/v1/channels/{id}"), &body).await?;
    let said = if enabled { "switched_on" } else { "switched_off" };
    Ok(visit.done(&format!("/console/channels/{id}"), said))
}
