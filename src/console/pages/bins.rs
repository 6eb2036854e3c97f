//! The BIN table: look-ups, its versions with what each changed, refresh and return.

use std::collections::BTreeMap;

use axum::extract::{Path, Request};
use http::Method;
use serde_json::{Value, json};

use super::plain;
use crate::console::desk::{PageResult, PageVisit, link, members};

/// `GET /console/bins?prefix=&length=`
pub async fn show(visit: PageVisit) -> PageResult {
    let mut page = visit.page("bins");
    if let Some(prefix) = visit.asked("prefix") {
        // The form takes twelve digits at most, so that no card number stands in a URL.
        let path = visit.call_path(&format!("/v1/bins/{}", plain(prefix)?), &["length"]);
        page.ask_if_there("found", &path).await?;
        page.put("asked", true);
    }
    page.ask("table", "/v1/bin-table").await?;
    page.show()
}

/// `GET /console/bins/changes?from=&to=&after=&names_after=`
pub async fn changes(visit: PageVisit) -> PageResult {
    let mut page = visit.page("bin_changes");
    let names = visit.call_path("/v1/bin-table/issuer-changes", &["from", "to"]);
    let after = match visit.asked("names_after") {
        Some(after) => format!("&after={}", plain(after)?),
        None => String::new(),
    };
    let names = page.ask("names", &format!("{names}{after}")).await?;
    if let Some(next) = names["next"].as_str() {
        let next = link(visit.path(), &visit.query, &[("names_after", next), ("said", "")]);
        page.put("next_names", next);
    }
    let path = visit.call_path("/v1/bin-table/changes", &["from", "to", "after"]);
    page.list("found", &path).await?;
    page.show()
}

/// `GET /console/bins/proposals?state=&after=`
pub async fn proposals(visit: PageVisit) -> PageResult {
    let mut page = visit.page("bin_proposals");
    page.list("found", &visit.call_path("/v1/bin-proposals", &["state", "after"])).await?;
    page.show()
}

/// `POST /console/bins/proposals/{id}/{verb}`: accept or refuse.
pub async fn decide(
    visit: PageVisit,
    Path((id, verb)): Path<(String, String)>,
    request: Request,
) -> PageResult {
    let (id, verb, fields) = (plain(&id)?, plain(&verb)?, visit.form(request).await?);
    let body = members(&fields, &["reason"]);
    visit.send(Method::POST, &format!("/v1/bin-proposals/{id}/{verb}"), &body).await?;
    let said = if verb == "accept" { "taken_into_table" } else { "not_proposed_again" };
    Ok(visit.done("/console/bins/proposals", said))
}

/// `POST /console/bins/refresh`
pub async fn refresh(visit: PageVisit, request: Request) -> PageResult {
    let fields = visit.form(request).await?;
    let mut body = members(&fields, &["source", "as_of", "reason"]);
    if fields.contains_key("force") {
        body["force"] = json!(true);
    }
    visit.send(Method::POST, "/v1/bin-table/refresh", &body).await?;
    Ok(visit.done("/console/bins", "refreshed"))
}

/// `POST /console/bins/rollback`
pub async fn rollback(visit: PageVisit, request: Request) -> PageResult {
    let fields = visit.form(request).await?;
    let mut body = members(&fields, &["reason"]);
    if let Some(version) = visit.number(&fields, "version")? {
        body["version"] = json!(version);
    }
    visit.send(Method::POST, "/v1/bin-table/rollback", &body).await?;
    Ok(visit.done("/console/bins", "rolled_back"))
}

/// `GET /console/routes`
pub async fn routes(visit: PageVisit) -> PageResult {
    let mut page = visit.page("routes");
    page.ask("routes", "/v1/routes").await?;
    page.put("asked", BTreeMap::<String, String>::new());
    page.show()
}

/// `POST /console/routes/reload`: accepts the moves of the reload that is held, and of no other.
pub async fn reload(visit: PageVisit, request: Request) -> PageResult {
    let fields = visit.form(request).await?;
    let mut body = members(&fields, &["reason", "files"]);
    body["accept_moves"] = json!(true);
    visit.send(Method::POST, "/v1/reload", &body).await?;
    Ok(visit.done("/console/routes", "reloaded"))
}

/// `POST /console/routes`: where an order would go, and why. A form's body, because what is asked
/// for is no page's address.
pub async fn explain(visit: PageVisit, request: Request) -> PageResult {
    let fields = visit.form(request).await?;
    let keys = ["currency", "settlement", "merchant_id", "merchant_category", "operation"];
    let mut body = members(&fields, &keys);
    match fields.get("payee_kind").filter(|kind| !kind.is_empty()) {
        Some(kind) => body["payee"] = json!({ "kind": kind }),
        None => {
            let mut card = members(&fields, &["bin"]);
            if let Some(length) = visit.number(&fields, "length")? {
                card["length"] = json!(length);
            }
            body["card"] = card;
        }
    }
    body["amount"] = visit.amount(&fields)?.map_or(Value::Null, Value::from);
    let explained = visit.send(Method::POST, "/v1/routes/explain", &body).await?;
    let mut page = visit.page("routes");
    page.ask("routes", "/v1/routes").await?;
    page.put("explained", explained);
    page.put("asked", &fields);
    page.show()
}

/// `GET /console/audit?after=`
pub async fn audit(visit: PageVisit) -> PageResult {
    let mut page = visit.page("audit");
    let newest = BTreeMap::from([("order".to_owned(), "newest".to_owned())]);
    let after = visit.asked("after").unwrap_or_default();
    page.list("found", &link("/v1/audit", &newest, &[("after", after)])).await?;
    page.show()
}

/// `GET /console/settings`
pub async fn settings(visit: PageVisit) -> PageResult {
    let mut page = visit.page("settings");
    page.ask("found", "/v1/settings").await?;
    page.ask("workers", "/v1/workers").await?;
    page.ask("nodes", "/v1/nodes").await?;
    page.ask("clock", "/v1/clock").await?;
    page.show()
}
