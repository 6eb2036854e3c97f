//! `switchyard statement fetch|show`: channels' statements, through the running daemon.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::Value;

use crate::cli::output::say;
use crate::cli::remote::{DaemonArgs, blocking, encoded};

#[derive(Debug, Args)]
pub struct StatementArgs {
    #[command(subcommand)]
    command: StatementCommand,
    #[command(flatten)]
    daemon: DaemonArgs,
}

#[derive(Debug, Subcommand)]
enum StatementCommand {
    /// Ask the channel for its statement now
    Fetch {
        channel: String,
        /// The clearing date, YYYY-MM-DD
        date: String,
    },
    /// List the files of a date, or the reason why there are none
    Show {
        channel: String,
        /// The clearing date, YYYY-MM-DD
        date: String,
    },
}

pub fn run(args: &StatementArgs) -> anyhow::Result<ExitCode> {
    let (method, channel, action, date) = match &args.command {
        StatementCommand::Fetch { channel, date } => {
            (reqwest::Method::POST, channel, "/fetch", date)
        }
        StatementCommand::Show { channel, date } => (reqwest::Method::GET, channel, "", date),
    };
    let (channel, date) = (encoded(channel), encoded(date));
    let path = format!("/v1/channels/{channel}/statements{action}?date={date}");
    let found = blocking(args.daemon.json(method, &path, None))?;
    if args.daemon.json {
        say!("{found}")?;
        return Ok(ExitCode::SUCCESS);
    }
    let text = |value: &Value, name: &str| {
        value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let files = found.get("files").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    if files.is_empty() {
        say!("there is no file of that date")?;
    }
    for file in files {
        let known = file.get("is_new") == Some(&Value::Bool(false));
        let remark = if known { "  (was there)" } else { "" };
        say!("{}  {}{remark}", text(file, "sha256"), text(file, "name"))?;
    }
    if let Some(missing) = found.get("missing") {
        say!("missing: {}, asked at {}", text(missing, "problem"), text(missing, "last_at"))?;
    }
    Ok(ExitCode::SUCCESS)
}
