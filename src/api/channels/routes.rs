//! The rules in force.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::{StatusCode, Uri};
use serde::Serialize;

use crate::api::ApiState;
use crate::api::auth::MayInspect;
use crate::api::dto::json;
use crate::api::error::ApiError;
use crate::api::input::query::Query;
use crate::domain::route::condition::Condition;
use crate::domain::route::{Rule, Strategy};
use crate::tables::routes::Origin;

#[derive(Serialize)]
struct RoutesBody<'row> {
    /// Whether there is no routes file, so that one rule holds for all.
    is_default: bool,
    rules: Vec<RouteRuleBody<'row>>,
}

#[derive(Serialize)]
struct RouteRuleBody<'row> {
    name: &'row str,
    strategy: &'static str,
    conditions: Vec<ConditionBody>,
    /// Absent: every live one.
    #[serde(skip_serializing_if = "Option::is_none")]
    channels: Option<Vec<RouteShareBody<'row>>>,
    fall_through: bool,
}

#[derive(Serialize)]
struct ConditionBody {
    condition: &'static str,
    values: Vec<String>,
}

#[derive(Serialize)]
struct RouteShareBody<'row> {
    channel: &'row str,
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
    };
    Ok(json(StatusCode::OK, &body))
}
