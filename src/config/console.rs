//! `[console]`: the operator's pages.

use std::time::Duration;

use jiff::tz::TimeZone;

use crate::config::section::Section;

#[derive(Debug, Clone)]
pub struct ConsoleSettings {
    /// Whether the API's listener serves the pages.
    pub enabled: bool,
    /// A session ends when nothing was asked for so long.
    pub idle_end: Duration,
    /// Of the times that are shown.
    pub zone: TimeZone,
}

impl ConsoleSettings {
    pub(super) fn read(root: &Section<'_>) -> Self {
        let section = root.section("console");
        let times = Duration::from_secs(10)..=Duration::from_secs(24 * 60 * 60);
        let zone = section.parsed("time_zone", "Asia/Shanghai", |name| {
            TimeZone::get(name).map_err(|_| "is not a time zone of the IANA database")
        });
        let settings = Self {
            enabled: section.boolean("enabled"),
            idle_end: section.duration("idle_end", times),
            zone: zone.unwrap_or(TimeZone::UTC),
        };
        section.finish();
        settings
    }
}
