//! Settings ready to use: every relation verified, nothing optional that is required.

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::config::accounts;
use crate::config::console::ConsoleSettings;
use crate::config::four_eyes::FourEyesSettings;
use crate::config::in_force::SettingInForce;
use crate::config::otlp::OtlpSettings;
use crate::config::section::Section;
use crate::config::server::ServerSettings;
use crate::config::url;
use crate::domain::bin::Bin;
use crate::domain::books::accounting::AccountNames;
use crate::domain::card::LuhnWaiver;
use crate::domain::closed_set;
use crate::domain::ids::{CallerId, ORDERS_PER_SECOND_MAX};
use crate::domain::terms::RateTerms;

const SECOND: Duration = Duration::from_secs(1);
/// The routes file where the settings name none.
const ROUTES_FILE: &str = "routes.toml";
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// The most requests that `accounting.batch_max` allows: a body of about 300 KB.
const ACCOUNTING_BATCH_MAX: usize = 500;
/// The most keys that sign notices at once: one that is known everywhere, and its successor.
const NOTICE_KEYS_MAX: usize = 2;

closed_set! {
    /// A caller's rights.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub enum Role {
        /// Sends orders and reads its own.
        Core => "core",
        /// Works unknowns, switches channels, refreshes the BIN table; reads everything.
        Operator => "operator",
        /// Reads everything.
        Auditor => "auditor",
    }
}

/// One who may call. The key itself is nowhere: only its SHA-256.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    pub name: CallerId,
    /// Whose key it is: two keys of one person are no two people. The name, where none is given.
    pub person: CallerId,
    pub roles: Vec<Role>,
    pub key_sha256: [u8; 32],
    /// SHA-256 of the public keys (DER SubjectPublicKeyInfo) of the client certificates of which it
    /// must show one; empty: it need not.
    pub certificate_keys_sha256: Vec<[u8; 32]>,
}

/// How something owed to another system is delivered.
#[derive(Debug, Clone)]
pub struct DeliverySettings {
    /// `None`: it is kept and shown, but not sent.
    pub url: Option<String>,
    pub timeout: Duration,
    pub in_flight: NonZeroU32,
    /// Waits after each failure; never empty, the last one repeats.
    pub waits: Vec<Duration>,
}

impl DeliverySettings {
    /// The longest of its waits.
    pub fn longest_wait(&self) -> Duration {
        self.waits.iter().copied().max().unwrap_or(SECOND)
    }

    /// The wait after the given number of failed tries (from 1).
    pub fn wait(&self, tries: u32) -> Duration {
        let index = usize::try_from(tries.saturating_sub(1)).unwrap_or(usize::MAX);
        self.waits.get(index).or(self.waits.last()).copied().unwrap_or(SECOND)
    }
}

#[derive(Debug, Clone)]
pub struct BinTableSettings {
    pub min_rows: usize,
    pub max_removed_percent: u8,
    pub versions_kept: usize,
    pub source: Option<String>,
    pub refresh_every: Duration,
}

/// Where the books are kept.
#[derive(Debug, Clone)]
pub struct StoreSettings {
    /// The address of a PostgreSQL database, `postgres://…`; without it the books lie in the data
    /// folder.
    pub url: Option<String>,
    /// The reference of the database's password, if one is given.
    pub password: Option<String>,
    /// The reference of the certificates that the database's TLS is trusted by; the system's
    /// without it.
    pub root_certificates: Option<String>,
    /// Connections that write, 1 to 64.
    pub writers: u16,
    /// Connections that read, 1 to 1,000.
    pub readers: u16,
    pub queue_max: usize,
    pub group_max: usize,
    pub cache_bytes: u64,
}

/// Everything that the daemon is told at its start.
#[derive(Debug, Clone)]
pub struct Settings {
    pub server: ServerSettings,
    pub console: ConsoleSettings,
    pub four_eyes: FourEyesSettings,
    pub caller_requests_per_second: NonZeroU32,
    pub caller_burst: NonZeroU32,
    pub wait_default: Duration,
    pub wait_max: Duration,
    pub luhn_waiver: LuhnWaiver,
    pub node: u16,
    /// The most orders that this node takes in a second, over a day.
    pub orders_per_second_max: u32,
    pub store: StoreSettings,
    pub channels_folder: PathBuf,
    pub routes_file: PathBuf,
    /// The settings name it, so it must be there at a start.
    pub routes_is_named: bool,
    /// The share of the last day's orders, in hundredths, that a reload may move without a yes.
    pub hold_above_percent: u8,
    pub rates: RateTerms,
    pub bin_table: BinTableSettings,
    pub accounting: DeliverySettings,
    /// The most accounting requests of one post, from 1.
    pub accounting_batch_max: usize,
    pub accounts: AccountNames,
    pub notices: DeliverySettings,
    /// How long after an order's end its notice is tried.
    pub notices_retry_for: Duration,
    pub plain_http_to: Vec<String>,
    /// The references of at most two keys, the newest first; without any, those of the data folder.
    pub notice_keys: Vec<String>,
    /// How many hosts must bear out a clock that is ahead.
    pub clock_witnesses: NonZeroU32,
    pub look_every: Duration,
    pub reversals_in_flight: NonZeroU32,
    pub otlp: OtlpSettings,
    pub log: crate::telemetry::LogForm,
    pub log_level: tracing::Level,
    pub callers: Vec<Caller>,
    /// All of them as texts, for people.
    pub in_force: Vec<SettingInForce>,
    /// The folder that paths in the settings, and credential files, are relative to.
    pub base: PathBuf,
}

impl Settings {
    /// Reads the document's root. With any mistake in the collector the value is not to be used.
    pub fn read(root: Section<'_>, base: &Path) -> Self {
        let (caller_requests_per_second, caller_burst) = read_caller_limits(&root);
        let payments = root.section("payments");
        let waits = Duration::ZERO..=600 * SECOND;
        let wait_default = payments.duration("wait_default", waits.clone());
        let wait_max = payments.duration("wait_max", waits);
        if wait_default > wait_max {
            payments.mistake("wait_default", "is above wait_max", "lower it, or raise wait_max");
        }
        payments.finish();
        let node = root.section("node");
        let number = node.integer("number", 0..=999);
        let orders_per_second_max =
            node.integer("orders_per_second_max", 1..=ORDERS_PER_SECOND_MAX);
        node.finish();
        let channels = root.section("channels");
        let (channels_folder, routes) = (channels.text("folder"), channels.optional_text("routes"));
        let hold_above_percent = channels.integer("hold_above_percent", 0..=100);
        channels.finish();
        let clock = root.section("clock");
        let clock_witnesses = positive(&clock, "witnesses", 100);
        clock.finish();
        let workers = root.section("workers");
        let look_every = workers.duration("look_every", SECOND / 100..=3600 * SECOND);
        let reversals_in_flight = positive(&workers, "reversals_in_flight", 10_000);
        workers.finish();
        let (accounting, accounting_batch_max, accounts) = read_accounting(&root);
        let (notices, notices_retry_for, plain_http_to, notice_keys) = read_notices(&root);
        let (log, log_level) = read_log(&root);
        let server = ServerSettings::read(&root);
        let callers = read_callers(&root, &server);
        let settings = Self {
            four_eyes: FourEyesSettings::read(&root, operators(&callers)),
            callers,
            server,
            console: ConsoleSettings::read(&root),
            caller_requests_per_second,
            caller_burst,
            wait_default,
            wait_max,
            luhn_waiver: read_luhn_waiver(&root),
            node: number,
            orders_per_second_max,
            store: read_store(&root),
            channels_folder: base.join(channels_folder),
            routes_file: base.join(routes.as_deref().unwrap_or(ROUTES_FILE)),
            routes_is_named: routes.is_some(),
            hold_above_percent,
            rates: read_rates(&root),
            bin_table: read_bin_table(&root),
            accounting,
            accounting_batch_max,
            accounts,
            notices,
            notices_retry_for,
            plain_http_to,
            notice_keys,
            clock_witnesses,
            look_every,
            reversals_in_flight,
            otlp: OtlpSettings::read(&root),
            log,
            log_level,
            in_force: Vec::new(),
            base: base.to_owned(),
        };
        root.finish();
        settings
    }
}

fn read_caller_limits(root: &Section<'_>) -> (NonZeroU32, NonZeroU32) {
    let section = root.section("caller_limits");
    let read = |key| positive(&section, key, 10_000_000);
    let limits = (read("requests_per_second"), read("burst"));
    section.finish();
    limits
}

fn read_rates(root: &Section<'_>) -> RateTerms {
    let section = root.section("rates");
    let terms = RateTerms {
        half_life: section.duration("half_life", 60 * SECOND..=30 * DAY),
        samples_min: section.integer("samples_min", 1..=100_000),
    };
    section.finish();
    terms
}

fn positive(section: &Section<'_>, key: &str, max: u32) -> NonZeroU32 {
    NonZeroU32::new(section.integer(key, 1..=max)).unwrap_or(NonZeroU32::MIN)
}

fn read_luhn_waiver(root: &Section<'_>) -> LuhnWaiver {
    let section = root.section("cards");
    let bins = section.texts("luhn_waived_bins").into_iter().filter_map(|text| {
        let bin = Bin::parse(&text);
        if let Err(error) = &bin {
            let advice = "give the leading 2 to 12 digits of the range's card numbers";
            section.mistake("luhn_waived_bins", &error.to_string(), advice);
        }
        bin.ok()
    });
    let waiver = LuhnWaiver::of(bins.collect());
    section.finish();
    waiver
}

fn read_delivery(section: &Section<'_>) -> DeliverySettings {
    let bounds: RangeInclusive<Duration> = SECOND / 1000..=7 * DAY;
    let mut waits = section.durations("waits", bounds);
    if waits.is_empty() {
        section.mistake("waits", "has no wait", "give at least one; the last one repeats");
        waits.push(SECOND);
    }
    DeliverySettings {
        url: url::read(section, "url"),
        timeout: section.duration("timeout", SECOND / 100..=600 * SECOND),
        in_flight: positive(section, "in_flight", 10_000),
        waits,
    }
}

fn read_accounting(root: &Section<'_>) -> (DeliverySettings, usize, AccountNames) {
    let section = root.section("accounting");
    let delivery = read_delivery(&section);
    let batch_max = section.integer("batch_max", 1..=ACCOUNTING_BATCH_MAX);
    // The defaults are in the file of defaults too; the words of both are held together by a test.
    let accounts = section.section("accounts");
    let names = accounts::read(&accounts, &AccountNames::default());
    accounts.finish();
    section.finish();
    (delivery, batch_max, names)
}

fn read_notices(root: &Section<'_>) -> (DeliverySettings, Duration, Vec<String>, Vec<String>) {
    let section = root.section("notices");
    let delivery = read_delivery(&section);
    let retry_for = section.duration("retry_for", SECOND..=90 * DAY);
    let plain_http_to = section.texts("plain_http_to");
    let keys = section.texts("keys");
    if keys.len() > NOTICE_KEYS_MAX {
        section.mistake("keys", "are more than two", "leave out the oldest");
    }
    section.finish();
    (delivery, retry_for, plain_http_to, keys)
}

fn read_store(root: &Section<'_>) -> StoreSettings {
    let section = root.section("store");
    let given = |key| Some(section.text_or(key, "")).filter(|text| !text.is_empty());
    let settings = StoreSettings {
        url: given("url"),
        password: given("password"),
        root_certificates: given("root_certificates"),
        writers: section.integer("writers", 1..=64),
        readers: section.integer("readers", 1..=1_000),
        queue_max: section.integer("queue_max", 1..=10_000_000),
        group_max: section.integer("group_max", 1..=100_000),
        cache_bytes: section.integer("cache_bytes", 1_048_576..=1 << 40),
    };
    let is_known = |url: &String| {
        ["postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme))
    };
    if settings.url.as_ref().is_some_and(|url| !is_known(url)) {
        section.mistake(
            "url",
            "is no address of a database",
            "write postgres://user@host:5432/database, or leave it empty for the embedded store",
        );
    }
    section.finish();
    settings
}

fn read_bin_table(root: &Section<'_>) -> BinTableSettings {
    let section = root.section("bin_table");
    let source = section.text_or("source", "");
    let settings = BinTableSettings {
        min_rows: section.integer("min_rows", 1..=100_000_000),
        max_removed_percent: section.integer("max_removed_percent", 0..=100),
        versions_kept: section.integer("versions_kept", 2..=1_000),
        source: Some(source).filter(|source| !source.is_empty()),
        refresh_every: section.duration("refresh_every", 60 * SECOND..=365 * DAY),
    };
    section.finish();
    settings
}

fn read_log(root: &Section<'_>) -> (crate::telemetry::LogForm, tracing::Level) {
    use crate::telemetry::LogForm;
    let section = root.section("log");
    let form = section.choice("form", &[("text", LogForm::Text), ("json", LogForm::Json)]);
    let levels = [
        ("error", tracing::Level::ERROR),
        ("warn", tracing::Level::WARN),
        ("info", tracing::Level::INFO),
        ("debug", tracing::Level::DEBUG),
    ];
    let level = section.choice("level", &levels);
    section.finish();
    (form, level)
}

/// How many people are operators.
fn operators(callers: &[Caller]) -> usize {
    let operators = callers.iter().filter(|caller| caller.roles.contains(&Role::Operator));
    operators.map(|caller| &caller.person).collect::<BTreeSet<_>>().len()
}

fn read_callers(root: &Section<'_>, server: &ServerSettings) -> Vec<Caller> {
    let tls = server.api.tls.as_ref();
    let asks_certificates = tls.is_some_and(|tls| tls.client_roots.is_some());
    let mut callers: Vec<Caller> = Vec::new();
    for section in root.sections("callers") {
        let roles = Role::ALL.map(|role| (role.name(), role));
        let name = section.parsed("name", "core", CallerId::parse);
        let person = section.optional_parsed("person", "ann", CallerId::parse);
        let roles = section.choices("roles", &roles);
        let hash = section.parsed("key_sha256", "64 hexadecimal digits", parse_hash);
        let certificate_keys_sha256 = read_certificate_keys(&section, asks_certificates);
        if roles.is_empty() {
            section.mistake("roles", "names no role", "give core, operator or auditor");
        }
        if let (Some(name), Some(key_sha256)) = (name, hash) {
            if callers.iter().any(|other| other.name == name) {
                section.mistake("name", "another caller has this name", "choose one for each");
            }
            let person = person.unwrap_or_else(|| name.clone());
            callers.push(Caller { name, person, roles, key_sha256, certificate_keys_sha256 });
        }
        section.finish();
    }
    callers
}

/// The public keys that a caller is bound to.
fn read_certificate_keys(section: &Section<'_>, asks_certificates: bool) -> Vec<[u8; 32]> {
    const KEY: &str = "certificate_keys_sha256";
    let Some(texts) = section.optional_texts(KEY) else { return Vec::new() };
    if !asks_certificates {
        let advice = "name their authority in server.tls.client_roots, or leave it out";
        section.mistake(KEY, "binds the caller to a certificate that nobody asks for", advice);
    } else if texts.is_empty() {
        section.mistake(KEY, "names no key", "give at least one, or leave it out");
    }
    let parse = |(index, text): (usize, &String)| match parse_hash(text) {
        Ok(hash) => Some(hash),
        Err(problem) => {
            let advice = "give the SHA-256 of the certificate's public key in hexadecimal";
            section.mistake_in(KEY, index, problem, advice);
            None
        }
    };
    texts.iter().enumerate().filter_map(parse).collect()
}

/// The SHA-256 of a key, in hexadecimal.
fn parse_hash(text: &str) -> Result<[u8; 32], &'static str> {
    let wrong = "is not 64 hexadecimal digits";
    let mut hash = [0; 32];
    if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(wrong);
    }
    for (place, byte) in hash.iter_mut().enumerate() {
        let digits = text.get(place * 2..place * 2 + 2).ok_or(wrong)?;
        *byte = u8::from_str_radix(digits, 16).map_err(|_| wrong)?;
    }
    Ok(hash)
}
