//! Files of ISO 8583 links: the simulated far end reads and proves each request with the file's own
//! format and made-up keys, and says what it is told. An answer reaches its request as on a link:
//! by what pairs the two.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::certify::exchange::{CaseExchange, PageMasks, PageShown};
use crate::channel::protocol::iso8583::Iso8583;
use crate::channel::protocol::said::{FarWord, MessageSigner, Saying, ToldMeaning};
use crate::channel::protocol::sample::{sample_now, sample_statement_date, sample_token};
use crate::channel::transport::tcp::{
    FrameClass, LinkFrame, LinkProtocol, PairKey, RequestTrace, TracedRequest,
};
use crate::channel::{
    AttemptFacts, ChannelRequest, EncodeError, LinkAdapter, Notice, NoticeRefusal, ReplyMeaning,
};
use crate::domain::card::words::CardEcho;
use crate::domain::card::{CardInput, CardToken, mask};
use crate::domain::ids::ChannelOrderNo;
use crate::domain::outcome::{Objection, Outcome};
use crate::domain::time::Timestamp;
use crate::simulator::{LinkHeard, LinkVoice, VoiceWords};

use super::{
    AnswerProof, Exchanged, FarAnswer, FarMoment, FarProblem, FarSide, HttpSide,
    LateReversalAnswer, Unasked,
};

/// Fields of a card, a PIN and keys, which no page shows: expiry, tracks, PIN and its control, chip
/// data, working keys.
const HIDDEN: [u8; 8] = [14, 35, 36, 45, 52, 53, 55, 62];
/// The card number.
const NUMBER: u8 = 2;
/// Long digits that are no card number: references, terminal and merchant, private data, original.
const KNOWN: [u8; 6] = [37, 41, 42, 60, 61, 90];
/// The code with which a link's own messages are answered.
const WELCOME: &str = "00";

/// See the head of this file.
pub struct LinkFarSide {
    adapter: Arc<Iso8583>,
    voice: LinkVoice,
    asked: Mutex<AskedRequests>,
}

/// What was asked of the channel, by the attempts that it is about.
#[derive(Default)]
struct AskedRequests {
    orders: BTreeMap<ChannelOrderNo, AskedRequest>,
    /// The first reversal of each: a repeated one is named as it is.
    reversals: BTreeMap<ChannelOrderNo, AskedRequest>,
}

/// One thing that a link does by itself; no exchange where the file has none of it.
pub struct LinkOpening {
    pub name: &'static str,
    pub exchanges: Vec<OwnExchange>,
}

/// A request of the link itself, with its answer.
pub struct OwnExchange {
    pub exchange: CaseExchange,
    /// Why the link cannot be used.
    pub problem: Option<String>,
}

/// A request whose answer may come late.
struct AskedRequest {
    trace: RequestTrace,
    key: PairKey,
    heard: LinkHeard,
    at: Timestamp,
}

impl LinkFarSide {
    pub fn new(adapter: Arc<Iso8583>, voice: LinkVoice) -> Self {
        Self { adapter, voice, asked: Mutex::default() }
    }

    fn asked(&self) -> MutexGuard<'_, AskedRequests> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A frame without its length.
    fn body<'f>(&self, frame: &'f [u8]) -> &'f [u8] {
        frame.get(self.adapter.framing().length_bytes()..).unwrap_or_default()
    }

    fn hear(&self, frame: &LinkFrame) -> Result<LinkHeard, FarProblem> {
        let heard = self.voice.hear(self.body(&frame.bytes));
        heard.map_err(|refusal| FarProblem::Refused(refusal.to_string()))
    }

    /// The answer to a request as a link would bring it. The error: no request is found by it.
    fn answer(
        &self,
        (heard, key): (&LinkHeard, &PairKey),
        word: &FarWord<'_>,
        now: Timestamp,
    ) -> Result<Vec<u8>, FarProblem> {
        let words = VoiceWords {
            code: word.saying.code.as_deref().unwrap_or_default(),
            end: None,
            settle_date: word.settle_date,
            is_forged: word.signer == MessageSigner::Stranger,
        };
        let frame = self.voice.answer(heard, &words, now);
        match self.adapter.sort(self.body(&frame)) {
            FrameClass::Reply(found) if found == *key => Ok(frame),
            other => Err(FarProblem::Refused(format!("its answer is taken for {other:?}"))),
        }
    }

    /// The answer to a request whose call has ended, as it is shown and understood.
    fn answer_late(
        &self,
        asked: &AskedRequest,
        word: &FarWord<'_>,
        now: Timestamp,
    ) -> Result<(PageShown, ReplyMeaning), FarProblem> {
        let frame = self.answer((&asked.heard, &asked.key), word, now)?;
        let shown = self.show(&frame, CardEcho::NONE);
        Ok((shown, self.adapter.decode_frame(&asked.trace, self.body(&frame), now)))
    }

    /// A frame, with its length, field by field.
    fn show(&self, frame: &[u8], echo: CardEcho<'_>) -> PageShown {
        let masks = PageMasks { keys: &[], echo, known: &[] };
        let written = match self.adapter.read_written(frame) {
            Ok(written) => written,
            Err(problem) => {
                return PageShown::new(problem, (Vec::new(), &[]), None, masks);
            }
        };
        let known: Vec<&str> = written
            .fields
            .iter()
            .filter(|(field, _)| KNOWN.contains(field))
            .map(|(_, text)| text.trim())
            .collect();
        let fields = written.fields.iter().map(|(field, text)| {
            let shown = match *field {
                NUMBER => mask(text),
                field if HIDDEN.contains(&field) => "***".to_owned(),
                _ => text.clone(),
            };
            let is_mac = self.adapter.mac_field() == Some(*field);
            (format!("{field}{}", if is_mac { " (MAC)" } else { "" }), shown)
        });
        let head = format!("{:04}, {} bytes", written.message_type, frame.len());
        let masks = PageMasks { known: &known, ..masks };
        PageShown::new(head, (fields.collect(), &[]), None, masks)
    }

    /// What a link does by itself: the sign-on of each terminal, whose key is kept, and the test of
    /// the line.
    pub fn open(&self) -> [LinkOpening; 2] {
        let now = sample_now();
        let take = |answer: &[u8]| {
            self.adapter.take_sign_on(answer).map_err(|refused| refused.to_string())
        };
        let signs_on = self.adapter.sign_on(now, 1);
        let signs_on = signs_on.iter().map(|frame| self.ask_own("sign-on", frame, take, now));
        let test = self.adapter.echo(now, 2);
        let test = test.map(|frame| self.ask_own("line test", &frame, |_| Ok(()), now));
        [
            LinkOpening { name: "sign-on", exchanges: signs_on.collect() },
            LinkOpening { name: "line test", exchanges: test.into_iter().collect() },
        ]
    }

    /// Asks what belongs to the link itself; `take` reads the answer.
    fn ask_own(
        &self,
        name: &str,
        frame: &LinkFrame,
        take: impl Fn(&[u8]) -> Result<(), String>,
        now: Timestamp,
    ) -> OwnExchange {
        let saying = Saying::plain(Some(WELCOME.to_owned()), ToldMeaning::Approved);
        let (settle_date, signer) = (sample_statement_date(), MessageSigner::Channel);
        let word = FarWord { saying: &saying, settle_date, signer };
        let answer =
            self.hear(frame).and_then(|heard| self.answer((&heard, &frame.key), &word, now));
        let taken = match &answer {
            Ok(answer) => take(self.body(answer)),
            Err(FarProblem::Refused(words) | FarProblem::Unsayable(words)) => Err(words.clone()),
        };
        let came = answer.ok().map(|answer| self.show(&answer, CardEcho::NONE));
        let heard = taken.as_ref().map_or_else(Clone::clone, |()| "taken".to_owned());
        let sent = self.show(&frame.bytes, CardEcho::NONE);
        let exchange = CaseExchange::of_link(name, (sent, came), heard);
        OwnExchange { exchange, problem: taken.err() }
    }
}

impl FarSide for LinkFarSide {
    fn place(&self, request: &ChannelRequest) -> Option<String> {
        (!self.vocabulary(request).is_empty()).then(|| "[iso8583]".to_owned())
    }

    fn vocabulary(&self, request: &ChannelRequest) -> Vec<Saying> {
        self.adapter.vocabulary(request)
    }

    fn unasked_vocabulary(&self, _: &AttemptFacts) -> Vec<Saying> {
        self.adapter.late_vocabulary()
    }

    /// An answer is found by its request.
    fn tells_apart(&self, _: &AttemptFacts) -> bool {
        true
    }

    fn unasked(&self) -> &'static str {
        "late answer"
    }

    fn unlisted(&self) -> Saying {
        Saying::plain(Some("ZZ".to_owned()), ToldMeaning::Unclear)
    }

    fn proof(&self) -> AnswerProof {
        match self.adapter.mac_field() {
            Some(_) => AnswerProof::Mac,
            None => AnswerProof::Connection,
        }
    }

    fn http(&self) -> Option<&dyn HttpSide> {
        None
    }

    fn exchange(
        &self,
        request: &ChannelRequest,
        at: FarMoment,
        decide: &mut dyn FnMut() -> FarAnswer,
    ) -> Result<Exchanged, EncodeError> {
        let FarMoment { now, settle_date } = at;
        let (frame, trace) = self.adapter.encode_frame(request, now)?;
        let sent = self.show(&frame.bytes, request.echo());
        let answer = decide();
        if matches!(answer, FarAnswer::LostBefore) {
            return Ok(Exchanged::silent(sent, None));
        }
        let heard = match self.hear(&frame) {
            Ok(heard) => heard,
            Err(problem) => return Ok(Exchanged::silent(sent, Some(problem))),
        };
        let said = match &answer {
            FarAnswer::Said(saying) => Some((saying, MessageSigner::Channel)),
            FarAnswer::Forged(saying) => Some((saying, MessageSigner::Stranger)),
            // A link has no proxy that would answer.
            FarAnswer::LostBefore | FarAnswer::LostAfter | FarAnswer::Status(_) => None,
        };
        let reply = said.map(|(saying, signer)| {
            self.answer((&heard, &frame.key), &FarWord { saying, settle_date, signer }, now)
        });
        let exchanged = match reply {
            None => Exchanged::silent(sent, None),
            Some(Err(problem)) => Exchanged::silent(sent, Some(problem)),
            Some(Ok(reply)) => {
                let came = Some(self.show(&reply, request.echo()));
                let understood = self.adapter.decode_frame(&trace, self.body(&reply), now);
                Exchanged { sent, came, understood, problem: None }
            }
        };
        let (number, kind) = (trace.facts.channel_order_no, trace.kind);
        let request = AskedRequest { trace, key: frame.key, heard, at: now };
        match kind {
            TracedRequest::Order { .. } => {
                self.asked().orders.insert(number, request);
            }
            TracedRequest::Reversal => {
                self.asked().reversals.entry(number).or_insert(request);
            }
        }
        Ok(exchanged)
    }

    fn late_reversal_vocabulary(&self, reversal: &ChannelRequest) -> Vec<Saying> {
        self.vocabulary(reversal)
    }

    fn answer_reversal(
        &self,
        number: ChannelOrderNo,
        word: &FarWord<'_>,
        now: Timestamp,
    ) -> Result<LateReversalAnswer, FarProblem> {
        let asked = self.asked();
        let reversal = asked.reversals.get(&number).ok_or_else(|| {
            FarProblem::Unsayable("the channel was asked for no reversal".to_owned())
        })?;
        let (shown, understood) = self.answer_late(reversal, word, now)?;
        Ok(LateReversalAnswer { shown, understood, asked_at: reversal.at })
    }

    fn tell(
        &self,
        about: &AttemptFacts,
        word: &FarWord<'_>,
        now: Timestamp,
    ) -> Result<Unasked, FarProblem> {
        let asked = self.asked();
        let number = about.channel_order_no;
        let order = asked.orders.get(&number).ok_or_else(|| {
            FarProblem::Unsayable("the channel never heard of this attempt".to_owned())
        })?;
        let (shown, understood) = self.answer_late(order, word, now)?;
        let ReplyMeaning { outcome, objection, .. } = &understood;
        let heard = match (outcome, objection) {
            (Outcome::Unknown(_), objection) => {
                let unproven = || Objection::new("it proves nothing");
                let objection = objection.clone().unwrap_or_else(unproven);
                Err(NoticeRefusal::BadSignature(objection))
            }
            _ => Ok(Notice {
                channel_order_no: number,
                amount: None,
                currency: None,
                sent_at_text: None,
                understood,
            }),
        };
        Ok(Unasked { shown, heard })
    }

    fn reference_of(&self, number: ChannelOrderNo) -> Option<String> {
        self.asked().orders.get(&number).map(|order| order.heard.reference())
    }

    fn token_for(&self, _: &CardInput, _: Timestamp) -> CardToken {
        sample_token()
    }
}
