//! The channels as a plan, the API and the command line see them.

use std::collections::BTreeMap;

use super::source::{ChannelTexts, of_versions};
use super::{LoadedChannel, Registry};
use crate::channel::certificates::CertificateTerm;
use crate::channel::file::ChannelFile;
use crate::channel::protocol;
use crate::channel::traffic::TrafficSlot;
use crate::config::mistake::{Mistake, Mistakes};
use crate::domain::attempt::VolumeKind;
use crate::domain::ids::ChannelId;
use crate::domain::route::RouteSubject;
use crate::domain::route::channel::{Channel, ChannelHealth, ChannelProfile, ChannelState};
use crate::domain::route::rates::{FoundRate, RateRow, Situation};
use crate::domain::terms::RateTerms;
use crate::domain::time::Timestamp;

/// A channel as the API and the command line show it.
#[derive(Debug, Clone)]
pub struct ChannelStatus {
    pub id: ChannelId,
    pub name: String,
    pub protocol: String,
    pub state: ChannelState,
    pub enabled: bool,
    pub operations: Vec<&'static str>,
    /// Empty means all.
    pub card_types: Vec<&'static str>,
    pub currencies: Vec<&'static str>,
    pub per_order_min_minor: i64,
    pub per_order_max_minor: i64,
    pub per_day_minor: Option<i64>,
    pub used_today_minor: i64,
    pub payouts_per_day_minor: Option<i64>,
    pub payouts_today_minor: i64,
    pub breaker_open: bool,
    pub success_rate_ppm: u32,
    pub has_room: bool,
    /// Ours and theirs, as far as they are known now; none where it is not connected.
    pub certificates: Vec<CertificateTerm>,
}

impl Registry {
    /// Runs `with` on the channels as a plan of the subject sees them, sorted by id.
    pub fn with_channels<T>(
        &self,
        subject: &RouteSubject<'_>,
        with: impl FnOnce(&[Channel<'_>]) -> T,
    ) -> T {
        let channels = self.channels.load();
        let (situation, now) = (Situation::of(subject), subject.now);
        let seen: Vec<Channel<'_>> = channels
            .values()
            .map(|loaded| Channel {
                profile: &loaded.profile,
                health: Self::health(loaded, situation, now),
            })
            .collect();
        with(&seen)
    }

    /// How success rates are kept.
    pub const fn rate_terms(&self) -> RateTerms {
        self.common.rates
    }

    /// What a channel has shown on orders of each kind, as this node knows it; the heaviest first.
    pub fn rates(&self, id: &ChannelId) -> Option<Vec<RateRow>> {
        let channels = self.channels.load();
        let rows = channels.get(id)?.runtime.rates().rows(self.clock.now());
        Some(rows)
    }

    /// Every channel's profile, by id, with its switch as on: what a replay of the past plans with.
    pub fn profiles(&self) -> Vec<ChannelProfile> {
        self.channels.load().values().map(|loaded| loaded.file.profile(true)).collect()
    }

    /// The profiles with these files in place of those of their names, or beside them. Nothing
    /// changes, and no credential is asked for: only what all protocols share is read.
    pub fn profiles_with(&self, texts: &ChannelTexts) -> Result<Vec<ChannelProfile>, Vec<Mistake>> {
        let mistakes = Mistakes::new();
        let mut profiles: BTreeMap<ChannelId, ChannelProfile> =
            self.profiles().into_iter().map(|profile| (profile.id.clone(), profile)).collect();
        for found in of_versions(texts, &mistakes) {
            let root = found.document.root(&mistakes);
            let file = ChannelFile::read(&root, found.id.clone(), &self.common);
            protocol::skip(&root, &file.protocol);
            root.finish();
            profiles.insert(found.id, file.profile(true));
        }
        mistakes.into_result()?;
        Ok(profiles.into_values().collect())
    }

    fn health(
        loaded: &LoadedChannel,
        situation: Option<Situation>,
        now: Timestamp,
    ) -> ChannelHealth {
        let found = situation.and_then(|one| loaded.runtime.rates().find(one, now));
        ChannelHealth {
            breaker_open: loaded.runtime.breaker.is_open(now),
            success_rate: found.unwrap_or_else(|| {
                FoundRate::of_health(loaded.runtime.breaker.success_rate_ppm(now))
            }),
            rate_left: loaded.pace.has_room(),
            used_today_minor: VolumeKind::ALL.map(|kind| match loaded.profile.limit_of_day(kind) {
                Some(_) => {
                    let today = loaded.terms.calendar.date_of(now);
                    loaded.runtime.volumes(kind).volume(today)
                }
                None => 0,
            }),
        }
    }

    pub fn statuses(&self) -> Vec<ChannelStatus> {
        let now = self.clock.now();
        self.channels.load().values().map(|loaded| self.describe(loaded, now)).collect()
    }

    pub fn status(&self, id: &ChannelId) -> Option<ChannelStatus> {
        let now = self.clock.now();
        self.channels.load().get(id).map(|loaded| self.describe(loaded, now))
    }

    fn describe(&self, loaded: &LoadedChannel, now: Timestamp) -> ChannelStatus {
        let file = &loaded.file;
        let today = loaded.terms.calendar.date_of(now);
        let connection = loaded.connection.as_ref();
        let types = file.abilities.card_types.iter().flatten();
        ChannelStatus {
            id: file.id.clone(),
            name: file.name.clone(),
            protocol: file.protocol.clone(),
            state: file.state,
            enabled: self.switches.is_on(&file.id),
            operations: file.abilities.operations.iter().map(|one| one.name()).collect(),
            card_types: types.map(|kind| kind.name()).collect(),
            currencies: file.abilities.currencies.iter().map(|one| one.name()).collect(),
            per_order_min_minor: file.limits.per_order_min_minor,
            per_order_max_minor: file.limits.per_order_max_minor,
            per_day_minor: file.limits.per_day_minor,
            used_today_minor: loaded.runtime.volumes(VolumeKind::Charges).volume(today),
            payouts_per_day_minor: file.limits.payouts_per_day_minor,
            payouts_today_minor: loaded.runtime.volumes(VolumeKind::Payouts).volume(today),
            breaker_open: loaded.runtime.breaker.is_open(now),
            success_rate_ppm: loaded.runtime.breaker.success_rate_ppm(now),
            has_room: loaded.pace.has_room(),
            certificates: connection.map(|one| one.certificates()).unwrap_or_default(),
        }
    }

    /// The last 24 hours of a channel, by slots, and from when on they were counted.
    pub fn traffic(&self, id: &ChannelId) -> Option<(Timestamp, Vec<TrafficSlot>)> {
        let channels = self.channels.load();
        let traffic = &channels.get(id)?.runtime.traffic;
        Some((traffic.since(), traffic.slots(self.clock.now())))
    }
}
