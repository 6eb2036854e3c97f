//! `switchyard channel certify`: plays every case of a channel file, and writes the report that a
//! team can hand to the bank.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;

use crate::certify::{self, CertifyReport};
use crate::cli::load::print_mistakes;
use crate::cli::output::say;
use crate::clock::Clock;

#[derive(Debug, Args)]
pub struct CertifyArgs {
    /// The file, for instance channels/bank.toml
    file: PathBuf,
    /// The bank's test host: only the cases that need no control of it are played, with the file's
    /// real credentials
    #[arg(long, value_name = "URL")]
    against: Option<String>,
    /// The folder to write the report into: <id>.md and <id>.json
    #[arg(long, value_name = "DIR")]
    report: Option<PathBuf>,
}

pub fn certify(args: &CertifyArgs, as_json: bool) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let played = runtime.block_on(async {
        match &args.against {
            Some(url) => certify::certify_at(&args.file, url).await,
            None => certify::certify(&args.file, Clock::System.now()).await,
        }
    });
    let report = match played {
        Ok(report) => report,
        Err(mistakes) => {
            print_mistakes(&mistakes);
            return Ok(ExitCode::from(1));
        }
    };
    if let Some(folder) = &args.report {
        write_report(folder, &report)?;
    }
    if as_json {
        say!("{}", report.json())?;
    } else {
        show(&report)?;
    }
    Ok(ExitCode::from(u8::from(!report.is_passed())))
}

fn write_report(folder: &Path, report: &CertifyReport) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    let pages = [("md", report.markdown()), ("json", format!("{:#}\n", report.json()))];
    for (kind, text) in pages {
        let path = folder.join(format!("{}.{kind}", report.channel));
        std::fs::write(&path, text).with_context(|| path.display().to_string())?;
    }
    Ok(())
}

fn show(report: &CertifyReport) -> anyhow::Result<()> {
    for case in &report.cases {
        say!("{}: {}: {}", case.verdict(), case.group, case.name)?;
        for wrong in &case.wrong {
            say!("      {wrong}")?;
        }
    }
    for one in &report.left_out {
        say!("left out: {}: {} ({})", one.group, one.name, one.why)?;
    }
    let (failed, left) = (report.failed(), report.left_out.len());
    let passed = report.cases.len() - failed;
    say!("{}: {passed} passed, {failed} failed, {left} left out", report.file)?;
    Ok(())
}
