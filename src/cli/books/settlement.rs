//! `switchyard settlement record|check|list`: the bank's receipts, compared with the statements.
//!
//! Exit codes: 0 agreed (or listed); 2 the bank's receipts and the statements differ.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::cli::output::{say, write};
use crate::cli::remote::listing::{Listing, list};
use crate::cli::remote::{DaemonArgs, blocking, encoded};
use crate::cli::shown::{cell, money};
use crate::cli::table::aligned;
use crate::cli::typed;

/// Receipts and statements differ.
const DIFFERENT: u8 = 2;

#[derive(Debug, Args)]
pub struct SettlementArgs {
    #[command(subcommand)]
    command: SettlementCommand,
    #[command(flatten)]
    daemon: DaemonArgs,
}

#[derive(Debug, Subcommand)]
enum SettlementCommand {
    /// Record a bank receipt; a repeat changes nothing
    Record(Receipt),
    /// Check a settlement against the present statements
    Check { id: String },
    /// List a channel's settlements
    List { channel: String },
}

#[derive(Debug, Args)]
struct Receipt {
    channel: String,
    /// The clearing date that it settles, or the first of several, YYYY-MM-DD
    from: String,
    /// The amount received, in major units as 12.30; negative where the bank paid the channel
    #[arg(long, allow_hyphen_values = true)]
    amount: String,
    /// The last clearing date
    #[arg(long, value_name = "YYYY-MM-DD")]
    through: Option<String>,
    /// The amount's currency, as CNY
    #[arg(long, value_name = "CODE")]
    currency: String,
    /// The bank's number of the receipt
    #[arg(long, value_name = "NUMBER")]
    bank_reference: String,
    /// The day on which the bank received it, YYYY-MM-DD
    #[arg(long, value_name = "YYYY-MM-DD")]
    received_on: String,
}

pub fn run(args: &SettlementArgs) -> anyhow::Result<ExitCode> {
    let daemon = &args.daemon;
    let settlement = match &args.command {
        SettlementCommand::Record(receipt) => {
            let currency = typed::currency(&receipt.currency)?;
            let path = format!("/v1/channels/{}/settlements", encoded(&receipt.channel));
            let body = json!({
                "from": receipt.from,
                "to": receipt.through,
                "currency": currency.name(),
                "amount": typed::amount("amount", &receipt.amount, currency)?,
                "bank_reference": receipt.bank_reference,
                "received_on": receipt.received_on,
            });
            blocking(daemon.json(reqwest::Method::POST, &path, Some(&body)))?
        }
        SettlementCommand::Check { id } => {
            let path = format!("/v1/settlements/{}/check", encoded(id));
            blocking(daemon.json(reqwest::Method::POST, &path, None))?
        }
        SettlementCommand::List { channel } => {
            let path = format!("/v1/channels/{}/settlements", encoded(channel));
            blocking(SETTLEMENTS.print(daemon, &path, &[]))?;
            return Ok(ExitCode::SUCCESS);
        }
    };
    if daemon.json {
        say!("{settlement}")?;
    } else {
        write(format_args!("{}", summary(&settlement)))?;
    }
    let agreed = cell(&settlement, "state") == "agreed";
    Ok(if agreed { ExitCode::SUCCESS } else { ExitCode::from(DIFFERENT) })
}

const SETTLEMENTS: Listing = Listing { rows: "settlements", heading: &HEADING, cells: row };
const HEADING: [&str; 7] = ["id", "from", "to", "state", ">received", ">stated", ">receipts"];

fn row(settlement: &Value) -> Vec<String> {
    let currency = cell(settlement, "currency");
    let stated = settlement.get("stated");
    let stated = stated.map_or_else(|| "-".to_owned(), |one| money(one, "net", &currency));
    let mut cells: Vec<String> =
        ["id", "from", "to", "state"].map(|one| cell(settlement, one)).into();
    cells.extend([
        money(settlement, "received", &currency),
        stated,
        list(settlement, "receipts").count().to_string(),
    ]);
    cells
}

/// Describes one settlement, with the reason why it differs.
fn summary(settlement: &Value) -> String {
    let mut text = aligned(&HEADING, &[row(settlement)]);
    for reason in list(settlement, "reasons").filter_map(Value::as_str) {
        text += &format!("{reason}\n");
    }
    text
}
