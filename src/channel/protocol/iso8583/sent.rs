//! A request as it was sent, in words.
//!
//! Upholds I-11 by field number: of the card nothing but its masked number is shown, and a field
//! that is not known to be harmless is named without its value.

use std::fmt::Write as _;

use crate::channel::ChannelRequest;
use crate::channel::protocol::transcript::{cut_words, signature_shown};
use crate::channel::transport::tcp::FrameMac;
use crate::codec::iso8583::FIELD_MAX;
use crate::codec::iso8583::mac::MacForm;
use crate::codec::sign::hex_lower;
use crate::domain::card::mask;
use crate::domain::time::Timestamp;

use super::Iso8583;
use super::request::has_mac;

/// The card's number.
const CARD_NUMBER: u8 = 2;
/// Fields that are shown whole. Not among them: expiry (14), tracks (35, 36, 45), PIN (52), chip
/// data (55), and what an acquirer may put anything into.
const SHOWN_FIELDS: [u8; 22] =
    [3, 4, 7, 11, 12, 13, 15, 18, 22, 25, 32, 33, 37, 38, 39, 41, 42, 49, 60, 61, 63, 90];

impl Iso8583 {
    pub(super) fn words_of(
        &self,
        request: &ChannelRequest,
        at: Timestamp,
        mac: Option<&FrameMac>,
    ) -> String {
        let mut draft = match self.draft_request(request, at) {
            Ok(drafted) => drafted.draft,
            Err(problem) => return format!("not to be shown: {problem}"),
        };
        draft.keep(self.settings.wire.format.listed());
        let mut words = format!("{:04}", draft.message_type());
        for field in CARD_NUMBER..=FIELD_MAX {
            let Some(plain) = draft.get(field) else { continue };
            let text = String::from_utf8_lossy(plain);
            let shown = match field {
                CARD_NUMBER => mask(&text),
                _ if SHOWN_FIELDS.contains(&field) => text.trim_end().to_owned(),
                _ => "***".to_owned(),
            };
            let _ = write!(words, " {field}={shown}");
        }
        if let (Some(rule), Some(mac)) = (self.settings.mac.as_ref().map(|mac| mac.rule), mac)
            && has_mac(draft.message_type())
        {
            let text = match rule.form {
                MacForm::HexHalf => String::from_utf8_lossy(mac).into_owned(),
                MacForm::Raw => hex_lower(mac).to_uppercase(),
            };
            let shown = signature_shown(&text, request.echo().is_none());
            let _ = write!(words, " {}={shown}", rule.field);
        }
        cut_words(words)
    }
}
