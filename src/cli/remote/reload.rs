//! `switchyard reload`: has the running daemon read channel files, routes and BIN table anew.

use std::process::ExitCode;

use clap::Args;
use reqwest::Method;
use serde_json::{Value, json};

use crate::cli::output::{note, say};
use crate::cli::remote::listing::list;
use crate::cli::remote::{DaemonArgs, DaemonRefusal, blocking};
use crate::cli::shown::cell;

#[derive(Debug, Args)]
pub struct ReloadArgs {
    /// Why: it is kept in the audit trail
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Put it in force however many of the last day's orders go elsewhere
    #[arg(long)]
    accept_moves: bool,
    /// With --accept-moves: the files whose moves were shown, and no others
    #[arg(long, value_name = "NAME", requires = "accept_moves")]
    files: Option<String>,
    #[command(flatten)]
    daemon: DaemonArgs,
}

/// Asks the daemon. The exit code is 1 where the reload is held or refused.
pub fn run(args: &ReloadArgs) -> anyhow::Result<ExitCode> {
    let mut body = json!({ "reason": args.reason, "accept_moves": args.accept_moves });
    if let Some(files) = &args.files {
        body["files"] = files.as_str().into();
    }
    let answer = match blocking(args.daemon.json(Method::POST, "/v1/reload", Some(&body))) {
        Ok(answer) => answer,
        Err(error) => {
            let refusal = error.downcast::<DaemonRefusal>()?;
            let Some(held) = refusal.member("held") else { return Err(refusal.into()) };
            if args.daemon.json {
                say!("{}", json!({ "held": held }))?;
            } else {
                note!("switchyard: the reload is held; what was in force stays");
                moves(&held["moves"])?;
                note!(
                    "to put it in force: switchyard reload --accept-moves --files {} --reason TEXT",
                    cell(held, "files")
                );
            }
            return Ok(ExitCode::from(1));
        }
    };
    if args.daemon.json {
        say!("{answer}")?;
        return Ok(ExitCode::SUCCESS);
    }
    match answer.get("rules") {
        Some(rules) => say!("in force: {} channels, {rules} rules", answer["channels"])?,
        None => say!("the credentials of {} channels are read anew", answer["channels"])?,
    }
    if answer["bin_table_changed"] == true {
        say!("a newer version of the BIN table is in force")?;
    }
    match answer.get("moves") {
        Some(moved) => moves(moved)?,
        None => say!("no plan changes")?,
    }
    Ok(ExitCode::SUCCESS)
}

/// What a change does to the orders of late, in words.
fn moves(moves: &Value) -> anyhow::Result<()> {
    let percent = moves["share_ppm"].as_f64().unwrap_or_default() / 10_000.0;
    let (moved, orders) = (&moves["moved"], &moves["orders"]);
    say!("{moved} of the last day's {orders} orders ({percent:.2} %) go elsewhere")?;
    let name = |channel: &Value| channel.as_str().unwrap_or("no channel").to_owned();
    for one in list(moves, "largest") {
        say!("    {} to {}: {}", name(&one["from"]), name(&one["to"]), one["orders"])?;
    }
    Ok(())
}
