//! How a character may be written: escaped, encoded, in another width.

use std::ops::Range;

/// The characters that a text means, by their places.
pub(super) trait Spelling {
    fn len(&self) -> usize;
    /// Full-width forms are folded. Panics behind the last place.
    fn character(&self, at: usize) -> char;
    /// Where in the text it is written.
    fn place(&self, at: usize) -> Range<usize>;
    /// The characters that these bytes of the text are part of.
    fn over(&self, bytes: Range<usize>) -> Range<usize>;
}

/// A text in which every byte is a character and stands for itself, as most replies are.
pub(super) struct PlainText<'t>(&'t [u8]);

impl<'t> PlainText<'t> {
    pub(super) fn of(text: &'t str) -> Option<Self> {
        // Without a branch for each byte, so that many are looked at in one go.
        let plain = |byte: u8| byte.is_ascii() & (byte != b'\\') & (byte != b'%') & (byte != b'&');
        text.bytes().fold(true, |all, byte| all & plain(byte)).then_some(Self(text.as_bytes()))
    }
}

impl Spelling for PlainText<'_> {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn character(&self, at: usize) -> char {
        char::from(self.0[at])
    }

    fn place(&self, at: usize) -> Range<usize> {
        at..at + 1
    }

    fn over(&self, bytes: Range<usize>) -> Range<usize> {
        bytes
    }
}

/// One character as it is meant, and where it is written.
#[derive(Clone, Copy)]
pub(super) struct SpelledCharacter {
    character: char,
    start: usize,
    end: usize,
}

impl Spelling for Vec<SpelledCharacter> {
    fn len(&self) -> usize {
        self.as_slice().len()
    }

    fn character(&self, at: usize) -> char {
        self[at].character
    }

    fn place(&self, at: usize) -> Range<usize> {
        self[at].start..self[at].end
    }

    fn over(&self, bytes: Range<usize>) -> Range<usize> {
        let first = self.partition_point(|unit| unit.end <= bytes.start);
        first..self.partition_point(|unit| unit.start < bytes.end)
    }
}

pub(super) fn is_digit(character: char) -> bool {
    character.is_ascii_digit() || (!character.is_ascii() && character.is_numeric())
}

/// Runs of digits that nothing parts.
pub(super) fn runs_of(units: &impl Spelling) -> Vec<Range<usize>> {
    let mut runs = Vec::with_capacity(8);
    let mut at = 0;
    while at < units.len() {
        let start = at;
        while at < units.len() && is_digit(units.character(at)) {
            at += 1;
        }
        if at > start {
            runs.push(start..at);
        }
        at += 1;
    }
    runs
}

/// The signs that may stand between two groups of one number, one for each kind.
pub(super) fn joint(character: char) -> Option<char> {
    match character {
        // A tab parts columns.
        '\t' => None,
        '-' | '\u{2010}'..='\u{2015}' | '\u{2212}' => Some('-'),
        '.' | '_' | '·' | '/' | '\'' => Some(character),
        '+' | '\u{200b}'..='\u{200d}' | '\u{ad}' | '\u{feff}' => Some(' '),
        blank if blank.is_whitespace() => Some(' '),
        _ => None,
    }
}

/// The characters that a text means, one after another.
pub(super) fn units_of(text: &str) -> Vec<SpelledCharacter> {
    let mut units = Vec::with_capacity(text.len());
    let mut start = 0;
    while start < text.len() {
        // What stands for itself is all of most texts.
        let rest = &text.as_bytes()[start..];
        let plain = rest.iter().position(|byte| !STANDS_FOR_ITSELF[usize::from(*byte)]);
        let plain = &rest[..plain.unwrap_or(rest.len())];
        units.extend(plain.iter().enumerate().map(|(at, byte)| {
            let at = start + at;
            SpelledCharacter { character: char::from(*byte), start: at, end: at + 1 }
        }));
        start += plain.len();
        let Some(first) = text[start..].chars().next() else { break };
        let (character, length) = match first {
            '\\' => escape(&text[start..]),
            '%' => percent(&text[start..]),
            '&' => reference(&text[start..]),
            _ => None,
        }
        .unwrap_or((first, first.len_utf8()));
        units.push(SpelledCharacter { character: fold(character), start, end: start + length });
        start += length;
    }
    units
}

/// The bytes that are a character each, and begin no other spelling of one.
static STANDS_FOR_ITSELF: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        table[byte as usize] = !matches!(byte, b'\\' | b'%' | b'&');
        byte += 1;
    }
    table
};

#[inline]
pub(super) fn same(found: char, wanted: char) -> bool {
    found.eq_ignore_ascii_case(&wanted)
        || (!(found.is_ascii() && wanted.is_ascii())
            && found.to_lowercase().eq(wanted.to_lowercase()))
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

/// The places of a text that could be base64 or hexadecimal of so many letters at least.
pub(super) fn stretches(text: &str, length_min: usize) -> Vec<Range<usize>> {
    let bytes = text.as_bytes();
    let mut stretches = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let start = at;
        while at < bytes.len() && OF_BASE64[usize::from(bytes[at])] {
            at += 1;
        }
        if at - start >= length_min {
            stretches.push(start..at);
        }
        at += 1;
    }
    stretches
}

/// The letters of base64, in either alphabet; those of hexadecimal are among them.
static OF_BASE64: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 128_u8 {
        table[byte as usize] =
            byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_');
        byte += 1;
    }
    table
};

/// Adds every place of `needle` in `bytes`, by letters that are the same as `same` says.
pub(super) fn find(
    bytes: &[u8],
    needle: &[u8],
    same: impl Fn(&u8, &u8) -> bool,
    found: &mut Vec<Range<usize>>,
) {
    let Some(first) = needle.first() else { return };
    for (at, window) in bytes.windows(needle.len()).enumerate() {
        if same(&window[0], first)
            && window.iter().zip(needle).all(|(letter, wanted)| same(letter, wanted))
        {
            found.push(at..at + needle.len());
        }
    }
}

/// Whether a letter is the wanted one, in either alphabet of base64 (RFC 4648 §4 and §5).
pub(super) fn is_base64_letter(letter: &u8, wanted: &u8) -> bool {
    match letter {
        b'-' => *wanted == b'+',
        b'_' => *wanted == b'/',
        letter => letter == wanted,
    }
}

pub(super) fn hexadecimal(text: &str) -> Vec<u8> {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |value: u8| DIGITS[usize::from(value & 0xf)];
    text.bytes().flat_map(|byte| [digit(byte >> 4), digit(byte)]).collect()
}

/// The characters of base64 that only this text decides, where it begins at a place of a longer
/// one that leaves `offset` when divided by three.
pub(super) fn base64_inside(text: &str, offset: usize) -> Vec<u8> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut letters = Vec::with_capacity((offset + text.len()) * 4 / 3);
    let (mut bits, mut count) = (0_u32, 0);
    for byte in std::iter::repeat_n(0, offset).chain(text.bytes()) {
        bits = bits << 8 | u32::from(byte);
        count += 8;
        while count >= 6 {
            count -= 6;
            letters.push(ALPHABET[(bits >> count & 0x3f) as usize]);
        }
        // Fewer than six bits are left.
        bits &= 0x3f;
    }
    letters.drain(..(offset * 8).div_ceil(6));
    letters
}

/// The length of the shortest of them for a text of so many bytes.
pub(super) const fn base64_inside_length(bytes: usize) -> usize {
    (bytes * 8 - 6) / 6
}
