//! Reads a BIN table from the bytes of any format that schemes and banks hand out.
//!
//! Our own format may hold the changes of issuers' names too, behind the rows of BINs or alone,
//! each with a heading. Format and encoding are found by content unless the caller names them.
//! Nothing in here touches a file; every byte is input, so it is never asserted about and never
//! panics. A table is read whole or refused with the lines that are wrong.

use std::collections::BTreeMap;

use encoding_rs::GBK;

use super::check::{BinLineProblem, Checker, RawRow, TableFaults};
use super::issuers::{self, IssuerReader};
use super::sheet;
use super::text::{self, TextEncoding, lines_of};
use crate::domain::bin::{BinTable, BinTableError, IssuerChanges, RowMarks};
use crate::domain::closed_set;

/// The largest source that is read: some seventy times UnionPay's table as CSV.
pub const SOURCE_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Lines with text that are looked at to find the format.
const SNIFFED_LINES_MAX: usize = 20;
/// The first bytes of an old Excel file (a compound document).
const COMPOUND_DOCUMENT: &[u8] = &[0xD0, 0xCF, 0x11, 0xE0, 0xA1, 0xB1, 0x1A, 0xE1];
const ZIP_ARCHIVE: &[u8] = b"PK\x03\x04";
const UTF8_MARK: &[u8] = &[0xEF, 0xBB, 0xBF];

closed_set! {
    /// The layouts a table comes in.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
    #[serde(rename_all = "snake_case")]
    pub enum TableFormat {
        /// Our own: a heading and comma-separated columns.
        Csv => "csv",
        /// The scheme's monthly spreadsheet (`.xls`).
        Xls => "xls",
        /// Comma-separated text with padded fields, as the scheme sends to acquirers.
        Delimited => "delimited",
        /// Fixed-width text without track data.
        Fixed => "fixed",
    }
}

/// The caller's knowledge about the source. `None`: found by content.
#[derive(Debug, Clone, Copy, Default)]
pub struct ReadOptions {
    pub format: Option<TableFormat>,
    pub encoding: Option<TextEncoding>,
}

/// What a source that passed every check holds.
#[derive(Debug)]
pub enum ReadSource {
    Table(ReadTable),
    /// The changes of issuers' names alone.
    Issuers(IssuerChanges),
}

/// A table that passed every check, and how it came.
#[derive(Debug)]
pub struct ReadTable {
    pub table: BinTable,
    /// Whether the source says how issuers' names have changed; else the table shows no change.
    pub states_issuers: bool,
    pub format: TableFormat,
    /// `None` for a spreadsheet, which states its own.
    pub encoding: Option<TextEncoding>,
    /// Rows left out because the source marks them as deleted in its period.
    pub deleted: usize,
    /// Equal rows that a spreadsheet repeats for each track of a card.
    pub merged: usize,
}

/// Why bytes are not a table.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnreadableTable {
    #[error("the source has {bytes} bytes, more than the {SOURCE_BYTES_MAX} allowed")]
    TooLarge { bytes: usize },
    #[error("the source is in none of the known formats (csv, xls, delimited, fixed)")]
    UnknownFormat,
    #[error("the source is a zip archive or a newer spreadsheet; save it as .xls or CSV")]
    ZipArchive,
    #[error("the spreadsheet cannot be read: {0}")]
    Spreadsheet(String),
    #[error("{} bad lines", .0.count)]
    Invalid(TableFaults),
    #[error("the source has no rows")]
    NoRows,
    #[error("the source has changes of issuers' names and no BINs")]
    IssuersAlone,
    #[error(transparent)]
    Table(BinTableError),
}

impl UnreadableTable {
    /// The stable code of the refusal.
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "too_large",
            Self::UnknownFormat => "unknown_format",
            Self::ZipArchive => "zip_archive",
            Self::Spreadsheet(_) => "spreadsheet",
            Self::Invalid(_) => "invalid_rows",
            Self::NoRows => "no_rows",
            Self::IssuersAlone => "issuers_alone",
            Self::Table(_) => "invalid_table",
        }
    }
}

/// Reads and checks a whole table, as [`read_source`] does; one without BINs is none.
pub fn read_table(bytes: &[u8], options: ReadOptions) -> Result<ReadTable, UnreadableTable> {
    match read_source(bytes, options)? {
        ReadSource::Table(table) => Ok(table),
        ReadSource::Issuers(_) => Err(UnreadableTable::IssuersAlone),
    }
}

/// Reads and checks a table, or the changes of issuers' names.
pub fn read_source(bytes: &[u8], options: ReadOptions) -> Result<ReadSource, UnreadableTable> {
    if bytes.len() > SOURCE_BYTES_MAX {
        return Err(UnreadableTable::TooLarge { bytes: bytes.len() });
    }
    let text = bytes.strip_prefix(UTF8_MARK).unwrap_or(bytes);
    let encoding = options.encoding.unwrap_or_else(|| find_encoding(text));
    let format = match options.format {
        Some(format) => format,
        None => find_format(text, encoding)?,
    };
    let mut checker = Checker::default();
    let mut issuers = None;
    match format {
        TableFormat::Csv => issuers = read_csv(text, encoding, &mut checker),
        TableFormat::Xls => {
            sheet::read_sheet(bytes, &mut checker).map_err(UnreadableTable::Spreadsheet)?;
        }
        TableFormat::Delimited => text::read_delimited(text, encoding, &mut checker),
        TableFormat::Fixed => text::read_fixed(text, encoding, &mut checker),
    }
    let changes = issuers.map(|reader| reader.finish(&mut checker));
    let (deleted, merged) = (checker.deleted, checker.merged);
    let rows = checker.finish().map_err(UnreadableTable::Invalid)?;
    if rows.is_empty() {
        let changes = changes.filter(|changes| !changes.all().is_empty());
        return changes.map(ReadSource::Issuers).ok_or(UnreadableTable::NoRows);
    }
    let states_issuers = changes.is_some();
    let table = BinTable::build(rows, changes.unwrap_or_default());
    let table = table.map_err(UnreadableTable::Table)?;
    let encoding = (format != TableFormat::Xls).then_some(encoding);
    Ok(ReadSource::Table(ReadTable { table, states_issuers, format, encoding, deleted, merged }))
}

/// Writes a table in our own format: the content of a kept version. Equal tables give equal bytes.
pub fn write_csv(table: &BinTable) -> Vec<u8> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(WRITTEN_COLUMNS).expect("memory takes any row");
    for row in table.rows() {
        let (pan_length, brands) = (row.pan_length.to_string(), row.brands.to_string());
        let RowMarks { as_of, retired } = table.marks(row);
        let [as_of, retired] =
            [as_of, retired].map(|date| date.map(|date| date.to_string()).unwrap_or_default());
        let fields = [
            row.bin.as_str(),
            &pan_length,
            &row.issuer_code,
            table.stated_name(row),
            &row.card_name,
            row.card_type.name(),
            &brands,
            &as_of,
            &retired,
        ];
        writer.write_record(fields).expect("memory takes any row");
    }
    let mut bytes = writer.into_inner().expect("memory takes any row");
    issuers::write_csv(table.issuers(), &mut bytes);
    bytes
}

/// UTF-8 unless most lines with other than ASCII characters are not: so one broken line in a UTF-8
/// file is told as broken, and does not turn the whole file into wrong Chinese.
fn find_encoding(text: &[u8]) -> TextEncoding {
    let (mut fitting, mut all) = (0_usize, 0_usize);
    for (_, line) in lines_of(text).filter(|(_, line)| !line.is_ascii()) {
        all += 1;
        fitting += usize::from(std::str::from_utf8(line).is_ok());
    }
    if fitting * 2 >= all { TextEncoding::Utf8 } else { TextEncoding::Gbk }
}

fn find_format(text: &[u8], encoding: TextEncoding) -> Result<TableFormat, UnreadableTable> {
    if text.starts_with(COMPOUND_DOCUMENT) {
        return Ok(TableFormat::Xls);
    }
    if text.starts_with(ZIP_ARCHIVE) {
        return Err(UnreadableTable::ZipArchive);
    }
    // A bad first line must not hide the format: the line is reported with its number.
    for (_, line) in lines_of(text).take(SNIFFED_LINES_MAX) {
        if is_csv_heading(line) {
            return Ok(TableFormat::Csv);
        }
        let Some(line) = text::gbk_bytes(line, encoding) else { continue };
        if text::is_delimited(&line) {
            return Ok(TableFormat::Delimited);
        }
        if text::is_fixed(&line) {
            return Ok(TableFormat::Fixed);
        }
    }
    Err(UnreadableTable::UnknownFormat)
}

fn is_csv_heading(line: &[u8]) -> bool {
    let mut names = line.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    names.any(|name| {
        let name =
            name.strip_prefix(b"\"").and_then(|name| name.strip_suffix(b"\"")).unwrap_or(name);
        matches!(name, b"bin" | b"pan_length" | b"old_name" | b"new_name")
    })
}

/// The columns of a kept version.
const WRITTEN_COLUMNS: [&str; 9] = [
    "bin",
    "pan_length",
    "issuer_code",
    "issuer_name",
    "card_name",
    "card_type",
    "brand",
    "as_of",
    "retired",
];

/// The columns of our format that are read. Others, such as `source`, may stand beside them.
const COLUMNS: [(&str, bool); 10] = [
    ("bin", true),
    ("pan_length", true),
    ("issuer_code", true),
    ("issuer_name", true),
    ("card_type", true),
    ("card_name", false),
    ("bin_length", false),
    ("brand", false),
    ("as_of", false),
    ("retired", false),
];

/// The columns that are read, with their places, and how many the heading has.
type Heading = (BTreeMap<&'static str, usize>, usize);

/// Reads rows of BINs and, from a heading of theirs on, changes of issuers' names.
fn read_csv(text: &[u8], encoding: TextEncoding, checker: &mut Checker) -> Option<IssuerReader> {
    let (clean, numbers) = decode_lines(text, encoding, checker);
    let mut reader =
        csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(clean.as_bytes());
    let mut heading: Option<Heading> = None;
    let mut issuers: Option<IssuerReader> = None;
    for record in reader.records() {
        // The text is valid UTF-8 in memory and columns may differ, so nothing else can fail.
        let Ok(record) = record else { return issuers };
        let place = record.position().map_or(0, |position| position.line() as usize);
        let line = numbers.get(place.wrapping_sub(1)).copied().unwrap_or(place);
        if record.iter().any(|field| field.contains('\n')) {
            checker.fault(line, BinLineProblem::OpenQuote);
            continue;
        }
        if issuers.is_none() && issuers::is_heading(&record) {
            issuers = Some(IssuerReader::default());
            heading = read_heading(&issuers::COLUMNS, line, &record, checker);
            if heading.is_none() {
                return issuers;
            }
            continue;
        }
        let Some((places, expected)) = &heading else {
            heading = read_heading(&COLUMNS, line, &record, checker);
            if heading.is_none() {
                return issuers;
            }
            continue;
        };
        if record.len() != *expected {
            let found = record.len();
            checker.fault(line, BinLineProblem::ColumnCount { found, expected: *expected });
            continue;
        }
        let optional = |name| places.get(name).and_then(|place| record.get(*place)).map(str::trim);
        let field = |name| optional(name).unwrap_or_default();
        if let Some(issuers) = &mut issuers {
            issuers.take(line, field, checker);
            continue;
        }
        checker.take(
            line,
            RawRow {
                bin: field("bin"),
                bin_length: optional("bin_length"),
                pan_length: field("pan_length"),
                issuer_code: field("issuer_code"),
                issuer_name: field("issuer_name"),
                card_name: field("card_name"),
                card_type: field("card_type"),
                brand: optional("brand"),
                as_of: optional("as_of"),
                retired: optional("retired"),
            },
        );
    }
    issuers
}

/// The place of each column that we read; `None`, and faults, where the heading cannot be used.
fn read_heading(
    columns: &[(&'static str, bool)],
    line: usize,
    record: &csv::StringRecord,
    checker: &mut Checker,
) -> Option<Heading> {
    let mut places = BTreeMap::new();
    let mut usable = true;
    for (name, required) in columns.iter().copied() {
        let mut found = record.iter().enumerate().filter(|(_, field)| field.trim() == name);
        match (found.next(), found.next()) {
            (Some((place, _)), None) => {
                places.insert(name, place);
            }
            (Some(_), Some(_)) => {
                checker.fault(line, BinLineProblem::RepeatedColumn(name));
                usable = false;
            }
            (None, _) if required => {
                checker.fault(line, BinLineProblem::MissingColumn(name));
                usable = false;
            }
            (None, _) => {}
        }
    }
    usable.then_some((places, record.len()))
}

/// The lines with text as UTF-8, and the number of each in the source. A line that the encoding
/// cannot be is told and left out.
fn decode_lines(
    text: &[u8],
    encoding: TextEncoding,
    checker: &mut Checker,
) -> (String, Vec<usize>) {
    let mut clean = String::with_capacity(text.len());
    let mut numbers = Vec::new();
    for (number, line) in lines_of(text) {
        let decoded = match encoding {
            TextEncoding::Utf8 => std::str::from_utf8(line).ok().map(Into::into),
            TextEncoding::Gbk => GBK.decode_without_bom_handling_and_without_replacement(line),
        };
        match decoded {
            Some(line) => {
                clean.push_str(&line);
                clean.push('\n');
                numbers.push(number);
            }
            None => checker.fault(number, BinLineProblem::Encoding(encoding.title())),
        }
    }
    (clean, numbers)
}
