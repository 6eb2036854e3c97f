//! `switchyard worker list`: the rounds and failures of a daemon's workers.

use std::process::ExitCode;

use clap::{Args, Subcommand};

use crate::cli::remote::listing::Listing;
use crate::cli::remote::{DaemonArgs, blocking};
use crate::cli::shown::{cell, second};

#[derive(Debug, Args)]
pub struct WorkerArgs {
    #[command(subcommand)]
    command: WorkerCommand,
    #[command(flatten)]
    daemon: DaemonArgs,
}

#[derive(Debug, Subcommand)]
enum WorkerCommand {
    /// List each worker's last round, its last failure, and when the next round is due
    List,
}

const WORKERS: Listing = Listing {
    rows: "workers",
    heading: &["worker", "began", "ended", ">rows", "next", ">failures", "last failure"],
    cells: |row| {
        let failure = row.get("last_failure").filter(|failure| !failure.is_null());
        let failure = failure.map(|one| format!("{} {}", second(one, "at"), cell(one, "error")));
        vec![
            cell(row, "name"),
            second(row, "began_at"),
            second(row, "ended_at"),
            cell(row, "rows"),
            second(row, "next_at"),
            cell(row, "failures"),
            failure.unwrap_or_default(),
        ]
    },
};

pub fn run(args: &WorkerArgs) -> anyhow::Result<ExitCode> {
    let WorkerCommand::List = &args.command;
    blocking(WORKERS.print_whole(&args.daemon, "/v1/workers"))?;
    Ok(ExitCode::SUCCESS)
}
