//! A reversal that left without an answer may be carried out late: until it no longer can be, no
//! success is believed, whoever tells it (I-3).

use std::time::Duration;

use switchyard::domain::attempt::{AttemptState, Operation, Source};
use switchyard::domain::command::{CardInMemory, Command, Refusal};
use switchyard::domain::effect::Effect;
use switchyard::domain::order::{OrderKind, OrderStatus};
use switchyard::domain::outcome::{Outcome, Reason};
use switchyard::domain::reversal::{Phase, Resolution};
use switchyard::domain::terms::{AfterInquiry, ReverseUntil, Terms};

use crate::build::{
    Desk, approved, declined, not_found, not_sent, payment, pending, seconds, terms, unknown,
};

/// How long after it left a reversal may be carried out, by the terms of these tests: its call
/// (40 s), and what a request can be on its way (600 s).
const LATE: Duration = Duration::from_secs(640);

/// Asked once, then reversed up to four times.
fn quick() -> Terms {
    Terms { inquire: vec![seconds(1)], reverse: vec![seconds(5); 4], ..terms() }
}

/// A payment of which a reversal has just left.
fn reversed_once(terms: Terms) -> Desk {
    let mut desk = Desk::after(terms, &[(Source::Reply, unknown())]);
    desk.wait(LATE);
    if desk.entry().phase == Phase::Inquiring {
        desk.learn(Source::Inquiry, unknown());
    }
    desk.run(Command::BeginReversal).expect("it is reversed now");
    desk
}

/// Plays what is due until the order has ended; every inquiry is answered with success.
fn ask_until_believed(desk: &mut Desk) -> u32 {
    for asked in 1..100 {
        assert_eq!(desk.entry().phase, Phase::Inquiring);
        desk.wait_until_due();
        desk.learn(Source::Inquiry, approved());
        if desk.order().status == OrderStatus::Succeeded {
            return asked;
        }
    }
    panic!("the success is forgotten: {:?}", desk.entry());
}

#[test]
fn i_3_a_closing_window_believes_nothing_too_early() {
    let terms = Terms { reverse_until: ReverseUntil::ClearingDay, ..quick() };
    let mut desk = Desk::after(terms, &[(Source::Reply, unknown())]);
    desk.wait(seconds(7 * 3_600 - 8));
    desk.learn(Source::Inquiry, unknown());
    desk.run(Command::BeginReversal).expect("the window is still open");
    let left = desk.now;
    desk.learn_reversal(unknown()).expect("it is open");
    desk.wait(seconds(10));
    desk.run(Command::BeginReversal).expect("the day has ended");
    assert_eq!((desk.entry().phase, desk.entry().reversals_unanswered), (Phase::Inquiring, 1));
    assert_eq!(desk.entry().reversal_left_at, Some(left));
    ask_until_believed(&mut desk);
    assert_eq!(desk.now, left.plus(LATE), "believed at the first moment when it may be");
}

#[test]
fn i_3_the_refusal_of_one_reversal_says_nothing_of_another() {
    for first_words in [unknown(), pending()] {
        let mut desk = reversed_once(quick());
        desk.learn_reversal(first_words).expect("it is open");
        desk.wait_until_due();
        desk.run(Command::BeginReversal).expect("it is due");
        let left = desk.now;
        desk.learn_reversal(declined()).expect("it is open");
        assert_eq!((desk.entry().phase, desk.entry().reversals_unanswered), (Phase::Inquiring, 1));
        assert_eq!(desk.entry().reversible_until(), Some(left.plus(LATE)));
        let mut late = desk.clone();
        ask_until_believed(&mut desk);
        assert_eq!(desk.now, left.plus(LATE));
        // Carried out meanwhile, its own yes or what an inquiry then says is the end.
        late.learn(Source::Inquiry, approved());
        let mut told = late.clone();
        told.learn_reversal(approved()).expect("a yes is a yes");
        assert_eq!(told.order().status, OrderStatus::Reversed);
        late.wait_until_due();
        late.learn(Source::Inquiry, declined());
        assert_eq!(late.order().status, OrderStatus::Failed);
    }
}

#[test]
fn i_3_every_answered_reversal_holds_nothing_back() {
    for (answers, unanswered) in [
        (vec![declined()], 0),
        (vec![not_found(), declined()], 0),
        (vec![not_sent(), declined()], 0),
        (vec![unknown(), declined()], 1),
        (vec![not_found(), unknown(), declined()], 1),
        (vec![unknown(), unknown(), declined()], 2),
    ] {
        let name = format!("{answers:?}");
        let acknowledged = Terms { not_found_final_after: seconds(100_000), ..quick() };
        let mut desk = reversed_once(Terms { inquire: Vec::new(), ..acknowledged.clone() });
        desk.terms = acknowledged;
        for (place, answer) in answers.into_iter().enumerate() {
            if place > 0 {
                desk.wait_until_due();
                desk.run(Command::BeginReversal).expect("it is due");
            }
            desk.learn_reversal(answer).expect("it is open");
        }
        assert_eq!(desk.entry().reversals_unanswered, unanswered, "{name}");
        desk.learn(Source::Notice, approved());
        let believed = desk.order().status == OrderStatus::Succeeded;
        assert_eq!(believed, unanswered == 0, "{name}");
    }
}

#[test]
fn i_3_only_words_of_a_later_moment_are_believed() {
    // The moment that the words tell of, in seconds after the reversal left; `None` if unknown.
    let rows: [(Source, Option<u64>, bool); 11] = [
        (Source::Reply, None, false),
        (Source::Notice, None, false),
        (Source::Inquiry, Some(0), false),
        (Source::Inquiry, Some(639), false),
        (Source::Inquiry, Some(640), true),
        (Source::Statement, None, false),
        (Source::Statement, Some(0), false),
        (Source::Statement, Some(639), false),
        (Source::Statement, Some(640), true),
        (Source::Statement, Some(100_000), true),
        (Source::Operator, None, true),
    ];
    for (source, as_of, believed) in rows {
        let name = format!("{source:?} {as_of:?}");
        let mut desk = reversed_once(quick());
        let left = desk.now;
        desk.learn_reversal(unknown()).expect("it is open");
        // However late they come: what counts is the moment that they tell of.
        desk.wait(seconds(200_000));
        match as_of {
            Some(after) => desk.learn_as_of(source, approved(), left.plus(seconds(after))),
            None => desk.learn_undated(source, approved()),
        };
        assert_eq!(desk.order().status == OrderStatus::Succeeded, believed, "{name}");
        if !believed {
            let line = desk.entry().history.last().expect("it is noted");
            assert!(line.what.contains("approved, held"), "{name}: {line:?}");
            assert!(desk.attempt().acknowledged_at.is_some(), "{name}: the channel has it");
            assert_eq!(desk.attempt().channel_reference.as_deref(), Some("q1"), "{name}");
        }
    }
}

#[test]
fn a_success_that_was_held_is_asked_about_when_it_can_be_believed() {
    // In the inquiries that follow a refusal, once these are days apart.
    let mut desk = reversed_once(quick());
    desk.learn_reversal(unknown()).expect("it is open");
    desk.wait_until_due();
    desk.run(Command::BeginReversal).expect("it is due");
    let left = desk.now;
    desk.learn_reversal(declined()).expect("it is open");
    desk.learn(Source::Inquiry, unknown());
    desk.learn(Source::Notice, approved());
    assert_eq!(desk.entry().due_at, Some(left.plus(LATE)));
    // An inquiry that was asked before and answered after is asked again at once.
    let mut early = desk.clone();
    early.wait(seconds(1_000));
    early.learn_as_of(Source::Inquiry, approved(), left.plus(seconds(639)));
    assert_eq!(early.order().status, OrderStatus::Unknown);
    assert_eq!(early.entry().due_at, Some(early.now));
    // Out of an operator's hands, and back into them if the channel says nothing.
    let mut desk = reversed_once(Terms { reverse: vec![seconds(0)], ..quick() });
    let left = desk.now;
    desk.learn_reversal(unknown()).expect("it is open");
    desk.learn(Source::Inquiry, unknown());
    desk.wait_until_due();
    desk.learn(Source::Inquiry, unknown());
    assert_eq!(desk.entry().phase, Phase::Operator);
    desk.learn_as_of(Source::Statement, approved(), left);
    assert_eq!((desk.entry().phase, desk.entry().due_at), (Phase::Inquiring, Some(desk.now)));
    let mut silent = desk.clone();
    silent.learn(Source::Inquiry, unknown());
    assert_eq!((silent.entry().phase, silent.entry().due_at), (Phase::Operator, None));
    assert_eq!(ask_until_believed(&mut desk), 1);
    // Where nobody can be asked, it waits for a statement or an operator.
    let mut desk =
        reversed_once(Terms { inquire: Vec::new(), reverse: vec![seconds(0)], ..quick() });
    let left = desk.now;
    desk.learn_reversal(unknown()).expect("it is open");
    desk.learn(Source::Notice, approved());
    assert_eq!((desk.entry().phase, desk.entry().due_at), (Phase::Operator, None));
    desk.wait(seconds(24 * 3_600));
    desk.learn_as_of(Source::Statement, approved(), left.plus(LATE));
    assert_eq!(desk.order().status, OrderStatus::Succeeded);
}

#[test]
fn reversals_that_run_out_are_asked_about_once_more() {
    for then in [AfterInquiry::Reverse, AfterInquiry::InquireDaily, AfterInquiry::Operator] {
        let mut desk = reversed_once(quick());
        for _ in 0..3 {
            desk.learn_reversal(unknown()).expect("it is open");
            desk.wait_until_due();
            desk.run(Command::BeginReversal).expect("it is due");
        }
        let left = desk.now;
        desk.terms.then = then;
        desk.learn_reversal(unknown()).expect("it is open");
        assert!(desk.entry().reversals_exhausted);
        assert_eq!(desk.entry().due_at, Some(left.plus(LATE)));
        desk.wait_until_due();
        let mut lucky = desk.clone();
        lucky.learn(Source::Inquiry, approved());
        assert_eq!(lucky.order().status, OrderStatus::Succeeded);
        desk.learn(Source::Inquiry, unknown());
        assert_eq!(desk.entry().phase, Phase::Operator, "{then:?}: not reversed for ever");
        desk.retry().expect("an operator may have it worked again");
        assert_eq!((desk.entry().phase, desk.entry().step), (Phase::Reversing, 0));
    }
}

#[test]
fn the_answer_of_an_earlier_try_counts_whatever_the_phase() {
    // Two workers sent one each; the window has closed before either was answered.
    let day = Terms { reverse_until: ReverseUntil::ClearingDay, ..quick() };
    for (first, second) in [(declined(), not_sent()), (not_found(), declined())] {
        let mut desk = reversed_once(day.clone());
        desk.run(Command::BeginReversal).expect("two workers may");
        desk.wait(seconds(24 * 3_600));
        desk.run(Command::BeginReversal).expect("the day has ended");
        assert_eq!((desk.entry().phase, desk.entry().reversals_unanswered), (Phase::Inquiring, 2));
        assert_eq!(desk.learn_reversal(unknown()).err(), Some(Refusal::WrongPhase));
        desk.learn_reversal(first).expect("one is answered");
        let mut half = desk.clone();
        half.learn(Source::Notice, approved());
        assert_eq!(half.order().status, OrderStatus::Unknown);
        desk.learn_reversal(second).expect("both are answered");
        assert_eq!(desk.entry().phase, Phase::Inquiring, "the schedule is not disturbed");
        desk.learn(Source::Notice, approved());
        assert_eq!(desk.order().status, OrderStatus::Succeeded);
    }
}

/// The answer to a reversal comes when its call has ended without it: a yes ends the order in any
/// phase, a refusal is one, and "no such order" is judged as of when it was asked.
#[test]
fn i_3_a_late_answer_to_a_reversal_counts_as_of_when_it_was_asked() {
    let terms = || Terms { inquire: Vec::new(), ..quick() };
    let unanswered = |wait: Duration| {
        let mut desk = Desk::after(terms(), &[(Source::Reply, unknown())]);
        desk.wait(wait);
        desk.run(Command::BeginReversal).expect("it is due");
        desk.learn_reversal(unknown()).expect("its call has ended");
        desk
    };
    let late = |desk: &mut Desk, outcome| {
        let asked_at = desk.entry().reversal_left_at.expect("one has left");
        desk.wait(seconds(3_000));
        desk.learn_reversal_asked(1, outcome, asked_at, true)
    };
    let early = unanswered(seconds(0));

    let mut desk = early.clone();
    late(&mut desk, approved()).expect("a yes is a yes");
    assert_eq!(desk.state(), (AttemptState::Reversed, OrderStatus::Reversed));
    assert_eq!(late_again(&mut desk, approved()), Ok(()), "it agrees with the end");
    assert!(desk.claims().is_empty());
    assert_eq!(late_again(&mut desk, declined()), Err(Refusal::NothingOpen));

    let mut desk = early.clone();
    late(&mut desk, declined()).expect("it is open");
    assert_eq!((desk.entry().phase, desk.entry().reversals_unanswered), (Phase::Operator, 0));
    assert!(desk.entry().reversal_refused);
    desk.learn(Source::Notice, approved());
    assert_eq!(desk.order().status, OrderStatus::Succeeded, "no reversal may undo it any more");

    // Asked at once: it is no proof that nothing arrived, however late it comes. Its call has set
    // the next try already.
    let mut desk = early.clone();
    let due = desk.entry().due_at;
    late(&mut desk, not_found()).expect("it is open");
    assert_eq!((desk.state().0, desk.entry().phase), (AttemptState::Unknown, Phase::Reversing));
    assert_eq!((desk.entry().due_at, desk.entry().reversals_unanswered), (due, 0));
    // Asked when no request can be on its way any more, it is; in the operator's hands too.
    for tries in [1, 4] {
        let mut desk = unanswered(seconds(600));
        for _ in 1..tries {
            desk.wait_until_due();
            desk.run(Command::BeginReversal).expect("it is due");
            desk.learn_reversal(unknown()).expect("its call has ended");
        }
        let last = if tries == 4 { Phase::Operator } else { Phase::Reversing };
        assert_eq!(desk.entry().phase, last);
        late(&mut desk, not_found()).expect("it is open");
        assert_eq!(desk.state(), (AttemptState::Declined, OrderStatus::Failed));
        assert_eq!(desk.attempt().reason, Some(Reason::NeverArrived));
    }

    // The books have ended it as a success: that it was taken back is a claim against them.
    let mut desk = early;
    desk.resolve(Resolution::Succeeded).expect("an operator may");
    assert_eq!(late_again(&mut desk, approved()), Ok(()));
    assert_eq!((desk.order().status, desk.claims().len()), (OrderStatus::Succeeded, 1));
}

fn late_again(desk: &mut Desk, outcome: Outcome) -> Result<(), Refusal> {
    let asked_at = desk.now;
    desk.learn_reversal_asked(1, outcome, asked_at, true).map(drop)
}

#[test]
fn a_failure_needs_no_waiting() {
    for source in [Source::Reply, Source::Notice, Source::Inquiry, Source::Statement] {
        let mut desk = reversed_once(quick());
        desk.learn_reversal(unknown()).expect("it is open");
        desk.learn(source, declined());
        assert_eq!(desk.order().status, OrderStatus::Failed, "{source:?}: nothing stands");
    }
}

/// A call's own reply may come after recovery has given the call up and a reversal has begun:
/// whichever is written first, the other is decided on it.
#[test]
fn i_3_a_reply_and_a_reversal_race() {
    let silent = Terms { inquire: Vec::new(), ..terms() };
    let begun = |desk: &mut Desk| desk.run(Command::BeginReversal);
    let mut first = Desk::after(silent.clone(), &[(Source::Recovery, unknown())]);
    first.learn(Source::Reply, approved());
    assert_eq!(first.order().status, OrderStatus::Succeeded);
    assert_eq!(begun(&mut first).err(), Some(Refusal::NothingOpen), "nothing leaves");
    let mut second = Desk::after(silent, &[(Source::Recovery, unknown())]);
    let sends = |effect: &Effect| matches!(effect, Effect::SendReversal { .. });
    assert!(begun(&mut second).expect("it is due").effects.iter().any(sends));
    second.learn(Source::Reply, approved());
    assert_eq!(second.order().status, OrderStatus::Unknown, "it may be undone now");
}

#[test]
fn i_3_a_hold_waits_as_a_payment_does() {
    let mut order = payment(&["one"]);
    order.instruction.kind = OrderKind::Preauth;
    let all = Terms { reversible: Operation::ALL.to_vec(), inquire: Vec::new(), ..quick() };
    let mut desk = Desk::sending_order(all, order);
    desk.learn(Source::Reply, unknown());
    desk.run(Command::BeginReversal).expect("it is due at once");
    desk.learn_reversal(unknown()).expect("it is open");
    desk.learn(Source::Notice, approved());
    assert_eq!(desk.order().status, OrderStatus::Unknown);
    desk.wait(LATE);
    desk.learn(Source::Statement, approved());
    assert_eq!(desk.order().status, OrderStatus::Succeeded);
}

/// An undo that we owe is never reversed, so nothing holds its success back.
#[test]
fn an_undo_is_believed_at_once() {
    let mut desk = Desk::after(quick(), &[(Source::Reply, declined())]);
    desk.learn(Source::Notice, approved());
    let undo = desk.undo().id;
    desk.run_on(undo, Command::BeginUndo).expect("it is owed");
    let hand = CardInMemory::No;
    desk.learn_of(undo, 1, Source::Reply, unknown(), hand.clone());
    desk.learn_of(undo, 1, Source::Notice, approved(), hand);
    assert_eq!(desk.rows.orders[&undo].status, OrderStatus::Succeeded);
}
