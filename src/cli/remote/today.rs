//! `switchyard today`: the day at a glance, and what wants a person.

use std::process::ExitCode;

use clap::Args;
use serde_json::Value;

use crate::cli::output::say;
use crate::cli::remote::listing::list;
use crate::cli::remote::{DaemonArgs, blocking};
use crate::cli::shown::{cell, money, share};
use crate::cli::table::aligned;

#[derive(Debug, Args)]
pub struct TodayArgs {
    #[command(flatten)]
    daemon: DaemonArgs,
}

pub fn run(args: &TodayArgs) -> anyhow::Result<ExitCode> {
    let daemon = &args.daemon;
    let today = blocking(daemon.json(reqwest::Method::GET, "/v1/today", None))?;
    if daemon.json {
        say!("{today}")?;
        return Ok(ExitCode::SUCCESS);
    }
    let alerts: Vec<_> = list(&today, "alerts").map(alert).collect();
    match alerts.is_empty() {
        true => say!("nothing needs a person\n")?,
        false => say!("{}", aligned(&["what stands", "about", ">count", "look at"], &alerts))?,
    }
    say!("{}", aligned(&["what is open", ">count", "of which"], &open(&today)))?;
    let heading = [
        "channel",
        "date",
        ">requests",
        ">success",
        ">mean ms",
        ">p95 ms",
        ">cleared",
        ">volume",
        "state",
    ];
    let channels: Vec<_> = list(&today, "channels").map(channel).collect();
    crate::cli::output::write(format_args!("{}", aligned(&heading, &channels)))?;
    Ok(ExitCode::SUCCESS)
}

/// An alert, with the command that shows more of it.
fn alert(row: &Value) -> Vec<String> {
    let (what, about) = (cell(row, "what"), cell(row, "about"));
    let look_at = match what.as_str() {
        "clock_doubted" => "switchyard clock show".to_owned(),
        "operator_needed" => "switchyard reversal list --phase operator".to_owned(),
        "accounting_parked" => "switchyard accounting list --state parked".to_owned(),
        "notices_parked" => "switchyard notice list --state parked".to_owned(),
        "breaker_open" | "channel_off" | "certificate_ends" => {
            "switchyard channel list --daemon".to_owned()
        }
        "not_ready" | "day_overdue" | "worker_failed" => "switchyard worker list".to_owned(),
        "reload_held" => "switchyard reload --reason TEXT".to_owned(),
        _ => "-".to_owned(),
    };
    vec![what, about, counted(row, "count"), look_at]
}

/// A count, with `+` where there may be more than were counted.
fn counted(row: &Value, name: &str) -> String {
    let more = if row["more"] == true { "+" } else { "" };
    format!("{}{more}", cell(row, name))
}

fn open(today: &Value) -> Vec<Vec<String>> {
    let row = |what: &str, count: String, told: String| vec![what.to_owned(), count, told];
    let unknowns = &today["unknowns"];
    let mut rows = vec![row(
        "unknowns",
        counted(unknowns, "open"),
        match unknowns.get("oldest_at") {
            Some(_) => format!("the oldest since {}", cell(unknowns, "oldest_at")),
            None => "-".to_owned(),
        },
    )];
    for what in ["accounting", "notices"] {
        let backlog = &today[what];
        let total = ["owed", "parked"].map(|name| backlog[name].as_u64().unwrap_or_default());
        let told = format!("{} owed, {} parked", total[0], total[1]);
        rows.push(row(what, (total[0] + total[1]).to_string(), told));
    }
    rows.extend(list(today, "differences").map(|one| {
        let both = ["carried", "suspended"].map(|name| one[name].as_u64().unwrap_or_default());
        let more = if one["more"] == true { "+" } else { "" };
        let told = format!("{} carried over, {} in suspense", both[0], both[1]);
        let what = format!("differences of {}", cell(one, "channel"));
        row(&what, format!("{}{more}", both[0] + both[1]), told)
    }));
    rows.extend(list(today, "days_open").map(|one| {
        let overdue = if one["overdue"] == true { ", overdue" } else { "" };
        let told = format!("{} to {}{overdue}", cell(one, "from"), cell(one, "to"));
        row(&format!("days of {}", cell(one, "channel")), "-".to_owned(), told)
    }));
    rows
}

fn channel(row: &Value) -> Vec<String> {
    let (traffic, more) = (&row["traffic"], if row["more"] == true { "+" } else { "" });
    let sums = |told: fn(&Value) -> String| {
        let told: Vec<_> = list(row, "cleared").map(|sum| told(sum) + more).collect();
        if told.is_empty() { "-".to_owned() } else { told.join("\n") }
    };
    let mut states = vec![cell(row, "state")];
    states.extend((row["enabled"] == false).then(|| "off".to_owned()));
    states.extend((row["breaker_open"] == true).then(|| "breaker open".to_owned()));
    vec![
        cell(row, "id"),
        cell(row, "date"),
        cell(traffic, "requests"),
        share(traffic, "success_rate_ppm"),
        cell(traffic, "mean_ms"),
        cell(traffic, "p95_ms"),
        sums(|sum| cell(sum, "records")),
        sums(|sum| money(sum, "principal", &cell(sum, "currency"))),
        states.join(", "),
    ]
}
