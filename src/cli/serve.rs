//! `switchyard serve`: runs the daemon until a signal or a failed store ends it.

use std::net::SocketAddr;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::Context as _;
use clap::Args;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::app::{App, StartError, install_metrics};
use crate::cli::load::{SettingsArgs, print_mistakes};
use crate::cli::output::{note, say};
use crate::telemetry;

#[derive(Debug, Args)]
pub struct ServeArgs {
    #[command(flatten)]
    settings: SettingsArgs,
    /// The data folder: the books, BIN table versions and keys
    #[arg(long, value_name = "DIR", default_value = "./data")]
    data: PathBuf,
    /// The address to listen on, in place of the settings'
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
}

pub fn run(args: &ServeArgs) -> anyhow::Result<ExitCode> {
    begin_with_allocator_set();
    let listen = args.listen.map(|address| (LISTEN.to_owned(), address.to_string()));
    let settings = match args.settings.load_with(listen) {
        Ok(settings) => settings,
        Err(mistakes) => {
            print_mistakes(&mistakes);
            return Ok(ExitCode::from(1));
        }
    };
    telemetry::start_logs(settings.log, settings.log_level);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("the runtime cannot be started")?;
    runtime.block_on(async {
        let started = App::start(settings, &args.data, install_metrics()?).await;
        let app = match started {
            Ok(app) => app,
            Err(StartError::Mistakes(mistakes)) => {
                print_mistakes(&mistakes);
                return Ok(ExitCode::from(1));
            }
            Err(error) => return Err(error.into()),
        };
        if let Some(key) = app.first_key() {
            say!("The first API key, shown this once (roles: core, operator):\n{key}")?;
        }
        // A caller that reads the address may send a signal at once.
        let signals = DaemonSignals::watch()?;
        let (api, own) = app.listeners().split_first().expect("the API is listened for");
        for listener in own {
            say!("{} on {listener}", listener.kind)?;
        }
        say!("listening on {api}")?;
        let why = wait_for_stop(&app, signals).await;
        app.stop().await;
        Ok(match why {
            StopCause::Asked => ExitCode::SUCCESS,
            StopCause::StoreFailed => {
                note!("switchyard: the store has failed; read the log, then restart the daemon");
                ExitCode::from(STORE_FAILED)
            }
        })
    })
}

/// `--listen` counts as this variable does, so that the same rules hold.
const LISTEN: &str = "SWITCHYARD_SERVER__LISTEN";

/// The exit code after a failed store, at which a supervisor restarts the process.
const STORE_FAILED: u8 = 4;

/// For how long the allocator keeps what is free before the system gets it back: its variable, and
/// milliseconds. A flush frees what the next groups need again: given back after the allocator's
/// own second, it comes back page by page, each with a fault and zeroed, and not as large pages.
const FREE_IS_KEPT: (&str, &str) = ("MIMALLOC_PURGE_DELAY", "10000");

/// Has the same process begin anew with the allocator set. It reads its variables before `main`,
/// and there is no other way to it from here.
fn begin_with_allocator_set() {
    let (name, value) = FREE_IS_KEPT;
    if std::env::var_os(name).is_some() {
        return;
    }
    let Ok(program) = std::env::current_exe() else { return };
    let (mut anew, mut given) = (Command::new(program), std::env::args_os());
    if let Some(called) = given.next() {
        anew.arg0(called);
    }
    // Where it cannot begin anew, it goes on: the daemon is slower then, and works as well.
    let _cannot = anew.args(given).env(name, value).exec();
}

/// The cause of the daemon's end.
enum StopCause {
    Asked,
    /// Only a new process can write again.
    StoreFailed,
}

/// The signals of the process, watched since this was made.
struct DaemonSignals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl DaemonSignals {
    fn watch() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }
}

/// Returns at SIGTERM or SIGINT, or when the store has failed; SIGHUP reloads channels, routes,
/// certificates and BIN table.
async fn wait_for_stop(app: &App, mut signals: DaemonSignals) -> StopCause {
    loop {
        tokio::select! {
            _ = signals.terminate.recv() => return StopCause::Asked,
            _ = signals.interrupt.recv() => return StopCause::Asked,
            () = app.state().engine.store_failure() => return StopCause::StoreFailed,
            _ = signals.hangup.recv() => drop(app.reload()),
        }
    }
}
