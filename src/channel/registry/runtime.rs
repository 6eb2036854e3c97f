//! The state of a channel that lives as long as the process.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::channel::transport::breaker::Breaker;
use crate::channel::transport::objections::ObjectionLog;
use crate::domain::ids::ChannelId;
use crate::domain::time::{BusinessDate, Timestamp};
use crate::telemetry::CallMetrics;

/// The state of a channel that lives as long as the process, whatever its file says.
pub(super) struct Runtime {
    pub(super) breaker: Breaker,
    pub(super) calls: CallMetrics,
    /// Who is not believed, in answers and in notices.
    pub(super) answer_objections: ObjectionLog,
    pub(super) notice_objections: ObjectionLog,
    /// Amounts taken on the clearing days that may be today, in minor units.
    days: Mutex<BTreeMap<BusinessDate, i64>>,
}

impl Runtime {
    pub(super) fn new(channel: ChannelId, now: Timestamp) -> Self {
        Self {
            breaker: Breaker::new(now),
            calls: CallMetrics::of(channel),
            answer_objections: ObjectionLog::default(),
            notice_objections: ObjectionLog::default(),
            days: Mutex::default(),
        }
    }

    pub(super) fn volume(&self, today: BusinessDate) -> i64 {
        self.days().get(&today).copied().unwrap_or(0)
    }

    /// Takes a part of a day's volume, before anything is sent. False, and nothing is taken, where
    /// more than `limit` would be.
    ///
    /// `dates` are what it may be of, by the clock and by what is borne out. The first one's limit
    /// holds; it counts in both, so that the volume of a day is whole when a clock that ran ahead
    /// is set right.
    pub(super) fn take(&self, dates: [BusinessDate; 2], minor: i64, limit: Option<i64>) -> bool {
        let mut days = self.days();
        let taken = days.get(&dates[0]).map_or(minor, |known| known.saturating_add(minor));
        if limit.is_some_and(|limit| taken > limit) {
            return false;
        }
        for date in BTreeSet::from(dates) {
            let taken = days.entry(date).or_default();
            *taken = taken.saturating_add(minor);
        }
        true
    }

    pub(super) fn give_back(&self, dates: [BusinessDate; 2], minor: i64) {
        let mut days = self.days();
        for date in BTreeSet::from(dates) {
            if let Some(taken) = days.get_mut(&date) {
                *taken = taken.saturating_sub(minor).max(0);
            }
        }
    }

    /// Forgets all days but those from the one before what is borne out up to the clock's: days
    /// that are over, and days to come, of which only a clock ahead of its time has taken a part.
    pub(super) fn keep_days(&self, [shown, proven]: [BusinessDate; 2]) {
        self.days().retain(|date, _| (proven.previous()..=shown.max(proven)).contains(date));
    }

    fn days(&self) -> MutexGuard<'_, BTreeMap<BusinessDate, i64>> {
        self.days.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
