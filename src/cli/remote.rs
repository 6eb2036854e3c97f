//! `switchyard payment show`, `reversal list|resolve|retry`: a daemon's API, from the shell.

pub mod clock;

use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

/// How long one call may take: a statement of a busy day is long.
const TIMEOUT: std::time::Duration = std::time::Duration::from_secs(600);

/// Where the daemon is, and the key to it.
#[derive(Debug, Clone, Args)]
pub struct DaemonArgs {
    /// The daemon's address
    #[arg(long, global = true, default_value = "http://127.0.0.1:7070")]
    pub url: String,
    /// The API key; better given as the environment variable SWITCHYARD_KEY
    #[arg(long, global = true, value_name = "KEY")]
    pub key: Option<String>,
    /// Print the daemon's JSON as it is
    #[arg(long, global = true)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct PaymentArgs {
    #[command(subcommand)]
    command: PaymentCommand,
    #[command(flatten)]
    daemon: DaemonArgs,
}

#[derive(Debug, Subcommand)]
enum PaymentCommand {
    /// Show one payment
    Show {
        /// Our id (19 digits), or the caller's order id
        id: String,
    },
}

#[derive(Debug, Args)]
pub struct ReversalArgs {
    #[command(subcommand)]
    command: ReversalCommand,
    #[command(flatten)]
    daemon: DaemonArgs,
}

#[derive(Debug, Subcommand)]
enum ReversalCommand {
    /// The temp reversal table
    List {
        /// Only this channel's
        #[arg(long)]
        channel: Option<String>,
    },
    /// Work an entry again from the start of its schedule
    Retry {
        id: String,
        /// Why; kept in the audit trail
        #[arg(long)]
        reason: String,
    },
    /// End an unknown by decision
    Resolve {
        id: String,
        #[arg(long, value_parser = ["succeeded", "failed", "reversed"])]
        outcome: String,
        /// Why; kept in the audit trail
        #[arg(long)]
        reason: String,
    },
}

impl DaemonArgs {
    fn client(&self) -> anyhow::Result<reqwest::Client> {
        crate::workers::client(TIMEOUT).map_err(anyhow::Error::msg)
    }

    fn key(&self) -> anyhow::Result<String> {
        let given = self.key.clone().or_else(|| std::env::var("SWITCHYARD_KEY").ok());
        given.context("no API key: set SWITCHYARD_KEY")
    }

    /// Asks the daemon; its refusal becomes the error.
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
            .header("accept", accept);
        let response = with_body(request).send().await.context("the daemon cannot be reached")?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let text = response.text().await.unwrap_or_default();
        let problem: Value = serde_json::from_str(&text).unwrap_or_default();
        let word = |name: &str| problem.get(name).and_then(Value::as_str).unwrap_or_default();
        // Where a file was refused, its lines say why.
        let faults = problem.get("faults").and_then(Value::as_array).into_iter().flatten();
        let faults = faults.map(|fault| {
            let detail = fault.get("problem").and_then(Value::as_str).unwrap_or_default();
            format!("\n  line {}: {detail}", fault.get("line").unwrap_or(&Value::Null))
        });
        let faults: String = faults.collect();
        anyhow::bail!("{status}: {}: {}{faults}", word("code"), word("detail"))
    }

    pub async fn json(
        &self,
        method: reqwest::Method,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<Value> {
        let response = self.ask(method, path, "application/json", body).await?;
        Ok(serde_json::from_slice(&response.bytes().await?)?)
    }
}

/// Runs one question to the daemon.
pub fn blocking<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}

/// A value in a path or query: everything but letters, digits and `-._` is percent-encoded.
pub fn encoded(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

pub fn payment(args: &PaymentArgs) -> anyhow::Result<ExitCode> {
    let PaymentCommand::Show { id } = &args.command;
    let ours = id.len() == 19 && id.bytes().all(|byte| byte.is_ascii_digit());
    let path = if ours {
        format!("/v1/payments/{id}")
    } else {
        format!("/v1/payments?order_id={}", encoded(id))
    };
    let found = blocking(args.daemon.json(reqwest::Method::GET, &path, None))?;
    if args.daemon.json {
        println!("{found}");
    } else {
        println!("{}", serde_json::to_string_pretty(&found)?);
    }
    Ok(ExitCode::SUCCESS)
}

pub fn reversal(args: &ReversalArgs) -> anyhow::Result<ExitCode> {
    let daemon = &args.daemon;
    let post = reqwest::Method::POST;
    let answer = match &args.command {
        ReversalCommand::List { channel } => {
            return blocking(list(daemon, channel.as_deref()));
        }
        ReversalCommand::Retry { id, reason } => {
            let path = format!("/v1/reversals/{}/retry", encoded(id));
            blocking(daemon.json(post, &path, Some(&json!({ "reason": reason }))))?
        }
        ReversalCommand::Resolve { id, outcome, reason } => {
            let path = format!("/v1/reversals/{}/resolve", encoded(id));
            let body = json!({ "outcome": outcome, "reason": reason });
            blocking(daemon.json(post, &path, Some(&body)))?
        }
    };
    println!(
        "{}",
        if daemon.json { answer.to_string() } else { serde_json::to_string_pretty(&answer)? }
    );
    Ok(ExitCode::SUCCESS)
}

async fn list(daemon: &DaemonArgs, channel: Option<&str>) -> anyhow::Result<ExitCode> {
    let mut after: Option<String> = None;
    // Ends with the table: each page goes on after the last entry of the one before.
    loop {
        let mut path = "/v1/reversals?limit=500".to_owned();
        if let Some(channel) = channel {
            path += &format!("&channel={}", encoded(channel));
        }
        if let Some(after) = &after {
            path += &format!("&after={}", encoded(after));
        }
        let page = daemon.json(reqwest::Method::GET, &path, None).await?;
        let entries = page.get("reversals").and_then(Value::as_array).cloned().unwrap_or_default();
        for entry in &entries {
            if daemon.json {
                println!("{entry}");
                continue;
            }
            let text = |name: &str| match entry.get(name) {
                Some(Value::String(text)) => text.clone(),
                Some(Value::Null) | None => "-".to_owned(),
                Some(other) => other.to_string(),
            };
            println!(
                "{:<19} {:<18} {:<10} {:>14} {} opened {} due {}",
                text("order_id"),
                text("channel"),
                text("phase"),
                text("amount"),
                text("currency"),
                text("opened_at"),
                text("due_at"),
            );
        }
        match page.get("next").and_then(Value::as_str) {
            Some(next) => after = Some(next.to_owned()),
            None => return Ok(ExitCode::SUCCESS),
        }
    }
}
