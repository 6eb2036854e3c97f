//! `switchyard payment show`: an order of the running daemon.

use std::process::ExitCode;

use clap::{Args, Subcommand};

use crate::cli::remote::{DaemonArgs, blocking, encoded};

#[derive(Debug, Args)]
pub struct PaymentArgs {
    #[command(subcommand)]
    command: PaymentCommand,
    #[command(flatten)]
    daemon: DaemonArgs,
}

#[derive(Debug, Subcommand)]
enum PaymentCommand {
    /// Show one order: a payment or a follow-up
    Show {
        /// Our order id (19 digits), or the caller's
        id: String,
        /// The caller of the order id, where the key is another caller's
        #[arg(long, value_name = "NAME")]
        caller: Option<String>,
    },
}

pub fn run(args: &PaymentArgs) -> anyhow::Result<ExitCode> {
    let PaymentCommand::Show { id, caller } = &args.command;
    let ours = id.len() == 19 && id.bytes().all(|byte| byte.is_ascii_digit());
    let path = match caller {
        Some(caller) => {
            format!("/v1/payments?order_id={}&caller={}", encoded(id), encoded(caller))
        }
        None if ours => format!("/v1/payments/{id}"),
        None => format!("/v1/payments?order_id={}", encoded(id)),
    };
    args.daemon.show(&blocking(args.daemon.json(reqwest::Method::GET, &path, None))?)?;
    Ok(ExitCode::SUCCESS)
}
