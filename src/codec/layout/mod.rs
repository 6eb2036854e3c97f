//! Statement layouts: tables that say where our words stand in a channel's statement file.
//!
//! A [`Layout`] is data, read by `config`; a [`Decoder`] follows it line by
//! line, so a file of any length is read in bounded memory. A line that cannot be read is never
//! guessed at: the layout says whether it refuses the whole file or is kept as a bad line (S30).
//! Must not know files, channels or what a line is compared with. Problems quote nothing of what
//! was read, which may hold a card number (I-11).

mod decode;
mod number;
mod plan;
mod totals;

use crate::codec::fixed::{CutError, Shape};
use crate::codec::order_form::OrderForm;
use crate::domain::attempt::Operation;
use crate::domain::bin::CardType;
use crate::domain::books::reconcile::Status;
use crate::domain::money::Currency;
use crate::domain::time::BusinessDate;

pub use self::decode::{DecodedLine, Decoder};
pub use self::number::{DateForm, Unit};
pub use self::totals::{LineTotals, Summary, SummarySum, TextTotals, TotalSum};

/// Different columns that one layout may name.
pub const COLUMNS_MAX: usize = 16;

/// A file's character set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Charset {
    Utf8,
    Gbk,
}

impl Charset {
    /// A text of the layout as bytes of the file.
    pub fn encode(self, text: &str) -> Vec<u8> {
        match self {
            Self::Utf8 => text.as_bytes().to_vec(),
            Self::Gbk => encoding_rs::GBK.encode(text).0.into_owned(),
        }
    }

    /// Bytes of the file as text; what is not of the character set becomes a replacement mark.
    pub fn decode(self, bytes: &[u8]) -> String {
        match self {
            Self::Utf8 => String::from_utf8_lossy(bytes).into_owned(),
            Self::Gbk => encoding_rs::GBK.decode_without_bom_handling(bytes).0.into_owned(),
        }
    }
}

/// A column by its place, from 0, or by the name that the header gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Column {
    At(u16),
    Named(String),
}

/// What stands above the lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Header {
    /// This many lines that say nothing we need.
    Skipped(u32),
    /// A line with the columns' names.
    Names,
}

/// Where a sign comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sign {
    /// From the line's operation; a minus may repeat it, and may not contradict it.
    Operation,
    /// As it is written: what we receive, or the channel keeps, is positive.
    Written,
    /// The other way round.
    Negated,
    /// A letter before the digits: C is paid to us, D is taken from us.
    Letter,
    /// The first character of the sign column: C or + is paid to us, D or - is taken from us.
    Column,
    /// Of a fee: whichever sign makes amount less fee the settlement.
    Settlement,
}

/// How amounts are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MoneyForm {
    pub unit: Unit,
    pub sign: Sign,
}

/// The column of each of our words. What is absent is not compared.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LayoutColumns {
    pub order_no: Option<Column>,
    pub reference: Option<Column>,
    pub operation: Option<Column>,
    pub amount: Option<Column>,
    pub fee: Option<Column>,
    pub status: Option<Column>,
    /// What the line settles: amount less fee. Where it is named, every line must add up.
    pub settlement: Option<Column>,
    pub currency: Option<Column>,
    pub date: Option<Column>,
    pub sign: Option<Column>,
    /// The type that the channel gives the card: nothing is compared by it.
    pub card_type: Option<Column>,
}

/// When the lines' transactions were made, held against the statement's date.
///
/// One line proves little: a channel cuts its day where it likes. A file of which no line is of the
/// date's days is another day's; one of which most are not is doubted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Times {
    pub column: Column,
    pub form: DateForm,
    /// Calendar days before and behind the statement's date that a transaction of it may have.
    pub days_before: u8,
    pub days_behind: u8,
    /// The operations whose time is their own; all of them where none is named.
    pub operations: Vec<Operation>,
}

/// What a code in a column means; `None` passes the line over.
pub type ColumnCode<T> = (Vec<u8>, Option<T>);

/// What stands below the lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Footer {
    /// How its first line begins, in the file's bytes.
    pub begins: Vec<u8>,
    /// That line names the totals, the next one has them.
    pub has_names: bool,
    /// How the line of totals is cut, where it differs from the lines.
    pub shape: Option<Shape>,
    /// The total that counts the lines.
    pub count: Option<Column>,
    /// Totals, each with the column that it is the sum of, as that is written.
    pub sums: Vec<(Column, Column)>,
    /// Totals within a text, in lines of the footer.
    pub spoken: Vec<TextTotals>,
}

/// What becomes of a line that cannot be read, or of a file whose totals or end are wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnBad {
    /// The whole file is refused.
    Refuse,
    /// It is kept as it stands, and reported.
    Keep,
}

/// How a statement file is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    pub name: String,
    /// Which file of a ZIP it is: a name with `*` for anything, `<YYMMDD>` or `<YYYYMMDD>` for the
    /// statement's date. `None`: the only one.
    pub member: Option<String>,
    pub encoding: Charset,
    pub shape: Shape,
    pub header: Header,
    /// Lines above the rows that begin with this are passed over.
    pub comment: Option<Vec<u8>>,
    pub footer: Option<Footer>,
    /// The file with the totals that comes beside it.
    pub summary: Option<Summary>,
    pub times: Option<Times>,
    /// A file whose last line has no line end was cut off.
    pub must_end: bool,
    pub words: LayoutColumns,
    /// How order numbers are written.
    pub order_form: OrderForm,
    /// Words that stand elsewhere on lines of an operation.
    pub variants: Vec<(Operation, LayoutColumns)>,
    /// Without an operation column, what is paid to us is a payment and the rest refunds.
    pub operations: Vec<ColumnCode<Operation>>,
    pub statuses: Vec<ColumnCode<Status>>,
    /// A code that is not among them says nothing of the card.
    pub card_types: Vec<ColumnCode<CardType>>,
    /// Of lines without a currency column.
    pub currency: Currency,
    pub amount: MoneyForm,
    pub fee: MoneyForm,
    pub settlement: MoneyForm,
    /// Columns that move money in a way that the layout does not know: a line that has more than
    /// nothing in one of them is bad.
    pub empty: Vec<Column>,
    pub date_form: DateForm,
    pub on_bad_line: OnBad,
    pub on_bad_file: OnBad,
}

impl LayoutColumns {
    fn all(&self) -> impl Iterator<Item = &Column> {
        let words = [
            &self.order_no,
            &self.reference,
            &self.operation,
            &self.amount,
            &self.fee,
            &self.status,
            &self.settlement,
            &self.currency,
            &self.date,
            &self.sign,
            &self.card_type,
        ];
        words.into_iter().flatten()
    }
}

impl Layout {
    /// Every column that a line may have, as often as it is named.
    pub fn columns(&self) -> impl Iterator<Item = &Column> {
        let variants = self.variants.iter().map(|(_, words)| words);
        let words = std::iter::once(&self.words).chain(variants).flat_map(LayoutColumns::all);
        let sums = self.footer.iter().flat_map(|footer| &footer.sums);
        let times = self.times.as_ref().map(|times| &times.column);
        words.chain(times).chain(&self.empty).chain(sums.map(|(_, of)| of))
    }

    /// Whether the file, or one beside it, says how many lines there are. Only then what it does
    /// not show can be known to be absent.
    pub fn counts_its_lines(&self) -> bool {
        let footer = self.footer.as_ref();
        footer.is_some_and(|footer| {
            footer.count.is_some() || footer.spoken.iter().any(|spoken| spoken.count.is_some())
        }) || self.summary.as_ref().is_some_and(|summary| summary.count.is_some())
    }
}

/// What is wrong with a line or a file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StatementProblem {
    #[error("the line cannot be cut into columns: {0}")]
    Cut(#[from] CutError),
    #[error("the line has {found} columns, not the {wanted} of the header")]
    Columns { found: usize, wanted: usize },
    #[error("the operation is none that the layout knows")]
    Operation,
    #[error("the status is none that the layout knows")]
    Status,
    #[error("the currency is none that we know")]
    Currency,
    #[error("the amount is none")]
    Amount,
    #[error("the fee is none")]
    Fee,
    #[error("the sign is missing, or contradicts the operation")]
    Sign,
    #[error("the date is none")]
    Date,
    #[error("the date is not the statement's")]
    WrongDate,
    #[error("a column that is summed holds no number")]
    Summand,
    #[error("amount, fee and settlement do not add up")]
    Settlement,
    #[error("a column moves money in a way that the layout does not know")]
    Unknown,
    #[error("the line has more than {limit} bytes")]
    TooLong { limit: usize },
    #[error("the header does not name the column {name:?}")]
    NoColumn { name: String },
    #[error("the header is missing")]
    NoHeader,
    #[error("the footer cannot be read")]
    Footer,
    #[error("the footer counts {said} lines, there are {found}")]
    Count { said: u64, found: u64 },
    #[error("total {place} of the footer is not the sum of its column")]
    Sum { place: usize },
    #[error("the summary beside the file counts {said} lines, there are {found}")]
    SummaryCount { said: u64, found: u64 },
    #[error("the summary beside the file has another sum of {of}: {said}, the lines have {found}")]
    SummarySum { of: &'static str, said: i128, found: i128 },
    #[error("the summary beside the file cannot be read")]
    Summary,
    #[error("its lines are of {date}, so it is another day's file")]
    OtherDay { date: BusinessDate },
    #[error("{lines} lines are of other days, the first of them is line {first}")]
    OtherDays { lines: u64, first: u32 },
    #[error("lines follow the end that the footer marks")]
    Behind,
    #[error("the file ends before its footer, so it was cut off")]
    NoFooter,
    #[error("the file ends within a line, so it was cut off")]
    CutOff,
}

impl StatementProblem {
    /// Whether one line is what is wrong, which can be kept as a bad line.
    pub const fn is_of_line(&self) -> bool {
        match self {
            Self::Cut(_)
            | Self::Columns { .. }
            | Self::Operation
            | Self::Status
            | Self::Currency
            | Self::Amount
            | Self::Fee
            | Self::Sign
            | Self::Date
            | Self::WrongDate
            | Self::Summand
            | Self::Settlement
            | Self::Unknown
            | Self::TooLong { .. } => true,
            Self::NoColumn { .. }
            | Self::NoHeader
            | Self::Footer
            | Self::Count { .. }
            | Self::Sum { .. }
            | Self::SummaryCount { .. }
            | Self::SummarySum { .. }
            | Self::Summary
            | Self::OtherDay { .. }
            | Self::OtherDays { .. }
            | Self::Behind
            | Self::NoFooter
            | Self::CutOff => false,
        }
    }

    /// Whether reading can go on where the layout keeps what is wrong: the lines are still known,
    /// and are of the date that was asked for.
    pub const fn can_be_kept(&self) -> bool {
        !matches!(self, Self::NoColumn { .. } | Self::NoHeader | Self::OtherDay { .. })
    }

    /// Whether the line is of a kind that the layout does not name: the rest of it may be sound.
    pub const fn is_foreign_kind(&self) -> bool {
        matches!(self, Self::Operation | Self::Status | Self::Currency | Self::Unknown)
    }
}
