//! The daily report of a channel.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::{StatusCode, Uri};
use schemars::JsonSchema;
use serde::Serialize;

use crate::api::ApiState;
use crate::api::auth::MayInspect;
use crate::api::channels::{channel_id, unknown_channel};
use crate::api::dto::{MomentText, Text, json};
use crate::api::error::ApiError;
use crate::api::input::PathSegment;
use crate::api::input::query::Query;
use crate::api::reconciliation::body::SettledBody;
use crate::codec::word;
use crate::domain::books::day_close::DayClose;
use crate::domain::books::reconciliation::Reconciliation;
use crate::domain::ids::BatchId;
use crate::domain::money::Currency;
use crate::domain::report::{ClearingSums, Volume};
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

/// A report.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "DayReport")]
pub struct DayReportBody<'row> {
    /// The channel.
    channel: &'row str,
    /// The clearing date.
    date: Text<BusinessDate>,
    /// When the report was made.
    made_at: MomentText,
    /// The close, once the day is closed.
    #[serde(skip_serializing_if = "Option::is_none")]
    closed: Option<ClosedBody<'row>>,
    /// Orders and attempts by operation.
    volume: Vec<VolumeBody>,
    /// Successes among what the channel answered for, in millionths.
    #[serde(skip_serializing_if = "Option::is_none")]
    success_rate_ppm: Option<u32>,
    /// Clearing records by movement.
    clearing: Vec<ClearedBody<'row>>,
    /// Claims against the books.
    contradicted: Vec<ClearedBody<'row>>,
    /// Clearing records by the fee's rule.
    fees: Vec<ClearedBody<'row>>,
    /// The channel's cost against the core's income.
    profit: Vec<ProfitBody>,
    /// The current batch.
    #[serde(skip_serializing_if = "Option::is_none")]
    statement: Option<StatementBody>,
    /// Open differences by class.
    differences: Vec<DifferencesBody>,
    /// Suspense by age.
    suspense: Vec<SuspenseBody>,
    /// What is settled, by currency.
    settlement: Vec<StandingBody>,
}

/// Its close.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "DayClosed")]
pub(super) struct ClosedBody<'row> {
    /// When.
    at: MomentText,
    /// Whoever closed it.
    by: &'row str,
}

impl<'row> From<&'row DayClose> for ClosedBody<'row> {
    fn from(close: &'row DayClose) -> Self {
        Self { at: MomentText(close.at), by: &close.by }
    }
}

/// An amount.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "CurrencyAmount")]
struct AmountBody {
    /// An ISO 4217 code.
    #[schemars(with = "word::CurrencyWord")]
    currency: &'static str,
    /// In minor units.
    amount: WideInteger,
}

/// A volume.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "OrderVolume")]
struct VolumeBody {
    /// The operation.
    operation: &'static str,
    /// How many orders were accepted.
    orders: u64,
    /// How many of them have succeeded.
    succeeded: u64,
    /// How many have failed.
    failed: u64,
    /// How many were reversed.
    reversed: u64,
    /// How many are open.
    open: u64,
    /// The orders' amounts.
    asked: Vec<AmountBody>,
    /// How many attempts there were.
    attempts: u64,
    /// How many of them were approved.
    approved: u64,
    /// How many failed by the channel's fault.
    faults: u64,
    /// How many were not sent.
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
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ClearingSums")]
struct ClearedBody<'row> {
    /// The movement, where records are put together by it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<word::OperationWord>")]
    movement: Option<&'static str>,
    /// The fee's rule, where records are put together by it.
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<&'row str>,
    /// An ISO 4217 code.
    #[schemars(with = "word::CurrencyWord")]
    currency: &'static str,
    /// How many records.
    records: u64,
    /// In minor units.
    principal: WideInteger,
    /// In minor units.
    fee: WideInteger,
    /// Principal less fee, in minor units.
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

/// A profit.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "DayProfit")]
struct ProfitBody {
    /// An ISO 4217 code.
    #[schemars(with = "word::CurrencyWord")]
    currency: &'static str,
    /// How many orders have a `merchant_fee`.
    orders: u64,
    /// The sum of these, in minor units.
    merchant_fee: WideInteger,
    /// The sum of the channel's fees for them.
    channel_fee: WideInteger,
    /// The difference.
    margin: WideInteger,
    /// Orders of which the core gave no fee: they are in none of the sums.
    without: u64,
}

/// Its statement.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ReportedStatement")]
pub(super) struct StatementBody {
    /// The batch's number.
    batch: Text<BatchId>,
    /// The revision of the statement.
    revision: u16,
    /// Whether nothing differs.
    agreed: bool,
    /// How many differences it found.
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

/// Open differences.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "OpenDifferences")]
struct DifferencesBody {
    /// What differs.
    #[schemars(with = "word::ClassWord")]
    class: &'static str,
    /// How many are carried over.
    carried: u64,
    /// How many are in suspense.
    suspended: u64,
}

/// Suspense.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "SuspenseSums")]
struct SuspenseBody {
    /// In days.
    #[schemars(with = "word::AgeWord")]
    age: &'static str,
    /// An ISO 4217 code.
    #[schemars(with = "word::CurrencyWord")]
    currency: &'static str,
    /// How many differences.
    differences: u64,
    /// What is held as receivable, in minor units.
    receivable: WideInteger,
    /// What is held as payable, in minor units.
    payable: WideInteger,
}

/// A standing.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "SettlementStanding")]
struct StandingBody {
    /// An ISO 4217 code.
    #[schemars(with = "word::CurrencyWord")]
    currency: &'static str,
    /// How it stands.
    #[schemars(with = "word::StandingWord")]
    state: &'static str,
    /// What the statements say.
    #[serde(skip_serializing_if = "Option::is_none")]
    stated: Option<SettledBody>,
    /// What was settled.
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
