//! UnionPay's online platform, ACP 5.1.0, back-end product without redirect: consume,
//! authorisation, capture, refund, their undos, payout, reversal, query, the notice of the result,
//! and the statement file.
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

use crate::codec::FieldLimits;
use crate::codec::acp;
use crate::codec::form::Fields;
use crate::domain::money::{AmountMinor, Currency};
use crate::domain::time::BusinessDate;

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
use super::acp_card::{AcpCard, FORMAT, judge};
use super::acp_reply::{
    SUCCESS, WORKING, describe, echo, notice, query_id, reply, result_code, set_response,
};
use super::statement::acp::pack;
use super::{AnswerCodes, DeclineCode, Dialect, ReplyForm, decide};

const BACK_PATH: &str = "/gateway/api/backTransReq.do";
const QUERY_PATH: &str = "/gateway/api/queryTrans.do";
/// The path of the file host.
const FILE_PATH: &str = "/";

const BAD_SIGNATURE: &str = "11";
const DUPLICATE: &str = "12";
const MISSING: &str = "13";
const NO_PERMISSION: &str = "32";
const LIMIT: &str = "33";
const NOT_FOUND: &str = "34";
const NO_FILE: &str = "98";
const WRONG_STATE: &str = "35";
const DIFFERS: &str = "36";
const ALREADY_UNDONE: &str = "45";
const ALREADY_REVERSED: &str = "46";
/// `bizType` of payouts.
const PAYOUT_PRODUCT: &str = "000401";
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

/// Fields that every message has; one about an order has its `orderId` too.
const MANDATORY: [&str; 9] = [
    "version",
    "encoding",
    "signMethod",
    "txnType",
    "txnSubType",
    "bizType",
    "accessType",
    "merId",
    "txnTime",
];

/// See the head of this file.
pub(in crate::simulator) struct UnionPayPlatform {
    keys: Arc<SimulatorKeys>,
    merchant_id: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AcpOperation {
    Consume,
    Preauth,
    Payout,
    Capture,
    /// Takes back a consume, an authorisation or a capture: each has a type of its own.
    Undo(EntryKind),
    Refund,
    Reverse,
    Query,
    /// The statement file of a date.
    File,
    /// Whether the card is the named person's.
    Verify,
}

impl AcpOperation {
    /// The operation of a type and sub-type, if the path takes it. Sources differ on the path of a
    /// reversal, so both paths take it.
    fn of(fields: &Fields, path: &str) -> Option<Self> {
        let pair = (fields.get("txnType")?, fields.get("txnSubType")?);
        let (operation, fits) = match pair {
            ("01", "01") => (Self::Consume, path == BACK_PATH),
            ("02", "01") => (Self::Preauth, path == BACK_PATH),
            ("12", "00") => (Self::Payout, path == BACK_PATH),
            ("03", "00") => (Self::Capture, path == BACK_PATH),
            ("04", "00") => (Self::Refund, path == BACK_PATH),
            ("31", "00") => (Self::Undo(EntryKind::Charge), path == BACK_PATH),
            ("32", "00") => (Self::Undo(EntryKind::Preauth), path == BACK_PATH),
            ("33", "00") => (Self::Undo(EntryKind::Capture), path == BACK_PATH),
            ("72", "01") => (Self::Verify, path == BACK_PATH),
            ("99", "01") => (Self::Reverse, path == BACK_PATH || path == QUERY_PATH),
            ("00", "00") => (Self::Query, path == QUERY_PATH),
            ("76", "01") => (Self::File, path == FILE_PATH),
            _ => return None,
        };
        fits.then_some(operation)
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Consume => "charge",
            Self::Preauth => "preauth",
            Self::Payout => "payout",
            Self::Capture => "capture",
            Self::Undo(_) => "undo",
            Self::Refund => "refund",
            Self::Reverse => "reverse",
            Self::Query => "query",
            Self::File => "file",
            Self::Verify => "verify",
        }
    }

    /// Whether the request brings a card to pay with, to pay to, or to verify.
    const fn takes_card(self) -> bool {
        match self {
            Self::Consume | Self::Preauth | Self::Payout | Self::Verify => true,
            Self::Capture
            | Self::Undo(_)
            | Self::Refund
            | Self::Reverse
            | Self::Query
            | Self::File => false,
        }
    }

    const fn names_money(self) -> bool {
        match self {
            Self::Consume
            | Self::Preauth
            | Self::Payout
            | Self::Capture
            | Self::Undo(_)
            | Self::Refund => true,
            Self::Reverse | Self::Query | Self::File | Self::Verify => false,
        }
    }
}

/// One verified request. Of its card data only the masked number is kept.
pub(in crate::simulator) struct AcpRequest {
    operation: AcpOperation,
    order_no: String,
    sent_at: String,
    /// The request's fields as answers repeat them.
    echoed: Fields,
    money: Option<(AmountMinor, Currency)>,
    card: Option<AcpCard>,
}

/// The content of an answer: a code, and for a query the order.
pub(in crate::simulator) struct AcpResult {
    code: &'static str,
    found: Option<EntryView>,
    /// The name of a ZIP file and the bytes that travel for it.
    file: Option<(String, Vec<u8>)>,
}

impl AcpResult {
    const fn bare(code: &'static str) -> Self {
        Self { code, found: None, file: None }
    }

    const fn of(code: &'static str, found: Option<EntryView>) -> Self {
        Self { code, found, file: None }
    }
}

impl UnionPayPlatform {
    pub fn new(settings: &UnionPayAcpSettings) -> Self {
        let UnionPayAcpSettings { keys, merchant_id } = settings.clone();
        Self { keys, merchant_id }
    }

    /// The refusal's code, for a request whose fields could be read.
    fn parse(
        &self,
        running: &SimulatorState,
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
        check_own(operation, fields)?;
        let card = if operation.takes_card() {
            let today = running.ledger.today(running.now());
            Some(judge(&self.keys, fields, today)?)
        } else {
            None
        };
        Ok(AcpRequest {
            operation,
            order_no: order_no(operation, fields).to_owned(),
            sent_at: fields.get("txnTime").unwrap_or_default().to_owned(),
            echoed: echo(fields),
            money: if operation.names_money() { Some(read_money(fields)?) } else { None },
            card,
        })
    }

    /// Answers what brings a card: a consume, an authorisation or a payout.
    fn begin(&self, running: &Arc<SimulatorState>, call: &AcpRequest) -> AcpResult {
        let (Some((amount, currency)), Some(card)) = (call.money, &call.card) else {
            return AcpResult::bare(FORMAT);
        };
        let too_large = amount.get() > running.settings.per_order_max_minor;
        let verdict = match card.problem.or(too_large.then_some(LIMIT)) {
            Some(code) => IssuerDecision { approves: false, code, working: Duration::ZERO },
            None => decide(running, &call.order_no, &CODES),
        };
        let instruction = BankOrder {
            order_no: &call.order_no,
            sent_at: &call.sent_at,
            amount,
            currency,
            card: Some(card.masked.clone()),
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
        let instruction = BankOrder { order_no, sent_at, amount, currency, card: None };
        let ledger = &running.ledger;
        let entered = match call.operation {
            AcpOperation::Refund => ledger.refund(now, instruction, &original_no, verdict, DEAD),
            AcpOperation::Capture => ledger.capture(now, instruction, &original_no, verdict, DEAD),
            AcpOperation::Undo(kind) => {
                // The type names the kind of the original, which must be right.
                let original = ledger.look(now, &original_no);
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
            | AcpOperation::Verify => return AcpResult::bare(NO_PERMISSION),
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
        running.ledger.remember(query_id(&facts), &call.order_no);
        let found = running.ledger.look(running.now(), &call.order_no);
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
                    Letter::form(notice(&keys, &echoed, found, content))
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
                AcpResult { code: SUCCESS, found: None, file: Some(file) }
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
            reply(&self.keys, fields, ReplyForm::Honest)
        };
        let fields = Fields::decode_form(&received.body, FieldLimits::MESSAGE)
            .map_err(|_| refuse(FORMAT, Fields::new()))?;
        self.parse(running, &fields, path).map_err(|code| refuse(code, echo(&fields)))
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
            return reply(&self.keys, fields, form);
        }
        set_response(&mut fields, draft.code);
        if let Some((name, content)) = &draft.file {
            fields.set("fileName", name);
            fields.set("fileContent", &STANDARD.encode(content));
        }
        match &draft.found {
            Some(found) if queries => {
                let code = result_code(&found.facts);
                describe(&mut fields, found);
                fields.set("origRespCode", code);
                fields.set("origRespMsg", super::acp_reply::message(code));
            }
            Some(found) => {
                fields.set("queryId", &query_id(&found.facts));
                if let Some(card) = &found.card {
                    fields.set("accNo", card.as_str());
                }
            }
            None => {}
        }
        reply(&self.keys, fields, form)
    }
}

/// The name of a call: its order number, or the date of a file.
fn order_no(operation: AcpOperation, fields: &Fields) -> &str {
    let key = if operation == AcpOperation::File { "settleDate" } else { "orderId" };
    fields.get(key).unwrap_or_default()
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

/// The forms of the fields that every message has.
fn check_common(fields: &Fields) -> Result<(), &'static str> {
    let is = |key, expected| fields.get(key) == Some(expected);
    let digits = |key: &str, length: usize| {
        let text = fields.get(key).unwrap_or_default();
        text.len() == length && text.bytes().all(|byte| byte.is_ascii_digit())
    };
    let is_file = is("txnType", "76");
    let order_id = fields.get("orderId").unwrap_or_default();
    let names_order = (8..=40).contains(&order_id.len())
        && order_id.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if order_id.is_empty() && !is_file {
        return Err(MISSING);
    }
    let fits = is("version", "5.1.0")
        && is("encoding", "UTF-8")
        && digits("txnTime", 14)
        && digits("bizType", 6)
        && digits("accessType", 1)
        && (names_order || is_file);
    if fits { Ok(()) } else { Err(FORMAT) }
}

/// The fields that an operation needs beyond the common ones.
fn check_own(operation: AcpOperation, fields: &Fields) -> Result<(), &'static str> {
    let needed: &[&str] = match operation {
        AcpOperation::Consume | AcpOperation::Preauth | AcpOperation::Payout => {
            &["channelType", "currencyCode", "txnAmt", "accType", "backUrl"]
        }
        AcpOperation::Capture | AcpOperation::Undo(_) | AcpOperation::Refund => {
            &["channelType", "currencyCode", "txnAmt", "backUrl"]
        }
        AcpOperation::Reverse => &["channelType"],
        AcpOperation::Query => &[],
        AcpOperation::File => &["fileType", "settleDate"],
        AcpOperation::Verify => &["channelType", "accType", "accNo", "customerInfo"],
    };
    let missing = |key: &&str| fields.get(key).is_none_or(str::is_empty);
    if needed.iter().any(missing) {
        return Err(MISSING);
    }
    // Payouts are a product of their own.
    let is_payout = operation == AcpOperation::Payout;
    if is_payout && fields.get("bizType") != Some(PAYOUT_PRODUCT) {
        return Err(NO_PERMISSION);
    }
    Ok(())
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
