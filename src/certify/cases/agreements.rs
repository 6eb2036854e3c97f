//! Cases of agreements: a card is bound by a code, pays, and is unbound. Each step by every word
//! that the file lists, and by each way in which a word does not come.
//!
//! The books of agreements are their rows: what a row must be follows from what truly happened at
//! the channel. A code that went wrong can be given again, an unknown binding is asked about, and
//! one that is being unbound is asked for again.

use crate::certify::case::{AgreementSeen, BooksSeen, CaseBooks, CaseReport, judge_end};
use crate::certify::channel::{CasePlay, CaseTarget, Fact, LaterWord};
use crate::certify::desk::CodedInstrument;
use crate::certify::far_side::FarAnswer;
use crate::certify::rehearsal::Rehearsal;
use crate::certify::report::{CertifyReport, LeftOut};
use crate::certify::stage::RehearsalStage;
use crate::channel::ChannelRequest;
use crate::channel::file::Ability;
use crate::channel::protocol::said::ToldMeaning;
use crate::channel::protocol::sample::{sample_card, sample_service};
use crate::domain::agreement::{Agreement, AgreementState};
use crate::domain::attempt::Operation;
use crate::domain::card_service::CardService;
use crate::domain::outcome::Reason;
use crate::domain::payment_code::PaymentCodeState;
use crate::engine::EngineError;

use super::answers::{answers_of, lost_for};
use super::{close, named, stage_of, told};

/// The steps that an agreement has rows of, in their order.
const STEPS: [CardService; 4] = [
    CardService::AgreementCode,
    CardService::AgreementConfirmation,
    CardService::AgreementInquiry,
    CardService::AgreementEnd,
];

/// How often an unknown binding is asked about after the first time: the channel may be at work.
const LOOKS_MAX: usize = 3;

/// Plays every case of the file's agreements; nothing where it has none.
pub async fn play_agreements(rehearsal: &Rehearsal, report: &mut CertifyReport) {
    let can = |service| rehearsal.file.abilities.can(Ability::of_service(service));
    if !can(CardService::AgreementCode) || !can(CardService::AgreementConfirmation) {
        return;
    }
    for service in STEPS.into_iter().filter(|service| can(*service)) {
        let player = AgreementPlayer { rehearsal, service };
        match service {
            CardService::AgreementInquiry => player.play_inquiries(report).await,
            _ => player.play_answers(report).await,
        }
    }
    if can(CardService::AgreementEnd) {
        let player = AgreementPlayer { rehearsal, service: CardService::AgreementEnd };
        report.cases.push(player.play_life().await);
    }
}

/// Plays the cases of one step.
struct AgreementPlayer<'r> {
    rehearsal: &'r Rehearsal,
    service: CardService,
}

impl AgreementPlayer<'_> {
    fn sample(&self) -> ChannelRequest {
        sample_service(self.service, sample_card())
    }

    async fn play_answers(&self, report: &mut CertifyReport) {
        let far = self.rehearsal.far_side();
        let answers = answers_of(&*far, far.vocabulary(&self.sample()));
        for (name, why) in answers.left_out {
            report.leave_out(LeftOut::new(self.service.name(), name, why));
        }
        for (name, first) in answers.played {
            let case = self.play(&name, CaseTarget::Service(self.service), first, None).await;
            report.cases.push(case);
        }
    }

    /// Everything that the first inquiry about an unknown binding can be answered.
    async fn play_inquiries(&self, report: &mut CertifyReport) {
        for saying in self.rehearsal.far_side().vocabulary(&self.sample()) {
            let name = format!("an inquiry says {}", named(&saying));
            let (first, later) = (lost_for(&saying), LaterWord::Inquiry(saying));
            let target = CaseTarget::Service(CardService::AgreementConfirmation);
            report.cases.push(self.play(&name, target, first, Some(later)).await);
        }
    }

    async fn play(
        &self,
        name: &str,
        target: CaseTarget,
        first: FarAnswer,
        later: Option<LaterWord>,
    ) -> CaseReport {
        let mut case = CaseReport::unplayed(self.service.name(), name, Vec::new());
        "the row that the answer proves; at the end what truly happened"
            .clone_into(&mut case.expected);
        let play = CasePlay { target, first, later };
        let stage = self.stage(play.clone());
        if let Err(error) = self.perform(&stage, &play, &mut case).await {
            case.wrong.push(format!("the engine refuses: {error}"));
        }
        close(&stage, case)
    }

    /// The waits of inquiries are the engine's own here, on the machine's clock: the case asks
    /// instead.
    fn stage(&self, play: CasePlay) -> RehearsalStage {
        let mut terms = self.rehearsal.file.terms.clone();
        terms.inquire.clear();
        stage_of(self.rehearsal, self.rehearsal.subject(), terms, Some(play))
    }

    async fn perform(
        &self,
        stage: &RehearsalStage,
        play: &CasePlay,
        case: &mut CaseReport,
    ) -> Result<(), EngineError> {
        let is_about = |service| play.target == CaseTarget::Service(service);
        let mut row = stage.open_agreement().await?;
        if is_about(CardService::AgreementCode) {
            judge_row(&row, expected_code(told(&play.first)), case);
        }
        if !matches!(row.state, AgreementState::CodeSent | AgreementState::CodeUnknown) {
            case.books = Some(AgreementSeen::of(&row).into());
            return Ok(());
        }
        row = stage.confirm_agreement(row.id).await?;
        if is_about(CardService::AgreementConfirmation) {
            judge_row(&row, expected_confirmation(told(&play.first)), case);
            row = self.learn_unknown(stage, row, play.later.as_ref(), case).await?;
        }
        if row.state == AgreementState::CodeSent {
            case.notes.push("the code can be given again".to_owned());
            row = stage.confirm_agreement(row.id).await?;
        }
        if is_about(CardService::AgreementEnd) {
            row = stage.end_agreement(row.id).await?;
            judge_row(&row, expected_end(told(&play.first)), case);
            if row.state == AgreementState::Ending {
                case.notes.push("it is asked for again".to_owned());
                row = stage.end_agreement(row.id).await?;
                judge_row(&row, AgreementState::Ended, case);
            }
        }
        case.books = Some(AgreementSeen::of(&row).into());
        Ok(())
    }

    /// Asks about an unknown binding until the channel has told what became of it: from the second
    /// time on "no such" can be believed (I-3).
    async fn learn_unknown(
        &self,
        stage: &RehearsalStage,
        row: Agreement,
        later: Option<&LaterWord>,
        case: &mut CaseReport,
    ) -> Result<Agreement, EngineError> {
        if row.state != AgreementState::Unknown {
            return Ok(row);
        }
        let number = row.confirmation.map(|call| row.channel_order_no(call));
        let mut row = stage.engine().look_at_agreement(row).await?;
        if let Some(LaterWord::Inquiry(saying)) = later {
            judge_row(&row, expected_confirmation(saying.means), case);
        }
        for _ in 0..LOOKS_MAX {
            if row.state != AgreementState::Unknown {
                break;
            }
            stage.pass(self.rehearsal.file.terms.not_found_final_after);
            row = stage.engine().look_at_agreement(row).await?;
        }
        let fact = number.map_or(Fact::Absent, |number| stage.channel.fact(number));
        let is_told =
            self.rehearsal.far_side().vocabulary(&inquiry()).iter().any(|word| match fact {
                Fact::Done | Fact::Working => word.means == ToldMeaning::Approved,
                Fact::Absent => word.means == ToldMeaning::NotFound,
                Fact::Refused | Fact::TakenBack => matches!(word.means, ToldMeaning::Declined(_)),
            });
        let fits = match (row.state, fact) {
            (AgreementState::Active, Fact::Done) => true,
            (AgreementState::Failed | AgreementState::CodeSent, fact) => fact != Fact::Done,
            (AgreementState::Unknown, _) => !is_told,
            _ => false,
        };
        if !fits {
            let (state, fact) = (row.state.name(), fact.words());
            case.wrong.push(format!("the row is {state}, and the binding is {fact}"));
        }
        Ok(row)
    }

    /// A card is bound, pays with a code of its own where the file has one, and is unbound.
    async fn play_life(&self) -> CaseReport {
        let name = "a card is bound, pays and is unbound";
        let mut case = CaseReport::unplayed("agreement", name, Vec::new());
        "a payment that succeeds, and a row that is ended".clone_into(&mut case.expected);
        let (subject, terms) = (self.rehearsal.subject(), self.rehearsal.file.terms.clone());
        let stage = stage_of(self.rehearsal, subject, terms, None);
        if let Err(error) = self.perform_life(&stage, &mut case).await {
            case.wrong.push(format!("the engine refuses: {error}"));
        }
        close(&stage, case)
    }

    async fn perform_life(
        &self,
        stage: &RehearsalStage,
        case: &mut CaseReport,
    ) -> Result<(), EngineError> {
        let row = stage.open_agreement().await?;
        let row = stage.confirm_agreement(row.id).await?;
        judge_row(&row, AgreementState::Active, case);
        if row.state != AgreementState::Active {
            return Ok(());
        }
        let abilities = &self.rehearsal.file.abilities;
        let by = CodedInstrument::Agreement(&row);
        let mut code = None;
        if abilities.can(Ability::of_service(CardService::PaymentCode)) {
            let sent = stage.send_payment_code(by).await?;
            if sent.state != PaymentCodeState::Sent {
                let state = sent.state.name();
                case.wrong.push(format!("the payment's code is not sent: it is {state}"));
            }
            code = Some(sent);
        }
        let order = stage.pay_by(by, code).await?;
        let order = stage.drain(order.id).await?;
        let books = BooksSeen::of(stage, &order).await?;
        let fact = stage.channel.fact(order.channel_order_no(1));
        case.wrong.extend(judge_end(&books, fact, Operation::Payment, true));
        case.books = Some(CaseBooks::from(books));
        let row = stage.end_agreement(row.id).await?;
        judge_row(&row, AgreementState::Ended, case);
        Ok(())
    }
}

fn inquiry() -> ChannelRequest {
    sample_service(CardService::AgreementInquiry, sample_card())
}

const fn expected_code(means: ToldMeaning) -> AgreementState {
    match means {
        ToldMeaning::Approved => AgreementState::CodeSent,
        ToldMeaning::Declined(_) => AgreementState::Failed,
        ToldMeaning::Pending
        | ToldMeaning::Unclear
        | ToldMeaning::NotFound
        | ToldMeaning::TakenBack => AgreementState::CodeUnknown,
    }
}

const fn expected_confirmation(means: ToldMeaning) -> AgreementState {
    match means {
        ToldMeaning::Approved => AgreementState::Active,
        // The holder has mistyped it, or was too slow.
        ToldMeaning::Declined(Reason::WrongSmsCode | Reason::SmsCodeExpired) => {
            AgreementState::CodeSent
        }
        ToldMeaning::Declined(_) => AgreementState::Failed,
        ToldMeaning::Pending
        | ToldMeaning::Unclear
        | ToldMeaning::NotFound
        | ToldMeaning::TakenBack => AgreementState::Unknown,
    }
}

const fn expected_end(means: ToldMeaning) -> AgreementState {
    match means {
        // A channel that has no such token has done what was asked for.
        ToldMeaning::Approved | ToldMeaning::Declined(Reason::NotEnrolled) => AgreementState::Ended,
        ToldMeaning::Declined(_) => AgreementState::Active,
        ToldMeaning::Pending
        | ToldMeaning::Unclear
        | ToldMeaning::NotFound
        | ToldMeaning::TakenBack => AgreementState::Ending,
    }
}

fn judge_row(row: &Agreement, expected: AgreementState, case: &mut CaseReport) {
    if row.state != expected {
        let (is, must) = (row.state.name(), expected.name());
        case.wrong.push(format!("the agreement must be {must}, and it is {is}"));
    }
    let needs_token = matches!(row.state, AgreementState::Active | AgreementState::Ending);
    if row.token.is_some() != needs_token {
        let kept = if needs_token { "no token is kept" } else { "its token is still kept" };
        case.wrong.push(format!("it is {}, and {kept}", row.state.name()));
    }
}
