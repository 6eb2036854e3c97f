//! What Harbour Bank says: its codes' messages, and the bodies of its replies, byte by byte. None
//! of the texts needs escaping: order numbers are letters and digits, the rest is the bank's.

use std::io::Write;

use super::super::ledger::{EntryState, Facts};
use super::harbour_bank::{APPROVED, PROCESSING};

pub fn trade_no(facts: &Facts) -> String {
    format!("H{:014}", facts.trace)
}

/// The state of a charge that an undo took back stays a success: the undo is an order itself.
const fn state_name(state: EntryState) -> &'static str {
    match state {
        EntryState::Working => "PROCESSING",
        EntryState::Approved | EntryState::Undone => "SUCCESS",
        EntryState::Declined => "FAILED",
        EntryState::Reversed => "REVERSED",
    }
}

fn message(code: &str) -> &'static str {
    match code {
        "0000" => "ok",
        "1005" => "do not honour",
        "1014" => "invalid card",
        "1051" => "insufficient funds",
        "1054" => "expired card",
        "1059" => "suspected fraud",
        "1061" => "limit exceeded",
        "1082" => "wrong CVV",
        "1091" => "system busy, result unclear",
        "1099" => "processing",
        "1400" => "format",
        "1404" => "not found",
        "1503" => "closed for maintenance",
        "1900" => "bad signature",
        "2001" => "already done",
        "2002" => "cannot be done",
        _ => "other",
    }
}

pub fn code_body(code: &str) -> Vec<u8> {
    format!(r#"{{"code":"{code}","message":"{}"}}"#, message(code)).into_bytes()
}

pub fn order_body(code: &str, order_no: &str, facts: &Facts) -> Vec<u8> {
    let mut body = Vec::with_capacity(160);
    let date = facts.settle_date.civil();
    write!(
        body,
        concat!(
            r#"{{"code":"{}","message":"{}","orderNo":"{}","tradeNo":"H{:014}","#,
            r#""amount":{},"settleDate":"{:02}{:02}"}}"#
        ),
        code,
        message(code),
        order_no,
        facts.trace,
        facts.amount,
        date.month(),
        date.day(),
    )
    .expect("memory takes what is written to it");
    body
}

pub fn query_body(order_no: &str, facts: &Facts) -> Vec<u8> {
    let result = if facts.state == EntryState::Working { PROCESSING } else { facts.code };
    let mut body = order_body(APPROVED, order_no, facts);
    body.pop();
    write!(body, r#","state":"{}","resultCode":"{result}"}}"#, state_name(facts.state))
        .expect("memory takes what is written to it");
    body
}

/// Turns the first code of a signed body into its opposite, so that its signature lies.
pub fn forge(body: &mut [u8]) {
    const PLACE: std::ops::Range<usize> = 9..13;
    let Some(code) = body.get_mut(PLACE) else { return };
    let opposite = if code == APPROVED.as_bytes() { "1051" } else { APPROVED };
    code.copy_from_slice(opposite.as_bytes());
}
