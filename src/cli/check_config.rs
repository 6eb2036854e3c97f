//! `switchyard check-config`: every mistake in settings, certificates of listeners, channel files
//! and routes, with its line.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use crate::app::listeners::load_tls;
use crate::app::{StartError, load_routes, view_channels};
use crate::cli::load::{SettingsArgs, print_mistakes};
use crate::cli::output::say;
use crate::clock::Clock;
use crate::config::mistake::Mistake;

#[derive(Debug, Args)]
pub struct CheckConfigArgs {
    #[command(flatten)]
    settings: SettingsArgs,
    /// The data folder, which records the channels that are switched off
    #[arg(long, value_name = "DIR", default_value = "./data")]
    data: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub fn run(args: &CheckConfigArgs) -> anyhow::Result<ExitCode> {
    let checked = check(args);
    let mistakes = checked.as_ref().err().cloned().unwrap_or_default();
    if args.json {
        let listed: Vec<_> = mistakes
            .iter()
            .map(|mistake| {
                json!({
                    "file": mistake.file,
                    "line": mistake.line,
                    "key": mistake.key,
                    "problem": mistake.problem,
                    "advice": mistake.advice,
                })
            })
            .collect();
        say!("{}", json!({ "valid": mistakes.is_empty(), "mistakes": listed }))?;
    } else if let Ok((channels, rules)) = checked {
        say!("no mistakes: {channels} channels, {rules} routing rules")?;
    } else {
        print_mistakes(&mistakes);
    }
    Ok(if mistakes.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// The numbers of channels and rules, or every mistake that can be found at once. Routes name
/// channels, so they are checked once the channels are sound.
fn check(args: &CheckConfigArgs) -> Result<(usize, usize), Vec<Mistake>> {
    let settings = args.settings.load()?;
    let only_mistakes = |error: StartError| match error {
        StartError::Mistakes(mistakes) => mistakes,
        other => {
            let problem = crate::telemetry::chain(&other);
            vec![Mistake::new("settings", 0, "", &problem, "correct what it names")]
        }
    };
    let tls = load_tls(&settings, Clock::System.now());
    let registry = view_channels(&settings, &args.data).map_err(only_mistakes);
    let registry = match (tls, registry) {
        (Ok(_), Ok(registry)) => registry,
        (tls, registry) => {
            let found = [tls.err(), registry.err()].into_iter().flatten();
            return Err(found.flatten().collect());
        }
    };
    let routes = load_routes(&settings, &registry).map_err(only_mistakes)?;
    Ok((registry.statuses().len(), routes.current().rules.len()))
}
