//! What a channel has learnt about itself while the process runs.

use std::sync::{Mutex, PoisonError};

use crate::channel::breaker::Breaker;
use crate::channel::watch::objections::ObjectionLog;
use crate::domain::time::{BusinessDate, Timestamp};

/// What a channel has learnt about itself while the process runs, whatever its file says.
pub(super) struct Runtime {
    pub(super) breaker: Breaker,
    /// Who is not believed, in answers and in notices.
    pub(super) answer_objections: ObjectionLog,
    pub(super) notice_objections: ObjectionLog,
    /// The clearing day and what was taken in it, in minor units.
    day: Mutex<(Option<BusinessDate>, i64)>,
}

impl Runtime {
    pub(super) fn new(now: Timestamp) -> Self {
        Self {
            breaker: Breaker::new(now),
            answer_objections: ObjectionLog::default(),
            notice_objections: ObjectionLog::default(),
            day: Mutex::new((None, 0)),
        }
    }

    pub(super) fn used(&self, today: BusinessDate) -> i64 {
        let day = self.day.lock().unwrap_or_else(PoisonError::into_inner);
        if day.0 == Some(today) { day.1 } else { 0 }
    }

    /// Takes a part of a day's volume, before anything is sent. False, and nothing is taken, where
    /// more than `limit` would be.
    pub(super) fn take(&self, date: BusinessDate, minor: i64, limit: Option<i64>) -> bool {
        let mut day = self.day.lock().unwrap_or_else(PoisonError::into_inner);
        // What was named before the cut-off and is sent behind it belongs to the day that is over.
        if day.0.is_some_and(|known| known > date) {
            return true;
        }
        if day.0 != Some(date) {
            *day = (Some(date), 0);
        }
        let taken = day.1.saturating_add(minor);
        if limit.is_some_and(|limit| taken > limit) {
            return false;
        }
        day.1 = taken;
        true
    }

    pub(super) fn give_back(&self, date: BusinessDate, minor: i64) {
        let mut day = self.day.lock().unwrap_or_else(PoisonError::into_inner);
        if day.0 == Some(date) {
            day.1 = day.1.saturating_sub(minor).max(0);
        }
    }
}
