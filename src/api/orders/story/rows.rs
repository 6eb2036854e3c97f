//! The rows that a story is told from, each as one or two events.

use serde_json::json;

use crate::domain::attempt::Attempt;
use crate::domain::books::Transaction;
use crate::domain::books::accounting::{AccountingRequest, DeliveryStatus};
use crate::domain::books::clearing::ClearingRecord;
use crate::domain::books::difference::Difference;
use crate::domain::books::reconciliation::Reconciliation;
use crate::domain::books::settlement::ChannelSettlement;
use crate::domain::event::OrderEvent;
use crate::domain::ids::ChannelId;
use crate::domain::instrument::InstrumentFacts;
use crate::domain::order::{Order, OrderKind};
use crate::domain::outcome::Objection;
use crate::domain::reversal::ReversalEntry;
use crate::domain::write_set::{Contradiction, CoreNotice};

use super::read::{ClearedRows, StoryRows, original_of};
use super::{StoryEvent, StoryKind, actions};

/// The name of the outcome that proves nothing.
const UNKNOWN: &str = "unknown";

impl StoryRows {
    /// What they tell, each in the order in which it follows from what is before.
    pub(super) fn events(&self) -> Vec<StoryEvent> {
        let mut told = vec![self.asked()];
        told.extend(self.routed());
        for attempt in &self.order.attempts {
            told.extend(self.code_sent(attempt));
            told.push(self.sent(attempt));
            let own = self.events.iter().filter(|event| event.attempt == attempt.number);
            told.extend(own.map(happened));
            told.extend(self.ended(attempt));
        }
        let others = self.events.iter().filter(|event| event.attempt == 0);
        told.extend(others.map(happened));
        told.extend(self.entry.as_ref().map(|entry| self.unresolved(entry)));
        told.extend(self.transaction.as_ref().map(|one| self.succeeded(one)));
        told.extend(self.finished());
        told.extend(self.contradictions.iter().map(contradicted));
        told.extend(self.cleared.iter().flat_map(ClearedRows::events));
        for request in &self.requests {
            told.push(voucher(request));
            told.extend(voucher_acknowledged(request));
        }
        if let Some(notice) = &self.notice {
            told.push(noticed(notice));
            told.extend(notice_acknowledged(notice));
        }
        told.extend(self.follow_ups.iter().map(followed_up));
        told
    }

    fn asked(&self) -> StoryEvent {
        let asked = &self.order.instruction;
        let of = match asked.kind {
            OrderKind::Undo { of } => Some(of.to_string()),
            kind => kind.original().map(|of| of.to_string()),
        };
        let account = asked.instrument.as_ref().and_then(InstrumentFacts::account);
        let event = StoryEvent::new(self.order.created_at, StoryKind::Asked)
            .with("order_id", asked.caller_order_id.as_str())
            .with("caller", asked.caller.as_str())
            .with("kind", asked.kind.name())
            .with("of", of)
            .with("merchant_id", asked.merchant_id.as_str())
            .with("amount", asked.amount.get())
            .with("currency", asked.currency.name())
            .with("settlement", asked.settlement_mode.name())
            .with("card", asked.card().map(|card| card.masked.as_str()))
            .with("payee", account.map(|account| account.masked.as_str()))
            .with("description", asked.description.as_deref())
            .with("notify_url", asked.notify_url.as_deref());
        match original_of(&self.order) {
            Some(original) => event.link("original", format!("/v1/orders/{original}/story")),
            None => event,
        }
    }

    fn routed(&self) -> Option<StoryEvent> {
        let route = self.order.route.as_deref()?;
        let kept: Vec<&str> = route.kept.iter().map(ChannelId::as_str).collect();
        let mut struck = Vec::with_capacity(route.struck.len());
        for (channel, reason) in &route.struck {
            struck.push(json!({ "channel": channel.as_str(), "reason": reason }));
        }
        let event = StoryEvent::new(self.order.created_at, StoryKind::Routed)
            .with("rule", route.rule.as_str())
            .with("place", route.place)
            .with("bin_table", route.bin_table)
            .with("kept", kept)
            .with("struck", struck);
        Some(event)
    }

    /// The attempt has the number and the time under which its payer was sent a code. That was
    /// before the order itself was asked for.
    fn code_sent(&self, attempt: &Attempt) -> Option<StoryEvent> {
        let asked = &self.order.instruction;
        let event = StoryEvent::new(attempt.announced_at?, StoryKind::CodeSent)
            .with("channel", attempt.channel.as_str())
            .with("channel_order_no", self.order.channel_order_no(attempt.number).to_string())
            .with("operation", attempt.operation.name())
            .with("amount", asked.amount.get())
            .with("currency", asked.currency.name());
        Some(event)
    }

    fn sent(&self, attempt: &Attempt) -> StoryEvent {
        StoryEvent::new(attempt.sent_at, StoryKind::AttemptSent)
            .with("attempt", attempt.number)
            .with("channel", attempt.channel.as_str())
            .with("channel_order_no", self.order.channel_order_no(attempt.number).to_string())
            .with("operation", attempt.operation.name())
            .with("amount", self.order.instruction.amount.get())
            .with("currency", self.order.instruction.currency.name())
    }

    fn ended(&self, attempt: &Attempt) -> Option<StoryEvent> {
        let event = StoryEvent::new(attempt.ended_at?, StoryKind::AttemptEnded)
            .from(attempt.ended_by?.name())
            .with("attempt", attempt.number)
            .with("channel", attempt.channel.as_str())
            .with("state", attempt.state.name())
            .with("code", attempt.code.as_deref())
            .with("reason", attempt.reason.map(|reason| reason.name()))
            .with("channel_reference", attempt.channel_reference.as_deref())
            .with("objection", attempt.objection.as_ref().map(Objection::as_str));
        Some(event)
    }

    fn unresolved(&self, entry: &ReversalEntry) -> StoryEvent {
        let event = StoryEvent::new(entry.opened_at, StoryKind::Unresolved)
            .with("attempt", entry.attempt)
            .with("channel", entry.channel.as_str())
            .with("phase", entry.phase.name())
            .with("due_at", entry.due_at.map(|at| at.rfc3339()))
            .with("inquiries", entry.inquiries)
            .with("reversals", entry.reversals)
            .with("reversible_until", entry.reversible_until().map(|at| at.rfc3339()));
        event
            .link("reversal", format!("/v1/reversals/{}", entry.order))
            .actions(actions::of_entry(&self.order, entry))
    }

    fn succeeded(&self, transaction: &Transaction) -> StoryEvent {
        StoryEvent::new(transaction.at, StoryKind::Transaction)
            .from(transaction.source.name())
            .with("channel", transaction.channel.as_str())
            .with("channel_order_no", transaction.channel_order_no.to_string())
            .with("channel_reference", transaction.channel_reference.as_deref())
            .with("movement", transaction.movement.name())
            .with("amount", transaction.amount.get())
            .with("currency", transaction.currency.name())
            .with("clearing_date", transaction.clearing_date.to_string())
            .with("transcript", transaction.transcript.as_str())
            .link("transaction", format!("/v1/transactions/{}", transaction.order))
    }

    fn finished(&self) -> Option<StoryEvent> {
        let event = StoryEvent::new(self.order.finished_at?, StoryKind::Finished)
            .with("status", self.order.status.name())
            .with("reason", self.order.reason.map(|reason| reason.name()));
        Some(event.actions(actions::of_end(&self.order)))
    }
}

impl ClearedRows {
    fn events(&self) -> Vec<StoryEvent> {
        let mut told = vec![cleared(&self.record)];
        told.extend(self.difference.as_ref().map(differs));
        told.extend(self.batch.as_ref().map(|batch| self.reconciled(batch)));
        told.extend(self.settlement.as_ref().map(settled));
        told
    }

    fn reconciled(&self, batch: &Reconciliation) -> StoryEvent {
        let at = batch.finished_at.unwrap_or(batch.started_at);
        StoryEvent::new(at, StoryKind::Reconciled)
            .from("statement")
            .with("batch", batch.id.to_string())
            .with("channel", batch.channel.as_str())
            .with("date", batch.date.to_string())
            .with("revision", batch.revision)
            .with("agreed", self.difference.as_ref().is_none_or(|one| !one.state.is_open()))
            .link("batch", format!("/v1/reconciliations/{}", batch.id))
    }
}

/// Why something was told or done has the name that it has in the other answers: the reason of a
/// decline or of what was not sent, the cause of an unknown, the objection to a message, and the
/// reason that a person gives.
fn happened(event: &OrderEvent) -> StoryEvent {
    let is_unknown = event.outcome.as_deref() == Some(UNKNOWN);
    let is_decided = event.actor.is_some();
    let (cause, detail) = (event.cause.as_deref(), event.detail.as_deref());
    let reason = detail.filter(|_| is_decided).or(cause.filter(|_| !is_unknown));
    let told = StoryEvent::new(event.at, event.kind.into())
        .with("attempt", Some(event.attempt).filter(|number| *number > 0))
        .with("outcome", event.outcome.as_deref())
        .with("reason", reason)
        .with("unknown_cause", cause.filter(|_| is_unknown))
        .with("code", event.code.as_deref())
        .with("remark", event.remark.map(|remark| remark.name()))
        .with("objection", detail.filter(|_| !is_decided))
        .with("actor", event.actor.as_deref())
        .with("approver", event.approver.as_deref())
        .with("sent", Some(event.sent.as_str()).filter(|words| !words.is_empty()))
        .with("transcript", Some(event.transcript.as_str()).filter(|words| !words.is_empty()));
    match event.source {
        Some(source) => told.from(source.name()),
        None => told,
    }
}

fn cleared(record: &ClearingRecord) -> StoryEvent {
    let (channel, date) = (&record.channel, record.date);
    StoryEvent::new(record.at, StoryKind::Cleared)
        .with("channel", channel.as_str())
        .with("date", date.to_string())
        .with("principal", record.principal_minor)
        .with("fee", record.fee_minor)
        .with("net", record.net_minor)
        .with("currency", record.currency.name())
        .with("fee_rule", record.fee_rule.as_str())
        .with("state", record.state.name())
        .link("clearing", format!("/v1/channels/{channel}/clearing?date={date}"))
}

fn voucher(request: &AccountingRequest) -> StoryEvent {
    let delivery = &request.delivery;
    StoryEvent::new(request.created_at, StoryKind::VoucherOwed)
        .with("id", request.id.to_string())
        .with("event", request.event.name())
        .with("voucher", request.voucher.name())
        .with("state", delivery.status.name())
        .with("tries", delivery.tries)
        .with("last_error", delivery.last_error.as_deref())
        .link("accounting_request", format!("/v1/accounting-requests/{}", request.id))
        .actions(actions::of_voucher(request))
}

fn voucher_acknowledged(request: &AccountingRequest) -> Option<StoryEvent> {
    let is_acknowledged = request.delivery.status == DeliveryStatus::Acknowledged;
    let at = request.delivery.acknowledged_at.filter(|_| is_acknowledged)?;
    let event = StoryEvent::new(at, StoryKind::VoucherAcknowledged)
        .with("id", request.id.to_string())
        .with("event", request.event.name())
        .with("tries", request.delivery.tries);
    Some(event)
}

fn noticed(notice: &CoreNotice) -> StoryEvent {
    let delivery = &notice.delivery;
    StoryEvent::new(notice.created_at, StoryKind::NoticeOwed)
        .with("url", notice.url.as_str())
        .with("state", delivery.status.name())
        .with("tries", delivery.tries)
        .with("last_error", delivery.last_error.as_deref())
        .link("notice", format!("/v1/notices/{}", notice.order))
        .actions(vec![actions::of_notice(notice)])
}

fn notice_acknowledged(notice: &CoreNotice) -> Option<StoryEvent> {
    let is_acknowledged = notice.delivery.status == DeliveryStatus::Acknowledged;
    let at = notice.delivery.acknowledged_at.filter(|_| is_acknowledged)?;
    let event = StoryEvent::new(at, StoryKind::NoticeAcknowledged)
        .with("url", notice.url.as_str())
        .with("tries", notice.delivery.tries);
    Some(event)
}

fn contradicted(claim: &Contradiction) -> StoryEvent {
    let cleared_on = claim.clearing_date.map(|date| date.to_string());
    let event = StoryEvent::new(claim.at, StoryKind::Contradicted)
        .from(claim.source.name())
        .with("attempt", claim.attempt)
        .with("claim", claim.reported.name())
        .with("channel_reference", claim.channel_reference.as_deref())
        .with("undo", claim.undo.map(|undo| undo.to_string()))
        .with("clearing_date", cleared_on)
        .with("transcript", claim.transcript.as_str());
    match claim.undo {
        Some(undo) => event.link("undo", format!("/v1/orders/{undo}/story")),
        None => event,
    }
}

fn followed_up(order: &Order) -> StoryEvent {
    StoryEvent::new(order.created_at, StoryKind::FollowedUp)
        .with("id", order.id.to_string())
        .with("order_id", order.instruction.caller_order_id.as_str())
        .with("kind", order.instruction.kind.name())
        .with("amount", order.instruction.amount.get())
        .with("currency", order.instruction.currency.name())
        .with("status", order.status.name())
        .link("story", format!("/v1/orders/{}/story", order.id))
}

/// With the statement's line beside our record, and the money that suspense holds for it.
fn differs(difference: &Difference) -> StoryEvent {
    let line = difference.line.as_ref().map(|line| {
        let item = line.item.as_ref();
        json!({
            "date": line.date.to_string(),
            "line": line.line,
            "channel_order_no": line.order_no,
            "channel_reference": line.reference,
            "amount": item.map(|item| item.amount_minor),
            "fee": item.and_then(|item| item.fee_minor),
            "currency": item.map(|item| item.currency.name()),
        })
    });
    let held: Vec<_> = difference
        .held
        .iter()
        .map(|gap| {
            json!({
                "principal": gap.principal_minor,
                "fee": gap.fee_minor,
                "currency": gap.currency.name(),
            })
        })
        .collect();
    StoryEvent::new(difference.opened_at, StoryKind::Differs)
        .from("statement")
        .with("id", difference.id.to_string())
        .with("channel", difference.channel.as_str())
        .with("class", difference.class.name())
        .with("state", difference.state.name())
        .with("line", line)
        .with("held", Some(held).filter(|held| !held.is_empty()))
        .with("remedy", difference.remedy.as_ref().map(|(remedy, _)| remedy.name()))
        .with("reason", difference.remedy.as_ref().map(|(_, reason)| reason.as_str()))
        .link("difference", format!("/v1/differences/{}", difference.id))
}

fn settled(settlement: &ChannelSettlement) -> StoryEvent {
    StoryEvent::new(settlement.agreed_at.unwrap_or(settlement.opened_at), StoryKind::Settled)
        .with("id", settlement.id.to_string())
        .with("channel", settlement.channel.as_str())
        .with("from", settlement.from.to_string())
        .with("to", settlement.to.to_string())
        .with("state", settlement.state.name())
        .link("settlement", format!("/v1/settlements/{}", settlement.id))
}
