//! Formats, faults with their lines, the shipped table, and the life of versions on a disk.

mod formats;
mod live;
mod shipped;

use std::path::{Path, PathBuf};

use super::*;

/// A CSV table with one row for each (BIN, card length, issuer code).
fn csv_of(rows: &[(&str, u8, &str)]) -> String {
    let mut text = String::from("bin,pan_length,issuer_code,issuer_name,card_name,card_type\n");
    for (bin, pan_length, issuer_code) in rows {
        text.push_str(&format!("{bin},{pan_length},{issuer_code},银行,卡,debit\n"));
    }
    text
}

fn fixture(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/bin");
    std::fs::read(folder.join(name)).expect("a fixture")
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn named() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.path().join("bin-table").join(name)
    }
}
