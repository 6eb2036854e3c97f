//! Channels, their switch, and the plan.

use reqwest::Method;
use serde_json::{Value, json};

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
