//! Drawn channels, rules and orders: every plan is sound, and its explanation agrees with it.

use super::*;

fn any_channel(name: &'static str) -> impl Generate<Value = (ChannelProfile, ChannelHealth)> {
    let state = prop::sample::select(ChannelState::ALL.to_vec());
    let state = prop_oneof![3 => Just(ChannelState::Live), 1 => state];
    let health = (prop::bool::weighted(0.2), 0..=3_u32, prop::bool::weighted(0.8), 0..200_000_i64);
    let limits = (1..150_000_i64, 50_000..300_000_i64, prop::option::of(0..400_000_i64));
    let facts = (state, prop::bool::weighted(0.9), prop::bool::weighted(0.2), 0..=3_u32);
    (health, limits, facts).prop_map(move |(health, limits, facts)| {
        let (breaker_open, rate, rate_left, used_minor) = health;
        let used_today_minor = [used_minor, 0];
        let (minimum, maximum, per_day_minor) = limits;
        let (state, enabled, credit_only, fee) = facts;
        let profile = ChannelProfile {
            state,
            enabled,
            card_types: if credit_only { vec![CardType::Credit] } else { Vec::new() },
            per_order_min_minor: minimum,
            per_order_max_minor: maximum,
            per_day_minor,
            fees: fees(fee * 1_000),
            ..profile(name)
        };
        let success_rate = FoundRate::of_health(1_000_000 - rate * 1_000);
        (profile, ChannelHealth { breaker_open, success_rate, rate_left, used_today_minor })
    })
}

fn any_world() -> impl Generate<Value = World> {
    Vec::from(NAMES.map(any_channel)).prop_map(|channels| World { channels })
}

fn any_rule() -> impl Generate<Value = Rule> {
    let condition = prop_oneof![
        Just(None),
        prop::sample::select(CardType::ALL.to_vec())
            .prop_map(|kind| Some(Condition::CardTypes(vec![kind]))),
        (1..200_000_i64).prop_map(|to_minor| Some(Condition::Amount { from_minor: 1, to_minor })),
    ];
    let all: Vec<&str> = NAMES.into_iter().chain(["nowhere"]).collect();
    let names = prop::sample::subsequence(all, 0..=6).prop_shuffle();
    let strategy = prop::sample::select(Strategy::ALL.to_vec());
    let parts = (condition, names, strategy, any::<bool>(), prop::collection::vec(1..9_u32, 6));
    parts.prop_map(|(condition, names, strategy, fall_through, weights)| {
        let target = match (names.is_empty(), strategy) {
            (true, strategy) => Ok(RouteTarget::every_live(strategy)),
            (false, Strategy::Weighted) => {
                RouteTarget::weighted(ids(&names).into_iter().zip(weights).collect())
            }
            (false, strategy) => RouteTarget::named(strategy, ids(&names)),
        };
        Rule {
            name: names.join(" "),
            conditions: condition.into_iter().collect(),
            target: target.expect("each once, weights above 0"),
            fall_through,
        }
    })
}

proptest! {
    #[test]
    fn every_plan_is_sound(
        world in any_world(),
        rules in prop::collection::vec(any_rule(), 0..6),
        minor in 1..300_000_i64,
        draw in any::<u64>(),
    ) {
        let order = order().amount(minor);
        let given = world.channels();
        let plan = plan(&rules, &given, &order.subject(), draw);
        let kept_ids: BTreeSet<&ChannelId> = plan.kept.iter().map(|k| &k.channel.id).collect();
        let struck_ids: BTreeSet<&ChannelId> = plan.struck.iter().map(|s| s.channel).collect();
        prop_assert_eq!(kept_ids.len(), plan.kept.len(), "no channel twice");
        prop_assert_eq!(struck_ids.len(), plan.struck.len(), "one verdict each");
        prop_assert!(kept_ids.is_disjoint(&struck_ids), "a plan holds no struck channel");
        let Some(rule) = plan.rule else {
            prop_assert!(rules.iter().all(|rule| !rule.fits(&order.subject())));
            return Ok(());
        };
        let listed: Vec<&ChannelId> = match rule.target.named_channels() {
            Some(named) => named.collect(),
            None => given.iter().map(|channel| &channel.profile.id).collect(),
        };
        prop_assert_eq!(listed.len(), plan.kept.len() + plan.struck.len(), "all have a verdict");
        let place = |id: &ChannelId| listed.iter().position(|listed| *listed == id);
        for pair in plan.kept.windows(2) {
            let (left, right) = (pair[0], pair[1]);
            let in_file = place(&left.channel.id) < place(&right.channel.id);
            let sound = match rule.target.strategy() {
                Strategy::Priority => in_file,
                Strategy::Weighted => true,
                Strategy::LowestCost => (left.standing, !in_file) < (right.standing, true),
                Strategy::SuccessRate => (right.standing, !in_file) < (left.standing, true),
            };
            prop_assert!(sound, "{:?} before {:?}", left, right);
        }
    }

    #[test]
    fn an_explanation_agrees_with_the_plan(
        world in any_world(),
        rules in prop::collection::vec(any_rule(), 0..6),
        minor in 1..300_000_i64,
        draw in any::<u64>(),
    ) {
        let order = order().amount(minor);
        let given = world.channels();
        let plan = plan(&rules, &given, &order.subject(), draw);
        let said = explain(&rules, &given, &order.subject(), draw);
        prop_assert_eq!(&said.plan, &plan);
        prop_assert_eq!(said.rules.len(), rules.len());
        let decisive = said.rules.iter().rfind(|rule| {
            matches!(rule.verdict, RuleVerdict::Decides | RuleVerdict::FallsThrough)
        });
        prop_assert_eq!(decisive.map(|rule| &rule.rule.name), plan.rule.map(|rule| &rule.name));
        for candidate in decisive.iter().flat_map(|rule| &rule.candidates) {
            let kept = plan.kept.iter().position(|kept| kept.channel.id == *candidate.channel);
            let struck = plan.struck.iter().find(|struck| struck.channel == candidate.channel);
            match &candidate.verdict {
                CandidateVerdict::Kept { place, .. } => prop_assert_eq!(kept, Some(place - 1)),
                CandidateVerdict::Struck(strikes) => {
                    prop_assert_eq!(strikes.first(), struck.map(|struck| &struck.strike));
                }
            }
        }
    }
}
