//! The API as strangers meet it: tools of other authors that know nothing but the document, and a
//! library that verifies our notices.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};
use switchyard::app::App;

use crate::support::core::{Core, Payment};
use crate::support::daemon::Daemon;
use crate::support::installation::{CALLER_KEY, Installation, NOTICE_KEY, metrics};
use crate::support::wire::http_client;
use crate::support::{Scratch, witnesses};

/// What a random test of the API begins with; another one is `SWITCHYARD_SEED`.
const SEED: u64 = 20_261_122;
/// Cases of each operation; more are `SWITCHYARD_CASES`.
const CASES: u64 = 3;

fn knob(name: &str, default: u64) -> u64 {
    let given = std::env::var(name).ok();
    given.map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

fn succeeds(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command.output().expect("the program starts");
    let said = format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.success(), "{command:?}\n{said}");
    said
}

fn script(name: &str) -> String {
    format!("{}/tests/peers/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// The document of a daemon, as a file.
async fn write_document(url: &str, folder: &Path) -> PathBuf {
    let answer = http_client().get(format!("{url}/openapi.json")).send().await.expect("an answer");
    let path = folder.join("openapi.json");
    std::fs::write(&path, answer.bytes().await.expect("a body")).expect("a file");
    path
}

#[tokio::test(flavor = "multi_thread")]
async fn a_linter_finds_nothing_in_the_document() {
    let linter = witnesses::linter();
    if witnesses::is_left_out(linter.is_none(), "the linter of OpenAPI documents") {
        return;
    }
    let folder = Scratch::new();
    let document = switchyard::api::openapi::document::document();
    let path = folder.path().join("openapi.json");
    std::fs::write(&path, document.to_string()).expect("a file");
    let mut lint = Command::new(linter.expect("it was found"));
    lint.args(["lint", "--extends", "recommended", "--format", "json"]).arg(&path);
    lint.current_dir(folder.path());
    lint.env("REDOCLY_TELEMETRY", "off").env("REDOCLY_SUPPRESS_UPDATE_NOTICE", "true");
    let Output { status, stdout, stderr } = lint.output().expect("it ran a moment ago");
    let said = String::from_utf8_lossy(&stdout);
    let found = said.find('{').map(|begin| serde_json::from_str::<Value>(&said[begin..]));
    let Some(Ok(found)) = found else { panic!("{said}{}", String::from_utf8_lossy(&stderr)) };
    let totals = json!({ "errors": 0, "warnings": 0, "ignored": 0 });
    assert!(status.success() && found["totals"] == totals, "{found:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_answer_is_outside_the_document_whatever_is_sent() {
    let python = witnesses::python_with("schemathesis");
    if witnesses::is_left_out(python.is_none(), "schemathesis") {
        return;
    }
    let town = Installation::new(|channel| channel).await;
    let daemon = Daemon::installed(&town).await;
    let url = format!("http://{}", daemon.address);
    let (seed, cases) = (knob("SWITCHYARD_SEED", SEED), knob("SWITCHYARD_CASES", CASES));
    println!("SWITCHYARD_SEED={seed} SWITCHYARD_CASES={cases}");
    let program = python.expect("it was found").with_file_name("schemathesis");
    let mut run = Command::new(program);
    run.args(["run", &format!("{url}/openapi.json")]);
    run.args(["--header", &format!("Authorization: Bearer {CALLER_KEY}")]);
    run.args(["--checks", CHECKS, "--phases", "examples,coverage,fuzzing"]);
    run.args(["--seed", &seed.to_string(), "--max-examples", &cases.to_string()]);
    // Whose signature is the key is no caller of ours.
    run.args(["--exclude-path", "/notices/{channel}", "--generation-database", "none"]);
    run.args(["--no-color", "--suppress-health-check", "all"]);
    run.current_dir(town.folder());
    let said = succeeds(&mut run);
    assert!(!daemon.log().contains("panicked"), "{said}\n{}", daemon.log());
}

/// No 5xx, and no answer that the document does not have.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
                      response_headers_conformance,response_schema_conformance";

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_a_stranger_generates_takes_a_payment() {
    let python = witnesses::python_with("openapi_python_client");
    if witnesses::is_left_out(python.is_none(), "openapi-python-client") {
        return;
    }
    let python = python.expect("it was found");
    let town = Installation::new(|channel| channel).await;
    let app = App::start(town.settings(), &town.data(), metrics()).await.expect("a daemon");
    town.door.lead_to(Some(app.address()));
    let url = format!("http://{}", app.address());
    let document = write_document(&url, town.folder()).await;
    let client = town.folder().join("switchyard_client");
    let mut generate = Command::new(python.with_file_name("openapi-python-client"));
    let config = town.folder().join("generator.yml");
    // It would have the client formatted.
    std::fs::write(&config, "post_hooks: []").expect("a file");
    generate.args(["generate", "--meta", "none", "--config"]).arg(&config);
    generate.arg("--path").arg(&document).arg("--output-path").arg(&client);
    let said = succeeds(generate.current_dir(town.folder()));
    let lost: Vec<&str> = said.lines().filter(|line| line.contains("WARNING parsing")).collect();
    let [door] = &lost[..] else { panic!("it makes all calls but one: {said}") };
    // A channel calls it, in a protocol of its own.
    assert!(door.contains("POST /notices/{channel}"), "{door}");
    let mut pay = Command::new(&python);
    pay.arg(script("generated_client.py")).args([&url, CALLER_KEY]);
    pay.env("PYTHONPATH", town.folder()).env("PYTHONDONTWRITEBYTECODE", "1");
    let said = tokio::task::spawn_blocking(move || succeeds(&mut pay)).await.expect("no panic");
    let told: Value = serde_json::from_str(said.trim()).unwrap_or_else(|_| panic!("{said}"));
    let core = Core::new(app.address(), CALLER_KEY);
    let paid = core.payment(told["id"].as_str().expect("an id")).await;
    assert_eq!(paid.outcome(), (200, "succeeded"), "{}", paid.body);
    assert_eq!((paid.text("order_id"), told["status"].as_str()), ("G-1", Some("succeeded")));
    assert_eq!(told["refused"], "invalid_card_number", "a problem is read, too: {told}");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_strangers_library_believes_our_notices_and_no_others() {
    let python = witnesses::python_with("standardwebhooks");
    if witnesses::is_left_out(python.is_none(), "standardwebhooks") {
        return;
    }
    let town = Installation::new(|channel| channel).await;
    // The core's key, and its successor.
    let next = "whsec_bmV4dC1uZXh0LW5leHQtbmV4dC1uZXh0LW5leHQtbmV4dA==";
    std::fs::write(town.folder().join("next.key"), next).expect("a file");
    let file = town.folder().join("switchyard.toml");
    let text = std::fs::read_to_string(&file).expect("settings");
    let both = "keys = [\"file:next.key\", \"file:notice.key\"]";
    std::fs::write(&file, text.replace("keys = [\"file:notice.key\"]", both)).expect("settings");
    let daemon = Daemon::installed(&town).await;
    let paid = Core::new(daemon.address, CALLER_KEY).pay(&Payment::instant("A-1", 500)).await;
    let notice = town.core_inbox.post_with("id", paid.id()).await;
    let header = |name: &str| (name.to_owned(), Value::from(notice.header(name)));
    let headers: serde_json::Map<String, Value> =
        ["webhook-id", "webhook-timestamp", "webhook-signature"].map(header).into_iter().collect();
    let verdict = |key: &str, body: &str| {
        let asked = json!({ "key": key, "headers": headers, "body": body });
        let mut verify = Command::new(python.as_ref().expect("it was found"));
        verify.arg(script("verify_notice.py")).arg(asked.to_string());
        succeeds(&mut verify).trim().to_owned()
    };
    let body = std::str::from_utf8(notice.bytes()).expect("text");
    assert_eq!(verdict(NOTICE_KEY, body), "believed");
    assert_eq!(verdict(next, body), "believed");
    assert_eq!(verdict("whsec_b3RoZXItb3RoZXItb3RoZXItb3RoZXItb3RoZXI=", body), "forged");
    assert_eq!(verdict(NOTICE_KEY, &body.replace("succeeded", "failed")), "forged");
}
