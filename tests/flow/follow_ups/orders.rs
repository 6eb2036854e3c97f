//! Every order of a few events around two follow-ups of one order: accounting and the channel are
//! quick or slow, calls die, evidence comes twice or too late. The auditor looks after each event.

use std::collections::BTreeSet;

use switchyard::domain::attempt::Source;
use switchyard::domain::books::accounting::{BookingEvent, DeliveryStatus};
use switchyard::domain::command::{CardInMemory, Command};
use switchyard::domain::ids::OrderId;
use switchyard::domain::order::{OrderKind, OrderStatus, SettlementMode};
use switchyard::domain::outcome::Outcome;
use switchyard::domain::reversal::Resolution;

use crate::auditor::check_invariants;
use crate::build::{
    AMOUNT, Desk, approved, decider, declined, not_found, not_sent, terms, unknown,
};
use crate::follow_ups::{acknowledged, ask, booked, follow_up, succeeded};

/// How many events one order of them has; `SWITCHYARD_FLOW_DEPTH` gives another number.
const DEPTH: usize = 7;

/// Which of the two.
type Place = u64;

#[derive(Debug, Clone, Copy)]
enum Kind {
    Part,
    Whole,
    Void,
    Capture,
}

#[derive(Debug, Clone, Copy)]
enum Event {
    Ask(Place, Kind),
    /// Accounting's acknowledgement is written down: by the first, or once more after a crash.
    Acknowledge(Place),
    Park(Place),
    Withdraw(Place),
    Learn(Place, Source, Word),
    Resolve(Place, Resolution),
    Release,
    /// "No such order" is final from now on.
    Wait,
}

#[derive(Debug, Clone, Copy)]
enum Word {
    Approved,
    Declined,
    Unknown,
    NotSent,
    NotFound,
}

impl Word {
    fn outcome(self) -> Outcome {
        match self {
            Self::Approved => approved(),
            Self::Declined => declined(),
            Self::Unknown => unknown(),
            Self::NotSent => not_sent(),
            Self::NotFound => not_found(),
        }
    }
}

fn events(kinds: &[Kind]) -> Vec<Event> {
    let mut events = vec![Event::Release, Event::Wait];
    for place in [1, 2] {
        events.extend(kinds.iter().map(|kind| Event::Ask(place, *kind)));
        events.extend([Event::Acknowledge(place), Event::Park(place), Event::Withdraw(place)]);
        let learnt = [
            (Source::Reply, Word::Approved),
            (Source::Reply, Word::Declined),
            (Source::Reply, Word::NotSent),
            (Source::Recovery, Word::Unknown),
            (Source::Inquiry, Word::NotFound),
            (Source::Notice, Word::Approved),
        ];
        events.extend(learnt.map(|(source, word)| Event::Learn(place, source, word)));
        events.push(Event::Resolve(place, Resolution::Reversed));
    }
    events
}

fn id_of(place: Place) -> OrderId {
    OrderId::compose(261_122, 1, 100 + place)
}

/// Does what can be done; what is refused, or cannot happen, changes nothing.
fn apply(desk: &mut Desk, event: Event) -> bool {
    let before = desk.rows.clone();
    match event {
        Event::Ask(place, kind) => {
            if desk.rows.orders.contains_key(&id_of(place)) {
                return false;
            }
            let of = desk.id;
            let (kind, minor) = match kind {
                Kind::Part => (OrderKind::Refund { of }, AMOUNT * 2 / 3),
                Kind::Whole => (OrderKind::Refund { of }, AMOUNT),
                Kind::Void => (OrderKind::Void { of }, AMOUNT),
                Kind::Capture => (OrderKind::Capture { of }, AMOUNT / 2),
            };
            let _refused = ask(desk, place, kind, minor);
        }
        Event::Release => {
            let of = desk.id;
            let place = 10 + desk.rows.orders.len() as u64;
            let release = Box::new(follow_up(desk, place, OrderKind::Release { of }, AMOUNT / 2));
            let _refused = desk.run(Command::Release { release });
        }
        Event::Wait => desk.wait(terms().not_found_final_after),
        Event::Acknowledge(place) | Event::Park(place) | Event::Withdraw(place) => {
            let id = id_of(place);
            if !is_booked_first(desk, id) {
                return false;
            }
            tell(desk, id, event);
        }
        Event::Learn(place, source, word) => {
            let sent = desk.rows.orders.get(&id_of(place));
            if sent.is_none_or(|order| order.attempts.is_empty()) {
                return false;
            }
            desk.learn_of(id_of(place), 1, source, word.outcome(), CardInMemory::No);
        }
        Event::Resolve(place, resolution) => {
            if desk.rows.entries.contains_key(&id_of(place)) {
                let resolve = Command::Resolve { resolution, decider: decider() };
                let _refused = desk.run_on(id_of(place), resolve);
            }
        }
    }
    matches!(event, Event::Wait) || desk.rows != before
}

fn is_booked_first(desk: &Desk, id: OrderId) -> bool {
    let mut requests = desk.rows.accounting.values();
    requests.any(|one| one.order() == Some(id) && one.event.is_booked_first())
}

/// What accounting, or an operator, does about an order's request.
fn tell(desk: &mut Desk, id: OrderId, event: Event) {
    let mut request = booked(desk, id);
    let open = matches!(request.delivery.status, DeliveryStatus::Owed | DeliveryStatus::Parked);
    match event {
        Event::Acknowledge(_) if open => {
            let booked = Box::new(acknowledged(desk, id));
            desk.run_on(id, Command::BeginFollowUp { booked }).expect("it waits for this alone");
        }
        Event::Park(_) if request.delivery.status == DeliveryStatus::Owed => {
            request.delivery.status = DeliveryStatus::Parked;
            // The second one of each order had an answer to every try.
            request.delivery.unanswered = request.id.sequence.is_multiple_of(2);
            request.delivery.version += 1;
            desk.rows.accounting.insert(request.id, request);
        }
        _ => {
            let (booked, decider) = (Box::new(request), decider());
            let _refused = desk.run_on(id, Command::Withdraw { booked, decider });
        }
    }
}

/// Two states with the same key can do the same from here.
fn key(desk: &Desk) -> String {
    let orders: Vec<_> = desk
        .rows
        .orders
        .values()
        .map(|order| {
            let attempt = order.attempts.last().map(|attempt| attempt.state);
            (
                order.instruction.kind,
                order.status,
                attempt,
                order.instruction.amount,
                order.claims,
                order.released_minor,
            )
        })
        .collect();
    let requests: Vec<_> =
        desk.rows.accounting.values().map(|one| (one.event, one.delivery.status)).collect();
    let claims: usize = desk.rows.contradictions.values().map(Vec::len).sum();
    let late = desk.rows.orders.values().any(|order| {
        order.unresolved().is_some_and(|one| terms().not_found_is_final(one, &desk.present()))
    });
    format!("{orders:?} {requests:?} {claims} {late}")
}

fn explore(desk: Desk, kinds: &[Kind]) -> (usize, BTreeSet<&'static str>) {
    let depth = std::env::var("SWITCHYARD_FLOW_DEPTH").ok();
    let depth = depth.map_or(DEPTH, |text| text.parse().expect("a number"));
    let events = events(kinds);
    let mut seen = BTreeSet::new();
    let mut ends = BTreeSet::new();
    let mut level = vec![desk];
    for _ in 0..depth {
        let mut next = Vec::new();
        for desk in &level {
            for event in &events {
                let mut after = desk.clone();
                if !apply(&mut after, *event) || !seen.insert(key(&after)) {
                    continue;
                }
                let found = check_invariants(&after.rows);
                assert!(found.is_empty(), "after {event:?}: {found:#?}\n{:#?}", after.rows);
                for request in after.rows.accounting.values() {
                    ends.insert(request.event.name());
                }
                next.push(after);
            }
        }
        level = next;
    }
    (seen.len(), ends)
}

#[test]
fn i_8_every_order_of_events_around_two_refunds_keeps_the_books() {
    for settlement in SettlementMode::ALL {
        let desk = succeeded(terms(), OrderKind::Payment, settlement);
        let (states, booked) = explore(desk, &[Kind::Part, Kind::Whole, Kind::Void]);
        assert!(states > 300, "{states} states are too few to mean anything");
        for event in [
            BookingEvent::Refund,
            BookingEvent::RefundTakenBack,
            BookingEvent::VoidTakenBack,
            BookingEvent::SuspenseReceivable,
        ] {
            assert!(booked.contains(event.name()), "{} never happened", event.name());
        }
    }
}

#[test]
fn i_8_every_order_of_events_around_a_hold_keeps_the_books() {
    let desk = succeeded(terms(), OrderKind::Preauth, SettlementMode::Escrow);
    assert_eq!(desk.order().status, OrderStatus::Succeeded);
    let (states, booked) = explore(desk, &[Kind::Capture, Kind::Void]);
    assert!(states > 100, "{states} states are too few to mean anything");
    assert!(booked.contains(BookingEvent::EscrowPayment.name()));
}
