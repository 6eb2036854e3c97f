//! Requests for a second person (four eyes), and what they end with.
//!
//! Upholds I-14: an action on rows of the store carries its request along, and both are written in
//! one commit: so it is done once, by two, or not at all, whoever else approves at that moment and
//! whenever the process dies. An action on files is approved in one commit and told to be carried
//! out in another; what lies between is done again by the next approval.

use std::time::Duration;

use crate::domain::approval::{
    ApprovalRefusal, ApprovalRequest, ApprovalState, HeldAction, OpenEnd, OperatorKey,
};
use crate::domain::command::{Command, Decider, Refusal, View};
use crate::domain::ids::{ApprovalId, OrderId};
use crate::domain::order::Order;
use crate::domain::reversal::Resolution;
use crate::domain::time::Present;
use crate::domain::write_set::{AuditEntry, WriteSet};
use crate::engine::{CommitRounds, Engine, EngineError};

/// A second person's yes, on its way into the commit of what it is about.
#[derive(Debug, Clone)]
pub struct Consent {
    pub request: ApprovalId,
    pub by: OperatorKey,
    pub reason: Option<String>,
    /// What the request is to say that came of it.
    pub outcome: Option<String>,
}

impl Engine {
    /// Keeps an action until a second person has decided. Whoever asks for the same again gets the
    /// request that waits.
    pub async fn ask_approval(
        &self,
        action: HeldAction,
        asker: OperatorKey,
        reason: String,
        expires_after: Duration,
    ) -> Result<ApprovalRequest, EngineError> {
        let mut tries = CommitRounds::default();
        loop {
            let present = self.clock().present();
            let now = present.now();
            if let Some(waiting) = self.store().approval_waiting_on(&action).await? {
                let ended = match () {
                    () if waiting.is_past(&present) => waiting.expired(now),
                    () if waiting.action == action => return Ok(waiting),
                    () if !waiting.action.wants_as(&action) => {
                        return Err(ApprovalRefusal::OtherWaits(waiting.id).into());
                    }
                    // What is approved already is carried out as it was asked.
                    () if waiting.state == ApprovalState::Approved => return Ok(waiting),
                    () => waiting.overtaken(
                        now,
                        "what it is about has changed, and it was asked anew".to_owned(),
                    ),
                };
                self.write(&mut tries, ended_alone(ended)).await?;
                continue;
            }
            let id = ApprovalId::of(self.next_order_id().await?);
            let entry = AuditEntry {
                at: now,
                actor: asker.name.to_string(),
                approver: None,
                action: "approval.ask".to_owned(),
                subject: id.to_string(),
                reason: told(&action, Some(&reason)),
            };
            let times = (now, now.plus(expires_after));
            let asked = (asker.clone(), reason.clone());
            let request = ApprovalRequest::ask(id, action.clone(), asked, times);
            let writes = WriteSet { audit: vec![entry], ..ended_alone(request.clone()) };
            if self.write(&mut tries, writes).await? {
                return Ok(request);
            }
        }
    }

    /// A second person says no.
    pub async fn refuse_approval(
        &self,
        id: ApprovalId,
        by: &OperatorKey,
        reason: &str,
    ) -> Result<ApprovalRequest, EngineError> {
        self.decide_approval(id, by, ("approval.refuse", Some(reason)), |request, present| {
            request.refuse(by, Some(reason.to_owned()), present)
        })
        .await
    }

    /// Whoever asked takes it back.
    pub async fn withdraw_approval(
        &self,
        id: ApprovalId,
        by: &OperatorKey,
        reason: Option<&str>,
    ) -> Result<ApprovalRequest, EngineError> {
        self.decide_approval(id, by, ("approval.withdraw", reason), |request, present| {
            request.withdraw(by, reason.map(str::to_owned), present)
        })
        .await
    }

    /// A second person says yes to an action on files, which is not carried out yet.
    pub async fn approve_ahead(
        &self,
        id: ApprovalId,
        by: &OperatorKey,
        reason: Option<&str>,
    ) -> Result<ApprovalRequest, EngineError> {
        self.decide_approval(id, by, ("approval.approve", reason), |request, present| {
            request.approve(by, reason.map(str::to_owned), present)
        })
        .await
    }

    /// The end of an action on files, with its own line in the audit trail. A request that somebody
    /// else has ended so meanwhile stays as that was.
    pub async fn carried_out(
        &self,
        id: ApprovalId,
        line: Option<AuditEntry>,
    ) -> Result<ApprovalRequest, EngineError> {
        let mut tries = CommitRounds::default();
        loop {
            let request = self.load_approval(id).await?;
            if request.state != ApprovalState::Approved {
                return Ok(request);
            }
            let done = request.carried_out(request.version, self.clock().now(), None);
            let audit = line.clone().into_iter().collect();
            let writes = WriteSet { audit, ..ended_alone(done.clone()) };
            if self.write(&mut tries, writes).await? {
                return Ok(done);
            }
        }
    }

    /// Ends a request that can no longer be carried out as it was asked.
    pub async fn overtake_approval(&self, id: ApprovalId, why: &str) -> Result<(), EngineError> {
        let mut tries = CommitRounds::default();
        loop {
            let request = self.load_approval(id).await?;
            if !request.state.is_waiting() {
                return Ok(());
            }
            let ended = request.overtaken(self.clock().now(), why.to_owned());
            if self.write(&mut tries, ended_alone(ended)).await? {
                return Ok(());
            }
        }
    }

    /// A request that this person could approve now.
    pub async fn require_approvable(
        &self,
        request: ApprovalRequest,
        by: &OperatorKey,
    ) -> Result<ApprovalRequest, EngineError> {
        match request.approve(by, None, &self.clock().present()) {
            Ok(_) => Ok(request),
            Err(refusal) => Err(self.refused(&request, refusal).await),
        }
    }

    /// The request of an id.
    pub async fn load_approval(&self, id: ApprovalId) -> Result<ApprovalRequest, EngineError> {
        self.store().approval(id).await?.ok_or(EngineError::NoSuchApproval { id })
    }

    /// The rows by which an action ends its request in its own commit. `fits` says what has
    /// changed since it was asked.
    pub async fn consent(
        &self,
        consent: &Consent,
        fits: impl FnOnce(&HeldAction) -> Result<(), &'static str>,
    ) -> Result<WriteSet, EngineError> {
        let request = self.load_approval(consent.request).await?;
        let present = self.clock().present();
        let approved = request.approve(&consent.by, consent.reason.clone(), &present)?;
        fits(&request.action).map_err(|why| ApprovalRefusal::Overtaken(why.to_owned()))?;
        let done = approved.carried_out(request.version, present.now(), consent.outcome.clone());
        let entry = AuditEntry {
            at: present.now(),
            actor: consent.by.name.to_string(),
            approver: None,
            action: "approval.approve".to_owned(),
            subject: consent.request.to_string(),
            reason: told(&request.action, consent.reason.as_deref()),
        };
        Ok(WriteSet { audit: vec![entry], ..ended_alone(done) })
    }

    /// Whether an operator's decision about an unknown would be taken now, and what the operator
    /// sees of it.
    pub async fn look_at_end(
        &self,
        id: OrderId,
        resolution: Resolution,
    ) -> Result<(Order, OpenEnd), EngineError> {
        let mut view = Box::new(self.load(id).await?);
        let decider = Decider { actor: String::new(), approver: None, reason: String::new() };
        let command = |_| Command::Resolve { resolution, decider: decider.clone() };
        self.decide_on(&mut view, &command).await?;
        let seen = OpenEnd::of(&view.order, view.entry.as_ref()).ok_or(Refusal::NothingOpen)?;
        Ok((view.order, seen))
    }

    /// Adds what ends the request to the rows of its action on an order.
    pub(super) async fn join(
        &self,
        consent: &Consent,
        view: &View,
        writes: &mut WriteSet,
    ) -> Result<(), EngineError> {
        let fits = |action: &HeldAction| action.fits(&view.order, view.entry.as_ref());
        let WriteSet { approvals, audit, .. } = self.consent(consent, fits).await?;
        writes.approvals.extend(approvals);
        writes.audit.extend(audit);
        Ok(())
    }

    async fn decide_approval(
        &self,
        id: ApprovalId,
        by: &OperatorKey,
        (word, reason): (&str, Option<&str>),
        decide: impl Fn(&ApprovalRequest, &Present) -> Result<ApprovalRequest, ApprovalRefusal>,
    ) -> Result<ApprovalRequest, EngineError> {
        let mut tries = CommitRounds::default();
        loop {
            let request = self.load_approval(id).await?;
            let present = self.clock().present();
            let decided = match decide(&request, &present) {
                Ok(decided) if decided == request => return Ok(decided),
                Ok(decided) => decided,
                Err(refusal) => return Err(self.refused(&request, refusal).await),
            };
            let entry = AuditEntry {
                at: present.now(),
                actor: by.name.to_string(),
                approver: None,
                action: word.to_owned(),
                subject: id.to_string(),
                reason: told(&request.action, reason),
            };
            let writes = WriteSet { audit: vec![entry], ..ended_alone(decided.clone()) };
            if self.write(&mut tries, writes).await? {
                return Ok(decided);
            }
        }
    }

    /// A refusal, after the request's state says so too, where it ends by it.
    async fn refused(&self, request: &ApprovalRequest, refusal: ApprovalRefusal) -> EngineError {
        if refusal == ApprovalRefusal::Expired && request.state == ApprovalState::Open {
            let ended = ended_alone(request.expired(self.clock().now()));
            // Whoever else touches it says the same; until then it is shown as expired.
            if let Err(error) = self.write(&mut CommitRounds::default(), ended).await {
                return error;
            }
        }
        refusal.into()
    }

    /// Ends the request by which an action was refused for good, and says so.
    pub async fn end_refused(&self, id: ApprovalId, error: EngineError) -> EngineError {
        let request = match self.load_approval(id).await {
            Ok(request) => request,
            Err(error) => return error,
        };
        let why = match error {
            EngineError::Approval(ApprovalRefusal::Overtaken(why)) => why,
            EngineError::Approval(refusal) => return self.refused(&request, refusal).await,
            EngineError::Refused(refusal) => refusal.to_string(),
            EngineError::Differs(mismatch) => format!("order_id_conflict: {}", mismatch.field),
            other => return other,
        };
        match self.overtake_approval(id, &why).await {
            Ok(()) => ApprovalRefusal::Overtaken(why).into(),
            Err(error) => error,
        }
    }
}

fn ended_alone(request: ApprovalRequest) -> WriteSet {
    WriteSet { approvals: vec![request], ..WriteSet::default() }
}

/// What the audit trail says of a request.
fn told(action: &HeldAction, reason: Option<&str>) -> String {
    match reason.filter(|reason| !reason.is_empty()) {
        Some(reason) => format!("{}: {reason}", action.words()),
        None => action.words(),
    }
}
