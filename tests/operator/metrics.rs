//! Every metric that is declared is set by something, and every change of state leaves one line.

use std::collections::{BTreeMap, BTreeSet};

use switchyard::simulator::Faults;
use switchyard::telemetry::{METRICS, MetricKind};

use crate::support::core::{Core, Payment};
use crate::support::daemon::{Daemon, INSTALLED};
use crate::support::installation::{CALLER_KEY, Installation, ROUTES};
use crate::support::simulated::{BANK, UNIONPAY};
use crate::support::wire::{Door, http_client, until};

/// What the acquirer with links takes.
const LINKS_RULE: &str = r#"
[[rule]]
name = "links"
strategy = "priority"
channels = ["lakeside-acquirer"]
[rule.when]
merchants = ["links"]
"#;
const PAGE: &str = include_str!("../../docs/METRICS.md");

/// What `/metrics` says: values by name, and the labels that each name was seen with.
struct Seen {
    text: String,
    /// Rounded up: what is there at all is not 0.
    values: BTreeMap<String, i64>,
}

impl Seen {
    async fn of(daemon: &Daemon) -> Self {
        let url = format!("http://{}/metrics", daemon.address);
        let answer = http_client().get(url).send().await.expect("an answer");
        let text = answer.text().await.expect("a text");
        let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
        let values = lines.map(|line| {
            let (series, value) = line.rsplit_once(' ').expect("a series and its value");
            let value: f64 = value.parse().expect("a number");
            (series.to_owned(), value.ceil() as i64)
        });
        Self { values: values.collect(), text }
    }

    /// The series of a metric; of a histogram, its counts.
    fn series(&self, name: &str, kind: MetricKind) -> Vec<(&str, i64)> {
        let name = match kind {
            MetricKind::Counter | MetricKind::Gauge => name.to_owned(),
            MetricKind::Histogram => format!("{name}_count"),
        };
        let of_it = |series: &str| series.split('{').next() == Some(name.as_str());
        let found = self.values.iter().filter(|(series, _)| of_it(series));
        found.map(|(series, value)| (series.as_str(), *value)).collect()
    }

    fn sum(&self, name: &str, with: &[&str]) -> i64 {
        let found = self.series(name, MetricKind::Gauge);
        let fits = |series: &str| with.iter().all(|part| series.contains(part));
        found.iter().filter(|(series, _)| fits(series)).map(|(_, value)| value).sum()
    }
}

/// The names of a series' labels.
fn labels(series: &str) -> BTreeSet<String> {
    let Some((_, inner)) = series.split_once('{') else { return BTreeSet::new() };
    let names = inner.trim_end_matches('}').split("\",");
    names.filter_map(|label| label.split_once('=')).map(|(name, _)| name.to_owned()).collect()
}

/// The page's rows: each metric's type, labels, unit and meaning.
fn rows() -> Vec<[String; 5]> {
    let rows = PAGE.lines().filter(|line| line.starts_with("| `switchyard_"));
    let cells = rows.map(|row| {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        let [name, kind, labels, unit, meaning, remedy] = cells.as_slice() else {
            panic!("six cells: {row}");
        };
        assert!(remedy.len() > 10, "what to do about {name}");
        [name, kind, labels, unit, meaning].map(|cell| cell.replace('`', ""))
    });
    cells.collect()
}

#[test]
fn the_page_has_every_metric_as_the_code_describes_it() {
    let described = METRICS.map(|metric| {
        let labels = if metric.labels.is_empty() { "none" } else { &metric.labels.join(", ") };
        let (kind, unit) = (metric.kind.name(), metric.unit.name());
        [metric.name, kind, labels, unit, metric.meaning].map(str::to_owned)
    });
    assert_eq!(rows(), described, "docs/METRICS.md and src/telemetry/catalogue.rs, row by row");
}

fn is(seen: &Seen, name: &str, with: &[&str], wanted: impl Fn(i64) -> bool) -> Option<()> {
    wanted(seen.sum(name, with)).then_some(())
}

/// Waits until a gauge is so.
async fn gauge(daemon: &Daemon, name: &str, with: &[&str], wanted: impl Fn(i64) -> bool) {
    let look = async || is(&Seen::of(daemon).await, name, with, &wanted);
    until(&format!("{name}{with:?}"), look).await;
}

/// How often this was logged.
fn times(daemon: &Daemon, text: &str) -> usize {
    daemon.log().matches(text).count()
}

async fn switch(daemon: &Daemon, channel: &str, enabled: bool) {
    let url = format!("http://{}/v1/channels/{channel}", daemon.address);
    let body = serde_json::json!({ "enabled": enabled }).to_string();
    let asked = http_client().patch(url).bearer_auth(CALLER_KEY);
    let asked = asked.header("content-type", "application/json").body(body);
    assert_eq!(asked.send().await.expect("an answer").status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_metric_is_set_and_every_change_of_state_is_told_once() {
    let town = Installation::new(|channel| channel).await;
    let folder = town.folder();
    // An acquirer with links, beside the two that speak HTTP.
    let acquirer = concat!(env!("CARGO_MANIFEST_DIR"), "/channels/lakeside-acquirer.toml");
    let _acquirer = Daemon::start(folder, &["simulate", acquirer, "--keys", "channels"]).await;
    // Accounting is behind a door that leads nowhere yet.
    let accounting = Door::open().await;
    let settings = std::fs::read_to_string(town.settings_file()).expect("settings");
    let door = format!("http://{}", accounting.address);
    // A few orders are enough to show a success rate.
    let settings = settings.replace(&town.accounting.url, &door) + "[rates]\nsamples_min = 1\n";
    std::fs::write(town.settings_file(), settings).expect("settings");
    town.write_routes(&format!("{LINKS_RULE}{ROUTES}"));
    let daemon = Daemon::start(folder, &INSTALLED).await;
    town.door.lead_to(Some(daemon.address));
    let core = Core::new(daemon.address, CALLER_KEY);

    accounting_goes_and_comes(&town, &accounting, &daemon, &core).await;
    a_channel_fails_and_works_again(&town, &daemon, &core).await;
    // The switch, thrown twice each way.
    for (enabled, value) in [(false, 0), (true, 1)] {
        for _ in 0..2 {
            switch(&daemon, UNIONPAY, enabled).await;
        }
        gauge(&daemon, "switchyard_channel_enabled", &[UNIONPAY], |is| is == value).await;
    }
    assert_eq!(times(&daemon, "the channel is switched off"), 1);
    assert_eq!(times(&daemon, "the channel is switched on"), 1);

    // A notice, a statement, and a link, which is connected with its first request.
    let linked = Payment { merchant_id: "links".to_owned(), ..Payment::instant("L-1", 500) };
    let linked = core.pay(&linked).await;
    assert!(matches!(linked.status, 200 | 202), "{}", linked.body);
    let noticed = core.pay(&Payment::escrow("E-1", 900)).await;
    assert_eq!(noticed.outcome(), (200, "succeeded"), "{}", noticed.body);
    let fetch = format!("/v1/channels/{BANK}/statements/fetch?date=2026-01-05");
    core.post(&fetch, &serde_json::json!({})).await;
    let ready = |ready| ready == 1;
    gauge(&daemon, "switchyard_ready", &[], ready).await;
    // The shipped table's facts are of June 2018.
    gauge(&daemon, "switchyard_bin_table_age_days", &[], |days| days > 3_000).await;

    every_metric_is_there(&Seen::of(&daemon).await);
}

async fn accounting_goes_and_comes(
    town: &Installation,
    accounting: &Door,
    daemon: &Daemon,
    core: &Core,
) {
    // While accounting is away, one line says so, however many requests fail.
    for n in 1..=3 {
        let paid = core.pay(&Payment::instant(&format!("A-{n}"), 500)).await;
        assert_eq!(paid.outcome(), (200, "succeeded"), "{}", paid.body);
    }
    gauge(daemon, "switchyard_accounting_up", &[], |up| up == 0).await;
    gauge(daemon, "switchyard_outbox_rows", &["accounting", "owed"], |owed| owed == 3).await;
    gauge(daemon, "switchyard_outbox_oldest_seconds", &["accounting"], |age| age > 0).await;
    let there = town.accounting.url.strip_prefix("http://").and_then(|text| text.parse().ok());
    accounting.lead_to(Some(there.expect("an address")));
    gauge(daemon, "switchyard_accounting_up", &[], |up| up == 1).await;
    gauge(daemon, "switchyard_outbox_rows", &["accounting", "owed"], |owed| owed == 0).await;
    assert_eq!(times(daemon, "accounting does not answer"), 1);
    assert_eq!(times(daemon, "accounting answers again"), 1);
}

async fn a_channel_fails_and_works_again(town: &Installation, daemon: &Daemon, core: &Core) {
    // A channel that keeps failing: its breaker, and what is open of it.
    let away = Faults { drop_before: 10_000, ..Faults::calm() };
    town.channels.bank.set_faults(away).expect("possible faults");
    let open = core.pay(&Payment::instant("B-1", 700)).await;
    assert_eq!(open.status, 202, "{}", open.body);
    gauge(daemon, "switchyard_reversals_open", &[BANK], |open| open == 1).await;
    gauge(daemon, "switchyard_reversals_by_age", &[BANK, "under_5m"], |open| open == 1).await;
    gauge(daemon, "switchyard_reversals_oldest_seconds", &[BANK], |age| age > 0).await;
    let opened = async || {
        let seen = Seen::of(daemon).await;
        if is(&seen, "switchyard_channel_breaker_open", &[BANK], |open| open == 1).is_some() {
            return Some(());
        }
        let order_id = format!("C-{}", seen.sum("switchyard_reversals_open", &[BANK]));
        core.pay(&Payment::instant(&order_id, 700)).await;
        None
    };
    until("the breaker opens", opened).await;
    assert_eq!(times(daemon, "the channel keeps failing"), 1);
    town.channels.bank.set_faults(Faults::calm()).expect("possible faults");
    gauge(daemon, "switchyard_channel_breaker_open", &[BANK], |open| open == 0).await;
    assert_eq!(times(daemon, "the channel works"), 1);
    gauge(daemon, "switchyard_reversals_open", &[BANK], |open| open == 0).await;
}

fn every_metric_is_there(seen: &Seen) {
    for metric in METRICS {
        let series = seen.series(metric.name, metric.kind);
        assert!(!series.is_empty(), "{} is declared and nothing sets it", metric.name);
        let found: BTreeSet<String> = series.iter().flat_map(|(one, _)| labels(one)).collect();
        let described = metric.labels.iter().map(|label| (*label).to_owned());
        // A certificate is a channel's or a listener's, and these listeners have none.
        let described = described.filter(|label| label != "listener" || found.contains(label));
        let described: BTreeSet<String> = described.collect();
        assert_eq!(found, described, "the labels of {}", metric.name);
        let help = format!("# HELP {} {}\n", metric.name, metric.meaning);
        assert!(seen.text.contains(&help), "{} says what it means", metric.name);
    }
    let declared: BTreeSet<&str> = METRICS.iter().map(|metric| metric.name).collect();
    for series in seen.values.keys().filter(|series| series.starts_with("switchyard_")) {
        let name = series.split('{').next().unwrap_or_default();
        let name = ["_count", "_sum", "_bucket"].iter().fold(name, |name, part| {
            name.strip_suffix(part).filter(|name| declared.contains(name)).unwrap_or(name)
        });
        assert!(declared.contains(name), "{name} is set and not declared");
    }
}
