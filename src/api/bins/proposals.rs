//! Proposals to the BIN table: what the books teach, and what a person says of it.
//!
//! Accepting one makes a new version of the table by the way that every refresh takes, over the
//! version that was looked at; nothing here changes a table by itself.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use http::{StatusCode, Uri};
use schemars::JsonSchema;
use serde::Serialize;

use super::{TableUpload, make_live, refusal_error};
use crate::api::auth::{MayInspect, MayOperate};
use crate::api::dto::{MomentText, json};
use crate::api::error::{ApiError, ProblemCode};
use crate::api::input::json::JsonFields;
use crate::api::input::query::Query;
use crate::api::input::{PathSegment, read_json};
use crate::api::page::listing;
use crate::api::{ApiState, run_detached};
use crate::codec::word;
use crate::domain::bin::proposal::{BinEvidence, BinProposal, BinProposalDecision, BinProposalId};
use crate::domain::bin::{BinTable, StatedDate};
use crate::domain::command::Decider;
use crate::domain::write_set::{AuditEntry, WriteSet};
use crate::engine::CommitRounds;
use crate::tables::bin::write_csv;

/// The form of a proposal's name.
const AN_ID: &str = "a proposal's id, as 621626-19-credit";

/// What one order teaches.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "BinEvidence")]
struct EvidenceBody<'row> {
    /// Where it came from.
    #[schemars(with = "word::BinEvidenceSourceWord")]
    source: &'static str,
    /// The order.
    order: String,
    /// The channel that has said it.
    channel: &'row str,
    /// When.
    at: MomentText,
    /// For people.
    told: &'row str,
}

impl<'row> EvidenceBody<'row> {
    fn of(one: &'row BinEvidence) -> Self {
        Self {
            source: one.source.name(),
            order: one.order.to_string(),
            channel: one.channel.as_str(),
            at: MomentText(one.at),
            told: &one.told,
        }
    }
}

/// A proposal to change the BIN table.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "BinProposal")]
pub struct ProposalBody<'row> {
    /// Its name: BIN, card length and fact.
    id: String,
    /// The first digits of the cards' numbers.
    bin: String,
    /// The length of the cards' numbers.
    pan_length: u8,
    /// What the evidence says: a card type, or `retired`.
    #[schemars(with = "word::BinFactWord")]
    fact: &'static str,
    /// Where it stands.
    #[schemars(with = "word::BinProposalStateWord")]
    state: &'static str,
    /// The card type that the table had when it was opened.
    #[schemars(with = "word::CardTypeWord")]
    table_says: &'static str,
    /// The version of the table then, or when it was opened again.
    bin_table: u32,
    /// The issuer's name of today, where the table in force has the row.
    #[serde(skip_serializing_if = "Option::is_none")]
    issuer_name: Option<String>,
    /// How many orders teach it.
    orders: u32,
    /// The newest evidence, the newest last.
    evidence: Vec<EvidenceBody<'row>>,
    /// When it was opened.
    opened_at: MomentText,
    /// When it was last changed.
    changed_at: MomentText,
    /// Who has decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    decided_by: Option<&'row str>,
    /// When.
    #[serde(skip_serializing_if = "Option::is_none")]
    decided_at: Option<MomentText>,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    decision_reason: Option<&'row str>,
    /// The version of the table that has it, where it was accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    made_bin_table: Option<u32>,
}

impl<'row> ProposalBody<'row> {
    fn of(row: &'row BinProposal, table: &BinTable) -> Self {
        let decision = row.decision.as_ref();
        let BinProposalId { bin, pan_length, fact } = row.id;
        Self {
            id: row.id.to_string(),
            bin: bin.to_string(),
            pan_length,
            fact: fact.name(),
            state: row.state.name(),
            table_says: row.table_says.name(),
            bin_table: row.bin_table,
            issuer_name: table.row(bin, pan_length).map(|row| row.issuer_name.clone()),
            orders: row.orders,
            evidence: row.evidence.iter().map(EvidenceBody::of).collect(),
            opened_at: MomentText(row.opened_at),
            changed_at: MomentText(row.changed_at),
            decided_by: decision.map(|decision| decision.by.as_str()),
            decided_at: decision.map(|decision| MomentText(decision.at)),
            decision_reason: decision.map(|decision| decision.reason.as_str()),
            made_bin_table: decision.and_then(|decision| decision.bin_table),
        }
    }
}

/// `GET /v1/bin-proposals?state=&after=&limit=`: those that are open, or all.
pub async fn all(
    State(state): State<Arc<ApiState>>,
    MayInspect(_): MayInspect,
    uri: Uri,
) -> Result<Response, ApiError> {
    let mut query = Query::of(&uri);
    let which = |text: &str| match text {
        "open" => Some(true),
        "all" => Some(false),
        _ => None,
    };
    let open = query.parsed("state", "open or all", which)?.unwrap_or(true);
    let (after, limit) = query.page(AN_ID, BinProposalId::parse)?;
    let rows = state.engine.store().bin_proposals(open, after, limit).await?;
    let table = state.bins.current();
    let place = |row: &BinProposal| row.id.to_string();
    Ok(listing("bin_proposals", &rows, limit, place, |row| ProposalBody::of(row, &table.table)))
}

/// `GET /v1/bin-proposals/{id}`
pub async fn one(
    State(state): State<Arc<ApiState>>,
    MayInspect(_): MayInspect,
    PathSegment(id): PathSegment,
    uri: Uri,
) -> Result<Response, ApiError> {
    Query::of(&uri).finish()?;
    let proposal = found(&state, parsed(&id)?).await?;
    Ok(shown(&state, &proposal))
}

/// `POST /v1/bin-proposals/{id}/accept`: the table gets it, in a new version.
pub async fn accept(
    State(state): State<Arc<ApiState>>,
    MayOperate(seat): MayOperate,
    PathSegment(id): PathSegment,
    request: Request,
) -> Result<Response, ApiError> {
    let (id, reason) = read_decision(&state, &id, request).await?;
    let decider = Decider { actor: seat.name().to_string(), approver: None, reason };
    let inner = Arc::clone(&state);
    let done = run_detached(async move { put_in_force(&inner, id, decider).await });
    Ok(shown(&state, &done.await?))
}

/// `POST /v1/bin-proposals/{id}/refuse`: it is never proposed again.
pub async fn refuse(
    State(state): State<Arc<ApiState>>,
    MayOperate(seat): MayOperate,
    PathSegment(id): PathSegment,
    request: Request,
) -> Result<Response, ApiError> {
    let (id, reason) = read_decision(&state, &id, request).await?;
    let decider = Decider { actor: seat.name().to_string(), approver: None, reason };
    let inner = Arc::clone(&state);
    let done = run_detached(async move {
        let audit = vec![audit_line(&inner, &decider, "bin_proposal.refuse", id)];
        keep(&inner, id, &decider, None, audit).await
    });
    Ok(shown(&state, &done.await?))
}

/// Makes the version of the table that has it, and then keeps whose word it was. A crash between
/// both leaves a proposal that the table has settled.
async fn put_in_force(
    state: &Arc<ApiState>,
    id: BinProposalId,
    decider: Decider,
) -> Result<BinProposal, ApiError> {
    let proposal = found(state, id).await?;
    if !proposal.is_open() {
        return Err(decided(&proposal));
    }
    let active = state.bins.current();
    if id.is_settled_by(&active.table) {
        let detail = "the table in force says it already, or has no such row any more";
        return Err(ApiError::new(ProblemCode::WrongPhase, detail));
    }
    let today = StatedDate::of(state.engine.clock().now());
    let table = id.put_right(&active.table, today).and_then(Result::ok).ok_or_else(|| {
        ApiError::new(ProblemCode::WrongPhase, "the table in force has no such row any more")
    })?;
    let incoming = TableUpload {
        bytes: write_csv(&table),
        source: format!("proposal {id}"),
        as_of: Some(active.as_of),
        force: false,
        reason: Some(decider.reason.clone()),
    };
    let made = make_live(state, &decider, incoming, Some(active.version)).await?;
    let (report, line) = made.map_err(|refusal| refusal_error(&refusal))?;
    let mut audit = vec![audit_line(state, &decider, "bin_proposal.accept", id)];
    audit.extend(line);
    keep(state, id, &decider, Some(report.version), audit).await
}

/// Keeps a person's word, with the version of the table where it was a yes.
async fn keep(
    state: &ApiState,
    id: BinProposalId,
    decider: &Decider,
    bin_table: Option<u32>,
    audit: Vec<AuditEntry>,
) -> Result<BinProposal, ApiError> {
    let mut tries = CommitRounds::default();
    loop {
        let proposal = found(state, id).await?;
        let decision = BinProposalDecision {
            by: decider.actor.clone(),
            at: state.engine.clock().now(),
            reason: decider.reason.clone(),
            bin_table,
        };
        let ended = match bin_table {
            Some(_) => proposal.accepted(decision),
            None => proposal.refused(decision),
        };
        let ended = ended.ok_or_else(|| decided(&proposal))?;
        let (bin_proposals, audit) = (vec![ended.clone()], audit.clone());
        let writes = WriteSet { bin_proposals, audit, ..WriteSet::default() };
        if state.engine.write(&mut tries, writes).await? {
            return Ok(ended);
        }
    }
}

fn audit_line(state: &ApiState, decider: &Decider, action: &str, id: BinProposalId) -> AuditEntry {
    AuditEntry {
        at: state.engine.clock().now(),
        actor: decider.actor.clone(),
        approver: None,
        action: action.to_owned(),
        subject: id.to_string(),
        reason: decider.reason.clone(),
    }
}

async fn found(state: &ApiState, id: BinProposalId) -> Result<BinProposal, ApiError> {
    let found = state.engine.store().bin_proposal(id).await?;
    found.ok_or_else(|| ApiError::not_found("there is no proposal of this id"))
}

fn decided(proposal: &BinProposal) -> ApiError {
    let detail = format!("the proposal is {}", proposal.state.name());
    ApiError::new(ProblemCode::WrongPhase, detail)
}

async fn read_decision(
    state: &ApiState,
    id: &str,
    request: Request,
) -> Result<(BinProposalId, String), ApiError> {
    let (parts, body) = request.into_parts();
    let body = read_json(&parts, body, state.body_limits()).await?;
    let mut fields = JsonFields::parse_or_empty(&body)?;
    let reason = state.reason(&mut fields)?.ok_or_else(|| fields.missing("reason"))?;
    fields.finish()?;
    Ok((parsed(id)?, reason))
}

fn shown(state: &ApiState, proposal: &BinProposal) -> Response {
    json(StatusCode::OK, &ProposalBody::of(proposal, &state.bins.current().table))
}

fn parsed(id: &str) -> Result<BinProposalId, ApiError> {
    BinProposalId::parse(id).ok_or_else(|| ApiError::not_found("there is no proposal of this id"))
}
