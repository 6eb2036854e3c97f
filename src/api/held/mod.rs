//! Actions that wait for a second person (four eyes): a handler whose action may need two people
//! asks here before it does anything.

mod body;

pub use body::{ApprovalBody, HeldBody};

use std::sync::Arc;

use axum::response::Response;
use http::StatusCode;

use crate::api::auth::Seat;
use crate::api::dto::json;
use crate::api::error::ApiError;
use crate::api::{ApiState, run_detached};
use crate::domain::approval::HeldAction;

/// Keeps an action for a second person: 202 with the request. Nothing else happens.
pub async fn ask(
    state: Arc<ApiState>,
    seat: &Seat,
    action: HeldAction,
    reason: String,
) -> Result<Response, ApiError> {
    let (asker, expires_after) = (seat.operator(), state.settings.four_eyes.expires_after);
    let asked = run_detached(async move {
        let present = state.engine.clock().present();
        let asked = state.engine.ask_approval(action, asker, reason, expires_after).await?;
        Ok((asked, present))
    });
    let (asked, present) = asked.await?;
    let approval = ApprovalBody::of(&asked, &present);
    Ok(json(StatusCode::ACCEPTED, &HeldBody { approval }))
}
