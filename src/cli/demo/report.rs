//! The demo's report: tables for people, one line of JSON for programs.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::json;

use super::books::Books;
use super::checks::{DemoFindings, Witnesses};
use super::drain::Operator;
use super::load;
use super::town::CHANNELS;
use crate::cli::table::aligned;
use crate::domain::agreement::AgreementState;
use crate::domain::attempt::{Attempt, Source};
use crate::domain::books::accounting::DeliveryStatus;
use crate::domain::order::{Order, OrderKind, OrderStatus};
use crate::domain::verification::VerificationVerdict;
use crate::simulator::SimulatorEvent;

/// Broken invariants that are printed one by one.
const VIOLATIONS_SHOWN_MAX: usize = 20;

/// Everything that is reported.
pub struct DemoReport<'run> {
    pub books: &'run Books,
    pub witnesses: &'run Witnesses,
    pub findings: &'run DemoFindings,
    pub operator: Operator,
    /// The faults of all channels.
    pub happenings: Vec<(SimulatorEvent, u64)>,
    /// Alerts that would have called somebody, by kind.
    pub alerts: Vec<(String, u64)>,
    pub load: Duration,
    pub elapsed: Duration,
}

impl DemoReport<'_> {
    fn with_status(&self, status: OrderStatus) -> usize {
        self.books.payments().filter(|order| order.status == status).count()
    }

    /// Orders of a kind that succeeded.
    fn succeeded(&self, kind: &str) -> usize {
        let of_kind =
            self.books.core_orders().filter(|order| order.instruction.kind.name() == kind);
        of_kind.filter(|order| order.status == OrderStatus::Succeeded).count()
    }

    /// Payouts to accounts.
    fn to_accounts(&self) -> impl Iterator<Item = &Order> {
        self.books.core_orders().filter(|order| {
            let instrument = order.instruction.instrument.as_ref();
            instrument.is_some_and(|one| one.account().is_some())
        })
    }

    fn with_verdict(&self, verdict: VerificationVerdict) -> usize {
        let verified = self.witnesses.answers.iter().filter_map(|one| one.verification.as_ref());
        verified.filter(|one| one.verdict == verdict.name()).count()
    }

    /// Cards that were bound.
    fn bound(&self) -> usize {
        let bound = self.witnesses.answers.iter().filter_map(|one| one.bound.as_ref());
        bound.filter(|one| one.state == AgreementState::Active.name()).count()
    }

    fn paid_by_agreement(&self) -> usize {
        let orders = self.books.payments_by_agreement();
        orders.filter(|order| order.status == OrderStatus::Succeeded).count()
    }

    fn acknowledged_notices(&self) -> usize {
        let taken = |status| status == DeliveryStatus::Acknowledged;
        self.books.notices.values().filter(|notice| taken(notice.delivery.status)).count()
    }

    fn acknowledged_bookings(&self) -> usize {
        let taken = |status| status == DeliveryStatus::Acknowledged;
        self.books.accounting.iter().filter(|request| taken(request.delivery.status)).count()
    }

    /// Attempts of payments whose result was unknown at some time.
    fn ever_unknown(&self) -> Vec<&Attempt> {
        let attempts = self.books.payments().flat_map(|order| &order.attempts);
        attempts.filter(|attempt| attempt.unknown_cause.is_some()).collect()
    }

    /// One line for programs.
    pub fn json(&self) -> String {
        let amounts = self.books.payments().map(|order| order.instruction.amount.get());
        let open = self.books.payments().filter(|order| !order.status.is_final()).count();
        json!({
            "asked": load::count(&self.witnesses.answers),
            "amount_minor": amounts.sum::<i64>(),
            "orders": self.books.payments().count(),
            "succeeded": self.with_status(OrderStatus::Succeeded),
            "failed": self.with_status(OrderStatus::Failed),
            "reversed": self.with_status(OrderStatus::Reversed),
            "unknown_open": open,
            "ever_unknown": self.ever_unknown().len(),
            "accounting_acknowledged": self.acknowledged_bookings(),
            "notices_acknowledged": self.acknowledged_notices(),
            "clearing_records": self.books.clearing.len(),
            "ledger_differences": self.findings.ledger_differences(),
            "elapsed_ms": u64::try_from(self.elapsed.as_millis()).unwrap_or(u64::MAX),
            "refunded": self.succeeded("refund"),
            "voided": self.succeeded("void"),
            "captured": self.succeeded("capture"),
            "paid_out": self.succeeded("payout"),
            "paid_to_accounts": succeeded_of(self.to_accounts()),
            "cards_matched": self.with_verdict(VerificationVerdict::Matches),
            "cards_differed": self.with_verdict(VerificationVerdict::Differs),
            "cards_bound": self.bound(),
            "paid_by_agreement": self.paid_by_agreement(),
        })
        .to_string()
    }

    /// Tables for people.
    pub fn text(&self) -> String {
        let mut text = String::new();
        self.write_orders(&mut text);
        self.write_follow_ups(&mut text);
        self.write_faults(&mut text);
        self.write_unknowns(&mut text);
        self.write_deliveries(&mut text);
        self.write_clearing(&mut text);
        self.write_agreement(&mut text);
        self.write_verdict(&mut text);
        text
    }

    fn write_orders(&self, text: &mut String) {
        let statuses = [OrderStatus::Succeeded, OrderStatus::Failed, OrderStatus::Reversed];
        let columns = ["channel", ">succeeded", ">failed", ">reversed", ">open", ">all"];
        let mut rows = Vec::new();
        let mut sums = [0; 5];
        let last = |order: &Order| {
            order.approved().or(order.attempts.last()).map(|attempt| attempt.channel.clone())
        };
        for channel in CHANNELS {
            let orders: Vec<_> = self
                .books
                .payments()
                .filter(|order| last(order).is_some_and(|id| id.as_str() == channel))
                .collect();
            let count = |status| orders.iter().filter(|order| order.status == status).count();
            let ended = statuses.map(count);
            let open = orders.len() - ended.iter().sum::<usize>();
            let row = [ended[0], ended[1], ended[2], open, orders.len()];
            for (sum, number) in sums.iter_mut().zip(row) {
                *sum += number;
            }
            rows.push(row_of(channel, &row.map(|number| number.to_string())));
        }
        rows.push(row_of("all", &sums.map(|number| number.to_string())));
        heading(text, "Orders by the channel of their last attempt");
        text.push_str(&aligned(&columns, &rows));
        let seconds = self.load.as_secs_f64().max(0.001);
        let per_second = self.books.payments().count() as f64 / seconds;
        line(text, &format!("sent in {seconds:.1} s: {per_second:.0} payments a second"));
        let releases = |order: &&Order| matches!(order.instruction.kind, OrderKind::Release { .. });
        let released = self.books.orders.values().filter(releases).count();
        let repeats = self.witnesses.answers.iter().filter(|one| one.repeat.is_some()).count();
        line(text, &format!("{repeats} repeated calls, {released} escrow payments released"));
        let verdicts = VerificationVerdict::ALL
            .map(|verdict| format!("{} {}", self.with_verdict(verdict), verdict.name()));
        line(text, &format!("cards verified: {}", verdicts.join(", ")));
        let asked = self.witnesses.answers.iter().filter(|one| one.bound.is_some()).count();
        let (bound, paid) = (self.bound(), self.paid_by_agreement());
        line(text, &format!("cards bound by a code: {bound} of {asked}; {paid} paid by agreement"));
    }

    fn write_follow_ups(&self, text: &mut String) {
        heading(text, "Holds, payouts, and what followed payments");
        let columns = ["", ">succeeded", ">failed", ">reversed", ">yuan"];
        let mut rows = Vec::new();
        for kind in ["preauth", "capture", "refund", "void", "payout"] {
            let orders: Vec<_> = self
                .books
                .core_orders()
                .filter(|order| order.instruction.kind.name() == kind)
                .collect();
            let with = |status| orders.iter().filter(move |order| order.status == status);
            let count = |status| with(status).count().to_string();
            let sum =
                with(OrderStatus::Succeeded).map(|order| order.instruction.amount.get()).sum();
            let row = [
                count(OrderStatus::Succeeded),
                count(OrderStatus::Failed),
                count(OrderStatus::Reversed),
                yuan(sum),
            ];
            rows.push(row_of(kind, &row));
        }
        text.push_str(&aligned(&columns, &rows));
        let (to_accounts, reached) = (self.to_accounts().count(), succeeded_of(self.to_accounts()));
        line(text, &format!("payouts to accounts: {reached} of {to_accounts} reached the payee"));
    }

    fn write_faults(&self, text: &mut String) {
        heading(text, "Faults of the channels");
        let columns = ["", ">times"];
        let mut rows = Vec::new();
        for (happening, times) in self.happenings.iter().filter(|(_, times)| *times > 0) {
            rows.push(row_of(&happening.name().replace('_', " "), &[times.to_string()]));
        }
        text.push_str(&aligned(&columns, &rows));
    }

    fn write_unknowns(&self, text: &mut String) {
        heading(text, "How each unknown ended");
        let unknown = self.ever_unknown();
        let columns = ["evidence", ">attempts", ">median", ">longest"];
        let mut rows = Vec::new();
        for source in Source::ALL {
            let ended = unknown.iter().filter(|attempt| attempt.ended_by == Some(source));
            let mut took: Vec<Duration> =
                ended.filter_map(|attempt| unknown_for(attempt)).collect();
            took.sort_unstable();
            if let (Some(median), Some(longest)) = (took.get(took.len() / 2), took.last()) {
                let row = [took.len().to_string(), seconds(*median), seconds(*longest)];
                rows.push(row_of(source.name(), &row));
            }
        }
        text.push_str(&aligned(&columns, &rows));
        let reversed = self.with_status(OrderStatus::Reversed);
        line(
            text,
            &format!("{} were unknown for a while, {reversed} were reversed", unknown.len()),
        );
        let against = self.books.contradictions.values().map(Vec::len).sum::<usize>();
        let is_undo = |order: &&Order| matches!(order.instruction.kind, OrderKind::Undo { .. });
        let undos = self.books.orders.values().filter(is_undo).count();
        let Operator { retried, resolved } = self.operator;
        line(
            text,
            &format!("{against} contradictions kept; {undos} successes taken back by an undo"),
        );
        line(text, &format!("the operator had {retried} worked again and ended {resolved}"));
        for (what, times) in &self.alerts {
            line(text, &format!("alerts: {what} {times}"));
        }
    }

    fn write_deliveries(&self, text: &mut String) {
        heading(text, "Deliveries to the other systems");
        let columns = ["to", ">owed", ">acknowledged", ">told again", ">it failed"];
        let mut rows = Vec::new();
        let booked = &self.witnesses.booked;
        let again: u32 = booked.requests.values().map(|times| times - 1).sum();
        rows.push(row_of(
            "accounting",
            &[
                self.books.accounting.len().to_string(),
                self.acknowledged_bookings().to_string(),
                again.to_string(),
                booked.failures.to_string(),
            ],
        ));
        let told = &self.witnesses.told;
        let again: usize = told.orders.values().map(|statuses| statuses.len() - 1).sum();
        rows.push(row_of(
            "payment core",
            &[
                self.books.notices.len().to_string(),
                self.acknowledged_notices().to_string(),
                again.to_string(),
                told.failures.to_string(),
            ],
        ));
        text.push_str(&aligned(&columns, &rows));
        let (debits, credits) = (yuan(booked.debits_minor), yuan(booked.credits_minor));
        line(text, &format!("trial balance: debits {debits}, credits {credits}"));
    }

    fn write_clearing(&self, text: &mut String) {
        heading(text, "Clearing totals, in yuan");
        let columns = ["channel", ">records", ">principal", ">fees", ">net"];
        let mut rows = Vec::new();
        for channel in &self.findings.channels {
            let row = [
                channel.records.to_string(),
                yuan(channel.principal_minor),
                yuan(channel.fee_minor),
                yuan(channel.net_minor),
            ];
            rows.push(row_of(channel.channel, &row));
        }
        text.push_str(&aligned(&columns, &rows));
    }

    fn write_agreement(&self, text: &mut String) {
        heading(text, "The channels' ledgers and ours, line by line");
        let columns =
            ["channel", ">lines", ">agree", ">disputed", ">differ", ">its ledger", ">ours"];
        let mut rows = Vec::new();
        for channel in &self.findings.channels {
            let row = [
                channel.lines.to_string(),
                channel.agreeing.to_string(),
                channel.disputed.to_string(),
                channel.differing.to_string(),
                yuan(channel.ledger_minor),
                yuan(channel.principal_minor),
            ];
            rows.push(row_of(channel.channel, &row));
        }
        text.push_str(&aligned(&columns, &rows));
        let disputed: usize = self.findings.channels.iter().map(|one| one.disputed).sum();
        if disputed > 0 {
            let what = "the channel signed two answers that exclude each other";
            line(text, &format!("disputed {disputed}: {what}; its statement will decide"));
        }
    }

    fn write_verdict(&self, text: &mut String) {
        text.push('\n');
        let violations = &self.findings.violations;
        let elapsed = self.elapsed.as_secs_f64();
        if violations.is_empty() {
            line(text, &format!("Every check holds: nothing owed, nothing lost ({elapsed:.1} s)."));
            return;
        }
        line(text, &format!("BROKEN: {} checks do not hold ({elapsed:.1} s).", violations.len()));
        for violation in violations.iter().take(VIOLATIONS_SHOWN_MAX) {
            let (number, about) = (violation.invariant, &violation.about);
            line(text, &format!("{number}  {about}: {}", violation.what));
        }
    }
}

fn succeeded_of<'order>(orders: impl Iterator<Item = &'order Order>) -> usize {
    orders.filter(|order| order.status == OrderStatus::Succeeded).count()
}

/// From when its result was open to its end.
fn unknown_for(attempt: &Attempt) -> Option<Duration> {
    let since = attempt.unresolved_at.unwrap_or(attempt.sent_at);
    Some(attempt.ended_at?.since(since))
}

fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}

/// Minor units as yuan, with commas.
fn yuan(minor: i64) -> String {
    let whole = (minor / 100).unsigned_abs().to_string();
    let mut grouped = String::new();
    for (place, digit) in whole.chars().enumerate() {
        if place > 0 && (whole.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    let sign = if minor < 0 { "-" } else { "" };
    format!("{sign}{grouped}.{:02}", (minor % 100).unsigned_abs())
}

fn heading(text: &mut String, what: &str) {
    write!(text, "\n{what}\n{}\n", "─".repeat(what.chars().count())).expect("a string takes all");
}

fn line(text: &mut String, what: &str) {
    writeln!(text, "{what}").expect("a string takes all");
}

fn row_of(name: &str, cells: &[String]) -> Vec<String> {
    std::iter::once(name.to_owned()).chain(cells.iter().cloned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_written_as_people_read_them() {
        let rows = [(0, "0.00"), (5, "0.05"), (-5, "-0.05"), (123_456_789, "1,234,567.89")];
        for (minor, expected) in rows {
            assert_eq!(yuan(minor), expected);
        }
    }
}
