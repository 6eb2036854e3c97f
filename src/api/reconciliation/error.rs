//! Refusals and failures of reconciliation as problems.

use serde_json::json as value;

use crate::api::channels::unknown_channel;
use crate::api::error::{ApiError, ProblemCode};
use crate::api::input::query::Query;
use crate::domain::books::difference::BalanceRefusal;
use crate::reconciliation::matching::MatchError;
use crate::reconciliation::{InboxError, ReconciliationError};
use crate::telemetry;

pub fn no_such_difference() -> ApiError {
    ApiError::not_found("no difference has this id")
}

impl From<BalanceRefusal> for ApiError {
    fn from(refusal: BalanceRefusal) -> Self {
        let (name, detail) = (refusal.name(), refusal.to_string());
        let error = match refusal {
            BalanceRefusal::Balanced | BalanceRefusal::Cleared | BalanceRefusal::Exhausted => {
                Self::new(ProblemCode::WrongPhase, detail)
            }
            BalanceRefusal::NoReason => Self::of_field(ProblemCode::MissingField, "reason", detail),
            BalanceRefusal::NoMoney | BalanceRefusal::Money => {
                Self::of_field(ProblemCode::RemedyRefused, "remedy", detail)
            }
            BalanceRefusal::NoMerchant | BalanceRefusal::OtherMerchant { .. } => {
                Self::of_field(ProblemCode::RemedyRefused, "merchant_id", detail)
            }
        };
        error.with("reason", name.into())
    }
}

impl From<ReconciliationError> for ApiError {
    fn from(error: ReconciliationError) -> Self {
        let (name, detail) = (error.name(), error.to_string());
        match error {
            ReconciliationError::UnknownChannel { .. } => unknown_channel(),
            ReconciliationError::NoStatements { .. }
            | ReconciliationError::NoLayout { .. }
            | ReconciliationError::DateOpen { .. }
            | ReconciliationError::NoFile { .. } => {
                Self::new(ProblemCode::NoStatement, detail).with("reason", name.into())
            }
            ReconciliationError::StandsElsewhere { date } => {
                Self::new(ProblemCode::StatementRefused, detail)
                    .with("reason", name.into())
                    .with("stands_under", date.to_string().into())
            }
            ReconciliationError::Name => Query::invalid("name", detail),
            ReconciliationError::TooManyRevisions => Self::new(ProblemCode::WrongPhase, detail),
            ReconciliationError::Refused { batch, problem } => {
                refused(&problem).with("batch", batch.to_string().into())
            }
            ReconciliationError::NoSuchDifference { .. } => no_such_difference(),
            ReconciliationError::Balance(refusal) => refusal.into(),
            ReconciliationError::Store(error) => error.into(),
            ReconciliationError::Engine(error) => error.into(),
            ReconciliationError::Land(InboxError::Store(error)) => error.into(),
            ReconciliationError::AtAnotherNode { .. } => Self::new(ProblemCode::QueueFull, detail),
            ReconciliationError::RefusedThere { .. } => {
                Self::new(ProblemCode::StatementRefused, detail).with("reason", name.into())
            }
            ReconciliationError::Failed(_)
            | ReconciliationError::Land(_)
            | ReconciliationError::Io { .. }
            | ReconciliationError::Died => {
                tracing::error!(
                    error = %telemetry::chain(&error),
                    "a statement could not be reconciled; it can be run again"
                );
                Self::new(
                    ProblemCode::Internal,
                    "the statement could not be reconciled; run it again",
                )
            }
        }
    }
}

/// Why the file is refused, by its line where there is one; never with the place that it lies in.
fn refused(problem: &MatchError) -> ApiError {
    let refusal = |reason: &'static str, detail: String| {
        ApiError::new(ProblemCode::StatementRefused, detail).with("reason", reason.into())
    };
    match problem {
        MatchError::Line { line, problem, .. } => {
            let first = value!([{ "line": line, "problem": problem.to_string() }]);
            let faults = value!({ "first": first, "count": 1 });
            refusal("line", format!("line {line}: {problem}")).with("faults", faults)
        }
        MatchError::OtherDay { .. } => refusal("other_day", problem.to_string()),
        MatchError::Packed { problem, .. } => {
            refusal("packed", format!("the file cannot be unpacked: {problem}"))
        }
        MatchError::TooManyLines { .. } => {
            refusal("too_many_lines", "the file has too many lines".to_owned())
        }
        MatchError::TooManyBadLines { .. } => {
            refusal("too_many_bad_lines", "too many lines of it cannot be read".to_owned())
        }
        MatchError::TooManyDifferences { .. } => {
            refusal("too_many_differences", problem.to_string())
        }
        MatchError::Read { .. }
        | MatchError::Records { .. }
        | MatchError::Skewed
        | MatchError::Spill { .. }
        | MatchError::Write { .. }
        | MatchError::Died => {
            tracing::error!(error = %telemetry::chain(problem), "a statement cannot be read");
            ApiError::new(
                ProblemCode::Internal,
                "the statement could not be reconciled; run it again",
            )
        }
    }
}
