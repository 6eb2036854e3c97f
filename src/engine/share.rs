//! This node among those that share the books: its lease, its part of the work, and the fencing of
//! nodes that are gone.
//!
//! A process that has its books to itself holds no lease, and does all of the work.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::domain::cluster::{
    ACTS_FOR, Incarnation, LEASE, NodePart, PartInForce, Queue, Roster, Work, WorkTrade,
};
use crate::domain::ids::{ChannelId, SHARDS, Shards};
use crate::domain::time::Timestamp;
use crate::engine::{Engine, EngineError};
use crate::telemetry;

/// The part of the work that this node has taken.
#[derive(Default)]
pub(super) struct NodeShare(Arc<Mutex<HeldWork>>);

/// Keeps this node's hold on a part of the work that takes longer than a look, so that no other
/// node begins it meanwhile.
pub struct WorkHold {
    work: Work,
    held: Arc<Mutex<HeldWork>>,
}

impl Drop for WorkHold {
    fn drop(&mut self) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = held.under_way.iter().position(|work| *work == self.work) {
            held.under_way.swap_remove(place);
        }
    }
}

#[derive(Default)]
struct HeldWork {
    work: BTreeSet<Work>,
    /// What is being done: it is not given up.
    under_way: Vec<Work>,
    /// The nodes at the last renewal.
    roster: Option<Roster>,
    /// Since when, by the store's clock, this node has renewed its lease without a gap.
    unbroken_since: Option<Timestamp>,
    part: PartInForce,
    /// This node's part of the channels' limits, and the epoch that it is of.
    given: Option<(NodePart, u64)>,
}

impl NodeShare {
    fn lock(&self) -> MutexGuard<'_, HeldWork> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HeldWork {
    /// What this node gives up and takes now. What it gives up it has laid down when this returns.
    fn trade(&mut self, me: Incarnation, all: &BTreeSet<Work>) -> WorkTrade {
        let mut trade =
            self.roster.as_ref().map(|roster| roster.trade(me, all)).unwrap_or_default();
        trade.give_up.retain(|work| !self.under_way.contains(work));
        for work in &trade.give_up {
            self.work.remove(work);
        }
        trade
    }

    /// Takes what a renewal has brought, and gives the nodes that this one may fence.
    fn renewed(&mut self, me: Incarnation, roster: Roster) -> Vec<Incarnation> {
        let last = self.roster.as_ref().map(|roster| roster.now);
        if last.is_none_or(|last| roster.now.since(last) > LEASE) {
            self.unbroken_since = None;
        }
        let since = *self.unbroken_since.get_or_insert(roster.now);
        self.work = roster.held_by(me).cloned().collect();
        self.given = Some((self.part.next(me, &roster), roster.epoch));
        // A store that stood still makes every lease look ended. Who has renewed without a gap for
        // a whole lease knows that the others could have, too.
        let may_fence = roster.now.since(since) > LEASE;
        let expired = roster.expired().filter(|one| may_fence && *one != me).collect();
        self.roster = Some(roster);
        expired
    }
}

/// All of the work that there is.
fn all_work(channels: &[ChannelId]) -> BTreeSet<Work> {
    let shards = |queue| (0..SHARDS).map(move |shard| Work::Shard(queue, shard));
    let of_channel = |channel: &ChannelId| {
        [Work::Close, Work::Reconciliation, Work::SignOn].map(|work| work(channel.clone()))
    };
    let queues = Queue::ALL.into_iter().flat_map(shards);
    let single = [Work::Suspense, Work::Recovery, Work::BinTable];
    queues.chain(channels.iter().flat_map(of_channel)).chain(single).collect()
}

impl Engine {
    /// The shards of a queue that this node works now.
    pub fn shards(&self, queue: Queue) -> Shards {
        let Some(lease) = self.clock.lease() else { return Shards::EVERY };
        if !lease.is_in_force() {
            return Shards::NONE;
        }
        self.share.lock().work.iter().fold(Shards::NONE, |shards, work| match work {
            Work::Shard(of, shard) if *of == queue => shards.with(*shard),
            _ => shards,
        })
    }

    /// Whether a part of the work is this node's now.
    pub fn holds(&self, work: &Work) -> bool {
        let Some(lease) = self.clock.lease() else { return true };
        lease.is_in_force() && self.share.lock().work.contains(work)
    }

    /// Begins a part of the work that takes longer than a look, if it is this node's.
    pub fn begin_work(&self, work: &Work) -> Option<WorkHold> {
        let mut held = self.share.lock();
        let is_ours =
            self.clock.lease().is_none_or(|lease| lease.is_in_force() && held.work.contains(work));
        if !is_ours {
            return None;
        }
        held.under_way.push(work.clone());
        drop(held);
        Some(WorkHold { work: work.clone(), held: Arc::clone(&self.share.0) })
    }

    /// The shards of the temp reversal table whose entries of a channel this node works now. Where
    /// the channel's pace is too small for each node to have a part, those that have one work all.
    pub fn reversal_shards(&self, channel: &ChannelId) -> Shards {
        let shards = self.shards(Queue::Reversals);
        let Some((part, _)) = self.share.lock().given else { return shards };
        if shards == Shards::NONE {
            return shards;
        }
        match part.place_among(self.channels.nodes_max(channel)) {
            None => Shards::NONE,
            Some((_, among)) if among == part.nodes() => shards,
            Some((place, among)) => (0..SHARDS)
                .filter(|shard| u32::from(*shard) % among == place)
                .fold(Shards::NONE, Shards::with),
        }
    }

    /// Puts this node's part of the channels' limits in force. Once nothing of more is on its way,
    /// the next renewal announces it.
    fn share_limits(&self) {
        let Some((part, epoch)) = self.share.lock().given else { return };
        if !self.channels.share(part) {
            return;
        }
        let mut held = self.share.lock();
        if held.part.epoch() < epoch {
            held.part.put(epoch);
            self.signals.members.notify_one();
        }
    }

    /// The nodes at the last renewal; `None` before it, and in a process that has its books to
    /// itself.
    pub fn roster(&self) -> Option<Roster> {
        self.share.lock().roster.clone()
    }

    /// Tells the calls that wait for orders which of these have ended on other nodes. Gives how
    /// many have.
    pub async fn announce_ends(&self) -> Result<usize, EngineError> {
        let waited_for = self.waiters.open();
        if waited_for.is_empty() {
            return Ok(0);
        }
        let ended = self.store.ended(waited_for).await?;
        ended.iter().for_each(|order| self.waiters.announce(order));
        Ok(ended.len())
    }

    /// Whether this node has a part of the channels' limits, by the last renewal.
    pub fn has_part(&self) -> bool {
        self.clock.lease().is_none()
            || self.share.lock().given.is_some_and(|(part, _)| part != NodePart::NONE)
    }

    /// Renews this node's lease and its part of the work, and fences the nodes that are gone. Gives
    /// how many it has fenced. Nothing to do in a process that has its books to itself.
    pub async fn renew_lease(&self) -> Result<usize, EngineError> {
        let (Some(cluster), Some(lease)) = (self.store.cluster(), self.clock.lease()) else {
            return Ok(0);
        };
        let me = cluster.incarnation();
        // What was on its way at the last renewal may have come to its end.
        self.share_limits();
        let (trade, epoch) = {
            let mut held = self.share.lock();
            (held.trade(me, &all_work(&self.channels.ids())), held.part.epoch())
        };
        let asked = lease.asks();
        let renewed = cluster.renew(epoch, &trade).await;
        let roster = renewed.map_err(|error| self.commit_error(&error))?;
        lease.renewed(asked, ACTS_FOR);
        self.clock.follow(asked, roster.now);
        telemetry::gauge_nodes(&roster, me);
        let expired = self.share.lock().renewed(me, roster);
        self.share_limits();
        let mut fenced = 0;
        for dead in expired {
            let is_fenced = cluster.fence(dead).await.map_err(|error| self.commit_error(&error))?;
            if is_fenced {
                tracing::warn!(
                    node = %dead,
                    "a node has not renewed its lease and is fenced; the others do its work"
                );
                fenced += 1;
            }
        }
        if fenced > 0 {
            self.signals.recovery.notify_one();
        }
        Ok(fenced)
    }

    /// Gives back this node's lease and work, at a stop.
    pub async fn leave(&self) -> Result<(), EngineError> {
        let Some(cluster) = self.store.cluster() else { return Ok(()) };
        self.share.lock().work.clear();
        self.channels.share(NodePart::NONE);
        cluster.leave().await.map_err(|error| self.commit_error(&error))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::domain::cluster::{Member, RENEWED_EVERY};

    const ME: Incarnation = Incarnation { node: 1, number: 1 };
    const OTHER: Incarnation = Incarnation { node: 2, number: 7 };

    /// The roster after so many seconds; the other node's lease has ended long before.
    fn roster(seconds: u64) -> Roster {
        let at = |seconds| Timestamp::from_millis(0).plus(Duration::from_secs(seconds));
        let member = |incarnation, lease_until| Member {
            incarnation,
            address: String::new(),
            lease_until,
            is_fenced: false,
            epoch_seen: 2,
        };
        let members = vec![member(ME, at(seconds + 10)), member(OTHER, at(0))];
        Roster { now: at(seconds), epoch: 2, members, holders: [(Work::Suspense, ME)].into() }
    }

    #[test]
    fn who_has_renewed_for_a_whole_lease_fences_who_has_not() {
        let mut held = HeldWork::default();
        for seconds in (100..=110).step_by(2) {
            assert_eq!(held.renewed(ME, roster(seconds)), [], "at {seconds} s");
        }
        assert_eq!(held.renewed(ME, roster(112)), [OTHER]);
        assert!(held.work.contains(&Work::Suspense));
    }

    /// Every lease looks ended when a store stood still, and nobody is gone.
    #[test]
    fn after_a_standstill_of_the_store_nobody_is_fenced() {
        let mut held = HeldWork::default();
        let steady = (100..150).step_by(2).map(roster);
        let fenced = steady.fold(Vec::new(), |_, roster| held.renewed(ME, roster));
        assert_eq!(fenced, [OTHER]);
        let standstill = LEASE + RENEWED_EVERY;
        let again = 148 + standstill.as_secs();
        assert_eq!(held.renewed(ME, roster(again)), []);
        assert_eq!(held.renewed(ME, roster(again + 10)), []);
        assert_eq!(held.renewed(ME, roster(again + 11)), [OTHER]);
    }

    /// Two nodes would run one statement at once.
    #[test]
    fn what_is_under_way_is_not_given_up() {
        let mut held = HeldWork::default();
        held.renewed(ME, roster(100));
        held.under_way.push(Work::Suspense);
        let trade = held.trade(ME, &BTreeSet::new());
        assert_eq!(trade.give_up, []);
        assert!(held.work.contains(&Work::Suspense));
        held.under_way.clear();
        assert_eq!(held.trade(ME, &BTreeSet::new()).give_up, [Work::Suspense]);
    }

    #[test]
    fn what_is_given_up_is_laid_down_before_it_is_said() {
        let mut held = HeldWork::default();
        held.renewed(ME, roster(100));
        let trade = held.trade(ME, &all_work(&[]));
        assert!(trade.give_up.is_empty() && !trade.take.is_empty());
        let trade = held.trade(ME, &BTreeSet::new());
        assert_eq!(trade.give_up, [Work::Suspense]);
        assert!(held.work.is_empty());
    }
}
