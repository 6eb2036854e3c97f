//! A credential that the channel hands out, against a channel on a socket that counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::routing::post;
use switchyard::channel::fetched::ready;
use switchyard::channel::transport::http::{HttpTransport, Timeouts};
use switchyard::channel::transport::tls::client_config;
use switchyard::clock::{Clock, Timekeeper};
use switchyard::domain::outcome::NotSentCause;

use super::support::wire::listen;
use super::*;

const TOKEN: &str = r#"
verify = { none = true }
[http.secrets]
client_secret = "env:KEY"
[http.token]
path = "/oauth2/token"
headers = { Authorization = "Basic {{ ('me:' ~ client_secret) | base64 }}" }
body = { grant_type = "client_credentials" }
reply = { token = "/access_token", expires_in = "/expires_in" }
[http.payment]
path = "/pay"
headers = { Authorization = "Bearer {{ access_token }}" }
body = { no = "{{ order_no }}" }
reply = { code = "/code" }
"#;

/// What the channel was asked, and how it answers.
#[derive(Default)]
struct Channel {
    tokens: AtomicU32,
    payments: AtomicU32,
    /// Seconds that a token is good; 0 stands for a channel that hands out none.
    good_for: AtomicU32,
    /// The number of the token that is good; others are refused.
    good: AtomicU32,
}

impl Channel {
    async fn open(self: &Arc<Self>) -> Declarative {
        let (hands_out, pays) = (Arc::clone(self), Arc::clone(self));
        let router = Router::new()
            .route(
                "/v1/oauth2/token",
                post(move |request: Request| async move {
                    let basic = request.headers()["authorization"].to_str().map(str::to_owned);
                    let expected = "Basic bWU6YSBzaGFyZWQga2V5IGZvciB0ZXN0cyBvbmx5";
                    assert_eq!(basic.ok().as_deref(), Some(expected));
                    let number = hands_out.tokens.fetch_add(1, Ordering::SeqCst) + 1;
                    hands_out.good.store(number, Ordering::SeqCst);
                    // Those who wait for it pile up.
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    match hands_out.good_for.load(Ordering::SeqCst) {
                        0 => "{}".to_owned(),
                        seconds => {
                            format!(r#"{{"access_token":"t{number}","expires_in":{seconds}}}"#)
                        }
                    }
                }),
            )
            .route(
                "/v1/pay",
                post(move |request: Request| async move {
                    pays.payments.fetch_add(1, Ordering::SeqCst);
                    let good = format!("Bearer t{}", pays.good.load(Ordering::SeqCst));
                    let status = if request.headers()["authorization"] == good { 200 } else { 401 };
                    let status = http::StatusCode::from_u16(status).expect("a status");
                    (status, r#"{"code":"0000"}"#)
                }),
            );
        let address = listen(router).await;
        let text =
            TOKEN.replace("verify =", &format!("base_url = \"http://{address}/v1\"\nverify ="));
        let text = format!("[codes]\n\"0000\" = \"approved\"\n[http]\n{text}");
        read_whole(Path::new("."), &text).unwrap_or_else(|found| panic!("{found:#?}"))
    }
}

fn transport() -> HttpTransport {
    let patience = Duration::from_secs(30);
    let timeouts = Timeouts { connect: patience, reply: patience, idle: patience };
    HttpTransport::new(timeouts, client_config(&[]).expect("roots"))
}

/// One payment as a channel's connection makes it; `Err` where nothing was sent.
async fn pay(bank: &Declarative, transport: &HttpTransport) -> Result<Outcome, NotSentCause> {
    let clock: Timekeeper = Clock::System.into();
    let credential = ready(bank, transport, &clock).await?;
    let wire = bank.encode(&payment(), clock.now()).expect("it can be built");
    let reply = transport.send(wire).await.expect("a reply");
    credential.heard(&reply);
    Ok(bank.decode(&payment(), &reply, clock.now()).outcome)
}

#[tokio::test]
async fn a_token_is_got_once_for_all_and_renewed_before_its_end() {
    let channel = Arc::new(Channel::default());
    channel.good_for.store(3_600, Ordering::SeqCst);
    let bank = Arc::new(channel.open().await);
    let transport = Arc::new(transport());
    let calls: Vec<_> = (0..20)
        .map(|_| {
            let (bank, transport) = (Arc::clone(&bank), Arc::clone(&transport));
            tokio::spawn(async move { pay(&bank, &transport).await })
        })
        .collect();
    for call in calls {
        let outcome = call.await.expect("it ends").expect("it was sent");
        assert!(is_approved(&outcome), "{outcome:?}");
    }
    assert_eq!(channel.tokens.load(Ordering::SeqCst), 1);
    assert_eq!(channel.payments.load(Ordering::SeqCst), 20);
}

#[tokio::test]
async fn i_2_a_refused_token_is_renewed_once_and_no_payment_is_sent_again() {
    let channel = Arc::new(Channel::default());
    channel.good_for.store(3_600, Ordering::SeqCst);
    let (bank, transport) = (channel.open().await, transport());
    assert!(is_approved(&pay(&bank, &transport).await.expect("sent")));
    // The channel takes the token back: the payment that meets it is unknown, and sent once.
    channel.good.store(99, Ordering::SeqCst);
    assert!(is_unknown(&pay(&bank, &transport).await.expect("sent")));
    assert_eq!(channel.payments.load(Ordering::SeqCst), 2);
    assert!(is_approved(&pay(&bank, &transport).await.expect("sent")), "with a new one");
    assert_eq!(channel.tokens.load(Ordering::SeqCst), 2);
    assert_eq!(channel.payments.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn i_2_without_a_token_nothing_is_sent() {
    let channel = Arc::new(Channel::default());
    let (bank, transport) = (channel.open().await, transport());
    for _ in 0..5 {
        assert_eq!(pay(&bank, &transport).await.err(), Some(NotSentCause::NoCredential));
    }
    // A channel that refuses is not asked at the rate of the payments.
    assert!(channel.tokens.load(Ordering::SeqCst) < 5);
    assert_eq!(channel.payments.load(Ordering::SeqCst), 0);
}

/// Until when a token is used, by what its reply says of its end.
#[test]
fn a_token_is_used_as_long_as_its_reply_says() {
    let bank = bank(TOKEN);
    let supply = bank.credential_supply().expect("the file has a token");
    let used_ms = |end: &str| {
        let body = Bytes::from(format!(r#"{{"access_token":"t1"{end}}}"#));
        let reply = WireReply { status: 200, headers: HeaderMap::new(), body };
        let until = supply.decode_fetch(&reply, sample_now()).map(|fetched| fetched.good_until);
        until.map(|until| until.as_millis() - sample_now().as_millis())
    };
    let rows = [
        (r#","expires_in":3600"#, 3_540_000),
        (r#","expires_in":"90""#, 45_000),
        (r#","expires_in":0"#, 0),
        ("", 540_000),
    ];
    for (end, expected) in rows {
        assert_eq!(used_ms(end), Ok(expected), "{end}");
    }
    assert!(used_ms(r#","expires_in":18446744073709551615"#).is_ok_and(|ms| ms > 0), "no end");
    for wrong in ["-1", "1.5", "\"soon\"", "[]"] {
        assert!(used_ms(&format!(r#","expires_in":{wrong}"#)).is_err(), "{wrong}");
    }
}

#[test]
fn a_token_is_a_secret_and_has_its_section() {
    let path = TOKEN.replace("path = \"/pay\"", "path = \"/pay/{{ access_token }}\"");
    assert!(refused(&path).contains("is a secret, which no URL may have"));
    let (front, rest) = TOKEN.split_once("[http.token]").expect("a section");
    let (_, back) = rest.split_once("[http.payment]").expect("a section");
    assert!(refused(&format!("{front}[http.payment]{back}")).contains("is of [http.token]"));
    let own = TOKEN.replace(
        "body = { grant_type",
        "query = { t = \"{{ access_token }}\" }\nbody = { grant_type",
    );
    assert!(refused(&own).contains("`access_token` is not known"), "{}", refused(&own));
    // Samples are written with a made-up one.
    let wire = sent(&bank(TOKEN), &payment());
    assert_eq!(header(&wire, "authorization"), "Bearer a-token-for-samples");
}
