//! `switchyard audit list`: the operators' actions, with their reasons.

use std::process::ExitCode;

use clap::{Args, Subcommand};

use crate::cli::remote::listing::Listing;
use crate::cli::remote::{DaemonArgs, blocking};
use crate::cli::shown::cell;

#[derive(Debug, Args)]
pub struct AuditArgs {
    #[command(subcommand)]
    command: AuditCommand,
    #[command(flatten)]
    daemon: DaemonArgs,
}

#[derive(Debug, Subcommand)]
enum AuditCommand {
    /// List the whole trail, oldest first
    List,
}

const ENTRIES: Listing = Listing {
    rows: "entries",
    heading: &["at", "actor", "approver", "action", "subject", "reason"],
    cells: |row| {
        let names = ["at", "actor", "approver", "action", "subject", "reason"];
        names.map(|one| cell(row, one)).into()
    },
};

pub fn run(args: &AuditArgs) -> anyhow::Result<ExitCode> {
    let AuditCommand::List = &args.command;
    blocking(ENTRIES.print(&args.daemon, "/v1/audit", &[]))?;
    Ok(ExitCode::SUCCESS)
}
