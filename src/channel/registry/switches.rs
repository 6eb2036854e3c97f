//! Which channels an operator has switched off: a small file that survives restarts. Where several
//! nodes share the books the switches lie with those, and the file is not looked at.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::domain::ids::ChannelId;

const FILE: &str = "channels-off";

/// A line of the file that names no channel.
#[derive(Debug)]
pub struct BadSwitches {
    pub file: String,
    pub line: usize,
    pub text: String,
}

/// The switches of all channels; a channel that is not named is on.
pub struct Switches {
    path: PathBuf,
    off: Mutex<BTreeSet<ChannelId>>,
}

impl Switches {
    /// Reads the file below the data folder; an absent one switches nothing off.
    pub fn load(data: &Path) -> Result<Self, BadSwitches> {
        let path = data.join(FILE);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => {
                let text = format!("cannot be read: {error}");
                return Err(BadSwitches { file: path.display().to_string(), line: 0, text });
            }
        };
        let mut off = BTreeSet::new();
        for (place, line) in text.lines().enumerate() {
            let id = ChannelId::parse(line.trim()).map_err(|error| BadSwitches {
                file: path.display().to_string(),
                line: place + 1,
                text: format!("the line is not a channel id: {error}"),
            })?;
            off.insert(id);
        }
        Ok(Self { path, off: Mutex::new(off) })
    }

    pub fn is_on(&self, id: &ChannelId) -> bool {
        !self.off.lock().unwrap_or_else(PoisonError::into_inner).contains(id)
    }

    /// The channels that are switched off.
    pub fn off(&self) -> BTreeSet<ChannelId> {
        self.off.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes the switches of all nodes, which are kept elsewhere. Tells whether that changes any.
    pub fn replace(&self, off: BTreeSet<ChannelId>) -> bool {
        let mut now = self.off.lock().unwrap_or_else(PoisonError::into_inner);
        let changes = *now != off;
        *now = off;
        changes
    }

    /// The file that they are kept in.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes the switch before it takes effect, so that a restart cannot turn it back.
    pub fn set(&self, id: &ChannelId, on: bool) -> io::Result<()> {
        self.change(|off| {
            if on {
                off.remove(id);
            } else {
                off.insert(id.clone());
            }
        })
    }

    /// The same of all channels: these are off, and no others.
    pub fn set_off(&self, channels: BTreeSet<ChannelId>) -> io::Result<()> {
        self.change(|off| *off = channels)
    }

    fn change(&self, change: impl FnOnce(&mut BTreeSet<ChannelId>)) -> io::Result<()> {
        let mut off = self.off.lock().unwrap_or_else(PoisonError::into_inner);
        let mut after = off.clone();
        change(&mut after);
        self.write(&after)?;
        *off = after;
        Ok(())
    }

    /// A new file beside the old one, then a rename: a crash leaves one of the two, whole.
    fn write(&self, off: &BTreeSet<ChannelId>) -> io::Result<()> {
        let fresh = self.path.with_extension("new");
        let mut file = File::create(&fresh)?;
        for id in off {
            writeln!(file, "{id}")?;
        }
        file.sync_all()?;
        fs::rename(&fresh, &self.path)?;
        let folder = self.path.parent().unwrap_or(Path::new("."));
        File::open(folder)?.sync_all()
    }
}
