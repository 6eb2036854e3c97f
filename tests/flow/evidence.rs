//! Every state of an attempt, every outcome, every source.

use switchyard::domain::attempt::{AttemptState, Operation, Source};
use switchyard::domain::command::{CardInMemory, Command};
use switchyard::domain::effect::Effect;
use switchyard::domain::order::OrderStatus;
use switchyard::domain::outcome::{Outcome, Reason};
use switchyard::domain::reversal::{Phase, Resolution};
use switchyard::domain::terms::{DAILY, Terms};
use switchyard::domain::write_set::ReportedEnd;

use crate::build::{
    Desk, approved, card, decline, declined, not_found, not_sent, pending, seconds, terms, unknown,
};

fn in_state(state: AttemptState) -> Desk {
    let reply = |outcome| Desk::after(terms(), &[(Source::Reply, outcome)]);
    match state {
        AttemptState::Sending => Desk::sending(),
        AttemptState::Pending => reply(pending()),
        AttemptState::Unknown => reply(unknown()),
        AttemptState::Approved => reply(approved()),
        AttemptState::Declined => reply(declined()),
        AttemptState::NotSent => reply(not_sent()),
        AttemptState::Reversed => {
            let mut desk = reply(unknown());
            desk.resolve(Resolution::Reversed).expect("it is unknown");
            desk
        }
    }
}

fn outcomes() -> [Outcome; 6] {
    [approved(), declined(), pending(), unknown(), not_sent(), not_found()]
}

/// What the design says that an attempt becomes, and the claim kept instead if it has ended.
fn expected(
    state: AttemptState,
    outcome: &Outcome,
    source: Source,
    final_now: bool,
) -> (AttemptState, Option<ReportedEnd>) {
    use AttemptState::{Approved, Declined, NotSent, Pending, Sending, Unknown};
    let open = matches!(state, Sending | Pending | Unknown);
    if !open {
        let claim = match (outcome, state) {
            (Outcome::Approved(_), Approved) => None,
            (Outcome::Approved(_), _) => Some(ReportedEnd::Success),
            (Outcome::Declined(_), Approved) => Some(ReportedEnd::Failure),
            _ => None,
        };
        return (state, claim);
    }
    let after = match outcome {
        Outcome::Approved(_) => Approved,
        Outcome::Declined(_) => Declined,
        // What the channel has acknowledged cannot have never arrived.
        Outcome::NotFound { .. } if state == Pending && source != Source::Statement => Unknown,
        Outcome::NotFound { .. } if state == Pending => state,
        Outcome::NotFound { .. } if final_now && source != Source::Reply => Declined,
        // That a statement does not show it is no word about it yet.
        Outcome::NotFound { .. } if source == Source::Statement => state,
        Outcome::NotFound { .. } => Unknown,
        Outcome::NotSent(_) if state == Sending && source == Source::Reply => NotSent,
        Outcome::NotSent(_) => state,
        Outcome::Pending { .. } => Pending,
        // A lost inquiry or notice says nothing of the attempt: only a lost call does.
        Outcome::Unknown(_) if state == Sending => Unknown,
        Outcome::Unknown(_) => state,
    };
    (after, None)
}

#[test]
fn i_3_i_5_every_state_outcome_and_source() {
    for state in AttemptState::ALL {
        for outcome in outcomes() {
            for source in Source::ALL {
                for final_now in [false, true] {
                    let name = format!("{state:?} {outcome:?} {source:?} {final_now}");
                    if source == Source::Recovery && !matches!(outcome, Outcome::Unknown(_)) {
                        continue;
                    }
                    let mut desk = in_state(state);
                    let before = desk.order().status;
                    if final_now {
                        desk.wait(seconds(601));
                    }
                    desk.learn(source, outcome.clone());
                    let (after, claim) = expected(state, &outcome, source, final_now);
                    assert_eq!(desk.attempt().state, after, "{name}");
                    let claims: Vec<ReportedEnd> =
                        desk.claims().iter().map(|row| row.reported).collect();
                    assert_eq!(claims, Vec::from_iter(claim), "{name}");
                    let status = match after {
                        _ if !state.is_unresolved() => before,
                        AttemptState::Approved => OrderStatus::Succeeded,
                        AttemptState::Declined | AttemptState::NotSent => OrderStatus::Failed,
                        AttemptState::Unknown => OrderStatus::Unknown,
                        AttemptState::Pending | AttemptState::Sending => before,
                        AttemptState::Reversed => unreachable!("{name}"),
                    };
                    assert_eq!(desk.order().status, status, "{name}");
                }
            }
        }
    }
}

#[test]
fn i_2_only_the_reply_says_not_sent() {
    for source in [Source::Reply, Source::Inquiry, Source::Notice, Source::Reversal] {
        let mut desk = Desk::sending();
        desk.learn(source, not_sent());
        let sent_nothing = desk.attempt().state == AttemptState::NotSent;
        assert_eq!(sent_nothing, source == Source::Reply, "{source:?}");
    }
}

#[test]
fn i_3_not_found_is_believed_from_its_moment_on() {
    for (waited, believed) in [(0, false), (599, false), (600, true), (90_000, true)] {
        let mut desk = Desk::unknown();
        desk.wait(seconds(waited));
        desk.learn(Source::Inquiry, not_found());
        assert_eq!(desk.attempt().state == AttemptState::Declined, believed, "{waited}");
        assert_eq!(desk.attempt().reason == Some(Reason::NeverArrived), believed, "{waited}");
    }
}

#[test]
fn i_3_an_operation_has_a_moment_of_its_own() {
    let own =
        |operation| Terms { not_found_final_after_of: vec![(operation, seconds(900))], ..terms() };
    for (operation, believed) in [(Operation::Payment, 900), (Operation::Refund, 600)] {
        for (waited, is_believed) in [(believed - 1, false), (believed, true)] {
            let mut desk = Desk::after(own(operation), &[(Source::Reply, unknown())]);
            desk.wait(seconds(waited));
            desk.learn(Source::Inquiry, not_found());
            let ended = desk.attempt().state == AttemptState::Declined;
            assert_eq!(ended, is_believed, "{operation:?}: an inquiry after {waited}");
        }
        // A reversal that finds nothing is believed from the same moment on.
        for (waited, is_believed) in [(believed - 1, false), (believed, true)] {
            let mute = Terms { inquire: Vec::new(), ..own(operation) };
            let mut desk = Desk::after(mute, &[(Source::Reply, unknown())]);
            desk.wait(seconds(waited));
            desk.run(Command::BeginReversal).expect("a reversal");
            desk.learn_reversal(not_found()).expect("its answer");
            let ended = desk.attempt().state == AttemptState::Declined;
            assert_eq!(ended, is_believed, "{operation:?}: a reversal after {waited}");
        }
    }
    let longest = |operation| own(operation).reversal_ends_after();
    assert_eq!(longest(Operation::Payment), terms().reversal_ends_after() + seconds(300));
    assert_eq!(longest(Operation::Refund), terms().reversal_ends_after(), "none is taken back");
    let far = Terms { not_found_final_after_of: vec![(Operation::Payout, DAILY * 2)], ..terms() };
    assert_eq!(far.longest_wait(), DAILY * 2);
}

#[test]
fn i_3_a_clock_that_jumped_ahead_believes_nothing_earlier() {
    for ahead in [660, 20 * 3_600, 400 * 86_400] {
        let mut desk = Desk::unknown();
        desk.ahead = seconds(ahead);
        for (waited, believed) in [(0, false), (599, false), (1, true)] {
            desk.wait(seconds(waited));
            desk.learn(Source::Inquiry, not_found());
            assert_eq!(desk.attempt().state == AttemptState::Declined, believed, "{ahead}");
        }
        // Sent under that clock, and judged when it is right again: the stamp lies ahead.
        let mut desk = Desk::unknown();
        desk.now = desk.now.minus(seconds(ahead));
        desk.learn(Source::Inquiry, not_found());
        assert_eq!(desk.attempt().state, AttemptState::Unknown, "{ahead}");
    }
}

#[test]
fn i_4_the_next_channel_is_tried_only_when_nothing_was_sent() {
    let rows: [(Source, Outcome, bool, bool); 9] = [
        (Source::Reply, not_sent(), true, true),
        (Source::Reply, not_sent(), false, false),
        (Source::Reply, decline(Reason::NotSupported, true), true, true),
        (Source::Reply, decline(Reason::NotSupported, true), false, false),
        (Source::Reply, declined(), true, false),
        (Source::Notice, decline(Reason::NotSupported, true), true, false),
        (Source::Reply, unknown(), true, false),
        (Source::Reply, pending(), true, false),
        (Source::Reply, approved(), true, false),
    ];
    for (source, outcome, at_hand, tried) in rows {
        let mut desk = Desk::sending_to(terms(), &["one", "two"]);
        let name = format!("{source:?} {outcome:?} {at_hand}");
        let hand = if at_hand { card() } else { CardInMemory::No };
        let decision = desk.learn_of(desk.id, 1, source, outcome, hand);
        let sends = |effect: &Effect| matches!(effect, Effect::Send { attempt: 2, .. });
        assert_eq!(decision.effects.iter().any(sends), tried, "{name}");
        assert_eq!(desk.order().attempts.len(), if tried { 2 } else { 1 }, "{name}");
        if tried {
            assert_eq!(desk.attempt().channel.as_str(), "two", "{name}");
        }
    }
}

#[test]
fn i_4_candidates_run_out() {
    let mut desk = Desk::sending_to(terms(), &["one", "two", "three"]);
    for attempt in 1..=3 {
        desk.learn_of(desk.id, attempt, Source::Reply, not_sent(), card());
    }
    assert_eq!(desk.state(), (AttemptState::NotSent, OrderStatus::Failed));
    assert_eq!(desk.order().reason, Some(Reason::ChannelUnavailable));
    assert_eq!(desk.order().attempts.len(), 3);
}

/// Regression: the entry of the first attempt was kept for the second.
#[test]
fn i_6_a_late_elsewhere_takes_its_entry_along() {
    for first in [(Source::Recovery, unknown()), (Source::Notice, pending())] {
        let mut desk = Desk::sending_to(terms(), &["one", "two"]);
        desk.learn(first.0, first.1);
        assert!(desk.rows.entries.contains_key(&desk.id));
        let elsewhere = decline(Reason::NotSupported, true);
        desk.learn_of(desk.id, 1, Source::Reply, elsewhere, card());
        assert_eq!(desk.attempt().number, 2);
        assert!(!desk.rows.entries.contains_key(&desk.id), "attempt 2 is being sent");
        desk.learn(Source::Reply, unknown());
        assert_eq!((desk.entry().attempt, desk.entry().phase), (2, Phase::Inquiring));
    }
}

#[test]
fn i_6_an_entry_never_changes_without_its_order() {
    let mut desk = Desk::unknown();
    for outcome in [unknown(), pending(), not_found(), unknown()] {
        let before = (desk.order().version, desk.entry().version);
        let decision = desk.learn(Source::Inquiry, outcome);
        assert_eq!(decision.writes.orders.len(), 1, "the order's version guards both");
        assert_eq!((desk.order().version, desk.entry().version), (before.0 + 1, before.1 + 1));
    }
}

#[test]
fn i_11_the_sealed_number_lives_as_long_as_the_attempt() {
    let mut desk = Desk::unknown();
    assert!(desk.attempt().sealed_pan.is_some());
    desk.learn(Source::Notice, declined());
    assert!(desk.attempt().sealed_pan.is_none());
}

#[test]
fn an_end_is_told_once() {
    let mut desk = Desk::sending();
    let decision = desk.learn(Source::Reply, approved());
    assert_eq!(decision.writes.notices.len(), 1);
    assert!(decision.effects.contains(&Effect::Announce { order: desk.id }));
    let again = desk.learn(Source::Notice, approved());
    assert!(again.writes.is_empty() && again.effects.is_empty(), "{again:?}");
}
