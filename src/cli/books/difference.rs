//! `switchyard difference list|show|resolve`: differences between statements and our records.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::cli::remote::listing::{Listing, list};
use crate::cli::remote::{DaemonArgs, blocking, encoded};
use crate::cli::shown::{amount, cell, money};
use crate::domain::books::difference::Remedy;

#[derive(Debug, Args)]
pub struct DifferenceArgs {
    #[command(subcommand)]
    command: DifferenceCommand,
    #[command(flatten)]
    daemon: DaemonArgs,
}

#[derive(Debug, Subcommand)]
enum DifferenceCommand {
    /// List a channel's open differences: carried over, or in suspense
    List {
        channel: String,
        #[arg(long, value_parser = ["carried", "suspended"])]
        state: Option<String>,
    },
    /// Show one difference with its history
    Show { id: String },
    /// Balance a difference: decide where its money belongs
    Resolve {
        id: String,
        #[arg(long, value_parser = Remedy::ALL.map(Remedy::name))]
        remedy: String,
        /// The merchant that the money belongs to, where our record names none
        #[arg(long, value_name = "ID")]
        merchant: Option<String>,
        /// The reason, for the audit trail
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
}

const DIFFERENCES: Listing = Listing {
    rows: "differences",
    heading: &["id", "class", "state", ">line", ">record", "held", "since", "due"],
    cells: row,
};

pub fn run(args: &DifferenceArgs) -> anyhow::Result<ExitCode> {
    let daemon = &args.daemon;
    let answer = match &args.command {
        DifferenceCommand::List { channel, state } => {
            let filters = [("channel", Some(channel.as_str())), ("state", state.as_deref())];
            blocking(DIFFERENCES.print(daemon, "/v1/differences", &filters))?;
            return Ok(ExitCode::SUCCESS);
        }
        DifferenceCommand::Show { id } => {
            let path = format!("/v1/differences/{}", encoded(id));
            blocking(daemon.json(reqwest::Method::GET, &path, None))?
        }
        DifferenceCommand::Resolve { id, remedy, merchant, reason } => {
            let path = format!("/v1/differences/{}/resolve", encoded(id));
            let body = json!({ "remedy": remedy, "merchant_id": merchant, "reason": reason });
            blocking(daemon.json(reqwest::Method::POST, &path, Some(&body)))?
        }
    };
    daemon.show(&answer)?;
    Ok(ExitCode::SUCCESS)
}

/// The date of a moment, in UTC: with its hours a row is too wide.
fn day(difference: &Value, name: &str) -> String {
    cell(difference, name).split(' ').next().unwrap_or_default().to_owned()
}

fn row(difference: &Value) -> Vec<String> {
    let side = |name: &str| {
        let side = difference.get(name);
        side.map_or_else(|| "-".to_owned(), |side| money(side, "amount", &cell(side, "currency")))
    };
    let held = list(difference, "held").map(|gap| {
        let currency = cell(gap, "currency");
        let of = |name| amount(gap, name, &currency);
        format!("{} fee {} {currency}", of("principal"), of("fee"))
    });
    let held: Vec<String> = held.collect();
    vec![
        cell(difference, "id"),
        cell(difference, "class"),
        cell(difference, "state"),
        side("line"),
        side("record"),
        if held.is_empty() { "-".to_owned() } else { held.join(", ") },
        day(difference, "opened_at"),
        day(difference, "due_at"),
    ]
}
