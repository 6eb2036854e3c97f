//! The daemon's doors as a caller, an operator and an attacker meet them: TLS, client certificates,
//! listeners, and what becomes of who is refused.

mod authority;
#[path = "../support/mod.rs"]
mod support;

use std::net::SocketAddr;

use authority::{Authority, Issued};
use serde_json::Value;
use support::core::{Core, Payment};
use support::daemon::{Daemon, run};
use support::installation::{CALLER_KEY, Installation};
use support::simulated::{BANK, PATIENT_TIMEOUTS};
use support::wire::{http_client, until};
use switchyard::codec::sign::sha256_hex;
use switchyard::simulator::{DurationRange, Faults};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const INSTALLED: [&str; 5] = ["serve", "--config", "switchyard.toml", "--data", "data"];
const TLS: &str = "[server.tls]\ncertificate = \"file:server.pem\"\nkey = \"file:server.key\"\n";
const CLIENT_ROOTS: &str = "client_roots = \"file:clients.pem\"\n";
/// The first bytes of a handshake that does not go on.
const HALF_A_GREETING: [u8; 5] = [22, 3, 1, 2, 0];

/// A schedule for channels whose replies may take ten seconds.
const PATIENT_UNKNOWNS: &str = r#"
inquire = ["1s", "5s"]
then = "reverse"
reverse = ["0s", "1s", "2s"]
not_found_final_after = "1m"
"#;

/// An installation with further settings.
async fn town_with(more: &str) -> Installation {
    let town = Installation::new(|channel| channel).await;
    let text = std::fs::read_to_string(town.settings_file()).expect("the settings");
    std::fs::write(town.settings_file(), format!("{text}{more}")).expect("a file");
    town
}

/// The same behind a certificate of this authority.
async fn secured_town(authority: &Authority, more: &str) -> Installation {
    let town = town_with(&format!("{TLS}{more}")).await;
    authority.issue().put(town.folder());
    town
}

fn core(client: reqwest::Client, address: SocketAddr) -> Core {
    Core::over(client, &format!("https://{address}"), CALLER_KEY)
}

async fn text(client: &reqwest::Client, url: &str) -> (u16, String) {
    let answer = client.get(url).send().await.expect("an answer");
    (answer.status().as_u16(), answer.text().await.expect("a text"))
}

/// Waits until the metrics have this line.
async fn has_metric(client: &reqwest::Client, base: &str, line: &str) {
    let url = format!("{base}/metrics");
    let look = async || text(client, &url).await.1.lines().any(|is| is == line).then_some(());
    until(line, look).await;
}

fn handshakes(result: &str, count: usize) -> String {
    format!("switchyard_tls_handshakes_total{{listener=\"api\",result=\"{result}\"}} {count}")
}

/// Where a listener of its own is, by what the daemon printed.
fn own_address(daemon: &Daemon, kind: &str) -> String {
    let line = daemon.printed.iter().find_map(|line| line.strip_prefix(&format!("{kind} on ")));
    line.expect("it says where it listens").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_goes_over_tls_and_nothing_else_does() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let town = secured_town(&authority, "").await;
    let daemon = Daemon::start(town.folder(), &INSTALLED).await;
    let client = authority.client(None);
    let paid = core(client.clone(), daemon.address).pay(&Payment::instant("A-1", 500)).await;
    assert_eq!(paid.outcome(), (200, "succeeded"), "{}", paid.body);

    // Who believes another authority says no more.
    let doubting = core(stranger.client(None), daemon.address);
    let refused = doubting.try_get("/v1/channels").await;
    assert!(refused.is_err_and(|error| error.is_connect()));
    let base = format!("https://{}", daemon.address);
    has_metric(&client, &base, &handshakes("failed", 1)).await;

    // Plain HTTP is told what to do, and nothing is done for it.
    let plain = Core::new(daemon.address, CALLER_KEY).pay(&Payment::instant("A-2", 500)).await;
    assert_eq!((plain.status, plain.text("code")), (400, "tls_required"), "{}", plain.body);
    has_metric(&client, &base, &handshakes("plain_http", 1)).await;
    assert_eq!(town.channels.bank.ledger().entries().len(), 1);
    drop(TcpStream::connect(daemon.address).await.expect("a connection"));
    has_metric(&client, &base, &handshakes("nothing_sent", 1)).await;
    assert!(!daemon.log().contains("handshake"), "{}", daemon.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewed_certificate_is_taken_while_calls_go_on() {
    let (before, after) = (Authority::new(), Authority::new());
    let town = secured_town(&before, "").await;
    town.write_channel(BANK, PATIENT_UNKNOWNS, PATIENT_TIMEOUTS);
    let slow =
        Faults { delay: 10_000, delay_for: DurationRange::millis(2_000, 2_000), ..Faults::calm() };
    town.channels.bank.set_faults(slow).expect("possible faults");
    let daemon = Daemon::start(town.folder(), &INSTALLED).await;
    let old = core(before.client(None), daemon.address);
    let paying = tokio::spawn({
        let old = old.clone();
        async move { old.pay(&Payment::instant("A-1", 500)).await }
    });
    town.bank_is_asked(&old, "charge", "A-1").await;

    // A mistake leaves in force what is.
    let renewed = after.issue();
    std::fs::write(town.folder().join("server.pem"), &renewed.pem).expect("a file");
    daemon.signal("HUP");
    daemon.logged("the listener's certificates stay as they were", 1).await;
    daemon.logged("server.tls.key: is not the key of the listener's certificate", 1).await;
    let fresh = core(before.client(None), daemon.address);
    assert_eq!(fresh.get("/v1/channels").await.status, 200);

    renewed.put(town.folder());
    daemon.signal("HUP");
    daemon.logged("the listener's certificates are taken anew", 1).await;
    let new = core(after.client(None), daemon.address);
    assert_eq!(new.get("/v1/channels").await.status, 200);
    assert!(core(before.client(None), daemon.address).try_get("/v1/channels").await.is_err());

    // The calls and connections of before go on.
    let paid = paying.await.expect("no panic");
    assert_eq!(paid.outcome(), (200, "succeeded"), "{}", paid.body);
    assert_eq!(old.payment(paid.id()).await.body, paid.body);
    assert!(!daemon.log().contains("BEGIN"), "nothing of the files is logged");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bound_caller_needs_key_and_certificate() {
    const BOUND_KEY: &str = "sy_test-only-bound-key";
    let (authority, clients, stranger) = (Authority::new(), Authority::new(), Authority::new());
    let (own, others) = (clients.issue(), clients.issue());
    let caller = format!(
        "{CLIENT_ROOTS}[[callers]]\nname = \"bound\"\nroles = [\"core\"]\nkey_sha256 = \"{}\"\n\
         certificate_keys_sha256 = [\"{}\"]\n",
        sha256_hex(BOUND_KEY.as_bytes()),
        own.key_sha256
    );
    let town = secured_town(&authority, &caller).await;
    std::fs::write(town.folder().join("clients.pem"), &clients.root_pem).expect("a file");
    let daemon = Daemon::start(town.folder(), &INSTALLED).await;
    let base = format!("https://{}", daemon.address);
    let with = |certificate: Option<&Issued>, key: &str| {
        Core::over(authority.client(certificate), &base, key)
    };
    let rows = [
        (None, BOUND_KEY, (403, "certificate_required")),
        (Some(&others), BOUND_KEY, (403, "certificate_required")),
        (Some(&own), "sy_another", (401, "unauthorized")),
        (Some(&own), BOUND_KEY, (200, "")),
        // Who is not bound may show one or none.
        (None, CALLER_KEY, (200, "")),
        (Some(&others), CALLER_KEY, (200, "")),
    ];
    for (place, (certificate, key, (status, code))) in rows.into_iter().enumerate() {
        let core = with(certificate, key);
        let paid = core.pay(&Payment::instant(&format!("A-{place}"), 500)).await;
        assert_eq!((paid.status, paid.text("code")), (status, code), "{place}: {}", paid.body);
        let asked = core.get("/v1/payments?order_id=A-unknown").await;
        let code = if status == 200 { "not_found" } else { code };
        assert_eq!(asked.text("code"), code, "{place}: {}", asked.body);
    }
    assert_eq!(town.channels.bank.ledger().entries().len(), 3, "nothing was sent for others");
    // An operator's commands show the same.
    let write = |name: &str, text: &str| {
        std::fs::write(town.folder().join(name), text).expect("a file");
    };
    write("root.pem", &authority.root_pem);
    write("own.pem", &format!("{}{}", own.pem, own.key_pem));
    write("others.pem", &format!("{}{}", others.pem, own.key_pem));
    let show = ["order", "show", "2611220000000009999", "--key", BOUND_KEY, "--url", &base];
    for (more, words) in [
        (&["--roots", "root.pem", "--certificate", "own.pem"][..], "404 Not Found: not_found"),
        (&["--roots", "root.pem"], "403 Forbidden: certificate_required"),
        (&["--roots", "root.pem", "--certificate", "others.pem"], "do not fit"),
        (&["--roots", "clients.pem"], "the daemon cannot be reached"),
    ] {
        let ran = run(town.folder(), &[&show[..], more].concat());
        let told = String::from_utf8_lossy(&ran.stderr);
        assert!(told.contains(words), "{words}: {told}");
    }
    // What another authority has issued ends the handshake.
    let foreign = with(Some(&stranger.issue()), BOUND_KEY);
    assert!(foreign.try_get("/v1/channels").await.is_err());
    for cause in ["no_certificate", "other_certificate"] {
        daemon.logged(&format!("cause=\"{cause}\""), 2).await;
    }
    let log = daemon.log();
    assert!(log.contains("caller=\"bound\""), "{log}");
    for secret in [BOUND_KEY, "sy_another", CALLER_KEY] {
        assert!(!log.contains(secret), "{log}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn notices_and_metrics_have_listeners_of_their_own() {
    let authority = Authority::new();
    let own = "[server.notices]\nlisten = \"127.0.0.1:0\"\n[server.metrics]\n\
               listen = \"127.0.0.1:0\"\n[server.metrics.tls]\n\
               certificate = \"file:server.pem\"\nkey = \"file:server.key\"\n";
    let town = town_with(own).await;
    authority.issue().put(town.folder());
    let mut daemon = Daemon::start(town.folder(), &INSTALLED).await;
    let api = format!("http://{}", daemon.address);
    let (notices, metrics) = (own_address(&daemon, "notices"), own_address(&daemon, "metrics"));
    assert!(notices.starts_with("http://") && metrics.starts_with("https://"));

    let client = authority.client(None);
    let post = async |base: &str, path: &str| {
        let answer = client.post(format!("{base}{path}")).body("a=b").send().await;
        answer.expect("an answer").status().as_u16()
    };
    // Who is at the right door is believed or not by what it brings.
    assert_eq!(post(&notices, "/notices/unionpay").await, 400);
    for (base, path) in [(&api, "/notices/unionpay"), (&metrics, "/notices/unionpay")] {
        assert_eq!(post(base, path).await, 404, "{base}{path}");
    }
    for path in ["/v1/payments", "/v1/channels/unionpay/statements/fetch"] {
        assert_eq!((post(&notices, path).await, post(&metrics, path).await), (404, 404), "{path}");
    }
    for (base, path, status) in [
        (&api, "/healthz", 200),
        (&api, "/metrics", 404),
        (&metrics, "/metrics", 200),
        (&metrics, "/healthz", 404),
        (&notices, "/metrics", 404),
        (&notices, "/v1/channels", 404),
        (&notices, "/errors", 404),
    ] {
        assert_eq!(text(&client, &format!("{base}{path}")).await.0, status, "{base}{path}");
    }
    let days = "switchyard_certificate_days_left{listener=\"metrics\",which=\"server\"} ";
    let (_, found) = text(&client, &format!("{metrics}/metrics")).await;
    let line = found.lines().find_map(|line| line.strip_prefix(days));
    assert!(line.is_some_and(|days| days.parse::<i64>().is_ok_and(|days| days > 365)), "{found}");

    // A channel's notice that is true ends its payment.
    let address = notices.trim_start_matches("http://").parse().expect("an address");
    town.door.lead_to(Some(address));
    let core = Core::new(daemon.address, CALLER_KEY);
    let paid = core.pay(&Payment::escrow("A-1", 500)).await;
    assert_eq!(paid.outcome(), (200, "succeeded"), "{}", paid.body);
    let taken = "switchyard_channel_notices_total{channel=\"unionpay\",result=\"taken\"} 1";
    has_metric(&client, &metrics, taken).await;
    daemon.signal("TERM");
    assert_eq!(daemon.ended().await.code(), Some(0));
    for base in [api, notices, metrics] {
        assert!(client.get(base).send().await.is_err(), "every listener has gone");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_handshakes_keep_nobody_out() {
    let authority = Authority::new();
    let town = secured_town(&authority, "").await;
    let few = "connections_max = 4\nrequest_timeout = \"60s\"\nstop_within = \"60s\"\n";
    let text = std::fs::read_to_string(town.settings_file()).expect("the settings");
    let text = text.replace("[server]\n", &format!("[server]\n{few}"));
    std::fs::write(town.settings_file(), text).expect("a file");
    let mut daemon = Daemon::start(town.folder(), &INSTALLED).await;
    let mut slow = Vec::new();
    for _ in 0..8 {
        let mut stream = TcpStream::connect(daemon.address).await.expect("a connection");
        stream.write_all(&HALF_A_GREETING).await.expect("it is taken");
        slow.push(stream);
    }
    let core = core(authority.client(None), daemon.address);
    let paid = core.pay(&Payment::instant("A-1", 500)).await;
    assert_eq!(paid.outcome(), (200, "succeeded"), "{}", paid.body);
    // The oldest made room, and a stop waits for none of the others.
    assert!(matches!(slow[0].read(&mut [0; 16]).await, Ok(0) | Err(_)));
    daemon.signal("TERM");
    assert_eq!(daemon.ended().await.code(), Some(0));
    assert!(daemon.log().contains("connections_left=0"), "{}", daemon.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handshake_that_does_not_end_is_ended() {
    let authority = Authority::new();
    let town = secured_town(&authority, "").await;
    let text = std::fs::read_to_string(town.settings_file()).expect("the settings");
    let text = text.replace("[server]\n", "[server]\nrequest_timeout = \"100ms\"\n");
    std::fs::write(town.settings_file(), text).expect("a file");
    let daemon = Daemon::start(town.folder(), &INSTALLED).await;
    let mut silent = TcpStream::connect(daemon.address).await.expect("a connection");
    let mut slow = TcpStream::connect(daemon.address).await.expect("a connection");
    slow.write_all(&HALF_A_GREETING).await.expect("it is taken");
    for stream in [&mut silent, &mut slow] {
        assert!(matches!(stream.read(&mut [0; 16]).await, Ok(0) | Err(_)));
    }
    let base = format!("https://{}", daemon.address);
    has_metric(&authority.client(None), &base, &handshakes("timed_out", 2)).await;
}

/// The mistakes that `check-config` finds with these settings, as `key: problem; advice`.
fn mistakes(town: &Installation, settings: &str) -> Vec<String> {
    std::fs::write(town.folder().join("tried.toml"), settings).expect("a file");
    let checked = run(town.folder(), &["check-config", "--config", "tried.toml", "--json"]);
    let report: Value = serde_json::from_slice(&checked.stdout).expect("one object");
    let found = report["mistakes"].as_array().expect("a list").iter();
    let word = |mistake: &Value, name: &str| mistake[name].as_str().unwrap_or_default().to_owned();
    found
        .map(|one| {
            assert!(one["line"].as_u64().is_some_and(|line| line > 0), "{one}");
            format!("{}: {}; {}", word(one, "key"), word(one, "problem"), word(one, "advice"))
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_mistake_about_certificates_is_told_before_anything_begins() {
    let authority = Authority::new();
    let town = secured_town(&authority, "").await;
    let write = |name: &str, text: &str| {
        std::fs::write(town.folder().join(name), text).expect("a file");
    };
    write("clients.pem", &authority.root_pem);
    write("other.key", &authority.issue().key_pem);
    let old = authority.issue_until(2020);
    write("old.pem", &old.pem);
    write("old.key", &old.key_pem);
    write("empty.pem", " \n");
    write("words.pem", "sesame");
    let sound = format!("{TLS}{CLIENT_ROOTS}");
    assert_eq!(mistakes(&town, &sound), Vec::<String>::new());
    let rows: [(&str, &str, &[&str]); 8] = [
        ("server.key", "other.key", &["server.tls.key: is not the key of the listener's"]),
        ("server.key", "gone.key", &["server.tls.key: the file `./gone.key` cannot be read"]),
        ("server.key", "words.pem", &["server.tls.key: holds no private key that reads"]),
        ("server.pem", "words.pem", &["server.tls.certificate: there is no PEM block"]),
        ("server.pem", "empty.pem", &["server.tls.certificate: the credential behind"]),
        ("server.pem", "old.pem", &["server.tls.certificate: the server certificate with serial"]),
        (
            "clients.pem",
            "other.key",
            &["server.tls.client_roots: the PEM text holds no certificate"],
        ),
        (
            "\"file:server.pem\"\nkey = \"file:server.key\"",
            "\"server.pem\"\nkey = \"file:gone.key\"",
            &["server.tls.certificate: a credential is a reference", "server.tls.key: the file"],
        ),
    ];
    for (from, to, expected) in rows {
        let found = mistakes(&town, &sound.replace(from, to));
        assert_eq!(found.len(), expected.len(), "{to}: {found:?}");
        for words in expected {
            assert!(found.iter().any(|one| one.starts_with(words)), "{words}: {found:?}");
        }
        assert!(found.iter().all(|one| !one.contains("sesame")), "{found:?}");
    }
    // A start says the same, and begins nothing.
    write("tried.toml", &sound.replace("server.pem", "old.pem"));
    let refused = run(town.folder(), &["serve", "--config", "tried.toml", "--data", "new"]);
    let told = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{told}");
    assert!(told.contains("tried.toml:2: server.tls.certificate: ") && told.contains("ended on"));
    assert!(!town.folder().join("new").exists(), "nothing was begun");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_on_the_command_line_keeps_the_rules() {
    let town = Installation::new(|channel| channel).await;
    let refused = run(town.folder(), &[&INSTALLED[..], &["--listen", "0.0.0.0:0"]].concat());
    let told = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{told}");
    assert!(told.contains("server.listen: is reachable from other machines"), "{told}");
    assert!(!town.data().exists(), "nothing was begun");
}

#[tokio::test(flavor = "multi_thread")]
async fn i_11_refused_callers_are_logged_and_counted_without_key_or_path() {
    let town = Installation::new(|channel| channel).await;
    let daemon = Daemon::start(town.folder(), &INSTALLED).await;
    let stranger = Core::new(daemon.address, "sy_stolen-and-mistyped");
    for order in 0..30 {
        let refused = stranger.pay(&Payment::instant(&format!("A-{order}"), 500)).await;
        assert_eq!(refused.outcome().0, 401, "{}", refused.body);
    }
    let base = format!("http://{}", daemon.address);
    let client = http_client();
    assert_eq!(text(&client, &format!("{base}/v1/bins/62162610")).await.0, 401);
    let known = Core::new(daemon.address, CALLER_KEY);
    assert_eq!(known.get("/v1/channels").await.status, 200);
    daemon.logged("a caller was refused", 11).await;
    let log = daemon.log();
    let told: Vec<&str> = log.lines().filter(|line| line.contains("was refused")).collect();
    assert_eq!(told.len(), 11, "ten of a flood, and another cause: {told:?}");
    for part in ["cause=\"unknown_key\"", "address=127.0.0.1", "route=\"/v1/payments\""] {
        assert!(told[0].contains(part), "{part}: {}", told[0]);
    }
    for part in ["cause=\"no_key\"", "route=\"/v1/bins/{prefix}\""] {
        assert!(told[10].contains(part), "{part}: {}", told[10]);
    }
    for secret in ["sy_stolen", "mistyped", "62162610", CALLER_KEY] {
        assert!(!log.contains(secret), "{secret}");
    }
    for (cause, count) in [("unknown_key", 30), ("no_key", 1), ("rate", 0), ("role", 0)] {
        let line = format!("switchyard_callers_refused_total{{cause=\"{cause}\"}} {count}");
        has_metric(&client, &base, &line).await;
    }
}
