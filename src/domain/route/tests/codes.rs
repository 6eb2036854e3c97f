//! Payers' codes and payees' accounts: to whom they go, and what no rule about cards says of them.

use super::*;
use crate::domain::instrument::InstrumentFacts;
use crate::domain::payee_account::{AccountDigests, AccountFacts, AccountKind, MaskedAccount};
use crate::domain::payer_code::{CodeFacts, MaskedCode};

#[test]
fn a_payer_s_code_goes_to_channels_of_its_wallet_and_fits_no_rule_about_cards() {
    let mut shown = order().card(None);
    let masked = MaskedCode::of("130000000000001234");
    shown.instruction.instrument = Some(InstrumentFacts::Code(CodeFacts { masked, digest: 1 }));
    let about_cards = [
        Condition::CardTypes(CardType::ALL.to_vec()),
        Condition::Brands(vec![Brand::UnionPay]),
        Condition::IssuerCodes(vec!["0102".to_owned()]),
        Condition::BinPrefixes(vec![CardPrefix::leading("13")]),
    ];
    for condition in about_cards {
        assert!(!condition.holds(&shown.subject()), "{condition:?}");
        let told = condition.sentence(&shown.subject());
        assert_eq!(told, "the payer shows a code, and there is no card to tell by");
    }
    let struck = |taken: &[InstrumentKind], beginnings: &[&str], order: &Order| {
        let world = world(|profile, _| {
            profile.instruments = taken.to_vec();
            profile.code_beginnings = beginnings.iter().map(|one| (*one).to_owned()).collect();
            // They are of cards, and no matter of a code's.
            profile.card_types = vec![CardType::Debit];
            profile.brands = vec![Brand::UnionPay];
        });
        let (rules, given) = ([Rule::default_rule()], world.channels());
        let plan = plan(&rules, &given, &order.subject(), 0);
        plan.struck.first().map(|struck| struck.strike.name())
    };
    use InstrumentKind::{Card, Code};
    assert_eq!(struck(&[Code], &[], &shown), None);
    assert_eq!(struck(&[Card, Code], &["10", "13"], &shown), None);
    assert_eq!(struck(&[Code], &["28"], &shown), Some("code_beginning"));
    assert_eq!(struck(&[Card], &[], &shown), Some("instrument"));
    assert_eq!(struck(&[Code], &[], &order()), Some("instrument"));
    assert_eq!(struck(&[Card], &[], &order()), None);
    let mut payout = order();
    payout.instruction.kind = OrderKind::Payout;
    assert_eq!(struck(&[Code], &[], &payout), Some("operation"), "what pays is no matter of it");
}

#[test]
fn a_payee_s_account_goes_to_channels_that_pay_to_its_kind_and_fits_no_rule_about_cards() {
    use InstrumentKind::{Account, Card};
    let mut payout = order().card(None);
    payout.instruction.kind = OrderKind::Payout;
    let by_card = order();
    let by_card = Order {
        instruction: Instruction { kind: OrderKind::Payout, ..by_card.instruction.clone() },
        ..by_card
    };
    payout.instruction.instrument = Some(InstrumentFacts::Account(AccountFacts {
        kind: AccountKind::Login,
        masked: MaskedAccount::of("13800138000"),
        digests: AccountDigests::default(),
    }));
    for condition in [
        Condition::CardTypes(CardType::ALL.to_vec()),
        Condition::Brands(vec![Brand::UnionPay]),
        Condition::IssuerCodes(vec!["0102".to_owned()]),
        Condition::BinPrefixes(vec![CardPrefix::leading("13")]),
    ] {
        assert!(!condition.holds(&payout.subject()), "{condition:?}");
        let told = condition.sentence(&payout.subject());
        assert_eq!(told, "the payee has an account, and there is no card to tell by");
    }
    let only = |kind| Condition::Instruments(vec![kind]);
    assert!(only(Account).holds(&payout.subject()) && !only(Card).holds(&payout.subject()));
    assert!(only(Card).holds(&by_card.subject()));
    let told = only(Card).sentence(&payout.subject());
    assert_eq!(told, "the instrument is account, not card");
    let struck = |payees: &[InstrumentKind], kinds: &[AccountKind], order: &Order| {
        let world = world(|profile, _| {
            profile.operations.push(Operation::Payout);
            profile.payouts_per_day_minor = None;
            profile.payees = payees.to_vec();
            profile.account_kinds = kinds.to_vec();
            // What pays, and which cards are taken, is no matter of an account's.
            profile.instruments = Vec::new();
            profile.card_types = vec![CardType::Debit];
            profile.brands = vec![Brand::UnionPay];
        });
        let (rules, given) = ([Rule::default_rule()], world.channels());
        let plan = plan(&rules, &given, &order.subject(), 0);
        plan.struck.first().map(|struck| struck.strike.name())
    };
    let login = &[AccountKind::Login];
    assert_eq!(struck(&[Account], login, &payout), None);
    assert_eq!(struck(&[Card, Account], login, &payout), None);
    assert_eq!(struck(&[Account], &[AccountKind::UserId], &payout), Some("account_kind"));
    assert_eq!(struck(&[Card], &[], &payout), Some("instrument"));
    assert_eq!(struck(&[Account], login, &by_card), Some("instrument"));
    assert_eq!(struck(&[Card, Account], login, &by_card), None);
}
