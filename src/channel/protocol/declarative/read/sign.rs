//! Reads `[http.sign]` and `[http.verify]`: how requests are signed, and replies and notices
//! verified.
//!
//! What could never work, or would prove nothing, is refused here, so that signing itself need not
//! think: a signature that leaves the body out, one inside what it signs, a timestamp that only one
//! side knows. No mistake quotes a key (I-11).

use http::HeaderName;

use super::unless_wrong;
use crate::channel::protocol::declarative::format::{BodyForm, BodyFormat};
use crate::channel::protocol::declarative::keys::{Algorithm, Encoding, SigningKey, VerifyingKey};
use crate::channel::protocol::declarative::sign::{
    Seal, SignedPart, Signing, TimestampUnit, Verification, parse_parts,
};
use crate::channel::protocol::declarative::words::Constants;
use crate::codec::crypto::digest::Digest;
use crate::codec::crypto::sm2::{Sm2Form, USUAL_USER_ID};
use crate::codec::sign::RsaScheme;
use crate::config::credential::CredentialResolver;
use crate::config::section::Section;

/// The result of reading a section: `None` after a mistake, `Some(None)` where it is absent.
pub type OptionalSection<T> = Option<Option<T>>;

/// The signatures of a file.
pub struct Signatures {
    pub signing: OptionalSection<Signing>,
    /// Of replies.
    pub replies: OptionalSection<Verification>,
    /// Of notices, where theirs is another one.
    pub notices: OptionalSection<Verification>,
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
            replies: unless_wrong(replies),
            notices: unless_wrong(notices),
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

    fn signing(&self, section: &Section<'_>) -> Option<Signing> {
        let algorithm = read_algorithm(section);
        let key = section.parsed("key", "env:BANK_SIGN_KEY", |reference| {
            SigningKey::parse(&algorithm, &(self.resolve)(reference)?)
        });
        let units =
            [("seconds", TimestampUnit::Seconds), ("milliseconds", TimestampUnit::Milliseconds)];
        let unit = section.choice_or("timestamp_unit", TimestampUnit::Seconds, &units);
        let key_id = section.optional_text("key_id");
        let seal = self.seal(section, &algorithm, self.request);
        if let Some(seal) = &seal {
            check(section, seal, &algorithm);
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
        let parse = |reference: &str| VerifyingKey::parse(&algorithm, &(self.resolve)(reference)?);
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
        let keys = keys.into_iter().collect::<Option<Vec<_>>>()?;
        Some(Verification { keys, seal: seal? })
    }

    fn seal(&self, section: &Section<'_>, algorithm: &Algorithm, form: BodyForm) -> Option<Seal> {
        let usual = if algorithm.is_shared() { Encoding::Hex } else { Encoding::Base64 };
        let encodings = [
            ("hex", Encoding::Hex),
            ("hex_upper", Encoding::HexUpper),
            ("base64", Encoding::Base64),
        ];
        let encoding = section.choice_or("encoding", usual, &encodings);
        let value = |name: &str| {
            let constant = self.constants.get(name).filter(|constant| !constant.is_secret)?;
            Some(constant.value.to_string())
        };
        let parse = |text: &str| parse_parts(text, &value);
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
            field: section.optional_text("field"),
            exclude: section.optional_texts("exclude").unwrap_or_default(),
            keeps_empty: section.boolean_or("keep_empty", false),
            element: section.optional_text("element"),
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
    let signs_bytes =
        |part: &SignedPart| matches!(part, SignedPart::Body | SignedPart::BodyDigest(..));
    if !seal.over.iter().any(SignedPart::is_content) {
        wrong("leaves the body out, which anyone could change then", "sign {{ body }}");
    } else if seal.field.is_some() && seal.over.iter().any(signs_bytes) {
        wrong("has `body`, of which the signature is a part", "sign {{ sorted_fields }}");
    }
    if has(SignedPart::Element) != seal.element.is_some() {
        wrong("and `element` do not fit each other", "give both {{ element }} and its name");
    } else if seal.element.is_some() && seal.form.format != BodyFormat::Xml {
        section.mistake("element", "is for XML", "sign {{ body }}");
    } else if seal.element.is_some() && seal.element == seal.field {
        section.mistake("element", "holds the signature itself", "name another element");
    }
    let is_digest = matches!(algorithm, Algorithm::Digest(_));
    if is_digest != has(SignedPart::Key) {
        let advice = "a plain digest needs {{ key }} in it; nothing else may have it";
        wrong("and `algorithm` do not fit each other", advice);
    }
    if has(SignedPart::Signature) || has(SignedPart::KeyId) {
        wrong("has a word that is for headers only", "take it out");
    }
    for (name, parts) in &seal.headers {
        let secret = |part: &SignedPart| {
            matches!(
                part,
                SignedPart::Key | SignedPart::Body | SignedPart::SortedFields | SignedPart::Element
            )
        };
        if parts.iter().any(secret) {
            let problem = "has the key or the body, which no header may have";
            section.mistake("headers", &format!("{name} {problem}"), "take it out");
        }
    }
}

/// Refuses words that a reply does not have, and those that no header brings.
fn check_reply_s(section: &Section<'_>, seal: &Seal) {
    let wrong = |problem: &str, advice: &str| section.mistake("over", problem, advice);
    if seal.over.iter().any(|part| matches!(part, SignedPart::Method | SignedPart::Path)) {
        wrong("names the method or path, which a reply does not have", "sign {{ body }}");
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
    let user_id = section.text_or("user_id", USUAL_USER_ID);
    section.choice(
        "algorithm",
        &[
            ("hmac-sha256", Algorithm::Hmac(Digest::Sha256)),
            ("hmac-sha1", Algorithm::Hmac(Digest::Sha1)),
            ("hmac-md5", Algorithm::Hmac(Digest::Md5)),
            ("hmac-sm3", Algorithm::Hmac(Digest::Sm3)),
            ("md5", Algorithm::Digest(Digest::Md5)),
            ("sha1", Algorithm::Digest(Digest::Sha1)),
            ("sha256", Algorithm::Digest(Digest::Sha256)),
            ("sm3", Algorithm::Digest(Digest::Sm3)),
            ("rsa-sha256", Algorithm::Rsa(RsaScheme::Pkcs1)),
            ("rsa-pss-sha256", Algorithm::Rsa(RsaScheme::Pss)),
            ("sm2-sm3", Algorithm::Sm2 { form, user_id }),
        ],
    )
}

pub fn parse_header_name(text: &str) -> Result<HeaderName, String> {
    HeaderName::from_bytes(text.as_bytes()).map_err(|_| "is not a header's name".to_owned())
}
