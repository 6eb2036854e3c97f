//! `switchyard agreement list|show|end`: the cards that are bound at the running daemon.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::json;

use crate::cli::remote::listing::Listing;
use crate::cli::remote::{DaemonArgs, blocking, encoded, one_of};
use crate::cli::shown::{cell, state_with_reason};
use crate::domain::ids::AgreementId;

const AGREEMENTS: &str = "/v1/agreements";

#[derive(Debug, Args)]
pub struct AgreementArgs {
    #[command(subcommand)]
    command: AgreementCommand,
    #[command(flatten)]
    daemon: DaemonArgs,
}

#[derive(Debug, Subcommand)]
enum AgreementCommand {
    /// List a merchant's agreements
    List {
        #[arg(value_name = "MERCHANT")]
        merchant: String,
    },
    /// Show one agreement; one whose end is unknown is inquired of at its channel
    Show {
        /// Our agreement id (19 digits), or the caller's
        id: String,
        /// The caller of the order id, where the key is another caller's
        #[arg(long, value_name = "NAME")]
        caller: Option<String>,
    },
    /// Have the channel make the card's token void, with the key of the agreement's own caller
    End {
        /// Our agreement id (19 digits)
        id: String,
    },
}

const ROWS: Listing = Listing {
    rows: "agreements",
    heading: &["id", "order id", "state", "card", "channel", "ends"],
    cells: |row| {
        vec![
            cell(row, "id"),
            cell(row, "order_id"),
            state_with_reason(row, "state"),
            row.get("card").map_or_else(|| "-".to_owned(), |card| cell(card, "masked")),
            cell(row, "channel"),
            cell(row, "ends_at"),
        ]
    },
};

pub fn run(args: &AgreementArgs) -> anyhow::Result<ExitCode> {
    let daemon = &args.daemon;
    match &args.command {
        AgreementCommand::List { merchant } => {
            let filters = [("merchant_id", Some(merchant.as_str()))];
            blocking(ROWS.print(daemon, AGREEMENTS, &filters))?;
        }
        AgreementCommand::Show { id, caller } => {
            let is_ours = AgreementId::parse(id).is_some();
            let path = one_of(AGREEMENTS, id, is_ours, caller.as_deref());
            daemon.show(&blocking(daemon.json(Method::GET, &path, None))?)?;
        }
        AgreementCommand::End { id } => {
            let path = format!("{AGREEMENTS}/{}/end", encoded(id));
            daemon.show(&blocking(daemon.json(Method::POST, &path, Some(&json!({}))))?)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
