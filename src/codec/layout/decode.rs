//! Follows a layout through a file, line by line.

use crate::codec::fixed::{Shape, Span, trim};
use crate::codec::layout::plan::{Plan, Slot, resolve};
use crate::codec::layout::{
    COLUMNS_MAX, Column, ColumnCode, Footer, Header, Layout, LineTotals, MoneyForm, Sign,
    StatementProblem, Times, number,
};
use crate::domain::attempt::Operation;
use crate::domain::books::reconcile::{Item, StatementLine, Status};
use crate::domain::money::Currency;
use crate::domain::time::BusinessDate;

/// What a line turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DecodedLine<'text> {
    /// A heading, a comment, a total, or a blank line.
    Passed,
    /// A row that the layout passes over, by the order number that it has: it says nothing, and
    /// the number is not absent.
    Silent(&'text [u8]),
    Line(StatementLine<'text>),
}

/// Where in the file a decoder is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FilePart {
    /// So many lines of the header are left.
    Header(u32),
    Names,
    Rows,
    /// The next line has the totals.
    Totals,
    End,
}

/// How the times of the lines lie to the statement's date.
#[derive(Debug, Clone, Copy, Default)]
struct DateFit {
    inside: u64,
    outside: u64,
    first_outside: Option<(u32, BusinessDate)>,
}

/// Reads the lines of one file.
#[derive(Debug, Clone)]
pub struct Decoder<'layout> {
    layout: &'layout Layout,
    plan: Option<Plan>,
    part: FilePart,
    /// The statement's date, where it is known beforehand: a line of another one is wrong.
    date: Option<BusinessDate>,
    said: LineTotals,
    /// Whether what is read is added up by operation, for totals that stand apart.
    adds_up: bool,
    /// Lines that were read.
    lines: u64,
    sums: Vec<i128>,
    /// A row is in no sum: what the footer sums cannot be held against it then.
    is_unsummed: bool,
    /// A total that counts the lines was found, and has their number.
    is_counted: bool,
    /// Which of the footer's texts have counted their lines.
    heard: Vec<usize>,
    /// The first date of a line that is not the statement's.
    other_date: Option<BusinessDate>,
    seen: DateFit,
    last_time: (Vec<u8>, Option<BusinessDate>),
    footer_names: Option<Vec<String>>,
    last_date: (Vec<u8>, Option<BusinessDate>),
    last_currency: (Vec<u8>, Currency),
}

impl<'layout> Decoder<'layout> {
    pub fn new(layout: &'layout Layout, date: Option<BusinessDate>) -> Self {
        let part = match layout.header {
            Header::Skipped(0) => FilePart::Rows,
            Header::Skipped(lines) => FilePart::Header(lines),
            Header::Names => FilePart::Names,
        };
        let named = layout.header == Header::Names;
        let sums = layout.footer.as_ref().map_or(0, |footer| footer.sums.len());
        Self {
            layout,
            plan: (!named).then(|| Plan::of(layout, None).ok()).flatten(),
            part,
            date,
            said: LineTotals::default(),
            adds_up: layout.summary.is_some()
                || layout.footer.as_ref().is_some_and(|footer| !footer.spoken.is_empty()),
            lines: 0,
            sums: vec![0; sums],
            is_unsummed: false,
            is_counted: false,
            heard: Vec::new(),
            other_date: None,
            seen: DateFit::default(),
            last_time: (Vec::new(), None),
            footer_names: None,
            last_date: (Vec::new(), None),
            last_currency: (Vec::new(), layout.currency),
        }
    }

    /// Takes the next line, without its line end. `line` counts from 1.
    pub fn read<'text>(
        &mut self,
        text: &'text [u8],
        line: u32,
    ) -> Result<DecodedLine<'text>, StatementProblem> {
        let begins = |mark: &Option<Vec<u8>>| mark.as_ref().is_some_and(|m| text.starts_with(m));
        match self.part {
            FilePart::Rows => {
                let footer = self.layout.footer.as_ref();
                if let Some(footer) = footer.filter(|footer| text.starts_with(&footer.begins)) {
                    // Lines such as comments may look like the end and stand above all rows.
                    self.begin_footer(footer, text)?;
                    return Ok(DecodedLine::Passed);
                }
                if text.is_empty() || begins(&self.layout.comment) {
                    return Ok(DecodedLine::Passed);
                }
                // A row that cannot be read is a row too: a footer counts it.
                self.said.rows += 1;
                let read = self.row(text, line)?;
                if let DecodedLine::Line(found) = &read {
                    self.lines += 1;
                    if self.adds_up {
                        self.said.add(&found.item);
                    }
                }
                Ok(read)
            }
            FilePart::Header(lines) => {
                self.part = if lines > 1 { FilePart::Header(lines - 1) } else { FilePart::Rows };
                Ok(DecodedLine::Passed)
            }
            FilePart::Names if text.is_empty() || begins(&self.layout.comment) => {
                Ok(DecodedLine::Passed)
            }
            FilePart::Names => {
                let text = text.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(text);
                let names = self.names(text)?;
                self.plan = Some(Plan::of(self.layout, Some(&names))?);
                self.part = FilePart::Rows;
                Ok(DecodedLine::Passed)
            }
            FilePart::Totals => {
                self.part = FilePart::End;
                if let Some(footer) = &self.layout.footer {
                    self.check_totals(footer, text)?;
                }
                Ok(DecodedLine::Passed)
            }
            FilePart::End => {
                let passed = text.is_empty()
                    || begins(&self.layout.comment)
                    || self.layout.footer.as_ref().is_some_and(|f| text.starts_with(&f.begins));
                if !passed {
                    return Err(StatementProblem::Behind);
                }
                self.check_text_totals(text)?;
                Ok(DecodedLine::Passed)
            }
        }
    }

    /// Says whether the file is whole. `cut` if its last line had no line end.
    pub fn finish(&self, cut: bool) -> Result<(), StatementProblem> {
        let outside = self.seen.first_outside.filter(|_| self.seen.inside == 0);
        let other = self.other_date.filter(|_| self.lines == 0).or(outside.map(|first| first.1));
        if let Some(date) = other {
            return Err(StatementProblem::OtherDay { date });
        }
        match self.part {
            FilePart::Names | FilePart::Header(_) => Err(StatementProblem::NoHeader),
            FilePart::Rows | FilePart::Totals if self.layout.footer.is_some() => {
                Err(StatementProblem::NoFooter)
            }
            FilePart::Rows | FilePart::Totals | FilePart::End if cut && self.layout.must_end => {
                Err(StatementProblem::CutOff)
            }
            FilePart::Rows | FilePart::Totals | FilePart::End => Ok(()),
        }
    }

    /// What makes one doubt the file and refuses nothing: most of its lines are of other days. Some
    /// always are, where a channel cuts its day elsewhere.
    pub fn doubt(&self) -> Option<StatementProblem> {
        let DateFit { inside, outside, first_outside } = self.seen;
        let (first, _) = first_outside.filter(|_| outside > inside)?;
        Some(StatementProblem::OtherDays { lines: outside, first })
    }

    /// Whether a total that counts the lines was found in the file, and has their number.
    pub const fn is_counted(&self) -> bool {
        self.is_counted
    }

    /// What was read, for a summary beside the file.
    pub const fn line_totals(&self) -> &LineTotals {
        &self.said
    }

    /// Whether the file has rows, and none of them could be read.
    pub const fn is_unread(&self) -> bool {
        self.lines == 0 && self.said.rows > 0
    }

    /// Reads a row again that was read before, to show it. Nothing is counted.
    pub fn read_again<'text>(
        &mut self,
        text: &'text [u8],
        line: u32,
    ) -> Result<DecodedLine<'text>, StatementProblem> {
        let (sums, seen) = (self.sums.clone(), self.seen);
        let read = self.row(text, line);
        (self.sums, self.seen) = (sums, seen);
        read
    }

    fn names(&self, text: &[u8]) -> Result<Vec<String>, StatementProblem> {
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

    /// Cuts a row into the columns that are wanted, and adds up those that the footer sums.
    fn cut(&mut self, text: &[u8]) -> Result<[Span; COLUMNS_MAX], StatementProblem> {
        let plan = self.plan.as_ref().ok_or(StatementProblem::NoHeader)?;
        let mut spans = [Span::default(); COLUMNS_MAX];
        let found = self.layout.shape.cut(text, &plan.wanted, &mut spans)?;
        let enough = plan.wanted.last().is_none_or(|last| found > usize::from(*last));
        match plan.columns {
            Some(wanted) if found != wanted => {
                return Err(StatementProblem::Columns { found, wanted });
            }
            None if !enough => return Err(ShortLine.into()),
            Some(_) | None => {}
        }
        for (sum, slot) in self.sums.iter_mut().zip(&plan.sums) {
            let value = slot.map(|slot| trim(spans[usize::from(slot)].of(text)));
            *sum += value.and_then(number::scaled).ok_or(StatementProblem::Summand)?.0;
        }
        Ok(spans)
    }

    fn row<'text>(
        &mut self,
        text: &'text [u8],
        line: u32,
    ) -> Result<DecodedLine<'text>, StatementProblem> {
        // A row that ends here is in no sum.
        let spans = self.cut(text).inspect_err(|_| self.is_unsummed = true)?;
        let layout = self.layout;
        let plan = self.plan.as_ref().ok_or(StatementProblem::NoHeader)?;
        let value = |slot: Slot| -> Option<&'text [u8]> {
            slot.map(|slot| trim(spans[usize::from(slot)].of(text)))
        };
        let number = |slot: Slot| layout.order_form.strip(value(slot).unwrap_or_default());
        let movement = match value(plan.operation) {
            Some(code) => {
                match find(&layout.operations, code).ok_or(StatementProblem::Operation)? {
                    Some(movement) => Some(movement),
                    None => {
                        return Ok(DecodedLine::Silent(number(plan.slots[0].order_no)));
                    }
                }
            }
            None => None,
        };
        let places = |movement: Option<Operation>| {
            &plan.slots[movement.map_or(Operation::Payment as usize, |one| one as usize)]
        };
        let slots = places(movement);
        let Some(status) = status_of(layout, value(slots.status))? else {
            return Ok(DecodedLine::Silent(number(slots.order_no)));
        };
        let is_nothing = |text: &[u8]| {
            text.is_empty() || number::scaled(text).is_some_and(|(number, _)| number == 0)
        };
        if plan.empty.iter().any(|slot| value(*slot).is_some_and(|text| !is_nothing(text))) {
            return Err(StatementProblem::Unknown);
        }
        let currency = match value(plan.currency) {
            Some(code) if code == self.last_currency.0 => self.last_currency.1,
            Some(code) => {
                let currency = currency_of(code).ok_or(StatementProblem::Currency)?;
                self.last_currency = (code.to_vec(), currency);
                currency
            }
            None => layout.currency,
        };
        let sign = value(plan.sign);
        let (amount_minor, movement) =
            amount_of(layout.amount, value(slots.amount), movement, sign, currency)?;
        let slots = *places(Some(movement));
        // What failed settles nothing, whatever stands there.
        let settled = value(slots.settlement).filter(|_| status == Status::Succeeded);
        let written = Charge { fee: value(slots.fee), settled, sign };
        let fee_minor = charge_of(layout, written, amount_minor, movement, currency)?;
        let order_no = number(slots.order_no);
        let reference = value(slots.reference).unwrap_or_default();
        let (written, time) = (value(plan.date), value(plan.time));
        let card_type = value(plan.card_type).and_then(|code| find(&layout.card_types, code)?);
        let date = self.date_of(written)?;
        if let (Some(times), Some(time)) = (&layout.times, time) {
            self.look_at(times, time, line, movement);
        }
        let item = Item { movement, amount_minor, fee_minor, currency, status, date };
        Ok(DecodedLine::Line(StatementLine { line, order_no, reference, card_type, item }))
    }

    /// Keeps how a line's time lies to the statement's date. One that cannot be read says nothing.
    fn look_at(&mut self, times: &Times, time: &[u8], line: u32, movement: Operation) {
        let Some(date) = self.date else { return };
        if !times.operations.is_empty() && !times.operations.contains(&movement) {
            return;
        }
        // Nearly every line is of the day of the line before it.
        let Some(day) = time.get(..times.form.length()) else { return };
        if self.last_time.1.is_none() || day != self.last_time.0 {
            self.last_time = (day.to_vec(), number::date(day, times.form, Some(date)));
        }
        let Some(found) = self.last_time.1 else { return };
        let days = (found.civil() - date.civil()).get_days();
        if (-i32::from(times.days_before)..=i32::from(times.days_behind)).contains(&days) {
            self.seen.inside += 1;
        } else {
            self.seen.outside += 1;
            self.seen.first_outside.get_or_insert((line, found));
        }
    }

    /// The line's date, or the statement's where lines have none.
    fn date_of(
        &mut self,
        written: Option<&[u8]>,
    ) -> Result<Option<BusinessDate>, StatementProblem> {
        let Some(written) = written else { return Ok(self.date) };
        // Nearly every line has the date of the line before it.
        if self.last_date.1.is_none() || written != self.last_date.0 {
            let date = number::date(written, self.layout.date_form, self.date);
            let date = date.ok_or(StatementProblem::Date)?;
            self.last_date = (written.to_vec(), Some(date));
        }
        if self.date.is_some() && self.last_date.1 != self.date {
            self.other_date = self.other_date.or(self.last_date.1);
            return Err(StatementProblem::WrongDate);
        }
        Ok(self.last_date.1)
    }

    fn begin_footer(&mut self, footer: &Footer, text: &[u8]) -> Result<(), StatementProblem> {
        if footer.has_names {
            self.part = FilePart::Totals;
            self.footer_names = Some(self.names(text)?);
            return Ok(());
        }
        self.part = FilePart::End;
        self.check_text_totals(text)?;
        self.check_totals(footer, text)
    }

    /// Holds a line of the footer against what was read, if it is one with totals in its text.
    fn check_text_totals(&mut self, text: &[u8]) -> Result<(), StatementProblem> {
        let layout = self.layout;
        let spoken = || layout.footer.iter().flat_map(|footer| &footer.spoken);
        for (place, one) in spoken().enumerate().filter(|(_, one)| text.starts_with(&one.begins)) {
            if one.check(text, &self.said, layout.currency)? && !self.heard.contains(&place) {
                self.heard.push(place);
            }
        }
        // One that counts the refunds says nothing of the payments: all of them are needed.
        let counting = spoken().filter(|one| one.count.is_some()).count();
        self.is_counted |= counting > 0 && self.heard.len() == counting;
        Ok(())
    }

    fn check_totals(&mut self, footer: &Footer, text: &[u8]) -> Result<(), StatementProblem> {
        let shape = footer.shape.as_ref().unwrap_or(&self.layout.shape);
        let total = |column: &Column| -> Result<(i128, u32), StatementProblem> {
            let names = self.footer_names.as_deref();
            let column = resolve(column, names).map_err(|_| StatementProblem::Footer)?;
            let mut span = [Span::default()];
            let found =
                shape.cut(text, &[column], &mut span).map_err(|_| StatementProblem::Footer)?;
            let value = (found > usize::from(column)).then(|| trim(span[0].of(text)));
            value.and_then(number::scaled).ok_or(StatementProblem::Footer)
        };
        if let Some(column) = &footer.count {
            let said = total(column)?.0 / 10_i128.pow(number::SUM_DIGITS);
            let said = u64::try_from(said).map_err(|_| StatementProblem::Footer)?;
            if said != self.said.rows {
                return Err(StatementProblem::Count { said, found: self.said.rows });
            }
        }
        // A row that is in no sum is told as such; no total can have it.
        for (place, (column, _)) in (1..).zip(&footer.sums).filter(|_| !self.is_unsummed) {
            let (said, digits) = total(column)?;
            if !number::is_sum(self.sums[place - 1], said, digits) {
                return Err(StatementProblem::Sum { place });
            }
        }
        self.is_counted |= footer.count.is_some();
        Ok(())
    }
}

/// A line that has fewer columns than the layout names.
struct ShortLine;

impl From<ShortLine> for StatementProblem {
    fn from(_: ShortLine) -> Self {
        Self::Cut(crate::codec::fixed::CutError::Short)
    }
}

fn find<T: Copy>(codes: &[ColumnCode<T>], code: &[u8]) -> Option<Option<T>> {
    codes.iter().find(|(known, _)| known == code).map(|(_, meaning)| *meaning)
}

/// `None` where the layout passes the line over.
fn status_of(layout: &Layout, code: Option<&[u8]>) -> Result<Option<Status>, StatementProblem> {
    match code {
        Some(code) => find(&layout.statuses, code).ok_or(StatementProblem::Status),
        None => Ok(Some(Status::Succeeded)),
    }
}

/// By its letters or its digits.
fn currency_of(code: &[u8]) -> Option<Currency> {
    let code = std::str::from_utf8(code).ok()?;
    Currency::parse_any(code)
}

/// +1 for what is paid to us, -1 for what is taken from us.
const fn sign_of(mark: Option<u8>) -> Result<i64, StatementProblem> {
    match mark {
        Some(b'C' | b'+') => Ok(1),
        Some(b'D' | b'-') => Ok(-1),
        Some(_) | None => Err(StatementProblem::Sign),
    }
}

fn amount_of(
    form: MoneyForm,
    text: Option<&[u8]>,
    movement: Option<Operation>,
    sign: Option<&[u8]>,
    currency: Currency,
) -> Result<(i64, Operation), StatementProblem> {
    let written = text.and_then(|text| number::amount(text, form.unit, currency.exponent(), false));
    let written = written.ok_or(StatementProblem::Amount)?;
    let minor = match form.sign {
        Sign::Written => written.minor,
        Sign::Negated => -written.minor,
        Sign::Letter => sign_of(written.letter)? * written.minor,
        Sign::Column => sign_of(sign.and_then(|text| text.first().copied()))? * written.minor,
        Sign::Settlement => return Err(StatementProblem::Sign),
        Sign::Operation => {
            let way = movement.ok_or(StatementProblem::Sign)?.sign();
            if written.minor < 0 && way > 0 {
                return Err(StatementProblem::Sign);
            }
            way * written.minor.abs()
        }
    };
    let by_sign = if minor < 0 { Operation::Refund } else { Operation::Payment };
    Ok((minor, movement.unwrap_or(by_sign)))
}

/// What a line says of its fee, as it is written.
struct Charge<'text> {
    fee: Option<&'text [u8]>,
    /// What the line settles, where it says so: amount less fee.
    settled: Option<&'text [u8]>,
    sign: Option<&'text [u8]>,
}

/// The fee of a line. With a settlement the line must add up, and the fee may have its sign by it.
fn charge_of(
    layout: &Layout,
    written: Charge<'_>,
    amount_minor: i64,
    movement: Operation,
    currency: Currency,
) -> Result<Option<i64>, StatementProblem> {
    let Charge { fee, settled, sign } = written;
    let fee = match fee.filter(|text| !text.is_empty()) {
        Some(text) => Some(fee_of(layout.fee, text, movement, sign, currency)?),
        None => None,
    };
    let Some(settled) = settled else { return Ok(fee) };
    let settled = amount_of(layout.settlement, Some(settled), Some(movement), sign, currency);
    let (settled, _) = settled.map_err(|_| StatementProblem::Settlement)?;
    let fee = match (layout.fee.sign, fee) {
        (Sign::Settlement, Some(fee)) if amount_minor + fee == settled => Some(-fee),
        (_, fee) => fee,
    };
    let adds_up = amount_minor - fee.unwrap_or(0) == settled;
    if adds_up { Ok(fee) } else { Err(StatementProblem::Settlement) }
}

/// Digits beyond the minor unit are rounded half away from zero: some channels write a fee as they
/// calculate it, not as they book it.
fn fee_of(
    form: MoneyForm,
    text: &[u8],
    movement: Operation,
    sign: Option<&[u8]>,
    currency: Currency,
) -> Result<i64, StatementProblem> {
    let written = number::amount(text, form.unit, currency.exponent(), true);
    let written = written.ok_or(StatementProblem::Fee)?;
    Ok(match form.sign {
        Sign::Written => written.minor,
        Sign::Negated => -written.minor,
        // Its size; the settlement says which way it goes.
        Sign::Settlement => written.minor.abs(),
        // What is taken from us is what the channel keeps.
        Sign::Letter => -sign_of(written.letter)? * written.minor,
        Sign::Column => sign_of(sign.and_then(|text| text.first().copied()))? * written.minor,
        Sign::Operation => match movement.fee_sign() {
            0 => written.minor,
            way => way * written.minor.abs(),
        },
    })
}
