//! The calls that an order's state allows, for whoever shows buttons: what a call checks besides
//! (a channel's abilities, a day that has ended) is its own to refuse.

use crate::domain::attempt::AttemptState;
use crate::domain::books::accounting::{AccountingRequest, DeliveryStatus};
use crate::domain::order::{Order, OrderKind, OrderStatus, SettlementMode};
use crate::domain::reversal::{Resolution, ReversalEntry};
use crate::domain::write_set::CoreNotice;

use super::{ActionBody, ActionFieldBody};

fn post(name: &'static str, path: String, fields: Vec<ActionFieldBody>) -> ActionBody {
    ActionBody { name, method: "POST", path, fields }
}

fn field(name: &'static str, required: bool) -> ActionFieldBody {
    ActionFieldBody { name, required, one_of: Vec::new(), most: None }
}

fn reason() -> Vec<ActionFieldBody> {
    vec![field("reason", true)]
}

/// While a call is under way, its own end decides.
pub(super) fn of_entry(order: &Order, entry: &ReversalEntry) -> Vec<ActionBody> {
    let open = order.unresolved();
    if open.is_some_and(|attempt| attempt.state == AttemptState::Sending) {
        return Vec::new();
    }
    let id = entry.order;
    let outcomes = match open {
        Some(_) => Resolution::ALL.map(Resolution::name).to_vec(),
        // An undo that is owed can only be given up.
        None => vec![Resolution::Failed.name()],
    };
    let outcome = ActionFieldBody { one_of: outcomes, ..field("outcome", true) };
    vec![
        post("retry", format!("/v1/reversals/{id}/retry"), reason()),
        post(
            "resolve",
            format!("/v1/reversals/{id}/resolve"),
            vec![outcome, field("reason", true)],
        ),
    ]
}

/// What may follow a success.
pub(super) fn of_end(order: &Order) -> Vec<ActionBody> {
    if order.status != OrderStatus::Succeeded {
        return Vec::new();
    }
    let (id, left) = (order.id, order.left_minor());
    let kind = order.instruction.kind;
    let part = |most| {
        let amount = ActionFieldBody { most: Some(most), ..field("amount", false) };
        vec![field("order_id", true), amount]
    };
    let untouched = left == order.instruction.amount.get();
    let mut found = Vec::new();
    if kind.is_paid_in() {
        if left > 0 {
            found.push(post("refund", format!("/v1/payments/{id}/refunds"), part(left)));
        }
        if untouched {
            let void = format!("/v1/payments/{id}/void");
            found.push(post("void", void, vec![field("order_id", true)]));
        }
        let held = order.unreleased_minor();
        if order.instruction.settlement_mode == SettlementMode::Escrow && held > 0 {
            found.push(post("release", format!("/v1/payments/{id}/release"), part(held)));
        }
    }
    if kind == OrderKind::Preauth && untouched {
        found.push(post("capture", format!("/v1/preauths/{id}/capture"), part(left)));
        let void = format!("/v1/preauths/{id}/void");
        found.push(post("void", void, vec![field("order_id", true)]));
    }
    found
}

pub(super) fn of_voucher(request: &AccountingRequest) -> Vec<ActionBody> {
    let path = |action: &str| format!("/v1/accounting-requests/{}/{action}", request.id);
    let retry = post("retry_voucher", path("retry"), vec![field("reason", false)]);
    match request.delivery.status {
        DeliveryStatus::Owed => vec![retry],
        DeliveryStatus::Parked if request.event.is_booked_first() => {
            vec![retry, post("withdraw_voucher", path("withdraw"), reason())]
        }
        DeliveryStatus::Parked => vec![retry],
        DeliveryStatus::Acknowledged | DeliveryStatus::Withdrawn => Vec::new(),
    }
}

/// A notice may be sent again in any state.
pub(super) fn of_notice(notice: &CoreNotice) -> ActionBody {
    let path = format!("/v1/notices/{}/retry", notice.order);
    post("resend_notice", path, vec![field("reason", false)])
}
