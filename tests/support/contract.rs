//! Holds an answer against the OpenAPI document.
//!
//! Knows the keywords of JSON Schema that the document uses, and panics at another one: a library
//! for all of them would bring twenty packages for these.

#![allow(dead_code, reason = "each test program looks at its own answers")]

use serde_json::{Map, Value};

/// What a schema may say that an answer is not held against: patterns and formats are checked by
/// other authors' tools (`tests/peers/`).
const PASSED_OVER: [&str; 10] = [
    "description",
    "format",
    "pattern",
    "example",
    "examples",
    "minimum",
    "maximum",
    "default",
    "minLength",
    "maxLength",
];

/// Headers that say nothing of the call.
const OF_HTTP: [&str; 7] = [
    "cache-control",
    "connection",
    "content-length",
    "content-security-policy",
    "content-type",
    "date",
    "transfer-encoding",
];

pub struct Contract(Value);

impl Contract {
    pub fn new(document: Value) -> Self {
        Self(document)
    }

    pub fn document(&self) -> &Value {
        &self.0
    }

    /// Every operation: method, path and what is said of it.
    pub fn operations(&self) -> impl Iterator<Item = (&str, &str, &Value)> {
        let paths = self.0["paths"].as_object().expect("paths");
        paths.iter().flat_map(|(path, methods)| {
            let methods = methods.as_object().expect("methods").iter();
            methods.map(move |(method, operation)| (method.as_str(), path.as_str(), operation))
        })
    }

    /// The operation of a call, if there is one.
    pub fn operation(&self, method: &str, path: &str) -> Option<&Value> {
        let asked: Vec<&str> = path.split('?').next().unwrap_or_default().split('/').collect();
        let fits = |template: &str| {
            let parts: Vec<&str> = template.split('/').collect();
            let same = |(part, asked): (&&str, &&str)| part == asked || part.starts_with('{');
            parts.len() == asked.len() && parts.iter().zip(&asked).all(same)
        };
        let mut found: Vec<_> = self
            .operations()
            .filter(|(name, template, _)| name.eq_ignore_ascii_case(method) && fits(template))
            .collect();
        // A path that is written out goes before one with a variable part.
        found.sort_by_key(|(_, template, _)| template.matches('{').count());
        found.first().map(|found| found.2)
    }

    /// What is wrong with an answer to this call, if anything is.
    pub fn complaint(
        &self,
        (method, path): (&str, &str),
        (status, kind): (u16, &str),
        body: &str,
    ) -> Option<String> {
        let Some(operation) = self.operation(method, path) else {
            // No such route, or not with this method.
            return (![404, 405].contains(&status)).then(|| format!("{status} of no route"));
        };
        let answers = &operation["responses"];
        let Some(answer) = answers.get(status.to_string()) else {
            return Some(format!("{status} is not in the document: {body}"));
        };
        let kind = kind.split(';').next().unwrap_or_default();
        let content = answer["content"].as_object().expect("content");
        let Some(held) = content.get(kind).or_else(|| content.get("*/*")) else {
            return Some(format!("{status} is not of the type `{kind}`: {body}"));
        };
        if !["application/json", "application/problem+json"].contains(&kind) {
            return None;
        }
        let body: Value = match serde_json::from_str(body) {
            Ok(body) => body,
            Err(error) => return Some(format!("the body is no JSON: {error}")),
        };
        if kind == "application/problem+json" {
            let codes = answer["x-problems"].as_array().expect("codes");
            if !codes.contains(&body["code"]) {
                return Some(format!("{status} has no such problem in the document: {body}"));
            }
        }
        self.differs(&held["schema"], &body, "").map(|what| format!("{what}: {body}"))
    }

    /// A header of an answer to this call that the document does not have.
    pub fn strange_header<'h>(
        &self,
        (method, path): (&str, &str),
        status: u16,
        mut names: impl Iterator<Item = &'h str>,
    ) -> Option<&'h str> {
        let answer = &self.operation(method, path)?["responses"][status.to_string()];
        let told: Vec<String> = answer["headers"]
            .as_object()
            .into_iter()
            .flat_map(|headers| headers.keys().map(|name| name.to_ascii_lowercase()))
            .collect();
        names.find(|name| !OF_HTTP.contains(name) && !told.iter().any(|one| one == name))
    }

    fn differs(&self, schema: &Value, value: &Value, place: &str) -> Option<String> {
        let schema = schema.as_object().unwrap_or_else(|| panic!("{place}: {schema}"));
        schema.iter().find_map(|(keyword, said)| {
            let wrong = match keyword.as_str() {
                "$ref" => {
                    let pointer = said.as_str().and_then(|target| target.strip_prefix('#'));
                    let target = pointer.and_then(|pointer| self.0.pointer(pointer));
                    return self.differs(target.expect("it leads somewhere"), value, place);
                }
                "properties" => return self.of_members(schema, said, value, place),
                "items" => {
                    let mut rows = value.as_array().into_iter().flatten();
                    return rows.find_map(|row| self.differs(said, row, &format!("{place}[]")));
                }
                "anyOf" => {
                    let ways = said.as_array().expect("ways");
                    ways.iter().all(|way| self.differs(way, value, place).is_some())
                }
                "type" => !is_of(said, value),
                "enum" => !said.as_array().expect("words").contains(value),
                "required" => {
                    let names = said.as_array().expect("names");
                    names.iter().any(|name| value.get(name.as_str().expect("a name")).is_none())
                }
                "additionalProperties" => false,
                other if PASSED_OVER.contains(&other) => false,
                other => panic!("{place}: the keyword `{other}` is not known here"),
            };
            wrong.then(|| format!("{place} is not as {keyword} says"))
        })
    }

    fn of_members(
        &self,
        schema: &Map<String, Value>,
        said: &Value,
        value: &Value,
        place: &str,
    ) -> Option<String> {
        let members = value.as_object()?;
        members.iter().find_map(|(name, member)| match said.get(name) {
            Some(form) => self.differs(form, member, &format!("{place}.{name}")),
            None if schema.contains_key("additionalProperties") => None,
            None => Some(format!("{place}.{name} is not in the document")),
        })
    }
}

fn is_of(said: &Value, value: &Value) -> bool {
    let is = |kind: &Value| match kind.as_str().expect("a type") {
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        "null" => value.is_null(),
        other => panic!("the type `{other}` is not known here"),
    };
    match said {
        Value::Array(kinds) => kinds.iter().any(is),
        kind => is(kind),
    }
}
