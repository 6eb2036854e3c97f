//! A back office over a store, with a channel that answers as it is told and statements written by
//! hand; and the sums that any such books must satisfy.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use switchyard::channel::statement::StatementTerms;
use switchyard::channel::{ChannelFuture, ChannelRequest, Channels, ReplyMeaning};
use switchyard::clock::{Clock, Timekeeper};
use switchyard::codec::seal::{DigestKey, SealKey, SealKeys};
use switchyard::config::layout::SHIPPED;
use switchyard::config::mistake::Mistakes;
use switchyard::config::raw::Document;
use switchyard::domain::attempt::Attempt;
use switchyard::domain::books::accounting::{AccountingRequest, BookingEvent, PostingSide};
use switchyard::domain::books::difference::{
    Balancing, Difference, DifferenceState, LONGEST_CARRIED, Remedy,
};
use switchyard::domain::books::reconcile::Class;
use switchyard::domain::books::reconciliation::Reconciliation;
use switchyard::domain::books::statement::StatementOrigin;
use switchyard::domain::card::CardInput;
use switchyard::domain::cluster::NodePart;
use switchyard::domain::ids::{BatchId, CallerOrderId, ChannelId, OrderId};
use switchyard::domain::money::AmountMinor;
use switchyard::domain::order::{Candidate, Instruction, Order, OrderKind};
use switchyard::domain::outcome::{Approval, Decline, Outcome, Reason, UnknownCause};
use switchyard::domain::terms::{ReportedSuccessRule, Terms};
use switchyard::domain::time::{BusinessDate, DueWindow, Timestamp};
use switchyard::engine::follow_ups::FollowUp;
use switchyard::engine::{Engine, Vault};
use switchyard::entropy::Entropy;
use switchyard::reconciliation::incoming::{
    ImportDesk, ImportResult, Inbox, StatementUpload, UploadContent,
};
use switchyard::reconciliation::suspense::DifferenceDesk;
use switchyard::reconciliation::{ChannelBooks, ReconciliationError, StatementRules};
use switchyard::store::Store;
use tokio::time::Instant;

use crate::support::{Scratch, books};
use crate::terms;

/// Noon in Beijing on the first day, which is 20 November 2026.
const FIRST_NOON_MS: i64 = 1_795_334_400_000 - 52 * 3_600_000;
const DAY_MS: i64 = 24 * 3_600_000;

pub fn date(day: u32) -> BusinessDate {
    BusinessDate::from_yyyymmdd(20_261_100 + day).expect("a day of November")
}

pub fn channel() -> ChannelId {
    ChannelId::from_stored(terms::DIRECT)
}

pub fn yes() -> Outcome {
    Outcome::Approved(Approval {
        channel_reference: None,
        code: "00".to_owned(),
        settle_mmdd: None,
        card_type: None,
    })
}

pub fn no() -> Outcome {
    let decline =
        Decline { reason: Reason::InsufficientFunds, code: "51".to_owned(), elsewhere: false };
    Outcome::Declined(decline)
}

pub fn pending() -> Outcome {
    Outcome::Pending { code: "05".to_owned(), channel_reference: None }
}

pub fn lost() -> Outcome {
    Outcome::Unknown(UnknownCause::TimedOut)
}

/// A channel that says what it was told to say, or yes; its own numbers follow from ours.
struct Bank {
    terms: Arc<Terms>,
    says: Mutex<VecDeque<Outcome>>,
}

impl Channels for Bank {
    fn ids(&self) -> Vec<ChannelId> {
        vec![channel()]
    }

    fn terms(&self, id: &ChannelId) -> Option<Arc<Terms>> {
        (*id == channel()).then(|| Arc::clone(&self.terms))
    }

    fn terms_at(&self, id: &ChannelId, _at: Timestamp) -> Option<Arc<Terms>> {
        self.terms(id)
    }

    fn longest_wait(&self, _: &ChannelId) -> Duration {
        self.terms.longest_wait()
    }

    fn give_back(&self, _: &Attempt, _: AmountMinor) {}

    fn count_sample(&self, _: &Order, _: &Attempt) {}

    fn share(&self, _: NodePart) -> bool {
        true
    }

    fn nodes_max(&self, _: &ChannelId) -> u32 {
        u32::MAX
    }

    fn call<'a>(
        &'a self,
        _channel: &'a ChannelId,
        request: ChannelRequest,
    ) -> ChannelFuture<'a, ReplyMeaning> {
        let said = self.says.lock().expect("nobody panics here").pop_front();
        let mut outcome = said.unwrap_or_else(yes);
        if let Outcome::Approved(approval) = &mut outcome {
            approval.channel_reference = Some(format!("R{}", request.stated().channel_order_no));
        }
        Box::pin(async move { ReplyMeaning::new(outcome, String::new()) })
    }
}

struct Rules(StatementTerms);

impl StatementRules for Rules {
    fn statement_terms(&self, id: &ChannelId) -> Option<StatementTerms> {
        (*id == channel()).then(|| self.0.clone())
    }
}

/// A section `[statement]` with the generic layout that keeps a file that is not whole, and passes
/// over the lines of holds.
pub fn keeping(more: &str) -> String {
    let text = SHIPPED.iter().find(|row| row.0 == "generic-csv").expect("shipped").1;
    let layout = text.replace("\n[", "\n[statement.layout.");
    let layout = layout.replace("\n[statement.layout.statuses]", "hold = \"pass\"\n$0");
    let layout = layout.replace("$0", "\n[statement.layout.statuses]");
    format!("{}[statement.layout]\non_bad_file = \"keep\"\n{layout}", section(more))
}

/// A section `[statement]` with the generic layout, which refuses a file that is not whole.
pub fn refusing(more: &str) -> String {
    format!("{}layout = \"generic-csv\"\n", section(more))
}

fn section(more: &str) -> String {
    format!("[statement]\ndownload_at = \"09:30\"\n{more}\n")
}

fn rules(text: &str) -> StatementTerms {
    let document = Document::parse("a.toml", text).expect("TOML");
    let mistakes = Mistakes::new();
    let root = document.root(&mistakes);
    let terms = StatementTerms::read(&root).expect("a section");
    root.finish();
    mistakes.into_result().expect("no mistakes");
    terms
}

/// One line of a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    pub order_no: String,
    pub reference: String,
    pub operation: &'static str,
    pub amount: i64,
    pub fee: i64,
    pub currency: &'static str,
    pub status: &'static str,
    pub date: BusinessDate,
}

/// The generic statement of some lines, with its totals.
pub fn statement(lines: &[Line]) -> Vec<u8> {
    let mut text =
        "order_no,reference,operation,amount,fee,currency,status,settle_date\n".to_owned();
    for line in lines {
        let Line { order_no, reference, operation, amount, fee, currency, status, date } = line;
        writeln!(
            text,
            "{order_no},{reference},{operation},{amount},{fee},{currency},{status},{date}"
        )
        .expect("memory");
    }
    let sum = |of: fn(&Line) -> i64| lines.iter().map(of).sum::<i64>();
    let (count, amount, fee) = (lines.len(), sum(|line| line.amount), sum(|line| line.fee));
    writeln!(text, "TOTAL,{count},{amount},{fee}").expect("memory");
    text.into_bytes()
}

pub struct Office {
    pub scratch: Arc<Scratch>,
    pub store: Arc<dyn Store>,
    pub engine: Arc<Engine>,
    pub imports: ImportDesk,
    pub differences: DifferenceDesk,
    bank: Arc<Bank>,
    clock: Arc<AtomicI64>,
    rules: String,
}

impl Office {
    pub fn new(store: Arc<dyn Store>, rules: &str) -> Self {
        let clock = Arc::new(AtomicI64::new(FIRST_NOON_MS));
        Self::open(Arc::new(Scratch::new()), store, clock, rules)
    }

    /// Another node, with a folder of its own.
    pub fn beside(&self, store: Arc<dyn Store>) -> Self {
        Self::open(Arc::new(Scratch::new()), store, Arc::clone(&self.clock), &self.rules)
    }

    fn open(
        scratch: Arc<Scratch>,
        store: Arc<dyn Store>,
        clock: Arc<AtomicI64>,
        text: &str,
    ) -> Self {
        let statement = rules(text);
        let mut terms = Terms::clone(&terms::terms(terms::DIRECT));
        terms.statement_claims = statement.claims;
        let bank = Arc::new(Bank { terms: Arc::new(terms), says: Mutex::default() });
        let key = SealKey::new("k1", &[7; 32]).expect("32 bytes");
        let keys = SealKeys::new(key, Vec::new()).expect("one key");
        let digests = DigestKey::new(&[9; 32]).expect("32 bytes");
        let vault = Vault::new(keys, digests, Entropy::seeded(3));
        let now = Timekeeper::from(Clock::Manual(Arc::clone(&clock)));
        let node = store.cluster().map_or(1, |cluster| {
            now.begin_lease();
            cluster.incarnation().node
        });
        let channels: Arc<dyn Channels> = Arc::<Bank>::clone(&bank);
        let engine = Arc::new(Engine::new(Arc::clone(&store), channels, now, vault, node));
        let inbox = Arc::new(Inbox::of_node(scratch.path(), Arc::clone(&store)));
        let books = ChannelBooks::new(Arc::clone(&engine), Arc::new(Rules(statement)));
        let imports = ImportDesk::new(books.clone(), inbox, scratch.path(), Entropy::seeded(4));
        let (differences, rules) = (DifferenceDesk::new(books), text.to_owned());
        Self { scratch, store, engine, imports, differences, bank, clock, rules }
    }

    /// Another process on the same data.
    pub fn again(&self, store: Arc<dyn Store>) -> Self {
        Self::open(Arc::clone(&self.scratch), store, Arc::clone(&self.clock), &self.rules)
    }

    pub fn claims(&self) -> ReportedSuccessRule {
        self.bank.terms.statement_claims
    }

    /// Sets the clock to an hour of a day, Beijing time.
    pub fn at(&self, day: i64, hour: i64) {
        let millis = FIRST_NOON_MS + (day - 20) * DAY_MS + (hour - 12) * 3_600_000;
        self.clock.store(millis, Ordering::SeqCst);
    }

    pub fn wait_minutes(&self, minutes: i64) {
        self.clock.fetch_add(minutes * 60_000, Ordering::SeqCst);
    }

    pub fn now(&self) -> Timestamp {
        self.engine.clock().now()
    }

    pub fn bank_says(&self, outcome: Outcome) {
        self.bank.says.lock().expect("nobody panics here").push_back(outcome);
    }

    /// A payment as the core would ask for it.
    pub async fn pay(&self, amount_minor: i64) -> Order {
        let id = self.engine.next_order_id().await.expect("a number");
        let candidate = Candidate { channel: channel(), keeps_pan: false };
        let mut asked = books::order(1).instruction;
        asked.caller_order_id = CallerOrderId::from_stored(&format!("A-{id}"));
        asked.amount = AmountMinor::new(amount_minor).expect("an amount");
        let mut order = Order::accepted(id, asked, self.now());
        order.candidates = vec![candidate];
        let acceptance = self.engine.accept(order, card().into(), None, patient()).await;
        acceptance.expect("the order is taken").outcome().await.expect("it is carried out")
    }

    /// A refund, booked at once and carried out.
    pub async fn refund(&self, of: &Order, amount_minor: i64) -> Order {
        let caller = of.instruction.caller.clone();
        let own = format!("{}-r", of.instruction.caller_order_id);
        let own = CallerOrderId::from_stored(&own);
        let asked = FollowUp {
            instruction: Instruction::on(of, OrderKind::Refund { of: of.id }, caller, own),
            amount: Some(AmountMinor::new(amount_minor).expect("an amount")),
            card: None,
            most_minor: None,
            approved: None,
        };
        let acceptance = self.engine.follow_up(asked, patient()).await.expect("it is taken");
        let order = acceptance.outcome().await.expect("it is carried out");
        let owed = self.requests().await.into_iter().find(|request| {
            request.event == BookingEvent::Refund && request.order() == Some(order.id)
        });
        let mut booked = owed.expect("it is booked first");
        booked.delivery.version += 1;
        booked.delivery.status =
            switchyard::domain::books::accounting::DeliveryStatus::Acknowledged;
        booked.delivery.acknowledged_at = Some(self.now());
        self.engine.acknowledge(booked).await.expect("it begins");
        self.engine.carry_out(order.id).await.expect("it is sent")
    }

    pub async fn order(&self, id: OrderId) -> Order {
        self.store.order(id).await.expect("readable").expect("an order")
    }

    /// What an honest statement says of an order's attempt.
    pub async fn line(&self, order: &Order, day: u32) -> Line {
        let number = order.channel_order_no(1);
        let movement = order.attempts[0].operation;
        let sign = if movement.name() == "refund" { -1 } else { 1 };
        let fee = if sign > 0 {
            ((order.instruction.amount.get() * 6_000 + 500_000) / 1_000_000).max(1)
        } else {
            0
        };
        Line {
            order_no: number.to_string(),
            reference: format!("R{number}"),
            operation: movement.name(),
            amount: sign * order.instruction.amount.get(),
            fee,
            currency: "CNY",
            status: "succeeded",
            date: date(day),
        }
    }

    pub async fn hand_in(
        &self,
        day: u32,
        bytes: Vec<u8>,
    ) -> Result<ImportResult, ReconciliationError> {
        let incoming = StatementUpload {
            channel: channel(),
            date: date(day),
            name: "bill.csv".to_owned(),
            content: UploadContent::Bytes(bytes),
            origin: StatementOrigin::Upload,
            by: "ada".to_owned(),
        };
        self.imports.import(incoming).await
    }

    /// Hands the lines in as the day's statement, which is taken.
    pub async fn take(&self, day: u32, lines: &[Line]) -> Reconciliation {
        self.hand_in(day, statement(lines)).await.expect("it is taken").batch
    }

    pub async fn run(&self, day: u32) -> Reconciliation {
        self.imports.run(&channel(), date(day), "ada").await.expect("it runs")
    }

    pub async fn found(&self, batch: BatchId) -> Vec<(Class, Difference)> {
        let rows = self.store.found_differences(batch, None, 1_000).await.expect("readable");
        rows.into_iter().map(|(_, class, difference)| (class, difference)).collect()
    }

    pub async fn requests(&self) -> Vec<AccountingRequest> {
        let (mut all, mut after) = (Vec::new(), None);
        loop {
            let page = self.store.accounting_requests(None, after, 500).await.expect("readable");
            let Some(last) = page.last() else { return all };
            after = Some(last.id);
            all.extend(page);
        }
    }

    /// Every difference that has a record or a line of these days.
    pub async fn differences(&self, days: std::ops::RangeInclusive<u32>) -> Vec<Difference> {
        let mut all = BTreeMap::new();
        for day in days {
            let lines = self.store.differences_of_lines(channel(), date(day), None, 1_000).await;
            let records =
                self.store.differences_of_records(channel(), date(day), None, 1_000).await;
            let rows = lines.expect("readable").into_iter().chain(records.expect("readable"));
            all.extend(rows.map(|row| (row.id, row)));
        }
        all.into_values().collect()
    }

    pub async fn balance(
        &self,
        row: &Difference,
        remedy: Remedy,
    ) -> Result<Difference, ReconciliationError> {
        let asked = Balancing {
            remedy,
            merchant_id: None,
            actor: "ada".to_owned(),
            approver: None,
            reason: "the bank said so".to_owned(),
        };
        self.differences.balance(row.id, asked, None).await
    }

    /// Suspends what is due now.
    pub async fn expire(&self) -> usize {
        self.differences
            .expire(DueWindow::at(self.now(), LONGEST_CARRIED), 500)
            .await
            .expect("it works")
    }

    /// Debits less credits by account, of everything that accounting was asked to book.
    pub async fn accounts(&self) -> BTreeMap<String, i64> {
        let mut sums = BTreeMap::new();
        for request in self.requests().await {
            assert_eq!(request.imbalance_minor(), 0, "I-7: entries balance");
            for entry in &request.postings {
                let sign = if entry.side == PostingSide::Debit { 1 } else { -1 };
                let name = format!("{} {}", entry.account, request.currency.name());
                *sums.entry(name).or_default() += sign * entry.amount_minor;
            }
        }
        sums
    }

    /// What must hold of the books after any history, once all these days are run: the trial
    /// balance is zero, suspense holds what the differences say, and the channel's pending clearing
    /// is what the statements say less what is carried.
    pub async fn check(&self, days: std::ops::RangeInclusive<u32>) {
        let accounts = self.accounts().await;
        assert_eq!(accounts.values().sum::<i64>(), 0, "the trial balance is zero");
        let account = |name: &str| {
            accounts.get(&format!("{name}:{} CNY", terms::DIRECT)).copied().unwrap_or(0)
        };
        let rows = self.differences(days.clone()).await;
        let gaps = |row: &Difference| -> i64 {
            let own = row.gaps().into_iter().filter(|gap| gap.currency.name() == "CNY");
            own.map(|gap| gap.principal_minor).sum()
        };
        let (mut carried, mut held) = (0, 0);
        for row in &rows {
            match row.state {
                DifferenceState::Carried => carried += gaps(row),
                DifferenceState::Suspended => {
                    let own = row.held.iter().filter(|held| held.currency.name() == "CNY");
                    held += own.map(|held| held.fee_minor - held.principal_minor).sum::<i64>();
                }
                DifferenceState::Balanced => {
                    let back = matches!(row.remedy, Some((Remedy::Channel, _)));
                    carried += if back { gaps(row) } else { 0 };
                }
                DifferenceState::Cleared => {}
            }
        }
        let suspense = account("company:suspense_receivable") + account("company:suspense_payable");
        let claimed = self.claimed_by_undos().await;
        assert_eq!(suspense, held - claimed, "suspense holds what differences say: {rows:#?}");
        let mut stated = 0;
        for day in days {
            let current = self.store.current_reconciliation(channel(), date(day)).await;
            let Some(batch) = current.expect("readable") else { continue };
            let cny = switchyard::domain::money::Currency::Cny;
            stated += i64::try_from(batch.report.stated(cny).amount_minor).expect("small");
            let (theirs, ours) = batch.report.totals.sides();
            assert_eq!((theirs, ours), (batch.report.theirs, batch.report.ours), "I-10");
        }
        let pending = accounts.get(&format!("channel:{}:pending_clearing CNY", terms::DIRECT));
        let pending = pending.copied().unwrap_or(0);
        assert_eq!(pending, stated - carried, "pending clearing is what is unsettled: {rows:#?}");
    }

    /// What suspense has for claims whose undo has not ended.
    async fn claimed_by_undos(&self) -> i64 {
        let mut sum = 0;
        for request in self.requests().await {
            let amount: i64 =
                request.postings.iter().map(|entry| entry.amount_minor).sum::<i64>() / 2;
            let undo = match request.order() {
                Some(order) => {
                    matches!(self.order(order).await.instruction.kind, OrderKind::Undo { .. })
                }
                None => false,
            };
            match request.event {
                BookingEvent::SuspenseOpened if undo => sum += amount,
                BookingEvent::SuspenseBalanced if undo => sum -= amount,
                _ => {}
            }
        }
        sum
    }
}

/// Longer than any commit takes.
fn patient() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

pub fn card() -> CardInput {
    CardInput::of_number(
        switchyard::domain::card::Pan::parse("6216261000000000018").expect("a published number"),
    )
}
