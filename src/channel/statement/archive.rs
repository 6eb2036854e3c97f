//! Unpacks what statements travel in: zlib streams (RFC 1950), gzip (RFC 1952) and ZIP files,
//! within bounds.
//!
//! A packed file says of itself how large it is, and lies when it is hostile: what is counted is
//! what comes out.

use std::io::{Cursor, Read};

use super::{FILES_MAX, StatementFile};

/// Why packed bytes are not what they should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UnpackError {
    #[error("it is not a whole zlib stream")]
    Zlib,
    #[error("it is not a whole gzip file")]
    Gzip,
    #[error("it is not a whole ZIP file")]
    Zip,
    #[error("it unpacks to more than the {limit} bytes allowed")]
    TooLarge { limit: usize },
    #[error("it holds no file, or more than {FILES_MAX}")]
    Count,
    #[error("file {place} in it has a name that a statement cannot have")]
    Name { place: usize },
    #[error("file {place} in it has the name of an earlier one")]
    Repeated { place: usize },
}

/// The bytes of a zlib stream.
pub fn inflate(packed: &[u8], limit: usize) -> Result<Vec<u8>, UnpackError> {
    let mut stream = flate2::read::ZlibDecoder::new(packed);
    let bytes = read_bounded(&mut stream, limit, UnpackError::Zlib)?;
    // Bytes behind the stream belong to nothing.
    let whole = usize::try_from(stream.total_in()).is_ok_and(|taken| taken == packed.len());
    if whole { Ok(bytes) } else { Err(UnpackError::Zlib) }
}

/// The bytes of a gzip file, which may have several members. Its checksums are verified.
pub fn gunzip(packed: &[u8], limit: usize) -> Result<Vec<u8>, UnpackError> {
    let mut stream = flate2::read::MultiGzDecoder::new(packed);
    read_bounded(&mut stream, limit, UnpackError::Gzip)
}

/// Whether a ZIP file is whole, its files no larger than `limit` together. Their names may be in
/// any character set: whoever reads the file chooses among them.
pub fn check_zip(packed: &[u8], limit: usize) -> Result<(), UnpackError> {
    let mut archive = zip::ZipArchive::new(Cursor::new(packed)).map_err(|_| UnpackError::Zip)?;
    let mut left = limit;
    if !(1..=FILES_MAX).contains(&archive.len()) {
        return Err(UnpackError::Count);
    }
    for index in 0..archive.len() {
        let entry = archive.by_index(index).map_err(|_| UnpackError::Zip)?;
        let bound = u64::try_from(left).unwrap_or(u64::MAX - 1) + 1;
        let copied = std::io::copy(&mut entry.take(bound), &mut std::io::sink());
        let copied = usize::try_from(copied.map_err(|_| UnpackError::Zip)?).unwrap_or(usize::MAX);
        left = left.checked_sub(copied).ok_or(UnpackError::TooLarge { limit })?;
    }
    Ok(())
}

/// The files of a ZIP file, folders left out, in its order. Their checksums are verified.
pub fn unzip(packed: &[u8], limit: usize) -> Result<Vec<StatementFile>, UnpackError> {
    let mut archive = zip::ZipArchive::new(Cursor::new(packed)).map_err(|_| UnpackError::Zip)?;
    let mut files: Vec<StatementFile> = Vec::new();
    let mut left = limit;
    if archive.len() > FILES_MAX {
        return Err(UnpackError::Count);
    }
    for index in 0..archive.len() {
        let place = index + 1;
        let mut entry = archive.by_index(index).map_err(|_| UnpackError::Zip)?;
        if entry.is_dir() {
            continue;
        }
        let name = entry.name().map_err(|_| UnpackError::Name { place })?.into_owned();
        let bytes = read_bounded(&mut entry, left, UnpackError::Zip)
            .map_err(|error| if left < limit { with_limit(error, limit) } else { error })?;
        left -= bytes.len();
        if files.iter().any(|earlier| earlier.name() == name) {
            return Err(UnpackError::Repeated { place });
        }
        files.push(StatementFile::new(&name, bytes).ok_or(UnpackError::Name { place })?);
    }
    if files.is_empty() { Err(UnpackError::Count) } else { Ok(files) }
}

/// The limit that was given, rather than what was left of it.
const fn with_limit(error: UnpackError, limit: usize) -> UnpackError {
    match error {
        UnpackError::TooLarge { .. } => UnpackError::TooLarge { limit },
        UnpackError::Zlib
        | UnpackError::Gzip
        | UnpackError::Zip
        | UnpackError::Count
        | UnpackError::Name { .. }
        | UnpackError::Repeated { .. } => error,
    }
}

fn read_bounded(
    stream: &mut impl Read,
    limit: usize,
    broken: UnpackError,
) -> Result<Vec<u8>, UnpackError> {
    let mut bytes = Vec::new();
    // One byte more than is taken, so that too much is seen to be too much.
    let bound = u64::try_from(limit).unwrap_or(u64::MAX - 1) + 1;
    stream.take(bound).read_to_end(&mut bytes).map_err(|_| broken)?;
    if bytes.len() > limit { Err(UnpackError::TooLarge { limit }) } else { Ok(bytes) }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::{GzEncoder, ZlibEncoder};
    use proptest::prelude::*;
    use zip::write::SimpleFileOptions;

    use super::*;

    fn deflated(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).expect("memory");
        encoder.finish().expect("memory")
    }

    fn gzipped(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).expect("memory");
        encoder.finish().expect("memory")
    }

    fn zipped(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
        for (name, bytes) in files {
            writer.start_file(*name, SimpleFileOptions::default()).expect("a file");
            writer.write_all(bytes).expect("memory");
        }
        writer.finish().expect("an archive").into_inner()
    }

    #[test]
    fn what_was_packed_comes_out() {
        assert_eq!(inflate(&deflated(b"statement"), 9), Ok(b"statement".to_vec()));
        let files = unzip(&zipped(&[("a", b"1"), ("b_2", b"")]), 1).expect("two files");
        let found: Vec<_> = files.iter().map(|file| (file.name(), &file.bytes[..])).collect();
        assert_eq!(found, [("a", &b"1"[..]), ("b_2", &b""[..])]);
        assert_eq!(gunzip(&gzipped(b"statement"), 9), Ok(b"statement".to_vec()));
        let two = [gzipped(b"state"), gzipped(b"ment")].concat();
        assert_eq!(gunzip(&two, 9), Ok(b"statement".to_vec()));
        assert_eq!(check_zip(&zipped(&[("业务明细.csv", b"1")]), 1), Ok(()));
    }

    #[test]
    fn bounds_are_kept_whatever_a_file_says_of_itself() {
        let zeros = vec![0; 1_000_000];
        assert_eq!(
            inflate(&deflated(&zeros), 999_999),
            Err(UnpackError::TooLarge { limit: 999_999 })
        );
        let bomb = gunzip(&gzipped(&zeros), 999_999);
        assert_eq!(bomb, Err(UnpackError::TooLarge { limit: 999_999 }));
        let two = zipped(&[("a", &zeros[..600]), ("b", &zeros[..600])]);
        assert_eq!(unzip(&two, 1_000), Err(UnpackError::TooLarge { limit: 1_000 }));
        assert_eq!(check_zip(&two, 1_000), Err(UnpackError::TooLarge { limit: 1_000 }));
        let names: Vec<String> = (0..=FILES_MAX).map(|index| format!("f{index}")).collect();
        let many: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), &b""[..])).collect();
        assert_eq!(unzip(&zipped(&many), 10), Err(UnpackError::Count));
        assert_eq!(check_zip(&zipped(&many), 10), Err(UnpackError::Count));
    }

    #[test]
    fn what_is_not_whole_or_not_a_name_is_refused() {
        let packed = deflated(b"statement");
        assert_eq!(inflate(&packed[..packed.len() - 1], 100), Err(UnpackError::Zlib));
        assert_eq!(inflate(&[&packed[..], b"x"].concat(), 100), Err(UnpackError::Zlib));
        assert_eq!(inflate(b"PK", 100), Err(UnpackError::Zlib));
        let packed = gzipped(b"statement");
        assert_eq!(gunzip(&packed[..packed.len() - 1], 100), Err(UnpackError::Gzip));
        assert_eq!(gunzip(&[&packed[..], b"x"].concat(), 100), Err(UnpackError::Gzip));
        assert_eq!(unzip(b"statement", 100), Err(UnpackError::Zip));
        assert_eq!(check_zip(b"statement", 100), Err(UnpackError::Zip));
        assert_eq!(check_zip(&zipped(&[]), 100), Err(UnpackError::Count));
        assert_eq!(unzip(&zipped(&[]), 100), Err(UnpackError::Count));
        assert_eq!(unzip(&zipped(&[("../a", b"")]), 9), Err(UnpackError::Name { place: 1 }));
        let mut spoiled = zipped(&[("a", b"statement of a day")]);
        let at = spoiled.windows(4).position(|four| four == b"tate");
        // Short texts are stored or deflated as literals; the checksum sees the change either way.
        let at = at.unwrap_or(36);
        spoiled[at] ^= 1;
        assert_eq!(unzip(&spoiled, 100), Err(UnpackError::Zip));
        assert_eq!(check_zip(&spoiled, 100), Err(UnpackError::Zip));
    }

    proptest! {
        #[test]
        fn any_bytes_are_files_or_an_error(
            place in any::<prop::sample::Index>(),
            byte in any::<u8>(),
            noise in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            let _ = inflate(&noise, 1_000);
            let _ = gunzip(&noise, 1_000);
            let _ = unzip(&noise, 1_000);
            let _ = check_zip(&noise, 1_000);
            let mut damaged = zipped(&[("a", b"one"), ("b", b"two")]);
            let place = place.index(damaged.len());
            damaged[place] = byte;
            let _ = unzip(&damaged, 1_000);
        }
    }
}
