//! A channel on a desk: what the file's adapter asks goes to the channel's own side, and a ledger
//! between them says what truly happened.
//!
//! What is asked is carried out first, and then its answer is lost, spoilt or said: what happened
//! and what we hear are two things.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::certify::exchange::{CaseExchange, PageShown};
use crate::certify::far_side::{
    Exchanged, FarAnswer, FarMoment, FarProblem, FarSide, HostLine, LateReversalAnswer, Unasked,
};
use crate::certify::only::CaseAnswers;
use crate::channel::protocol::said::{FarWord, MessageSigner, Saying, ToldMeaning};
use crate::channel::{AttemptFacts, ChannelFuture, ChannelRequest, EncodeError, ReplyMeaning};
use crate::clock::Clock;
use crate::domain::attempt::Operation;
use crate::domain::card_service::CardService;
use crate::domain::ids::ChannelOrderNo;
use crate::domain::outcome::{NotSentCause, Outcome, Reason};
use crate::domain::terms::Terms;
use crate::domain::time::Timestamp;

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

/// What is said, beside the answer to the request itself, once.
#[derive(Debug, Clone)]
pub enum LaterWord {
    /// To the first inquiry.
    Inquiry(Saying),
    /// To the first inquiry, by somebody else.
    ForgedInquiry(Saying),
    /// To the first reversal; no inquiry is answered before it.
    Reversal(Saying),
    /// Nothing: the answer to the first reversal is lost, and no inquiry is answered.
    LostReversal,
    /// To the first reversal, when its call has ended; nothing is answered before it.
    LateReversal(Saying),
}

impl LaterWord {
    /// Whether no inquiry is answered before a reversal was asked for.
    pub const fn mutes_inquiries(&self) -> bool {
        match self {
            Self::Inquiry(_) | Self::ForgedInquiry(_) => false,
            Self::Reversal(_) | Self::LostReversal | Self::LateReversal(_) => true,
        }
    }
}

/// What a case is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CaseTarget {
    Operation(Operation),
    Service(CardService),
}

impl CaseTarget {
    /// Whether it is what a request asks for, and not one about it.
    fn is_asked_by(self, request: &ChannelRequest) -> bool {
        match request {
            ChannelRequest::Charge { facts, .. } | ChannelRequest::FollowUp { facts, .. } => {
                self == Self::Operation(facts.operation)
            }
            ChannelRequest::Service { facts, .. } => self == Self::Service(facts.service),
            ChannelRequest::Inquiry { .. } | ChannelRequest::Reversal { .. } => false,
        }
    }
}

/// The play of one case.
#[derive(Debug, Clone)]
pub struct CasePlay {
    pub target: CaseTarget,
    /// What becomes of the first request that the case is about.
    pub first: FarAnswer,
    pub later: Option<LaterWord>,
}

#[derive(Default)]
struct PlayState {
    target: Option<CaseTarget>,
    /// Taken by the first request that the case is about.
    first: Option<FarAnswer>,
    later: Option<LaterWord>,
    is_mute: bool,
    facts: BTreeMap<ChannelOrderNo, Fact>,
    known: BTreeMap<ChannelOrderNo, AttemptFacts>,
    fails_payment: bool,
    record: CaseRecord,
}

/// What a case has shown.
#[derive(Default)]
pub struct CaseRecord {
    /// In their order.
    pub exchanges: Vec<CaseExchange>,
    /// What the file does not let the channel say.
    pub unsayable: Vec<String>,
    /// What the channel's side does not take from us.
    pub refused: Vec<String>,
}

/// The channel of one case.
pub struct DeskChannel {
    pub far: Box<dyn FarSide>,
    terms: Arc<Terms>,
    clock: Clock,
    began: Timestamp,
    /// Where a real host answers instead of the far side.
    host: Option<HostLine>,
    state: Mutex<PlayState>,
}

impl DeskChannel {
    /// `None`: everything goes its usual way.
    pub fn new(
        far: Box<dyn FarSide>,
        terms: Arc<Terms>,
        clock: Clock,
        play: Option<CasePlay>,
    ) -> Self {
        let began = clock.now();
        let Some(CasePlay { target, first, later }) = play else {
            return Self { far, terms, clock, began, host: None, state: Mutex::default() };
        };
        let is_mute = later.as_ref().is_some_and(LaterWord::mutes_inquiries);
        let (target, first) = (Some(target), Some(first));
        let state = PlayState { target, first, later, is_mute, ..PlayState::default() };
        Self { far, terms, clock, began, host: None, state: Mutex::new(state) }
    }

    /// A channel that asks a real host.
    pub fn at_host(far: Box<dyn FarSide>, terms: Arc<Terms>, clock: Clock, host: HostLine) -> Self {
        let (began, state) = (clock.now(), Mutex::default());
        Self { far, terms, clock, began, host: Some(host), state }
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

    /// What was shown since the last call.
    pub fn take_record(&self) -> CaseRecord {
        std::mem::take(&mut self.state().record)
    }

    /// Words about an attempt that nobody asked for; what they say becomes the truth, unless they
    /// are another's. The error says why the channel cannot say them.
    pub fn tell(
        &self,
        number: ChannelOrderNo,
        saying: &Saying,
        signer: MessageSigner,
    ) -> Result<Unasked, String> {
        let about = self.state().known.get(&number).cloned();
        let about = about.ok_or("the channel was never asked for this attempt")?;
        let FarMoment { now, settle_date } = self.moment();
        let word = FarWord { saying, settle_date, signer };
        let told = self.far.tell(&about, &word, now).map_err(|problem| match problem {
            FarProblem::Unsayable(words) | FarProblem::Refused(words) => words,
        })?;
        if signer == MessageSigner::Channel {
            self.settle(number, saying.means);
        }
        Ok(told)
    }

    /// The answer to the first reversal of an attempt, after its call. The error says why the
    /// channel cannot give it. From here on reversals are answered as they come.
    pub fn answer_reversal(
        &self,
        number: ChannelOrderNo,
        saying: &Saying,
        signer: MessageSigner,
    ) -> Result<LateReversalAnswer, String> {
        self.state().later = None;
        let FarMoment { now, settle_date } = self.moment();
        let word = FarWord { saying, settle_date, signer };
        self.far.answer_reversal(number, &word, now).map_err(|problem| match problem {
            FarProblem::Unsayable(words) | FarProblem::Refused(words) => words,
        })
    }

    /// Writes down what was told unasked, or late, and what became of it.
    pub fn record_told(&self, what: &str, shown: PageShown, heard: String) {
        let one = CaseExchange::unasked(self.at_ms(), what, shown, heard);
        self.state().record.exchanges.push(one);
    }

    fn at_ms(&self) -> u64 {
        let since = self.clock.now().since(self.began);
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }

    fn moment(&self) -> FarMoment {
        let now = self.clock.now();
        FarMoment { now, settle_date: self.terms.calendar.date_of(now) }
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

    fn decide(&self, request: &ChannelRequest) -> FarAnswer {
        match request {
            ChannelRequest::Charge { .. } | ChannelRequest::FollowUp { .. } => self.begin(request),
            ChannelRequest::Inquiry { .. } => self.inquired(request),
            ChannelRequest::Reversal { .. } => self.reversed(request),
            ChannelRequest::Service { facts, .. } if facts.service.is_inquiry() => {
                self.inquired(request)
            }
            ChannelRequest::Service { .. } => self.begin(request),
        }
    }

    /// The answer to the first request for something.
    fn begin(&self, request: &ChannelRequest) -> FarAnswer {
        let number = request.stated().channel_order_no;
        let (meant, fails) = {
            let mut state = self.state();
            if let Some(facts) = request.attempt() {
                state.known.insert(number, facts.clone());
            }
            let is_meant = state.target.is_some_and(|target| target.is_asked_by(request));
            let meant = if is_meant { state.first.take() } else { None };
            let is_payment = CaseTarget::Operation(Operation::Payment).is_asked_by(request);
            (meant, is_payment && std::mem::take(&mut state.fails_payment))
        };
        let no = ToldMeaning::Declined(Reason::ChannelFailure);
        let usual: &[ToldMeaning] =
            if fails { &[no] } else { &[ToldMeaning::Approved, ToldMeaning::Pending] };
        let usual = || self.word_for(request, usual).map(FarAnswer::Said);
        let otherwise = if fails { FarAnswer::LostBefore } else { FarAnswer::LostAfter };
        let answer = meant.or_else(usual).unwrap_or(otherwise);
        match &answer {
            FarAnswer::Said(saying) => self.settle(number, saying.means),
            FarAnswer::LostBefore => {}
            FarAnswer::LostAfter | FarAnswer::Status(_) | FarAnswer::Forged(_) => {
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

    /// Whether a request asks about what the case is about.
    fn is_about_target(state: &PlayState, request: &ChannelRequest) -> bool {
        let about = match request {
            ChannelRequest::Charge { facts, .. }
            | ChannelRequest::FollowUp { facts, .. }
            | ChannelRequest::Inquiry { facts, .. }
            | ChannelRequest::Reversal { facts, .. } => CaseTarget::Operation(facts.operation),
            // The one inquiry about a service is about a binding.
            ChannelRequest::Service { facts, .. } if facts.service.is_inquiry() => {
                CaseTarget::Service(CardService::AgreementConfirmation)
            }
            ChannelRequest::Service { facts, .. } => CaseTarget::Service(facts.service),
        };
        state.target == Some(about)
    }

    fn inquired(&self, request: &ChannelRequest) -> FarAnswer {
        use ToldMeaning::{Approved, Declined, NotFound, Pending, TakenBack};
        let number = request.stated().channel_order_no;
        let meant = {
            let mut state = self.state();
            let is_about = Self::is_about_target(&state, request);
            if is_about && state.is_mute {
                return FarAnswer::LostAfter;
            }
            match state.later.take_if(|_| is_about) {
                Some(LaterWord::Inquiry(saying)) => Some(saying),
                Some(LaterWord::ForgedInquiry(saying)) => return FarAnswer::Forged(saying),
                Some(other) => {
                    state.later = Some(other);
                    None
                }
                None => None,
            }
        };
        if let Some(saying) = meant {
            if saying.means != NotFound {
                self.settle(number, saying.means);
            }
            return FarAnswer::Said(saying);
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
        found.map_or_else(|| self.mute(request), FarAnswer::Said)
    }

    fn reversed(&self, request: &ChannelRequest) -> FarAnswer {
        use ToldMeaning::{Approved, Declined, NotFound, Pending, TakenBack, Unclear};
        let number = request.stated().channel_order_no;
        let no = Declined(Reason::ChannelFailure);
        let fact = self.fact(number);
        let is_there = matches!(fact, Fact::Done | Fact::Working);
        // What the channel makes of it, and whether its answer is lost.
        let meant = {
            let mut state = self.state();
            let is_about = Self::is_about_target(&state, request);
            match state.later.take_if(|_| is_about) {
                Some(LaterWord::Reversal(saying)) => {
                    state.is_mute = false;
                    Some((Some(saying), false))
                }
                Some(LaterWord::LostReversal) => Some((None, true)),
                // The same is made of each that is sent until it is answered.
                Some(LaterWord::LateReversal(saying)) => {
                    state.later = Some(LaterWord::LateReversal(saying.clone()));
                    Some((Some(saying), true))
                }
                Some(other) => {
                    state.later = Some(other);
                    None
                }
                None => None,
            }
        };
        let said = meant.as_ref().and_then(|(saying, _)| saying.as_ref());
        let takes = said.is_none_or(|saying| match saying.means {
            Approved | TakenBack | Pending | Unclear => true,
            Declined(_) | NotFound => false,
        });
        if is_there && takes {
            self.settle(number, TakenBack);
        }
        match meant {
            Some((Some(saying), false)) => return FarAnswer::Said(saying),
            Some((_, _)) => return FarAnswer::LostAfter,
            None => {}
        }
        let wanted: &[ToldMeaning] = match fact {
            Fact::Done | Fact::Working | Fact::TakenBack => &[Approved],
            Fact::Absent => &[NotFound, Approved],
            Fact::Refused => &[no, NotFound, Approved],
        };
        self.word_for(request, wanted).map_or_else(|| self.mute(request), FarAnswer::Said)
    }

    /// The file has no word for what the channel would say.
    fn mute(&self, request: &ChannelRequest) -> FarAnswer {
        let place = self.far.place(request).unwrap_or_else(|| request.name().to_owned());
        let fact = self.fact(request.stated().channel_order_no);
        let text = format!("{place} has no word for an order that is {}", fact.words());
        self.state().record.unsayable.push(text);
        FarAnswer::LostAfter
    }

    /// Asks the channel, outside of any order.
    pub async fn ask(&self, request: ChannelRequest) -> ReplyMeaning {
        self.exchange(request).await
    }

    async fn exchange(&self, request: ChannelRequest) -> ReplyMeaning {
        let at = self.moment();
        let exchanged = match self.host.as_ref().zip(self.far.http()) {
            Some((host, side)) => host.exchange(side, &request).await,
            None => self.exchange_here(&request, at),
        };
        let (exchanged, happened) = match exchanged {
            Ok(exchanged) => exchanged,
            Err(error) => {
                self.state().record.unsayable.push(error.to_string());
                let cause = Outcome::NotSent(NotSentCause::NotEncodable);
                return ReplyMeaning::new(cause, String::new());
            }
        };
        let Exchanged { sent, came, understood, problem } = exchanged;
        let heard = match &understood.objection {
            Some(objection) => format!("{}: {objection}", understood.outcome.name()),
            None => understood.outcome.name().to_owned(),
        };
        let at_ms = u64::try_from(at.now.since(self.began).as_millis()).unwrap_or(u64::MAX);
        let took = self.clock.now().since(at.now);
        let one = CaseExchange::of((at_ms, took), &request, (sent, came), (happened, heard));
        let record = &mut self.state().record;
        record.exchanges.push(one);
        match problem {
            Some(FarProblem::Unsayable(words)) => record.unsayable.push(words),
            Some(FarProblem::Refused(words)) => record.refused.push(words),
            None => {}
        }
        understood
    }

    /// Asks the channel's own side; the text says what happened.
    fn exchange_here(
        &self,
        request: &ChannelRequest,
        at: FarMoment,
    ) -> Result<(Exchanged, String), EncodeError> {
        let mut happened = String::new();
        let exchanged = self.far.exchange(request, at, &mut || {
            let answer = self.decide(request);
            happened = answer.words();
            answer
        })?;
        Ok((exchanged, happened))
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

impl CaseAnswers for DeskChannel {
    fn answer(&self, request: ChannelRequest) -> ChannelFuture<'_, ReplyMeaning> {
        Box::pin(self.exchange(request))
    }
}
