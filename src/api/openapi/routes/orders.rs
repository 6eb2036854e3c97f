//! Orders, verifications of cards, and what is known of cards.

use super::{CARD, FOLLOW_UP, ORDER};
use crate::api::agreements::{self, AgreementBody, AgreementPageBody, AgreementsBody};
use crate::api::auth::{MAY_ASK, MAY_INSPECT, MAY_OPERATE, MAY_PAY_OUT, MAY_SEND};
use crate::api::bins::proposals::{self, ProposalBody};
use crate::api::bins::{ChangesBody, LookupBody, NameChangesBody, TableBody};
use crate::api::channels::ExplainedBody;
use crate::api::channels::replay::{self, ReplayBody};
use crate::api::channels::routes::{self as rules, RoutesBody};
use crate::api::dto::OrderBody;
use crate::api::error::ProblemCode as P;
use crate::api::input::forms;
use crate::api::openapi::Endpoint;
use crate::api::openapi::parameters::{
    CallParameter, callers_id, card_length, flag, language, page, prefer, words,
};
use crate::api::orders::story::StoryBody;
use crate::api::orders::{self as by_filter, OrdersBody};
use crate::api::payment_codes::{self, PaymentCodeBody};
use crate::api::payments::follow_ups;
use crate::api::verifications::VerificationBody;
use crate::api::{bins, channels, payments as orders, verifications as checks};
use crate::domain::approval::HeldKind;
use crate::tables::bin::{RefreshReport, RollbackReport};

/// An answer to a payment.
const ORDER_EXAMPLE: &str = r#"{
    "id": "2611220000000000017", "order_id": "A-20261122-17", "kind": "payment",
    "status": "succeeded", "amount": 12345, "currency": "CNY", "settlement": "instant",
    "refunded": 0, "merchant_id": "m-42",
    "card": {
        "masked": "621626*********0018", "bin": "621626", "issuer_code": "04100000",
        "issuer_name": "平安银行", "card_name": "新磁条借记卡", "card_type": "debit",
        "brand": "unionpay", "brands": ["unionpay"]
    },
    "channel": "unionpay", "channel_order_no": "261122000000000001701",
    "channel_reference": "202611221600000000001",
    "attempts": [{
        "channel": "unionpay", "channel_order_no": "261122000000000001701",
        "operation": "payment", "state": "approved",
        "channel_reference": "202611221600000000001", "code": "00",
        "sent_at": "2026-11-22T08:00:00.000Z", "acknowledged_at": "2026-11-22T08:00:00.210Z",
        "ended_at": "2026-11-22T08:00:00.210Z", "ended_by": "reply"
    }],
    "clearing_date": "2026-11-22",
    "created_at": "2026-11-22T08:00:00.000Z", "finished_at": "2026-11-22T08:00:00.210Z"
}"#;

/// An answer to a verification.
const VERIFICATION_EXAMPLE: &str = r#"{
    "id": "2611220000000000021", "order_id": "V-17", "merchant_id": "m-42",
    "elements": ["pan", "holder", "id_number", "phone"], "verdict": "differs",
    "reason": "identity_mismatch", "channel": "unionpay",
    "channel_order_no": "261122000000000002101", "code": "66",
    "created_at": "2026-11-22T08:00:00.000Z", "finished_at": "2026-11-22T08:00:00.210Z"
}"#;

/// The code of a payment that was sent.
const PAYMENT_CODE_EXAMPLE: &str = r#"{
    "order_id": "A-20261122-17", "kind": "payment", "merchant_id": "m-42", "amount": 12345,
    "currency": "CNY", "state": "sent", "channel": "unionpay",
    "channel_order_no": "261122000000000001701",
    "requests": 1, "code": "00", "ends_at": "2026-11-22T08:15:00.000Z",
    "created_at": "2026-11-22T08:00:00.000Z", "changed_at": "2026-11-22T08:00:00.210Z"
}"#;

const FINAL: &str = "The order, which is final.";
const NOT_YET: &str = "The order, durable and not yet final: a signed notice follows, and `GET` \
has the state at any time. `unknown` means that the money may or may not have moved.";
const ANSWER_HEADERS: &[&str] = &["Idempotent-Replayed", "Preference-Applied"];

/// A route that takes an order.
fn taking(endpoint: Endpoint) -> Endpoint {
    let why = "an order is its core's affair; only what is given back is held";
    answered(endpoint.may(MAY_SEND).alone(why))
}

/// The answers of a route that takes an order.
fn answered(endpoint: Endpoint) -> Endpoint {
    endpoint
        .gives::<OrderBody<'static>>(200, FINAL)
        .gives::<OrderBody<'static>>(202, NOT_YET)
        .with_headers(ANSWER_HEADERS)
        .for_example(ORDER_EXAMPLE)
        .fails(&ORDER)
}

fn charging(endpoint: Endpoint) -> Endpoint {
    taking(endpoint.asks([prefer()])).fails(&CARD)
}

fn following(endpoint: Endpoint) -> Endpoint {
    taking(endpoint.asks([prefer()])).fails(&FOLLOW_UP)
}

fn showing(endpoint: Endpoint, what: &'static str) -> Endpoint {
    let shown = endpoint.may(MAY_ASK).gives::<OrderBody<'static>>(200, what);
    shown.for_example(ORDER_EXAMPLE).fails(&[P::NotFound])
}

pub(super) fn payments() -> Vec<Endpoint> {
    vec![
        charging(
            Endpoint::post(orders::PAYMENTS, "createPayment", orders::create)
                .says(
                    "Take a payment",
                    "It is routed by its card, sent, and answered when it has ended.",
                )
                .takes(forms::payment()),
        )
        .fails(&[P::NoPaymentCode]),
        showing(
            Endpoint::get(orders::PAYMENTS, "findOrder", orders::by_order_id)
                .says("Find an order by the caller's id", "An order of any kind.")
                .asks(callers_id()),
            "The order, with what refers to it.",
        ),
        showing(
            Endpoint::get("/v1/payments/{id}", "getOrder", orders::by_id)
                .says("Show an order", "An order of any kind, by our id."),
            "The order, with what refers to it.",
        ),
        following(
            Endpoint::post("/v1/payments/{id}/refunds", "refundPayment", follow_ups::refund)
                .says(
                    "Refund a payment or capture",
                    "Part or all. It is booked first, and sent once.",
                )
                .takes(forms::refund()),
        )
        .held(HeldKind::Refund)
        .fails(&[P::CardNotKept]),
        following(
            Endpoint::post("/v1/payments/{id}/void", "voidPayment", follow_ups::void)
                .says(
                    "Void a payment or capture",
                    "The whole, on its clearing day. It is booked first.",
                )
                .takes(forms::void()),
        )
        .held(HeldKind::Refund)
        .fails(&[P::CardNotKept]),
        taking(
            Endpoint::post("/v1/payments/{id}/release", "releasePayment", follow_ups::release)
                .says("Hand escrowed money to the merchant", "No channel takes part.")
                .takes(forms::release()),
        )
        .fails(&FOLLOW_UP),
    ]
}

pub(super) fn preauths_and_payouts() -> Vec<Endpoint> {
    vec![
        charging(
            Endpoint::post("/v1/preauths", "createPreauth", orders::preauth)
                .says("Hold an amount on a card", "It moves no money; a capture does.")
                .takes(forms::preauth()),
        )
        .fails(&[P::NoPaymentCode]),
        showing(
            Endpoint::get("/v1/preauths/{id}", "getPreauth", orders::preauth_by_id)
                .says("Show a pre-authorisation", "Orders of other kinds do not exist here."),
            "The pre-authorisation, with what refers to it.",
        ),
        following(
            Endpoint::post("/v1/preauths/{id}/capture", "capturePreauth", follow_ups::capture)
                .says(
                    "Charge what is held",
                    "The amount or less, once. From then on it is like a payment.",
                )
                .takes(forms::capture()),
        ),
        following(
            Endpoint::post("/v1/preauths/{id}/void", "voidPreauth", follow_ups::preauth_void)
                .says("Release what is held", "Of a pre-authorisation that was not captured.")
                .takes(forms::void()),
        ),
        answered(
            Endpoint::post("/v1/payouts", "createPayout", orders::pay_out)
                .says(
                    "Pay money out to a card or an account",
                    "It is booked first, sent once, and never reversed. For the role `core` alone: \
                     no operator pays money out.",
                )
                .may(MAY_PAY_OUT)
                .asks([prefer()])
                .takes(forms::payout()),
        )
        .fails(&CARD),
        showing(
            Endpoint::get("/v1/payouts/{id}", "getPayout", orders::payout_by_id)
                .says("Show a payout", "Orders of other kinds do not exist here."),
            "The payout.",
        ),
    ]
}

/// A route that changes an agreement.
fn binding(endpoint: Endpoint) -> Endpoint {
    endpoint
        .may(MAY_SEND)
        .alone("no money moves")
        .asks([prefer()])
        .gives::<AgreementBody<'static>>(200, "The agreement, as the channel has said.")
        .gives::<AgreementBody<'static>>(202, "The agreement; the channel has not said.")
        .with_headers(ANSWER_HEADERS)
        .fails(&[P::InvalidOrderId, P::CardNumberFound, P::OrderIdConflict, P::Stopping])
        .fails(&[P::InvalidCardNumber, P::ExpiredCard, P::NoRoute, P::NotFound])
        .fails(&[P::AgreementNotActive, P::CardRequired, P::CardDiffers, P::ChannelUnknown])
        .fails(&[P::OperationNotSupported])
}

pub(super) fn agreements() -> Vec<Endpoint> {
    let [order_id, _] = callers_id();
    let listed =
        forms::agreement_fields().map(|(name, form, what)| CallParameter::query(name, form, what));
    vec![
        binding(
            Endpoint::post("/v1/agreements", "createAgreement", agreements::create)
                .says("Bind a card", "The channel sends a code to the cardholder's phone.")
                .takes(forms::agreement()),
        ),
        Endpoint::get("/v1/agreements", "findAgreements", agreements::all)
            .says(
                "Find an agreement, or those of a merchant or card",
                "By the caller's own id; or, in place of it, a list by id. A page may be short, or \
                 empty, and still have a `next`. A core sees its own alone.",
            )
            .may(MAY_ASK)
            .asks([order_id.optional()])
            .asks(listed)
            .asks(page(forms::number_id()))
            .gives::<AgreementsBody<'static>>(200, "The agreement, or a page.")
            .fails(&[P::NotFound]),
        Endpoint::post("/v1/agreements/search", "searchAgreements", agreements::search)
            .says(
                "List agreements by a question in the body",
                "The same, where a whole card number may stand; it is looked for by its digest.",
            )
            .may(MAY_ASK)
            .alone("nothing is changed")
            .takes(forms::agreement_question())
            .gives::<AgreementPageBody<'static>>(200, "A page.")
            .fails(&[P::InvalidCardNumber]),
        Endpoint::get("/v1/agreements/{id}", "getAgreement", agreements::by_id)
            .says("Show an agreement", "")
            .may(MAY_ASK)
            .gives::<AgreementBody<'static>>(200, "The agreement as it stands.")
            .fails(&[P::NotFound]),
        binding(
            Endpoint::post("/v1/agreements/{id}/code", "sendCode", agreements::send_code)
                .says("Have another code sent", "Five in all.")
                .takes(forms::agreement_code()),
        ),
        binding(
            Endpoint::post("/v1/agreements/{id}/confirm", "confirmAgreement", agreements::confirm)
                .says("Confirm an agreement by its code", "")
                .takes(forms::confirmation()),
        ),
        binding(
            Endpoint::post("/v1/agreements/{id}/end", "endAgreement", agreements::end)
                .says("End an agreement", "The channel makes its token void.")
                .takes(forms::nothing()),
        ),
    ]
}

pub(super) fn payment_codes() -> Vec<Endpoint> {
    vec![
        Endpoint::post(payment_codes::PATH, "sendPaymentCode", payment_codes::create)
            .says(
                "Have the code of a payment sent",
                "Before the payment or pre-authorisation, where its channel takes it only with a \
                 code by SMS. The order then has the same id.",
            )
            .may(MAY_SEND)
            .alone("no money moves")
            .asks([prefer()])
            .takes(forms::payment_code())
            .gives::<PaymentCodeBody<'static>>(200, "The code, as the channel has said.")
            .gives::<PaymentCodeBody<'static>>(202, "The code; the channel has not said.")
            .with_headers(ANSWER_HEADERS)
            .for_example(PAYMENT_CODE_EXAMPLE)
            .fails(&[P::InvalidOrderId, P::CardNumberFound, P::OrderIdConflict, P::Stopping])
            .fails(&[P::InvalidAmount, P::UnknownCurrency, P::InvalidCardNumber, P::ExpiredCard])
            .fails(&[P::NoRoute, P::NoAgreement, P::AgreementNotActive, P::CodeNotSent])
            .fails(&[P::ChannelUnknown]),
        Endpoint::get(payment_codes::PATH, "findPaymentCode", payment_codes::by_order_id)
            .says("Show the code of a payment", "By the caller's id of the order.")
            .may(MAY_ASK)
            .asks(callers_id())
            .gives::<PaymentCodeBody<'static>>(200, "What became of it; never the code.")
            .for_example(PAYMENT_CODE_EXAMPLE)
            .fails(&[P::NotFound]),
    ]
}

pub(super) fn search() -> Vec<Endpoint> {
    let found =
        |endpoint: Endpoint| endpoint.may(MAY_ASK).gives::<OrdersBody<'static>>(200, "A page.");
    vec![
        found(
            Endpoint::get("/v1/orders", "listOrders", by_filter::all)
                .says(
                    "List orders by what they are",
                    "The newest number first. A page may be short, or empty, and still have a \
                     `next`. A core sees its own alone.",
                )
                .asks(asked_orders())
                .asks(page(forms::number_id())),
        )
        .streams(),
        found(
            Endpoint::post("/v1/orders/search", "searchOrders", by_filter::search)
                .says(
                    "List orders by a question in the body",
                    "The same, where a whole card number may stand; it is looked for by its \
                     digest.",
                )
                .alone("nothing is changed")
                .takes(forms::order_question()),
        )
        .streams()
        .fails(&[P::InvalidCardNumber]),
        found(
            Endpoint::get("/v1/orders/find", "findOrdersByNumber", by_filter::find)
                .says(
                    "Find the orders that have a number",
                    "Ours, the caller's, or a channel order number, and then those alone; else the \
                     channel's reference, or a number in its words about a success.",
                )
                .asks([CallParameter::query(
                    "number",
                    forms::any_number(),
                    "Whoever gave \
                it.",
                )
                .required()])
                .asks(asked_times())
                .asks(page(forms::number_id())),
        )
        .fails(&[P::CardNumberFound]),
        Endpoint::get("/v1/orders/{id}/story", "tellStory", by_filter::story::tell)
            .says("Tell what happened to an order", "From its rows, in order of time.")
            .asks([language()])
            .may(MAY_INSPECT)
            .gives::<StoryBody<'static>>(200, "The story.")
            .with_headers(&["Content-Language"])
            .fails(&[P::NotFound]),
    ]
}

/// What `GET /v1/orders` asks: the fields of the question in a body, but for the card's number.
fn asked_orders() -> Vec<CallParameter> {
    forms::question_fields()
        .map(|(name, form, what)| CallParameter::query(name, form, what))
        .collect()
}

/// What `GET /v1/orders/find` asks beside the number.
fn asked_times() -> Vec<CallParameter> {
    let times = ["from", "to", "caller"];
    let asked = forms::question_fields().filter(|(name, _, _)| times.contains(name));
    asked.map(|(name, form, what)| CallParameter::query(name, form, what)).collect()
}

pub(super) fn verifications() -> Vec<Endpoint> {
    type Shown = VerificationBody<'static>;
    let verdict = "The verification, with its verdict.";
    let asking = "The verification; a channel is still being asked.";
    let show = |endpoint: Endpoint| {
        endpoint
            .may(MAY_ASK)
            .gives::<Shown>(200, "The verification; without a verdict, a channel is being asked.")
            .for_example(VERIFICATION_EXAMPLE)
            .fails(&[P::NotFound])
    };
    vec![
        Endpoint::post("/v1/verifications", "verifyCard", checks::create)
            .says(
                "Ask whether a card is this person's",
                "No money moves, and nothing of it is in the books.",
            )
            .may(MAY_SEND)
            .alone("no money moves")
            .asks([prefer()])
            .takes(forms::verification())
            .gives::<Shown>(200, verdict)
            .gives::<Shown>(202, asking)
            .with_headers(ANSWER_HEADERS)
            .for_example(VERIFICATION_EXAMPLE)
            .fails(&[P::InvalidOrderId, P::CardNumberFound, P::OrderIdConflict, P::Stopping])
            .fails(&[P::InvalidCardNumber, P::ExpiredCard, P::NoRoute]),
        show(
            Endpoint::get("/v1/verifications", "findVerification", checks::by_order_id)
                .says("Find a verification by the caller's id", "")
                .asks(callers_id()),
        ),
        show(
            Endpoint::get("/v1/verifications/{id}", "getVerification", checks::by_id)
                .says("Show a verification", ""),
        ),
    ]
}

/// The number of a version of the BIN table.
fn version() -> serde_json::Value {
    serde_json::json!({ "type": "integer", "minimum": 0, "maximum": u32::MAX })
}

/// Look-ups, the versions of the table, and what changes it.
fn bin_table() -> Vec<Endpoint> {
    let as_of = "The date of the facts of a table in the body: `YYYY-MM-DD` or less.";
    vec![
        Endpoint::get("/v1/bins/{prefix}", "lookUpBin", bins::lookup)
            .says(
                "Look a card up by its first digits",
                "One row at most for each card length; `has_longer_bins` where more digits may \
                 give another answer.",
            )
            .may(MAY_ASK)
            .asks([card_length("length")])
            .gives::<LookupBody<'static>>(200, "What the table knows.")
            .fails(&[P::BinTooLong, P::NotFound]),
        Endpoint::get("/v1/bin-table", "getBinTable", bins::table)
            .says("Show the table in force", "And the history of its versions.")
            .may(MAY_INSPECT)
            .gives::<TableBody<'static>>(200, "The table in force."),
        Endpoint::post("/v1/bin-table/refresh", "refreshBinTable", bins::refresh)
            .says(
                "Take another table",
                "From a named source, or from the body itself, which may be `text/csv`, \
                 `text/plain` or `application/vnd.ms-excel` as well. A list of changes of issuers' \
                 names, alone, leaves the rows as they are, and the other way round. A refused \
                 table changes nothing.",
            )
            .may(MAY_OPERATE)
            .asks([
                CallParameter::query("as_of", forms::stated_date(), as_of),
                flag("force", "Overrules a refusal of a table in the body as suspicious."),
                CallParameter::query(
                    "reason",
                    forms::reason_form(),
                    "Of a table in the body: why; `force` needs it.",
                ),
            ])
            .takes_file(&["application/octet-stream"], Some(forms::refresh()))
            .gives::<RefreshReport>(200, "What was taken.")
            .fails(&[P::BinTableRefused, P::CardNumberFound])
            .held(HeldKind::ForcedBinTable),
        Endpoint::post("/v1/bin-table/rollback", "rollBackBinTable", bins::rollback)
            .says("Return to an earlier table", "Where nodes share the table, for all of them.")
            .may(MAY_OPERATE)
            .alone("only a table that was in force before comes back")
            .takes(forms::rollback())
            .gives::<RollbackReport>(200, "What is in force again.")
            .fails(&[P::RollbackRefused, P::CardNumberFound]),
    ]
}

/// What the books teach of the table.
fn bin_proposals() -> Vec<Endpoint> {
    vec![
        Endpoint::get("/v1/bin-proposals", "listBinProposals", proposals::all)
            .says(
                "List the proposals to the BIN table",
                "What orders and statements teach of a row, with its evidence. By BIN, fact \
                 and card length; those that are open, or all.",
            )
            .may(MAY_INSPECT)
            .asks([words("state", &["open", "all"], "Which: `open`, if absent.")])
            .asks(page(forms::bin_proposal_id()))
            .lists::<ProposalBody<'static>>("bin_proposals", "A page of proposals."),
        Endpoint::get("/v1/bin-proposals/{id}", "getBinProposal", proposals::one)
            .says("Show a proposal to the BIN table", "")
            .may(MAY_INSPECT)
            .gives::<ProposalBody<'static>>(200, "The proposal.")
            .fails(&[P::NotFound]),
        Endpoint::post("/v1/bin-proposals/{id}/accept", "acceptBinProposal", proposals::accept)
            .says(
                "Accept a proposal to the BIN table",
                "The table gets a new version, in which one row differs.",
            )
            .may(MAY_OPERATE)
            .alone("it changes one row, on evidence, and can be rolled back")
            .takes(forms::decided())
            .gives::<ProposalBody<'static>>(200, "The proposal as it is now.")
            .fails(&[P::NotFound, P::WrongPhase, P::BinTableRefused, P::CardNumberFound]),
        Endpoint::post("/v1/bin-proposals/{id}/refuse", "refuseBinProposal", proposals::refuse)
            .says("Refuse a proposal to the BIN table", "The same is never proposed again.")
            .may(MAY_OPERATE)
            .alone("nothing changes by it")
            .takes(forms::decided())
            .gives::<ProposalBody<'static>>(200, "The proposal as it is now.")
            .fails(&[P::NotFound, P::WrongPhase, P::CardNumberFound]),
    ]
}

/// The versions that are compared.
fn compared() -> [CallParameter; 2] {
    [
        CallParameter::query("from", version(), "The version before.").required(),
        CallParameter::query("to", version(), "The one after; in force unless given."),
    ]
}

fn bin_changes() -> [Endpoint; 2] {
    [
        Endpoint::get("/v1/bin-table/changes", "listBinTableChanges", bins::changes)
            .says(
                "List the rows that differ between two versions of the table",
                "By BIN and card length, each as it was and as it is.",
            )
            .may(MAY_INSPECT)
            .asks(compared())
            .asks(page(serde_json::json!({ "type": "string", "pattern": "^[0-9]{2,12}-1[2-9]$" })))
            .gives::<ChangesBody<'static>>(200, "A page of changes, with the counts of all.")
            .fails(&[P::NotFound]),
        Endpoint::get("/v1/bin-table/issuer-changes", "listIssuerChanges", bins::issuer_changes)
            .says(
                "List the changes of issuers' names that differ between two versions",
                "By issuer code and old name, each as it was and as it is.",
            )
            .may(MAY_INSPECT)
            .asks(compared())
            .asks(page(serde_json::json!({ "type": "string", "pattern": "^[0-9]{1,5}$" })))
            .gives::<NameChangesBody<'static>>(200, "A page of them.")
            .fails(&[P::NotFound]),
    ]
}

pub(super) fn cards() -> Vec<Endpoint> {
    let mut all = bin_table();
    all.extend(bin_proposals());
    all.extend(bin_changes());
    all.extend([
        Endpoint::get("/v1/routes", "listRoutes", rules::all)
            .says("List the rules in force", "")
            .may(MAY_INSPECT)
            .gives::<RoutesBody<'static>>(200, "The rules."),
        Endpoint::post("/v1/routes/explain", "explainRoute", channels::explain)
            .says(
                "Explain where an order or a service to a card would go",
                "The plan, and every rule and channel with its verdict. Nothing is sent or \
                 written.",
            )
            .may(MAY_ASK)
            .alone("nothing is changed")
            .takes(forms::explain())
            .gives::<ExplainedBody<'static>>(200, "The plan, and how it comes about.")
            .fails(&[P::InvalidCardNumber, P::InvalidAmount, P::UnknownCurrency]),
        Endpoint::post("/v1/routes/replay", "replayRoutes", replay::replay)
            .says(
                "Plan past orders again",
                "Every order of that time, under what is in force and under a candidate: other \
                 routes, other channel files, or both. Nothing is sent or written.",
            )
            .may(MAY_INSPECT)
            .alone("nothing is changed")
            .takes(forms::replay())
            .gives::<ReplayBody<'static>>(200, "What the change would have made of the orders.")
            .fails(&[P::FilesRefused]),
    ]);
    all
}
