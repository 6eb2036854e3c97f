//! What a channel's clearing days have taken of their limits: by this process, or by all nodes that
//! share the books, each of which draws blocks of the limit and spends them.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::channel::shares::{ChannelShares, SharesError};
use crate::domain::attempt::VolumeKind;
use crate::domain::ids::ChannelId;
use crate::domain::time::BusinessDate;

/// A block is this part of a day's limit.
const BLOCKS: i64 = 200;

/// The volumes of one kind on one channel's clearing days, in minor units.
pub struct DayVolumes {
    kind: VolumeKind,
    days: Mutex<DaysTaken>,
    /// One draws at a time: who waits finds what the other has drawn.
    drawing: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct DaysTaken {
    of: BTreeMap<BusinessDate, DayTaken>,
    /// How often what is known of a sum has changed here.
    changes: u64,
}

/// The amounts of a clearing day.
#[derive(Default)]
struct DayTaken {
    /// By the orders of this process; where nodes share, the sum that they know of.
    taken: i64,
    /// Of that sum, what this node has drawn and no order has taken.
    held: i64,
    /// Taken without drawing it first; the others have to be told.
    untold: i64,
    /// To be given back to all.
    returned: i64,
    /// What this node's orders have taken, where nodes share.
    own: i64,
    /// Nothing was taken since the last exchange.
    is_idle: bool,
}

impl DayTaken {
    fn volume(&self) -> i64 {
        let known = self.taken.saturating_add(self.untold);
        known.saturating_sub(self.held).saturating_sub(self.returned).max(0)
    }

    /// Takes as much of `minor` as is held.
    fn take_held(&mut self, minor: i64) -> i64 {
        let taken = self.held.min(minor);
        self.held -= taken;
        self.is_idle = false;
        taken
    }
}

impl DayVolumes {
    pub fn new(kind: VolumeKind) -> Self {
        Self { kind, days: Mutex::default(), drawing: tokio::sync::Mutex::default() }
    }

    pub const fn kind(&self) -> VolumeKind {
        self.kind
    }

    fn days(&self) -> MutexGuard<'_, DaysTaken> {
        self.days.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What all orders have taken of a day, as far as it is known here.
    pub fn volume(&self, today: BusinessDate) -> i64 {
        self.days().of.get(&today).map_or(0, DayTaken::volume)
    }

    /// Takes a part of a day's volume, before anything is sent, in a process that has its books to
    /// itself. False, and nothing is taken, where more than `limit` would be.
    ///
    /// `dates` are what it may be of, by the clock and by what is borne out. The first one's limit
    /// holds; it counts in both, so that the volume of a day is whole when a clock that ran ahead
    /// is set right.
    pub fn take(&self, dates: [BusinessDate; 2], minor: i64, limit: Option<i64>) -> bool {
        let mut days = self.days();
        let taken = days.of.get(&dates[0]).map_or(minor, |day| day.taken.saturating_add(minor));
        if limit.is_some_and(|limit| taken > limit) {
            return false;
        }
        for date in BTreeSet::from(dates) {
            let day = days.of.entry(date).or_default();
            day.taken = day.taken.saturating_add(minor);
        }
        true
    }

    /// The opposite of [`Self::take`].
    pub fn give_back(&self, dates: [BusinessDate; 2], minor: i64) {
        let mut days = self.days();
        for date in BTreeSet::from(dates) {
            if let Some(day) = days.of.get_mut(&date) {
                day.taken = day.taken.saturating_sub(minor).max(0);
            }
        }
    }

    /// Forgets all days but those from the one before what is borne out up to the clock's: days
    /// that are over, and days to come, of which only a clock ahead of its time has taken a part.
    pub fn keep_days(&self, dates: [BusinessDate; 2]) {
        let kept = kept(dates);
        self.days().of.retain(|date, _| kept.contains(date));
    }

    /// The same as [`Self::take`] where nodes share the limit: of what this node has drawn, or of
    /// a new block. After an error nothing is taken here, and a block may be lost until the day is
    /// over.
    pub async fn draw(
        &self,
        shares: &dyn ChannelShares,
        channel: &ChannelId,
        dates: [BusinessDate; 2],
        minor: i64,
        limit: Option<i64>,
    ) -> Result<bool, SharesError> {
        let [today, other] = dates;
        if let Some(limit) = limit {
            if !self.draw_today(shares, channel, today, minor, limit).await? {
                return Ok(false);
            }
        } else {
            self.count(today, minor);
        }
        if other != today {
            self.count(other, minor);
        }
        Ok(true)
    }

    /// Counts what has no limit, and is told to the others later.
    fn count(&self, date: BusinessDate, minor: i64) {
        let mut days = self.days();
        let day = days.of.entry(date).or_default();
        day.untold = day.untold.saturating_add(minor);
        day.own = day.own.saturating_add(minor);
        day.is_idle = false;
    }

    async fn draw_today(
        &self,
        shares: &dyn ChannelShares,
        channel: &ChannelId,
        today: BusinessDate,
        minor: i64,
        limit: i64,
    ) -> Result<bool, SharesError> {
        if self.take_whole(today, minor) {
            return Ok(true);
        }
        let _one_at_a_time = self.drawing.lock().await;
        if self.take_whole(today, minor) {
            return Ok(true);
        }
        let mut taken = HeldPart { volumes: self, today, minor: 0 };
        taken.minor = self.days().of.entry(today).or_default().take_held(minor);
        let lacks = minor - taken.minor;
        // Near the end of the limit each order draws what it needs, and nothing lies with a node.
        for block in BTreeSet::from([lacks, lacks.max(limit / BLOCKS)]).into_iter().rev() {
            let drawn = shares.change_volume(channel, self.kind, today, block, Some(limit)).await?;
            let Some(sum) = drawn else { continue };
            let mut days = self.days();
            days.changes += 1;
            let day = days.of.entry(today).or_default();
            (day.taken, day.held) = (sum, day.held + block - lacks);
            day.own = day.own.saturating_add(minor);
            taken.minor = 0;
            return Ok(true);
        }
        Ok(false)
    }

    /// Takes the whole of an amount out of what is held; else nothing.
    fn take_whole(&self, today: BusinessDate, minor: i64) -> bool {
        let mut days = self.days();
        let day = days.of.entry(today).or_default();
        let is_enough = day.held >= minor;
        if is_enough {
            day.own = day.own.saturating_add(day.take_held(minor));
        }
        is_enough
    }

    /// The same as [`Self::give_back`] where nodes share the limit, whichever node took it.
    pub fn return_to_all(&self, dates: [BusinessDate; 2], minor: i64) {
        let mut days = self.days();
        for date in BTreeSet::from(dates) {
            let day = days.of.entry(date).or_default();
            day.returned = day.returned.saturating_add(minor);
            day.own = day.own.saturating_sub(minor);
        }
    }

    /// Tells the others what was taken here and gives back what is not needed: all that is held
    /// where no order came since the last time, or `all`. `dates` are today, by the clock and by
    /// what is borne out.
    pub async fn exchange(
        &self,
        shares: &dyn ChannelShares,
        channel: &ChannelId,
        dates: [BusinessDate; 2],
        limit: Option<i64>,
        all: bool,
    ) -> Result<(), SharesError> {
        let kept = kept(dates);
        let owing = {
            let mut days = self.days();
            let block = limit.unwrap_or(0) / BLOCKS;
            let owing = days.of.iter_mut().filter_map(|(date, day)| {
                day.lay_aside(block, all || !kept.contains(date), date > kept.end());
                (day.untold > 0 || day.returned > 0).then_some(*date)
            });
            owing.collect::<Vec<_>>()
        };
        for date in owing {
            self.tell(shares, channel, date).await?;
        }
        let is_kept = |date: &BusinessDate, day: &mut DayTaken| {
            kept.contains(date) || day.untold > 0 || day.returned > 0
        };
        self.days().of.retain(is_kept);
        Ok(())
    }

    async fn tell(
        &self,
        shares: &dyn ChannelShares,
        channel: &ChannelId,
        date: BusinessDate,
    ) -> Result<(), SharesError> {
        let of_day = |change: &dyn Fn(&mut DayTaken) -> i64| {
            let mut days = self.days();
            days.changes += 1;
            days.of.get_mut(&date).map_or(0, change)
        };
        let untold = of_day(&|day| day.untold);
        if untold > 0 {
            // What is not known to be told is told again: too much may be counted, never too
            // little.
            let sum = shares.change_volume(channel, self.kind, date, untold, None).await?;
            of_day(&|day| {
                day.taken = sum.unwrap_or(day.taken);
                day.untold -= untold;
                0
            });
        }
        // What is not known to be given back is not given back again.
        let returned = of_day(&|day| {
            let returned = std::mem::take(&mut day.returned);
            day.taken = day.taken.saturating_sub(returned).max(0);
            returned
        });
        if returned > 0 {
            let sum = shares.change_volume(channel, self.kind, date, -returned, None).await?;
            of_day(&|day| {
                day.taken = sum.unwrap_or(day.taken);
                0
            });
        }
        Ok(())
    }

    /// How often what is known here has changed, before the sums of all are read.
    pub fn changes(&self) -> u64 {
        self.days().changes
    }

    /// Takes what all nodes have taken of a day, unless something has changed here since.
    pub fn learn(&self, changes: u64, date: BusinessDate, sum: i64) {
        let mut days = self.days();
        if days.changes == changes {
            days.of.entry(date).or_default().taken = sum;
        }
    }
}

impl DayTaken {
    /// Puts aside, to be given back, what is held and not needed; of a day that never came, what
    /// was taken of it too.
    fn lay_aside(&mut self, block: i64, all: bool, never_came: bool) {
        let kept = match self.held > 2 * block {
            _ if all || self.is_idle => 0,
            true => block,
            false => self.held,
        };
        self.returned = self.returned.saturating_add(self.held - kept);
        self.held = kept;
        if never_came {
            self.returned = self.returned.saturating_add(std::mem::take(&mut self.own).max(0));
        }
        self.is_idle = true;
    }
}

/// What an order has taken out of the rest that is held, until it has all of its amount; what it
/// does not get it lays back.
struct HeldPart<'v> {
    volumes: &'v DayVolumes,
    today: BusinessDate,
    minor: i64,
}

impl Drop for HeldPart<'_> {
    fn drop(&mut self) {
        self.volumes.days().of.entry(self.today).or_default().held += self.minor;
    }
}

/// The days that are kept: from the one before what is borne out up to the clock's.
fn kept([shown, proven]: [BusinessDate; 2]) -> RangeInclusive<BusinessDate> {
    proven.previous()..=shown.max(proven)
}

#[cfg(test)]
mod tests {
    use jiff::civil;

    use super::*;
    use crate::channel::shares::SharedInMemory;

    const LIMIT: i64 = 200_000;

    fn today() -> BusinessDate {
        BusinessDate::new(civil::date(2026, 11, 22))
    }

    fn charges() -> DayVolumes {
        DayVolumes::new(VolumeKind::Charges)
    }

    fn bank() -> ChannelId {
        ChannelId::from_stored("bank")
    }

    async fn draw(node: &DayVolumes, all: &SharedInMemory, minor: i64) -> bool {
        let drawn = node.draw(all, &bank(), [today(); 2], minor, Some(LIMIT)).await;
        drawn.expect("it is in reach")
    }

    async fn exchange(node: &DayVolumes, all: &SharedInMemory) {
        let exchanged = node.exchange(all, &bank(), [today(); 2], Some(LIMIT), false).await;
        exchanged.expect("it is in reach");
        let sum = known(all);
        node.learn(node.changes(), today(), sum);
    }

    fn known(all: &SharedInMemory) -> i64 {
        let standings = all.0.lock().expect("no panic");
        standings.volumes.get(&(bank(), VolumeKind::Charges, today())).copied().unwrap_or(0)
    }

    #[tokio::test]
    async fn nodes_draw_blocks_and_leave_no_rest() {
        let (all, first, second) = (SharedInMemory::default(), charges(), charges());
        assert!(draw(&first, &all, 300).await && known(&all) == 1_000, "a block");
        assert!(draw(&first, &all, 700).await && known(&all) == 1_000, "of what it holds");
        assert!(draw(&second, &all, 150_000).await && known(&all) == 151_000, "an order's amount");
        assert_eq!(first.volume(today()), 1_000);
        exchange(&first, &all).await;
        assert_eq!(first.volume(today()), 151_000, "all of them have taken so much");
        assert!(draw(&first, &all, 48_900).await && known(&all) == 199_900);
        assert!(!draw(&second, &all, 101).await);
        assert!(draw(&second, &all, 100).await && known(&all) == LIMIT, "no block lies idle");
        assert!(!draw(&first, &all, 1).await);
        second.return_to_all([today(); 2], 150_000);
        exchange(&second, &all).await;
        assert_eq!((known(&all), second.volume(today())), (50_000, 50_000));
        assert!(draw(&first, &all, 150_000).await);
    }

    #[tokio::test]
    async fn what_is_not_needed_goes_back() {
        let (all, node) = (SharedInMemory::default(), charges());
        assert!(draw(&node, &all, 1).await);
        exchange(&node, &all).await;
        assert_eq!((known(&all), node.volume(today())), (1_000, 1));
        exchange(&node, &all).await;
        assert_eq!((known(&all), node.volume(today())), (1, 1), "no order came");
        assert!(draw(&node, &all, 1).await && known(&all) == 1_001);
        let stops = node.exchange(&all, &bank(), [today(); 2], Some(LIMIT), true).await;
        assert!(stops.is_ok() && known(&all) == 2, "at a stop");
        // Without a limit it is counted all the same, and told.
        let free = node.draw(&all, &bank(), [today(); 2], 500, None).await;
        assert!(free.expect("nothing is asked") && node.volume(today()) == 502);
        exchange(&node, &all).await;
        assert_eq!(known(&all), 502);
    }

    /// A clock that ran ahead and was set right has taken nothing of the day to come.
    #[tokio::test]
    async fn a_day_that_never_came_is_whole_for_all() {
        let (all, node) = (SharedInMemory::default(), charges());
        let tomorrow = today().next();
        let ahead = node.draw(&all, &bank(), [tomorrow, today()], 300, Some(LIMIT)).await;
        assert!(ahead.expect("it is in reach"));
        exchange(&node, &all).await;
        let standings = all.0.lock().expect("no panic").volumes.clone();
        assert_eq!(standings.into_values().collect::<Vec<_>>(), [300, 0]);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn no_node_draws_what_another_has() {
        use std::sync::Arc;
        let all = Arc::new(SharedInMemory::default());
        let nodes: Vec<_> = (0..3).map(|_| Arc::new(charges())).collect();
        let mut orders = tokio::task::JoinSet::new();
        for order in 0..900_i64 {
            let (all, node) = (Arc::clone(&all), Arc::clone(&nodes[order as usize % 3]));
            let minor = 1 + order * 37 % 500;
            orders.spawn(async move { if draw(&node, &all, minor).await { minor } else { 0 } });
        }
        let mut taken = 0;
        while let Some(minor) = orders.join_next().await {
            taken += minor.expect("no panic");
        }
        let asked: i64 = (0..900).map(|order| 1 + order * 37 % 500).sum();
        assert!(asked > LIMIT && taken <= LIMIT, "{taken} of {asked}");
        assert!(taken > LIMIT - 3 * LIMIT / BLOCKS, "{taken}: each node has a block at most");
    }
}
