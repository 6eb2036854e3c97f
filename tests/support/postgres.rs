//! PostgreSQL servers of the test's own: started, killed, paused and started again, each in a
//! scratch folder, with `fsync` on.
//!
//! A server never outlives its test program, whatever ends that: it is the child of a shell that
//! reads from a pipe of ours. Where the pipe ends, the shell stops the server and removes the
//! folder.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use tokio_postgres::{Client, NoTls};

use super::witnesses::{self, PostgresPrograms};

/// Who owns everything in a server of ours.
pub const OWNER: &str = "switchyard";
/// A role that is asked for a password.
pub const STRANGER: &str = "stranger";

/// Starts the server at each word, and tells its number.
const WATCHER: &str = r#"
while read -r word; do
    case $word in
        start)
            "$0/postgres" -D data </dev/null >>log 2>&1 &
            server=$!
            echo "$server" ;;
        wait)
            wait "$server"
            server=
            echo gone ;;
    esac
done
kill -CONT "$server"
kill -QUIT "$server"
wait "$server"
cd / && rm -rf "$1"
"#;

/// Ports that the system gives to nobody by itself, so that a server that is down keeps its own.
const PORTS: std::ops::Range<u16> = 15_000..32_000;
/// Looks at a server that starts, 10 ms apart.
const LOOKS_MAX: usize = 6_000;

/// One server. It goes with the value.
pub struct Server {
    programs: PostgresPrograms,
    folder: PathBuf,
    pub port: u16,
    watcher: Mutex<Watcher>,
    /// Databases of tests that have ended.
    unused: Mutex<Vec<String>>,
}

struct Watcher {
    shell: Child,
    words: Option<ChildStdin>,
    told: BufReader<ChildStdout>,
    /// The server's process.
    server: u32,
}

impl Watcher {
    fn ask(&mut self, word: &str) -> String {
        let words = self.words.as_mut().expect("it is open until the value goes");
        writeln!(words, "{word}").expect("the shell reads");
        let mut line = String::new();
        self.told.read_line(&mut line).expect("the shell answers");
        line.trim().to_owned()
    }
}

/// A database for one test.
pub struct Database {
    server: &'static Server,
    pub name: String,
    pub url: String,
}

impl Database {
    /// Its server's port of loopback.
    pub fn port(&self) -> u16 {
        self.server.port
    }

    pub async fn client(&self) -> Client {
        connect(&self.url).await
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        self.server.unused.lock().expect("no panic").push(std::mem::take(&mut self.name));
    }
}

/// The server that all tests of this program share; `None` where they are left out.
pub fn shared() -> Option<&'static Server> {
    static SHARED: OnceLock<Option<Server>> = OnceLock::new();
    SHARED.get_or_init(|| Server::start("autovacuum = off\nmax_connections = 400\n")).as_ref()
}

/// A database of the shared server, with nothing in it.
pub async fn database() -> Option<Database> {
    let server = shared()?;
    let admin = connect(&server.url("postgres")).await;
    let unused = std::mem::take(&mut *server.unused.lock().expect("no panic"));
    for name in unused {
        let drop = format!("DROP DATABASE {name} WITH (FORCE)");
        admin.batch_execute(&drop).await.expect("it was there");
    }
    let name = format!("test_{}", fastrand::u64(..));
    let create = format!("CREATE DATABASE {name} TEMPLATE template0");
    admin.batch_execute(&create).await.expect("a database");
    let url = server.url(&name);
    Some(Database { server, name, url })
}

/// A connection of its own. It ends with the client.
pub async fn connect(url: &str) -> Client {
    try_connect(url).await.unwrap_or_else(|error| panic!("{url}: {error}"))
}

pub async fn try_connect(url: &str) -> Result<Client, tokio_postgres::Error> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    // The client hears of what ends the connection.
    tokio::spawn(async move { connection.await.is_ok() });
    Ok(client)
}

impl Server {
    /// Starts a new server with these lines in its configuration; `None` where tests that need one
    /// are left out.
    pub fn start(configuration: &str) -> Option<Self> {
        let programs = witnesses::postgres();
        if witnesses::is_left_out(programs.is_none(), "PostgreSQL's server") {
            return None;
        }
        let programs = programs?;
        let folder = scratch(&programs);
        run(&programs, &folder, "initdb", &INITDB);
        let server = Self::begin(programs, folder, configuration);
        Some(server)
    }

    /// Starts what lies in the folder's `data`.
    fn begin(programs: PostgresPrograms, folder: PathBuf, configuration: &str) -> Self {
        write(&folder.join("data/pg_hba.conf"), HOSTS);
        let mut shell = Command::new("sh");
        shell.args(["-c", WATCHER]).arg(&programs.folder).arg(&folder);
        // An interrupt at the terminal ends the tests, and by that the server in its own way.
        shell.process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut shell = as_ordinary_user(shell, &programs, &folder).spawn().expect("a shell");
        let words = shell.stdin.take();
        let told = BufReader::new(shell.stdout.take().expect("it is piped"));
        let watcher = Mutex::new(Watcher { shell, words, told, server: 0 });
        let mut server = Self { programs, folder, port: 0, watcher, unused: Mutex::default() };
        let settings = server.folder.join("data/postgresql.conf");
        let initial = std::fs::read_to_string(&settings).expect("initdb has written it");
        // Another program may take the port first: then the next one is tried.
        loop {
            server.port = free_port();
            let lines = format!("{initial}\n{COMMON}port = {}\n{configuration}", server.port);
            write(&settings, &lines);
            if server.try_start() {
                return server;
            }
            let log = server.log();
            assert!(log.contains("Address already in use"), "the server does not start: {log}");
        }
    }

    /// The address of a database, for its owner.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://{OWNER}@127.0.0.1:{}/{database}", self.port)
    }

    pub fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// The number of the server's first process.
    pub fn process(&self) -> u32 {
        self.watcher.lock().expect("no panic").server
    }

    /// Starts it again after its end.
    pub fn start_again(&self) {
        assert!(self.try_start(), "the server does not start again: {}", self.log());
    }

    fn try_start(&self) -> bool {
        let process: u32 = {
            let mut watcher = self.watcher.lock().expect("no panic");
            let told = watcher.ask("start");
            watcher.server = told.parse().expect("the number of a process");
            watcher.server
        };
        for _ in 0..LOOKS_MAX {
            // Its own number in the first line, and in the eighth what it is about.
            let file = std::fs::read_to_string(self.data().join("postmaster.pid"));
            let file = file.unwrap_or_default();
            let lines: Vec<&str> = file.lines().collect();
            let is_own = lines.first().is_some_and(|line| *line == process.to_string());
            if is_own && lines.get(7).is_some_and(|line| line.trim() == "ready") {
                return true;
            }
            if !is_alive(process) {
                return false;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("the server is never ready: {}", self.log());
    }

    /// Sends a signal to the server and to all of its processes.
    pub fn signal_all(&self, name: &str) {
        let process = self.process();
        signal(name, &[&[process][..], &children(process)].concat());
    }

    /// All of its processes end at once, as at a loss of power.
    pub fn kill(&self) {
        // The first process would start others.
        let process = self.process();
        signal("STOP", &[process]);
        let children = children(process);
        signal("KILL", &[&[process][..], &children].concat());
        self.wait_for_end();
        for child in children {
            wait_until_gone(child);
        }
    }

    /// It ends what is under way, and goes.
    pub fn stop(&self) {
        signal("INT", &[self.process()]);
        self.wait_for_end();
    }

    fn wait_for_end(&self) {
        assert_eq!(self.watcher.lock().expect("no panic").ask("wait"), "gone");
    }

    /// Everything stands still, connections included, until [`Self::resume`].
    pub fn pause(&self) {
        self.signal_all("STOP");
    }

    pub fn resume(&self) {
        self.signal_all("CONT");
    }

    /// A copy of the server as it is now, which follows it under this name.
    pub fn standby(&self, name: &str, configuration: &str) -> Self {
        let PostgresPrograms { folder, run_as } = &self.programs;
        let programs = PostgresPrograms { folder: folder.clone(), run_as: *run_as };
        let folder = scratch(&programs);
        let (port, own) = (self.port.to_string(), format!("--dbname=application_name={name}"));
        let copy = ["-D", "data", "-R", "-X", "stream", "-c", "fast", "--no-sync", "-h"];
        let from = ["127.0.0.1", "-p", &port, "-U", OWNER, &own];
        run(&programs, &folder, "pg_basebackup", &[&copy[..], &from].concat());
        Self::begin(programs, folder, configuration)
    }

    /// A standby becomes a server that is written to.
    pub fn promote(&self) {
        run(&self.programs, &self.folder, "pg_ctl", &["promote", "-w", "-D", "data"]);
    }

    /// Copies the data folder of a server that is stopped to this place, or back.
    pub fn copy_data(&self, from: &str, to: &str) {
        let copy = format!("rm -rf '{to}' && cp -a '{from}' '{to}'");
        let mut shell = Command::new("sh");
        shell.args(["-c", &copy]);
        run_command(shell, &self.programs, &self.folder);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let watcher = self.watcher.get_mut().unwrap_or_else(|poisoned| poisoned.into_inner());
        watcher.words = None;
        // It ends where its pipe does.
        let _ended = watcher.shell.wait();
    }
}

const INITDB: [&str; 11] = [
    "-D",
    "data",
    "-U",
    OWNER,
    "-E",
    "UTF8",
    "--locale=C",
    "--auth=trust",
    "--no-sync",
    "--no-instructions",
    "--data-checksums",
];

const HOSTS: &str = "\
host all stranger 127.0.0.1/32 scram-sha-256
host all all 127.0.0.1/32 trust
host replication all 127.0.0.1/32 trust
";

const COMMON: &str = "\
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
shared_buffers = 64MB
log_min_messages = warning
";

/// A new folder of the server's user.
fn scratch(programs: &PostgresPrograms) -> PathBuf {
    let folder = tempfile::tempdir().expect("a scratch folder").keep();
    if let Some((user, group)) = programs.run_as {
        chown(&folder, Some(user), Some(group)).expect("root may");
    }
    folder
}

/// Writes over a file of the server's, which stays the server's.
fn write(file: &Path, text: &str) {
    std::fs::write(file, text).expect("a file of the server");
}

fn as_ordinary_user(mut command: Command, programs: &PostgresPrograms, folder: &Path) -> Command {
    if let Some((user, group)) = programs.run_as {
        command.uid(user).gid(group);
    }
    command.current_dir(folder);
    command
}

fn run(programs: &PostgresPrograms, folder: &Path, name: &str, arguments: &[&str]) {
    let mut command = Command::new(programs.folder.join(name));
    command.args(arguments);
    run_command(command, programs, folder);
}

fn run_command(command: Command, programs: &PostgresPrograms, folder: &Path) {
    let mut command = as_ordinary_user(command, programs, folder);
    let ran = command.stdin(Stdio::null()).output().expect("it was there a moment ago");
    let words = String::from_utf8_lossy(&ran.stderr).into_owned();
    assert!(ran.status.success(), "{command:?}: {words}");
}

fn free_port() -> u16 {
    loop {
        let port = fastrand::u16(PORTS);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// Sends a signal by name. A process that has ended already needs none.
pub fn signal(name: &str, processes: &[u32]) {
    let numbers: Vec<String> = processes.iter().map(u32::to_string).collect();
    let script = format!("kill -{name} {} 2>/dev/null; true", numbers.join(" "));
    let sent = Command::new("sh").args(["-c", &script]).status();
    assert!(sent.is_ok_and(|status| status.success()), "the signal {name} is sent");
}

/// State and parent of a process that is there.
fn state(process: u32) -> Option<(String, u32)> {
    let line = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let mut words = line.rsplit(')').next()?.split_ascii_whitespace();
    Some((words.next()?.to_owned(), words.next()?.parse().ok()?))
}

fn is_alive(process: u32) -> bool {
    state(process).is_some_and(|(state, _)| state != "Z")
}

fn wait_until_gone(process: u32) {
    for _ in 0..LOOKS_MAX {
        if !is_alive(process) {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("process {process} was killed and is still there");
}

fn children(parent: u32) -> Vec<u32> {
    let all = std::fs::read_dir("/proc").expect("Linux has it").flatten();
    let numbers = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    numbers.filter(|process| state(*process).is_some_and(|(_, of)| of == parent)).collect()
}
