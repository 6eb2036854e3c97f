//! Goes through a channel's day and sums it up; see [`DailyReport`] for what counts.
//!
//! Orders and clearing records are both kept by order id, so that both are gone through side by
//! side, a page of each at a time: memory does not grow with the day. Orders that were accepted on
//! another day and succeeded into this one are looked up one by one.

use std::collections::VecDeque;

use jiff::tz::TimeZone;

use crate::domain::books::clearing::ClearingRecord;
use crate::domain::books::day_close::DayClose;
use crate::domain::books::reconciliation::Reconciliation;
use crate::domain::books::settlement::SettledAmounts;
use crate::domain::ids::{ChannelId, OrderId};
use crate::domain::money::Currency;
use crate::domain::order::Order;
use crate::domain::payment_code::CODE_LASTS;
use crate::domain::report::{DailyReport, SettlementStanding};
use crate::domain::time::{BusinessDate, ClearingCalendar, Timestamp};
use crate::engine::Engine;
use crate::store::{PAGE_MAX, Store, StoreError};

/// A channel's day, summed up.
#[derive(Debug, Clone)]
pub struct DayReport {
    pub sums: DailyReport,
    /// When it was made.
    pub at: Timestamp,
    pub closed: Option<DayClose>,
    /// The batch that says what is true of the date's statement.
    pub batch: Option<Reconciliation>,
    pub settlement: Vec<CurrencyStanding>,
}

/// Whether the date's money in one currency has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CurrencyStanding {
    pub currency: Currency,
    pub stated: Option<SettledAmounts>,
    pub settled: Option<SettledAmounts>,
    pub standing: SettlementStanding,
}

/// Sums up a channel's clearing date as the books have it now.
pub async fn report(
    engine: &Engine,
    channel: ChannelId,
    date: BusinessDate,
    calendar: &ClearingCalendar,
) -> Result<DayReport, StoreError> {
    let store = engine.store().as_ref();
    let at = engine.clock().now();
    let mut day = Day {
        store,
        date,
        records: DayRecords::new(channel.clone(), date),
        sums: DailyReport::new(channel.clone(), date),
    };
    day.add_orders(calendar).await?;
    let mut sums = day.sums;
    let mut after = None;
    // Ends with the channel's last open difference.
    loop {
        let page = store.open_differences(channel.clone(), after, PAGE_MAX).await?;
        page.iter().for_each(|difference| sums.difference(difference, at));
        match page.last().filter(|_| page.len() == PAGE_MAX) {
            Some(last) => after = Some(last.id),
            None => break,
        }
    }
    let batch = store.current_reconciliation(channel.clone(), date).await?;
    let mut settlement = Vec::new();
    for currency in Currency::ALL {
        let sums_of = batch.as_ref().map(|batch| batch.report.stated(currency));
        let stated = sums_of.as_ref().and_then(SettledAmounts::of);
        let settled = store.settled_date(channel.clone(), date, currency).await?;
        let settled = settled.map(|row| row.settled);
        let moved = stated.is_some_and(|stated| !stated.is_nothing());
        if moved || settled.is_some() || sums.currencies().contains(&currency) {
            let standing = SettlementStanding::of(stated, settled);
            settlement.push(CurrencyStanding { currency, stated, settled, standing });
        }
    }
    let closed = store.day_close(channel, date).await?;
    Ok(DayReport { sums, at, closed, batch, settlement })
}

/// The going through a day.
struct Day<'store> {
    store: &'store dyn Store,
    date: BusinessDate,
    records: DayRecords,
    sums: DailyReport,
}

impl Day<'_> {
    async fn add_orders(&mut self, calendar: &ClearingCalendar) -> Result<(), StoreError> {
        if let Some((mut after, end)) = window(calendar, self.date) {
            // Ends with the window: each page goes on after the last order of the one before.
            'pages: loop {
                let page = self.store.orders(Some(after), PAGE_MAX).await?;
                for order in &page {
                    if order.id >= end {
                        break 'pages;
                    }
                    if calendar.date_of(order.created_at) == self.date {
                        self.sums.order(order);
                    }
                    self.records_of(order).await?;
                }
                match page.last().filter(|_| page.len() == PAGE_MAX) {
                    Some(last) => after = last.id,
                    None => break,
                }
            }
        }
        // The remaining records belong to orders behind the window. Ends with the day's last
        // record.
        while let Some(record) = self.records.next(self.store).await? {
            self.late_record(&record).await?;
        }
        Ok(())
    }

    /// Adds the records up to those of an order. The ones before it are of orders that are not in
    /// the window.
    async fn records_of(&mut self, order: &Order) -> Result<(), StoreError> {
        // Ends with the order's last record.
        while let Some(record) = self.records.next_until(self.store, order.id).await? {
            if record.order == order.id {
                self.sums.record(&record, merchant_fee(order));
            } else {
                self.late_record(&record).await?;
            }
        }
        Ok(())
    }

    async fn late_record(&mut self, record: &ClearingRecord) -> Result<(), StoreError> {
        let order = self.store.order(record.order).await?;
        self.sums.record(record, order.as_ref().and_then(merchant_fee));
        Ok(())
    }
}

/// A day's clearing records, one by one, read a page at a time.
struct DayRecords {
    channel: ChannelId,
    date: BusinessDate,
    page: VecDeque<ClearingRecord>,
    after: Option<(OrderId, u8)>,
    ended: bool,
}

impl DayRecords {
    fn new(channel: ChannelId, date: BusinessDate) -> Self {
        Self { channel, date, page: VecDeque::new(), after: None, ended: false }
    }

    /// The next record if its order is at most `last`.
    async fn next_until(
        &mut self,
        store: &dyn Store,
        last: OrderId,
    ) -> Result<Option<ClearingRecord>, StoreError> {
        self.fill(store).await?;
        let is_due = self.page.front().is_some_and(|record| record.order <= last);
        Ok(if is_due { self.page.pop_front() } else { None })
    }

    async fn next(&mut self, store: &dyn Store) -> Result<Option<ClearingRecord>, StoreError> {
        self.fill(store).await?;
        Ok(self.page.pop_front())
    }

    async fn fill(&mut self, store: &dyn Store) -> Result<(), StoreError> {
        if !self.page.is_empty() || self.ended {
            return Ok(());
        }
        let page = store.clearing(self.channel.clone(), self.date, self.after, PAGE_MAX).await?;
        self.ended = page.len() < PAGE_MAX;
        let last = page.last().map(|record| record.channel_order_no);
        self.after = last.map(|number| (number.order, number.attempt)).or(self.after);
        self.page = page.into();
        Ok(())
    }
}

/// The order ids between which those of a date lie: after the first, before the second.
///
/// An id begins with the UTC day of its making, which is never before the one that the clock had,
/// and which may be that of the order's code by SMS.
fn window(calendar: &ClearingCalendar, date: BusinessDate) -> Option<(OrderId, OrderId)> {
    let begins = calendar.beginning_of(date)?;
    let tomorrow = BusinessDate::new(date.civil().tomorrow().ok()?);
    let ends = calendar.beginning_of(tomorrow)?;
    let day = |moment: Timestamp| BusinessDate::new(moment.civil(&TimeZone::UTC).date());
    let first = day(begins.minus(CODE_LASTS)).yyyymmdd() % 1_000_000;
    let behind = BusinessDate::new(day(ends).civil().tomorrow().ok()?).yyyymmdd() % 1_000_000;
    Some((OrderId::compose(first, 0, 0), OrderId::compose(behind, 0, 0)))
}

/// The fee that the core charges its merchant for an order, if it gave one.
fn merchant_fee(order: &Order) -> Option<i64> {
    order.instruction.merchant_fee_minor
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_has_the_numbers_that_were_drawn_for_codes_before_its_day() {
        let midnight = jiff::civil::Time::midnight();
        let calendar = ClearingCalendar { zone: TimeZone::UTC, cut_off: midnight };
        let date = BusinessDate::from_yyyymmdd(20_261_122).expect("a date");
        let (after, before) = window(&calendar, date).expect("a window");
        // The number of a code that was sent at 23:50, of an order of 00:04.
        for (day, is_in) in [(261_120, false), (261_121, true), (261_122, true)] {
            let number = OrderId::compose(day, 1, 86_000_000);
            assert_eq!(after < number && number < before, is_in, "{day}");
        }
    }
}
