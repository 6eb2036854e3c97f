//! The forms of orders, verifications, agreements and codes of payments.

use serde_json::{Value, json};

use super::{
    CARD, FieldForm, RequestForm, amount, amount_and_currency, description, field,
    merchant_category, merchant_fee, merchant_id, named_card, notify_url, number_id, order_id,
    payee, payer, paying_card, required, settlement,
};
use crate::api::input::order::PHONE_LENGTH_MAX;
use crate::domain::closed_set::ClosedSet as _;
use crate::domain::payer_code::PayerCode;
use crate::domain::payment_code::CodedKind;

fn charge(name: &'static str, order_id_text: &str) -> RequestForm {
    let mut fields = vec![
        order_id(),
        required("merchant_id", merchant_id(), "The merchant, in the core's words."),
    ];
    fields.extend(amount_and_currency());
    fields.extend([settlement(), merchant_category(), merchant_fee()]);
    fields.extend([
        named_agreement(),
        field("card", paying_card(), "Required without an agreement or a payer's code."),
        field("payer", payer(*PayerCode::LENGTHS.start()), "In place of a card."),
    ]);
    let code = "The code that the payer was sent for this order id (`POST /v1/payment-codes`).";
    fields.extend([field("sms_code", sms_code(), code), description(), notify_url()]);
    let example = json!({
        "order_id": order_id_text, "merchant_id": "m-42", "amount": 12_345, "currency": "CNY",
        "card": { "pan": CARD, "expiry": "3012" },
    });
    RequestForm::new(name, fields, example)
}

fn named_agreement() -> FieldForm {
    let what = "An active agreement of this merchant, in place of a card.";
    field("agreement", number_id(), what)
}

pub fn payment() -> RequestForm {
    charge("PaymentRequest", "A-20261122-17")
}

pub fn preauth() -> RequestForm {
    charge("PreauthRequest", "H-20261122-3")
}

pub fn payout() -> RequestForm {
    let mut fields =
        vec![order_id(), required("merchant_id", merchant_id(), "The merchant whose money it is.")];
    fields.extend(amount_and_currency());
    fields.push(merchant_category());
    fields.extend([
        field("card", named_card(), "The payee's card: it has no expiry and no CVV."),
        field(
            "payee",
            payee(),
            "The payee's account, in place of a card: one of both is required.",
        ),
        description(),
        notify_url(),
    ]);
    let example = json!({
        "order_id": "P-20261122-5", "merchant_id": "m-42", "amount": 12_345, "currency": "CNY",
        "card": { "pan": CARD, "holder": "张三" },
    });
    RequestForm::new("PayoutRequest", fields, example)
}

pub fn verification() -> RequestForm {
    let mut card = named_card();
    // The number, and at least one element beside it.
    card["minProperties"] = 2.into();
    let fields = vec![
        order_id(),
        required("merchant_id", merchant_id(), "The merchant, in the core's words."),
        required("card", card, "The number, and one at least of holder, id_number, phone."),
    ];
    let example = json!({
        "order_id": "V-17", "merchant_id": "m-42", "card": { "pan": CARD, "holder": "张三" },
    });
    RequestForm::new("VerificationRequest", fields, example)
}

/// A code that a cardholder gets by SMS.
fn sms_code() -> Value {
    json!({ "type": "string", "pattern": "^[0-9]{4,8}$" })
}

pub fn agreement() -> RequestForm {
    let fields = vec![
        order_id(),
        required("merchant_id", merchant_id(), "The merchant whose orders can name it."),
        required("card", card_with_phone(), "The card that is bound; its phone gets the code."),
    ];
    let example = json!({
        "order_id": "G-17", "merchant_id": "m-42",
        "card": { "pan": CARD, "phone": "13800138000" },
    });
    RequestForm::new("AgreementRequest", fields, example)
}

pub fn agreement_code() -> RequestForm {
    RequestForm::new("AgreementCodeRequest", vec![bound_card()], json!({})).or_nothing()
}

pub fn confirmation() -> RequestForm {
    let fields = vec![required("code", sms_code(), "The code; it rests nowhere."), bound_card()];
    RequestForm::new("ConfirmationRequest", fields, json!({ "code": "123456" }))
}

fn bound_card() -> FieldForm {
    field("card", paying_card(), "The card again, where the answer was `card_required`.")
}

pub fn payment_code() -> RequestForm {
    let phone = json!({
        "type": "string", "minLength": 1, "maxLength": PHONE_LENGTH_MAX, "pattern": "^[0-9+-]+$",
    });
    let kind = json!({
        "type": "string", "enum": CodedKind::NAMES, "default": CodedKind::Payment.name(),
    });
    let mut fields = vec![
        order_id(),
        field("kind", kind, "What the code is for: it is no other order's."),
        required("merchant_id", merchant_id(), "The merchant, in the core's words."),
    ];
    fields.extend(amount_and_currency());
    let again = json!({ "type": "boolean", "default": false });
    fields.extend([
        settlement(),
        named_agreement(),
        field("phone", phone, "Another phone than the agreement's."),
        field("card", card_with_phone(), "Required without an agreement; its phone gets the code."),
        field("resend", again, "Another code, where one was asked for before."),
    ]);
    let example = json!({
        "order_id": "A-20261122-17", "merchant_id": "m-42", "amount": 12_345, "currency": "CNY",
        "card": { "pan": CARD, "phone": "13800138000" },
    });
    RequestForm::new("PaymentCodeRequest", fields, example)
}

/// A card whose phone gets a code.
fn card_with_phone() -> Value {
    let mut card = paying_card();
    card["required"] = json!(["pan", "phone"]);
    card
}

fn card_again() -> FieldForm {
    let what = "The original's card, only where the channel needs the number again.";
    field("card", paying_card(), what)
}

fn part() -> FieldForm {
    field("amount", amount(), "In minor units; absent: the whole rest.")
}

pub fn release() -> RequestForm {
    let fields = vec![order_id(), part()];
    RequestForm::new("ReleaseRequest", fields, json!({ "order_id": "L-17", "amount": 5_000 }))
}

pub fn refund() -> RequestForm {
    let fields = vec![order_id(), part(), card_again(), description(), notify_url()];
    RequestForm::new("RefundRequest", fields, json!({ "order_id": "R-17", "amount": 2_000 }))
}

pub fn void() -> RequestForm {
    let fields = vec![order_id(), card_again(), description(), notify_url()];
    RequestForm::new("VoidRequest", fields, json!({ "order_id": "U-17" }))
}

pub fn capture() -> RequestForm {
    let fields = vec![
        order_id(),
        part(),
        merchant_category(),
        merchant_fee(),
        card_again(),
        description(),
        notify_url(),
    ];
    RequestForm::new("CaptureRequest", fields, json!({ "order_id": "C-17", "amount": 10_000 }))
}
