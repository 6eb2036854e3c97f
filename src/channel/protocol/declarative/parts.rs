//! A template's text as literal stretches and expressions between `{{` and `}}`.

/// A mistake in a template of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateMistake {
    pub problem: String,
    pub advice: String,
}

/// One stretch of a template's text.
#[derive(Debug, PartialEq, Eq)]
pub enum TemplatePart<'t> {
    Literal(&'t str),
    /// The expression between `{{` and `}}`, without the blanks around it.
    Expression(&'t str),
}

/// Tells literal text from expressions.
pub fn split(text: &str) -> Result<Vec<TemplatePart<'_>>, TemplateMistake> {
    if text.contains("{%") || text.contains("{#") {
        return Err(TemplateMistake {
            problem: "has a statement".to_owned(),
            advice: "write expressions only, such as {{ order_no }}".to_owned(),
        });
    }
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find("{{") {
        if start > 0 {
            parts.push(TemplatePart::Literal(&rest[..start]));
        }
        let inner = &rest[start + 2..];
        let end = expression_length(inner).ok_or_else(|| TemplateMistake {
            problem: "has an expression that is not closed".to_owned(),
            advice: "close it with }}".to_owned(),
        })?;
        parts.push(TemplatePart::Expression(inner[..end].trim()));
        rest = &inner[end + 2..];
    }
    if !rest.is_empty() {
        parts.push(TemplatePart::Literal(rest));
    }
    Ok(parts)
}

/// Bytes up to the first `}}` that stands in no quotes.
fn expression_length(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut quote = None;
    let mut at = 0;
    while at < bytes.len() {
        match (quote, bytes[at]) {
            (Some(_), b'\\') => at += 1,
            (Some(open), byte) if byte == open => quote = None,
            (None, b'"' | b'\'') => quote = Some(bytes[at]),
            (None, b'}') if bytes.get(at + 1) == Some(&b'}') => return Some(at),
            (Some(_) | None, _) => {}
        }
        at += 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_told_from_expressions() {
        let rows: [(&str, &[TemplatePart<'_>]); 6] = [
            ("", &[]),
            ("plain } text", &[TemplatePart::Literal("plain } text")]),
            ("{{ a }}", &[TemplatePart::Expression("a")]),
            (
                "x{{a}}y",
                &[
                    TemplatePart::Literal("x"),
                    TemplatePart::Expression("a"),
                    TemplatePart::Literal("y"),
                ],
            ),
            ("{{ '}}' }}", &[TemplatePart::Expression("'}}'")]),
            (r#"{{ "\"}}" }}"#, &[TemplatePart::Expression(r#""\"}}""#)]),
        ];
        for (text, expected) in rows {
            assert_eq!(split(text).expect("a template"), expected, "{text}");
        }
        for wrong in ["{{ a", "{{ 'a }}", "{% if a %}", "{{ \"\\"] {
            assert!(split(wrong).is_err(), "{wrong}");
        }
    }
}
