//! Watches how long the channels' certificates still hold: a gauge for each, and a line in the log
//! at the start and once a day from some weeks before the end on. A payment finds out too late.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::channel::certificates::{CertificateState, CertificateTerm, CertificateUse, longest};
use crate::channel::registry::Registry;
use crate::clock::Timekeeper;
use crate::domain::ids::ChannelId;
use crate::domain::time::Timestamp;
use crate::telemetry;
use crate::workers::driver::{Tasks, Worker};

/// A reload or a new signer of theirs is seen after so long.
pub const LOOKED_FOR_EVERY: Duration = Duration::from_secs(60);
/// The same complaint is logged again after so long.
const TOLD_AGAIN_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

/// The complaints that were logged, and when. They are forgotten with the process: the next start
/// logs every complaint again.
#[derive(Debug, Default)]
struct Complaints {
    at: BTreeMap<(ChannelId, CertificateUse), (String, bool, Timestamp)>,
}

impl Complaints {
    /// Whether a complaint is due: the complaint is new, its certificate has ended since, or a day
    /// has passed.
    fn is_due(&mut self, channel: &ChannelId, term: &CertificateTerm, now: Timestamp) -> bool {
        let key = (channel.clone(), term.usage);
        let ended = term.standing(now) == CertificateState::Ended;
        let is_known = self.at.get(&key).is_some_and(|(serial, had_ended, at)| {
            // A complaint of a later time was logged by a clock that has been set back since.
            let is_fresh = *at <= now && now.since(*at) < TOLD_AGAIN_AFTER;
            *serial == term.serial && *had_ended == ended && is_fresh
        });
        if !is_known {
            self.at.insert(key, (term.serial.clone(), ended, now));
        }
        !is_known
    }
}

/// Looks at the terms of the channels' certificates.
pub struct CertificateWorker {
    registry: Arc<Registry>,
    clock: Timekeeper,
    complaints: Complaints,
}

impl CertificateWorker {
    pub fn new(registry: Arc<Registry>, clock: Timekeeper) -> Self {
        Self { registry, clock, complaints: Complaints::default() }
    }
}

impl Worker for CertificateWorker {
    const NAME: &'static str = "certificates";

    async fn round(&mut self, _: &mut Tasks) -> usize {
        look(&self.registry, &mut self.complaints, self.clock.now())
    }
}

/// Of each use, the certificate that holds longest counts: others may end, being replaced.
fn look(registry: &Registry, complaints: &mut Complaints, now: Timestamp) -> usize {
    let mut looked_at = 0;
    for (channel, terms) in registry.certificates() {
        for term in longest(&terms) {
            looked_at += 1;
            telemetry::gauge_certificate(&channel, term.usage.name(), term.days_left(now));
            let Some(complaint) = term.complaint(now) else { continue };
            if !complaints.is_due(&channel, term, now) {
                continue;
            }
            if matches!(term.standing(now), CertificateState::EndsSoon { .. }) {
                tracing::warn!(
                    channel.name = %channel, which = term.usage.name(), complaint,
                    "a certificate ends soon: replace it before the channel stops"
                );
            } else {
                tracing::error!(
                    channel.name = %channel, which = term.usage.name(), complaint,
                    "a certificate does not hold: what needs it is not sent or not believed"
                );
            }
        }
    }
    looked_at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_told_once_a_day_and_when_it_ends() {
        let (mut complaints, day) = (Complaints::default(), TOLD_AGAIN_AFTER);
        let channel = ChannelId::parse("a").expect("an id");
        let mut term = CertificateTerm {
            usage: CertificateUse::Signing,
            serial: "1".to_owned(),
            valid_from_s: 0,
            valid_until_s: 1_000_000,
        };
        let start = Timestamp::from_millis(1_000_000_000 - 1_000);
        assert!(complaints.is_due(&channel, &term, start));
        assert!(!complaints.is_due(&channel, &term, start));
        let over = start.plus(Duration::from_secs(2));
        assert!(complaints.is_due(&channel, &term, over), "it has ended since");
        assert!(!complaints.is_due(&channel, &term, over));
        assert!(complaints.is_due(&channel, &term, over.plus(day)));
        assert!(complaints.is_due(&channel, &term, over), "the clock was set back");
        term.serial = "2".to_owned();
        assert!(complaints.is_due(&channel, &term, over.plus(day)), "another one");
    }
}
