//! Reads the notices that a channel posts, and answers them, as `[http.notice]` and its like say.
//!
//! A notice is believed only if it is signed; what it says of which attempt is compared by whoever
//! knows the attempt. Never panics on what came.

use std::sync::Arc;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue};

use super::document::{ChannelAnswer, MessageBody};
use super::encrypt::Decryption;
use super::format::BodyForm;
use super::path::Path;
use super::reply::{ReplyMap, required};
use super::sign::{Received, RequestLine, Verification};
use crate::channel::protocol::amount::WrittenAmount;
use crate::channel::protocol::transcript::keep_words;
use crate::channel::{Notice, NoticeRefusal, ReplyMeaning, WireNotice, WireReply};
use crate::codec::order_form::OrderForm;
use crate::domain::card::words::CardEcho;
use crate::domain::money::Currency;
use crate::domain::outcome::{Objection, Outcome};
use crate::domain::time::Timestamp;

/// How one kind of notice is told from others and read.
#[derive(Debug)]
pub struct NoticeMap {
    /// The section that describes it.
    pub section: &'static str,
    /// Each path must find one of its texts; none at all fits every notice.
    pub when: Vec<(Path, Vec<String>)>,
    pub map: ReplyMap,
}

/// The answer that a channel wants after a notice.
#[derive(Debug)]
pub struct NoticeAnswer {
    pub taken: String,
    pub refused: String,
    pub refused_status: u16,
    pub content_type: HeaderValue,
}

impl NoticeAnswer {
    pub fn write(&self, taken: bool) -> WireReply {
        let (status, body) =
            if taken { (200, &self.taken) } else { (self.refused_status, &self.refused) };
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, self.content_type.clone())]);
        WireReply { status, headers, body: Bytes::copy_from_slice(body.as_bytes()) }
    }
}

/// Everything about a channel's notices.
#[derive(Debug)]
pub struct Notices {
    pub form: BodyForm,
    pub kinds: Vec<NoticeMap>,
    /// Where the notices' content is encrypted; paths of a kind's `map` are the content's then.
    pub decryption: Option<Arc<Decryption>>,
    pub order_form: OrderForm,
    pub verification: Arc<Verification>,
    pub answer: NoticeAnswer,
}

impl Notices {
    /// The kind that tells of an operation: its own, or the one for all.
    pub fn kind_for(&self, operation: &str) -> Option<&NoticeMap> {
        let own =
            self.kinds.iter().find(|kind| kind.section.strip_suffix("_notice") == Some(operation));
        own.or_else(|| self.kinds.iter().find(|kind| kind.section == "notice"))
    }

    pub fn read(&self, notice: &WireNotice, now: Timestamp) -> Result<Notice, NoticeRefusal> {
        let unreadable = NoticeRefusal::Unreadable;
        let body = MessageBody::parse(&notice.body, self.form)
            .map_err(|_| unreadable("the body is not of the channel's format"))?;
        let received = Received {
            headers: &notice.headers,
            body: &notice.body,
            document: Some(&body),
            member: None,
            now,
            line: RequestLine::default(),
        };
        self.verification
            .prove(&received)
            .map_err(|problem| NoticeRefusal::BadSignature(Objection::new(problem)))?;
        let outer = ChannelAnswer { body, status: None };
        let kind = self.kinds.iter().find(|kind| kind.fits(&outer));
        let kind = kind.ok_or(unreadable("it is of no kind that the channel's file describes"))?;
        let (inner, text);
        let (content, shown) = match &self.decryption {
            None => (&outer, &notice.body[..]),
            Some(decryption) => {
                text = decryption
                    .open_in(&outer)
                    .ok_or(unreadable("what is encrypted in it cannot be opened"))?;
                let body = MessageBody::parse(&text, self.form)
                    .map_err(|_| unreadable("what was encrypted is not of the format"))?;
                inner = ChannelAnswer { body, status: None };
                (&inner, &text[..])
            }
        };
        let order_no = required(content, kind.map.order_no.as_ref());
        let order_no = order_no.ok().flatten().and_then(|text| self.order_form.read(&text));
        let channel_order_no = order_no.ok_or(NoticeRefusal::UnknownOrder)?;
        let amount = match &kind.map.amount {
            Some(path) => content.text(path).map_err(|_| unreadable("its amount is no text"))?,
            None => None,
        };
        let amount = amount
            .map(|text| WrittenAmount::read(&text, kind.map.amount_form))
            .map(|amount| amount.ok_or(unreadable("its amount is no amount")))
            .transpose()?;
        let currency = match &kind.map.currency {
            Some(path) => content.text(path).map_err(|_| unreadable("its currency is no text"))?,
            None => None,
        };
        let currency = currency
            .map(|code| Currency::parse_any(&code))
            .map(|currency| currency.ok_or(unreadable("its currency is unknown here")))
            .transpose()?;
        let outcome = kind.map.outcome(content, None);
        let reference = outcome.as_ref().ok().and_then(Outcome::reference);
        let known: Vec<&str> = reference.into_iter().collect();
        let transcript = keep_words(shown, CardEcho::NONE, &known);
        let understood = match outcome {
            Ok(outcome) => ReplyMeaning::new(outcome, transcript),
            Err(objection) => objection.into_meaning(transcript),
        };
        Ok(Notice { channel_order_no, amount, currency, sent_at_text: None, understood })
    }
}

impl NoticeMap {
    fn fits(&self, document: &ChannelAnswer) -> bool {
        self.when.iter().all(|(path, texts)| {
            let found = document.text(path).ok().flatten();
            found.is_some_and(|found| texts.iter().any(|text| *text == *found))
        })
    }
}
