//! XML messages: a small tree that is read safely and written in one way only.
//!
//! Reads what payment messages are made of and refuses the rest: no document type, so no entities
//! beyond the five and no expansion; bytes, elements and depth are bounded. Names are local ones,
//! namespaces are not looked at. An element has either text or children; blanks between children
//! mean nothing. Knows nothing of what an element means.

use std::fmt;
use std::ops::Range;

use quick_xml::events::{BytesRef, BytesStart, Event};
use quick_xml::{Reader, XmlVersion};
use zeroize::Zeroizing;

use super::charset::NamedCharset;

/// How much is accepted before a message is refused.
pub const BYTES_MAX: usize = 64 * 1024;
pub const ELEMENTS_MAX: usize = 1_024;
pub const DEPTH_MAX: usize = 32;
pub const ATTRIBUTES_MAX: usize = 32;

/// Why bytes are no XML message. Places are bytes from 0; nothing is quoted (I-11).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum XmlError {
    #[error("the message has more bytes than it may have")]
    TooLong,
    #[error("the message is not of its encoding, or says that it has another one")]
    NotUtf8,
    #[error("the message is not well-formed near byte {offset}")]
    Malformed { offset: usize },
    #[error("the message has a document type, which no payment message needs")]
    DocumentType,
    #[error("the message has an entity that is none of the five, at byte {offset}")]
    Entity { offset: usize },
    #[error("the message is nested deeper than {DEPTH_MAX} levels")]
    TooDeep,
    #[error("the message has more than {ELEMENTS_MAX} elements or {ATTRIBUTES_MAX} attributes")]
    TooMany,
    #[error("an element has both text and children, near byte {offset}")]
    Mixed { offset: usize },
    #[error("a path leads to several elements, or to one that has children")]
    Ambiguous,
    #[error("a text has a character that XML cannot carry")]
    Character,
}

/// One element with what is in it.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Element {
    /// Without its namespace's prefix.
    pub name: String,
    pub attributes: Vec<(String, String)>,
    /// Empty where there are children. It may be card data, so it is wiped when dropped.
    pub text: Zeroizing<String>,
    pub children: Vec<Element>,
    /// Where it stood in the bytes that it was read from.
    pub span: Range<usize>,
}

impl Element {
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }

    pub fn with_text(name: &str, text: &str) -> Self {
        Self { text: Zeroizing::new(text.to_owned()), ..Self::new(name) }
    }

    /// Reads a whole message.
    pub fn parse(body: &[u8]) -> Result<Self, XmlError> {
        if body.len() > BYTES_MAX {
            return Err(XmlError::TooLong);
        }
        let text = std::str::from_utf8(body).map_err(|_| XmlError::NotUtf8)?;
        Self::parse_text(text, NamedCharset::UTF_8)
    }

    /// The same for a text of any length that was decoded from an encoding, which its declaration
    /// may name.
    pub fn parse_text(text: &str, charset: NamedCharset) -> Result<Self, XmlError> {
        // A byte order mark says what is known already; offsets stay those of the text.
        let mark = text.len() - text.trim_start_matches('\u{feff}').len();
        let reader = Reader::from_str(&text[mark..]);
        Parse { reader, mark, charset, open: Vec::new(), elements: 0 }.run()
    }

    /// The message's text, with a declaration before it. The same tree gives the same bytes.
    pub fn write(&self) -> Result<String, XmlError> {
        self.write_for(NamedCharset::UTF_8)
    }

    /// The same for a text that travels in this encoding: the declaration names it.
    pub fn write_for(&self, charset: NamedCharset) -> Result<String, XmlError> {
        let mut out = String::with_capacity(1_024);
        out.push_str("<?xml version=\"1.0\" encoding=\"");
        out.push_str(charset.name());
        out.push_str("\"?>");
        self.write_into(&mut out)?;
        Ok(out)
    }

    fn write_into(&self, out: &mut String) -> Result<(), XmlError> {
        out.push('<');
        out.push_str(&self.name);
        for (name, value) in &self.attributes {
            out.push(' ');
            out.push_str(name);
            out.push_str("=\"");
            escape(value, out)?;
            out.push('"');
        }
        if self.text.is_empty() && self.children.is_empty() {
            out.push_str("/>");
            return Ok(());
        }
        out.push('>');
        escape(&self.text, out)?;
        for child in &self.children {
            child.write_into(out)?;
        }
        out.push_str("</");
        out.push_str(&self.name);
        out.push('>');
        Ok(())
    }

    /// The text at a path such as `/doc/head/@id` or `/doc/item/1/code`, whose first part is this
    /// element. A number chooses among children of one name, from 0; without one there must be
    /// only one. `Ok(None)` where there is nothing.
    pub fn text_at(&self, path: &str) -> Result<Option<&str>, XmlError> {
        let mut parts = path.strip_prefix('/').unwrap_or(path).split('/').peekable();
        if parts.next() != Some(self.name.as_str()) {
            return Ok(None);
        }
        let mut at = self;
        while let Some(part) = parts.next() {
            if let Some(name) = part.strip_prefix('@') {
                let found = at.attributes.iter().find(|(key, _)| key == name);
                return Ok(found.map(|(_, value)| value.as_str()));
            }
            let index = parts.peek().and_then(|next| next.parse::<usize>().ok());
            if index.is_some() {
                parts.next();
            }
            let Some(child) = at.child(part, index)? else { return Ok(None) };
            at = child;
        }
        if at.children.is_empty() { Ok(Some(&at.text)) } else { Err(XmlError::Ambiguous) }
    }

    /// The child of a name; with several of them `index` must say which.
    pub fn child(&self, name: &str, index: Option<usize>) -> Result<Option<&Self>, XmlError> {
        let mut found = self.children.iter().filter(|child| child.name == name);
        match index {
            Some(index) => Ok(found.nth(index)),
            None => match (found.next(), found.next()) {
                (first, None) => Ok(first),
                (_, Some(_)) => Err(XmlError::Ambiguous),
            },
        }
    }
}

/// Shows the shape only: texts may be card data (I-11).
impl fmt::Debug for Element {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Element({}, {} children)", self.name, self.children.len())
    }
}

/// Whether a text can be the name of an element or attribute that we write.
pub fn is_name(text: &str) -> bool {
    let first = |c: char| c.is_alphabetic() || c == '_';
    let other = |c: char| first(c) || c.is_ascii_digit() || matches!(c, '-' | '.' | ':');
    text.chars().next().is_some_and(first) && text.chars().all(other)
}

/// Writes a text so that it stays one, inside an element or the quotes of an attribute.
pub fn escape(text: &str, out: &mut String) -> Result<(), XmlError> {
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            // Read back as blanks otherwise.
            '\t' | '\n' | '\r' => out.push_str(&format!("&#{};", u32::from(character))),
            // XML 1.0 §2.2 has no way to write these.
            '\0'..'\u{20}' | '\u{fffe}' | '\u{ffff}' => return Err(XmlError::Character),
            _ => out.push(character),
        }
    }
    Ok(())
}

struct Parse<'t> {
    reader: Reader<&'t [u8]>,
    /// Bytes before what the reader sees.
    mark: usize,
    /// The encoding that the bytes had; a declaration may name no other.
    charset: NamedCharset,
    /// The elements whose end has not come, outermost first.
    open: Vec<Element>,
    elements: usize,
}

impl Parse<'_> {
    fn run(mut self) -> Result<Element, XmlError> {
        let mut root = None;
        // Every round takes an event; the text is bounded.
        loop {
            let start = self.offset();
            let event = self.reader.read_event();
            let event = event.map_err(|_| XmlError::Malformed { offset: start })?;
            let closed = match event {
                Event::Start(tag) => {
                    let element = self.begin(&tag, start)?;
                    self.open.push(element);
                    None
                }
                Event::Empty(tag) => {
                    let element = self.begin(&tag, start)?;
                    self.close(element)
                }
                Event::End(_) => {
                    let element = self.open.pop().ok_or(XmlError::Malformed { offset: start })?;
                    check_content(&element, start)?;
                    self.close(element)
                }
                Event::Text(text) => {
                    self.append(&text.xml10_content(), start)?;
                    None
                }
                Event::CData(text) => {
                    self.append(&text.xml10_content(), start)?;
                    None
                }
                Event::GeneralRef(name) => {
                    let text = resolve(&name).ok_or(XmlError::Entity { offset: start })?;
                    self.append(text.encode_utf8(&mut [0; 4]), start)?;
                    None
                }
                Event::Decl(head) => {
                    let encoding = head.encoding().transpose();
                    let encoding = encoding.map_err(|_| XmlError::Malformed { offset: start })?;
                    if encoding.is_some_and(|name| NamedCharset::parse(&name) != Some(self.charset))
                    {
                        return Err(XmlError::NotUtf8);
                    }
                    None
                }
                Event::DocType(_) => return Err(XmlError::DocumentType),
                Event::Comment(_) | Event::PI(_) => None,
                Event::Eof => break,
            };
            if closed.is_some() && root.is_some() {
                return Err(XmlError::Malformed { offset: start });
            }
            root = root.or(closed);
        }
        let end = self.offset();
        match root {
            Some(root) if self.open.is_empty() => Ok(root),
            Some(_) | None => Err(XmlError::Malformed { offset: end }),
        }
    }

    fn offset(&self) -> usize {
        usize::try_from(self.reader.buffer_position())
            .unwrap_or(usize::MAX)
            .saturating_add(self.mark)
    }

    fn begin(&mut self, tag: &BytesStart<'_>, start: usize) -> Result<Element, XmlError> {
        self.elements += 1;
        if self.open.len() >= DEPTH_MAX {
            return Err(XmlError::TooDeep);
        }
        if self.elements > ELEMENTS_MAX {
            return Err(XmlError::TooMany);
        }
        let mut element = Element::new(tag.local_name().into_inner());
        element.span = start..start;
        for (place, attribute) in tag.attributes().enumerate() {
            // Declarations of namespaces count too: the parser compares each name with all before.
            if place == ATTRIBUTES_MAX {
                return Err(XmlError::TooMany);
            }
            let attribute = attribute.map_err(|_| XmlError::Malformed { offset: start })?;
            let key = attribute.key;
            if key.into_inner() == "xmlns" || key.into_inner().starts_with("xmlns:") {
                continue;
            }
            let value = attribute.normalized_value(XmlVersion::Explicit1_0);
            let value = value.map_err(|_| XmlError::Entity { offset: start })?;
            let name = key.local_name().into_inner();
            if element.attributes.iter().any(|(known, _)| known == name) {
                return Err(XmlError::Malformed { offset: start });
            }
            element.attributes.push((name.to_owned(), value.into_owned()));
        }
        Ok(element)
    }

    /// Ends an element; answers it if it is the outermost one.
    fn close(&mut self, mut element: Element) -> Option<Element> {
        element.span.end = self.offset();
        if !element.children.is_empty() {
            element.text.clear();
        }
        match self.open.last_mut() {
            Some(parent) => {
                parent.children.push(element);
                None
            }
            None => Some(element),
        }
    }

    fn append(&mut self, text: &str, start: usize) -> Result<(), XmlError> {
        match self.open.last_mut() {
            Some(element) => {
                element.text.push_str(text);
                Ok(())
            }
            None if text.trim().is_empty() => Ok(()),
            None => Err(XmlError::Malformed { offset: start }),
        }
    }
}

fn check_content(element: &Element, offset: usize) -> Result<(), XmlError> {
    let mixed = !element.children.is_empty() && !element.text.trim().is_empty();
    if mixed { Err(XmlError::Mixed { offset }) } else { Ok(()) }
}

/// One of the five entities, or a character by its number.
fn resolve(name: &BytesRef<'_>) -> Option<char> {
    if name.is_char_ref() {
        return name.resolve_char_ref().ok().flatten();
    }
    match &*name.xml10_content() {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> Element {
        Element::parse(text.as_bytes()).expect("a message")
    }

    #[test]
    fn a_message_is_read_by_paths() {
        let text = "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<!-- c -->\
                    <n:doc xmlns:n='u' a='1 &amp; 2'>\n\
                    <head id=\"H\"><code>00</code></head>\n  \
                    <item><c>1</c></item><item><c>2</c></item>\
                    <memo>a &lt;b&gt; &#20013;<![CDATA[<x>&amp;]]></memo><empty/></n:doc>\n";
        let doc = parse(text);
        let rows = [
            ("/doc/@a", Ok(Some("1 & 2"))),
            ("/doc/head/@id", Ok(Some("H"))),
            ("/doc/head/@no", Ok(None)),
            ("/doc/head/code", Ok(Some("00"))),
            ("/doc/item/1/c", Ok(Some("2"))),
            ("/doc/item/2/c", Ok(None)),
            ("/doc/item/c", Err(XmlError::Ambiguous)),
            ("/doc/head", Err(XmlError::Ambiguous)),
            ("/doc/memo", Ok(Some("a <b> 中<x>&amp;"))),
            ("/doc/empty", Ok(Some(""))),
            ("/other/head", Ok(None)),
            ("/doc/none/x", Ok(None)),
        ];
        for (path, expected) in rows {
            assert_eq!(doc.text_at(path), expected, "{path}");
        }
        let head = doc.child("head", None).expect("one").expect("there");
        assert_eq!(&text[head.span.clone()], "<head id=\"H\"><code>00</code></head>");
    }

    #[test]
    fn what_could_hurt_is_refused() {
        let deep = format!("{}{}", "<a>".repeat(DEPTH_MAX + 1), "</a>".repeat(DEPTH_MAX + 1));
        let many = format!("<a>{}</a>", "<b/>".repeat(ELEMENTS_MAX));
        let declared: String = (0..40).map(|place| format!(" xmlns:n{place}='u'")).collect();
        let declared = format!("<a{declared}/>");
        let long = format!("<a>{}</a>", " ".repeat(BYTES_MAX));
        let rows = [
            ("<!DOCTYPE a [<!ENTITY b \"c\">]><a>&b;</a>", XmlError::DocumentType),
            ("<a>&b;</a>", XmlError::Entity { offset: 3 }),
            ("<a b='&c;'/>", XmlError::Entity { offset: 0 }),
            ("<a>&#0;</a>", XmlError::Entity { offset: 3 }),
            (&deep, XmlError::TooDeep),
            (&many, XmlError::TooMany),
            (&declared, XmlError::TooMany),
            (&long, XmlError::TooLong),
            ("<?xml version=\"1.0\" encoding=\"GBK\"?><a/>", XmlError::NotUtf8),
            ("<a><b></a></b>", XmlError::Malformed { offset: 6 }),
            ("<a/><a/>", XmlError::Malformed { offset: 4 }),
            ("x<a/>", XmlError::Malformed { offset: 0 }),
            ("<a>", XmlError::Malformed { offset: 3 }),
            ("", XmlError::Malformed { offset: 0 }),
            ("<a>x<b/></a>", XmlError::Mixed { offset: 8 }),
            ("<a b='1' b='2'/>", XmlError::Malformed { offset: 0 }),
        ];
        for (text, expected) in rows {
            assert_eq!(Element::parse(text.as_bytes()), Err(expected), "{:.60}", text);
        }
        assert_eq!(Element::parse(b"<a>\xff</a>"), Err(XmlError::NotUtf8));
    }

    #[test]
    fn a_message_is_written_in_one_way() {
        let mut doc = Element::new("doc");
        doc.attributes.push(("v".to_owned(), "1\"<".to_owned()));
        doc.children.push(Element::with_text("a", "x & <y>\n'"));
        doc.children.push(Element::new("b"));
        let text = doc.write().expect("written");
        assert_eq!(
            text,
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><doc v=\"1&quot;&lt;\">\
             <a>x &amp; &lt;y&gt;&#10;&apos;</a><b/></doc>"
        );
        assert_eq!(Element::with_text("a", "\u{1}").write(), Err(XmlError::Character));
        assert!(is_name("Doc-1") && is_name("x:y") && !is_name("1a") && !is_name("a b"));
        assert!(!is_name(""));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(text in "\\PC{0,40}", value in "\\PC{0,20}") {
            let mut doc = Element::new("doc");
            doc.attributes.push(("v".to_owned(), value.clone()));
            doc.children.push(Element::with_text("a", &text));
            if let Ok(written) = doc.write() {
                let read = parse(&written);
                prop_assert_eq!(read.text_at("/doc/a"), Ok(Some(text.as_str())));
                prop_assert_eq!(read.text_at("/doc/@v"), Ok(Some(value.as_str())));
            }
        }

        #[test]
        fn no_bytes_break_the_reader(
            body in proptest::collection::vec(
                proptest::sample::select(vec![
                    "<a>", "</a>", "<b c='", "'/>", "&lt;", "&#x", ";", "<![CDATA[", "]]>", "<!--",
                    "-->", "<?x", "?>", "中", "\0", "<!DOCTYPE",
                ]),
                0..60,
            ),
        ) {
            let body = body.concat();
            if let Ok(doc) = Element::parse(body.as_bytes()) {
                prop_assert!(doc.span.end <= body.len());
            }
        }
    }
}
