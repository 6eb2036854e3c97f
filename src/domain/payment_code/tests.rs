//! What each answer makes of a payment's code, and which payment may name it.

use super::*;
use crate::domain::outcome::{Approval, Decline, NotSentCause};
use PaymentCodeState::{Refused, Sending, Sent, Spent, Unknown};

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(seconds * 1_000)
}

fn certain(seconds: i64) -> Present {
    Present::certain(at(seconds))
}

fn order(sequence: u64) -> OrderId {
    OrderId::compose(261_122, 1, sequence)
}

fn channel(name: &str) -> ChannelId {
    ChannelId::from_stored(name)
}

fn asked() -> PaymentCodeRequest {
    PaymentCodeRequest {
        caller: CallerId::from_stored("core"),
        caller_order_id: CallerOrderId::from_stored("A-1"),
        kind: CodedKind::Payment,
        merchant_id: MerchantId::from_stored("m"),
        amount: AmountMinor::new(1_230).expect("an amount"),
        currency: Currency::Cny,
        payer: CodePayer::Card { pan: 7 },
    }
}

fn begun() -> PaymentCode {
    PaymentCode::begun(asked(), channel("a"), order(1), at(0))
}

fn approved() -> Outcome {
    Outcome::Approved(Approval { code: "00".to_owned(), ..Approval::default() })
}

fn declined() -> Outcome {
    let reason = Reason::IdentityMismatch;
    Outcome::Declined(Decline { reason, code: "66".to_owned(), elsewhere: false })
}

fn call(sequence: u64, seconds: i64) -> CodeCall {
    CodeCall { order: order(sequence), sent_at: at(seconds) }
}

fn resent(row: &PaymentCode, sequence: u64, seconds: i64) -> PaymentCode {
    row.again(order(sequence), Some(channel("b")), &certain(seconds)).expect("another one")
}

#[test]
fn every_outcome_is_a_state_and_says_whether_a_code_may_have_come() {
    let pending = Outcome::Pending { code: "05".to_owned(), channel_reference: None };
    let not_found = Outcome::NotFound { code: "34".to_owned() };
    let rows = [
        (approved(), Sent, true),
        (declined(), Refused, false),
        (Outcome::NotSent(NotSentCause::NoConnection), Refused, false),
        (pending, Unknown, true),
        (not_found, Unknown, true),
        (Outcome::Unknown(UnknownCause::TimedOut), Unknown, true),
    ];
    for (outcome, state, may_have_come) in rows {
        let after = begun().learn(&outcome, at(9));
        assert_eq!((after.state, after.version), (state, 2), "{outcome:?}");
        let expected = may_have_come.then(|| call(1, 0));
        assert_eq!((after.standing, after.payable()), (expected, expected), "{outcome:?}");
        assert_eq!(after.reason.is_some(), state == Refused, "{outcome:?}");
        assert_eq!(after.unknown_cause.is_some(), state == Unknown, "{outcome:?}");
    }
    let lost = begun().lost(at(9));
    assert_eq!((lost.state, lost.unknown_cause), (Unknown, Some(UnknownCause::ProcessDied)));
}

#[test]
fn a_payment_names_the_request_of_which_the_last_code_may_have_come() {
    // The phone may be quicker than the channel's answer, and than the crash of whoever asked.
    assert_eq!(begun().check_payment(&asked(), &certain(1)), Ok(call(1, 0)));
    let sent = begun().learn(&approved(), at(1));
    assert_eq!(sent.check_payment(&asked(), &certain(1)), Ok(call(1, 0)));
    let again = resent(&sent, 2, 60);
    assert_eq!((again.state, again.requests, &again.channel), (Sending, 2, &channel("a")));
    assert_eq!(again.check_payment(&asked(), &certain(61)), Ok(call(2, 60)));
    let refused = again.learn(&declined(), at(61));
    assert_eq!(refused.check_payment(&asked(), &certain(62)), Ok(call(1, 0)), "as good as it was");
    let third = resent(&refused, 3, 70).learn(&approved(), at(71));
    assert_eq!(third.check_payment(&asked(), &certain(72)), Ok(call(3, 70)));
    assert_eq!(third.ends_at(), Some(at(70 + 900)));
}

#[test]
fn nothing_is_paid_by_a_code_that_never_came_has_ended_or_was_spent() {
    let none = begun().learn(&declined(), at(1));
    assert_eq!(none.check_payment(&asked(), &certain(2)), Err(PaymentCodeRefusal::NoneSent));
    assert_eq!((none.ends_at(), none.has_ended(&certain(899))), (None, false));
    let sent = begun().learn(&approved(), at(1));
    assert!(sent.check_payment(&asked(), &certain(899)).is_ok());
    assert_eq!(sent.check_payment(&asked(), &certain(900)), Err(PaymentCodeRefusal::Ended));
    assert!(sent.has_ended(&certain(900)));
    // After a standstill nothing bears the clock out, which is what orders are found by.
    let stood_still = Present::new(at(900), at(5), Duration::from_secs(5));
    assert_eq!(sent.check_payment(&asked(), &stood_still), Err(PaymentCodeRefusal::Ended));
    // A clock that was set back makes it no younger.
    let set_back = Present::new(at(-3_600), at(900), Duration::from_secs(900));
    assert_eq!(sent.check_payment(&asked(), &set_back), Err(PaymentCodeRefusal::Ended));
    let spent = sent.spent(at(5));
    assert_eq!((spent.state, spent.version), (Spent, 3));
    assert_eq!(spent.check_payment(&asked(), &certain(6)), Err(PaymentCodeRefusal::Spent));
    assert_eq!(spent.again(order(2), None, &certain(6)), Err(PaymentCodeRefusal::Spent));
    assert!(!spent.has_ended(&certain(9_000)), "spent is what it stays");
}

#[test]
fn codes_are_few_and_counted_anew_when_all_have_ended() {
    let mut row = begun();
    assert_eq!(row.again(order(2), None, &certain(1)), Err(PaymentCodeRefusal::UnderWay));
    for sequence in 2..=u64::from(REQUESTS_MAX) {
        row = resent(&row.learn(&approved(), at(1)), sequence, 2);
    }
    let full = row.learn(&approved(), at(3));
    assert_eq!(full.again(order(9), None, &certain(901)), Err(PaymentCodeRefusal::UsedUp));
    let anew = resent(&full, 9, 902);
    assert_eq!((anew.requests, anew.standing, &anew.channel), (1, None, &channel("b")));
}

#[test]
fn another_channel_is_asked_only_where_no_code_can_have_come() {
    let refused = begun().learn(&declined(), at(1));
    assert_eq!(resent(&refused, 2, 3).channel, channel("b"));
    let without = refused.again(order(2), None, &certain(3)).expect("another one");
    assert_eq!(without.channel, channel("a"), "no plan: the same again");
    let unknown = begun().lost(at(1));
    assert_eq!(resent(&unknown, 2, 3).channel, channel("a"));
}

#[test]
fn i_9_the_first_field_that_differs_is_named() {
    let agreement = CodePayer::Agreement(AgreementId::from_u64(5));
    let rows = [
        (
            PaymentCodeRequest { merchant_id: MerchantId::from_stored("n"), ..asked() },
            "merchant_id",
        ),
        (
            PaymentCodeRequest { amount: AmountMinor::new(1).expect("an amount"), ..asked() },
            "amount",
        ),
        (PaymentCodeRequest { currency: Currency::Usd, ..asked() }, "currency"),
        (PaymentCodeRequest { payer: CodePayer::Card { pan: 8 }, ..asked() }, "card.pan"),
        (PaymentCodeRequest { payer: agreement, ..asked() }, "agreement"),
    ];
    for (other, field) in rows {
        assert_eq!(asked().differs_from(&other), Some(field));
    }
    assert_eq!(asked().differs_from(&asked()), None);
}
