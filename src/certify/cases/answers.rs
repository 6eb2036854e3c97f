//! Cases of what answers a request, an inquiry and a reversal: each word that the file lists, and
//! each way in which a word does not come.

use crate::certify::channel::LaterWord;
use crate::certify::far_side::{AnswerProof, FarAnswer, FarSide};
use crate::certify::report::CertifyReport;
use crate::channel::protocol::said::{Saying, ToldMeaning};
use crate::channel::protocol::sample::sample_facts;

use super::{CasePlayer, named, said_first};

impl CasePlayer<'_> {
    /// Everything that the answer to the request can be.
    pub async fn play_answers(&self, report: &mut CertifyReport) {
        let far = self.far();
        let words = far.vocabulary(&self.sample());
        let says_yes = words.iter().any(|word| word.means == ToldMeaning::Approved);
        let about = sample_facts(self.operation, 2);
        let later = far.vocabulary(&self.sample_inquiry()).into_iter();
        let mut later = later.chain(far.unasked_vocabulary(&about));
        if !says_yes && !later.any(|word| word.means == ToldMeaning::Approved) {
            let problem = "nothing that the file lists says yes to it".to_owned();
            report.fail(self.operation.name(), "approved", problem);
        }
        let answers = answers_of(&*far, words);
        for (name, why) in answers.left_out {
            self.leave_out(report, name, why);
        }
        for (name, first) in answers.played {
            report.cases.push(self.run(self.script(&name, first, None)).await);
        }
    }

    /// Everything that the first inquiry about an unknown can be answered.
    pub async fn play_inquiries(&self, report: &mut CertifyReport) {
        let words = self.far().vocabulary(&self.sample_inquiry());
        if self.terms().inquire.is_empty() || words.is_empty() {
            let why = "the file has no inquiry about it";
            self.leave_out(report, "every answer to an inquiry", why);
            return;
        }
        let yes = words.iter().find(|word| word.means == ToldMeaning::Approved);
        if let Some(yes) = yes.filter(|_| self.far().proof() != AnswerProof::Connection) {
            let name = "a stranger answers an inquiry with a yes about what never arrived";
            let later = Some(LaterWord::ForgedInquiry(yes.clone()));
            report.cases.push(self.run(self.script(name, FarAnswer::LostBefore, later)).await);
        }
        for saying in words {
            let name = format!("an inquiry says {}", named(&saying));
            let later = Some(LaterWord::Inquiry(saying.clone()));
            report.cases.push(self.run(self.script(&name, lost_for(&saying), later)).await);
        }
    }

    /// Payouts to the kinds of accounts that no other case pays: each says yes, or says nothing.
    pub async fn play_payees(&self, report: &mut CertifyReport) {
        let words = self.far().vocabulary(&self.sample());
        let answers = said_first(&words, &[ToldMeaning::Approved, ToldMeaning::Pending]);
        let kinds = &self.rehearsal.file.abilities.account_kinds;
        for kind in kinds.iter().filter(|kind| self.payee_kind != Some(**kind)) {
            let player = CasePlayer { payee_kind: Some(*kind), ..*self };
            for (name, first) in &answers {
                let name = format!("{name} to an account by {kind}");
                report.cases.push(player.run(player.script(&name, first.clone(), None)).await);
            }
        }
    }

    /// Of what is paid in a second way, all that can become of the answer to the request, which is
    /// another one. Inquiry and reversal name the same number as ever, so that one of each shows
    /// that they are made without the usual instrument.
    pub async fn play_second_way(&self, report: &mut CertifyReport) {
        self.play_answers(report).await;
        let inquiries = self.far().vocabulary(&self.sample_inquiry());
        if let Some(yes) = inquiries.into_iter().find(|word| word.means == ToldMeaning::Approved) {
            let name = format!("an inquiry says {}", named(&yes));
            let later = Some(LaterWord::Inquiry(yes));
            report.cases.push(self.run(self.script(&name, FarAnswer::LostAfter, later)).await);
        }
        if self.reverses() {
            let lost = Some(LaterWord::LostReversal);
            let name = "a reversal whose answer is lost";
            report.cases.push(self.run(self.script(name, FarAnswer::LostAfter, lost)).await);
        }
    }

    /// Everything that the first reversal of an unknown can be answered.
    pub async fn play_reversals(&self, report: &mut CertifyReport) {
        if !self.reverses() {
            let why = "by the file, this operation's unknown is never reversed";
            self.leave_out(report, "every answer to a reversal", why);
            return;
        }
        let lost = Some(LaterWord::LostReversal);
        let name = "a reversal whose answer is lost";
        report.cases.push(self.run(self.script(name, FarAnswer::LostAfter, lost)).await);
        for saying in self.far().vocabulary(&self.sample_reversal()) {
            let name = format!("a reversal is answered {}", named(&saying));
            let later = Some(LaterWord::Reversal(saying.clone()));
            report.cases.push(self.run(self.script(&name, lost_for(&saying), later)).await);
        }
    }
}

/// What can become of a request's answer.
pub struct AnswersOfRequest {
    /// With their names.
    pub played: Vec<(String, FarAnswer)>,
    /// What the file or its protocol gives no occasion for, and why.
    pub left_out: Vec<(&'static str, &'static str)>,
}

/// Everything that can become of the answer to a request, which can be each of these words.
pub fn answers_of(far: &dyn FarSide, words: Vec<Saying>) -> AnswersOfRequest {
    let mut played = vec![
        ("time-out before the channel acted".to_owned(), FarAnswer::LostBefore),
        ("time-out after the channel acted".to_owned(), FarAnswer::LostAfter),
    ];
    let mut left_out = Vec::new();
    if far.http().is_some() {
        let name = "HTTP 503 after the channel acted".to_owned();
        played.push((name, FarAnswer::Status(503)));
    } else {
        left_out.push(("HTTP 503", "a link has no proxy that answers in the channel's place"));
    }
    // A yes is the word that a stranger would say.
    let forged = words.first().cloned();
    played.extend(words.into_iter().map(|word| (named(&word), FarAnswer::Said(word))));
    let unlisted = FarAnswer::Said(far.unlisted());
    played.push(("a code that no table lists".to_owned(), unlisted));
    match (far.proof(), forged) {
        (AnswerProof::Connection, _) => left_out.push((
            "a reply with a wrong signature",
            "the file says that replies are unsigned: TLS vouches for them",
        )),
        (AnswerProof::Signature, Some(word)) => {
            let name = format!("{} with a wrong signature after the channel acted", named(&word));
            played.push((name, FarAnswer::Forged(word)));
        }
        (AnswerProof::Mac, Some(word)) => {
            let name = format!("{} with a wrong MAC after the channel acted", named(&word));
            played.push((name, FarAnswer::Forged(word)));
        }
        (AnswerProof::Signature | AnswerProof::Mac, None) => {}
    }
    AnswersOfRequest { played, left_out }
}

/// What must have become of a request that the channel later says this of.
pub const fn lost_for(later: &Saying) -> FarAnswer {
    match later.means {
        ToldMeaning::NotFound => FarAnswer::LostBefore,
        ToldMeaning::Approved
        | ToldMeaning::Declined(_)
        | ToldMeaning::Pending
        | ToldMeaning::Unclear
        | ToldMeaning::TakenBack => FarAnswer::LostAfter,
    }
}
