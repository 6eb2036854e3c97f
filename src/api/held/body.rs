//! A request for a second person as it is shown.

use schemars::JsonSchema;
use serde::Serialize;

use crate::api::dto::{MomentText, Text};
use crate::codec::word;
use crate::domain::flow::approval::{
    ApprovalRequest, HeldAction, HeldBinTable, HeldRefund, HeldRemedy, HeldResolve,
};
use crate::domain::ids::{ApprovalId, DifferenceId, OrderId};
use crate::domain::time::Present;

/// The answer to a call that needs a second person.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Held")]
pub struct HeldBody<'row> {
    /// The request that somebody else decides. Nothing else has happened.
    pub approval: ApprovalBody<'row>,
}

/// A request for a second person.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Approval")]
pub struct ApprovalBody<'row> {
    /// Its number.
    id: Text<ApprovalId>,
    /// How it stands.
    #[schemars(with = "word::ApprovalStateWord")]
    state: &'static str,
    /// What kind of action it is.
    #[schemars(with = "word::HeldKindWord")]
    kind: &'static str,
    /// The action in one sentence.
    words: String,
    /// The action as data.
    action: ActionForm<'row>,
    /// The key that asked.
    asked_by: &'row str,
    /// The person whose key it is. Another one decides.
    asker: &'row str,
    /// Why it is wanted.
    reason: &'row str,
    /// When it was asked.
    asked_at: MomentText,
    /// Until when it waits.
    until: MomentText,
    /// The key that approved, refused or withdrew it.
    #[serde(skip_serializing_if = "Option::is_none")]
    decided_by: Option<&'row str>,
    /// The person whose key that is.
    #[serde(skip_serializing_if = "Option::is_none")]
    decider: Option<&'row str>,
    /// When.
    #[serde(skip_serializing_if = "Option::is_none")]
    decided_at: Option<MomentText>,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    decision_reason: Option<&'row str>,
    /// When it was carried out, expired or was overtaken.
    #[serde(skip_serializing_if = "Option::is_none")]
    ended_at: Option<MomentText>,
    /// The refund's order, or what has changed since it was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<&'row str>,
}

/// An action as data: the fields of its kind.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "HeldAction")]
struct ActionForm<'row> {
    /// The order that is refunded, voided or ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    order: Option<Text<OrderId>>,
    /// `refund` or `void`.
    #[serde(skip_serializing_if = "Option::is_none")]
    operation: Option<&'static str>,
    /// The refund's own id, the asker's.
    #[serde(skip_serializing_if = "Option::is_none")]
    order_id: Option<&'row str>,
    /// How the order is to have ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    resolution: Option<&'static str>,
    /// In minor units.
    #[serde(skip_serializing_if = "Option::is_none")]
    amount: Option<i64>,
    /// An ISO 4217 code.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<word::CurrencyWord>")]
    currency: Option<&'static str>,
    /// The difference that is balanced.
    #[serde(skip_serializing_if = "Option::is_none")]
    difference: Option<Text<DifferenceId>>,
    /// Where its money belongs.
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<&'static str>,
    /// The merchant, where the asker named one.
    #[serde(skip_serializing_if = "Option::is_none")]
    merchant_id: Option<&'row str>,
    /// Where the BIN table came from.
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<&'row str>,
    /// The SHA-256 of its bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<String>,
    /// Why it is refused without force.
    #[serde(skip_serializing_if = "Option::is_none")]
    complaint: Option<&'row str>,
    /// The version that it is to replace.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<u32>,
    /// The channel that is switched.
    #[serde(skip_serializing_if = "Option::is_none")]
    channel: Option<&'row str>,
    /// Whether it is to be on.
    #[serde(skip_serializing_if = "Option::is_none")]
    enabled: Option<bool>,
}

const NOTHING: ActionForm<'static> = ActionForm {
    order: None,
    operation: None,
    order_id: None,
    resolution: None,
    amount: None,
    currency: None,
    difference: None,
    remedy: None,
    merchant_id: None,
    source: None,
    sha256: None,
    complaint: None,
    version: None,
    channel: None,
    enabled: None,
};

impl<'row> ActionForm<'row> {
    fn of(action: &'row HeldAction) -> Self {
        match action {
            HeldAction::Refund(HeldRefund {
                of,
                is_void,
                caller_order_id,
                amount,
                currency,
                ..
            }) => Self {
                order: Some(Text(*of)),
                operation: Some(if *is_void { "void" } else { "refund" }),
                order_id: Some(caller_order_id.as_str()),
                amount: Some(amount.get()),
                currency: Some(currency.name()),
                ..NOTHING
            },
            HeldAction::Resolve(HeldResolve { order, resolution, amount, currency, .. }) => Self {
                order: Some(Text(*order)),
                resolution: Some(resolution.name()),
                amount: Some(amount.get()),
                currency: Some(currency.name()),
                ..NOTHING
            },
            HeldAction::Remedy(HeldRemedy { difference, remedy, merchant_id, .. }) => Self {
                difference: Some(Text(*difference)),
                remedy: Some(remedy.name()),
                merchant_id: merchant_id.as_ref().map(|id| id.as_str()),
                ..NOTHING
            },
            HeldAction::BinTable(HeldBinTable { sha256, source, version, complaint, .. }) => Self {
                source: Some(source),
                sha256: Some(sha256.iter().map(|byte| format!("{byte:02x}")).collect()),
                complaint: Some(complaint),
                version: Some(*version),
                ..NOTHING
            },
            HeldAction::Switch { channel, enabled } => {
                Self { channel: Some(channel.as_str()), enabled: Some(*enabled), ..NOTHING }
            }
        }
    }
}

impl<'row> ApprovalBody<'row> {
    pub fn of(row: &'row ApprovalRequest, present: &Present) -> Self {
        let decision = row.decision.as_ref();
        let standing = row.standing(present);
        Self {
            id: Text(row.id),
            state: standing.name(),
            kind: row.action.kind().name(),
            words: row.action.words(),
            action: ActionForm::of(&row.action),
            asked_by: row.asked_by.name.as_str(),
            asker: row.asked_by.person.as_str(),
            reason: &row.reason,
            asked_at: MomentText(row.asked_at),
            until: MomentText(row.until),
            decided_by: decision.map(|decision| decision.by.name.as_str()),
            decider: decision.map(|decision| decision.by.person.as_str()),
            decided_at: decision.map(|decision| MomentText(decision.at)),
            decision_reason: decision.and_then(|decision| decision.reason.as_deref()),
            ended_at: row.ended_at.map(MomentText),
            outcome: row.outcome.as_deref(),
        }
    }
}
