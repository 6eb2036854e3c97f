//! What is unresolved, what was written, and what is owed to others.

use crate::api::auth::{MAY_INSPECT, MAY_OPERATE};
use crate::api::books::contradictions::{self, ContradictionBody};
use crate::api::books::transactions::{self, TransactionBody};
use crate::api::dto::{AccountingBody, AuditBody, NoticeBody, OrderBody};
use crate::api::error::ProblemCode as P;
use crate::api::input::forms;
use crate::api::notices::outgoing;
use crate::api::openapi::Endpoint;
use crate::api::openapi::parameters::{CallParameter, channel, date, page, word, words};
use crate::api::reversals::{ReversalBody, UnknownBody};
use crate::api::{accounting, operations, reversals};
use crate::domain::approval::HeldKind;
use crate::domain::books::accounting::DeliveryStatus;
use crate::domain::reversal::Phase;
use serde_json::json;

pub(super) fn unknowns() -> Vec<Endpoint> {
    vec![
        Endpoint::get("/v1/reversals", "listReversals", reversals::all)
            .says(
                "List the temp reversal table",
                "A page filtered by channel or phase may be short, or empty, and still have a \
                 `next`.",
            )
            .may(MAY_INSPECT)
            .asks([channel(), word::<Phase>("phase", "Only entries in this phase.")])
            .asks(page(forms::number_id()))
            .lists::<ReversalBody<'static>>("reversals", "A page of entries."),
        Endpoint::get("/v1/reversals/{id}", "getReversal", reversals::one)
            .says("Show an entry with its order", "")
            .may(MAY_INSPECT)
            .gives::<UnknownBody<'static>>(200, "The entry.")
            .fails(&[P::NotFound]),
        Endpoint::post("/v1/reversals/{id}/retry", "retryReversal", reversals::retry)
            .says("Work an entry from the start of its schedule, now", "")
            .may(MAY_OPERATE)
            .alone("the channel is asked again, and evidence decides")
            .takes(forms::decided())
            .gives::<OrderBody<'static>>(200, "The order.")
            .fails(&[P::NotFound, P::CardNumberFound, P::WrongPhase, P::NothingOpen]),
        Endpoint::post("/v1/reversals/{id}/resolve", "resolveReversal", reversals::resolve)
            .says(
                "End an unknown by an operator's decision",
                "A reversal that left and was not answered may be carried out late: until \
                 `reversible_until`, decide for `succeeded` only if the channel has said that no \
                 reversal of it will come.",
            )
            .may(MAY_OPERATE)
            .takes(forms::resolution())
            .gives::<OrderBody<'static>>(200, "The order.")
            .fails(&[P::NotFound, P::CardNumberFound, P::WrongPhase, P::NothingOpen])
            .held(HeldKind::Resolve),
    ]
}

pub(super) fn written() -> Vec<Endpoint> {
    let place = json!({ "type": "string" });
    let number = json!({ "type": "string", "pattern": "^[0-9]{19}([0-9]{2})?$" });
    let order = "All of this order's, without pages.";
    vec![
        Endpoint::get("/v1/transactions", "listTransactions", transactions::all)
            .says(
                "List the transactions",
                "By order; with `channel` and `date`, those that the channel clears on the date, \
                 by channel order number.",
            )
            .may(MAY_INSPECT)
            .asks([channel(), date()])
            .asks(page(number))
            .lists::<TransactionBody<'static>>("transactions", "A page of transactions.")
            .fails(&[P::ChannelUnknown]),
        Endpoint::get("/v1/transactions/{id}", "getTransaction", transactions::one)
            .says("Show the transaction of an order", "With its voucher: the channel's own words.")
            .may(MAY_INSPECT)
            .gives::<TransactionBody<'static>>(200, "The transaction.")
            .fails(&[P::NotFound]),
        Endpoint::get("/v1/contradictions", "listContradictions", contradictions::all)
            .says("List the evidence against orders that had ended", "")
            .may(MAY_INSPECT)
            .asks([CallParameter::query("order", forms::number_id(), order)])
            .asks(page(place))
            .lists::<ContradictionBody<'static>>("contradictions", "A page of contradictions."),
        Endpoint::get("/v1/audit", "listAudit", operations::audit)
            .says("List what operators did", "Oldest first, or newest.")
            .may(MAY_INSPECT)
            .asks([words("order", &["oldest", "newest"], "Which come first.")])
            .asks(page(json!({ "type": "string", "pattern": "^[0-9]{1,19}$" })))
            .lists::<AuditBody<'static>>("entries", "A page of the audit trail."),
    ]
}

pub(super) fn owed() -> Vec<Endpoint> {
    let state = "Only those that stand so.";
    vec![
        Endpoint::get("/v1/accounting-requests", "listAccountingRequests", accounting::all)
            .says("List the requests to the accounting system", "")
            .may(MAY_INSPECT)
            .asks([word::<DeliveryStatus>("state", state)])
            .asks(page(forms::request_id()))
            .lists::<AccountingBody<'static>>("accounting_requests", "A page of requests."),
        Endpoint::get("/v1/accounting-requests/{id}", "getAccountingRequest", accounting::one)
            .says("Show a request", "")
            .may(MAY_INSPECT)
            .gives::<AccountingBody<'static>>(200, "The request.")
            .fails(&[P::NotFound]),
        Endpoint::post(
            "/v1/accounting-requests/{id}/retry",
            "retryAccountingRequest",
            accounting::retry,
        )
        .says("Have a request posted now", "")
        .may(MAY_OPERATE)
        .alone("what is owed is delivered, unchanged")
        .takes(forms::reasoned())
        .gives::<AccountingBody<'static>>(200, "The request.")
        .fails(&[P::NotFound, P::CardNumberFound, P::WrongPhase]),
        Endpoint::post(
            "/v1/accounting-requests/{id}/withdraw",
            "withdrawAccountingRequest",
            accounting::withdraw,
        )
        .says(
            "Give up a parked request",
            "Of a refund, void or payout, which then fails: nothing was sent. If a try is \
             `unanswered`, accounting may have booked the request: its red letter is then owed.",
        )
        .may(MAY_OPERATE)
        .alone("nothing was sent, and no money leaves")
        .takes(forms::decided())
        .gives::<OrderBody<'static>>(200, "The order that waited for it.")
        .fails(&[P::NotFound, P::CardNumberFound, P::WrongPhase, P::NothingOpen]),
        Endpoint::get("/v1/notices", "listNotices", outgoing::all)
            .says("List the notices to the core", "By the order's id.")
            .may(MAY_INSPECT)
            .asks([words("state", &["owed", "acknowledged", "parked"], state)])
            .asks(page(forms::number_id()))
            .lists::<NoticeBody<'static>>("notices", "A page of notices."),
        Endpoint::get("/v1/notices/{id}", "getNotice", outgoing::one)
            .says("Show the notice of an order", "")
            .may(MAY_INSPECT)
            .gives::<NoticeBody<'static>>(200, "The notice.")
            .fails(&[P::NotFound]),
        Endpoint::post("/v1/notices/{id}/retry", "retryNotice", outgoing::retry)
            .says("Have a notice sent now", "In any state.")
            .may(MAY_OPERATE)
            .alone("what is owed is delivered, unchanged")
            .takes(forms::reasoned())
            .gives::<NoticeBody<'static>>(200, "The notice.")
            .fails(&[P::NotFound, P::CardNumberFound]),
    ]
}
