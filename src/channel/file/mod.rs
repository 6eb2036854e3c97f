//! Reads the part of a channel's file that every protocol shares. The protocol's own section is
//! read by the protocol's module.

mod abilities;
pub mod codes;
pub mod whole;

mod fees;

use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use jiff::civil;
use jiff::tz::TimeZone;

use crate::channel::file::abilities::read_abilities;
pub use crate::channel::file::abilities::{Abilities, Ability};
use crate::channel::file::codes::CodeMeaning;
use crate::channel::statement::StatementTerms;
use crate::channel::transport::breaker::BreakerTerms;
use crate::channel::transport::http::Timeouts;
use crate::channel::transport::pace::PaceTerms;
use crate::config::accounts;
use crate::config::section::Section;
use crate::domain::attempt::Operation;
use crate::domain::books::accounting::AccountNames;
use crate::domain::ids::ChannelId;
use crate::domain::money::AMOUNT_MINOR_MAX;
use crate::domain::route::channel::{ChannelProfile, ChannelState};
use crate::domain::route::hours::{DayWindow, Hours};
use crate::domain::route::maintenance::MaintenanceWindow;
use crate::domain::terms::{AfterInquiry, CommonTerms, ReportedSuccessRule, ReverseUntil, Terms};
use crate::domain::time::ClearingCalendar;

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// How long refunds are taken where the file does not say it, in days; and the longest that our own
/// promise to know an order id lasts with room to spare (I-9).
const REFUND_DAYS: u32 = 180;
const REFUND_DAYS_MAX: u32 = 400;
/// How long a pre-authorisation is good where the file does not say it (UnionPay: 30 days).
const PREAUTH_DAYS: u32 = 30;
/// How long after its cut-off a clearing day is closed where the file does not say it: most of what
/// was unknown at the cut-off is known by then, and statements do not come before.
const CLOSE_AFTER: Duration = Duration::from_secs(8 * 60 * 60);
/// Waits and windows of a channel's unknown schedule.
const WAITS: RangeInclusive<Duration> = Duration::ZERO..=DAY;

/// Amounts and hours that were agreed.
#[derive(Debug, Clone)]
pub struct Limits {
    pub per_order_min_minor: i64,
    pub per_order_max_minor: i64,
    /// Of payments and pre-authorisations for one clearing day; `None` means no limit.
    pub per_day_minor: Option<i64>,
    /// Of payouts for one clearing day; given where the channel carries payouts out.
    pub payouts_per_day_minor: Option<i64>,
    /// How many days after its original a refund is taken.
    pub refund_days: u32,
    /// How many days after it a pre-authorisation can be captured or voided.
    pub preauth_days: u32,
    /// Opening hours in the clearing time zone; empty means always. A window may cross midnight.
    pub hours: Vec<DayWindow>,
    /// When it takes no orders although its hours say so.
    pub maintenance: Vec<MaintenanceWindow>,
}

/// A channel's file, checked.
pub struct ChannelFile {
    pub id: ChannelId,
    pub protocol: String,
    pub name: String,
    pub state: ChannelState,
    pub abilities: Abilities,
    pub limits: Limits,
    pub pace: PaceTerms,
    pub timeouts: Timeouts,
    /// References to PEM roots that its TLS certificate must chain to; empty means the operating
    /// system's.
    pub tls_roots: Vec<String>,
    /// Reference to the certificate that we show the channel, with its key.
    pub tls_identity: Option<String>,
    pub breaker: BreakerTerms,
    pub terms: Terms,
    pub codes: Vec<(String, CodeMeaning)>,
    /// `None`: the channel's statements are not downloaded.
    pub statement: Option<StatementTerms>,
}

impl ChannelFile {
    /// The channel as a plan looks at it, with its switch.
    pub fn profile(&self, enabled: bool) -> ChannelProfile {
        let zone = self.terms.calendar.zone.clone();
        let windows = self.limits.hours.clone();
        ChannelProfile {
            id: self.id.clone(),
            state: self.state,
            enabled,
            operations: self.abilities.order_operations(),
            services: self.abilities.services(),
            instruments: self.abilities.instruments.clone(),
            payees: self.abilities.payees.clone(),
            account_kinds: self.abilities.account_kinds.clone(),
            code_beginnings: self.abilities.code_beginnings.clone(),
            card_types: self.abilities.card_types.clone().unwrap_or_default(),
            brands: self.abilities.brands.clone().unwrap_or_default(),
            currencies: self.abilities.currencies.clone(),
            per_order_min_minor: self.limits.per_order_min_minor,
            per_order_max_minor: self.limits.per_order_max_minor,
            per_day_minor: self.limits.per_day_minor,
            payouts_per_day_minor: self.limits.payouts_per_day_minor,
            hours: (!windows.is_empty()).then_some(Hours { windows, zone }),
            maintenance: self.limits.maintenance.clone(),
            fees: Arc::new(self.terms.fees.clone()),
            calendar: self.terms.calendar.clone(),
            keeps_pan: self.terms.keeps_pan,
        }
    }

    /// Reads the shared part. Mistakes go to the section's collector; with any, the value is not to
    /// be used. The caller reads the protocol's section and then calls `finish`.
    pub fn read(root: &Section<'_>, id: ChannelId, common: &CommonTerms) -> Self {
        whole::refuse_chain(root);
        let abilities = read_abilities(root);
        let clearing = read_clearing(root);
        let limits = read_limits(root, &abilities, &clearing.0.zone);
        let pace = read_pace(root);
        let timeouts = read_timeouts(root);
        // Two requests for one operation take twice as long.
        let requests = if root.has_within("http", "first") { 2 } else { 1 };
        let longest_call = (pace.wait_max + timeouts.connect + timeouts.reply) * requests;
        let states = ChannelState::ALL.map(|state| (state.name(), state));
        let call = (longest_call, clearing);
        let mut terms = read_terms(root, id.clone(), &abilities, &limits, call, common);
        let statement = StatementTerms::read(root);
        terms.statement_claims = statement.as_ref().map(|one| one.claims).unwrap_or_default();
        Self {
            protocol: root.text_such_as("protocol", "unionpay-acp"),
            name: root.text_or("name", id.as_str()),
            state: root.choice("state", &states),
            tls_roots: root.optional_texts("tls_roots").unwrap_or_default(),
            tls_identity: root.optional_text("tls_identity"),
            breaker: read_breaker(root),
            codes: read_codes(root),
            statement,
            id,
            abilities,
            limits,
            pace,
            timeouts,
            terms,
        }
    }
}

fn read_limits(root: &Section<'_>, abilities: &Abilities, zone: &TimeZone) -> Limits {
    let section = root.section("limits");
    let amounts = 1..=AMOUNT_MINOR_MAX;
    let per_order_min_minor = section.integer_or("per_order_min_minor", 1, amounts.clone());
    let per_order_max_minor = section.integer("per_order_max_minor", amounts);
    if per_order_min_minor > per_order_max_minor {
        let advice = "make the maximum at least the minimum";
        section.mistake("per_order_max_minor", "is below per_order_min_minor", advice);
    }
    let mut hours = Vec::new();
    for (index, text) in section.optional_texts("hours").unwrap_or_default().iter().enumerate() {
        let advice = "write it like \"00:30-23:00\"; \"22:00-02:00\" crosses midnight";
        match DayWindow::parse(text) {
            Ok(window) => hours.push(window),
            Err(error) => section.mistake_in("hours", index, &error.to_string(), advice),
        }
    }
    let mut maintenance = Vec::new();
    let windows = section.optional_texts("maintenance").unwrap_or_default();
    for (index, text) in windows.iter().enumerate() {
        let advice = "write it like \"2026-12-01 02:00 to 04:00\", or with the day behind `to` too";
        match MaintenanceWindow::parse(text, zone) {
            Ok(window) => maintenance.push(window),
            Err(error) => section.mistake_in("maintenance", index, &error.to_string(), advice),
        }
    }
    let day = 1..=i64::MAX / 4;
    let limits = Limits {
        per_order_min_minor,
        per_order_max_minor,
        per_day_minor: section.optional_integer("per_day_minor", day.clone()),
        payouts_per_day_minor: section.optional_integer("payouts_per_day_minor", day),
        refund_days: section.integer_or("refund_days", REFUND_DAYS, 1..=REFUND_DAYS_MAX),
        preauth_days: section.integer_or("preauth_days", PREAUTH_DAYS, 1..=REFUND_DAYS_MAX),
        hours,
        maintenance,
    };
    let pays_out = abilities.can(Ability::Payout);
    if pays_out && limits.payouts_per_day_minor.is_none() {
        let advice = "say how much may leave by payouts in one clearing day";
        section.mistake("payouts_per_day_minor", "is missing", advice);
    }
    section.finish();
    limits
}

fn positive(section: &Section<'_>, key: &str, default: u32, max: u32) -> NonZeroU32 {
    let value = section.integer_or(key, default, 1..=max);
    NonZeroU32::new(value).unwrap_or(NonZeroU32::MIN)
}

fn read_pace(root: &Section<'_>) -> PaceTerms {
    let section = root.section("pace");
    let per_second = positive(&section, "requests_per_second", 100, 1_000_000);
    let pace = PaceTerms {
        requests_per_second: per_second,
        burst: positive(&section, "burst", per_second.get(), 1_000_000),
        in_flight: positive(&section, "in_flight", 64, 100_000),
        wait_max: section.duration_or("wait_max", SECOND / 2, Duration::ZERO..=60 * SECOND),
    };
    section.finish();
    pace
}

fn read_timeouts(root: &Section<'_>) -> Timeouts {
    let section = root.section("timeouts");
    let bounds = Duration::from_millis(1)..=300 * SECOND;
    let timeouts = Timeouts {
        connect: section.duration_or("connect", 2 * SECOND, bounds.clone()),
        reply: section.duration_or("reply", 10 * SECOND, bounds.clone()),
        idle: section.duration_or("idle", 15 * SECOND, bounds),
    };
    section.finish();
    timeouts
}

fn read_breaker(root: &Section<'_>) -> BreakerTerms {
    let section = root.section("breaker");
    let breaker = BreakerTerms {
        failures: section.integer_or("failures", 10, 1..=1_000_000),
        open_for: section.duration_or("open_for", 5 * SECOND, SECOND / 100..=DAY),
    };
    section.finish();
    breaker
}

fn read_codes(root: &Section<'_>) -> Vec<(String, CodeMeaning)> {
    let mut codes = Vec::new();
    let Some(section) = root.optional_section("codes") else { return codes };
    for (code, _) in section.keys() {
        if let Some(verdict) = section.parsed(code, "approved", CodeMeaning::parse) {
            codes.push((code.to_owned(), verdict));
        }
    }
    section.finish();
    codes
}

fn read_terms(
    root: &Section<'_>,
    channel: ChannelId,
    abilities: &Abilities,
    limits: &Limits,
    (longest_call, (calendar, close_after)): (Duration, (ClearingCalendar, Duration)),
    common: &CommonTerms,
) -> Terms {
    let section = root.section("unknown");
    let then = [
        ("reverse", AfterInquiry::Reverse),
        ("inquire_daily", AfterInquiry::InquireDaily),
        ("operator", AfterInquiry::Operator),
    ];
    let until = [("clearing_day", ReverseUntil::ClearingDay), ("always", ReverseUntil::Always)];
    let believed = longest_call..=30 * DAY;
    let not_found_final_after = section.duration("not_found_final_after", believed.clone());
    let not_found_final_after_of = read_not_found_of(&section, abilities, &believed);
    let own = not_found_final_after_of.iter().map(|(_, wait)| *wait);
    let soonest_final = own.fold(not_found_final_after, Duration::min);
    let terms = Terms {
        channel,
        inquire: section.durations("inquire", WAITS),
        then: section.choice("then", &then),
        reverse: section.durations("reverse", WAITS),
        reverse_until: section.choice_or("reverse_until", ReverseUntil::ClearingDay, &until),
        not_found_final_after,
        not_found_final_after_of,
        operations: abilities.order_operations(),
        reversible: abilities.reversible.clone(),
        partial_refund: abilities.partial_refund,
        refund_days: limits.refund_days,
        preauth_days: limits.preauth_days,
        follow_up_needs_card: abilities.follow_up_needs_card,
        keeps_pan: section.boolean_or("keeps_pan", false),
        // What sets out then has ended before it counts as lost, and still has half of its time to
        // arrive. A commit may take two seconds on a busy disk, whatever a file says.
        sets_out_within: (longest_call + 10 * SECOND)
            .min((soonest_final / 2).max(soonest_final.min(2 * SECOND))),
        // Twice what a call can take, so that a slow call is not mistaken for a lost one.
        call_ends_after: longest_call * 2 + 10 * SECOND,
        statement_claims: ReportedSuccessRule::default(),
        calendar,
        close_after,
        fees: fees::read(root),
        accounts: read_accounts(root, common),
        has_accounting: common.has_accounting,
        notice_url: common.notice_url.clone(),
    };
    check_schedule(&section, &terms, abilities);
    if terms.keeps_pan && !abilities.has_cards_alone() {
        let advice = "leave only cards in abilities.instruments and payees, or keep no number";
        let problem = "an agreement, a code or an account has no card number to keep";
        section.mistake("keeps_pan", problem, advice);
    }
    section.finish();
    terms
}

/// The operations of which "no such order" is final at another time than of the others.
fn read_not_found_of(
    unknown: &Section<'_>,
    abilities: &Abilities,
    believed: &RangeInclusive<Duration>,
) -> Vec<(Operation, Duration)> {
    let Some(section) = unknown.optional_section("not_found_final_after_of") else {
        return Vec::new();
    };
    let mut own = Vec::new();
    for operation in Operation::ALL {
        let name = operation.name();
        let Some(wait) = section.optional_duration(name, believed.clone()) else { continue };
        if !abilities.can(Ability::of(operation)) {
            let advice = "add it to abilities.operations, or take it out here";
            section.mistake(name, "the channel has no such operation", advice);
        }
        own.push((operation, wait));
    }
    section.finish();
    own
}

/// A schedule that the channel's abilities cannot carry out would leave an unknown without an end.
fn check_schedule(section: &Section<'_>, terms: &Terms, abilities: &Abilities) {
    let asks = !terms.inquire.is_empty();
    let reverses = !terms.reverse.is_empty();
    if asks && !abilities.can(Ability::Inquiry) {
        let advice = "add \"inquiry\" to abilities.operations, or leave the list empty";
        section.mistake("inquire", "the channel has no inquiry", advice);
    }
    if reverses && !abilities.can(Ability::Reversal) {
        let advice = "add \"reversal\" to abilities.operations, or leave the list empty";
        section.mistake("reverse", "the channel has no reversal", advice);
    }
    if terms.then == AfterInquiry::Reverse && !reverses {
        let advice = "give `reverse` its waits, or choose inquire_daily or operator";
        section.mistake("then", "nothing is left to do: `reverse` is empty", advice);
    }
    if terms.then == AfterInquiry::InquireDaily && !asks {
        let advice = "give `inquire` its waits, or choose operator";
        section.mistake("then", "the channel cannot be asked daily: `inquire` is empty", advice);
    }
}

/// The channel's own names of accounts, where it has some.
fn read_accounts(root: &Section<'_>, common: &CommonTerms) -> AccountNames {
    let Some(section) = root.optional_section("accounting") else { return common.accounts.clone() };
    let accounts = section.section("accounts");
    let names = accounts::read(&accounts, &common.accounts);
    accounts.finish();
    section.finish();
    names
}

fn read_clearing(root: &Section<'_>) -> (ClearingCalendar, Duration) {
    let section = root.section("clearing");
    let example = "Asia/Shanghai";
    let zone = section.parsed("time_zone", example, |name| {
        TimeZone::get(name).map_err(|_| "is not a time zone of the IANA database")
    });
    let cut_off = section.parsed("cut_off", "23:00", |text| {
        let fits = text.len() == 5;
        let parsed = text.parse::<civil::Time>().ok().filter(|_| fits);
        parsed.ok_or("is not a time of day like 23:00")
    });
    let close_after = section.duration_or("close_after", CLOSE_AFTER, Duration::ZERO..=30 * DAY);
    section.finish();
    let calendar = ClearingCalendar {
        zone: zone.unwrap_or(TimeZone::UTC),
        cut_off: cut_off.unwrap_or(civil::Time::midnight()),
    };
    (calendar, close_after)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::mistake::Mistakes;
    use crate::config::raw::Document;

    const WHOLE: &str = r#"
protocol = "http"
state = "live"
[abilities]
operations = ["payment", "inquiry", "reversal"]
currencies = ["CNY"]
[limits]
per_order_max_minor = 5000
hours = ["00:30-23:00"]
[unknown]
inquire = ["2s", "5s"]
then = "reverse"
reverse = ["0s"]
not_found_final_after = "10m"
[clearing]
time_zone = "Asia/Shanghai"
cut_off = "23:00"
[[fees]]
name = "all"
rate_ppm = 6000
[codes]
"00" = "approved"
"#;

    fn read(text: &str) -> (ChannelFile, Vec<String>) {
        let document = Document::parse("a.toml", text).expect("the syntax is right");
        let mistakes = Mistakes::new();
        let root = document.root(&mistakes);
        let id = ChannelId::parse("a").expect("an id");
        let file = ChannelFile::read(&root, id, &CommonTerms::default());
        root.finish();
        let found = mistakes.into_result().err().unwrap_or_default();
        (file, found.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_short_file_is_enough() {
        let (file, mistakes) = read(WHOLE);
        assert_eq!(mistakes, Vec::<String>::new());
        assert_eq!(file.limits.hours.len(), 1);
        assert_eq!(file.terms.inquire.len(), 2);
        assert_eq!(file.codes, [("00".to_owned(), CodeMeaning::Approved)]);
        assert!(!file.terms.can(Operation::Undo));
        assert_eq!(file.terms.reversible, [Operation::Payment]);
        assert!(file.terms.partial_refund && !file.terms.follow_up_needs_card);
        assert!(file.terms.call_ends_after > file.timeouts.reply * 2);
    }

    #[test]
    fn impossible_schedules_are_refused_with_their_lines() {
        let rows = [
            ("then = \"reverse\"", "then = \"sometimes\"", "a.toml:12: unknown.then"),
            ("reverse = [\"0s\"]", "reverse = []", "a.toml:12: unknown.then"),
            ("\"reversal\"]", "]", "a.toml:13: unknown.reverse"),
            ("\"inquiry\", ", "", "a.toml:11: unknown.inquire"),
            ("\"10m\"", "\"1s\"", "a.toml:14: unknown.not_found_final_after"),
            (
                "[\"CNY\"]",
                "[\"CNY\"]\ninstruments = [\"card\", \"code\"]\nfollow_up_needs_card = true",
                "a.toml:8: abilities.follow_up_needs_card: what an agreement or a code has paid",
            ),
            (
                "\"10m\"",
                "\"10m\"\nnot_found_final_after_of = { payment = \"1s\" }",
                "a.toml:15: unknown.not_found_final_after_of.payment: ",
            ),
            (
                "\"10m\"",
                "\"10m\"\nnot_found_final_after_of = { refund = \"1h\" }",
                "a.toml:15: unknown.not_found_final_after_of.refund: the channel has no such",
            ),
            (
                "\"10m\"",
                "\"10m\"\nnot_found_final_after_of = { inquiry = \"1h\" }",
                "a.toml:15: unknown.not_found_final_after_of.inquiry: is not a known",
            ),
            ("23:00\"\n[[", "25:00\"\n[[", "a.toml:17: clearing.cut_off"),
            ("Asia/Shanghai", "Asia/Atlantis", "a.toml:16: clearing.time_zone"),
            ("\"approved\"", "\"fine\"", "a.toml:22: codes.00"),
            ("rate_ppm = 6000", "rate_pmm = 6000", "a.toml:20: fees[0].rate_pmm"),
            (
                "[\"CNY\"]",
                "[\"CNY\"]\nreversible = [\"refund\"]",
                "a.toml:7: abilities.reversible[0]",
            ),
            ("hours = ", "refund_days = 900\nhours = ", "a.toml:9: limits.refund_days"),
            ("00:30-23:00", "0:30 to 23", "a.toml:9: limits.hours[0]"),
            (
                "hours = ",
                "maintenance = [\"2026-12-01 02:00\"]\nhours = ",
                "a.toml:9: limits.maintenance[0]: is not of the form",
            ),
        ];
        for (from, to, expected) in rows {
            let changed = WHOLE.replacen(from, to, 1);
            assert_ne!(changed, WHOLE, "{from}");
            let (_, mistakes) = read(&changed);
            assert!(mistakes.iter().any(|m| m.starts_with(expected)), "{to}: {mistakes:?}");
        }
    }

    #[test]
    fn only_where_cards_alone_pay_is_a_number_kept() {
        let keeps = WHOLE.replacen("then = ", "keeps_pan = true\nthen = ", 1);
        assert_eq!(read(&keeps).1, Vec::<String>::new());
        let codes = keeps.replacen("[limits]", "instruments = [\"card\", \"code\"]\n[limits]", 1);
        let (_, mistakes) = read(&codes);
        let expected =
            "a.toml:13: unknown.keeps_pan: an agreement, a code or an account has no card";
        assert!(mistakes[0].starts_with(expected), "{mistakes:?}");
        assert_eq!(mistakes.len(), 1, "{mistakes:?}");
    }

    #[test]
    fn a_channel_may_have_accounts_of_its_own() {
        let own = "[accounting.accounts]\nbank_reserve = \"nostro:{channel}:{currency}\"\n";
        let (file, mistakes) = read(&format!("{WHOLE}{own}"));
        assert_eq!(mistakes, Vec::<String>::new());
        let common = CommonTerms::default().accounts;
        assert_eq!(file.terms.accounts.bank_reserve, "nostro:{channel}:{currency}");
        assert_eq!(file.terms.accounts.channel_fee_cost, common.channel_fee_cost);
        for wrong in [
            "reserve = \"x\"",
            "bank_reserve = \"{bank}\"",
            "bank_reserve = \" \"",
            "bank_reserve = \"{merchant}\"",
        ] {
            let (_, mistakes) = read(&format!("{WHOLE}[accounting.accounts]\n{wrong}\n"));
            let first = mistakes.first().map(String::as_str).unwrap_or_default();
            assert!(first.starts_with("a.toml:24: accounting.accounts."), "{wrong}: {first}");
        }
    }

    #[test]
    fn every_mistake_is_reported_at_once() {
        let text = "protocol = 5\nstate = \"open\"\n[unknown]\nthen = \"never\"\n";
        let (_, mistakes) = read(text);
        assert!(mistakes.len() >= 6, "{mistakes:?}");
    }
}
