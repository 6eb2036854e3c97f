//! One exchange as a report shows it: what was sent and what came, card data and keys masked.

use std::time::Duration;

use serde_json::{Value as Json, json};

use crate::channel::ChannelRequest;
use crate::channel::protocol::declarative::{CoveredText, without_keys};
use crate::channel::protocol::transcript::keep_words;
use crate::codec::sign::sha256_hex;
use crate::domain::card::words::CardEcho;

/// What may not be seen in a message, and what may although it looks like a card number.
#[derive(Clone, Copy)]
pub struct PageMasks<'a> {
    /// Shared keys, which may stand in the texts.
    pub keys: &'a [&'a [u8]],
    pub echo: CardEcho<'a>,
    /// Long digits that are no card number.
    pub known: &'a [&'a str],
}

/// The text that a signature covers.
pub struct SignedText {
    /// Before the masks, which it goes through as the message does.
    pub text: CoveredText,
    /// SHA-256 of the text as it was signed.
    pub sha256: String,
}

impl From<CoveredText> for SignedText {
    fn from(text: CoveredText) -> Self {
        Self { sha256: sha256_hex(&text), text }
    }
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
    pub fn new(
        head: String,
        (headers, body): (Vec<(String, String)>, &[u8]),
        signed: Option<SignedText>,
        masks: PageMasks<'_>,
    ) -> Self {
        let show = |bytes: &[u8]| {
            let bytes = without_keys(bytes, masks.keys);
            let lines = bytes.split(|byte| *byte == b'\n');
            let lines = lines.map(|line| keep_words(line, masks.echo, masks.known));
            lines.collect::<Vec<_>>().join("\n")
        };
        let shown = |(name, text): (String, String)| (name, show(text.as_bytes()));
        Self {
            head,
            headers: headers.into_iter().map(shown).collect(),
            body: show(body),
            signed_text: signed.as_ref().map(|signed| show(&signed.text)),
            signed_sha256: signed.map(|signed| signed.sha256),
        }
    }

    /// A statement's file, which has no card and no key.
    pub fn of_statement(head: &str, text: &str) -> Self {
        let masks = PageMasks { keys: &[], echo: CardEcho::NONE, known: &[] };
        Self::new(head.to_owned(), (Vec::new(), text.as_bytes()), None, masks)
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

impl CaseExchange {
    pub fn of(
        (at_ms, took): (u64, Duration),
        request: &ChannelRequest,
        (sent, came): (PageShown, Option<PageShown>),
        (happened, heard): (String, String),
    ) -> Self {
        let name = request.name();
        let what = match request {
            ChannelRequest::Inquiry { facts, .. } | ChannelRequest::Reversal { facts, .. } => {
                format!("{name} of {} {}", facts.operation.name(), facts.channel_order_no)
            }
            ChannelRequest::Charge { .. }
            | ChannelRequest::FollowUp { .. }
            | ChannelRequest::Service { .. } => {
                format!("{name} {}", request.stated().channel_order_no)
            }
        };
        let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        Self { at_ms, took_ms, what, sent: Some(sent), came, happened, heard }
    }

    /// A link's own message, which belongs to no order.
    pub fn of_link(
        what: &str,
        (sent, came): (PageShown, Option<PageShown>),
        heard: String,
    ) -> Self {
        let (what, happened) = (what.to_owned(), "the link asks by itself".to_owned());
        Self { at_ms: 0, took_ms: 0, what, sent: Some(sent), came, happened, heard }
    }

    /// Words of the channel that answer nothing: a notice, or an answer that comes late.
    pub fn unasked(at_ms: u64, what: &str, came: PageShown, heard: String) -> Self {
        let (what, happened) = (what.to_owned(), format!("the channel sends a {what}"));
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
