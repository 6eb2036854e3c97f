//! The pages: which calls each is made of, and which call each form makes.

mod actions;
mod approvals;
mod bins;
mod channels;
mod deliveries;
mod orders;
mod raw;
mod reconciliation;
mod today;
mod what_if;

use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};
use http::StatusCode;

use super::Console;
use super::desk::{PageResult, PageVisit, Stop};
use super::once::carry_out_once;

/// The routes of all pages. What a form changes it changes once; questions may be asked again.
pub fn routes(console: &Arc<Console>) -> Router<Arc<Console>> {
    let changes = changes().route_layer(from_fn_with_state(Arc::clone(console), carry_out_once));
    questions().merge(changes)
}

fn questions() -> Router<Arc<Console>> {
    Router::new()
        .route("/console", get(today::show))
        .route("/console/orders", get(orders::all))
        .route("/console/orders/find", post(orders::find))
        .route("/console/orders/{id}", get(orders::one))
        .route("/console/unknowns", get(orders::unknowns))
        .route("/console/channels", get(channels::all))
        .route("/console/channels/{id}", get(channels::one))
        .route("/console/routes", get(bins::routes).post(bins::explain))
        .route("/console/routes/what-if", get(what_if::show).post(what_if::replay))
        .route("/console/bins", get(bins::show))
        .route("/console/bins/changes", get(bins::changes))
        .route("/console/bins/proposals", get(bins::proposals))
        .route("/console/reconciliation", get(reconciliation::all))
        .route("/console/reconciliation/{channel}", get(reconciliation::channel))
        .route("/console/reconciliation/{channel}/{date}", get(reconciliation::date))
        .route("/console/batches/{batch}", get(reconciliation::batch))
        .route("/console/differences", get(reconciliation::differences))
        .route("/console/differences/{id}", get(reconciliation::difference))
        .route("/console/settlement", get(reconciliation::settlements))
        .route("/console/settlement/{id}", get(reconciliation::settlement))
        .route("/console/accounting", get(deliveries::accounting))
        .route("/console/accounting/{id}", get(deliveries::request))
        .route("/console/notices", get(deliveries::notices))
        .route("/console/approvals", get(approvals::all))
        .route("/console/audit", get(bins::audit))
        .route("/console/settings", get(bins::settings))
        .route("/console/json/{*call}", get(raw::json))
        .route("/console/{*rest}", get(nothing))
}

fn changes() -> Router<Arc<Console>> {
    Router::new()
        .route("/console/orders/{id}/retry", post(orders::retry))
        .route("/console/orders/{id}/resolve", post(orders::resolve))
        .route("/console/orders/{id}/actions/{name}", post(actions::carry_out))
        .route("/console/channels/{id}/switch", post(channels::switch))
        .route("/console/routes/reload", post(bins::reload))
        .route("/console/bins/refresh", post(bins::refresh))
        .route("/console/bins/rollback", post(bins::rollback))
        .route("/console/bins/proposals/{id}/{verb}", post(bins::decide))
        .route("/console/reconciliation/{channel}/{date}/{act}", post(reconciliation::act))
        .route("/console/differences/resolve", post(reconciliation::resolve))
        .route("/console/settlement", post(reconciliation::record))
        .route("/console/settlement/{id}/check", post(reconciliation::check))
        .route("/console/accounting/retry", post(deliveries::retry_accounting))
        .route("/console/accounting/{id}/withdraw", post(deliveries::withdraw))
        .route("/console/notices/retry", post(deliveries::retry_notices))
        .route("/console/approvals/{id}/{verb}", post(approvals::decide))
}

/// A path that is no page.
async fn nothing(visit: PageVisit) -> PageResult {
    let title = visit.language().text("problem.no_page");
    let problem = serde_json::json!({ "title": title, "detail": "" });
    visit.page("problem").show_refused(StatusCode::NOT_FOUND, &problem)
}

/// A path's variable part, fit to stand in the path of a call: what is no id stands for none.
fn plain(id: &str) -> Result<&str, Stop> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let known = !id.is_empty() && id.bytes().all(is_plain) && !id.contains("..");
    known.then_some(id).ok_or_else(|| Stop::from(super::desk::see("/console/nothing")))
}
