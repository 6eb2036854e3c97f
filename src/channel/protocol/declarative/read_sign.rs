//! Reads `[http.sign]` and `[http.verify]`: how requests are signed and replies verified.
//!
//! What could never work, or would prove nothing, is refused here, so that signing itself need not
//! think: a signature that leaves the body out, one inside what it signs, a timestamp that only one
//! side knows. No mistake quotes a key (I-11).

use http::HeaderName;

use super::read::{Resolve, unless_wrong};
use super::reply::Format;
use super::sign::{
    Algorithm, Encoding, Part, Place, Signing, SigningKey, TimestampUnit, Verification,
    VerifyingKey, parse_over,
};
use crate::config::section::Section;

/// What was read of one section: `None` after a mistake, `Some(None)` where it is absent.
pub type Read<T> = Option<Option<T>>;

/// Both sides' signatures, from the section `[http]`.
pub fn read_signatures(
    http: &Section<'_>,
    format: Format,
    resolve: Resolve<'_>,
) -> (Read<Signing>, Read<Verification>) {
    let signing = http.optional_section("sign").map(|sign| {
        let read = read_signing(&sign, format, resolve);
        sign.finish();
        read
    });
    let verification = http.optional_section("verify").map(|verify| {
        let as_signed = verify.boolean_or("as_signed", false);
        // Asked for in any case, so that a mistake elsewhere does not make it an unknown key.
        let older = verify.optional_texts("older_keys").unwrap_or_default();
        let read = match (as_signed, &signing) {
            (false, _) => read_verification(&verify, &verify, &older, format, resolve),
            // What is wrong there has been reported once.
            (true, Some(None)) => None,
            (true, Some(Some(_)) | None) => read_as_signed(http, &verify, &older, format, resolve),
        };
        verify.finish();
        read
    });
    (unless_wrong(signing), unless_wrong(verification))
}

fn read_signing(section: &Section<'_>, format: Format, resolve: Resolve<'_>) -> Option<Signing> {
    let algorithm = read_algorithm(section);
    let key = section.parsed("key", "env:BANK_SIGN_KEY", |reference| {
        SigningKey::parse(algorithm, &resolve(reference)?)
    });
    let units =
        [("seconds", TimestampUnit::Seconds), ("milliseconds", TimestampUnit::Milliseconds)];
    let unit = section.choice_or("timestamp_unit", TimestampUnit::Seconds, &units);
    let seal = read_seal(section, algorithm);
    if let Some(seal) = &seal {
        check_seal(section, seal, format);
    }
    let Seal { over, encoding, place, timestamp_header } = seal?;
    Some(Signing { key: key?, over, encoding, place, timestamp_header, timestamp_unit: unit })
}

/// `as_signed = true`: the channel signs as we do. With RSA each side has a key of its own, so the
/// word is for shared keys only.
fn read_as_signed(
    http: &Section<'_>,
    verify: &Section<'_>,
    older: &[String],
    format: Format,
    resolve: Resolve<'_>,
) -> Option<Verification> {
    let Some(sign) = http.optional_section("sign") else {
        verify.mistake("as_signed", "there is no [http.sign]", "describe the signature here");
        return None;
    };
    if sign.optional_text("algorithm").as_deref() != Some("hmac-sha256") {
        let advice = "name the channel's key and the rest under [http.verify]";
        verify.mistake("as_signed", "is for the shared key of hmac-sha256 only", advice);
        return None;
    }
    read_verification(&sign, verify, older, format, resolve)
}

/// `section` describes the signature; `older_keys` always stand under `[http.verify]`.
fn read_verification(
    section: &Section<'_>,
    verify: &Section<'_>,
    older: &[String],
    format: Format,
    resolve: Resolve<'_>,
) -> Option<Verification> {
    let algorithm = read_algorithm(section);
    let parse = |reference: &str| VerifyingKey::parse(algorithm, &resolve(reference)?);
    let mut keys = vec![section.parsed("key", "file:keys/bank.pem", parse)];
    for (index, reference) in older.iter().enumerate() {
        let key = parse(reference).map_err(|problem| {
            verify.mistake_in("older_keys", index, &problem, "correct it or take it out");
        });
        keys.push(key.ok());
    }
    let seal = read_seal(section, algorithm);
    if let Some(seal) = &seal {
        check_seal(section, seal, format);
        if seal.over.contains(&Part::Method) || seal.over.contains(&Part::Path) {
            let problem = "names the method or path, which a reply does not have";
            section.mistake("over", problem, "sign {{ body }}");
        }
    }
    let keys = keys.into_iter().collect::<Option<Vec<_>>>()?;
    let Seal { over, encoding, place, timestamp_header } = seal?;
    Some(Verification { keys, over, encoding, place, timestamp_header })
}

/// What signing and verifying have in common.
struct Seal {
    over: Vec<Part>,
    encoding: Encoding,
    place: Place,
    timestamp_header: Option<HeaderName>,
}

fn read_seal(section: &Section<'_>, algorithm: Algorithm) -> Option<Seal> {
    let usual = match algorithm {
        Algorithm::HmacSha256 => Encoding::Hex,
        Algorithm::RsaSha256 => Encoding::Base64,
    };
    let encodings = [("hex", Encoding::Hex), ("base64", Encoding::Base64)];
    let encoding = section.choice_or("encoding", usual, &encodings);
    let over = section.parsed("over", "{{ timestamp }}\\n{{ body }}", parse_over);
    let header = section.optional_parsed("header", "X-Signature", parse_header_name);
    let field = section.optional_text("field");
    let timestamp_header =
        section.optional_parsed("timestamp_header", "X-Timestamp", parse_header_name);
    let place = match (header, field) {
        (Some(name), None) => Some(Place::Header(name)),
        (None, Some(name)) => Some(Place::Field(name)),
        (None, None) if section.has("header") => None,
        (None, None) | (Some(_), Some(_)) => {
            let advice = "write either `header` or `field`, where the signature stands";
            section.mistake("header", "and `field`: not exactly one is given", advice);
            None
        }
    };
    Some(Seal { over: over?, encoding, place: place?, timestamp_header })
}

fn check_seal(section: &Section<'_>, seal: &Seal, format: Format) {
    let has = |part: Part| seal.over.contains(&part);
    let wrong = |problem: &str, advice: &str| section.mistake("over", problem, advice);
    let in_field = matches!(seal.place, Place::Field(_));
    match format {
        Format::Json if in_field => {
            section.mistake("field", "is for forms; the body is JSON", "name a `header`");
        }
        Format::Json if has(Part::SortedFields) => {
            wrong("has `sorted_fields` but the body is JSON", "sign {{ body }}");
        }
        Format::Form if in_field && has(Part::Body) => {
            wrong("has `body`, of which the signature is a part", "sign {{ sorted_fields }}");
        }
        Format::Json | Format::Form if !has(Part::Body) && !has(Part::SortedFields) => {
            wrong("leaves the body out, which anyone could change then", "sign {{ body }}");
        }
        Format::Json | Format::Form => {}
    }
    if has(Part::Timestamp) != seal.timestamp_header.is_some() {
        let advice = "give both {{ timestamp }} in `over` and `timestamp_header`, or neither";
        wrong("and `timestamp_header` do not fit each other", advice);
    }
}

fn read_algorithm(section: &Section<'_>) -> Algorithm {
    section.choice(
        "algorithm",
        &[("hmac-sha256", Algorithm::HmacSha256), ("rsa-sha256", Algorithm::RsaSha256)],
    )
}

pub fn parse_header_name(text: &str) -> Result<HeaderName, String> {
    HeaderName::from_bytes(text.as_bytes()).map_err(|_| "is not a header's name".to_owned())
}
