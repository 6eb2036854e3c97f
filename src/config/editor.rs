//! Changes the text of a settings file key by key: comments and the order of its keys stay.
//!
//! A change is itself settings: it is laid over the text as one layer of settings over another
//! (`raw`), sections key by key and anything else in the place of what was there. Whether a section
//! stands under a head of its own or between braces makes no difference. This file must not know
//! what any setting means.

use std::fmt;

use toml_edit::visit_mut::{self, VisitMut};
use toml_edit::{DocumentMut, Formatted, InlineTable, Item, Table, Value};

/// A text that is not TOML.
#[derive(Debug, thiserror::Error)]
#[error("line {line} is not TOML: {problem}")]
pub struct EditError {
    /// 1-based.
    pub line: usize,
    pub problem: String,
}

/// A settings file's text that is being changed. `to_string` gives the text.
pub struct Editor {
    document: DocumentMut,
}

impl Editor {
    pub fn new(text: &str) -> Result<Self, EditError> {
        let document = text.parse().map_err(|error: toml_edit::TomlError| {
            let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
            EditError {
                line: before.matches('\n').count() + 1,
                problem: error.message().to_owned(),
            }
        })?;
        Ok(Self { document })
    }

    /// Lays `over`, a text of settings, over this one.
    pub fn lay(&mut self, over: &str) -> Result<(), EditError> {
        let mut over = Self::new(over)?.document;
        PositionEraser.visit_document_mut(&mut over);
        lay(self.document.as_item_mut(), over.as_item());
        Ok(())
    }

    /// Takes a key out of the section at a path such as `["http", "sign"]`, if it is there.
    pub fn remove(&mut self, section: &[&str], key: &str) {
        let found =
            section.iter().try_fold(self.document.as_item_mut(), |item, part| item.get_mut(part));
        if let Some(table) = found.and_then(Item::as_table_like_mut) {
            table.remove(key);
        }
    }

    /// Gives every value that is a text to `change`, and puts what it returns in its place.
    pub fn change_texts(&mut self, change: impl FnMut(&str) -> Option<String>) {
        Texts { change }.visit_document_mut(&mut self.document);
    }
}

impl fmt::Display for Editor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.document.fmt(formatter)
    }
}

/// A text of settings with another one laid over it.
pub fn overlay(text: &str, over: &str) -> Result<String, EditError> {
    let mut editor = Editor::new(text)?;
    editor.lay(over)?;
    Ok(editor.to_string())
}

fn lay(under: &mut Item, over: &Item) {
    let in_braces = under.is_inline_table();
    let (Some(table), Some(over)) = (under.as_table_like_mut(), over.as_table_like()) else {
        return replace(under, over.clone());
    };
    for (key, item) in over.iter() {
        match table.get_mut(key) {
            Some(old) => lay(old, item),
            None => {
                let mut item = item.clone();
                if in_braces {
                    put_in_braces(&mut item);
                }
                table.insert(key, item);
            }
        }
    }
}

/// Makes it fit between braces, which end with their line: comments in and beside it go.
fn put_in_braces(item: &mut Item) {
    item.make_value();
    if let Some(value) = item.as_value_mut() {
        value.decor_mut().clear();
        if let Value::InlineTable(table) = value {
            without_comments(table);
        }
    }
}

fn without_comments(table: &mut InlineTable) {
    table.fmt();
    for (_, value) in table.iter_mut() {
        if let Value::InlineTable(inner) = value {
            without_comments(inner);
        }
    }
}

/// The comment beside the old value, or above the first of the old sections, stays.
fn replace(old: &mut Item, mut new: Item) {
    match (&*old, &mut new) {
        (Item::Value(old), Item::Value(new)) => *new.decor_mut() = old.decor().clone(),
        (Item::ArrayOfTables(old), Item::ArrayOfTables(new)) => {
            if let (Some(old), Some(new)) = (old.get(0), new.get_mut(0)) {
                *new.decor_mut() = old.decor().clone();
            }
        }
        _ => {}
    }
    *old = new;
}

/// Erases the positions that sections had in their own text.
struct PositionEraser;

impl VisitMut for PositionEraser {
    fn visit_table_mut(&mut self, table: &mut Table) {
        table.set_position(None);
        visit_mut::visit_table_mut(self, table);
    }
}

struct Texts<F> {
    change: F,
}

impl<F: FnMut(&str) -> Option<String>> VisitMut for Texts<F> {
    fn visit_string_mut(&mut self, text: &mut Formatted<String>) {
        if let Some(changed) = (self.change)(text.value()) {
            let decor = text.decor().clone();
            *text = Formatted::new(changed);
            *text.decor_mut() = decor;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"# A bank.
state="contracted" # until its keys are there
limits = { max = 5, min = 1 }

# Asked for its state.
[http.reply]
state = "/state" # as it says
code = "/code"

# Charged.
[[fees]]
name = "debit"

[[fees]]
name = 'others'
[pace]
burst = 2
"#;

    #[test]
    fn a_change_reaches_its_key_alone_and_comments_stay() {
        let over = "state = \"live\"\n[limits]\nmax = 9\n[pace]\nburst = 3\n[http]\nurl = \"u\"\n\
                    [http.reply]\ncode = [\"/c\"]\n";
        let expected = TEXT
            .replace("state=\"contracted\"", "state=\"live\"")
            .replace("max = 5", "max = 9")
            .replace("burst = 2", "burst = 3")
            .replace("\"/code\"", "[\"/c\"]");
        let laid = overlay(TEXT, over).expect("TOML");
        assert_eq!(laid.replace("\n[http]\nurl = \"u\"\n", ""), expected);
        assert!(laid.contains("\n[http]\nurl = \"u\"\n"), "{laid}");
    }

    #[test]
    fn a_list_of_sections_a_section_and_a_value_stand_for_each_other() {
        let laid = overlay(TEXT, "[[fees]]\nname = \"all\"\n[limits.days]\nrefund = 3\n");
        let laid = laid.expect("TOML");
        assert!(laid.contains("\n# Charged.\n[[fees]]\nname = \"all\"\n[pace]\n"), "{laid}");
        assert_eq!(laid.matches("[[fees]]").count(), 1);
        assert!(laid.contains("limits = { max = 5, min = 1 , days = { refund = 3 } }"), "{laid}");
        let laid = overlay(TEXT, "pace = 1\nstate = { is = \"live\" }\n").expect("TOML");
        assert!(laid.contains("\npace= 1\n") && !laid.contains("[pace]"), "{laid}");
        assert!(laid.contains("state={ is = \"live\" } # until"), "{laid}");
    }

    #[test]
    fn texts_are_changed_and_keys_removed_wherever_they_stand() {
        let mut editor = Editor::new(TEXT).expect("TOML");
        editor.change_texts(|text| (text == "others").then(|| "the \"rest\"".to_owned()));
        editor.remove(&["http", "reply"], "state");
        editor.remove(&["limits"], "max");
        editor.remove(&["pace", "burst"], "none");
        editor.remove(&[], "nothing");
        let expected = TEXT
            .replace("'others'", "'the \"rest\"'")
            .replace("state = \"/state\" # as it says\n", "")
            .replace("max = 5, ", "");
        assert_eq!(editor.to_string(), expected);
    }

    #[test]
    fn a_text_that_is_no_toml_names_its_line() {
        let error = overlay(TEXT, "a = 1\nb = \n").expect_err("no value");
        assert_eq!(error.line, 2);
        assert!(Editor::new("[").is_err());
    }
}
