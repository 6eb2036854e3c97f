//! `[four_eyes]`: which of an operator's actions need a second person.

use std::time::Duration;

use crate::config::section::Section;
use crate::domain::closed_set;
use crate::domain::money::{AMOUNT_MINOR_MAX, AmountMinor, Currency};

closed_set! {
    /// Which turns of a channel's switch need a second person.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum HeldSwitch {
        Never => "never",
        /// Orders go to the channel again; to stop it is urgent, and one person's business.
        On => "on",
        Both => "both",
    }
}

/// Above which amount something needs a second person, in minor units of each currency.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AmountBounds(Vec<(Currency, i64)>);

impl AmountBounds {
    /// The most that needs no second person; `None` where nothing does. Where any currency has a
    /// bound, one that has none needs two people at once: an amount that nobody thought of is not
    /// small.
    pub fn most_minor(&self, currency: Currency) -> Option<i64> {
        let bound = self.0.iter().find(|(of, _)| *of == currency).map(|(_, bound)| *bound);
        (!self.0.is_empty()).then(|| bound.unwrap_or(0))
    }

    /// Whether this amount needs a second person.
    pub fn are_passed_by(&self, amount: AmountMinor, currency: Currency) -> bool {
        self.most_minor(currency).is_some_and(|most| amount.get() > most)
    }
}

/// What needs a second person; by default nothing does.
#[derive(Debug, Clone)]
pub struct FourEyesSettings {
    pub refunds_above: AmountBounds,
    pub resolves_above: AmountBounds,
    pub remedies: bool,
    pub forced_bin_table: bool,
    pub channel_switch: HeldSwitch,
    /// A request that nobody decided for so long expires.
    pub expires_after: Duration,
}

impl FourEyesSettings {
    /// Whether turning a channel's switch needs a second person.
    pub fn holds_switch(&self, enabled: bool) -> bool {
        match self.channel_switch {
            HeldSwitch::Never => false,
            HeldSwitch::On => enabled,
            HeldSwitch::Both => true,
        }
    }

    /// `operators`: how many people there are who could approve.
    pub(super) fn read(root: &Section<'_>, operators: usize) -> Self {
        let section = root.section("four_eyes");
        let hours = Duration::from_secs(60)..=Duration::from_secs(30 * 24 * 60 * 60);
        let settings = Self {
            refunds_above: read_bounds(&section, "refunds_above"),
            resolves_above: read_bounds(&section, "resolves_above"),
            remedies: section.boolean("remedies"),
            forced_bin_table: section.boolean("forced_bin_table"),
            channel_switch: section
                .choice("channel_switch", &HeldSwitch::ALL.map(|rule| (rule.name(), rule))),
            expires_after: section.duration("expires_after", hours),
        };
        let held = [
            ("refunds_above", !settings.refunds_above.0.is_empty()),
            ("resolves_above", !settings.resolves_above.0.is_empty()),
            ("remedies", settings.remedies),
            ("forced_bin_table", settings.forced_bin_table),
            ("channel_switch", settings.channel_switch != HeldSwitch::Never),
        ];
        if let Some((key, _)) = held.iter().find(|(_, is_held)| *is_held)
            && operators < 2
        {
            let problem = "needs a second person, and fewer than two people are operators";
            let advice = "give each operator a key in [[callers]] with the role operator; keys of \
                          one person have the same `person`";
            section.mistake(key, problem, advice);
        }
        section.finish();
        settings
    }
}

fn read_bounds(section: &Section<'_>, key: &str) -> AmountBounds {
    let inner = section.section(key);
    let mut bounds = Vec::new();
    for (name, _) in inner.keys() {
        let bound = inner.integer::<i64>(name, 0..=AMOUNT_MINOR_MAX);
        match Currency::parse(name) {
            Some(currency) => bounds.push((currency, bound)),
            None => inner.mistake(name, "is no currency", "give one as CNY = 100000, in fen"),
        }
    }
    inner.finish();
    AmountBounds(bounds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_is_held_above_its_bound_and_where_none_was_thought_of() {
        let amount = |minor| AmountMinor::new(minor).expect("an amount");
        let none = AmountBounds::default();
        assert!(!none.are_passed_by(amount(AMOUNT_MINOR_MAX), Currency::Cny), "nothing is held");
        let bounds = AmountBounds(vec![(Currency::Cny, 10_000)]);
        assert!(!bounds.are_passed_by(amount(10_000), Currency::Cny));
        assert!(bounds.are_passed_by(amount(10_001), Currency::Cny));
        assert!(bounds.are_passed_by(amount(1), Currency::Usd), "no bound of its own");
        assert_eq!(
            (none.most_minor(Currency::Cny), bounds.most_minor(Currency::Usd)),
            (None, Some(0))
        );
    }
}
