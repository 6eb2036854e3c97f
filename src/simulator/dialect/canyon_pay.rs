//! Canyon Pay: a platform with a REST interface, the worked example of notices.
//!
//! `POST /v3/pay/cards`, `GET` of one, its `/revoke`; `POST /v3/refunds`, `GET` of one; `GET
//! /v3/bills/trade` names the address of a date's bill, which lies there as gzip. Requests
//! are signed by RSA in their `Authorization` header, card data are encrypted to the platform's
//! key. What went well has a state, what was refused a code and a status of 4xx. One payment in
//! four is decided later and every refund is; the end is told by an encrypted notice and to
//! whoever asks.

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use hyper::StatusCode;
use hyper::body::Bytes;
use serde_json::{Value as Json, json};

use crate::codec::crypto::digest::Digest;
use crate::codec::sign::{hex_lower, sha256_hex};
use crate::domain::card::{Expiry, MaskedPan, Pan};
use crate::domain::money::{AmountMinor, Currency};
use crate::domain::time::BusinessDate;

use super::super::chance::Chance;
use super::super::ledger::{
    Entered, EntryKind, EntryState, Facts, Instruction, Reversed, Undone, Verdict,
};
use super::super::notices::{Claim, Letter, Notice, schedule};
use super::super::running::Running;
use super::super::settings::CanyonPaySettings;
use super::super::statement::NoStatement;
use super::canyon_keys::CanyonKeys;
use super::{AnswerCodes, Decline, Dialect, Dress, Received, Reply, decide, statement};

const DO_NOT_HONOUR: &str = "ACCOUNT_ERROR";
const INVALID_CARD: &str = "INVALID_CARD";
const LACKS: &str = "NOT_ENOUGH";
const FORMAT: &str = "PARAM_ERROR";
const BAD_SIGNATURE: &str = "SIGN_ERROR";
const REFUSED: &str = "NOT_ELIGIBLE";
const NOT_FOUND: &str = "RESOURCE_NOT_EXISTS";
const BUSY: &str = "SYSTEM_ERROR";
const NO_BILL: &str = "NO_STATEMENT_EXIST";
const BILL_LATER: &str = "STATEMENT_CREATING";
/// Of what has a state instead.
const NO_CODE: &str = "";
/// Payments out of ten thousand that are decided later.
const LATER_PARTS: u16 = 2_500;

const CODES: AnswerCodes = AnswerCodes {
    approved: NO_CODE,
    declines: &[
        (Decline::later(LACKS), 60),
        (Decline::later(DO_NOT_HONOUR), 30),
        (Decline::at_once("CLOSED"), 10),
    ],
};

/// See the head of this file.
pub(in crate::simulator) struct CanyonPay {
    merchant_id: String,
    keys: Arc<CanyonKeys>,
}

pub(in crate::simulator) enum Call {
    Pay(Payment),
    Refund {
        order_no: String,
        original_no: String,
        amount: AmountMinor,
    },
    Query {
        kind: EntryKind,
        order_no: String,
    },
    Revoke {
        order_no: String,
    },
    /// Where a date's bill lies; `host` is what the merchant calls us.
    Bill {
        date: String,
        host: String,
    },
    /// The bill itself.
    File {
        date: String,
    },
}

pub(in crate::simulator) struct Payment {
    order_no: String,
    sent_at: String,
    amount: AmountMinor,
    card: MaskedPan,
    /// Why the card data alone decline it.
    problem: Option<&'static str>,
}

/// What is told, or the code of a refusal.
pub(in crate::simulator) type Draft = Result<Told, &'static str>;

pub(in crate::simulator) enum Told {
    Order(Facts),
    /// A bill: both what is said of it, and its bytes.
    Bill(Vec<u8>),
}

type Known = Result<Facts, &'static str>;

impl CanyonPay {
    pub fn new(settings: &CanyonPaySettings) -> Self {
        Self { merchant_id: settings.merchant_id.clone(), keys: Arc::clone(&settings.keys) }
    }

    fn parse(&self, running: &Running, received: &Received) -> Option<Call> {
        let path = received.path.strip_prefix("/v3/")?;
        let parts: Vec<&str> = path.split('/').collect();
        let is_ours = |text: &str| text == self.merchant_id;
        if received.method == hyper::Method::GET {
            let value = |name: &str| {
                let mut pairs = received.query.split('&').filter_map(|pair| pair.split_once('='));
                pairs.find(|(key, _)| *key == name).map(|(_, value)| value)
            };
            let mchid = value("mchid");
            if let ["bills", "trade"] = parts[..] {
                mchid.filter(|text| is_ours(text))?;
                let date = BusinessDate::parse(value("bill_date")?)?.to_string();
                let host = received.headers.get(hyper::header::HOST)?.to_str().ok()?.to_owned();
                return Some(Call::Bill { date, host });
            }
            if let ["bills", "files", date] = parts[..] {
                let date = BusinessDate::parse(date)?.to_string();
                return (value("token")? == token_of(running, &date))
                    .then_some(Call::File { date });
            }
            let (kind, order_no) = match parts[..] {
                ["pay", "cards", number] if mchid.is_some_and(is_ours) => {
                    (EntryKind::Charge, number)
                }
                ["refunds", number] => (EntryKind::Refund, number),
                _ => return None,
            };
            return Some(Call::Query { kind, order_no: plain(order_no)? });
        }
        let body: Json = serde_json::from_slice(&received.body).ok()?;
        body["mchid"].as_str().filter(|text| is_ours(text))?;
        match parts[..] {
            ["pay", "cards"] => self.parse_payment(running, &body).map(Call::Pay),
            ["pay", "cards", number, "revoke"] => Some(Call::Revoke { order_no: plain(number)? }),
            ["refunds"] => Some(Call::Refund {
                order_no: plain(body["out_refund_no"].as_str()?)?,
                original_no: plain(body["out_trade_no"].as_str()?)?,
                amount: AmountMinor::new(body["amount"]["refund"].as_i64()?).ok()?,
            }),
            _ => None,
        }
    }

    fn parse_payment(&self, running: &Running, body: &Json) -> Option<Payment> {
        let card = &body["card"];
        let number = self.keys.open(card["number"].as_str()?)?;
        if let Some(cvv) = card["cvv"].as_str() {
            self.keys.open(cvv).filter(|text| text.len() == 3)?;
        }
        if body["amount"]["currency"].as_str()? != Currency::Cny.code() {
            return None;
        }
        let today = running.ledger.today(running.now());
        let lives = |text: &str| {
            Expiry::parse_yymm(text).is_some_and(|one| !one.is_before(today.year(), today.month()))
        };
        let expired = card["expiry"].as_str().is_some_and(|text| !lives(text));
        Some(Payment {
            order_no: plain(body["out_trade_no"].as_str()?)?,
            sent_at: body["time"].as_str()?.to_owned(),
            amount: AmountMinor::new(body["amount"]["total"].as_i64()?).ok()?,
            card: MaskedPan::from_stored(&number),
            problem: (expired || Pan::parse(&number).is_err()).then_some(INVALID_CARD),
        })
    }

    fn pay(&self, running: &Arc<Running>, payment: &Payment) -> Known {
        let too_large = payment.amount.get() > running.settings.per_order_max_minor;
        let verdict = match payment.problem.or(too_large.then_some(DO_NOT_HONOUR)) {
            Some(code) => Verdict { approves: false, code, working: Duration::ZERO },
            None => {
                let verdict = decide(running, &payment.order_no, &CODES);
                let seed = running.settings.seed;
                let later = Chance::of(seed, "later", &payment.order_no, 0).hits(LATER_PARTS);
                if later { verdict } else { Verdict { working: Duration::ZERO, ..verdict } }
            }
        };
        let asked = Instruction {
            order_no: &payment.order_no,
            sent_at: &payment.sent_at,
            amount: payment.amount,
            currency: Currency::Cny,
            card: Some(payment.card.clone()),
        };
        let entered = running.ledger.charge(running.now(), asked, verdict, DO_NOT_HONOUR);
        self.told(running, &payment.order_no, entered)
    }

    fn refund(
        &self,
        running: &Arc<Running>,
        order_no: &str,
        original_no: &str,
        amount: AmountMinor,
    ) -> Known {
        let now = running.now();
        let original = running.ledger.look(now, original_no).ok_or(REFUSED)?;
        let verdict = decide(running, order_no, &CODES);
        let declines = running.settings.undo_declines_percent;
        let mut chance = Chance::of(running.settings.seed, "undo", order_no, 0);
        let approves = !chance.hits(u16::from(declines) * 100);
        let code = if approves { NO_CODE } else { REFUSED };
        let verdict = Verdict { approves, code, working: verdict.working };
        let asked = Instruction {
            order_no,
            sent_at: "",
            amount,
            currency: Currency::Cny,
            card: original.card,
        };
        match running.ledger.refund(now, asked, original_no, verdict, REFUSED) {
            Undone::Entered(entered) => self.told(running, order_no, entered),
            Undone::Already | Undone::Refused | Undone::Differs | Undone::NotFound => Err(REFUSED),
        }
    }

    fn told(&self, running: &Arc<Running>, order_no: &str, entered: Entered) -> Known {
        match entered {
            Entered::New(facts) => {
                self.notify(running, order_no, &facts);
                Ok(facts)
            }
            Entered::Known { facts, same: true } => Ok(facts),
            Entered::Known { facts: _, same: false } => Err(FORMAT),
        }
    }

    /// Has the end told, once there is one, to the address that is configured at the platform.
    fn notify(&self, running: &Arc<Running>, order_no: &str, facts: &Facts) {
        let Some(url) = running.settings.notices_to.clone() else { return };
        let (keys, number) = (Arc::clone(&self.keys), order_no.to_owned());
        let working = facts.ready_at.since(facts.received_at);
        let write = move |running: &Running, found: &super::super::ledger::Found, claim: Claim| {
            let mut facts = found.facts;
            if claim != Claim::Truth {
                facts.approves = facts.state == EntryState::Declined;
                facts.state =
                    if facts.approves { EntryState::Approved } else { EntryState::Declined };
                facts.code = if facts.approves { NO_CODE } else { LACKS };
            }
            let said = match facts.state {
                EntryState::Declined => false,
                EntryState::Working
                | EntryState::Approved
                | EntryState::Undone
                | EntryState::Reversed => true,
            };
            let event = match (facts.kind, said) {
                (EntryKind::Refund, true) => "REFUND.SUCCESS",
                (EntryKind::Refund, false) => "REFUND.CLOSED",
                (_, true) => "PAY.SUCCESS",
                (_, false) => "PAY.FAIL",
            };
            let nonce = format!("{:012}", facts.trace);
            let content = order_body(&number, &facts).to_string();
            let body = json!({
                "id": format!("N{:012}", facts.trace),
                "event_type": event,
                "resource": {
                    "ciphertext": keys.seal_notice(&nonce, "order", &content),
                    "nonce": nonce,
                    "associated_data": "order",
                },
            })
            .to_string();
            let spoils = claim == Claim::Forgery;
            let headers = keys.sign(running.now(), body.as_bytes(), spoils);
            Letter { content_type: "application/json", headers, body }
        };
        let write = Box::new(write);
        schedule(running, Notice { order_no: order_no.to_owned(), url, working, write });
    }

    fn reply(&self, running: &Running, status: StatusCode, body: &Json, dress: Dress) -> Reply {
        let body = body.to_string();
        let spoils = matches!(dress, Dress::BadSignature(_));
        let mut headers = self.keys.sign(running.now(), body.as_bytes(), spoils);
        let kind = hyper::header::HeaderValue::from_static("application/json");
        headers.push((hyper::header::CONTENT_TYPE, kind));
        Reply { status, headers, body: Bytes::from(body) }
    }

    /// Where the bill lies and what it digests to, or the bill itself, which nobody signs.
    fn bill_reply(&self, running: &Running, call: &Call, bytes: &[u8], dress: Dress) -> Reply {
        if let Call::Bill { date, host } = call {
            let token = token_of(running, date);
            let body = json!({
                "download_url": format!("http://{host}/v3/bills/files/{date}?token={token}"),
                "hash_type": "SHA1",
                "hash_value": hex_lower(&Digest::Sha1.of(&[bytes])),
            });
            return self.reply(running, StatusCode::OK, &body, dress);
        }
        let mut bytes = bytes.to_vec();
        if matches!(dress, Dress::BadSignature(_)) {
            bytes.push(b'\n');
        }
        let kind = hyper::header::HeaderValue::from_static("application/gzip");
        let headers = vec![(hyper::header::CONTENT_TYPE, kind)];
        Reply { status: StatusCode::OK, headers, body: Bytes::from(gzip(&bytes)) }
    }

    fn refusal(&self, running: &Running, code: &str, dress: Dress) -> Reply {
        let status = match code {
            FORMAT | NO_BILL | BILL_LATER => StatusCode::BAD_REQUEST,
            BAD_SIGNATURE => StatusCode::UNAUTHORIZED,
            NOT_FOUND => StatusCode::NOT_FOUND,
            BUSY => StatusCode::INTERNAL_SERVER_ERROR,
            _ => StatusCode::FORBIDDEN,
        };
        self.reply(running, status, &json!({ "code": code, "message": "refused" }), dress)
    }
}

/// The bytes of a date's bill, not packed.
fn bill(running: &Running, date: &str) -> Result<Vec<u8>, &'static str> {
    let date = BusinessDate::parse(date).ok_or(NoStatement::Nothing);
    match date.and_then(|date| running.closed_statement(date)) {
        Ok(found) => Ok(statement::write(&running.settings.dialect, &found).bytes),
        Err(NoStatement::NotYet) => Err(BILL_LATER),
        Err(NoStatement::Nothing) => Err(NO_BILL),
    }
}

/// Without it nobody gets a bill, signed or not.
fn token_of(running: &Running, date: &str) -> String {
    sha256_hex(format!("bill {} {date}", running.settings.seed).as_bytes())[..32].to_owned()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut stream = GzEncoder::new(Vec::new(), Compression::default());
    stream.write_all(bytes).expect("memory takes all");
    stream.finish().expect("memory takes all")
}

/// A number as it may stand in a path.
fn plain(text: &str) -> Option<String> {
    let fits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    fits.then(|| text.to_owned())
}

/// What is told of an order: in replies and in notices.
fn order_body(order_no: &str, facts: &Facts) -> Json {
    let amount = facts.amount.get();
    if facts.kind == EntryKind::Refund {
        let status = match facts.state {
            EntryState::Working => "PROCESSING",
            EntryState::Approved | EntryState::Undone => "SUCCESS",
            EntryState::Declined => "CLOSED",
            EntryState::Reversed => "ABNORMAL",
        };
        return json!({
            "out_refund_no": order_no, "status": status, "amount": { "refund": amount },
        });
    }
    let state = match facts.state {
        EntryState::Working => "PAYING",
        EntryState::Approved | EntryState::Undone => "SUCCESS",
        EntryState::Declined => "PAYERROR",
        EntryState::Reversed => "REVOKED",
    };
    let mut body = json!({
        "out_trade_no": order_no,
        "trade_state": state,
        "amount": { "total": amount, "currency": "CNY" },
        "transaction_id": format!("C{:014}", facts.trace),
    });
    if facts.state == EntryState::Declined {
        body["trade_state_code"] = facts.code.into();
    }
    body
}

impl Dialect for CanyonPay {
    type Call = Call;
    type Draft = Draft;

    fn read(&self, running: &Running, received: &Received) -> Result<Call, Reply> {
        let refuse = |code| self.refusal(running, code, Dress::Honest);
        if !self.keys.proves(&self.merchant_id, received) {
            return Err(refuse(BAD_SIGNATURE));
        }
        self.parse(running, received).ok_or_else(|| refuse(FORMAT))
    }

    fn name<'call>(&self, call: &'call Call) -> (&'static str, &'call str) {
        match call {
            Call::Pay(payment) => ("charge", &payment.order_no),
            Call::Refund { order_no, .. } => ("refund", order_no),
            Call::Query { order_no, .. } => ("query", order_no),
            Call::Revoke { order_no } => ("reverse", order_no),
            Call::Bill { date, .. } => ("bill", date),
            Call::File { date } => ("file", date),
        }
    }

    fn carry_out(&self, running: &Arc<Running>, call: &Call) -> Draft {
        let known = match call {
            Call::Pay(payment) => self.pay(running, payment),
            Call::Refund { order_no, original_no, amount } => {
                self.refund(running, order_no, original_no, *amount)
            }
            Call::Query { kind, order_no } => {
                let found = running.ledger.look(running.now(), order_no);
                found.map(|found| found.facts).filter(|one| one.kind == *kind).ok_or(NOT_FOUND)
            }
            Call::Revoke { order_no } => {
                match running.ledger.reverse(running.now(), order_no, None) {
                    Reversed::Done(facts) | Reversed::Already(facts) => Ok(facts),
                    Reversed::Undone(_) | Reversed::Refused(_) => Err(REFUSED),
                    Reversed::NotFound => Err(NOT_FOUND),
                }
            }
            Call::Bill { date, .. } | Call::File { date } => {
                return bill(running, date).map(Told::Bill);
            }
        };
        known.map(Told::Order)
    }

    fn write(&self, running: &Running, call: &Call, draft: &Draft, dress: Dress) -> Reply {
        match (draft, dress) {
            (_, Dress::Unclear(_)) => self.refusal(running, BUSY, Dress::Honest),
            (Err(code), Dress::Honest | Dress::BadSignature(_)) => {
                self.refusal(running, code, dress)
            }
            (Ok(Told::Order(facts)), Dress::Honest | Dress::BadSignature(_)) => {
                let body = order_body(self.name(call).1, facts);
                self.reply(running, StatusCode::OK, &body, dress)
            }
            (Ok(Told::Bill(bytes)), Dress::Honest | Dress::BadSignature(_)) => {
                self.bill_reply(running, call, bytes, dress)
            }
        }
    }
}
