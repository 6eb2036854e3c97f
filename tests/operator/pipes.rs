//! Every command ends as it would have ended when nobody reads what it prints any more.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use switchyard::app::App;

use crate::reading::contracted;
use crate::services::{payment_code, verification};
use crate::support::Scratch;
use crate::support::core::{Core, Payment};
use crate::support::daemon::program;
use crate::support::installation::{CALLER_KEY, Installation, metrics};
use crate::support::simulated::{BANK, UNIONPAY};

/// Lines that print something, for the shell's words; `DATE` is the clearing date.
const LINES: [&str; 60] = [
    "bin lookup 622302 --data data2",
    "bin lookup 622302 --data data2 --json",
    "bin check --data data2",
    "bin diff table.csv --lists --data data2",
    "bin versions --data data2",
    "bin changes --from 0 --data data3",
    "bin changes --from 0 --to 1 --data data3 --json",
    "bin check wrong.csv",
    "channel list",
    "channel list --json",
    "channel list --daemon",
    "channel rates harbour-bank",
    "channel rates harbour-bank --json",
    "channel switch harbour-bank on --reason drill",
    "channel check channels/harbour-bank.toml",
    "channel check channels/none.toml",
    "channel certify channels/none.toml",
    "channel explain-signature channels/harbour-bank.toml --reply channels/none.toml",
    "check-config --config switchyard.toml",
    "check-config --config none.toml",
    "route explain --config switchyard.toml --bin 621626 --amount 9.5 --currency CNY --data data2",
    "today",
    "today --json",
    "order show A-1",
    "order list",
    "order list --status succeeded --limit 1 --json",
    "order find A-1",
    "order export",
    "agreement list shop-1",
    "verification show V-1",
    "payment-code show C-1",
    "reversal list",
    "reversal list --json",
    "approval list",
    "approval list --json",
    "proposal list",
    "proposal list --json",
    "transaction list",
    "transaction list harbour-bank DATE --json",
    "contradiction list",
    "notice list",
    "clock show",
    "worker list",
    "node list",
    "accounting list",
    "audit list",
    "route explain --daemon --bin 621626 --amount 123.45 --currency CNY",
    "clearing export harbour-bank DATE",
    "clearing verify harbour-bank DATE",
    "statement show harbour-bank DATE",
    "reconcile --layout generic-csv --statement none.csv --records none.csv",
    "difference list harbour-bank",
    "settlement list harbour-bank",
    "report harbour-bank DATE",
    "reload --reason drill",
    "store verify --data data",
    "store verify --data data --json",
    "completions bash",
    "completions zsh",
    "man pages",
];
/// Whose output is a table, which fits the terminal.
const TABLES: [&str; 8] =
    ["list", "lookup", "rates", "report", "versions", "changes", "explain", "today"];
/// They run until they are stopped, or for long; they print in the same way.
const LONG: [&str; 3] = ["serve", "demo", "simulate"];

/// Where the command's two outputs go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Reader {
    Listens,
    /// Nobody reads standard output any more.
    HasGone,
    /// Nor standard error.
    HasGoneFromBoth,
}

/// The writing end of a pipe that nobody reads.
fn unread() -> Stdio {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    writer.into()
}

fn command(folder: &Path, line: &str, url: &str, date: &str) -> Command {
    let mut command = program(folder);
    let words = line.split(' ').map(|word| if word == "DATE" { date } else { word });
    command.args(words).stdin(Stdio::null());
    let asks = ["order", "reversal", "transaction", "contradiction", "clearing", "statement"];
    let asks = asks.into_iter().chain(["difference", "settlement", "report", "notice", "clock"]);
    let asks = asks.chain(["accounting", "agreement", "audit", "verification", "worker", "today"]);
    let asks = asks.chain(["channel rates", "channel switch", "proposal", "payment-code"]);
    if line.contains("--daemon") || asks.into_iter().any(|name| line.starts_with(name)) {
        command.args(["--url", url, "--key", CALLER_KEY]);
    }
    command
}

fn run(mut command: Command, reader: Reader) -> Output {
    match reader {
        Reader::Listens => command.stdout(Stdio::piped()).stderr(Stdio::piped()),
        Reader::HasGone => command.stdout(unread()).stderr(Stdio::piped()),
        Reader::HasGoneFromBoth => command.stdout(unread()).stderr(unread()),
    };
    command.output().expect("the program starts")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_whose_reader_has_gone_ends_as_usual() {
    let town = Installation::new(|channel| channel).await;
    let app = App::start(town.settings(), &town.data(), metrics()).await.expect("a daemon");
    let core = Core::new(app.address(), CALLER_KEY);
    let paid = core.pay(&Payment::instant("A-1", 12_345)).await;
    assert_eq!(paid.outcome(), (200, "succeeded"), "{}", paid.body);
    let verified = core.post("/v1/verifications", &verification("V-1")).await;
    assert_eq!(verified.status, 200, "{}", verified.body);
    let sent = core.post("/v1/payment-codes", &payment_code("C-1")).await;
    assert_eq!(sent.status, 200, "{}", sent.body);
    let folder = town.folder().to_owned();
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("bin-tables/unionpay.csv");
    std::fs::copy(shipped, folder.join("table.csv")).expect("a copy");
    std::fs::write(folder.join("wrong.csv"), "bin\nx\n").expect("a file");
    let fixture = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/bin/unionpay-2018-06.csv");
    let refreshed = ["bin", "refresh", fixture, "--force", "--reason", "drill", "--data", "data3"];
    let refreshed = program(&folder).args(refreshed).output().expect("the program starts");
    assert!(refreshed.status.success(), "{refreshed:?}");
    let (url, date) = (format!("http://{}", app.address()), paid.text("clearing_date").to_owned());
    let work = move || {
        for line in LINES {
            let run = |reader| run(command(&folder, line, &url, &date), reader);
            let usual = run(Reader::Listens);
            let told = usual.stdout.len() + usual.stderr.len();
            // A listing without rows is nothing at all in JSON.
            assert!(told > 0 || line.ends_with("list --json"), "`{line}` prints something");
            let is_table = line.split(' ').take(2).any(|word| TABLES.contains(&word));
            if is_table && !line.ends_with("--json") {
                let told = String::from_utf8_lossy(&usual.stdout);
                let widest = told.lines().map(|line| line.chars().count()).max().unwrap_or(0);
                assert!(widest <= 100, "`{line}` is {widest} columns wide:\n{told}");
            }
            for reader in [Reader::HasGone, Reader::HasGoneFromBoth] {
                let ended = run(reader);
                let errors = String::from_utf8_lossy(&ended.stderr);
                assert_eq!(
                    ended.status.code(),
                    usual.status.code(),
                    "`{line}` {reader:?} {errors}"
                );
                assert!(!errors.contains("panicked"), "`{line}`: {errors}");
            }
        }
        full_disk(&folder);
    };
    tokio::task::spawn_blocking(work).await.expect("no panic");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_outlives_the_reader_of_its_log() {
    let folder = Scratch::new();
    contracted(folder.path());
    let mut serve = program(folder.path());
    serve.args(["serve", "--data", "data", "--listen", "127.0.0.1:0"]);
    let mut child = serve.stdout(Stdio::piped()).stderr(unread()).spawn().expect("it starts");
    let output = child.stdout.take().expect("it is piped");
    let ended = tokio::task::spawn_blocking(move || {
        let mut lines = BufReader::new(output).lines();
        let listens = lines.any(|line| line.is_ok_and(|line| line.starts_with("listening on")));
        // What goes wrong at a command is told into the same pipe.
        std::fs::write(folder.path().join("channels/none.toml"), "protocol").expect("a file");
        // A reload and a stop are logged, each into the pipe that nobody reads.
        for signal in ["HUP", "TERM"] {
            let kill = format!("kill -{signal} {}", child.id());
            let sent = Command::new("sh").args(["-c", &kill]).status();
            assert!(sent.is_ok_and(|status| status.success()), "{signal} is sent");
        }
        (listens, child.wait().expect("it is our child"))
    });
    let (listens, ended) = ended.await.expect("no panic");
    assert!(listens && ended.code() == Some(0), "{ended:?}");
}

/// That nothing can be written is not that nobody reads.
fn full_disk(folder: &Path) {
    let Ok(full) = std::fs::File::options().write(true).open("/dev/full") else { return };
    let mut command = command(folder, "bin versions --data data2", "", "");
    let ended = command.stdout(full).stderr(Stdio::piped()).output().expect("the program starts");
    let errors = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(1), "{errors}");
    assert!(errors.contains("standard output cannot be written"), "{errors}");
}

#[test]
fn every_command_is_among_them() {
    let folder = std::env::temp_dir();
    let help = program(&folder).arg("--help").output().expect("the program starts");
    let help = String::from_utf8_lossy(&help.stdout).into_owned();
    let (_, commands) = help.split_once("Commands:\n").expect("the list of commands");
    let names = commands.lines().take_while(|line| !line.is_empty());
    let names = names.filter_map(|line| line.split_whitespace().next());
    let names: Vec<&str> = names.filter(|name| *name != "help").collect();
    assert!(names.len() > 10, "{help}");
    for name in names {
        let is_run = LINES.iter().any(|line| line.split(' ').next() == Some(name));
        assert!(is_run || LONG.contains(&name), "`{name}` is tried with a reader that has gone");
    }
    assert_eq!([BANK, UNIONPAY], ["harbour-bank", "unionpay"]);
}
