//! Reads `[[fees]]` of a channel's file: what the channel charges, from when on, and for what.

use crate::config::section::Section;
use crate::domain::bin::CardType;
use crate::domain::fee::{FeeRule, FeeSchedule, RATE_PPM_WHOLE, RefundFee};
use crate::domain::ids::MerchantCategory;
use crate::domain::money::AMOUNT_MINOR_MAX;
use crate::domain::time::BusinessDate;

/// Reads the schedule. Mistakes go to the section's collector.
pub(super) fn read(root: &Section<'_>) -> FeeSchedule {
    let mut rules: Vec<FeeRule> = Vec::new();
    for section in root.sections("fees") {
        let rule = read_rule(&section);
        check(&section, &rule, &rules);
        rules.push(rule);
        section.finish();
    }
    FeeSchedule { rules }
}

fn read_rule(section: &Section<'_>) -> FeeRule {
    let card_types = CardType::ALL.map(|kind| (kind.name(), kind));
    let refunds = RefundFee::ALL.map(|policy| (policy.name(), policy));
    let amounts = 0..=AMOUNT_MINOR_MAX;
    FeeRule {
        name: section.text_such_as("name", "debit"),
        from: read_date(section, "from"),
        until: read_date(section, "until"),
        is_payout: section.choice_or("operation", false, &[("payment", false), ("payout", true)]),
        card_types: section.optional_choices("card_types", &card_types).unwrap_or_default(),
        categories: read_categories(section),
        from_minor: section.integer_or("from_minor", 0, amounts.clone()),
        to_minor: section.integer_or("to_minor", AMOUNT_MINOR_MAX, amounts.clone()),
        rate_ppm: section.integer_or("rate_ppm", 0, 0..=RATE_PPM_WHOLE),
        fixed_minor: section.integer_or("fixed_minor", 0, amounts.clone()),
        minimum_minor: section.integer_or("minimum_minor", 0, amounts.clone()),
        cap_minor: section.optional_integer("cap_minor", amounts),
        refund: section.choice_or("refund", RefundFee::Keep, &refunds),
    }
}

fn read_date(section: &Section<'_>, key: &str) -> Option<BusinessDate> {
    section.optional_parsed(key, "2026-10-01", |text| {
        let date = text.is_ascii().then(|| BusinessDate::parse(text)).flatten();
        date.ok_or("is not a date like 2026-10-01")
    })
}

fn read_categories(section: &Section<'_>) -> Vec<MerchantCategory> {
    let mut categories = Vec::new();
    let texts = section.optional_texts("merchant_categories").unwrap_or_default();
    for (index, text) in texts.iter().enumerate() {
        match MerchantCategory::parse(text) {
            Some(category) => categories.push(category),
            None => section.mistake_in(
                "merchant_categories",
                index,
                "is not a merchant category",
                "write its four digits, such as \"8062\"",
            ),
        }
    }
    categories
}

fn check(section: &Section<'_>, rule: &FeeRule, before: &[FeeRule]) {
    if rule.from_minor > rule.to_minor {
        section.mistake("to_minor", "is below from_minor", "make the tier's end its start");
    }
    if rule.from.zip(rule.until).is_some_and(|(from, until)| until < from) {
        section.mistake("until", "is before `from`", "give the last day that it holds");
    }
    if rule.cap_minor.is_some_and(|cap| cap < rule.minimum_minor) {
        section.mistake("cap_minor", "is below minimum_minor", "raise it, or leave it out");
    }
    if before.iter().any(|other| other.name == rule.name && other.overlaps(rule)) {
        let problem = "another fee has this name, and holds on some of the same dates";
        let advice = "records name the rule: choose another name, or end the older one before";
        section.mistake("name", problem, advice);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::mistake::Mistakes;
    use crate::config::raw::Document;

    fn schedule(text: &str) -> (FeeSchedule, Vec<String>) {
        let document = Document::parse("a.toml", text).expect("the syntax is right");
        let mistakes = Mistakes::new();
        let root = document.root(&mistakes);
        let schedule = read(&root);
        root.finish();
        let found = mistakes.into_result().err().unwrap_or_default();
        (schedule, found.iter().map(ToString::to_string).collect())
    }

    const CHANGE: &str = r#"
[[fees]]
name = "debit"
until = "2026-09-30"
card_types = ["debit"]
merchant_categories = ["5411", "0742"]
rate_ppm = 6000
refund = "return_when_whole"
[[fees]]
name = "debit"
from = "2026-10-01"
rate_ppm = 5000
"#;

    #[test]
    fn a_rate_changes_under_its_name() {
        let (schedule, mistakes) = schedule(CHANGE);
        assert_eq!(mistakes, Vec::<String>::new());
        let [old, new] = &schedule.rules[..] else { panic!("two rules") };
        assert_eq!(old.until.map(|date| date.to_string()).as_deref(), Some("2026-09-30"));
        let categories: Vec<String> = old.categories.iter().map(ToString::to_string).collect();
        assert_eq!(categories, ["5411", "0742"]);
        assert_eq!((old.refund, new.refund), (RefundFee::ReturnWhenWhole, RefundFee::Keep));
        assert_eq!(new.from.map(|date| date.yyyymmdd()), Some(20_261_001));
    }

    #[test]
    fn mistakes_name_their_lines() {
        let rows = [
            ("from = \"2026-10-01\"", "from = \"2026-09-30\"", "a.toml:10: fees[1].name"),
            ("from = \"2026-10-01\"", "", "a.toml:10: fees[1].name"),
            ("2026-10-01", "2026-10-32", "a.toml:11: fees[1].from"),
            ("2026-10-01", "1 October", "a.toml:11: fees[1].from"),
            ("rate_ppm = 5000", "until = \"2026-09-30\"", "a.toml:12: fees[1].until"),
            ("\"0742\"", "\"742\"", "a.toml:6: fees[0].merchant_categories[1]"),
            ("return_when_whole", "full", "a.toml:8: fees[0].refund"),
            ("rate_ppm = 5000", "cap_minor = 1\nminimum_minor = 2", "a.toml:12: fees[1].cap_min"),
            ("rate_ppm = 5000", "from_minor = 2\nto_minor = 1", "a.toml:13: fees[1].to_minor"),
        ];
        for (from, to, expected) in rows {
            let changed = CHANGE.replacen(from, to, 1);
            assert_ne!(changed, CHANGE, "{from}");
            let (_, mistakes) = schedule(&changed);
            assert!(mistakes.iter().any(|m| m.starts_with(expected)), "{to}: {mistakes:?}");
        }
    }
}
