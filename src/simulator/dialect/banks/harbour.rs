//! Harbour Bank: a bank with a JSON interface, the worked example of the `http` protocol.
//!
//! `POST /v1/charges`, `/query`, `/reverse`, `/undo`; `/v1/preauths`, `/v1/preauths/capture`,
//! `/v1/voids`, `/v1/refunds`, `/v1/payouts` (to a card, or to an account of the bank),
//! `/v1/verifications`, `/v1/statements` (whose reply is the file itself); HMAC-SHA256 over
//! time-stamp, line feed and body in both directions; amounts in fen. A query has a code of its own
//! beside the original's state.

use std::borrow::Cow;
use std::io::Write as _;

use hyper::StatusCode;
use hyper::header::{HeaderName, HeaderValue};
use serde::Deserialize;

use crate::codec::sign::{HmacKey, hex_lower};
use crate::domain::money::{AmountMinor, Currency};
use crate::domain::time::BusinessDate;
use crate::simulator::agreements::OpenedAgreement;
use crate::simulator::dialect::bank::{
    AccountCodes, AgreementCodes, BankApi, BankCodes, BankOperation, BankRequest, BankResult,
    RequestAccount, RequestCard,
};
use crate::simulator::dialect::{AnswerCodes, DeclineCode, ReplyForm};
use crate::simulator::ledger::{EntryFacts, EntryKind, EntryState};
use crate::simulator::message::{HttpReply, HttpRequest};
use crate::simulator::notices::NoticeWriter;
use crate::simulator::person::{is_mobile, is_somebody};
use crate::simulator::settings::HarbourSettings;
use crate::simulator::state::SimulatorState;

const TIMESTAMP: HeaderName = HeaderName::from_static("x-timestamp");
const SIGNATURE: HeaderName = HeaderName::from_static("x-signature");
/// The longest order number, in characters.
const ORDER_NO_LENGTH_MAX: usize = 40;

const CODES: BankCodes = BankCodes {
    pending: "1099",
    unclear_charge: Some("1099"),
    busy: "1091",
    not_found: "1404",
    no_original: "1404",
    refused: "2002",
    undone_before: "2001",
    other_amount: "1400",
    is_reversed: "2001",
    reversed_before: Some("2001"),
    reverses_undone: Some("2001"),
    format: "1400",
    bad_signature: "1900",
    invalid_card: "1014",
    expired: "1054",
    wrong_cvv: "1082",
    limit: "1061",
    dead: "1005",
    empty: "1404",
    later: "1099",
    answers: AnswerCodes {
        approved: "0000",
        declines: &[
            (DeclineCode::later("1051"), 45),
            (DeclineCode::later("1005"), 20),
            (DeclineCode::later("1054"), 8),
            (DeclineCode::later("1061"), 8),
            (DeclineCode::later("1082"), 8),
            (DeclineCode::later("1059"), 5),
            (DeclineCode::at_once("1503"), 6),
        ],
    },
};

const VERIFICATION_CODES: AnswerCodes = AnswerCodes {
    approved: "0000",
    declines: &[(DeclineCode::at_once("1066"), 80), (DeclineCode::at_once("1014"), 20)],
};

const AGREEMENT_CODES: AgreementCodes =
    AgreementCodes { wrong_code: "1071", expired_code: "1072", void_number: "1073" };

const ACCOUNT_CODES: AccountCodes = AccountCodes { no_account: "1015", other_holder: "1066" };

/// Accounts of the bank have numbers of so many digits, which begin so.
const ACCOUNT_DIGITS: usize = 14;
const ACCOUNT_BEGINNING: &str = "6500";

/// See the head of this file.
pub(super) struct Harbour {
    merchant_id: String,
    key: HmacKey,
    verify_signatures: bool,
    pending_percent: u8,
}

/// What every request about an order begins with; an inquiry has nothing else.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct HarbourOrder<'a> {
    #[serde(borrow)]
    merchant_id: Cow<'a, str>,
    #[serde(borrow)]
    order_no: Cow<'a, str>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct HarbourCharge<'a> {
    #[serde(flatten, borrow)]
    order: HarbourOrder<'a>,
    #[serde(borrow)]
    sent_at: Cow<'a, str>,
    amount: i64,
    #[serde(borrow)]
    currency: Cow<'a, str>,
    #[serde(borrow)]
    card: Option<HarbourCard<'a>>,
    #[serde(borrow)]
    payee: Option<HarbourPayee<'a>>,
    #[serde(borrow)]
    agreement_no: Option<Cow<'a, str>>,
    #[serde(borrow)]
    sms_code: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct HarbourCard<'a> {
    #[serde(borrow)]
    number: Cow<'a, str>,
    #[serde(borrow)]
    expiry: Option<Cow<'a, str>>,
    #[serde(borrow)]
    cvv: Option<Cow<'a, str>>,
}

/// An account at the bank itself, and whose it should be.
#[derive(Deserialize)]
struct HarbourPayee<'a> {
    #[serde(borrow)]
    account: Cow<'a, str>,
    #[serde(borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    name: Option<Cow<'a, str>>,
}

impl HarbourPayee<'_> {
    /// `None` where the kind is none of the bank's. Whoever is named is the holder, unless it is
    /// nobody.
    fn read(&self) -> Option<RequestAccount> {
        let digits = self.account.bytes().all(|byte| byte.is_ascii_digit());
        (self.kind == "CURRENT").then(|| RequestAccount {
            exists: digits
                && self.account.len() == ACCOUNT_DIGITS
                && self.account.starts_with(ACCOUNT_BEGINNING),
            is_its_holder: self.name.as_deref().is_none_or(|name| name != "NOBODY"),
        })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct HarbourVerification<'a> {
    #[serde(flatten, borrow)]
    order: HarbourOrder<'a>,
    #[serde(borrow)]
    card_number: Cow<'a, str>,
    #[serde(borrow)]
    id_type: Option<Cow<'a, str>>,
    #[serde(borrow)]
    id_number: Option<Cow<'a, str>>,
    #[serde(borrow)]
    mobile: Option<Cow<'a, str>>,
}

/// A step of an agreement, by card or by its number; or the code of a payment.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct HarbourAgreement<'a> {
    #[serde(flatten, borrow)]
    order: HarbourOrder<'a>,
    #[serde(borrow)]
    card_number: Option<Cow<'a, str>>,
    #[serde(borrow)]
    agreement_no: Option<Cow<'a, str>>,
    #[serde(borrow)]
    sms_code: Option<Cow<'a, str>>,
    /// Of the payment that a code is for.
    amount: Option<i64>,
    /// What it is: a payment, or a pre-authorisation.
    operation: Option<HarbourCoded>,
}

/// What a code is for.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum HarbourCoded {
    Payment,
    Preauth,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct HarbourStatement<'a> {
    #[serde(borrow)]
    merchant_id: Cow<'a, str>,
    #[serde(borrow)]
    date: Cow<'a, str>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct HarbourFollowUp<'a> {
    #[serde(flatten, borrow)]
    order: HarbourOrder<'a>,
    #[serde(borrow)]
    original_order_no: Cow<'a, str>,
    #[serde(borrow)]
    original_trade_no: Cow<'a, str>,
    amount: i64,
}

impl Harbour {
    pub fn new(merchant_id: String, settings: &HarbourSettings) -> Self {
        Self {
            merchant_id,
            key: HmacKey::new(settings.key.as_bytes()),
            verify_signatures: settings.verify_signatures,
            pending_percent: settings.pending_percent,
        }
    }

    fn signature_fits(&self, received: &HttpRequest) -> bool {
        let header = |name: &HeaderName| received.headers.get(name).map(HeaderValue::as_bytes);
        let (Some(timestamp), Some(signature)) = (header(&TIMESTAMP), header(&SIGNATURE)) else {
            return false;
        };
        let Ok(text) = std::str::from_utf8(timestamp) else { return false };
        let tag = hex_lower(&self.key.tag(&[text.as_bytes(), b"\n", &received.body]));
        tag.as_bytes() == signature
    }

    fn parse(&self, received: &HttpRequest) -> Option<BankRequest> {
        let body = &received.body[..];
        let operation = match received.path.as_str() {
            "/v1/charges" => BankOperation::Payment,
            "/v1/preauths" => BankOperation::Preauth,
            "/v1/payouts" => BankOperation::Payout,
            "/v1/charges/query" => BankOperation::Inquiry,
            "/v1/charges/reverse" => BankOperation::Reversal,
            "/v1/charges/undo" => BankOperation::Undo,
            "/v1/voids" => BankOperation::Void,
            "/v1/refunds" => BankOperation::Refund,
            "/v1/preauths/capture" => BankOperation::Capture,
            "/v1/statements" => BankOperation::Statement,
            "/v1/verifications" => BankOperation::Verification,
            "/v1/agreements/codes" => BankOperation::AgreementCode,
            "/v1/agreements" => BankOperation::Agreement,
            "/v1/agreements/query" => BankOperation::AgreementQuery,
            "/v1/agreements/end" => BankOperation::AgreementEnd,
            "/v1/payment-codes" => BankOperation::PaymentCode,
            _ => return None,
        };
        match operation {
            BankOperation::Payment | BankOperation::Preauth | BankOperation::Payout => {
                self.charge(operation, body)
            }
            BankOperation::Inquiry | BankOperation::Reversal => {
                let order: HarbourOrder<'_> = serde_json::from_slice(body).ok()?;
                let order_no = self.order_no(&order)?;
                Some(BankRequest::new(operation, order_no))
            }
            BankOperation::Statement | BankOperation::File => {
                let asked: HarbourStatement<'_> = serde_json::from_slice(body).ok()?;
                let date = BusinessDate::parse(&asked.date)?.to_string();
                let is_ours = asked.merchant_id == self.merchant_id;
                is_ours.then_some(BankRequest::new(operation, date))
            }
            BankOperation::Verification | BankOperation::AgreementCode => {
                self.verification(operation, body)
            }
            BankOperation::Agreement
            | BankOperation::AgreementQuery
            | BankOperation::AgreementEnd
            | BankOperation::PaymentCode => self.agreement(operation, body),
            BankOperation::Capture
            | BankOperation::Void
            | BankOperation::Undo
            | BankOperation::Refund => self.follow_up(operation, body),
        }
    }

    fn agreement(&self, operation: BankOperation, body: &[u8]) -> Option<BankRequest> {
        let asked: HarbourAgreement<'_> = serde_json::from_slice(body).ok()?;
        let order_no = self.order_no(&asked.order)?;
        Some(BankRequest {
            amount: asked.amount.map(AmountMinor::new).transpose().ok()?,
            card: asked.card_number.map(|number| RequestCard::new(&number, None, None)),
            token: asked.agreement_no.map(Cow::into_owned),
            sms_code: asked.sms_code.map(Cow::into_owned),
            coded_kind: asked.operation.map(|coded| match coded {
                HarbourCoded::Payment => EntryKind::Charge,
                HarbourCoded::Preauth => EntryKind::Preauth,
            }),
            ..BankRequest::new(operation, order_no)
        })
    }

    /// Who is asked about, whether the card is theirs: of a verification, and before a code.
    fn verification(&self, operation: BankOperation, body: &[u8]) -> Option<BankRequest> {
        let asked: HarbourVerification<'_> = serde_json::from_slice(body).ok()?;
        let order_no = self.order_no(&asked.order)?;
        let fits =
            |text: &Option<Cow<'_, str>>, is: fn(&str) -> bool| text.as_deref().is_none_or(is);
        let kind = asked.id_type.as_deref().unwrap_or("01");
        let number = asked.id_number.as_deref();
        let is_somebody = number.is_none_or(|number| is_somebody(kind, number));
        Some(BankRequest {
            card: Some(RequestCard::new(&asked.card_number, None, None)),
            is_somebody: is_somebody && fits(&asked.mobile, is_mobile),
            ..BankRequest::new(operation, order_no)
        })
    }

    fn charge(&self, operation: BankOperation, body: &[u8]) -> Option<BankRequest> {
        let charge: HarbourCharge<'_> = serde_json::from_slice(body).ok()?;
        let in_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if charge.sent_at.len() != 14 || !in_digits(&charge.sent_at) {
            return None;
        }
        let card = charge.card.map(|HarbourCard { number, expiry, cvv }| {
            RequestCard::new(&number, expiry.map(Cow::into_owned), cvv.as_deref())
        });
        let payee = match &charge.payee {
            Some(payee) => Some(payee.read()?),
            None => None,
        };
        let order_no = self.order_no(&charge.order)?;
        Some(BankRequest {
            sent_at: charge.sent_at.into_owned(),
            amount: Some(AmountMinor::new(charge.amount).ok()?),
            currency: Currency::parse(&charge.currency)?,
            card,
            payee,
            token: charge.agreement_no.map(Cow::into_owned),
            sms_code: charge.sms_code.map(Cow::into_owned),
            ..BankRequest::new(operation, order_no)
        })
    }

    fn follow_up(&self, operation: BankOperation, body: &[u8]) -> Option<BankRequest> {
        let follow_up: HarbourFollowUp<'_> = serde_json::from_slice(body).ok()?;
        let order_no = self.order_no(&follow_up.order)?;
        Some(BankRequest {
            original_no: follow_up.original_order_no.into_owned(),
            // A number that the bank never gave out names no order.
            original_trace: Some(trace_of(&follow_up.original_trade_no).unwrap_or_default()),
            amount: Some(AmountMinor::new(follow_up.amount).ok()?),
            ..BankRequest::new(operation, order_no)
        })
    }

    /// The order number, if it has the right form and the merchant is ours.
    fn order_no(&self, order: &HarbourOrder<'_>) -> Option<String> {
        let HarbourOrder { merchant_id, order_no } = order;
        let plain = order_no.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let fits = plain && (1..=ORDER_NO_LENGTH_MAX).contains(&order_no.len());
        (fits && *merchant_id == self.merchant_id).then(|| order_no.to_string())
    }
}

impl BankApi for Harbour {
    fn codes(&self) -> &'static BankCodes {
        &CODES
    }

    fn pending_parts(&self, operation: BankOperation) -> u16 {
        let is_charge = matches!(
            operation,
            BankOperation::Payment | BankOperation::Preauth | BankOperation::Payout
        );
        if is_charge { u16::from(self.pending_percent) * 100 } else { 0 }
    }

    fn verification_codes(&self) -> Option<&'static AnswerCodes> {
        Some(&VERIFICATION_CODES)
    }

    fn account_codes(&self) -> Option<&'static AccountCodes> {
        Some(&ACCOUNT_CODES)
    }

    fn agreement_codes(&self) -> Option<&'static AgreementCodes> {
        Some(&AGREEMENT_CODES)
    }

    fn read(
        &self,
        _running: &SimulatorState,
        received: &HttpRequest,
    ) -> Result<BankRequest, &'static str> {
        if self.verify_signatures && !self.signature_fits(received) {
            return Err(CODES.bad_signature);
        }
        self.parse(received).ok_or(CODES.format)
    }

    fn write(
        &self,
        running: &SimulatorState,
        request: Option<&BankRequest>,
        result: &BankResult,
        form: ReplyForm,
    ) -> HttpReply {
        let mut body = match (request, &result.facts, &result.file) {
            (_, None, Some(file)) => file.clone(),
            (Some(request), Some(facts), _) if request.operation == BankOperation::Inquiry => {
                query_body(&request.order_no, facts)
            }
            (Some(request), Some(facts), _) => order_body(result.code, &request.order_no, facts),
            (Some(request), None, None) => match request.operation {
                BankOperation::Verification
                | BankOperation::AgreementCode
                | BankOperation::Agreement
                | BankOperation::AgreementQuery
                | BankOperation::AgreementEnd
                | BankOperation::PaymentCode => {
                    service_body(result.code, &request.order_no, result.opened.as_ref())
                }
                _ => code_body(result.code),
            },
            (_, _, _) => code_body(result.code),
        };
        let timestamp = itoa::Buffer::new().format(running.now().as_millis() / 1_000).to_owned();
        let mut tag = self.key.tag(&[timestamp.as_bytes(), b"\n", &body]);
        let mut signed = true;
        if let ReplyForm::BadSignature(variant) = form {
            match variant % 3 {
                0 => tag[0] ^= 1,
                1 => signed = false,
                _ => forge(&mut body),
            }
        }
        let digits = |text: String| {
            HeaderValue::try_from(text).expect("digits and letters make a header value")
        };
        let mut reply = HttpReply::new(StatusCode::OK, "application/json", body);
        reply.headers.push((TIMESTAMP, digits(timestamp)));
        if signed {
            reply.headers.push((SIGNATURE, digits(hex_lower(&tag))));
        }
        reply
    }

    fn notice(&self, _order_no: &str) -> Option<NoticeWriter> {
        None
    }
}

/// The running number in the bank's own number of a transaction, `H` and 14 digits.
fn trace_of(trade_no: &str) -> Option<u64> {
    let digits = trade_no.strip_prefix('H').filter(|digits| digits.len() == 14)?;
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
}

/// The name of a state. A charge that an undo took back stays a success: the undo is an order
/// itself.
const fn state_name(state: EntryState) -> &'static str {
    match state {
        EntryState::Working => "PROCESSING",
        EntryState::Approved | EntryState::Undone => "SUCCESS",
        EntryState::Declined => "FAILED",
        EntryState::Reversed => "REVERSED",
    }
}

fn message(code: &str) -> &'static str {
    match code {
        "0000" => "ok",
        "1005" => "do not honour",
        "1014" => "invalid card",
        "1051" => "insufficient funds",
        "1054" => "expired card",
        "1059" => "suspected fraud",
        "1061" => "limit exceeded",
        "1066" => "name, document or mobile differ",
        "1071" => "wrong SMS code",
        "1072" => "the SMS code is good no more",
        "1073" => "no such agreement",
        "1082" => "wrong CVV",
        "1091" => "system busy, result unclear",
        "1099" => "processing",
        "1400" => "format",
        "1404" => "not found",
        "1503" => "closed for maintenance",
        "1900" => "bad signature",
        "2001" => "already done",
        "2002" => "cannot be done",
        _ => "other",
    }
}

fn code_body(code: &str) -> Vec<u8> {
    format!(r#"{{"code":"{code}","message":"{}"}}"#, message(code)).into_bytes()
}

/// The answer to a service, with the agreement that it has opened or asked about.
fn service_body(code: &str, order_no: &str, opened: Option<&OpenedAgreement>) -> Vec<u8> {
    let mut body =
        format!(r#"{{"code":"{code}","message":"{}","orderNo":"{order_no}""#, message(code));
    if let Some(OpenedAgreement { token, ends_at, .. }) = opened {
        body += &format!(
            r#","resultCode":"{}","agreementNo":"{token}","endsAt":"{}""#,
            CODES.answers.approved,
            ends_at.rfc3339(),
        );
    }
    body.push('}');
    body.into_bytes()
}

fn order_body(code: &str, order_no: &str, facts: &EntryFacts) -> Vec<u8> {
    let mut body = Vec::with_capacity(160);
    let date = facts.settle_date.civil();
    write!(
        body,
        concat!(
            r#"{{"code":"{}","message":"{}","orderNo":"{}","tradeNo":"H{:014}","#,
            r#""amount":{},"settleDate":"{:02}{:02}"}}"#
        ),
        code,
        message(code),
        order_no,
        facts.trace,
        facts.amount,
        date.month(),
        date.day(),
    )
    .expect("memory takes what is written to it");
    body
}

fn query_body(order_no: &str, facts: &EntryFacts) -> Vec<u8> {
    let result = if facts.state == EntryState::Working { CODES.pending } else { facts.code };
    let mut body = order_body(CODES.answers.approved, order_no, facts);
    body.pop();
    write!(body, r#","state":"{}","resultCode":"{result}"}}"#, state_name(facts.state))
        .expect("memory takes what is written to it");
    body
}

/// Turns the first code of a signed body into its opposite, so that its signature lies.
fn forge(body: &mut [u8]) {
    const PLACE: std::ops::Range<usize> = 9..13;
    let Some(code) = body.get_mut(PLACE) else { return };
    let opposite =
        if code == CODES.answers.approved.as_bytes() { "1051" } else { CODES.answers.approved };
    code.copy_from_slice(opposite.as_bytes());
}
