//! A request for a second person as it is shown.

use schemars::JsonSchema;
use serde::Serialize;

use crate::api::dto::{MomentText, Text};
use crate::codec::sign::hex_lower;
use crate::codec::word;
use crate::domain::approval::{ApprovalRequest, HeldAction, HeldRemedy};
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
    /// What was decided; its fields are absent while it waits.
    #[serde(flatten)]
    decision: Option<DecisionBody<'row>>,
    /// When it was carried out, expired or was overtaken.
    #[serde(skip_serializing_if = "Option::is_none")]
    ended_at: Option<MomentText>,
    /// The refund's order, or what has changed since it was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<&'row str>,
}

/// Who has decided a request.
#[derive(Serialize, JsonSchema)]
struct DecisionBody<'row> {
    /// The key that approved, refused or withdrew it.
    decided_by: &'row str,
    /// The person whose key that is.
    decider: &'row str,
    /// When.
    decided_at: MomentText,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    decision_reason: Option<&'row str>,
}

/// An action as data: the fields of its kind.
#[derive(Serialize, JsonSchema)]
#[serde(untagged)]
#[schemars(rename = "HeldAction")]
enum ActionForm<'row> {
    /// A refund or void.
    Refund {
        /// The order that is refunded or voided.
        order: Text<OrderId>,
        /// `refund` or `void`.
        operation: &'static str,
        /// The refund's own id, the asker's.
        order_id: &'row str,
        /// In minor units.
        amount: i64,
        /// An ISO 4217 code.
        #[schemars(with = "word::CurrencyWord")]
        currency: &'static str,
    },
    /// The end of an unknown.
    Resolve {
        /// The order that is ended.
        order: Text<OrderId>,
        /// How it is to have ended.
        outcome: &'static str,
        /// In minor units.
        amount: i64,
        /// An ISO 4217 code.
        #[schemars(with = "word::CurrencyWord")]
        currency: &'static str,
    },
    /// The balancing of a difference.
    Remedy {
        /// The difference.
        difference: Text<DifferenceId>,
        /// Where its money belongs.
        remedy: &'static str,
        /// The merchant, where the asker named one.
        #[serde(skip_serializing_if = "Option::is_none")]
        merchant_id: Option<&'row str>,
    },
    /// A BIN table that looks wrong.
    BinTable {
        /// Where it came from.
        source: &'row str,
        /// The SHA-256 of its bytes.
        sha256: String,
        /// Why it is refused without force.
        complaint: &'row str,
        /// The version that it is to replace.
        version: u32,
    },
    /// A channel's switch.
    Switch {
        /// The channel that is switched.
        channel: &'row str,
        /// Whether it is to be on.
        enabled: bool,
    },
}

impl<'row> From<&'row HeldAction> for ActionForm<'row> {
    fn from(action: &'row HeldAction) -> Self {
        match action {
            HeldAction::Refund(refund) => Self::Refund {
                order: Text(refund.of),
                operation: if refund.is_void { "void" } else { "refund" },
                order_id: refund.caller_order_id.as_str(),
                amount: refund.amount.get(),
                currency: refund.currency.name(),
            },
            HeldAction::Resolve(resolve) => Self::Resolve {
                order: Text(resolve.order),
                outcome: resolve.resolution.name(),
                amount: resolve.amount.get(),
                currency: resolve.currency.name(),
            },
            HeldAction::Remedy(HeldRemedy { difference, remedy, merchant_id, .. }) => {
                Self::Remedy {
                    difference: Text(*difference),
                    remedy: remedy.name(),
                    merchant_id: merchant_id.as_ref().map(|id| id.as_str()),
                }
            }
            HeldAction::BinTable(table) => Self::BinTable {
                source: &table.source,
                sha256: hex_lower(&table.sha256),
                complaint: &table.complaint,
                version: table.version,
            },
            HeldAction::Switch { channel, enabled } => {
                Self::Switch { channel: channel.as_str(), enabled: *enabled }
            }
        }
    }
}

impl<'row> ApprovalBody<'row> {
    pub fn of(row: &'row ApprovalRequest, present: &Present) -> Self {
        let decision = row.decision.as_ref().map(|decision| DecisionBody {
            decided_by: decision.by.name.as_str(),
            decider: decision.by.person.as_str(),
            decided_at: MomentText(decision.at),
            decision_reason: decision.reason.as_deref(),
        });
        let standing = row.standing(present);
        Self {
            id: Text(row.id),
            state: standing.name(),
            kind: row.action.kind().name(),
            words: row.action.words(),
            action: ActionForm::from(&row.action),
            asked_by: row.asked_by.name.as_str(),
            asker: row.asked_by.person.as_str(),
            reason: &row.reason,
            asked_at: MomentText(row.asked_at),
            until: MomentText(row.until),
            decision,
            ended_at: row.ended_at.map(MomentText),
            outcome: row.outcome.as_deref(),
        }
    }
}
