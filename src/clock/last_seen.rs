//! The last moment that a daemon of these books bore out, kept in a small file of its own: a start
//! holds the clock against it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::domain::time::Timestamp;

const FILE: &str = "clock.json";

/// The last process's knowledge of the time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LastSeen {
    /// The latest moment that was borne out: the truth was no earlier.
    pub proven_ms: i64,
    /// By how much the clocks of those are off which an operator has overruled, by host.
    pub overruled_off_by_ms: BTreeMap<String, i64>,
}

impl LastSeen {
    /// `None` where no process has written one. A file that does not read is an error of kind
    /// `InvalidData`.
    pub fn read(data: &Path) -> io::Result<Option<Self>> {
        let text = match fs::read_to_string(data.join(FILE)) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let read = serde_json::from_str(&text);
        read.map(Some).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }

    /// A new file beside the old one, then a rename: a crash leaves one of the two, whole.
    pub fn write(&self, data: &Path) -> io::Result<()> {
        let path = data.join(FILE);
        let fresh = path.with_extension("new");
        let mut file = File::create(&fresh)?;
        serde_json::to_writer(&mut file, self)?;
        file.write_all(b"\n")?;
        file.sync_all()?;
        fs::rename(&fresh, &path)?;
        File::open(data)?.sync_all()
    }
}

/// The moments that a start holds the clock against.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClockBaseline {
    /// The last process's knowledge.
    pub seen: Option<LastSeen>,
    /// When the first order of the books was accepted. Where there is none, the clock is taken at
    /// its word; without the rest, all that is certain is that this lies behind us.
    pub first_order_at: Option<Timestamp>,
}
