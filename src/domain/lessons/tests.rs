//! What teaches, and what does not; and a proposal's life.

use super::*;
use crate::domain::attempt::Operation;
use crate::domain::bin::proposal::{
    BinProposal, BinProposalDecision, BinProposalId, BinProposalState,
};
use crate::domain::bin::{BinTable, Brand, CardBrands, IssuerChanges, RowMarks, StatedDate};
use crate::domain::books::difference::{DifferenceState, LineSide, RecordSide};
use crate::domain::books::reconcile::{Item, MatchKey, Status};
use crate::domain::card::{CardDigests, CardFacts, MaskedPan};
use crate::domain::fee::{FeeRule, RefundFee};
use crate::domain::ids::{BatchId, ChannelId, ChannelOrderNo, DifferenceId, MerchantId, OrderId};
use crate::domain::money::{AMOUNT_MINOR_MAX, AmountMinor, Currency};
use crate::domain::order::Instruction;
use crate::domain::time::BusinessDate;

const AMOUNT: i64 = 10_000;

fn id(sequence: u64) -> OrderId {
    OrderId::compose(261_122, 1, sequence)
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_millis(1_795_334_400_000 + second * 1_000)
}

fn row() -> BinRow {
    BinRow {
        bin: Bin::parse("621626").expect("a BIN"),
        pan_length: 19,
        issuer_code: "04100000".to_owned(),
        issuer_name: "平安银行".to_owned(),
        card_name: String::new(),
        card_type: CardType::Debit,
        brands: CardBrands::one(Brand::UnionPay),
    }
}

/// An order by the card of this number.
fn order(sequence: u64, card: u128) -> Order {
    let merchant = MerchantId::parse("m-1").expect("an id");
    let amount = AmountMinor::new(AMOUNT).expect("an amount");
    let mut asked = Instruction::unsent(OrderKind::Payment, merchant, amount, Currency::Cny);
    let masked = MaskedPan::from_stored("621626*********0018");
    let digests = CardDigests { pan: card, ..CardDigests::default() };
    asked.instrument = Some(CardFacts { masked, digests, row: Some(Arc::new(row())) }.into());
    Order::accepted(id(sequence), asked, at(0))
}

/// Fees in parts per million, by card type.
fn fees(rates: &[(&[CardType], u32)]) -> FeeSchedule {
    let rule = |(types, rate_ppm): &(&[CardType], u32)| FeeRule {
        name: "one".to_owned(),
        from: None,
        until: None,
        is_payout: false,
        card_types: types.to_vec(),
        categories: Vec::new(),
        from_minor: 0,
        to_minor: AMOUNT_MINOR_MAX,
        rate_ppm: *rate_ppm,
        fixed_minor: 0,
        minimum_minor: 0,
        cap_minor: None,
        refund: RefundFee::Keep,
    };
    FeeSchedule { rules: rates.iter().map(rule).collect() }
}

fn usual() -> FeeSchedule {
    fees(&[
        (&[CardType::Debit], 3_500),
        (&[CardType::Credit, CardType::QuasiCredit], 6_000),
        (&[CardType::Prepaid], 4_000),
    ])
}

/// A statement charges this for the order, and our record has that.
fn difference(sequence: u64, charged: i64, booked: i64) -> Difference {
    let date = BusinessDate::from_yyyymmdd(20_261_122).expect("a date");
    let item = |fee: i64| Item {
        movement: Operation::Payment,
        amount_minor: AMOUNT,
        fee_minor: Some(fee),
        currency: Currency::Cny,
        status: Status::Succeeded,
        date: Some(date),
    };
    Difference {
        id: DifferenceId::from_u64(sequence),
        version: 1,
        channel: ChannelId::from_stored("bank"),
        class: Class::FeeDiffers,
        key: MatchKey::OrderNo,
        line: Some(LineSide {
            date,
            digest: [0; 16],
            line: 1,
            order_no: String::new(),
            reference: String::new(),
            item: Some(item(charged)),
            unreadable: None,
        }),
        record: Some(RecordSide {
            date,
            channel_order_no: ChannelOrderNo { order: id(sequence), attempt: 1 },
            reference: None,
            item: item(booked),
        }),
        state: DifferenceState::Suspended,
        found_by: BatchId::from_u64(1),
        changed_by: BatchId::from_u64(1),
        opened_at: at(5),
        due_at: None,
        held: Vec::new(),
        accounting_sequence: 0,
        remedy: None,
        history: Vec::new(),
    }
}

fn taught(charged: i64, booked: i64, fees: &FeeSchedule) -> Option<BinFact> {
    of_fee(&difference(1, charged, booked), &order(1, 1), fees, at(9)).map(|(fact, _)| fact)
}

#[test]
fn a_fee_that_is_exactly_another_types_teaches_that_type() {
    assert_eq!(taught(60, 35, &usual()), Some(BinFact::Credit), "the first of both that have it");
    assert_eq!(taught(40, 35, &usual()), Some(BinFact::Prepaid));
    assert_eq!(taught(61, 35, &usual()), None, "nobody's fee");
    assert_eq!(taught(60, 30, &usual()), None, "the books go by other terms");
    let one_for_all = fees(&[(&[], 3_500)]);
    assert_eq!(taught(60, 35, &one_for_all), None);
    let mut amount = difference(1, 60, 35);
    amount.class = Class::AmountShort;
    assert_eq!(of_fee(&amount, &order(1, 1), &usual(), at(9)), None);
    let mut refund = difference(1, 60, 35);
    if let Some(record) = &mut refund.record {
        record.item.movement = Operation::Refund;
    }
    assert_eq!(of_fee(&refund, &order(1, 1), &usual(), at(9)), None, "a fee that comes back");
    let (_, evidence) =
        of_fee(&difference(1, 60, 35), &order(1, 1), &usual(), at(9)).expect("a lesson");
    let told = "the statement of 2026-11-22 charges 60 minor units, which is the fee of credit, \
                quasi_credit; that of debit is 35";
    assert_eq!((evidence.told.as_str(), evidence.order), (told, id(1)));
}

#[test]
fn three_orders_bear_a_fee_out_and_one_counts_once() {
    let tally = |orders: &[u64]| {
        let mut tally = FactTally::default();
        for sequence in orders {
            let order = order(*sequence, 1);
            let found = of_fee(&difference(*sequence, 60, 35), &order, &usual(), at(9));
            let (fact, evidence) = found.expect("a lesson");
            tally.learn(row_of(&order).expect("a row"), fact, evidence);
        }
        let borne_out = tally.take_borne_out();
        borne_out.iter().map(|(_, fact, found)| (*fact, found.len())).collect::<Vec<_>>()
    };
    assert_eq!(tally(&[1, 2, 2, 1]), []);
    assert_eq!(tally(&[1, 2, 3]), [(BinFact::Credit, 3)]);
}

fn attempt(state: AttemptState, reason: Option<Reason>) -> Attempt {
    Attempt {
        number: 1,
        channel: ChannelId::from_stored("bank"),
        operation: Operation::Payment,
        state,
        sent_at: at(1),
        announced_at: None,
        channel_reference: None,
        acknowledged_at: None,
        code: Some("14".to_owned()),
        reason,
        unknown_cause: None,
        objection: None,
        unresolved_at: None,
        ended_at: Some(at(2)),
        ended_by: None,
        sealed_pan: None,
    }
}

#[test]
fn a_channels_word_teaches_where_the_table_has_another_type() {
    let paid = |sequence| {
        let mut order = order(sequence, 1);
        order.attempts.push(attempt(AttemptState::Approved, None));
        order
    };
    let word = |source, card_type| CardWord { attempt: 1, source, card_type };
    let of = |order: &Order, word| of_word(order, word, at(9)).map(|(_, fact, one)| (fact, one));
    let credit = word(Source::Inquiry, CardType::Credit);
    assert_eq!(of(&paid(1), word(Source::Reply, CardType::Debit)), None, "the table's own");
    assert_eq!(of(&order(1, 1), credit), None, "no attempt of it");
    let mut unknown_card = paid(1);
    unknown_card.instruction.instrument = None;
    assert_eq!(of(&unknown_card, credit), None, "no row");
    let mut payout = paid(1);
    payout.instruction.kind = OrderKind::Payout;
    assert_eq!(of(&payout, credit), None, "whose card it is, is another question");
    let (fact, evidence) = of(&paid(1), credit).expect("a lesson");
    let told = "the channel's inquiry names the card credit; the table has debit";
    assert_eq!((fact, evidence.source), (BinFact::Credit, BinEvidenceSource::Message));
    assert_eq!((evidence.order, evidence.told.as_str()), (id(1), told));
    let (_, evidence) = of(&paid(1), word(Source::Statement, CardType::Prepaid)).expect("another");
    assert_eq!(evidence.source, BinEvidenceSource::Statement);
}

#[test]
fn what_is_heard_waits_for_its_third_order_and_is_forgotten_in_time() {
    let evidence = |sequence| BinEvidence { at: at(sequence as i64), ..evidence_of(sequence) };
    let row = Arc::new(row());
    let mut tally = FactTally::default();
    for sequence in [1, 2] {
        tally.learn(&row, BinFact::Credit, evidence(sequence));
    }
    assert!(tally.take_borne_out().is_empty());
    tally.forget_before(at(2));
    tally.learn(&row, BinFact::Credit, evidence(3));
    assert!(tally.take_borne_out().is_empty(), "the first is forgotten");
    tally.learn(&row, BinFact::Credit, evidence(4));
    let borne_out = tally.take_borne_out();
    assert_eq!(borne_out.iter().map(|(_, _, found)| found.len()).collect::<Vec<_>>(), [3]);
    assert!(tally.take_borne_out().is_empty(), "each is told once");
}

#[test]
fn ten_cards_that_no_channel_knows_bear_out_a_dead_row() {
    let refused = |sequence, card, reason| {
        let mut order = order(sequence, card);
        order.attempts.push(attempt(AttemptState::Declined, Some(reason)));
        order
    };
    let mut tally = RefusalTally::default();
    for sequence in 0..30 {
        // Nine cards, each several times; and another kind of refusal.
        tally.learn(&refused(sequence, u128::from(sequence % 9), Reason::InvalidCard));
        tally.learn(&refused(100 + sequence, 50, Reason::InsufficientFunds));
    }
    assert_eq!(RefusalTally { rows: tally.rows.clone() }.borne_out().count(), 0);
    tally.learn(&refused(200, 9, Reason::InvalidCard));
    let found: Vec<_> = tally.borne_out().collect();
    assert_eq!(
        found.iter().map(|(row, cards)| (row.key(), cards.len())).collect::<Vec<_>>(),
        [(row().key(), 10)]
    );
}

fn evidence_of(sequence: u64) -> BinEvidence {
    BinEvidence {
        source: BinEvidenceSource::Fee,
        order: id(sequence),
        channel: ChannelId::from_stored("bank"),
        at: at(1),
        told: String::new(),
    }
}

fn evidence(sequences: std::ops::Range<u64>) -> Vec<BinEvidence> {
    sequences.map(evidence_of).collect()
}

#[test]
fn a_proposal_grows_by_new_orders_and_ends_by_one_word() {
    let opened = BinProposal::open((BinFact::Credit, &row(), 4), evidence(1..4), at(10));
    assert_eq!((opened.orders, opened.newest, opened.version), (3, id(3), 1));
    assert_eq!(opened.learn(evidence(1..4), 4, at(11)), None, "they are counted");
    let grown = opened.learn(evidence(2..20), 4, at(11)).expect("news");
    assert_eq!((grown.orders, grown.evidence.len(), grown.version), (19, EVIDENCE_MAX, 2));
    assert_eq!(grown.evidence.first().map(|one| one.order), Some(id(12)), "the newest are kept");
    let decision = |bin_table| BinProposalDecision {
        by: "ann".to_owned(),
        at: at(12),
        reason: "a letter".to_owned(),
        bin_table,
    };
    let refused = grown.refused(decision(None)).expect("it is open");
    assert_eq!(refused.learn(evidence(30..40), 4, at(13)), None, "for good");
    assert_eq!(refused.accepted(decision(Some(5))), None);
    let accepted = grown.accepted(decision(Some(5))).expect("it is open");
    assert_eq!((accepted.state, accepted.version), (BinProposalState::Accepted, 3));
    // The caller has seen that the table does not say it any more.
    let again = accepted.learn(evidence(30..31), 6, at(13)).expect("news");
    assert_eq!((again.state, again.bin_table, &again.decision), (BinProposalState::Open, 6, &None));
    assert_eq!(grown.overtaken(at(14)).map(|row| row.state), Some(BinProposalState::Overtaken));
    assert_eq!(accepted.overtaken(at(14)), None);
}

#[test]
fn a_table_is_put_right_in_one_row_alone() {
    let other = BinRow { bin: Bin::parse("622848").expect("a BIN"), ..row() };
    let marks = RowMarks { as_of: StatedDate::parse("2018"), retired: None };
    let rows = vec![(row(), marks), (other.clone(), marks)];
    let table = BinTable::build(rows, IssuerChanges::default()).expect("a table");
    let today = StatedDate::parse("2026-11-22").expect("a date");
    for (fact, card_type, retired) in [
        (BinFact::Credit, CardType::Credit, None),
        (BinFact::Retired, CardType::Debit, Some(today)),
    ] {
        let id = BinProposalId::of(&row(), fact);
        assert_eq!(BinProposalId::parse(&id.to_string()), Some(id));
        assert!(!id.is_settled_by(&table));
        let right = id.put_right(&table, today).expect("the row").expect("a table");
        assert!(id.is_settled_by(&right));
        let put = right.row(id.bin, id.pan_length).expect("the row");
        let said = right.marks(put);
        assert_eq!((put.card_type, said.retired, said.as_of), (card_type, retired, Some(today)));
        let left = right.row(other.bin, 19).expect("the other row");
        assert_eq!((&**left, right.marks(left)), (&other, marks));
    }
    let gone = BinProposalId { pan_length: 16, ..BinProposalId::of(&row(), BinFact::Credit) };
    assert!(gone.is_settled_by(&table) && gone.put_right(&table, today).is_none());
    for text in ["621626", "621626-19", "621626-20-debit", "621626-019-debit", "x-19-debit"] {
        assert_eq!(BinProposalId::parse(text), None, "{text}");
    }
}
