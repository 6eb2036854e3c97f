//! Ways in which another side may have made its text that no key of the channel file says.

use super::super::document::MessageBody;
use super::super::escape::encode_percent;
use super::super::seal::Seal;
use crate::domain::closed_set;

closed_set! {
    /// One such way, in words.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum TextTwist {
        UrlEncoded => "the values are url-encoded before they are signed",
        Upper => "the text is written in upper case before it is signed",
        Lower => "the text is written in lower case before it is signed",
        Seconds => "the time is signed in seconds, and sent in milliseconds",
        Milliseconds => "the time is signed in milliseconds, and sent in seconds",
    }
}

impl TextTwist {
    /// The text made so; `None` where it would be the same.
    pub fn of(self, text: &[u8], seal: &Seal, body: Option<&MessageBody>) -> Option<Vec<u8>> {
        let made = match self {
            Self::Upper => text.to_ascii_uppercase(),
            Self::Lower => text.to_ascii_lowercase(),
            Self::UrlEncoded => {
                let text = std::str::from_utf8(text).ok()?;
                let fields = body?.fields_in(seal.sorted_in.as_ref())?;
                let mut made = text.to_owned();
                for (name, value) in fields.iter().filter(|(_, value)| !value.is_empty()) {
                    let plain = format!("{name}={value}");
                    made = made.replace(&plain, &format!("{name}={}", encode_percent(value)));
                }
                made.into_bytes()
            }
            Self::Seconds => with_digits(text, 13, |digits| digits[..10].to_vec())?,
            Self::Milliseconds => {
                with_digits(text, 10, |digits| [digits, b"000".as_slice()].concat())?
            }
        };
        (made != text).then_some(made)
    }
}

/// A text in which the first run of so many digits, a time, is written otherwise.
fn with_digits(text: &[u8], count: usize, change: impl Fn(&[u8]) -> Vec<u8>) -> Option<Vec<u8>> {
    let is_digit = |at: usize| text.get(at).is_some_and(u8::is_ascii_digit);
    let starts = (0..text.len()).find(|at| {
        let is_run = (*at..at + count).all(is_digit) && !is_digit(at + count);
        is_run && (*at == 0 || !is_digit(at - 1)) && text[*at] == b'1'
    })?;
    let mut made = text[..starts].to_vec();
    made.extend(change(&text[starts..starts + count]));
    made.extend_from_slice(&text[starts + count..]);
    Some(made)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_in_its_other_unit() {
        let cut = |digits: &[u8]| digits[..10].to_vec();
        let made = with_digits(b"x1795334400123\n{}", 13, cut).expect("a time");
        assert_eq!(made, b"x1795334400\n{}");
        assert_eq!(with_digits(b"17953344001234", 13, cut), None);
    }
}
