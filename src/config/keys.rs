//! The keys that readers ask a file for, by section, with each reader's demands.
//!
//! Kept while a file is read, so that a test can hold the manual's tables against the readers.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

/// A reader's demands on a key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Need {
    pub is_required: bool,
    /// The values without the key, as a file would write them. Readers may differ.
    pub defaults: BTreeSet<String>,
    /// The key names a section, or a list of sections.
    pub is_section: bool,
}

/// KeyRecord and what is said of them, by the path of their section's head, such as `http.sign`.
pub type NeedsByHead = BTreeMap<String, BTreeMap<String, Need>>;

#[derive(Debug, Default)]
pub struct KeyRecord {
    needs: RefCell<NeedsByHead>,
    /// Sections whose keys are the file's own.
    free: RefCell<BTreeSet<String>>,
}

impl KeyRecord {
    pub(super) fn note(&self, head: &str, key: &str, say: impl FnOnce(&mut Need)) {
        let mut needs = self.needs.borrow_mut();
        say(needs.entry(head.to_owned()).or_default().entry(key.to_owned()).or_default());
    }

    pub(super) fn note_free(&self, head: &str) {
        self.free.borrow_mut().insert(head.to_owned());
    }

    /// Every key that was asked for, but for those that a file makes up, such as codes.
    pub fn needs(&self) -> NeedsByHead {
        let free = self.free.borrow();
        let is_free = |head: &str| {
            free.iter().any(|one| {
                head.strip_prefix(one).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            })
        };
        let needs = self.needs.borrow().clone();
        needs.into_iter().filter(|(head, _)| !is_free(head)).collect()
    }
}
