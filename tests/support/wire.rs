//! The other ends of our wires: a client, the systems that we post to, and a door that stays where
//! it is while the daemon behind it comes and goes.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::any;
use serde_json::Value;
use switchyard::codec::webhook::WebhookKey;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// How long a test waits for what must come. Nothing is concluded from how long it took.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A client for plain HTTP that follows no redirect and uses no proxy.
pub fn http_client() -> reqwest::Client {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider has the default versions")
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .timeout(PATIENCE)
        .build()
        .expect("a client")
}

/// Waits until the look answers something, and fails if it does not within a generous bound.
pub async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let seen = async {
        loop {
            if let Some(seen) = look().await {
                return seen;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    match tokio::time::timeout(PATIENCE, seen).await {
        Ok(seen) => seen,
        Err(_) => panic!("never: {what}"),
    }
}

/// One thing that was posted to an inbox.
#[derive(Debug, Clone)]
pub struct Post {
    headers: HeaderMap,
    bytes: Bytes,
    pub body: Value,
}

impl Post {
    /// What came, byte for byte.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub fn text(&self, field: &str) -> &str {
        self.body[field].as_str().unwrap_or_default()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// Whether it is signed as Standard Webhooks says, under this key among others.
    pub fn is_signed_with(&self, key: &str) -> bool {
        let key = WebhookKey::parse(key).expect("a key");
        let (id, signatures) = (self.header("webhook-id"), self.header("webhook-signature"));
        let at_s = self.header("webhook-timestamp").parse().expect("seconds");
        key.has_signed(signatures, id, at_s, &self.bytes)
    }
}

/// A system that acknowledges what it is posted, and keeps it.
pub struct Inbox {
    pub url: String,
    posts: Arc<Mutex<Vec<Post>>>,
}

impl Inbox {
    pub async fn open() -> Self {
        let posts = Arc::<Mutex<Vec<Post>>>::default();
        let take =
            async |State(posts): State<Arc<Mutex<Vec<Post>>>>, headers: HeaderMap, bytes: Bytes| {
                let body = serde_json::from_slice(&bytes).expect("we post JSON");
                posts.lock().expect("no panic").push(Post { headers, bytes, body });
                StatusCode::OK
            };
        let router = Router::new().fallback(any(take)).with_state(Arc::clone(&posts));
        let url = format!("http://{}", listen(router).await);
        Self { url, posts }
    }

    pub fn posts(&self) -> Vec<Post> {
        self.posts.lock().expect("no panic").clone()
    }

    /// The first post of which this field is this text, once it has come.
    pub async fn post_with(&self, field: &str, text: &str) -> Post {
        let find = async || self.posts().into_iter().find(|post| post.text(field) == text);
        until(&format!("a post whose {field} is {text}"), find).await
    }
}

/// Passes requests on to wherever the daemon listens now; nobody home is a 503.
pub struct Door {
    pub address: SocketAddr,
    leads_to: watch::Sender<Option<SocketAddr>>,
}

impl Door {
    pub async fn open() -> Self {
        let (leads_to, seen) = watch::channel(None);
        let client = http_client();
        let pass = async move |State(seen): State<watch::Receiver<Option<SocketAddr>>>,
                               request: Request| {
            let (parts, body) = request.into_parts();
            let target = *seen.borrow();
            let body = axum::body::to_bytes(body, 1 << 20).await;
            let (Some(target), Ok(body)) = (target, body) else {
                return (StatusCode::SERVICE_UNAVAILABLE, Bytes::new());
            };
            let url = format!("http://{target}{}", parts.uri);
            let sent = client.request(parts.method, url).headers(parts.headers).body(body).send();
            match sent.await {
                Ok(answer) => (answer.status(), answer.bytes().await.unwrap_or_default()),
                Err(_) => (StatusCode::SERVICE_UNAVAILABLE, Bytes::new()),
            }
        };
        let router = Router::new().fallback(any(pass)).with_state(seen);
        Self { address: listen(router).await, leads_to }
    }

    /// Where the notices of a channel come in, whichever daemon is there to take them.
    pub fn notice_url(&self, channel: &str) -> String {
        format!("http://{}/notices/{channel}", self.address)
    }

    pub fn lead_to(&self, address: Option<SocketAddr>) {
        self.leads_to.send_replace(address);
    }
}

/// Serves on a free port of loopback until the process ends.
pub async fn listen(router: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("a bound listener has an address");
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}
