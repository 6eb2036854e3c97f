//! One field of a format in ISO's own notation: `n6`, `n..19`, `ans...999`, `z..37 pad-right`.

use super::FIELD_MAX;

/// The bit of a field in a bitmap of 128.
pub(super) const fn bit(field: u8) -> u128 {
    1 << (FIELD_MAX - field)
}

/// What a field's value is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldKind {
    /// `n`: digits.
    Numeric,
    /// `x+n`: a sign, C or D, and digits.
    Signed,
    /// `an`: printable characters of ASCII.
    Alphanumeric,
    /// `ans`: any bytes; what character set they are in is the channel's affair (GBK, often).
    Text,
    /// `z`: what a magnetic stripe holds; its separator is `=`, in BCD the nibble D.
    Track,
    /// `b`: bytes. Lengths in this notation are bytes too, not bits.
    Binary,
}

/// How long a value is: digits for numeric and track data, bytes for everything else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    Fixed(u16),
    /// The value's length stands before it, as this many decimal digits: 2 (`..`) or 3 (`...`).
    Variable {
        digits: u8,
        max: u16,
    },
}

/// How digits and characters lie in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packing {
    Ascii,
    /// Code page 500 of IBM's.
    Ebcdic,
    /// Two digits a byte. For digits only.
    Bcd,
    /// A length as one unsigned number, big-endian. For lengths only.
    Binary,
}

impl Packing {
    /// Every packing with its word in format files.
    pub const WORDS: [(&str, Self); 4] = [
        ("ascii", Self::Ascii),
        ("ebcdic", Self::Ebcdic),
        ("bcd", Self::Bcd),
        ("binary", Self::Binary),
    ];
}

/// What a format packs everything as, unless a field says otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Habits {
    /// Digits of the message type: `Bcd` two bytes, else four.
    pub message_type: Packing,
    pub bitmap: BitmapForm,
    /// Fields of digits.
    pub numbers: Packing,
    /// Fields of characters: `Ascii` or `Ebcdic`.
    pub texts: Packing,
    /// Lengths.
    pub lengths: Packing,
}

/// How a bitmap of eight bytes is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BitmapForm {
    Raw,
    /// Sixteen hexadecimal characters of ASCII.
    Hex,
    /// Sixteen hexadecimal characters of EBCDIC.
    HexEbcdic,
}

impl BitmapForm {
    /// Every form with its word in format files.
    pub const WORDS: [(&str, Self); 3] =
        [("raw", Self::Raw), ("hex", Self::Hex), ("hex-ebcdic", Self::HexEbcdic)];
}

/// On which side an odd number of BCD digits gets its spare nibble.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pad {
    Left,
    Right,
}

/// How one field is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FieldSpec {
    pub kind: FieldKind,
    pub size: Size,
    pub packing: Packing,
    /// How the sign of `x+n` lies, which is a character.
    pub sign: Packing,
    pub length_packing: Packing,
    pub pad: Pad,
}

impl FieldSpec {
    /// Reads `<kind><size>` and words that differ from the format's habits: `ascii`, `ebcdic`,
    /// `bcd`, the same for the length (`length-ascii`, also `length-binary`), `pad-left`,
    /// `pad-right`.
    ///
    /// Digits behind a sign are characters, unless `bcd` says otherwise. Odd BCD digits are padded
    /// on the left where the length is fixed and on the right where it varies, unless the words say
    /// otherwise.
    pub fn parse(text: &str, habits: &Habits) -> Result<Self, &'static str> {
        let mut words = text.split_ascii_whitespace();
        let head = words.next().ok_or("it is empty; write for example \"n..19\"")?;
        let (kind, size) = read_kind(head)?;
        let size = read_size(size)?;
        let packing = match kind {
            FieldKind::Numeric | FieldKind::Track => habits.numbers,
            FieldKind::Signed | FieldKind::Alphanumeric | FieldKind::Text => habits.texts,
            FieldKind::Binary => Packing::Ascii,
        };
        let pad = match size {
            Size::Fixed(_) => Pad::Left,
            Size::Variable { .. } => Pad::Right,
        };
        let (length_packing, sign) = (habits.lengths, habits.texts);
        let mut spec = Self { kind, size, packing, sign, length_packing, pad };
        for word in words {
            spec.apply(word)?;
        }
        Ok(spec)
    }

    fn apply(&mut self, word: &str) -> Result<(), &'static str> {
        let digits = matches!(self.kind, FieldKind::Numeric | FieldKind::Track | FieldKind::Signed);
        match word {
            "ascii" | "ebcdic" if self.kind == FieldKind::Binary => {
                return Err("bytes are no characters");
            }
            "ascii" => (self.packing, self.sign) = (Packing::Ascii, Packing::Ascii),
            "ebcdic" => (self.packing, self.sign) = (Packing::Ebcdic, Packing::Ebcdic),
            "bcd" if digits => self.packing = Packing::Bcd,
            "bcd" => return Err("only n, z and x+n are packed as bcd"),
            "pad-left" => self.pad = Pad::Left,
            "pad-right" => self.pad = Pad::Right,
            "length-ascii" => self.length_packing = Packing::Ascii,
            "length-ebcdic" => self.length_packing = Packing::Ebcdic,
            "length-bcd" => self.length_packing = Packing::Bcd,
            "length-binary" => self.length_packing = Packing::Binary,
            _ => return Err("it has a word that is not known"),
        }
        Ok(())
    }

    /// Bytes that `count` digits or bytes of the value take.
    pub const fn bytes_of(&self, count: usize) -> usize {
        match (self.packing, self.kind) {
            // The sign is a byte of its own.
            (Packing::Bcd, FieldKind::Signed) if count > 0 => 1 + (count - 1).div_ceil(2),
            (Packing::Bcd, _) => count.div_ceil(2),
            (Packing::Ascii | Packing::Ebcdic | Packing::Binary, _) => count,
        }
    }

    /// Bytes of the length before the value; 0 where it is fixed.
    pub const fn prefix_bytes(&self) -> usize {
        match (self.size, self.length_packing) {
            (Size::Fixed(_), _) => 0,
            (Size::Variable { digits, .. }, Packing::Ascii | Packing::Ebcdic) => digits as usize,
            (Size::Variable { digits, .. }, Packing::Bcd | Packing::Binary) => {
                digits.div_ceil(2) as usize
            }
        }
    }

    /// The most digits or bytes that a value has.
    pub const fn count_max(&self) -> usize {
        match self.size {
            Size::Fixed(count) => count as usize,
            Size::Variable { max, .. } => max as usize,
        }
    }
}

fn read_kind(head: &str) -> Result<(FieldKind, &str), &'static str> {
    const KINDS: [(&str, FieldKind); 6] = [
        ("ans", FieldKind::Text),
        ("an", FieldKind::Alphanumeric),
        ("x+n", FieldKind::Signed),
        ("n", FieldKind::Numeric),
        ("z", FieldKind::Track),
        ("b", FieldKind::Binary),
    ];
    KINDS
        .iter()
        .find_map(|(word, kind)| head.strip_prefix(word).map(|rest| (*kind, rest)))
        .ok_or("its kind is none of n, an, ans, x+n, z, b")
}

fn read_size(text: &str) -> Result<Size, &'static str> {
    let digits = text.len() - text.trim_start_matches('.').len();
    let number = &text[digits..];
    let plain = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    let number = plain.then(|| number.parse::<u16>().ok()).flatten();
    let number = number.filter(|count| (1..=999).contains(count));
    let max = number.ok_or("its length is not a number from 1 to 999")?;
    match (digits, max) {
        (0, count) => Ok(Size::Fixed(count)),
        (2, 100..) => Err("two digits of length cannot say so much; write three points"),
        (2, max) => Ok(Size::Variable { digits: 2, max }),
        (3, max) => Ok(Size::Variable { digits: 3, max }),
        _ => Err("a variable length has two or three points"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<FieldSpec, &'static str> {
        let habits = Habits {
            message_type: Packing::Bcd,
            bitmap: BitmapForm::Raw,
            numbers: Packing::Bcd,
            texts: Packing::Ascii,
            lengths: Packing::Bcd,
        };
        FieldSpec::parse(text, &habits)
    }

    #[test]
    fn the_notation_is_isos_own() {
        let pan = read("n..19").expect("a field");
        assert_eq!(
            (pan.kind, pan.size),
            (FieldKind::Numeric, Size::Variable { digits: 2, max: 19 })
        );
        assert_eq!((pan.packing, pan.pad, pan.prefix_bytes()), (Packing::Bcd, Pad::Right, 1));
        assert_eq!((pan.bytes_of(19), pan.count_max()), (10, 19));
        let long = read("ans...999 length-ascii").expect("a field");
        assert_eq!((long.prefix_bytes(), long.packing), (3, Packing::Ascii));
        assert_eq!(read("n3").map(|spec| spec.pad), Ok(Pad::Left));
        assert_eq!(read("n3 pad-right").map(|spec| spec.pad), Ok(Pad::Right));
        assert_eq!(
            read("x+n9").map(|spec| (spec.kind, spec.bytes_of(9))),
            Ok((FieldKind::Signed, 9))
        );
        assert_eq!(read("x+n9 bcd").map(|spec| (spec.bytes_of(9), spec.bytes_of(0))), Ok((5, 0)));
        assert_eq!(read("an6 ebcdic").map(|spec| spec.packing), Ok(Packing::Ebcdic));
        assert_eq!(read("b...255 length-binary").map(|spec| spec.prefix_bytes()), Ok(2));
    }

    #[test]
    fn what_is_no_field_is_refused() {
        for text in ["", "q6", "n", "n0", "n1000", "n..100", "n.6", "n....6", "n+6", "n6 x"] {
            assert!(read(text).is_err(), "{text}");
        }
        assert!(read("an6 bcd").is_err() && read("b8 ebcdic").is_err());
    }
}
