//! Texts of others in tables that people open in a spreadsheet.

use std::borrow::Cow;

/// A text as a cell of CSV that no spreadsheet takes for a formula: before one that begins with
/// `=`, `+`, `-`, `@`, a tab or a carriage return stands an apostrophe. Quotation marks around a
/// cell do not keep a spreadsheet from reckoning it.
///
/// For texts that a caller, a channel or a table of others has written; numbers of ours stand as
/// they are.
pub fn inert(text: &str) -> Cow<'_, str> {
    match text.as_bytes().first() {
        Some(b'=' | b'+' | b'-' | b'@' | b'\t' | b'\r') => Cow::Owned(format!("'{text}")),
        Some(_) | None => Cow::Borrowed(text),
    }
}

#[cfg(test)]
mod tests {
    use super::inert;

    #[test]
    fn what_a_spreadsheet_would_reckon_is_a_text() {
        for text in ["=1+1", "+86", "-5", "-", "@SUM(A1)", "\t=1", "\r=1"] {
            assert_eq!(inert(text), format!("'{text}"));
        }
        for text in ["", "tea", "1-1", "a=b", " =1", "'=1", "付"] {
            assert_eq!(inert(text), text);
        }
    }
}
