//! The cases that a test host can be asked for: what needs no control of the other side.
//!
//! Real requests leave, over the file's own TLS and with its real credentials; the clock is the
//! machine's. What cannot be forced there is left out, and told.

use std::sync::Arc;
use std::time::Duration;

use crate::certify::case::{BooksSeen, CaseReport, judge_books};
use crate::certify::channel::DeskChannel;
use crate::certify::far_side::HostLine;
use crate::certify::rehearsal::Rehearsal;
use crate::certify::report::{CertifyReport, LeftOut};
use crate::certify::stage::{RehearsalClock, RehearsalStage};
use crate::channel::file::Ability;
use crate::channel::protocol::sample::sample_facts;
use crate::channel::{ChannelRequest, ReplyMeaning};
use crate::clock::Clock;
use crate::domain::attempt::Operation;
use crate::domain::card_service::CardService;
use crate::domain::order::{Order, OrderKind, OrderStatus};
use crate::domain::outcome::{Outcome, Reason, UnknownCause};
use crate::engine::EngineError;

/// How long a case waits for an end at the host.
const HOST_PATIENCE: Duration = Duration::from_secs(30);

/// What nobody can make a host do, and why a rehearsal leaves it to the far side.
const UNFORCED: [&str; 6] = [
    "every listed code and state",
    "a time-out before and after the channel acted, HTTP 503",
    "a reply with a wrong signature",
    "duplicate, late and contradicting notices",
    "a reversal whose answer is lost",
    "a statement with differences",
];

/// Plays at the host.
pub async fn play_host(
    rehearsal: &Rehearsal,
    url: &str,
    line: impl Fn() -> Result<HostLine, String>,
) -> CertifyReport {
    let mut report = CertifyReport::new(rehearsal.file.id.as_str(), &rehearsal.name);
    report.against = format!("the host {url}");
    for name in UNFORCED {
        let why = "it needs control of the other side: play it against the file's own far side";
        report.leave_out(LeftOut::new("at the host", name, why));
    }
    match line() {
        Ok(line) => {
            let stage = stage(rehearsal, line);
            HostPlayer { rehearsal, stage, report: &mut report }.play().await;
        }
        Err(problem) => report.fail("at the host", "the connection", problem),
    }
    report
}

fn stage(rehearsal: &Rehearsal, line: HostLine) -> RehearsalStage {
    let terms = Arc::new(rehearsal.file.terms.clone());
    let far = rehearsal.far_side();
    let channel = DeskChannel::at_host(far, Arc::clone(&terms), Clock::System, line);
    let clock = RehearsalClock::Machine { patience: HOST_PATIENCE };
    RehearsalStage::new(channel, terms, clock, rehearsal.subject())
}

/// Says which services of the file are in no case: nobody gets a host's codes.
fn leave_out_services(rehearsal: &Rehearsal, report: &mut CertifyReport) {
    for service in CardService::ALL {
        if rehearsal.file.abilities.can(Ability::of_service(service)) {
            let why = "it needs the card and the telephone of a person";
            report.leave_out(LeftOut::new(service.name(), "every case", why));
        }
    }
}

struct HostPlayer<'r> {
    rehearsal: &'r Rehearsal,
    stage: RehearsalStage,
    report: &'r mut CertifyReport,
}

impl HostPlayer<'_> {
    fn can(&self, operation: Operation) -> bool {
        self.rehearsal.file.abilities.can(Ability::of(operation))
    }

    async fn play(&mut self) {
        for begins in [OrderKind::Payment, OrderKind::Preauth] {
            let operation =
                if begins == OrderKind::Payment { Operation::Payment } else { Operation::Preauth };
            if !self.can(operation) {
                continue;
            }
            let begun = self.stage.charge(begins).await;
            let cleared = operation.sign() != 0;
            let Some(order) = self.end(operation, cleared, begun).await else { continue };
            let then: &[Operation] = match operation {
                Operation::Payment => &[Operation::Refund],
                _ => &[Operation::Capture],
            };
            for operation in then {
                if self.can(*operation) {
                    self.follow(*operation, &order).await;
                }
            }
            // A void takes the whole, so it has an original of its own.
            if self.can(Operation::Void) {
                if let Ok(order) = self.stage.charge(begins).await
                    && order.status == OrderStatus::Succeeded
                {
                    self.follow(Operation::Void, &order).await;
                }
                let _ = self.stage.channel.take_record();
            }
        }
        if self.can(Operation::Payout) {
            let why =
                "money would leave for the sample's card; ask the bank for a payee of its own";
            self.report.leave_out(LeftOut::new(Operation::Payout.name(), "every case", why));
        }
        leave_out_services(self.rehearsal, self.report);
        self.inquire_unknown().await;
    }

    async fn follow(&mut self, operation: Operation, of: &Order) {
        let of_id = of.id;
        let kind = match operation {
            Operation::Refund => OrderKind::Refund { of: of_id },
            Operation::Capture => OrderKind::Capture { of: of_id },
            _ => OrderKind::Void { of: of_id },
        };
        let _ = self.stage.channel.take_record();
        let begun = self.stage.follow_up(of, kind).await;
        let of_hold = of.instruction.kind == OrderKind::Preauth;
        let is_cleared = !(of_hold && operation == Operation::Void);
        self.end(operation, is_cleared, begun).await;
    }

    /// Waits for an order's end and judges it; the order where it succeeded.
    async fn end(
        &mut self,
        operation: Operation,
        is_cleared: bool,
        begun: Result<Order, EngineError>,
    ) -> Option<Order> {
        let mut case = CaseReport::unplayed(operation.name(), "at the host", Vec::new());
        case.expected = "a believed end, and an inquiry that tells the same".to_owned();
        let unbelieved = |order: &Order| {
            order.attempts.last().is_some_and(|attempt| attempt.objection.is_some())
        };
        let order = match begun {
            // The host's next words would be believed no more than its first.
            Ok(order) if unbelieved(&order) => Ok(order),
            Ok(order) => self.stage.drain(order.id).await,
            Err(error) => Err(error),
        };
        let order = match order {
            Ok(order) => {
                if let Ok(books) = BooksSeen::of(&self.stage, &order).await {
                    case.wrong.extend(judge_books(&books, operation, is_cleared));
                    case.books = Some(books.into());
                }
                self.judge(operation, &order, &mut case).await;
                Some(order)
            }
            Err(error) => {
                case.wrong.push(format!("the engine refuses: {error}"));
                None
            }
        };
        case.exchanges = self.stage.channel.take_record().exchanges;
        self.report.cases.push(case);
        order.filter(|order| order.status == OrderStatus::Succeeded)
    }

    async fn judge(&self, operation: Operation, order: &Order, case: &mut CaseReport) {
        let attempt = order.attempts.last();
        if let Some(objection) = attempt.and_then(|attempt| attempt.objection.as_ref()) {
            case.wrong.push(format!("a message was not believed: {objection}"));
        }
        match (order.status, attempt.and_then(|attempt| attempt.reason)) {
            (OrderStatus::Failed, Some(Reason::AuthenticationFailed | Reason::InvalidRequest)) => {
                case.wrong.push("the host refuses our request itself, not the payment".to_owned());
            }
            (OrderStatus::Failed, reason) => {
                let reason = reason.map_or("no reason", Reason::name);
                case.notes.push(format!("the host has declined it: {reason}"));
            }
            (OrderStatus::Succeeded, _) => {}
            (status, _) => case.wrong.push(format!("it is still {}", status.name())),
        }
        if !order.status.is_final() {
            return;
        }
        match self.stage.inquire(order, operation).await.map(|told| told.outcome) {
            Some(Outcome::Approved(_)) if order.status == OrderStatus::Succeeded => {}
            Some(Outcome::Declined(_) | Outcome::NotFound { .. })
                if order.status != OrderStatus::Succeeded => {}
            None => case.notes.push("the file has no inquiry about it".to_owned()),
            Some(told) => case.wrong.push(format!(
                "an inquiry about the order, which is {}, tells `{}`",
                order.status.name(),
                told.name()
            )),
        }
    }

    /// An order that never was.
    async fn inquire_unknown(&mut self) {
        let mut facts = sample_facts(Operation::Payment, 999_999_999);
        facts.sent_at = self.stage.now();
        let subject = self.rehearsal.subject();
        (facts.merchant_id, facts.amount) = (subject.merchant, subject.amount);
        (facts.currency, facts.channel_reference) = (subject.currency, None);
        let now = self.stage.now();
        let request = ChannelRequest::Inquiry { facts, original: None, pan: None, now };
        if self.rehearsal.far_side().place(&request).is_none() {
            return;
        }
        let mut case = CaseReport::unplayed("inquiry", "an order that never was", Vec::new());
        case.expected = "anything but a success".to_owned();
        let ReplyMeaning { outcome, objection, .. } = self.stage.channel.ask(request).await;
        match outcome {
            Outcome::Approved(_) => case.wrong.push("the host tells of a success".to_owned()),
            Outcome::Unknown(
                UnknownCause::BadSignature | UnknownCause::Garbled | UnknownCause::HttpStatus,
            ) => {
                let why = objection.map_or(String::new(), |objection| format!(": {objection}"));
                case.wrong.push(format!("the answer is not believed{why}"));
            }
            Outcome::Declined(_)
            | Outcome::Pending { .. }
            | Outcome::Unknown(_)
            | Outcome::NotSent(_)
            | Outcome::NotFound { .. } => {}
        }
        case.exchanges = self.stage.channel.take_record().exchanges;
        self.report.cases.push(case);
    }
}
