//! Rows for the tests of these stored forms: one fixed row of each kind, and rows drawn from a
//! seed.

use crate::store::table::books::agreed::{AgreedLines, AgreedPart};
use crate::store::table::books::clearing_days::ShutDays;
use crate::store::table::books::day_close::DayCloses;
use crate::store::table::books::difference::Differences;
use crate::store::table::books::found::FoundDifferences;
use crate::store::table::books::reconciliation::Reconciliations;
use crate::store::table::books::settled_date::SettledDates;
use crate::store::table::books::settlement::Settlements;
use crate::store::table::books::statement::Statements;

use super::draw::Draw;
use super::samples::{date, first_id, moment};
use super::{SampleTable, head_fits};
use crate::domain::attempt::Operation;
use crate::domain::books::clearing::ClearingTotals;
use crate::domain::books::day_close::{ClearingDays, DayClose};
use crate::domain::books::difference::{
    Difference, DifferenceEvent, DifferenceState, Gap, LineSide, RecordSide, Remedy,
};
use crate::domain::books::reconcile::{Class, Item, MatchKey, Status, Sums, Tally, Totals};
use crate::domain::books::reconciliation::{BatchReport, BatchState, FileProblem, Reconciliation};
use crate::domain::books::settlement::{
    BankReceipt, ChannelSettlement, SettledAmounts, SettledDate, SettlementState,
};
use crate::domain::books::statement::{StatementOrigin, StatementRevision};
use crate::domain::ids::{BatchId, ChannelId, ChannelOrderNo, DifferenceId, SettlementId};
use crate::domain::money::Currency;
use crate::domain::write_set::FoundDifference;

const KEYS: [MatchKey; 2] = [MatchKey::OrderNo, MatchKey::Reference];
const STATUSES: [Status; 2] = [Status::Succeeded, Status::Failed];

impl Draw {
    fn currency(&mut self) -> Currency {
        self.of(&Currency::ALL)
    }

    fn any(&mut self) -> i64 {
        self.random.i64(..)
    }

    fn digest<const N: usize>(&mut self) -> [u8; N] {
        std::array::from_fn(|_| self.random.u8(..))
    }

    fn item(&mut self) -> Item {
        Item {
            movement: self.of(&Operation::ALL),
            amount_minor: self.any(),
            fee_minor: self.maybe(Self::any),
            currency: self.currency(),
            status: self.of(&STATUSES),
            date: self.maybe(Self::date),
        }
    }

    pub(super) fn close(&mut self) -> DayClose {
        DayClose {
            channel: self.channel(),
            date: self.date(),
            totals: self.several(3, |draw| {
                let totals = ClearingTotals {
                    records: draw.random.u64(..),
                    principal_minor: draw.any(),
                    fee_minor: draw.any(),
                    net_minor: draw.any(),
                };
                (draw.currency(), totals)
            }),
            sha256: self.digest(),
            by: self.text(20),
            at: self.time(),
        }
    }

    pub(super) fn days(&mut self) -> (ChannelId, ClearingDays) {
        let (closed_through, shut_through) = (self.maybe(Self::date), self.maybe(Self::date));
        (self.channel(), ClearingDays { closed_through, shut_through })
    }

    pub(super) fn statement(&mut self) -> StatementRevision {
        StatementRevision {
            channel: self.channel(),
            date: self.date(),
            revision: self.random.u16(..),
            sha256: self.digest(),
            name: self.text(60),
            bytes: self.random.u64(..),
            origin: self.of(&StatementOrigin::ALL),
            by: self.text(20),
            at: self.time(),
        }
    }

    fn tally(&mut self) -> Tally {
        let mut tally = Tally::default();
        for _ in 0..self.random.usize(0..20) {
            tally.add(&self.item());
        }
        tally
    }

    fn report(&mut self) -> BatchReport {
        let mut totals = Totals::default();
        totals.not_due = self.tally();
        totals.bad_lines = self.random.u64(0..1_000);
        for _ in 0..self.random.usize(0..30) {
            let (line, record) = (self.item(), self.maybe(Self::item));
            totals.add(self.of(&Class::ALL), Some(&line), record.as_ref());
        }
        BatchReport {
            totals,
            theirs: self.tally(),
            ours: self.tally(),
            lines: self.random.u32(..),
            differences: self.random.u32(..),
            proven: self.random.u32(..),
            problems: self.several(3, |draw| FileProblem {
                kind: draw.word(),
                line: draw.random.u32(..),
                detail: draw.text(60),
            }),
        }
    }

    pub(super) fn reconciliation(&mut self) -> Reconciliation {
        Reconciliation {
            id: BatchId::of(self.id()),
            version: self.random.u32(..),
            channel: self.channel(),
            date: self.date(),
            revision: self.random.u16(..),
            state: self.of(&BatchState::ALL),
            by: self.text(20),
            started_at: self.time(),
            finished_at: self.maybe(Self::time),
            reason: self.maybe(|draw| draw.text(60)),
            report: self.report(),
        }
    }

    pub(super) fn found(&mut self) -> FoundDifference {
        FoundDifference {
            batch: BatchId::of(self.id()),
            ordinal: self.random.u32(..),
            class: self.of(&Class::ALL),
            difference: DifferenceId::of(self.id()),
        }
    }

    pub(super) fn difference(&mut self) -> Difference {
        Difference {
            id: DifferenceId::of(self.id()),
            version: self.random.u32(..),
            channel: self.channel(),
            class: self.of(&Class::ALL),
            key: self.of(&KEYS),
            line: self.maybe(|draw| LineSide {
                date: draw.date(),
                digest: draw.digest(),
                line: draw.random.u32(..),
                order_no: draw.text(40),
                reference: draw.text(40),
                item: draw.maybe(Self::item),
                unreadable: draw.maybe(|draw| (draw.text(30), draw.text(90))),
            }),
            record: self.maybe(|draw| RecordSide {
                date: draw.date(),
                channel_order_no: draw.number(),
                reference: draw.maybe(|draw| draw.text(32)),
                item: draw.item(),
            }),
            state: self.of(&DifferenceState::ALL),
            found_by: BatchId::of(self.id()),
            changed_by: BatchId::of(self.id()),
            opened_at: self.time(),
            due_at: self.maybe(Self::time),
            held: self.several(2, |draw| Gap {
                currency: draw.currency(),
                principal_minor: draw.any(),
                fee_minor: draw.any(),
            }),
            accounting_sequence: self.random.u16(..),
            remedy: self.maybe(|draw| (draw.of(&Remedy::ALL), draw.text(60))),
            history: self
                .several(32, |draw| DifferenceEvent { at: draw.time(), what: draw.text(60) }),
        }
    }

    fn settled(&mut self) -> SettledAmounts {
        let (principal_minor, fee_minor) = (self.any(), self.any());
        SettledAmounts {
            principal_minor,
            fee_minor,
            net_minor: principal_minor.wrapping_sub(fee_minor),
        }
    }

    pub(super) fn settlement(&mut self) -> ChannelSettlement {
        ChannelSettlement {
            id: SettlementId::of(self.id()),
            version: self.random.u32(..),
            channel: self.channel(),
            from: self.date(),
            to: self.date(),
            currency: self.currency(),
            receipts: self.several(4, |draw| BankReceipt {
                bank_reference: draw.text(30),
                received_minor: draw.any(),
                received_on: draw.date(),
                at: draw.time(),
                by: draw.text(20),
            }),
            expected: self.settled(),
            state: self.of(&SettlementState::ALL),
            reasons: self.several(3, |draw| draw.text(60)),
            opened_at: self.time(),
            agreed_at: self.maybe(Self::time),
            accounting_sequence: self.random.u16(..),
        }
    }

    pub(super) fn settled_date(&mut self) -> SettledDate {
        SettledDate {
            version: self.random.u32(..),
            channel: self.channel(),
            date: self.date(),
            currency: self.currency(),
            settled: self.settled(),
            by: SettlementId::of(self.id()),
        }
    }
}

fn channel() -> ChannelId {
    ChannelId::from_stored("unionpay")
}

fn batch() -> BatchId {
    BatchId::of(first_id())
}

fn item() -> Item {
    Item {
        movement: Operation::Payment,
        amount_minor: 12_345,
        fee_minor: Some(74),
        currency: Currency::Cny,
        status: Status::Succeeded,
        date: Some(date()),
    }
}

pub(super) fn close() -> DayClose {
    let totals =
        ClearingTotals { records: 3, principal_minor: 12_345, fee_minor: -74, net_minor: 12_419 };
    DayClose {
        channel: channel(),
        date: date(),
        totals: vec![(Currency::Cny, totals), (Currency::Hkd, ClearingTotals::default())],
        sha256: [7; 32],
        by: "switchyard".to_owned(),
        at: moment(1),
    }
}

pub(super) fn days() -> (ChannelId, ClearingDays) {
    let (closed_through, shut_through) = (Some(date()), Some(date().next()));
    (channel(), ClearingDays { closed_through, shut_through })
}

pub(super) fn statement() -> StatementRevision {
    StatementRevision {
        channel: channel(),
        date: date(),
        revision: 2,
        sha256: [9; 32],
        name: "INN26112288ZM".to_owned(),
        bytes: 1_000_000,
        origin: StatementOrigin::Inbox,
        by: "switchyard".to_owned(),
        at: moment(2),
    }
}

/// A batch with every optional field.
pub(super) fn reconciliation() -> Reconciliation {
    let mut totals = Totals::default();
    let refund = Item { amount_minor: -5, fee_minor: None, currency: Currency::Aud, ..item() };
    totals.add(Class::Matched, Some(&item()), Some(&item()));
    totals.add(Class::OnlyTheirs, Some(&refund), None);
    totals.bad_lines = 1;
    totals.not_due = Tally::from_sums([(
        Currency::Usd,
        Sums { count: 1 << 33, amount_minor: -(1 << 70), fee_minor: 1 << 64 },
    )]);
    let (theirs, ours) = totals.sides();
    Reconciliation {
        id: batch(),
        version: 3,
        channel: channel(),
        date: date(),
        revision: 2,
        state: BatchState::Superseded,
        by: "ann".to_owned(),
        started_at: moment(3),
        finished_at: Some(moment(4)),
        reason: Some("why".to_owned()),
        report: BatchReport {
            totals,
            theirs,
            ours,
            lines: 5,
            differences: 1,
            proven: 1,
            problems: vec![FileProblem {
                kind: "count_differs".to_owned(),
                line: 5,
                detail: "4 lines, 5 are said".to_owned(),
            }],
        },
    }
}

pub(super) fn found() -> FoundDifference {
    FoundDifference {
        batch: batch(),
        ordinal: 7,
        class: Class::OnlyTheirs,
        difference: DifferenceId::of(first_id()),
    }
}

/// A difference with every optional field.
pub(super) fn difference() -> Difference {
    let number = ChannelOrderNo { order: first_id(), attempt: 1 };
    Difference {
        id: DifferenceId::of(first_id()),
        version: 4,
        channel: channel(),
        class: Class::AmountShort,
        key: MatchKey::Reference,
        line: Some(LineSide {
            date: date(),
            digest: [5; 16],
            line: 9,
            order_no: number.to_string(),
            reference: "Q7".to_owned(),
            item: Some(Item { amount_minor: 12_000, ..item() }),
            unreadable: Some(("no amount".to_owned(), "Q7|x".to_owned())),
        }),
        record: Some(RecordSide {
            date: date(),
            channel_order_no: number,
            reference: Some("Q7".to_owned()),
            item: item(),
        }),
        state: DifferenceState::Carried,
        found_by: batch(),
        changed_by: batch(),
        opened_at: moment(5),
        due_at: Some(moment(6)),
        held: vec![Gap { currency: Currency::Cny, principal_minor: -345, fee_minor: 2 }],
        accounting_sequence: 3,
        remedy: Some((Remedy::ProfitOrLoss, "it is too small".to_owned())),
        history: vec![DifferenceEvent { at: moment(5), what: "found".to_owned() }],
    }
}

fn settled() -> SettledAmounts {
    SettledAmounts { principal_minor: 12_345, fee_minor: 74, net_minor: 12_271 }
}

pub(super) fn settlement() -> ChannelSettlement {
    ChannelSettlement {
        id: SettlementId::of(first_id()),
        version: 2,
        channel: channel(),
        from: date(),
        to: date(),
        currency: Currency::Cny,
        receipts: vec![BankReceipt {
            bank_reference: "B-1".to_owned(),
            received_minor: -12_271,
            received_on: date(),
            at: moment(7),
            by: "ann".to_owned(),
        }],
        expected: settled(),
        state: SettlementState::Differs,
        reasons: vec!["too much".to_owned()],
        opened_at: moment(7),
        agreed_at: Some(moment(8)),
        accounting_sequence: 1,
    }
}

pub(super) fn settled_date() -> SettledDate {
    SettledDate {
        version: 2,
        channel: channel(),
        date: date(),
        currency: Currency::Cny,
        settled: settled(),
        by: SettlementId::of(first_id()),
    }
}

impl SampleTable for ShutDays {
    fn fixed() -> Vec<(ChannelId, ClearingDays)> {
        vec![days()]
    }

    fn draw(draw: &mut Draw) -> (ChannelId, ClearingDays) {
        draw.days()
    }
}

impl SampleTable for DayCloses {
    fn fixed() -> Vec<DayClose> {
        vec![close()]
    }

    fn draw(draw: &mut Draw) -> DayClose {
        draw.close()
    }
}

impl SampleTable for Statements {
    fn fixed() -> Vec<StatementRevision> {
        vec![statement()]
    }

    fn draw(draw: &mut Draw) -> StatementRevision {
        draw.statement()
    }
}

impl SampleTable for Reconciliations {
    fn fixed() -> Vec<Reconciliation> {
        vec![reconciliation()]
    }

    fn draw(draw: &mut Draw) -> Reconciliation {
        draw.reconciliation()
    }

    fn hold(row: &Reconciliation) {
        head_fits::<Self>(row);
    }
}

impl SampleTable for FoundDifferences {
    fn fixed() -> Vec<FoundDifference> {
        vec![found()]
    }

    fn draw(draw: &mut Draw) -> FoundDifference {
        draw.found()
    }
}

impl SampleTable for AgreedLines {
    fn fixed() -> Vec<AgreedPart> {
        vec![AgreedPart { batch: batch(), part: 0, lines: vec![1, 2, 255] }]
    }

    fn draw(draw: &mut Draw) -> AgreedPart {
        let lines = draw.several(90, |draw| draw.random.u8(..));
        AgreedPart { batch: BatchId::of(draw.id()), part: draw.random.u32(..), lines }
    }
}

impl SampleTable for Differences {
    fn fixed() -> Vec<Difference> {
        vec![difference()]
    }

    fn draw(draw: &mut Draw) -> Difference {
        draw.difference()
    }

    fn hold(row: &Difference) {
        head_fits::<Self>(row);
    }
}

impl SampleTable for Settlements {
    fn fixed() -> Vec<ChannelSettlement> {
        vec![settlement()]
    }

    fn draw(draw: &mut Draw) -> ChannelSettlement {
        draw.settlement()
    }

    fn hold(row: &ChannelSettlement) {
        head_fits::<Self>(row);
    }
}

impl SampleTable for SettledDates {
    fn fixed() -> Vec<SettledDate> {
        vec![settled_date()]
    }

    fn draw(draw: &mut Draw) -> SettledDate {
        draw.settled_date()
    }

    fn hold(row: &SettledDate) {
        head_fits::<Self>(row);
    }
}
