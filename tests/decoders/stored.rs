//! What lies on our own disk: rows of the store, and frames of its journal.

use switchyard::store::reread::{reread_journal, reread_row, row_kinds};

use super::{choose, quotes_no_card};

/// The first byte chooses the kind of row.
pub fn rows(bytes: &[u8]) {
    let Some((choice, row)) = choose(bytes) else { return };
    let chosen = usize::from(choice) % row_kinds().len();
    let kind = row_kinds().nth(chosen).expect("fewer than there are");
    match reread_row(kind, row) {
        Ok(written) => {
            // A row of an older form is written in the newest, which has some fields more.
            assert!(written.len() <= row.len() + 64, "{kind} takes more bytes than it came in");
            let again = reread_row(kind, &written).expect("what was written reads");
            assert_eq!(written, again, "{kind} has one stored form");
        }
        Err(error) => quotes_no_card(&error),
    }
}

pub fn journal(bytes: &[u8]) {
    match reread_journal(bytes) {
        // A row has at least its two lengths.
        Ok(rows) => assert!(rows <= bytes.len() / 8, "more rows than there is room for"),
        Err(error) => quotes_no_card(&error),
    }
}
