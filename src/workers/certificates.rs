//! Watches how long the certificates of channels and listeners still hold: a gauge for each, and a
//! line in the log at the start and once a day from some weeks before the end on. A payment finds
//! out too late.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::channel::certificates::{CertificateState, CertificateTerm, CertificateUse, longest};
use crate::channel::registry::Registry;
use crate::clock::Timekeeper;
use crate::domain::time::Timestamp;
use crate::telemetry;
use crate::workers::driver::{Tasks, Worker};

/// A reload or a new signer of theirs is seen after so long.
pub const LOOKED_FOR_EVERY: Duration = Duration::from_secs(60);
/// The same complaint is logged again after so long.
const TOLD_AGAIN_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

/// Who has certificates beside the channels.
pub trait CertificateHolder: Send + 'static {
    fn name(&self) -> &'static str;

    /// Takes certificates anew that have changed, and gives how long those in force hold.
    fn look(&self, now: Timestamp) -> Vec<CertificateTerm>;
}

/// A channel or listener by its name.
type CertificateOwner = (&'static str, String);

/// The complaints that were logged, and when. They are forgotten with the process: the next start
/// logs every complaint again.
#[derive(Debug, Default)]
struct Complaints {
    at: BTreeMap<(CertificateOwner, CertificateUse), (String, bool, Timestamp)>,
}

impl Complaints {
    /// Whether a complaint is due: the complaint is new, its certificate has ended since, or a day
    /// has passed.
    fn is_due(&mut self, owner: &CertificateOwner, term: &CertificateTerm, now: Timestamp) -> bool {
        let key = (owner.clone(), term.usage);
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

/// Looks at the terms of certificates.
pub struct CertificateWorker<H> {
    registry: Arc<Registry>,
    holders: Vec<H>,
    clock: Timekeeper,
    complaints: Complaints,
    /// Whose gauges the last round has set.
    shown: BTreeSet<(CertificateOwner, &'static str)>,
}

impl<H> CertificateWorker<H> {
    pub fn new(registry: Arc<Registry>, holders: Vec<H>, clock: Timekeeper) -> Self {
        let (complaints, shown) = (Complaints::default(), BTreeSet::new());
        Self { registry, holders, clock, complaints, shown }
    }
}

impl<H: CertificateHolder> Worker for CertificateWorker<H> {
    const NAME: &'static str = "certificates";

    async fn round(&mut self, _: &mut Tasks) -> usize {
        let now = self.clock.now();
        let of_channels = self.registry.certificates().into_iter();
        let of_channels =
            of_channels.map(|(channel, terms)| (("channel", channel.as_str().to_owned()), terms));
        let holders = self.holders.iter();
        let of_holders =
            holders.map(|holder| (("listener", holder.name().to_owned()), holder.look(now)));
        let mut shown = BTreeSet::new();
        for (owner, terms) in of_channels.chain(of_holders) {
            for usage in look(&owner, &terms, &mut self.complaints, now) {
                shown.insert((owner.clone(), usage));
            }
        }
        for ((kind, name), usage) in self.shown.difference(&shown) {
            telemetry::gauge_certificate((kind, name), usage, None);
        }
        let count = shown.len();
        self.shown = shown;
        count
    }
}

/// Of each use, the certificate that holds longest counts: others may end, being replaced. Gives
/// the uses.
fn look(
    owner: &CertificateOwner,
    terms: &[CertificateTerm],
    complaints: &mut Complaints,
    now: Timestamp,
) -> Vec<&'static str> {
    let counted = longest(terms);
    for term in &counted {
        let (kind, name) = (owner.0, owner.1.as_str());
        telemetry::gauge_certificate((kind, name), term.usage.name(), Some(term.days_left(now)));
        let Some(complaint) = term.complaint(now) else { continue };
        if !complaints.is_due(owner, term, now) {
            continue;
        }
        let which = term.usage.name();
        if matches!(term.standing(now), CertificateState::EndsSoon { .. }) {
            tracing::warn!(
                of = kind,
                name,
                which,
                complaint,
                "a certificate ends soon: replace it before what needs it stops"
            );
        } else {
            tracing::error!(
                of = kind,
                name,
                which,
                complaint,
                "a certificate does not hold: what needs it is not sent or not believed"
            );
        }
    }
    counted.iter().map(|term| term.usage.name()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_told_once_a_day_and_when_it_ends() {
        let (mut complaints, day) = (Complaints::default(), TOLD_AGAIN_AFTER);
        let channel = ("channel", "a".to_owned());
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
