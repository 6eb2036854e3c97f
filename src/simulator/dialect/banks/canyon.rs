//! Canyon Pay: a platform with a REST interface, the worked example of notices.
//!
//! `POST /v3/pay/cards`, `GET` of one, its `/revoke`; `POST /v3/refunds`, `GET` of one; `GET
//! /v3/bills/trade` names the address of a date's bill, a gzip file. Requests are signed by RSA in
//! their `Authorization` header, and card data are encrypted to the platform's key. A successful
//! request is answered with a state, a refused one with a code and a status of 4xx. One payment in
//! four and every refund is decided later; an encrypted notice and the answer to an inquiry carry
//! its end.

use std::io::Write as _;
use std::sync::Arc;

use flate2::Compression;
use flate2::write::GzEncoder;
use hyper::StatusCode;
use hyper::header::{CONTENT_TYPE, HOST, HeaderValue};
use serde_json::{Value as Json, json};

use crate::codec::crypto::digest::Digest;
use crate::codec::sign::{hex_lower, sha256_hex};
use crate::domain::money::{AmountMinor, Currency};
use crate::domain::time::BusinessDate;
use crate::simulator::chance::PARTS_WHOLE;
use crate::simulator::dialect::bank::{
    BankApi, BankCodes, BankOperation, BankRequest, BankResult, RequestCard,
};
use crate::simulator::dialect::{AnswerCodes, DeclineCode, ReplyForm};
use crate::simulator::keys::canyon::CanyonKeys;
use crate::simulator::ledger::{EntryFacts, EntryKind, EntryState, EntryView};
use crate::simulator::message::{HttpReply, HttpRequest};
use crate::simulator::notices::{Letter, NoticeContent, NoticeWriter};
use crate::simulator::state::SimulatorState;

const DO_NOT_HONOUR: &str = "ACCOUNT_ERROR";
const INVALID_CARD: &str = "INVALID_CARD";
const LACKS: &str = "NOT_ENOUGH";
const REFUSED: &str = "NOT_ELIGIBLE";
/// The code of an answer that has a state instead.
const NO_CODE: &str = "";

const CODES: BankCodes = BankCodes {
    pending: NO_CODE,
    unclear_charge: None,
    busy: "SYSTEM_ERROR",
    not_found: "RESOURCE_NOT_EXISTS",
    no_original: REFUSED,
    refused: REFUSED,
    undone_before: REFUSED,
    other_amount: REFUSED,
    is_reversed: NO_CODE,
    reversed_before: None,
    reverses_undone: Some(REFUSED),
    format: "PARAM_ERROR",
    bad_signature: "SIGN_ERROR",
    invalid_card: INVALID_CARD,
    expired: INVALID_CARD,
    wrong_cvv: INVALID_CARD,
    limit: DO_NOT_HONOUR,
    dead: DO_NOT_HONOUR,
    empty: "NO_STATEMENT_EXIST",
    later: "STATEMENT_CREATING",
    answers: AnswerCodes {
        approved: NO_CODE,
        declines: &[
            (DeclineCode::later(LACKS), 60),
            (DeclineCode::later(DO_NOT_HONOUR), 30),
            (DeclineCode::at_once("CLOSED"), 10),
        ],
    },
};

/// See the head of this file.
pub(super) struct Canyon {
    merchant_id: String,
    keys: Arc<CanyonKeys>,
}

impl Canyon {
    pub fn new(merchant_id: String, keys: &Arc<CanyonKeys>) -> Self {
        Self { merchant_id, keys: Arc::clone(keys) }
    }

    fn parse(&self, running: &SimulatorState, received: &HttpRequest) -> Option<BankRequest> {
        let path = received.path.strip_prefix("/v3/")?;
        let parts: Vec<&str> = path.split('/').collect();
        if received.method == hyper::Method::GET {
            return self.parse_get(running, received, &parts);
        }
        let body: Json = serde_json::from_slice(&received.body).ok()?;
        body["mchid"].as_str().filter(|text| *text == self.merchant_id)?;
        match parts[..] {
            ["pay", "cards"] => self.parse_payment(&body),
            ["pay", "cards", number, "revoke"] => {
                Some(BankRequest::new(BankOperation::Reversal, plain(number)?))
            }
            ["refunds"] => Some(BankRequest {
                original_no: plain(body["out_trade_no"].as_str()?)?,
                amount: Some(AmountMinor::new(body["amount"]["refund"].as_i64()?).ok()?),
                ..BankRequest::new(BankOperation::Refund, plain(body["out_refund_no"].as_str()?)?)
            }),
            _ => None,
        }
    }

    fn parse_get(
        &self,
        running: &SimulatorState,
        received: &HttpRequest,
        parts: &[&str],
    ) -> Option<BankRequest> {
        let value = |name: &str| {
            let mut pairs = received.query.split('&').filter_map(|pair| pair.split_once('='));
            pairs.find(|(key, _)| *key == name).map(|(_, value)| value)
        };
        if let ["bills", "files", date] = parts[..] {
            let date = BusinessDate::parse(date)?.to_string();
            return (value("token")? == token_of(running, &date))
                .then_some(BankRequest::new(BankOperation::File, date));
        }
        let is_ours = value("mchid") == Some(self.merchant_id.as_str());
        let (kind, order_no) = match parts[..] {
            ["bills", "trade"] if is_ours => {
                let date = BusinessDate::parse(value("bill_date")?)?.to_string();
                let host = received.headers.get(HOST)?.to_str().ok()?.to_owned();
                return Some(BankRequest {
                    host,
                    ..BankRequest::new(BankOperation::Statement, date)
                });
            }
            ["pay", "cards", number] if is_ours => (EntryKind::Charge, number),
            ["refunds", number] => (EntryKind::Refund, number),
            _ => return None,
        };
        let inquiry = BankRequest::new(BankOperation::Inquiry, plain(order_no)?);
        Some(BankRequest { original_kind: Some(kind), ..inquiry })
    }

    fn parse_payment(&self, body: &Json) -> Option<BankRequest> {
        let card = &body["card"];
        let number = self.keys.open(card["number"].as_str()?)?;
        if let Some(cvv) = card["cvv"].as_str() {
            self.keys.open(cvv).filter(|text| text.len() == 3)?;
        }
        if body["amount"]["currency"].as_str()? != Currency::Cny.name() {
            return None;
        }
        let expiry = card["expiry"].as_str().map(str::to_owned);
        let order_no = plain(body["out_trade_no"].as_str()?)?;
        Some(BankRequest {
            sent_at: body["time"].as_str()?.to_owned(),
            amount: Some(AmountMinor::new(body["amount"]["total"].as_i64()?).ok()?),
            card: Some(RequestCard::new(&number, expiry, None)),
            ..BankRequest::new(BankOperation::Payment, order_no)
        })
    }

    fn reply(
        &self,
        running: &SimulatorState,
        status: StatusCode,
        body: &Json,
        form: ReplyForm,
    ) -> HttpReply {
        let body = body.to_string();
        let spoils = matches!(form, ReplyForm::BadSignature(_));
        let mut headers = self.keys.sign(running.now(), body.as_bytes(), spoils);
        headers.push((CONTENT_TYPE, HeaderValue::from_static("application/json")));
        HttpReply { status, headers, body: body.into() }
    }

    /// The address and the digest of the bill, or the bill itself, which is not signed.
    fn bill(
        &self,
        running: &SimulatorState,
        request: &BankRequest,
        bytes: &[u8],
        form: ReplyForm,
    ) -> HttpReply {
        let BankRequest { host, order_no: date, .. } = request;
        if request.operation == BankOperation::Statement {
            let token = token_of(running, date);
            let body = json!({
                "download_url": format!("http://{host}/v3/bills/files/{date}?token={token}"),
                "hash_type": "SHA1",
                "hash_value": hex_lower(&Digest::Sha1.of(&[bytes])),
            });
            return self.reply(running, StatusCode::OK, &body, form);
        }
        let mut bytes = bytes.to_vec();
        if matches!(form, ReplyForm::BadSignature(_)) {
            bytes.push(b'\n');
        }
        HttpReply::new(StatusCode::OK, "application/gzip", gzip(&bytes))
    }
}

impl BankApi for Canyon {
    fn codes(&self) -> &'static BankCodes {
        &CODES
    }

    fn pending_parts(&self, operation: BankOperation) -> u16 {
        match operation {
            BankOperation::Payment => 2_500,
            BankOperation::Refund => PARTS_WHOLE,
            _ => 0,
        }
    }

    fn read(
        &self,
        running: &SimulatorState,
        received: &HttpRequest,
    ) -> Result<BankRequest, &'static str> {
        if !self.keys.proves(&self.merchant_id, received) {
            return Err(CODES.bad_signature);
        }
        self.parse(running, received).ok_or(CODES.format)
    }

    fn write(
        &self,
        running: &SimulatorState,
        request: Option<&BankRequest>,
        result: &BankResult,
        form: ReplyForm,
    ) -> HttpReply {
        if let (Some(request), Some(facts)) = (request, &result.facts) {
            let body = order_body(&request.order_no, facts);
            return self.reply(running, StatusCode::OK, &body, form);
        }
        if let (Some(request), Some(bytes)) = (request, &result.file) {
            return self.bill(running, request, bytes, form);
        }
        let code = result.code;
        let status = match code {
            _ if [CODES.format, CODES.empty, CODES.later].contains(&code) => {
                StatusCode::BAD_REQUEST
            }
            _ if code == CODES.bad_signature => StatusCode::UNAUTHORIZED,
            _ if code == CODES.not_found => StatusCode::NOT_FOUND,
            _ if code == CODES.busy => StatusCode::INTERNAL_SERVER_ERROR,
            _ => StatusCode::FORBIDDEN,
        };
        self.reply(running, status, &json!({ "code": code, "message": "refused" }), form)
    }

    /// The notice goes to the address that is configured at the platform.
    fn notice(&self, order_no: &str) -> Option<NoticeWriter> {
        let (keys, number) = (Arc::clone(&self.keys), order_no.to_owned());
        let write = move |running: &SimulatorState, found: &EntryView, content: NoticeContent| {
            let mut facts = found.facts;
            if content != NoticeContent::Truth {
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
            let order = order_body(&number, &facts).to_string();
            let body = json!({
                "id": format!("N{:012}", facts.trace),
                "event_type": event,
                "resource": {
                    "ciphertext": keys.seal_notice(&nonce, "order", &order),
                    "nonce": nonce,
                    "associated_data": "order",
                },
            })
            .to_string();
            let spoils = content == NoticeContent::Forgery;
            let headers = keys.sign(running.now(), body.as_bytes(), spoils);
            Letter { content_type: "application/json", headers, body }
        };
        Some(Box::new(write))
    }
}

/// The token without which a bill is refused, signed or not.
fn token_of(running: &SimulatorState, date: &str) -> String {
    sha256_hex(format!("bill {} {date}", running.settings.seed).as_bytes())[..32].to_owned()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut stream = GzEncoder::new(Vec::new(), Compression::default());
    stream.write_all(bytes).expect("memory takes all");
    stream.finish().expect("memory takes all")
}

/// A number of characters that a path may have.
fn plain(text: &str) -> Option<String> {
    let fits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    fits.then(|| text.to_owned())
}

/// An order as replies and notices describe it.
fn order_body(order_no: &str, facts: &EntryFacts) -> Json {
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
