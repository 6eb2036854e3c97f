//! Writes requests: which message, which fields, and under which numbers the channel knows it.

use jiff::civil::DateTime;

use crate::channel::transport::tcp::{FrameMac, LinkFrame, PairKey, RequestTrace, TracedRequest};
use crate::channel::{AttemptFacts, ChannelRequest};
use crate::codec::iso8583::{Draft, encode};
use crate::domain::attempt::Operation;
use crate::domain::card::{Expiry, Pan};
use crate::domain::time::Timestamp;

use super::numbering::AttemptNumbers;
use super::settings::OriginalField;
use super::{Iso8583, Style};

/// POS-P field 39 of a reversal: no answer came in time. It fits every unknown of ours.
const REASON_NO_ANSWER: &[u8] = b"98";
/// POS-P field 63.1 of a refund: no foreign card scheme.
const DOMESTIC: &[u8] = b"000";
/// Fields that an answer repeats: processing code, amount, trace number, terminal, merchant and
/// currency.
const ECHOED: [u8; 6] = [3, 4, 11, 41, 42, 49];
/// At the centre its answers repeat the time, acquirer and forwarder too: with the trace number
/// they are the transaction's name.
const ECHOED_BY_CENTRE: [u8; 9] = [3, 4, 7, 11, 32, 33, 41, 42, 49];
const NO_SUCH: &str = "the protocol has no such operation on such an original";

/// The kind of a transaction, in the words of both dialects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TransactionCodes {
    message_type: u16,
    /// Field 3.
    processing: &'static [u8; 6],
    /// Field 25.
    condition: &'static [u8; 2],
    /// POS-P field 60.1.
    kind: &'static str,
}

const fn codes(
    message_type: u16,
    processing: &'static [u8; 6],
    condition: &'static [u8; 2],
    kind: &'static str,
) -> TransactionCodes {
    TransactionCodes { message_type, processing, condition, kind }
}

const SALE: TransactionCodes = codes(200, b"000000", b"00", "22");
const SALE_VOID: TransactionCodes = codes(200, b"200000", b"00", "23");
const REFUND: TransactionCodes = codes(220, b"200000", b"00", "25");
const PREAUTH: TransactionCodes = codes(100, b"030000", b"06", "10");
const PREAUTH_VOID: TransactionCodes = codes(100, b"200000", b"06", "11");
const CAPTURE: TransactionCodes = codes(200, b"000000", b"06", "20");
const CAPTURE_VOID: TransactionCodes = codes(200, b"200000", b"06", "21");

impl TransactionCodes {
    /// The kind of an attempt, by its own operation and that of what it refers to.
    /// `None` where the dialects have nothing for it.
    pub fn of(operation: Operation, original: Option<Operation>) -> Option<Self> {
        match (operation, original) {
            (Operation::Payment, None) => Some(SALE),
            (Operation::Preauth, None) => Some(PREAUTH),
            (Operation::Capture, _) => Some(CAPTURE),
            (Operation::Refund, Some(_)) => Some(REFUND),
            (Operation::Void | Operation::Undo, Some(Operation::Payment)) => Some(SALE_VOID),
            (Operation::Void | Operation::Undo, Some(Operation::Preauth)) => Some(PREAUTH_VOID),
            (Operation::Void | Operation::Undo, Some(Operation::Capture)) => Some(CAPTURE_VOID),
            (
                Operation::Payment
                | Operation::Preauth
                | Operation::Refund
                | Operation::Void
                | Operation::Undo
                | Operation::Payout,
                _,
            ) => None,
        }
    }

    /// The message type of the answer.
    const fn answer(self) -> u16 {
        self.message_type + 10
    }
}

/// One approved attempt that another one refers to.
struct OriginalAttempt<'r> {
    facts: &'r AttemptFacts,
    codes: TransactionCodes,
}

/// A message before it is packed, and what its answer is found and read by.
pub(super) struct DraftedRequest<'r> {
    pub draft: Draft,
    kind: TracedRequest,
    key: PairKey,
    facts: &'r AttemptFacts,
    terminal: &'r str,
}

impl Iso8583 {
    pub(super) fn write_request(
        &self,
        request: &ChannelRequest,
        now: Timestamp,
    ) -> Result<(LinkFrame, RequestTrace), String> {
        let DraftedRequest { mut draft, kind, key, facts, terminal } =
            self.draft_request(request, now)?;
        let asked = RequestTrace { kind, facts: facts.clone(), echoed: self.echoed(&draft) };
        Ok((self.finish(&mut draft, key, terminal)?, asked))
    }

    /// The fields of a request, card number included.
    pub(super) fn draft_request<'r>(
        &'r self,
        request: &'r ChannelRequest,
        now: Timestamp,
    ) -> Result<DraftedRequest<'r>, String> {
        match request {
            ChannelRequest::Charge { facts, instrument } => {
                let card = instrument.card().ok_or("the protocol speaks of cards alone")?;
                let codes = TransactionCodes::of(facts.operation, None).ok_or(NO_SUCH)?;
                self.draft_order(codes, facts, Some(&card.pan), card.expiry, None)
            }
            ChannelRequest::FollowUp { facts, original, pan } => {
                let codes = TransactionCodes::of(facts.operation, Some(original.operation))
                    .ok_or(NO_SUCH)?;
                let of = TransactionCodes::of(original.operation, None).ok_or(NO_SUCH)?;
                let original = OriginalAttempt { facts: original, codes: of };
                self.draft_order(codes, facts, pan.as_ref(), None, Some(&original))
            }
            ChannelRequest::Reversal { facts, original, pan, .. } => {
                // An undo is owed until it is done, and never taken back.
                let undo = facts.operation == Operation::Undo;
                let of = original.as_ref().map(|original| original.operation);
                let codes =
                    TransactionCodes::of(facts.operation, of).filter(|_| !undo).ok_or(NO_SUCH)?;
                self.draft_reversal(codes, facts, original.as_ref(), pan.as_ref(), now)
            }
            ChannelRequest::Inquiry { .. } => Err("the protocol has no inquiry".to_owned()),
            ChannelRequest::Service { facts, .. } => {
                Err(format!("the protocol has no {}", facts.service))
            }
        }
    }

    fn numbered(&self, facts: &AttemptFacts) -> Result<AttemptNumbers<'_>, String> {
        self.settings.numbering.of(facts.channel_order_no).map_err(|error| error.to_string())
    }

    /// A moment in the link's own time.
    pub(super) fn local(&self, moment: Timestamp) -> DateTime {
        moment.civil(&self.settings.zone)
    }

    fn draft_order<'r>(
        &'r self,
        codes: TransactionCodes,
        facts: &'r AttemptFacts,
        pan: Option<&Pan>,
        expiry: Option<Expiry>,
        original: Option<&OriginalAttempt<'_>>,
    ) -> Result<DraftedRequest<'r>, String> {
        let numbered = self.numbered(facts)?;
        let mut draft = Draft::new(codes.message_type);
        self.put_shared(&mut draft, codes, facts, pan, numbered.terminal);
        draft.put_number(11, u64::from(numbered.trace), 6);
        if let Some(expiry) = expiry {
            draft.put(14, expiry.yymm().as_bytes());
        }
        let sent = self.local(facts.sent_at);
        match self.settings.style {
            Style::Posp => {
                draft.put(60, self.private_of(codes).as_bytes());
                if codes == REFUND && draft.get(63).is_none() {
                    draft.put(63, DOMESTIC);
                }
            }
            Style::Cups => {
                draft.put(7, &mmddhhmmss(sent));
                draft.put(37, &reference(sent, numbered.trace));
                draft.put(60, self.settings.private.as_bytes());
                put_local_time(&mut draft, original.map_or(sent, |o| self.local(o.facts.sent_at)));
            }
        }
        if let Some(original) = original {
            self.put_original(&mut draft, original)?;
        }
        let place = self.place(numbered.terminal, sent);
        let key = PairKey { message_type: codes.answer(), trace: numbered.trace, place };
        let kind = TracedRequest::Order { answer: codes.answer() };
        Ok(DraftedRequest { draft, kind, key, facts, terminal: numbered.terminal })
    }

    /// POS-P field 60 of a message about a card: what kind it is, the batch, and what the file says
    /// stands behind.
    fn private_of(&self, codes: TransactionCodes) -> String {
        format!("{}{}{}", codes.kind, self.settings.batch, self.settings.private)
    }

    /// The fields that an answer must repeat wherever it has them.
    fn echoed(&self, draft: &Draft) -> Vec<(u8, Vec<u8>)> {
        let fields: &[u8] = match self.settings.style {
            Style::Posp => &ECHOED,
            Style::Cups => &ECHOED_BY_CENTRE,
        };
        fields.iter().filter_map(|field| Some((*field, draft.get(*field)?.to_vec()))).collect()
    }

    /// Undoes an attempt whose result is unknown, saying of itself what the attempt said: the
    /// reversal of a void is not that of a payment, and names what the void named. Repeated, it is
    /// the same message: under the original's own trace number at a terminal's acquirer, under the
    /// one that belongs to it at the centre.
    fn draft_reversal<'r>(
        &'r self,
        codes: TransactionCodes,
        facts: &'r AttemptFacts,
        followed_up: Option<&AttemptFacts>,
        pan: Option<&Pan>,
        now: Timestamp,
    ) -> Result<DraftedRequest<'r>, String> {
        let numbered = self.numbered(facts)?;
        let sent = self.local(facts.sent_at);
        let message_type = match self.settings.style {
            Style::Posp => 400,
            Style::Cups => 420,
        };
        let mut draft = Draft::new(message_type);
        self.put_shared(&mut draft, codes, facts, pan, numbered.terminal);
        draft.put_number(11, u64::from(numbered.reversal_trace), 6);
        let at = self.local(now);
        match self.settings.style {
            Style::Posp => {
                draft.put(39, REASON_NO_ANSWER);
                draft.put(60, self.private_of(codes).as_bytes());
            }
            Style::Cups => {
                draft.put(7, &mmddhhmmss(at));
                put_local_time(&mut draft, sent);
                draft.put(37, &reference(sent, numbered.trace));
                let rest = self.settings.private.get(4..).unwrap_or_default();
                let private = format!("{}{rest}", self.settings.reversal_reason);
                draft.put(60, private.as_bytes());
                let original = OriginalAttempt { facts, codes };
                draft.put(90, self.original_data(&original, numbered).as_bytes());
            }
        }
        if let Some(followed_up) = followed_up {
            self.put_carried(&mut draft, followed_up)?;
        }
        let key = PairKey {
            message_type: message_type + 10,
            trace: numbered.reversal_trace,
            place: self.place(numbered.terminal, at),
        };
        let (kind, terminal) = (TracedRequest::Reversal, numbered.terminal);
        Ok(DraftedRequest { draft, kind, key, facts, terminal })
    }

    /// The fields of every message about a card.
    fn put_shared(
        &self,
        draft: &mut Draft,
        codes: TransactionCodes,
        facts: &AttemptFacts,
        pan: Option<&Pan>,
        terminal: &str,
    ) {
        let settings = &self.settings;
        for (field, value) in &settings.values {
            draft.put(*field, value.as_bytes());
        }
        if let Some(pan) = pan {
            draft.put(2, pan.expose().as_bytes());
        }
        draft.put(3, codes.processing);
        draft.put_number(4, facts.amount.get().unsigned_abs(), 12);
        draft.put(22, settings.entry_mode.as_bytes());
        draft.put(25, codes.condition);
        draft.put(41, terminal.as_bytes());
        draft.put(42, settings.merchant_id.as_bytes());
        draft.put(49, facts.currency.numeric().as_bytes());
        if settings.style == Style::Cups {
            draft.put(32, settings.acquirer.as_bytes());
            draft.put(33, settings.forwarder.as_bytes());
        }
    }

    /// Names what a void, a capture or a refund refers to.
    fn put_original(
        &self,
        draft: &mut Draft,
        original: &OriginalAttempt<'_>,
    ) -> Result<(), String> {
        let (retrieval, authorisation) = numbers_of(original.facts);
        if let Some(authorisation) = authorisation {
            draft.put(38, authorisation.as_bytes());
        }
        match self.settings.style {
            Style::Posp => {
                if let Some(retrieval) = retrieval {
                    draft.put(37, retrieval.as_bytes());
                }
                draft.put(61, self.original_reference(original.facts)?.as_bytes());
            }
            Style::Cups => {
                let numbered = self.numbered(original.facts)?;
                draft.put(90, self.original_data(original, numbered).as_bytes());
            }
        }
        Ok(())
    }

    /// Puts into the reversal of a void, a capture or a refund what that said of its own original,
    /// as far as the channel's file says that its table has it there.
    fn put_carried(&self, draft: &mut Draft, original: &AttemptFacts) -> Result<(), String> {
        for field in &self.settings.reversal_carries {
            match field {
                OriginalField::Authorisation => {
                    if let (_, Some(authorisation)) = numbers_of(original) {
                        draft.put(38, authorisation.as_bytes());
                    }
                }
                OriginalField::Original => {
                    draft.put(61, self.original_reference(original)?.as_bytes());
                }
            }
        }
        Ok(())
    }

    /// POS-P field 61: batch, trace number and date of an original.
    fn original_reference(&self, original: &AttemptFacts) -> Result<String, String> {
        let numbered = self.numbered(original)?;
        let date = self.local(original.sent_at).strftime("%m%d").to_string();
        Ok(format!("{}{:06}{date}", self.settings.batch, numbered.trace))
    }

    /// CUPS field 90: message type, trace number, time, acquirer and forwarder of the original.
    fn original_data(
        &self,
        original: &OriginalAttempt<'_>,
        numbered: AttemptNumbers<'_>,
    ) -> String {
        let time = mmddhhmmss(self.local(original.facts.sent_at));
        let (acquirer, forwarder) = (&self.settings.acquirer, &self.settings.forwarder);
        format!(
            "{:04}{:06}{}{acquirer:0>11}{forwarder:0>11}",
            original.codes.message_type,
            numbered.trace,
            String::from_utf8_lossy(&time),
        )
    }

    /// The facts that tell exchanges of one trace number apart.
    pub(super) fn place(&self, terminal: &str, at: DateTime) -> u64 {
        match self.settings.style {
            Style::Posp => terminal_place(terminal.bytes()),
            Style::Cups => number_of(&mmddhhmmss(at)),
        }
    }

    /// Packs a message behind its header and length, and writes its MAC.
    pub(super) fn finish(
        &self,
        draft: &mut Draft,
        key: PairKey,
        terminal: &str,
    ) -> Result<LinkFrame, String> {
        let wire = &self.settings.wire;
        let mac = self.settings.mac.as_ref().filter(|_| has_mac(draft.message_type()));
        if let Some(mac) = mac {
            draft.put(mac.rule.field, &[b'0'; 8]);
        }
        // A field that the acquirer's table has not is left out; the file's reader has seen to it
        // that the table has what a message cannot do without.
        draft.keep(wire.format.listed());
        let mut bytes = Vec::with_capacity(512);
        let at = wire.framing.begin(&mut bytes);
        let header_at = bytes.len();
        wire.header.write(&mut bytes);
        let packed = encode(&wire.format, draft, &mut bytes).map_err(|error| error.to_string())?;
        wire.header.finish(&mut bytes, header_at, wire.header_counts_itself);
        let mut sealed: Option<FrameMac> = None;
        if let Some(mac) = mac {
            let made = self.keys.with_current(terminal, |key| {
                mac.rule.seal(key, &wire.format, &packed, &mut bytes)
            });
            sealed = made.flatten();
            sealed.ok_or("there is no MAC key yet, or no place for a MAC")?;
        }
        wire.framing.end(&mut bytes, at).map_err(|error| error.to_string())?;
        Ok(LinkFrame { bytes, key, mac: sealed })
    }
}

/// The retrieval reference (field 37) and the authorisation code (38) that an original was given.
fn numbers_of(original: &AttemptFacts) -> (Option<&str>, Option<&str>) {
    let kept = original.channel_reference.as_deref().unwrap_or_default();
    let (retrieval, authorisation) = kept.split_once('-').unwrap_or((kept, ""));
    let of_length = |text, length| Some(text).filter(|text: &&str| text.len() == length);
    (of_length(retrieval, 12), of_length(authorisation, 6))
}

/// Network messages carry no MAC; all others do.
pub(super) const fn has_mac(message_type: u16) -> bool {
    message_type < 800
}

pub(super) fn mmddhhmmss(at: DateTime) -> [u8; 10] {
    let parts = [at.month(), at.day(), at.hour(), at.minute(), at.second()];
    let mut text = [b'0'; 10];
    for (place, part) in text.chunks_exact_mut(2).zip(parts) {
        let part = part.unsigned_abs();
        place.copy_from_slice(&[b'0' + part / 10 % 10, b'0' + part % 10]);
    }
    text
}

/// Fields 12 and 13.
fn put_local_time(draft: &mut Draft, at: DateTime) {
    let text = mmddhhmmss(at);
    draft.put(12, &text[4..]);
    draft.put(13, &text[..4]);
}

/// CUPS field 37, which the institution makes: the time and the trace number.
fn reference(sent: DateTime, trace: u32) -> Vec<u8> {
    let mut text = mmddhhmmss(sent)[4..].to_vec();
    text.extend_from_slice(format!("{trace:06}").as_bytes());
    text
}

pub(super) fn number_of(digits: &[u8]) -> u64 {
    digits.iter().fold(0, |sum, digit| sum * 10 + u64::from(digit.wrapping_sub(b'0')))
}

/// Eight characters of a terminal as one number.
pub(super) fn terminal_place(terminal: impl Iterator<Item = u8>) -> u64 {
    terminal.take(8).fold(0, |place, byte| place << 8 | u64::from(byte))
}
