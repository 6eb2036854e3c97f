//! An attempt that no whole statement shows never arrived, where the channel's file says so (I-3).

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::domain::attempt::{Attempt, AttemptState, Evidence, Source};
use crate::domain::books::difference::days_after;
use crate::domain::books::reconcile::Class;
use crate::domain::books::reconciliation::{BatchState, Reconciliation};
use crate::domain::ids::ChannelOrderNo;
use crate::domain::order::Order;
use crate::domain::outcome::Outcome;
use crate::domain::time::BusinessDate;
use crate::engine::EngineError;
use crate::reconciliation::books::{ChannelBooks, ChannelContext};
use crate::reconciliation::matching::numbers_named;
use crate::reconciliation::{NOTHING, PAGE, ReconciliationError};

use super::inbox::Inbox;

const CODE: &str = "absent";
/// Attempts that may be absent: the date on which each was sent, and the last that it waits for.
type AbsentAttempts = BTreeMap<ChannelOrderNo, (BusinessDate, BusinessDate)>;
/// Attempts that are looked at after one run; the rest are found by the next one.
const ATTEMPTS_MAX: usize = 10_000;

/// A look for what a channel's statements do not have.
pub struct AbsenceCheck<'a> {
    pub books: &'a ChannelBooks,
    pub inbox: &'a Inbox,
    /// For temporary files.
    pub folder: &'a Path,
    pub context: &'a ChannelContext,
}

impl AbsenceCheck<'_> {
    /// Ends the attempts that none of the statements of their day and the days behind it shows.
    /// Does nothing unless the channel's file has `absence_proves_after_days`.
    pub async fn end_absent(&self, date: BusinessDate) -> Result<usize, ReconciliationError> {
        let Some(days) = self.context.statement.absence_proves_after_days else { return Ok(0) };
        let (mut whole, mut absent) = (BTreeMap::new(), AbsentAttempts::new());
        for (order, attempt) in self.unresolved().await? {
            // An attempt that the channel has acknowledged has arrived, whatever its statements
            // list.
            if attempt.state == AttemptState::Pending || attempt.channel_reference.is_some() {
                continue;
            }
            let sent =
                self.context.present.business_date(&self.context.terms.calendar, attempt.sent_at);
            let last = days_after(sent, days);
            // Only what this statement has made certain.
            if sent > date || last < date {
                continue;
            }
            if self.are_whole(sent, days, &mut whole).await? {
                absent.insert(order.channel_order_no(attempt.number), (sent, last));
            }
        }
        self.exclude_unexplained(&mut absent).await?;
        self.keep_named(&mut absent).await?;
        let mut ended = 0;
        for (number, (_, last)) in absent {
            ended += usize::from(self.end_absent_attempt(number, last).await?);
        }
        Ok(ended)
    }

    /// Attempts at the channel whose end is not known.
    async fn unresolved(&self) -> Result<Vec<(Order, Attempt)>, ReconciliationError> {
        let (mut found, mut after) = (Vec::new(), None);
        // Bounded by the temp reversal table: each page goes on after the last.
        loop {
            let page = self.books.store().reversals(after, PAGE).await?;
            let Some(last) = page.last() else { return Ok(found) };
            after = Some(last.order);
            for entry in page.iter().filter(|entry| entry.channel == self.context.channel) {
                let Some(order) = self.books.store().order(entry.order).await? else { continue };
                let open =
                    order.unresolved().filter(|one| one.channel == self.context.channel).cloned();
                found.extend(open.map(|attempt| (order, attempt)));
                if found.len() >= ATTEMPTS_MAX {
                    return Ok(found);
                }
            }
        }
    }

    /// Whether the statements of a date and of the days behind it are there and whole.
    async fn are_whole(
        &self,
        from: BusinessDate,
        days: u16,
        known: &mut BTreeMap<BusinessDate, bool>,
    ) -> Result<bool, ReconciliationError> {
        for day in (0..=days).map(|day| days_after(from, day)) {
            let is_whole = match known.get(&day) {
                Some(known) => *known,
                None => {
                    let channel = self.context.channel.clone();
                    let batch = self.books.store().current_reconciliation(channel, day).await?;
                    let whole = batch.is_some_and(|batch| is_whole(&batch));
                    known.insert(day, whole);
                    whole
                }
            };
            if !is_whole {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Takes out what a line that nobody has explained yet may be about: one of the days
    /// concerned whose number is none of ours, or is the attempt's own.
    async fn exclude_unexplained(
        &self,
        absent: &mut AbsentAttempts,
    ) -> Result<(), ReconciliationError> {
        let mut after = None;
        // Bounded by what is open: each page goes on after the last.
        while !absent.is_empty() {
            let page = self
                .books
                .store()
                .open_differences(self.context.channel.clone(), after, PAGE)
                .await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(last.id);
            for line in
                page.iter().filter(|row| row.record.is_none()).filter_map(|row| row.line.as_ref())
            {
                match ChannelOrderNo::parse(&line.order_no) {
                    Some(number) => {
                        absent.remove(&number);
                    }
                    None => absent.retain(|_, (sent, last)| !(*sent..=*last).contains(&line.date)),
                }
            }
        }
        Ok(())
    }

    /// Takes out what any line of the statements concerned names, in whatever words: one that was
    /// passed over, or that is about another operation.
    async fn keep_named(&self, absent: &mut AbsentAttempts) -> Result<(), ReconciliationError> {
        let Some(layout) = &self.context.statement.layout else { return Ok(()) };
        let mut by_date: BTreeMap<BusinessDate, BTreeSet<ChannelOrderNo>> = BTreeMap::new();
        for (number, (sent, last)) in absent.iter() {
            let mut day = *sent;
            // Bounded by the days of the channel's file.
            while day <= *last {
                by_date.entry(day).or_default().insert(*number);
                day = days_after(day, 1);
            }
        }
        for (date, wanted) in by_date {
            let revisions =
                self.books.store().statement_revisions(self.context.channel.clone(), date).await?;
            let leads = revisions.iter().max_by_key(|revision| revision.revision);
            let Some(name) = leads.map(|revision| &revision.name).filter(|name| *name != NOTHING)
            else {
                continue;
            };
            let file = self.inbox.folder(&self.context.channel, date).join(name);
            let (layout, folder) = (layout.clone(), self.folder.to_owned());
            let found = tokio::task::spawn_blocking(move || {
                numbers_named(&file, &layout, &folder, &wanted)
            });
            let found = found.await.map_err(|_| ReconciliationError::Died)?;
            for number in found.map_err(|error| ReconciliationError::Failed(Box::new(error)))? {
                absent.remove(&number);
            }
        }
        Ok(())
    }

    /// Whether the absence has ended the attempt: an acknowledged attempt stays open.
    async fn end_absent_attempt(
        &self,
        number: ChannelOrderNo,
        last: BusinessDate,
    ) -> Result<bool, ReconciliationError> {
        let evidence = Evidence {
            source: Source::Statement,
            attempt: number.attempt,
            outcome: Outcome::NotFound { code: CODE.to_owned() },
            as_of: self.context.terms.calendar.beginning_of(last.next()),
            objection: None,
            transcript: format!("no statement up to {last} shows it"),
            sent: String::new(),
        };
        match self.books.engine().weigh(number.order, evidence).await {
            Ok(order) => {
                let attempt = order.attempt(number.attempt);
                Ok(attempt.is_some_and(|attempt| !attempt.state.is_unresolved()))
            }
            Err(EngineError::Refused(refusal)) => {
                tracing::warn!(
                    order.id = %number.order, %refusal,
                    "absence in statements is refused as evidence; the order stays as it is"
                );
                Ok(false)
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// A statement with a line that cannot be read, without its end, or whose lines nothing counts, may
/// show anything.
fn is_whole(batch: &Reconciliation) -> bool {
    let kept = |kind: &str| matches!(kind, "revision" | "balanced_differs");
    batch.state == BatchState::Current
        && batch.report.totals.count(Class::BadLine) == 0
        && batch.report.problems.iter().all(|problem| kept(&problem.kind))
}
