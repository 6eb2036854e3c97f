//! The threads behind the writer: one writes full layers as segments, one compacts segments.
//!
//! A layer is flushed when the manifest names its segment. Only then is it removed from above the
//! segments, and its journal overwritten.

use std::sync::Arc;
use std::sync::mpsc::{
    Receiver, RecvTimeoutError, SyncSender, TryRecvError, TrySendError, sync_channel,
};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use crate::clock::stopwatch;
use crate::store::StoreError;
use crate::store::plan::Writes;

use super::catalog::Catalog;

/// The pause after a compaction that has failed, and the longest one: each is twice as long as the
/// one before.
const COMPACTION_PAUSES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(60)];

type FlushResult = Result<(), StoreError>;

/// The writer's handle on the flusher.
pub(super) struct Flusher {
    /// `None` only while it is dropped.
    layers: Option<SyncSender<(Arc<Writes>, u64)>>,
    ends: Receiver<FlushResult>,
    busy: bool,
    catalog: Arc<Catalog>,
    threads: Vec<JoinHandle<()>>,
}

impl Flusher {
    pub(super) fn start(catalog: Arc<Catalog>) -> Result<Self, StoreError> {
        let (sender, receiver) = sync_channel::<(Arc<Writes>, u64)>(1);
        let (end, ends) = sync_channel(1);
        // One wake is kept while a compaction is under way.
        let (wake, wakes) = sync_channel::<()>(1);
        let flush = {
            let catalog = Arc::clone(&catalog);
            move || {
                while let Ok((layer, generation)) = receiver.recv() {
                    let flushed = catalog.flush(&layer, generation);
                    // After a failure nothing more is handed over; the handle may be gone already.
                    drop(end.send(flushed));
                    if let Err(TrySendError::Disconnected(())) = wake.try_send(()) {
                        tracing::error!(
                            "the compactor has ended: segments pile up until a restart"
                        );
                    }
                }
            }
        };
        let compact = {
            let catalog = Arc::clone(&catalog);
            move || {
                let [first, longest] = COMPACTION_PAUSES;
                let mut pause = first;
                while let Ok(()) = wakes.recv() {
                    while let Err(error) = catalog.compact() {
                        // The segments are as they were.
                        tracing::error!(%error, "segments cannot be compacted; they will be later");
                        if !rest(&wakes, pause) {
                            return;
                        }
                        pause = (pause * 2).min(longest);
                    }
                    pause = first;
                }
            }
        };
        let threads = vec![spawn("store-flusher", flush)?, spawn("store-compactor", compact)?];
        Ok(Self { layers: Some(sender), ends, busy: false, catalog, threads })
    }

    /// Hands over a layer and its generation of the journal. The previous layer must have been
    /// flushed.
    pub(super) fn begin(&mut self, layer: Arc<Writes>, generation: u64) -> Result<(), StoreError> {
        assert!(!self.busy, "one layer is flushed at a time");
        self.busy = true;
        let layers = self.layers.as_ref().expect("it lives as long as the handle");
        layers.send((layer, generation)).map_err(|_| gone())
    }

    /// Whether a layer is still being flushed; an error if it could not be.
    pub(super) fn is_busy(&mut self) -> Result<bool, StoreError> {
        if self.busy {
            match self.ends.try_recv() {
                Ok(ended) => self.ended(ended)?,
                Err(TryRecvError::Empty) => {}
                Err(TryRecvError::Disconnected) => return Err(gone()),
            }
        }
        Ok(self.busy)
    }

    /// Waits until nothing is being flushed.
    pub(super) fn wait(&mut self) -> Result<(), StoreError> {
        if self.busy {
            let ended = self.ends.recv().map_err(|_| gone())?;
            self.ended(ended)?;
        }
        Ok(())
    }

    /// A layer that could not be flushed leaves the flusher busy for good.
    fn ended(&mut self, ended: FlushResult) -> Result<(), StoreError> {
        ended?;
        self.busy = false;
        Ok(())
    }
}

/// Lets a pause pass, whatever wakes come. False if none can come any more.
fn rest(wakes: &Receiver<()>, pause: Duration) -> bool {
    let began = stopwatch();
    loop {
        match wakes.recv_timeout(pause.saturating_sub(began.elapsed())) {
            Ok(()) => {}
            Err(RecvTimeoutError::Timeout) => return true,
            Err(RecvTimeoutError::Disconnected) => return false,
        }
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, StoreError> {
    Builder::new().name(name.to_owned()).spawn(work).map_err(|source| StoreError::Io {
        context: format!("cannot start the thread `{name}`"),
        source,
    })
}

fn gone() -> StoreError {
    StoreError::Backend {
        context: "the store's flusher has ended",
        detail: "what is journalled is flushed when the store is opened again".to_owned(),
    }
}

impl Drop for Flusher {
    /// Waits for the threads, which hold the folder, to end. A compaction is given up.
    fn drop(&mut self) {
        self.catalog.stop();
        self.layers = None;
        for thread in self.threads.drain(..) {
            // The writer knows of a panic, since it found the channel closed.
            let _ended = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;
    use crate::store::embedded::EmbeddedSettings;
    use crate::store::embedded::catalog::IndexUse;
    use crate::store::embedded::files::{FileStep, FileWatch, Files};
    use crate::store::embedded::manifest::ManifestFile;

    /// Does not let the third segment be made, which is the first to be compacted from two.
    struct ThirdRefused;

    impl FileWatch for ThirdRefused {
        fn before(&self, step: &FileStep<'_>) -> io::Result<()> {
            match step {
                FileStep::Make { name: "segments/0000000003" } => {
                    Err(io::ErrorKind::StorageFull.into())
                }
                _ => Ok(()),
            }
        }
    }

    #[test]
    fn a_compaction_that_has_failed_is_tried_again_by_itself() {
        let folder = tempfile::tempdir().expect("a folder");
        let files = Files::watched(folder.path(), Arc::new(ThirdRefused));
        let settings = EmbeddedSettings { compacted_at_once: 2, ..EmbeddedSettings::default() };
        let manifest = ManifestFile::new(&files);
        let catalog = Catalog::open(&files, manifest, &settings, IndexUse::AsFound);
        let catalog = Arc::new(catalog.expect("an empty folder"));
        let mut flusher = Flusher::start(Arc::clone(&catalog)).expect("threads");
        for key in 1..=2_u8 {
            catalog.layers().add(Writes::from([(vec![b'O', key].into(), Some(vec![key]))]));
            flusher.begin(catalog.layers().hand_over(), u64::from(key)).expect("it is idle");
            flusher.wait().expect("a segment");
        }
        while catalog.layers().segments().iter().count() > 1 {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}
