//! What the workers and an operator do in a life: entries and requests that are due, recovery,
//! closes, and the word of whoever looks into the channels' ledgers.

use std::collections::BTreeSet;
use std::sync::Arc;

use switchyard::domain::attempt::Operation;
use switchyard::domain::books::accounting::DeliveryStatus;
use switchyard::domain::cluster::{Queue, Work};
use switchyard::domain::command::Command;
use switchyard::domain::ids::{ChannelId, ChannelOrderNo, OrderId};
use switchyard::domain::order::OrderKind;
use switchyard::domain::reversal::{Phase, Resolution, ReversalEntry};
use switchyard::domain::time::DueWindow;
use switchyard::engine::day_close::CloseError;
use switchyard::engine::{Engine, EngineError, WorkResult};

use crate::accounting_side;
use crate::bank::Fate;
use crate::core_side;
use crate::life::{Job, Life};
use crate::terms;
use crate::world::{World, decider, note_error};

impl Life {
    pub async fn work_due(&mut self, in_hand: &mut BTreeSet<Job>) {
        for name in terms::ALL {
            let channel = ChannelId::from_stored(name);
            let longest = terms::terms(name).longest_wait();
            let due = DueWindow::at(self.engine.clock().now(), longest)
                .of_shards(self.engine.reversal_shards(&channel));
            let due = self.engine.store().due_reversals(channel, due, 50).await;
            let due = due.unwrap_or_else(|error| {
                self.world.state().violate(format!("due entries: {error}"));
                Vec::new()
            });
            for entry in due {
                let job = Job::Entry(entry.order);
                // Now and then two workers take the same entry, as two nodes may.
                let again = self.world.state().mischief(10);
                if in_hand.insert(job) || again {
                    let (engine, world) = (Arc::clone(&self.engine), self.world.clone());
                    self.tasks.spawn(async move {
                        work(&engine, &world, &entry).await;
                        job
                    });
                }
            }
        }
    }

    /// Recovery of lost calls, an operator's retry, a release.
    pub async fn housekeeping(&mut self) {
        let lost = self.engine.recover_lost(7).await;
        let is_ours = self.engine.holds(&Work::Recovery);
        let left_behind = if is_ours { self.engine.recover_orphans(7).await } else { Ok(0) };
        for count in [lost, left_behind] {
            match count {
                Ok(count) => self.world.state().tally.recovered += count as u64,
                Err(error) => note_error(&self.world, "recovery", &error),
            }
        }
        let (stuck, released) = {
            let mut state = self.world.state();
            let stuck: Vec<OrderId> = state
                .rows
                .entries
                .values()
                .filter(|entry| entry.phase == Phase::Operator)
                .map(|entry| entry.order)
                .collect();
            let stuck = (!stuck.is_empty() && state.mischief(20))
                .then(|| stuck[state.random.usize(0..stuck.len())]);
            let count = state.wishes.len();
            (stuck, state.random.usize(0..count))
        };
        if let Some(id) = stuck {
            let decider = decider("try again");
            match self.engine.operate(id, Command::Retry { decider }).await {
                Ok(_) => self.world.state().tally.retries += 1,
                Err(error) => note_error(&self.world, "a retry", &error),
            }
        }
        core_side::release(&self.engine, &self.world, released).await;
        let asked = {
            let mut state = self.world.state();
            let count = state.wishes.len();
            [0; 3].map(|_| state.random.usize(0..count))
        };
        for number in asked {
            let (engine, world) = (Arc::clone(&self.engine), self.world.clone());
            self.tasks.spawn(async move {
                core_side::follow_up(&engine, &world, number).await;
                Job::Other
            });
        }
        accounting_side::look_at_parked(&self.engine, &self.world, 30).await;
        self.close_days();
    }

    /// Closes what has ended, now and then by two at once.
    fn close_days(&mut self) {
        for name in terms::ALL {
            let close = Work::Close(ChannelId::from_stored(name));
            let twice = self.world.state().mischief(20);
            // Who has just lost the work may still be at it.
            if !self.engine.holds(&close) && !twice {
                continue;
            }
            for _ in 0..=u8::from(twice) {
                let (engine, world) = (Arc::clone(&self.engine), self.world.clone());
                self.tasks.spawn(async move {
                    match engine.close_due_days(&ChannelId::from_stored(name)).await {
                        Ok(_) => {}
                        Err(CloseError::Engine(error)) => note_error(&world, "a close", &error),
                        Err(error) => world.state().violate(format!("a close: {error}")),
                    }
                    Job::Other
                });
            }
        }
    }

    /// What accounting is owed, one request of a chain at a time.
    pub async fn account_due(&mut self, in_hand: &mut BTreeSet<Job>) {
        let due = DueWindow::at(self.engine.clock().now(), accounting_side::WAIT_MAX)
            .of_shards(self.engine.shards(Queue::Accounting));
        let due = self.engine.store().due_accounting(due, 100).await;
        let due = due.unwrap_or_else(|error| {
            self.world.state().violate(format!("due requests: {error}"));
            Vec::new()
        });
        for request in due {
            let job = Job::Chain(request.id.chain);
            let again = self.world.state().mischief(5);
            if in_hand.insert(job) || again {
                let (engine, world) = (Arc::clone(&self.engine), self.world.clone());
                self.tasks.spawn(async move {
                    accounting_side::deliver(&engine, &world, request).await;
                    job
                });
            }
        }
    }

    /// In a calm world an operator looks into the ledgers. True when nothing is left.
    pub async fn settle_rest(&mut self) -> bool {
        let (left, busy) = {
            let state = self.world.state();
            let left: Vec<ReversalEntry> = state.rows.entries.values().cloned().collect();
            let open = state.rows.orders.values().any(|order| !order.status.is_final());
            let unanswered = state.wishes.iter().any(|wish| !wish.is_settled());
            let unbound = (0..state.wanted.len()).any(|number| !state.is_at_rest(number));
            let done = |status: DeliveryStatus| status.lets_others_pass();
            let owed = state.rows.accounting.values().any(|one| !done(one.delivery.status));
            (left, open || unanswered || unbound || owed || !state.events.is_empty())
        };
        accounting_side::look_at_parked(&self.engine, &self.world, 100).await;
        if left.is_empty() {
            return !busy;
        }
        if !self.world.state().events.is_empty() {
            return false;
        }
        for entry in left.iter().filter(|entry| entry.phase == Phase::Operator) {
            let command = self.truth(entry);
            let resolved = matches!(command, Command::Resolve { .. });
            match self.engine.operate(entry.order, command).await {
                Ok(_) if resolved => self.world.state().tally.resolved += 1,
                Ok(_) => {}
                Err(error) => note_error(&self.world, "an operator", &error),
            }
        }
        false
    }

    /// What an operator who sees the channel's ledger decides.
    fn truth(&self, entry: &ReversalEntry) -> Command {
        let state = self.world.state();
        let order = &state.rows.orders[&entry.order];
        let decider = decider("the channel's ledger says so");
        let fate = |number: &ChannelOrderNo| {
            state.ledger.records.get(number).map_or(Fate::Absent, |record| record.fate)
        };
        let resolution = match (order.unresolved(), order.instruction.kind) {
            (Some(attempt), _) => match fate(&order.channel_order_no(attempt.number)) {
                Fate::Done => Resolution::Succeeded,
                Fate::Reversed => {
                    assert!(attempt.operation != Operation::Undo, "undos are not reversed");
                    Resolution::Reversed
                }
                _ => Resolution::Failed,
            },
            (None, OrderKind::Undo { of }) => {
                let terms = terms::terms(entry.channel.as_str());
                let can = terms.can(Operation::Undo) && !terms.follow_up_needs_card;
                if fate(&of) == Fate::Done && can {
                    return Command::Retry { decider };
                }
                Resolution::Failed
            }
            (None, _) => Resolution::Failed,
        };
        Command::Resolve { resolution, decider }
    }
}

async fn work(engine: &Arc<Engine>, world: &World, entry: &ReversalEntry) {
    match engine.work(entry).await {
        Ok(WorkResult::Ended | WorkResult::Open | WorkResult::Nothing) => {}
        Err(EngineError::Refused(refusal)) => {
            world.state().violate(format!("working {}: {refusal}", entry.order));
        }
        Err(error) => note_error(world, "work", &error),
    }
}
