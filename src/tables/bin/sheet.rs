//! The scheme's monthly spreadsheet: one sheet, four heading rows, a card in each row after them.
//!
//! Two traps of it are handled here: a card with two tracks has two lines in a cell, or two equal
//! rows; and digits that Excel took for a number have lost their leading zeros.

use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};

use calamine::{Data, Range, Reader, Xls};

use super::check::{BinLineProblem, Checker, RawRow};
use super::sheet_bounds;

/// Rows above the first card.
const HEADING_ROWS: u32 = 4;
const ISSUER: u32 = 0;
const CARD_NAME: u32 = 1;
const PAN_LENGTH: u32 = 8;
const BIN_LENGTH: u32 = 12;
const BIN: u32 = 13;
const CARD_TYPE: u32 = 15;
const CHANGE: u32 = 16;
/// The mark of a row that was deleted in the period of the file.
const DELETED: &str = "D";
/// The mark of an absent card name.
const NO_NAME: &str = "--";
/// Longer numbers than a BIN are not padded: they are faults.
const PADDED_LENGTH_MAX: usize = 12;

/// Reads the first sheet. A row's number, counted from 1, is its line.
pub(super) fn read_sheet(bytes: &[u8], checker: &mut Checker) -> Result<(), String> {
    let range = first_sheet(bytes)?;
    // A card with two tracks may stand in two rows that say the same.
    checker.merges_equal_rows = true;
    let Some((last_row, _)) = range.end() else { return Ok(()) };
    for row in HEADING_ROWS..=last_row {
        read_row(&range, row, checker);
    }
    Ok(())
}

/// The cells of the first sheet. The parser is known to panic on damaged files, which here is only
/// one more way to say that the file cannot be read.
fn first_sheet(bytes: &[u8]) -> Result<Range<Data>, String> {
    sheet_bounds::check(bytes)?;
    let parse = || {
        let mut book = Xls::new(Cursor::new(bytes)).map_err(|error| error.to_string())?;
        let sheet = book.worksheet_range_at(0).ok_or("the workbook has no sheet")?;
        sheet.map_err(|error| error.to_string())
    };
    catch_unwind(AssertUnwindSafe(parse)).unwrap_or_else(|_| Err("it is damaged".to_owned()))
}

fn read_row(range: &Range<Data>, row: u32, checker: &mut Checker) {
    let line = row as usize + 1;
    let cell = |column: u32| cell_lines(range.get_value((row, column)));
    let issuer = cell(ISSUER).concat();
    let bins = cell(BIN);
    if issuer.is_empty() && bins.is_empty() {
        return;
    }
    if cell(CHANGE).first().is_some_and(|mark| mark == DELETED) {
        checker.deleted += 1;
        return;
    }
    let Some((issuer_name, issuer_code)) = split_issuer(&issuer) else {
        checker.fault(line, BinLineProblem::Layout("name(code) in the first column"));
        return;
    };
    let single = [bins, cell(BIN_LENGTH), cell(PAN_LENGTH), cell(CARD_TYPE)].map(single_value);
    let [Some(bin), Some(bin_length), Some(pan_length), Some(card_type)] = single else {
        checker
            .fault(line, BinLineProblem::Layout("one value in each cell, or the same one twice"));
        return;
    };
    let is_number = matches!(range.get_value((row, BIN)), Some(Data::Float(_) | Data::Int(_)));
    let bin = if is_number { pad(&bin, &bin_length) } else { bin };
    let card_name = cell(CARD_NAME).concat();
    checker.take(
        line,
        RawRow {
            bin: &bin,
            bin_length: Some(&bin_length),
            pan_length: &pan_length,
            issuer_code: &issuer_code,
            issuer_name: &issuer_name,
            card_name: if card_name == NO_NAME { "" } else { &card_name },
            card_type: &card_type,
            brand: None,
            as_of: None,
            retired: None,
        },
    );
}

/// The lines of a cell, without blanks and empty ones; equal neighbours stand once.
fn cell_lines(cell: Option<&Data>) -> Vec<String> {
    let text = match cell {
        Some(Data::String(text)) => text.clone(),
        Some(Data::Int(number)) => number.to_string(),
        // A number with a fraction stays one and is told as a fault by the check of its column.
        Some(Data::Float(number)) => number.to_string(),
        Some(_) | None => String::new(),
    };
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let mut lines: Vec<String> = lines.map(str::to_owned).collect();
    lines.dedup();
    lines
}

/// The one value of a cell, or nothing at all; `None` where two lines contradict each other.
fn single_value(mut lines: Vec<String>) -> Option<String> {
    (lines.len() <= 1).then(|| lines.pop().unwrap_or_default())
}

/// Takes `name(code)` apart. The code is the last bracketed group, as names hold brackets too.
fn split_issuer(text: &str) -> Option<(String, String)> {
    let inner = text.trim_end().strip_suffix([')', '）'])?;
    let (name, code) = inner.rsplit_once(['(', '（'])?;
    Some((name.trim().to_owned(), code.trim().to_owned()))
}

/// Puts the leading zeros back that a number cell has lost.
fn pad(bin: &str, bin_length: &str) -> String {
    let length = bin_length.parse().ok().filter(|length| *length <= PADDED_LENGTH_MAX);
    format!("{bin:0>width$}", width = length.unwrap_or(0))
}
