//! The channels' side of each protocol, with scripted faults and a ledger of its own.
//!
//! An independent witness: it reads the protocols by itself and shares nothing with the adapters
//! but the byte formats of `codec`, so it does not repeat an adapter's mistake. It serves real
//! sockets, decides each card's answer by a hash of seed and order number, loses, spoils and delays
//! replies as the faults say, and keeps a ledger that a test compares with the gateway's books. Its
//! keys and cards are made up; card numbers are masked on arrival (I-11).
//!
//! Reading order: `ledger` (the truth), `faults` (the plan), `exchange` (truth and plan meet),
//! `dialect` with the protocols and the banks, `notices`, `server` and `links`, `counterpart` (the
//! other side of a channel file, and whether it is one of ours), `voice` (a channel that says what
//! it is told).

mod agreements;
mod chance;
mod counterpart;
mod dialect;
mod exchange;
mod faults;
mod keys;
mod ledger;
mod links;
mod message;
mod notices;
mod person;
mod state;
mod server;
mod settings;
mod statement;
mod voice;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub use self::agreements::TEST_SMS_CODE;
pub use self::chance::{DurationRange, PARTS_WHOLE};
pub use self::counterpart::{Counterpart, KeyTexts, TestCredential, playable};
pub use self::faults::{Faults, SimulatorEvent};
pub use self::keys::{SimulatorKeys, SimulatorKeysError};
pub use self::ledger::{EntryKind, EntryState, LedgerEntry, LedgerSnapshot, cut_off_far_from};
pub use self::settings::{
    BankSettings, BankStyle, ChannelClock, DialectSettings, HarbourSettings, Iso8583Settings,
    Iso8583Style, MERCHANT_ID, NoticeRetries, ReversedLines, SimulatorSettings,
    UnionPayAcpSettings,
};
pub use self::statement::{DifferenceKind, PlantedDifference};
pub use self::voice::{AcpHeard, AcpVoice, LinkHeard, LinkVoice, VoiceRefusal, VoiceWords};

use crate::domain::time::BusinessDate;

use self::dialect::bank::Bank;
use self::dialect::banks::api_of;
use self::dialect::iso8583::Iso8583FarEnd;
use self::dialect::unionpay_acp::UnionPayPlatform;
use self::server::HttpDialect;
use self::state::SimulatorState;

/// A simulated channel that is running. Dropping it stops it without waiting.
pub struct Simulator {
    address: SocketAddr,
    running: Arc<SimulatorState>,
    stop: watch::Sender<bool>,
    server: JoinHandle<()>,
}

impl Simulator {
    /// Binds and serves on the current tokio runtime.
    ///
    /// Fails with `InvalidInput` if a setting is out of its range, or as binding fails.
    pub async fn start(settings: SimulatorSettings) -> io::Result<Self> {
        let invalid = |text| io::Error::new(io::ErrorKind::InvalidInput, text);
        settings.check().map_err(invalid)?;
        let client = notices::client(settings.notice_retries.timeout).map_err(io::Error::other)?;
        let listener = TcpListener::bind(settings.address).await?;
        let address = listener.local_addr()?;
        let (stop, stopping) = watch::channel(false);
        let running = Arc::new(SimulatorState::new(settings, client, stopping));
        let shared = Arc::clone(&running);
        let http = |listener, dialect| tokio::spawn(server::serve(listener, shared, dialect));
        let server = match &running.settings.dialect {
            DialectSettings::UnionPayAcp(acp) => {
                http(listener, HttpDialect::UnionPayAcp(Arc::new(UnionPayPlatform::new(acp))))
            }
            DialectSettings::Bank(bank) => {
                http(listener, HttpDialect::Bank(Arc::new(Bank::new(api_of(bank)))))
            }
            DialectSettings::Iso8583(far_end) => {
                let far_end = Arc::new(Iso8583FarEnd::new(far_end));
                tokio::spawn(links::serve(listener, Arc::clone(&running), far_end))
            }
        };
        Ok(Self { address, running, stop, server })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://127.0.0.1:port`, without a slash at its end.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn settings(&self) -> &SimulatorSettings {
        &self.running.settings
    }

    /// The merchant's keys for UnionPay's dialect.
    pub fn unionpay_keys(&self) -> Option<&Arc<SimulatorKeys>> {
        match &self.running.settings.dialect {
            DialectSettings::UnionPayAcp(acp) => Some(&acp.keys),
            DialectSettings::Bank(_) | DialectSettings::Iso8583(_) => None,
        }
    }

    /// The key text of harbour bank's HMAC.
    pub fn harbour_key(&self) -> Option<&str> {
        self.running.settings.dialect.harbour().map(|bank| bank.key.as_str())
    }

    /// The channel's books now.
    pub fn ledger(&self) -> LedgerSnapshot {
        self.running.ledger.snapshot(self.running.now())
    }

    /// The counts of events so far, faults by kind.
    pub fn counters(&self) -> BTreeMap<SimulatorEvent, u64> {
        self.running.counters.snapshot()
    }

    /// How often one event has happened so far.
    pub fn count(&self, happening: SimulatorEvent) -> u64 {
        self.counters().get(&happening).copied().unwrap_or(0)
    }

    /// How often `operation` was asked for under this order number while there were faults of
    /// requests: without any, nobody counts.
    pub fn times_asked(&self, operation: &str, order_no: &str) -> u32 {
        self.running.times_asked(operation, order_no)
    }

    /// Orders whose notices are not all delivered or given up. 0 after a drain.
    pub fn notices_waiting(&self) -> usize {
        self.running.notices_waiting()
    }

    /// The differences planted in the statement of a date.
    pub fn planted_differences(&self, date: BusinessDate) -> Vec<PlantedDifference> {
        self.running.statement(date).map(|statement| statement.planted).unwrap_or_default()
    }

    /// Changes the faults of requests and orders from now on, for instance to drain calmly.
    ///
    /// Fails with `InvalidInput` if they are impossible. Notices already planned keep their plan.
    pub fn set_faults(&self, faults: Faults) -> io::Result<()> {
        faults.check().map_err(|text| io::Error::new(io::ErrorKind::InvalidInput, text))?;
        self.running.set_faults(faults);
        Ok(())
    }

    /// Stops listening, ends connections, late requests and notices; returns the last ledger.
    pub async fn stop(self) -> LedgerSnapshot {
        let Self { running, stop, server, .. } = self;
        // Fails only if all listeners are gone, and they have stopped then.
        let _ = stop.send(true);
        let _ = server.await;
        running.ledger.snapshot(running.now())
    }
}

#[cfg(test)]
mod tests;
