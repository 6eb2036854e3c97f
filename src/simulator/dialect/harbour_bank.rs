//! Harbour bank: a bank with a JSON interface, the worked example of the `http` protocol.
//!
//! `POST /v1/charges`, `/query`, `/reverse`, `/undo`; `/v1/preauths`, `/v1/preauths/capture`,
//! `/v1/voids`, `/v1/refunds`, `/v1/statements` (whose reply is the file itself); HMAC-SHA256 over
//! time-stamp, line feed and body in both directions; amounts in fen. The query's own code and the
//! original's state are two things. The same order number is never charged twice: it gets the same
//! answer again.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use hyper::StatusCode;
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::codec::sign::{HmacKey, hex_lower, sha256_hex};
use crate::config::section::Section;
use crate::domain::card::{Cvv, Expiry, MaskedPan, Pan};
use crate::domain::money::{AmountMinor, Currency};
use crate::domain::time::BusinessDate;

use super::super::chance::Chance;
use super::super::counterpart::{Counterpart, Kept, TestCredential};
use super::super::ledger::{
    Entered, EntryState, Facts, Instruction, Reversed, Undone, Verdict, unionpay_calendar,
};
use super::super::running::Running;
use super::super::settings::{DialectSettings, HarbourBankSettings};
use super::super::statement::NoStatement;
use super::harbour_words::{code_body, forge, order_body, query_body, trade_no};
use super::{AnswerCodes, Decline, Dialect, Dress, Received, Reply, decide, statement};

const TIMESTAMP: HeaderName = HeaderName::from_static("x-timestamp");
const SIGNATURE: HeaderName = HeaderName::from_static("x-signature");
/// Characters of an order number.
const ORDER_NO_LENGTH_MAX: usize = 40;

pub const APPROVED: &str = "0000";
const EXPIRED: &str = "1054";
const INVALID_CARD: &str = "1014";
const LIMIT: &str = "1061";
const WRONG_CVV: &str = "1082";
const BUSY: &str = "1091";
pub const PROCESSING: &str = "1099";
const FORMAT: &str = "1400";
const NOT_FOUND: &str = "1404";
const BAD_SIGNATURE: &str = "1900";
const ALREADY: &str = "2001";
const REFUSED: &str = "2002";
/// What a charge gets that comes after its reversal found nothing.
const DEAD: &str = "1005";

const CODES: AnswerCodes = AnswerCodes {
    approved: APPROVED,
    declines: &[
        (Decline::later("1051"), 45),
        (Decline::later("1005"), 20),
        (Decline::later(EXPIRED), 8),
        (Decline::later(LIMIT), 8),
        (Decline::later(WRONG_CVV), 8),
        (Decline::later("1059"), 5),
        (Decline::at_once("1503"), 6),
    ],
};

/// See the head of this file.
pub(in crate::simulator) struct HarbourBank {
    merchant_id: String,
    key: HmacKey,
    verify_signatures: bool,
    pending_percent: u8,
}

pub(in crate::simulator) enum Call {
    Charge(Charge),
    Query { order_no: String },
    Reverse { order_no: String },
    Follow(Follow),
    Statement { date: String },
}

pub(in crate::simulator) struct Charge {
    /// Whether the amount is held only.
    holds: bool,
    order_no: String,
    sent_at: String,
    amount: AmountMinor,
    currency: Currency,
    card: MaskedPan,
    /// Why the card data alone decline it.
    problem: Option<&'static str>,
}

/// How a request follows up an earlier one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::simulator) enum Way {
    /// Taken back already is good enough.
    Undo,
    Void,
    Refund,
    Capture,
}

impl Way {
    const fn name(self) -> &'static str {
        match self {
            Self::Undo => "undo",
            Self::Void => "void",
            Self::Refund => "refund",
            Self::Capture => "capture",
        }
    }
}

pub(in crate::simulator) struct Follow {
    way: Way,
    order_no: String,
    original_no: String,
    original_trade_no: String,
    amount: AmountMinor,
}

/// A code, and the entry that the reply tells of, or the file that it is.
pub(in crate::simulator) struct Draft {
    code: &'static str,
    facts: Option<Facts>,
    file: Option<Vec<u8>>,
}

impl Draft {
    const fn code(code: &'static str) -> Self {
        Self { code, facts: None, file: None }
    }

    const fn of(code: &'static str, facts: Facts) -> Self {
        Self { code, facts: Some(facts), file: None }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ChargeBody<'a> {
    #[serde(borrow)]
    merchant_id: Cow<'a, str>,
    #[serde(borrow)]
    order_no: Cow<'a, str>,
    #[serde(borrow)]
    sent_at: Cow<'a, str>,
    amount: i64,
    #[serde(borrow)]
    currency: Cow<'a, str>,
    #[serde(borrow)]
    card: CardBody<'a>,
}

#[derive(Deserialize)]
struct CardBody<'a> {
    #[serde(borrow)]
    number: Cow<'a, str>,
    #[serde(borrow)]
    expiry: Option<Cow<'a, str>>,
    #[serde(borrow)]
    cvv: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OrderBody<'a> {
    #[serde(borrow)]
    merchant_id: Cow<'a, str>,
    #[serde(borrow)]
    order_no: Cow<'a, str>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct StatementBody<'a> {
    #[serde(borrow)]
    merchant_id: Cow<'a, str>,
    #[serde(borrow)]
    date: Cow<'a, str>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FollowBody<'a> {
    #[serde(borrow)]
    merchant_id: Cow<'a, str>,
    #[serde(borrow)]
    order_no: Cow<'a, str>,
    #[serde(borrow)]
    original_order_no: Cow<'a, str>,
    #[serde(borrow)]
    original_trade_no: Cow<'a, str>,
    amount: i64,
}

/// The other side of a channel file's section: its merchant, and its shared key, which is made from
/// the channel's name. A file that signs nothing is asked for no signatures.
pub fn counterpart(section: &Section<'_>, id: &str, kept: &mut Kept) -> Option<Counterpart> {
    const KEPT: &str = "hmac.key";
    let sign = section.optional_section("sign");
    if let Some(sign) = &sign
        && sign.text("algorithm") != "hmac-sha256"
    {
        let problem = "a bank that signs otherwise has no simulator";
        sign.mistake("algorithm", problem, "only hmac-sha256 is simulated");
        return None;
    }
    let made = || Zeroizing::new(sha256_hex(format!("simulated bank {id}").as_bytes()));
    let key = kept.entry(KEPT.to_owned()).or_insert_with(made).clone();
    let reference = sign.as_ref().map(|sign| sign.text("key"));
    Some(Counterpart {
        credentials: reference.iter().map(|one| TestCredential::new(one, &key)).collect(),
        dialect: DialectSettings::HarbourBank(HarbourBankSettings {
            merchant_id: section.section("values").text("merchant_id"),
            key,
            verify_signatures: sign.is_some(),
            pending_percent: 0,
        }),
        addresses: vec![section.text("base_url")],
        notice_address: None,
        calendar: unionpay_calendar(),
        fee: None,
    })
}

impl HarbourBank {
    pub fn new(settings: &HarbourBankSettings) -> Self {
        Self {
            merchant_id: settings.merchant_id.clone(),
            key: HmacKey::new(settings.key.as_bytes()),
            verify_signatures: settings.verify_signatures,
            pending_percent: settings.pending_percent,
        }
    }

    fn signature_fits(&self, received: &Received) -> bool {
        let header = |name: &HeaderName| received.headers.get(name).map(HeaderValue::as_bytes);
        let (Some(timestamp), Some(signature)) = (header(&TIMESTAMP), header(&SIGNATURE)) else {
            return false;
        };
        let Ok(text) = std::str::from_utf8(timestamp) else { return false };
        let tag = hex_lower(&self.key.tag(&[text.as_bytes(), b"\n", &received.body]));
        tag.as_bytes() == signature
    }

    fn parse(&self, running: &Running, received: &Received) -> Option<Call> {
        let body = &received.body[..];
        match received.path.as_str() {
            path @ ("/v1/charges" | "/v1/preauths") => {
                let asked: ChargeBody<'_> = serde_json::from_slice(body).ok()?;
                let holds = path == "/v1/preauths";
                Some(Call::Charge(self.parse_charge(running, &asked, holds)?))
            }
            "/v1/charges/query" => {
                let asked: OrderBody<'_> = serde_json::from_slice(body).ok()?;
                let order_no = self.order_no(&asked.merchant_id, &asked.order_no)?;
                Some(Call::Query { order_no })
            }
            "/v1/charges/reverse" => {
                let asked: OrderBody<'_> = serde_json::from_slice(body).ok()?;
                let order_no = self.order_no(&asked.merchant_id, &asked.order_no)?;
                Some(Call::Reverse { order_no })
            }
            "/v1/statements" => {
                let asked: StatementBody<'_> = serde_json::from_slice(body).ok()?;
                let date = BusinessDate::parse(&asked.date)?.to_string();
                (asked.merchant_id == self.merchant_id).then_some(Call::Statement { date })
            }
            "/v1/charges/undo" => self.parse_follow(Way::Undo, body),
            "/v1/voids" => self.parse_follow(Way::Void, body),
            "/v1/refunds" => self.parse_follow(Way::Refund, body),
            "/v1/preauths/capture" => self.parse_follow(Way::Capture, body),
            _ => None,
        }
    }

    fn parse_follow(&self, way: Way, body: &[u8]) -> Option<Call> {
        let asked: FollowBody<'_> = serde_json::from_slice(body).ok()?;
        Some(Call::Follow(Follow {
            way,
            order_no: self.order_no(&asked.merchant_id, &asked.order_no)?,
            original_no: asked.original_order_no.into_owned(),
            original_trade_no: asked.original_trade_no.into_owned(),
            amount: AmountMinor::new(asked.amount).ok()?,
        }))
    }

    fn parse_charge(
        &self,
        running: &Running,
        asked: &ChargeBody<'_>,
        holds: bool,
    ) -> Option<Charge> {
        let in_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if asked.sent_at.len() != 14 || !in_digits(&asked.sent_at) {
            return None;
        }
        let pan = Pan::parse(&asked.card.number);
        Some(Charge {
            holds,
            order_no: self.order_no(&asked.merchant_id, &asked.order_no)?,
            sent_at: asked.sent_at.as_ref().to_owned(),
            amount: AmountMinor::new(asked.amount).ok()?,
            currency: Currency::parse(&asked.currency)?,
            card: MaskedPan::from_stored(&asked.card.number),
            problem: if pan.is_err() {
                Some(INVALID_CARD)
            } else {
                card_problem(running, &asked.card)
            },
        })
    }

    /// The order number, if it is one and the merchant is ours.
    fn order_no(&self, merchant_id: &str, order_no: &str) -> Option<String> {
        let plain = order_no.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let fits = plain && (1..=ORDER_NO_LENGTH_MAX).contains(&order_no.len());
        (fits && merchant_id == self.merchant_id).then(|| order_no.to_owned())
    }

    fn charge(&self, running: &Running, charge: &Charge) -> Draft {
        let verdict = self.verdict(running, charge);
        let instruction = Instruction {
            order_no: &charge.order_no,
            sent_at: &charge.sent_at,
            amount: charge.amount,
            currency: charge.currency,
            card: Some(charge.card.clone()),
        };
        let (ledger, now) = (&running.ledger, running.now());
        told(if charge.holds {
            ledger.preauthorise(now, instruction, verdict, DEAD)
        } else {
            ledger.charge(now, instruction, verdict, DEAD)
        })
    }

    fn verdict(&self, running: &Running, charge: &Charge) -> Verdict {
        let too_large = charge.amount.get() > running.settings.per_order_max_minor;
        if let Some(code) = charge.problem.or(too_large.then_some(LIMIT)) {
            return Verdict { approves: false, code, working: Duration::ZERO };
        }
        let verdict = decide(running, &charge.order_no, &CODES);
        let mut chance = Chance::of(running.settings.seed, "pending", &charge.order_no, 0);
        let pends = chance.hits(u16::from(self.pending_percent) * 100);
        if pends { verdict } else { Verdict { working: Duration::ZERO, ..verdict } }
    }

    fn follow(running: &Running, follow: &Follow) -> Draft {
        let now = running.now();
        let original = running.ledger.look(now, &follow.original_no);
        let Some(original) =
            original.filter(|found| trade_no(&found.facts) == follow.original_trade_no)
        else {
            return Draft::code(NOT_FOUND);
        };
        let mut chance = Chance::of(running.settings.seed, "undo", &follow.order_no, 0);
        let declines = chance.hits(u16::from(running.settings.undo_declines_percent) * 100);
        let verdict = Verdict {
            approves: !declines,
            code: if declines { REFUSED } else { APPROVED },
            working: Duration::ZERO,
        };
        let asked = Instruction {
            order_no: &follow.order_no,
            sent_at: "",
            amount: follow.amount,
            currency: original.facts.currency,
            card: original.card,
        };
        let (ledger, original_no) = (&running.ledger, &follow.original_no);
        let followed = match follow.way {
            Way::Undo | Way::Void => ledger.undo(now, asked, original_no, verdict, REFUSED),
            Way::Refund => ledger.refund(now, asked, original_no, verdict, REFUSED),
            Way::Capture => ledger.capture(now, asked, original_no, verdict, REFUSED),
        };
        let code = match followed {
            Undone::Entered(entered) => return told(entered),
            Undone::Already if follow.way == Way::Undo => ALREADY,
            // More than what is left is not a mistake of form.
            Undone::Differs if matches!(follow.way, Way::Refund | Way::Capture) => REFUSED,
            Undone::Already | Undone::Refused => REFUSED,
            Undone::Differs => FORMAT,
            Undone::NotFound => NOT_FOUND,
        };
        Draft::code(code)
    }

    fn statement(running: &Running, date: &str) -> Draft {
        let date = BusinessDate::parse(date).ok_or(NoStatement::Nothing);
        match date.and_then(|date| running.closed_statement(date)) {
            Ok(statement) => {
                let paper = statement::write(&running.settings.dialect, &statement);
                Draft { file: Some(paper.bytes), ..Draft::code(APPROVED) }
            }
            Err(NoStatement::NotYet) => Draft::code(PROCESSING),
            Err(NoStatement::Nothing) => Draft::code(NOT_FOUND),
        }
    }

    /// Signs a body and makes it a reply.
    fn reply(&self, running: &Running, mut body: Vec<u8>, dress: Dress) -> Reply {
        let timestamp = itoa::Buffer::new().format(running.now().as_millis() / 1_000).to_owned();
        let mut tag = self.key.tag(&[timestamp.as_bytes(), b"\n", &body]);
        let mut headers = Vec::with_capacity(3);
        let mut signed = true;
        if let Dress::BadSignature(variant) = dress {
            match variant % 3 {
                0 => tag[0] ^= 1,
                1 => signed = false,
                _ => forge(&mut body),
            }
        }
        let digits = |text: String| {
            HeaderValue::try_from(text).expect("digits and letters make a header value")
        };
        headers.push((CONTENT_TYPE, HeaderValue::from_static("application/json")));
        headers.push((TIMESTAMP, digits(timestamp)));
        if signed {
            headers.push((SIGNATURE, digits(hex_lower(&tag))));
        }
        Reply { status: StatusCode::OK, headers, body: Bytes::from(body) }
    }
}

impl Dialect for HarbourBank {
    type Call = Call;
    type Draft = Draft;

    fn read(&self, running: &Running, received: &Received) -> Result<Call, Reply> {
        let refuse = |code| self.reply(running, code_body(code), Dress::Honest);
        if self.verify_signatures && !self.signature_fits(received) {
            return Err(refuse(BAD_SIGNATURE));
        }
        self.parse(running, received).ok_or_else(|| refuse(FORMAT))
    }

    fn name<'call>(&self, call: &'call Call) -> (&'static str, &'call str) {
        match call {
            Call::Charge(charge) if charge.holds => ("preauth", &charge.order_no),
            Call::Charge(charge) => ("charge", &charge.order_no),
            Call::Query { order_no } => ("query", order_no),
            Call::Reverse { order_no } => ("reverse", order_no),
            Call::Follow(follow) => (follow.way.name(), &follow.order_no),
            Call::Statement { date } => ("statement", date),
        }
    }

    fn carry_out(&self, running: &Arc<Running>, call: &Call) -> Draft {
        match call {
            Call::Charge(charge) => self.charge(running, charge),
            Call::Query { order_no } => match running.ledger.look(running.now(), order_no) {
                Some(found) => Draft::of(APPROVED, found.facts),
                None => Draft::code(NOT_FOUND),
            },
            Call::Reverse { order_no } => {
                match running.ledger.reverse(running.now(), order_no, None) {
                    Reversed::Done(facts) => Draft::of(APPROVED, facts),
                    Reversed::Already(_) | Reversed::Undone(_) => Draft::code(ALREADY),
                    Reversed::Refused(_) => Draft::code(REFUSED),
                    Reversed::NotFound => Draft::code(NOT_FOUND),
                }
            }
            Call::Follow(follow) => Self::follow(running, follow),
            Call::Statement { date } => Self::statement(running, date),
        }
    }

    fn write(&self, running: &Running, call: &Call, draft: &Draft, dress: Dress) -> Reply {
        let body = match dress {
            Dress::Unclear(variant) => code_body(unclear_code(call, variant)),
            Dress::Honest | Dress::BadSignature(_) => match (&draft.facts, &draft.file, call) {
                (None, Some(file), _) => file.clone(),
                (None, None, _) => code_body(draft.code),
                (Some(facts), _, Call::Query { order_no }) => query_body(order_no, facts),
                (
                    Some(facts),
                    _,
                    Call::Charge(_)
                    | Call::Reverse { .. }
                    | Call::Follow(_)
                    | Call::Statement { .. },
                ) => order_body(draft.code, self.name(call).1, facts),
            },
        };
        self.reply(running, body, dress)
    }
}

/// A code that says nothing: only a charge can also be "processing".
const fn unclear_code(call: &Call, variant: u64) -> &'static str {
    match call {
        Call::Charge(_) if variant.is_multiple_of(2) => PROCESSING,
        Call::Charge(_)
        | Call::Query { .. }
        | Call::Reverse { .. }
        | Call::Follow(_)
        | Call::Statement { .. } => BUSY,
    }
}

/// Why the card data alone decline a charge, whatever the issuer would say.
fn card_problem(running: &Running, card: &CardBody<'_>) -> Option<&'static str> {
    let today = running.ledger.today(running.now());
    if let Some(text) = card.expiry.as_deref() {
        match Expiry::parse_yymm(text) {
            Some(expiry) if !expiry.is_before(today.year(), today.month()) => {}
            Some(_) | None => return Some(EXPIRED),
        }
    }
    let wrong_cvv = card.cvv.as_deref().is_some_and(|text| Cvv::parse(text).is_none());
    wrong_cvv.then_some(WRONG_CVV)
}

/// The code of an order's standing: what its request is answered, and answered again.
fn told(entered: Entered) -> Draft {
    let facts = match entered {
        Entered::New(facts) | Entered::Known { facts, same: true } => facts,
        Entered::Known { facts: _, same: false } => return Draft::code(FORMAT),
    };
    let code = match facts.state {
        EntryState::Working => PROCESSING,
        EntryState::Approved | EntryState::Undone => APPROVED,
        EntryState::Declined => facts.code,
        // "Approved" would be a lie by now.
        EntryState::Reversed => ALREADY,
    };
    Draft::of(code, facts)
}
