//! Programs of other authors that tests compare us with, and which of them this machine lacks.

#![allow(dead_code, reason = "each test program asks about its own witness")]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

pub fn has_openssl() -> bool {
    Command::new("openssl").arg("version").output().is_ok()
}

/// A python that has the packages, if there is one.
pub fn python() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let has_packages = |python: &PathBuf| {
        let mut asked = Command::new(python);
        asked.args(["-c", "import iso8583, cryptography; iso8583.encode"]);
        asked.stdout(Stdio::null()).stderr(Stdio::null());
        asked.current_dir(root).status().is_ok_and(|status| status.success())
    };
    let own = root.join("target/witness/bin/python");
    [own, PathBuf::from("python3")].into_iter().find(has_packages)
}

/// What is left out for want of a witness, and how to get it; empty where everything is compared.
pub fn left_out() -> Vec<&'static str> {
    let openssl = "what tests/openssl.rs compares with the `openssl` command: install it";
    let python = "what tests/witness/ compares with Python's pyiso8583 and cryptography (messages \
                  stored from them were checked): .ci/run fetches them";
    let openssl = (!has_openssl()).then_some(openssl);
    let python = self::python().is_none().then_some(python);
    openssl.into_iter().chain(python).collect()
}
