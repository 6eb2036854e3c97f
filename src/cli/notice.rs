//! `switchyard notice list|retry`: the notices to the core, of the running daemon.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::cli::remote::{DaemonArgs, blocking, encoded};

#[derive(Debug, Args)]
pub struct NoticeArgs {
    #[command(subcommand)]
    command: NoticeCommand,
    #[command(flatten)]
    daemon: DaemonArgs,
}

#[derive(Debug, Subcommand)]
enum NoticeCommand {
    /// Where deliveries to the core stand
    List {
        /// Only these
        #[arg(long, value_parser = ["owed", "acknowledged", "parked"])]
        status: Option<String>,
    },
    /// Send an order's notice now, parked or not
    Retry {
        /// Our id of the order (19 digits)
        id: String,
        /// Why; kept in the audit trail
        #[arg(long)]
        reason: String,
    },
}

pub fn run(args: &NoticeArgs) -> anyhow::Result<ExitCode> {
    let daemon = &args.daemon;
    match &args.command {
        NoticeCommand::List { status } => blocking(list(daemon, status.as_deref())),
        NoticeCommand::Retry { id, reason } => {
            let path = format!("/v1/notices/{}/retry", encoded(id));
            let body = json!({ "reason": reason });
            let notice = blocking(daemon.json(reqwest::Method::POST, &path, Some(&body)))?;
            print(daemon, &notice);
            Ok(ExitCode::SUCCESS)
        }
    }
}

async fn list(daemon: &DaemonArgs, status: Option<&str>) -> anyhow::Result<ExitCode> {
    let mut after: Option<String> = None;
    // Ends with the listing: each page goes on after the last notice of the one before.
    loop {
        let mut path = "/v1/notices?limit=500".to_owned();
        if let Some(status) = status {
            path += &format!("&status={}", encoded(status));
        }
        if let Some(after) = &after {
            path += &format!("&after={}", encoded(after));
        }
        let page = daemon.json(reqwest::Method::GET, &path, None).await?;
        let notices = page.get("notices").and_then(Value::as_array);
        notices.into_iter().flatten().for_each(|notice| print(daemon, notice));
        match page.get("next").and_then(Value::as_str) {
            Some(next) => after = Some(next.to_owned()),
            None => return Ok(ExitCode::SUCCESS),
        }
    }
}

fn print(daemon: &DaemonArgs, notice: &Value) {
    if daemon.json {
        println!("{notice}");
        return;
    }
    let text = |name: &str| match notice.get(name) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Null) | None => "-".to_owned(),
        Some(other) => other.to_string(),
    };
    println!(
        "{:<19} {:<12} {:>3} tries, due {} {} {}",
        text("id"),
        text("status"),
        text("tries"),
        text("due_at"),
        text("url"),
        text("last_error"),
    );
}
