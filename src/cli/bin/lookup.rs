//! The answers of `switchyard bin lookup`, one line each, fast enough for millions of cards.
//!
//! Upholds I-11: an input of more than twelve digits, or one that is no number at all, is only ever
//! written masked.

use std::io::{self, BufRead, Read, Write};

use serde::Serialize;

use crate::cli::output::is_closed;
use crate::domain::bin::{BIN_LENGTH_MAX, BIN_LENGTH_MIN, Brand, PAN_LENGTH_MAX};
use crate::domain::card::{luhn_fits, mask};
use crate::tables::bin::{DatedTable, RowView};

/// The longest line that is read: ten times a card number with blanks.
const LINE_BYTES_MAX: usize = 256;

/// One answer: `found` with the row's fields, or why there is none.
#[derive(Serialize)]
struct LookupAnswer<'row> {
    input: &'row str,
    found: bool,
    #[serde(flatten)]
    row: Option<RowView<'row>>,
    /// Where no row fits and only the brand is public.
    #[serde(rename = "brand", skip_serializing_if = "Option::is_none")]
    bare_brand: Option<&'static str>,
    /// Only where the check digit of a whole card number does not fit.
    #[serde(skip_serializing_if = "Option::is_none")]
    luhn: Option<bool>,
    /// Only for a prefix inside which longer BINs lie, so that more digits may change the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    longer_bins: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<&'static str>,
}

/// Looks numbers up in one table and writes the answers to one output.
pub(super) struct Lookup<'run, W> {
    dated: DatedTable<'run>,
    pan_length: Option<u8>,
    as_json: bool,
    output: &'run mut W,
    invalid_inputs: u64,
}

impl<'run, W: Write> Lookup<'run, W> {
    pub(super) fn over(
        dated: DatedTable<'run>,
        pan_length: Option<u8>,
        as_json: bool,
        output: &'run mut W,
    ) -> Self {
        Self { dated, pan_length, as_json, output, invalid_inputs: 0 }
    }

    /// Answers each of these inputs.
    pub(super) fn answer_all(&mut self, numbers: &[String]) -> io::Result<()> {
        numbers.iter().try_for_each(|number| self.answer(number.as_bytes()))
    }

    /// Answers each line until the input ends. Empty lines are skipped.
    pub(super) fn answer_lines(&mut self, mut input: impl BufRead) -> io::Result<()> {
        let mut line = Vec::with_capacity(LINE_BYTES_MAX);
        // Ends with the input, or when the reader of the answers has gone.
        while !is_closed() {
            line.clear();
            let mut bounded = input.by_ref().take(LINE_BYTES_MAX as u64);
            if bounded.read_until(b'\n', &mut line)? == 0 {
                return Ok(());
            }
            let is_whole = line.last() == Some(&b'\n') || line.len() < LINE_BYTES_MAX;
            if !is_whole {
                skip_line(&mut input)?;
            }
            let text = line.trim_ascii();
            if !text.is_empty() {
                self.answer(text)?;
            }
        }
        Ok(())
    }

    /// Whether every input was a number of a valid length, found or not.
    pub(super) fn all_were_valid(&self) -> bool {
        self.invalid_inputs == 0
    }

    /// Answers one input. Blanks and hyphens, as on printed cards, are left out.
    fn answer(&mut self, input: &[u8]) -> io::Result<()> {
        let mut buffer = [0; PAN_LENGTH_MAX];
        let mut length = 0;
        for byte in input.iter().filter(|byte| !matches!(byte, b' ' | b'-')) {
            if !byte.is_ascii_digit() {
                return self.refuse(input, "not digits");
            }
            if let Some(place) = buffer.get_mut(length) {
                *place = *byte;
            }
            length += 1;
        }
        let Some(digits) = buffer.get(..length).filter(|_| length >= BIN_LENGTH_MIN) else {
            return self.refuse(input, "not 2 to 19 digits");
        };
        let text = std::str::from_utf8(digits).expect("only ASCII digits were copied");
        let dated = self.dated;
        let row = dated.table.lookup(digits);
        let bare_brand = Brand::of_bare_range(digits).map(Brand::name);
        if length > BIN_LENGTH_MAX || row.is_some() {
            return self.write(&LookupAnswer {
                input: &mask(text),
                found: row.is_some(),
                row: row.map(|row| RowView::of(row, dated)),
                bare_brand: bare_brand.filter(|_| row.is_none()),
                luhn: (!luhn_fits(digits)).then_some(false),
                longer_bins: None,
                problem: None,
            });
        }
        let matches = dated.table.lookup_prefix(digits, self.pan_length);
        let mut answer = LookupAnswer {
            input: text,
            found: !matches.is_empty(),
            row: None,
            bare_brand: bare_brand.filter(|_| matches.is_empty()),
            luhn: None,
            longer_bins: matches.has_longer_bins.then_some(true),
            problem: None,
        };
        if matches.is_empty() {
            return self.write(&answer);
        }
        for row in matches.rows() {
            answer.row = Some(RowView::of(row, dated));
            self.write(&answer)?;
        }
        Ok(())
    }

    fn refuse(&mut self, input: &[u8], problem: &'static str) -> io::Result<()> {
        self.invalid_inputs += 1;
        let shown = mask(&String::from_utf8_lossy(input));
        self.write(&LookupAnswer {
            input: &shown,
            found: false,
            row: None,
            bare_brand: None,
            luhn: None,
            longer_bins: None,
            problem: Some(problem),
        })
    }

    fn write(&mut self, answer: &LookupAnswer<'_>) -> io::Result<()> {
        if self.as_json {
            serde_json::to_writer(&mut *self.output, answer).map_err(io::Error::from)?;
            return self.output.write_all(b"\n");
        }
        let luhn = if answer.luhn == Some(false) { "\tcheck digit does not fit" } else { "" };
        match &answer.row {
            Some(row) => writeln!(
                self.output,
                "{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}{}{luhn}",
                answer.input,
                row.bin,
                row.pan_length,
                row.issuer_code,
                row.issuer_name,
                row.card_name,
                row.card_type,
                row.brands,
                remarks(row)
            ),
            None => match (answer.bare_brand, answer.problem) {
                (Some(brand), _) => {
                    let known = "issuer and card type are not known";
                    writeln!(self.output, "{}\t{brand}; {known}{luhn}", answer.input)
                }
                (None, problem) => {
                    let problem = problem.unwrap_or("not found");
                    writeln!(self.output, "{}\t{problem}{luhn}", answer.input)
                }
            },
        }
    }
}

/// What a row says of its own age and its issuer's past, each behind a tab.
fn remarks(row: &RowView<'_>) -> String {
    let mut text = String::new();
    if let (Some(as_of), Some(days)) = (row.as_of, row.age_days) {
        text.push_str(&format!("\tas of {}, {days} days old", as_of.0));
    }
    if !row.issuer_former_names.is_empty() {
        text.push_str(&format!("\tformerly {}", row.issuer_former_names.join(", ")));
    }
    if let Some(date) = row.retired {
        text.push_str(&format!("\tretired {}", date.0));
    }
    text
}

/// Skips the rest of a line without keeping it.
fn skip_line(input: &mut impl BufRead) -> io::Result<()> {
    loop {
        let chunk = input.fill_buf()?;
        let end = chunk.iter().position(|byte| *byte == b'\n');
        let passed = end.map_or(chunk.len(), |end| end + 1);
        let is_over = end.is_some() || chunk.is_empty();
        input.consume(passed);
        if is_over {
            return Ok(());
        }
    }
}
