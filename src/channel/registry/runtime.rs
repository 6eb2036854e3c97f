//! The state of a channel that lives as long as the process.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::channel::traffic::Traffic;
use crate::channel::transport::breaker::Breaker;
use crate::channel::transport::objections::ObjectionLog;
use crate::channel::transport::volume::DayVolumes;
use crate::domain::attempt::VolumeKind;
use crate::domain::ids::ChannelId;
use crate::domain::route::rates::RateTable;
use crate::domain::terms::RateTerms;
use crate::domain::time::Timestamp;
use crate::telemetry::CallMetrics;

/// The state of a channel that lives as long as the process, whatever its file says.
pub(super) struct Runtime {
    pub(super) breaker: Breaker,
    /// How well it serves orders of each kind, for the plans of this process.
    rates: Mutex<RateTable>,
    pub(super) calls: CallMetrics,
    /// For people who look at the day.
    pub(super) traffic: Traffic,
    /// Who is not believed, in answers and in notices.
    pub(super) answer_objections: ObjectionLog,
    pub(super) notice_objections: ObjectionLog,
    /// Taken on the clearing days that may be today.
    pub(super) volumes: [DayVolumes; VolumeKind::ALL.len()],
}

impl Runtime {
    pub(super) fn new(channel: ChannelId, rates: RateTerms, now: Timestamp) -> Self {
        Self {
            breaker: Breaker::new(now),
            rates: Mutex::new(RateTable::new(rates)),
            calls: CallMetrics::of(channel),
            traffic: Traffic::new(now),
            answer_objections: ObjectionLog::default(),
            notice_objections: ObjectionLog::default(),
            volumes: VolumeKind::ALL.map(DayVolumes::new),
        }
    }

    /// Held for as long as one look-up or one sample takes.
    pub(super) fn rates(&self) -> MutexGuard<'_, RateTable> {
        self.rates.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) const fn volumes(&self, kind: VolumeKind) -> &DayVolumes {
        &self.volumes[kind as usize]
    }
}
