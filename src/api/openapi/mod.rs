//! The API as a contract: each route is said once, and the router and the OpenAPI document are made
//! from the same entry, so that no route can be without its description.
//!
//! Forms of answers are derived from the structs that are sent, with their comments; forms of
//! bodies ([`crate::api::input::forms`]) have their limits from the constants of their readers;
//! words come from the closed sets that the code matches on. The document holds nothing of an
//! installation and no secret, so it is shown without a key; it is made at the first request.

pub mod document;
mod page;
mod parameters;
mod problem;
mod routes;

use std::sync::{Arc, LazyLock};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::handler::Handler;
use axum::response::Response;
use axum::routing::{self, MethodRouter};
use http::{HeaderValue, header};
use schemars::{JsonSchema, Schema, SchemaGenerator};

use crate::api::ApiState;
use crate::api::error::ProblemCode;
use crate::api::held::HeldBody;
use crate::api::input::forms::RequestForm;
use crate::config::checked::Role;
use crate::config::server::ListenerKind;
use crate::domain::approval::HeldKind;
use parameters::CallParameter;

/// Gives the form of a value, and keeps the forms that it refers to.
type FormMaker = fn(&mut SchemaGenerator) -> Schema;

/// What an answer holds.
enum Content {
    /// One value.
    One(FormMaker),
    /// A page of rows under this name.
    Rows(&'static str, FormMaker),
    /// Text of this media type.
    Text(&'static str),
}

/// An answer other than a problem.
struct Answered {
    status: u16,
    content: Vec<Content>,
    what: &'static str,
    /// Names of headers that it may have.
    headers: &'static [&'static str],
}

/// What a request holds.
enum RequestContent {
    Json(RequestForm),
    /// A file of any of these media types, beside JSON where a form is given.
    File(&'static [&'static str], Option<RequestForm>),
}

/// One route: its handler, and everything that a caller has to know of it.
pub struct Endpoint {
    listener: ListenerKind,
    method: &'static str,
    path: &'static str,
    router: MethodRouter<Arc<ApiState>>,
    id: &'static str,
    summary: &'static str,
    details: &'static str,
    roles: &'static [Role],
    parameters: Vec<CallParameter>,
    body: Option<RequestContent>,
    answers: Vec<Answered>,
    problems: Vec<ProblemCode>,
    example: Option<&'static str>,
    eyes: Option<FourEyes>,
}

/// Whether an operator does it alone. Each change that an operator may make says so, and a test
/// holds them to it: what needs two people has no other door.
enum FourEyes {
    /// A second person may have to approve it.
    Held(HeldKind),
    /// One person is enough, for this reason.
    Alone(&'static str),
}

fn form_of<T: JsonSchema>(forms: &mut SchemaGenerator) -> Schema {
    forms.subschema_for::<T>()
}

macro_rules! methods {
    ($($name:ident)+) => {$(
        /// A route of this method; `id` names the operation in clients that are made from the
        /// document.
        fn $name<H, T>(path: &'static str, id: &'static str, handler: H) -> Self
        where
            H: Handler<T, Arc<ApiState>>,
            T: 'static,
        {
            Self::new(stringify!($name), path, id, routing::$name(handler))
        }
    )+};
}

impl Endpoint {
    methods! { get post patch }

    fn new(
        method: &'static str,
        path: &'static str,
        id: &'static str,
        router: MethodRouter<Arc<ApiState>>,
    ) -> Self {
        Self {
            listener: ListenerKind::Api,
            method,
            path,
            router,
            id,
            summary: "",
            details: "",
            roles: &[],
            parameters: CallParameter::of_path(path),
            body: None,
            answers: Vec::new(),
            problems: Vec::new(),
            example: None,
            eyes: None,
        }
    }

    /// What it does, in a few words, and then in as many as it takes.
    fn says(mut self, summary: &'static str, details: &'static str) -> Self {
        (self.summary, self.details) = (summary, details);
        self
    }

    /// It belongs to a listener that may be another one.
    fn at(mut self, listener: ListenerKind) -> Self {
        self.listener = listener;
        self
    }

    /// The roles, of which a caller has one.
    fn may(mut self, roles: &'static [Role]) -> Self {
        self.roles = roles;
        self
    }

    fn asks(mut self, parameters: impl IntoIterator<Item = CallParameter>) -> Self {
        self.parameters.extend(parameters);
        self
    }

    fn takes(mut self, form: RequestForm) -> Self {
        self.body = Some(RequestContent::Json(form));
        self
    }

    fn takes_file(mut self, kinds: &'static [&'static str], form: Option<RequestForm>) -> Self {
        self.body = Some(RequestContent::File(kinds, form));
        self
    }

    fn gives<T: JsonSchema>(self, status: u16, what: &'static str) -> Self {
        self.answered(status, vec![Content::One(form_of::<T>)], what)
    }

    fn lists<T: JsonSchema>(self, name: &'static str, what: &'static str) -> Self {
        self.answered(200, vec![Content::Rows(name, form_of::<T>)], what)
    }

    fn tells(self, status: u16, kind: &'static str, what: &'static str) -> Self {
        self.answered(status, vec![Content::Text(kind)], what)
    }

    fn answered(mut self, status: u16, content: Vec<Content>, what: &'static str) -> Self {
        self.answers.push(Answered { status, content, what, headers: &[] });
        self
    }

    /// The last answer comes whole as a stream, too, where `Accept` asks for it.
    fn streams(mut self) -> Self {
        let last = self.answers.last_mut().expect("an answer stands before its other forms");
        last.content.extend([Content::Text("text/csv"), Content::Text("application/x-ndjson")]);
        self
    }

    /// Headers that the answers so far may have.
    fn with_headers(mut self, headers: &'static [&'static str]) -> Self {
        for answer in &mut self.answers {
            answer.headers = headers;
        }
        self
    }

    /// An operator may need a second person for it, who is then asked by this answer.
    fn held(mut self, kind: HeldKind) -> Self {
        self.eyes = Some(FourEyes::Held(kind));
        let what = "A second person has to approve it (`[four_eyes]`): the request. Nothing else \
                    has happened.";
        match self.answers.iter_mut().find(|answer| answer.status == 202) {
            Some(answer) => answer.content.push(Content::One(form_of::<HeldBody<'static>>)),
            None => self = self.gives::<HeldBody<'static>>(202, what),
        }
        self.fails(&[ProblemCode::ApprovalWaits])
    }

    /// One operator does it, since `why`.
    fn alone(mut self, why: &'static str) -> Self {
        self.eyes = Some(FourEyes::Alone(why));
        self
    }

    /// The problems of its own, beside those of every call of its kind.
    fn fails(mut self, problems: &[ProblemCode]) -> Self {
        self.problems.extend(problems);
        self
    }

    /// An answer, as JSON.
    fn for_example(mut self, answer: &'static str) -> Self {
        self.example = Some(answer);
        self
    }
}

/// The routes of a listener: its own, or all that have no listener of their own.
pub(super) fn router(is_here: impl Fn(ListenerKind) -> bool) -> Router<Arc<ApiState>> {
    let here = routes::all().into_iter().filter(|endpoint| is_here(endpoint.listener));
    here.fold(Router::new(), |router, endpoint| router.route(endpoint.path, endpoint.router))
}

/// The document and its page.
struct ServedTexts {
    json: Bytes,
    page: Bytes,
}

static TEXTS: LazyLock<ServedTexts> = LazyLock::new(|| {
    let document = document::document();
    let json = serde_json::to_vec(&document).expect("JSON is written as JSON");
    ServedTexts { json: json.into(), page: page::render(&document).into() }
});

/// `GET /openapi.json`
async fn json() -> Response {
    answer("application/json", TEXTS.json.clone())
}

/// `GET /docs`: the same for people, from one file that asks nobody for anything.
async fn docs() -> Response {
    let mut response = answer("text/html; charset=utf-8", TEXTS.page.clone());
    let policy = HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'");
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    response
}

fn answer(kind: &'static str, body: Bytes) -> Response {
    let mut response = Response::new(Body::from(body));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
