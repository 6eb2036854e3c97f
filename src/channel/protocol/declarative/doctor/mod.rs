//! Looks for the fault in a signature: shows the text that is signed, where it differs from the
//! other side's, and which change of the channel file makes the message verify.
//!
//! The text and the verdict come from the code that signs and verifies (`sign`, `seal`): a variant
//! is the same file with one thing said otherwise, read anew. Must not guess what no variant
//! proves: a cause is named only where it makes the signature verify, or the texts equal.

mod message;
mod twist;
mod variants;

pub use super::read::MessageRole;
pub use message::MessageFile;

use super::document::MessageBody;
use super::format::BodyForm;
use super::path::Inside;
use super::read::{SignatureSetting, code_members, read_setting};
use super::sign::{Received, RequestLine, Verification};
use super::{CoveredText, without_keys};
use crate::codec::certificate::Certificate;
use crate::codec::sign::sha256_hex;
use crate::config::credential::CredentialResolver;
use crate::config::mistake::Mistakes;
use crate::config::raw::Document;
use crate::domain::card::words::mask_cards;
use crate::domain::time::Timestamp;

/// A message that does not verify, or that the other side refuses.
pub struct SignatureQuestion<'a> {
    /// The channel file's text.
    pub file: &'a str,
    pub role: MessageRole,
    pub message: &'a MessageFile,
    /// The text that the other side says it signed.
    pub theirs: Option<&'a [u8]>,
    pub now: Timestamp,
}

/// A key by which a message is proven. Never the key itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyShown {
    /// The credential's reference in the file.
    pub reference: String,
    /// The name that the channel gives it, where it has one.
    pub id: String,
    /// What it is: its kind, and the SHA-256 of what is public of it.
    pub shown: String,
}

/// The first place where two texts differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextDifference {
    /// From 0, in bytes.
    pub at: usize,
    /// The bytes from there on in our text and in theirs, at most [`Self::BYTES`].
    pub ours: Vec<u8>,
    pub theirs: Vec<u8>,
}

impl TextDifference {
    const BYTES: usize = 16;

    /// `None` where the texts are equal.
    pub fn of(ours: &[u8], theirs: &[u8]) -> Option<Self> {
        if ours == theirs {
            return None;
        }
        let pairs = ours.iter().zip(theirs);
        let at = pairs.take_while(|(ours, theirs)| ours == theirs).count();
        let piece = |bytes: &[u8]| bytes[at..bytes.len().min(at + Self::BYTES)].to_vec();
        Some(Self { at, ours: piece(ours), theirs: piece(theirs) })
    }
}

/// A change that makes the message verify, or our text the other side's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignatureCause {
    /// What the other side does otherwise.
    pub words: String,
    /// The settings of the channel file that say so; empty where no key can, or it is the message.
    pub setting: String,
}

/// What was found.
pub struct SignatureFinding {
    /// The section that describes the signature.
    pub section: String,
    pub algorithm: String,
    /// What the file says is signed.
    pub over: String,
    /// `None` where the message has not what is signed.
    pub text: Option<CoveredText>,
    pub keys: Vec<KeyShown>,
    /// `None` where it verifies; otherwise why not.
    pub refusal: Option<String>,
    pub difference: Option<TextDifference>,
    pub causes: Vec<SignatureCause>,
    /// Shared keys that may stand in the texts, to be masked.
    pub secrets: Vec<Vec<u8>>,
}

/// The signature of one kind of message, as a file describes it, ready to be tried.
struct Trial {
    setting: SignatureSetting,
    verification: Verification,
    form: BodyForm,
    /// The members of replies in which a code can stand.
    members: Vec<Option<Inside>>,
}

/// What a trial made of a message.
struct TrialOutcome {
    text: Option<CoveredText>,
    refusal: Option<&'static str>,
}

impl Trial {
    /// `None` where the file, so changed, describes no such signature.
    fn of(file: &str, role: MessageRole, resolve: &CredentialResolver<'_>) -> Option<Self> {
        let document = Document::parse("channel file", file).ok()?;
        let unheard = Mistakes::new();
        let http = document.root(&unheard).section("http");
        let setting = read_setting(&http, role)?;
        let (verification, form) = setting.proof(&http, resolve)?;
        let members = match role {
            MessageRole::Reply if verification.seal.follows_code() => code_members(&http),
            MessageRole::Request | MessageRole::Reply | MessageRole::Notice => vec![None],
        };
        Some(Self { setting, verification, form, members })
    }

    /// Whether a signature of the message is one over this text.
    fn proves_text(&self, message: &MessageFile, text: &[u8]) -> bool {
        let document = MessageBody::parse(&message.body, self.form).ok();
        let received = Received {
            headers: &message.headers,
            body: &message.body,
            document: document.as_ref(),
            member: None,
            now: Timestamp::from_millis(0),
            line: RequestLine::default(),
        };
        self.verification.proves_text(&received, text)
    }

    fn run(&self, message: &MessageFile, now: Timestamp) -> TrialOutcome {
        let document = MessageBody::parse(&message.body, self.form).ok();
        let line =
            RequestLine { method: &message.method, path: &message.path, host: message.host() };
        let mut outcome = TrialOutcome { text: None, refusal: Some("it cannot be read") };
        for member in &self.members {
            let received = Received {
                headers: &message.headers,
                body: &message.body,
                document: document.as_ref(),
                member: member.as_ref(),
                now,
                line,
            };
            let refusal = self.verification.prove(&received).err();
            let text = self.verification.message(&received);
            if text.is_some() || outcome.text.is_none() {
                outcome = TrialOutcome { text, refusal };
            }
            if refusal.is_none() {
                break;
            }
        }
        if document.is_none() && self.verification.seal.needs_document() {
            outcome.refusal = Some("its body is not of the format that the file says");
        }
        outcome
    }
}

/// Looks for the fault. The error says what the file lacks.
pub fn examine(
    question: &SignatureQuestion<'_>,
    resolve: &CredentialResolver<'_>,
) -> Result<SignatureFinding, String> {
    let trial = Trial::of(question.file, question.role, resolve)
        .ok_or_else(|| "the file describes no signature of such a message".to_owned())?;
    let outcome = trial.run(question.message, question.now);
    let theirs = question.theirs.map(without_line_end);
    let ours = outcome.text.as_ref().map_or(&[][..], |text| &text[..]);
    let difference = theirs.and_then(|theirs| TextDifference::of(ours, theirs));
    let is_well = outcome.refusal.is_none() && difference.is_none();
    let mut causes = Vec::new();
    if !is_well {
        causes = variants::search(question, &trial, theirs, resolve);
    }
    let setting = &trial.setting;
    let keys = setting.references.iter().map(|(id, reference)| KeyShown {
        reference: reference.clone(),
        id: id.clone(),
        shown: resolve(reference).map_or_else(|problem| problem, |text| show_key(setting, &text)),
    });
    let secrets = trial.verification.keys.iter().map(|(_, key)| key.bytes().to_vec());
    Ok(SignatureFinding {
        section: setting.section.clone(),
        algorithm: setting.algorithm.clone(),
        over: setting.over.clone(),
        keys: keys.collect(),
        secrets: secrets.filter(|key| !key.is_empty()).collect(),
        refusal: outcome.refusal.map(str::to_owned),
        text: outcome.text,
        difference,
        causes,
    })
}

/// A text as people may see it: shared keys and what looks like card data are masked.
pub fn show_text(text: &[u8], secrets: &[Vec<u8>]) -> String {
    let keys: Vec<&[u8]> = secrets.iter().map(Vec::as_slice).collect();
    let text = String::from_utf8_lossy(&without_keys(text, &keys)).replace('\r', "\\r");
    text.split('\n').map(mask_cards).collect::<Vec<_>>().join("\n")
}

/// A file's last line end is its editor's.
fn without_line_end(text: &[u8]) -> &[u8] {
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    text.strip_suffix(b"\r").unwrap_or(text)
}

/// A key's print. Of a shared key eight digits are enough to compare two of them, and too few to
/// find one.
fn show_key(setting: &SignatureSetting, text: &str) -> String {
    if setting.is_shared {
        let text = text.trim_end_matches(['\r', '\n']);
        let digest = sha256_hex(text.as_bytes());
        return format!("a shared key of {} characters, SHA-256 {}…", text.len(), &digest[..8]);
    }
    if let Ok(certificate) = Certificate::from_pem(text) {
        let name = certificate.common_name().unwrap_or("no name").to_owned();
        let (serial, digest) =
            (certificate.serial_decimal(), sha256_hex(certificate.public_key_der()));
        return format!("certificate of {name}, serial {serial}, key SHA-256 {digest}");
    }
    match super::encrypt::public_key_der(text) {
        Ok(der) => format!("a public key, SHA-256 {}", sha256_hex(&der)),
        Err(_) if setting.section == "sign" => "our private key, which is not shown".to_owned(),
        Err(_) => format!("a public key, SHA-256 of its text {}", sha256_hex(text.as_bytes())),
    }
}
