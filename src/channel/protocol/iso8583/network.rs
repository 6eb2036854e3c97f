//! What links need of the protocol: pairing, sign-on, line tests, and the centre's own requests.

use crate::channel::transport::tcp::{FrameClass, LinkFrame, LinkProtocol, PairKey, SignOnRefused};
use crate::codec::iso8583::frame::Framing;
use crate::codec::iso8583::header::FrameHeader;
use crate::codec::iso8583::{Draft, Message, encode};
use crate::domain::time::Timestamp;

use super::request::{mmddhhmmss, number_of, terminal_place};
use super::{Iso8583, Style};

/// POS-P field 60.3, CUPS field 70.
const SIGN_ON_DOUBLE_LENGTH: &str = "003";
const SIGN_ON: &str = "001";
const LINE_TEST: &str = "301";
/// Response codes with which a sign-on is taken.
const WELCOME: &str = "00";

impl LinkProtocol for Iso8583 {
    fn framing(&self) -> Framing {
        self.settings.wire.framing
    }

    fn sort(&self, frame: &[u8]) -> FrameClass {
        // An empty frame, or one of zeros, only keeps the line alive.
        if frame.is_empty() {
            return FrameClass::Nothing;
        }
        // A message that breaks off may still say which request it answers: then that one is
        // unknown at once, and not only when its time is over.
        let (header, message, fault) = match self.read_prefix(frame) {
            Ok(read) => read,
            Err(problem) => return FrameClass::Unreadable(problem),
        };
        let bounced = matches!(&header, FrameHeader::Cups(header) if header.is_reject());
        let kind = message.message_type();
        // The third digit is even in requests and odd in answers (0200 and 0210).
        let is_request = kind / 10 % 2 == 0;
        match self.pair_key(&message) {
            Some(key) if bounced => {
                FrameClass::Reply(PairKey { message_type: kind + 10 - kind % 10, ..key })
            }
            Some(key) if !is_request => FrameClass::Reply(key),
            Some(_) | None => match fault {
                Some(fault) => FrameClass::Unreadable(fault.to_string()),
                None if is_request && !bounced => self.answer(&header, &message),
                None => {
                    FrameClass::Unreadable(format!("{kind:04} has nothing to find its request by"))
                }
            },
        }
    }

    fn sign_on(&self, now: Timestamp, draw: u64) -> Vec<LinkFrame> {
        if !self.settings.signs_on {
            return Vec::new();
        }
        match self.settings.style {
            Style::Posp => {
                let terminals = self.settings.numbering.terminals().iter().enumerate();
                terminals
                    .filter_map(|(place, terminal)| {
                        let mut draft = self.terminal_message(
                            800,
                            terminal,
                            draw.wrapping_add(place as u64),
                            if self.keys.awaits_sign_in() {
                                SIGN_ON_DOUBLE_LENGTH
                            } else {
                                SIGN_ON
                            },
                        );
                        draft.put(63, b"01 ");
                        self.network_frame(&mut draft, terminal, now)
                    })
                    .collect()
            }
            Style::Cups => self.centre_message(now, draw, SIGN_ON).into_iter().collect(),
        }
    }

    fn take_sign_on(&self, frame: &[u8]) -> Result<(), SignOnRefused> {
        let refused = |problem: &str| SignOnRefused(problem.to_owned());
        let (_, message) = self.read_frame(frame).map_err(SignOnRefused)?;
        let code = message.value(39).map(|value| value.text()).unwrap_or_default();
        if code != WELCOME {
            let code: String = code.chars().filter(char::is_ascii_alphanumeric).take(2).collect();
            return Err(SignOnRefused(format!("response code {code}")));
        }
        if !self.keys.awaits_sign_in() {
            return Ok(());
        }
        let terminal = message.value(41).map(|value| value.text()).unwrap_or_default();
        let keys = message.value(62).ok_or_else(|| refused("it brought no keys"))?;
        self.keys.take(&terminal, keys.bytes()).map_err(|error| refused(&error.to_string()))
    }

    fn brings_keys(&self) -> bool {
        self.settings.signs_on && self.keys.awaits_sign_in()
    }

    fn key_of(&self, frame: &[u8]) -> Option<(String, Vec<u8>)> {
        let (_, message) = self.read_frame(frame).ok()?;
        let terminal = message.value(41)?.text();
        Some((terminal, message.value(62)?.bytes().to_vec()))
    }

    fn learn_key(&self, terminal: &str, brought: &[u8]) -> Result<(), SignOnRefused> {
        let taken = self.keys.take(terminal, brought);
        taken.map_err(|error| SignOnRefused(error.to_string()))
    }

    fn echo(&self, now: Timestamp, draw: u64) -> Option<LinkFrame> {
        if !self.settings.tests_line {
            return None;
        }
        match self.settings.style {
            Style::Posp => {
                let terminal = self.settings.numbering.terminals().first()?;
                let mut draft = self.terminal_message(820, terminal, draw, LINE_TEST);
                self.network_frame(&mut draft, terminal, now)
            }
            Style::Cups => self.centre_message(now, draw, LINE_TEST),
        }
    }
}

impl Iso8583 {
    /// The key that pairs an answer with its request; `None` where a part is missing.
    fn pair_key(&self, message: &Message<'_>) -> Option<PairKey> {
        let trace = u32::try_from(message.value(11)?.number()?).ok()?;
        let place = match self.settings.style {
            Style::Posp => terminal_place(message.value(41)?.plain()),
            Style::Cups => message.value(7)?.number()?,
        };
        Some(PairKey { message_type: message.message_type(), trace, place })
    }

    fn terminal_message(&self, kind: u16, terminal: &str, draw: u64, code: &str) -> Draft {
        let mut draft = Draft::new(kind);
        draft.put_number(11, 1 + draw % 999_999, 6);
        draft.put(41, terminal.as_bytes());
        draft.put(42, self.settings.merchant_id.as_bytes());
        draft.put(60, format!("00{}{code}", self.settings.batch).as_bytes());
        draft
    }

    fn centre_message(&self, now: Timestamp, draw: u64, code: &str) -> Option<LinkFrame> {
        let mut draft = Draft::new(820);
        draft.put(7, &mmddhhmmss(self.local(now)));
        draft.put_number(11, 1 + draw % 999_999, 6);
        draft.put(33, self.settings.forwarder.as_bytes());
        draft.put(70, code.as_bytes());
        self.network_frame(&mut draft, "", now)
    }

    /// `None` only where the format of the channel's file leaves one of these fields out.
    fn network_frame(
        &self,
        draft: &mut Draft,
        terminal: &str,
        now: Timestamp,
    ) -> Option<LinkFrame> {
        let trace = u32::try_from(number_of(draft.get(11)?)).ok()?;
        let place = self.place(terminal, self.local(now));
        let key = PairKey { message_type: draft.message_type() + 10, trace, place };
        self.finish(draft, key, terminal).ok()
    }

    /// Answers what the other side asks of us: a line test, a sign-on, the day's cut. Anything
    /// about money is nothing that a gateway is asked.
    fn answer(&self, header: &FrameHeader, message: &Message<'_>) -> FrameClass {
        let kind = message.message_type();
        if !matches!(kind, 800 | 820) {
            return FrameClass::Unreadable(format!(
                "{kind:04} is a request that a gateway is not asked"
            ));
        }
        // A new key that we do not take must not be said to be taken.
        if message.has(96) || message.has(48) {
            return FrameClass::Unreadable(format!(
                "{kind:04} brings a key, and keys come by sign-on"
            ));
        }
        let mut draft = Draft::new(message.message_type() + 10);
        for field in [7, 11, 15, 33, 41, 42, 60, 70, 100] {
            if let Some(value) = message.value(field) {
                draft.put(field, &value.plain().collect::<Vec<u8>>());
            }
        }
        draft.put(39, WELCOME.as_bytes());
        let wire = &self.settings.wire;
        let header = header.answered();
        let mut out = Vec::with_capacity(128);
        let at = wire.framing.begin(&mut out);
        let header_at = out.len();
        header.write(&mut out);
        if let Err(error) = encode(&wire.format, &draft, &mut out) {
            return FrameClass::Unreadable(format!("{kind:04} cannot be answered: {error}"));
        }
        header.finish(&mut out, header_at, wire.header_counts_itself);
        match wire.framing.end(&mut out, at) {
            Ok(()) => FrameClass::Request { answer: out },
            Err(error) => FrameClass::Unreadable(format!("{kind:04} cannot be answered: {error}")),
        }
    }
}
