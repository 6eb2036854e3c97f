//! What stands between a frame's length and its message: TPDU and header, the centre's header, or
//! nothing.

/// What links put before a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FrameHeader {
    /// Bytes that say nothing of their message: a terminal's TPDU and header, or nothing at all.
    Plain(PlainHeader),
    /// The centre's header of 46 bytes.
    Cups(CupsHeader),
}

/// Which header a link has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeaderForm {
    /// So many bytes, at most [`PlainHeader::BYTES_MAX`], of which the first five may be a TPDU.
    Plain {
        bytes: usize,
        has_tpdu: bool,
    },
    Cups,
}

impl HeaderForm {
    /// Nothing.
    pub const NONE: Self = Self::Plain { bytes: 0, has_tpdu: false };
    /// POS-P: five bytes of TPDU and six of header, all BCD.
    pub const POSP: Self = Self::Plain { bytes: 11, has_tpdu: true };
}

/// The frame is too short for its header, or the header is not what it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the header before the message is cut off or of another kind")]
pub struct HeaderError;

/// A header that is the same before every message, but for the addresses of its TPDU (`60`,
/// destination, source).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlainHeader {
    has_tpdu: bool,
    length: usize,
    bytes: [u8; Self::BYTES_MAX],
}

/// Bytes of the centre's header; its first byte says so.
const CUPS_BYTES: usize = 46;
/// Where the total length stands in the centre's header.
const CUPS_TOTAL: std::ops::Range<usize> = 2..6;

/// The centre's header. Institutions are at most eleven characters, blanks behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CupsHeader {
    /// The low seven bits are the version; the highest says that this is the test system.
    pub version: u8,
    /// As it came, or as it will be written.
    pub total: [u8; 4],
    pub destination: [u8; 11],
    pub source: [u8; 11],
    pub reserved: [u8; 3],
    pub batch: u8,
    pub information: [u8; 8],
    pub user: u8,
    /// `00000`, or why the centre bounced the message.
    pub reject: [u8; 5],
}

impl CupsHeader {
    /// A header as institutions write it: ASCII zeros where nothing is said.
    pub fn new(version: u8, destination: &str, source: &str) -> Self {
        Self {
            version,
            total: *b"0000",
            destination: institution(destination),
            source: institution(source),
            reserved: *b"000",
            batch: b'0',
            information: *b"00000000",
            user: b'0',
            reject: *b"00000",
        }
    }

    /// Whether the centre sent the message back because of its format: it was not processed.
    pub fn is_reject(&self) -> bool {
        self.reject != *b"00000"
    }

    /// The header of the answer to a message with this one.
    pub const fn answered(mut self) -> Self {
        (self.destination, self.source) = (self.source, self.destination);
        self
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; CUPS_BYTES] = bytes.get(..CUPS_BYTES)?.try_into().ok()?;
        (usize::from(bytes[0]) == CUPS_BYTES).then_some(Self {
            version: bytes[1],
            total: bytes[CUPS_TOTAL].try_into().ok()?,
            destination: bytes[6..17].try_into().ok()?,
            source: bytes[17..28].try_into().ok()?,
            reserved: bytes[28..31].try_into().ok()?,
            batch: bytes[31],
            information: bytes[32..40].try_into().ok()?,
            user: bytes[40],
            reject: bytes[41..46].try_into().ok()?,
        })
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.push(CUPS_BYTES as u8);
        out.push(self.version);
        out.extend_from_slice(&self.total);
        out.extend_from_slice(&self.destination);
        out.extend_from_slice(&self.source);
        out.extend_from_slice(&self.reserved);
        out.push(self.batch);
        out.extend_from_slice(&self.information);
        out.push(self.user);
        out.extend_from_slice(&self.reject);
    }
}

/// The first eleven bytes of a code, blanks behind.
fn institution(code: &str) -> [u8; 11] {
    let mut field = [b' '; 11];
    for (place, byte) in field.iter_mut().zip(code.bytes()) {
        *place = byte;
    }
    field
}

impl PlainHeader {
    /// The longest that is read or written.
    pub const BYTES_MAX: usize = 32;

    /// `None` for one that is too long.
    pub fn new(tpdu: Option<[u8; 5]>, header: &[u8]) -> Option<Self> {
        let tpdu_bytes = tpdu.as_ref().map_or(&[][..], |tpdu| &tpdu[..]);
        let length = tpdu_bytes.len() + header.len();
        let mut bytes = [0; Self::BYTES_MAX];
        let (before, behind) = bytes.get_mut(..length)?.split_at_mut(tpdu_bytes.len());
        before.copy_from_slice(tpdu_bytes);
        behind.copy_from_slice(header);
        Some(Self { has_tpdu: tpdu.is_some(), length, bytes })
    }

    /// The header of the answer to a message with this one: the TPDU's destination and source
    /// change places.
    pub const fn answered(mut self) -> Self {
        if self.has_tpdu {
            let [_, to_high, to_low, from_high, from_low, ..] = self.bytes;
            (self.bytes[1], self.bytes[2]) = (from_high, from_low);
            (self.bytes[3], self.bytes[4]) = (to_high, to_low);
        }
        self
    }

    fn read(frame: &[u8], length: usize, has_tpdu: bool) -> Option<Self> {
        let mut bytes = [0; Self::BYTES_MAX];
        bytes.get_mut(..length)?.copy_from_slice(frame.get(..length)?);
        Some(Self { has_tpdu, length, bytes })
    }
}

impl HeaderForm {
    /// Reads the header at a frame's start; the message begins behind it.
    pub fn read(self, frame: &[u8]) -> Result<(FrameHeader, usize), HeaderError> {
        let read = match self {
            Self::Plain { bytes, has_tpdu } => PlainHeader::read(frame, bytes, has_tpdu)
                .map(|header| (FrameHeader::Plain(header), bytes)),
            Self::Cups => {
                CupsHeader::read(frame).map(|header| (FrameHeader::Cups(header), CUPS_BYTES))
            }
        };
        read.ok_or(HeaderError)
    }
}

impl FrameHeader {
    /// The form of this one.
    pub const fn form(&self) -> HeaderForm {
        match self {
            Self::Plain(header) => {
                HeaderForm::Plain { bytes: header.length, has_tpdu: header.has_tpdu }
            }
            Self::Cups(_) => HeaderForm::Cups,
        }
    }

    pub fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Plain(header) => out.extend_from_slice(&header.bytes[..header.length]),
            Self::Cups(header) => header.write(out),
        }
    }

    /// Writes the total length into a header that [`Self::write`] put at `at`, once the message
    /// stands behind it. `counts_header`: institutions differ on whether it counts itself.
    pub fn finish(&self, out: &mut [u8], at: usize, counts_header: bool) {
        match self {
            Self::Plain(_) => {}
            Self::Cups(_) => {
                let total = out.len() - at - if counts_header { 0 } else { CUPS_BYTES };
                let digit = |place: u32| b'0' + (total / 10_usize.pow(place) % 10) as u8;
                out[at..][CUPS_TOTAL].copy_from_slice(&[3, 2, 1, 0].map(digit));
            }
        }
    }

    #[must_use]
    pub fn answered(&self) -> Self {
        match self {
            Self::Plain(header) => Self::Plain(header.answered()),
            Self::Cups(header) => Self::Cups(header.answered()),
        }
    }
}
