//! Reads `[http.statement]`: how a clearing date's statement is asked for, and where its file is.

use std::sync::Arc;

use super::call::{CallReader, bases, holder};
use super::read_codes;
use crate::channel::protocol::declarative::kind::RequestKind;
use crate::channel::protocol::declarative::path::{Inside, Path};
use crate::channel::protocol::declarative::sign::Verification;
use crate::channel::protocol::declarative::statement::{
    Download, FilePlace, FileProof, StatementCall,
};
use crate::channel::protocol::declarative::template::{Scope, Target, Template};
use crate::codec::crypto::digest::Digest;
use crate::config::section::Section;

/// `Some(None)` where the file has no such section, `None` after a mistake. `own_host` is the
/// channel's own, with its port.
pub fn read_statement(
    http: &Section<'_>,
    reader: &CallReader<'_>,
    verification: Option<&Arc<Verification>>,
    own_host: &str,
) -> Option<Option<StatementCall>> {
    let kind = RequestKind::STATEMENT;
    let Some(section) = http.optional_section(kind.name) else { return Some(None) };
    let bases = bases(http, kind.name, &section);
    let from = |key: &str| holder(&section, &bases, key);
    let sending = reader.sending(kind, &section, &from);
    let CallReader { constants, merchants, brought, has_token, has_envelope, .. } = *reader;
    let target = Target::Path;
    let scope = Scope { kind, constants, merchants, brought, has_token, has_envelope, target };
    let name = section.text_or("name", "statement-{{ date }}");
    let name = Template::compile(&name, &scope)
        .map_err(|wrong| section.mistake("name", &wrong.problem, &wrong.advice));
    let own_codes = read_codes(&section, "codes");
    let (is_unsigned, is_zlib) =
        (section.boolean_or("unsigned", false), section.boolean_or("zlib", false));
    let reply = section.section("reply");
    let path = |key: &str| reader.path_at(&reply, key);
    let (code, date) = (path("code"), path("date"));
    let place = read_place(&section, &reply, &path, own_host);
    let proof = read_proof(&section, &reply, &path);
    if let FilePlace::Body = place {
        let inside = verification.is_some_and(|one| one.seal.needs_document());
        if inside && !is_unsigned {
            let advice = "say where the file stands in the reply, or write unsigned = true";
            let problem = "is the file itself, but replies are signed inside";
            section.mistake("reply", problem, advice);
        }
        if reply.has("hash") || reply.has("date") {
            let advice = "say where the file stands: `content` or `url`";
            reply.mistake("hash", "or `date` is there, but the body is the file itself", advice);
        }
    }
    reply.finish();
    section.finish();
    Some(Some(StatementCall {
        sending: sending?,
        name: name.ok()?,
        is_unsigned,
        is_zlib,
        member: code.as_ref().and_then(Inside::member_of),
        code,
        date,
        place,
        proof,
        shared_codes: reader.codes.clone(),
        own_codes,
    }))
}

fn read_place(
    section: &Section<'_>,
    reply: &Section<'_>,
    path: &dyn Fn(&str) -> Option<Path>,
    own_host: &str,
) -> FilePlace {
    let hosts = section.optional_texts("download_hosts");
    let is_signed = section.boolean_or("download_signed", false);
    match (path("content"), path("url")) {
        (Some(_), Some(_)) => {
            reply.mistake("url", "and `content` are both there", "say where the file is");
            FilePlace::Body
        }
        (Some(content), None) => FilePlace::Content(content),
        (None, Some(url)) => {
            let mut hosts = hosts.unwrap_or_else(|| vec![own_host.to_owned()]);
            for (index, host) in hosts.iter_mut().enumerate() {
                host.make_ascii_lowercase();
                let fits = |byte: u8| byte.is_ascii_alphanumeric() || b".-:".contains(&byte);
                if host.is_empty() || !host.bytes().all(fits) {
                    let advice = "write a host's name, without https:// and path";
                    section.mistake_in("download_hosts", index, "is not a host", advice);
                }
            }
            if hosts.is_empty() {
                section.mistake("download_hosts", "is empty", "name a host, or leave it out");
            }
            FilePlace::Address(Download { url, hosts, is_signed })
        }
        (None, None) => FilePlace::Body,
    }
}

fn read_proof(
    section: &Section<'_>,
    reply: &Section<'_>,
    path: &dyn Fn(&str) -> Option<Path>,
) -> Option<FileProof> {
    let digests = [
        ("sha256", Digest::Sha256),
        ("sha1", Digest::Sha1),
        ("md5", Digest::Md5),
        ("sm3", Digest::Sm3),
    ];
    let algorithm = section.choice_or("hash_algorithm", Digest::Sha256, &digests);
    let hash_type = path("hash_type");
    let hash = path("hash");
    if hash.is_none() && (hash_type.is_some() || section.has("hash_algorithm")) {
        reply.mistake("hash", "is missing, but its algorithm is there", "say where it stands");
    }
    Some(FileProof { hash: hash?, hash_type, algorithm })
}
