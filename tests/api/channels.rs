//! Channels, their switch, and the plan.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use switchyard::domain::route::replay::RouteSet;
use switchyard::engine::replay::ReplayPeriod;

use crate::gateway::{Answer, CARD, Gateway, members};

async fn switch(gateway: &Gateway, id: &str, body: &Value) -> Answer {
    let request = gateway.request("operator", Method::PATCH, &format!("/v1/channels/{id}"));
    let request = request.header("content-type", "application/json");
    gateway.send(request.body(body.to_string())).await
}

#[tokio::test]
async fn a_channel_tells_its_limits_and_health() {
    let gateway = Gateway::start().await;
    let all = gateway.get("auditor", "/v1/channels").await.json();
    let one = gateway.get("auditor", "/v1/channels/unionpay").await.json();
    assert_eq!(all["channels"], json!([one]));
    for (pointer, expected) in [
        ("/id", json!("unionpay")),
        ("/protocol", json!("unionpay-acp")),
        ("/state", json!("live")),
        ("/enabled", json!(true)),
        (
            "/operations",
            json!([
                "payment", "refund", "void", "preauth", "capture", "payout", "undo", "inquiry",
                "reversal"
            ]),
        ),
        ("/currencies", json!(["CNY"])),
        ("/limits/per_order_max", json!(5_000_000)),
        ("/limits/left_today", json!(100_000_000_000_i64)),
        ("/health/breaker_open", json!(false)),
        ("/health/has_room", json!(true)),
    ] {
        assert_eq!(one.pointer(pointer), Some(&expected), "{pointer} of {one}");
    }
}

#[tokio::test]
async fn a_switch_is_thrown_by_an_operator_and_kept_in_the_audit() {
    let gateway = Gateway::start().await;
    let off = json!({ "enabled": false, "reason": "maintenance" });
    let switched = switch(&gateway, "unionpay", &off).await;
    assert_eq!((switched.status.as_u16(), &switched.json()["enabled"]), (200, &json!(false)));
    let audit = gateway.get("operator", "/v1/audit").await.json();
    let entry = &audit["entries"][0];
    assert_eq!(
        members(entry, &["action", "subject", "reason"]),
        json!(["channel.disable", "unionpay", "maintenance"])
    );
    let rows = [
        ("none", json!({ "enabled": false }), (404, "channel_unknown")),
        ("unionpay", json!({}), (400, "missing_field")),
        ("unionpay", json!({ "enabled": "no" }), (422, "invalid_field")),
        ("unionpay", json!({ "enabled": true, "state": "live" }), (400, "unknown_field")),
    ];
    let commits = gateway.commits();
    for (id, body, (status, code)) in rows {
        assert_eq!(switch(&gateway, id, &body).await.problem(), (status, code.to_owned()));
    }
    assert_eq!(gateway.commits(), commits);
    assert_eq!(gateway.get("auditor", "/v1/channels/unionpay").await.json()["enabled"], false);
}

#[tokio::test]
async fn a_plan_is_explained_and_nothing_is_sent() {
    let gateway = Gateway::start().await;
    let rows = [
        json!({ "card": { "pan": CARD }, "amount": 100, "currency": "CNY" }),
        json!({ "card": { "bin": "621626", "length": 19 }, "amount": 100, "currency": "CNY" }),
    ];
    for body in rows {
        let answer = gateway.post("core", "/v1/routes/explain", &body).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        assert!(!answer.text.contains(CARD), "I-11");
        let plan = answer.json();
        assert_eq!(members(&plan, &["rule", "channels"]), json!(["default", ["unionpay"]]));
        assert_eq!(plan["card"]["bin"], "621626");
        assert_eq!(plan["rules"][0]["candidates"][0]["verdict"], "kept");
    }
    for operation in ["payment", "preauth"] {
        let mut body = json!({ "card": { "bin": "621626" }, "amount": 100, "currency": "CNY" });
        body["operation"] = operation.into();
        let plan = gateway.post("core", "/v1/routes/explain", &body).await.json();
        assert_eq!(plan["channels"], json!(["unionpay"]), "{operation}");
        body["operation"] = "refund".into();
        let refused = gateway.post("core", "/v1/routes/explain", &body).await;
        assert_eq!(refused.problem(), (422, "invalid_field".to_owned()), "it has no route");
    }
    let large = json!({ "card": { "bin": "621626" }, "amount": 5_000_001, "currency": "CNY" });
    let plan = gateway.post("core", "/v1/routes/explain", &large).await.json();
    assert_eq!(plan["channels"], json!([]));
    let candidate = &plan["rules"][0]["candidates"][0];
    assert!(candidate["reasons"][0]["detail"].is_string(), "{candidate}");
    for (card, code) in [
        (json!({ "bin": CARD }), (422, "invalid_field")),
        (json!({ "pan": "6216261000000000019" }), (422, "invalid_card_number")),
        (json!({}), (400, "missing_field")),
        (json!({ "pan": CARD, "bin": "621626" }), (400, "unknown_field")),
    ] {
        let body = json!({ "card": card, "amount": 100, "currency": "CNY" });
        let answer = gateway.post("core", "/v1/routes/explain", &body).await;
        assert_eq!(answer.problem(), (code.0, code.1.to_owned()), "{}", answer.text);
        assert!(!answer.text.contains(CARD), "I-11");
    }
    assert_eq!((gateway.commits(), gateway.bank.calls()), (0, 0));
}

#[tokio::test]
async fn the_plan_of_a_service_needs_no_amount() {
    let able = "operations = [\"payment\", \"inquiry\", \"reversal\", \"verification\"]";
    let gateway = Gateway::start_able("", able).await;
    let ask = async |body: &Value| gateway.post("core", "/v1/routes/explain", body).await;
    let asked = |operation: &str| json!({ "card": { "bin": "621626" }, "operation": operation });
    let plan = ask(&asked("verification")).await.json();
    assert_eq!(plan["channels"], json!(["unionpay"]), "{plan}");
    let plan = ask(&asked("agreement_code")).await.json();
    assert_eq!(plan["channels"], json!([]), "it binds no cards: {plan}");
    assert_eq!(plan["rules"][0]["candidates"][0]["reasons"][0]["reason"], "operation", "{plan}");
    for (field, value) in [("amount", json!(100)), ("payer", json!({ "code": "28" }))] {
        let mut body = asked("verification");
        body[field] = value;
        assert_eq!(ask(&body).await.problem(), (400, "unknown_field".to_owned()), "{field}");
    }
    let agreements = ask(&asked("agreement_end")).await;
    assert_eq!(agreements.problem(), (422, "invalid_field".to_owned()), "it has no route");
    assert_eq!(ask(&asked("payment")).await.problem(), (400, "missing_field".to_owned()));
    assert_eq!((gateway.commits(), gateway.bank.calls()), (0, 0));
}

#[tokio::test]
async fn the_orders_of_a_time_are_planned_again_under_other_rules() {
    let gateway = Gateway::start().await;
    for number in 0..3 {
        let answer = gateway.pay(&crate::gateway::payment(&format!("R-{number}"))).await;
        assert_eq!(answer.status.as_u16(), 200, "{}", answer.text);
    }
    let (commits, calls) = (gateway.commits(), gateway.bank.calls());
    let amount = crate::gateway::payment("")["amount"].as_i64().expect("an amount");
    // No order of this size has a route.
    let routes = format!(
        "[[rule]]\nname = \"small\"\nstrategy = \"priority\"\nchannels = [\"unionpay\"]\n\
         when = {{ amount_to_minor = {} }}\n",
        amount - 1
    );
    let order = gateway.order_when("R-0", |_| true).await;
    let (from, to) = (order.created_at, order.created_at.plus(Duration::from_secs(86_400)));
    let second = gateway.order_when("R-1", |_| true).await.created_at;
    let question = json!({ "from": from.rfc3339(), "to": to.rfc3339(), "routes": routes.as_str() });
    let report = gateway.post("auditor", "/v1/routes/replay", &question).await.json();
    assert_eq!(members(&report, &["orders", "moved", "undecided"]), json!([3, 3, 0]), "{report}");
    assert_eq!(report["candidate"]["without_route"], 3);
    assert_eq!(report["in_force"]["approvals"]["known"], 3);
    assert_eq!(report["in_force"]["channels"][0]["amount"], 3 * amount);
    let to_nowhere = json!([{
        "from": "unionpay", "to": null, "currency": "CNY", "orders": 3, "amount": 3 * amount,
    }]);
    assert_eq!(report["moves"], to_nowhere);

    // A file of the channel with a lower limit does the same without other rules.
    let file = std::fs::read_to_string("channels/unionpay.toml").expect("the shipped file");
    let lower = file.replace("per_order_max_minor = 5000000", "per_order_max_minor = 1");
    assert_ne!(lower, file);
    let live = lower.replace("state = \"contracted\"", "state = \"live\"");
    let question =
        json!({ "from": from.rfc3339(), "to": to.rfc3339(), "channels": { "unionpay": live } });
    let report = gateway.post("operator", "/v1/routes/replay", &question).await.json();
    let struck = json!([{ "channel": "unionpay", "reason": "above_maximum", "orders": 3 }]);
    assert_eq!(report["candidate"]["struck"], struck, "{report}");

    // Where orders are left out, it says so; where the most is just all of them, it does not.
    for (orders_max, planned, stopped_at) in
        [(1, 1, json!(from.rfc3339())), (2, 2, json!(second.rfc3339())), (3, 3, json!(null))]
    {
        let question = json!({
            "from": from.rfc3339(), "to": to.rfc3339(), "routes": routes, "orders_max": orders_max,
        });
        let report = gateway.post("operator", "/v1/routes/replay", &question).await.json();
        let told = members(&report, &["orders", "stopped_at"]);
        assert_eq!(told, json!([planned, stopped_at]), "{orders_max}");
    }
    let early = json!({ "from": "2020-01-01", "to": "2020-01-02", "routes": routes });
    let report = gateway.post("operator", "/v1/routes/replay", &early).await.json();
    assert_eq!(report["orders"], 0);
    assert_eq!((gateway.commits(), gateway.bank.calls()), (commits, calls), "nothing was done");
}

#[tokio::test]
async fn one_replay_runs_at_a_time_and_the_next_one_has_its_turn() {
    let gateway = Gateway::start().await;
    for number in 0..3 {
        let answer = gateway.pay(&crate::gateway::payment(&format!("T-{number}"))).await;
        assert_eq!(answer.status.as_u16(), 200, "{}", answer.text);
    }
    let from = gateway.order_when("T-0", |_| true).await.created_at;
    let created = from..from.plus(Duration::from_secs(86_400));
    let period = ReplayPeriod { created, orders_max: 100 };
    let rules = gateway.state.intake.routes().rules.clone();
    let registry = &gateway.state.registry;
    let set = RouteSet { rules, profiles: registry.profiles(), rates: registry.rate_terms() };
    let engine = &gateway.state.engine;
    let mut first = Box::pin(engine.replay(&period, &set, &set));
    // After its first page it gives a turn back, and goes on to hold its place.
    assert!(looked_at_once(&mut first).is_none(), "a page of orders, and a turn for others");
    let mut second = Box::pin(engine.replay(&period, &set, &set));
    for _ in 0..1_000 {
        assert!(looked_at_once(&mut second).is_none(), "the first one has not ended");
        tokio::task::yield_now().await;
    }
    // Who asked goes away: the next one has its turn.
    drop(first);
    assert_eq!(second.await.expect("a replay").report.orders, 3);
}

/// What a future has come to, looked at once.
fn looked_at_once<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    let mut context = Context::from_waker(Waker::noop());
    match Pin::new(future).poll(&mut context) {
        Poll::Ready(ended) => Some(ended),
        Poll::Pending => None,
    }
}

#[tokio::test]
async fn a_replay_of_files_with_mistakes_names_them() {
    let gateway = Gateway::start().await;
    let (from, to) = ("2026-11-01", "2026-11-02");
    let rows = [
        (json!({ "from": from, "to": to }), (400, "missing_field")),
        (json!({ "from": to, "to": from, "routes": "" }), (422, "invalid_field")),
        (json!({ "from": "yesterday", "to": to, "routes": "" }), (422, "invalid_field")),
        (json!({ "from": from, "to": to, "routes": "" }), (422, "files_refused")),
        (json!({ "from": from, "to": to, "routes": "", "orders_max": 0 }), (422, "invalid_field")),
        (json!({ "from": from, "to": to, "channels": { "A B": "" } }), (422, "invalid_field")),
        (
            json!({ "from": from, "to": to, "channels": { "x": "name = 1" } }),
            (422, "files_refused"),
        ),
        (json!({ "from": from, "to": to, "channels": { "x": 1 } }), (422, "invalid_field")),
    ];
    for (body, (status, code)) in rows {
        let answer = gateway.post("operator", "/v1/routes/replay", &body).await;
        assert_eq!(answer.problem(), (status, code.to_owned()), "{body}: {}", answer.text);
        if code == "files_refused" {
            let fault = &answer.json()["faults"]["first"][0];
            assert!(fault["problem"].is_string() && fault["advice"].is_string(), "{fault}");
        }
    }
    let question = json!({ "from": from, "to": to, "routes": "" });
    let answer = gateway.post("core", "/v1/routes/replay", &question).await;
    assert_eq!(answer.problem(), (403, "forbidden".to_owned()));
}
