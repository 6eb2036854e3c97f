//! The language of channel files, one construct of a real API after the other: each is written in
//! the language as it is and seen working on bytes, or refused by its reader with a sentence.
//!
//! Expected bytes and signatures come from other programs (OpenSSL, Python) or from public
//! documentation; each test says which.

#[path = "../support/mod.rs"]
mod support;

mod constructs;
mod envelopes;
mod first;
mod formats;
mod late;
mod mutual_tls;
mod orders;
mod sent;
mod signatures;
mod templates;
mod token;

use std::path::Path;
use std::process::Command;
use std::sync::LazyLock;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use switchyard::channel::protocol::declarative::{self, Declarative};
use switchyard::channel::protocol::sample::{sample_card, sample_facts, sample_now};
use switchyard::channel::{Adapter, ChannelRequest, WireNotice, WireReply, WireRequest};
use switchyard::config::mistake::Mistakes;
use switchyard::config::raw::Document;
use switchyard::domain::attempt::Operation;
use switchyard::domain::outcome::Outcome;

/// The number of [`payment`].
const ORDER: &str = "261122001000000000201";
/// The shared key that `env:KEY` leads to.
const KEY: &str = "a shared key for tests only";

/// An RSA key of this run.
static RSA_KEY: LazyLock<rcgen::KeyPair> = LazyLock::new(|| {
    let made = rcgen::KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048);
    made.expect("a key")
});

const CODES: &str = r#"
[codes]
"0000" = "approved"
"0051" = "declined insufficient_funds"
"0099" = "pending"
"0404" = "not_found"
[http]
base_url = "https://api.bank.example/v1"
"#;

/// The text behind a credential's reference; files lie in the folder.
fn credential(folder: &Path, reference: &str) -> Result<String, String> {
    match (reference, reference.strip_prefix("file:")) {
        ("env:KEY", _) => Ok(KEY.to_owned()),
        ("env:HEX", _) => Ok("00112233445566778899aabbccddeeff".to_owned()),
        ("env:BASE64", _) => Ok("AAECAwQFBgc=".to_owned()),
        ("env:RSA", _) => Ok(RSA_KEY.serialize_pem()),
        ("env:PUBLIC", _) => Ok(RSA_KEY.public_key_pem()),
        ("env:P256" | "env:ED25519", _) => {
            let is_curve = reference == "env:P256";
            let kind = if is_curve { &rcgen::PKCS_ECDSA_P256_SHA256 } else { &rcgen::PKCS_ED25519 };
            Ok(rcgen::KeyPair::generate_for(kind).expect("a key").serialize_pem())
        }
        // GB/T 32918.5's public key.
        ("env:SM2", _) => Ok(concat!(
            "0409f9df311e5421a150dd7d161e4bc5c672179fad1833fc076bb08ff356f35020",
            "ccea490ce26775a52dc6ea718cc1aa600aed05fbf35e084a6632f6072da9ad13"
        )
        .to_owned()),
        // The key of Adyen's own published example.
        ("env:ADYEN", _) => {
            Ok("44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056".to_owned())
        }
        (_, Some(name)) => std::fs::read_to_string(folder.join(name)).map_err(|e| e.to_string()),
        (_, None) => Err("there is no such credential".to_owned()),
    }
}

/// The channel whose `[http]` has these further keys, or every mistake in it.
fn read(http: &str) -> Result<Declarative, Vec<String>> {
    read_in(Path::new("."), http)
}

fn read_in(folder: &Path, http: &str) -> Result<Declarative, Vec<String>> {
    read_whole(folder, &format!("{CODES}{http}"))
}

/// The same of a text with its own codes and address.
fn read_whole(folder: &Path, text: &str) -> Result<Declarative, Vec<String>> {
    let mistakes = Mistakes::new();
    let document = Document::parse("bank.toml", text).map_err(|found| words(&found))?;
    let root = document.root(&mistakes);
    let codes = declarative::read_codes(&root, "codes");
    let resolve = |reference: &str| credential(folder, reference);
    let adapter = declarative::read(root.section("http"), &codes, &resolve);
    drop(root);
    mistakes.into_result().map_err(|found| words(&found))?;
    Ok(adapter.expect("no mistake, so an adapter"))
}

fn words(found: &[switchyard::config::mistake::Mistake]) -> Vec<String> {
    found.iter().map(ToString::to_string).collect()
}

fn bank(http: &str) -> Declarative {
    read(http).unwrap_or_else(|mistakes| panic!("{}", mistakes.join("\n")))
}

/// The reader's one sentence about a file that it refuses.
fn refused(http: &str) -> String {
    let mistakes = read(http).err().unwrap_or_else(|| panic!("taken:\n{http}"));
    assert_eq!(mistakes.len(), 1, "{mistakes:#?}");
    mistakes[0].clone()
}

/// Runs the command in a folder and answers what it printed.
fn openssl(folder: &Path, arguments: &str) -> Vec<u8> {
    let ran = Command::new("openssl").args(arguments.split(' ')).current_dir(folder).output();
    let ran = ran.expect("it was there a moment ago");
    let words = String::from_utf8_lossy(&ran.stderr).into_owned();
    assert!(ran.status.success(), "openssl {arguments}: {words}");
    ran.stdout
}

/// A payment of 12.30 CNY with this description.
fn paid_for(description: &str) -> ChannelRequest {
    let mut facts = sample_facts(Operation::Payment, 2);
    facts.description = Some(description.to_owned());
    ChannelRequest::Charge { facts, instrument: sample_card().into() }
}

fn payment() -> ChannelRequest {
    paid_for("sample")
}

fn inquiry() -> ChannelRequest {
    let facts = sample_facts(Operation::Payment, 2);
    ChannelRequest::Inquiry { facts, original: None, pan: None, now: sample_now() }
}

fn sent(bank: &Declarative, request: &ChannelRequest) -> WireRequest {
    bank.encode(request, sample_now()).expect("it can be built")
}

fn body(wire: &WireRequest) -> &str {
    std::str::from_utf8(&wire.body).expect("UTF-8")
}

fn header<'w>(wire: &'w WireRequest, name: &str) -> &'w str {
    let found = wire.headers.iter().find(|(key, _)| key == name);
    found.map_or("", |(_, value)| value.to_str().expect("plain text"))
}

fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
    let pair = |(name, value): &(&str, &str)| {
        let name: HeaderName = name.parse().expect("a header's name");
        (name, HeaderValue::from_str(value).expect("a header's value"))
    };
    pairs.iter().map(pair).collect()
}

/// What a reply with these headers and this body proves.
fn told(
    bank: &Declarative,
    request: &ChannelRequest,
    status: u16,
    pairs: &[(&str, &str)],
    body: &[u8],
) -> Outcome {
    let reply = WireReply { status, headers: headers(pairs), body: Bytes::copy_from_slice(body) };
    bank.decode(request, &reply, sample_now()).outcome
}

/// The same for a plain reply.
fn answered(bank: &Declarative, request: &ChannelRequest, body: &str) -> Outcome {
    told(bank, request, 200, &[], body.as_bytes())
}

fn posted(pairs: &[(&str, &str)], body: &str) -> WireNotice {
    WireNotice { headers: headers(pairs), body: Bytes::copy_from_slice(body.as_bytes()) }
}

const fn is_approved(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Approved(_))
}

const fn is_unknown(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Unknown(_))
}
