//! Before the findings: lines of earlier dates are tried again.

use crate::domain::books::clearing::{ClearingRecord, ClearingState};
use crate::domain::books::difference::{Finding, RecordSide};
use crate::domain::books::reconcile::{Class, Item, Judge, MatchKey, Status};
use crate::domain::ids::{ChannelOrderNo, DifferenceId};
use crate::engine::CommitRounds;
use crate::reconciliation::{PAGE, ReconciliationError};

use super::BatchRun;

impl BatchRun<'_> {
    /// Tries the open lines of earlier dates against records that have appeared since.
    pub(super) async fn retry_lines(&mut self) -> Result<(), ReconciliationError> {
        let (store, channel) = (self.books.store().clone(), self.context.channel.clone());
        let mut after = None;
        // Bounded by what is open: each page goes on after the last.
        loop {
            let page = store.open_differences(channel.clone(), after, PAGE).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(last.id);
            for row in &page {
                let alone = row.class == Class::OnlyTheirs && row.record.is_none();
                let earlier = row.line.as_ref().is_some_and(|line| line.date < self.date);
                if alone && earlier {
                    self.retry_line(row.id).await?;
                }
            }
        }
    }

    async fn retry_line(&mut self, id: DifferenceId) -> Result<(), ReconciliationError> {
        let mut tries = CommitRounds::default();
        loop {
            let row = self.books.difference(id).await?;
            let Some((line, item)) = row.line.as_ref().and_then(|line| Some((line, line.item?)))
            else {
                return Ok(());
            };
            let Some(number) = ChannelOrderNo::parse(&line.order_no) else { return Ok(()) };
            let record = self.books.record_of(&self.context.channel, line.date, number).await?;
            let Some(record) = record else { return Ok(()) };
            let (channel, store) = (self.context.channel.clone(), self.books.store());
            let own = store.difference_of_record(channel, record.date, number).await?;
            let (day, at) = (record.date, record.at);
            let free =
                self.books.is_unmatched(&self.context.channel, day, at, own.as_ref()).await?;
            if !row.state.is_open() || !free {
                return Ok(());
            }
            let record = side_of(&record);
            let judge = Judge::new(self.context.statement.tolerance);
            let class = judge.pair(&item, &record.item, MatchKey::OrderNo);
            let claimed = self.books.contradicted_money(&record).await?;
            let (key, line, record) = (MatchKey::OrderNo, Some(line.clone()), Some(record));
            let finding = Finding { class, key, line, record, claimed, elsewhere: None };
            let mut chunk = self.chunk();
            chunk.take(finding, None).await?;
            if self.commit_chunk(&mut tries, chunk).await? {
                return Ok(());
            }
        }
    }
}

/// Our record's side as a difference keeps it.
fn side_of(record: &ClearingRecord) -> RecordSide {
    let contradicted = record.state == ClearingState::Contradicted;
    let item = Item::of(record);
    assert_eq!(item.status == Status::Failed, contradicted, "a claim is no success of ours");
    RecordSide {
        date: record.date,
        channel_order_no: record.channel_order_no,
        reference: record.channel_reference.clone(),
        item,
    }
}
