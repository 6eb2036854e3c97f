//! Reads `[http.notice]`, `[http.refund_notice]` and their like, and `[http.notice_answer]`.

use std::sync::Arc;

use http::HeaderValue;

use super::call::{CallReader, bases, holder};
use super::encrypt::DecryptionOf;
use crate::channel::protocol::declarative::format::BodyForm;
use crate::channel::protocol::declarative::notice::{NoticeAnswer, NoticeMap, Notices};
use crate::channel::protocol::declarative::path::Path;
use crate::channel::protocol::declarative::seal::Seal;
use crate::channel::protocol::declarative::sign::Verification;
use crate::config::section::Section;

/// Sections of notices, the more particular ones first: the first whose `when` fits reads a notice.
const SECTIONS: [&str; 9] = [
    "payment_notice",
    "refund_notice",
    "void_notice",
    "preauth_notice",
    "capture_notice",
    "undo_notice",
    "payout_notice",
    "reversal_notice",
    "notice",
];

/// Everything about notices; `Some(None)` where the channel sends none, `None` after a mistake.
pub fn read_notices(
    http: &Section<'_>,
    reader: &CallReader<'_>,
    form: BodyForm,
    verification: Option<&Arc<Verification>>,
    decryption: Option<&DecryptionOf>,
) -> Option<Option<Notices>> {
    let decryption = decryption.filter(|read| read.notices);
    let seal = verification.map(|proof| &proof.seal);
    // What is encrypted in a notice is signed with the text that hides it.
    let reader =
        &CallReader { reply: form, seal: seal.filter(|_| decryption.is_none()), ..*reader };
    let read = |name: &&'static str| {
        let section = http.optional_section(name)?;
        let kind = read_kind(http, name, &section, reader, seal);
        if verification.is_none() && !http.has("notice_verify") && !says_signed(http) {
            let advice = "describe the signature under [http.notice_verify] or [http.verify]";
            http.mistake(name, "anyone could post one, for nothing proves it", advice);
        }
        if *name != "notice" && !section.has("when") {
            let advice = "write for example when = { \"/type\" = \"REFUND\" }";
            section.mistake("when", "is missing: it tells this kind from others", advice);
        }
        section.finish();
        Some(kind)
    };
    let kinds: Vec<Option<NoticeMap>> = SECTIONS.iter().filter_map(read).collect();
    if !kinds.is_empty() && seal.is_some_and(Seal::follows_code) {
        let advice = "describe [http.notice_verify], with the element's name";
        http.mistake("notice", "nothing says which element of a notice is signed", advice);
    }
    let answer = http.optional_section("notice_answer");
    let decryption = decryption.map(|read| Arc::clone(&read.decryption));
    let places = decryption.iter().flat_map(|read| &read.cipher_text.places);
    let mut hidden = places.filter(|place| seal.is_some_and(|seal| !seal.covers(place)));
    if !kinds.is_empty() && hidden.next().is_some() {
        http.mistake("decrypt", "opens what is not signed", "sign it, or {{ body }}");
    }
    if kinds.is_empty() {
        if answer.is_some() {
            http.mistake("notice_answer", "is there, but no notice", "describe [http.notice]");
        }
        return Some(None);
    }
    let answer = match answer {
        Some(section) => {
            let read = read_answer(&section);
            section.finish();
            read
        }
        None => Some(NoticeAnswer {
            taken: "ok".to_owned(),
            refused: "refused".to_owned(),
            refused_status: 400,
            content_type: HeaderValue::from_static("text/plain; charset=utf-8"),
        }),
    };
    let kinds = kinds.into_iter().collect::<Option<Vec<_>>>()?;
    let verification = Arc::clone(verification?);
    Some(Some(Notices {
        form,
        kinds,
        decryption,
        order_form: reader.order_form.clone(),
        verification,
        answer: answer?,
    }))
}

/// Whether `[http.verify]` describes a signature, rightly or not.
fn says_signed(http: &Section<'_>) -> bool {
    http.optional_section("verify").is_some_and(|verify| !verify.has("none"))
}

fn read_answer(section: &Section<'_>) -> Option<NoticeAnswer> {
    let content_type = section.text_or("content_type", "text/plain; charset=utf-8");
    let content_type = HeaderValue::from_str(&content_type).map_err(|_| {
        section.mistake("content_type", "is not a media type", "write \"application/json\"");
    });
    Some(NoticeAnswer {
        taken: section.text("taken"),
        refused: section.text_or("refused", "refused"),
        refused_status: section.integer_or("refused_status", 400, 200..=599),
        content_type: content_type.ok()?,
    })
}

fn read_kind(
    http: &Section<'_>,
    name: &'static str,
    section: &Section<'_>,
    reader: &CallReader<'_>,
    seal: Option<&Seal>,
) -> Option<NoticeMap> {
    let mut when = Vec::new();
    if let Some(inner) = section.optional_section("when") {
        for (key, _) in inner.keys() {
            let path = Path::parse(key, reader.reply.format)
                .map_err(|problem| inner.mistake(key, &problem, "write a path of the notice"))
                .ok();
            let is_signed = |path: &Path| {
                seal.is_none_or(|seal| path.places.iter().all(|place| seal.covers(place)))
            };
            if path.as_ref().is_some_and(|path| !is_signed(path)) {
                let advice = "tell the kind by what [http.verify] signs, or sign it";
                inner.mistake(key, "stands in no part of the message that is signed", advice);
            }
            // One text, or several of which one must stand there.
            let texts = match inner.value(key) {
                Some(crate::config::raw::Tree::List(_)) => inner.texts(key),
                Some(_) | None => vec![inner.text(key)],
            };
            when.extend(path.map(|path| (path, texts)));
        }
        inner.finish();
    }
    let bases = bases(http, name, section);
    let from = |key: &str| holder(section, &bases, key);
    if !from("reply").section("reply").has("order_no") {
        section.mistake("reply", "has no order_no", "say where the notice has our number");
    }
    Some(NoticeMap { section: name, when, map: reader.reply(None, section, &from)? })
}
