//! I-5: final is final; what speaks against it is kept, alerts, and is taken back.

use switchyard::domain::attempt::{AttemptState, Source};
use switchyard::domain::books::accounting::{BookingEvent, RequestId};
use switchyard::domain::books::clearing::ClearingState;
use switchyard::domain::command::Command;
use switchyard::domain::effect::{Alert, Effect};
use switchyard::domain::ids::ChannelOrderNo;
use switchyard::domain::order::{OWN_CALLER, OrderKind, OrderStatus};
use switchyard::domain::outcome::Reason;
use switchyard::domain::reversal::{Phase, Resolution};
use switchyard::domain::terms::Terms;
use switchyard::domain::write_set::ReportedEnd;

use crate::build::{
    AMOUNT, Desk, approved, card, decline, declined, not_sent, pending, seconds, terms, unknown,
};

fn reversed() -> Desk {
    let silent = Terms { inquire: Vec::new(), ..terms() };
    let mut desk = Desk::after(silent, &[(Source::Reply, unknown())]);
    desk.run(Command::BeginReversal).expect("it is due at once");
    desk.learn_reversal(approved()).expect("it is open");
    desk
}

#[test]
fn i_5_a_success_after_any_other_end_owes_one_undo() {
    let ends = [
        Desk::after(terms(), &[(Source::Reply, declined())]),
        Desk::after(terms(), &[(Source::Reply, not_sent())]),
        reversed(),
    ];
    for mut desk in ends {
        let end = desk.order().clone();
        let decision = desk.learn(Source::Notice, approved());
        let mut same = desk.order().clone();
        same.version = end.version;
        assert_eq!(same, end, "the end stays");
        let alert = Effect::Alert { order: desk.id, what: Alert::Contradiction };
        assert!(decision.effects.contains(&alert));
        let undo = desk.undo().clone();
        let of = ChannelOrderNo { order: desk.id, attempt: 1 };
        assert_eq!(undo.instruction.kind, OrderKind::Undo { of });
        assert_eq!(
            (undo.status, undo.instruction.caller.as_str()),
            (OrderStatus::Accepted, OWN_CALLER)
        );
        assert_eq!(undo.instruction.caller_order_id.as_str(), format!("undo-{of}"));
        let entry = &desk.rows.entries[&undo.id];
        assert_eq!((entry.phase, entry.due_at), (Phase::UndoOwed, Some(desk.now)));
        let suspense = &desk.rows.accounting[&RequestId { chain: undo.id, sequence: 1 }];
        assert_eq!(suspense.event, BookingEvent::SuspenseOpened);
        let record = &desk.rows.clearing[&desk.id][0];
        assert_eq!((record.state, record.principal_minor), (ClearingState::Contradicted, AMOUNT));
        assert_eq!(desk.claims()[0].channel_reference.as_deref(), Some("q1"));
        assert_eq!(desk.claims()[0].undo, Some(undo.id));
        // The same claim again, from wherever, changes nothing.
        for source in [Source::Reply, Source::Inquiry, Source::Notice, Source::Statement] {
            assert!(desk.learn(source, approved()).writes.is_empty(), "{source:?}");
        }
        assert_eq!(desk.claims().len(), 1);
    }
}

#[test]
fn i_5_a_failure_after_success_is_kept_and_alerts() {
    let mut desk = Desk::after(terms(), &[(Source::Reply, approved())]);
    let decision = desk.learn(Source::Notice, declined());
    assert_eq!(desk.order().status, OrderStatus::Succeeded);
    assert_eq!(decision.effects, [Effect::Alert { order: desk.id, what: Alert::Contradiction }]);
    assert_eq!(desk.claims()[0].reported, ReportedEnd::Failure);
    assert!(decision.writes.orders.is_empty(), "nothing is owed");
    assert!(desk.learn(Source::Inquiry, declined()).writes.is_empty());
}

#[test]
fn i_5_what_proves_nothing_changes_nothing() {
    let ends = [approved(), declined(), not_sent()];
    for end in ends {
        for word in [pending(), unknown(), not_sent(), crate::build::not_found()] {
            let mut desk = Desk::after(terms(), &[(Source::Reply, end.clone())]);
            desk.wait(seconds(1_000));
            assert!(desk.learn(Source::Inquiry, word).writes.is_empty());
        }
    }
}

#[test]
fn i_5_two_channels_success_keeps_the_second_and_undoes_the_first() {
    let firsts = [not_sent(), decline(Reason::NotSupported, true)];
    for first in firsts {
        for claim_first in [false, true] {
            let mut desk = Desk::sending_to(terms(), &["one", "two"]);
            desk.learn_of(desk.id, 1, Source::Reply, first.clone(), card());
            let id = desk.id;
            let mut words = [(1, Source::Notice), (2, Source::Reply)];
            if !claim_first {
                words.reverse();
            }
            for (attempt, source) in words {
                desk.learn_of(id, attempt, source, approved(), card());
            }
            assert_eq!(desk.state(), (AttemptState::Approved, OrderStatus::Succeeded));
            assert_eq!(desk.order().approved().map(|attempt| attempt.number), Some(2));
            let undo = desk.undo();
            assert_eq!(
                undo.instruction.kind,
                OrderKind::Undo { of: ChannelOrderNo { order: id, attempt: 1 } }
            );
            assert_eq!(desk.rows.entries[&undo.id].channel.as_str(), "one");
            let states: Vec<_> =
                desk.rows.clearing[&id].iter().map(|record| record.state).collect();
            assert!(states.contains(&ClearingState::Due), "{states:?}");
            assert!(states.contains(&ClearingState::Contradicted), "{states:?}");
        }
    }
}

#[test]
fn i_5_a_claim_about_an_old_attempt_leaves_the_open_one_alone() {
    let mut desk = Desk::sending_to(terms(), &["one", "two"]);
    let id = desk.id;
    desk.learn_of(id, 1, Source::Reply, not_sent(), card());
    desk.learn_of(id, 2, Source::Reply, unknown(), card());
    let entry = desk.entry().clone();
    desk.learn_of(id, 1, Source::Notice, approved(), card());
    assert_eq!(desk.entry(), &entry);
    assert_eq!(desk.state(), (AttemptState::Unknown, OrderStatus::Unknown));
    assert_eq!(desk.undo().instruction.amount.get(), AMOUNT);
}

/// Regression: the answer was refused because nothing was open any more.
#[test]
fn i_5_a_reversal_after_an_operators_success_is_a_contradiction() {
    let silent = Terms { inquire: Vec::new(), ..terms() };
    let mut desk = Desk::after(silent, &[(Source::Reply, unknown())]);
    desk.run(Command::BeginReversal).expect("it is due at once");
    desk.resolve(Resolution::Succeeded).expect("the operator may");
    desk.learn_reversal(approved()).expect("it is kept");
    assert_eq!(desk.order().status, OrderStatus::Succeeded);
    assert_eq!(desk.claims()[0].reported, ReportedEnd::Failure);
    assert_eq!(desk.claims()[0].source, Source::Reversal);
}

/// Regression: an undo of the undo was owed, and suspense opened in the wrong direction.
#[test]
fn i_5_a_claim_about_an_undo_owes_nothing() {
    let mut desk = Desk::after(terms(), &[(Source::Reply, declined())]);
    desk.learn(Source::Notice, approved());
    let undo = desk.undo().id;
    desk.run_on(undo, Command::BeginUndo).expect("it is owed");
    desk.learn_of(undo, 1, Source::Reply, declined(), card());
    let decision = desk.learn_of(undo, 1, Source::Notice, approved(), card());
    assert_eq!(decision.writes.contradictions.len(), 1);
    assert_eq!(decision.writes.contradictions[0].undo, None);
    assert!(decision.writes.orders.is_empty() && decision.writes.accounting.is_empty());
    assert_eq!(desk.undo().id, undo);
}

#[test]
fn the_channels_own_date_is_the_claims_date() {
    let mut desk = Desk::after(terms(), &[(Source::Reply, declined())]);
    let switchyard::domain::outcome::Outcome::Approved(mut approval) = approved() else {
        unreachable!("it is an approval")
    };
    approval.settle_mmdd = Some("1124".to_owned());
    desk.learn(Source::Notice, switchyard::domain::outcome::Outcome::Approved(approval));
    assert_eq!(desk.rows.clearing[&desk.id][0].date.to_string(), "2026-11-24");
}
