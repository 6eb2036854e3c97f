//! The codec on bytes: published and verified messages, random messages and formats, garbage.

mod golden;
mod properties;

use super::*;

/// The plain form as these tests write it: raw fields in hexadecimal. Hexadecimal text is grouped
/// by eight, so that no run of its digits looks like a card number.
fn shown(format: &Format, message: &Message<'_>, field: u8) -> String {
    let value = message.value(field).expect("the field is there");
    match format.field(field).map(|spec| spec.kind) {
        Some(notation::FieldKind::Binary) if field != 64 => hex_of(value.bytes()),
        _ => value.text(),
    }
}

fn hex_of(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}

fn bytes_of(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let byte = |pair: &[u8]| {
        let text = std::str::from_utf8(pair).expect("ASCII");
        u8::from_str_radix(text, 16).expect("hexadecimal")
    };
    digits.chunks(2).map(byte).collect()
}
