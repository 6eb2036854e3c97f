//! The only place that writes to standard output and standard error.
//!
//! A reader that closes the pipe early (`switchyard … | head`) has what it wanted: further output
//! is dropped, and the command ends as it would have ended. Any other failure to write, such as a
//! full disk, is a failure of the command. The library's own macros panic at both.

use std::fmt;
use std::io::{self, ErrorKind, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context as _;

/// The error of a command that cannot print.
pub const UNWRITTEN: &str = "standard output cannot be written";

/// The reader of standard output has gone.
static CLOSED: AtomicBool = AtomicBool::new(false);

/// Whether standard output has no reader any more, so that a long listing can stop.
pub fn is_closed() -> bool {
    CLOSED.load(Ordering::Relaxed)
}

/// Standard output. Text written after its reader has gone is dropped.
#[derive(Debug, Clone, Copy)]
pub struct Output;

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if is_closed() {
            return Ok(bytes.len());
        }
        ignore_closed(io::stdout().write(bytes), &CLOSED).map(|kept| kept.unwrap_or(bytes.len()))
    }

    fn flush(&mut self) -> io::Result<()> {
        ignore_closed(io::stdout().flush(), &CLOSED).map(|_| ())
    }
}

/// The result; `None` if the reader has gone, which `closed` then records.
fn ignore_closed<T>(done: io::Result<T>, closed: &AtomicBool) -> io::Result<Option<T>> {
    match done {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => {
            closed.store(true, Ordering::Relaxed);
            Ok(None)
        }
        done => done.map(Some),
    }
}

/// Writes to standard output, for [`say!`].
pub fn write(text: fmt::Arguments<'_>) -> anyhow::Result<()> {
    let done = Output.write_fmt(text).and_then(|()| Output.flush());
    done.context(UNWRITTEN)
}

/// Writes to standard error, for [`note!`]. A failure cannot be reported anywhere.
pub fn write_note(text: fmt::Arguments<'_>) {
    let _untold = io::stderr().write_fmt(text);
}

/// Prints a line on standard output.
macro_rules! say {
    ($($text:tt)*) => {
        $crate::cli::output::write(format_args!("{}\n", format_args!($($text)*)))
    };
}

/// Prints a line on standard error.
macro_rules! note {
    ($($text:tt)*) => {
        $crate::cli::output::write_note(format_args!("{}\n", format_args!($($text)*)))
    };
}

pub(crate) use {note, say};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_that_has_gone_is_no_failure_and_a_full_disk_is() {
        let closed = AtomicBool::new(false);
        let failed = |kind: ErrorKind| ignore_closed(Err::<(), _>(kind.into()), &closed);
        assert!(failed(ErrorKind::StorageFull).is_err() && !closed.load(Ordering::Relaxed));
        assert!(failed(ErrorKind::BrokenPipe).is_ok_and(|done| done.is_none()));
        assert!(closed.load(Ordering::Relaxed));
    }
}
