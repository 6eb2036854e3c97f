//! The daemon's listeners: their certificates are read before anything is opened, and their
//! addresses are bound when all else is ready.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use super::StartError;
use crate::api::{ApiState, Listener, ListenerTls, ServedPages};
use crate::channel::certificates::CertificateTerm;
use crate::config::checked::Settings;
use crate::config::credential::CredentialSource;
use crate::config::mistake::Mistake;
use crate::config::server::ListenerKind;
use crate::console;
use crate::domain::time::Timestamp;
use crate::entropy::Entropy;
use crate::workers::certificates::CertificateHolder;

/// The certificates of every listener that has some, or every mistake in them.
pub fn load_tls(
    settings: &Settings,
    now: Timestamp,
) -> Result<Vec<Arc<ListenerTls>>, Vec<Mistake>> {
    let (mut loaded, mut mistakes) = (Vec::new(), Vec::new());
    for kind in ListenerKind::ALL {
        let tls = settings.server.listener(kind).and_then(|listener| listener.tls.as_ref());
        let Some(tls) = tls else { continue };
        match ListenerTls::load(kind, tls, CredentialSource::new(&settings.base), now) {
            Ok(tls) => loaded.push(Arc::new(tls)),
            Err(found) => mistakes.extend(found),
        }
    }
    if mistakes.is_empty() { Ok(loaded) } else { Err(mistakes) }
}

/// Where a listener is reached.
pub struct ListenerUrl {
    pub kind: ListenerKind,
    pub address: SocketAddr,
    pub has_tls: bool,
}

/// Binds every listener, the API's first, which serves the pages too.
pub(super) async fn bind(
    state: &Arc<ApiState>,
    tls: &[Arc<ListenerTls>],
) -> Result<(Vec<Listener>, Vec<ListenerUrl>), StartError> {
    let (server, pages) = (&state.settings.server, console_pages(state));
    let (mut listeners, mut bound) = (Vec::new(), Vec::new());
    for kind in ListenerKind::ALL {
        let Some(settings) = server.listener(kind) else { continue };
        let failed = |source| StartError::Listen { address: settings.listen, source };
        let tls = tls.iter().find(|tls| tls.kind() == kind).cloned();
        let has_tls = tls.is_some();
        let listener = Listener::bind(kind, settings.listen, tls).await.map_err(failed)?;
        let address = listener.address().map_err(failed)?;
        bound.push(ListenerUrl { kind, address, has_tls });
        listeners.push(match kind {
            ListenerKind::Api => listener.with_pages(pages.clone()),
            ListenerKind::Notices | ListenerKind::Metrics => listener,
        });
    }
    Ok((listeners, bound))
}

/// The operator's pages, where the settings want them.
fn console_pages(state: &Arc<ApiState>) -> ServedPages {
    match state.settings.console.enabled {
        true => console::routes(Arc::clone(state), Entropy::System),
        false => ServedPages::new(),
    }
}

impl fmt::Display for ListenerUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}://{}", if self.has_tls { "https" } else { "http" }, self.address)
    }
}

impl CertificateHolder for Arc<ListenerTls> {
    fn name(&self) -> &'static str {
        self.kind().name()
    }

    fn look(&self, now: Timestamp) -> Vec<CertificateTerm> {
        ListenerTls::look(self, now);
        self.terms()
    }
}
