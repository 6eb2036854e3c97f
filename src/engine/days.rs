//! Which clearing days are closed, and how a day is closed while payments succeed.
//!
//! A success is decided on what is closed, and written a little later. So a close first shuts the
//! day for those who decide from then on, then waits for those who had decided before: after that
//! nobody can write a record of the day any more, and its sums stand. The store refuses such a
//! record too, whoever writes it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::domain::ids::ChannelId;
use crate::domain::time::BusinessDate;
use crate::store::{Store, StoreError};

/// How long a close waits for decisions that are under way: longer than any of them waits for the
/// store.
const DRAIN_PATIENCE: Duration = Duration::from_secs(60);
/// The pause between two looks at them.
const DRAIN_LOOK: Duration = Duration::from_millis(5);

/// What is known of a channel's days.
#[derive(Debug, Default)]
struct Channel {
    /// `None` until it was read.
    closed_through: Option<Option<BusinessDate>>,
    /// The day that is being closed.
    closing: Option<BusinessDate>,
    /// Held by each decision that was made on what stands here.
    deciding: Arc<()>,
    /// Those of closes that were given up before all had let go: the next close waits for them too.
    undrained: Vec<Arc<()>>,
}

impl Channel {
    fn closed(&self) -> Option<Option<BusinessDate>> {
        self.closed_through.map(|closed| closed.max(self.closing))
    }
}

/// The closed days of every channel, as this process knows them.
#[derive(Debug, Default)]
pub(super) struct Days {
    channels: Mutex<BTreeMap<ChannelId, Channel>>,
}

/// What a decision may rest on; to be held until it is written.
#[derive(Debug)]
pub(super) struct Deciding {
    pub(super) closed_through: Option<BusinessDate>,
    _held: Arc<()>,
}

/// A day that is shut for new decisions. Dropped without [`Self::closed`], it is open again.
#[derive(Debug)]
pub(super) struct Closing<'a> {
    days: &'a Days,
    channel: ChannelId,
    before: Vec<Arc<()>>,
}

impl Days {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<ChannelId, Channel>> {
        self.channels.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is closed, for one decision.
    pub(super) async fn decide(
        &self,
        channel: &ChannelId,
        store: &dyn Store,
    ) -> Result<Deciding, StoreError> {
        // Bounded: the second round finds what the first has read, unless a conflict came between.
        loop {
            if let Some(known) = self.lock().get(channel)
                && let Some(closed_through) = known.closed()
            {
                return Ok(Deciding { closed_through, _held: Arc::clone(&known.deciding) });
            }
            let read = store.closed_through(channel.clone()).await?;
            let mut channels = self.lock();
            let known = channels.entry(channel.clone()).or_default();
            // Someone may have closed a day since it was read.
            known.closed_through = Some(known.closed_through.flatten().max(read));
        }
    }

    /// What is known of a channel is read anew: a commit has met something else.
    pub(super) fn forget(&self, channel: &ChannelId) {
        if let Some(known) = self.lock().get_mut(channel) {
            known.closed_through = None;
        }
    }

    /// Shuts a day; `None` if one of the channel is being closed already.
    pub(super) fn close(&self, channel: &ChannelId, date: BusinessDate) -> Option<Closing<'_>> {
        let mut channels = self.lock();
        let known = channels.entry(channel.clone()).or_default();
        if known.closing.is_some() {
            return None;
        }
        known.closing = Some(date);
        let mut before = std::mem::take(&mut known.undrained);
        before.push(std::mem::take(&mut known.deciding));
        Some(Closing { days: self, channel: channel.clone(), before })
    }
}

impl Closing<'_> {
    /// Waits until everything that was decided before the day was shut is written, or given up.
    /// False if that takes too long.
    pub(super) async fn drained(&self) -> bool {
        let all_written = async {
            while self.before.iter().any(is_held) {
                tokio::time::sleep(DRAIN_LOOK).await;
            }
        };
        tokio::time::timeout(DRAIN_PATIENCE, all_written).await.is_ok()
    }

    /// The close is durable.
    pub(super) fn closed(self, date: BusinessDate) {
        if let Some(known) = self.days.lock().get_mut(&self.channel) {
            known.closed_through = known.closed_through.map(|closed| closed.max(Some(date)));
        }
    }
}

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        if let Some(known) = self.days.lock().get_mut(&self.channel) {
            known.closing = None;
            known.undrained.extend(self.before.drain(..).filter(is_held));
        }
    }
}

/// Whether a decision under way holds it, beside whoever waits for it.
fn is_held(deciding: &Arc<()>) -> bool {
    Arc::strong_count(deciding) > 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::memory::MemoryStore;

    fn date(yyyymmdd: u32) -> BusinessDate {
        BusinessDate::from_yyyymmdd(yyyymmdd).expect("a date")
    }

    #[tokio::test(start_paused = true)]
    async fn a_close_waits_for_those_who_decided_before_and_shuts_out_those_after() {
        let (days, store) = (Days::default(), MemoryStore::new());
        let channel = ChannelId::from_stored("bank");
        let day = date(20_261_122);
        let before = days.decide(&channel, &store).await.expect("a read");
        assert_eq!(before.closed_through, None);
        let closing = days.close(&channel, day).expect("nobody else closes");
        assert!(days.close(&channel, day).is_none(), "one at a time");
        let after = days.decide(&channel, &store).await.expect("a read");
        assert_eq!(after.closed_through, Some(day));
        assert!(!closing.drained().await, "the first one is still under way");
        drop(before);
        assert!(closing.drained().await, "the later one does no harm");
        closing.closed(day);
        let later = days.decide(&channel, &store).await.expect("a read");
        assert_eq!(later.closed_through, Some(day));
        // The store does not know of it, since nothing was written there.
        days.forget(&channel);
        let read = days.decide(&channel, &store).await.expect("a read");
        assert_eq!(read.closed_through, None);
    }

    #[tokio::test(start_paused = true)]
    async fn who_outlasted_one_close_is_waited_for_by_the_next() {
        let (days, store) = (Days::default(), MemoryStore::new());
        let channel = ChannelId::from_stored("bank");
        let before = days.decide(&channel, &store).await.expect("a read");
        for _ in 0..3 {
            let closing = days.close(&channel, date(20_261_122)).expect("nobody else closes");
            assert!(!closing.drained().await, "it may still write into the day");
        }
        drop(before);
        let closing = days.close(&channel, date(20_261_122)).expect("nobody else closes");
        assert!(closing.drained().await);
    }

    #[tokio::test]
    async fn a_close_that_is_given_up_opens_the_day_again() {
        let (days, store) = (Days::default(), MemoryStore::new());
        let channel = ChannelId::from_stored("bank");
        drop(days.close(&channel, date(20_261_122)));
        let decided = days.decide(&channel, &store).await.expect("a read");
        assert_eq!(decided.closed_through, None);
        assert!(days.close(&channel, date(20_261_122)).is_some());
    }
}
