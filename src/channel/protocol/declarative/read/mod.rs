//! Builds the adapter from the section `[http]` of a channel's file, and says everything that is
//! wrong with it.
//!
//! Every template is rendered once with sample data, so that a wrong filter or a money amount with
//! a point is found at start and not by the first payment. Credentials come through the caller's
//! resolver; no mistake quotes one (I-11). Reads no file itself.

mod call;
mod encrypt;
mod far_keys;
mod notice;
mod setting;
mod sign;
mod statement;
mod token;

use std::collections::BTreeMap;
use std::sync::Arc;

use http::Uri;
use minijinja::Value;

use self::call::CallReader;
pub use self::far_keys::read_far_keys;
pub use self::setting::{MessageRole, SignatureSetting, code_members, read_setting};

use self::encrypt::{read_decryption, read_encryption};
use self::notice::read_notices;
use self::sign::{SignReader, Signatures};
use self::statement::read_statement;
use self::token::read_token;
use super::encrypt::Encryption;
use super::format::{BodyForm, BodyFormat};
use super::kind::RequestKind;
use super::seal::Seal;
use super::statement::StatementCall;
use super::word::Word;
use super::words::{AccountKinds, Constant, Constants, ENCRYPTER, Merchants, Surroundings};
use super::{Call, Declarative, Destination, host_of};
use crate::channel::fetched::{CredentialSupply, FetchedSlot};
use crate::channel::file::codes::{CodeMeaning, CodeTable};
use crate::channel::protocol::sample::{sample_now, sample_requests};
use crate::channel::statement::{StatementFile, StatementSource};
use crate::channel::{Adapter, EncodeError};
use crate::codec::charset::NamedCharset;
use crate::codec::order_form::OrderForm;
use crate::config::credential::CredentialResolver;
use crate::config::raw::Tree;
use crate::config::section::Section;
use crate::domain::closed_set::ClosedSet as _;
use crate::domain::payee_account::AccountKind;
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
    let Forms { request, reply, notice } = read_forms(&section);
    let accepted_statuses = read_statuses(&section);
    let constants = read_constants(&section, resolve);
    let encryption = inner(&section, "encrypt", |inner| read_encryption(inner, resolve));
    let decryption =
        inner(&section, "decrypt", |inner| read_decryption(inner, reply.format, resolve));
    let opened = decryption.as_ref().and_then(Option::as_ref);
    let opens_replies = opened.is_some_and(|read| read.replies);
    let signs = SignReader { request, reply, notice, constants: &constants, resolve };
    let Signatures { signing, replies, notices: own } = signs.read(&section);
    let proof = replies.as_ref().and_then(Option::as_ref);
    let seal = proof.map(|proof| &proof.seal);
    check_hidden(&section, opens_replies, seal);
    let seals = encryption.as_ref().and_then(Option::as_ref).is_some_and(Encryption::is_envelope);
    let (merchants, order_form, account_kinds) = read_names(&section);
    let reader = CallReader {
        request,
        reply,
        seal: seal.filter(|_| !opens_replies),
        order_form: &order_form,
        merchants: &merchants,
        has_token: section.has(RequestKind::TOKEN.name),
        has_envelope: seals,
        constants: &constants,
        brought: &[],
        codes,
    };
    let calls = read_calls(&section, &reader);
    let notice_proof = own.as_ref().and_then(Option::as_ref).or(proof);
    let notices = read_notices(&section, &reader, notice, notice_proof, opened);
    let own_host = base.as_ref().map_or("", |(origin, _)| host_of(origin));
    let statement = read_statement(&section, &reader, proof, own_host);
    let token = read_token(&section, &reader, base.clone());
    let adapter = (|| {
        let destination = Destination::of(base?, request, true);
        let (decryption, calls) = (decryption?, calls?);
        own?;
        let surroundings = Surroundings {
            constants,
            encryption: encryption?,
            merchants,
            account_kinds,
            order_form,
            token: FetchedSlot::with_sample(),
        };
        Some(Declarative {
            destination,
            reply_form: reply,
            token: token?,
            accepted_statuses,
            surroundings: Arc::new(surroundings),
            signing: signing?,
            verification: replies?,
            has_first: calls.iter().any(|call| call.first.is_some()),
            calls,
            notices: notices?,
            statement: statement?,
            reply_decryption: decryption.filter(|read| read.replies).map(|read| read.decryption),
        })
    })();
    adapter.iter().for_each(|adapter| try_samples(&section, adapter));
    section.finish();
    adapter
}

/// The channel's names for merchants, our order numbers and kinds of accounts.
fn read_names(section: &Section<'_>) -> (Merchants, OrderForm, AccountKinds) {
    (read_merchants(section), read_order_form(section), read_account_kinds(section))
}

/// The statuses whose body is an ordinary reply: 200, and those that the file names.
fn read_statuses(section: &Section<'_>) -> Vec<u16> {
    let mut statuses = section.integers_or("accept_statuses", &[], 200_u16..=599);
    statuses.push(200);
    statuses
}

/// Refuses a signature whose place only the hidden code could tell.
fn check_hidden(section: &Section<'_>, opens_replies: bool, seal: Option<&Seal>) {
    if opens_replies && seal.is_some_and(Seal::follows_code) {
        let advice = "name the element that is signed in [http.verify]";
        section.mistake("decrypt", "hides the code that tells which element is signed", advice);
    }
}

/// A section of its own reader: `Some(None)` where it is absent, `None` after a mistake.
fn inner<T>(
    section: &Section<'_>,
    key: &str,
    read: impl FnOnce(&Section<'_>) -> Option<T>,
) -> Option<Option<T>> {
    unless_wrong(section.optional_section(key).map(|inner| {
        let found = read(&inner);
        inner.finish();
        found
    }))
}

/// Every section of a request, the statement's and the token's apart.
fn read_calls(section: &Section<'_>, reader: &CallReader<'_>) -> Option<Vec<Call>> {
    let calls: Vec<Option<Call>> = RequestKind::ALL
        .into_iter()
        .filter(|kind| section.has(kind.name))
        .map(|kind| reader.call(kind, section))
        .collect();
    if !section.has("payment") && !section.has("preauth") {
        section.mistake("payment", "is missing", "describe the payment under [http.payment]");
    }
    calls.into_iter().collect()
}

/// The last of them is what only the channel writes.
const BODY_FORMATS: [(&str, BodyFormat); 4] = [
    ("json", BodyFormat::Json),
    ("form", BodyFormat::Form),
    ("xml", BodyFormat::Xml),
    ("text", BodyFormat::Text),
];

/// How each kind of message is written.
struct Forms {
    request: BodyForm,
    reply: BodyForm,
    notice: BodyForm,
}

fn read_forms(section: &Section<'_>) -> Forms {
    let written = section.choice_or("format", BodyFormat::Json, &BODY_FORMATS[..3]);
    let replies = section.optional_choice("reply_format", &BODY_FORMATS).unwrap_or(written);
    let notices = section.optional_choice("notice_format", &BODY_FORMATS).unwrap_or(replies);
    let name = section.text_or("charset", "utf-8");
    let charset = NamedCharset::parse(&name).unwrap_or_else(|| {
        let advice = "write for example \"gbk\"";
        section.mistake("charset", "names no encoding that keeps ASCII as it is", advice);
        NamedCharset::UTF_8
    });
    let form = |format| BodyForm { format, charset };
    Forms { request: form(written), reply: form(replies), notice: form(notices) }
}

/// Builds one request of each kind from made-up data; what fails would fail for every payment.
fn try_samples(section: &Section<'_>, adapter: &Declarative) {
    let wrong = |name: &str, error: &EncodeError| {
        let problem = format!("cannot be built from sample data: {}", error.problem);
        section.mistake(name, &problem, "correct the template");
    };
    let mut tried = Vec::new();
    for request in sample_requests(sample_now()) {
        let request = adapter.of_known_merchant(request);
        let Some(call) = adapter.call(&request) else { continue };
        if tried.contains(&call.kind.name) {
            continue;
        }
        tried.push(call.kind.name);
        let first = adapter.first_request(&request);
        let first = first.map(|first| first.encode_first(&request, sample_now()));
        for written in first.into_iter().chain([adapter.encode(&request, sample_now())]) {
            if let Err(error) = written {
                wrong(call.kind.name, &error);
            }
        }
    }
    if adapter.token.is_some()
        && let Err(error) = adapter.encode_fetch(sample_now())
    {
        wrong("token", &error);
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

fn read_base_url(section: &Section<'_>) -> Option<(String, String)> {
    let plain_allowed = section.boolean_or("allow_plain_http", false);
    section.parsed("base_url", SAMPLE_URL, |text| split_base_url(text, plain_allowed))
}

const SAMPLE_URL: &str = "https://api.bank.example/gateway";

/// Origin and path of a base URL, neither with a slash at its end.
fn split_base_url(text: &str, plain_allowed: bool) -> Result<(String, String), &'static str> {
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
}

fn read_order_form(section: &Section<'_>) -> OrderForm {
    let form = section.optional_parsed("order_no", "SW{{ order_no }}", OrderForm::parse);
    form.unwrap_or_default()
}

/// `[http.merchants]`: for each merchant of the core, the channel's names for it. All of them have
/// the same names.
fn read_merchants(section: &Section<'_>) -> Merchants {
    let mut merchants = Merchants::new();
    let Some(table) = section.optional_section("merchants") else { return merchants };
    for (id, _) in table.keys() {
        let Some(inner) = table.optional_section(id) else { continue };
        let mut names = BTreeMap::new();
        for (name, _) in inner.keys() {
            check_constant_name(&inner, name);
            names.insert(name.to_owned(), inner.text(name));
        }
        inner.finish();
        let differs = |other: &BTreeMap<String, String>| !other.keys().eq(names.keys());
        if merchants.values().next().is_some_and(differs) || names.is_empty() {
            table.mistake(id, "has other names than the merchants above it", "give all of them");
        }
        merchants.insert(id.to_owned(), names);
    }
    table.finish();
    merchants
}

/// `[http.account_kinds]`: what the channel calls the kinds of accounts.
fn read_account_kinds(section: &Section<'_>) -> AccountKinds {
    const KEY: &str = "account_kinds";
    let Some(table) = section.optional_section(KEY) else { return AccountKinds::new() };
    let mut words = AccountKinds::new();
    for (name, _) in table.keys() {
        let word = table.text(name);
        match AccountKind::parse(name) {
            Some(kind) => drop(words.insert(kind, word)),
            None => {
                let advice = format!("write one of {}", AccountKind::NAMES.join(", "));
                table.mistake(name, "is no kind of account", &advice);
            }
        }
    }
    if words.is_empty() {
        section.mistake(KEY, "names no kind", "write login = \"…\", or take it out");
    }
    table.finish();
    words
}

/// `[http.values]` and `[http.secrets]`: names that templates may use like words.
fn read_constants(section: &Section<'_>, resolve: &CredentialResolver<'_>) -> Constants {
    let mut constants = Constants::new();
    if let Some(url) = section.optional_text("notice_url") {
        let value = Value::from(url);
        constants.insert("notice_url".to_owned(), Constant { value, is_secret: false });
    }
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
    let is_taken = Word::parse(name).is_some()
        || matches!(
            name,
            "card"
                | "payer"
                | "payee"
                | "original"
                | "merchant"
                | "first"
                | "notice_url"
                | ENCRYPTER
        );
    if is_taken {
        section.mistake(name, "is a word of templates already", "give it another name");
    } else if !is_name || name.is_empty() {
        section.mistake(name, "cannot be named in a template", "use small letters and underscores");
    }
}
