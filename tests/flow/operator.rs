//! What an operator may do, in every phase; and what a repeated order must be equal in (I-9).

use switchyard::domain::attempt::{AttemptState, Source};
use switchyard::domain::card::CardFacts;
use switchyard::domain::command::{Command, Refusal};
use switchyard::domain::ids::{MerchantId, OrderId};
use switchyard::domain::instrument::InstrumentFacts;
use switchyard::domain::money::{AmountMinor, Currency};
use switchyard::domain::order::{Instruction, OrderKind, OrderStatus, SettlementMode};
use switchyard::domain::payee_account::{AccountDigests, AccountFacts, AccountKind, MaskedAccount};
use switchyard::domain::payer_code::{CodeFacts, PayerCode};
use switchyard::domain::reversal::{Phase, Resolution};
use switchyard::domain::terms::{AfterInquiry, Terms};

use crate::build::{Desk, approved, declined, payment, pending, seconds, terms, unknown};

fn in_phase(phase: Phase, sent: bool) -> Desk {
    let mut desk = match phase {
        Phase::Inquiring => return Desk::unknown(),
        Phase::Reversing => {
            let silent = Terms { inquire: Vec::new(), ..terms() };
            Desk::after(silent, &[(Source::Reply, unknown())])
        }
        Phase::Operator if sent => in_phase(Phase::Reversing, true),
        Phase::Operator => {
            let terms = Terms { then: AfterInquiry::Operator, ..terms() };
            let mut desk = Desk::after(terms, &[(Source::Reply, unknown())]);
            desk.wait(seconds(600));
            for _ in 0..3 {
                desk.learn(Source::Inquiry, unknown());
            }
            desk
        }
        Phase::UndoOwed => unreachable!("a payment owes no undo"),
    };
    if sent && phase == Phase::Reversing {
        desk.run(Command::BeginReversal).expect("it is due");
    }
    while sent && phase == Phase::Operator && desk.entry().phase == Phase::Reversing {
        desk.run(Command::BeginReversal).expect("it may be repeated");
        desk.learn_reversal(unknown()).expect("it is open");
    }
    assert_eq!((desk.entry().phase, desk.entry().reversals_unanswered > 0), (phase, sent));
    desk
}

const PHASES: [(Phase, bool); 5] = [
    (Phase::Inquiring, false),
    (Phase::Reversing, false),
    (Phase::Reversing, true),
    (Phase::Operator, false),
    (Phase::Operator, true),
];

#[test]
fn an_operator_may_end_an_unknown_in_every_phase() {
    let ends = [
        (Resolution::Succeeded, AttemptState::Approved, OrderStatus::Succeeded),
        (Resolution::Failed, AttemptState::Declined, OrderStatus::Failed),
        (Resolution::Reversed, AttemptState::Reversed, OrderStatus::Reversed),
    ];
    for (phase, sent) in PHASES {
        for (resolution, state, status) in ends {
            let mut desk = in_phase(phase, sent);
            let decision = desk.resolve(resolution).expect("it is unknown");
            assert_eq!(desk.state(), (state, status), "{phase:?} {sent}");
            assert_eq!(desk.attempt().ended_by, Some(Source::Operator));
            let audit = &decision.writes.audit[0];
            assert_eq!((audit.actor.as_str(), audit.action.as_str()), ("ann", "reversal.resolve"));
            assert_eq!(audit.reason, "the bank said so");
            assert_eq!(desk.resolve(resolution).err(), Some(Refusal::NothingOpen), "once");
        }
    }
}

#[test]
fn a_retry_starts_the_schedule_again() {
    for (phase, sent) in PHASES {
        let mut desk = in_phase(phase, sent);
        desk.wait(seconds(5));
        let decision = desk.retry().expect("it is unknown");
        let silent = desk.terms.inquire.is_empty();
        let expected = if sent || silent { Phase::Reversing } else { Phase::Inquiring };
        assert_eq!(desk.entry().phase, expected, "{phase:?} {sent}");
        assert_eq!((desk.entry().step, desk.entry().due_at), (0, Some(desk.now)));
        assert_eq!(decision.writes.audit[0].action, "reversal.retry");
    }
}

#[test]
fn nothing_open_is_neither_retried_nor_resolved() {
    let desks = [
        Desk::sending(),
        Desk::after(terms(), &[(Source::Reply, approved())]),
        Desk::after(terms(), &[(Source::Reply, declined())]),
    ];
    for mut desk in desks {
        assert!(matches!(desk.retry(), Err(Refusal::NothingOpen | Refusal::WrongPhase)));
        for resolution in [Resolution::Succeeded, Resolution::Failed, Resolution::Reversed] {
            assert_eq!(desk.resolve(resolution).err(), Some(Refusal::NothingOpen));
        }
    }
}

#[test]
fn an_operators_word_is_contradicted_like_any_other() {
    let mut desk = in_phase(Phase::Operator, false);
    desk.resolve(Resolution::Failed).expect("it is unknown");
    desk.learn(Source::Statement, approved());
    assert_eq!(desk.order().status, OrderStatus::Failed);
    assert_eq!(desk.undo().status, OrderStatus::Accepted);
}

#[test]
fn pending_can_be_resolved_too() {
    let mut desk = Desk::after(terms(), &[(Source::Reply, pending())]);
    desk.resolve(Resolution::Succeeded).expect("it is pending");
    assert_eq!(desk.order().status, OrderStatus::Succeeded);
}

#[test]
fn i_9_the_first_field_that_differs_is_named() {
    type Change = fn(&mut Instruction);
    fn facts(order: &mut Instruction) -> &mut CardFacts {
        match order.instrument.as_mut() {
            Some(InstrumentFacts::Card(card)) => card,
            _ => panic!("a payment has a card"),
        }
    }
    fn shown(code: &str) -> InstrumentFacts {
        let code = PayerCode::parse(code).expect("a code");
        InstrumentFacts::Code(CodeFacts { masked: code.masked(), digest: 1 })
    }
    let rows: [(&str, Change); 15] = [
        ("kind", |order| order.kind = OrderKind::Release { of: OrderId::from_u64(1) }),
        ("merchant_id", |order| order.merchant_id = MerchantId::from_stored("m-2")),
        ("amount", |order| order.amount = AmountMinor::new(1).expect("an amount")),
        ("currency", |order| order.currency = Currency::Usd),
        ("settlement", |order| order.settlement_mode = SettlementMode::Escrow),
        ("card.pan", |order| facts(order).digests.pan += 1),
        ("card.expiry", |order| facts(order).digests.expiry = 0),
        ("card.holder", |order| facts(order).digests.holder += 1),
        ("card.id_type", |order| facts(order).digests.id_type += 1),
        ("card.id_number", |order| facts(order).digests.id_number += 1),
        ("card.phone", |order| facts(order).digests.phone += 1),
        ("description", |order| order.description = None),
        ("notify_url", |order| order.notify_url = None),
        ("card.pan", |order| order.instrument = None),
        ("card.pan", |order| order.instrument = Some(shown("130000000000001234"))),
    ];
    let kept = Desk::after(terms(), &[(Source::Reply, approved())]).order().clone();
    let mut repeat = payment(&["three"]);
    repeat.id = OrderId::from_u64(9);
    assert_eq!(
        kept.instruction.same_content(&repeat.instruction),
        Ok(()),
        "what became of it is no content"
    );
    for (field, change) in &rows {
        let mut other = repeat.clone();
        change(&mut other.instruction);
        assert_eq!(
            kept.instruction.same_content(&other.instruction).err().map(|differs| differs.field),
            Some(*field)
        );
    }
    // Of several, the first in the order of the API's documents.
    for first in 0..12 {
        let mut other = repeat.clone();
        rows[first..13].iter().for_each(|(_, change)| change(&mut other.instruction));
        let found =
            kept.instruction.same_content(&other.instruction).err().map(|differs| differs.field);
        assert_eq!(found, Some(rows[first].0));
    }
}

#[test]
fn i_9_of_two_payees_the_first_field_that_differs_is_named() {
    let by_card = payment(&["three"]).instruction;
    let account = |kind, id, name| {
        let (masked, digests) = (MaskedAccount::of("13800138000"), AccountDigests { id, name });
        let account = AccountFacts { kind, masked, digests };
        let instrument = Some(InstrumentFacts::Account(account));
        Instruction { instrument, ..by_card.clone() }
    };
    let paid = account(AccountKind::Login, 1, 1);
    assert_eq!(paid.same_content(&account(AccountKind::Login, 1, 1)), Ok(()));
    for (other, field) in [
        (account(AccountKind::Login, 2, 2), "payee.account"),
        (account(AccountKind::UserId, 1, 2), "payee.kind"),
        (account(AccountKind::Login, 1, 0), "payee.name"),
        (Instruction { instrument: None, ..paid.clone() }, "payee.account"),
        (by_card.clone(), "card.pan"),
    ] {
        let found = paid.same_content(&other).err().map(|differs| differs.field);
        assert_eq!(found, Some(field));
    }
}
