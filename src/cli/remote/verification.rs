//! `switchyard verification show`: a card verification of the running daemon.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use reqwest::Method;

use crate::cli::remote::{DaemonArgs, blocking, one_of};
use crate::domain::ids::VerificationId;

#[derive(Debug, Args)]
pub struct VerificationArgs {
    #[command(subcommand)]
    command: VerificationCommand,
    #[command(flatten)]
    daemon: DaemonArgs,
}

#[derive(Debug, Subcommand)]
enum VerificationCommand {
    /// Show one card verification with its verdict
    Show {
        /// Our verification id (19 digits), or the caller's
        id: String,
        /// The caller of the order id, where the key is another caller's
        #[arg(long, value_name = "NAME")]
        caller: Option<String>,
    },
}

pub fn run(args: &VerificationArgs) -> anyhow::Result<ExitCode> {
    let VerificationCommand::Show { id, caller } = &args.command;
    let is_ours = VerificationId::parse(id).is_some();
    let path = one_of("/v1/verifications", id, is_ours, caller.as_deref());
    args.daemon.show(&blocking(args.daemon.json(Method::GET, &path, None))?)?;
    Ok(ExitCode::SUCCESS)
}
