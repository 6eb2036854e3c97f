//! Key-value messages: an ordered set of fields, as an HTML form and as a bare `k=v&k=v` line.
//!
//! Knows nothing of HTTP or of what a field means. Fields are always in plain byte order of their
//! keys, which is the order that signatures are made over. Values may be card data, so `Debug`
//! shows their number only and the memory is wiped on drop (I-11).
//!
//! All text lies in one buffer and a field is four offsets into it: building or decoding a message
//! costs two or three allocations, whatever the number of fields.

use std::fmt;

use zeroize::Zeroizing;

use super::charset::NamedCharset;
use super::{DecodeError, FieldLimits};

/// Brackets inside brackets that a bare line may have. UnionPay uses one or two.
const DEPTH_MAX: usize = 16;
/// Room for a typical payment request, so that building one does not grow the buffer.
const TEXT_BYTES_TYPICAL: usize = 1_024;
const FIELDS_TYPICAL: usize = 32;

/// Named text values, each name once, in byte order of the names.
#[derive(Clone)]
pub struct Fields {
    text: Zeroizing<String>,
    entries: Vec<PairSpan>,
}

/// One field as offsets into the text: key and value are half-open ranges on character borders.
#[derive(Clone, Copy)]
struct PairSpan {
    key_start: usize,
    key_end: usize,
    value_start: usize,
    value_end: usize,
}

impl Fields {
    pub fn new() -> Self {
        Self::with_room(TEXT_BYTES_TYPICAL, FIELDS_TYPICAL)
    }

    fn with_room(text_bytes: usize, fields: usize) -> Self {
        Self {
            text: Zeroizing::new(String::with_capacity(text_bytes)),
            entries: Vec::with_capacity(fields),
        }
    }

    /// Sets a field, replacing the value it may have. The value is kept as it is, blanks included.
    pub fn set(&mut self, key: &str, value: &str) {
        let place = self.place_of(key);
        let entry = self.append(key, value);
        match place {
            Ok(found) => self.entries[found] = entry,
            Err(free) => self.entries.insert(free, entry),
        }
    }

    /// The value of a field: `Some("")` if it is there and empty, `None` if it is not there.
    pub fn get(&self, key: &str) -> Option<&str> {
        let found = self.place_of(key).ok()?;
        Some(self.value(&self.entries[found]))
    }

    /// Takes a field out; answers whether it was there.
    pub fn remove(&mut self, key: &str) -> bool {
        let found = self.place_of(key);
        if let Ok(place) = found {
            self.entries.remove(place);
        }
        found.is_ok()
    }

    /// Keys and values in byte order of the keys.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.entries.iter().map(|entry| (self.key(entry), self.value(entry)))
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Cuts leading and trailing blanks off every value, then drops the fields left empty.
    ///
    /// UnionPay signs and sends exactly this form. A blank is what Java's `trim` takes for one: any
    /// character up to U+0020, and no other (an ideographic space stays).
    pub fn trim_and_drop_empty(&mut self) {
        let text = self.text.as_str();
        self.entries.retain_mut(|entry| {
            let value = &text[entry.value_start..entry.value_end];
            let front = value.trim_start_matches(is_blank);
            entry.value_start += value.len() - front.len();
            entry.value_end = entry.value_start + front.trim_end_matches(is_blank).len();
            entry.value_start < entry.value_end
        });
    }

    /// The fields as `application/x-www-form-urlencoded` in UTF-8; a space becomes `+`.
    pub fn encode_form(&self) -> String {
        self.encode_form_in(NamedCharset::UTF_8).unwrap_or_default()
    }

    /// The same in another encoding; `None` where it lacks a character of the fields.
    pub fn encode_form_in(&self, charset: NamedCharset) -> Option<String> {
        let mut out = String::with_capacity(self.text.len() * 3 / 2 + self.entries.len() * 2);
        for (key, value) in self.iter() {
            if !out.is_empty() {
                out.push('&');
            }
            out.extend(form_urlencoded::byte_serialize(&charset.encode(key)?));
            out.push('=');
            out.extend(form_urlencoded::byte_serialize(&charset.encode(value)?));
        }
        Some(out)
    }

    /// The fields as a bare `k=v&k=v` line, not percent-encoded: UnionPay's synchronous answer.
    pub fn encode_line(&self) -> String {
        let mut out = String::with_capacity(self.text.len() + self.entries.len() * 2);
        for (key, value) in self.iter() {
            if !out.is_empty() {
                out.push('&');
            }
            out.push_str(key);
            out.push('=');
            out.push_str(value);
        }
        out
    }

    /// Reads a percent-encoded form in UTF-8.
    ///
    /// A field without `=` has an empty value, as in a browser. Two fields of one name are refused:
    /// which of them was signed would be anyone's guess.
    pub fn decode_form(body: &[u8], limits: FieldLimits) -> Result<Self, DecodeError> {
        Self::decode_form_in(NamedCharset::UTF_8, body, limits)
    }

    /// The same where the percent signs stand for bytes of another encoding.
    pub fn decode_form_in(
        charset: NamedCharset,
        body: &[u8],
        limits: FieldLimits,
    ) -> Result<Self, DecodeError> {
        check_length(body, limits)?;
        let mut fields = Self::with_room(body.len(), FIELDS_TYPICAL);
        let mut scratch = Zeroizing::new(Vec::with_capacity(body.len()));
        let mut start = 0;
        for (index, piece) in body.split(|&byte| byte == b'&').enumerate() {
            if !piece.is_empty() {
                let place = index + 1;
                let split = piece.iter().position(|&byte| byte == b'=').unwrap_or(piece.len());
                let value_at = (split + 1).min(piece.len());
                let key_start = fields.text.len();
                fields.append_decoded(charset, &piece[..split], start, &mut scratch)?;
                let key_end = fields.text.len();
                let value = &piece[value_at..];
                fields.append_decoded(charset, value, start + value_at, &mut scratch)?;
                let value_end = fields.text.len();
                let entry = PairSpan { key_start, key_end, value_start: key_end, value_end };
                fields.admit(entry, place, limits)?;
            }
            start += piece.len() + 1;
        }
        Ok(fields)
    }

    /// Reads a bare `k=v&k=v` line, as UnionPay answers a request: nothing is percent-encoded, the
    /// whole may stand in `{…}`, and inside `{…}` or `[…]` in a value `&` and `=` belong to it.
    ///
    /// A field is split at its first `=` (base64 values have more), and may be empty.
    pub fn decode_line(body: &[u8], limits: FieldLimits) -> Result<Self, DecodeError> {
        check_length(body, limits)?;
        let whole = std::str::from_utf8(body)
            .map_err(|error| DecodeError::NotUtf8 { offset: error.valid_up_to() })?;
        let from_front = whole.trim_start_matches(is_blank);
        let blanks = whole.len() - from_front.len();
        let trimmed = from_front.trim_end_matches(is_blank);
        let unwrapped = trimmed.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
        let (inner, base) = match unwrapped {
            Some(inner) => (inner, blanks + 1),
            None => (trimmed, blanks),
        };
        let mut fields = Self::with_room(inner.len(), FIELDS_TYPICAL);
        let mut start = 0;
        let mut place = 0;
        while start < inner.len() {
            let piece = &inner[start..];
            if let Some(rest) = piece.strip_prefix('&') {
                start = inner.len() - rest.len();
                continue;
            }
            place += 1;
            let split = key_length(piece).ok_or(DecodeError::NoEquals { place })?;
            let value = &piece[split + 1..];
            let value = &value[..value_length(value, base + start + split + 1)?];
            let entry = fields.append(&piece[..split], value);
            fields.admit(entry, place, limits)?;
            start += split + 1 + value.len() + 1;
        }
        Ok(fields)
    }

    /// Where the key stands, or where it would have to be inserted.
    fn place_of(&self, key: &str) -> Result<usize, usize> {
        self.entries.binary_search_by(|entry| self.key(entry).as_bytes().cmp(key.as_bytes()))
    }

    fn key(&self, entry: &PairSpan) -> &str {
        &self.text[entry.key_start..entry.key_end]
    }

    fn value(&self, entry: &PairSpan) -> &str {
        &self.text[entry.value_start..entry.value_end]
    }

    /// Puts key and value at the end of the text, without entering the field.
    fn append(&mut self, key: &str, value: &str) -> PairSpan {
        self.reserve(key.len() + value.len());
        let key_start = self.text.len();
        self.text.push_str(key);
        let key_end = self.text.len();
        self.text.push_str(value);
        PairSpan { key_start, key_end, value_start: key_end, value_end: self.text.len() }
    }

    /// Makes room by copying to a larger buffer, and wipes the old one, which `String` would not.
    fn reserve(&mut self, more: usize) {
        let needed = self.text.len() + more;
        if needed > self.text.capacity() {
            let mut grown = Zeroizing::new(String::with_capacity(needed * 2));
            grown.push_str(&self.text);
            self.text = grown;
        }
    }

    /// Percent-decodes `raw`, which stands at `offset` of the message, onto the end of the text.
    ///
    /// `scratch` has room for the whole message, so it never moves and leaves no copy behind.
    fn append_decoded(
        &mut self,
        charset: NamedCharset,
        raw: &[u8],
        offset: usize,
        scratch: &mut Zeroizing<Vec<u8>>,
    ) -> Result<(), DecodeError> {
        let plain = if raw.iter().any(|byte| matches!(byte, b'%' | b'+')) {
            scratch.clear();
            decode_percent(raw, offset, scratch)?;
            scratch.as_slice()
        } else {
            raw
        };
        let text = charset.decode(plain).ok_or(DecodeError::NotUtf8 { offset })?;
        self.reserve(text.len());
        self.text.push_str(&text);
        Ok(())
    }

    /// Enters an appended field unless its name is empty or taken, or there are too many.
    fn admit(
        &mut self,
        entry: PairSpan,
        place: usize,
        limits: FieldLimits,
    ) -> Result<(), DecodeError> {
        if entry.key_start == entry.key_end {
            return Err(DecodeError::NoKey { place });
        }
        if self.entries.len() >= limits.fields_max {
            return Err(DecodeError::TooManyFields { limit: limits.fields_max });
        }
        match self.place_of(self.key(&entry)) {
            Ok(_) => Err(DecodeError::Duplicate { place }),
            Err(free) => {
                self.entries.insert(free, entry);
                Ok(())
            }
        }
    }
}

impl Default for Fields {
    fn default() -> Self {
        Self::new()
    }
}

impl PartialEq for Fields {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Fields {}

impl<'a> FromIterator<(&'a str, &'a str)> for Fields {
    fn from_iter<T: IntoIterator<Item = (&'a str, &'a str)>>(pairs: T) -> Self {
        let mut fields = Self::new();
        for (key, value) in pairs {
            fields.set(key, value);
        }
        fields
    }
}

impl fmt::Debug for Fields {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Fields({} fields)", self.entries.len())
    }
}

fn is_blank(character: char) -> bool {
    character <= ' '
}

fn check_length(body: &[u8], limits: FieldLimits) -> Result<(), DecodeError> {
    if body.len() > limits.bytes_max {
        return Err(DecodeError::TooLong { length: body.len(), limit: limits.bytes_max });
    }
    Ok(())
}

/// Bytes before the first `=`; `None` if the field ends without one.
fn key_length(piece: &str) -> Option<usize> {
    let end = piece.bytes().position(|byte| matches!(byte, b'=' | b'&'))?;
    (piece.as_bytes()[end] == b'=').then_some(end)
}

/// Bytes up to the first `&` that stands in no bracket. `offset` is where `text` starts in the
/// message, for errors.
///
/// A closing bracket that closes nothing is an ordinary character, as are brackets of the other
/// kind: free texts such as `respMsg` have them.
fn value_length(text: &str, offset: usize) -> Result<usize, DecodeError> {
    let mut closers = [0_u8; DEPTH_MAX];
    let mut depth = 0;
    let mut opened_at = 0;
    for (index, byte) in text.bytes().enumerate() {
        match byte {
            b'&' if depth == 0 => return Ok(index),
            b'{' | b'[' => {
                if depth == DEPTH_MAX {
                    return Err(DecodeError::TooDeep { offset: offset + index, limit: DEPTH_MAX });
                }
                if depth == 0 {
                    opened_at = index;
                }
                closers[depth] = if byte == b'{' { b'}' } else { b']' };
                depth += 1;
            }
            b'}' | b']' if depth > 0 && closers[depth - 1] == byte => depth -= 1,
            _ => {}
        }
    }
    if depth > 0 {
        return Err(DecodeError::Unclosed { offset: offset + opened_at });
    }
    Ok(text.len())
}

/// Undoes percent-encoding and `+`, into a buffer with enough room.
fn decode_percent(raw: &[u8], offset: usize, out: &mut Vec<u8>) -> Result<(), DecodeError> {
    let mut index = 0;
    while index < raw.len() {
        let (byte, width) = match raw[index] {
            b'+' => (b' ', 1),
            b'%' => {
                let pair = raw.get(index + 1).zip(raw.get(index + 2));
                let decoded = pair.and_then(|(high, low)| {
                    Some(hexadecimal_digit(*high)? << 4 | hexadecimal_digit(*low)?)
                });
                (decoded.ok_or(DecodeError::Percent { offset: offset + index })?, 3)
            }
            plain => (plain, 1),
        };
        out.push(byte);
        index += width;
    }
    Ok(())
}

fn hexadecimal_digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).map(|digit| digit as u8)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMITS: FieldLimits = FieldLimits::MESSAGE;

    fn form(body: &str) -> Result<Fields, DecodeError> {
        Fields::decode_form(body.as_bytes(), LIMITS)
    }

    fn line(body: &str) -> Result<Fields, DecodeError> {
        Fields::decode_line(body.as_bytes(), LIMITS)
    }

    fn pairs(fields: &Fields) -> Vec<(&str, &str)> {
        fields.iter().collect()
    }

    #[test]
    fn fields_stand_in_byte_order_and_are_replaced_by_name() {
        let mut fields: Fields =
            [("txnType", "01"), ("accNo", "x"), ("Zeta", "z")].into_iter().collect();
        fields.set("accNo", "a longer value");
        assert_eq!(pairs(&fields), [("Zeta", "z"), ("accNo", "a longer value"), ("txnType", "01")]);
        assert_eq!(fields.get("accNo"), Some("a longer value"));
        assert_eq!(fields.get("acc"), None);
        assert!(fields.remove("Zeta"));
        assert!(!fields.remove("Zeta"));
        assert_eq!(fields.len(), 2);
    }

    #[test]
    fn i_11_debug_shows_no_value() {
        let fields: Fields = [("accNo", "6216261000000000018")].into_iter().collect();
        assert_eq!(format!("{fields:?}"), "Fields(1 fields)");
    }

    #[test]
    fn blanks_are_cut_and_empty_fields_dropped() {
        let mut fields: Fields = [
            ("a", "备注 test "),
            ("b", " \t\r\n"),
            ("c", ""),
            ("d", "  x y"),
            ("e", "\u{3000}full width\u{3000}"),
        ]
        .into_iter()
        .collect();
        fields.trim_and_drop_empty();
        assert_eq!(
            pairs(&fields),
            [("a", "备注 test"), ("d", "x y"), ("e", "\u{3000}full width\u{3000}")]
        );
        fields.set("b", "back");
        assert_eq!(fields.get("b"), Some("back"));
        assert_eq!(fields.get("d"), Some("x y"));
    }

    #[test]
    fn a_form_is_encoded_as_browsers_do() {
        let fields: Fields = [
            ("backUrl", "http://127.0.0.1:8080/notify?x=1&y=2"),
            ("reqReserved", "备注 test+*-._~"),
            ("empty", ""),
        ]
        .into_iter()
        .collect();
        assert_eq!(
            fields.encode_form(),
            "backUrl=http%3A%2F%2F127.0.0.1%3A8080%2Fnotify%3Fx%3D1%26y%3D2&empty=\
             &reqReserved=%E5%A4%87%E6%B3%A8+test%2B*-._%7E"
        );
        assert_eq!(form(&fields.encode_form()), Ok(fields));
    }

    #[test]
    fn a_form_is_decoded_strictly() {
        let fields = form("b=2%2B+%e5%a4%87&a=1&c&&d==&").expect("a form");
        assert_eq!(pairs(&fields), [("a", "1"), ("b", "2+ 备"), ("c", ""), ("d", "=")]);
        assert_eq!(form("").map(|fields| fields.len()), Ok(0));
        let rows = [
            ("a=1&b=2&a=3", DecodeError::Duplicate { place: 3 }),
            ("a=1&%61=3", DecodeError::Duplicate { place: 2 }),
            ("a=1&=3", DecodeError::NoKey { place: 2 }),
            ("a=%4", DecodeError::Percent { offset: 2 }),
            ("ab=x%g0", DecodeError::Percent { offset: 4 }),
            ("a=1&b=%ff", DecodeError::NotUtf8 { offset: 6 }),
        ];
        for (body, expected) in rows {
            assert_eq!(form(body), Err(expected), "{body}");
        }
        assert_eq!(Fields::decode_form(b"a=\xff", LIMITS), Err(DecodeError::NotUtf8 { offset: 2 }));
    }

    #[test]
    fn a_line_keeps_what_stands_in_brackets() {
        let fields = line(
            "signature=a+b/c==&tokenPayData={token=62&trId=1}&e=&x=%41+&l=[a={b&c}&d]\
             &respMsg=no[1]",
        )
        .expect("a line");
        assert_eq!(
            pairs(&fields),
            [
                ("e", ""),
                ("l", "[a={b&c}&d]"),
                ("respMsg", "no[1]"),
                ("signature", "a+b/c=="),
                ("tokenPayData", "{token=62&trId=1}"),
                ("x", "%41+"),
            ]
        );
        let wrapped = line("\r\n{a=1&b={c=2&d=3}&m=x}y]}\n").expect("a wrapped line");
        assert_eq!(pairs(&wrapped), [("a", "1"), ("b", "{c=2&d=3}"), ("m", "x}y]")]);
        assert_eq!(line("{}").map(|fields| fields.len()), Ok(0));
    }

    #[test]
    fn what_is_no_line_is_refused() {
        let deep = format!("a={}", "[".repeat(DEPTH_MAX + 1));
        let rows = [
            ("<html>busy</html>", DecodeError::NoEquals { place: 1 }),
            ("a=1&b&c=2", DecodeError::NoEquals { place: 2 }),
            ("a=1&=2", DecodeError::NoKey { place: 2 }),
            ("a=1&a=1", DecodeError::Duplicate { place: 2 }),
            (" a=1&b=x{y&c=2", DecodeError::Unclosed { offset: 8 }),
            (deep.as_str(), DecodeError::TooDeep { offset: 2 + DEPTH_MAX, limit: DEPTH_MAX }),
        ];
        for (body, expected) in rows {
            assert_eq!(line(body), Err(expected), "{body}");
        }
        assert_eq!(
            Fields::decode_line(b"a=1&b=\xff", LIMITS),
            Err(DecodeError::NotUtf8 { offset: 6 })
        );
    }

    #[test]
    fn limits_hold() {
        let limits = FieldLimits { bytes_max: 11, fields_max: 2 };
        for decode in [Fields::decode_form, Fields::decode_line] {
            assert!(decode(b"a=1&b=2", limits).is_ok());
            assert_eq!(
                decode(b"a=1&b=2&c=3", limits),
                Err(DecodeError::TooManyFields { limit: 2 })
            );
            assert_eq!(
                decode(b"a=1234567890", limits),
                Err(DecodeError::TooLong { length: 12, limit: 11 })
            );
        }
    }

    proptest! {
        #[test]
        fn any_fields_survive_the_form(
            map in prop::collection::btree_map("\\PC{1,12}", any::<String>(), 0..24)
        ) {
            let fields: Fields = map.iter().map(|(key, value)| (&**key, &**value)).collect();
            let expected: Vec<_> = map.iter().map(|(key, value)| (&**key, &**value)).collect();
            prop_assert_eq!(pairs(&fields), expected);
            prop_assert_eq!(form(&fields.encode_form()), Ok(fields));
        }

        #[test]
        fn plain_fields_survive_the_line(
            map in prop::collection::btree_map(
                "[a-zA-Z]{1,12}",
                "[^&{}\\[\\]\\x00-\\x20]{0,20}",
                0..24,
            )
        ) {
            let fields: Fields = map.iter().map(|(key, value)| (&**key, &**value)).collect();
            prop_assert_eq!(line(&fields.encode_line()), Ok(fields));
        }

        #[test]
        fn any_bytes_are_fields_or_an_error(body in prop::collection::vec(any::<u8>(), 0..200)) {
            for decode in [Fields::decode_form, Fields::decode_line] {
                if let Ok(fields) = decode(&body, LIMITS) {
                    prop_assert!(fields.len() <= body.len());
                    prop_assert!(fields.iter().all(|(key, _)| !key.is_empty()));
                }
            }
        }

        #[test]
        fn any_punctuation_is_fields_or_an_error(body in "[a-c=&{}%+\\[\\] 4]{0,60}") {
            let _ = form(&body);
            if let Ok(fields) = line(&body) {
                let kept: usize = fields.iter().map(|(key, value)| key.len() + value.len()).sum();
                prop_assert!(kept <= body.len());
            }
        }
    }
}
