//! The table that is compiled in, and lookups over it against a plain scan.

use proptest::prelude::*;

use super::*;
use crate::domain::bin::{Bin, Brand, CardType, IssuerChanges};
use crate::domain::time::Timestamp;

/// 2026-11-22T08:00:00Z
const NEWS_MS: i64 = 1_795_334_400_000;

#[test]
fn the_shipped_table_has_all_rows_of_its_file() {
    let table = shipped_table();
    assert_eq!(table.len(), 5_616);
    let count = |wanted| table.rows().iter().filter(|row| row.card_type == wanted).count();
    let counts = CardType::ALL.map(count);
    assert!(counts.iter().all(|count| *count > 0), "{counts:?}");
    assert_eq!(counts.iter().sum::<usize>(), 5_616);
    let zero = Bin::parse("018572").expect("a BIN");
    assert_eq!(table.row(zero, 18).map(|row| row.issuer_code.as_str()), Some("14097310"));
    // Cards of other brands that UnionPay's network carries are both.
    let first = Brand::ALL.map(|brand| table.rows().iter().any(|row| row.brands.first == brand));
    assert!(first[..3].iter().all(|is_there| *is_there), "{first:?}");
    assert!(table.rows().iter().all(|row| row.brands.contains(Brand::UnionPay)));
    assert_eq!(table.rows().iter().filter(|row| row.brands.second.is_some()).count(), 333);
}

#[test]
fn the_shipped_rows_say_how_old_they_are_and_what_is_a_fact_no_more() {
    let table = shipped_table();
    let dates = |date: Option<&str>| {
        let wanted = date.map(|text| StatedDate::parse(text).expect("a date"));
        table.rows().iter().filter(|row| table.marks(row).as_of == wanted).count()
    };
    let counts = [None, Some("2018"), Some("2020"), Some("2020-12")].map(dates);
    assert_eq!(counts, [4_849, 727, 34, 6]);
    let retired = table.rows().iter().filter(|row| table.marks(row).retired.is_some());
    let codes: Vec<&str> = retired.map(|row| &row.issuer_code[..7]).collect();
    assert_eq!(codes, ["0319000"; 6]);
    assert_eq!(shipped_as_of().to_string(), "2018-06");
}

#[test]
fn the_shipped_rows_show_their_issuers_names_of_today() {
    let table = shipped_table();
    let changes = table.issuers();
    assert_eq!(changes.all().len(), 41);
    let renamed: Vec<_> =
        table.rows().iter().filter(|row| table.stated_name(row) != row.issuer_name).collect();
    assert_eq!(renamed.len(), 73);
    // Every change is that of a row.
    for change in changes.all() {
        let is_its_row = renamed.iter().any(|row| {
            row.issuer_code == change.issuer_code && table.stated_name(row) == change.old_name
        });
        assert!(is_its_row, "{change:?}");
    }
    let row = renamed.iter().find(|row| row.issuer_code == "04791920").expect("a row");
    assert_eq!(row.issuer_name, "蒙商银行");
    let view = RowView::of(
        row,
        DatedTable { table: &table, as_of: None, now: Timestamp::from_millis(NEWS_MS) },
    );
    assert_eq!(view.issuer_former_names, ["包商银行"]);
    // Without the file of changes the rows are as their source has them.
    let bare = table.with_issuers(IssuerChanges::default());
    assert!(bare.rows().iter().any(|row| row.issuer_name == "包商银行"));
    assert!(!bare.rows().iter().any(|row| row.issuer_name == "蒙商银行"));
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
    let expected = DiffCounts {
        added: 2_456,
        removed: 47,
        changed: 118,
        renamed: 424,
        relabelled: 15,
        ..DiffCounts::default()
    };
    assert_eq!(diff.counts(), expected);
    assert_eq!(TableDiff::between(&new, &old).added, diff.removed);
    assert_eq!(TableDiff::between(&new, &new), TableDiff::default());
}

/// Held against both tables, looked up by key, which knows nothing of the walk.
#[test]
fn the_rows_that_differ_are_told_with_both_sides() {
    let read = |name| read_table(&fixture(name), ReadOptions::default()).expect("a table").table;
    let (old, new) = (read("unionpay-2014-10.csv"), read("unionpay-2018-06.csv"));
    let changes: Vec<_> = row_changes(&old, &new).collect();
    assert!(changes.is_sorted_by(|one, next| one.key < next.key), "each key once, in order");
    let found = |table: &BinTable, key: RowKey| {
        let rows = table.rows().iter();
        rows.clone().find(|row| row.key() == (key.bin, key.pan_length)).map(|row| (**row).clone())
    };
    let (mut added, mut removed) = (0, 0);
    for change in &changes {
        assert_eq!(change.old.cloned(), found(&old, change.key), "{}", change.key);
        assert_eq!(change.new.cloned(), found(&new, change.key), "{}", change.key);
        assert_ne!(change.old, change.new, "{}", change.key);
        assert_eq!(RowKey::parse(&change.key.to_string()), Some(change.key));
        added += usize::from(change.kinds == [RowChangeKind::Added]);
        removed += usize::from(change.kinds == [RowChangeKind::Removed]);
        assert_eq!(change.old.is_none(), change.kinds == [RowChangeKind::Added]);
        assert_eq!(change.new.is_none(), change.kinds == [RowChangeKind::Removed]);
    }
    assert_eq!((added, removed), (2_456, 47));
    // Whatever is not told is the same on both sides.
    let told: std::collections::BTreeSet<_> = changes.iter().map(|change| change.key).collect();
    let same = old.rows().iter().filter(|row| {
        let (bin, pan_length) = row.key();
        !told.contains(&RowKey { bin, pan_length })
    });
    for row in same {
        assert!(new.rows().contains(row), "{}", row.bin);
    }
    for wrong in ["", "621626", "621626-", "621626-11", "621626-20", "621626-+19", "6-19", "x-19"] {
        assert_eq!(RowKey::parse(wrong), None, "{wrong}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_lookup_over_the_shipped_table_answers_as_a_plain_scan_does(
        places in prop::collection::vec((0_usize..5_616, 0_usize..=8, "[0-9]{19}"), 1..40),
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
