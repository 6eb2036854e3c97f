//! Statements against our books: dates, batches, files, differences and their remedies, and the
//! bank's money.

use std::collections::BTreeMap;

use axum::extract::{Path, Request};
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::deliveries::each;
use super::plain;
use crate::console::desk::{PageResult, PageVisit, link, members};

/// `GET /console/reconciliation`: the last dates of every channel.
pub async fn all(visit: PageVisit) -> PageResult {
    let mut page = visit.page("reconciliation");
    let channels = page.ask("known", "/v1/channels").await?;
    let channels = channels["channels"].as_array().cloned().unwrap_or_default();
    let mut days = Vec::new();
    for id in channels.iter().filter_map(|channel| channel["id"].as_str()) {
        days.push(page.ask("one", &format!("/v1/channels/{id}/days?dates=7")).await?);
    }
    page.put("all", days);
    page.show()
}

/// `GET /console/reconciliation/{channel}?through=`
pub async fn channel(visit: PageVisit, Path(id): Path<String>) -> PageResult {
    let id = plain(&id)?;
    let mut page = visit.page("reconciliation_channel");
    let path = visit.call_path(&format!("/v1/channels/{id}/days"), &["through", "dates"]);
    page.ask("days", &path).await?;
    page.put("channel", id);
    page.show()
}

/// `GET /console/reconciliation/{channel}/{date}`: the report of a day, its files and batches.
pub async fn date(visit: PageVisit, Path((id, date)): Path<(String, String)>) -> PageResult {
    let (id, date) = (plain(&id)?, plain(&date)?);
    let mut page = visit.page("reconciliation_date");
    page.ask("report", &format!("/v1/channels/{id}/report?date={date}")).await?;
    page.ask("landed", &format!("/v1/channels/{id}/statements?date={date}")).await?;
    page.ask("batches", &format!("/v1/reconciliations?channel={id}&date={date}")).await?;
    page.show()
}

/// `POST /console/reconciliation/{channel}/{date}/{act}`: fetch, run or close.
pub async fn act(
    visit: PageVisit,
    Path((id, date, act)): Path<(String, String, String)>,
    request: Request,
) -> PageResult {
    let (id, date, act) = (plain(&id)?, plain(&date)?, plain(&act)?);
    let fields = visit.form(request).await?;
    let (call, said) = match act {
        "fetch" => ("statements/fetch", "fetched"),
        "run" => ("reconciliations", "run"),
        "close" => ("clearing/close", "closed"),
        _ => return Err(visit.refuse(StatusCode::NOT_FOUND, "problem.no_page")),
    };
    let body = members(&fields, &["reason"]);
    visit.send(Method::POST, &format!("/v1/channels/{id}/{call}?date={date}"), &body).await?;
    Ok(visit.done(&format!("/console/reconciliation/{id}/{date}"), said))
}

/// `GET /console/batches/{batch}?after=`
pub async fn batch(visit: PageVisit, Path(id): Path<String>) -> PageResult {
    let id = plain(&id)?;
    let mut page = visit.page("batch");
    page.ask("batch", &format!("/v1/reconciliations/{id}")).await?;
    let path = visit.call_path(&format!("/v1/reconciliations/{id}/differences"), &["after"]);
    page.list("found", &path).await?;
    page.show()
}

/// `GET /console/differences?channel=&state=&after=`
pub async fn differences(visit: PageVisit) -> PageResult {
    let mut page = visit.page("differences");
    let known = page.ask("known", "/v1/channels").await?;
    let first = known["channels"][0]["id"].as_str().unwrap_or_default();
    let channel = visit.asked("channel").unwrap_or(first).to_owned();
    let path = visit.call_path("/v1/differences", &["state", "after"]);
    let (path, query) = path.split_once('?').unwrap_or((&path, ""));
    let query = crate::console::desk::pairs(query.as_bytes());
    page.list("found", &link(path, &query, &[("channel", &channel)])).await?;
    page.put("channel", channel);
    page.show()
}

/// `GET /console/differences/{id}`
pub async fn difference(visit: PageVisit, Path(id): Path<String>) -> PageResult {
    let mut page = visit.page("difference");
    page.ask("one", &format!("/v1/differences/{}", plain(&id)?)).await?;
    page.show()
}

/// `POST /console/differences/resolve`: one remedy for each of the chosen ones.
pub async fn resolve(visit: PageVisit, request: Request) -> PageResult {
    let (ids, fields) = visit.form_of_many(request).await?;
    let body = members(&fields, &["remedy", "merchant_id", "reason"]);
    each(&visit, &ids, |id| format!("/v1/differences/{id}/resolve"), &body).await?;
    let channel = fields.get("channel").cloned().unwrap_or_default();
    let query = BTreeMap::from([("channel".to_owned(), channel)]);
    Ok(visit.done(&link("/console/differences", &query, &[]), "balanced"))
}

/// `GET /console/settlement?channel=&after=`
pub async fn settlements(visit: PageVisit) -> PageResult {
    let mut page = visit.page("settlement");
    let known = page.ask("known", "/v1/channels").await?;
    let channel = match visit.asked("channel") {
        Some(channel) => channel.to_owned(),
        None => known["channels"][0]["id"].as_str().unwrap_or_default().to_owned(),
    };
    let path = format!("/v1/channels/{}/settlements", plain(&channel)?);
    page.list("found", &visit.call_path(&path, &["after"])).await?;
    page.put("channel", channel);
    page.show()
}

/// `GET /console/settlement/{id}`
pub async fn settlement(visit: PageVisit, Path(id): Path<String>) -> PageResult {
    let mut page = visit.page("settlement_one");
    page.ask("one", &format!("/v1/settlements/{}", plain(&id)?)).await?;
    page.show()
}

/// `POST /console/settlement`: a receipt of the bank's, its amount in major units.
pub async fn record(visit: PageVisit, request: Request) -> PageResult {
    let fields = visit.form(request).await?;
    let mut body = members(&fields, &["from", "to", "currency", "bank_reference", "received_on"]);
    body["amount"] = visit.amount(&fields)?.map_or(Value::Null, Value::from);
    let channel = fields.get("channel").map(String::as_str).unwrap_or_default();
    let path = format!("/v1/channels/{}/settlements", plain(channel)?);
    let recorded = visit.send(Method::POST, &path, &body).await?;
    let id = recorded["id"].as_str().unwrap_or_default();
    Ok(visit.done(&format!("/console/settlement/{id}"), "recorded"))
}

/// `POST /console/settlement/{id}/check`
pub async fn check(visit: PageVisit, Path(id): Path<String>, request: Request) -> PageResult {
    let id = plain(&id)?;
    visit.form(request).await?;
    visit.send(Method::POST, &format!("/v1/settlements/{id}/check"), &json!({})).await?;
    Ok(visit.done(&format!("/console/settlement/{id}"), "checked"))
}
