//! Reads a statement layout from a section of a channel's file, or from a shipped table.
//!
//! Says everything that is wrong with it, as `section` does; what it gives is checked. Must not
//! know files of statements: `codec::layout` follows the table.

use super::mistake::{Mistake, Mistakes};
use super::raw::{Document, Tree};
use super::section::Section;
use crate::codec::fixed::{Delimited, Shape};
use crate::codec::layout::{
    COLUMNS_MAX, Charset, Column, ColumnCode, DateForm, Footer, Header, Layout, LayoutColumns,
    MoneyForm, OnBad, Sign, Summary, SummarySum, TextTotals, Times, TotalSum, Unit,
};
use crate::codec::order_form::OrderForm;
use crate::domain::attempt::Operation;
use crate::domain::bin::CardType;
use crate::domain::books::reconcile::Status;
use crate::domain::money::Currency;

/// The layouts that come with the program: name and TOML text, as a channel's file would hold it.
pub const SHIPPED: [(&str, &str); 7] = [
    ("unionpay-zm", include_str!("layouts/unionpay-zm.toml")),
    ("unionpay-zme", include_str!("layouts/unionpay-zme.toml")),
    ("wechat-trade", include_str!("layouts/wechat-trade.toml")),
    ("alipay-trade", include_str!("layouts/alipay-trade.toml")),
    ("generic-csv", include_str!("layouts/generic-csv.toml")),
    ("generic-pipe", include_str!("layouts/generic-pipe.toml")),
    ("generic-fixed", include_str!("layouts/generic-fixed.toml")),
];

/// The layout of our own clearing export: both sides of a reconciliation are tables.
const RECORDS: &str = include_str!("layouts/records.toml");

/// Columns of a line, and bytes of one of them.
const COLUMN_NUMBER_MAX: u16 = 256;
const WIDTH_MAX: u16 = 4_096;
/// The fate of a line, or a file, that is wrong.
const ON_BAD: [(&str, OnBad); 2] = [("refuse", OnBad::Refuse), ("keep", OnBad::Keep)];
const DATE_FORMS: [(&str, DateForm); 3] =
    [("YYYY-MM-DD", DateForm::Dashed), ("YYYYMMDD", DateForm::Plain), ("MMDD", DateForm::MonthDay)];
/// The word that passes a line over.
const PASS: &str = "pass";

/// The layout of a shipped name, or the names that there are.
pub fn shipped(name: &str) -> Result<Layout, String> {
    let found = SHIPPED.iter().find(|(known, _)| *known == name);
    let (name, text) = found.ok_or_else(|| {
        let names: Vec<&str> = SHIPPED.iter().map(|(name, _)| *name).collect();
        format!("is none of {}", names.join(", "))
    })?;
    Ok(parse(name, text).expect("a test reads every shipped layout"))
}

/// The layout of our own clearing export.
pub fn records() -> Layout {
    parse("records", RECORDS).expect("a test reads it")
}

/// Reads the text of a layout; `file` names it in mistakes.
pub fn parse(file: &str, text: &str) -> Result<Layout, Vec<Mistake>> {
    let document = Document::parse(file, text)?;
    let mistakes = Mistakes::new();
    let root = document.root(&mistakes);
    let layout = read(&root);
    root.finish();
    mistakes.into_result()?;
    Ok(layout)
}

/// Reads a key that is a shipped layout's name, or the section of a layout; `None` if it is absent.
pub fn shipped_or_inline(section: &Section<'_>, key: &str) -> Option<Layout> {
    match section.value(key)? {
        Tree::Table(_) => {
            let inner = section.section(key);
            let layout = read(&inner);
            inner.finish();
            Some(layout)
        }
        Tree::Text(_) | Tree::Integer(_) | Tree::Boolean(_) | Tree::List(_) => {
            section.optional_parsed(key, "generic-csv", shipped)
        }
    }
}

/// Reads a layout from its section. What it gives is whole only if no mistake was found.
pub fn read(section: &Section<'_>) -> Layout {
    let encoding = section.choice("encoding", &[("utf-8", Charset::Utf8), ("gbk", Charset::Gbk)]);
    let shape = read_shape(section, encoding);
    let header = match section.choice_or("header", 0, &[("none", 0), ("names", 1), ("skip", 2)]) {
        1 => Header::Names,
        2 => Header::Skipped(section.integer_or("header_lines", 1, 1..=1_000_u32)),
        _ => Header::Skipped(0),
    };
    let named = header == Header::Names;
    if named && matches!(shape, Shape::Fixed { .. }) {
        section.mistake("header", "names no columns of fixed width", "number them");
    }
    let columns = section.section("columns");
    let words = LayoutColumns {
        operation: column(&columns, "operation", named),
        currency: column(&columns, "currency", named),
        date: column(&columns, "date", named),
        sign: column(&columns, "sign", named),
        card_type: column(&columns, "card_type", named),
        ..variant_columns(&columns, named)
    };
    columns.finish();
    if words.amount.is_none() {
        section.mistake("columns", "has no amount", "say which column holds the amount");
    }
    let variants = section.section("columns_of");
    let variants = read_variants(variants, named);
    let layout = Layout {
        name: section.text_or("title", "of a channel's file"),
        member: section.optional_text("file_in_zip"),
        encoding,
        shape,
        header,
        comment: section.optional_text("comment").map(|mark| encoding.encode(&mark)),
        footer: read_footer(section, encoding, named),
        summary: read_summary(section),
        times: read_times(section, named),
        must_end: section.boolean_or("ends_with_line_end", false),
        settlement: match (&words.settlement, section.optional_section("settlement")) {
            (None, None) => MoneyForm { unit: Unit::Minor, sign: Sign::Written },
            (Some(_) | None, _) => money(section, "settlement"),
        },
        words,
        order_form: OrderForm::default(),
        variants,
        empty: read_columns(section, "must_be_empty", named),
        operations: codes(section, "operations", encoding, |word| {
            Operation::ALL.into_iter().find(|movement| movement.name() == word)
        }),
        statuses: codes(section, "statuses", encoding, |word| {
            [Status::Succeeded, Status::Failed].into_iter().find(|status| status.name() == word)
        }),
        card_types: codes(section, "card_types", encoding, CardType::parse),
        currency: section
            .optional_parsed("currency", "CNY", |code| {
                Currency::parse(code).ok_or("is not a known currency")
            })
            .unwrap_or(Currency::Cny),
        amount: money(section, "amount"),
        fee: money(section, "fee"),
        date_form: section.choice_or("date_form", DateForm::Dashed, &DATE_FORMS),
        on_bad_line: section.choice_or("on_bad_line", OnBad::Keep, &ON_BAD),
        on_bad_file: section.choice_or("on_bad_file", OnBad::Refuse, &ON_BAD),
    };
    check(section, &layout);
    layout
}

/// Reports parts of a layout that do not fit each other.
fn check(section: &Section<'_>, layout: &Layout) {
    let words = &layout.words;
    let variants = || layout.variants.iter().map(|(_, words)| words);
    let has_status = words.status.is_some() || variants().any(|words| words.status.is_some());
    let pairs = [
        ("operations", words.operation.is_some(), layout.operations.is_empty()),
        ("statuses", has_status, layout.statuses.is_empty()),
        ("card_types", words.card_type.is_some(), layout.card_types.is_empty()),
    ];
    for (key, has_column, is_empty) in pairs {
        if has_column && is_empty {
            section.mistake(key, "is missing", "say what each code of its column means");
        }
    }
    if words.operation.is_none() && layout.amount.sign == Sign::Operation {
        section.mistake("amount", "takes its sign from a column that has no name", "name it");
    }
    if layout.fee.sign == Sign::Settlement && words.settlement.is_none() {
        section.mistake("fee", "takes its sign from a settlement that is not named", "name it");
    }
    if layout.amount.sign == Sign::Settlement || layout.settlement.sign == Sign::Settlement {
        section.mistake("amount", "takes its sign from the settlement", "only a fee can");
    }
    let by_column = layout.amount.sign == Sign::Column || layout.fee.sign == Sign::Column;
    if by_column && words.sign.is_none() {
        section.mistake("columns", "has no sign column", "name it in columns.sign");
    }
    let mut named: Vec<&Column> = layout.columns().collect();
    named.sort_by_key(|column| format!("{column:?}"));
    named.dedup();
    if named.len() > COLUMNS_MAX {
        section.mistake("columns", "names too many columns", "name at most 16");
    }
    if let Shape::Fixed { widths, .. } = &layout.shape {
        let last = widths.len();
        let beyond = named.iter().any(|column| match column {
            Column::At(number) => usize::from(*number) >= last,
            Column::Named(_) => false,
        });
        if beyond {
            section.mistake("columns", "names a column beyond the last width", "correct it");
        }
    }
}

fn read_shape(section: &Section<'_>, encoding: Charset) -> Shape {
    if section.choice("form", &[("delimited", false), ("fixed", true)]) {
        return Shape::Fixed {
            widths: section.integers("widths", 1..=WIDTH_MAX),
            gap: section.integer_or("gap", 0, 0..=8),
            tail: section.boolean_or("open_end", false),
        };
    }
    let one = |key: &str, example: &str| {
        section.optional_parsed(key, example, |text| match text.as_bytes() {
            [byte] if *byte != b'"' => Ok(*byte),
            _ => Err("is not one ASCII character"),
        })
    };
    Shape::Delimited(Delimited {
        delimiter: one("delimiter", ",").unwrap_or(b','),
        quoted: section.boolean_or("quotes", false),
        prefix: one("value_prefix", "`"),
        double_byte: encoding == Charset::Gbk,
    })
}

fn read_variants(section: Section<'_>, named: bool) -> Vec<(Operation, LayoutColumns)> {
    let mut variants = Vec::new();
    for movement in Operation::ALL {
        if let Some(inner) = section.optional_section(movement.name()) {
            variants.push((movement, variant_columns(&inner, named)));
            inner.finish();
        }
    }
    section.finish();
    variants
}

/// The words that may stand elsewhere for each operation.
fn variant_columns(section: &Section<'_>, named: bool) -> LayoutColumns {
    LayoutColumns {
        order_no: column(section, "order_no", named),
        reference: column(section, "reference", named),
        amount: column(section, "amount", named),
        fee: column(section, "fee", named),
        status: column(section, "status", named),
        settlement: column(section, "settlement", named),
        ..LayoutColumns::default()
    }
}

/// A column's name where the header has names, else its number from 1.
fn column(section: &Section<'_>, key: &str, named: bool) -> Option<Column> {
    if named {
        return section.optional_text(key).map(Column::Named);
    }
    section.optional_integer(key, 1..=COLUMN_NUMBER_MAX).map(|number| Column::At(number - 1))
}

fn money(section: &Section<'_>, key: &str) -> MoneyForm {
    let inner = section.section(key);
    let unit = inner.choice("unit", &[("fen", Unit::Minor), ("yuan", Unit::Major)]);
    let sign = inner.choice_or(
        "sign",
        Sign::Written,
        &[
            ("operation", Sign::Operation),
            ("written", Sign::Written),
            ("negated", Sign::Negated),
            ("letter", Sign::Letter),
            ("column", Sign::Column),
            ("settlement", Sign::Settlement),
        ],
    );
    inner.finish();
    MoneyForm { unit, sign }
}

fn codes<T>(
    section: &Section<'_>,
    key: &str,
    encoding: Charset,
    meaning: impl Fn(&str) -> Option<T>,
) -> Vec<ColumnCode<T>> {
    let mut codes = Vec::new();
    let Some(inner) = section.optional_section(key) else { return codes };
    for (code, _) in inner.keys() {
        let found = inner.parsed(code, PASS, |word| match (word, meaning(word)) {
            (PASS, _) => Ok(None),
            (_, Some(meaning)) => Ok(Some(meaning)),
            (_, None) => Err("is not a known word"),
        });
        if let Some(meaning) = found {
            codes.push((encoding.encode(code), meaning));
        }
    }
    inner.finish();
    codes
}

fn read_footer(section: &Section<'_>, encoding: Charset, named: bool) -> Option<Footer> {
    let footer = section.optional_section("footer")?;
    let has_names = footer.boolean_or("names", false);
    let widths = footer.optional_integers("widths", 1..=WIDTH_MAX);
    let gap = footer.integer_or("gap", 0, 0..=8);
    let mut sums = Vec::new();
    for sum in footer.sections("sums") {
        let total = column(&sum, "total", has_names);
        let of = column(&sum, "of", named);
        match (total, of) {
            (Some(total), Some(of)) => sums.push((total, of)),
            (Some(_) | None, Some(_) | None) => {
                sum.mistake("total", "is not whole", "give both `total` and `of`");
            }
        }
        sum.finish();
    }
    let mut spoken = Vec::new();
    for one in footer.sections("texts") {
        spoken.push(read_text_totals(&one, encoding));
        one.finish();
    }
    let found = Footer {
        begins: encoding.encode(&footer.text_such_as("begins", "TOTAL")),
        has_names,
        shape: widths.map(|widths| Shape::Fixed { widths, gap, tail: true }),
        count: column(&footer, "count", has_names),
        sums,
        spoken,
    };
    if found.begins.is_empty() {
        footer.mistake("begins", "is empty", "say how the line of the footer begins");
    }
    footer.finish();
    Some(found)
}

/// A list of columns, by their names or numbers.
fn read_columns(section: &Section<'_>, key: &str, named: bool) -> Vec<Column> {
    if named {
        return section
            .optional_texts(key)
            .unwrap_or_default()
            .into_iter()
            .map(Column::Named)
            .collect();
    }
    let numbers = section.optional_integers(key, 1..=COLUMN_NUMBER_MAX).unwrap_or_default();
    numbers.into_iter().map(|number: u16| Column::At(number - 1)).collect()
}

/// Totals within a text of the footer.
fn read_text_totals(section: &Section<'_>, encoding: Charset) -> TextTotals {
    let mut sums = Vec::new();
    for sum in section.sections("sums") {
        let of = sum.choice("of", &TotalSum::ALL.map(|of| (of.name(), of)));
        sums.push((encoding.encode(&sum.text_such_as("behind", "共")), of));
        sum.finish();
    }
    let spoken = TextTotals {
        begins: encoding.encode(&section.text_such_as("begins", "#")),
        operation: section.optional_parsed("operation", "payment", |word| {
            let found = Operation::ALL.into_iter().find(|movement| movement.name() == word);
            found.ok_or("is not a known operation")
        }),
        count: section.optional_text("count_behind").map(|mark| encoding.encode(&mark)),
        sums,
    };
    let marks = spoken.count.iter().chain(spoken.sums.iter().map(|sum| &sum.0));
    if marks.chain([&spoken.begins]).any(Vec::is_empty) {
        section.mistake("begins", "has a mark that is empty", "say what stands there");
    }
    spoken
}

fn read_summary(section: &Section<'_>) -> Option<Summary> {
    let inner = section.optional_section("summary")?;
    let place = |section: &Section<'_>, key: &str| {
        section.optional_integer(key, 1..=COLUMN_NUMBER_MAX).map(|number| number - 1)
    };
    let encoding = inner.choice("encoding", &[("utf-8", Charset::Utf8), ("gbk", Charset::Gbk)]);
    let mut sums = Vec::new();
    for sum in inner.sections("sums") {
        let less = place(&sum, "less");
        let of = sum.choice("of", &TotalSum::ALL.map(|of| (of.name(), of)));
        match place(&sum, "total") {
            Some(total) => sums.push(SummarySum { total, less, of }),
            None => sum.mistake("total", "is missing", "say which word of the line it is"),
        }
        sum.finish();
    }
    let summary = Summary {
        member: inner.text_such_as("file_in_zip", "RD*"),
        encoding,
        begins: encoding.encode(&inner.text_such_as("begins", "总计")),
        count: place(&inner, "count"),
        sums,
    };
    inner.finish();
    Some(summary)
}

fn read_times(section: &Section<'_>, named: bool) -> Option<Times> {
    let inner = section.optional_section("times")?;
    let found = column(&inner, "column", named);
    if found.is_none() {
        inner.mistake("column", "is missing", "say which column holds the time");
    }
    let words = inner.optional_texts("operations").unwrap_or_default();
    let known = |word: &String| Operation::ALL.into_iter().find(|one| one.name() == word);
    if words.iter().any(|word| known(word).is_none()) {
        inner.mistake("operations", "names none that we know", "name operations");
    }
    let times = Times {
        column: found.unwrap_or(Column::At(0)),
        form: inner.choice_or("form", DateForm::Dashed, &DATE_FORMS),
        days_before: inner.integer_or("days_before", 0, 0..=31),
        days_behind: inner.integer_or("days_behind", 0, 0..=31),
        operations: words.iter().filter_map(known).collect(),
    };
    inner.finish();
    Some(times)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shipped_layout_is_read() {
        for (name, text) in SHIPPED {
            let layout = parse(name, text).unwrap_or_else(|mistakes| panic!("{mistakes:?}"));
            assert!(layout.words.amount.is_some(), "{name}");
            assert_eq!(shipped(name).as_ref().map(|layout| &layout.name), Ok(&layout.name));
        }
        assert_eq!(records().header, Header::Names);
        assert!(shipped("unionpay").is_err_and(|problem| problem.contains("unionpay-zm")));
    }

    #[test]
    fn what_is_wrong_is_said() {
        let text = "encoding = \"latin\"\nform = \"fixed\"\nwidths = [3, 4]\nheader = \"names\"\n\
            amount = { unit = \"fen\", sign = \"column\" }\nfee = { unit = \"fen\" }\nextra = 1\n\
            columns = { fee = \"x\", status = \"y\" }\nfooter = { begins = \"\" }\n";
        let mistakes = parse("a.toml", text).expect_err("a layout that is no good");
        let said: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
        for word in ["encoding", "header", "amount", "statuses", "sign column", "begins", "extra"] {
            assert!(said.iter().any(|line| line.contains(word)), "{word}: {said:#?}");
        }
    }
}
