//! `switchyard route replay`: what other routes or channel files would have made of past orders.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use serde_json::{Map, Value, json};

use crate::channel::file::whole::WholeFile;
use crate::cli::load::print_mistakes;
use crate::cli::output::{say, write};
use crate::cli::remote::listing::list;
use crate::cli::remote::{DaemonArgs, DaemonRefusal, blocking};
use crate::cli::table::aligned;
use crate::domain::ids::ChannelId;
use crate::domain::money::{Currency, major};

#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// Orders from this time on: RFC 3339, or a date, whose beginning in UTC it is
    #[arg(long, value_name = "TIME")]
    from: String,
    /// Orders before this time
    #[arg(long, value_name = "TIME")]
    to: String,
    /// The routes to try; those in force, if left out
    #[arg(long, value_name = "FILE")]
    routes: Option<PathBuf>,
    /// A folder of channel files to try: in place of those of the same name, or beside them
    #[arg(long, value_name = "DIR", required_unless_present = "routes")]
    channels: Option<PathBuf>,
    /// The most orders that are planned again
    #[arg(long, value_name = "N", default_value_t = 5_000_000)]
    orders_max: u32,
    #[command(flatten)]
    remote: DaemonArgs,
}

impl ReplayArgs {
    /// Where the file lies that the daemon has been sent: a channel's under its name, and else the
    /// routes.
    fn path_of(&self, file: &str) -> String {
        let of_channel = self.channels.as_ref().filter(|_| file.ends_with(".toml"));
        let path = of_channel.map(|folder| folder.join(file)).or_else(|| self.routes.clone());
        path.map_or_else(|| file.to_owned(), |path| path.display().to_string())
    }
}

/// Asks the daemon and prints its report. The exit code is 1 where the files have mistakes.
pub fn run(args: &ReplayArgs) -> anyhow::Result<ExitCode> {
    let mut question = json!({ "from": args.from, "to": args.to, "orders_max": args.orders_max });
    if let Some(path) = &args.routes {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("`{}` cannot be read", path.display()))?;
        question["routes"] = text.into();
    }
    if let Some(folder) = &args.channels {
        let Some(files) = channel_files(folder)? else { return Ok(ExitCode::from(1)) };
        question["channels"] = files.into();
    }
    let post = reqwest::Method::POST;
    let report = match blocking(args.remote.json(post, "/v1/routes/replay", Some(&question))) {
        Ok(report) => report,
        Err(error) => {
            let refusal = error.downcast::<DaemonRefusal>()?;
            let mistakes = refusal.mistakes(|file| args.path_of(file));
            if mistakes.is_empty() {
                return Err(refusal.into());
            }
            print_mistakes(&mistakes);
            return Ok(ExitCode::from(1));
        }
    };
    if args.remote.json {
        say!("{report}")?;
    } else {
        print(&report)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The whole text of each channel's file; `None` where they have mistakes, which were printed.
fn channel_files(folder: &Path) -> anyhow::Result<Option<Map<String, Value>>> {
    let entries = std::fs::read_dir(folder)
        .with_context(|| format!("the folder `{}` cannot be read", folder.display()))?;
    let mut files = Map::new();
    for entry in entries {
        let path = entry?.path();
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        if path.extension().is_none_or(|extension| extension != "toml")
            || ChannelId::parse(stem).is_err()
        {
            continue;
        }
        match WholeFile::read(&path) {
            Ok(file) => files.insert(stem.to_owned(), file.text.into()),
            Err(mistakes) => {
                print_mistakes(&mistakes);
                return Ok(None);
            }
        };
    }
    Ok(Some(files))
}

fn print(report: &Value) -> anyhow::Result<()> {
    let (orders, moved) = (number(&report["orders"]), number(&report["moved"]));
    let percent = if orders == 0 { 0.0 } else { 100.0 * moved as f64 / orders as f64 };
    say!("{orders} orders planned again; {moved} go elsewhere ({percent:.2} %)")?;
    if let Some(at) = report["stopped_at"].as_str() {
        say!("it stopped at --orders-max, with an order of {at}")?;
    }
    if number(&report["undecided"]) > 0 {
        let undecided = number(&report["undecided"]);
        say!("{undecided} orders: a rule asks for more digits of the card than the books keep")?;
    }
    say!("")?;
    channels(report)?;
    say!("")?;
    for (side, name) in [("in_force", "in force"), ("candidate", "candidate")] {
        let side = &report[side];
        let approvals = &side["approvals"];
        let known = number(&approvals["known"]);
        let all = known + number(&approvals["expected"]);
        let (low, high) = (number(&approvals["low"]), number(&approvals["high"]));
        let without = number(&side["without_route"]);
        say!("{name}: {all} approvals ({low} to {high} with 95 %; {known} of them are known)")?;
        for (count, words) in [
            (without, "orders that no channel takes"),
            (number(&approvals["open"]), "orders whose end is open"),
            (number(&approvals["without_figures"]), "orders that nothing can be said about"),
        ] {
            if count > 0 {
                say!("    {count} {words}")?;
            }
        }
    }
    struck(report)?;
    moves(report)
}

/// Each channel's part, before and after.
fn channels(report: &Value) -> anyhow::Result<()> {
    let part = |side: &str, channel: &Value, currency: &Value| {
        let shares = list(&report[side], "channels");
        let mut shares =
            shares.filter(|one| one["channel"] == *channel && one["currency"] == *currency);
        shares.next().cloned().unwrap_or_default()
    };
    let mut keys: Vec<(Value, Value)> = Vec::new();
    for side in ["in_force", "candidate"] {
        for one in list(&report[side], "channels") {
            let key = (one["channel"].clone(), one["currency"].clone());
            if !keys.contains(&key) {
                keys.push(key);
            }
        }
    }
    keys.sort_by_key(|(channel, currency)| (text(channel), text(currency)));
    let rows: Vec<Vec<String>> = keys
        .iter()
        .map(|(channel, currency)| {
            let (before, after) =
                (part("in_force", channel, currency), part("candidate", channel, currency));
            let sides = [&before, &after];
            let orders = sides.map(|side| number(&side["orders"]).to_string());
            let of = |name: &str| sides.map(|side| in_major(&side[name], currency));
            let cells = orders.into_iter().chain(of("amount")).chain(of("fee"));
            [text(channel), text(currency)].into_iter().chain(cells).collect()
        })
        .collect();
    let heading = ["channel", "", ">orders", ">then", ">amount", ">then", ">fees", ">then"];
    write(format_args!("{}", aligned(&heading, &rows)))
}

fn struck(report: &Value) -> anyhow::Result<()> {
    let mut rows: Vec<Vec<String>> = Vec::new();
    for (side, name) in [("in_force", "in force"), ("candidate", "candidate")] {
        for one in list(&report[side], "struck") {
            let count = number(&one["orders"]).to_string();
            rows.push(vec![name.to_owned(), text(&one["channel"]), text(&one["reason"]), count]);
        }
    }
    if rows.is_empty() {
        return Ok(());
    }
    say!("")?;
    write(format_args!("{}", aligned(&["struck", "channel", "by", ">orders"], &rows)))
}

fn moves(report: &Value) -> anyhow::Result<()> {
    let moves = list(report, "moves");
    let name = |channel: &Value| match channel {
        Value::Null => "no channel".to_owned(),
        channel => text(channel),
    };
    let rows: Vec<Vec<String>> = moves
        .map(|one| {
            let (orders, amount) = (number(&one["orders"]), &one["amount"]);
            let (from, to) = (name(&one["from"]), name(&one["to"]));
            let currency = &one["currency"];
            vec![from, to, text(currency), orders.to_string(), in_major(amount, currency)]
        })
        .collect();
    if rows.is_empty() {
        return Ok(());
    }
    say!("")?;
    write(format_args!("{}", aligned(&["from", "to", "", ">orders", ">amount"], &rows)))
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn in_major(minor: &Value, currency: &Value) -> String {
    let minor = minor.as_i64().unwrap_or_default();
    major(minor.into(), currency.as_str().and_then(Currency::parse))
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: ReplayArgs,
    }

    #[test]
    fn a_mistake_is_told_of_the_file_that_was_given() {
        let period = ["replay", "--from", "2026-11-01", "--to", "2026-11-02"];
        let given = |more: &[&str]| {
            let line = Line::try_parse_from(period.iter().chain(more));
            line.expect("a command line").args
        };
        let both = given(&["--routes", "new/r.toml", "--channels", "new/channels"]);
        assert_eq!(both.path_of("routes"), "new/r.toml");
        assert_eq!(both.path_of("bank.toml"), "new/channels/bank.toml");
        let refusal = DaemonRefusal::of(json!({ "code": "files_refused", "faults": {
            "count": 1,
            "first": [{
                "file": "bank.toml", "line": 3, "key": "state", "problem": "is wrong",
                "advice": "mend it",
            }],
        }}));
        let told = refusal.mistakes(|file| both.path_of(file));
        let told: Vec<String> = told.iter().map(ToString::to_string).collect();
        assert_eq!(told, ["new/channels/bank.toml:3: state: is wrong; mend it"]);
    }
}
