//! `switchyard completions SHELL` and `switchyard man DIR`: both are made from the definition that
//! also parses the command line.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use clap_complete::Shell;

use crate::cli::command;
use crate::cli::output::{Output, UNWRITTEN, say};

#[derive(Debug, Args)]
pub struct CompletionsArgs {
    shell: Shell,
}

#[derive(Debug, Args)]
pub struct ManArgs {
    /// The folder for the pages; it is made if it is not there
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

/// Prints the script.
pub fn completions(args: &CompletionsArgs) -> anyhow::Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command(), "switchyard", &mut script);
    Output.write_all(&script).and_then(|()| Output.flush()).context(UNWRITTEN)?;
    Ok(ExitCode::SUCCESS)
}

/// Writes a page for the program and one for each command.
pub fn man(args: &ManArgs) -> anyhow::Result<ExitCode> {
    let folder = args.folder.display();
    std::fs::create_dir_all(&args.folder).with_context(|| format!("`{folder}` cannot be made"))?;
    clap_mangen::generate_to(command(), &args.folder)
        .with_context(|| format!("the pages cannot be written to `{folder}`"))?;
    say!("try: man {folder}/switchyard.1")?;
    Ok(ExitCode::SUCCESS)
}
