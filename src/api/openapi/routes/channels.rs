//! Channels, their days, statements, reconciliations and settlements.

use crate::api::auth::{MAY_INSPECT, MAY_OPERATE};
use crate::api::channels::rates::{self, RatesBody};
use crate::api::channels::statements::{FetchedBody, LandedBody};
use crate::api::channels::traffic::{self, TrafficDayBody};
use crate::api::channels::{ChannelBody, ChannelsBody, statements as landed};
use crate::api::clearing::{ClosedDayBody, PageBody, SummaryBody};
use crate::api::error::ProblemCode as P;
use crate::api::input::forms;
use crate::api::openapi::Endpoint;
use crate::api::openapi::parameters::{CallParameter, channel, date, flag, limit, page, words};
use crate::api::reconciliation::body::{BatchBody, DifferenceBody, SettlementBody};
use crate::api::reconciliation::days::{self, DaysBody};
use crate::api::reconciliation::differences::FoundPage;
use crate::api::reconciliation::report::DayReportBody;
use crate::api::reconciliation::upload::{ImportedBody, hand_in};
use crate::api::reconciliation::{batches, differences, report, settlements};
use crate::api::{channels, clearing};
use crate::domain::approval::HeldKind;

pub(super) fn channels_and_days() -> Vec<Endpoint> {
    let mut all = of_channels();
    all.extend(clearing_days());
    all
}

fn of_channels() -> Vec<Endpoint> {
    vec![
        Endpoint::get("/v1/channels", "listChannels", channels::all)
            .says("List the channels", "Abilities, limits and what is left of them today, health.")
            .may(MAY_INSPECT)
            .gives::<ChannelsBody<'static>>(200, "All of them."),
        Endpoint::get("/v1/channels/{id}", "getChannel", channels::one)
            .says("Show a channel", "")
            .may(MAY_INSPECT)
            .gives::<ChannelBody<'static>>(200, "The channel.")
            .fails(&[P::ChannelUnknown]),
        Endpoint::patch("/v1/channels/{id}", "switchChannel", channels::switch)
            .says(
                "Switch a channel on or off",
                "It survives a restart. The channel's open orders are still inquired and \
                 reversed, and may be refunded, voided or captured.",
            )
            .may(MAY_OPERATE)
            .takes(forms::switch())
            .gives::<ChannelBody<'static>>(200, "The channel as it is now.")
            .fails(&[P::ChannelUnknown, P::CardNumberFound])
            .held(HeldKind::ChannelSwitch),
        Endpoint::get("/v1/channels/{id}/traffic", "getTraffic", traffic::of_channel)
            .says("Show a channel's traffic", "What this node has asked of it, of late.")
            .may(MAY_INSPECT)
            .gives::<TrafficDayBody<'static>>(200, "Its requests, by slots of time.")
            .fails(&[P::ChannelUnknown]),
        Endpoint::get("/v1/channels/{id}/rates", "getRates", rates::of_channel)
            .says(
                "Show a channel's success rates",
                "What it has shown of late on orders of each kind, as this node knows it and \
                 rules weigh it that rank by `success_rate`; the kinds with the most samples \
                 first.",
            )
            .may(MAY_INSPECT)
            .asks([CallParameter::query(
                "issuer",
                serde_json::json!({ "type": "string", "pattern": "^[0-9]{4}$" }),
                "Only those of this institution: the first four digits of its issuer codes.",
            )])
            .asks([limit("The most rates.")])
            .gives::<RatesBody<'static>>(200, "The rates.")
            .fails(&[P::ChannelUnknown]),
    ]
}

fn clearing_days() -> Vec<Endpoint> {
    vec![
        Endpoint::get("/v1/channels/{id}/clearing", "listClearing", clearing::records)
            .says(
                "List the clearing records of a day",
                "As CSV or lines of JSON the whole day as a stream; a body that breaks off is \
                 not whole.",
            )
            .may(MAY_INSPECT)
            .asks([date().required()])
            .asks(page(forms::channel_order_no()))
            .gives::<PageBody<'static>>(200, "A page, or the whole day.")
            .streams()
            .fails(&[P::ChannelUnknown]),
        Endpoint::get("/v1/channels/{id}/clearing/summary", "summarizeClearing", clearing::summary)
            .says("Sum a clearing day up", "")
            .may(MAY_INSPECT)
            .asks([date().required(), flag("verify", "Compare a closed day with its close.")])
            .gives::<SummaryBody<'static>>(200, "The totals of each currency.")
            .fails(&[P::ChannelUnknown]),
        Endpoint::post("/v1/channels/{id}/clearing/close", "closeClearingDay", clearing::close)
            .says(
                "Close a clearing day",
                "A day that has ended, and the open ones before it, without waiting for the \
                 channel's `close_after`. A closed day is answered as it is.",
            )
            .may(MAY_OPERATE)
            .alone("the day is over, and its totals are what they are")
            .asks([date().required()])
            .takes(forms::reasoned())
            .gives::<ClosedDayBody<'static>>(200, "The close.")
            .fails(&[P::ChannelUnknown, P::CardNumberFound])
            .fails(&[P::DayOpen, P::WrongPhase, P::Stopping]),
    ]
}

pub(super) fn statements() -> Vec<Endpoint> {
    vec![
        Endpoint::get("/v1/channels/{id}/statements", "listStatements", landed::of_date)
            .says(
                "List the statement files of a date",
                "Those in the inbox, or why there are \
            none.",
            )
            .may(MAY_INSPECT)
            .asks([date().required()])
            .gives::<LandedBody<'static>>(200, "What has landed.")
            .fails(&[P::ChannelUnknown]),
        Endpoint::post("/v1/channels/{id}/statements", "handStatementIn", hand_in)
            .says(
                "Hand a statement's file in",
                "The body is the file, packed or not (ZIP, gzip). It is reconciled before the \
                 answer.",
            )
            .may(MAY_OPERATE)
            .alone("a statement is evidence, kept with its digest")
            .asks([date().required()])
            .asks([CallParameter::query(
                "name",
                serde_json::json!({ "type": "string", "default": "statement" }),
                "Its name in the inbox: letters, digits, `. _ -`.",
            )])
            .takes_file(&["application/octet-stream"], None)
            .gives::<ImportedBody<'static>>(201, "New content, with its batch.")
            .gives::<ImportedBody<'static>>(
                200,
                "This content was there already; nothing has \
            changed.",
            )
            .fails(&[P::ChannelUnknown, P::StatementRefused, P::NoStatement]),
        Endpoint::post("/v1/channels/{id}/statements/fetch", "fetchStatement", landed::fetch)
            .says(
                "Ask a channel for its statement now",
                "Content that was there is not written \
            again.",
            )
            .may(MAY_OPERATE)
            .alone("a statement is evidence, kept with its digest")
            .asks([date().required()])
            .gives::<FetchedBody<'static>>(200, "What the channel has.")
            .fails(&[P::ChannelUnknown, P::NoStatement]),
    ]
}

pub(super) fn reconciliations() -> Vec<Endpoint> {
    vec![
        Endpoint::post("/v1/channels/{id}/reconciliations", "reconcileAgain", batches::run_again)
            .says(
                "Reconcile the newest statement of a date again",
                "The new batch supersedes the last. Balanced differences stay balanced.",
            )
            .may(MAY_OPERATE)
            .alone("the same statement comes to the same differences")
            .asks([date().required()])
            .takes(forms::reasoned())
            .gives::<BatchBody<'static>>(201, "The new batch.")
            .fails(&[P::ChannelUnknown, P::CardNumberFound])
            .fails(&[P::NoStatement, P::StatementRefused]),
        Endpoint::get("/v1/reconciliations", "listReconciliations", batches::all)
            .says("List the batches", "By id; `date` only with `channel`.")
            .may(MAY_INSPECT)
            .asks([channel(), date()])
            .asks(page(forms::number_id()))
            .lists::<BatchBody<'static>>("reconciliations", "A page of batches.")
            .fails(&[P::ChannelUnknown]),
        Endpoint::get("/v1/reconciliations/{batch}", "getReconciliation", batches::one)
            .says("Show a batch", "")
            .may(MAY_INSPECT)
            .gives::<BatchBody<'static>>(200, "The batch.")
            .fails(&[P::NotFound]),
        Endpoint::get(
            "/v1/reconciliations/{batch}/differences",
            "listBatchDifferences",
            differences::of_batch,
        )
        .says(
            "List a batch's differences",
            "The rows that are no plain match, by the statement's line, then by our record.",
        )
        .may(MAY_INSPECT)
        .asks(page(serde_json::json!({ "type": "integer", "minimum": 0, "maximum": u32::MAX })))
        .gives::<FoundPage<'static>>(200, "A page, or all of it.")
        .streams()
        .fails(&[P::NotFound]),
        Endpoint::get("/v1/differences", "listDifferences", differences::open)
            .says("List the open differences of a channel", "")
            .may(MAY_INSPECT)
            .asks([
                channel().required(),
                words("state", &["carried", "suspended"], "Only those in this state."),
            ])
            .asks(page(forms::number_id()))
            .lists::<DifferenceBody<'static>>("differences", "A page of differences.")
            .fails(&[P::ChannelUnknown]),
        Endpoint::get("/v1/differences/{id}", "getDifference", differences::one)
            .says("Show a difference", "With its money in suspense and its history.")
            .may(MAY_INSPECT)
            .gives::<DifferenceBody<'static>>(200, "The difference.")
            .fails(&[P::NotFound]),
        Endpoint::post("/v1/differences/{id}/resolve", "resolveDifference", differences::resolve)
            .says("Decide where the money of a difference belongs", "")
            .may(MAY_OPERATE)
            .takes(forms::balancing())
            .gives::<DifferenceBody<'static>>(200, "The difference as it is now.")
            .fails(&[P::NotFound, P::CardNumberFound, P::RemedyRefused, P::WrongPhase])
            .fails(&[P::ChannelUnknown])
            .held(HeldKind::Remedy),
    ]
}

pub(super) fn settlements_and_report() -> Vec<Endpoint> {
    vec![
        Endpoint::post("/v1/channels/{id}/settlements", "recordSettlement", settlements::record)
            .says(
                "Record what the bank has received",
                "Receipts for the same dates and currency add up. They agree with the \
                 statements, and are booked, or differ, with reasons.",
            )
            .may(MAY_OPERATE)
            .alone("what the bank says is compared, and differs openly")
            .takes(forms::receipt())
            .gives::<SettlementBody<'static>>(201, "The settlement.")
            .gives::<SettlementBody<'static>>(200, "This receipt was recorded already.")
            .fails(&[P::ChannelUnknown, P::UnknownCurrency, P::InvalidAmount])
            .fails(&[P::BankReferenceConflict, P::WrongPhase]),
        Endpoint::get("/v1/channels/{id}/settlements", "listSettlements", settlements::of_channel)
            .says("List a channel's settlements", "Oldest first.")
            .may(MAY_INSPECT)
            .asks(page(forms::number_id()))
            .lists::<SettlementBody<'static>>("settlements", "A page of settlements.")
            .fails(&[P::ChannelUnknown]),
        Endpoint::get("/v1/settlements/{id}", "getSettlement", settlements::one)
            .says("Show a settlement", "")
            .may(MAY_INSPECT)
            .gives::<SettlementBody<'static>>(200, "The settlement.")
            .fails(&[P::NotFound]),
        Endpoint::post("/v1/settlements/{id}/check", "checkSettlement", settlements::check)
            .says("Compare a settlement anew", "With the present statements of its dates.")
            .may(MAY_OPERATE)
            .alone("nothing is decided: it is compared anew")
            .takes(forms::nothing())
            .gives::<SettlementBody<'static>>(200, "The settlement as it is now.")
            .fails(&[P::NotFound, P::ChannelUnknown, P::WrongPhase]),
        Endpoint::get("/v1/channels/{id}/days", "listDays", days::of_channel)
            .says("List a channel's clearing dates", "The newest first.")
            .may(MAY_INSPECT)
            .asks([
                CallParameter::query("through", forms::date(), "The newest date of the page."),
                CallParameter::query(
                    "dates",
                    serde_json::json!({ "type": "integer", "minimum": 1, "maximum": 92 }),
                    "How many dates.",
                ),
            ])
            .gives::<DaysBody<'static>>(200, "The dates.")
            .fails(&[P::ChannelUnknown]),
        Endpoint::get("/v1/channels/{id}/report", "reportDay", report::of_date)
            .says(
                "Report a channel's day",
                "Orders and attempts are those of orders accepted on the clearing day, money is by \
                 clearing date, differences and suspense are those of this moment.",
            )
            .may(MAY_INSPECT)
            .asks([date().required()])
            .gives::<DayReportBody<'static>>(200, "The day.")
            .fails(&[P::ChannelUnknown]),
    ]
}
