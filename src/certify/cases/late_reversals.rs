//! Cases of an answer to a reversal that comes when its call has ended, which a link can bring: a
//! yes ends the order in any phase, a refusal is one, and "no such order" counts as of the time
//! when the reversal was sent (I-3).

use crate::certify::case::CaseReport;
use crate::certify::channel::LaterWord;
use crate::certify::far_side::AnswerProof;
use crate::certify::report::CertifyReport;
use crate::certify::stage::RehearsalStage;
use crate::channel::protocol::said::{MessageSigner, Saying, ToldMeaning};
use crate::domain::ids::OrderId;
use crate::domain::order::OrderStatus;
use crate::engine::EngineError;

use super::answers::lost_for;
use super::unasked::UnaskedTurn;
use super::{CasePlayer, CaseScript, named};

impl CasePlayer<'_> {
    /// Each word that can still be said, a yes that another has sealed, and one that comes when
    /// all reversals have gone unanswered.
    pub async fn play_late_reversals(&self, report: &mut CertifyReport) {
        let words = self.far().late_reversal_vocabulary(&self.sample_reversal());
        if !self.reverses() || words.is_empty() {
            return;
        }
        let mut scripts = Vec::new();
        let yes = words.iter().find(|word| word.means == ToldMeaning::Approved).cloned();
        for saying in words {
            let name = format!("a reversal is answered late, {}", named(&saying));
            scripts.push(self.late(name, saying, MessageSigner::Channel, false));
        }
        if let Some(yes) = yes {
            let name = "a reversal is answered late, when an operator has the order".to_owned();
            scripts.push(self.late(name, yes.clone(), MessageSigner::Channel, true));
            if self.far().proof() == AnswerProof::Mac {
                let name = "a reversal is answered late with a wrong MAC".to_owned();
                scripts.push(self.late(name, yes, MessageSigner::Stranger, false));
            }
        }
        for script in scripts {
            report.cases.push(self.run(script).await);
        }
    }

    fn late(
        &self,
        name: String,
        saying: Saying,
        signer: MessageSigner,
        is_last: bool,
    ) -> CaseScript {
        let later = Some(LaterWord::LateReversal(saying.clone()));
        let play = self.play(lost_for(&saying), later);
        CaseScript { name, play, then: UnaskedTurn::LateReversal { saying, signer, is_last } }
    }

    /// Lets the reversal be answered, where that is the case.
    pub async fn late_reversal(
        &self,
        stage: &RehearsalStage,
        script: &CaseScript,
        id: OrderId,
        case: &mut CaseReport,
    ) -> Result<(), EngineError> {
        let UnaskedTurn::LateReversal { saying, signer, is_last } = &script.then else {
            return Ok(());
        };
        if *is_last {
            stage.drain(id).await?;
        } else {
            stage.work_until_reversed(id).await?;
        }
        let before = stage.order(id).await?;
        let attempt = before.attempts.last().map_or(1, |attempt| attempt.number);
        let number = before.channel_order_no(attempt);
        let answer = match stage.channel.answer_reversal(number, saying, *signer) {
            Ok(answer) => answer,
            Err(problem) => {
                case.wrong.push(problem);
                return Ok(());
            }
        };
        let shown = answer.shown.clone();
        let heard = stage.take_reversal(number, answer).await?;
        stage.channel.record_told("late answer to a reversal", shown, heard);
        let after = stage.order(id).await?;
        let fits = match (signer, saying.means) {
            (MessageSigner::Stranger, _) => after == before,
            (MessageSigner::Channel, ToldMeaning::Approved) => {
                after.status == OrderStatus::Reversed
            }
            (MessageSigner::Channel, _) => after.status == before.status,
        };
        if !fits {
            let (was, is) = (before.status.name(), after.status.name());
            case.wrong.push(format!("the late answer makes an order that was {was} {is}"));
        }
        Ok(())
    }
}
