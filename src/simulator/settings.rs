//! The behaviour of a simulated channel: its dialect, faults, seed, and its cards' answers.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use zeroize::Zeroizing;

use crate::codec::iso8583::ShippedFormat;
use crate::codec::iso8583::mac::MacRule;
use crate::codec::sign::sha256_hex;
use crate::config::links::{self, LinkForm};
use crate::domain::closed_set;
use crate::domain::money::AMOUNT_MINOR_MAX;
use crate::domain::time::{ClearingCalendar, Timestamp};

use super::chance::DurationRange;
use super::faults::Faults;
use super::keys::SimulatorKeys;
use super::keys::canyon::CanyonKeys;
use super::keys::quarry::QuarryKeys;
use super::ledger::unionpay_calendar;

/// The source of time, given from outside, so that a test can move it over a cut-off.
pub type ChannelClock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// The default merchant of both dialects: UnionPay's published test merchant.
pub const MERCHANT_ID: &str = "777290058110097";

/// The most posts of one notice (UnionPay sends up to five times).
const NOTICE_TRIES_MAX: usize = 5;

/// Which protocol the channel speaks.
#[derive(Debug, Clone)]
pub enum DialectSettings {
    UnionPayAcp(UnionPayAcpSettings),
    Bank(BankSettings),
    Iso8583(Iso8583Settings),
}

impl DialectSettings {
    /// The name in reports.
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::UnionPayAcp(_) => "unionpay-acp",
            Self::Bank(bank) => match bank.style {
                BankStyle::Harbour(_) => "harbour-bank",
                BankStyle::Meadow { .. } => "meadow-bank",
                BankStyle::Quarry { .. } => "quarry-bank",
                BankStyle::Canyon { .. } => "canyon-pay",
            },
            Self::Iso8583(_) => "iso8583",
        }
    }

    /// The lines of a reversed success in the real channel's statements. The banks have a word for
    /// it: REVOKED, CANCEL, void. UnionPay's detail has none, and an acquirer clears only successes
    /// that stand.
    const fn reversed_lines(&self) -> ReversedLines {
        match self {
            Self::Bank(_) => ReversedLines::Both,
            Self::UnionPayAcp(_) | Self::Iso8583(_) => ReversedLines::Neither,
        }
    }

    /// Harbour Bank's settings, if it is that bank.
    pub fn harbour(&self) -> Option<&HarbourSettings> {
        match self {
            Self::Bank(BankSettings { style: BankStyle::Harbour(bank), .. }) => Some(bank),
            Self::UnionPayAcp(_) | Self::Bank(_) | Self::Iso8583(_) => None,
        }
    }

    /// The same, mutable.
    pub fn harbour_mut(&mut self) -> Option<&mut HarbourSettings> {
        match self {
            Self::Bank(BankSettings { style: BankStyle::Harbour(bank), .. }) => Some(bank),
            Self::UnionPayAcp(_) | Self::Bank(_) | Self::Iso8583(_) => None,
        }
    }
}

closed_set! {
    /// The lines in a statement of a success that was reversed under its own number.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum ReversedLines {
        /// The line of the success, and one that takes it back.
        Both => "both",
        Neither => "neither",
    }
}

/// The far end of ISO 8583 links.
#[derive(Clone)]
pub struct Iso8583Settings {
    pub style: Iso8583Style,
    pub form: Arc<LinkForm>,
    /// How messages are authenticated; `None` where they are not.
    pub mac: Option<MacRule>,
    /// Hexadecimal: 16 digits, or 32 where the MAC needs them.
    pub mac_key: Zeroizing<String>,
    /// Hexadecimal, 32 digits: with it, a terminal's sign-in is answered with working keys.
    pub master_key: Option<Zeroizing<String>>,
    /// Whether each sign-in brings a key that no other has brought, and ends the one before.
    pub gives_fresh_keys: bool,
}

impl Iso8583Settings {
    /// A link of the shipped format, whose sign-ons bring nothing.
    fn usual(style: Iso8583Style, mac_key: &str) -> Self {
        let (form, rule) = links::usual(style.shipped());
        Self {
            style,
            form: Arc::new(form),
            mac: Some(rule),
            mac_key: Zeroizing::new(mac_key.to_owned()),
            master_key: None,
            gives_fresh_keys: false,
        }
    }
}

/// The message set that the far end uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Iso8583Style {
    Posp,
    Cups,
}

impl Iso8583Style {
    /// The format that holds unless a channel's file says otherwise.
    pub const fn shipped(self) -> ShippedFormat {
        match self {
            Self::Posp => ShippedFormat::Posp,
            Self::Cups => ShippedFormat::Cups,
        }
    }
}

impl fmt::Debug for Iso8583Settings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Iso8583Settings({:?})", self.style)
    }
}

/// UnionPay's online platform, ACP 5.1.0.
#[derive(Debug, Clone)]
pub struct UnionPayAcpSettings {
    pub keys: Arc<SimulatorKeys>,
    pub merchant_id: String,
    /// Whether the merchant's contract wants a code by SMS with each consume and
    /// authorisation.
    pub wants_codes: bool,
}

/// One of the banks that `channels/` shows as examples of the `http` protocol.
#[derive(Clone)]
pub struct BankSettings {
    pub merchant_id: String,
    pub style: BankStyle,
}

impl fmt::Debug for BankSettings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "BankSettings(merchant {})", self.merchant_id)
    }
}

/// Which bank, with its keys.
#[derive(Clone)]
pub enum BankStyle {
    /// JSON, signed by HMAC-SHA256.
    Harbour(HarbourSettings),
    /// Forms, MD5 with a shared key.
    Meadow { key: Zeroizing<String> },
    /// XML, SM2 and SM4.
    Quarry { keys: Arc<QuarryKeys> },
    /// The platform with the REST interface and the encrypted notices.
    Canyon { keys: Arc<CanyonKeys> },
}

/// Harbour Bank.
#[derive(Clone)]
pub struct HarbourSettings {
    /// The key of HMAC-SHA256, as text.
    pub key: Zeroizing<String>,
    /// If false, a request needs no signature. Replies are signed all the same.
    pub verify_signatures: bool,
    /// Charges out of a hundred that are answered "processing" and decided later.
    pub pending_percent: u8,
}

/// The retries of a notice.
#[derive(Debug, Clone)]
pub struct NoticeRetries {
    /// Waits between the posts of one notice: one post more than there are waits, at most five.
    pub waits: Vec<Duration>,
    /// The time-out of one post (UnionPay waits ten seconds).
    pub timeout: Duration,
}

impl Default for NoticeRetries {
    fn default() -> Self {
        let waits = [200, 400, 800, 1_000].map(Duration::from_millis).to_vec();
        Self { waits, timeout: Duration::from_secs(10) }
    }
}

/// Everything about one simulated channel. Start from [`Self::unionpay_acp`] or
/// [`Self::harbour_bank`] and change what matters.
#[derive(Clone)]
pub struct SimulatorSettings {
    /// The name in reports.
    pub id: String,
    pub dialect: DialectSettings,
    /// The address to listen on; port 0 takes a free one.
    pub address: SocketAddr,
    pub faults: Faults,
    /// One seed gives one history of card answers and faults.
    pub seed: u64,
    /// Charges out of a hundred that the card's issuer declines, 0 to 100.
    pub declines_percent: u8,
    /// The same for undos, refunds and captures.
    pub undo_declines_percent: u8,
    /// Lines of a statement out of a hundred that differ from the ledger, 0 to 100.
    pub differences_percent: u8,
    /// The lines of a reversed success in its statements. UnionPay's have no word for a reversal.
    pub reversed_lines: ReversedLines,
    /// The time that the channel works on an order that it does not decide at once.
    pub working: DurationRange,
    /// Larger charges are declined as over the limit.
    pub per_order_max_minor: i64,
    /// When the clearing day ends, at a whole minute; midnight is the calendar day. The ledger,
    /// every reply and the statements go by it.
    pub calendar: ClearingCalendar,
    /// The channel's fee, in millionths of the amount, 0 to 1,000,000.
    pub fee_rate_ppm: u32,
    /// Whether the channel keeps the fee of a refunded amount; otherwise a refund returns its own.
    pub keeps_refund_fees: bool,
    /// Whether a charge may still be processed after a reversal of its number was answered "no such
    /// order". If false, such a number is dead. If true, only `not_found_final_after` guards
    /// against it, so the longest `faults.delay_for` must lie below that.
    pub late_arrivals: bool,
    pub notice_retries: NoticeRetries,
    /// The address for notices of a channel whose requests do not name one: the merchant has
    /// configured it at the channel. `None` posts none.
    pub notices_to: Option<String>,
    pub clock: ChannelClock,
    /// The clock of the Date headers in its replies, right or wrong; `None` sends none.
    pub dates: Option<ChannelClock>,
}

impl SimulatorSettings {
    /// UnionPay's platform with the published test merchant, no faults, one order in ten declined.
    pub fn unionpay_acp(id: &str, keys: Arc<SimulatorKeys>, clock: ChannelClock) -> Self {
        let merchant_id = MERCHANT_ID.to_owned();
        let settings = UnionPayAcpSettings { keys, merchant_id, wants_codes: false };
        Self::plain(id, DialectSettings::UnionPayAcp(settings), clock)
    }

    /// Harbour bank, signatures verified, a key made from its name: it protects nothing real.
    pub fn harbour_bank(id: &str, clock: ChannelClock) -> Self {
        let style = BankStyle::Harbour(HarbourSettings {
            key: Zeroizing::new(sha256_hex(format!("simulated bank {id}").as_bytes())),
            verify_signatures: true,
            pending_percent: 0,
        });
        let merchant_id = MERCHANT_ID.to_owned();
        Self::plain(id, DialectSettings::Bank(BankSettings { merchant_id, style }), clock)
    }

    /// The far end of ISO 8583 links, with a MAC key made from its name: it protects nothing real.
    pub fn iso8583(id: &str, style: Iso8583Style, clock: ChannelClock) -> Self {
        let key = sha256_hex(format!("simulated links {id}").as_bytes());
        let dialect = Iso8583Settings::usual(style, &key[..16]);
        Self::plain(id, DialectSettings::Iso8583(dialect), clock)
    }

    /// An acquirer of ISO 8583 links whose terminals get a fresh MAC key at each sign-in.
    pub fn iso8583_with_fresh_keys(id: &str, clock: ChannelClock) -> Self {
        let key = sha256_hex(format!("simulated links {id}").as_bytes());
        let dialect = Iso8583Settings {
            master_key: Some(Zeroizing::new(key[16..48].to_owned())),
            gives_fresh_keys: true,
            ..Iso8583Settings::usual(Iso8583Style::Posp, &key[..16])
        };
        Self::plain(id, DialectSettings::Iso8583(dialect), clock)
    }

    /// Harbour bank as the far end of a throughput test: unsigned requests, no declines.
    pub fn benchmark(id: &str, clock: ChannelClock) -> Self {
        Self::harbour_bank(id, clock).with_declines_percent(0).without_request_signatures()
    }

    /// A channel of the given dialect, for instance a channel file's other side. No faults, one
    /// order in ten declined.
    pub fn of(id: &str, dialect: DialectSettings, clock: ChannelClock) -> Self {
        Self::plain(id, dialect, clock)
    }

    /// Requests need no signature, if the dialect works without: for throughput tests.
    pub fn without_request_signatures(mut self) -> Self {
        if let Some(bank) = self.dialect.harbour_mut() {
            bank.verify_signatures = false;
        }
        self
    }

    fn plain(id: &str, dialect: DialectSettings, clock: ChannelClock) -> Self {
        Self {
            id: id.to_owned(),
            reversed_lines: dialect.reversed_lines(),
            dialect,
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            faults: Faults::calm(),
            seed: 1,
            declines_percent: 10,
            undo_declines_percent: 0,
            differences_percent: 0,
            working: DurationRange::millis(20, 200),
            per_order_max_minor: AMOUNT_MINOR_MAX,
            calendar: unionpay_calendar(),
            fee_rate_ppm: 3_500,
            keeps_refund_fees: false,
            late_arrivals: false,
            notice_retries: NoticeRetries::default(),
            notices_to: None,
            clock,
            dates: None,
        }
    }

    /// Replies carry this clock's time.
    pub fn with_dates(mut self, clock: ChannelClock) -> Self {
        self.dates = Some(clock);
        self
    }

    /// The only merchant that is served.
    pub fn with_merchant_id(mut self, merchant_id: &str) -> Self {
        match &mut self.dialect {
            DialectSettings::UnionPayAcp(acp) => acp.merchant_id = merchant_id.to_owned(),
            DialectSettings::Bank(bank) => bank.merchant_id = merchant_id.to_owned(),
            // A link belongs to one institution: the key identifies it.
            DialectSettings::Iso8583(_) => {}
        }
        self
    }

    /// UnionPay's platform with a merchant whose contract wants a code by SMS with each consume
    /// and authorisation.
    pub fn wanting_codes(mut self) -> Self {
        if let DialectSettings::UnionPayAcp(acp) = &mut self.dialect {
            acp.wants_codes = true;
        }
        self
    }

    /// The key text of harbour bank's HMAC; UnionPay has none.
    pub fn with_harbour_key(mut self, key: &str) -> Self {
        if let Some(bank) = self.dialect.harbour_mut() {
            bank.key = Zeroizing::new(key.to_owned());
        }
        self
    }

    pub fn with_address(mut self, address: SocketAddr) -> Self {
        self.address = address;
        self
    }

    pub fn with_faults(mut self, faults: Faults) -> Self {
        self.faults = faults;
        self
    }

    pub fn with_seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    pub fn with_declines_percent(mut self, percent: u8) -> Self {
        self.declines_percent = percent;
        self
    }

    pub fn with_differences_percent(mut self, percent: u8) -> Self {
        self.differences_percent = percent;
        self
    }

    pub fn with_reversed_lines(mut self, lines: ReversedLines) -> Self {
        self.reversed_lines = lines;
        self
    }

    pub fn with_working(mut self, working: DurationRange) -> Self {
        self.working = working;
        self
    }

    pub fn with_notice_retries(mut self, retries: NoticeRetries) -> Self {
        self.notice_retries = retries;
        self
    }

    /// The whole address, for instance `http://127.0.0.1:7070/notices/bank`.
    pub fn with_notices_to(mut self, url: &str) -> Self {
        self.notices_to = Some(url.to_owned());
        self
    }

    /// At a whole minute, in the time zone of [`Self::calendar`].
    pub fn with_cut_off(mut self, cut_off: jiff::civil::Time) -> Self {
        self.calendar.cut_off = cut_off;
        self
    }

    pub fn with_late_arrivals(mut self) -> Self {
        self.late_arrivals = true;
        self
    }

    /// Checks that every number lies in its range; the error names one that does not.
    pub fn check(&self) -> Result<(), String> {
        self.faults.check()?;
        let pending = self.dialect.harbour().map_or(0, |bank| bank.pending_percent);
        let percents =
            [self.declines_percent, self.undo_declines_percent, self.differences_percent, pending];
        for percent in percents {
            if percent > 100 {
                return Err(format!("{percent} of a hundred"));
            }
        }
        let is_unionpay = matches!(self.dialect, DialectSettings::UnionPayAcp(_));
        if is_unionpay && self.reversed_lines == ReversedLines::Both {
            return Err("UnionPay's statements have no line for a reversal".to_owned());
        }
        if self.fee_rate_ppm > 1_000_000 {
            return Err(format!("a fee of {} millionths", self.fee_rate_ppm));
        }
        if self.notice_retries.waits.len() >= NOTICE_TRIES_MAX {
            return Err(format!("a notice is posted at most {NOTICE_TRIES_MAX} times"));
        }
        Ok(())
    }
}
