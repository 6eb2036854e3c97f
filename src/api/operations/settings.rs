//! The settings as they are in force.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::{StatusCode, Uri};
use schemars::JsonSchema;
use serde::Serialize;

use crate::api::ApiState;
use crate::api::auth::MayInspect;
use crate::api::dto::json;
use crate::api::error::ApiError;
use crate::api::input::query::Query;
use crate::config::in_force::SettingInForce;

/// Settings.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Settings")]
pub struct SettingsBody<'row> {
    /// Every setting.
    settings: Vec<SettingBody<'row>>,
}

/// A setting.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Setting")]
struct SettingBody<'row> {
    /// Its sections and key.
    path: &'row str,
    /// Its value, as TOML writes it.
    value: &'row str,
    /// The file or variable that gives it; absent where it is the default.
    #[serde(skip_serializing_if = "Option::is_none")]
    given_by: Option<&'row str>,
    /// The line of the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<usize>,
}

impl<'row> From<&'row SettingInForce> for SettingBody<'row> {
    fn from(setting: &'row SettingInForce) -> Self {
        let SettingInForce { path, value, given_by, line } = setting;
        Self { path, value, given_by: given_by.as_deref(), line: *line }
    }
}

/// `GET /v1/settings`
pub async fn all(
    State(state): State<Arc<ApiState>>,
    MayInspect(_): MayInspect,
    uri: Uri,
) -> Result<Response, ApiError> {
    Query::of(&uri).finish()?;
    let settings = state.settings.in_force.iter().map(SettingBody::from).collect();
    Ok(json(StatusCode::OK, &SettingsBody { settings }))
}
