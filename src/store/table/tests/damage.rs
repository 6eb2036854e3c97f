//! What only some tables of the books can show.

use proptest::prelude::*;

use super::books_samples as samples;
use super::draw::Draw;
use crate::domain::books::reconcile::{Sums, Tally, Totals};
use crate::domain::ids::ChannelId;
use crate::domain::money::Currency;
use crate::store::StoreError;
use crate::store::row::{Table, Versioned};
use crate::store::table::books::agreed::{
    agreed_part, agreed_parts, is_last_agreed_part, read_agreed_part,
};
use crate::store::table::books::difference::Differences;
use crate::store::table::books::reconciliation::Reconciliations;

/// The length of a part, as it lies on disks.
const PART_BYTES: usize = 32_768;
/// The key of a batch.
const KEY: &[u8] = b"B\0\0\0\0\0\0\0\x01";

proptest! {
    /// Whatever a damaged batch reads as, its sums can be added up.
    #[test]
    fn damaged_sums_are_an_error_or_add_up(
        seed in any::<u64>(),
        place in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut bytes = Reconciliations::encode(&Draw::from(seed).reconciliation());
        prop_assert!(reads_and_adds_up(&bytes));
        let at = place.index(bytes.len());
        bytes[at] ^= byte;
        let _either = reads_and_adds_up(&bytes);
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

fn reads_and_adds_up(bytes: &[u8]) -> bool {
    let read = Reconciliations::decode(KEY, bytes);
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
        let read = Reconciliations::decode(KEY, &Reconciliations::encode(&row));
        assert!(matches!(read, Err(StoreError::Damaged { .. })), "{sums:?}");
    }
    row.report.totals = fits;
    assert!(Reconciliations::decode(KEY, &Reconciliations::encode(&row)).is_ok());
}

#[test]
fn a_line_that_the_head_does_not_know_is_damage() {
    let mut row = samples::difference();
    row.record = None;
    row.channel = ChannelId::from_stored("u");
    let (key, bytes) = (Differences::key(&row), Differences::encode(&row));
    // Form, version, state, channel, due time, then whether there is a line.
    let at = 1 + 1 + 1 + 2 + 7;
    assert_eq!(bytes[at], 1);
    let mut headless = bytes[..at].to_vec();
    headless.push(0);
    headless.extend_from_slice(&bytes[at + 1 + 4 + 16..]);
    let read = Differences::decode(&key, &headless);
    assert!(matches!(read, Err(StoreError::Damaged { .. })), "{read:?}");
}

#[test]
fn a_record_side_is_kept_without_a_line() {
    let mut row = samples::difference();
    row.line = None;
    let (key, bytes) = (Differences::key(&row), Differences::encode(&row));
    assert_eq!(
        Differences::head(&key, &bytes).expect("a row just encoded").entries.unique.len(),
        1
    );
    assert_eq!(Differences::decode(&key, &bytes).ok(), Some(row));
}
