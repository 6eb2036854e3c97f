//! The far end of a link, told what to say.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::domain::money::AmountMinor;
use crate::domain::time::{ClearingCalendar, Timestamp};
use crate::simulator::dialect::ReplyForm;
use crate::simulator::dialect::iso8583::{
    BAD_AMOUNT, DUPLICATE, Iso8583FarEnd, LinkOperation, LinkRequest, LinkResult, MAC_FAILED,
    NO_ORIGINAL,
};
use crate::simulator::settings::Iso8583Settings;

use super::{VoiceRefusal, VoiceWords};

/// What is no message, or says of its original what that was not.
const FORMAT: &str = "30";

/// See the head of this file.
pub struct LinkVoice {
    far_end: Arc<Iso8583FarEnd>,
    /// By whose wall clock answers are dated.
    calendar: ClearingCalendar,
    heard: Mutex<HashMap<String, HeardTransaction>>,
}

/// A request that was read and proved.
pub struct LinkHeard {
    call: LinkRequest,
    trace: u64,
}

struct HeardTransaction {
    operation: LinkOperation,
    amount: AmountMinor,
    trace: u64,
}

impl LinkVoice {
    pub fn new(settings: &Iso8583Settings, calendar: ClearingCalendar) -> Self {
        let far_end = Arc::new(Iso8583FarEnd::new(settings));
        Self { far_end, calendar, heard: Mutex::default() }
    }

    /// The same far end with the keys that it has given out, which has heard of no transaction yet.
    #[must_use]
    pub fn afresh(&self) -> Self {
        let (far_end, calendar) = (Arc::clone(&self.far_end), self.calendar.clone());
        Self { far_end, calendar, heard: Mutex::default() }
    }

    fn heard(&self) -> MutexGuard<'_, HashMap<String, HeardTransaction>> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads a frame, without its length, and remembers its transaction.
    pub fn hear(&self, frame: &[u8]) -> Result<LinkHeard, VoiceRefusal> {
        let refused = |code, words| VoiceRefusal { code, words };
        let call = self.far_end.read(frame);
        let call = call.ok_or_else(|| refused(FORMAT, "it is no message of this link"))?;
        if !call.proved {
            return Err(refused(MAC_FAILED, "its MAC is made with another key"));
        }
        let mut heard = self.heard();
        if call.is_of_network() {
            return Ok(LinkHeard { call, trace: 0 });
        }
        if call.is_reversal() {
            let known = heard.get(&call.name);
            if known.is_some_and(|known| !call.describes(known.operation, known.amount)) {
                return Err(refused(FORMAT, "its original was another transaction"));
            }
            let trace = known.map_or(0, |known| known.trace);
            return Ok(LinkHeard { call, trace });
        }
        let (Some(amount), Some(_)) = (call.amount, call.currency) else {
            return Err(refused(BAD_AMOUNT, "it has no amount in a currency"));
        };
        if heard.contains_key(&call.name) {
            return Err(refused(DUPLICATE, "its number was used before"));
        }
        match call.operation {
            LinkOperation::Sale | LinkOperation::Preauth => {}
            LinkOperation::Capture | LinkOperation::Void | LinkOperation::Refund => {
                let original = call.original.as_ref().and_then(|name| heard.get(name));
                original.ok_or_else(|| refused(NO_ORIGINAL, "its original is not known"))?;
            }
        }
        let (operation, trace) = (call.operation, heard.len() as u64 + 1);
        heard.insert(call.name.clone(), HeardTransaction { operation, amount, trace });
        Ok(LinkHeard { call, trace })
    }

    /// Writes the answer to a request, with its length.
    pub fn answer(&self, heard: &LinkHeard, words: &VoiceWords<'_>, now: Timestamp) -> Vec<u8> {
        let is_about_money = !heard.call.is_of_network() && !heard.call.is_reversal();
        let said = LinkResult {
            code: Cow::Owned(words.code.to_owned()),
            trace: heard.trace,
            settles: is_about_money.then_some(words.settle_date),
        };
        let form = if words.is_forged { ReplyForm::BadSignature(0) } else { ReplyForm::Honest };
        let at = now.civil(&self.calendar.zone);
        self.far_end.write(at, &heard.call, &said, form)
    }
}

impl LinkHeard {
    /// The far end's own number of the transaction: its retrieval reference, and the authorisation
    /// code behind a dash.
    pub fn reference(&self) -> String {
        format!("{:012}-{:06}", self.trace, self.trace % 1_000_000)
    }
}
