//! The payment core's side of bound cards: a card is bound by the code that every simulated phone
//! gets, and an amount is paid by the agreement, with a code of its own.
//!
//! On a bad day codes and answers are lost: like a real core it asks for another code, confirms
//! again, and gives up in the end. Upholds I-9: the same is asked twice.

use std::time::Duration;

use anyhow::bail;
use serde_json::{Value, json};

use super::client::{ApiAnswer, ApiClient, FOLLOW_UP_WAIT_S, FollowUpCall, FollowUpOutcome};
use crate::domain::agreement::AgreementState;
use crate::domain::payment_code::PaymentCodeState;
use crate::simulator::TEST_SMS_CODE;

/// How often the core asks again before it gives up, and how long it waits before it.
const STEPS_MAX: u32 = 20;
const STEP_AFTER: Duration = Duration::from_millis(250);
/// No simulated phone gets this one.
const WRONG_CODE: &str = "000000";

/// A card that was to be bound, and the payment by it.
#[derive(Debug, Clone)]
pub struct BoundCard {
    /// Our id of the agreement, and that of the same asked again, with whether the answer said so.
    pub id: String,
    pub repeat: (String, bool),
    /// How it stood after a code that no phone had got.
    pub after_wrong_code: String,
    /// How it stood when the core paid, or gave up.
    pub state: String,
    /// The payment by it, where it was active.
    pub payment: Option<FollowUpCall>,
}

/// Binds the card of a payment, and pays a part of its amount by the agreement.
pub async fn bind_and_pay(api: &ApiClient, payment: &Value) -> anyhow::Result<BoundCard> {
    let order_id = payment["order_id"].as_str().unwrap_or_default();
    let asked = json!({
        "order_id": format!("{order_id}-bound"),
        "merchant_id": payment["merchant_id"],
        "card": {
            "pan": payment["card"]["pan"], "holder": "ZHANG SAN", "phone": "13800138000",
        },
    });
    let binding = CardBinding { api };
    let opened = binding.post("/v1/agreements", &asked).await?;
    let again = binding.post("/v1/agreements", &asked).await?;
    let id = opened.text("id").to_owned();
    let wrong = binding.confirm(&id, WRONG_CODE).await?;
    let mut bound = BoundCard {
        repeat: (again.text("id").to_owned(), again.replayed),
        after_wrong_code: wrong.text("state").to_owned(),
        state: binding.confirm_until_known(&id).await?,
        payment: None,
        id,
    };
    if bound.state == AgreementState::Active.name() {
        let mut body = json!({
            "order_id": format!("{order_id}-by-agreement"),
            "merchant_id": payment["merchant_id"],
            "amount": payment["amount"],
            "currency": "CNY",
            "agreement": bound.id,
        });
        if binding.may_have_code(&body).await? {
            body["sms_code"] = TEST_SMS_CODE.into();
        }
        bound.payment = Some(binding.pay(&body).await?);
    }
    Ok(bound)
}

/// The core, while it binds one card.
struct CardBinding<'run> {
    api: &'run ApiClient,
}

impl CardBinding<'_> {
    /// Asks for one step; a refusal tells that the agreement stands otherwise, or is being worked
    /// on, or has had its codes.
    async fn post(&self, path: &str, body: &Value) -> anyhow::Result<ApiAnswer> {
        let answer = self.api.post(path, body, Some(FOLLOW_UP_WAIT_S)).await?;
        match answer.status {
            200 | 202 | 409 => Ok(answer),
            status => bail!("{path} was refused with {status}: {}", answer.text("detail")),
        }
    }

    async fn confirm(&self, id: &str, code: &str) -> anyhow::Result<ApiAnswer> {
        self.post(&format!("/v1/agreements/{id}/confirm"), &json!({ "code": code })).await
    }

    /// Confirms with the right code until the agreement is active or has failed, or the core gives
    /// up; each time a code was refused or may not have gone out, another one is sent first.
    async fn confirm_until_known(&self, id: &str) -> anyhow::Result<String> {
        let mut state = String::new();
        for _ in 0..STEPS_MAX {
            self.post(&format!("/v1/agreements/{id}/code"), &json!({})).await?;
            let answer = self.confirm(id, TEST_SMS_CODE).await?;
            if !answer.text("state").is_empty() {
                answer.text("state").clone_into(&mut state);
            }
            let ends = [AgreementState::Active, AgreementState::Failed];
            if ends.iter().any(|end| end.name() == state) {
                break;
            }
            tokio::time::sleep(STEP_AFTER).await;
        }
        Ok(state)
    }

    /// Has the code of a payment sent, once: whether one may have come. On a bad day it has not,
    /// and the payment is declined.
    async fn may_have_code(&self, payment: &Value) -> anyhow::Result<bool> {
        let answer = self.post("/v1/payment-codes", payment).await?;
        let state = PaymentCodeState::parse(answer.text("state"));
        Ok(matches!(state, Some(PaymentCodeState::Sent | PaymentCodeState::Unknown)))
    }

    async fn pay(&self, body: &Value) -> anyhow::Result<FollowUpCall> {
        let answer = self.api.post("/v1/payments", body, Some(FOLLOW_UP_WAIT_S)).await?;
        let text = |key: &str| answer.text(key).to_owned();
        if !matches!(answer.status, 200 | 202) {
            bail!("a payment by agreement was refused with {}: {}", answer.status, text("detail"));
        }
        let outcome = FollowUpOutcome::Taken { id: text("id"), status: text("status") };
        Ok(FollowUpCall { what: "agreement_payments", outcome })
    }
}
