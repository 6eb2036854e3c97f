//! Makes the connection of a link, plain or TLS, and waits between tries.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::entropy::Entropy;

use super::{LinkTerms, TransportContext};

pub(super) type ReadHalf = Box<dyn AsyncRead + Send + Unpin>;
pub(super) type WriteHalf = Box<dyn AsyncWrite + Send + Unpin>;

/// Connects within the channel's time for it. The error is a sentence for a log.
pub(super) async fn connect(
    shared: &TransportContext,
    address: &str,
) -> Result<(ReadHalf, WriteHalf), String> {
    let connecting = async {
        let stream = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
        stream.set_nodelay(true).map_err(|error| error.to_string())?;
        let Some((config, name)) = &shared.tls else {
            let (read, write) = stream.into_split();
            return Ok::<(ReadHalf, WriteHalf), String>((Box::new(read), Box::new(write)));
        };
        let connector = TlsConnector::from(std::sync::Arc::clone(config));
        let stream = connector.connect(name.clone(), stream).await;
        let (read, write) = tokio::io::split(stream.map_err(|error| error.to_string())?);
        Ok((Box::new(read), Box::new(write)))
    };
    let late = || "no connection within the time for it".to_owned();
    tokio::time::timeout(shared.timeouts.connect, connecting).await.map_err(|_| late())?
}

/// The wait before try number `failures`: doubled each time up to the longest, and between half
/// and all of it, so that the links of many nodes do not come back in step.
pub(super) fn backoff(terms: &LinkTerms, failures: u32, entropy: &Entropy) -> Duration {
    let doubled = terms.reconnect_first.saturating_mul(1 << failures.min(16));
    let whole = doubled.min(terms.reconnect_longest);
    let half = u64::try_from(whole.as_millis() / 2).unwrap_or(u64::MAX);
    Duration::from_millis(half + entropy.draw() % (half + 1))
}
