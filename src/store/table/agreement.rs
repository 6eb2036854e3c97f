//! Agreements, by id. A caller's id belongs to one of them (I-9); a merchant has a list of its own.

mod search;

use serde::{Deserialize, Serialize};

use super::card::{
    CardRecord, SealedRecord, card_record, field_digests, read_card, read_card_columns,
    read_sealed, read_sealed_columns, sealed_record,
};
use crate::domain::agreement::{Agreement, AgreementCall, AgreementRequest};
use crate::domain::bin::BinRow;
use crate::domain::card::CardFacts;
use crate::domain::closed_set::StoredNumber;
use crate::domain::ids::{AgreementId, CallerId, CallerOrderId, ChannelId, MerchantId};
use crate::domain::write_set::WriteSet;
use crate::store::form::{StoredFields, decode, decode_head, encode, millis, text};
use crate::store::head::{Entries, Head};
use crate::store::key::{Key, Parts, order_key};
use crate::store::plan::CommitPlan;
use crate::store::row::{Table, Versioned, get, holder, plan_put};
use crate::store::sorted::StoreResult;
use crate::store::sql::read::parameters;
use crate::store::sql::step::{SqlPlan, Step, VersionChange, versioned};
use crate::store::sql::table::{SqlFields, SqlTable, sql_columns};
use crate::store::{CommitError, Store, StoreError, StoreRead};

pub use search::AgreementPage;

const AGREEMENTS: StoredFields = StoredFields { table: "agreements" };
const LETTER: u8 = b'Y';
const CALLER: u8 = b'y';
const MERCHANT: u8 = b'x';

pub(in crate::store) struct Agreements;

impl Table for Agreements {
    type Row = Agreement;

    const NAME: &'static str = AGREEMENTS.table;
    const LETTERS: &'static [(u8, &'static str)] = &[
        (LETTER, "agreements"),
        (CALLER, "callers' ids of agreements"),
        (MERCHANT, "agreements by merchant"),
    ];
    const SCATTERED: &'static [u8] = &[CALLER, MERCHANT];

    fn key(row: &Agreement) -> Vec<u8> {
        order_key(LETTER, row.id.chain())
    }

    fn encode(row: &Agreement) -> Vec<u8> {
        agreement_bytes(row)
    }

    fn decode(key: &[u8], bytes: &[u8]) -> StoreResult<Agreement> {
        read_agreement(AgreementId::of(Parts::of(key).order()?), bytes)
    }

    fn entries(key: &[u8], bytes: &[u8]) -> StoreResult<Entries> {
        Self::head(key, bytes).map(|head| head.entries)
    }

    fn plan(writes: &WriteSet, plan: &mut CommitPlan) {
        plan_put::<Self>(&writes.agreements, plan);
    }

    fn sql_steps() -> Vec<Step> {
        versioned::<Self>().into()
    }

    fn sql_plan(writes: &WriteSet, plan: &mut SqlPlan) -> Result<(), CommitError> {
        let rows = writes.agreements.iter().map(|row| (row.version, VersionChange::Put(row)));
        plan.replace::<Self>(0, rows)
    }
}

impl Versioned for Agreements {
    fn version(row: &Agreement) -> u32 {
        row.version
    }

    fn head(key: &[u8], bytes: &[u8]) -> StoreResult<Head> {
        let head: AgreementHead<'_> = decode_head(AGREEMENTS.table, bytes)?;
        let mut entries = Entries::default();
        entries.unique.push(caller_key(head.caller, head.caller_order_id));
        entries.add(merchant_prefix(head.merchant_id), key);
        Ok(Head { version: head.version, entries })
    }
}

fn caller_key(caller: &str, caller_order_id: &str) -> Vec<u8> {
    Key::of(CALLER).text(caller).text(caller_order_id).0
}

fn merchant_prefix(merchant: &str) -> Vec<u8> {
    Key::of(MERCHANT).text(merchant).0
}

fn bin_row(row: &Agreement) -> Option<&BinRow> {
    row.asked.card.row.as_deref()
}

impl SqlTable for Agreements {
    type Written<'a> = &'a Agreement;
    type Row = Agreement;

    sql_columns! {
        row: "agreements";
        key { id: row.id, }
        fixed {
            caller: row.asked.caller.as_str(),
            caller_order_id: row.asked.caller_order_id.as_str(),
            merchant_id: row.asked.merchant_id.as_str(),
            card_masked: row.asked.card.masked.as_str(),
            pan_digest: row.asked.card.digests.pan,
            field_digests: field_digests(&row.asked.card),
            bin: bin_row(row).map(|row| row.bin.as_str()),
            pan_length: bin_row(row).map(|row| row.pan_length),
            issuer_code: bin_row(row).map(|row| row.issuer_code.as_str()),
            issuer_name: bin_row(row).map(|row| row.issuer_name.as_str()),
            card_name: bin_row(row).map(|row| row.card_name.as_str()),
            card_type: bin_row(row).map(|row| row.card_type),
            brand: bin_row(row).map(|row| row.brands.first),
            second_brand: bin_row(row).and_then(|row| row.brands.second),
            phone_masked: row.asked.phone.as_str(),
            channel: row.channel.as_str(),
            created_at: row.created_at,
        }
        changing {
            version: row.version,
            state: row.state,
            last_number: row.last_call.number,
            last_sent_at: row.last_call.sent_at,
            confirmation_number: row.confirmation.map(|call| call.number),
            confirmation_sent_at: row.confirmation.map(|call| call.sent_at),
            codes_sent: row.codes_sent,
            codes_refused: row.codes_refused,
            reason: row.reason,
            unknown_cause: row.unknown_cause,
            code: row.code.as_deref(),
            transcript: row.transcript.as_str(),
            sealed_key: row.token.as_ref().map(|sealed| sealed.key_id.as_str()),
            sealed_nonce: row.token.as_ref().map(|sealed| sealed.nonce),
            sealed_pan: row.token.as_ref().map(|sealed| sealed.bytes.as_slice()),
            ends_at: row.ends_at,
            changed_at: row.changed_at,
        }
    }

    fn read(row: &SqlFields<'_>) -> StoreResult<Agreement> {
        let confirmation = match row.get("confirmation_number")? {
            Some(number) => {
                Some(AgreementCall { number, sent_at: row.get("confirmation_sent_at")? })
            }
            None => None,
        };
        let card: Option<CardFacts> = read_card_columns(row)?;
        Ok(Agreement {
            id: row.get("id")?,
            version: row.get("version")?,
            asked: AgreementRequest {
                caller: row.get("caller")?,
                caller_order_id: row.get("caller_order_id")?,
                merchant_id: row.get("merchant_id")?,
                card: card.ok_or_else(|| row.damaged("card_masked"))?,
                phone: row.get("phone_masked")?,
            },
            channel: row.get("channel")?,
            state: row.get("state")?,
            last_call: AgreementCall {
                number: row.get("last_number")?,
                sent_at: row.get("last_sent_at")?,
            },
            confirmation,
            codes_sent: row.get("codes_sent")?,
            codes_refused: row.get("codes_refused")?,
            reason: row.get("reason")?,
            unknown_cause: row.get("unknown_cause")?,
            code: row.get("code")?,
            transcript: row.get("transcript")?,
            token: read_sealed_columns(row)?,
            ends_at: row.get("ends_at")?,
            created_at: row.get("created_at")?,
            changed_at: row.get("changed_at")?,
        })
    }
}

impl dyn Store + '_ {
    pub fn agreement(&self, id: AgreementId) -> StoreRead<'_, Option<Agreement>> {
        if let Some(tables) = self.tables() {
            return tables.one::<Agreements>("WHERE t.id = $1", parameters![id]);
        }
        self.look(move |rows| get::<Agreements>(rows, &order_key(LETTER, id.chain())))
    }

    pub fn agreement_by_caller(
        &self,
        caller: CallerId,
        caller_order_id: CallerOrderId,
    ) -> StoreRead<'_, Option<Agreement>> {
        if let Some(tables) = self.tables() {
            return tables.one::<Agreements>(
                "WHERE t.caller = $1 AND t.caller_order_id = $2",
                parameters![caller, caller_order_id],
            );
        }
        let entry = caller_key(caller.as_str(), caller_order_id.as_str());
        self.look(move |rows| holder::<Agreements>(rows, &entry))
    }
}

#[derive(Serialize, Deserialize)]
struct AgreementHead<'a> {
    version: u32,
    caller: &'a str,
    caller_order_id: &'a str,
    merchant_id: &'a str,
}

/// Begins with the fields of [`AgreementHead`].
#[derive(Serialize, Deserialize)]
struct AgreementRecord<'a> {
    #[serde(borrow)]
    head: AgreementHead<'a>,
    card: CardRecord<'a>,
    phone: &'a str,
    channel: &'a str,
    state: u8,
    last_call: CallRecord,
    confirmation: Option<CallRecord>,
    codes_sent: u8,
    codes_refused: u8,
    reason: Option<u8>,
    unknown_cause: Option<u8>,
    code: Option<&'a str>,
    transcript: &'a str,
    token: Option<SealedRecord<'a>>,
    ends_at: Option<u64>,
    created_at: u64,
    changed_at: u64,
}

#[derive(Serialize, Deserialize)]
struct CallRecord {
    number: u8,
    sent_at: u64,
}

fn call_record(call: AgreementCall) -> CallRecord {
    CallRecord { number: call.number, sent_at: millis(call.sent_at) }
}

fn read_call(record: &CallRecord) -> Result<AgreementCall, StoreError> {
    Ok(AgreementCall { number: record.number, sent_at: AGREEMENTS.time(record.sent_at)? })
}

fn agreement_bytes(row: &Agreement) -> Vec<u8> {
    let asked = &row.asked;
    encode(&AgreementRecord {
        head: AgreementHead {
            version: row.version,
            caller: asked.caller.as_str(),
            caller_order_id: asked.caller_order_id.as_str(),
            merchant_id: asked.merchant_id.as_str(),
        },
        card: card_record(&asked.card),
        phone: &asked.phone,
        channel: row.channel.as_str(),
        state: row.state.number(),
        last_call: call_record(row.last_call),
        confirmation: row.confirmation.map(call_record),
        codes_sent: row.codes_sent,
        codes_refused: row.codes_refused,
        reason: row.reason.map(StoredNumber::number),
        unknown_cause: row.unknown_cause.map(StoredNumber::number),
        code: row.code.as_deref(),
        transcript: &row.transcript,
        token: row.token.as_ref().map(sealed_record),
        ends_at: row.ends_at.map(millis),
        created_at: millis(row.created_at),
        changed_at: millis(row.changed_at),
    })
}

fn read_agreement(id: AgreementId, bytes: &[u8]) -> Result<Agreement, StoreError> {
    let fields = AGREEMENTS;
    let record: AgreementRecord<'_> = decode(fields.table, bytes)?;
    Ok(Agreement {
        id,
        version: record.head.version,
        asked: AgreementRequest {
            caller: CallerId::from_stored(record.head.caller),
            caller_order_id: CallerOrderId::from_stored(record.head.caller_order_id),
            merchant_id: MerchantId::from_stored(record.head.merchant_id),
            card: read_card(fields.table, record.card)?,
            phone: record.phone.to_owned(),
        },
        channel: ChannelId::from_stored(record.channel),
        state: fields.code("state", record.state)?,
        last_call: read_call(&record.last_call)?,
        confirmation: record.confirmation.as_ref().map(read_call).transpose()?,
        codes_sent: record.codes_sent,
        codes_refused: record.codes_refused,
        reason: fields.code_option("reason", record.reason)?,
        unknown_cause: fields.code_option("unknown_cause", record.unknown_cause)?,
        code: text(record.code),
        transcript: record.transcript.to_owned(),
        token: record.token.as_ref().map(read_sealed),
        ends_at: fields.time_option(record.ends_at)?,
        created_at: fields.time(record.created_at)?,
        changed_at: fields.time(record.changed_at)?,
    })
}
