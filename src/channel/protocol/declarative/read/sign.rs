//! Reads `[http.sign]` and `[http.verify]`: how requests are signed, and replies and notices
//! verified.
//!
//! What could never work, or would prove nothing, is refused here, so that signing itself need not
//! think: a signature that leaves the body out, one inside what it signs, a timestamp that only one
//! side knows. No mistake quotes a key (I-11).

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;

use super::unless_wrong;
use crate::channel::protocol::declarative::format::{BodyForm, BodyFormat};
use crate::channel::protocol::declarative::keys::{
    Algorithm, Encoding, KeyForm, SharedScheme, SigningKey, VerifyingKey,
};
use crate::channel::protocol::declarative::path::{Inside, PathPlace};
use crate::channel::protocol::declarative::seal::{Seal, SignedPart, TimestampUnit, parse_parts};
use crate::channel::protocol::declarative::sign::{Signing, Verification, names_items};
use crate::channel::protocol::declarative::words::Constants;
use crate::codec::crypto::digest::Digest;
use crate::codec::crypto::pair::PairAlgorithm;
use crate::codec::crypto::sm2::{Sm2Form, USUAL_USER_ID};
use crate::codec::sign::RsaScheme;
use crate::config::credential::CredentialResolver;
use crate::config::section::Section;

/// How far a message's time may be from ours.
const MAX_AGES: RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(24 * 60 * 60);

/// The result of reading a section: `None` after a mistake, `Some(None)` where it is absent.
pub type OptionalSection<T> = Option<Option<T>>;

/// The signatures of a file.
pub struct Signatures {
    pub signing: OptionalSection<Signing>,
    /// Of replies.
    pub replies: OptionalSection<Arc<Verification>>,
    /// Of notices, where theirs is another one.
    pub notices: OptionalSection<Arc<Verification>>,
}

/// The facts of `[http]` that the sections need.
pub struct SignReader<'a> {
    pub request: BodyForm,
    pub reply: BodyForm,
    pub notice: BodyForm,
    pub constants: &'a Constants,
    pub resolve: &'a CredentialResolver<'a>,
}

impl SignReader<'_> {
    /// Both sides' signatures, from the section `[http]`.
    pub fn read(&self, http: &Section<'_>) -> Signatures {
        let signing = http.optional_section("sign").map(|sign| {
            let read = self.signing(&sign);
            sign.finish();
            read
        });
        let of = |name: &str, form: BodyForm| {
            http.optional_section(name).map(|verify| {
                let read = match (verify.boolean_or("as_signed", false), &signing) {
                    (false, _) => self.verification(&verify, &verify, form),
                    // Mistakes there have been reported once; these keys are known all the same.
                    (true, Some(None)) => {
                        drop(verify.optional_section("keys"));
                        None
                    }
                    (true, Some(Some(_)) | None) => self.as_signed(http, &verify, form),
                };
                verify.finish();
                read
            })
        };
        let vouched = self.tls_vouches(http);
        let replies = if vouched { None } else { of("verify", self.reply) };
        let notices = of("notice_verify", self.notice);
        if notices.is_some() && replies.is_none() && !vouched {
            let advice = "describe [http.verify], or write verify = { none = true }";
            http.mistake("notice_verify", "is there, and nothing is said of replies", advice);
        }
        Signatures {
            signing: unless_wrong(signing),
            replies: unless_wrong(replies).map(|found| found.map(Arc::new)),
            notices: unless_wrong(notices).map(|found| found.map(Arc::new)),
        }
    }

    /// `verify = { none = true }`: replies are unsigned, and the file says so.
    fn tls_vouches(&self, http: &Section<'_>) -> bool {
        let Some(verify) = http.optional_section("verify") else { return false };
        let says_none = verify.boolean_or("none", false);
        if says_none {
            verify.finish();
        }
        says_none
    }

    /// The same signature from its other end: the key that makes what `[http.verify]` or
    /// `[http.notice_verify]` proves. `private` gives the text of the private key, or of the shared
    /// one, that belongs to a reference.
    pub fn far_signing(
        &self,
        http: &Section<'_>,
        name: &str,
        form: BodyForm,
        private: &CredentialResolver<'_>,
    ) -> Option<Signing> {
        let verify = http.optional_section(name).filter(|verify| !verify.has("none"))?;
        let section = match verify.boolean_or("as_signed", false) {
            true => http.optional_section("sign")?,
            false => http.optional_section(name)?,
        };
        let algorithm = read_algorithm(&section);
        let key_form = read_key_form(&section, &algorithm);
        let several = verify.optional_section("keys");
        let named = several.as_ref().and_then(|keys| {
            let (id, _) = keys.keys().first().copied()?;
            Some((id.to_owned(), keys.optional_text(id)?))
        });
        let own = section.optional_text("key");
        let own = own.map(|key| (section.optional_text("key_id").unwrap_or_default(), key));
        let (key_id, reference) = own.or(named)?;
        let key = SigningKey::parse(&algorithm, key_form, &private(&reference).ok()?).ok()?;
        let seal = self.seal(&section, &algorithm, form)?;
        Some(Signing { key, key_id, seal, timestamp_unit: TimestampUnit::Seconds })
    }

    /// How what `name` describes is verified: `verify`, `notice_verify`, or `sign` itself, by whose
    /// own key our requests are proven. `None` where the section describes nothing, or a pair whose
    /// public half cannot be had from its private one.
    pub fn proof(&self, http: &Section<'_>, name: &str, form: BodyForm) -> Option<Verification> {
        let verify = http.optional_section(name)?;
        match name {
            "sign" => self.own_proof(&verify, form),
            _ if verify.boolean_or("as_signed", false) => self.as_signed(http, &verify, form),
            _ => self.verification(&verify, &verify, form),
        }
    }

    fn own_proof(&self, sign: &Section<'_>, form: BodyForm) -> Option<Verification> {
        let algorithm = read_algorithm(sign);
        let key_form = read_key_form(sign, &algorithm);
        let text = (self.resolve)(&sign.optional_text("key")?).ok()?;
        let key = VerifyingKey::of_signer(&algorithm, key_form, &text)?;
        let key_id = sign.optional_text("key_id").unwrap_or_default();
        let seal = self.seal(sign, &algorithm, form)?;
        Some(Verification { keys: vec![(key_id, key)], seal, max_age: None })
    }

    fn signing(&self, section: &Section<'_>) -> Option<Signing> {
        let algorithm = read_algorithm(section);
        let key_form = read_key_form(section, &algorithm);
        let key = section.parsed("key", "env:BANK_SIGN_KEY", |reference| {
            SigningKey::parse(&algorithm, key_form, &(self.resolve)(reference)?)
        });
        let units =
            [("seconds", TimestampUnit::Seconds), ("milliseconds", TimestampUnit::Milliseconds)];
        let unit = section.choice_or("timestamp_unit", TimestampUnit::Seconds, &units);
        let key_id = section.optional_text("key_id");
        let seal = self.seal(section, &algorithm, self.request);
        if let Some(seal) = &seal {
            check(section, seal, &algorithm);
            if seal.follows_code() {
                let advice = "name it: element = \"body\"";
                section.mistake("over", "has `element`, and nothing says which", advice);
                return None;
            }
            let names_key =
                seal.headers.iter().any(|(_, parts)| parts.contains(&SignedPart::KeyId));
            if names_key && key_id.is_none() {
                section.mistake("key_id", "is missing, but a header has it", "name the key");
            }
        }
        let key_id = key_id.unwrap_or_default();
        Some(Signing { key: key?, key_id, seal: seal?, timestamp_unit: unit })
    }

    /// `as_signed = true`: the channel signs as we do. With key pairs each side has a key of its
    /// own, so the word is for shared keys only.
    fn as_signed(
        &self,
        http: &Section<'_>,
        verify: &Section<'_>,
        form: BodyForm,
    ) -> Option<Verification> {
        let Some(sign) = http.optional_section("sign") else {
            verify.mistake("as_signed", "there is no [http.sign]", "describe the signature here");
            return None;
        };
        if !read_algorithm(&sign).is_shared() {
            let advice = "name the channel's key and the rest under [http.verify]";
            verify.mistake("as_signed", "is for keys that both sides have", advice);
            return None;
        }
        self.verification(&sign, verify, form)
    }

    /// `section` describes the signature; `keys` always stands under `[http.verify]`.
    fn verification(
        &self,
        section: &Section<'_>,
        verify: &Section<'_>,
        form: BodyForm,
    ) -> Option<Verification> {
        let algorithm = read_algorithm(section);
        let key_form = read_key_form(section, &algorithm);
        let parse = |reference: &str| {
            VerifyingKey::parse(&algorithm, key_form, &(self.resolve)(reference)?)
        };
        let several = verify.optional_section("keys");
        let mut keys = Vec::new();
        if section.has("key") || several.is_none() {
            let key = section.parsed("key", "file:keys/bank.pem", parse);
            let id = section.optional_text("key_id").unwrap_or_default();
            keys.push(key.map(|key| (id, key)));
        }
        if let Some(several) = several {
            for (id, _) in several.keys() {
                let key = several.optional_parsed(id, "file:keys/bank.pem", parse);
                keys.push(key.map(|key| (id.to_owned(), key)));
            }
            several.finish();
        }
        let seal = self.seal(section, &algorithm, form);
        if let Some(seal) = &seal {
            check(section, seal, &algorithm);
            check_reply_s(section, seal);
        }
        let max_age = verify.optional_duration("max_age", MAX_AGES);
        let dated = seal.as_ref().is_some_and(|seal| seal.over.contains(&SignedPart::Timestamp));
        if max_age.is_some() && !dated {
            let advice = "sign {{ timestamp }}, which a header brings";
            verify.mistake("max_age", "is there, and no time is signed", advice);
        }
        let keys = keys.into_iter().collect::<Option<Vec<_>>>()?;
        Some(Verification { keys, seal: seal?, max_age })
    }

    fn seal(&self, section: &Section<'_>, algorithm: &Algorithm, form: BodyForm) -> Option<Seal> {
        let usual = if algorithm.is_shared() { Encoding::Hex } else { Encoding::Base64 };
        let encodings = [
            ("hex", Encoding::Hex),
            ("hex_upper", Encoding::HexUpper),
            ("base64", Encoding::Base64),
            ("base64url", Encoding::Base64Url),
        ];
        let encoding = section.choice_or("encoding", usual, &encodings);
        let value = |name: &str| {
            let constant = self.constants.get(name).filter(|constant| !constant.is_secret)?;
            Some(constant.value.to_string())
        };
        let parse = |text: &str| parse_parts(text, form.format, &value);
        let inside = |key: &str| {
            section.optional_parsed(key, "sign", |text| Inside::parse(text, form.format))
        };
        let over = section.parsed("over", "{{ timestamp }}\\n{{ body }}", parse);
        let mut headers = Vec::new();
        let mut is_whole = true;
        if let Some(inner) = section.optional_section("headers") {
            for (key, _) in inner.keys() {
                let name = parse_header_name(key)
                    .map_err(|problem| inner.mistake(key, &problem, "use letters and dashes"))
                    .ok();
                let parts = inner.optional_parsed(key, "{{ signature }}", parse);
                is_whole &= name.is_some() && parts.is_some();
                headers.extend(name.zip(parts));
            }
            inner.finish();
        }
        let seal = Seal {
            over: over?,
            headers,
            header_list: section.optional_text("header_list"),
            field: inside("field"),
            sorted_in: inside("sorted_in"),
            exclude: section.optional_texts("exclude").unwrap_or_default(),
            keeps_empty: section.boolean_or("keep_empty", false),
            key_field: section.optional_text("key_field"),
            element: inside("element"),
            encoding,
            form,
        };
        is_whole.then_some(seal)
    }
}

/// Refuses what could never work, or would prove nothing.
fn check(section: &Section<'_>, seal: &Seal, algorithm: &Algorithm) {
    let has = |part: SignedPart| seal.over.contains(&part);
    let wrong = |problem: &str, advice: &str| section.mistake("over", problem, advice);
    let in_headers = seal.headers.iter().any(|(_, parts)| parts.contains(&SignedPart::Signature));
    if in_headers == seal.field.is_some() {
        let problem = "and a header with {{ signature }}: not exactly one is given";
        let advice = "say where the signature stands: field = \"sign\", or under headers";
        section.mistake("field", problem, advice);
    }
    if !seal.over.iter().any(SignedPart::is_content) {
        wrong("leaves the body out, which anyone could change then", "sign {{ body }}");
    } else if seal.field.is_some() && seal.over.iter().any(SignedPart::is_bytes) {
        wrong("has `body`, of which the signature is a part", "sign {{ sorted_fields }}");
    }
    check_members(section, seal);
    if let Some(separator) = &seal.header_list {
        let named = |(_, parts): &(_, Vec<SignedPart>)| names_items(parts, separator);
        if separator.is_empty() || !seal.headers.iter().all(named) {
            let advice = "write for example \",\" beside \"t={{ timestamp }},v1={{ signature }}\"";
            section.mistake("header_list", "divides a header into items without names", advice);
        }
    }
    let is_digest = matches!(algorithm, Algorithm::Shared(SharedScheme::Digest(_)));
    if is_digest != (has(SignedPart::Key) || seal.key_field.is_some()) {
        let advice = "a plain digest needs {{ key }} in it, or key_field; nothing else has it";
        wrong("and `algorithm` do not fit each other", advice);
    }
    if has(SignedPart::Signature) || has(SignedPart::KeyId) {
        wrong("has a word that is for headers only", "take it out");
    }
    for (name, parts) in &seal.headers {
        let secret = |part: &SignedPart| {
            matches!(part, SignedPart::Key) || part.is_content() && !part.is_bytes()
        };
        if parts.iter().any(|part| secret(part) || *part == SignedPart::Body) {
            let problem = "has the key or the body, which no header may have";
            section.mistake("headers", &format!("{name} {problem}"), "take it out");
        }
    }
}

/// The places in the body that a signature names.
fn check_members(section: &Section<'_>, seal: &Seal) {
    let has = |part: SignedPart| seal.over.contains(&part);
    if seal.element.is_some() && !has(SignedPart::Element) {
        let advice = "give both {{ element }} and its name";
        section.mistake("over", "and `element` do not fit each other", advice);
    } else if has(SignedPart::Element)
        && !matches!(seal.form.format, BodyFormat::Xml | BodyFormat::Json)
    {
        section.mistake("over", "has `element`, which JSON and XML have", "sign {{ body }}");
    }
    let at = |inside: &Inside| match inside {
        Inside::Top(name) => PathPlace::Steps(vec![name.clone()]),
        Inside::At(place) => place.clone(),
    };
    if let (Some(element), Some(field)) = (&seal.element, &seal.field)
        && (element == field || element.holds(&at(field)))
    {
        section.mistake("element", "holds the signature itself", "name another element");
    }
    let sorts = has(SignedPart::SortedFields);
    for (key, given) in
        [("sorted_in", seal.sorted_in.is_some()), ("key_field", seal.key_field.is_some())]
    {
        if given && !sorts {
            section.mistake(key, "is there without {{ sorted_fields }}", "take it out");
        }
    }
    if sorts
        && let Some(field) = &seal.field
        && field.name_in(seal.sorted_in.as_ref()).is_none()
    {
        // Deeper inside one of the values, it would be a part of what it signs.
        let steps = at(field);
        let inner = match &seal.sorted_in {
            None => steps.steps().into_iter().next(),
            Some(parent) if parent.holds(&steps) => Some(String::new()),
            Some(_) => None,
        };
        if inner.is_some_and(|name| !seal.exclude.contains(&name)) {
            let advice = "name the object that is signed with sorted_in, or sign {{ element }}";
            section.mistake("field", "stands inside a value that it signs", advice);
        }
    }
}

/// Refuses words that a reply does not have, and those that no header brings.
fn check_reply_s(section: &Section<'_>, seal: &Seal) {
    let wrong = |problem: &str, advice: &str| section.mistake("over", problem, advice);
    let of_requests = |part: &SignedPart| {
        matches!(
            part,
            SignedPart::Method | SignedPart::Path | SignedPart::PathOnly | SignedPart::Query
        )
    };
    if seal.over.iter().any(of_requests) {
        wrong("names the method or path, which a reply does not have", "sign {{ body }}");
    }
    let headers = seal.headers.iter().flat_map(|(_, parts)| parts);
    if seal.over.iter().chain(headers).any(|part| matches!(part, SignedPart::Moment(..))) {
        wrong("writes a time, which a reply brings", "write {{ timestamp }}");
    }
    for (part, word) in [(SignedPart::Timestamp, "timestamp"), (SignedPart::Nonce, "nonce")] {
        let comes = seal.headers.iter().any(|(_, parts)| parts.contains(&part));
        if seal.over.contains(&part) && !comes {
            let advice = format!("write which header brings it: X-{word} = \"{{{{ {word} }}}}\"");
            wrong(&format!("has `{word}`, which no header brings"), &advice);
        }
    }
}

fn read_algorithm(section: &Section<'_>) -> Algorithm {
    let forms = [("der", Sm2Form::Der), ("raw", Sm2Form::Raw)];
    let form = section.choice_or("form", Sm2Form::Der, &forms);
    let is_raw = form == Sm2Form::Raw;
    let user_id = section.text_or("user_id", USUAL_USER_ID);
    let hmac = |digest| Algorithm::Shared(SharedScheme::Hmac(digest));
    let plain = |digest| Algorithm::Shared(SharedScheme::Digest(digest));
    section.choice(
        "algorithm",
        &[
            ("hmac-sha256", hmac(Digest::Sha256)),
            ("hmac-sha1", hmac(Digest::Sha1)),
            ("hmac-md5", hmac(Digest::Md5)),
            ("hmac-sha512", hmac(Digest::Sha512)),
            ("hmac-sm3", hmac(Digest::Sm3)),
            ("md5", plain(Digest::Md5)),
            ("sha1", plain(Digest::Sha1)),
            ("sha256", plain(Digest::Sha256)),
            ("sha512", plain(Digest::Sha512)),
            ("sm3", plain(Digest::Sm3)),
            ("rsa-sha256", Algorithm::Rsa(RsaScheme::Pkcs1)),
            ("rsa-pss-sha256", Algorithm::Rsa(RsaScheme::Pss)),
            ("rsa-sha512", Algorithm::Rsa(RsaScheme::Pkcs1Sha512)),
            ("rsa-sha1", Algorithm::Pair(PairAlgorithm::Rsa(Digest::Sha1))),
            ("rsa-md5", Algorithm::Pair(PairAlgorithm::Rsa(Digest::Md5))),
            ("ecdsa-sha256", Algorithm::Pair(PairAlgorithm::EcdsaP256 { is_raw })),
            ("ed25519", Algorithm::Pair(PairAlgorithm::Ed25519)),
            ("sm2-sm3", Algorithm::Sm2 { form, user_id }),
        ],
    )
}

/// Of a shared key; the others say themselves what they are.
fn read_key_form(section: &Section<'_>, algorithm: &Algorithm) -> KeyForm {
    let form = section.choice_or("key_form", KeyForm::Text, &KeyForm::WORDS);
    if section.has("key_form") && !algorithm.is_shared() {
        section.mistake("key_form", "is of keys that both sides have", "take it out");
    }
    form
}

pub fn parse_header_name(text: &str) -> Result<HeaderName, String> {
    HeaderName::from_bytes(text.as_bytes()).map_err(|_| "is not a header's name".to_owned())
}
