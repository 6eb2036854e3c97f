//! Notices: believed by their signature only, compared with the books, answered after the commit.

mod outgoing;

use reqwest::Method;
use serde_json::json;

use switchyard::channel::Uncertainty;
use switchyard::domain::outcome::UnknownCause;

use crate::gateway::{Answer, Gateway, payment, pending};
use crate::unionpay;

/// When the clock of the tests stands, in Beijing.
const SENT_AT: &str = "20261122160000";

async fn send(gateway: &Gateway, channel: &str, body: String) -> Answer {
    let path = format!("/notices/{channel}");
    gateway.send(gateway.request("", Method::POST, &path).body(body)).await
}

/// A pending payment, and its channel order number.
async fn pending_payment(gateway: &Gateway) -> String {
    gateway.bank.will_answer(pending());
    let request = gateway.posting("core", "/v1/payments", &payment("A-1"));
    let answer = gateway.send(request.header("prefer", "wait=0")).await;
    assert_eq!(answer.status, 202, "{}", answer.text);
    let order = gateway.order_when("A-1", |order| order.attempts[0].state.needs_entry()).await;
    order.channel_order_no(1).to_string()
}

async fn status(gateway: &Gateway) -> String {
    let order = gateway.get("core", "/v1/payments?order_id=A-1").await.json();
    order["status"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn a_true_notice_ends_the_payment_and_may_come_twice() {
    let gateway = Gateway::start().await;
    let number = pending_payment(&gateway).await;
    let notice = unionpay::notice(&number, SENT_AT, &[]);
    for _ in 0..2 {
        let taken = send(&gateway, "unionpay", notice.clone()).await;
        assert_eq!(taken.status, 200, "{}", taken.text);
        assert_eq!(status(&gateway).await, "succeeded");
    }
    assert_eq!(gateway.bank.calls(), 1);
}

#[tokio::test]
async fn what_is_not_proved_or_does_not_fit_changes_nothing() {
    let gateway = Gateway::start().await;
    let number = pending_payment(&gateway).await;
    let commits = gateway.commits();
    let altered = unionpay::notice(&number, SENT_AT, &[]).replace("respCode=00", "respCode=01");
    let another = format!("{}99", &number[..19]);
    let unheard_of = "261122000000009999901";
    let rows = [
        (String::new(), 400),
        ("not a form".to_owned(), 400),
        (altered, 400),
        (unionpay::notice(&number, SENT_AT, &[("txnAmt", "12346")]), 400),
        // The same digits, and another amount of money.
        (unionpay::notice(&number, SENT_AT, &[("currencyCode", "392")]), 400),
        (unionpay::notice(&number, "20261122160001", &[]), 400),
        (unionpay::notice(&another, SENT_AT, &[]), 404),
        (unionpay::notice(unheard_of, SENT_AT, &[]), 404),
    ];
    for (place, (body, expected)) in rows.into_iter().enumerate() {
        let answer = send(&gateway, "unionpay", body).await;
        assert_eq!(answer.status, expected, "row {place}: {}", answer.text);
        assert_eq!((status(&gateway).await.as_str(), gateway.commits()), ("processing", commits));
    }
}

#[tokio::test]
async fn i_9_a_number_that_a_notice_knows_and_the_books_do_not_is_given_to_no_order() {
    let gateway = Gateway::start().await;
    let pay = async |order_id: &str| -> u64 {
        let paid = gateway.pay(&payment(order_id)).await;
        assert_eq!(paid.status, 200, "{}", paid.text);
        let id = paid.json()["id"].as_str().unwrap_or_default().to_owned();
        id.parse().expect("an order id is a number")
    };
    let first = pay("A-1").await;
    // As if this folder were an older copy of one that had given the next numbers out.
    let unheard_of = first + 40;
    let notice = unionpay::notice(&format!("{unheard_of}01"), SENT_AT, &[]);
    let answer = send(&gateway, "unionpay", notice).await;
    assert_eq!(answer.status, 404, "{}", answer.text);
    assert!(pay("A-2").await > unheard_of, "the channel knows that number by another payment");
    // A number of another node's says nothing about these books.
    let elsewhere = first + 10_u64.pow(10) + 1_000_000;
    let notice = unionpay::notice(&format!("{elsewhere}01"), SENT_AT, &[]);
    assert_eq!(send(&gateway, "unionpay", notice).await.status, 404);
    assert!(pay("A-3").await < first + 1_000_000);
}

#[tokio::test]
async fn what_was_wrong_with_a_reply_is_told_with_the_attempt() {
    let gateway = Gateway::start().await;
    let doubt = Uncertainty::new(UnknownCause::BadSignature, "the certificate has expired");
    gateway.bank.will_be_understood(doubt.into_meaning(String::new()));
    let unknown = gateway.pay(&payment("A-1")).await;
    assert_eq!(unknown.status, 202, "{}", unknown.text);
    let order = gateway.get("core", "/v1/payments?order_id=A-1").await.json();
    let attempt = &order["attempts"][0];
    assert_eq!(attempt["unknown_cause"], "bad_signature", "{order}");
    assert_eq!(attempt["objection"], "the certificate has expired", "{order}");
}

#[tokio::test]
async fn a_notice_is_bounded_and_needs_a_channel() {
    let gateway = Gateway::start().await;
    let unknown = send(&gateway, "none", "x=1".to_owned()).await;
    assert_eq!(unknown.problem(), (404, "channel_unknown".to_owned()));
    let large = send(&gateway, "unionpay", "x".repeat(70_000)).await;
    assert_eq!(large.problem(), (413, "body_too_large".to_owned()));
    let method = gateway.get("", "/notices/unionpay").await;
    assert_eq!(method.problem(), (405, "method_not_allowed".to_owned()));
    assert_eq!(gateway.commits(), 0);
}

#[tokio::test]
async fn i_12_a_notice_that_cannot_be_written_is_not_taken() {
    let gateway = Gateway::start().await;
    let number = pending_payment(&gateway).await;
    let lost = switchyard::store::memory::FailedRows::Lost;
    gateway.faults.fail_next_commit(lost);
    let notice = unionpay::notice(&number, SENT_AT, &[]);
    assert_eq!(send(&gateway, "unionpay", notice).await.status, 503);
    let order = gateway.get("operator", "/v1/payments?order_id=A-1&caller=core").await;
    assert_eq!(order.json()["status"], json!("processing"));
}
