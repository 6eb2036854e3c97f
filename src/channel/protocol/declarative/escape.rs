//! What a value needs to stay a value in the text around it: a description must never end the
//! quotes that it stands in, and so change what was signed.
//!
//! A text of several parts is seen as what its literal parts make of it: JSON, XML, a query
//! string, a header's quoted strings, or plain words. Decided once, when the file is read; what
//! cannot be told apart is a mistake then. Must not know any word.

use super::parts::{TemplateMistake, TemplatePart};
use crate::codec::charset::NamedCharset;
use crate::codec::xml::{Element, escape as escape_xml};

/// Signs that divide a text into parts: a value between two of them may have neither.
const DIVIDERS: [char; 3] = ['|', '^', '&'];

/// How a value is written at one place of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Escape {
    /// As it is, without these characters and without control characters.
    Plain(Vec<char>),
    /// Inside the quotes of a JSON text.
    JsonText,
    /// A whole JSON value, whose text is JSON already.
    JsonValue,
    /// Inside an element or an attribute's quotes.
    Xml,
    /// Percent-encoded.
    Query,
    /// Inside the quotes of a header (RFC 9110 §5.6.4).
    Quoted,
}

impl Escape {
    /// A value's text as it stands there; `None` where it could not stand there.
    pub fn write(&self, text: String) -> Option<String> {
        match self {
            Self::Plain(forbidden) => {
                let fits = |c: char| !c.is_control() && !forbidden.contains(&c);
                (forbidden.is_empty() || text.chars().all(fits)).then_some(text)
            }
            Self::JsonText => {
                let quoted = serde_json::to_string(&text).ok()?;
                quoted.get(1..quoted.len() - 1).map(str::to_owned)
            }
            Self::JsonValue => Some(text),
            Self::Xml => {
                let mut out = String::with_capacity(text.len() + 16);
                escape_xml(&text, &mut out).ok()?;
                Some(out)
            }
            Self::Query => Some(encode_percent(&text)),
            Self::Quoted => {
                let mut out = String::with_capacity(text.len() + 4);
                for character in text.chars() {
                    if matches!(character, '"' | '\\') {
                        out.push('\\');
                    }
                    out.push(character);
                }
                Some(out)
            }
        }
    }
}

/// Percent-encodes all but the unreserved characters (RFC 3986 §2.3), slashes too.
pub fn encode_percent(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// How each expression of a text of several parts is written. Nothing for a text of one part.
pub fn escapes(
    parts: &[TemplatePart<'_>],
    in_header: bool,
) -> Result<Vec<Escape>, TemplateMistake> {
    if parts.len() < 2 {
        return Ok(parts.iter().map(|_| Escape::Plain(Vec::new())).collect());
    }
    if in_header {
        return Ok(in_quotes(parts));
    }
    let first = match parts.first() {
        Some(TemplatePart::Literal(text)) => text.trim_start(),
        Some(TemplatePart::Expression(_)) | None => "",
    };
    if first.starts_with('<') {
        return in_xml(parts);
    }
    if first.starts_with(['{', '[']) {
        match in_json(parts) {
            Some(escapes) => return Ok(escapes),
            // Brackets may be words' own.
            None if first.starts_with('[') => {}
            None => {
                return Err(TemplateMistake {
                    problem: "begins like a JSON text and is none".to_owned(),
                    advice: "write a table in its place, or {{ {...} | tojson }}".to_owned(),
                });
            }
        }
    }
    if is_query(first, parts) {
        return Ok(parts.iter().map(|_| Escape::Query).collect());
    }
    Ok(between_dividers(parts))
}

/// The text with a sign for each expression, and whether each stands in JSON's quotes.
fn in_json(parts: &[TemplatePart<'_>]) -> Option<Vec<Escape>> {
    let (mut text, mut escapes, mut quoted) = (String::new(), Vec::new(), false);
    for part in parts {
        match part {
            TemplatePart::Literal(literal) => {
                let mut signs = literal.chars();
                while let Some(sign) = signs.next() {
                    match sign {
                        '\\' if quoted => drop(signs.next()),
                        '"' => quoted = !quoted,
                        _ => {}
                    }
                }
                text.push_str(literal);
                escapes.push(Escape::JsonText);
            }
            TemplatePart::Expression(_) => {
                text.push('0');
                escapes.push(if quoted { Escape::JsonText } else { Escape::JsonValue });
            }
        }
    }
    serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok().then_some(escapes)
}

fn in_xml(parts: &[TemplatePart<'_>]) -> Result<Vec<Escape>, TemplateMistake> {
    let wrong = |problem: &str| {
        let advice = "write values inside elements or an attribute's quotes".to_owned();
        Err(TemplateMistake { problem: problem.to_owned(), advice })
    };
    let mut text = String::new();
    let (mut in_tag, mut quote) = (false, None);
    for part in parts {
        match part {
            TemplatePart::Literal(literal) if literal.contains("<!") => {
                return wrong("is an XML text with a section that no value can be escaped for");
            }
            TemplatePart::Literal(literal) => {
                for sign in literal.chars() {
                    match (sign, quote) {
                        ('<', None) => in_tag = true,
                        ('>', None) => in_tag = false,
                        ('"' | '\'', None) if in_tag => quote = Some(sign),
                        (_, Some(open)) if sign == open => quote = None,
                        _ => {}
                    }
                }
                text.push_str(literal);
            }
            TemplatePart::Expression(_) if in_tag && quote.is_none() => {
                return wrong("is an XML text with a value inside a tag");
            }
            TemplatePart::Expression(_) => text.push('0'),
        }
    }
    if Element::parse_text(&text, NamedCharset::UTF_8).is_err() {
        return wrong("begins like an XML text and is none");
    }
    Ok(parts.iter().map(|_| Escape::Xml).collect())
}

/// Whether a text is `a=…&b=…`.
fn is_query(first: &str, parts: &[TemplatePart<'_>]) -> bool {
    let is_name = |text: &str| {
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._[]".contains(&b))
    };
    let named = |text: &str| text.split_once('=').is_some_and(|(name, _)| is_name(name));
    let goes_on = parts.iter().any(|part| match part {
        TemplatePart::Literal(text) => text.split('&').skip(1).any(named),
        TemplatePart::Expression(_) => false,
    });
    named(first) && goes_on
}

fn in_quotes(parts: &[TemplatePart<'_>]) -> Vec<Escape> {
    let mut quoted = false;
    let of = |part: &TemplatePart<'_>| match part {
        TemplatePart::Literal(text) => {
            quoted ^= text.matches('"').count() % 2 == 1;
            Escape::Plain(Vec::new())
        }
        TemplatePart::Expression(_) if quoted => Escape::Quoted,
        TemplatePart::Expression(_) => Escape::Plain(vec!['"', ',', ';']),
    };
    parts.iter().map(of).collect()
}

fn between_dividers(parts: &[TemplatePart<'_>]) -> Vec<Escape> {
    let divides = |sign: &char| DIVIDERS.contains(sign) || sign.is_control();
    let literals = parts.iter().filter_map(|part| match part {
        TemplatePart::Literal(text) => Some(*text),
        TemplatePart::Expression(_) => None,
    });
    let mut forbidden: Vec<char> = literals.flat_map(str::chars).filter(divides).collect();
    forbidden.sort_unstable();
    forbidden.dedup();
    parts.iter().map(|_| Escape::Plain(forbidden.clone())).collect()
}

/// The mistake of an expression that puts JSON, XML or a query together by hand, which nothing
/// escapes. Texts in quotes inside it are looked at, not its own brackets.
pub fn joined_by_hand(source: &str) -> Option<TemplateMistake> {
    let (mut quote, mut inner) = (None, String::new());
    let mut signs = source.chars();
    while let Some(sign) = signs.next() {
        match quote {
            Some(_) if sign == '\\' => inner.extend(signs.next()),
            Some(open) if sign == open => quote = None,
            Some(_) => inner.push(sign),
            None if matches!(sign, '"' | '\'') => quote = Some(sign),
            None => {}
        }
    }
    let is_query = inner.contains('&') && inner.contains('=') && !source.contains("urlencode");
    (inner.contains(['{', '<', '"']) || is_query).then(|| TemplateMistake {
        problem: format!("{{{{ {source} }}}} puts a text together in which nothing is escaped"),
        advice: "write {{ {'name': word} | tojson }}, a table, or a text around {{ word }}"
            .to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::parts::split;
    use super::*;

    fn kinds(text: &str, in_header: bool) -> Vec<Escape> {
        let parts = split(text).expect("a template");
        let found = escapes(&parts, in_header).expect("escapable");
        let expressions = parts.iter().zip(found);
        let expressions =
            expressions.filter(|(part, _)| matches!(part, TemplatePart::Expression(_)));
        expressions.map(|(_, escape)| escape).collect()
    }

    #[test]
    fn a_text_is_what_its_literal_parts_make_of_it() {
        use Escape::{JsonText, JsonValue, Plain, Query, Quoted, Xml};
        let rows: [(&str, bool, Vec<Escape>); 9] = [
            ("{\"a\":\"{{ x }}\",\"b\":{{ y }}}", false, vec![JsonText, JsonValue]),
            ("[\"\\\"{{ x }}\"]", false, vec![JsonText]),
            ("[note] {{ x }}", false, vec![Plain(vec![])]),
            ("<a b='{{ x }}'>{{ y }}</a>", false, vec![Xml, Xml]),
            ("a={{ x }}&b={{ y }}", false, vec![Query, Query]),
            ("order {{ x }} & more", false, vec![Plain(vec!['&'])]),
            ("{{ x }}|{{ y }}", false, vec![Plain(vec!['|']), Plain(vec!['|'])]),
            ("{{ x }}", false, vec![Plain(vec![])]),
            ("K a=\"{{ x }}\",b={{ y }}", true, vec![Quoted, Plain(vec!['"', ',', ';'])]),
        ];
        for (text, in_header, expected) in rows {
            assert_eq!(kinds(text, in_header), expected, "{text}");
        }
        for wrong in [
            "{ {{ x }}",
            "<a {{ x }}=\"1\"/>",
            "<{{ x }}/>",
            "<a>{{ x }}",
            "<a><![CDATA[{{ x }}]]></a>",
        ] {
            assert!(escapes(&split(wrong).expect("parts"), false).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_put_together_by_hand_is_seen() {
        for wrong in [
            "'{\"a\":\"' ~ description ~ '\"}'",
            "'<a>' ~ description",
            "'a=1&b=' ~ description",
            "'\"' ~ description",
        ] {
            assert!(joined_by_hand(wrong).is_some(), "{wrong}");
        }
        for right in [
            "{'a': description} | tojson",
            "description | default('order ' ~ order_no)",
            "'a=1&b=' ~ (description | urlencode)",
            "card.expiry[2:] ~ card.expiry[:2]",
        ] {
            assert!(joined_by_hand(right).is_none(), "{right}");
        }
    }
}
