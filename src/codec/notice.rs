//! What the core is told of an order's end.

use schemars::JsonSchema;
use serde::Serialize;

use super::texts::{MomentText, Text};
use crate::codec::word;
use crate::domain::ids::OrderId;
use crate::domain::order::Order;
use crate::domain::outcome::Reason;
use crate::domain::time::BusinessDate;

/// A notice to the core: enough to end its own order; it can ask for the rest. Each fact has the
/// name that it has in the order.
#[derive(Serialize, JsonSchema)]
pub struct OrderNotice<'order> {
    /// Our number of the order.
    id: Text<OrderId>,
    /// The caller's own id.
    order_id: &'order str,
    /// What it is.
    #[schemars(with = "word::OrderKindWord")]
    kind: &'static str,
    /// The order that it refers to.
    #[serde(skip_serializing_if = "Option::is_none")]
    of: Option<Text<OrderId>>,
    /// How it ended.
    #[schemars(with = "word::OrderStatusWord")]
    status: &'static str,
    /// Why it did not succeed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<word::ReasonWord>")]
    reason: Option<&'static str>,
    /// In minor units.
    amount: i64,
    /// An ISO 4217 code.
    #[schemars(with = "word::CurrencyWord")]
    currency: &'static str,
    /// The merchant, as it was sent.
    merchant_id: &'order str,
    /// The channel of the attempt that speaks for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    channel: Option<&'order str>,
    /// The channel's own number of that attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    channel_reference: Option<&'order str>,
    /// The channel's day, if it has succeeded.
    #[serde(skip_serializing_if = "Option::is_none")]
    clearing_date: Option<Text<BusinessDate>>,
    /// When it became final.
    #[serde(skip_serializing_if = "Option::is_none")]
    finished_at: Option<MomentText>,
}

/// The bytes that are posted, and signed.
pub fn body(order: &Order) -> Vec<u8> {
    let approved = order.approved().or(order.attempts.last());
    let told = OrderNotice {
        id: Text(order.id),
        order_id: order.instruction.caller_order_id.as_str(),
        kind: order.instruction.kind.name(),
        of: order.instruction.kind.original().map(Text),
        status: order.status.name(),
        reason: order.reason.map(Reason::name),
        amount: order.instruction.amount.get(),
        currency: order.instruction.currency.name(),
        merchant_id: order.instruction.merchant_id.as_str(),
        channel: approved.map(|attempt| attempt.channel.as_str()),
        channel_reference: approved.and_then(|attempt| attempt.channel_reference.as_deref()),
        clearing_date: order.clearing_date.map(Text),
        finished_at: order.finished_at.map(MomentText),
    };
    serde_json::to_vec(&told).expect("plain texts and integers always serialise")
}
