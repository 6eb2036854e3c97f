//! `switchyard reversal list|retry|resolve`: the temp reversal table of the running daemon.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::cli::remote::listing::Listing;
use crate::cli::remote::{DaemonArgs, blocking, encoded};
use crate::cli::shown::{cell, money};
use crate::domain::reversal::{Phase, Resolution};

#[derive(Debug, Args)]
pub struct ReversalArgs {
    #[command(subcommand)]
    command: ReversalCommand,
    #[command(flatten)]
    daemon: DaemonArgs,
}

#[derive(Debug, Subcommand)]
enum ReversalCommand {
    /// List the temp reversal table
    List {
        /// Only entries of this channel
        #[arg(long)]
        channel: Option<String>,
        /// Only entries of this phase
        #[arg(long, value_parser = Phase::ALL.map(Phase::name))]
        phase: Option<String>,
    },
    /// Show one entry with its history and its order
    Show { id: String },
    /// Restart an entry's schedule
    Retry {
        id: String,
        /// The reason, for the audit trail
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// End an unknown by an operator's decision
    Resolve {
        id: String,
        #[arg(long, value_parser = Resolution::ALL.map(Resolution::name))]
        outcome: String,
        /// The reason, for the audit trail
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
}

const ENTRIES: Listing = Listing {
    rows: "reversals",
    heading: &["id", "channel", "phase", ">amount", "opened", "due"],
    cells: |entry| {
        vec![
            cell(entry, "id"),
            cell(entry, "channel"),
            cell(entry, "phase"),
            money(entry, "amount", &cell(entry, "currency")),
            cell(entry, "opened_at"),
            cell(entry, "due_at"),
        ]
    },
};

pub fn run(args: &ReversalArgs) -> anyhow::Result<ExitCode> {
    let daemon = &args.daemon;
    let ask = |method, path: &str, body: Option<Value>| {
        daemon.show(&blocking(daemon.json(method, path, body.as_ref()))?)
    };
    match &args.command {
        ReversalCommand::List { channel, phase } => {
            let filters = [("channel", channel.as_deref()), ("phase", phase.as_deref())];
            blocking(ENTRIES.print(daemon, "/v1/reversals", &filters))?;
        }
        ReversalCommand::Show { id } => {
            ask(reqwest::Method::GET, &format!("/v1/reversals/{}", encoded(id)), None)?;
        }
        ReversalCommand::Retry { id, reason } => {
            let path = format!("/v1/reversals/{}/retry", encoded(id));
            ask(reqwest::Method::POST, &path, Some(json!({ "reason": reason })))?;
        }
        ReversalCommand::Resolve { id, outcome, reason } => {
            let path = format!("/v1/reversals/{}/resolve", encoded(id));
            let body = json!({ "outcome": outcome, "reason": reason });
            ask(reqwest::Method::POST, &path, Some(body))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
