//! `switchyard approval list|show|approve|refuse|withdraw`: what a second person decides.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::json;

use crate::cli::remote::listing::Listing;
use crate::cli::remote::{DaemonArgs, blocking, encoded};
use crate::cli::shown::cell;

#[derive(Debug, Args)]
pub struct ApprovalArgs {
    #[command(subcommand)]
    command: ApprovalCommand,
    #[command(flatten)]
    daemon: DaemonArgs,
}

#[derive(Debug, Subcommand)]
enum ApprovalCommand {
    /// List the requests that wait for a second person
    List {
        /// All of them, the newest first
        #[arg(long)]
        all: bool,
    },
    /// Show one request
    Show { id: String },
    /// Approve another person's request: it is carried out as it was asked
    Approve {
        id: String,
        /// The reason, for the audit trail
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
    /// Refuse another person's request
    Refuse {
        id: String,
        /// The reason, for the audit trail
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// Take a request of your own back
    Withdraw {
        id: String,
        /// The reason, for the audit trail
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
}

const REQUESTS: Listing = Listing {
    rows: "approvals",
    heading: &["id", "state", "asker", "until", "what"],
    cells: |row| ["id", "state", "asker", "until", "words"].map(|one| cell(row, one)).into(),
};

pub fn run(args: &ApprovalArgs) -> anyhow::Result<ExitCode> {
    let daemon = &args.daemon;
    let decide = |id: &str, verb: &str, reason: Option<&str>| {
        let path = format!("/v1/approvals/{}/{verb}", encoded(id));
        let body = reason.map_or_else(|| json!({}), |reason| json!({ "reason": reason }));
        daemon.show(&blocking(daemon.json(Method::POST, &path, Some(&body)))?)
    };
    match &args.command {
        ApprovalCommand::List { all } => {
            let state = [("state", Some(if *all { "all" } else { "waiting" }))];
            blocking(REQUESTS.print(daemon, "/v1/approvals", &state))?;
        }
        ApprovalCommand::Show { id } => {
            let path = format!("/v1/approvals/{}", encoded(id));
            daemon.show(&blocking(daemon.json(Method::GET, &path, None))?)?;
        }
        ApprovalCommand::Approve { id, reason } => decide(id, "approve", reason.as_deref())?,
        ApprovalCommand::Refuse { id, reason } => decide(id, "refuse", Some(reason))?,
        ApprovalCommand::Withdraw { id, reason } => decide(id, "withdraw", reason.as_deref())?,
    }
    Ok(ExitCode::SUCCESS)
}
