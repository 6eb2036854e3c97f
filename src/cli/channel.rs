//! `switchyard channel list|rates|check|switch|push`: the channel files, their abilities and
//! limits, the health, the success rates and the switch of a running daemon's channels, and what
//! all nodes run.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::app::{StartError, view_channels};
use crate::certify::stand_ins;
use crate::channel::registry::ChannelStatus;
use crate::channel::samples::check::{SampleReport, check};
use crate::cli::certify::{CertifyArgs, certify};
use crate::cli::explain_signature::{ExplainSignatureArgs, explain_signature};
use crate::cli::load::{SettingsArgs, print_mistakes};
use crate::cli::output::{say, write};
use crate::cli::push::{PushArgs, PushedFile, push};
use crate::cli::remote::listing::{Listing, list as members};
use crate::cli::remote::{DaemonArgs, blocking, encoded};
use crate::cli::shown::{cell, money, share};
use crate::cli::table::aligned;
use crate::clock::Clock;
use crate::config::mistake::Mistake;
use crate::domain::money::{Currency, major};

#[derive(Debug, Args)]
pub struct ChannelArgs {
    #[command(subcommand)]
    command: ChannelCommand,
    #[command(flatten)]
    settings: SettingsArgs,
    /// The data folder, which records the channels that are switched off
    #[arg(long, global = true, value_name = "DIR", default_value = "./data")]
    data: PathBuf,
    #[command(flatten)]
    daemon: DaemonArgs,
}

#[derive(Debug, Subcommand)]
enum ChannelCommand {
    /// List every channel with its abilities and limits, as the files say
    List {
        /// Ask the running daemon, which also knows each channel's health and today's volume
        #[arg(long)]
        daemon: bool,
    },
    /// Show what a running daemon's channel has made of late of orders of each kind
    Rates {
        /// The channel
        channel: String,
        /// Only those of this institution: the first four digits of its issuer codes
        #[arg(long, value_name = "CODE")]
        issuer: Option<String>,
    },
    /// Check channel files, play their golden samples, and report what is missing
    Check {
        /// The files, for instance channels/bank.toml
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// Play every case of a channel file with the real engine, and write a report for the bank
    Certify(CertifyArgs),
    /// Show the text that a signature covers, and look for the fault in one that does not verify
    ExplainSignature(ExplainSignatureArgs),
    /// Give a channel new orders, or none: the operator's switch beside its file's state
    Switch {
        /// The channel's id
        id: String,
        /// `on` or `off`
        #[arg(value_parser = ["on", "off"])]
        switch: String,
        /// The reason, for the audit trail
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// Publish channel files to all nodes of a store that nodes share
    Push {
        /// The files, each named after its channel
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        #[command(flatten)]
        why: PushArgs,
    },
}

pub fn run(args: &ChannelArgs) -> anyhow::Result<ExitCode> {
    match &args.command {
        ChannelCommand::List { daemon: false } => list(args),
        ChannelCommand::List { daemon: true } => {
            blocking(CHANNELS.print_whole(&args.daemon, "/v1/channels"))?;
            Ok(ExitCode::SUCCESS)
        }
        ChannelCommand::Rates { channel, issuer } => {
            let mut path = format!("/v1/channels/{}/rates?limit={RATES_MAX}", encoded(channel));
            if let Some(issuer) = issuer {
                path += &format!("&issuer={}", encoded(issuer));
            }
            blocking(RATES.print_whole(&args.daemon, &path))?;
            Ok(ExitCode::SUCCESS)
        }
        ChannelCommand::Check { files } => {
            let mut wrong = 0;
            for file in files {
                wrong += usize::from(!check_one(file, args.daemon.json)?);
            }
            Ok(ExitCode::from(u8::from(wrong > 0)))
        }
        ChannelCommand::Certify(asked) => certify(asked, args.daemon.json),
        ChannelCommand::ExplainSignature(asked) => explain_signature(asked, args.daemon.json),
        ChannelCommand::Switch { id, switch, reason } => {
            let path = format!("/v1/channels/{}", encoded(id));
            let body = json!({ "enabled": switch == "on", "reason": reason });
            let asked = args.daemon.json(reqwest::Method::PATCH, &path, Some(&body));
            args.daemon.show(&blocking(asked)?)?;
            Ok(ExitCode::SUCCESS)
        }
        ChannelCommand::Push { files, why } => {
            let files: Vec<_> = files.iter().map(|file| PushedFile::Channel(file)).collect();
            push((&args.settings, &args.data), &files, (why, args.daemon.json))
        }
    }
}

/// The daemon's channels.
const CHANNELS: Listing = Listing {
    rows: "channels",
    heading: &[
        "id",
        "protocol",
        "state",
        "switch",
        "breaker",
        ">success",
        ">used today",
        ">left today",
    ],
    cells: |channel| {
        let part = |name: &str, member: &str| {
            channel.get(name).map_or_else(|| "-".to_owned(), |part| cell(part, member))
        };
        let is = |value: &str| value == "true";
        let currency = members(channel, "currencies").next().and_then(Value::as_str);
        let of_today = |member: &str| {
            channel.get("limits").map_or_else(
                || "-".to_owned(),
                |limits| money(limits, member, currency.unwrap_or_default()),
            )
        };
        vec![
            cell(channel, "id"),
            cell(channel, "protocol"),
            cell(channel, "state"),
            if is(&cell(channel, "enabled")) { "on" } else { "off" }.to_owned(),
            if is(&part("health", "breaker_open")) { "open" } else { "closed" }.to_owned(),
            share(&channel["health"], "success_rate_ppm"),
            of_today("used_today"),
            of_today("left_today"),
        ]
    },
};

/// The most rates that are shown, those with the most samples.
const RATES_MAX: usize = 1_000;

/// A channel's success rates. A dash stands for what is not told apart.
const RATES: Listing = Listing {
    rows: "rates",
    heading: &[
        "operation",
        "issuer",
        "name",
        "card type",
        ">from, in minor units",
        ">to",
        ">success",
        ">samples",
        "ranks",
    ],
    cells: |rate| {
        let ppm: Option<u64> = cell(rate, "success_rate_ppm").parse().ok();
        vec![
            cell(rate, "operation"),
            cell(rate, "issuer"),
            cell(rate, "issuer_name"),
            cell(rate, "card_type"),
            cell(rate, "amount_from"),
            cell(rate, "amount_to"),
            ppm.map_or_else(
                || "-".to_owned(),
                |ppm| format!("{}.{:02}%", ppm / 10_000, ppm % 10_000 / 100),
            ),
            cell(rate, "samples"),
            if cell(rate, "ranks") == "true" { "yes" } else { "no" }.to_owned(),
        ]
    },
};

/// Prints the result of a check; returns whether the file is valid.
fn check_one(file: &Path, as_json: bool) -> anyhow::Result<bool> {
    match check(file, &stand_ins(file), Clock::System.now()) {
        Ok(report) => show(file, &report, as_json),
        Err(mistakes) if as_json => {
            let file = file.display().to_string();
            say!("{}", json!({ "file": file, "valid": false, "mistakes": forms(&mistakes) }))?;
            Ok(false)
        }
        Err(mistakes) => {
            print_mistakes(&mistakes);
            Ok(false)
        }
    }
}

/// A file stays valid where something is missing, but not where a sample fails.
fn show(file: &Path, report: &SampleReport, as_json: bool) -> anyhow::Result<bool> {
    let valid = report.failed.is_empty() && report.ended.is_empty();
    let file = file.display().to_string();
    if as_json {
        let shown = json!({
            "file": file,
            "valid": valid,
            "state": report.state.name(),
            "samples": report.played.len(),
            "failed": forms(&report.failed),
            "ended": forms(&report.ended),
            "ending": forms(&report.ending),
            "missing": forms(&report.missing),
        });
        say!("{shown}")?;
    } else {
        for missing in &report.missing {
            say!("missing: {missing}")?;
        }
        for ended in &report.ended {
            say!("ended: {ended}")?;
        }
        for ending in &report.ending {
            say!("ending: {ending}")?;
        }
        for failed in &report.failed {
            say!("failed: {failed}")?;
        }
        let (state, played) = (report.state.name(), report.played.len());
        let failed = report.failed.len();
        say!(
            "{file}: no mistakes; the channel is {state}; samples: {played} played, {failed} failed"
        )?;
    }
    Ok(valid)
}

fn forms(mistakes: &[Mistake]) -> Vec<serde_json::Value> {
    let form = |one: &Mistake| {
        json!({
            "file": one.file, "line": one.line, "key": one.key,
            "problem": one.problem, "advice": one.advice,
        })
    };
    mistakes.iter().map(form).collect()
}

fn list(args: &ChannelArgs) -> anyhow::Result<ExitCode> {
    let loaded = args.settings.load().map_err(StartError::Mistakes);
    let registry = loaded.and_then(|settings| view_channels(&settings, &args.data));
    let registry = match registry {
        Ok(registry) => registry,
        Err(StartError::Mistakes(mistakes)) => {
            print_mistakes(&mistakes);
            return Ok(ExitCode::from(1));
        }
        Err(error) => return Err(error.into()),
    };
    let statuses = registry.statuses();
    if args.daemon.json {
        statuses.iter().try_for_each(|status| say!("{}", form(status)))?;
        return Ok(ExitCode::SUCCESS);
    }
    let rows: Vec<Vec<String>> = statuses.iter().map(row).collect();
    let heading = ["id", "protocol", "state", "switch", ">at most", "operations"];
    write(format_args!("{}", aligned(&heading, &rows)))?;
    Ok(ExitCode::SUCCESS)
}

fn row(status: &ChannelStatus) -> Vec<String> {
    vec![
        status.id.to_string(),
        status.protocol.clone(),
        status.state.name().to_owned(),
        if status.enabled { "on" } else { "off" }.to_owned(),
        match status.currencies.first() {
            None => status.per_order_max_minor.to_string(),
            Some(name) => {
                let amount = major(status.per_order_max_minor.into(), Currency::parse(name));
                format!("{amount} {name}")
            }
        },
        status.operations.join(" "),
    ]
}

/// The file's terms and the switch. Only a daemon knows the channel's health.
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
        "limits": {
            "per_order_min": status.per_order_min_minor,
            "per_order_max": status.per_order_max_minor,
            "per_day": status.per_day_minor,
            "payouts_per_day": status.payouts_per_day_minor,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Readers of this repository do not have the real credentials.
    #[test]
    fn every_shipped_file_s_samples_are_played_without_its_real_credentials() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("channels");
        let banks = ["harbour-bank", "meadow-bank", "canyon-pay", "quarry-bank"];
        for id in banks.into_iter().chain(["unionpay", "unionpay-token", "lakeside-acquirer"]) {
            let file = folder.join(format!("{id}.toml"));
            let report =
                check(&file, &stand_ins(&file), Clock::System.now()).expect("a right file");
            assert!(!report.played.is_empty(), "{id}");
            let failed: Vec<String> = report.failed.iter().map(ToString::to_string).collect();
            assert_eq!(failed, Vec::<String>::new(), "{id}");
            let unshown = report.missing.iter().filter(|one| one.problem.contains("no sample"));
            assert_eq!(unshown.count(), 0, "{id}");
        }
    }
}
