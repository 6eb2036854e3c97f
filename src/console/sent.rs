//! The forms that a session has sent, and where each has led.

use std::sync::{Arc, Mutex, PoisonError};

/// The name of the field that tells one form that was laid out from every other.
pub const ONCE: &str = "once";
/// The length of its value: 16 bytes in hexadecimal digits.
pub const MARK_LENGTH: usize = 32;
/// Forms of a session that are remembered; past it the one that was sent longest ago is not.
const FORMS_MAX: usize = 256;

/// In an answer: the form was carried out, and what became of it stands at this path.
#[derive(Debug, Clone)]
pub struct LedTo(pub String);

/// A form's mark, and the path that it was sent to.
type FormKey = (String, String);
/// Where a form has led, once it is carried out. It is held for as long as that takes.
type FormEnd = Arc<tokio::sync::Mutex<Option<String>>>;

/// The forms that a session has sent.
#[derive(Debug, Default)]
pub struct SentForms(Mutex<Vec<(FormKey, FormEnd)>>);

impl SentForms {
    /// The end of this form, which whoever carries it out holds meanwhile.
    pub fn of(&self, key: FormKey) -> FormEnd {
        let mut sent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, end)) = sent.iter().find(|(known, _)| *known == key) {
            return Arc::clone(end);
        }
        if sent.len() >= FORMS_MAX {
            sent.remove(0);
        }
        let end = FormEnd::default();
        sent.push((key, Arc::clone(&end)));
        end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forms_that_are_remembered_are_bounded() {
        let sent = SentForms::default();
        let key = |nth: usize| (nth.to_string(), "/console".to_owned());
        *sent.of(key(0)).try_lock().expect("nobody holds it") = Some("there".to_owned());
        let known = || sent.of(key(0)).try_lock().expect("nobody holds it").is_some();
        (1..FORMS_MAX).for_each(|nth| drop(sent.of(key(nth))));
        assert!(known());
        sent.of(key(FORMS_MAX));
        assert_eq!(sent.0.lock().expect("sound").len(), FORMS_MAX);
        assert!(!known(), "the oldest is forgotten");
    }
}
