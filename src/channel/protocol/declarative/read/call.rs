//! Reads one section of `[http]` that describes a request: its path, headers, body and reply.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::{HeaderName, Method};
use serde_json::Value as Json;

use super::sign::parse_header_name;
use super::{check_constant_name, read_codes, unless_wrong};
use crate::channel::file::codes::{CodeMeaning, CodeTable};
use crate::channel::first::Brought;
use crate::channel::protocol::amount::AmountForm;
use crate::channel::protocol::declarative::body::Body;
use crate::channel::protocol::declarative::first::FirstCall;
use crate::channel::protocol::declarative::format::{BodyForm, BodyFormat};
use crate::channel::protocol::declarative::kind::{Action, RequestKind};
use crate::channel::protocol::declarative::parts::TemplateMistake;
use crate::channel::protocol::declarative::path::{Inside, Path, PathPlace};
use crate::channel::protocol::declarative::reply::{ReplyMap, StateMeaning};
use crate::channel::protocol::declarative::seal::Seal;
use crate::channel::protocol::declarative::template::{Scope, Target, Template};
use crate::channel::protocol::declarative::words::{Constants, Merchants};
use crate::channel::protocol::declarative::{Call, RequestTemplate};
use crate::codec::order_form::OrderForm;
use crate::codec::xml::is_name;
use crate::config::raw::Tree;
use crate::config::section::Section;
use crate::domain::attempt::Operation;
use crate::domain::bin::CardType;
use crate::domain::card_service::CardService;

/// How many sections `like` may lead through.
const LIKE_MAX: usize = 3;

/// The facts of `[http]` that each of its parts needs.
#[derive(Clone, Copy)]
pub struct CallReader<'a> {
    pub request: BodyForm,
    /// Of what is read: replies, or notices.
    pub reply: BodyForm,
    /// What proves it, where anything does.
    pub seal: Option<&'a Seal>,
    pub order_form: &'a OrderForm,
    pub merchants: &'a Merchants,
    pub has_token: bool,
    pub has_envelope: bool,
    pub constants: &'a Constants,
    /// What the request before this one brings.
    pub brought: &'a [String],
    pub codes: &'a CodeTable,
}

impl CallReader<'_> {
    /// Reads one section; what it does not say stands in the section that its `like` names.
    pub fn call(&self, kind: RequestKind, http: &Section<'_>) -> Option<Call> {
        let section = http.optional_section(kind.name)?;
        let bases = bases(http, kind.name, &section);
        let from = |key: &str| holder(&section, &bases, key);
        let of = if kind.is_shared { read_of(&section) } else { Vec::new() };
        let first = self.first(kind, &section, &from);
        let brought = first.iter().flatten().flat_map(|first| &first.brings);
        let brought: Vec<String> = brought.map(|(name, _)| name.clone()).collect();
        let second = CallReader { brought: &brought, ..*self };
        let sending = second.sending(kind, &section, &from);
        let reply = self.reply(Some(kind.action), &section, &from);
        if let Some(reply) = &reply {
            check_token(kind, reply, &section);
            check_original(kind, reply, &section);
        }
        section.finish();
        Some(Call { kind, of, first: first?, sending: sending?, reply: reply? })
    }

    /// The request that goes before an operation's own: `Some(None)` where there is none, `None`
    /// after a mistake. Only operations have one: what asks about them, or takes them back, must
    /// not hang on another request.
    fn first<'s>(
        &self,
        kind: RequestKind,
        section: &Section<'_>,
        from: &dyn Fn(&str) -> &'s Section<'s>,
    ) -> Option<Option<FirstCall>> {
        if !matches!(kind.action, Action::Charge | Action::FollowUp) {
            return Some(None);
        }
        drop(section.optional_section("first"));
        let Some(inner) = from("first").optional_section("first") else { return Some(None) };
        let sending = self.sending(kind, &inner, &|_| &inner);
        let reply = inner.section("reply");
        let code = match reply.has("code") {
            true => self.path_at(&reply, "code"),
            false => reply.parsed("code", self.sample_path(), |text| self.path(text)),
        };
        reply.finish();
        let member = code.as_ref().and_then(Inside::member_of);
        let follows_code = self.seal.is_some_and(|seal| seal.follows_code());
        let is_signed = |path: &Path| {
            let holds = |place| member.as_ref().is_some_and(|member| member.holds(place));
            !follows_code || path.places.iter().all(holds)
        };
        let mut brings = Vec::new();
        if let Some(table) = inner.optional_section("brings") {
            for (name, _) in table.keys() {
                check_constant_name(&table, name);
                let path = self.path_at(&table, name);
                if path.as_ref().is_some_and(|path| !is_signed(path)) {
                    let advice = "read it from what [http.verify] signs";
                    table.mistake(name, "stands in no part of the message that is signed", advice);
                }
                brings.push((name.to_owned(), path));
            }
            table.finish();
        }
        let own_codes = read_codes(&inner, "codes");
        let says_yes = self
            .codes
            .iter()
            .chain(own_codes.iter())
            .any(|(_, verdict)| verdict == CodeMeaning::Approved);
        if !says_yes && code.as_ref().is_some_and(|code| !code.is_optional) {
            let advice = "add `\"0000\" = \"approved\"`, with the channel's own code";
            inner.mistake("codes", "no code means approved", advice);
        }
        inner.finish();
        let sample = brings.iter().map(|(name, _)| (name.clone(), format!("{name}-for-samples")));
        let sample = Arc::new(Brought::new(sample));
        let brings = brings.into_iter().map(|(name, path)| Some((name, path?)));
        Some(Some(FirstCall {
            sending: sending?,
            code: code?,
            member,
            brings: brings.collect::<Option<_>>()?,
            shared_codes: self.codes.clone(),
            own_codes,
            sample,
        }))
    }

    /// How the request is written; `from` gives the section that has a key.
    pub fn sending<'s>(
        &self,
        kind: RequestKind,
        section: &Section<'_>,
        from: &dyn Fn(&str) -> &'s Section<'s>,
    ) -> Option<RequestTemplate> {
        let inner = |key: &str| {
            drop(section.optional_section(key));
            from(key).optional_section(key)
        };
        let Self { constants, merchants, brought, has_token, has_envelope, .. } = *self;
        let scope =
            |target| Scope { kind, constants, merchants, brought, has_token, has_envelope, target };
        let methods = [
            ("POST", Method::POST),
            ("GET", Method::GET),
            ("PUT", Method::PUT),
            ("PATCH", Method::PATCH),
            ("DELETE", Method::DELETE),
        ];
        let method = from("method").choice_or("method", Method::POST, &methods);
        let path = read_path(from("path"), &scope(Target::Path));
        let query = inner("query").map_or(Some(Vec::new()), |query| {
            let read = read_query(&query, &scope(Target::Path));
            query.finish();
            read
        });
        let headers = inner("headers").map_or(Some(Vec::new()), |headers| {
            let read = read_headers(&headers, &scope(Target::Header));
            headers.finish();
            read
        });
        // What another section sends is no part of a request that usually has no body.
        let own_body = ![Method::GET, Method::DELETE].contains(&method) || section.has("body");
        let body = match inner("body").filter(|_| own_body) {
            Some(_) if method == Method::GET => {
                section.mistake("body", "cannot be sent by GET", "write method = \"POST\"");
                None
            }
            Some(body) => {
                self.check_root(from("body"), &body);
                Some(self.table(&body, &scope(Target::Body)))
            }
            None => None,
        };
        Some(RequestTemplate {
            method,
            path: path?,
            query: query?,
            headers: headers?,
            body: unless_wrong(body)?,
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
                    self.table(&inner, scope)
                }
                Some(Tree::List(items)) => self.list(section, key, items, scope),
                Some(leaf) => compile_leaf(leaf, scope)
                    .map_err(|wrong| section.mistake(key, &wrong.problem, &wrong.advice))
                    .ok(),
                None => None,
            };
            let name = key.strip_prefix('@').unwrap_or(key);
            if self.request.format == BodyFormat::Xml && !is_name(name) && key != "#text" {
                section.mistake(key, "is not the name of an XML element", "use letters and digits");
            }
            is_whole &= entry.is_some();
            entries.extend(entry.map(|entry| (key.to_owned(), entry)));
        }
        is_whole.then_some(Body::Table(entries))
    }

    /// An XML body is one element.
    fn check_root(&self, section: &Section<'_>, body: &Section<'_>) {
        let keys = body.keys();
        let is_element = matches!(&keys[..], [(key, _)]
            if matches!(body.value(key), Some(Tree::Table(_))));
        if self.request.format == BodyFormat::Xml && !is_element {
            let advice = "write [http.….body.Document], with the outermost element's name";
            section.mistake("body", "is not one table inside another", advice);
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

    /// `from` gives the section that has a key; `None` for a notice as its action.
    pub fn reply<'s>(
        &self,
        action: Option<Action>,
        section: &Section<'_>,
        from: &dyn Fn(&str) -> &'s Section<'s>,
    ) -> Option<ReplyMap> {
        drop(section.optional_section("reply"));
        let reply = from("reply").section("reply");
        let path = |key: &str| {
            let path = self.path_at(&reply, key);
            if action.is_none() && path.as_ref().is_some_and(Path::needs_status) {
                reply.mistake(key, "is a status, which a notice has not", "name a path in it");
            }
            path
        };
        let (state, result_code) = (path("state"), path("result_code"));
        let tells_state = reply.has("state") || reply.has("result_code");
        let code = if (action.is_none() && tells_state) || reply.has("code") {
            path("code")
        } else {
            reply.parsed("code", self.sample_path(), |text| self.path(text))
        };
        let is_whole = code.is_some() || !reply.has("code") && tells_state;
        if code.as_ref().is_some_and(|code| code.is_optional) && !tells_state {
            let advice = "take the `?` away, or say where the state stands";
            reply.mistake("code", "may be absent, and nothing else tells the result", advice);
        }
        let forms = [("minor", AmountForm::Minor), ("decimal", AmountForm::Decimal)];
        for key in ["states", "codes", "card_types"] {
            drop(section.optional_section(key));
        }
        let read = ReplyMap {
            action,
            member: code.as_ref().and_then(Inside::member_of),
            code,
            state,
            states: read_states(from("states")),
            result_code,
            list: path("list"),
            order_form: self.order_form.clone(),
            order_no: path("order_no"),
            original_no: path("original_no"),
            original_reference: path("original_reference"),
            amount: path("amount"),
            amount_form: reply.choice_or("amount_form", AmountForm::Minor, &forms),
            currency: path("currency"),
            reference: path("reference"),
            settle_date: path("settle_date"),
            card_type: path("card_type"),
            card_types: read_card_types(from("card_types")),
            token: path("token"),
            ends_at: path("ends_at"),
            shared_codes: self.codes.clone(),
            own_codes: read_codes(from("codes"), "codes"),
        };
        check_reply(&read, &reply, section);
        if let Some(seal) = self.seal {
            check_proof(&read, seal, &reply);
        }
        reply.finish();
        is_whole.then_some(read)
    }

    pub const fn sample_path(&self) -> &'static str {
        match self.reply.format {
            BodyFormat::Json => "/code",
            BodyFormat::Form => "code",
            BodyFormat::Xml => "/doc/code",
            BodyFormat::Text => "@body",
        }
    }

    pub fn path(&self, text: &str) -> Result<Path, String> {
        Path::parse(text, self.reply.format)
    }

    /// The path at a key: one, or a list of which the first that finds something counts.
    pub fn path_at(&self, section: &Section<'_>, key: &str) -> Option<Path> {
        if !matches!(section.value(key), Some(Tree::List(_))) {
            return section.optional_parsed(key, self.sample_path(), |text| self.path(text));
        }
        let mut paths = Vec::new();
        for (index, text) in section.texts(key).iter().enumerate() {
            match self.path(text) {
                Ok(path) => paths.push(path),
                Err(problem) => {
                    section.mistake_in(key, index, &problem, self.sample_path());
                    return None;
                }
            }
        }
        let advice = "write for example [\"/error/code?\", \"/code?\"]";
        Path::first_of(paths).map_err(|problem| section.mistake(key, &problem, advice)).ok()
    }
}

/// The sections that `like` names, the closest first: what is not said here stands there.
pub fn bases<'s>(http: &Section<'s>, own: &str, section: &Section<'_>) -> Vec<Section<'s>> {
    let mut bases: Vec<Section<'s>> = Vec::new();
    let mut next = section.optional_text("like");
    while let Some(name) = next {
        let is_other = name != own && RequestKind::ALL.iter().any(|other| other.name == name);
        let Some(base) = http.optional_section(&name).filter(|_| is_other) else {
            let advice = "name another section of [http]";
            section.mistake("like", "names no section of [http]", advice);
            break;
        };
        next = base.optional_text("like");
        bases.push(base);
        if bases.len() == LIKE_MAX && next.is_some() {
            section.mistake("like", "leads too far, or around in a circle", "write it out here");
            break;
        }
    }
    bases
}

/// The first of these that has a key, or else the section itself.
pub fn holder<'x, 's>(
    section: &'x Section<'s>,
    bases: &'x [Section<'s>],
    key: &str,
) -> &'x Section<'s> {
    std::iter::once(section).chain(bases).find(|one| one.has(key)).unwrap_or(section)
}

/// Whom a shared section serves: payments, unless it says more.
fn read_of(section: &Section<'_>) -> Vec<Operation> {
    let mut words: Vec<(&str, Vec<Operation>)> =
        Operation::ALL.iter().map(|one| (one.name(), vec![*one])).collect();
    words.push(("all", Operation::ALL.to_vec()));
    section.choices_or("of", &["payment"], &words).concat()
}

fn read_query(section: &Section<'_>, scope: &Scope<'_>) -> Option<Vec<(String, Template)>> {
    let mut query = Vec::new();
    let mut is_whole = true;
    for (key, _) in section.keys() {
        let template = section.optional_text(key).and_then(|text| {
            Template::compile(&text, scope)
                .map_err(|wrong| section.mistake(key, &wrong.problem, &wrong.advice))
                .ok()
        });
        is_whole &= template.is_some();
        query.extend(template.map(|template| (key.to_owned(), template)));
    }
    is_whole.then_some(query)
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
        section.mistake(
            "path",
            "has a character that paths do not have",
            "write letters and slashes",
        );
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

/// Compiles the inside of a list, where mistakes have the line of the list's element.
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

fn read_states(call: &Section<'_>) -> BTreeMap<String, StateMeaning> {
    let Some(section) = call.optional_section("states") else { return BTreeMap::new() };
    let mut states = BTreeMap::new();
    for (name, _) in section.keys() {
        let state = section.optional_choice(name, &StateMeaning::WORDS);
        if name.is_empty() {
            let advice = "an empty list of orders is reply.list; any other absence is unknown";
            section.mistake(name, "is no word that a reply could have", advice);
        }
        states.extend(state.map(|state| (name.to_owned(), state)));
    }
    section.finish();
    states
}

fn read_card_types(call: &Section<'_>) -> BTreeMap<String, CardType> {
    let Some(section) = call.optional_section("card_types") else { return BTreeMap::new() };
    let types = CardType::ALL.map(|kind| (kind.name(), kind));
    let named = |(word, _)| Some((String::from(word), section.optional_choice(word, &types)?));
    let read = section.keys().into_iter().filter_map(named).collect();
    section.finish();
    read
}

/// Refuses a value that is read and not signed: of a reply whose signed member is found by its
/// code, and of a notice, which nothing but its signature vouches for.
fn check_proof(read: &ReplyMap, seal: &Seal, reply: &Section<'_>) {
    let paths = [
        ("code", &read.code),
        ("state", &read.state),
        ("result_code", &read.result_code),
        ("order_no", &read.order_no),
        ("original_no", &read.original_no),
        ("original_reference", &read.original_reference),
        ("amount", &read.amount),
        ("currency", &read.currency),
        ("reference", &read.reference),
        ("settle_date", &read.settle_date),
        ("card_type", &read.card_type),
        ("token", &read.token),
        ("ends_at", &read.ends_at),
    ];
    let given = paths.into_iter().filter_map(|(key, path)| Some((key, path.as_ref()?)));
    for (key, path) in given {
        let is_signed = if seal.follows_code() {
            path.places
                .iter()
                .all(|place| read.member.as_ref().is_some_and(|member| member.holds(place)))
        } else {
            read.action.is_some() || path.places.iter().all(|place| seal.covers(place))
        };
        if !is_signed {
            let advice = "read it from what [http.verify] signs, or sign it";
            reply.mistake(key, "stands in no part of the message that is signed", advice);
        }
    }
}

/// An agreement is its token, and nothing else has one.
fn check_token(kind: RequestKind, read: &ReplyMap, call: &Section<'_>) {
    let is_needed = kind.service() == Some(CardService::AgreementConfirmation);
    if is_needed && read.token.as_ref().is_none_or(|path| path.is_optional) {
        let advice = "say where its reply has the token: reply.token = \"/token\"";
        call.mistake("reply", "nothing could be paid by the agreement without a token", advice);
    }
    for (key, path) in [("token", &read.token), ("ends_at", &read.ends_at)] {
        if !kind.brings_token() && path.is_some() {
            call.mistake("reply", &format!("`{key}` is of no meaning here"), "take it out");
        }
    }
}

/// What follows nothing up has no original to compare.
fn check_original(kind: RequestKind, read: &ReplyMap, call: &Section<'_>) {
    for (key, path) in read.originals() {
        if path.is_some() && !kind.has_original() {
            let problem = format!("`{key}` is of no meaning here");
            call.mistake("reply", &problem, "take it out");
        }
    }
}

/// Reports mistakes that no single key shows: a table without a yes, an inquiry that asks about
/// nothing.
fn check_reply(read: &ReplyMap, reply: &Section<'_>, call: &Section<'_>) {
    let mut verdicts = read.shared_codes.iter().chain(read.own_codes.iter());
    let says_yes = verdicts.any(|(_, verdict)| verdict == CodeMeaning::Approved);
    if !says_yes && read.code.as_ref().is_some_and(|code| !code.is_optional) {
        let advice = "add `\"0000\" = \"approved\"`, with the channel's own code, under [codes]";
        call.mistake("codes", "no code means approved", advice);
    }
    // Some channels only say that they have a request, and end it by a notice.
    let leads_on = |state: &StateMeaning| match read.action {
        Some(Action::Inquiry) => *state == StateMeaning::Approved,
        _ => {
            matches!(state, StateMeaning::Approved | StateMeaning::Pending | StateMeaning::Reversed)
        }
    };
    if read.state.is_some() && !read.states.values().any(leads_on) {
        let advice = "add `SUCCESS = \"approved\"`, with the channel's own word";
        call.mistake("states", "no state means approved", advice);
    }
    if let Some(list) = &read.list {
        let names_order = read.order_no.as_ref().is_some_and(|path| !path.is_optional);
        let is_json = list.places.iter().all(|place| matches!(place, PathPlace::Steps(_)));
        if read.action != Some(Action::Inquiry) || !is_json {
            reply.mistake("list", "is for inquiries that JSON answers", "take it out");
        } else if !names_order {
            let advice = "say where the order found has our number: order_no = \"/data/0/no\"";
            reply.mistake("list", "may hold another order than ours", advice);
        }
    }
    for (key, _) in read.originals().iter().filter(|(_, path)| path.is_some()) {
        if read.action.is_none() {
            reply.mistake(key, "is of no meaning where nothing was asked", "take it out");
        }
    }
    if read.action == Some(Action::Service) {
        let money = [("amount", &read.amount), ("currency", &read.currency)];
        for (key, _) in money.iter().filter(|(_, path)| path.is_some()) {
            reply.mistake(key, "is of no meaning where no money is asked for", "take it out");
        }
    }
    if read.card_type.is_some() == read.card_types.is_empty() {
        let advice = "say where it stands, and what its words mean: card_types = { D = \"debit\" }";
        call.mistake("card_types", "and `reply.card_type` go together", advice);
    }
    if read.state.is_none() && !read.states.is_empty() {
        reply.mistake("state", "is missing, but there are states", "say where the state stands");
    }
    if read.action == Some(Action::Inquiry) && read.state.is_none() && read.result_code.is_none() {
        let problem = "and `result_code` are missing, so a reply says nothing of the original";
        reply.mistake("state", problem, "give one of them");
    }
}
