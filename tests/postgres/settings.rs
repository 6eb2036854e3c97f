//! What all nodes of a store run: one publishes, all switch, and one that cannot is not ready. On a
//! database, and on a store in memory, which has nodes as well.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use switchyard::app::shared::{RunSettings, load_settings};
use switchyard::channel::Channels;
use switchyard::clock::Clock;
use switchyard::codec::sign::sha256_hex;
use switchyard::config::editor::overlay;
use switchyard::domain::bin::StatedDate;
use switchyard::domain::cluster::{
    Publication, SettingHistory, SettingKind, SettingVersion, WorkTrade,
};
use switchyard::domain::ids::ChannelId;
use switchyard::engine::shared_settings::SharedSettings;
use switchyard::store::memory::MemoryStore;
use switchyard::store::postgres::{PostgresSettings, PostgresStore};
use switchyard::store::{PublishError, Store};
use switchyard::tables::bin::{RefreshOptions, RollbackTarget};

use crate::support::installation::Installation;
use crate::support::postgres::{Database, database};
use crate::support::simulated::BANK;
use crate::support::wire::until;
use crate::support::{Scratch, copy_folder};

/// A node with folders of its own.
struct Node {
    store: Arc<dyn Store>,
    run: RunSettings,
}

impl Node {
    async fn start(store: Arc<dyn Store>, folder: &Path) -> Self {
        let cluster = store.cluster().expect("nodes share it");
        cluster.renew(0, &WorkTrade::default()).await.expect("it stands");
        let text = std::fs::read_to_string(folder.join("switchyard.toml")).expect("settings");
        let named = Some(("switchyard.toml", text.as_str()));
        let settings = switchyard::config::settings(named, Vec::new(), folder).expect("settings");
        let data = folder.join("data");
        std::fs::create_dir_all(&data).expect("a folder");
        let run = load_settings(&store, &settings, &data, Clock::System.into()).await;
        Self { store, run: run.expect("it loads") }
    }

    fn shared(&self) -> &Arc<SharedSettings> {
        self.run.shared.as_ref().expect("nodes share them")
    }

    fn rules(&self) -> usize {
        self.run.routes.current().rules.len()
    }

    fn most(&self, channel: &str) -> i64 {
        let id = ChannelId::parse(channel).expect("an id");
        self.run.registry.status(&id).expect("a channel").per_order_max_minor
    }

    /// The fee of a channel for orders of this moment.
    fn rate_at(&self, channel: &str, at: switchyard::domain::time::Timestamp) -> String {
        let id = ChannelId::parse(channel).expect("an id");
        format!("{:?}", self.run.registry.terms_at(&id, at).expect("terms").fees)
    }

    async fn history(&self) -> SettingHistory {
        let state = self.store.cluster_state().expect("nodes share files");
        let mut history = SettingHistory::default();
        history.extend(state.settings_after(0).await.expect("readable").0);
        history
    }

    async fn publish(&self, kind: SettingKind, name: &str, text: &str) -> SettingVersion {
        let publication = Publication {
            after: self.history().await.last(),
            kind,
            name: name.to_owned(),
            sha256: sha256_hex(text.as_bytes()),
            body: text.as_bytes().to_vec(),
            note: String::new(),
            made_by: "a person".to_owned(),
            reason: "a test".to_owned(),
            at: Clock::System.now(),
        };
        let state = self.store.cluster_state().expect("nodes share files");
        let (_, active_at) = state.publish(&publication).await.expect("it is published");
        let again = state.publish(&publication).await;
        assert!(matches!(again, Err(PublishError::Overtaken)), "{again:?}");
        SettingVersion::of(&publication, active_at)
    }
}

/// Folders of another node: the first one's credentials and settings, and files that have aged.
fn aged_folder(town: &Installation) -> (Scratch, PathBuf) {
    let scratch = Scratch::new();
    let folder = scratch.path().to_owned();
    copy_folder(&town.folder().join("channels"), &folder.join("channels"));
    for name in ["switchyard.toml", "notice.key"] {
        std::fs::copy(town.folder().join(name), folder.join(name)).expect("a copy");
    }
    let bank = folder.join("channels").join(format!("{BANK}.toml"));
    let text = std::fs::read_to_string(&bank).expect("a file");
    let aged = overlay(&text, "limits = { per_order_max_minor = 7 }").expect("TOML");
    std::fs::write(bank, aged).expect("a file");
    (scratch, folder)
}

const ONE_RULE: &str = r#"
[[rule]]
name = "all go to the bank"
strategy = "priority"
channels = ["harbour-bank"]
"#;

async fn follow(nodes: [&Node; 2], version: u64) {
    let followed = async || {
        for node in nodes {
            node.shared().follow().await.expect("it follows");
        }
        nodes.iter().all(|node| node.shared().running() == version).then_some(())
    };
    until("both run it", followed).await;
}

/// From the first node's files, over each kind of setting, to one that a node cannot run.
async fn nodes_run_alike(first: Arc<dyn Store>, second: Arc<dyn Store>) {
    let town = Installation::new(|channel| channel).await;
    let (_scratch, aged) = aged_folder(&town);
    let first = Node::start(first, town.folder()).await;
    let seeded = first.history().await;
    assert_eq!(seeded.of_kind(SettingKind::Routes, u64::MAX).count(), 1);
    let second = Node::start(second, &aged).await;
    assert_eq!(second.history().await, seeded, "the first one's files are the seed");
    assert_eq!(first.most(BANK), second.most(BANK), "the store says what runs");
    assert_eq!((first.rules(), second.rules()), (2, 2));

    first.publish(SettingKind::Routes, "", ONE_RULE).await;
    first.shared().follow().await.expect("it follows");
    assert_eq!(first.rules(), 2, "its time has not come");
    // Orders of before are judged by the terms of before, on both nodes.
    let text = std::fs::read_to_string(town.channel_file(BANK)).expect("a file");
    let dear =
        "limits = { per_order_max_minor = 4321 }\nfees = [{ name = \"dear\", rate_ppm = 9000 }]";
    let dear = overlay(&text, dear).expect("TOML");
    let file = second.publish(SettingKind::Channel, BANK, &dear).await;
    follow([&first, &second], file.version).await;
    assert_eq!((first.rules(), second.rules()), (1, 1));
    assert_eq!((first.most(BANK), second.most(BANK)), (4_321, 4_321));
    let before = file.active_at.minus(std::time::Duration::from_millis(1));
    for (at, is_dear) in [(before, false), (file.active_at, true)] {
        let rates = [&first, &second].map(|node| node.rate_at(BANK, at));
        assert_eq!(rates[0], rates[1]);
        assert_eq!(rates[0].contains("dear"), is_dear, "{}", rates[0]);
    }

    // Each node has a copy of every version, for books that move back to a folder.
    let published = first.history().await;
    let published = published.of_kind(SettingKind::Channel, u64::MAX);
    let published = published.filter(|one| one.name == BANK).count();
    for folder in [town.folder(), &aged] {
        let copies = std::fs::read_dir(folder.join("data/channel-history").join(BANK));
        assert_eq!(copies.expect("a folder").count(), published);
    }

    bin_tables(&first, &second).await;
    credentials(&town, &first, &second).await;
    let audit = first.store.audit(None, 100).await.expect("readable");
    for reason in ["a drill", "a rollback from version 1"] {
        assert!(audit.iter().any(|(_, entry)| entry.reason == reason), "{reason}: {audit:?}");
    }
    assert!(audit.iter().all(|(_, entry)| entry.action == "settings.published"));
    assert_eq!(audit.len() as u64, state_last(&first).await - seeded.last());
}

async fn state_last(node: &Node) -> u64 {
    node.history().await.last()
}

/// A refresh at one node and a rollback at the other.
async fn bin_tables(first: &Node, second: &Node) {
    let rows = include_str!("../../bin-tables/unionpay.csv").trim_end();
    let (shorter, _) = rows.rsplit_once('\n').expect("rows");
    // A name that has changed goes the way of the table, with it.
    let source = shorter.to_owned()
        + "\nissuer_code,old_name,new_name,date,source\n01020000,工商银行,新,2020,x\n";
    let options = RefreshOptions {
        force: true,
        as_of: StatedDate::parse("2024-02"),
        ..RefreshOptions::default()
    };
    let name = "a.csv".to_owned();
    let refreshed =
        first.shared().refresh(source.into(), name, ("a person", Some("a drill")), options).await;
    let report = refreshed.expect("a good table");
    assert_eq!((report.version, report.counts.removed, report.issuer_changes), (1, 1, 1));
    let last = state_last(first).await;
    follow([first, second], last).await;
    let [one, other] = [first, second].map(|node| node.run.bins.current());
    assert_eq!((one.version, &one.sha256), (1, &report.sha256));
    assert_eq!((other.version, &other.sha256), (1, &report.sha256));
    assert_eq!(other.as_of.to_string(), "2024-02");
    assert_eq!(other.reason.as_deref(), Some("a drill"), "why goes the way of the table");
    assert_eq!(other.table.issuers(), one.table.issuers());
    assert_eq!(other.table.issuers().today("01020000", "工商银行"), "新");
    let own = second.run.bins.rollback(
        RollbackTarget::Previous,
        switchyard::tables::bin::Occasion { who: "a person", reason: None, now_ms: 0 },
    );
    assert!(own.is_err(), "a folder that is a copy is not changed alone");
    let back = second.shared().roll_back(RollbackTarget::Previous, ("a person", None)).await;
    assert_eq!(back.expect("there is one").version, 0);
    follow([first, second], last + 1).await;
    let live = [first, second].map(|node| node.run.bins.current().version);
    assert_eq!(live, [0, 0]);
}

/// A version whose credential one node lacks.
async fn credentials(town: &Installation, first: &Node, second: &Node) {
    let text = std::fs::read_to_string(town.channel_file(BANK)).expect("a file");
    let new = "tls_roots = [\"file:keys/new-root.pem\"]\nlimits = { per_order_max_minor = 99 }";
    let new = overlay(&text, new).expect("TOML");
    let keys = town.folder().join("channels/keys");
    std::fs::create_dir_all(&keys).expect("a folder");
    let root = include_str!("../../src/codec/golden/root.pem");
    std::fs::write(keys.join("new-root.pem"), root).expect("a file");
    let file = first.publish(SettingKind::Channel, BANK, &new).await;
    let followed = async || {
        first.shared().follow().await.expect("it follows");
        second.shared().follow().await.expect("it follows");
        (first.shared().running() == file.version).then_some(())
    };
    until("the first one runs it", followed).await;
    assert_eq!((first.most(BANK), second.most(BANK)), (99, 4_321), "the second keeps the old");
    let problem = second.shared().problem().expect("it is not ready");
    assert!(problem.contains("new-root.pem"), "{problem}");
    assert_eq!(first.shared().problem(), None);
    for node in [first, second] {
        let cluster = node.store.cluster().expect("nodes share it");
        cluster.renew(0, &WorkTrade::default()).await.expect("it stands");
    }
    let state = first.store.cluster_state().expect("nodes share files");
    let reports = state.load_reports().await.expect("readable");
    let told: Vec<_> = reports.iter().map(|one| (one.loaded, one.problem.is_empty())).collect();
    assert_eq!(told, [(file.version, true), (file.version - 1, false)]);
}

async fn open(database: &Database, node: u16) -> Arc<dyn Store> {
    let address = format!("127.0.0.1:{node}");
    let settings = PostgresSettings { node, address, ..PostgresSettings::at(&*database.url) };
    Arc::new(PostgresStore::open(&settings).await.expect("it opens"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_of_a_database_run_the_same_settings() {
    let Some(database) = database().await else { return };
    let (first, second) = (open(&database, 1).await, open(&database, 2).await);
    nodes_run_alike(first, second).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_of_a_store_in_memory_run_the_same_settings() {
    let store = MemoryStore::of_nodes(Arc::new(|| Clock::System.now()));
    let join = |node| store.join(node, "127.0.0.1:1").expect("it is free");
    nodes_run_alike(Arc::new(join(1)), Arc::new(join(2))).await;
}

/// A version that is published behind another holds it up on no node, whenever each looks; also
/// one that cannot be run.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_version_is_in_force_at_its_own_moment() {
    let (began, passed_ms) = (Clock::System.now(), Arc::new(AtomicU64::new(0)));
    let passed = Arc::clone(&passed_ms);
    let now = move || began.plus(Duration::from_millis(passed.load(Ordering::SeqCst)));
    let store = MemoryStore::of_nodes(Arc::new(now));
    let town = Installation::new(|channel| channel).await;
    let joined = store.join(1, "127.0.0.1:1").expect("it is free");
    let node = Node::start(Arc::new(joined), town.folder()).await;
    let publish = async |passed, rules: &str| {
        passed_ms.store(passed, Ordering::SeqCst);
        node.publish(SettingKind::Routes, "", rules).await
    };
    let good = publish(0, ONE_RULE).await;
    let broken = publish(4_000, "[[rule]]\nname = 1").await;
    let mended = publish(11_000, ONE_RULE).await;
    for (at, running, is_well) in [
        (good.active_at, good.version, true),
        (broken.active_at, good.version, false),
        (mended.active_at, mended.version, true),
    ] {
        passed_ms.store(at.since(began).as_millis() as u64, Ordering::SeqCst);
        node.shared().follow().await.expect("it follows");
        let runs = (node.shared().running(), node.shared().problem().is_none());
        assert_eq!(runs, (running, is_well), "at {at:?}");
    }
}
