//! The OpenAPI document, made of the routes' entries.

use std::collections::BTreeMap;

use schemars::generate::SchemaSettings;
use schemars::{Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use crate::api::error::ProblemCode as P;
use crate::api::input::forms::RequestForm;
use crate::api::language::Language;
use crate::api::openapi::parameters::{CallParameter, of_every_call};
use crate::api::openapi::problem::{problem_examples, problem_form};
use crate::api::openapi::{Answered, Content, Endpoint, FourEyes, RequestContent, routes};
use crate::codec::notice::OrderNotice;
use crate::codec::voucher::{Voucher, Vouchers};

const JSON: &str = "application/json";
const PROBLEM: &str = "application/problem+json";

/// Problems of every call of a caller.
const OF_CALLERS: [P; 4] =
    [P::Unauthorized, P::Forbidden, P::CertificateRequired, P::TooManyRequests];
/// Problems of every body.
const OF_BODIES: [P; 3] = [P::UnsupportedMediaType, P::BodyTooLarge, P::RequestTimeout];
/// Problems of every JSON body besides.
const OF_OBJECTS: [P; 4] = [P::MalformedJson, P::UnknownField, P::MissingField, P::InvalidField];
/// Problems of whatever reads the books.
const OF_BOOKS: [P; 4] = [P::QueueFull, P::StoreUnavailable, P::StoreFailed, P::Internal];

const ABOUT: &str = "\
A channel gateway for card payments. Amounts are integers in minor units (fen, cents), times are \
RFC 3339 in UTC, ids are texts. An unknown field or query key is refused, and so is one that \
stands twice; `null` means absent. `docs/API.md` has the ideas: what is final, what is not, how \
a call is repeated.

A change that may need a second operator has `x-four-eyes`, and answers 202 with an `approval` \
then; of every other one that an operator may make, `x-one-person` says why one is enough.

A route's roles are in `x-roles`; without any it needs no key. The problems of each answer are in \
`x-problems`; `/errors` has the cause and the remedy of each.

Limits: a header of 32 KB or 64 lines (431, without a body), a body of `server.body_bytes_max` (a \
BIN table: 32 MB; a statement: `server.statement_bytes_max`; a channel's notice: 64 KB), the time \
for header and body (`server.request_timeout`), a caller's rate (`caller_limits`).";

/// Headers of answers, with what they say.
const ANSWER_HEADERS: [(&str, &str, &str); 6] = [
    (
        "X-Request-Id",
        "RequestId",
        "The id of the call: the caller's, if it has a fit one, else ours.",
    ),
    (
        "Idempotent-Replayed",
        "IdempotentReplayed",
        "`true` where the answer repeats an earlier one.",
    ),
    ("Preference-Applied", "PreferenceApplied", "`wait=N`: how long was waited at most."),
    ("Retry-After", "RetryAfter", "Seconds after which the call may be sent again."),
    ("WWW-Authenticate", "WwwAuthenticate", "`Bearer`: how a key is shown."),
    (
        "Content-Language",
        "ContentLanguage",
        "The language of the sentences, or of the problem's title: `en` or `zh`.",
    ),
];

/// The document. It is the same for every installation.
pub fn document() -> Value {
    let mut settings = SchemaSettings::draft2020_12().for_serialize();
    settings.definitions_path = "/components/schemas".into();
    let mut forms = settings.into_generator();
    let mut bodies: BTreeMap<&'static str, Value> = BTreeMap::new();
    let (mut paths, mut tags) = (Map::new(), Vec::<Value>::new());
    for (tag, about, endpoints) in routes::by_tag() {
        tags.push(json!({ "name": tag, "description": about }));
        for endpoint in &endpoints {
            let mut operation = operation(endpoint, &mut forms, &mut bodies);
            operation["tags"] = json!([tag]);
            let path = paths.entry(endpoint.path).or_insert_with(|| json!({}));
            path[endpoint.method] = operation;
        }
    }
    let webhooks = webhooks(&mut forms);
    let mut schemas = Map::new();
    for (name, mut form) in forms.take_definitions(true) {
        leave_out_rather_than_null(&mut form);
        schemas.insert(name, form);
    }
    schemas.extend(bodies.into_iter().map(|(name, form)| (name.to_owned(), form)));
    schemas.insert("Problem".to_owned(), problem_form());
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Switchyard",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": "A channel gateway for card payments",
            "description": ABOUT,
            "license": { "name": "Apache License 2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "/", "description": "The daemon that serves this document" }],
        "tags": tags,
        "paths": paths,
        "webhooks": webhooks,
        "components": {
            "schemas": schemas,
            "parameters": shared_parameters(),
            "headers": shared_headers(),
            "examples": problem_examples(),
            "securitySchemes": {
                "key": {
                    "type": "http", "scheme": "bearer",
                    "description": "A caller's key (`[[callers]]`). A caller that is bound to a \
                     client certificate shows that, too.",
                },
            },
        },
    })
}

fn operation(
    endpoint: &Endpoint,
    forms: &mut SchemaGenerator,
    bodies: &mut BTreeMap<&'static str, Value>,
) -> Value {
    let mut operation = json!({ "operationId": endpoint.id, "summary": endpoint.summary });
    if !endpoint.details.is_empty() {
        operation["description"] = endpoint.details.into();
    }
    let shared = of_every_call()
        .into_iter()
        .map(|(component, _)| json!({ "$ref": format!("#/components/parameters/{component}") }));
    let own = endpoint.parameters.iter().map(parameter);
    operation["parameters"] = own.chain(shared).collect();
    if let Some(body) = &endpoint.body {
        operation["requestBody"] = request_body(body, bodies);
    }
    operation["responses"] = responses(endpoint, forms);
    operation["security"] =
        if endpoint.roles.is_empty() { json!([]) } else { json!([{ "key": [] }]) };
    match &endpoint.eyes {
        Some(FourEyes::Held(kind)) => operation["x-four-eyes"] = kind.name().into(),
        Some(FourEyes::Alone(why)) => operation["x-one-person"] = (*why).into(),
        None => {}
    }
    operation["x-roles"] = endpoint.roles.iter().map(|role| role.name()).collect();
    operation
}

fn parameter(parameter: &CallParameter) -> Value {
    json!({
        "name": parameter.name, "in": parameter.place, "required": parameter.is_required,
        "description": parameter.what, "schema": parameter.form,
    })
}

fn request_body(body: &RequestContent, bodies: &mut BTreeMap<&'static str, Value>) -> Value {
    let (kinds, form) = match body {
        RequestContent::Json(form) => (&[][..], Some(form)),
        RequestContent::File(kinds, form) => (*kinds, form.as_ref()),
    };
    let mut content = Map::new();
    if let Some(form) = form {
        bodies.insert(form.name, form.schema());
        let referred = json!({ "$ref": format!("#/components/schemas/{}", form.name) });
        content.insert(JSON.to_owned(), json!({ "schema": referred, "example": form.example }));
    }
    for kind in kinds {
        content.insert((*kind).to_owned(), json!({ "schema": {} }));
    }
    let is_required = !form.is_some_and(|form: &RequestForm| form.may_be_empty);
    json!({ "required": is_required, "content": content })
}

/// All that a call can fail with.
fn problems(endpoint: &Endpoint) -> Vec<P> {
    let mut all = endpoint.problems.clone();
    all.push(P::TlsRequired);
    if !endpoint.roles.is_empty() {
        all.extend(OF_CALLERS);
        all.extend(OF_BOOKS);
        all.push(P::InvalidQuery);
    }
    match &endpoint.body {
        None => {}
        Some(RequestContent::Json(_) | RequestContent::File(_, Some(_))) => {
            all.extend(OF_BODIES);
            all.extend(OF_OBJECTS);
        }
        Some(RequestContent::File(_, None)) => all.extend(OF_BODIES),
    }
    if endpoint.path.contains('{') {
        all.push(P::NotFound);
    }
    all.sort_unstable_by_key(|code| (code.status().as_u16(), code.name()));
    all.dedup();
    all
}

fn responses(endpoint: &Endpoint, forms: &mut SchemaGenerator) -> Value {
    let mut all: BTreeMap<u16, Value> = BTreeMap::new();
    for (place, answered) in endpoint.answers.iter().enumerate() {
        let example = endpoint.example.filter(|_| place == 0);
        all.insert(answered.status, answer(answered, example, forms));
    }
    for code in problems(endpoint) {
        let response = all
            .entry(code.status().as_u16())
            .or_insert_with(|| json!({ "description": "", "content": {} }));
        let line = format!("`{}`: {}.", code.name(), code.title(Language::English));
        let before = response["description"].as_str().unwrap_or_default();
        let told = if before.is_empty() { line } else { format!("{before}\n{line}") };
        response["description"] = told.into();
        let referred = json!({ "$ref": format!("#/components/examples/{}", code.name()) });
        let content = &mut response["content"][PROBLEM];
        if content.is_null() {
            *content = json!({ "schema": { "$ref": "#/components/schemas/Problem" } });
        }
        content["examples"][code.name()] = referred;
        match response["x-problems"].as_array_mut() {
            Some(codes) => codes.push(code.name().into()),
            None => response["x-problems"] = json!([code.name()]),
        }
    }
    for (status, response) in &mut all {
        add_header(response, "X-Request-Id");
        if *status >= 400 {
            add_header(response, "Content-Language");
        }
        if [429, 503].contains(status) {
            add_header(response, "Retry-After");
        }
        if *status == 401 {
            add_header(response, "WWW-Authenticate");
        }
    }
    all.into_iter().map(|(status, response)| (status.to_string(), response)).collect()
}

fn add_header(response: &mut Value, name: &str) {
    let component = ANSWER_HEADERS.iter().find(|header| header.0 == name);
    let component = component.map(|header| header.1).expect("it is one of ours");
    response["headers"][name] = json!({ "$ref": format!("#/components/headers/{component}") });
}

fn answer(answered: &Answered, example: Option<&str>, forms: &mut SchemaGenerator) -> Value {
    let mut content = Map::new();
    for one in &answered.content {
        let (kind, mut held) = match one {
            Content::One(form) => (JSON, json!({ "schema": form(forms) })),
            Content::Rows(name, form) => (JSON, json!({ "schema": page_form(name, form(forms)) })),
            Content::Text(JSON) => (JSON, json!({ "schema": { "type": "object" } })),
            Content::Text("*/*") => ("*/*", json!({ "schema": {} })),
            Content::Text(kind) => (*kind, json!({ "schema": { "type": "string" } })),
        };
        if let (JSON, Some(example)) = (kind, example) {
            held["example"] = serde_json::from_str(example).expect("an example is JSON");
        }
        // Two forms of one media type: the answer has either.
        if let Some(first) = content.get_mut(kind) {
            let forms = [first["schema"].take(), held["schema"].take()];
            first["schema"] = json!({ "anyOf": forms });
            continue;
        }
        content.insert(kind.to_owned(), held);
    }
    let mut response = json!({ "description": answered.what, "content": content });
    for name in answered.headers {
        add_header(&mut response, name);
    }
    response
}

/// A page of a listing ([`crate::api::page`]).
fn page_form(name: &str, row: Schema) -> Value {
    json!({
        "type": "object",
        "properties": {
            name: { "type": "array", "items": row },
            "next": {
                "type": "string",
                "description": "The `after` of the next page; absent at the end.",
            },
        },
        "required": [name],
    })
}

/// A field that may be left out is left out where it has no value, and is never null.
fn leave_out_rather_than_null(form: &mut Value) {
    let Value::Object(object) = form else {
        if let Value::Array(list) = form {
            list.iter_mut().for_each(leave_out_rather_than_null);
        }
        return;
    };
    let required: Vec<String> =
        object.get("required").and_then(Value::as_array).map_or_else(Vec::new, |names| {
            names.iter().filter_map(Value::as_str).map(str::to_owned).collect()
        });
    if let Some(Value::Object(properties)) = object.get_mut("properties") {
        for (name, property) in properties {
            if !required.contains(name) {
                never_null(property);
            }
        }
    }
    object.values_mut().for_each(leave_out_rather_than_null);
}

fn never_null(property: &mut Value) {
    let is_null = |value: &Value| value.is_null() || value == "null" || value["type"] == "null";
    if let Some(Value::Array(kinds)) = property.get_mut("type") {
        kinds.retain(|kind| !is_null(kind));
        if let [one] = &kinds[..] {
            property["type"] = one.clone();
        }
    }
    if let Some(Value::Array(words)) = property.get_mut("enum") {
        words.retain(|word| !is_null(word));
    }
    if let Some(Value::Array(ways)) = property.get_mut("anyOf") {
        ways.retain(|way| !is_null(way));
        if let [Value::Object(one)] = &ways[..] {
            let one = one.clone();
            let object = property.as_object_mut().expect("it has members");
            object.remove("anyOf");
            object.extend(one);
        }
    }
}

fn shared_parameters() -> Value {
    of_every_call().iter().map(|(name, one)| ((*name).to_owned(), parameter(one))).collect()
}

fn shared_headers() -> Value {
    let header = |(_, component, what): (&str, &str, &str)| {
        let kind = if component == "RetryAfter" { "integer" } else { "string" };
        (component.to_owned(), json!({ "description": what, "schema": { "type": kind } }))
    };
    ANSWER_HEADERS.into_iter().map(header).collect()
}

/// Headers of posts about one order whose call was a part of a trace.
const OF_TRACES: [(&str, &str); 2] = [
    ("traceparent", "The trace of the call that asked for the order, while it is remembered."),
    ("tracestate", "What came with it."),
];

/// What we post to others.
fn webhooks(forms: &mut SchemaGenerator) -> Value {
    let post = |id: &str, summary: &str, forms: Vec<Schema>, headers: &[(&str, &str)], refused| {
        let schema = match <[Schema; 1]>::try_from(forms) {
            Ok([one]) => one.to_value(),
            Err(several) => json!({ "anyOf": several }),
        };
        let header = |is_required: bool, (name, what): &(&str, &str)| {
            json!({
                "name": name, "in": "header", "required": is_required, "description": what,
                "schema": { "type": "string" },
            })
        };
        let headers = headers.iter().map(|one| header(true, one));
        let headers: Vec<Value> =
            headers.chain(OF_TRACES.iter().map(|one| header(false, one))).collect();
        json!({ "post": {
            "operationId": id, "summary": summary, "tags": ["Deliveries"],
            "parameters": headers,
            "requestBody": { "required": true, "content": { JSON: { "schema": schema } } },
            "responses": {
                "200": { "description": "Acknowledged; any 2xx and 409 are." },
                "400": { "description": refused },
            },
            "security": [],
        } })
    };
    let form = |forms: &mut SchemaGenerator| forms.subschema_for::<OrderNotice<'static>>();
    let signed = [
        ("webhook-id", "The order's id, the same at every try."),
        ("webhook-timestamp", "The time of this try, in seconds since 1970."),
        ("webhook-signature", "`v1,` and the base64 of HMAC-SHA256, for each key in force."),
    ];
    let notice = post(
        "tellEnd",
        "Tell the core how an order has ended (Standard Webhooks)",
        vec![form(forms)],
        &signed,
        "Not acknowledged: it is posted again, whatever the status, for `notices.retry_for`.",
    );
    let vouchers =
        vec![forms.subschema_for::<Voucher<'static>>(), forms.subschema_for::<Vouchers<'static>>()];
    let key = [("Idempotency-Key", "The request's id, where the body is one voucher.")];
    let request = post(
        "book",
        "Have the accounting system book a request",
        vouchers,
        &key,
        "Refused, and parked for a person; any 4xx but 408, 425 and 429 is.",
    );
    json!({ "orderEnded": notice, "accountingRequest": request })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use crate::config::checked::Role;
    use crate::domain::approval::HeldKind;

    use super::*;

    /// Every schema below this one, with its place.
    fn below<'s>(place: &str, schema: &'s Value, found: &mut Vec<(String, &'s Value)>) {
        match schema {
            Value::Object(members) => {
                found.push((place.to_owned(), schema));
                for (name, member) in members {
                    below(&format!("{place}/{name}"), member, found);
                }
            }
            Value::Array(items) => items.iter().for_each(|item| below(place, item, found)),
            _ => {}
        }
    }

    #[test]
    fn every_route_is_described() {
        let mut ids = BTreeSet::new();
        for endpoint in routes::all() {
            let name = format!("{} {}", endpoint.method, endpoint.path);
            assert!(ids.insert(endpoint.id), "{name}: `{}` is another one, too", endpoint.id);
            assert!(endpoint.id.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{name}");
            assert!(!endpoint.summary.is_empty() && !endpoint.summary.ends_with('.'), "{name}");
            let good = endpoint.answers.iter().any(|answered| answered.status < 300);
            assert!(good, "{name} has no good answer");
            let open = !endpoint.path.starts_with("/v1/");
            assert_eq!(endpoint.roles.is_empty(), open, "{name}: what a caller asks has roles");
            let is_read = endpoint.method == "get";
            assert!(!is_read || endpoint.body.is_none(), "{name}: a body of a GET");
        }
        let document = document();
        let count: usize = document["paths"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(_, path)| path.as_object().map_or(0, Map::len))
            .sum();
        assert_eq!(count, ids.len(), "a path with its method stands once");
    }

    /// A change that an operator may make needs two people, or says why one is enough; and every
    /// kind of action that can be held has a door where it is.
    #[test]
    fn every_change_of_an_operator_says_whether_two_people_are_needed() {
        let mut held = BTreeSet::new();
        for endpoint in routes::all() {
            let (method, path) = (endpoint.method, endpoint.path);
            let changes = method != "get" && endpoint.roles.contains(&Role::Operator);
            assert_eq!(endpoint.eyes.is_some(), changes, "{method} {path}");
            match endpoint.eyes {
                Some(FourEyes::Held(kind)) => drop(held.insert(kind)),
                Some(FourEyes::Alone(why)) => assert!(why.len() > 10, "{method} {path}: {why}"),
                None => {}
            }
        }
        assert_eq!(held, BTreeSet::from(HeldKind::ALL));
    }

    #[test]
    fn every_field_has_its_words_and_every_form_its_use() {
        let document = document();
        let schemas = document["components"]["schemas"].as_object().expect("forms");
        let mut found = Vec::new();
        for (name, schema) in schemas {
            assert!(!name.ends_with(|last: char| last.is_ascii_digit()), "{name} is two forms");
            below(name, schema, &mut found);
        }
        for (place, schema) in &found {
            for (name, field) in schema["properties"].as_object().into_iter().flatten() {
                assert!(field["description"].is_string(), "{place}: `{name}` has no words");
            }
        }
        let text = document.to_string();
        for name in schemas.keys() {
            assert!(text.contains(&format!("\"#/components/schemas/{name}\"")), "{name} is unused");
        }
        for code in P::ALL {
            let used = text.contains(&format!("\"#/components/examples/{}\"", code.name()));
            assert_ne!(
                used,
                code == P::MethodNotAllowed,
                "{code}: it is told before a route is \
            known"
            );
        }
    }
}
