//! The settings of a channel's ISO 8583 links, checked.

use jiff::tz::TimeZone;

use crate::codec::iso8583::frame::Framing;
use crate::codec::iso8583::header::FrameHeader;
use crate::codec::iso8583::mac::{DesKey, MacRule};
use crate::codec::iso8583::{Format, ShippedFormat};

use super::Numbering;

/// Which message set a link speaks: what stands in a message, not how it is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// A terminal to its acquirer: originals are named by batch and trace number (field 61), a
    /// reversal is a 0400 with the original's trace number.
    Posp,
    /// An institution to the centre: originals are named by field 90, a reversal is a 0420 with a
    /// trace number of its own.
    Cups,
}

impl Style {
    /// The format that holds unless a file says otherwise.
    pub const fn shipped(self) -> ShippedFormat {
        match self {
            Self::Posp => ShippedFormat::Posp,
            Self::Cups => ShippedFormat::Cups,
        }
    }
}

/// How messages lie on the wire.
pub struct Wire {
    pub format: Format,
    pub framing: Framing,
    /// The header before each of our messages, and so the form of what stands before theirs.
    pub header: FrameHeader,
    /// Whether the length inside the centre's header counts the header too.
    pub header_counts_itself: bool,
}

/// How messages are authenticated.
#[derive(Clone)]
pub struct Mac {
    pub rule: MacRule,
    pub source: KeySource,
}

/// Where the MAC key comes from.
#[derive(Clone)]
pub enum KeySource {
    /// The key was handed over and stays.
    Fixed(DesKey),
    /// Every sign-in brings one, under this master key.
    SignIn { master: DesKey },
}

/// A field of a void, capture or refund about its original, which their reversals may have too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OriginalField {
    /// Field 38: the authorisation code.
    Authorisation,
    /// POS-P field 61: batch, trace number and date.
    Original,
}

/// Everything that is particular about one channel.
pub struct Iso8583Terms {
    pub style: Style,
    pub wire: Wire,
    pub numbering: Numbering,
    pub mac: Option<Mac>,
    pub zone: TimeZone,
    /// 15 characters at most.
    pub merchant_id: String,
    /// Digits of field 22: how the card came to us, and whether with a PIN.
    pub entry_mode: String,
    /// POS-P field 60.2: six digits.
    pub batch: String,
    /// CUPS fields 32 and 33.
    pub acquirer: String,
    pub forwarder: String,
    /// CUPS field 60 of a request: reason code (4) and what follows it. POS-P: what follows the
    /// batch in field 60 of a message about a card, from 60.3 on.
    pub private: String,
    /// The fields about its original that the reversal of a follow-up repeats.
    pub reversal_carries: Vec<OriginalField>,
    /// CUPS field 60.1 of a reversal: four digits.
    pub reversal_reason: String,
    /// Whether a connection begins with a sign-on.
    pub signs_on: bool,
    /// Whether a quiet line is tested.
    pub tests_line: bool,
    /// Fixed fields of every message about a card, beside those that the adapter sets.
    pub values: Vec<(u8, String)>,
}
