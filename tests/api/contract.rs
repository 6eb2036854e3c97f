//! The document and the daemon say the same. Beside these tests, each answer to any test of this
//! program is held against the document ([`Gateway::send`]).

use reqwest::Method;
use serde_json::{Value, json};

use crate::gateway::{CONTRACT, Gateway, payment};

const CALLERS: [&str; 3] = ["core", "operator", "auditor"];

/// A path with its variable parts filled in.
struct Places {
    payment: String,
    preauth: String,
}

impl Places {
    /// Orders that the paths lead to.
    async fn of(gateway: &Gateway) -> Self {
        let paid = gateway.pay(&payment("ground-1")).await.json();
        let held = gateway.post("core", "/v1/preauths", &payment("ground-2")).await.json();
        let id = |order: &Value| order["id"].as_str().expect("an id").to_owned();
        Self { payment: id(&paid), preauth: id(&held) }
    }

    fn fill(&self, path: &str) -> String {
        let id = match path.split('/').nth(2) {
            Some("channels") => "unionpay",
            Some("preauths") => &self.preauth,
            Some("accounting-requests") => "2611220000000000017-1",
            _ => &self.payment,
        };
        let filled = path.replace("{id}", id).replace("{batch}", "2611220000000000031");
        filled
            .replace("{prefix}", "621626")
            .replace("{code}", "no_route")
            .replace("{channel}", "unionpay")
    }
}

/// A caller that may make a call: an operator wherever one may.
fn caller_of(operation: &Value) -> &'static str {
    let roles = operation["x-roles"].as_array().expect("roles");
    let may = |caller: &&str| roles.contains(&(*caller).into());
    ["operator", "core"].into_iter().find(may).unwrap_or_default()
}

fn method(name: &str) -> Method {
    name.to_uppercase().parse().expect("a method")
}

#[tokio::test]
async fn the_document_and_its_page_need_no_key() {
    let gateway = Gateway::start().await;
    let shown = gateway.get("", "/openapi.json").await;
    assert_eq!(
        (shown.status.as_u16(), shown.header("content-type")),
        (200, Some("application/json"))
    );
    assert_eq!(shown.json(), *CONTRACT.document());
    let page = gateway.get("", "/docs").await;
    assert_eq!(page.status.as_u16(), 200);
    assert!(page.header("content-security-policy").is_some_and(|policy| policy.contains("'none'")));
}

#[tokio::test]
async fn every_route_admits_the_roles_that_the_document_names_and_no_other() {
    let gateway = Gateway::start().await;
    let places = Places::of(&gateway).await;
    let mut seen = 0;
    for (name, path, operation) in CONTRACT.operations() {
        let filled = places.fill(path);
        let roles = operation["x-roles"].as_array().expect("roles");
        let call = |caller: &str| gateway.request(caller, method(name), &filled);
        let bare = gateway.send(call("")).await;
        assert_eq!(bare.status == 401, !roles.is_empty(), "{name} {path}: {}", bare.text);
        assert_ne!(bare.status, 405, "{name} {path}");
        assert_eq!(operation["security"] == json!([]), roles.is_empty(), "{name} {path}");
        for caller in CALLERS.into_iter().filter(|_| !roles.is_empty()) {
            let answer = gateway.send(call(caller)).await;
            let refused = answer.status == 403;
            assert_eq!(refused, !roles.contains(&caller.into()), "{name} {path} {caller}");
            seen += 1;
        }
    }
    assert!(seen > 150, "{seen}");
}

/// A required field, and where it stands.
fn required(form: &Value, pointer: &str) -> Vec<String> {
    let form = match form["$ref"].as_str() {
        Some(target) => CONTRACT.document().pointer(&target[1..]).expect("it leads somewhere"),
        None => form,
    };
    let names = form["required"].as_array().into_iter().flatten();
    let names = names.map(|name| name.as_str().expect("a name"));
    names
        .flat_map(|name| {
            let own = format!("{pointer}/{name}");
            let inside = required(&form["properties"][name], &own);
            std::iter::once(own).chain(inside)
        })
        .collect()
}

fn without(mut body: Value, pointer: &str) -> Value {
    let (parent, name) = pointer.rsplit_once('/').expect("a pointer");
    let parent = body.pointer_mut(parent).and_then(Value::as_object_mut).expect("an object");
    parent.remove(name).expect("the example has every required field");
    body
}

#[tokio::test]
async fn every_body_of_the_document_is_read_as_it_says() {
    let gateway = Gateway::start().await;
    let places = Places::of(&gateway).await;
    let mut seen = 0;
    for (name, path, operation) in CONTRACT.operations() {
        let body = &operation["requestBody"]["content"]["application/json"];
        if body.is_null() {
            continue;
        }
        let needs_date = operation["parameters"]
            .as_array()
            .expect("parameters")
            .iter()
            .any(|one| one["name"] == "date" && one["required"] == true);
        let query = if needs_date { "?date=2026-11-20" } else { "" };
        let filled = format!("{}{query}", places.fill(path));
        let call = async |body: &Value| {
            let request = gateway.request(caller_of(operation), method(name), &filled);
            let request = request.header("content-type", "application/json");
            gateway.send(request.body(body.to_string())).await
        };
        let code = |answer: &crate::gateway::Answer| {
            let problem = answer.status.as_u16() >= 400;
            problem.then(|| answer.json()["code"].as_str().expect("a code").to_owned())
        };
        let example = &body["example"];
        let taken = call(example).await;
        assert_ne!(taken.status.as_u16(), 400, "{name} {path}: {}", taken.text);
        assert_ne!(code(&taken).as_deref(), Some("invalid_field"), "{name} {path}: {}", taken.text);
        for pointer in required(&body["schema"], "") {
            let answer = call(&without(example.clone(), &pointer)).await;
            assert_eq!(code(&answer).as_deref(), Some("missing_field"), "{path}: {}", answer.text);
            let field = pointer[1..].replace('/', ".");
            assert_eq!(answer.json()["field"], field, "{path}");
        }
        let mut strange = example.clone();
        strange["surprise"] = 1.into();
        let answer = call(&strange).await;
        assert_eq!(code(&answer).as_deref(), Some("unknown_field"), "{path}: {}", answer.text);
        assert_eq!(answer.json()["field"], "surprise", "{path}");
        seen += 1;
    }
    assert!(seen > 20, "{seen}");
}

/// What the queries that must be there are asked with.
const ASKED: [(&str, &str); 6] = [
    ("date", "2026-11-20"),
    ("order_id", "A-1"),
    ("number", "A-1"),
    ("length", "19"),
    ("from", "0"),
    ("channel", "unionpay"),
];

#[tokio::test]
async fn a_key_that_no_call_knows_is_refused_whatever_the_method() {
    let gateway = Gateway::start().await;
    let places = Places::of(&gateway).await;
    let mut seen = 0;
    for (name, path, operation) in CONTRACT.operations() {
        if operation["x-roles"] == json!([]) {
            continue;
        }
        let parameters = operation["parameters"].as_array().expect("parameters");
        let needed =
            parameters.iter().filter(|one| one["in"] == "query" && one["required"] == true);
        let needed = needed.map(|one| {
            let known = ASKED.iter().find(|(known, _)| one["name"] == *known);
            let (key, value) = known.unwrap_or_else(|| panic!("{path} needs {}", one["name"]));
            format!("{key}={value}&")
        });
        let filled = format!("{}?{}surprise=1", places.fill(path), needed.collect::<String>());
        let mut request = gateway.request(caller_of(operation), method(name), &filled);
        let example = &operation["requestBody"]["content"]["application/json"]["example"];
        if !example.is_null() {
            request = request.header("content-type", "application/json").body(example.to_string());
        }
        let answer = gateway.send(request).await;
        assert_eq!(answer.problem(), (400, "invalid_query".to_owned()), "{name} {path}");
        assert_eq!(answer.json()["field"], "surprise", "{name} {path}");
        seen += 1;
    }
    assert!(seen > 60, "{seen}");
}

#[tokio::test]
async fn what_is_shown_is_shown_under_200_whatever_its_state() {
    for (name, path, operation) in CONTRACT.operations().filter(|(name, ..)| *name == "get") {
        let good = operation["responses"].as_object().expect("answers").keys();
        let good: Vec<&String> = good.filter(|status| status.starts_with('2')).collect();
        assert_eq!(good, ["200"], "{name} {path}");
    }
}

#[tokio::test]
async fn a_method_that_a_path_does_not_have_is_told_with_those_that_it_has() {
    let gateway = Gateway::start().await;
    let rows = [
        (Method::OPTIONS, "/v1/payments", ["GET", "HEAD", "POST"].as_slice()),
        (Method::PUT, "/v1/channels/unionpay", &["GET", "HEAD", "PATCH"]),
        (Method::TRACE, "/healthz", &["GET", "HEAD"]),
        (Method::GET, "/notices/unionpay", &["POST"]),
    ];
    for (method, path, allowed) in rows {
        let answer = gateway.send(gateway.request("operator", method.clone(), path)).await;
        assert_eq!(answer.problem(), (405, "method_not_allowed".to_owned()), "{method} {path}");
        let told = answer.header("allow").expect("the methods that there are");
        let mut told: Vec<&str> = told.split(',').map(str::trim).collect();
        told.sort_unstable();
        assert_eq!(told, allowed, "{method} {path}");
    }
    // A look without its body.
    for path in ["/healthz", "/readyz", "/openapi.json", "/v1/channels"] {
        let answer = gateway.request("operator", Method::HEAD, path).send().await;
        let answer = answer.expect("an answer");
        assert!(answer.status() == 200 && answer.headers().contains_key("x-request-id"), "{path}");
        assert_eq!(answer.text().await.expect("no body"), "", "{path}");
    }
}
