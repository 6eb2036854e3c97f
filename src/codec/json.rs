//! Where a value stands in the bytes of a JSON text: some channels sign one member exactly as it
//! travels, and a text that was read and written anew is another one.
//!
//! Reads only texts that a JSON reader has taken. Of two members of one name, which was signed
//! would be a guess: such a text has none of them. Never panics on what came.

use std::ops::Range;

/// The place of the value at the steps of a JSON pointer (RFC 6901), without blanks around it.
pub fn span_at(text: &str, steps: &[String]) -> Option<Range<usize>> {
    let mut scan = JsonScan { text, at: 0 };
    // Each round goes one level in.
    for step in steps {
        scan.blanks();
        match scan.peek()? {
            b'{' => scan.enter_member(step)?,
            b'[' => scan.enter_item(step)?,
            _ => return None,
        }
    }
    scan.blanks();
    let start = scan.at;
    scan.skip_value()?;
    Some(start..scan.at)
}

struct JsonScan<'t> {
    text: &'t str,
    at: usize,
}

impl JsonScan<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn blanks(&mut self) {
        while self.peek().is_some_and(|byte| byte.is_ascii_whitespace()) {
            self.at += 1;
        }
    }

    /// The next sign behind blanks, if it is this one.
    fn eat(&mut self, sign: u8) -> Option<()> {
        self.blanks();
        (self.peek()? == sign).then(|| self.at += 1)
    }

    /// Goes to the value of a member that is there once.
    fn enter_member(&mut self, name: &str) -> Option<()> {
        self.eat(b'{')?;
        let mut found = None;
        self.blanks();
        // Bounded by the text: every round passes a member.
        while self.peek()? != b'}' {
            self.blanks();
            let start = self.at;
            self.skip_value()?;
            let key: String = serde_json::from_str(self.text.get(start..self.at)?).ok()?;
            self.eat(b':')?;
            if key == name && found.replace(self.at).is_some() {
                return None;
            }
            self.skip_value()?;
            self.blanks();
            if self.peek()? == b',' {
                self.at += 1;
                self.blanks();
            }
        }
        self.at = found?;
        Some(())
    }

    /// Goes to an item by its place.
    fn enter_item(&mut self, place: &str) -> Option<()> {
        // A place has no sign and no zero before it.
        let is_place = !place.starts_with('+') && (place == "0" || !place.starts_with('0'));
        let place: usize = place.parse().ok().filter(|_| is_place)?;
        self.eat(b'[')?;
        for _ in 0..place {
            self.skip_value()?;
            self.eat(b',')?;
        }
        self.blanks();
        (self.peek()? != b']').then_some(())
    }

    fn skip_value(&mut self) -> Option<()> {
        self.blanks();
        let mut depth = 0_usize;
        // Bounded by the text: every round takes a byte or more.
        loop {
            match self.peek()? {
                b'"' => self.skip_text()?,
                b'{' | b'[' => {
                    depth += 1;
                    self.at += 1;
                }
                b'}' | b']' => {
                    depth = depth.checked_sub(1)?;
                    self.at += 1;
                }
                b',' | b':' | b' ' | b'\t' | b'\n' | b'\r' if depth > 0 => self.at += 1,
                _ => self.skip_word()?,
            }
            if depth == 0 {
                return Some(());
            }
        }
    }

    fn skip_text(&mut self) -> Option<()> {
        self.at += 1;
        loop {
            let byte = self.peek()?;
            self.at += if byte == b'\\' { 2 } else { 1 };
            if byte == b'"' {
                return Some(());
            }
        }
    }

    /// A number, `true`, `false` or `null`.
    fn skip_word(&mut self) -> Option<()> {
        let start = self.at;
        while self.peek().is_some_and(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b)) {
            self.at += 1;
        }
        (self.at > start).then_some(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn found<'t>(text: &'t str, pointer: &str) -> Option<&'t str> {
        let steps: Vec<String> = pointer.split('/').skip(1).map(str::to_owned).collect();
        span_at(text, &steps).map(|span| &text[span])
    }

    #[test]
    fn a_member_is_found_as_it_travels() {
        let text =
            "{ \"a\" : {\"x\":\"}\\\"\" , \"y\":[1, {\"z\" : 1.20 }]} ,\"s\\u0069gn\":\"S\"}";
        assert_eq!(found(text, "/a"), Some("{\"x\":\"}\\\"\" , \"y\":[1, {\"z\" : 1.20 }]}"));
        assert_eq!(found(text, "/a/y/1"), Some("{\"z\" : 1.20 }"));
        assert_eq!(found(text, "/a/y/1/z"), Some("1.20"));
        assert_eq!(found(text, "/sign"), Some("\"S\""));
        assert_eq!(found(text, ""), Some(text));
        for missing in ["/b", "/a/y/2", "/a/y/01", "/a/x/0", "/a/y/-"] {
            assert_eq!(found(text, missing), None, "{missing}");
        }
        assert_eq!(found("{\"a\":1,\"a\":2}", "/a"), None, "of two, neither");
        assert_eq!(found("{\"a\":1,\"\\u0061\":2}", "/a"), None, "of two, neither");
        for cut in 0..text.len() {
            let _ = found(text.get(..cut).unwrap_or_default(), "/a/y/1/z");
        }
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "[a-c\\\\\"{}\\[\\],: é]{0,6}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[a-c\"\\\\]{0,2}", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn every_value_is_where_a_reader_sees_it(value in any_json(), pretty in any::<bool>()) {
            let written = serde_json::to_string_pretty(&value).expect("written");
            let text = if pretty { written } else { value.to_string() };
            let mut open = vec![(Vec::new(), &value)];
            while let Some((steps, value)) = open.pop() {
                let span = span_at(&text, &steps).expect("it is there");
                let read: Value = serde_json::from_str(&text[span]).expect("a whole value");
                prop_assert_eq!(&read, value);
                let inner = |step: String| [steps.clone(), vec![step]].concat();
                match value {
                    Value::Array(items) => open.extend(
                        items.iter().enumerate().map(|(at, one)| (inner(at.to_string()), one)),
                    ),
                    Value::Object(map) => {
                        open.extend(map.iter().map(|(name, one)| (inner(name.clone()), one)));
                    }
                    _ => {}
                }
            }
        }

        #[test]
        fn any_text_is_read_or_not_and_never_panics(text in "[\\[\\]{}\",:a1\\\\ é]{0,40}") {
            for steps in [vec![], vec!["a".to_owned()], vec!["0".to_owned(), "a".to_owned()]] {
                if let Some(span) = span_at(&text, &steps) {
                    prop_assert!(text.get(span).is_some());
                }
            }
        }
    }
}
