//! Passing on what a test's store does not change: listings, and the books beside orders.

/// The functions of `Store` that read closes, statements, reconciliations, differences and
/// settlements: each asks the store that `$inner()` gives, and hands the reading to `$through()`.
/// What the signatures name must be in scope: see [`books_types`].
macro_rules! pass_books_on {
    ($inner:ident, $through:ident) => {
        fn transactions(
            &self,
            after: Option<OrderId>,
            limit: usize,
        ) -> StoreFuture<'_, Result<Vec<Transaction>, StoreError>> {
            self.$through(self.$inner().transactions(after, limit))
        }

        fn transactions_of_day(
            &self,
            channel: ChannelId,
            date: BusinessDate,
            after: Option<ChannelOrderNo>,
            limit: usize,
        ) -> StoreFuture<'_, Result<Vec<Transaction>, StoreError>> {
            self.$through(self.$inner().transactions_of_day(channel, date, after, limit))
        }

        fn all_contradictions(
            &self,
            after: Option<ContradictionPlace>,
            limit: usize,
        ) -> StoreFuture<'_, Result<Vec<Contradiction>, StoreError>> {
            self.$through(self.$inner().all_contradictions(after, limit))
        }

        fn accounting_backlog(&self) -> StoreFuture<'_, Result<Backlog, StoreError>> {
            self.$through(self.$inner().accounting_backlog())
        }

        fn closed_through(
            &self,
            channel: ChannelId,
        ) -> StoreFuture<'_, Result<Option<BusinessDate>, StoreError>> {
            self.$through(self.$inner().closed_through(channel))
        }

        fn day_close(
            &self,
            channel: ChannelId,
            date: BusinessDate,
        ) -> StoreFuture<'_, Result<Option<DayClose>, StoreError>> {
            self.$through(self.$inner().day_close(channel, date))
        }

        fn statement_revisions(
            &self,
            channel: ChannelId,
            date: BusinessDate,
        ) -> StoreFuture<'_, Result<Vec<StatementRevision>, StoreError>> {
            self.$through(self.$inner().statement_revisions(channel, date))
        }

        fn reconciliation(
            &self,
            id: BatchId,
        ) -> StoreFuture<'_, Result<Option<Reconciliation>, StoreError>> {
            self.$through(self.$inner().reconciliation(id))
        }

        fn reconciliations(
            &self,
            channel: Option<ChannelId>,
            date: Option<BusinessDate>,
            after: Option<BatchId>,
            limit: usize,
        ) -> StoreFuture<'_, Result<Vec<Reconciliation>, StoreError>> {
            self.$through(self.$inner().reconciliations(channel, date, after, limit))
        }

        fn current_reconciliation(
            &self,
            channel: ChannelId,
            date: BusinessDate,
        ) -> StoreFuture<'_, Result<Option<Reconciliation>, StoreError>> {
            self.$through(self.$inner().current_reconciliation(channel, date))
        }

        fn running_reconciliations(
            &self,
        ) -> StoreFuture<'_, Result<Vec<Reconciliation>, StoreError>> {
            self.$through(self.$inner().running_reconciliations())
        }

        fn agreed_lines(
            &self,
            id: BatchId,
        ) -> StoreFuture<'_, Result<Option<Vec<u8>>, StoreError>> {
            self.$through(self.$inner().agreed_lines(id))
        }

        fn found_differences(
            &self,
            batch: BatchId,
            after: Option<u32>,
            limit: usize,
        ) -> StoreFuture<'_, Result<Vec<FoundRow>, StoreError>> {
            self.$through(self.$inner().found_differences(batch, after, limit))
        }

        fn difference(
            &self,
            id: DifferenceId,
        ) -> StoreFuture<'_, Result<Option<Difference>, StoreError>> {
            self.$through(self.$inner().difference(id))
        }

        fn difference_of_record(
            &self,
            channel: ChannelId,
            date: BusinessDate,
            number: ChannelOrderNo,
        ) -> StoreFuture<'_, Result<Option<Difference>, StoreError>> {
            self.$through(self.$inner().difference_of_record(channel, date, number))
        }

        fn difference_of_line(
            &self,
            channel: ChannelId,
            date: BusinessDate,
            digest: [u8; 16],
        ) -> StoreFuture<'_, Result<Option<Difference>, StoreError>> {
            self.$through(self.$inner().difference_of_line(channel, date, digest))
        }

        fn differences_of_records(
            &self,
            channel: ChannelId,
            date: BusinessDate,
            after: Option<ChannelOrderNo>,
            limit: usize,
        ) -> StoreFuture<'_, Result<Vec<Difference>, StoreError>> {
            self.$through(self.$inner().differences_of_records(channel, date, after, limit))
        }

        fn differences_of_lines(
            &self,
            channel: ChannelId,
            date: BusinessDate,
            after: Option<[u8; 16]>,
            limit: usize,
        ) -> StoreFuture<'_, Result<Vec<Difference>, StoreError>> {
            self.$through(self.$inner().differences_of_lines(channel, date, after, limit))
        }

        fn open_differences(
            &self,
            channel: ChannelId,
            after: Option<DifferenceId>,
            limit: usize,
        ) -> StoreFuture<'_, Result<Vec<Difference>, StoreError>> {
            self.$through(self.$inner().open_differences(channel, after, limit))
        }

        fn due_differences(
            &self,
            due: Due,
            limit: usize,
        ) -> StoreFuture<'_, Result<Vec<Difference>, StoreError>> {
            self.$through(self.$inner().due_differences(due, limit))
        }

        fn settlement(
            &self,
            id: SettlementId,
        ) -> StoreFuture<'_, Result<Option<ChannelSettlement>, StoreError>> {
            self.$through(self.$inner().settlement(id))
        }

        fn settlements(
            &self,
            channel: ChannelId,
            after: Option<SettlementId>,
            limit: usize,
        ) -> StoreFuture<'_, Result<Vec<ChannelSettlement>, StoreError>> {
            self.$through(self.$inner().settlements(channel, after, limit))
        }

        fn settlement_by_receipt(
            &self,
            channel: ChannelId,
            bank_reference: String,
        ) -> StoreFuture<'_, Result<Option<ChannelSettlement>, StoreError>> {
            self.$through(self.$inner().settlement_by_receipt(channel, bank_reference))
        }

        fn settled_date(
            &self,
            channel: ChannelId,
            date: BusinessDate,
            currency: Currency,
        ) -> StoreFuture<'_, Result<Option<SettledDate>, StoreError>> {
            self.$through(self.$inner().settled_date(channel, date, currency))
        }
    };
}

pub(crate) use pass_books_on;

/// What the signatures of [`pass_books_on`] name, beside `ChannelId`, `BusinessDate`, `Timestamp`,
/// `StoreError` and `StoreFuture`, which every store names itself.
pub mod books_types {
    pub use switchyard::domain::books::day_close::DayClose;
    pub use switchyard::domain::books::difference::Difference;
    pub use switchyard::domain::books::reconciliation::Reconciliation;
    pub use switchyard::domain::books::settlement::{ChannelSettlement, SettledDate};
    pub use switchyard::domain::books::statement::StatementRevision;
    pub use switchyard::domain::ids::{BatchId, ChannelOrderNo, DifferenceId, SettlementId};
    pub use switchyard::domain::money::Currency;
    pub use switchyard::store::{Backlog, ContradictionPlace, FoundRow};
}
