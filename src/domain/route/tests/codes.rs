//! Payers' codes: to whom they go, and what no rule about cards says of them.

use super::*;
use crate::domain::instrument::InstrumentFacts;
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
    assert_eq!(struck(&[Code], &[], &payout), Some("operation"), "payouts go to cards");
}
