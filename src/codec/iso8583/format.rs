//! A message format: how message type and bitmaps are written, and a table of up to 127 fields.

use toml_edit::{Document, Item, Table};

use super::FIELD_MAX;
use super::notation::{BitmapForm, FieldSpec, Habits, Packing, bit};

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
    pub habits: Habits,
    /// The spare nibble that is written behind an odd number of BCD digits: 0 or 15. Any is read,
    /// and one before the digits is always 0.
    pub filler: u8,
    fields: [Option<FieldSpec>; FIELD_MAX as usize + 1],
    /// A bit for each of the fields.
    listed: u128,
}

impl Format {
    /// A format without fields.
    pub const fn empty(habits: Habits) -> Self {
        let fields = [None; FIELD_MAX as usize + 1];
        Self { habits, filler: 0, fields, listed: 0 }
    }

    pub fn shipped(which: ShippedFormat) -> Self {
        Self::parse(which.text(), |habits| habits).expect("a test reads every format that ships")
    }

    /// The fields of a shipped format under other habits.
    pub fn shipped_under(which: ShippedFormat, change: impl FnOnce(Habits) -> Habits) -> Self {
        Self::parse(which.text(), change).expect("every habit fits every field that ships")
    }

    /// Reads a whole format file, as those beside this one, with its habits changed.
    fn parse(text: &str, change: impl FnOnce(Habits) -> Habits) -> Result<Self, FormatError> {
        let about = |key: &str, problem: &str| FormatError {
            key: key.to_owned(),
            problem: problem.to_owned(),
        };
        let document = Document::parse(text).map_err(|error| about("", error.message()))?;
        let root = document.as_table();
        let packing = |key: &str| {
            let word = text_of(root, key).ok_or_else(|| about(key, "it is missing"))?;
            let found = Packing::WORDS.iter().find(|(known, _)| *known == word);
            found.map(|(_, packing)| *packing).ok_or_else(|| about(key, "it is no packing"))
        };
        let habits = Habits {
            message_type: packing("message_type")?,
            bitmap: BitmapForm::Raw,
            numbers: packing("numbers")?,
            texts: packing("texts")?,
            lengths: packing("lengths")?,
        };
        let mut format = Self::empty(change(habits));
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
            text => Some(FieldSpec::parse(text, &self.habits)?),
        };
        self.fields[usize::from(number)] = spec;
        self.listed =
            if spec.is_some() { self.listed | bit(number) } else { self.listed & !bit(number) };
        Ok(())
    }

    pub fn field(&self, number: u8) -> Option<&FieldSpec> {
        self.fields.get(usize::from(number)).and_then(Option::as_ref)
    }

    /// The fields that it has: a bit for each, as bitmaps have them.
    pub const fn listed(&self) -> u128 {
        self.listed
    }

    /// The fields that it has, by number.
    pub fn numbers_listed(&self) -> impl Iterator<Item = u8> + '_ {
        (2..=FIELD_MAX).filter(|number| self.field(*number).is_some())
    }
}

fn text_of<'a>(table: &'a Table, key: &str) -> Option<&'a str> {
    table.get(key).and_then(Item::as_str)
}
