//! Reads answers: proves their MAC, checks that they speak of what was asked, classifies.
//!
//! Upholds I-2: what is not a proved answer about this very transaction is unknown, and nothing
//! that comes in makes it panic. Upholds I-11: a transcript has the fields that tell the story, and
//! the card number masked.

use crate::channel::protocol::transcript::keep_words;
use crate::channel::transport::tcp::{RequestTrace, TracedRequest};
use crate::channel::{ReplyMeaning, Uncertainty};
use crate::codec::iso8583::header::FrameHeader;
use crate::codec::iso8583::{Iso8583Error, Message, decode_prefix};
use crate::domain::card::words::CardEcho;
use crate::domain::outcome::{Approval, Outcome, UnknownCause};

use super::request::has_mac;
use super::{Iso8583, Style};

/// The fields that a transcript shows. Not among them: card number, tracks, PIN, chip data.
const TRANSCRIPT_FIELDS: [u8; 13] = [3, 4, 7, 11, 12, 13, 15, 37, 38, 39, 41, 42, 44];

impl Iso8583 {
    pub(super) fn understand(&self, asked: &RequestTrace, frame: &[u8]) -> ReplyMeaning {
        let unknown =
            |cause, objection: &str, words| Uncertainty::new(cause, objection).into_meaning(words);
        let (header, message) = match self.read_frame(frame) {
            Ok(read) => read,
            Err(problem) => return unknown(UnknownCause::Garbled, &problem.clone(), problem),
        };
        if let FrameHeader::Cups(header) = &header
            && header.is_reject()
        {
            // The centre says that it did not process it, but nothing proves that it says so.
            let code = String::from_utf8_lossy(&header.reject).into_owned();
            let words = keep_words(format!("bounced: {code}").as_bytes(), CardEcho::NONE, &[]);
            let objection = words.clone();
            return unknown(UnknownCause::ChannelUnsure, &objection, words);
        }
        let words = self.transcript(&message);
        if let Err(problem) = self.prove(&message) {
            return unknown(UnknownCause::BadSignature, &problem, words);
        }
        if let Err(problem) = self.speaks_of(asked, &message) {
            return unknown(UnknownCause::Mismatched, &problem, words);
        }
        ReplyMeaning::new(self.classify(asked, &message), words)
    }

    /// The header and the message behind it.
    pub(super) fn read_frame<'f>(
        &'f self,
        frame: &'f [u8],
    ) -> Result<(FrameHeader, Message<'f>), String> {
        match self.read_prefix(frame)? {
            (header, message, None) => Ok((header, message)),
            (_, _, Some(fault)) => Err(fault.to_string()),
        }
    }

    /// The same as far as it can be read, with the fault that ends it. The error is for what is not
    /// even the beginning of a message.
    pub(super) fn read_prefix<'f>(
        &'f self,
        frame: &'f [u8],
    ) -> Result<(FrameHeader, Message<'f>, Option<Iso8583Error>), String> {
        let wire = &self.settings.wire;
        let (header, mut start) =
            wire.header.form().read(frame).map_err(|error| error.to_string())?;
        if let FrameHeader::Cups(outer) = &header
            && outer.is_reject()
            && let Ok((_, inner)) = wire.header.form().read(&frame[start..])
        {
            // A bounced message stands behind its own header.
            start += inner;
        }
        let read = decode_prefix(&wire.format, frame, start).map_err(|error| error.to_string())?;
        let (message, fault) = read;
        Ok((header, message, fault))
    }

    /// Whether one of the keys made the MAC; the error says which field proves nothing.
    fn prove(&self, message: &Message<'_>) -> Result<(), String> {
        let Some(mac) = &self.settings.mac else { return Ok(()) };
        if self.believes_unproved || !has_mac(message.message_type()) {
            return Ok(());
        }
        let field = mac.rule.field;
        if !message.has(field) {
            return Err(format!("it has no MAC (field {field})"));
        }
        let terminal = message.value(41).map(|value| value.text()).unwrap_or_default();
        if self.keys.any(&terminal, |key| mac.rule.proves(key, message)) {
            return Ok(());
        }
        Err(format!("its MAC (field {field}) is made with none of our keys"))
    }

    /// Whether the answer is about the transaction that the request was about; the error names the
    /// first field that says otherwise. Trace number, terminal or time were what paired them. Every
    /// further field that the answers of this message set repeat, and that is there, must be what
    /// was sent: an answer in another currency is no answer.
    fn speaks_of(&self, asked: &RequestTrace, message: &Message<'_>) -> Result<(), String> {
        let expected = match (asked.kind, self.settings.style) {
            (TracedRequest::Order { answer }, _) => answer,
            (TracedRequest::Reversal, Style::Posp) => 410,
            (TracedRequest::Reversal, Style::Cups) => 430,
        };
        let numbered = self.settings.numbering.of(asked.facts.channel_order_no);
        let trace = numbered.map(|numbered| match asked.kind {
            TracedRequest::Order { .. } => numbered.trace,
            TracedRequest::Reversal => numbered.reversal_trace,
        });
        if message.message_type() != expected {
            return Err(format!("it is a {:04}, not a {expected:04}", message.message_type()));
        }
        let found = message.value(11).and_then(|value| value.number());
        if !trace.is_ok_and(|trace| found == Some(u64::from(trace))) {
            return Err("field 11 is not the trace number that was sent".to_owned());
        }
        for (field, sent) in &asked.echoed {
            let Some(value) = message.value(*field) else { continue };
            let found: Vec<u8> = value.plain().collect();
            if found.trim_ascii_end() != sent.trim_ascii_end() {
                return Err(format!("field {field} is not what was sent"));
            }
        }
        Ok(())
    }

    /// The fields that tell the story. The reference (37) and our own merchant number (42) may have
    /// the length of a card number, and are none.
    fn transcript(&self, message: &Message<'_>) -> String {
        let mut words = format!("{:04}", message.message_type());
        for field in TRANSCRIPT_FIELDS {
            if let Some(value) = message.value(field) {
                words.push_str(&format!(" {field}={}", value.text().trim_end()));
            }
        }
        let reference = message.value(37).map(|value| value.text().trim().to_owned());
        let known = [self.settings.merchant_id.trim(), reference.as_deref().unwrap_or_default()];
        keep_words(words.as_bytes(), CardEcho::NONE, &known)
    }

    fn classify(&self, asked: &RequestTrace, message: &Message<'_>) -> Outcome {
        let Some(code) = message.value(39).map(|value| value.text()) else {
            return Outcome::Unknown(UnknownCause::Garbled);
        };
        let text = |field| message.value(field).map(|value| value.text().trim().to_owned());
        let approval = || Approval {
            channel_reference: reference(text(37), text(38)),
            code: code.clone(),
            settle_mmdd: text(15).filter(|date| date != "0000"),
            card_type: None,
        };
        match asked.kind {
            TracedRequest::Order { .. } => {
                // A part of the amount is approved by its own code, and only the amount says so.
                if code == "10" && !message.has(4) {
                    return Outcome::Unknown(UnknownCause::Mismatched);
                }
                self.codes.orders.outcome(&code, approval)
            }
            // Whatever does not end a reversal leaves it open; it is repeated, never refused.
            TracedRequest::Reversal => match self.codes.reversals.outcome(&code, approval) {
                Outcome::Unknown(_) => Outcome::Unknown(UnknownCause::ChannelUnsure),
                ended => ended,
            },
        }
    }
}

/// What names the transaction at the channel: its retrieval reference, and the authorisation code
/// behind a dash, where it gave one. Both are wanted again by what refers to it.
fn reference(retrieval: Option<String>, authorisation: Option<String>) -> Option<String> {
    let retrieval = retrieval.unwrap_or_default();
    match authorisation.filter(|code| !code.is_empty()) {
        Some(code) => Some(format!("{retrieval}-{code}")),
        None => Some(retrieval).filter(|reference| !reference.is_empty()),
    }
}
