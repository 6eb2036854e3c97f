//! One exchange as a report shows it: what was sent and what came, card data and keys masked.

use std::time::Duration;

use serde_json::{Value as Json, json};

use crate::channel::protocol::declarative::{CoveredText, without_keys};
use crate::channel::protocol::transcript::keep_words;
use crate::channel::{ChannelRequest, WireNotice, WireReply, WireRequest};
use crate::codec::sign::sha256_hex;
use crate::domain::card::words::CardEcho;

/// A request as it left, with what its signature covers.
pub struct Observed<'a> {
    pub request: &'a ChannelRequest,
    pub wire: &'a WireRequest,
    pub sent_text: Option<CoveredText>,
    /// Shared keys, which may stand in the texts.
    pub keys: &'a [&'a [u8]],
}

/// A message as it is shown.
#[derive(Debug, Clone)]
pub struct PageShown {
    /// Method and address of a request, the status of a reply.
    pub head: String,
    pub headers: Vec<(String, String)>,
    pub body: String,
    /// The text that was signed, or that must have been.
    pub signed_text: Option<String>,
    /// SHA-256 of that text before it was masked.
    pub signed_sha256: Option<String>,
}

/// One exchange of a case.
#[derive(Debug, Clone)]
pub struct CaseExchange {
    /// After the case began, by the clock of the rehearsal.
    pub at_ms: u64,
    /// How long it took by that clock.
    pub took_ms: u64,
    pub what: String,
    pub sent: Option<PageShown>,
    pub came: Option<PageShown>,
    /// What truly happened.
    pub happened: String,
    /// What the adapter made of it.
    pub heard: String,
}

impl PageShown {
    fn new(
        (head, headers, body): (String, Vec<(String, String)>, &[u8]),
        text: Option<CoveredText>,
        (keys, echo, known): (&[&[u8]], CardEcho<'_>, &[&str]),
    ) -> Self {
        let show = |bytes: &[u8]| {
            let bytes = without_keys(bytes, keys);
            let lines = bytes.split(|byte| *byte == b'\n');
            lines.map(|line| keep_words(line, echo, known)).collect::<Vec<_>>().join("\n")
        };
        Self {
            head,
            headers: headers
                .into_iter()
                .map(|(name, text)| (name, show(text.as_bytes())))
                .collect(),
            body: show(body),
            signed_sha256: text.as_ref().map(|text| sha256_hex(text)),
            signed_text: text.map(|text| show(&text)),
        }
    }

    fn of_request(observed: &Observed<'_>) -> Self {
        let wire = observed.wire;
        let headers = wire.headers.iter().map(|(name, value)| {
            (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())
        });
        let head = format!("{} {}", wire.method, wire.url);
        let masks = (observed.keys, observed.request.echo(), &[][..]);
        Self::new((head, headers.collect(), &wire.body), observed.sent_text.clone(), masks)
    }

    pub fn of_reply(observed: &Observed<'_>, reply: &WireReply, text: Option<CoveredText>) -> Self {
        let head = format!("HTTP {}", reply.status);
        let masks = (observed.keys, observed.request.echo(), &[][..]);
        Self::new((head, texts(&reply.headers), &reply.body), text, masks)
    }

    pub fn of_notice(notice: &WireNotice, text: Option<CoveredText>, keys: &[&[u8]]) -> Self {
        let head = "POST (notice)".to_owned();
        Self::new((head, texts(&notice.headers), &notice.body), text, (keys, CardEcho::NONE, &[]))
    }

    /// A statement's file, which has no card and no key.
    pub fn of_statement(head: &str, text: &str) -> Self {
        let page = (head.to_owned(), Vec::new(), text.as_bytes());
        Self::new(page, None, (&[], CardEcho::NONE, &[]))
    }

    fn json(&self) -> Json {
        let headers: serde_json::Map<String, Json> =
            self.headers.iter().map(|(name, text)| (name.clone(), text.as_str().into())).collect();
        json!({
            "head": self.head, "headers": headers, "body": self.body,
            "signed_text": self.signed_text, "signed_sha256": self.signed_sha256,
        })
    }
}

fn texts(headers: &http::HeaderMap) -> Vec<(String, String)> {
    let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect()
}

impl CaseExchange {
    pub fn of(
        (at_ms, took): (u64, Duration),
        observed: &Observed<'_>,
        came: Option<PageShown>,
        happened: String,
        heard: String,
    ) -> Self {
        let name = observed.request.name();
        let what = match observed.request {
            ChannelRequest::Inquiry { facts, .. } | ChannelRequest::Reversal { facts, .. } => {
                format!("{name} of {} {}", facts.operation.name(), facts.channel_order_no)
            }
            ChannelRequest::Charge { .. }
            | ChannelRequest::FollowUp { .. }
            | ChannelRequest::Service { .. } => {
                format!("{name} {}", observed.request.stated().channel_order_no)
            }
        };
        let sent = Some(PageShown::of_request(observed));
        let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        Self { at_ms, took_ms, what, sent, came, happened, heard }
    }

    pub fn notice(at_ms: u64, came: PageShown, heard: String) -> Self {
        let (what, happened) = ("notice".to_owned(), "the channel posts a notice".to_owned());
        Self { at_ms, took_ms: 0, what, sent: None, came: Some(came), happened, heard }
    }

    pub fn statement(at_ms: u64, came: PageShown, heard: String) -> Self {
        let (what, happened) = ("statement".to_owned(), "its file is handed in".to_owned());
        Self { at_ms, took_ms: 0, what, sent: None, came: Some(came), happened, heard }
    }

    pub fn json(&self) -> Json {
        json!({
            "at_ms": self.at_ms, "took_ms": self.took_ms, "what": self.what,
            "happened": self.happened, "heard": self.heard,
            "sent": self.sent.as_ref().map(PageShown::json),
            "came": self.came.as_ref().map(PageShown::json),
        })
    }
}
