//! UnionPay's online platform, ACP 5.1.0, back-end product without redirect: consume,
//! authorisation, capture, refund, their undos, payout, reversal, query, the notice of the result,
//! and the statement file; and the token product, whose cards are opened by a code.
//!
//! To a message that moves or holds money, `respCode` 00 means accepted: the result follows by
//! notice, and queries carry it as `origRespCode`. `merId`, `orderId` and `txnTime` together name a
//! transaction; a repeated `orderId` is a duplicate (12) whatever its time.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::StatusCode;
use hyper::body::Bytes;
use jiff::civil::Date;

use crate::codec::FieldLimits;
use crate::codec::acp;
use crate::codec::form::Fields;
use crate::domain::money::{AmountMinor, Currency};
use crate::domain::time::BusinessDate;

use super::super::agreements::{
    CodePurpose, CodeVerdict, CodedPayer, CodedPayment, OpenedAgreement,
};
use super::super::chance::Chance;
use super::super::keys::SimulatorKeys;
use super::super::ledger::{
    BankOrder, EntryFacts, EntryKind, EntryState, EntryView, FollowUpResult, IssuerDecision,
    OrderResult, ReversalResult,
};
use super::super::message::{HttpReply, HttpRequest};
use super::super::notices::{BankNotice, Letter, schedule};
use super::super::settings::UnionPayAcpSettings;
use super::super::state::SimulatorState;
use super::acp_card::{AcpCard, FORMAT, judge, sms_code};
use super::acp_operation::{
    AcpOperation, AcpProduct, BACK_PATH, FILE_PATH, MANDATORY, MISSING, NO_PERMISSION, QUERY_PATH,
    check_common, check_own, order_no,
};
use super::acp_reply::{
    OrderTold, SUCCESS, WORKING, beijing, echo, notice, reply, result_code, set_end, set_response,
};
use super::statement::acp::pack;
use super::{AnswerCodes, DeclineCode, Dialect, ReplyForm, decide};

const BAD_SIGNATURE: &str = "11";
pub const DUPLICATE: &str = "12";
const LIMIT: &str = "33";
const NOT_FOUND: &str = "34";
const NO_FILE: &str = "98";
pub const WRONG_STATE: &str = "35";
pub const DIFFERS: &str = "36";
const ALREADY_UNDONE: &str = "45";
const ALREADY_REVERSED: &str = "46";
const CODE_TOO_LATE: &str = "69";
const WRONG_CODE: &str = "71";
pub const VOID_TOKEN: &str = "89";
/// The code of a consume that comes after its reversal found no order: not allowed.
const DEAD: &str = "30";

const CODES: AnswerCodes = AnswerCodes {
    approved: SUCCESS,
    declines: &[
        (DeclineCode::later("64"), 40),
        (DeclineCode::later("60"), 18),
        (DeclineCode::later("65"), 8),
        (DeclineCode::later("66"), 8),
        (DeclineCode::later("73"), 6),
        (DeclineCode::later("61"), 5),
        (DeclineCode::at_once("33"), 5),
        (DeclineCode::at_once("38"), 4),
        (DeclineCode::at_once("68"), 3),
        (DeclineCode::at_once("02"), 3),
    ],
};

/// How issuers answer whether a card is a person's.
const VERIFICATION_CODES: AnswerCodes = AnswerCodes {
    approved: SUCCESS,
    declines: &[
        (DeclineCode::at_once("66"), 70),
        (DeclineCode::at_once("63"), 15),
        (DeclineCode::at_once("68"), 15),
    ],
};

/// See the head of this file.
pub(in crate::simulator) struct UnionPayPlatform {
    keys: Arc<SimulatorKeys>,
    merchant_id: String,
    wants_codes: bool,
}

/// One verified request. Of its card data only the masked number is kept.
pub(in crate::simulator) struct AcpRequest {
    pub operation: AcpOperation,
    pub product: AcpProduct,
    pub order_no: String,
    pub sent_at: String,
    /// The request's fields as answers repeat them.
    pub echoed: Fields,
    pub money: Option<(AmountMinor, Currency)>,
    pub card: Option<AcpCard>,
    /// The token that it names.
    pub token: Option<String>,
    sms_code: Option<String>,
}

impl AcpRequest {
    /// The payment or authorisation that a code is for: kind, number, time, amount and payer are
    /// those of its request.
    fn coded_payment(&self) -> Option<CodePurpose> {
        let kind = match self.operation {
            AcpOperation::PaymentCode(kind) => kind,
            AcpOperation::Preauth => EntryKind::Preauth,
            _ => EntryKind::Charge,
        };
        let payer = match (&self.card, &self.token) {
            (Some(card), _) => CodedPayer::Card(card.known.hash),
            (None, Some(token)) => CodedPayer::Token(token.clone()),
            (None, None) => return None,
        };
        Some(CodePurpose::Payment(CodedPayment {
            kind,
            order_no: self.order_no.clone(),
            sent_at: self.sent_at.clone(),
            amount_minor: self.money?.0.get(),
            payer,
        }))
    }
}

/// The content of an answer: a code, and for a query the order.
pub(in crate::simulator) struct AcpResult {
    code: &'static str,
    found: Option<EntryView>,
    /// The name of a ZIP file and the bytes that travel for it.
    file: Option<(String, Vec<u8>)>,
    /// The agreement whose token the answer tells.
    opened: Option<OpenedAgreement>,
}

impl AcpResult {
    const fn bare(code: &'static str) -> Self {
        Self { code, found: None, file: None, opened: None }
    }

    const fn of(code: &'static str, found: Option<EntryView>) -> Self {
        Self { code, found, file: None, opened: None }
    }
}

impl UnionPayPlatform {
    pub fn new(settings: &UnionPayAcpSettings) -> Self {
        let UnionPayAcpSettings { keys, merchant_id, wants_codes } = settings.clone();
        Self { keys, merchant_id, wants_codes }
    }

    /// The refusal's code, for a request whose fields could be read. `today`: by which cards have
    /// expired.
    pub fn parse(
        &self,
        today: Date,
        fields: &Fields,
        path: &str,
    ) -> Result<AcpRequest, &'static str> {
        let ours = fields.get(acp::CERT_ID) == Some(&self.keys.merchant_serial)
            && fields.get(acp::SIGN_METHOD) == Some(acp::METHOD_RSA);
        if !ours || acp::verify_rsa(fields, &self.keys.merchant).is_err() {
            return Err(BAD_SIGNATURE);
        }
        if MANDATORY.iter().any(|key| fields.get(key).is_none_or(str::is_empty)) {
            return Err(MISSING);
        }
        check_common(fields)?;
        if fields.get("merId") != Some(&self.merchant_id) {
            return Err(NO_PERMISSION);
        }
        let operation = AcpOperation::of(fields, path).ok_or(NO_PERMISSION)?;
        let token = token_data(fields, "token");
        let product = check_own(operation, token.is_some(), fields)?;
        let card = if operation.takes_card() && token.is_none() {
            Some(judge(&self.keys, fields, today)?)
        } else {
            None
        };
        Ok(AcpRequest {
            operation,
            product,
            order_no: order_no(operation, fields).to_owned(),
            sent_at: fields.get("txnTime").unwrap_or_default().to_owned(),
            echoed: echo(fields),
            money: if operation.names_money() { Some(read_money(fields)?) } else { None },
            card,
            token,
            sms_code: sms_code(fields)?,
        })
    }

    /// Answers what brings a card: a consume, an authorisation or a payout.
    fn begin(&self, running: &Arc<SimulatorState>, call: &AcpRequest) -> AcpResult {
        let Some((amount, currency)) = call.money else { return AcpResult::bare(FORMAT) };
        let (masked, problem) = match (&call.card, &call.token) {
            (Some(card), _) => {
                let problem = card.problem.or_else(|| self.code_problem(running, call));
                (card.masked.clone(), problem)
            }
            (None, Some(token)) => match running.agreements.of_token(running.now(), token) {
                Some(agreement) => (agreement.masked, self.code_problem(running, call)),
                None => return AcpResult::bare(VOID_TOKEN),
            },
            (None, None) => return AcpResult::bare(FORMAT),
        };
        let too_large = amount.get() > running.settings.per_order_max_minor;
        let verdict = match problem.or(too_large.then_some(LIMIT)) {
            Some(code) => IssuerDecision { approves: false, code, working: Duration::ZERO },
            None => decide(running, &call.order_no, &CODES),
        };
        let instruction = BankOrder {
            order_no: &call.order_no,
            sent_at: &call.sent_at,
            amount,
            currency,
            card: Some(masked),
            product: call.product.name(),
        };
        let (ledger, now) = (&running.ledger, running.now());
        let entered = match call.operation {
            AcpOperation::Preauth => ledger.preauthorise(now, instruction, verdict, DEAD),
            AcpOperation::Payout => ledger.pay_out(now, instruction, verdict, DEAD),
            _ => ledger.charge(now, instruction, verdict, DEAD),
        };
        self.accept(running, call, entered)
    }

    /// Answers an undo, a refund or a capture of an earlier order.
    fn follow_up(&self, running: &Arc<SimulatorState>, call: &AcpRequest) -> AcpResult {
        let Some((amount, currency)) = call.money else { return AcpResult::bare(FORMAT) };
        let Some(original_no) = original_no(running, &call.echoed) else {
            return AcpResult::bare(WRONG_STATE);
        };
        let (now, name) = (running.now(), call.operation.name());
        let mut chance = Chance::of(running.settings.seed, name, &call.order_no, 0);
        let declines = chance.hits(u16::from(running.settings.undo_declines_percent) * 100);
        let working = chance.between(running.settings.working);
        let code = if declines { "60" } else { SUCCESS };
        let verdict = IssuerDecision { approves: !declines, code, working };
        let (order_no, sent_at) = (&call.order_no, &call.sent_at);
        let product = call.product.name();
        let instruction = BankOrder { order_no, sent_at, amount, currency, card: None, product };
        let ledger = &running.ledger;
        let original = ledger.look(now, &original_no);
        if original.as_ref().is_some_and(|found| found.product != product) {
            return AcpResult::bare(DIFFERS);
        }
        let entered = match call.operation {
            AcpOperation::Refund => ledger.refund(now, instruction, &original_no, verdict, DEAD),
            AcpOperation::Capture => ledger.capture(now, instruction, &original_no, verdict, DEAD),
            AcpOperation::Undo(kind) => {
                // The type names the kind of the original, which must be right.
                if original.is_none_or(|found| found.facts.kind != kind) {
                    return AcpResult::bare(DIFFERS);
                }
                ledger.undo(now, instruction, &original_no, verdict, DEAD)
            }
            AcpOperation::Consume
            | AcpOperation::Preauth
            | AcpOperation::Payout
            | AcpOperation::Reverse
            | AcpOperation::Query
            | AcpOperation::File
            | AcpOperation::Verify
            | AcpOperation::OpeningCode
            | AcpOperation::Open
            | AcpOperation::OpeningQuery
            | AcpOperation::PaymentCode(_)
            | AcpOperation::EndToken => return AcpResult::bare(NO_PERMISSION),
        };
        match entered {
            FollowUpResult::Entered(entered) => self.accept(running, call, entered),
            FollowUpResult::Already => AcpResult::bare(ALREADY_UNDONE),
            FollowUpResult::Refused | FollowUpResult::NotFound => AcpResult::bare(WRONG_STATE),
            FollowUpResult::Differs => AcpResult::bare(DIFFERS),
        }
    }

    /// Answers a message that moves or holds money, and schedules its notice if it is new and being
    /// worked on.
    fn accept(
        &self,
        running: &Arc<SimulatorState>,
        call: &AcpRequest,
        entered: OrderResult,
    ) -> AcpResult {
        let facts = match entered {
            OrderResult::New(facts) => facts,
            OrderResult::Known { .. } => return AcpResult::bare(DUPLICATE),
        };
        let found = running.ledger.look(running.now(), &call.order_no);
        if let Some(found) = &found {
            running.ledger.remember(OrderTold::from(found).query_id(), &call.order_no);
        }
        if facts.state == EntryState::Declined {
            return AcpResult::of(facts.code, found);
        }
        self.notify(running, call, &facts);
        AcpResult::of(SUCCESS, found)
    }

    fn notify(&self, running: &Arc<SimulatorState>, call: &AcpRequest, facts: &EntryFacts) {
        let (keys, echoed) = (Arc::clone(&self.keys), call.echoed.clone());
        schedule(
            running,
            BankNotice {
                order_no: call.order_no.clone(),
                url: call.echoed.get("backUrl").unwrap_or_default().to_owned(),
                working: facts.ready_at.since(facts.received_at),
                write: Box::new(move |_running, found, content| {
                    Letter::form(notice(&keys.platform, &echoed, found, content))
                }),
            },
        );
    }

    /// Answers for the issuer, at once and for good: nothing is entered, and nothing follows.
    fn verify(running: &SimulatorState, call: &AcpRequest) -> AcpResult {
        let problem = call.card.as_ref().and_then(|card| card.problem);
        let decided = decide(running, &call.order_no, &VERIFICATION_CODES);
        AcpResult::bare(problem.unwrap_or(decided.code))
    }

    /// Sends the code that opens a card.
    fn send_opening_code(running: &SimulatorState, call: &AcpRequest) -> AcpResult {
        let Some(card) = &call.card else { return AcpResult::bare(FORMAT) };
        if let Some(problem) = card.problem {
            return AcpResult::bare(problem);
        }
        running.agreements.send_code(running.now(), CodePurpose::Opening(card.known.hash));
        AcpResult::bare(SUCCESS)
    }

    /// Opens a card for payments by token, at once and for good. A repeated number is a duplicate.
    fn open(running: &SimulatorState, call: &AcpRequest) -> AcpResult {
        let (Some(card), Some(code)) = (&call.card, &call.sms_code) else {
            return AcpResult::bare(MISSING);
        };
        let (now, book) = (running.now(), &running.agreements);
        if book.opened_by(&call.order_no).is_some() {
            return AcpResult::bare(DUPLICATE);
        }
        let verdict = book.take_code(now, &CodePurpose::Opening(card.known.hash), code);
        let decided = decide(running, &call.order_no, &VERIFICATION_CODES);
        let refused = code_problem(verdict).or(card.problem);
        match refused.or((!decided.approves).then_some(decided.code)) {
            Some(code) => AcpResult::bare(code),
            None => {
                let named = (&*call.order_no, &*call.sent_at);
                let opened = Some(book.open(now, named, &card.known));
                AcpResult { opened, ..AcpResult::bare(SUCCESS) }
            }
        }
    }

    fn opening_query(running: &SimulatorState, call: &AcpRequest) -> AcpResult {
        let found = running.agreements.opened_by(&call.order_no);
        match found.filter(|found| found.sent_at == call.sent_at) {
            Some(found) => AcpResult { opened: Some(found), ..AcpResult::bare(SUCCESS) },
            None => AcpResult::bare(NOT_FOUND),
        }
    }

    fn send_payment_code(running: &SimulatorState, call: &AcpRequest) -> AcpResult {
        if let Some(problem) = call.card.as_ref().and_then(|card| card.problem) {
            return AcpResult::bare(problem);
        }
        let is_void = |token: &str| running.agreements.of_token(running.now(), token).is_none();
        if call.token.as_deref().is_some_and(is_void) {
            return AcpResult::bare(VOID_TOKEN);
        }
        let Some(purpose) = call.coded_payment() else { return AcpResult::bare(MISSING) };
        running.agreements.send_code(running.now(), purpose);
        AcpResult::bare(SUCCESS)
    }

    /// What is wrong with the code of a consume or an authorisation. The merchant may send none,
    /// unless its contract wants one.
    fn code_problem(&self, running: &SimulatorState, call: &AcpRequest) -> Option<&'static str> {
        if !matches!(call.operation, AcpOperation::Consume | AcpOperation::Preauth) {
            return None;
        }
        let Some(code) = call.sms_code.as_deref() else {
            return self.wants_codes.then_some(MISSING);
        };
        let purpose = call.coded_payment()?;
        code_problem(running.agreements.take_code(running.now(), &purpose, code))
    }

    fn end_token(running: &SimulatorState, call: &AcpRequest) -> AcpResult {
        let was_good = running.agreements.end(call.token.as_deref().unwrap_or_default());
        AcpResult::bare(if was_good { SUCCESS } else { VOID_TOKEN })
    }

    fn query(running: &SimulatorState, call: &AcpRequest) -> AcpResult {
        let found = running.ledger.look(running.now(), &call.order_no);
        match found.filter(|found| *found.sent_at == *call.sent_at) {
            Some(found) => AcpResult::of(SUCCESS, Some(found)),
            None => AcpResult::bare(NOT_FOUND),
        }
    }

    /// The statement of the date in `settleDate`, if its clearing day is over and had any order.
    fn file(&self, running: &SimulatorState, call: &AcpRequest) -> AcpResult {
        let settling = running.ledger.settling(running.now());
        let mmdd = call.echoed.get("settleDate").unwrap_or_default();
        let Some(date) = BusinessDate::from_mmdd(mmdd, settling) else {
            return AcpResult::bare(FORMAT);
        };
        match running.closed_statement(date) {
            Ok(statement) => {
                let file = pack(&statement, &self.merchant_id);
                AcpResult { file: Some(file), ..AcpResult::bare(SUCCESS) }
            }
            Err(_) => AcpResult::bare(NO_FILE),
        }
    }

    fn reverse(running: &SimulatorState, call: &AcpRequest) -> AcpResult {
        match running.ledger.reverse(running.now(), &call.order_no, Some(&call.sent_at)) {
            ReversalResult::Done(_) => {
                let found = running.ledger.look(running.now(), &call.order_no);
                AcpResult::of(SUCCESS, found)
            }
            ReversalResult::Already(_) => AcpResult::bare(ALREADY_REVERSED),
            ReversalResult::Undone(_) => AcpResult::bare(ALREADY_UNDONE),
            ReversalResult::Refused(_) => AcpResult::bare(WRONG_STATE),
            ReversalResult::NotFound => AcpResult::bare(NOT_FOUND),
        }
    }
}

impl Dialect for UnionPayPlatform {
    type Call = AcpRequest;
    type Draft = AcpResult;

    fn read(
        &self,
        running: &SimulatorState,
        received: &HttpRequest,
    ) -> Result<AcpRequest, HttpReply> {
        let path = received.path.as_str();
        if ![BACK_PATH, QUERY_PATH, FILE_PATH].contains(&path) {
            let (status, body) = (StatusCode::NOT_FOUND, Bytes::new());
            return Err(HttpReply { status, headers: Vec::new(), body });
        }
        let refuse = |code, mut fields: Fields| {
            set_response(&mut fields, code);
            reply(&self.keys.platform, fields, ReplyForm::Honest)
        };
        let fields = Fields::decode_form(&received.body, FieldLimits::MESSAGE)
            .map_err(|_| refuse(FORMAT, Fields::new()))?;
        let today = running.ledger.today(running.now());
        self.parse(today, &fields, path).map_err(|code| refuse(code, echo(&fields)))
    }

    fn name<'call>(&self, call: &'call AcpRequest) -> (&'static str, &'call str) {
        (call.operation.name(), &call.order_no)
    }

    fn carry_out(&self, running: &Arc<SimulatorState>, call: &AcpRequest) -> AcpResult {
        match call.operation {
            AcpOperation::Consume | AcpOperation::Preauth | AcpOperation::Payout => {
                self.begin(running, call)
            }
            AcpOperation::Capture | AcpOperation::Undo(_) | AcpOperation::Refund => {
                self.follow_up(running, call)
            }
            AcpOperation::Reverse => Self::reverse(running, call),
            AcpOperation::Query => Self::query(running, call),
            AcpOperation::File => self.file(running, call),
            AcpOperation::Verify => Self::verify(running, call),
            AcpOperation::OpeningCode => Self::send_opening_code(running, call),
            AcpOperation::Open => Self::open(running, call),
            AcpOperation::OpeningQuery => Self::opening_query(running, call),
            AcpOperation::PaymentCode(_) => Self::send_payment_code(running, call),
            AcpOperation::EndToken => Self::end_token(running, call),
        }
    }

    fn write(
        &self,
        _running: &SimulatorState,
        call: &AcpRequest,
        draft: &AcpResult,
        form: ReplyForm,
    ) -> HttpReply {
        let mut fields = call.echoed.clone();
        let queries = call.operation == AcpOperation::Query;
        if let ReplyForm::Unclear(variant) = form {
            let codes: &[&str] =
                if queries { &["37", "06", "03"] } else { &["03", "04", WORKING, "06", "99"] };
            let place = (variant % codes.len() as u64) as usize;
            set_response(&mut fields, codes[place]);
            return reply(&self.keys.platform, fields, form);
        }
        set_response(&mut fields, draft.code);
        if let Some(opened) = &draft.opened {
            set_token(&mut fields, opened);
        }
        if let Some((name, content)) = &draft.file {
            fields.set("fileName", name);
            fields.set("fileContent", &STANDARD.encode(content));
        }
        match &draft.found {
            Some(found) if queries => {
                set_end(&mut fields, &found.into(), result_code(&found.facts));
            }
            Some(found) => OrderTold::from(found).name(&mut fields),
            None => {}
        }
        reply(&self.keys.platform, fields, form)
    }
}

/// Writes the token of an agreement, for whoever asks in these fields.
pub(in crate::simulator) fn set_token(fields: &mut Fields, opened: &OpenedAgreement) {
    let time = |moment| beijing(moment).strftime("%Y%m%d%H%M%S").to_string();
    let requestor = token_data(fields, "trId").unwrap_or_default();
    let told = format!(
        "{{token={}&trId={requestor}&tokenLevel=40&tokenBegin={}&tokenEnd={}&tokenType=01}}",
        opened.token,
        time(opened.begins_at),
        time(opened.ends_at),
    );
    fields.set("tokenPayData", &told);
}

/// A part of `tokenPayData`, which is `{k=v&…}`.
fn token_data(fields: &Fields, key: &str) -> Option<String> {
    let data = fields.get("tokenPayData").filter(|data| data.starts_with('{'))?;
    let data = Fields::decode_line(data.as_bytes(), FieldLimits::MESSAGE).ok()?;
    data.get(key).map(str::to_owned)
}

/// The code with which a code by SMS is refused.
const fn code_problem(verdict: CodeVerdict) -> Option<&'static str> {
    match verdict {
        CodeVerdict::Right => None,
        CodeVerdict::Wrong => Some(WRONG_CODE),
        CodeVerdict::Expired | CodeVerdict::UsedUp => Some(CODE_TOO_LATE),
    }
}

/// The order that a follow-up names, by the platform's number or by the merchant's with its time.
fn original_no(running: &SimulatorState, fields: &Fields) -> Option<Box<str>> {
    if let Some(reference) = fields.get("origQryId") {
        return running.ledger.order_no_of(reference);
    }
    let (number, time) = (fields.get("origOrderId")?, fields.get("origTxnTime")?);
    let found = running.ledger.look(running.now(), number)?;
    (*found.sent_at == *time).then(|| number.into())
}

fn read_money(fields: &Fields) -> Result<(AmountMinor, Currency), &'static str> {
    let text = fields.get("txnAmt").unwrap_or_default();
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let minor: i64 = text.parse().map_err(|_| FORMAT)?;
    let amount = AmountMinor::new(minor).map_err(|_| FORMAT)?;
    let numeric = fields.get("currencyCode");
    // The platform accepts renminbi only.
    if !plain || numeric != Some(Currency::Cny.numeric()) {
        return Err(FORMAT);
    }
    Ok((amount, Currency::Cny))
}
