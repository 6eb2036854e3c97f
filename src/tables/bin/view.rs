//! A row of the BIN table in the one outer form that API and command line share.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::diff::{BinRowChange, NameChange, NameChangeKind, RowChangeKind};
use crate::codec::word;
use crate::domain::bin::{BinRow, BinTable, Brand, CardBrands, IssuerChange, StatedDate};
use crate::domain::time::Timestamp;

/// A date as its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatedText(pub StatedDate);

impl Serialize for StatedText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl JsonSchema for StatedText {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "StatedDate".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string", "pattern": "^[0-9]{4}(-[0-9]{2}(-[0-9]{2})?)?$",
            "examples": ["2018-06"],
        })
    }
}

impl<'de> Deserialize<'de> for StatedText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let date = StatedDate::parse(&text);
        date.map(Self).ok_or_else(|| D::Error::custom("a date is YYYY, YYYY-MM or YYYY-MM-DD"))
    }
}

/// A table with what is needed to say how old its facts are.
#[derive(Debug, Clone, Copy)]
pub struct DatedTable<'table> {
    pub table: &'table BinTable,
    /// Of all rows that state no other date; `None` where nobody knows.
    pub as_of: Option<StatedDate>,
    pub now: Timestamp,
}

/// The fields of a row, borrowed.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(rename = "BinRow")]
pub struct RowView<'row> {
    /// The first digits of its cards' numbers.
    pub bin: &'row str,
    /// The length of its cards' numbers.
    pub pan_length: u8,
    /// The issuer's code.
    pub issuer_code: &'row str,
    /// Of today.
    pub issuer_name: &'row str,
    /// The names that the issuer had before.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub issuer_former_names: Vec<&'row str>,
    /// The card's name.
    pub card_name: &'row str,
    /// What kind of card it is.
    #[schemars(with = "word::CardTypeWord")]
    pub card_type: &'static str,
    /// The brand in whose range the number lies: the first of `brands`.
    #[schemars(with = "word::BrandWord")]
    pub brand: &'static str,
    /// Every scheme that takes such a card.
    #[serde(serialize_with = "names")]
    #[schemars(with = "Vec<word::BrandWord>")]
    pub brands: CardBrands,
    /// When the source of the row stated it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub as_of: Option<StatedText>,
    /// Whole days since then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub age_days: Option<u32>,
    /// Since when the row is a fact no more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retired: Option<StatedText>,
}

fn names<S: Serializer>(brands: &CardBrands, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(brands.iter().map(Brand::name))
}

impl<'row> RowView<'row> {
    /// A row of this table.
    pub fn of(row: &'row BinRow, dated: DatedTable<'row>) -> Self {
        let marks = dated.table.marks(row);
        let as_of = marks.as_of.or(dated.as_of);
        Self {
            bin: row.bin.as_str(),
            pan_length: row.pan_length,
            issuer_code: &row.issuer_code,
            issuer_name: &row.issuer_name,
            issuer_former_names: dated.table.issuers().former(&row.issuer_code, &row.issuer_name),
            card_name: &row.card_name,
            card_type: row.card_type.name(),
            brand: row.brands.first.name(),
            brands: row.brands,
            as_of: as_of.map(StatedText),
            age_days: as_of.map(|date| date.age_days(dated.now)),
            retired: marks.retired.map(StatedText),
        }
    }
}

/// A row that differs between two versions, as it was and as it is.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(rename = "BinRowChange")]
pub struct RowChangeView<'row> {
    /// The first digits of its cards' numbers.
    pub bin: &'row str,
    /// The length of its cards' numbers.
    pub pan_length: u8,
    /// In what it differs.
    pub kinds: Vec<RowChangeKind>,
    /// The row as it was; absent where it was added.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<RowView<'row>>,
    /// The row as it is; absent where it was removed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<RowView<'row>>,
}

impl<'row> RowChangeView<'row> {
    /// A change from one of these tables to the other one; `None` where it has no row.
    pub fn of(
        change: BinRowChange<'row>,
        before: DatedTable<'row>,
        after: DatedTable<'row>,
    ) -> Option<Self> {
        let row = change.new.or(change.old)?;
        Some(Self {
            bin: row.bin.as_str(),
            pan_length: row.pan_length,
            kinds: change.kinds,
            before: change.old.map(|row| RowView::of(row, before)),
            after: change.new.map(|row| RowView::of(row, after)),
        })
    }
}

/// What an issuer's name has changed to.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(rename = "BinIssuerName")]
pub struct IssuerNameView<'row> {
    /// The name behind the change.
    pub new_name: &'row str,
    /// When it came into force.
    pub date: StatedText,
    /// Who says so: an address or a publication.
    pub source: &'row str,
}

impl<'row> From<&'row IssuerChange> for IssuerNameView<'row> {
    fn from(change: &'row IssuerChange) -> Self {
        Self { new_name: &change.new_name, date: StatedText(change.date), source: &change.source }
    }
}

/// A change of an issuer's name that differs between two versions, as it was and as it is.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(rename = "BinIssuerNameChange")]
pub struct NameChangeView<'row> {
    /// The issuer's code.
    pub issuer_code: &'row str,
    /// The name before the change.
    pub old_name: &'row str,
    /// In what it differs.
    pub kind: NameChangeKind,
    /// The change as it was; absent where it was added.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<IssuerNameView<'row>>,
    /// The change as it is; absent where it was removed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<IssuerNameView<'row>>,
}

impl<'row> NameChangeView<'row> {
    /// `None` where the change has neither.
    pub fn of(change: NameChange<'row>) -> Option<Self> {
        let (issuer_code, old_name) = change.new.or(change.old)?.key();
        let (before, after) = (change.old.map(Into::into), change.new.map(Into::into));
        Some(Self { issuer_code, old_name, kind: change.kind, before, after })
    }
}
