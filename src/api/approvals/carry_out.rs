//! What a second person's yes does: the asker's action, by the code that does it at once where one
//! person is enough.

use std::sync::Arc;

use crate::api::ApiState;
use crate::api::bins::take_held;
use crate::api::channels::turn_switch;
use crate::api::error::{ApiError, ProblemCode};
use crate::api::payments::follow_ups::take_approved;
use crate::domain::approval::{
    ApprovalRefusal, ApprovalRequest, ApprovalState, HeldAction, OperatorKey,
};
use crate::domain::books::difference::Balancing;
use crate::domain::command::{Command, Decider};
use crate::domain::ids::ApprovalId;
use crate::engine::approvals::Consent;
use crate::reconciliation::ReconciliationError;

/// Carries a request out that `by` approves; its row as it is then. The same person's approval,
/// repeated since its answer was lost, is answered by what came of it.
pub(super) async fn carry_out(
    state: &Arc<ApiState>,
    id: ApprovalId,
    by: OperatorKey,
    reason: Option<String>,
) -> Result<ApprovalRequest, ApiError> {
    match approve(state, id, &by, reason).await {
        Err(error) if error.code() == ProblemCode::ApprovalDecided => {
            let ended = state.engine.load_approval(id).await?;
            let is_theirs = ended.state == ApprovalState::CarriedOut && is_approved_by(&ended, &by);
            if is_theirs { Ok(ended) } else { Err(error) }
        }
        ended => ended,
    }
}

async fn approve(
    state: &Arc<ApiState>,
    id: ApprovalId,
    by: &OperatorKey,
    reason: Option<String>,
) -> Result<ApprovalRequest, ApiError> {
    let known = state.engine.load_approval(id).await?;
    let request = state.engine.require_approvable(known, by).await?;
    let consent = Consent { request: id, by: by.clone(), reason: reason.clone(), outcome: None };
    let done = match &request.action {
        HeldAction::Resolve(held) => {
            let decider = decider(&request, by);
            let command = Command::Resolve { resolution: held.resolution, decider };
            state.engine.operate_approved(held.order, command, &consent).await.map(drop)
        }
        HeldAction::Refund(held) => {
            let approved = (decider(&request, by), consent);
            take_approved(state, held, &request.asked_by.name, approved).await
        }
        HeldAction::Remedy(held) => {
            let Decider { actor, approver, reason } = decider(&request, by);
            let (remedy, merchant_id) = (held.remedy, held.merchant_id.clone());
            let asked = Balancing { remedy, merchant_id, actor, approver, reason };
            let balanced = state.differences.balance(held.difference, asked, Some(&consent)).await;
            match balanced {
                Ok(_) => Ok(()),
                Err(ReconciliationError::Engine(error)) => Err(error),
                Err(ReconciliationError::Balance(refusal)) => {
                    Err(ApprovalRefusal::Overtaken(refusal.to_string()).into())
                }
                Err(other) => return Err(other.into()),
            }
        }
        HeldAction::BinTable(held) => {
            let _turn = state.approving.lock().await;
            let approved = state.engine.approve_ahead(id, by, reason.as_deref()).await?;
            match take_held(state, held, &decider(&approved, by)).await? {
                // The same bytes over the same version change nothing the second time.
                Ok(line) => state.engine.carried_out(id, line).await.map(drop),
                Err(why) => Err(ApprovalRefusal::Overtaken(why).into()),
            }
        }
        HeldAction::Switch { channel, enabled } => {
            // One at a time: a second approver's call that lags behind must not turn the switch
            // once more when it was turned back meanwhile.
            let _turn = state.approving.lock().await;
            let approved = state.engine.approve_ahead(id, by, reason.as_deref()).await?;
            // Twice the same turn is no more than one, so a crash before the commit below costs
            // nothing: the next approval turns it again.
            let line = turn_switch(state, channel, *enabled, decider(&approved, by)).await?;
            state.engine.carried_out(id, Some(line)).await.map(drop)
        }
    };
    if let Err(error) = done {
        return Err(state.engine.end_refused(id, error).await.into());
    }
    let ended = state.engine.load_approval(id).await?;
    if !is_approved_by(&ended, by) && request.state == ApprovalState::Open {
        return Err(ApprovalRefusal::Decided(ended.state).into());
    }
    Ok(ended)
}

fn is_approved_by(request: &ApprovalRequest, by: &OperatorKey) -> bool {
    request.approver().is_some_and(|approver| approver.person == by.person)
}

/// Both people: whoever asked, and whoever approved first.
fn decider(request: &ApprovalRequest, by: &OperatorKey) -> Decider {
    let approver = request.approver().unwrap_or(by);
    Decider {
        actor: request.asked_by.name.to_string(),
        approver: Some(approver.name.to_string()),
        reason: request.reason.clone(),
    }
}
