//! `switchyard proposal list|show|accept|refuse`: what the books teach of the BIN table.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::json;

use crate::cli::remote::listing::Listing;
use crate::cli::remote::{DaemonArgs, blocking, encoded};
use crate::cli::shown::cell;

#[derive(Debug, Args)]
pub struct ProposalArgs {
    #[command(subcommand)]
    command: ProposalCommand,
    #[command(flatten)]
    daemon: DaemonArgs,
}

#[derive(Debug, Subcommand)]
enum ProposalCommand {
    /// List the proposals that wait for a person
    List {
        /// Those that are decided too
        #[arg(long)]
        all: bool,
    },
    /// Show one proposal with its evidence
    Show { id: String },
    /// Accept a proposal: the BIN table gets it, in a new version
    Accept {
        id: String,
        /// The reason, for the audit trail
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// Refuse a proposal: the same is never proposed again
    Refuse {
        id: String,
        /// The reason, for the audit trail
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
}

const PROPOSALS: Listing = Listing {
    rows: "bin_proposals",
    heading: &["id", "state", "issuer", "table says", "evidence says", ">orders", "changed"],
    cells: |row| {
        ["id", "state", "issuer_name", "table_says", "fact", "orders", "changed_at"]
            .map(|one| cell(row, one))
            .into()
    },
};

pub fn run(args: &ProposalArgs) -> anyhow::Result<ExitCode> {
    let daemon = &args.daemon;
    let decide = |id: &str, verb: &str, reason: &str| {
        let path = format!("/v1/bin-proposals/{}/{verb}", encoded(id));
        let body = json!({ "reason": reason });
        daemon.show(&blocking(daemon.json(Method::POST, &path, Some(&body)))?)
    };
    match &args.command {
        ProposalCommand::List { all } => {
            let state = [("state", Some(if *all { "all" } else { "open" }))];
            blocking(PROPOSALS.print(daemon, "/v1/bin-proposals", &state))?;
        }
        ProposalCommand::Show { id } => {
            let path = format!("/v1/bin-proposals/{}", encoded(id));
            daemon.show(&blocking(daemon.json(Method::GET, &path, None))?)?;
        }
        ProposalCommand::Accept { id, reason } => decide(id, "accept", reason)?,
        ProposalCommand::Refuse { id, reason } => decide(id, "refuse", reason)?,
    }
    Ok(ExitCode::SUCCESS)
}
