//! `switchyard clearing export`: a channel's clearing records of one date, as CSV or NDJSON.

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::{Args, Subcommand};

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
}

pub fn run(args: &ClearingArgs) -> anyhow::Result<ExitCode> {
    let ClearingCommand::Export { channel, date } = &args.command;
    let path = format!("/v1/channels/{}/clearing?date={}", encoded(channel), encoded(date));
    let accept = if args.daemon.json { "application/x-ndjson" } else { "text/csv" };
    blocking(async {
        let mut response = args.daemon.ask(reqwest::Method::GET, &path, accept, None).await?;
        let mut output = io::stdout().lock();
        // Bounded by the day's records; each piece is written before the next is read.
        while let Some(piece) = response.chunk().await? {
            match output.write_all(&piece) {
                Ok(()) => {}
                // A reader that has seen enough is no failure.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => break,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(ExitCode::SUCCESS)
    })
}
