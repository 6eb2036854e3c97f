//! `switchyard bin`: look cards up, check, compare, refresh and roll back the BIN table.
//!
//! It decides nothing. Upholds I-11: a card number given here is printed masked. Exit codes: 0
//! done, 1 refused or not valid, 2 (by the argument parser) wrong usage.

use std::fs::File;
use std::io::{self, BufRead, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::json;

use crate::cli::output::{Output, UNWRITTEN, note};
use crate::cli::shown::to_the_minute;
use crate::cli::table::aligned;
use crate::cli::word_of;
use crate::domain::bin::{BinTable, StatedDate};
use crate::domain::time::Timestamp;
use crate::tables::bin::{
    DatedTable, LiveBinTable, Occasion, ReadOptions, ReadSource, ReadTable, RefreshOptions,
    RefreshRefusal, RollbackRefusal, RollbackTarget, SOURCE_BYTES_MAX, StatedText, TableDiff,
    TableFaults, TableFormat, TextEncoding, UnreadableTable, VersionAction, VersionInfo,
    fetch_table, is_url, read_source, read_table,
};

mod changes;
mod lookup;

use lookup::Lookup;

/// How a running daemon, which has its table in memory, takes a change of the folder.
const TAKEN_LATER: &str = "a daemon that runs on this folder takes it when it is reloaded \
                           (kill -HUP) or started; POST /v1/bin-table/refresh and /rollback \
                           change it at once";

/// Arguments of `switchyard bin`.
#[derive(Debug, Args)]
pub struct BinArgs {
    #[command(subcommand)]
    pub command: BinCommand,
    /// Print JSON: one object for each answer of `lookup` and each of `versions`, one object for
    /// other commands
    #[arg(long, global = true)]
    pub json: bool,
    /// The data folder
    #[arg(long, global = true, value_name = "DIR", default_value = "./data")]
    pub data: PathBuf,
    /// Use the table in this file instead of the live one
    #[arg(long, global = true, value_name = "FILE")]
    pub table: Option<PathBuf>,
}

/// The work on the table.
#[derive(Debug, Subcommand)]
pub enum BinCommand {
    /// Show issuer, product, type and brand of card numbers or prefixes
    Lookup {
        /// Card numbers, or prefixes of 2 to 12 digits; without any, one a line on standard input
        numbers: Vec<String>,
        /// For prefixes: only cards of this many digits
        #[arg(long, value_name = "DIGITS")]
        length: Option<u8>,
    },
    /// Read a table and report every bad line; without FILE, the data folder's table
    Check {
        file: Option<PathBuf>,
        #[command(flatten)]
        read: ReadArgs,
    },
    /// Compare two tables
    Diff {
        old: PathBuf,
        /// The live table unless given
        new: Option<PathBuf>,
        /// List the rows, not only their numbers
        #[arg(long)]
        lists: bool,
    },
    /// Write a new version from a file or an https URL; a running daemon takes it when reloaded
    Refresh {
        /// A file or an https URL: a table, or the changes of issuers' names
        source: String,
        /// Accept a suspicious table, for this reason; bad lines are refused even so
        #[arg(long, requires = "reason")]
        force: bool,
        /// The reason, for the history
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
        /// The date of the source's facts, YYYY-MM-DD or less; today unless given
        #[arg(long, value_name = "DATE", value_parser = stated_date)]
        as_of: Option<StatedDate>,
        /// Fewer rows than this are suspicious
        #[arg(long, value_name = "ROWS", default_value_t = RefreshOptions::default().min_rows)]
        min_rows: usize,
        /// More rows gone than this share are suspicious
        #[arg(long, value_name = "PERCENT",
              default_value_t = RefreshOptions::default().max_removed_percent)]
        max_removed_percent: u8,
        /// Your name, for the history
        #[arg(long, value_name = "NAME", default_value = "command line")]
        who: String,
        #[command(flatten)]
        read: ReadArgs,
    },
    /// Return to an earlier version; a running daemon takes it when reloaded
    Rollback {
        /// The version, 0 for the shipped table; unless given, the one before the live one
        // `version` is the name of the flag that every command has.
        #[arg(id = "to_version", value_name = "VERSION")]
        version: Option<u32>,
        /// The reason, for the history
        #[arg(long, value_name = "TEXT")]
        reason: String,
        /// Your name, for the history
        #[arg(long, value_name = "NAME", default_value = "command line")]
        who: String,
    },
    /// Show the rows and issuers' names that differ between two of the folder's versions
    Changes {
        /// The version before; 0 is the shipped table
        #[arg(long, value_name = "VERSION")]
        from: u32,
        /// The version after; the live one unless given
        #[arg(long, value_name = "VERSION")]
        to: Option<u32>,
    },
    /// List the folder's versions: who installed each, when, and from where
    Versions,
}

/// How to read a source whose content does not show its format.
#[derive(Debug, Clone, Copy, Args)]
pub struct ReadArgs {
    /// The layout; recognised by content unless given
    #[arg(long, value_parser = word_of(TableFormat::ALL, TableFormat::name))]
    pub format: Option<TableFormat>,
    /// The character encoding; recognised by content unless given
    #[arg(long, value_parser = word_of(TextEncoding::ALL, TextEncoding::name))]
    pub encoding: Option<TextEncoding>,
}

impl From<ReadArgs> for ReadOptions {
    fn from(args: ReadArgs) -> Self {
        Self { format: args.format, encoding: args.encoding }
    }
}

fn stated_date(text: &str) -> Result<StatedDate, String> {
    StatedDate::parse(text).ok_or_else(|| "a date as YYYY, YYYY-MM or YYYY-MM-DD".to_owned())
}

/// Runs one command on the process's standard streams. `now_ms` is in milliseconds since 1970.
pub fn run(args: &BinArgs, now_ms: i64) -> anyhow::Result<ExitCode> {
    let input = io::stdin().lock();
    let mut output = io::BufWriter::new(Output);
    let done = execute(args, now_ms, input, &mut output)?;
    output.flush().context(UNWRITTEN)?;
    Ok(ExitCode::from(u8::from(!done)))
}

/// Runs one command; returns whether it was done, rather than refused.
fn execute(
    args: &BinArgs,
    now_ms: i64,
    input: impl BufRead,
    output: &mut impl Write,
) -> anyhow::Result<bool> {
    match &args.command {
        BinCommand::Lookup { numbers, length } => {
            let Some((table, as_of)) = chosen_table(args, output)? else { return Ok(false) };
            let now = Timestamp::from_millis(now_ms);
            let dated = DatedTable { table: &table, as_of, now };
            let mut lookup = Lookup::over(dated, *length, args.json, output);
            if numbers.is_empty() {
                lookup.answer_lines(input)?;
            } else {
                lookup.answer_all(numbers)?;
            }
            Ok(lookup.all_were_valid())
        }
        BinCommand::Check { file, read } => check(args, file.as_deref(), *read, output),
        BinCommand::Diff { old, new, lists } => {
            let Some(old) = read_or_report(old, ReadOptions::default(), args.json, output)? else {
                return Ok(false);
            };
            let new = match new {
                Some(path) => read_or_report(path, ReadOptions::default(), args.json, output)?
                    .map(|read| Arc::new(read.table)),
                None => chosen_table(args, output)?.map(|(table, _)| table),
            };
            let Some(new) = new else { return Ok(false) };
            print_diff(&TableDiff::between(&old.table, &new), *lists, args.json, output)?;
            Ok(true)
        }
        BinCommand::Refresh {
            source,
            force,
            reason,
            as_of,
            min_rows,
            max_removed_percent,
            who,
            read,
        } => {
            let options = RefreshOptions {
                as_of: *as_of,
                read: (*read).into(),
                min_rows: *min_rows,
                max_removed_percent: *max_removed_percent,
                force: *force,
                ..RefreshOptions::default()
            };
            let occasion = Occasion { who, reason: reason.as_deref(), now_ms };
            refresh(args, source, occasion, &options, output)
        }
        BinCommand::Rollback { version, reason, who } => {
            rollback(args, *version, Occasion { who, reason: Some(reason), now_ms }, output)
        }
        BinCommand::Changes { from, to } => {
            changes::changes(args, (*from, *to), Timestamp::from_millis(now_ms), output)
        }
        BinCommand::Versions => versions(args, output),
    }
}

fn check(
    args: &BinArgs,
    file: Option<&Path>,
    read: ReadArgs,
    output: &mut impl Write,
) -> anyhow::Result<bool> {
    let Some(path) = file.or(args.table.as_deref()) else {
        let live = open_live(args)?;
        let problems: Vec<String> = live.problems().iter().map(ToString::to_string).collect();
        let current = live.current();
        let (version, rows) = (current.version, current.table.len());
        let changes = current.table.issuers().all().len();
        if args.json {
            let ok = problems.is_empty();
            let told = json!({"ok": ok, "rows": rows, "issuer_changes": changes,
                "version": version, "as_of": StatedText(current.as_of),
                "source": current.source, "sha256": current.sha256, "problems": problems});
            writeln!(output, "{told}")?;
        } else {
            let (source, as_of) = (&current.source, current.as_of);
            writeln!(
                output,
                "version {version} of this folder, from {source}, as of {as_of}: {rows} rows, \
                 {changes} changes of issuers' names"
            )?;
        }
        return Ok(problems.is_empty());
    };
    let read = match source_or_report(path, read.into(), args.json, output)? {
        None => return Ok(false),
        Some(ReadSource::Issuers(changes)) => {
            let count = changes.all().len();
            if args.json {
                writeln!(output, "{}", json!({"ok": true, "rows": 0, "issuer_changes": count}))?;
            } else {
                writeln!(output, "valid: {count} changes of issuers' names")?;
            }
            return Ok(true);
        }
        Some(ReadSource::Table(read)) => read,
    };
    let (rows, changes) = (read.table.len(), read.table.issuers().all().len());
    if args.json {
        let told = json!({"ok": true, "rows": rows, "issuer_changes": changes,
            "format": read.format, "encoding": read.encoding, "deleted": read.deleted,
            "merged": read.merged});
        writeln!(output, "{told}")?;
    } else {
        writeln!(output, "valid: {rows} rows, {} marked as deleted left out", read.deleted)?;
    }
    Ok(true)
}

fn refresh(
    args: &BinArgs,
    source: &str,
    occasion: Occasion<'_>,
    options: &RefreshOptions,
    output: &mut impl Write,
) -> anyhow::Result<bool> {
    let bytes = if is_url(source) { fetch(source)? } else { bytes_of(Path::new(source))? };
    let live = open_live(args)?;
    match live.refresh(&bytes, source, occasion, options) {
        Ok(report) if args.json => {
            writeln!(output, "{}", serde_json::to_string(&report)?)?;
            Ok(true)
        }
        Ok(report) if report.unchanged => {
            writeln!(output, "version {} holds this table already", report.version)?;
            Ok(true)
        }
        Ok(report) => {
            writeln!(
                output,
                "version {} is written, as of {}: {} rows, {} changes of issuers' names",
                report.version, report.as_of.0, report.rows, report.issuer_changes
            )?;
            writeln!(output, "{TAKEN_LATER}")?;
            print_counts(&report.diff, output)?;
            Ok(true)
        }
        Err(RefreshRefusal::Versions(error)) => Err(error.into()),
        Err(refusal) => {
            print_refusal(refusal.code(), &refusal, refusal.faults(), args.json, output)?;
            Ok(false)
        }
    }
}

fn rollback(
    args: &BinArgs,
    version: Option<u32>,
    occasion: Occasion<'_>,
    output: &mut impl Write,
) -> anyhow::Result<bool> {
    let target = version.map_or(RollbackTarget::Previous, RollbackTarget::Version);
    match open_live(args)?.rollback(target, occasion) {
        Ok(report) if args.json => writeln!(output, "{}", serde_json::to_string(&report)?)?,
        Ok(report) => {
            let (version, rows) = (report.version, report.rows);
            writeln!(output, "version {version} is live again: {rows} rows")?;
            writeln!(output, "{TAKEN_LATER}")?;
            print_counts(&report.diff, output)?;
        }
        Err(RollbackRefusal::Versions(error)) => return Err(error.into()),
        Err(refusal) => {
            print_refusal(refusal.code(), &refusal, None, args.json, output)?;
            return Ok(false);
        }
    }
    Ok(true)
}

fn versions(args: &BinArgs, output: &mut impl Write) -> anyhow::Result<bool> {
    let infos = open_live(args)?.versions()?;
    if args.json {
        for info in infos {
            writeln!(output, "{}", serde_json::to_string(&info)?)?;
        }
        return Ok(true);
    }
    if infos.is_empty() {
        writeln!(output, "no refresh yet: the shipped table (version 0) is in force")?;
        return Ok(true);
    }
    let cells = |info: &VersionInfo| {
        let action = match info.action {
            VersionAction::Refresh if info.forced => "forced refresh",
            VersionAction::Refresh => "refresh",
            VersionAction::Rollback => "rollback",
        };
        let state = match (info.live, info.kept) {
            (true, _) => "live",
            (false, true) => "kept",
            (false, false) => "gone",
        };
        vec![
            info.version.to_string(),
            state.to_owned(),
            action.to_owned(),
            to_the_minute(&info.at.0.rfc3339()),
            info.by.clone(),
            info.source.clone(),
            info.rows.to_string(),
            info.reason.clone().unwrap_or_else(|| "-".to_owned()),
        ]
    };
    let heading = [">version", "state", "action", "at", "by", "source", ">rows", "reason"];
    let rows: Vec<_> = infos.iter().map(cells).collect();
    output.write_all(aligned(&heading, &rows).as_bytes())?;
    Ok(true)
}

/// The table that `--table` names, else the live one, and the date of its facts where somebody has
/// told it; `None` if it was refused and reported.
fn chosen_table(
    args: &BinArgs,
    output: &mut impl Write,
) -> anyhow::Result<Option<(Arc<BinTable>, Option<StatedDate>)>> {
    match &args.table {
        Some(path) => {
            let read = read_or_report(path, ReadOptions::default(), args.json, output)?;
            Ok(read.map(|read| (Arc::new(read.table), None)))
        }
        None => {
            let live = open_live(args)?.current();
            Ok(Some((Arc::clone(&live.table), Some(live.as_of))))
        }
    }
}

/// Opens the live table, and reports damage in its folder on standard error.
fn open_live(args: &BinArgs) -> anyhow::Result<LiveBinTable> {
    let live = LiveBinTable::load(&args.data)?;
    for problem in live.problems() {
        note!("warning: {problem}");
    }
    Ok(live)
}

/// The table of a file; `None` if it was refused and reported.
fn read_or_report(
    path: &Path,
    options: ReadOptions,
    as_json: bool,
    output: &mut impl Write,
) -> anyhow::Result<Option<ReadTable>> {
    let read = read_table(&bytes_of(path)?, options);
    accepted_or_report(read, as_json, output)
}

/// What a file holds; `None` if it was refused and reported.
fn source_or_report(
    path: &Path,
    options: ReadOptions,
    as_json: bool,
    output: &mut impl Write,
) -> anyhow::Result<Option<ReadSource>> {
    let read = read_source(&bytes_of(path)?, options);
    accepted_or_report(read, as_json, output)
}

fn accepted_or_report<T>(
    read: Result<T, UnreadableTable>,
    as_json: bool,
    output: &mut impl Write,
) -> anyhow::Result<Option<T>> {
    match read {
        Ok(read) => Ok(Some(read)),
        Err(refusal) => {
            let faults = match &refusal {
                UnreadableTable::Invalid(faults) => Some(faults),
                UnreadableTable::TooLarge { .. }
                | UnreadableTable::UnknownFormat
                | UnreadableTable::ZipArchive
                | UnreadableTable::Spreadsheet(_)
                | UnreadableTable::NoRows
                | UnreadableTable::IssuersAlone
                | UnreadableTable::Table(_) => None,
            };
            print_refusal(refusal.code(), &refusal, faults, as_json, output)?;
            Ok(None)
        }
    }
}

/// Reads a file up to one byte more than is allowed, so that the parser can refuse it as too large.
fn bytes_of(path: &Path) -> anyhow::Result<Vec<u8>> {
    let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    let mut bytes = Vec::new();
    file.take(SOURCE_BYTES_MAX as u64 + 1)
        .read_to_end(&mut bytes)
        .with_context(|| format!("cannot read {}", path.display()))?;
    Ok(bytes)
}

fn fetch(url: &str) -> anyhow::Result<Vec<u8>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(runtime.block_on(fetch_table(url))?)
}

#[derive(Serialize)]
struct RefusalView<'refusal> {
    /// Always false.
    ok: bool,
    refused: &'static str,
    problem: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    faults: Option<&'refusal TableFaults>,
}

fn print_refusal(
    code: &'static str,
    refusal: &dyn std::error::Error,
    faults: Option<&TableFaults>,
    as_json: bool,
    output: &mut impl Write,
) -> anyhow::Result<()> {
    if as_json {
        let view = RefusalView { ok: false, refused: code, problem: refusal.to_string(), faults };
        writeln!(output, "{}", serde_json::to_string(&view)?)?;
        return Ok(());
    }
    writeln!(output, "refused ({code}): {refusal}")?;
    let faults = faults.cloned().unwrap_or_default();
    for fault in &faults.first {
        writeln!(output, "{fault}")?;
    }
    if faults.count > faults.first.len() {
        writeln!(output, "and {} more", faults.count - faults.first.len())?;
    }
    Ok(())
}

fn print_diff(
    diff: &TableDiff,
    lists: bool,
    as_json: bool,
    output: &mut impl Write,
) -> anyhow::Result<()> {
    if as_json {
        let mut told = serde_json::to_value(diff.counts())?;
        if lists {
            told["lists"] = serde_json::to_value(diff)?;
        }
        writeln!(output, "{told}")?;
        return Ok(());
    }
    print_counts(diff, output)?;
    let marked = [
        ("+", &diff.added),
        ("-", &diff.removed),
        ("!", &diff.changed),
        ("~", &diff.renamed),
        ("=", &diff.relabelled),
        ("x", &diff.retired),
    ];
    for (mark, keys) in marked.into_iter().filter(|_| lists) {
        for key in keys {
            writeln!(output, "{mark} {}/{}", key.bin, key.pan_length)?;
        }
    }
    Ok(())
}

fn print_counts(diff: &TableDiff, output: &mut impl Write) -> anyhow::Result<()> {
    let counts = diff.counts();
    writeln!(
        output,
        "{} added, {} removed, {} changed code, type or brand, {} renamed, {} relabelled, \
         {} retired\nchanges of issuers' names: {} added, {} removed, {} changed",
        counts.added,
        counts.removed,
        counts.changed,
        counts.renamed,
        counts.relabelled,
        counts.retired,
        counts.issuer_changes_added,
        counts.issuer_changes_removed,
        counts.issuer_changes_changed
    )?;
    Ok(())
}

#[cfg(test)]
mod tests;
