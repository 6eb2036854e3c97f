//! Statements that are handed in, what they make of the books, and what people make of that.

mod command;
mod differences;
mod report;
mod settlements;
mod upload;

use std::time::Duration;

use reqwest::Method;
use serde_json::Value;

use crate::gateway::{Answer, Gateway, payment};

/// The clearing date of what is paid at the gateway's first moment.
const DATE: &str = "2026-11-22";
pub const STATEMENTS: &str = "/v1/channels/unionpay/statements?date=2026-11-22";

/// A line of a statement.
#[derive(Clone)]
pub struct Line {
    order_no: String,
    amount: i64,
    fee: i64,
}

/// The statement that agrees with every clearing record of the date.
pub async fn agreeing(gateway: &Gateway) -> Vec<Line> {
    let path = format!("/v1/channels/unionpay/clearing?date={DATE}&limit=1000");
    let page = gateway.get("auditor", &path).await.json();
    let number = |row: &Value, name: &str| row[name].as_i64().expect("a number");
    let line = |row: &Value| Line {
        order_no: row["channel_order_no"].as_str().expect("a number").to_owned(),
        amount: number(row, "principal"),
        fee: number(row, "fee"),
    };
    page["records"].as_array().expect("records").iter().map(line).collect()
}

/// A line that no record of ours has.
fn strange() -> Line {
    Line { order_no: "X-1".to_owned(), amount: 700, fee: 4 }
}

pub fn text(lines: &[Line]) -> String {
    let mut text =
        "order_no,reference,operation,amount,fee,currency,status,settle_date\n".to_owned();
    for Line { order_no, amount, fee } in lines {
        text += &format!("{order_no},,payment,{amount},{fee},CNY,succeeded,{DATE}\n");
    }
    let amount: i64 = lines.iter().map(|line| line.amount).sum();
    let fee: i64 = lines.iter().map(|line| line.fee).sum();
    text + &format!("TOTAL,{},{amount},{fee}\n", lines.len())
}

pub async fn hand_in(gateway: &Gateway, path: &str, text: String) -> Answer {
    let request = gateway.request("operator", Method::POST, path);
    gateway.send(request.header("content-type", "text/csv").body(text)).await
}

/// Three payments on the date, and the day after the next.
async fn paid() -> Gateway {
    paid_at(Gateway::start().await).await
}

pub async fn paid_at(gateway: Gateway) -> Gateway {
    for order_id in ["A-1", "A-2", "A-3"] {
        assert_eq!(gateway.pay(&payment(order_id)).await.status, 200);
    }
    gateway.later(Duration::from_secs(2 * 86_400));
    gateway
}

/// What was planted: the second line is 100 over, the third is not there, and one is theirs alone.
pub async fn planted(gateway: &Gateway) -> Vec<Line> {
    let mut lines = agreeing(gateway).await;
    lines[1].amount += 100;
    lines[2] = strange();
    lines
}
