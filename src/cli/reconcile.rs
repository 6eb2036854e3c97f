//! `switchyard reconcile`: a statement file against exported clearing records, without a daemon.
//!
//! Exit codes: 0 both sides agree; 2 there are differences; 1 there is no report.

use std::fs::{self, File};
use std::io::{self, BufWriter, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};

use crate::cli::load::print_mistakes;
use crate::codec::layout::Layout;
use crate::config::layout;
use crate::domain::books::reconcile::{Class, Key, Sums, Tally, Tolerance};
use crate::domain::money::Currency;
use crate::domain::time::BusinessDate;
use crate::entropy::Entropy;
use crate::reconcile::{
    Difference, JOINED, MEMORY_BYTES, ReconcileError, Report, Request, Text, Watch, reconcile,
};

/// There are differences.
const DIFFERENT: u8 = 2;
const MEBIBYTE: u64 = 1024 * 1024;

#[derive(Debug, Args)]
pub struct ReconcileArgs {
    /// A shipped layout's name (unionpay-zm, unionpay-zme, wechat-trade, alipay-trade, generic-csv,
    /// generic-pipe, generic-fixed), or a TOML file with one
    #[arg(long, value_name = "NAME|FILE")]
    layout: String,
    /// The channel's statement; a ZIP or gzip file is unpacked
    #[arg(long, value_name = "FILE")]
    statement: PathBuf,
    /// Our side: what `switchyard clearing export` wrote
    #[arg(long, value_name = "FILE.csv")]
    records: PathBuf,
    /// The statement's date, YYYY-MM-DD: lines of another are refused, records after it are not due
    #[arg(long)]
    date: Option<String>,
    /// By how much a fee may differ, in minor units
    #[arg(long, value_name = "MINOR", default_value_t = 0,
          value_parser = clap::value_parser!(i64).range(0..=1_000_000))]
    fee_tolerance: i64,
    /// Where to write everything that is not a plain match, as CSV
    #[arg(long, value_name = "OUT.csv")]
    differences: Option<PathBuf>,
    /// Memory for rows, in MiB; past it they go to temporary files
    #[arg(long, value_name = "MIB", default_value_t = MEMORY_BYTES / MEBIBYTE,
          value_parser = clap::value_parser!(u64).range(1..=1_048_576))]
    memory: u64,
    /// Where temporary files go; the system's folder unless it is given
    #[arg(long, value_name = "FOLDER")]
    temporary: Option<PathBuf>,
    /// Print one object of JSON instead of the table
    #[arg(long)]
    json: bool,
}

pub fn run(args: &ReconcileArgs) -> anyhow::Result<ExitCode> {
    let layout = layout_of(&args.layout)?;
    let date = match args.date.as_deref() {
        None => None,
        Some(text) if text.is_ascii() => match BusinessDate::parse(text) {
            Some(date) => Some(date),
            None => bail!("--date is no date YYYY-MM-DD"),
        },
        Some(_) => bail!("--date is no date YYYY-MM-DD"),
    };
    let (records_layout, temporary) = (layout::records(), std::env::temp_dir());
    let request = Request {
        statement: &args.statement,
        layout: &layout,
        records: &args.records,
        records_layout: &records_layout,
        date,
        tolerance: Tolerance { fee_minor: args.fee_tolerance },
        carried: false,
        differences_max: u64::MAX,
        memory_bytes: args.memory * MEBIBYTE,
        folder: args.temporary.as_deref().unwrap_or(&temporary),
        seed: Entropy::System.draw(),
    };
    let bar = Bar::new(&request, args.json);
    let report = match &args.differences {
        None => reconcile(&request, &bar, &mut |_| Ok(())),
        Some(path) => write_differences(&request, &bar, path),
    };
    bar.bar.finish_and_clear();
    let report = report?;
    if args.json {
        println!("{}", as_json(&report));
    } else {
        print!("{}", table(&report));
    }
    Ok(if report.is_agreed() { ExitCode::SUCCESS } else { ExitCode::from(DIFFERENT) })
}

fn layout_of(name: &str) -> anyhow::Result<Layout> {
    let path = Path::new(name);
    if !path.is_file() {
        return layout::shipped(name).map_err(|problem| {
            anyhow::anyhow!("--layout {name}: there is no such file, and {problem}")
        });
    }
    let text = fs::read_to_string(path).with_context(|| format!("{name} cannot be read"))?;
    layout::parse(name, &text).or_else(|mistakes| {
        print_mistakes(&mistakes);
        bail!("{name} is no layout")
    })
}

/// Shows how far it is, on a terminal.
struct Bar {
    bar: ProgressBar,
    /// What a joined part is worth beside the bytes.
    part: u64,
}

impl Bar {
    fn new(request: &Request<'_>, json: bool) -> Self {
        let length = |path: &Path| fs::metadata(path).map_or(0, |metadata| metadata.len());
        let bytes = length(request.statement) + length(request.records);
        let shown = !json && io::stderr().is_terminal();
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

const COLUMNS: [&str; 22] = [
    "class",
    "matched_by",
    "line",
    "order_no",
    "reference",
    "operation",
    "amount",
    "fee",
    "currency",
    "status",
    "settle_date",
    "record",
    "our_order_no",
    "our_reference",
    "our_operation",
    "our_amount",
    "our_fee",
    "our_currency",
    "our_status",
    "our_date",
    "problem",
    "text",
];

/// Written beside its name and given it when it is whole: half a list must not look like one.
fn write_differences(
    request: &Request<'_>,
    watch: &dyn Watch,
    path: &Path,
) -> Result<Report, ReconcileError> {
    let failed = |source| ReconcileError::Write { source };
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".part");
    let part = path.with_file_name(name);
    let file = File::create(&part).map_err(failed)?;
    let mut writer = csv::Writer::from_writer(BufWriter::with_capacity(1 << 18, file));
    let mut numbers = itoa::Buffer::new();
    let mut row = csv::ByteRecord::new();
    let done = writer.write_record(COLUMNS).map_err(|error| failed(error.into())).and_then(|()| {
        reconcile(request, watch, &mut |difference| {
            fill(&mut row, difference, &mut numbers);
            Ok(writer.write_byte_record(&row)?)
        })
    });
    let done = done.and_then(|report| {
        let buffer = writer.into_inner().map_err(|error| failed(error.into_error()))?;
        let file = buffer.into_inner().map_err(|error| failed(error.into_error()))?;
        file.sync_all().map_err(failed)?;
        fs::rename(&part, path).map_err(failed)?;
        Ok(report)
    });
    if done.is_err() {
        // What there is of it is of no use, and the reason is told in any case.
        let _ = fs::remove_file(&part);
    }
    done
}

fn fill(row: &mut csv::ByteRecord, difference: &Difference<'_>, numbers: &mut itoa::Buffer) {
    row.clear();
    row.push_field(difference.class.name().as_bytes());
    let is_pair = difference.line.is_some() && difference.record.is_some();
    let key = match difference.key {
        Key::OrderNo | Key::Reference if !is_pair => "",
        key @ (Key::OrderNo | Key::Reference) => key.name(),
    };
    row.push_field(key.as_bytes());
    match (&difference.line, &difference.bad) {
        (None, Some((line, _, _))) => {
            row.push_field(numbers.format(*line).as_bytes());
            (0..8).for_each(|_| row.push_field(b""));
        }
        (line, _) => fill_side(row, line.as_ref(), numbers),
    }
    fill_side(row, difference.record.as_ref(), numbers);
    let (problem, text) = match &difference.bad {
        Some((_, problem, text)) => (problem.to_string(), text.as_str()),
        None => (String::new(), ""),
    };
    row.push_field(problem.as_bytes());
    row.push_field(text.as_bytes());
}

fn fill_side(row: &mut csv::ByteRecord, side: Option<&Text<'_>>, numbers: &mut itoa::Buffer) {
    let Some(side) = side else {
        (0..9).for_each(|_| row.push_field(b""));
        return;
    };
    let item = &side.item;
    row.push_field(numbers.format(side.line).as_bytes());
    row.push_field(side.order_no.as_bytes());
    row.push_field(side.reference.as_bytes());
    row.push_field(item.movement.name().as_bytes());
    row.push_field(numbers.format(item.amount_minor).as_bytes());
    match item.fee_minor {
        Some(fee) => row.push_field(numbers.format(fee).as_bytes()),
        None => row.push_field(b""),
    }
    row.push_field(item.currency.code().as_bytes());
    row.push_field(item.status.name().as_bytes());
    let date = item.date.map(|date| date.to_string()).unwrap_or_default();
    row.push_field(date.as_bytes());
}

/// A row for each class of each currency, then what was read.
fn table(report: &Report) -> String {
    let mut rows = vec![
        ["class", "currency", "lines", "amount", "fee", "records", "amount", "fee"]
            .map(str::to_owned)
            .to_vec(),
    ];
    let mut add = |name: &str, currency: &str, theirs: &Sums, ours: &Sums| {
        let numbers = [theirs, ours].into_iter().flat_map(|sums| {
            let all = [sums.count.to_string(), sums.amount_minor.to_string()];
            all.into_iter().chain([sums.fee_minor.to_string()])
        });
        rows.push([name.to_owned(), currency.to_owned()].into_iter().chain(numbers).collect());
    };
    let none = Sums::default();
    for (currency, class, totals) in report.totals.iter() {
        add(class.name(), currency.code(), &totals.theirs, &totals.ours);
    }
    for (currency, sums) in report.totals.not_due.iter() {
        add("(not due yet)", currency.code(), &none, &sums);
    }
    if report.totals.bad_lines > 0 {
        let count = report.totals.bad_lines;
        add(Class::BadLine.name(), "", &Sums { count, ..none }, &none);
    }
    let of = |tally: &Tally, wanted| {
        tally.iter().find(|(currency, _)| *currency == wanted).map_or(none, |(_, sums)| sums)
    };
    for currency in Currency::ALL {
        let (theirs, ours) = (of(&report.theirs, currency), of(&report.ours, currency));
        if theirs.count + ours.count > 0 {
            add("(all)", currency.code(), &theirs, &ours);
        }
    }
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..8).map(width).collect();
    let mut text = String::new();
    for row in &rows {
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            match column {
                0 => text.push_str(&format!("{cell:<width$}")),
                1 => text.push_str(&format!("  {cell:<width$}")),
                _ => text.push_str(&format!("  {cell:>width$}")),
            }
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
    }
    for (line, problem) in &report.problems {
        text.push_str(&format!("line {line}: {problem}\n"));
    }
    let end = if report.is_agreed() { "both sides agree" } else { "there are differences" };
    text + end + "\n"
}

fn as_json(report: &Report) -> Value {
    let side = |sums: &Sums| {
        let (amount, fee) = (whole(sums.amount_minor), whole(sums.fee_minor));
        json!({"count": sums.count, "amount": amount, "fee": fee})
    };
    let classes: Vec<Value> = report
        .totals
        .iter()
        .map(|(currency, class, totals)| {
            json!({"class": class.name(), "currency": currency.code(),
                   "theirs": side(&totals.theirs), "ours": side(&totals.ours)})
        })
        .collect();
    let sides = |tally: &Tally| -> Vec<Value> {
        let row = |(currency, sums): (Currency, Sums)| {
            let code = currency.code();
            json!({"currency": code, "sums": side(&sums)})
        };
        tally.iter().map(row).collect()
    };
    let problems = report.problems.iter();
    json!({
        "agreed": report.is_agreed(),
        "classes": classes,
        "bad_lines": report.totals.bad_lines,
        "not_due": sides(&report.totals.not_due),
        "theirs": sides(&report.theirs),
        "ours": sides(&report.ours),
        "lines_agreed": report.agreed.count(),
        "differences": report.differences,
        "problems": problems.map(|(line, problem)| {
            json!({"line": line, "problem": problem.to_string()})
        }).collect::<Vec<_>>(),
        "spilled_bytes": report.spilled_bytes,
    })
}

/// An integer as JSON has it; one that does not fit there is a text, never rounded.
fn whole(sum: i128) -> Value {
    i64::try_from(sum).map_or_else(|_| sum.to_string().into(), Value::from)
}
