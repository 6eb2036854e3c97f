//! What must hold of every decoder, whatever bytes it is given: one function for each of them.
//!
//! A function takes any bytes and panics where something does not hold. That is more than "it does
//! not panic": what comes out is bounded, an error quotes no card number (I-11), what was read and
//! written again reads the same, and nothing is believed once a byte of it was changed (I-2). The
//! fuzz targets in `tests/fuzz/` and the stored corpora in `tests/corpora.rs` both call these, so
//! that there is no second way.

mod channels;
mod files;
mod messages;
mod stored;
mod unionpay;

/// A decoder under test.
pub struct Decoder {
    /// Also the name of its fuzz target and of its folder of stored inputs.
    pub name: &'static str,
    check: fn(&[u8]),
    /// Inputs that `tests/corpora.rs` makes of each stored one unless it is told another number:
    /// fewer where an input costs a signature or a decompression.
    pub rounds: u32,
}

/// Every decoder of bytes that strangers, operators or disks give us.
pub const DECODERS: [Decoder; 14] = [
    Decoder { name: "iso8583", check: messages::iso8583, rounds: 60 },
    Decoder { name: "frames", check: messages::frames, rounds: 60 },
    Decoder { name: "form", check: messages::form, rounds: 60 },
    Decoder { name: "xml", check: messages::xml, rounds: 60 },
    Decoder { name: "order_json", check: messages::order_json, rounds: 60 },
    Decoder { name: "declarative", check: channels::declarative, rounds: 30 },
    Decoder { name: "links", check: channels::links, rounds: 60 },
    Decoder { name: "channel_file", check: channels::channel_file, rounds: 4 },
    Decoder { name: "unionpay", check: unionpay::messages, rounds: 4 },
    Decoder { name: "statement", check: unionpay::statement, rounds: 10 },
    Decoder { name: "certificate", check: files::certificate, rounds: 10 },
    Decoder { name: "bin_table", check: files::bin_table, rounds: 20 },
    Decoder { name: "rows", check: stored::rows, rounds: 60 },
    Decoder { name: "journal", check: stored::journal, rounds: 60 },
];

/// Feeds `bytes` to a decoder by its name.
pub fn check(name: &str, bytes: &[u8]) {
    let decoder = DECODERS.iter().find(|decoder| decoder.name == name);
    (decoder.expect("a decoder has this name").check)(bytes);
}

/// Digits in a row that could be a card number.
const CARD_DIGITS_MIN: usize = 12;

/// I-11: no error repeats what could be a card number. Numbers of our own in an error are shorter.
fn quotes_no_card(error: &impl std::fmt::Display) {
    let text = error.to_string();
    let run = text.split(|c: char| !c.is_ascii_digit()).map(str::len).max().unwrap_or(0);
    assert!(run < CARD_DIGITS_MIN, "an error quotes a long number");
    assert!(text.len() < 4_096, "an error has {} bytes", text.len());
}

/// The first byte, which chooses among the ways to read the rest.
fn choose(bytes: &[u8]) -> Option<(u8, &[u8])> {
    bytes.split_first().map(|(choice, rest)| (*choice, rest))
}

/// Changes one byte, chosen by `choice`: the place, and by which bits.
fn tamper(bytes: &mut [u8], choice: u8) {
    if bytes.is_empty() {
        return;
    }
    // Spread over the whole, whatever its length.
    let place = usize::from(choice).wrapping_mul(7_919) % bytes.len();
    bytes[place] ^= 1 << (choice % 8);
}
