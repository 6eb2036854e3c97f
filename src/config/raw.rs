//! Settings exactly as files and environment gave them: a tree whose values know their place.
//!
//! Layers are laid one on another (compiled-in default, file, environment): a later value replaces
//! an earlier one, and each keeps the file and line where it was written, so that a mistake points
//! at the text to change. This file must not know what any setting means, and it reads neither
//! files nor the environment itself: both arrive as text. No input makes it panic.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use super::mistake::{Mistake, quote};

/// The largest text that is read, in bytes. The largest shipped channel file has some ten thousand.
pub const TEXT_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The name under which mistakes in the compiled-in defaults are reported.
pub const DEFAULT_FILE: &str = "default.toml";

/// Environment variables that begin so and contain `__` are settings: `SWITCHYARD_API__LISTEN`.
pub const ENVIRONMENT_PREFIX: &str = "SWITCHYARD_";

/// How many parts the path in a variable's name may have; no section is nested deeper than this.
const ENVIRONMENT_DEPTH_MAX: usize = 8;

/// How often parsing goes on behind a syntax error to find the next one.
const SYNTAX_MISTAKES_MAX: usize = 20;

/// How deep tables and lists may be nested. TOML's parser bounds the depth of values and of dotted
/// keys, but one inside the other could still exhaust the stack of whoever walks the tree.
const DEPTH_MAX: usize = 64;

/// Where a value was written. The line is 1-based; 0 stands for the whole file or a variable.
#[derive(Debug, Clone)]
pub(super) struct SourceLine {
    pub(super) file: Arc<str>,
    pub(super) line: usize,
}

impl SourceLine {
    pub(super) fn mistake(&self, key: &str, problem: &str, advice: &str) -> Mistake {
        Mistake::new(&self.file, self.line, key, problem, advice)
    }
}

#[derive(Clone)]
pub(super) struct Node {
    pub(super) place: SourceLine,
    pub(super) content: NodeContent,
}

#[derive(Clone)]
pub(super) enum NodeContent {
    Text(String),
    /// A variable's value: it has no type of its own, the reader who asks for it gives it one.
    Untyped(String),
    Integer(i64),
    Boolean(bool),
    /// A number with a point: nothing here is read as one (money and rates are integers).
    Fraction,
    /// A TOML date or time: written as text in our files, because TOML has no durations.
    Moment,
    List(Vec<Node>),
    Table(SettingsTable),
}

impl NodeContent {
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) | Self::Untyped(_) => "a text",
            Self::Integer(_) => "an integer",
            Self::Boolean(_) => "a boolean",
            Self::Fraction => "a number with a point",
            Self::Moment => "a date or time without quotes",
            Self::List(_) => "a list",
            Self::Table(_) => "a section",
        }
    }
}

/// Entries in the order they were written, found by name without walking through them.
#[derive(Clone, Default)]
pub(super) struct SettingsTable {
    entries: Vec<(String, Node)>,
    positions: BTreeMap<String, usize>,
}

impl SettingsTable {
    pub(super) fn get(&self, key: &str) -> Option<&Node> {
        self.positions.get(key).and_then(|at| self.entries.get(*at)).map(|(_, node)| node)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Node)> {
        self.entries.iter().map(|(key, node)| (key.as_str(), node))
    }

    fn get_mut(&mut self, key: &str) -> Option<&mut Node> {
        let at = *self.positions.get(key)?;
        self.entries.get_mut(at).map(|(_, node)| node)
    }

    fn insert(&mut self, key: &str, node: Node) {
        match self.get_mut(key) {
            Some(old) => *old = node,
            None => {
                self.positions.insert(key.to_owned(), self.entries.len());
                self.entries.push((key.to_owned(), node));
            }
        }
    }

    fn remove(&mut self, key: &str) {
        self.entries.retain(|(name, _)| name != key);
        let places = self.entries.iter().enumerate();
        self.positions = places.map(|(at, (name, _))| (name.clone(), at)).collect();
    }

    /// Lays `over` on this table: tables are merged key by key, anything else is replaced.
    fn lay(&mut self, over: SettingsTable) {
        for (key, node) in over.entries {
            match (self.get_mut(&key), node) {
                (
                    Some(Node { place, content: NodeContent::Table(old) }),
                    Node { place: new_place, content: NodeContent::Table(new) },
                ) => {
                    *place = new_place;
                    old.lay(new);
                }
                (_, node) => self.insert(&key, node),
            }
        }
    }
}

/// A free-form value, such as a request template, with its tables in the order they were written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tree {
    Text(String),
    Integer(i64),
    Boolean(bool),
    List(Vec<Tree>),
    Table(Vec<(String, Tree)>),
}

/// One or more layers of settings, ready to be read from its root section.
pub struct Document {
    pub(super) place: SourceLine,
    pub(super) table: SettingsTable,
}

/// Shows where the settings came from but none of them: some are secrets (I-11).
impl fmt::Debug for Document {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Document({})", self.place.file)
    }
}

impl Document {
    /// Reads one TOML text. `file` is the name under which mistakes are reported.
    pub fn parse(file: &str, text: &str) -> Result<Self, Vec<Mistake>> {
        if text.len() > TEXT_BYTES_MAX {
            let problem = format!("has {} bytes", text.len());
            let advice = format!("keep the file below {TEXT_BYTES_MAX} bytes");
            return Err(vec![Mistake::new(file, 0, "", &problem, &advice)]);
        }
        let place = SourceLine { file: Arc::from(file), line: 0 };
        let table = parse_table(&place.file, text)?;
        Ok(Self { place, table })
    }

    /// Lays the file on the defaults and the environment on both; mistakes of all layers together.
    ///
    /// `file` is its name and its text. `environment` may hold every variable of the process:
    /// see [`Document::apply_environment`] for those that count.
    pub fn layered(
        default_text: &str,
        file: Option<(&str, &str)>,
        environment: Vec<(String, String)>,
    ) -> Result<Self, Vec<Mistake>> {
        let mut mistakes = Vec::new();
        let mut document = Self::parse(DEFAULT_FILE, default_text).unwrap_or_else(|found| {
            mistakes.extend(found);
            Self {
                place: SourceLine { file: Arc::from(DEFAULT_FILE), line: 0 },
                table: SettingsTable::default(),
            }
        });
        if let Some((name, text)) = file {
            match Self::parse(name, text) {
                Ok(over) => document = over.over(document),
                Err(found) => mistakes.extend(found),
            }
        }
        if let Err(found) = document.apply_environment(environment) {
            mistakes.extend(found);
        }
        if mistakes.is_empty() { Ok(document) } else { Err(mistakes) }
    }

    /// This document laid on another one: tables are joined key by key, anything else of this one
    /// stands in the place of what was there.
    #[must_use]
    pub fn over(self, below: Self) -> Self {
        let mut table = below.table;
        table.lay(self.table);
        Self { place: self.place, table }
    }

    /// The document without a key at its top.
    #[must_use]
    pub fn without(mut self, key: &str) -> Self {
        self.table.remove(key);
        self
    }

    /// Lays variables `SWITCHYARD_<SECTION>__<KEY>=value` on the document.
    ///
    /// `__` separates the parts of the path, letters become lower case. Variables without `__` are
    /// left alone: container platforms set some that begin with a service's name, such as
    /// `SWITCHYARD_PORT`. A list is written with commas or as a TOML list.
    pub fn apply_environment(
        &mut self,
        mut environment: Vec<(String, String)>,
    ) -> Result<(), Vec<Mistake>> {
        environment.sort();
        let mut mistakes = Vec::new();
        for (name, value) in environment {
            let Some(path) = name.strip_prefix(ENVIRONMENT_PREFIX) else { continue };
            if !path.contains("__") {
                continue;
            }
            if let Err(mistake) = self.set(&name, &path.to_lowercase(), value) {
                mistakes.push(mistake);
            }
        }
        if mistakes.is_empty() { Ok(()) } else { Err(mistakes) }
    }

    fn set(&mut self, variable: &str, path: &str, value: String) -> Result<(), Mistake> {
        let name = super::mistake::hide_long_digits(variable);
        let place = SourceLine { file: Arc::from(name), line: 0 };
        let mut parts: Vec<&str> = path.split("__").collect();
        if parts.len() > ENVIRONMENT_DEPTH_MAX || parts.iter().any(|part| part.is_empty()) {
            let advice = format!("write {ENVIRONMENT_PREFIX}<SECTION>__<KEY>");
            return Err(place.mistake("", "is not the name of a setting", &advice));
        }
        let Some(key) = parts.pop() else { return Ok(()) };
        let mut table = &mut self.table;
        let mut walked = String::new();
        for part in parts {
            walked = join_path(&walked, part);
            if table.get(part).is_none() {
                let empty = NodeContent::Table(SettingsTable::default());
                table.insert(part, Node { place: place.clone(), content: empty });
            }
            match table.get_mut(part).map(|node| &mut node.content) {
                Some(NodeContent::Table(inner)) => table = inner,
                other => {
                    let kind = other.map_or("missing", |content| content.kind());
                    let problem = format!("is {kind}, so a variable cannot set a key in it");
                    return Err(place.mistake(&walked, &problem, "change it in the file"));
                }
            }
        }
        table.insert(key, Node { place, content: NodeContent::Untyped(value) });
        Ok(())
    }
}

/// `path.key`, the key quoted as TOML would if it is not a bare one.
pub(super) fn join_path(path: &str, key: &str) -> String {
    let key = show_key(key);
    if path.is_empty() { key } else { format!("{path}.{key}") }
}

/// A key as a message shows it.
pub(super) fn show_key(key: &str) -> String {
    let is_bare = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let bare = !key.is_empty() && key.len() <= 40 && key.bytes().all(is_bare);
    if bare { key.to_owned() } else { quote(key, false) }
}

/// The elements of a list given in a variable: a TOML list, or texts between commas.
pub(super) fn split_untyped(text: &str, place: &SourceLine) -> Option<Vec<Node>> {
    let text = text.trim();
    if text.is_empty() {
        return Some(Vec::new());
    }
    if text.starts_with('[') {
        let value = text.parse::<toml_edit::Value>().ok()?;
        let lines = LineIndex::new(place.file.clone(), "");
        let read = lines.value(&value, 0, 0);
        if lines.too_deep.get().is_some() {
            return None;
        }
        return match read.content {
            NodeContent::List(nodes) => Some(nodes),
            NodeContent::Text(_)
            | NodeContent::Untyped(_)
            | NodeContent::Integer(_)
            | NodeContent::Boolean(_)
            | NodeContent::Fraction
            | NodeContent::Moment
            | NodeContent::Table(_) => None,
        };
    }
    let node = |part: &str| Node {
        place: place.clone(),
        content: NodeContent::Untyped(part.trim().to_owned()),
    };
    Some(text.split(',').map(node).collect())
}

/// Parses the text, or finds as many of its syntax errors as can be told apart.
fn parse_table(file: &Arc<str>, text: &str) -> Result<SettingsTable, Vec<Mistake>> {
    let lines = LineIndex::new(file.clone(), text);
    let mut rest = text.to_owned();
    let mut mistakes = Vec::new();
    for _ in 0..SYNTAX_MISTAKES_MAX {
        let error = match toml_edit::Document::parse(rest.as_str()) {
            Ok(parsed) if mistakes.is_empty() => {
                let table = lines.table(parsed.as_table(), 0, 0);
                return lines.too_deep.get().map_or(Ok(table), |line| {
                    let problem = format!("is nested more than {DEPTH_MAX} levels deep");
                    Err(vec![Mistake::new(file, line, "", &problem, "nest less deeply")])
                });
            }
            Ok(_) => break,
            Err(error) => error,
        };
        mistakes.push(syntax_mistake(&lines, text, &error));
        match error.span().and_then(|span| hide_faulty_line(&rest, &span, error.message())) {
            Some(without) => rest = without,
            None => break,
        }
    }
    mistakes.sort();
    Err(mistakes)
}

fn syntax_mistake(lines: &LineIndex, text: &str, error: &toml_edit::TomlError) -> Mistake {
    let line = lines.line_of(error.span(), 0);
    let message = error.message();
    let duplicate = message.contains("duplicate key");
    let key = error.span().filter(|_| duplicate).and_then(|span| text.get(span));
    let advice = match message {
        _ if duplicate => "keep one of the two; names in a section are unique",
        _ if message.contains("must be quoted") => "put the text in double quotes",
        _ if message.contains("unclosed") => "close the bracket",
        _ if message.contains("recurs") => "nest less deeply",
        _ if message.contains("value") => "write `name = value`, texts in double quotes",
        _ => "correct the TOML syntax here",
    };
    let key = key.map(|key| show_key(key.trim_matches(['"', '\'']))).unwrap_or_default();
    Mistake::new(&lines.file, line, &key, message, advice)
}

/// The text with the faulty line turned into a comment of the same length, so that offsets hold.
///
/// `None` when the error may reach beyond its line (a section's head, an open bracket or a long
/// string): hiding such a line would report errors that are not there.
fn hide_faulty_line(text: &str, span: &Range<usize>, message: &str) -> Option<String> {
    let start = text.get(..span.start)?.rfind('\n').map_or(0, |at| at + 1);
    let end = text.get(start..)?.find('\n').map_or(text.len(), |length| start + length);
    let line = text.get(start..end)?;
    let content = line.trim();
    let count = |wanted: char| content.chars().filter(|found| *found == wanted).count();
    let closed = count('[') == count(']') && count('{') == count('}');
    let long_string = content.contains("\"\"\"") || content.contains("'''");
    if content.is_empty() || content.starts_with(['[', '#']) || !closed || long_string {
        return None;
    }
    let faulty_alone =
        message.contains("duplicate key") || toml_edit::Document::parse(content).is_err();
    faulty_alone.then(|| {
        let comment = "#".repeat(line.len());
        [&text[..start], &comment, &text[end..]].concat()
    })
}

/// Turns parsed items into nodes, and byte offsets into lines.
struct LineIndex {
    file: Arc<str>,
    /// The offset at which each line starts.
    starts: Vec<usize>,
    /// A line where something is nested deeper than is read.
    too_deep: Cell<Option<usize>>,
}

impl LineIndex {
    fn new(file: Arc<str>, text: &str) -> Self {
        let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        let starts = std::iter::once(0).chain(ends.map(|(at, _)| at + 1)).collect();
        Self { file, starts, too_deep: Cell::new(None) }
    }

    fn line_of(&self, span: Option<Range<usize>>, otherwise: usize) -> usize {
        match span {
            Some(span) => self.starts.partition_point(|start| *start <= span.start),
            None => otherwise,
        }
    }

    fn node(&self, line: usize, content: NodeContent) -> Node {
        Node { place: SourceLine { file: self.file.clone(), line }, content }
    }

    fn table(&self, table: &toml_edit::Table, line: usize, depth: usize) -> SettingsTable {
        let mut read = SettingsTable::default();
        if self.is_too_deep(depth, line) {
            return read;
        }
        for (key, item) in table.iter() {
            let line = self.line_of(table.key(key).and_then(toml_edit::Key::span), line);
            match item {
                toml_edit::Item::None => {}
                toml_edit::Item::Value(value) => {
                    let content = self.value(value, line, depth + 1).content;
                    read.insert(key, self.node(line, content));
                }
                toml_edit::Item::Table(inner) => {
                    read.insert(key, self.section(inner, line, depth + 1));
                }
                toml_edit::Item::ArrayOfTables(tables) => {
                    let section = |inner| self.section(inner, line, depth + 1);
                    let nodes = tables.iter().map(section).collect();
                    read.insert(key, self.node(line, NodeContent::List(nodes)));
                }
            }
        }
        read
    }

    /// A table with a head of its own stands where the head stands, another where its key does.
    fn section(&self, table: &toml_edit::Table, key_line: usize, depth: usize) -> Node {
        let has_head = !table.is_implicit() && !table.is_dotted();
        let line = self.line_of(table.span().filter(|_| has_head), key_line);
        self.node(line, NodeContent::Table(self.table(table, line, depth)))
    }

    fn value(&self, value: &toml_edit::Value, otherwise: usize, depth: usize) -> Node {
        let line = self.line_of(value.span(), otherwise);
        let content = match value {
            toml_edit::Value::String(text) => NodeContent::Text(text.value().clone()),
            toml_edit::Value::Integer(integer) => NodeContent::Integer(*integer.value()),
            toml_edit::Value::Float(_) => NodeContent::Fraction,
            toml_edit::Value::Boolean(boolean) => NodeContent::Boolean(*boolean.value()),
            toml_edit::Value::Datetime(_) => NodeContent::Moment,
            toml_edit::Value::Array(_) if self.is_too_deep(depth, line) => {
                NodeContent::List(Vec::new())
            }
            toml_edit::Value::Array(array) => {
                let element = |element| self.value(element, line, depth + 1);
                NodeContent::List(array.iter().map(element).collect())
            }
            toml_edit::Value::InlineTable(table) => {
                NodeContent::Table(self.inline_table(table, line, depth))
            }
        };
        self.node(line, content)
    }

    fn inline_table(
        &self,
        table: &toml_edit::InlineTable,
        line: usize,
        depth: usize,
    ) -> SettingsTable {
        let mut read = SettingsTable::default();
        if self.is_too_deep(depth, line) {
            return read;
        }
        for (key, value) in table.iter() {
            let line = self.line_of(table.key(key).and_then(toml_edit::Key::span), line);
            let content = self.value(value, line, depth + 1).content;
            read.insert(key, self.node(line, content));
        }
        read
    }

    fn is_too_deep(&self, depth: usize, line: usize) -> bool {
        if depth > DEPTH_MAX {
            self.too_deep.set(Some(line));
        }
        depth > DEPTH_MAX
    }
}

#[cfg(test)]
mod tests;
