//! Messages: ISO 8583 and its frames, forms, XML, and the JSON of the payment core.

use std::sync::OnceLock;

use switchyard::api::input::order::{FieldRules, read_payment, read_release};
use switchyard::api::language::Language;
use switchyard::codec::form::Fields;
use switchyard::codec::iso8583::frame::{FrameError, Framing, LengthForm};
use switchyard::codec::iso8583::header::HeaderForm;
use switchyard::codec::iso8583::mac::{DesKey, MacForm, MacMethod, MacRule};
use switchyard::codec::iso8583::{Draft, Format, Message, ShippedFormat, decode, encode};
use switchyard::codec::xml::{BYTES_MAX, DEPTH_MAX, ELEMENTS_MAX, Element, XmlError, is_name};
use switchyard::codec::{DecodeError, FieldLimits};
use switchyard::domain::card::LuhnWaiver;
use switchyard::domain::ids::CallerId;
use switchyard::domain::order::OrderKind;

use super::{choose, quotes_no_card, tamper};

/// One kind of link: how its messages lie in a frame, and how they are authenticated.
struct Link {
    format: Format,
    header: HeaderForm,
    rule: MacRule,
}

fn links() -> &'static [Link; 4] {
    static LINKS: OnceLock<[Link; 4]> = OnceLock::new();
    let rule = |method, field| MacRule { method, form: MacForm::HexHalf, field };
    LINKS.get_or_init(|| {
        [
            Link {
                format: Format::shipped(ShippedFormat::Posp),
                header: HeaderForm::POSP,
                rule: rule(MacMethod::UnionPayEcb, 64),
            },
            Link {
                format: Format::shipped(ShippedFormat::Cups),
                header: HeaderForm::Cups,
                rule: rule(MacMethod::X99, 128),
            },
            Link {
                format: Format::shipped(ShippedFormat::Posp),
                header: HeaderForm::NONE,
                rule: rule(MacMethod::X919, 64),
            },
            Link {
                format: Format::shipped(ShippedFormat::Cups),
                header: HeaderForm::NONE,
                rule: rule(MacMethod::UnionPayEcb, 128),
            },
        ]
    })
}

/// The first byte chooses the link and which byte of a sealed message is changed.
pub fn iso8583(bytes: &[u8]) {
    let Some((choice, frame)) = choose(bytes) else { return };
    let link = &links()[usize::from(choice % 4)];
    let (header, start) = match link.header.read(frame) {
        Ok(read) => read,
        Err(error) => return quotes_no_card(&error),
    };
    let mut written = Vec::new();
    header.write(&mut written);
    assert_eq!(written, frame[..start], "a header is written as it came");
    assert_eq!(header.answered().answered(), header, "an answer's answer goes where it came from");
    let message = match decode(&link.format, frame, start) {
        Ok(message) => message,
        Err(error) => {
            assert!(error.offset <= frame.len(), "an offset outside of the frame");
            return quotes_no_card(&error);
        }
    };
    let once = written_again(&link.format, &message);
    let again = decode(&link.format, &once, 0).expect("what was written reads");
    assert_eq!(values(&message), values(&again), "what was written says the same");
    assert_eq!(once, written_again(&link.format, &again), "there is one way to write a message");
    seal(link, &message, choice / 4);
}

fn draft_of(message: &Message<'_>) -> Draft {
    let mut draft = Draft::new(message.message_type());
    for field in message.fields() {
        let value = message.value(field).expect("the field is there");
        let plain: Vec<u8> = value.plain().collect();
        assert!(value.is(&plain) && value.count() == plain.len(), "field {field}");
        assert!(value.number().is_none() || plain.iter().all(u8::is_ascii_digit), "field {field}");
        draft.put(field, &plain);
    }
    draft
}

fn written_again(format: &Format, message: &Message<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    encode(format, &draft_of(message), &mut out).expect("what was read can be written");
    out
}

fn values(message: &Message<'_>) -> (u16, Vec<(u8, Vec<u8>)>) {
    let value = |field| message.value(field).expect("the field is there").plain().collect();
    (message.message_type(), message.fields().map(|field| (field, value(field))).collect())
}

/// A sealed message is proved, and no longer is when any byte of it has changed.
fn seal(link: &Link, message: &Message<'_>, choice: u8) {
    let key = DesKey::new(b"sixteen letters.").expect("a key of double length");
    let mut draft = draft_of(message);
    draft.put(link.rule.field, b"00000000");
    let mut out = Vec::new();
    let Ok(packed) = encode(&link.format, &draft, &mut out) else { return };
    let made = link.rule.seal(&key, &link.format, &packed, &mut out);
    assert!(made.is_some(), "the MAC is the last field");
    let sealed = decode(&link.format, &out, 0).expect("a sealed message reads");
    assert!(link.rule.proves(&key, &sealed), "a sealed message is proved");
    tamper(&mut out, choice);
    if let Ok(changed) = decode(&link.format, &out, 0) {
        assert!(!link.rule.proves(&key, &changed), "a changed message is proved");
    }
}

/// The first byte chooses the form of lengths, the second the limit.
pub fn frames(bytes: &[u8]) {
    let Some((choice, rest)) = choose(bytes) else { return };
    let Some((limit, stream)) = choose(rest) else { return };
    let form = match choice % 4 {
        0 => LengthForm::Binary2,
        1 => LengthForm::Ascii4,
        2 => LengthForm::Bcd2,
        _ => LengthForm::Binary4,
    };
    let includes_itself = choice & 64 != 0;
    let framing = Framing { form, includes_itself, frame_bytes_max: usize::from(limit) * 16 };
    let mut rest = stream;
    // Each round takes a frame with its length, or ends.
    loop {
        let found = framing.next(rest);
        // A stream comes in pieces: a part says nothing yet, or what the whole says.
        for part in 0..rest.len().min(8) {
            match framing.next(&rest[..part]) {
                Ok(None) => {}
                said => assert_eq!(said, found, "{part} bytes say otherwise than the whole"),
            }
        }
        let range = match found {
            Ok(Some(range)) => range,
            Ok(None) => return,
            Err(error) => {
                if let FrameError::TooLong { length, limit } = error {
                    assert!(length > limit && limit == framing.frame_bytes_max);
                }
                return quotes_no_card(&error);
            }
        };
        assert!(range.len() <= framing.frame_bytes_max, "a frame is longer than may be");
        let mut out = Vec::new();
        let at = framing.begin(&mut out);
        out.extend_from_slice(&rest[range.clone()]);
        framing.end(&mut out, at).expect("a frame that was read can be written");
        assert_eq!(out, rest[..range.end], "a frame is written as it came");
        rest = &rest[range.end..];
    }
}

const LIMITS: FieldLimits = FieldLimits { bytes_max: 2_048, fields_max: 24 };

/// Percent-encoded, and as a bare line.
pub fn form(bytes: &[u8]) {
    if let Some(fields) = read_fields(bytes, Fields::decode_form(bytes, LIMITS)) {
        let encoded = fields.encode_form();
        let limits = FieldLimits { bytes_max: encoded.len(), ..LIMITS };
        let again = Fields::decode_form(encoded.as_bytes(), limits).expect("it was just encoded");
        assert!(fields == again, "a form that was written says the same");
        assert_eq!(encoded, again.encode_form(), "there is one way to write a form");
    }
    if let Some(fields) = read_fields(bytes, Fields::decode_line(bytes, LIMITS)) {
        // A line has no escapes: only names and values without its own marks come back for sure.
        let plain = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.');
        if fields.iter().all(|(key, value)| plain(key) && plain(value)) {
            let encoded = fields.encode_line();
            let again = Fields::decode_line(encoded.as_bytes(), LIMITS);
            assert!(Ok(fields) == again, "a line that was written says the same");
        }
    }
}

fn read_fields(bytes: &[u8], read: Result<Fields, DecodeError>) -> Option<Fields> {
    let mut fields = match read {
        Ok(fields) => fields,
        Err(error) => {
            quotes_no_card(&error);
            return None;
        }
    };
    assert!(fields.len() <= LIMITS.fields_max && bytes.len() <= LIMITS.bytes_max);
    let length: usize = fields.iter().map(|(key, value)| key.len() + value.len()).sum();
    assert!(length <= bytes.len(), "more came out than went in");
    let keys: Vec<&str> = fields.iter().map(|(key, _)| key).collect();
    assert!(keys.is_sorted() && keys.windows(2).all(|two| two[0] != two[1]), "an order of names");
    assert!(fields.iter().all(|(key, value)| fields.get(key) == Some(value)), "each is found");
    let whole = fields.clone();
    fields.trim_and_drop_empty();
    assert!(fields.iter().all(|(_, value)| !value.is_empty()), "an empty value was kept");
    Some(whole)
}

pub fn xml(bytes: &[u8]) {
    let tree = match Element::parse(bytes) {
        Ok(tree) => tree,
        Err(error) => return quotes_no_card(&error),
    };
    assert!(bytes.len() <= BYTES_MAX);
    let mut seen = 0;
    let named = visit(&tree, 1, &mut seen, bytes);
    assert!(seen <= ELEMENTS_MAX, "{seen} elements");
    let written = match tree.write() {
        Ok(written) => written,
        // It is read as it came, and cannot be written.
        Err(error) => return assert_eq!(error, XmlError::Character),
    };
    if named && written.len() <= BYTES_MAX {
        let again = Element::parse(written.as_bytes()).expect("what was written reads");
        assert!(equal(&tree, &again), "what was written says the same");
        assert_eq!(again.write(), Ok(written), "there is one way to write a message");
    }
}

/// Checks bounds; answers whether every name is one that we would write.
fn visit(element: &Element, depth: usize, seen: &mut usize, bytes: &[u8]) -> bool {
    *seen += 1;
    assert!(depth <= DEPTH_MAX, "{depth} levels");
    assert!(element.span.start < element.span.end && element.span.end <= bytes.len());
    assert_eq!(bytes[element.span.start], b'<', "a span begins with its element");
    assert_eq!(bytes[element.span.end - 1], b'>', "a span ends with its element");
    assert!(element.text.len() <= bytes.len(), "more came out than went in");
    assert!(element.text.is_empty() || element.children.is_empty(), "text beside children");
    let plain = |name: &str| is_name(name) && !name.contains(':');
    let mut named = plain(&element.name);
    named &= element.attributes.iter().all(|(name, _)| plain(name));
    for child in &element.children {
        assert!(element.span.start < child.span.start && child.span.end < element.span.end);
        named &= visit(child, depth + 1, seen, bytes);
    }
    named
}

/// Equal but for the place in the bytes.
fn equal(left: &Element, right: &Element) -> bool {
    left.name == right.name
        && left.attributes == right.attributes
        && left.text == right.text
        && left.children.len() == right.children.len()
        && left.children.iter().zip(&right.children).all(|(left, right)| equal(left, right))
}

/// A payment's body and a release's.
pub fn order_json(bytes: &[u8]) {
    let caller = CallerId::parse("core").expect("a caller's id");
    let luhn_waiver = LuhnWaiver::default();
    let rules = FieldRules { plain_http_to: &[], luhn_waiver: &luhn_waiver };
    if let Err(error) = read_payment(bytes, OrderKind::Payment, &caller, rules) {
        quotes_no_card(&error.body(Language::English));
    }
    if let Err(error) = read_release(bytes) {
        quotes_no_card(&error.body(Language::English));
    }
}
