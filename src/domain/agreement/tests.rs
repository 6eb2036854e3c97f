//! What each answer makes of an agreement.

use super::*;
use crate::domain::card::{CardDigests, MaskedPan};
use crate::domain::outcome::{Approval, Decline, NotSentCause};
use AgreementState::{
    Active, CodeSent, CodeUnknown, Confirming, Ended, Ending, Failed, SendingCode, Unknown,
};

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(seconds * 1_000)
}

fn certain(seconds: i64) -> Present {
    Present::certain(at(seconds))
}

fn begun() -> Agreement {
    let digests = CardDigests { pan: 1, holder: 2, phone: 3, ..CardDigests::default() };
    let masked = MaskedPan::from_stored("621626*********0018");
    let asked = AgreementRequest {
        caller: CallerId::from_stored("core"),
        caller_order_id: CallerOrderId::from_stored("G-1"),
        merchant_id: MerchantId::from_stored("m"),
        card: CardFacts { masked, digests, row: None },
        phone: mask_phone("13800138000"),
    };
    let id = AgreementId::from_u64(2_611_220_000_000_000_017);
    Agreement::begun(id, asked, ChannelId::from_stored("a"), at(0))
}

fn approved() -> Outcome {
    Outcome::Approved(Approval { code: "00".to_owned(), ..Approval::default() })
}

fn declined(reason: Reason) -> Outcome {
    Outcome::Declined(Decline { reason, code: "71".to_owned(), elsewhere: false })
}

fn pending() -> Outcome {
    Outcome::Pending { code: "05".to_owned(), channel_reference: None }
}

fn not_found() -> Outcome {
    Outcome::NotFound { code: "34".to_owned() }
}

const TIMED_OUT: Outcome = Outcome::Unknown(UnknownCause::TimedOut);
const NOT_SENT: Outcome = Outcome::NotSent(NotSentCause::NoConnection);

fn token() -> GrantedToken {
    let sealed = SealedPan { key_id: "k".to_owned(), nonce: [1; 12], bytes: vec![1, 2] };
    GrantedToken { sealed, ends_at: Some(at(1_000)) }
}

fn learn(row: &Agreement, outcome: &Outcome) -> Agreement {
    row.learn(outcome, None, "words".to_owned(), at(9))
}

fn code_sent() -> Agreement {
    learn(&begun(), &approved())
}

fn confirming() -> Agreement {
    code_sent().confirm(at(10)).expect("a code was sent")
}

fn active() -> Agreement {
    confirming().learn(&approved(), Some(token()), String::new(), at(11))
}

#[test]
fn every_answer_to_a_request_for_a_code_has_a_state() {
    let rows = [
        (approved(), CodeSent, None, None),
        (declined(Reason::NotSupported), Failed, Some(Reason::NotSupported), None),
        (NOT_SENT, Failed, Some(Reason::ChannelUnavailable), None),
        (TIMED_OUT, CodeUnknown, None, Some(UnknownCause::TimedOut)),
        (pending(), CodeUnknown, None, Some(UnknownCause::ChannelUnsure)),
        (not_found(), CodeUnknown, None, Some(UnknownCause::ChannelUnsure)),
    ];
    for (outcome, state, reason, cause) in rows {
        let after = learn(&begun(), &outcome);
        let found = (after.state, after.reason, after.unknown_cause);
        assert_eq!(found, (state, reason, cause), "{outcome:?}");
        assert_eq!((after.version, after.transcript.as_str()), (2, "words"));
    }
    // A code that was asked for anew and not sent leaves the earlier one good.
    let again = code_sent().send_code(at(5)).expect("a second code");
    assert_eq!((again.state, again.codes_sent, again.last_call.number), (SendingCode, 2, 2));
    assert_eq!(learn(&again, &NOT_SENT).state, CodeUnknown);
}

#[test]
fn every_answer_to_a_confirmation_has_a_state() {
    let rows = [
        (declined(Reason::WrongSmsCode), CodeSent, 1),
        (declined(Reason::SmsCodeExpired), CodeSent, 1),
        (declined(Reason::IdentityMismatch), Failed, 0),
        (NOT_SENT, CodeSent, 0),
        (TIMED_OUT, Unknown, 0),
        (pending(), Unknown, 0),
        // There is one at the channel, and its token is not known.
        (approved(), Unknown, 0),
    ];
    for (outcome, state, refused) in rows {
        let after = learn(&confirming(), &outcome);
        assert_eq!((after.state, after.codes_refused), (state, refused), "{outcome:?}");
        assert!(after.token.is_none(), "{outcome:?}");
    }
    let active = active();
    assert_eq!((active.state, active.ends_at), (Active, Some(at(1_000))));
    assert!(active.token.is_some() && active.is_past_card());
    assert_eq!(active.confirmation.map(|call| call.number), Some(2));
}

#[test]
fn a_code_can_be_wrong_a_few_times() {
    let mut row = code_sent();
    for refused in 1..REFUSED_CODES_MAX {
        let asked = row.confirm(at(10)).expect("it may be tried again");
        row = learn(&asked, &declined(Reason::WrongSmsCode));
        assert_eq!((row.state, row.codes_refused), (CodeSent, refused));
    }
    row = learn(&row.confirm(at(10)).expect("once more"), &declined(Reason::WrongSmsCode));
    assert_eq!((row.state, row.reason), (Failed, Some(Reason::WrongSmsCode)));
    assert_eq!(row.confirm(at(11)), Err(AgreementRefusal::WrongState(Failed)));
    let mut row = code_sent();
    for _ in 1..CODES_MAX {
        row = learn(&row.send_code(at(3)).expect("one more code"), &approved());
    }
    assert_eq!(row.send_code(at(3)), Err(AgreementRefusal::CodesUsedUp));
}

#[test]
fn i_3_an_unknown_confirmation_is_ended_by_the_channels_word_alone() {
    let unknown = learn(&confirming(), &TIMED_OUT);
    let asked = |outcome: &Outcome, granted, is_final| {
        unknown.learn_inquiry(outcome, granted, String::new(), is_final, at(20))
    };
    assert_eq!(asked(&approved(), Some(token()), false).state, Active);
    assert_eq!(asked(&declined(Reason::WrongSmsCode), None, false).state, CodeSent);
    assert_eq!(asked(&declined(Reason::CardRestricted), None, false).state, Failed);
    let gone = asked(&not_found(), None, true);
    let (reason, cause) = (Some(Reason::NeverArrived), None);
    assert_eq!((gone.state, gone.reason, gone.unknown_cause), (Failed, reason, cause));
    for outcome in [not_found(), approved(), TIMED_OUT, NOT_SENT, pending()] {
        assert_eq!(asked(&outcome, None, false), unknown, "{outcome:?}");
    }
    assert_eq!(unknown.confirm(at(30)), Err(AgreementRefusal::WrongState(Unknown)));
}

#[test]
fn an_agreement_is_ended_once_and_is_not_paid_by_meanwhile() {
    let ending = active().end(at(30)).expect("it is active");
    assert!(ending.is_under_way());
    assert_eq!(ending.end(at(31)), Err(AgreementRefusal::UnderWay));
    assert_eq!(ending.check_payable(&certain(31)), Err(AgreementRefusal::WrongState(Ending)));
    let rows = [
        (approved(), Ended),
        (declined(Reason::NotEnrolled), Ended),
        (declined(Reason::MerchantNotPermitted), Active),
        (NOT_SENT, Active),
        (TIMED_OUT, Ending),
    ];
    for (outcome, state) in rows {
        let after = learn(&ending, &outcome);
        assert_eq!(after.state, state, "{outcome:?}");
        assert_eq!(after.token.is_none(), state == Ended, "{outcome:?}");
    }
    let again = learn(&ending, &TIMED_OUT).end(at(40)).expect("it can be asked again");
    assert_eq!(learn(&again, &NOT_SENT).state, Ending, "the first request may have ended it");
    assert_eq!(learn(&again, &declined(Reason::NotEnrolled)).state, Ended);
}

#[test]
fn calls_that_are_lost_are_unknown() {
    let rows = [(begun(), CodeUnknown), (confirming(), Unknown)];
    for (row, state) in rows {
        assert!(row.is_under_way());
        let after = row.lost(at(99));
        let cause = Some(UnknownCause::ProcessDied);
        assert_eq!((after.state, after.unknown_cause), (state, cause));
    }
    let ending = active().end(at(30)).expect("it is active");
    let lost = ending.lost(at(99));
    assert!(lost.state == Ending && !lost.is_under_way() && ending.state == Ending);
    assert_eq!(confirming().confirm(at(12)), Err(AgreementRefusal::UnderWay));
    assert_eq!(confirming().state, Confirming);
}

#[test]
fn an_agreement_is_good_until_its_date() {
    let active = active();
    assert_eq!(active.check_payable(&certain(999)), Ok(()));
    assert_eq!(active.check_payable(&certain(1_000)), Err(AgreementRefusal::Expired));
    assert!(active.has_expired(&certain(1_000)) && !code_sent().has_expired(&certain(1_000)));
}

#[test]
fn numbers_run_out_before_two_digits_do() {
    let mut row = code_sent();
    row.last_call.number = OPENING_CALLS_MAX;
    assert_eq!(row.confirm(at(1)), Err(AgreementRefusal::CallsUsedUp));
    assert_eq!(row.send_code(at(1)), Err(AgreementRefusal::CallsUsedUp));
    let mut row = active();
    row.last_call.number = OPENING_CALLS_MAX;
    assert_eq!(row.end(at(1)).expect("ends have their own").last_call.number, 80);
    row.last_call.number = CALLS_MAX;
    assert_eq!(row.end(at(1)), Err(AgreementRefusal::CallsUsedUp));
}

#[test]
fn i_9_a_repeat_is_compared_field_by_field() {
    let asked = begun().asked;
    assert_eq!(asked.differs_from(&asked), None);
    let with = |change: fn(&mut AgreementRequest)| {
        let mut other = asked.clone();
        change(&mut other);
        asked.differs_from(&other).expect("it differs")
    };
    assert_eq!(with(|other| other.merchant_id = MerchantId::from_stored("n")), "merchant_id");
    assert_eq!(with(|other| other.card.digests.pan = 9), "card.pan");
    assert_eq!(with(|other| other.card.digests.expiry = 9), "card.expiry");
    assert_eq!(with(|other| other.card.digests.holder = 9), "card.holder");
    assert_eq!(with(|other| other.card.digests.id_type = 9), "card.id_type");
    assert_eq!(with(|other| other.card.digests.id_number = 9), "card.id_number");
    assert_eq!(with(|other| other.card.digests.phone = 9), "card.phone");
}

#[test]
fn i_11_a_phone_shows_its_ends() {
    assert_eq!(mask_phone("13800138000"), "138****8000");
    assert_eq!(mask_phone("+86-13800138000"), "+86********8000");
    assert_eq!(mask_phone("12345678"), "********");
}
