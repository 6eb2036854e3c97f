//! UnionPay's ACP: replies, notices and statement files, from nobody and from a signer of ours.

use std::io::Write;
use std::sync::{Arc, OnceLock};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::HeaderMap;
use switchyard::channel::statement::{
    FILES_MAX, StatementFile, StatementReply, UnpackError, inflate, unzip,
};
use switchyard::channel::{Adapter, WireNotice};
use switchyard::codec::acp;
use switchyard::codec::certificate::Certificate;
use switchyard::codec::form::Fields;
use switchyard::codec::sign::RsaSigner;
use switchyard::codec::{DecodeError, FieldLimits};
use switchyard::domain::outcome::Outcome;
use switchyard::domain::time::BusinessDate;
use switchyard::simulator::SimulatorKeys;

use super::channels::{ORDER_NO, check_understood, now, read, reply, request};
use super::{choose, quotes_no_card, tamper};

/// The merchant of `channels/unionpay.toml`.
const MERCHANT_ID: &str = "777000000000001";
/// When the requests are sent, in Beijing.
const TXN_TIME: &str = "20250601101600";

/// Making RSA keys takes most of a second, so a process makes them once.
pub fn keys() -> &'static SimulatorKeys {
    static KEYS: OnceLock<SimulatorKeys> = OnceLock::new();
    KEYS.get_or_init(|| SimulatorKeys::generate().expect("five RSA keys"))
}

fn text_of(name: &str) -> &'static str {
    let mut texts = keys().texts();
    texts.find(|(known, _)| *known == name).expect("the set is whole").1
}

/// The certificate that the platform signs with, PEM.
pub fn platform_certificate() -> &'static str {
    text_of("platform.pem")
}

struct Platform {
    signer: RsaSigner,
    serial: String,
    adapter: Arc<dyn Adapter>,
}

fn platform() -> &'static Platform {
    static PLATFORM: OnceLock<Platform> = OnceLock::new();
    PLATFORM.get_or_init(|| {
        let certificate = Certificate::from_pem(platform_certificate()).expect("a certificate");
        let file = include_str!("../../channels/unionpay.toml");
        Platform {
            signer: RsaSigner::from_pem(text_of("platform.key")).expect("a key"),
            serial: certificate.serial_decimal().to_owned(),
            adapter: read(file).expect("the shipped file is right"),
        }
    })
}

/// The platform's answer to a request, with the fields of `bytes` in it, signed.
fn signed(txn_type: &str, bytes: &[u8]) -> Option<Fields> {
    let more = Fields::decode_line(bytes, FieldLimits::MESSAGE).ok()?;
    let echo = [
        ("currencyCode", "156"),
        ("merId", MERCHANT_ID),
        ("orderId", ORDER_NO),
        ("respCode", "00"),
        ("txnAmt", "10000"),
        ("txnTime", TXN_TIME),
        ("txnType", txn_type),
    ];
    let mut fields: Fields = echo.into_iter().collect();
    for (key, value) in more.iter() {
        fields.set(key, value);
    }
    let platform = platform();
    fields.set("signPubKeyCert", platform_certificate());
    acp::sign_rsa(&mut fields, &platform.serial, &platform.signer);
    Some(fields)
}

/// The first byte chooses the request, and the byte of a signed message that is changed.
pub fn messages(bytes: &[u8]) {
    let Some((choice, body)) = choose(bytes) else { return };
    let (adapter, request) = (&platform().adapter, request(choice));
    let unknown = |body: &[u8]| {
        let understood = adapter.decode(&request, &reply(200, HeaderMap::new(), body), now());
        check_understood(&understood);
        matches!(understood.outcome, Outcome::Unknown(_))
    };
    let notice = |body: &[u8]| {
        let body = Bytes::from(body.to_vec());
        adapter.decode_notice(&WireNotice { headers: HeaderMap::new(), body }, now())
    };
    assert!(unknown(body), "a reply of a stranger is believed");
    assert!(notice(body).is_err(), "a notice of a stranger is believed");

    let txn_type = ["01", "00", "99", "31"][usize::from(choice % 4)];
    let Some(fields) = signed(txn_type, body) else { return };
    let line = fields.encode_line();
    let understood =
        adapter.decode(&request, &reply(200, HeaderMap::new(), line.as_bytes()), now());
    check_understood(&understood);
    if let Outcome::Approved(_) = understood.outcome {
        assert_eq!(fields.get("orderId"), Some(ORDER_NO), "a yes to another order");
        assert_eq!(fields.get("merId"), Some(MERCHANT_ID), "a yes to another merchant");
    }
    let mut changed = line.clone().into_bytes();
    tamper(&mut changed, choice / 4);
    if !same(Fields::decode_line, line.as_bytes(), &changed) {
        assert!(unknown(&changed), "a changed reply is believed");
    }
    let form = fields.encode_form();
    match notice(form.as_bytes()) {
        Ok(found) => {
            check_understood(&found.understood);
            let named = found.channel_order_no.to_string();
            assert_eq!(fields.get("orderId"), Some(named.as_str()), "a notice of another order");
        }
        Err(refusal) => quotes_no_card(&refusal),
    }
    let mut changed = form.clone().into_bytes();
    tamper(&mut changed, choice / 4);
    if !same(Fields::decode_form, form.as_bytes(), &changed) {
        assert!(notice(&changed).is_err(), "a changed notice is believed");
    }
}

type Decode = fn(&[u8], FieldLimits) -> Result<Fields, DecodeError>;

/// Whether a change left the fields alone: `%3D` and `%3d` are one.
fn same(decode: Decode, left: &[u8], right: &[u8]) -> bool {
    decode(left, FieldLimits::MESSAGE) == decode(right, FieldLimits::MESSAGE)
}

/// Bytes that archives of these inputs may unpack to.
const UNPACKED_MAX: usize = 64 * 1024;

/// The first byte chooses what the rest is: a packed stream, an archive, or part of a signed reply.
pub fn statement(bytes: &[u8]) {
    let Some((choice, rest)) = choose(bytes) else { return };
    match choice % 4 {
        0 => match inflate(rest, UNPACKED_MAX) {
            Ok(out) => assert!(out.len() <= UNPACKED_MAX, "{} bytes came out", out.len()),
            Err(error) => quotes_no_card(&error),
        },
        1 => check_files(unzip(rest, UNPACKED_MAX)),
        2 => signed_statement(&STANDARD.encode(rest)),
        _ => signed_statement(&STANDARD.encode(deflate(rest))),
    }
}

fn check_files(files: Result<Vec<StatementFile>, UnpackError>) {
    let files = match files {
        Ok(files) => files,
        Err(error) => return quotes_no_card(&error),
    };
    assert!((1..=FILES_MAX).contains(&files.len()), "{} files", files.len());
    let sum: usize = files.iter().map(|file| file.bytes.len()).sum();
    assert!(sum <= UNPACKED_MAX, "{sum} bytes came out");
    for (place, file) in files.iter().enumerate() {
        let name = file.name();
        assert!(!name.contains(['/', '\\', '\0']) && !name.starts_with('.'), "a name leads away");
        let earlier = &files[..place];
        assert!(earlier.iter().all(|other| other.name() != name), "two files of one name");
    }
}

fn deflate(plain: &[u8]) -> Vec<u8> {
    let mut stream = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    stream.write_all(plain).expect("memory takes any bytes");
    stream.finish().expect("memory takes any bytes")
}

fn signed_statement(content: &str) {
    let line = format!("fileContent={content}&fileName=X_20250531.zip&settleDate=0531&txnAmt=");
    let fields = signed("76", line.as_bytes()).expect("a line of fields");
    let source = platform().adapter.statements().expect("the shipped file has an address");
    let date = BusinessDate::from_yyyymmdd(20_250_531).expect("a date");
    let mut body = fields.encode_line().into_bytes();
    match source.decode_statement(date, &reply(200, HeaderMap::new(), body.clone()), now()) {
        StatementReply::Files(files) => assert!((1..=FILES_MAX).contains(&files.len())),
        StatementReply::Unbelieved { problem } => {
            quotes_no_card(&problem);
            assert!(!problem.contains("signature"), "a signed statement is not believed");
        }
        StatementReply::NotYet { .. }
        | StatementReply::Empty { .. }
        | StatementReply::Elsewhere(_)
        | StatementReply::Refused { .. } => {
            panic!("a statement's 00 is read as a no");
        }
    }
    tamper(&mut body, content.len() as u8);
    let changed = source.decode_statement(date, &reply(200, HeaderMap::new(), body), now());
    let believed = !matches!(changed, StatementReply::Unbelieved { .. });
    assert!(!believed, "a changed statement is believed");
}
