//! The tables of I-5 and I-7 in the manual: each row is played, and must say what was written.

use switchyard::domain::attempt::Source;
use switchyard::domain::books::accounting::DeliveryStatus;
use switchyard::domain::books::clearing::ClearingState;
use switchyard::domain::command::{CardInMemory, Command, Decision, WantedBy};
use switchyard::domain::effect::{Alert, Effect};
use switchyard::domain::ids::OrderId;
use switchyard::domain::order::{OrderKind, SettlementMode};
use switchyard::domain::outcome::{Approval, Outcome};
use switchyard::domain::reversal::Resolution;
use switchyard::domain::terms::{ReportedSuccessRule, Terms};
use switchyard::domain::write_set::WriteSet;

use crate::build::{
    AMOUNT, Desk, approved, decider, declined, not_found, not_sent, order, pending, terms, unknown,
};
use crate::follow_ups::{acknowledged, booked, follow_up};

use SettlementMode::Instant;

macro_rules! kinds {
    ($($kind:ident),+) => {
        use Kind::{$($kind),+};

        /// An order, by what it refers to.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        enum Kind { $($kind),+ }

        const KINDS: &[Kind] = &[$($kind),+];
    };
}

kinds! {
    Payment, Escrow, Hold, Capture, EscrowCapture, Refund, PaymentVoid, CaptureVoid, HoldVoid,
    PaymentUndo, CaptureUndo, HoldUndo, Release, Payout
}

/// A desk, an order on it, and what was written last.
struct Scene {
    desk: Desk,
    id: OrderId,
    writes: WriteSet,
}

impl Scene {
    fn run(&mut self, id: OrderId, command: Command) {
        let decision = self.desk.run_on(id, command).expect("it is allowed");
        self.keep(decision);
    }

    fn keep(&mut self, decision: Decision) {
        let alert = Effect::Alert { order: self.id, what: Alert::Contradiction };
        let kept = !decision.writes.contradictions.is_empty();
        assert_eq!(decision.effects.contains(&alert), kept, "what is kept alerts");
        self.writes = decision.writes;
    }

    fn learn(mut self, source: Source, outcome: Outcome) -> Self {
        let attempt = self.desk.rows.orders[&self.id].attempts.len() as u8;
        let decision = self.desk.learn_of(self.id, attempt, source, outcome, CardInMemory::No);
        self.keep(decision);
        self
    }

    fn reply(self, outcome: Outcome) -> Self {
        self.learn(Source::Reply, outcome)
    }

    fn resolve(mut self, resolution: Resolution) -> Self {
        self.run(self.id, Command::Resolve { resolution, decider: decider() });
        self
    }

    /// The order that follows this one up, as it is accepted.
    fn ask(mut self, kind: fn(OrderId) -> OrderKind) -> Self {
        let of = self.id;
        let place = self.desk.rows.orders.len() as u64;
        let order = Box::new(follow_up(&self.desk, place, kind(of), AMOUNT));
        self.id = order.id;
        let command = match order.instruction.kind {
            OrderKind::Release { .. } => Command::Release { release: order },
            _ => Command::FollowUp { order, card: None, wanted_by: WantedBy::One },
        };
        self.run(of, command);
        self
    }

    /// The undo that a claim owes.
    fn claim(self) -> Self {
        let mut scene = self.reply(declined()).learn(Source::Notice, approved());
        scene.id = scene.desk.undo().id;
        scene
    }

    fn withdraw(mut self, unanswered: bool) -> Self {
        let mut parked = booked(&self.desk, self.id);
        parked.delivery.status = DeliveryStatus::Parked;
        parked.delivery.unanswered = unanswered;
        parked.delivery.version += 1;
        self.desk.rows.accounting.insert(parked.id, parked);
        let booked = Box::new(booked(&self.desk, self.id));
        self.run(self.id, Command::Withdraw { booked, decider: decider() });
        self.writes.accounting.retain(|request| request.delivery.status == DeliveryStatus::Owed);
        self
    }
}

fn first(kind: OrderKind, settlement: SettlementMode, terms: Terms) -> Scene {
    let order = order(kind, settlement, &["one"]);
    let desk = Desk::sending_order(terms, order);
    Scene { id: desk.id, desk, writes: WriteSet::default() }
}

/// An order that was accepted, or an undo that is owed.
fn accepted(kind: Kind, terms: Terms) -> Scene {
    let capture: fn(OrderId) -> OrderKind = |of| OrderKind::Capture { of };
    let void: fn(OrderId) -> OrderKind = |of| OrderKind::Void { of };
    let done = |kind| sent(kind, terms.clone()).reply(approved());
    match kind {
        Payment => first(OrderKind::Payment, Instant, terms),
        Escrow => first(OrderKind::Payment, SettlementMode::Escrow, terms),
        Hold => first(OrderKind::Preauth, Instant, terms),
        EscrowCapture => {
            first(OrderKind::Preauth, SettlementMode::Escrow, terms).reply(approved()).ask(capture)
        }
        Capture => done(Hold).ask(capture),
        Refund => done(Payment).ask(|of| OrderKind::Refund { of }),
        PaymentVoid => done(Payment).ask(void),
        CaptureVoid => done(Capture).ask(void),
        HoldVoid => done(Hold).ask(void),
        PaymentUndo => sent(Payment, terms).claim(),
        CaptureUndo => sent(Capture, terms).claim(),
        HoldUndo => sent(Hold, terms).claim(),
        Release => done(Escrow).ask(|of| OrderKind::Release { of }),
        Payout => {
            let mut scene = first(OrderKind::Payout, Instant, terms);
            scene.writes.accounting.push(booked(&scene.desk, scene.id));
            scene
        }
    }
}

/// The same when its attempt is on its way.
fn sent(kind: Kind, terms: Terms) -> Scene {
    let mut scene = accepted(kind, terms);
    let id = scene.id;
    match kind {
        Refund | PaymentVoid | CaptureVoid | Payout => {
            let booked = Box::new(acknowledged(&scene.desk, id));
            scene.run(id, Command::BeginFollowUp { booked });
        }
        PaymentUndo | CaptureUndo | HoldUndo => scene.run(id, Command::BeginUndo),
        Payment | Escrow | Hold | Capture | EscrowCapture | HoldVoid | Release => {}
    }
    scene
}

/// Every end without success of an order that was sent.
fn ends_without_success(kind: Kind, terms: Terms) -> Vec<Scene> {
    let sent = || sent(kind, terms.clone());
    vec![
        sent().reply(declined()),
        sent().reply(not_sent()),
        sent().reply(unknown()).resolve(Resolution::Failed),
        sent().reply(unknown()).resolve(Resolution::Reversed),
    ]
}

fn count(number: usize) -> String {
    ["–", "one"][number].to_owned()
}

fn clearing(writes: &WriteSet) -> String {
    let [record] = &writes.clearing[..] else { return count(writes.clearing.len()) };
    assert_eq!(record.net_minor, record.principal_minor - record.fee_minor);
    let sign = if record.principal_minor < 0 { ", negative" } else { "" };
    let state = match record.state {
        ClearingState::Due => "",
        ClearingState::Contradicted => ", `contradicted`",
    };
    format!("one{sign}{state}")
}

fn requests(writes: &WriteSet) -> String {
    let names: Vec<String> =
        writes.accounting.iter().map(|row| format!("`{}`", row.event.name())).collect();
    if names.is_empty() { count(0) } else { names.join(", ") }
}

/// The cells of the last written write set that I-7 tells of.
fn left(scene: &Scene) -> String {
    let writes = &scene.writes;
    let (transactions, notices) = (count(writes.transactions.len()), count(writes.notices.len()));
    format!("{transactions} | {} | {} | {notices}", clearing(writes), requests(writes))
}

/// The cells that I-5 tells of.
fn contradicted(scene: &Scene) -> String {
    let writes = &scene.writes;
    let claim = writes.contradictions.first().map(|row| format!("`{}`", row.reported.name()));
    let undone = count(writes.contradictions.iter().filter_map(|row| row.undo).count());
    let reached = writes.orders.iter().filter(|order| order.claims.contradicted_minor > 0).count();
    let claim = claim.unwrap_or(count(0));
    format!("{claim} | {} | {} | {undone} | {}", clearing(writes), requests(writes), count(reached))
}

/// The rows of the table in an invariant's section, in the manual.
fn told(invariant: &str) -> Vec<&'static str> {
    let manual = include_str!("../../docs/INVARIANTS.md");
    let section = manual.split("\n## ").find(|part| part.starts_with(invariant));
    let lines = section.expect("its section").lines();
    lines.filter(|line| line.starts_with("| ")).skip(1).collect()
}

type Row = (&'static str, Vec<Scene>);

fn compare(invariant: &str, rows: Vec<Row>, cells: fn(&Scene) -> String) {
    let played = rows.into_iter().map(|(head, scenes)| {
        let all: Vec<String> = scenes.iter().map(cells).collect();
        assert!(all.iter().all(|one| *one == all[0]), "{head}: {all:?}");
        format!("| {head} | {} |", all[0])
    });
    let played: Vec<String> = played.collect();
    assert_eq!(told(invariant), played, "\n{}\n", played.join("\n"));
}

#[test]
fn i_7_every_end_of_every_kind_leaves_what_the_manual_says() {
    let accepted = |kinds: &[Kind]| kinds.iter().map(|kind| accepted(*kind, terms())).collect();
    let succeeds =
        |kinds: &[Kind]| kinds.iter().map(|kind| sent(*kind, terms()).reply(approved())).collect();
    let fails = |kinds: &[Kind]| {
        kinds.iter().flat_map(|kind| ends_without_success(*kind, terms())).collect()
    };
    let given_up = |kinds: &[Kind], unanswered| {
        let scene = |kind: &Kind| self::accepted(*kind, terms()).withdraw(unanswered);
        kinds.iter().map(scene).collect()
    };
    let fails_undone = |kinds: &[Kind]| {
        let unknown = |kind: &Kind| sent(*kind, terms()).reply(unknown());
        kinds.iter().map(unknown).map(|scene| scene.resolve(Resolution::Failed)).collect()
    };
    let voids = [PaymentVoid, CaptureVoid];
    let undos = [PaymentUndo, CaptureUndo];
    let rows: Vec<Row> = vec![
        ("payment, capture: instant | success", succeeds(&[Payment, Capture])),
        ("payment, capture: escrow | success", succeeds(&[Escrow, EscrowCapture])),
        ("payment, capture | no success", fails(&[Payment, Escrow, Capture, EscrowCapture])),
        ("refund | accepted", accepted(&[Refund])),
        ("refund | success", succeeds(&[Refund])),
        ("refund | no success", fails(&[Refund])),
        ("refund | withdrawn, refused at every try", given_up(&[Refund], false)),
        ("refund | withdrawn, a try unanswered", given_up(&[Refund], true)),
        ("void of a payment, capture | accepted", accepted(&voids)),
        ("void of a payment, capture | success", succeeds(&voids)),
        ("void of a payment, capture | no success", fails(&voids)),
        ("void of a payment, capture | withdrawn, refused at every try", given_up(&voids, false)),
        ("void of a payment, capture | withdrawn, a try unanswered", given_up(&voids, true)),
        ("payout | accepted", accepted(&[Payout])),
        ("payout | success", succeeds(&[Payout])),
        ("payout | no success", fails(&[Payout])),
        ("payout | withdrawn, refused at every try", given_up(&[Payout], false)),
        ("payout | withdrawn, a try unanswered", given_up(&[Payout], true)),
        ("preauth, void of a preauth | success", succeeds(&[Hold, HoldVoid])),
        ("preauth, void of a preauth | no success", fails(&[Hold, HoldVoid])),
        ("undo of a payment, capture | owed", accepted(&undos)),
        ("undo of a payment, capture | success", succeeds(&undos)),
        ("undo of a preauth | owed", accepted(&[HoldUndo])),
        ("undo of a preauth | success", succeeds(&[HoldUndo])),
        ("any undo | no success", fails_undone(&[PaymentUndo, CaptureUndo, HoldUndo])),
        ("release | accepted, which is its success", accepted(&[Release])),
    ];
    compare("I-7", rows, left);
}

/// A success under another of the channel's numbers.
fn another() -> Outcome {
    let channel_reference = Some("q2".to_owned());
    Outcome::Approved(Approval { channel_reference, code: "00".to_owned(), ..Approval::default() })
}

const SOURCES: [Source; 4] = [Source::Reply, Source::Inquiry, Source::Notice, Source::Statement];

/// What is said by any of the sources after any end without success.
fn after_failure(
    kinds: &[Kind],
    rule: ReportedSuccessRule,
    sources: &[Source],
    said: fn() -> Outcome,
) -> Vec<Scene> {
    let terms = Terms { statement_claims: rule, ..terms() };
    let mut scenes = Vec::new();
    for (kind, source) in kinds.iter().flat_map(|kind| sources.iter().map(move |s| (*kind, *s))) {
        let ended = match kind {
            PaymentUndo | CaptureUndo | HoldUndo => {
                vec![sent(kind, terms.clone()).reply(declined())]
            }
            _ => ends_without_success(kind, terms.clone()),
        };
        scenes.extend(ended.into_iter().map(|scene| scene.learn(source, said())));
    }
    scenes
}

fn after_success(kinds: &[Kind], sources: &[Source], said: fn() -> Outcome) -> Vec<Scene> {
    let done = |kind: &Kind| sent(*kind, terms()).reply(approved());
    let said_by = |source: &Source| {
        let source = *source;
        kinds.iter().map(done).map(move |scene| scene.learn(source, said())).collect::<Vec<_>>()
    };
    sources.iter().flat_map(said_by).collect()
}

#[test]
fn i_5_whatever_is_said_of_an_end_leaves_what_the_manual_says() {
    let all: Vec<Kind> = KINDS.iter().copied().filter(|kind| *kind != Release).collect();
    let (undo, suspend) = (ReportedSuccessRule::Undo, ReportedSuccessRule::Suspend);
    let (messages, statement) = (&SOURCES[..3], &SOURCES[3..]);
    let claimed = |kinds: &[Kind]| after_failure(kinds, undo, &SOURCES, approved);
    let suspended = |kinds: &[Kind]| after_failure(kinds, suspend, statement, approved);
    let mut proofless = Vec::new();
    for said in [pending, unknown, not_sent, not_found] {
        proofless.extend(after_failure(&all, undo, &SOURCES, said));
        proofless.extend(after_success(&all, &SOURCES, said));
    }
    let kept = |said: fn() -> Outcome| {
        let scenes = claimed(&[Payment, Capture, Refund, HoldVoid, PaymentUndo]).into_iter();
        scenes.map(|scene| scene.learn(Source::Notice, said())).collect()
    };
    let rows: Vec<Row> = vec![
        ("any | any | nothing final", proofless),
        ("any | no success | a failure", after_failure(&all, undo, &SOURCES, declined)),
        ("any | success | the same success", after_success(&all, &SOURCES, approved)),
        ("any | success | a failure", after_success(&all, &SOURCES, declined)),
        (
            "any | success | a message: a success under another of the channel's numbers",
            after_success(&all, messages, another),
        ),
        ("any | success | a statement: the same", after_success(&all, statement, another)),
        ("payment | no success | a success", claimed(&[Payment, Escrow])),
        (
            "payment | no success | a statement: a success, with `contradiction = \"suspend\"`",
            suspended(&[Payment, Escrow]),
        ),
        ("capture | no success | a success", claimed(&[Capture, EscrowCapture])),
        (
            "capture | no success | a statement: a success, with `contradiction = \"suspend\"`",
            suspended(&[Capture, EscrowCapture]),
        ),
        ("preauth | no success | a success, whoever tells it", {
            [claimed(&[Hold]), suspended(&[Hold])].into_iter().flatten().collect()
        }),
        (
            "refund, void of a payment, capture | no success | a success",
            claimed(&[Refund, PaymentVoid, CaptureVoid]),
        ),
        ("payout | no success | a success", claimed(&[Payout])),
        ("void of a preauth | no success | a success", claimed(&[HoldVoid])),
        ("undo | its attempt had no success | a success", {
            claimed(&[PaymentUndo, CaptureUndo, HoldUndo])
        }),
        ("any | a claim is kept | the same claim again", kept(approved)),
        ("any | a claim is kept | a success under another number", kept(another)),
    ];
    compare("I-5", rows, contradicted);
}
