//! ISO 8583 hosts whose messages lie otherwise than UnionPay's: a channel's file says how, and both
//! sides pay, capture, void, refund and reverse over it.

use super::*;

use switchyard::config::raw::Document;
use switchyard::simulator::{Counterpart, KeyTexts};

const SHARED: &str = r#"protocol = "iso8583"
state = "live"
abilities.operations = ["payment", "refund", "void", "preauth", "capture", "reversal"]
abilities.currencies = ["CNY"]
limits.per_order_max_minor = 5000000
clearing = { time_zone = "Asia/Shanghai", cut_off = "23:00" }
[unknown]
inquire = []
then = "reverse"
reverse = ["0s"]
not_found_final_after = "10m"
keeps_pan = true
[[fees]]
name = "all"
[iso8583]
addresses = ["host.example:7001"]
terminals = ["12345678"]
merchant_id = "898110148160001"
"#;

/// A host that wants all of it in EBCDIC behind four bytes of length, without a header.
const EBCDIC: &str = r#"style = "cups"
acquirer = "48021000"
forwarder = "48021000"
header = ""
length = "binary4"
length_counts_itself = true
[iso8583.format]
message_type = "ebcdic"
numbers = "ebcdic"
texts = "ebcdic"
lengths = "ebcdic"
[iso8583.fields]
28 = "x+n9 bcd"
60 = "none"
128 = "b8"
[iso8583.mac]
method = "x9.19"
form = "raw"
key = "env:MAC"
"#;

/// One with a hexadecimal bitmap in ASCII behind a text header, and no MAC.
const HEXADECIMAL: &str = r#"style = "cups"
acquirer = "48021000"
forwarder = "48021000"
header = "49534f2d544553542d"
length = "binary2"
format = { bitmap = "hex" }
mac = { none = true }
"#;

/// Terminals behind a TPDU alone, with their MAC in field 128 and without field 60.
const TERMINAL: &str = r#"style = "posp"
header = ""
length = "ascii4"
line_test = false
[iso8583.format]
message_type = "ascii"
bitmap = "hex-ebcdic"
texts = "ebcdic"
lengths = "binary"
[iso8583.fields]
48 = "none"
49 = "n3"
60 = "none"
64 = "none"
128 = "an8"
[iso8583.mac]
method = "x9.9"
field = 128
key = "env:MAC"
"#;

/// A gateway's channel of this file, and the other side of the same file.
async fn both_sides(folder: &Path, form: &str) -> (Arc<Registry>, Simulator) {
    let text = format!("{SHARED}nodes = [1]\n{form}");
    let document = Document::parse("host.toml", &text).expect("TOML");
    let other = Counterpart::read(&document, "host", &mut KeyTexts::new());
    let other = other.unwrap_or_else(|mistakes| panic!("{mistakes:#?}"));
    let settings = other.settings("host", Arc::new(noon)).with_declines_percent(0);
    let simulator = Simulator::start(settings).await.expect("a port");
    let copy = other.redirect_to_simulator(&text, &simulator.base_url(), "").expect("TOML");
    std::fs::create_dir_all(folder.join("env")).expect("a folder");
    std::fs::write(folder.join("host.toml"), copy).expect("writable");
    for credential in &other.credentials {
        let name = credential.reference.strip_prefix("env:").expect("of the environment");
        std::fs::write(folder.join("env").join(name), credential.text.as_bytes()).expect("a key");
    }
    (registry(folder), simulator)
}

#[tokio::test]
async fn a_host_elsewhere_is_spoken_to_as_its_file_says() {
    for form in [EBCDIC, HEXADECIMAL, TERMINAL] {
        let scratch = tempfile::tempdir().expect("a folder");
        let (registry, simulator) = both_sides(scratch.path(), form).await;
        let channel = ChannelId::parse("host").expect("an id");
        let ask =
            async |request: ChannelRequest| match registry.call(&channel, request).await.outcome {
                Outcome::Approved(approval) => approval.channel_reference,
                other => panic!("{other:?} of\n{form}"),
            };
        let charge = async |operation, sequence| {
            let mut facts = facts(operation, sequence);
            let request =
                ChannelRequest::Charge { facts: facts.clone(), instrument: card().into() };
            facts.channel_reference = ask(request).await;
            facts
        };
        let follow = async |operation, sequence, original: AttemptFacts| {
            let mut facts = facts(operation, sequence);
            facts.amount = original.amount;
            let pan = Some(card().pan.clone());
            let request = ChannelRequest::FollowUp { facts: facts.clone(), original, pan };
            facts.channel_reference = ask(request).await;
            facts
        };
        let hold = charge(Operation::Preauth, 1).await;
        let capture = follow(Operation::Capture, 2, hold).await;
        follow(Operation::Void, 3, capture).await;
        let sale = charge(Operation::Payment, 4).await;
        follow(Operation::Refund, 5, sale).await;
        let facts = charge(Operation::Payment, 6).await;
        let (pan, now) = (Some(card().pan.clone()), Clock::System.now());
        ask(ChannelRequest::Reversal { facts, original: None, pan, now }).await;
        let ledger = simulator.stop().await;
        let standing = |state| ledger.entries().iter().filter(|one| one.state == state).count();
        assert_eq!(standing(EntryState::Reversed), 1, "{form}");
        assert!(standing(EntryState::Approved) >= 2, "{form}");
    }
}
