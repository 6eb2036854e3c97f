//! How a character may be written: escaped, encoded, in another width.

/// One character as it is meant, and where it is written.
#[derive(Clone, Copy)]
pub(super) struct Unit {
    /// Full-width forms are folded.
    pub(super) character: char,
    pub(super) start: usize,
    pub(super) end: usize,
}

impl Unit {
    pub(super) fn is_digit(self) -> bool {
        self.character.is_ascii_digit()
            || (!self.character.is_ascii() && self.character.is_numeric())
    }

    /// What may stand between two groups of one number, as one sign for each kind.
    pub(super) fn joint(self) -> Option<char> {
        match self.character {
            // A tab parts columns.
            '\t' => None,
            '-' | '\u{2010}'..='\u{2015}' | '\u{2212}' => Some('-'),
            '.' | '_' | '·' | '/' | '\'' => Some(self.character),
            '+' | '\u{200b}'..='\u{200d}' | '\u{ad}' | '\u{feff}' => Some(' '),
            blank if blank.is_whitespace() => Some(' '),
            _ => None,
        }
    }
}

/// The characters that a text means, one after another.
pub(super) fn units_of(text: &str) -> Vec<Unit> {
    let mut units = Vec::with_capacity(text.len());
    let mut start = 0;
    while let Some(first) = text[start..].chars().next() {
        let (character, length) = match first {
            '\\' => escape(&text[start..]),
            '%' => percent(&text[start..]),
            '&' => reference(&text[start..]),
            _ => None,
        }
        .unwrap_or((first, first.len_utf8()));
        units.push(Unit { character: fold(character), start, end: start + length });
        start += length;
    }
    units
}

pub(super) fn same(found: char, wanted: char) -> bool {
    found == wanted
        || found.to_lowercase().eq(wanted.to_lowercase())
        || (wanted == ' ' && (found == '+' || found.is_whitespace()))
}

/// Full-width forms as their ASCII ones.
fn fold(character: char) -> char {
    match character {
        '\u{ff01}'..='\u{ff5e}' => {
            char::from_u32(u32::from(character) - 0xfee0).unwrap_or(character)
        }
        other => other,
    }
}

/// A JSON escape, also one that was escaped again: the character and the bytes it takes.
fn escape(text: &str) -> Option<(char, usize)> {
    let slashes = text.bytes().take_while(|byte| *byte == b'\\').count();
    let rest = &text[slashes..];
    let character = match rest.bytes().next()? {
        b'n' | b'r' => '\n',
        b't' => '\t',
        b'/' => '/',
        b'u' => {
            let code = u32::from_str_radix(rest.get(1..5)?, 16).ok()?;
            return Some((char::from_u32(code)?, slashes + 5));
        }
        _ => return None,
    };
    Some((character, slashes + 1))
}

/// A percent-encoded character (RFC 3986 §2.1), also one that was encoded again.
fn percent(text: &str) -> Option<(char, usize)> {
    let bytes = text.as_bytes();
    let mut encoded = Vec::with_capacity(4);
    let mut at = 0;
    while encoded.len() < 4 {
        if bytes.get(at) != Some(&b'%') {
            break;
        }
        at += 1;
        let hex = |at: usize| text.get(at..at + 2).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        while text.get(at..at + 2) == Some("25") && hex(at + 2).is_some() {
            at += 2;
        }
        encoded.push(hex(at)?);
        at += 2;
        if let Ok(character) = std::str::from_utf8(&encoded) {
            return Some((character.chars().next()?, at));
        }
    }
    None
}

/// A character reference of XML or HTML.
fn reference(text: &str) -> Option<(char, usize)> {
    const LENGTH_MAX: usize = 10;
    let end = text.bytes().take(LENGTH_MAX).position(|byte| byte == b';')?;
    let name = &text[1..end];
    let character = match name {
        "nbsp" => '\u{a0}',
        "amp" => '&',
        "quot" => '"',
        "apos" => '\'',
        "lt" => '<',
        "gt" => '>',
        _ => {
            let number = name.strip_prefix('#')?;
            let hex = number.strip_prefix(['x', 'X']);
            let code = match hex {
                Some(hex) => u32::from_str_radix(hex, 16).ok()?,
                None => number.parse().ok()?,
            };
            char::from_u32(code)?
        }
    };
    Some((character, end + 1))
}

pub(super) fn hexadecimal(text: &str) -> String {
    text.bytes().map(|byte| format!("{byte:02x}")).collect()
}

/// The characters of base64 that only this text decides, where it begins at a place of a longer
/// one that leaves `offset` when divided by three.
pub(super) fn base64_inside(text: &str, offset: usize) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bits: Vec<bool> = std::iter::repeat_n(0, offset)
        .chain(text.bytes())
        .flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1 == 1))
        .collect();
    let first = (offset * 8).div_ceil(6);
    let sextets = bits.chunks_exact(6).skip(first);
    let value = |bits: &[bool]| bits.iter().fold(0, |sum, bit| sum * 2 + usize::from(*bit));
    sextets.map(|bits| char::from(ALPHABET[value(bits)])).collect()
}
