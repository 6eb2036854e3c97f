//! Stored forms of what the books keep beside orders: their bytes are fixed, every row comes back,
//! and damage is an error.

use proptest::prelude::*;

use super::*;
use crate::domain::books::reconcile::{Sums, Tally, Totals};
use crate::domain::ids::{BatchId, ChannelId, DifferenceId, OrderId, SettlementId};
use crate::domain::time::BusinessDate;
use crate::store::record::samples::Draw;

/// Rows on disk have these bytes: from the first release on, a change here needs a form byte, a
/// struct and a conversion of its own.
#[test]
fn the_bytes_of_every_row_are_fixed() {
    let rows = [
        ("close", close_bytes(&samples::close())),
        ("statement", statement_bytes(&samples::statement())),
        ("reconciliation", reconciliation_bytes(&samples::reconciliation())),
        ("agreed", agreed_part(&[1, 2, 255])),
        ("found", found_bytes(&samples::found())),
        ("difference", difference_bytes(&samples::difference())),
        ("settlement", settlement_bytes(&samples::settlement())),
        ("settled", settled_bytes(&samples::settled_date())),
    ];
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let text: String =
        rows.iter().map(|(name, bytes)| format!("{name} {}\n", hex(bytes))).collect();
    assert_eq!(text, include_str!("golden.txt"));
}

#[test]
fn fixed_rows_come_back() {
    let row = samples::reconciliation();
    assert_eq!(read_reconciliation(row.id, &reconciliation_bytes(&row)).ok(), Some(row));
    let row = samples::difference();
    assert_eq!(read_difference(row.id, &difference_bytes(&row)).ok(), Some(row));
    let row = samples::settlement();
    assert_eq!(read_settlement(row.id, &settlement_bytes(&row)).ok(), Some(row));
}

proptest! {
    #[test]
    fn every_row_comes_back(seed in any::<u64>()) {
        let mut draw = Draw::from(seed);
        let row = draw.close();
        prop_assert_eq!(read_close(&row.channel, row.date, &close_bytes(&row)).ok(), Some(row));
        let row = draw.statement();
        let bytes = statement_bytes(&row);
        let read = read_statement(&row.channel, row.date, row.revision, &bytes);
        prop_assert_eq!(read.ok(), Some(row));
        let row = draw.reconciliation();
        let bytes = reconciliation_bytes(&row);
        let head = read_reconciliation_head(&bytes).expect("a row just encoded");
        prop_assert_eq!((head.version, head.state), (row.version, row.state));
        prop_assert_eq!((&head.channel, head.date), (&row.channel, row.date));
        prop_assert_eq!(read_reconciliation(row.id, &bytes).ok(), Some(row));
        let row = draw.found();
        let read = read_found(row.batch, row.ordinal, &found_bytes(&row));
        prop_assert_eq!(read.ok(), Some(row));
        let row = draw.difference();
        let bytes = difference_bytes(&row);
        let head = read_difference_head(&bytes).expect("a row just encoded");
        prop_assert_eq!((head.version, head.state), (row.version, row.state));
        prop_assert_eq!((&head.channel, head.due_at), (&row.channel, row.due_at));
        prop_assert_eq!(head.line, row.line.as_ref().map(|line| (line.date, line.digest)));
        let record = row.record.as_ref().map(|record| (record.date, record.channel_order_no));
        prop_assert_eq!(head.record, record);
        prop_assert_eq!(read_difference(row.id, &bytes).ok(), Some(row));
        let row = draw.settlement();
        let bytes = settlement_bytes(&row);
        let head = read_settlement_head(&bytes).expect("a row just encoded");
        prop_assert_eq!((head.version, &head.channel), (row.version, &row.channel));
        let references: Vec<_> = row.receipts.iter().map(|one| &*one.bank_reference).collect();
        prop_assert_eq!(head.bank_references, references);
        prop_assert_eq!(read_settlement(row.id, &bytes).ok(), Some(row));
        let row = draw.settled_date();
        let bytes = settled_bytes(&row);
        prop_assert_eq!(read_settled_version(&bytes).ok(), Some(row.version));
        let read = read_settled(&row.channel, row.date, row.currency, &bytes);
        prop_assert_eq!(read.ok(), Some(row));
    }

    /// Cut short, changed in one byte, or lengthened: an error or another row, never a panic, and
    /// never sums that cannot be added up.
    #[test]
    fn damage_is_an_error_and_never_a_panic(
        seed in any::<u64>(),
        place in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut draw = Draw::from(seed);
        let (channel, date) = (channel(), date());
        type Reads<'a> = &'a dyn Fn(&[u8]) -> bool;
        let rows: [(Vec<u8>, Reads<'_>); 7] = [
            (close_bytes(&draw.close()), &|bytes| read_close(&channel, date, bytes).is_ok()),
            (statement_bytes(&draw.statement()), &|bytes| {
                read_statement(&channel, date, 1, bytes).is_ok()
            }),
            (reconciliation_bytes(&draw.reconciliation()), &reads_and_adds_up),
            (found_bytes(&draw.found()), &|bytes| read_found(batch(), 1, bytes).is_ok()),
            (difference_bytes(&draw.difference()), &|bytes| {
                read_difference(DifferenceId::from_u64(1), bytes).is_ok()
            }),
            (settlement_bytes(&draw.settlement()), &|bytes| {
                read_settlement(SettlementId::from_u64(1), bytes).is_ok()
            }),
            (settled_bytes(&draw.settled_date()), &|bytes| {
                read_settled(&channel, date, Currency::Cny, bytes).is_ok()
            }),
        ];
        for (bytes, reads) in rows {
            prop_assert!(reads(&bytes));
            let cut = place.index(bytes.len());
            prop_assert!(!reads(&bytes[..cut]), "{cut} bytes of {}", bytes.len());
            let mut longer = bytes.clone();
            longer.push(byte);
            prop_assert!(!reads(&longer), "one byte too many");
            let mut changed = bytes;
            changed[cut] ^= byte;
            let _either = reads(&changed);
        }
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let (channel, date) = (channel(), date());
        let _either = read_close(&channel, date, &bytes);
        let _either = read_statement(&channel, date, 1, &bytes);
        let _either = reads_and_adds_up(&bytes);
        let _either = read_agreed_part(&bytes);
        let _either = read_found(batch(), 1, &bytes);
        let _either = read_difference(DifferenceId::from_u64(1), &bytes);
        let _either = read_settlement(SettlementId::from_u64(1), &bytes);
        let _either = read_settled(&channel, date, Currency::Cny, &bytes);
    }

    #[test]
    fn parts_of_agreed_lines_make_them_whole(
        whole in 0..4_usize,
        more in prop_oneof![Just(0), Just(1), Just(PART_BYTES - 1), 0..PART_BYTES],
    ) {
        let lines: Vec<u8> = (0..=u8::MAX).cycle().take(whole * PART_BYTES + more).collect();
        let parts: Vec<Vec<u8>> = agreed_parts(&lines).map(agreed_part).collect();
        prop_assert_eq!(parts.len(), whole + 1);
        let mut read = Vec::new();
        for (place, part) in parts.iter().enumerate() {
            let part = read_agreed_part(part).expect("a part just encoded");
            prop_assert_eq!(is_last_agreed_part(part), place == whole);
            read.extend_from_slice(part);
        }
        prop_assert_eq!(read, lines);
    }
}

/// The length of a part, as it lies on disks.
const PART_BYTES: usize = 32_768;

fn channel() -> ChannelId {
    ChannelId::from_stored("unionpay")
}

fn date() -> BusinessDate {
    BusinessDate::from_yyyymmdd(20_261_122).expect("a date")
}

fn batch() -> BatchId {
    BatchId::from_u64(1)
}

fn reads_and_adds_up(bytes: &[u8]) -> bool {
    let read = read_reconciliation(batch(), bytes);
    if let Ok(read) = &read {
        let (theirs, ours) = read.report.totals.sides();
        let _counted = theirs.count() + ours.count() + read.report.theirs.count();
    }
    read.is_ok()
}

#[test]
fn sums_that_no_rows_make_are_damage() {
    let mut row = samples::reconciliation();
    row.report.totals = Totals::default();
    let fits = row.report.totals.clone();
    for (count, amount_minor) in [(1, i128::from(i64::MAX) + 2), (1, i128::MIN), (1 << 41, 0)] {
        let sums = Sums { count, amount_minor, fee_minor: 0 };
        row.report.totals.not_due = Tally::from_sums([(Currency::Cny, sums)]);
        let read = read_reconciliation(row.id, &reconciliation_bytes(&row));
        assert!(matches!(read, Err(StoreError::Damaged { .. })), "{sums:?}");
    }
    row.report.totals = fits;
    assert!(read_reconciliation(row.id, &reconciliation_bytes(&row)).is_ok());
}

#[test]
fn a_line_that_the_head_does_not_know_is_damage() {
    let mut row = samples::difference();
    row.record = None;
    row.channel = ChannelId::from_stored("u");
    let bytes = difference_bytes(&row);
    // Form, version, state, channel, due time, then whether there is a line.
    let at = 1 + 1 + 1 + 2 + 7;
    assert_eq!(bytes[at], 1);
    let mut headless = bytes[..at].to_vec();
    headless.push(0);
    headless.extend_from_slice(&bytes[at + 1 + 4 + 16..]);
    let read = read_difference(DifferenceId::of(OrderId::from_u64(1)), &headless);
    assert!(matches!(read, Err(StoreError::Damaged { .. })), "{read:?}");
}

#[test]
fn a_record_side_is_kept_without_a_line() {
    let mut row = samples::difference();
    row.line = None;
    let number = row.record.as_ref().map(|record| record.channel_order_no);
    let bytes = difference_bytes(&row);
    let head = read_difference_head(&bytes).expect("a row just encoded");
    assert_eq!((head.line, head.record.map(|record| record.1)), (None, number));
    assert_eq!(read_difference(row.id, &bytes).ok(), Some(row));
}
