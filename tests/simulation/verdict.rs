//! The last word on a seed: the store, the auditor's shadow and the channels' ledgers must agree.

use std::collections::BTreeMap;

use futures_util::FutureExt;
use switchyard::app::check::check_books;
use switchyard::codec::clearing::{csv_heading, csv_rows};
use switchyard::codec::sign::sha256;
use switchyard::domain::attempt::Operation;
use switchyard::domain::books::accounting::DeliveryStatus;
use switchyard::domain::books::clearing::ClearingState;
use switchyard::domain::books::reconcile::{
    Class, Item, Judge, MatchKey, OrderedAmount, Proof, Tolerance, net,
};
use switchyard::domain::ids::{ChannelOrderNo, OrderId};
use switchyard::domain::instrument::InstrumentFacts;
use switchyard::domain::money::Currency;
use switchyard::domain::order::{Order, OrderKind, OrderStatus};
use switchyard::store::{PAGE_MAX, Store, StoreFuture};

use crate::agreement_verdict::check_agreements;
use crate::auditor::{Rows, check_invariants};
use crate::bank::Fate;
use crate::world::{State, World};

/// The memory store is always ready, so nothing has to be waited for.
fn now<T>(read: StoreFuture<'_, Result<T, switchyard::store::StoreError>>) -> T {
    read.now_or_never().expect("the memory store is ready at once").expect("its rows read back")
}

/// Every row of the store, as it reads back.
fn load(world: &World) -> Rows {
    let store: &dyn Store = &world.store;
    let shadow = world.state().rows.clone();
    let mut rows = Rows {
        believed_after: shadow.believed_after.clone(),
        reversals_end_after: shadow.reversals_end_after.clone(),
        ..Rows::default()
    };
    for order in now(store.orders(None, PAGE_MAX)) {
        let id = order.id;
        if let Some(entry) = now(store.reversal(id)) {
            rows.entries.insert(id, entry);
        }
        if let Some(transaction) = now(store.transaction(id)) {
            rows.transactions.insert(id, vec![transaction]);
        }
        let claims = now(store.contradictions(id));
        if !claims.is_empty() {
            rows.contradictions.insert(id, claims);
        }
        if let Some(notice) = now(store.notice(id)) {
            rows.notices.insert(id, vec![notice]);
        }
        rows.orders.insert(id, order);
    }
    for request in now(store.accounting_requests(None, None, PAGE_MAX)) {
        rows.accounting.insert(request.id, request);
    }
    // Clearing records are listed by channel and date, which the shadow knows.
    let days: std::collections::BTreeSet<_> = shadow
        .clearing
        .values()
        .flatten()
        .map(|record| (record.channel.clone(), record.date))
        .collect();
    for (channel, date) in days {
        for record in now(store.clearing(channel, date, None, PAGE_MAX)) {
            rows.clearing.entry(record.order).or_default().push(record);
        }
    }
    for channel in shadow.shut.keys().cloned() {
        let days = now(store.clearing_days(channel.clone()));
        rows.shut.extend(days.shut_through.map(|date| (channel, date)));
    }
    for (channel, date) in shadow.closes.keys().cloned() {
        if let Some(close) = now(store.day_close(channel.clone(), date)) {
            rows.closes.insert((channel, date), close);
        }
    }
    rows
}

/// The store's rows are those that it was given, no more and no fewer.
pub fn compare_shadow(world: &World) {
    let mut stored = load(world);
    let store: &dyn Store = &world.store;
    let mut state = world.state();
    let mut shadow = state.rows.clone();
    for rows in [&mut stored, &mut shadow] {
        rows.clearing.values_mut().for_each(|all| all.sort_by_key(|row| row.channel_order_no));
        let claims = rows.contradictions.values_mut();
        claims.for_each(|all| all.sort_by_key(|row| (row.attempt, row.reported, row.ordinal)));
    }
    let agreements = state.agreements.values().cloned();
    let agreements: Vec<_> = agreements.map(|row| (now(store.agreement(row.id)), row)).collect();
    let is_kept = agreements.iter().all(|(stored, row)| stored.as_ref() == Some(row));
    if stored != shadow || !is_kept {
        state.violate("I-12: the store does not hold what was committed".to_owned());
    }
}

/// Judges the end of a seed.
pub fn judge(world: &World) {
    let mut state = world.state();
    if !state.violations.is_empty() {
        return;
    }
    let found = check_invariants(&state.rows);
    state.violations.extend(found);
    let store: &dyn Store = &world.store;
    let checked = now(Box::pin(check_books(store, &|_, _| {})));
    assert_eq!(checked.orders, state.rows.orders.len() as u64, "`store check` reads every order");
    state.violations.extend(checked.told);
    check_exports(world, &mut state);
    check_answers(&mut state);
    check_agreements(&mut state);
    check_lines(&mut state);
    check_statements(&mut state);
    check_accounting(&mut state);
    let (mut tally, rows) = (state.tally.clone(), &state.rows);
    for order in rows.orders.values() {
        let undo = matches!(order.instruction.kind, OrderKind::Undo { .. });
        let counter = match (order.instruction.kind, order.status) {
            (OrderKind::Release { .. }, _) => continue,
            (_, OrderStatus::Succeeded) if undo => &mut tally.undone,
            (_, _) if undo => &mut tally.undo_failed,
            (OrderKind::Preauth, OrderStatus::Succeeded) => &mut tally.holds,
            (OrderKind::Payout, OrderStatus::Succeeded) => &mut tally.paid_out,
            (OrderKind::Payout, _) => &mut tally.payouts_failed,
            (OrderKind::Capture { .. }, OrderStatus::Succeeded) => &mut tally.captured,
            (OrderKind::Refund { .. }, OrderStatus::Succeeded) => &mut tally.refunded,
            (OrderKind::Void { .. }, OrderStatus::Succeeded) => &mut tally.voided,
            (kind, OrderStatus::Reversed) if kind.is_follow_up() => &mut tally.follow_ups_reversed,
            (kind, _) if kind.is_follow_up() => &mut tally.follow_ups_failed,
            (_, OrderStatus::Succeeded) => &mut tally.succeeded,
            (_, OrderStatus::Reversed) => &mut tally.reversed,
            (_, _) => &mut tally.failed,
        };
        *counter += 1;
        tally.orders += 1;
        let named = order.instruction.instrument.as_ref().and_then(InstrumentFacts::agreement);
        let is_paid =
            order.status == OrderStatus::Succeeded && !order.instruction.kind.is_follow_up();
        tally.paid_by_agreement += u64::from(named.is_some() && is_paid);
    }
    state.tally = tally;
}

/// What a closed day exports now is what it exported when it was closed.
fn check_exports(world: &World, state: &mut State) {
    for close in state.rows.closes.values() {
        let store: &dyn Store = &world.store;
        let records = store.clearing(close.channel.clone(), close.date, None, PAGE_MAX);
        let rows = csv_rows(&now(records)).expect("records are written down");
        let sha256 = sha256(&[csv_heading(), rows].concat());
        if sha256 != close.sha256 {
            let text = format!("I-7: the export of {} {} has changed", close.channel, close.date);
            state.violations.push(text);
            return;
        }
    }
}

/// I-12: what was answered stands.
fn check_answers(state: &mut State) {
    let mut found = Vec::new();
    for wish in &state.wishes {
        let name = &wish.caller_order_id;
        let Some((id, status)) = wish.answered else {
            let mut orders = state.rows.orders.values();
            let own = |order: &Order| order.instruction.caller_order_id.as_str() == name;
            if wish.is_refused && !orders.any(own) {
                continue;
            }
            found.push(format!("I-12: {name} was never answered"));
            continue;
        };
        let order = state.rows.orders.get(&id);
        let stands = order.is_some_and(|order| {
            order.instruction.caller_order_id.as_str() == name
                && order.instruction.amount.get() == wish.amount_minor
                && (!status.is_final() || order.status == status)
        });
        if !stands {
            found.push(format!("I-12: the answer {status:?} to {name} does not stand"));
        }
    }
    for order in state.rows.orders.values().filter(|order| !order.status.is_final()) {
        found.push(format!("I-3: order {} is still {:?}", order.id, order.status));
    }
    for id in state.rows.entries.keys() {
        found.push(format!("I-6: entry {id} is left"));
    }
    state.violations.extend(found);
}

/// Our clearing records against the channels' ledgers, line by line.
fn check_lines(state: &mut State) {
    let theirs = state.ledger.lines();
    let mut ours = BTreeMap::new();
    for record in state.rows.clearing.values().flatten() {
        // A false claim was kept out of suspense by an operator who gave its undo up.
        let claimed = record.state == ClearingState::Contradicted;
        let false_claim = claimed && !theirs.contains_key(&record.channel_order_no);
        let gives_money =
            matches!(record.movement, Operation::Refund | Operation::Void | Operation::Payout);
        if false_claim && (gives_money || undo_given_up(state, record.channel_order_no)) {
            continue;
        }
        if ours.insert(record.channel_order_no, record.principal_minor).is_some() {
            let text = format!("I-7: {} is cleared twice", record.channel_order_no);
            state.violations.push(text);
            return;
        }
    }
    if ours != theirs {
        let only = |a: &BTreeMap<ChannelOrderNo, i64>, b: &BTreeMap<ChannelOrderNo, i64>| {
            let differs =
                |(number, minor): &(&ChannelOrderNo, &i64)| b.get(*number) != Some(*minor);
            let text = |(number, minor): (&ChannelOrderNo, &i64)| format!("{number} {minor}");
            a.iter().filter(differs).map(text).collect::<Vec<_>>()
        };
        let (us, them) = (only(&ours, &theirs), only(&theirs, &ours));
        for number in ours.keys().chain(theirs.keys()) {
            if ours.get(number) != theirs.get(number) {
                let text = format!(
                    "{number}: {:#?}\n{:#?}",
                    state.ledger.records.get(number),
                    state.rows.orders.get(&number.order)
                );
                state.violations.push(text);
            }
        }
        state.violations.push(format!("the books differ: only ours {us:?}, only theirs {them:?}"));
    }
    let mut standing = BTreeMap::new();
    for (number, minor) in &theirs {
        let record = &state.ledger.records[number];
        let paid_in = matches!(record.operation, Operation::Payment | Operation::Capture);
        let original = record.original.filter(|_| !paid_in);
        let root = original.map_or(number.order, |original| original.order);
        *standing.entry(root).or_insert(0) += minor;
    }
    for (id, net) in standing {
        let order = &state.rows.orders[&id];
        let mut expected = moved_by_itself(order, &theirs);
        // What was given back, and what the channel gave back although our books had ended it.
        for other in state.rows.orders.values().filter(|other| gives_back(other, id)) {
            let done = other.status == OrderStatus::Succeeded;
            let moved = theirs.contains_key(&other.channel_order_no(1));
            expected -= if done || moved { other.instruction.amount.get() } else { 0 };
        }
        let given_up: i64 = (1..=order.attempts.len() as u8)
            .map(|attempt| order.channel_order_no(attempt))
            .filter(|number| undo_given_up(state, *number) && theirs.contains_key(number))
            .map(|_| order.instruction.amount.get())
            .sum();
        if net != expected + given_up {
            let text = format!("order {id} is {:?}, the channels moved {net}", order.status);
            state.violations.push(text);
        }
    }
}

/// What an order without follow-ups should have moved, as seen from our side.
fn moved_by_itself(order: &Order, theirs: &BTreeMap<ChannelOrderNo, i64>) -> i64 {
    let minor = order.instruction.amount.get();
    let paid = order.status == OrderStatus::Succeeded;
    match order.instruction.kind {
        // What the channel paid out although our books had ended it is not taken back.
        OrderKind::Payout if paid || theirs.contains_key(&order.channel_order_no(1)) => -minor,
        _ if paid => minor,
        _ => 0,
    }
}

/// Where the books and the channels agree, their statements leave no difference: what was reversed
/// has two lines that cancel each other, and prove no success.
fn check_statements(state: &mut State) {
    let mut found = Vec::new();
    let mut verdicts = Vec::new();
    for (number, lines) in state.ledger.statements() {
        let records = state.rows.clearing.values().flatten();
        let records: Vec<_> = records.filter(|record| record.channel_order_no == number).collect();
        // What is claimed against our books is a difference indeed.
        if records.iter().any(|record| record.state == ClearingState::Contradicted) {
            continue;
        }
        let ours: Vec<Item> = records.iter().map(|record| Item::of(record)).collect();
        verdicts.clear();
        Judge::new(Tolerance::default()).judge(&lines, &ours, MatchKey::OrderNo, &mut verdicts);
        let settles = |class| matches!(class, Class::Matched | Class::Netted);
        if !verdicts.iter().all(|verdict| settles(verdict.class)) {
            found.push(format!("I-10: {number}: {verdicts:?} of {lines:?} and {ours:?}"));
        }
        let record = &state.ledger.records[&number];
        if record.fate == Fate::Reversed {
            let amount_minor = record.amount_minor;
            let (movement, currency) = (record.operation, Currency::Cny);
            let proof = net(&lines, &OrderedAmount { movement, amount_minor, currency });
            if proof != Proof::TakenBack {
                found.push(format!("I-3: {number}, reversed, proves {proof:?}"));
            }
        }
    }
    state.violations.extend(found);
}

fn gives_back(order: &Order, root: OrderId) -> bool {
    let kind = order.instruction.kind;
    matches!(kind, OrderKind::Refund { of } | OrderKind::Void { of } if of == root)
}

/// Every request that the books owe has reached accounting, and nothing else has.
fn check_accounting(state: &mut State) {
    let mut found = Vec::new();
    for request in state.rows.accounting.values() {
        let booked = state.booked.contains_key(&request.id);
        let status = request.delivery.status;
        let fits = match status {
            DeliveryStatus::Acknowledged => booked,
            // It is taken back by its red letter, which the auditor asks for.
            DeliveryStatus::Withdrawn => !booked || request.delivery.unanswered,
            DeliveryStatus::Owed | DeliveryStatus::Parked => !booked,
        };
        if !fits {
            found.push(format!("I-7: {} is {status:?}, booked: {booked}", request.id));
        }
    }
    for id in state.booked.keys().filter(|id| !state.rows.accounting.contains_key(id)) {
        found.push(format!("I-7: accounting has booked {id}, which nobody owes"));
    }
    state.violations.extend(found);
}

fn undo_given_up(state: &State, number: ChannelOrderNo) -> bool {
    state.rows.orders.values().any(|order| {
        order.instruction.kind == OrderKind::Undo { of: number }
            && order.status == OrderStatus::Failed
    })
}
