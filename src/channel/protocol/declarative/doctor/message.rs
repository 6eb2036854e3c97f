//! A message as a team has it in a file: a first line, headers, an empty line, and the body.

use http::{HeaderMap, HeaderName, HeaderValue};

/// An HTTP message that was written down.
#[derive(Debug, Clone, Default)]
pub struct MessageFile {
    /// Of a request: `POST`, and the path with its query. Empty where the file has no first line.
    pub method: String,
    pub path: String,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

/// Headers that a file may have.
const HEADERS_MAX: usize = 200;

impl MessageFile {
    /// Reads a file. Its head may end its lines with LF or CRLF; the body is every byte behind the
    /// first empty line. A file whose first line is neither a request's, a reply's nor a header is
    /// a body alone. The error says what is wrong and quotes no value.
    pub fn read(bytes: &[u8]) -> Result<Self, String> {
        let mut message = Self::default();
        let mut rest = bytes;
        let mut is_first = true;
        loop {
            let end = rest.iter().position(|byte| *byte == b'\n');
            let line = end.map_or(rest, |end| &rest[..end]);
            let after = end.map_or(&[][..], |end| &rest[end + 1..]);
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.is_empty() && !is_first {
                message.body = after.to_vec();
                return Ok(message);
            }
            let text = std::str::from_utf8(line).ok();
            let taken = text.is_some_and(|text| message.take_line(text, is_first));
            if !taken && is_first {
                message.body = bytes.to_vec();
                return Ok(message);
            }
            if !taken {
                return Err("a line of its head is no header; is the empty line missing?".into());
            }
            if message.headers.len() > HEADERS_MAX {
                return Err("it has more headers than any message has".to_owned());
            }
            if end.is_none() {
                return Ok(message);
            }
            (rest, is_first) = (after, false);
        }
    }

    fn take_line(&mut self, line: &str, is_first: bool) -> bool {
        if is_first && line.starts_with("HTTP/") {
            return true;
        }
        let words: Vec<&str> = line.split(' ').collect();
        if let ([method, path, version], true) = (&words[..], is_first)
            && version.starts_with("HTTP/")
        {
            (self.method, self.path) = ((*method).to_owned(), path_of(path).to_owned());
            return true;
        }
        let Some((name, value)) = line.split_once(':') else { return false };
        let name = HeaderName::from_bytes(name.trim().as_bytes());
        let value = HeaderValue::from_str(value.trim());
        match (name, value) {
            (Ok(name), Ok(value)) => {
                self.headers.append(name, value);
                true
            }
            (Err(_), _) | (_, Err(_)) => false,
        }
    }

    pub fn host(&self) -> &str {
        self.headers.get(http::header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default()
    }
}

/// The path of a whole address.
fn path_of(target: &str) -> &str {
    let Some((_, rest)) = target.split_once("://") else { return target };
    rest.find('/').map_or("/", |at| &rest[at..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_with_either_line_end_and_its_body_stays() {
        let text =
            "POST https://a.example/pay?x=1 HTTP/1.1\r\nHost: a.example\r\nX-S: 1\r\n\r\nb\r\n";
        for text in [text.to_owned(), text.replacen("\r\n", "\n", 4)] {
            let message = MessageFile::read(text.as_bytes()).expect("a message");
            assert_eq!((&*message.method, &*message.path), ("POST", "/pay?x=1"));
            assert_eq!((message.host(), &message.body[..]), ("a.example", &b"b\r\n"[..]));
        }
        let reply = MessageFile::read(b"HTTP/1.1 200 OK\nX-S: 1\n\n{}").expect("a reply");
        assert_eq!((reply.headers.len(), &reply.body[..]), (1, &b"{}"[..]));
        let bare = MessageFile::read(b"{\"a\":1}").expect("a body");
        assert_eq!(bare.body, b"{\"a\":1}");
        assert!(MessageFile::read(b"X-S: 1\nnonsense\n\n{}").is_err());
    }
}
