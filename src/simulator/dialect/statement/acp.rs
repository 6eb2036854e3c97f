//! UnionPay's statement files: ZM (detail), ZME (errors) and RD (printed summary) in a ZIP file.
//!
//! Fixed widths in GBK bytes, one space between columns, CRLF, no header. Of the transaction codes
//! only `S56` (consume) is known; the others here are made from the type, and readers go by the
//! column `txnType`.

use std::io::{Cursor, Write as _};

use flate2::Compression;
use flate2::write::ZlibEncoder;
use zip::write::SimpleFileOptions;

use crate::domain::time::Timestamp;

use crate::simulator::dialect::acp_reply::beijing;
use crate::simulator::ledger::{EntryKind, LedgerEntry};
use crate::simulator::statement::{ChannelStatement, ChannelStatementLine};

use super::StatementPaper;

/// The widths of the detail file's columns, in bytes.
pub const ZM_WIDTHS: [usize; 42] = [
    3, 11, 11, 6, 10, 19, 12, 4, 2, 21, 2, 32, 2, 6, 10, 13, 13, 4, 15, 2, 2, 6, 2, 4, 32, 1, 21,
    15, 1, 15, 32, 13, 13, 8, 32, 13, 13, 12, 2, 1, 32, 98,
];
const NOTHING: &str = "C000000000000";

/// The name of a date's ZIP file, and its bytes as they are sent: the file's zlib stream.
pub fn pack(statement: &ChannelStatement, merchant_id: &str) -> (String, Vec<u8>) {
    let archive = zip(statement, merchant_id);
    let mut stream = ZlibEncoder::new(Vec::new(), Compression::default());
    stream.write_all(&archive.bytes).expect("memory takes all");
    (archive.name, stream.finish().expect("memory takes all"))
}

/// The ZIP file of a date.
pub fn zip(statement: &ChannelStatement, merchant_id: &str) -> StatementPaper {
    let date = statement.date.yyyymmdd();
    let short = date % 1_000_000;
    let files = [
        (format!("INN{short:06}88ZM_{merchant_id}"), detail(statement, merchant_id)),
        // The simulated banks make no errors among themselves.
        (format!("INN{short:06}88ZME_{merchant_id}"), Vec::new()),
        (format!("RD2010{short:06}01_{merchant_id}"), summary(statement, merchant_id)),
    ];
    let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in files {
        archive.start_file(name, SimpleFileOptions::default()).expect("three short names");
        archive.write_all(&bytes).expect("memory takes all");
    }
    let bytes = archive.finish().expect("memory takes all").into_inner();
    StatementPaper { name: format!("{merchant_id}_{date:08}.zip"), bytes }
}

fn detail(statement: &ChannelStatement, merchant_id: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for line in &statement.lines {
        let columns = columns(line, merchant_id);
        for (place, (text, width)) in columns.iter().zip(ZM_WIDTHS).enumerate() {
            if place > 0 {
                bytes.push(b' ');
            }
            push_column(&mut bytes, text, width);
        }
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

/// Left-aligned in GBK, cut or filled to its width. Numbers come with their zeros.
fn push_column(bytes: &mut Vec<u8>, text: &str, width: usize) {
    let (encoded, _, _) = encoding_rs::GBK.encode(text);
    let taken = encoded.len().min(width);
    bytes.extend_from_slice(&encoded[..taken]);
    bytes.resize(bytes.len() + width - taken, b' ');
}

fn columns(line: &ChannelStatementLine, merchant_id: &str) -> [String; 42] {
    let entry = &line.entry;
    let (kind, sub) = kinds(line);
    let code = if kind == "01" { "S56".to_owned() } else { format!("S{kind}") };
    let pays = line.pays_merchant();
    let signed = |paid: bool, minor: i64| format!("{}{minor:012}", if paid { 'C' } else { 'D' });
    let net = signed(pays, net_minor(line));
    let number = |width: usize| "0".repeat(width);
    let original = line.original.as_ref();
    let text = |text: &str| text.to_owned();
    let blank = String::new;
    [
        code,
        text("00010000"),
        text("00049993"),
        trace(entry),
        time(entry),
        entry.card.clone().or_else(|| original?.card.clone()).unwrap_or_default(),
        format!("{:012}", entry.amount_minor),
        text("5311"),
        text("07"),
        reference(entry),
        blank(),
        entry.order_no.clone(),
        // It knows no card's type.
        blank(),
        original.map_or_else(|| number(6), trace),
        original.map_or_else(|| number(10), time),
        signed(!line.charges_fee(), entry.fee_minor),
        net.clone(),
        blank(),
        blank(),
        text(kind),
        text(sub),
        text(entry.product),
        text("01"),
        blank(),
        blank(),
        text("0"),
        original.map(reference).unwrap_or_default(),
        text(merchant_id),
        text("0"),
        blank(),
        text("模拟商户"),
        text(NOTHING),
        net,
        text("01080209"),
        blank(),
        text(NOTHING),
        text(NOTHING),
        number(12),
        text("00"),
        text("0"),
        original.map(|one| one.order_no.clone()).unwrap_or_default(),
        blank(),
    ]
}

/// What the line settles, whichever way: a payout costs its fee beside its amount.
const fn net_minor(line: &ChannelStatementLine) -> i64 {
    let LedgerEntry { amount_minor, fee_minor, .. } = &line.entry;
    match line.entry.kind {
        EntryKind::Payout => *amount_minor + *fee_minor,
        _ => *amount_minor - *fee_minor,
    }
}

/// `txnType` and `txnSubType`.
fn kinds(line: &ChannelStatementLine) -> (&'static str, &'static str) {
    let undone = line.original.as_ref().map(|one| one.kind);
    match line.entry.kind {
        EntryKind::Charge => ("01", "01"),
        EntryKind::Preauth => ("02", "01"),
        EntryKind::Capture => ("03", "00"),
        EntryKind::Refund => ("04", "00"),
        EntryKind::Payout => ("12", "00"),
        EntryKind::Undo if undone == Some(EntryKind::Capture) => ("33", "00"),
        EntryKind::Undo => ("31", "00"),
    }
}

fn trace(entry: &LedgerEntry) -> String {
    format!("{:06}", entry.trace % 1_000_000)
}

fn time(entry: &LedgerEntry) -> String {
    received_at(entry).strftime("%m%d%H%M%S").to_string()
}

/// The platform's own number, as its replies have it.
fn reference(entry: &LedgerEntry) -> String {
    format!("{}{}8", received_at(entry).strftime("%Y%m%d%H%M%S"), trace(entry))
}

fn received_at(entry: &LedgerEntry) -> jiff::civil::DateTime {
    beijing(Timestamp::from_millis(entry.received_at_ms))
}

/// A page for people, with the totals of the detail file: 借 is charged to the merchant, 贷 is paid
/// to it.
fn summary(statement: &ChannelStatement, merchant_id: &str) -> Vec<u8> {
    let lines = || statement.lines.iter();
    let sum = |pays: bool, of: fn(&ChannelStatementLine) -> i64| -> i64 {
        lines().filter(|line| line.pays_merchant() == pays).map(of).sum()
    };
    let fees = |charged: bool| -> i64 {
        let of_way = lines().filter(|line| line.charges_fee() == charged);
        of_way.map(|line| line.entry.fee_minor).sum()
    };
    let [paid, taken] = [true, false].map(|pays| sum(pays, |line| line.entry.amount_minor));
    let [kept, returned] = [true, false].map(fees);
    let [net_paid, net_taken] = [true, false].map(|pays| sum(pays, net_minor));
    let count = statement.lines.len();
    let columns = [taken, paid, kept, returned, net_taken, net_paid].map(yuan);
    let columns: String = columns.iter().map(|column| format!(" {column:>15}")).collect();
    let text = format!(
        "商户代码:{merchant_id}    清算币种:人民币\r\n清算日期:{:08}\r\n\r\n\
         交易类型    交易笔数    交易金额        费用        资金清算差额\r\n\
         借    贷    借    贷    借    贷\r\n\
         合并    {count:>12}{columns}\r\n总计    {count:>12}{columns}\r\n",
        statement.date.yyyymmdd(),
    );
    encoding_rs::GBK.encode(&text).0.into_owned()
}

fn yuan(minor: i64) -> String {
    let sign = if minor < 0 { "-" } else { "" };
    format!("{sign}{}.{:02}", minor.unsigned_abs() / 100, minor.unsigned_abs() % 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_607_bytes_whatever_its_texts() {
        assert_eq!(ZM_WIDTHS.iter().sum::<usize>() + ZM_WIDTHS.len() - 1, 607);
        let mut bytes = Vec::new();
        push_column(&mut bytes, "模拟商户", 10);
        push_column(&mut bytes, "abc", 2);
        assert_eq!(&bytes[..8], encoding_rs::GBK.encode("模拟商户").0.as_ref());
        assert_eq!(&bytes[8..], b"  ab");
    }
}
