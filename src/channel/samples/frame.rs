//! Golden samples of channels that speak over links: messages that are sent, and messages that come
//! back, written field by field or as the bytes of a whole frame.

use super::purpose::{Purpose, describe};
use crate::channel::protocol::iso8583::{Iso8583, WrittenMessage};
use crate::channel::protocol::sample::{SAMPLE_DATE, sample_now};
use crate::channel::transport::tcp::{FrameClass, LinkFrame, LinkProtocol, RequestTrace};
use crate::channel::{AttemptFacts, ChannelRequest, LinkAdapter};
use crate::codec::sign::read_hex;
use crate::config::section::Section;
use crate::domain::ids::OrderId;

/// A message type in words: four digits.
const MESSAGE_TYPE_MAX: u16 = 9_999;
/// Fields that name a card: no complaint shows them (I-11).
const CARD_FIELDS: [u8; 4] = [2, 35, 36, 45];
/// Orders that one node can have on one day.
const SEQUENCES: u64 = 10_000_000_000;
/// The field of response codes.
const CODE: u8 = 39;

/// A message as a sample has it: one of the two ways or both.
struct FrameSample {
    fields: Option<WrittenMessage>,
    /// A frame with the length before it.
    bytes: Option<Vec<u8>>,
}

/// The answer, and the outcome that it must have.
struct FrameAnswer {
    written: FrameSample,
    /// Its MAC is left out, so it is played on an adapter that does not look at it.
    is_unsigned: bool,
    outcome: String,
}

/// One exchange as a sample writes it down.
pub(super) struct FrameScript {
    sent: Option<FrameSample>,
    told: Option<FrameAnswer>,
}

/// The question by which the answer is read.
enum Question {
    Order(RequestTrace),
    SignOn,
    LineTest,
}

type SentFrame = (LinkFrame, Question);

impl FrameScript {
    pub fn read(section: &Section<'_>) -> Self {
        let sent = section.optional_section("sent").map(|inner| {
            let written = FrameSample::read(&inner);
            inner.finish();
            written
        });
        let told = section.optional_section("reply").map(|inner| {
            let told = FrameAnswer {
                written: FrameSample::read(&inner),
                is_unsigned: inner.boolean_or("unsigned", false),
                outcome: inner.text_such_as("outcome", "declined insufficient_funds"),
            };
            inner.finish();
            told
        });
        Self { sent, told }
    }

    pub const fn is_empty(&self) -> bool {
        self.sent.is_none() && self.told.is_none()
    }

    /// Whether the reply's field 39 has the code, where the reply is written in fields.
    pub fn brings(&self, code: &str) -> bool {
        let written = self.told.as_ref().and_then(|told| told.written.fields.as_ref());
        written.is_some_and(|message| message.fields.contains(&(CODE, code.to_owned())))
    }

    /// Everything in which the adapter does not do what is written here.
    pub fn play(
        &self,
        ask: Purpose,
        request: &ChannelRequest,
        adapter: &Iso8583,
        unverified: &Iso8583,
    ) -> Vec<String> {
        let sent = match sent_by(adapter, ask, request) {
            Ok(sent) => sent,
            Err(problem) => return vec![problem],
        };
        let mut wrong = Vec::new();
        if let Some(expected) = &self.sent {
            expected.compare(adapter, &sent.0.bytes, &mut wrong);
        }
        if let Some(told) = &self.told {
            match told.frame(adapter) {
                Ok(frame) => {
                    let outcome = told.outcome_on(&sent, &frame, adapter, unverified);
                    if outcome != told.outcome {
                        wrong.push(format!("the reply is `{outcome}`, not `{}`", told.outcome));
                    }
                }
                Err(problem) => wrong.push(format!("the reply cannot be written: {problem}")),
            }
        }
        wrong
    }
}

fn sent_by(adapter: &Iso8583, ask: Purpose, request: &ChannelRequest) -> Result<SentFrame, String> {
    match ask {
        Purpose::Operation
        | Purpose::First
        | Purpose::Reversal
        | Purpose::Service(_)
        | Purpose::Inquiry
        | Purpose::Notice
        | Purpose::Statement => adapter
            .encode_frame(&of_node(request, adapter.first_node()), sample_now())
            .map(|(frame, asked)| (frame, Question::Order(asked)))
            .map_err(|error| error.to_string()),
        // One terminal is like the other: the first one's stands for all.
        Purpose::SignOn => adapter
            .sign_on(sample_now(), 0)
            .into_iter()
            .next()
            .map(|frame| (frame, Question::SignOn))
            .ok_or_else(|| "the channel's file has no sign-on".to_owned()),
        Purpose::LineTest => adapter
            .echo(sample_now(), 0)
            .map(|frame| (frame, Question::LineTest))
            .ok_or_else(|| "the channel's file has no line test".to_owned()),
    }
}

/// The same request, of orders of another node: no channel has to list the samples' own.
fn of_node(request: &ChannelRequest, node: u16) -> ChannelRequest {
    let renumber = |facts: &mut AttemptFacts| {
        let sequence = facts.channel_order_no.order.as_u64() % SEQUENCES;
        facts.channel_order_no.order = OrderId::compose(SAMPLE_DATE, node, sequence);
    };
    let mut request = request.clone();
    match &mut request {
        ChannelRequest::Charge { facts, .. } | ChannelRequest::Inquiry { facts, .. } => {
            renumber(facts);
        }
        ChannelRequest::Reversal { facts, original, .. } => {
            renumber(facts);
            original.iter_mut().for_each(renumber);
        }
        ChannelRequest::FollowUp { facts, original, .. } => {
            renumber(facts);
            renumber(original);
        }
        // No link carries one.
        ChannelRequest::Service { .. } => {}
    }
    request
}

impl FrameAnswer {
    /// The reply without its length.
    fn frame(&self, adapter: &Iso8583) -> Result<Vec<u8>, String> {
        match (&self.written.bytes, &self.written.fields) {
            (Some(bytes), _) => {
                let range = adapter.framing().next(bytes).map_err(|error| error.to_string())?;
                let range = range.ok_or("its length is more than there is")?;
                Ok(bytes[range].to_vec())
            }
            (None, Some(message)) => adapter.compose(message),
            (None, None) => Err("nothing is written".to_owned()),
        }
    }

    fn outcome_on(
        &self,
        (sent, question): &SentFrame,
        frame: &[u8],
        adapter: &Iso8583,
        unverified: &Iso8583,
    ) -> String {
        // An answer that the link does not pair with its request is as good as no reply.
        if adapter.sort(frame) != FrameClass::Reply(sent.key) {
            return "unknown".to_owned();
        }
        let believer = if self.is_unsigned { unverified } else { adapter };
        match question {
            Question::Order(asked) => {
                describe(&believer.decode_frame(asked, frame, sample_now()).outcome)
            }
            Question::LineTest => "approved".to_owned(),
            // Both keep what it brings, for the samples behind it.
            Question::SignOn => {
                match adapter.take_sign_on(frame).and(unverified.take_sign_on(frame)) {
                    Ok(()) => "approved".to_owned(),
                    Err(refused) => format!("refused: {}", refused.0),
                }
            }
        }
    }
}

impl FrameSample {
    fn read(section: &Section<'_>) -> Self {
        let bytes = section.optional_parsed("frame", "0012…", |text| {
            let digits: String = text.split_ascii_whitespace().collect();
            read_hex(&digits).ok_or("is not pairs of hexadecimal digits")
        });
        let message_type = section.optional_parsed("message", "0200", |text| {
            let number = text.parse::<u16>().ok().filter(|number| *number <= MESSAGE_TYPE_MAX);
            number.filter(|_| text.len() == 4).ok_or("is not four digits")
        });
        let mut fields = Vec::new();
        for entry in section.map("fields") {
            match entry.key.parse::<u8>() {
                Ok(number) => fields.push((number, entry.text)),
                Err(_) => section.mistake("fields", "a key is not a field's number", "number it"),
            }
        }
        fields.sort_unstable();
        let fields = message_type.map(|message_type| WrittenMessage { message_type, fields });
        if bytes.is_none() && fields.is_none() {
            section.mistake("message", "is missing", "write its type, or the whole `frame`");
        }
        Self { fields, bytes }
    }

    /// Says where a frame of ours differs. The MAC is compared where it is written.
    fn compare(&self, adapter: &Iso8583, sent: &[u8], wrong: &mut Vec<String>) {
        if self.bytes.as_ref().is_some_and(|bytes| bytes != sent) {
            wrong.push("the frame differs from the sample's".to_owned());
        }
        let Some(expected) = &self.fields else { return };
        let found = match adapter.read_written(sent) {
            Ok(found) => found,
            Err(problem) => return wrong.push(problem),
        };
        if found.message_type != expected.message_type {
            let (found, expected) = (found.message_type, expected.message_type);
            wrong.push(format!("the message is {found:04}, not {expected:04}"));
        }
        let find = |message: &WrittenMessage, number: u8| {
            message.fields.iter().find(|(own, _)| *own == number).map(|(_, text)| text.clone())
        };
        for number in 2..=u8::MAX {
            let shown = |text: &str| match CARD_FIELDS.contains(&number) {
                true => "another".to_owned(),
                false => format!("`{text}`"),
            };
            match (find(&found, number), find(expected, number)) {
                (Some(found), Some(wanted)) if found.trim_end() != wanted.trim_end() => {
                    wrong.push(format!("field {number} is {}, not the sample's", shown(&found)));
                }
                (None, Some(_)) => wrong.push(format!("field {number} is missing")),
                (Some(_), None) if Some(number) != adapter.mac_field() => {
                    wrong.push(format!("field {number} is not in the sample"));
                }
                (Some(_), Some(_) | None) | (None, None) => {}
            }
        }
    }
}
