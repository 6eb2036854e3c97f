//! Bad input of every kind: its code and status, and that nothing was written and nothing sent.

use std::sync::Arc;

use reqwest::Method;
use serde_json::{Value, json};
use switchyard::api::auth::Peer;
use switchyard::api::router;
use switchyard::config::server::ListenerKind;

use crate::gateway::{CARD, Gateway, payment, with};

/// Nothing of a refused request may be found anywhere.
async fn assert_untouched(gateway: &Gateway, what: &str) {
    assert_eq!(gateway.commits(), 0, "{what}: something was written");
    assert_eq!(gateway.bank.calls(), 0, "{what}: something was sent");
    let orders = gateway.store.orders(None, 10).await.expect("a read");
    assert!(orders.is_empty(), "{what}: an order is in the store");
}

async fn assert_refused(body: &str, status: u16, code: &str, field: &str, gateway: &Gateway) {
    let request = gateway.request("core", Method::POST, "/v1/payments");
    let request = request.header("content-type", "application/json").body(body.to_owned());
    let answer = gateway.send(request).await;
    assert_eq!(answer.problem(), (status, code.to_owned()), "{}", answer.text);
    assert_eq!(answer.json()["field"].as_str().unwrap_or_default(), field, "{}", answer.text);
    assert!(!answer.text.contains("62162610000000000"), "I-11: {}", answer.text);
    assert_untouched(gateway, code).await;
}

#[tokio::test]
async fn a_body_of_the_wrong_form_is_refused() {
    let gateway = Gateway::start().await;
    let good = payment("A-1").to_string();
    let rows = [
        (String::new(), "malformed_json", ""),
        ("{".to_owned(), "malformed_json", ""),
        (format!("{good} x"), "malformed_json", ""),
        ("[1]".to_owned(), "malformed_json", ""),
        ("\"text\"".to_owned(), "malformed_json", ""),
        (format!("{}{}", "[".repeat(500), "]".repeat(500)), "malformed_json", ""),
        (with(payment("A-1"), "/amonut", json!(1)).to_string(), "unknown_field", "amonut"),
        (with(payment("A-1"), "/card/pin", json!(1)).to_string(), "unknown_field", "card.pin"),
        (with(payment("A-1"), "/order_id", Value::Null).to_string(), "missing_field", "order_id"),
        (with(payment("A-1"), "/amount", Value::Null).to_string(), "missing_field", "amount"),
        (with(payment("A-1"), "/card", Value::Null).to_string(), "missing_field", "card"),
        (with(payment("A-1"), "/card/pan", Value::Null).to_string(), "missing_field", "card.pan"),
        (with(payment("A-1"), "/currency", Value::Null).to_string(), "missing_field", "currency"),
    ];
    for (body, code, field) in rows {
        assert_refused(&body, 400, code, field, &gateway).await;
    }
    let twice = good.replacen('{', "{\"amount\":1,", 1);
    assert_refused(&twice, 422, "invalid_field", "amount", &gateway).await;
}

#[tokio::test]
async fn a_value_that_cannot_be_used_is_refused() {
    let gateway = Gateway::start().await;
    let long = "x".repeat(65);
    let rows = [
        ("/card/pan", json!("621626100000000001x"), "invalid_card_number", "card.pan"),
        ("/card/pan", json!("6216261000000000019"), "invalid_card_number", "card.pan"),
        ("/card/pan", json!("62162610000"), "invalid_card_number", "card.pan"),
        ("/card/pan", json!("62162610000000000180"), "invalid_card_number", "card.pan"),
        ("/card/pan", json!(6_216_261_000_000_000_018_i64), "invalid_field", "card.pan"),
        ("/card/pan", json!([CARD]), "invalid_field", "card.pan"),
        ("/card", json!(CARD), "invalid_field", "card"),
        ("/card/expiry", json!("2610"), "expired_card", "card.expiry"),
        ("/card/expiry", json!("2913"), "invalid_field", "card.expiry"),
        ("/card/cvv", json!("12"), "invalid_field", "card.cvv"),
        ("/card/holder", json!("a\nb"), "invalid_field", "card.holder"),
        ("/card/id_type", json!("001"), "invalid_field", "card.id_type"),
        ("/card/id_number", json!("x".repeat(33)), "invalid_field", "card.id_number"),
        ("/card/phone", json!("call me"), "invalid_field", "card.phone"),
        ("/amount", json!(0), "invalid_amount", "amount"),
        ("/amount", json!(-1), "invalid_amount", "amount"),
        ("/amount", json!(1_000_000_000_000_i64), "invalid_amount", "amount"),
        ("/amount", json!(u64::MAX), "invalid_amount", "amount"),
        ("/amount", json!(1e30), "invalid_amount", "amount"),
        ("/amount", json!(123.45), "invalid_amount", "amount"),
        ("/amount", json!("12345"), "invalid_amount", "amount"),
        ("/currency", json!("XXX"), "unknown_currency", "currency"),
        ("/currency", json!("cny"), "unknown_currency", "currency"),
        ("/currency", json!(156), "unknown_currency", "currency"),
        ("/order_id", json!(""), "invalid_order_id", "order_id"),
        ("/order_id", json!(long), "invalid_order_id", "order_id"),
        ("/order_id", json!("a b"), "invalid_order_id", "order_id"),
        ("/order_id", json!("订单"), "invalid_order_id", "order_id"),
        ("/order_id", json!(17), "invalid_order_id", "order_id"),
        ("/merchant_id", json!("a/b"), "invalid_field", "merchant_id"),
        ("/settlement", json!("later"), "invalid_field", "settlement"),
        ("/description", json!("a\u{0}b"), "invalid_field", "description"),
        ("/description", json!("x".repeat(257)), "invalid_field", "description"),
        ("/notify_url", json!("http://elsewhere.test/n"), "invalid_field", "notify_url"),
    ];
    for (pointer, value, code, field) in rows {
        let body = with(payment("A-1"), pointer, value).to_string();
        assert_refused(&body, 422, code, field, &gateway).await;
    }
}

#[tokio::test]
async fn a_card_number_is_refused_with_the_check_that_failed() {
    let gateway = Gateway::start().await;
    let rows =
        [("6216261000000000019", "luhn"), ("62162610000", "length"), ("6216-2610", "digits")];
    for (pan, reason) in rows {
        let answer = gateway.pay(&with(payment("A-1"), "/card/pan", json!(pan))).await;
        assert_eq!(answer.json()["reason"], reason);
        assert!(!answer.text.contains(pan), "I-11: {}", answer.text);
    }
}

#[tokio::test]
async fn an_order_that_no_channel_takes_names_each_reason() {
    let gateway = Gateway::start().await;
    let rows =
        [("/amount", json!(5_000_001), "above_maximum"), ("/currency", json!("USD"), "currency")];
    for (pointer, value, reason) in &rows {
        let answer = gateway.pay(&with(payment("A-1"), pointer, value.clone())).await;
        assert_eq!(answer.problem(), (422, "no_route".to_owned()));
        let candidates = answer.json()["candidates"].clone();
        assert_eq!(candidates[0]["channel"], "unionpay", "{candidates}");
        assert_eq!(candidates[0]["reason"], *reason);
        assert!(candidates[0]["detail"].is_string());
        assert_untouched(&gateway, pointer).await;
    }
}

#[tokio::test]
async fn i_9_what_was_answered_is_answered_again_when_no_channel_would_take_it_now() {
    let gateway = Gateway::start().await;
    let first = gateway.pay(&payment("A-1")).await;
    let off = json!({ "enabled": false });
    let request = gateway.request("operator", Method::PATCH, "/v1/channels/unionpay");
    let request = request.header("content-type", "application/json").body(off.to_string());
    assert_eq!(gateway.send(request).await.status, 200);
    assert_eq!(gateway.pay(&payment("A-2")).await.problem(), (422, "no_route".to_owned()));
    let again = gateway.pay(&payment("A-1")).await;
    assert_eq!((again.status, again.text), (first.status, first.text));
}

#[tokio::test]
async fn i_9_what_was_answered_is_answered_again_when_the_card_has_expired() {
    let gateway = Gateway::start().await;
    let order = |id| with(payment(id), "/card/expiry", json!("2611"));
    let first = gateway.pay(&order("A-1")).await;
    assert_eq!(first.status, 200, "a card is good through the last day of its month");
    gateway.later(std::time::Duration::from_secs(30 * 24 * 60 * 60));
    assert_eq!(gateway.pay(&order("A-2")).await.problem(), (422, "expired_card".to_owned()));
    let again = gateway.pay(&order("A-1")).await;
    assert_eq!((again.status, again.text), (first.status, first.text));
    let other = gateway.pay(&with(order("A-1"), "/amount", json!(1))).await;
    assert_eq!(other.problem(), (409, "order_id_conflict".to_owned()));
}

#[tokio::test]
async fn nobody_calls_without_a_key_or_beyond_its_roles() {
    let gateway = Gateway::start().await;
    let channel = "/v1/channels/unionpay";
    let refresh = "/v1/bin-table/refresh";
    let resolve = "/v1/reversals/2611220000000000001/resolve";
    let retry = "/v1/accounting-requests/2611220000000000001-1/retry";
    let rows = [
        ("", Method::POST, "/v1/payments", 401),
        ("nobody", Method::POST, "/v1/payments", 401),
        ("", Method::GET, "/v1/payments/2611220000000000001", 401),
        ("", Method::GET, "/v1/reversals", 401),
        ("auditor", Method::POST, "/v1/payments", 403),
        ("auditor", Method::PATCH, channel, 403),
        ("auditor", Method::POST, refresh, 403),
        ("auditor", Method::POST, "/v1/bin-table/rollback", 403),
        ("auditor", Method::POST, resolve, 403),
        ("auditor", Method::POST, retry, 403),
        ("core", Method::PATCH, channel, 403),
        ("core", Method::POST, refresh, 403),
        ("core", Method::POST, resolve, 403),
        ("core", Method::POST, retry, 403),
        ("core", Method::GET, "/v1/audit", 403),
        ("core", Method::GET, "/v1/workers", 403),
        ("core", Method::GET, "/v1/reversals", 403),
        ("core", Method::GET, "/v1/accounting-requests", 403),
        ("core", Method::GET, "/v1/channels/unionpay/clearing?date=2026-11-22", 403),
    ];
    for (caller, method, path, status) in rows {
        let request = gateway.request(caller, method, path);
        let request = request.header("content-type", "application/json");
        let answer = gateway.send(request.body(payment("A-1").to_string())).await;
        let code = if status == 401 { "unauthorized" } else { "forbidden" };
        assert_eq!(answer.problem(), (status, code.to_owned()), "{caller} {path}");
        let challenge = (status == 401).then_some("Bearer");
        assert_eq!(answer.header("www-authenticate"), challenge);
        assert_untouched(&gateway, path).await;
    }
}

#[tokio::test]
async fn what_is_no_route_or_method_or_query_is_a_problem_too() {
    let gateway = Gateway::start().await;
    let rows = [
        (Method::GET, "/v2/payments", 404, "not_found"),
        (Method::GET, "/v1/payments/%FF", 404, "not_found"),
        (Method::DELETE, "/v1/payments", 405, "method_not_allowed"),
        (Method::GET, "/v1/payments", 400, "invalid_query"),
        (Method::GET, "/v1/payments?order_id=a%20b", 400, "invalid_query"),
        (Method::GET, "/v1/payments?order_id=a&order_id=b", 400, "invalid_query"),
        (Method::GET, "/v1/reversals?phase=lost", 400, "invalid_query"),
        (Method::GET, "/v1/reversals?limit=0", 400, "invalid_query"),
        (Method::GET, "/v1/reversals?after=1", 400, "invalid_query"),
        (Method::GET, "/v1/accounting-requests?state=late", 400, "invalid_query"),
        (Method::GET, "/v1/channels/unionpay/clearing", 400, "invalid_query"),
        (Method::GET, "/v1/channels/unionpay/clearing?date=22.11.2026", 400, "invalid_query"),
        (Method::GET, "/v1/channels/none/clearing?date=2026-11-22", 404, "channel_unknown"),
        (Method::GET, "/v1/channels/none", 404, "channel_unknown"),
        (Method::GET, "/v1/bins/62162", 400, "invalid_query"),
        (Method::GET, "/v1/bins/6216261000000000018", 400, "bin_too_long"),
        (Method::GET, "/v1/audit?6216261000000000018=1", 400, "invalid_query"),
    ];
    for (method, path, status, code) in rows {
        let answer = gateway.send(gateway.request("operator", method, path)).await;
        assert_eq!(answer.problem(), (status, code.to_owned()), "{path}");
        assert!(!answer.text.contains(CARD), "I-11: {}", answer.text);
    }
}

#[tokio::test]
async fn the_type_of_a_problem_leads_to_what_to_do() {
    let gateway = Gateway::start().await;
    let refused = gateway.get("operator", "/v1/channels/none").await.json();
    let path = refused["type"].as_str().expect("a path");
    let page = gateway.get("", path).await;
    let title = refused["title"].as_str().expect("a title");
    let head = format!("## `channel_unknown`\n\n**404** {title}\n");
    assert!(page.status == 200 && page.text.starts_with(&head), "{}", page.text);
    assert!(page.text.contains("*What to do:*") && page.text.matches("## ").count() == 1);
    assert!(gateway.get("", "/errors").await.text.contains(&page.text));
    let none = gateway.get("", "/errors/none").await;
    assert_eq!(none.problem(), (404, "not_found".to_owned()));
    let asked = gateway.get("", &format!("{path}?language=zh")).await;
    assert_eq!(asked.header("content-language"), Some("zh"));
    assert!(asked.text.starts_with("## `channel_unknown`\n\n**404** 没有此通道\n"));
    assert!(gateway.get("", "/errors?language=zh").await.text.contains(&asked.text));
    let other = gateway.get("", "/errors?language=fr").await;
    assert_eq!(other.problem(), (400, "invalid_query".to_owned()));
}

/// The title always, and the detail where its sentence is a usual one; programs go by the code.
#[tokio::test]
async fn a_problem_is_told_in_the_language_of_whoever_asks() {
    let gateway = Gateway::start().await;
    let ask = |method, path: &str, accepted: &str| {
        let request = gateway.request("operator", method, path);
        gateway.send(request.header("accept-language", accepted))
    };
    let path = "/v1/channels/none";
    let english = ask(Method::GET, path, "fr, en;q=0.5").await;
    let chinese = ask(Method::GET, path, "zh-CN,zh;q=0.9,en;q=0.8").await;
    assert_eq!(english.header("content-language"), Some("en"));
    assert_eq!(chinese.header("content-language"), Some("zh"));
    let (english, chinese) = (english.json(), chinese.json());
    assert_eq!(english["title"], "No channel has this id");
    assert_eq!(chinese["title"], "没有此通道");
    for same in ["type", "status", "code", "detail"] {
        assert_eq!(english[same], chinese[same], "{same}");
    }
    // The door for payments has no layers of the router before it.
    let unread = ask(Method::POST, "/v1/payments", "zh").await.json();
    assert_eq!(unread["title"], "请求体不是一个 JSON 对象", "{unread}");
    let nowhere = ask(Method::GET, "/v1/nothing", "zh").await.json();
    assert_eq!(nowhere["title"], "资源不存在");
    assert_eq!(nowhere["detail"], "没有这个接口", "a usual sentence");
}

/// A published test card's number with another last digit.
const WITHOUT_CHECK_DIGIT: &str = "6216261000000000019";

#[tokio::test]
async fn a_check_digit_is_waived_where_the_settings_say_so() {
    let body = |order_id: &str| with(payment(order_id), "/card/pan", WITHOUT_CHECK_DIGIT.into());
    let strict = Gateway::start().await;
    let refused = strict.pay(&body("A-1")).await;
    assert_eq!(refused.problem(), (422, "invalid_card_number".to_owned()));
    assert_eq!(refused.json()["reason"], "luhn");
    let waiving = Gateway::start_with("[cards]\nluhn_waived_bins = [\"621626\"]").await;
    let paid = waiving.pay(&body("A-1")).await;
    assert_eq!(paid.json()["status"], "succeeded", "{}", paid.text);
    assert_eq!(paid.json()["card"]["masked"], "621626*********0019");
    assert_eq!(paid.json()["card"]["brands"], json!(["unionpay"]));
    let other = with(payment("A-2"), "/card/pan", "4111111111111112".into());
    assert_eq!(waiving.pay(&other).await.problem().0, 422, "another range keeps to it");
}

#[tokio::test]
async fn i_11_a_text_that_holds_a_card_number_is_refused_by_its_field() {
    let gateway = Gateway::start().await;
    let number = "4111 1111 1111 1111".replace(' ', "");
    let foreign = with(payment("A-1"), "/card/pan", number.clone().into());
    for (pointer, value) in [
        ("/order_id", CARD.to_owned()),
        ("/merchant_id", format!("m:{CARD}")),
        ("/description", "6216 2610 0000 0000 018".to_owned()),
        ("/notify_url", format!("https://core.test/?c={CARD}")),
    ] {
        let refused = gateway.pay(&with(payment("A-1"), pointer, value.into())).await;
        assert_eq!(refused.problem(), (422, "card_number_found".to_owned()), "{pointer}");
        assert_eq!(refused.json()["field"], pointer[1..]);
        assert!(!refused.text.contains("0000"), "{}", refused.text);
    }
    // A number that the table does not know is one where it is this card's.
    let refused = gateway.pay(&with(foreign, "/order_id", number.into())).await;
    assert_eq!(refused.problem(), (422, "card_number_found".to_owned()));
    // Numbers that are none: a check digit that does not fit, dates with a sequence.
    for order_id in [WITHOUT_CHECK_DIGIT, "20261120000000000018", "2611200000000018"] {
        let paid = gateway.pay(&with(payment("A-1"), "/order_id", order_id.into())).await;
        assert_eq!(paid.status, 200, "{order_id}: {}", paid.text);
    }
    assert_eq!(gateway.bank.calls(), 3);
}

/// Payments go past the router. One that is refused, taken or repeated is answered as it would be.
#[tokio::test]
async fn a_payment_is_answered_as_by_the_router() {
    let gateway = Gateway::start_with("[server]\nbody_bytes_max = 1024").await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let peer = Peer { address: std::net::Ipv4Addr::LOCALHOST.into(), certificate_key: None };
    let router = router(gateway.state.clone(), ListenerKind::Api, axum::Router::new());
    let router = router.layer(axum::Extension(Arc::new(peer)));
    tokio::spawn(async move { axum::serve(listener, router).await });
    let asked = payment("A-1");
    let large = with(payment("A-1"), "/description", json!("x".repeat(2_000)));
    let rows = [
        ("", "?a=b", "application/json", asked.to_string(), 401),
        ("core", "?a=b", "application/json", asked.to_string(), 400),
        ("auditor", "", "application/json", asked.to_string(), 403),
        ("core", "", "text/plain", asked.to_string(), 415),
        ("core", "", "application/json", large.to_string(), 413),
        ("core", "", "application/json", "{".to_owned(), 400),
        ("core", "", "application/json", with(asked.clone(), "/amount", json!(0)).to_string(), 422),
        ("core", "", "application/json", asked.to_string(), 200),
        ("core", "", "application/json", asked.to_string(), 200),
    ];
    for (caller, query, kind, body, status) in rows {
        let mut answers = Vec::new();
        for url in [&gateway.url, &url] {
            let request = gateway.client.post(format!("{url}/v1/payments{query}"));
            let key = format!("Bearer {caller}-key");
            let request = request.header("content-type", kind).header("prefer", "wait=5");
            let request = request.header("authorization", key).body(body.clone());
            let mut answer = gateway.send(request).await;
            answer.headers.remove("date");
            // The server gives each call its id, before it is routed.
            answer.headers.remove("x-request-id");
            let body = answer.json();
            answer.text = with(body, "/request_id", Value::Null).to_string();
            answer.headers.remove("content-length");
            // The first of the two is none.
            answer.headers.remove("idempotent-replayed");
            answers.push(answer);
        }
        let [door, router] = &answers[..] else { panic!("two answers") };
        assert_eq!(door.status, status, "{}", door.text);
        assert_eq!((door.status, &door.headers), (router.status, &router.headers));
        assert_eq!(door.text, router.text);
    }
    assert_eq!(gateway.bank.calls(), 1);
}
