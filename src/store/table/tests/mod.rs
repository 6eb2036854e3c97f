//! Stored forms: their bytes are fixed, every row comes back by its key, and damage is an error.

mod books_samples;
mod damage;
mod samples;

use std::collections::BTreeSet;
use std::fmt::Debug;

use proptest::prelude::*;

use super::*;
use crate::store::StoreError;
use crate::store::key::LAYOUT;
use crate::store::reread::{reread_row, row_kinds};
use crate::store::row::{Table, Versioned};
use books::agreed::AgreedPart;
use samples::Draw;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn agreed() -> AgreedPart {
    AgreedPart { batch: books_samples::found().batch, part: 0, lines: vec![1, 2, 255] }
}

/// Rows on disk have these bytes: from the first release on, a change here needs a form byte, a
/// struct and a conversion of its own.
#[test]
fn the_bytes_of_every_row_are_fixed() {
    let rows = [
        ("order", fixed::<Orders>(samples::order())),
        ("entry", fixed::<Reversals>(samples::entry())),
        ("transaction", fixed::<Transactions>(samples::transaction())),
        ("clearing", fixed::<Clearing>(samples::clearing())),
        ("accounting", fixed::<Accounting>(samples::accounting())),
        ("notice", fixed::<Notices>(samples::notice())),
        ("contradiction", fixed::<Contradictions>(samples::contradiction())),
        ("audit", fixed::<Audit>((7, samples::audit()))),
        ("charged_order", fixed::<Orders>(samples::charged_order())),
        ("close", fixed::<DayCloses>(books_samples::close())),
        ("statement", fixed::<Statements>(books_samples::statement())),
        ("reconciliation", fixed::<Reconciliations>(books_samples::reconciliation())),
        ("agreed", fixed::<AgreedLines>(agreed())),
        ("found", fixed::<FoundDifferences>(books_samples::found())),
        ("difference", fixed::<Differences>(books_samples::difference())),
        ("settlement", fixed::<Settlements>(books_samples::settlement())),
        ("settled", fixed::<SettledDates>(books_samples::settled_date())),
    ];
    let text: String =
        rows.iter().map(|(name, bytes)| format!("{name} {}\n", hex(bytes))).collect();
    assert_eq!(text, include_str!("golden.txt"));
}

/// The stored form of a row, which comes back from it.
fn fixed<T: Table<Row: Debug + PartialEq>>(row: T::Row) -> Vec<u8> {
    let bytes = T::encode(&row);
    assert_eq!(T::decode(&T::key(&row), &bytes).ok(), Some(row));
    bytes
}

/// A row comes back. Cut short or lengthened it does not; changed in one byte it is an error or
/// another row, never a panic.
fn comes_back<T: Table<Row: Debug + PartialEq>>(
    row: &T::Row,
    place: prop::sample::Index,
    byte: u8,
) {
    let (key, bytes) = (T::key(row), T::encode(row));
    assert_eq!(T::decode(&key, &bytes).ok().as_ref(), Some(row));
    let cut = place.index(bytes.len());
    assert!(T::decode(&key, &bytes[..cut]).is_err(), "{cut} bytes of {}", bytes.len());
    let longer = [&bytes[..], &[byte]].concat();
    assert!(T::decode(&key, &longer).is_err(), "one byte too many");
    let mut changed = bytes;
    changed[cut] ^= byte;
    let _either = T::decode(&key, &changed);
    let cut = place.index(key.len());
    let _either = T::decode(&key[..cut], &changed);
}

/// The same for a row that counts its versions: its head says what it says.
fn comes_back_with_head<T: Versioned<Row: Debug + PartialEq>>(
    row: &T::Row,
    place: prop::sample::Index,
    byte: u8,
) {
    comes_back::<T>(row, place, byte);
    let (key, bytes) = (T::key(row), T::encode(row));
    let head = T::head(&key, &bytes).expect("a row just encoded");
    assert_eq!(head.version, T::version(row));
    let letters: Vec<u8> = T::LETTERS.iter().map(|(letter, _)| *letter).collect();
    let entries = || head.entries.plain.iter().chain(&head.entries.unique);
    assert!(entries().all(|entry| letters[1..].contains(&entry[0])), "an entry of another table");
    assert!(head.entries.plain.iter().all(|entry| entry.ends_with(&key[1..])));
}

proptest! {
    #[test]
    fn every_row_comes_back_and_damage_is_an_error(
        seed in any::<u64>(),
        place in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut draw = Draw::from(seed);
        comes_back::<Orders>(&draw.order(), place, byte);
        comes_back_with_head::<Reversals>(&draw.entry(), place, byte);
        comes_back_with_head::<Accounting>(&draw.accounting(), place, byte);
        comes_back_with_head::<Notices>(&draw.notice(), place, byte);
        comes_back::<Transactions>(&draw.transaction(), place, byte);
        comes_back::<Clearing>(&draw.clearing(), place, byte);
        comes_back::<Contradictions>(&draw.contradiction(), place, byte);
        comes_back::<Audit>(&(seed, draw.audit()), place, byte);
        comes_back::<DayCloses>(&draw.close(), place, byte);
        comes_back::<Statements>(&draw.statement(), place, byte);
        comes_back_with_head::<Reconciliations>(&draw.reconciliation(), place, byte);
        comes_back::<FoundDifferences>(&draw.found(), place, byte);
        comes_back_with_head::<Differences>(&draw.difference(), place, byte);
        comes_back_with_head::<Settlements>(&draw.settlement(), place, byte);
        comes_back_with_head::<SettledDates>(&draw.settled_date(), place, byte);
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        for kind in row_kinds() {
            let _either = reread_row(kind, &bytes);
        }
    }
}

#[test]
fn a_fixed_row_is_reread_as_it_was() {
    for (kind, bytes) in [
        ("orders", fixed::<Orders>(samples::order())),
        ("accounting_requests", fixed::<Accounting>(samples::accounting())),
        ("contradictions", fixed::<Contradictions>(samples::contradiction())),
        ("clearing", fixed::<Clearing>(samples::clearing())),
        ("found_differences", fixed::<FoundDifferences>(books_samples::found())),
        ("settled_dates", fixed::<SettledDates>(books_samples::settled_date())),
        ("agreed_lines", fixed::<AgreedLines>(agreed())),
        ("audit", fixed::<Audit>((7, samples::audit()))),
    ] {
        assert_eq!(reread_row(kind, &bytes).ok(), Some(bytes), "{kind}");
    }
    assert!(reread_row("no_such_table", &[]).is_err());
}

#[test]
fn an_unknown_form_is_damage() {
    let mut bytes = Orders::encode(&samples::order());
    bytes[0] = 9;
    let key = Orders::key(&samples::order());
    let read = Orders::decode(&key, &bytes);
    let Err(StoreError::Damaged { table, detail }) = read else { panic!("it was read") };
    assert_eq!((table, detail.as_str()), ("orders", "it has the unknown form 9"));
    let empty = Orders::decode(&key, &[]);
    assert!(matches!(empty, Err(StoreError::Damaged { table: "orders", .. })));
}

#[test]
fn every_letter_belongs_to_one_table() {
    let letters = TABLES.iter().flat_map(|table| table.letters).chain([&lease::LETTERS]);
    let mut known = BTreeSet::from([LAYOUT[0], u8::MAX]);
    for (letter, name) in letters {
        assert!(known.insert(*letter), "`{}` has the letter of another one", name);
        assert_eq!(table_name(*letter), *name);
    }
    let names: BTreeSet<&str> = row_kinds().collect();
    assert_eq!(names.len(), row_kinds().len());
}
