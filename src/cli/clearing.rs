//! `switchyard clearing export|close|verify`: exports a channel's clearing records of one date as
//! CSV or NDJSON, closes that day, and verifies a closed day against its records.

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::cli::output::{Output, UNWRITTEN, is_closed};
use crate::cli::remote::{DaemonArgs, blocking, encoded};

#[derive(Debug, Args)]
pub struct ClearingArgs {
    #[command(subcommand)]
    command: ClearingCommand,
    #[command(flatten)]
    daemon: DaemonArgs,
}

#[derive(Debug, Subcommand)]
enum ClearingCommand {
    /// Write the records to standard output: CSV, or with --json one object a line
    Export {
        channel: String,
        /// The clearing date, YYYY-MM-DD
        date: String,
    },
    /// Close a day that has ended, and the open ones before it
    Close {
        channel: String,
        /// The clearing date, YYYY-MM-DD
        date: String,
        /// The reason, for the audit trail
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// Check a closed day against its records; exit code 1 if they differ or the day is open
    Verify {
        channel: String,
        /// The clearing date, YYYY-MM-DD
        date: String,
    },
}

pub fn run(args: &ClearingArgs) -> anyhow::Result<ExitCode> {
    match &args.command {
        ClearingCommand::Export { channel, date } => export(args, channel, date),
        ClearingCommand::Close { channel, date, reason } => close(args, channel, date, reason),
        ClearingCommand::Verify { channel, date } => verify(args, channel, date),
    }
}

fn close(args: &ClearingArgs, channel: &str, date: &str, reason: &str) -> anyhow::Result<ExitCode> {
    let path = format!("/v1/channels/{}/clearing/close?date={}", encoded(channel), encoded(date));
    let reason = json!({ "reason": reason });
    let closed = blocking(args.daemon.json(reqwest::Method::POST, &path, Some(&reason)))?;
    args.daemon.show(&closed)?;
    Ok(ExitCode::SUCCESS)
}

fn verify(args: &ClearingArgs, channel: &str, date: &str) -> anyhow::Result<ExitCode> {
    let (channel, date) = (encoded(channel), encoded(date));
    let path = format!("/v1/channels/{channel}/clearing/summary?date={date}&verify=true");
    let summary = blocking(args.daemon.json(reqwest::Method::GET, &path, None))?;
    args.daemon.show(&summary)?;
    let stands = summary.get("verified") == Some(&Value::Bool(true));
    Ok(if stands { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

fn export(args: &ClearingArgs, channel: &str, date: &str) -> anyhow::Result<ExitCode> {
    let path = format!("/v1/channels/{}/clearing?date={}", encoded(channel), encoded(date));
    let accept = if args.daemon.json { "application/x-ndjson" } else { "text/csv" };
    blocking(async {
        let mut response = args.daemon.ask(reqwest::Method::GET, &path, accept, None).await?;
        // Bounded by the day's records; each piece is written before the next is read.
        while let Some(piece) = response.chunk().await? {
            Output.write_all(&piece).context(UNWRITTEN)?;
            if is_closed() {
                return Ok(ExitCode::SUCCESS);
            }
        }
        Output.flush().context(UNWRITTEN)?;
        Ok(ExitCode::SUCCESS)
    })
}
