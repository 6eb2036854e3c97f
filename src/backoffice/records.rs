//! Our side of a run, written as the clearing export is, in bounded memory.
//!
//! What takes part: records of the date and of the next one, those of earlier dates that are
//! carried over, and those of any date that this date's statement had satisfied before. A record
//! that another date's statement has satisfied does not: one of ours satisfies one line.

use std::fs::File;
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};

use crate::domain::books::clearing::ClearingRecord;
use crate::domain::books::difference::{Difference, RecordSide, days_after};
use crate::domain::books::reconcile::Status;
use crate::domain::ids::ChannelOrderNo;
use crate::domain::time::BusinessDate;

use super::evidence::side_of;
use super::{Backoffice, BackofficeError, House, PAGE};

const COLUMNS: [&str; 8] = [
    "channel_order_no",
    "channel_reference",
    "movement",
    "principal",
    "fee",
    "currency",
    "state",
    "date",
];

/// Our side as a file, which goes with the value.
pub struct Records {
    path: PathBuf,
}

impl Records {
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Records {
    fn drop(&mut self) {
        // One that stays is overwritten by the next run of its name, or cleared at the next start.
        let _ = std::fs::remove_file(&self.path);
    }
}

struct Sheet {
    writer: csv::Writer<BufWriter<File>>,
}

impl Sheet {
    fn new(path: &Path) -> io::Result<Self> {
        let file = BufWriter::with_capacity(1 << 18, File::create(path)?);
        let mut writer = csv::Writer::from_writer(file);
        writer.write_record(COLUMNS)?;
        Ok(Self { writer })
    }

    fn put(&mut self, record: &RecordSide) -> io::Result<()> {
        let item = &record.item;
        let reference = record.reference.as_deref().unwrap_or_default();
        // A line is a record: nothing in it may break it.
        let reference: String =
            reference.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let state = match item.status {
            Status::Succeeded => "due",
            Status::Failed => "contradicted",
        };
        let row = [
            record.channel_order_no.to_string(),
            reference,
            item.movement.name().to_owned(),
            item.amount_minor.to_string(),
            item.fee_minor.unwrap_or(0).to_string(),
            item.currency.code().to_owned(),
            state.to_owned(),
            record.date.to_string(),
        ];
        Ok(self.writer.write_record(&row)?)
    }

    fn finish(self) -> io::Result<()> {
        self.writer.into_inner().map_err(csv::IntoInnerError::into_error)?.into_inner()?;
        Ok(())
    }
}

impl Backoffice {
    /// Writes our side of a run. `more`: records that were found by what the statement says.
    pub(super) async fn write_records(
        &self,
        house: &House,
        date: BusinessDate,
        more: &[ClearingRecord],
    ) -> Result<Records, BackofficeError> {
        let path = self.work_folder()?.join(format!("{}-{date}.csv", house.channel));
        let records = Records { path };
        let failed = |source| BackofficeError::Io {
            context: format!("{} cannot be written", records.path.display()),
            source,
        };
        let mut sheet = Sheet::new(&records.path).map_err(failed)?;
        let next = days_after(date, 1);
        for day in [date, next] {
            self.put_day(house, (date, day), &mut sheet, &failed).await?;
        }
        self.put_carried(house, date, &mut sheet, &failed).await?;
        self.put_satisfied(house, (date, next), &mut sheet, &failed).await?;
        for record in more {
            sheet.put(&side_of(record)).map_err(failed)?;
        }
        sheet.finish().map_err(failed)?;
        Ok(records)
    }

    /// The records of a day, beside the rows that some of them have: both in the same order.
    async fn put_day(
        &self,
        house: &House,
        (statement, day): (BusinessDate, BusinessDate),
        sheet: &mut Sheet,
        failed: &impl Fn(io::Error) -> BackofficeError,
    ) -> Result<(), BackofficeError> {
        let mut rows = Rows::new(self, house, day);
        let mut after = None;
        // Bounded by the records of the day: each page goes on after the last.
        loop {
            let channel = house.channel.clone();
            let page = self.store().clearing(channel, day, after, PAGE).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some((last.order, last.channel_order_no.attempt));
            for record in &page {
                let row = rows.of(record.channel_order_no).await?;
                if self.takes_part(house, (statement, day), record, row).await? {
                    sheet.put(&side_of(record)).map_err(failed)?;
                }
            }
        }
    }

    /// Whether a record of the date, or of the next one, is held against the date's statement.
    async fn takes_part(
        &self,
        house: &House,
        (statement, day): (BusinessDate, BusinessDate),
        record: &ClearingRecord,
        row: Option<&Difference>,
    ) -> Result<bool, BackofficeError> {
        match row.and_then(|row| row.line.as_ref()) {
            Some(line) => Ok(line.date == statement),
            None if day == statement => Ok(true),
            None => self.is_unmatched(house, day, record.at, row).await,
        }
    }

    /// Records of earlier dates that no statement has satisfied yet.
    async fn put_carried(
        &self,
        house: &House,
        date: BusinessDate,
        sheet: &mut Sheet,
        failed: &impl Fn(io::Error) -> BackofficeError,
    ) -> Result<(), BackofficeError> {
        let mut after = None;
        // Bounded by what is open: each page goes on after the last.
        loop {
            let page = self.store().open_differences(house.channel.clone(), after, PAGE).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(last.id);
            let alone = page.iter().filter(|row| row.line.is_none());
            for record in alone.filter_map(|row| row.record.as_ref()) {
                if record.date < date {
                    sheet.put(record).map_err(failed)?;
                }
            }
        }
    }

    /// Records of other dates that this date's statement had satisfied.
    async fn put_satisfied(
        &self,
        house: &House,
        (date, next): (BusinessDate, BusinessDate),
        sheet: &mut Sheet,
        failed: &impl Fn(io::Error) -> BackofficeError,
    ) -> Result<(), BackofficeError> {
        let mut after = None;
        // Bounded by the statement's differences: each page goes on after the last.
        loop {
            let channel = house.channel.clone();
            let page = self.store().differences_of_lines(channel, date, after, PAGE).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = last.line.as_ref().map(|line| line.digest);
            for record in page.iter().filter_map(|row| row.record.as_ref()) {
                if record.date != date && record.date != next {
                    sheet.put(record).map_err(failed)?;
                }
            }
        }
    }
}

/// The rows of a day's records: a walk beside the walk over the records.
struct Rows<'a> {
    office: &'a Backoffice,
    house: &'a House,
    day: BusinessDate,
    page: std::vec::IntoIter<Difference>,
    ahead: Option<Difference>,
    after: Option<ChannelOrderNo>,
    is_over: bool,
}

impl<'a> Rows<'a> {
    fn new(office: &'a Backoffice, house: &'a House, day: BusinessDate) -> Self {
        let page = Vec::new().into_iter();
        Self { office, house, day, page, ahead: None, after: None, is_over: false }
    }

    /// The row of a record; numbers are asked for in their order.
    async fn of(&mut self, number: ChannelOrderNo) -> Result<Option<&Difference>, BackofficeError> {
        // Ends with the rows, or with the first that does not lie behind.
        while !self.is_over {
            let of = |row: &Difference| row.record.as_ref().map(|record| record.channel_order_no);
            if self.ahead.as_ref().is_some_and(|row| of(row) >= Some(number)) {
                break;
            }
            self.ahead = match self.page.next() {
                Some(row) => Some(row),
                None => self.next_page().await?,
            };
        }
        let own = |row: &&Difference| {
            row.record.as_ref().is_some_and(|record| record.channel_order_no == number)
        };
        Ok(self.ahead.as_ref().filter(own))
    }

    async fn next_page(&mut self) -> Result<Option<Difference>, BackofficeError> {
        let (store, channel) = (self.office.store(), self.house.channel.clone());
        let page = store.differences_of_records(channel, self.day, self.after, PAGE).await?;
        let last = page.last().and_then(|row| row.record.as_ref());
        match last {
            Some(record) => self.after = Some(record.channel_order_no),
            None => self.is_over = true,
        }
        self.page = page.into_iter();
        Ok(self.page.next())
    }
}
