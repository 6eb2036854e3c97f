//! What a channel has said that it has cannot have never arrived (I-3).

use switchyard::domain::attempt::{AttemptState, Source};
use switchyard::domain::command::Command;
use switchyard::domain::order::OrderStatus;
use switchyard::domain::outcome::{Approval, Outcome, Reason, UnknownCause};
use switchyard::domain::reversal::Phase;
use switchyard::domain::terms::{AfterInquiry, Terms};
use switchyard::domain::write_set::ReportedEnd;

use crate::build::{Desk, absent, approved, declined, not_found, pending, seconds, terms, unknown};

fn pending_as(reference: &str) -> Outcome {
    Outcome::Pending { code: "05".to_owned(), channel_reference: Some(reference.to_owned()) }
}

#[test]
fn i_3_what_was_acknowledged_never_ends_as_never_arrived() {
    for acknowledged_by in [Source::Reply, Source::Inquiry, Source::Notice] {
        for (source, word) in [
            (Source::Inquiry, not_found()),
            (Source::Notice, not_found()),
            (Source::Statement, absent()),
        ] {
            let name = format!("{acknowledged_by:?}, then {source:?} {word:?}");
            let first = if acknowledged_by == Source::Reply { pending() } else { unknown() };
            let mut desk = Desk::after(terms(), &[(Source::Reply, first)]);
            if acknowledged_by != Source::Reply {
                desk.learn(acknowledged_by, pending());
            }
            assert_eq!(desk.attempt().acknowledged_at, Some(desk.now), "{name}");
            desk.wait(seconds(1_000_000));
            desk.learn(source, word);
            assert!(desk.attempt().state.is_unresolved(), "{name}");
            assert!(!desk.order().status.is_final(), "{name}");
            let line = &desk.entry().history.last().expect("it is noted").what;
            assert!(
                line.ends_with("although the channel has said that it has it"),
                "{name}: {line}"
            );
            // A later word of its own kind still ends it.
            desk.learn(Source::Notice, approved());
            assert_eq!(desk.order().status, OrderStatus::Succeeded, "{name}");
        }
    }
}

#[test]
fn i_3_other_words_acknowledge_nothing() {
    let causes = [UnknownCause::ChannelUnsure, UnknownCause::UnlistedCode, UnknownCause::Garbled];
    for word in causes.map(Outcome::Unknown) {
        let mut desk = Desk::after(terms(), &[(Source::Reply, word)]);
        desk.wait(seconds(600));
        desk.learn(Source::Inquiry, not_found());
        assert_eq!(desk.order().reason, Some(Reason::NeverArrived));
    }
}

/// No statement shows what the channel works on: its word stands, and so does the schedule.
#[test]
fn i_3_absence_takes_no_word_back() {
    let daily = Terms { then: AfterInquiry::InquireDaily, reverse: Vec::new(), ..terms() };
    let mut desk = Desk::after(daily, &[(Source::Reply, pending())]);
    let before = (desk.attempt().state, desk.entry().due_at, desk.entry().pending);
    desk.learn(Source::Statement, absent());
    assert_eq!((desk.attempt().state, desk.entry().due_at, desk.entry().pending), before);
}

/// A channel that knows nothing of what it had acknowledged is asked through the whole schedule
/// again, and at last a person looks: neither days nor silence help.
#[test]
fn a_disowned_attempt_goes_to_a_person_at_last() {
    for (then, reverses) in [
        (AfterInquiry::Reverse, true),
        (AfterInquiry::InquireDaily, false),
        (AfterInquiry::Operator, false),
    ] {
        let mut desk = Desk::after(Terms { then, ..terms() }, &[(Source::Reply, pending())]);
        for _ in 0..20 {
            desk.wait_until_due();
            desk.learn(Source::Inquiry, pending());
        }
        desk.wait(seconds(700));
        for asked in 0.. {
            desk.learn(Source::Inquiry, not_found());
            if desk.entry().phase != Phase::Inquiring {
                assert_eq!(asked, 3, "{then:?}: the schedule of three begins anew");
                break;
            }
            desk.wait_until_due();
        }
        for _ in 0..3 {
            if desk.entry().phase != Phase::Reversing {
                break;
            }
            desk.wait_until_due();
            desk.run(Command::BeginReversal).expect("it is due");
            desk.learn_reversal(not_found()).expect("it is open");
        }
        assert_eq!(desk.entry().reversals > 0, reverses, "{then:?}");
        assert_eq!((desk.entry().phase, desk.entry().due_at), (Phase::Operator, None), "{then:?}");
        assert_eq!(desk.state(), (AttemptState::Unknown, OrderStatus::Unknown), "{then:?}");
    }
}

#[test]
fn the_reference_of_a_pending_word_is_kept() {
    let mut desk = Desk::after(terms(), &[(Source::Reply, pending_as("q7"))]);
    assert_eq!(desk.attempt().channel_reference.as_deref(), Some("q7"));
    // A word without one takes nothing away; one with another is the newer truth.
    desk.learn(Source::Inquiry, pending());
    assert_eq!(desk.attempt().channel_reference.as_deref(), Some("q7"));
    desk.learn(Source::Inquiry, pending_as("q8"));
    assert_eq!(desk.attempt().channel_reference.as_deref(), Some("q8"));
    let bare = Approval { code: "00".to_owned(), ..Approval::default() };
    desk.learn(Source::Notice, Outcome::Approved(bare));
    assert_eq!(desk.attempt().channel_reference.as_deref(), Some("q8"));
    assert_eq!(desk.rows.transactions[&desk.id][0].channel_reference.as_deref(), Some("q8"));
}

#[test]
fn i_5_a_success_is_never_known_by_a_failure() {
    let named = |reference: Option<&str>| {
        let channel_reference = reference.map(str::to_owned);
        Outcome::Approved(Approval {
            channel_reference,
            code: "00".to_owned(),
            ..Approval::default()
        })
    };
    // What is told after the end, and whether it is kept.
    let rows =
        [(named(None), true), (named(None), false), (named(Some("a")), false), (declined(), false)];
    let mut desk = Desk::after(terms(), &[(Source::Statement, declined())]);
    for (word, kept) in rows {
        assert_eq!(
            !desk.learn(Source::Statement, word.clone()).writes.is_empty(),
            kept,
            "{word:?}"
        );
    }
    // Of several successes each has its own number: one place in the books, and each kept.
    let mut desk = Desk::after(terms(), &[(Source::Reply, declined())]);
    let mut undos = 0;
    for (reference, kept) in [
        (Some("a"), true),
        (Some("b"), true),
        (Some("a"), false),
        (Some("b"), false),
        (None, false),
    ] {
        let decision = desk.learn(Source::Notice, named(reference));
        assert_eq!(!decision.writes.is_empty(), kept, "{reference:?}");
        undos += decision.writes.contradictions.iter().filter(|one| one.undo.is_some()).count();
    }
    assert_eq!((undos, desk.claims().len(), desk.rows.clearing[&desk.id].len()), (1, 2, 1));
    // A success of ours, told again under another number, may be a second one.
    let mut desk = Desk::after(terms(), &[(Source::Reply, named(Some("a")))]);
    for (source, reference, kept) in [
        (Source::Notice, Some("a"), false),
        (Source::Notice, None, false),
        (Source::Statement, Some("line 7"), false),
        (Source::Notice, Some("b"), true),
        (Source::Inquiry, Some("b"), false),
    ] {
        let decision = desk.learn(source, named(reference));
        assert_eq!(!decision.writes.is_empty(), kept, "{source:?} {reference:?}");
    }
    let claim = &desk.claims()[0];
    assert_eq!((claim.reported, claim.undo), (ReportedEnd::Success, None), "a person must look");
    assert_eq!(desk.order().status, OrderStatus::Succeeded);
}
