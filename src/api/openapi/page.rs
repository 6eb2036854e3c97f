//! The document as one page for people. It needs no script, and asks nobody for anything.

use minijinja::{Environment, context};
use serde::Serialize;
use serde_json::Value;

/// The page's template.
const TEMPLATE: &str = include_str!("docs.html");

/// One row of a table of fields or parameters.
#[derive(Serialize)]
struct FieldRow {
    name: String,
    /// Where it stands: of parameters alone.
    place: String,
    is_required: bool,
    kind: String,
    /// The form that it has, where that has a table of its own.
    form: Option<String>,
    what: String,
}

#[derive(Serialize)]
struct AnswerRow {
    status: String,
    /// In lines.
    what: Vec<String>,
    kinds: Vec<String>,
    form: Option<String>,
    example: Option<String>,
}

#[derive(Serialize)]
struct OperationView {
    id: String,
    method: String,
    path: String,
    summary: String,
    details: String,
    roles: Vec<String>,
    parameters: Vec<FieldRow>,
    body: Option<String>,
    body_example: Option<String>,
    answers: Vec<AnswerRow>,
}

#[derive(Serialize)]
struct TagView {
    name: String,
    about: String,
    operations: Vec<OperationView>,
}

#[derive(Serialize)]
struct FormView {
    name: String,
    what: String,
    fields: Vec<FieldRow>,
}

/// The page.
pub(super) fn render(document: &Value) -> String {
    let mut templates = Environment::new();
    templates
        .add_template("docs.html", TEMPLATE)
        .expect("the template is ours, and a test renders it");
    let template = templates.get_template("docs.html").expect("it was just added");
    let mut tags: Vec<TagView> =
        list(&document["tags"]).map(|tag| tag_view(document, tag)).collect();
    tags.push(posts(document));
    let page = template.render(context! {
        title => text(&document["info"]["title"]),
        version => text(&document["info"]["version"]),
        about => text(&document["info"]["description"]).split("\n\n").collect::<Vec<_>>(),
        tags,
        forms => forms(document),
    });
    page.expect("the template is ours, and a test renders it")
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn members(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn texts(value: &Value) -> Vec<String> {
    list(value).map(text).collect()
}

fn shown(value: &Value) -> Option<String> {
    (!value.is_null()).then(|| format!("{value:#}"))
}

/// The thing itself, where another one leads to it.
fn followed<'d>(document: &'d Value, value: &'d Value) -> &'d Value {
    let target = value["$ref"].as_str().and_then(|target| target.strip_prefix('#'));
    target.and_then(|pointer| document.pointer(pointer)).unwrap_or(value)
}

/// The name of the form that a schema leads to, itself or for its rows.
fn form_name(schema: &Value) -> Option<String> {
    let own = schema["$ref"].as_str();
    let rows =
        || members(&schema["properties"]).find_map(|(_, rows)| rows["items"]["$ref"].as_str());
    let way = || list(&schema["anyOf"]).find_map(|way| way["$ref"].as_str());
    let found = own.or_else(|| schema["items"]["$ref"].as_str()).or_else(way).or_else(rows)?;
    found.rsplit('/').next().map(str::to_owned)
}

fn tag_view(document: &Value, tag: &Value) -> TagView {
    let of_tag = |operation: &Value| list(&operation["tags"]).any(|name| *name == tag["name"]);
    let operations = members(&document["paths"]).flat_map(|(path, methods)| {
        let here = members(methods).filter(|(_, operation)| of_tag(operation));
        here.map(move |(method, operation)| operation_view(document, method, path, operation))
    });
    TagView {
        name: text(&tag["name"]),
        about: text(&tag["description"]),
        operations: operations.collect(),
    }
}

/// What we post to others.
fn posts(document: &Value) -> TagView {
    let posts = members(&document["webhooks"]);
    let view =
        |(name, post): (&String, &Value)| operation_view(document, "post", name, &post["post"]);
    TagView {
        name: "Posts".to_owned(),
        about: "What we post to the core and to the accounting system.".to_owned(),
        operations: posts.map(view).collect(),
    }
}

fn operation_view(document: &Value, method: &str, path: &str, operation: &Value) -> OperationView {
    let shared = |parameter: &&Value| parameter["$ref"].is_null();
    let parameters = list(&operation["parameters"]).filter(shared).map(|one| FieldRow {
        place: text(&one["in"]),
        is_required: one["required"] == true,
        ..row(&text(&one["name"]), &one["schema"], &text(&one["description"]))
    });
    let body = &operation["requestBody"]["content"]["application/json"];
    let answers = members(&operation["responses"]).map(|(status, answer)| {
        let answer = followed(document, answer);
        let content = &answer["content"];
        let json = &content["application/json"];
        AnswerRow {
            status: status.clone(),
            what: text(&answer["description"]).lines().map(str::to_owned).collect(),
            kinds: members(content).map(|(kind, _)| kind.clone()).collect(),
            form: form_name(&json["schema"]),
            example: shown(&json["example"]),
        }
    });
    OperationView {
        id: text(&operation["operationId"]),
        method: method.to_uppercase(),
        path: path.to_owned(),
        summary: text(&operation["summary"]),
        details: text(&operation["description"]),
        roles: texts(&operation["x-roles"]),
        parameters: parameters.collect(),
        body: form_name(&body["schema"]),
        body_example: shown(&body["example"]),
        answers: answers.collect(),
    }
}

fn forms(document: &Value) -> Vec<FormView> {
    let schemas = members(&document["components"]["schemas"]);
    let view = |(name, schema): (&String, &Value)| FormView {
        name: name.clone(),
        what: text(&schema["description"]),
        fields: fields("", schema),
    };
    schemas.map(view).collect()
}

/// The fields of a form, those of nested objects below their own.
fn fields(prefix: &str, schema: &Value) -> Vec<FieldRow> {
    let required = texts(&schema["required"]);
    let mut rows = Vec::new();
    for (name, field) in members(&schema["properties"]) {
        let path = format!("{prefix}{name}");
        rows.push(FieldRow {
            is_required: required.contains(name),
            ..row(&path, field, &text(&field["description"]))
        });
        let inside = if field["items"]["properties"].is_object() { &field["items"] } else { field };
        rows.extend(fields(&format!("{path}."), inside));
    }
    // Of several forms that it may have, no field is in all.
    for other in list(&schema["anyOf"]).flat_map(|way| fields(prefix, way)) {
        if rows.iter().all(|known| known.name != other.name) {
            rows.push(FieldRow { is_required: false, ..other });
        }
    }
    rows
}

fn row(name: &str, schema: &Value, what: &str) -> FieldRow {
    FieldRow {
        name: name.to_owned(),
        place: String::new(),
        is_required: false,
        kind: kind_of(schema),
        form: form_name(schema),
        what: what.to_owned(),
    }
}

/// A value's type and limits, in words.
fn kind_of(schema: &Value) -> String {
    let mut words = match &schema["type"] {
        Value::Array(kinds) => vec![kinds.iter().map(text).collect::<Vec<_>>().join(" or ")],
        kind => vec![text(kind)],
    };
    if schema["enum"].is_array() {
        let one = |word: &Value| word.as_str().map_or_else(|| word.to_string(), str::to_owned);
        words.push(list(&schema["enum"]).map(one).collect::<Vec<_>>().join(" | "));
    }
    let limits: [(&str, &str, &str); 2] =
        [("minLength", "maxLength", " characters"), ("minimum", "maximum", "")];
    for (least, most, unit) in limits {
        match (&schema[least], &schema[most]) {
            (Value::Null, Value::Null) => {}
            (least, Value::Null) => words.push(format!("from {least}{unit}")),
            (Value::Null, most) => words.push(format!("to {most}{unit}")),
            (least, most) => words.push(format!("{least} to {most}{unit}")),
        }
    }
    for member in ["format", "pattern"] {
        words.push(text(&schema[member]));
    }
    if let Some(default) = shown(&schema["default"]) {
        words.push(format!("default {default}"));
    }
    words.retain(|word| !word.is_empty());
    words.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::openapi::document::document;

    #[test]
    fn every_operation_and_form_stands_on_the_page() {
        let document = document();
        let page = render(&document);
        let methods = members(&document["paths"]).flat_map(|(_, methods)| members(methods));
        for (_, operation) in methods {
            let id = text(&operation["operationId"]);
            assert!(page.contains(&format!("id=\"{id}\"")), "{id}");
        }
        for (name, _) in members(&document["components"]["schemas"]) {
            assert!(page.contains(&format!("id=\"form-{name}\"")), "{name}");
        }
        for part in ["<script", "<link", "src=", "url(", "href=\"http"] {
            assert!(!page.contains(part), "{part}: it asks nobody for anything");
        }
    }
}
