//! The file behind one side: opened, unpacked if it is packed, read in large pieces line by line.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::codec::layout::Charset;
use crate::domain::time::BusinessDate;
use crate::reconciliation::matching::MatchError;
use crate::reconciliation::matching::partitions::Budget;

/// Bytes that are read at once; the longest line that can be read.
const PIECE_BYTES: usize = 1024 * 1024;
/// Bytes of a packed file's content: a packed file lies about its size when it is hostile.
const UNPACKED_BYTES_MAX: u64 = 64 * 1024 * 1024 * 1024;
/// Bytes of a summary that are read.
const SUMMARY_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// Bytes that are read at once where one line is looked for.
const LINE_PIECE_BYTES: usize = 1024;

/// The name pattern of a statement's file, and its date where that is known beforehand.
#[derive(Debug, Clone, Copy)]
pub struct FilePattern<'a> {
    /// With `*`, `<YYMMDD>` and `<YYYYMMDD>`.
    pub pattern: Option<&'a str>,
    pub date: Option<BusinessDate>,
}

/// Opens a file; one that is packed (ZIP or gzip) is unpacked into a temporary one.
///
/// Of a ZIP file the one whose name is like the pattern is taken, or the only one. A name that has
/// another date than the one that was asked for is another day's.
pub fn open(path: &Path, named: FilePattern<'_>, budget: &Budget) -> Result<File, MatchError> {
    let context = |source| MatchError::Read { path: path.to_owned(), source };
    let own_name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    named.check(own_name)?;
    let mut file = File::open(path).map_err(context)?;
    match packing(&mut file).map_err(context)? {
        Compression::Zip => unzip(file, path, named, budget),
        Compression::Gzip => {
            let mut unpacked = flate2::read::GzDecoder::new(file);
            keep(&mut unpacked, path, budget)
        }
        Compression::None => Ok(file),
    }
}

/// The text of the summary that a layout names: from the statement's own archive, or from the file
/// that was found beside it. `None` where there is none of the statement's date.
pub fn summary(
    statement: &Path,
    beside: Option<&Path>,
    named: FilePattern<'_>,
) -> Result<Option<Vec<u8>>, MatchError> {
    let context = |path: &Path, source| MatchError::Read { path: path.to_owned(), source };
    let mut file = File::open(statement).map_err(|source| context(statement, source))?;
    let packing = packing(&mut file).map_err(|source| context(statement, source))?;
    if let Compression::Zip = packing {
        let (mut archive, names) = members(file, statement)?;
        let fits = |name: &str| named.fits(name);
        let Some(index) = names.iter().position(|name| name.as_deref().is_some_and(fits)) else {
            return Ok(None);
        };
        let packed = |error: zip::result::ZipError| MatchError::Packed {
            path: statement.to_owned(),
            problem: error.to_string(),
        };
        let entry = archive.by_index(index).map_err(packed)?;
        return read_short(entry).map(Some).map_err(|source| context(statement, source));
    }
    let Some(path) = beside else { return Ok(None) };
    let read = File::open(path).and_then(read_short);
    read.map(Some).map_err(|source| context(path, source))
}

/// At most [`SUMMARY_BYTES_MAX`]: a longer page has its totals at its end, and is not read so far.
fn read_short(file: impl Read) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    file.take(SUMMARY_BYTES_MAX).read_to_end(&mut text)?;
    Ok(text)
}

enum Compression {
    None,
    Zip,
    Gzip,
}

fn packing(file: &mut File) -> io::Result<Compression> {
    let mut magic = [0; 4];
    let length = file.read(&mut magic)?;
    file.seek(SeekFrom::Start(0))?;
    Ok(match &magic[..length] {
        [b'P', b'K', 3, 4] => Compression::Zip,
        [0x1F, 0x8B, ..] => Compression::Gzip,
        _ => Compression::None,
    })
}

type Archive = zip::ZipArchive<io::BufReader<File>>;

/// A ZIP file, and the names of what is in it, without their folders; `None` for a folder.
fn members(file: File, path: &Path) -> Result<(Archive, Vec<Option<String>>), MatchError> {
    let packed = |problem: String| MatchError::Packed { path: path.to_owned(), problem };
    let mut archive = zip::ZipArchive::new(io::BufReader::new(file))
        .map_err(|_| packed("the ZIP file is not whole".to_owned()))?;
    let mut names = Vec::with_capacity(archive.len());
    for index in 0..archive.len() {
        let entry = archive.by_index(index).map_err(|error| packed(error.to_string()))?;
        // Names are UTF-8 or, from Windows, GBK; which one is not always said.
        let raw = entry.name_raw();
        let name = match std::str::from_utf8(raw) {
            Ok(name) => name.to_owned(),
            Err(_) => Charset::Gbk.decode(raw),
        };
        let name = name.rsplit('/').next().unwrap_or_default().to_owned();
        names.push((!entry.is_dir()).then_some(name));
    }
    Ok((archive, names))
}

fn unzip(
    file: File,
    path: &Path,
    named: FilePattern<'_>,
    budget: &Budget,
) -> Result<File, MatchError> {
    let packed = |problem: String| MatchError::Packed { path: path.to_owned(), problem };
    let (mut archive, names) = members(file, path)?;
    let mut found = None;
    for (index, name) in names.iter().enumerate() {
        let Some(name) = name else { continue };
        if named.pattern.is_some_and(|pattern| !is_like(name, pattern)) {
            continue;
        }
        named.check(name)?;
        if found.replace(index).is_some() {
            return Err(packed("more than one file of the archive fits".to_owned()));
        }
    }
    let index = found.ok_or_else(|| {
        packed(
            "no file of the archive has the layout's \
     name"
                .to_owned(),
        )
    })?;
    let mut entry = archive.by_index(index).map_err(|error| packed(error.to_string()))?;
    keep(&mut entry, path, budget)
}

/// How a pattern writes a date: the mark, its digits, and what is added to their number.
const DATE_MARKS: [(&str, usize, u32); 2] = [("<YYMMDD>", 6, 20_000_000), ("<YYYYMMDD>", 8, 0)];

impl FilePattern<'_> {
    /// Refuses a name that is like the pattern and has another date.
    fn check(self, name: &str) -> Result<(), MatchError> {
        let found = self.pattern.and_then(|pattern| date_in(name, pattern));
        match (found, self.date) {
            (Some(found), Some(date)) if found != date => {
                Err(MatchError::OtherDay { name: name.to_owned(), date: found })
            }
            (Some(_) | None, Some(_) | None) => Ok(()),
        }
    }

    /// Whether a name is like the pattern, and of the date.
    pub fn fits(self, name: &str) -> bool {
        self.pattern.is_some_and(|pattern| is_like(name, pattern)) && self.check(name).is_ok()
    }
}

/// Whether a name is like a pattern, in which `*` stands for anything, and `<YYMMDD>` and
/// `<YYYYMMDD>` for a date's digits.
pub fn is_like(name: &str, pattern: &str) -> bool {
    like(name, pattern).is_some()
}

/// Whether a name is like a pattern, and of the date where it has one.
pub fn is_of(name: &str, pattern: &str, date: BusinessDate) -> bool {
    FilePattern { pattern: Some(pattern), date: Some(date) }.fits(name)
}

/// The date that a name has where its pattern says so.
fn date_in(name: &str, pattern: &str) -> Option<BusinessDate> {
    BusinessDate::from_yyyymmdd(like(name, pattern)?)
}

/// The number that the date's digits write, 0 without a date; `None` if the name is not like it.
fn like(name: &str, pattern: &str) -> Option<u32> {
    let Some(at) = pattern.find(['*', '<']) else { return (name == pattern).then_some(0) };
    let (head, rest) = pattern.split_at(at);
    let name = name.strip_prefix(head)?;
    for (mark, digits, century) in DATE_MARKS {
        if let Some(rest) = rest.strip_prefix(mark) {
            let date =
                name.get(..digits).filter(|d| d.bytes().all(|byte| byte.is_ascii_digit()))?;
            let after = like(&name[digits..], rest)?;
            return date
                .parse()
                .ok()
                .map(|date: u32| if after > 0 { after } else { century + date });
        }
    }
    if let Some(rest) = rest.strip_prefix('*') {
        let ends = name.char_indices().map(|(at, _)| at).chain([name.len()]);
        return ends.into_iter().find_map(|at| like(&name[at..], rest));
    }
    like(name.strip_prefix('<')?, &rest[1..])
}

fn keep(unpacked: &mut impl Read, path: &Path, budget: &Budget) -> Result<File, MatchError> {
    let failed = |source| MatchError::Read { path: path.to_owned(), source };
    let mut file = budget.temporary_file().map_err(failed)?;
    let mut bounded = unpacked.take(UNPACKED_BYTES_MAX + 1);
    let copied = io::copy(&mut bounded, &mut file).map_err(failed)?;
    if copied > UNPACKED_BYTES_MAX {
        let problem = "the file unpacks to more than 64 GiB".to_owned();
        return Err(MatchError::Packed { path: path.to_owned(), problem });
    }
    Ok(file)
}

/// One line as it stands in the file.
#[derive(Debug, Clone, Copy)]
pub struct Line<'text> {
    /// Without its line end.
    pub text: &'text [u8],
    /// Where it begins.
    pub offset: u64,
    /// The file ends without a line end behind it.
    pub is_cut: bool,
}

/// Why reading stopped.
pub enum LineError {
    Read(io::Error),
    TooLong,
}

/// The lines of a file, read in large pieces.
pub struct Lines {
    file: File,
    piece: Vec<u8>,
    /// Where the next line begins in the piece, how far no line end is, and the end of what was
    /// read.
    start: usize,
    searched: usize,
    filled: usize,
    /// Where the piece begins in the file.
    position: u64,
    is_over: bool,
}

impl Lines {
    pub fn new(file: File) -> Self {
        let piece = vec![0; PIECE_BYTES];
        Self { file, piece, start: 0, searched: 0, filled: 0, position: 0, is_over: false }
    }

    pub const fn file(&self) -> &File {
        &self.file
    }

    /// The next line, if there is one; calls `watch` with the bytes of every piece.
    #[inline]
    pub fn next_line(&mut self, watch: impl Fn(u64)) -> Result<Option<Line<'_>>, LineError> {
        // Ends with a line end, or with the file: every round reads on.
        let (end, is_cut) = loop {
            let end = memchr::memchr(b'\n', &self.piece[self.searched..self.filled]);
            if let Some(end) = end {
                break (self.searched + end, false);
            }
            self.searched = self.filled;
            if self.is_over {
                break (self.filled, true);
            }
            self.read_on(&watch)?;
        };
        let start = self.start;
        if is_cut && start == end {
            return Ok(None);
        }
        self.start = if is_cut { end } else { end + 1 };
        self.searched = self.start;
        let text = strip_return(&self.piece[start..end]);
        Ok(Some(Line { text, offset: self.position + start as u64, is_cut }))
    }

    /// Moves what is left of the piece to its beginning, and fills the rest.
    #[cold]
    fn read_on(&mut self, watch: impl Fn(u64)) -> Result<(), LineError> {
        self.piece.copy_within(self.start..self.filled, 0);
        self.position += self.start as u64;
        self.filled -= self.start;
        (self.start, self.searched) = (0, self.filled);
        if self.filled == self.piece.len() {
            return Err(LineError::TooLong);
        }
        let at = self.position + self.filled as u64;
        let read =
            read_at(&self.file, &mut self.piece[self.filled..], at).map_err(LineError::Read)?;
        watch(read as u64);
        self.filled += read;
        self.is_over = read == 0;
        Ok(())
    }
}

/// The line that begins at `offset`, in `text`, without its line end.
pub fn line_at(file: &File, offset: u64, text: &mut Vec<u8>) -> io::Result<()> {
    text.clear();
    // Ends with the line, the file, or the longest line that there can be.
    while text.len() < PIECE_BYTES {
        let start = text.len();
        text.resize(start + LINE_PIECE_BYTES, 0);
        let read = read_at(file, &mut text[start..], offset + start as u64)?;
        text.truncate(start + read);
        let end = memchr::memchr(b'\n', &text[start..]);
        if let Some(end) = end {
            text.truncate(start + end);
        }
        if end.is_some() || read == 0 {
            break;
        }
    }
    let length = strip_return(text).len();
    text.truncate(length);
    Ok(())
}

fn read_at(file: &File, piece: &mut [u8], offset: u64) -> io::Result<usize> {
    // Ends when the system is not interrupted.
    loop {
        match file.read_at(piece, offset) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}

fn strip_return(text: &[u8]) -> &[u8] {
    text.strip_suffix(b"\r").unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_like_patterns() {
        let rows = [
            ("INN26112088ZM_7", "INN*88ZM_*", true),
            ("INN26112088ZME_7", "INN*88ZM_*", false),
            ("a_业务明细.csv", "*业务明细.csv", true),
            ("a_业务明细(汇总).csv", "*业务明细.csv", false),
            ("a", "a", true),
            ("ab", "a", false),
            ("", "*", true),
            ("INN26112088ZM_7.2", "INN<YYMMDD>88ZM_*", true),
            ("INN2611208ZM_7", "INN<YYMMDD>88ZM_*", false),
            ("7_20261120_业务明细.csv", "*_<YYYYMMDD>_业务明细.csv", true),
            ("7_202611_业务明细.csv", "*_<YYYYMMDD>_业务明细.csv", false),
            ("a<b", "a<b", true),
            ("a<b", "a<*", true),
            ("ab", "a<*", false),
        ];
        for (name, pattern, wanted) in rows {
            assert_eq!(is_like(name, pattern), wanted, "{name} {pattern}");
        }
        let day = BusinessDate::from_yyyymmdd(20_261_120);
        assert_eq!(date_in("INN26112088ZM_7", "INN<YYMMDD>88ZM_*"), day);
        assert_eq!(date_in("7_8_20261120_x", "*_<YYYYMMDD>_x"), day);
        assert_eq!(date_in("INN26112088ZM_7", "INN*"), None);
        assert_eq!(date_in("INN26132088ZM_7", "INN<YYMMDD>88ZM_*"), None, "no date");
    }

    fn zipped(files: &[(&str, &str)]) -> Vec<u8> {
        let mut writer = zip::ZipWriter::new(io::Cursor::new(Vec::new()));
        for (name, text) in files {
            let options = zip::write::SimpleFileOptions::default();
            writer.start_file(*name, options).expect("a file");
            io::Write::write_all(&mut writer, text.as_bytes()).expect("memory");
        }
        writer.finish().expect("an archive").into_inner()
    }

    #[test]
    fn a_packed_file_is_read_like_a_plain_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("packed");
        let budget = Budget::new(0, folder.path());
        let read = |bytes: &[u8], member| {
            std::fs::write(&path, bytes).expect("written");
            let named =
                FilePattern { pattern: member, date: BusinessDate::from_yyyymmdd(20_261_120) };
            let file = open(&path, named, &budget).map_err(|error| error.to_string())?;
            let (mut lines, mut found) = (Lines::new(file), Vec::new());
            while let Some(line) = lines.next_line(|_| {}).map_err(|_| "it stops".to_owned())? {
                found.push((String::from_utf8_lossy(line.text).into_owned(), line.offset));
            }
            Ok::<_, String>(found)
        };
        let wanted = Ok(vec![("one".to_owned(), 0), ("two".to_owned(), 5)]);
        assert_eq!(read(b"one\r\ntwo", None), wanted);
        let two = zipped(&[("d/a_1", "one\r\ntwo\n"), ("d/b_1", "three")]);
        assert_eq!(read(&two, Some("a*")), wanted);
        assert!(read(&two, None).is_err_and(|problem| problem.contains("more than one")));
        assert!(read(&two, Some("c*")).is_err_and(|problem| problem.contains("no file")));
        let dated = zipped(&[("INN26112088ZM_7", "one\r\ntwo"), ("INN26112088ZME_7", "three")]);
        assert_eq!(read(&dated, Some("INN<YYMMDD>88ZM_*")), wanted);
        let other = zipped(&[("INN26111988ZM_7", "one\r\ntwo")]);
        let other = read(&other, Some("INN<YYMMDD>88ZM_*"));
        assert!(other.is_err_and(|problem| problem.contains("2026-11-19")));
        assert!(read(b"PK\x03\x04", None).is_err_and(|problem| problem.contains("not whole")));
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        io::Write::write_all(&mut gzip, b"one\r\ntwo\n").expect("memory");
        assert_eq!(read(&gzip.finish().expect("memory"), None), wanted);
        std::fs::remove_file(&path).expect("it was written");
    }
}
