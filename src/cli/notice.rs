//! `switchyard notice list|retry`: the notices to the core, of the running daemon.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::json;

use crate::cli::remote::listing::{Listing, cell};
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
    /// List the notices to the core
    List {
        /// Only notices of this status
        #[arg(long, value_parser = ["owed", "acknowledged", "parked"])]
        status: Option<String>,
    },
    /// Send an order's notice now, parked or not
    Retry {
        /// Our id of the order (19 digits)
        id: String,
        /// The reason, for the audit trail
        #[arg(long)]
        reason: String,
    },
}

const NOTICES: Listing = Listing {
    rows: "notices",
    heading: &["id", "status", ">tries", "due", "url", "last error"],
    cells: |row| {
        ["id", "status", "tries", "due_at", "url", "last_error"].map(|name| cell(row, name)).into()
    },
};

pub fn run(args: &NoticeArgs) -> anyhow::Result<ExitCode> {
    let daemon = &args.daemon;
    match &args.command {
        NoticeCommand::List { status } => {
            blocking(NOTICES.print(daemon, "/v1/notices", &[("status", status.as_deref())]))?;
        }
        NoticeCommand::Retry { id, reason } => {
            let path = format!("/v1/notices/{}/retry", encoded(id));
            let body = json!({ "reason": reason });
            daemon.show(&blocking(daemon.json(reqwest::Method::POST, &path, Some(&body)))?)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
