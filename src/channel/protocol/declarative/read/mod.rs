//! Builds the adapter from the section `[http]` of a channel's file, and says everything that is
//! wrong with it.
//!
//! Every template is rendered once with sample data, so that a wrong filter or a money amount with
//! a point is found at start and not by the first payment. Credentials come through the caller's
//! resolver; no mistake quotes one (I-11). Reads no file itself.

mod call;
mod encrypt;
mod notice;
mod sign;
mod statement;

use std::sync::Arc;

use http::{HeaderValue, Uri};
use minijinja::Value;

use self::call::CallReader;
use self::encrypt::read_encryption;
use self::notice::read_notices;
use self::sign::{SignReader, Signatures};
use self::statement::read_statement;
use super::format::{BodyForm, BodyFormat};
use super::kind::RequestKind;
use super::statement::StatementCall;
use super::words::{Constant, Constants, ENCRYPTER, Surroundings, Word};
use super::{Call, Declarative};
use crate::channel::file::codes::{CodeMeaning, CodeTable};
use crate::channel::protocol::sample::{sample_now, sample_requests};
use crate::channel::statement::{StatementFile, StatementSource};
use crate::channel::{Adapter, EncodeError};
use crate::codec::charset::NamedCharset;
use crate::config::credential::CredentialResolver;
use crate::config::raw::Tree;
use crate::config::section::Section;
use crate::domain::time::BusinessDate;

/// Reads `[http]`. `codes` is the channel's own table, from the file's `[codes]`.
///
/// `None` after any mistake that leaves nothing to build; the caller must look at the mistakes too,
/// because some are reported beside a usable value.
pub fn read(
    section: Section<'_>,
    codes: &CodeTable,
    resolve: &CredentialResolver<'_>,
) -> Option<Declarative> {
    let base = read_base_url(&section);
    let forms = read_forms(&section);
    let mut statuses = section.integers_or("accept_statuses", &[], 200_u16..=599);
    statuses.push(200);
    let constants = read_constants(&section, resolve);
    let encryption = section.optional_section("encrypt").map(|inner| {
        let read = read_encryption(&inner, resolve);
        inner.finish();
        read
    });
    let Forms { request, reply, notice } = forms;
    let signs = SignReader { request, reply, notice, constants: &constants, resolve };
    let Signatures { signing, replies, notices: own } = signs.read(&section);
    let verification = replies.map(|found| found.map(Arc::new));
    let own = own.map(|found| found.map(Arc::new));
    let seal = verification.as_ref().and_then(Option::as_ref).map(|proof| &proof.seal);
    let reader = CallReader { request, reply, seal, constants: &constants, codes };
    let calls: Vec<Option<Call>> = RequestKind::ALL
        .into_iter()
        .filter(|kind| section.has(kind.name))
        .map(|kind| reader.call(kind, &section))
        .collect();
    if !section.has("payment") && !section.has("preauth") {
        section.mistake("payment", "is missing", "describe the payment under [http.payment]");
    }
    let proof = verification.as_ref().and_then(Option::as_ref);
    let notice_proof = own.as_ref().and_then(Option::as_ref).or(proof);
    let notice_seal = notice_proof.map(|proof| &proof.seal);
    // What is encrypted in a notice is signed with the text that hides it.
    let open_seal = notice_seal.filter(|_| !section.has("decrypt"));
    let of_notices = CallReader { reply: notice, seal: open_seal, ..reader };
    let notices = read_notices(&section, &of_notices, notice_proof, resolve);
    let own_host = base.as_ref().map_or("", |(origin, _)| host_of(origin));
    let statement = read_statement(&section, &reader, proof, own_host);
    let whole = base.zip(calls.into_iter().collect::<Option<Vec<_>>>());
    let whole = whole.zip(signing.zip(verification)).zip(unless_wrong(encryption).zip(notices));
    let whole = whole.zip(statement.zip(own));
    let adapter = whole.map(|(((((origin, base_path), calls), signs), rest), (statement, _))| {
        let ((signing, verification), (encryption, notices)) = (signs, rest);
        let surroundings = Arc::new(Surroundings { constants, encryption });
        Declarative {
            origin,
            base_path,
            request_form: request,
            reply_form: reply,
            content_type: content_type(request),
            accepted_statuses: statuses,
            surroundings,
            signing,
            verification,
            calls,
            notices,
            statement,
        }
    });
    if let Some(adapter) = &adapter {
        try_samples(&section, adapter);
    }
    section.finish();
    adapter
}

/// How each kind of message is written.
struct Forms {
    request: BodyForm,
    reply: BodyForm,
    notice: BodyForm,
}

fn read_forms(section: &Section<'_>) -> Forms {
    let formats = [
        ("json", BodyFormat::Json),
        ("form", BodyFormat::Form),
        ("xml", BodyFormat::Xml),
        ("text", BodyFormat::Text),
    ];
    let written = section.choice_or("format", BodyFormat::Json, &formats[..3]);
    let replies = section.optional_choice("reply_format", &formats).unwrap_or(written);
    let notices = section.optional_choice("notice_format", &formats).unwrap_or(replies);
    let name = section.text_or("charset", "utf-8");
    let charset = NamedCharset::parse(&name).unwrap_or_else(|| {
        let advice = "write for example \"gbk\"";
        section.mistake("charset", "names no encoding that keeps ASCII as it is", advice);
        NamedCharset::UTF_8
    });
    let form = |format| BodyForm { format, charset };
    Forms { request: form(written), reply: form(replies), notice: form(notices) }
}

fn content_type(form: BodyForm) -> HeaderValue {
    HeaderValue::from_str(&form.content_type()).expect("names of formats and encodings are ASCII")
}

/// Builds one request of each kind from made-up data; what fails would fail for every payment.
fn try_samples(section: &Section<'_>, adapter: &Declarative) {
    let wrong = |name: &str, error: &EncodeError| {
        let problem = format!("cannot be built from sample data: {}", error.problem);
        section.mistake(name, &problem, "correct the template");
    };
    let mut tried = Vec::new();
    for request in sample_requests(sample_now()) {
        let Some(call) = adapter.call(&request) else { continue };
        if tried.contains(&call.kind.name) {
            continue;
        }
        tried.push(call.kind.name);
        if let Err(error) = adapter.encode(&request, sample_now()) {
            wrong(call.kind.name, &error);
        }
    }
    if let Some(call) = &adapter.statement
        && let Err(error) = try_statement(adapter, call)
    {
        wrong("statement", &error);
    }
}

/// Both requests for a statement, and the name of its file.
fn try_statement(adapter: &Declarative, call: &StatementCall) -> Result<(), EncodeError> {
    let now = sample_now();
    let date = BusinessDate::new(now.civil(&jiff::tz::TimeZone::UTC).date());
    adapter.encode_statement(date, now)?;
    if let Some(pointer) = call.sample_pointer() {
        adapter.encode_file(date, &pointer, now)?;
    }
    let name = call.name.render_text(&adapter.statement_words(date, now));
    let fits =
        name.ok().flatten().is_some_and(|name| StatementFile::new(&name, Vec::new()).is_some());
    let problem = "its name is none that a file may have".to_owned();
    if fits { Ok(()) } else { Err(EncodeError { request: "statement", problem }) }
}

/// Host and port of an origin.
fn host_of(origin: &str) -> &str {
    origin.split_once("://").map_or("", |(_, host)| host)
}

/// `Some(None)` where the section is absent, `None` where it is there and wrong.
pub(super) fn unless_wrong<T>(read: Option<Option<T>>) -> Option<Option<T>> {
    read.map_or(Some(None), |value| value.map(Some))
}

/// A table of codes: `code = "approved" | "pending" | "unknown" | "not_found" | "declined <reason>"
/// | "elsewhere <reason>"`. Empty when the key is absent.
pub fn read_codes(section: &Section<'_>, key: &str) -> CodeTable {
    let Some(table) = section.optional_section(key) else { return CodeTable::default() };
    let mut verdicts = Vec::new();
    for (code, _) in table.keys() {
        let verdict =
            table.optional_parsed(code, "declined insufficient_funds", CodeMeaning::parse);
        verdicts.extend(verdict.map(|verdict| (code.to_owned(), verdict)));
    }
    table.finish();
    CodeTable::new(verdicts)
}

/// Origin and path of the base URL, neither with a slash at its end.
fn read_base_url(section: &Section<'_>) -> Option<(String, String)> {
    let plain_allowed = section.boolean_or("allow_plain_http", false);
    section.parsed("base_url", "https://api.bank.example/gateway", |text| {
        let uri: Uri = text.parse().ok().filter(|_| text.is_ascii()).ok_or("is not a URL")?;
        let host = uri.host().ok_or("names no host")?;
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        let is_local = matches!(host, "localhost" | "[::1]") || host.starts_with("127.");
        match uri.scheme_str() {
            Some("https") => {}
            Some("http") if is_local || plain_allowed => {}
            Some("http") => return Err("sends card data in clear (write https)"),
            _ => return Err("begins with neither https:// nor http://"),
        }
        if uri.query().is_some() || authority.contains('@') || text.contains('#') {
            return Err("is more than scheme, host and path");
        }
        let scheme = uri.scheme_str().unwrap_or("https");
        let path = uri.path().trim_end_matches('/').to_owned();
        Ok((format!("{scheme}://{authority}"), path))
    })
}

/// `[http.values]` and `[http.secrets]`: names that templates may use like words.
fn read_constants(section: &Section<'_>, resolve: &CredentialResolver<'_>) -> Constants {
    let mut constants = Constants::new();
    if let Some(values) = section.optional_section("values") {
        for (name, _) in values.keys() {
            check_constant_name(&values, name);
            let value = match values.value(name) {
                Some(Tree::Text(text)) => Value::from(text),
                Some(Tree::Integer(integer)) => Value::from(integer),
                Some(Tree::Boolean(boolean)) => Value::from(boolean),
                Some(Tree::List(_) | Tree::Table(_)) => {
                    values.mistake(name, "is a list or a section", "write a text or a number");
                    Value::from("")
                }
                None => Value::from(""),
            };
            constants.insert(name.to_owned(), Constant { value, is_secret: false });
        }
        values.finish();
    }
    if let Some(secrets) = section.optional_section("secrets") {
        for (name, _) in secrets.keys() {
            check_constant_name(&secrets, name);
            if constants.contains_key(name) {
                secrets.mistake(name, "is also one of [http.values]", "give it another name");
            }
            let value = secrets.optional_parsed(name, "env:BANK_TOKEN", resolve);
            let value = Value::from(value.unwrap_or_default());
            constants.insert(name.to_owned(), Constant { value, is_secret: true });
        }
        secrets.finish();
    }
    constants
}

fn check_constant_name(section: &Section<'_>, name: &str) {
    let is_name = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    let is_taken = Word::parse(name).is_some() || matches!(name, "card" | "original" | ENCRYPTER);
    if is_taken {
        section.mistake(name, "is a word of templates already", "give it another name");
    } else if !is_name || name.is_empty() {
        section.mistake(name, "cannot be named in a template", "use small letters and underscores");
    }
}
