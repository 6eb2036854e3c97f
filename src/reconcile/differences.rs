//! Goes back to the files for what was left over and for what is told.

use std::io;

use crate::codec::layout::{Encoding, Problem, Read};
use crate::domain::books::reconcile::{Class, Item, Key};
use crate::domain::card::words::mask_cards;
use crate::reconcile::ReconcileError;
use crate::reconcile::findings::{DIFFERENCE_BYTES, Found, ORDERED};
use crate::reconcile::join::ALL_PARTITIONS;
use crate::reconcile::load::{Loaded, Spread};
use crate::reconcile::partitions::{Budget, Partitions, Sealed};
use crate::reconcile::row::{Packed, ROW_BYTES, Row, key_of, line_at};
use crate::reconcile::source;

/// Characters of a bad line that are told.
const BAD_TEXT_LENGTH_MAX: usize = 1_000;

/// One side of a difference, as it stands in its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Text<'text> {
    /// Its line in the file, from 1.
    pub line: u32,
    pub order_no: &'text str,
    pub reference: &'text str,
    pub item: Item,
    /// The amount that the line has, which for a failure is not what moved.
    pub written_minor: i64,
}

/// A verdict that is more than a plain match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference<'text> {
    pub class: Class,
    /// By what both were brought together.
    pub key: Key,
    /// The statement's side.
    pub line: Option<Text<'text>>,
    /// Our side.
    pub record: Option<Text<'text>>,
    /// A line that cannot be read: its number, why, and its text with card numbers masked (I-11).
    pub bad: Option<Bad>,
}

type Bad = (u32, Problem, String);

/// Spreads what the first key left over of one side by the second key.
///
/// Where `wanted` is not set nothing can be found, and no text is read: the rows are without a key.
pub fn by_reference<'budget>(
    side: &mut Loaded<'_, 'budget>,
    left: &[Sealed<'_, ROW_BYTES>],
    wanted: bool,
    spread: Spread,
    budget: &'budget Budget,
) -> Result<Sealed<'budget, ROW_BYTES>, ReconcileError> {
    let spill = |source| ReconcileError::Spill { source };
    let mut found = Partitions::new(budget, ALL_PARTITIONS);
    let (mut bytes, mut text) = (Vec::new(), Vec::new());
    for partition in 0..ORDERED {
        bytes.clear();
        for part in left {
            part.take(partition, &mut bytes).map_err(spill)?;
        }
        // In the order of the file, so that it is read from its beginning to its end.
        let mut rows: Vec<&Packed> = bytes.as_chunks::<ROW_BYTES>().0.iter().collect();
        rows.sort_unstable_by_key(|row| line_at(row));
        for packed in rows {
            let mut row = Row { key: 0, ..Row::unpack(packed) };
            if wanted {
                source::line_at(&side.file, row.offset, &mut text).map_err(spill)?;
                if let Ok(Read::Line(line)) = side.decoder.read_again(&text, row.line) {
                    row.key = key_of(line.reference);
                }
            }
            let partition = spread.partition(row.key, row.line);
            found.push(partition, &row.pack()).map_err(spill)?;
        }
    }
    Ok(found.seal())
}

/// Calls `take` with every difference in order, and gives their number.
pub fn tell(
    found: &[Sealed<'_, DIFFERENCE_BYTES>],
    (theirs, encoding): (&mut Loaded<'_, '_>, Encoding),
    ours: &mut Loaded<'_, '_>,
    take: &mut dyn FnMut(&Difference<'_>) -> io::Result<()>,
) -> Result<u64, ReconcileError> {
    let spill = |source| ReconcileError::Spill { source };
    let (mut line, mut record) = (Words::default(), Words::default());
    let (mut bytes, mut told) = (Vec::new(), 0);
    for partition in 0..ORDERED {
        bytes.clear();
        for part in found {
            part.take(partition, &mut bytes).map_err(spill)?;
        }
        let chunks = bytes.as_chunks::<DIFFERENCE_BYTES>().0.iter();
        let mut rows: Vec<Found> = chunks.map(Found::unpack).collect();
        let place = |side: Option<(u32, u64)>| side.map_or(0, |(line, _)| line);
        rows.sort_unstable_by_key(|row| (row.line.is_none(), place(row.line), place(row.record)));
        for row in &rows {
            let mut bad = None;
            let line = line.read(theirs, encoding, row.line, &mut bad)?;
            let record = record.read(ours, Encoding::Utf8, row.record, &mut None)?;
            let difference = Difference { class: row.class, key: row.key, line, record, bad };
            take(&difference).map_err(|source| ReconcileError::Write { source })?;
        }
        told += rows.len() as u64;
    }
    Ok(told)
}

/// The texts of one side's row, read again.
#[derive(Default)]
struct Words {
    text: Vec<u8>,
    order_no: String,
    reference: String,
}

impl Words {
    fn read(
        &mut self,
        side: &mut Loaded<'_, '_>,
        encoding: Encoding,
        place: Option<(u32, u64)>,
        bad: &mut Option<Bad>,
    ) -> Result<Option<Text<'_>>, ReconcileError> {
        let Some((line, offset)) = place else { return Ok(None) };
        let again = source::line_at(&side.file, offset, &mut self.text);
        again.map_err(|source| ReconcileError::Spill { source })?;
        match side.decoder.read_again(&self.text, line) {
            Ok(Read::Line(found)) => {
                self.order_no = encoding.decode(found.order_no);
                self.reference = encoding.decode(found.reference);
                let item = side.side.mean(found.item);
                let written_minor = found.item.amount_minor;
                let (order_no, reference) = (&self.order_no, &self.reference);
                Ok(Some(Text { line, order_no, reference, item, written_minor }))
            }
            // It was read before, so the file was changed under us.
            Ok(Read::Passed | Read::Silent(_)) => Ok(None),
            Err(problem) => {
                let text = mask_cards(&encoding.decode(&self.text));
                let text = text.chars().take(BAD_TEXT_LENGTH_MAX).collect();
                *bad = Some((line, problem, text));
                Ok(None)
            }
        }
    }
}
