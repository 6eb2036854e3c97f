//! A row of the BIN table in the one outer form that API and command line share.

use serde::{Serialize, Serializer};

use crate::domain::bin::{BinRow, Brand, CardBrands};

/// The fields of a row, borrowed.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct RowView<'row> {
    pub bin: &'row str,
    pub pan_length: u8,
    pub issuer_code: &'row str,
    pub issuer_name: &'row str,
    pub card_name: &'row str,
    pub card_type: &'static str,
    /// The brand in whose range the number lies: the first of `brands`.
    pub brand: &'static str,
    #[serde(serialize_with = "names")]
    pub brands: CardBrands,
}

fn names<S: Serializer>(brands: &CardBrands, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(brands.iter().map(Brand::name))
}

impl<'row> From<&'row BinRow> for RowView<'row> {
    fn from(row: &'row BinRow) -> Self {
        Self {
            bin: row.bin.as_str(),
            pan_length: row.pan_length,
            issuer_code: &row.issuer_code,
            issuer_name: &row.issuer_name,
            card_name: &row.card_name,
            card_type: row.card_type.name(),
            brand: row.brands.first.name(),
            brands: row.brands,
        }
    }
}
