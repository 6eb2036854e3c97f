//! The index behind a lookup: one slot for each first six digits, then sorted bounds.
//!
//! The slot of the first six digits names a group; all six-digit heads that lead to the same rows
//! share one. A group holds sorted bounds over (card length, digits seven to twelve), each naming
//! the row that holds from there on. Nested BINs are flattened when the index is built, so that a
//! lookup is one array access and one short binary search. Order of input, hashing and allocation
//! play no part: equal rows give an equal index.

use std::sync::Arc;

use super::BinRow;
use super::{PAN_LENGTH_MAX, PAN_LENGTH_MIN};

/// The digits that choose the slot.
const HEAD_DIGITS: usize = 6;
/// One past the highest number that six digits can be.
const SIX_DIGITS: u32 = 1_000_000;
/// Bits below the card length in a bound's key; `SIX_DIGITS` itself fits as an end.
const TAIL_BITS: u32 = 20;
/// In place of a row where none holds. No table is long enough to have this row.
const NO_ROW: u32 = u32::MAX;
/// The group of all heads that lead nowhere.
const EMPTY_GROUP: u32 = 0;

const _: () = assert!(SIX_DIGITS < 1 << TAIL_BITS, "a tail and its end must fit below the length");
const _: () = assert!(PAN_LENGTH_MIN >= 2 * HEAD_DIGITS, "each card has a head and a tail");
const _: () = assert!(super::BIN_LENGTH_MAX == 2 * HEAD_DIGITS, "each BIN ends inside the tail");

/// From this key on, `row` holds, until the next bound.
#[derive(Clone, Copy)]
struct Bound {
    key: u32,
    row: u32,
}

/// The part of a group's keys that one row covers, before nesting is resolved.
#[derive(Clone, Copy)]
struct KeySpan {
    low: u32,
    /// One past the last key.
    high: u32,
    bin_length: u8,
    row: u32,
}

/// Finds the row of a card number by its place in the sorted rows.
pub(super) struct Index {
    /// A group for each head. Untouched pages of an all-zero array cost no memory.
    slots: Vec<u32>,
    /// Where each group's bounds begin, and a last entry where the last group's end.
    starts: Vec<u32>,
    bounds: Vec<Bound>,
}

impl Index {
    /// Builds the index of rows that are sorted by key, unique, and within the length limits.
    pub(super) fn build(rows: &[Arc<BinRow>]) -> Self {
        assert!(rows.windows(2).all(|pair| pair[0].key() < pair[1].key()), "sorted, unique rows");
        assert!(rows.len() < NO_ROW as usize, "a row's place must not look like no row");
        let mut index = Self {
            slots: vec![EMPTY_GROUP; SIX_DIGITS as usize],
            starts: vec![0, 0],
            bounds: Vec::with_capacity(rows.len() * 2),
        };
        // Between two neighbouring edges every head leads to the same rows.
        let mut edges: Vec<u32> = rows.iter().flat_map(|row| heads_of(row)).collect();
        edges.sort_unstable();
        edges.dedup();
        for pair in edges.windows(2) {
            index.add_group(rows, pair[0], pair[1]);
        }
        let ordered = |group: &[u32]| {
            let bounds = &index.bounds[group[0] as usize..group[1] as usize];
            bounds.windows(2).all(|pair| pair[0].key < pair[1].key)
        };
        assert!(index.starts.windows(2).all(ordered), "a group's bounds ascend without a tie");
        index
    }

    /// The place of the card's row among the rows; `None` where no BIN fits or these are not 12
    /// to 19 ASCII digits. The place may lie past the rows where a gap between BINs was hit.
    pub(super) fn find(&self, digits: &[u8]) -> Option<usize> {
        if !(PAN_LENGTH_MIN..=PAN_LENGTH_MAX).contains(&digits.len()) {
            return None;
        }
        let head = six_digits(&digits[..HEAD_DIGITS])?;
        let tail = six_digits(&digits[HEAD_DIGITS..2 * HEAD_DIGITS])?;
        if !digits[2 * HEAD_DIGITS..].iter().all(u8::is_ascii_digit) {
            return None;
        }
        let group = self.slots[head as usize] as usize;
        let bounds = &self.bounds[self.starts[group] as usize..self.starts[group + 1] as usize];
        let key = ((digits.len() as u32) << TAIL_BITS) + tail;
        let after = bounds.partition_point(|bound| bound.key <= key);
        Some(bounds[after.checked_sub(1)?].row as usize)
    }

    /// Adds the bounds of the heads from `first` to before `end`, which all lead to the same rows.
    fn add_group(&mut self, rows: &[Arc<BinRow>], first: u32, end: u32) {
        let mut spans = spans_of(rows, first);
        if spans.is_empty() {
            return;
        }
        // A span that holds another one comes first, so it lies deeper on the stack.
        spans.sort_unstable_by_key(|span| (span.low, span.bin_length));
        let group_start = self.bounds.len();
        let mut open: Vec<KeySpan> = Vec::new();
        for span in spans {
            self.close_spans(&mut open, span.low, group_start);
            assert!(open.last().is_none_or(|outer| span.high <= outer.high), "prefixes nest");
            self.add_bound(Bound { key: span.low, row: span.row }, group_start);
            open.push(span);
        }
        self.close_spans(&mut open, u32::MAX, group_start);
        assert!(open.is_empty(), "each span that was opened is closed");
        let group = self.starts.len() as u32 - 1;
        self.starts.push(self.bounds.len() as u32);
        self.slots[first as usize..end as usize].fill(group);
    }

    /// Ends the open spans that end at or before `key`: the one below holds again from there.
    fn close_spans(&mut self, open: &mut Vec<KeySpan>, key: u32, group_start: usize) {
        while let Some(inner) = open.pop_if(|span| span.high <= key) {
            let row = open.last().map_or(NO_ROW, |outer| outer.row);
            self.add_bound(Bound { key: inner.high, row }, group_start);
        }
    }

    /// Appends a bound; one that begins where the last one of the group does replaces it.
    fn add_bound(&mut self, bound: Bound, group_start: usize) {
        match self.bounds[group_start..].last_mut() {
            Some(last) if last.key == bound.key => *last = bound,
            Some(_) | None => self.bounds.push(bound),
        }
    }
}

/// The first head that a row's BIN covers and the one after the last.
fn heads_of(row: &BinRow) -> [u32; 2] {
    let (first, width) = number_range(row.bin.digits());
    [first, first + width]
}

/// The spans of all rows that cover this head.
fn spans_of(rows: &[Arc<BinRow>], head: u32) -> Vec<KeySpan> {
    let text = format!("{head:06}");
    let mut spans = Vec::new();
    for length in super::BIN_LENGTH_MIN..=HEAD_DIGITS {
        let prefix = &text.as_bytes()[..length];
        let first = rows.partition_point(|row| row.bin.digits() < prefix);
        let covers = |row: &&Arc<BinRow>| match length {
            HEAD_DIGITS => row.bin.digits().starts_with(prefix),
            _ => row.bin.digits() == prefix,
        };
        for (place, row) in rows[first..].iter().take_while(covers).enumerate() {
            let tail = row.bin.digits().get(HEAD_DIGITS..).unwrap_or_default();
            let (low, width) = number_range(tail);
            let base = u32::from(row.pan_length) << TAIL_BITS;
            spans.push(KeySpan {
                low: base + low,
                high: base + low + width,
                bin_length: row.bin.length() as u8,
                row: (first + place) as u32,
            });
        }
    }
    spans
}

/// The lowest six-digit number that begins with these digits, and how many there are. Digits
/// beyond the sixth are left out.
fn number_range(digits: &[u8]) -> (u32, u32) {
    let known = digits.len().min(HEAD_DIGITS);
    let head = digits[..known].iter().fold(0, |sum, byte| sum * 10 + u32::from(byte - b'0'));
    let width = 10_u32.pow((HEAD_DIGITS - known) as u32);
    (head * width, width)
}

/// Six ASCII digits as a number; `None` for any other byte.
fn six_digits(text: &[u8]) -> Option<u32> {
    let mut number = 0;
    for byte in text {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        number = number * 10 + u32::from(digit);
    }
    Some(number)
}
