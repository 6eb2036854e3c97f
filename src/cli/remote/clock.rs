//! `switchyard clock show|confirm`: shows the daemon's clock, or confirms that it is right.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::cli::remote::{DaemonArgs, blocking};

#[derive(Debug, Args)]
pub struct ClockArgs {
    #[command(subcommand)]
    command: ClockCommand,
    #[command(flatten)]
    daemon: DaemonArgs,
}

#[derive(Debug, Subcommand)]
enum ClockCommand {
    /// Show the clock, the time that is proven, and the channels' Date headers
    Show,
    /// Confirm that the clock is right
    Confirm {
        /// The time that another clock shows, as 2026-11-22T08:00:00Z
        #[arg(long)]
        time: String,
        /// The reason, for the audit trail
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
}

pub fn run(args: &ClockArgs) -> anyhow::Result<ExitCode> {
    let daemon = &args.daemon;
    let answer: Value = match &args.command {
        ClockCommand::Show => blocking(daemon.json(reqwest::Method::GET, "/v1/clock", None))?,
        ClockCommand::Confirm { time, reason } => {
            let body = json!({ "time": time, "reason": reason });
            let path = "/v1/clock/confirm";
            blocking(daemon.json(reqwest::Method::POST, path, Some(&body)))?
        }
    };
    daemon.show(&answer)?;
    Ok(ExitCode::SUCCESS)
}
