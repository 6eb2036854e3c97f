//! Cases of what a channel does with a card beside orders and agreements: a verification, and the
//! code of one payment. Each by every word that the file lists, and by each way in which a word
//! does not come.
//!
//! Nobody tells later what became of either, so a row says what its answer proves, and stays so. A
//! code is judged by its payment too, which comes under the number of the request that sent it:
//! where the channel has refused the code, another one is asked for first.

use crate::certify::case::{BooksSeen, CaseBooks, CaseReport, judge_end};
use crate::certify::channel::{CasePlay, CaseTarget};
use crate::certify::desk::CodedInstrument;
use crate::certify::far_side::FarAnswer;
use crate::certify::rehearsal::Rehearsal;
use crate::certify::report::{CertifyReport, LeftOut};
use crate::certify::stage::RehearsalStage;
use crate::channel::ChannelRequest;
use crate::channel::file::Ability;
use crate::channel::protocol::said::ToldMeaning;
use crate::channel::protocol::sample::{sample_agreement_code, sample_card, sample_service};
use crate::domain::agreement::AgreementState;
use crate::domain::attempt::Operation;
use crate::domain::card_service::CardService;
use crate::domain::instrument::InstrumentKind;
use crate::domain::outcome::Reason;
use crate::domain::payment_code::{PaymentCode, PaymentCodeState};
use crate::domain::verification::VerificationVerdict;
use crate::engine::EngineError;

use super::answers::answers_of;
use super::{close, said_first, stage_of, told};

/// Plays every case of the file's verifications and codes of payments; nothing where it has none.
pub async fn play_services(rehearsal: &Rehearsal, report: &mut CertifyReport) {
    let abilities = &rehearsal.file.abilities;
    let can = |service| abilities.can(Ability::of_service(service));
    if can(CardService::Verification) {
        let sample = sample_service(CardService::Verification, sample_card());
        let player = ServicePlayer { rehearsal, payer: None };
        player.play_answers(&sample, report).await;
    }
    if !can(CardService::PaymentCode) {
        return;
    }
    let takes = |kind| abilities.instruments.contains(&kind);
    if takes(InstrumentKind::Card) {
        let sample = sample_service(CardService::PaymentCode, sample_card());
        let player = ServicePlayer { rehearsal, payer: Some(PayerKind::Card) };
        player.play_answers(&sample, report).await;
    }
    if takes(InstrumentKind::Agreement) {
        let player = ServicePlayer { rehearsal, payer: Some(PayerKind::Agreement) };
        let sample = sample_agreement_code();
        if takes(InstrumentKind::Card) {
            // The words are the same; the request is another one.
            player.play_way(&sample, report).await;
        } else {
            player.play_answers(&sample, report).await;
        }
    }
}

/// Who is sent the code of a payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PayerKind {
    Card,
    Agreement,
}

/// Plays the cases of one service.
struct ServicePlayer<'r> {
    rehearsal: &'r Rehearsal,
    /// `None`: a card is verified.
    payer: Option<PayerKind>,
}

impl ServicePlayer<'_> {
    const fn service(&self) -> CardService {
        match self.payer {
            None => CardService::Verification,
            Some(PayerKind::Card | PayerKind::Agreement) => CardService::PaymentCode,
        }
    }

    /// A case's name with what is paid by, where that is not the card.
    fn named(&self, name: &str) -> String {
        match self.payer {
            Some(PayerKind::Agreement) => format!("{name}, by agreement"),
            Some(PayerKind::Card) | None => name.to_owned(),
        }
    }

    async fn play_answers(&self, sample: &ChannelRequest, report: &mut CertifyReport) {
        let far = self.rehearsal.far_side();
        let answers = answers_of(&*far, far.vocabulary(sample));
        for (name, why) in answers.left_out {
            report.leave_out(LeftOut::new(self.service().name(), name, why));
        }
        for (name, first) in answers.played {
            report.cases.push(self.play(&name, first).await);
        }
    }

    /// A yes, and no answer.
    async fn play_way(&self, sample: &ChannelRequest, report: &mut CertifyReport) {
        let words = self.rehearsal.far_side().vocabulary(sample);
        for (name, first) in said_first(&words, &[ToldMeaning::Approved]) {
            report.cases.push(self.play(&name, first).await);
        }
    }

    async fn play(&self, name: &str, first: FarAnswer) -> CaseReport {
        let service = self.service();
        let mut case = CaseReport::unplayed(service.name(), &self.named(name), Vec::new());
        let expected = match self.payer {
            None => "the verdict that the answer proves, which stays",
            Some(_) => "the row that the answer proves; then the payment by its code",
        };
        expected.clone_into(&mut case.expected);
        let play = CasePlay { target: CaseTarget::Service(service), first, later: None };
        let (subject, terms) = (self.rehearsal.subject(), self.rehearsal.file.terms.clone());
        let stage = stage_of(self.rehearsal, subject, terms, Some(play.clone()));
        let means = told(&play.first);
        let performed = match self.payer {
            None => verify(&stage, means, &mut case).await,
            Some(payer) => pay_by_code(&stage, payer, means, &mut case).await,
        };
        if let Err(error) = performed {
            case.wrong.push(format!("the engine refuses: {error}"));
        }
        close(&stage, case)
    }
}

/// A card is verified, and asked about again.
async fn verify(
    stage: &RehearsalStage,
    means: ToldMeaning,
    case: &mut CaseReport,
) -> Result<(), EngineError> {
    let row = stage.verify().await?;
    let verdict = row.end.as_ref().map(|end| end.verdict);
    if verdict != Some(expected_verdict(means)) {
        let (must, is) = (expected_verdict(means).name(), verdict.map_or("open", |one| one.name()));
        case.wrong.push(format!("the verdict must be {must}, and it is {is}"));
    }
    if stage.verify_again(&row).await? != row {
        case.wrong.push("its repeat has another answer".to_owned());
    }
    case.books = verdict.map(CaseBooks::Verification);
    Ok(())
}

/// A code is sent, and pays.
async fn pay_by_code(
    stage: &RehearsalStage,
    payer: PayerKind,
    means: ToldMeaning,
    case: &mut CaseReport,
) -> Result<(), EngineError> {
    let bound;
    let by = match payer {
        PayerKind::Card => CodedInstrument::Card,
        PayerKind::Agreement => {
            let row = stage.open_agreement().await?;
            bound = stage.confirm_agreement(row.id).await?;
            if bound.state != AgreementState::Active {
                let state = bound.state.name();
                case.wrong.push(format!("no card is bound: the agreement is {state}"));
                return Ok(());
            }
            CodedInstrument::Agreement(&bound)
        }
    };
    let mut code = stage.send_payment_code(by).await?;
    judge_code(&code, expected_code(means), case);
    if code.payable().is_none() {
        case.notes.push("another code is asked for".to_owned());
        code = stage.send_code_again(&code, by).await?;
        judge_code(&code, PaymentCodeState::Sent, case);
    }
    let Some(call) = code.payable() else { return Ok(()) };
    let order = stage.pay_by(by, Some(code)).await?;
    let order = stage.drain(order.id).await?;
    let (number, bound_to) = (order.channel_order_no(1), call.channel_order_no());
    let announced_at = order.attempts.first().and_then(|attempt| attempt.announced_at);
    if number != bound_to || announced_at != Some(call.sent_at) {
        case.wrong.push(format!("{number} is not the payment that its code was sent for"));
    }
    let books = BooksSeen::of(stage, &order).await?;
    let fact = stage.channel.fact(number);
    case.wrong.extend(judge_end(&books, fact, Operation::Payment, true));
    case.books = Some(books.into());
    Ok(())
}

const fn expected_verdict(means: ToldMeaning) -> VerificationVerdict {
    match means {
        ToldMeaning::Approved => VerificationVerdict::Matches,
        ToldMeaning::Declined(Reason::IdentityMismatch) => VerificationVerdict::Differs,
        ToldMeaning::Declined(_) => VerificationVerdict::Refused,
        ToldMeaning::Pending
        | ToldMeaning::Unclear
        | ToldMeaning::NotFound
        | ToldMeaning::TakenBack => VerificationVerdict::Unknown,
    }
}

const fn expected_code(means: ToldMeaning) -> PaymentCodeState {
    match means {
        ToldMeaning::Approved => PaymentCodeState::Sent,
        ToldMeaning::Declined(_) => PaymentCodeState::Refused,
        // The phone tells, or another one is asked for.
        ToldMeaning::Pending
        | ToldMeaning::Unclear
        | ToldMeaning::NotFound
        | ToldMeaning::TakenBack => PaymentCodeState::Unknown,
    }
}

fn judge_code(code: &PaymentCode, expected: PaymentCodeState, case: &mut CaseReport) {
    if code.state != expected {
        let (is, must) = (code.state.name(), expected.name());
        case.wrong.push(format!("the payment's code must be {must}, and it is {is}"));
    }
}
