//! Reads the settings that a command is given: defaults, file, environment.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::cli::output::note;
use crate::config::checked::Settings;
use crate::config::mistake::Mistake;

/// Where the settings come from.
#[derive(Debug, Clone, Args)]
pub struct SettingsArgs {
    /// The settings file; the defaults apply without one
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

impl SettingsArgs {
    /// The settings, or every mistake in them.
    pub fn load(&self) -> Result<Settings, Vec<Mistake>> {
        self.load_with(None)
    }

    /// The same, with a variable that goes before the environment's.
    pub fn load_with(&self, first: Option<(String, String)>) -> Result<Settings, Vec<Mistake>> {
        let is_other = |name: &str| first.as_ref().is_none_or(|(first, _)| first != name);
        let others = std::env::vars().filter(|(name, _)| is_other(name));
        let environment: Vec<(String, String)> = others.chain(first.clone()).collect();
        let Some(path) = &self.config else {
            return crate::config::settings(None, environment, Path::new("."));
        };
        let name = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|error| {
            let problem = format!("cannot be read: {error}");
            vec![Mistake::new(&name, 0, "", &problem, "check the path and its rights")]
        })?;
        let base = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        crate::config::settings(Some((&name, &text)), environment, base.unwrap_or(Path::new(".")))
    }
}

/// One line for each mistake, on standard error.
pub fn print_mistakes(mistakes: &[Mistake]) {
    for mistake in mistakes {
        note!("{mistake}");
    }
    let count = mistakes.len();
    note!("{count} {}", if count == 1 { "mistake" } else { "mistakes" });
}
