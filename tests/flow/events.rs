//! What happened to an order is kept with it, since its entry goes with its cause (I-6).

use switchyard::domain::attempt::Source;
use switchyard::domain::command::Command;
use switchyard::domain::event::{EventKind, OrderEvent};
use switchyard::domain::order::OrderStatus;
use switchyard::domain::outcome::{Outcome, Reason};
use switchyard::domain::reversal::Resolution;
use switchyard::domain::terms::Terms;

use crate::build::{Desk, approved, card, decline, declined, pending, terms, unknown};

/// Kind, who told it, what, and why.
fn told(event: &OrderEvent) -> (EventKind, Option<Source>, Option<&str>, Option<&str>) {
    (event.kind, event.source, event.outcome.as_deref(), event.cause.as_deref())
}

#[test]
fn a_payment_that_is_approved_at_once_has_no_events() {
    let mut desk = Desk::sending_to(terms(), &["one"]);
    let decision = desk.learn(Source::Reply, approved());
    assert_eq!(desk.order().status, OrderStatus::Succeeded);
    let writes = decision.writes;
    assert!(writes.events.is_empty(), "{:?}", writes.events);
    // Neither has it any further row: the order, and what its success leaves in the books.
    let rows = [
        writes.orders.len(),
        writes.transactions.len(),
        writes.clearing.len(),
        writes.accounting.len(),
        writes.notices.len(),
        writes.entries.len(),
        writes.contradictions.len(),
        writes.audit.len(),
    ];
    assert_eq!(rows, [1, 1, 1, 1, 1, 0, 0, 0]);
}

#[test]
fn a_decline_keeps_what_was_sent_and_the_channels_words() {
    let mut desk = Desk::sending_to(terms(), &["one", "two"]);
    let elsewhere = decline(Reason::NotSupported, true);
    let first = desk.learn_of(desk.id, 1, Source::Reply, elsewhere, card()).writes.events;
    let second = desk.learn_of(desk.id, 2, Source::Reply, declined(), card()).writes.events;
    assert_eq!((first.len(), second.len()), (1, 1));
    assert_eq!((first[0].attempt, second[0].attempt), (1, 2));
    assert!(first[0].version < second[0].version, "each has the version that it was written with");
    let (kind, source, outcome, cause) = told(&first[0]);
    assert_eq!(
        (kind, source, outcome),
        (EventKind::Learned, Some(Source::Reply), Some("declined"))
    );
    assert_eq!(cause, Some("not_supported"));
    assert_eq!(first[0].transcript, "words");
    assert_eq!(first[0].sent, "asked");
}

#[test]
fn every_word_about_an_unknown_is_kept_beyond_its_entry() {
    let silent = Terms { inquire: Vec::new(), ..terms() };
    let mut desk = Desk::sending_to(silent, &["one"]);
    let mut events = desk.learn(Source::Reply, unknown()).writes.events;
    events.extend(desk.run(Command::BeginReversal).expect("it is due at once").writes.events);
    events.extend(desk.learn_reversal(approved()).expect("it is open").writes.events);
    assert!(!desk.rows.entries.contains_key(&desk.id), "the entry has gone");
    let kinds: Vec<EventKind> = events.iter().map(|event| event.kind).collect();
    assert_eq!(kinds, [EventKind::Learned, EventKind::ReversalSent, EventKind::ReversalAnswered]);
    let sent: Vec<&str> = events.iter().map(|event| event.sent.as_str()).collect();
    assert_eq!(sent, ["asked", "", "reverse"], "each answer with what it answers");
    let places: Vec<(u32, u8)> =
        events.iter().map(|event| (event.version, event.ordinal)).collect();
    assert!(places.windows(2).all(|pair| pair[0] < pair[1]), "{places:?}");
    let (_, source, outcome, cause) = told(&events[0]);
    assert_eq!((source, outcome), (Some(Source::Reply), Some("unknown")));
    assert!(cause.is_some());
}

#[test]
fn inquiries_that_repeat_the_last_word_are_one_event() {
    let mut desk = Desk::sending_to(terms(), &["one"]);
    desk.learn(Source::Reply, pending());
    let mut events = Vec::new();
    let mut ask = |desk: &mut Desk, outcome: Outcome, times: u32| {
        for _ in 0..times {
            desk.wait_until_due();
            events.extend(desk.learn(Source::Inquiry, outcome.clone()).writes.events);
        }
        (desk.entry().inquiries, desk.entry().history.last().map(|line| line.at), desk.now)
    };
    let (count, last, now) = ask(&mut desk, pending(), 60);
    assert_eq!((count, last), (60, Some(now)), "the entry knows how often, and when last");
    ask(&mut desk, Outcome::Pending { code: "other".to_owned(), channel_reference: None }, 2);
    ask(&mut desk, unknown(), 3);
    ask(&mut desk, pending(), 3);
    // What somebody else tells stands between two inquiries.
    desk.learn(Source::Notice, pending());
    desk.wait_until_due();
    events.extend(desk.learn(Source::Inquiry, pending()).writes.events);
    desk.wait_until_due();
    events.extend(desk.learn(Source::Inquiry, approved()).writes.events);
    let said: Vec<(Option<&str>, Option<&str>)> =
        events.iter().map(|event| (event.outcome.as_deref(), event.code.as_deref())).collect();
    let pending_said = (Some("pending"), Some("05"));
    assert_eq!(
        said,
        [
            pending_said,
            (Some("pending"), Some("other")),
            (Some("unknown"), None),
            pending_said,
            pending_said,
            (Some("approved"), Some("00")),
        ]
    );
}

#[test]
fn an_operators_decision_is_kept_with_name_and_reason() {
    let mut desk = Desk::after(terms(), &[(Source::Reply, unknown())]);
    let mut events = desk.retry().expect("it is open").writes.events;
    events.extend(desk.resolve(Resolution::Failed).expect("it is open").writes.events);
    let kinds: Vec<EventKind> = events.iter().map(|event| event.kind).collect();
    assert_eq!(kinds, [EventKind::Retried, EventKind::Resolved]);
    for event in &events {
        assert_eq!(event.actor.as_deref(), Some("ann"));
        assert_eq!(event.detail.as_deref(), Some("the bank said so"));
    }
    assert_eq!(events[1].outcome.as_deref(), Some("failed"));
}
