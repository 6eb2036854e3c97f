//! Our order number as a channel wants it: with texts of the file before and behind it.

use std::fmt::Write as _;

use crate::domain::ids::{ChannelOrderNo, ORDER_ID_DIGITS};

use super::parts::{TemplatePart, split};

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
    pub fn parse(text: &str) -> Result<Self, String> {
        let parts = split(text).map_err(|mistake| mistake.problem)?;
        let mut form = Self::default();
        let mut is_there = false;
        for part in parts {
            match part {
                TemplatePart::Expression("order_no") if !is_there => is_there = true,
                TemplatePart::Expression(_) => return Err("has another word".to_owned()),
                TemplatePart::Literal(text) if is_there => text.clone_into(&mut form.after),
                TemplatePart::Literal(text) => text.clone_into(&mut form.before),
            }
        }
        let fits =
            |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
        if !is_there {
            return Err("has no {{ order_no }}".to_owned());
        }
        if fits(&form.before) && fits(&form.after) {
            Ok(form)
        } else {
            Err("has signs that are neither letters, digits nor one of - _ .".to_owned())
        }
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
        for other in ["261122001000000000201", "SW261122001000000000201", "SW00", ""] {
            assert_eq!(form.read(other), None, "{other}");
        }
        for wrong in ["", "SW", "{{ order_no }}{{ order_no }}", "{{ amount }}", "a {{ order_no }}"]
        {
            assert!(OrderForm::parse(wrong).is_err(), "{wrong}");
        }
    }
}
