//! Text encodings by name (WHATWG Encoding Standard): bytes to text and back, strictly.
//!
//! What is not a text of the encoding is refused and never replaced by a sign for "unreadable":
//! a signature is over bytes, and a replaced character is another text. Only encodings that keep
//! ASCII as it is and that can also be written are known, so UTF-16 is none of them.

use std::borrow::Cow;
use std::fmt;

use encoding_rs::Encoding;

/// One encoding of text.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct NamedCharset(&'static Encoding);

impl NamedCharset {
    pub const UTF_8: Self = Self(encoding_rs::UTF_8);

    /// By any of its names, in either case: `utf-8`, `gbk`, `gb2312`, `gb18030`, `big5`,
    /// `shift_jis`, `iso-8859-1` …
    pub fn parse(name: &str) -> Option<Self> {
        let found = Encoding::for_label_no_replacement(name.as_bytes())?;
        let is_both_ways = found.output_encoding() == found && found.is_ascii_compatible();
        is_both_ways.then_some(Self(found))
    }

    /// Its usual name, as media types and XML declarations have it.
    pub fn name(self) -> &'static str {
        self.0.name()
    }

    pub fn is_utf_8(self) -> bool {
        self == Self::UTF_8
    }

    /// The text; `None` where the bytes are none. A byte order mark stays a character.
    pub fn decode(self, bytes: &[u8]) -> Option<Cow<'_, str>> {
        if self.is_utf_8() {
            return std::str::from_utf8(bytes).ok().map(Cow::Borrowed);
        }
        self.0.decode_without_bom_handling_and_without_replacement(bytes)
    }

    /// The bytes; `None` where the encoding lacks a character of the text.
    pub fn encode(self, text: &str) -> Option<Cow<'_, [u8]>> {
        let (bytes, _, has_unmappable) = self.0.encode(text);
        (!has_unmappable).then_some(bytes)
    }
}

impl fmt::Debug for NamedCharset {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "NamedCharset({})", self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_text_and_back_or_nothing() {
        let gbk = NamedCharset::parse("GB2312").expect("a name of GBK");
        assert_eq!((gbk.name(), NamedCharset::parse("gbk")), ("GBK", Some(gbk)));
        assert_eq!(gbk.encode("订单A").as_deref(), Some(&b"\xb6\xa9\xb5\xa5A"[..]));
        assert_eq!(gbk.decode(b"\xb6\xa9\xb5\xa5A").as_deref(), Some("订单A"));
        // Half a character, and one that GBK lacks.
        assert_eq!((gbk.decode(b"\xb6"), gbk.encode("😀")), (None, None));
        assert_eq!(NamedCharset::UTF_8.decode(b"\xb6\xa9"), None);
        assert_eq!(NamedCharset::UTF_8.encode("订").as_deref(), Some("订".as_bytes()));
        for name in ["utf-16", "utf-16le", "replacement", "iso-2022-jp", "", "klingon"] {
            assert_eq!(NamedCharset::parse(name), None, "{name}");
        }
    }
}
