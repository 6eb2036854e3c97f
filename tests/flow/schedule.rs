//! How an unknown is worked: inquiries, reversals, days, and at last a person.

use std::time::Duration;

use switchyard::domain::attempt::{AttemptState, Source};
use switchyard::domain::command::{Command, Refusal};
use switchyard::domain::effect::{Alert, Effect};
use switchyard::domain::order::OrderStatus;
use switchyard::domain::outcome::{NotSentCause, Objection, Outcome, Reason, UnknownCause};
use switchyard::domain::reversal::Phase;
use switchyard::domain::terms::{AfterInquiry, DAILY, ReverseUntil, Terms};

use crate::build::{
    Desk, approved, declined, not_found, not_sent, pending, seconds, terms, unknown,
};

/// Answers `count` inquiries with `outcome`, each when it is due; gives the waits before them.
fn inquire(desk: &mut Desk, count: usize, outcome: &Outcome) -> Vec<Duration> {
    let mut waits = Vec::new();
    for _ in 0..count {
        assert_eq!(desk.entry().phase, Phase::Inquiring);
        waits.push(desk.wait_until_due());
        desk.learn(Source::Inquiry, outcome.clone());
    }
    waits
}

fn reversing(terms: Terms) -> Desk {
    let mut desk = Desk::after(terms, &[(Source::Reply, unknown())]);
    for _ in 0..10 {
        if desk.entry().phase == Phase::Reversing {
            return desk;
        }
        desk.wait_until_due();
        desk.learn(Source::Inquiry, unknown());
    }
    panic!("it is never reversed: {:?}", desk.entry());
}

fn sent_reversal(terms: Terms) -> Desk {
    let mut desk = reversing(terms);
    desk.wait_until_due();
    desk.run(Command::BeginReversal).expect("it is due");
    desk
}

#[test]
fn i_3_inquiries_follow_the_schedule_and_wait_for_not_found() {
    let mut desk = Desk::unknown();
    assert_eq!(
        inquire(&mut desk, 4, &unknown()),
        // The last one is at the moment when "no such order" becomes final.
        [seconds(2), seconds(5), seconds(10), seconds(600 - 17)],
    );
    assert_eq!(desk.entry().phase, Phase::Reversing);
    assert_eq!(desk.entry().inquiries, 4);
    assert_eq!(desk.state(), (AttemptState::Unknown, OrderStatus::Unknown));
}

#[test]
fn i_3_pending_repeats_the_last_wait_and_is_never_reversed() {
    let mut desk = Desk::after(terms(), &[(Source::Reply, pending())]);
    let waits = inquire(&mut desk, 200, &pending());
    assert_eq!(waits[..4], [seconds(2), seconds(5), seconds(10), seconds(10)]);
    assert!(waits[4..].iter().all(|wait| *wait == seconds(10)));
    assert_eq!(desk.state(), (AttemptState::Pending, OrderStatus::Processing));
    // An inquiry that is lost does not take the channel's word back.
    inquire(&mut desk, 50, &unknown());
    assert_eq!(desk.entry().phase, Phase::Inquiring);
    // A channel that no longer knows, does.
    desk.wait_until_due();
    // An inquiry that failed says nothing of the payment: what is worked on is not reversed.
    let failed = [UnknownCause::InquiryFailed, UnknownCause::TimedOut, UnknownCause::HttpStatus];
    for cause in failed {
        desk.learn(Source::Inquiry, Outcome::Unknown(cause));
        assert_eq!(desk.order().attempts[0].state, AttemptState::Pending, "{cause:?}");
        assert!(desk.rows.entries[&desk.id].pending, "I-3: {cause:?}");
    }
    desk.learn(Source::Inquiry, Outcome::Unknown(UnknownCause::ChannelUnsure));
    assert_eq!(desk.entry().phase, Phase::Reversing);
}

/// Why a message proves nothing is told in the entry's history and kept with the attempt, whether
/// it was the reply, an inquiry's or a reversal's, and also while the channel works on it.
#[test]
fn an_objection_is_in_the_history_and_stays_with_the_attempt() {
    let objection = |words: &str| Some(Objection::new(words));
    let forged = || Outcome::Unknown(UnknownCause::BadSignature);
    let mut desk = Desk::after(terms(), &[]);
    desk.learn_objectioned(Source::Reply, forged(), objection("the certificate has expired"));
    let last = |desk: &Desk| desk.entry().history.last().map(|line| line.what.clone());
    let told = "reply: unknown (bad_signature: the certificate has expired)";
    assert_eq!(last(&desk).as_deref(), Some(told));
    assert_eq!(desk.attempt().objection, objection("the certificate has expired"));
    desk.wait_until_due();
    desk.learn(Source::Inquiry, pending());
    desk.learn_objectioned(Source::Inquiry, forged(), objection("no such authority"));
    assert_eq!(desk.attempt().state, AttemptState::Pending);
    let told = "inquiry: unknown (bad_signature: no such authority)";
    assert_eq!(last(&desk).as_deref(), Some(told));
    assert_eq!(desk.attempt().objection, objection("no such authority"));
    // Without an objection, the last one stays; the end leaves it readable.
    desk.learn(Source::Inquiry, unknown());
    desk.learn(Source::Notice, approved());
    assert_eq!(desk.order().status, OrderStatus::Succeeded);
    assert_eq!(desk.attempt().objection, objection("no such authority"));
    let mut desk = reversing(terms());
    desk.run(Command::BeginReversal).expect("it is due");
    let (outcome, words) = (forged(), objection("field 49 is not what was sent"));
    desk.learn_reversal_objectioned(outcome, words.clone()).expect("it is under way");
    let told = "reversal: unknown (bad_signature: field 49 is not what was sent)";
    assert_eq!(last(&desk).as_deref(), Some(told));
    assert_eq!(desk.attempt().objection, words);
}

#[test]
fn pending_where_nobody_can_be_asked_waits_for_a_notice() {
    let silent = Terms { inquire: Vec::new(), ..terms() };
    let mut desk = Desk::after(silent, &[(Source::Reply, pending())]);
    assert_eq!((desk.entry().phase, desk.entry().due_at), (Phase::Operator, None));
    desk.learn(Source::Notice, approved());
    assert_eq!(desk.order().status, OrderStatus::Succeeded);
}

/// Store and forward: a link that is down for days costs no try, and the reversal goes out after.
#[test]
fn i_3_a_reversal_that_cannot_leave_waits_for_its_channel() {
    let mut desk = reversing(terms());
    for _ in 0..200 {
        desk.wait_until_due();
        desk.run(Command::BeginReversal).expect("it is due");
        desk.learn_reversal(not_sent()).expect("it is open");
        assert_eq!(desk.entry().phase, Phase::Reversing);
        assert_eq!((desk.entry().reversals, desk.entry().reversals_unanswered), (0, 0));
    }
    assert!(desk.wait_until_due() > Duration::ZERO, "it is not tried in a tight loop");
    desk.run(Command::BeginReversal).expect("it is due");
    desk.learn_reversal(approved()).expect("it is open");
    assert_eq!(desk.state(), (AttemptState::Reversed, OrderStatus::Reversed));
}

#[test]
fn a_reversal_that_can_never_be_built_ends_with_an_operator() {
    let mut desk = reversing(terms());
    for _ in 0..terms().reverse.len() {
        desk.wait_until_due();
        desk.run(Command::BeginReversal).expect("it is due");
        desk.learn_reversal(Outcome::NotSent(NotSentCause::NotEncodable)).expect("it is open");
    }
    assert_eq!(desk.entry().phase, Phase::Operator);
}

/// Regression: a pending word that came in the reversing phase was ignored.
#[test]
fn pending_before_a_reversal_has_left_calls_it_off() {
    for source in [Source::Reply, Source::Notice, Source::Inquiry] {
        let mut desk = reversing(terms());
        desk.learn(source, pending());
        assert_eq!(desk.entry().phase, Phase::Inquiring, "{source:?}");
        assert_eq!(desk.run(Command::BeginReversal).err(), Some(Refusal::WrongPhase));
    }
    let mut desk = sent_reversal(terms());
    desk.learn(Source::Notice, pending());
    assert_eq!(desk.entry().phase, Phase::Reversing, "what has left has left");
}

#[test]
fn a_channel_without_inquiry_reverses_at_once() {
    let silent = Terms { inquire: Vec::new(), ..terms() };
    let mut desk = Desk::after(silent, &[(Source::Reply, unknown())]);
    assert_eq!(desk.entry().phase, Phase::Reversing);
    assert_eq!(desk.wait_until_due(), seconds(0));
    let begun = desk.run(Command::BeginReversal).expect("it is due");
    assert!(begun.effects.contains(&Effect::SendReversal { order: desk.id, attempt: 1 }));
    assert_eq!(desk.entry().reversals_unanswered, 1, "durable before it leaves");
    assert_eq!(desk.entry().reversal_left_at, Some(desk.now));
    desk.learn_reversal(approved()).expect("it is open");
    assert_eq!(desk.state(), (AttemptState::Reversed, OrderStatus::Reversed));
    assert_eq!(desk.order().reason, Some(Reason::ReversedAfterUnknown));
    assert_eq!(desk.attempt().ended_by, Some(Source::Reversal));
}

#[test]
fn what_follows_the_inquiries_is_agreed() {
    let until = |until, then, reverse: &[u64]| Terms {
        then,
        reverse_until: until,
        reverse: reverse.iter().copied().map(seconds).collect(),
        ..terms()
    };
    let day = ReverseUntil::ClearingDay;
    let always = ReverseUntil::Always;
    let rows = [
        (until(always, AfterInquiry::Reverse, &[0]), 0, Phase::Reversing),
        (until(always, AfterInquiry::Reverse, &[]), 0, Phase::Inquiring),
        (until(always, AfterInquiry::InquireDaily, &[0]), 0, Phase::Inquiring),
        (until(always, AfterInquiry::Operator, &[0]), 0, Phase::Operator),
        (until(day, AfterInquiry::Reverse, &[0]), 0, Phase::Reversing),
        // It was sent at 16:00 in Beijing; at 23:00 the window has closed.
        (until(day, AfterInquiry::Reverse, &[0]), 7 * 3_600, Phase::Inquiring),
    ];
    for (terms, later, phase) in rows {
        let name = format!("{terms:?} {later}");
        let mut desk = Desk::after(terms, &[(Source::Reply, unknown())]);
        desk.wait(seconds(later));
        inquire(&mut desk, 3, &unknown());
        if desk.entry().phase == Phase::Inquiring && later == 0 {
            inquire(&mut desk, 1, &unknown());
        }
        assert_eq!(desk.entry().phase, phase, "{name}");
        if phase == Phase::Inquiring {
            assert_eq!(inquire(&mut desk, 5, &unknown()), [DAILY; 5], "{name}");
        }
    }
}

#[test]
fn a_reversal_is_repeated_and_then_handed_over() {
    let mut desk = reversing(terms());
    let mut waits = Vec::new();
    let mut last = None;
    for outcome in [unknown(), pending(), unknown()] {
        waits.push(desk.wait_until_due());
        desk.run(Command::BeginReversal).expect("it is due");
        last = Some(desk.learn_reversal(outcome).expect("it is open"));
    }
    assert_eq!(waits, [seconds(0), seconds(30), seconds(120)]);
    assert_eq!(desk.entry().reversals, 3);
    // What they left behind is asked once, when none of them can be carried out any more.
    assert_eq!((desk.entry().phase, desk.wait_until_due()), (Phase::Inquiring, seconds(640)));
    assert!(last.is_some_and(|decision| decision.effects == [Effect::WorkReversals]));
    let last = Some(desk.learn(Source::Inquiry, unknown()));
    assert_eq!((desk.entry().phase, desk.entry().due_at), (Phase::Operator, None));
    let alert = Effect::Alert { order: desk.id, what: Alert::OperatorNeeded };
    assert!(last.is_some_and(|decision| decision.effects.contains(&alert)));
    assert_eq!(desk.order().status, OrderStatus::Unknown, "still never guessed");
}

#[test]
fn i_3_a_reversal_that_finds_nothing_waits_until_that_is_final() {
    let silent = Terms { inquire: Vec::new(), ..terms() };
    let mut desk = Desk::after(silent, &[(Source::Reply, unknown())]);
    desk.run(Command::BeginReversal).expect("it is due at once");
    desk.learn_reversal(not_found()).expect("it is open");
    assert_eq!((desk.order().status, desk.entry().phase), (OrderStatus::Unknown, Phase::Reversing));
    assert_eq!(desk.wait_until_due(), seconds(600));
    desk.run(Command::BeginReversal).expect("it is due");
    desk.learn_reversal(not_found()).expect("it is open");
    assert_eq!(desk.state(), (AttemptState::Declined, OrderStatus::Failed));
    assert_eq!(desk.order().reason, Some(Reason::NeverArrived));
}

/// An answer that takes long tells of no later moment than its question: one that was asked before
/// "no such order" is final proves nothing after it, and is asked once more at once.
#[test]
fn i_3_not_found_counts_as_of_when_it_was_asked() {
    let mut desk = Desk::unknown();
    for _ in 0..3 {
        inquire(&mut desk, 1, &unknown());
    }
    let asked_at = desk.now;
    desk.wait(seconds(600));
    desk.learn_as_of(Source::Inquiry, not_found(), asked_at);
    assert_eq!(desk.state(), (AttemptState::Unknown, OrderStatus::Unknown));
    assert_eq!((desk.entry().phase, desk.entry().due_at), (Phase::Inquiring, Some(desk.now)));
    desk.learn(Source::Inquiry, not_found());
    assert_eq!(desk.order().reason, Some(Reason::NeverArrived));

    for tries in [1, 3] {
        let silent = Terms { inquire: Vec::new(), ..terms() };
        let mut desk = Desk::after(silent, &[(Source::Reply, unknown())]);
        for one in 1..=tries {
            desk.run(Command::BeginReversal).expect("it is due");
            if one < tries {
                desk.learn_reversal(unknown()).expect("it is open");
                desk.wait_until_due();
            }
        }
        let asked_at = desk.now;
        desk.wait(seconds(599));
        desk.learn_reversal_asked(1, not_found(), asked_at, false).expect("it is open");
        assert_eq!(desk.state().1, OrderStatus::Unknown, "{tries}");
        assert_eq!(desk.entry().phase, Phase::Reversing, "{tries}: it is asked once more");
        desk.wait_until_due();
        desk.run(Command::BeginReversal).expect("it is due");
        desk.learn_reversal(not_found()).expect("it is open");
        assert_eq!(desk.order().reason, Some(Reason::NeverArrived), "{tries}");
    }
}

#[test]
fn i_3_a_success_is_held_while_a_reversal_is_under_way() {
    for source in [Source::Reply, Source::Notice, Source::Inquiry] {
        let mut desk = sent_reversal(terms());
        desk.learn(source, approved());
        assert_eq!(desk.order().status, OrderStatus::Unknown, "{source:?}");
        desk.learn_reversal(approved()).expect("it is open");
        assert_eq!(desk.order().status, OrderStatus::Reversed, "{source:?}");
    }
    // The operator has been shown the reversal.
    let mut desk = sent_reversal(terms());
    desk.learn(Source::Operator, approved());
    assert_eq!(desk.order().status, OrderStatus::Succeeded);
}

#[test]
fn a_refused_reversal_leaves_the_word_to_the_inquiry() {
    let mut desk = sent_reversal(terms());
    desk.learn_reversal(declined()).expect("it is open");
    assert_eq!(desk.entry().phase, Phase::Inquiring);
    assert_eq!(desk.entry().due_at, Some(desk.now));
    assert!(desk.entry().reversal_refused && desk.entry().reversals_unanswered == 0);
    let mut success = desk.clone();
    success.learn(Source::Inquiry, approved());
    assert_eq!(success.order().status, OrderStatus::Succeeded);
    // Refused for good: once the inquiries have run out it is asked daily, not reversed again.
    inquire(&mut desk, 3, &unknown());
    assert_eq!(inquire(&mut desk, 2, &unknown()), [DAILY; 2]);
    let mut silent = sent_reversal(Terms { inquire: Vec::new(), ..terms() });
    silent.learn_reversal(declined()).expect("it is open");
    assert_eq!(silent.entry().phase, Phase::Operator);
}

#[test]
fn a_reversal_that_never_left_holds_nothing_back() {
    let mut desk = sent_reversal(terms());
    desk.learn_reversal(not_sent()).expect("it is open");
    assert_eq!(desk.entry().reversals_unanswered, 0);
    desk.wait_until_due();
    desk.run(Command::BeginReversal).expect("it is due");
    desk.learn_reversal(unknown()).expect("it is open");
    desk.wait_until_due();
    desk.run(Command::BeginReversal).expect("it is due");
    desk.learn_reversal(not_sent()).expect("it is open");
    assert_eq!(desk.entry().reversals_unanswered, 1, "the one before may have left");
}

/// Regression: closing the window forgot the reversal whose answer was lost.
#[test]
fn i_3_a_closed_window_still_holds_old_notices_back() {
    let day = Terms { reverse_until: ReverseUntil::ClearingDay, ..terms() };
    let mut desk = sent_reversal(day.clone());
    desk.learn_reversal(unknown()).expect("it is open");
    desk.wait(seconds(8 * 3_600));
    let closed = desk.run(Command::BeginReversal).expect("it is in its phase");
    let sends = |effect: &Effect| matches!(effect, Effect::SendReversal { .. });
    assert!(!closed.effects.iter().any(sends));
    assert_eq!(desk.entry().phase, Phase::Inquiring);
    desk.learn(Source::Notice, approved());
    assert_eq!(desk.order().status, OrderStatus::Unknown, "it may be older than the reversal");
    desk.learn(Source::Inquiry, approved());
    assert_eq!(desk.order().status, OrderStatus::Succeeded);
    // Where none has left, a notice is as good as an inquiry.
    let mut desk = reversing(day);
    desk.wait(seconds(8 * 3_600));
    desk.run(Command::BeginReversal).expect("it is in its phase");
    desk.learn(Source::Notice, approved());
    assert_eq!(desk.order().status, OrderStatus::Succeeded);
}

/// Regression: the answer was refused, and with it the truth.
#[test]
fn a_reversals_yes_counts_in_every_phase() {
    let mut desk = sent_reversal(terms());
    for _ in 0..2 {
        desk.learn_reversal(unknown()).expect("it is open");
        desk.wait_until_due();
        desk.run(Command::BeginReversal).expect("it is due");
    }
    desk.learn_reversal(unknown()).expect("it is open");
    desk.wait_until_due();
    desk.learn(Source::Inquiry, unknown());
    assert_eq!(desk.entry().phase, Phase::Operator);
    assert_eq!(desk.learn_reversal(unknown()).err(), Some(Refusal::WrongPhase));
    desk.learn_reversal(approved()).expect("a yes is a yes");
    assert_eq!(desk.order().status, OrderStatus::Reversed);
    assert_eq!(desk.learn_reversal(approved()).expect("it agrees").writes, Default::default());
}

#[test]
fn a_crash_makes_a_begun_reversal_due_again() {
    let mut desk = sent_reversal(terms());
    assert_eq!(desk.wait_until_due(), seconds(40));
    desk.run(Command::BeginReversal).expect("the same reference again");
    assert_eq!(desk.entry().reversals, 2);
}
