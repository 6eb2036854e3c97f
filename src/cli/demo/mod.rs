//! `switchyard demo`: everything at work in one process, and then every promise checked.
//!
//! Three simulated channels on a bad day, an accounting system and a payment core that fail now and
//! then, and between them the daemon as it is served to anyone, in a temporary folder. The load
//! goes through the daemon's own HTTP API. When nothing is owed any more, the channels'
//! ledgers are held against our books line by line.
//!
//! Reading order: `town` (the channels), `sinks` (accounting and core), `client`, `load`, `binding`
//! (bound cards), `drain`, `books`, `checks`, `report`. Exit code 3 means that an invariant is
//! broken; the report says which.

mod binding;
mod books;
mod checks;
mod client;
mod drain;
mod load;
mod report;
mod sinks;
mod town;

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, anyhow, bail};
use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use metrics_exporter_prometheus::PrometheusHandle;

use crate::app::{App, StartError, install_metrics};
use crate::channel::Channels as _;
use crate::cli::load::print_mistakes;
use crate::cli::output::{note, say, write};
use crate::clock::stopwatch;
use crate::codec::webhook::WebhookKey;
use crate::config::checked::Settings;
use crate::telemetry::{self, LogForm};
use books::Books;
use checks::Witnesses;
use client::ApiClient;
use report::DemoReport;
use sinks::{AccountingSink, CoreSink};
use town::Town;

/// More would take the machine's memory for the checks.
const ORDERS_MAX: i64 = 1_000_000;

#[derive(Debug, Args)]
pub struct DemoArgs {
    /// The number of payments
    #[arg(long, value_name = "N", default_value_t = 2_000,
          value_parser = clap::value_parser!(u32).range(1..=ORDERS_MAX))]
    orders: u32,
    /// One seed gives the same payments, cards, amounts, repeats and follow-ups; their ends still
    /// vary, since faults go by channel and number, and numbers by the order of arrival
    #[arg(long, value_name = "SEED", default_value_t = 1)]
    seed: u64,
    /// Keep everything running until Ctrl-C, and print how to call it
    #[arg(long)]
    keep: bool,
    /// Print one line of JSON at the end instead of the report
    #[arg(long)]
    json: bool,
    /// Write the daemon's log to standard error
    #[arg(long)]
    verbose: bool,
}

pub fn run(args: &DemoArgs) -> anyhow::Result<ExitCode> {
    if args.verbose {
        telemetry::start_logs(LogForm::Text, tracing::Level::INFO);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("the runtime cannot be started")?;
    runtime.block_on(play(args))
}

/// Everybody who takes part.
struct DemoStage {
    // The order of the fields is the order in which they go: the folder last.
    app: App,
    api: Arc<ApiClient>,
    key: String,
    town: Town,
    accounting: Arc<AccountingSink>,
    core: Arc<CoreSink>,
    metrics: PrometheusHandle,
    folder: tempfile::TempDir,
}

async fn play(args: &DemoArgs) -> anyhow::Result<ExitCode> {
    let started = stopwatch();
    let stage = set(args.seed).await?;
    let progress = DemoProgress::new(args);
    let bar = progress.bar(args.orders);
    let answers = load::run(&stage.api, args.orders, args.seed, || bar.inc(1)).await?;
    let load = started.elapsed();
    bar.finish_and_clear();
    stage.town.calm()?;
    let spinner = progress.spinner();
    let (operator, owed) = drain::run(&stage.app, &stage.town, &stage.api, |owed| {
        spinner.set_message(owed.sentence());
        spinner.tick();
    })
    .await?;
    spinner.finish_and_clear();
    let books = Books::read(stage.app.state()).await.context("the books cannot be read")?;
    let ledgers = stage.town.simulators().map(|(id, simulator)| (id, simulator.ledger()));
    let witnesses = Witnesses {
        answers,
        ledgers: ledgers.collect(),
        booked: stage.accounting.log(),
        told: stage.core.log(),
        owed,
    };
    let findings = checks::check(&books, &witnesses, args.orders);
    let report = DemoReport {
        books: &books,
        witnesses: &witnesses,
        findings: &findings,
        operator,
        happenings: happenings(&stage.town),
        alerts: alerts(&stage.metrics.render()),
        load,
        elapsed: started.elapsed(),
    };
    if args.json {
        for violation in &findings.violations {
            note!("{}  {}: {}", violation.invariant, violation.about, violation.what);
        }
    } else {
        write(format_args!("{}", report.text()))?;
    }
    if args.keep {
        keep(&stage, args.json).await?;
    }
    if args.json {
        say!("{}", report.json())?;
    }
    let DemoStage { app, folder, .. } = stage;
    app.stop().await;
    drop(folder);
    Ok(if findings.violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(3) })
}

/// Starts everybody. The channels must know where to post notices and the daemon where the channels
/// are, so the daemon first starts with an address that is then replaced, as by an operator.
async fn set(seed: u64) -> anyhow::Result<DemoStage> {
    let folder = tempfile::Builder::new().prefix("switchyard-demo-").tempdir();
    let folder = folder.context("no temporary folder can be made for the demo")?;
    let town = Town::start(seed).await?;
    let (accounting, accounting_url) = AccountingSink::start(seed).await?;
    let (core, core_url) = CoreSink::start(seed).await?;
    town.write_files(folder.path(), "http://127.0.0.1:1")?;
    let settings = settings(folder.path(), &accounting_url, &core_url)?;
    let metrics = install_metrics()?;
    let data = folder.path().join("data");
    let app = match App::start(settings, &data, metrics.clone()).await {
        Ok(app) => app,
        Err(StartError::Mistakes(mistakes)) => {
            print_mistakes(&mistakes);
            bail!("the demo's own channel files have mistakes");
        }
        Err(error) => return Err(error.into()),
    };
    let base = format!("http://{}", app.address());
    town.write_files(folder.path(), &base)?;
    if let Err(mistakes) = app.state().registry.reload() {
        print_mistakes(&mistakes);
        bail!("the demo's own channel files have mistakes");
    }
    let text = std::fs::read_to_string(data.join("keys/notice"))
        .context("the notice key cannot be read")?;
    let key = text.lines().next().and_then(|line| WebhookKey::parse(line).ok());
    core.believe(key.context("the notice key cannot be read")?);
    let key = app.first_key().ok_or_else(|| anyhow!("the first start has made no key"))?.to_owned();
    let api = Arc::new(ApiClient::new(base, key.clone())?);
    Ok(DemoStage { app, api, key, town, accounting, core, metrics, folder })
}

fn settings(base: &Path, accounting_url: &str, core_url: &str) -> anyhow::Result<Settings> {
    let text = format!(
        r#"
[server]
listen = "127.0.0.1:0"
stop_within = "5s"
[payments]
wait_default = "10s"
[accounting]
url = "{accounting_url}"
timeout = "3s"
in_flight = 64
waits = ["100ms", "300ms", "1s"]
[notices]
url = "{core_url}"
timeout = "3s"
in_flight = 64
waits = ["100ms", "300ms", "1s"]
[workers]
look_every = "50ms"
reversals_in_flight = 64
"#
    );
    crate::config::settings(Some(("demo", &text)), Vec::new(), base).map_err(|mistakes| {
        print_mistakes(&mistakes);
        anyhow!("the demo's own settings have mistakes")
    })
}

fn happenings(town: &Town) -> Vec<(crate::simulator::SimulatorEvent, u64)> {
    let mut sums = BTreeMap::new();
    for (_, simulator) in town.simulators() {
        for (happening, times) in simulator.counters() {
            *sums.entry(happening).or_insert(0) += times;
        }
    }
    sums.into_iter().collect()
}

/// The alerts among the metrics' lines, `switchyard_alerts_total{what="…"} n`.
fn alerts(metrics: &str) -> Vec<(String, u64)> {
    let lines = metrics.lines().filter_map(|line| line.strip_prefix("switchyard_alerts_total{"));
    let read = lines.filter_map(|line| {
        let (labels, times) = line.split_once("} ")?;
        let what = labels.strip_prefix("what=\"")?.strip_suffix('"')?;
        Some((what.replace('_', " "), times.trim().parse().ok()?))
    });
    read.collect()
}

/// Says how to call the daemon, then waits for Ctrl-C.
async fn keep(stage: &DemoStage, quiet: bool) -> anyhow::Result<()> {
    let base = format!("http://{}", stage.app.address());
    let text = format!(
        r#"
Everything is still running; Ctrl-C ends it. The address and a key:

  export SWITCHYARD_URL={base}
  export SWITCHYARD_KEY={}

The commands read both, `switchyard today` and `switchyard order list` among them.
A payment with UnionPay's published test card, the same again by its id, what is unresolved, what a
channel owes today, and a card's issuer:

  curl -s $SWITCHYARD_URL/v1/payments -H "Authorization: Bearer $SWITCHYARD_KEY" \
    -H 'Content-Type: application/json' -d '{{"order_id": "hello-1", "merchant_id": "shop-01",
    "amount": 12345, "currency": "CNY",
    "card": {{"pan": "6216261000000000018", "expiry": "3412"}}}}'
  curl -s "$SWITCHYARD_URL/v1/payments?order_id=hello-1" -H "Authorization: Bearer $SWITCHYARD_KEY"
  curl -s $SWITCHYARD_URL/v1/reversals -H "Authorization: Bearer $SWITCHYARD_KEY"
  curl -s "$SWITCHYARD_URL/v1/channels/unionpay/clearing/summary?date={}" \
    -H "Authorization: Bearer $SWITCHYARD_KEY"
  curl -s "$SWITCHYARD_URL/v1/bins/621626" -H "Authorization: Bearer $SWITCHYARD_KEY"
"#,
        stage.key,
        clearing_date(stage)?,
    );
    if quiet {
        note!("{text}");
    } else {
        say!("{text}")?;
    }
    tokio::signal::ctrl_c().await.context("Ctrl-C cannot be waited for")
}

fn clearing_date(stage: &DemoStage) -> anyhow::Result<String> {
    let state = stage.app.state();
    let id = crate::domain::ids::ChannelId::parse(town::CHANNELS[0])?;
    let terms = state
        .registry
        .terms(&id)
        .ok_or_else(|| anyhow!("the registry lacks one of the demo's channels"))?;
    Ok(terms.calendar.date_of(state.engine.clock().now()).to_string())
}

/// Bars on standard error, where somebody can see them.
struct DemoProgress {
    is_shown: bool,
}

impl DemoProgress {
    fn new(args: &DemoArgs) -> Self {
        Self { is_shown: !args.json && !args.verbose && std::io::stderr().is_terminal() }
    }

    fn target(&self) -> ProgressDrawTarget {
        if self.is_shown { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() }
    }

    fn bar(&self, orders: u32) -> ProgressBar {
        let bar = ProgressBar::with_draw_target(Some(orders.into()), self.target());
        let style = "payments {bar:40} {pos}/{len}  {per_sec}  {elapsed}";
        bar.with_style(ProgressStyle::with_template(style).expect("a right template"))
    }

    fn spinner(&self) -> ProgressBar {
        let spinner = ProgressBar::with_draw_target(None, self.target());
        let style = "{spinner} {msg}";
        spinner.with_style(ProgressStyle::with_template(style).expect("a right template"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alerts_are_read_from_the_metrics() {
        let text = "# TYPE switchyard_alerts_total counter\n\
                    switchyard_alerts_total{what=\"operator_needed\"} 3\nother 1\n";
        assert_eq!(alerts(text), [("operator needed".to_owned(), 3)]);
        assert!(alerts("").is_empty());
    }
}
