//! A message's body as a value: JSON, a form, XML or a text; the same on its way out and in.
//!
//! Bodies are built and read as values and written by the codecs, so nothing in a value can break
//! out of its place. Must not know what any field means. Never panics on what came.

use std::borrow::Cow;

use serde_json::{Map, Value as Json};

use super::format::{BodyForm, BodyFormat};
use super::path::{Inside, Path, PathPlace};
use crate::codec::FieldLimits;
use crate::codec::charset::NamedCharset;
use crate::codec::form::Fields;
use crate::codec::json::span_at;
use crate::codec::json_text::write_json;
use crate::codec::xml::Element;
use crate::domain::outcome::UnknownCause;

/// Bytes that a request usually needs.
const USUAL_BYTES: usize = 512;

/// The body of a request or a reply, decoded.
pub enum MessageBody {
    /// No bytes at all: no path finds anything in it.
    Nothing,
    Json(Json),
    Form(Fields),
    Xml(Element),
    Text(String),
}

/// What came, with the HTTP status of a reply.
pub struct ChannelAnswer {
    pub body: MessageBody,
    /// `None` for a notice, which has none.
    pub status: Option<u16>,
}

impl ChannelAnswer {
    /// The text at a path. An empty text and a JSON null are nothing.
    pub fn text(&self, path: &Path) -> Result<Option<Cow<'_, str>>, UnknownCause> {
        for place in &path.places {
            let found = match place {
                PathPlace::Status => self.status.map(|status| Cow::Owned(status.to_string())),
                PathPlace::Whole
                | PathPlace::Named(_)
                | PathPlace::Steps(_)
                | PathPlace::InField(..) => self.body.text(place)?,
            };
            if let Some(found) = found.filter(|text| !text.is_empty()) {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }
}

impl MessageBody {
    pub fn parse(body: &[u8], form: BodyForm) -> Result<Self, UnknownCause> {
        Self::parse_within(body, form, FieldLimits::MESSAGE)
    }

    /// The same for replies of another size.
    pub fn parse_within(
        body: &[u8],
        form: BodyForm,
        limits: FieldLimits,
    ) -> Result<Self, UnknownCause> {
        if body.is_empty() {
            return Ok(Self::Nothing);
        }
        if body.len() > limits.bytes_max {
            return Err(UnknownCause::Garbled);
        }
        let charset = form.charset;
        match form.format {
            // Its percent signs stand for bytes of the encoding.
            BodyFormat::Form => Fields::decode_form_in(charset, body, limits).map(Self::Form).ok(),
            BodyFormat::Json if charset.is_utf_8() => {
                serde_json::from_slice(body).map(Self::Json).ok()
            }
            BodyFormat::Json | BodyFormat::Xml | BodyFormat::Text => {
                charset.decode(body).and_then(|text| Self::parse_text(&text, form))
            }
        }
        .ok_or(UnknownCause::Garbled)
    }

    fn parse_text(text: &str, form: BodyForm) -> Option<Self> {
        match form.format {
            BodyFormat::Json => serde_json::from_str(text).map(Self::Json).ok(),
            BodyFormat::Xml => Element::parse_text(text, form.charset).map(Self::Xml).ok(),
            BodyFormat::Text => Some(Self::Text(text.trim().to_owned())),
            BodyFormat::Form => None,
        }
    }

    /// The text of a message as people read it: a form without its percent signs.
    pub fn plain_text(&self) -> Result<String, String> {
        if let Self::Form(fields) = self {
            let pairs = fields.iter().map(|(name, value)| format!("{name}={value}"));
            return Ok(pairs.collect::<Vec<_>>().join("&"));
        }
        let bytes = self.encode(NamedCharset::UTF_8)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The body's bytes. The error never quotes a value.
    pub fn encode(&self, charset: NamedCharset) -> Result<Vec<u8>, String> {
        let text = match self {
            Self::Nothing => return Ok(Vec::new()),
            Self::Json(value) if charset.is_utf_8() => {
                let mut bytes = Vec::with_capacity(USUAL_BYTES);
                return match write_json(&mut bytes, value) {
                    Ok(()) => Ok(bytes),
                    Err(error) => Err(error.to_string()),
                };
            }
            Self::Json(value) => serde_json::to_string(value).map_err(|error| error.to_string())?,
            Self::Form(fields) => {
                let form = fields.encode_form_in(charset).map(String::into_bytes);
                return form.ok_or_else(|| lacks_character(charset));
            }
            Self::Xml(root) => root.write_for(charset).map_err(|error| error.to_string())?,
            Self::Text(text) => text.clone(),
        };
        if charset.is_utf_8() {
            return Ok(text.into_bytes());
        }
        let bytes = charset.encode(&text).map(Cow::into_owned);
        bytes.ok_or_else(|| lacks_character(charset))
    }

    fn text(&self, place: &PathPlace) -> Result<Option<Cow<'_, str>>, UnknownCause> {
        match (self, place) {
            (Self::Form(fields), PathPlace::Named(name)) => Ok(fields.get(name).map(Cow::Borrowed)),
            (Self::Form(fields), PathPlace::InField(field, steps)) => {
                let Some(text) = fields.get(field).filter(|text| !text.is_empty()) else {
                    return Ok(None);
                };
                let whole: Json = serde_json::from_str(text).map_err(|_| UnknownCause::Garbled)?;
                let found = at_steps(&whole, steps).map_or(Ok(None), plain)?;
                Ok(found.map(|text| Cow::Owned(text.into_owned())))
            }
            (Self::Json(whole), PathPlace::Steps(steps)) => {
                at_steps(whole, steps).map_or(Ok(None), plain)
            }
            (Self::Xml(root), PathPlace::Named(name)) => {
                let found = root.text_at(name).map_err(|_| UnknownCause::Garbled)?;
                Ok(found.map(|text| Cow::Borrowed(text.trim())))
            }
            (Self::Text(text), PathPlace::Whole) => Ok(Some(Cow::Borrowed(text))),
            // Paths are of the format that they are read with, and nothing has no place.
            (Self::Nothing | Self::Json(_) | Self::Form(_) | Self::Xml(_) | Self::Text(_), _) => {
                Ok(None)
            }
        }
    }

    /// The first text that a path finds, an empty one too; nothing where it leads to no text.
    pub fn first_text(&self, path: &Path) -> Option<Option<Cow<'_, str>>> {
        for place in &path.places {
            if let Some(text) = self.text(place).ok()? {
                return Some(Some(text));
            }
        }
        Some(None)
    }

    /// The values at the top, by name: form fields, members of the JSON object, or children of the
    /// outermost XML element; or those of one object or element in it. What has an inside is
    /// written compactly (JSON), or refused (XML).
    pub fn fields_in(&self, inside: Option<&Inside>) -> Option<Cow<'_, Fields>> {
        match (self, inside) {
            (Self::Form(fields), None) => Some(Cow::Borrowed(fields)),
            (Self::Json(whole), None) => json_fields(whole).map(Cow::Owned),
            (Self::Json(whole), Some(inside)) => {
                json_fields(at_steps(whole, &json_steps(inside))?).map(Cow::Owned)
            }
            (Self::Xml(root), None) => xml_fields(root).map(Cow::Owned),
            (Self::Xml(root), Some(inside)) => {
                xml_fields(element_in(root, inside)?).map(Cow::Owned)
            }
            (Self::Form(_), Some(_)) | (Self::Nothing | Self::Text(_), _) => None,
        }
    }

    /// How many items the list at a path has; `None` where there is no list.
    pub fn items(&self, path: &Path) -> Option<usize> {
        let Self::Json(whole) = self else { return None };
        let [PathPlace::Steps(steps)] = &path.places[..] else { return None };
        at_steps(whole, steps)?.as_array().map(Vec::len)
    }

    /// The same with one item alone in the list at a path.
    pub fn with_item(&self, path: &Path, place: usize) -> Option<Self> {
        let Self::Json(whole) = self else { return None };
        let [PathPlace::Steps(steps)] = &path.places[..] else { return None };
        let item = at_steps(whole, steps)?.as_array()?.get(place)?.clone();
        let list = Json::Array(vec![item]);
        // What is beside the list stays out: the paths of an order found lead into the list.
        Some(Self::Json(
            steps
                .iter()
                .rev()
                .fold(list, |inside, step| Json::Object(Map::from_iter([(step.clone(), inside)]))),
        ))
    }

    /// The text of one value.
    pub fn value(&self, inside: &Inside) -> Option<Cow<'_, str>> {
        match inside {
            Inside::Top(name) => self.top(name),
            Inside::At(place) => self.text(place).ok().flatten(),
        }
    }

    /// Sets one value; `None` where its place cannot be made.
    pub fn set(&mut self, inside: &Inside, text: &str) -> Option<()> {
        let place = match inside {
            Inside::Top(name) => {
                self.set_top(name, text);
                return Some(());
            }
            Inside::At(place) => place.steps(),
        };
        let (last, way) = place.split_last()?;
        match self {
            Self::Json(whole) => {
                let mut at = whole;
                for step in way {
                    at = match at {
                        Json::Array(items) => items.get_mut(step.parse::<usize>().ok()?)?,
                        other => {
                            let members = other.as_object_mut()?;
                            members.entry(step.clone()).or_insert_with(|| Json::Object(Map::new()))
                        }
                    };
                }
                at.as_object_mut()?.insert(last.clone(), Json::from(text));
                Some(())
            }
            Self::Xml(root) => {
                let mut names = way.iter();
                let mut at = (names.next()? == &root.name).then_some(root)?;
                for name in names {
                    if !at.children.iter().any(|child| child.name == *name) {
                        at.children.push(Element::new(name));
                    }
                    at = at.children.iter_mut().find(|child| child.name == *name)?;
                }
                at.children.retain(|child| child.name != *last);
                at.children.push(Element::with_text(last, text));
                Some(())
            }
            Self::Form(_) | Self::Nothing | Self::Text(_) => None,
        }
    }

    /// A member or element as it travels in these bytes, from which this body was read or which
    /// were written of it.
    pub fn raw<'b>(
        &self,
        inside: &Inside,
        bytes: &'b [u8],
        charset: NamedCharset,
    ) -> Option<Cow<'b, [u8]>> {
        let text = charset.decode(bytes)?;
        let span = match self {
            Self::Json(_) => span_at(&text, &json_steps(inside))?,
            Self::Xml(root) => element_in(root, inside)?.span.clone(),
            Self::Form(_) | Self::Nothing | Self::Text(_) => return None,
        };
        match &text {
            Cow::Borrowed(_) => bytes.get(span).map(Cow::Borrowed),
            // Only what is written back as it came is known to have come so.
            Cow::Owned(text) if *charset.encode(text)? == *bytes => {
                charset.encode(text.get(span)?).map(|piece| Cow::Owned(piece.into_owned()))
            }
            Cow::Owned(_) => None,
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
            Self::Nothing | Self::Text(_) => None,
        }
    }

    /// Sets one of those values; it goes last where it is new and there is an order.
    pub fn set_top(&mut self, name: &str, text: &str) {
        match self {
            Self::Form(fields) => fields.set(name, text),
            Self::Json(Json::Object(members)) => {
                members.insert(name.to_owned(), Json::from(text));
            }
            Self::Json(_) | Self::Nothing | Self::Text(_) => {}
            Self::Xml(root) => {
                root.children.retain(|child| child.name != name);
                root.children.push(Element::with_text(name, text));
            }
        }
    }
}

fn json_steps(inside: &Inside) -> Vec<String> {
    match inside {
        Inside::Top(name) => vec![name.clone()],
        Inside::At(place) => place.steps(),
    }
}

fn element_in<'x>(root: &'x Element, inside: &Inside) -> Option<&'x Element> {
    match inside {
        Inside::Top(name) => root.child(name, None).ok().flatten(),
        Inside::At(place) => {
            let steps = place.steps();
            let (first, rest) = steps.split_first()?;
            let root = (*first == root.name).then_some(root)?;
            rest.iter().try_fold(root, |at, name| at.child(name, None).ok().flatten())
        }
    }
}

fn json_fields(value: &Json) -> Option<Fields> {
    let mut fields = Fields::new();
    for (name, value) in value.as_object()? {
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
    Some(fields)
}

fn xml_fields(element: &Element) -> Option<Fields> {
    let mut fields = Fields::new();
    for child in &element.children {
        // Two of one name: which was signed would be a guess.
        if !child.children.is_empty() || fields.get(&child.name).is_some() {
            return None;
        }
        fields.set(&child.name, &child.text);
    }
    Some(fields)
}

fn lacks_character(charset: NamedCharset) -> String {
    format!("a text has a character that {} lacks", charset.name())
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

    fn form(format: BodyFormat) -> BodyForm {
        BodyForm { format, charset: NamedCharset::UTF_8 }
    }

    #[test]
    fn a_json_pointer_is_followed_as_rfc_6901_says() {
        let text = r#"{"":"e","a":[{"b":"0"},"1"],"m~n":"t","a/b":"s","n":null,"~1":"x"}"#;
        let body = MessageBody::parse(text.as_bytes(), form(BodyFormat::Json)).expect("a body");
        let body = ChannelAnswer { body, status: Some(204) };
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
            ("@status", Some("204")),
        ];
        for (pointer, expected) in rows {
            let path = Path::parse(pointer, BodyFormat::Json).expect("a pointer");
            assert_eq!(body.text(&path).expect("plain").as_deref(), expected, "{pointer}");
        }
    }

    #[test]
    fn a_form_s_field_may_hold_json() {
        let fields = br#"empty=&text=plain&content={"a":[{"b":"x"}],"n":null,"o":{}}"#;
        let body = MessageBody::parse(fields, form(BodyFormat::Form)).expect("a body");
        let body = ChannelAnswer { body, status: None };
        for (path, expected) in [
            ("/content/a/0/b", Ok(Some("x"))),
            ("/content/a/1/b", Ok(None)),
            ("/content/n", Ok(None)),
            ("/content/o", Err(UnknownCause::Garbled)),
            ("/text/a", Err(UnknownCause::Garbled)),
            ("/empty/a", Ok(None)),
            ("/none/a", Ok(None)),
        ] {
            let place = Path::parse(path, BodyFormat::Form).expect("a path");
            let found = body.text(&place).map(|found| found.map(Cow::into_owned));
            assert_eq!(found.as_ref().map(Option::as_deref), expected.as_ref().copied(), "{path}");
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
            let mut document = MessageBody::parse(body, form(format)).expect("a body");
            let line = document.fields_in(None).expect("plain").encode_line();
            assert_eq!(line, r#"a=1&b=2&o={"x":[1]}"#);
            document.set_top("sign", "S");
            let bytes = document.encode(NamedCharset::UTF_8).expect("bytes");
            let again = MessageBody::parse(&bytes, form(format));
            assert_eq!(again.expect("a body").top("sign").as_deref(), Some("S"));
        }
        for (body, format) in
            [(&b"[1]"[..], BodyFormat::Json), (b"<r><a/><a/></r>", BodyFormat::Xml)]
        {
            assert!(
                MessageBody::parse(body, form(format)).expect("a body").fields_in(None).is_none()
            );
        }
    }

    #[test]
    fn a_tree_becomes_elements() {
        let tree = serde_json::json!({"@v": 1, "h": {"@id": "x", "#text": "t"}, "i": [1, "2"]});
        let root = element_of("doc", &tree).expect("an element");
        let text = root.write().expect("written");
        assert!(text.ends_with("<doc v=\"1\"><h id=\"x\">t</h><i>1</i><i>2</i></doc>"), "{text}");
    }

    #[test]
    fn bytes_of_another_encoding_are_the_same_values() {
        let gbk = NamedCharset::parse("gbk").expect("known");
        let bodies: [(&[u8], BodyFormat); 3] = [
            (b"{\"a\":\"\xb6\xa9\"}", BodyFormat::Json),
            (b"a=%B6%A9", BodyFormat::Form),
            (b"<?xml version=\"1.0\" encoding=\"GBK\"?><r><a>\xb6\xa9</a></r>", BodyFormat::Xml),
        ];
        for (bytes, format) in bodies {
            let form = BodyForm { format, charset: gbk };
            let body = MessageBody::parse(bytes, form).expect("a body");
            assert_eq!(body.top("a").as_deref(), Some("订"), "{format:?}");
            assert_eq!(body.encode(gbk).expect("bytes"), bytes, "{format:?}");
        }
        let mut body = MessageBody::Json(serde_json::json!({}));
        body.set_top("a", "😀");
        assert_eq!(body.encode(gbk), Err("a text has a character that GBK lacks".to_owned()));
        let half = BodyForm { format: BodyFormat::Json, charset: gbk };
        assert!(MessageBody::parse(b"{\"a\":\"\xb6\"}", half).is_err());
    }

    #[test]
    fn a_text_has_one_place_and_nothing_has_none() {
        let read = |bytes: &[u8], format| {
            let body = MessageBody::parse(bytes, form(format)).expect("a body");
            ChannelAnswer { body, status: None }
        };
        let whole = Path::parse("@body", BodyFormat::Text).expect("a path");
        let text = read(b" success\n", BodyFormat::Text);
        assert_eq!(text.text(&whole).expect("plain").as_deref(), Some("success"));
        let pointer = Path::parse("/a", BodyFormat::Json).expect("a path");
        assert_eq!(read(b"", BodyFormat::Json).text(&pointer), Ok(None));
    }
}
