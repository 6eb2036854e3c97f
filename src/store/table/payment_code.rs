//! Codes of payments, by the caller's id of the payment: it belongs to one of them (I-9).

use serde::{Deserialize, Serialize};

use crate::domain::closed_set::StoredNumber;
use crate::domain::ids::{AgreementId, CallerId, CallerOrderId, ChannelId, MerchantId, OrderId};
use crate::domain::payment_code::{CodeCall, CodePayer, PaymentCode, PaymentCodeRequest};
use crate::domain::write_set::WriteSet;
use crate::store::form::{StoredFields, decode, decode_head, encode, millis, text};
use crate::store::head::{Entries, Head};
use crate::store::key::{Key, Parts};
use crate::store::plan::CommitPlan;
use crate::store::row::{Table, Versioned, get, plan_put};
use crate::store::sorted::StoreResult;
use crate::store::sql::read::parameters;
use crate::store::sql::step::{SqlPlan, Step, VersionChange, versioned};
use crate::store::sql::table::{SqlFields, SqlTable, sql_columns};
use crate::store::{CommitError, Store, StoreError, StoreRead};

const CODES: StoredFields = StoredFields { table: "payment_codes" };
const LETTER: u8 = b'P';

pub(in crate::store) struct PaymentCodes;

impl Table for PaymentCodes {
    type Row = PaymentCode;

    const NAME: &'static str = CODES.table;
    const LETTERS: &'static [(u8, &'static str)] = &[(LETTER, "codes of payments")];
    const SCATTERED: &'static [u8] = &[LETTER];

    fn key(row: &PaymentCode) -> Vec<u8> {
        key_of(row.asked.caller.as_str(), row.asked.caller_order_id.as_str())
    }

    fn encode(row: &PaymentCode) -> Vec<u8> {
        code_bytes(row)
    }

    fn decode(key: &[u8], bytes: &[u8]) -> StoreResult<PaymentCode> {
        let mut parts = Parts::of(key);
        let caller = CallerId::from_stored(parts.text()?);
        read_code(caller, CallerOrderId::from_stored(parts.text()?), bytes)
    }

    fn entries(key: &[u8], bytes: &[u8]) -> StoreResult<Entries> {
        Self::head(key, bytes).map(|head| head.entries)
    }

    fn plan(writes: &WriteSet, plan: &mut CommitPlan) {
        plan_put::<Self>(&writes.payment_codes, plan);
    }

    fn sql_steps() -> Vec<Step> {
        versioned::<Self>().into()
    }

    fn sql_plan(writes: &WriteSet, plan: &mut SqlPlan) -> Result<(), CommitError> {
        let rows = writes.payment_codes.iter().map(|row| (row.version, VersionChange::Put(row)));
        plan.replace::<Self>(0, rows)
    }
}

impl Versioned for PaymentCodes {
    fn version(row: &PaymentCode) -> u32 {
        row.version
    }

    fn head(_key: &[u8], bytes: &[u8]) -> StoreResult<Head> {
        let version = decode_head(CODES.table, bytes)?;
        Ok(Head { version, entries: Entries::default() })
    }
}

fn key_of(caller: &str, caller_order_id: &str) -> Vec<u8> {
    Key::of(LETTER).text(caller).text(caller_order_id).0
}

const fn pan_digest(row: &PaymentCode) -> Option<u128> {
    match row.asked.payer {
        CodePayer::Card { pan } => Some(pan),
        CodePayer::Agreement(_) => None,
    }
}

const fn agreement(row: &PaymentCode) -> Option<AgreementId> {
    match row.asked.payer {
        CodePayer::Card { .. } => None,
        CodePayer::Agreement(id) => Some(id),
    }
}

impl SqlTable for PaymentCodes {
    type Written<'a> = &'a PaymentCode;
    type Row = PaymentCode;

    sql_columns! {
        row: "payment_codes";
        key {
            caller: row.asked.caller.as_str(),
            caller_order_id: row.asked.caller_order_id.as_str(),
        }
        fixed {
            kind: row.asked.kind,
            merchant_id: row.asked.merchant_id.as_str(),
            amount_minor: row.asked.amount,
            currency: row.asked.currency,
            pan_digest: pan_digest(row),
            agreement: agreement(row),
            created_at: row.created_at,
        }
        changing {
            version: row.version,
            channel: row.channel.as_str(),
            state: row.state,
            last_order: row.last_call.order,
            last_sent_at: row.last_call.sent_at,
            standing_order: row.standing.map(|call| call.order),
            standing_sent_at: row.standing.map(|call| call.sent_at),
            requests: row.requests,
            reason: row.reason,
            unknown_cause: row.unknown_cause,
            code: row.code.as_deref(),
            changed_at: row.changed_at,
        }
    }

    fn read(row: &SqlFields<'_>) -> StoreResult<PaymentCode> {
        let payer = match row.get("agreement")? {
            Some(id) => CodePayer::Agreement(id),
            None => CodePayer::Card { pan: row.get("pan_digest")? },
        };
        let standing = match row.get("standing_order")? {
            Some(order) => Some(CodeCall { order, sent_at: row.get("standing_sent_at")? }),
            None => None,
        };
        Ok(PaymentCode {
            asked: PaymentCodeRequest {
                caller: row.get("caller")?,
                caller_order_id: row.get("caller_order_id")?,
                kind: row.get("kind")?,
                merchant_id: row.get("merchant_id")?,
                amount: row.get("amount_minor")?,
                currency: row.get("currency")?,
                payer,
            },
            version: row.get("version")?,
            channel: row.get("channel")?,
            state: row.get("state")?,
            last_call: CodeCall {
                order: row.get("last_order")?,
                sent_at: row.get("last_sent_at")?,
            },
            standing,
            requests: row.get("requests")?,
            reason: row.get("reason")?,
            unknown_cause: row.get("unknown_cause")?,
            code: row.get("code")?,
            created_at: row.get("created_at")?,
            changed_at: row.get("changed_at")?,
        })
    }
}

impl dyn Store + '_ {
    /// The code of a caller's payment to come, or of one that has come.
    pub fn payment_code(
        &self,
        caller: CallerId,
        caller_order_id: CallerOrderId,
    ) -> StoreRead<'_, Option<PaymentCode>> {
        if let Some(tables) = self.tables() {
            return tables.one::<PaymentCodes>(
                "WHERE t.caller = $1 AND t.caller_order_id = $2",
                parameters![caller, caller_order_id],
            );
        }
        let key = key_of(caller.as_str(), caller_order_id.as_str());
        self.look(move |rows| get::<PaymentCodes>(rows, &key))
    }
}

#[derive(Serialize, Deserialize)]
struct CodeRecord<'a> {
    version: u32,
    kind: u8,
    merchant_id: &'a str,
    amount_minor: i64,
    currency: u8,
    payer: PayerRecord,
    channel: &'a str,
    state: u8,
    last_call: CodeCallRecord,
    standing: Option<CodeCallRecord>,
    requests: u8,
    reason: Option<u8>,
    unknown_cause: Option<u8>,
    code: Option<&'a str>,
    created_at: u64,
    changed_at: u64,
}

/// `postcard` numbers the variants by their place: new ones are added at the end.
#[derive(Serialize, Deserialize)]
enum PayerRecord {
    Card([u8; 16]),
    Agreement(#[serde(with = "postcard::fixint::le")] u64),
}

#[derive(Serialize, Deserialize)]
struct CodeCallRecord {
    #[serde(with = "postcard::fixint::le")]
    order: u64,
    sent_at: u64,
}

fn call_record(call: CodeCall) -> CodeCallRecord {
    CodeCallRecord { order: call.order.as_u64(), sent_at: millis(call.sent_at) }
}

fn read_call(record: &CodeCallRecord) -> Result<CodeCall, StoreError> {
    Ok(CodeCall { order: OrderId::from_u64(record.order), sent_at: CODES.time(record.sent_at)? })
}

fn code_bytes(row: &PaymentCode) -> Vec<u8> {
    encode(&CodeRecord {
        version: row.version,
        kind: row.asked.kind.number(),
        merchant_id: row.asked.merchant_id.as_str(),
        amount_minor: row.asked.amount.get(),
        currency: row.asked.currency.number(),
        payer: match row.asked.payer {
            CodePayer::Card { pan } => PayerRecord::Card(pan.to_le_bytes()),
            CodePayer::Agreement(id) => PayerRecord::Agreement(id.as_u64()),
        },
        channel: row.channel.as_str(),
        state: row.state.number(),
        last_call: call_record(row.last_call),
        standing: row.standing.map(call_record),
        requests: row.requests,
        reason: row.reason.map(StoredNumber::number),
        unknown_cause: row.unknown_cause.map(StoredNumber::number),
        code: row.code.as_deref(),
        created_at: millis(row.created_at),
        changed_at: millis(row.changed_at),
    })
}

fn read_code(
    caller: CallerId,
    caller_order_id: CallerOrderId,
    bytes: &[u8],
) -> Result<PaymentCode, StoreError> {
    let fields = CODES;
    let record: CodeRecord<'_> = decode(fields.table, bytes)?;
    Ok(PaymentCode {
        asked: PaymentCodeRequest {
            caller,
            caller_order_id,
            kind: fields.code("kind", record.kind)?,
            merchant_id: MerchantId::from_stored(record.merchant_id),
            amount: fields.amount(record.amount_minor)?,
            currency: fields.currency(record.currency)?,
            payer: match record.payer {
                PayerRecord::Card(pan) => CodePayer::Card { pan: u128::from_le_bytes(pan) },
                PayerRecord::Agreement(id) => CodePayer::Agreement(AgreementId::from_u64(id)),
            },
        },
        version: record.version,
        channel: ChannelId::from_stored(record.channel),
        state: fields.code("state", record.state)?,
        last_call: read_call(&record.last_call)?,
        standing: record.standing.as_ref().map(read_call).transpose()?,
        requests: record.requests,
        reason: fields.code_option("reason", record.reason)?,
        unknown_cause: fields.code_option("unknown_cause", record.unknown_cause)?,
        code: text(record.code),
        created_at: fields.time(record.created_at)?,
        changed_at: fields.time(record.changed_at)?,
    })
}
