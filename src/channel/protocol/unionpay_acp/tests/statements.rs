//! Statement files: what is asked, what is unpacked, and what is not believed.

use std::io::{Cursor, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::ZlibEncoder;
use proptest::prelude::*;
use zip::write::SimpleFileOptions;

use super::sample::*;
use crate::channel::Adapter;
use crate::channel::protocol::unionpay_acp::UnionPayAcp;
use crate::channel::statement::{StatementReply, StatementSource};
use crate::codec::FieldLimits;
use crate::codec::acp;
use crate::codec::form::Fields;
use crate::codec::sample_keys::end_params;
use crate::domain::time::BusinessDate;

const DETAIL: &str = "INN25053188ZM_777290058110097";

fn date() -> BusinessDate {
    BusinessDate::parse("2025-05-31").expect("a date")
}

fn zipped(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in files {
        writer.start_file(*name, SimpleFileOptions::default()).expect("a file");
        writer.write_all(bytes).expect("memory");
    }
    writer.finish().expect("an archive").into_inner()
}

fn content(archive: &[u8]) -> String {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(archive).expect("memory");
    STANDARD.encode(encoder.finish().expect("memory"))
}

/// UnionPay's answer with the files of the date; an empty value takes a field out.
fn file_answer(more: &[(&str, &str)]) -> Fields {
    let content = content(&zipped(&[(DETAIL, b"S56 ...\r\n"), ("RD20102505310100", b"")]));
    let mut fields: Fields = [
        ("accessType", "0"),
        ("bizType", "000000"),
        ("encoding", "UTF-8"),
        ("fileContent", content.as_str()),
        ("fileName", "777290058110097_20250531.zip"),
        ("fileType", "00"),
        ("merId", MERCHANT_ID),
        ("respCode", "00"),
        ("settleDate", "0531"),
        ("txnSubType", "01"),
        ("txnTime", TXN_TIME),
        ("txnType", "76"),
        ("version", "5.1.0"),
    ]
    .into_iter()
    .collect();
    for (key, value) in more {
        fields.set(key, value);
    }
    fields.trim_and_drop_empty();
    fields
}

fn decoded(fields: Fields) -> StatementReply {
    adapter().decode_statement(date(), &reply(signed(fields).encode_line()), now())
}

fn problem(reply: StatementReply) -> String {
    match reply {
        StatementReply::Unbelieved { problem } => problem,
        other => panic!("it was believed: {other:?}"),
    }
}

#[test]
fn the_request_is_that_of_the_facts() {
    let wire = adapter().encode_statement(date(), now()).expect("a request");
    assert_eq!(wire.url, "https://file.example.com/");
    let fields = Fields::decode_form(&wire.body, FieldLimits::MESSAGE).expect("a form");
    let keys: Vec<_> = fields.iter().map(|(key, _)| key).collect();
    // No channelType, no orderId: as the official software asks.
    assert_eq!(
        keys,
        [
            "accessType",
            "bizType",
            "certId",
            "encoding",
            "fileType",
            "merId",
            "settleDate",
            "signMethod",
            "signature",
            "txnSubType",
            "txnTime",
            "txnType",
            "version",
        ]
    );
    let rows = [
        ("txnType", "76"),
        ("txnSubType", "01"),
        ("bizType", "000000"),
        ("fileType", "00"),
        ("settleDate", "0531"),
        ("txnTime", TXN_TIME),
    ];
    for (key, expected) in rows {
        assert_eq!(fields.get(key), Some(expected), "{key}");
    }
}

#[test]
fn golden_request_of_the_published_test_merchant() {
    let mut settings = settings();
    settings.merchant_id = "700000000000001".to_owned();
    let adapter = UnionPayAcp::new(settings).expect("good settings");
    let date = BusinessDate::parse("2025-01-19").expect("a date");
    let wire = adapter.encode_statement(date, now()).expect("a request");
    let fields = Fields::decode_form(&wire.body, FieldLimits::MESSAGE).expect("a form");
    assert_eq!(
        &**acp::signed_text(&fields),
        "accessType=0&bizType=000000&certId=68758028149&encoding=UTF-8&fileType=00\
         &merId=700000000000001&settleDate=0119&signMethod=01&txnSubType=01\
         &txnTime=20250601101600&txnType=76&version=5.1.0"
    );
}

#[test]
fn the_names_of_the_published_sample_are_taken() {
    let mut settings = settings();
    settings.merchant_id = "802310048993424".to_owned();
    let adapter = UnionPayAcp::new(settings).expect("good settings");
    let names = [
        "INN15090588ZM_802310048993424",
        "INN15090588ZME_802310048993424",
        "RD201015090501_802310048993424",
    ];
    let content = content(&zipped(&names.map(|name| (name, &b"line\r\n"[..]))));
    let fields = file_answer(&[
        ("merId", "802310048993424"),
        ("settleDate", "0905"),
        ("fileName", "802310048993424_20150905.zip"),
        ("fileContent", &content),
    ]);
    let date = BusinessDate::parse("2015-09-05").expect("a date");
    let answer = reply(signed(fields).encode_line());
    let StatementReply::Files(files) = adapter.decode_statement(date, &answer, now()) else {
        panic!("no files")
    };
    assert_eq!(files.iter().map(|file| file.name().to_owned()).collect::<Vec<_>>(), names);
}

#[test]
fn the_files_are_unpacked() {
    let StatementReply::Files(files) = decoded(file_answer(&[])) else { panic!("no files") };
    let found: Vec<_> = files.iter().map(|file| (file.name(), &file.bytes[..])).collect();
    assert_eq!(found, [(DETAIL, &b"S56 ...\r\n"[..]), ("RD20102505310100", &b""[..])]);
}

#[test]
fn a_no_is_not_yet_or_a_refusal() {
    let no =
        |code| decoded(file_answer(&[("respCode", code), ("fileContent", ""), ("fileName", "")]));
    assert_eq!(no("98"), StatementReply::NotYet { code: "98".to_owned() });
    assert_eq!(no("32"), StatementReply::Refused { code: "32".to_owned() });
    assert_eq!(problem(no("")), "it has no respCode");
}

#[test]
fn what_is_not_this_statement_is_not_believed() {
    let other_zip = content(b"PK, but no more");
    let rows = [
        (("txnType", "01"), "it answers another kind of request"),
        (("merId", "777290058110098"), "it is another merchant's"),
        (("settleDate", "0530"), "it is of another date"),
        (
            ("fileName", "777290058110097_20240531.zip"),
            "its fileName does not say the date that was asked for",
        ),
        (("fileName", ""), "its fileName does not say the date that was asked for"),
        (("fileContent", ""), "it brings no fileContent"),
        (("fileContent", "***"), "its fileContent is not base64"),
        (("fileContent", "AAAA"), "it is not a whole zlib stream"),
        (("fileContent", other_zip.as_str()), "it is not a whole ZIP file"),
    ];
    for (change, expected) in rows {
        assert_eq!(problem(decoded(file_answer(&[change]))), expected, "{}", change.0);
    }
    let mut tampered = signed(file_answer(&[]));
    tampered.set("fileName", "777290058110097_20250531_2.zip");
    let found = adapter().decode_statement(date(), &reply(tampered.encode_line()), now());
    assert!(problem(found).contains("signature"));
    let stranger = signed_with(file_answer(&[]), &signer_pem(&end_params("someone")));
    let found = adapter().decode_statement(date(), &reply(stranger.encode_line()), now());
    assert!(problem(found).contains("is not UnionPay's"));
    let mut wire = reply(signed(file_answer(&[])).encode_line());
    wire.status = 502;
    assert_eq!(problem(adapter().decode_statement(date(), &wire, now())), "HTTP status 502");
}

#[test]
fn without_an_address_there_are_no_statements() {
    let mut settings = settings();
    settings.statement_url = None;
    let adapter = UnionPayAcp::new(settings).expect("good settings");
    assert!(adapter.statements().is_none());
    assert!(adapter.encode_statement(date(), now()).is_err());
    assert!(super::sample::adapter().statements().is_some());
}

proptest! {
    #[test]
    fn any_bytes_are_no_statement(body in prop::collection::vec(any::<u8>(), 0..300)) {
        let found = adapter().decode_statement(date(), &reply(body), now());
        let unbelieved = matches!(found, StatementReply::Unbelieved { .. });
        prop_assert!(unbelieved);
    }
}
