//! What tests share: a scratch folder, rows of the books, and a daemon with all that is around it.

#![allow(dead_code, reason = "every test binary uses a part of it")]

pub mod books;
pub mod contract;
pub mod core;
pub mod daemon;
pub mod installation;
pub mod postgres;
pub mod postgres_proxy;
pub mod simulated;
pub mod wire;
pub mod witnesses;

use std::path::Path;

/// A new empty folder that goes with the value.
pub struct Scratch {
    folder: tempfile::TempDir,
}

impl Scratch {
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a scratch folder") }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// Copies a folder with all that is in it.
pub fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for file in std::fs::read_dir(from).expect("a folder").flatten() {
        let (from, to) = (file.path(), to.join(file.file_name()));
        if from.is_dir() {
            copy_folder(&from, &to);
        } else {
            std::fs::copy(from, to).expect("a copy");
        }
    }
}
