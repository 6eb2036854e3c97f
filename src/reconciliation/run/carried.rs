//! Before the findings: lines of earlier dates are tried again.

use crate::domain::books::difference::Finding;
use crate::domain::books::reconcile::{Class, Judge, MatchKey};
use crate::domain::ids::{ChannelOrderNo, DifferenceId};
use crate::engine::CommitRounds;
use crate::reconciliation::{BackofficeError, PAGE};

use super::BatchRun;
use super::chunk::Chunk;
use super::evidence::side_of;

impl BatchRun<'_> {
    /// Tries the open lines of earlier dates against records that have appeared since.
    pub(super) async fn retry_lines(&mut self) -> Result<(), BackofficeError> {
        let (store, channel) = (self.office.store().clone(), self.context.channel.clone());
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

    async fn retry_line(&mut self, id: DifferenceId) -> Result<(), BackofficeError> {
        let mut tries = CommitRounds::default();
        loop {
            let row = self.office.difference(id).await?;
            let Some((line, item)) = row.line.as_ref().and_then(|line| Some((line, line.item?)))
            else {
                return Ok(());
            };
            let Some(number) = ChannelOrderNo::parse(&line.order_no) else { return Ok(()) };
            let record = self.office.record_of(self.context, line.date, number).await?;
            let Some(record) = record else { return Ok(()) };
            let (channel, store) = (self.context.channel.clone(), self.office.store());
            let own = store.difference_of_record(channel, record.date, number).await?;
            let (day, at) = (record.date, record.at);
            let free = self.office.is_unmatched(self.context, day, at, own.as_ref()).await?;
            if !row.state.is_open() || !free {
                return Ok(());
            }
            let record = side_of(&record);
            let judge = Judge::new(self.context.statement.tolerance);
            let class = judge.pair(&item, &record.item, MatchKey::OrderNo);
            let claimed = self.office.contradicted_money(&record).await?;
            let (key, line, record) = (MatchKey::OrderNo, Some(line.clone()), Some(record));
            let finding = Finding { class, key, line, record, claimed, elsewhere: None };
            let mut chunk = Chunk::new(self.office, self.context, self.batch.id, self.date);
            chunk.take(finding, None).await?;
            if self.commit_chunk(&mut tries, chunk).await? {
                return Ok(());
            }
        }
    }
}
