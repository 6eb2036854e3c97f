//! Keeps reads from seeing rows that are not durable yet (I-12).
//!
//! The writer announces the keys of a group before it applies them, and ends the group after the
//! sync. A reader first reads and then asks: if the group under way writes a key that it has read,
//! what it has may not be durable, and it waits for the group's end. Asking after reading is what
//! makes it right: a row that was found came from a group that is either still announced, or
//! durable. Nobody holds a lock while waiting, and no runtime thread blocks.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::store::StoreError;
use crate::store::plan::Writes;

/// What a read must wait for: the end of the group with this number.
pub(super) type Wait = Option<u64>;

/// How far the writer has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Progress {
    /// The last group that is durable.
    durable: u64,
    /// The group after it will never be.
    failed: bool,
}

pub(super) struct Barrier {
    under_way: Mutex<Option<(u64, Arc<Writes>)>>,
    progress: watch::Sender<Progress>,
}

impl Barrier {
    pub(super) fn new() -> Self {
        let progress = watch::Sender::new(Progress { durable: 0, failed: false });
        Self { under_way: Mutex::new(None), progress }
    }

    /// Announces a group, before anything of it is applied.
    pub(super) fn begin(&self, writes: Arc<Writes>) {
        let group = self.progress.borrow().durable + 1;
        *self.lock() = Some((group, writes));
    }

    /// The group is durable.
    pub(super) fn end(&self) {
        *self.lock() = None;
        self.progress.send_modify(|progress| progress.durable += 1);
    }

    /// The group under way will never be durable. Its keys stay announced for good.
    pub(super) fn fail(&self) {
        self.progress.send_modify(|progress| progress.failed = true);
    }

    /// What someone who has read `keys` must wait for.
    pub(super) fn after_keys(&self, keys: &[Vec<u8>]) -> Wait {
        let under_way = self.lock();
        let (group, writes) = under_way.as_ref()?;
        keys.iter().any(|key| writes.contains_key(key)).then_some(*group)
    }

    /// What someone who has read a range must wait for.
    pub(super) fn after_range(&self) -> Wait {
        self.lock().as_ref().map(|(group, _)| *group)
    }

    pub(super) async fn wait(&self, wait: Wait) -> Result<(), StoreError> {
        let Some(group) = wait else { return Ok(()) };
        let mut progress = self.progress.subscribe();
        let settled = |now: &Progress| now.durable >= group || now.failed;
        let now = progress.wait_for(settled).await.map(|now| *now);
        match now {
            Ok(now) if now.durable >= group => Ok(()),
            Ok(_) | Err(_) => Err(StoreError::Backend {
                context: "the store has failed",
                detail: "a row that was read is not known to be durable".to_owned(),
            }),
        }
    }

    /// Every holder leaves the value whole, so a panic elsewhere does not matter here.
    fn lock(&self) -> MutexGuard<'_, Option<(u64, Arc<Writes>)>> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn group(key: &[u8]) -> Arc<Writes> {
        Arc::new([(key.to_vec(), None)].into())
    }

    #[test]
    fn i_12_a_read_waits_for_the_group_that_writes_its_key() {
        let barrier = Barrier::new();
        assert_eq!(barrier.after_keys(&[b"a".to_vec()]), None);
        assert_eq!(barrier.after_range(), None);
        barrier.begin(group(b"a"));
        assert_eq!(barrier.after_keys(&[b"b".to_vec()]), None);
        let wait = barrier.after_keys(&[b"b".to_vec(), b"a".to_vec()]);
        assert_eq!(wait, Some(1));
        assert_eq!(barrier.after_range(), Some(1));
        let mut waiting = Box::pin(barrier.wait(wait));
        assert!(waiting.as_mut().now_or_never().is_none(), "the group is not durable");
        barrier.end();
        assert!(matches!(waiting.now_or_never(), Some(Ok(()))));
        assert_eq!(barrier.after_keys(&[b"a".to_vec()]), None);
    }

    #[test]
    fn i_12_what_a_failed_group_wrote_is_not_read() {
        let barrier = Barrier::new();
        barrier.begin(group(b"a"));
        barrier.fail();
        let wait = barrier.after_keys(&[b"a".to_vec()]);
        assert!(matches!(barrier.wait(wait).now_or_never(), Some(Err(_))));
        let wait = barrier.after_range();
        assert!(matches!(barrier.wait(wait).now_or_never(), Some(Err(_))));
        assert_eq!(barrier.after_keys(&[b"b".to_vec()]), None, "older rows are still durable");
    }
}
