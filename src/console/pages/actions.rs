//! What an order's story offers to do: each form is made of the action that the story describes,
//! and what it sends is held against the story as it is then.

use std::collections::BTreeMap;

use axum::extract::{Path, Request};
use http::{Method, StatusCode};
use serde_json::{Map, Value, json};

use super::{orders, plain};
use crate::console::desk::{PageResult, PageVisit};
use crate::domain::money::{Currency, parse_major};

/// Where the calls of actions lie.
const CALLS_BELOW: &str = "/v1/";

/// `POST /console/orders/{id}/actions/{name}`: carries out what the story names at this moment, as
/// it names it. A refusal is shown on the order's page, with what was typed.
pub async fn carry_out(
    visit: PageVisit,
    Path((id, name)): Path<(String, String)>,
    request: Request,
) -> PageResult {
    let (id, fields) = (plain(&id)?, visit.form(request).await?);
    let path = format!("/v1/orders/{id}/story");
    let story = visit.accepted(visit.try_send(Method::GET, &path, None).await)?;
    let wanted = fields.get("path").map(String::as_str).unwrap_or_default();
    let language = visit.language();
    let (status, problem) = match named(&story, &name, wanted) {
        None => (StatusCode::CONFLICT, json!({ "title": language.text("problem.no_action") })),
        Some((method, action)) => {
            match body(action, &fields, story["order"]["currency"].as_str().unwrap_or_default()) {
                Err(field) => {
                    let problem =
                        json!({ "title": language.text("problem.amount"), "field": field });
                    (StatusCode::UNPROCESSABLE_ENTITY, problem)
                }
                Ok(body) => {
                    let answer = visit.try_send(method, wanted, Some(&body)).await;
                    let answer = visit.still_known(answer)?;
                    if answer.status.is_success() {
                        return after(&visit, id, &answer.body);
                    }
                    (answer.status, answer.body)
                }
            }
        }
    };
    let mut page = orders::told(&visit, id).await?;
    page.put("tried", json!({ "name": name, "path": wanted, "fields": fields }));
    page.show_refused(status, &problem)
}

/// The action of this name and path, if the story has it.
fn named<'story>(story: &'story Value, name: &str, path: &str) -> Option<(Method, &'story Value)> {
    let events = story["events"].as_array().into_iter().flatten();
    let mut actions = events.flat_map(|event| event["actions"].as_array().into_iter().flatten());
    let action = actions.find(|action| action["name"] == name && action["path"] == path)?;
    let method = action["method"].as_str()?.parse().ok()?;
    path.starts_with(CALLS_BELOW).then_some((method, action))
}

/// The body of an action's call: those of its fields that were filled in. A field with a greatest
/// number is an amount, typed in major units; the name of one that is none is the error.
fn body<'story>(
    action: &'story Value,
    fields: &BTreeMap<String, String>,
    currency: &str,
) -> Result<Value, &'story str> {
    let mut body = Map::new();
    for field in action["fields"].as_array().into_iter().flatten() {
        let name = field["name"].as_str().unwrap_or_default();
        let typed = fields.get(name).filter(|text| !text.trim().is_empty());
        let Some(typed) = typed else { continue };
        let value = match field["most"].is_number() {
            // Left out, an amount may stand for all that is left: what cannot be read is not.
            true => {
                let currency = Currency::parse(currency).ok_or(name)?;
                parse_major(typed.trim(), currency).map(Value::from).map_err(|_| name)?
            }
            false => Value::from(typed.trim()),
        };
        body.insert(name.to_owned(), value);
    }
    Ok(Value::Object(body))
}

/// Where it goes on: at the order that the call has made, or at this one.
fn after(visit: &PageVisit, id: &str, answer: &Value) -> PageResult {
    let made = answer["id"].as_str().filter(|_| answer["kind"].is_string());
    match made.filter(|made| *made != id).and_then(|made| plain(made).ok()) {
        Some(made) => Ok(visit.done(&format!("/console/orders/{made}"), "taken")),
        None => Ok(visit.done(&format!("/console/orders/{id}"), "carried_out")),
    }
}
