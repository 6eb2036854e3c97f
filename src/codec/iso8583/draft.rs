//! A message that is being written: values in their plain form, packed into a buffer in one go.

use zeroize::Zeroize;

use super::ebcdic;
use super::format::Format;
use super::message::{FieldSpan, Message, Spans, set_fields};
use super::notation::{BitmapForm, FieldKind, FieldSpec, Packing, Pad, Size, bit};
use super::{FIELD_MAX, Flaw, Iso8583Error, MESSAGE_BYTES_MAX};

/// The values of one message, in any order. Reused for the next one; what it held is wiped (I-11).
pub struct Draft {
    message_type: u16,
    present: u128,
    places: [(u16, u16); FIELD_MAX as usize + 1],
    bytes: Vec<u8>,
}

impl Draft {
    /// `message_type` as a number, 0 to 9999: 0210 is 210.
    pub fn new(message_type: u16) -> Self {
        let places = [(0, 0); FIELD_MAX as usize + 1];
        Self { message_type, present: 0, places, bytes: Vec::with_capacity(512) }
    }

    /// Empties it for another message.
    pub fn begin(&mut self, message_type: u16) {
        self.message_type = message_type;
        self.present = 0;
        self.bytes.zeroize();
    }

    /// Sets a field, also a second time. The plain form is that of [`super::Value::plain`]. A field
    /// that no format can have, or more than a message can hold, is left out and so found missing.
    pub fn put(&mut self, field: u8, plain: &[u8]) -> &mut Self {
        let start = self.bytes.len();
        let fits = start + plain.len() <= MESSAGE_BYTES_MAX;
        if (2..=FIELD_MAX).contains(&field) && fits {
            self.bytes.extend_from_slice(plain);
            // The sum above is at most 65,535.
            self.places[usize::from(field)] = (start as u16, plain.len() as u16);
            self.present |= bit(field);
        }
        self
    }

    /// Sets a field to a number of at least `digits` digits, zeros before it.
    pub fn put_number(&mut self, field: u8, number: u64, digits: usize) -> &mut Self {
        let mut text = [b'0'; 20];
        let (mut rest, mut at) = (number, text.len());
        while rest > 0 {
            at -= 1;
            text[at] = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        let from = at.min(text.len() - digits.min(text.len()));
        self.put(field, &text[from..])
    }

    /// Leaves out every field without a bit in `listed`.
    pub const fn keep(&mut self, listed: u128) {
        self.present &= listed;
    }

    pub fn get(&self, field: u8) -> Option<&[u8]> {
        let (at, length) = *self.places.get(usize::from(field))?;
        let there = field >= 2 && self.present & bit(field) != 0;
        there.then(|| &self.bytes[usize::from(at)..usize::from(at) + usize::from(length)])
    }

    pub const fn message_type(&self) -> u16 {
        self.message_type
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        self.bytes.zeroize();
    }
}

/// Where a message that was just written lies in its buffer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackedMessage {
    spans: Spans,
}

impl PackedMessage {
    /// The message over the buffer that it was written into.
    pub fn message<'f>(&self, format: &'f Format, buffer: &'f [u8]) -> Message<'f> {
        Message::over(format, buffer, self.spans.clone())
    }

    /// Where the bytes of a field's value begin and end in the buffer.
    pub fn range(&self, field: u8) -> Option<std::ops::Range<usize>> {
        let there = (2..=FIELD_MAX).contains(&field) && self.spans.present & bit(field) != 0;
        let span = self.spans.fields[usize::from(field.min(FIELD_MAX))];
        there.then(|| usize::from(span.at)..usize::from(span.at) + usize::from(span.bytes))
    }
}

/// Packs a message behind what the buffer holds already. After an error the buffer's end is of no
/// use. Short values are filled: digits with zeros before them, texts of fixed length with blanks
/// behind.
pub fn encode(
    format: &Format,
    draft: &Draft,
    out: &mut Vec<u8>,
) -> Result<PackedMessage, Iso8583Error> {
    let start = out.len();
    let error = |field, offset, flaw| Iso8583Error { field, offset, flaw };
    if draft.message_type > 9_999 {
        return Err(error(0, start, Flaw::MessageType));
    }
    write_number(out, draft.message_type, 4, format.habits.message_type);
    let second = draft.present as u64;
    let first = (draft.present >> 64) as u64 | if second == 0 { 0 } else { 1 << 63 };
    write_bitmap(out, first, format.habits.bitmap);
    if second != 0 {
        write_bitmap(out, second, format.habits.bitmap);
    }
    let mut spans = Spans::new(draft.message_type, start, draft.present);
    for field in set_fields(draft.present) {
        let offset = out.len();
        let spec = format.field(field).ok_or(error(field, offset, Flaw::Unlisted))?;
        let (at, length) = draft.places[usize::from(field)];
        let plain = &draft.bytes[usize::from(at)..usize::from(at) + usize::from(length)];
        let count = write_value(out, spec, plain, format.filler)
            .map_err(|flaw| error(field, offset, flaw))?;
        let end = out.len();
        if end > MESSAGE_BYTES_MAX {
            return Err(error(field, offset, Flaw::TooLong));
        }
        let bytes = spec.bytes_of(count);
        spans.fields[usize::from(field)] =
            FieldSpan { at: (end - bytes) as u16, bytes: bytes as u16, count: count as u16 };
    }
    spans.end = out.len();
    Ok(PackedMessage { spans })
}

fn write_number(out: &mut Vec<u8>, number: u16, digits: u8, packing: Packing) {
    let digit = |place: u8| (number / 10_u16.pow(u32::from(place)) % 10) as u8;
    match packing {
        Packing::Ascii => out.extend((0..digits).rev().map(|place| b'0' + digit(place))),
        Packing::Ebcdic => out.extend((0..digits).rev().map(|place| 0xF0 + digit(place))),
        Packing::Bcd => {
            let pairs = (0..digits.div_ceil(2)).rev();
            out.extend(pairs.map(|pair| digit(pair * 2 + 1) << 4 | digit(pair * 2)));
        }
        Packing::Binary if digits <= 2 => out.push(number as u8),
        Packing::Binary => out.extend_from_slice(&number.to_be_bytes()),
    }
}

fn write_bitmap(out: &mut Vec<u8>, map: u64, form: BitmapForm) {
    match form {
        BitmapForm::Raw => out.extend_from_slice(&map.to_be_bytes()),
        BitmapForm::Hex | BitmapForm::HexEbcdic => {
            let digit = |place: u32| b"0123456789ABCDEF"[(map >> (place * 4) & 15) as usize];
            let start = out.len();
            out.extend((0..16).rev().map(digit));
            if form == BitmapForm::HexEbcdic {
                to_ebcdic(&mut out[start..]);
            }
        }
    }
}

/// Writes length and value; answers how many digits or bytes the value has.
fn write_value(
    out: &mut Vec<u8>,
    spec: &FieldSpec,
    plain: &[u8],
    filler: u8,
) -> Result<usize, Flaw> {
    if !plain_fits(spec.kind, plain) {
        return Err(Flaw::Character);
    }
    let (count, missing) = match spec.size {
        Size::Fixed(count) => {
            let count = usize::from(count);
            (count, count.checked_sub(plain.len()).ok_or(Flaw::FixedLength)?)
        }
        Size::Variable { digits, max } => {
            if plain.len() > usize::from(max) {
                return Err(Flaw::LengthLimit);
            }
            write_number(out, plain.len() as u16, digits, spec.length_packing);
            (plain.len(), 0)
        }
    };
    let start = out.len();
    match (spec.kind, spec.packing) {
        (FieldKind::Binary | FieldKind::Track | FieldKind::Signed, _) if missing > 0 => {
            return Err(Flaw::FixedLength);
        }
        (FieldKind::Numeric | FieldKind::Track, Packing::Bcd) => {
            write_bcd(out, plain, missing, spec.pad, filler);
            return Ok(count);
        }
        (FieldKind::Signed, Packing::Bcd) => {
            if let Some((sign, digits)) = plain.split_first() {
                out.push(if spec.sign == Packing::Ebcdic {
                    ebcdic::from_latin(*sign)
                } else {
                    *sign
                });
                write_bcd(out, digits, 0, spec.pad, filler);
            }
            return Ok(count);
        }
        (FieldKind::Numeric, _) => {
            out.resize(out.len() + missing, b'0');
            out.extend_from_slice(plain);
        }
        (
            FieldKind::Binary
            | FieldKind::Track
            | FieldKind::Signed
            | FieldKind::Alphanumeric
            | FieldKind::Text,
            _,
        ) => {
            out.extend_from_slice(plain);
            out.resize(out.len() + missing, b' ');
        }
    }
    if spec.packing == Packing::Ebcdic {
        to_ebcdic(&mut out[start..]);
    }
    Ok(count)
}

fn to_ebcdic(characters: &mut [u8]) {
    characters.iter_mut().for_each(|byte| *byte = ebcdic::from_latin(*byte));
}

fn plain_fits(kind: FieldKind, plain: &[u8]) -> bool {
    match kind {
        FieldKind::Text | FieldKind::Binary => true,
        FieldKind::Numeric => plain.iter().all(u8::is_ascii_digit),
        FieldKind::Track | FieldKind::Alphanumeric => {
            plain.iter().all(|b| (b' '..=b'~').contains(b))
        }
        FieldKind::Signed => match plain.split_first() {
            Some((sign, digits)) => {
                matches!(sign, b'C' | b'D') && digits.iter().all(u8::is_ascii_digit)
            }
            None => true,
        },
    }
}

/// Packs `missing` zeros and then the digits of `plain`.
fn write_bcd(out: &mut Vec<u8>, plain: &[u8], missing: usize, pad: Pad, filler: u8) {
    let count = plain.len() + missing;
    let digit = |place: usize| match place.checked_sub(missing).map(|place| plain[place]) {
        None => 0,
        Some(b'=' | b'D' | b'd') => 13,
        Some(byte) => byte & 15,
    };
    let is_odd = count % 2 == 1;
    let mut place = 0;
    if is_odd && pad == Pad::Left {
        out.push(digit(0));
        place = 1;
    }
    while place + 1 < count {
        out.push(digit(place) << 4 | digit(place + 1));
        place += 2;
    }
    if place < count {
        out.push(digit(place) << 4 | filler);
    }
}
