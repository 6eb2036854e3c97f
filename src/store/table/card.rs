//! What a row keeps of a card, and its sealed secrets: the same in every table that has them.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::domain::bin::{Bin, BinRow, CardBrands};
use crate::domain::card::{CardDigests, CardFacts, MaskedPan, SealedPan};
use crate::domain::closed_set::StoredNumber;
use crate::store::StoreError;
use crate::store::form::{StoredFields, wrong};
use crate::store::sql::table::SqlFields;

#[derive(Serialize, Deserialize)]
pub(super) struct CardRecord<'a> {
    pub(super) masked: &'a str,
    pub(super) pan: [u8; 16],
    expiry: Option<[u8; 8]>,
    holder: Option<[u8; 8]>,
    id_type: Option<[u8; 8]>,
    id_number: Option<[u8; 8]>,
    phone: Option<[u8; 8]>,
    #[serde(borrow)]
    pub(super) row: Option<BinRecord<'a>>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct BinRecord<'a> {
    bin: &'a str,
    pan_length: u8,
    pub(super) issuer_code: &'a str,
    issuer_name: &'a str,
    card_name: &'a str,
    card_type: u8,
    brand: u8,
    second_brand: Option<u8>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct SealedRecord<'a> {
    key_id: &'a str,
    nonce: [u8; 12],
    bytes: &'a [u8],
}

pub(super) fn sealed_record(sealed: &SealedPan) -> SealedRecord<'_> {
    SealedRecord { key_id: &sealed.key_id, nonce: sealed.nonce, bytes: &sealed.bytes }
}

pub(super) fn card_record(card: &CardFacts) -> CardRecord<'_> {
    let some = |digest: u64| (digest != 0).then(|| digest.to_le_bytes());
    let digests = &card.digests;
    CardRecord {
        masked: card.masked.as_str(),
        pan: digests.pan.to_le_bytes(),
        expiry: some(digests.expiry),
        holder: some(digests.holder),
        id_type: some(digests.id_type),
        id_number: some(digests.id_number),
        phone: some(digests.phone),
        row: card.row.as_ref().map(|row| BinRecord {
            bin: row.bin.as_str(),
            pan_length: row.pan_length,
            issuer_code: &row.issuer_code,
            issuer_name: &row.issuer_name,
            card_name: &row.card_name,
            card_type: row.card_type.number(),
            brand: row.brands.first.number(),
            second_brand: row.brands.second.map(StoredNumber::number),
        }),
    }
}

pub(super) fn read_sealed(record: &SealedRecord<'_>) -> SealedPan {
    SealedPan {
        key_id: record.key_id.to_owned(),
        nonce: record.nonce,
        bytes: record.bytes.to_vec(),
    }
}

pub(super) fn read_card(
    table: &'static str,
    record: CardRecord<'_>,
) -> Result<CardFacts, StoreError> {
    let fields = StoredFields { table };
    let digest = |stored: Option<[u8; 8]>| stored.map_or(0, u64::from_le_bytes);
    let digests = CardDigests {
        pan: u128::from_le_bytes(record.pan),
        expiry: digest(record.expiry),
        holder: digest(record.holder),
        id_type: digest(record.id_type),
        id_number: digest(record.id_number),
        phone: digest(record.phone),
    };
    let row = record.row.map(|row| {
        Ok::<_, StoreError>(Arc::new(BinRow {
            bin: Bin::parse(row.bin).map_err(|_| wrong(table, "bin"))?,
            pan_length: row.pan_length,
            issuer_code: row.issuer_code.to_owned(),
            issuer_name: row.issuer_name.to_owned(),
            card_name: row.card_name.to_owned(),
            card_type: fields.code("card_type", row.card_type)?,
            brands: CardBrands {
                first: fields.code("brand", row.brand)?,
                second: row.second_brand.map(|brand| fields.code("brand", brand)).transpose()?,
            },
        }))
    });
    Ok(CardFacts { masked: MaskedPan::from_stored(record.masked), digests, row: row.transpose()? })
}

/// The digests of expiry, holder, kind and number of the document, and phone, in this order.
pub(super) fn field_digests(card: &CardFacts) -> Vec<u8> {
    let CardDigests { pan: _, expiry, holder, id_type, id_number, phone } = card.digests;
    [expiry, holder, id_type, id_number, phone].map(u64::to_le_bytes).concat()
}

pub(super) fn read_card_columns(row: &SqlFields<'_>) -> Result<Option<CardFacts>, StoreError> {
    let Some(masked) = row.get::<Option<String>>("card_masked")? else { return Ok(None) };
    let digests: [u8; 40] = row.get("field_digests")?;
    let (digests, _) = digests.as_chunks::<8>();
    let [expiry, holder, id_type, id_number, phone] =
        [0, 1, 2, 3, 4].map(|place| u64::from_le_bytes(digests[place]));
    let bin = match row.get("bin")? {
        Some(bin) => Some(Arc::new(BinRow {
            bin,
            pan_length: row.get("pan_length")?,
            issuer_code: row.get("issuer_code")?,
            issuer_name: row.get("issuer_name")?,
            card_name: row.get("card_name")?,
            card_type: row.get("card_type")?,
            brands: CardBrands { first: row.get("brand")?, second: row.get("second_brand")? },
        })),
        None => None,
    };
    let pan = row.get("pan_digest")?;
    let digests = CardDigests { pan, expiry, holder, id_type, id_number, phone };
    Ok(Some(CardFacts { masked: MaskedPan::from_stored(&masked), digests, row: bin }))
}

pub(super) fn read_sealed_columns(row: &SqlFields<'_>) -> Result<Option<SealedPan>, StoreError> {
    let Some(key_id) = row.get("sealed_key")? else { return Ok(None) };
    Ok(Some(SealedPan { key_id, nonce: row.get("sealed_nonce")?, bytes: row.get("sealed_pan")? }))
}
