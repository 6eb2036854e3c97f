//! The one thread that writes: it makes waiting commits durable in groups.
//!
//! Upholds I-12: an answer leaves only after the group's sync. That includes refusals, since a
//! refusal may rest on a row of the same group. After a failure everything is refused.

use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, OnceLock};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use tokio::sync::oneshot;

use crate::domain::write_set::WriteSet;
use crate::store::plan::{CommitPlan, StoredValue, Writes};
use crate::store::table::lease::{lease_key, lease_step};
use crate::store::{CommitError, StoreError, table};
use crate::telemetry::chain;

use super::EmbeddedSettings;
use super::disk::Disk;

/// A group of this many commits or more means that others are coming.
const BUSY_GROUP: usize = 4;
/// The time that a busy writer lets a group grow. Measured at 64 and 256 payments at once: half a
/// millisecond gave a fifth more than none, two gave less again.
const GATHER: Duration = Duration::from_micros(500);

/// The receiver of an answer.
pub(super) type Reply<T> = oneshot::Sender<Result<T, CommitError>>;

/// A request to the writer.
pub(super) enum WriterRequest {
    Commit { plan: CommitPlan, reply: Reply<()> },
    Lease { yymmdd: u32, node: u16, count: u32, reply: Reply<u64> },
}

impl WriterRequest {
    /// Encodes in the committing task, so that the writer need not.
    pub(super) fn commit(writes: &WriteSet, reply: Reply<()>) -> Self {
        Self::Commit { plan: table::plan(writes), reply }
    }
}

/// An answer that waits for its group to be durable.
enum GroupAnswer {
    Commit(Result<(), CommitError>, Reply<()>),
    Lease(Result<u64, CommitError>, Reply<u64>),
}

impl GroupAnswer {
    /// Sends the answer; the caller may have gone away, and then it is dropped.
    fn give(self) {
        match self {
            Self::Commit(answer, reply) => drop(reply.send(answer)),
            Self::Lease(answer, reply) => drop(reply.send(answer)),
        }
    }

    fn give_failure(self, failure: &str) {
        match self {
            Self::Commit(_, reply) => drop(reply.send(Err(refusal(failure)))),
            Self::Lease(_, reply) => drop(reply.send(Err(refusal(failure)))),
        }
    }
}

/// The answer of a store that has failed.
fn refusal(failure: &str) -> CommitError {
    let detail = failure.to_owned();
    CommitError::Failed(StoreError::Backend { context: "the store has failed", detail })
}

/// The handle on the writer thread.
pub(super) struct Writer {
    /// `None` only while it is dropped.
    queue: Option<SyncSender<WriterRequest>>,
    thread: Option<JoinHandle<()>>,
    failure: Arc<OnceLock<String>>,
}

impl Writer {
    pub(super) fn start(disk: Disk, settings: &EmbeddedSettings) -> Result<Self, StoreError> {
        let audit_next = disk.audit_next();
        Self::start_on(disk, audit_next, settings)
    }

    fn start_on<D: GroupStorage + Send + 'static>(
        disk: D,
        audit_next: u64,
        settings: &EmbeddedSettings,
    ) -> Result<Self, StoreError> {
        let (queue, asks) = sync_channel(settings.queue_max.max(1));
        let failure = Arc::new(OnceLock::new());
        let group_max = settings.group_max.max(1);
        let work = GroupWriter { disk, audit_next, group_max, failure: Arc::clone(&failure) };
        let thread = Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || work.run(&asks))
            .map_err(|source| StoreError::Io {
                context: "cannot start the store's writer".to_owned(),
                source,
            })?;
        Ok(Self { queue: Some(queue), thread: Some(thread), failure })
    }

    /// Sends a request to the writer and waits for the answer. A full queue refuses at once.
    pub(super) async fn ask<T>(
        &self,
        ask: impl FnOnce(Reply<T>) -> WriterRequest,
    ) -> Result<T, CommitError> {
        if let Some(failure) = self.failure.get() {
            return Err(refusal(failure));
        }
        let (reply, answer) = oneshot::channel();
        let queue = self.queue.as_ref().expect("the queue lives as long as the handle");
        match queue.try_send(ask(reply)) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => return Err(CommitError::Busy),
            Err(TrySendError::Disconnected(_)) => return Err(self.gone()),
        }
        answer.await.unwrap_or_else(|_| Err(self.gone()))
    }

    /// The error of a writer that ended without an answer: it has failed, or panicked.
    fn gone(&self) -> CommitError {
        refusal(self.failure.get().map_or("its writer has ended", String::as_str))
    }
}

impl Drop for Writer {
    /// Waits for the writer to end, so that the folder can be opened again.
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            // The callers were already told of a panic.
            let _ended = thread.join();
        }
    }
}

/// The storage that a writer makes groups durable in.
trait GroupStorage {
    fn stored(&self, key: &[u8]) -> StoredValue;
    /// Makes a group durable, then readable.
    fn write(&mut self, writes: Writes) -> Result<(), StoreError>;
}

impl GroupStorage for Disk {
    fn stored(&self, key: &[u8]) -> StoredValue {
        Self::stored(self, key)
    }

    fn write(&mut self, writes: Writes) -> Result<(), StoreError> {
        Self::write(self, writes)
    }
}

struct GroupWriter<D> {
    disk: D,
    audit_next: u64,
    group_max: usize,
    failure: Arc<OnceLock<String>>,
}

/// Records a panic of the writer for later callers.
impl<D> Drop for GroupWriter<D> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.failure.get_or_init(|| "its writer has panicked".to_owned());
        }
    }
}

impl<D: GroupStorage> GroupWriter<D> {
    /// Ends when the last handle has gone, after answering its requests.
    fn run(mut self, asks: &Receiver<WriterRequest>) {
        let mut last = 0;
        while let Ok(first) = asks.recv() {
            let mut group = Vec::with_capacity(self.group_max);
            group.push(first);
            // Under load a short wait lets the group grow: the sync costs the same for more
            // commits. A quiet store never waits, since that would only add latency.
            if last >= BUSY_GROUP {
                std::thread::sleep(GATHER);
            }
            group.extend(asks.try_iter().take(self.group_max - 1));
            last = group.len();
            self.serve(group);
        }
    }

    fn serve(&mut self, group: Vec<WriterRequest>) {
        if let Some(failure) = self.failure.get() {
            for ask in group {
                match ask {
                    WriterRequest::Commit { reply, .. } => drop(reply.send(Err(refusal(failure)))),
                    WriterRequest::Lease { reply, .. } => drop(reply.send(Err(refusal(failure)))),
                }
            }
            return;
        }
        let mut overlay = Writes::new();
        let mut answers = Vec::with_capacity(group.len());
        for ask in group {
            answers.push(self.decide(ask, &mut overlay));
        }
        // A group of refusals writes nothing.
        let written = if overlay.is_empty() { Ok(()) } else { self.disk.write(overlay) };
        match written {
            Ok(()) => answers.into_iter().for_each(GroupAnswer::give),
            Err(error) => {
                let failure = self.failure.get_or_init(|| chain(&error));
                answers.into_iter().for_each(|answer| answer.give_failure(failure));
            }
        }
    }

    /// Checks one request against the stored rows and the group's own, and adds its writes.
    fn decide(&mut self, ask: WriterRequest, overlay: &mut Writes) -> GroupAnswer {
        let disk = &self.disk;
        let stored = |key: &[u8]| match overlay.get(key) {
            Some(written) => Ok(written.clone()),
            None => disk.stored(key),
        };
        match ask {
            WriterRequest::Commit { plan, reply } => {
                let checked = plan.check(&mut self.audit_next, &stored);
                let answer = checked.map(|writes| overlay.extend(writes));
                GroupAnswer::Commit(answer, reply)
            }
            WriterRequest::Lease { yymmdd, node, count, reply } => {
                let key = lease_key(yymmdd, node);
                let leased = stored(&key).and_then(|given| lease_step(given.as_deref(), count));
                let answer = leased.map_err(CommitError::Failed).map(|(first, row)| {
                    overlay.insert(key.into(), Some(row));
                    first
                });
                GroupAnswer::Lease(answer, reply)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Mutex;
    use std::sync::mpsc::{Sender, channel};

    use futures_util::FutureExt;
    use futures_util::future::join_all;

    use super::*;
    use crate::domain::time::Timestamp;
    use crate::domain::write_set::AuditEntry;

    /// A disk that counts its syncs, each of which waits for a verdict.
    struct GatedDisk {
        groups: Arc<Mutex<Vec<usize>>>,
        verdicts: Receiver<io::Result<()>>,
    }

    impl GroupStorage for GatedDisk {
        fn stored(&self, _: &[u8]) -> StoredValue {
            Ok(None)
        }

        fn write(&mut self, writes: Writes) -> Result<(), StoreError> {
            self.groups.lock().expect("no panic").push(writes.len());
            let verdict = self.verdicts.recv().expect("the test gives a verdict for each group");
            let context = "cannot sync".to_owned();
            verdict.map_err(|source| StoreError::Io { context, source })
        }
    }

    struct Bench {
        writer: Writer,
        verdicts: Sender<io::Result<()>>,
        groups: Arc<Mutex<Vec<usize>>>,
    }

    fn bench(queue_max: usize, group_max: usize) -> Bench {
        let (verdicts, receiver) = channel();
        let groups = Arc::new(Mutex::new(Vec::new()));
        let disk = GatedDisk { groups: Arc::clone(&groups), verdicts: receiver };
        let settings = EmbeddedSettings { queue_max, group_max, ..EmbeddedSettings::default() };
        let writer = Writer::start_on(disk, 1, &settings);
        Bench { writer: writer.expect("a thread"), verdicts, groups }
    }

    impl Bench {
        async fn commit(&self) -> Result<(), CommitError> {
            let audit = AuditEntry {
                at: Timestamp::from_millis(0),
                actor: String::new(),
                approver: None,
                action: String::new(),
                subject: String::new(),
                reason: String::new(),
            };
            let writes = WriteSet { audit: vec![audit], ..WriteSet::default() };
            self.writer.ask(|reply| WriterRequest::commit(&writes, reply)).await
        }

        /// Waits until the writer is in its n-th sync.
        fn wait_for_group(&self, count: usize) {
            while self.groups.lock().expect("no panic").len() < count {
                std::thread::yield_now();
            }
        }
    }

    #[tokio::test]
    async fn a_full_queue_refuses_at_once_and_writes_nothing() {
        let bench = bench(2, 8);
        let mut first = Box::pin(bench.commit());
        assert!(first.as_mut().now_or_never().is_none());
        bench.wait_for_group(1);
        let mut waiting: Vec<_> = (0..2).map(|_| Box::pin(bench.commit())).collect();
        for commit in &mut waiting {
            assert!(commit.as_mut().now_or_never().is_none(), "there is room for it");
        }
        let refused = bench.commit().now_or_never();
        assert!(matches!(refused, Some(Err(CommitError::Busy))), "{refused:?}");
        for _ in 0..2 {
            bench.verdicts.send(Ok(())).expect("the writer lives");
        }
        assert!(first.await.is_ok());
        assert!(join_all(waiting).await.iter().all(Result::is_ok));
        assert_eq!(*bench.groups.lock().expect("no panic"), [1, 2], "two wait, one sync for both");
    }

    #[tokio::test]
    async fn i_12_a_failed_sync_is_answered_to_all_and_never_tried_again() {
        let bench = bench(8, 8);
        let mut first = Box::pin(bench.commit());
        assert!(first.as_mut().now_or_never().is_none());
        bench.wait_for_group(1);
        let mut queued = Box::pin(bench.commit());
        assert!(queued.as_mut().now_or_never().is_none());
        bench.verdicts.send(Err(io::ErrorKind::StorageFull.into())).expect("the writer lives");
        assert!(matches!(first.await, Err(CommitError::Failed(_))));
        assert!(matches!(queued.await, Err(CommitError::Failed(_))));
        let Err(CommitError::Failed(cause)) = bench.commit().await else { panic!("it was taken") };
        assert!(cause.to_string().contains("cannot sync"), "{cause}");
        assert_eq!(bench.groups.lock().expect("no panic").len(), 1, "nothing was written after");
    }

    #[tokio::test]
    async fn a_writer_that_panics_leaves_nobody_waiting() {
        let bench = bench(8, 8);
        let mut first = Box::pin(bench.commit());
        assert!(first.as_mut().now_or_never().is_none());
        bench.wait_for_group(1);
        // Without a sender the gated disk panics in its sync.
        let Bench { writer, verdicts, .. } = {
            drop(first);
            bench
        };
        drop(verdicts);
        let reply =
            writer.ask(|reply| WriterRequest::Lease { yymmdd: 1, node: 1, count: 1, reply }).await;
        assert!(matches!(reply, Err(CommitError::Failed(_))), "{reply:?}");
    }

    #[tokio::test]
    async fn a_group_is_bounded() {
        let bench = bench(100, 4);
        let mut commits: Vec<_> = (0..13).map(|_| Box::pin(bench.commit())).collect();
        assert!(commits[0].as_mut().now_or_never().is_none());
        bench.wait_for_group(1);
        for commit in &mut commits[1..] {
            assert!(commit.as_mut().now_or_never().is_none());
        }
        for _ in 0..4 {
            bench.verdicts.send(Ok(())).expect("the writer lives");
        }
        assert!(join_all(commits).await.iter().all(Result::is_ok));
        assert_eq!(*bench.groups.lock().expect("no panic"), [1, 4, 4, 4]);
    }
}
