//! Reads one value of a setting into a type, or says what is wrong with it and what to write.
//!
//! This file must not know where the value stands nor what it means; `section` adds the place.
//! Upholds I-11: with `secret`, no message quotes the value.

use std::borrow::Cow;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::mistake::{nearest, quote};
use super::raw::{Node, NodeContent, show_key, split_untyped};

/// How many known keys or choices an advice lists.
const LISTED_MAX: usize = 20;

/// An integer type that settings can be read into.
pub trait Integer: Copy + PartialOrd + Display + TryFrom<i64> {}
impl<T: Copy + PartialOrd + Display + TryFrom<i64>> Integer for T {}

/// A mistake in a value, before its place is known.
pub(super) struct Complaint {
    pub(super) problem: String,
    pub(super) advice: String,
}

pub(super) type ValueResult<T> = Result<T, Complaint>;

fn text_of(node: &Node) -> Option<&str> {
    match &node.content {
        NodeContent::Text(text) | NodeContent::Untyped(text) => Some(text),
        NodeContent::Integer(_)
        | NodeContent::Boolean(_)
        | NodeContent::Fraction
        | NodeContent::Moment
        | NodeContent::List(_)
        | NodeContent::Table(_) => None,
    }
}

/// The complaint without the value it is about: its words may come from a parser that quotes it.
pub(super) fn hide_secret(node: &Node, complaint: Complaint) -> Complaint {
    let secrets = texts_of(node);
    let leaks = |message: &str| secrets.iter().any(|text| message.contains(text));
    let Complaint { mut problem, mut advice } = complaint;
    if leaks(&problem) {
        problem = "is refused (the value is not shown)".to_owned();
    }
    if leaks(&advice) {
        advice = "correct the value".to_owned();
    }
    Complaint { problem, advice }
}

/// Every text that a message about a secret must not contain.
fn texts_of(node: &Node) -> Vec<String> {
    let whole = match &node.content {
        NodeContent::Text(text) | NodeContent::Untyped(text) => vec![text.clone()],
        NodeContent::Integer(integer) => vec![integer.to_string()],
        NodeContent::List(nodes) => nodes.iter().flat_map(texts_of).collect(),
        NodeContent::Boolean(_)
        | NodeContent::Fraction
        | NodeContent::Moment
        | NodeContent::Table(_) => Vec::new(),
    };
    let parts = whole.iter().flat_map(|text| text.split(',')).map(str::trim).map(str::to_owned);
    let parts: Vec<String> = parts.collect();
    whole.into_iter().chain(parts).filter(|text| !text.is_empty()).collect()
}

pub(super) fn elements(node: &Node) -> Option<Cow<'_, [Node]>> {
    match &node.content {
        NodeContent::List(nodes) => Some(Cow::Borrowed(nodes)),
        NodeContent::Untyped(text) => split_untyped(text, &node.place).map(Cow::Owned),
        NodeContent::Text(_)
        | NodeContent::Integer(_)
        | NodeContent::Boolean(_)
        | NodeContent::Fraction
        | NodeContent::Moment
        | NodeContent::Table(_) => None,
    }
}

/// The kind that stands there and the kind that should; the advice is the caller's to give.
pub(super) fn wrong_kind(content: &NodeContent, wanted: &str) -> Complaint {
    Complaint { problem: format!("is {}, not {wanted}", content.kind()), advice: String::new() }
}

fn wrong_kind_such_as(content: &NodeContent, wanted: &str, example: &str) -> Complaint {
    Complaint { advice: format!("write for example {example}"), ..wrong_kind(content, wanted) }
}

pub(super) fn read_text(node: &Node, example: &str) -> ValueResult<String> {
    text_of(node)
        .map(str::to_owned)
        .ok_or_else(|| wrong_kind_such_as(&node.content, "a text", example))
}

pub(super) fn read_parsed<T, E: Display>(
    node: &Node,
    example: &str,
    secret: bool,
    parse: impl FnOnce(&str) -> Result<T, E>,
) -> ValueResult<T> {
    let text = read_text(node, example)?;
    parse(&text).map_err(|error| {
        let advice = format!("write for example {example}");
        let complaint = Complaint { problem: error.to_string(), advice };
        if secret { hide_secret(node, complaint) } else { complaint }
    })
}

pub(super) fn read_boolean(node: &Node) -> ValueResult<bool> {
    match &node.content {
        NodeContent::Boolean(boolean) => Ok(*boolean),
        NodeContent::Untyped(text) if text.trim() == "true" => Ok(true),
        NodeContent::Untyped(text) if text.trim() == "false" => Ok(false),
        other => Err(Complaint {
            advice: "write true or false".to_owned(),
            ..wrong_kind(other, "a boolean")
        }),
    }
}

pub(super) fn read_integer<T: Integer>(
    node: &Node,
    range: &RangeInclusive<T>,
    secret: bool,
) -> ValueResult<T> {
    let given = match &node.content {
        NodeContent::Integer(integer) => Some(*integer),
        NodeContent::Untyped(text) => text.trim().parse().ok(),
        NodeContent::Text(_)
        | NodeContent::Boolean(_)
        | NodeContent::Fraction
        | NodeContent::Moment
        | NodeContent::List(_)
        | NodeContent::Table(_) => None,
    };
    let advice = format!("write a whole number {}", within(range));
    let Some(given) = given else {
        return Err(Complaint { advice, ..wrong_kind(&node.content, "an integer") });
    };
    T::try_from(given).ok().filter(|value| range.contains(value)).ok_or_else(|| {
        let shown = if secret { quote("", secret) } else { given.to_string() };
        Complaint { problem: format!("{shown} is out of range"), advice }
    })
}

/// A bound of twelve digits or more is left out: it is no bound anyone meets, and is not shown.
fn within<T: Integer>(range: &RangeInclusive<T>) -> String {
    let (start, end) = (range.start().to_string(), range.end().to_string());
    if end.len() < 12 { format!("from {start} to {end}") } else { format!("of at least {start}") }
}

pub(super) fn read_duration(
    node: &Node,
    range: &RangeInclusive<Duration>,
    secret: bool,
) -> ValueResult<Duration> {
    let (start, end) = (show_duration(*range.start()), show_duration(*range.end()));
    let advice = format!("write a duration from \"{start}\" to \"{end}\"");
    let Some(text) = text_of(node) else {
        return Err(Complaint { advice, ..wrong_kind(&node.content, "a duration") });
    };
    let Some(duration) = parse_duration(text) else {
        let problem = format!("{} is not a duration", quote(text, secret));
        let example = duration_example(range);
        let advice = format!("write a number and ms, s, m, h or d, such as {example}");
        return Err(Complaint { problem, advice });
    };
    if range.contains(&duration) {
        return Ok(duration);
    }
    Err(Complaint { problem: format!("{} is out of range", quote(text, secret)), advice })
}

/// `"250ms"`, `"2s"`, `"5m"`, `"1h"` or `"1d"`: digits and one unit, nothing between or around.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let unit_at = text.find(|character: char| !character.is_ascii_digit())?;
    let (number, unit) = text.split_at(unit_at);
    let count: u64 = number.parse().ok()?;
    let seconds = match unit {
        "ms" => return Some(Duration::from_millis(count)),
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return None,
    };
    count.checked_mul(seconds).map(Duration::from_secs)
}

/// The duration in the largest unit that expresses it whole, as [`parse_duration`] reads it.
pub fn show_duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    if duration.subsec_nanos() > 0 || seconds == 0 {
        return if duration.is_zero() {
            "0s".to_owned()
        } else {
            format!("{}ms", duration.as_millis())
        };
    }
    let units = [(86_400, "d"), (3_600, "h"), (60, "m")];
    let fitting = units.iter().find(|(size, _)| seconds.is_multiple_of(*size));
    let (size, unit) = fitting.copied().unwrap_or((1, "s"));
    format!("{}{unit}", seconds / size)
}

pub(super) fn duration_example(range: &RangeInclusive<Duration>) -> String {
    let usual = Duration::from_secs(5);
    let example = if range.contains(&usual) { usual } else { *range.start() };
    format!("\"{}\"", show_duration(example))
}

pub(super) fn read_choice<T: Clone>(
    node: &Node,
    allowed: &[(&str, T)],
    secret: bool,
) -> ValueResult<T> {
    let names = allowed.iter().map(|(name, _)| *name);
    let one_of = format!("allowed: {}", listed(names.clone()));
    let Some(text) = text_of(node) else {
        return Err(Complaint { advice: one_of, ..wrong_kind(&node.content, "a text") });
    };
    let chosen = allowed.iter().find(|(name, _)| *name == text);
    chosen.map(|(_, value)| value.clone()).ok_or_else(|| Complaint {
        problem: format!("{} is not allowed", quote(text, secret)),
        advice: match nearest(text, names) {
            Some(near) => format!("did you mean \"{near}\"? {one_of}"),
            None => one_of,
        },
    })
}

pub(super) fn listed<'n>(names: impl Iterator<Item = &'n str> + Clone) -> String {
    let shown: Vec<String> = names.clone().take(LISTED_MAX).map(show_key).collect();
    let rest = if names.count() > LISTED_MAX { ", …" } else { "" };
    format!("{}{rest}", shown.join(", "))
}
