//! The thread that copies journalled rows into the tree, so that commits need not wait for it.
//!
//! A layer has been merged when all of it is in the tree and durable there. Only then is it taken
//! away from above the tree, and only then may its journal be written over.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::thread::{Builder, JoinHandle};

use crate::store::StoreError;
use crate::store::plan::Writes;

use super::disk::Base;
use super::layers::Layers;

type MergeResult = Result<(), StoreError>;

/// The writer's handle on the merger.
pub(super) struct Merger {
    /// `None` only while it is dropped.
    layers: Option<SyncSender<(Arc<Writes>, u64)>>,
    ends: Receiver<MergeResult>,
    busy: bool,
    thread: Option<JoinHandle<()>>,
}

impl Merger {
    pub(super) fn start(mut base: Base, layers: Arc<Layers>) -> Result<Self, StoreError> {
        let (sender, receiver) = sync_channel::<(Arc<Writes>, u64)>(1);
        let (end, ends) = sync_channel(1);
        let work = move || {
            while let Ok((layer, turn)) = receiver.recv() {
                let merged = base.merge(&layer, turn..=turn);
                if merged.is_ok() {
                    layers.drop_merged();
                }
                // After a failure nothing more is handed over; the handle may be gone already.
                drop(end.send(merged));
            }
        };
        let thread = Builder::new().name("store-merger".to_owned()).spawn(work);
        let thread = thread.map_err(|source| StoreError::Io {
            context: "cannot start the store's merger".to_owned(),
            source,
        })?;
        Ok(Self { layers: Some(sender), ends, busy: false, thread: Some(thread) })
    }

    /// Hands over a layer and the generation of the journal that has it. The one before must have
    /// merged.
    pub(super) fn begin(&mut self, layer: Arc<Writes>, turn: u64) -> Result<(), StoreError> {
        assert!(!self.busy, "one layer is merged at a time");
        self.busy = true;
        let layers = self.layers.as_ref().expect("it lives as long as the handle");
        layers.send((layer, turn)).map_err(|_| gone())
    }

    /// Whether a layer is still merging; an error if it could not be merged.
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

    /// Waits until nothing is merging.
    pub(super) fn wait(&mut self) -> Result<(), StoreError> {
        if self.busy {
            let ended = self.ends.recv().map_err(|_| gone())?;
            self.ended(ended)?;
        }
        Ok(())
    }

    /// A layer that could not be merged leaves the merger busy for good.
    fn ended(&mut self, ended: MergeResult) -> Result<(), StoreError> {
        ended?;
        self.busy = false;
        Ok(())
    }
}

fn gone() -> StoreError {
    StoreError::Backend {
        context: "the store's merger has ended",
        detail: "what is journalled is merged when the store is opened again".to_owned(),
    }
}

impl Drop for Merger {
    /// Waits for the thread, which holds the tree, to end.
    fn drop(&mut self) {
        self.layers = None;
        if let Some(thread) = self.thread.take() {
            // A panic was told to the writer, which found the channel closed.
            let _ended = thread.join();
        }
    }
}
