//! A channel's file with the keys of the file that it is like.
//!
//! `like` names one other file, whose keys hold where this one has none. What runs, is kept and is
//! published is the whole text, so nothing but this reader knows of two files. A mistake is still
//! told where it was written.

use std::path::Path;

use crate::config::editor::Editor;
use crate::config::mistake::{Mistake, Mistakes};
use crate::config::raw::Document;
use crate::config::section::Section;

const LIKE: &str = "like";

/// A channel's file as it stands for itself.
pub struct WholeFile {
    /// The file's name in mistakes.
    pub name: String,
    /// The text without `like`, with every key of the other file.
    pub text: String,
    /// The same, where each key knows its file and line.
    pub document: Document,
    /// The files that it is made of with their texts, its own first.
    pub sources: Vec<(String, String)>,
}

impl WholeFile {
    /// Reads the file at this path, and the one that it is like.
    pub fn read(path: &Path) -> Result<Self, Vec<Mistake>> {
        let name = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|error| {
            let problem = format!("cannot be read: {error}");
            vec![Mistake::new(&name, 0, "", &problem, "check the path, and the file's rights")]
        })?;
        let document = Document::parse(&name, &text)?;
        let mistakes = Mistakes::new();
        let root = document.root(&mistakes);
        let Some(like) = root.optional_text(LIKE) else {
            drop(root);
            mistakes.into_result()?;
            let sources = vec![(name.clone(), text.clone())];
            return Ok(Self { name, text, document, sources });
        };
        let other = path.parent().unwrap_or(Path::new(".")).join(like);
        let below = std::fs::read_to_string(&other).inspect_err(|error| {
            let problem = format!("{} cannot be read: {error}", other.display());
            root.mistake(LIKE, &problem, "name a file, from this file's own folder");
        });
        drop(root);
        mistakes.into_result()?;
        let sources = vec![(name, text), (other.display().to_string(), below.unwrap_or_default())];
        Self::laid(sources, document)
    }

    /// Lays the first of two texts, as it was parsed, over the second.
    fn laid(sources: Vec<(String, String)>, own: Document) -> Result<Self, Vec<Mistake>> {
        let [(name, text), (other, below)] = &sources[..] else {
            unreachable!("a file that is like another one has two texts");
        };
        let document = own.without(LIKE).over(Document::parse(other, below)?);
        let whole = Editor::new(below).and_then(|mut editor| {
            editor.lay(text)?;
            editor.remove(&[], LIKE);
            Ok(editor.to_string())
        });
        let text = whole.map_err(|error| {
            let advice = "correct the TOML syntax";
            vec![Mistake::new(name, 0, LIKE, &error.to_string(), advice)]
        })?;
        Ok(Self { name: name.clone(), text, document, sources })
    }
}

/// Refuses what [`WholeFile::read`] leaves: the `like` of a file that another one is like.
pub(super) fn refuse_chain(root: &Section<'_>) {
    if root.optional_text(LIKE).is_some() {
        let problem = "another file is like this one, which then has no `like` of its own";
        root.mistake(LIKE, problem, "name the file that has the keys");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(own: &str, below: &str) -> WholeFile {
        let sources =
            [("own.toml", own), ("below.toml", below)].map(|(n, t)| (n.to_owned(), t.to_owned()));
        let document = Document::parse("own.toml", own).expect("TOML");
        WholeFile::laid(sources.into(), document).unwrap_or_else(|found| panic!("{found:?}"))
    }

    /// The text of a whole file has what its document has, and nothing else.
    fn assert_same(found: &WholeFile) {
        let again = Document::parse("whole.toml", &found.text);
        let again = again.unwrap_or_else(|wrong| panic!("{wrong:?}\n{}", found.text));
        let mistakes = Mistakes::new();
        let (one, other) = (found.document.root(&mistakes), again.root(&mistakes));
        let keys = |root: &Section<'_>| {
            let mut keys: Vec<String> =
                root.keys().into_iter().map(|(key, _)| key.to_owned()).collect();
            keys.sort();
            keys
        };
        assert_eq!(keys(&one), keys(&other), "{}", found.text);
        for key in keys(&one) {
            let sorted = |root: &Section<'_>| root.value(&key).map(sorted);
            assert_eq!(sorted(&one), sorted(&other), "{key} of\n{}", found.text);
        }
    }

    /// Where a key stands among the others says nothing.
    fn sorted(tree: crate::config::raw::Tree) -> crate::config::raw::Tree {
        use crate::config::raw::Tree;
        match tree {
            Tree::Table(mut entries) => {
                entries.sort_by(|left, right| left.0.cmp(&right.0));
                Tree::Table(entries.into_iter().map(|(key, tree)| (key, sorted(tree))).collect())
            }
            Tree::List(trees) => Tree::List(trees.into_iter().map(sorted).collect()),
            Tree::Text(_) | Tree::Integer(_) | Tree::Boolean(_) => tree,
        }
    }

    #[test]
    fn tables_are_joined_key_by_key_and_everything_else_is_replaced() {
        let below =
            "a = 1\nlist = [1, 2]\n[t]\nx = 1\ny = { p = 1, q = 2 }\n[[fees]]\nname = \"a\"\n";
        let own = "like = \"below.toml\"\nb = 2\nlist = [3]\n[t]\ny = { q = 3 }\n\
                   [[fees]]\nname = \"b\"\n";
        let found = whole(own, below);
        assert_same(&found);
        let expected =
            "a = 1\nlist = [3]\nb = 2\n[t]\nx = 1\ny = { p = 1, q = 3 }\n[[fees]]\nname = \"b\"\n";
        assert_eq!(found.text, expected);
    }

    #[test]
    fn however_tables_are_written_the_text_has_all_of_them() {
        let below = "# Bank.\nh.a = 1 # one\nh.b = { c = 1, d = { e = 1 } }\n[s.t]\nu = 1\n\
                     [[s.list]]\nv = 1\n[s.list.w]\nx = 1\n[z]\n";
        for own in [
            "h = { b = { d.e = 2 } }",
            "[h.b.d] # here\n# a comment\ne = 2 # two\nf = [ # many\n 1,\n]\n[h.b.g]\ni = 3\n",
            "h.b.x.y = 1\ns.t.u = 2\ns.k = 1\n",
            "[s]\nk = 1 # one\n# above\nlist = [{ v = 2 }]\n[z.y.x]\na = 1\n",
            "[[s.list]]\nv = 2\n[s.list.w]\nx = 2\n[[s.list]]\n[h.q]\nr = 1\n",
            "z = { a = { b = 1 } } # end",
        ] {
            assert_same(&whole(own, below));
        }
    }

    #[test]
    fn every_shipped_file_may_be_like_every_other() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("channels");
        let texts: Vec<String> = std::fs::read_dir(folder)
            .expect("a folder")
            .map(|entry| entry.expect("an entry").path())
            .filter(|path| path.extension().is_some_and(|ending| ending == "toml"))
            .map(|path| std::fs::read_to_string(path).expect("a file"))
            // A file that is like another one leads no further.
            .filter(|text| {
                let mut top = text.lines().take_while(|line| !line.starts_with('['));
                !top.any(|line| line.starts_with("like = "))
            })
            .collect();
        assert!(texts.len() > 5);
        for own in &texts {
            for below in &texts {
                assert_same(&whole(own, below));
            }
        }
    }
}
