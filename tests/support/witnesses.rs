//! Programs of other authors that tests compare us with, and which of them this machine lacks.

#![allow(dead_code, reason = "each test program asks about its own witness")]

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The packages of Python that tests/peers/ asks.
const PEERS: [&str; 8] = [
    "Adyen",
    "alipay",
    "localstripe",
    "openapi_python_client",
    "opentelemetry.proto",
    "schemathesis",
    "standardwebhooks",
    "wechatpayv3",
];

/// Whether tests are left out for want of a witness. `.ci/run` demands every one.
pub fn is_left_out(missing: bool, witness: &str) -> bool {
    let demanded = std::env::var_os("SWITCHYARD_WITNESSES").is_some();
    assert!(!(missing && demanded), "{witness} is missing, and .ci/run demands it");
    missing
}

pub fn has_openssl() -> bool {
    Command::new("openssl").arg("version").output().is_ok()
}

/// Prometheus's own reader of rules, from Debian's package `prometheus`.
pub fn has_promtool() -> bool {
    Command::new("promtool").arg("--version").output().is_ok()
}

/// A python that has the packages which pack messages, if there is one.
pub fn python() -> Option<PathBuf> {
    python_that_runs("import iso8583, cryptography; iso8583.encode")
}

/// A python that has this package, if there is one.
pub fn python_with(package: &str) -> Option<PathBuf> {
    python_that_runs(&format!("import {package}"))
}

/// The linter of OpenAPI documents that `.ci/run` fetches, if it and its runtime are there.
pub fn linter() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let program = root.join("target/linter/node_modules/.bin/redocly");
    let runs = Command::new(&program).arg("--version").stdout(Stdio::null()).status();
    runs.is_ok_and(|status| status.success()).then_some(program)
}

fn python_that_runs(line: &str) -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let has_packages = |python: &PathBuf| {
        let mut asked = Command::new(python);
        asked.args(["-c", line]);
        asked.stdout(Stdio::null()).stderr(Stdio::null());
        asked.current_dir(root).status().is_ok_and(|status| status.success())
    };
    let own = root.join("target/witness/bin/python");
    [own, PathBuf::from("python3")].into_iter().find(has_packages)
}

/// PostgreSQL's programs, and the user and group that run them.
pub struct PostgresPrograms {
    pub folder: PathBuf,
    /// Set where the test runs as root, which PostgreSQL refuses.
    pub run_as: Option<(u32, u32)>,
}

/// `SWITCHYARD_POSTGRES_BIN`, or the newest version where Debian puts them, or those of `PATH`.
pub fn postgres() -> Option<PostgresPrograms> {
    let folders = match std::env::var_os("SWITCHYARD_POSTGRES_BIN") {
        Some(named) => vec![PathBuf::from(named)],
        None => {
            let path = std::env::var_os("PATH").unwrap_or_default();
            debian_versions().into_iter().chain(std::env::split_paths(&path)).collect()
        }
    };
    let has_server = |folder: &PathBuf| {
        ["initdb", "postgres", "pg_basebackup"].iter().all(|name| folder.join(name).exists())
    };
    let folder = folders.into_iter().find(has_server)?;
    let is_root = std::fs::metadata("/proc/self").ok()?.uid() == 0;
    let run_as = if is_root { Some(ordinary_user()?) } else { None };
    Some(PostgresPrograms { folder, run_as })
}

fn debian_versions() -> Vec<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let number = |version: &std::fs::DirEntry| -> u32 {
        version.file_name().to_str().and_then(|name| name.parse().ok()).unwrap_or_default()
    };
    let mut versions: Vec<_> = versions.collect();
    versions.sort_by_key(|version| std::cmp::Reverse(number(version)));
    versions.iter().map(|version| version.path().join("bin")).collect()
}

/// The number and the group of a user that may run a server.
fn ordinary_user() -> Option<(u32, u32)> {
    let users = std::fs::read_to_string("/etc/passwd").ok()?;
    let find = |name: &str| {
        let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut numbers = line.split(':').skip(2).map(str::parse);
        Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
    };
    find("postgres").or_else(|| find("nobody"))
}

/// Whether there is a browser, and what drives it.
pub fn has_chromium() -> bool {
    let answers = |name: &str| {
        let mut asked = Command::new(name);
        asked.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
        asked.status().is_ok_and(|status| status.success())
    };
    answers("chromedriver") && (answers("chromium") || answers("google-chrome"))
}

/// The rules of accessibility, as `.ci/run` fetches them.
pub fn axe() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let file = root.join("target/axe/node_modules/axe-core/axe.min.js");
    file.exists().then_some(file)
}

/// What is left out for want of a witness, and how to get it; empty where everything is compared.
pub fn left_out() -> Vec<&'static str> {
    let openssl = "what tests/openssl.rs compares with the `openssl` command: install it";
    let python = "what tests/witness/ compares with Python's pyiso8583 and cryptography (messages \
                  stored from them were checked): .ci/run fetches them";
    let peers = "what tests/peers/ takes through libraries of Adyen, Alipay, Stripe and WeChat Pay \
                 (the samples of those files were played), and through schemathesis, \
                 openapi-python-client, standardwebhooks and opentelemetry-proto: .ci/run fetches \
                 them";
    let linter = "what tests/peers/ has Redocly's linter say of the OpenAPI document: .ci/run \
                  fetches it, where there is npm";
    let postgres = "tests/postgres/ and the module `postgres` of tests/store/, for want of \
                    PostgreSQL's server: install it, or name the folder of its programs in \
                    SWITCHYARD_POSTGRES_BIN";
    let promtool = "what tests/operator/ has Prometheus's `promtool` try of deploy/alerts.yml (its \
                    rules were read): install Debian's package `prometheus`";
    let browser = "tests/browser/, where the console's tasks are done in a browser, for want of \
                   chromium, chromedriver or axe-core: .ci/run installs them";
    let browser = (!has_chromium() || axe().is_none()).then_some(browser);
    let openssl = (!has_openssl()).then_some(openssl);
    let python = self::python().is_none().then_some(python);
    let lacks_peer = PEERS.iter().any(|package| python_with(package).is_none());
    let peers = lacks_peer.then_some(peers);
    let postgres = self::postgres().is_none().then_some(postgres);
    let promtool = (!has_promtool()).then_some(promtool);
    let linter = self::linter().is_none().then_some(linter);
    let all = [openssl, python, peers, linter, postgres, promtool, browser];
    all.into_iter().flatten().collect()
}
