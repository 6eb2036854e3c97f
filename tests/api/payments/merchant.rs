//! What the core says of its merchant: the category, and its own fee.

use serde_json::{Value, json};

use crate::gateway::{Gateway, members, payment, with};

const FIELDS: [&str; 2] = ["merchant_category", "merchant_fee"];

fn told(order_id: &str, category: &str, fee: i64) -> Value {
    let body = with(payment(order_id), "/merchant_category", json!(category));
    with(body, "/merchant_fee", json!(fee))
}

#[tokio::test]
async fn category_and_fee_of_the_merchant_are_kept_and_shown() {
    let gateway = Gateway::start().await;
    let paid = gateway.pay(&told("A-1", "0742", 12_345)).await;
    assert_eq!(members(&paid.json(), &FIELDS), json!(["0742", 12_345]), "{}", paid.text);
    let again = gateway.pay(&told("A-1", "0742", 12_345)).await;
    assert_eq!((again.status, again.text), (paid.status, paid.text));
    for (body, field) in [
        (told("A-1", "5411", 12_345), "merchant_category"),
        (told("A-1", "0742", 0), "merchant_fee"),
        (payment("A-1"), "merchant_category"),
    ] {
        let answer = gateway.pay(&body).await;
        assert_eq!(answer.problem(), (409, "order_id_conflict".to_owned()));
        assert_eq!(answer.json()["field"], field);
    }
    let plain = gateway.pay(&payment("A-2")).await.json();
    assert!(FIELDS.iter().all(|field| plain.get(field).is_none()), "{plain}");
}

#[tokio::test]
async fn a_capture_says_it_again_or_has_what_the_hold_said() {
    let gateway = Gateway::start().await;
    let rows = [
        (json!({}), json!(["5411", 30])),
        (json!({ "amount": 345 }), json!(["5411", null])),
        (json!({ "amount": 345, "merchant_fee": 345 }), json!(["5411", 345])),
        (json!({ "merchant_category": "8062", "merchant_fee": 0 }), json!(["8062", 0])),
    ];
    for (number, (more, expected)) in rows.into_iter().enumerate() {
        let hold = told(&format!("H-{number}"), "5411", 30);
        let hold = gateway.post("core", "/v1/preauths", &hold).await.json();
        let path = format!("/v1/preauths/{}/capture", hold["id"].as_str().expect("an id"));
        let body = with(more, "/order_id", json!(format!("C-{number}")));
        let captured = gateway.post("core", &path, &body).await;
        assert_eq!(members(&captured.json(), &FIELDS), expected, "{}", captured.text);
        let again = gateway.post("core", &path, &body).await;
        assert_eq!((again.status, again.text), (captured.status, captured.text));
    }
}

#[tokio::test]
async fn what_is_no_category_or_more_than_the_amount_is_refused() {
    let gateway = Gateway::start().await;
    let rows = [
        ("merchant_category", json!("54")),
        ("merchant_category", json!(5_411)),
        ("merchant_category", json!("541x")),
        ("merchant_fee", json!(12_346)),
        ("merchant_fee", json!(-1)),
        ("merchant_fee", json!("1")),
        ("merchant_fee", json!(0.5)),
    ];
    for (field, value) in rows {
        let answer = gateway.pay(&with(payment("A-1"), &format!("/{field}"), value)).await;
        assert_eq!(answer.problem(), (422, "invalid_field".to_owned()));
        assert_eq!(answer.json()["field"], field);
    }
    let hold = gateway.post("core", "/v1/preauths", &payment("H-1")).await.json();
    let id = hold["id"].as_str().expect("an id");
    let capture = json!({ "order_id": "C-1", "amount": 10, "merchant_fee": 11 });
    let answer = gateway.post("core", &format!("/v1/preauths/{id}/capture"), &capture).await;
    assert_eq!(answer.problem(), (422, "invalid_field".to_owned()));
    // Money that goes back has no fee of the core's.
    let void = json!({ "order_id": "V-1", "merchant_fee": 1 });
    let answer = gateway.post("core", &format!("/v1/preauths/{id}/void"), &void).await;
    assert_eq!(answer.problem(), (400, "unknown_field".to_owned()));
    assert_eq!(gateway.bank.calls(), 1);
}
