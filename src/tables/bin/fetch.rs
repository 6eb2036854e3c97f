//! Fetches a table over https: bounded in size and time, never in clear, never twice.
//!
//! Knows nothing of formats. A source's
//! query and user part may hold a token, so neither is ever shown, logged or recorded.

use std::time::Duration;

use rustls::crypto::{CryptoProvider, aws_lc_rs};

use super::read::SOURCE_BYTES_MAX;

/// The whole fetch, from the name look-up to the last byte.
pub const FETCH_TIMEOUT_S: u64 = 30;

/// Why a table could not be fetched.
#[derive(Debug, thiserror::Error)]
pub enum TableFetchError {
    #[error("a table is fetched over https only")]
    NotHttps,
    #[error("the source could not be fetched")]
    Http(#[source] reqwest::Error),
    #[error("the source answered {0}")]
    Status(u16),
    #[error("the source is larger than {0} bytes")]
    TooLarge(usize),
}

/// Whether a source is to be fetched rather than opened as a file.
pub fn is_url(source: &str) -> bool {
    let scheme =
        |name: &str| source.get(..name.len()).is_some_and(|head| head.eq_ignore_ascii_case(name));
    scheme("https://") || scheme("http://")
}

/// The source without what may be secret: no user part, no query, no fragment.
pub fn public_source(source: &str) -> String {
    if !is_url(source) {
        return source.to_owned();
    }
    let bare = source.split(['?', '#']).next().unwrap_or_default();
    let Some((scheme, rest)) = bare.split_once("://") else { return bare.to_owned() };
    let (host, path) = rest.split_once('/').map_or((rest, None), |(host, path)| (host, Some(path)));
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    path.map_or_else(|| format!("{scheme}://{host}"), |path| format!("{scheme}://{host}/{path}"))
}

/// Fetches the whole source, 32 MB at most, within thirty seconds.
pub async fn fetch_table(url: &str) -> Result<Vec<u8>, TableFetchError> {
    if !url.get(..8).is_some_and(|head| head.eq_ignore_ascii_case("https://")) {
        return Err(TableFetchError::NotHttps);
    }
    // The program installs this provider when it starts; a test or a tool may not have. Losing the
    // race against another thread that installs the same one is no failure.
    if CryptoProvider::get_default().is_none() {
        let _ = aws_lc_rs::default_provider().install_default();
    }
    let client = reqwest::Client::builder()
        .https_only(true)
        .timeout(Duration::from_secs(FETCH_TIMEOUT_S))
        .build()
        .map_err(hide_url)?;
    let response = client.get(url).send().await.map_err(hide_url)?;
    if !response.status().is_success() {
        return Err(TableFetchError::Status(response.status().as_u16()));
    }
    collect(response, SOURCE_BYTES_MAX).await
}

/// Gathers the body and stops at the first byte too many, whatever length was announced.
async fn collect(
    mut response: reqwest::Response,
    bytes_max: usize,
) -> Result<Vec<u8>, TableFetchError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(hide_url)? {
        if body.len() + chunk.len() > bytes_max {
            return Err(TableFetchError::TooLarge(bytes_max));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn hide_url(error: reqwest::Error) -> TableFetchError {
    TableFetchError::Http(error.without_url())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run<T>(future: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(future)
    }

    #[test]
    fn a_body_is_taken_up_to_its_bound_and_not_beyond() {
        let answer = || reqwest::Response::from(http::Response::new("12345678"));
        assert_eq!(run(collect(answer(), 8)).expect("eight bytes"), b"12345678");
        assert!(matches!(run(collect(answer(), 7)), Err(TableFetchError::TooLarge(7))));
    }

    #[test]
    fn nothing_is_fetched_in_clear() {
        let refused = run(fetch_table("http://example.com/table.csv"));
        assert!(matches!(refused, Err(TableFetchError::NotHttps)));
    }

    #[test]
    fn a_failed_fetch_does_not_tell_its_token() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        drop(listener);
        let url = format!("https://127.0.0.1:{port}/table.csv?token=secret");
        let failed = run(fetch_table(&url)).expect_err("nobody listens");
        assert!(matches!(failed, TableFetchError::Http(_)));
        assert!(!format!("{failed:?} {failed}").contains("secret"));
    }

    #[test]
    fn a_source_is_shown_without_its_secrets() {
        let rows = [
            ("https://example.com/t.csv?token=s#f", "https://example.com/t.csv"),
            ("https://user:secret@example.com/a/b", "https://example.com/a/b"),
            ("HTTPS://user:secret@example.com", "HTTPS://example.com"),
            ("tables/2018?.csv", "tables/2018?.csv"),
            ("中文路径.csv", "中文路径.csv"),
        ];
        for (source, shown) in rows {
            assert_eq!(public_source(source), shown);
        }
    }
}
