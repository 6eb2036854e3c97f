//! The nodes that share the books.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::{StatusCode, Uri};
use schemars::JsonSchema;
use serde::Serialize;

use crate::api::ApiState;
use crate::api::auth::MayInspect;
use crate::api::dto::{MomentText, json};
use crate::api::error::ApiError;
use crate::api::input::query::Query;
use crate::codec::word;
use crate::domain::cluster::{Incarnation, Member, Queue, Roster, Work};

/// A node.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Node")]
struct NodeBody<'row> {
    /// Its number.
    node: u16,
    /// Which of its starts this is.
    incarnation: u64,
    /// Where its API listens.
    address: &'row str,
    /// `alive`; `expired`: it may only be slow; `gone`: it has stopped or was fenced.
    #[schemars(with = "word::MemberStateWord")]
    state: &'static str,
    /// When its lease ends, or has ended.
    lease_until: MomentText,
    /// Whether it is the node that answers.
    answers: bool,
    /// How many of the 64 shards of each queue it works.
    shards: BTreeMap<&'static str, usize>,
    /// What is done by one node at a time.
    work: Vec<String>,
}

/// Nodes.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Nodes")]
pub struct NodesBody<'row> {
    /// When the store showed them, by its clock; null where one process has the books to itself.
    at: Option<MomentText>,
    /// The nodes; none where one process has the books to itself.
    nodes: Vec<NodeBody<'row>>,
}

fn node_of<'row>(roster: &'row Roster, member: &'row Member, me: Incarnation) -> NodeBody<'row> {
    let mut shards =
        Queue::ALL.map(|queue| (queue.name(), 0)).into_iter().collect::<BTreeMap<_, _>>();
    let mut single = Vec::new();
    for work in roster.held_by(member.incarnation) {
        match work {
            Work::Shard(queue, _) => *shards.entry(queue.name()).or_default() += 1,
            other => single.push(other.to_string()),
        }
    }
    NodeBody {
        node: member.incarnation.node,
        incarnation: member.incarnation.number,
        address: &member.address,
        state: roster.state_of(member).name(),
        lease_until: MomentText(member.lease_until),
        answers: member.incarnation == me,
        shards,
        work: single,
    }
}

/// `GET /v1/nodes`
pub async fn all(
    State(state): State<Arc<ApiState>>,
    MayInspect(_): MayInspect,
    uri: Uri,
) -> Result<Response, ApiError> {
    Query::of(&uri).finish()?;
    let cluster = state.engine.store().cluster().zip(state.engine.roster());
    let Some((cluster, roster)) = cluster else {
        return Ok(json(StatusCode::OK, &NodesBody { at: None, nodes: Vec::new() }));
    };
    let me = cluster.incarnation();
    let nodes = roster.members.iter().map(|member| node_of(&roster, member, me)).collect();
    Ok(json(StatusCode::OK, &NodesBody { at: Some(MomentText(roster.now)), nodes }))
}
