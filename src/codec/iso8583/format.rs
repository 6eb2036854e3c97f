//! A message format: how message type and bitmaps are written, and a table of up to 127 fields.

use toml_edit::{Document, Item, Table};

use super::FIELD_MAX;
use super::notation::{FieldSpec, Packing};

/// How a bitmap of eight bytes is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BitmapForm {
    Raw,
    /// Sixteen hexadecimal characters.
    Hex,
}

/// A format that ships with this program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShippedFormat {
    /// Institution to UnionPay's centre: 128 fields in ASCII.
    Cups,
    /// Terminal to acquirer: 64 fields in packed BCD.
    Posp,
}

impl ShippedFormat {
    const fn text(self) -> &'static str {
        match self {
            Self::Cups => include_str!("cups.toml"),
            Self::Posp => include_str!("posp.toml"),
        }
    }
}

/// Why a text is not a format.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {problem}")]
pub struct FormatError {
    /// The key that it is about; empty for the whole.
    pub key: String,
    pub problem: String,
}

/// How the messages of one channel are packed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Format {
    /// Digits of the message type: `Ascii` four bytes, `Bcd` two.
    pub message_type: Packing,
    pub bitmap: BitmapForm,
    /// What fields of digits are packed as, unless they say otherwise.
    pub numbers: Packing,
    /// What lengths are packed as, unless a field says otherwise.
    pub lengths: Packing,
    /// The spare nibble that is written behind an odd number of BCD digits: 0 or 15. Any is read,
    /// and one before the digits is always 0.
    pub filler: u8,
    fields: [Option<FieldSpec>; FIELD_MAX as usize + 1],
}

impl Format {
    /// A format without fields.
    pub const fn empty(message_type: Packing, numbers: Packing, lengths: Packing) -> Self {
        let fields = [None; FIELD_MAX as usize + 1];
        Self { message_type, bitmap: BitmapForm::Raw, numbers, lengths, filler: 0, fields }
    }

    pub fn shipped(which: ShippedFormat) -> Self {
        Self::parse(which.text()).expect("a test reads every format that ships")
    }

    /// Reads a whole format file, as those beside this one.
    pub fn parse(text: &str) -> Result<Self, FormatError> {
        let about = |key: &str, problem: &str| FormatError {
            key: key.to_owned(),
            problem: problem.to_owned(),
        };
        let document = Document::parse(text).map_err(|error| about("", error.message()))?;
        let root = document.as_table();
        let packing = |key: &str| {
            let word = text_of(root, key).ok_or_else(|| about(key, "it is missing"))?;
            Packing::parse(word).map_err(|problem| about(key, problem))
        };
        let mut format =
            Self::empty(packing("message_type")?, packing("numbers")?, packing("lengths")?);
        let fields = root.get("fields").and_then(Item::as_table);
        for (key, item) in fields.ok_or_else(|| about("fields", "it is missing"))? {
            let notation = item.as_str().ok_or_else(|| about(key, "it is not a text"))?;
            let number = key.parse().map_err(|_| about(key, "it is not a field's number"))?;
            format.set(number, notation).map_err(|problem| about(key, problem))?;
        }
        Ok(format)
    }

    /// Sets one field by its notation, or takes it out with `none`.
    pub fn set(&mut self, number: u8, notation: &str) -> Result<(), &'static str> {
        if !(2..=FIELD_MAX).contains(&number) || number == 65 {
            return Err("fields are numbered 2 to 128, without 65");
        }
        let spec = match notation {
            "none" => None,
            text => Some(FieldSpec::parse(text, self.numbers, self.lengths)?),
        };
        self.fields[usize::from(number)] = spec;
        Ok(())
    }

    pub fn field(&self, number: u8) -> Option<&FieldSpec> {
        self.fields.get(usize::from(number)).and_then(Option::as_ref)
    }

    /// The fields that it has, by number.
    pub fn numbers_listed(&self) -> impl Iterator<Item = u8> + '_ {
        (2..=FIELD_MAX).filter(|number| self.field(*number).is_some())
    }
}

fn text_of<'a>(table: &'a Table, key: &str) -> Option<&'a str> {
    table.get(key).and_then(Item::as_str)
}
