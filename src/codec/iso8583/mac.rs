//! Message authentication codes of card links, all of them made of DES: four ways that are in use.
//!
//! Facts: ANSI X9.9 and X9.19 are CBC with a zero vector and zero padding; UnionPay's terminals XOR
//! all blocks first and encrypt the hexadecimal text of the sum; institutions run X9.9 over a text
//! that is made of some fields. DES is what the links speak; it protects nothing by itself, and the
//! lines and TLS around it do.

use std::fmt;

use des::cipher::{Block, BlockCipherDecrypt, BlockCipherEncrypt, KeyInit};
use des::{Des, TdesEde2, TdesEde3};
use zeroize::Zeroizing;

use super::ebcdic;
use super::message::Message;
use super::notation::Packing;
use super::{Format, PackedMessage};
use crate::codec::sign::equal_in_constant_time;

/// How a MAC is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MacMethod {
    /// POS-P "ECB": all blocks XORed, the sum as hexadecimal text encrypted half by half.
    UnionPayEcb,
    /// ANSI X9.9: the last block of CBC, with whatever key it is given.
    X99,
    /// ANSI X9.19: X9.9 with the left half of a double-length key; the last block is then decrypted
    /// with the right half and encrypted with the left one.
    X919,
    /// CUPS: X9.9 over the text of [`cups_text`].
    CupsText,
}

/// How the eight bytes of a MAC stand in their field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MacForm {
    /// The first four bytes as eight upper-case hexadecimal characters.
    HexHalf,
    /// All eight bytes.
    Raw,
}

/// The fields whose text a CUPS MAC covers, behind the message type.
const CUPS_FIELDS: [u8; 17] = [2, 3, 4, 7, 11, 18, 25, 28, 32, 33, 38, 39, 41, 42, 90, 102, 103];
/// Of field 90 only the message type, the trace number and the time of the original count.
const CUPS_ORIGINAL_CHARACTERS: usize = 20;

type DesBlock = [u8; 8];

/// A key was not 8, 16 or 24 bytes, or too short for its use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the key has a length that this use has not: DES keys are 8, 16 or 24 bytes")]
pub struct DesKeyError;

/// A DES key of single, double or triple length. Never printed; the schedule is wiped when dropped.
#[derive(Clone)]
pub struct DesKey {
    whole: Schedule,
    /// Both halves of a double-length key, for X9.19.
    halves: Option<(Des, Des)>,
}

#[derive(Clone)]
enum Schedule {
    Single(Box<Des>),
    Double(Box<TdesEde2>),
    Triple(Box<TdesEde3>),
}

impl DesKey {
    pub fn new(key: &[u8]) -> Result<Self, DesKeyError> {
        let single = |bytes: &[u8]| Des::new_from_slice(bytes).map_err(|_| DesKeyError);
        let whole = match key.len() {
            8 => Schedule::Single(Box::new(single(key)?)),
            16 => {
                Schedule::Double(Box::new(TdesEde2::new_from_slice(key).map_err(|_| DesKeyError)?))
            }
            24 => {
                Schedule::Triple(Box::new(TdesEde3::new_from_slice(key).map_err(|_| DesKeyError)?))
            }
            _ => return Err(DesKeyError),
        };
        let halves = (key.len() == 16)
            .then(|| Ok::<_, DesKeyError>((single(&key[..8])?, single(&key[8..])?)))
            .transpose()?;
        Ok(Self { whole, halves })
    }

    /// Whether the key is of a length that `method` works with.
    pub const fn fits(&self, method: MacMethod) -> bool {
        match method {
            MacMethod::X919 => self.halves.is_some(),
            MacMethod::UnionPayEcb | MacMethod::X99 | MacMethod::CupsText => true,
        }
    }

    pub fn encrypt(&self, block: DesBlock) -> DesBlock {
        let mut block = Block::<Des>::from(block);
        match &self.whole {
            Schedule::Single(key) => key.encrypt_block(&mut block),
            Schedule::Double(key) => key.encrypt_block(&mut block),
            Schedule::Triple(key) => key.encrypt_block(&mut block),
        }
        block.into()
    }

    pub fn decrypt(&self, block: DesBlock) -> DesBlock {
        let mut block = Block::<Des>::from(block);
        match &self.whole {
            Schedule::Single(key) => key.decrypt_block(&mut block),
            Schedule::Double(key) => key.decrypt_block(&mut block),
            Schedule::Triple(key) => key.decrypt_block(&mut block),
        }
        block.into()
    }

    /// The first four bytes of eight zero bytes under the key: what proves that both sides have
    /// the same one.
    pub fn check_value(&self) -> [u8; 4] {
        let [a, b, c, d, ..] = self.encrypt([0; 8]);
        [a, b, c, d]
    }
}

impl fmt::Debug for DesKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("DesKey(***)")
    }
}

/// The blocks of eight bytes, the last one filled with zeros.
fn blocks(data: &[u8]) -> impl Iterator<Item = DesBlock> {
    data.chunks(8).map(|chunk| {
        let mut block = [0; 8];
        block[..chunk.len()].copy_from_slice(chunk);
        block
    })
}

fn xor(mut left: DesBlock, right: DesBlock) -> DesBlock {
    left.iter_mut().zip(right).for_each(|(left, right)| *left ^= right);
    left
}

fn hex_upper(bytes: &[u8]) -> impl Iterator<Item = u8> {
    let digit = |nibble: u8| b"0123456789ABCDEF"[usize::from(nibble)];
    bytes.iter().flat_map(move |byte| [digit(byte >> 4), digit(byte & 15)])
}

fn hex_half(bytes: &[u8]) -> DesBlock {
    let mut text = [0; 8];
    text.iter_mut().zip(hex_upper(bytes)).for_each(|(place, digit)| *place = digit);
    text
}

/// The eight bytes of a MAC over `data`.
///
/// X9.19 with a key that has no halves is computed as X9.9: ask [`DesKey::fits`] first.
pub fn mac_of(method: MacMethod, key: &DesKey, data: &[u8]) -> DesBlock {
    match (method, &key.halves) {
        (MacMethod::UnionPayEcb, _) => {
            let sum = blocks(data).fold([0; 8], xor);
            let first = key.encrypt(hex_half(&sum[..4]));
            key.encrypt(xor(first, hex_half(&sum[4..])))
        }
        (MacMethod::X919, Some((left, right))) => {
            let mut last = Block::<Des>::from(cbc(data, |block| {
                let mut block = Block::<Des>::from(block);
                left.encrypt_block(&mut block);
                block.into()
            }));
            right.decrypt_block(&mut last);
            left.encrypt_block(&mut last);
            last.into()
        }
        (MacMethod::X99 | MacMethod::CupsText | MacMethod::X919, _) => {
            cbc(data, |block| key.encrypt(block))
        }
    }
}

fn cbc(data: &[u8], encrypt: impl Fn(DesBlock) -> DesBlock) -> DesBlock {
    blocks(data).fold([0; 8], |before, block| encrypt(xor(before, block)))
}

/// The text that a CUPS MAC covers: the message type and what is there of seventeen fields, each
/// with the length before it, upper-cased, without characters other than letters, digits, blank,
/// comma and full stop, with blanks cut at the ends and squeezed between; joined by one blank.
///
/// It holds the card number: it is wiped when dropped and never logged (I-11).
pub fn cups_text(message: &Message<'_>) -> Zeroizing<Vec<u8>> {
    let mut text = Zeroizing::new(Vec::with_capacity(256));
    let number = message.message_type();
    text.extend([1_000, 100, 10, 1].map(|place| b'0' + (number / place % 10) as u8));
    for field in CUPS_FIELDS {
        let Some(packed) = message.packed(field) else { continue };
        let packed = match field {
            90 => &packed[..packed.len().min(CUPS_ORIGINAL_CHARACTERS)],
            _ => packed,
        };
        text.push(b' ');
        normalise(packed, &mut text);
    }
    text
}

fn normalise(element: &[u8], text: &mut Vec<u8>) {
    let start = text.len();
    let mut blank_owed = false;
    for byte in element.iter().map(u8::to_ascii_uppercase) {
        match byte {
            b' ' => blank_owed = text.len() > start,
            b'A'..=b'Z' | b'0'..=b'9' | b',' | b'.' => {
                if blank_owed {
                    text.push(b' ');
                }
                blank_owed = false;
                text.push(byte);
            }
            _ => {}
        }
    }
}

/// How one link's messages are authenticated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MacRule {
    pub method: MacMethod,
    pub form: MacForm,
    /// 64 or 128: the last field of a message.
    pub field: u8,
}

impl MacRule {
    /// The MAC field's value, for a message that has the field, whatever stands in it so far.
    /// `None` if the field is missing or not the last one.
    pub fn value(&self, key: &DesKey, message: &Message<'_>) -> Option<DesBlock> {
        let covered = message.before(self.field)?;
        let mac = match self.method {
            MacMethod::CupsText => mac_of(self.method, key, &cups_text(message)),
            MacMethod::UnionPayEcb | MacMethod::X99 | MacMethod::X919 => {
                mac_of(self.method, key, covered)
            }
        };
        Some(match self.form {
            MacForm::HexHalf => hex_half(&mac[..4]),
            MacForm::Raw => mac,
        })
    }

    /// Writes the MAC into a message that was just packed with eight bytes in its place, and gives
    /// back what stands there, in its plain form. `None` where the message has no such place.
    pub fn seal(
        &self,
        key: &DesKey,
        format: &Format,
        packed: &PackedMessage,
        out: &mut [u8],
    ) -> Option<[u8; 8]> {
        let value = self.value(key, &packed.message(format, out))?;
        let range = packed.range(self.field).filter(|range| range.len() == value.len())?;
        let is_ebcdic =
            format.field(self.field).is_some_and(|spec| spec.packing == Packing::Ebcdic);
        let packed = value.map(|byte| if is_ebcdic { ebcdic::from_latin(byte) } else { byte });
        out[range].copy_from_slice(&packed);
        Some(value)
    }

    /// Whether a message carries the MAC that it should.
    pub fn proves(&self, key: &DesKey, message: &Message<'_>) -> bool {
        let given = message.value(self.field).filter(|value| value.count() == 8).map(|value| {
            let mut plain = [0; 8];
            plain.iter_mut().zip(value.plain()).for_each(|(place, byte)| *place = byte);
            plain
        });
        match (self.value(key, message), given) {
            (Some(value), Some(given)) => equal_in_constant_time(&value, &given),
            (Some(_), None) | (None, _) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(hex: &str) -> DesKey {
        let digit = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).expect("hexadecimal");
        let bytes: Vec<u8> = (0..hex.len()).step_by(2).map(digit).collect();
        DesKey::new(&bytes).expect("a key")
    }

    /// A published worked example of UnionPay's method: the sum of the blocks is given.
    #[test]
    fn the_terminals_method_gives_the_published_mac() {
        let sum = [0x12, 0x12, 0xB0, 0x4E, 0x12, 0x27, 0x80, 0x9C];
        let key = key("55036372B17543ECB173730768B8D6C4");
        let mac = mac_of(MacMethod::UnionPayEcb, &key, &sum);
        assert_eq!(hex_upper(&mac).collect::<Vec<_>>(), b"5FE058DB90680D33");
        assert_eq!(&hex_half(&mac[..4]), b"5FE058DB");
    }

    /// The example of ISO/IEC 9797-1's annex for its algorithms 1 and 3, and one made with OpenSSL.
    #[test]
    fn cbc_gives_what_the_standard_and_openssl_give() {
        let data = b"Now is the time for all ";
        let single = key("0123456789ABCDEF");
        let mac = mac_of(MacMethod::X99, &single, data);
        assert_eq!(hex_upper(&mac).collect::<Vec<_>>(), b"70A30640CC76DD8B");
        let double = key("0123456789ABCDEFFEDCBA9876543210");
        let mac = mac_of(MacMethod::X919, &double, data);
        assert_eq!(hex_upper(&mac).collect::<Vec<_>>(), b"A1C72E74EA3FA9B6");
        let mac = mac_of(MacMethod::X99, &single, b"7654321 Now is the time for ");
        assert_eq!(hex_upper(&mac).collect::<Vec<_>>(), b"F1D30F6849312CA4");
        assert!(!single.fits(MacMethod::X919) && double.fits(MacMethod::X919));
    }

    #[test]
    fn texts_are_made_plain() {
        let mut text = Vec::new();
        normalise("  ab  c,\u{1}. ¥9 ".as_bytes(), &mut text);
        assert_eq!(text, b"AB C,. 9");
    }

    #[test]
    fn i_11_keys_are_not_printed() {
        assert_eq!(format!("{:?}", key("0123456789ABCDEF")), "DesKey(***)");
        assert!(DesKey::new(&[0; 7]).is_err() && DesKey::new(&[]).is_err());
    }
}
