//! `switchyard reconcile`: reconciles a statement file in the running daemon's books or, without a
//! daemon, against exported clearing records.
//!
//! Exit codes of both forms: 0 both sides agree; 2 there are differences; 1 there is no report.

mod list;
mod offline;
mod table;
mod upload;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde_json::Value;

use crate::cli::output::{say, write};
use crate::cli::remote::{DaemonArgs, blocking};

/// There are differences.
const DIFFERENT: u8 = 2;

#[derive(Debug, Args)]
#[command(override_usage = "switchyard reconcile [OPTIONS] <CHANNEL> <DATE> <FILE>\n       \
                      switchyard reconcile [OPTIONS] --layout <NAME|FILE> --statement <FILE> \
                      --records <FILE.csv>")]
pub struct ReconcileArgs {
    /// The channel whose statement it is; the running daemon reconciles it into its books
    #[arg(value_name = "CHANNEL", requires = "file")]
    channel: Option<String>,
    /// The statement's date, YYYY-MM-DD
    #[arg(value_name = "DATE", requires = "file")]
    day: Option<String>,
    /// The statement; a ZIP or gzip file is unpacked
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// Where to write everything that is not a plain match, as CSV
    #[arg(long, value_name = "OUT.csv")]
    differences: Option<PathBuf>,
    #[command(flatten)]
    offline: offline::OfflineArgs,
    #[command(flatten)]
    daemon: DaemonArgs,
}

pub fn run(args: &ReconcileArgs) -> anyhow::Result<ExitCode> {
    let out = args.differences.as_deref();
    let report = match (&args.channel, &args.day, &args.file) {
        (Some(channel), Some(day), Some(file)) => {
            let statement = upload::Statement { channel, day, file };
            blocking(upload::reconcile(&args.daemon, &statement, out))?
        }
        _ => offline::reconcile_files(&args.offline, args.daemon.json, out)?,
    };
    if args.daemon.json {
        say!("{report}")?;
    } else {
        write(format_args!("{}", table::table(&report)))?;
    }
    let agreed = report.get("agreed") == Some(&Value::Bool(true));
    Ok(if agreed { ExitCode::SUCCESS } else { ExitCode::from(DIFFERENT) })
}
