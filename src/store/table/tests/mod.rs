//! Stored forms: their bytes are fixed, every row comes back by its key, and damage is an error.

mod approval_samples;
mod bin_samples;
mod books_samples;
mod damage;
mod draw;
mod samples;
mod service_samples;
mod sql;

use std::collections::BTreeSet;
use std::fmt::Debug;

use proptest::prelude::*;

use super::{TABLES, lease, table_name};
use crate::store::StoreError;
use crate::store::reread::{reread_row, row_kinds};
use crate::store::row::{Table, Versioned};
use crate::store::table::order::Orders;
pub(in crate::store) use draw::Draw;

/// A table with rows for its tests.
pub(in crate::store) trait SampleTable: Table<Row: Debug + PartialEq> {
    /// Rows whose stored form is fixed, with every optional field.
    fn fixed() -> Vec<Self::Row>;

    /// A row from a seed.
    fn draw(draw: &mut Draw) -> Self::Row;

    /// What must hold of a row beside what holds of all.
    fn hold(_row: &Self::Row) {}
}

/// A table's samples without its types.
pub(in crate::store) struct Samples {
    /// The stored forms of the fixed rows, which come back from them.
    pub(in crate::store) fixed: fn() -> Vec<Vec<u8>>,
    /// Their keys.
    pub(in crate::store) keys: fn() -> Vec<Vec<u8>>,
    comes_back: fn(&mut Draw, prop::sample::Index, u8),
}

impl Samples {
    pub(in crate::store) const fn of<T: SampleTable>() -> Self {
        Self { fixed: fixed::<T>, keys: keys::<T>, comes_back: comes_back::<T> }
    }
}

fn fixed<T: SampleTable>() -> Vec<Vec<u8>> {
    let stored = |row: T::Row| {
        let bytes = T::encode(&row);
        assert_eq!(T::decode(&T::key(&row), &bytes).ok(), Some(row));
        bytes
    };
    T::fixed().into_iter().map(stored).collect()
}

fn keys<T: SampleTable>() -> Vec<Vec<u8>> {
    T::fixed().iter().map(T::key).collect()
}

/// A row comes back. Cut short or lengthened it does not; changed in one byte it is an error or
/// another row, never a panic.
fn comes_back<T: SampleTable>(draw: &mut Draw, place: prop::sample::Index, byte: u8) {
    let row = T::draw(draw);
    let (key, bytes) = (T::key(&row), T::encode(&row));
    assert_eq!(T::decode(&key, &bytes).ok().as_ref(), Some(&row));
    T::hold(&row);
    let cut = place.index(bytes.len());
    let shorter = T::decode(&key, &bytes[..cut]);
    assert!(shorter.is_err() || T::NAME == "agreed_lines", "{cut} bytes of {}", bytes.len());
    let longer = [&bytes[..], &[byte]].concat();
    let longer = T::decode(&key, &longer);
    assert!(longer.is_err() || T::NAME == "agreed_lines", "one byte too many");
    let mut changed = bytes;
    changed[cut] ^= byte;
    let _either = T::decode(&key, &changed);
    let cut = place.index(key.len());
    let _either = T::decode(&key[..cut], &changed);
}

/// The head of a row that counts its versions says what the row says.
pub(in crate::store) fn head_fits<T: Versioned>(row: &T::Row) {
    let (key, bytes) = (T::key(row), T::encode(row));
    let head = T::head(&key, &bytes).expect("a row just encoded");
    assert_eq!(head.version, T::version(row));
    let letters: Vec<u8> = T::LETTERS.iter().map(|(letter, _)| *letter).collect();
    let entries = || head.entries.plain.iter().chain(&head.entries.unique);
    assert!(entries().all(|entry| letters[1..].contains(&entry[0])), "an entry of another table");
    assert!(head.entries.plain.iter().all(|entry| entry.ends_with(&key[1..])));
}

/// Rows on disk have these bytes: from the first release on, a change here needs a form byte, a
/// struct and a conversion of its own.
#[test]
fn the_bytes_of_every_row_are_fixed() {
    let mut text = String::new();
    for table in &TABLES {
        for bytes in (table.samples.fixed)() {
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            text.push_str(&format!("{} {hex}\n", table.name));
            assert_eq!(reread_row(table.name, &bytes).ok(), Some(bytes), "{}", table.name);
        }
    }
    assert_eq!(text, include_str!("golden.txt"));
}

proptest! {
    #[test]
    fn every_row_comes_back_and_damage_is_an_error(
        seed in any::<u64>(),
        place in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut draw = Draw::from(seed);
        for table in &TABLES {
            (table.samples.comes_back)(&mut draw, place, byte);
        }
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        for kind in row_kinds() {
            let _either = reread_row(kind, &bytes);
        }
    }
}

#[test]
fn an_unknown_form_is_damage() {
    let order = samples::order();
    let (key, mut bytes) = (Orders::key(&order), Orders::encode(&order));
    bytes[0] = 9;
    let read = Orders::decode(&key, &bytes);
    let Err(StoreError::Damaged { table, detail }) = read else { panic!("it was read") };
    assert_eq!((table, detail.as_str()), ("orders", "it has the unknown form 9"));
    let empty = Orders::decode(&key, &[]);
    assert!(matches!(empty, Err(StoreError::Damaged { table: "orders", .. })));
    assert!(reread_row("no_such_table", &[]).is_err());
}

#[test]
fn every_letter_belongs_to_one_table() {
    let letters = TABLES.iter().flat_map(|table| table.letters).chain([&lease::LETTERS]);
    let mut known = BTreeSet::from([u8::MAX]);
    for (letter, name) in letters {
        assert!(known.insert(*letter), "`{name}` has the letter of another one");
        assert_eq!(table_name(*letter), *name);
    }
    let names: BTreeSet<&str> = row_kinds().collect();
    assert_eq!(names.len(), row_kinds().len());
}
