//! The form without a daemon: a statement file against exported clearing records.

use std::fs;
use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};

use crate::cli::load::print_mistakes;
use crate::cli::reconcile::list::List;
use crate::codec::layout::Layout;
use crate::config::layout;
use crate::domain::books::reconcile::Tolerance;
use crate::domain::time::BusinessDate;
use crate::entropy::Entropy;
use crate::reconciliation::matching::form::{COLUMNS, SummaryForm, list};
use crate::reconciliation::matching::{
    Budget, Comparison, FileRows, JOINED, MEMORY_BYTES, MatchError, MatchReport, MatchedSides,
    StatementInput, Watch, reconcile,
};

const MEBIBYTE: u64 = 1024 * 1024;

#[derive(Debug, Args)]
#[command(next_help_heading = "Without a daemon")]
pub struct OfflineArgs {
    /// A shipped layout's name (unionpay-zm, unionpay-zme, wechat-trade, alipay-trade, generic-csv,
    /// generic-pipe, generic-fixed), or a TOML file with one
    #[arg(
        long,
        value_name = "NAME|FILE",
        required_unless_present = "channel",
        conflicts_with = "channel"
    )]
    layout: Option<String>,
    /// The channel's statement; a ZIP or gzip file is unpacked
    #[arg(
        long,
        value_name = "FILE",
        required_unless_present = "channel",
        conflicts_with = "channel"
    )]
    statement: Option<PathBuf>,
    /// The file with its totals, where that is no archive that has it too: UnionPay's RD
    #[arg(long, value_name = "FILE", conflicts_with = "channel")]
    summary: Option<PathBuf>,
    /// Our side: what `switchyard clearing export` wrote
    #[arg(
        long,
        value_name = "FILE.csv",
        required_unless_present = "channel",
        conflicts_with = "channel"
    )]
    records: Option<PathBuf>,
    /// The statement's date, YYYY-MM-DD: lines of another are refused, records after it are not due
    #[arg(long, value_name = "YYYY-MM-DD", conflicts_with = "channel")]
    date: Option<String>,
    /// By how much a fee may differ, in minor units
    #[arg(long, value_name = "MINOR", default_value_t = 0, conflicts_with = "channel",
          value_parser = clap::value_parser!(i64).range(0..=1_000_000))]
    fee_tolerance: i64,
    /// Memory for rows, in MiB; past it they go to temporary files
    #[arg(long, value_name = "MIB", default_value_t = MEMORY_BYTES / MEBIBYTE,
          conflicts_with = "channel",
          value_parser = clap::value_parser!(u64).range(1..=1_048_576))]
    memory: u64,
    /// Where temporary files go; the system's folder unless it is given
    #[arg(long, value_name = "FOLDER", conflicts_with = "channel")]
    temporary: Option<PathBuf>,
}

/// Compares the files; returns the sums as JSON.
pub fn reconcile_files(
    args: &OfflineArgs,
    quiet: bool,
    differences: Option<&Path>,
) -> anyhow::Result<Value> {
    let missing = || "give CHANNEL, DATE and FILE, or --layout, --statement and --records";
    let name = args.layout.as_deref().with_context(missing)?;
    let statement = args.statement.as_deref().with_context(missing)?;
    let records = args.records.as_deref().with_context(missing)?;
    let layout = layout_of(name)?;
    let date = match args.date.as_deref() {
        None => None,
        Some(text) if text.is_ascii() => match BusinessDate::parse(text) {
            Some(date) => Some(date),
            None => bail!("--date is no date YYYY-MM-DD"),
        },
        Some(_) => bail!("--date is no date YYYY-MM-DD"),
    };
    let (records_layout, temporary) = (layout::records(), std::env::temp_dir());
    let summary = args.summary.as_deref();
    let file = StatementInput { path: statement, layout: &layout, summary, date };
    let comparison = Comparison {
        date,
        tolerance: Tolerance { fee_minor: args.fee_tolerance },
        carried: false,
        differences_max: u64::MAX,
        seed: Entropy::System.draw(),
    };
    let temporary = args.temporary.as_deref().unwrap_or(&temporary);
    let budget = Budget::new(args.memory * MEBIBYTE, temporary);
    let bar = Bar::new([statement, records], quiet);
    let report = || {
        let mut theirs = FileRows::statement(file, &budget, &bar)?;
        let mut ours = FileRows::records(records, &records_layout, &budget, &bar)?;
        let matched = reconcile(&mut theirs, &mut ours, &comparison, &budget, &bar)?;
        match differences {
            None => matched.report(|_| Ok(())),
            Some(path) => list_differences(matched, path),
        }
    };
    let report = report();
    bar.bar.finish_and_clear();
    Ok(as_json(&report?))
}

fn layout_of(name: &str) -> anyhow::Result<Layout> {
    let path = Path::new(name);
    if !path.is_file() {
        return layout::shipped(name)
            .map_err(|problem| anyhow::anyhow!("--layout {name} is not a file, and {problem}"));
    }
    let text = fs::read_to_string(path).with_context(|| format!("{name} cannot be read"))?;
    layout::parse(name, &text).or_else(|mistakes| {
        print_mistakes(&mistakes);
        bail!("{name} is not a layout")
    })
}

/// A progress bar, on a terminal.
struct Bar {
    bar: ProgressBar,
    /// The weight of a joined part beside the bytes.
    part: u64,
}

impl Bar {
    fn new(files: [&Path; 2], quiet: bool) -> Self {
        let length = |path: &Path| fs::metadata(path).map_or(0, |metadata| metadata.len());
        let bytes: u64 = files.into_iter().map(length).sum();
        let shown = !quiet && io::stderr().is_terminal();
        let target =
            if shown { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        // Joining takes about a third as long as reading.
        let part = bytes / 3 / JOINED;
        let bar = ProgressBar::with_draw_target(Some(bytes + part * JOINED), target);
        let style = ProgressStyle::with_template("reconciling {bar:40} {percent:>3} % {eta}");
        if let Ok(style) = style {
            bar.set_style(style);
        }
        Self { bar, part }
    }
}

impl Watch for Bar {
    fn read(&self, bytes: u64) {
        self.bar.inc(bytes);
    }

    fn joined(&self, parts: u64) {
        self.bar.inc(self.part * parts);
    }
}

fn list_differences(
    matched: MatchedSides<'_, FileRows<'_>, FileRows<'_>>,
    path: &Path,
) -> Result<MatchReport, MatchError> {
    let failed = |source| MatchError::Write { source };
    let mut file = List::begin(path).map_err(failed)?;
    let mut writer = csv::Writer::from_writer(&mut file);
    let mut numbers = itoa::Buffer::new();
    let mut row = csv::ByteRecord::new();
    writer.write_record(COLUMNS).map_err(|error| failed(error.into()))?;
    let report = matched.report(|verdict| {
        row.clear();
        list(&verdict, &mut row, &mut numbers);
        writer.write_byte_record(&row).map_err(|error| failed(error.into()))
    })?;
    writer.flush().map_err(failed)?;
    drop(writer);
    file.finish().map_err(failed)?;
    Ok(report)
}

fn as_json(report: &MatchReport) -> Value {
    let form = SummaryForm::of(&report.totals, &report.theirs, &report.ours);
    let mut told = json!({ "agreed": report.is_agreed() });
    let problems = report.problems.iter();
    let problems =
        problems.map(|(line, problem)| json!({"line": line, "problem": problem.to_string()}));
    let rest = json!({
        "is_counted": report.is_counted,
        "lines_agreed": report.agreed.count(),
        "differences": report.differences,
        "problems": problems.collect::<Vec<_>>(),
        "spilled_bytes": report.spilled_bytes,
    });
    let form = serde_json::to_value(form).unwrap_or_default();
    if let Some(told) = told.as_object_mut() {
        for part in [form, rest] {
            told.extend(part.as_object().cloned().unwrap_or_default());
        }
    }
    told
}
