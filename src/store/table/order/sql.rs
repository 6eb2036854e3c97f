//! Orders, their attempts, and which of those are in flight, as tables of SQL.
//!
//! The caller's order id is unique by a constraint (I-9), and a final row is replaced by a final
//! one only (I-5).

use std::sync::Arc;

use crate::domain::attempt::{Attempt, AttemptState};
use crate::domain::bin::BinRow;
use crate::domain::card::CardFacts;
use crate::domain::fee::Fee;
use crate::domain::ids::{AgreementId, ChannelId, ChannelOrderNo, OrderId};
use crate::domain::instrument::InstrumentFacts;
use crate::domain::order::{Candidate, Claims, Instruction, Order, OrderKind, RouteVerdict};
use crate::domain::outcome::Objection;
use crate::domain::payee_account::{AccountDigests, AccountFacts, MaskedAccount};
use crate::domain::payer_code::{CodeFacts, MaskedCode};
use crate::domain::write_set::WriteSet;
use crate::store::sql::read::{Parameter, Tables, after_id, page_limit, parameter};
use crate::store::sql::step::{Answer, SqlPlan, Step, VersionChange, upsert, versioned};
use crate::store::sql::table::{SqlFields, SqlTable, composites, names, sql_columns};
use crate::store::sql::value::{SqlJson, SqlType};
use crate::store::{CommitError, StoreError, StoreRead};

use super::{Orders, TABLE};
use crate::store::table::card::{field_digests, read_card_columns, read_sealed_columns};

impl SqlTable for Orders {
    type Written<'a> = &'a Order;
    type Row = Order;

    const UPDATE_IF: &'static str =
        " AND (t.finished_at IS NULL OR u.status IN ('succeeded', 'failed', 'reversed'))";

    sql_columns! {
        order: "orders";
        key { id: order.id, }
        fixed {
            caller: order.instruction.caller.as_str(),
            caller_order_id: order.instruction.caller_order_id.as_str(),
            kind: order.instruction.kind.name(),
            original: order.instruction.kind.original(),
            original_attempt: original_attempt(order),
            merchant_id: order.instruction.merchant_id.as_str(),
            amount_minor: order.instruction.amount,
            currency: order.instruction.currency,
            settlement: order.instruction.settlement_mode,
            merchant_category: order.instruction.merchant_category,
            merchant_fee_minor: order.instruction.merchant_fee_minor,
            agreement: agreement(order),
            code_masked: code(order).map(|code| code.masked.as_str()),
            code_digest: code(order).map(|code| code.digest),
            account_kind: account(order).map(|account| account.kind),
            account_masked: account(order).map(|account| account.masked.as_str()),
            account_digest: account(order).map(|account| account.digests.id),
            account_name_digest: account(order).and_then(name_digest),
            card_masked: card(order).map(|card| card.masked.as_str()),
            pan_digest: card(order).map(|card| card.digests.pan),
            field_digests: card(order).map(field_digests),
            bin: bin_row(order).map(|row| row.bin.as_str()),
            pan_length: bin_row(order).map(|row| row.pan_length),
            issuer_code: bin_row(order).map(|row| row.issuer_code.as_str()),
            issuer_name: bin_row(order).map(|row| row.issuer_name.as_str()),
            card_name: bin_row(order).map(|row| row.card_name.as_str()),
            card_type: bin_row(order).map(|row| row.card_type),
            brand: bin_row(order).map(|row| row.brands.first),
            second_brand: bin_row(order).and_then(|row| row.brands.second),
            description: order.instruction.description.as_deref(),
            notify_url: order.instruction.notify_url.as_deref(),
            route: order.route.as_deref().map(route),
            created_at: order.created_at,
        }
        changing {
            version: order.version,
            status: order.status,
            reason: order.reason,
            candidates: candidates(order),
            released_minor: order.released_minor,
            refunded_minor: order.claims.refunded_minor,
            captured_minor: order.claims.captured_minor,
            from_escrow_minor: order.claims.from_escrow_minor,
            contradicted_minor: order.claims.contradicted_minor,
            given_back_minor: order.claims.given_back_minor,
            fee_back_minor: order.claims.fee_back_minor,
            sealed_key: order.sealed_pan.as_ref().map(|sealed| sealed.key_id.as_str()),
            sealed_nonce: order.sealed_pan.as_ref().map(|sealed| sealed.nonce),
            sealed_pan: order.sealed_pan.as_ref().map(|sealed| sealed.bytes.as_slice()),
            accounting_sequence: order.accounting_sequence,
            clearing_date: order.clearing_date,
            charged_minor: order.charged.as_ref().map(|fee| fee.minor),
            charged_rule: order.charged.as_ref().map(|fee| fee.rule.as_str()),
            charged_refund: order.charged.as_ref().map(|fee| fee.refund),
            finished_at: order.finished_at,
        }
    }

    fn read(row: &SqlFields<'_>) -> Result<Order, StoreError> {
        let SqlJson(candidates): SqlJson<Vec<(String, bool)>> = row.get("candidates")?;
        let candidate = |(channel, keeps_pan): (String, bool)| Candidate {
            channel: ChannelId::from_stored(&channel),
            keeps_pan,
        };
        Ok(Order {
            id: row.get("id")?,
            version: row.get("version")?,
            instruction: Instruction {
                caller: row.get("caller")?,
                caller_order_id: row.get("caller_order_id")?,
                kind: read_kind(row)?,
                merchant_id: row.get("merchant_id")?,
                amount: row.get("amount_minor")?,
                currency: row.get("currency")?,
                settlement_mode: row.get("settlement")?,
                merchant_category: row.get("merchant_category")?,
                merchant_fee_minor: row.get("merchant_fee_minor")?,
                instrument: read_instrument(row)?,
                description: row.get("description")?,
                notify_url: row.get("notify_url")?,
            },
            status: row.get("status")?,
            reason: row.get("reason")?,
            attempts: Vec::new(),
            route: row.get::<Option<SqlJson<RouteColumn>>>("route")?.map(read_route),
            candidates: candidates.into_iter().map(candidate).collect(),
            released_minor: row.get("released_minor")?,
            claims: Claims {
                refunded_minor: row.get("refunded_minor")?,
                captured_minor: row.get("captured_minor")?,
                from_escrow_minor: row.get("from_escrow_minor")?,
                contradicted_minor: row.get("contradicted_minor")?,
                given_back_minor: row.get("given_back_minor")?,
                fee_back_minor: row.get("fee_back_minor")?,
            },
            sealed_pan: read_sealed_columns(row)?,
            accounting_sequence: row.get("accounting_sequence")?,
            clearing_date: row.get("clearing_date")?,
            charged: match row.get("charged_minor")? {
                Some(minor) => Some(Fee {
                    minor,
                    rule: row.get("charged_rule")?,
                    refund: row.get("charged_refund")?,
                }),
                None => None,
            },
            created_at: row.get("created_at")?,
            finished_at: row.get("finished_at")?,
        })
    }

    fn selected() -> String {
        format!(
            "{}, ARRAY(SELECT ROW({}) FROM attempts a WHERE a.order_id = t.id ORDER BY a.number)",
            names(Self::COLUMNS, "t."),
            names(Attempts::COLUMNS, "a."),
        )
    }

    fn read_selected(mut values: Vec<Option<&[u8]>>) -> Result<Order, StoreError> {
        let attempts = values.pop().flatten().and_then(composites);
        let row = SqlFields { table: TABLE, columns: Self::COLUMNS, values };
        let mut order = Self::read(&row)?;
        for (place, attempt) in (1..).zip(attempts.ok_or_else(|| row.damaged("attempts"))?) {
            let attempt = Attempts::read(&SqlFields::of_composite::<Attempts>(attempt)?)?;
            // An attempt is found by its place, so its number must be that place.
            if usize::from(attempt.number) != place {
                return Err(row.damaged("attempts"));
            }
            order.attempts.push(attempt);
        }
        Ok(order)
    }
}

fn original_attempt(order: &Order) -> Option<u8> {
    match order.instruction.kind {
        OrderKind::Undo { of } => Some(of.attempt),
        OrderKind::Payment
        | OrderKind::Release { .. }
        | OrderKind::Preauth
        | OrderKind::Payout
        | OrderKind::Capture { .. }
        | OrderKind::Refund { .. }
        | OrderKind::Void { .. } => None,
    }
}

fn card(order: &Order) -> Option<&CardFacts> {
    order.instruction.card()
}

fn agreement(order: &Order) -> Option<AgreementId> {
    order.instruction.instrument.as_ref()?.agreement()
}

fn code(order: &Order) -> Option<&CodeFacts> {
    order.instruction.instrument.as_ref()?.code()
}

fn account(order: &Order) -> Option<&AccountFacts> {
    order.instruction.instrument.as_ref()?.account()
}

fn name_digest(account: &AccountFacts) -> Option<[u8; 8]> {
    let digest = account.digests.name;
    (digest != 0).then(|| digest.to_le_bytes())
}

fn bin_row(order: &Order) -> Option<&BinRow> {
    card(order)?.row.as_deref()
}

/// Rule, its place, the BIN table's version, the channels kept, and those struck with the reason.
type RouteColumn = (String, u16, u32, Vec<String>, Vec<(String, String)>);

fn route(route: &RouteVerdict) -> SqlJson<RouteColumn> {
    let kept = route.kept.iter().map(ToString::to_string).collect();
    let struck = route.struck.iter();
    let struck = struck.map(|(channel, reason)| (channel.to_string(), reason.clone())).collect();
    SqlJson((route.rule.clone(), route.place, route.bin_table, kept, struck))
}

fn read_route(
    SqlJson((rule, place, bin_table, kept, struck)): SqlJson<RouteColumn>,
) -> Arc<RouteVerdict> {
    let kept = kept.iter().map(|channel| ChannelId::from_stored(channel)).collect();
    let struck = struck.into_iter();
    let struck =
        struck.map(|(channel, reason)| (ChannelId::from_stored(&channel), reason)).collect();
    Arc::new(RouteVerdict { rule, place, bin_table, kept, struck })
}

fn candidates(order: &Order) -> SqlJson<Vec<(&str, bool)>> {
    let candidates = order.candidates.iter();
    SqlJson(candidates.map(|one| (one.channel.as_str(), one.keeps_pan)).collect())
}

fn read_kind(row: &SqlFields<'_>) -> Result<OrderKind, StoreError> {
    let kind: String = row.get("kind")?;
    let of = || row.get("original");
    Ok(match kind.as_str() {
        "payment" => OrderKind::Payment,
        "preauth" => OrderKind::Preauth,
        "payout" => OrderKind::Payout,
        "release" => OrderKind::Release { of: of()? },
        "capture" => OrderKind::Capture { of: of()? },
        "refund" => OrderKind::Refund { of: of()? },
        "void" => OrderKind::Void { of: of()? },
        "undo" => {
            let attempt = row.get("original_attempt")?;
            OrderKind::Undo { of: ChannelOrderNo { order: of()?, attempt } }
        }
        _ => return Err(row.damaged("kind")),
    })
}

fn read_instrument(row: &SqlFields<'_>) -> Result<Option<InstrumentFacts>, StoreError> {
    if let Some(masked) = row.get::<Option<String>>("code_masked")? {
        let (masked, digest) = (MaskedCode::of(&masked), row.get("code_digest")?);
        return Ok(Some(InstrumentFacts::Code(CodeFacts { masked, digest })));
    }
    if let Some(kind) = row.get("account_kind")? {
        let masked: String = row.get("account_masked")?;
        let name: Option<[u8; 8]> = row.get("account_name_digest")?;
        let name = name.map_or(0, u64::from_le_bytes);
        let digests = AccountDigests { id: row.get("account_digest")?, name };
        let masked = MaskedAccount::of(&masked);
        return Ok(Some(InstrumentFacts::Account(AccountFacts { kind, masked, digests })));
    }
    let Some(card) = read_card_columns(row)? else { return Ok(None) };
    Ok(Some(match row.get("agreement")? {
        Some(id) => InstrumentFacts::Agreement { id, card },
        None => card.into(),
    }))
}

/// The attempts of orders.
pub(in crate::store) struct Attempts;

impl SqlTable for Attempts {
    type Written<'a> = (OrderId, &'a Attempt);
    type Row = Attempt;

    sql_columns! {
        row: "attempts";
        key { order_id: row.0, number: row.1.number, }
        fixed {
            channel: row.1.channel.as_str(),
            operation: row.1.operation,
            sent_at: row.1.sent_at,
            announced_at: row.1.announced_at,
        }
        changing {
            state: row.1.state,
            channel_reference: row.1.channel_reference.as_deref(),
            acknowledged_at: row.1.acknowledged_at,
            code: row.1.code.as_deref(),
            reason: row.1.reason,
            unknown_cause: row.1.unknown_cause,
            objection: row.1.objection.as_ref().map(Objection::as_str),
            unresolved_at: row.1.unresolved_at,
            ended_at: row.1.ended_at,
            ended_by: row.1.ended_by,
            sealed_key: row.1.sealed_pan.as_ref().map(|sealed| sealed.key_id.as_str()),
            sealed_nonce: row.1.sealed_pan.as_ref().map(|sealed| sealed.nonce),
            sealed_pan: row.1.sealed_pan.as_ref().map(|sealed| sealed.bytes.as_slice()),
        }
    }

    fn read(row: &SqlFields<'_>) -> Result<Attempt, StoreError> {
        Ok(Attempt {
            number: row.get("number")?,
            channel: row.get("channel")?,
            operation: row.get("operation")?,
            state: row.get("state")?,
            sent_at: row.get("sent_at")?,
            announced_at: row.get("announced_at")?,
            channel_reference: row.get("channel_reference")?,
            acknowledged_at: row.get("acknowledged_at")?,
            code: row.get("code")?,
            reason: row.get("reason")?,
            unknown_cause: row.get("unknown_cause")?,
            objection: row.get::<Option<String>>("objection")?.map(Objection::new),
            unresolved_at: row.get("unresolved_at")?,
            ended_at: row.get("ended_at")?,
            ended_by: row.get("ended_by")?,
            sealed_pan: read_sealed_columns(row)?,
        })
    }
}

const ORDERS: usize = 0;
const ATTEMPTS: usize = 3;
const LANDED: usize = 4;
const SENT: usize = 5;

/// What the in-flight table is told of an order: which of its attempts is in flight, if any is.
const FLIGHT: [(&str, SqlType); 2] =
    [("order_id", SqlType::Bigint), ("attempt", SqlType::Smallint)];

pub(super) fn steps() -> Vec<Step> {
    let mut steps = Vec::from(versioned::<Orders>());
    steps.push(upsert::<Attempts>());
    // An attempt that was in flight before stays with the incarnation that carries it out.
    steps.push(Step::own(
        "DELETE FROM in_flight t USING {rows} \
         WHERE t.order_id = u.order_id AND t.attempt IS DISTINCT FROM u.attempt",
        &FLIGHT,
        Answer::Nothing,
    ));
    steps.push(Step::own(
        "INSERT INTO in_flight (order_id, attempt, node, incarnation) \
         SELECT u.order_id, u.attempt, {node}, {incarnation} FROM {rows} ON CONFLICT DO NOTHING",
        &FLIGHT,
        Answer::Nothing,
    ));
    steps
}

pub(super) fn plan(writes: &WriteSet, plan: &mut SqlPlan) -> Result<(), CommitError> {
    for order in writes.orders.iter().filter(|order| order.version == 1) {
        let asked = &order.instruction;
        let (caller, own) = (asked.caller.as_str(), asked.caller_order_id.as_str());
        let same = plan.callers.iter().find(|(_, of, id)| of == caller && id == own);
        match same {
            Some((existing, ..)) if *existing == order.id => return Err(CommitError::Conflict),
            Some((existing, ..)) => return Err(CommitError::Duplicate { existing: *existing }),
            None => plan.callers.push((order.id, caller.to_owned(), own.to_owned())),
        }
        plan.touch("caller", [caller, "\0", own].concat().as_bytes());
    }
    let orders = writes.orders.iter().map(|order| (order.version, VersionChange::Put(order)));
    plan.replace::<Orders>(ORDERS, orders)?;
    for (place, order) in writes.orders.iter().enumerate() {
        // Of several versions the last one is written; a final one stays final (I-5).
        if let Some(next) = writes.orders[place + 1..].iter().find(|next| next.id == order.id) {
            if order.status.is_final() && !next.status.is_final() {
                return Err(CommitError::Conflict);
            }
            continue;
        }
        let is_new = plan.callers.iter().any(|(id, ..)| *id == order.id);
        plan_attempts(order, is_new, plan);
    }
    Ok(())
}

fn plan_attempts(order: &Order, is_new: bool, plan: &mut SqlPlan) {
    for attempt in &order.attempts {
        plan.insert::<Attempts>(ATTEMPTS, (order.id, attempt));
    }
    let open = order.unresolved().filter(|attempt| attempt.state == AttemptState::Sending);
    let sending = open.map(|attempt| attempt.number);
    if !is_new {
        plan.add(LANDED, &[&order.id], &[&sending]);
    }
    if sending.is_some() {
        plan.add(SENT, &[&order.id], &[&sending]);
    }
}

impl Tables {
    pub(super) fn order<'a>(
        &'a self,
        rest: &'a str,
        parameters: Vec<Parameter>,
    ) -> StoreRead<'a, Option<Order>> {
        Box::pin(async move { Ok(self.rows::<Orders>(rest, parameters).await?.pop()) })
    }

    /// Orders by id. In `which`, `$1` is the one that they follow, and `$3` what they refer to.
    pub(super) fn orders<'a>(
        &'a self,
        which: &'a str,
        after: Option<OrderId>,
        limit: usize,
        of: Option<OrderId>,
    ) -> StoreRead<'a, Vec<Order>> {
        let mut parameters = vec![parameter(after_id(after)), page_limit(limit)];
        parameters.extend(of.map(parameter));
        Box::pin(async move {
            let rest = format!("WHERE {which} ORDER BY t.id LIMIT $2");
            self.rows::<Orders>(&rest, parameters).await
        })
    }
}
