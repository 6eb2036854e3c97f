//! One order's story: everything that the books have of it, in order of time, in words and as data.
//!
//! It is told from rows alone: the order with its route and attempts, what happened to it
//! (`domain/event`), and what other tables have of it. `words` makes sentences of an event's
//! kind and data, and of nothing else, in the language that is asked for.

mod actions;
mod read;
mod rows;
mod words;

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::api::ApiState;
use crate::api::auth::MayInspect;
use crate::api::dto::{MomentText, OrderBody, json};
use crate::api::error::ApiError;
use crate::api::input::PathSegment;
use crate::api::input::query::Query;
use crate::api::language::Language;
use crate::domain::closed_set;
use crate::domain::event::EventKind;
use crate::domain::ids::OrderId;
use crate::domain::time::Timestamp;
use read::StoryRows;

closed_set! {
    /// What an event of a story is.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum StoryKind {
        /// A code by SMS was sent to its payer.
        CodeSent => "code_sent",
        Asked => "asked",
        Routed => "routed",
        AttemptSent => "attempt_sent",
        AttemptEnded => "attempt_ended",
        Learned => "learned",
        ReversalSent => "reversal_sent",
        ReversalAnswered => "reversal_answered",
        HandedOver => "handed_to_operator",
        Retried => "retried",
        Resolved => "resolved",
        Withdrawn => "withdrawn",
        Approved => "approved",
        /// The entry of the temp reversal table, while there is one.
        Unresolved => "unresolved",
        Finished => "finished",
        Transaction => "transaction",
        Cleared => "cleared",
        VoucherOwed => "voucher_owed",
        VoucherAcknowledged => "voucher_acknowledged",
        NoticeOwed => "notice_owed",
        NoticeAcknowledged => "notice_acknowledged",
        Contradicted => "contradicted",
        FollowedUp => "followed_up",
        Reconciled => "reconciled",
        Differs => "differs",
        Settled => "settled",
    }
}

impl From<EventKind> for StoryKind {
    fn from(kind: EventKind) -> Self {
        match kind {
            EventKind::Learned => Self::Learned,
            EventKind::ReversalSent => Self::ReversalSent,
            EventKind::ReversalAnswered => Self::ReversalAnswered,
            EventKind::HandedOver => Self::HandedOver,
            EventKind::Retried => Self::Retried,
            EventKind::Resolved => Self::Resolved,
            EventKind::Withdrawn => Self::Withdrawn,
            EventKind::Approved => Self::Approved,
        }
    }
}

/// An event of a story.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "StoryEvent")]
struct StoryEventBody {
    /// When.
    at: MomentText,
    /// What kind of event it is.
    kind: &'static str,
    /// A sentence in the language that is asked for, made of the other fields alone.
    words: String,
    /// Who told it.
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<&'static str>,
    /// The facts of its kind.
    data: Map<String, Value>,
    /// Where more of it is read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    links: Vec<LinkBody>,
    /// The calls that the order's state allows.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    actions: Vec<ActionBody>,
}

/// A resource that an event is about.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "StoryLink")]
struct LinkBody {
    /// What it is.
    rel: &'static str,
    /// Where it is.
    path: String,
}

/// A call that the order's state allows.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "StoryAction")]
struct ActionBody {
    /// A stable word.
    name: &'static str,
    /// The method of the call.
    method: &'static str,
    /// The path of the call.
    path: String,
    /// The fields of its body.
    fields: Vec<ActionFieldBody>,
}

/// A field of an action's body.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "StoryActionField")]
struct ActionFieldBody {
    /// Its name.
    name: &'static str,
    /// Whether it must be there.
    required: bool,
    /// The values that it can have.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    one_of: Vec<&'static str>,
    /// The greatest number that it may be.
    #[serde(skip_serializing_if = "Option::is_none")]
    most: Option<i64>,
}

/// An event before it is told.
struct StoryEvent {
    at: Timestamp,
    kind: StoryKind,
    source: Option<&'static str>,
    data: Map<String, Value>,
    links: Vec<LinkBody>,
    actions: Vec<ActionBody>,
}

impl StoryEvent {
    fn new(at: Timestamp, kind: StoryKind) -> Self {
        let (links, actions) = (Vec::new(), Vec::new());
        Self { at, kind, source: None, data: Map::new(), links, actions }
    }

    /// With a fact; what is null is left out.
    fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        let value = value.into();
        if !value.is_null() {
            self.data.insert(name.to_owned(), value);
        }
        self
    }

    fn from(mut self, source: &'static str) -> Self {
        self.source = Some(source);
        self
    }

    fn link(mut self, rel: &'static str, path: String) -> Self {
        self.links.push(LinkBody { rel, path });
        self
    }

    fn actions(mut self, actions: Vec<ActionBody>) -> Self {
        self.actions.extend(actions);
        self
    }

    fn told(self, language: Language) -> StoryEventBody {
        let Self { at, kind, source, data, links, actions } = self;
        let words = words::of(language, kind, source, &data);
        StoryEventBody {
            at: MomentText(at),
            kind: kind.name(),
            words,
            source,
            data,
            links,
            actions,
        }
    }
}

/// A story.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Story")]
pub struct StoryBody<'row> {
    /// The order.
    order: OrderBody<'row>,
    /// What happened, in order of time.
    events: Vec<StoryEventBody>,
    /// There, and true, where so much was told of its attempts that the latest of it is left out.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    events_left_out: bool,
}

/// `GET /v1/orders/{id}/story?language=`: in the language that the query says, or else the one that
/// the caller accepts.
pub async fn tell(
    State(state): State<Arc<ApiState>>,
    MayInspect(_): MayInspect,
    PathSegment(id): PathSegment,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, ApiError> {
    let mut query = Query::of(&uri);
    let language = query.language(&headers)?;
    query.finish()?;
    let missing = || ApiError::not_found("no order has this id");
    let id = OrderId::parse(&id).ok_or_else(missing)?;
    let rows = StoryRows::of(&**state.engine.store(), id).await?.ok_or_else(missing)?;
    let mut events = rows.events();
    // The sort is stable: what is of one moment stays as it followed from each other.
    events.sort_by_key(|event| event.at);
    let events_left_out = rows.events_left_out;
    let order = OrderBody::from(&rows.order).with_caller(&rows.order);
    let events = events.into_iter().map(|event| event.told(language)).collect();
    let mut answer = json(StatusCode::OK, &StoryBody { order, events, events_left_out });
    let tag = HeaderValue::from_static(language.name());
    answer.headers_mut().insert(header::CONTENT_LANGUAGE, tag);
    Ok(answer)
}
