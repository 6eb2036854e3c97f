//! I-7: what a success leaves in the books, and what a closed day had.

use std::collections::BTreeMap;

use crate::domain::attempt::{AttemptState, Operation};
use crate::domain::books::accounting::{BookingEvent, DeliveryStatus, Posting, PostingSide};
use crate::domain::books::clearing::{ClearingRecord, ClearingState};
use crate::domain::books::day_close::DayClose;
use crate::domain::ids::ChannelId;
use crate::domain::money::Currency;
use crate::domain::order::{Order, OrderKind, OrderStatus, SettlementMode};
use crate::domain::time::BusinessDate;

use super::{AuditedRows, gives_money, hold, is_about_a_hold};

/// Records, principal, fee and net of a channel's date in one currency, in minor units.
type RecordSums = (u64, i64, i64, i64);

/// What clearing records add up to, by channel, date and currency.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditedSums(BTreeMap<(ChannelId, BusinessDate), BTreeMap<Currency, RecordSums>>);

impl AuditedSums {
    /// Adds a record.
    pub fn add(&mut self, row: &ClearingRecord) {
        let of_date = self.0.entry((row.channel.clone(), row.date)).or_default();
        let sum = of_date.entry(row.currency).or_default();
        sum.0 += 1;
        sum.1 += row.principal_minor;
        sum.2 += row.fee_minor;
        sum.3 += row.net_minor;
    }
}

/// A closed day's totals are the sums of its records, then and for ever.
pub fn check_close(sums: &AuditedSums, close: &DayClose) -> Vec<String> {
    let sums = sums.0.get(&(close.channel.clone(), close.date)).cloned().unwrap_or_default();
    let closed = close.totals.iter().map(|(currency, totals)| {
        let money = (totals.principal_minor, totals.fee_minor, totals.net_minor);
        (*currency, (totals.records, money.0, money.1, money.2))
    });
    let mut found = Vec::new();
    let same = closed.collect::<BTreeMap<_, _>>() == sums;
    hold!(found, same, "I-7: {} {} is closed with other sums", close.channel, close.date);
    found
}

/// I-7: one transaction, one clearing record and one request for each success, and they agree.
pub(super) fn check_books(rows: &AuditedRows, order: &Order) -> Vec<String> {
    let mut found = Vec::new();
    let id = order.id;
    let release = matches!(order.instruction.kind, OrderKind::Release { .. });
    let moved = order.status == OrderStatus::Succeeded && !release;
    let transactions = rows.transactions.get(&id).map_or(&[][..], Vec::as_slice);
    hold!(found, transactions.len() == usize::from(moved), "I-7: transactions of {id}");
    let cleared = moved && !is_about_a_hold(rows, order);
    let clearing = rows.clearing.get(&id).map_or(&[][..], Vec::as_slice);
    let due: Vec<_> = clearing.iter().filter(|r| r.state == ClearingState::Due).collect();
    hold!(found, due.len() == usize::from(cleared), "I-7: {} clearing records of {id}", due.len());
    let chain: Vec<_> = rows.accounting.values().filter(|r| r.id.chain == id).collect();
    let whole = chain.iter().enumerate().all(|(place, r)| usize::from(r.id.sequence) == place + 1);
    let counted = usize::from(order.accounting_sequence) == chain.len();
    hold!(found, whole && counted, "I-7: the chain of {id} has a gap");
    for request in &chain {
        let side = |side| request.postings.iter().filter(move |entry| entry.side == side);
        let sum = |s| side(s).map(|entry| entry.amount_minor).sum::<i64>();
        let red = matches!(
            request.event,
            BookingEvent::RefundTakenBack
                | BookingEvent::VoidTakenBack
                | BookingEvent::PayoutTakenBack
        );
        let sign = if red { -1 } else { 1 };
        let signed = request.postings.iter().all(|entry| entry.amount_minor * sign > 0);
        let balanced = sum(PostingSide::Debit) == sum(PostingSide::Credit) && signed;
        hold!(found, balanced, "I-7: request {} does not balance", request.id);
        let first = matches!(
            request.event,
            BookingEvent::Refund | BookingEvent::Void | BookingEvent::Payout
        );
        let parked = !first && !rows.are_live && request.delivery.status == DeliveryStatus::Parked;
        hold!(found, !parked, "I-7: request {} is parked", request.id);
    }
    found.extend(check_requests(rows, order));
    let (Some(transaction), Some(record)) = (transactions.first(), due.first()) else {
        return found;
    };
    let sign = match transaction.movement {
        Operation::Undo | Operation::Refund | Operation::Void | Operation::Payout => -1,
        _ => 1,
    };
    let sums = record.principal_minor == sign * order.instruction.amount.get()
        && record.net_minor == record.principal_minor - record.fee_minor;
    hold!(found, sums, "I-7: the clearing record of {id} does not add up");
    let approved = order.attempts.iter().find(|a| a.state == AttemptState::Approved);
    let same = approved.is_some_and(|attempt| {
        transaction.channel_order_no.attempt == attempt.number
            && record.channel_order_no == transaction.channel_order_no
            && transaction.channel == attempt.channel
            && record.channel == attempt.channel
            && record.date == transaction.clearing_date
            && Some(record.date) == order.clearing_date
    });
    hold!(found, same, "I-7: the books of {id} disagree with its attempt");
    found
}

/// I-7: the booking events of an order, and how far they are.
fn check_requests(rows: &AuditedRows, order: &Order) -> Vec<String> {
    let mut found = Vec::new();
    let id = order.id;
    let of =
        |event| rows.accounting.values().filter(move |r| r.order() == Some(id) && r.event == event);
    let succeeded = usize::from(order.status == OrderStatus::Succeeded);
    let ended = matches!(order.status, OrderStatus::Failed | OrderStatus::Reversed);
    let once = match (order.instruction.kind, order.instruction.settlement_mode) {
        _ if is_about_a_hold(rows, order) => None,
        (OrderKind::Payment | OrderKind::Capture { .. }, SettlementMode::Instant) => {
            Some(BookingEvent::InstantPayment)
        }
        (OrderKind::Payment | OrderKind::Capture { .. }, SettlementMode::Escrow) => {
            Some(BookingEvent::EscrowPayment)
        }
        (OrderKind::Undo { .. }, _) => Some(BookingEvent::SuspenseBalanced),
        (OrderKind::Release { .. }, _) => Some(BookingEvent::EscrowRelease),
        _ => None,
    };
    if let Some(event) = once {
        let booked = of(event).count();
        hold!(found, booked == succeeded, "I-7: {booked} requests of {} for {id}", event.name());
    }
    let (first, back) = match order.instruction.kind {
        OrderKind::Void { .. } => (BookingEvent::Void, BookingEvent::VoidTakenBack),
        OrderKind::Payout => (BookingEvent::Payout, BookingEvent::PayoutTakenBack),
        _ => (BookingEvent::Refund, BookingEvent::RefundTakenBack),
    };
    let first: Vec<_> = of(first).collect();
    let back: Vec<_> = of(back).collect();
    let money = gives_money(order) && !is_about_a_hold(rows, order);
    let sent = !order.attempts.is_empty();
    hold!(found, first.len() == usize::from(money), "I-7: {id} is booked first once");
    let perhaps = first.first().is_some_and(|first| first.delivery.unanswered);
    let red = usize::from(money && ended && (sent || perhaps));
    hold!(found, back.len() == red, "I-7: {} red letters of {id}", back.len());
    let Some(first) = first.first() else { return found };
    let status = first.delivery.status;
    let acknowledged = status == DeliveryStatus::Acknowledged;
    hold!(found, acknowledged == sent, "I-7: {id} left before it was booked, or after: {status:?}");
    let withdrawn = ended && !sent;
    hold!(found, (status == DeliveryStatus::Withdrawn) == withdrawn, "I-7: {id} is {status:?}");
    for request in back {
        let mirrored = first.postings.iter().zip(&request.postings).all(|(one, other)| {
            (one.side, &one.account, -one.amount_minor)
                == (other.side, &other.account, other.amount_minor)
        });
        let whole = first.postings.len() == request.postings.len();
        hold!(found, mirrored && whole, "I-7: {} takes something else back", request.id);
    }
    let credit = |entry: &&Posting| entry.side == PostingSide::Credit;
    let given: i64 = first.postings.iter().filter(credit).map(|entry| entry.amount_minor).sum();
    hold!(found, given == order.instruction.amount.get(), "I-7: {id} books another amount");
    let escrow = |entry: &&Posting| entry.account == "company:transitional";
    let escrow: i64 = first.postings.iter().filter(escrow).map(|entry| entry.amount_minor).sum();
    let agreed = escrow == order.claims.from_escrow_minor;
    hold!(found, agreed, "I-8: {id} takes {escrow} out of escrow");
    found
}
