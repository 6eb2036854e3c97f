//! Which clearing days are shut, as this process knows it.
//!
//! A success is decided on that, and written a little later. A day that was shut in between is a
//! conflict: the days are read anew, and the success is decided again.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::domain::ids::ChannelId;
use crate::domain::time::BusinessDate;
use crate::store::{Store, StoreError};

/// The last day of each channel that takes no records any more.
#[derive(Debug, Default)]
pub(super) struct ShutDayCache {
    shut_through: Mutex<BTreeMap<ChannelId, Option<BusinessDate>>>,
}

impl ShutDayCache {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<ChannelId, Option<BusinessDate>>> {
        self.shut_through.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) async fn shut_through(
        &self,
        channel: &ChannelId,
        store: &dyn Store,
    ) -> Result<Option<BusinessDate>, StoreError> {
        if let Some(known) = self.lock().get(channel) {
            return Ok(*known);
        }
        let read = store.clearing_days(channel.clone()).await?.shut_through;
        self.lock().insert(channel.clone(), read);
        Ok(read)
    }

    /// Drops a channel's day, which is then read anew: a day was shut.
    pub(super) fn forget(&self, channel: &ChannelId) {
        self.lock().remove(channel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::write_set::WriteSet;
    use crate::store::memory::MemoryStore;

    #[tokio::test]
    async fn what_is_shut_is_read_once_until_it_is_forgotten() {
        let (days, store) = (ShutDayCache::default(), MemoryStore::new());
        let channel = ChannelId::from_stored("bank");
        let date = BusinessDate::from_yyyymmdd(20_261_122).expect("a date");
        let known = async || days.shut_through(&channel, &store).await.expect("a read");
        assert_eq!(known().await, None);
        let shut = vec![(channel.clone(), date)];
        store.commit(&WriteSet { shut, ..WriteSet::default() }).await.expect("it is written");
        assert_eq!(known().await, None, "a decision on it is a conflict");
        days.forget(&channel);
        assert_eq!(known().await, Some(date));
    }
}
