//! Orders: found by what they are or by any number of theirs, each with what became of it, and a
//! person's decisions on those whose end is unknown.

use std::collections::BTreeMap;

use axum::extract::{Path, Request};
use http::Method;
use serde_json::{Value, json};

use super::plain;
use crate::console::desk::{PageResult, PageView, PageVisit, Stop, link, members, see};

/// What a form may ask for, as the API has it.
const ASKED: [&str; 11] = [
    "status",
    "kind",
    "channel",
    "merchant_id",
    "currency",
    "issuer_code",
    "first_six",
    "last_four",
    "reason",
    "caller",
    "after",
];

/// `GET /console/orders?…`
pub async fn all(visit: PageVisit) -> PageResult {
    let mut page = visit.page("orders");
    let changed = [
        ("from", visit.date(&visit.query, "from", 0)?),
        ("to", visit.date(&visit.query, "to", 1)?),
        ("amount", visit.amount(&visit.query)?.map(|minor| minor.to_string())),
    ];
    let path = visit.call_path("/v1/orders", &ASKED);
    let (path, query) = path.split_once('?').unwrap_or((&path, ""));
    let query = crate::console::desk::pairs(query.as_bytes());
    let changed = changed.iter().filter_map(|(key, value)| Some((*key, value.as_deref()?)));
    let changed: Vec<_> = changed.collect();
    page.list("found", &link(path, &query, &changed)).await?;
    page.ask("known", "/v1/channels").await?;
    page.show()
}

/// `POST /console/orders/find`: by any number. What is typed stands in no URL: it may be a card's,
/// or a payee's account, which are then looked for by their digests.
pub async fn find(visit: PageVisit, request: Request) -> PageResult {
    let fields = visit.form(request).await?;
    let number = fields.get("number").map(|text| text.trim()).unwrap_or_default();
    let path = link("/v1/orders/find", &BTreeMap::new(), &[("number", number)]);
    let answer = visit.try_send(Method::GET, &path, None).await;
    let search = async |asked: Value| visit.send(Method::POST, "/v1/orders/search", &asked).await;
    let found = if answer.body["code"] == "card_number_found" {
        search(json!({ "card": { "pan": number } })).await?
    } else if number.contains('@') {
        search(json!({ "payee": { "account": number } })).await?
    } else {
        let found = visit.accepted(answer)?;
        // A phone number is of the form of many numbers.
        match found["orders"].as_array().is_some_and(Vec::is_empty) {
            true => search(json!({ "payee": { "account": number } })).await?,
            false => found,
        }
    };
    let orders = found["orders"].as_array().cloned().unwrap_or_default();
    if let ([only], None) = (orders.as_slice(), found.get("next")) {
        return Ok(see(&format!("/console/orders/{}", only["id"].as_str().unwrap_or_default())));
    }
    let mut page = visit.page("orders");
    page.put("found", &found);
    page.put("searched", true);
    page.ask("known", "/v1/channels").await?;
    page.show()
}

/// `GET /console/orders/{id}`
pub async fn one(visit: PageVisit, Path(id): Path<String>) -> PageResult {
    told(&visit, plain(&id)?).await?.show()
}

/// An order's page, on its way.
pub async fn told<'visit>(visit: &'visit PageVisit, id: &str) -> Result<PageView<'visit>, Stop> {
    let mut page = visit.page("order");
    page.ask("order", &format!("/v1/payments/{id}")).await?;
    page.ask_if_there("entry", &format!("/v1/reversals/{id}")).await?;
    let language = visit.language().name();
    page.ask("story", &format!("/v1/orders/{id}/story?language={language}")).await?;
    page.ask_if_there("notice", &format!("/v1/notices/{id}")).await?;
    // The first request of an order's chain.
    page.ask_if_there("booking", &format!("/v1/accounting-requests/{id}-1")).await?;
    Ok(page)
}

/// `GET /console/unknowns?phase=&channel=&after=`: the temp reversal table.
pub async fn unknowns(visit: PageVisit) -> PageResult {
    let mut page = visit.page("unknowns");
    let path = visit.call_path("/v1/reversals", &["phase", "channel", "after", "limit"]);
    page.list("found", &path).await?;
    page.ask("known", "/v1/channels").await?;
    page.show()
}

/// `POST /console/orders/{id}/retry`
pub async fn retry(visit: PageVisit, Path(id): Path<String>, request: Request) -> PageResult {
    let (id, fields) = (plain(&id)?, visit.form(request).await?);
    let body = members(&fields, &["reason"]);
    visit.send(Method::POST, &format!("/v1/reversals/{id}/retry"), &body).await?;
    Ok(visit.done(&format!("/console/orders/{id}"), "retried"))
}

/// `POST /console/orders/{id}/resolve`
pub async fn resolve(visit: PageVisit, Path(id): Path<String>, request: Request) -> PageResult {
    let (id, fields) = (plain(&id)?, visit.form(request).await?);
    let body = members(&fields, &["outcome", "reason"]);
    visit.send(Method::POST, &format!("/v1/reversals/{id}/resolve"), &body).await?;
    Ok(visit.done(&format!("/console/orders/{id}"), "resolved"))
}
