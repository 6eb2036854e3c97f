//! Cases of what a channel says without being asked: while the end is open, twice, after the end,
//! against it, and as somebody else.

use crate::certify::case::{BooksSeen, CaseReport};
use crate::certify::channel::CasePlay;
use crate::certify::far_side::FarAnswer;
use crate::certify::report::CertifyReport;
use crate::certify::stage::RehearsalStage;
use crate::channel::file::Ability;
use crate::channel::protocol::said::{MessageSigner, Saying, ToldMeaning};
use crate::channel::protocol::sample::sample_facts;
use crate::domain::attempt::Operation;
use crate::domain::ids::OrderId;
use crate::domain::order::{Order, OrderStatus};
use crate::domain::write_set::ReportedEnd;
use crate::engine::EngineError;

use super::{CasePlayer, CaseScript};

/// What comes beside the answers.
#[derive(Debug, Clone)]
pub enum UnaskedTurn {
    None,
    /// While the end is open; a second time where it says so.
    Early {
        saying: Saying,
        again: bool,
    },
    /// After the end, whether it agrees with it or not.
    Late(Saying),
    Forged(Saying),
    /// The answer to the first reversal, when its call has ended.
    LateReversal {
        saying: Saying,
        signer: MessageSigner,
        /// Not before an operator has the order.
        is_last: bool,
    },
}

impl CasePlayer<'_> {
    pub async fn play_unasked(&self, report: &mut CertifyReport) {
        let far = self.far();
        let what = far.unasked();
        let about = sample_facts(self.operation, 2);
        let words = far.unasked_vocabulary(&about);
        let find =
            |wanted: fn(ToldMeaning) -> bool| words.iter().find(|word| wanted(word.means)).cloned();
        let yes = find(|means| means == ToldMeaning::Approved);
        let no = find(|means| matches!(means, ToldMeaning::Declined(_)));
        let name = format!("a {what} in time, twice, late, contradicting");
        let Some(yes) = yes else {
            let why = format!("the file describes no {what} that tells of a success");
            self.leave_out(report, &name, &why);
            return;
        };
        if !far.tells_apart(&about) {
            let why = format!("its {what} may as well be about what it follows up");
            self.leave_out(report, &name, &why);
            return;
        }
        let lost = || self.play(FarAnswer::LostAfter, None);
        let mut scripts = Vec::new();
        let mut add = |name: String, play: CasePlay, then: UnaskedTurn| {
            scripts.push(CaseScript { name, play, then });
        };
        let early = |again| UnaskedTurn::Early { saying: yes.clone(), again };
        add(format!("an unknown ended by a {what}"), lost(), early(false));
        add(format!("a {what} that comes twice"), lost(), early(true));
        add(format!("a {what} after the end"), lost(), UnaskedTurn::Late(yes.clone()));
        let forged = UnaskedTurn::Forged(yes.clone());
        add(format!("a {what} signed by a stranger"), lost(), forged);
        // Only a notice can speak of what was answered already: an answer comes once.
        if far.http().is_some() {
            let replies = far.vocabulary(&self.sample());
            let said = |means: fn(ToldMeaning) -> bool| {
                let found = replies.iter().find(|word| means(word.means)).cloned();
                found.map(|word| self.play(FarAnswer::Said(word), None))
            };
            let declined = said(|means| matches!(means, ToldMeaning::Declined(_)));
            if let Some(declined) = declined.filter(|_| self.operation != Operation::Undo) {
                let name = format!("a {what} of success after a decline");
                add(name, declined, UnaskedTurn::Late(yes));
            }
            let approved = said(|means| means == ToldMeaning::Approved)
                .or_else(|| said(|means| means == ToldMeaning::Pending));
            let name = format!("a {what} of failure after a success");
            match no {
                Some(no) => add(name, approved.unwrap_or_else(lost), UnaskedTurn::Late(no)),
                None => {
                    let why = format!("the file has no word by which a {what} tells of a failure");
                    self.leave_out(report, &name, &why);
                }
            }
        }
        for script in scripts {
            report.cases.push(self.run(script).await);
        }
    }

    pub async fn early_word(
        &self,
        stage: &RehearsalStage,
        script: &CaseScript,
        id: OrderId,
        case: &mut CaseReport,
    ) -> Result<(), EngineError> {
        let (saying, times, signer) = match &script.then {
            UnaskedTurn::Early { saying, again } => {
                (saying, 1 + usize::from(*again), MessageSigner::Channel)
            }
            UnaskedTurn::Forged(saying) => (saying, 1, MessageSigner::Stranger),
            UnaskedTurn::None | UnaskedTurn::Late(_) | UnaskedTurn::LateReversal { .. } => {
                return Ok(());
            }
        };
        let what = stage.channel.far.unasked();
        let before = stage.order(id).await?;
        for _ in 0..times {
            self.tell(stage, &before, (saying, signer), case).await?;
        }
        let after = stage.order(id).await?;
        match signer {
            MessageSigner::Channel if after.status != OrderStatus::Succeeded => {
                let status = after.status.name();
                case.wrong.push(format!("a {what} of success leaves the order {status}"));
            }
            MessageSigner::Stranger if after != before => {
                case.wrong.push(format!("a {what} that a stranger signed changes the order"));
            }
            MessageSigner::Channel | MessageSigner::Stranger => {}
        }
        Ok(())
    }

    pub async fn late_word(
        &self,
        stage: &RehearsalStage,
        script: &CaseScript,
        order: &Order,
        case: &mut CaseReport,
    ) -> Result<(), EngineError> {
        let UnaskedTurn::Late(saying) = &script.then else { return Ok(()) };
        let what = stage.channel.far.unasked();
        self.tell(stage, order, (saying, MessageSigner::Channel), case).await?;
        let after = stage.order(order.id).await?;
        if !order.status.is_final() {
            // A reversal that nobody answered may still undo what is told (I-3).
            let status = after.status.name();
            case.notes.push(format!("it had not ended; the {what} makes it {status}"));
            case.books = Some(BooksSeen::of(stage, &after).await?.into());
            return Ok(());
        }
        if after.status != order.status {
            let (was, is) = (order.status.name(), after.status.name());
            case.wrong.push(format!("final is final: a {what} makes {was} into {is}"));
        }
        let reported = match saying.means {
            ToldMeaning::Approved => ReportedEnd::Success,
            _ => ReportedEnd::Failure,
        };
        let agrees = (order.status == OrderStatus::Succeeded) == (reported == ReportedEnd::Success);
        let kept = stage.contradictions(order.id, reported);
        if kept != usize::from(!agrees) {
            case.wrong.push(format!("{kept} contradictions are kept"));
        }
        // What gives money back is taken back by nobody: the statement and a person settle it.
        let is_undone =
            matches!(self.operation, Operation::Payment | Operation::Preauth | Operation::Capture);
        let owes = !agrees && reported == ReportedEnd::Success && is_undone;
        self.judge_undo(stage, owes, case).await?;
        case.books = Some(BooksSeen::of(stage, &after).await?.into());
        Ok(())
    }

    /// The undo of a success that was claimed against the books.
    async fn judge_undo(
        &self,
        stage: &RehearsalStage,
        owes: bool,
        case: &mut CaseReport,
    ) -> Result<(), EngineError> {
        let undoes = self.rehearsal.file.abilities.can(Ability::Undo);
        match stage.undo_owed() {
            None if owes => case.wrong.push("no undo is owed for the claimed success".to_owned()),
            Some(undo) if owes && undoes => {
                let undo = stage.drain(undo).await?;
                let undoer = CasePlayer { operation: Operation::Undo, ..*self };
                let words = self.far().vocabulary(&undoer.sample());
                let is_told = words.iter().any(|word| word.means == ToldMeaning::Approved);
                // Where its reply only says that it is received, a notice ends it.
                let may_wait = !is_told && !undo.status.is_final();
                if undo.status != OrderStatus::Succeeded && !may_wait {
                    let status = undo.status.name();
                    case.wrong.push(format!("the undo of the claimed success is {status}"));
                }
            }
            Some(_) if !owes && self.operation != Operation::Undo => {
                case.wrong.push("an undo is owed for nothing".to_owned());
            }
            Some(_) | None => {}
        }
        Ok(())
    }

    async fn tell(
        &self,
        stage: &RehearsalStage,
        order: &Order,
        (saying, signer): (&Saying, MessageSigner),
        case: &mut CaseReport,
    ) -> Result<(), EngineError> {
        let number = order.channel_order_no(1);
        match stage.channel.tell(number, saying, signer) {
            Ok(told) => {
                let heard = stage.take_told(&told).await?;
                if heard.starts_with("refused") && signer == MessageSigner::Channel {
                    let what = stage.channel.far.unasked();
                    case.wrong.push(format!("the channel's own {what} is {heard}"));
                }
                let what = stage.channel.far.unasked();
                stage.channel.record_told(what, told.shown, heard);
            }
            Err(problem) => case.wrong.push(problem),
        }
        Ok(())
    }
}
