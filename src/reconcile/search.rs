//! Looks for our order numbers in a statement's whole text, whatever the layout makes of it.

use std::collections::BTreeSet;
use std::path::Path;

use crate::codec::layout::{Decoder, Layout, Read};
use crate::domain::ids::ChannelOrderNo;
use crate::reconcile::ReconcileError;
use crate::reconcile::load::numbers_in;
use crate::reconcile::partitions::Budget;
use crate::reconcile::source::{self, Named, Stop};

/// Those of `wanted` that the statement names anywhere: in a line that was read, that was passed
/// over or that could not be read, in a column of the layout or in another. Temporary files go to
/// `folder`.
pub fn numbers_named(
    statement: &Path,
    layout: &Layout,
    folder: &Path,
    wanted: &BTreeSet<ChannelOrderNo>,
) -> Result<BTreeSet<ChannelOrderNo>, ReconcileError> {
    let budget = Budget::new(0, folder);
    let named = Named { pattern: layout.member.as_deref(), date: None };
    let file = source::open(statement, named, &budget)?;
    let mut found = BTreeSet::new();
    let read = source::each_line(&file, &|_| {}, |line| {
        for number in numbers_in(line.text) {
            let number = std::str::from_utf8(number).ok().and_then(ChannelOrderNo::parse);
            found.extend(number.filter(|number| wanted.contains(number)));
        }
        Ok::<(), std::convert::Infallible>(())
    });
    match read {
        Ok(()) => Ok(found),
        Err(Stop::Read(source)) => Err(ReconcileError::Read { path: statement.to_owned(), source }),
        // A line that is too long to be read may name any of them.
        Err(Stop::TooLong) => Ok(wanted.clone()),
        Err(Stop::Told(never)) => match never {},
    }
}

/// Whether a statement has a row, whatever the row is. One that cannot be read may have some.
pub fn has_rows(statement: &Path, layout: &Layout, folder: &Path) -> bool {
    let budget = Budget::new(0, folder);
    let named = Named { pattern: layout.member.as_deref(), date: None };
    let Ok(file) = source::open(statement, named, &budget) else { return true };
    let (mut decoder, mut number) = (Decoder::new(layout, None), 0_u32);
    let read = source::each_line(&file, &|_| {}, |line| {
        number = number.saturating_add(1);
        match decoder.read(line.text, number) {
            Ok(Read::Passed) => Ok(()),
            // The first one is enough.
            Ok(Read::Silent(_) | Read::Line(_)) | Err(_) => Err(()),
        }
    });
    read.is_err()
}
