//! `switchyard contradiction list`: evidence against orders that had ended.

use std::process::ExitCode;

use clap::{Args, Subcommand};

use crate::cli::remote::listing::Listing;
use crate::cli::remote::{DaemonArgs, blocking};
use crate::cli::shown::cell;

#[derive(Debug, Args)]
pub struct ContradictionArgs {
    #[command(subcommand)]
    command: ContradictionCommand,
    #[command(flatten)]
    daemon: DaemonArgs,
}

#[derive(Debug, Subcommand)]
enum ContradictionCommand {
    /// List all by order, or those of one order
    List {
        /// Only those of this order (our id, 19 digits)
        #[arg(long, value_name = "ID")]
        order: Option<String>,
    },
}

const CONTRADICTIONS: Listing = Listing {
    rows: "contradictions",
    heading: &["id", ">attempt", "claim", "source", "at", "undo", "channel's reference"],
    cells: |row| {
        ["id", "attempt", "claim", "source", "at", "undo", "channel_reference"]
            .map(|name| cell(row, name))
            .into()
    },
};

pub fn run(args: &ContradictionArgs) -> anyhow::Result<ExitCode> {
    let ContradictionCommand::List { order } = &args.command;
    let filters = [("order", order.as_deref())];
    blocking(CONTRADICTIONS.print(&args.daemon, "/v1/contradictions", &filters))?;
    Ok(ExitCode::SUCCESS)
}
