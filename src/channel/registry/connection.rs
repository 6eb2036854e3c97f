//! A channel's adapter joined with the transport that carries what it writes: HTTP or TCP links.
//!
//! The registry knows channels; this file knows which kind of transport each of them needs, and
//! nothing of pace, breakers or reloads.

use std::sync::Arc;

use crate::channel::certificates::CertificateTerm;
use crate::channel::file::ChannelFile;
use crate::channel::protocol::ProtocolAdapter;
use crate::channel::protocol::iso8583::Iso8583;
use crate::channel::protocol::transcript::mask_reference;
use crate::channel::statement::{self, StatementLink};
use crate::channel::transport::http::{HttpTransport, Timeouts, TransportFailure};
use crate::channel::transport::tcp::{LinkContext, LinkProtocol, TcpTransport};
use crate::channel::{
    Adapter, ChannelRequest, EncodeError, LinkAdapter, ReplyMeaning, SentStamp, fetched, first,
};
use crate::clock::Timekeeper;
use crate::config::section::Section;
use crate::domain::card::words::mask_values;
use crate::domain::outcome::Outcome;

/// A channel that can be asked.
pub struct Connection {
    pub spoken: AdapterLine,
    pub statements: Option<Arc<StatementLink>>,
    /// The configured roots that its TLS certificate must chain to.
    pub tls_terms: Vec<CertificateTerm>,
}

impl Connection {
    /// Every certificate that the channel works with, as far as it is known now.
    pub fn certificates(&self) -> Vec<CertificateTerm> {
        let adapter = self.spoken.http_adapter();
        let own = adapter.map(|adapter| adapter.certificates()).unwrap_or_default();
        own.into_iter().chain(self.tls_terms.iter().cloned()).collect()
    }
}

/// An adapter with the transport that carries what it writes.
pub enum AdapterLine {
    Http { adapter: Arc<dyn Adapter>, transport: HttpTransport },
    Links { adapter: Arc<dyn LinkAdapter>, transport: TcpTransport },
}

impl AdapterLine {
    /// A failure before anything could leave is an [`EncodeError`]; any other is an outcome.
    pub async fn exchange(
        &self,
        request: &ChannelRequest,
        clock: &Timekeeper,
    ) -> Result<ReplyMeaning, EncodeError> {
        let failed =
            |failure: TransportFailure| ReplyMeaning::new(failure.outcome(), String::new());
        Ok(match self {
            Self::Http { adapter, transport } => {
                let credential = match fetched::ready(&**adapter, transport, clock).await {
                    Ok(credential) => credential,
                    Err(cause) => {
                        return Ok(ReplyMeaning::new(Outcome::NotSent(cause), String::new()));
                    }
                };
                let before = adapter.first_request(request);
                let brought = match before {
                    None => None,
                    Some(before) => {
                        let line = (transport, clock);
                        // Rare, and long: it does not lie in the future of every call.
                        match Box::pin(first::bring(before, line, &credential, request)).await? {
                            Ok(brought) => Some((before, brought)),
                            Err(ended) => return Ok(ended),
                        }
                    }
                };
                let at = clock.now();
                let mut wire = match brought {
                    None => adapter.encode(request, at)?,
                    Some((before, brought)) => before.encode_second(request, brought, at)?,
                };
                let stamp = SentStamp { at, signature: std::mem::take(&mut wire.signature) };
                let reply = transport.send(wire).await;
                let understood = reply.map_or_else(failed, |reply| {
                    credential.heard(&reply);
                    let understood = adapter.decode(request, &reply, clock.now());
                    mask_reference(understood, request)
                });
                understood.telling_sent(request, || adapter.sent_words(request, &stamp))
            }
            Self::Links { adapter, transport } => {
                // The sign-on of a link may bring the key that the frame is sealed with.
                if let Err(failure) = transport.ready().await {
                    return Ok(failed(failure));
                }
                let at = clock.now();
                let (frame, asked) = adapter.encode_frame(request, at)?;
                let (asked, mac) = (Arc::new(asked), frame.mac);
                let reply = transport.send(frame, Arc::clone(&asked)).await;
                // Another node may have signed on since; what it has brought seals the answer. One
                // that cannot be read leaves the answer to the keys that are known.
                let _ = transport.learn_keys().await;
                let understood = reply.map_or_else(failed, |reply| {
                    let understood = adapter.decode_frame(&asked, &reply, clock.now());
                    // The question says nothing of the card, so the card's echoes are still there.
                    let transcript = mask_values(&understood.transcript, request.echo());
                    mask_reference(ReplyMeaning { transcript, ..understood }, request)
                });
                understood.telling_sent(request, || {
                    let words = adapter.sent_words(request, at, mac.as_ref());
                    format!("{}\n{words}", transport.addresses().join(" "))
                })
            }
        })
    }

    /// Whether another request goes before this one.
    pub fn asks_twice(&self, request: &ChannelRequest) -> bool {
        match self {
            Self::Http { adapter, .. } => adapter.first_request(request).is_some(),
            Self::Links { .. } => false,
        }
    }

    pub const fn links(&self) -> Option<&TcpTransport> {
        match self {
            Self::Http { .. } => None,
            Self::Links { transport, .. } => Some(transport),
        }
    }

    pub const fn http_adapter(&self) -> Option<&Arc<dyn Adapter>> {
        match self {
            Self::Http { adapter, .. } => Some(adapter),
            Self::Links { .. } => None,
        }
    }
}

/// Joins what a file built with its transport. Nothing is connected before the first request. A
/// mistake goes to the section.
pub fn connect(
    built: ProtocolAdapter,
    root: &Section<'_>,
    file: &ChannelFile,
    tls: rustls::ClientConfig,
    common: LinkContext,
) -> Connection {
    match built {
        ProtocolAdapter::Http(adapter) => {
            let clock = &common.clock;
            let statements = statement_link(root, file, &adapter, tls.clone(), clock);
            let statements = statements.map(Arc::new);
            let transport = HttpTransport::new(file.timeouts, tls).heard_by(clock.clone());
            let (spoken, tls_terms) = (AdapterLine::Http { adapter, transport }, Vec::new());
            Connection { spoken, statements, tls_terms }
        }
        ProtocolAdapter::Links(read) => {
            if file.statement.as_ref().is_some_and(|terms| terms.download_at.is_some()) {
                let advice = "remove statement.download_at; upload what the acquirer sends";
                root.mistake("statement", "links bring no statements", advice);
            }
            let adapter = Arc::new(read.adapter);
            let tls = read.tls_name.map(|name| (Arc::new(tls), name));
            let protocol: Arc<dyn LinkProtocol> = Arc::<Iso8583>::clone(&adapter);
            let transport = TcpTransport::new(protocol, read.links, file.timeouts, tls, common);
            let spoken = AdapterLine::Links { adapter, transport };
            Connection { spoken, statements: None, tls_terms: Vec::new() }
        }
    }
}

/// The way to a channel's statements, where its file has a section for them.
fn statement_link(
    root: &Section<'_>,
    file: &ChannelFile,
    adapter: &Arc<dyn Adapter>,
    tls: rustls::ClientConfig,
    clock: &Timekeeper,
) -> Option<StatementLink> {
    let terms = file.statement.clone()?;
    if adapter.statements().is_none() {
        if terms.download_at.is_some() {
            let advice = "say so in the protocol's own section, or remove statement.download_at";
            root.mistake("statement", "nothing says where statements are downloaded", advice);
        }
        return None;
    }
    let timeouts = Timeouts { reply: terms.timeout, ..file.timeouts };
    let bytes_max = statement::REPLY_BYTES_MAX;
    let transport = HttpTransport::with_replies_up_to(bytes_max, timeouts, tls);
    let transport = transport.heard_by(clock.clone());
    Some(StatementLink { adapter: Arc::clone(adapter), transport, terms })
}
