//! `switchyard agreement list|show|end`: the cards that are bound at the running daemon.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::json;

use crate::cli::remote::listing::Listing;
use crate::cli::remote::{DaemonArgs, blocking, card_from_input, encoded, given, one_of};
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
    /// List the agreements of a merchant, or of a card
    List {
        /// Those of this merchant
        #[arg(value_name = "MERCHANT")]
        merchant: Option<String>,
        /// The first six digits of the card
        #[arg(long, value_name = "DIGITS")]
        first_six: Option<String>,
        /// The last four digits of the card
        #[arg(long, value_name = "DIGITS")]
        last_four: Option<String>,
        /// Read the whole card number from standard input: arguments are seen by others
        #[arg(long)]
        card_from_stdin: bool,
        /// The caller that asked for it
        #[arg(long, value_name = "NAME")]
        caller: Option<String>,
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
        AgreementCommand::List { merchant, first_six, last_four, card_from_stdin, caller } => {
            let fields = [
                ("merchant_id", merchant),
                ("first_six", first_six),
                ("last_four", last_four),
                ("caller", caller),
            ];
            let mut body = given(&fields);
            if *card_from_stdin {
                body.insert("card".to_owned(), card_from_input()?);
            }
            let path = format!("{AGREEMENTS}/search");
            blocking(ROWS.print_found(daemon, &path, body))?;
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
