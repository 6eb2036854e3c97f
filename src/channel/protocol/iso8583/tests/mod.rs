//! The adapter on bytes: what it writes, what it makes of answers, and what a file may say.

mod replies;
mod requests;
mod sections;

use super::*;
use crate::channel::AttemptFacts;
use crate::channel::file::ChannelFile;
use crate::codec::iso8583::{Draft, Message, decode, encode};
use crate::config::mistake::Mistakes;
use crate::config::raw::Document;
use crate::domain::attempt::Operation;
use crate::domain::card::{CardInput, Expiry, Pan};
use crate::domain::ids::{ChannelId, ChannelOrderNo, MerchantId, OrderId};
use crate::domain::money::{AmountMinor, Currency};
use crate::domain::terms::CommonTerms;

/// A card number that UnionPay publishes for tests.
const TEST_PAN: &str = "6216261000000000018";

const SHARED: &str = r#"
protocol = "iso8583"
state = "live"
[abilities]
operations = ["payment", "refund", "void", "preauth", "capture", "reversal"]
reversible = ["payment", "preauth", "capture"]
currencies = ["CNY"]
[limits]
per_order_max_minor = 500000
[unknown]
inquire = []
then = "reverse"
reverse = ["0s", "30s"]
keeps_pan = true
not_found_final_after = "10m"
[clearing]
time_zone = "Asia/Shanghai"
cut_off = "23:00"
"#;
const POSP: &str = r#"
[iso8583]
style = "posp"
addresses = ["127.0.0.1:7001"]
terminals = ["12345678"]
nodes = [1]
merchant_id = "898110148160001"
[iso8583.mac]
key = "env:mac"
"#;
const POSP_SIGN_IN: &str = r#"
[iso8583]
style = "posp"
addresses = ["127.0.0.1:7001"]
terminals = ["12345678"]
nodes = [1]
merchant_id = "898110148160001"
[iso8583.mac]
master_key = "env:master"
"#;
const CUPS: &str = r#"
[iso8583]
style = "cups"
addresses = ["127.0.0.1:7001"]
terminals = ["12345678"]
nodes = [1]
merchant_id = "898110148160001"
production = false
acquirer = "48021000"
forwarder = "48021000"
sign_on = true
[iso8583.values]
18 = "5411"
43 = "GATEWAY TEST MERCHANT"
[iso8583.mac]
key = "env:cups"
"#;

/// Reads a whole file; the mistakes as lines.
fn read(text: &str) -> Result<Iso8583, Vec<String>> {
    let document = Document::parse("a.toml", text).expect("the syntax is right");
    let mistakes = Mistakes::new();
    let root = document.root(&mistakes);
    let id = ChannelId::parse("a").expect("an id");
    let file = ChannelFile::read(&root, id, &CommonTerms::default());
    let resolve = |reference: &str| match reference {
        "env:mac" => Ok("A1B2C3D4E5F60718".to_owned()),
        "env:cups" => Ok("0123456789ABCDEF".to_owned()),
        "env:master" => Ok("31323334353637384142434445464748".to_owned()),
        _ => Err("it is not set".to_owned()),
    };
    let read = section::read(&root, &file, &resolve);
    root.finish();
    match mistakes.into_result() {
        Ok(()) => Ok(read.expect("no mistakes").adapter),
        Err(found) => Err(found.iter().map(ToString::to_string).collect()),
    }
}

fn adapter(section: &str) -> Iso8583 {
    read(&format!("{SHARED}{section}")).unwrap_or_else(|mistakes| panic!("{mistakes:#?}"))
}

/// 2025-06-01 10:16:00 in Beijing.
fn now() -> Timestamp {
    Timestamp::from_millis(1_748_744_160_000)
}

fn facts(operation: Operation, sequence: u64) -> AttemptFacts {
    AttemptFacts {
        channel_order_no: ChannelOrderNo {
            order: OrderId::compose(250_601, 1, sequence),
            attempt: 1,
        },
        sent_at: now(),
        announced_at: None,
        operation,
        merchant_id: MerchantId::parse("m-1").expect("an id"),
        amount: AmountMinor::new(10_000).expect("an amount"),
        currency: Currency::parse("CNY").expect("a currency"),
        description: None,
        channel_reference: None,
        payee_kind: None,
    }
}

fn pan() -> Pan {
    Pan::parse(TEST_PAN).expect("a test number")
}

fn card() -> CardInput {
    CardInput {
        pan: pan(),
        expiry: Expiry::parse_yymm("3012"),
        cvv: None,
        holder: None,
        id_type: None,
        id_number: None,
        phone: None,
    }
}

fn sale(sequence: u64) -> ChannelRequest {
    ChannelRequest::Charge { facts: facts(Operation::Payment, sequence), instrument: card().into() }
}

fn follow_up(operation: Operation, of: Operation) -> ChannelRequest {
    let mut original = facts(of, 1);
    original.channel_reference = Some("060110160102-123456".to_owned());
    ChannelRequest::FollowUp { facts: facts(operation, 4), original, pan: Some(pan()) }
}

fn reversal(operation: Operation, sequence: u64) -> ChannelRequest {
    reversal_of(operation, None, sequence)
}

fn reversal_of(operation: Operation, original: Option<Operation>, sequence: u64) -> ChannelRequest {
    let original = original.map(|original| {
        let mut original = facts(original, 0);
        original.channel_reference = Some("060110160102-123456".to_owned());
        original
    });
    let (facts, pan) = (facts(operation, sequence), Some(pan()));
    ChannelRequest::Reversal { facts, original, pan, now: later() }
}

/// A minute and five seconds after `now`.
fn later() -> Timestamp {
    Timestamp::from_millis(1_748_744_225_000)
}

/// The fields of a frame without the bytes before the message, as `number=plain`.
fn fields_of(adapter: &Iso8583, frame: &[u8]) -> Vec<String> {
    let message = message_of(adapter, frame);
    let show = |field| {
        let value = message.value(field).expect("it is there");
        format!("{field}={}", value.text())
    };
    std::iter::once(format!("{:04}", message.message_type()))
        .chain(message.fields().map(show))
        .collect()
}

fn message_of<'f>(adapter: &'f Iso8583, frame: &'f [u8]) -> Message<'f> {
    let wire = &adapter.settings.wire;
    let (_, start) = wire.header.form().read(frame).expect("a header");
    decode(&wire.format, frame, start).expect("a message")
}

/// The frame of a request, without its length.
fn written(adapter: &Iso8583, request: &ChannelRequest) -> (Vec<u8>, RequestTrace) {
    let (frame, asked) = adapter.encode_frame(request, later()).expect("it can be built");
    let own = adapter.settings.wire.framing.length_bytes();
    (frame.bytes[own..].to_vec(), asked)
}

/// The answer that an honest host gives to a frame of ours, after `change`.
fn answer(adapter: &Iso8583, frame: &[u8], code: &str, change: impl Fn(&mut Draft)) -> Vec<u8> {
    let asked = message_of(adapter, frame);
    let mut draft = Draft::new(asked.message_type() + 10);
    for field in [2, 3, 4, 7, 11, 12, 13, 25, 32, 33, 41, 42, 49, 60] {
        if let Some(value) = asked.value(field) {
            draft.put(field, &value.plain().collect::<Vec<u8>>());
        }
    }
    draft.put(39, code.as_bytes()).put(37, b"060110160102").put(15, b"0601");
    if code == "00" {
        draft.put(38, b"123456");
    }
    change(&mut draft);
    let settings = &adapter.settings;
    let mut out = Vec::new();
    settings.wire.header.answered().write(&mut out);
    let mac = settings.mac.as_ref().expect("these channels have one");
    if draft.message_type() < 800 {
        draft.put(mac.rule.field, b"00000000");
    }
    let packed = encode(&settings.wire.format, &draft, &mut out).expect("it fits");
    if draft.message_type() < 800 {
        adapter
            .keys
            .with_current("12345678", |own| {
                mac.rule.seal(own, &settings.wire.format, &packed, &mut out)
            })
            .expect("the terminal has a key");
    }
    out
}
