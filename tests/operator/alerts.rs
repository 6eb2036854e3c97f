//! What wakes people: every rule and every panel asks for metrics that there are, and each rule has
//! its section in the manual, and fires when it should and not before.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use switchyard::telemetry::{METRICS, MetricKind};

use crate::support::witnesses;

const MANUAL: &str = include_str!("../../docs/OPERATIONS.md");
/// What Prometheus itself adds to a series, and what a histogram has.
const LABELS_OF_PROMETHEUS: [&str; 3] = ["job", "instance", "le"];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleFile {
    groups: Vec<RuleGroup>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleGroup {
    #[allow(dead_code, reason = "Prometheus wants one")]
    name: String,
    rules: Vec<Rule>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    alert: String,
    expr: String,
    #[serde(rename = "for")]
    #[allow(dead_code, reason = "promtool reads it")]
    lasts: Option<String>,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct CaseFile {
    tests: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    input_series: Vec<InputSeries>,
    alert_rule_test: Vec<Moment>,
}

#[derive(Deserialize)]
struct InputSeries {
    series: String,
}

#[derive(Deserialize)]
struct Moment {
    alertname: String,
    exp_alerts: Vec<serde_json::Value>,
}

fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy")
}

fn yaml<T: DeserializeOwned>(name: &str) -> T {
    let text = fs::read_to_string(deploy().join(name)).expect("a file of deploy/");
    serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("deploy/{name}: {error}"))
}

fn rules() -> Vec<Rule> {
    let file: RuleFile = yaml("alerts.yml");
    file.groups.into_iter().flat_map(|group| group.rules).collect()
}

fn is_of_a_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// A label and what it is compared with. No value of ours has a comma or a bracket.
fn matcher(text: &str) -> Option<(&str, &str)> {
    let (label, value) = text.split_once('=')?;
    Some((label.trim_end_matches('!'), value.trim_start_matches('~').trim_matches('"')))
}

/// The metrics that a query names, each with its matchers: label and what it is compared with.
fn asked(query: &str) -> Vec<(&str, Vec<(&str, &str)>)> {
    let starts = query.match_indices("switchyard_").map(|(at, _)| &query[at..]);
    let named = starts.map(|text| {
        let end = text.find(|c| !is_of_a_word(c)).unwrap_or(text.len());
        let (name, rest) = text.split_at(end);
        let inner = rest.strip_prefix('{').and_then(|rest| rest.split_once('}'));
        let matchers = inner.map_or("", |(inner, _)| inner).split(',');
        (name, matchers.filter_map(matcher).collect())
    });
    named.collect()
}

/// The labels that the query's sums keep.
fn kept_labels(query: &str) -> BTreeSet<&str> {
    let groups = query.split(" by").skip(1).filter_map(|rest| {
        let inner = rest.trim_start().strip_prefix('(')?;
        inner.split_once(')').map(|(inner, _)| inner)
    });
    groups.flat_map(|inner| inner.split(',')).map(str::trim).collect()
}

/// The labels that a text fills in: `{{ $labels.x }}` of a rule, `{{x}}` of a panel.
fn told_labels(text: &str) -> BTreeSet<&str> {
    let filled = text.split("{{").skip(1).filter_map(|rest| rest.split_once("}}"));
    let inner = filled.map(|(inner, _)| inner.trim());
    inner
        .filter_map(|inner| match inner.strip_prefix("$labels.") {
            Some(label) => Some(label),
            None => (!inner.starts_with('$')).then_some(inner),
        })
        .collect()
}

/// A label that a text fills in and that no series of the query's answer has.
fn empty_labels<'t>(query: &str, text: &'t str) -> Vec<&'t str> {
    let kept = kept_labels(query);
    let of_series = |label: &str| {
        let of_metric =
            |name| METRICS.iter().filter(move |m| m.name == name || is_part_of(name, m.name));
        asked(query).iter().any(|(name, _)| of_metric(*name).any(|m| m.labels.contains(&label)))
    };
    let told = told_labels(text).into_iter();
    told.filter(|label| match kept.is_empty() {
        true => !LABELS_OF_PROMETHEUS.contains(label) && !of_series(label),
        false => !kept.contains(label),
    })
    .collect()
}

/// Whether a series is one of a histogram's.
fn is_part_of(name: &str, histogram: &str) -> bool {
    ["_bucket", "_sum", "_count"].iter().any(|part| name.strip_suffix(part) == Some(histogram))
}

/// Every word between quotes in the sources: what labels can have as a value.
fn words_of_the_sources(folder: &Path, words: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).expect("a folder of src/") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            words_of_the_sources(&path, words);
        } else if path.extension().is_some_and(|end| end == "rs") {
            let text = fs::read_to_string(&path).expect("a source");
            let is_word = |part: &&str| part.len() < 60 && !part.contains(['\n', ' ']);
            words.extend(text.split('"').filter(is_word).map(str::to_owned));
        }
    }
}

/// What is wrong with a query.
fn faults(place: &str, query: &str, words: &BTreeSet<String>) -> Vec<String> {
    let mut wrong = Vec::new();
    for (name, matchers) in asked(query) {
        let found = METRICS.iter().find(|metric| {
            let parts = ["_bucket", "_sum", "_count"];
            let part = name.strip_prefix(metric.name);
            part.is_some_and(|part| match metric.kind {
                MetricKind::Histogram => parts.contains(&part),
                MetricKind::Counter | MetricKind::Gauge => part.is_empty(),
            })
        });
        let Some(metric) = found else {
            wrong.push(format!("{place}: there is no metric {name}"));
            continue;
        };
        for (label, value) in matchers {
            if !metric.labels.contains(&label) && !LABELS_OF_PROMETHEUS.contains(&label) {
                wrong.push(format!("{place}: {name} has no label {label}"));
            }
            // A channel, an address and a pattern are nobody's words.
            let is_ours = !["channel", "job", "instance", "le", "status"].contains(&label);
            for word in value.split('|').filter(|_| is_ours) {
                if !words.contains(word) && !word.starts_with('/') {
                    wrong.push(format!("{place}: {name}: nothing sets {label} to {word}"));
                }
            }
        }
    }
    // What is kept of a sum is a label of what is summed.
    let asked_for: Vec<&str> = asked(query).into_iter().map(|(name, _)| name).collect();
    for label in kept_labels(query) {
        let of_it = METRICS.iter().filter(|metric| metric.labels.contains(&label));
        let has = of_it.into_iter().any(|metric| {
            asked_for.iter().any(|name| *name == metric.name || is_part_of(name, metric.name))
        });
        if !has && !LABELS_OF_PROMETHEUS.contains(&label) {
            wrong.push(format!("{place}: nothing that is asked for has the label {label}"));
        }
    }
    let asks_who_is_up = query.starts_with("up{") && query.contains("job=\"switchyard\"");
    if asked(query).is_empty() && !asks_who_is_up {
        wrong.push(format!("{place}: the query asks for nothing of ours: {query}"));
    }
    wrong
}

fn all_words() -> BTreeSet<String> {
    let mut words = BTreeSet::new();
    words_of_the_sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut words);
    words
}

#[test]
fn every_rule_asks_for_what_there_is_and_has_its_section() {
    let (rules, words) = (rules(), all_words());
    assert!(rules.len() >= 20, "{}", rules.len());
    let (_, manual) = MANUAL.split_once("\n## Rules that wake people\n").expect("their part");
    let manual = manual.split("\n## ").next().expect("never empty");
    let sections: Vec<&str> = manual.split("\n### `").skip(1).collect();
    let told: Vec<&str> = sections.iter().filter_map(|section| section.split('`').next()).collect();
    let named: Vec<&str> = rules.iter().map(|rule| rule.alert.as_str()).collect();
    assert_eq!(told, named, "docs/OPERATIONS.md and deploy/alerts.yml, rule by rule");
    for (rule, section) in rules.iter().zip(sections) {
        let name = &rule.alert;
        assert_eq!(faults(name, &rule.expr, &words), [""; 0]);
        let severity = rule.labels.get("severity").map(String::as_str);
        let begins = match severity {
            Some("page") => "*Page.* ",
            Some("ticket") => "*Ticket.* ",
            other => panic!("{name} is a page or a ticket: {other:?}"),
        };
        for part in [begins, "\n\n*Look at:* ", "\n\n*What to do:* "] {
            assert_eq!(section.matches(part).count(), 1, "{name} in the manual: {part:?}");
        }
        assert!(rule.annotations.get("summary").is_some_and(|text| text.len() > 10), "{name}");
        let summary = &rule.annotations["summary"];
        assert_eq!(empty_labels(&rule.expr, summary), [""; 0], "{name} tells: {summary}");
        let runbook = format!("docs/OPERATIONS.md#{}", name.to_lowercase());
        assert_eq!(rule.annotations.get("runbook"), Some(&runbook), "{name}");
    }
}

#[test]
fn every_rule_has_a_case_that_fires_and_one_that_does_not() {
    let words = all_words();
    let file: CaseFile = yaml("alerts.test.yml");
    let cases = || file.tests.iter().flat_map(|case| &case.alert_rule_test);
    for rule in rules() {
        let of_rule = || cases().filter(|moment| moment.alertname == rule.alert);
        assert!(of_rule().any(|moment| !moment.exp_alerts.is_empty()), "{} fires", rule.alert);
        assert!(of_rule().any(|moment| moment.exp_alerts.is_empty()), "{} is silent", rule.alert);
    }
    for series in file.tests.iter().flat_map(|case| &case.input_series) {
        assert_eq!(faults("alerts.test.yml", &series.series, &words), [""; 0]);
    }
}

#[test]
fn prometheus_takes_the_rules_and_they_do_as_their_cases_say() {
    if witnesses::is_left_out(!witnesses::has_promtool(), "promtool") {
        return;
    }
    let lines: [&[&str]; 3] = [
        &["check", "rules", "alerts.yml"],
        &["test", "rules", "alerts.test.yml"],
        &["check", "config", "prometheus.yml"],
    ];
    for words in lines {
        let done = Command::new("promtool").args(words).current_dir(deploy()).output();
        let done = done.expect("it starts");
        let told = [done.stdout, done.stderr].concat();
        assert!(done.status.success(), "{words:?}: {}", String::from_utf8_lossy(&told));
    }
}

/// All strings under this name, however deep.
fn texts<'a>(value: &'a serde_json::Value, name: &str, found: &mut Vec<&'a str>) {
    match value {
        serde_json::Value::Object(members) => {
            found.extend(members.get(name).and_then(serde_json::Value::as_str));
            members.values().for_each(|member| texts(member, name, found));
        }
        serde_json::Value::Array(items) => items.iter().for_each(|item| texts(item, name, found)),
        _ => {}
    }
}

/// The squares of Grafana's grid that a panel covers.
fn squares(panel: &serde_json::Value) -> Vec<(u64, u64)> {
    let at = |name: &str| panel["gridPos"][name].as_u64().expect("a place on the grid");
    let (left, top, width, height) = (at("x"), at("y"), at("w"), at("h"));
    assert!(left + width <= 24, "{}", panel["title"]);
    (left..left + width).flat_map(|x| (top..top + height).map(move |y| (x, y))).collect()
}

#[test]
fn every_panel_asks_for_what_there_is() {
    let words = all_words();
    let names: BTreeSet<String> = rules().into_iter().map(|rule| rule.alert).collect();
    let folder = fs::read_dir(deploy().join("dashboards")).expect("the dashboards");
    let mut uids = BTreeSet::new();
    for entry in folder {
        let path = entry.expect("an entry").path();
        let place = path.display().to_string();
        let text = fs::read_to_string(&path).expect("a dashboard");
        let board: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        uids.insert(board["uid"].as_str().expect("a uid").to_owned());
        let panels = board["panels"].as_array().expect("panels");
        let ids: BTreeSet<u64> = panels.iter().filter_map(|panel| panel["id"].as_u64()).collect();
        assert_eq!(ids.len(), panels.len(), "{place}: each panel has its id");
        let mut covered = BTreeSet::new();
        for panel in panels {
            let title = panel["title"].as_str().expect("a title");
            assert!(squares(panel).into_iter().all(|one| covered.insert(one)), "{place}: {title}");
            let (mut queries, mut told) = (Vec::new(), Vec::new());
            texts(panel, "expr", &mut queries);
            texts(panel, "description", &mut told);
            assert!(!queries.is_empty() && !told.is_empty(), "{place}: {title}");
            for query in queries {
                assert_eq!(faults(&format!("{place}: {title}"), query, &words), [""; 0]);
            }
            for target in panel["targets"].as_array().into_iter().flatten() {
                let (query, legend) = (&target["expr"], &target["legendFormat"]);
                let (query, legend) = (query.as_str().unwrap_or(""), legend.as_str().unwrap_or(""));
                assert_eq!(empty_labels(query, legend), [""; 0], "{place}: {title}: {legend}");
            }
            for runbook in told.iter().filter_map(|text| text.split_once("Runbook: ")) {
                let name = runbook.1.trim_end_matches('.');
                assert!(names.contains(name), "{place}: {title}: there is no rule {name}");
            }
        }
    }
    assert_eq!(uids.len(), 2, "{uids:?}");
}

#[test]
fn a_wrong_query_is_found() {
    let words = ["open", "unknown"].map(str::to_owned).into();
    let wrong = |query| faults("here", query, &words).len();
    assert_eq!(wrong("rate(switchyard_channel_requests_total{outcome=\"unknown\"}[5m]) > 0"), 0);
    assert_eq!(wrong("sum(switchyard_api_seconds_bucket{route=\"/v1/payments\",le=\"1\"})"), 0);
    let told = "{{ $labels.channel }} of {{ $labels.phase }} ({{ $value | humanize }})";
    let sum = "sum by (job, channel) (switchyard_reversals_open) > 0";
    assert_eq!(empty_labels(sum, told), ["phase"]);
    assert_eq!(empty_labels("switchyard_reversals_open > 0", told), [""; 0]);
    for query in [
        "sum by (job, listener) (switchyard_reversals_open)",
        "rate(switchyard_channel_request_total[5m])",
        "switchyard_api_seconds",
        "switchyard_ready_bucket",
        "switchyard_channel_requests_total{result=\"unknown\"}",
        "switchyard_channel_requests_total{outcome=~\"unknown|unknwon\"}",
        "up == 0",
    ] {
        assert_eq!(wrong(query), 1, "{query}");
    }
}
