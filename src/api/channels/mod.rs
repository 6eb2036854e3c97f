//! Channels as operators see them, their switch, and the plan that routing would make.

pub mod rates;
pub mod reload;
pub mod replay;
pub mod routes;
pub mod statements;
pub mod traffic;

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use http::{StatusCode, Uri};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::api::auth::{MayAsk, MayInspect, MayOperate};
use crate::api::dto::{MomentText, json};
use crate::api::error::{ApiError, ProblemCode};
use crate::api::held;
use crate::api::input::forms::PREFIX_LENGTH_MIN;
use crate::api::input::json::JsonFields;
use crate::api::input::query::Query;
use crate::api::input::{PathSegment, order, read_json};
use crate::api::{ApiState, run_detached};
use crate::channel::certificates::CertificateTerm;
use crate::channel::registry::{ChannelStatus, SwitchError};
use crate::codec::word;
use crate::domain::approval::HeldAction;
use crate::domain::bin::{BIN_LENGTH_MAX, Brand, PAN_LENGTH_MAX, PAN_LENGTH_MIN};
use crate::domain::card::LuhnWaiver;
use crate::domain::command::Decider;
use crate::domain::ids::{ChannelId, MerchantId};
use crate::domain::instrument::InstrumentFacts;
use crate::domain::order::{Instruction, OrderKind};
use crate::domain::payee_account::{AccountDigests, AccountFacts, AccountKind, MaskedAccount};
use crate::domain::payer_code::{CodeFacts, MaskedCode, PayerCode};
use crate::domain::route::RoutedName;
use crate::domain::route::channel::Strike;
use crate::domain::route::explain::{CandidateVerdict, ExplainedCandidate, Explanation};
use crate::domain::time::Timestamp;
use crate::domain::write_set::AuditEntry;
use crate::engine::EngineError;
use crate::engine::intake::{ExplainedCard, QuestionSubject, RouteQuestion};
use crate::tables::bin::RowView;

use rates::FoundRateBody;

/// The merchant of a question that names none. No rule can mean it by accident.
const NO_MERCHANT: &str = "-";

/// A channel.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Channel")]
pub struct ChannelBody<'status> {
    /// The channel: its file's name without `.toml`.
    id: &'status str,
    /// Its name, for people.
    name: &'status str,
    /// The protocol that it speaks.
    protocol: &'status str,
    /// How it stands with the channel's owner, as its file says.
    #[schemars(with = "word::ChannelStateWord")]
    state: &'static str,
    /// The switch: an operator's, beside the state that the file gives.
    enabled: bool,
    /// What it can do.
    operations: &'status [&'static str],
    /// Empty means all.
    card_types: &'status [&'static str],
    /// The currencies that it takes.
    currencies: &'status [&'static str],
    /// What it takes, and what is left of it today.
    limits: LimitsBody,
    /// How it does.
    health: HealthBody,
    /// The certificates of its file and messages.
    certificates: Vec<CertificateBody<'status>>,
}

/// Its limits.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ChannelLimits")]
struct LimitsBody {
    /// The least of one order, in minor units.
    per_order_min: i64,
    /// The most of one order, in minor units.
    per_order_max: i64,
    /// The most of a clearing day, in minor units.
    #[serde(skip_serializing_if = "Option::is_none")]
    per_day: Option<i64>,
    /// What it has taken today, at all nodes together.
    used_today: i64,
    /// What is left of `per_day`.
    #[serde(skip_serializing_if = "Option::is_none")]
    left_today: Option<i64>,
    /// The most that it pays out in a clearing day.
    #[serde(skip_serializing_if = "Option::is_none")]
    payouts_per_day: Option<i64>,
    /// What it has paid out today.
    payouts_today: i64,
    /// What is left of `payouts_per_day`.
    #[serde(skip_serializing_if = "Option::is_none")]
    payouts_left_today: Option<i64>,
}

/// Its health.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ChannelHealth")]
struct HealthBody {
    /// Whether orders are kept away from it.
    breaker_open: bool,
    /// Millionths of its recent requests that did not fail by its own fault.
    success_rate_ppm: u32,
    /// Whether its pace has room for another order.
    has_room: bool,
}

/// A certificate of a channel's.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Certificate")]
struct CertificateBody<'status> {
    /// What it is for: `signing`, `encryption`, `root`, …
    usage: &'static str,
    /// Its number, in decimal.
    serial: &'status str,
    /// `holds`, `ends_soon`, `ended`, `not_yet`.
    state: &'static str,
    /// Until when it holds.
    valid_until: MomentText,
    /// How many days that is.
    days_left: i64,
}

impl<'status> ChannelBody<'status> {
    fn of(status: &'status ChannelStatus, now: Timestamp) -> Self {
        let certificate = |term: &'status CertificateTerm| CertificateBody {
            usage: term.usage.name(),
            serial: &term.serial,
            state: term.standing(now).name(),
            valid_until: MomentText(Timestamp::from_millis(term.valid_until_s * 1_000)),
            days_left: term.days_left(now),
        };
        let (used_today, payouts_today) = (status.used_today_minor, status.payouts_today_minor);
        let left = |limit: Option<i64>, used| limit.map(|limit| limit.saturating_sub(used).max(0));
        Self {
            id: status.id.as_str(),
            name: &status.name,
            protocol: &status.protocol,
            state: status.state.name(),
            enabled: status.enabled,
            operations: &status.operations,
            card_types: &status.card_types,
            currencies: &status.currencies,
            limits: LimitsBody {
                per_order_min: status.per_order_min_minor,
                per_order_max: status.per_order_max_minor,
                per_day: status.per_day_minor,
                used_today,
                left_today: left(status.per_day_minor, used_today),
                payouts_per_day: status.payouts_per_day_minor,
                payouts_today,
                payouts_left_today: left(status.payouts_per_day_minor, payouts_today),
            },
            health: HealthBody {
                breaker_open: status.breaker_open,
                success_rate_ppm: status.success_rate_ppm,
                has_room: status.has_room,
            },
            certificates: status.certificates.iter().map(certificate).collect(),
        }
    }
}

/// The channels.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Channels")]
pub struct ChannelsBody<'status> {
    /// All channels.
    channels: Vec<ChannelBody<'status>>,
}

/// `GET /v1/channels`
pub async fn all(
    State(state): State<Arc<ApiState>>,
    MayInspect(_): MayInspect,
    uri: Uri,
) -> Result<Response, ApiError> {
    Query::of(&uri).finish()?;
    let statuses = state.registry.statuses();
    let now = state.engine.clock().now();
    let channels = statuses.iter().map(|status| ChannelBody::of(status, now)).collect();
    Ok(json(StatusCode::OK, &ChannelsBody { channels }))
}

/// `GET /v1/channels/{id}`
pub async fn one(
    State(state): State<Arc<ApiState>>,
    MayInspect(_): MayInspect,
    PathSegment(id): PathSegment,
    uri: Uri,
) -> Result<Response, ApiError> {
    Query::of(&uri).finish()?;
    let status = status(&state, &channel_id(&state, &id)?)?;
    let now = state.engine.clock().now();
    Ok(json(StatusCode::OK, &ChannelBody::of(&status, now)))
}

/// `PATCH /v1/channels/{id}`: the switch.
pub async fn switch(
    State(state): State<Arc<ApiState>>,
    MayOperate(seat): MayOperate,
    PathSegment(id): PathSegment,
    request: Request,
) -> Result<Response, ApiError> {
    let (parts, body) = request.into_parts();
    let body = read_json(&parts, body, state.body_limits()).await?;
    let mut fields = JsonFields::parse(&body)?;
    let enabled = fields.boolean("enabled")?.ok_or_else(|| fields.missing("enabled"))?;
    let reason = state.reason(&mut fields)?;
    fields.finish()?;
    let id = channel_id(&state, &id)?;
    if state.settings.four_eyes.holds_switch(enabled) {
        let now = status(&state, &id)?;
        // Nothing is to be done, so nobody has to approve it.
        if now.enabled == enabled {
            let now = ChannelBody::of(&now, state.engine.clock().now());
            return Ok(json(StatusCode::OK, &now));
        }
        let action = HeldAction::Switch { channel: id, enabled };
        return held::ask(state, &seat, action, reason.unwrap_or_default()).await;
    }
    let clock = state.engine.clock().clone();
    let status = run_detached(async move {
        let (actor, reason) = (seat.name().to_string(), reason.unwrap_or_default());
        let decider = Decider { actor, approver: None, reason };
        let entry = turn_switch(&state, &id, enabled, decider).await?;
        state.engine.audit(entry).await?;
        status(&state, &id)
    });
    Ok(json(StatusCode::OK, &ChannelBody::of(&status.await?, clock.now())))
}

/// Turns a channel's switch; the line that the audit trail is to have of it.
pub async fn turn_switch(
    state: &ApiState,
    id: &ChannelId,
    enabled: bool,
    decider: Decider,
) -> Result<AuditEntry, ApiError> {
    write_switch(state, id, enabled).await?;
    let Decider { actor, approver, reason } = decider;
    Ok(AuditEntry {
        at: state.engine.clock().now(),
        actor,
        approver,
        action: if enabled { "channel.enable" } else { "channel.disable" }.to_owned(),
        subject: id.to_string(),
        reason,
    })
}

async fn write_switch(state: &ApiState, id: &ChannelId, enabled: bool) -> Result<(), ApiError> {
    match state.registry.switch(id, enabled).await {
        Ok(true) => Ok(()),
        Ok(false) => Err(unknown_channel()),
        Err(error) => {
            let told = crate::telemetry::chain(&error);
            tracing::error!(channel.name = %id, error = told, "a channel could not be switched");
            if matches!(error, SwitchError::Shares(_)) {
                return Err(EngineError::Unavailable.into());
            }
            let detail = "the switch could not be written; the channel stays as it was";
            Err(ApiError::new(ProblemCode::Internal, detail))
        }
    }
}

/// The channel of a path, if it has a file.
pub fn channel_id(state: &ApiState, id: &str) -> Result<ChannelId, ApiError> {
    let id = ChannelId::parse(id).map_err(|_| unknown_channel())?;
    let terms = state.engine.channels().terms(&id);
    terms.map(|_| id).ok_or_else(unknown_channel)
}

fn status(state: &ApiState, id: &ChannelId) -> Result<ChannelStatus, ApiError> {
    state.registry.status(id).ok_or_else(unknown_channel)
}

pub fn unknown_channel() -> ApiError {
    ApiError::new(ProblemCode::ChannelUnknown, "no channel file has this name")
}

/// `POST /v1/routes/explain`: every rule and channel with its verdict. Nothing is sent or written.
pub async fn explain(
    State(state): State<Arc<ApiState>>,
    MayAsk(_): MayAsk,
    request: Request,
) -> Result<Response, ApiError> {
    let (parts, body) = request.into_parts();
    let body = read_json(&parts, body, state.body_limits()).await?;
    let question = read_question(&body, &state.settings.luhn_waiver)?;
    let explained = state.intake.explain(&question, explanation_body);
    Ok(json(StatusCode::OK, &explained))
}

fn read_question(body: &[u8], luhn_waiver: &LuhnWaiver) -> Result<RouteQuestion, ApiError> {
    let mut fields = JsonFields::parse(body)?;
    let asked = match fields.text("operation")?.as_deref() {
        None => RoutedName::Order(OrderKind::Payment),
        Some(name) => RoutedName::parse(name).ok_or_else(|| {
            let known = RoutedName::ROUTED.map(RoutedName::name).join(", ");
            fields.invalid("operation", format!("one of these is expected: {known}"))
        })?,
    };
    let instrument = match asked {
        RoutedName::Order(OrderKind::Payout) => asked_payee(&mut fields)?,
        RoutedName::Order(_) => code_beginning(&mut fields)?,
        RoutedName::Service(_) => None,
    };
    let (digits, pan_length) = match instrument {
        Some(_) => (String::new(), None),
        None => {
            let mut card = fields.object("card", "card.")?;
            let digits = match card.text("bin")? {
                None => (order::pan(&mut card, luhn_waiver)?.expose().to_owned(), None),
                Some(bin) => (prefix(&card, &bin)?, length(&mut card)?),
            };
            card.finish()?;
            digits
        }
    };
    let merchant_id = match fields.text("merchant_id")? {
        None => MerchantId::from_stored(NO_MERCHANT),
        Some(text) => MerchantId::parse(&text)
            .map_err(|error| fields.invalid("merchant_id", error.to_string()))?,
    };
    let subject = match asked {
        RoutedName::Service(service) => QuestionSubject::Service { service, merchant_id },
        RoutedName::Order(kind) => {
            let instruction = read_asked_order(&mut fields, kind, merchant_id, instrument)?;
            QuestionSubject::Order(Box::new(instruction))
        }
    };
    fields.finish()?;
    Ok(RouteQuestion { subject, digits, pan_length })
}

/// What a question says of an order's money and merchant.
fn read_asked_order(
    fields: &mut JsonFields<'_>,
    kind: OrderKind,
    merchant_id: MerchantId,
    instrument: Option<InstrumentFacts>,
) -> Result<Instruction, ApiError> {
    let amount = order::required_amount(fields)?;
    let currency = order::currency(fields)?;
    let settlement_mode = order::settlement(fields)?;
    let merchant_category = order::merchant_category(fields)?;
    let bare = Instruction::unsent(kind, merchant_id, amount, currency);
    Ok(Instruction { settlement_mode, merchant_category, instrument, ..bare })
}

/// The facts of a payer's code, of which the beginning or the whole is given.
fn code_beginning(fields: &mut JsonFields<'_>) -> Result<Option<InstrumentFacts>, ApiError> {
    let Some(mut payer) = fields.optional_object("payer", "payer.")? else { return Ok(None) };
    let text = payer.required_text("code")?;
    let code = asked_code(&text);
    let code = code.ok_or_else(|| payer.invalid("code", "2 to 64 letters and digits"))?;
    payer.finish()?;
    Ok(Some(InstrumentFacts::Code(code)))
}

/// The facts of a payee's account, of which the kind is given.
fn asked_payee(fields: &mut JsonFields<'_>) -> Result<Option<InstrumentFacts>, ApiError> {
    let Some(mut payee) = fields.optional_object("payee", "payee.")? else { return Ok(None) };
    let kind = order::account_kind(&mut payee)?;
    payee.finish()?;
    Ok(Some(InstrumentFacts::Account(asked_account(kind))))
}

/// An account as a question to the routing has it: its kind tells enough.
pub fn asked_account(kind: AccountKind) -> AccountFacts {
    AccountFacts { kind, masked: MaskedAccount::of(""), digests: AccountDigests::default() }
}

/// A code as a question to the routing has it: its beginning tells enough.
pub fn asked_code(text: &str) -> Option<CodeFacts> {
    let fits = (MaskedCode::BEGINNING..=*PayerCode::LENGTHS.end()).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    fits.then(|| CodeFacts { masked: MaskedCode::of(text), digest: 0 })
}

fn prefix(card: &JsonFields<'_>, text: &str) -> Result<String, ApiError> {
    let fits = (PREFIX_LENGTH_MIN..=BIN_LENGTH_MAX).contains(&text.len());
    if fits && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(text.to_owned());
    }
    Err(card.invalid("bin", "6 to 12 digits are expected"))
}

fn length(card: &mut JsonFields<'_>) -> Result<Option<u8>, ApiError> {
    use crate::api::input::json::Json;
    let detail = "a card length of 12 to 19 is expected";
    match card.value("length") {
        None => Ok(None),
        Some(Json::Integer(length)) => {
            let length = u8::try_from(length).ok();
            let lengths = PAN_LENGTH_MIN..=PAN_LENGTH_MAX;
            let length = length.filter(|length| lengths.contains(&usize::from(*length)));
            length.map(Some).ok_or_else(|| card.invalid("length", detail))
        }
        Some(_) => Err(card.invalid("length", detail)),
    }
}

/// Where an order would go, and why.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ExplainedRoute")]
pub struct ExplainedBody<'plan> {
    /// The card's row, or null.
    card: Option<RowView<'plan>>,
    /// Where no row fits and only the brand is public.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<word::BrandWord>")]
    card_brand: Option<&'static str>,
    /// The rule that decides, or null.
    rule: Option<&'plan str>,
    /// The plan: the channels in their order.
    channels: Vec<&'plan str>,
    /// Every rule, in order.
    rules: Vec<RuleBody<'plan>>,
}

/// A rule in it.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ExplainedRule")]
struct RuleBody<'plan> {
    /// Its name, as in the file.
    name: &'plan str,
    /// What becomes of it.
    #[schemars(with = "word::RuleVerdictWord")]
    verdict: &'static str,
    /// How it ranks its channels.
    #[schemars(with = "word::StrategyWord")]
    strategy: &'static str,
    /// Its conditions that do not hold.
    mismatches: Vec<MismatchBody<'plan>>,
    /// Its channels.
    candidates: Vec<CandidateBody<'plan>>,
}

/// A mismatch.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "RuleMismatch")]
struct MismatchBody<'plan> {
    /// The condition's stable word.
    condition: &'plan str,
    /// Why it does not hold, for people.
    detail: &'plan str,
}

/// A candidate.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "RouteCandidate")]
struct CandidateBody<'plan> {
    /// The channel.
    channel: &'plan str,
    /// `kept` or `struck`.
    verdict: &'static str,
    /// Its place in the plan, from 1, if it is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    place: Option<usize>,
    /// What it was ranked by, if it is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    standing: Option<&'plan str>,
    /// The success rate, if it is kept and the rule ranks by that.
    #[serde(skip_serializing_if = "Option::is_none")]
    rate: Option<FoundRateBody>,
    /// Why it is struck, if it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    reasons: Option<Vec<StrikeBody>>,
}

/// Why it is struck.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "CandidateStrike")]
struct StrikeBody {
    /// A stable word.
    reason: &'static str,
    /// The same for people.
    detail: String,
}

/// The JSON form of an explanation.
pub fn explanation_body(explanation: &Explanation<'_>, card: ExplainedCard<'_>) -> Value {
    let rules = explanation.rules.iter().map(|explained| RuleBody {
        name: &explained.rule.name,
        verdict: explained.verdict.name(),
        strategy: explained.rule.target.strategy().name(),
        mismatches: (explained.mismatches.iter())
            .map(|mismatch| MismatchBody {
                condition: mismatch.condition,
                detail: &mismatch.sentence,
            })
            .collect(),
        candidates: explained.candidates.iter().map(candidate).collect(),
    });
    let plan = &explanation.plan;
    let (card, card_brand) = match card {
        ExplainedCard::Row(row) => (Some(row), None),
        ExplainedCard::Bare(brand) => (None, brand.map(Brand::name)),
    };
    let body = ExplainedBody {
        card,
        card_brand,
        rule: plan.rule_name(),
        channels: plan.kept.iter().map(|kept| kept.channel.id.as_str()).collect(),
        rules: rules.collect(),
    };
    serde_json::to_value(body).expect("plain texts and integers always serialise")
}

fn candidate<'plan>(candidate: &'plan ExplainedCandidate<'_>) -> CandidateBody<'plan> {
    let channel = candidate.channel.as_str();
    let rate = candidate.rate.map(FoundRateBody::from);
    let none =
        CandidateBody { channel, verdict: "", place: None, standing: None, rate, reasons: None };
    match &candidate.verdict {
        CandidateVerdict::Kept { place, standing } => {
            CandidateBody { verdict: "kept", place: Some(*place), standing: Some(standing), ..none }
        }
        CandidateVerdict::Struck(strikes) => {
            let reason =
                |strike: &Strike| StrikeBody { reason: strike.name(), detail: strike.to_string() };
            let reasons = Some(strikes.iter().map(reason).collect());
            CandidateBody { verdict: "struck", reasons, ..none }
        }
    }
}
