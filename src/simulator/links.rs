//! Serves ISO 8583 links: many requests at once on each, with the network's faults.
//!
//! A caller that speaks HTTP gets the ledger or a statement.
//!
//! As in `exchange`: a request that is dropped before is never carried out; every other one is
//! carried out first, and then its answer is lost, spoilt or delayed. On a link a lost answer is
//! silence, or the end of the whole link with every request that was under way.

use std::sync::Arc;

use bytes::BytesMut;
use jiff::civil::DateTime;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::dialect::ReplyForm;
use super::dialect::iso8583::{Iso8583FarEnd, LinkRequest};
use super::faults::{Loss, RequestFault, RequestPlan, SimulatorEvent};
use super::server::{self, HttpDialect};
use super::state::SimulatorState;

/// The first byte of a GET: no frame is so long that its length begins with it.
const HTTP_BEGINS: u8 = b'G';
const READ_BYTES: usize = 64 * 1024;
/// The most answers that wait for one link's writer, and that one write carries.
const ANSWERS_MAX: usize = 8_192;
const ANSWERS_WRITTEN_MAX: usize = 256;
const ACCEPT_PAUSE: std::time::Duration = std::time::Duration::from_millis(50);

/// The answer on a link.
enum LinkAnswer {
    Frame(Vec<u8>),
    /// The link ends here.
    Break,
}

/// Serves until the simulator stops.
pub async fn serve(
    listener: TcpListener,
    running: Arc<SimulatorState>,
    dialect: Arc<Iso8583FarEnd>,
) {
    let mut links = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    links.spawn(keep(stream, Arc::clone(&running), Arc::clone(&dialect)));
                }
                Err(_) => { running.sleep(ACCEPT_PAUSE).await; }
            },
            Some(_) = links.join_next(), if !links.is_empty() => {}
            () = running.stopped() => break,
        }
    }
    links.shutdown().await;
}

async fn keep(stream: TcpStream, running: Arc<SimulatorState>, dialect: Arc<Iso8583FarEnd>) {
    let mut first = [0];
    let peeked = tokio::select! {
        peeked = stream.peek(&mut first) => peeked,
        () = running.stopped() => return,
    };
    if matches!(peeked, Ok(1)) && first[0] == HTTP_BEGINS {
        return server::keep(stream, running, HttpDialect::None).await;
    }
    // Without this an answer may wait for an acknowledgement; a failure to set it costs only that
    // wait.
    let _ = stream.set_nodelay(true);
    let (mut read, mut write) = stream.into_split();
    let (answers, mut queue) = mpsc::channel(ANSWERS_MAX);
    let reading = async {
        let mut buffer = BytesMut::with_capacity(READ_BYTES);
        // Ends with the link, or with an impossible length.
        while let Ok(1..) = read.read_buf(&mut buffer).await {
            while let Ok(Some(range)) = dialect.framing().next(&buffer) {
                let frame = buffer.split_to(range.end);
                take(&running, &dialect, &answers, &frame[range.start..]).await;
            }
            if dialect.framing().next(&buffer).is_err() {
                return;
            }
            buffer.reserve(READ_BYTES);
        }
    };
    let writing = async {
        let mut answered = Vec::with_capacity(ANSWERS_WRITTEN_MAX);
        let mut out = Vec::with_capacity(READ_BYTES);
        while queue.recv_many(&mut answered, ANSWERS_WRITTEN_MAX).await > 0 {
            out.clear();
            let mut breaks = false;
            for answer in answered.drain(..) {
                match answer {
                    LinkAnswer::Frame(frame) => out.extend_from_slice(&frame),
                    LinkAnswer::Break => {
                        breaks = true;
                        break;
                    }
                }
            }
            if write.write_all(&out).await.is_err() || breaks {
                return;
            }
        }
    };
    tokio::select! {
        () = reading => {}
        () = writing => {}
        () = running.stopped() => {}
    }
}

async fn take(
    running: &Arc<SimulatorState>,
    dialect: &Arc<Iso8583FarEnd>,
    answers: &mpsc::Sender<LinkAnswer>,
    frame: &[u8],
) {
    let Some(call) = dialect.read(frame) else {
        running.counters.add(SimulatorEvent::RequestRefused);
        return;
    };
    let (operation, name) = dialect.plan_name(&call);
    // Sign-ons and line tests are spared, since no run could begin without them.
    let plan = (operation != "network").then(|| running.plan(operation, name));
    running.counters.add(SimulatorEvent::Request);
    let Some(plan) = plan else {
        let said = dialect.carry_out(running, &call);
        let answer = dialect.write(place_time(running), &call, &said, ReplyForm::Honest);
        let _ = answers.send(LinkAnswer::Frame(answer)).await;
        return;
    };
    if plan.fault == RequestFault::DropBefore {
        running.counters.add(SimulatorEvent::DroppedBefore);
        return;
    }
    if let Some(after) = plan.reversal_late {
        running.counters.add(SimulatorEvent::ReversalLate);
        let taken_on = running.ledger.settling(running.now());
        let (running, dialect) = (Arc::clone(running), Arc::clone(dialect));
        tokio::spawn(async move {
            if running.sleep(after).await {
                running.ledger.reverse_as_of(dialect.plan_name(&call).1, taken_on);
                dialect.carry_out(&running, &call);
            }
        });
        return;
    }
    if !plan.is_delayed() {
        if let Some(answer) = carry_out(running, dialect, &call, plan) {
            let _ = answers.send(answer).await;
        }
        return;
    }
    running.counters.add(SimulatorEvent::Delayed);
    let (running, dialect) = (Arc::clone(running), Arc::clone(dialect));
    let answers = answers.clone();
    // The request has a task of its own, so a link that breaks does not stop it.
    tokio::spawn(async move {
        if !running.sleep(plan.delay_before).await {
            return;
        }
        let answer = carry_out(&running, &dialect, &call, plan);
        if running.sleep(plan.delay_after).await
            && let Some(answer) = answer
        {
            let _ = answers.send(answer).await;
        }
    });
}

/// Carries a request out, and returns the answer that the network lets through.
fn carry_out(
    running: &Arc<SimulatorState>,
    dialect: &Iso8583FarEnd,
    call: &LinkRequest,
    plan: RequestPlan,
) -> Option<LinkAnswer> {
    let said = dialect.carry_out(running, call);
    let write = |form| dialect.write(place_time(running), call, &said, form);
    let count = |happening| running.counters.add(happening);
    match plan.fault {
        RequestFault::None | RequestFault::DropBefore => {
            Some(LinkAnswer::Frame(write(ReplyForm::Honest)))
        }
        RequestFault::LoseReply(Loss::Close) => {
            count(SimulatorEvent::ReplyLostByClose);
            Some(LinkAnswer::Break)
        }
        RequestFault::LoseReply(Loss::Reset) => {
            count(SimulatorEvent::ReplyLostByReset);
            Some(LinkAnswer::Break)
        }
        RequestFault::LoseReply(Loss::Hang(_)) | RequestFault::HttpError => {
            count(SimulatorEvent::ReplyLostByHang);
            None
        }
        RequestFault::Garbage => {
            count(SimulatorEvent::Garbage);
            Some(LinkAnswer::Frame(spoil(dialect, b"no message at all".to_vec())))
        }
        RequestFault::Truncated => {
            count(SimulatorEvent::Truncated);
            let whole = write(ReplyForm::Honest);
            let own = dialect.framing().length_bytes();
            let half = own + (whole.len() - own) / 2;
            Some(LinkAnswer::Frame(spoil(dialect, whole[own..half].to_vec())))
        }
        RequestFault::BadSignature => {
            count(SimulatorEvent::BadSignature);
            Some(LinkAnswer::Frame(write(ReplyForm::BadSignature(plan.variant))))
        }
        RequestFault::Unclear => {
            count(SimulatorEvent::Unclear);
            Some(LinkAnswer::Frame(write(ReplyForm::Unclear(plan.variant))))
        }
    }
}

/// The wall clock at the channel's place.
fn place_time(running: &SimulatorState) -> DateTime {
    running.ledger.civil(running.now())
}

/// A frame around bytes that are no message.
fn spoil(dialect: &Iso8583FarEnd, body: Vec<u8>) -> Vec<u8> {
    let mut out = Vec::new();
    let at = dialect.framing().begin(&mut out);
    out.extend_from_slice(&body);
    dialect.framing().end(&mut out, at).expect("it is shorter than an answer");
    out
}
