//! The table that is compiled in, and lookups over it against a plain scan.

use proptest::prelude::*;

use super::*;
use crate::domain::bin::{Bin, Brand, CardType};

#[test]
fn the_shipped_table_has_all_rows_of_its_file() {
    let table = shipped_table();
    assert_eq!(table.len(), 5_576);
    let count = |wanted| table.rows().iter().filter(|row| row.card_type == wanted).count();
    let counts = CardType::ALL.map(count);
    assert!(counts.iter().all(|count| *count > 0), "{counts:?}");
    assert_eq!(counts.iter().sum::<usize>(), 5_576);
    let zero = Bin::parse("018572").expect("a BIN");
    assert_eq!(table.row(zero, 18).map(|row| row.issuer_code.as_str()), Some("14097310"));
    // Cards of other brands that UnionPay's network carries are both.
    let first = Brand::ALL.map(|brand| table.rows().iter().any(|row| row.brands.first == brand));
    assert!(first[..3].iter().all(|is_there| *is_there), "{first:?}");
    assert!(table.rows().iter().all(|row| row.brands.contains(Brand::UnionPay)));
    assert_eq!(table.rows().iter().filter(|row| row.brands.second.is_some()).count(), 333);
}

#[test]
fn two_banks_that_share_a_bin_are_told_apart_by_the_cards_length() {
    let table = shipped_table();
    let name = |length: usize| {
        let mut card = b"622302".to_vec();
        card.resize(length, b'0');
        table.lookup(&card).map(|row| row.issuer_name.clone())
    };
    let (sixteen, eighteen) = (name(16), name(18));
    assert!(sixteen.is_some() && eighteen.is_some());
    assert_ne!(sixteen, eighteen);
    assert_eq!(name(12), None);
}

#[test]
fn a_table_comes_back_from_its_own_format() {
    let table = shipped_table();
    let bytes = write_csv(&table);
    let read = read_table(&bytes, ReadOptions::default()).expect("our own format");
    assert_eq!(read.table.rows(), table.rows());
    assert_eq!(write_csv(&read.table), bytes);
}

#[test]
fn the_snapshots_differ_as_their_source_says() {
    let read = |name| read_table(&fixture(name), ReadOptions::default()).expect("a table").table;
    let (old, new) = (read("unionpay-2014-10.csv"), read("unionpay-2018-06.csv"));
    assert_eq!((old.len(), new.len()), (2_440, 4_849));
    let diff = TableDiff::between(&old, &new);
    let expected =
        DiffCounts { added: 2_456, removed: 47, changed: 118, renamed: 424, relabelled: 15 };
    assert_eq!(diff.counts(), expected);
    assert_eq!(TableDiff::between(&new, &old).added, diff.removed);
    assert_eq!(TableDiff::between(&new, &new), TableDiff::default());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_lookup_over_the_shipped_table_answers_as_a_plain_scan_does(
        places in prop::collection::vec((0_usize..5_576, 0_usize..=8, "[0-9]{19}"), 1..40),
        misses in prop::collection::vec("[0-9]{12,19}", 1..10),
    ) {
        let table = shipped_table();
        // Nine in ten begin with a BIN of the table; every ninth of these has any card length.
        let hits = places.iter().map(|(place, offset, filler)| {
            let row = &table.rows()[*place];
            let own = usize::from(row.pan_length);
            let length = if *offset == 8 { 12 + place % 8 } else { own };
            format!("{}{filler}", row.bin)[..length].to_owned()
        });
        for card in hits.chain(misses.iter().cloned()) {
            let digits = card.as_bytes();
            let expected = table
                .rows()
                .iter()
                .filter(|row| usize::from(row.pan_length) == digits.len())
                .filter(|row| digits.starts_with(row.bin.digits()))
                .max_by_key(|row| row.bin.length());
            prop_assert_eq!(table.lookup(digits), expected);
            // A prefix answers what the card answers, unless a longer BIN decides.
            let matches = table.lookup_prefix(&digits[..12], Some(digits.len() as u8));
            prop_assert_eq!(matches.rows().next(), expected);
        }
    }
}
