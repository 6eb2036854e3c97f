//! `switchyard channel push` and `route push`: new versions of the files that all nodes of a store
//! run.
//!
//! The command goes to the database itself, so that a version which keeps every node from starting
//! can be mended. What it publishes is checked as a whole before, with this machine's credentials.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use serde_json::{Value, json};

use crate::app::StartError;
use crate::app::shared::{load_shared_channels, load_shared_routes};
use crate::app::store::database_settings;
use crate::channel::Channels as _;
use crate::channel::file::whole::WholeFile;
use crate::cli::load::{SettingsArgs, print_mistakes};
use crate::cli::output::{note, say};
use crate::clock::Clock;
use crate::codec::sign::sha256_hex;
use crate::config::checked::Settings;
use crate::domain::cluster::{
    ACTIVE_AFTER, LoadReport, Publication, RENEWED_EVERY, SettingHistory, SettingKind,
    SettingVersion,
};
use crate::domain::ids::ChannelId;
use crate::domain::route::replay::RouteSet;
use crate::domain::route::replay::moves::PlanMoves;
use crate::engine::replay;
use crate::engine::shared_settings::{channel_texts, channel_versions};
use crate::store::postgres::{DatabaseBooks, PostgresState};
use crate::store::{ClusterState, Store};

/// The pause between two looks at what the nodes have loaded.
const LOOKED_FOR_EVERY: Duration = Duration::from_millis(500);

/// Who publishes, and why.
#[derive(Debug, Args)]
pub struct PushArgs {
    /// Why: it is kept in the audit trail
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Your name, for the audit trail
    #[arg(long, value_name = "NAME", default_value = "command line")]
    who: String,
    /// Publish it however many of the last day's orders go elsewhere
    #[arg(long)]
    accept_moves: bool,
}

/// A file that is published.
pub enum PushedFile<'a> {
    /// Named after its channel.
    Channel(&'a Path),
    Routes(&'a Path),
}

/// Publishes files, and says what the nodes have loaded. The exit code is 1 where nothing was
/// published, or a node cannot run it.
pub fn push(
    (settings, data): (&SettingsArgs, &PathBuf),
    files: &[PushedFile<'_>],
    (why, as_json): (&PushArgs, bool),
) -> anyhow::Result<ExitCode> {
    let settings = match settings.load() {
        Ok(settings) => settings,
        Err(mistakes) => {
            print_mistakes(&mistakes);
            return Ok(ExitCode::from(1));
        }
    };
    let Some(url) = &settings.store.url else {
        note!(
            "switchyard: store.url names no database; without one a daemon runs the files of its \
             own folder: change them, and reload it (kill -HUP)"
        );
        return Ok(ExitCode::from(1));
    };
    if why.reason.trim().is_empty() {
        note!("switchyard: give a reason that says what changes");
        return Ok(ExitCode::from(1));
    }
    let database = database_settings(url, data, &settings)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let pushed = runtime.block_on(async {
        let state = PostgresState::open(&database).await?;
        let books = DatabaseBooks::snapshot(&database).await?;
        publish((&state, &books), (&settings, data), files, (why, as_json)).await
    });
    match pushed {
        Ok(is_loaded) => Ok(ExitCode::from(u8::from(!is_loaded))),
        Err(error) => match error.downcast::<StartError>() {
            Ok(StartError::Mistakes(mistakes)) => {
                print_mistakes(&mistakes);
                Ok(ExitCode::from(1))
            }
            Ok(other) => Err(other.into()),
            Err(other) => Err(other),
        },
    }
}

async fn publish(
    (state, books): (&dyn ClusterState, &dyn Store),
    (settings, data): (&Settings, &Path),
    files: &[PushedFile<'_>],
    (why, as_json): (&PushArgs, bool),
) -> anyhow::Result<bool> {
    let mut history = SettingHistory::default();
    history.extend(state.settings_after(0).await?.0);
    if history.is_empty() {
        anyhow::bail!("the database has no settings yet; the first node's start gives it some");
    }
    let mut changed = changed(&history, files, why)?;
    if changed.is_empty() {
        if as_json {
            say!("{}", json!({ "published": [], "nodes": [] }))?;
        } else {
            say!("nothing is published: the nodes run these files")?;
        }
        return Ok(true);
    }
    let planned = planned(&history, &changed);
    let candidate = check(settings, data, &planned)?;
    // What cannot run here cannot be compared: there is nothing good to keep then.
    if let Ok(in_force) = check(settings, data, &history) {
        let now = Clock::System.now();
        let moves = replay::judge(books, now, &in_force, &candidate).await?;
        if moves.exceed(settings.hold_above_percent) {
            if !why.accept_moves {
                return held(&moves, as_json);
            }
            // The audit trail has the publications' reasons.
            for one in &mut changed {
                one.reason = format!("{} (accepted: {moves})", one.reason);
            }
        }
    }
    let (mut last, mut published) = (0, Vec::new());
    for publication in changed {
        let (version, active_at) = state.publish(&publication).await?;
        last = version;
        let (subject, active_at) = (publication.subject(version), active_at.rfc3339());
        if !as_json {
            say!("{subject} takes effect at {active_at}")?;
        }
        published.push(json!({ "subject": subject, "version": version, "active_at": active_at }));
    }
    let reports = wait_for_nodes(state, last).await?;
    if as_json {
        let nodes: Vec<Value> = reports.iter().map(|one| form(one, last)).collect();
        say!("{}", json!({ "published": published, "nodes": nodes }))?;
    } else {
        tell_loaded(&reports, last)?;
    }
    Ok(reports.iter().all(|one| one.loaded >= last))
}

/// What the files change, each behind the one before.
fn changed(
    history: &SettingHistory,
    files: &[PushedFile<'_>],
    why: &PushArgs,
) -> anyhow::Result<Vec<Publication>> {
    let at = Clock::System.now();
    let mut changed: Vec<Publication> = Vec::new();
    for file in files {
        let (kind, name, text) = match file {
            PushedFile::Routes(path) => {
                let text = std::fs::read_to_string(path);
                let text = text.with_context(|| format!("{} cannot be read", path.display()))?;
                (SettingKind::Routes, String::new(), text)
            }
            PushedFile::Channel(path) => {
                let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
                let id = ChannelId::parse(stem).with_context(|| {
                    format!("{}: the file's name is not a channel id", path.display())
                })?;
                // Nodes have no other file to look into.
                let whole = WholeFile::read(path).map_err(StartError::Mistakes)?;
                (SettingKind::Channel, id.to_string(), whole.text)
            }
        };
        let body = text.into_bytes();
        let sha256 = sha256_hex(&body);
        let newest = history.of_kind(kind, u64::MAX).filter(|one| one.name == name).last();
        if newest.is_some_and(|one| one.sha256 == sha256) {
            continue;
        }
        let after = changed.last().map_or(history.last(), |before| before.after + 1);
        let (made_by, reason) = (why.who.clone(), why.reason.clone());
        let note = String::new();
        changed.push(Publication { after, kind, name, sha256, body, note, made_by, reason, at });
    }
    Ok(changed)
}

/// The versions as they will stand.
fn planned(history: &SettingHistory, changed: &[Publication]) -> SettingHistory {
    let mut planned = history.clone();
    planned.extend(changed.iter().map(|one| SettingVersion::of(one, one.at)).collect());
    planned
}

/// What is planned by under these versions, or every mistake of them, as a node would find it.
fn check(
    settings: &Settings,
    data: &Path,
    history: &SettingHistory,
) -> Result<RouteSet, StartError> {
    let up_to = history.last();
    let (texts, versions) = (channel_texts(history, up_to), channel_versions(history));
    let registry = load_shared_channels(settings, data, Clock::System, texts, versions)?;
    let routes = load_shared_routes(settings, history, up_to, &registry.ids())?;
    let rules = routes.current().rules.clone();
    Ok(RouteSet { rules, profiles: registry.profiles(), rates: registry.rate_terms() })
}

/// Says why nothing is published.
fn held(moves: &PlanMoves, as_json: bool) -> anyhow::Result<bool> {
    if as_json {
        let held = json!({
            "orders": moves.orders, "moved": moves.moved, "share_ppm": moves.share_ppm(),
        });
        say!("{}", json!({ "published": [], "held": held }))?;
    }
    note!("switchyard: nothing is published: {moves}");
    note!("if that is meant, push once more with --accept-moves");
    Ok(false)
}

/// Waits until each node has said whether it can run a version.
async fn wait_for_nodes(state: &dyn ClusterState, version: u64) -> anyhow::Result<Vec<LoadReport>> {
    let looks = (ACTIVE_AFTER + RENEWED_EVERY).as_millis() / LOOKED_FOR_EVERY.as_millis();
    let mut reports = Vec::new();
    for _ in 0..looks {
        reports = state.load_reports().await?;
        if reports.iter().all(|one| one.loaded >= version || !one.problem.is_empty()) {
            break;
        }
        tokio::time::sleep(LOOKED_FOR_EVERY).await;
    }
    Ok(reports)
}

fn tell_loaded(reports: &[LoadReport], version: u64) -> anyhow::Result<()> {
    for report in reports {
        let (node, address) = (report.incarnation.node, &report.address);
        match report.problem.as_str() {
            _ if report.loaded >= version => say!("node {node} at {address} has loaded it")?,
            "" => note!("node {node} at {address} has not said that it has loaded it"),
            problem => note!("node {node} at {address} cannot run it: {problem}"),
        }
    }
    Ok(())
}

/// A node's report of a version as JSON.
fn form(report: &LoadReport, version: u64) -> Value {
    json!({
        "node": report.incarnation.node,
        "address": report.address,
        "loaded": report.loaded >= version,
        "problem": report.problem,
    })
}
