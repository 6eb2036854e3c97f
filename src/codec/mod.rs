//! Bytes in, values out, and back: the formats and cryptography that channels speak.
//!
//! Everything here is pure: no sockets, files, clocks or configuration. Keys and times are given by
//! the caller. Decoders read what strangers sent, so each has a limit, takes time in proportion to
//! its input, and answers with an error, never with a panic. No error carries a received value:
//! it could be a card number (I-11), so an error says where the trouble is, not what stood there.

pub mod cell;
pub mod charset;
pub mod form;
pub mod json;
pub mod json_text;
pub mod pem;
pub mod texts;
pub mod word;
pub mod xml;

pub mod acp;
pub mod certificate;
pub mod chain;
pub mod clearing;
pub mod crypto;
pub mod seal;
pub mod sign;

pub mod iso8583;

pub mod fixed;
pub mod layout;
pub mod order_form;

pub mod notice;
pub mod voucher;
pub mod webhook;

#[cfg(test)]
pub(crate) mod sample_keys;

/// Why received bytes are not the message they should be.
///
/// Places are counted from 1 and offsets from 0; neither quotes the bytes (I-11).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    #[error("the message has {length} bytes, more than the {limit} allowed")]
    TooLong { length: usize, limit: usize },
    #[error("the message has more than {limit} fields")]
    TooManyFields { limit: usize },
    #[error("field {place} has no name")]
    NoKey { place: usize },
    #[error("field {place} has no equals sign, so this is not a list of fields")]
    NoEquals { place: usize },
    #[error("field {place} repeats the name of an earlier one")]
    Duplicate { place: usize },
    #[error("the percent sign at byte {offset} is not followed by two hexadecimal digits")]
    Percent { offset: usize },
    #[error("the text that starts at byte {offset} is not UTF-8")]
    NotUtf8 { offset: usize },
    #[error("the bracket at byte {offset} is not closed")]
    Unclosed { offset: usize },
    #[error("the bracket at byte {offset} is nested deeper than {limit} levels")]
    TooDeep { offset: usize, limit: usize },
}

/// How much a decoder of fields accepts before it refuses the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FieldLimits {
    /// Bytes of the whole encoded message.
    pub bytes_max: usize,
    /// Fields in it.
    pub fields_max: usize,
}

impl FieldLimits {
    /// For payment answers and notices: about ten times the largest message seen in the field.
    pub const MESSAGE: Self = Self { bytes_max: 64 * 1024, fields_max: 256 };

    /// For answers that carry a statement file in one field (base64 of a zip).
    pub const FILE: Self = Self { bytes_max: 64 * 1024 * 1024, fields_max: 256 };
}
