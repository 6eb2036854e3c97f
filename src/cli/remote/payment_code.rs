//! `switchyard payment-code show`: the code of a payment that the running daemon had sent.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use reqwest::Method;

use crate::cli::remote::{DaemonArgs, blocking, one_of};

#[derive(Debug, Args)]
pub struct PaymentCodeArgs {
    #[command(subcommand)]
    command: PaymentCodeCommand,
    #[command(flatten)]
    daemon: DaemonArgs,
}

#[derive(Debug, Subcommand)]
enum PaymentCodeCommand {
    /// Show what became of the code of one payment or pre-authorisation; never the code
    Show {
        /// The caller's order id, which the payment has or will have
        id: String,
        /// The caller of the order id, where the key is another caller's
        #[arg(long, value_name = "NAME")]
        caller: Option<String>,
    },
}

pub fn run(args: &PaymentCodeArgs) -> anyhow::Result<ExitCode> {
    let PaymentCodeCommand::Show { id, caller } = &args.command;
    let path = one_of("/v1/payment-codes", id, false, caller.as_deref());
    args.daemon.show(&blocking(args.daemon.json(Method::GET, &path, None))?)?;
    Ok(ExitCode::SUCCESS)
}
