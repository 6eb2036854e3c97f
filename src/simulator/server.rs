//! The simulator's HTTP side: hyper's HTTP/1.1 connections directly, because it is also the far end
//! of throughput tests. It does not interpret what is exchanged.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use http_body_util::{BodyExt, Limited};
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use hyper::header::{CONTENT_DISPOSITION, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::domain::time::BusinessDate;

use super::dialect::bank::Bank;
use super::dialect::statement::{StatementPaper, write};
use super::dialect::unionpay_acp::UnionPayPlatform;
use super::exchange::{HttpAnswer, exchange};
use super::message::{HttpReply, HttpRequest};
use super::state::SimulatorState;
use super::statement::NoStatement;

/// Bytes of a request's body; a longer one is answered 413.
const BODY_BYTES_MAX: usize = 64 * 1024;
/// How long to wait after a connection could not be accepted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);

/// The dialect that is served over HTTP besides the reports.
#[derive(Clone)]
pub(super) enum HttpDialect {
    UnionPayAcp(Arc<UnionPayPlatform>),
    Bank(Arc<Bank>),
    /// The dialect is served elsewhere, on links.
    None,
}

/// Accepts connections until the simulator stops, then ends them.
pub(super) async fn serve(
    listener: TcpListener,
    running: Arc<SimulatorState>,
    dialect: HttpDialect,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                // A failed accept concerns one caller that is gone, or a lack of file handles that
                // ends when others close; the listener stays and does not spin meanwhile.
                if let Ok((stream, _)) = accepted {
                    connections.spawn(keep(stream, Arc::clone(&running), dialect.clone()));
                } else {
                    running.sleep(ACCEPT_PAUSE).await;
                }
            }
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            () = running.stopped() => break,
        }
    }
    drop(listener);
    connections.shutdown().await;
}

/// Serves one connection to its end.
pub(super) async fn keep(stream: TcpStream, running: Arc<SimulatorState>, dialect: HttpDialect) {
    // Without this a reply may wait for an acknowledgement; a failure to set it costs only that
    // wait.
    let _ = stream.set_nodelay(true);
    let reset = Arc::new(AtomicBool::new(false));
    let service = {
        let (running, reset) = (Arc::clone(&running), Arc::clone(&reset));
        service_fn(move |request| {
            Box::pin(respond(Arc::clone(&running), dialect.clone(), Arc::clone(&reset), request))
        })
    };
    let mut connection = http1::Builder::new()
        .pipeline_flush(true)
        .auto_date_header(false)
        .serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        // A failed connection concerns only its caller.
        _ = poll_fn(|context| connection.poll_without_shutdown(context)) => {}
        () = running.stopped() => {}
    }
    if reset.load(Ordering::Acquire) {
        // Closing with zero linger sends RST instead of FIN.
        let _ = connection.into_parts().io.inner().set_zero_linger();
    }
}

/// The answer to one request, or an error that makes hyper drop the connection.
async fn respond(
    running: Arc<SimulatorState>,
    dialect: HttpDialect,
    reset: Arc<AtomicBool>,
    request: Request<Incoming>,
) -> Result<Response<ReplyBody>, DroppedConnection> {
    if request.method() == Method::GET
        && let Some(report) = report(&running, request.uri().path())
    {
        return Ok(report);
    }
    let (head, body) = request.into_parts();
    let Ok(body) = Limited::new(body, BODY_BYTES_MAX).collect().await else {
        return Ok(plain(StatusCode::PAYLOAD_TOO_LARGE, "text/plain", Bytes::new()));
    };
    let received = HttpRequest {
        method: head.method,
        path: head.uri.path().to_owned(),
        query: head.uri.query().unwrap_or_default().to_owned(),
        headers: head.headers,
        body: body.to_bytes(),
    };
    let answer = match &dialect {
        HttpDialect::UnionPayAcp(acp) => exchange(&running, acp, received).await,
        HttpDialect::Bank(bank) => exchange(&running, bank, received).await,
        HttpDialect::None => HttpAnswer::Close,
    };
    match answer {
        HttpAnswer::Whole(reply) => Ok(with_date(&running, respond_with(reply, false))),
        HttpAnswer::Cut(reply) => Ok(with_date(&running, respond_with(reply, true))),
        HttpAnswer::Close => Err(DroppedConnection),
        HttpAnswer::Reset => {
            reset.store(true, Ordering::Release);
            Err(DroppedConnection)
        }
    }
}

/// Adds a Date header, if the settings have a clock for it.
fn with_date(running: &SimulatorState, mut response: Response<ReplyBody>) -> Response<ReplyBody> {
    let Some(clock) = &running.settings.dates else { return response };
    let utc = clock().civil(&jiff::tz::TimeZone::UTC);
    let date = utc.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    let date = HeaderValue::from_str(&date).expect("letters, digits and marks");
    response.headers_mut().insert(http::header::DATE, date);
    response
}

/// The ledger for people and scripts: `GET /ledger` in JSON lines, `GET /ledger/summary`, `GET
/// /statements/<date>` for the statement's file, and `GET /statements/<date>/planted` for the
/// differences that a reconciliation must find. Other paths belong to the channel.
fn report(running: &SimulatorState, path: &str) -> Option<Response<ReplyBody>> {
    let snapshot = || running.ledger.snapshot(running.now());
    let shown = match path {
        "/ledger" => {
            let lines = Bytes::from(snapshot().json_lines());
            plain(StatusCode::OK, "application/x-ndjson", lines)
        }
        "/ledger/summary" => {
            let mut summary = snapshot().summary();
            let counters: serde_json::Map<String, serde_json::Value> = running
                .counters
                .snapshot()
                .into_iter()
                .map(|(happening, times)| (happening.name().to_owned(), times.into()))
                .collect();
            summary["id"] = running.settings.id.as_str().into();
            summary["dialect"] = running.settings.dialect.name().into();
            summary["notices_waiting"] = running.notices_waiting().into();
            summary["happened"] = counters.into();
            plain(StatusCode::OK, "application/json", Bytes::from(summary.to_string()))
        }
        _ => {
            let rest = path.strip_prefix("/statements/")?;
            match rest.strip_suffix("/planted") {
                Some(date) => planted_differences(running, date),
                None => paper(running, rest),
            }
        }
    };
    Some(shown)
}

/// A date's statement as the channel writes it, for an operator who uploads it.
fn paper(running: &SimulatorState, date: &str) -> Response<ReplyBody> {
    let no =
        |status, why: &'static str| plain(status, "text/plain", Bytes::from_static(why.as_bytes()));
    let Some(date) = BusinessDate::parse(date) else {
        return no(StatusCode::BAD_REQUEST, "give the date as YYYY-MM-DD\n");
    };
    match running.closed_statement(date) {
        Ok(statement) => {
            let StatementPaper { name, bytes } = write(&running.settings.dialect, &statement);
            let shown = HeaderValue::try_from(format!("attachment; filename=\"{name}\""))
                .unwrap_or(HeaderValue::from_static("attachment"));
            let mut reply = HttpReply::new(StatusCode::OK, "application/octet-stream", bytes);
            reply.headers.push((CONTENT_DISPOSITION, shown));
            respond_with(reply, false)
        }
        Err(NoStatement::NotYet) => no(StatusCode::NOT_FOUND, "this date is not over yet\n"),
        Err(NoStatement::Nothing) => no(StatusCode::NOT_FOUND, "nothing happened on this date\n"),
    }
}

/// The differences planted in a date's statement, in JSON lines.
fn planted_differences(running: &SimulatorState, date: &str) -> Response<ReplyBody> {
    let Some(date) = BusinessDate::parse(date) else {
        return plain(StatusCode::BAD_REQUEST, "text/plain", Bytes::new());
    };
    let lines = running.statement(date).map(|statement| statement.planted_lines());
    plain(StatusCode::OK, "application/x-ndjson", Bytes::from(lines.unwrap_or_default()))
}

fn plain(status: StatusCode, content_type: &'static str, body: Bytes) -> Response<ReplyBody> {
    respond_with(HttpReply::new(status, content_type, body), false)
}

fn respond_with(reply: HttpReply, cut: bool) -> Response<ReplyBody> {
    let mut response = Response::new(ReplyBody::new(reply.body, cut));
    *response.status_mut() = reply.status;
    for (name, value) in reply.headers {
        response.headers_mut().insert(name, value);
    }
    response
}

/// Why there is no response: the plan says that the connection ends here.
#[derive(Debug, thiserror::Error)]
#[error("the simulated network dropped the connection")]
struct DroppedConnection;

/// A body that is sent whole, or whose whole length is announced and only its first half sent.
struct ReplyBody {
    announced: u64,
    left: Option<Bytes>,
    breaks: Break,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Break {
    Never,
    /// After the first half, once hyper had a turn to flush it.
    AfterFlush,
    Now,
}

impl ReplyBody {
    fn new(body: Bytes, cut: bool) -> Self {
        let announced = body.len() as u64;
        let left = if cut { body.slice(..body.len() / 2) } else { body };
        let breaks = if cut { Break::AfterFlush } else { Break::Never };
        Self { announced, left: (!left.is_empty()).then_some(left), breaks }
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = DroppedConnection;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, DroppedConnection>>> {
        if let Some(data) = self.left.take() {
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        match self.breaks {
            Break::Never => Poll::Ready(None),
            Break::AfterFlush => {
                self.breaks = Break::Now;
                context.waker().wake_by_ref();
                Poll::Pending
            }
            Break::Now => Poll::Ready(Some(Err(DroppedConnection))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.left.is_none() && self.breaks == Break::Never
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.announced)
    }
}
