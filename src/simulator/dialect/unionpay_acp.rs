//! UnionPay's online platform, ACP 5.1.0, back-end product without redirect: consume, undo,
//! reversal, query, and the notice of the result.
//!
//! A `respCode` 00 to a consume or an undo means accepted: the result follows by notice and is told
//! to queries as `origRespCode`. `merId`, `orderId` and `txnTime` together name a transaction; an
//! `orderId` that comes again is a duplicate (12) whatever its time.

use std::sync::Arc;
use std::time::Duration;

use hyper::StatusCode;
use hyper::body::Bytes;

use crate::codec::FieldLimits;
use crate::codec::acp;
use crate::codec::form::Fields;
use crate::config::section::Section;
use crate::domain::money::{AmountMinor, Currency};

use super::super::chance::Chance;
use super::super::counterpart::{Counterpart, Kept, TestCredential};
use super::super::keys::SimulatorKeys;
use super::super::ledger::{
    Entered, EntryState, Facts, Found, Instruction, Reversed, Undone, Verdict,
};
use super::super::notices::{Notice, schedule};
use super::super::running::Running;
use super::super::settings::{DialectSettings, UnionPayAcpSettings};
use super::acp_card::{FORMAT, JudgedCard, judge};
use super::acp_reply::{
    SUCCESS, WORKING, describe, echo, notice, query_id, reply, result_code, set_response,
};
use super::{AnswerCodes, Decline, Dialect, Dress, Received, Reply, decide};

const BACK_PATH: &str = "/gateway/api/backTransReq.do";
const QUERY_PATH: &str = "/gateway/api/queryTrans.do";

const BAD_SIGNATURE: &str = "11";
const DUPLICATE: &str = "12";
const MISSING: &str = "13";
const NO_PERMISSION: &str = "32";
const LIMIT: &str = "33";
const NOT_FOUND: &str = "34";
const WRONG_STATE: &str = "35";
const DIFFERS: &str = "36";
const ALREADY_UNDONE: &str = "45";
const ALREADY_REVERSED: &str = "46";
/// What a consume gets that comes after its reversal found nothing: not allowed.
const DEAD: &str = "30";

const CODES: AnswerCodes = AnswerCodes {
    approved: SUCCESS,
    declines: &[
        (Decline::later("64"), 40),
        (Decline::later("60"), 18),
        (Decline::later("65"), 8),
        (Decline::later("66"), 8),
        (Decline::later("73"), 6),
        (Decline::later("61"), 5),
        (Decline::at_once("33"), 5),
        (Decline::at_once("38"), 4),
        (Decline::at_once("68"), 3),
        (Decline::at_once("02"), 3),
    ],
};

/// Fields that every message has.
const MANDATORY: [&str; 10] = [
    "version",
    "encoding",
    "signMethod",
    "txnType",
    "txnSubType",
    "bizType",
    "accessType",
    "merId",
    "orderId",
    "txnTime",
];

/// See the head of this file.
pub(in crate::simulator) struct UnionPayAcp {
    keys: Arc<SimulatorKeys>,
    merchant_id: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operation {
    Consume,
    Undo,
    Reverse,
    Query,
}

impl Operation {
    /// By type and sub-type; the path must be one that takes it. Which path a reversal goes to
    /// differs between sources, so both do.
    fn of(fields: &Fields, path: &str) -> Option<Self> {
        let pair = (fields.get("txnType")?, fields.get("txnSubType")?);
        let (operation, fits) = match pair {
            ("01", "01") => (Self::Consume, path == BACK_PATH),
            ("31", "00") => (Self::Undo, path == BACK_PATH),
            ("99", "01") => (Self::Reverse, true),
            ("00", "00") => (Self::Query, path == QUERY_PATH),
            _ => return None,
        };
        fits.then_some(operation)
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Consume => "charge",
            Self::Undo => "undo",
            Self::Reverse => "reverse",
            Self::Query => "query",
        }
    }
}

/// One proved request. Its card data are gone but for the masked number.
pub(in crate::simulator) struct Call {
    operation: Operation,
    order_no: String,
    sent_at: String,
    /// The request's fields as answers repeat them.
    echoed: Fields,
    money: Option<(AmountMinor, Currency)>,
    card: Option<JudgedCard>,
}

/// What there is to answer: a code, and for a query the order.
pub(in crate::simulator) struct Draft {
    code: &'static str,
    found: Option<Found>,
}

impl Draft {
    const fn bare(code: &'static str) -> Self {
        Self { code, found: None }
    }
}

impl UnionPayAcp {
    pub fn new(settings: &UnionPayAcpSettings) -> Self {
        let UnionPayAcpSettings { keys, merchant_id } = settings.clone();
        Self { keys, merchant_id }
    }

    /// The refusal's code, for a request whose fields could be read.
    fn parse(&self, running: &Running, fields: &Fields, path: &str) -> Result<Call, &'static str> {
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
        let operation = Operation::of(fields, path).ok_or(NO_PERMISSION)?;
        check_own(operation, fields)?;
        let takes_money = matches!(operation, Operation::Consume | Operation::Undo);
        let card = if operation == Operation::Consume {
            let today = running.ledger.today(running.now());
            Some(judge(&self.keys, fields, today)?)
        } else {
            None
        };
        Ok(Call {
            operation,
            order_no: fields.get("orderId").unwrap_or_default().to_owned(),
            sent_at: fields.get("txnTime").unwrap_or_default().to_owned(),
            echoed: echo(fields),
            money: if takes_money { Some(read_money(fields)?) } else { None },
            card,
        })
    }

    fn consume(&self, running: &Arc<Running>, call: &Call) -> Draft {
        let (Some((amount, currency)), Some(card)) = (call.money, &call.card) else {
            return Draft::bare(FORMAT);
        };
        let too_large = amount.get() > running.settings.per_order_max_minor;
        let verdict = match card.problem.or(too_large.then_some(LIMIT)) {
            Some(code) => Verdict { approves: false, code, working: Duration::ZERO },
            None => decide(running, &call.order_no, &CODES),
        };
        let instruction = Instruction {
            order_no: &call.order_no,
            sent_at: &call.sent_at,
            amount,
            currency,
            card: Some(card.masked.clone()),
        };
        let entered = running.ledger.charge(running.now(), instruction, verdict, DEAD);
        self.accept(running, call, entered)
    }

    fn undo(&self, running: &Arc<Running>, call: &Call) -> Draft {
        let Some((amount, currency)) = call.money else { return Draft::bare(FORMAT) };
        let reference = call.echoed.get("origQryId").unwrap_or_default();
        let Some(original_no) = running.ledger.order_no_of(reference) else {
            return Draft::bare(WRONG_STATE);
        };
        let mut chance = Chance::of(running.settings.seed, "undo", &call.order_no, 0);
        let declines = chance.hits(u16::from(running.settings.undo_declines_percent) * 100);
        let working = chance.between(running.settings.working);
        let code = if declines { "60" } else { SUCCESS };
        let verdict = Verdict { approves: !declines, code, working };
        let (order_no, sent_at) = (&call.order_no, &call.sent_at);
        let instruction = Instruction { order_no, sent_at, amount, currency, card: None };
        match running.ledger.undo(running.now(), instruction, &original_no, verdict, DEAD) {
            Undone::Entered(entered) => self.accept(running, call, entered),
            Undone::Already => Draft::bare(ALREADY_UNDONE),
            Undone::Refused | Undone::NotFound => Draft::bare(WRONG_STATE),
            Undone::Differs => Draft::bare(DIFFERS),
        }
    }

    /// Answers a consume or an undo, and sees to its notice if it is new and being worked on.
    fn accept(&self, running: &Arc<Running>, call: &Call, entered: Entered) -> Draft {
        let facts = match entered {
            Entered::New(facts) => facts,
            Entered::Known { .. } => return Draft::bare(DUPLICATE),
        };
        running.ledger.remember(query_id(running, &facts), &call.order_no);
        let found = running.ledger.look(running.now(), &call.order_no);
        if facts.state == EntryState::Declined {
            return Draft { code: facts.code, found };
        }
        self.notify(running, call, &facts);
        Draft { code: SUCCESS, found }
    }

    fn notify(&self, running: &Arc<Running>, call: &Call, facts: &Facts) {
        let (keys, echoed) = (Arc::clone(&self.keys), call.echoed.clone());
        schedule(
            running,
            Notice {
                order_no: call.order_no.clone(),
                url: call.echoed.get("backUrl").unwrap_or_default().to_owned(),
                working: facts.ready_at.since(facts.received_at),
                write: Box::new(move |running, found, claim| {
                    notice(running, &keys, &echoed, found, claim)
                }),
            },
        );
    }

    fn query(running: &Running, call: &Call) -> Draft {
        let found = running.ledger.look(running.now(), &call.order_no);
        match found.filter(|found| *found.sent_at == *call.sent_at) {
            Some(found) => Draft { code: SUCCESS, found: Some(found) },
            None => Draft::bare(NOT_FOUND),
        }
    }

    fn reverse(running: &Running, call: &Call) -> Draft {
        match running.ledger.reverse(running.now(), &call.order_no, Some(&call.sent_at)) {
            Reversed::Done(_) => {
                let found = running.ledger.look(running.now(), &call.order_no);
                Draft { code: SUCCESS, found }
            }
            Reversed::Already(_) => Draft::bare(ALREADY_REVERSED),
            Reversed::Undone(_) => Draft::bare(ALREADY_UNDONE),
            Reversed::Refused(_) => Draft::bare(WRONG_STATE),
            Reversed::NotFound => Draft::bare(NOT_FOUND),
        }
    }
}

impl Dialect for UnionPayAcp {
    type Call = Call;
    type Draft = Draft;

    fn read(&self, running: &Running, received: &Received) -> Result<Call, Reply> {
        let path = received.path.as_str();
        if path != BACK_PATH && path != QUERY_PATH {
            let (status, body) = (StatusCode::NOT_FOUND, Bytes::new());
            return Err(Reply { status, headers: Vec::new(), body });
        }
        let refuse = |code, mut fields: Fields| {
            set_response(&mut fields, code);
            reply(&self.keys, fields, Dress::Honest)
        };
        let fields = Fields::decode_form(&received.body, FieldLimits::MESSAGE)
            .map_err(|_| refuse(FORMAT, Fields::new()))?;
        self.parse(running, &fields, path).map_err(|code| refuse(code, echo(&fields)))
    }

    fn name<'call>(&self, call: &'call Call) -> (&'static str, &'call str) {
        (call.operation.name(), &call.order_no)
    }

    fn carry_out(&self, running: &Arc<Running>, call: &Call) -> Draft {
        match call.operation {
            Operation::Consume => self.consume(running, call),
            Operation::Undo => self.undo(running, call),
            Operation::Reverse => Self::reverse(running, call),
            Operation::Query => Self::query(running, call),
        }
    }

    fn write(&self, running: &Running, call: &Call, draft: &Draft, dress: Dress) -> Reply {
        let mut fields = call.echoed.clone();
        let queries = call.operation == Operation::Query;
        if let Dress::Unclear(variant) = dress {
            let codes: &[&str] =
                if queries { &["37", "06", "03"] } else { &["03", "04", WORKING, "06", "99"] };
            let place = (variant % codes.len() as u64) as usize;
            set_response(&mut fields, codes[place]);
            return reply(&self.keys, fields, dress);
        }
        set_response(&mut fields, draft.code);
        match &draft.found {
            Some(found) if queries => {
                let code = result_code(&found.facts);
                describe(running, &mut fields, found);
                fields.set("origRespCode", code);
                fields.set("origRespMsg", super::acp_reply::message(code));
            }
            Some(found) => {
                fields.set("queryId", &query_id(running, &found.facts));
                if let Some(card) = &found.card {
                    fields.set("accNo", card.as_str());
                }
            }
            None => {}
        }
        reply(&self.keys, fields, dress)
    }
}

/// The other side of a channel file's section: its merchant, and a key for each of its references.
/// A set that was kept is used again.
pub fn counterpart(section: &Section<'_>, kept: &mut Kept) -> Option<Counterpart> {
    let keys = match SimulatorKeys::from_texts(|name| kept.get(name).map(|text| text.to_string())) {
        Some(keys) => keys,
        None => SimulatorKeys::generate(),
    };
    let keys = match keys {
        Ok(keys) => keys,
        Err(error) => {
            let advice = "remove the kept keys; new ones are made then";
            section.mistake("signing", &error.to_string(), advice);
            return None;
        }
    };
    kept.extend(keys.texts().map(|(name, text)| (name.to_owned(), text.to_owned().into())));
    let text = |key| section.optional_text(key);
    let mut credentials = Vec::new();
    let mut add = |reference: &str, text: &str| {
        credentials.push(TestCredential::new(reference, text));
    };
    for signing in section.sections("signing") {
        add(&signing.text("certificate"), &keys.merchant_certificate_pem);
        add(&signing.text("key"), &keys.merchant_key_pem);
    }
    for reference in section.optional_texts("encryption_certificates").unwrap_or_default() {
        add(&reference, &keys.encryption_certificate_pem);
    }
    let root = section.text("root_certificates");
    match text("intermediate_certificates") {
        Some(reference) => {
            add(&root, &keys.root_pem);
            add(&reference, &keys.intermediate_pem);
        }
        None => add(&root, &format!("{}{}", keys.root_pem, keys.intermediate_pem)),
    }
    let merchant_id = section.text("merchant_id");
    let addresses = ["transaction_url", "query_url", "reversal_url"];
    Some(Counterpart {
        dialect: DialectSettings::UnionPayAcp(UnionPayAcpSettings {
            keys: Arc::new(keys),
            merchant_id,
        }),
        credentials,
        addresses: addresses.into_iter().filter_map(text).collect(),
        notice_address: text("notice_url"),
    })
}

/// The forms of the fields that every message has.
fn check_common(fields: &Fields) -> Result<(), &'static str> {
    let is = |key, expected| fields.get(key) == Some(expected);
    let digits = |key: &str, length: usize| {
        let text = fields.get(key).unwrap_or_default();
        text.len() == length && text.bytes().all(|byte| byte.is_ascii_digit())
    };
    let order_id = fields.get("orderId").unwrap_or_default();
    let fits = is("version", "5.1.0")
        && is("encoding", "UTF-8")
        && digits("txnTime", 14)
        && digits("bizType", 6)
        && digits("accessType", 1)
        && (8..=40).contains(&order_id.len())
        && order_id.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if fits { Ok(()) } else { Err(FORMAT) }
}

/// The fields that an operation needs beyond the common ones.
fn check_own(operation: Operation, fields: &Fields) -> Result<(), &'static str> {
    let needed: &[&str] = match operation {
        Operation::Consume => &["channelType", "currencyCode", "txnAmt", "accType", "backUrl"],
        Operation::Undo => &["channelType", "currencyCode", "txnAmt", "origQryId", "backUrl"],
        Operation::Reverse => &["channelType"],
        Operation::Query => &[],
    };
    let missing = |key: &&str| fields.get(key).is_none_or(str::is_empty);
    if needed.iter().any(missing) { Err(MISSING) } else { Ok(()) }
}

fn read_money(fields: &Fields) -> Result<(AmountMinor, Currency), &'static str> {
    let text = fields.get("txnAmt").unwrap_or_default();
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let minor: i64 = text.parse().map_err(|_| FORMAT)?;
    let amount = AmountMinor::new(minor).map_err(|_| FORMAT)?;
    let numeric = fields.get("currencyCode");
    // The platform takes renminbi only.
    if !plain || numeric != Some(Currency::Cny.numeric()) {
        return Err(FORMAT);
    }
    Ok((amount, Currency::Cny))
}
