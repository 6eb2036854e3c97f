//! Routes files, good and bad, and what a reload does with them.

use std::path::PathBuf;

use proptest::prelude::*;

use super::*;

fn reload(live: &LiveRoutes) -> Result<ReloadResult, RoutesRefusal> {
    live.read_again(&known()).map(|read| live.put_in_force(read))
}
use crate::domain::bin::CardType;
use crate::domain::route::condition::Condition;
use crate::domain::route::{RouteTarget, Strategy};

const GOOD: &str = r#"
time_zone = "Asia/Shanghai"

[[rule]]
name = "large credit cards go to the bank"
when = { card_types = ["credit"], amount_from_minor = 100000, hours = "08:00-20:00" }
strategy = "priority"
channels = ["harbour-bank", "unionpay"]

[[rule]]
name = "one bank's own cards are shared"
strategy = "weighted"
channels = ["harbour-bank", "unionpay"]
weights = [80, 20]
fall_through = true

[rule.when]
issuer_codes = ["0102", "03070010"]
bin_prefixes = ["622848", "4"]
brands = ["unionpay"]
currencies = ["CNY"]
settlements = ["escrow"]
merchants = ["shop-1"]
operations = ["payment"]
hours = ["00:00-01:00", "22:00-24:00"]
time_zone = "UTC"

[[rule]]
name = "the cheapest of all"
strategy = "lowest_cost"
"#;

fn known() -> Vec<ChannelId> {
    ["harbour-bank", "unionpay"].map(|id| ChannelId::parse(id).expect("a channel id")).to_vec()
}

fn mistakes(text: &str) -> Vec<String> {
    let found = read("routes.toml", text, &known()).expect_err("a text with mistakes");
    found.iter().map(Mistake::to_string).collect()
}

#[test]
fn a_routes_file_becomes_rules() {
    let routes = read("routes.toml", GOOD, &known()).expect("a good file");
    assert_eq!(routes.origin, Origin::File);
    let [large, own, rest] = routes.rules.as_slice() else { panic!("three rules") };
    assert_eq!(large.name, "large credit cards go to the bank");
    assert_eq!(large.target.strategy(), Strategy::Priority);
    assert!(!large.fall_through);
    let names: Vec<_> = large.conditions.iter().map(Condition::name).collect();
    assert_eq!(names, ["amount", "card_types", "hours"]);
    assert_eq!(large.conditions[1], Condition::CardTypes(vec![CardType::Credit]));
    let Condition::Hours(hours) = &large.conditions[2] else { panic!("hours come last") };
    assert_eq!(hours.to_string(), "08:00-20:00 (Asia/Shanghai)");

    assert!(own.fall_through);
    assert_eq!(own.conditions.len(), 8);
    let Some(Condition::Hours(hours)) = own.conditions.last() else { panic!("hours come last") };
    assert_eq!(hours.to_string(), "00:00-01:00, 22:00-24:00 (UTC)");
    let expected = RouteTarget::weighted(known().into_iter().zip([80, 20]).collect());
    assert_eq!(Ok(&own.target), expected.as_ref());

    assert_eq!(rest.target, RouteTarget::every_live(Strategy::LowestCost));
    assert_eq!(rest.conditions, []);
}

#[test]
fn one_amount_is_a_range_and_hours_take_the_files_zone() {
    let text = r#"
time_zone = "Asia/Tokyo"
[[rule]]
name = "exactly one yuan by day"
strategy = "success_rate"
when = { amount_from_minor = 100, amount_to_minor = 100, hours = "08:00-20:00" }
"#;
    let routes = read("routes.toml", text, &known()).expect("a good file");
    let [amount, hours] = routes.rules[0].conditions.as_slice() else { panic!("two conditions") };
    assert_eq!(*amount, Condition::Amount { from_minor: 100, to_minor: 100 });
    let Condition::Hours(hours) = hours else { panic!("hours come last") };
    assert_eq!(hours.to_string(), "08:00-20:00 (Asia/Tokyo)");
}

#[test]
fn every_mistake_is_reported_with_line_and_advice() {
    let text = r#"
[[rule]]
name = "first"
when = { card_types = ["credit", "gold"], amount_from_minor = 500, amount_to_minor = 100 }
strategy = "priority"
channels = ["harbour-bank", "harbor-bank", "harbour-bank"]

[[rule]]
name = "second"
strategy = "weighted"
channels = ["harbour-bank", "unionpay"]
weights = [0, 20]

[[rule]]
name = "third"
strategy = "weighted"
channels = ["harbour-bank", "unionpay"]
weights = [80]
fall_through = true
fallthrough = true

[[rule]]
name = "third"
when = { hours = "8-20", bin_prefixes = ["62284x"], issuer_codes = ["010"], brands = [] }
strategy = "success_rate"
channels = []
weights = [1]

[[rule]]
strategy = "cheapest"

[[rule]]
name = "sixth"
when = { time_zone = "Asia/Peking", merchants = ["a b"] }
strategy = "priority"
"#;
    let expected = [
        "routes.toml:4: rule[0].when.amount_to_minor: 100 lies below amount_from_minor, 500; \
         no amount fits; exchange the two",
        "routes.toml:4: rule[0].when.card_types[1]: \"gold\" is not allowed; \
         allowed: debit, credit, quasi_credit, prepaid",
        "routes.toml:6: rule[0].channels[1]: there is no channel \"harbor-bank\"; \
         known channels: harbour-bank, unionpay",
        "routes.toml:6: rule[0].channels[2]: is named twice in this rule; name it once",
        "routes.toml:12: rule[1].weights[0]: 0 is out of range; \
         write a whole number from 1 to 1000000",
        "routes.toml:15: rule[2].name: is never reached: the rule of line 9 fits every order; \
         move it above that rule, or remove it",
        "routes.toml:18: rule[2].weights: 1 weights are given for 2 channels; \
         give one weight for each channel",
        "routes.toml:20: rule[2].fallthrough: is not a known setting; did you mean fall_through?",
    ];
    let found = mistakes(text);
    assert_eq!(found[..expected.len()], expected, "{found:#?}");
    let rest = found[expected.len()..].join("\n");
    for piece in [
        "routes.toml:23: rule[3].name: is the name of the rule of line 15 too",
        "rule[3].when.hours: is not of the form HH:MM-HH:MM; write for example \"08:00-20:00\"",
        "rule[3].when.bin_prefixes[0]: has a character that is not a digit",
        "rule[3].when.issuer_codes[0]: has not 4 or 8 digits",
        "rule[3].when.brands: is an empty list; name at least one, or leave it out for all",
        "rule[3].channels: the rule names no channel",
        "rule[3].weights: only weighted rules have weights",
        "rule[4].name: is missing",
        "rule[4].strategy: \"cheapest\" is not allowed",
        "rule[5].when.time_zone: is no time zone of the IANA database",
        "rule[5].when.time_zone: only hours have a time zone",
        "rule[5].when.merchants[0]: only letters, digits and . _ : - are allowed",
        "rule[5].channels: is missing; add `channels = [\"...\"]` under this [[rule]]",
    ] {
        assert!(rest.contains(piece), "{piece}\n{rest}");
    }
}

#[test]
fn a_file_without_rules_or_with_too_many_is_refused() {
    let empty = "routes.toml: rule: the file has no rule, so no order would find a channel; \
                 add a [[rule]], or remove the file for the default rule";
    assert_eq!(mistakes(""), [empty]);
    assert_eq!(mistakes("# nothing yet\nrule = []").len(), 1);
    let rule = |number| {
        format!("[[rule]]\nname = \"{number}\"\nstrategy = \"lowest_cost\"\nfall_through = true\n")
    };
    let many: String = (0..=RULES_MAX).map(rule).collect();
    assert!(mistakes(&many)[0].contains("the file has 1001 rules; keep at most 1000"));
    let full: String = (0..RULES_MAX).map(rule).collect();
    assert_eq!(
        read("routes.toml", &full, &known()).map(|routes| routes.rules.len()),
        Ok(RULES_MAX)
    );
}

#[test]
fn a_name_stands_on_one_line() {
    for name in ["", " ", "a ", "a\\nb", &"x".repeat(81)] {
        let text = format!("[[rule]]\nname = \"{name}\"\nstrategy = \"lowest_cost\"\n");
        let found = mistakes(&text);
        assert_eq!(found.len(), 1, "{found:#?}");
        assert!(found[0].contains("rule[0].name: is no name that can be shown on one line"));
    }
    let text = "[[rule]]\nname = 1\nstrategy = \"lowest_cost\"\n";
    assert_eq!(mistakes(text).len(), 1);
}

#[test]
fn a_rule_whose_conditions_are_mistaken_does_not_close_the_list() {
    let text = "[[rule]]\nname = \"a\"\nstrategy = \"lowest_cost\"\nwhen = { card_tpes = [] }\n\
                [[rule]]\nname = \"b\"\nstrategy = \"lowest_cost\"\n";
    let found = mistakes(text);
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(found[0].ends_with("is not a known setting; did you mean card_types?"), "{found:?}");
}

proptest! {
    #[test]
    fn any_text_gives_routes_or_mistakes(
        lines in prop::collection::vec(prop::sample::select(Vec::from_iter(GOOD.lines())), 0..30),
        noise in "[\\[\\]{}\"=, a-z0-9\n]{0,40}",
    ) {
        let text = format!("{}\n{noise}", lines.join("\n"));
        match read("routes.toml", &text, &known()) {
            Ok(routes) => prop_assert!(!routes.rules.is_empty()),
            Err(found) => prop_assert!(!found.is_empty()),
        }
    }
}

#[test]
fn a_mistake_of_kind_is_reported_once() {
    let text = r#"
[[rule]]
name = "x"
when = { hours = 8.5, card_types = [1.5] }
strategy = "weighted"
channels = ["harbour-bank", "unionpay"]
weights = [0.8, 0.2]
"#;
    assert_eq!(mistakes(text).len(), 4, "{:#?}", mistakes(text));
}

#[test]
fn i_11_a_card_number_in_the_file_is_not_repeated() {
    let text = "[[rule]]\nname = \"x\"\nstrategy = \"priority\"\n\
                channels = [\"6216261000000000018\"]\n\
                when = { bin_prefixes = [\"6216261000000000018\"] }\n";
    for line in mistakes(text) {
        assert!(!line.contains("6216261000"), "{line}");
    }
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    fn file(&self) -> PathBuf {
        self.0.path().join("routes.toml")
    }

    fn write(&self, bytes: impl AsRef<[u8]>) {
        std::fs::write(self.file(), bytes).expect("a file for the test");
    }
}

#[test]
fn without_a_file_every_live_channel_is_tried_by_success_rate() {
    let folder = Folder::new();
    let live = LiveRoutes::load(&folder.file(), &known()).expect("the default rule");
    assert_eq!(*live.current(), Routes::default_routes());
    assert_eq!(live.current().rules[0].target, RouteTarget::every_live(Strategy::SuccessRate));
    assert_eq!(reload(&live).expect("still none"), ReloadResult { rules: 1, changed: false });
    folder.write(GOOD);
    assert_eq!(reload(&live).expect("a file"), ReloadResult { rules: 3, changed: true });
    assert_eq!(reload(&live).expect("the same"), ReloadResult { rules: 3, changed: false });
    assert_eq!(live.path(), folder.file());
}

#[test]
fn a_refused_reload_leaves_the_running_routes() {
    let folder = Folder::new();
    folder.write(GOOD);
    let live = LiveRoutes::load(&folder.file(), &known()).expect("a good file");
    let running = live.current();
    folder.write(GOOD.replace("harbour-bank", "harbor-bank"));
    let refusal = reload(&live).expect_err("an unknown channel");
    assert_eq!(refusal.to_string(), "the routes file has 2 mistakes");
    folder.write(b"[[rule]]\nname = \"\xff\"\n");
    let RoutesRefusal::Mistaken { mistakes } = reload(&live).expect_err("not UTF-8") else {
        panic!("a mistake with its line");
    };
    assert!(mistakes[0].to_string().ends_with(":2: is not UTF-8; save the file as UTF-8"));
    folder.write(" ".repeat(TEXT_BYTES_MAX + 1));
    assert!(matches!(reload(&live), Err(RoutesRefusal::Mistaken { .. })), "too long");
    std::fs::remove_file(folder.file()).expect("the file");
    assert!(matches!(reload(&live), Err(RoutesRefusal::Gone { .. })));
    std::fs::create_dir(folder.file()).expect("a folder in its place");
    assert!(matches!(reload(&live), Err(RoutesRefusal::Unreadable { .. })));
    assert!(matches!(
        LiveRoutes::load(&folder.file(), &known()),
        Err(RoutesRefusal::Unreadable { .. })
    ));
    assert!(Arc::ptr_eq(&running, &live.current()), "what was running stays");
}

#[test]
fn a_reload_swaps_the_routes_whole_and_leaves_plans_under_way_alone() {
    let folder = Folder::new();
    folder.write(GOOD);
    let live = LiveRoutes::load(&folder.file(), &known()).expect("a good file");
    let held = live.current();
    folder.write("[[rule]]\nname = \"only\"\nstrategy = \"success_rate\"\n");
    reload(&live).expect("a good file");
    assert_eq!(held.rules.len(), 3);
    assert_eq!(live.current().rules.len(), 1);
}
