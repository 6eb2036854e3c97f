//! One field of a format in ISO's own notation: `n6`, `n..19`, `ans...999`, `z..37 pad-right`.

/// What a field's value is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldKind {
    /// `n`: digits.
    Numeric,
    /// `x+n`: a sign, C or D, and digits. Always in ASCII.
    Signed,
    /// `an`: printable ASCII.
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

/// How digits lie in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packing {
    Ascii,
    /// Two digits a byte.
    Bcd,
    /// A length as one unsigned number, big-endian. For lengths only.
    Binary,
}

impl Packing {
    /// Reads the word of format files.
    pub fn parse(word: &str) -> Result<Self, &'static str> {
        match word {
            "ascii" => Ok(Self::Ascii),
            "bcd" => Ok(Self::Bcd),
            "binary" => Ok(Self::Binary),
            _ => Err("is none of ascii, bcd, binary"),
        }
    }
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
    pub length_packing: Packing,
    pub pad: Pad,
}

impl FieldSpec {
    /// Reads `<kind><size>` and words that differ from the format's habits: `ascii`, `bcd`,
    /// `length-ascii`, `length-bcd`, `length-binary`, `pad-left`, `pad-right`.
    ///
    /// `numbers` and `lengths` are those habits. Odd BCD digits are padded on the left where the
    /// length is fixed and on the right where it varies, unless the words say otherwise.
    pub fn parse(text: &str, numbers: Packing, lengths: Packing) -> Result<Self, &'static str> {
        let mut words = text.split_ascii_whitespace();
        let head = words.next().ok_or("it is empty; write for example \"n..19\"")?;
        let (kind, size) = read_kind(head)?;
        let size = read_size(size)?;
        let packing = match kind {
            FieldKind::Numeric | FieldKind::Track => numbers,
            FieldKind::Signed | FieldKind::Alphanumeric | FieldKind::Text | FieldKind::Binary => {
                Packing::Ascii
            }
        };
        let pad = match size {
            Size::Fixed(_) => Pad::Left,
            Size::Variable { .. } => Pad::Right,
        };
        let mut spec = Self { kind, size, packing, length_packing: lengths, pad };
        for word in words {
            spec.apply(word)?;
        }
        Ok(spec)
    }

    fn apply(&mut self, word: &str) -> Result<(), &'static str> {
        let digits = matches!(self.kind, FieldKind::Numeric | FieldKind::Track);
        match word {
            "ascii" if digits => self.packing = Packing::Ascii,
            "bcd" if digits => self.packing = Packing::Bcd,
            "ascii" | "bcd" => return Err("only n and z are packed as ascii or bcd"),
            "pad-left" => self.pad = Pad::Left,
            "pad-right" => self.pad = Pad::Right,
            "length-ascii" => self.length_packing = Packing::Ascii,
            "length-bcd" => self.length_packing = Packing::Bcd,
            "length-binary" => self.length_packing = Packing::Binary,
            _ => return Err("it has a word that is not known"),
        }
        Ok(())
    }

    /// Bytes that `count` digits or bytes of the value take.
    pub const fn bytes_of(&self, count: usize) -> usize {
        match self.packing {
            Packing::Bcd => count.div_ceil(2),
            Packing::Ascii | Packing::Binary => count,
        }
    }

    /// Bytes of the length before the value; 0 where it is fixed.
    pub const fn prefix_bytes(&self) -> usize {
        match (self.size, self.length_packing) {
            (Size::Fixed(_), _) => 0,
            (Size::Variable { digits, .. }, Packing::Ascii) => digits as usize,
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
        FieldSpec::parse(text, Packing::Bcd, Packing::Bcd)
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
        assert_eq!(read("x+n9").map(|spec| spec.kind), Ok(FieldKind::Signed));
        assert_eq!(read("b...255 length-binary").map(|spec| spec.prefix_bytes()), Ok(2));
    }

    #[test]
    fn what_is_no_field_is_refused() {
        for text in ["", "q6", "n", "n0", "n1000", "n..100", "n.6", "n....6", "n+6", "n6 x"] {
            assert!(read(text).is_err(), "{text}");
        }
        assert!(read("an6 bcd").is_err());
    }
}
