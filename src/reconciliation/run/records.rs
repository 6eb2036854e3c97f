//! Our side of a run: rows of the store, page by page, in bounded memory.
//!
//! What takes part: records of the date and of the next one, those of earlier dates that are
//! carried over, and those of any date that this date's statement had satisfied before. A record
//! that another date's statement has satisfied does not: one of ours satisfies one line.

use std::io;
use std::sync::Arc;

use tokio::runtime::Handle;

use crate::domain::books::clearing::ClearingRecord;
use crate::domain::books::difference::{Difference, RecordSide, days_after};
use crate::domain::books::reconcile::{Item, Side};
use crate::domain::books::reconciliation::Reconciliation;
use crate::domain::ids::{ChannelId, ChannelOrderNo, DifferenceId, OrderId};
use crate::domain::time::BusinessDate;
use crate::reconciliation::matching::{MatchError, Place, Row, Rows, SideEnd, key_of_number};
use crate::store::{BlockingReads, Store, StoreError};

use crate::reconciliation::PAGE;
use crate::reconciliation::books::{RecordKey, before, is_unmatched};

/// Bits of a place's tag that hold the attempt; the date is above them.
const ATTEMPT_BITS: u32 = 7;

/// Our side as the matcher reads it, from a thread that may block: a walk over the records that
/// take part.
pub struct Records {
    store: Arc<dyn Store>,
    channel: ChannelId,
    /// The statement's date.
    date: BusinessDate,
    handle: Handle,
    stage: Stage,
    /// The differences of the day's records, beside the walk over these.
    beside: DifferenceWalk,
    /// The current batch of the next date.
    next_batch: Option<Reconciliation>,
    page: std::vec::IntoIter<Row>,
    /// Rows that were made.
    count: u32,
    window: Window,
}

/// The walk's position: its next page lies behind this key.
#[derive(Clone, Copy)]
enum Stage {
    Day(BusinessDate, Option<ChannelOrderNo>),
    Carried(Option<DifferenceId>),
    Satisfied(Option<[u8; 16]>),
    Over,
}

impl Iterator for Records {
    type Item = Result<Row, MatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        // Bounded by what takes part: each page goes on after the last.
        loop {
            if let Some(row) = self.page.next() {
                return Some(Ok(row));
            }
            if let Stage::Over = self.stage {
                return None;
            }
            match self.handle.clone().block_on(self.next_page()) {
                Ok(page) => self.page = page.into_iter(),
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

impl Rows for Records {
    fn end(&mut self) -> Result<SideEnd, MatchError> {
        Ok(SideEnd { lines: self.count, ..SideEnd::default() })
    }

    fn side_at(&mut self, place: Place) -> Result<Side, MatchError> {
        let gone = || failed(io::Error::other("a record that was read is gone"));
        let key = key_at(place).ok_or_else(gone)?;
        let found = self.window.find(&*self.store, &self.channel, key);
        let found = self.handle.block_on(found).map_err(failed)?;
        found.map(side_of_record).ok_or_else(gone)
    }
}

/// A record in its words.
pub fn side_of_record(record: &ClearingRecord) -> Side {
    Side {
        line: 0,
        order_no: record.channel_order_no.to_string(),
        reference: reference_of(record).to_owned(),
        item: Some(Item::of(record)),
        unreadable: None,
    }
}

/// The channel's own number, without what a file's column would lose.
fn reference_of(record: &ClearingRecord) -> &str {
    record.channel_reference.as_deref().unwrap_or_default().trim_matches([' ', '\t'])
}

/// The row of a record, which its place leads back to.
fn row_of(
    (date, number): RecordKey,
    item: &Item,
    has_reference: bool,
    line: u32,
) -> Result<Row, MatchError> {
    let tag = date.yyyymmdd() << ATTEMPT_BITS | u32::from(number.attempt);
    let place = Place { line, at: number.order.as_u64(), tag };
    let row = Row::new(key_of_number(number), item, has_reference, place);
    row.ok_or_else(|| failed(io::Error::other(format!("{number} has more than twelve digits"))))
}

/// The record at a place.
fn key_at(place: Place) -> Option<RecordKey> {
    let attempt = u8::try_from(place.tag & ((1 << ATTEMPT_BITS) - 1)).ok()?;
    let number = ChannelOrderNo { order: OrderId::from_u64(place.at), attempt };
    Some((BusinessDate::from_yyyymmdd(place.tag >> ATTEMPT_BITS)?, number))
}

fn failed(source: impl std::error::Error + Send + Sync + 'static) -> MatchError {
    MatchError::Records { source: Box::new(source) }
}

impl Records {
    /// Must be called within a runtime.
    pub fn new(store: Arc<dyn Store>, channel: ChannelId, date: BusinessDate) -> Self {
        Self {
            store: Arc::new(BlockingReads(store)),
            channel,
            date,
            handle: Handle::current(),
            stage: Stage::Day(date, None),
            beside: DifferenceWalk::default(),
            next_batch: None,
            page: Vec::new().into_iter(),
            count: 0,
            window: Window::default(),
        }
    }

    /// The rows of the next page, which may be none.
    async fn next_page(&mut self) -> Result<Vec<Row>, MatchError> {
        match self.stage {
            Stage::Day(day, after) => self.of_day(day, after).await,
            Stage::Carried(after) => self.read_carried(after).await,
            Stage::Satisfied(after) => self.read_satisfied(after).await,
            Stage::Over => Ok(Vec::new()),
        }
    }

    /// Records of the date or of the next one that no other statement has satisfied.
    async fn of_day(
        &mut self,
        day: BusinessDate,
        after: Option<ChannelOrderNo>,
    ) -> Result<Vec<Row>, MatchError> {
        let (store, channel) = (Arc::clone(&self.store), self.channel.clone());
        let after = after.map(|last| (last.order, last.attempt));
        let page = store.clearing(channel.clone(), day, after, PAGE).await.map_err(failed)?;
        let next = days_after(self.date, 1);
        match page.last() {
            Some(last) => self.stage = Stage::Day(day, Some(last.channel_order_no)),
            None if day == next => self.stage = Stage::Carried(None),
            None => {
                let batch = store.current_reconciliation(channel.clone(), next).await;
                self.next_batch = batch.map_err(failed)?;
                (self.beside, self.stage) = (DifferenceWalk::default(), Stage::Day(next, None));
            }
        }
        let mut rows = Vec::with_capacity(page.len());
        for record in &page {
            let number = record.channel_order_no;
            let row = self.beside.of(&*store, &channel, day, number).await.map_err(failed)?;
            let takes_part = match row.and_then(|row| row.line.as_ref()) {
                Some(line) => line.date == self.date,
                None if day == self.date => true,
                None => is_unmatched(row, record.at, self.next_batch.as_ref()),
            };
            if takes_part {
                let has_reference = !reference_of(record).is_empty();
                self.count += 1;
                rows.push(row_of((day, number), &Item::of(record), has_reference, self.count)?);
            }
        }
        Ok(rows)
    }

    /// Records of earlier dates that no statement has satisfied yet.
    async fn read_carried(&mut self, after: Option<DifferenceId>) -> Result<Vec<Row>, MatchError> {
        let page = self.store.open_differences(self.channel.clone(), after, PAGE).await;
        let page = page.map_err(failed)?;
        let last = page.last().map(|row| row.id);
        self.stage = last.map_or(Stage::Satisfied(None), |last| Stage::Carried(Some(last)));
        let date = self.date;
        let alone = page.iter().filter(|row| row.line.is_none());
        self.rows_of(alone.filter_map(|row| row.record.as_ref()).filter(|side| side.date < date))
    }

    /// Records of dates that take no part by themselves, which this date's statement had satisfied
    /// before.
    async fn read_satisfied(&mut self, after: Option<[u8; 16]>) -> Result<Vec<Row>, MatchError> {
        let (channel, date) = (self.channel.clone(), self.date);
        let page = self.store.differences_of_lines(channel, date, after, PAGE).await;
        let page = page.map_err(failed)?;
        let last = page.last().and_then(|row| row.line.as_ref()).map(|line| line.digest);
        self.stage = last.map_or(Stage::Over, |last| Stage::Satisfied(Some(last)));
        let is_other = |side: &&RecordSide| side.date != date && side.date != days_after(date, 1);
        self.rows_of(page.iter().filter_map(|row| row.record.as_ref()).filter(is_other))
    }

    fn rows_of<'a>(
        &mut self,
        sides: impl Iterator<Item = &'a RecordSide>,
    ) -> Result<Vec<Row>, MatchError> {
        let row = |side: &RecordSide| {
            self.count += 1;
            let key = (side.date, side.channel_order_no);
            row_of(key, &side.item, side.reference.is_some(), self.count)
        };
        sides.map(row).collect()
    }
}

/// The differences of a day's records, as a walk in the order of these.
#[derive(Default)]
struct DifferenceWalk {
    page: std::vec::IntoIter<Difference>,
    ahead: Option<Difference>,
    after: Option<ChannelOrderNo>,
    is_over: bool,
}

impl DifferenceWalk {
    /// The difference of a record; numbers are asked for in their order.
    async fn of(
        &mut self,
        store: &dyn Store,
        channel: &ChannelId,
        day: BusinessDate,
        number: ChannelOrderNo,
    ) -> Result<Option<&Difference>, StoreError> {
        let of = |row: &Difference| row.record.as_ref().map(|record| record.channel_order_no);
        // Ends with the rows, or with the first that does not lie behind.
        while !self.is_over && self.ahead.as_ref().is_none_or(|row| of(row) < Some(number)) {
            self.ahead = self.page.next();
            if self.ahead.is_none() {
                let page = store.differences_of_records(channel.clone(), day, self.after, PAGE);
                let page = page.await?;
                self.after = page.last().and_then(of);
                self.is_over = page.is_empty();
                self.page = page.into_iter();
            }
        }
        Ok(self.ahead.as_ref().filter(|row| of(row) == Some(number)))
    }
}

/// Records that were read again, some ahead: more of them where their neighbours are asked for too.
#[derive(Default)]
struct Window {
    records: Vec<ClearingRecord>,
    hits: usize,
}

impl Window {
    async fn find(
        &mut self,
        store: &dyn Store,
        channel: &ChannelId,
        (date, number): RecordKey,
    ) -> Result<Option<&ClearingRecord>, StoreError> {
        let key = |record: &ClearingRecord| (record.date, record.channel_order_no);
        let place = self.records.binary_search_by_key(&(date, number), key);
        let place = match place {
            Ok(place) => Ok(place),
            Err(_) => {
                let limit = match self.hits * 4 >= self.records.len() {
                    true => (self.records.len() * 4).clamp(1, PAGE),
                    false => 1,
                };
                let behind = Some(before(number));
                self.records = store.clearing(channel.clone(), date, behind, limit).await?;
                self.hits = 0;
                self.records.binary_search_by_key(&(date, number), key)
            }
        };
        self.hits += 1;
        Ok(place.ok().map(|place| &self.records[place]))
    }
}
