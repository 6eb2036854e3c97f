//! The work of every simulated bank of the protocol `http`, whatever its words: it charges a number
//! once, takes back approved orders, and never lets refunds and captures exceed their original.
//!
//! A bank is its [`BankApi`]: codes, words and keys. Each is written by hand from the bank's own
//! point of view and shares no table with the adapter.

mod agreements;

use std::sync::Arc;
use std::time::Duration;

use crate::domain::card::{Cvv, Expiry, MaskedPan, Pan};
use crate::domain::closed_set;
use crate::domain::money::{AmountMinor, Currency};
use crate::domain::time::BusinessDate;

use super::super::agreements::{CardKnown, OpenedAgreement};
use super::super::chance::Chance;
use super::super::ledger::{
    BankOrder, EntryFacts, EntryKind, EntryState, FollowUpResult, IssuerDecision, Ledger,
    OrderResult, ReversalResult,
};
use super::super::message::{HttpReply, HttpRequest};
use super::super::notices::{BankNotice, NoticeWriter, schedule};
use super::super::state::SimulatorState;
use super::super::statement::NoStatement;
use super::{AnswerCodes, Dialect, ReplyForm, decide, statement};

pub(in crate::simulator) use agreements::AgreementCodes;

closed_set! {
    /// The operation of a request.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub(in crate::simulator) enum BankOperation {
        Payment => "charge",
        Preauth => "preauth",
        Payout => "payout",
        Capture => "capture",
        Void => "void",
        /// A void for which "taken back already" is no refusal.
        Undo => "undo",
        Refund => "refund",
        Inquiry => "query",
        Reversal => "reverse",
        Statement => "statement",
        /// The file that the reply about a statement named.
        File => "file",
        Verification => "verify",
        AgreementCode => "agreement_code",
        Agreement => "agreement",
        AgreementQuery => "agreement_query",
        AgreementEnd => "agreement_end",
        PaymentCode => "payment_code",
    }
}

/// One verified request.
pub(in crate::simulator) struct BankRequest {
    pub operation: BankOperation,
    /// For a statement, its date, `YYYY-MM-DD`.
    pub order_no: String,
    pub original_no: String,
    /// The bank's own number of the original, if the request must name it.
    pub original_trace: Option<u64>,
    /// The kind of order that an inquiry is about, if each kind has an inquiry of its own.
    pub original_kind: Option<EntryKind>,
    pub sent_at: String,
    pub amount: Option<AmountMinor>,
    pub currency: Currency,
    pub card: Option<RequestCard>,
    /// Of a payout, the account that is paid in place of a card.
    pub payee: Option<RequestAccount>,
    /// The number of an agreement, in place of a card.
    pub token: Option<String>,
    pub sms_code: Option<String>,
    /// What a code is for, in a request to send one.
    pub coded_kind: Option<EntryKind>,
    /// Whether the person that a verification names can be anybody.
    pub is_somebody: bool,
    /// The bank's host as the merchant wrote it, for replies that name an address.
    pub host: String,
}

impl BankRequest {
    /// A request that carries nothing but its order number.
    pub const fn new(operation: BankOperation, order_no: String) -> Self {
        Self {
            operation,
            order_no,
            original_no: String::new(),
            original_trace: None,
            original_kind: None,
            sent_at: String::new(),
            amount: None,
            currency: Currency::Cny,
            card: None,
            payee: None,
            token: None,
            sms_code: None,
            coded_kind: None,
            is_somebody: true,
            host: String::new(),
        }
    }

    fn instruction(
        &self,
        amount: AmountMinor,
        currency: Currency,
        card: Option<MaskedPan>,
    ) -> BankOrder<'_> {
        let (order_no, sent_at) = (self.order_no.as_str(), self.sent_at.as_str());
        BankOrder { order_no, sent_at, amount, currency, card, product: "" }
    }
}

/// The card as it was sent; only its mask is kept.
pub(in crate::simulator) struct RequestCard {
    known: CardKnown,
    number_fits: bool,
    /// `YYMM`.
    expiry: Option<String>,
    cvv_fits: bool,
}

impl RequestCard {
    pub fn new(number: &str, expiry: Option<String>, cvv: Option<&str>) -> Self {
        Self {
            known: CardKnown::of(number),
            number_fits: Pan::parse(number).is_ok(),
            expiry,
            cvv_fits: cvv.is_none_or(|text| Cvv::parse(text).is_some()),
        }
    }
}

/// The account that a payout goes to, as the bank knows it; nothing of it is kept.
pub(in crate::simulator) struct RequestAccount {
    /// The bank has such an account.
    pub exists: bool,
    /// It is the named person's.
    pub is_its_holder: bool,
}

/// A bank's codes about accounts, if it pays out to any.
pub(in crate::simulator) struct AccountCodes {
    pub no_account: &'static str,
    pub other_holder: &'static str,
}

/// A bank's codes.
pub(in crate::simulator) struct BankCodes {
    pub answers: AnswerCodes,
    pub pending: &'static str,
    pub busy: &'static str,
    /// The other code of an unclear answer to a charge.
    pub unclear_charge: Option<&'static str>,
    pub not_found: &'static str,
    /// The original of a follow-up does not exist.
    pub no_original: &'static str,
    pub refused: &'static str,
    /// An undo of an order that is taken back already.
    pub undone_before: &'static str,
    /// A void or an undo of another amount than the original's.
    pub other_amount: &'static str,
    /// The repeated request of a reversed order.
    pub is_reversed: &'static str,
    /// A repeated reversal. `None`: it succeeds again.
    pub reversed_before: Option<&'static str>,
    /// A reversal of an order that an undo took back. `None`: it succeeds.
    pub reverses_undone: Option<&'static str>,
    pub format: &'static str,
    pub bad_signature: &'static str,
    pub invalid_card: &'static str,
    pub expired: &'static str,
    pub wrong_cvv: &'static str,
    pub limit: &'static str,
    /// A charge that comes after its reversal found no order.
    pub dead: &'static str,
    /// The statement's date had no orders.
    pub empty: &'static str,
    /// The statement's date is not over.
    pub later: &'static str,
}

/// The request's own code, and the entry that the reply describes.
pub(in crate::simulator) struct BankResult {
    pub code: &'static str,
    pub facts: Option<EntryFacts>,
    /// The original's code, in the reply to an inquiry.
    pub original_code: Option<&'static str>,
    /// A statement.
    pub file: Option<Vec<u8>>,
    /// The agreement that was opened, or asked about.
    pub opened: Option<OpenedAgreement>,
}

impl BankResult {
    const fn code(code: &'static str) -> Self {
        Self { code, facts: None, original_code: None, file: None, opened: None }
    }

    fn of(code: &'static str, facts: EntryFacts) -> Self {
        Self { facts: Some(facts), ..Self::code(code) }
    }
}

/// How one bank reads, writes, signs and encrypts.
pub(in crate::simulator) trait BankApi: Send + Sync {
    fn codes(&self) -> &'static BankCodes;

    /// The requests out of ten thousand that are answered "pending" and decided later.
    fn pending_parts(&self, _operation: BankOperation) -> u16 {
        0
    }

    /// How issuers answer whether a card is a person's, where the bank asks them; the first decline
    /// is that it is not.
    fn verification_codes(&self) -> Option<&'static AnswerCodes> {
        None
    }

    /// Its codes about payees' accounts, if it pays out to any.
    fn account_codes(&self) -> Option<&'static AccountCodes> {
        None
    }

    /// Its codes about agreements, if it knows any.
    fn agreement_codes(&self) -> Option<&'static AgreementCodes> {
        None
    }

    /// Verifies and parses a request; the error is the code of its refusal.
    fn read(
        &self,
        running: &SimulatorState,
        received: &HttpRequest,
    ) -> Result<BankRequest, &'static str>;

    /// Writes and signs the reply; `request` is absent in the reply to a refused one.
    fn write(
        &self,
        running: &SimulatorState,
        request: Option<&BankRequest>,
        result: &BankResult,
        form: ReplyForm,
    ) -> HttpReply;

    /// Writes the notices of an order's end, if the bank posts any.
    fn notice(&self, order_no: &str) -> Option<NoticeWriter>;
}

/// See the head of this file.
pub(in crate::simulator) struct Bank {
    api: Box<dyn BankApi>,
}

impl Bank {
    pub fn new(api: Box<dyn BankApi>) -> Self {
        Self { api }
    }

    fn begin(&self, running: &Arc<SimulatorState>, request: &BankRequest) -> BankResult {
        let codes = self.api.codes();
        let Some(amount) = request.amount else { return BankResult::code(codes.format) };
        let (mask, problem) = match (&request.card, &request.token, &request.payee) {
            (Some(card), _, None) => {
                (Some(card.known.masked.clone()), self.card_problem(running, card))
            }
            (None, Some(token), None) => match self.payer_by_agreement(running, token) {
                Ok(masked) => (Some(masked), None),
                Err(code) => return BankResult::code(code),
            },
            (None, None, Some(payee)) if request.operation == BankOperation::Payout => {
                let Some(codes) = self.api.account_codes() else {
                    return BankResult::code(codes.format);
                };
                let problem = (!payee.is_its_holder).then_some(codes.other_holder);
                (None, if payee.exists { problem } else { Some(codes.no_account) })
            }
            _ => return BankResult::code(codes.format),
        };
        let too_large = amount.get() > running.settings.per_order_max_minor;
        let problem = problem.or_else(|| self.code_problem(running, request));
        let verdict = match problem.or(too_large.then_some(codes.limit)) {
            Some(code) => IssuerDecision { approves: false, code, working: Duration::ZERO },
            None => {
                self.delay(running, request, decide(running, &request.order_no, &codes.answers))
            }
        };
        let instruction = request.instruction(amount, request.currency, mask);
        let (ledger, now) = (&running.ledger, running.now());
        let entered = match request.operation {
            BankOperation::Preauth => ledger.preauthorise(now, instruction, verdict, codes.dead),
            BankOperation::Payout => ledger.pay_out(now, instruction, verdict, codes.dead),
            _ => ledger.charge(now, instruction, verdict, codes.dead),
        };
        self.end_of(running, request, entered)
    }

    /// Delays the verdict, if the bank takes its time over such a request.
    fn delay(
        &self,
        running: &SimulatorState,
        request: &BankRequest,
        verdict: IssuerDecision,
    ) -> IssuerDecision {
        let mut chance = Chance::of(running.settings.seed, "pending", &request.order_no, 0);
        let pends = chance.hits(self.api.pending_parts(request.operation));
        if pends { verdict } else { IssuerDecision { working: Duration::ZERO, ..verdict } }
    }

    /// The code with which the card data alone decline a charge, whatever the issuer would decide.
    fn card_problem(&self, running: &SimulatorState, card: &RequestCard) -> Option<&'static str> {
        let codes = self.api.codes();
        let today = running.ledger.today(running.now());
        let lives = |text: &str| {
            Expiry::parse_yymm(text).is_some_and(|one| !one.is_before(today.year(), today.month()))
        };
        if !card.number_fits {
            return Some(codes.invalid_card);
        }
        if card.expiry.as_deref().is_some_and(|text| !lives(text)) {
            return Some(codes.expired);
        }
        (!card.cvv_fits).then_some(codes.wrong_cvv)
    }

    fn follow_up(&self, running: &Arc<SimulatorState>, request: &BankRequest) -> BankResult {
        let codes = self.api.codes();
        let Some(amount) = request.amount else { return BankResult::code(codes.format) };
        let (ledger, now, original_no) = (&running.ledger, running.now(), &request.original_no);
        let fits =
            |facts: &EntryFacts| request.original_trace.is_none_or(|trace| trace == facts.trace);
        let Some(original) = ledger.look(now, original_no).filter(|found| fits(&found.facts))
        else {
            return BankResult::code(codes.no_original);
        };
        let mut chance = Chance::of(running.settings.seed, "undo", &request.order_no, 0);
        let approves = !chance.hits(u16::from(running.settings.undo_declines_percent) * 100);
        let code = if approves { codes.answers.approved } else { codes.refused };
        let IssuerDecision { working, .. } = decide(running, &request.order_no, &codes.answers);
        let verdict = self.delay(running, request, IssuerDecision { approves, code, working });
        let instruction = request.instruction(amount, original.facts.currency, original.card);
        let (is_undo, enter): (_, fn(&Ledger, _, BankOrder<'_>, &str, _, _) -> FollowUpResult) =
            match request.operation {
                BankOperation::Refund => (false, Ledger::refund),
                BankOperation::Capture => (false, Ledger::capture),
                _ => (true, Ledger::undo),
            };
        match enter(ledger, now, instruction, original_no, verdict, codes.refused) {
            FollowUpResult::Entered(entered) => self.end_of(running, request, entered),
            FollowUpResult::Already if request.operation == BankOperation::Undo => {
                BankResult::code(codes.undone_before)
            }
            FollowUpResult::Differs if is_undo => BankResult::code(codes.other_amount),
            // An amount above the rest is not a mistake of form.
            FollowUpResult::Already | FollowUpResult::Differs | FollowUpResult::Refused => {
                BankResult::code(codes.refused)
            }
            FollowUpResult::NotFound => BankResult::code(codes.no_original),
        }
    }

    /// The answer to the first or a repeated request of an order. A new order has a notice.
    fn end_of(
        &self,
        running: &Arc<SimulatorState>,
        request: &BankRequest,
        entered: OrderResult,
    ) -> BankResult {
        let facts = match entered {
            OrderResult::New(facts) => {
                self.notify(running, &request.order_no, &facts);
                facts
            }
            OrderResult::Known { facts, same: true } => facts,
            OrderResult::Known { facts: _, same: false } => {
                return BankResult::code(self.api.codes().format);
            }
        };
        BankResult::of(self.code_of(&facts), facts)
    }

    fn notify(&self, running: &Arc<SimulatorState>, order_no: &str, facts: &EntryFacts) {
        let url = running.settings.notices_to.clone();
        let Some((url, write)) = url.zip(self.api.notice(order_no)) else { return };
        let working = facts.ready_at.since(facts.received_at);
        schedule(running, BankNotice { order_no: order_no.to_owned(), url, working, write });
    }

    fn code_of(&self, facts: &EntryFacts) -> &'static str {
        let codes = self.api.codes();
        match facts.state {
            EntryState::Working => codes.pending,
            EntryState::Approved | EntryState::Undone => codes.answers.approved,
            EntryState::Declined => facts.code,
            // "Approved" would be wrong by now.
            EntryState::Reversed => codes.is_reversed,
        }
    }

    fn inquire(&self, running: &SimulatorState, request: &BankRequest) -> BankResult {
        let codes = self.api.codes();
        let found = running.ledger.look(running.now(), &request.order_no).map(|found| found.facts);
        let fits = |facts: &EntryFacts| request.original_kind.is_none_or(|kind| kind == facts.kind);
        let Some(facts) = found.filter(fits) else { return BankResult::code(codes.not_found) };
        let original_code = Some(self.code_of(&facts));
        BankResult { original_code, ..BankResult::of(codes.answers.approved, facts) }
    }

    fn reverse(&self, running: &SimulatorState, order_no: &str) -> BankResult {
        let codes = self.api.codes();
        let (facts, refusal) = match running.ledger.reverse(running.now(), order_no, None) {
            ReversalResult::Done(facts) => (facts, None),
            ReversalResult::Already(facts) => (facts, codes.reversed_before),
            ReversalResult::Undone(facts) => (facts, codes.reverses_undone),
            ReversalResult::Refused(facts) => (facts, Some(codes.refused)),
            ReversalResult::NotFound => return BankResult::code(codes.not_found),
        };
        refusal.map_or_else(|| BankResult::of(codes.answers.approved, facts), BankResult::code)
    }

    /// Answers for the issuer, at once and for good: nothing is entered.
    fn verify(&self, running: &SimulatorState, request: &BankRequest) -> BankResult {
        let codes = self.api.codes();
        let (Some(card), Some(answers)) = (&request.card, self.api.verification_codes()) else {
            return BankResult::code(codes.format);
        };
        if !card.number_fits {
            return BankResult::code(codes.invalid_card);
        }
        let differs = answers.declines.first().map(|(decline, _)| decline.code);
        let differs = differs.filter(|_| !request.is_somebody);
        let code = differs.unwrap_or_else(|| decide(running, &request.order_no, answers).code);
        BankResult::code(code)
    }

    fn statement(&self, running: &SimulatorState, date: &str) -> BankResult {
        let codes = self.api.codes();
        let date = BusinessDate::parse(date).ok_or(NoStatement::Nothing);
        match date.and_then(|date| running.closed_statement(date)) {
            Ok(found) => {
                let file = Some(statement::write(&running.settings.dialect, &found).bytes);
                BankResult { file, ..BankResult::code(codes.answers.approved) }
            }
            Err(NoStatement::NotYet) => BankResult::code(codes.later),
            Err(NoStatement::Nothing) => BankResult::code(codes.empty),
        }
    }
}

impl Dialect for Bank {
    type Call = BankRequest;
    type Draft = BankResult;

    fn read(
        &self,
        running: &SimulatorState,
        received: &HttpRequest,
    ) -> Result<BankRequest, HttpReply> {
        self.api.read(running, received).map_err(|code| {
            self.api.write(running, None, &BankResult::code(code), ReplyForm::Honest)
        })
    }

    fn name<'call>(&self, call: &'call BankRequest) -> (&'static str, &'call str) {
        (call.operation.name(), &call.order_no)
    }

    fn carry_out(&self, running: &Arc<SimulatorState>, call: &BankRequest) -> BankResult {
        match call.operation {
            BankOperation::Payment | BankOperation::Preauth | BankOperation::Payout => {
                self.begin(running, call)
            }
            BankOperation::Capture
            | BankOperation::Void
            | BankOperation::Undo
            | BankOperation::Refund => self.follow_up(running, call),
            BankOperation::Inquiry => self.inquire(running, call),
            BankOperation::Reversal => self.reverse(running, &call.order_no),
            BankOperation::Statement | BankOperation::File => {
                self.statement(running, &call.order_no)
            }
            BankOperation::Verification => self.verify(running, call),
            BankOperation::AgreementCode
            | BankOperation::Agreement
            | BankOperation::AgreementQuery
            | BankOperation::AgreementEnd
            | BankOperation::PaymentCode => self.agreement_step(running, call),
        }
    }

    fn write(
        &self,
        running: &SimulatorState,
        call: &BankRequest,
        draft: &BankResult,
        form: ReplyForm,
    ) -> HttpReply {
        let codes = self.api.codes();
        let ReplyForm::Unclear(variant) = form else {
            return self.api.write(running, Some(call), draft, form);
        };
        // Only a charge can also be "pending".
        let code = match (codes.unclear_charge, call.operation) {
            (
                Some(code),
                BankOperation::Payment | BankOperation::Preauth | BankOperation::Payout,
            ) if variant.is_multiple_of(2) => code,
            _ => codes.busy,
        };
        self.api.write(running, Some(call), &BankResult::code(code), ReplyForm::Honest)
    }
}
