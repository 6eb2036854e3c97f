//! TLS of a listener: certificate and key by reference, checked whole before they are used, and
//! taken anew while the daemon runs.
//!
//! Connections keep what they began with; a mistake in what was put there leaves in force what is.
//! A handshake's costly step, the signature, is taken in turns: among a thousand callers that come
//! back at once, calls that are under way have their turns too.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{Acceptor, NoClientAuth, ParsedCertificate, WebPkiClientVerifier};
use rustls::{InconsistentKeys, RootCertStore, ServerConfig};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;
use zeroize::Zeroizing;

use crate::channel::certificates::{CertificateState, CertificateTerm, CertificateUse};
use crate::codec::certificate::Certificate;
use crate::codec::sign::sha256;
use crate::config::credential::{CredentialReference, CredentialSource};
use crate::config::mistake::Mistake;
use crate::config::server::{ListenerKind, TlsSettings};
use crate::domain::time::Timestamp;
use crate::telemetry::{HandshakeResult, count_handshake};

/// The first byte of a TLS record that begins a handshake (RFC 8446 §5.1).
const HANDSHAKE_RECORD: u8 = 22;

/// The TLS of one listener.
pub struct ListenerTls {
    kind: ListenerKind,
    settings: TlsSettings,
    source: CredentialSource,
    in_force: ArcSwap<CertificateSet>,
    /// What was wrong with the files when they were last looked at; it is told once.
    told: Mutex<Vec<Mistake>>,
}

/// Certificates that were found good, ready to use.
struct CertificateSet {
    config: Arc<ServerConfig>,
    terms: Vec<CertificateTerm>,
    digest: [u8; 32],
}

/// The texts behind the references.
struct TlsTexts {
    certificate: Zeroizing<String>,
    key: Zeroizing<String>,
    client_roots: Option<Zeroizing<String>>,
}

/// What a client has to say first.
pub(super) enum Greeting {
    Tls(Box<TlsStream<TcpStream>>),
    /// It speaks plain HTTP.
    PlainHttp(TcpStream),
    /// It has gone, or is not understood.
    Nothing,
}

impl ListenerTls {
    /// Reads and checks what the settings name, with every mistake at once.
    pub fn load(
        kind: ListenerKind,
        settings: &TlsSettings,
        source: CredentialSource,
        now: Timestamp,
    ) -> Result<Self, Vec<Mistake>> {
        let loaded = build(settings, &texts(settings, &source)?, now)?;
        let settings = settings.clone();
        let in_force = ArcSwap::from_pointee(loaded);
        Ok(Self { kind, settings, source, in_force, told: Mutex::default() })
    }

    pub const fn kind(&self) -> ListenerKind {
        self.kind
    }

    /// How long the certificates in force hold.
    pub fn terms(&self) -> Vec<CertificateTerm> {
        self.in_force.load().terms.clone()
    }

    /// Takes what the references lead to now. Mistakes leave in force what is, and are logged.
    pub fn reload(&self, now: Timestamp) {
        self.told().clear();
        self.look(now);
    }

    /// The same, but does not log again what it has said of these files.
    pub fn look(&self, now: Timestamp) {
        let listener = self.kind.name();
        let mistakes = match self.take(now) {
            Ok(false) => Vec::new(),
            Ok(true) => {
                tracing::info!(listener, "the listener's certificates are taken anew");
                Vec::new()
            }
            Err(mistakes) => mistakes,
        };
        let mut told = self.told();
        if *told != mistakes {
            for mistake in &mistakes {
                let words = "the listener's certificates stay as they were";
                tracing::error!(listener, %mistake, "{words}");
            }
            *told = mistakes;
        }
    }

    fn told(&self) -> MutexGuard<'_, Vec<Mistake>> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether something has changed.
    fn take(&self, now: Timestamp) -> Result<bool, Vec<Mistake>> {
        let texts = texts(&self.settings, &self.source)?;
        if texts.digest() == self.in_force.load().digest {
            return Ok(false);
        }
        self.in_force.store(Arc::new(build(&self.settings, &texts, now)?));
        Ok(true)
    }

    /// The handshake of a connection, within bounds; counted by what it came to.
    pub(super) async fn greet(
        &self,
        stream: TcpStream,
        turns: &Semaphore,
        within: Duration,
    ) -> Greeting {
        let greeting = tokio::time::timeout(within, self.shake_hands(stream, turns)).await;
        let (result, greeting) = match greeting {
            Ok(Ok(Greeting::Nothing)) => (HandshakeResult::NothingSent, Greeting::Nothing),
            Ok(Ok(plain @ Greeting::PlainHttp(_))) => (HandshakeResult::PlainHttp, plain),
            Ok(Ok(secured @ Greeting::Tls(_))) => (HandshakeResult::Done, secured),
            Ok(Err(error)) => {
                tracing::debug!(listener = self.kind.name(), %error, "a handshake has failed");
                (HandshakeResult::Failed, Greeting::Nothing)
            }
            Err(_) => (HandshakeResult::TimedOut, Greeting::Nothing),
        };
        count_handshake(self.kind.name(), result);
        greeting
    }

    async fn shake_hands(&self, stream: TcpStream, turns: &Semaphore) -> io::Result<Greeting> {
        let mut first = [0];
        if stream.peek(&mut first).await? == 0 {
            return Ok(Greeting::Nothing);
        }
        // A method's first letter; TLS would call it garbage, and its sender would learn nothing.
        if first[0] != HANDSHAKE_RECORD && first[0].is_ascii_uppercase() {
            return Ok(Greeting::PlainHttp(stream));
        }
        let begun = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
        let rest = {
            let _turn = turns.acquire().await.map_err(io::Error::other)?;
            begun.into_stream(Arc::clone(&self.in_force.load().config))
        };
        Ok(Greeting::Tls(Box::new(rest.await?)))
    }
}

/// SHA-256 of the public key of the certificate that a client has shown and proven to be its own.
pub(super) fn certificate_key(stream: &TlsStream<TcpStream>) -> Option<[u8; 32]> {
    let shown = stream.get_ref().1.peer_certificates()?.first()?;
    // The handshake has read it before.
    let parsed = ParsedCertificate::try_from(shown).ok()?;
    Some(sha256(&parsed.subject_public_key_info()))
}

impl TlsTexts {
    fn digest(&self) -> [u8; 32] {
        let roots = self.client_roots.as_ref().map_or("", |roots| roots);
        let digests = [&*self.certificate, &*self.key, roots].map(|text| sha256(text.as_bytes()));
        sha256(&digests.concat())
    }
}

fn texts(settings: &TlsSettings, source: &CredentialSource) -> Result<TlsTexts, Vec<Mistake>> {
    let certificate = source.read(&settings.certificate);
    let key = source.read(&settings.key);
    let client_roots = settings.client_roots.as_ref().map(|roots| source.read(roots)).transpose();
    match (certificate, key, client_roots) {
        (Ok(certificate), Ok(key), Ok(client_roots)) => {
            Ok(TlsTexts { certificate, key, client_roots })
        }
        (certificate, key, roots) => {
            Err([certificate.err(), key.err(), roots.err()].into_iter().flatten().collect())
        }
    }
}

/// What the texts hold, if nothing is wrong with any of it.
fn build(
    settings: &TlsSettings,
    texts: &TlsTexts,
    now: Timestamp,
) -> Result<CertificateSet, Vec<Mistake>> {
    let mut mistakes = Vec::new();
    let chain = certificates(&settings.certificate, &texts.certificate);
    let chain = chain.unwrap_or_else(|mistake| {
        mistakes.push(mistake);
        Vec::new()
    });
    let key = PrivateKeyDer::from_pem_slice(texts.key.as_bytes()).map_err(|_| {
        let advice = "give one PEM block of PKCS#8, PKCS#1 or SEC1, without a passphrase";
        mistakes.push(settings.key.mistake("holds no private key that reads", advice));
    });
    let roots = match settings.client_roots.as_ref().zip(texts.client_roots.as_ref()) {
        Some((setting, text)) => certificates(setting, text).unwrap_or_else(|mistake| {
            mistakes.push(mistake);
            Vec::new()
        }),
        None => Vec::new(),
    };
    let term = |usage| move |one: &Certificate| CertificateTerm::of(usage, one);
    let chain_terms: Vec<_> = chain.iter().map(term(CertificateUse::Server)).collect();
    let mut terms: Vec<_> = roots.iter().map(term(CertificateUse::ClientRoot)).collect();
    let settings_of =
        [(Some(&settings.certificate), &chain_terms), (settings.client_roots.as_ref(), &terms)];
    for (setting, terms) in settings_of {
        for term in terms {
            let holds =
                !matches!(term.standing(now), CertificateState::Ended | CertificateState::NotYet);
            if let (false, Some(setting)) = (holds, setting) {
                let complaint = term.complaint(now).unwrap_or_default();
                mistakes.push(setting.mistake(&complaint, "put one there that is valid now"));
            }
        }
    }
    let key = match key {
        Ok(key) if mistakes.is_empty() => key,
        _ => return Err(mistakes),
    };
    // The chain holds as long as all of it does.
    terms.extend(chain_terms.into_iter().min_by_key(|term| term.valid_until_s));
    let config = config(settings, &chain, key, &roots).map_err(|mistake| vec![mistake])?;
    Ok(CertificateSet { config: Arc::new(config), terms, digest: texts.digest() })
}

fn certificates(setting: &CredentialReference, text: &str) -> Result<Vec<Certificate>, Mistake> {
    Certificate::all_from_pem(text).map_err(|error| {
        setting.mistake(&error.to_string(), "give the certificates as PEM, each a block")
    })
}

/// TLS 1.2 and 1.3 with this chain, asking for a client's certificate where roots are given.
fn config(
    settings: &TlsSettings,
    chain: &[Certificate],
    key: PrivateKeyDer<'static>,
    roots: &[Certificate],
) -> Result<ServerConfig, Mistake> {
    let der = |one: &Certificate| CertificateDer::from(one.der().to_vec());
    let refused = |error: rustls::Error| {
        settings.certificate.mistake(&format!("is refused: {error}"), "give another certificate")
    };
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(refused)?;
    let verifier: Arc<dyn ClientCertVerifier> = match &settings.client_roots {
        None => Arc::new(NoClientAuth),
        Some(setting) => {
            let mistake = |problem: String| {
                setting.mistake(&problem, "give certificates of authorities that issue clients'")
            };
            let mut store = RootCertStore::empty();
            for root in roots {
                let added = store.add(der(root));
                added.map_err(|error| mistake(format!("holds no authority: {error}")))?;
            }
            // Who need not show one is decided by whose key it is.
            WebPkiClientVerifier::builder_with_provider(Arc::new(store), provider)
                .allow_unauthenticated()
                .build()
                .map_err(|error| mistake(format!("is refused: {error}")))?
        }
    };
    let builder = builder.with_client_cert_verifier(verifier);
    let mut config = builder.with_single_cert(chain.iter().map(der).collect(), key).map_err(
        |error| match error {
            rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => settings.key.mistake(
                "is not the key of the listener's certificate",
                "give the key that it was made with; in the chain, the listener's own \
                     certificate stands first",
            ),
            error => refused(error),
        },
    )?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use rcgen::{CertificateParams, KeyPair, SerialNumber, date_time_ymd};

    use super::*;

    fn now() -> Timestamp {
        Timestamp::from_millis(1_800_000_000_000)
    }

    /// A certificate with this serial number that ends in this year, and its key.
    fn issue(serial: u64, until: i32) -> (String, String) {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(["gateway.test".to_owned()]).expect("a name");
        params.serial_number = Some(SerialNumber::from(serial));
        params.not_after = date_time_ymd(until, 12, 31);
        (params.self_signed(&key).expect("a certificate").pem(), key.serialize_pem())
    }

    fn put(folder: &Path, (certificate, key): &(String, String)) {
        std::fs::write(folder.join("chain.pem"), certificate).expect("a file");
        std::fs::write(folder.join("own.key"), key).expect("a file");
    }

    fn load(folder: &Path) -> Result<ListenerTls, Vec<Mistake>> {
        let text = "[server.tls]\ncertificate = \"file:chain.pem\"\nkey = \"file:own.key\"";
        let settings = crate::config::settings(Some(("a.toml", text)), Vec::new(), folder);
        let settings = settings.expect("good settings").server.api.tls.expect("TLS");
        ListenerTls::load(ListenerKind::Api, &settings, CredentialSource::new(folder), now())
    }

    #[test]
    fn a_changed_file_is_taken_at_the_next_look_and_a_mistake_is_told_once() {
        let folder = tempfile::tempdir().expect("a folder");
        put(folder.path(), &issue(1, 2999));
        let tls = load(folder.path()).expect("a certificate");
        let in_force = || {
            let loaded = tls.in_force.load_full();
            (loaded.terms[0].serial.clone(), tls.told().len(), loaded.digest)
        };
        let first = in_force();
        assert_eq!((first.0.as_str(), first.1), ("1", 0));
        tls.look(now());
        assert_eq!(in_force(), first, "nothing has changed");
        // Between the two writes of a renewal.
        let renewed = issue(2, 2998);
        std::fs::write(folder.path().join("chain.pem"), &renewed.0).expect("a file");
        for _ in 0..2 {
            tls.look(now());
            assert_eq!(in_force(), (first.0.clone(), 1, first.2));
        }
        put(folder.path(), &renewed);
        tls.look(now());
        assert_eq!((in_force().0.as_str(), in_force().1), ("2", 0));
        put(folder.path(), &issue(3, 2020));
        tls.reload(now());
        assert_eq!((in_force().0.as_str(), in_force().1), ("2", 1), "it has ended");
        assert_eq!(load(folder.path()).err().map(|mistakes| mistakes.len()), Some(1));
    }

    #[test]
    fn a_chain_holds_as_long_as_its_first_to_end() {
        let folder = tempfile::tempdir().expect("a folder");
        let (own, above) = (issue(1, 2999), issue(2, 2998));
        put(folder.path(), &(format!("{}{}", own.0, above.0), own.1.clone()));
        let terms = load(folder.path()).expect("a chain").terms();
        let serials: Vec<_> = terms.iter().map(|term| term.serial.as_str()).collect();
        assert_eq!(serials, ["2"]);
        // The listener's own certificate stands first.
        put(folder.path(), &(format!("{}{}", above.0, own.0), own.1));
        let mistakes = load(folder.path()).err().unwrap_or_default();
        assert!(mistakes[0].to_string().contains("stands first"), "{mistakes:?}");
    }
}
