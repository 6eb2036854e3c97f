//! The scheme's two text layouts: comma-separated with padded fields, and fixed width.
//!
//! Offsets count bytes of GBK, not characters, and names that are too long are cut, in the middle
//! of a character if need be. A file that someone turned into UTF-8 is turned back line by line.

use std::borrow::Cow;

use encoding_rs::GBK;

use super::check::{BinLineProblem, Checker, RawRow};
use crate::domain::closed_set;

/// The mark of a row that was deleted in the period of the file.
const DELETED: &str = "D";
/// The first bytes of the last line of the fixed-width layout.
const END_MARK: &[u8] = b"TOTAL";

/// The fields of the delimited layout: width in bytes, in order. A comma stands behind each.
const DELIMITED_WIDTHS: [usize; 16] = [11, 30, 20, 3, 2, 2, 12, 3, 2, 2, 3, 2, 6, 1, 1, 1];
/// The last field that must be there: some files end after the card type.
const DELIMITED_FIELDS_MIN: usize = 15;

/// The fields of the fixed layout: offset and width in bytes.
const FIXED_ISSUER_CODE: (usize, usize) = (0, 11);
const FIXED_ISSUER_NAME: (usize, usize) = (12, 30);
const FIXED_PAN_LENGTH: (usize, usize) = (43, 2);
const FIXED_BIN: (usize, usize) = (46, 12);
const FIXED_BRAND_FLAG: (usize, usize) = (59, 1);
const FIXED_CARD_TYPE: (usize, usize) = (61, 1);
const FIXED_CHANGE: (usize, usize) = (63, 2);
/// Where a blank stands between two fields.
const FIXED_BLANKS: [usize; 5] = [11, 42, 45, 58, 60];

closed_set! {
    /// How the bytes of a text stand for characters.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
    #[serde(rename_all = "snake_case")]
    pub enum TextEncoding: (&'static str) {
        Utf8 => "utf8" ("UTF-8"),
        Gbk => "gbk" ("GBK"),
    }
}

impl TextEncoding {
    /// As its makers write it.
    pub(super) const fn title(self) -> &'static str {
        self.facts().0
    }
}

/// The lines of a text with their numbers, counted from 1, without their ends and without those
/// that hold only blanks.
pub(super) fn lines_of(text: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let numbered = text.split(|byte| *byte == b'\n').enumerate();
    numbered
        .map(|(place, line)| (place + 1, line.strip_suffix(b"\r").unwrap_or(line)))
        .filter(|(_, line)| !line.trim_ascii().is_empty())
}

/// Reads the comma-separated layout.
pub(super) fn read_delimited(text: &[u8], encoding: TextEncoding, checker: &mut Checker) {
    for (number, line) in lines_of(text) {
        let Some(line) = gbk_bytes(line, encoding) else {
            checker.fault(number, BinLineProblem::Encoding(encoding.title()));
            continue;
        };
        let Some(fields) = delimited_fields(&line) else {
            checker.fault(number, BinLineProblem::Layout("16 fields between commas"));
            continue;
        };
        let field = |place: usize| fields.get(place).copied().unwrap_or_default();
        take(
            checker,
            number,
            TextRow {
                issuer_code: field(0),
                issuer_name: field(1),
                card_name: field(2),
                pan_length: field(5),
                bin: field(6),
                bin_length: Some(field(9)),
                brand_flag: field(13),
                card_type: field(14),
                change: field(15),
            },
        );
    }
}

/// Reads the fixed-width layout. The layout names no cards.
pub(super) fn read_fixed(text: &[u8], encoding: TextEncoding, checker: &mut Checker) {
    for (number, line) in lines_of(text) {
        if line.starts_with(END_MARK) {
            return;
        }
        let Some(line) = gbk_bytes(line, encoding) else {
            checker.fault(number, BinLineProblem::Encoding(encoding.title()));
            continue;
        };
        let blank = |place: &usize| line.get(*place) == Some(&b' ');
        if !FIXED_BLANKS.iter().all(blank) || line.len() <= FIXED_CARD_TYPE.0 {
            checker.fault(
                number,
                BinLineProblem::Layout("fields at fixed bytes with a blank between"),
            );
            continue;
        }
        let field = |(offset, width): (usize, usize)| {
            let end = line.len().min(offset + width);
            line.get(offset..end).unwrap_or_default()
        };
        take(
            checker,
            number,
            TextRow {
                issuer_code: field(FIXED_ISSUER_CODE),
                issuer_name: field(FIXED_ISSUER_NAME),
                card_name: b"",
                pan_length: field(FIXED_PAN_LENGTH),
                bin: field(FIXED_BIN),
                bin_length: None,
                brand_flag: field(FIXED_BRAND_FLAG),
                card_type: field(FIXED_CARD_TYPE),
                change: field(FIXED_CHANGE),
            },
        );
    }
}

/// Whether a line looks like one of the comma-separated layout.
pub(super) fn is_delimited(line: &[u8]) -> bool {
    delimited_fields(line).is_some_and(|fields| begins_with_code(fields[0]))
}

/// Whether a line looks like one of the fixed-width layout.
pub(super) fn is_fixed(line: &[u8]) -> bool {
    let digit = |place: usize| line.get(place).is_some_and(u8::is_ascii_digit);
    begins_with_code(line) && digit(FIXED_PAN_LENGTH.0) && digit(FIXED_BIN.0)
}

/// The line in the encoding that the offsets count; `None` if it has a character GBK lacks, or is
/// not in the encoding it is said to be in. GBK itself is checked field by field, since cutting
/// leaves half characters.
pub(super) fn gbk_bytes(line: &[u8], encoding: TextEncoding) -> Option<Cow<'_, [u8]>> {
    match encoding {
        TextEncoding::Gbk => Some(Cow::Borrowed(line)),
        TextEncoding::Utf8 if line.is_ascii() => Some(Cow::Borrowed(line)),
        TextEncoding::Utf8 => {
            let text = std::str::from_utf8(line).ok()?;
            let (bytes, _, has_unknown) = GBK.encode(text);
            (!has_unknown).then(|| Cow::Owned(bytes.into_owned()))
        }
    }
}

/// The fields of one line as bytes of GBK, before their blanks are cut.
struct TextRow<'line> {
    issuer_code: &'line [u8],
    issuer_name: &'line [u8],
    card_name: &'line [u8],
    pan_length: &'line [u8],
    bin: &'line [u8],
    bin_length: Option<&'line [u8]>,
    brand_flag: &'line [u8],
    card_type: &'line [u8],
    change: &'line [u8],
}

fn take(checker: &mut Checker, number: usize, row: TextRow<'_>) {
    let ascii = |field: &[u8]| String::from_utf8_lossy(field.trim_ascii()).into_owned();
    if ascii(row.change) == DELETED {
        checker.deleted += 1;
        return;
    }
    let (Some(issuer_name), Some(card_name)) = (name_of(row.issuer_name), name_of(row.card_name))
    else {
        checker.fault(number, BinLineProblem::Encoding(TextEncoding::Gbk.title()));
        return;
    };
    let bin_length = row.bin_length.map(ascii);
    checker.take(
        number,
        RawRow {
            bin: &ascii(row.bin),
            bin_length: bin_length.as_deref(),
            pan_length: &ascii(row.pan_length),
            issuer_code: &ascii(row.issuer_code),
            issuer_name: &issuer_name,
            card_name: &card_name,
            card_type: &ascii(row.card_type),
            // The flag tells that the card is UnionPay's alone; others may have a brand beside.
            brand: (row.brand_flag == b"1").then_some("unionpay"),
            as_of: None,
            retired: None,
        },
    );
}

/// The text of a name field; half a character at its end, left by cutting, is dropped.
fn name_of(field: &[u8]) -> Option<String> {
    let decode = |bytes| GBK.decode_without_bom_handling_and_without_replacement(bytes);
    let cut = || decode(field.split_last().map_or(field, |(_, whole)| whole));
    decode(field).or_else(cut).map(|name| name.trim().to_owned())
}

/// Splits at the padded places, which also holds for names with commas in them; a line that is not
/// padded is split at its commas.
fn delimited_fields(line: &[u8]) -> Option<Vec<&[u8]>> {
    let mut fields = Vec::with_capacity(DELIMITED_WIDTHS.len());
    let mut offset = 0;
    for width in DELIMITED_WIDTHS {
        let Some(field) = line.get(offset..offset + width) else { break };
        let end = line.get(offset + width);
        if end.is_some_and(|byte| *byte != b',') {
            break;
        }
        fields.push(field);
        offset += width + 1;
    }
    if fields.len() < DELIMITED_FIELDS_MIN {
        fields = line.split(|byte| *byte == b',').collect();
    }
    (fields.len() >= DELIMITED_FIELDS_MIN).then_some(fields)
}

/// Whether the line begins with an issuer code's eight digits.
fn begins_with_code(line: &[u8]) -> bool {
    line.len() >= 8 && line[..8].iter().all(u8::is_ascii_digit)
}
