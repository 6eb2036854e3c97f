//! `switchyard accounting list|show|retry|withdraw`: the requests to the accounting system.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::cli::remote::listing::Listing;
use crate::cli::remote::{DaemonArgs, blocking, encoded};
use crate::cli::shown::cell;
use crate::domain::books::accounting::DeliveryStatus;

#[derive(Debug, Args)]
pub struct AccountingArgs {
    #[command(subcommand)]
    command: AccountingCommand,
    #[command(flatten)]
    daemon: DaemonArgs,
}

#[derive(Debug, Subcommand)]
enum AccountingCommand {
    /// List the accounting requests by id
    List {
        /// Only those of this state
        #[arg(long, value_parser = DeliveryStatus::ALL.map(DeliveryStatus::name))]
        state: Option<String>,
    },
    /// Show one request with its postings
    Show { id: String },
    /// Make a parked or owed request due now
    Retry {
        id: String,
        /// The reason, for the audit trail
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// Withdraw a parked request for a refund or void, and the order that waits for it
    Withdraw {
        id: String,
        /// The reason, for the audit trail
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
}

const REQUESTS: Listing = Listing {
    rows: "accounting_requests",
    heading: &["id", "event", "channel", "state", ">tries", "due", "last error"],
    cells: |row| {
        ["id", "event", "channel", "state", "tries", "due_at", "last_error"]
            .map(|name| cell(row, name))
            .into()
    },
};

pub fn run(args: &AccountingArgs) -> anyhow::Result<ExitCode> {
    let daemon = &args.daemon;
    let ask = |method, path: &str, body: Option<Value>| {
        daemon.show(&blocking(daemon.json(method, path, body.as_ref()))?)
    };
    let path = |id: &str, action: &str| format!("/v1/accounting-requests/{}{action}", encoded(id));
    match &args.command {
        AccountingCommand::List { state } => {
            let filters = [("state", state.as_deref())];
            blocking(REQUESTS.print(daemon, "/v1/accounting-requests", &filters))?;
        }
        AccountingCommand::Show { id } => ask(reqwest::Method::GET, &path(id, ""), None)?,
        AccountingCommand::Retry { id, reason } => {
            let reason = Some(json!({ "reason": reason }));
            ask(reqwest::Method::POST, &path(id, "/retry"), reason)?;
        }
        AccountingCommand::Withdraw { id, reason } => {
            let reason = Some(json!({ "reason": reason }));
            ask(reqwest::Method::POST, &path(id, "/withdraw"), reason)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
