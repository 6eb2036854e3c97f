//! The forms of what callers send, for the document. Limits are the constants of the readers, words
//! those of the closed sets; a test takes each example through the reader, with a required field
//! left out and an unknown one added.

mod orders;

use serde_json::{Map, Value, json};

use crate::api::input::order::{
    DESCRIPTION_LENGTH_MAX, HOLDER_LENGTH_MAX, ID_NUMBER_LENGTH_MAX, ID_TYPE_LENGTH,
    PHONE_LENGTH_MAX, REASON_LENGTH_MAX, URL_BYTES_MAX,
};
use crate::api::input::query::Query;
use crate::domain::bin::proposal::BinFact;
use crate::domain::bin::{BIN_LENGTH_MAX, PAN_LENGTH_MAX, PAN_LENGTH_MIN};
use crate::domain::books::difference::Remedy;
use crate::domain::closed_set::ClosedSet;
use crate::domain::ids::{
    CALLER_ID_LENGTH_MAX, CALLER_ORDER_ID_LENGTH_MAX, CHANNEL_ID_LENGTH_MAX,
    MERCHANT_ID_LENGTH_MAX, ORDER_ID_DIGITS,
};
use crate::domain::money::{AMOUNT_MINOR_MAX, Currency};
use crate::domain::order::{OrderKind, OrderStatus, SettlementMode};
use crate::domain::outcome::Reason;
use crate::domain::payee_account::{AccountKind, PayeeAccount};
use crate::domain::payer_code::{MaskedCode, PayerCode};
use crate::domain::reversal::Resolution;
use crate::domain::route::RoutedName;
use crate::store::PAGE_MAX;

pub use orders::{
    agreement, agreement_code, capture, confirmation, payment, payment_code, payout, preauth,
    refund, release, verification, void,
};

/// The shortest prefix of a card number that is looked up: with fewer digits the answer is a region
/// of the world.
pub const PREFIX_LENGTH_MIN: usize = 6;
/// The longest reference of a bank's, in characters.
pub const REFERENCE_LENGTH_MAX: usize = 64;

/// The longest code of an issuer that is looked for, in characters.
pub const ISSUER_CODE_LENGTH_MAX: usize = 32;

/// The most orders of one replay, and as many as it plans where the caller names no number.
pub const REPLAYED_MAX: u64 = 5_000_000;

/// A card number for examples: UnionPay publishes it for tests.
const CARD: &str = "6216261000000000018";

/// A JSON object that a caller sends.
pub struct RequestForm {
    pub name: &'static str,
    fields: Vec<FieldForm>,
    /// Nothing at all is as good as an object without fields.
    pub may_be_empty: bool,
    pub example: Value,
}

impl RequestForm {
    fn new(name: &'static str, fields: Vec<FieldForm>, example: Value) -> Self {
        Self { name, fields, may_be_empty: false, example }
    }

    fn or_nothing(self) -> Self {
        Self { may_be_empty: true, ..self }
    }

    /// Its JSON Schema. Unknown fields are refused.
    pub fn schema(&self) -> Value {
        object(&self.fields)
    }
}

struct FieldForm {
    name: &'static str,
    form: Value,
    is_required: bool,
}

fn field(name: &'static str, mut form: Value, what: &str) -> FieldForm {
    form["description"] = what.into();
    FieldForm { name, form, is_required: false }
}

fn required(name: &'static str, form: Value, what: &str) -> FieldForm {
    FieldForm { is_required: true, ..field(name, form, what) }
}

fn object(fields: &[FieldForm]) -> Value {
    let properties: Map<String, Value> =
        fields.iter().map(|field| (field.name.to_owned(), field.form.clone())).collect();
    let required = fields.iter().filter(|field| field.is_required).map(|field| field.name);
    let required: Vec<&str> = required.collect();
    let mut object = json!({ "type": "object", "properties": properties });
    if !required.is_empty() {
        object["required"] = required.into();
    }
    object["additionalProperties"] = false.into();
    object
}

fn text(min: usize, max: usize) -> Value {
    json!({ "type": "string", "minLength": min, "maxLength": max })
}

fn id_text(max: usize, example: &str) -> Value {
    json!({
        "type": "string", "minLength": 1, "maxLength": max, "pattern": "^[A-Za-z0-9._:-]+$",
        "example": example,
    })
}

fn word<S: ClosedSet>() -> Value {
    json!({ "type": "string", "enum": S::NAMES })
}

pub fn caller_id() -> Value {
    id_text(CALLER_ID_LENGTH_MAX, "core")
}

pub fn caller_order_id() -> Value {
    id_text(CALLER_ORDER_ID_LENGTH_MAX, "A-20261122-17")
}

pub fn channel_id() -> Value {
    id_text(CHANNEL_ID_LENGTH_MAX, "unionpay")
}

fn merchant_id() -> Value {
    id_text(MERCHANT_ID_LENGTH_MAX, "m-42")
}

/// A number of ours.
pub fn number_id() -> Value {
    digits(ORDER_ID_DIGITS, ORDER_ID_DIGITS, "2611220000000000017")
}

/// A channel order number: an order's, and two digits of the attempt.
pub fn channel_order_no() -> Value {
    digits(ORDER_ID_DIGITS + 2, ORDER_ID_DIGITS + 2, "261122000000000001701")
}

pub fn request_id() -> Value {
    let pattern = format!("^[0-9]{{{ORDER_ID_DIGITS}}}-[0-9]{{1,5}}$");
    json!({ "type": "string", "pattern": pattern, "example": "2611220000000000017-1" })
}

pub fn bin_prefix() -> Value {
    digits(PREFIX_LENGTH_MIN, BIN_LENGTH_MAX, "621626")
}

pub fn bin_proposal_id() -> Value {
    let facts = BinFact::ALL.map(BinFact::name).join("|");
    let pattern = format!("^[0-9]{{2,12}}-1[2-9]-({facts})$");
    json!({ "type": "string", "pattern": pattern, "example": "621626-19-credit" })
}

pub fn date() -> Value {
    json!({ "type": "string", "format": "date", "example": "2026-11-22" })
}

/// A date whose day, or month and day, may be unknown.
pub fn stated_date() -> Value {
    let pattern = "^[0-9]{4}(-[0-9]{2}(-[0-9]{2})?)?$";
    json!({ "type": "string", "pattern": pattern, "example": "2026-11" })
}

fn digits(min: usize, max: usize, example: &str) -> Value {
    let count = if min == max { format!("{{{min}}}") } else { format!("{{{min},{max}}}") };
    json!({ "type": "string", "pattern": format!("^[0-9]{count}$"), "example": example })
}

fn amount() -> Value {
    json!({
        "type": "integer", "format": "int64", "minimum": 1, "maximum": AMOUNT_MINOR_MAX,
        "example": 12_345,
    })
}

fn order_id() -> FieldForm {
    let what = "The caller's own id, unique for that caller. The same id with the same content \
    gives the same order, and nothing is charged twice. Like every text here, it holds no card \
                number.";
    required("order_id", caller_order_id(), what)
}

fn amount_and_currency() -> [FieldForm; 2] {
    [
        required("amount", amount(), "In minor units (fen, cents)."),
        required("currency", word::<Currency>(), "An ISO 4217 code."),
    ]
}

fn settlement() -> FieldForm {
    let mut form = word::<SettlementMode>();
    form["default"] = SettlementMode::Instant.name().into();
    field("settlement", form, "`escrow`: the merchant gets the money by a release.")
}

fn merchant_category() -> FieldForm {
    let what = "The merchant's category (MCC): fees may depend on it.";
    field("merchant_category", digits(4, 4, "5411"), what)
}

fn merchant_fee() -> FieldForm {
    let form = json!({
        "type": "integer", "format": "int64", "minimum": 0, "maximum": AMOUNT_MINOR_MAX,
    });
    let what = "The fee that the core charges its merchant, at most the amount: income beside the \
                channel's cost in reports. It moves no money.";
    field("merchant_fee", form, what)
}

fn pan() -> FieldForm {
    let what = "The card number, with its check digit.";
    required("pan", digits(PAN_LENGTH_MIN, PAN_LENGTH_MAX, CARD), what)
}

fn person() -> [FieldForm; 4] {
    let id_type = json!({
        "type": "string", "minLength": 1, "maxLength": ID_TYPE_LENGTH,
        "pattern": "^[A-Za-z0-9]+$", "example": "01",
    });
    let id_number = json!({
        "type": "string", "minLength": 1, "maxLength": ID_NUMBER_LENGTH_MAX,
        "pattern": "^[A-Za-z0-9-]+$",
    });
    let phone = json!({
        "type": "string", "minLength": 1, "maxLength": PHONE_LENGTH_MAX, "pattern": "^[0-9+-]+$",
    });
    [
        field("holder", text(1, HOLDER_LENGTH_MAX), "The cardholder's name."),
        field("id_type", id_type, "The kind of identity document; `01`: identity card."),
        field("id_number", id_number, "Its number."),
        field("phone", phone, "The phone that the issuer knows."),
    ]
}

fn paying_card() -> Value {
    let expiry = json!({
        "type": "string", "pattern": "^[0-9]{2}(0[1-9]|1[0-2])$", "example": "3012",
    });
    let cvv = json!({ "type": "string", "pattern": "^[0-9]{3,4}$" });
    let mut fields = vec![
        pan(),
        field("expiry", expiry, "Year and month, `YYMM`; not over."),
        field("cvv", cvv, "Never kept, and so not compared when an order repeats."),
    ];
    fields.extend(person());
    object(&fields)
}

/// A card that does not pay.
fn named_card() -> Value {
    let mut fields = vec![pan()];
    fields.extend(person());
    object(&fields)
}

/// Who shows a code, of which so many characters at least are asked for.
fn payer(shortest: usize) -> Value {
    let code = json!({
        "type": "string", "minLength": shortest, "maxLength": PayerCode::LENGTHS.end(),
        "pattern": "^[0-9A-Za-z]+$",
    });
    object(&[required("code", code, "The code that the payer's wallet shows; never kept.")])
}

/// What the id of an account is.
fn account_kind() -> FieldForm {
    required("kind", word::<AccountKind>(), "What the account's id is; `login`: a phone or e-mail.")
}

/// Whose account is paid.
fn payee() -> Value {
    let account = json!({
        "type": "string", "minLength": 3, "maxLength": PayeeAccount::ID_LENGTH_MAX,
        "example": "13800138000",
    });
    let name = text(1, PayeeAccount::NAME_LENGTH_MAX);
    object(&[
        required("account", account, "The account's id at the channel; kept sealed, then masked."),
        account_kind(),
        field("name", name, "The name of the account's holder."),
    ])
}

fn description() -> FieldForm {
    field("description", text(1, DESCRIPTION_LENGTH_MAX), "For people. No control characters.")
}

fn notify_url() -> FieldForm {
    let form = json!({
        "type": "string", "format": "uri", "maxLength": URL_BYTES_MAX,
        "example": "https://core.example/notices",
    });
    let what = "Where the end of the order is told: https, or http to a host of \
                `notices.plain_http_to`. Absent: `notices.url`.";
    field("notify_url", form, what)
}

pub(in crate::api) fn reason_form() -> Value {
    text(1, REASON_LENGTH_MAX)
}

fn reason() -> FieldForm {
    field("reason", reason_form(), "Why, for the audit trail.")
}

fn needed_reason() -> FieldForm {
    required("reason", reason_form(), "Why, for the audit trail.")
}

pub fn refresh() -> RequestForm {
    let source = json!({ "type": "string", "minLength": 1 });
    let fields = vec![
        field("source", source, "A file, or an https URL; absent: the settings' source."),
        field("as_of", stated_date(), "The date of the facts; absent: the day of the refresh."),
        field("force", json!({ "type": "boolean" }), "Overrules a refusal as suspicious."),
        field("reason", reason_form(), "Why, for the history and the audit trail; with `force`."),
    ];
    let example = json!({ "source": "bin-table.csv", "as_of": "2026-11-01" });
    RequestForm::new("RefreshRequest", fields, example).or_nothing()
}

pub fn rollback() -> RequestForm {
    let version = json!({ "type": "integer", "minimum": 0, "maximum": u32::MAX });
    let what = "Absent: the version that was live before. 0: the shipped table.";
    let why = "Why, for the history and the audit trail.";
    let fields = vec![field("version", version, what), required("reason", reason_form(), why)];
    let example = json!({ "version": 0, "reason": "the new table lacks a bank" });
    RequestForm::new("RollbackRequest", fields, example)
}

pub fn explain() -> RequestForm {
    let length = json!({
        "type": "integer", "minimum": PAN_LENGTH_MIN, "maximum": PAN_LENGTH_MAX,
    });
    let number = FieldForm { is_required: false, ..pan() };
    let mut card = object(&[
        number,
        field("bin", bin_prefix(), "The first digits, in place of a number."),
        field("length", length, "The number's length, beside `bin`."),
    ]);
    card["minProperties"] = 1.into();
    let mut fields = vec![
        field("card", card, "`pan`, or `bin` and perhaps `length`; required without another one."),
        field("payer", payer(MaskedCode::BEGINNING), "In place of a card."),
        field("payee", object(&[account_kind()]), "Of a payout, in place of a card."),
    ];
    let routed = RoutedName::ROUTED.map(RoutedName::name);
    let routed = json!({ "type": "string", "enum": routed, "default": "payment" });
    fields.extend([
        field("amount", amount(), "In minor units; required of an order, and no service has one."),
        field("currency", word::<Currency>(), "An ISO 4217 code, beside `amount`."),
        settlement(),
        field("merchant_id", merchant_id(), "The merchant, where rules ask for it."),
        merchant_category(),
        field(
            "operation",
            routed,
            "An order, or a service to a card, which has a card, a merchant and nothing else.",
        ),
    ]);
    let example = json!({
        "card": { "bin": "621626", "length": 19 }, "amount": 12_345, "currency": "CNY",
    });
    RequestForm::new("RouteQuestion", fields, example)
}

pub fn replay() -> RequestForm {
    let moment = json!({ "type": "string", "example": "2026-11-22T08:00:00Z" });
    let files = json!({ "type": "object", "additionalProperties": { "type": "string" } });
    let most = json!({
        "type": "integer", "minimum": 1, "maximum": REPLAYED_MAX, "default": REPLAYED_MAX,
    });
    let in_place = "Channel files by their ids, in place of those in force, or beside them; no \
                    credentials are needed.";
    let fields = vec![
        required("from", moment.clone(), "Created then or later: a time, or a date in UTC."),
        required("to", moment, "Created before: a time, or a date in UTC."),
        field("routes", json!({ "type": "string" }), "The text of a routes file, or `channels`."),
        field("channels", files, in_place),
        field("orders_max", most, "The most orders that are planned."),
    ];
    let routes = "[[rule]]\nname = \"all\"\nstrategy = \"priority\"\nchannels = [\"unionpay\"]\n";
    let example = json!({ "from": "2026-11-21", "to": "2026-11-22", "routes": routes });
    RequestForm::new("ReplayRequest", fields, example)
}

/// What is asked about orders: name, form and meaning of each field.
pub fn question_fields() -> impl Iterator<Item = (&'static str, Value, &'static str)> {
    let moment = json!({ "type": "string", "example": "2026-11-22T08:00:00Z" });
    let minor = json!({ "type": "integer", "format": "int64", "minimum": 0 });
    let issuer = json!({ "type": "string", "minLength": 1, "maxLength": ISSUER_CODE_LENGTH_MAX });
    let kind = json!({ "type": "string", "enum": OrderKind::NAMES });
    let fields = [
        ("from", moment.clone(), "Created then or later: a time, or a date, its beginning in UTC."),
        ("to", moment, "Created before: a time, or a date, its beginning in UTC."),
        ("caller", caller_id(), "Whose; for operators and auditors."),
        ("amount", minor.clone(), "Exactly, in minor units."),
        ("amount_from", minor.clone(), "At least."),
        ("amount_to", minor, "At most."),
        ("status", word::<OrderStatus>(), "How it stands."),
        ("kind", kind, "What it is."),
        ("channel", channel_id(), "The channel of any of its attempts."),
        ("merchant_id", merchant_id(), "The merchant."),
        ("currency", word::<Currency>(), "The currency."),
        ("issuer_code", issuer, "The card's issuer."),
        ("first_six", digits(6, 6, "621626"), "The first digits of the card's number."),
        ("last_four", digits(4, 4, "0018"), "The last digits of the card's number."),
        ("reason", word::<Reason>(), "Why it did not succeed."),
    ];
    fields.into_iter()
}

/// Any number that an order may be found by.
pub fn any_number() -> Value {
    json!({
        "type": "string", "minLength": 1, "maxLength": CALLER_ORDER_ID_LENGTH_MAX,
        "example": "A-20261122-17",
    })
}

pub fn order_question() -> RequestForm {
    let card = object(&[pan()]);
    let account = text(1, PayeeAccount::ID_LENGTH_MAX);
    let payee = object(&[required("account", account, "The account's id, as it was sent.")]);
    let limit = json!({
        "type": "integer", "minimum": 1, "maximum": PAGE_MAX, "default": Query::LIMIT_DEFAULT,
    });
    let mut fields: Vec<FieldForm> =
        question_fields().map(|(name, form, what)| field(name, form, what)).collect();
    fields.extend([
        field("card", card, "A whole card number, which is looked for by its digest."),
        field("payee", payee, "A payee's whole account, in the same way."),
        field("after", number_id(), "Behind this order: the `next` of the page before."),
        field("limit", limit, "The most orders of the page."),
    ]);
    let example = json!({ "from": "2026-11-22", "status": "failed", "limit": 10 });
    RequestForm::new("OrderQuestion", fields, example)
}

/// What is asked about agreements, but for the card's whole number: name, form and meaning of each
/// field.
pub fn agreement_fields() -> impl Iterator<Item = (&'static str, Value, &'static str)> {
    let asked = ["merchant_id", "first_six", "last_four", "caller"];
    question_fields().filter(move |(name, ..)| asked.contains(name))
}

pub fn agreement_question() -> RequestForm {
    let limit = json!({
        "type": "integer", "minimum": 1, "maximum": PAGE_MAX, "default": Query::LIMIT_DEFAULT,
    });
    let mut fields: Vec<FieldForm> =
        agreement_fields().map(|(name, form, what)| field(name, form, what)).collect();
    fields.extend([
        field("card", object(&[pan()]), "A whole card number, looked for by its digest."),
        field("after", number_id(), "Behind this agreement: the `next` of the page before."),
        field("limit", limit, "The most agreements of the page."),
    ]);
    let example = json!({ "card": { "pan": CARD } });
    RequestForm::new("AgreementQuestion", fields, example)
}

pub fn switch() -> RequestForm {
    let enabled = json!({ "type": "boolean" });
    let fields = vec![required("enabled", enabled, "Whether it gets new orders."), reason()];
    let example = json!({ "enabled": true, "reason": "the bank is back" });
    RequestForm::new("SwitchRequest", fields, example)
}

/// A change with a reason, if there is one to say.
pub fn reasoned() -> RequestForm {
    RequestForm::new("ReasonedRequest", vec![reason()], json!({ "reason": "asked by the bank" }))
        .or_nothing()
}

pub fn reload() -> RequestForm {
    let files = json!({ "type": "string", "example": "0a1b2c3d4e5f" });
    let fields = vec![
        needed_reason(),
        field(
            "accept_moves",
            json!({ "type": "boolean", "default": false }),
            "Put it in force however many of the last day's orders go elsewhere.",
        ),
        field("files", files, "With `accept_moves`: the files that were shown, and no others."),
    ];
    let example = json!({ "reason": "the bank's new fees", "accept_moves": false });
    RequestForm::new("ReloadRequest", fields, example)
}

/// A change that must have a reason.
pub fn decided() -> RequestForm {
    let example = json!({ "reason": "the bank's ticket 4711" });
    RequestForm::new("DecidedRequest", vec![needed_reason()], example)
}

pub fn resolution() -> RequestForm {
    let outcome = word::<Resolution>();
    let fields = vec![required("outcome", outcome, "How the order has ended."), needed_reason()];
    let example = json!({ "outcome": "failed", "reason": "the bank's ticket 4711" });
    RequestForm::new("ResolutionRequest", fields, example)
}

pub fn balancing() -> RequestForm {
    let what = "The merchant, where our record does not name it.";
    let fields = vec![
        required("remedy", word::<Remedy>(), "Where the money belongs."),
        field("merchant_id", merchant_id(), what),
        needed_reason(),
    ];
    let example = json!({ "remedy": "channel", "reason": "they correct it tomorrow" });
    RequestForm::new("BalancingRequest", fields, example)
}

pub fn receipt() -> RequestForm {
    let received = json!({ "type": "integer", "format": "int64", "example": 1_570_600 });
    let reference = json!({
        "type": "string", "minLength": 1, "maxLength": REFERENCE_LENGTH_MAX,
        "pattern": "^[A-Za-z0-9._:/-]+$", "example": "88017",
    });
    let fields = vec![
        required("from", date(), "The first clearing date that it is for."),
        field("to", date(), "The last one; absent: the first."),
        required("currency", word::<Currency>(), "An ISO 4217 code."),
        required("amount", received, "In minor units: negative where the bank paid the channel."),
        required("bank_reference", reference, "The bank's own, once for each receipt."),
        required("received_on", date(), "When the bank received it."),
    ];
    let example = json!({
        "from": "2026-11-20", "currency": "CNY", "amount": 1_570_600, "bank_reference": "88017",
        "received_on": "2026-11-21",
    });
    RequestForm::new("ReceiptRequest", fields, example)
}

/// A call that needs nothing to be said.
pub fn nothing() -> RequestForm {
    RequestForm::new("EmptyRequest", Vec::new(), json!({})).or_nothing()
}

pub fn clock_confirmation() -> RequestForm {
    let time = json!({
        "type": "string", "format": "date-time", "example": "2026-11-22T08:00:00Z",
    });
    let what = "The time that was read off another clock.";
    let fields = vec![required("time", time, what), needed_reason()];
    let example = json!({ "time": "2026-11-22T08:00:00Z", "reason": "read off the wall" });
    RequestForm::new("ClockConfirmation", fields, example)
}
