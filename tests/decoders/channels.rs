//! Channels that a file describes: what their banks answer, and the file itself.

use std::sync::{Arc, OnceLock};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use switchyard::channel::file::ChannelFile;
use switchyard::channel::protocol::ProtocolAdapter;
use switchyard::channel::protocol::iso8583::section::Iso8583Channel;
use switchyard::channel::statement::StatementReply;
use switchyard::channel::transport::tcp::{LinkProtocol, RequestTrace, TracedRequest};
use switchyard::channel::{
    Adapter, AttemptFacts, ChannelRequest, LinkAdapter, ReplyMeaning, TRANSCRIPT_BYTES_MAX,
    WireNotice, WireReply, protocol,
};
use switchyard::codec::FieldLimits;
use switchyard::codec::crypto::cipher::{BlockCipher, BlockKey, Mode};
use switchyard::codec::crypto::digest::Digest;
use switchyard::codec::form::Fields;
use switchyard::codec::sign::{HmacKey, hex_lower};
use switchyard::config::mistake::Mistakes;
use switchyard::config::raw::Document;
use switchyard::domain::attempt::Operation;
use switchyard::domain::card::{CardInput, Cvv, Expiry, Pan};
use switchyard::domain::ids::{ChannelId, ChannelOrderNo, MerchantId, OrderId};
use switchyard::domain::money::{AmountMinor, Currency};
use switchyard::domain::outcome::Outcome;
use switchyard::domain::terms::CommonTerms;
use switchyard::domain::time::{BusinessDate, Timestamp};

use super::{choose, quotes_no_card, tamper, unionpay};

/// A card number that UnionPay publishes for tests.
pub const PAN: &str = "6216261000000000018";
/// The attempt that every request is about.
pub const ORDER_NO: &str = "250601001000000000901";
/// What stands behind a reference to a shared key.
const SECRET: &str = "the shared secret of these tests";
/// When the channel's clock says that a reply was signed.
const SIGNED_AT: &str = "1748744160";

/// 2025-06-01 10:16:00 in Beijing.
pub fn now() -> Timestamp {
    Timestamp::from_millis(1_748_744_160_000)
}

fn facts(operation: Operation) -> AttemptFacts {
    AttemptFacts {
        channel_order_no: ChannelOrderNo { order: OrderId::compose(250_601, 1, 9), attempt: 1 },
        sent_at: now(),
        announced_at: None,
        operation,
        merchant_id: MerchantId::parse("M1").expect("an id"),
        amount: AmountMinor::new(10_000).expect("an amount"),
        currency: Currency::Cny,
        description: Some("tea".to_owned()),
        channel_reference: None,
        payee_kind: None,
    }
}

/// Payment, inquiry, reversal and undo.
pub fn request(choice: u8) -> ChannelRequest {
    let payment = || facts(Operation::Payment);
    let card = || CardInput {
        pan: Pan::parse(PAN).expect("a card number"),
        expiry: Expiry::parse_yymm("3011"),
        cvv: Cvv::parse("123"),
        holder: Some("张三".to_owned()),
        id_type: Some("01".to_owned()),
        id_number: Some("a document".to_owned()),
        phone: None,
    };
    match choice % 4 {
        0 => ChannelRequest::Charge { facts: payment(), instrument: card().into() },
        1 => ChannelRequest::Inquiry { facts: payment(), original: None, pan: None, now: now() },
        2 => ChannelRequest::Reversal { facts: payment(), original: None, pan: None, now: now() },
        _ => {
            let undo = facts(Operation::Undo);
            ChannelRequest::FollowUp { facts: undo, original: payment(), pan: None }
        }
    }
}

pub fn reply(status: u16, headers: HeaderMap, body: impl Into<Vec<u8>>) -> WireReply {
    WireReply { status, headers, body: Bytes::from(body.into()) }
}

/// What holds of whatever an adapter understood: only a transport says *not sent* (I-2), and what
/// is kept of the channel's words is bounded and holds no card number (I-11).
pub fn check_understood(understood: &ReplyMeaning) {
    let sent = !matches!(understood.outcome, Outcome::NotSent(_));
    assert!(sent, "an adapter says that nothing was sent");
    let transcript = &understood.transcript;
    assert!(transcript.len() <= TRANSCRIPT_BYTES_MAX, "a transcript of {} bytes", transcript.len());
    let mut runs = transcript.split(|c: char| !c.is_ascii_digit());
    assert!(!runs.any(|run| run == PAN), "a transcript has the card number");
}

/// Reads a channel file's text as a start does, but for what is kept elsewhere: the mistakes as
/// texts, and the adapter where there are none.
fn build(text: &str) -> Result<ProtocolAdapter, Vec<String>> {
    let shown =
        |mistakes: Vec<_>| mistakes.iter().map(ToString::to_string).collect::<Vec<String>>();
    let document = Document::parse("channel.toml", text).map_err(shown)?;
    let mistakes = Mistakes::new();
    let root = document.root(&mistakes);
    let id = ChannelId::parse("channel").expect("an id");
    let file = ChannelFile::read(&root, id, &CommonTerms::default());
    let built = protocol::read(&root, &file, &resolve);
    root.finish();
    mistakes.into_result().map_err(shown)?;
    built.ok_or_else(|| vec!["no adapter, and no mistake".to_owned()])
}

/// The adapter of a channel that speaks HTTP.
pub fn read(text: &str) -> Result<Arc<dyn Adapter>, Vec<String>> {
    build(text)?.http().ok_or_else(|| vec!["it speaks no HTTP".to_owned()])
}

/// Keys and certificates where a channel file refers to them, a shared secret where it does not.
fn resolve(reference: &str) -> Result<String, String> {
    let keys = unionpay::keys();
    match reference {
        "file:keys/root.pem" => Ok(keys.root_pem.clone()),
        "file:keys/middle.pem" => Ok(keys.intermediate_pem.clone()),
        "file:keys/encrypt.pem" => Ok(keys.encryption_certificate_pem.clone()),
        "file:keys/sign.pem" => Ok(keys.merchant_certificate_pem.clone()),
        "file:keys/sign.key" => Ok(keys.merchant_key_pem.clone()),
        "env:QUARRY_BANK_CARD_KEY" => Ok("0123456789abcdeffedcba9876543210".to_owned()),
        "env:LAKESIDE_MASTER_KEY" => Ok("0123456789ABCDEFFEDCBA9876543210".to_owned()),
        known if known.starts_with("env:") => Ok(SECRET.to_owned()),
        _ => Err("there is no such credential".to_owned()),
    }
}

/// Makes a signed message of any bytes, where they can be one.
type Sign = fn(&[u8]) -> Option<(HeaderMap, Vec<u8>)>;

/// A bank of a shipped file, and how its side signs where that is with a shared key.
struct Bank {
    adapter: Arc<dyn Adapter>,
    sign: Option<Sign>,
}

fn banks() -> &'static [Bank; 4] {
    static BANKS: OnceLock<[Bank; 4]> = OnceLock::new();
    BANKS.get_or_init(|| {
        let harbour = include_str!("../../channels/harbour-bank.toml");
        let meadow = include_str!("../../channels/meadow-bank.toml");
        // These two sign with RSA and SM2. Here one has a shared key, which is as good and quick,
        // and the other is believed as it is, so that any bytes reach the reader behind.
        let canyon = include_str!("../../channels/canyon-pay.toml")
            .replace("\"rsa-sha256\"", "\"hmac-sha256\"\nencoding = \"hex\"")
            .replace(
                "sha1\", key = \"file:keys/canyon-pay-platform",
                "sha1\", key = \"file:keys/encrypt",
            )
            .replace("file:keys/canyon-pay-merchant.pem", "env:KEY")
            .replace("file:keys/canyon-pay-platform.pem", "env:KEY");
        let quarry = include_str!("../../channels/quarry-bank.toml");
        let without = |text: &str, from: &str, to: &str| {
            let (before, rest) = text.split_once(from).expect("the section begins");
            let (_, after) = rest.split_once(to).expect("the section ends");
            format!("{before}{to}{after}")
        };
        let quarry = without(quarry, "[http.sign]", "[http.encrypt]");
        let bank = |text: &str, sign: Option<Sign>| {
            let adapter = read(text).unwrap_or_else(|mistakes| panic!("{mistakes:?}"));
            Bank { adapter, sign }
        };
        [
            bank(harbour, Some(sign_json)),
            bank(meadow, Some(sign_form)),
            bank(&canyon, Some(sign_with_nonce)),
            bank(&quarry, None),
        ]
    })
}

/// The first byte chooses the request, the bank and the byte of a signed message that is changed.
pub fn declarative(bytes: &[u8]) {
    let Some((choice, body)) = choose(bytes) else { return };
    let (request, bank) = (request(choice), &banks()[usize::from(choice / 4 % 4)]);
    let adapter = &bank.adapter;
    let understand = |headers: &HeaderMap, body: &[u8]| {
        let understood = adapter.decode(&request, &reply(200, headers.clone(), body), now());
        check_understood(&understood);
        understood
    };
    let notice = |headers: &HeaderMap, body: &[u8]| {
        let body = Bytes::from(body.to_vec());
        let read = adapter.decode_notice(&WireNotice { headers: headers.clone(), body }, now());
        match &read {
            Ok(notice) => check_understood(&notice.understood),
            Err(refusal) => quotes_no_card(refusal),
        }
        read
    };
    let none = HeaderMap::new();
    let unsigned = understand(&none, body);
    let source = adapter.statements().expect("the shipped file asks for statements");
    let date = BusinessDate::from_yyyymmdd(20_250_531).expect("a date");
    let statement = |headers: &HeaderMap, body: &[u8]| {
        let read = source.decode_statement(date, &reply(200, headers.clone(), body), now());
        if let StatementReply::Unbelieved { problem } = &read {
            quotes_no_card(problem);
        }
        matches!(read, StatementReply::Unbelieved { .. })
    };
    assert!(statement(&none, body) || bank.sign.is_none(), "an unsigned statement is believed");
    assert!(notice(&none, body).is_err(), "a notice of a stranger is believed");
    let Some(sign) = bank.sign else { return };
    assert_unknown(&unsigned, "an unsigned reply");
    let Some((headers, signed)) = sign(body) else { return };
    understand(&headers, &signed);
    let _either = statement(&headers, &signed);
    let failed = adapter.decode(&request, &reply(500, headers.clone(), signed.as_slice()), now());
    assert_unknown(&failed, "a reply with HTTP status 500");
    let mut changed = signed.clone();
    tamper(&mut changed, choice / 16);
    let is_form = headers.is_empty();
    let says_the_same = is_form && said(&changed) == said(&signed);
    if !changed.is_empty() && !says_the_same {
        assert_unknown(&understand(&headers, &changed), "a changed reply");
        assert!(notice(&headers, &changed).is_err(), "a changed notice is believed");
    }
    let _either = notice(&headers, &signed);
    let (headers, sealed) = sign_with_nonce(&sealed_notice(body)).expect("any body is signed");
    let _either = notice(&headers, &sealed);
}

/// What a form says: a field without a value says nothing, and is not signed.
fn said(body: &[u8]) -> Option<Vec<(String, String)>> {
    let fields = Fields::decode_form(body, FieldLimits::MESSAGE).ok()?;
    let signed = fields.iter().filter(|(key, value)| !value.is_empty() && *key != "sign_type");
    Some(signed.map(|(key, value)| (key.to_owned(), value.to_owned())).collect())
}

fn assert_unknown(understood: &ReplyMeaning, what: &str) {
    let unknown = matches!(understood.outcome, Outcome::Unknown(_));
    assert!(unknown, "{what} is believed: {}", understood.outcome.name());
}

fn tag(pieces: &[&[u8]]) -> String {
    hex_lower(&HmacKey::new(SECRET.as_bytes()).tag(pieces))
}

fn headers<const N: usize>(all: [(&'static str, &str); N]) -> HeaderMap {
    let value = |text| HeaderValue::from_str(text).expect("plain characters");
    let named = |(name, text)| (HeaderName::from_static(name), value(text));
    all.into_iter().map(named).collect()
}

fn sign_json(body: &[u8]) -> Option<(HeaderMap, Vec<u8>)> {
    let tag = tag(&[SIGNED_AT.as_bytes(), b"\n", body]);
    Some((headers([("x-timestamp", SIGNED_AT), ("x-signature", &tag)]), body.to_vec()))
}

fn sign_with_nonce(body: &[u8]) -> Option<(HeaderMap, Vec<u8>)> {
    let tag = tag(&[SIGNED_AT.as_bytes(), b"\nn\n", body, b"\n"]);
    let headers = headers([
        ("canyon-timestamp", SIGNED_AT),
        ("canyon-nonce", "n"),
        ("canyon-serial", "7132D72A03E93CDDF8C03BBD1F37EEDF"),
        ("canyon-signature", &tag),
    ]);
    Some((headers, body.to_vec()))
}

/// `None` where the bytes are no form.
fn sign_form(body: &[u8]) -> Option<(HeaderMap, Vec<u8>)> {
    let mut fields = Fields::decode_form(body, FieldLimits::MESSAGE).ok()?;
    let named = |(key, value): (&str, &str)| {
        let is_signed = !["sign", "sign_type"].contains(&key) && !value.is_empty();
        is_signed.then(|| format!("{key}={value}"))
    };
    let text = fields.iter().filter_map(named).collect::<Vec<_>>().join("&");
    let digest = Digest::Md5.of(&[text.as_bytes(), b"&key=", SECRET.as_bytes()]);
    fields.set("sign", &hex_lower(&digest).to_uppercase());
    Some((HeaderMap::new(), fields.encode_form().into_bytes()))
}

/// A notice whose content, these bytes, is encrypted.
fn sealed_notice(content: &[u8]) -> Vec<u8> {
    let key = BlockKey::new(BlockCipher::Aes, Mode::Gcm, SECRET.as_bytes()).expect("32 bytes");
    let cipher = key.encrypt(b"twelve bytes", b"notice", content).expect("any text");
    let cipher = STANDARD.encode(cipher);
    let resource =
        format!(r#"{{"ciphertext":"{cipher}","nonce":"twelve bytes","associated_data":"notice"}}"#);
    format!(r#"{{"event_type":"PAY.SUCCESS","resource":{resource}}}"#).into_bytes()
}

/// Frames of a link that has not signed on: nobody has its key, so that nothing is proved.
pub fn links(bytes: &[u8]) {
    static LINKS: OnceLock<Box<Iso8583Channel>> = OnceLock::new();
    let Some((choice, frame)) = choose(bytes) else { return };
    let links = LINKS.get_or_init(|| {
        let file = include_str!("../../channels/lakeside-acquirer.toml");
        match build(file) {
            Ok(ProtocolAdapter::Links(links)) => links,
            Ok(ProtocolAdapter::Http(_)) => panic!("the shipped file speaks of links"),
            Err(mistakes) => panic!("{mistakes:?}"),
        }
    });
    let adapter = &links.adapter;
    let _any = adapter.sort(frame);
    if let Err(refusal) = adapter.take_sign_on(frame) {
        quotes_no_card(&refusal);
    }
    let kind = if choice & 1 == 0 {
        TracedRequest::Order { answer: 210 }
    } else {
        TracedRequest::Reversal
    };
    let asked = RequestTrace { kind, facts: facts(Operation::Payment), echoed: Vec::new() };
    let understood = adapter.decode_frame(&asked, frame, now());
    check_understood(&understood);
    let believed = matches!(understood.outcome, Outcome::Approved(_));
    assert!(!believed, "a yes without a key is believed");
}

/// A file either has mistakes, with lines of its own and without any credential in them, or gives
/// an adapter that keeps the card number out of addresses and headers.
pub fn channel_file(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let adapter = match build(text) {
        Ok(ProtocolAdapter::Http(adapter)) => adapter,
        // Card numbers belong into its frames, and there is nothing else that is sent.
        Ok(ProtocolAdapter::Links(_)) => return,
        Err(mistakes) => {
            assert!(!mistakes.is_empty(), "no adapter, and no mistake");
            for mistake in mistakes {
                assert!(!mistake.contains(SECRET), "a mistake quotes a credential");
                assert!(!mistake.contains("PRIVATE KEY"), "a mistake quotes a key");
                quotes_no_card(&mistake);
            }
            return;
        }
    };
    for choice in 0..4 {
        match adapter.encode(&request(choice), now()) {
            Ok(wire) => {
                assert!(!wire.url.contains(PAN), "a card number in an address");
                let mut values = wire.headers.iter().map(|(_, value)| value.as_bytes());
                let has =
                    |value: &[u8]| value.windows(PAN.len()).any(|part| part == PAN.as_bytes());
                assert!(!values.any(has), "a card number in a header");
            }
            Err(error) => quotes_no_card(&error),
        }
    }
}
