//! Templates of the channel file: `{{ expressions }}` over a request's words, compiled once.
//!
//! A text that is one expression and nothing else keeps the expression's type; one without any
//! expression stands for itself. There are no statements: a body's shape is the file's, not a
//! program's. Errors never quote a value, which could be card data (I-11).

use std::sync::LazyLock;

use jiff::fmt::strtime;
use jiff::tz::TimeZone;
use minijinja::value::ValueKind;
use minijinja::{Environment, Error, ErrorKind, Expression, State, Value};
use serde_json::Value as Json;

use super::kind::RequestKind;
use super::words::{Constants, ENCRYPTER, Encrypter, Word, Words};
use crate::domain::time::Timestamp;

/// The language of every channel file is the same, so it is made once for the process.
static ENVIRONMENT: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut environment = Environment::new();
    environment.remove_global("debug");
    environment.add_filter("time", write_time);
    environment.add_filter("encrypted", encrypt);
    environment
});

/// `{{ sent_at | time("%Y%m%d%H%M%S", "Asia/Shanghai") }}`: a moment in a zone, as `strftime` does.
fn write_time(millis: i64, format: &str, zone: &str) -> Result<String, Error> {
    let wrong = |words: &'static str| Error::new(ErrorKind::InvalidOperation, words);
    let zone = TimeZone::get(zone).map_err(|_| wrong(UNKNOWN_ZONE))?;
    moment_in(millis, format, zone).map_err(wrong)
}

const UNKNOWN_ZONE: &str = "the time zone is not known";

fn moment_in(millis: i64, format: &str, zone: TimeZone) -> Result<String, &'static str> {
    let moment = jiff::Timestamp::from_millisecond(Timestamp::from_millis(millis).as_millis())
        .map_err(|_| "the moment is outside the calendar")?
        .to_zoned(zone);
    strtime::format(format, &moment).map_err(|_| "the format is not one of strftime")
}

/// Reads an expression that is a moment's word and [`write_time`] with two plain texts. `None`
/// where it is another one.
fn as_moment(source: &str) -> Option<Result<Piece, TemplateMistake>> {
    let (word, filter) = source.split_once('|')?;
    let word = Word::parse(word.trim()).filter(|word| word.is_moment())?;
    let arguments = filter.trim().strip_prefix("time")?.trim_start();
    let arguments = arguments.strip_prefix('(')?.strip_suffix(')')?;
    let plain = |text: &str| {
        let text = text.trim();
        let quote = text.chars().next().filter(|quote| matches!(quote, '"' | '\''))?;
        let inner = text.strip_prefix(quote)?.strip_suffix(quote)?;
        (!inner.contains([quote, '\\', ','])).then(|| inner.to_owned())
    };
    let (format, zone) = arguments.split_once(',')?;
    let (format, name) = (plain(format)?, plain(zone)?);
    let mistake = || TemplateMistake {
        problem: format!("{{{{ {source} }}}}: {UNKNOWN_ZONE}"),
        advice: "write one of the IANA database, such as Asia/Shanghai".to_owned(),
    };
    let zone = TimeZone::get(&name).map_err(|_| mistake());
    Some(zone.map(|zone| Piece::Moment { word, format, zone }))
}

/// `{{ card.number | encrypted }}`: as `[http.encrypt]` says. What is absent stays absent.
fn encrypt(state: &State<'_, '_>, value: Value) -> Result<Value, Error> {
    let Some(text) = value.as_str() else {
        return match value.kind() {
            ValueKind::Undefined | ValueKind::None => Ok(Value::UNDEFINED),
            // The kinds are another crate's and may grow.
            _ => Err(Error::new(ErrorKind::InvalidOperation, "only texts are encrypted")),
        };
    };
    let key = state.lookup(ENCRYPTER);
    let key = key.as_ref().and_then(|key| key.downcast_object_ref::<Encrypter>());
    let made = key.and_then(|key| key.apply(text)).map(Value::from);
    made.ok_or_else(|| Error::new(ErrorKind::InvalidOperation, "there is no key to encrypt with"))
}

/// Which part of a request a template fills.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// The path or the query: neither card data nor secrets (I-11).
    Path,
    /// No card data.
    Header,
    Body,
}

/// The words that a template may name in one place of the file.
#[derive(Clone, Copy)]
pub struct Scope<'a> {
    pub kind: RequestKind,
    /// `[http.values]` and `[http.secrets]`.
    pub constants: &'a Constants,
    pub target: Target,
}

/// A mistake in a template of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateMistake {
    pub problem: String,
    pub advice: String,
}

/// Why a template gave nothing for one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    #[error("the expression fails ({0})")]
    Failed(ErrorKind),
    #[error("a number with a point: money is written by `amount` or `amount_decimal`")]
    Fraction,
    #[error("the number does not fit into 64 bits")]
    TooLarge,
    #[error("the value is not a text, an integer or a boolean")]
    NotPlain,
    #[error("part of a text is absent from this request")]
    PartAbsent,
}

/// One leaf of a body, one header, or a path.
#[derive(Debug)]
pub struct Template(Form);

#[derive(Debug)]
enum Form {
    Literal(Json),
    Single(Piece),
    /// Literal texts and expressions, joined.
    Mixed(Vec<Piece>),
}

#[derive(Debug)]
enum Piece {
    Literal(String),
    /// A value of the file's own that is no secret: the expression is its name.
    Constant(Json),
    /// An expression that is one word needs no evaluation.
    Word(Word),
    /// Neither does a moment in a zone, which is looked up once.
    Moment {
        word: Word,
        format: String,
        zone: TimeZone,
    },
    Expression(Box<Expression<'static, 'static>>),
}

impl Template {
    pub const fn literal(value: Json) -> Self {
        Self(Form::Literal(value))
    }

    /// Compiles a text of the file.
    pub fn compile(text: &str, scope: &Scope<'_>) -> Result<Self, TemplateMistake> {
        let mut pieces = Vec::new();
        for part in split(text)? {
            pieces.push(match part {
                TemplatePart::Literal(text) => Piece::Literal(text.to_owned()),
                TemplatePart::Expression(source) => compile_expression(source, scope)?,
            });
        }
        let form = match pieces.pop() {
            None => Form::Literal(Json::from("")),
            Some(Piece::Literal(text)) if pieces.is_empty() => Form::Literal(Json::from(text)),
            Some(only) if pieces.is_empty() => Form::Single(only),
            Some(last) => {
                pieces.push(last);
                Form::Mixed(pieces)
            }
        };
        Ok(Self(form))
    }

    /// The value for one request; `None` where the request has no such thing.
    pub fn render(&self, words: &Words<'_>) -> Result<Option<Json>, RenderError> {
        match &self.0 {
            Form::Literal(value) => Ok(Some(value.clone())),
            Form::Single(piece) => piece.render(words),
            Form::Mixed(pieces) => {
                let mut text = String::new();
                for piece in pieces {
                    let part = piece.render(words)?.ok_or(RenderError::PartAbsent)?;
                    text.push_str(&plain_text(part)?);
                }
                Ok(Some(Json::from(text)))
            }
        }
    }

    /// The same as a text, for forms, headers and paths.
    pub fn render_text(&self, words: &Words<'_>) -> Result<Option<String>, RenderError> {
        self.render(words)?.map(plain_text).transpose()
    }

    /// The text with everything that a request puts into it changed by `encode`; the file's own
    /// text stays as it is.
    pub fn render_encoded(
        &self,
        words: &Words<'_>,
        encode: impl Fn(&str) -> String,
    ) -> Result<String, RenderError> {
        let insert = |piece: &Piece| {
            let value = piece.render(words)?.ok_or(RenderError::PartAbsent)?;
            Ok(encode(&plain_text(value)?))
        };
        match &self.0 {
            Form::Literal(value) => plain_text(value.clone()),
            Form::Single(piece) => insert(piece),
            Form::Mixed(pieces) => pieces
                .iter()
                .map(|piece| match piece {
                    Piece::Literal(text) => Ok(text.clone()),
                    Piece::Constant(_)
                    | Piece::Word(_)
                    | Piece::Moment { .. }
                    | Piece::Expression(_) => insert(piece),
                })
                .collect(),
        }
    }
}

impl Piece {
    fn render(&self, words: &Words<'_>) -> Result<Option<Json>, RenderError> {
        match self {
            Self::Literal(text) => Ok(Some(Json::from(text.as_str()))),
            Self::Constant(value) => Ok(Some(value.clone())),
            Self::Word(word) => words.value(*word).map_or(Ok(None), |value| to_json(&value)),
            Self::Moment { word, format, zone } => {
                let millis = words.value(*word).and_then(|value| value.as_i64());
                let written = millis.map(|millis| moment_in(millis, format, zone.clone()));
                let failed = |_| RenderError::Failed(ErrorKind::InvalidOperation);
                written.transpose().map(|text| text.map(Json::from)).map_err(failed)
            }
            Self::Expression(expression) => {
                let value = expression
                    .eval(words.context())
                    .map_err(|error| RenderError::Failed(error.kind()))?;
                to_json(&value)
            }
        }
    }
}

/// A leaf's value as JSON: a text, an integer or a boolean.
fn to_json(value: &Value) -> Result<Option<Json>, RenderError> {
    match value.kind() {
        ValueKind::Undefined | ValueKind::None => Ok(None),
        ValueKind::Bool => Ok(Some(Json::from(value.is_true()))),
        ValueKind::String => Ok(Some(Json::from(value.as_str().unwrap_or_default()))),
        ValueKind::Number if !value.is_integer() => Err(RenderError::Fraction),
        ValueKind::Number => {
            value.as_i64().map(|integer| Some(Json::from(integer))).ok_or(RenderError::TooLarge)
        }
        // A slice of what is absent is an empty list.
        ValueKind::Seq if value.len() == Some(0) => Ok(None),
        // Lists and tables are written in the file. The kinds are another crate's and may grow.
        _ => Err(RenderError::NotPlain),
    }
}

fn plain_text(value: Json) -> Result<String, RenderError> {
    match value {
        Json::String(text) => Ok(text),
        Json::Number(number) => Ok(number.to_string()),
        Json::Bool(boolean) => Ok(boolean.to_string()),
        Json::Null | Json::Array(_) | Json::Object(_) => Err(RenderError::NotPlain),
    }
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

fn compile_expression(source: &str, scope: &Scope<'_>) -> Result<Piece, TemplateMistake> {
    let expression = ENVIRONMENT.compile_expression_owned(source.to_owned()).map_err(|error| {
        TemplateMistake {
            problem: format!("{{{{ {source} }}}} cannot be read ({})", error.kind()),
            advice: "write for example {{ order_no }}".to_owned(),
        }
    })?;
    let mut names: Vec<String> = expression.undeclared_variables(true).into_iter().collect();
    names.sort();
    for name in &names {
        check_name(name, scope)?;
    }
    if let Some(word) = Word::parse(source) {
        return Ok(Piece::Word(word));
    }
    // What is secret stays in its one place.
    let constant = scope.constants.get(source).filter(|constant| !constant.is_secret);
    if let Some(Ok(Some(value))) = constant.map(|constant| to_json(&constant.value)) {
        return Ok(Piece::Constant(value));
    }
    as_moment(source).unwrap_or_else(|| Ok(Piece::Expression(Box::new(expression))))
}

fn check_name(name: &str, scope: &Scope<'_>) -> Result<(), TemplateMistake> {
    let wrong = |problem: &str, advice: String| {
        Err(TemplateMistake { problem: format!("`{name}` {problem}"), advice })
    };
    let elsewhere = || "move it into the body".to_owned();
    if let Some(constant) = scope.constants.get(name) {
        if constant.is_secret && scope.target == Target::Path {
            return wrong("is a secret, which no URL may have", elsewhere());
        }
        return Ok(());
    }
    match Word::parse(name) {
        Some(word) if !word.is_known_to(scope.kind) => {
            let problem = format!("is not known to a request of the kind {}", scope.kind.name);
            wrong(&problem, known_names(scope))
        }
        Some(word) if word.is_card_data() && scope.target != Target::Body => {
            wrong("is card data, which may stand in a body only", elsewhere())
        }
        Some(_) => Ok(()),
        None => wrong("is not a word of templates", known_names(scope)),
    }
}

fn known_names(scope: &Scope<'_>) -> String {
    let words = Word::ALL.iter().filter(|word| {
        let allowed = scope.target == Target::Body || !word.is_card_data();
        word.is_known_to(scope.kind) && allowed
    });
    let constants = scope.constants.keys().map(String::as_str);
    let names: Vec<&str> = words.map(|word| word.name()).chain(constants).collect();
    format!("known here: {}", names.join(", "))
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
