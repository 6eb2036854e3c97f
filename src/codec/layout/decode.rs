//! Follows a layout through a file, line by line.

use crate::codec::fixed::{Shape, Span, trim};
use crate::codec::layout::plan::{Plan, Slot, Slots, resolve};
use crate::codec::layout::{
    COLUMNS_MAX, Code, Column, Footer, Header, Layout, MoneyForm, Problem, Sign, number,
};
use crate::domain::books::Movement;
use crate::domain::books::reconcile::{Item, StatementLine, Status};
use crate::domain::money::Currency;
use crate::domain::time::BusinessDate;

/// What a line turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Read<'text> {
    /// A heading, a comment, a total, a blank line, or a row that the layout passes over.
    Passed,
    Line(StatementLine<'text>),
}

/// Where in the file a decoder is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// So many lines of the header are left.
    Header(u32),
    Names,
    Rows,
    /// The next line has the totals.
    Totals,
    End,
}

/// Reads the lines of one file.
#[derive(Debug, Clone)]
pub struct Decoder<'layout> {
    layout: &'layout Layout,
    plan: Option<Plan>,
    part: Part,
    /// The statement's date, where it is known beforehand: a line of another one is wrong.
    date: Option<BusinessDate>,
    rows: u64,
    sums: Vec<i128>,
    footer_names: Option<Vec<String>>,
    last_date: (Vec<u8>, Option<BusinessDate>),
    last_currency: (Vec<u8>, Currency),
}

impl<'layout> Decoder<'layout> {
    pub fn new(layout: &'layout Layout, date: Option<BusinessDate>) -> Self {
        let part = match layout.header {
            Header::Skipped(0) => Part::Rows,
            Header::Skipped(lines) => Part::Header(lines),
            Header::Names => Part::Names,
        };
        let named = layout.header == Header::Names;
        let sums = layout.footer.as_ref().map_or(0, |footer| footer.sums.len());
        Self {
            layout,
            plan: (!named).then(|| Plan::of(layout, None).ok()).flatten(),
            part,
            date,
            rows: 0,
            sums: vec![0; sums],
            footer_names: None,
            last_date: (Vec::new(), None),
            last_currency: (Vec::new(), layout.currency),
        }
    }

    /// Takes the next line, without its line end. `line` counts from 1.
    pub fn read<'text>(&mut self, text: &'text [u8], line: u32) -> Result<Read<'text>, Problem> {
        let begins = |mark: &Option<Vec<u8>>| mark.as_ref().is_some_and(|m| text.starts_with(m));
        match self.part {
            Part::Rows => {
                let footer = self.layout.footer.as_ref();
                if let Some(footer) = footer.filter(|footer| text.starts_with(&footer.begins)) {
                    // Lines such as comments may look like the end and stand above all rows.
                    self.begin_footer(footer, text)?;
                    return Ok(Read::Passed);
                }
                if text.is_empty() || begins(&self.layout.comment) {
                    return Ok(Read::Passed);
                }
                // A row that cannot be read is a row too: a footer counts it.
                self.rows += 1;
                self.row(text, line)
            }
            Part::Header(lines) => {
                self.part = if lines > 1 { Part::Header(lines - 1) } else { Part::Rows };
                Ok(Read::Passed)
            }
            Part::Names if text.is_empty() || begins(&self.layout.comment) => Ok(Read::Passed),
            Part::Names => {
                let text = text.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(text);
                let names = self.names(text)?;
                self.plan = Some(Plan::of(self.layout, Some(&names))?);
                self.part = Part::Rows;
                Ok(Read::Passed)
            }
            Part::Totals => {
                self.part = Part::End;
                if let Some(footer) = &self.layout.footer {
                    self.check_totals(footer, text)?;
                }
                Ok(Read::Passed)
            }
            Part::End => {
                let passed = text.is_empty()
                    || begins(&self.layout.comment)
                    || self.layout.footer.as_ref().is_some_and(|f| text.starts_with(&f.begins));
                if passed { Ok(Read::Passed) } else { Err(Problem::Behind) }
            }
        }
    }

    /// Says whether the file is whole. `cut` if its last line had no line end.
    pub fn finish(&self, cut: bool) -> Result<(), Problem> {
        match self.part {
            Part::Names | Part::Header(_) => Err(Problem::NoHeader),
            Part::Rows | Part::Totals if self.layout.footer.is_some() => Err(Problem::NoFooter),
            Part::Rows | Part::Totals | Part::End if cut && self.layout.must_end => {
                Err(Problem::CutOff)
            }
            Part::Rows | Part::Totals | Part::End => Ok(()),
        }
    }

    /// Reads a row again that was read before, to show it. Nothing is counted.
    pub fn read_again<'text>(
        &mut self,
        text: &'text [u8],
        line: u32,
    ) -> Result<Read<'text>, Problem> {
        let sums = self.sums.clone();
        let read = self.row(text, line);
        self.sums = sums;
        read
    }

    fn names(&self, text: &[u8]) -> Result<Vec<String>, Problem> {
        let wanted: Vec<u16> = (0..256).collect();
        let mut spans = vec![Span::default(); wanted.len()];
        // Names stand without the mark that values begin with.
        let shape = match &self.layout.shape {
            Shape::Delimited(shape) => {
                let mut shape = *shape;
                shape.prefix = None;
                Shape::Delimited(shape)
            }
            Shape::Fixed { .. } => self.layout.shape.clone(),
        };
        let count = shape.cut(text, &wanted, &mut spans)?;
        let name = |span: &Span| self.layout.encoding.decode(trim(span.of(text)));
        Ok(spans.iter().take(count).map(name).collect())
    }

    fn row<'text>(&mut self, text: &'text [u8], line: u32) -> Result<Read<'text>, Problem> {
        let layout = self.layout;
        let plan = self.plan.as_ref().ok_or(Problem::NoHeader)?;
        let mut spans = [Span::default(); COLUMNS_MAX];
        let found = layout.shape.cut(text, &plan.wanted, &mut spans)?;
        let enough = plan.wanted.last().is_none_or(|last| found > usize::from(*last));
        match plan.columns {
            Some(wanted) if found != wanted => return Err(Problem::Columns { found, wanted }),
            None if !enough => return Err(CutShort.into()),
            Some(_) | None => {}
        }
        let value = |slot: Slot| -> Option<&'text [u8]> {
            slot.map(|slot| trim(spans[usize::from(slot)].of(text)))
        };
        for (sum, slot) in self.sums.iter_mut().zip(&plan.sums) {
            let summand = value(*slot).and_then(number::scaled).ok_or(Problem::Summand)?;
            *sum += summand.0;
        }
        let Some(status) = status_of(layout, value(plan.status))? else {
            return Ok(Read::Passed);
        };
        let movement = match value(plan.operation) {
            Some(code) => match find(&layout.operations, code).ok_or(Problem::Operation)? {
                Some(movement) => Some(movement),
                None => return Ok(Read::Passed),
            },
            None => None,
        };
        let currency = match value(plan.currency) {
            Some(code) if code == self.last_currency.0 => self.last_currency.1,
            Some(code) => {
                let currency = currency_of(code).ok_or(Problem::Currency)?;
                self.last_currency = (code.to_vec(), currency);
                currency
            }
            None => layout.currency,
        };
        let places = |movement: Option<Movement>| {
            &plan.slots[movement.map_or(Movement::Payment as usize, |one| one as usize)]
        };
        let Slots { amount, .. } = places(movement);
        let (amount_minor, movement) =
            amount_of(layout.amount, value(*amount), movement, value(plan.sign), currency)?;
        let slots = places(Some(movement));
        let fee_minor = match value(slots.fee) {
            Some(text) if !text.is_empty() => {
                Some(fee_of(layout.fee, text, movement, value(plan.sign), currency)?)
            }
            Some(_) | None => None,
        };
        let order_no = value(slots.order_no).unwrap_or_default();
        let reference = value(slots.reference).unwrap_or_default();
        let written = value(plan.date);
        let date = self.date_of(written)?;
        let item = Item { movement, amount_minor, fee_minor, currency, status, date };
        Ok(Read::Line(StatementLine { line, order_no, reference, item }))
    }

    /// The line's date, or the statement's where lines have none.
    fn date_of(&mut self, written: Option<&[u8]>) -> Result<Option<BusinessDate>, Problem> {
        let Some(written) = written else { return Ok(self.date) };
        // Nearly every line has the date of the line before it.
        if self.last_date.1.is_none() || written != self.last_date.0 {
            let date = number::date(written, self.layout.date_form, self.date);
            let date = date.ok_or(Problem::Date)?;
            self.last_date = (written.to_vec(), Some(date));
        }
        if self.date.is_some() && self.last_date.1 != self.date {
            return Err(Problem::WrongDate);
        }
        Ok(self.last_date.1)
    }

    fn begin_footer(&mut self, footer: &Footer, text: &[u8]) -> Result<(), Problem> {
        if footer.has_names {
            self.part = Part::Totals;
            self.footer_names = Some(self.names(text)?);
            return Ok(());
        }
        self.part = Part::End;
        self.check_totals(footer, text)
    }

    fn check_totals(&self, footer: &Footer, text: &[u8]) -> Result<(), Problem> {
        let shape = footer.shape.as_ref().unwrap_or(&self.layout.shape);
        let total = |column: &Column| -> Result<(i128, u32), Problem> {
            let names = self.footer_names.as_deref();
            let column = resolve(column, names).map_err(|_| Problem::Footer)?;
            let mut span = [Span::default()];
            let found = shape.cut(text, &[column], &mut span).map_err(|_| Problem::Footer)?;
            let value = (found > usize::from(column)).then(|| trim(span[0].of(text)));
            value.and_then(number::scaled).ok_or(Problem::Footer)
        };
        if let Some(column) = &footer.count {
            let said = total(column)?.0 / 10_i128.pow(number::SUM_DIGITS);
            let said = u64::try_from(said).map_err(|_| Problem::Footer)?;
            if said != self.rows {
                return Err(Problem::Count { said, found: self.rows });
            }
        }
        for (place, (column, _)) in (1..).zip(&footer.sums) {
            let (said, digits) = total(column)?;
            if !number::is_sum(self.sums[place - 1], said, digits) {
                return Err(Problem::Sum { place });
            }
        }
        Ok(())
    }
}

/// A line that has fewer columns than the layout names.
struct CutShort;

impl From<CutShort> for Problem {
    fn from(_: CutShort) -> Self {
        Self::Cut(crate::codec::fixed::CutError::Short)
    }
}

fn find<T: Copy>(codes: &[Code<T>], code: &[u8]) -> Option<Option<T>> {
    codes.iter().find(|(known, _)| known == code).map(|(_, meaning)| *meaning)
}

/// `None` where the layout passes the line over.
fn status_of(layout: &Layout, code: Option<&[u8]>) -> Result<Option<Status>, Problem> {
    match code {
        Some(code) => find(&layout.statuses, code).ok_or(Problem::Status),
        None => Ok(Some(Status::Succeeded)),
    }
}

/// By its letters or its digits.
fn currency_of(code: &[u8]) -> Option<Currency> {
    let code = std::str::from_utf8(code).ok()?;
    Currency::ALL.into_iter().find(|known| known.code() == code || known.numeric() == code)
}

/// +1 for what is paid to us, -1 for what is taken from us.
const fn sign_of(mark: Option<u8>) -> Result<i64, Problem> {
    match mark {
        Some(b'C' | b'+') => Ok(1),
        Some(b'D' | b'-') => Ok(-1),
        Some(_) | None => Err(Problem::Sign),
    }
}

fn amount_of(
    form: MoneyForm,
    text: Option<&[u8]>,
    movement: Option<Movement>,
    sign: Option<&[u8]>,
    currency: Currency,
) -> Result<(i64, Movement), Problem> {
    let written = text.and_then(|text| number::amount(text, form.unit, currency.exponent(), false));
    let written = written.ok_or(Problem::Amount)?;
    let minor = match form.sign {
        Sign::Written => written.minor,
        Sign::Negated => -written.minor,
        Sign::Letter => sign_of(written.letter)? * written.minor,
        Sign::Column => sign_of(sign.and_then(|text| text.first().copied()))? * written.minor,
        Sign::Operation => {
            let way = movement.ok_or(Problem::Sign)?.sign();
            if written.minor < 0 && way > 0 {
                return Err(Problem::Sign);
            }
            way * written.minor.abs()
        }
    };
    let by_sign = if minor < 0 { Movement::Refund } else { Movement::Payment };
    Ok((minor, movement.unwrap_or(by_sign)))
}

/// Digits beyond the minor unit are rounded half away from zero: some channels write a fee as they
/// calculate it, not as they book it.
fn fee_of(
    form: MoneyForm,
    text: &[u8],
    movement: Movement,
    sign: Option<&[u8]>,
    currency: Currency,
) -> Result<i64, Problem> {
    let written = number::amount(text, form.unit, currency.exponent(), true);
    let written = written.ok_or(Problem::Fee)?;
    Ok(match form.sign {
        Sign::Written => written.minor,
        Sign::Negated => -written.minor,
        // What is taken from us is what the channel keeps.
        Sign::Letter => -sign_of(written.letter)? * written.minor,
        Sign::Column => sign_of(sign.and_then(|text| text.first().copied()))? * written.minor,
        Sign::Operation => match movement.sign() {
            0 => written.minor,
            way => way * written.minor.abs(),
        },
    })
}
