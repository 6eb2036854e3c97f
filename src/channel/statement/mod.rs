//! A channel's statement (对账单): how a protocol asks for it, and what the channel's file says of
//! it.
//!
//! The seam for protocols is [`StatementSource`]: bytes out, bytes in, verified and unpacked; like
//! an adapter it does no I/O. A reply may point to where the file lies: then there is a second
//! request, and never a third. `reconciliation` asks, and takes what comes. Nothing here reads what
//! a statement says.

mod archive;

use std::sync::Arc;
use std::time::Duration;

use jiff::civil;

use crate::channel::transport::http::HttpTransport;
use crate::channel::{Adapter, EncodeError, WireReply, WireRequest};
use crate::codec::crypto::digest::Digest;
use crate::codec::layout::Layout;
use crate::codec::order_form::OrderForm;
use crate::config::layout;
use crate::config::section::Section;
use crate::domain::books::difference::CARRY_DAYS_MAX;
use crate::domain::books::reconcile::Tolerance;
use crate::domain::terms::ReportedSuccessRule;
use crate::domain::time::{BusinessDate, ClearingCalendar, Timestamp};

pub use self::archive::{UnpackError, check_zip, gunzip, inflate, unzip};

/// Bytes of one reply that carries a statement, as it travels.
pub const REPLY_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Bytes of all files of one statement, unpacked: about 800,000 lines of UnionPay's.
pub const FILES_BYTES_MAX: usize = 512 * 1024 * 1024;
/// Files of one statement.
pub const FILES_MAX: usize = 64;
/// Characters of a file's name.
const NAME_LENGTH_MAX: usize = 128;

/// One file of a statement, named as the channel names it.
#[derive(Clone, PartialEq, Eq)]
pub struct StatementFile {
    name: String,
    pub bytes: Vec<u8>,
}

impl StatementFile {
    /// `None` if the name could lead out of a folder, or hide in one.
    pub fn new(name: &str, bytes: Vec<u8>) -> Option<Self> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        let fits = (1..=NAME_LENGTH_MAX).contains(&name.len())
            && name.bytes().all(plain)
            && !name.starts_with(['.', '-']);
        fits.then(|| Self { name: name.to_owned(), bytes })
    }

    pub fn name(&self) -> &str {
        &self.name
    }
}

/// Its size, never its lines: they have card numbers, masked or not (I-11).
impl std::fmt::Debug for StatementFile {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} ({} bytes)", self.name, self.bytes.len())
    }
}

/// A channel's reply to the request for a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StatementReply {
    /// Verified and unpacked, at least one.
    Files(Vec<StatementFile>),
    /// The statement lies elsewhere: one more request brings it.
    Elsewhere(FilePointer),
    /// The channel has none for this date: too early, or nothing happened on it, and it does not
    /// say which.
    NotYet { code: String },
    /// Verified: nothing happened on this date, so there is no file and none will come.
    Empty { code: String },
    /// The channel answered, and it is no statement.
    Refused { code: String },
    /// Not a verified, readable statement of this date. Says why, and quotes nothing of it.
    Unbelieved { problem: String },
}

/// Where the file itself lies, as a believed reply has said. Hosts are checked already.
#[derive(Clone, PartialEq, Eq)]
pub struct FilePointer {
    /// Scheme, host and port.
    pub origin: String,
    /// With its query, which may hold a token: whoever has it may have the file.
    pub path: String,
    /// The digest of the unpacked file, as the reply says.
    pub digest: Option<(Digest, Vec<u8>)>,
}

impl std::fmt::Debug for FilePointer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "FilePointer({}/…)", self.origin)
    }
}

/// A protocol's way to a statement. Whatever is asked twice is answered twice: nothing moves.
pub trait StatementSource: Send + Sync {
    /// Builds the bytes that ask for the statement of a clearing date.
    fn encode_statement(
        &self,
        date: BusinessDate,
        now: Timestamp,
    ) -> Result<WireRequest, EncodeError>;

    /// Verifies and unpacks the reply to it.
    fn decode_statement(
        &self,
        date: BusinessDate,
        reply: &WireReply,
        now: Timestamp,
    ) -> StatementReply;

    /// Builds the request for the file that a reply has pointed to.
    fn encode_file(
        &self,
        date: BusinessDate,
        pointer: &FilePointer,
        now: Timestamp,
    ) -> Result<WireRequest, EncodeError>;

    /// Verifies and unpacks the file; never points on.
    fn decode_file(
        &self,
        date: BusinessDate,
        pointer: &FilePointer,
        reply: &WireReply,
        now: Timestamp,
    ) -> StatementReply;
}

/// The adapter, transport and terms that ask one channel for its statements.
pub struct StatementLink {
    pub adapter: Arc<dyn Adapter>,
    pub transport: HttpTransport,
    pub terms: StatementTerms,
}

/// When a channel is asked for its statements, and how they are read: section `[statement]` of its
/// file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatementTerms {
    /// The time of day, in the clearing time zone, at which the statement of the day before should
    /// be there. `None`: nobody asks by himself; it is asked for by hand, or uploaded.
    pub download_at: Option<civil::Time>,
    /// Waits before a date is asked for again; the last one repeats.
    pub retry: Vec<Duration>,
    /// How many clearing dates back one that is missing is still asked for.
    pub look_back_days: u16,
    /// For the whole of one reply.
    pub timeout: Duration,
    /// How its files are read; `None` if the channel's file does not say it.
    pub layout: Option<Layout>,
    /// By how much a fee may differ from ours.
    pub tolerance: Tolerance,
    /// Which of the files that land for a date is the one that leads: a name with `*` for anything.
    /// `None`: whichever comes.
    pub file: Option<String>,
    /// How many clearing days a difference waits for later statements before it is suspended.
    pub carry_days: u16,
    /// The rule for a success that the statement claims against our books.
    pub claims: ReportedSuccessRule,
    /// After so many further whole statements without an attempt, it never arrived (I-3). `None`:
    /// absence proves nothing.
    pub absence_proves_after_days: Option<u16>,
}

impl StatementTerms {
    /// The name of the file that leads, where one is named; a layout that names the file of a ZIP
    /// names the one that comes unpacked too.
    pub fn leading_name(&self) -> Option<&str> {
        let member = self.layout.as_ref().and_then(|layout| layout.member.as_deref());
        self.file.as_deref().or(member)
    }

    /// Reads the section, if there is one.
    pub fn read(root: &Section<'_>) -> Option<Self> {
        const MINUTE: Duration = Duration::from_secs(60);
        let section = root.optional_section("statement")?;
        let download_at = section.optional_parsed("download_at", "09:30", |text| {
            let parsed = text.parse::<civil::Time>().ok().filter(|_| text.len() == 5);
            parsed.ok_or("is not a time of day like 09:30")
        });
        let bounds = MINUTE / 60..=24 * 60 * MINUTE;
        let retry = [10 * MINUTE, 30 * MINUTE, 60 * MINUTE];
        let retry = section.durations_or("retry", &retry, bounds);
        if retry.is_empty() {
            section.mistake("retry", "is empty", "give at least one wait, or leave it out");
        }
        let layout = layout::shipped_or_inline(&section, "layout").map(|layout| {
            // What is wrong with the form is told where the protocol reads it.
            let form = root.text_within("http", "order_no").map(OrderForm::parse);
            Layout { order_form: form.and_then(Result::ok).unwrap_or_default(), ..layout }
        });
        let absence = section.optional_integer("absence_proves_after_days", 0..=31_u16);
        if absence.is_some() && layout.as_ref().is_none_or(|layout| !layout.counts_its_lines()) {
            section.mistake(
                "absence_proves_after_days",
                "its layout names no total that counts the lines, so that no file is known to be \
                 whole",
                "name the total in the layout's footer or summary, or leave it out",
            );
        }
        let terms = Self {
            download_at,
            retry,
            look_back_days: section.integer_or("look_back_days", 3, 1..=31),
            timeout: section.duration_or("timeout", 2 * MINUTE, MINUTE / 60..=60 * MINUTE),
            layout,
            tolerance: Tolerance {
                fee_minor: section.integer_or("fee_tolerance_minor", 0, 0..=1_000_000),
            },
            file: section.optional_text("file"),
            carry_days: section.integer_or("carry_days", 3, 0..=CARRY_DAYS_MAX),
            claims: section.choice_or(
                "contradiction",
                ReportedSuccessRule::Undo,
                &[("undo", ReportedSuccessRule::Undo), ("suspend", ReportedSuccessRule::Suspend)],
            ),
            absence_proves_after_days: absence,
        };
        section.finish();
        Some(terms)
    }

    /// The clearing dates whose statements should be there by `now`, oldest first.
    pub fn dates_due(&self, calendar: &ClearingCalendar, now: Timestamp) -> Vec<BusinessDate> {
        let Some(download_at) = self.download_at else { return Vec::new() };
        let local = now.civil(&calendar.zone);
        let newest = if local.time() >= download_at { 1 } else { 2 };
        let oldest = newest + i32::from(self.look_back_days) - 1;
        let back = |days: i32| {
            let span = jiff::Span::new().try_days(days).ok()?;
            local.date().checked_sub(span).ok().map(BusinessDate::new)
        };
        (newest..=oldest).rev().filter_map(back).collect()
    }

    /// The wait after the `failures`-th failure in a row, from 1.
    pub fn wait_after(&self, failures: usize) -> Duration {
        let place = failures.saturating_sub(1).min(self.retry.len().saturating_sub(1));
        self.retry.get(place).copied().unwrap_or(Duration::from_secs(3_600))
    }
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;
    use crate::config::mistake::Mistakes;
    use crate::config::raw::Document;

    fn read(text: &str) -> (Option<StatementTerms>, Vec<String>) {
        let document = Document::parse("a.toml", text).expect("TOML");
        let mistakes = Mistakes::new();
        let root = document.root(&mistakes);
        let terms = StatementTerms::read(&root);
        root.finish();
        let found = mistakes.into_result().err().unwrap_or_default();
        (terms, found.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn the_section_has_defaults_and_says_its_mistakes() {
        let (terms, mistakes) = read("[statement]\ndownload_at = \"09:30\"\n");
        let terms = terms.expect("terms");
        assert_eq!(mistakes, Vec::<String>::new());
        assert_eq!((terms.look_back_days, terms.retry.len()), (3, 3));
        assert_eq!((terms.layout, terms.tolerance.fee_minor), (None, 0));
        let shipped = "[statement]\ndownload_at = \"09:30\"\nlayout = \"wechat-trade\"\n";
        let (named, mistakes) = read(&format!("{shipped}fee_tolerance_minor = 1\n"));
        let named = named.expect("terms");
        assert_eq!((mistakes.len(), named.tolerance.fee_minor), (0, 1));
        assert_eq!(named.layout, layout::shipped("wechat-trade").ok());
        let text = crate::config::layout::SHIPPED.iter().find(|row| row.0 == "unionpay-zme");
        let text = text.expect("shipped").1.replace('[', "[statement.layout.");
        let text = text.replace("= [statement.layout.", "= [");
        let written = format!("[statement]\ndownload_at = \"09:30\"\n[statement.layout]\n{text}");
        let (written, mistakes) = read(&written);
        assert_eq!(mistakes, Vec::<String>::new());
        assert_eq!(written.and_then(|terms| terms.layout), layout::shipped("unionpay-zme").ok());
        let (_, mistakes) = read(&shipped.replace("wechat-trade", "wechat"));
        assert!(mistakes.iter().any(|line| line.contains("alipay-trade")), "{mistakes:?}");
        let (_, mistakes) = read("[statement]\nretry = []\nlook_back_days = 0\n");
        assert_eq!(mistakes.len(), 2, "{mistakes:?}");
        let (_, mistakes) = read("[statement]\ndownload_at = \"9:30\"\n");
        assert_eq!(mistakes.len(), 1, "{mistakes:?}");
        assert_eq!(read("").0, None);
    }

    #[test]
    fn its_lines_have_order_numbers_as_the_channel_has_them() {
        let text =
            "[http]\norder_no = \"SW{{ order_no }}0\"\n[statement]\nlayout = \"generic-csv\"\n";
        let layout = read(text).0.and_then(|terms| terms.layout).expect("a layout");
        assert_eq!(layout.order_form.strip(b"SW2611200010000000001010"), b"261120001000000000101");
    }

    #[test]
    fn a_date_is_due_on_the_day_after_it_at_the_agreed_time() {
        let (terms, _) = read("[statement]\ndownload_at = \"09:30\"\nlook_back_days = 2\n");
        let terms = terms.expect("terms");
        let zone = TimeZone::get("Asia/Shanghai").expect("a zone");
        let calendar = ClearingCalendar { zone, cut_off: civil::time(23, 0, 0, 0) };
        let due = |text: &str| -> Vec<String> {
            let moment: jiff::Timestamp = text.parse().expect("RFC 3339");
            let now = Timestamp::from_millis(moment.as_millisecond());
            terms.dates_due(&calendar, now).iter().map(ToString::to_string).collect()
        };
        assert_eq!(due("2026-11-22T01:29:59Z"), ["2026-11-19", "2026-11-20"]);
        assert_eq!(due("2026-11-22T01:30:00Z"), ["2026-11-20", "2026-11-21"]);
        assert_eq!(due("2026-11-22T15:30:00Z"), ["2026-11-20", "2026-11-21"]);
        let (uploaded, mistakes) = read("[statement]\nlayout = \"generic-csv\"\n");
        let uploaded = uploaded.expect("terms");
        assert_eq!((mistakes, uploaded.download_at), (Vec::new(), None));
        let late = Timestamp::from_millis(1_795_334_400_000);
        assert_eq!(uploaded.dates_due(&calendar, late), []);
        let waits = [1, 2, 3, 4, 100].map(|failures| terms.wait_after(failures).as_secs());
        assert_eq!(waits, [600, 1_800, 3_600, 3_600, 3_600]);
    }

    #[test]
    fn a_name_stays_in_its_folder() {
        for name in ["", ".hidden", "../up", "a/b", "a\\b", "-rf", "账单", "a b", "a\0b"] {
            assert!(StatementFile::new(name, Vec::new()).is_none(), "{name}");
        }
        assert!(StatementFile::new("INN25060188ZM_777290058110097", Vec::new()).is_some());
    }
}
