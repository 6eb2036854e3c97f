//! The real program in a process of its own: started, signalled, killed, and listened to.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};

use super::installation::Installation;
use super::wire::until;

/// Serves the folder of an installation.
pub const INSTALLED: [&str; 5] = ["serve", "--config", "switchyard.toml", "--data", "data"];

/// The program, with nothing of the test's own environment that it would read as a setting.
pub fn program(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_switchyard"));
    let ours = |name: &String| name.starts_with("SWITCHYARD_");
    for name in std::env::vars().map(|(name, _)| name).filter(ours) {
        command.env_remove(name);
    }
    command.current_dir(folder);
    command
}

/// Runs the program to its end.
pub fn run(folder: &Path, arguments: &[&str]) -> Output {
    program(folder).args(arguments).output().expect("the program starts")
}

/// A process of the daemon. It is killed when the value goes.
pub struct Daemon {
    child: Child,
    log: PathBuf,
    /// What it printed up to the line that names its address.
    pub printed: Vec<String>,
    pub address: SocketAddr,
}

impl Daemon {
    /// Starts it in this folder and waits until it says where it listens. Standard error is added
    /// to the file `daemon.log` of the folder.
    pub async fn start(folder: &Path, arguments: &[&str]) -> Self {
        Self::start_with(folder, arguments, &[]).await
    }

    /// The same, with variables of the environment.
    pub async fn start_with(
        folder: &Path,
        arguments: &[&str],
        variables: &[(String, String)],
    ) -> Self {
        let (child, log) = spawn(folder, arguments, variables);
        let listening = tokio::task::spawn_blocking(move || Self::listening(child, log));
        listening.await.expect("the daemon listens")
    }

    /// Starts it where no file may grow beyond some hundred kilobytes, as on a disk that is full
    /// but for a little room.
    pub async fn start_with_little_room(folder: &Path, arguments: &[&str]) -> Self {
        let program = env!("CARGO_BIN_EXE_switchyard");
        // The signal would end it; ignored, the write fails.
        let script =
            format!("trap '' XFSZ; ulimit -f 600; exec '{program}' {}", arguments.join(" "));
        let mut command = Command::new("sh");
        command.args(["-c", &script]).current_dir(folder);
        let (child, log) = spawn_as(command, folder);
        let listening = tokio::task::spawn_blocking(move || Self::listening(child, log));
        listening.await.expect("the daemon listens")
    }

    /// Starts it on an installation, where the channels' notices come to it.
    pub async fn installed(town: &Installation) -> Self {
        let daemon = Self::start(town.folder(), &INSTALLED).await;
        town.door.lead_to(Some(daemon.address));
        daemon
    }

    fn listening(mut child: Child, log: PathBuf) -> Self {
        let output = child.stdout.take().expect("it is piped");
        let mut printed = Vec::new();
        for line in BufReader::new(output).lines() {
            let line = line.expect("it prints text");
            let url = line.strip_prefix("listening on ").and_then(|url| url.split_once("://"));
            let address = url.map(|(_, address)| address.parse());
            printed.push(line);
            if let Some(Ok(address)) = address {
                return Self { child, log, printed, address };
            }
        }
        let text = std::fs::read_to_string(&log).unwrap_or_default();
        panic!("it ended without listening: {:?}\n{text}", child.wait());
    }

    /// What it has logged so far, earlier processes of the same folder included.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).expect("the log is there")
    }

    /// Waits until this text has been logged so often.
    pub async fn logged(&self, text: &str, times: usize) {
        let look = async || (self.log().matches(text).count() >= times).then_some(());
        until(&format!("`{text}` in the log"), look).await;
    }

    /// Sends a signal by name, such as `TERM`.
    pub fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        // The child is not waited for yet, so its number cannot belong to another process.
        let sent = Command::new("sh").args(["-c", &format!("kill -{name} {id}")]).status();
        assert!(sent.is_ok_and(|status| status.success()), "the signal {name} is sent");
    }

    /// Waits for its end.
    pub async fn ended(&mut self) -> ExitStatus {
        let look = async || self.child.try_wait().expect("it is our child");
        until("the daemon's end", look).await
    }

    /// Kills it as `kill -9` does, and waits until it is gone.
    pub async fn kill(mut self) {
        self.child.kill().expect("it is our child");
        let gone = tokio::task::spawn_blocking(move || self.child.wait().map(|_| ()));
        gone.await.expect("no panic").expect("it is our child");
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Both fail only where it has ended already.
        let _killed = self.child.kill();
        let _ended = self.child.wait();
    }
}

/// A process that is not waited for: it may be killed before it listens.
pub struct Starting(Child);

impl Starting {
    pub fn new(folder: &Path, arguments: &[&str]) -> Self {
        Self(spawn(folder, arguments, &[]).0)
    }

    pub fn kill(mut self) {
        self.0.kill().expect("it is our child");
        self.0.wait().expect("it is our child");
    }
}

fn spawn(folder: &Path, arguments: &[&str], variables: &[(String, String)]) -> (Child, PathBuf) {
    let mut command = program(folder);
    command.args(arguments).envs(variables.iter().map(|(name, value)| (name, value)));
    spawn_as(command, folder)
}

fn spawn_as(mut command: Command, folder: &Path) -> (Child, PathBuf) {
    let log = folder.join("daemon.log");
    let file = File::options().create(true).append(true).open(&log).expect("a log file");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(file);
    let child = command.spawn();
    (child.expect("the program starts"), log)
}

/// Runs the program with this text on its standard input.
pub fn run_with_input(folder: &Path, arguments: &[&str], input: &str) -> (ExitStatus, String) {
    let file = folder.join("input.txt");
    std::fs::write(&file, input).expect("a file");
    let mut child = program(folder)
        .args(arguments)
        .stdin(File::open(&file).expect("it was just written"))
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut text = String::new();
    let mut output = child.stdout.take().expect("it is piped");
    output.read_to_string(&mut text).expect("it prints text");
    (child.wait().expect("it is our child"), text)
}
