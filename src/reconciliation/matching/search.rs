//! Looks for our order numbers in a statement's whole text, whatever the layout makes of it.

use std::collections::BTreeSet;
use std::path::Path;

use crate::codec::layout::{Decoder, Layout, Read};
use crate::domain::ids::ChannelOrderNo;
use crate::reconciliation::matching::ReconcileError;
use crate::reconciliation::matching::partitions::Budget;
use crate::reconciliation::matching::side::numbers_in;
use crate::reconciliation::matching::source::{self, Lines, Named, Stop};

/// Those of `wanted` that the statement names anywhere: in a line that was read, that was passed
/// over or that could not be read, in a column of the layout or in another. All of them, if each of
/// its rows is passed over: nothing says then that it is the day's. Temporary files go to `folder`.
pub fn numbers_named(
    statement: &Path,
    layout: &Layout,
    folder: &Path,
    wanted: &BTreeSet<ChannelOrderNo>,
) -> Result<BTreeSet<ChannelOrderNo>, ReconcileError> {
    let budget = Budget::new(0, folder);
    let named = Named { pattern: layout.member.as_deref(), date: None };
    let file = source::open(statement, named, &budget)?;
    let (mut lines, mut found) = (Lines::new(file), BTreeSet::new());
    // Ends with the file: every round takes a line.
    loop {
        let line = match lines.next_line(|_| {}) {
            Ok(Some(line)) => line,
            Ok(None) if is_silent(statement, layout, folder) => return Ok(wanted.clone()),
            Ok(None) => return Ok(found),
            // A line that is too long to be read may name any of them.
            Err(Stop::TooLong) => return Ok(wanted.clone()),
            Err(Stop::Read(source)) => {
                return Err(ReconcileError::Read { path: statement.to_owned(), source });
            }
        };
        for number in numbers_in(line.text) {
            let number = std::str::from_utf8(number).ok().and_then(ChannelOrderNo::parse);
            found.extend(number.filter(|number| wanted.contains(number)));
        }
    }
}

/// Whether a statement has rows, and all of them are passed over: they say no date, so that it may
/// be another day's file.
fn is_silent(statement: &Path, layout: &Layout, folder: &Path) -> bool {
    let budget = Budget::new(0, folder);
    let named = Named { pattern: layout.member.as_deref(), date: None };
    let Ok(file) = source::open(statement, named, &budget) else { return true };
    let (mut lines, mut decoder) = (Lines::new(file), Decoder::new(layout, None));
    let (mut number, mut has_silent) = (0_u32, false);
    // Ends with the first row that is read, or with the file.
    loop {
        number = number.saturating_add(1);
        match lines.next_line(|_| {}) {
            Ok(Some(line)) => match decoder.read(line.text, number) {
                Ok(Read::Passed) => {}
                Ok(Read::Silent(_)) => has_silent = true,
                Ok(Read::Line(_)) | Err(_) => return false,
            },
            Ok(None) => return has_silent,
            Err(_) => return true,
        }
    }
}

/// Whether a statement has a row, whatever the row is. One that cannot be read may have some.
pub fn has_rows(statement: &Path, layout: &Layout, folder: &Path) -> bool {
    let budget = Budget::new(0, folder);
    let named = Named { pattern: layout.member.as_deref(), date: None };
    let Ok(file) = source::open(statement, named, &budget) else { return true };
    let (mut lines, mut decoder) = (Lines::new(file), Decoder::new(layout, None));
    let mut number = 0_u32;
    // Ends with the first row, which is enough, or with the file.
    loop {
        number = number.saturating_add(1);
        match lines.next_line(|_| {}) {
            Ok(Some(line)) if decoder.read(line.text, number) == Ok(Read::Passed) => {}
            Ok(Some(_)) | Err(_) => return true,
            Ok(None) => return false,
        }
    }
}
