//! Statements: what is asked, where a reply's file is found, and what is not believed.

use std::io::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use http::HeaderMap;

use super::examples::{SERIAL, adapter, canyon_reply, meadow_reply, quarry_reply};
use super::*;
use crate::channel::statement::{FilePointer, StatementReply};
use crate::codec::crypto::digest::Digest;
use crate::domain::time::BusinessDate;

const FILE: &[u8] = b"order_no,amount\n1,2\n";
const GOOD: &str = "https://api.canyon-pay.example/v3/bills/files/1?token=t";

fn date() -> BusinessDate {
    BusinessDate::parse("2026-11-21").expect("a date")
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut stream = GzEncoder::new(Vec::new(), Compression::default());
    stream.write_all(bytes).expect("memory");
    stream.finish().expect("memory")
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut stream = ZlibEncoder::new(Vec::new(), Compression::default());
    stream.write_all(bytes).expect("memory");
    stream.finish().expect("memory")
}

fn zipped(name: &str) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    writer.start_file(name, zip::write::SimpleFileOptions::default()).expect("a file");
    writer.write_all(FILE).expect("memory");
    writer.finish().expect("an archive").into_inner()
}

fn plain(status: u16, body: &[u8]) -> WireReply {
    WireReply { status, headers: HeaderMap::new(), body: Bytes::copy_from_slice(body) }
}

fn understood(adapter: &Declarative, reply: &WireReply) -> StatementReply {
    adapter.decode_statement(date(), reply, now())
}

/// The only file, or how it was not one.
fn file(reply: StatementReply) -> Result<(String, Vec<u8>), String> {
    match reply {
        StatementReply::Files(files) => {
            assert_eq!(files.len(), 1);
            Ok((files[0].name().to_owned(), files[0].bytes.clone()))
        }
        StatementReply::Unbelieved { problem } => Err(problem),
        other => Err(format!("{other:?}")),
    }
}

fn problem(reply: StatementReply) -> String {
    file(reply).expect_err("it was believed")
}

#[test]
fn the_shipped_files_ask_for_a_date_in_their_own_words() {
    let rows = [
        (HARBOUR, r#"{"merchantId":"M00012345","date":"2026-11-21"}"#),
        (MEADOW, "mer_id=802310048990001&service=statement&settle_date=20261121&sign="),
        (QUARRY, "<txn merId=\"QB330001\">statement</txn><date>2026-11-21</date>"),
        (CANYON, ""),
    ];
    for (text, body) in rows {
        let wire = adapter(text).encode_statement(date(), now()).expect("encodable");
        let sent = String::from_utf8_lossy(&wire.body).into_owned();
        assert!(sent.contains(body), "{sent}");
    }
    let wire = adapter(CANYON).encode_statement(date(), now()).expect("encodable");
    assert_eq!(wire.method, "GET");
    assert_eq!(
        wire.url,
        "https://api.canyon-pay.example/v3/bills/trade?mchid=1900007291&bill_date=2026-11-21"
    );
    assert!(header(&wire, "authorization").starts_with("CANYON-SHA256 "));
}

#[test]
fn a_body_that_is_the_file_is_believed_with_its_signature() {
    let bank = adapter(HARBOUR);
    let text = std::str::from_utf8(FILE).expect("ASCII");
    let landed = file(understood(&bank, &harbour_reply(text)));
    assert_eq!(landed, Ok(("statement-2026-11-21".to_owned(), FILE.to_vec())));
    let mut forged = harbour_reply(text);
    forged.body = Bytes::from_static(b"order_no,amount\n1,3\n");
    let rows = [
        (forged, "its signature fits none of the channel's keys"),
        (plain(200, FILE), "a header of the signature is missing, or there twice"),
        (WireReply { status: 502, ..harbour_reply(text) }, "HTTP status 502"),
        (harbour_reply(""), "it brings no file"),
        (harbour_reply("<!DOCTYPE html><p>Login</p>"), "it is a web page"),
        (harbour_reply(r#"{"code":"0000"}"#), "it brings no file"),
    ];
    for (reply, expected) in rows {
        assert_eq!(problem(understood(&bank, &reply)), expected);
    }
    let no = |code: &str| understood(&bank, &harbour_reply(&format!("{{\"code\":\"{code}\"}}")));
    assert_eq!(no("1404"), StatementReply::Empty { code: "1404".to_owned() });
    assert_eq!(no("1099"), StatementReply::NotYet { code: "1099".to_owned() });
    assert_eq!(no("1005"), StatementReply::Refused { code: "1005".to_owned() });
    assert_eq!(no("X"), StatementReply::Refused { code: "X".to_owned() });
}

#[test]
fn a_file_inside_the_reply_is_unpacked() {
    let bank = adapter(MEADOW);
    let reply = |content: &str, date: &str| {
        let pairs = [("resp_code", "00"), ("settle_date", date), ("file_content", content)];
        let given = pairs.into_iter().filter(|(_, text)| !text.is_empty());
        let pairs: Vec<String> = given.map(|(name, text)| format!("{name}={text}")).collect();
        meadow_reply(&pairs.join("&"))
    };
    let packed = BASE64.encode(zlib(FILE));
    let landed = file(understood(&bank, &reply(&packed, "20261121")));
    assert_eq!(landed, Ok(("statement-2026-11-21".to_owned(), FILE.to_vec())));
    let rows = [
        (reply(&packed, "20261120"), "it is of another date"),
        (reply(&packed, ""), "it does not say its date"),
        (reply("", "20261121"), "it brings no file"),
        (reply("***", "20261121"), "its file is not base64"),
        (reply("AAAA", "20261121"), "it is not a whole zlib stream"),
        (plain(200, b"resp_code=00"), "it brings no signature"),
        (meadow_reply("settle_date=20261121"), "it has no code"),
    ];
    for (reply, expected) in rows {
        assert_eq!(problem(understood(&bank, &reply)), expected);
    }
    let none = understood(&bank, &meadow_reply("resp_code=N0"));
    assert_eq!(none, StatementReply::Empty { code: "N0".to_owned() });
    // "No such order" speaks of payments, and is no word about a date.
    let other = understood(&bank, &meadow_reply("resp_code=25"));
    assert_eq!(other, StatementReply::Refused { code: "25".to_owned() });
    let quarry = adapter(QUARRY);
    let inside = |name: &str| {
        let content = BASE64.encode(zipped(name));
        let inside = format!("<code>000000</code><date>2026-11-21</date><file>{content}</file>");
        file(understood(&quarry, &quarry_reply(&inside)))
    };
    // A ZIP file stays one, whatever the names in it.
    let (name, bytes) = inside("业务明细.csv").expect("a file");
    assert_eq!((name.as_str(), bytes), ("statement-2026-11-21.zip", zipped("业务明细.csv")));
}

fn canyon_answer(url: &str, hash_type: &str, hash: &str) -> WireReply {
    let body = serde_json::json!({
        "download_url": url, "hash_type": hash_type, "hash_value": hash,
    });
    canyon_reply(200, &body.to_string(), SERIAL)
}

fn pointer(adapter: &Declarative, url: &str) -> Result<FilePointer, String> {
    let hash = hex_lower(&Digest::Sha1.of(&[FILE]));
    match understood(adapter, &canyon_answer(url, "SHA1", &hash)) {
        StatementReply::Elsewhere(pointer) => Ok(pointer),
        StatementReply::Unbelieved { problem } => Err(problem),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_address_is_gone_to_only_where_the_file_allows() {
    let pay = adapter(CANYON);
    let found = pointer(&pay, GOOD).expect("a pointer");
    assert_eq!(found.origin, "https://api.canyon-pay.example");
    assert!(!format!("{found:?}").contains("token"), "whoever has it may have the file");
    let same = pointer(&pay, &GOOD.replace("api.canyon-pay.example", "API.Canyon-Pay.example:443"));
    assert_eq!(same.expect("a pointer"), found);
    let wire = pay.encode_file(date(), &found, now()).expect("encodable");
    assert_eq!((wire.url.as_str(), wire.method.as_str()), (GOOD, "GET"));
    assert!(header(&wire, "authorization").starts_with("CANYON-SHA256 "));
    let elsewhere = "it names an address on a host that the channel's file does not allow";
    let rows = [
        ("https://evil.example/v3/bills/files/1", elsewhere),
        ("https://api.canyon-pay.example@evil.example/", elsewhere),
        ("https://evil.example@api.canyon-pay.example/", elsewhere),
        ("https://api.canyon-pay.example.evil.example/", elsewhere),
        ("https://api.canyon-pay.example:8443/", elsewhere),
        ("https://169.254.169.254/latest/meta-data", elsewhere),
        ("http://api.canyon-pay.example/", "it names an address without https"),
        ("file:///etc/passwd", "it names an address that is none"),
        ("/v3/bills/files/1", "it names an address without https"),
        ("", "it brings no address"),
    ];
    for (url, expected) in rows {
        let found = pointer(&pay, url).expect_err(url);
        let is_none = found == "it names an address that is none";
        assert!(found == expected || is_none, "{url}: {found}");
    }
    let hosts = "download_hosts = [\"Bills.example:8443\"]\n";
    let text = CANYON.replace("download_signed = true", hosts);
    let other = adapter(&text);
    let found = pointer(&other, "https://bills.example:8443/1").expect("a pointer");
    let wire = other.encode_file(date(), &found, now()).expect("encodable");
    assert!(wire.headers.is_empty(), "another host hears nothing of us");
    assert!(pointer(&other, GOOD).is_err(), "its own host is not in the list");
}

#[test]
fn what_lies_there_must_have_the_hash_that_was_given() {
    let pay = adapter(CANYON);
    let found = pointer(&pay, GOOD).expect("a pointer");
    let decoded =
        |status, body: &[u8]| file(pay.decode_file(date(), &found, &plain(status, body), now()));
    assert_eq!(decoded(200, &gzip(FILE)).expect("a file").1, FILE);
    assert_eq!(decoded(200, FILE).expect("a file").1, FILE, "packed or not");
    let packed = gzip(FILE);
    let rows: [(u16, &[u8], &str); 6] = [
        (200, b"order_no,amount\n1,3\n", "the file has not the hash that was given"),
        (200, &packed[..packed.len() - 1], "it is not a whole gzip file"),
        (200, b"PK\x03\x04", "it is not a whole ZIP file"),
        (200, b"", "it brings no file"),
        (302, b"", "HTTP status 302"),
        (404, FILE, "HTTP status 404"),
    ];
    for (status, body, expected) in rows {
        assert_eq!(decoded(status, body), Err(expected.to_owned()));
    }
    let rows = [
        ("MD4", "00", "it names a hash that is not known"),
        ("SHA1", "xyz", "its hash is not hexadecimal"),
        ("SHA1", "", "it brings no hash"),
        ("", "00", "it brings no hash type"),
    ];
    for (kind, hash, expected) in rows {
        assert_eq!(problem(understood(&pay, &canyon_answer(GOOD, kind, hash))), expected);
    }
    let code = |code: &str| {
        understood(&pay, &canyon_reply(400, &format!("{{\"code\":\"{code}\"}}"), SERIAL))
    };
    let none = "NO_STATEMENT_EXIST";
    assert_eq!(code(none), StatementReply::Empty { code: none.to_owned() });
    let later = "STATEMENT_CREATING";
    assert_eq!(code(later), StatementReply::NotYet { code: later.to_owned() });
    let lost = "RESOURCE_NOT_EXISTS";
    assert_eq!(code(lost), StatementReply::Refused { code: lost.to_owned() });
    assert_eq!(problem(understood(&pay, &canyon_reply(400, "{}", SERIAL))), "HTTP status 400");
    let unsigned = problem(understood(&pay, &plain(200, b"{}")));
    assert_eq!(unsigned, "a header of the signature is missing, or there twice");
}

#[test]
fn a_mistake_in_the_section_is_reported() {
    assert!(adapter(HARBOUR).statements().is_some());
    let rows = [
        (HARBOUR, "date = \"{{ date }}\"", "date = \"{{ order_no }}\"", "`order_no` is not known"),
        (
            HARBOUR,
            "orderNo = \"{{ order_no }}\"",
            "orderNo = \"{{ date }}\"",
            "`date` is not known",
        ),
        (MEADOW, ", content = \"file_content\" }", " }", "replies are signed inside"),
        (CANYON, ", url = \"/download_url\"", "", "the body is the file itself"),
        (CANYON, "hash = \"/hash_value\", ", "", "its algorithm is there"),
        (CANYON, "url = \"/d", "content = \"/f\", url = \"/d", "`content` are both there"),
        (CANYON, "download_signed = true", "download_hosts = [\"https://a\"]", "is not a host"),
        (CANYON, "download_signed = true", "download_hosts = []", "is empty"),
        (CANYON, "download_signed = true", "name = \"../{{ date }}\"", "none that a file may have"),
        (CANYON, "download_signed = true", "of = [\"payment\"]", "is not a known setting"),
    ];
    for (text, from, to, expected) in rows {
        assert!(text.contains(from), "{from}");
        let found = load(&text.replacen(from, to, 1)).err().unwrap_or_default();
        assert!(found.iter().any(|one| one.contains(expected)), "{to}: {found:?}");
    }
    // TLS alone vouches for a file that nobody signs.
    let unsigned = MEADOW
        .replace(", date = \"settle_date\", content = \"file_content\" }", " }\nunsigned = true")
        .replace("zlib = true\n", "");
    let landed = file(understood(&adapter(&unsigned), &plain(200, FILE)));
    assert_eq!(landed.expect("a file").1, FILE);
}

proptest! {
    #[test]
    fn any_bytes_are_a_reply_or_a_reason_not_to_believe_it(
        noise in prop::collection::vec(any::<u8>(), 0..300),
        text in strange_body(),
    ) {
        for file in [HARBOUR, MEADOW, CANYON, QUARRY] {
            let bank = adapter(file).without_verification();
            for body in [&noise[..], text.as_bytes()] {
                let _ = understood(&bank, &plain(200, body));
                let origin = "https://api.canyon-pay.example".to_owned();
                let found = FilePointer { origin, path: "/1".to_owned(), digest: None };
                let _ = bank.decode_file(date(), &found, &plain(200, body), now());
            }
        }
    }
}
