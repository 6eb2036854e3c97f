//! Our order number as a channel wants it: with texts of the file before and behind it.

use std::fmt::Write as _;

use crate::domain::ids::{ChannelOrderNo, ORDER_ID_DIGITS};

/// What stands for the number, between double braces.
const NUMBER: &str = "order_no";

/// The digits of a channel order number.
const ORDER_NO_LENGTH: usize = ORDER_ID_DIGITS + 2;

/// The texts around the number; none where the channel takes it as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OrderForm {
    before: String,
    after: String,
}

impl OrderForm {
    /// Reads a text such as `SW{{ order_no }}`. The error says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let (before, rest) = text.split_once("{{").ok_or("has no {{ order_no }}")?;
        let (word, after) = rest.split_once("}}").ok_or("has no {{ order_no }}")?;
        let fits =
            |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
        if word.trim() != NUMBER || after.contains("{{") {
            return Err("has another word, or one twice");
        }
        if fits(before) && fits(after) {
            Ok(Self { before: before.to_owned(), after: after.to_owned() })
        } else {
            Err("has signs that are neither letters, digits nor one of - _ .")
        }
    }

    /// The number inside a text of this form; any other text as it is.
    pub fn strip<'t>(&self, text: &'t [u8]) -> &'t [u8] {
        if self.before.is_empty() && self.after.is_empty() {
            return text;
        }
        let inner = text.strip_prefix(self.before.as_bytes());
        let inner = inner.and_then(|text| text.strip_suffix(self.after.as_bytes()));
        let is_ours = |text: &&[u8]| {
            let text = std::str::from_utf8(text).ok();
            text.and_then(ChannelOrderNo::parse).is_some()
        };
        inner.filter(is_ours).unwrap_or(text)
    }

    pub fn write(&self, number: ChannelOrderNo) -> String {
        let mut text =
            String::with_capacity(self.before.len() + ORDER_NO_LENGTH + self.after.len());
        text.push_str(&self.before);
        write!(text, "{number}").expect("writing to a string cannot fail");
        text.push_str(&self.after);
        text
    }

    /// `None` for what is no number of ours in this form.
    pub fn read(&self, text: &str) -> Option<ChannelOrderNo> {
        let inner = text.strip_prefix(&*self.before)?.strip_suffix(&*self.after)?;
        ChannelOrderNo::parse(inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_goes_out_and_comes_back_in_its_form() {
        let number = ChannelOrderNo::parse("261122001000000000201").expect("a number");
        for text in ["{{ order_no }}", "SW{{ order_no }}", "A-{{order_no}}000"] {
            let form = OrderForm::parse(text).expect("a form");
            assert_eq!(form.read(&form.write(number)), Some(number), "{text}");
        }
        let form = OrderForm::parse("SW{{ order_no }}00").expect("a form");
        assert_eq!(form.write(number), "SW26112200100000000020100");
        assert_eq!(form.strip(b"SW26112200100000000020100"), b"261122001000000000201");
        for other in ["261122001000000000201", "SW261122001000000000201", "SW00", ""] {
            assert_eq!(form.strip(other.as_bytes()), other.as_bytes());
        }
        for other in ["261122001000000000201", "SW261122001000000000201", "SW00", ""] {
            assert_eq!(form.read(other), None, "{other}");
        }
        for wrong in ["", "SW", "{{ order_no }}{{ order_no }}", "{{ amount }}", "a {{ order_no }}"]
        {
            assert!(OrderForm::parse(wrong).is_err(), "{wrong}");
        }
    }
}
