//! Golden samples of channels that speak HTTP: pages that are sent, and pages that come back.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::purpose::{Purpose, describe, describe_first, describe_statement};
use crate::channel::protocol::sample::{sample_now, sample_statement_date};
use crate::channel::{Adapter, ChannelRequest, WireNotice, WireReply, WireRequest};
use crate::config::section::Section;

/// The request that must be sent.
struct ExpectedRequest {
    method: Option<String>,
    url: Option<String>,
    headers: Vec<(String, String)>,
    body: Option<String>,
    contains: Vec<String>,
}

/// The reply, and the outcome that it must have.
struct PageAnswer {
    reply: WireReply,
    /// Its signature is left out, so it is played on an adapter that does not look at it.
    is_unsigned: bool,
    outcome: String,
}

/// One exchange as a sample writes it down.
pub(super) struct PageScript {
    sent: Option<ExpectedRequest>,
    told: Option<PageAnswer>,
}

impl PageScript {
    pub fn read(section: &Section<'_>) -> Self {
        let sent = section.optional_section("sent").map(read_expected_request);
        let told = section.optional_section("reply").map(read_answer);
        Self { sent, told }
    }

    pub const fn is_empty(&self) -> bool {
        self.sent.is_none() && self.told.is_none()
    }

    /// Whether the reply's body has the code as a word.
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

    /// Everything in which the adapter does not do what is written here.
    pub fn play(
        &self,
        ask: Purpose,
        request: &ChannelRequest,
        adapter: &dyn Adapter,
        unverified: &dyn Adapter,
    ) -> Vec<String> {
        let mut wrong = Vec::new();
        if let Some(sent) = &self.sent {
            match sent_by(adapter, ask, request) {
                Ok(wire) => {
                    let body = String::from_utf8_lossy(&wire.body).into_owned();
                    let headers: HeaderMap = wire.headers.into_iter().collect();
                    sent.compare(wire.method.as_str(), &wire.url, &headers, &body, &mut wrong);
                }
                Err(problem) => wrong.push(problem),
            }
        }
        if let Some(told) = &self.told {
            let believer = if told.is_unsigned { unverified } else { adapter };
            let outcome = told.outcome_on(ask, request, believer);
            if outcome != told.outcome {
                wrong.push(format!("the reply is `{outcome}`, not `{}`", told.outcome));
            }
        }
        wrong
    }
}

/// The words for a channel without statements.
const NO_STATEMENTS: &str = "the channel's file asks for no statements";
/// The words for an operation that one request carries out.
const NO_FIRST: &str = "the operation has no section `first`";

fn sent_by(
    adapter: &dyn Adapter,
    ask: Purpose,
    request: &ChannelRequest,
) -> Result<WireRequest, String> {
    let encoded = match (ask, adapter.statements()) {
        (Purpose::Statement, None) => return Err(NO_STATEMENTS.to_owned()),
        (Purpose::Statement, Some(source)) => {
            source.encode_statement(sample_statement_date(), sample_now())
        }
        (Purpose::First, _) => match adapter.first_request(request) {
            None => return Err(NO_FIRST.to_owned()),
            Some(first) => first.encode_first(request, sample_now()),
        },
        (
            Purpose::Operation
            | Purpose::Inquiry
            | Purpose::Reversal
            | Purpose::Service(_)
            | Purpose::Notice
            | Purpose::SignOn
            | Purpose::LineTest,
            _,
        ) => adapter.encode(request, sample_now()),
    };
    encoded.map_err(|error| error.to_string())
}

impl PageAnswer {
    fn outcome_on(&self, ask: Purpose, request: &ChannelRequest, adapter: &dyn Adapter) -> String {
        if ask == Purpose::Notice {
            let WireReply { headers, body, .. } = self.reply.clone();
            return match adapter.decode_notice(&WireNotice { headers, body }, sample_now()) {
                Ok(notice) => describe(&notice.understood.outcome),
                Err(refusal) => format!("refused: {refusal}"),
            };
        }
        if ask == Purpose::Statement {
            let (date, now) = (sample_statement_date(), sample_now());
            let source = adapter.statements();
            return source.map_or(NO_STATEMENTS.to_owned(), |source| {
                describe_statement(&source.decode_statement(date, &self.reply, now))
            });
        }
        if ask == Purpose::First {
            return adapter.first_request(request).map_or(NO_FIRST.to_owned(), |first| {
                describe_first(&first.decode_first(request, &self.reply, sample_now()))
            });
        }
        describe(&adapter.decode(request, &self.reply, sample_now()).outcome)
    }
}

impl ExpectedRequest {
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

fn read_expected_request(section: Section<'_>) -> ExpectedRequest {
    let headers = section.map("headers").into_iter().map(|entry| (entry.key, entry.text));
    let sent = ExpectedRequest {
        headers: headers.collect(),
        method: section.optional_text("method"),
        url: section.optional_text("url"),
        body: section.optional_text("body"),
        contains: section.optional_texts("contains").unwrap_or_default(),
    };
    section.finish();
    sent
}

fn read_answer(section: Section<'_>) -> PageAnswer {
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
    let told = PageAnswer {
        reply,
        is_unsigned: section.boolean_or("unsigned", false),
        outcome: section.text_such_as("outcome", "declined insufficient_funds"),
    };
    section.finish();
    told
}
