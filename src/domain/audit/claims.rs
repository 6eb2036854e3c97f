//! I-5 and I-8: what stands against an end, and what others draw from an order.

use std::collections::BTreeSet;

use crate::domain::attempt::{AttemptState, Operation, Source};
use crate::domain::books::accounting::{BookingEvent, RequestId};
use crate::domain::books::clearing::{ClearingRecord, ClearingState};
use crate::domain::order::{Order, OrderKind, OrderStatus, SettlementMode};
use crate::domain::write_set::{Contradiction, ReportedEnd};

use super::{AuditedRows, OPEN, gives_back, gives_money, hold, is_about_a_hold};

/// I-5: each claim stands once, and a claimed success of a payment owes exactly one undo.
pub(super) fn check_claims(rows: &AuditedRows, order: &Order) -> Vec<String> {
    let mut found = Vec::new();
    let id = order.id;
    let claims = rows.contradictions.get(&id).map_or(&[][..], Vec::as_slice);
    let mut seen = BTreeSet::new();
    let mut owed = 0;
    for row in claims {
        let (claim, reference) = ((row.attempt, row.reported), row.channel_reference.clone());
        hold!(found, seen.insert((claim, reference)), "I-5: a claim of {id} stands twice");
        let before: Vec<_> =
            claims.iter().filter(|one| (one.attempt, one.reported) == claim).collect();
        let placed = before.iter().filter(|one| one.ordinal < row.ordinal).count();
        hold!(found, placed == usize::from(row.ordinal), "I-5: claims of {id} are miscounted");
        let attempt = order.attempts.get(usize::from(row.attempt).wrapping_sub(1));
        let state = attempt.map(|attempt| attempt.state);
        // Of a success, a second one under another of the channel's numbers is a claim too.
        let again = row.reported == ReportedEnd::Success && state == Some(AttemptState::Approved);
        let ours = attempt.and_then(|attempt| attempt.channel_reference.as_ref());
        let other = row.channel_reference.as_ref().is_some_and(|theirs| Some(theirs) != ours);
        let against = state.is_some_and(|state| {
            let approved = state == AttemptState::Approved;
            !OPEN.contains(&state)
                && (approved == (row.reported == ReportedEnd::Failure) || again && other)
        });
        hold!(found, against, "I-5: a claim of {id} contradicts nothing: {state:?}");
        let moves = row.reported == ReportedEnd::Success && row.ordinal == 0 && !again;
        let takes = attempt.is_some_and(|a| {
            let takes = [Operation::Payment, Operation::Preauth, Operation::Capture];
            takes.contains(&a.operation)
        });
        let hold = is_about_a_hold(rows, order);
        let stay = if rows.are_live { row.undo.is_none() } else { rows.claims_stay };
        let stays = stay && row.source == Source::Statement && !hold;
        let wants = moves && takes && !stays;
        if moves && !hold && (gives_money(order) || takes && stays) {
            let event = match takes {
                true => BookingEvent::SuspenseOpened,
                false => BookingEvent::SuspenseReceivable,
            };
            let kept =
                rows.accounting.values().filter(|r| r.order() == Some(id) && r.event == event);
            hold!(found, kept.count() == 1, "I-5: what is claimed of {id} is in no suspense");
            owed += 1;
        }
        let records = rows.clearing.get(&id).map_or(&[][..], Vec::as_slice);
        let stands = row.clearing_date.is_none_or(|date| {
            records.iter().any(|record| {
                let is_of = record.channel_order_no.attempt == row.attempt;
                record.state == ClearingState::Contradicted && is_of && record.date == date
            })
        });
        hold!(found, stands, "I-5: a claim of {id} has no clearing record on its date");
        hold!(found, row.undo.is_some() == wants, "I-5: a claim of {id} owes a wrong undo");
        let Some(undo) = row.undo else { continue };
        let Some(undo) = rows.orders.get(&undo) else {
            found.push(format!("I-5: undo {undo} of {id} is not there"));
            continue;
        };
        owed += usize::from(!hold);
        found.extend(check_undo(rows, order, row.attempt, undo));
    }
    let state = ClearingState::Contradicted;
    let records = rows.clearing.get(&id).map_or(&[][..], Vec::as_slice);
    let records = records.iter().filter(|record| record.state == state).count();
    hold!(found, records == owed, "I-5: {records} contradicted records of {id}, {owed} undos");
    found
}

fn check_undo(rows: &AuditedRows, order: &Order, attempt: u8, undo: &Order) -> Vec<String> {
    let mut found = Vec::new();
    let id = undo.id;
    let named = (order.id, attempt);
    let of =
        matches!(undo.instruction.kind, OrderKind::Undo { of } if (of.order, of.attempt) == named);
    hold!(
        found,
        of && undo.instruction.amount == order.instruction.amount,
        "I-5: undo {id} undoes something else"
    );
    let opened = rows.accounting.get(&RequestId { chain: id, sequence: 1 });
    let opened = opened.is_some_and(|request| request.event == BookingEvent::SuspenseOpened);
    let opened = opened != (order.instruction.kind == OrderKind::Preauth);
    hold!(found, opened, "I-5: undo {id} has no suspense");
    let of_attempt = |row: &&ClearingRecord| {
        row.state == ClearingState::Contradicted && row.channel_order_no.attempt == attempt
    };
    let claimed = rows.clearing.get(&order.id).and_then(|all| all.iter().find(of_attempt));
    let back = rows.clearing.get(&id).and_then(|all| all.first());
    if let (Some(claimed), Some(back)) = (claimed, back) {
        let zero = claimed.principal_minor + back.principal_minor == 0
            && claimed.net_minor + back.net_minor == 0;
        hold!(found, zero, "I-5: undo {id} does not bring the claim to zero");
        let same = (&claimed.channel, order.instruction.currency) == (&back.channel, back.currency);
        hold!(found, same, "I-5: undo {id} went to another channel");
    }
    found
}

/// I-8: what others have drawn from an order, added up from them, is what it says, and no more
/// than it has.
pub(super) fn check_claimed(rows: &AuditedRows, order: &Order) -> Vec<String> {
    let mut found = Vec::new();
    let root = match order.instruction.kind {
        OrderKind::Release { of }
        | OrderKind::Refund { of }
        | OrderKind::Void { of }
        | OrderKind::Capture { of } => of,
        OrderKind::Payment | OrderKind::Preauth | OrderKind::Payout => order.id,
        OrderKind::Undo { .. } => return found,
    };
    for id in [root, order.id] {
        if let Some(one) = rows.orders.get(&id) {
            found.extend(check_root(rows, one));
        } else {
            found.push(format!("I-8: {} draws on nothing", order.id));
        }
    }
    found
}

fn check_root(rows: &AuditedRows, root: &Order) -> Vec<String> {
    let mut found = Vec::new();
    let id = root.id;
    let (mut released, mut refunded, mut captured, mut escrow, mut claimed) = (0, 0, 0, 0, 0);
    let (mut voids, mut captures) = (0, 0);
    for other in rows.orders.values() {
        let minor = other.instruction.amount.get();
        let live = !matches!(other.status, OrderStatus::Failed | OrderStatus::Reversed);
        match other.instruction.kind {
            OrderKind::Release { of } if of == id => released += minor,
            OrderKind::Refund { of } | OrderKind::Void { of } if of == id && live => {
                refunded += minor;
                escrow += other.claims.from_escrow_minor;
                voids += usize::from(matches!(other.instruction.kind, OrderKind::Void { .. }));
            }
            OrderKind::Capture { of } if of == id && live => {
                captured += minor;
                captures += 1;
            }
            _ => {}
        }
        let follows = matches!(
            other.instruction.kind,
            OrderKind::Refund { of } | OrderKind::Void { of } | OrderKind::Capture { of }
                if of == id
        );
        let against = rows.contradictions.get(&other.id).map_or(&[][..], Vec::as_slice);
        let ended_otherwise = |number: u8| {
            let attempt = other.attempts.get(usize::from(number).wrapping_sub(1));
            attempt.is_some_and(|attempt| attempt.state != AttemptState::Approved)
        };
        let success = |row: &Contradiction| {
            row.reported == ReportedEnd::Success && ended_otherwise(row.attempt)
        };
        if follows && against.iter().any(success) {
            claimed += minor;
        }
    }
    let whole = root.instruction.amount.get();
    let told = root.claims;
    if !gives_back(root) {
        let same = (refunded, captured, escrow, claimed, released)
            == (
                told.refunded_minor,
                told.captured_minor,
                told.from_escrow_minor,
                told.contradicted_minor,
                root.released_minor,
            );
        hold!(found, same, "I-8: {id} says {told:?}, others drew {refunded} {captured} {escrow}");
    }
    hold!(found, refunded + captured <= whole, "I-8: more of {id} is given back than there is");
    hold!(found, released + escrow <= whole, "I-8: more of {id} leaves escrow than was paid");
    hold!(found, captures <= 1 && voids <= 1, "I-8: {id} is captured or voided twice");
    let alone = voids == 0 || (refunded == whole && captures == 0);
    hold!(found, alone, "I-8: {id} is voided and something else");
    let drawn = released + refunded + captured > 0;
    hold!(found, root.status == OrderStatus::Succeeded || !drawn, "I-8: {id} has not succeeded");
    let escrowed = root.instruction.settlement_mode == SettlementMode::Escrow;
    hold!(found, escrowed || released + escrow == 0, "I-8: {id} was never in escrow");
    found
}
