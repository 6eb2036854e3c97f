//! A JSON object as it came: texts borrowed from the body, whole numbers exact, no field twice.
//!
//! It is read field by field, so that every problem names its field and none repeats a value: a
//! generic decoder's messages quote what they found, which may be a card number (I-11).

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::api::error::{ApiError, ProblemCode, display_name};

/// One value.
pub enum Json<'body> {
    Null,
    Boolean(bool),
    Integer(i64),
    /// A number with a fraction or an exponent.
    Fraction,
    /// A number beyond 64 bits.
    Huge,
    Text(Cow<'body, str>),
    List,
    Object(Vec<(Cow<'body, str>, Json<'body>)>),
}

/// A text under a name of the caller's own.
pub type NamedText<'body> = (Cow<'body, str>, Cow<'body, str>);

/// Two to the 63rd: from here on a number has no place in 64 bits with a sign.
const HUGE: f64 = 9_223_372_036_854_775_808.0;

struct JsonVisitor;

impl<'de> Visitor<'de> for JsonVisitor {
    type Value = Json<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
        Ok(Json::Boolean(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
        Ok(Json::Integer(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
        Ok(i64::try_from(value).map_or(Json::Huge, Json::Integer))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Self::Value, E> {
        Ok(if value.abs() >= HUGE { Json::Huge } else { Json::Fraction })
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Json::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Json::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Json::List)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut entries = Vec::with_capacity(8);
        while let Some(Name(name)) = map.next_key()? {
            entries.push((name, map.next_value()?));
        }
        Ok(Json::Object(entries))
    }
}

impl<'de> Deserialize<'de> for Json<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(JsonVisitor)
    }
}

/// A field's name, borrowed where it has no escapes.
struct Name<'body>(Cow<'body, str>);

struct NameVisitor;

impl<'de> Visitor<'de> for NameVisitor {
    type Value = Name<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a field's name")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Name(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Name(Cow::Owned(text.to_owned())))
    }
}

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(NameVisitor)
    }
}

/// The fields that are asked for in one object, so that their list grows once.
const TAKEN_USUAL: usize = 16;

/// The fields of one object, taken out one by one; fields that are left at the end are a mistake.
pub struct JsonFields<'body> {
    /// The prefix of a field's name in its path: empty, or for instance `card.`.
    prefix: &'static str,
    left: Vec<(Cow<'body, str>, Json<'body>)>,
    taken: Vec<&'static str>,
}

impl<'body> JsonFields<'body> {
    /// Reads a body that is one object.
    pub fn parse(body: &'body [u8]) -> Result<Self, ApiError> {
        let malformed = |detail: String| ApiError::new(ProblemCode::MalformedJson, detail);
        let value: Json<'body> = serde_json::from_slice(body).map_err(|error| {
            malformed(format!(
                "reading stopped at line {}, column {}",
                error.line(),
                error.column()
            ))
        })?;
        match value {
            Json::Object(left) => {
                Ok(Self { prefix: "", left, taken: Vec::with_capacity(TAKEN_USUAL) })
            }
            Json::Null
            | Json::Boolean(_)
            | Json::Integer(_)
            | Json::Fraction
            | Json::Huge
            | Json::Text(_)
            | Json::List => Err(malformed("the body is JSON, but not an object".to_owned())),
        }
    }

    /// The same, where an empty body means that nothing optional is said.
    pub fn parse_or_empty(body: &'body [u8]) -> Result<Self, ApiError> {
        if body.is_empty() {
            return Ok(Self {
                prefix: "",
                left: Vec::new(),
                taken: Vec::with_capacity(TAKEN_USUAL),
            });
        }
        Self::parse(body)
    }

    /// The path of a field, as problems name it.
    pub fn path(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    pub fn invalid(&self, name: &str, detail: impl Into<Cow<'static, str>>) -> ApiError {
        ApiError::of_field(ProblemCode::InvalidField, self.path(name), detail)
    }

    pub fn missing(&self, name: &str) -> ApiError {
        ApiError::of_field(ProblemCode::MissingField, self.path(name), "the field is required")
    }

    /// A field's value; `null` is as good as absent.
    pub fn value(&mut self, name: &'static str) -> Option<Json<'body>> {
        self.taken.push(name);
        let place = self.left.iter().position(|(other, _)| other == name)?;
        let (_, value) = self.left.remove(place);
        (!matches!(value, Json::Null)).then_some(value)
    }

    pub fn text(&mut self, name: &'static str) -> Result<Option<Cow<'body, str>>, ApiError> {
        match self.value(name) {
            None => Ok(None),
            Some(Json::Text(text)) => Ok(Some(text)),
            Some(_) => Err(self.invalid(name, "a string is expected")),
        }
    }

    pub fn required_text(&mut self, name: &'static str) -> Result<Cow<'body, str>, ApiError> {
        self.text(name)?.ok_or_else(|| self.missing(name))
    }

    pub fn boolean(&mut self, name: &'static str) -> Result<Option<bool>, ApiError> {
        match self.value(name) {
            None => Ok(None),
            Some(Json::Boolean(value)) => Ok(Some(value)),
            Some(_) => Err(self.invalid(name, "true or false is expected")),
        }
    }

    /// An object whose members are all texts, under names of the caller's own: in its order.
    pub fn texts(&mut self, name: &'static str) -> Result<Vec<NamedText<'body>>, ApiError> {
        let members = match self.value(name) {
            None => return Ok(Vec::new()),
            Some(Json::Object(members)) => members,
            Some(_) => return Err(self.invalid(name, "an object is expected")),
        };
        let text = |(member, value)| match value {
            Json::Text(text) => Ok((member, text)),
            _ => Err(self.invalid(name, "an object of strings is expected")),
        };
        members.into_iter().map(text).collect()
    }

    pub fn optional_object(
        &mut self,
        name: &'static str,
        prefix: &'static str,
    ) -> Result<Option<Self>, ApiError> {
        match self.value(name) {
            None => Ok(None),
            Some(Json::Object(left)) => {
                Ok(Some(Self { prefix, left, taken: Vec::with_capacity(TAKEN_USUAL) }))
            }
            Some(_) => Err(self.invalid(name, "an object is expected")),
        }
    }

    pub fn object(&mut self, name: &'static str, prefix: &'static str) -> Result<Self, ApiError> {
        self.optional_object(name, prefix)?.ok_or_else(|| self.missing(name))
    }

    /// Refuses what nobody has asked for, and what stands twice.
    pub fn finish(self) -> Result<(), ApiError> {
        let Some((name, _)) = self.left.first() else { return Ok(()) };
        let path = self.path(&display_name(name));
        if self.taken.iter().any(|taken| taken == name) {
            let detail = "the field is given twice";
            return Err(ApiError::of_field(ProblemCode::InvalidField, path, detail));
        }
        let detail = format!("the known fields are: {}", self.taken.join(", "));
        Err(ApiError::of_field(ProblemCode::UnknownField, path, detail))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::language::Language;

    fn refusal(body: &str) -> (ProblemCode, String) {
        let read = |body| {
            let mut fields = JsonFields::parse(body)?;
            fields.required_text("a")?;
            let mut inner = fields.object("b", "b.")?;
            inner.boolean("c")?;
            inner.finish()?;
            fields.finish()
        };
        let error = read(body.as_bytes()).expect_err(body);
        (
            error.code(),
            error.body(Language::English)["field"].as_str().unwrap_or_default().to_owned(),
        )
    }

    #[test]
    fn every_refusal_names_its_field() {
        let rows = [
            ("", ProblemCode::MalformedJson, ""),
            ("{", ProblemCode::MalformedJson, ""),
            ("[]", ProblemCode::MalformedJson, ""),
            ("{} {}", ProblemCode::MalformedJson, ""),
            ("{\"a\":\"\\ud800\"}", ProblemCode::MalformedJson, ""),
            ("{}", ProblemCode::MissingField, "a"),
            ("{\"a\":null}", ProblemCode::MissingField, "a"),
            ("{\"a\":1}", ProblemCode::InvalidField, "a"),
            ("{\"a\":\"\"}", ProblemCode::MissingField, "b"),
            ("{\"a\":\"\",\"b\":[]}", ProblemCode::InvalidField, "b"),
            ("{\"a\":\"\",\"b\":{\"c\":\"true\"}}", ProblemCode::InvalidField, "b.c"),
            ("{\"a\":\"\",\"b\":{\"d\":1}}", ProblemCode::UnknownField, "b.d"),
            ("{\"a\":\"\",\"a\":\"\",\"b\":{}}", ProblemCode::InvalidField, "a"),
            ("{\"a\":\"\",\"b\":{},\"4111111111111111\":1}", ProblemCode::UnknownField, {
                "411111******1111"
            }),
        ];
        for (body, code, field) in rows {
            assert_eq!(refusal(body), (code, field.to_owned()), "{body}");
        }
    }

    #[test]
    fn numbers_are_exact_or_said_not_to_be() {
        let kind = |text: &str| match serde_json::from_str::<Json<'_>>(text) {
            Ok(Json::Integer(value)) => value.to_string(),
            Ok(Json::Fraction) => "fraction".to_owned(),
            Ok(Json::Huge) => "huge".to_owned(),
            _ => "other".to_owned(),
        };
        assert_eq!(kind("9223372036854775807"), "9223372036854775807");
        assert_eq!(kind("9223372036854775808"), "huge");
        assert_eq!(kind("-99999999999999999999"), "huge");
        assert_eq!(kind("1.0"), "fraction");
        assert_eq!(kind("1e2"), "fraction");
    }
}
