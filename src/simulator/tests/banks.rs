//! Harbour Bank, Meadow Bank and Quarry Bank through their shipped channel files: the file's
//! adapter and the bank, written apart, over a real socket.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use super::*;
use crate::channel::file::ChannelFile;
use crate::channel::protocol::sample::{sample_card, sample_facts, sample_now, sample_service};
use crate::channel::samples::purpose::describe;
use crate::channel::{Adapter, ChannelRequest, WireReply, protocol};
use crate::config::mistake::Mistakes;
use crate::config::raw::Document;
use crate::domain::attempt::Operation;
use crate::domain::card_service::CardService;
use crate::domain::ids::ChannelId;
use crate::domain::money::AmountMinor;
use crate::domain::outcome::Outcome;
use crate::domain::terms::CommonTerms;

/// A running bank, and the adapter that calls it.
pub struct BankSession {
    pub simulator: Simulator,
    pub adapter: Arc<dyn Adapter>,
    /// The bank's number of each approved attempt, for its follow-ups.
    references: Mutex<BTreeMap<String, String>>,
}

/// Starts the file's other side and builds the adapter of the redirected copy.
pub async fn meet(id: &str, text: &str, faults: Faults) -> BankSession {
    meet_at(id, text, faults, &TestClock::noon(), None).await
}

/// The same with the channel's clock and the address of its notices.
pub async fn meet_at(
    id: &str,
    text: &str,
    faults: Faults,
    clock: &TestClock,
    notices_to: Option<&str>,
) -> BankSession {
    let document = Document::parse("bank.toml", text).expect("TOML");
    let other = Counterpart::read(&document, id, &mut KeyTexts::new()).expect("an other side");
    let mut settings =
        other.settings(id, clock.clock()).with_declines_percent(0).with_faults(faults);
    settings.notices_to = notices_to.map(str::to_owned);
    let simulator = Simulator::start(settings).await.expect("a simulator");
    let copy = other
        .redirect_to_simulator(text, &simulator.base_url(), "http://127.0.0.1:1")
        .expect("TOML");
    let document = Document::parse("copy.toml", &copy).expect("TOML");
    let mistakes = Mistakes::new();
    let root = document.root(&mistakes);
    let id = ChannelId::parse(id).expect("an id");
    let file = ChannelFile::read(&root, id, &CommonTerms::default());
    let resolve = |reference: &str| {
        // The copy has files in place of the file's environment variables.
        let known = |one: &str| one.replace("env:", "file:env/") == reference;
        let found = other.credentials.iter().find(|one| known(&one.reference));
        found.map(|one| one.text.to_string()).ok_or_else(|| format!("there is no {reference}"))
    };
    let adapter = protocol::read(&root, &file, &resolve);
    root.finish();
    assert_eq!(mistakes.into_result(), Ok(()));
    let adapter = adapter.and_then(protocol::ProtocolAdapter::http).expect("an adapter over HTTP");
    BankSession { simulator, adapter, references: Mutex::default() }
}

impl BankSession {
    /// The adapter's reading of the bank's answer, in the words of code tables.
    pub async fn ask(&self, request: &ChannelRequest) -> String {
        let mut request = request.clone();
        if let ChannelRequest::FollowUp { original, .. } = &mut request {
            let number = original.channel_order_no.to_string();
            let known = self.references.lock().expect("no panic").get(&number).cloned();
            original.channel_reference = known.or(original.channel_reference.take());
        }
        let request = &request;
        let wire = self.adapter.encode(request, sample_now()).expect("encodable");
        let headers = wire.headers.into_iter().collect();
        let sent = client().request(wire.method, wire.url).headers(headers).body(wire.body);
        let response = sent.send().await.expect("a response");
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = response.bytes().await.expect("a body");
        let reply = WireReply { status, headers, body };
        let outcome = self.adapter.decode(request, &reply, sample_now()).outcome;
        if let Outcome::Approved(approval) = &outcome
            && let Some(reference) = &approval.channel_reference
        {
            let number = request.stated().channel_order_no.to_string();
            self.references.lock().expect("no panic").insert(number, reference.clone());
        }
        describe(&outcome)
    }
}

pub fn charge(operation: Operation, sequence: u64) -> ChannelRequest {
    ChannelRequest::Charge {
        facts: sample_facts(operation, sequence),
        instrument: sample_card().into(),
    }
}

pub fn follow(
    operation: Operation,
    sequence: u64,
    of: (Operation, u64),
    minor: i64,
) -> ChannelRequest {
    let mut facts = sample_facts(operation, sequence);
    facts.amount = AmountMinor::new(minor).expect("an amount");
    ChannelRequest::FollowUp { facts, original: sample_facts(of.0, of.1), pan: None }
}

pub fn inquiry(operation: Operation, sequence: u64, minor: i64) -> ChannelRequest {
    let mut facts = sample_facts(operation, sequence);
    facts.amount = AmountMinor::new(minor).expect("an amount");
    ChannelRequest::Inquiry { facts, original: None, pan: None, now: sample_now() }
}

pub fn reversal(operation: Operation, sequence: u64) -> ChannelRequest {
    ChannelRequest::Reversal {
        facts: sample_facts(operation, sequence),
        original: None,
        pan: None,
        now: sample_now(),
    }
}

fn verification(phone: &str) -> ChannelRequest {
    let mut card = sample_card();
    card.phone = Some(phone.to_owned());
    sample_service(CardService::Verification, card)
}

pub async fn play(met: &BankSession, rows: Vec<(ChannelRequest, &str)>) {
    for (index, (request, expected)) in rows.into_iter().enumerate() {
        assert_eq!(met.ask(&request).await, expected, "row {index}: {}", request.name());
    }
}

const HARBOUR: &str = include_str!("../../../channels/harbour-bank.toml");
const MEADOW: &str = include_str!("../../../channels/meadow-bank.toml");
const QUARRY: &str = include_str!("../../../channels/quarry-bank.toml");

#[tokio::test]
async fn harbour_bank_and_its_file_agree_on_every_operation() {
    use Operation::{Capture, Payment, Preauth, Refund, Undo, Void};
    let met = meet("harbour-bank", HARBOUR, Faults::calm()).await;
    let refused = "declined original_not_eligible";
    let rows = vec![
        (inquiry(Payment, 1, 1_230), "not_found"),
        (charge(Payment, 2), "approved"),
        (charge(Payment, 2), "approved"),
        (inquiry(Payment, 2, 1_230), "approved"),
        (follow(Refund, 3, (Payment, 2), 1_000), "approved"),
        (inquiry(Refund, 3, 1_000), "approved"),
        (inquiry(Refund, 3, 1_001), "unknown"),
        (follow(Refund, 4, (Payment, 2), 231), refused),
        (follow(Refund, 4, (Payment, 2), 230), "approved"),
        (follow(Refund, 5, (Payment, 2), 1), refused),
        (follow(Void, 6, (Payment, 2), 1_230), refused),
        (follow(Refund, 7, (Payment, 99), 1), refused),
        (charge(Payment, 8), "approved"),
        (follow(Void, 9, (Payment, 8), 1_230), "approved"),
        (inquiry(Void, 9, 1_230), "approved"),
        (follow(Void, 10, (Payment, 8), 1_230), refused),
        (follow(Undo, 11, (Payment, 8), 1_230), "approved"),
        (charge(Preauth, 12), "approved"),
        (inquiry(Preauth, 12, 1_230), "approved"),
        (follow(Capture, 13, (Preauth, 12), 1_000), "approved"),
        (inquiry(Capture, 13, 1_000), "approved"),
        (follow(Capture, 14, (Preauth, 12), 100), refused),
        (follow(Void, 15, (Preauth, 12), 1_230), refused),
        (follow(Void, 16, (Capture, 13), 1_000), "approved"),
        (follow(Void, 17, (Preauth, 12), 1_230), "approved"),
        (charge(Preauth, 18), "approved"),
        (reversal(Preauth, 18), "approved"),
        (follow(Capture, 19, (Preauth, 18), 1_000), refused),
        (reversal(Refund, 3), refused),
        (verification("13800138000"), "approved"),
        (verification("138"), "declined identity_mismatch"),
    ];
    play(&met, rows).await;
    assert_eq!(met.simulator.count(SimulatorEvent::RequestRefused), 0);
}

#[tokio::test]
async fn meadow_bank_and_its_file_agree_on_every_operation() {
    use Operation::{Payment, Refund, Undo, Void};
    let met = meet("meadow-bank", MEADOW, Faults::calm()).await;
    let refused = "declined original_not_eligible";
    let rows = vec![
        (inquiry(Payment, 1, 1_230), "not_found"),
        (charge(Payment, 2), "approved"),
        (charge(Payment, 2), "approved"),
        (inquiry(Payment, 2, 1_230), "approved"),
        (inquiry(Payment, 2, 1_231), "unknown"),
        (follow(Refund, 3, (Payment, 2), 1_000), "approved"),
        (inquiry(Refund, 3, 1_000), "approved"),
        (follow(Refund, 4, (Payment, 2), 1_000), refused),
        (follow(Void, 5, (Payment, 2), 1_230), refused),
        (charge(Payment, 6), "approved"),
        (follow(Void, 7, (Payment, 6), 1_230), "approved"),
        (charge(Payment, 8), "approved"),
        (follow(Undo, 9, (Payment, 8), 1_230), "approved"),
        (charge(Payment, 10), "approved"),
        (reversal(Payment, 10), "approved"),
        (reversal(Payment, 10), "approved"),
        (inquiry(Payment, 10, 1_230), refused),
    ];
    play(&met, rows).await;
    assert_eq!(met.simulator.count(SimulatorEvent::RequestRefused), 0);
}

#[tokio::test]
async fn quarry_bank_and_its_file_agree_on_every_operation() {
    use Operation::{Capture, Payment, Preauth, Refund, Undo, Void};
    let met = meet("quarry-bank", QUARRY, Faults::calm()).await;
    let refused = "declined original_not_eligible";
    let rows = vec![
        (inquiry(Payment, 1, 1_230), "not_found"),
        (charge(Payment, 2), "approved"),
        (inquiry(Payment, 2, 1_230), "approved"),
        (follow(Refund, 3, (Payment, 2), 230), "approved"),
        (inquiry(Refund, 3, 230), "approved"),
        (follow(Refund, 4, (Payment, 2), 1_001), refused),
        (charge(Preauth, 5), "approved"),
        (follow(Capture, 6, (Preauth, 5), 1_000), "approved"),
        (inquiry(Capture, 6, 1_000), "approved"),
        (charge(Preauth, 7), "approved"),
        (follow(Void, 8, (Preauth, 7), 1_230), "approved"),
        (follow(Capture, 9, (Preauth, 7), 1_000), refused),
        (charge(Payment, 10), "approved"),
        (follow(Undo, 11, (Payment, 10), 1_230), "approved"),
        (charge(Payment, 12), "approved"),
        (reversal(Payment, 12), "approved"),
        (inquiry(Payment, 12, 1_230), refused),
        (charge(Preauth, 13), "approved"),
        (reversal(Preauth, 13), "approved"),
    ];
    play(&met, rows).await;
    assert_eq!(met.simulator.count(SimulatorEvent::RequestRefused), 0);
}

#[tokio::test]
async fn i_2_a_bank_s_spoilt_signatures_and_garbage_are_never_an_answer() {
    let banks = [
        ("harbour-bank", HARBOUR),
        ("meadow-bank", MEADOW),
        ("quarry-bank", QUARRY),
        ("canyon-pay", super::canyon::CANYON),
    ];
    for (id, text) in banks {
        let calm = Faults::calm();
        let spoilt = [Faults { bad_signature: 10_000, ..calm }, Faults { garbage: 10_000, ..calm }];
        for faults in spoilt {
            let met = meet(id, text, faults).await;
            for sequence in 1..=8 {
                assert_eq!(met.ask(&charge(Operation::Payment, sequence)).await, "unknown", "{id}");
            }
            assert_eq!(met.simulator.ledger().entries().len(), 8, "carried out");
        }
    }
}
