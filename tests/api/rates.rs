//! Success rates: what counts, what is shown, and what routing makes of them.

use reqwest::Method;
use serde_json::{Value, json};
use switchyard::domain::outcome::{Decline, Outcome, Reason};

use crate::gateway::{Gateway, members, payment, unknown};

fn declined(reason: Reason) -> Outcome {
    Outcome::Declined(Decline { reason, code: "71".to_owned(), elsewhere: false })
}

async fn rates(gateway: &Gateway, query: &str) -> Value {
    let answer = gateway.get("auditor", &format!("/v1/channels/unionpay/rates{query}")).await;
    assert_eq!(answer.status.as_u16(), 200, "{}", answer.text);
    answer.json()
}

/// The candidate that a plan of a payment keeps.
async fn candidate(gateway: &Gateway) -> Value {
    let body = json!({ "card": { "bin": "621626" }, "amount": 12_345, "currency": "CNY" });
    let plan = gateway.post("core", "/v1/routes/explain", &body).await.json();
    plan["rules"][0]["candidates"][0].clone()
}

#[tokio::test]
async fn a_rate_is_shown_from_the_first_sample_and_ranks_from_the_floor_on() {
    let gateway = Gateway::start().await;
    let none = rates(&gateway, "").await;
    assert_eq!(
        members(&none, &["channel", "half_life_seconds", "samples_min", "count", "rates"]),
        json!(["unionpay", 3_600, 30, 0, []])
    );
    // A yes, a no that another channel might not have said, one that all would have said, and a
    // result that the channel owes.
    assert_eq!(gateway.pay(&payment("A-1")).await.status.as_u16(), 200);
    let answers = [declined(Reason::NotSupported), declined(Reason::InsufficientFunds), unknown()];
    for (place, answer) in answers.into_iter().enumerate() {
        gateway.bank.will_answer(answer);
        gateway.pay(&payment(&format!("B-{place}"))).await;
    }
    let shown = rates(&gateway, "").await;
    let names = ["scope", "operation", "success_rate_ppm", "samples", "ranks"];
    let told: Vec<Value> =
        shown["rates"].as_array().expect("rates").iter().map(|one| members(one, &names)).collect();
    let row = |scope: &str| json!([scope, "payment", 333_333, 3, false]);
    assert_eq!(told, ["operation", "issuer", "card_type", "situation"].map(row), "{shown}");
    let narrow = &shown["rates"][3];
    assert_eq!(
        members(narrow, &["issuer", "card_type", "amount_from", "amount_to"]),
        json!(["0410", "debit", 10_000, 99_999])
    );
    assert!(narrow["issuer_name"].is_string(), "{narrow}");
    assert_eq!(
        members(&candidate(&gateway).await["rate"], &["scope", "samples"]),
        json!(["health", 0])
    );

    // An end that comes later was a sample already.
    let open = gateway.get("core", "/v1/payments?order_id=B-2").await.json();
    let path = format!("/v1/reversals/{}/resolve", open["id"].as_str().expect("an id"));
    let decision = json!({ "outcome": "succeeded", "reason": "the bank's letter" });
    assert_eq!(gateway.post("operator", &path, &decision).await.status.as_u16(), 200);
    assert_eq!(rates(&gateway, "").await["rates"], shown["rates"]);

    for number in 0..27 {
        let paid = gateway.pay(&payment(&format!("C-{number}"))).await;
        assert_eq!(paid.status.as_u16(), 200, "{}", paid.text);
    }
    let kept = candidate(&gateway).await;
    assert_eq!(
        kept["rate"],
        json!({ "success_rate_ppm": 933_333, "scope": "situation", "samples": 30 }),
        "{kept}"
    );
    let standing = "a success rate of 93.3333 %, by 30 orders of its issuer, card type, operation \
                    and amount band";
    assert_eq!(kept["standing"], standing);
    assert_eq!(rates(&gateway, "").await["rates"][0]["ranks"], true);

    // A capture has its hold's channel, and says nothing of a choice between channels.
    let held = gateway.post("core", "/v1/preauths", &payment("H-1")).await.json();
    assert_eq!(rates(&gateway, "").await["count"], 8, "a hold is an operation of its own");
    let path = format!("/v1/preauths/{}/capture", held["id"].as_str().expect("an id"));
    let capture = json!({ "order_id": "K-1", "amount": 12_345 });
    let captured = gateway.post("core", &path, &capture).await;
    assert_eq!(captured.status.as_u16(), 200, "{}", captured.text);
    assert_eq!(rates(&gateway, "").await["count"], 8);
}

#[tokio::test]
async fn rates_are_asked_for_by_issuer_and_in_part() {
    let gateway = Gateway::start().await;
    assert_eq!(gateway.pay(&payment("A-1")).await.status.as_u16(), 200);
    let first = rates(&gateway, "?limit=1").await;
    assert_eq!((&first["count"], first["rates"].as_array().map(Vec::len)), (&json!(4), Some(1)));
    assert_eq!(rates(&gateway, "?issuer=0410").await["count"], 3);
    assert_eq!(rates(&gateway, "?issuer=0102").await["rates"], json!([]));
    for query in ["?issuer=307", "?issuer=03070000", "?issuer=x307", "?limit=0", "?x=1"] {
        let path = format!("/v1/channels/unionpay/rates{query}");
        let refused = gateway.get("auditor", &path).await;
        assert_eq!(refused.problem(), (400, "invalid_query".to_owned()), "{query}");
    }
    let none = gateway.get("auditor", "/v1/channels/none/rates").await;
    assert_eq!(none.problem(), (404, "channel_unknown".to_owned()));
    // What a reload brings leaves what a channel has shown.
    let before = rates(&gateway, "").await["rates"].clone();
    let request = gateway.request("operator", Method::POST, "/v1/reload");
    let request = request.header("content-type", "application/json");
    let reloaded = gateway.send(request.body(json!({ "reason": "drill" }).to_string())).await;
    assert_eq!(reloaded.status.as_u16(), 200, "{}", reloaded.text);
    assert_eq!(rates(&gateway, "").await["rates"], before);
}
