//! What a collector of traces is posted, read by OpenTelemetry's own definitions.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::support::core::{Core, Payment};
use crate::support::daemon::{Daemon, INSTALLED};
use crate::support::installation::{CALLER_KEY, Installation};
use crate::support::simulated::BANK_LIMIT_MINOR;
use crate::support::wire::{Inbox, until};
use crate::support::witnesses;

const PACKAGE: &str = "opentelemetry.proto";

/// The spans of posts, as the library understands them.
fn read(python: &Path, posts: &[Value]) -> Vec<Value> {
    let script = format!("{}/tests/peers/read_spans.py", env!("CARGO_MANIFEST_DIR"));
    let mut reading = Command::new(python)
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python ran a moment ago");
    let lines: String = posts.iter().map(|post| format!("{post}\n")).collect();
    let mut input = reading.stdin.take().expect("it is piped");
    input.write_all(lines.as_bytes()).expect("it reads");
    drop(input);
    let output = reading.wait_with_output().expect("it ends");
    assert!(output.status.success(), "the library does not read {lines}");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_s_own_definitions_read_every_span() {
    let python = witnesses::python_with(PACKAGE);
    if witnesses::is_left_out(python.is_none(), PACKAGE) {
        return;
    }
    let python = python.expect("it was found");
    let collector = Inbox::open().await;
    let town = Installation::new(|channel| channel).await;
    let settings = std::fs::read_to_string(town.settings_file()).expect("settings");
    let otlp = format!("\n[telemetry.otlp]\nendpoint = \"{}/v1/traces\"\n", collector.url);
    std::fs::write(town.settings_file(), settings + &otlp).expect("settings");
    let daemon = Daemon::start(town.folder(), &INSTALLED).await;
    town.door.lead_to(Some(daemon.address));
    let core = Core::new(daemon.address, CALLER_KEY);
    assert_eq!(core.pay(&Payment::instant("A-1", 500)).await.outcome(), (200, "succeeded"));
    let declined = core.pay(&Payment::instant("A-2", BANK_LIMIT_MINOR + 1)).await;
    assert_eq!(declined.outcome(), (200, "failed"), "{}", declined.body);
    let posts = || -> Vec<Value> { collector.posts().into_iter().map(|post| post.body).collect() };
    let whole = async || {
        let posts = posts();
        let text = posts.iter().map(Value::to_string).collect::<String>();
        // Both calls, the voucher of the first order, and the notices of both.
        let told = [("\"POST /v1/payments\"", 2), ("\"declined\"", 1), ("\"delivery\"", 3)];
        told.iter().all(|(word, count)| text.matches(word).count() >= *count).then_some(posts)
    };
    let posts = until("every kind of span", whole).await;
    let spans = read(&python, &posts);
    let named = |name: &str, fact: (&str, Value)| {
        let found =
            spans.iter().find(|span| span["name"] == name && span["facts"][fact.0] == fact.1);
        found.unwrap_or_else(|| panic!("{name} {fact:?} in {spans:#?}"))
    };
    let call = named("POST /v1/payments", ("http.response.status_code", json!(200)));
    assert_eq!((&call["kind"], &call["parent"]), (&json!("SPAN_KIND_SERVER"), &json!("")));
    let asked = named("payment", ("switchyard.outcome", json!("approved")));
    let declined = named("payment", ("switchyard.outcome", json!("declined")));
    let to = |receiver: &str| named("delivery", ("switchyard.to", json!(receiver)));
    for span in [asked, declined, to("accounting"), to("core")] {
        assert_eq!(span["kind"], "SPAN_KIND_CLIENT", "{span}");
        assert_eq!(span["status"], "STATUS_CODE_UNSET", "{span}");
        let above = spans.iter().find(|other| other["span"] == span["parent"]);
        let above = above.unwrap_or_else(|| panic!("its call: {span}"));
        assert_eq!(above["trace"], span["trace"], "{span}");
    }
    for span in &spans {
        assert_eq!(
            (&span["service"], &span["scope"]),
            (&json!("switchyard"), &json!("switchyard"))
        );
        assert!(span["took_ns"].as_i64().is_some_and(|took| took >= 0), "{span}");
    }
}
