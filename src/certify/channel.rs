//! A channel on a desk: the adapter of the file on our side, the file's own far side on the other,
//! and a ledger between them that says what truly happened.
//!
//! What is asked is carried out first, and then its answer is lost, spoilt or said: what happened
//! and what we hear are two things.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::HeaderMap;

use crate::certify::exchange::{CaseExchange, Observed, PageShown};
use crate::certify::only::CaseAnswers;
use crate::channel::protocol::declarative::far_side::{
    FarSide, FarWord, MessageSigner, Saying, ToldMeaning,
};
use crate::channel::protocol::declarative::{CoveredText, Declarative};
use crate::channel::transport::http::HttpTransport;
use crate::channel::{
    Adapter, AttemptFacts, ChannelFuture, ChannelRequest, EncodeError, ReplyMeaning, WireNotice,
    WireReply, WireRequest, fetched,
};
use crate::clock::{Clock, Timekeeper};
use crate::domain::flow::attempt::Operation;
use crate::domain::ids::ChannelOrderNo;
use crate::domain::outcome::{NotSentCause, Outcome, Reason, UnknownCause};
use crate::domain::terms::Terms;
use crate::domain::time::Timestamp;

/// What the desk has a word for is of an attempt.
const NO_SERVICE: &str = "a service is never answered here";

/// What truly became of a request at the channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fact {
    /// It never arrived.
    Absent,
    Working,
    Done,
    Refused,
    TakenBack,
}

/// What happens to the first request of the operation that a case is about.
#[derive(Debug, Clone)]
pub enum FirstAnswer {
    Said(Saying),
    /// The request is lost on its way.
    LostBefore,
    /// The channel acts, and its answer is lost.
    LostAfter,
    /// The channel acts, and a proxy answers with this status.
    Status(u16),
    /// The channel acts, and somebody else signs the answer.
    Forged(Saying),
}

/// The play of one case.
#[derive(Debug, Clone)]
pub struct CasePlay {
    pub target: Operation,
    pub first: FirstAnswer,
    /// Inquiries get no answer.
    pub is_mute: bool,
    /// The answer to the first reversal is lost.
    pub loses_reversal: bool,
}

#[derive(Default)]
struct PlayState {
    target: Option<Operation>,
    /// Taken by the first request of the operation that the case is about.
    first: Option<FirstAnswer>,
    is_mute: bool,
    loses_reversal: bool,
    facts: BTreeMap<ChannelOrderNo, Fact>,
    known: BTreeMap<ChannelOrderNo, AttemptFacts>,
    exchanges: Vec<CaseExchange>,
    reversals: u32,
    fails_payment: bool,
    /// What the file does not let the channel say.
    unsayable: Vec<String>,
}

/// The way to a real host.
pub struct HostLine {
    pub transport: HttpTransport,
    pub clock: Timekeeper,
    /// The texts of the credentials, to be masked wherever they stand.
    pub secrets: Vec<Vec<u8>>,
}

/// A request as it left.
struct SentRequest<'a> {
    request: &'a ChannelRequest,
    wire: &'a WireRequest,
    text: Option<CoveredText>,
    now: Timestamp,
}

/// The channel of one case.
pub struct DeskChannel {
    adapter: Arc<Declarative>,
    pub far: FarSide,
    terms: Arc<Terms>,
    clock: Clock,
    began: Timestamp,
    /// Where a real host answers instead of the far side.
    host: Option<HostLine>,
    state: Mutex<PlayState>,
}

impl DeskChannel {
    pub fn new(
        adapter: Arc<Declarative>,
        far: FarSide,
        terms: Arc<Terms>,
        clock: Clock,
        play: CasePlay,
    ) -> Self {
        let began = clock.now();
        let CasePlay { target, first, is_mute, loses_reversal } = play;
        let (target, first) = (Some(target), Some(first));
        let state = PlayState { target, first, is_mute, loses_reversal, ..PlayState::default() };
        Self { adapter, far, terms, clock, began, host: None, state: Mutex::new(state) }
    }

    /// A channel that asks a real host.
    pub fn at_host(
        adapter: Arc<Declarative>,
        far: FarSide,
        terms: Arc<Terms>,
        clock: Clock,
        host: HostLine,
    ) -> Self {
        let (began, state) = (clock.now(), Mutex::default());
        Self { adapter, far, terms, clock, began, host: Some(host), state }
    }

    fn state(&self) -> MutexGuard<'_, PlayState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next payment is refused, or lost where the file has no word for that, whatever the case
    /// is about.
    pub fn fail_next_payment(&self) {
        self.state().fails_payment = true;
    }

    /// What became of an attempt at the channel.
    pub fn fact(&self, number: ChannelOrderNo) -> Fact {
        self.state().facts.get(&number).copied().unwrap_or(Fact::Absent)
    }

    /// What was exchanged, in its order, and what the file did not let the channel say.
    pub fn take_record(&self) -> (Vec<CaseExchange>, Vec<String>) {
        let mut state = self.state();
        (std::mem::take(&mut state.exchanges), std::mem::take(&mut state.unsayable))
    }

    /// A notice that the channel posts about an attempt; what it says becomes the truth, unless it
    /// is another's.
    pub fn notice(
        &self,
        number: ChannelOrderNo,
        saying: &Saying,
        signer: MessageSigner,
    ) -> Result<WireNotice, String> {
        let about = self.state().known.get(&number).cloned();
        let about = about.ok_or("the channel was never asked for this attempt")?;
        let now = self.clock.now();
        let settle_date = self.terms.calendar.date_of(now);
        let word = FarWord { about: &about, saying, settle_date, signer };
        let notice = self.far.notice(&word, now)?;
        if signer == MessageSigner::Channel {
            self.settle(number, saying.means);
        }
        Ok(notice)
    }

    /// Writes down a notice and what became of it.
    pub fn record_notice(&self, notice: &WireNotice, heard: String) {
        let text = self.adapter.notice_text(notice, self.clock.now());
        let shown = PageShown::of_notice(notice, text, &self.adapter.shared_keys());
        let at_ms = self.at_ms();
        self.state().exchanges.push(CaseExchange::notice(at_ms, shown, heard));
    }

    fn at_ms(&self) -> u64 {
        let since = self.clock.now().since(self.began);
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }

    fn settle(&self, number: ChannelOrderNo, means: ToldMeaning) {
        let fact = match means {
            ToldMeaning::Approved => Fact::Done,
            // Whoever is unsure may have acted: the harder half of the cases.
            ToldMeaning::Unclear => Fact::Done,
            ToldMeaning::Pending => Fact::Working,
            ToldMeaning::Declined(_) | ToldMeaning::NotFound => Fact::Refused,
            ToldMeaning::TakenBack => Fact::TakenBack,
        };
        self.state().facts.insert(number, fact);
    }

    /// The answer to the first request of an operation.
    fn begin(&self, request: &ChannelRequest) -> FirstAnswer {
        let facts = request.attempt().expect(NO_SERVICE);
        let number = facts.channel_order_no;
        let (meant, fails) = {
            let mut state = self.state();
            state.known.insert(number, facts.clone());
            let is_meant = state.target == Some(facts.operation);
            let meant = if is_meant { state.first.take() } else { None };
            let is_payment = facts.operation == Operation::Payment;
            (meant, is_payment && std::mem::take(&mut state.fails_payment))
        };
        let no = ToldMeaning::Declined(Reason::ChannelFailure);
        let usual: &[ToldMeaning] =
            if fails { &[no] } else { &[ToldMeaning::Approved, ToldMeaning::Pending] };
        let usual = || self.word_for(request, usual).map(FirstAnswer::Said);
        let otherwise = if fails { FirstAnswer::LostBefore } else { FirstAnswer::LostAfter };
        let answer = meant.or_else(usual).unwrap_or(otherwise);
        match &answer {
            FirstAnswer::Said(saying) => self.settle(number, saying.means),
            FirstAnswer::LostBefore => {}
            FirstAnswer::LostAfter | FirstAnswer::Status(_) | FirstAnswer::Forged(_) => {
                self.settle(number, ToldMeaning::Approved);
            }
        }
        answer
    }

    /// The word for a truth, the closest first.
    fn word_for(&self, request: &ChannelRequest, wanted: &[ToldMeaning]) -> Option<Saying> {
        let words = self.far.vocabulary(request);
        let is_like = |one: &Saying, wanted: &ToldMeaning| match (one.means, wanted) {
            (ToldMeaning::Declined(_), ToldMeaning::Declined(_)) => true,
            (means, wanted) => means == *wanted,
        };
        wanted.iter().find_map(|wanted| words.iter().find(|one| is_like(one, wanted)).cloned())
    }

    fn inquired(&self, request: &ChannelRequest) -> FirstAnswer {
        use ToldMeaning::{Approved, Declined, NotFound, Pending, TakenBack};
        let number = request.stated().channel_order_no;
        if self.state().is_mute {
            return FirstAnswer::LostAfter;
        }
        let no = Declined(Reason::ChannelFailure);
        let wanted: &[ToldMeaning] = match self.fact(number) {
            Fact::Absent => &[NotFound, no],
            Fact::Working => &[Pending, Approved],
            Fact::Done => &[Approved],
            Fact::Refused => &[no, NotFound],
            Fact::TakenBack => &[TakenBack, no, NotFound],
        };
        let found = self.word_for(request, wanted);
        if self.fact(number) == Fact::Working {
            self.settle(number, Approved);
        }
        found.map_or_else(|| self.mute(request), FirstAnswer::Said)
    }

    fn reversed(&self, request: &ChannelRequest) -> FirstAnswer {
        use ToldMeaning::{Approved, Declined, NotFound};
        let number = request.stated().channel_order_no;
        let no = Declined(Reason::ChannelFailure);
        let is_lost = {
            let mut state = self.state();
            state.reversals += 1;
            state.reversals == 1 && state.loses_reversal
        };
        let fact = self.fact(number);
        if matches!(fact, Fact::Done | Fact::Working) {
            self.settle(number, ToldMeaning::TakenBack);
        }
        if is_lost {
            return FirstAnswer::LostAfter;
        }
        let wanted: &[ToldMeaning] = match fact {
            Fact::Done | Fact::Working | Fact::TakenBack => &[Approved],
            Fact::Absent => &[NotFound, Approved],
            Fact::Refused => &[no, NotFound, Approved],
        };
        self.word_for(request, wanted).map_or_else(|| self.mute(request), FirstAnswer::Said)
    }

    /// The file has no word for what the channel would say.
    fn mute(&self, request: &ChannelRequest) -> FirstAnswer {
        let section = self.far.section(request).unwrap_or_else(|| request.name());
        let fact = self.fact(request.stated().channel_order_no);
        let text = format!("[http.{section}] has no word for an order that is {}", fact.words());
        self.state().unsayable.push(text);
        FirstAnswer::LostAfter
    }

    /// Asks the channel, outside of any order.
    pub async fn ask(&self, request: ChannelRequest) -> ReplyMeaning {
        self.exchange(request).await
    }

    async fn exchange(&self, request: ChannelRequest) -> ReplyMeaning {
        if let Some(host) = &self.host {
            return self.exchange_with_host(host, request).await;
        }
        let now = self.clock.now();
        let (wire, text) = match self.adapter.encode_with_text(&request, now) {
            Ok(written) => written,
            Err(error) => return self.unbuilt(&error),
        };
        let answer = match &request {
            ChannelRequest::Charge { .. } | ChannelRequest::FollowUp { .. } => self.begin(&request),
            ChannelRequest::Inquiry { .. } => self.inquired(&request),
            ChannelRequest::Reversal { .. } => self.reversed(&request),
            // Cases are of operations: the desk has no word for a service.
            ChannelRequest::Service { .. } => FirstAnswer::LostBefore,
        };
        let written = match &answer {
            FirstAnswer::LostBefore | FirstAnswer::LostAfter => None,
            FirstAnswer::Status(status) => Some(Ok(proxy_page(*status))),
            FirstAnswer::Said(saying) => Some(self.write(&request, saying, MessageSigner::Channel)),
            FirstAnswer::Forged(saying) => {
                Some(self.write(&request, saying, MessageSigner::Stranger))
            }
        };
        let reply = written.and_then(|written| {
            written.map_err(|problem| self.state().unsayable.push(problem)).ok()
        });
        let understood = match &reply {
            Some(reply) => self.adapter.decode(&request, reply, self.clock.now()),
            None => ReplyMeaning::new(Outcome::Unknown(UnknownCause::TimedOut), String::new()),
        };
        let sent = SentRequest { request: &request, wire: &wire, text, now };
        self.record(sent, reply.as_ref(), answer.words(), &understood);
        understood
    }

    /// Sends a request to the real host, once.
    async fn exchange_with_host(&self, host: &HostLine, request: ChannelRequest) -> ReplyMeaning {
        let adapter: &dyn Adapter = &*self.adapter;
        let credential = match fetched::ready(adapter, &host.transport, &host.clock).await {
            Ok(credential) => credential,
            Err(cause) => return ReplyMeaning::new(Outcome::NotSent(cause), String::new()),
        };
        let now = self.clock.now();
        let (wire, text) = match self.adapter.encode_with_text(&request, now) {
            Ok(written) => written,
            Err(error) => return self.unbuilt(&error),
        };
        let reply = host.transport.send(wire.clone()).await;
        let (happened, understood) = match &reply {
            Ok(reply) => {
                credential.heard(reply);
                let understood = adapter.decode(&request, reply, self.clock.now());
                ("the host answers".to_owned(), understood)
            }
            Err(failure) => {
                let meaning = ReplyMeaning::new(failure.outcome(), String::new());
                (failure.to_string(), meaning)
            }
        };
        let sent = SentRequest { request: &request, wire: &wire, text, now };
        self.record(sent, reply.as_ref().ok(), happened, &understood);
        understood
    }

    fn unbuilt(&self, error: &EncodeError) -> ReplyMeaning {
        self.state().unsayable.push(error.to_string());
        ReplyMeaning::new(Outcome::NotSent(NotSentCause::NotEncodable), String::new())
    }

    /// Everything that may not be shown: shared keys, and at a host the real credentials.
    fn secrets(&self) -> Vec<Vec<u8>> {
        let shared = self.adapter.shared_keys().into_iter().map(<[u8]>::to_vec);
        let real = self.host.iter().flat_map(|host| host.secrets.iter().cloned());
        let fetched = self.adapter.credential_supply().and_then(|supply| supply.slot().kept());
        let fetched = fetched.map(|kept| kept.text.as_bytes().to_vec());
        shared.chain(real).chain(fetched).collect()
    }

    fn record(
        &self,
        sent: SentRequest<'_>,
        reply: Option<&WireReply>,
        happened: String,
        understood: &ReplyMeaning,
    ) {
        let SentRequest { request, wire, text, now } = sent;
        let secrets = self.secrets();
        let keys: Vec<&[u8]> = secrets.iter().map(Vec::as_slice).collect();
        let observed = Observed { request, wire, sent_text: text, keys: &keys };
        let text = reply.and_then(|reply| self.adapter.reply_text(request, reply, now));
        let came = reply.map(|reply| PageShown::of_reply(&observed, reply, text));
        let heard = match &understood.objection {
            Some(objection) => format!("{}: {objection}", understood.outcome.name()),
            None => understood.outcome.name().to_owned(),
        };
        let at_ms = u64::try_from(now.since(self.began).as_millis()).unwrap_or(u64::MAX);
        let took = self.clock.now().since(now);
        let one = CaseExchange::of((at_ms, took), &observed, came, happened, heard);
        self.state().exchanges.push(one);
    }

    fn write(
        &self,
        request: &ChannelRequest,
        saying: &Saying,
        signer: MessageSigner,
    ) -> Result<WireReply, String> {
        let now = self.clock.now();
        let settle_date = self.terms.calendar.date_of(now);
        let word =
            FarWord { about: request.attempt().expect(NO_SERVICE), saying, settle_date, signer };
        self.far.reply(request, &word, now)
    }
}

impl Fact {
    /// As part of a sentence: an order that is …
    pub const fn words(self) -> &'static str {
        match self {
            Self::Absent => "not there",
            Self::Working => "being worked on",
            Self::Done => "carried out",
            Self::Refused => "refused",
            Self::TakenBack => "taken back",
        }
    }
}

impl FirstAnswer {
    fn words(&self) -> String {
        match self {
            Self::Said(saying) => format!("the channel says {}", saying.words()),
            Self::LostBefore => "the request is lost before the channel acts".to_owned(),
            Self::LostAfter => "no answer comes; the channel has acted".to_owned(),
            Self::Status(status) => format!("the channel has acted; HTTP {status} comes"),
            Self::Forged(saying) => format!("{} comes, signed by a stranger", saying.words()),
        }
    }
}

fn proxy_page(status: u16) -> WireReply {
    let body = Bytes::from_static(b"<html><body>upstream error</body></html>");
    WireReply { status, headers: HeaderMap::new(), body }
}

impl CaseAnswers for DeskChannel {
    fn answer(&self, request: ChannelRequest) -> ChannelFuture<'_, ReplyMeaning> {
        Box::pin(self.exchange(request))
    }
}
