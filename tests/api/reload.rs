//! Reloads: held where they would move too many orders, and put in force by a person's yes.

use std::path::PathBuf;

use serde_json::{Value, json};
use switchyard::engine::reload::ReloadRefusal;

use crate::gateway::{Answer, Gateway, members, payment};

/// So many orders are judged by; a change of fewer is not.
const ORDERS: usize = 20;

impl Gateway {
    fn routes_file(&self) -> PathBuf {
        self.state.settings.routes_file.clone()
    }

    /// Routes that take no order below this amount.
    fn write_routes(&self, from_minor: i64) {
        let text = format!(
            "[[rule]]\nname = \"large\"\nstrategy = \"priority\"\nchannels = [\"unionpay\"]\n\
             when = {{ amount_from_minor = {from_minor} }}\n"
        );
        std::fs::write(self.routes_file(), text).expect("a file");
    }

    async fn reload(&self, body: &Value) -> Answer {
        self.post("operator", "/v1/reload", body).await
    }

    /// Orders of 1.00 and up, by a cent each.
    async fn with_orders(count: usize) -> Self {
        let gateway = Self::start().await;
        for number in 0..count {
            let mut order = payment(&format!("L-{number}"));
            order["amount"] = json!(100 + number);
            let answer = gateway.pay(&order).await;
            assert_eq!(answer.status.as_u16(), 200, "{}", answer.text);
        }
        gateway
    }

    async fn held(&self) -> Value {
        self.get("auditor", "/v1/routes").await.json()["held"].clone()
    }

    async fn rule(&self) -> Value {
        self.get("auditor", "/v1/routes").await.json()["rules"][0]["name"].clone()
    }
}

#[tokio::test]
async fn a_reload_that_moves_too_many_orders_is_held_until_somebody_accepts_it() {
    let gateway = Gateway::with_orders(ORDERS).await;
    // A fifth of them would have no channel: as much as is allowed.
    gateway.write_routes(104);
    let reloaded = gateway.reload(&json!({ "reason": "fees" })).await;
    assert_eq!(reloaded.status, 200, "{}", reloaded.text);
    let reloaded = reloaded.json();
    let largest = json!([{ "from": "unionpay", "to": null, "orders": 4 }]);
    assert_eq!(
        members(&reloaded, &["channels", "rules", "bin_table_changed"]),
        json!([1, 1, false])
    );
    let moves = members(&reloaded["moves"], &["orders", "moved", "share_ppm", "largest"]);
    assert_eq!(moves, json!([20, 4, 200_000, largest]));
    assert_eq!((gateway.rule().await, gateway.held().await), (json!("large"), json!(null)));

    // From there six more, of twenty.
    gateway.write_routes(110);
    let refused = gateway.reload(&json!({ "reason": "a slip" })).await;
    assert_eq!(refused.problem(), (409, "reload_held".to_owned()), "{}", refused.text);
    let problem = refused.json();
    let detail = problem["detail"].as_str().expect("a detail");
    assert!(detail.contains("6 of 20 orders (30.00 %)"), "{detail}");
    let held = gateway.held().await;
    assert_eq!(held, problem["held"]);
    assert_eq!(held["moves"]["largest"][0]["orders"], 6);
    let stands = async || {
        let today = gateway.get("auditor", "/v1/today").await.json();
        let alerts = today["alerts"].as_array().expect("alerts").clone();
        alerts.into_iter().find(|alert| alert["what"] == "reload_held")
    };
    let told = stands().await.expect("the day tells of it");
    assert_eq!(told["about"], held["files"]);
    let small = gateway.pay(&with_amount("AFTER-1", 105)).await;
    assert_eq!(small.status, 200, "what was in force stays: {}", small.text);

    // Other files than those that were shown are not what was said yes to.
    gateway.write_routes(115);
    let yes = |files: &Value| json!({ "reason": "meant", "accept_moves": true, "files": files });
    let other = gateway.reload(&yes(&held["files"])).await;
    assert_eq!(other.problem(), (409, "reload_held".to_owned()));
    assert!(other.text.contains("the files are others"), "{}", other.text);
    let shown = gateway.held().await;
    assert_ne!(shown["files"], held["files"]);
    let accepted = gateway.reload(&yes(&shown["files"])).await;
    assert_eq!(accepted.status, 200, "{}", accepted.text);
    assert_eq!((gateway.held().await, stands().await), (json!(null), None));
    let small = gateway.pay(&with_amount("AFTER-2", 105)).await;
    assert_eq!(small.problem(), (422, "no_route".to_owned()));

    let audit = gateway.get("operator", "/v1/audit").await.json();
    let told: Vec<Value> = audit["entries"]
        .as_array()
        .expect("entries")
        .iter()
        .map(|one| members(one, &["actor", "action", "reason"]))
        .collect();
    assert_eq!(
        told,
        [
            json!(["operator", "reload", "fees"]),
            json!(["operator", "reload.accept_moves", "meant"]),
        ],
        "what was held changed nothing"
    );
    let subject = audit["entries"][1]["subject"].as_str().expect("a subject").to_owned();
    assert!(subject.contains("orders move"), "{subject}");
}

fn with_amount(order_id: &str, amount: i64) -> Value {
    let mut order = payment(order_id);
    order["amount"] = json!(amount);
    order
}

#[tokio::test]
async fn a_signal_has_nobody_to_ask_and_a_call_without_files_accepts_what_it_finds() {
    let gateway = Gateway::with_orders(ORDERS).await;
    gateway.write_routes(1_000);
    let refused = gateway.state.reloads.reload(None).await;
    assert!(matches!(refused, Err(ReloadRefusal::Held(_))), "{refused:?}");
    assert_eq!(gateway.rule().await, json!("default"));
    // Put back, nothing waits any more, and nothing is planned again.
    std::fs::remove_file(gateway.routes_file()).expect("the file");
    let reloaded = gateway.state.reloads.reload(None).await.expect("as it was");
    assert_eq!((reloaded.moves, gateway.held().await), (None, json!(null)));
    gateway.write_routes(1_000);
    let yes = json!({ "reason": "a holiday", "accept_moves": true });
    assert_eq!(gateway.reload(&yes).await.status, 200);
    assert_eq!(gateway.rule().await, json!("large"));
}

#[tokio::test]
async fn few_orders_old_ones_and_files_that_touch_no_plan_hold_nothing() {
    let gateway = Gateway::with_orders(ORDERS - 1).await;
    gateway.write_routes(1_000);
    let reloaded = gateway.reload(&json!({ "reason": "a handful is no measure" })).await;
    assert_eq!(reloaded.json()["moves"]["moved"], ORDERS - 1, "{}", reloaded.text);
    // The same files again: nothing is planned.
    let again = gateway.reload(&json!({ "reason": "certificates" })).await;
    assert_eq!(again.json()["moves"], json!(null), "{}", again.text);
    let one_more = gateway.pay(&with_amount("L-last", 1_000)).await;
    assert_eq!(one_more.status, 200, "{}", one_more.text);
    gateway.later(std::time::Duration::from_secs(8 * 86_400));
    gateway.write_routes(100_000);
    let later = gateway.reload(&json!({ "reason": "after a week without an order" })).await;
    assert_eq!(later.json()["moves"]["orders"], 0, "{}", later.text);
}

#[tokio::test]
async fn files_with_mistakes_and_calls_without_a_reason_change_nothing() {
    let gateway = Gateway::start().await;
    std::fs::write(gateway.routes_file(), "[[rule]]\nname = 1\n").expect("a file");
    let commits = gateway.commits();
    let refused = gateway.reload(&json!({ "reason": "a slip" })).await;
    assert_eq!(refused.problem(), (422, "files_refused".to_owned()));
    let fault = &refused.json()["faults"]["first"][0];
    assert!(fault["file"].as_str().is_some_and(|file| file.ends_with("routes.toml")), "{fault}");
    for (body, refused) in [
        (json!({}), (400, "missing_field")),
        (json!({ "reason": "x", "files": "0" }), (422, "invalid_field")),
        (json!({ "reason": "x", "accept_moves": "yes" }), (422, "invalid_field")),
    ] {
        let answer = gateway.reload(&body).await;
        assert_eq!(answer.problem(), (refused.0, refused.1.to_owned()), "{body}");
    }
    let yes = json!({ "reason": "x", "accept_moves": true });
    let auditor = gateway.post("auditor", "/v1/reload", &yes).await;
    assert_eq!(auditor.problem(), (403, "forbidden".to_owned()));
    assert_eq!((gateway.rule().await, gateway.commits()), (json!("default"), commits));
}
