//! Reads the file of one channel: what every protocol shares, and its protocol's section.

use std::path::Path;
use std::sync::Arc;

use tokio::sync::mpsc;

use crate::channel::certificates::{CertificateTerm, tls_client, tls_roots};
use crate::channel::file::ChannelFile;
use crate::channel::file::whole::WholeFile;
use crate::channel::protocol;
use crate::channel::registry::connection::{Connection, connect};
use crate::channel::transport::tcp::LinkContext;
use crate::channel::transport::tls;
use crate::clock::Clock;
use crate::config::credential::CredentialSource;
use crate::config::mistake::{Mistake, Mistakes};
use crate::config::raw::Document;
use crate::domain::ids::ChannelId;
use crate::domain::route::channel::ChannelState;
use crate::domain::terms::CommonTerms;

/// Reads the whole of one file: the shared part, then the protocol's section.
pub(super) fn read_channel(
    document: &Document,
    common: &CommonTerms,
    base: &Path,
    mistakes: &Mistakes,
    links: LinkContext,
) -> Option<(ChannelFile, Option<Connection>)> {
    let before = mistakes.count();
    let root = document.root(mistakes);
    let file = ChannelFile::read(&root, links.channel.clone(), common);
    let source = CredentialSource::new(base);
    let resolve = |reference: &str| source.resolve(reference);
    // A channel that is only contracted has no keys yet; its section is checked when it connects.
    if !file.state.is_connected() {
        protocol::skip(&root, &file.protocol);
        root.finish();
        return (mistakes.count() == before).then_some((file, None));
    }
    let built = protocol::read(&root, &file, &resolve);
    let roots: Result<Vec<String>, String> =
        file.tls_roots.iter().map(|reference| source.resolve(reference)).collect();
    let mut tls_terms = roots.as_ref().map(|pems| tls_roots(pems)).unwrap_or_default();
    let identity = file.tls_identity.as_ref().map(|reference| source.resolve(reference));
    let identity = identity.transpose();
    if let Ok(Some(pem)) = &identity {
        tls_terms.extend(tls_client(pem));
    }
    let connection = roots
        .and_then(|roots| tls::client_config_as(identity?.as_deref(), &roots))
        .map(|tls| built.map(|built| connect(built, &root, &file, tls, links)))
        .map(|connection| connection.map(|made| Connection { tls_terms, ..made }));
    if let Err(problem) = &connection {
        let key = if file.tls_identity.is_some() { "tls_identity" } else { "tls_roots" };
        root.mistake(key, problem, "give PEM files, as file:path");
    }
    root.finish();
    if mistakes.count() != before {
        return None;
    }
    Some((file, Some(connection.ok()??)))
}

/// Checks one channel file by itself and reports every mistake. Gives the channel's state and,
/// where it is connected, the certificates that it will work with.
pub fn check_file(path: &Path) -> Result<(ChannelState, Vec<CertificateTerm>), Vec<Mistake>> {
    let name = path.display().to_string();
    let about = |problem: String, advice: &str| vec![Mistake::new(&name, 0, "", &problem, advice)];
    let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    let id = ChannelId::parse(stem).map_err(|error| {
        about(format!("the file's name is not a channel id: {error}"), "rename the file")
    })?;
    let document = WholeFile::read(path)?.document;
    let mistakes = Mistakes::new();
    let base = path.parent().unwrap_or(Path::new("."));
    let (late, clock) = (mpsc::channel(1).0, Clock::System.into());
    let links = LinkContext { channel: id, late, clock, keys: Arc::default() };
    let read = read_channel(&document, &CommonTerms::default(), base, &mistakes, links);
    mistakes.into_result()?;
    let unbuilt = || about("its adapter cannot be built".to_owned(), "check its own section");
    let terms = |connection: Option<Connection>| {
        connection.map(|connection| connection.certificates()).unwrap_or_default()
    };
    read.map(|(file, connection)| (file.state, terms(connection))).ok_or_else(unbuilt)
}
