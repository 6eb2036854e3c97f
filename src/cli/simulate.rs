//! `switchyard simulate`: runs a channel's side of its protocol as a process of its own.
//!
//! The channel's file names the protocol, the merchant and the credentials; the simulator has the
//! other side of each. With `--keys` it writes the merchant's credentials where the file's
//! references find them, and a copy of the file with the simulator's address, so that a daemon
//! started on that folder reaches this simulator. It never overwrites a file that it did not write
//! itself: that could be a real key.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Component, Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use clap::Args;
use zeroize::Zeroizing;

use crate::channel::file::whole::WholeFile;
use crate::cli::load::print_mistakes;
use crate::cli::output::{note, say};
use crate::cli::word_of;
use crate::clock::Clock;
use crate::config::mistake::Mistake;
use crate::config::raw::Document;
use crate::domain::ids::ChannelId;
use crate::simulator::{
    Counterpart, DurationRange, Faults, KeyTexts, ReversedLines, Simulator, playable,
};

/// Where the other side's own keys are kept, below the folder of `--keys`.
const OTHER_SIDE: &str = "other-side";
/// The first line of a channel file that this command made.
const MADE_HERE: &str = "# Made by `switchyard simulate`; it is written anew at every start.\n";
/// A kept key has about two kilobytes.
const KEPT_BYTES_MAX: u64 = 64 * 1024;

#[derive(Debug, Args)]
pub struct SimulateArgs {
    /// The file of the channel that is simulated
    file: PathBuf,
    /// The address to listen on
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// How often faults occur
    #[arg(long, default_value = "calm", value_parser = ["calm", "lossy", "hostile"])]
    profile: String,
    /// One seed gives one history of answers and faults
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Milliseconds by which every request is carried out, or answered, late
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 0)]
    delay_ms: u64,
    /// Charges out of a hundred that are declined
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u8).range(0..=100))]
    declines_percent: u8,
    /// Lines of a statement out of a hundred that differ from the ledger; GET
    /// /statements/<date>/planted lists them
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=100))]
    differences_percent: u8,
    /// The lines of a reversed payment in a statement: the payment and its reversal, or neither;
    /// unless given, as the real channel writes them
    #[arg(long, value_parser = word_of(ReversedLines::ALL, ReversedLines::name))]
    reversed_lines: Option<ReversedLines>,
    /// The folder to write the credentials into, and a copy of the channel's file that leads here
    #[arg(long, value_name = "FOLDER")]
    keys: Option<PathBuf>,
    /// The daemon's address, where the copy has notices sent
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:7070")]
    notices: String,
    /// Accept unsigned requests where the protocol allows it, to measure throughput
    #[arg(long)]
    unsigned: bool,
}

pub fn run(args: &SimulateArgs) -> anyhow::Result<ExitCode> {
    let mut faults =
        Faults::preset(&args.profile).context("--profile is not calm, lossy or hostile")?;
    if args.delay_ms > 0 {
        let delay_for = DurationRange::millis(args.delay_ms, args.delay_ms);
        faults = Faults { delay: 10_000, delay_for, ..faults };
    }
    let file = match read_file(&args.file) {
        Ok(file) => file,
        Err(mistakes) => {
            print_mistakes(&mistakes);
            return Ok(ExitCode::from(1));
        }
    };
    if let Err(mistakes) = playable(&file.document) {
        print_mistakes(&mistakes);
        return Ok(ExitCode::from(1));
    }
    let mut kept =
        args.keys.as_deref().map_or(Ok(KeyTexts::new()), |to| read_existing_keys(to, &file.id))?;
    let began_empty = kept.is_empty();
    let other = match Counterpart::read(&file.document, file.id.as_str(), &mut kept) {
        Ok(other) => other,
        Err(mistakes) => {
            print_mistakes(&mistakes);
            return Ok(ExitCode::from(1));
        }
    };
    let clock: crate::simulator::ChannelClock = Arc::new(|| Clock::System.now());
    let mut settings = other
        .settings(file.id.as_str(), clock)
        .with_address(args.listen)
        .with_faults(faults)
        .with_seed(args.seed)
        .with_declines_percent(args.declines_percent)
        .with_differences_percent(args.differences_percent)
        .with_notices_to(&format!("{}/notices/{}", args.notices, file.id));
    if let Some(lines) = args.reversed_lines {
        settings = settings.with_reversed_lines(lines);
    }
    if args.unsigned {
        settings = settings.without_request_signatures();
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let simulator = Simulator::start(settings).await.context("the simulator cannot start")?;
        match &args.keys {
            Some(to) => {
                let sandbox = Sandbox { file: &file, other: &other, to, new: began_empty };
                sandbox.write(&kept, &simulator.base_url(), &args.notices)?;
            }
            None => note!("--keys FOLDER writes the keys of this run"),
        }
        say!("listening on {}", simulator.base_url())?;
        tokio::signal::ctrl_c().await?;
        let ledger = simulator.stop().await;
        note!("{} entries in the ledger", ledger.entries().len());
        Ok(ExitCode::SUCCESS)
    })
}

/// The text of a channel file.
struct ChannelFileText {
    id: ChannelId,
    path: PathBuf,
    text: String,
    document: Document,
}

fn read_file(path: &Path) -> Result<ChannelFileText, Vec<Mistake>> {
    let name = path.display().to_string();
    let about = |problem: String, advice: &str| vec![Mistake::new(&name, 0, "", &problem, advice)];
    let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    let id = ChannelId::parse(stem).map_err(|error| {
        about(format!("the file's name is not a channel id: {error}"), "rename the file")
    })?;
    let WholeFile { text, document, .. } = WholeFile::read(path)?;
    Ok(ChannelFileText { id, path: path.to_owned(), text, document })
}

fn kept_folder(to: &Path, id: &ChannelId) -> PathBuf {
    to.join(OTHER_SIDE).join(id.as_str())
}

/// The keys that an earlier run wrote; none on the first run.
fn read_existing_keys(to: &Path, id: &ChannelId) -> anyhow::Result<KeyTexts> {
    let mut kept = KeyTexts::new();
    let folder = kept_folder(to, id);
    let Ok(entries) = fs::read_dir(&folder) else { return Ok(kept) };
    for entry in entries {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        if entry.metadata()?.len() > KEPT_BYTES_MAX {
            bail!("{} is not a key that this command wrote", entry.path().display());
        }
        kept.insert(name, Zeroizing::new(fs::read_to_string(entry.path())?));
    }
    Ok(kept)
}

/// The folder in which a daemon meets the simulator.
struct Sandbox<'a> {
    file: &'a ChannelFileText,
    other: &'a Counterpart,
    to: &'a Path,
    /// The folder was made by this run, so none of its files can be ours yet.
    new: bool,
}

impl Sandbox<'_> {
    fn write(&self, kept: &KeyTexts, base: &str, notices: &str) -> anyhow::Result<()> {
        make_folder(self.to)?;
        let mut variables = Vec::new();
        let mut files = Vec::new();
        for credential in &self.other.credentials {
            let path = match credential.reference.split_once(':') {
                Some(("file", path)) => self.to.join(inner(path)?),
                Some(("env", name)) => {
                    let path = self.to.join("env").join(inner(name)?);
                    variables.push(format!("export {name}=\"$(cat {})\"", path.display()));
                    path
                }
                Some(_) | None => bail!("`{}` is not a credential reference", credential.reference),
            };
            files.push((path, credential.text.as_str()));
        }
        if self.new {
            // All are checked before any is written.
            for (path, text) in &files {
                refuse_foreign(path, text)?;
            }
        }
        for (path, text) in &files {
            write_secret(path, text)?;
        }
        let folder = kept_folder(self.to, &self.file.id);
        for (name, text) in kept {
            write_secret(&folder.join(name), text)?;
        }
        say!("keys in {}", self.to.display())?;
        if !self.write_copy(base, notices)? {
            for variable in variables {
                say!("{variable}")?;
            }
        }
        Ok(())
    }

    /// Writes a copy of the channel's file, unless the folder is the file's own; returns whether it
    /// did.
    fn write_copy(&self, base: &str, notices: &str) -> anyhow::Result<bool> {
        let name = self.file.path.file_name().context("the channel's file has no name")?;
        let copy = self.to.join(name);
        let own = fs::canonicalize(&self.file.path)?;
        if fs::canonicalize(&copy).is_ok_and(|there| there == own) {
            return Ok(false);
        }
        if fs::read_to_string(&copy).is_ok_and(|there| !there.starts_with(MADE_HERE)) {
            bail!("{} was not written by this command and is left unchanged", copy.display());
        }
        let text = self.other.redirect_to_simulator(&self.file.text, base, notices)?;
        fs::write(&copy, format!("{MADE_HERE}{text}"))
            .with_context(|| copy.display().to_string())?;
        say!("channel file {}", copy.display())?;
        say!("SWITCHYARD_CHANNELS__FOLDER={} switchyard serve", self.to.display())?;
        Ok(true)
    }
}

/// Checks that a path stays below the folder.
fn inner(path: &str) -> anyhow::Result<&Path> {
    let relative = Path::new(path);
    let stays = relative.components().all(|part| matches!(part, Component::Normal(_)));
    if !stays || path.is_empty() {
        bail!("`{path}` leads out of the folder; write a reference below the channel's file");
    }
    Ok(relative)
}

fn refuse_foreign(path: &Path, text: &str) -> anyhow::Result<()> {
    match fs::read_to_string(path) {
        Ok(there) if there == text => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Ok(_) | Err(_) => bail!(
            "{} was not written by this command and could be a real key: choose another folder",
            path.display()
        ),
    }
}

fn make_folder(path: &Path) -> anyhow::Result<()> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.with_context(|| path.display().to_string())
}

fn write_secret(path: &Path, text: &str) -> anyhow::Result<()> {
    if let Some(folder) = path.parent() {
        make_folder(folder)?;
    }
    let opened = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
    opened
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .with_context(|| path.display().to_string())
}
