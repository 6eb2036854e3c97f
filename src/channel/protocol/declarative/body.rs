//! A request's body: a tree of templates that becomes JSON, form fields or XML.
//!
//! Bodies are built as values and written by the codecs, so nothing in a value can break out of its
//! place. A leaf that the request has nothing for is left out, and so is a table that loses all its
//! leaves this way.

use serde_json::{Map, Value as Json};

use super::document::{MessageBody, element_of};
use super::format::BodyFormat;
use super::template::{RenderError, Template};
use super::words::Words;
use crate::codec::form::Fields;

#[derive(Debug)]
pub enum Body {
    Leaf(Template),
    List(Vec<Body>),
    /// In the file's order, which is the order that it is sent in.
    Table(Vec<(String, Body)>),
}

/// Why a body cannot be built: the place in it, never the value there (I-11).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {source}")]
pub struct BodyError {
    /// Dotted path of the leaf.
    pub place: String,
    pub source: RenderError,
}

impl BodyError {
    fn inside(mut self, name: &str) -> Self {
        let dot = if self.place.is_empty() { "" } else { "." };
        self.place = format!("{name}{dot}{}", self.place);
        self
    }
}

impl Body {
    /// The body of one request.
    pub fn build(&self, words: &Words<'_>, format: BodyFormat) -> Result<MessageBody, BodyError> {
        match format {
            BodyFormat::Json => self.to_json(words).map(MessageBody::Json),
            // The reader takes none.
            BodyFormat::Text => Err(not_plain_text()),
            BodyFormat::Form => self.to_fields(words).map(MessageBody::Form),
            // The reader has made sure that the tree is one table inside another.
            BodyFormat::Xml => {
                let Json::Object(members) = self.to_json(words)? else {
                    return Err(not_plain_text());
                };
                let root = members.iter().next();
                let root = root.and_then(|(name, value)| element_of(name, value));
                root.map(MessageBody::Xml).ok_or_else(not_plain_text)
            }
        }
    }

    fn to_json(&self, words: &Words<'_>) -> Result<Json, BodyError> {
        Ok(self.value(words)?.unwrap_or_else(|| Json::Object(Map::new())))
    }

    fn value(&self, words: &Words<'_>) -> Result<Option<Json>, BodyError> {
        match self {
            Self::Leaf(template) => {
                template.render(words).map_err(|source| BodyError { place: String::new(), source })
            }
            Self::List(items) => {
                let mut values = Vec::with_capacity(items.len());
                for (index, item) in items.iter().enumerate() {
                    let value = item.value(words).map_err(|e| e.inside(&index.to_string()))?;
                    values.extend(value);
                }
                Ok((!values.is_empty() || items.is_empty()).then_some(Json::Array(values)))
            }
            Self::Table(entries) => {
                let mut map = Map::with_capacity(entries.len());
                for (key, entry) in entries {
                    if let Some(value) = entry.value(words).map_err(|e| e.inside(key))? {
                        map.insert(key.clone(), value);
                    }
                }
                Ok((!map.is_empty() || entries.is_empty()).then_some(Json::Object(map)))
            }
        }
    }

    /// Form fields.
    fn to_fields(&self, words: &Words<'_>) -> Result<Fields, BodyError> {
        let mut fields = Fields::new();
        let fault = |place: &str, source| BodyError { place: place.to_owned(), source };
        let Self::Table(entries) = self else { return Err(fault("", RenderError::NotPlain)) };
        for (key, entry) in entries {
            let text = match entry {
                Self::Leaf(template) => {
                    template.render_text(words).map_err(|source| fault(key, source))?
                }
                // What has an inside is a JSON text in one field.
                Self::List(_) | Self::Table(_) => {
                    let value = entry.value(words).map_err(|error| error.inside(key))?;
                    let text = value.map(|value| serde_json::to_string(&value)).transpose();
                    text.map_err(|_| fault(key, RenderError::NotPlain))?
                }
            };
            if let Some(text) = text {
                fields.set(key, &text);
            }
        }
        Ok(fields)
    }
}

fn not_plain_text() -> BodyError {
    BodyError { place: String::new(), source: RenderError::NotPlain }
}
