//! How messages are told apart on a stream of bytes: a length before each.

/// How the length before a frame is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LengthForm {
    /// Two bytes, unsigned, big-endian.
    Binary2,
    /// Four bytes, unsigned, big-endian.
    Binary4,
    /// Four decimal digits in ASCII.
    Ascii4,
    /// Four decimal digits in two bytes of BCD.
    Bcd2,
}

impl LengthForm {
    /// Every form with its word in channel files.
    pub const WORDS: [(&str, Self); 4] = [
        ("binary2", Self::Binary2),
        ("binary4", Self::Binary4),
        ("ascii4", Self::Ascii4),
        ("bcd2", Self::Bcd2),
    ];
}

/// Why a stream cannot be followed any further: the link must be closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    #[error("the length before a frame is not a number")]
    NotANumber,
    #[error("a frame of {length} bytes is announced, more than the {limit} allowed")]
    TooLong { length: usize, limit: usize },
    #[error("the length before a frame is less than its own")]
    TooShort,
}

/// How the frames of one link are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Framing {
    pub form: LengthForm,
    /// Whether the length counts its own bytes too.
    pub includes_itself: bool,
    /// The longest frame that is believed, without its length.
    pub frame_bytes_max: usize,
}

impl Framing {
    /// Bytes of the length itself.
    pub const fn length_bytes(&self) -> usize {
        match self.form {
            LengthForm::Binary2 | LengthForm::Bcd2 => 2,
            LengthForm::Binary4 | LengthForm::Ascii4 => 4,
        }
    }

    /// The first frame of `stream`, without its length: where it begins and ends. `None` while it
    /// is not all there. An empty frame is one too: links use it to stay alive.
    pub fn next(&self, stream: &[u8]) -> Result<Option<std::ops::Range<usize>>, FrameError> {
        let own = self.length_bytes();
        let Some(head) = stream.get(..own) else { return Ok(None) };
        let number = match self.form {
            LengthForm::Binary2 | LengthForm::Binary4 => {
                let byte = |sum: usize, byte: &u8| sum << 8 | usize::from(*byte);
                Some(head.iter().fold(0, byte))
            }
            LengthForm::Ascii4 => digits(head.iter().map(|byte| byte.wrapping_sub(b'0'))),
            LengthForm::Bcd2 => digits(head.iter().flat_map(|byte| [byte >> 4, byte & 15])),
        };
        let number = number.ok_or(FrameError::NotANumber)?;
        let extra = if self.includes_itself { own } else { 0 };
        let length = number.checked_sub(extra).ok_or(FrameError::TooShort)?;
        if length > self.frame_bytes_max {
            return Err(FrameError::TooLong { length, limit: self.frame_bytes_max });
        }
        Ok((stream.len() >= own + length).then_some(own..own + length))
    }

    /// Leaves room for the length; the frame is written behind it, then [`Self::end`] is called
    /// with the answer.
    pub fn begin(&self, out: &mut Vec<u8>) -> usize {
        let at = out.len();
        out.resize(at + self.length_bytes(), 0);
        at
    }

    /// Writes the length of the frame that was begun at `at`.
    pub fn end(&self, out: &mut [u8], at: usize) -> Result<(), FrameError> {
        let own = self.length_bytes();
        let length = out.len() - at - own;
        let limit = match self.form {
            LengthForm::Binary2 | LengthForm::Binary4 => 65_535,
            LengthForm::Ascii4 | LengthForm::Bcd2 => 9_999,
        };
        let number = if self.includes_itself { length + own } else { length };
        if length > self.frame_bytes_max || number > limit {
            return Err(FrameError::TooLong { length, limit: limit.min(self.frame_bytes_max) });
        }
        let digit = |place: u32| (number / 10_usize.pow(place) % 10) as u8;
        let head = &mut out[at..at + own];
        match self.form {
            LengthForm::Binary2 => head.copy_from_slice(&(number as u16).to_be_bytes()),
            LengthForm::Binary4 => head.copy_from_slice(&(number as u32).to_be_bytes()),
            LengthForm::Ascii4 => {
                head.copy_from_slice(&[3, 2, 1, 0].map(|place| b'0' + digit(place)));
            }
            LengthForm::Bcd2 => {
                let pair = |place: u32| digit(place + 1) << 4 | digit(place);
                head.copy_from_slice(&[pair(2), pair(0)]);
            }
        }
        Ok(())
    }
}

fn digits(mut all: impl Iterator<Item = u8>) -> Option<usize> {
    all.try_fold(0, |sum, digit| (digit <= 9).then(|| sum * 10 + usize::from(digit)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framing(form: LengthForm, includes_itself: bool) -> Framing {
        Framing { form, includes_itself, frame_bytes_max: 1_000 }
    }

    #[test]
    fn lengths_are_written_as_they_are_read() {
        let forms = LengthForm::WORDS.into_iter().map(|(_, form)| form);
        for (form, includes_itself) in forms.flat_map(|f| [(f, false), (f, true)]) {
            let framing = framing(form, includes_itself);
            let mut stream = b"before".to_vec();
            for length in [0, 1, 99, 100, 1_000] {
                let at = framing.begin(&mut stream);
                stream.resize(stream.len() + length, b'x');
                framing.end(&mut stream, at).expect("it fits");
                let whole = &stream[at..];
                let own = framing.length_bytes();
                assert_eq!(framing.next(whole), Ok(Some(own..own + length)), "{framing:?}");
                for cut in 0..whole.len().min(40) {
                    let expected = (cut >= own + length).then_some(own..own + length);
                    assert_eq!(framing.next(&whole[..cut]), Ok(expected));
                }
            }
            let at = framing.begin(&mut stream);
            stream.resize(stream.len() + 1_001, b'x');
            assert!(framing.end(&mut stream, at).is_err());
        }
    }

    #[test]
    fn a_length_that_cannot_be_ends_the_stream() {
        let rows = [
            (framing(LengthForm::Ascii4, false), b"01x0".as_slice(), FrameError::NotANumber),
            (framing(LengthForm::Bcd2, false), b"\x0a\x00", FrameError::NotANumber),
            (framing(LengthForm::Binary2, true), b"\x00\x01", FrameError::TooShort),
            (
                framing(LengthForm::Binary2, false),
                b"\xff\xff",
                FrameError::TooLong { length: 65_535, limit: 1_000 },
            ),
            (
                framing(LengthForm::Binary4, false),
                b"\xff\xff\xff\xff",
                FrameError::TooLong { length: u32::MAX as usize, limit: 1_000 },
            ),
        ];
        for (framing, stream, expected) in rows {
            assert_eq!(framing.next(stream), Err(expected));
        }
    }
}
