//! Reads what the core asks for into a checked order, field by field, in the order of the manual.
//!
//! Upholds I-11: no refusal repeats a value of the card, nor of anything else.

use std::borrow::Cow;
use std::sync::Arc;

use http::Uri;

use crate::api::error::{ApiError, ProblemCode};
use crate::api::input::json::{Json, JsonFields};
use crate::api::input::query::Query;
use crate::domain::card::{CardInput, Cvv, Expiry, LuhnWaiver, Pan, PanError, SmsCode};
use crate::domain::closed_set::ClosedSet as _;
use crate::domain::ids::{AgreementId, CallerId, CallerOrderId, MerchantCategory, MerchantId};
use crate::domain::money::{AmountMinor, Currency};
use crate::domain::order::{Instruction, Order, OrderKind, SettlementMode};
use crate::domain::payee_account::{AccountKind, PayeeAccount};
use crate::domain::payer_code::PayerCode;
use crate::domain::payment_code::CodedKind;
use crate::engine::agreements::GivenCode;
use crate::engine::follow_ups::FollowUp;
use crate::engine::intake::{NamedInstrument, NamedPayer, NewAgreement, NewPaymentCode};

/// The longest description, in characters.
pub const DESCRIPTION_LENGTH_MAX: usize = 256;
/// The longest URL for a notice, in bytes.
pub const URL_BYTES_MAX: usize = 512;
/// The longest name of a cardholder, in characters.
pub const HOLDER_LENGTH_MAX: usize = 64;
/// The longest reason of an operator, in characters.
pub const REASON_LENGTH_MAX: usize = 500;
/// The longest number of an identity document, in characters.
pub const ID_NUMBER_LENGTH_MAX: usize = 32;

/// The length of a kind of identity document, in characters.
pub const ID_TYPE_LENGTH: usize = 2;
/// The longest phone number, in characters.
pub const PHONE_LENGTH_MAX: usize = 20;

/// The settings about the fields.
#[derive(Clone, Copy)]
pub struct FieldRules<'s> {
    pub plain_http_to: &'s [String],
    pub luhn_waiver: &'s LuhnWaiver,
}

/// Reads the body of a payment or pre-authorisation.
pub fn read_payment(
    body: &[u8],
    kind: OrderKind,
    caller: &CallerId,
    rules: FieldRules<'_>,
) -> Result<(Instruction, NamedInstrument), ApiError> {
    let mut fields = JsonFields::parse(body)?;
    let mut asked = begun(&mut fields, kind, caller)?;
    asked.settlement_mode = settlement(&mut fields)?;
    asked.merchant_category = merchant_category(&mut fields)?;
    asked.merchant_fee_minor = merchant_fee(&mut fields, asked.amount)?;
    let named = instrument(&mut fields, rules)?;
    asked.description = description(&mut fields)?;
    asked.notify_url = notify_url(&mut fields, rules.plain_http_to)?;
    fields.finish()?;
    Ok((asked, named))
}

/// Reads what an order is to be paid by: a card or an agreement, with the code of this order
/// where its payer was sent one, or the code that the payer shows.
fn instrument(
    fields: &mut JsonFields<'_>,
    rules: FieldRules<'_>,
) -> Result<NamedInstrument, ApiError> {
    if let Some(payer) = fields.optional_object("payer", "payer.")? {
        let code = payer_code(payer)?;
        for other in ["card", "agreement"] {
            if fields.value(other).is_some() {
                let detail = "a payer's code stands in its place: name one of them";
                return Err(fields.invalid(other, detail));
            }
        }
        return Ok(NamedInstrument::Code(code));
    }
    let Some(id) = agreement(fields)? else {
        let card = card_fields(fields.object("card", "card.")?, rules)?;
        return Ok(NamedInstrument::Card { card, sms_code: sms_code(fields, "sms_code")? });
    };
    Ok(NamedInstrument::Agreement { id, sms_code: sms_code(fields, "sms_code")? })
}

/// The agreement that stands in a card's place, if one is named.
fn agreement(fields: &mut JsonFields<'_>) -> Result<Option<AgreementId>, ApiError> {
    let Some(text) = fields.text("agreement")? else { return Ok(None) };
    let id = AgreementId::parse(&text);
    let id = id.ok_or_else(|| fields.invalid("agreement", "an id, 19 digits, is expected"))?;
    if fields.optional_object("card", "card.")?.is_some() {
        return Err(fields.invalid("card", "an agreement stands for its card: name one of them"));
    }
    Ok(Some(id))
}

fn payer_code(mut payer: JsonFields<'_>) -> Result<PayerCode, ApiError> {
    let code = PayerCode::parse(&payer.required_text("code")?);
    let code = code.ok_or_else(|| payer.invalid("code", "16 to 64 letters and digits"))?;
    payer.finish()?;
    Ok(code)
}

fn sms_code(fields: &mut JsonFields<'_>, name: &'static str) -> Result<Option<SmsCode>, ApiError> {
    let Some(text) = fields.text(name)? else { return Ok(None) };
    let code = SmsCode::parse(&text);
    code.map(Some).ok_or_else(|| fields.invalid(name, "4 to 8 digits are expected"))
}

/// Reads the body of a new agreement: its own id, the merchant, and the card with the phone that
/// gets the code.
pub fn read_agreement(
    body: &[u8],
    caller: &CallerId,
    rules: FieldRules<'_>,
) -> Result<NewAgreement, ApiError> {
    let mut fields = JsonFields::parse(body)?;
    let (id, merchant_id) = (order_id(&mut fields)?, merchant_id(&mut fields)?);
    let card = card_with_phone(&mut fields, rules)?;
    fields.finish()?;
    Ok(NewAgreement { caller: caller.clone(), caller_order_id: id, merchant_id, card })
}

/// Reads the body of a confirmation: the code, and the card again where that was asked for.
pub fn read_confirmation(body: &[u8], rules: FieldRules<'_>) -> Result<GivenCode, ApiError> {
    let mut fields = JsonFields::parse(body)?;
    let code = sms_code(&mut fields, "code")?.ok_or_else(|| fields.missing("code"))?;
    let card = card_again(&mut fields, rules)?;
    fields.finish()?;
    Ok(GivenCode { code, card })
}

/// Reads the body of a request for another code, which may be empty.
pub fn read_code_again(body: &[u8], rules: FieldRules<'_>) -> Result<Option<CardInput>, ApiError> {
    let mut fields = JsonFields::parse_or_empty(body)?;
    let card = card_again(&mut fields, rules)?;
    fields.finish()?;
    Ok(card)
}

fn card_again(
    fields: &mut JsonFields<'_>,
    rules: FieldRules<'_>,
) -> Result<Option<CardInput>, ApiError> {
    let card = fields.optional_object("card", "card.")?;
    card.map(|card| card_fields(card, rules)).transpose()
}

/// Reads the body of a request for the code of a payment to come: what the payment will say, and
/// the card with its phone, or the agreement with another phone where that is meant.
pub fn read_payment_code(
    body: &[u8],
    caller: &CallerId,
    rules: FieldRules<'_>,
) -> Result<NewPaymentCode, ApiError> {
    let mut fields = JsonFields::parse(body)?;
    let kind = coded_kind(&mut fields)?;
    let mut asked = begun(&mut fields, kind.into(), caller)?;
    asked.settlement_mode = settlement(&mut fields)?;
    let by = match agreement(&mut fields)? {
        Some(id) => NamedPayer::Agreement { id, phone: phone(&mut fields)? },
        None => NamedPayer::Card(card_with_phone(&mut fields, rules)?),
    };
    let resend = fields.boolean("resend")?.unwrap_or(false);
    fields.finish()?;
    Ok(NewPaymentCode { asked, by, resend })
}

/// The kind of order that a code is for: a payment, where nothing is said.
fn coded_kind(fields: &mut JsonFields<'_>) -> Result<CodedKind, ApiError> {
    let Some(text) = fields.text("kind")? else { return Ok(CodedKind::Payment) };
    CodedKind::parse(&text).ok_or_else(|| {
        let known = CodedKind::NAMES.join(", ");
        fields.invalid("kind", format!("one of these is expected: {known}"))
    })
}

/// A card whose phone gets a code.
fn card_with_phone(
    fields: &mut JsonFields<'_>,
    rules: FieldRules<'_>,
) -> Result<CardInput, ApiError> {
    let card = fields.object("card", "card.")?;
    let missing = card.missing("phone");
    let card = card_fields(card, rules)?;
    if card.phone.is_some() { Ok(card) } else { Err(missing) }
}

/// Reads what every order that begins with a card has.
fn begun(
    fields: &mut JsonFields<'_>,
    kind: OrderKind,
    caller: &CallerId,
) -> Result<Instruction, ApiError> {
    let (id, merchant) = (order_id(fields)?, merchant_id(fields)?);
    let (amount, currency) = (required_amount(fields)?, currency(fields)?);
    Ok(Instruction::new(caller.clone(), id, kind, merchant, amount, currency))
}

/// Reads the body of a payout: the payee's account, or his card, which has neither expiry nor CVV:
/// these belong to a card that pays.
pub fn read_payout(
    body: &[u8],
    caller: &CallerId,
    rules: FieldRules<'_>,
) -> Result<(Instruction, NamedInstrument), ApiError> {
    let mut fields = JsonFields::parse(body)?;
    let mut asked = begun(&mut fields, OrderKind::Payout, caller)?;
    asked.merchant_category = merchant_category(&mut fields)?;
    let payee = payee(&mut fields, rules)?;
    asked.description = description(&mut fields)?;
    asked.notify_url = notify_url(&mut fields, rules.plain_http_to)?;
    fields.finish()?;
    Ok((asked, payee))
}

fn payee(fields: &mut JsonFields<'_>, rules: FieldRules<'_>) -> Result<NamedInstrument, ApiError> {
    let Some(payee) = fields.optional_object("payee", "payee.")? else {
        let card = number_and_person(fields.object("card", "card.")?, rules)?;
        return Ok(NamedInstrument::Card { card, sms_code: None });
    };
    let account = account(payee)?;
    if fields.value("card").is_some() {
        return Err(fields.invalid("card", "an account stands in its place: name one of them"));
    }
    Ok(NamedInstrument::Account(account))
}

fn account(mut payee: JsonFields<'_>) -> Result<PayeeAccount, ApiError> {
    let id = payee.required_text("account")?;
    let kind = account_kind(&mut payee)?;
    let name = payee.text("name")?;
    if PayeeAccount::parse(kind, &id, None).is_none() {
        let detail = match kind {
            AccountKind::Login => "a phone number or an e-mail address is expected",
            AccountKind::UserId | AccountKind::OpenId | AccountKind::BankAccount => {
                "3 to 100 letters, digits, _ and - are expected"
            }
        };
        return Err(payee.invalid("account", detail));
    }
    let detail = "1 to 64 characters without control characters are expected";
    let account = PayeeAccount::parse(kind, &id, name.as_deref());
    let account = account.ok_or_else(|| payee.invalid("name", detail))?;
    payee.finish()?;
    Ok(account)
}

/// What the id of an account is.
pub fn account_kind(payee: &mut JsonFields<'_>) -> Result<AccountKind, ApiError> {
    let text = payee.required_text("kind")?;
    AccountKind::parse(&text).ok_or_else(|| {
        let known = AccountKind::NAMES.join(", ");
        payee.invalid("kind", format!("one of these is expected: {known}"))
    })
}

/// Reads the body of a verification: its own id, the merchant, and the elements.
pub fn read_verification(
    body: &[u8],
    rules: FieldRules<'_>,
) -> Result<(CallerOrderId, MerchantId, CardInput), ApiError> {
    let mut fields = JsonFields::parse(body)?;
    let (id, merchant) = (order_id(&mut fields)?, merchant_id(&mut fields)?);
    let card = fields.object("card", "card.")?;
    let missing = card.missing("holder");
    let read = number_and_person(card, rules)?;
    fields.finish()?;
    let has_element = read.holder.is_some() || read.id_number.is_some() || read.phone.is_some();
    if has_element { Ok((id, merchant, read)) } else { Err(missing) }
}

/// Reads a release's body: its own order id, and how much (everything that is left, if absent).
pub fn read_release(body: &[u8]) -> Result<(CallerOrderId, Option<AmountMinor>), ApiError> {
    let mut fields = JsonFields::parse(body)?;
    let read = (order_id(&mut fields)?, amount(&mut fields)?);
    fields.finish()?;
    Ok(read)
}

/// Reads the body of a refund, void or capture of `original`. A void is of the whole, so it takes
/// no amount; only a capture is paid in, and says something of its merchant.
pub fn read_follow_up(
    body: &[u8],
    kind: OrderKind,
    original: &Order,
    caller: &CallerId,
    rules: FieldRules<'_>,
) -> Result<FollowUp, ApiError> {
    let mut fields = JsonFields::parse(body)?;
    let mut asked = Instruction::on(original, kind, caller.clone(), order_id(&mut fields)?);
    let takes_amount = !matches!(kind, OrderKind::Void { .. });
    let amount = if takes_amount { amount(&mut fields)? } else { None };
    if kind.is_paid_in() {
        let whole = amount.unwrap_or(asked.amount);
        asked.merchant_category = merchant_category(&mut fields)?.or(asked.merchant_category);
        asked.merchant_fee_minor = merchant_fee(&mut fields, whole)?;
    }
    let card = fields.optional_object("card", "card.")?;
    let card = card.map(|card| card_fields(card, rules).map(Arc::new)).transpose()?;
    asked.description = description(&mut fields)?;
    asked.notify_url = notify_url(&mut fields, rules.plain_http_to)?.or(asked.notify_url);
    fields.finish()?;
    Ok(FollowUp { instruction: asked, amount, card, most_minor: None, approved: None })
}

fn order_id(fields: &mut JsonFields<'_>) -> Result<CallerOrderId, ApiError> {
    let text = match fields.value("order_id") {
        None => return Err(fields.missing("order_id")),
        Some(Json::Text(text)) => text,
        Some(_) => {
            let detail = "an order id is a string";
            return Err(ApiError::of_field(ProblemCode::InvalidOrderId, "order_id", detail));
        }
    };
    CallerOrderId::parse(&text).map_err(|error| {
        ApiError::of_field(ProblemCode::InvalidOrderId, "order_id", error.to_string())
    })
}

pub fn merchant_id(fields: &mut JsonFields<'_>) -> Result<MerchantId, ApiError> {
    let text = fields.required_text("merchant_id")?;
    MerchantId::parse(&text).map_err(|error| fields.invalid("merchant_id", error.to_string()))
}

/// An amount that may be absent.
pub fn amount(fields: &mut JsonFields<'_>) -> Result<Option<AmountMinor>, ApiError> {
    let refuse = |detail: Cow<'static, str>| {
        Err(ApiError::of_field(ProblemCode::InvalidAmount, "amount", detail))
    };
    match fields.value("amount") {
        None => Ok(None),
        Some(Json::Integer(minor)) => match AmountMinor::new(minor) {
            Ok(amount) => Ok(Some(amount)),
            Err(error) => refuse(error.to_string().into()),
        },
        Some(Json::Huge) => refuse("an amount has at most twelve digits".into()),
        Some(_) => refuse("an integer of minor units is expected, without fraction".into()),
    }
}

pub fn required_amount(fields: &mut JsonFields<'_>) -> Result<AmountMinor, ApiError> {
    amount(fields)?.ok_or_else(|| fields.missing("amount"))
}

pub fn currency(fields: &mut JsonFields<'_>) -> Result<Currency, ApiError> {
    let text = match fields.value("currency") {
        None => return Err(fields.missing("currency")),
        Some(Json::Text(text)) => text,
        Some(_) => Cow::Borrowed(""),
    };
    Currency::parse(&text).ok_or_else(|| {
        let known: Vec<&str> = Currency::ALL.iter().map(|currency| currency.name()).collect();
        let detail = format!("the known currencies are: {}", known.join(", "));
        ApiError::of_field(ProblemCode::UnknownCurrency, "currency", detail)
    })
}

pub fn settlement(fields: &mut JsonFields<'_>) -> Result<SettlementMode, ApiError> {
    match fields.text("settlement")? {
        None => Ok(SettlementMode::Instant),
        Some(text) => SettlementMode::parse(&text)
            .ok_or_else(|| fields.invalid("settlement", "\"instant\" or \"escrow\" is expected")),
    }
}

/// The merchant's category, if it is given.
pub fn merchant_category(
    fields: &mut JsonFields<'_>,
) -> Result<Option<MerchantCategory>, ApiError> {
    let Some(text) = fields.text("merchant_category")? else { return Ok(None) };
    let read = MerchantCategory::parse(&text);
    read.map(Some).ok_or_else(|| fields.invalid("merchant_category", "four digits are expected"))
}

/// The fee that the core charges its merchant, if it is given: at most the amount.
fn merchant_fee(fields: &mut JsonFields<'_>, whole: AmountMinor) -> Result<Option<i64>, ApiError> {
    let expected = "an integer of minor units is expected, from 0 to the amount";
    match fields.value("merchant_fee") {
        None => Ok(None),
        Some(Json::Integer(minor)) if (0..=whole.get()).contains(&minor) => Ok(Some(minor)),
        Some(_) => Err(fields.invalid("merchant_fee", expected)),
    }
}

fn card_fields(mut card: JsonFields<'_>, rules: FieldRules<'_>) -> Result<CardInput, ApiError> {
    let mut read = CardInput::of_number(pan(&mut card, rules.luhn_waiver)?);
    read.expiry = expiry(&mut card)?;
    read.cvv = card
        .text("cvv")?
        .map(|text| Cvv::parse(&text).ok_or_else(|| card.invalid("cvv", "3 or 4 digits")))
        .transpose()?;
    person_fields(&mut card, &mut read)?;
    card.finish()?;
    Ok(read)
}

/// A card that does not pay: it has neither expiry nor CVV.
fn number_and_person(
    mut card: JsonFields<'_>,
    rules: FieldRules<'_>,
) -> Result<CardInput, ApiError> {
    let mut read = CardInput::of_number(pan(&mut card, rules.luhn_waiver)?);
    person_fields(&mut card, &mut read)?;
    card.finish()?;
    Ok(read)
}

/// The fields that name the cardholder.
fn person_fields(card: &mut JsonFields<'_>, into: &mut CardInput) -> Result<(), ApiError> {
    into.holder = plain(card, "holder", HOLDER_LENGTH_MAX, |_| true)?;
    into.id_type = plain(card, "id_type", ID_TYPE_LENGTH, |letter| letter.is_ascii_alphanumeric())?;
    into.id_number = plain(card, "id_number", ID_NUMBER_LENGTH_MAX, |letter| {
        letter.is_ascii_alphanumeric() || letter == '-'
    })?;
    into.phone = phone(card)?;
    Ok(())
}

fn phone(fields: &mut JsonFields<'_>) -> Result<Option<String>, ApiError> {
    plain(fields, "phone", PHONE_LENGTH_MAX, |letter| {
        letter.is_ascii_digit() || letter == '+' || letter == '-'
    })
}

/// A whole card number. The refusal says which check failed, and never the number (I-11).
pub fn pan(card: &mut JsonFields<'_>, luhn_waiver: &LuhnWaiver) -> Result<Pan, ApiError> {
    let text = card.required_text("pan")?;
    luhn_waiver.parse(&text).map_err(|error| {
        let reason = match error {
            PanError::NotDigits => "digits",
            PanError::Length => "length",
            PanError::Luhn => "luhn",
        };
        ApiError::of_field(ProblemCode::InvalidCardNumber, card.path("pan"), error.to_string())
            .with("reason", reason.into())
    })
}

fn expiry(card: &mut JsonFields<'_>) -> Result<Option<Expiry>, ApiError> {
    let Some(text) = card.text("expiry")? else { return Ok(None) };
    let read = Expiry::parse_yymm(&text);
    read.map(Some).ok_or_else(|| card.invalid("expiry", "four digits YYMM are expected"))
}

/// A short text of allowed characters; never empty, never with control characters.
pub fn plain(
    fields: &mut JsonFields<'_>,
    name: &'static str,
    length_max: usize,
    allowed: impl Fn(char) -> bool,
) -> Result<Option<String>, ApiError> {
    let Some(text) = fields.text(name)? else { return Ok(None) };
    let length = text.chars().count();
    if length == 0 || length > length_max {
        return Err(fields.invalid(name, format!("1 to {length_max} characters are expected")));
    }
    if text.chars().any(|letter| letter.is_control() || !allowed(letter)) {
        return Err(fields.invalid(name, "the text has a character that is not allowed here"));
    }
    Ok(Some(text.into_owned()))
}

/// A reason that stands in a query.
pub fn reason_of_query(query: &mut Query<'_>) -> Result<Option<String>, ApiError> {
    query.parsed("reason", "1 to 500 characters, and no control characters", |text| {
        let length = text.chars().count();
        let is_fit = (1..=REASON_LENGTH_MAX).contains(&length) && !text.contains(char::is_control);
        is_fit.then(|| text.to_owned())
    })
}

fn description(fields: &mut JsonFields<'_>) -> Result<Option<String>, ApiError> {
    plain(fields, "description", DESCRIPTION_LENGTH_MAX, |_| true)
}

fn notify_url(
    fields: &mut JsonFields<'_>,
    plain_http_to: &[String],
) -> Result<Option<String>, ApiError> {
    let Some(url) = fields.text("notify_url")? else { return Ok(None) };
    if url.len() > URL_BYTES_MAX {
        return Err(fields.invalid("notify_url", format!("at most {URL_BYTES_MAX} bytes")));
    }
    let parsed = url.parse::<Uri>().ok();
    let authority = parsed.as_ref().and_then(Uri::authority);
    // A user part could make a foreign host look like one of ours, and is a secret besides.
    let named = authority.is_some_and(|authority| !authority.as_str().contains('@'));
    let encrypted = parsed.as_ref().and_then(Uri::scheme_str) == Some("https");
    let plain = || plain_http_to.iter().any(|prefix| begins_with_host(&url, prefix));
    if named && !url.contains('#') && (encrypted || plain()) {
        return Ok(Some(url.into_owned()));
    }
    let detail = "an https URL is expected, or http to a host that the settings name";
    Err(fields.invalid("notify_url", detail))
}

/// Whether a URL begins with a prefix that ends where a host, a port or a path segment ends.
fn begins_with_host(url: &str, prefix: &str) -> bool {
    let ends = |rest: &str| rest.is_empty() || rest.starts_with([':', '/', '?']);
    url.strip_prefix(prefix).is_some_and(|rest| prefix.ends_with('/') || ends(rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notice_goes_where_the_settings_allow() {
        let plain = ["http://127.0.0.1".to_owned(), "http://core.test/hooks/".to_owned()];
        let rows = [
            ("https://core.test/n", true),
            ("http://127.0.0.1:8080/n", true),
            ("http://127.0.0.1", true),
            ("http://core.test/hooks/7", true),
            ("http://127.0.0.1.evil.test/n", false),
            ("http://127.0.0.1:80@evil.test/n", false),
            ("https://user:secret@core.test/n", false),
            ("http://core.test/other", false),
            ("https://core.test/n#part", false),
            ("ftp://core.test/n", false),
            ("https:///n", false),
            ("core.test", false),
            ("", false),
        ];
        for (url, taken) in rows {
            let body = serde_json::json!({ "notify_url": url }).to_string();
            let mut fields = JsonFields::parse(body.as_bytes()).expect("an object");
            assert_eq!(notify_url(&mut fields, &plain).is_ok(), taken, "{url}");
        }
    }
}
