//! `switchyard channel list|check`: the channel files, their abilities and limits.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::json;

use crate::app::{StartError, load_channels};
use crate::channel::registry::{ChannelStatus, check_file};
use crate::cli::load::{SettingsArgs, print_mistakes};
use crate::clock::Clock;

#[derive(Debug, Args)]
pub struct ChannelArgs {
    #[command(subcommand)]
    command: ChannelCommand,
    #[command(flatten)]
    settings: SettingsArgs,
    /// The data folder, where switched-off channels are kept
    #[arg(long, global = true, value_name = "DIR", default_value = "./data")]
    data: PathBuf,
    /// Print JSON, one object a line
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum ChannelCommand {
    /// Every channel with its abilities and limits
    List,
    /// Check one channel file and report every mistake
    Check {
        /// The file, for instance channels/bank.toml
        file: PathBuf,
    },
}

pub fn run(args: &ChannelArgs) -> anyhow::Result<ExitCode> {
    match &args.command {
        ChannelCommand::List => list(args),
        ChannelCommand::Check { file } => match check_file(file) {
            Ok(state) => {
                if args.json {
                    println!("{}", json!({ "valid": true, "state": state.name() }));
                } else {
                    println!("no mistakes; the channel is {}", state.name());
                }
                Ok(ExitCode::SUCCESS)
            }
            Err(mistakes) => {
                print_mistakes(&mistakes);
                Ok(ExitCode::from(1))
            }
        },
    }
}

fn list(args: &ChannelArgs) -> anyhow::Result<ExitCode> {
    let loaded = args.settings.load().map_err(StartError::Mistakes);
    let registry = loaded.and_then(|settings| load_channels(&settings, &args.data, Clock::System));
    let registry = match registry {
        Ok(registry) => registry,
        Err(StartError::Mistakes(mistakes)) => {
            print_mistakes(&mistakes);
            return Ok(ExitCode::from(1));
        }
        Err(error) => return Err(error.into()),
    };
    for status in registry.statuses() {
        if args.json {
            println!("{}", form(&status));
        } else {
            println!(
                "{:<20} {:<13} {:<11} {:<4} {}",
                status.id,
                status.protocol,
                status.state.name(),
                if status.enabled { "on" } else { "off" },
                status.operations.join(" "),
            );
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn form(status: &ChannelStatus) -> serde_json::Value {
    json!({
        "id": status.id.as_str(),
        "name": status.name,
        "protocol": status.protocol,
        "state": status.state.name(),
        "enabled": status.enabled,
        "operations": status.operations,
        "card_types": status.card_types,
        "currencies": status.currencies,
        "per_order_min_minor": status.per_order_min_minor,
        "per_order_max_minor": status.per_order_max_minor,
        "per_day_minor": status.per_day_minor,
    })
}
