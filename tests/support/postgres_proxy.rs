//! A proxy in front of a PostgreSQL server. It reads as much of the protocol as tells it which
//! message commits and where its answer is, and cuts the connection there, before or behind.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What happens to a commit on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// The server never sees it.
    Before,
    /// The server sees a half of it.
    Inside,
    /// The server has all of it, and nobody to answer.
    After,
    /// The server has answered, and the answer is lost.
    AnswerLost,
    /// The client is cut off first, and the server gets it so much later.
    Late(Duration),
    /// The answer waits until [`Proxy::let_answers_go`].
    AnswerHeld,
}

/// The cut of each commit, by its number from 1.
type Choice = Box<dyn FnMut(u64) -> Option<Cut> + Send>;

struct Shared {
    choose: Mutex<Choice>,
    commits: AtomicU64,
    /// How many have reached the server late.
    late: AtomicU64,
    /// Nothing passes while it is set.
    paused: watch::Sender<bool>,
    /// Answers of commits that are held do not pass while it is set.
    holds: watch::Sender<bool>,
    /// Connections of an earlier number are cut.
    generation: watch::Sender<u64>,
    /// New connections are closed at once while it is set.
    refuses: watch::Sender<bool>,
    server: Mutex<SocketAddr>,
}

/// A proxy that listens until the test's runtime ends.
pub struct Proxy {
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

impl Proxy {
    /// Passes everything on to a server at this port of loopback.
    pub async fn start(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound listener has an address");
        let shared = Arc::new(Shared {
            choose: Mutex::new(Box::new(|_| None)),
            commits: AtomicU64::new(0),
            late: AtomicU64::new(0),
            paused: watch::Sender::new(false),
            holds: watch::Sender::new(true),
            generation: watch::Sender::new(0),
            refuses: watch::Sender::new(false),
            server: Mutex::new(SocketAddr::from(([127, 0, 0, 1], port))),
        });
        let inner = Arc::clone(&shared);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                if !*inner.refuses.borrow() {
                    tokio::spawn(pass(client, Arc::clone(&inner)));
                }
            }
        });
        Self { address, shared }
    }

    /// The address of a server's database by way of the proxy.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://{}@{}/{database}", super::postgres::OWNER, self.address)
    }

    /// From now on each commit meets what this chooses.
    pub fn choose(&self, choose: impl FnMut(u64) -> Option<Cut> + Send + 'static) {
        *self.shared.choose.lock().expect("no panic") = Box::new(choose);
    }

    /// The next commit meets this, and no other.
    pub fn cut_next(&self, cut: Cut) {
        let mut next = Some(cut);
        self.choose(move |_| next.take());
    }

    /// How many have come so far.
    pub fn commits(&self) -> u64 {
        self.shared.commits.load(Ordering::Relaxed)
    }

    /// How many have reached the server when their client had gone, or found it gone, too.
    pub fn late(&self) -> u64 {
        self.shared.late.load(Ordering::Relaxed)
    }

    /// Held answers pass.
    pub fn let_answers_go(&self) {
        self.shared.holds.send_replace(false);
    }

    pub fn pause(&self) {
        self.shared.paused.send_replace(true);
    }

    pub fn resume(&self) {
        self.shared.paused.send_replace(false);
    }

    /// Cuts every connection, and closes new ones until [`Self::listen_again`].
    pub fn refuse(&self) {
        self.shared.refuses.send_replace(true);
        self.shared.generation.send_modify(|generation| *generation += 1);
    }

    pub fn listen_again(&self) {
        self.shared.refuses.send_replace(false);
    }

    /// New connections go to the server at this port.
    pub fn lead_to(&self, port: u16) {
        self.shared.server.lock().expect("no panic").set_port(port);
    }
}

/// Why a connection's requests have ended.
enum End {
    Cut,
    /// These bytes are to reach the server when the client has gone.
    Late(Bytes, Duration),
}

/// Passes one connection on until one side ends or it is cut.
async fn pass(client: TcpStream, shared: Arc<Shared>) {
    let mut generation = shared.generation.subscribe();
    let address = *shared.server.lock().expect("no panic");
    let Ok(server) = TcpStream::connect(address).await else { return };
    for stream in [&client, &server] {
        stream.set_nodelay(true).expect("a stream of TCP");
    }
    let (from_client, to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let expected = Mutex::new(None);
    let to_client = tokio::sync::Mutex::new(to_client);
    let end = tokio::select! {
        end = requests(from_client, &to_client, &mut to_server, &shared, &expected) => end,
        _ended = answers(&mut from_server, &to_client, &shared, &expected) => End::Cut,
        _changed = generation.changed() => End::Cut,
    };
    drop(to_client);
    if let End::Late(bytes, later) = end {
        tokio::time::sleep(later).await;
        if to_server.write_all(&bytes).await.is_ok() {
            let mut answer = [0; 256];
            // The server has carried it out when it answers.
            let _answered = from_server.read(&mut answer).await;
        }
        shared.late.fetch_add(1, Ordering::Relaxed);
    }
}

/// Waits until nothing is held back any more. The proxy itself never ends.
async fn is_open(held: &mut watch::Receiver<bool>) {
    drop(held.wait_for(|held| !held).await);
}

/// What comes before the type of a message: a packet that has a length alone.
const TLS_ASKED: u32 = 80_877_103;
const ENCRYPTION_ASKED: u32 = 80_877_104;

/// Passes on what the client says, each commit as it was chosen.
async fn requests(
    mut from: OwnedReadHalf,
    to_client: &tokio::sync::Mutex<OwnedWriteHalf>,
    to_server: &mut OwnedWriteHalf,
    shared: &Shared,
    expected: &Mutex<Option<Cut>>,
) -> End {
    let mut paused = shared.paused.subscribe();
    let (mut buffer, mut has_begun) = (BytesMut::new(), false);
    let mut commits = Commits::default();
    loop {
        let Some(frame) = next_frame(&mut from, &mut buffer, has_begun).await else {
            return End::Cut;
        };
        is_open(&mut paused).await;
        if !has_begun {
            let code = (&frame[4..]).get_u32();
            if [TLS_ASKED, ENCRYPTION_ASKED].contains(&code) {
                if to_client.lock().await.write_all(b"N").await.is_err() {
                    return End::Cut;
                }
                continue;
            }
            has_begun = true;
        } else if commits.is_commit(&frame) {
            let number = shared.commits.fetch_add(1, Ordering::Relaxed) + 1;
            let cut = (shared.choose.lock().expect("no panic"))(number);
            match cut {
                Some(Cut::Before) => return End::Cut,
                Some(Cut::Inside) => {
                    let _sent = to_server.write_all(&frame[..frame.len() / 2]).await;
                    return End::Cut;
                }
                Some(Cut::After) => {
                    let _sent = to_server.write_all(&frame).await;
                    return End::Cut;
                }
                Some(Cut::Late(later)) => return End::Late(frame, later),
                Some(Cut::AnswerLost | Cut::AnswerHeld) | None => {
                    *expected.lock().expect("no panic") = cut;
                }
            }
        }
        if to_server.write_all(&frame).await.is_err() {
            return End::Cut;
        }
    }
}

/// Passes on what the server says; the answer of a commit as it was chosen.
async fn answers(
    from: &mut OwnedReadHalf,
    to_client: &tokio::sync::Mutex<OwnedWriteHalf>,
    shared: &Shared,
    expected: &Mutex<Option<Cut>>,
) -> Option<()> {
    let (mut paused, mut holds) = (shared.paused.subscribe(), shared.holds.subscribe());
    let (mut buffer, mut kept) = (BytesMut::new(), BytesMut::new());
    loop {
        let frame = next_frame(from, &mut buffer, true).await?;
        let cut = *expected.lock().expect("no panic");
        kept.extend_from_slice(&frame);
        if cut.is_some() {
            // The answer ends where the server is ready for the next question.
            if !frame.starts_with(b"Z") {
                continue;
            }
            if cut == Some(Cut::AnswerLost) {
                return None;
            }
            is_open(&mut holds).await;
            *expected.lock().expect("no panic") = None;
        }
        is_open(&mut paused).await;
        to_client.lock().await.write_all(&kept.split()).await.ok()?;
    }
}

/// What a statement of the client's does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Does {
    Begin,
    Commit,
    RollBack,
    Write,
    Other,
}

impl Does {
    fn of(text: &[u8]) -> Self {
        let word = text.trim_ascii().split(|byte| !byte.is_ascii_alphabetic()).next();
        match word.unwrap_or_default().to_ascii_uppercase().as_slice() {
            b"BEGIN" | b"START" => Self::Begin,
            b"COMMIT" => Self::Commit,
            b"ROLLBACK" => Self::RollBack,
            b"INSERT" | b"UPDATE" | b"DELETE" => Self::Write,
            _ => Self::Other,
        }
    }
}

/// Which message of a connection has the server commit: COMMIT, or the end of a statement that
/// writes outside of a transaction.
#[derive(Default)]
struct Commits {
    statements: BTreeMap<Vec<u8>, Does>,
    portals: BTreeMap<Vec<u8>, Does>,
    in_transaction: bool,
    /// A statement has written by itself, and is committed with the next Sync.
    is_due: bool,
}

impl Commits {
    fn is_commit(&mut self, frame: &[u8]) -> bool {
        let mut texts = frame[5..].split(|byte| *byte == 0);
        let mut text = || texts.next().unwrap_or_default().to_vec();
        let known = |does: Option<&Does>| does.copied().unwrap_or(Does::Other);
        let does = match frame[0] {
            b'Q' => Does::of(&text()),
            b'P' => {
                let name = text();
                self.statements.insert(name, Does::of(&text()));
                return false;
            }
            b'B' => {
                let portal = text();
                let does = known(self.statements.get(&text()));
                self.portals.insert(portal, does);
                return false;
            }
            b'S' => return std::mem::take(&mut self.is_due),
            b'E' => known(self.portals.get(&text())),
            _ => return false,
        };
        match does {
            Does::Begin => self.in_transaction = true,
            Does::Commit | Does::RollBack => self.in_transaction = false,
            Does::Write if frame[0] == b'Q' => return !self.in_transaction,
            Does::Write => self.is_due |= !self.in_transaction,
            Does::Other => {}
        }
        does == Does::Commit
    }
}

/// The next message; `None` where the connection has ended. The first packets have no type.
async fn next_frame(
    from: &mut OwnedReadHalf,
    buffer: &mut BytesMut,
    has_type: bool,
) -> Option<Bytes> {
    let head = 4 + usize::from(has_type);
    loop {
        if buffer.len() >= head {
            let length = (&buffer[head - 4..head]).get_u32() as usize;
            let whole = length + usize::from(has_type);
            if buffer.len() >= whole {
                return Some(buffer.split_to(whole).freeze());
            }
        }
        if from.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
}
