//! `switchyard report`: a channel's day on one page.

use std::process::ExitCode;

use clap::Args;
use serde_json::Value;

use crate::cli::output::{say, write};
use crate::cli::remote::listing::list;
use crate::cli::remote::{DaemonArgs, blocking, encoded};
use crate::cli::shown::{amount, cell, share};
use crate::cli::table::aligned;

#[derive(Debug, Args)]
pub struct ReportArgs {
    channel: String,
    /// The clearing date, YYYY-MM-DD
    date: String,
    #[command(flatten)]
    daemon: DaemonArgs,
}

pub fn run(args: &ReportArgs) -> anyhow::Result<ExitCode> {
    let (channel, date) = (encoded(&args.channel), encoded(&args.date));
    let path = format!("/v1/channels/{channel}/report?date={date}");
    let report = blocking(args.daemon.json(reqwest::Method::GET, &path, None))?;
    if args.daemon.json {
        say!("{report}")?;
    } else {
        write(format_args!("{}", page(&report)))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// One part of the page: its title, the list in the report, and the members that are its columns.
struct ReportPart {
    title: &'static str,
    rows: &'static str,
    /// A column of numbers begins with `>`.
    columns: &'static [&'static str],
}

const PARTS: [ReportPart; 7] = [
    ReportPart {
        title: "orders",
        rows: "volume",
        columns: &[
            "operation",
            ">orders",
            ">succeeded",
            ">failed",
            ">reversed",
            ">open",
            ">attempts",
            ">approved",
            ">faults",
            ">not_sent",
        ],
    },
    ReportPart {
        title: "clearing",
        rows: "clearing",
        columns: &["movement", "currency", ">records", ">principal", ">fee", ">net"],
    },
    ReportPart {
        title: "contradicted",
        rows: "contradicted",
        columns: &["currency", ">records", ">principal", ">fee", ">net"],
    },
    ReportPart {
        title: "fees by rule",
        rows: "fees",
        columns: &["rule", "currency", ">records", ">principal", ">fee"],
    },
    ReportPart {
        title: "cost against income",
        rows: "profit",
        columns: &["currency", ">orders", ">merchant_fee", ">channel_fee", ">margin", ">without"],
    },
    ReportPart {
        title: "open differences",
        rows: "differences",
        columns: &["class", ">carried", ">suspended"],
    },
    ReportPart {
        title: "suspense by age in days",
        rows: "suspense",
        columns: &["age", "currency", ">differences", ">receivable", ">payable"],
    },
];

/// The columns that are money, in the currency of their row.
const AMOUNTS: [&str; 8] =
    ["principal", "fee", "net", "merchant_fee", "channel_fee", "margin", "receivable", "payable"];

fn page(report: &Value) -> String {
    let closed = report.get("closed").map_or_else(
        || "open".to_owned(),
        |close| format!("closed {} by {}", cell(close, "at"), cell(close, "by")),
    );
    let mut text = format!("{} {}, {closed}\n", cell(report, "channel"), cell(report, "date"));
    if report.get("success_rate_ppm").is_some() {
        text += &format!("success rate {}\n", share(report, "success_rate_ppm"));
    }
    for part in &PARTS {
        let cells = |row: &Value| {
            let currency = cell(row, "currency");
            let shown = |name: &&str| match name.trim_start_matches('>') {
                name if AMOUNTS.contains(&name) => amount(row, name, &currency),
                name => cell(row, name),
            };
            part.columns.iter().map(shown).collect()
        };
        let rows: Vec<Vec<String>> = list(report, part.rows).map(cells).collect();
        if !rows.is_empty() {
            text += &format!("\n{}\n{}", part.title, aligned(part.columns, &rows));
        }
    }
    text += "\nstatement and settlement\n";
    text += &match report.get("statement") {
        None => "no statement is reconciled\n".to_owned(),
        Some(statement) => format!(
            "batch {}, revision {}, {} differences, {}\n",
            cell(statement, "batch"),
            cell(statement, "revision"),
            cell(statement, "differences"),
            if statement.get("agreed") == Some(&Value::Bool(true)) {
                "agreed"
            } else {
                "not agreed"
            }
        ),
    };
    let rows = list(report, "settlement").map(|row| {
        let currency = cell(row, "currency");
        let net = |name: &str| {
            row.get(name).map_or_else(|| "-".to_owned(), |one| amount(one, "net", &currency))
        };
        vec![currency.clone(), cell(row, "state"), net("stated"), net("settled")]
    });
    let rows: Vec<Vec<String>> = rows.collect();
    if !rows.is_empty() {
        text += &aligned(&["currency", "state", ">stated_net", ">settled_net"], &rows);
    }
    text
}
