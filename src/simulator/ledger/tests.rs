//! Tests of the ledger: which follow-ups are allowed, and what one number can never do twice.

use super::*;

/// 2026-11-22 12:00 in Beijing.
const NOON: i64 = 20_779 * 86_400_000 + 4 * 3_600_000;
const HOUR_MS: i64 = 3_600_000;

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(NOON + millis)
}

fn ask(order_no: &str, minor: i64) -> BankOrder<'_> {
    let amount = AmountMinor::new(minor).expect("an amount");
    BankOrder { order_no, sent_at: "t", amount, currency: Currency::Cny, card: None, product: "" }
}

fn verdict(approves: bool, working_ms: u64) -> IssuerDecision {
    let code = if approves { "00" } else { "64" };
    IssuerDecision { approves, code, working: Duration::from_millis(working_ms) }
}

fn ledger_with(order_no: &str, verdict: IssuerDecision) -> Ledger {
    let ledger = Ledger::new(3_500, false);
    let entered = ledger.charge(at(0), ask(order_no, 1_000), verdict, "30");
    assert!(matches!(entered, OrderResult::New(_)));
    ledger
}

fn state(ledger: &Ledger, millis: i64, order_no: &str) -> EntryState {
    ledger.look(at(millis), order_no).expect("an entry").facts.state
}

#[test]
fn a_number_is_charged_once_and_counts_how_often_it_was_asked() {
    let ledger = ledger_with("a", verdict(true, 0));
    let again = ledger.charge(at(1), ask("a", 1_000), verdict(false, 0), "30");
    assert!(matches!(again, OrderResult::Known { same: true, facts } if facts.approves));
    let other = ledger.charge(at(1), ask("a", 999), verdict(true, 0), "30");
    assert!(matches!(other, OrderResult::Known { same: false, .. }));
    let snapshot = ledger.snapshot(at(1));
    let entry = snapshot.get("a").expect("an entry");
    assert_eq!((entry.requests, entry.amount_minor, entry.fee_minor), (3, 1_000, 4));
    assert_eq!(snapshot.net_minor()["a"], 1_000);
}

#[test]
fn work_ends_with_its_time_or_when_told() {
    let ledger = ledger_with("a", verdict(true, 50));
    assert_eq!(state(&ledger, 49, "a"), EntryState::Working);
    assert_eq!(state(&ledger, 50, "a"), EntryState::Approved);
    let ledger = ledger_with("b", verdict(false, 50));
    let facts = ledger.finish(at(10), "b").expect("an entry");
    assert_eq!((facts.state, facts.code), (EntryState::Declined, "64"));
}

#[test]
fn a_reversal_takes_back_what_stands_or_works_and_nothing_else() {
    for working_ms in [0, 50] {
        let ledger = ledger_with("a", verdict(true, working_ms));
        assert!(matches!(ledger.reverse(at(1), "a", Some("t")), ReversalResult::Done(_)));
        assert!(matches!(ledger.reverse(at(2), "a", Some("t")), ReversalResult::Already(_)));
        assert_eq!(state(&ledger, 99, "a"), EntryState::Reversed);
        assert_eq!(ledger.snapshot(at(99)).net_minor()["a"], 0);
    }
    let declined = ledger_with("a", verdict(false, 0));
    assert!(matches!(declined.reverse(at(1), "a", None), ReversalResult::Refused(_)));
    let other_time = ledger_with("a", verdict(true, 0));
    assert_eq!(other_time.reverse(at(1), "a", Some("u")), ReversalResult::NotFound);
    assert!(matches!(other_time.reverse(at(1), "a", Some("t")), ReversalResult::Done(_)));
}

#[test]
fn after_the_cut_nothing_is_taken_back() {
    let ledger = ledger_with("a", verdict(true, 0));
    let late = 11 * HOUR_MS;
    assert!(matches!(ledger.reverse(at(late), "a", None), ReversalResult::Refused(_)));
    let undone = ledger.undo(at(late), ask("u", 1_000), "a", verdict(true, 0), "30");
    assert_eq!(undone, FollowUpResult::Refused);
    assert!(matches!(ledger.reverse(at(late - 1), "a", None), ReversalResult::Done(_)));
}

#[test]
fn a_charge_after_its_reversal_found_nothing_is_refused_unless_late_arrivals_are_on() {
    for late_arrivals in [false, true] {
        let ledger = Ledger::new(0, late_arrivals);
        assert_eq!(ledger.reverse(at(0), "a", Some("t")), ReversalResult::NotFound);
        let entered = ledger.charge(at(1), ask("a", 5), verdict(true, 40), "30");
        let OrderResult::New(facts) = entered else { panic!("{entered:?}") };
        let expected = if late_arrivals { EntryState::Working } else { EntryState::Declined };
        assert_eq!(facts.state, expected);
        assert_eq!(facts.code == "30", !late_arrivals);
    }
}

#[test]
fn an_undo_takes_the_whole_charge_back_once() {
    let ledger = ledger_with("a", verdict(true, 0));
    let undo = |order_no: &'static str, minor, approves| {
        ledger.undo(at(1), ask(order_no, minor), "a", verdict(approves, 0), "30")
    };
    assert_eq!(undo("u1", 999, true), FollowUpResult::Differs);
    assert!(matches!(undo("u2", 1_000, false), FollowUpResult::Entered(OrderResult::New(_))));
    assert_eq!(state(&ledger, 1, "a"), EntryState::Approved);
    assert!(matches!(undo("u3", 1_000, true), FollowUpResult::Entered(OrderResult::New(_))));
    assert!(matches!(
        undo("u3", 1_000, true),
        FollowUpResult::Entered(OrderResult::Known { same: true, .. })
    ));
    assert_eq!(undo("u4", 1_000, true), FollowUpResult::Already);
    assert!(matches!(ledger.reverse(at(2), "a", None), ReversalResult::Undone(_)));
    let snapshot = ledger.snapshot(at(2));
    assert_eq!(snapshot.get("a").and_then(|entry| entry.undone_by.as_deref()), Some("u3"));
    assert_eq!(snapshot.net_minor()["a"], 0);
    assert_eq!(
        ledger.undo(at(3), ask("u5", 5), "none", verdict(true, 0), "30"),
        FollowUpResult::NotFound
    );
    // An undo of an undo is no undo; a reversed undo lets its charge stand again.
    assert_eq!(
        ledger.undo(at(3), ask("u6", 1_000), "u3", verdict(true, 0), "30"),
        FollowUpResult::Refused
    );
    assert!(matches!(ledger.reverse(at(4), "u3", None), ReversalResult::Done(_)));
    assert_eq!(ledger.snapshot(at(5)).net_minor()["a"], 1_000);
}

#[test]
fn refunds_never_exceed_their_charge_and_close_it_to_undos() {
    let ledger = ledger_with("a", verdict(true, 0));
    let refund = |order_no: &'static str, minor, approves| {
        ledger.refund(at(1), ask(order_no, minor), "a", verdict(approves, 0), "30")
    };
    assert!(matches!(refund("r1", 400, true), FollowUpResult::Entered(OrderResult::New(_))));
    assert!(matches!(refund("r2", 600, false), FollowUpResult::Entered(OrderResult::New(_))));
    assert_eq!(refund("r3", 601, true), FollowUpResult::Differs);
    assert_eq!(
        ledger.undo(at(1), ask("u1", 1_000), "a", verdict(true, 0), "30"),
        FollowUpResult::Already
    );
    assert!(matches!(ledger.reverse(at(1), "a", None), ReversalResult::Refused(_)));
    assert!(matches!(refund("r4", 600, true), FollowUpResult::Entered(OrderResult::New(_))));
    assert_eq!(refund("r5", 1, true), FollowUpResult::Already);
    assert!(matches!(ledger.reverse(at(1), "r4", None), ReversalResult::Refused(_)));
    let snapshot = ledger.snapshot(at(2));
    let charge = snapshot.get("a").expect("an entry");
    assert_eq!((charge.used_minor, charge.state), (1_000, EntryState::Approved));
    assert_eq!(snapshot.net_minor()["a"], 0);
    // A refund of a refund is none, and 331 days are too late.
    assert_eq!(
        ledger.refund(at(2), ask("r6", 1), "r1", verdict(true, 0), "30"),
        FollowUpResult::Refused
    );
    let old = ledger_with("b", verdict(true, 0));
    let late = at(331 * 24 * HOUR_MS);
    assert_eq!(
        old.refund(late, ask("r7", 1), "b", verdict(true, 0), "30"),
        FollowUpResult::Refused
    );
}

#[test]
fn an_authorisation_is_captured_once_up_to_115_percent_or_undone() {
    let ledger = Ledger::new(3_500, false);
    ledger.preauthorise(at(0), ask("p", 1_000), verdict(true, 0), "30");
    assert_eq!(ledger.snapshot(at(0)).net_minor().get("p"), None);
    let capture = |order_no: &'static str, minor| {
        ledger.capture(at(1), ask(order_no, minor), "p", verdict(true, 0), "30")
    };
    assert_eq!(capture("c1", 1_151), FollowUpResult::Differs);
    assert!(matches!(capture("c2", 1_150), FollowUpResult::Entered(OrderResult::New(_))));
    assert_eq!(capture("c3", 1), FollowUpResult::Already);
    let undo = |order_no: &'static str, minor, of: &str| {
        ledger.undo(at(2), ask(order_no, minor), of, verdict(true, 0), "30")
    };
    assert_eq!(undo("u1", 1_000, "p"), FollowUpResult::Already);
    assert_eq!(ledger.snapshot(at(2)).net_minor()["c2"], 1_150);
    // The capture undone, the authorisation stands whole again, and may be undone itself.
    assert!(matches!(undo("u2", 1_150, "c2"), FollowUpResult::Entered(OrderResult::New(_))));
    assert_eq!(ledger.snapshot(at(2)).net_minor()["c2"], 0);
    assert!(matches!(undo("u3", 1_000, "p"), FollowUpResult::Entered(OrderResult::New(_))));
    assert_eq!(capture("c4", 1), FollowUpResult::Already);
    let summary = ledger.snapshot(at(2)).summary();
    assert_eq!((&summary["charged_minor"], &summary["undone"]), (&0.into(), &2.into()));
}

#[test]
fn a_reversed_capture_leaves_its_authorisation_to_be_captured_again() {
    let ledger = Ledger::new(0, false);
    ledger.preauthorise(at(0), ask("p", 1_000), verdict(true, 0), "30");
    ledger.capture(at(1), ask("c1", 900), "p", verdict(true, 0), "30");
    assert!(matches!(ledger.reverse(at(2), "p", None), ReversalResult::Refused(_)));
    assert!(matches!(ledger.reverse(at(2), "c1", None), ReversalResult::Done(_)));
    let again = ledger.capture(at(3), ask("c2", 800), "p", verdict(true, 0), "30");
    assert!(matches!(again, FollowUpResult::Entered(OrderResult::New(_))));
}

#[test]
fn references_lead_to_their_order() {
    let ledger = ledger_with("a", verdict(true, 0));
    ledger.remember("q1".to_owned(), "a");
    assert_eq!(ledger.order_no_of("q1").as_deref(), Some("a"));
    assert_eq!(ledger.order_no_of("q2"), None);
}
