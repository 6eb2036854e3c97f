//! The books as they are kept: transactions with their vouchers, and what was said against them.

mod contradictions;
mod transactions;

use std::sync::Arc;

use axum::Router;
use axum::routing::get;

use crate::api::ApiState;

/// The routes of this folder.
pub fn routes() -> Router<Arc<ApiState>> {
    Router::new()
        .route("/v1/transactions", get(transactions::all))
        .route("/v1/transactions/{id}", get(transactions::one))
        .route("/v1/contradictions", get(contradictions::all))
}
