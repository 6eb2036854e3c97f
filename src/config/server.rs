//! `[server]`: the listeners of the API, their TLS, and what bounds their connections.
//!
//! Certificates and keys are references here; whoever listens reads them. Upholds that nothing
//! listens in plain HTTP beyond loopback unless the settings say in words who encrypts it.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use crate::config::credential::CredentialReference;
use crate::config::section::Section;
use crate::domain::closed_set;

const SECOND: Duration = Duration::from_secs(1);

closed_set! {
    /// A listener, by what it serves. A label of metrics.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum ListenerKind {
        /// Everything that has no listener of its own.
        Api => "api",
        /// What channels post to `/notices/`.
        Notices => "notices",
        /// `/metrics`.
        Metrics => "metrics",
    }
}

/// The certificates of a listener.
#[derive(Debug, Clone)]
pub struct TlsSettings {
    /// The chain in PEM, the listener's own certificate first.
    pub certificate: CredentialReference,
    pub key: CredentialReference,
    /// Authorities whose client certificates are believed; without any, none is asked for.
    pub client_roots: Option<CredentialReference>,
}

#[derive(Debug, Clone)]
pub struct ListenerSettings {
    pub listen: SocketAddr,
    /// `None`: plain HTTP.
    pub tls: Option<TlsSettings>,
}

#[derive(Debug, Clone)]
pub struct ServerSettings {
    pub api: ListenerSettings,
    /// `None`: the API's listener takes notices.
    pub notices: Option<ListenerSettings>,
    /// `None`: the API's listener shows metrics.
    pub metrics: Option<ListenerSettings>,
    pub body_bytes_max: usize,
    /// Of a statement that is handed in, as it travels: packed, if it is packed.
    pub statement_bytes_max: u64,
    /// Of each listener.
    pub connections_max: usize,
    /// Of one IPv4 address, or one IPv6 network of 64 bits.
    pub connections_per_address_max: usize,
    pub request_timeout: Duration,
    pub stop_within: Duration,
}

impl ServerSettings {
    /// The listener of a kind, where it has one.
    pub const fn listener(&self, kind: ListenerKind) -> Option<&ListenerSettings> {
        match kind {
            ListenerKind::Api => Some(&self.api),
            ListenerKind::Notices => self.notices.as_ref(),
            ListenerKind::Metrics => self.metrics.as_ref(),
        }
    }

    pub(super) fn read(root: &Section<'_>) -> Self {
        let section = root.section("server");
        let none = ListenerSettings { listen: (Ipv4Addr::LOCALHOST, 0).into(), tls: None };
        let api = read_listener(&section, true).unwrap_or(none);
        let mut taken = vec![(api.listen, "server.listen".to_owned())];
        let own = [ListenerKind::Notices, ListenerKind::Metrics].map(|kind| {
            let section = section.section(kind.name());
            let listener = read_listener(&section, false);
            if let Some(ListenerSettings { listen, .. }) = listener {
                if let Some((_, other)) = taken.iter().find(|(other, _)| collide(*other, listen)) {
                    let advice = format!("{other} has it; choose another port");
                    section.mistake("listen", "is taken by another listener", &advice);
                }
                taken.push((listen, format!("{}.listen", section.path())));
            }
            section.finish();
            listener
        });
        let [notices, metrics] = own;
        let times = SECOND / 10..=600 * SECOND;
        let connections = 1..=1_000_000;
        let server = Self {
            api,
            notices,
            metrics,
            body_bytes_max: section.integer("body_bytes_max", 1_024..=64 * 1024 * 1024),
            statement_bytes_max: section
                .integer("statement_bytes_max", 1_024..=64 * 1024_u64.pow(3)),
            connections_max: section.integer("connections_max", connections.clone()),
            connections_per_address_max: section
                .integer("connections_per_address_max", connections),
            request_timeout: section.duration("request_timeout", times.clone()),
            stop_within: section.duration("stop_within", times),
        };
        section.finish();
        server
    }
}

/// Whether two listeners cannot both have their address.
fn collide(one: SocketAddr, other: SocketAddr) -> bool {
    let is_same = one.ip() == other.ip() || [one, other].iter().any(|it| it.ip().is_unspecified());
    is_same && one.port() == other.port() && one.port() != 0
}

/// The listener of a section; `None` where its address is empty.
fn read_listener(section: &Section<'_>, has_callers: bool) -> Option<ListenerSettings> {
    let wanted = section.parsed("listen", "127.0.0.1:7070", |text| match text {
        "" => Ok(None),
        address => {
            address.parse::<SocketAddr>().map(Some).map_err(|_| "is not an address and port")
        }
    });
    let beyond = section.text_or("plain_http_beyond_loopback", "");
    let inner = section.section("tls");
    let (tls, is_plain) = read_tls(&inner, has_callers);
    if wanted == Some(None) && has_callers {
        section.mistake("listen", "is empty", "give an address and port, or leave it out");
    } else if wanted == Some(None) && tls.is_some() {
        let advice = format!("give listen in [{}], or leave it out", section.path());
        inner.mistake("certificate", "is of a listener without an address", &advice);
    }
    inner.finish();
    let listen = wanted.flatten();
    if listen.is_some_and(|listen| !listen.ip().is_loopback())
        && is_plain
        && beyond.trim().is_empty()
    {
        section.mistake(
            "listen",
            "is reachable from other machines, and the traffic is not encrypted",
            &format!(
                "give certificate and key in [{}.tls], listen on 127.0.0.1 behind a proxy that \
                 speaks TLS, or say in words in plain_http_beyond_loopback who encrypts it",
                section.path()
            ),
        );
    }
    Some(ListenerSettings { listen: listen?, tls })
}

/// `None` for plain HTTP, and after a mistake; and whether plain HTTP is meant.
fn read_tls(section: &Section<'_>, has_callers: bool) -> (Option<TlsSettings>, bool) {
    let (certificate, key) = (section.reference("certificate"), section.reference("key"));
    let client_roots = if has_callers { section.reference("client_roots") } else { None };
    let is_plain = certificate.is_none() && key.is_none() && client_roots.is_none();
    let tls = match (certificate, key) {
        (Some(certificate), Some(key)) => Some(TlsSettings { certificate, key, client_roots }),
        (Some(_), None) => {
            let advice = "give the private key of the certificate: file:path or env:NAME";
            section.mistake("certificate", "has no key beside it", advice);
            None
        }
        (None, Some(_)) => {
            let advice = "give the certificate chain of the key: file:path or env:NAME";
            section.mistake("key", "has no certificate beside it", advice);
            None
        }
        (None, None) => {
            if client_roots.is_some() {
                let advice = "give certificate and key too, or leave client_roots out";
                section.mistake("client_roots", "asks for certificates without TLS", advice);
            }
            None
        }
    };
    (tls, is_plain)
}
