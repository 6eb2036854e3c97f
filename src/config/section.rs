//! Reads one section of settings key by key, and says everything that is wrong with it.
//!
//! Each reader gives a neutral value after a mistake (the smallest allowed number, an empty text,
//! the first choice), so that reading goes on; whoever reads checks `Mistakes` before using
//! anything. `finish` reports the keys nobody asked for. This file must not know what any setting
//! means. It upholds I-11: values of secrets are not quoted (see `mistake`).

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::credential::CredentialReference;
use super::mistake::{Mistake, Mistakes, is_secret, nearest};
use super::raw::{
    Document, Node, NodeContent, SettingsTable, SourceLine, Tree, join_path, show_key,
};
use super::value::{
    Complaint, Integer, ValueResult, duration_example, elements, hide_secret, listed, read_boolean,
    read_choice, read_duration, read_integer, read_parsed, read_text, show_duration, wrong_kind,
};

/// One key of a table with arbitrary keys.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyValue {
    pub key: String,
    pub text: String,
    /// 1-based line of the key; 0 when it came from a variable.
    pub line: usize,
}

/// A section being read. End with [`Section::finish`], or unknown keys go unnoticed.
#[must_use = "call `finish` so that unknown keys are reported"]
pub struct Section<'a> {
    /// `None` when the section is absent.
    table: Option<&'a SettingsTable>,
    /// The section's own kind was a mistake: nothing more is said about what it should hold.
    quiet: bool,
    place: &'a SourceLine,
    path: String,
    /// The path as the section's own head writes it: without the positions in lists.
    head: String,
    /// One of several `[[head]]`.
    is_element: bool,
    asked: RefCell<BTreeSet<String>>,
    mistakes: &'a Mistakes,
}

impl Document {
    /// The section that holds everything; reading starts here.
    pub fn root<'a>(&'a self, mistakes: &'a Mistakes) -> Section<'a> {
        Section {
            table: Some(&self.table),
            quiet: false,
            place: &self.place,
            path: String::new(),
            head: String::new(),
            is_element: false,
            asked: RefCell::default(),
            mistakes,
        }
    }
}

impl<'a> Section<'a> {
    /// A required text. A missing key is advised with `"..."`; see [`Section::text_such_as`].
    pub fn text(&self, key: &str) -> String {
        self.text_such_as(key, "...")
    }

    /// A required text, with an example for whoever left it out.
    pub fn text_such_as(&self, key: &str, example: &str) -> String {
        let example = format!("\"{example}\"");
        self.required(key, &example, |node, _| read_text(node, &example)).unwrap_or_default()
    }

    pub fn text_or(&self, key: &str, default: &str) -> String {
        self.note_default(key, default);
        self.optional_text(key).unwrap_or_else(|| default.to_owned())
    }

    pub fn optional_text(&self, key: &str) -> Option<String> {
        self.optional(key, |node, _| read_text(node, "\"...\""))
    }

    /// A required text that `parse` turns into a checked type; its error becomes the problem.
    pub fn parsed<T, E: Display>(
        &self,
        key: &str,
        example: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let example = format!("\"{example}\"");
        self.required(key, &example, |node, secret| read_parsed(node, &example, secret, parse))
    }

    /// As [`Section::parsed`], but the key may be missing.
    pub fn optional_parsed<T, E: Display>(
        &self,
        key: &str,
        example: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let example = format!("\"{example}\"");
        self.optional(key, |node, secret| read_parsed(node, &example, secret, parse))
    }

    /// A required integer within `range`; the range's start after a mistake.
    pub fn integer<T: Integer>(&self, key: &str, range: RangeInclusive<T>) -> T {
        let example = range.start().to_string();
        let read = |node: &Node, secret| read_integer(node, &range, secret);
        self.required(key, &example, read).unwrap_or(*range.start())
    }

    pub fn integer_or<T: Integer>(&self, key: &str, default: T, range: RangeInclusive<T>) -> T {
        self.note_default(key, default);
        self.optional_integer(key, range).unwrap_or(default)
    }

    pub fn optional_integer<T: Integer>(&self, key: &str, range: RangeInclusive<T>) -> Option<T> {
        self.optional(key, |node, secret| read_integer(node, &range, secret))
    }

    /// A required boolean; `false` after a mistake.
    pub fn boolean(&self, key: &str) -> bool {
        self.required(key, "true", |node, _| read_boolean(node)).unwrap_or_default()
    }

    pub fn boolean_or(&self, key: &str, default: bool) -> bool {
        self.note_default(key, default);
        self.optional(key, |node, _| read_boolean(node)).unwrap_or(default)
    }

    /// A required duration such as `"250ms"`, `"2s"`, `"5m"`, `"1h"` or `"1d"`, within `range`.
    pub fn duration(&self, key: &str, range: RangeInclusive<Duration>) -> Duration {
        let example = duration_example(&range);
        let read = |node: &Node, secret| read_duration(node, &range, secret);
        self.required(key, &example, read).unwrap_or(*range.start())
    }

    pub fn duration_or(
        &self,
        key: &str,
        default: Duration,
        range: RangeInclusive<Duration>,
    ) -> Duration {
        self.note_default(key, show_duration(default));
        self.optional_duration(key, range).unwrap_or(default)
    }

    pub fn optional_duration(
        &self,
        key: &str,
        range: RangeInclusive<Duration>,
    ) -> Option<Duration> {
        self.optional(key, |node, secret| read_duration(node, &range, secret))
    }

    /// One of a fixed set of words, required; the first choice after a mistake.
    pub fn choice<T: Clone, const N: usize>(&self, key: &str, allowed: &[(&str, T); N]) -> T {
        const { assert!(N > 0, "a choice needs something to choose from") };
        let example = format!("\"{}\"", allowed[0].0);
        let read = |node: &Node, secret| read_choice(node, allowed, secret);
        self.required(key, &example, read).unwrap_or_else(|| allowed[0].1.clone())
    }

    pub fn choice_or<T: Clone + PartialEq>(
        &self,
        key: &str,
        default: T,
        allowed: &[(&str, T)],
    ) -> T {
        if let Some((word, _)) = allowed.iter().find(|(_, value)| *value == default) {
            self.note_default(key, word);
        }
        self.optional_choice(key, allowed).unwrap_or(default)
    }

    pub fn optional_choice<T: Clone>(&self, key: &str, allowed: &[(&str, T)]) -> Option<T> {
        self.optional(key, |node, secret| read_choice(node, allowed, secret))
    }

    /// A credential's reference, or `None` where its text is empty.
    pub fn reference(&self, key: &str) -> Option<CredentialReference> {
        let text = self.text_or(key, "");
        let (path, place) = (self.path_of(key), self.place_of(key).clone());
        (!text.is_empty()).then_some(CredentialReference { text, path, place })
    }

    /// A required list of texts. Lists leave out the elements that are mistakes.
    pub fn texts(&self, key: &str) -> Vec<String> {
        self.list(key, true, "\"...\"", |node, _| read_text(node, "\"...\"")).unwrap_or_default()
    }

    pub fn optional_texts(&self, key: &str) -> Option<Vec<String>> {
        self.list(key, false, "\"...\"", |node, _| read_text(node, "\"...\""))
    }

    /// A required list of integers, each within `range`.
    pub fn integers<T: Integer>(&self, key: &str, range: RangeInclusive<T>) -> Vec<T> {
        let example = range.start().to_string();
        let read = |node: &Node, secret| read_integer(node, &range, secret);
        self.list(key, true, &example, read).unwrap_or_default()
    }

    pub fn integers_or<T: Integer>(
        &self,
        key: &str,
        default: &[T],
        range: RangeInclusive<T>,
    ) -> Vec<T> {
        self.note_default(key, listed_default(default.iter().map(ToString::to_string)));
        self.optional_integers(key, range).unwrap_or_else(|| default.to_vec())
    }

    pub fn optional_integers<T: Integer>(
        &self,
        key: &str,
        range: RangeInclusive<T>,
    ) -> Option<Vec<T>> {
        let example = range.start().to_string();
        self.list(key, false, &example, |node, secret| read_integer(node, &range, secret))
    }

    /// A required list of durations, each within `range`.
    pub fn durations(&self, key: &str, range: RangeInclusive<Duration>) -> Vec<Duration> {
        let example = duration_example(&range);
        let read = |node: &Node, secret| read_duration(node, &range, secret);
        self.list(key, true, &example, read).unwrap_or_default()
    }

    pub fn durations_or(
        &self,
        key: &str,
        default: &[Duration],
        range: RangeInclusive<Duration>,
    ) -> Vec<Duration> {
        self.note_default(key, listed_default(default.iter().copied().map(show_duration)));
        let example = duration_example(&range);
        let read = |node: &Node, secret| read_duration(node, &range, secret);
        self.list(key, false, &example, read).unwrap_or_else(|| default.to_vec())
    }

    /// A required list of words of a fixed set.
    pub fn choices<T: Clone>(&self, key: &str, allowed: &[(&str, T)]) -> Vec<T> {
        let example = format!("\"{}\"", allowed.first().map_or("...", |(name, _)| name));
        let read = |node: &Node, secret| read_choice(node, allowed, secret);
        self.list(key, true, &example, read).unwrap_or_default()
    }

    /// The words of `default` stand for their values in `allowed`.
    pub fn choices_or<T: Clone>(
        &self,
        key: &str,
        default: &[&str],
        allowed: &[(&str, T)],
    ) -> Vec<T> {
        self.note_default(key, default.join(", "));
        let usual = allowed.iter().filter(|(word, _)| default.contains(word));
        let usual = || usual.map(|(_, value)| value.clone()).collect();
        self.optional_choices(key, allowed).unwrap_or_else(usual)
    }

    pub fn optional_choices<T: Clone>(&self, key: &str, allowed: &[(&str, T)]) -> Option<Vec<T>> {
        self.list(key, false, "\"...\"", |node, secret| read_choice(node, allowed, secret))
    }

    /// The section `key`. One that is absent reads as an empty one: what is missed is its keys.
    pub fn section(&self, key: &str) -> Section<'a> {
        self.optional_section(key)
            .unwrap_or_else(|| Self { quiet: self.quiet, ..self.inner(key, self.place, None) })
    }

    /// The section `key`, or `None` when it is absent.
    pub fn optional_section(&self, key: &str) -> Option<Section<'a>> {
        self.mistakes.keys.note(&self.head, key, |need| need.is_section = true);
        let node = self.find(key)?;
        if let NodeContent::Table(table) = &node.content {
            return Some(self.inner(key, &node.place, Some(table)));
        }
        let advice = format!("write [{}]", join_path(&self.head, key));
        let complaint = wrong_kind(&node.content, "a section");
        self.report(node, &self.path_of(key), Complaint { advice, ..complaint });
        Some(Self { quiet: true, ..self.inner(key, &node.place, None) })
    }

    /// The sections `[[key]]` in their order; none when the key is absent.
    pub fn sections(&self, key: &str) -> Vec<Section<'a>> {
        self.mistakes.keys.note(&self.head, key, |need| need.is_section = true);
        let Some(node) = self.find(key) else { return Vec::new() };
        let advice = format!("write [[{}]] above each", join_path(&self.head, key));
        let NodeContent::List(nodes) = &node.content else {
            let complaint = wrong_kind(&node.content, "a list of sections");
            self.report(node, &self.path_of(key), Complaint { advice, ..complaint });
            return Vec::new();
        };
        let mut sections = Vec::with_capacity(nodes.len());
        for (index, node) in nodes.iter().enumerate() {
            let path = format!("{}[{index}]", self.path_of(key));
            if let NodeContent::Table(table) = &node.content {
                let inner = self.inner(key, &node.place, Some(table));
                sections.push(Self { path, is_element: true, ..inner });
            } else {
                let complaint = wrong_kind(&node.content, "a section");
                self.report(node, &path, Complaint { advice: advice.clone(), ..complaint });
            }
        }
        sections
    }

    /// A table of texts with arbitrary keys, in its order; empty when the key is absent.
    ///
    /// A table whose values are not texts is read with [`Section::section`] and [`Section::keys`].
    pub fn map(&self, key: &str) -> Vec<KeyValue> {
        let section = self.section(key);
        let read = |(key, line): (&'a str, usize)| {
            let text = section.optional_text(key)?;
            Some(KeyValue { key: key.to_owned(), text, line })
        };
        section.keys().into_iter().filter_map(read).collect()
    }

    /// Every key that is given here, in its order, with its line.
    pub fn keys(&self) -> Vec<(&'a str, usize)> {
        self.mistakes.keys.note_free(&self.head);
        let entries = self.table.into_iter().flat_map(SettingsTable::iter);
        entries.map(|(key, node)| (key, node.place.line)).collect()
    }

    /// A free-form value, or `None` when it is absent or holds what no setting can be.
    pub fn value(&self, key: &str) -> Option<Tree> {
        let node = self.find(key)?;
        self.tree(node, &self.path_of(key))
    }

    /// Whether the key is given. Asking this does not make the key a known one.
    pub fn has(&self, key: &str) -> bool {
        self.table.is_some_and(|table| table.get(key).is_some())
    }

    /// Whether any table of the table `key` has a key `inner`. Asking this makes no key a known
    /// one, and nothing of it is a mistake.
    pub fn has_within(&self, key: &str, inner: &str) -> bool {
        let tables = self.get(key).and_then(table_of).into_iter().flat_map(SettingsTable::iter);
        let mut within = tables.filter_map(|(_, node)| table_of(node));
        within.any(|table| table.get(inner).is_some())
    }

    /// The text `inner` of the table `key`, asked for in the same way.
    pub fn text_within(&self, key: &str, inner: &str) -> Option<&'a str> {
        let node = self.get(key).and_then(table_of)?.get(inner)?;
        if let NodeContent::Text(text) = &node.content { Some(text) } else { None }
    }

    /// The 1-based line of the key, or of the section when the key is absent; 0 if it has none.
    pub fn line_of(&self, key: &str) -> usize {
        self.place_of(key).line
    }

    /// The dotted path of this section; empty for the root.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Reports what the caller found wrong with the meaning of a key.
    pub fn mistake(&self, key: &str, problem: &str, advice: &str) {
        self.report_words(&self.path_of(key), self.get(key), self.place_of(key), problem, advice);
    }

    /// The same for whoever keeps it apart; nothing is collected. Secrets are not to be in the
    /// words.
    pub fn remark(&self, key: &str, problem: &str, advice: &str) -> Mistake {
        self.place_of(key).mistake(&self.path_of(key), problem, advice)
    }

    /// Reports what the caller found wrong with one element (0-based) of a list.
    pub fn mistake_in(&self, key: &str, index: usize, problem: &str, advice: &str) {
        let list = self.get(key);
        let element = list.and_then(|node| match &node.content {
            NodeContent::List(nodes) => nodes.get(index),
            NodeContent::Text(_)
            | NodeContent::Untyped(_)
            | NodeContent::Integer(_)
            | NodeContent::Boolean(_)
            | NodeContent::Fraction
            | NodeContent::Moment
            | NodeContent::Table(_) => None,
        });
        let path = format!("{}[{index}]", self.path_of(key));
        let place = element.map_or(self.place_of(key), |node| &node.place);
        self.report_words(&path, element.or(list), place, problem, advice);
    }

    /// Reports every key that is given but was never asked for.
    pub fn finish(self) {
        let asked = self.asked.borrow();
        let entries = self.table.into_iter().flat_map(SettingsTable::iter);
        for (key, node) in entries.filter(|(key, _)| !asked.contains(*key)) {
            let known = asked.iter().map(String::as_str);
            let advice = match nearest(key, known.clone()) {
                Some(near) => format!("did you mean {}?", show_key(near)),
                None if asked.is_empty() => "remove it; nothing is set here".to_owned(),
                None => format!("remove it; known here: {}", listed(known)),
            };
            let problem = "is not a known setting".to_owned();
            self.report(node, &self.path_of(key), Complaint { problem, advice });
        }
    }

    fn inner(
        &self,
        key: &str,
        place: &'a SourceLine,
        table: Option<&'a SettingsTable>,
    ) -> Section<'a> {
        Self {
            table,
            quiet: false,
            place,
            path: self.path_of(key),
            head: join_path(&self.head, key),
            is_element: false,
            asked: RefCell::default(),
            mistakes: self.mistakes,
        }
    }

    fn get(&self, key: &str) -> Option<&'a Node> {
        self.table.and_then(|table| table.get(key))
    }

    /// Looks the key up and remembers that it is a known one.
    fn find(&self, key: &str) -> Option<&'a Node> {
        if !self.asked.borrow().contains(key) {
            self.asked.borrow_mut().insert(key.to_owned());
            self.mistakes.keys.note(&self.head, key, |_| {});
        }
        self.get(key)
    }

    fn note_required(&self, key: &str) {
        self.mistakes.keys.note(&self.head, key, |need| need.is_required = true);
    }

    fn note_default(&self, key: &str, default: impl ToString) {
        self.mistakes.keys.note(&self.head, key, |need| {
            need.defaults.insert(default.to_string());
        });
    }

    fn path_of(&self, key: &str) -> String {
        join_path(&self.path, key)
    }

    fn place_of(&self, key: &str) -> &'a SourceLine {
        self.get(key).map_or(self.place, |node| &node.place)
    }

    /// Where to add a missing key, as an advice says it.
    fn heading(&self) -> String {
        match (self.head.is_empty(), self.is_element) {
            (true, _) => "at the top of the file".to_owned(),
            (false, true) => format!("under this [[{}]]", self.head),
            (false, false) => format!("under [{}]", self.head),
        }
    }

    fn required<T>(
        &self,
        key: &str,
        example: &str,
        read: impl FnOnce(&Node, bool) -> ValueResult<T>,
    ) -> Option<T> {
        self.note_required(key);
        if self.find(key).is_none() {
            self.report_missing(key, example);
            return None;
        }
        self.optional(key, read)
    }

    fn optional<T>(
        &self,
        key: &str,
        read: impl FnOnce(&Node, bool) -> ValueResult<T>,
    ) -> Option<T> {
        let node = self.find(key)?;
        let path = self.path_of(key);
        let read = read(node, is_secret(&path));
        read.map_err(|complaint| self.report(node, &path, complaint)).ok()
    }

    fn list<T>(
        &self,
        key: &str,
        is_required: bool,
        example: &str,
        read: impl Fn(&Node, bool) -> ValueResult<T>,
    ) -> Option<Vec<T>> {
        if is_required {
            self.note_required(key);
        }
        let Some(node) = self.find(key) else {
            if is_required {
                self.report_missing(key, &format!("[{example}]"));
            }
            return None;
        };
        let path = self.path_of(key);
        let secret = is_secret(&path);
        let Some(nodes) = elements(node) else {
            let complaint = wrong_kind(&node.content, "a list");
            let advice = format!("write for example [{example}]");
            self.report(node, &path, Complaint { advice, ..complaint });
            return None;
        };
        let mut values = Vec::with_capacity(nodes.len());
        for (index, element) in nodes.iter().enumerate() {
            match read(element, secret) {
                Ok(value) => values.push(value),
                Err(complaint) => self.report(element, &format!("{path}[{index}]"), complaint),
            }
        }
        Some(values)
    }

    fn tree(&self, node: &Node, path: &str) -> Option<Tree> {
        match &node.content {
            NodeContent::Text(text) | NodeContent::Untyped(text) => Some(Tree::Text(text.clone())),
            NodeContent::Integer(integer) => Some(Tree::Integer(*integer)),
            NodeContent::Boolean(boolean) => Some(Tree::Boolean(*boolean)),
            NodeContent::Fraction | NodeContent::Moment => {
                let complaint = wrong_kind(&node.content, "a text or an integer");
                let advice = "write it in quotes".to_owned();
                self.report(node, path, Complaint { advice, ..complaint });
                None
            }
            NodeContent::List(nodes) => {
                let element = |(index, node)| self.tree(node, &format!("{path}[{index}]"));
                Some(Tree::List(nodes.iter().enumerate().filter_map(element).collect()))
            }
            NodeContent::Table(table) => {
                let entry = |(key, node): (&str, &Node)| {
                    Some((key.to_owned(), self.tree(node, &join_path(path, key))?))
                };
                Some(Tree::Table(table.iter().filter_map(entry).collect()))
            }
        }
    }

    fn report_missing(&self, key: &str, example: &str) {
        if self.quiet {
            return;
        }
        let advice = format!("add `{} = {example}` {}", show_key(key), self.heading());
        self.mistakes.add(self.place.mistake(&self.path_of(key), "is missing", &advice));
    }

    fn report(&self, node: &Node, path: &str, complaint: Complaint) {
        let Complaint { problem, advice } = complaint;
        self.mistakes.add(node.place.mistake(path, &problem, &advice));
    }

    /// Reports in a caller's words, which could hold a secret's value.
    fn report_words(
        &self,
        path: &str,
        node: Option<&Node>,
        place: &SourceLine,
        problem: &str,
        advice: &str,
    ) {
        let complaint = Complaint { problem: problem.to_owned(), advice: advice.to_owned() };
        let complaint = match node.filter(|_| is_secret(path)) {
            Some(node) => hide_secret(node, complaint),
            None => complaint,
        };
        self.mistakes.add(place.mistake(path, &complaint.problem, &complaint.advice));
    }
}

fn table_of(node: &Node) -> Option<&SettingsTable> {
    if let NodeContent::Table(table) = &node.content { Some(table) } else { None }
}

fn listed_default(elements: impl Iterator<Item = String>) -> String {
    elements.collect::<Vec<_>>().join(", ")
}
