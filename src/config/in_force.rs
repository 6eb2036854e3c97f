//! The settings as they are in force, as texts for people: which value, and who gave it.
//!
//! Upholds I-11: what may be a secret by its name is not shown, unless it is a credential's
//! reference, and neither is who signs in at an address or what its query says.

use super::mistake::{hide_address_secrets, hide_long_digits, is_secret};
use super::raw::{DEFAULT_FILE, Document, Node, NodeContent, SettingsTable, join_path};

/// One setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingInForce {
    /// Sections and key, with points between.
    pub path: String,
    /// As TOML writes it.
    pub value: String,
    /// The file or variable that gave it; `None` where it is the default.
    pub given_by: Option<String>,
    /// The line of that file, from 1.
    pub line: Option<usize>,
}

/// Every setting of a document, in its order.
pub fn listed(document: &Document) -> Vec<SettingInForce> {
    let mut found = Vec::new();
    list("", &document.table, &mut found);
    found
}

fn list(above: &str, table: &SettingsTable, found: &mut Vec<SettingInForce>) {
    for (key, node) in table.iter() {
        let path = join_path(above, key);
        match &node.content {
            NodeContent::Table(inner) => list(&path, inner, found),
            NodeContent::List(nodes) if nodes.iter().any(is_table) => {
                for (place, node) in nodes.iter().enumerate() {
                    if let NodeContent::Table(inner) = &node.content {
                        list(&format!("{path}[{place}]"), inner, found);
                    }
                }
            }
            _ => found.push(setting(path, node)),
        }
    }
}

fn is_table(node: &Node) -> bool {
    matches!(node.content, NodeContent::Table(_))
}

fn setting(path: String, node: &Node) -> SettingInForce {
    let place = &node.place;
    let is_given = &*place.file != DEFAULT_FILE;
    SettingInForce {
        value: show(&node.content, is_secret(&path)),
        given_by: is_given.then(|| place.file.to_string()),
        line: Some(place.line).filter(|line| is_given && *line > 0),
        path,
    }
}

fn show(content: &NodeContent, is_secret: bool) -> String {
    match content {
        NodeContent::Text(text) | NodeContent::Untyped(text) => {
            let is_reference = text.starts_with("file:") || text.starts_with("env:");
            if is_secret && !is_reference && !text.is_empty() {
                return "\u{2026}".to_owned();
            }
            format!("\"{}\"", hide_long_digits(&hide_address_secrets(text)).escape_debug())
        }
        NodeContent::Integer(number) => number.to_string(),
        NodeContent::Boolean(is_so) => is_so.to_string(),
        NodeContent::List(nodes) => {
            let shown: Vec<_> = nodes.iter().map(|node| show(&node.content, is_secret)).collect();
            format!("[{}]", shown.join(", "))
        }
        // Nothing is read as one of these.
        NodeContent::Fraction | NodeContent::Moment | NodeContent::Table(_) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i_11_what_may_be_secret_is_not_shown() {
        let text = r#"
[store]
url = "postgres://user:w/or?d@db.example/books?sslpassword=x"
[notices]
key = "file:notice.key"
[[callers]]
name = "core"
key_sha256 = "0011"
"#;
        let given = vec![("SWITCHYARD_WORKERS__LOOK_EVERY".to_owned(), "2s".to_owned())];
        let document = Document::layered("[log]\nlevel = \"info\"", Some(("a.toml", text)), given);
        let found = listed(&document.expect("TOML"));
        let of = |path: &str| {
            let one = found.iter().find(|one| one.path == path);
            one.map(|one| (one.value.as_str(), one.given_by.as_deref(), one.line))
        };
        assert_eq!(of("log.level"), Some(("\"info\"", None, None)));
        let address = "\"postgres://\u{2026}@db.example/books?sslpassword=\u{2026}\"";
        assert_eq!(of("store.url"), Some((address, Some("a.toml"), Some(3))));
        assert_eq!(of("notices.key"), Some(("\"file:notice.key\"", Some("a.toml"), Some(5))));
        assert_eq!(of("callers[0].key_sha256"), Some(("\u{2026}", Some("a.toml"), Some(8))));
        let variable = "SWITCHYARD_WORKERS__LOOK_EVERY";
        assert_eq!(of("workers.look_every"), Some(("\"2s\"", Some(variable), None)));
    }
}
