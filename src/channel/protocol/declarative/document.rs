//! A message's body as a value: JSON, a form, or XML; the same on its way out and in.
//!
//! Bodies are built and read as values and written by the codecs, so nothing in a value can break
//! out of its place. Must not know what any field means. Never panics on what came.

use std::borrow::Cow;
use std::ops::Range;

use serde_json::Value as Json;

use crate::codec::FieldLimits;
use crate::codec::form::Fields;
use crate::codec::xml::Element;
use crate::domain::outcome::UnknownCause;

/// How a body is written, in both directions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyFormat {
    Json,
    Form,
    Xml,
}

impl BodyFormat {
    /// The media type that is sent unless the file says another one.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Form => "application/x-www-form-urlencoded",
            Self::Xml => "application/xml; charset=utf-8",
        }
    }
}

/// Where a value stands in a body: a JSON pointer (RFC 6901), the name of a form field, or the
/// names of XML elements from the outermost inwards, `@name` for an attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path {
    name: String,
    /// Of a JSON pointer, the names and places on the way.
    steps: Vec<String>,
    /// Written with a `?` at its end: a reply may come without it.
    pub is_optional: bool,
}

impl Path {
    /// The error says what is wrong with the text.
    pub fn parse(text: &str, format: BodyFormat) -> Result<Self, String> {
        let (name, is_optional) = match text.strip_suffix('?') {
            Some(name) => (name, true),
            None => (text, false),
        };
        match format {
            BodyFormat::Json if !name.starts_with('/') => {
                Err("is not a JSON pointer, which begins with a slash".to_owned())
            }
            BodyFormat::Json if has_bad_escape(name) => {
                Err("has a `~` that is neither `~0` nor `~1` (RFC 6901)".to_owned())
            }
            BodyFormat::Xml if !name.starts_with('/') || name.len() == 1 => {
                Err("is not a path of elements, which begins with a slash".to_owned())
            }
            BodyFormat::Form if name.is_empty() => Err("names no field".to_owned()),
            BodyFormat::Json | BodyFormat::Form | BodyFormat::Xml => {
                let steps = name.split('/').skip(1).map(unescaped).collect();
                Ok(Self { name: name.to_owned(), steps, is_optional })
            }
        }
    }
}

/// A step of a JSON pointer as it is meant (RFC 6901 §4).
fn unescaped(step: &str) -> String {
    step.replace("~1", "/").replace("~0", "~")
}

fn has_bad_escape(pointer: &str) -> bool {
    pointer.split('~').skip(1).any(|rest| !rest.starts_with(['0', '1']))
}

/// The body of a request or a reply, decoded.
pub enum MessageBody {
    Json(Json),
    Form(Fields),
    Xml(Element),
}

impl MessageBody {
    pub fn parse(body: &[u8], format: BodyFormat) -> Result<Self, UnknownCause> {
        Self::parse_within(body, format, FieldLimits::MESSAGE)
    }

    /// The same for replies of another size.
    pub fn parse_within(
        body: &[u8],
        format: BodyFormat,
        limits: FieldLimits,
    ) -> Result<Self, UnknownCause> {
        if body.len() > limits.bytes_max {
            return Err(UnknownCause::Garbled);
        }
        match format {
            BodyFormat::Json => serde_json::from_slice(body).map(Self::Json).ok(),
            BodyFormat::Form => Fields::decode_form(body, limits).map(Self::Form).ok(),
            BodyFormat::Xml => Element::parse_within(body, limits.bytes_max).map(Self::Xml).ok(),
        }
        .ok_or(UnknownCause::Garbled)
    }

    /// The body's bytes. The error never quotes a value.
    pub fn encode(&self) -> Result<Vec<u8>, String> {
        match self {
            Self::Json(value) => serde_json::to_vec(value).map_err(|error| error.to_string()),
            Self::Form(fields) => Ok(fields.encode_form().into_bytes()),
            Self::Xml(root) => {
                root.write().map(String::into_bytes).map_err(|error| error.to_string())
            }
        }
    }

    /// The text at a path. An empty text and a JSON null are nothing.
    pub fn text(&self, path: &Path) -> Result<Option<Cow<'_, str>>, UnknownCause> {
        let found = match self {
            Self::Form(fields) => fields.get(&path.name).map(Cow::Borrowed),
            Self::Json(whole) => at_steps(whole, &path.steps).map_or(Ok(None), plain)?,
            Self::Xml(root) => root
                .text_at(&path.name)
                .map_err(|_| UnknownCause::Garbled)?
                .map(|text| Cow::Borrowed(text.trim())),
        };
        Ok(found.filter(|text| !text.is_empty()))
    }

    /// The values at the top, by name: form fields, members of the JSON object, or children of the
    /// outermost XML element. What has an inside is written compactly (JSON), or refused (XML).
    pub fn top_fields(&self) -> Option<Cow<'_, Fields>> {
        match self {
            Self::Form(fields) => Some(Cow::Borrowed(fields)),
            Self::Json(Json::Object(members)) => {
                let mut fields = Fields::new();
                for (name, value) in members {
                    match value {
                        Json::Null => {}
                        Json::Array(_) | Json::Object(_) => {
                            fields.set(name, &serde_json::to_string(value).ok()?);
                        }
                        Json::String(_) | Json::Number(_) | Json::Bool(_) => {
                            fields.set(name, &plain(value).ok()??);
                        }
                    }
                }
                Some(Cow::Owned(fields))
            }
            Self::Json(_) => None,
            Self::Xml(root) => {
                let mut fields = Fields::new();
                for child in &root.children {
                    // Two of one name: which was signed would be a guess.
                    if !child.children.is_empty() || fields.get(&child.name).is_some() {
                        return None;
                    }
                    fields.set(&child.name, &child.text);
                }
                Some(Cow::Owned(fields))
            }
        }
    }

    /// One of those values.
    pub fn top(&self, name: &str) -> Option<Cow<'_, str>> {
        match self {
            Self::Form(fields) => fields.get(name).map(Cow::Borrowed),
            Self::Json(value) => plain(value.get(name)?).ok().flatten(),
            Self::Xml(root) => {
                let child = root.child(name, None).ok().flatten()?;
                child.children.is_empty().then(|| Cow::Borrowed(child.text.as_str()))
            }
        }
    }

    /// Sets one of those values; it goes last where it is new and there is an order.
    pub fn set_top(&mut self, name: &str, text: &str) {
        match self {
            Self::Form(fields) => fields.set(name, text),
            Self::Json(Json::Object(members)) => {
                members.insert(name.to_owned(), Json::from(text));
            }
            Self::Json(_) => {}
            Self::Xml(root) => {
                root.children.retain(|child| child.name != name);
                root.children.push(Element::with_text(name, text));
            }
        }
    }

    /// Where a child of the outermost XML element stands in the bytes that were parsed.
    pub fn element(&self, name: &str) -> Option<Range<usize>> {
        match self {
            Self::Xml(root) => Some(root.child(name, None).ok().flatten()?.span.clone()),
            Self::Json(_) | Self::Form(_) => None,
        }
    }
}

/// The value at a JSON pointer.
fn at_steps<'v>(whole: &'v Json, steps: &[String]) -> Option<&'v Json> {
    steps.iter().try_fold(whole, |value, step| match value {
        Json::Object(members) => members.get(step),
        Json::Array(items) => {
            // A place has no sign and no zero before it.
            let is_place = !step.starts_with('+') && (step == "0" || !step.starts_with('0'));
            items.get(step.parse::<usize>().ok().filter(|_| is_place)?)
        }
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => None,
    })
}

fn plain(value: &Json) -> Result<Option<Cow<'_, str>>, UnknownCause> {
    match value {
        Json::Null => Ok(None),
        Json::String(text) => Ok(Some(Cow::Borrowed(text.as_str()))),
        Json::Number(number) => Ok(Some(Cow::Owned(number.to_string()))),
        Json::Bool(boolean) => Ok(Some(Cow::Owned(boolean.to_string()))),
        Json::Array(_) | Json::Object(_) => Err(UnknownCause::Garbled),
    }
}

/// The XML element that a tree of values stands for: members are children, `@name` an attribute,
/// `#text` the text, and a list is several children of one name.
pub fn element_of(name: &str, value: &Json) -> Option<Element> {
    let Json::Object(members) = value else {
        return Some(Element::with_text(name, &plain(value).ok()?.unwrap_or_default()));
    };
    let mut element = Element::new(name);
    for (key, value) in members {
        if let Some(attribute) = key.strip_prefix('@') {
            let text = plain(value).ok()?.unwrap_or_default();
            element.attributes.push((attribute.to_owned(), text.into_owned()));
        } else if key == "#text" {
            element.text.push_str(&plain(value).ok()?.unwrap_or_default());
        } else if let Json::Array(items) = value {
            for item in items {
                element.children.push(element_of(key, item)?);
            }
        } else {
            element.children.push(element_of(key, value)?);
        }
    }
    Some(element)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_a_pointer_a_field_or_elements() {
        assert!(Path::parse("/a/0/b?", BodyFormat::Json).is_ok_and(|path| path.is_optional));
        for wrong in ["code", "", "?", "/a~2", "/a~"] {
            assert!(Path::parse(wrong, BodyFormat::Json).is_err(), "{wrong}");
        }
        assert!(Path::parse("code", BodyFormat::Form).is_ok_and(|path| !path.is_optional));
        assert!(Path::parse("?", BodyFormat::Form).is_err());
        assert!(Path::parse("/a/@b?", BodyFormat::Xml).is_ok());
        assert!(
            Path::parse("/", BodyFormat::Xml).is_err()
                && Path::parse("a", BodyFormat::Xml).is_err()
        );
    }

    #[test]
    fn a_json_pointer_is_followed_as_rfc_6901_says() {
        let text = r#"{"":"e","a":[{"b":"0"},"1"],"m~n":"t","a/b":"s","n":null,"~1":"x"}"#;
        let body = MessageBody::parse(text.as_bytes(), BodyFormat::Json).expect("a body");
        let rows = [
            ("/a/0/b", Some("0")),
            ("/a/1", Some("1")),
            ("/a/01", None),
            ("/a/+1", None),
            ("/a/2", None),
            ("/a/-", None),
            ("/a/1/b", None),
            ("/m~0n", Some("t")),
            ("/a~1b", Some("s")),
            ("/~01", Some("x")),
            ("/", Some("e")),
            ("/n", None),
        ];
        for (pointer, expected) in rows {
            let path = Path::parse(pointer, BodyFormat::Json).expect("a pointer");
            assert_eq!(body.text(&path).expect("plain").as_deref(), expected, "{pointer}");
        }
    }

    #[test]
    fn what_stands_at_the_top_is_the_same_in_every_format() {
        let bodies: [(&[u8], BodyFormat); 3] = [
            (br#"{"b":"2","a":1,"n":null,"o":{"x":[1]}}"#, BodyFormat::Json),
            (b"b=2&a=1&o=%7B%22x%22%3A%5B1%5D%7D", BodyFormat::Form),
            (b"<r><b>2</b><a>1</a><o>{\"x\":[1]}</o></r>", BodyFormat::Xml),
        ];
        for (body, format) in bodies {
            let mut document = MessageBody::parse(body, format).expect("a body");
            let line = document.top_fields().expect("plain").encode_line();
            assert_eq!(line, r#"a=1&b=2&o={"x":[1]}"#);
            document.set_top("sign", "S");
            let again = MessageBody::parse(&document.encode().expect("bytes"), format);
            assert_eq!(again.expect("a body").top("sign").as_deref(), Some("S"));
        }
        for (body, format) in
            [(&b"[1]"[..], BodyFormat::Json), (b"<r><a/><a/></r>", BodyFormat::Xml)]
        {
            assert!(MessageBody::parse(body, format).expect("a body").top_fields().is_none());
        }
    }

    #[test]
    fn a_tree_becomes_elements() {
        let tree = serde_json::json!({"@v": 1, "h": {"@id": "x", "#text": "t"}, "i": [1, "2"]});
        let root = element_of("doc", &tree).expect("an element");
        let text = root.write().expect("written");
        assert!(text.ends_with("<doc v=\"1\"><h id=\"x\">t</h><i>1</i><i>2</i></doc>"), "{text}");
    }
}
