//! `switchyard node list`: the nodes that share a daemon's books.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::Value;

use crate::cli::remote::listing::Listing;
use crate::cli::remote::{DaemonArgs, blocking};
use crate::cli::shown::cell;

#[derive(Debug, Args)]
pub struct NodeArgs {
    #[command(subcommand)]
    command: NodeCommand,
    #[command(flatten)]
    daemon: DaemonArgs,
}

#[derive(Debug, Subcommand)]
enum NodeCommand {
    /// List each node's address, its lease, and its part of the work; none where one daemon has the
    /// books to itself
    List,
}

const NODES: Listing = Listing {
    rows: "nodes",
    heading: &[">node", ">incarnation", "address", "state", "lease until", "shards", "alone"],
    cells: |row| {
        let mut cells: Vec<String> = ["node", "incarnation", "address", "state", "lease_until"]
            .map(|one| cell(row, one))
            .into();
        let shards = row.get("shards").and_then(Value::as_object).into_iter().flatten();
        let shards = shards.map(|(queue, count)| format!("{queue} {count}"));
        cells.push(shards.collect::<Vec<_>>().join(", "));
        let alone = row.get("work").and_then(Value::as_array).into_iter().flatten();
        cells.push(alone.filter_map(Value::as_str).collect::<Vec<_>>().join(", "));
        cells
    },
};

pub fn run(args: &NodeArgs) -> anyhow::Result<ExitCode> {
    let NodeCommand::List = &args.command;
    blocking(NODES.print_whole(&args.daemon, "/v1/nodes"))?;
    Ok(ExitCode::SUCCESS)
}
