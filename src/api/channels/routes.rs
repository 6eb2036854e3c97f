//! The rules in force.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::{StatusCode, Uri};
use schemars::JsonSchema;
use serde::Serialize;

use crate::api::ApiState;
use crate::api::auth::MayInspect;
use crate::api::channels::reload::HeldReloadBody;
use crate::api::dto::json;
use crate::api::error::ApiError;
use crate::api::input::query::Query;
use crate::domain::route::condition::Condition;
use crate::domain::route::{Rule, Strategy};
use crate::tables::routes::Origin;

/// The rules in force.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Routes")]
pub struct RoutesBody<'row> {
    /// Whether there is no routes file, so that one rule holds for all.
    is_default: bool,
    /// The rules, in their order.
    rules: Vec<RouteRuleBody<'row>>,
    /// A reload that waits for a person's yes, if one does.
    #[serde(skip_serializing_if = "Option::is_none")]
    held: Option<HeldReloadBody>,
}

/// A rule.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "RouteRule")]
struct RouteRuleBody<'row> {
    /// Its name, as in the file.
    name: &'row str,
    /// How it ranks its channels.
    strategy: &'static str,
    /// All of them must hold.
    conditions: Vec<ConditionBody>,
    /// Absent: every live one.
    #[serde(skip_serializing_if = "Option::is_none")]
    channels: Option<Vec<RouteShareBody<'row>>>,
    /// Whether the next fitting rule decides where none of its channels is left.
    fall_through: bool,
}

/// A condition.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "RuleCondition")]
struct ConditionBody {
    /// Its word in the file.
    condition: &'static str,
    /// One of these must fit.
    values: Vec<String>,
}

/// A channel of a rule.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "RuleChannel")]
struct RouteShareBody<'row> {
    /// The channel.
    channel: &'row str,
    /// Its weight, where the strategy is `weighted`.
    #[serde(skip_serializing_if = "Option::is_none")]
    weight: Option<u32>,
}

impl<'row> From<&'row Rule> for RouteRuleBody<'row> {
    fn from(rule: &'row Rule) -> Self {
        let strategy = rule.target.strategy();
        let share = |(channel, weight)| {
            let channel: &crate::domain::ids::ChannelId = channel;
            let weight = (strategy == Strategy::Weighted).then_some(weight);
            RouteShareBody { channel: channel.as_str(), weight }
        };
        let condition =
            |one: &Condition| ConditionBody { condition: one.name(), values: one.values() };
        Self {
            name: &rule.name,
            strategy: strategy.name(),
            conditions: rule.conditions.iter().map(condition).collect(),
            channels: rule.target.named_weights().map(|named| named.map(share).collect()),
            fall_through: rule.fall_through,
        }
    }
}

/// `GET /v1/routes`
pub async fn all(
    State(state): State<Arc<ApiState>>,
    MayInspect(_): MayInspect,
    uri: Uri,
) -> Result<Response, ApiError> {
    Query::of(&uri).finish()?;
    let routes = state.intake.routes();
    let body = RoutesBody {
        is_default: routes.origin == Origin::Default,
        rules: routes.rules.iter().map(RouteRuleBody::from).collect(),
        held: state.reloads.held().map(|held| HeldReloadBody::from(&*held)),
    };
    Ok(json(StatusCode::OK, &body))
}
