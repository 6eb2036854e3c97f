//! Templates of the channel file: `{{ expressions }}` over a request's words, compiled once.
//!
//! A text that is one expression and nothing else keeps the expression's type; one without any
//! expression stands for itself. There are no statements: a body's shape is the file's, not a
//! program's. Errors never quote a value, which could be card data (I-11).

use std::sync::LazyLock;

use jiff::tz::TimeZone;
use minijinja::value::ValueKind;
use minijinja::{Environment, ErrorKind, Expression, Value};
use serde_json::Value as Json;

use super::escape::{Escape, escapes, joined_by_hand};
use super::filters::{DecimalNumber, add_filters, moment_in, parse_time_filter};
use super::kind::{Action, RequestKind};
use super::parts::{TemplateMistake, TemplatePart, split};
use super::word::Word;
use super::words::{Constants, FIRST, MERCHANT, Merchants, Words};

/// The language of every channel file is the same, so it is made once for the process.
static ENVIRONMENT: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut environment = Environment::new();
    environment.remove_global("debug");
    add_filters(&mut environment);
    environment
});

/// Reads an expression that is a moment's word and the filter `time` with two plain texts. `None`
/// where it is another one.
fn as_moment(source: &str) -> Option<Result<Piece, TemplateMistake>> {
    let (word, filter) = source.split_once('|')?;
    let word = Word::parse(word.trim()).filter(|word| word.is_moment())?;
    let read = parse_time_filter(filter)?;
    Some(read.map(|(format, zone)| Piece::Moment { word, format, zone }).map_err(|problem| {
        TemplateMistake {
            problem: format!("{{{{ {source} }}}}: {problem}"),
            advice: "write one of the IANA database, such as Asia/Shanghai".to_owned(),
        }
    }))
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
    /// `[http.merchants]`.
    pub merchants: &'a Merchants,
    /// What the request before this one brings.
    pub brought: &'a [String],
    /// Whether there is an `[http.token]`.
    pub has_token: bool,
    /// Whether `[http.encrypt]` makes envelopes.
    pub has_envelope: bool,
    pub target: Target,
}

/// Why a template gave nothing for one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    #[error("the expression fails ({0})")]
    Failed(ErrorKind),
    #[error("a number with a point: money is `amount`, `amount_decimal`, or that `| number`")]
    Fraction,
    #[error("the number does not fit into 64 bits")]
    TooLarge,
    #[error("the value is not a text, an integer or a boolean")]
    NotPlain,
    #[error("part of a text is absent from this request")]
    PartAbsent,
    #[error("a value has a sign that would end its part of the text around it")]
    BreaksOut,
}

/// One leaf of a body, one header, or a path.
#[derive(Debug)]
pub struct Template(Form);

#[derive(Debug)]
enum Form {
    Literal(Json),
    Single(Piece),
    /// Literal texts and expressions, joined; each expression stays a value of the text.
    Mixed(Vec<(Piece, Escape)>),
}

#[derive(Debug)]
enum Piece {
    Literal(String),
    /// A value of the file's own that is no secret: the expression is its name.
    Constant(Json),
    /// An expression that is one word needs no evaluation.
    Word(Word),
    /// One of the channel's names for the order's merchant.
    Merchant(String),
    /// What the request before this one has brought.
    Brought(String),
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
        let parts = split(text)?;
        // What stands in a path or a query is percent-encoded whole.
        let written = match scope.target {
            Target::Path => parts.iter().map(|_| Escape::Plain(Vec::new())).collect(),
            Target::Header | Target::Body => escapes(&parts, scope.target == Target::Header)?,
        };
        let mut pieces = Vec::new();
        for (part, escape) in parts.into_iter().zip(written) {
            pieces.push(match part {
                TemplatePart::Literal(text) => (Piece::Literal(text.to_owned()), escape),
                TemplatePart::Expression(source) => {
                    let piece = compile_expression(source, scope)?;
                    // The file's own words divide no text of the file's own.
                    let is_own = scope.constants.contains_key(source);
                    let escape = match escape {
                        Escape::Plain(_) if is_own => Escape::Plain(Vec::new()),
                        other => other,
                    };
                    (piece, escape)
                }
            });
        }
        let form = match pieces.pop() {
            None => Form::Literal(Json::from("")),
            Some((Piece::Literal(text), _)) if pieces.is_empty() => Form::Literal(Json::from(text)),
            Some((only, _)) if pieces.is_empty() => Form::Single(only),
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
                for (piece, escape) in pieces {
                    if let Piece::Literal(literal) = piece {
                        text.push_str(literal);
                        continue;
                    }
                    let part = piece.render(words)?.ok_or(RenderError::PartAbsent)?;
                    let plain = match escape {
                        Escape::JsonValue => part.to_string(),
                        _ => plain_text(part)?,
                    };
                    let written = escape.write(plain).ok_or(RenderError::BreaksOut)?;
                    text.push_str(&written);
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
                .map(|(piece, _)| match piece {
                    Piece::Literal(text) => Ok(text.clone()),
                    Piece::Constant(_)
                    | Piece::Word(_)
                    | Piece::Merchant(_)
                    | Piece::Brought(_)
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
            Self::Merchant(name) => Ok(words.merchant(name).map(Json::from)),
            Self::Brought(name) => Ok(words.brought(name).map(Json::from)),
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
    if let Some(number) = value.downcast_object_ref::<DecimalNumber>() {
        return number.to_json().map(Some).ok_or(RenderError::TooLarge);
    }
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
    if let Some(mistake) = joined_by_hand(source) {
        return Err(mistake);
    }
    if let Some(word) = Word::parse(source) {
        return Ok(Piece::Word(word));
    }
    // More than the name is an expression like any other.
    let is_name = matches!(&names[..], [name] if name == source);
    if let Some(name) = source.strip_prefix(MERCHANT).filter(|_| is_name) {
        return Ok(Piece::Merchant(name.to_owned()));
    }
    if let Some(name) = source.strip_prefix(FIRST).filter(|_| is_name) {
        return Ok(Piece::Brought(name.to_owned()));
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
    if let Some(own) = name.strip_prefix(MERCHANT) {
        if scope.kind.action == Action::Statement {
            let advice = "write a constant of [http.values]".to_owned();
            return wrong("is of an order, and a date has one statement for all of them", advice);
        }
        let is_there = scope.merchants.values().next().is_some_and(|one| one.contains_key(own));
        if !is_there {
            let advice = "name it for each merchant in [http.merchants]".to_owned();
            return wrong("is no name of a merchant here", advice);
        }
        return Ok(());
    }
    if let Some(own) = name.strip_prefix(FIRST) {
        if !scope.brought.iter().any(|known| known == own) {
            let advice = "name it under `brings` of the section `first`".to_owned();
            return wrong("is nothing that a first request brings here", advice);
        }
        return Ok(());
    }
    match Word::parse(name) {
        Some(word) if !word.is_known_to(scope.kind) => {
            let problem = format!("is not known to a request of the kind {}", scope.kind.name);
            wrong(&problem, known_names(scope))
        }
        Some(Word::Token) if !scope.has_token => {
            wrong("is of [http.token], which is not there", known_names(scope))
        }
        Some(Word::EnvelopeKey) if !scope.has_envelope => {
            wrong("is of encrypt.key_under, which is not there", known_names(scope))
        }
        Some(Word::Token) if scope.target == Target::Path => {
            wrong("is a secret, which no URL may have", elsewhere())
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
