//! Card verifications, by id. A caller's id belongs to one of them (I-9).

use serde::{Deserialize, Serialize};

use crate::domain::card::CardDigests;
use crate::domain::closed_set::StoredNumber;
use crate::domain::ids::{CallerId, CallerOrderId, ChannelId, MerchantId, VerificationId};
use crate::domain::verification::{CardVerification, VerificationEnd, VerificationRequest};
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

const VERIFICATIONS: StoredFields = StoredFields { table: "verifications" };
const LETTER: u8 = b'K';
const CALLER: u8 = b'v';

pub(in crate::store) struct Verifications;

impl Table for Verifications {
    type Row = CardVerification;

    const NAME: &'static str = VERIFICATIONS.table;
    const LETTERS: &'static [(u8, &'static str)] =
        &[(LETTER, "verifications"), (CALLER, "callers' ids of verifications")];
    const SCATTERED: &'static [u8] = &[CALLER];

    fn key(row: &CardVerification) -> Vec<u8> {
        order_key(LETTER, row.id.chain())
    }

    fn encode(row: &CardVerification) -> Vec<u8> {
        verification_bytes(row)
    }

    fn decode(key: &[u8], bytes: &[u8]) -> StoreResult<CardVerification> {
        read_verification(VerificationId::of(Parts::of(key).order()?), bytes)
    }

    fn entries(key: &[u8], bytes: &[u8]) -> StoreResult<Entries> {
        Self::head(key, bytes).map(|head| head.entries)
    }

    fn plan(writes: &WriteSet, plan: &mut CommitPlan) {
        plan_put::<Self>(&writes.verifications, plan);
    }

    fn sql_steps() -> Vec<Step> {
        versioned::<Self>().into()
    }

    fn sql_plan(writes: &WriteSet, plan: &mut SqlPlan) -> Result<(), CommitError> {
        let rows = writes.verifications.iter().map(|row| (row.version, VersionChange::Put(row)));
        plan.replace::<Self>(0, rows)
    }
}

impl Versioned for Verifications {
    fn version(row: &CardVerification) -> u32 {
        row.version
    }

    fn head(_key: &[u8], bytes: &[u8]) -> StoreResult<Head> {
        let head: HeadRecord<'_> = decode_head(VERIFICATIONS.table, bytes)?;
        let mut entries = Entries::default();
        entries.unique.push(caller_key(head.caller, head.caller_order_id));
        Ok(Head { version: head.version, entries })
    }
}

fn caller_key(caller: &str, caller_order_id: &str) -> Vec<u8> {
    Key::of(CALLER).text(caller).text(caller_order_id).0
}

/// The digests of holder, kind and number of the document, and phone, in this order.
fn element_digests(row: &CardVerification) -> Vec<u8> {
    let CardDigests { pan: _, expiry: _, holder, id_type, id_number, phone } = row.asked.digests;
    [holder, id_type, id_number, phone].map(u64::to_le_bytes).concat()
}

impl SqlTable for Verifications {
    type Written<'a> = &'a CardVerification;
    type Row = CardVerification;

    sql_columns! {
        row: "verifications";
        key { id: row.id, }
        fixed {
            caller: row.asked.caller.as_str(),
            caller_order_id: row.asked.caller_order_id.as_str(),
            merchant_id: row.asked.merchant_id.as_str(),
            pan_digest: row.asked.digests.pan,
            element_digests: element_digests(row),
            created_at: row.created_at,
        }
        changing {
            version: row.version,
            channel: row.channel.as_str(),
            tries: row.tries,
            sent_at: row.sent_at,
            verdict: row.end.as_ref().map(|end| end.verdict),
            reason: row.end.as_ref().and_then(|end| end.reason),
            unknown_cause: row.end.as_ref().and_then(|end| end.unknown_cause),
            code: row.end.as_ref().and_then(|end| end.code.as_deref()),
            ended_at: row.end.as_ref().map(|end| end.at),
        }
    }

    fn read(row: &SqlFields<'_>) -> StoreResult<CardVerification> {
        let digests: [u8; 32] = row.get("element_digests")?;
        let (digests, _) = digests.as_chunks::<8>();
        let [holder, id_type, id_number, phone] =
            [0, 1, 2, 3].map(|place| u64::from_le_bytes(digests[place]));
        let pan = row.get("pan_digest")?;
        let end = match row.get("verdict")? {
            Some(verdict) => Some(VerificationEnd {
                verdict,
                reason: row.get("reason")?,
                unknown_cause: row.get("unknown_cause")?,
                code: row.get("code")?,
                at: row.get("ended_at")?,
            }),
            None => None,
        };
        Ok(CardVerification {
            id: row.get("id")?,
            version: row.get("version")?,
            asked: VerificationRequest {
                caller: row.get("caller")?,
                caller_order_id: row.get("caller_order_id")?,
                merchant_id: row.get("merchant_id")?,
                digests: CardDigests { pan, expiry: 0, holder, id_type, id_number, phone },
            },
            channel: row.get("channel")?,
            tries: row.get("tries")?,
            sent_at: row.get("sent_at")?,
            created_at: row.get("created_at")?,
            end,
        })
    }
}

impl dyn Store + '_ {
    pub fn verification(&self, id: VerificationId) -> StoreRead<'_, Option<CardVerification>> {
        if let Some(tables) = self.tables() {
            return tables.one::<Verifications>("WHERE t.id = $1", parameters![id]);
        }
        self.look(move |rows| get::<Verifications>(rows, &order_key(LETTER, id.chain())))
    }

    pub fn verification_by_caller(
        &self,
        caller: CallerId,
        caller_order_id: CallerOrderId,
    ) -> StoreRead<'_, Option<CardVerification>> {
        if let Some(tables) = self.tables() {
            return tables.one::<Verifications>(
                "WHERE t.caller = $1 AND t.caller_order_id = $2",
                parameters![caller, caller_order_id],
            );
        }
        let entry = caller_key(caller.as_str(), caller_order_id.as_str());
        self.look(move |rows| holder::<Verifications>(rows, &entry))
    }
}

#[derive(Serialize, Deserialize)]
struct HeadRecord<'a> {
    version: u32,
    caller: &'a str,
    caller_order_id: &'a str,
}

/// Begins with the fields of [`HeadRecord`].
#[derive(Serialize, Deserialize)]
struct VerificationRecord<'a> {
    #[serde(borrow)]
    head: HeadRecord<'a>,
    merchant_id: &'a str,
    pan: [u8; 16],
    holder: Option<[u8; 8]>,
    id_type: Option<[u8; 8]>,
    id_number: Option<[u8; 8]>,
    phone: Option<[u8; 8]>,
    channel: &'a str,
    tries: u8,
    sent_at: u64,
    created_at: u64,
    end: Option<EndRecord<'a>>,
}

#[derive(Serialize, Deserialize)]
struct EndRecord<'a> {
    verdict: u8,
    reason: Option<u8>,
    unknown_cause: Option<u8>,
    code: Option<&'a str>,
    at: u64,
}

fn verification_bytes(row: &CardVerification) -> Vec<u8> {
    let asked = &row.asked;
    let some = |digest: u64| (digest != 0).then(|| digest.to_le_bytes());
    let CardDigests { pan, expiry: _, holder, id_type, id_number, phone } = asked.digests;
    encode(&VerificationRecord {
        head: HeadRecord {
            version: row.version,
            caller: asked.caller.as_str(),
            caller_order_id: asked.caller_order_id.as_str(),
        },
        merchant_id: asked.merchant_id.as_str(),
        pan: pan.to_le_bytes(),
        holder: some(holder),
        id_type: some(id_type),
        id_number: some(id_number),
        phone: some(phone),
        channel: row.channel.as_str(),
        tries: row.tries,
        sent_at: millis(row.sent_at),
        created_at: millis(row.created_at),
        end: row.end.as_ref().map(|end| EndRecord {
            verdict: end.verdict.number(),
            reason: end.reason.map(StoredNumber::number),
            unknown_cause: end.unknown_cause.map(StoredNumber::number),
            code: end.code.as_deref(),
            at: millis(end.at),
        }),
    })
}

fn read_verification(id: VerificationId, bytes: &[u8]) -> Result<CardVerification, StoreError> {
    let fields = VERIFICATIONS;
    let record: VerificationRecord<'_> = decode(fields.table, bytes)?;
    let digest = |stored: Option<[u8; 8]>| stored.map_or(0, u64::from_le_bytes);
    let end = record.end.map(|end| {
        Ok::<_, StoreError>(VerificationEnd {
            verdict: fields.code("verdict", end.verdict)?,
            reason: fields.code_option("reason", end.reason)?,
            unknown_cause: fields.code_option("unknown_cause", end.unknown_cause)?,
            code: text(end.code),
            at: fields.time(end.at)?,
        })
    });
    Ok(CardVerification {
        id,
        version: record.head.version,
        asked: VerificationRequest {
            caller: CallerId::from_stored(record.head.caller),
            caller_order_id: CallerOrderId::from_stored(record.head.caller_order_id),
            merchant_id: MerchantId::from_stored(record.merchant_id),
            digests: CardDigests {
                pan: u128::from_le_bytes(record.pan),
                expiry: 0,
                holder: digest(record.holder),
                id_type: digest(record.id_type),
                id_number: digest(record.id_number),
                phone: digest(record.phone),
            },
        },
        channel: ChannelId::from_stored(record.channel),
        tries: record.tries,
        sent_at: fields.time(record.sent_at)?,
        created_at: fields.time(record.created_at)?,
        end: end.transpose()?,
    })
}
