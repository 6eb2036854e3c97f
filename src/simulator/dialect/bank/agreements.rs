//! A simulated bank's agreements: codes, numbers that stand for cards, and payments by them; and
//! codes of payments.

use crate::domain::card::MaskedPan;
use crate::simulator::agreements::{CodePurpose, CodeVerdict, CodedPayer, CodedPayment};
use crate::simulator::dialect::decide;
use crate::simulator::ledger::EntryKind;
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
        let book = &running.agreements;
        match request.operation {
            BankOperation::AgreementCode => self.send_opening_code(running, request),
            BankOperation::Agreement => self.open(running, request, own),
            BankOperation::AgreementQuery => match book.opened_by(&request.order_no) {
                Some(opened) => {
                    BankResult { opened: Some(opened), ..BankResult::code(codes.answers.approved) }
                }
                None => BankResult::code(codes.not_found),
            },
            BankOperation::PaymentCode => self.send_payment_code(running, request, own),
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

    /// Sends the code of one payment or authorisation, by card or agreement.
    fn send_payment_code(
        &self,
        running: &SimulatorState,
        request: &BankRequest,
        own: &AgreementCodes,
    ) -> BankResult {
        let codes = self.api.codes();
        let (now, book) = (running.now(), &running.agreements);
        let is_void = |token: &str| book.of_token(now, token).is_none();
        let problem = match (&request.card, request.token.as_deref()) {
            (Some(card), _) => self.card_problem(running, card),
            (None, token) => token.is_none_or(is_void).then_some(own.void_number),
        };
        let purpose = coded_payment(request).ok_or(codes.format);
        match problem.map_or(purpose, Err) {
            Ok(purpose) => {
                book.send_code(now, purpose);
                BankResult::code(codes.answers.approved)
            }
            Err(code) => BankResult::code(code),
        }
    }

    /// What is wrong with the code of a charge; the merchant may send none.
    pub(super) fn code_problem(
        &self,
        running: &SimulatorState,
        request: &BankRequest,
    ) -> Option<&'static str> {
        let code = request.sms_code.as_deref()?;
        let (own, purpose) = (self.api.agreement_codes()?, coded_payment(request)?);
        own.problem(running.agreements.take_code(running.now(), &purpose, code))
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

    /// Whose card a charge by agreement is to. The error is the code of an agreement that there is
    /// not.
    pub(super) fn payer_by_agreement(
        &self,
        running: &SimulatorState,
        token: &str,
    ) -> Result<MaskedPan, &'static str> {
        let own = self.api.agreement_codes().ok_or(self.api.codes().format)?;
        let opened = running.agreements.of_token(running.now(), token);
        opened.map(|opened| opened.masked).ok_or(own.void_number)
    }
}

/// The payment or authorisation that a code is for. The bank does not go by its time.
fn coded_payment(request: &BankRequest) -> Option<CodePurpose> {
    let kind = match request.operation {
        BankOperation::PaymentCode => request.coded_kind?,
        BankOperation::Preauth => EntryKind::Preauth,
        _ => EntryKind::Charge,
    };
    let payer = match (&request.card, &request.token) {
        (Some(card), _) => CodedPayer::Card(card.known.hash),
        (None, Some(token)) => CodedPayer::Token(token.clone()),
        (None, None) => return None,
    };
    Some(CodePurpose::Payment(CodedPayment {
        kind,
        order_no: request.order_no.clone(),
        sent_at: String::new(),
        amount_minor: request.amount?.get(),
        payer,
    }))
}
