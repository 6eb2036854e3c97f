//! Turns the texts of one line into a checked row, and says of every bad line what is wrong.
//!
//! Knows nothing of file formats beyond the words they use for card types. Upholds I-11: a bad file
//! may hold a whole card number in any column, so a fault never repeats what it found there, except
//! an unknown word, masked.

use std::collections::BTreeMap;

use serde::Serialize;
use serde::ser::{SerializeStruct, Serializer};

use crate::domain::bin::{
    Bin, BinError, BinRow, CardBrands, CardType, PAN_LENGTH_MAX, PAN_LENGTH_MIN, RowMarks,
    StatedDate,
};
use crate::domain::card::mask;

/// The most faults that are kept with their line; the rest is only counted.
pub const FAULTS_KEPT_MAX: usize = 100;
/// The longest issuer or card name, in characters. The scheme's own fields hold 30 bytes.
const NAME_LENGTH_MAX: usize = 120;
/// Characters of an unknown word that a fault may show, before masking.
const SHOWN_LENGTH_MAX: usize = 12;

/// A mistake in a line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BinLineProblem {
    #[error("the heading lacks the column `{0}`")]
    MissingColumn(&'static str),
    #[error("the heading names the column `{0}` twice")]
    RepeatedColumn(&'static str),
    #[error("{found} columns where the heading has {expected}")]
    ColumnCount { found: usize, expected: usize },
    #[error("a quoted field does not end on its line")]
    OpenQuote,
    #[error("the text is not {0}")]
    Encoding(&'static str),
    #[error("the line is not laid out as the format says: {0}")]
    Layout(&'static str),
    #[error("the BIN has a character that is not a digit, or is empty")]
    BinDigits,
    #[error("the BIN has {0} digits, not 2 to 12")]
    BinLength(usize),
    #[error("the BIN has {found} digits and its length column says otherwise")]
    BinLengthDiffers { found: usize },
    #[error("the card length is not a number of 12 to 19")]
    PanLength,
    #[error("the card length is not above the BIN's length")]
    PanLengthNotAbove,
    #[error("the issuer code is not 8 to 11 digits")]
    IssuerCode,
    #[error("the issuer's name is missing")]
    IssuerNameMissing,
    #[error("a name is longer than 120 characters or has a control character")]
    Name,
    #[error("`{0}` is no card type")]
    CardType(String),
    #[error("`{0}` is no brand of ours, nor two of them joined by `+`")]
    Brand(String),
    #[error("the column `{0}` has no date (YYYY, YYYY-MM or YYYY-MM-DD)")]
    Date(&'static str),
    #[error("the source of a changed name is missing, or too long")]
    Source,
    #[error("this name of this issuer changes on line {first_line} already")]
    ChangesTwice { first_line: usize },
    #[error("the names of this issuer lead in a circle")]
    Circle,
    #[error("this name ends, by the dates, before it has begun")]
    DateOrder,
    #[error("there are more changed names than the {0} that are kept")]
    TooManyChanges(usize),
    #[error("the same row stands on line {first_line}")]
    Duplicate { first_line: usize },
    #[error("line {first_line} has the same BIN and card length and says something else")]
    Conflict { first_line: usize },
}

impl BinLineProblem {
    /// The stable code of the problem.
    pub fn code(&self) -> &'static str {
        match self {
            Self::MissingColumn(_) => "missing_column",
            Self::RepeatedColumn(_) => "repeated_column",
            Self::ColumnCount { .. } => "column_count",
            Self::OpenQuote => "open_quote",
            Self::Encoding(_) => "encoding",
            Self::Layout(_) => "layout",
            Self::BinDigits => "bin_digits",
            Self::BinLength(_) => "bin_length",
            Self::BinLengthDiffers { .. } => "bin_length_differs",
            Self::PanLength => "pan_length",
            Self::PanLengthNotAbove => "pan_length_not_above",
            Self::IssuerCode => "issuer_code",
            Self::IssuerNameMissing => "issuer_name_missing",
            Self::Name => "name",
            Self::CardType(_) => "card_type",
            Self::Brand(_) => "brand",
            Self::Date(_) => "date",
            Self::Source => "source",
            Self::ChangesTwice { .. } => "changes_twice",
            Self::Circle => "circle",
            Self::DateOrder => "date_order",
            Self::TooManyChanges(_) => "too_many_changes",
            Self::Duplicate { .. } => "duplicate",
            Self::Conflict { .. } => "conflict",
        }
    }
}

/// One problem and where it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct Fault {
    /// Counted from 1; a spreadsheet's row.
    pub line: usize,
    pub problem: BinLineProblem,
}

impl Serialize for Fault {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fault = serializer.serialize_struct("Fault", 3)?;
        fault.serialize_field("line", &self.line)?;
        fault.serialize_field("code", self.problem.code())?;
        fault.serialize_field("problem", &self.problem.to_string())?;
        fault.end()
    }
}

/// All faults of a table: the first hundred with their lines, and how many there are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct TableFaults {
    /// By the order in which they were found, which is that of the lines.
    pub first: Vec<Fault>,
    pub count: usize,
}

impl TableFaults {
    fn add(&mut self, line: usize, problem: BinLineProblem) {
        self.count += 1;
        if self.first.len() < FAULTS_KEPT_MAX {
            self.first.push(Fault { line, problem });
        }
    }
}

/// The texts of one line, as a format's reader found them.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct RawRow<'text> {
    pub bin: &'text str,
    /// The number of digits of the BIN, where the format states it.
    pub bin_length: Option<&'text str>,
    pub pan_length: &'text str,
    pub issuer_code: &'text str,
    pub issuer_name: &'text str,
    pub card_name: &'text str,
    pub card_type: &'text str,
    /// One name or two, as [`CardBrands::parse`] reads them. Empty or absent: UnionPay's, and the
    /// brand's in whose range the BIN lies.
    pub brand: Option<&'text str>,
    /// When the fact was stated, where the row says so.
    pub as_of: Option<&'text str>,
    /// Since when the row is a fact no more, where it says so.
    pub retired: Option<&'text str>,
}

/// Collects rows and faults, line by line.
#[derive(Default)]
pub(super) struct Checker {
    rows: Vec<(BinRow, RowMarks)>,
    /// For each key its first line and its place among the rows.
    seen: BTreeMap<(Bin, u8), (usize, usize)>,
    faults: TableFaults,
    /// Whether the format repeats a row for each track of a card, so that equal rows are no fault.
    pub merges_equal_rows: bool,
    pub merged: usize,
    /// Rows that the source marks as deleted in its period.
    pub deleted: usize,
}

impl Checker {
    pub(super) fn fault(&mut self, line: usize, problem: BinLineProblem) {
        self.faults.add(line, problem);
    }

    /// Checks one line. All its problems are told, not only the first.
    pub(super) fn take(&mut self, line: usize, raw: RawRow<'_>) {
        let faults_before = self.faults.count;
        let bin = self.checked_bin(line, raw);
        let pan_length = self.checked_pan_length(line, raw.pan_length);
        if let (Some(bin), Some(pan_length)) = (bin, pan_length)
            && usize::from(pan_length) <= bin.length()
        {
            self.fault(line, BinLineProblem::PanLengthNotAbove);
        }
        if !is_issuer_code(raw.issuer_code) {
            self.fault(line, BinLineProblem::IssuerCode);
        }
        if raw.issuer_name.is_empty() {
            self.fault(line, BinLineProblem::IssuerNameMissing);
        }
        if [raw.issuer_name, raw.card_name].iter().any(|name| !is_name(name)) {
            self.fault(line, BinLineProblem::Name);
        }
        let card_type = card_type_of(raw.card_type);
        if card_type.is_none() {
            self.fault(line, BinLineProblem::CardType(excerpt(raw.card_type)));
        }
        let brand_text = raw.brand.filter(|text| !text.is_empty());
        let brand = brand_text.map(CardBrands::parse);
        if let (Some(None), Some(text)) = (brand, brand_text) {
            self.fault(line, BinLineProblem::Brand(excerpt(text)));
        }
        let marks = RowMarks {
            as_of: self.checked_date(line, "as_of", raw.as_of),
            retired: self.checked_date(line, "retired", raw.retired),
        };
        if self.faults.count > faults_before {
            return;
        }
        if let (Some(bin), Some(pan_length), Some(card_type)) = (bin, pan_length, card_type) {
            let row = BinRow {
                bin,
                pan_length,
                issuer_code: raw.issuer_code.to_owned(),
                issuer_name: raw.issuer_name.to_owned(),
                card_name: raw.card_name.to_owned(),
                card_type,
                brands: brand.flatten().unwrap_or_else(|| CardBrands::of_unionpay_table(&bin)),
            };
            self.keep(line, (row, marks));
        }
    }

    /// The rows in the order of their lines, or all faults.
    pub(super) fn finish(self) -> Result<Vec<(BinRow, RowMarks)>, TableFaults> {
        if self.faults.count > 0 { Err(self.faults) } else { Ok(self.rows) }
    }

    /// How many faults were found so far.
    pub(super) fn fault_count(&self) -> usize {
        self.faults.count
    }

    fn keep(&mut self, line: usize, row: (BinRow, RowMarks)) {
        if let Some((first_line, place)) = self.seen.get(&row.0.key()).copied() {
            let equal = self.rows[place] == row;
            match (equal, self.merges_equal_rows) {
                (true, true) => self.merged += 1,
                (true, false) => self.fault(line, BinLineProblem::Duplicate { first_line }),
                (false, _) => self.fault(line, BinLineProblem::Conflict { first_line }),
            }
            return;
        }
        self.seen.insert(row.0.key(), (line, self.rows.len()));
        self.rows.push(row);
    }

    fn checked_bin(&mut self, line: usize, raw: RawRow<'_>) -> Option<Bin> {
        let found = raw.bin.len();
        let bin = match Bin::parse(raw.bin) {
            Ok(bin) => bin,
            Err(BinError::Length) if found > 0 => {
                self.fault(line, BinLineProblem::BinLength(found));
                return None;
            }
            Err(BinError::Length | BinError::NotDigits) => {
                self.fault(line, BinLineProblem::BinDigits);
                return None;
            }
        };
        let stated = raw.bin_length.filter(|text| !text.is_empty());
        if stated.is_some_and(|text| text.parse() != Ok(found)) {
            self.fault(line, BinLineProblem::BinLengthDiffers { found });
        }
        Some(bin)
    }

    fn checked_pan_length(&mut self, line: usize, text: &str) -> Option<u8> {
        // Digits only: `parse` alone would let a sign pass.
        let length = text.parse::<u8>().ok().filter(|_| is_digits(text));
        let fitting =
            length.filter(|n| (PAN_LENGTH_MIN..=PAN_LENGTH_MAX).contains(&usize::from(*n)));
        if fitting.is_none() {
            self.fault(line, BinLineProblem::PanLength);
        }
        fitting
    }

    /// A date that may be absent.
    fn checked_date(
        &mut self,
        line: usize,
        column: &'static str,
        text: Option<&str>,
    ) -> Option<StatedDate> {
        let text = text.filter(|text| !text.is_empty())?;
        let date = StatedDate::parse(text);
        if date.is_none() {
            self.fault(line, BinLineProblem::Date(column));
        }
        date
    }
}

/// Whether a text is an institution's code.
pub(super) fn is_issuer_code(text: &str) -> bool {
    (8..=11).contains(&text.len()) && is_digits(text)
}

/// The card type that a word or digit of any known format names.
///
/// Digits 1 to 4 stand in UnionPay's text files, the Chinese words in its spreadsheet, and the
/// letters in a variant that some banks hand on.
fn card_type_of(text: &str) -> Option<CardType> {
    match text {
        "1" | "D" | "借记卡" => Some(CardType::Debit),
        "2" | "C" | "贷记卡" => Some(CardType::Credit),
        "3" | "Z" | "准贷记卡" | "quasi-credit" => Some(CardType::QuasiCredit),
        "4" | "Y" | "预付费卡" => Some(CardType::Prepaid),
        name => CardType::parse(name),
    }
}

fn is_digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

pub(super) fn is_name(text: &str) -> bool {
    text.chars().count() <= NAME_LENGTH_MAX && !text.chars().any(char::is_control)
}

/// An unknown word as a fault may show it: cut, masked, and without control characters.
fn excerpt(text: &str) -> String {
    let cut = text.chars().filter(|character| !character.is_control()).take(SHOWN_LENGTH_MAX);
    mask(&cut.collect::<String>())
}
