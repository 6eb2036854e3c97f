//! A message of the channel as it is written: values laid at the paths where they will be read.

use serde_json::{Map, Value as Json};

use super::super::document::MessageBody;
use super::super::encrypt::Decryption;
use super::super::format::{BodyForm, BodyFormat};
use super::super::path::{Path, PathPlace};
use crate::codec::form::Fields;
use crate::codec::xml::Element;

const STATUS_UNLISTED: u16 = 418;

/// A body that grows value by value, and the status that it comes with.
pub struct MessageDraft {
    form: BodyForm,
    pub body: MessageBody,
    pub status: u16,
}

impl MessageDraft {
    pub const fn new(form: BodyForm) -> Self {
        Self { form, body: MessageBody::Nothing, status: 200 }
    }

    /// Lays a text at a path: at the status where it reads like one and the path looks there, and
    /// otherwise at the first of its places in the body.
    pub fn set(&mut self, path: &Path, text: &str) {
        let status = text.parse::<u16>().ok().filter(|number| (100..=599).contains(number));
        if let Some(status) = status.filter(|_| path.needs_status()) {
            self.status = status;
            return;
        }
        match path.places.iter().find(|place| **place != PathPlace::Status) {
            Some(place) => self.lay(place, Json::from(text)),
            // What is no status at a place for statuses alone: one that nobody lists.
            None => self.status = STATUS_UNLISTED,
        }
    }

    /// Lays an empty list at a path of JSON.
    pub fn set_empty_list(&mut self, path: &Path) {
        if let Some(place) = path.places.first() {
            self.lay(place, Json::Array(Vec::new()));
        }
    }

    fn lay(&mut self, place: &PathPlace, value: Json) {
        if matches!(self.body, MessageBody::Nothing) {
            self.body = match self.form.format {
                BodyFormat::Json => MessageBody::Json(Json::Null),
                BodyFormat::Form => MessageBody::Form(Fields::new()),
                BodyFormat::Xml => {
                    let root = place.steps().into_iter().next().unwrap_or_default();
                    MessageBody::Xml(Element::new(&root))
                }
                BodyFormat::Text => MessageBody::Text(String::new()),
            };
        }
        let text = value.as_str().unwrap_or_default();
        match (&mut self.body, place) {
            (MessageBody::Form(fields), PathPlace::Named(name)) => fields.set(name, text),
            (MessageBody::Form(fields), PathPlace::InField(field, steps)) => {
                let held = fields.get(field).and_then(|held| serde_json::from_str(held).ok());
                let mut held = held.unwrap_or(Json::Null);
                lay_json(&mut held, steps, value.clone());
                fields.set(field, &held.to_string());
            }
            (MessageBody::Text(whole), _) => text.clone_into(whole),
            (MessageBody::Json(whole), place) => lay_json(whole, &place.steps(), value),
            (MessageBody::Xml(root), place) => lay_xml(root, &place.steps(), text),
            (MessageBody::Form(_) | MessageBody::Nothing, _) => {}
        }
    }

    /// The body's bytes. The error says what cannot be written.
    pub fn encode(&self) -> Result<Vec<u8>, String> {
        self.body.encode(self.form.charset)
    }

    /// Hides a text at the places where this decryption will look for it.
    pub fn hide(&mut self, decryption: &Decryption, plain: &[u8]) -> Result<(), String> {
        let length = decryption.key.mode().vector_bytes();
        let vector = "rehearsal-vector"[..length].to_owned();
        let context = decryption.context.as_ref().map_or("", |_| "rehearsal");
        let cipher = decryption.key.encrypt(vector.as_bytes(), context.as_bytes(), plain);
        let cipher = cipher.map_err(|error| error.to_string())?;
        let text = decryption.write(&vector, cipher);
        self.set(&decryption.cipher_text, &text);
        if let Some(path) = &decryption.vector {
            self.set(path, &vector);
        }
        if let Some(path) = &decryption.context {
            self.set(path, context);
        }
        Ok(())
    }
}

fn lay_json(at: &mut Json, steps: &[String], value: Json) {
    let Some((step, rest)) = steps.split_first() else {
        *at = value;
        return;
    };
    if at.is_null() {
        let is_list = step.parse::<usize>().is_ok();
        *at = if is_list { Json::Array(Vec::new()) } else { Json::Object(Map::new()) };
    }
    match at {
        Json::Object(members) => {
            lay_json(members.entry(step.clone()).or_insert(Json::Null), rest, value);
        }
        Json::Array(items) => {
            let Some(index) = step.parse::<usize>().ok().filter(|index| *index < 16) else {
                return;
            };
            while items.len() <= index {
                items.push(Json::Null);
            }
            lay_json(&mut items[index], rest, value);
        }
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => {}
    }
}

fn lay_xml(root: &mut Element, steps: &[String], text: &str) {
    let mut at = root;
    for step in steps.iter().skip(1) {
        if let Some(attribute) = step.strip_prefix('@') {
            at.attributes.retain(|(name, _)| name != attribute);
            at.attributes.push((attribute.to_owned(), text.to_owned()));
            return;
        }
        let known = at.children.iter().position(|child| child.name == *step);
        let index = known.unwrap_or_else(|| {
            at.children.push(Element::new(step));
            at.children.len() - 1
        });
        at = &mut at.children[index];
    }
    text.clone_into(&mut at.text);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::charset::NamedCharset;

    #[test]
    fn values_stand_where_their_paths_find_them() {
        let rows = [
            (BodyFormat::Json, "/data/0/no", "/code"),
            (BodyFormat::Form, "no", "code"),
            (BodyFormat::Xml, "/doc/body/no", "/doc/head/@code"),
        ];
        for (format, first, second) in rows {
            let mut draft = MessageDraft::new(BodyForm { format, charset: NamedCharset::UTF_8 });
            let paths = [first, second].map(|text| Path::parse(text, format).expect("a path"));
            draft.set(&paths[0], "N 1");
            draft.set(&paths[1], "00");
            let bytes = draft.encode().expect("bytes");
            let read = MessageBody::parse(&bytes, draft.form).expect("a body");
            let found = [&paths[0], &paths[1]].map(|path| read.first_text(path).flatten());
            let found = found.map(|text| text.expect("a text").into_owned());
            assert_eq!(found, ["N 1", "00"], "{format:?}");
        }
        let form = BodyForm { format: BodyFormat::Text, charset: NamedCharset::UTF_8 };
        let mut draft = MessageDraft::new(form);
        draft.set(&Path::parse("@status", BodyFormat::Text).expect("a path"), "404");
        assert_eq!(draft.status, 404);
    }
}
