//! The day at a glance, the channels' traffic, the rules, and the settings in force.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;

use crate::gateway::{Gateway, payment, unknown};

const CALLS: [&str; 6] = [
    "/v1/today",
    "/v1/channels/unionpay/rates",
    "/v1/channels/unionpay/traffic",
    "/v1/channels/unionpay/days",
    "/v1/routes",
    "/v1/settings",
];

#[tokio::test]
async fn operators_and_auditors_look_at_the_day_and_nobody_else() {
    let gateway = Gateway::start().await;
    for path in CALLS {
        for (caller, status) in [("operator", 200), ("auditor", 200), ("core", 403), ("", 401)] {
            assert_eq!(gateway.get(caller, path).await.status.as_u16(), status, "{caller} {path}");
        }
        let refused = gateway.get("auditor", &format!("{path}?x=1")).await;
        assert_eq!(refused.status.as_u16(), 400, "{path}");
    }
    let none = gateway.get("auditor", "/v1/channels/none/traffic").await;
    assert_eq!(none.status.as_u16(), 404);
}

#[tokio::test]
async fn today_sums_up_what_is_open_and_cleared() {
    let gateway = Gateway::start().await;
    assert_eq!(gateway.pay(&payment("A-1")).await.status.as_u16(), 200);
    gateway.bank.will_answer(unknown());
    assert_eq!(gateway.pay(&payment("A-2")).await.status.as_u16(), 202);
    gateway.later(Duration::from_secs(600));
    let today = gateway.get("auditor", "/v1/today").await.json();
    assert_eq!(today["unknowns"]["open"], 1, "{today}");
    assert_eq!(
        today["unknowns"]["by_age"],
        json!({ "under_5m": 0, "under_1h": 1, "under_1d": 0, "over_1d": 0 })
    );
    let channel = &today["channels"][0];
    assert_eq!((&channel["id"], &channel["more"]), (&json!("unionpay"), &json!(false)));
    assert_eq!(channel["cleared"][0]["records"], 1, "{today}");
    assert_eq!(today["accounting"], json!({ "owed": 1, "parked": 0 }), "{today}");
    assert_eq!(today["alerts"], json!([]), "{today}");
    let request = gateway.request("operator", Method::PATCH, "/v1/channels/unionpay");
    let request = request.header("content-type", "application/json");
    gateway.send(request.body(json!({ "enabled": false }).to_string())).await;
    let today = gateway.get("auditor", "/v1/today").await.json();
    assert_eq!(today["alerts"], json!([{ "what": "channel_off", "about": "unionpay" }]));
}

#[tokio::test]
async fn the_trail_is_read_from_its_newest_line_too() {
    let gateway = Gateway::start().await;
    let places = |answer: &serde_json::Value| -> Vec<u64> {
        let entries = answer["entries"].as_array().expect("entries");
        entries.iter().map(|entry| entry["place"].as_u64().expect("a place")).collect()
    };
    let path = "/v1/audit?order=newest&limit=2";
    let empty = gateway.get("auditor", path).await.json();
    assert_eq!((places(&empty), empty.get("next")), (vec![], None));
    for _ in 0..5 {
        let request = gateway.request("operator", Method::PATCH, "/v1/channels/unionpay");
        let request = request.header("content-type", "application/json");
        gateway.send(request.body(json!({ "enabled": true }).to_string())).await;
    }
    let first = gateway.get("auditor", path).await.json();
    assert_eq!((places(&first), &first["next"]), (vec![5, 4], &json!("4")));
    let second = gateway.get("auditor", &format!("{path}&after=4")).await.json();
    assert_eq!((places(&second), &second["next"]), (vec![3, 2], &json!("2")));
    let last = gateway.get("auditor", &format!("{path}&after=2")).await.json();
    assert_eq!((places(&last), last.get("next")), (vec![1], None));
    let none = gateway.get("auditor", &format!("{path}&after=1")).await.json();
    assert_eq!(places(&none), Vec::<u64>::new());
    assert_eq!(gateway.get("auditor", "/v1/audit?order=x").await.status.as_u16(), 400);
}

#[tokio::test]
async fn rules_and_settings_are_shown_as_they_are_in_force() {
    let gateway = Gateway::start().await;
    let routes = gateway.get("auditor", "/v1/routes").await.json();
    assert!(routes["rules"][0]["name"].is_string(), "{routes}");
    let settings = gateway.get("auditor", "/v1/settings").await.json();
    let settings = settings["settings"].as_array().expect("a list");
    let of = |path: &str| settings.iter().find(|one| one["path"] == path).expect("a setting");
    assert_eq!(of("console.enabled")["value"], "true");
    assert!(of("console.enabled").get("given_by").is_none());
    let secret = of("callers[0].key_sha256");
    assert_eq!(secret["value"], "\u{2026}", "{secret}");
}

#[tokio::test]
async fn clearing_dates_are_shown_the_newest_first() {
    let gateway = Gateway::start().await;
    let days = gateway.get("auditor", "/v1/channels/unionpay/days?dates=3").await.json();
    let dates = days["days"].as_array().expect("a list");
    assert_eq!((dates.len(), &dates[0]["date"]), (3, &days["today"]), "{days}");
    let earlier = days["earlier"].as_str().expect("a date");
    let path = format!("/v1/channels/unionpay/days?dates=1&through={earlier}");
    let next = gateway.get("auditor", &path).await.json();
    assert_eq!(next["days"][0]["date"], earlier);
    for wrong in ["dates=0", "dates=93", "through=x"] {
        let path = format!("/v1/channels/unionpay/days?{wrong}");
        assert_eq!(gateway.get("auditor", &path).await.status.as_u16(), 400, "{wrong}");
    }
}
