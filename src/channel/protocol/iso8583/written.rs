//! Messages as people write them down, field by field: for golden samples.
//!
//! No message that travels goes through here. Digits and texts are written as they are, bytes in
//! hexadecimal, but for a MAC that is hexadecimal on the wire already.

use crate::codec::iso8583::mac::MacForm;
use crate::codec::iso8583::notation::FieldKind;
use crate::codec::iso8583::{Draft, encode};
use crate::codec::sign::{hex_lower, read_hex};

use super::Iso8583;

/// A message's type and its fields, ascending.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenMessage {
    pub message_type: u16,
    pub fields: Vec<(u8, String)>,
}

impl Iso8583 {
    /// The same adapter, believing answers whose MAC it has not looked at: samples seldom have one.
    /// Such an adapter must never speak to a channel.
    pub fn without_verification(mut self) -> Self {
        self.believes_unproved = true;
        self
    }

    /// A node whose orders are sent here.
    pub fn first_node(&self) -> u16 {
        self.settings.numbering.nodes().first().copied().unwrap_or_default()
    }

    /// The field of MACs; `None` where messages have none.
    pub fn mac_field(&self) -> Option<u8> {
        self.settings.mac.as_ref().map(|mac| mac.rule.field)
    }

    /// Reads a frame, which has its length before it.
    pub fn read_written(&self, frame: &[u8]) -> Result<WrittenMessage, String> {
        let body = frame.get(self.settings.wire.framing.length_bytes()..).unwrap_or_default();
        let (_, message) = self.read_frame(body)?;
        let written = |field| {
            let value = message.value(field)?;
            let bytes = || hex_lower(value.bytes()).to_uppercase();
            Some((field, if self.is_hexadecimal(field) { bytes() } else { value.text() }))
        };
        let fields = message.fields().filter_map(written).collect();
        Ok(WrittenMessage { message_type: message.message_type(), fields })
    }

    /// The frame that the other side would send for it, without its length. A MAC is put in as it
    /// is written, never made.
    pub fn compose(&self, written: &WrittenMessage) -> Result<Vec<u8>, String> {
        let mut draft = Draft::new(written.message_type);
        for (field, text) in &written.fields {
            if self.is_hexadecimal(*field) {
                let bytes = read_hex(text).ok_or(format!("field {field} is not hexadecimal"))?;
                draft.put(*field, &bytes);
            } else {
                draft.put(*field, text.as_bytes());
            }
        }
        let wire = &self.settings.wire;
        let header = wire.header.answered();
        let mut out = Vec::with_capacity(512);
        header.write(&mut out);
        encode(&wire.format, &draft, &mut out).map_err(|error| error.to_string())?;
        header.finish(&mut out, 0, wire.header_counts_itself);
        Ok(out)
    }

    fn is_hexadecimal(&self, field: u8) -> bool {
        let spec = self.settings.wire.format.field(field);
        let is_mac_text = self
            .settings
            .mac
            .as_ref()
            .is_some_and(|mac| mac.rule.field == field && mac.rule.form == MacForm::HexHalf);
        spec.is_some_and(|spec| spec.kind == FieldKind::Binary) && !is_mac_text
    }
}
