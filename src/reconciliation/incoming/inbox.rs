//! Where statements land: `<data>/inbox/<channel>/<date>/<file>`, whole or not at all, each content
//! once.
//!
//! A file is written under a name that begins with a dot, made durable, and only then given its own
//! name; `SHA256SUMS` beside the files (as `sha256sum -c` reads it) lists those that have landed,
//! and stands only for what is durable. Readers of the inbox skip names that begin with a dot. A
//! list without lines says that the channel has nothing to report of the date. A crash at any point
//! leaves at most a dotted file, and landing again finishes.

use schemars::JsonSchema;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use crate::channel::statement::StatementFile;
use crate::codec::crypto::digest::RunningSha256;
use crate::codec::sign::{hex_lower, sha256_hex};
use crate::domain::books::statement::LandedFile;
use crate::domain::ids::ChannelId;
use crate::domain::time::{BusinessDate, Timestamp};
use crate::reconciliation::NOTHING;
use crate::reconciliation::error::InboxError;
use crate::store::Store;

const FOLDER: &str = "inbox";
/// The list of what has landed.
pub const SUMS: &str = "SHA256SUMS";
/// Versions of one name that a channel may send for one date.
const REISSUES_MAX: usize = 99;
/// How long a file that was laid in by hand must stay as it is before it is taken.
const UNCHANGED_FOR: Duration = Duration::from_secs(5);
/// Bytes of a file that are digested at once.
const PIECE_BYTES: usize = 256 * 1024;

/// One file as it lies in the inbox.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, JsonSchema)]
#[schemars(rename = "FetchedFile")]
pub struct InboxFile {
    /// Its name, with `.2` and so on behind it where the channel had sent that name with other
    /// content before.
    pub name: String,
    /// The SHA-256 of its content.
    pub sha256: String,
    /// Whether this content was new; if not, nothing was written.
    pub is_new: bool,
}

/// A file as it was when it was last looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FileState {
    bytes: u64,
    modified: Option<SystemTime>,
    /// Since when it has been like this, by the clock of whoever looks.
    since: Timestamp,
    /// Its content has landed under another name.
    is_known: bool,
}

/// The inbox of a data folder.
pub struct Inbox {
    folder: PathBuf,
    /// Landings change a list, so only one is done at a time.
    landing: Mutex<()>,
    /// Files that were laid in by hand and have not landed.
    seen: Mutex<BTreeMap<PathBuf, FileState>>,
    /// The store of several nodes, which share what lands.
    pub(super) store: Option<Arc<dyn Store>>,
    /// What has landed of each channel at any node, when this one last looked and brought it.
    pub(super) known: Mutex<BTreeMap<ChannelId, Vec<LandedFile>>>,
}

impl Inbox {
    /// The folder is made with the first statement.
    pub fn new(data: &Path) -> Self {
        Self {
            folder: data.join(FOLDER),
            landing: Mutex::default(),
            seen: Mutex::default(),
            store: None,
            known: Mutex::default(),
        }
    }

    /// The inbox of a node; where several share a store, they share what lands.
    pub fn of_node(data: &Path, store: Arc<dyn Store>) -> Self {
        Self { store: Some(store), ..Self::new(data) }
    }

    /// Where a channel's statement of a date lies.
    pub fn folder(&self, channel: &ChannelId, date: BusinessDate) -> PathBuf {
        self.folder.join(channel.as_str()).join(date.to_string())
    }

    /// The files of a date that have landed, by name: SHA-256 in lower-case hex.
    pub fn files_of(
        &self,
        channel: &ChannelId,
        date: BusinessDate,
    ) -> Result<BTreeMap<String, String>, InboxError> {
        read_sums(&self.folder(channel, date).join(SUMS))
    }

    /// Whether the channel has said what there is to say of a date: its files have landed, or
    /// nothing happened on it.
    pub fn is_answered(&self, channel: &ChannelId, date: BusinessDate) -> Result<bool, InboxError> {
        let list = self.folder(channel, date).join(SUMS);
        // A list that cannot be read is no answer, and whoever wants it is told.
        read_sums(&list).map(|_| list.exists())
    }

    /// Lays the files down; none of them is a date on which nothing happened, which later files
    /// may correct. Blocks on the disk.
    pub fn land(
        &self,
        channel: &ChannelId,
        date: BusinessDate,
        files: &[StatementFile],
    ) -> Result<Vec<InboxFile>, InboxError> {
        let _one_at_a_time = self.landing.lock().unwrap_or_else(PoisonError::into_inner);
        let folder = self.folder(channel, date);
        make_durable_folder(&folder)?;
        let mut sums = read_sums(&folder.join(SUMS))?;
        let mut landed = Vec::with_capacity(files.len());
        for file in files {
            let sha256 = sha256_hex(&file.bytes);
            if let Some((name, _)) = sums.iter().find(|(_, known)| **known == sha256) {
                landed.push(InboxFile { name: name.clone(), sha256, is_new: false });
                continue;
            }
            let name = free_name(|free| sums.contains_key(free), file.name())?;
            write_whole(&folder, &name, &file.bytes)?;
            sums.insert(name.clone(), sha256.clone());
            landed.push(InboxFile { name, sha256, is_new: true });
        }
        let is_first = !folder.join(SUMS).exists();
        if is_first || landed.iter().any(|one| one.is_new) {
            write_sums(&folder, &sums)?;
        }
        Ok(landed)
    }

    /// Moves a file in, however large it is. Blocks on the disk.
    pub fn land_file(
        &self,
        channel: &ChannelId,
        date: BusinessDate,
        name: &str,
        path: &Path,
    ) -> Result<InboxFile, InboxError> {
        let _one_at_a_time = self.landing.lock().unwrap_or_else(PoisonError::into_inner);
        let folder = self.folder(channel, date);
        make_durable_folder(&folder)?;
        let mut sums = read_sums(&folder.join(SUMS))?;
        let failed = |source| InboxError::Io { path: path.to_owned(), source };
        let sha256 = digest_of(path).map_err(failed)?;
        if let Some((name, _)) = sums.iter().find(|(_, known)| **known == sha256) {
            fs::remove_file(path).map_err(failed)?;
            return Ok(InboxFile { name: name.clone(), sha256, is_new: false });
        }
        let name = free_name(|free| sums.contains_key(free), name)?;
        let lay = || {
            File::open(path)?.sync_all()?;
            fs::rename(path, folder.join(&name))?;
            File::open(&folder)?.sync_all()
        };
        lay().map_err(failed)?;
        sums.insert(name.clone(), sha256.clone());
        write_sums(&folder, &sums)?;
        Ok(InboxFile { name, sha256, is_new: true })
    }

    /// Whether a file that has landed at some node does not lie here. Blocks on the disk.
    pub(super) fn lacks(&self, file: &LandedFile) -> Result<bool, InboxError> {
        if file.name == NOTHING {
            return Ok(!self.is_answered(&file.channel, file.date)?);
        }
        let files = self.files_of(&file.channel, file.date)?;
        Ok(files.get(&file.name) != Some(&file.sha256))
    }

    /// Where a file's parts are put together.
    pub(super) fn parts_path(&self, sha256: &str) -> Result<PathBuf, InboxError> {
        make_durable_folder(&self.folder)?;
        Ok(self.folder.join(format!(".{sha256}.part")))
    }

    /// Lays a file of another node down under its name; one that was laid in by hand under that
    /// name, and has not landed, makes room. Blocks on the disk.
    pub(super) fn lay(&self, file: &LandedFile, path: &Path) -> Result<(), InboxError> {
        let _one_at_a_time = self.landing.lock().unwrap_or_else(PoisonError::into_inner);
        let folder = self.folder(&file.channel, file.date);
        make_durable_folder(&folder)?;
        let mut sums = read_sums(&folder.join(SUMS))?;
        let (target, failed) =
            (folder.join(&file.name), |source| InboxError::Io { path: path.to_owned(), source });
        if target.exists() && digest_of(&target).map_err(failed)? != file.sha256 {
            let taken = |name: &str| sums.contains_key(name) || folder.join(name).exists();
            let other = folder.join(free_name(taken, &file.name)?);
            fs::rename(&target, other).map_err(failed)?;
        }
        // The file that landed last leads, here as where it landed.
        set_landed_now(path, file.landed_at).map_err(failed)?;
        fs::rename(path, &target).map_err(failed)?;
        File::open(&folder).and_then(|folder| folder.sync_all()).map_err(failed)?;
        sums.insert(file.name.clone(), file.sha256.clone());
        write_sums(&folder, &sums)
    }

    /// Gives a file that has landed another name. Blocks on the disk.
    pub(super) fn rename(
        &self,
        channel: &ChannelId,
        date: BusinessDate,
        from: &str,
        to: &str,
    ) -> Result<(), InboxError> {
        let _one_at_a_time = self.landing.lock().unwrap_or_else(PoisonError::into_inner);
        let folder = self.folder(channel, date);
        let mut sums = read_sums(&folder.join(SUMS))?;
        let failed = |source| InboxError::Io { path: folder.join(from), source };
        fs::rename(folder.join(from), folder.join(to)).map_err(failed)?;
        if let Some(sha256) = sums.remove(from) {
            sums.insert(to.to_owned(), sha256);
        }
        write_sums(&folder, &sums)
    }

    /// The dates of which something lies here, oldest first. Blocks on the disk.
    pub fn dates(&self, channel: &ChannelId) -> Result<Vec<BusinessDate>, InboxError> {
        let folder = self.folder.join(channel.as_str());
        let names = names_in(&folder)?;
        let mut dates: Vec<_> = names.iter().filter_map(|name| BusinessDate::parse(name)).collect();
        dates.sort_unstable();
        Ok(dates)
    }

    /// Lands the files that were laid into a date's folder by hand, once they have not changed for
    /// some seconds: the writer may not be done. Blocks on the disk.
    pub fn register(
        &self,
        channel: &ChannelId,
        date: BusinessDate,
        now: Timestamp,
    ) -> Result<Vec<InboxFile>, InboxError> {
        let _one_at_a_time = self.landing.lock().unwrap_or_else(PoisonError::into_inner);
        let folder = self.folder(channel, date);
        let mut sums = read_sums(&folder.join(SUMS))?;
        let mut landed = Vec::new();
        for name in names_in(&folder)? {
            let path = folder.join(&name);
            let fits = StatementFile::new(&name, Vec::new()).is_some() && name != SUMS;
            if !fits || sums.contains_key(&name) || !self.is_settled(&path, now)? {
                continue;
            }
            let failed = |source| InboxError::Io { path: path.clone(), source };
            let sha256 = digest_of(&path).map_err(failed)?;
            if sums.values().any(|known| *known == sha256) {
                self.set_known(&path);
                continue;
            }
            File::open(&path).and_then(|file| file.sync_all()).map_err(failed)?;
            // A copy may have kept the time of its original; the file that lands last leads. A file
            // whose time we may not change leads by its own time.
            let _ = set_landed_now(&path, now);
            sums.insert(name.clone(), sha256.clone());
            write_sums(&folder, &sums)?;
            landed.push(InboxFile { name, sha256, is_new: true });
        }
        Ok(landed)
    }

    /// Whether a file is as it was some seconds ago, and not known to have nothing new.
    fn is_settled(&self, path: &Path, now: Timestamp) -> Result<bool, InboxError> {
        let failed = |source| InboxError::Io { path: path.to_owned(), source };
        let metadata = fs::metadata(path).map_err(failed)?;
        if !metadata.is_file() {
            return Ok(false);
        }
        let (bytes, modified) = (metadata.len(), metadata.modified().ok());
        let fresh = FileState { bytes, modified, since: now, is_known: false };
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let known = seen.get(path).copied();
        let same = known.filter(|known| (known.bytes, known.modified) == (bytes, modified));
        let standing = same.filter(|known| known.since <= now).unwrap_or(fresh);
        seen.insert(path.to_owned(), standing);
        Ok(!standing.is_known && now.since(standing.since) >= UNCHANGED_FOR)
    }

    fn set_known(&self, path: &Path) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(standing) = seen.get_mut(path) {
            standing.is_known = true;
        }
    }

    /// When each landed file was written, the newest last. Blocks on the disk.
    pub fn by_age(
        &self,
        channel: &ChannelId,
        date: BusinessDate,
    ) -> Result<Vec<InboxFile>, InboxError> {
        let folder = self.folder(channel, date);
        let mut files = Vec::new();
        for (name, sha256) in self.files_of(channel, date)? {
            let modified = fs::metadata(folder.join(&name)).and_then(|found| found.modified()).ok();
            // `zm.10` is behind `zm.9`.
            files.push((modified, name.len(), InboxFile { name, sha256, is_new: false }));
        }
        files.sort_by(|left, right| {
            (left.0, left.1, &left.2.name).cmp(&(right.0, right.1, &right.2.name))
        });
        Ok(files.into_iter().map(|(_, _, file)| file).collect())
    }
}

fn set_landed_now(path: &Path, now: Timestamp) -> io::Result<()> {
    let since_epoch = Duration::from_millis(now.as_millis().unsigned_abs());
    File::options().write(true).open(path)?.set_modified(SystemTime::UNIX_EPOCH + since_epoch)
}

/// SHA-256 of a file, in lower-case hex.
pub fn digest_of(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut digest = RunningSha256::default();
    let mut piece = vec![0; PIECE_BYTES];
    // Ends with the file.
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(hex_lower(&digest.finish())),
            read => digest.update(&piece[..read]),
        }
    }
}

/// The name itself, or its first version that is not taken.
pub(super) fn free_name(is_taken: impl Fn(&str) -> bool, name: &str) -> Result<String, InboxError> {
    let versions = (2..=REISSUES_MAX).map(|version| format!("{name}.{version}"));
    std::iter::once(name.to_owned())
        .chain(versions)
        .find(|free| !is_taken(free) && free != SUMS)
        .ok_or(InboxError::TooManyVersions { max: REISSUES_MAX })
}

fn read_sums(path: &Path) -> Result<BTreeMap<String, String>, InboxError> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(source) => return Err(InboxError::Io { path: path.to_owned(), source }),
    };
    let mut sums = BTreeMap::new();
    for (index, line) in text.lines().enumerate() {
        let damaged = || InboxError::Damaged { path: path.to_owned(), line: index + 1 };
        let (sha256, name) = line.split_once("  ").ok_or_else(damaged)?;
        let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if sha256.len() != 64 || !sha256.bytes().all(hex) {
            return Err(damaged());
        }
        sums.insert(name.to_owned(), sha256.to_owned());
    }
    Ok(sums)
}

fn write_sums(folder: &Path, sums: &BTreeMap<String, String>) -> Result<(), InboxError> {
    let lines: String = sums.iter().map(|(name, sha256)| format!("{sha256}  {name}\n")).collect();
    write_whole(folder, SUMS, lines.as_bytes())
}

/// The names in a folder that may not be there, sorted.
fn names_in(folder: &Path) -> Result<Vec<String>, InboxError> {
    let failed = |source| InboxError::Io { path: folder.to_owned(), source };
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        names.extend(entry.map_err(failed)?.file_name().into_string());
    }
    names.sort_unstable();
    Ok(names)
}

/// Makes the folder and those above it, each with its entry in the one above made durable.
fn make_durable_folder(folder: &Path) -> Result<(), InboxError> {
    if folder.is_dir() {
        return Ok(());
    }
    let failed = |source| InboxError::Io { path: folder.to_owned(), source };
    let above = folder.parent();
    if let Some(above) = above {
        make_durable_folder(above)?;
    }
    match fs::create_dir(folder) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(source) => return Err(failed(source)),
    }
    above.map_or(Ok(()), |above| File::open(above)?.sync_all()).map_err(failed)
}

/// Writes under a dotted name, makes it durable, and gives it its own name, durably.
fn write_whole(folder: &Path, name: &str, bytes: &[u8]) -> Result<(), InboxError> {
    let path = folder.join(name);
    let dotted = folder.join(format!(".{name}.part"));
    let write = || {
        let mut file = File::create(&dotted)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&dotted, &path)?;
        File::open(folder)?.sync_all()
    };
    write().map_err(|source| InboxError::Io { path: path.clone(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Scratch(tempfile::TempDir);

    impl Scratch {
        fn new() -> Self {
            Self(tempfile::tempdir().expect("a folder"))
        }
    }

    fn file(name: &str, bytes: &[u8]) -> StatementFile {
        StatementFile::new(name, bytes.to_vec()).expect("a name")
    }

    fn place() -> (ChannelId, BusinessDate) {
        let date = BusinessDate::parse("2026-11-21").expect("a date");
        (ChannelId::parse("unionpay").expect("an id"), date)
    }

    fn names(landed: &[InboxFile]) -> Vec<(&str, bool)> {
        landed.iter().map(|one| (one.name.as_str(), one.is_new)).collect()
    }

    #[test]
    fn a_content_lands_once_and_a_reissue_beside_it() {
        let scratch = Scratch::new();
        let inbox = Inbox::new(scratch.0.path());
        let (channel, date) = place();
        let first = inbox.land(&channel, date, &[file("zm", b"1"), file("zme", b"2")]);
        assert_eq!(names(&first.expect("landed")), [("zm", true), ("zme", true)]);
        let again = inbox.land(&channel, date, &[file("zm", b"1"), file("other", b"2")]);
        assert_eq!(names(&again.expect("landed")), [("zm", false), ("zme", false)]);
        let reissued = inbox.land(&channel, date, &[file("zm", b"3")]).expect("landed");
        assert_eq!(names(&reissued), [("zm.2", true)]);
        let folder = inbox.folder(&channel, date);
        assert_eq!(fs::read(folder.join("zm")).expect("a file"), b"1");
        assert_eq!(fs::read(folder.join("zm.2")).expect("a file"), b"3");
        let known = inbox.files_of(&channel, date).expect("a list");
        assert_eq!(known.len(), 3);
        assert_eq!(known["zm"], sha256_hex(b"1"));
    }

    #[test]
    fn a_date_on_which_nothing_happened_is_answered_and_can_be_corrected() {
        let scratch = Scratch::new();
        let inbox = Inbox::new(scratch.0.path());
        let (channel, date) = place();
        assert!(!inbox.is_answered(&channel, date).expect("readable"));
        for _ in 0..2 {
            assert_eq!(names(&inbox.land(&channel, date, &[]).expect("landed")), []);
            assert!(inbox.is_answered(&channel, date).expect("readable"));
            assert!(inbox.files_of(&channel, date).expect("a list").is_empty());
        }
        let late = inbox.land(&channel, date, &[file("zm", b"1")]).expect("landed");
        assert_eq!(names(&late), [("zm", true)]);
        assert_eq!(names(&inbox.land(&channel, date, &[]).expect("landed")), []);
        assert_eq!(inbox.files_of(&channel, date).expect("a list").len(), 1);
    }

    #[test]
    fn the_list_is_what_sha256sum_reads() {
        let scratch = Scratch::new();
        let inbox = Inbox::new(scratch.0.path());
        let (channel, date) = place();
        inbox.land(&channel, date, &[file("zm", b"1"), file("rd", b"")]).expect("landed");
        let checked = std::process::Command::new("sha256sum")
            .args(["--check", "--strict", SUMS])
            .current_dir(inbox.folder(&channel, date))
            .output()
            .expect("sha256sum is part of every system that this is tested on");
        assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    }

    #[test]
    fn a_landing_that_was_cut_off_is_finished_by_the_next() {
        let scratch = Scratch::new();
        let inbox = Inbox::new(scratch.0.path());
        let (channel, date) = place();
        let folder = inbox.folder(&channel, date);
        fs::create_dir_all(&folder).expect("a folder");
        // Half a file under its dotted name, and a whole one that the list does not have yet.
        fs::write(folder.join(".zm.part"), b"ha").expect("a file");
        fs::write(folder.join("zme"), b"2").expect("a file");
        let landed = inbox.land(&channel, date, &[file("zm", b"half"), file("zme", b"2")]);
        assert_eq!(names(&landed.expect("landed")), [("zm", true), ("zme", true)]);
        assert_eq!(fs::read(folder.join("zm")).expect("a file"), b"half");
        let shown = fs::read_dir(&folder).expect("a folder").flatten().count();
        assert_eq!(shown, 3, "two files and their list");
    }

    #[test]
    fn a_damaged_list_is_not_written_over() {
        let scratch = Scratch::new();
        let inbox = Inbox::new(scratch.0.path());
        let (channel, date) = place();
        fs::create_dir_all(inbox.folder(&channel, date)).expect("a folder");
        let sums = inbox.folder(&channel, date).join(SUMS);
        fs::write(&sums, "rubbish\n").expect("a file");
        let refused = inbox.land(&channel, date, &[file("zm", b"1")]);
        assert!(matches!(refused, Err(InboxError::Damaged { line: 1, .. })), "{refused:?}");
        assert_eq!(fs::read_to_string(sums).expect("a file"), "rubbish\n");
    }

    #[test]
    fn a_copy_that_kept_an_old_time_leads_once_it_is_taken() {
        let scratch = Scratch::new();
        let (inbox, (channel, date)) = (Inbox::new(scratch.0.path()), place());
        inbox.land(&channel, date, &[file("first", b"one")]).expect("it lands");
        let path = inbox.folder(&channel, date).join("corrected");
        fs::write(&path, b"two").expect("a file");
        let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        let opened = File::options().write(true).open(&path).expect("our file");
        opened.set_modified(long_ago).expect("our file");
        let now = crate::clock::Clock::System.now();
        assert!(inbox.register(&channel, date, now).expect("a look").is_empty());
        let taken = inbox.register(&channel, date, now.plus(2 * UNCHANGED_FOR)).expect("a look");
        assert_eq!(names(&taken), [("corrected", true)]);
        let ages = inbox.by_age(&channel, date).expect("a list");
        assert_eq!(ages.last().map(|one| one.name.as_str()), Some("corrected"));
    }

    #[test]
    fn a_file_is_moved_in_and_dates_are_listed() {
        let scratch = Scratch::new();
        let inbox = Inbox::new(scratch.0.path());
        let (channel, date) = place();
        assert_eq!(inbox.dates(&channel).expect("none"), []);
        let given = scratch.0.path().join("upload");
        for (bytes, wanted) in [(&b"1"[..], "zm"), (b"2", "zm.2"), (b"1", "zm")] {
            fs::write(&given, bytes).expect("a file");
            let landed = inbox.land_file(&channel, date, "zm", &given).expect("landed");
            assert_eq!(landed.name, wanted);
            assert!(!given.exists(), "it is moved, or known and gone");
        }
        assert_eq!(inbox.dates(&channel).expect("a folder"), [date]);
        let by_age = inbox.by_age(&channel, date).expect("two files");
        assert_eq!(names(&by_age), [("zm", false), ("zm.2", false)]);
        assert_eq!(by_age[1].sha256, sha256_hex(b"2"));
    }
}
