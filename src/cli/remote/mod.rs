//! The running daemon's API, for the commands that call it.

pub mod agreement;
pub mod approval;
pub mod clock;
pub mod listing;
pub mod node;
pub mod order;
pub mod payment_code;
pub mod proposal;
pub mod reload;
pub mod reversal;
pub mod today;
pub mod verification;
pub mod worker;

use std::fmt;
use std::io::BufRead as _;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use clap::Args;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use crate::api::error::ProblemCode;
use crate::api::language::Language;
use crate::channel::transport::tls::client_config;
use crate::cli::output::{note, say};
use crate::cli::remote::listing::list;
use crate::cli::word_of;
use crate::config::mistake::Mistake;

/// The longest time for one call: a statement of a busy day is long.
const TIMEOUT: std::time::Duration = std::time::Duration::from_secs(600);

/// What the daemon answered in place of what was asked for.
#[derive(Debug, thiserror::Error)]
pub struct DaemonRefusal {
    status: reqwest::StatusCode,
    /// Its problem; `null` where it sent none.
    problem: Value,
    language: Language,
}

impl DaemonRefusal {
    #[cfg(test)]
    pub const fn of(problem: Value) -> Self {
        let status = reqwest::StatusCode::UNPROCESSABLE_ENTITY;
        Self { status, problem, language: Language::English }
    }

    /// A member of the problem, where it has it.
    pub fn member(&self, name: &str) -> Option<&Value> {
        self.problem.get(name)
    }

    /// The mistakes of refused files, under the names that `name_of` gives them.
    pub fn mistakes(&self, name_of: impl Fn(&str) -> String) -> Vec<Mistake> {
        let mistake = |fault: &Value| {
            let text = |name: &str| fault.get(name).and_then(Value::as_str).unwrap_or_default();
            let line = fault.get("line").and_then(Value::as_u64).unwrap_or_default();
            let line = usize::try_from(line).unwrap_or_default();
            let file = name_of(text("file"));
            Mistake::new(&file, line, text("key"), text("problem"), text("advice"))
        };
        list(&self.problem["faults"], "first").map(mistake).collect()
    }
}

/// The problem in words, and what to do about it. A refused file comes with the faults of its
/// lines.
impl fmt::Display for DaemonRefusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = |name: &str| self.problem.get(name).and_then(Value::as_str).unwrap_or_default();
        write!(formatter, "{}: {}: {}", self.status, word("code"), word("detail"))?;
        list(&self.problem["faults"], "first").try_for_each(|fault| {
            let detail = fault.get("problem").and_then(Value::as_str).unwrap_or_default();
            let line = fault.get("line").unwrap_or(&Value::Null);
            write!(formatter, "\n  line {line}: {detail}")
        })?;
        let Some(code) = ProblemCode::parse(word("code")) else { return Ok(()) };
        write!(formatter, "\n  {}\n  {}", word("title"), code.advice(self.language))
    }
}

/// The daemon's address, and the key to it.
#[derive(Debug, Clone, Args)]
pub struct DaemonArgs {
    /// The daemon's address
    #[arg(long, global = true, env = "SWITCHYARD_URL", default_value = "http://127.0.0.1:7070")]
    pub url: String,
    /// The API key; prefer the environment variable SWITCHYARD_KEY
    #[arg(long, global = true, value_name = "KEY")]
    pub key: Option<String>,
    /// The authorities (PEM) that the daemon's certificate must lead to, in place of the system's
    #[arg(long, global = true, value_name = "FILE")]
    pub roots: Option<PathBuf>,
    /// A client certificate with its private key (PEM), where the key's caller is bound to one
    #[arg(long, global = true, value_name = "FILE")]
    pub certificate: Option<PathBuf>,
    /// Print the daemon's JSON unchanged
    #[arg(long, global = true)]
    pub json: bool,
    /// The language of a story's sentences and of a refusal; else that of the locale
    #[arg(long, global = true, value_parser = word_of(Language::ALL, Language::name))]
    pub language: Option<Language>,
}

impl DaemonArgs {
    fn client(&self) -> anyhow::Result<reqwest::Client> {
        let read = |path: &PathBuf| {
            let text = std::fs::read_to_string(path).map(Zeroizing::new);
            text.with_context(|| format!("`{}` cannot be read", path.display()))
        };
        let roots = self.roots.as_ref().map(read).transpose()?.map(|text| text.to_string());
        let mut tls = client_config(roots.as_slice()).map_err(anyhow::Error::msg)?;
        if let Some(path) = &self.certificate {
            let text = read(path)?;
            let chain = CertificateDer::pem_slice_iter(text.as_bytes()).collect::<Result<_, _>>();
            let key = PrivateKeyDer::from_pem_slice(text.as_bytes());
            let own = chain.and_then(|chain| Ok((chain, key?)));
            let (chain, key) = own.context("--certificate needs a certificate and its key, PEM")?;
            let own = CertifiedKey::from_der(chain, key, tls.crypto_provider())
                .context("the certificate and the key of --certificate do not fit")?;
            tls.client_auth_cert_resolver = Arc::new(SingleCertAndKey::from(own));
        }
        crate::workers::client_with(tls, TIMEOUT).map_err(anyhow::Error::msg)
    }

    pub(super) fn language(&self) -> Language {
        self.language.unwrap_or_else(of_locale)
    }

    fn key(&self) -> anyhow::Result<String> {
        let given = self.key.clone().or_else(|| std::env::var("SWITCHYARD_KEY").ok());
        given.context("no API key: set SWITCHYARD_KEY")
    }

    /// Calls the daemon; its refusal becomes the error.
    pub async fn ask(
        &self,
        method: reqwest::Method,
        path: &str,
        accept: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<reqwest::Response> {
        self.send(method, path, accept, |request| match body {
            Some(body) => request.header("content-type", "application/json").body(body.to_string()),
            None => request,
        })
        .await
    }

    /// The same, with a body of any kind.
    pub async fn send(
        &self,
        method: reqwest::Method,
        path: &str,
        accept: &str,
        with_body: impl FnOnce(reqwest::RequestBuilder) -> reqwest::RequestBuilder,
    ) -> anyhow::Result<reqwest::Response> {
        let url = format!("{}{path}", self.url.trim_end_matches('/'));
        let request = self
            .client()?
            .request(method, url)
            .header("authorization", format!("Bearer {}", self.key()?))
            .header("accept", accept)
            .header("accept-language", self.language().name());
        let response = with_body(request).send().await.context("the daemon cannot be reached")?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let text = response.text().await.unwrap_or_default();
        let problem = serde_json::from_str(&text).unwrap_or_default();
        Err(DaemonRefusal { status, problem, language: self.language() }.into())
    }

    pub async fn json(
        &self,
        method: reqwest::Method,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<Value> {
        let response = self.ask(method, path, "application/json", body).await?;
        let answer: Value = serde_json::from_slice(&response.bytes().await?)?;
        say_if_held(&answer);
        Ok(answer)
    }

    /// Prints an answer: unchanged, or indented for people.
    pub fn show(&self, answer: &Value) -> anyhow::Result<()> {
        match self.json {
            true => say!("{answer}"),
            false => say!("{answer:#}"),
        }
    }
}

/// The language of the locale, by the first of its variables that says something.
fn of_locale() -> Language {
    let said = ["LC_ALL", "LC_MESSAGES", "LANG"]
        .into_iter()
        .filter_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()));
    let locale = said.into_iter().next().unwrap_or_default();
    locale.get(..2).and_then(Language::parse).unwrap_or(Language::English)
}

/// Says on standard error that nothing was done yet, where a call waits for a second person.
pub fn say_if_held(answer: &Value) {
    let held = answer.get("approval").filter(|approval| approval.is_object());
    if let Some(id) = held.and_then(|approval| approval.get("id")).and_then(Value::as_str) {
        note!(
            "nothing is done yet: this needs a second person. Another operator carries it out by\n\
             switchyard approval approve {id}"
        );
    }
}

/// Runs one call of the daemon to its end.
pub fn blocking<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}

/// The path of one thing below `root`: by our id, or by its caller's own, which is another caller's
/// than the key's where one is named.
pub fn one_of(root: &str, id: &str, is_ours: bool, caller: Option<&str>) -> String {
    match caller {
        Some(caller) => {
            format!("{root}?order_id={}&caller={}", encoded(id), encoded(caller))
        }
        None if is_ours => format!("{root}/{id}"),
        None => format!("{root}?order_id={}", encoded(id)),
    }
}

/// The members of a question's body that are given.
pub fn given(fields: &[(&str, &Option<String>)]) -> Map<String, Value> {
    let given = fields.iter().filter_map(|(name, value)| {
        value.as_ref().map(|value| ((*name).to_owned(), Value::from(value.as_str())))
    });
    given.collect()
}

/// The card of a question, whose number is read from standard input.
pub fn card_from_input() -> anyhow::Result<Value> {
    let mut line = Zeroizing::new(String::new());
    std::io::stdin().lock().read_line(&mut line).context("no card number can be read")?;
    Ok(serde_json::json!({ "pan": line.trim() }))
}

/// Percent-encodes a value for a path or query: everything but letters, digits and `-._`.
pub fn encoded(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}
