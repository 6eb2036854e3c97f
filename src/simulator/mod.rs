//! The channels' side of each protocol, with scripted faults and a ledger of its own.
//!
//! An independent witness: it reads the protocols by itself and shares nothing with the adapters
//! but the byte formats of `codec`, so a mistake in an adapter meets a channel that does not make
//! it too. It serves real sockets, decides each card's answer by a hash of seed and order number,
//! loses, spoils and delays what the faults say, and remembers what it believes, so that a test can
//! compare that with what the gateway believes. Its keys and cards are made up; card numbers are
//! masked on arrival (I-11).
//!
//! Reading order: `ledger` (the truth), `faults` (the plan), `exchange` (truth and plan meet),
//! `dialect` with the protocols, `notices`, `server`, `counterpart` (whom a channel file means),
//! `playable` (whether that is one of ours).

mod chance;
mod counterpart;
mod dialect;
mod exchange;
mod faults;
mod keys;
mod ledger;
mod notices;
mod playable;
mod running;
mod server;
mod settings;
mod statement;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub use self::chance::{Between, PARTS_WHOLE};
pub use self::counterpart::{Counterpart, Kept, TestCredential};
pub use self::faults::{Faults, Happening};
pub use self::keys::{SimulatorKeys, SimulatorKeysError};
pub use self::ledger::{EntryKind, EntryState, LedgerEntry, LedgerSnapshot, cut_off_far_from};
pub use self::playable::playable;
pub use self::settings::{
    BankSettings, BankTongue, CanyonPaySettings, Clock, DialectSettings, HarbourBankSettings,
    Iso8583Settings, Iso8583Style, MERCHANT_ID, NoticeRetries, SimulatorSettings,
    UnionPayAcpSettings,
};
pub use self::statement::{DifferenceKind, Planted, ReversedLines};

use crate::domain::time::BusinessDate;

use self::dialect::bank::Bank;
use self::dialect::canyon_pay::CanyonPay;
use self::dialect::harbour_bank::HarbourBank;
use self::dialect::iso8583::Iso8583;
use self::dialect::unionpay_acp::UnionPayAcp;
use self::running::Running;

/// The dialect that a simulator speaks, ready for use.
#[derive(Clone)]
enum Spoken {
    UnionPayAcp(Arc<UnionPayAcp>),
    HarbourBank(Arc<HarbourBank>),
    Bank(Arc<Bank>),
    CanyonPay(Arc<CanyonPay>),
    Iso8583(Arc<Iso8583>),
}

impl Spoken {
    fn of(settings: &DialectSettings) -> Self {
        match settings {
            DialectSettings::UnionPayAcp(acp) => Self::UnionPayAcp(Arc::new(UnionPayAcp::new(acp))),
            DialectSettings::HarbourBank(bank) => {
                Self::HarbourBank(Arc::new(HarbourBank::new(bank)))
            }
            DialectSettings::Bank(bank) => Self::Bank(Arc::new(Bank::new(bank))),
            DialectSettings::CanyonPay(pay) => Self::CanyonPay(Arc::new(CanyonPay::new(pay))),
            DialectSettings::Iso8583(links) => Self::Iso8583(Arc::new(Iso8583::new(links))),
        }
    }

    const fn name(&self) -> &'static str {
        match self {
            Self::UnionPayAcp(_) => "unionpay-acp",
            Self::HarbourBank(_) => "harbour-bank",
            Self::Bank(_) => "bank",
            Self::CanyonPay(_) => "canyon-pay",
            Self::Iso8583(_) => "iso8583",
        }
    }

    /// Serves callers until the simulator stops, over the transport that the dialect is spoken on.
    async fn serve(self, listener: TcpListener, running: Arc<Running>) {
        match self {
            Self::UnionPayAcp(_) | Self::HarbourBank(_) | Self::Bank(_) | Self::CanyonPay(_) => {
                server::serve(listener, running, self).await;
            }
            Self::Iso8583(dialect) => {
                dialect::iso8583_links::serve(listener, running, dialect).await;
            }
        }
    }
}

/// A simulated channel that is running. Dropping it stops it without waiting.
pub struct Simulator {
    address: SocketAddr,
    running: Arc<Running>,
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
        let spoken = Spoken::of(&settings.dialect);
        let running = Arc::new(Running::new(settings, client, stopping));
        let server = tokio::spawn(spoken.serve(listener, Arc::clone(&running)));
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

    /// What the merchant needs to speak UnionPay's dialect with this simulator.
    pub fn unionpay_keys(&self) -> Option<&Arc<SimulatorKeys>> {
        match &self.running.settings.dialect {
            DialectSettings::UnionPayAcp(acp) => Some(&acp.keys),
            DialectSettings::HarbourBank(_)
            | DialectSettings::Bank(_)
            | DialectSettings::CanyonPay(_)
            | DialectSettings::Iso8583(_) => None,
        }
    }

    /// The key text of harbour bank's HMAC.
    pub fn harbour_key(&self) -> Option<&str> {
        match &self.running.settings.dialect {
            DialectSettings::UnionPayAcp(_)
            | DialectSettings::Bank(_)
            | DialectSettings::CanyonPay(_)
            | DialectSettings::Iso8583(_) => None,
            DialectSettings::HarbourBank(bank) => Some(&bank.key),
        }
    }

    /// What the channel believes now.
    pub fn ledger(&self) -> LedgerSnapshot {
        self.running.ledger.snapshot(self.running.now())
    }

    /// What happened so far, faults by kind.
    pub fn counters(&self) -> BTreeMap<Happening, u64> {
        self.running.counters.snapshot()
    }

    /// How often one thing happened so far.
    pub fn count(&self, happening: Happening) -> u64 {
        self.counters().get(&happening).copied().unwrap_or(0)
    }

    /// Orders whose notices are not all delivered or given up. 0 after a drain.
    pub fn notices_waiting(&self) -> usize {
        self.running.notices_waiting()
    }

    /// The differences planted in the statement of a date.
    pub fn planted(&self, date: BusinessDate) -> Vec<Planted> {
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

    /// Stops listening, ends connections, late requests and notices; answers the last ledger.
    pub async fn stop(self) -> LedgerSnapshot {
        let Self { running, stop, server, .. } = self;
        // Fails only if nobody listens any more, which is what it asks for.
        let _ = stop.send(true);
        let _ = server.await;
        running.ledger.snapshot(running.now())
    }
}

#[cfg(test)]
mod tests;
