//! URLs in settings.

use crate::config::section::Section;

/// An http or https URL, or nothing for an empty text.
pub(super) fn read(section: &Section<'_>, key: &str) -> Option<String> {
    let url = section.text_or(key, "");
    if url.is_empty() {
        return None;
    }
    if !(url.starts_with("https://") || url.starts_with("http://")) {
        let advice = "write https://host/path, or leave it empty";
        section.mistake(key, "is not an http or https URL", advice);
    }
    Some(url)
}
