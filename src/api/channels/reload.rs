//! Channel files, routes and BIN table, read anew by a call: what a signal does, for whoever can be
//! asked.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use http::StatusCode;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;

use crate::api::auth::MayOperate;
use crate::api::channels::replay::refused;
use crate::api::dto::{MomentText, json as json_answer};
use crate::api::error::{ApiError, ProblemCode};
use crate::api::input::json::JsonFields;
use crate::api::input::read_json;
use crate::api::{ApiState, run_detached};
use crate::config::mistake::Mistake;
use crate::domain::ids::ChannelId;
use crate::domain::route::replay::moves::{ChannelMove, PlanMoves};
use crate::engine::reload::{HeldReload, ReloadCall, ReloadRefusal, Reloaded};
use crate::tables::routes::RoutesRefusal;

/// What is in force after a reload.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Reloaded")]
pub struct ReloadedBody {
    /// How many channels there are.
    channels: usize,
    /// How many rules; absent where nodes share their settings, and credentials alone are read.
    #[serde(skip_serializing_if = "Option::is_none")]
    rules: Option<usize>,
    /// What names the files that were read.
    #[serde(skip_serializing_if = "Option::is_none")]
    files: Option<String>,
    /// What it does to the last day's orders; absent where it touches no plan.
    #[serde(skip_serializing_if = "Option::is_none")]
    moves: Option<PlanMovesBody>,
    /// Whether a newer version of the BIN table is in force.
    bin_table_changed: bool,
}

/// What a change does to the last day's orders.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "PlanMoves")]
pub struct PlanMovesBody {
    /// How many were planned again: the newest 10,000 at most.
    orders: u64,
    /// How many of them go to another channel first, or to none.
    moved: u64,
    /// The share, in millionths.
    share_ppm: u32,
    /// The ten largest moves, the largest first.
    largest: Vec<ChannelMoveBody>,
}

/// Orders that go from one channel to another.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ChannelMove")]
struct ChannelMoveBody {
    /// Their first channel in force; `null`: no channel takes them.
    from: Option<String>,
    /// Their first channel under the files, or `null`.
    to: Option<String>,
    /// How many.
    orders: u64,
}

/// A reload that waits for a person's yes.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "HeldReload")]
pub struct HeldReloadBody {
    /// When it was held.
    at: MomentText,
    /// What names the files that were read: send it with `accept_moves` to accept these alone.
    files: String,
    /// What the files would do.
    moves: PlanMovesBody,
}

impl From<&PlanMoves> for PlanMovesBody {
    fn from(moves: &PlanMoves) -> Self {
        let text = |id: &Option<ChannelId>| id.as_ref().map(ToString::to_string);
        let body = |one: &ChannelMove| ChannelMoveBody {
            from: text(&one.from),
            to: text(&one.to),
            orders: one.orders,
        };
        Self {
            orders: moves.orders,
            moved: moves.moved,
            share_ppm: moves.share_ppm(),
            largest: moves.largest.iter().map(body).collect(),
        }
    }
}

impl From<&HeldReload> for HeldReloadBody {
    fn from(held: &HeldReload) -> Self {
        Self { at: MomentText(held.at), files: held.files.clone(), moves: (&held.moves).into() }
    }
}

impl From<&Reloaded> for ReloadedBody {
    fn from(reloaded: &Reloaded) -> Self {
        Self {
            channels: reloaded.channels,
            rules: reloaded.rules,
            files: reloaded.files.clone(),
            moves: reloaded.moves.as_ref().map(PlanMovesBody::from),
            bin_table_changed: reloaded.bin_table,
        }
    }
}

/// `POST /v1/reload`: kept in the audit trail before it takes effect.
pub async fn reload(
    State(state): State<Arc<ApiState>>,
    MayOperate(seat): MayOperate,
    request: Request,
) -> Result<Response, ApiError> {
    let (parts, body) = request.into_parts();
    let body = read_json(&parts, body, state.body_limits()).await?;
    let mut fields = JsonFields::parse(&body)?;
    let accepts_moves = fields.boolean("accept_moves")?.unwrap_or(false);
    let files = fields.text("files")?.map(std::borrow::Cow::into_owned);
    if files.is_some() && !accepts_moves {
        return Err(fields.invalid("files", "it is for `accept_moves` alone"));
    }
    let reason = state.reason(&mut fields)?.ok_or_else(|| fields.missing("reason"))?;
    fields.finish()?;
    let call = ReloadCall { who: seat.name().to_string(), reason, accepts_moves, files };
    let reloaded = run_detached(async move {
        let reloaded = state.reloads.reload(Some(&call)).await;
        reloaded.map_err(|refusal| problem(refusal, &call))
    });
    Ok(json_answer(StatusCode::OK, &ReloadedBody::from(&reloaded.await?)))
}

fn problem(refusal: ReloadRefusal, call: &ReloadCall) -> ApiError {
    match refusal {
        ReloadRefusal::Mistaken { channels, routes } => {
            let routes = routes.map_or_else(Vec::new, mistakes_of);
            refused(&channels.into_iter().chain(routes).collect::<Vec<_>>(), "reloaded")
        }
        ReloadRefusal::Held(held) => {
            let before = match call.accepts_moves {
                true => "the files are others than those whose moves were shown; ",
                false => "",
            };
            let detail = format!("{before}{}; what was in force stays", held.moves);
            let body = json!(HeldReloadBody::from(&*held));
            ApiError::new(ProblemCode::ReloadHeld, detail).with("held", body)
        }
        ReloadRefusal::Engine(error) => error.into(),
    }
}

fn mistakes_of(refusal: RoutesRefusal) -> Vec<Mistake> {
    let of_file = |path: &std::path::Path, problem: &str, advice| {
        vec![Mistake::new(&path.display().to_string(), 0, "", problem, advice)]
    };
    match refusal {
        RoutesRefusal::Mistaken { mistakes } => mistakes,
        RoutesRefusal::Gone { path } => {
            of_file(&path, "is gone", "put it back, or restart without it")
        }
        RoutesRefusal::Unreadable { path, source } => {
            of_file(&path, &format!("cannot be read: {source}"), "check the file's rights")
        }
    }
}
