//! The daily report of a channel.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::{StatusCode, Uri};
use serde::Serialize;

use crate::api::ApiState;
use crate::api::auth::MayInspect;
use crate::api::channels::{channel_id, unknown_channel};
use crate::api::dto::{MomentText, Text, json};
use crate::api::error::ApiError;
use crate::api::input::PathSegment;
use crate::api::input::query::Query;
use crate::api::reconciliation::body::SettledBody;
use crate::domain::books::day_close::DayClose;
use crate::domain::books::reconciliation::Reconciliation;
use crate::domain::books::report::{ClearingSums, Volume};
use crate::domain::ids::BatchId;
use crate::domain::money::Currency;
use crate::domain::time::BusinessDate;
use crate::reconciliation::matching::form::WideInteger;
use crate::reconciliation::report::{CurrencyStanding, DayReport, report};

/// `GET /v1/channels/{id}/report?date=`
pub async fn of_date(
    State(state): State<Arc<ApiState>>,
    MayInspect(_): MayInspect,
    PathSegment(id): PathSegment,
    uri: Uri,
) -> Result<Response, ApiError> {
    let mut query = Query::of(&uri);
    let date = query.date()?;
    query.finish()?;
    let channel = channel_id(&state, &id)?;
    let terms = state.engine.channels().terms(&channel).ok_or_else(unknown_channel)?;
    let made = report(&state.engine, channel, date, &terms.calendar).await?;
    Ok(json(StatusCode::OK, &DayReportBody::from(&made)))
}

#[derive(Serialize)]
struct DayReportBody<'row> {
    channel: &'row str,
    date: Text<BusinessDate>,
    made_at: MomentText,
    #[serde(skip_serializing_if = "Option::is_none")]
    closed: Option<ClosedBody<'row>>,
    volume: Vec<VolumeBody>,
    /// Successes among what the channel answered for, in millionths.
    #[serde(skip_serializing_if = "Option::is_none")]
    success_rate_ppm: Option<u32>,
    clearing: Vec<ClearedBody<'row>>,
    contradicted: Vec<ClearedBody<'row>>,
    fees: Vec<ClearedBody<'row>>,
    profit: Vec<ProfitBody>,
    #[serde(skip_serializing_if = "Option::is_none")]
    statement: Option<StatementBody>,
    differences: Vec<DifferencesBody>,
    suspense: Vec<SuspenseBody>,
    settlement: Vec<StandingBody>,
}

#[derive(Serialize)]
pub(super) struct ClosedBody<'row> {
    at: MomentText,
    by: &'row str,
}

impl<'row> From<&'row DayClose> for ClosedBody<'row> {
    fn from(close: &'row DayClose) -> Self {
        Self { at: MomentText(close.at), by: &close.by }
    }
}

#[derive(Serialize)]
struct AmountBody {
    currency: &'static str,
    amount: WideInteger,
}

#[derive(Serialize)]
struct VolumeBody {
    operation: &'static str,
    orders: u64,
    succeeded: u64,
    failed: u64,
    reversed: u64,
    open: u64,
    asked: Vec<AmountBody>,
    attempts: u64,
    approved: u64,
    faults: u64,
    not_sent: u64,
}

impl VolumeBody {
    fn of(operation: &'static str, volume: &Volume) -> Self {
        let asked = volume.asked_minor.iter();
        let amount = |(currency, minor): (&Currency, &i128)| AmountBody {
            currency: currency.name(),
            amount: WideInteger(*minor),
        };
        Self {
            operation,
            orders: volume.orders,
            succeeded: volume.succeeded,
            failed: volume.failed,
            reversed: volume.reversed,
            open: volume.open,
            asked: asked.map(amount).collect(),
            attempts: volume.attempts,
            approved: volume.approved,
            faults: volume.faults,
            not_sent: volume.not_sent,
        }
    }
}

/// Sums of clearing records, named by what they were put together by.
#[derive(Serialize)]
struct ClearedBody<'row> {
    #[serde(skip_serializing_if = "Option::is_none")]
    movement: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<&'row str>,
    currency: &'static str,
    records: u64,
    principal: WideInteger,
    fee: WideInteger,
    net: WideInteger,
}

impl<'row> ClearedBody<'row> {
    fn of(
        movement: Option<&'static str>,
        rule: Option<&'row str>,
        currency: Currency,
        sums: &ClearingSums,
    ) -> Self {
        Self {
            movement,
            rule,
            currency: currency.name(),
            records: sums.records,
            principal: WideInteger(sums.principal_minor),
            fee: WideInteger(sums.fee_minor),
            net: WideInteger(sums.principal_minor - sums.fee_minor),
        }
    }
}

#[derive(Serialize)]
struct ProfitBody {
    currency: &'static str,
    orders: u64,
    merchant_fee: WideInteger,
    channel_fee: WideInteger,
    margin: WideInteger,
    /// Orders of which the core gave no fee: they are in none of the sums.
    without: u64,
}

#[derive(Serialize)]
pub(super) struct StatementBody {
    batch: Text<BatchId>,
    revision: u16,
    agreed: bool,
    differences: u32,
}

impl From<&Reconciliation> for StatementBody {
    fn from(batch: &Reconciliation) -> Self {
        Self {
            batch: Text(batch.id),
            revision: batch.revision,
            agreed: batch.report.is_agreed(),
            differences: batch.report.differences,
        }
    }
}

#[derive(Serialize)]
struct DifferencesBody {
    class: &'static str,
    carried: u64,
    suspended: u64,
}

#[derive(Serialize)]
struct SuspenseBody {
    /// In days.
    age: &'static str,
    currency: &'static str,
    differences: u64,
    receivable: WideInteger,
    payable: WideInteger,
}

#[derive(Serialize)]
struct StandingBody {
    currency: &'static str,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    stated: Option<SettledBody>,
    #[serde(skip_serializing_if = "Option::is_none")]
    settled: Option<SettledBody>,
}

impl From<&CurrencyStanding> for StandingBody {
    fn from(row: &CurrencyStanding) -> Self {
        Self {
            currency: row.currency.name(),
            state: row.standing.name(),
            stated: row.stated.as_ref().map(SettledBody::from),
            settled: row.settled.as_ref().map(SettledBody::from),
        }
    }
}

impl<'row> From<&'row DayReport> for DayReportBody<'row> {
    fn from(report: &'row DayReport) -> Self {
        let sums = &report.sums;
        let volume = sums.volume.iter();
        let cleared = sums.cleared.iter().map(|((movement, currency), row)| {
            ClearedBody::of(Some(movement.name()), None, *currency, row)
        });
        let contradicted = sums.contradicted.iter();
        let fees = sums
            .fees
            .iter()
            .map(|((rule, currency), row)| ClearedBody::of(None, Some(rule), *currency, row));
        let profit = sums.profit.iter().map(|(currency, row)| ProfitBody {
            currency: currency.name(),
            orders: row.orders,
            merchant_fee: WideInteger(row.merchant_fee_minor),
            channel_fee: WideInteger(row.channel_fee_minor),
            margin: WideInteger(row.merchant_fee_minor - row.channel_fee_minor),
            without: row.without,
        });
        let differences = sums.differences.iter().map(|(class, row)| DifferencesBody {
            class: class.name(),
            carried: row.carried,
            suspended: row.suspended,
        });
        let suspense = sums.suspense.iter().map(|((age, currency), row)| SuspenseBody {
            age: age.name(),
            currency: currency.name(),
            differences: row.differences,
            receivable: WideInteger(row.receivable_minor),
            payable: WideInteger(row.payable_minor),
        });
        Self {
            channel: sums.channel.as_str(),
            date: Text(sums.date),
            made_at: MomentText(report.at),
            closed: report.closed.as_ref().map(ClosedBody::from),
            volume: volume.map(|(one, row)| VolumeBody::of(one.name(), row)).collect(),
            success_rate_ppm: sums.success_rate_ppm(),
            clearing: cleared.collect(),
            contradicted: contradicted
                .map(|(currency, row)| ClearedBody::of(None, None, *currency, row))
                .collect(),
            fees: fees.collect(),
            profit: profit.collect(),
            statement: report.batch.as_ref().map(StatementBody::from),
            differences: differences.collect(),
            suspense: suspense.collect(),
            settlement: report.settlement.iter().map(StandingBody::from).collect(),
        }
    }
}
