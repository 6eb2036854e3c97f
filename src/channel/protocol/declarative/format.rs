//! What bodies are written in: a format and an encoding of text.

use crate::codec::charset::NamedCharset;

/// What a body is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyFormat {
    Json,
    Form,
    Xml,
    /// Only what comes may be one.
    Text,
}

/// How a body is written: what in, and in which encoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BodyForm {
    pub format: BodyFormat,
    pub charset: NamedCharset,
}

impl BodyForm {
    /// The media type that is sent unless the file says another one.
    pub fn content_type(self) -> String {
        let plain = match self.format {
            BodyFormat::Json => "application/json",
            BodyFormat::Form => "application/x-www-form-urlencoded",
            BodyFormat::Xml if self.charset.is_utf_8() => "application/xml; charset=utf-8",
            BodyFormat::Xml => "application/xml",
            BodyFormat::Text => "text/plain",
        };
        if self.charset.is_utf_8() {
            return plain.to_owned();
        }
        format!("{plain}; charset={}", self.charset.name())
    }
}
