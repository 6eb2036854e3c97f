//! The order of the candidates: by fee, by success rate, and by weight.

use super::*;

#[test]
fn the_smallest_fee_comes_first_and_equals_keep_their_order() {
    let world = world(|profile, _| {
        profile.fees = match profile.id.as_str() {
            "acquirer" => fees(5_000),
            "bank" => fees(6_000),
            "city-bank" => fees(5_000),
            "direct" => {
                let mut capped = (*fees(9_000)).clone();
                capped.rules[0].cap_minor = Some(100);
                Arc::new(capped)
            }
            _ => fees(4_999),
        };
    });
    let names = ["bank", "city-bank", "acquirer", "direct", "unionpay"];
    let target = RouteTarget::named(Strategy::LowestCost, ids(&names)).expect("channels");
    let (rules, given) = ([rule("cheap", Vec::new(), target)], world.channels());
    let rows = [
        (
            100_000,
            ["direct", "city-bank", "acquirer", "unionpay", "bank"],
            [100, 500, 500, 500, 600],
        ),
        (10_000, ["city-bank", "acquirer", "unionpay", "bank", "direct"], [50, 50, 50, 60, 90]),
        (1, ["bank", "city-bank", "acquirer", "direct", "unionpay"], [0, 0, 0, 0, 0]),
    ];
    for (minor, channels, costs) in rows {
        let order = order().amount(minor);
        let plan = plan(&rules, &given, &order.subject(), 0);
        assert_eq!(kept(&plan), channels, "{minor}");
        assert_eq!(plan.kept.iter().map(|kept| kept.standing).collect::<Vec<_>>(), costs);
    }
}

#[test]
fn a_gap_in_a_fee_schedule_is_not_a_cheap_channel() {
    let world = world(|profile, _| {
        if profile.id.as_str() == "acquirer" {
            profile.fees = Arc::new(FeeSchedule::default());
        }
    });
    let target =
        RouteTarget::named(Strategy::LowestCost, ids(&["acquirer", "bank"])).expect("channels");
    let (rules, given) = ([rule("cheap", Vec::new(), target)], world.channels());
    let order = order();
    let said = explain(&rules, &given, &order.subject(), 0);
    assert_eq!(kept(&said.plan), ["bank", "acquirer"]);
    let verdict =
        |place, standing: &str| CandidateVerdict::Kept { place, standing: standing.into() };
    let last = verdict(2, "no fee rule of the channel fits, so it comes last");
    assert_eq!(said.rules[0].candidates[0].verdict, last);
    assert_eq!(said.rules[0].candidates[1].verdict, verdict(1, "a fee of 600 minor units"));
}

#[test]
fn the_highest_success_rate_comes_first_and_equals_keep_their_order() {
    let world = world(|profile, health| {
        health.success_rate = FoundRate::of_health(match profile.id.as_str() {
            "bank" | "unionpay" => 990_000,
            "direct" => 999_999,
            _ => 980_000,
        });
    });
    let names = ["unionpay", "city-bank", "bank", "acquirer", "direct"];
    let target = RouteTarget::named(Strategy::SuccessRate, ids(&names)).expect("channels");
    let (rules, given, order) = ([rule("best", Vec::new(), target)], world.channels(), order());
    let named = plan(&rules, &given, &order.subject(), 0);
    assert_eq!(kept(&named), ["direct", "unionpay", "bank", "city-bank", "acquirer"]);
    let default = [Rule::default_rule()];
    let every = plan(&default, &given, &order.subject(), 0);
    assert_eq!(kept(&every), ["direct", "bank", "unionpay", "acquirer", "city-bank"]);
}

/// How often each order of channels comes out, over every draw from 0 to one below `draws`.
fn orders_drawn(weights: &[(&str, u32)], world: &World, draws: u64) -> BTreeMap<Vec<String>, u64> {
    let weights = weights.iter().map(|(name, weight)| (id(name), *weight)).collect();
    let target = RouteTarget::weighted(weights).expect("weights above 0");
    let (rules, given, order) = ([rule("shares", Vec::new(), target)], world.channels(), order());
    let mut counts = BTreeMap::new();
    for draw in 0..draws {
        let plan = plan(&rules, &given, &order.subject(), draw);
        let names = kept(&plan).into_iter().map(str::to_owned).collect();
        *counts.entry(names).or_default() += 1;
    }
    counts
}

#[test]
fn every_draw_taken_together_gives_each_order_its_exact_share() {
    // Six first draws, then a total of 5, 4 or 3 is left: 60 is a multiple of each.
    let weights = [("bank", 1), ("direct", 2), ("unionpay", 3)];
    let well = world(|_, _| {});
    let draws = 6 * 60;
    let counts = orders_drawn(&weights, &well, draws);
    let share = |first: u64, second: u64| draws * first / 6 * second / (6 - first);
    let rows = [
        (["bank", "direct", "unionpay"], share(1, 2)),
        (["bank", "unionpay", "direct"], share(1, 3)),
        (["direct", "bank", "unionpay"], share(2, 1)),
        (["direct", "unionpay", "bank"], share(2, 3)),
        (["unionpay", "bank", "direct"], share(3, 1)),
        (["unionpay", "direct", "bank"], share(3, 2)),
    ];
    assert_eq!(rows.iter().map(|(_, count)| count).sum::<u64>(), draws);
    for (names, count) in rows {
        assert_eq!(counts.get(&names.map(str::to_owned)[..]), Some(&count), "{names:?}");
    }
}

#[test]
fn later_draws_do_not_depend_on_earlier_ones() {
    let weights = [("acquirer", 1), ("bank", 1), ("direct", 1), ("unionpay", 1)];
    let counts = orders_drawn(&weights, &world(|_, _| {}), 24);
    assert_eq!(counts.len(), 24, "each order of four channels once");
}

#[test]
fn a_draw_that_is_used_up_leaves_the_rest_in_their_order() {
    let target = RouteTarget::named(Strategy::Weighted, ids(&NAMES)).expect("channels, each once");
    let (rules, world, order) = ([rule("even", Vec::new(), target)], world(|_, _| {}), order());
    let given = world.channels();
    let third = plan(&rules, &given, &order.subject(), 3);
    assert_eq!(kept(&third), ["direct", "acquirer", "bank", "city-bank", "unionpay"]);
}

#[test]
fn a_struck_channels_share_falls_to_the_others_in_proportion() {
    let weights = [("bank", 80), ("direct", 15), ("unionpay", 5)];
    let without_bank = world(|profile, _| profile.enabled = profile.id.as_str() != "bank");
    let counts = orders_drawn(&weights, &without_bank, 20);
    let both = |names: [&str; 2]| counts.get(&names.map(str::to_owned)[..]).copied();
    assert_eq!(both(["direct", "unionpay"]), Some(15));
    assert_eq!(both(["unionpay", "direct"]), Some(5));
}

#[test]
fn weights_and_draws_at_their_limits_still_give_every_channel() {
    let target = RouteTarget::weighted(NAMES.map(|name| (id(name), WEIGHT_MAX)).to_vec());
    let rules = [rule("heavy", Vec::new(), target.expect("weights in their range"))];
    let world = world(|_, _| {});
    let (given, order) = (world.channels(), order());
    for draw in [0, 1, u64::MAX / 2, u64::MAX - 1, u64::MAX] {
        let plan = plan(&rules, &given, &order.subject(), draw);
        assert_eq!(kept(&plan).into_iter().collect::<BTreeSet<_>>(), BTreeSet::from(NAMES));
    }
}

#[test]
fn a_target_names_each_channel_once_with_a_weight() {
    let weights = |rows: &[(&str, u32)]| {
        RouteTarget::weighted(rows.iter().map(|(name, weight)| (id(name), *weight)).collect()).err()
    };
    assert_eq!(weights(&[("bank", 1), ("direct", WEIGHT_MAX)]), None);
    assert_eq!(weights(&[]), Some(TargetError::Empty));
    assert_eq!(weights(&[("bank", 1), ("direct", 0)]), Some(TargetError::Weight { place: 1 }));
    let heavy = WEIGHT_MAX + 1;
    assert_eq!(weights(&[("bank", heavy)]), Some(TargetError::Weight { place: 0 }));
    let twice = RouteTarget::named(Strategy::Priority, ids(&["bank", "direct", "bank"]));
    assert_eq!(twice, Err(TargetError::Repeated { place: 2 }));
}
