//! What the books tell at a start of the channels' health and volumes.

use super::{LoadedChannel, Registry};
use crate::domain::attempt::{Attempt, VolumeKind};
use crate::domain::money::AmountMinor;
use crate::domain::route::health::HealthMark;
use crate::domain::time::Timestamp;

impl Registry {
    /// Takes one attempt into account that the books have from before the start: what it says of
    /// its channel's health, and what it takes of the channel's current clearing day. To be called
    /// in the order in which they were sent.
    pub fn recall(&self, attempt: &Attempt, amount: AmountMinor) {
        let channels = self.channels.load();
        let Some(loaded) = channels.get(&attempt.channel) else { return };
        let mark = HealthMark::of_attempt(attempt);
        loaded.runtime.breaker.record(mark, loaded.file.breaker, attempt.sent_at);
        // The other nodes know better how the channel does now, and what is taken of its days.
        let _old = loaded.runtime.breaker.news();
        if self.shares.get().is_some() {
            return;
        }
        let (present, calendar) = (self.clock.present(), &loaded.terms.calendar);
        let today = present.dates(calendar, present.now());
        let dates = present.dates(calendar, attempt.sent_at);
        if let Some(kind) = attempt.takes_volume()
            && today.iter().any(|date| dates.contains(date))
        {
            loaded.runtime.volumes(kind).take(dates, amount.get(), None);
        }
    }

    /// The beginning of the earliest clearing day that may be under way at a channel with a limit
    /// for the day, by the clock or by what is borne out; `None` where no channel has one, or
    /// nodes share them.
    pub fn limited_since(&self) -> Option<Timestamp> {
        if self.shares.get().is_some() {
            return None;
        }
        let present = self.clock.present();
        let now = present.now().min(present.proven());
        let channels = self.channels.load();
        let is_limited = |kind, of: &LoadedChannel| of.profile.limit_of_day(kind).is_some();
        let limited = channels
            .values()
            .filter(|loaded| VolumeKind::ALL.into_iter().any(|kind| is_limited(kind, loaded)));
        let begun = limited.filter_map(|loaded| {
            let calendar = &loaded.terms.calendar;
            calendar.beginning_of(calendar.date_of(now))
        });
        begun.min()
    }
}
