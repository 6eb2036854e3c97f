//! The mark of a move of the books in a data folder: a file that no daemon starts beside.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use crate::codec::sign::hex_lower;
use crate::store::whole::{MoveMark, MoveRole, MoveState};

/// The file's name, below the data folder.
pub const MARK: &str = "move";

/// The mark in a data folder, if there is one.
///
/// # Errors
/// If it cannot be read, or is not as it was written.
pub fn read(data: &Path) -> io::Result<Option<MoveMark>> {
    match fs::read_to_string(data.join(MARK)) {
        Ok(text) => {
            parse(&text).map(Some).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Replaces the mark, durably, or takes it away.
///
/// # Errors
/// If the folder cannot be written.
pub fn write(data: &Path, mark: Option<&MoveMark>) -> io::Result<()> {
    let path = data.join(MARK);
    match mark {
        Some(mark) => {
            let next = data.join(format!("{MARK}.next"));
            let mut options = OpenOptions::new();
            let mut file =
                options.write(true).create(true).truncate(true).mode(0o600).open(&next)?;
            file.write_all(text_of(mark).as_bytes())?;
            file.sync_all()?;
            fs::rename(&next, &path)?;
        }
        None => match fs::remove_file(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            removed => removed?,
        },
    }
    File::open(data)?.sync_all()
}

fn text_of(mark: &MoveMark) -> String {
    let MoveMark { id, role, state, other, kind, last } = mark;
    let last = last.as_deref().map_or_else(|| "-".to_owned(), hex_lower);
    format!("{id}\n{role}\n{state}\n{kind}\n{last}\n{other}\n")
}

fn parse(text: &str) -> Option<MoveMark> {
    let mut lines = text.lines();
    let mark = MoveMark {
        id: lines.next()?.to_owned(),
        role: MoveRole::parse(lines.next()?)?,
        state: MoveState::parse(lines.next()?)?,
        kind: lines.next()?.parse().ok()?,
        last: match lines.next()? {
            "-" => None,
            hex => Some(bytes_of(hex)?),
        },
        other: lines.next()?.to_owned(),
    };
    text.ends_with('\n').then_some(mark)
}

fn bytes_of(hex: &str) -> Option<Vec<u8>> {
    let pairs = hex.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).ok());
    pairs.map(|pair| u8::from_str_radix(pair.filter(|pair| pair.len() == 2)?, 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_comes_back_and_damage_is_an_error() {
        let scratch = tempfile::tempdir().expect("a folder");
        let data = scratch.path();
        assert_eq!(read(data).expect("readable"), None);
        let mark = MoveMark {
            id: "1-2".to_owned(),
            role: MoveRole::Source,
            state: MoveState::UnderWay,
            other: "postgres://a@b/c".to_owned(),
            kind: 3,
            last: Some(vec![0, 255]),
        };
        for mark in [mark.clone(), MoveMark { last: None, role: MoveRole::Target, ..mark }] {
            write(data, Some(&mark)).expect("written");
            assert_eq!(read(data).expect("readable"), Some(mark));
        }
        let whole = fs::read_to_string(data.join(MARK)).expect("a file");
        for cut in 0..whole.len() {
            fs::write(data.join(MARK), &whole[..cut]).expect("a file");
            assert!(read(data).is_err(), "{cut}");
        }
        write(data, None).expect("removed");
        write(data, None).expect("it is gone already");
        assert_eq!(read(data).expect("readable"), None);
    }
}
