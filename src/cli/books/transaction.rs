//! `switchyard transaction list|show`: orders that succeeded at a channel.

use std::process::ExitCode;

use clap::{Args, Subcommand};

use crate::cli::remote::listing::Listing;
use crate::cli::remote::{DaemonArgs, blocking, encoded};
use crate::cli::shown::{cell, money};

#[derive(Debug, Args)]
pub struct TransactionArgs {
    #[command(subcommand)]
    command: TransactionCommand,
    #[command(flatten)]
    daemon: DaemonArgs,
}

#[derive(Debug, Subcommand)]
enum TransactionCommand {
    /// List all by order, or those that a channel clears on a date
    List {
        #[arg(requires = "date")]
        channel: Option<String>,
        /// The clearing date, YYYY-MM-DD
        date: Option<String>,
    },
    /// Show an order's transaction with the channel's transcript
    Show {
        /// Our order id (19 digits)
        id: String,
    },
}

const TRANSACTIONS: Listing = Listing {
    rows: "transactions",
    heading: &["id", "movement", "channel", ">amount", "clearing", "known by", "at"],
    cells: |row| {
        vec![
            cell(row, "id"),
            cell(row, "movement"),
            cell(row, "channel"),
            money(row, "amount", &cell(row, "currency")),
            cell(row, "clearing_date"),
            cell(row, "source"),
            cell(row, "at"),
        ]
    },
};

pub fn run(args: &TransactionArgs) -> anyhow::Result<ExitCode> {
    let daemon = &args.daemon;
    match &args.command {
        TransactionCommand::List { channel, date } => {
            let filters = [("channel", channel.as_deref()), ("date", date.as_deref())];
            blocking(TRANSACTIONS.print(daemon, "/v1/transactions", &filters))?;
        }
        TransactionCommand::Show { id } => {
            let path = format!("/v1/transactions/{}", encoded(id));
            daemon.show(&blocking(daemon.json(reqwest::Method::GET, &path, None))?)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
