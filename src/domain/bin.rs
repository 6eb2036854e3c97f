//! The BIN table: which issuer and product the leading digits of a card number name.
//!
//! The key of a row is (BIN, card length) and the longest BIN that fits wins (ISO/IEC 7812-1;
//! UnionPay's own table is read this way). A table keyed by six digits alone is wrong or empty for
//! almost half of UnionPay's cards, and one that ignores the card's length confuses BINs which two
//! banks share. The table is immutable: a refresh builds another one and swaps it whole.
//!
//! Knows nothing of files, formats or versions. Upholds I-11: nothing in here keeps or prints a
//! card number; a BIN has twelve digits at most.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::domain::closed_set;

mod index;
mod issuers;
pub mod proposal;
mod stated_date;

use index::Index;

pub use issuers::{ISSUER_CHANGES_MAX, IssuerChange, IssuerChangeError, IssuerChanges};
pub use stated_date::StatedDate;

/// The shortest BIN the table takes, in digits.
pub const BIN_LENGTH_MIN: usize = 2;
/// The longest BIN: the width of the field in UnionPay's table, in digits.
pub const BIN_LENGTH_MAX: usize = 12;
/// The most rows a table may have: some forty times UnionPay's, so a runaway file is refused.
pub const BIN_ROWS_MAX: usize = 200_000;

/// The shortest card number that ISO/IEC 7812-1 allows to be routed here, in digits.
pub const PAN_LENGTH_MIN: usize = 12;
/// The longest card number of ISO/IEC 7812-1, in digits.
pub const PAN_LENGTH_MAX: usize = 19;
const PAN_LENGTHS: usize = PAN_LENGTH_MAX - PAN_LENGTH_MIN + 1;

/// Why a text is not a BIN.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BinError {
    #[error("a BIN has digits only")]
    NotDigits,
    #[error("a BIN has 2 to 12 digits")]
    Length,
}

/// The leading digits of a card number: 2 to 12, ordered as text.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bin {
    /// ASCII digits, zero bytes behind them: a zero byte sorts before any digit, so the derived
    /// order is that of the text.
    digits: [u8; BIN_LENGTH_MAX],
    length: u8,
}

impl Bin {
    /// Checks digits first, then the length.
    pub fn parse(text: &str) -> Result<Self, BinError> {
        Self::from_digits(text.as_bytes())
    }

    /// Takes ASCII digits, in the order in which they stand on the card.
    pub fn from_digits(text: &[u8]) -> Result<Self, BinError> {
        if !text.iter().all(u8::is_ascii_digit) {
            return Err(BinError::NotDigits);
        }
        if !(BIN_LENGTH_MIN..=BIN_LENGTH_MAX).contains(&text.len()) {
            return Err(BinError::Length);
        }
        let mut digits = [0; BIN_LENGTH_MAX];
        digits[..text.len()].copy_from_slice(text);
        Ok(Self { digits, length: text.len() as u8 })
    }

    pub fn as_str(&self) -> &str {
        std::str::from_utf8(self.digits()).expect("a BIN holds ASCII digits only")
    }

    /// The digits as ASCII bytes.
    pub fn digits(&self) -> &[u8] {
        &self.digits[..usize::from(self.length)]
    }

    /// The number of digits, 2 to 12.
    pub fn length(&self) -> usize {
        usize::from(self.length)
    }
}

impl fmt::Debug for Bin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Bin({})", self.as_str())
    }
}

impl fmt::Display for Bin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

closed_set! {
    /// The kind of account behind a card. Fees and routes depend on it.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub enum CardType {
        /// 借记卡
        Debit = 1 => "debit",
        /// 贷记卡
        Credit = 2 => "credit",
        /// 准贷记卡: a deposit account with a small overdraft, a kind of its own in China.
        QuasiCredit = 3 => "quasi_credit",
        /// 预付费卡
        Prepaid = 4 => "prepaid",
    }
}

closed_set! {
    /// The scheme whose number range a card lies in.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub enum Brand {
        UnionPay = 1 => "unionpay",
        Visa = 2 => "visa",
        Mastercard = 3 => "mastercard",
        Amex = 4 => "amex",
        Jcb = 5 => "jcb",
        Diners = 6 => "diners",
    }
}

impl Brand {
    /// The brand whose ISO/IEC 7812 range holds the whole BIN, UnionPay where none does. A BIN too
    /// short to lie in one range is UnionPay's.
    pub fn of_range(bin: &Bin) -> Self {
        const RANGES: [(u32, u32, Brand); 8] = [
            (2221, 2720, Brand::Mastercard),
            (3000, 3099, Brand::Diners),
            (3400, 3499, Brand::Amex),
            (3528, 3589, Brand::Jcb),
            (3600, 3699, Brand::Diners),
            (3700, 3799, Brand::Amex),
            (3800, 3999, Brand::Diners),
            (4000, 4999, Brand::Visa),
        ];
        let (low, high) = four_digit_range(bin);
        if (5100..=5599).contains(&low) && high <= 5599 {
            return Self::Mastercard;
        }
        let within = RANGES.iter().find(|(first, last, _)| *first <= low && high <= *last);
        within.map_or(Self::UnionPay, |(_, _, brand)| *brand)
    }

    /// The brand of a card that no row of the table fits, where its leading digits lie in a range
    /// of which only the brand is public: 81000000 to 81719999, in use since 2019, are UnionPay's.
    /// Fewer digits than tell it are in no such range.
    pub fn of_bare_range(digits: &[u8]) -> Option<Self> {
        let head = digits.get(..4)?;
        (b"8100".as_slice()..=b"8171").contains(&head).then_some(Self::UnionPay)
    }
}

/// The brands of a card: the one whose range its number lies in, and another one whose network
/// takes it as well (a card with two marks on it, 双标卡).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CardBrands {
    pub first: Brand,
    /// Another one than `first`, where there is one.
    pub second: Option<Brand>,
}

impl CardBrands {
    /// A card of one brand.
    pub const fn one(brand: Brand) -> Self {
        Self { first: brand, second: None }
    }

    /// The brands of a row of a UnionPay table that names none: UnionPay's network takes the card,
    /// whatever other scheme its number was allotted to.
    pub fn of_unionpay_table(bin: &Bin) -> Self {
        let first = Brand::of_range(bin);
        Self { first, second: (first != Brand::UnionPay).then_some(Brand::UnionPay) }
    }

    /// Reads one or two names, as `visa` or `visa+unionpay`; the first is that of the number's
    /// range. `None` for anything else, and for one brand twice.
    pub fn parse(text: &str) -> Option<Self> {
        let (first, second) = match text.split_once('+') {
            Some((first, second)) => (first, Some(Brand::parse(second)?)),
            None => (text, None),
        };
        let first = Brand::parse(first)?;
        (second != Some(first)).then_some(Self { first, second })
    }

    pub fn iter(self) -> impl Iterator<Item = Brand> {
        std::iter::once(self.first).chain(self.second)
    }

    pub fn contains(self, brand: Brand) -> bool {
        self.iter().any(|one| one == brand)
    }

    /// Whether one of them is in the list.
    pub fn meets(self, brands: &[Brand]) -> bool {
        self.iter().any(|one| brands.contains(&one))
    }
}

/// The form that [`CardBrands::parse`] reads.
impl fmt::Display for CardBrands {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.first.name())?;
        self.second.map_or(Ok(()), |second| write!(formatter, "+{second}"))
    }
}

/// The lowest and the highest number that the first four digits of a card of this BIN can be.
fn four_digit_range(bin: &Bin) -> (u32, u32) {
    let known = bin.length().min(4);
    let head = bin.digits()[..known].iter().fold(0, |sum, byte| sum * 10 + u32::from(byte - b'0'));
    let width = 10_u32.pow(4 - known as u32);
    (head * width, head * width + width - 1)
}

/// One row of the table. Compare issuer codes and show names: names are not canonical.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BinRow {
    pub bin: Bin,
    /// The exact length of the card numbers this row is for, 12 to 19 digits.
    pub pan_length: u8,
    /// UnionPay's institution code: four digits institution, four digits region.
    pub issuer_code: String,
    /// Of today, where the row stands in a table.
    pub issuer_name: String,
    /// The product's name, empty where the source names none.
    pub card_name: String,
    pub card_type: CardType,
    pub brands: CardBrands,
}

impl BinRow {
    /// The key, unique in a table.
    pub fn key(&self) -> (Bin, u8) {
        (self.bin, self.pan_length)
    }
}

/// What is said of a row beside its facts. No decision rests on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RowMarks {
    /// When the source of the row stated it, where that is another date than the table's.
    pub as_of: Option<StatedDate>,
    /// Since when no such card is issued or taken any more.
    pub retired: Option<StatedDate>,
}

/// Why rows do not make a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BinTableError {
    #[error("BIN {bin} stands twice for card numbers of {pan_length} digits")]
    DuplicateKey { bin: Bin, pan_length: u8 },
    #[error("BIN {bin}: a card number of {pan_length} digits is not 12 to 19, or not longer")]
    PanLength { bin: Bin, pan_length: u8 },
    #[error("{rows} rows are more than the {BIN_ROWS_MAX} a table may have")]
    TooManyRows { rows: usize },
}

/// An immutable table with its index. A lookup allocates nothing and takes no lock.
pub struct BinTable {
    /// Sorted by (BIN as text, card length).
    rows: Vec<Arc<BinRow>>,
    index: Index,
    /// In the order of the rows.
    marks: Vec<RowMarks>,
    issuers: IssuerChanges,
    /// The issuers' names as the source has them, of the rows that show another one.
    stated_names: BTreeMap<(Bin, u8), String>,
}

impl BinTable {
    /// Sorts the rows, gives each its issuer's name of today, and builds the index. Takes some ten
    /// milliseconds for UnionPay's table.
    pub fn build(
        mut rows: Vec<(BinRow, RowMarks)>,
        issuers: IssuerChanges,
    ) -> Result<Self, BinTableError> {
        if rows.len() > BIN_ROWS_MAX {
            return Err(BinTableError::TooManyRows { rows: rows.len() });
        }
        rows.sort_by_key(|(row, _)| row.key());
        for (row, _) in &rows {
            let length = usize::from(row.pan_length);
            let fits = (PAN_LENGTH_MIN..=PAN_LENGTH_MAX).contains(&length);
            if !fits || length <= row.bin.length() {
                let (bin, pan_length) = row.key();
                return Err(BinTableError::PanLength { bin, pan_length });
            }
        }
        if let Some(pair) = rows.windows(2).find(|pair| pair[0].0.key() == pair[1].0.key()) {
            let (bin, pan_length) = pair[0].0.key();
            return Err(BinTableError::DuplicateKey { bin, pan_length });
        }
        let mut stated_names = BTreeMap::new();
        for (row, _) in &mut rows {
            let today = issuers.today(&row.issuer_code, &row.issuer_name);
            if today != row.issuer_name {
                let today = today.to_owned();
                let stated = std::mem::replace(&mut row.issuer_name, today);
                stated_names.insert(row.key(), stated);
            }
        }
        let (rows, marks): (Vec<Arc<BinRow>>, Vec<RowMarks>) =
            rows.into_iter().map(|(row, marks)| (Arc::new(row), marks)).unzip();
        let index = Index::build(&rows);
        Ok(Self { rows, index, marks, issuers, stated_names })
    }

    /// The same rows under other names of issuers.
    pub fn with_issuers(&self, issuers: IssuerChanges) -> Self {
        let stated = self.rows.iter().zip(&self.marks).map(|(row, marks)| {
            let issuer_name = self.stated_name(row).to_owned();
            (BinRow { issuer_name, ..BinRow::clone(row) }, *marks)
        });
        Self::build(stated.collect(), issuers).expect("these rows are a table already")
    }

    /// The row for a whole card number: the longest BIN that begins it among the rows for card
    /// numbers of its length. `None` for bytes that are not 12 to 19 ASCII digits; the check digit
    /// is not looked at, and reserved numbers are answered like any other.
    pub fn lookup(&self, digits: &[u8]) -> Option<&Arc<BinRow>> {
        let row = self.rows.get(self.index.find(digits)?)?;
        debug_assert_eq!(usize::from(row.pan_length), digits.len(), "a row of the card's length");
        debug_assert!(digits.starts_with(row.bin.digits()), "a row whose BIN begins the card");
        Some(row)
    }

    /// The rows of cards that begin with these digits: for each card length the longest BIN among
    /// those that the digits hold whole. A BIN longer than the digits is never claimed, but
    /// `PrefixMatches::has_longer_bins` tells that more digits may give another answer.
    pub fn lookup_prefix(&self, digits: &[u8], pan_length: Option<u8>) -> PrefixMatches<'_> {
        let mut matches = PrefixMatches { rows: [None; PAN_LENGTHS], has_longer_bins: false };
        if digits.len() > PAN_LENGTH_MAX || !digits.iter().all(u8::is_ascii_digit) {
            return matches;
        }
        let asked = |row: &BinRow| {
            let length = usize::from(row.pan_length);
            pan_length.is_none_or(|asked| asked == row.pan_length) && length >= digits.len()
        };
        // Shorter BINs come first, so a longer one takes its place.
        for length in BIN_LENGTH_MIN..=digits.len().min(BIN_LENGTH_MAX) {
            let bin = Bin::from_digits(&digits[..length]).expect("2 to 12 digits were cut");
            for row in self.rows_of(bin).iter().filter(|row| asked(row)) {
                matches.rows[usize::from(row.pan_length) - PAN_LENGTH_MIN] = Some(row);
            }
        }
        matches.has_longer_bins = self.rows_below(digits).iter().any(|row| asked(row));
        matches
    }

    /// The row with exactly this key.
    pub fn row(&self, bin: Bin, pan_length: u8) -> Option<&Arc<BinRow>> {
        self.rows.get(self.place((bin, pan_length))?)
    }

    /// What is said of a row of this table; nothing of any other.
    pub fn marks(&self, row: &BinRow) -> RowMarks {
        let place = self.place(row.key());
        place.and_then(|place| self.marks.get(place)).copied().unwrap_or_default()
    }

    /// The issuer's name as the source of the row has it.
    pub fn stated_name<'a>(&'a self, row: &'a BinRow) -> &'a str {
        self.stated_names.get(&row.key()).unwrap_or(&row.issuer_name)
    }

    /// The changes of issuers' names that its rows show.
    pub fn issuers(&self) -> &IssuerChanges {
        &self.issuers
    }

    fn place(&self, key: (Bin, u8)) -> Option<usize> {
        self.rows.binary_search_by_key(&key, |row| row.key()).ok()
    }

    /// All rows, sorted by BIN as text, then by card length.
    pub fn rows(&self) -> &[Arc<BinRow>] {
        &self.rows
    }

    pub fn len(&self) -> usize {
        self.rows.len()
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The rows with exactly this BIN, one for each card length.
    fn rows_of(&self, bin: Bin) -> &[Arc<BinRow>] {
        let first = self.rows.partition_point(|row| row.bin < bin);
        let after = first + self.rows[first..].partition_point(|row| row.bin == bin);
        &self.rows[first..after]
    }

    /// The rows whose BIN begins with these digits and is longer.
    fn rows_below(&self, digits: &[u8]) -> &[Arc<BinRow>] {
        let first = self.rows.partition_point(|row| row.bin.digits() <= digits);
        let below = |row: &Arc<BinRow>| row.bin.digits().starts_with(digits);
        let after = first + self.rows[first..].partition_point(below);
        &self.rows[first..after]
    }
}

impl fmt::Debug for BinTable {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "BinTable({} rows)", self.rows.len())
    }
}

/// The rows that a prefix can lead to: one at most for each card length.
#[derive(Debug, Clone)]
pub struct PrefixMatches<'table> {
    rows: [Option<&'table Arc<BinRow>>; PAN_LENGTHS],
    /// Whether longer BINs lie inside the prefix, so that more digits may give another answer.
    pub has_longer_bins: bool,
}

impl<'table> PrefixMatches<'table> {
    /// The rows by ascending card length.
    pub fn rows(&self) -> impl Iterator<Item = &'table Arc<BinRow>> {
        self.rows.iter().copied().flatten()
    }

    pub fn is_empty(&self) -> bool {
        self.rows.iter().all(Option::is_none)
    }
}

#[cfg(test)]
mod tests;
