//! What tests share: a scratch folder, rows of the books, and a daemon with all that is around it.

#![allow(dead_code, reason = "every test binary uses a part of it")]

pub mod books;
pub mod core;
pub mod daemon;
pub mod installation;
pub mod simulated;
pub mod wire;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// A new empty folder that goes with the value.
pub struct Scratch {
    folder: PathBuf,
}

impl Scratch {
    pub fn new() -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("switchyard-test-{}-{count}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).expect("a scratch folder");
        Self { folder }
    }

    pub fn path(&self) -> &Path {
        &self.folder
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

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed is left to the system's own cleaning.
        let _removed = std::fs::remove_dir_all(&self.folder);
    }
}
