//! Looks for our order numbers in a statement's whole text, whatever the layout makes of it.

use std::collections::BTreeSet;
use std::path::Path;

use crate::codec::layout::{DecodedLine, Decoder, Layout};
use crate::domain::ids::ChannelOrderNo;
use crate::reconciliation::matching::MatchError;
use crate::reconciliation::matching::partitions::Budget;
use crate::reconciliation::matching::side::numbers_in;
use crate::reconciliation::matching::source::{self, FilePattern, LineError, Lines};

/// Those of `wanted` that the statement names anywhere: in a line that was read, that was passed
/// over or that could not be read, in a column of the layout or in another. All of them, if each of
/// its rows is passed over: nothing proves then that the file is the day's. Temporary files go to
/// `folder`.
pub fn numbers_named(
    statement: &Path,
    layout: &Layout,
    folder: &Path,
    wanted: &BTreeSet<ChannelOrderNo>,
) -> Result<BTreeSet<ChannelOrderNo>, MatchError> {
    let budget = Budget::new(0, folder);
    let named = FilePattern { pattern: layout.member.as_deref(), date: None };
    let file = source::open(statement, named, &budget)?;
    let (mut lines, mut found) = (Lines::new(file), BTreeSet::new());
    // Ends with the file: every round takes a line.
    loop {
        let line = match lines.next_line(|_| {}) {
            Ok(Some(line)) => line,
            Ok(None) if row_kinds(statement, layout, folder) == RowKinds::Silent => {
                return Ok(wanted.clone());
            }
            Ok(None) => return Ok(found),
            // A line that is too long to be read may name any of them.
            Err(LineError::TooLong) => return Ok(wanted.clone()),
            Err(LineError::Read(source)) => {
                return Err(MatchError::Read { path: statement.to_owned(), source });
            }
        };
        for number in numbers_in(line.text) {
            let number = std::str::from_utf8(number).ok().and_then(ChannelOrderNo::parse);
            found.extend(number.filter(|number| wanted.contains(number)));
        }
    }
}

/// The kinds of rows that a statement has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RowKinds {
    None,
    /// All of them are passed over: they say no date, so that it may be another day's file.
    Silent,
    /// At least one is more than that, or cannot be read and may be anything.
    Telling,
}

fn row_kinds(statement: &Path, layout: &Layout, folder: &Path) -> RowKinds {
    let budget = Budget::new(0, folder);
    let named = FilePattern { pattern: layout.member.as_deref(), date: None };
    let Ok(file) = source::open(statement, named, &budget) else { return RowKinds::Telling };
    let (mut lines, mut decoder) = (Lines::new(file), Decoder::new(layout, None));
    let (mut number, mut kinds) = (0_u32, RowKinds::None);
    // Ends with the first row that tells something, which is enough, or with the file.
    loop {
        number = number.saturating_add(1);
        match lines.next_line(|_| {}) {
            Ok(Some(line)) => match decoder.read(line.text, number) {
                Ok(DecodedLine::Passed) => {}
                Ok(DecodedLine::Silent(_)) => kinds = RowKinds::Silent,
                Ok(DecodedLine::Line(_)) | Err(_) => return RowKinds::Telling,
            },
            Ok(None) => return kinds,
            Err(_) => return RowKinds::Telling,
        }
    }
}

/// Whether a statement has a row, whatever the row is. One that cannot be read may have some.
pub fn has_rows(statement: &Path, layout: &Layout, folder: &Path) -> bool {
    row_kinds(statement, layout, folder) != RowKinds::None
}
