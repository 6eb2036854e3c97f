//! Closes clearing days, in order, and holds a closed one against its records again.

use std::time::Duration;

use crate::codec::clearing;
use crate::codec::sign::Sha256;
use crate::domain::books::clearing::{ClearingRecord, ClearingTotals};
use crate::domain::books::day_close::{DayClose, DayTotals, closable_through};
use crate::domain::command::Decider;
use crate::domain::ids::ChannelId;
use crate::domain::money::Currency;
use crate::domain::order::OWN_CALLER;
use crate::domain::terms::Terms;
use crate::domain::time::BusinessDate;
use crate::domain::write_set::{AuditEntry, WriteSet};
use crate::engine::{Engine, EngineError};
use crate::store::{PAGE_MAX, StoreError};

/// The days in which the first records of a channel are looked for that has no closed day.
const LOOKED_BACK: u32 = 32;

/// Why a day was not closed. Earlier days may have been closed.
#[derive(Debug, thiserror::Error)]
pub enum CloseError {
    #[error("the clearing day {date} has not ended")]
    NotEnded { date: BusinessDate },
    #[error("later days are closed, and {date} was never one of them: the books began after it")]
    Passed { date: BusinessDate },
    #[error("a clearing record cannot be exported: {0}")]
    Export(String),
    #[error(transparent)]
    Engine(#[from] EngineError),
}

impl From<StoreError> for CloseError {
    fn from(error: StoreError) -> Self {
        Self::Engine(error.into())
    }
}

/// The sums of a day's records, and the digest of their export.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DaySums {
    pub totals: Vec<(Currency, ClearingTotals)>,
    pub sha256: [u8; 32],
}

impl Engine {
    /// Closes every day of a channel whose time has come, from the first that has records on.
    /// Gives how many.
    pub async fn close_due_days(&self, channel: &ChannelId) -> Result<usize, CloseError> {
        let Some(terms) = self.channels().terms(channel) else { return Ok(0) };
        // A day that is not borne out to be over stays open, whatever the clock shows.
        let proven = self.clock().present().proven();
        let last = closable_through(&terms.calendar, terms.close_after, proven);
        let Some(first) = self.first_open_day(channel, &terms, last).await? else { return Ok(0) };
        let mut closed = 0;
        let mut date = first;
        // Ends with the last day that may be closed.
        while date <= last {
            self.close_one(channel, &terms, date, None).await?;
            closed += 1;
            date = date.next();
        }
        Ok(closed)
    }

    /// How many clearing days of a channel are open whose time to be closed has come by the clock,
    /// borne out or not. Before a first close the last [`LOOKED_BACK`] days count.
    pub async fn days_not_closed(&self, channel: &ChannelId) -> Result<u32, StoreError> {
        let Some(terms) = self.channels().terms(channel) else { return Ok(0) };
        let last = closable_through(&terms.calendar, terms.close_after, self.clock().now());
        let days = self.store().clearing_days(channel.clone()).await?;
        let days_after = |date: BusinessDate| u32::try_from(date.days_until(last)).unwrap_or(0);
        if let Some(closed) = days.closed_through {
            return Ok(days_after(closed));
        }
        let earliest = (0..LOOKED_BACK).fold(last, |date, _| date.previous());
        let mut date = earliest;
        while date < last {
            date = date.next();
            if !self.store().clearing(channel.clone(), date, None, 1).await?.is_empty() {
                return Ok(days_after(date.previous()));
            }
        }
        Ok(0)
    }

    /// Closes a day that has ended, and the open ones before it, because an operator wants it. A
    /// day that is closed stays as it is.
    pub async fn close_day(
        &self,
        channel: &ChannelId,
        date: BusinessDate,
        decider: &Decider,
    ) -> Result<DayClose, CloseError> {
        if let Some(close) = self.store().day_close(channel.clone(), date).await? {
            return Ok(close);
        }
        let missing = || EngineError::NoSuchChannel { channel: channel.clone() };
        let terms = self.channels().terms(channel).ok_or_else(missing)?;
        if !self.clock().present().is_over(&terms.calendar, date) {
            return Err(CloseError::NotEnded { date });
        }
        let first = self.first_open_day(channel, &terms, date).await?;
        let mut day = first.unwrap_or(date);
        if day > date {
            return Err(CloseError::Passed { date });
        }
        // Ends with the day that was asked for.
        loop {
            let close = self.close_one(channel, &terms, day, Some(decider)).await?;
            if day == date {
                return Ok(close);
            }
            day = day.next();
        }
    }

    /// The first and the last of a channel's days that have ended and are not closed.
    pub async fn ended_days_not_closed(
        &self,
        channel: &ChannelId,
    ) -> Result<Option<(BusinessDate, BusinessDate)>, CloseError> {
        let Some(terms) = self.channels().terms(channel) else { return Ok(None) };
        let last = closable_through(&terms.calendar, Duration::ZERO, self.clock().now());
        let first = self.first_open_day(channel, &terms, last).await?;
        Ok(first.filter(|first| *first <= last).map(|first| (first, last)))
    }

    /// The totals of a day as its records are now.
    pub async fn day_totals(
        &self,
        channel: &ChannelId,
        date: BusinessDate,
    ) -> Result<Vec<(Currency, ClearingTotals)>, CloseError> {
        let mut totals = DayTotals::default();
        let add = |page: &[ClearingRecord]| {
            totals.add(page);
            Ok(())
        };
        self.each_page(channel, date, add).await?;
        Ok(totals.into_list())
    }

    /// The totals of a day as its records are now, and the digest of their export.
    pub async fn day_sums(
        &self,
        channel: &ChannelId,
        date: BusinessDate,
    ) -> Result<DaySums, CloseError> {
        let (mut totals, mut sha256) = (DayTotals::default(), Sha256::new());
        sha256.update(&clearing::csv_heading());
        let add = |page: &[ClearingRecord]| {
            totals.add(page);
            let rows = clearing::csv_rows(page);
            sha256.update(&rows.map_err(|error| CloseError::Export(error.to_string()))?);
            Ok(())
        };
        self.each_page(channel, date, add).await?;
        Ok(DaySums { totals: totals.into_list(), sha256: sha256.finish() })
    }

    async fn each_page(
        &self,
        channel: &ChannelId,
        date: BusinessDate,
        mut take: impl FnMut(&[ClearingRecord]) -> Result<(), CloseError>,
    ) -> Result<(), CloseError> {
        let mut after = None;
        // Ends with the day's last page.
        loop {
            let page = self.store().clearing(channel.clone(), date, after, PAGE_MAX).await?;
            take(&page)?;
            match page.last().filter(|_| page.len() == PAGE_MAX) {
                Some(last) => after = Some(place(last)),
                None => return Ok(()),
            }
        }
    }

    /// The day after the last closed one; where none is closed, the first one up to `last` that
    /// has records.
    async fn first_open_day(
        &self,
        channel: &ChannelId,
        terms: &Terms,
        last: BusinessDate,
    ) -> Result<Option<BusinessDate>, CloseError> {
        if let Some(closed) = self.store().clearing_days(channel.clone()).await?.closed_through {
            return Ok(Some(closed.next()));
        }
        let Some(order) = self.store().orders(None, 1).await?.into_iter().next() else {
            return Ok(None);
        };
        // A channel may clear an order a little before our own calendar would.
        let present = self.clock().present();
        let mut date = present.business_date(&terms.calendar, order.created_at).previous();
        // Bounded by the days since the first order of all.
        while date <= last {
            if !self.store().clearing(channel.clone(), date, None, 1).await?.is_empty() {
                return Ok(Some(date));
            }
            date = date.next();
        }
        Ok(None)
    }

    async fn close_one(
        &self,
        channel: &ChannelId,
        terms: &Terms,
        date: BusinessDate,
        decider: Option<&Decider>,
    ) -> Result<DayClose, CloseError> {
        // From here on nobody writes a record of the day any more, and its sums stand. A close that
        // is cut off behind this is made by the next round.
        let shut = vec![(channel.clone(), date)];
        let shut = self.commit_patiently(&WriteSet { shut, ..WriteSet::default() }).await;
        self.days.forget(channel);
        shut.map_err(|error| self.commit_error(&error))?;
        // Before the first close a late record may have come for a day that had none.
        let first = self.first_open_day(channel, terms, date).await?;
        if first.is_some_and(|first| first != date) {
            return Err(EngineError::Contended.into());
        }
        let DaySums { totals, sha256 } = self.day_sums(channel, date).await?;
        let at = self.clock().now();
        let by = decider.map_or(OWN_CALLER, |decider| &decider.actor).to_owned();
        let close = DayClose { channel: channel.clone(), date, totals, sha256, by, at };
        let audit = decider.map(|decider| AuditEntry {
            at,
            actor: decider.actor.clone(),
            approver: decider.approver.clone(),
            action: "clearing.close".to_owned(),
            subject: format!("{channel} {date}"),
            reason: decider.reason.clone(),
        });
        let closes = vec![close.clone()];
        let writes = WriteSet { closes, audit: audit.into_iter().collect(), ..WriteSet::default() };
        match self.commit_patiently(&writes).await {
            Ok(()) => {
                tracing::info!(channel.name = %channel, %date, "a clearing day is closed");
                Ok(close)
            }
            Err(error) => Err(self.commit_error(&error).into()),
        }
    }
}

/// A record's place in its channel and date.
fn place(record: &ClearingRecord) -> (crate::domain::ids::OrderId, u8) {
    (record.channel_order_no.order, record.channel_order_no.attempt)
}
