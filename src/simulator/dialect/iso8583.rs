//! The far end of ISO 8583 links: an acquirer for terminals, or a centre for institutions.
//!
//! Reads the messages by itself with the codec and the format that the channel's file has, and
//! shares nothing with the adapter.
//! Terminal and trace number (POS-P), or trace number and time (CUPS), name an attempt, and are its
//! number in the ledger.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::civil::DateTime;

use crate::codec::iso8583::frame::Framing;
use crate::codec::iso8583::header::FrameHeader;
use crate::codec::iso8583::mac::{DesKey, MacRule};
use crate::codec::iso8583::{Draft, Message, decode, encode, keys};
use crate::codec::sign::sha256_hex;
use crate::config::links::LinkForm;
use crate::domain::card::Pan;
use crate::domain::money::{AmountMinor, Currency};
use crate::domain::time::{BusinessDate, Timestamp};
use crate::simulator::ledger::{
    BankOrder, EntryFacts, EntryKind, EntryState, FollowUpResult, IssuerDecision, OrderResult,
    ReversalResult,
};
use crate::simulator::settings::{Iso8583Settings, Iso8583Style};
use crate::simulator::state::SimulatorState;

use super::{AnswerCodes, DeclineCode, ReplyForm, decide};

const CODES: AnswerCodes = AnswerCodes {
    approved: "00",
    declines: &[
        (DeclineCode::later("51"), 6),
        (DeclineCode::later("61"), 2),
        (DeclineCode::at_once("40"), 1),
        (DeclineCode::later("59"), 1),
    ],
};
/// The code of a charge whose reversal arrived first.
const DEAD: &str = "12";
pub const NO_ORIGINAL: &str = "25";
pub const BAD_AMOUNT: &str = "13";
const OTHER_AMOUNT: &str = "64";
pub const DUPLICATE: &str = "94";
pub const MAC_FAILED: &str = "A0";
/// Codes of a switch that does not know the result.
const UNCLEAR: [&str; 4] = ["96", "98", "68", "22"];
/// Fields of a request that its answer repeats.
const REPEATED: [u8; 16] = [2, 3, 4, 7, 11, 12, 13, 25, 32, 33, 41, 42, 49, 60, 70, 100];
/// The PIN key in answers to sign-ins: nothing is encrypted under it.
const PIN_KEY: [u8; 16] = [0x11; 16];

/// A far end.
pub struct Iso8583FarEnd {
    style: Iso8583Style,
    form: Arc<LinkForm>,
    rule: Option<MacRule>,
    key: DesKey,
    mac_key: [u8; 8],
    /// Sign-ins are answered with working keys under it.
    master: Option<DesKey>,
    gives_fresh_keys: bool,
    fresh: Mutex<FreshKeys>,
}

/// The keys that sign-ins have brought.
#[derive(Default)]
struct FreshKeys {
    by_terminal: BTreeMap<String, DesKey>,
    given: u64,
}

/// The operation of a request about money.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum LinkOperation {
    Sale,
    Preauth,
    Capture,
    Void,
    Refund,
}

impl LinkOperation {
    fn of(kind: u16, processing: Option<&str>, condition: Option<&str>) -> Self {
        match (kind, processing, condition) {
            (220, ..) => Self::Refund,
            (_, Some("200000"), _) => Self::Void,
            (100, ..) | (_, Some("030000"), _) => Self::Preauth,
            (_, _, Some("06")) => Self::Capture,
            _ => Self::Sale,
        }
    }
}

/// A request that was parsed.
pub struct LinkRequest {
    header: FrameHeader,
    pub kind: u16,
    /// Its number in the ledger.
    pub name: String,
    pub original: Option<String>,
    pub operation: LinkOperation,
    pub amount: Option<AmountMinor>,
    pub currency: Option<Currency>,
    card: Option<Pan>,
    repeated: Vec<(u8, Vec<u8>)>,
    pub proved: bool,
}

impl LinkRequest {
    /// The terminal that it is of.
    fn terminal(&self) -> String {
        let field = self.repeated.iter().find(|(field, _)| *field == 41);
        field.map(|(_, plain)| String::from_utf8_lossy(plain).into_owned()).unwrap_or_default()
    }

    /// Whether a reversal describes its original rightly.
    fn fits(&self, original: &EntryFacts) -> bool {
        let operation = match original.kind {
            EntryKind::Charge => LinkOperation::Sale,
            EntryKind::Preauth => LinkOperation::Preauth,
            EntryKind::Capture => LinkOperation::Capture,
            EntryKind::Undo => LinkOperation::Void,
            EntryKind::Refund => LinkOperation::Refund,
            // No link pays out.
            EntryKind::Payout => return false,
        };
        self.describes(operation, original.amount)
    }

    /// Whether a reversal says of its original that it was this operation on this amount. It has a
    /// message type of its own, so a refund's looks like a void's.
    pub fn describes(&self, operation: LinkOperation, amount: AmountMinor) -> bool {
        let seen = match operation {
            LinkOperation::Refund => LinkOperation::Void,
            other => other,
        };
        self.operation == seen && self.amount.is_none_or(|said| said == amount)
    }

    /// Whether it takes back the transaction that its name is.
    pub const fn is_reversal(&self) -> bool {
        matches!(self.kind, 400 | 420)
    }

    /// Whether it is about the link, and no money.
    pub const fn is_of_network(&self) -> bool {
        self.kind >= 800
    }
}

/// The code of the answer to a reversal.
fn reverse(running: &SimulatorState, call: &LinkRequest, now: Timestamp) -> &'static str {
    // The reversal must describe its original: one of another transaction is refused.
    if running.ledger.look(now, &call.name).is_some_and(|kept| !call.fits(&kept.facts)) {
        return "30";
    }
    match running.ledger.reverse_any(now, &call.name) {
        // A declined transaction moved nothing, which is as good as taken back.
        ReversalResult::Done(_) | ReversalResult::Already(_) | ReversalResult::Undone(_) => "00",
        ReversalResult::Refused(facts) if facts.state == EntryState::Declined => "00",
        ReversalResult::Refused(_) => "30",
        ReversalResult::NotFound => NO_ORIGINAL,
    }
}

/// The content of an answer.
pub struct LinkResult {
    pub code: Cow<'static, str>,
    pub trace: u64,
    /// The clearing day of what has happened, if anything has.
    pub settles: Option<BusinessDate>,
}

impl LinkResult {
    fn of(code: &'static str, facts: &EntryFacts) -> Self {
        let code = Cow::Borrowed(code);
        Self { code, trace: facts.trace, settles: Some(facts.settle_date) }
    }
}

fn bytes_of(hex: &str) -> Vec<u8> {
    let digit = |at: usize| u8::from_str_radix(hex.get(at..at + 2).unwrap_or("00"), 16);
    (0..hex.len() / 2).map(|pair| digit(pair * 2).unwrap_or(0)).collect()
}

impl Iso8583FarEnd {
    pub fn new(settings: &Iso8583Settings) -> Self {
        let key = bytes_of(&settings.mac_key);
        let mac_key = key.first_chunk().copied().unwrap_or_default();
        let master = settings
            .master_key
            .as_ref()
            .map(|master| DesKey::new(&bytes_of(master)).expect("a made key has 32 digits"));
        Self {
            style: settings.style,
            form: Arc::clone(&settings.form),
            rule: settings.mac,
            key: DesKey::new(&key).expect("a made key has 16 or 32 digits"),
            mac_key,
            master,
            gives_fresh_keys: settings.gives_fresh_keys,
            fresh: Mutex::default(),
        }
    }

    /// The key that a terminal's messages have their MAC by.
    fn key_of(&self, terminal: &str) -> DesKey {
        let fresh = self.fresh.lock().unwrap_or_else(PoisonError::into_inner);
        fresh.by_terminal.get(terminal).unwrap_or(&self.key).clone()
    }

    /// Field 62 of a sign-in's answer, whose key the terminal has from now on.
    fn working_keys(&self, terminal: &str) -> Option<Vec<u8>> {
        let master = self.master.as_ref()?;
        let mut mac_key = self.mac_key;
        if self.gives_fresh_keys {
            let mut fresh = self.fresh.lock().unwrap_or_else(PoisonError::into_inner);
            fresh.given += 1;
            let drawn = sha256_hex(format!("{mac_key:?} {}", fresh.given).as_bytes());
            mac_key = bytes_of(&drawn[..16]).try_into().unwrap_or(mac_key);
            let key = DesKey::new(&mac_key).expect("eight bytes are a key");
            fresh.by_terminal.insert(terminal.to_owned(), key);
        }
        let closed = keys::close(master, &PIN_KEY, &mac_key);
        Some(closed.expect("both keys are of a DES key's length"))
    }

    pub fn framing(&self) -> Framing {
        self.form.framing
    }

    /// Parses a frame; `None` if it is no message.
    pub fn read(&self, frame: &[u8]) -> Option<LinkRequest> {
        let (header, start) = self.form.header_form().read(frame).ok()?;
        let message = decode(&self.form.format, frame, start).ok()?;
        let kind = message.message_type();
        let text = |field| message.value(field).map(|value| value.text());
        let number = |field| message.value(field).and_then(|value| value.number());
        let amount = number(4).and_then(|minor| i64::try_from(minor).ok());
        let numeric = text(49);
        let currency =
            Currency::ALL.into_iter().find(|one| numeric.as_deref() == Some(one.numeric()));
        let repeated = REPEATED
            .into_iter()
            .filter_map(|field| Some((field, message.value(field)?.plain().collect())))
            .collect();
        Some(LinkRequest {
            name: self.name_of(&message)?,
            original: self.original_of(&message),
            operation: LinkOperation::of(kind, text(3).as_deref(), text(25).as_deref()),
            amount: amount.and_then(|minor| AmountMinor::new(minor).ok()),
            currency,
            card: text(2).and_then(|digits| Pan::parse(&digits).ok()),
            repeated,
            proved: kind >= 800
                || self.rule.is_none_or(|rule| {
                    rule.proves(&self.key_of(&text(41).unwrap_or_default()), &message)
                }),
            header,
            kind,
        })
    }

    /// The channel's name of the transaction: for a reversal, of the one that it takes back.
    fn name_of(&self, message: &Message<'_>) -> Option<String> {
        let trace = message.value(11)?.text();
        match self.style {
            Iso8583Style::Posp => Some(format!("{}-{trace}", message.value(41)?.text())),
            Iso8583Style::Cups if message.message_type() == 420 => self.original_of(message),
            Iso8583Style::Cups => Some(format!("{}-{trace}", message.value(7)?.text())),
        }
    }

    fn original_of(&self, message: &Message<'_>) -> Option<String> {
        match self.style {
            Iso8583Style::Posp => {
                let named = message.value(61)?.text();
                Some(format!("{}-{}", message.value(41)?.text(), named.get(6..12)?))
            }
            Iso8583Style::Cups => {
                let named = message.value(90)?.text();
                Some(format!("{}-{}", named.get(10..20)?, named.get(4..10)?))
            }
        }
    }

    /// The operation and the transaction's name, by which faults are drawn.
    pub fn plan_name<'call>(&self, call: &'call LinkRequest) -> (&'static str, &'call str) {
        let operation = match call.kind {
            400 | 420 => "reversal",
            800.. => "network",
            _ => match call.operation {
                LinkOperation::Sale => "charge",
                LinkOperation::Preauth => "preauth",
                LinkOperation::Capture => "capture",
                LinkOperation::Void => "void",
                LinkOperation::Refund => "refund",
            },
        };
        (operation, &call.name)
    }

    /// Changes the ledger.
    pub fn carry_out(&self, running: &Arc<SimulatorState>, call: &LinkRequest) -> LinkResult {
        let plain = |code| LinkResult { code: Cow::Borrowed(code), trace: 0, settles: None };
        if call.is_of_network() {
            return plain("00");
        }
        if !call.proved {
            return plain(MAC_FAILED);
        }
        let now = running.now();
        if call.is_reversal() {
            return plain(reverse(running, call, now));
        }
        let (Some(amount), Some(currency)) = (call.amount, call.currency) else {
            return plain(BAD_AMOUNT);
        };
        let instruction = BankOrder {
            order_no: &call.name,
            sent_at: "",
            amount,
            currency,
            card: call.card.as_ref().map(Pan::masked),
            product: "",
        };
        // The answer is final, so the work is done when the answer is written.
        let mut verdict = IssuerDecision {
            working: std::time::Duration::ZERO,
            ..decide(running, &call.name, &CODES)
        };
        if amount.get() > running.settings.per_order_max_minor {
            verdict = IssuerDecision { approves: false, code: "61", ..verdict };
        }
        let ledger = &running.ledger;
        // Only a card declines.
        let approved = IssuerDecision { approves: true, code: CODES.approved, ..verdict };
        let followed = match (call.operation, call.original.as_deref()) {
            (LinkOperation::Sale, _) => {
                FollowUpResult::Entered(ledger.charge(now, instruction, verdict, DEAD))
            }
            (LinkOperation::Preauth, _) => {
                FollowUpResult::Entered(ledger.preauthorise(now, instruction, verdict, DEAD))
            }
            (_, None) => FollowUpResult::NotFound,
            (LinkOperation::Capture, Some(original)) => {
                ledger.capture(now, instruction, original, approved, DEAD)
            }
            (LinkOperation::Refund, Some(original)) => {
                ledger.refund(now, instruction, original, approved, DEAD)
            }
            (LinkOperation::Void, Some(original)) => {
                ledger.undo(now, instruction, original, approved, DEAD)
            }
        };
        let entered = match followed {
            FollowUpResult::Entered(entered) => entered,
            FollowUpResult::Already | FollowUpResult::Refused => return plain(DEAD),
            FollowUpResult::Differs => return plain(OTHER_AMOUNT),
            FollowUpResult::NotFound => return plain(NO_ORIGINAL),
        };
        match entered {
            OrderResult::New(facts) => LinkResult::of(facts.code, &facts),
            // A repeat of the message: the first one arrived.
            OrderResult::Known { facts, .. } => LinkResult::of(DUPLICATE, &facts),
        }
    }

    /// Writes the answer with its length, by the wall clock at the channel's place.
    pub fn write(
        &self,
        at: DateTime,
        call: &LinkRequest,
        said: &LinkResult,
        form: ReplyForm,
    ) -> Vec<u8> {
        let mut draft = Draft::new(call.kind + 10);
        for (field, plain) in &call.repeated {
            draft.put(*field, plain);
        }
        let code = match form {
            ReplyForm::Unclear(choice) => UNCLEAR[(choice % UNCLEAR.len() as u64) as usize],
            ReplyForm::Honest | ReplyForm::BadSignature(_) => &*said.code,
        };
        draft.put(39, code.as_bytes());
        match self.style {
            Iso8583Style::Posp => {
                draft.put(12, at.strftime("%H%M%S").to_string().as_bytes());
                draft.put(13, at.strftime("%m%d").to_string().as_bytes());
                draft.put_number(37, said.trace, 12);
                if call.kind == 800
                    && let Some(keys) = self.working_keys(&call.terminal())
                {
                    draft.put(62, &keys);
                }
            }
            Iso8583Style::Cups if call.kind < 800 => {
                draft.put_number(37, said.trace, 12);
            }
            Iso8583Style::Cups => {}
        }
        if let Some(settles) = said.settles.filter(|_| code == "00") {
            // The day of the statement's line, which differs from the calendar's after a cut-off.
            draft.put(15, settles.civil().strftime("%m%d").to_string().as_bytes());
            draft.put_number(38, said.trace % 1_000_000, 6);
        }
        let mut out = Vec::with_capacity(256);
        let begun = self.form.framing.begin(&mut out);
        let header = call.header.answered();
        let header_at = out.len();
        header.write(&mut out);
        let rule = self.rule.filter(|_| call.kind < 800);
        if let Some(rule) = rule {
            draft.put(rule.field, b"00000000");
        }
        let format = &self.form.format;
        draft.keep(format.listed());
        let packed = encode(format, &draft, &mut out).expect("what came in goes out again");
        header.finish(&mut out, header_at, true);
        if let Some(rule) = rule
            && !matches!(form, ReplyForm::BadSignature(_))
        {
            rule.seal(&self.key_of(&call.terminal()), format, &packed, &mut out);
        }
        self.form.framing.end(&mut out, begun).expect("an answer is shorter than a request may be");
        out
    }
}
