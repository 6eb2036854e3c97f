//! The form with the daemon: uploads the file, waits for the batch, and fetches its differences.

use std::io::{self, IsTerminal as _, Write as _};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail};
use futures_util::{StreamExt as _, stream};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::Value;
use tokio::fs::File;
use tokio::io::AsyncReadExt as _;

use crate::cli::reconcile::list::List;
use crate::cli::remote::{DaemonArgs, encoded};

/// The bytes of the file that are read at once.
const PIECE_BYTES: usize = 1 << 18;
const TICK: Duration = Duration::from_millis(100);

/// The file to upload.
pub struct Statement<'a> {
    pub channel: &'a str,
    pub day: &'a str,
    pub file: &'a Path,
}

/// Uploads the statement, and returns the batch that reconciled it.
pub async fn reconcile(
    daemon: &DaemonArgs,
    statement: &Statement<'_>,
    differences: Option<&Path>,
) -> anyhow::Result<Value> {
    let shown = !daemon.json && io::stderr().is_terminal();
    let answer = hand_in(daemon, statement, shown).await?;
    let mut batch = answer.get("batch").cloned().unwrap_or_default();
    let id = batch.get("id").and_then(Value::as_str).map(str::to_owned);
    let Some(id) = id else { bail!("the daemon has taken the file and has no batch of it") };
    if let Some(path) = differences {
        let asked = format!("/v1/reconciliations/{}/differences", encoded(&id));
        let get = reqwest::Method::GET;
        let mut response = daemon.ask(get, &asked, "text/csv", None).await?;
        let cannot = || format!("{} cannot be written", path.display());
        let mut list = List::begin(path).with_context(cannot)?;
        // Bounded by the differences of one batch; each piece is written before the next is read.
        while let Some(piece) = response.chunk().await? {
            list.write_all(&piece).with_context(cannot)?;
        }
        list.finish().with_context(cannot)?;
    }
    if let (Some(batch), Some(answer)) = (batch.as_object_mut(), answer.as_object()) {
        for name in ["sha256", "is_new", "name"] {
            batch.extend(answer.get(name).map(|value| (name.to_owned(), value.clone())));
        }
    }
    Ok(batch)
}

async fn hand_in(
    daemon: &DaemonArgs,
    statement: &Statement<'_>,
    shown: bool,
) -> anyhow::Result<Value> {
    let cannot = || format!("{} cannot be read", statement.file.display());
    let file = File::open(statement.file).await.with_context(cannot)?;
    let bytes = file.metadata().await.with_context(cannot)?.len();
    let bar = bar(bytes, shown);
    let counted = bar.clone();
    let pieces = stream::try_unfold(file, |mut file| async {
        let mut piece = Vec::with_capacity(PIECE_BYTES);
        let read = (&mut file).take(PIECE_BYTES as u64).read_to_end(&mut piece).await?;
        Ok::<_, io::Error>((read > 0).then_some((piece, file)))
    });
    let pieces = pieces.inspect(move |piece| {
        if let Ok(piece) = piece {
            counted.inc(piece.len() as u64);
        }
        if counted.length() == Some(counted.position()) {
            counted.set_message("reconciling");
        }
    });
    let (channel, day) = (encoded(statement.channel), encoded(statement.day));
    let mut path = format!("/v1/channels/{channel}/statements?date={day}");
    if let Some(name) = statement.file.file_name().and_then(|name| name.to_str()) {
        path += &format!("&name={}", encoded(name));
    }
    let body = reqwest::Body::wrap_stream(pieces);
    let sent = daemon.send(reqwest::Method::POST, &path, "application/json", |request| {
        let request = request.header("content-type", "application/octet-stream");
        request.header("content-length", bytes).body(body)
    });
    let response = sent.await;
    bar.finish_and_clear();
    Ok(serde_json::from_slice(&response?.bytes().await?)?)
}

fn bar(bytes: u64, shown: bool) -> ProgressBar {
    let target = if shown { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let bar = ProgressBar::with_draw_target(Some(bytes), target);
    let style = ProgressStyle::with_template("{spinner} {msg} {bar:40} {percent:>3} % {eta}");
    if let Ok(style) = style {
        bar.set_style(style);
    }
    bar.set_message("handing in");
    bar.enable_steady_tick(TICK);
    bar
}
