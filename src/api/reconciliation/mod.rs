//! Reconciliation as operators see it: statements handed in, batches, differences, settlements, the
//! daily report.

pub mod batches;
mod body;
pub mod days;
pub mod differences;
mod error;
pub mod report;
pub mod settlements;
pub mod upload;

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};

use crate::api::ApiState;

/// The routes of this folder, but for the statements that a channel's path has.
pub fn routes() -> Router<Arc<ApiState>> {
    Router::new()
        .route("/v1/channels/{id}/reconciliations", post(batches::run_again))
        .route(
            "/v1/channels/{id}/settlements",
            post(settlements::record).get(settlements::of_channel),
        )
        .route("/v1/channels/{id}/days", get(days::of_channel))
        .route("/v1/channels/{id}/report", get(report::of_date))
        .route("/v1/reconciliations", get(batches::all))
        .route("/v1/reconciliations/{batch}", get(batches::one))
        .route("/v1/reconciliations/{batch}/differences", get(differences::of_batch))
        .route("/v1/differences", get(differences::open))
        .route("/v1/differences/{id}", get(differences::one))
        .route("/v1/differences/{id}/resolve", post(differences::resolve))
        .route("/v1/settlements/{id}", get(settlements::one))
        .route("/v1/settlements/{id}/check", post(settlements::check))
}
