//! `switchyard notice list|retry|rotate-key|retire-key`: the notices to the core, of the running
//! daemon, and the keys that sign them.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::json;

use crate::app::keys::{retire_notice_key, rotate_notice_key};
use crate::cli::output::say;
use crate::cli::remote::listing::Listing;
use crate::cli::remote::{DaemonArgs, blocking, encoded};
use crate::cli::shown::cell;
use crate::entropy::Entropy;

#[derive(Debug, Args)]
pub struct NoticeArgs {
    #[command(subcommand)]
    command: NoticeCommand,
    #[command(flatten)]
    daemon: DaemonArgs,
}

#[derive(Debug, Subcommand)]
enum NoticeCommand {
    /// List the notices to the core
    List {
        /// Only notices of this state
        #[arg(long, value_parser = ["owed", "acknowledged", "parked"])]
        state: Option<String>,
    },
    /// Make another key that signs notices, beside the one in force, in a data folder
    RotateKey {
        /// The data folder
        #[arg(long, value_name = "DIR", default_value = "./data")]
        data: PathBuf,
    },
    /// Take the older of two keys away, once the core knows the newer one
    RetireKey {
        /// The data folder
        #[arg(long, value_name = "DIR", default_value = "./data")]
        data: PathBuf,
    },
    /// Send an order's notice now, parked or not
    Retry {
        /// Our id of the order (19 digits)
        id: String,
        /// The reason, for the audit trail
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
}

const NOTICES: Listing = Listing {
    rows: "notices",
    heading: &["id", "state", ">tries", "due", "url", "last error"],
    cells: |row| {
        ["id", "state", "tries", "due_at", "url", "last_error"].map(|name| cell(row, name)).into()
    },
};

pub fn run(args: &NoticeArgs) -> anyhow::Result<ExitCode> {
    let daemon = &args.daemon;
    match &args.command {
        NoticeCommand::List { state } => {
            blocking(NOTICES.print(daemon, "/v1/notices", &[("state", state.as_deref())]))?;
        }
        NoticeCommand::RotateKey { data } => {
            let file = rotate_notice_key(data, &Entropy::System)?;
            tell(daemon.json, &file, "the first line is the new key: give it to the core")?;
        }
        NoticeCommand::RetireKey { data } => {
            let file = retire_notice_key(data)?;
            tell(daemon.json, &file, "one key is left")?;
        }
        NoticeCommand::Retry { id, reason } => {
            let path = format!("/v1/notices/{}/retry", encoded(id));
            let body = json!({ "reason": reason });
            daemon.show(&blocking(daemon.json(reqwest::Method::POST, &path, Some(&body)))?)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Says where the keys are, and never what they are.
fn tell(as_json: bool, file: &Path, what: &str) -> anyhow::Result<()> {
    if as_json {
        return say!("{}", json!({ "file": file }));
    }
    say!("{}: {what}; kill -HUP has the daemon sign with it", file.display())
}
