//! The terms of each channel, and since when each version is in force.
//!
//! An order keeps the terms that were in force when it was accepted: its fees, its schedule should
//! it become unknown, its clearing day. So every version of a channel's file that has run is kept
//! below the data folder, as `channel-history/<id>/<since>.toml`, `since` in milliseconds. A copy
//! has references to credentials, never credentials. How a channel is spoken to (address, keys,
//! codes) is always the newest: an old key may be void, and a code that was missing may be what an
//! unknown order waits for.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use super::shared::ChannelVersion;
use crate::channel::file::ChannelFile;
use crate::config::mistake::Mistakes;
use crate::config::raw::Document;
use crate::domain::ids::ChannelId;
use crate::domain::terms::{CommonTerms, Terms};
use crate::domain::time::Timestamp;

const FOLDER: &str = "channel-history";
/// A version that lies further ahead than this was not dated by a clock that was right.
const AHEAD_MAX: Duration = Duration::from_secs(10 * 60);

struct Version {
    since: Timestamp,
    text: String,
    /// `None` if this program cannot read what an older one could.
    terms: Option<Arc<Terms>>,
}

/// The versions of every channel's terms, oldest first.
pub struct TermsHistory {
    folder: PathBuf,
    versions: RwLock<BTreeMap<ChannelId, Vec<Version>>>,
}

impl TermsHistory {
    /// Reads what is kept below the data folder; an absent folder has no history.
    pub fn load(data: &Path, common: &CommonTerms) -> io::Result<Self> {
        let folder = data.join(FOLDER);
        let mut versions = BTreeMap::new();
        for path in paths(&folder)? {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if let Ok(id) = ChannelId::parse(name) {
                let kept = read_channel(&path, &id, common)?;
                versions.insert(id, kept);
            }
        }
        Ok(Self { folder, versions: RwLock::new(versions) })
    }

    /// Keeps the versions that are about to run, durably: all of them, or none. `now` is not ahead
    /// of what is borne out: what is dated ahead would be in force for nobody. Nothing is written
    /// for a channel whose newest version it is. The error comes with the channel's id.
    pub fn keep<'a>(
        &self,
        running: impl Iterator<Item = (&'a ChannelId, &'a str, &'a Arc<Terms>)>,
        now: Timestamp,
    ) -> Result<(), (ChannelId, io::Error)> {
        let mut versions = self.versions.write().unwrap_or_else(PoisonError::into_inner);
        for (id, kept) in versions.iter_mut() {
            self.pull_back(id, kept, now).map_err(|error| (id.clone(), error))?;
        }
        let mut written: Vec<(&ChannelId, PathBuf, Version)> = Vec::new();
        for (id, text, terms) in running {
            let newest = versions.get(id).and_then(|kept| kept.last());
            if newest.is_some_and(|newest| newest.text == text) {
                continue;
            }
            let since = since(newest, now);
            let path = self.folder.join(id.as_str()).join(format!("{}.toml", since.as_millis()));
            if let Err(error) = write(&path, text) {
                // Nothing new will run. A copy that cannot be removed is passed over at the next
                // start if the file is still the old one, since that is kept after it again.
                for (_, path, _) in written {
                    let _removed = fs::remove_file(path);
                }
                return Err((id.clone(), error));
            }
            let version = Version { since, text: text.to_owned(), terms: Some(Arc::clone(terms)) };
            written.push((id, path, version));
        }
        for (id, _, version) in written {
            versions.entry(id.clone()).or_default().push(version);
        }
        Ok(())
    }

    /// Versions that lie ahead were dated by a clock that has been set back since: they are in
    /// force from now on, in their order, so that they neither wait for their time nor stand
    /// behind what comes.
    fn pull_back(&self, id: &ChannelId, kept: &mut [Version], now: Timestamp) -> io::Result<()> {
        let folder = self.folder.join(id.as_str());
        let file = |since: Timestamp| folder.join(format!("{}.toml", since.as_millis()));
        let mut before: Option<Timestamp> = None;
        for version in kept {
            if version.since > now.plus(AHEAD_MAX) {
                let since = before.map_or(now, |before| now.max(next(before)));
                fs::rename(file(version.since), file(since))?;
                File::open(&folder)?.sync_all()?;
                tracing::warn!(
                    channel.name = %id,
                    dated = %version.since.rfc3339(),
                    "a version of a channel file was dated ahead; it is in force from now on"
                );
                version.since = since;
            }
            before = Some(version.since);
        }
        Ok(())
    }

    /// Takes these versions in place of all before, each channel's oldest first. They are kept
    /// elsewhere.
    pub fn replace(&self, versions: Vec<ChannelVersion>, common: &CommonTerms) {
        let mut after: BTreeMap<ChannelId, Vec<Version>> = BTreeMap::new();
        for ChannelVersion { id, since, text } in versions {
            let path = PathBuf::from(format!("{id}.toml"));
            let terms = read_terms(&path, &text, &id, common);
            after.entry(id).or_default().push(Version { since, text, terms });
        }
        *self.versions.write().unwrap_or_else(PoisonError::into_inner) = after;
    }

    /// Writes those of the versions that are not below the data folder: a copy of what is kept
    /// elsewhere, for books that move back to this machine.
    pub fn write_copies(&self) -> io::Result<()> {
        let versions = self.versions.read().unwrap_or_else(PoisonError::into_inner);
        for (id, kept) in versions.iter() {
            for version in kept {
                let name = format!("{}.toml", version.since.as_millis());
                let path = self.folder.join(id.as_str()).join(name);
                if !path.exists() {
                    write(&path, &version.text)?;
                }
            }
        }
        Ok(())
    }

    /// All versions, each channel's oldest first.
    pub fn kept(&self) -> Vec<ChannelVersion> {
        let versions = self.versions.read().unwrap_or_else(PoisonError::into_inner);
        let all = versions.iter().flat_map(|(id, kept)| kept.iter().map(move |one| (id, one)));
        all.map(|(id, one)| ChannelVersion {
            id: id.clone(),
            since: one.since,
            text: one.text.clone(),
        })
        .collect()
    }

    /// The terms that were in force at a moment; the oldest known for a moment before them.
    pub fn terms_at(&self, id: &ChannelId, at: Timestamp) -> Option<Arc<Terms>> {
        let versions = self.versions.read().unwrap_or_else(PoisonError::into_inner);
        let readable = || versions.get(id).into_iter().flatten().filter(|one| one.terms.is_some());
        let found = readable().rfind(|version| version.since <= at).or_else(|| readable().next());
        found.and_then(|version| version.terms.clone())
    }

    /// The longest wait of all versions' schedules; zero of a channel without any.
    pub fn longest_wait(&self, id: &ChannelId) -> Duration {
        let versions = self.versions.read().unwrap_or_else(PoisonError::into_inner);
        let terms = versions.get(id).into_iter().flatten().filter_map(|one| one.terms.as_ref());
        terms.map(|terms| terms.longest_wait()).max().unwrap_or_default()
    }
}

fn paths(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    entries.map(|entry| entry.map(|entry| entry.path())).collect()
}

fn read_channel(folder: &Path, id: &ChannelId, common: &CommonTerms) -> io::Result<Vec<Version>> {
    let mut versions = Vec::new();
    for path in paths(folder)? {
        let stem = path.file_stem().and_then(|stem| stem.to_str());
        let is_version = path.extension().is_some_and(|ending| ending == "toml");
        let Some(millis) = stem.filter(|_| is_version).and_then(|stem| stem.parse().ok()) else {
            continue;
        };
        let text = fs::read_to_string(&path)?;
        let terms = read_terms(&path, &text, id, common);
        if terms.is_none() {
            let file = path.display();
            tracing::warn!(
                %file,
                "an old version of a channel file cannot be read; it is passed over"
            );
        }
        versions.push(Version { since: Timestamp::from_millis(millis), text, terms });
    }
    versions.sort_by_key(|version| version.since);
    Ok(versions)
}

fn read_terms(path: &Path, text: &str, id: &ChannelId, common: &CommonTerms) -> Option<Arc<Terms>> {
    let document = Document::parse(&path.display().to_string(), text).ok()?;
    let mistakes = Mistakes::new();
    let file = ChannelFile::read(&document.root(&mistakes), id.clone(), common);
    mistakes.is_empty().then(|| Arc::new(file.terms))
}

/// Two versions never share a moment, and a clock that went back changes no order of them.
fn since(newest: Option<&Version>, now: Timestamp) -> Timestamp {
    newest.map_or(now, |newest| now.max(next(newest.since)))
}

fn next(since: Timestamp) -> Timestamp {
    since.plus(Duration::from_millis(1))
}

/// A new file beside, then a rename: a crash leaves the version whole, or not there.
fn write(path: &Path, text: &str) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let fresh = path.with_extension("new");
    let mut file = File::create(&fresh)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&fresh, path)?;
    File::open(folder)?.sync_all()?;
    // The folder itself may be new, and the one that it lies in.
    for parent in folder.ancestors().skip(1).take(2) {
        File::open(parent)?.sync_all()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TERMS: &str = r#"
protocol = "http"
state = "contracted"
abilities = { operations = ["payment"], currencies = ["CNY"] }
limits = { per_order_max_minor = 100 }
clearing = { time_zone = "Asia/Shanghai", cut_off = "23:00" }
[unknown]
inquire = []
then = "operator"
reverse = []
not_found_final_after = "10m"
[codes]
"#;

    fn text(rate_ppm: u32) -> String {
        format!("{TERMS}[[fees]]\nname = \"all\"\nrate_ppm = {rate_ppm}\n")
    }

    fn terms(text: &str) -> Arc<Terms> {
        let read = read_terms(Path::new("a.toml"), text, &id(), &CommonTerms::default());
        read.expect("a file without mistakes")
    }

    fn id() -> ChannelId {
        ChannelId::from_stored("a")
    }

    fn moment(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[test]
    fn an_order_keeps_the_terms_of_its_moment_across_restarts() {
        let scratch = tempfile::tempdir().expect("a folder");
        let data = scratch.path();
        let common = CommonTerms::default();
        let history = TermsHistory::load(data, &common).expect("no history yet");
        assert!(history.terms_at(&id(), moment(50)).is_none());
        let (old, new) = (text(3_000), text(5_000));
        for (text, at) in [(&old, 100), (&old, 150), (&new, 200), (&old, 300)] {
            let running = [(&id(), text.as_str(), &terms(text))];
            history.keep(running.into_iter(), moment(at)).expect("it is kept");
        }
        let reopened = TermsHistory::load(data, &common).expect("a history");
        for history in [history, reopened] {
            for (at, expected) in
                [(50, &old), (100, &old), (199, &old), (200, &new), (299, &new), (300, &old)]
            {
                let found = history.terms_at(&id(), moment(at)).expect("terms");
                assert_eq!(found, terms(expected), "at {at}");
            }
        }
        let files = fs::read_dir(data.join(FOLDER).join("a")).expect("the folder").count();
        assert_eq!(files, 3, "what did not change is not kept twice");
    }

    #[test]
    fn the_longest_wait_is_that_of_every_version() {
        let scratch = tempfile::tempdir().expect("a folder");
        let data = scratch.path();
        let history = TermsHistory::load(data, &CommonTerms::default()).expect("no history yet");
        assert_eq!(history.longest_wait(&id()), Duration::ZERO);
        let longest = |text: &str| terms(text).longest_wait();
        let (short, long) = (text(3_000), text(3_000).replace("\"10m\"", "\"20d\""));
        assert!(longest(&long) > longest(&short));
        for (text, at, wait) in [(&short, 100, &short), (&long, 200, &long), (&short, 300, &long)] {
            let running = [(&id(), text.as_str(), &terms(text))];
            history.keep(running.into_iter(), moment(at)).expect("it is kept");
            assert_eq!(history.longest_wait(&id()), longest(wait), "at {at}");
        }
    }

    #[test]
    fn a_clock_that_was_ahead_freezes_no_terms() {
        let scratch = tempfile::tempdir().expect("a folder");
        let data = scratch.path();
        let common = CommonTerms::default();
        let history = TermsHistory::load(data, &common).expect("no history yet");
        let year = 400 * 86_400_000;
        let versions = [text(3_000), text(5_000), text(6_000), text(9_000)];
        let keep = |history: &TermsHistory, version: &str, at: i64| {
            let running = [(&id(), version, &terms(version))];
            history.keep(running.into_iter(), moment(at)).expect("it is kept");
        };
        keep(&history, &versions[0], 1_000);
        keep(&history, &versions[1], 2_000 + year);
        keep(&history, &versions[2], 3_000 + year);
        // The clock is right again; another start, with the file as it was and then a new one.
        let history = TermsHistory::load(data, &common).expect("a history");
        keep(&history, &versions[2], 5_000);
        keep(&history, &versions[3], 9_000);
        let reopened = TermsHistory::load(data, &common).expect("a history");
        for history in [history, reopened] {
            for (at, version) in [
                (1_000, 0),
                (4_999, 0),
                (5_001, 2),
                (8_999, 2),
                (9_000, 3),
                // Accepted while it was ahead: the newest of all is as good as any.
                (2_500 + year, 3),
            ] {
                let found = history.terms_at(&id(), moment(at)).expect("terms");
                assert_eq!(found, terms(&versions[version]), "at {at}");
            }
        }
    }

    #[test]
    fn a_version_that_does_not_read_any_more_is_passed_over() {
        let scratch = tempfile::tempdir().expect("a folder");
        let data = scratch.path();
        let folder = data.join(FOLDER).join("a");
        write(&folder.join("100.toml"), "what = \"this?\"").expect("it is written");
        write(&folder.join("200.toml"), &text(3_000)).expect("it is written");
        let history = TermsHistory::load(data, &CommonTerms::default()).expect("a history");
        let found = history.terms_at(&id(), moment(150)).expect("the next readable one");
        assert_eq!(found, terms(&text(3_000)));
    }

    #[test]
    fn what_cannot_be_kept_for_one_channel_is_in_force_for_none() {
        let scratch = tempfile::tempdir().expect("a folder");
        let data = scratch.path();
        let common = CommonTerms::default();
        let history = TermsHistory::load(data, &common).expect("no history yet");
        let (text, other) = (text(3_000), ChannelId::from_stored("b"));
        // A file where the second channel's folder would be.
        fs::create_dir_all(data.join(FOLDER)).expect("a folder");
        fs::write(data.join(FOLDER).join("b"), "").expect("a file");
        let terms = terms(&text);
        let running = [(&id(), text.as_str(), &terms), (&other, text.as_str(), &terms)];
        let refused = history.keep(running.into_iter(), moment(100)).map_err(|(id, _)| id);
        assert_eq!(refused, Err(other));
        assert!(history.terms_at(&id(), moment(200)).is_none());
        fs::remove_file(data.join(FOLDER).join("b")).expect("it can go");
        let reopened = TermsHistory::load(data, &common).expect("a history");
        assert!(reopened.terms_at(&id(), moment(200)).is_none(), "nothing was left behind");
    }
}
