//! Reads `[http.token]`: how a credential that the channel hands out is got.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::call::CallReader;
use super::{BODY_FORMATS, SAMPLE_URL, split_base_url};
use crate::channel::protocol::declarative::Destination;
use crate::channel::protocol::declarative::format::{BodyForm, BodyFormat};
use crate::channel::protocol::declarative::kind::RequestKind;
use crate::channel::protocol::declarative::token::TokenCall;
use crate::config::section::Section;

const MINUTE: Duration = Duration::from_secs(60);
/// How long such a credential may be good.
const LIFETIMES: RangeInclusive<Duration> = MINUTE..=Duration::from_secs(30 * 24 * 60 * 60);

/// `Some(None)` where the file has no such section, `None` after a mistake. Its requests go where
/// the channel's others go, unless it has an address of its own.
pub fn read_token(
    http: &Section<'_>,
    reader: &CallReader<'_>,
    usual: Option<(String, String)>,
) -> Option<Option<TokenCall>> {
    let Some(section) = http.optional_section(RequestKind::TOKEN.name) else { return Some(None) };
    let format = section.choice_or("format", BodyFormat::Form, &BODY_FORMATS[..3]);
    let form = BodyForm { format, ..reader.request };
    let reply_format = section.choice_or("reply_format", BodyFormat::Json, &BODY_FORMATS);
    let reply_form = BodyForm { format: reply_format, ..reader.reply };
    let reader = CallReader { request: form, reply: reply_form, seal: None, ..*reader };
    let sending = reader.sending(RequestKind::TOKEN, &section, &|_| &section);
    let own = section.optional_parsed("base_url", SAMPLE_URL, |text| split_base_url(text, false));
    let base = if section.has("base_url") { own } else { usual };
    let is_signed = section.boolean_or("signed", false);
    let reply = section.section("reply");
    let token = reply.parsed("token", "/access_token", |text| reader.path(text));
    let expires_in = reader.path_at(&reply, "expires_in");
    reply.finish();
    let lifetime = section.duration_or("lifetime", 10 * MINUTE, LIFETIMES);
    let renew_before =
        section.duration_or("renew_before", MINUTE, Duration::from_secs(1)..=60 * MINUTE);
    let refused = section.integers_or("refused", &[401], 400_u16..=599);
    section.finish();
    let destination = Destination::of(base?, form, is_signed);
    Some(Some(TokenCall {
        sending: sending?,
        destination,
        reply_form,
        token: token?,
        expires_in,
        lifetime,
        renew_before,
        refused,
    }))
}
