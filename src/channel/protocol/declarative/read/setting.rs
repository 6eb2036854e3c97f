//! Reads one signature of `[http]` alone, for whoever tries it in several ways.

use super::sign::SignReader;
use super::{Forms, read_constants, read_forms};
use crate::channel::protocol::declarative::format::BodyForm;
use crate::channel::protocol::declarative::kind::RequestKind;
use crate::channel::protocol::declarative::path::{Inside, Path};
use crate::channel::protocol::declarative::sign::Verification;
use crate::config::credential::CredentialResolver;
use crate::config::section::Section;

/// What a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageRole {
    Request,
    Reply,
    Notice,
}

/// One signature as the file has it.
pub struct SignatureSetting {
    role: MessageRole,
    /// `sign`, `verify` or `notice_verify`: where its keys stand. With `as_signed` it is `sign`.
    pub section: String,
    pub algorithm: String,
    pub over: String,
    /// Whether both sides have the same key.
    pub is_shared: bool,
    /// Each key's own name, where it has one, and its reference.
    pub references: Vec<(String, String)>,
    /// Where `keys` and the rest of the proof stand.
    proof: &'static str,
}

/// `None` where the file describes no signature of such a message.
pub fn read_setting(http: &Section<'_>, role: MessageRole) -> Option<SignatureSetting> {
    let proof = match role {
        MessageRole::Request => "sign",
        MessageRole::Notice if http.has("notice_verify") => "notice_verify",
        MessageRole::Reply | MessageRole::Notice => "verify",
    };
    let own = http.optional_section(proof)?;
    let section = if own.boolean_or("as_signed", false) { "sign" } else { proof };
    let described = http.optional_section(section)?;
    let algorithm = described.optional_text("algorithm")?;
    let families = ["rsa", "ecdsa", "ed25519", "sm2"];
    let key = described.optional_text("key");
    let id = described.optional_text("key_id").unwrap_or_default();
    let several = own.map("keys").into_iter().map(|entry| (entry.key, entry.text));
    Some(SignatureSetting {
        role,
        section: section.to_owned(),
        is_shared: !families.iter().any(|family| algorithm.starts_with(family)),
        algorithm,
        over: described.optional_text("over").unwrap_or_default(),
        references: key.map(|key| (id, key)).into_iter().chain(several).collect(),
        proof,
    })
}

/// The members in which the code of some reply stands.
pub fn code_members(http: &Section<'_>) -> Vec<Option<Inside>> {
    let form = read_forms(http).reply;
    let of = |kind: RequestKind| {
        let reply = http.optional_section(kind.name)?.optional_section("reply")?;
        let path = Path::parse(&reply.optional_text("code")?, form.format).ok()?;
        Inside::member_of(&path)
    };
    let members = RequestKind::ALL.into_iter().filter_map(of).map(Some).collect::<Vec<_>>();
    if members.is_empty() { vec![None] } else { members }
}

impl SignatureSetting {
    /// The signature with its keys, and how the messages are written that it is on.
    pub fn proof(
        &self,
        http: &Section<'_>,
        resolve: &CredentialResolver<'_>,
    ) -> Option<(Verification, BodyForm)> {
        let Forms { request, reply, notice } = read_forms(http);
        let form = match self.role {
            MessageRole::Request => request,
            MessageRole::Reply => reply,
            MessageRole::Notice => notice,
        };
        let constants = read_constants(http, resolve);
        let reader = SignReader { request, reply, notice, constants: &constants, resolve };
        Some((reader.proof(http, self.proof, form)?, form))
    }
}
