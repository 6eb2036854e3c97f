//! A simulated bank's agreements: codes, numbers that stand for cards, and payments by them.

use crate::domain::card::MaskedPan;
use crate::simulator::agreements::{CodePurpose, CodeVerdict};
use crate::simulator::dialect::decide;
use crate::simulator::state::SimulatorState;

use super::{Bank, BankOperation, BankRequest, BankResult};

/// A bank's codes about agreements.
pub(in crate::simulator) struct AgreementCodes {
    pub wrong_code: &'static str,
    /// It is too old, or was wrong too often: another one has to be sent.
    pub expired_code: &'static str,
    /// No agreement has this number, or it has ended.
    pub void_number: &'static str,
}

impl AgreementCodes {
    const fn problem(&self, verdict: CodeVerdict) -> Option<&'static str> {
        match verdict {
            CodeVerdict::Right => None,
            CodeVerdict::Wrong => Some(self.wrong_code),
            CodeVerdict::Expired | CodeVerdict::UsedUp => Some(self.expired_code),
        }
    }
}

impl Bank {
    /// One step of an agreement. Nothing is entered in the ledger.
    pub(super) fn agreement_step(
        &self,
        running: &SimulatorState,
        request: &BankRequest,
    ) -> BankResult {
        let codes = self.api.codes();
        let Some(own) = self.api.agreement_codes() else { return BankResult::code(codes.format) };
        let token = request.token.as_deref().unwrap_or_default();
        let (now, book) = (running.now(), &running.agreements);
        match request.operation {
            BankOperation::AgreementCode => self.send_opening_code(running, request),
            BankOperation::Agreement => self.open(running, request, own),
            BankOperation::AgreementQuery => match book.opened_by(&request.order_no) {
                Some(opened) => {
                    BankResult { opened: Some(opened), ..BankResult::code(codes.answers.approved) }
                }
                None => BankResult::code(codes.not_found),
            },
            BankOperation::PaymentCode if book.of_token(now, token).is_some() => {
                book.send_code(now, CodePurpose::Payment(token.to_owned()));
                BankResult::code(codes.answers.approved)
            }
            BankOperation::AgreementEnd if book.end(token) => {
                BankResult::code(codes.answers.approved)
            }
            _ => BankResult::code(own.void_number),
        }
    }

    /// Sends the code that opens a card, if the issuer knows the person.
    fn send_opening_code(&self, running: &SimulatorState, request: &BankRequest) -> BankResult {
        let answer = self.verify(running, request);
        let (Some(card), true) = (&request.card, answer.code == self.api.codes().answers.approved)
        else {
            return answer;
        };
        running.agreements.send_code(running.now(), CodePurpose::Opening(card.known.hash));
        answer
    }

    /// Opens a card for payments by a number, at once and for good. A repeat gets the same number.
    fn open(
        &self,
        running: &SimulatorState,
        request: &BankRequest,
        own: &AgreementCodes,
    ) -> BankResult {
        let codes = self.api.codes();
        let (Some(card), Some(code)) = (&request.card, &request.sms_code) else {
            return BankResult::code(codes.format);
        };
        let (now, book) = (running.now(), &running.agreements);
        let approved = BankResult::code(codes.answers.approved);
        if let Some(opened) = book.opened_by(&request.order_no) {
            return BankResult { opened: Some(opened), ..approved };
        }
        let verdict = book.take_code(now, &CodePurpose::Opening(card.known.hash), code);
        let decided = decide(running, &request.order_no, &codes.answers);
        let refused = own.problem(verdict).or(self.card_problem(running, card));
        match refused.or((!decided.approves).then_some(decided.code)) {
            Some(code) => BankResult::code(code),
            None => {
                let named = (request.order_no.as_str(), request.sent_at.as_str());
                BankResult { opened: Some(book.open(now, named, &card.known)), ..approved }
            }
        }
    }

    /// Whose card a charge by agreement is to, and what is wrong with its code; the merchant may
    /// send none. The error is the code of an agreement that there is not.
    pub(super) fn payer_by_agreement(
        &self,
        running: &SimulatorState,
        request: &BankRequest,
        token: &str,
    ) -> Result<(MaskedPan, Option<&'static str>), &'static str> {
        let own = self.api.agreement_codes().ok_or(self.api.codes().format)?;
        let (now, book) = (running.now(), &running.agreements);
        let opened = book.of_token(now, token).ok_or(own.void_number)?;
        let purpose = CodePurpose::Payment(token.to_owned());
        let code = request.sms_code.as_deref();
        let problem = code.and_then(|code| own.problem(book.take_code(now, &purpose, code)));
        Ok((opened.masked, problem))
    }
}
