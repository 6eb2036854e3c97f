//! The cases of a file: every operation by everything that can be said of it, and everything that
//! can become of its messages.

use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use crate::certify::Rehearsal;
use crate::certify::case::{BooksSeen, CaseReport, FirstTruth, judge_end, judge_first};
use crate::certify::channel::{CasePlay, DeskChannel, Fact, FirstAnswer};
use crate::certify::report::{CertifyReport, LeftOut};
use crate::certify::stage::{RehearsalClock, RehearsalStage};
use crate::channel::file::Ability;
use crate::channel::protocol::declarative::far_side::{MessageSigner, Saying, ToldMeaning};
use crate::channel::protocol::sample::{sample_facts, sample_now, sample_requests};
use crate::channel::{Adapter, ChannelRequest};
use crate::clock::Clock;
use crate::domain::card_service::CardService;
use crate::domain::flow::attempt::Operation;
use crate::domain::flow::order::{Order, OrderKind, OrderStatus};
use crate::domain::ids::OrderId;
use crate::domain::terms::AfterInquiry;
use crate::domain::write_set::ReportedEnd;
use crate::engine::EngineError;

/// Plays every case of the file.
pub async fn play_all(rehearsal: &Rehearsal) -> CertifyReport {
    let id = rehearsal.file.id.as_str();
    let mut report = CertifyReport::new(id, &rehearsal.name);
    for operation in Operation::ALL {
        if !rehearsal.file.abilities.can(Ability::of(operation)) {
            continue;
        }
        let player = CasePlayer { rehearsal, operation };
        player.play_answers(&mut report).await;
        if operation.begins_with_card() {
            player.play_notices(&mut report).await;
            player.play_lost_reversal(&mut report).await;
        }
    }
    leave_out_services(rehearsal, &mut report);
    report
}

/// Says which services of the file are in no case.
pub fn leave_out_services(rehearsal: &Rehearsal, report: &mut CertifyReport) {
    for service in CardService::ALL {
        if rehearsal.file.abilities.can(Ability::of_service(service)) {
            let why = "a service is in no books; its golden samples are held against the file";
            report.leave_out(LeftOut::new(service.name(), "every case", why));
        }
    }
}

/// A case before it is played.
struct CaseScript {
    name: String,
    play: CasePlay,
    then: NoticeTurn,
}

/// The notice that comes beside the answers.
#[derive(Debug, Clone)]
enum NoticeTurn {
    None,
    /// While the end is open; a second time where it says so.
    Early {
        saying: Saying,
        again: bool,
    },
    /// After the end.
    Late(Saying),
    /// After the end, against it.
    Against(Saying),
    Forged(Saying),
}

/// Plays the cases of one operation.
struct CasePlayer<'r> {
    rehearsal: &'r Rehearsal,
    operation: Operation,
}

impl CasePlayer<'_> {
    /// A made-up request of the operation, by which the file's words for it are found.
    fn sample(&self) -> ChannelRequest {
        self.sample_of(|request| {
            matches!(request, ChannelRequest::Charge { .. } | ChannelRequest::FollowUp { .. })
        })
    }

    fn sample_inquiry(&self) -> ChannelRequest {
        self.sample_of(|request| matches!(request, ChannelRequest::Inquiry { .. }))
    }

    fn sample_of(&self, is_such: fn(&ChannelRequest) -> bool) -> ChannelRequest {
        let is_it = |request: &ChannelRequest| {
            let of_it = request.attempt().is_some_and(|facts| facts.operation == self.operation);
            of_it && is_such(request)
        };
        let found = sample_requests(sample_now()).into_iter().find(is_it);
        found.expect("there is a request, an inquiry and a reversal of every operation")
    }

    fn play(&self, first: FirstAnswer) -> CasePlay {
        CasePlay { target: self.operation, first, is_mute: false, loses_reversal: false }
    }

    fn script(&self, name: &str, first: FirstAnswer) -> CaseScript {
        CaseScript { name: name.to_owned(), play: self.play(first), then: NoticeTurn::None }
    }

    /// Everything that the answer to the request can be.
    async fn play_answers(&self, report: &mut CertifyReport) {
        let far = self.rehearsal.far_side();
        let words = far.vocabulary(&self.sample());
        let yes = words.iter().find(|word| word.means == ToldMeaning::Approved).cloned();
        let group = self.operation.name();
        let about = sample_facts(self.operation, 2);
        let later = far.vocabulary(&self.sample_inquiry()).into_iter();
        let mut later = later.chain(far.notice_vocabulary(&about));
        if yes.is_none() && !later.any(|word| word.means == ToldMeaning::Approved) {
            let problem = "nothing that the file lists says yes to it".to_owned();
            report.fail(group, "approved", problem);
        }
        let mut scripts = vec![
            self.script("time-out before the channel acted", FirstAnswer::LostBefore),
            self.script("time-out after the channel acted", FirstAnswer::LostAfter),
            self.script("HTTP 503 after the channel acted", FirstAnswer::Status(503)),
        ];
        for saying in words {
            let name = format!("{}: {}", meaning(saying.means), saying.words());
            scripts.push(self.script(&name, FirstAnswer::Said(saying)));
        }
        let unlisted = Saying::unlisted();
        scripts.push(self.script("a code that no table lists", FirstAnswer::Said(unlisted)));
        match yes {
            Some(yes) if far.signs_replies() => {
                let name = "a yes with a wrong signature after the channel acted";
                scripts.push(self.script(name, FirstAnswer::Forged(yes)));
            }
            Some(_) => report.leave_out(LeftOut::new(
                group,
                "a reply with a wrong signature",
                "the file says that replies are unsigned: TLS vouches for them",
            )),
            None => report.leave_out(LeftOut::new(
                group,
                "a reply with a wrong signature",
                "no reply says yes: that comes by inquiry or notice",
            )),
        }
        for script in scripts {
            report.cases.push(self.run(script).await);
        }
    }

    async fn play_notices(&self, report: &mut CertifyReport) {
        let group = self.operation.name();
        let far = self.rehearsal.far_side();
        let words = far.notice_vocabulary(&sample_facts(self.operation, 2));
        let find =
            |wanted: fn(ToldMeaning) -> bool| words.iter().find(|word| wanted(word.means)).cloned();
        let yes = find(|means| means == ToldMeaning::Approved);
        let no = find(|means| matches!(means, ToldMeaning::Declined(_)));
        let Some(yes) = yes else {
            let why = "the file describes no notice that tells of a success";
            report.leave_out(LeftOut::new(group, "duplicate, late, contradicting notices", why));
            return;
        };
        let lost = || self.play(FirstAnswer::LostAfter);
        let mut scripts = Vec::new();
        let mut add = |name: &str, play: CasePlay, then: NoticeTurn| {
            scripts.push(CaseScript { name: name.to_owned(), play, then });
        };
        let early = |again| NoticeTurn::Early { saying: yes.clone(), again };
        add("an unknown ended by a notice", lost(), early(false));
        add("a notice that comes twice", lost(), early(true));
        add("a notice after the end", lost(), NoticeTurn::Late(yes.clone()));
        add("a notice signed by a stranger", lost(), NoticeTurn::Forged(yes.clone()));
        let replies = far.vocabulary(&self.sample());
        let said = |means: fn(ToldMeaning) -> bool| {
            let found = replies.iter().find(|word| means(word.means)).cloned();
            found.map(|word| self.play(FirstAnswer::Said(word)))
        };
        if let Some(declined) = said(|means| matches!(means, ToldMeaning::Declined(_))) {
            add("a notice of success after a decline", declined, NoticeTurn::Against(yes));
        }
        match (no, said(|means| means == ToldMeaning::Approved)) {
            (Some(no), Some(approved)) => {
                add("a notice of failure after a success", approved, NoticeTurn::Against(no));
            }
            _ => report.leave_out(LeftOut::new(
                group,
                "a notice of failure after a success",
                "the file has no word by which a notice tells of a failure",
            )),
        }
        for script in scripts {
            report.cases.push(self.run(script).await);
        }
    }

    async fn play_lost_reversal(&self, report: &mut CertifyReport) {
        let (terms, name) = (&self.rehearsal.file.terms, "a reversal whose answer is lost");
        let reverses = terms.can_reverse(self.operation);
        if !reverses || terms.then != AfterInquiry::Reverse {
            let why = "by the file, this operation's unknown is never reversed";
            report.leave_out(LeftOut::new(self.operation.name(), name, why));
            return;
        }
        let play =
            CasePlay { is_mute: true, loses_reversal: true, ..self.play(FirstAnswer::LostAfter) };
        let script = CaseScript { name: name.to_owned(), play, then: NoticeTurn::None };
        report.cases.push(self.run(script).await);
    }

    async fn run(&self, script: CaseScript) -> CaseReport {
        let first = FirstTruth::of(&script.play.first, self.operation);
        let mut case = CaseReport {
            group: self.operation.name().to_owned(),
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
        let (exchanges, unsayable) = stage.channel.take_record();
        case.exchanges = exchanges;
        case.notes.extend(unsayable);
        case
    }

    fn stage(&self, play: CasePlay) -> RehearsalStage {
        let rehearsal = self.rehearsal;
        let hand = Arc::new(AtomicI64::new(sample_now().as_millis()));
        let clock = Clock::Manual(Arc::clone(&hand));
        let terms = Arc::new(rehearsal.file.terms.clone());
        let adapter = Arc::clone(&rehearsal.adapter);
        let far = rehearsal.far_side();
        let channel = DeskChannel::new(adapter, far, Arc::clone(&terms), clock, play);
        let adapter: Arc<dyn Adapter> = Arc::clone(&rehearsal.adapter) as Arc<dyn Adapter>;
        RehearsalStage::new(
            channel,
            adapter,
            terms,
            RehearsalClock::Hand(hand),
            rehearsal.subject(),
        )
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
        self.early_notice(stage, script, order.id, case).await?;
        stage.pass(Duration::from_millis(1));
        let order = stage.drain(order.id).await?;
        let attempt = order.attempts.last().map_or(1, |attempt| attempt.number);
        let fact = stage.channel.fact(order.channel_order_no(attempt));
        let books = BooksSeen::of(stage, &order).await?;
        let can_end = self.can_end(fact, script.play.is_mute);
        case.wrong.extend(judge_end(&books, fact, self.operation, can_end));
        if !order.status.is_final() {
            case.notes.push("a notice, a statement or an operator ends it".to_owned());
        }
        case.books = Some(books);
        self.late_notice(stage, script, &order, case).await
    }

    /// Whether an inquiry can tell this truth; an answer that never comes is waited for by other
    /// ways.
    fn can_end(&self, fact: Fact, is_mute: bool) -> bool {
        let terms = &self.rehearsal.file.terms;
        if is_mute {
            let words = self.rehearsal.far_side().vocabulary(&self.sample_of(is_reversal));
            let tells = words.iter().any(|word| word.means == ToldMeaning::Approved);
            return terms.can_reverse(self.operation) && tells;
        }
        if terms.inquire.is_empty() || (self.operation == Operation::Undo && fact != Fact::Done) {
            return false;
        }
        let words = self.rehearsal.far_side().vocabulary(&self.sample_inquiry());
        let tells = |word: &Saying| match fact {
            Fact::Done | Fact::Working => word.means == ToldMeaning::Approved,
            Fact::Absent => word.means == ToldMeaning::NotFound,
            Fact::Refused => matches!(word.means, ToldMeaning::Declined(_)),
            Fact::TakenBack => word.means == ToldMeaning::TakenBack,
        };
        words.iter().any(tells)
    }

    async fn early_notice(
        &self,
        stage: &RehearsalStage,
        script: &CaseScript,
        id: OrderId,
        case: &mut CaseReport,
    ) -> Result<(), EngineError> {
        let (saying, times, signer) = match &script.then {
            NoticeTurn::Early { saying, again } => {
                (saying, 1 + usize::from(*again), MessageSigner::Channel)
            }
            NoticeTurn::Forged(saying) => (saying, 1, MessageSigner::Stranger),
            NoticeTurn::None | NoticeTurn::Late(_) | NoticeTurn::Against(_) => return Ok(()),
        };
        let before = stage.order(id).await?;
        for _ in 0..times {
            self.post(stage, &before, saying, signer, case).await?;
        }
        let after = stage.order(id).await?;
        match signer {
            MessageSigner::Channel if after.status != OrderStatus::Succeeded => {
                let status = after.status.name();
                case.wrong.push(format!("a notice of success leaves the order {status}"));
            }
            MessageSigner::Stranger if after != before => {
                case.wrong.push("a notice that a stranger signed changes the order".to_owned());
            }
            MessageSigner::Channel | MessageSigner::Stranger => {}
        }
        Ok(())
    }

    async fn late_notice(
        &self,
        stage: &RehearsalStage,
        script: &CaseScript,
        order: &Order,
        case: &mut CaseReport,
    ) -> Result<(), EngineError> {
        let (saying, is_against) = match &script.then {
            NoticeTurn::Late(saying) => (saying, false),
            NoticeTurn::Against(saying) => (saying, true),
            NoticeTurn::None | NoticeTurn::Early { .. } | NoticeTurn::Forged(_) => return Ok(()),
        };
        self.post(stage, order, saying, MessageSigner::Channel, case).await?;
        let after = stage.order(order.id).await?;
        if !order.status.is_final() {
            // A reversal that nobody answered may still undo what the notice tells (I-3).
            case.notes
                .push(format!("it had not ended; the notice makes it {}", after.status.name()));
            case.books = Some(BooksSeen::of(stage, &after).await?);
            return Ok(());
        }
        if after.status != order.status {
            let (was, is) = (order.status.name(), after.status.name());
            case.wrong.push(format!("final is final: a notice makes {was} into {is}"));
        }
        let reported = match saying.means {
            ToldMeaning::Approved => ReportedEnd::Success,
            _ => ReportedEnd::Failure,
        };
        let kept = stage.contradictions(order.id, reported);
        if kept != usize::from(is_against) {
            case.wrong.push(format!("{kept} contradictions are kept"));
        }
        // What gives money back is taken back by nobody: the statement and a person settle it.
        let is_undone =
            matches!(self.operation, Operation::Payment | Operation::Preauth | Operation::Capture);
        let owes = is_against && reported == ReportedEnd::Success && is_undone;
        let undoes = self.rehearsal.file.abilities.can(Ability::Undo);
        match stage.undo_owed() {
            None if owes => case.wrong.push("no undo is owed for the claimed success".to_owned()),
            Some(undo) if owes && undoes => {
                let undo = stage.drain(undo).await?;
                let undoer = CasePlayer { operation: Operation::Undo, ..*self };
                let words = self.rehearsal.far_side().vocabulary(&undoer.sample());
                let is_told = words.iter().any(|word| word.means == ToldMeaning::Approved);
                // Where its reply only says that it is received, a notice ends it.
                let may_wait = !is_told && !undo.status.is_final();
                if undo.status != OrderStatus::Succeeded && !may_wait {
                    let status = undo.status.name();
                    case.wrong.push(format!("the undo of the claimed success is {status}"));
                }
            }
            Some(_) if !owes => case.wrong.push("an undo is owed for nothing".to_owned()),
            Some(_) | None => {}
        }
        case.books = Some(BooksSeen::of(stage, &after).await?);
        Ok(())
    }

    async fn post(
        &self,
        stage: &RehearsalStage,
        order: &Order,
        saying: &Saying,
        signer: MessageSigner,
        case: &mut CaseReport,
    ) -> Result<(), EngineError> {
        let number = order.channel_order_no(1);
        match stage.channel.notice(number, saying, signer) {
            Ok(notice) => {
                let heard = stage.take_notice(&notice).await?;
                if heard.starts_with("refused") && signer == MessageSigner::Channel {
                    case.wrong.push(format!("the channel's own notice is {heard}"));
                }
                stage.channel.record_notice(&notice, heard);
            }
            Err(problem) => case.wrong.push(problem),
        }
        Ok(())
    }
}

const fn is_reversal(request: &ChannelRequest) -> bool {
    matches!(request, ChannelRequest::Reversal { .. })
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
