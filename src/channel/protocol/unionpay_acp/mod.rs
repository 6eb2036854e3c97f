//! UnionPay's online platform (银联全渠道, ACP 5.1.0): payments and pre-authorisations without
//! redirect, captures, refunds, voids, reversals, inquiries, notices and statement files.
//!
//! Forms signed with RSA go out; signed `k=v` lines and notices come back. Bytes only: this folder
//! opens no socket, reads no file and no clock, and logs nothing. Upholds I-2 (what is not a
//! verified answer about this very transaction is unknown) and I-11 (card data leaves in the body
//! of a request and stays nowhere else).
//!
//! A reply `00` to what moves or holds money only means *accepted*: the end comes by notice or
//! inquiry.

pub mod codes;
pub mod rehearsal;
pub mod section;
pub mod settings;

mod card_data;
mod identity;
mod reply;
mod request;
mod statement;
mod trust;
mod transcript;

#[cfg(test)]
mod tests;

use std::fmt;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue};

use crate::channel::certificates::CertificateTerm;
use crate::channel::fetched::CredentialSupply;
use crate::channel::first::FirstRequest;
use crate::channel::statement::StatementSource;
use crate::channel::{
    Adapter, ChannelRequest, EncodeError, Notice, NoticeRefusal, ReplyMeaning, SentStamp,
    WireNotice, WireReply, WireRequest,
};
use crate::domain::card::words::mask_values;
use crate::domain::time::Timestamp;

use codes::CodeTables;
use identity::{EncryptionIdentity, SigningIdentity};
use settings::{KeyMaterial, MerchantSettings, SettingProblem};

/// One channel that speaks ACP.
pub struct UnionPayAcp {
    settings: MerchantSettings,
    keys: KeyMaterial,
    codes: CodeTables,
    /// For samples only: see [`Self::without_verification`].
    believes_unsigned: bool,
}

impl UnionPayAcp {
    /// Parses every key once. The error lists every problem of the settings.
    pub fn new(mut settings: MerchantSettings) -> Result<Self, Vec<SettingProblem>> {
        let keys = settings::check(&settings)?;
        // The private keys live on in `keys` only; dropping their texts wipes them.
        settings.signing.clear();
        let codes = CodeTables::new(&settings.codes, settings.reversal_reply);
        Ok(Self { settings, keys, codes, believes_unsigned: false })
    }

    /// The same adapter, believing messages whose signature it has not looked at: samples seldom
    /// have one. It must never speak to a channel.
    pub fn without_verification(mut self) -> Self {
        self.believes_unsigned = true;
        self
    }
}

impl fmt::Debug for UnionPayAcp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "UnionPayAcp({})", self.settings.transaction_url)
    }
}

impl Adapter for UnionPayAcp {
    fn encode(&self, request: &ChannelRequest, now: Timestamp) -> Result<WireRequest, EncodeError> {
        self.build(request, now)
    }

    fn decode(&self, request: &ChannelRequest, reply: &WireReply, now: Timestamp) -> ReplyMeaning {
        let understood = self.understand(request, reply, now);
        let transcript = mask_values(&understood.transcript, request.echo());
        ReplyMeaning { transcript, ..understood }
    }

    fn sent_words(&self, request: &ChannelRequest, stamp: &SentStamp) -> String {
        self.words_of(request, stamp)
    }

    fn decode_notice(&self, notice: &WireNotice, now: Timestamp) -> Result<Notice, NoticeRefusal> {
        self.understand_notice(notice, now)
    }

    fn answer_notice(&self, taken: bool) -> WireReply {
        let (status, body) = if taken { (200, "ok") } else { (400, "refused") };
        let plain = HeaderValue::from_static("text/plain; charset=utf-8");
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, plain)]);
        WireReply { status, headers, body: Bytes::from_static(body.as_bytes()) }
    }

    fn certificates(&self) -> Vec<CertificateTerm> {
        let keys = &self.keys;
        let signing = keys.signing.iter().map(SigningIdentity::term);
        let encryption = keys.encryption.iter().map(EncryptionIdentity::term);
        signing.chain(encryption).chain(keys.trust.certificates()).collect()
    }

    fn first_request(&self, _: &ChannelRequest) -> Option<&dyn FirstRequest> {
        None
    }

    fn credential_supply(&self) -> Option<&dyn CredentialSupply> {
        None
    }

    fn statements(&self) -> Option<&dyn StatementSource> {
        self.settings.statement_url.as_ref().map(|_| self as &dyn StatementSource)
    }
}
