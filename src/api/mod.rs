//! The HTTP server: its routes, its limits, and how it stops.
//!
//! Handlers turn a request into one command and its reply into JSON; rules are elsewhere. A request
//! that fails a check or lacks a permission ends here, before anything is written or sent. Every
//! answer about an order shows its durable state (I-12).

pub mod auth;
pub mod call;
pub mod dto;
pub mod error;
pub mod input;
pub mod language;

pub mod payment_codes;
pub mod payments;

pub mod accounting;
mod agreements;
mod approvals;
pub mod held;
pub mod bins;
mod books;
pub mod channels;
pub mod clearing;
pub mod notices;
pub mod openapi;
pub mod operations;
mod orders;
mod page;
pub mod reconciliation;
pub mod reversals;
mod server;
mod stream;
pub mod verifications;

pub use server::tls::ListenerTls;
pub use server::{Listener, serve};

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::extract::{MatchedPath, Request};
use axum::middleware::{self, Next};
use axum::response::Response;
use metrics_exporter_prometheus::PrometheusHandle;
use tracing::Instrument as _;

use crate::channel::registry::Registry;
use crate::clock::stopwatch;
use crate::config::checked::Settings;
use crate::config::server::ListenerKind;
use crate::domain::card::luhn_fits;
use crate::domain::card::words::{CardEcho, holds_card_number};
use crate::domain::order::Instruction;
use crate::engine::Engine;
use crate::engine::intake::Intake;
use crate::engine::reload::Reloads;
use crate::engine::shared_settings::SharedSettings;
use crate::entropy::Entropy;
use crate::reconciliation::incoming::{ImportDesk, StatementDesk};
use crate::reconciliation::suspense::{DifferenceDesk, SettlementDesk};
use crate::tables::bin::LiveBinTable;
use crate::telemetry::RouteMetrics;
use crate::telemetry::workers::WorkerReports;
use auth::Callers;
use error::{ApiError, ProblemCode};
use input::BodyLimits;
use input::json::JsonFields;
use input::order::{self, FieldRules};
use reconciliation::upload::Uploads;

/// What a listener serves beside the API's own routes.
pub type ServedPages = Router;

/// The handlers' shared state.
pub struct ApiState {
    pub engine: Arc<Engine>,
    pub intake: Arc<Intake>,
    pub registry: Arc<Registry>,
    pub bins: Arc<LiveBinTable>,
    pub reloads: Arc<Reloads>,
    /// What all nodes of the store run; `None` where the files are this machine's own.
    pub shared: Option<Arc<SharedSettings>>,
    pub statements: Arc<StatementDesk>,
    pub imports: Arc<ImportDesk>,
    pub differences: Arc<DifferenceDesk>,
    pub settlements: SettlementDesk,
    /// Places for statements that are being handed in.
    pub uploads: Uploads,
    pub callers: Callers,
    pub settings: Arc<Settings>,
    pub metrics: PrometheusHandle,
    pub workers: WorkerReports,
    /// Held by whoever carries out an approved action on files.
    pub approving: tokio::sync::Mutex<()>,
    /// For the ids of calls that bring none.
    pub entropy: Entropy,
    /// Set by whoever starts the process, when recovery has gone through what was left open.
    pub ready: AtomicBool,
    /// Set when the server stops: orders are refused from then on.
    pub stopping: AtomicBool,
}

impl ApiState {
    fn body_limits(&self) -> BodyLimits {
        let server = &self.settings.server;
        BodyLimits { bytes_max: server.body_bytes_max, timeout: server.request_timeout }
    }

    fn field_rules(&self) -> FieldRules<'_> {
        let settings = &self.settings;
        FieldRules { plain_http_to: &settings.plain_http_to, luhn_waiver: &settings.luhn_waiver }
    }

    /// An operator's reason, where one is given.
    fn reason(&self, fields: &mut JsonFields<'_>) -> Result<Option<String>, ApiError> {
        let reason = order::plain(fields, "reason", order::REASON_LENGTH_MAX, |_| true)?;
        self.refuse_card_number("reason", reason.as_deref(), CardEcho::NONE)?;
        Ok(reason)
    }

    /// Refuses a text that would come to rest with a card number in clear (I-11): the number of
    /// `card`, or one that fits its check digit and a row of the BIN table for its length. An order
    /// number of digits alone is not enough to be one.
    fn refuse_card_number<'t>(
        &self,
        field: &'static str,
        text: impl Into<Option<&'t str>>,
        card: CardEcho<'_>,
    ) -> Result<(), ApiError> {
        let Some(text) = text.into() else { return Ok(()) };
        let bins = self.bins.current();
        let issued = |digits: &[u8]| luhn_fits(digits) && bins.table.lookup(digits).is_some();
        if card.has_number_in(text) || holds_card_number(text, issued) {
            let detail = "the field holds a card number, and its text is stored and shown in plain";
            return Err(ApiError::of_field(ProblemCode::CardNumberFound, field, detail));
        }
        Ok(())
    }

    /// The same of every text of an instruction.
    fn refuse_card_numbers(&self, asked: &Instruction, card: CardEcho<'_>) -> Result<(), ApiError> {
        self.refuse_card_number("order_id", asked.caller_order_id.as_str(), card)?;
        self.refuse_card_number("merchant_id", asked.merchant_id.as_str(), card)?;
        self.refuse_card_number("description", asked.description.as_deref(), card)?;
        self.refuse_card_number("notify_url", asked.notify_url.as_deref(), card)
    }

    /// Refuses orders while stopping, and once the store has failed.
    fn refuse_when_closed(&self) -> Result<(), ApiError> {
        if self.stopping.load(Ordering::Relaxed) {
            return Err(ApiError::new(ProblemCode::Stopping, "nothing was done; come back soon"));
        }
        if !self.engine.takes_orders() {
            let detail = "no orders are taken until the process starts anew";
            return Err(ApiError::new(ProblemCode::StoreFailed, detail));
        }
        Ok(())
    }
}

/// Carries a change to its end even if its caller hangs up: the steps after a commit (its entry in
/// the audit trail, the waking of waiters) must not depend on a connection.
pub async fn run_detached<T: Send + 'static>(
    work: impl Future<Output = Result<T, ApiError>> + Send + 'static,
) -> Result<T, ApiError> {
    tokio::spawn(work.in_current_span()).await.unwrap_or_else(|error| {
        tracing::error!(%error, "a call has panicked");
        let detail = "the call has panicked; read the resource before sending it again";
        Err(ApiError::new(ProblemCode::Internal, detail))
    })
}

/// The routes of a listener: its own, or all that have none of their own, and pages beside them.
pub fn router(state: Arc<ApiState>, kind: ListenerKind, pages: ServedPages) -> Router {
    let server = &state.settings.server;
    let is_here = |own| match kind {
        ListenerKind::Api => own == ListenerKind::Api || server.listener(own).is_none(),
        other => own == other,
    };
    openapi::router(is_here)
        .with_state(state)
        .merge(pages)
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn(count))
        .fallback(no_route)
}

async fn no_route() -> ApiError {
    ApiError::not_found("no route has this path")
}

async fn wrong_method() -> ApiError {
    ApiError::new(
        ProblemCode::MethodNotAllowed,
        "the header Allow says which methods are used here",
    )
}

/// Counts an answered call by its route's template: paths hold ids, and would have no bound.
async fn count(matched: MatchedPath, request: Request, next: Next) -> Response {
    let started = stopwatch();
    call::has_route(matched.as_str());
    let response = next.run(request).await;
    RouteMetrics::of(matched.as_str()).count(response.status().as_u16(), started.elapsed());
    response
}
