//! One link: connects, signs on, writes what waits in one go, reads what came in one go, tests the
//! line when it is quiet, and begins anew when it breaks.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{mpsc, oneshot, watch};

use crate::channel::transport::http::TransportFailure;
use crate::telemetry::{LinkEvent, count_link};

use super::connect::{ReadHalf, WriteHalf, backoff, connect};
use super::waiting::{PendingReply, ReplyDelivery, Turn, WaitingList};
use super::{FrameClass, LateReply, LinkFrame, Outbound, TransportContext};

/// The most frames that one write carries.
const BATCH_MAX: usize = 256;
/// The bytes that are read from the socket at a time.
const READ_BYTES: usize = 64 * 1024;

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
enum LinkEnd {
    #[error("the transport was dropped")]
    Dropped,
    #[error("the other side closed the connection")]
    Closed,
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("{0}")]
    Frame(#[from] crate::codec::iso8583::frame::FrameError),
    #[error("{0}")]
    SignOn(#[from] super::SignOnRefused),
    #[error("the sign-on was not answered in time")]
    NoSignOn,
    #[error("the line test was not answered")]
    Silent,
}

pub(super) struct Link {
    shared: Arc<TransportContext>,
    index: usize,
    /// The way to our own writer, for answers to the other side's requests. Weak: it must not keep
    /// the link alive.
    answers: mpsc::WeakSender<Outbound>,
    waiting: Arc<WaitingList>,
    /// Frames that came in so far.
    heard: Arc<AtomicU64>,
}

impl Link {
    pub fn new(
        shared: Arc<TransportContext>,
        index: usize,
        answers: mpsc::WeakSender<Outbound>,
    ) -> Self {
        Self { shared, index, answers, waiting: Arc::default(), heard: Arc::default() }
    }

    /// Runs until the transport is dropped.
    pub async fn run(self, mut queue: mpsc::Receiver<Outbound>, is_up: watch::Sender<bool>) {
        let mut failures = 0;
        // Ends when nobody can queue any more.
        while !queue.is_closed() {
            let addresses = &self.shared.terms.addresses;
            let address = &addresses[(self.index + failures as usize) % addresses.len()];
            let ended = match connect(&self.shared, address).await {
                Ok(halves) => {
                    self.count(LinkEvent::Connected);
                    let ended = self.serve(halves, &mut queue, &is_up).await;
                    if *is_up.borrow() {
                        failures = 0;
                    }
                    ended.to_string()
                }
                Err(problem) => problem,
            };
            is_up.send_replace(false);
            // Whatever was handed to the connection may have arrived (I-2).
            self.waiting.fail_all(TransportFailure::ConnectionLost);
            if queue.is_closed() {
                break;
            }
            self.count(LinkEvent::Down);
            let channel = &self.shared.context.channel;
            tracing::warn!(
                channel.name = %channel, link = self.index, reason = ended, "a link is down"
            );
            let wait = backoff(&self.shared.terms, failures, &self.shared.entropy);
            failures = failures.saturating_add(1);
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = is_up.closed() => {}
            }
        }
    }

    fn count(&self, event: LinkEvent) {
        count_link(&self.shared.context.channel, event);
    }

    async fn serve(
        &self,
        (mut read, mut write): (ReadHalf, WriteHalf),
        queue: &mut mpsc::Receiver<Outbound>,
        is_up: &watch::Sender<bool>,
    ) -> LinkEnd {
        let mut buffer = BytesMut::with_capacity(READ_BYTES);
        let mut signed_on = self.shared.begin_sign_on().await;
        let up = signed_on.as_deref().copied().unwrap_or_default();
        let signing = self.sign_on(&mut read, &mut write, &mut buffer, up);
        match tokio::time::timeout(self.shared.timeouts.reply, signing).await {
            Ok(Ok(())) => {}
            Ok(Err(ended)) => return ended,
            Err(_) => return LinkEnd::NoSignOn,
        }
        let is_counted = signed_on.as_deref_mut().map(|up| *up += 1).is_some();
        drop(signed_on);
        is_up.send_replace(true);
        self.count(LinkEvent::Up);
        let ended = tokio::select! {
            ended = self.read(&mut read, &mut buffer) => ended,
            ended = self.write(&mut write, queue) => ended,
        };
        if is_counted {
            *self.shared.signed_on.lock().await -= 1;
        }
        match ended {
            Ok(never) => match never {},
            Err(ended) => ended,
        }
    }

    async fn sign_on(
        &self,
        read: &mut ReadHalf,
        write: &mut WriteHalf,
        buffer: &mut BytesMut,
        up: usize,
    ) -> Result<(), LinkEnd> {
        let TransportContext { protocol, context, entropy, .. } = &*self.shared;
        let frames = protocol.sign_on(context.clock.now(), entropy.draw());
        let (frames, _right) = self.shared.own_sign_on(frames, up).await?;
        for LinkFrame { bytes, key, mac: _ } in frames {
            write.write_all(&bytes).await?;
            write.flush().await?;
            // Bounded by the caller's time; what is no answer to this is passed over.
            loop {
                if let Some(frame) = self.next_frame(buffer)? {
                    match protocol.sort(&frame) {
                        FrameClass::Reply(found) if found == key => {
                            protocol.take_sign_on(&frame)?;
                            self.shared.share_key(&frame).await?;
                            break;
                        }
                        FrameClass::Request { answer } => write.write_all(&answer).await?,
                        FrameClass::Reply(_) | FrameClass::Nothing | FrameClass::Unreadable(_) => {}
                    }
                } else if read.read_buf(buffer).await? == 0 {
                    return Err(LinkEnd::Closed);
                }
            }
        }
        Ok(())
    }

    /// The next whole frame of what was read.
    fn next_frame(&self, buffer: &mut BytesMut) -> Result<Option<Bytes>, LinkEnd> {
        let Some(range) = self.shared.protocol.framing().next(buffer)? else { return Ok(None) };
        let whole = buffer.split_to(range.end).freeze();
        Ok(Some(whole.slice(range.start..)))
    }

    async fn read(
        &self,
        read: &mut ReadHalf,
        buffer: &mut BytesMut,
    ) -> Result<std::convert::Infallible, LinkEnd> {
        // Ends with the connection.
        loop {
            while let Some(frame) = self.next_frame(buffer)? {
                self.heard.fetch_add(1, Ordering::Relaxed);
                self.take(frame);
            }
            buffer.reserve(READ_BYTES);
            if read.read_buf(buffer).await? == 0 {
                return Err(LinkEnd::Closed);
            }
        }
    }

    fn take(&self, frame: Bytes) {
        match self.shared.protocol.sort(&frame) {
            FrameClass::Reply(key) => match self.waiting.deliver(&key, frame) {
                ReplyDelivery::InTime => {}
                ReplyDelivery::Late { asked, age, frame } => {
                    self.count(LinkEvent::LateReply);
                    let context = &self.shared.context;
                    let (channel, asked_at) =
                        (context.channel.clone(), context.clock.now().minus(age));
                    let late = LateReply { channel, asked, asked_at, frame };
                    if context.late.try_send(late).is_err() {
                        self.count(LinkEvent::LateReplyDropped);
                    }
                }
                ReplyDelivery::Unmatched => self.count(LinkEvent::UnmatchedReply),
            },
            FrameClass::Request { answer } => {
                self.count(LinkEvent::Request);
                let turn = Arc::new(Turn::default());
                let outbound = Outbound { bytes: answer, turn, waits: None };
                // A full queue leaves the other side without an answer, and it asks again.
                let _ = self.answers.upgrade().map(|queue| queue.try_send(outbound));
            }
            FrameClass::Nothing => {}
            FrameClass::Unreadable(problem) => {
                self.count(LinkEvent::Unreadable);
                let TransportContext { context, objections, .. } = &*self.shared;
                objections.warn(&context.channel, "a message on a link", &problem);
            }
        }
    }

    async fn write(
        &self,
        write: &mut WriteHalf,
        queue: &mut mpsc::Receiver<Outbound>,
    ) -> Result<std::convert::Infallible, LinkEnd> {
        let mut batch = Vec::with_capacity(BATCH_MAX);
        let mut out = Vec::with_capacity(READ_BYTES);
        let mut heard_at_echo = None;
        // Ends with the connection, or when nobody can queue any more.
        loop {
            let terms = &self.shared.terms;
            let more = queue.recv_many(&mut batch, BATCH_MAX);
            match tokio::time::timeout(terms.echo_after, more).await {
                Ok(0) => return Err(LinkEnd::Dropped),
                Ok(_) => {}
                Err(_) => {
                    self.waiting.tidy();
                    let heard = self.heard.load(Ordering::Relaxed);
                    if heard_at_echo == Some(heard) {
                        return Err(LinkEnd::Silent);
                    }
                    let Some(echo) = self.echo() else { continue };
                    heard_at_echo = Some(heard);
                    batch.push(echo);
                }
            }
            self.write_batch(write, &mut batch, &mut out).await?;
        }
    }

    fn echo(&self) -> Option<Outbound> {
        let TransportContext { protocol, context, entropy, .. } = &*self.shared;
        let LinkFrame { bytes, key, mac: _ } =
            protocol.echo(context.clock.now(), entropy.draw())?;
        let (reply, _) = oneshot::channel();
        let waits = Some((key, PendingReply::new(reply, None)));
        Some(Outbound { bytes, turn: Arc::new(Turn::default()), waits })
    }

    /// Writes the frames of a batch in one go. Each is entered before its first byte leaves; one of
    /// which no byte was handed over when the connection broke is not sent, the others are unknown.
    async fn write_batch(
        &self,
        write: &mut WriteHalf,
        batch: &mut Vec<Outbound>,
        out: &mut Vec<u8>,
    ) -> Result<(), LinkEnd> {
        let mut starts = Vec::with_capacity(batch.len());
        out.clear();
        let may_act = self.shared.context.clock.may_act();
        let limit = self.shared.timeouts.reply;
        {
            let mut entering = self.waiting.guard(self.shared.terms.in_flight_max);
            for outbound in batch.drain(..).filter(|outbound| outbound.turn.take()) {
                if let Some((key, waiting)) = outbound.waits {
                    if waiting.is_of_attempt() && !may_act {
                        waiting.fail(TransportFailure::LeaseEnded);
                        continue;
                    }
                    if waiting.is_of_attempt() && waiting.has_waited_for(limit) {
                        waiting.fail(TransportFailure::TooLate);
                        continue;
                    }
                    if let Err(refused) = entering.enter(key, waiting) {
                        refused.fail(TransportFailure::NotSent);
                        continue;
                    }
                    starts.push((key, out.len()));
                }
                out.extend_from_slice(&outbound.bytes);
            }
        }
        let mut written = 0;
        let result = hand_over(write, out, &mut written).await;
        if result.is_err() {
            for (key, _) in starts.iter().filter(|(_, start)| *start >= written) {
                if let Some(waiting) = self.waiting.leave(key) {
                    waiting.fail(TransportFailure::NotSent);
                }
            }
        }
        Ok(result?)
    }
}

/// Writes everything, and keeps `written` at what the socket has taken, also when it fails.
async fn hand_over(
    write: &mut WriteHalf,
    bytes: &[u8],
    written: &mut usize,
) -> std::io::Result<()> {
    // Each round hands over at least one byte.
    while *written < bytes.len() {
        let taken = write.write(&bytes[*written..]).await?;
        if taken == 0 {
            return Err(std::io::ErrorKind::WriteZero.into());
        }
        *written += taken;
    }
    write.flush().await
}
