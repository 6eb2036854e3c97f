//! Answers that come late, or when their link is back: each ends what it is about, and an order is
//! reversed where none comes.

use super::*;

use axum::Router;
use axum::http::StatusCode;
use support::Scratch;
use support::core::Core;
use support::installation::{CALLER_KEY, metrics};
use support::wire::listen;
use switchyard::app::App;
use switchyard::codec::iso8583::frame::{Framing, LengthForm};
use switchyard::codec::iso8583::{Draft, Format, ShippedFormat, decode, encode};
use switchyard::codec::sign::sha256_hex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A daemon with one channel of links, and its core.
struct Gateway {
    /// Removed with everything in it at the end.
    _scratch: Scratch,
    app: App,
    core: Core,
}

impl Gateway {
    /// `reverse` are the waits before reversals, `reply` the time for an answer.
    async fn open(address: &str, reply: &str, reverse: &str, mac: &str) -> Self {
        Self::open_wide(address, reply, reverse, mac, 16).await
    }

    /// The same, with so many reversals on their way at once.
    async fn open_wide(
        address: &str,
        reply: &str,
        reverse: &str,
        mac: &str,
        reversals_in_flight: u32,
    ) -> Self {
        let scratch = Scratch::new();
        let folder = scratch.path().join("channels");
        std::fs::create_dir_all(&folder).expect("a folder");
        let channel = format!(
            r#"protocol = "iso8583"
state = "live"
[abilities]
operations = ["payment", "refund", "reversal"]
currencies = ["CNY"]
[limits]
per_order_max_minor = 5000000
[timeouts]
connect = "500ms"
reply = "{reply}"
[breaker]
failures = 1000000
[unknown]
inquire = []
then = "reverse"
reverse = {reverse}
reverse_until = "always"
not_found_final_after = "10m"
keeps_pan = true
[clearing]
time_zone = "Asia/Shanghai"
cut_off = "23:00"
[iso8583]
style = "posp"
addresses = ["{address}"]
reconnect_first = "5ms"
reconnect_longest = "20ms"
terminals = ["12345678"]
merchant_id = "898110148160001"
[iso8583.mac]
{mac}
"#
        );
        std::fs::write(folder.join("links.toml"), channel).expect("a file");
        let routes = "[[rule]]\nname = \"all\"\nstrategy = \"priority\"\nchannels = [\"links\"]\n";
        std::fs::write(scratch.path().join("routes.toml"), routes).expect("a file");
        let hash = sha256_hex(CALLER_KEY.as_bytes());
        let books = listen(Router::new().fallback(|| async { StatusCode::CREATED })).await;
        let text = format!(
            "[server]\nlisten = \"127.0.0.1:0\"\n\
             [accounting]\nurl = \"http://{books}/\"\n[workers]\nlook_every = \"50ms\"\n\
             reversals_in_flight = {reversals_in_flight}\n[[callers]]\nname = \"core\"\n\
             roles = [\"core\", \"operator\"]\nkey_sha256 = \"{hash}\"\n"
        );
        let file = Some(("switchyard.toml", text.as_str()));
        let settings = switchyard::config::settings(file, Vec::new(), scratch.path());
        let settings = settings.expect("settings without mistakes");
        let app = App::start(settings, &scratch.path().join("data"), metrics()).await;
        let app = app.expect("a daemon");
        let core = Core::new(app.address(), CALLER_KEY);
        Self { _scratch: scratch, app, core }
    }

    /// The order once it has this status.
    async fn ended(&self, id: &str, status: &str) -> serde_json::Value {
        let ended = async || {
            let order = self.core.payment(id).await.body;
            (order["status"] == status).then_some(order)
        };
        until(&format!("{id} has {status}"), ended).await
    }
}

/// Nothing inquires and no reversal is due for long: the late answer alone ends the unknown.
#[tokio::test(flavor = "multi_thread")]
async fn i_3_an_answer_after_the_time_out_ends_the_unknown() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound").to_string();
    let gateway = Gateway::open(&address, "200ms", "[\"1h\"]", "none = true").await;
    let core = gateway.core.clone();
    let paying = tokio::spawn(async move { core.pay(&Payment::instant("late-1", 1_234)).await });
    let mut far = FarEnd::accept(&listener).await;
    let (kind, trace, _) = far.read(1).await.remove(0);
    let unknown = async || {
        let entries = gateway.core.all("/v1/reversals", "reversals").await;
        (!entries.is_empty()).then_some(())
    };
    until("the payment is unknown", unknown).await;
    far.approve(kind + 10, &trace).await;
    let id = paying.await.expect("it ran").id().to_owned();
    let order = gateway.ended(&id, "succeeded").await;
    let attempt = &order["attempts"][0];
    assert_eq!((&attempt["state"], &attempt["ended_by"]), (&"approved".into(), &"notice".into()));
    let entry = gateway.core.get(&format!("/v1/reversals/{id}")).await;
    assert_eq!(entry.status, 404, "I-6: {}", entry.body);
    gateway.app.stop().await;
}

/// The reversal goes unanswered until its call has ended, and no other is due for long: its late
/// yes alone ends the order, while the book is open or in an operator's hands.
#[tokio::test(flavor = "multi_thread")]
async fn i_3_an_answer_to_a_reversal_after_the_time_out_ends_the_order() {
    for (waits, phase) in [("[\"0s\", \"1h\"]", "reversing"), ("[\"0s\"]", "operator")] {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound").to_string();
        let gateway = Gateway::open(&address, "200ms", waits, "none = true").await;
        let core = gateway.core.clone();
        let paying = tokio::spawn(async move { core.pay(&Payment::instant("back-1", 99)).await });
        let mut far = FarEnd::accept(&listener).await;
        far.read(1).await;
        let (kind, trace, _) = far.read(1).await.remove(0);
        assert_eq!(kind, 400);
        let id = paying.await.expect("it ran").id().to_owned();
        let entry = async || gateway.core.get(&format!("/v1/reversals/{id}")).await;
        let given_up = async || {
            let words = entry().await.body;
            let ended = words.to_string().contains("reversal: unknown");
            (ended && words["phase"] == phase).then_some(())
        };
        until("the reversal's call has ended", given_up).await;
        far.approve(kind + 10, &trace).await;
        let order = gateway.ended(&id, "reversed").await;
        let attempt = &order["attempts"][0];
        let ended = (&attempt["state"], &attempt["ended_by"]);
        assert_eq!(ended, (&"reversed".into(), &"reversal".into()));
        assert_eq!(entry().await.status, 404, "I-6");
        gateway.app.stop().await;
    }
}

/// Refused late, no more reversals are sent, and the late yes to the payment is believed.
#[tokio::test(flavor = "multi_thread")]
async fn i_3_a_late_refusal_of_a_reversal_is_one() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound").to_string();
    let codes = "none = true\n[iso8583.reversal_codes]\n94 = \"declined original_not_eligible\"";
    let gateway = Gateway::open(&address, "200ms", "[\"0s\", \"1h\"]", codes).await;
    let core = gateway.core.clone();
    let paying = tokio::spawn(async move { core.pay(&Payment::instant("kept-1", 99)).await });
    let mut far = FarEnd::accept(&listener).await;
    let (paid, number, _) = far.read(1).await.remove(0);
    let (kind, trace, _) = far.read(1).await.remove(0);
    let id = paying.await.expect("it ran").id().to_owned();
    let history = async |words: &str| {
        let entry = gateway.core.get(&format!("/v1/reversals/{id}")).await.body;
        entry.to_string().contains(words).then_some(entry)
    };
    until("its call has ended", async || history("reversal: unknown").await).await;
    // A success that the reversal may still undo is held.
    far.approve(paid + 10, &number).await;
    until("it is held", async || history("held: a reversal may still undo it").await).await;
    far.answer(kind + 10, &trace, "94").await;
    let entry = until("it is refused", async || history("late reversal: declined").await).await;
    assert_eq!(entry["phase"], "operator", "{entry}");
    gateway.app.stop().await;
}

/// A refund's answer comes when its call has ended: it ends the refund.
#[tokio::test(flavor = "multi_thread")]
async fn i_3_a_late_answer_to_a_refund_ends_it() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound").to_string();
    let gateway = Gateway::open(&address, "2s", "[\"1h\"]", "none = true").await;
    let core = gateway.core.clone();
    let paying = tokio::spawn(async move { core.pay(&Payment::instant("sold-1", 99)).await });
    let mut far = FarEnd::accept(&listener).await;
    let (kind, trace, _) = far.read(1).await.remove(0);
    far.approve(kind + 10, &trace).await;
    let id = paying.await.expect("it ran").id().to_owned();
    gateway.ended(&id, "succeeded").await;
    let core = gateway.core.clone();
    let refunding = tokio::spawn(async move { core.refund(&id, "back-1", 99).await });
    let (kind, trace, _) = far.read(1).await.remove(0);
    assert_eq!(kind, 220);
    let unknown = async || {
        let entries = gateway.core.all("/v1/reversals", "reversals").await;
        (!entries.is_empty()).then_some(())
    };
    until("the refund is unknown", unknown).await;
    far.approve(kind + 10, &trace).await;
    let refund = refunding.await.expect("it ran");
    let order = gateway.ended(refund.id(), "succeeded").await;
    assert_eq!(order["attempts"][0]["ended_by"], "notice", "{order}");
    gateway.app.stop().await;
}

/// The far end of a link that a test scripts: messages without a MAC.
struct FarEnd {
    stream: TcpStream,
    buffer: Vec<u8>,
    framing: Framing,
    format: Format,
}

impl FarEnd {
    async fn accept(listener: &TcpListener) -> Self {
        let (stream, _) = listener.accept().await.expect("a link");
        let framing =
            Framing { form: LengthForm::Binary2, includes_itself: false, frame_bytes_max: 4_096 };
        Self { stream, buffer: Vec::new(), framing, format: Format::shipped(ShippedFormat::Posp) }
    }

    /// Type, trace number and amount of each of the next messages.
    async fn read(&mut self, count: usize) -> Vec<(u16, String, String)> {
        let mut found = Vec::new();
        while found.len() < count {
            while let Some(range) = self.framing.next(&self.buffer).expect("frames") {
                let message = decode(&self.format, &self.buffer[..range.end], range.start + 11);
                let message = message.expect("a message behind its header");
                let text = |field| message.value(field).expect("it is there").text();
                found.push((message.message_type(), text(11), text(4)));
                self.buffer.drain(..range.end);
            }
            if found.len() < count {
                let read = self.stream.read_buf(&mut self.buffer).await.expect("readable");
                assert!(read > 0, "the link ended after {found:?}");
            }
        }
        found
    }

    /// Says yes, in a message of this type.
    async fn approve(&mut self, kind: u16, trace: &str) {
        self.answer(kind, trace, "00").await;
    }

    /// Says what the code says.
    async fn answer(&mut self, kind: u16, trace: &str, code: &str) {
        let mut draft = Draft::new(kind);
        draft.put(11, trace.as_bytes()).put(39, code.as_bytes()).put(41, b"12345678");
        let mut out = Vec::new();
        let at = self.framing.begin(&mut out);
        out.extend_from_slice(&[0x60, 0, 0, 0, 3, 0x60, 0x22, 0, 0, 0, 0]);
        encode(&self.format, &draft, &mut out).expect("it fits");
        self.framing.end(&mut out, at).expect("it is short");
        self.stream.write_all(&out).await.expect("writable");
    }
}

/// Every payment that was on its way on a broken link is unknown; when the link is back, whenever
/// that is, the reversal of each goes out under its own trace number, none waiting for another.
#[tokio::test(flavor = "multi_thread")]
async fn i_3_what_a_broken_link_took_with_it_is_reversed_when_it_is_back() {
    const ORDERS: i64 = 12;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    let gateway = Gateway::open(&address.to_string(), "20s", "[\"0s\"]", "none = true").await;
    let payments = (1..=ORDERS).map(|minor| {
        let core = gateway.core.clone();
        async move { core.pay(&Payment::instant(&format!("broken-{minor}"), minor)).await }
    });
    let paying = tokio::spawn(futures_util::future::join_all(payments));
    let mut far = FarEnd::accept(&listener).await;
    let mut asked = far.read(ORDERS as usize).await;
    drop((far, listener));
    let answers = paying.await.expect("they ran");
    for answer in &answers {
        assert_eq!(answer.outcome(), (202, "unknown"), "{}", answer.body);
    }
    // Away for longer than it takes to try each: what cannot leave is not counted as tried.
    for answer in &answers {
        let tried = async || {
            let entry = gateway.core.get(&format!("/v1/reversals/{}", answer.id())).await;
            let words = entry.body.to_string();
            words.contains("reversal: not_sent").then_some(entry)
        };
        let entry = until("a reversal that could not leave", tried).await;
        assert_eq!(entry.body["phase"], "reversing", "{}", entry.body);
    }
    let listener = TcpListener::bind(address).await.expect("the same port");
    let mut far = FarEnd::accept(&listener).await;
    // All of them before one is answered.
    let mut reversed = far.read(ORDERS as usize).await;
    for (_, trace, _) in &reversed {
        far.approve(410, trace).await;
    }
    for answer in &answers {
        gateway.ended(answer.id(), "reversed").await;
    }
    asked.sort();
    reversed.sort();
    assert!(asked.iter().all(|(kind, ..)| *kind == 200));
    assert!(reversed.iter().all(|(kind, ..)| *kind == 400));
    let names = |all: Vec<(u16, String, String)>| {
        all.into_iter().map(|(_, trace, amount)| (trace, amount)).collect::<Vec<_>>()
    };
    assert_eq!(names(asked), names(reversed));
    gateway.app.stop().await;
}

/// With room for one reversal at a time, they leave in the order in which the payments went wrong,
/// not in the order in which they came due.
#[tokio::test(flavor = "multi_thread")]
async fn the_oldest_unknown_is_reversed_first() {
    const ORDERS: i64 = 5;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound").to_string();
    let gateway = Gateway::open_wide(&address, "20s", "[\"1h\"]", "none = true", 1).await;
    let mut ids = Vec::new();
    for minor in 1..=ORDERS {
        let core = gateway.core.clone();
        let payment = Payment::instant(&format!("old-{minor}"), minor);
        let paying = tokio::spawn(async move { core.pay(&payment).await });
        // The link breaks under it.
        let mut far = FarEnd::accept(&listener).await;
        far.read(1).await;
        drop(far);
        let answer = paying.await.expect("it ran");
        assert_eq!(answer.outcome(), (202, "unknown"), "{}", answer.body);
        ids.push(answer.id().to_owned());
    }
    // The newest becomes due first. Its reversal holds the only place until it is answered, so the
    // others wait, due one after another, the oldest last.
    let retry = async |id: &String| {
        let reason = serde_json::json!({ "reason": "the channel is back" });
        let retried = gateway.core.post(&format!("/v1/reversals/{id}/retry"), &reason).await;
        assert_eq!(retried.status, 200, "{}", retried.body);
    };
    let (newest, older) = ids.split_last().expect("five of them");
    retry(newest).await;
    let mut far = FarEnd::accept(&listener).await;
    let mut reversed = far.read(1).await;
    for id in older.iter().rev() {
        retry(id).await;
    }
    for _ in 1..ORDERS {
        let (_, trace, _) = reversed.last().expect("one at least");
        far.approve(410, trace).await;
        reversed.append(&mut far.read(1).await);
    }
    let (_, trace, _) = reversed.last().expect("one at least");
    far.approve(410, trace).await;
    let amounts: Vec<i64> =
        reversed.iter().map(|(_, _, amount)| amount.parse().expect("digits")).collect();
    assert_eq!(amounts, [ORDERS, 1, 2, 3, 4]);
    assert!(reversed.iter().all(|(kind, ..)| *kind == 400));
    for id in &ids {
        gateway.ended(id, "reversed").await;
    }
    gateway.app.stop().await;
}
