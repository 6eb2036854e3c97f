//! `switchyard store verify|check|rebuild|backup|restore|accept-loss|move`: the files of the books,
//! also while a daemon works on them, what a database has lost, and the way from one to the other.

use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};

use crate::app::backup;
use crate::app::check::{CheckReport, check_books};
use crate::app::folder::{BOOKS, DataFolder};
use crate::app::moving::{self, BooksPlace, FolderBooks, MoveError, MovedKind};
use crate::app::store::database_settings;
use crate::cli::load::{SettingsArgs, print_mistakes};
use crate::cli::output::{note, say, write};
use crate::cli::table::aligned;
use crate::clock::Clock;
use crate::config::checked::Settings;
use crate::domain::write_set::AuditEntry;
use crate::entropy::Entropy;
use crate::store::Store;
use crate::store::embedded::{BackupReport, BooksContent, EmbeddedSettings, EmbeddedStore, verify};
use crate::store::postgres::{DatabaseBooks, accept_loss};

#[derive(Debug, Args)]
pub struct StoreArgs {
    #[command(subcommand)]
    command: StoreCommand,
    /// The data folder
    #[arg(long, global = true, value_name = "DIR", default_value = "./data")]
    data: PathBuf,
    /// Print one JSON object
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum StoreCommand {
    /// Read every stored row, also while the daemon runs; exit code 1 if any is damaged
    Verify,
    /// Hold the books' invariants: of a database beside the nodes that work on it, or of a data
    /// folder whose daemon is stopped. Exit code 1, with a line for each violation
    Check {
        #[command(flatten)]
        settings: SettingsArgs,
    },
    /// Make the index anew from the books; the daemon must be stopped
    Rebuild,
    /// Copy the data folder, also while the daemon runs; what an earlier backup in the same folder
    /// has is not copied again
    Backup {
        /// Where to; it must be readable by you alone, since keys come with it
        #[arg(value_name = "DIR")]
        to: PathBuf,
    },
    /// Make a data folder of a backup; `--data` must name one that is not there
    Restore {
        /// The folder with the backup
        #[arg(value_name = "DIR")]
        from: PathBuf,
    },
    /// Take orders again from a database that has lost commits which it had acknowledged; order
    /// numbers leap over all that may have been given out. The daemon must be stopped
    AcceptLoss {
        #[command(flatten)]
        settings: SettingsArgs,
        /// What was lost and why it is accepted: it is kept in the audit trail
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// Move the books between the data folder and the database of `store.url`; both must be at
    /// rest. A move that was cut off goes on when it is run again; exit code 1 if the sides differ
    Move {
        #[command(flatten)]
        settings: SettingsArgs,
        /// Where the books go; they come from the other one
        #[arg(long, value_name = "PLACE")]
        to: MoveTo,
        /// Give up a move that is not whole: the daemon opens the books again where they came from
        #[arg(long)]
        abandon: bool,
    },
}

/// Where the books are moved to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum MoveTo {
    /// The database that `store.url` names
    Database,
    /// The data folder
    Folder,
}

pub fn run(args: &StoreArgs) -> anyhow::Result<ExitCode> {
    let (books, as_json) = (args.data.join(BOOKS), args.json);
    match &args.command {
        StoreCommand::Verify => verify_books(&books, as_json),
        StoreCommand::Check { settings } => {
            let settings = match settings.load() {
                Ok(settings) => settings,
                Err(mistakes) => {
                    print_mistakes(&mistakes);
                    return Ok(ExitCode::from(1));
                }
            };
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
            runtime.block_on(check(&args.data, &settings, as_json))
        }
        StoreCommand::Rebuild => {
            let bar = RowBar::new("indexed");
            let settings = EmbeddedSettings::default();
            drop(EmbeddedStore::rebuild(&books, &settings, &|done, all| bar.at(done, all))?);
            bar.clear();
            tell(as_json, &json!({ "rebuilt": true }), "the index is rebuilt")?;
            Ok(ExitCode::SUCCESS)
        }
        StoreCommand::Backup { to } => {
            let report = backup::back_up(&args.data, to)?;
            let mib = report.copied_bytes.div_ceil(1024 * 1024);
            let copied = report.copied;
            let text = format!("{}; {copied} segments were copied, {mib} MiB", stored(&report));
            tell(as_json, &backup_form(&report), &text)?;
            Ok(ExitCode::SUCCESS)
        }
        StoreCommand::Restore { from } => {
            let report = backup::restore(from, &args.data)?;
            let leap = "the daemon skips every order number that may have been given out since \
                        the backup";
            tell(as_json, &backup_form(&report), &format!("{}\n{leap}", stored(&report)))?;
            Ok(ExitCode::SUCCESS)
        }
        StoreCommand::AcceptLoss { settings, reason } => {
            accept(&args.data, settings, reason, as_json)
        }
        StoreCommand::Move { settings, to, abandon } => {
            let Some(settings) = database_of(settings)? else { return Ok(ExitCode::from(1)) };
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
            runtime.block_on(carry(&args.data, &settings, *to, (*abandon, as_json)))
        }
    }
}

/// Prints what a command has done, for people or for programs.
fn tell(as_json: bool, form: &Value, text: &str) -> anyhow::Result<()> {
    if as_json { say!("{form}") } else { say!("{text}") }
}

fn verify_books(books: &Path, as_json: bool) -> anyhow::Result<ExitCode> {
    let bar = RowBar::new("verified");
    let report = verify(books, &|done, all| bar.at(done, all))?;
    bar.clear();
    let (segments, journalled) = (report.segments, report.journalled);
    if as_json {
        let rows = report.tables.iter().map(|(name, rows)| json!({ "stored": name, "rows": rows }));
        let damage: Vec<String> = report.damage.iter().map(ToString::to_string).collect();
        let form = json!({
            "stored": rows.collect::<Vec<_>>(), "segments": segments, "journalled": journalled,
            "damaged": report.damaged, "damage": damage,
        });
        say!("{form}")?;
        return Ok(ExitCode::from(u8::from(report.damaged > 0)));
    }
    let rows = report.tables.iter().map(|(name, rows)| vec![(*name).to_owned(), rows.to_string()]);
    write(format_args!("{}", aligned(&["stored", ">rows"], &rows.collect::<Vec<_>>())))?;
    say!("{segments} segments, and {journalled} rows in the journal alone")?;
    for damage in &report.damage {
        note!("damaged: {damage}");
    }
    if report.damaged == 0 {
        return Ok(ExitCode::SUCCESS);
    }
    note!(
        "switchyard: {} places are damaged; restore the backup of the data folder",
        report.damaged
    );
    Ok(ExitCode::from(1))
}

async fn check(data: &Path, settings: &Settings, as_json: bool) -> anyhow::Result<ExitCode> {
    let store: Box<dyn Store> = match &settings.store.url {
        Some(url) => {
            let chosen = database_settings(url, data, settings)?;
            Box::new(DatabaseBooks::snapshot(&chosen).await?)
        }
        None => {
            let books = data.join(BOOKS);
            if EmbeddedStore::content(&books)? == BooksContent::Nothing {
                note!("switchyard: there are no books in `{}`", data.display());
                return Ok(ExitCode::from(1));
            }
            Box::new(EmbeddedStore::open(&books, &EmbeddedSettings::default())?)
        }
    };
    let bar = RowBar::new("checked");
    let report = check_books(&*store, &|done, all| bar.at(done, all)).await?;
    bar.clear();
    let CheckReport { orders, clearing_records, accounting_requests, told, violations } = report;
    let form = json!({
        "orders": orders, "clearing_records": clearing_records,
        "accounting_requests": accounting_requests, "violations": violations, "told": told,
    });
    if !as_json {
        for words in &told {
            note!("{words}");
        }
    }
    let text = format!(
        "{orders} orders, {clearing_records} clearing records, {accounting_requests} accounting \
         requests: {violations} violations"
    );
    tell(as_json, &form, &text)?;
    Ok(ExitCode::from(u8::from(violations > 0)))
}

/// The settings, if they are whole and name a database.
fn database_of(settings: &SettingsArgs) -> anyhow::Result<Option<(Settings, String)>> {
    let settings = match settings.load() {
        Ok(settings) => settings,
        Err(mistakes) => {
            print_mistakes(&mistakes);
            return Ok(None);
        }
    };
    let Some(url) = settings.store.url.clone() else {
        note!("switchyard: store.url names no database: name it in the settings");
        return Ok(None);
    };
    Ok(Some((settings, url)))
}

async fn carry(
    data: &Path,
    (settings, url): &(Settings, String),
    to: MoveTo,
    (abandon, as_json): (bool, bool),
) -> anyhow::Result<ExitCode> {
    let key_prints = DataFolder::fingerprints(data)?;
    let chosen = database_settings(url, data, settings)?;
    let mut database =
        BooksPlace::Database(Box::new(DatabaseBooks::connect(&chosen).await?), url.clone());
    let mut folder = BooksPlace::Folder(FolderBooks::open(data)?);
    let sides = match to {
        MoveTo::Database => (&mut folder, &mut database),
        MoveTo::Folder => (&mut database, &mut folder),
    };
    if abandon {
        moving::abandon(sides.0, sides.1).await?;
        let text = "the move is given up; what was moved of it must be removed";
        tell(as_json, &json!({ "abandoned": true }), text)?;
        return Ok(ExitCode::SUCCESS);
    }
    let reason = format!("moved to {}", if to == MoveTo::Database { url } else { "a data folder" });
    let entry = AuditEntry::own(Clock::System.now(), "store.move", "books".to_owned(), reason);
    let id = format!("{:016x}", Entropy::System.draw());
    let bar = RowBar::new("moved");
    let moved =
        moving::move_books(sides, &key_prints, (&entry, id), &|done, all| bar.at(done, all)).await;
    bar.clear();
    match moved {
        Ok(kinds) if as_json => {
            let moved: Vec<Value> = kinds.iter().map(moved_form).collect();
            say!("{}", json!({ "moved": moved }))?;
            Ok(ExitCode::SUCCESS)
        }
        Ok(kinds) => {
            let row = |kind: &MovedKind| {
                vec![kind.name.to_owned(), kind.rows.to_string(), kind.digest.clone()]
            };
            let rows: Vec<_> = kinds.iter().map(row).collect();
            let heading = ["stored", ">rows", "SHA-256, the same on both sides"];
            write(format_args!("{}", aligned(&heading, &rows)))?;
            say!("the books are whole in their new place")?;
            Ok(ExitCode::SUCCESS)
        }
        Err(MoveError::Differences { count, named }) => {
            for row in &named {
                note!("{row}");
            }
            note!("switchyard: {}", MoveError::Differences { count, named });
            Ok(ExitCode::from(1))
        }
        Err(error) => Err(error.into()),
    }
}

fn accept(
    data: &Path,
    settings: &SettingsArgs,
    reason: &str,
    as_json: bool,
) -> anyhow::Result<ExitCode> {
    let Some((settings, url)) = &database_of(settings)? else { return Ok(ExitCode::from(1)) };
    if reason.trim().is_empty() {
        note!("switchyard: give a reason that says what was lost");
        return Ok(ExitCode::from(1));
    }
    let database = database_settings(url, data, settings)?;
    let (now, subject) = (Clock::System.now(), format!("node {}", settings.node));
    let entry = AuditEntry::own(now, "store.accept_loss", subject, reason.to_owned());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(accept_loss(&database, &entry))?;
    let text = "orders are taken again from the next start on; their numbers have leapt\n\
                take in the channels' statements of the lost time: they tell which orders are gone";
    tell(as_json, &json!({ "accepted": true }), text)?;
    Ok(ExitCode::SUCCESS)
}

fn stored(report: &BackupReport) -> String {
    let BackupReport { rows, segments, journalled, .. } = report;
    format!("{rows} rows in {segments} segments, and {journalled} in the journal alone")
}

fn moved_form(kind: &MovedKind) -> Value {
    json!({ "stored": kind.name, "rows": kind.rows, "sha256": kind.digest })
}

fn backup_form(report: &BackupReport) -> Value {
    json!({
        "rows": report.rows, "segments": report.segments, "journalled": report.journalled,
        "copied_segments": report.copied, "copied_bytes": report.copied_bytes,
    })
}

/// A progress bar of rows, on a terminal.
struct RowBar(ProgressBar);

impl RowBar {
    fn new(done: &'static str) -> Self {
        let target = if io::stderr().is_terminal() {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        let bar = ProgressBar::with_draw_target(None, target).with_message(done);
        let style = ProgressStyle::with_template(
            "{bar:40} {human_pos} of {human_len} rows {msg}, {eta} left",
        );
        Self(bar.with_style(style.expect("a template that reads")))
    }

    fn at(&self, done: u64, all: u64) {
        self.0.set_length(all);
        self.0.set_position(done);
    }

    fn clear(&self) {
        self.0.finish_and_clear();
    }
}
