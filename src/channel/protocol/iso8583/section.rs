//! Reads the section `[iso8583]` of a channel file and builds the adapter from it.
//!
//! Reports every mistake with its line and goes on. Credentials are references that the caller
//! resolves: this file reads no other file and no environment.

use std::ops::RangeInclusive;
use std::time::Duration;

use jiff::tz::TimeZone;
use rustls::pki_types::ServerName;
use zeroize::Zeroizing;

use crate::channel::file::codes::CodeMeaning;
use crate::channel::file::{Ability, ChannelFile};
use crate::channel::transport::tcp::LinkTerms;
use crate::codec::iso8583::header::{CupsHeader, FrameHeader};
use crate::codec::iso8583::mac::DesKey;
use crate::codec::iso8583::notation::{FieldSpec, Packing};
use crate::codec::iso8583::{Draft, Format, encode};
use crate::config::credential::CredentialResolver;
use crate::config::links::{read_link_form, read_mac_rule};
use crate::config::section::Section;
use crate::domain::attempt::Operation;

use super::codes::ResponseCodes;
use super::settings::{KeySource, OriginalField};
use super::{Iso8583, Iso8583Terms, Mac, Numbering, Style, Wire};

/// A channel over links as its section describes it: the adapter, its links, and the name that TLS
/// must prove.
pub struct Iso8583Channel {
    pub adapter: Iso8583,
    pub links: LinkTerms,
    pub tls_name: Option<ServerName<'static>>,
}

const STYLES: [(&str, Style); 2] = [("posp", Style::Posp), ("cups", Style::Cups)];
const LINKS_MAX: usize = 64;
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

/// Reads the section. `None` means that at least one mistake was reported.
pub fn read(
    root: &Section<'_>,
    file: &ChannelFile,
    resolve: &CredentialResolver<'_>,
) -> Option<Iso8583Channel> {
    let section = root.section("iso8583");
    let style = section.choice("style", &STYLES);
    let links = read_links(&section);
    let tls_name = read_tls(&section, &links);
    let wire = read_wire(&section, style);
    let mac = read_mac(&section, style, wire.as_ref().map(|wire| &wire.format), resolve);
    let numbering = read_numbering(&section, style);
    check_abilities(&section, file);
    let signs_on = read_sign_on(&section, &mac);
    let posp = |key: &str, default: &str, lengths| match style {
        Style::Posp => read_digits(&section, key, Some(default), lengths),
        Style::Cups => String::new(),
    };
    let cups = |key: &str, default: Option<&str>, lengths| match style {
        Style::Posp => String::new(),
        Style::Cups => read_digits(&section, key, default, lengths),
    };
    let private = match style {
        // Nothing behind the batch.
        Style::Posp => posp("private", "", 0..=9),
        Style::Cups => cups("private", Some("000005000300000000000001000000"), 4..=100),
    };
    let batch = posp("batch", "000001", 6..=6);
    let acquirer = cups("acquirer", None, 1..=11);
    let forwarder = cups("forwarder", None, 1..=11);
    let reversal_reason = cups("reversal_reason", Some("4351"), 4..=4);
    let zone = read_zone(&section);
    let merchant_id = digits_or_letters(&section, "merchant_id", 15);
    let entry_mode = read_digits(&section, "entry_mode", Some("012"), 3..=3);
    let reversal_carries = read_carried(&section, style);
    let tests_line = section.boolean_or("line_test", true);
    let format = wire.as_ref().map(|wire| &wire.format);
    let values = read_values(&section, style, format);
    if let Some(format) = format {
        check_essential(&section, style, format, signs_on || tests_line);
    }
    let has_tls = !matches!(tls_name, Some(None));
    check_unused(&section, style, wire.as_ref(), tests_line, has_tls);
    let codes = ResponseCodes::new(file.codes.clone(), read_reversal_codes(&section));
    section.finish();
    let settings = Iso8583Terms {
        style,
        numbering: numbering?,
        mac: mac?,
        zone,
        merchant_id,
        entry_mode,
        batch,
        acquirer,
        forwarder,
        private,
        reversal_carries,
        reversal_reason,
        signs_on,
        tests_line,
        values,
        wire: wire?,
    };
    let tls_name = tls_name?;
    Some(Iso8583Channel { adapter: Iso8583::new(settings, codes), links: links?, tls_name })
}

fn read_sign_on(section: &Section<'_>, mac: &Option<Option<Mac>>) -> bool {
    let signs_in = matches!(mac, Some(Some(Mac { source: KeySource::SignIn { .. }, .. })));
    let signs_on = section.boolean_or("sign_on", signs_in);
    if signs_in && !signs_on {
        let advice = "leave sign_on out, or give the MAC its own key";
        section.mistake("sign_on", "without it nothing brings the MAC key", advice);
    }
    signs_on
}

/// Refuses abilities that the protocol lacks, and reversals without the card number.
fn check_abilities(section: &Section<'_>, file: &ChannelFile) {
    if file.abilities.can(Ability::Inquiry) {
        let advice = "take inquiry out of abilities.operations, and let `unknown.then` reverse";
        section.mistake("style", "the protocol has no inquiry", advice);
    }
    for service in file.abilities.services() {
        let problem = format!("the protocol has no {service}");
        section.mistake("style", &problem, "take it out of abilities.operations");
    }
    if file.abilities.can(Ability::Reversal) && !file.terms.keeps_pan {
        let advice = "write `keeps_pan = true` under [unknown]";
        section.mistake("style", "its reversals carry the card number", advice);
    }
    for (index, operation) in file.abilities.reversible.iter().enumerate() {
        if *operation == Operation::Undo {
            let problem = format!("`abilities.reversible[{index}]`: no reversal takes it back");
            section.mistake("style", &problem, "take undo out");
        }
    }
}

fn read_links(section: &Section<'_>) -> Option<LinkTerms> {
    let addresses = section.texts("addresses");
    let fits = |address: &String| {
        let port = address.rsplit_once(':').map(|(host, port)| (host.is_empty(), port.parse()));
        matches!(port, Some((false, Ok(1..=u16::MAX))))
    };
    let wrong = addresses.iter().position(|address| !fits(address));
    if let Some(index) = wrong {
        section.mistake_in("addresses", index, "is not host:port", "write it like a.b.com:7001");
    } else if addresses.is_empty() {
        section.mistake("addresses", "is empty", "write [\"host:port\"]");
    }
    let terms = LinkTerms {
        links: section.integer_or("links", 1, 1..=LINKS_MAX),
        in_flight_max: section.integer_or("in_flight_per_link", 1_024, 1..=65_536),
        echo_after: section.duration_or("line_test_after", 60 * SECOND, 10 * MILLISECOND..=DAY),
        reconnect_first: section.duration_or("reconnect_first", SECOND, MILLISECOND..=DAY),
        reconnect_longest: section.duration_or("reconnect_longest", 60 * SECOND, MILLISECOND..=DAY),
        addresses,
    };
    (wrong.is_none() && !terms.addresses.is_empty()).then_some(terms)
}

/// Outer `None` after a mistake, inner `None` without TLS.
fn read_tls(
    section: &Section<'_>,
    links: &Option<LinkTerms>,
) -> Option<Option<ServerName<'static>>> {
    let wanted = section.boolean_or("tls", false);
    let name = section.optional_text("tls_name");
    if !wanted {
        return Some(None);
    }
    let host = links.as_ref().and_then(|links| links.addresses[0].rsplit_once(':'));
    let name = name.or_else(|| host.map(|(host, _)| host.to_owned()))?;
    match ServerName::try_from(name) {
        Ok(name) => Some(Some(name)),
        Err(_) => {
            section.mistake("tls_name", "is not a host's name", "write the certificate's name");
            None
        }
    }
}

fn read_wire(section: &Section<'_>, style: Style) -> Option<Wire> {
    let form = read_link_form(section, style.shipped());
    let is_centres = form.as_ref().is_some_and(|form| form.header.is_none());
    let centre = is_centres.then(|| {
        let version = if section.boolean("production") { 0x02 } else { 0x82 };
        let destination = section.text_or("destination", "00010000");
        let source = section.text_or("forwarder", "");
        FrameHeader::Cups(CupsHeader::new(version, &destination, &source))
    });
    let counts = section.boolean_or("header_counts_itself", true);
    let form = form?;
    let header = form.header.map(FrameHeader::Plain).or(centre)?;
    let (format, framing) = (form.format, form.framing);
    Some(Wire { format, framing, header, header_counts_itself: counts })
}

/// Fields that a message cannot do without: they name the transaction and its money.
const ESSENTIAL: [u8; 7] = [3, 4, 11, 39, 41, 42, 49];

/// Refuses a format without a field that the messages of the style hang on.
fn check_essential(section: &Section<'_>, style: Style, format: &Format, is_managed: bool) {
    let (own, of_network): (&[u8], &[u8]) = match style {
        Style::Posp => (&[2, 61], &[60]),
        Style::Cups => (&[2, 7, 90], &[7, 70]),
    };
    let of_network = of_network.iter().filter(|_| is_managed);
    for field in ESSENTIAL.iter().chain(own).chain(of_network) {
        if format.field(*field).is_none() {
            let problem = format!("take out field {field}, which names a transaction or its money");
            let advice =
                "give the field its form; sign-on and line test need 60 (posp) and 70 (cups)";
            section.mistake("fields", &problem, advice);
        }
    }
}

fn bytes_of(hex: &str) -> Option<Zeroizing<Vec<u8>>> {
    let digits: Option<Vec<u8>> =
        hex.chars().map(|digit| digit.to_digit(16).map(|digit| digit as u8)).collect();
    let digits = Zeroizing::new(digits?);
    let pairs = digits.len().is_multiple_of(2).then(|| digits.chunks_exact(2))?;
    Some(Zeroizing::new(pairs.map(|pair| pair[0] << 4 | pair[1]).collect()))
}

/// Outer `None` after a mistake, inner `None` without MAC.
fn read_mac(
    section: &Section<'_>,
    style: Style,
    format: Option<&Format>,
    resolve: &CredentialResolver<'_>,
) -> Option<Option<Mac>> {
    let Some(inner) = section.optional_section("mac") else {
        let advice = "add [iso8583.mac] with `key`, or `none = true` where the line alone protects";
        section.mistake("mac", "is missing", advice);
        return None;
    };
    if inner.boolean_or("none", false) {
        inner.finish();
        return Some(None);
    }
    // Of a format that is wrong nothing can be said.
    let usual = Format::shipped(style.shipped());
    let rule = read_mac_rule(&inner, style.shipped(), format.unwrap_or(&usual));
    let key = read_key(&inner, "key", resolve);
    let master = read_key(&inner, "master_key", resolve);
    let source = match (key, master) {
        (Some(key), None) if rule.is_none_or(|rule| key.fits(rule.method)) => {
            Some(KeySource::Fixed(key))
        }
        (Some(_), None) => {
            inner.mistake("key", "the method needs a key of 16 bytes", "give the whole key");
            None
        }
        (None, Some(master)) if style == Style::Posp => Some(KeySource::SignIn { master }),
        (None, Some(_)) => {
            inner.mistake("master_key", "only terminals sign in for keys", "give `key`");
            None
        }
        (Some(_), Some(_)) => {
            inner.mistake("key", "there is a master_key too", "give one of the two");
            None
        }
        // A key that is given and cannot be read has been reported.
        (None, None) if inner.has("key") || inner.has("master_key") => None,
        (None, None) => {
            inner.mistake("key", "is missing", "give `key`, or `master_key` for keys by sign-in");
            None
        }
    };
    inner.finish();
    source.zip(rule).map(|(source, rule)| Some(Mac { rule, source }))
}

fn read_key(section: &Section<'_>, key: &str, resolve: &CredentialResolver<'_>) -> Option<DesKey> {
    let reference = section.optional_text(key)?;
    let advice = "give 16, 32 or 48 hexadecimal digits, as file:path or env:NAME";
    let text = match resolve(&reference) {
        Ok(text) => Zeroizing::new(text),
        Err(problem) => {
            section.mistake(key, &problem, advice);
            return None;
        }
    };
    let found = bytes_of(&text).and_then(|bytes| DesKey::new(&bytes).ok());
    if found.is_none() {
        section.mistake(key, "stands for a text that is not a DES key", advice);
    }
    found
}

fn read_numbering(section: &Section<'_>, style: Style) -> Option<Numbering> {
    let terminals = section.texts("terminals");
    let nodes = section.integers_or("nodes", &[0], 0_u16..=999);
    match Numbering::new(style, terminals, nodes) {
        Ok(numbering) => Some(numbering),
        Err(problem) => {
            section.mistake("terminals", problem, "see docs/CHANNEL-FILE.md");
            None
        }
    }
}

fn read_zone(section: &Section<'_>) -> TimeZone {
    const KEY: &str = "time_zone";
    let name = section.text_or(KEY, "Asia/Shanghai");
    TimeZone::get(&name).unwrap_or_else(|_| {
        let problem = "is not a time zone of the IANA database";
        section.mistake(KEY, problem, "write for example \"Asia/Shanghai\"");
        TimeZone::UTC
    })
}

fn digits_or_letters(section: &Section<'_>, key: &str, length: usize) -> String {
    let text = section.text(key);
    if text.len() != length || !text.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        let problem = format!("is not {length} letters and digits");
        section.mistake(key, &problem, "copy it from the acquirer's paper");
    }
    text
}

/// Digits, as many as `lengths` says. What has no default is required, and reported once.
fn read_digits(
    section: &Section<'_>,
    key: &str,
    default: Option<&str>,
    lengths: RangeInclusive<usize>,
) -> String {
    let text = match default {
        Some(default) => section.text_or(key, default),
        None => section.text(key),
    };
    let fits = lengths.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    if !fits && (default.is_some() || section.has(key)) {
        let problem = format!("is not {} to {} digits", lengths.start(), lengths.end());
        section.mistake(key, &problem, "copy it from the acquirer's paper");
    }
    text
}

fn read_carried(section: &Section<'_>, style: Style) -> Vec<OriginalField> {
    let allowed = [(38, OriginalField::Authorisation), (61, OriginalField::Original)];
    let usual = match style {
        Style::Posp => &allowed[..],
        Style::Cups => &allowed[..1],
    };
    let default: Vec<u8> = usual.iter().map(|(field, _)| *field).collect();
    let numbers = section.integers_or("reversal_carries", &default, 1_u8..=128);
    let mut carried = Vec::new();
    for (index, number) in numbers.iter().enumerate() {
        match usual.iter().find(|(field, _)| field == number) {
            Some((_, found)) => carried.push(*found),
            None => {
                let advice = "posp: 38 and 61, cups: 38";
                section.mistake_in("reversal_carries", index, "no original is said there", advice);
            }
        }
    }
    carried
}

/// Fields that every message about a card sets itself, so that a value of the file is never sent.
const SET_ALWAYS: [u8; 9] = [3, 4, 11, 22, 25, 41, 42, 49, 60];
/// Those that the centre's messages set beside them.
const SET_FOR_CENTRE: [u8; 6] = [7, 12, 13, 32, 33, 37];
/// Fields that differ with each card, attempt or original: a fixed value is right for none.
const NEVER_FIXED: [u8; 12] = [2, 14, 35, 36, 37, 38, 39, 45, 52, 55, 61, 90];

/// Nothing is said of values that no sound format packs.
fn read_values(section: &Section<'_>, style: Style, format: Option<&Format>) -> Vec<(u8, String)> {
    let mut values = Vec::new();
    let Some((inner, format)) = section.optional_section("values").zip(format) else {
        return values;
    };
    let is_cups = style == Style::Cups;
    for (key, _) in inner.keys() {
        let number = key.parse::<u8>().ok();
        let read = inner.parsed(key, "5411", |text| match number {
            None => Err("its key is not a field's number".to_owned()),
            Some(60) => Err("is never sent: `private` has field 60".to_owned()),
            Some(64 | 128) => Err("is never sent: the MAC stands there".to_owned()),
            Some(number)
                if SET_ALWAYS.contains(&number) || is_cups && SET_FOR_CENTRE.contains(&number) =>
            {
                Err("is never sent: every message sets the field itself".to_owned())
            }
            Some(number) if NEVER_FIXED.contains(&number) => {
                Err("a fixed value is right for no card".to_owned())
            }
            Some(number) if format.field(number).is_none() => {
                Err("the format has no such field".to_owned())
            }
            Some(number) => {
                let mut draft = Draft::new(200);
                draft.put(number, text.as_bytes());
                let fits = encode(format, &draft, &mut Vec::new());
                fits.map(|_| text.to_owned()).map_err(|error| format!("cannot be sent: {error}"))
            }
        });
        values.extend(number.zip(read));
    }
    inner.finish();
    values
}

/// A key that is read and then used for nothing hides what its author wanted.
fn check_unused(
    section: &Section<'_>,
    style: Style,
    wire: Option<&Wire>,
    tests_line: bool,
    has_tls: bool,
) {
    let (style, unused): (&str, &[&str]) = match style {
        Style::Posp => (
            "posp",
            &[
                "production",
                "acquirer",
                "forwarder",
                "destination",
                "header_counts_itself",
                "reversal_reason",
            ],
        ),
        Style::Cups => ("cups", &["batch"]),
    };
    let unless_used = |key: &str, why: &str| {
        // Asked for here, so that it is not told as unknown too.
        if section.value(key).is_some() {
            section.mistake(key, why, "take it out");
        }
    };
    for key in unused {
        unless_used(key, &format!("messages of style {style} have no such thing"));
    }
    let packs_digits = |format: &Format| {
        let is_bcd = |spec: &FieldSpec| spec.packing == Packing::Bcd;
        format.numbers_listed().any(|field| format.field(field).is_some_and(is_bcd))
    };
    if wire.is_some_and(|wire| !packs_digits(&wire.format)) {
        unless_used("filler_f", "no field of the format is packed in BCD");
    }
    if wire.is_some_and(|wire| style == "cups" && matches!(wire.header, FrameHeader::Plain(_))) {
        for key in ["production", "destination", "header_counts_itself"] {
            unless_used(key, "it stands in the centre's header, and `header` is another one");
        }
    }
    if wire.is_some_and(|wire| wire.format.field(60).is_none()) {
        // A terminal's batch stands in field 61 too.
        for key in ["private", "reversal_reason"] {
            unless_used(key, "the format has no field 60");
        }
    }
    if !tests_line {
        unless_used("line_test_after", "line_test is false");
    }
    if !has_tls {
        unless_used("tls_name", "tls is false");
    }
}

fn read_reversal_codes(section: &Section<'_>) -> Vec<(String, CodeMeaning)> {
    let mut codes = Vec::new();
    let Some(inner) = section.optional_section("reversal_codes") else { return codes };
    for (code, _) in inner.keys() {
        if let Some(verdict) = inner.parsed(code, "approved", CodeMeaning::parse) {
            codes.push((code.to_owned(), verdict));
        }
    }
    inner.finish();
    codes
}
