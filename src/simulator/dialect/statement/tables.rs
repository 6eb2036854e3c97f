//! Statements as tables: commas, bars, fixed widths, backticks.

use crate::domain::time::{BusinessDate, Timestamp};
use crate::simulator::dialect::acp_reply::beijing;
use crate::simulator::ledger::EntryKind;
use crate::simulator::statement::{ChannelStatement, ChannelStatementLine};

const SHOP: &str = "模拟商户";

fn gbk(text: &str) -> Vec<u8> {
    encoding_rs::GBK.encode(text).0.into_owned()
}

/// The amount signed from the merchant's side: money paid to him is positive.
fn signed(line: &ChannelStatementLine, minor: i64) -> i64 {
    if line.pays_merchant() { minor } else { -minor }
}

fn yuan(minor: i64) -> String {
    let sign = if minor < 0 { "-" } else { "" };
    format!("{sign}{}.{:02}", minor.unsigned_abs() / 100, minor.unsigned_abs() % 100)
}

fn sum(statement: &ChannelStatement, of: impl Fn(&ChannelStatementLine) -> i64) -> i64 {
    statement.lines.iter().map(of).sum()
}

/// The word for a line's kind, of charge, capture, refund, undo and payout in this order. A line
/// that takes a success back under its own number has the word of an undo.
const fn word(line: &ChannelStatementLine, words: [&'static str; 5]) -> &'static str {
    match line.entry.kind {
        EntryKind::Charge if !line.takes_back => words[0],
        EntryKind::Capture if !line.takes_back => words[1],
        EntryKind::Refund => words[2],
        EntryKind::Payout => words[4],
        // A statement has no line about a hold.
        EntryKind::Charge | EntryKind::Capture | EntryKind::Undo | EntryKind::Preauth => words[3],
    }
}

fn digits(date: BusinessDate) -> String {
    format!("{:08}", date.yyyymmdd())
}

/// Harbour Bank: named columns, fen, signed.
pub fn commas(statement: &ChannelStatement) -> Vec<u8> {
    let head = "order_no,reference,operation,amount,fee,currency,status,settle_date";
    let mut text = format!("{head}\n");
    for line in &statement.lines {
        let entry = &line.entry;
        text.push_str(&format!(
            "{},H{:014},{},{},{},{},{},{}\n",
            entry.order_no,
            entry.trace,
            word(line, ["payment", "capture", "refund", "void", "payout"]),
            signed(line, entry.amount_minor),
            line.fee_minor(),
            entry.currency,
            if line.succeeded { "succeeded" } else { "failed" },
            statement.date,
        ));
    }
    let amounts = sum(statement, |line| signed(line, line.entry.amount_minor));
    let fees = sum(statement, |line| line.fee_minor());
    text.push_str(&format!("TOTAL,{},{amounts},{fees}\n", statement.lines.len()));
    text.into_bytes()
}

/// Meadow Bank: bars, GBK, yuan without a sign.
pub fn bars(statement: &ChannelStatement) -> Vec<u8> {
    let mut text = String::new();
    for line in &statement.lines {
        let entry = &line.entry;
        text.push_str(&format!(
            "{}|{}|T{:012}|{}|{}|{}|{}|{SHOP}\n",
            digits(statement.date),
            entry.order_no,
            entry.trace,
            word(line, ["PAY", "CAPTURE", "REFUND", "CANCEL", "PAYOUT"]),
            yuan(entry.amount_minor),
            yuan(entry.fee_minor),
            if line.succeeded { "00" } else { "01" },
        ));
    }
    let amounts = yuan(sum(statement, |line| line.entry.amount_minor));
    let fees = yuan(sum(statement, |line| line.entry.fee_minor));
    text.push_str(&format!("TOTAL|{}|{amounts}|{fees}\n", statement.lines.len()));
    gbk(&text)
}

/// Quarry Bank: columns of fixed width in GBK bytes, a heading and a line of totals, CRLF.
pub fn fixed(statement: &ChannelStatement) -> Vec<u8> {
    let mut bytes = gbk(&format!("H{} {SHOP}\r\n", digits(statement.date)));
    for line in &statement.lines {
        let entry = &line.entry;
        let shop = gbk(SHOP);
        bytes.extend(gbk(&format!(
            "D{}{:<32}Q{:<31}{}{:+013}{:+013}{}{}",
            digits(statement.date),
            entry.order_no,
            format!("{:012}", entry.trace),
            word(line, ["P", "C", "R", "V", "O"]),
            signed(line, entry.amount_minor),
            line.fee_minor(),
            entry.currency,
            if line.succeeded { "S" } else { "F" },
        )));
        bytes.extend_from_slice(&shop);
        bytes.extend(std::iter::repeat_n(b' ', 40 - shop.len()));
        bytes.extend_from_slice(b"\r\n");
    }
    let amounts = sum(statement, |line| signed(line, line.entry.amount_minor));
    let fees = sum(statement, |line| line.fee_minor());
    bytes.extend(gbk(&format!("T{:010}{amounts:+019}{fees:+019}\r\n", statement.lines.len())));
    bytes
}

/// An acquirer's file about terminals: it has their numbers, not ours. The reference is the
/// retrieval number followed by the authorisation code.
pub fn terminals(statement: &ChannelStatement) -> Vec<u8> {
    let mut text = "date,terminal,trace,kind,reference,amount,fee,currency,status\n".to_owned();
    for line in &statement.lines {
        let entry = &line.entry;
        // The far end names a transaction by terminal, or time, and trace number.
        let (terminal, trace) = entry.order_no.split_once('-').unwrap_or(("", &entry.order_no));
        text.push_str(&format!(
            "{},{terminal},{trace},{},{:012}-{:06},{},{},{},{}\n",
            digits(statement.date),
            word(line, ["SALE", "CAPTURE", "REFUND", "VOID", "PAYOUT"]),
            entry.trace,
            entry.trace % 1_000_000,
            yuan(entry.amount_minor),
            yuan(entry.fee_minor),
            entry.currency,
            if line.succeeded { "00" } else { "05" },
        ));
    }
    let amounts = yuan(sum(statement, |line| line.entry.amount_minor));
    text.push_str(&format!("TOTAL,{},{amounts}\n", statement.lines.len()));
    text.into_bytes()
}

/// Canyon Pay: a backtick before every value, a refund's own numbers in columns of their own, fees
/// with five decimals, the totals in a second table.
pub fn backticks(statement: &ChannelStatement, merchant_id: &str) -> Vec<u8> {
    const HEAD: &str = "交易时间,公众账号ID,商户号,特约商户号,设备号,微信订单号,商户订单号,用户标识,\
        交易类型,交易状态,付款银行,货币种类,应结订单金额,代金券金额,微信退款单号,商户退款单号,\
        退款金额,充值券退款金额,退款类型,退款状态,商品名称,商户数据包,手续费,费率,订单金额,\
        申请退款金额,费率备注";
    const TOTALS: &str = "总交易单数,应结订单总金额,退款总金额,充值券退款总金额,手续费总金额,\
        订单总金额,申请退款总金额";
    let none = || "0.00".to_owned();
    let mut text = format!("\u{feff}{HEAD}\r\n");
    for line in &statement.lines {
        let (entry, pays) = (&line.entry, line.pays_merchant());
        let of = line.original.as_ref().filter(|_| !pays).unwrap_or(entry);
        let amount = yuan(entry.amount_minor);
        let (taken, given) = if pays { (amount, none()) } else { (none(), amount) };
        let is_refund = !pays && !line.takes_back;
        let own = |text: String| if is_refund { text } else { "0".to_owned() };
        let of_refund = |text: &str| if is_refund { text.to_owned() } else { String::new() };
        let state = match (pays, is_refund) {
            (true, _) => "SUCCESS",
            (false, true) => "REFUND",
            (false, false) => "REVOKED",
        };
        let values = [
            beijing(Timestamp::from_millis(entry.received_at_ms)).strftime("%F %T").to_string(),
            "wx2421b1c4370ec43b".to_owned(),
            merchant_id.to_owned(),
            "0".to_owned(),
            String::new(),
            format!("C{:014}", of.trace),
            of.order_no.clone(),
            String::new(),
            "CARD".to_owned(),
            state.to_owned(),
            "OTHERS".to_owned(),
            entry.currency.to_owned(),
            taken.clone(),
            none(),
            own(format!("R{:014}", entry.trace)),
            own(entry.order_no.clone()),
            given.clone(),
            none(),
            of_refund("ORIGINAL"),
            of_refund("SUCCESS"),
            "茶叶, 两盒".to_owned(),
            String::new(),
            format!("{}000", yuan(line.fee_minor())),
            "0.60%".to_owned(),
            taken,
            given,
            String::new(),
        ];
        text.push_str(&format!("`{}\r\n", values.join(",`")));
    }
    let taken = |line: &ChannelStatementLine| {
        if line.pays_merchant() { line.entry.amount_minor } else { 0 }
    };
    let taken_sum = yuan(sum(statement, taken));
    let given_sum = yuan(sum(statement, |line| line.entry.amount_minor - taken(line)));
    let fees = yuan(sum(statement, |line| line.fee_minor()));
    let count = statement.lines.len().to_string();
    let totals =
        [&count, &taken_sum, &given_sum, &none(), &format!("{fees}000"), &taken_sum, &given_sum];
    let totals: Vec<&str> = totals.iter().map(|text| text.as_str()).collect();
    text.push_str(&format!("{TOTALS}\r\n`{}\r\n", totals.join(",`")));
    text.into_bytes()
}
