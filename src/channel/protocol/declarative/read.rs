//! Builds the adapter from the section `[http]` of a channel's file, and says everything that is
//! wrong with it.
//!
//! Every template is rendered once with sample data, so that a wrong filter or a money amount with
//! a point is found at start and not by the first payment. Credentials come through the caller's
//! resolver; no mistake quotes one (I-11). Reads no file itself.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::{HeaderName, Method, Uri};
use minijinja::Value;
use serde_json::Value as Json;

use super::body::Body;
use super::read_sign::{parse_header_name, read_signatures};
use super::reply::{AmountForm, Format, Path, ReplyMap, State};
use super::template::{Scope, Target, Template, TemplateMistake};
use super::words::{Constant, Constants, Kind, Word};
use super::{Call, Declarative};
use crate::channel::codes::{CodeTable, Verdict};
use crate::channel::{Adapter, AttemptFacts, ChannelRequest};
use crate::config::raw::Tree;
use crate::config::section::Section;
use crate::domain::card::{CardInput, Cvv, Expiry, Pan, luhn_digit};
use crate::domain::flow::attempt::Operation;
use crate::domain::ids::{ChannelOrderNo, MerchantId, OrderId};
use crate::domain::money::{AmountMinor, Currency};
use crate::domain::time::Timestamp;

/// Turns a reference such as `env:NAME` or `file:path` into the credential, or says why not.
pub type Resolve<'r> = &'r dyn Fn(&str) -> Result<String, String>;

/// Reads `[http]`. `codes` is the channel's own table, from the file's `[codes]`.
///
/// `None` after any mistake that leaves nothing to build; the caller must look at the mistakes too,
/// because some are reported beside a usable value.
pub fn read(section: Section<'_>, codes: &CodeTable, resolve: Resolve<'_>) -> Option<Declarative> {
    let base = read_base_url(&section);
    let format = section.choice_or(
        "format",
        Format::Json,
        &[("json", Format::Json), ("form", Format::Form)],
    );
    let mut statuses =
        section.optional_integers("accept_statuses", 200_u16..=599).unwrap_or_default();
    statuses.push(200);
    let constants = read_constants(&section, resolve);
    let reader = Reader { format, constants: &constants, codes };
    let (signing, verification) = read_signatures(&section, format, resolve);
    let calls: Vec<Option<Call>> = Kind::ALL
        .into_iter()
        .filter_map(|kind| Some(reader.call(kind, section.optional_section(kind.name())?)))
        .collect();
    if !section.has(Kind::Payment.name()) {
        section.mistake("payment", "is missing", "describe the payment under [http.payment]");
    }
    let whole = base.zip(calls.into_iter().collect::<Option<Vec<_>>>());
    let whole = whole.zip(signing.zip(verification));
    let adapter =
        whole.map(|(((origin, base_path), calls), (signing, verification))| Declarative {
            origin,
            base_path,
            format,
            accepted_statuses: statuses,
            signing,
            verification,
            calls,
            constants: Arc::new(constants),
        });
    if let Some(adapter) = &adapter {
        try_samples(&section, adapter);
    }
    section.finish();
    adapter
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
        let verdict = table.optional_parsed(code, "declined insufficient_funds", Verdict::parse);
        verdicts.extend(verdict.map(|verdict| (code.to_owned(), verdict)));
    }
    table.finish();
    CodeTable::new(verdicts)
}

/// Origin and path of the base URL, neither with a slash at its end.
fn read_base_url(section: &Section<'_>) -> Option<(String, String)> {
    let plain_allowed = section.boolean_or("allow_plain_http", false);
    section.parsed("base_url", "https://api.bank.example/gateway", |text| {
        let uri: Uri = text.parse().map_err(|_| "is not a URL")?;
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
fn read_constants(section: &Section<'_>, resolve: Resolve<'_>) -> Constants {
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
    let is_taken = Word::parse(name).is_some() || matches!(name, "card" | "original");
    if is_taken {
        section.mistake(name, "is a word of templates already", "give it another name");
    } else if !is_name || name.is_empty() {
        section.mistake(name, "cannot be named in a template", "use small letters and underscores");
    }
}

/// What every part of `[http]` needs to know of the rest.
struct Reader<'a> {
    format: Format,
    constants: &'a Constants,
    codes: &'a CodeTable,
}

impl Reader<'_> {
    fn call(&self, kind: Kind, section: Section<'_>) -> Option<Call> {
        let scope = |target| Scope { kind, constants: self.constants, target };
        let method = section.choice_or(
            "method",
            Method::POST,
            &[("POST", Method::POST), ("GET", Method::GET), ("PUT", Method::PUT)],
        );
        let path = read_path(&section, &scope(Target::Path));
        let headers = section.optional_section("headers").map_or(Some(Vec::new()), |headers| {
            let read = read_headers(&headers, &scope(Target::Header));
            headers.finish();
            read
        });
        let body = match section.optional_section("body") {
            Some(_) if method == Method::GET => {
                section.mistake("body", "cannot be sent by GET", "write method = \"POST\"");
                None
            }
            Some(body) => Some(self.table(&body, &scope(Target::Body))),
            None => None,
        };
        let reply = self.reply(kind, section.section("reply"), &section);
        section.finish();
        Some(Call {
            kind,
            method,
            path: path?,
            headers: headers?,
            body: unless_wrong(body)?,
            reply: reply?,
        })
    }

    /// Each leaf is read in its own section, so that a mistake has its line.
    fn table(&self, section: &Section<'_>, scope: &Scope<'_>) -> Option<Body> {
        let mut entries = Vec::new();
        let mut is_whole = true;
        for (key, _) in section.keys() {
            let entry = match section.value(key) {
                Some(Tree::Table(_)) => {
                    let inner = section.section(key);
                    self.check_flat(section, key);
                    self.table(&inner, scope)
                }
                Some(Tree::List(items)) => {
                    self.check_flat(section, key);
                    self.list(section, key, items, scope)
                }
                Some(leaf) => compile_leaf(leaf, scope)
                    .map_err(|wrong| section.mistake(key, &wrong.problem, &wrong.advice))
                    .ok(),
                None => None,
            };
            is_whole &= entry.is_some();
            entries.extend(entry.map(|entry| (key.to_owned(), entry)));
        }
        is_whole.then_some(Body::Table(entries))
    }

    fn check_flat(&self, section: &Section<'_>, key: &str) {
        match self.format {
            Format::Json => {}
            Format::Form => section.mistake(key, "is nested", "a form has single values only"),
        }
    }

    fn list(
        &self,
        section: &Section<'_>,
        key: &str,
        items: Vec<Tree>,
        scope: &Scope<'_>,
    ) -> Option<Body> {
        let compile = |(index, item)| {
            compile_tree(item, scope)
                .map_err(|wrong| section.mistake_in(key, index, &wrong.problem, &wrong.advice))
                .ok()
        };
        let read: Vec<Option<Body>> = items.into_iter().enumerate().map(compile).collect();
        read.into_iter().collect::<Option<Vec<_>>>().map(Body::List)
    }

    fn reply(&self, kind: Kind, reply: Section<'_>, call: &Section<'_>) -> Option<ReplyMap> {
        let path = |key| reply.optional_parsed(key, self.sample_path(), |text| self.path(text));
        let code = reply.parsed("code", self.sample_path(), |text| self.path(text));
        let forms = [("minor", AmountForm::Minor), ("decimal", AmountForm::Decimal)];
        let is_whole = code.is_some();
        let read = ReplyMap {
            kind,
            code: code.unwrap_or(Path::NOWHERE),
            state: path("state"),
            states: read_states(call),
            result_code: path("result_code"),
            order_no: path("order_no"),
            amount: path("amount"),
            amount_form: reply.choice_or("amount_form", AmountForm::Minor, &forms),
            reference: path("reference"),
            settle_date: path("settle_date"),
            shared_codes: self.codes.clone(),
            own_codes: read_codes(call, "codes"),
        };
        check_reply(&read, &reply, call);
        reply.finish();
        is_whole.then_some(read)
    }

    const fn sample_path(&self) -> &'static str {
        match self.format {
            Format::Json => "/code",
            Format::Form => "code",
        }
    }

    fn path(&self, text: &str) -> Result<Path, String> {
        Path::parse(text, self.format)
    }
}

fn read_path(section: &Section<'_>, scope: &Scope<'_>) -> Option<Template> {
    let text = section.text_such_as("path", "/v1/payments");
    let fits = |character: char| character.is_ascii_graphic() && !"?#\"<>\\".contains(character);
    let literal: String =
        text.split("{{").map(|part| part.rsplit("}}").next().unwrap_or("")).collect();
    if !text.is_empty() && !text.starts_with('/') {
        section.mistake(
            "path",
            "does not begin with a slash",
            "write for example \"/v1/payments\"",
        );
    } else if !literal.chars().all(fits) {
        section.mistake("path", "has a character that no path has", "write letters and slashes");
    }
    Template::compile(&text, scope)
        .map_err(|wrong| section.mistake("path", &wrong.problem, &wrong.advice))
        .ok()
}

fn read_headers(section: &Section<'_>, scope: &Scope<'_>) -> Option<Vec<(HeaderName, Template)>> {
    let mut headers = Vec::new();
    let mut is_whole = true;
    for (key, _) in section.keys() {
        let name = parse_header_name(key)
            .map_err(|problem| section.mistake(key, &problem, "use letters, digits and dashes"))
            .ok();
        let text = section.optional_text(key);
        let template = text.and_then(|text| {
            Template::compile(&text, scope)
                .map_err(|wrong| section.mistake(key, &wrong.problem, &wrong.advice))
                .ok()
        });
        is_whole &= name.is_some() && template.is_some();
        headers.extend(name.zip(template));
    }
    is_whole.then_some(headers)
}

fn compile_leaf(leaf: Tree, scope: &Scope<'_>) -> Result<Body, TemplateMistake> {
    match leaf {
        Tree::Text(text) => Template::compile(&text, scope).map(Body::Leaf),
        Tree::Integer(integer) => Ok(Body::Leaf(Template::literal(Json::from(integer)))),
        Tree::Boolean(boolean) => Ok(Body::Leaf(Template::literal(Json::from(boolean)))),
        Tree::List(_) | Tree::Table(_) => compile_tree(leaf, scope),
    }
}

/// What stands inside a list, where mistakes have the line of the list's element.
fn compile_tree(tree: Tree, scope: &Scope<'_>) -> Result<Body, TemplateMistake> {
    match tree {
        Tree::List(items) => {
            let items = items.into_iter().map(|item| compile_tree(item, scope));
            items.collect::<Result<_, _>>().map(Body::List)
        }
        Tree::Table(entries) => {
            let compile = |(key, entry)| Ok((key, compile_tree(entry, scope)?));
            entries.into_iter().map(compile).collect::<Result<_, _>>().map(Body::Table)
        }
        Tree::Text(_) | Tree::Integer(_) | Tree::Boolean(_) => compile_leaf(tree, scope),
    }
}

fn read_states(call: &Section<'_>) -> BTreeMap<String, State> {
    let Some(section) = call.optional_section("states") else { return BTreeMap::new() };
    let mut states = BTreeMap::new();
    for (name, _) in section.keys() {
        let state = section.optional_choice(name, &State::WORDS);
        states.extend(state.map(|state| (name.to_owned(), state)));
    }
    section.finish();
    states
}

/// What no single key shows: a table without a yes, an inquiry that asks about nothing.
fn check_reply(read: &ReplyMap, reply: &Section<'_>, call: &Section<'_>) {
    let mut verdicts = read.shared_codes.iter().chain(read.own_codes.iter());
    if !verdicts.any(|(_, verdict)| verdict == Verdict::Approved) {
        let advice = "add `\"0000\" = \"approved\"`, with the channel's own code, under [codes]";
        call.mistake("codes", "no code means approved", advice);
    }
    let approves = read.states.values().any(|state| *state == State::Approved);
    if read.state.is_some() && !approves {
        let advice = "add `SUCCESS = \"approved\"`, with the channel's own word";
        call.mistake("states", "no state means approved", advice);
    }
    if read.state.is_none() && !read.states.is_empty() {
        reply.mistake("state", "is missing, but there are states", "say where the state stands");
    }
    if read.kind == Kind::Inquiry && read.state.is_none() && read.result_code.is_none() {
        let problem = "and `result_code` are missing, so a reply says nothing of the original";
        reply.mistake("state", problem, "give one of them");
    }
}

/// Builds one request of each kind from made-up data; what fails would fail for every payment.
fn try_samples(section: &Section<'_>, adapter: &Declarative) {
    let now = Timestamp::from_millis(1_795_334_400_000);
    for request in samples(now) {
        if adapter.call(&request).is_none() {
            continue;
        }
        if let Err(error) = adapter.encode(&request, now) {
            let problem = format!("cannot be built from sample data: {}", error.problem);
            section.mistake(request.name(), &problem, "correct the template");
        }
    }
}

/// One request of each kind with every fact that it can have.
fn samples(now: Timestamp) -> Vec<ChannelRequest> {
    let facts = |operation, attempt| AttemptFacts {
        channel_order_no: ChannelOrderNo { order: OrderId::compose(261_122, 1, 1), attempt },
        sent_at: now,
        operation,
        merchant_id: MerchantId::from_stored("merchant"),
        amount: AmountMinor::new(1_230).expect("it is positive and short"),
        currency: Currency::Cny,
        description: Some("sample".to_owned()),
        channel_reference: Some("R1".to_owned()),
    };
    let payload = "411111000000000";
    let number = format!("{payload}{}", luhn_digit(payload));
    let pan = Pan::parse(&number).expect("its last digit is the Luhn digit");
    let card = CardInput {
        pan: pan.clone(),
        expiry: Expiry::parse_yymm("3012"),
        cvv: Cvv::parse("123"),
        holder: Some("HOLDER".to_owned()),
        id_type: Some("01".to_owned()),
        id_number: Some("X1".to_owned()),
        phone: Some("0".to_owned()),
    };
    vec![
        ChannelRequest::Charge { facts: facts(Operation::Payment, 1), card },
        ChannelRequest::Inquiry {
            facts: facts(Operation::Payment, 1),
            pan: Some(pan.clone()),
            now,
        },
        ChannelRequest::Reversal { facts: facts(Operation::Payment, 1), pan: Some(pan), now },
        ChannelRequest::FollowUp {
            facts: facts(Operation::Undo, 2),
            original: facts(Operation::Payment, 1),
            card: None,
        },
    ]
}
