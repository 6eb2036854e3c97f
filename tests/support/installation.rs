//! An installation in a scratch folder: settings, channel files, routes and data, and the systems
//! around it. The daemon itself runs in the test's process or in its own, as the test likes.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use metrics_exporter_prometheus::PrometheusHandle;
use switchyard::codec::sign::sha256_hex;
use switchyard::config::checked::Settings;
use switchyard::config::editor::overlay;
use switchyard::simulator::SimulatorSettings;

use super::Scratch;
use super::core::Core;
use super::simulated::{BANK, QUICK_TIMEOUTS, QUICK_UNKNOWNS, SimulatedChannels, UNIONPAY};
use super::wire::{Door, Inbox, until};

/// The key of the only caller, whose hash the settings have.
pub const CALLER_KEY: &str = "sy_test-only-caller-key";
/// The key that signs notices to the core.
pub const NOTICE_KEY: &str = "whsec_dGVzdC1vbmx5LW5vdGljZS1rZXktMDEyMzQ1Njc4OWFiY2RlZg==";

/// Instant payments go to the bank first, escrow payments to UnionPay first.
pub const ROUTES: &str = r#"
[[rule]]
name = "escrow goes over UnionPay"
strategy = "priority"
channels = ["unionpay"]
[rule.when]
settlements = ["escrow"]

[[rule]]
name = "the bank takes the rest"
strategy = "priority"
channels = ["harbour-bank", "unionpay"]
"#;

/// Everything around one daemon.
pub struct Installation {
    scratch: Scratch,
    pub channels: SimulatedChannels,
    pub accounting: Inbox,
    pub core_inbox: Inbox,
    /// Where the channels' notices come in, wherever the daemon listens.
    pub door: Door,
}

impl Installation {
    /// Lays everything out with quick schedules.
    pub async fn new(change: impl Fn(SimulatorSettings) -> SimulatorSettings) -> Self {
        let installation = Self {
            scratch: Scratch::new(),
            channels: SimulatedChannels::start(change).await,
            accounting: Inbox::open().await,
            core_inbox: Inbox::open().await,
            door: Door::open().await,
        };
        installation.channels.write_keys(&installation.folder().join("channels"));
        installation.write_channel(BANK, QUICK_UNKNOWNS, QUICK_TIMEOUTS);
        installation.write_channel(UNIONPAY, QUICK_UNKNOWNS, QUICK_TIMEOUTS);
        installation.write_routes(ROUTES);
        std::fs::write(installation.folder().join("notice.key"), NOTICE_KEY).expect("a file");
        std::fs::write(installation.settings_file(), installation.settings_text()).expect("one");
        installation
    }

    pub fn folder(&self) -> &Path {
        self.scratch.path()
    }

    pub fn data(&self) -> PathBuf {
        self.folder().join("data")
    }

    pub fn settings_file(&self) -> PathBuf {
        self.folder().join("switchyard.toml")
    }

    pub fn channel_file(&self, channel: &str) -> PathBuf {
        self.folder().join("channels").join(format!("{channel}.toml"))
    }

    /// Waits until the bank, while it has faults, is asked for this operation (in the simulator's
    /// word) of an order, and gives the order's channel order number. Other requests may come
    /// before: a daemon that starts asks for statements.
    pub async fn bank_is_asked(&self, core: &Core, operation: &str, order_id: &str) -> String {
        let path = format!("/v1/payments?order_id={order_id}");
        let asked = async || {
            let order = core.get(&path).await;
            let number = order.body["attempts"][0]["channel_order_no"].as_str()?;
            (self.channels.bank.times_asked(operation, number) > 0).then(|| number.to_owned())
        };
        until("the bank is asked", asked).await
    }

    /// Writes a channel's file anew.
    pub fn write_channel(&self, channel: &str, unknown: &str, timeouts: &str) {
        let notice_url = self.door.notice_url(channel);
        let text = self.channels.file(channel, &notice_url, unknown, timeouts);
        std::fs::write(self.channel_file(channel), text).expect("a file");
    }

    /// Lays settings over a channel's file as it stands, and gives its text as it was.
    pub fn change_channel(&self, channel: &str, over: &str) -> String {
        let path = self.channel_file(channel);
        let text = std::fs::read_to_string(&path).expect("the file");
        std::fs::write(path, overlay(&text, over).expect("TOML")).expect("a file");
        text
    }

    pub fn write_routes(&self, text: &str) {
        std::fs::write(self.folder().join("routes.toml"), text).expect("a file");
    }

    /// The settings as the daemon reads them, for one that runs in this process.
    pub fn settings(&self) -> Settings {
        let text = self.settings_text();
        let read = switchyard::config::settings(
            Some(("switchyard.toml", &text)),
            Vec::new(),
            self.folder(),
        );
        read.expect("settings without mistakes")
    }

    fn settings_text(&self) -> String {
        let accounting = &self.accounting.url;
        let core = &self.core_inbox.url;
        let hash = sha256_hex(CALLER_KEY.as_bytes());
        format!(
            r#"
[server]
listen = "127.0.0.1:0"
[payments]
wait_default = "10s"
[accounting]
url = "{accounting}/requests"
waits = ["50ms", "200ms"]
[notices]
url = "{core}/notices"
waits = ["50ms", "200ms"]
keys = ["file:notice.key"]
[workers]
look_every = "50ms"
[[callers]]
name = "core"
roles = ["core", "operator"]
key_sha256 = "{hash}"
"#
        )
    }
}

/// The metrics of this process. They can be installed once, so all tests of a binary share them.
pub fn metrics() -> PrometheusHandle {
    static METRICS: OnceLock<PrometheusHandle> = OnceLock::new();
    let install = || switchyard::app::install_metrics().expect("nothing else collects metrics");
    METRICS.get_or_init(install).clone()
}
