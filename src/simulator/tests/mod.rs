//! The simulator over real sockets: merchants made from the byte formats, and the tests.

mod acp;
mod acp_notices;
mod acp_operations;
mod banks;
mod canyon;
mod faults;
mod harbour;
mod statements;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::*;
use crate::codec::FieldLimits;
use crate::codec::acp as acp_codec;
use crate::codec::certificate::Certificate;
use crate::codec::chain::TrustedAuthorities;
use crate::codec::form::Fields;
use crate::codec::sign::{HmacKey, RsaSigner, hex_lower};
use crate::domain::time::Timestamp;

/// 2026-11-22 12:00 in Beijing.
const NOON: i64 = 20_779 * 86_400_000 + 4 * 3_600_000;
/// UnionPay's published test card.
const CARD: &str = "6216261000000000018";

/// A clock that stands still until it is moved.
#[derive(Clone)]
struct TestClock(Arc<AtomicI64>);

impl TestClock {
    fn noon() -> Self {
        Self(Arc::new(AtomicI64::new(NOON)))
    }

    fn clock(&self) -> ChannelClock {
        let millis = Arc::clone(&self.0);
        Arc::new(move || Timestamp::from_millis(millis.load(Ordering::SeqCst)))
    }

    fn forward(&self, millis: i64) {
        self.0.fetch_add(millis, Ordering::SeqCst);
    }
}

fn client() -> reqwest::Client {
    notices::client(Duration::from_secs(20)).expect("a client")
}

/// Waits until the condition holds, and fails if it does not within a generous bound.
async fn until(what: &str, condition: impl Fn() -> bool) {
    let wait = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(30), wait).await.is_ok(), "never: {what}");
}

fn order_no(index: u32) -> String {
    format!("2611220010000{index:06}01")
}

/// A merchant of harbour bank.
struct HarbourMerchant {
    client: reqwest::Client,
    base_url: String,
    key: HmacKey,
}

/// A reply whose signature was checked.
#[derive(Debug)]
struct VerifiedReply {
    json: serde_json::Value,
    signed: bool,
}

impl VerifiedReply {
    fn text(&self, key: &str) -> &str {
        self.json[key].as_str().unwrap_or_default()
    }
}

impl HarbourMerchant {
    fn of(simulator: &Simulator) -> Self {
        let key = HmacKey::new(simulator.harbour_key().expect("harbour bank").as_bytes());
        Self { client: client(), base_url: simulator.base_url(), key }
    }

    async fn send(
        &self,
        path: &str,
        body: &serde_json::Value,
    ) -> reqwest::Result<reqwest::Response> {
        let (body, timestamp) = (body.to_string(), "1763784000");
        let tag = self.key.tag(&[timestamp.as_bytes(), b"\n", body.as_bytes()]);
        self.client
            .post(format!("{}{path}", self.base_url))
            .header("X-Timestamp", timestamp)
            .header("X-Signature", hex_lower(&tag))
            .body(body)
            .send()
            .await
    }

    async fn prove(&self, response: reqwest::Response) -> Option<VerifiedReply> {
        let header = |name: &str| {
            response.headers().get(name).map(|value| value.as_bytes().to_vec()).unwrap_or_default()
        };
        let (timestamp, signature) = (header("x-timestamp"), header("x-signature"));
        let body = response.bytes().await.ok()?;
        let tag = hex_lower(&self.key.tag(&[&timestamp, b"\n", &body]));
        let json = serde_json::from_slice(&body).ok()?;
        Some(VerifiedReply { json, signed: tag.as_bytes() == signature })
    }

    async fn ask(&self, path: &str, body: &serde_json::Value) -> VerifiedReply {
        let response = self.send(path, body).await.expect("a response");
        let proved = self.prove(response).await.expect("a message");
        assert!(proved.signed, "the signature of {:?}", proved.json);
        proved
    }

    fn charge_body(order_no: &str) -> serde_json::Value {
        serde_json::json!({
            "merchantId": MERCHANT_ID, "orderNo": order_no, "sentAt": "20261122120000",
            "amount": 1_000, "currency": "CNY",
            "card": {"number": CARD, "expiry": "3011", "cvv": "123"},
        })
    }

    fn order_body(order_no: &str) -> serde_json::Value {
        serde_json::json!({ "merchantId": MERCHANT_ID, "orderNo": order_no })
    }

    async fn charge(&self, order_no: &str) -> VerifiedReply {
        self.ask("/v1/charges", &Self::charge_body(order_no)).await
    }

    async fn query(&self, order_no: &str) -> VerifiedReply {
        self.ask("/v1/charges/query", &Self::order_body(order_no)).await
    }

    async fn reverse(&self, order_no: &str) -> VerifiedReply {
        self.ask("/v1/charges/reverse", &Self::order_body(order_no)).await
    }

    async fn undo(&self, order_no: &str, original: &VerifiedReply, amount: i64) -> VerifiedReply {
        let body = serde_json::json!({
            "merchantId": MERCHANT_ID, "orderNo": order_no, "amount": amount,
            "originalOrderNo": original.text("orderNo"),
            "originalTradeNo": original.text("tradeNo"),
        });
        self.ask("/v1/charges/undo", &body).await
    }
}

/// Receives notices, answering each post with the next scripted status, then 200.
struct Inbox {
    url: String,
    posts: Arc<Mutex<Vec<(HeaderMap, Bytes)>>>,
}

type InboxState = (Arc<Mutex<Vec<(HeaderMap, Bytes)>>>, Arc<Mutex<VecDeque<u16>>>);

impl Inbox {
    async fn open(statuses: &[u16]) -> Self {
        let posts = Arc::new(Mutex::new(Vec::new()));
        let script = Arc::new(Mutex::new(statuses.iter().copied().collect::<VecDeque<_>>()));
        let app = Router::new()
            .route("/notices/unionpay", post(take_notice))
            .with_state((Arc::clone(&posts), script));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { url: format!("http://{address}/notices/unionpay"), posts }
    }

    fn count(&self) -> usize {
        self.posts.lock().expect("no panic").len()
    }

    fn notices(&self) -> Vec<Fields> {
        let read = |body: Bytes| Fields::decode_form(&body, FieldLimits::MESSAGE).expect("a form");
        self.letters().into_iter().map(|(_, body)| read(body)).collect()
    }

    fn letters(&self) -> Vec<(HeaderMap, Bytes)> {
        self.posts.lock().expect("no panic").clone()
    }
}

async fn take_notice(
    State((posts, script)): State<InboxState>,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    posts.lock().expect("no panic").push((headers, body));
    let status = script.lock().expect("no panic").pop_front().unwrap_or(200);
    StatusCode::from_u16(status).expect("a status")
}

/// A merchant of UnionPay.
struct AcpMerchant {
    client: reqwest::Client,
    base_url: String,
    keys: Arc<SimulatorKeys>,
    signer: RsaSigner,
    serial: String,
    encryption: Certificate,
    back_url: String,
}

const BACK: &str = "/gateway/api/backTransReq.do";
const QUERY: &str = "/gateway/api/queryTrans.do";

impl AcpMerchant {
    fn of(simulator: &Simulator, back_url: &str) -> Self {
        let keys = Arc::clone(simulator.unionpay_keys().expect("UnionPay"));
        let own = Certificate::from_pem(&keys.merchant_certificate_pem).expect("a certificate");
        Self {
            client: client(),
            base_url: simulator.base_url(),
            signer: RsaSigner::from_pem(&keys.merchant_key_pem).expect("a key"),
            serial: own.serial_decimal().to_owned(),
            encryption: Certificate::from_pem(&keys.encryption_certificate_pem).expect("one"),
            keys,
            back_url: back_url.to_owned(),
        }
    }

    fn seal(&self, text: &str) -> String {
        let encryptor = self.encryption.encryptor().expect("an RSA key");
        STANDARD.encode(encryptor.encrypt(text.as_bytes()).expect("short"))
    }

    fn fields(kind: (&str, &str), order_no: &str) -> Fields {
        let product = match kind.0 {
            "99" | "76" => "000000",
            "72" => "000501",
            _ => "000301",
        };
        [
            ("version", "5.1.0"),
            ("encoding", "UTF-8"),
            ("txnType", kind.0),
            ("txnSubType", kind.1),
            ("bizType", product),
            ("channelType", "07"),
            ("accessType", "0"),
            ("merId", MERCHANT_ID),
            ("orderId", order_no),
            ("txnTime", "20261122120000"),
        ]
        .into_iter()
        .collect()
    }

    fn consume_fields(&self, order_no: &str) -> Fields {
        let mut fields = Self::fields(("01", "01"), order_no);
        fields.set("currencyCode", "156");
        fields.set("txnAmt", "1000");
        fields.set("accType", "01");
        fields.set("accNo", &self.seal(CARD));
        fields.set("encryptCertId", self.encryption.serial_decimal());
        let secret = self.seal("phoneNo=13552535506&cvn2=123&expired=3011");
        let customer =
            format!("{{certifTp=01&certifId=341126197709218366&encryptedInfo={secret}}}");
        fields.set("customerInfo", &STANDARD.encode(customer));
        fields.set("backUrl", &self.back_url);
        fields.set("reqReserved", "备注 test");
        fields
    }

    async fn send(&self, path: &str, mut fields: Fields) -> reqwest::Result<reqwest::Response> {
        acp_codec::sign_rsa(&mut fields, &self.serial, &self.signer);
        let url = format!("{}{path}", self.base_url);
        self.client.post(url).body(fields.encode_form()).send().await
    }

    /// Accepts fields only under the root, from the right owner, with a fitting signature.
    fn proves(&self, fields: &Fields) -> bool {
        let Some(pem) = fields.get("signPubKeyCert") else { return false };
        let Ok(end) = Certificate::from_pem(pem) else { return false };
        let (root, middle) = (&self.keys.root_pem, &self.keys.intermediate_pem);
        let trusted = TrustedAuthorities::from_pem(root, Some(middle)).expect("authorities");
        trusted.verify(&end, NOON / 1_000).is_ok()
            && acp_codec::owner_is_accepted(end.common_name().unwrap_or_default(), &[])
            && acp_codec::verify_rsa(fields, &end.verifier().expect("an RSA key")).is_ok()
    }

    async fn ask(&self, path: &str, fields: Fields) -> Fields {
        let response = self.send(path, fields).await.expect("a response");
        let body = response.bytes().await.expect("a body");
        let fields = Fields::decode_line(&body, FieldLimits::MESSAGE).expect("a message");
        assert!(self.proves(&fields), "respCode {:?}", fields.get("respCode"));
        fields
    }

    async fn consume(&self, order_no: &str) -> Fields {
        self.ask(BACK, self.consume_fields(order_no)).await
    }

    async fn query(&self, order_no: &str) -> Fields {
        self.ask(QUERY, Self::fields(("00", "00"), order_no)).await
    }

    async fn reverse(&self, order_no: &str) -> Fields {
        self.ask(BACK, Self::fields(("99", "01"), order_no)).await
    }

    async fn undo(&self, order_no: &str, query_id: &str, amount: &str) -> Fields {
        let mut fields = Self::fields(("31", "00"), order_no);
        fields.set("origQryId", query_id);
        fields.set("txnAmt", amount);
        fields.set("currencyCode", "156");
        fields.set("backUrl", &self.back_url);
        self.ask(BACK, fields).await
    }
}

fn code(fields: &Fields) -> &str {
    fields.get("respCode").unwrap_or_default()
}
