//! The process itself, and the doors that need no key.

use crate::api::approvals;
use crate::api::auth::{MAY_INSPECT, MAY_OPERATE};
use crate::api::channels::reload::{self, ReloadedBody};
use crate::api::error::ProblemCode as P;
use crate::api::held::ApprovalBody;
use crate::api::input::forms;
use crate::api::notices;
use crate::api::openapi::parameters::{language, page, words};
use crate::api::openapi::{self, Endpoint};
use crate::api::operations::clock::ClockBody;
use crate::api::operations::nodes::NodesBody;
use crate::api::operations::settings::SettingsBody;
use crate::api::operations::today::{self, TodayBody};
use crate::api::operations::workers::WorkersBody;
use crate::api::operations::{self, ReadinessBody};
use crate::config::server::ListenerKind;

pub(super) fn for_operators() -> Vec<Endpoint> {
    vec![
        Endpoint::get("/v1/clock", "getClock", operations::clock::show)
            .says("Show how the clock stands", "What bears it out, and what contradicts it.")
            .may(MAY_INSPECT)
            .gives::<ClockBody<'static>>(200, "The clock."),
        Endpoint::post("/v1/clock/confirm", "confirmClock", operations::clock::confirm)
            .says(
                "Confirm the clock",
                "An operator has read the time off another clock and says that ours is right; \
                 hosts that contradict are overruled until their clocks change.",
            )
            .may(MAY_OPERATE)
            .alone("the time is there to be read by everyone")
            .takes(forms::clock_confirmation())
            .gives::<ClockBody<'static>>(200, "The clock as it stands now.")
            .fails(&[P::ClockDiffers]),
        Endpoint::post("/v1/reload", "reload", reload::reload)
            .says(
                "Read channel files, routes and BIN table anew",
                "As SIGHUP does. A reload that would send a larger share of the last day's \
                 orders elsewhere than `channels.hold_above_percent` is held: what is in force \
                 stays. `accept_moves` puts it in force, and is kept in the audit trail. Where \
                 nodes share their settings, credentials alone are read.",
            )
            .may(MAY_OPERATE)
            .alone("whoever writes the files has decided; it only takes them")
            .takes(forms::reload())
            .gives::<ReloadedBody>(200, "What is in force now.")
            .fails(&[P::FilesRefused, P::ReloadHeld, P::CardNumberFound]),
        Endpoint::get("/v1/today", "getToday", today::show)
            .says("Show how the day stands", "What is open, what is owed, and what wants a person.")
            .may(MAY_INSPECT)
            .gives::<TodayBody>(200, "The day."),
        Endpoint::get("/v1/settings", "listSettings", operations::settings::all)
            .says("List the settings in force", "With whoever gives each; secrets are references.")
            .may(MAY_INSPECT)
            .gives::<SettingsBody<'static>>(200, "The settings."),
        Endpoint::get("/v1/nodes", "listNodes", operations::nodes::all)
            .says("List the nodes that share the books", "As they stood at the last renewal.")
            .may(MAY_INSPECT)
            .gives::<NodesBody<'static>>(
                200,
                "The nodes; none where one daemon has the books to \
            itself.",
            ),
        Endpoint::get("/v1/workers", "listWorkers", operations::workers::all)
            .says("List the workers", "Their last round, their next, and what failed last.")
            .may(MAY_INSPECT)
            .gives::<WorkersBody>(200, "The workers."),
    ]
}

pub(super) fn approvals() -> Vec<Endpoint> {
    let second = "the second person's own word";
    let deciding = |endpoint: Endpoint| {
        endpoint
            .may(MAY_OPERATE)
            .gives::<ApprovalBody<'static>>(200, "The request as it is now.")
            .fails(&[P::NotFound, P::CardNumberFound, P::WrongPerson])
            .fails(&[P::ApprovalDecided, P::ApprovalExpired])
    };
    vec![
        Endpoint::get("/v1/approvals", "listApprovals", approvals::all)
            .says(
                "List the requests for a second person",
                "Those that wait, the oldest first; or all, the newest first.",
            )
            .may(MAY_INSPECT)
            .asks([words("state", &["waiting", "all"], "Which: `waiting`, if absent.")])
            .asks(page(forms::number_id()))
            .lists::<ApprovalBody<'static>>("approvals", "A page of requests."),
        Endpoint::get("/v1/approvals/{id}", "getApproval", approvals::one)
            .says("Show a request for a second person", "")
            .may(MAY_INSPECT)
            .gives::<ApprovalBody<'static>>(200, "The request.")
            .fails(&[P::NotFound]),
        deciding(
            Endpoint::post("/v1/approvals/{id}/approve", "approveRequest", approvals::approve)
                .says(
                    "Approve a request of another person",
                    "It is carried out as it was asked, or is overtaken: what it is about has \
                     changed since. One that is `approved` and not carried out, after a crash, is \
                     carried out by the next approval.",
                )
                .takes(forms::reasoned())
                .alone(second),
        )
        .fails(&[P::ApprovalOvertaken, P::ChannelUnknown, P::RemedyRefused, P::Stopping])
        .fails(&[P::BinTableRefused, P::WrongPhase]),
        deciding(
            Endpoint::post("/v1/approvals/{id}/refuse", "refuseRequest", approvals::refuse)
                .says("Refuse a request of another person", "")
                .takes(forms::decided())
                .alone(second),
        ),
        deciding(
            Endpoint::post("/v1/approvals/{id}/withdraw", "withdrawRequest", approvals::withdraw)
                .says("Take a request of one's own back", "With any key of the same person.")
                .takes(forms::reasoned())
                .alone("it is one's own, and nothing happens"),
        ),
    ]
}

pub(super) fn without_a_key() -> Vec<Endpoint> {
    vec![
        Endpoint::get("/errors", "listProblems", operations::problems)
            .says("Explain every problem", "")
            .asks([language()])
            .tells(200, "text/plain", "The page of problems.")
            .with_headers(&["Content-Language"])
            .fails(&[P::InvalidQuery]),
        Endpoint::get("/errors/{code}", "explainProblem", operations::problem)
            .says("Explain a problem", "Its `type` leads here.")
            .asks([language()])
            .tells(200, "text/plain", "Its cause, and what to do.")
            .with_headers(&["Content-Language"])
            .fails(&[P::NotFound, P::InvalidQuery]),
        Endpoint::get("/healthz", "getHealth", operations::health)
            .says("Ask whether the process is up", "")
            .tells(200, "text/plain", "It is.")
            .tells(503, "text/plain", "The store has failed, and the process ends by itself."),
        Endpoint::get("/readyz", "getReadiness", operations::readiness)
            .says("Ask whether orders are taken", "")
            .gives::<ReadinessBody>(200, "They are.")
            .gives::<ReadinessBody>(503, "They are not, for these reasons."),
        Endpoint::get("/openapi.json", "getDocument", openapi::json)
            .says("This document", "It holds nothing of an installation, and no secret.")
            .tells(200, "application/json", "OpenAPI 3.1."),
        Endpoint::get("/docs", "getDocs", openapi::docs)
            .says("This document for people", "One file, which asks nobody for anything.")
            .tells(200, "text/html", "A page."),
        Endpoint::get("/metrics", "getMetrics", operations::metrics)
            .at(ListenerKind::Metrics)
            .says("Show the metrics", "With `[server.metrics]`, at a listener of its own.")
            .tells(200, "text/plain", "As Prometheus reads them."),
        Endpoint::post("/notices/{channel}", "takeNotice", notices::take)
            .at(ListenerKind::Notices)
            .says(
                "Take a channel's notice",
                "In the channel's protocol; it is believed by its signature alone. The answer says \
                 taken only when the notice's evidence is durable. With `[server.notices]`, at a \
                 listener of its own.",
            )
            .takes_file(&["*/*"], None)
            .tells(200, "*/*", "Taken, in the channel's own words.")
            .tells(400, "*/*", "Unreadable, badly signed, or of another amount or time.")
            .tells(404, "*/*", "No order of ours, or no channel that sends notices.")
            .tells(503, "*/*", "Not written: the channel is to repeat it.")
            .fails(&[P::BodyTooLarge, P::RequestTimeout, P::ChannelUnknown, P::NoticeRefused])
            .fails(&[P::StoreUnavailable, P::StoreFailed, P::Internal]),
    ]
}
