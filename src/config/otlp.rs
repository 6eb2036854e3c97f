//! `[telemetry.otlp]`: where spans go.

use std::time::Duration;

use crate::config::section::Section;
use crate::config::url;

#[derive(Debug, Clone)]
pub struct OtlpSettings {
    /// The whole URL of a collector that takes OTLP over HTTP; without one no span is made.
    pub endpoint: Option<String>,
    /// Of a hundred traces that begin here, so many have spans.
    pub sample_percent: u64,
    pub timeout: Duration,
}

impl OtlpSettings {
    pub(super) fn read(root: &Section<'_>) -> Self {
        let telemetry = root.section("telemetry");
        let section = telemetry.section("otlp");
        let times = Duration::from_millis(10)..=Duration::from_secs(60);
        let settings = Self {
            endpoint: url::read(&section, "endpoint"),
            sample_percent: section.integer("sample_percent", 0..=100),
            timeout: section.duration("timeout", times),
        };
        section.finish();
        telemetry.finish();
        settings
    }
}
