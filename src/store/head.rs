//! What a row that counts its versions is guarded and found by: its version, its index entries, and
//! its identity in them.

/// See [`Versioned::head`](super::row::Versioned::head).
#[derive(Debug)]
pub(super) struct Head {
    pub version: u32,
    pub entries: Entries,
}

/// The index entries that a row has.
#[derive(Debug, Default)]
pub(super) struct Entries {
    /// Each ends in the row's identity, which is its key without the letter, and has an empty
    /// value.
    pub plain: Vec<Vec<u8>>,
    /// Each belongs to one row only, and its value is that row's identity.
    pub unique: Vec<Vec<u8>>,
}

impl Entries {
    /// Adds an entry with this prefix to those of the row with this key.
    pub(super) fn add(&mut self, mut prefix: Vec<u8>, key: &[u8]) {
        prefix.extend_from_slice(identity(key));
        self.plain.push(prefix);
    }

    pub(super) fn has(&self, entry: &[u8]) -> bool {
        self.plain.iter().chain(&self.unique).any(|own| own == entry)
    }
}

/// A key without its table's letter.
pub(super) fn identity(key: &[u8]) -> &[u8] {
    key.get(1..).unwrap_or_default()
}
