//! The cases of a file: every operation by everything that can be said of it, and everything that
//! can become of its messages.

mod agreements;
mod answers;
mod late_reversals;
mod services;
mod unasked;

use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use crate::certify::case::{BooksSeen, CaseReport, FirstTruth, judge_end, judge_first};
use crate::certify::channel::{CasePlay, CaseRecord, CaseTarget, DeskChannel, Fact, LaterWord};
use crate::certify::desk::{CaseInstrument, CaseSubject};
use crate::certify::far_side::{FarAnswer, FarSide, LinkOpening, OwnExchange};
use crate::certify::rehearsal::Rehearsal;
use crate::certify::report::{CertifyReport, LeftOut};
use crate::certify::stage::{RehearsalClock, RehearsalStage};
use crate::channel::ChannelRequest;
use crate::channel::file::Ability;
use crate::channel::protocol::said::{Saying, ToldMeaning};
use crate::channel::protocol::sample::{sample_now, sample_requests, sample_token};
use crate::clock::Clock;
use crate::domain::attempt::Operation;
use crate::domain::instrument::{Instrument, InstrumentKind};
use crate::domain::order::{Order, OrderKind, OrderStatus};
use crate::domain::payee_account::AccountKind;
use crate::domain::terms::{AfterInquiry, Terms};
use crate::engine::EngineError;

use self::unasked::UnaskedTurn;

/// Plays every case of the file.
pub async fn play_all(rehearsal: &Rehearsal) -> CertifyReport {
    let id = rehearsal.file.id.as_str();
    let mut report = CertifyReport::new(id, &rehearsal.name);
    open_link(rehearsal, &mut report);
    for operation in Operation::ALL {
        if !rehearsal.file.abilities.can(Ability::of(operation)) {
            continue;
        }
        let player = CasePlayer::of(rehearsal, operation);
        player.play_answers(&mut report).await;
        player.play_inquiries(&mut report).await;
        player.play_reversals(&mut report).await;
        player.play_late_reversals(&mut report).await;
        player.play_unasked(&mut report).await;
        if operation == Operation::Payout {
            player.play_payees(&mut report).await;
        }
        if let Some(player) = player.by_agreement() {
            player.play_second_way(&mut report).await;
        }
    }
    agreements::play_agreements(rehearsal, &mut report).await;
    services::play_services(rehearsal, &mut report).await;
    report
}

/// The cases of a link itself, which brings the keys that all others need.
fn open_link(rehearsal: &Rehearsal, report: &mut CertifyReport) {
    for LinkOpening { name, exchanges } in rehearsal.open_link().into_iter().flatten() {
        if exchanges.is_empty() {
            report.leave_out(LeftOut::new("link", name, "the file has none"));
        }
        for OwnExchange { exchange, problem } in exchanges {
            let mut case = CaseReport::unplayed("link", name, problem.into_iter().collect());
            "the channel takes it, and we its answer".clone_into(&mut case.expected);
            case.exchanges.push(exchange);
            report.cases.push(case);
        }
    }
}

/// A case before it is played.
struct CaseScript {
    name: String,
    play: CasePlay,
    then: UnaskedTurn,
}

/// Plays the cases of one operation.
struct CasePlayer<'r> {
    rehearsal: &'r Rehearsal,
    operation: Operation,
    /// The kind of account that payouts go to; `None` where they go to a card.
    payee_kind: Option<AccountKind>,
    /// Paid by an agreement, where the usual way is another one.
    by_agreement: bool,
}

impl<'r> CasePlayer<'r> {
    fn of(rehearsal: &'r Rehearsal, operation: Operation) -> Self {
        let payee_kind = rehearsal.subject().payee_kind;
        Self { rehearsal, operation, payee_kind, by_agreement: false }
    }

    /// The player of the same operation by an agreement, where the file takes that beside a card.
    fn by_agreement(&self) -> Option<Self> {
        let kinds = &self.rehearsal.file.abilities.instruments;
        let takes_both = [InstrumentKind::Card, InstrumentKind::Agreement]
            .into_iter()
            .all(|kind| kinds.contains(&kind));
        let pays = matches!(self.operation, Operation::Payment | Operation::Preauth);
        (takes_both && pays).then_some(Self { by_agreement: true, ..*self })
    }

    /// The operation, and what it is paid by where that is not the usual way.
    fn group(&self) -> String {
        let name = self.operation.name();
        if self.by_agreement { format!("{name} by agreement") } else { name.to_owned() }
    }

    fn far(&self) -> Box<dyn FarSide> {
        self.rehearsal.far_side()
    }

    fn terms(&self) -> &Terms {
        &self.rehearsal.file.terms
    }

    /// A made-up request of the operation, by which the file's words for it are found.
    fn sample(&self) -> ChannelRequest {
        let mut sample = self.sample_of(|request| {
            matches!(request, ChannelRequest::Charge { .. } | ChannelRequest::FollowUp { .. })
        });
        if let (true, ChannelRequest::Charge { instrument, .. }) = (self.by_agreement, &mut sample)
        {
            let by_token = Instrument::Agreement { token: sample_token(), sms_code: None };
            *instrument = Arc::new(by_token);
        }
        sample
    }

    fn sample_inquiry(&self) -> ChannelRequest {
        self.sample_of(|request| matches!(request, ChannelRequest::Inquiry { .. }))
    }

    fn sample_reversal(&self) -> ChannelRequest {
        self.sample_of(|request| matches!(request, ChannelRequest::Reversal { .. }))
    }

    fn sample_of(&self, is_such: fn(&ChannelRequest) -> bool) -> ChannelRequest {
        let is_it = |request: &ChannelRequest| {
            let of_it = request.attempt().is_some_and(|facts| facts.operation == self.operation);
            of_it && is_such(request)
        };
        let found = sample_requests(sample_now()).into_iter().find(is_it);
        found.expect("there is a request, an inquiry and a reversal of every operation")
    }

    fn play(&self, first: FarAnswer, later: Option<LaterWord>) -> CasePlay {
        CasePlay { target: CaseTarget::Operation(self.operation), first, later }
    }

    fn script(&self, name: &str, first: FarAnswer, later: Option<LaterWord>) -> CaseScript {
        CaseScript { name: name.to_owned(), play: self.play(first, later), then: UnaskedTurn::None }
    }

    fn leave_out(&self, report: &mut CertifyReport, name: &str, why: &str) {
        report.leave_out(LeftOut::new(&self.group(), name, why));
    }

    async fn run(&self, script: CaseScript) -> CaseReport {
        let first = FirstTruth::of(&script.play.first, self.operation);
        let mut case = CaseReport {
            group: self.group(),
            name: script.name.clone(),
            expected: format!("{}; at the end what truly happened", first.words()),
            books: None,
            wrong: Vec::new(),
            notes: Vec::new(),
            exchanges: Vec::new(),
        };
        let stage = self.stage(script.play.clone());
        match self.perform(&stage, &script, first, &mut case).await {
            Ok(()) => {}
            Err(error) => case.wrong.push(format!("the engine refuses: {error}")),
        }
        close(&stage, case)
    }

    fn stage(&self, play: CasePlay) -> RehearsalStage {
        let mut subject = self.rehearsal.subject();
        subject.payee_kind = self.payee_kind;
        if self.by_agreement {
            subject.instrument = CaseInstrument::Agreement(sample_token());
        }
        stage_of(self.rehearsal, subject, self.terms().clone(), Some(play))
    }

    /// The order that the case is about, after its first answer. An original comes before it.
    async fn begin(&self, stage: &RehearsalStage) -> Result<Result<Order, String>, EngineError> {
        let original = |kind| async move {
            let begun = stage.charge(kind).await?;
            let order = stage.drain(begun.id).await?;
            let is_good = order.status == OrderStatus::Succeeded;
            Ok::<_, EngineError>(if is_good {
                Ok(order)
            } else {
                Err(format!("its original is {}, not succeeded", order.status.name()))
            })
        };
        Ok(match self.operation {
            Operation::Payment => Ok(stage.charge(OrderKind::Payment).await?),
            Operation::Preauth => Ok(stage.charge(OrderKind::Preauth).await?),
            Operation::Payout => Ok(stage.pay_out().await?),
            Operation::Capture => match original(OrderKind::Preauth).await? {
                Ok(of) => Ok(stage.follow_up(&of, OrderKind::Capture { of: of.id }).await?),
                Err(problem) => Err(problem),
            },
            Operation::Refund => match original(OrderKind::Payment).await? {
                Ok(of) => Ok(stage.follow_up(&of, OrderKind::Refund { of: of.id }).await?),
                Err(problem) => Err(problem),
            },
            Operation::Void => match original(OrderKind::Payment).await? {
                Ok(of) => Ok(stage.follow_up(&of, OrderKind::Void { of: of.id }).await?),
                Err(problem) => Err(problem),
            },
            Operation::Undo => return self.begin_undo(stage).await,
        })
    }

    /// An undo is owed for a success that the books do not have: of a payment that never arrived.
    async fn begin_undo(
        &self,
        stage: &RehearsalStage,
    ) -> Result<Result<Order, String>, EngineError> {
        stage.channel.fail_next_payment();
        let payment = stage.charge(OrderKind::Payment).await?;
        let payment = stage.drain(payment.id).await?;
        if !payment.status.is_final() {
            return Ok(Err("no payment can be brought to fail, so no undo is owed".to_owned()));
        }
        let Some(undo) = stage.claim_success(&payment).await? else {
            return Ok(Err("a success against the books owes no undo".to_owned()));
        };
        stage.work_once(undo).await?;
        Ok(Ok(stage.order(undo).await?))
    }

    async fn perform(
        &self,
        stage: &RehearsalStage,
        script: &CaseScript,
        first: FirstTruth,
        case: &mut CaseReport,
    ) -> Result<(), EngineError> {
        let order = match self.begin(stage).await? {
            Ok(order) => order,
            Err(problem) => {
                case.wrong.push(problem);
                return Ok(());
            }
        };
        case.wrong.extend(judge_first(&BooksSeen::of(stage, &order).await?, first));
        let told = match &script.play.later {
            Some(LaterWord::Inquiry(saying)) => Some(FirstTruth::of_word(saying, self.operation)),
            Some(LaterWord::ForgedInquiry(_)) => Some(FirstTruth::Open),
            Some(LaterWord::Reversal(_) | LaterWord::LostReversal | LaterWord::LateReversal(_))
            | None => None,
        };
        if let Some(truth) = told {
            stage.work_next(order.id).await?;
            let after = stage.order(order.id).await?;
            case.wrong.extend(judge_first(&BooksSeen::of(stage, &after).await?, truth));
        }
        self.early_word(stage, script, order.id, case).await?;
        self.late_reversal(stage, script, order.id, case).await?;
        stage.pass(Duration::from_millis(1));
        let order = stage.drain(order.id).await?;
        let attempt = order.attempts.last().map_or(1, |attempt| attempt.number);
        let fact = stage.channel.fact(order.channel_order_no(attempt));
        let books = BooksSeen::of(stage, &order).await?;
        let is_mute =
            matches!(script.play.later, Some(LaterWord::LostReversal | LaterWord::LateReversal(_)));
        let can_end = self.can_end(fact, is_mute);
        case.wrong.extend(judge_end(&books, fact, self.operation, can_end));
        if !order.status.is_final() {
            let by_itself = self.far().unasked();
            case.notes.push(format!("a {by_itself}, a statement or an operator ends it"));
        }
        case.books = Some(books.into());
        self.late_word(stage, script, &order, case).await
    }

    /// Whether an inquiry or a reversal can tell this truth; an answer that never comes is waited
    /// for by other ways.
    fn can_end(&self, fact: Fact, is_mute: bool) -> bool {
        let (terms, far) = (self.terms(), self.far());
        let tells_of = |request: &ChannelRequest, wanted: fn(ToldMeaning) -> bool| {
            far.vocabulary(request).iter().any(|word| wanted(word.means))
        };
        if is_mute || terms.inquire.is_empty() {
            return self.reverses()
                && matches!(fact, Fact::TakenBack | Fact::Absent)
                && tells_of(&self.sample_reversal(), |means| means == ToldMeaning::Approved);
        }
        if self.operation == Operation::Undo && fact != Fact::Done {
            return false;
        }
        let inquiry = self.sample_inquiry();
        match fact {
            Fact::Done | Fact::Working => {
                tells_of(&inquiry, |means| means == ToldMeaning::Approved)
            }
            Fact::Absent => tells_of(&inquiry, |means| means == ToldMeaning::NotFound),
            Fact::Refused => tells_of(&inquiry, |means| matches!(means, ToldMeaning::Declined(_))),
            Fact::TakenBack => tells_of(&inquiry, |means| means == ToldMeaning::TakenBack),
        }
    }

    /// Whether the file has what is unknown of this operation reversed.
    fn reverses(&self) -> bool {
        self.terms().can_reverse(self.operation) && self.terms().then == AfterInquiry::Reverse
    }
}

/// The stage of one case about such orders, on these terms.
fn stage_of(
    rehearsal: &Rehearsal,
    subject: CaseSubject,
    terms: Terms,
    play: Option<CasePlay>,
) -> RehearsalStage {
    let hand = Arc::new(AtomicI64::new(sample_now().as_millis()));
    let clock = Clock::Manual(Arc::clone(&hand));
    let terms = Arc::new(terms);
    let channel = DeskChannel::new(rehearsal.far_side(), Arc::clone(&terms), clock, play);
    RehearsalStage::new(channel, terms, RehearsalClock::Hand(hand), subject)
}

/// The case with everything that its channel has shown.
fn close(stage: &RehearsalStage, mut case: CaseReport) -> CaseReport {
    let CaseRecord { exchanges, unsayable, refused } = stage.channel.take_record();
    case.exchanges = exchanges;
    case.notes.extend(unsayable);
    case.wrong.extend(refused);
    case
}

fn meaning(means: ToldMeaning) -> String {
    match means {
        ToldMeaning::Approved => "approved".to_owned(),
        ToldMeaning::Declined(reason) => format!("declined ({})", reason.name()),
        ToldMeaning::Pending => "pending".to_owned(),
        ToldMeaning::Unclear => "unclear".to_owned(),
        ToldMeaning::NotFound => "not found".to_owned(),
        ToldMeaning::TakenBack => "taken back".to_owned(),
    }
}

/// What an answer says; what is not believed says nothing.
const fn told(first: &FarAnswer) -> ToldMeaning {
    match first {
        FarAnswer::Said(Saying { means, .. }) => *means,
        FarAnswer::LostBefore
        | FarAnswer::LostAfter
        | FarAnswer::Status(_)
        | FarAnswer::Forged(_) => ToldMeaning::Unclear,
    }
}

/// The two cases of a request that says in another way what others are played by: the first of the
/// wanted words that the file has, and none.
fn said_first(words: &[Saying], wanted: &[ToldMeaning]) -> Vec<(String, FarAnswer)> {
    let said = wanted.iter().find_map(|means| words.iter().find(|word| word.means == *means));
    let said = said.map(|said| (named(said), FarAnswer::Said(said.clone())));
    let lost = ("time-out after the channel acted".to_owned(), FarAnswer::LostAfter);
    said.into_iter().chain([lost]).collect()
}

/// The name of a case about one word.
fn named(saying: &Saying) -> String {
    format!("{}: {}", meaning(saying.means), saying.words())
}
