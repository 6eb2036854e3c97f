//! A statement's file, written as a layout says that the channel writes it: the reading of
//! `codec::layout` the other way round, so that any layout's differences can be rehearsed.

use std::fmt::Write as _;
use std::io::{Cursor, Write as _};

use zip::write::SimpleFileOptions;

use crate::codec::fixed::Shape;
use crate::codec::layout::{
    Column, ColumnCode, DateForm, Footer, Header, Layout, LayoutColumns, MoneyForm, Sign, Summary,
    TextTotals, TotalSum, Unit,
};
use crate::domain::attempt::Operation;
use crate::domain::books::reconcile::{Item, Status};
use crate::domain::money::{Currency, major};
use crate::domain::time::BusinessDate;

/// One line, in our words.
#[derive(Debug, Clone)]
pub struct DraftLine {
    pub order_no: String,
    pub reference: String,
    pub item: Item,
}

/// What is wrong with a file beside what its lines say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DraftFault {
    None,
    /// The first line's amount is no number.
    BadLine,
    /// The totals are those of one more line.
    WrongTotals,
    /// It ends before its totals.
    CutOff,
}

/// A file as it is handed in, and its text for people.
#[derive(Debug, Clone)]
pub struct DraftFile {
    pub name: String,
    pub bytes: Vec<u8>,
    pub text: String,
}

/// A value of a row: its bytes, and the number that a total adds up.
#[derive(Debug, Clone, Default)]
struct Cell {
    text: Vec<u8>,
    /// In minor units, or whole ones of what is no money, with the sign that is written.
    number: i64,
    unit: Option<Unit>,
}

/// Writes files of one layout and date.
pub struct StatementDraft<'l> {
    layout: &'l Layout,
    date: BusinessDate,
    /// The header's names, in their order.
    names: Vec<String>,
    columns: usize,
}

impl<'l> StatementDraft<'l> {
    pub fn new(layout: &'l Layout, date: BusinessDate) -> Self {
        let (mut names, mut last) = (Vec::new(), 0);
        for column in layout.columns() {
            match column {
                Column::Named(name) if !names.contains(name) => names.push(name.clone()),
                Column::Named(_) => {}
                Column::At(place) => last = last.max(usize::from(*place) + 1),
            }
        }
        let columns = match &layout.shape {
            Shape::Fixed { widths, .. } => widths.len(),
            Shape::Delimited(_) => names.len().max(last),
        };
        Self { layout, date, names, columns }
    }

    /// Whether the layout has a word for an operation.
    pub fn has(&self, operation: Operation) -> bool {
        let by_sign = matches!(operation, Operation::Payment | Operation::Refund);
        match self.layout.words.operation {
            Some(_) => code_for(&self.layout.operations, operation).is_some(),
            None => by_sign,
        }
    }

    /// Whether a payment's line can say that it failed.
    pub fn tells_failures(&self) -> bool {
        let column = self.words_for(Operation::Payment).status.is_some();
        column && code_for(&self.layout.statuses, Status::Failed).is_some()
    }

    pub fn has_totals(&self) -> bool {
        let counts = |footer: &Footer| {
            footer.count.is_some() || !footer.sums.is_empty() || !footer.spoken.is_empty()
        };
        self.layout.footer.as_ref().is_some_and(counts) || self.layout.summary.is_some()
    }

    /// Whether its lines tell their day.
    pub fn tells_days(&self) -> bool {
        self.layout.words.date.is_some() || self.layout.times.is_some()
    }

    /// The file of some lines. The error says what the layout gives no place for.
    pub fn write(&self, lines: &[DraftLine], fault: DraftFault) -> Result<DraftFile, String> {
        let mut rows = Vec::new();
        for (place, line) in lines.iter().enumerate() {
            let mut row = self.row(line)?;
            if fault == DraftFault::BadLine && place == 0 {
                let words = self.words_for(line.item.movement);
                let amount = words.amount.as_ref().ok_or("the layout has no amount")?;
                row[self.place(amount)?].text = b"?".to_vec();
            }
            rows.push(row);
        }
        let mut text: Vec<u8> = Vec::new();
        let mut add = |line: &[u8]| {
            text.extend_from_slice(line);
            text.push(b'\n');
        };
        match self.layout.header {
            Header::Names => add(&self.names_line(&self.names)),
            Header::Skipped(count) => (0..count).for_each(|_| add(b"H")),
        }
        for row in &rows {
            add(&self.join(&self.layout.shape, row)?);
        }
        let more = i64::from(fault == DraftFault::WrongTotals);
        if let Some(footer) = self.layout.footer.as_ref().filter(|_| fault != DraftFault::CutOff) {
            for line in self.footer(footer, (&rows, lines), more)? {
                add(&line);
            }
        }
        let summary = self.layout.summary.as_ref().filter(|_| fault != DraftFault::CutOff);
        let summary = summary.map(|summary| self.summary(summary, lines, more));
        Ok(self.file(text, summary))
    }

    /// Bare, or as the channel packs it.
    fn file(&self, text: Vec<u8>, summary: Option<(String, Vec<u8>)>) -> DraftFile {
        let mut shown = self.layout.encoding.decode(&text);
        if let (Some((_, said)), Some(summary)) = (&summary, &self.layout.summary) {
            let _ = write!(shown, "\n{}", summary.encoding.decode(said));
        }
        let Some(member) = &self.layout.member else {
            return DraftFile { name: "statement.txt".to_owned(), bytes: text, text: shown };
        };
        let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
        for (name, bytes) in std::iter::once((self.named(member), text)).chain(summary) {
            archive.start_file(name, SimpleFileOptions::default()).expect("a short name");
            archive.write_all(&bytes).expect("memory takes all");
        }
        let bytes = archive.finish().expect("memory takes all").into_inner();
        DraftFile { name: "statement.zip".to_owned(), bytes, text: shown }
    }

    /// A name that a pattern of the layout fits.
    fn named(&self, pattern: &str) -> String {
        let date = format!("{:08}", self.date.yyyymmdd());
        let name = pattern.replace("<YYYYMMDD>", &date).replace("<YYMMDD>", &date[2..]);
        name.replace('*', "1")
    }

    /// The columns of an operation's lines.
    fn words_for(&self, operation: Operation) -> LayoutColumns {
        let mut words = self.layout.words.clone();
        let own = self.layout.variants.iter().find(|(one, _)| *one == operation);
        let Some((_, own)) = own else { return words };
        if own.order_no.is_some() || own.reference.is_some() {
            words.order_no.clone_from(&own.order_no);
            words.reference.clone_from(&own.reference);
        }
        words.amount = own.amount.clone().or(words.amount);
        words.fee = own.fee.clone().or(words.fee);
        words.status = own.status.clone().or(words.status);
        words.settlement = own.settlement.clone().or(words.settlement);
        words
    }

    fn place(&self, column: &Column) -> Result<usize, String> {
        match column {
            Column::At(place) => Ok(usize::from(*place)),
            Column::Named(name) => {
                let found = self.names.iter().position(|known| known == name);
                found.ok_or_else(|| format!("the header has no column {name}"))
            }
        }
    }

    fn row(&self, line: &DraftLine) -> Result<Vec<Cell>, String> {
        let (layout, item) = (self.layout, &line.item);
        let words = self.words_for(item.movement);
        let mut row = vec![Cell::default(); self.columns];
        // What is summed is a number on every line.
        for (_, of) in layout.footer.iter().flat_map(|footer| &footer.sums) {
            row[self.place(of)?] = Cell { text: b"0".to_vec(), ..Cell::default() };
        }
        let mut set = |column: &Option<Column>, cell: Cell| -> Result<(), String> {
            if let Some(column) = column {
                row[self.place(column)?] = cell;
            }
            Ok(())
        };
        let plain = |text: &[u8]| Cell { text: text.to_vec(), ..Cell::default() };
        set(&words.order_no, plain(line.order_no.as_bytes()))?;
        set(&words.reference, plain(line.reference.as_bytes()))?;
        if words.operation.is_some() {
            let code = code_for(&layout.operations, item.movement);
            set(&words.operation, plain(code.ok_or("the layout has no such operation")?))?;
        }
        if words.status.is_some() {
            let code = code_for(&layout.statuses, item.status);
            set(&words.status, plain(code.ok_or("the layout has no such status")?))?;
        }
        set(&words.currency, plain(item.currency.name().as_bytes()))?;
        let date = |form| plain(date_text(self.date, form).as_bytes());
        set(&words.date, date(layout.date_form))?;
        if let Some(times) = &layout.times {
            set(&Some(times.column.clone()), date(times.form))?;
        }
        let paid_in = item.amount_minor >= 0;
        set(&words.sign, plain(if paid_in { b"C" } else { b"D" }))?;
        let (amount, currency) = (item.amount_minor, item.currency);
        let fee = item.fee_minor.unwrap_or(0);
        set(
            &words.amount,
            money(signed(amount, layout.amount.sign, paid_in), amount, layout.amount, currency),
        )?;
        let written = match layout.fee.sign {
            Sign::Column => {
                if paid_in {
                    fee
                } else {
                    -fee
                }
            }
            Sign::Settlement => fee.abs(),
            Sign::Operation if item.movement.fee_sign() != 0 => fee.abs(),
            Sign::Operation | Sign::Written | Sign::Letter => fee,
            Sign::Negated => -fee,
        };
        // What the channel keeps is taken from us.
        set(&words.fee, money(written, -fee, layout.fee, currency))?;
        let net = amount - fee;
        set(
            &words.settlement,
            money(signed(net, layout.settlement.sign, paid_in), net, layout.settlement, currency),
        )?;
        Ok(row)
    }

    fn names_line(&self, names: &[String]) -> Vec<u8> {
        let delimiter = match &self.layout.shape {
            Shape::Delimited(shape) => char::from(shape.delimiter).to_string(),
            Shape::Fixed { .. } => " ".to_owned(),
        };
        self.layout.encoding.encode(&names.join(&delimiter))
    }

    fn join(&self, shape: &Shape, row: &[Cell]) -> Result<Vec<u8>, String> {
        let mut line = Vec::new();
        for (place, cell) in row.iter().enumerate() {
            match shape {
                Shape::Delimited(shape) => {
                    if place > 0 {
                        line.push(shape.delimiter);
                    }
                    line.extend(shape.prefix);
                    line.extend_from_slice(&cell.text);
                }
                Shape::Fixed { widths, gap, .. } => {
                    let width = widths.get(place).copied().unwrap_or_default();
                    let blanks = usize::from(width).checked_sub(cell.text.len());
                    let blanks = blanks.ok_or("a value is wider than its column")?;
                    if place > 0 {
                        line.resize(line.len() + usize::from(*gap), b' ');
                    }
                    line.extend_from_slice(&cell.text);
                    line.resize(line.len() + blanks, b' ');
                }
            }
        }
        Ok(line)
    }

    /// The lines behind the rows.
    fn footer(
        &self,
        footer: &Footer,
        (rows, lines): (&[Vec<Cell>], &[DraftLine]),
        more: i64,
    ) -> Result<Vec<Vec<u8>>, String> {
        let mut written = Vec::new();
        let counted = i64::try_from(rows.len()).unwrap_or(i64::MAX);
        let mut totals: Vec<(&Column, Cell)> = Vec::new();
        if let Some(column) = &footer.count {
            totals.push((
                column,
                Cell { text: (counted + more).to_string().into(), ..Cell::default() },
            ));
        }
        for (column, of) in &footer.sums {
            let place = self.place(of)?;
            let sum = rows.iter().map(|row| row[place].number).sum::<i64>() + more;
            let unit = rows.iter().find_map(|row| row[place].unit).unwrap_or(Unit::Minor);
            totals.push((
                column,
                Cell { text: digits(sum, unit, self.layout.currency).into(), ..Cell::default() },
            ));
        }
        let shape = footer.shape.as_ref().unwrap_or(&self.layout.shape);
        if footer.has_names {
            let names = totals.iter().filter_map(|(column, _)| match column {
                Column::Named(name) => Some(name.clone()),
                Column::At(_) => None,
            });
            written.push(self.names_line(&names.collect::<Vec<_>>()));
            let cells: Vec<Cell> = totals.into_iter().map(|(_, cell)| cell).collect();
            written.push(self.join(shape, &cells)?);
        } else if !totals.is_empty() {
            let last = totals.iter().filter_map(|(column, _)| match column {
                Column::At(place) => Some(usize::from(*place) + 1),
                Column::Named(_) => None,
            });
            let mut cells = vec![Cell::default(); last.max().unwrap_or(1)];
            let mut begins = footer.begins.clone();
            if let Shape::Delimited(shape) = shape {
                begins.retain(|byte| *byte != shape.delimiter);
            }
            cells[0].text = begins;
            for (column, cell) in totals {
                match column {
                    Column::At(place) => cells[usize::from(*place)] = cell,
                    Column::Named(_) => return Err("a total stands under no number".to_owned()),
                }
            }
            written.push(self.join(shape, &cells)?);
        }
        for text in &footer.spoken {
            written.push(self.spoken(text, lines, more));
        }
        if !written.first().is_none_or(|line| line.starts_with(&footer.begins)) {
            return Err("the layout does not say how its totals begin".to_owned());
        }
        Ok(written)
    }

    /// Totals within a text. A mark may begin with the end of what stands before it.
    fn spoken(&self, spoken: &TextTotals, lines: &[DraftLine], more: i64) -> Vec<u8> {
        let of_it =
            |line: &&DraftLine| spoken.operation.is_none_or(|one| one == line.item.movement);
        let mut text = spoken.begins.clone();
        let mut say = |mark: &[u8], value: String| {
            let overlap = (0..=mark.len()).rev().find(|length| text.ends_with(&mark[..*length]));
            text.extend_from_slice(&mark[overlap.unwrap_or(0)..]);
            text.extend_from_slice(value.as_bytes());
            text.extend_from_slice(b" ");
        };
        if let Some(mark) = &spoken.count {
            let count = i64::try_from(lines.iter().filter(of_it).count()).unwrap_or(i64::MAX);
            say(mark, (count + more).to_string());
        }
        for (mark, of) in &spoken.sums {
            let sum = lines.iter().filter(of_it).map(|line| total(&line.item, *of)).sum::<i64>();
            say(mark, digits(sum + more, Unit::Major, self.layout.currency));
        }
        text
    }

    fn summary(&self, summary: &Summary, lines: &[DraftLine], more: i64) -> (String, Vec<u8>) {
        let places = summary.sums.iter().flat_map(|sum| [Some(sum.total), sum.less]).flatten();
        let last = places.chain(summary.count).max().unwrap_or(0);
        let mut words = vec!["0".to_owned(); usize::from(last) + 1];
        words[0] = summary.encoding.decode(&summary.begins);
        if let Some(place) = summary.count {
            let count = i64::try_from(lines.len()).unwrap_or(i64::MAX);
            words[usize::from(place)] = (count + more).to_string();
        }
        for sum in &summary.sums {
            let all = lines.iter().map(|line| total(&line.item, sum.of)).sum::<i64>() + more;
            let text = |minor: i64| digits(minor, Unit::Major, self.layout.currency);
            match sum.less {
                Some(less) if all < 0 => words[usize::from(less)] = text(-all),
                Some(_) | None => words[usize::from(sum.total)] = text(all),
            }
        }
        let line = format!("{}\n", words.join(" "));
        (self.named(&summary.member), summary.encoding.encode(&line))
    }
}

fn total(item: &Item, of: TotalSum) -> i64 {
    let fee = item.fee_minor.unwrap_or(0);
    match of {
        TotalSum::Amount => item.amount_minor,
        TotalSum::Fee => fee,
        TotalSum::Settlement => item.amount_minor - fee,
    }
}

/// What is written of an amount that we receive where it is positive.
const fn signed(minor: i64, sign: Sign, paid_in: bool) -> i64 {
    match sign {
        Sign::Operation | Sign::Settlement => minor.abs(),
        Sign::Written | Sign::Letter => minor,
        Sign::Negated => -minor,
        Sign::Column => {
            if paid_in {
                minor
            } else {
                -minor
            }
        }
    }
}

/// A column of money. `way` is positive where it is paid to us.
fn money(written: i64, way: i64, form: MoneyForm, currency: Currency) -> Cell {
    let text = match form.sign {
        Sign::Letter => {
            let letter = if way < 0 { "D" } else { "C" };
            format!("{letter}{}", digits(written.abs(), form.unit, currency))
        }
        _ => digits(written, form.unit, currency),
    };
    let number = if form.sign == Sign::Letter && way < 0 { -written.abs() } else { written };
    Cell { text: text.into(), number, unit: Some(form.unit) }
}

fn digits(minor: i64, unit: Unit, currency: Currency) -> String {
    match unit {
        Unit::Minor => minor.to_string(),
        Unit::Major => major(minor.into(), Some(currency)),
    }
}

fn date_text(date: BusinessDate, form: DateForm) -> String {
    match form {
        DateForm::Dashed => date.to_string(),
        DateForm::Plain => format!("{:08}", date.yyyymmdd()),
        DateForm::MonthDay => format!("{:04}", date.yyyymmdd() % 10_000),
    }
}

fn code_for<T: Copy + PartialEq>(codes: &[ColumnCode<T>], meaning: T) -> Option<&[u8]> {
    let found = codes.iter().find(|(_, one)| *one == Some(meaning));
    found.map(|(code, _)| code.as_slice())
}
