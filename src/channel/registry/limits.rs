//! The limits and switches of the channels where several nodes share them: what a request needs of
//! the others before it is sent, and what is told and learnt with each renewal of the lease.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::{LoadedChannel, Registry, changes};
use crate::channel::shares::{ChannelShares, SharesError};
use crate::channel::transport::breaker::Admission;
use crate::channel::transport::volume::DayVolumes;
use crate::domain::attempt::VolumeKind;
use crate::domain::cluster::ChannelStandings;
use crate::domain::ids::ChannelId;
use crate::domain::time::{BusinessDate, Timestamp};

/// The pause before the others are asked again for a part of a limit.
const ASKED_AGAIN_AFTER: Duration = Duration::from_millis(50);

/// Why a switch could not be thrown: it stays as it was.
#[derive(Debug, thiserror::Error)]
pub enum SwitchError {
    #[error("the file of switches cannot be written")]
    Disk(#[from] std::io::Error),
    #[error(transparent)]
    Shares(#[from] SharesError),
    #[error("the thread that writes the file of switches has died")]
    Died,
}

impl Registry {
    /// From now on limits and switches are those of all nodes. Once, before any request.
    pub fn share_with(&self, shares: Arc<dyn ChannelShares>) {
        let _first = self.shares.set(shares);
    }

    /// Whether an order may go to a channel that may be failing.
    pub(super) async fn is_admitted(&self, loaded: &LoadedChannel, now: Timestamp) -> bool {
        let breaker = &loaded.runtime.breaker;
        match breaker.admits(now) {
            Admission::Open => return true,
            Admission::Shut => return false,
            Admission::Probe => {}
        }
        let Some(shares) = self.shares.get() else { return true };
        let open_for = loaded.file.breaker.open_for;
        let next = now.plus(open_for);
        match shares.claim_probe(&loaded.file.id, now, next).await {
            Ok(is_ours) => {
                breaker.probe_is_claimed(is_ours, next, open_for);
                is_ours
            }
            Err(error) => {
                breaker.gives_probe_up();
                tracing::warn!(channel.name = %loaded.file.id, %error, "no probe is sent");
                false
            }
        }
    }

    /// Takes an order's part of the day's volume, before it is sent. Where nodes share it and
    /// cannot be asked, the order waits for that as it would for its turn.
    pub(super) async fn takes_volume(
        &self,
        loaded: &LoadedChannel,
        kind: VolumeKind,
        dates: [BusinessDate; 2],
        minor: i64,
    ) -> Result<bool, SharesError> {
        let (volumes, limit) = (loaded.runtime.volumes(kind), loaded.profile.limit_of_day(kind));
        let Some(shares) = self.shares.get() else {
            let present = self.clock.present();
            volumes.keep_days(present.dates(&loaded.terms.calendar, present.now()));
            return Ok(volumes.take(dates, minor, limit));
        };
        let waits = loaded.file.pace.wait_max.as_millis() / ASKED_AGAIN_AFTER.as_millis();
        let mut tries = waits.saturating_add(1);
        loop {
            match volumes.draw(&**shares, &loaded.file.id, dates, minor, limit).await {
                Err(_) if tries > 1 => {
                    tries -= 1;
                    tokio::time::sleep(ASKED_AGAIN_AFTER).await;
                }
                drawn => return drawn,
            }
        }
    }

    pub(super) fn gives_back(
        &self,
        loaded: &LoadedChannel,
        kind: VolumeKind,
        dates: [BusinessDate; 2],
        minor: i64,
    ) {
        let volumes = loaded.runtime.volumes(kind);
        match self.shares.get() {
            None => volumes.give_back(dates, minor),
            Some(_) => volumes.return_to_all(dates, minor),
        }
    }

    /// Tells the other nodes what they have to know of the channels here, and learns the same of
    /// them. `all`: gives back all that is held of the days' limits, too, at a stop. Nothing to do
    /// in a process that has its books to itself.
    pub async fn exchange(&self, all: bool) -> Result<(), SharesError> {
        let Some(shares) = self.shares.get() else { return Ok(()) };
        let channels = self.channels.load_full();
        for (id, loaded) in &*channels {
            let breaker = &loaded.runtime.breaker;
            if let Some(open_until) = breaker.news() {
                let told = shares.tell_breaker(id, open_until).await;
                told.inspect_err(|_| breaker.keeps_news())?;
            }
            for volumes in &loaded.runtime.volumes {
                let limit = loaded.profile.limit_of_day(volumes.kind());
                volumes.exchange(&**shares, id, self.days_of(loaded), limit, all).await?;
            }
        }
        let changes = |loaded: &Arc<LoadedChannel>| {
            loaded.runtime.volumes.each_ref().map(DayVolumes::changes)
        };
        let before: Vec<_> = channels.values().map(changes).collect();
        let standings = shares.standings().await?;
        for ((id, loaded), changes) in channels.iter().zip(before) {
            self.learn(id, loaded, changes, &standings);
        }
        self.take_switches(standings.off);
        Ok(())
    }

    /// Today at a channel, by the clock and by what is borne out.
    fn days_of(&self, loaded: &LoadedChannel) -> [BusinessDate; 2] {
        let present = self.clock.present();
        present.dates(&loaded.terms.calendar, present.now())
    }

    /// `changes`: how often the volumes had changed here before the standings were read.
    fn learn(
        &self,
        id: &ChannelId,
        loaded: &LoadedChannel,
        changes: [u64; VolumeKind::ALL.len()],
        standings: &ChannelStandings,
    ) {
        for date in BTreeSet::from(self.days_of(loaded)) {
            for (volumes, changes) in loaded.runtime.volumes.iter().zip(changes) {
                let day = (id.clone(), volumes.kind(), date);
                let sum = standings.volumes.get(&day).copied().unwrap_or(0);
                volumes.learn(changes, date, sum);
            }
        }
        if let Some(open_until) = standings.breakers.get(id) {
            let open_for = loaded.file.breaker.open_for;
            changes::breaker_elsewhere(id, loaded.runtime.breaker.learn(*open_until, open_for));
        }
    }

    /// Puts the switches of all nodes in force here.
    fn take_switches(&self, off: BTreeSet<ChannelId>) {
        let _one_at_a_time = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        if self.switches.replace(off) {
            self.throw_switches();
        }
    }

    /// Switches a channel on or off, durably. `Ok(false)` if there is no such channel.
    pub async fn switch(
        self: &Arc<Self>,
        id: &ChannelId,
        enabled: bool,
    ) -> Result<bool, SwitchError> {
        let Some(shares) = self.shares.get() else {
            let (registry, id) = (Arc::clone(self), id.clone());
            let written = tokio::task::spawn_blocking(move || registry.set_enabled(&id, enabled));
            return Ok(written.await.map_err(|_| SwitchError::Died)??);
        };
        if !self.channels.load().contains_key(id) {
            return Ok(false);
        }
        shares.throw_switch(id, enabled).await?;
        let mut off = self.switches.off();
        if enabled {
            off.remove(id);
        } else {
            off.insert(id.clone());
        }
        self.take_switches(off);
        Ok(true)
    }
}
