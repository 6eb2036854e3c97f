//! One request and its answer, with what the network does to them.
//!
//! A request that is dropped before is never carried out; every other one is carried out first, and
//! then its reply is lost, spoilt or delayed: what happened and what the caller learns are two
//! things.

use std::sync::Arc;
use std::time::Duration;

use hyper::StatusCode;

use super::dialect::{Dialect, ReplyForm};
use super::faults::{Loss, RequestFault, RequestPlan, SimulatorEvent};
use super::message::{HttpReply, HttpRequest};
use super::state::SimulatorState;

/// The answer on the connection.
pub(super) enum HttpAnswer {
    Whole(HttpReply),
    /// The whole length is announced, and half of it sent.
    Cut(HttpReply),
    Close,
    Reset,
}

/// Takes one request through its dialect and its faults.
pub(super) async fn exchange<D: Dialect>(
    running: &Arc<SimulatorState>,
    dialect: &Arc<D>,
    received: HttpRequest,
) -> HttpAnswer {
    let call = match dialect.read(running, &received) {
        Ok(call) => call,
        Err(refusal) => {
            running.counters.add(SimulatorEvent::RequestRefused);
            return HttpAnswer::Whole(refusal);
        }
    };
    let plan = {
        let (operation, order_no) = dialect.name(&call);
        running.plan(operation, order_no)
    };
    running.counters.add(SimulatorEvent::Request);
    if plan.fault == RequestFault::DropBefore {
        running.counters.add(SimulatorEvent::DroppedBefore);
        return HttpAnswer::Close;
    }
    if let Some(after) = plan.reversal_late {
        return defer_reversal(running, dialect, call, after);
    }
    if plan.is_delayed() {
        running.counters.add(SimulatorEvent::Delayed);
    }
    if plan.delay_before.is_zero() {
        let draft = dialect.carry_out(running, &call);
        return reply(running, dialect.as_ref(), &call, &draft, plan).await;
    }
    // The request has a task of its own, so a caller that hangs up does not stop it.
    let (running, dialect) = (Arc::clone(running), Arc::clone(dialect));
    let late = tokio::spawn(async move {
        if !running.sleep(plan.delay_before).await {
            return HttpAnswer::Close;
        }
        let draft = dialect.carry_out(&running, &call);
        reply(&running, dialect.as_ref(), &call, &draft, plan).await
    });
    late.await.unwrap_or(HttpAnswer::Close)
}

/// Leaves the reversal without an answer and carries it out late; until then others of its order
/// are refused.
fn defer_reversal<D: Dialect>(
    running: &Arc<SimulatorState>,
    dialect: &Arc<D>,
    call: D::Call,
    after: Duration,
) -> HttpAnswer {
    running.counters.add(SimulatorEvent::ReversalLate);
    let (_, order_no) = dialect.name(&call);
    let order_no: Box<str> = order_no.into();
    running.ledger.defer_reversal(&order_no);
    let taken_on = running.ledger.settling(running.now());
    let (running, dialect) = (Arc::clone(running), Arc::clone(dialect));
    tokio::spawn(async move {
        if running.sleep(after).await {
            running.ledger.end_deferral(&order_no);
            running.ledger.reverse_as_of(&order_no, taken_on);
            dialect.carry_out(&running, &call);
        }
    });
    HttpAnswer::Close
}

async fn reply<D: Dialect>(
    running: &SimulatorState,
    dialect: &D,
    call: &D::Call,
    draft: &D::Draft,
    plan: RequestPlan,
) -> HttpAnswer {
    if !running.sleep(plan.delay_after).await {
        return HttpAnswer::Close;
    }
    let write = |form| dialect.write(running, call, draft, form);
    let count = |happening| running.counters.add(happening);
    match plan.fault {
        RequestFault::None | RequestFault::DropBefore => {
            HttpAnswer::Whole(write(ReplyForm::Honest))
        }
        RequestFault::LoseReply(loss) => lose(running, loss).await,
        RequestFault::Garbage => {
            count(SimulatorEvent::Garbage);
            HttpAnswer::Whole(garbage(plan.variant))
        }
        RequestFault::Truncated => {
            count(SimulatorEvent::Truncated);
            truncate(write(ReplyForm::Honest), plan.variant)
        }
        RequestFault::HttpError => {
            count(SimulatorEvent::HttpError);
            HttpAnswer::Whole(http_error(plan.variant))
        }
        RequestFault::BadSignature => {
            count(SimulatorEvent::BadSignature);
            HttpAnswer::Whole(write(ReplyForm::BadSignature(plan.variant)))
        }
        RequestFault::Unclear => {
            count(SimulatorEvent::Unclear);
            HttpAnswer::Whole(write(ReplyForm::Unclear(plan.variant)))
        }
    }
}

async fn lose(running: &SimulatorState, loss: Loss) -> HttpAnswer {
    match loss {
        Loss::Close => {
            running.counters.add(SimulatorEvent::ReplyLostByClose);
            HttpAnswer::Close
        }
        Loss::Reset => {
            running.counters.add(SimulatorEvent::ReplyLostByReset);
            HttpAnswer::Reset
        }
        Loss::Hang(duration) => {
            running.counters.add(SimulatorEvent::ReplyLostByHang);
            running.sleep(duration).await;
            HttpAnswer::Close
        }
    }
}

/// Bodies that are no message: nothing, a proxy's page, binary, the wrong format, an endless nest.
fn garbage(variant: u64) -> HttpReply {
    let bodies: [&'static [u8]; 6] = [
        b"",
        b"<html><body><h1>Service</h1></body></html>",
        b"\x00\xff\xfe\x80\x81garbage\xc3\x28",
        b"{}",
        b"ok",
        b"{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{",
    ];
    let body = bodies[(variant % bodies.len() as u64) as usize];
    page(StatusCode::OK, body)
}

/// Half of the reply: either its whole length is announced and the connection cut, or half is
/// announced as if it were all.
fn truncate(mut reply: HttpReply, variant: u64) -> HttpAnswer {
    if variant.is_multiple_of(2) {
        return HttpAnswer::Cut(reply);
    }
    reply.body = reply.body.slice(..reply.body.len() / 2);
    HttpAnswer::Whole(reply)
}

/// Answers of a gateway in front of a channel that did its work all the same.
fn http_error(variant: u64) -> HttpReply {
    let statuses = [500, 502, 503, 504, 520, 408, 429];
    let status = statuses[(variant % statuses.len() as u64) as usize];
    let status = StatusCode::from_u16(status).expect("every one of them is a status");
    page(status, b"<html><body>upstream error</body></html>")
}

fn page(status: StatusCode, body: &'static [u8]) -> HttpReply {
    HttpReply::new(status, "text/html", body)
}
