//! A writer: takes what waits, writes it as one transaction, and tells each its end.
//!
//! A group whose guards fail in part is made again without that part. Whether a group is written
//! that nobody answered for is decided by the writer's token, and until then nobody is answered.

use std::collections::{BTreeSet, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio_postgres::Error;

use crate::clock::stopwatch;
use crate::store::sql::read::out_of_reach;
use crate::store::sql::step::SqlPlan;
use crate::store::{CommitError, StoreError, table};
use crate::telemetry;

use super::session::{Asked, Ending, Session, Standing, Token, Trouble};
use super::{Shared, group, history_lost, pause};

/// How often a group is made again for what others did; then each write set goes alone.
const TRIES_MAX: u32 = 16;

/// A commit that waits.
pub(super) struct Ask {
    pub plan: SqlPlan,
    pub reply: oneshot::Sender<Result<(), CommitError>>,
}

pub(super) struct TransactionWriter {
    shared: Arc<Shared>,
    number: i32,
    /// The last number that the writer's row is known to have.
    last: i64,
    session: Option<Session>,
    waiting: VecDeque<Ask>,
    /// The turn to gather a group and to carry out its statements; its COMMIT needs none.
    turn: Option<OwnedSemaphorePermit>,
}

/// What became of a group.
enum GroupEnd {
    Written,
    /// The guards of these, by their places, do not hold.
    Guards(Vec<(usize, CommitError)>),
    Trouble(Trouble),
    /// This process writes nothing any more.
    Ended,
}

impl From<Error> for GroupEnd {
    /// An error beside the group's own statements, while nothing of it is written.
    fn from(error: Error) -> Self {
        Self::Trouble(Trouble::Away(error.to_string()))
    }
}

impl TransactionWriter {
    pub(super) fn new(shared: Arc<Shared>, number: i32, last: i64) -> Self {
        Self { shared, number, last, session: None, waiting: VecDeque::new(), turn: None }
    }

    pub(super) async fn run(mut self) {
        while let Some(asks) = self.next_group().await {
            self.serve(asks).await;
            self.turn = None;
        }
    }

    /// What waits, without those that touch what another one of the group does.
    async fn next_group(&mut self) -> Option<Vec<Ask>> {
        if self.waiting.is_empty() {
            let ask = self.shared.queue.lock().await.recv().await;
            self.waiting.extend(ask);
        }
        // While one group is carried out the next one grows; only COMMITs wait beside each other.
        // A turn is for those alone who have what to write.
        self.turn = Arc::clone(&self.shared.turns).acquire_owned().await.ok();
        // A transaction costs nearly the same for one commit as for many: whoever is ready to run,
        // as those are whom the last group has answered, may ask before this one begins.
        loop {
            tokio::task::yield_now().await;
            if !self.take_waiting() {
                break;
            }
        }
        let (mut touched, mut group, mut later) = (HashSet::new(), Vec::new(), VecDeque::new());
        for ask in self.waiting.drain(..) {
            if ask.plan.touched.iter().any(|one| touched.contains(one)) {
                later.push_back(ask);
            } else {
                touched.extend(ask.plan.touched.iter().copied());
                group.push(ask);
            }
        }
        self.waiting = later;
        (!group.is_empty()).then_some(group)
    }

    /// Takes what waits now, as far as a group may be large; tells whether there was any.
    fn take_waiting(&mut self) -> bool {
        let before = self.waiting.len();
        if let Ok(mut queue) = self.shared.queue.try_lock() {
            while self.waiting.len() < self.shared.group_max
                && let Ok(ask) = queue.try_recv()
            {
                self.waiting.push_back(ask);
            }
        }
        self.waiting.len() > before
    }

    /// Writes a group, as a whole or without those that cannot be written.
    async fn serve(&mut self, mut asks: Vec<Ask>) {
        let (mut tries, mut asked) = (0, Asked::Briefly);
        while !asks.is_empty() {
            match self.write(&asks, asked).await {
                GroupEnd::Written => return answer(asks, || Ok(())),
                GroupEnd::Ended => {
                    let ended = || Err(self.shared.ended().unwrap_or(CommitError::Fenced));
                    return answer(asks, ended);
                }
                GroupEnd::Guards(refused) => {
                    for (place, why) in refused.into_iter().rev() {
                        // Whoever asked may have gone.
                        let _gone = asks.remove(place).reply.send(Err(why));
                    }
                }
                GroupEnd::Trouble(Trouble::Away(detail)) => {
                    self.session = None;
                    let away = || Err(CommitError::Unavailable(out_of_reach(&detail)));
                    return answer(asks, away);
                }
                GroupEnd::Trouble(Trouble::Taken) if asked == Asked::Briefly => {
                    asked = Asked::ForEachRow;
                }
                GroupEnd::Trouble(Trouble::Again | Trouble::Taken) if tries < TRIES_MAX => {
                    tokio::time::sleep(pause(tries)).await;
                    tries += 1;
                }
                GroupEnd::Trouble(trouble) => match asks.len() {
                    1 => return answer(asks, || Err(refusal(&trouble))),
                    _ => {
                        for ask in asks {
                            Box::pin(self.serve(vec![ask])).await;
                        }
                        return;
                    }
                },
            }
        }
    }

    /// Writes a group as one transaction.
    async fn write(&mut self, asks: &[Ask], asked: Asked) -> GroupEnd {
        if self.shared.ended().is_some() {
            return GroupEnd::Ended;
        }
        let plans: Vec<&SqlPlan> = asks.iter().map(|ask| &ask.plan).collect();
        let steps = table::sql_steps();
        let group = group::gather(steps, &plans);
        let token = Token { writer: self.number, number: self.last + 1 };
        let shared = Arc::clone(&self.shared);
        let session = match self.session().await {
            Ok(session) => session,
            Err(_) if shared.ended().is_some() => return GroupEnd::Ended,
            Err(trouble) => return GroupEnd::Trouble(trouble),
        };
        let returned = match session.fly(&shared, token, (&group, asked)).await {
            Ok(Some(returned)) => returned,
            Ok(None) => return self.shut_out().await,
            Err(trouble) => return self.give_up(trouble).await,
        };
        let mut failed = BTreeSet::new();
        for (step, returned) in group.iter().zip(&returned) {
            if asked.judges(&steps[step.step]) {
                step.judge(steps[step.step].answer, returned, &mut failed);
            }
        }
        if !failed.is_empty() {
            return self.refuse(asks, &failed).await.unwrap_or_else(GroupEnd::from);
        }
        self.turn = None;
        let Some(session) = &self.session else { return GroupEnd::Ended };
        let began = stopwatch();
        let ending = session.commit().await;
        telemetry::observe_sync(began.elapsed());
        let end = self.decide(token.number, ending).await;
        if matches!(end, GroupEnd::Written) && plans.iter().any(|plan| plan.shuts) {
            self.wait_for_others().await;
        }
        end
    }

    async fn session(&mut self) -> Result<&mut Session, Trouble> {
        let session = match self.session.take() {
            Some(session) => session,
            None => {
                let session = Session::open(&self.shared).await?;
                // Who answers now may be another server than before.
                let lost = session.has_lost(&self.shared).await;
                if lost.map_err(|error| Trouble::Away(error.to_string()))? {
                    self.name_loss(&session).await;
                    return Err(Trouble::Away(history_lost().to_string()));
                }
                session
            }
        };
        Ok(self.session.insert(session))
    }

    /// Rolls back what a statement's error has ended.
    async fn give_up(&mut self, trouble: Trouble) -> GroupEnd {
        if let Some(session) = &self.session
            && (matches!(trouble, Trouble::Away(_)) || session.roll_back().await.is_err())
        {
            self.session = None;
        }
        GroupEnd::Trouble(trouble)
    }

    /// Rolls back, and says why those cannot be written that the guards refuse.
    async fn refuse(&mut self, asks: &[Ask], failed: &BTreeSet<usize>) -> Result<GroupEnd, Error> {
        let mut refused = Vec::with_capacity(failed.len());
        if let Some(session) = &self.session {
            session.roll_back().await?;
            for place in failed {
                refused.push((*place, session.refusal(&asks[*place].plan.callers).await?));
            }
        }
        Ok(GroupEnd::Guards(refused))
    }

    /// The token was not the writer's to take: another incarnation has the row, or the database
    /// has lost what this one wrote.
    async fn shut_out(&mut self) -> GroupEnd {
        let Some(session) = &self.session else { return GroupEnd::Ended };
        let standing = match session.roll_back().await {
            Ok(()) => session.standing(&self.shared, self.number).await,
            Err(error) => Err(error),
        };
        match standing {
            Ok(standing) => {
                self.end(standing).await;
                GroupEnd::Ended
            }
            Err(error) => GroupEnd::from(error),
        }
    }

    /// Ends writing for good, for the reason that the writer's row shows.
    async fn end(&mut self, standing: Standing) {
        if standing.incarnation != self.shared.incarnation || standing.last >= self.last {
            tracing::error!("another process has taken over this node's number; this one ends");
            self.shared.fenced.store(true, Ordering::Release);
            return;
        }
        if let Some(session) = &self.session {
            self.name_loss(session).await;
        }
    }

    /// Ends writing: the database has lost what it acknowledged, and says so at later starts.
    async fn name_loss(&self, session: &Session) {
        if !self.shared.lost.swap(true, Ordering::AcqRel) {
            tracing::error!("history_lost: the database has lost what it acknowledged");
        }
        if let Err(error) = session.mark_lost(&self.shared).await {
            tracing::error!(%error, "it cannot be written down in the database either");
        }
    }

    /// Remembers a number that was acknowledged.
    fn note(&mut self, number: i64) {
        self.last = number;
        let place = usize::try_from(self.number).ok();
        if let Some(last) = place.and_then(|place| self.shared.lasts.get(place)) {
            last.store(number, Ordering::Release);
        }
    }

    /// What became of a group whose COMMIT has left.
    async fn decide(&mut self, number: i64, ending: Ending) -> GroupEnd {
        let mut ending = ending;
        if ending == Ending::Written {
            self.note(number);
            return GroupEnd::Written;
        }
        let mut tries = 0;
        while self.shared.ended().is_none() {
            let end = match ending {
                Ending::Warned | Ending::Written => self.confirm(number).await,
                Ending::InDoubt => self.settle(number).await,
            };
            match end {
                Ok(Some(end)) => return end,
                // Committed, as far as this server knows: a later step must say so, too.
                Ok(None) => ending = Ending::Warned,
                Err(detail) => {
                    tracing::warn!(%detail, "whether a group is written is not known yet");
                    if self.session.take().is_none() {
                        self.turn_away(&detail);
                    }
                    ending = Ending::InDoubt;
                }
            }
            tokio::time::sleep(pause(tries)).await;
            tries += 1;
        }
        GroupEnd::Ended
    }

    /// Answers what waits behind a group in doubt while the database cannot be reached: none of it
    /// was begun.
    fn turn_away(&mut self, detail: &str) {
        let mut asks: Vec<Ask> = self.waiting.drain(..).collect();
        // A writer that holds the queue takes what comes.
        if let Ok(mut queue) = self.shared.queue.try_lock() {
            asks.extend(std::iter::from_fn(|| queue.try_recv().ok()));
        }
        answer(asks, || Err(CommitError::Unavailable(out_of_reach(detail))));
    }

    /// Takes the number of a lost group itself. The group holds that row, so this waits for its
    /// end: where the number is taken here, the group will never be committed.
    async fn settle(&mut self, number: i64) -> Result<Option<GroupEnd>, String> {
        self.session = None;
        let (shared, writer) = (Arc::clone(&self.shared), self.number);
        let session = self.session().await.map_err(|trouble| trouble.to_string())?;
        let told = |error: Error| error.to_string();
        let token = Token { writer, number };
        session.take_alone(&shared, token, true).await.map_err(told)?;
        let standing = session.standing(&shared, writer).await.map_err(told)?;
        // Only empty steps of this writer come behind the group.
        if standing.last > number || (standing.last == number && !standing.void) {
            return Ok(None);
        }
        if standing.last == number && standing.incarnation == shared.incarnation {
            self.last = number;
            return Ok(Some(GroupEnd::Trouble(Trouble::Again)));
        }
        self.end(standing).await;
        Ok(Some(GroupEnd::Ended))
    }

    /// Commits an empty step behind a group that this server has: once that is done without a
    /// warning, the group is where it has to be, too.
    async fn confirm(&mut self, number: i64) -> Result<Option<GroupEnd>, String> {
        let (shared, writer) = (Arc::clone(&self.shared), self.number);
        let session = self.session().await.map_err(|trouble| trouble.to_string())?;
        let told = |error: Error| error.to_string();
        let standing = session.standing(&shared, writer).await.map_err(told)?;
        if standing.last < number {
            return Err("the group is gone".to_owned());
        }
        if standing.incarnation != shared.incarnation {
            // Nothing of this process comes behind the group: whether it is elsewhere, too, stays
            // unknown, and the next life reads what there is.
            self.end(standing).await;
            return Ok(Some(GroupEnd::Ended));
        }
        let token = Token { writer, number: standing.last + 1 };
        let (taken, is_clean) = session.take_alone(&shared, token, false).await.map_err(told)?;
        if taken && is_clean {
            self.note(token.number);
            return Ok(Some(GroupEnd::Written));
        }
        Ok(None)
    }

    /// After days were shut: whoever has not seen it is waited for.
    async fn wait_for_others(&mut self) {
        let mut tries = 0;
        while self.shared.ended().is_none() {
            let waited = match self.session().await {
                Ok(session) => session.wait_for_others().await.map_err(|error| error.to_string()),
                Err(trouble) => Err(trouble.to_string()),
            };
            let Err(detail) = waited else { return };
            tracing::warn!(%detail, "a shut day waits for the groups that are under way");
            self.session = None;
            tokio::time::sleep(pause(tries)).await;
            tries += 1;
        }
    }
}

fn answer(asks: Vec<Ask>, end: impl Fn() -> Result<(), CommitError>) {
    for ask in asks {
        // Whoever asked may have gone.
        let _gone = ask.reply.send(end());
    }
}

/// Why a write set that went alone was not written.
fn refusal(trouble: &Trouble) -> CommitError {
    match trouble {
        Trouble::Away(detail) => CommitError::Unavailable(out_of_reach(detail)),
        Trouble::Again | Trouble::Taken => CommitError::Busy,
        Trouble::Refused(detail) => {
            CommitError::Failed(StoreError::Damaged { table: "a table", detail: detail.clone() })
        }
    }
}
