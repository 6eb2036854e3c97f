//! A message as it lies in a frame: which fields there are, and where. Reads, and copies nothing.

use super::ebcdic;
use super::format::Format;
use super::notation::{BitmapForm, FieldKind, FieldSpec, Packing, Pad, Size, bit};
use super::{FIELD_MAX, Flaw, Iso8583Error, MESSAGE_BYTES_MAX};

/// Where one field's value lies. All zero where the field is absent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct FieldSpan {
    /// The value's first byte, behind its length.
    pub at: u16,
    pub bytes: u16,
    /// Digits, or bytes where the value is not packed digits.
    pub count: u16,
}

/// Where everything of one message lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Spans {
    /// As a number: 0210 is 210.
    pub message_type: u16,
    /// The message type's first byte, and the byte behind the last field.
    pub start: usize,
    pub end: usize,
    /// Field 1 is the highest bit. Bit 1 itself is left out: it is packing, not content.
    pub present: u128,
    pub fields: [FieldSpan; FIELD_MAX as usize + 1],
}

impl Spans {
    pub const fn new(message_type: u16, start: usize, present: u128) -> Self {
        let fields = [FieldSpan { at: 0, bytes: 0, count: 0 }; FIELD_MAX as usize + 1];
        Self { message_type, start, end: start, present, fields }
    }
}

/// The fields whose bits are set, ascending.
pub(super) fn set_fields(mut present: u128) -> impl Iterator<Item = u8> {
    std::iter::from_fn(move || {
        // Each round clears one bit.
        let field = u8::try_from(present.leading_zeros()).ok()? + 1;
        if field > FIELD_MAX {
            return None;
        }
        present &= !bit(field);
        Some(field)
    })
}

/// One message over the bytes that it came in.
#[derive(Clone)]
pub struct Message<'f> {
    format: &'f Format,
    frame: &'f [u8],
    spans: Spans,
}

/// Reads the message that begins at `start` and fills the frame.
pub fn decode<'f>(
    format: &'f Format,
    frame: &'f [u8],
    start: usize,
) -> Result<Message<'f>, Iso8583Error> {
    match decode_prefix(format, frame, start)? {
        (message, None) => Ok(message),
        (_, Some(fault)) => Err(fault),
    }
}

/// Reads as far as the bytes are a message: the fields before the first fault, and that fault. An
/// error where not even message type and bitmaps can be read.
///
/// What was read says which message it may be, and proves nothing: the rest, its MAC included, is
/// not known.
pub fn decode_prefix<'f>(
    format: &'f Format,
    frame: &'f [u8],
    start: usize,
) -> Result<(Message<'f>, Option<Iso8583Error>), Iso8583Error> {
    if frame.len() > MESSAGE_BYTES_MAX {
        return Err(Iso8583Error { field: 0, offset: MESSAGE_BYTES_MAX, flaw: Flaw::TooLong });
    }
    let mut reader = FieldReader { frame, at: start, field: 0 };
    let message_type = reader.message_type(format.habits.message_type)?;
    let present = reader.bitmaps(format.habits.bitmap)?;
    let mut spans = Spans::new(message_type, start, present);
    let mut fault = None;
    for field in set_fields(present) {
        reader.field = field;
        let span = match format.field(field) {
            Some(spec) => reader.span(spec),
            None => Err(reader.error(Flaw::Unlisted)),
        };
        match span {
            Ok(span) => spans.fields[usize::from(field)] = span,
            Err(found) => {
                // This field and all behind it are not there.
                spans.present &= !(u128::MAX >> (field - 1));
                fault = Some(found);
                break;
            }
        }
    }
    if fault.is_none() && reader.at != frame.len() {
        fault = Some(reader.error(Flaw::Surplus));
    }
    spans.end = reader.at;
    Ok((Message { format, frame, spans }, fault))
}

struct FieldReader<'f> {
    frame: &'f [u8],
    at: usize,
    field: u8,
}

impl<'f> FieldReader<'f> {
    const fn error(&self, flaw: Flaw) -> Iso8583Error {
        Iso8583Error { field: self.field, offset: self.at, flaw }
    }

    fn take(&mut self, bytes: usize) -> Result<&'f [u8], Iso8583Error> {
        let end = self.at.saturating_add(bytes);
        let taken = self.frame.get(self.at..end).ok_or(Iso8583Error {
            field: self.field,
            offset: self.frame.len(),
            flaw: Flaw::Short,
        })?;
        self.at = end;
        Ok(taken)
    }

    fn message_type(&mut self, packing: Packing) -> Result<u16, Iso8583Error> {
        let at = self.at;
        let taken = self.take(if packing == Packing::Bcd { 2 } else { 4 })?;
        let error = Iso8583Error { field: 0, offset: at, flaw: Flaw::MessageType };
        let number = match packing {
            Packing::Bcd => bcd_number(taken),
            Packing::Ebcdic => ebcdic_number(taken),
            Packing::Ascii | Packing::Binary => ascii_number(taken),
        };
        number.ok_or(error)
    }

    fn bitmaps(&mut self, form: BitmapForm) -> Result<u128, Iso8583Error> {
        let first = u128::from(self.bitmap(form)?) << 64;
        if first & bit(1) == 0 {
            return Ok(first);
        }
        Ok((first & !bit(1)) | u128::from(self.bitmap(form)?))
    }

    fn bitmap(&mut self, form: BitmapForm) -> Result<u64, Iso8583Error> {
        let at = self.at;
        match form {
            BitmapForm::Raw => {
                let bytes = self.take(8)?;
                Ok(bytes.iter().fold(0, |map, byte| (map << 8) | u64::from(*byte)))
            }
            BitmapForm::Hex | BitmapForm::HexEbcdic => {
                let error = Iso8583Error { field: 0, offset: at, flaw: Flaw::Bitmap };
                let plain = |byte: u8| match form {
                    BitmapForm::HexEbcdic => ebcdic::to_latin(byte),
                    BitmapForm::Raw | BitmapForm::Hex => byte,
                };
                let digit = |map: u64, byte: &u8| {
                    let digit = char::from(plain(*byte)).to_digit(16)?;
                    Some((map << 4) | u64::from(digit))
                };
                self.take(16)?.iter().try_fold(0, digit).ok_or(error)
            }
        }
    }

    fn span(&mut self, spec: &FieldSpec) -> Result<FieldSpan, Iso8583Error> {
        let count = match spec.size {
            Size::Fixed(count) => usize::from(count),
            Size::Variable { max, .. } => self.length(spec, max)?,
        };
        let at = self.at;
        let value = self.take(spec.bytes_of(count))?;
        if let Some(place) = wrong_byte(spec, value, count) {
            return Err(Iso8583Error {
                field: self.field,
                offset: at + place,
                flaw: Flaw::Character,
            });
        }
        // A frame has at most 65,535 bytes, so every number fits.
        Ok(FieldSpan { at: at as u16, bytes: value.len() as u16, count: count as u16 })
    }

    fn length(&mut self, spec: &FieldSpec, max: u16) -> Result<usize, Iso8583Error> {
        let at = self.at;
        let taken = self.take(spec.prefix_bytes())?;
        let number = match spec.length_packing {
            Packing::Ascii => ascii_number(taken),
            Packing::Ebcdic => ebcdic_number(taken),
            Packing::Bcd => bcd_number(taken),
            Packing::Binary => {
                Some(taken.iter().fold(0, |sum: u16, byte| (sum << 8) | u16::from(*byte)))
            }
        };
        let error = |flaw| Iso8583Error { field: self.field, offset: at, flaw };
        let number = number.ok_or(error(Flaw::LengthDigits))?;
        if number > max { Err(error(Flaw::LengthLimit)) } else { Ok(usize::from(number)) }
    }
}

/// At most four ASCII digits as a number.
fn ascii_number(bytes: &[u8]) -> Option<u16> {
    let digit =
        |sum: u16, byte: &u8| byte.is_ascii_digit().then(|| sum * 10 + u16::from(*byte - b'0'));
    bytes.iter().try_fold(0, digit)
}

/// At most four digits in EBCDIC as a number.
fn ebcdic_number(bytes: &[u8]) -> Option<u16> {
    let digit = |sum: u16, byte: &u8| {
        (0xF0..=0xF9).contains(byte).then(|| sum * 10 + u16::from(*byte & 15))
    };
    bytes.iter().try_fold(0, digit)
}

/// At most two bytes of packed digits as a number.
fn bcd_number(bytes: &[u8]) -> Option<u16> {
    let pair = |sum: u16, byte: &u8| {
        let (high, low) = (byte >> 4, byte & 15);
        (high <= 9 && low <= 9).then(|| sum * 100 + u16::from(high) * 10 + u16::from(low))
    };
    bytes.iter().try_fold(0, pair)
}

/// The first byte that does not belong to the field's kind. Spare nibbles are not looked at.
fn wrong_byte(spec: &FieldSpec, value: &[u8], count: usize) -> Option<usize> {
    let latin = |byte: u8, packing: Packing| match packing {
        Packing::Ebcdic => ebcdic::to_latin(byte),
        Packing::Ascii | Packing::Bcd | Packing::Binary => byte,
    };
    let first_not =
        |fits: fn(u8) -> bool| value.iter().position(|byte| !fits(latin(*byte, spec.packing)));
    match (spec.kind, spec.packing) {
        (FieldKind::Text | FieldKind::Binary, _) => None,
        (FieldKind::Numeric | FieldKind::Track, Packing::Bcd) => {
            wrong_nibble(value, count, spec.pad, spec.kind == FieldKind::Track)
        }
        (FieldKind::Signed, packing) => {
            let (first, digits) = value.split_first()?;
            if !matches!(latin(*first, spec.sign), b'C' | b'D') {
                return Some(0);
            }
            let wrong = match packing {
                Packing::Bcd => wrong_nibble(digits, count - 1, spec.pad, false),
                Packing::Ascii | Packing::Ebcdic | Packing::Binary => {
                    digits.iter().position(|byte| !latin(*byte, packing).is_ascii_digit())
                }
            };
            wrong.map(|at| at + 1)
        }
        (FieldKind::Numeric, _) => first_not(|byte| byte.is_ascii_digit()),
        (FieldKind::Alphanumeric | FieldKind::Track, _) => {
            first_not(|byte| (b' '..=b'~').contains(&byte))
        }
    }
}

/// The first byte with a nibble that is no digit; a track may have a separator.
fn wrong_nibble(value: &[u8], count: usize, pad: Pad, is_track: bool) -> Option<usize> {
    let fits = |nibble: u8| nibble <= 9 || (is_track && nibble == 13);
    let whole = value.iter().position(|byte| !(fits(byte >> 4) && fits(byte & 15)))?;
    // Only then it matters whether the wrong nibble is the spare one.
    let wrong = (0..count).find(|place| !fits(nibble(value, count, pad, *place)));
    wrong.map(|_| whole)
}

/// The digit at `place` of `count` packed ones.
const fn nibble(value: &[u8], count: usize, pad: Pad, place: usize) -> u8 {
    let shift = match pad {
        Pad::Left => count % 2,
        Pad::Right => 0,
    };
    let at = place + shift;
    let byte = value[at / 2];
    if at.is_multiple_of(2) { byte >> 4 } else { byte & 15 }
}

impl<'f> Message<'f> {
    pub(super) const fn over(format: &'f Format, frame: &'f [u8], spans: Spans) -> Self {
        Self { format, frame, spans }
    }

    /// The message type as a number: 0210 is 210.
    pub const fn message_type(&self) -> u16 {
        self.spans.message_type
    }

    pub const fn has(&self, field: u8) -> bool {
        field >= 2 && field <= FIELD_MAX && self.spans.present & bit(field) != 0
    }

    /// The fields that are there, ascending.
    pub fn fields(&self) -> impl Iterator<Item = u8> {
        set_fields(self.spans.present)
    }

    pub fn value(&self, field: u8) -> Option<Value<'f>> {
        let spec = self.format.field(field).filter(|_| self.has(field))?;
        let span = self.spans.fields[usize::from(field)];
        let at = usize::from(span.at);
        let bytes = &self.frame[at..at + usize::from(span.bytes)];
        Some(Value { bytes, count: usize::from(span.count), spec: *spec })
    }

    /// The bytes of a field with the length before it, as they lie in the frame.
    pub fn packed(&self, field: u8) -> Option<&'f [u8]> {
        let value = self.value(field)?;
        let span = self.spans.fields[usize::from(field)];
        let end = usize::from(span.at) + usize::from(span.bytes);
        Some(&self.frame[usize::from(span.at) - value.spec.prefix_bytes()..end])
    }

    /// The bytes from the message type to the one before `field`'s, which must be the last.
    pub fn before(&self, field: u8) -> Option<&'f [u8]> {
        let packed = self.packed(field)?.len();
        let last = self.spans.present.trailing_zeros() == u32::from(FIELD_MAX - field);
        last.then(|| &self.frame[self.spans.start..self.spans.end - packed])
    }

    /// Where the bytes of a field's value begin, from the frame's first byte.
    pub fn offset(&self, field: u8) -> Option<usize> {
        self.has(field).then(|| usize::from(self.spans.fields[usize::from(field)].at))
    }
}

/// One field's value.
#[derive(Clone, Copy)]
pub struct Value<'f> {
    bytes: &'f [u8],
    count: usize,
    spec: FieldSpec,
}

impl<'f> Value<'f> {
    /// The bytes as they lie in the frame: two digits a byte where the field is BCD.
    pub const fn bytes(&self) -> &'f [u8] {
        self.bytes
    }

    /// Digits, or bytes where the value is not packed digits.
    pub const fn count(&self) -> usize {
        self.count
    }

    /// The value in its plain form: digits and characters in ASCII, a track's separator as `=`,
    /// other bytes as they are.
    pub fn plain(&self) -> impl Iterator<Item = u8> + use<'f> {
        let value = *self;
        (0..value.count).map(move |place| value.at(place))
    }

    fn at(&self, place: usize) -> u8 {
        let digit = |bytes, count, place| match nibble(bytes, count, self.spec.pad, place) {
            13 => b'=',
            digit => b'0' + digit,
        };
        match (self.spec.packing, self.spec.kind) {
            (Packing::Bcd, FieldKind::Signed) => match (place, self.spec.sign) {
                (0, Packing::Ebcdic) => ebcdic::to_latin(self.bytes[0]),
                (0, Packing::Ascii | Packing::Bcd | Packing::Binary) => self.bytes[0],
                (place, _) => digit(&self.bytes[1..], self.count - 1, place - 1),
            },
            (Packing::Bcd, _) => digit(self.bytes, self.count, place),
            (Packing::Ebcdic, _) => ebcdic::to_latin(self.bytes[place]),
            (Packing::Ascii | Packing::Binary, _) => self.bytes[place],
        }
    }

    pub fn is(&self, plain: &[u8]) -> bool {
        self.count == plain.len() && self.plain().eq(plain.iter().copied())
    }

    /// The plain form as text; bytes that are no ASCII become question marks.
    pub fn text(&self) -> String {
        self.plain().map(|byte| if byte.is_ascii() { char::from(byte) } else { '?' }).collect()
    }

    /// The plain form as a number, if it is digits that fit.
    pub fn number(&self) -> Option<u64> {
        let digit = |sum: u64, byte: u8| {
            let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
            sum.checked_mul(10)?.checked_add(digit)
        };
        self.plain().try_fold(0, digit).filter(|_| self.count > 0)
    }
}
