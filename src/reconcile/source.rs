//! The file behind one side: opened, unpacked if it is packed, read in large pieces line by line.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::codec::layout::Encoding;
use crate::reconcile::ReconcileError;
use crate::reconcile::partitions::Budget;

/// Bytes that are read at once; the longest line that can be read.
const PIECE_BYTES: usize = 1024 * 1024;
/// Bytes of a packed file's content: a packed file lies about its size when it is hostile.
const UNPACKED_BYTES_MAX: u64 = 64 * 1024 * 1024 * 1024;
/// Bytes that are read at once where one line is looked for.
const LINE_PIECE_BYTES: usize = 1024;

/// Opens a file; one that is packed (ZIP or gzip) is unpacked into a temporary one.
///
/// Of a ZIP file the one whose name is like `member` is taken, or the only one.
pub fn open(path: &Path, member: Option<&str>, budget: &Budget) -> Result<File, ReconcileError> {
    let context = |source| ReconcileError::Read { path: path.to_owned(), source };
    let mut file = File::open(path).map_err(context)?;
    let mut magic = [0; 4];
    let length = file.read(&mut magic).map_err(context)?;
    file.seek(SeekFrom::Start(0)).map_err(context)?;
    match &magic[..length] {
        [b'P', b'K', 3, 4] => unzip(file, path, member, budget),
        [0x1F, 0x8B, ..] => {
            let mut unpacked = flate2::read::GzDecoder::new(file);
            keep(&mut unpacked, path, budget)
        }
        _ => Ok(file),
    }
}

fn unzip(
    file: File,
    path: &Path,
    member: Option<&str>,
    budget: &Budget,
) -> Result<File, ReconcileError> {
    let packed = |problem: String| ReconcileError::Packed { path: path.to_owned(), problem };
    let mut archive = zip::ZipArchive::new(io::BufReader::new(file))
        .map_err(|_| packed("it is no whole ZIP file".to_owned()))?;
    let mut found = None;
    for index in 0..archive.len() {
        let entry = archive.by_index(index).map_err(|error| packed(error.to_string()))?;
        // Names are UTF-8 or, from Windows, GBK; which one is not always said.
        let raw = entry.name_raw();
        let name = match std::str::from_utf8(raw) {
            Ok(name) => name.to_owned(),
            Err(_) => Encoding::Gbk.decode(raw),
        };
        let name = name.rsplit('/').next().unwrap_or_default();
        let fits = member.is_none_or(|pattern| is_like(name, pattern));
        if entry.is_dir() || !fits {
            continue;
        }
        if found.replace(index).is_some() {
            return Err(packed("more than one file in it can be meant".to_owned()));
        }
    }
    let index = found.ok_or_else(|| packed("no file in it has the layout's name".to_owned()))?;
    let mut entry = archive.by_index(index).map_err(|error| packed(error.to_string()))?;
    keep(&mut entry, path, budget)
}

/// Whether a name is like a pattern, in which `*` stands for anything.
pub fn is_like(name: &str, pattern: &str) -> bool {
    match pattern.split_once('*') {
        None => name == pattern,
        Some((head, rest)) => {
            let Some(name) = name.strip_prefix(head) else { return false };
            let ends = name.char_indices().map(|(at, _)| at).chain([name.len()]);
            ends.into_iter().any(|at| is_like(&name[at..], rest))
        }
    }
}

fn keep(unpacked: &mut impl Read, path: &Path, budget: &Budget) -> Result<File, ReconcileError> {
    let failed = |source| ReconcileError::Read { path: path.to_owned(), source };
    let mut file = budget.temporary_file().map_err(failed)?;
    let mut bounded = unpacked.take(UNPACKED_BYTES_MAX + 1);
    let copied = io::copy(&mut bounded, &mut file).map_err(failed)?;
    if copied > UNPACKED_BYTES_MAX {
        let problem = "it unpacks to more than 64 GiB".to_owned();
        return Err(ReconcileError::Packed { path: path.to_owned(), problem });
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
pub enum Stop<E> {
    Read(io::Error),
    TooLong,
    Told(E),
}

/// Calls `take` with every line, and `watch` with the bytes of every piece.
pub fn each_line<E>(
    file: &File,
    watch: &dyn Fn(u64),
    mut take: impl FnMut(Line<'_>) -> Result<(), E>,
) -> Result<(), Stop<E>> {
    let mut piece = vec![0; PIECE_BYTES];
    let (mut filled, mut position) = (0, 0_u64);
    // Ends with the file: every round reads on, or finds that nothing is left.
    loop {
        if filled == piece.len() {
            return Err(Stop::TooLong);
        }
        let read = read_at(file, &mut piece[filled..], position + filled as u64);
        let read = read.map_err(Stop::Read)?;
        watch(read as u64);
        if read == 0 {
            break;
        }
        // What was carried over holds no line end.
        let fresh = filled;
        filled += read;
        let mut start = 0;
        for end in memchr::memchr_iter(b'\n', &piece[fresh..filled]) {
            let end = fresh + end;
            let text = without_return(&piece[start..end]);
            let line = Line { text, offset: position + start as u64, is_cut: false };
            take(line).map_err(Stop::Told)?;
            start = end + 1;
        }
        piece.copy_within(start..filled, 0);
        filled -= start;
        position += start as u64;
    }
    if filled > 0 {
        let text = without_return(&piece[..filled]);
        take(Line { text, offset: position, is_cut: true }).map_err(Stop::Told)?;
    }
    Ok(())
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
    let length = without_return(text).len();
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

fn without_return(text: &[u8]) -> &[u8] {
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
        ];
        for (name, pattern, wanted) in rows {
            assert_eq!(is_like(name, pattern), wanted, "{name} {pattern}");
        }
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
        let folder = std::env::temp_dir();
        let path = folder.join(format!("switchyard-packed-{}", std::process::id()));
        let budget = Budget::new(0, &folder);
        let read = |bytes: &[u8], member| {
            std::fs::write(&path, bytes).expect("written");
            let file = open(&path, member, &budget).map_err(|error| error.to_string())?;
            let mut lines = Vec::new();
            let each = each_line(&file, &|_| {}, |line| {
                lines.push((String::from_utf8_lossy(line.text).into_owned(), line.offset));
                Ok::<(), ()>(())
            });
            assert!(each.is_ok());
            Ok::<_, String>(lines)
        };
        let wanted = Ok(vec![("one".to_owned(), 0), ("two".to_owned(), 5)]);
        assert_eq!(read(b"one\r\ntwo", None), wanted);
        let two = zipped(&[("d/a_1", "one\r\ntwo\n"), ("d/b_1", "three")]);
        assert_eq!(read(&two, Some("a*")), wanted);
        assert!(read(&two, None).is_err_and(|problem| problem.contains("more than one")));
        assert!(read(&two, Some("c*")).is_err_and(|problem| problem.contains("no file")));
        assert!(read(b"PK\x03\x04", None).is_err_and(|problem| problem.contains("no whole")));
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        io::Write::write_all(&mut gzip, b"one\r\ntwo\n").expect("memory");
        assert_eq!(read(&gzip.finish().expect("memory"), None), wanted);
        std::fs::remove_file(&path).expect("it was written");
    }
}
