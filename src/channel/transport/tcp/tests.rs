//! The links on real sockets, against a far end that each test scripts.

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::clock::Clock;
use crate::codec::iso8583::frame::LengthForm;
use crate::domain::attempt::Operation;
use crate::domain::ids::{ChannelOrderNo, MerchantId, OrderId};
use crate::domain::money::{AmountMinor, Currency};

const PATIENCE: Duration = Duration::from_secs(20);

/// Frames are a letter and a number: `q7` asks, `a7` answers, `s0` signs on, `e0` is a line test.
struct Letters {
    signs_on: bool,
    brings_keys: bool,
}

fn framing() -> Framing {
    Framing { form: LengthForm::Binary2, includes_itself: false, frame_bytes_max: 64 }
}

fn framed(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let at = framing().begin(&mut out);
    out.extend_from_slice(text.as_bytes());
    framing().end(&mut out, at).expect("it is short");
    out
}

fn key(trace: u32) -> PairKey {
    PairKey { message_type: 0, trace, place: 0 }
}

fn frame(trace: u32) -> LinkFrame {
    LinkFrame { bytes: framed(&format!("q{trace}")), key: key(trace), mac: None }
}

impl LinkProtocol for Letters {
    fn framing(&self) -> Framing {
        framing()
    }

    fn sort(&self, frame: &[u8]) -> FrameClass {
        let text = std::str::from_utf8(frame).unwrap_or("?");
        match (text.get(..1), text.get(1..).and_then(|number| number.parse().ok())) {
            (Some("a"), Some(trace)) => FrameClass::Reply(key(trace)),
            (Some("r"), Some(number)) => {
                let number: u32 = number;
                FrameClass::Request { answer: framed(&format!("y{number}")) }
            }
            _ if frame.is_empty() => FrameClass::Nothing,
            _ => FrameClass::Unreadable("of no kind that the test knows".to_owned()),
        }
    }

    fn sign_on(&self, _: Timestamp, _: u64) -> Vec<LinkFrame> {
        let one = || LinkFrame { bytes: framed("s0"), key: key(1_000), mac: None };
        self.signs_on.then(one).into_iter().collect()
    }

    fn take_sign_on(&self, frame: &[u8]) -> Result<(), SignOnRefused> {
        assert_eq!(frame, b"a1000");
        Ok(())
    }

    fn echo(&self, _: Timestamp, _: u64) -> Option<LinkFrame> {
        Some(LinkFrame { bytes: framed("e0"), key: key(2_000), mac: None })
    }

    fn brings_keys(&self) -> bool {
        self.brings_keys
    }

    fn key_of(&self, frame: &[u8]) -> Option<(String, Vec<u8>)> {
        Some(("terminal".to_owned(), frame.to_vec()))
    }
}

struct Setting {
    signs_on: bool,
    reply: Duration,
    echo_after: Duration,
    keys: Option<Arc<dyn SharedKeys>>,
}

impl Default for Setting {
    fn default() -> Self {
        Self { signs_on: false, reply: PATIENCE, echo_after: PATIENCE, keys: None }
    }
}

fn transport(address: String, setting: Setting) -> (Arc<TcpTransport>, mpsc::Receiver<LateReply>) {
    transport_over(None, address, setting)
}

fn transport_over(
    tls: Option<LinkTls>,
    address: String,
    setting: Setting,
) -> (Arc<TcpTransport>, mpsc::Receiver<LateReply>) {
    let (late, late_replies) = mpsc::channel(8);
    let terms = LinkTerms {
        addresses: vec![address],
        links: 1,
        in_flight_max: 64,
        echo_after: setting.echo_after,
        reconnect_first: Duration::from_millis(10),
        reconnect_longest: Duration::from_millis(50),
    };
    let timeouts = Timeouts {
        connect: Duration::from_secs(2),
        reply: setting.reply,
        idle: Duration::from_secs(5),
    };
    let channel = ChannelId::parse("links").expect("an id");
    let context = LinkContext { channel, late, clock: Clock::System.into(), keys: Arc::default() };
    let protocol =
        Arc::new(Letters { signs_on: setting.signs_on, brings_keys: setting.keys.is_some() });
    if let Some(keys) = setting.keys {
        assert!(context.keys.set(keys).is_ok(), "there were none");
    }
    (Arc::new(TcpTransport::new(protocol, terms, timeouts, tls, context)), late_replies)
}

fn asked(number: u64) -> Arc<RequestTrace> {
    let order = OrderId::compose(261_122, 1, number);
    let facts = AttemptFacts {
        channel_order_no: ChannelOrderNo { order, attempt: 1 },
        sent_at: Timestamp::from_millis(0),
        announced_at: None,
        operation: Operation::Payment,
        merchant_id: MerchantId::parse("m").expect("an id"),
        amount: AmountMinor::new(100).expect("an amount"),
        currency: Currency::parse("CNY").expect("a currency"),
        description: None,
        channel_reference: None,
        payee_kind: None,
    };
    Arc::new(RequestTrace { kind: TracedRequest::Order { answer: 210 }, facts, echoed: Vec::new() })
}

async fn listener() -> (String, TcpListener) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    (listener.local_addr().expect("bound").to_string(), listener)
}

/// Reads frames until it has `count`, and gives their texts.
async fn read_frames(stream: &mut (impl AsyncRead + Unpin), count: usize) -> Vec<String> {
    let mut buffer = Vec::new();
    let mut found = Vec::new();
    while found.len() < count {
        while let Some(range) = framing().next(&buffer).expect("frames") {
            found.push(String::from_utf8(buffer[range.clone()].to_vec()).expect("letters"));
            buffer.drain(..range.end);
        }
        if found.len() < count {
            assert!(stream.read_buf(&mut buffer).await.expect("readable") > 0);
        }
    }
    found
}

fn send(
    transport: &Arc<TcpTransport>,
    trace: u32,
) -> tokio::task::JoinHandle<Result<Bytes, TransportFailure>> {
    let transport = Arc::clone(transport);
    tokio::spawn(async move { transport.send(frame(trace), asked(u64::from(trace))).await })
}

#[tokio::test]
async fn replies_find_their_requests_in_any_order() {
    let (address, listener) = listener().await;
    let (transport, _late) = transport(address, Setting { signs_on: true, ..Setting::default() });
    let calls: Vec<_> = (1..=50).map(|trace| send(&transport, trace)).collect();
    let (mut far, _) = listener.accept().await.expect("a link");
    assert_eq!(read_frames(&mut far, 1).await, ["s0"]);
    far.write_all(&framed("a1000")).await.expect("writable");
    let mut frames = read_frames(&mut far, 50).await;
    frames.sort();
    frames.dedup();
    assert_eq!(frames.len(), 50);
    // Backwards, with a strange frame, an unmatched one and an empty one between, in halves.
    let mut all: Vec<u8> = [framed("??"), framed("a777"), framed("")].concat();
    (1..=50).rev().for_each(|trace| all.extend(framed(&format!("a{trace}"))));
    let (first, second) = all.split_at(all.len() / 2 + 1);
    far.write_all(first).await.expect("writable");
    far.write_all(second).await.expect("writable");
    for (index, call) in calls.into_iter().enumerate() {
        let reply = call.await.expect("it ran").expect("a reply");
        assert_eq!(reply, format!("a{}", index + 1).as_bytes());
    }
}

/// One node's right to sign on, and how many held it when a key was kept.
#[derive(Default)]
struct Rights {
    right: Arc<()>,
    held_at_keep: std::sync::Mutex<Vec<usize>>,
}

impl SharedKeys for Rights {
    fn signs_on(&self, _: &ChannelId) -> Option<SignOnRight> {
        Some(Box::new(Arc::clone(&self.right)))
    }

    fn keep<'a>(
        &'a self,
        _: &'a ChannelId,
        _: &'a str,
        _: &'a [u8],
    ) -> crate::channel::ChannelFuture<'a, Result<(), String>> {
        let held = Arc::strong_count(&self.right) - 1;
        self.held_at_keep.lock().expect("no panic").push(held);
        Box::pin(async { Ok(()) })
    }

    fn in_force<'a>(
        &'a self,
        _: &'a ChannelId,
    ) -> crate::channel::ChannelFuture<'a, Result<SignOnKeys, String>> {
        Box::pin(async { Ok(SignOnKeys::new()) })
    }
}

#[tokio::test]
async fn the_right_to_sign_on_is_held_until_the_key_is_kept() {
    let (address, listener) = listener().await;
    let rights = Arc::new(Rights::default());
    let keys: Arc<dyn SharedKeys> = Arc::<Rights>::clone(&rights);
    let setting = Setting { signs_on: true, keys: Some(keys), ..Setting::default() };
    let (transport, _late) = transport(address, setting);
    let call = send(&transport, 1);
    let (mut far, _) = listener.accept().await.expect("a link");
    assert_eq!(read_frames(&mut far, 1).await, ["s0"]);
    assert_eq!(Arc::strong_count(&rights.right), 2, "it is held while the answer is under way");
    far.write_all(&framed("a1000")).await.expect("writable");
    assert_eq!(read_frames(&mut far, 1).await, ["q1"]);
    assert_eq!(*rights.held_at_keep.lock().expect("no panic"), [1]);
    assert_eq!(Arc::strong_count(&rights.right), 1, "it is given back");
    far.write_all(&framed("a1")).await.expect("writable");
    assert_eq!(call.await.expect("it ran").expect("a reply"), "a1");
}

#[tokio::test]
async fn i_2_a_refused_connection_is_not_sent() {
    let (address, listener) = listener().await;
    drop(listener);
    let (transport, _late) = transport(address, Setting::default());
    let failure = transport.send(frame(1), asked(1)).await.err();
    assert_eq!(failure, Some(TransportFailure::NotSent));
}

#[tokio::test]
async fn i_2_a_link_without_its_sign_on_sends_nothing() {
    let (address, listener) = listener().await;
    let (transport, _late) = transport(address, Setting { signs_on: true, ..Setting::default() });
    let call = send(&transport, 1);
    let (mut far, _) = listener.accept().await.expect("a link");
    assert_eq!(read_frames(&mut far, 1).await, ["s0"]);
    assert_eq!(call.await.expect("it ran").err(), Some(TransportFailure::NotSent));
    drop(far);
}

#[tokio::test]
async fn i_2_a_broken_link_makes_each_request_on_it_unknown_and_comes_back() {
    let (address, listener) = listener().await;
    let (transport, _late) = transport(address, Setting::default());
    let calls: Vec<_> = (1..=10).map(|trace| send(&transport, trace)).collect();
    let (mut far, _) = listener.accept().await.expect("a link");
    read_frames(&mut far, 10).await;
    drop(far);
    for call in calls {
        let failure = call.await.expect("it ran").err();
        assert_eq!(failure, Some(TransportFailure::ConnectionLost));
    }
    let call = send(&transport, 11);
    let (mut far, _) = listener.accept().await.expect("a new link");
    assert_eq!(read_frames(&mut far, 1).await, ["q11"]);
    far.write_all(&framed("a11")).await.expect("writable");
    assert!(call.await.expect("it ran").is_ok());
}

#[tokio::test]
async fn a_late_reply_is_handed_on_with_what_was_asked() {
    let (address, listener) = listener().await;
    let reply = Duration::from_millis(100);
    let (transport, mut late) = transport(address, Setting { reply, ..Setting::default() });
    let call = send(&transport, 1);
    let (mut far, _) = listener.accept().await.expect("a link");
    read_frames(&mut far, 1).await;
    assert_eq!(call.await.expect("it ran").err(), Some(TransportFailure::TimedOut));
    far.write_all(&framed("a1")).await.expect("writable");
    let found = late.recv().await.expect("a late reply");
    assert_eq!((&*found.frame, &found.asked), (b"a1".as_slice(), &asked(1)));
    // Twice is once too often.
    far.write_all(&[framed("a1"), framed("r5")].concat()).await.expect("writable");
    assert_eq!(read_frames(&mut far, 1).await, ["y5"]);
    assert!(late.try_recv().is_err());
}

/// A repeated reversal has the name of the first. The first answer is taken for the one that
/// waits; what else comes under the name is late, and may be as old as the first request.
#[tokio::test]
async fn each_request_of_one_name_is_owed_an_answer() {
    let (address, listener) = listener().await;
    let reply = Duration::from_millis(200);
    let (transport, mut late) = transport(address, Setting { reply, ..Setting::default() });
    let first = Clock::System.now();
    let given_up = send(&transport, 1);
    let (mut far, _) = listener.accept().await.expect("a link");
    read_frames(&mut far, 1).await;
    assert_eq!(given_up.await.expect("it ran").err(), Some(TransportFailure::TimedOut));
    let again = send(&transport, 1);
    let second = Clock::System.now();
    read_frames(&mut far, 1).await;
    far.write_all(&[framed("a1"), framed("a1"), framed("a1"), framed("r5")].concat())
        .await
        .expect("writable");
    assert!(again.await.expect("it ran").is_ok());
    let found = late.recv().await.expect("a late reply");
    assert_eq!((&*found.frame, &found.asked), (b"a1".as_slice(), &asked(1)));
    assert!(first <= found.asked_at.plus(Duration::from_millis(50)), "{:?}", found.asked_at);
    assert!(found.asked_at < second, "it may answer the first");
    // Three answers to two requests: one is nobody's.
    assert_eq!(read_frames(&mut far, 1).await, ["y5"]);
    assert!(late.try_recv().is_err());
}

#[tokio::test]
async fn a_quiet_line_is_tested_and_a_dead_one_is_left() {
    let (address, listener) = listener().await;
    let echo_after = Duration::from_millis(50);
    let (transport, _late) = transport(address, Setting { echo_after, ..Setting::default() });
    let call = send(&transport, 1);
    let (mut far, _) = listener.accept().await.expect("a link");
    // Nothing is answered, the line test neither: the link ends and the request is unknown.
    assert_eq!(read_frames(&mut far, 2).await, ["q1", "e0"]);
    assert_eq!(call.await.expect("it ran").err(), Some(TransportFailure::ConnectionLost));
    let (mut far, _) = listener.accept().await.expect("a new link");
    assert_eq!(read_frames(&mut far, 1).await, ["e0"]);
    far.write_all(&framed("a2000")).await.expect("writable");
    assert_eq!(read_frames(&mut far, 1).await, ["e0"]);
}

#[tokio::test]
async fn a_frame_longer_than_may_be_ends_the_link() {
    let (address, listener) = listener().await;
    let (transport, _late) = transport(address, Setting::default());
    let call = send(&transport, 1);
    let (mut far, _) = listener.accept().await.expect("a link");
    read_frames(&mut far, 1).await;
    far.write_all(&[1, 0, 0]).await.expect("writable");
    assert_eq!(call.await.expect("it ran").err(), Some(TransportFailure::ConnectionLost));
}

#[tokio::test]
async fn i_2_two_with_one_key_are_not_both_sent() {
    let (address, listener) = listener().await;
    let (transport, _late) = transport(address, Setting::default());
    let first = send(&transport, 1);
    let (mut far, _) = listener.accept().await.expect("a link");
    read_frames(&mut far, 1).await;
    let second = send(&transport, 1);
    assert_eq!(second.await.expect("it ran").err(), Some(TransportFailure::NotSent));
    far.write_all(&framed("a1")).await.expect("writable");
    assert!(first.await.expect("it ran").is_ok());
}

/// An authority of this test, and the far end of TLS with a certificate of it for `links.test` and
/// `localhost`.
pub(in crate::channel::transport) fn authority() -> (String, TlsAcceptor) {
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root = params.self_signed(&key).expect("an authority");
    let issuer = Issuer::from_params(&params, &key);
    let own_key = KeyPair::generate().expect("a key");
    let own =
        CertificateParams::new(["links.test", "localhost"].map(str::to_owned)).expect("a name");
    let own = own.signed_by(&own_key, &issuer).expect("a certificate");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the usual versions")
        .with_no_client_auth()
        .with_single_cert(
            vec![own.der().clone()],
            PrivateKeyDer::try_from(own_key.serialize_der()).expect("a key"),
        )
        .expect("a certificate with its key");
    (root.pem(), TlsAcceptor::from(Arc::new(config)))
}

fn trusting(root_pem: &str, name: &'static str) -> Option<LinkTls> {
    let config =
        crate::channel::transport::tls::client_config(&[root_pem.to_owned()]).expect("a root");
    Some((Arc::new(config), name.try_into().expect("a name")))
}

#[tokio::test]
async fn a_link_is_kept_over_tls() {
    let (root, acceptor) = authority();
    let (address, listener) = listener().await;
    let tls = trusting(&root, "links.test");
    let setting = Setting { signs_on: true, ..Setting::default() };
    let (transport, _late) = transport_over(tls, address, setting);
    let calls: Vec<_> = (1..=20).map(|trace| send(&transport, trace)).collect();
    let (far, _) = listener.accept().await.expect("a link");
    let mut far = acceptor.accept(far).await.expect("a handshake");
    assert_eq!(read_frames(&mut far, 1).await, ["s0"]);
    far.write_all(&framed("a1000")).await.expect("writable");
    assert_eq!(read_frames(&mut far, 20).await.len(), 20);
    let answers: Vec<u8> = (1..=20).rev().flat_map(|n| framed(&format!("a{n}"))).collect();
    far.write_all(&answers).await.expect("writable");
    far.flush().await.expect("writable");
    for call in calls {
        assert!(call.await.expect("it ran").is_ok());
    }
    // One that breaks in the middle is as unknown as a plain one.
    let call = send(&transport, 21);
    assert_eq!(read_frames(&mut far, 1).await, ["q21"]);
    drop(far);
    assert_eq!(call.await.expect("it ran").err(), Some(TransportFailure::ConnectionLost));
}

#[tokio::test]
async fn i_2_nothing_is_sent_to_who_has_not_proved_its_name() {
    let (root, _) = authority();
    let (own_root, acceptor) = authority();
    for (root, name) in [(&root, "links.test"), (&own_root, "other.test")] {
        let (address, listener) = listener().await;
        let (transport, _late) = transport_over(trusting(root, name), address, Setting::default());
        let call = send(&transport, 1);
        let (far, _) = listener.accept().await.expect("a link");
        assert!(acceptor.accept(far).await.is_err(), "{name} is refused by our side");
        assert_eq!(call.await.expect("it ran").err(), Some(TransportFailure::NotSent));
    }
}
