//! Writes the list of differences under a temporary name and renames it when it is whole: half a
//! list must not look like one.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// A list that is being written. Dropped before [`Self::finish`], it leaves nothing behind.
pub struct List {
    writer: Option<BufWriter<File>>,
    part: PathBuf,
    path: PathBuf,
}

impl List {
    pub fn begin(path: &Path) -> io::Result<Self> {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(".part");
        let part = path.with_file_name(name);
        let file = File::create(&part)?;
        let writer = Some(BufWriter::with_capacity(1 << 18, file));
        Ok(Self { writer, part, path: path.to_owned() })
    }

    pub fn finish(mut self) -> io::Result<()> {
        let writer = self.writer.take().expect("it is finished once");
        let done = writer.into_inner().map_err(io::IntoInnerError::into_error);
        let done = done.and_then(|file| file.sync_all());
        done.and_then(|()| fs::rename(&self.part, &self.path)).inspect_err(|_| self.forget())
    }

    fn forget(&self) {
        // The part that was written is of no use, and the failure itself is reported anyway.
        let _ = fs::remove_file(&self.part);
    }
}

impl Write for List {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writer.as_mut().expect("it is not finished").write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.as_mut().expect("it is not finished").flush()
    }
}

impl Drop for List {
    fn drop(&mut self) {
        if self.writer.take().is_some() {
            self.forget();
        }
    }
}
