//! What a rehearsal needs of the protocol: everything that the channel can say, and messages as
//! people may see them.
//!
//! The tables of codes are the adapter's; how they apply is written a second time. No message that
//! travels goes through here.

use zeroize::Zeroizing;

use super::UnionPayAcp;
use super::codes::{CodeTables, InquiryAnswer};
use super::request::TransactionType;
use super::transcript::{IDENTIFIERS, without_card_data};
use crate::channel::protocol::said::{Saying, ToldMeaning, words_of, yeses_first};
use crate::channel::{AttemptFacts, ChannelRequest};
use crate::codec::FieldLimits;
use crate::codec::acp;
use crate::codec::form::Fields;
use crate::codec::sign::sha256_hex;
use crate::domain::card_service::CardService;

/// The code with which an inquiry is answered.
const ANSWERED: &str = "00";
/// How an inquiry itself ends without that: no such transaction, a busy system, asked too often.
/// Whatever other code it has says as little of what was asked about as the last two.
const UNANSWERED: [&str; 3] = ["34", "06", "37"];

/// One message of UnionPay's as people may see it.
pub struct AcpShown {
    /// Its fields, one a line, without card data.
    pub body: String,
    /// The text that its signature covers, without card data.
    pub signed_text: String,
    /// SHA-256 of that text as it was signed.
    pub signed_sha256: String,
    /// Long digits in it that are no card number.
    pub identifiers: Vec<String>,
}

impl AcpShown {
    /// A request's or notice's form. `None` for what is none.
    pub fn of_form(body: &[u8]) -> Option<Self> {
        Fields::decode_form(body, FieldLimits::MESSAGE).ok().as_ref().map(Self::of)
    }

    /// A reply's line. `None` for what is none.
    pub fn of_line(body: &[u8]) -> Option<Self> {
        let fields = Fields::decode_line(body, FieldLimits::MESSAGE).ok()?;
        (!fields.is_empty()).then(|| Self::of(&fields))
    }

    fn of(fields: &Fields) -> Self {
        let signed: Zeroizing<String> = acp::signed_text(fields);
        let shown = without_card_data(fields);
        let lines = shown.iter().map(|(key, value)| format!("{key}={value}"));
        let identifiers = IDENTIFIERS.iter().filter_map(|key| fields.get(key)).map(str::to_owned);
        Self {
            body: lines.collect::<Vec<_>>().join("\n"),
            signed_text: acp::signed_text(&shown).to_string(),
            signed_sha256: sha256_hex(signed.as_bytes()),
            identifiers: identifiers.collect(),
        }
    }
}

impl UnionPayAcp {
    /// Everything that the reply to a request can say, yeses first; nothing where the protocol has
    /// no such request.
    pub fn vocabulary(&self, request: &ChannelRequest) -> Vec<Saying> {
        if TransactionType::of(request).is_err() {
            return Vec::new();
        }
        match request {
            ChannelRequest::Charge { facts, .. } | ChannelRequest::FollowUp { facts, .. } => {
                words_of(self.codes.reply(facts.operation))
            }
            ChannelRequest::Reversal { .. } => words_of(self.codes.reversal()),
            ChannelRequest::Inquiry { facts, .. } => {
                Self::inquiry_words(words_of(self.codes.end(facts.operation)))
            }
            ChannelRequest::Service { facts, .. } => {
                let words = words_of(self.codes.service());
                match facts.service {
                    CardService::AgreementInquiry => Self::inquiry_words(words),
                    CardService::Verification
                    | CardService::AgreementCode
                    | CardService::AgreementConfirmation
                    | CardService::AgreementEnd
                    | CardService::PaymentCode => words,
                }
            }
        }
    }

    /// Everything that a notice can say of an attempt, yeses first.
    pub fn notice_vocabulary(&self, about: &AttemptFacts) -> Vec<Saying> {
        words_of(self.codes.end(about.operation))
    }

    /// What an inquiry can be answered with: the end of what it asks about beside the code that
    /// says that it is answered, and codes that say nothing of it.
    fn inquiry_words(ends: Vec<Saying>) -> Vec<Saying> {
        let told = ends.into_iter().map(|end| Saying {
            code: Some(ANSWERED.to_owned()),
            result: end.code,
            ..Saying::plain(None, end.means)
        });
        let own = UNANSWERED.into_iter().filter_map(|code| {
            let means = match CodeTables::inquiry(code) {
                InquiryAnswer::Answered => return None,
                InquiryAnswer::NotFound => ToldMeaning::NotFound,
                InquiryAnswer::Failed => ToldMeaning::Unclear,
            };
            Some(Saying::plain(Some(code.to_owned()), means))
        });
        yeses_first(told.chain(own).collect())
    }
}
