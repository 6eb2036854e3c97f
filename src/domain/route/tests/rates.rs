//! Success rates: what counts, how it fades, and which group of orders speaks.

use std::time::Duration;

use super::*;
use crate::domain::attempt::{Attempt, AttemptState};
use crate::domain::outcome::{Reason, UnknownCause};
use crate::domain::route::rates::{CELLS_MAX, FoundRate, RateScope, RateTable, Sample, Situation};
use crate::domain::terms::RateTerms;

const HOUR: Duration = Duration::from_secs(3_600);
const TERMS: RateTerms = RateTerms { half_life: HOUR, samples_min: 10 };

fn start() -> Timestamp {
    moment("2026-11-22T02:00:00Z")
}

fn situation(order: &Order) -> Situation {
    Situation::of(&order.subject()).expect("a payment has a route")
}

fn issuer(code: &'static str) -> Option<CardTraits<'static>> {
    let issuer = Some(IssuerTraits { code, name: "a bank" });
    Some(CardTraits { issuer, ..order().card.expect("it has a card") })
}

fn count(table: &mut RateTable, order: &Order, successes: u32, failures: u32, at: Timestamp) {
    for number in 0..successes + failures {
        let sample = Sample { is_success: number < successes, at };
        table.count(situation(order), sample, at);
    }
}

fn found(table: &RateTable, order: &Order, now: Timestamp) -> Option<(u32, RateScope, u32)> {
    table.find(situation(order), now).map(|found| (found.ppm, found.scope, found.samples))
}

#[test]
fn the_narrowest_group_with_enough_samples_speaks() {
    let mut table = RateTable::new(TERMS);
    let now = start();
    count(&mut table, &order(), 9, 0, now);
    assert_eq!(found(&table, &order(), now), None, "nine are too few for any group");
    // The same issuer and operation, on other cards: a tenth sample for the two widest.
    count(&mut table, &order().card_type(CardType::Credit), 0, 1, now);
    assert_eq!(found(&table, &order(), now), Some((900_000, RateScope::Issuer, 10)));
    // Another band of amounts: the type of card has ten, and these weigh more than the issuer's.
    count(&mut table, &order().amount(9_999), 1, 0, now);
    assert_eq!(found(&table, &order(), now), Some((1_000_000, RateScope::CardType, 10)));
    count(&mut table, &order(), 0, 1, now);
    assert_eq!(found(&table, &order(), now), Some((900_000, RateScope::Situation, 10)));
    // Of another issuer only the operation is known: 10 of 12 successes.
    let other = order().card(issuer("01030000"));
    assert_eq!(found(&table, &other, now), Some((833_333, RateScope::Operation, 12)));
    // Another region of the same institution is the same issuer.
    let region = order().card(issuer("01022900"));
    assert_eq!(found(&table, &region, now), Some((900_000, RateScope::Situation, 10)));
    // What is known of no card belongs to no issuer's group.
    let unknown = order().card(None);
    assert_eq!(found(&table, &unknown, now), Some((833_333, RateScope::Operation, 12)));
    // Payouts say nothing of payments.
    let mut payout = order();
    payout.instruction.kind = OrderKind::Payout;
    assert_eq!(found(&table, &payout, now), None);
}

#[test]
fn bands_begin_at_their_amounts() {
    let rows = [
        (1, (0, Some(10_000))),
        (9_999, (0, Some(10_000))),
        (10_000, (10_000, Some(100_000))),
        (100_000, (100_000, Some(500_000))),
        (1_999_999, (500_000, Some(2_000_000))),
        (AMOUNT_MINOR_MAX, (2_000_000, None)),
    ];
    for (minor, band) in rows {
        assert_eq!(situation(&order().amount(minor)).amounts(), Some(band), "{minor}");
    }
    assert_eq!(situation(&order()).issuer(), Some("0102"));
    let groups: Vec<RateScope> = situation(&order()).widening().map(|(scope, _)| scope).collect();
    let all = [RateScope::Situation, RateScope::CardType, RateScope::Issuer, RateScope::Operation];
    assert_eq!(groups, all);
    let groups = situation(&order().card(None)).widening();
    let groups: Vec<RateScope> = groups.map(|(scope, _)| scope).collect();
    assert_eq!(groups, [RateScope::Situation, RateScope::Operation]);
}

#[test]
fn samples_lose_half_of_their_weight_in_each_half_life() {
    let mut table = RateTable::new(TERMS);
    count(&mut table, &order(), 0, 40, start());
    let later = |hours: u32| start().plus(HOUR * hours);
    // 40, 20, 10 samples' weight; then too little, and nobody knows any more.
    for (hours, samples) in [(0, 40), (1, 20), (2, 10)] {
        let expected = Some((0, RateScope::Situation, samples));
        assert_eq!(found(&table, &order(), later(hours)), expected, "{hours}");
    }
    assert_eq!(found(&table, &order(), later(2).plus(Duration::from_secs(1))), None);
    // Ten successes of now against what forty failures of two hours ago weigh: 10 of 20.
    count(&mut table, &order(), 10, 0, later(2));
    assert_eq!(found(&table, &order(), later(2)), Some((500_000, RateScope::Situation, 20)));
}

#[test]
fn a_clock_that_was_ahead_freezes_nothing() {
    let mut table = RateTable::new(TERMS);
    let ahead = start().plus(HOUR * 24 * 400);
    count(&mut table, &order(), 10, 0, ahead);
    assert_eq!(found(&table, &order(), start()), Some((1_000_000, RateScope::Situation, 10)));
    // What happens by the right clock counts as much as what that one had dated.
    count(&mut table, &order(), 0, 10, start());
    assert_eq!(found(&table, &order(), start()), Some((500_000, RateScope::Situation, 20)));
    assert_eq!(found(&table, &order(), start().plus(HOUR * 2)), None, "and fades by it");
}

#[test]
fn a_table_is_bounded_and_what_weighs_nothing_makes_room() {
    let mut table = RateTable::new(TERMS);
    let code = |number: usize| {
        let code: &'static str = Box::leak(format!("{number:04}0000").into_boxed_str());
        order().card(issuer(code))
    };
    // Three cells of its own for each issuer, and the widest of all.
    let issuers = CELLS_MAX / 3 + 100;
    for number in 0..issuers {
        count(&mut table, &code(number), 1, 0, start());
    }
    assert_eq!(table.rows(start()).len(), CELLS_MAX);
    let all =
        |table: &RateTable, now| table.rows(now).first().map(|row| row.weight.round() as usize);
    assert_eq!(all(&table, start()), Some(issuers), "the widest knows them all");
    assert_eq!(
        found(&table, &code(issuers), start()).map(|found| found.1),
        Some(RateScope::Operation)
    );
    // A day later the lone samples weigh nothing, and a new issuer has a place at once.
    let tomorrow = start().plus(HOUR * 24);
    count(&mut table, &code(issuers), 10, 0, tomorrow);
    assert_eq!(
        found(&table, &code(issuers), tomorrow),
        Some((1_000_000, RateScope::Situation, 10))
    );
    assert!(table.rows(tomorrow).len() <= 4, "{}", table.rows(tomorrow).len());
}

#[test]
fn rows_come_by_weight_and_equals_by_their_facts() {
    let mut table = RateTable::new(TERMS);
    count(&mut table, &order(), 3, 1, start());
    count(&mut table, &order().amount(1), 1, 0, start());
    let rows = table.rows(start());
    let told: Vec<_> = rows.iter().map(|row| (row.scope, row.ppm, row.weight as u32)).collect();
    assert_eq!(
        told,
        [
            (RateScope::Operation, 800_000, 5),
            (RateScope::Issuer, 800_000, 5),
            (RateScope::CardType, 800_000, 5),
            (RateScope::Situation, 750_000, 4),
            (RateScope::Situation, 1_000_000, 1),
        ]
    );
    assert!(rows.iter().all(|row| !row.speaks), "five are below the floor");
}

fn attempt(state: AttemptState, reason: Option<Reason>, cause: Option<UnknownCause>) -> Attempt {
    Attempt {
        number: 1,
        channel: id("bank"),
        operation: Operation::Payment,
        state,
        sent_at: start(),
        announced_at: None,
        channel_reference: None,
        acknowledged_at: None,
        code: None,
        reason,
        unknown_cause: cause,
        objection: None,
        unresolved_at: cause.map(|_| start().plus(HOUR)),
        ended_at: (!state.is_unresolved()).then(|| start().plus(HOUR * 2)),
        ended_by: None,
        sealed_pan: None,
    }
}

#[test]
fn what_every_channel_would_have_refused_is_no_sample() {
    let sample = |state, reason, cause| {
        let sample = Sample::of(&attempt(state, reason, cause));
        sample.map(|one| (one.is_success, one.at.since(start()).as_secs() / 3_600))
    };
    let (late, died) = (Some(UnknownCause::TimedOut), Some(UnknownCause::ProcessDied));
    let rows = [
        (AttemptState::Approved, None, None, Some((true, 2))),
        // The payer waited, whatever came of it.
        (AttemptState::Approved, None, late, Some((false, 1))),
        (AttemptState::Unknown, None, late, Some((false, 1))),
        (AttemptState::Reversed, None, late, Some((false, 1))),
        // Our own death, and codes that our table lacks, are nobody's fault there.
        (AttemptState::Approved, None, died, Some((true, 2))),
        (AttemptState::Unknown, None, died, None),
        (AttemptState::Reversed, None, died, None),
        (AttemptState::Unknown, None, Some(UnknownCause::UnlistedCode), None),
        (AttemptState::Declined, Some(Reason::InsufficientFunds), None, None),
        (AttemptState::Declined, Some(Reason::WrongCredentials), None, None),
        (AttemptState::Declined, Some(Reason::OperatorDecision), None, None),
        (AttemptState::Declined, Some(Reason::DoNotHonour), None, Some((false, 2))),
        (AttemptState::Declined, Some(Reason::LimitExceeded), None, Some((false, 2))),
        (AttemptState::Declined, Some(Reason::NotSupported), None, Some((false, 2))),
        (AttemptState::Declined, Some(Reason::ChannelFailure), None, Some((false, 2))),
        (AttemptState::Declined, None, None, None),
        (AttemptState::Sending, None, None, None),
        (AttemptState::Pending, None, None, None),
        (AttemptState::NotSent, Some(Reason::ChannelUnavailable), None, None),
    ];
    for (state, reason, cause, expected) in rows {
        assert_eq!(sample(state, reason, cause), expected, "{state:?} {reason:?} {cause:?}");
    }
    for reason in Reason::ALL {
        assert!(reason.blames_way() || !reason.blames_channel(), "{}", reason.name());
    }
}

#[test]
fn an_explanation_says_what_a_rate_was_drawn_from() {
    let world = world(|profile, health| {
        health.success_rate = match profile.id.as_str() {
            "bank" => FoundRate { ppm: 912_345, scope: RateScope::CardType, samples: 41 },
            _ => FoundRate::of_health(900_000),
        };
    });
    let target = RouteTarget::named(Strategy::SuccessRate, ids(&["direct", "bank"]));
    let rules = [
        rule("best", Vec::new(), target.expect("channels")),
        rule("listed", Vec::new(), priority(&["bank"])),
    ];
    let (given, order) = (world.channels(), order());
    let said = explain(&rules, &given, &order.subject(), 0);
    assert_eq!(kept(&said.plan), ["bank", "direct"]);
    let told: Vec<_> = said.rules[0]
        .candidates
        .iter()
        .map(|one| match &one.verdict {
            CandidateVerdict::Kept { place, standing } => (*place, standing.as_str(), one.rate),
            CandidateVerdict::Struck(_) => unreachable!("nothing strikes them"),
        })
        .collect();
    let health = "a success rate of 90.0000 %, by the channel's health, for too few orders of the \
                  kind were seen";
    let shown = "a success rate of 91.2345 %, by 41 orders of its issuer, card type and operation";
    let rate = |place: usize| Some(given[place].health.success_rate);
    assert_eq!(told, [(2, health, rate(3)), (1, shown, rate(1))]);
    assert_eq!(said.rules[1].candidates[0].rate, None, "that rule does not ask for it");
}

proptest! {
    /// A start reads attempts in the order of their orders; they ended in another one.
    #[test]
    fn the_order_in_which_samples_are_told_changes_nothing(
        samples in prop::collection::vec((any::<bool>(), 0..20_000_000_u64, 1..3_000_000_i64), 80),
        seed in any::<u64>(),
    ) {
        let now = start().plus(Duration::from_millis(20_000_000));
        let mut shuffled = samples.clone();
        shuffled.sort_by_key(|(_, age, _)| (age ^ seed).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        // As they happened: each is told at its own time.
        let mut lived = RateTable::new(TERMS);
        let mut by_time = samples;
        by_time.sort_by_key(|(_, after, _)| *after);
        for (is_success, after, minor) in by_time {
            let at = start().plus(Duration::from_millis(after));
            lived.count(situation(&order().amount(minor)), Sample { is_success, at }, at);
        }
        let mut recalled = RateTable::new(TERMS);
        for (is_success, after, minor) in shuffled {
            let at = start().plus(Duration::from_millis(after));
            recalled.count(situation(&order().amount(minor)), Sample { is_success, at }, now);
        }
        let told = |table: &RateTable| -> Vec<_> {
            let mut rows = table.rows(now);
            rows.sort_by_key(|row| row.situation);
            rows.iter().map(|row| (row.situation, row.ppm, row.weight)).collect()
        };
        let (lived, recalled) = (told(&lived), told(&recalled));
        prop_assert_eq!(lived.len(), recalled.len());
        for (one, other) in lived.iter().zip(&recalled) {
            prop_assert_eq!(one.0, other.0);
            prop_assert!(one.1.abs_diff(other.1) <= 1, "{:?} {:?}", one, other);
            prop_assert!((one.2 - other.2).abs() < 1e-6, "{:?} {:?}", one, other);
        }
    }
}
