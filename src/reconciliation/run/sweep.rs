//! After the findings: rows of the date that the batch has not found any more.

use std::collections::HashSet;

use crate::domain::books::difference::{Difference, DifferenceState};
use crate::domain::books::reconcile::Class;
use crate::domain::ids::DifferenceId;
use crate::engine::CommitRounds;

use super::BatchRun;
use super::chunk::{BalancedLine, Chunk};
use crate::reconciliation::{PAGE, ReconciliationError};

impl BatchRun<'_> {
    /// Goes through all rows that have a line or a record of the date.
    pub(super) async fn sweep(
        &mut self,
        found: &HashSet<DifferenceId>,
    ) -> Result<(), ReconciliationError> {
        let (store, channel) = (self.books.store().clone(), self.context.channel.clone());
        let (mut after, mut gone) = (None, Vec::new());
        // Bounded by the rows of the date: each page goes on after the last.
        loop {
            let page = store.differences_of_lines(channel.clone(), self.date, after, PAGE).await?;
            let Some(last) = page.last() else { break };
            after = last.line.as_ref().map(|line| line.digest);
            self.sweep_page(&page, found).await?;
            let netted = |row: &&Difference| row.class == Class::Netted && !found.contains(&row.id);
            gone.extend(page.iter().filter(netted).cloned());
        }
        self.part_across(&gone).await?;
        let mut after = None;
        loop {
            let page =
                store.differences_of_records(channel.clone(), self.date, after, PAGE).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = last.record.as_ref().map(|record| record.channel_order_no);
            self.sweep_page(&page, found).await?;
        }
    }

    async fn sweep_page(
        &mut self,
        page: &[Difference],
        found: &HashSet<DifferenceId>,
    ) -> Result<(), ReconciliationError> {
        let mut tries = CommitRounds::default();
        loop {
            let mut chunk = self.chunk();
            for row in page.iter().filter(|row| !found.contains(&row.id)) {
                // A person may have balanced it since the page was read.
                let Some(row) = self.books.store().difference(row.id).await? else { continue };
                self.sweep_row(&mut chunk, row).await?;
            }
            if self.commit_chunk(&mut tries, chunk).await? {
                return Ok(());
            }
        }
    }

    async fn sweep_row(
        &self,
        chunk: &mut Chunk<'_>,
        row: Difference,
    ) -> Result<(), ReconciliationError> {
        let row = chunk.latest(row);
        let own_line = row.line.as_ref().is_some_and(|line| line.date == self.date);
        let own_record = row.record.as_ref().is_some_and(|record| record.date == self.date);
        if row.line.is_some() && !own_line {
            // Another date's statement has satisfied the record: the record took no part.
            return Ok(());
        }
        if row.state == DifferenceState::Balanced {
            if !row.gaps().is_empty() {
                chunk.unsaid.push(BalancedLine { difference: row.id, line: 0 });
            }
            return Ok(());
        }
        match (own_line, own_record) {
            // A record of another date, which a line of this statement had satisfied.
            (true, false) if row.record.is_some() => chunk.lose_line(&row).await,
            (true, false) => {
                chunk.without_finding(&row, "the line is gone, or matches");
                Ok(())
            }
            (_, true) => {
                chunk.without_finding(&row, "matched");
                Ok(())
            }
            (false, false) => Ok(()),
        }
    }
}
