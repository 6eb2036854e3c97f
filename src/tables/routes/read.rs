//! The words of a routes file, turned into rules; every mistake is reported, not only the first.
//!
//! It must not know files: a text comes in.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use jiff::tz::TimeZone;

use super::{Origin, Routes};
use crate::config::mistake::{Mistake, Mistakes};
use crate::config::raw::{Document, Tree};
use crate::config::section::Section;
use crate::domain::attempt::Operation;
use crate::domain::bin::{Brand, CardType};
use crate::domain::card_service::CardService;
use crate::domain::ids::{ChannelId, MerchantId};
use crate::domain::instrument::InstrumentKind;
use crate::domain::money::{AMOUNT_MINOR_MAX, Currency};
use crate::domain::order::SettlementMode;
use crate::domain::route::condition::{CardPrefix, Condition, INSTITUTION_DIGITS};
use crate::domain::route::hours::{DayWindow, Hours};
use crate::domain::route::{RouteTarget, Rule, Strategy, TargetError, WEIGHT_MAX};

/// The most rules of a file: each order may have to look at all of them.
pub const RULES_MAX: usize = 1_000;

/// The zone of hours that name none: that of UnionPay and of the banks behind it.
const TIME_ZONE: &str = "Asia/Shanghai";

/// Digits of an institution code with its region (UnionPay).
const ISSUER_CODE_DIGITS: usize = 8;

/// The longest name of a rule, in characters: the name stands in every order and in every log line.
const NAME_LENGTH_MAX: usize = 80;

/// How many channels an advice lists.
const LISTED_MAX: usize = 20;

/// Reads a routes file, or says everything that is wrong with it.
///
/// `file` is its name in mistakes; `known` are the ids of all channels that have a file.
pub fn read(file: &str, text: &str, known: &[ChannelId]) -> Result<Routes, Vec<Mistake>> {
    let document = Document::parse(file, text)?;
    let mistakes = Mistakes::new();
    let root = document.root(&mistakes);
    let zone = zone(&root).unwrap_or_else(|| {
        TimeZone::get(TIME_ZONE).expect("the zone data of all zones is compiled in")
    });
    let sections = root.sections("rule");
    if sections.is_empty() {
        let advice = "add a [[rule]], or remove the file for the default rule";
        root.mistake("rule", "the file has no rule, so no order would find a channel", advice);
    } else if sections.len() > RULES_MAX {
        let problem = format!("the file has {} rules", sections.len());
        root.mistake("rule", &problem, &format!("keep at most {RULES_MAX}"));
    }
    let mut rules = Vec::new();
    let mut earlier = EarlierRules::default();
    for section in sections.into_iter().take(RULES_MAX) {
        let reader = RuleReader { section: &section, mistakes: &mistakes, known };
        let rule = reader.rule(&zone, &mut earlier);
        section.finish();
        rules.extend(rule);
    }
    root.finish();
    mistakes.into_result()?;
    Ok(Routes { rules, origin: Origin::File })
}

/// The facts about earlier rules that later ones are checked against.
#[derive(Default)]
struct EarlierRules {
    /// The line of each name.
    names: BTreeMap<String, usize>,
    /// The line of the first rule that fits every order and decides.
    closed_by: Option<usize>,
}

impl EarlierRules {
    fn check_reached(&self, section: &Section<'_>) {
        if let Some(closed) = self.closed_by {
            let problem = format!("is never reached: the rule of line {closed} fits every order");
            section.mistake("name", &problem, "move it above that rule, or remove it");
        }
    }

    fn check_name(&mut self, section: &Section<'_>, name: &str) {
        let line = section.line_of("name");
        if let Some(first) = self.names.insert(name.to_owned(), line) {
            let problem = format!("is the name of the rule of line {first} too");
            section.mistake("name", &problem, "give each rule a name of its own");
        }
    }
}

/// Reads one section: a `[[rule]]`, or the `when` of one.
struct RuleReader<'a> {
    section: &'a Section<'a>,
    mistakes: &'a Mistakes,
    known: &'a [ChannelId],
}

/// A list as it was read.
struct ParsedList<T> {
    values: Vec<T>,
    /// Elements of another kind were reported and left out, so nothing can be said of its length.
    has_gaps: bool,
}

impl RuleReader<'_> {
    /// `None` if a mistake was reported that leaves no rule.
    fn rule(&self, file_zone: &TimeZone, earlier: &mut EarlierRules) -> Option<Rule> {
        earlier.check_reached(self.section);
        let name = self.name(earlier);
        let before = self.mistakes.count();
        let conditions = match self.section.optional_section("when") {
            Some(when) => {
                let reader =
                    RuleReader { section: &when, mistakes: self.mistakes, known: self.known };
                let conditions = reader.conditions(file_zone);
                when.finish();
                conditions
            }
            None => Vec::new(),
        };
        // A condition that is a mistake is missing here, but its rule does not fit every order.
        let fits_all = conditions.is_empty() && self.mistakes.count() == before;
        let target = self.target();
        let fall_through = self.section.boolean_or("fall_through", false);
        if fits_all && !fall_through && earlier.closed_by.is_none() {
            earlier.closed_by = Some(self.section.line_of("name"));
        }
        Some(Rule { name, conditions, target: target?, fall_through })
    }

    fn name(&self, earlier: &mut EarlierRules) -> String {
        let before = self.mistakes.count();
        let name = self.section.text_such_as("name", "debit cards go to the bank");
        if self.mistakes.count() != before {
            return name;
        }
        let fits = (1..=NAME_LENGTH_MAX).contains(&name.chars().count());
        if fits && name.trim() == name && !name.contains(char::is_control) {
            earlier.check_name(self.section, &name);
        } else {
            let problem = "is no name that can be shown on one line";
            let advice = format!("write 1 to {NAME_LENGTH_MAX} characters, no space around them");
            self.section.mistake("name", problem, &advice);
        }
        name
    }

    fn target(&self) -> Option<RouteTarget> {
        let strategy = self.strategy();
        let ranked_by_list = match strategy {
            Some(Strategy::Priority | Strategy::Weighted) => true,
            Some(Strategy::LowestCost | Strategy::SuccessRate) | None => false,
        };
        let names = self.channel_names(ranked_by_list);
        let weights = self.weights(strategy, names.as_ref());
        let strategy = strategy?;
        let Some(names) = names else {
            let every_live = !self.section.has("channels") && !ranked_by_list;
            return every_live.then(|| RouteTarget::every_live(strategy));
        };
        let (places, channels) = self.known_channels(&names.values);
        let target = match weights {
            Some(weights) => {
                let weight = |place: &usize| weights.get(*place).copied().unwrap_or(1);
                let weights: Vec<u32> = places.iter().map(weight).collect();
                RouteTarget::weighted(channels.into_iter().zip(weights).collect())
            }
            None => RouteTarget::named(strategy, channels),
        };
        target.map_err(|error| self.report_target(error, &places)).ok()
    }

    fn strategy(&self) -> Option<Strategy> {
        let allowed = Strategy::ALL.map(|strategy| (strategy.name(), strategy));
        if self.section.has("strategy") {
            return self.section.optional_choice("strategy", &allowed);
        }
        self.section.choice("strategy", &allowed);
        None
    }

    fn report_target(&self, error: TargetError, places: &[usize]) {
        let of = |place: usize| places.get(place).copied().unwrap_or(place);
        match error {
            // The list was empty, or nothing in it was a known channel: both were reported.
            TargetError::Empty => {}
            TargetError::Repeated { place } => {
                let problem = "is named twice in this rule";
                self.section.mistake_in("channels", of(place), problem, "name it once");
            }
            TargetError::Weight { place } => {
                let advice = format!("write a whole number from 1 to {WEIGHT_MAX}");
                self.section.mistake_in("weights", of(place), &error.to_string(), &advice);
            }
        }
    }

    /// The names as given; `None` if the key is absent or no list.
    fn channel_names(&self, is_required: bool) -> Option<ParsedList<String>> {
        let names = self.parse_list(|section| match is_required && !section.has("channels") {
            true => {
                section.texts("channels");
                None
            }
            false => section.optional_texts("channels"),
        })?;
        if names.values.is_empty() && !names.has_gaps {
            let advice = match is_required {
                true => "name at least one channel",
                false => "name at least one channel, or leave it out for every live channel",
            };
            self.section.mistake("channels", "the rule names no channel", advice);
        }
        Some(names)
    }

    /// The channels that there are, each with its place in the list.
    fn known_channels(&self, names: &[String]) -> (Vec<usize>, Vec<ChannelId>) {
        let mut found = Vec::with_capacity(names.len());
        for (place, name) in names.iter().enumerate() {
            match self.known.iter().find(|id| id.as_str() == name) {
                Some(id) => found.push((place, id.clone())),
                None => self.report_unknown(place, name),
            }
        }
        found.into_iter().unzip()
    }

    fn report_unknown(&self, place: usize, name: &str) {
        let shown: String = name.chars().take(40).collect();
        let ids: Vec<&str> = self.known.iter().take(LISTED_MAX).map(ChannelId::as_str).collect();
        let rest = if self.known.len() > LISTED_MAX { ", …" } else { "" };
        let advice = match ids.is_empty() {
            true => "add a channel file first; there is none".to_owned(),
            false => format!("known channels: {}{rest}", ids.join(", ")),
        };
        let problem = format!("there is no channel {shown:?}");
        self.section.mistake_in("channels", place, &problem, &advice);
    }

    /// One weight for each channel of the list; `None` where the strategy has none.
    fn weights(
        &self,
        strategy: Option<Strategy>,
        names: Option<&ParsedList<String>>,
    ) -> Option<Vec<u32>> {
        if strategy != Some(Strategy::Weighted) {
            self.section.optional_integers("weights", 1..=WEIGHT_MAX);
            if strategy.is_some() && self.section.has("weights") {
                let advice = "remove them, or write strategy = \"weighted\"";
                self.section.mistake("weights", "only weighted rules have weights", advice);
            }
            return None;
        }
        let weights =
            self.parse_list(|section| Some(section.integers("weights", 1..=WEIGHT_MAX)))?;
        let (channels, given) = (names.map_or(0, |names| names.values.len()), weights.values.len());
        let has_gaps = weights.has_gaps || names.is_none_or(|names| names.has_gaps);
        if !has_gaps && channels != given {
            let problem = format!("{given} weights are given for {channels} channels");
            self.section.mistake("weights", &problem, "give one weight for each channel");
        }
        Some(weights.values)
    }

    /// Reads a list and notes whether some of its elements were mistakes.
    fn parse_list<T>(
        &self,
        read: impl FnOnce(&Section<'_>) -> Option<Vec<T>>,
    ) -> Option<ParsedList<T>> {
        let before = self.mistakes.count();
        let values = read(self.section)?;
        Some(ParsedList { values, has_gaps: self.mistakes.count() != before })
    }

    /// The conditions of a rule, cheap ones first.
    fn conditions(&self, file_zone: &TimeZone) -> Vec<Condition> {
        let operations = Operation::ALL.map(|operation| (operation.name(), Ok(operation)));
        let services = CardService::ALL.map(|service| (service.name(), Err(service)));
        let operations: Vec<_> = operations.into_iter().chain(services).collect();
        let currencies = Currency::ALL.map(|currency| (currency.name(), currency));
        let settlements = SettlementMode::ALL.map(|settlement| (settlement.name(), settlement));
        let instruments = InstrumentKind::ALL.map(|kind| (kind.name(), kind));
        let card_types = CardType::ALL.map(|kind| (kind.name(), kind));
        let brands = Brand::ALL.map(|brand| (brand.name(), brand));
        let issuer_form = "\"0102\" for all regions of a bank, or all 8 digits";
        let issuers = self.parsed("issuer_codes", issuer_form, issuer_code);
        let prefixes = self.parsed("bin_prefixes", "1 to 12 leading digits", CardPrefix::parse);
        let merchants = self.parsed("merchants", "the core's id of a merchant", MerchantId::parse);
        let merchants = merchants.map(|ids| ids.into_iter().collect::<BTreeSet<_>>());
        let given = [
            self.choices("operations", &operations).map(operations_condition),
            self.amount(),
            self.choices("currencies", &currencies).map(Condition::Currencies),
            self.choices("settlements", &settlements).map(Condition::Settlements),
            self.choices("instruments", &instruments).map(Condition::Instruments),
            self.choices("card_types", &card_types).map(Condition::CardTypes),
            self.choices("brands", &brands).map(Condition::Brands),
            issuers.map(Condition::IssuerCodes),
            prefixes.map(Condition::BinPrefixes),
            merchants.map(Condition::Merchants),
            self.hours(file_zone).map(Condition::Hours),
        ];
        given.into_iter().flatten().collect()
    }

    fn choices<T: Clone>(&self, key: &str, allowed: &[(&str, T)]) -> Option<Vec<T>> {
        self.some_of(key, |section| section.optional_choices(key, allowed))
    }

    /// A list whose texts are parsed one by one.
    fn parsed<T, E: Display>(
        &self,
        key: &str,
        form: &str,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Option<Vec<T>> {
        let texts = self.some_of(key, |section| section.optional_texts(key))?;
        let mut parsed = Vec::with_capacity(texts.len());
        for (place, text) in texts.iter().enumerate() {
            match parse(text) {
                Ok(value) => parsed.push(value),
                Err(error) => {
                    let advice = format!("write {form}");
                    self.section.mistake_in(key, place, &error.to_string(), &advice);
                }
            }
        }
        Some(parsed)
    }

    /// A condition's list. One without a value would fit nothing, which nobody means.
    fn some_of<T>(
        &self,
        key: &str,
        read: impl FnOnce(&Section<'_>) -> Option<Vec<T>>,
    ) -> Option<Vec<T>> {
        let given = self.parse_list(read)?;
        if given.values.is_empty() && !given.has_gaps {
            let advice = "name at least one, or leave it out for all";
            self.section.mistake(key, "is an empty list", advice);
        }
        Some(given.values)
    }

    fn amount(&self) -> Option<Condition> {
        let range = || 1..=AMOUNT_MINOR_MAX;
        let from = self.section.optional_integer("amount_from_minor", range());
        let to = self.section.optional_integer("amount_to_minor", range());
        let from_minor = from.unwrap_or(1);
        let to_minor = to.unwrap_or(AMOUNT_MINOR_MAX);
        if from_minor > to_minor {
            let problem = format!("{to_minor} lies below amount_from_minor, {from_minor}");
            self.section.mistake("amount_to_minor", &problem, "no amount fits; exchange the two");
        }
        (from.is_some() || to.is_some()).then_some(Condition::Amount { from_minor, to_minor })
    }

    /// One window or a list of them; in the rule's zone, or else in the file's.
    fn hours(&self, file_zone: &TimeZone) -> Option<Hours> {
        let own_zone = zone(self.section);
        let windows = match self.section.value("hours") {
            Some(Tree::List(_)) => self.parsed("hours", "\"HH:MM-HH:MM\"", DayWindow::parse)?,
            Some(Tree::Text(_) | Tree::Integer(_) | Tree::Boolean(_) | Tree::Table(_)) => {
                vec![self.section.optional_parsed("hours", "08:00-20:00", DayWindow::parse)?]
            }
            None => {
                if self.section.has("time_zone") && !self.section.has("hours") {
                    let advice = "add hours = \"08:00-20:00\", or remove it";
                    self.section.mistake("time_zone", "only hours have a time zone", advice);
                }
                return None;
            }
        };
        Some(Hours { windows, zone: own_zone.unwrap_or_else(|| file_zone.clone()) })
    }
}

/// Operations of orders and services to a card stand in one list.
fn operations_condition(listed: Vec<Result<Operation, CardService>>) -> Condition {
    let operations = listed.iter().filter_map(|one| one.ok()).collect();
    let services = listed.iter().filter_map(|one| one.err()).collect();
    Condition::Operations(operations, services)
}

fn issuer_code(text: &str) -> Result<String, &'static str> {
    let fits = [INSTITUTION_DIGITS, ISSUER_CODE_DIGITS].contains(&text.len());
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    if fits && digits { Ok(text.to_owned()) } else { Err("has not 4 or 8 digits") }
}

fn zone(section: &Section<'_>) -> Option<TimeZone> {
    let parse = |name: &str| TimeZone::get(name).or(Err("is no time zone of the IANA database"));
    section.optional_parsed("time_zone", TIME_ZONE, parse)
}
