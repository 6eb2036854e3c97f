//! Cuts the power before any step of the store, over several lives of its folder, and opens every
//! state that the disk may have kept: answered groups are there, and others are there whole or not
//! at all.
//!
//! The disk of this test keeps everything that was synced. Of later writes it keeps some and loses
//! others, whole or by sectors, in any order; names whose folder was not synced come and go in the
//! same way. The index is never synced: its files are complete, gone, or any mix of the two with
//! pages of zeros and of noise.
//!
//! `SWITCHYARD_POWER_SEED` and `SWITCHYARD_POWER_ROUNDS` choose the histories and their number.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fastrand::Rng;

use crate::store::StoreError;
use crate::store::plan::Writes;
use crate::store::sorted::{Scan, SortedBytes};

use super::EmbeddedSettings;
use super::catalog::IndexUse;
use super::disk::Disk;
use super::files::{FileStep, FileWatch, Files};
use super::layers::Layers;
use super::{index, segment};

const ROUNDS_DEFAULT: u64 = 24;
const LIVES: usize = 5;
const GROUPS_MAX: usize = 60;
const SECTOR_BYTES: usize = 512;
const PAGE_BYTES: usize = 4096;
/// A layer is flushed after a few groups.
const FEW_KEYS: usize = 12;

type Content = BTreeMap<String, Vec<u8>>;
type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

/// A file of ours: its durable content, and the writes since.
#[derive(Debug, Clone, Default)]
struct Sheet {
    durable: Vec<u8>,
    since: Vec<(usize, Vec<u8>)>,
}

/// A change of the folder's names that is not durable yet.
#[derive(Debug, Clone)]
enum NameChange {
    Make { name: String, sheet: usize },
    Rename { from: String, to: String, sheet: usize },
    Remove { name: String },
}

/// The content that a disk would have kept.
#[derive(Debug, Default)]
struct Platter {
    sheets: Vec<Sheet>,
    /// The names as the process sees them.
    names: BTreeMap<String, usize>,
    /// The names that are durable.
    kept: BTreeMap<String, usize>,
    since: Vec<NameChange>,
    /// Whether the folder's own name is durable in the one around it.
    is_named: bool,
    /// The index's files when the power went.
    index: Option<Content>,
    /// Steps until the power goes.
    left: usize,
}

/// Records each step, and cuts the power.
struct PowerSupply {
    folder: PathBuf,
    platter: Mutex<Platter>,
}

/// The files of some folders below one.
fn content(folder: &Path, parts: &[&str]) -> Content {
    let mut found = Content::new();
    for part in parts {
        for file in fs::read_dir(folder.join(part)).into_iter().flatten().flatten() {
            let name = file.file_name().to_string_lossy().into_owned();
            let name = if part.is_empty() { name } else { format!("{part}/{name}") };
            if let Ok(bytes) = fs::read(file.path()) {
                found.insert(name, bytes);
            }
        }
    }
    // The lock is empty, and is no file of the books.
    found.remove(super::manifest::LOCK);
    found
}

/// The folder of a name.
fn folder_of(name: &str) -> &str {
    name.rsplit_once('/').map_or(".", |(folder, _)| folder)
}

impl PowerSupply {
    /// The present content of the folder is durable.
    fn new(folder: &Path, left: usize, is_named: bool) -> Self {
        let mut platter = Platter { left, is_named, ..Platter::default() };
        for (name, durable) in content(folder, &["", segment::FOLDER]) {
            platter.names.insert(name, platter.sheets.len());
            platter.sheets.push(Sheet { durable, since: Vec::new() });
        }
        platter.kept = platter.names.clone();
        Self { folder: folder.to_owned(), platter: Mutex::new(platter) }
    }

    fn platter(&self) -> MutexGuard<'_, Platter> {
        self.platter.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FileWatch for PowerSupply {
    fn before(&self, step: &FileStep<'_>) -> io::Result<()> {
        let mut platter = self.platter();
        if platter.left == 0 {
            if platter.index.is_none() {
                platter.index = Some(content(&self.folder, &[index::FOLDER]));
            }
            return Err(io::Error::other("the power has gone"));
        }
        platter.left -= 1;
        platter.take(step);
        Ok(())
    }
}

impl Platter {
    fn take(&mut self, step: &FileStep<'_>) {
        match *step {
            FileStep::Make { name } => {
                let sheet = self.sheets.len();
                self.sheets.push(Sheet::default());
                self.names.insert(name.to_owned(), sheet);
                self.since.push(NameChange::Make { name: name.to_owned(), sheet });
            }
            FileStep::Write { name, at, bytes } => {
                let at = usize::try_from(at).expect("a small file");
                self.sheets[self.names[name]].since.push((at, bytes.to_vec()));
            }
            FileStep::Sync { name } => {
                let sheet = &mut self.sheets[self.names[name]];
                for (at, bytes) in std::mem::take(&mut sheet.since) {
                    put(&mut sheet.durable, at, &bytes);
                }
            }
            FileStep::Rename { from, to } => {
                let sheet = self.names.remove(from).expect("a file that is there");
                self.names.insert(to.to_owned(), sheet);
                let (from, to) = (from.to_owned(), to.to_owned());
                self.since.push(NameChange::Rename { from, to, sheet });
            }
            FileStep::Remove { name } => {
                self.names.remove(name);
                self.since.push(NameChange::Remove { name: name.to_owned() });
            }
            FileStep::SyncFolder { name: ".." } => self.is_named = true,
            FileStep::SyncFolder { name: folder } => {
                let namings = std::mem::take(&mut self.since);
                let (synced, rest) =
                    namings.into_iter().partition(|change| folder_of(change.name()) == folder);
                self.since = rest;
                let synced: Vec<NameChange> = synced;
                synced.into_iter().for_each(|change| self.keep(change));
            }
        }
    }

    fn keep(&mut self, change: NameChange) {
        match change {
            NameChange::Make { name, sheet } => drop(self.kept.insert(name, sheet)),
            NameChange::Rename { from, to, sheet } => {
                self.kept.remove(&from);
                self.kept.insert(to, sheet);
            }
            NameChange::Remove { name } => drop(self.kept.remove(&name)),
        }
    }

    /// One of the many states that the folder may have after the cut.
    fn remains(mut self, random: &mut Rng) -> Content {
        if !self.is_named {
            return Content::new();
        }
        for change in std::mem::take(&mut self.since) {
            if random.bool() {
                self.keep(change);
            }
        }
        let mut remains = self.index.take().unwrap_or_default();
        remains.retain(|_, bytes| spoil(bytes, random));
        for (name, sheet) in self.kept {
            remains.insert(name, self.sheets[sheet].remains(random));
        }
        remains
    }
}

impl NameChange {
    fn name(&self) -> &str {
        match self {
            Self::Make { name, .. } | Self::Remove { name } => name,
            Self::Rename { to, .. } => to,
        }
    }
}

/// Damages a file that is never synced, as a loss of power may; `false` if the file is lost.
fn spoil(bytes: &mut [u8], random: &mut Rng) -> bool {
    match random.u8(..4) {
        0 => return false,
        1 => return true,
        _ => {}
    }
    for page in bytes.chunks_mut(PAGE_BYTES) {
        match random.u8(..16) {
            0 => page.fill(0),
            1 => page.fill_with(|| random.u8(..)),
            _ => {}
        }
    }
    true
}

impl Sheet {
    fn remains(&self, random: &mut Rng) -> Vec<u8> {
        let mut bytes = self.durable.clone();
        let all = random.u8(..4) == 0;
        for (at, written) in &self.since {
            match random.u8(..4) {
                _ if all => put(&mut bytes, *at, written),
                0 => {}
                1 => put(&mut bytes, *at, written),
                _ => {
                    for (nth, sector) in written.chunks(SECTOR_BYTES).enumerate() {
                        if random.bool() {
                            put(&mut bytes, at + nth * SECTOR_BYTES, sector);
                        }
                    }
                }
            }
        }
        bytes
    }
}

fn put(bytes: &mut Vec<u8>, at: usize, written: &[u8]) {
    let end = at + written.len();
    if bytes.len() < end {
        bytes.resize(end, 0);
    }
    bytes[at..end].copy_from_slice(written);
}

fn lay(folder: &Path, content: &Content) {
    for (name, bytes) in content {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, bytes).expect("a file");
    }
}

fn settings() -> EmbeddedSettings {
    EmbeddedSettings {
        cache_bytes: 1 << 20,
        layer_keys: FEW_KEYS,
        compacted_at_once: 3,
        ..EmbeddedSettings::default()
    }
}

fn rows(layers: &Layers) -> Rows {
    let mut found = Rows::new();
    let listed = layers.scan(&[0], &[0xff], &mut |key, value| {
        found.insert(key.to_vec(), value.to_vec());
        Ok(Scan::On)
    });
    listed.expect("rows that read");
    found
}

fn group(random: &mut Rng) -> Writes {
    let pair = |random: &mut Rng| {
        let key = vec![[b'O', b'T'][random.usize(..2)], random.u8(..24)];
        // Longer than a sector now and then, so that a frame can tear in its middle.
        let length = if random.u8(..4) == 0 { random.usize(..2_000) } else { random.usize(..40) };
        let value = (0..length).map(|_| random.u8(..)).collect();
        (key.into(), (random.u8(..10) < 7).then_some(value))
    };
    (0..random.usize(1..6)).map(|_| pair(random)).collect()
}

fn apply(rows: &mut Rows, writes: &Writes) {
    for (key, value) in writes {
        match value {
            Some(value) => drop(rows.insert(key.to_vec(), value.clone())),
            None => drop(rows.remove(&**key)),
        }
    }
}

/// The rows after a life, by the answers given, and with the group under way.
struct Answers {
    given: Rows,
    under_way: Option<Rows>,
}

impl Answers {
    fn write(&mut self, disk: &mut Disk, writes: Writes) -> Result<(), StoreError> {
        let mut after = self.given.clone();
        apply(&mut after, &writes);
        self.under_way = Some(after);
        disk.write(writes)?;
        self.given = self.under_way.take().expect("it was put there");
        Ok(())
    }

    /// Decides from the rows found whether the group under way became durable.
    fn hold_against(&mut self, found: Rows, place: &str) {
        let known = found == self.given || self.under_way.as_ref() == Some(&found);
        assert!(
            known,
            "{place}: the rows are neither those before the cut nor those with its group"
        );
        self.given = found;
        self.under_way = None;
    }
}

/// One life of a folder: it opens, shows the rows that it must, and takes groups until the cut.
fn live(
    folder: &Path,
    supply: &Arc<PowerSupply>,
    answers: &mut Answers,
    place: &str,
    random: &mut Rng,
) {
    let watch = Arc::clone(supply) as Arc<dyn FileWatch>;
    let opened = Disk::open(&Files::watched(folder, watch), &settings(), IndexUse::AsFound);
    let mut disk = match opened {
        Ok(disk) => disk,
        Err(_) if supply.platter().left == 0 => return,
        Err(error) => panic!("{place}: the folder does not open: {error}"),
    };
    answers.hold_against(rows(&disk.layers()), place);
    for _ in 0..GROUPS_MAX {
        if answers.write(&mut disk, group(random)).is_err() {
            return;
        }
    }
}

#[test]
fn i_12_a_power_cut_at_any_step_loses_nothing_that_was_answered() {
    let number = |name| std::env::var(name).ok().map(|text| text.parse().expect("a number"));
    let seed = number("SWITCHYARD_POWER_SEED").unwrap_or_else(|| fastrand::u64(..1 << 32));
    let rounds = number("SWITCHYARD_POWER_ROUNDS").unwrap_or(ROUNDS_DEFAULT);
    for seed in seed..seed + rounds {
        println!("SWITCHYARD_POWER_SEED={seed} SWITCHYARD_POWER_ROUNDS=1");
        let mut random = Rng::with_seed(seed);
        let mut answers = Answers { given: Rows::new(), under_way: None };
        let (mut remains, mut is_named) = (Content::new(), false);
        for life in 0..LIVES {
            let place = format!("seed {seed}, life {life}");
            let folder = tempfile::tempdir().expect("a folder");
            lay(folder.path(), &remains);
            let most = if random.bool() { 30 } else { 200 };
            let left = random.usize(..most);
            let supply = Arc::new(PowerSupply::new(folder.path(), left, is_named));
            live(folder.path(), &supply, &mut answers, &place, &mut random);
            let platter = std::mem::take(&mut *supply.platter());
            is_named = platter.is_named;
            remains = platter.remains(&mut random);
        }
    }
}
