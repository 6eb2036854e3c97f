//! ISO 8583 messages as card links pack them: a format is data, a message borrows bytes.
//!
//! A [`Format`] is a table of fields in ISO's own notation (`n..19`, `an12`), compiled once; the
//! two that ship are the text files beside this one. Decoding borrows from the frame and allocates
//! nothing, encoding writes into a buffer that its owner reuses. This folder knows no channel and
//! gives no field a meaning; it only knows how bytes lie.
//!
//! Facts: message type, one or two bitmaps of eight bytes, then the fields whose bits are set, in
//! their order. Every byte string gives a message or an [`Iso8583Error`]; neither quotes what was
//! received (I-11), and both take time in proportion to its length.

pub mod format;
pub mod frame;
pub mod header;
pub mod notation;

pub mod draft;
pub mod keys;
pub mod mac;
pub mod message;

mod ebcdic;

#[cfg(test)]
mod tests;

pub use self::draft::{Draft, PackedMessage, encode};
pub use self::format::{Format, ShippedFormat};
pub use self::message::{Message, Value, decode, decode_prefix};
pub use self::notation::{BitmapForm, Habits};

/// The highest field number: two bitmaps, of which the first bit says that the second follows.
pub const FIELD_MAX: u8 = 128;
/// The longest message that is read or written, in bytes: what two bytes of length can say.
pub const MESSAGE_BYTES_MAX: usize = 65_535;

/// Where bytes stop being a message, or values a message that can be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("field {field}, byte {offset}: {flaw}")]
pub struct Iso8583Error {
    /// 0 for the message type and the bitmaps.
    pub field: u8,
    /// From the frame's first byte, which has offset 0.
    pub offset: usize,
    pub flaw: Flaw,
}

/// What is wrong there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    #[error("the message ends here")]
    Short,
    #[error("the message goes on after its last field")]
    Surplus,
    #[error("the message is longer than may be")]
    TooLong,
    #[error("the message type is not four digits")]
    MessageType,
    #[error("the bitmap is not hexadecimal")]
    Bitmap,
    #[error("the format has no such field")]
    Unlisted,
    #[error("the length is not a number")]
    LengthDigits,
    #[error("the length is more than the format allows")]
    LengthLimit,
    #[error("a value of fixed length has another one")]
    FixedLength,
    #[error("a character is not of the field's kind")]
    Character,
}
