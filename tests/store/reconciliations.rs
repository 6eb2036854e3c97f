//! Closes, statements, reconciliation batches with their listings, and settlements.

use switchyard::domain::books::clearing::ClearingRecord;
use switchyard::domain::books::day_close::DayClose;
use switchyard::domain::books::difference::DifferenceState;
use switchyard::domain::books::reconcile::Class;
use switchyard::domain::books::reconciliation::{BatchState, Reconciliation};
use switchyard::domain::books::settlement::ChannelSettlement;
use switchyard::domain::ids::ChannelId;
use switchyard::domain::money::Currency;
use switchyard::domain::time::BusinessDate;
use switchyard::domain::write_set::{ReadGuard, WriteSet};
use switchyard::store::Store;

use crate::rows::{
    batch_id, changed, close, day, difference, ended, found, neighbour, reconciliation, sequence,
    settled, settlement, settlement_id, statement,
};
use crate::support::books::{self, accepted, channel, id, order};
use crate::{commit, read, refuse};

fn closing(closes: Vec<DayClose>) -> WriteSet {
    WriteSet { closes, ..WriteSet::default() }
}

pub async fn a_close_is_read_back_and_later_ones_follow(store: &dyn Store) {
    assert_eq!(read(store.clearing_days(channel())).await.closed_through, None);
    let first = close(channel(), day(22));
    commit(store, closing(vec![first.clone()])).await;
    assert_eq!(read(store.day_close(channel(), day(22))).await, Some(first.clone()));
    assert_eq!(read(store.day_close(channel(), day(21))).await, None);
    assert_eq!(read(store.clearing_days(channel())).await.closed_through, Some(day(22)));
    assert_eq!(read(store.clearing_days(neighbour())).await.closed_through, None);
    refuse(store, closing(vec![first]), "a closed day closed again").await;
    refuse(store, closing(vec![close(channel(), day(21))]), "a day before the last").await;
    let two = vec![close(channel(), day(23)), close(channel(), day(24))];
    commit(store, closing(two)).await;
    assert_eq!(read(store.clearing_days(channel())).await.closed_through, Some(day(24)));
    let turned = vec![close(channel(), day(26)), close(channel(), day(25))];
    refuse(store, closing(turned), "two closes out of order").await;
    assert_eq!(read(store.day_close(channel(), day(26))).await, None);
    commit(store, closing(vec![close(neighbour(), day(20))])).await;
}

pub async fn a_shut_day_takes_no_records_and_can_be_closed(store: &dyn Store) {
    let shut = |date| WriteSet { shut: vec![(channel(), date)], ..WriteSet::default() };
    let cleared = |sequence, date| {
        let line = books::clearing(&books::transaction(&order(sequence)));
        let clearing = vec![ClearingRecord { date, ..line }];
        WriteSet { clearing, ..accepted(&order(sequence)) }
    };
    let days = async || {
        let days = read(store.clearing_days(channel())).await;
        (days.closed_through, days.shut_through)
    };
    commit(store, cleared(1, day(22))).await;
    commit(store, shut(day(22))).await;
    assert_eq!(days().await, (None, Some(day(22))));
    refuse(store, cleared(2, day(22)), "the day is shut").await;
    refuse(store, cleared(2, day(21)), "an earlier day is shut too").await;
    commit(store, cleared(2, day(23))).await;
    commit(store, shut(day(22))).await;
    commit(store, closing(vec![close(channel(), day(22))])).await;
    assert_eq!(days().await, (Some(day(22)), Some(day(22))));
    refuse(store, shut(day(22)), "it is closed").await;
    commit(store, shut(day(24))).await;
    refuse(store, WriteSet { shut: vec![(channel(), day(30))], ..cleared(3, day(25)) }, "its own")
        .await;
    commit(store, closing(vec![close(channel(), day(23))])).await;
    assert_eq!(days().await, (Some(day(23)), Some(day(24))), "it stays shut");
    refuse(store, cleared(3, day(24)), "the later day is shut still").await;
}

pub async fn a_closed_day_takes_no_more_clearing_records(store: &dyn Store) {
    let cleared = |sequence, channel: ChannelId, date: BusinessDate| {
        let line = books::clearing(&books::transaction(&order(sequence)));
        WriteSet {
            clearing: vec![ClearingRecord { channel, date, ..line }],
            ..accepted(&order(sequence))
        }
    };
    commit(store, cleared(1, channel(), day(22))).await;
    commit(store, closing(vec![close(channel(), day(22))])).await;
    refuse(store, cleared(2, channel(), day(22)), "the day is closed").await;
    refuse(store, cleared(2, channel(), day(21)), "an earlier day is closed too").await;
    assert_eq!(read(store.order(id(2))).await, None);
    commit(store, cleared(2, channel(), day(23))).await;
    commit(store, cleared(3, neighbour(), day(22))).await;
    let own = close(channel(), day(24));
    let with_its_close = WriteSet { closes: vec![own], ..cleared(4, channel(), day(24)) };
    refuse(store, with_its_close, "the write set's own close").await;
    let mut mixed = cleared(5, neighbour(), day(22));
    mixed.clearing.extend(cleared(6, channel(), day(30)).clearing);
    mixed.clearing.extend(cleared(7, channel(), day(22)).clearing);
    refuse(store, mixed, "one of its records is too late").await;
    assert_eq!(read(store.clearing(channel(), day(22), None, 9)).await.len(), 1);
    assert!(read(store.clearing(channel(), day(30), None, 9)).await.is_empty());
}

pub async fn statements_are_listed_by_revision(store: &dyn Store) {
    let revisions = [1, 300, 2].map(|revision| statement(day(22), revision));
    commit(store, WriteSet { statements: revisions.to_vec(), ..WriteSet::default() }).await;
    let other = vec![statement(day(23), 1)];
    commit(store, WriteSet { statements: other.clone(), ..WriteSet::default() }).await;
    let listed = read(store.statement_revisions(channel(), day(22))).await;
    assert_eq!(listed, [1, 2, 300].map(|revision| statement(day(22), revision)));
    assert_eq!(read(store.statement_revisions(channel(), day(23))).await, other);
    assert!(read(store.statement_revisions(neighbour(), day(22))).await.is_empty());
    refuse(store, WriteSet { statements: other, ..WriteSet::default() }, "a revision twice").await;
}

fn batches(reconciliations: &[Reconciliation]) -> WriteSet {
    WriteSet { reconciliations: reconciliations.to_vec(), ..WriteSet::default() }
}

fn batch_names(batches: &[Reconciliation]) -> Vec<u64> {
    batches.iter().map(|batch| sequence(batch.id.chain())).collect()
}

pub async fn reconciliations_are_listed_by_channel_and_date(store: &dyn Store) {
    let places = [(4, 22), (1, 23), (300, 22), (2, 22)];
    for (sequence, date) in places {
        let batch = reconciliation(sequence, channel(), day(date));
        commit(store, batches(std::slice::from_ref(&batch))).await;
        refuse(store, batches(&[batch]), "version 1 over 1").await;
    }
    commit(store, batches(&[reconciliation(3, neighbour(), day(22))])).await;
    let list = async |channel, date: Option<u32>, after: Option<u64>, limit| {
        let page = store.reconciliations(channel, date.map(day), after.map(batch_id), limit);
        batch_names(&read(page).await)
    };
    assert_eq!(list(None, None, None, 9).await, [1, 2, 3, 4, 300]);
    assert_eq!(list(None, None, Some(2), 2).await, [3, 4]);
    assert_eq!(list(None, Some(23), None, 9).await, [1, 2, 3, 4, 300], "a date alone");
    let own = || Some(channel());
    assert_eq!(list(own(), None, None, 9).await, [1, 2, 4, 300]);
    assert_eq!(list(own(), None, Some(1), 2).await, [2, 4]);
    assert_eq!(list(own(), Some(22), None, 9).await, [2, 4, 300]);
    assert_eq!(list(own(), Some(22), Some(4), 9).await, [300]);
    assert!(list(own(), Some(22), None, 0).await.is_empty());
    assert_eq!(list(Some(neighbour()), None, None, 9).await, [3]);
    let kept = reconciliation(4, channel(), day(22));
    assert_eq!(read(store.reconciliation(kept.id)).await, Some(kept));
    assert_eq!(read(store.reconciliation(batch_id(5))).await, None);
}

pub async fn one_reconciliation_is_current(store: &dyn Store) {
    let current =
        async |date| read(store.current_reconciliation(channel(), day(date))).await.map(|b| b.id);
    let first = reconciliation(1, channel(), day(22));
    let second = reconciliation(2, channel(), day(22));
    let elsewhere =
        [reconciliation(3, neighbour(), day(22)), reconciliation(4, channel(), day(23))];
    commit(store, batches(&[first.clone(), second.clone()])).await;
    assert_eq!(current(22).await, None);
    let first = ended(&first, BatchState::Current);
    commit(store, batches(std::slice::from_ref(&first))).await;
    assert_eq!(current(22).await, Some(first.id));
    for batch in elsewhere {
        let now = ended(&batch, BatchState::Current);
        commit(store, batches(&[batch, now])).await;
    }
    let second = ended(&second, BatchState::Current);
    refuse(store, batches(std::slice::from_ref(&second)), "the first is current").await;
    assert_eq!(current(22).await, Some(first.id));
    // The new one first: what is given up counts wherever it stands in the write set.
    let superseded = ended(&first, BatchState::Superseded);
    commit(store, batches(&[second.clone(), superseded.clone()])).await;
    assert_eq!(current(22).await, Some(second.id));
    assert_eq!(current(23).await, Some(batch_id(4)));
    let back = ended(&superseded, BatchState::Current);
    let gone = ended(&second, BatchState::Abandoned);
    commit(store, batches(&[gone, back])).await;
    assert_eq!(current(22).await, Some(first.id));
}

pub async fn running_reconciliations_are_found_again(store: &dyn Store) {
    let begun = [5, 1, 3].map(|sequence| reconciliation(sequence, channel(), day(22)));
    commit(store, batches(&begun)).await;
    let running = async || batch_names(&read(store.running_reconciliations()).await);
    assert_eq!(running().await, [1, 3, 5]);
    commit(store, batches(&[ended(&begun[1], BatchState::Abandoned)])).await;
    commit(store, batches(&[ended(&begun[2], BatchState::Current)])).await;
    assert_eq!(running().await, [5]);
}

pub async fn agreed_lines_come_back_as_they_were_written(store: &dyn Store) {
    assert_eq!(read(store.agreed_lines(batch_id(1))).await, None);
    // The length of a part, and of ten million lines with a bit each.
    for (sequence, length) in [(1, 0), (2, 1), (3, 32_768), (4, 32_767), (5, 1_250_000)] {
        let lines: Vec<u8> = (0..=u8::MAX).cycle().take(length).collect();
        let writes = WriteSet {
            agreed_lines: vec![(batch_id(sequence), lines.clone())],
            ..WriteSet::default()
        };
        commit(store, writes.clone()).await;
        let kept = read(store.agreed_lines(batch_id(sequence))).await;
        assert!(kept == Some(lines), "{length} bytes");
        refuse(store, writes, "agreed lines are written once").await;
    }
    assert_eq!(read(store.agreed_lines(batch_id(6))).await, None);
}

pub async fn a_batch_lists_what_it_found(store: &dyn Store) {
    // A write set holds so many at once.
    let rows: Vec<_> = (0..500_u32)
        .map(|ordinal| found(1, ordinal, Class::OnlyTheirs, u64::from(ordinal % 7)))
        .collect();
    let differences: Vec<_> = (0..7).map(difference).collect();
    commit(store, WriteSet { found: rows.clone(), differences, ..WriteSet::default() }).await;
    let later = vec![found(2, 0, Class::Matched, 3), found(1, 500, Class::BadLine, 3)];
    commit(store, WriteSet { found: later, ..WriteSet::default() }).await;
    let list = async |batch, after, limit| {
        let page = read(store.found_differences(batch_id(batch), after, limit)).await;
        let name = |row: &switchyard::store::FoundRow| (row.0, row.1, sequence(row.2.id.chain()));
        page.iter().map(name).collect::<Vec<_>>()
    };
    assert_eq!(list(1, None, 2).await, [(0, Class::OnlyTheirs, 0), (1, Class::OnlyTheirs, 1)]);
    let last = [(499, Class::OnlyTheirs, 499 % 7), (500, Class::BadLine, 3)];
    assert_eq!(list(1, Some(498), 9).await, last);
    assert_eq!(list(1, None, 1_000).await.len(), 501);
    assert_eq!(list(2, None, 9).await, [(0, Class::Matched, 3)]);
    assert!(list(3, None, 9).await.is_empty());
    // The listing keeps the class and shows the difference as it is.
    let mut moved = changed(&difference(3));
    moved.state = DifferenceState::Cleared;
    moved.class = Class::MatchedLate;
    commit(store, WriteSet { differences: vec![moved.clone()], ..WriteSet::default() }).await;
    let page = read(store.found_differences(batch_id(1), Some(499), 1)).await;
    assert_eq!(page, [(500, Class::BadLine, moved)]);
    refuse(store, WriteSet { found: rows[3..4].to_vec(), ..WriteSet::default() }, "a place twice")
        .await;
}

fn settlements(settlements: &[ChannelSettlement]) -> WriteSet {
    WriteSet { settlements: settlements.to_vec(), ..WriteSet::default() }
}

pub async fn a_bank_receipt_belongs_to_one_settlement(store: &dyn Store) {
    let of = async |channel, reference: &str| {
        let found = read(store.settlement_by_receipt(channel, reference.to_owned())).await;
        found.map(|settlement| sequence(settlement.id.chain()))
    };
    let first = settlement(1, channel(), &["B1", "B2"]);
    commit(store, settlements(std::slice::from_ref(&first))).await;
    assert_eq!(of(channel(), "B2").await, Some(1));
    assert_eq!(of(channel(), "B").await, None);
    assert_eq!(of(neighbour(), "B2").await, None);
    let taken = settlement(2, channel(), &["B3", "B2"]);
    refuse(store, settlements(&[taken]), "a receipt of another settlement").await;
    assert_eq!(of(channel(), "B3").await, None);
    commit(store, settlements(&[settlement(2, neighbour(), &["B2"])])).await;
    let both = [settlement(3, channel(), &["B4"]), settlement(4, channel(), &["B4"])];
    refuse(store, settlements(&both), "one receipt in two settlements of a write set").await;
    let second = ChannelSettlement { version: 2, ..settlement(1, channel(), &["B1", "B2", "B3"]) };
    commit(store, settlements(std::slice::from_ref(&second))).await;
    refuse(store, settlements(std::slice::from_ref(&second)), "version 2 over 2").await;
    assert_eq!(of(channel(), "B3").await, Some(1));
    commit(store, settlements(&[settlement(300, channel(), &[])])).await;
    let list = async |after: Option<u64>, limit| -> Vec<u64> {
        let page = read(store.settlements(channel(), after.map(settlement_id), limit)).await;
        page.iter().map(|settlement| sequence(settlement.id.chain())).collect()
    };
    assert_eq!(list(None, 9).await, [1, 300]);
    assert_eq!(list(None, 1).await, [1]);
    assert_eq!(list(Some(1), 9).await, [300]);
    assert_eq!(read(store.settlement(second.id)).await, Some(second));
    assert_eq!(read(store.settlement(settlement_id(3))).await, None);
}

pub async fn settled_dates_count_their_versions(store: &dyn Store) {
    let write = |row| WriteSet { settled: vec![row], ..WriteSet::default() };
    refuse(store, write(settled(day(22), Currency::Cny, 2)), "version 2 of nothing").await;
    commit(store, write(settled(day(22), Currency::Cny, 1))).await;
    commit(store, write(settled(day(22), Currency::Usd, 1))).await;
    refuse(store, write(settled(day(22), Currency::Cny, 1)), "version 1 over 1").await;
    commit(store, write(settled(day(22), Currency::Cny, 2))).await;
    let kept = async |date, currency| {
        read(store.settled_date(channel(), day(date), currency)).await.map(|row| row.version)
    };
    assert_eq!(kept(22, Currency::Cny).await, Some(2));
    assert_eq!(kept(22, Currency::Usd).await, Some(1));
    assert_eq!(kept(23, Currency::Cny).await, None);
    let row = read(store.settled_date(channel(), day(22), Currency::Cny)).await;
    assert_eq!(row, Some(settled(day(22), Currency::Cny, 2)));
}

pub async fn what_was_read_must_be_as_it_was(store: &dyn Store) {
    let with = |unchanged| WriteSet { unchanged: vec![unchanged], ..WriteSet::default() };
    let settled_at = |version| ReadGuard::SettledDate {
        channel: channel(),
        date: day(22),
        currency: Currency::Cny,
        version,
    };
    commit(store, with(settled_at(0))).await;
    refuse(store, with(settled_at(1)), "nothing is settled").await;
    let write = |version| {
        let settled = vec![settled(day(22), Currency::Cny, version)];
        WriteSet { settled, ..WriteSet::default() }
    };
    commit(store, write(1)).await;
    commit(store, write(2)).await;
    commit(store, with(settled_at(2))).await;
    refuse(store, with(settled_at(1)), "it has changed").await;
    refuse(store, with(settled_at(0)), "something is settled").await;
    let current = |was: Option<(u64, u32)>| ReadGuard::Reconciliation {
        channel: channel(),
        date: day(22),
        was: was.map(|(sequence, version)| (batch_id(sequence), version)),
    };
    let put = |rows: &[Reconciliation]| WriteSet {
        reconciliations: rows.to_vec(),
        ..WriteSet::default()
    };
    let running = reconciliation(1, channel(), day(22));
    commit(store, put(std::slice::from_ref(&running))).await;
    commit(store, with(current(None))).await;
    let first = ended(&running, BatchState::Current);
    commit(store, put(std::slice::from_ref(&first))).await;
    commit(store, with(current(Some((1, 2))))).await;
    refuse(store, with(current(Some((1, 1)))), "it has another version").await;
    refuse(store, with(current(None)), "there is one").await;
    let next = reconciliation(2, channel(), day(22));
    commit(store, put(std::slice::from_ref(&next))).await;
    let superseded = Reconciliation { version: 3, state: BatchState::Superseded, ..first };
    commit(store, put(&[superseded, ended(&next, BatchState::Current)])).await;
    refuse(store, with(current(Some((1, 3)))), "another one is current").await;
    commit(store, with(current(Some((2, 2))))).await;
    let mut bad = write(3);
    bad.unchanged.push(current(None));
    refuse(store, bad, "what it read has changed").await;
    let kept = read(store.settled_date(channel(), day(22), Currency::Cny)).await;
    assert_eq!(kept.map(|row| row.version), Some(2));
}

pub async fn a_batch_of_the_books_with_one_bad_guard_writes_nothing(store: &dyn Store) {
    let whole = WriteSet {
        closes: vec![close(channel(), day(22))],
        statements: vec![statement(day(22), 1)],
        reconciliations: vec![reconciliation(1, channel(), day(22))],
        agreed_lines: vec![(batch_id(1), vec![1, 2, 3])],
        found: vec![found(1, 0, Class::OnlyTheirs, 1)],
        differences: vec![difference(1)],
        settlements: vec![settlement(1, channel(), &["B1"])],
        settled: vec![settled(day(22), Currency::Cny, 1)],
        ..WriteSet::default()
    };
    let mut bad = whole.clone();
    bad.settled.push(settled(day(23), Currency::Cny, 2));
    refuse(store, bad, "the last of its guards does not hold").await;
    assert_eq!(read(store.clearing_days(channel())).await.closed_through, None);
    assert!(read(store.statement_revisions(channel(), day(22))).await.is_empty());
    assert!(read(store.running_reconciliations()).await.is_empty());
    assert!(read(store.reconciliations(None, None, None, 9)).await.is_empty());
    assert_eq!(read(store.agreed_lines(batch_id(1))).await, None);
    assert!(read(store.found_differences(batch_id(1), None, 9)).await.is_empty());
    assert!(read(store.open_differences(channel(), None, 9)).await.is_empty());
    assert!(read(store.settlements(channel(), None, 9)).await.is_empty());
    assert!(!whole.is_empty());
    commit(store, whole).await;
    assert_eq!(read(store.agreed_lines(batch_id(1))).await, Some(vec![1, 2, 3]));
    assert_eq!(read(store.found_differences(batch_id(1), None, 9)).await.len(), 1);
}
