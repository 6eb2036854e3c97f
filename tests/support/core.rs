//! The payment core as our API meets it: it pays, releases, and asks.

use std::net::SocketAddr;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use super::wire::http_client;

/// UnionPay's published test card, a debit card.
pub const TEST_CARD: &str = "6216261000000000018";

/// A payment to send. The card is the test card.
#[derive(Debug, Clone)]
pub struct Payment {
    pub order_id: String,
    pub merchant_id: String,
    pub amount: i64,
    pub settlement: &'static str,
}

impl Payment {
    pub fn instant(order_id: &str, amount: i64) -> Self {
        let (order_id, merchant_id) = (order_id.to_owned(), "shop-1".to_owned());
        Self { order_id, merchant_id, amount, settlement: "instant" }
    }

    pub fn escrow(order_id: &str, amount: i64) -> Self {
        Self { settlement: "escrow", ..Self::instant(order_id, amount) }
    }

    pub fn body(&self) -> Value {
        json!({
            "order_id": self.order_id,
            "merchant_id": self.merchant_id,
            "amount": self.amount,
            "currency": "CNY",
            "settlement": self.settlement,
            "card": { "pan": TEST_CARD, "expiry": "4912" },
        })
    }
}

/// What the API answered.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub body: Value,
}

impl Answer {
    pub fn text(&self, field: &str) -> &str {
        self.body[field].as_str().unwrap_or_default()
    }

    pub fn id(&self) -> &str {
        self.text("id")
    }

    /// The HTTP status and the order's own, which most assertions are about.
    pub fn outcome(&self) -> (u16, &str) {
        (self.status, self.text("status"))
    }
}

/// The payment core's client.
#[derive(Clone)]
pub struct Core {
    client: reqwest::Client,
    base: String,
    key: String,
}

impl Core {
    pub fn new(address: SocketAddr, key: &str) -> Self {
        Self::over(http_client(), &format!("http://{address}"), key)
    }

    /// Pays under this order id, and tells which channel has taken it.
    pub async fn channel_of(&self, order_id: &str) -> String {
        let paid = self.pay(&Payment::instant(order_id, 700)).await;
        assert_eq!(paid.outcome(), (200, "succeeded"), "{}", paid.body);
        paid.text("channel").to_owned()
    }

    /// A core with a client of its own, for instance one that speaks TLS.
    pub fn over(client: reqwest::Client, base: &str, key: &str) -> Self {
        Self { client, base: base.to_owned(), key: key.to_owned() }
    }

    /// The same core, which has heard that the daemon is elsewhere now.
    pub fn at(&self, address: SocketAddr) -> Self {
        Self { base: format!("http://{address}"), ..self.clone() }
    }

    pub async fn try_pay(&self, payment: &Payment, within: Duration) -> reqwest::Result<Answer> {
        self.try_post("/v1/payments", &payment.body(), within).await
    }

    pub async fn pay(&self, payment: &Payment) -> Answer {
        self.post("/v1/payments", &payment.body()).await
    }

    /// Releases all that is left of an escrow payment.
    pub async fn release(&self, id: &str, order_id: &str) -> Answer {
        let path = format!("/v1/payments/{id}/release");
        self.post(&path, &json!({ "order_id": order_id })).await
    }

    /// Refunds a part of a payment.
    pub async fn refund(&self, id: &str, order_id: &str, amount: i64) -> Answer {
        let path = format!("/v1/payments/{id}/refunds");
        self.post(&path, &json!({ "order_id": order_id, "amount": amount })).await
    }

    pub async fn payment(&self, id: &str) -> Answer {
        self.get(&format!("/v1/payments/{id}")).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        let answer = self.try_post(path, body, super::wire::PATIENCE).await;
        answer.expect("the daemon answers")
    }

    pub async fn try_post(
        &self,
        path: &str,
        body: &Value,
        within: Duration,
    ) -> reqwest::Result<Answer> {
        self.try_send(Method::POST, path, body, within).await
    }

    pub async fn try_send(
        &self,
        method: Method,
        path: &str,
        body: &Value,
        within: Duration,
    ) -> reqwest::Result<Answer> {
        let request = self
            .client
            .request(method, format!("{}{path}", self.base))
            .bearer_auth(&self.key)
            .header("content-type", "application/json")
            .timeout(within)
            .body(body.to_string());
        read(request.send().await?).await
    }

    pub async fn try_get(&self, path: &str) -> reqwest::Result<Answer> {
        let url = format!("{}{path}", self.base);
        read(self.client.get(url).bearer_auth(&self.key).send().await?).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.try_get(path).await.expect("the daemon answers")
    }

    /// Every row of a paged list.
    pub async fn all(&self, path: &str, list: &str) -> Vec<Value> {
        let mut rows = Vec::new();
        let mut after = String::new();
        // Ends with the page that names no next one.
        loop {
            let separator = if path.contains('?') { '&' } else { '?' };
            let page = self.get(&format!("{path}{separator}limit=1000{after}")).await;
            assert_eq!(page.status, 200, "{}", page.body);
            rows.extend(page.body[list].as_array().expect("a list").iter().cloned());
            match page.body["next"].as_str() {
                Some(next) => after = format!("&after={next}"),
                None => return rows,
            }
        }
    }

    /// The clearing records of one channel on these dates.
    pub async fn clearing(&self, channel: &str, dates: &[String]) -> Vec<Value> {
        let mut records = Vec::new();
        for date in dates {
            let path = format!("/v1/channels/{channel}/clearing?date={date}");
            records.extend(self.all(&path, "records").await);
        }
        records
    }
}

async fn read(response: reqwest::Response) -> reqwest::Result<Answer> {
    let status = response.status().as_u16();
    let bytes = response.bytes().await?;
    let body = serde_json::from_slice(&bytes).expect("the API speaks JSON");
    Ok(Answer { status, body })
}
