//! Golden samples: what a channel's file must send for a made-up request, and what it must make of
//! a reply. They stand beside the channel's file in `samples/<id>.toml`.
//!
//! Requests are the made-up ones of this folder, so a sample names one and writes down the bytes
//! that the channel's own manual has. Knows no protocol: it sees adapters only. Card data in
//! samples is that of published test cards (I-11).

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::{sample_card, sample_facts, sample_now};
use crate::channel::{Adapter, ChannelRequest, WireNotice, WireReply};
use crate::config::section::Section;
use crate::domain::flow::attempt::Operation;
use crate::domain::outcome::Outcome;

/// What a sample's request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ask {
    /// The operation itself.
    Operation,
    Inquiry,
    Reversal,
    /// Nothing: the channel posts a notice.
    Notice,
}

/// What must be sent.
struct Sent {
    method: Option<String>,
    url: Option<String>,
    headers: Vec<(String, String)>,
    body: Option<String>,
    contains: Vec<String>,
}

/// What comes back, and what it must mean.
struct Told {
    reply: WireReply,
    /// Its signature is left out, so it is played on an adapter that does not look at it.
    is_unsigned: bool,
    outcome: String,
}

/// One sample, checked.
pub struct Golden {
    pub name: String,
    /// The request's own word, such as `refund` or `inquiry`.
    pub covers: String,
    /// Where it stands in its file.
    pub line: usize,
    request: ChannelRequest,
    ask: Ask,
    sent: Option<Sent>,
    told: Option<Told>,
}

/// An adapter, and the same one without looking at signatures.
pub struct Players<'a> {
    pub adapter: &'a dyn Adapter,
    pub unverified: &'a dyn Adapter,
}

impl Golden {
    /// Reads every `[[sample]]`; mistakes go to the section's collector.
    pub fn read_all(root: Section<'_>) -> Vec<Self> {
        let samples = root.sections("sample").into_iter().map(Self::read).collect();
        root.finish();
        samples
    }

    fn read(section: Section<'_>) -> Self {
        let operations = Operation::ALL.map(|operation| (operation.name(), operation));
        let mut asks: Vec<(&str, (Ask, Option<Operation>))> =
            operations.iter().map(|(name, one)| (*name, (Ask::Operation, Some(*one)))).collect();
        asks.push(("inquiry", (Ask::Inquiry, None)));
        asks.push(("reversal", (Ask::Reversal, None)));
        asks.push(("notice", (Ask::Notice, None)));
        let usual = (Ask::Operation, Some(Operation::Payment));
        let (ask, operation) = section.choice_or("ask", usual, &asks);
        let of = section.choice_or("of", Operation::Payment, &operations);
        let operation = operation.unwrap_or(of);
        let preauth = matches!(operation, Operation::Capture);
        let usual = if preauth { Operation::Preauth } else { Operation::Payment };
        let original = section.choice_or("original", usual, &operations);
        let bare = section.boolean_or("card_number_only", false);
        let request = request_of(ask, operation, original, bare);
        let line = section.line_of("name");
        let sent = section.optional_section("sent").map(read_sent);
        let told = section.optional_section("reply").map(read_told);
        let covers = if ask == Ask::Notice { "notice" } else { request.name() }.to_owned();
        let golden = Self { name: section.text("name"), covers, line, request, ask, sent, told };
        if golden.sent.is_none() && golden.told.is_none() {
            let advice = "write [sample.sent], [sample.reply] or both";
            section.mistake("sent", "and `reply` are both missing, so nothing is checked", advice);
        }
        section.finish();
        golden
    }

    /// Whether the reply's body has this code: a code that no sample brings is not exercised.
    pub fn brings(&self, code: &str) -> bool {
        let body = self.told.as_ref().map(|told| String::from_utf8_lossy(&told.reply.body));
        body.is_some_and(|body| {
            let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
            body.match_indices(code).any(|(at, _)| {
                let before = body[..at].chars().next_back();
                let after = body[at + code.len()..].chars().next();
                !before.is_some_and(word) && !after.is_some_and(word)
            })
        })
    }

    /// Everything in which the adapter does not do what the sample says.
    pub fn play(&self, players: &Players<'_>) -> Vec<String> {
        let mut wrong = Vec::new();
        if let Some(sent) = &self.sent {
            match players.adapter.encode(&self.request, sample_now()) {
                Ok(wire) => {
                    let body = String::from_utf8_lossy(&wire.body).into_owned();
                    let headers: HeaderMap = wire.headers.into_iter().collect();
                    sent.compare(wire.method.as_str(), &wire.url, &headers, &body, &mut wrong);
                }
                Err(error) => wrong.push(error.to_string()),
            }
        }
        if let Some(told) = &self.told {
            let outcome = self.told_to(told, players);
            if outcome != told.outcome {
                wrong.push(format!("the reply is `{outcome}`, not `{}`", told.outcome));
            }
        }
        wrong
    }

    fn told_to(&self, told: &Told, players: &Players<'_>) -> String {
        let adapter = if told.is_unsigned { players.unverified } else { players.adapter };
        if self.ask == Ask::Notice {
            let WireReply { headers, body, .. } = told.reply.clone();
            return match adapter.decode_notice(&WireNotice { headers, body }, sample_now()) {
                Ok(notice) => describe(&notice.understood.outcome),
                Err(refusal) => format!("refused: {refusal}"),
            };
        }
        describe(&adapter.decode(&self.request, &told.reply, sample_now()).outcome)
    }
}

impl Sent {
    fn compare(
        &self,
        method: &str,
        url: &str,
        headers: &HeaderMap,
        body: &str,
        wrong: &mut Vec<String>,
    ) {
        let mut expect = |what: &str, expected: &Option<String>, found: &str| {
            if expected.as_ref().is_some_and(|expected| expected != found) {
                wrong.push(format!("the {what} differs from the sample's"));
            }
        };
        expect("method", &self.method, method);
        expect("url", &self.url, url);
        expect("body", &self.body, body);
        for (name, expected) in &self.headers {
            let found = headers.get(name).and_then(|value| value.to_str().ok());
            if found != Some(expected) {
                wrong.push(format!("the header {name} is missing or differs from the sample's"));
            }
        }
        for (index, piece) in self.contains.iter().enumerate() {
            if !body.contains(piece) {
                wrong.push(format!("the body lacks contains[{index}]"));
            }
        }
    }
}

fn request_of(ask: Ask, operation: Operation, original: Operation, bare: bool) -> ChannelRequest {
    let facts = sample_facts(operation, 2);
    let mut card = sample_card();
    if bare {
        (card.expiry, card.cvv, card.holder) = (None, None, None);
        (card.id_type, card.id_number, card.phone) = (None, None, None);
    }
    match (ask, operation) {
        (Ask::Inquiry, _) => {
            ChannelRequest::Inquiry { facts, pan: Some(card.pan.clone()), now: sample_now() }
        }
        (Ask::Reversal, _) => {
            ChannelRequest::Reversal { facts, pan: Some(card.pan.clone()), now: sample_now() }
        }
        (Ask::Operation | Ask::Notice, Operation::Payment | Operation::Preauth) => {
            ChannelRequest::Charge { facts, card }
        }
        (
            Ask::Operation | Ask::Notice,
            Operation::Undo | Operation::Refund | Operation::Void | Operation::Capture,
        ) => {
            let original = sample_facts(original, 1);
            ChannelRequest::FollowUp { facts, original, card: Some(card) }
        }
    }
}

fn read_sent(section: Section<'_>) -> Sent {
    let headers = section.map("headers").into_iter().map(|entry| (entry.key, entry.text));
    let sent = Sent {
        headers: headers.collect(),
        method: section.optional_text("method"),
        url: section.optional_text("url"),
        body: section.optional_text("body"),
        contains: section.optional_texts("contains").unwrap_or_default(),
    };
    section.finish();
    sent
}

fn read_told(section: Section<'_>) -> Told {
    let mut headers = HeaderMap::new();
    for entry in section.map("headers") {
        let name = HeaderName::from_bytes(entry.key.as_bytes());
        match (name, HeaderValue::from_str(&entry.text)) {
            (Ok(name), Ok(value)) => drop(headers.append(name, value)),
            (Err(_), _) | (_, Err(_)) => {
                section.mistake("headers", "has what no header may have", "correct it");
            }
        }
    }
    let reply = WireReply {
        status: section.integer_or("status", 200, 100..=599),
        headers,
        body: Bytes::from(section.text("body")),
    };
    let told = Told {
        reply,
        is_unsigned: section.boolean_or("unsigned", false),
        outcome: section.text_such_as("outcome", "declined insufficient_funds"),
    };
    section.finish();
    told
}

/// An outcome in the words of code tables.
pub fn describe(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Approved(_) => "approved".to_owned(),
        Outcome::Declined(decline) => {
            let word = if decline.elsewhere { "elsewhere" } else { "declined" };
            format!("{word} {}", decline.reason.name())
        }
        Outcome::Pending { .. } => "pending".to_owned(),
        Outcome::NotFound { .. } => "not_found".to_owned(),
        Outcome::Unknown(_) => "unknown".to_owned(),
        Outcome::NotSent(_) => "not_sent".to_owned(),
    }
}
