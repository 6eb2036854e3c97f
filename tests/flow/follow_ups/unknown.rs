//! Follow-ups whose end is not known, or is reported otherwise after they had one (I-5).

use super::*;

#[test]
fn an_unknown_follow_up_is_reversed_only_where_that_is_agreed() {
    for reversible in [false, true] {
        let mut operations = vec![Operation::Payment];
        operations.extend(reversible.then_some(Operation::Refund));
        let terms = Terms { reversible: operations, ..terms() };
        let mut desk = succeeded(terms, OrderKind::Payment, SettlementMode::Instant);
        let id = begun_refund(&mut desk, 1, 7);
        reply(&mut desk, id, unknown());
        for _ in 0..3 {
            desk.learn_of(id, 1, Source::Inquiry, unknown(), CardInMemory::No);
        }
        desk.wait(seconds(600));
        desk.learn_of(id, 1, Source::Inquiry, unknown(), CardInMemory::No);
        let phase = desk.rows.entries[&id].phase;
        let expected = if reversible { Phase::Reversing } else { Phase::Inquiring };
        assert_eq!(phase, expected, "reversible: {reversible}");
        if reversible {
            desk.run_on(id, Command::BeginReversal).expect("it is reversing");
            let transcript = "words".to_owned();
            let outcome = approved();
            let asked_at = desk.now;
            desk.run_on(
                id,
                Command::LearnReversal {
                    attempt: 1,
                    outcome,
                    objection: None,
                    transcript,
                    sent: String::new(),
                    asked_at,
                    is_late: false,
                },
            )
            .expect("it is open");
            let reversed = (OrderStatus::Reversed, Some(Reason::ReversedAfterUnknown));
            assert_eq!(status(&desk, id), reversed);
            assert_eq!(events(&desk, id), ["refund", "refund_taken_back"]);
        }
        assert_eq!(desk.order().claims.refunded_minor, if reversible { 0 } else { 7 });
    }
}

/// A channel without inquiry: what is unknown is reversed at once, a refund or void like a payment.
#[test]
fn i_5_an_unknown_refund_or_void_is_taken_back_and_never_carried_out_twice() {
    for is_void in [false, true] {
        let reversible = vec![Operation::Payment, Operation::Refund, Operation::Void];
        let terms = Terms { inquire: Vec::new(), reversible, ..terms() };
        let mut desk = succeeded(terms, OrderKind::Payment, SettlementMode::Instant);
        let id = if is_void { void(&mut desk, 1) } else { refund(&mut desk, 1, AMOUNT) };
        let id = id.expect("it is the same day");
        begin(&mut desk, id);
        reply(&mut desk, id, unknown());
        assert_eq!(desk.rows.entries[&id].phase, Phase::Reversing);
        // Nobody may have it once more while it may have been carried out.
        assert_eq!(refund(&mut desk, 2, 1), Err(Refusal::ExceedsLeft { left_minor: 0 }));
        desk.run_on(id, Command::BeginReversal).expect("it is reversing");
        let asked_at = desk.now;
        let learnt = |outcome| Command::LearnReversal {
            attempt: 1,
            outcome,
            objection: None,
            transcript: String::new(),
            sent: String::new(),
            asked_at,
            is_late: false,
        };
        desk.run_on(id, learnt(unknown())).expect("it is open");
        assert_eq!(refund(&mut desk, 2, 1), Err(Refusal::ExceedsLeft { left_minor: 0 }));
        desk.run_on(id, Command::BeginReversal).expect("it is repeated");
        desk.run_on(id, learnt(approved())).expect("it is open");
        assert_eq!(status(&desk, id), (OrderStatus::Reversed, Some(Reason::ReversedAfterUnknown)));
        assert_eq!(desk.order().claims.refunded_minor, 0);
        // A late yes: whatever it means, what the channel claims is out of reach.
        desk.learn_of(id, 1, Source::Notice, approved(), CardInMemory::No);
        assert_eq!(refund(&mut desk, 3, 1), Err(Refusal::ExceedsLeft { left_minor: 0 }));
        assert_eq!(desk.order().claims.contradicted_minor, AMOUNT);
    }
}

#[test]
fn i_5_a_refund_that_succeeds_after_its_end_is_a_receivable_and_out_of_reach() {
    for is_void in [false, true] {
        let mut desk = paid();
        let id = if is_void { void(&mut desk, 1) } else { refund(&mut desk, 1, AMOUNT) };
        let id = id.expect("it is the same day");
        begin(&mut desk, id);
        reply(&mut desk, id, declined());
        let decision = desk.learn_of(id, 1, Source::Notice, approved(), CardInMemory::No);
        let alert = Effect::Alert { order: id, what: Alert::Contradiction };
        assert!(decision.effects.contains(&alert));
        assert_eq!(status(&desk, id).0, OrderStatus::Failed, "final is final");
        assert_eq!(desk.rows.contradictions[&id][0].undo, None);
        assert_eq!(events(&desk, id).last(), Some(&"suspense_receivable"));
        assert_eq!(desk.rows.clearing[&id][0].principal_minor, -AMOUNT);
        // What the channel has given back is not given back once more.
        let again = refund(&mut desk, 2, 1);
        assert_eq!(again, Err(Refusal::ExceedsLeft { left_minor: 0 }));
        // The same claim again changes nothing.
        let rows = desk.rows.clone();
        desk.learn_of(id, 1, Source::Notice, approved(), CardInMemory::No);
        assert_eq!(desk.rows, rows);
    }
}

#[test]
fn i_5_a_failure_after_a_refund_is_kept_and_moves_nothing() {
    let mut desk = paid();
    let id = begun_refund(&mut desk, 1, 9);
    reply(&mut desk, id, approved());
    let before = (desk.rows.clearing.clone(), desk.rows.accounting.clone());
    desk.learn_of(id, 1, Source::Notice, declined(), CardInMemory::No);
    assert_eq!(desk.rows.contradictions[&id].len(), 1);
    assert_eq!((desk.rows.clearing.clone(), desk.rows.accounting.clone()), before);
    assert_eq!(desk.order().claims.refunded_minor, 9);
}

#[test]
fn i_5_a_capture_or_hold_that_succeeds_after_its_end_is_undone() {
    let mut desk = held();
    let id = capture(&mut desk, 1, AMOUNT).expect("it holds as much");
    reply(&mut desk, id, declined());
    desk.learn_of(id, 1, Source::Notice, approved(), CardInMemory::No);
    let undo = desk.undo().id;
    assert_eq!(events(&desk, undo), ["suspense_opened"]);
    assert_eq!(capture(&mut desk, 2, 1), Err(Refusal::ExceedsLeft { left_minor: 0 }));
    desk.run_on(undo, Command::BeginUndo).expect("it is owed");
    reply(&mut desk, undo, approved());
    let sum: i64 = [id, undo].iter().map(|id| desk.rows.clearing[id][0].net_minor).sum();
    assert_eq!(sum, 0);

    let hold = order(OrderKind::Preauth, SettlementMode::Instant, &["one"]);
    let mut desk = Desk::sending_order(terms(), hold);
    desk.learn(Source::Reply, declined());
    desk.learn(Source::Notice, approved());
    let undo = desk.undo().id;
    desk.run_on(undo, Command::BeginUndo).expect("it is owed");
    reply(&mut desk, undo, approved());
    assert_eq!(status(&desk, undo).0, OrderStatus::Succeeded);
    assert!(desk.rows.clearing.is_empty() && desk.rows.accounting.is_empty(), "a hold is no money");
}
