//! Cuts one line of a statement file into its columns: by widths, or at delimiters.
//!
//! Widths are bytes in the file's own encoding, as channels count them. Nothing is decoded here: a
//! column is a place in the line. Must not know what a column means.

/// How a line is cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shape {
    /// Columns of these widths, `gap` bytes between them. What follows the last is taken or not.
    Fixed {
        widths: Vec<u16>,
        gap: u16,
        tail: bool,
    },
    Delimited(Delimited),
}

/// How a delimited line is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delimited {
    pub delimiter: u8,
    /// Values may stand in double quotes, which are doubled inside.
    pub quoted: bool,
    /// A byte before every value. Only a delimiter that it follows delimits: values that hold the
    /// delimiter are not quoted in such files.
    pub prefix: Option<u8>,
    /// Two-byte characters may hold the delimiter's byte as their second.
    pub double_byte: bool,
}

/// A column: the bytes from `start` to `end` of its line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    pub start: u32,
    pub end: u32,
}

impl Span {
    fn new(start: usize, end: usize) -> Self {
        let narrow = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        Self { start: narrow(start), end: narrow(end) }
    }

    pub fn of(self, line: &[u8]) -> &[u8] {
        line.get(self.start as usize..self.end as usize).unwrap_or_default()
    }
}

/// Why a line cannot be cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CutError {
    #[error("it is shorter than its columns")]
    Short,
    #[error("it is longer than its columns")]
    Long,
    #[error("a value does not begin with the mark that every value begins with")]
    NoPrefix,
    #[error("a quoted value does not end, or goes on behind its end")]
    Quote,
}

impl Shape {
    /// Writes the `wanted` columns (numbers from 0, ascending) into `spans`, in that order, and
    /// gives the number of columns that the line has.
    pub fn cut(&self, line: &[u8], wanted: &[u16], spans: &mut [Span]) -> Result<usize, CutError> {
        match self {
            Self::Fixed { widths, gap, tail } => {
                cut_fixed(line, widths, *gap, *tail, wanted, spans)
            }
            Self::Delimited(shape) => shape.cut(line, wanted, spans),
        }
    }
}

fn cut_fixed(
    line: &[u8],
    widths: &[u16],
    gap: u16,
    tail: bool,
    wanted: &[u16],
    spans: &mut [Span],
) -> Result<usize, CutError> {
    let mut start = 0;
    let mut next = 0;
    for (number, width) in widths.iter().enumerate() {
        let end = start + usize::from(*width);
        if end > line.len() {
            // Blanks at a line's end are often cut off; what they filled is then empty.
            let is_last = number + 1 == widths.len() && start <= line.len();
            if !(is_last && tail) {
                return Err(CutError::Short);
            }
        }
        if wanted.get(next).is_some_and(|column| usize::from(*column) == number) {
            spans[next] = Span::new(start.min(line.len()), end.min(line.len()));
            next += 1;
        }
        start = end + usize::from(gap);
    }
    let whole = start.saturating_sub(usize::from(gap));
    if !tail && line.len() > whole { Err(CutError::Long) } else { Ok(widths.len()) }
}

impl Delimited {
    fn cut(&self, line: &[u8], wanted: &[u16], spans: &mut [Span]) -> Result<usize, CutError> {
        if self.quoted && memchr::memchr(b'"', line).is_some() {
            return self.cut_quoted(line, wanted, spans);
        }
        let start = match self.prefix {
            Some(prefix) if line.first() == Some(&prefix) => 1,
            Some(_) => return Err(CutError::NoPrefix),
            None => 0,
        };
        let mut columns = Columns { wanted, spans, next: 0, number: 0, start };
        // Characters of two bytes hide their second byte only where it can be the delimiter.
        if self.double_byte && self.delimiter >= 0x40 {
            let mut at = start;
            while at < line.len() {
                match line[at] {
                    0x81..=0xFE => at += 1,
                    byte if byte == self.delimiter => self.delimit(line, at, &mut columns),
                    _ => {}
                }
                at += 1;
            }
        } else {
            for at in memchr::memchr_iter(self.delimiter, line) {
                self.delimit(line, at, &mut columns);
            }
        }
        Ok(columns.finish(line.len()))
    }

    fn delimit(&self, line: &[u8], at: usize, columns: &mut Columns<'_>) {
        match self.prefix {
            None => columns.end(at, at + 1),
            Some(prefix) if line.get(at + 1) == Some(&prefix) => columns.end(at, at + 2),
            Some(_) => {}
        }
    }

    /// Quotes stay out of the spans; doubled ones inside stay doubled, which keys never have.
    fn cut_quoted(
        &self,
        line: &[u8],
        wanted: &[u16],
        spans: &mut [Span],
    ) -> Result<usize, CutError> {
        let mut columns = Columns { wanted, spans, next: 0, number: 0, start: 0 };
        let mut at = 0;
        // Every round ends one value and goes behind its delimiter.
        loop {
            let (end, next) = if line.get(at) == Some(&b'"') {
                columns.start = at + 1;
                let end = quote_end(line, at + 1).ok_or(CutError::Quote)?;
                (end, end + 1)
            } else {
                let rest = &line[at.min(line.len())..];
                let end = at + memchr::memchr(self.delimiter, rest).unwrap_or(rest.len());
                (end, end)
            };
            match line.get(next) {
                None => return Ok(columns.finish(end)),
                Some(byte) if *byte == self.delimiter => columns.end(end, next + 1),
                Some(_) => return Err(CutError::Quote),
            }
            at = next + 1;
        }
    }
}

/// The place of the quote that ends a value.
fn quote_end(line: &[u8], mut at: usize) -> Option<usize> {
    // Ends with the line: every round goes behind a quote.
    loop {
        at += memchr::memchr(b'"', line.get(at..)?)?;
        if line.get(at + 1) != Some(&b'"') {
            return Some(at);
        }
        at += 2;
    }
}

/// The columns found so far.
struct Columns<'a> {
    wanted: &'a [u16],
    spans: &'a mut [Span],
    next: usize,
    number: u16,
    start: usize,
}

impl Columns<'_> {
    fn end(&mut self, end: usize, start: usize) {
        if self.next < self.wanted.len() && self.wanted[self.next] == self.number {
            self.spans[self.next] = Span::new(self.start, end);
            self.next += 1;
        }
        self.number = self.number.saturating_add(1);
        self.start = start;
    }

    fn finish(mut self, end: usize) -> usize {
        self.end(end, end);
        usize::from(self.number)
    }
}

/// A value without the blanks and tabs around it.
pub fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = value {
        value = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn columns(shape: &Shape, line: &str) -> Result<Vec<String>, CutError> {
        let wanted: Vec<u16> = (0..8).collect();
        let mut spans = [Span::default(); 8];
        let count = shape.cut(line.as_bytes(), &wanted, &mut spans)?;
        let text = |span: &Span| String::from_utf8_lossy(span.of(line.as_bytes())).into_owned();
        Ok(spans.iter().take(count).map(text).collect())
    }

    fn delimited(quoted: bool, prefix: Option<u8>) -> Shape {
        Shape::Delimited(Delimited { delimiter: b',', quoted, prefix, double_byte: false })
    }

    #[test]
    fn delimited_lines_are_cut_at_what_delimits() {
        let plain = delimited(false, None);
        assert_eq!(columns(&plain, "a,,\"b"), Ok(vec!["a".into(), String::new(), "\"b".into()]));
        assert_eq!(columns(&plain, ""), Ok(vec![String::new()]));
        let marked = delimited(false, Some(b'`'));
        assert_eq!(columns(&marked, "`a,b,`c,`"), Ok(vec!["a,b".into(), "c".into(), "".into()]));
        assert_eq!(columns(&marked, "a,`b"), Err(CutError::NoPrefix));
        let quoted = delimited(true, None);
        let wanted = Ok(vec!["a,b".into(), "c".into(), "d\"\"e".into(), "".into()]);
        assert_eq!(columns(&quoted, "\"a,b\",c,\"d\"\"e\",\"\""), wanted);
        for broken in ["\"a", "\"a\"b,c", "c,\"a\"\"", "\""] {
            assert_eq!(columns(&quoted, broken), Err(CutError::Quote), "{broken}");
        }
    }

    #[test]
    fn fixed_lines_have_the_length_of_their_columns() {
        let shape = |tail| Shape::Fixed { widths: vec![2, 3], gap: 1, tail };
        assert_eq!(columns(&shape(false), "ab cde"), Ok(vec!["ab".into(), "cde".into()]));
        assert_eq!(columns(&shape(false), "ab cd"), Err(CutError::Short));
        assert_eq!(columns(&shape(false), "ab cdef"), Err(CutError::Long));
        assert_eq!(columns(&shape(true), "ab cdef"), Ok(vec!["ab".into(), "cde".into()]));
        assert_eq!(columns(&shape(true), "ab c"), Ok(vec!["ab".into(), "c".into()]));
        assert_eq!(columns(&shape(true), "a"), Err(CutError::Short));
    }

    #[test]
    fn a_character_of_two_bytes_hides_its_second() {
        // The second byte of this character is the vertical bar's.
        let line = [0x8F, 0x7C, b'|', b'x'];
        let cut = |double_byte| {
            let shape = Delimited { delimiter: b'|', quoted: false, prefix: None, double_byte };
            Shape::Delimited(shape).cut(&line, &[], &mut [])
        };
        assert_eq!((cut(true), cut(false)), (Ok(2), Ok(3)));
    }

    proptest! {
        #[test]
        fn any_bytes_are_cut_or_refused(line in prop::collection::vec(any::<u8>(), 0..60)) {
            let mut spans = [Span::default(); 4];
            let fixed = Shape::Fixed { widths: vec![3, 9, 2], gap: 1, tail: line.len() % 2 == 0 };
            let _ = fixed.cut(&line, &[0, 1, 2], &mut spans);
            for quoted in [true, false] {
                for prefix in [None, Some(b'`')] {
                    let _ = delimited(quoted, prefix).cut(&line, &[0, 2, 5, 6], &mut spans);
                }
            }
        }
    }
}
