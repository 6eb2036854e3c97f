//! What a channel does with a card beside orders.

use switchyard::domain::agreement::{Agreement, AgreementFilter, AgreementRequest};
use switchyard::domain::approval::{ApprovalRequest, HeldAction, HeldBinTable, OperatorKey};
use switchyard::domain::bin::proposal::{
    BinEvidence, BinEvidenceSource, BinFact, BinProposal, BinProposalDecision,
};
use switchyard::domain::bin::{Bin, BinRow, Brand, CardBrands, CardType};
use switchyard::domain::card::{CardDigests, CardFacts, MaskedPan};
use switchyard::domain::ids::{
    AgreementId, ApprovalId, CallerId, CallerOrderId, ChannelId, MerchantId, VerificationId,
};
use switchyard::domain::money::{AmountMinor, Currency};
use switchyard::domain::outcome::{Approval, Outcome};
use switchyard::domain::payment_code::{CodePayer, CodedKind, PaymentCode, PaymentCodeRequest};
use switchyard::domain::time::Present;
use switchyard::domain::verification::{CardVerification, VerificationRequest};
use switchyard::domain::write_set::WriteSet;
use switchyard::store::{AgreementPage, Store};

use crate::support::books::{channel, id, moment, order};
use crate::{commit, read, refuse};

pub fn verification(sequence: u64, caller: &str, caller_order_id: &str) -> CardVerification {
    let asked = VerificationRequest {
        caller: CallerId::from_stored(caller),
        caller_order_id: CallerOrderId::from_stored(caller_order_id),
        merchant_id: MerchantId::from_stored("m-1"),
        digests: CardDigests { pan: 5, holder: 6, ..CardDigests::default() },
    };
    CardVerification::begun(VerificationId::of(id(sequence)), asked, channel(), moment(0))
}

fn writes(rows: &[CardVerification]) -> WriteSet {
    WriteSet { verifications: rows.to_vec(), ..WriteSet::default() }
}

pub fn agreement(sequence: u64, caller: &str, caller_order_id: &str, merchant: &str) -> Agreement {
    let digests = CardDigests { pan: 5, phone: 6, ..CardDigests::default() };
    let masked = MaskedPan::from_stored("621626*********0018");
    let asked = AgreementRequest {
        caller: CallerId::from_stored(caller),
        caller_order_id: CallerOrderId::from_stored(caller_order_id),
        merchant_id: MerchantId::from_stored(merchant),
        card: CardFacts { masked, digests, row: None },
        phone: "138****8000".to_owned(),
    };
    Agreement::begun(AgreementId::of(id(sequence)), asked, channel(), moment(0))
}

fn agreements(rows: &[Agreement]) -> WriteSet {
    WriteSet { agreements: rows.to_vec(), ..WriteSet::default() }
}

pub async fn i_9_a_caller_uses_an_id_of_an_agreement_once(store: &dyn Store) {
    let of = async |caller: &str, id: &str| {
        let (caller, id) = (CallerId::from_stored(caller), CallerOrderId::from_stored(id));
        read(store.agreement_by_caller(caller, id)).await
    };
    let first = agreement(1, "core", "G-1", "m-1");
    commit(store, agreements(std::slice::from_ref(&first))).await;
    assert_eq!(of("core", "G-1").await, Some(first.clone()));
    assert_eq!((of("core", "G-").await, of("cor", "G-1").await), (None, None));
    refuse(store, agreements(&[agreement(2, "core", "G-1", "m-1")]), "an id that was used").await;
    commit(store, agreements(&[agreement(2, "other", "G-1", "m-1")])).await;
    let outcome = Outcome::Approved(Approval { code: "00".to_owned(), ..Approval::default() });
    let sent = first.learn(&outcome, None, "respCode=00".to_owned(), moment(5));
    commit(store, agreements(std::slice::from_ref(&sent))).await;
    refuse(store, agreements(&[first.lost(moment(9))]), "version 2 over 2").await;
    assert_eq!(of("core", "G-1").await, Some(sent.clone()));
    assert_eq!(read(store.agreement(first.id)).await, Some(sent));
    assert_eq!(read(store.agreement(AgreementId::of(id(9)))).await, None);
}

pub fn code(sequence: u64, caller: &str, caller_order_id: &str) -> PaymentCode {
    let asked = PaymentCodeRequest {
        caller: CallerId::from_stored(caller),
        caller_order_id: CallerOrderId::from_stored(caller_order_id),
        kind: CodedKind::Payment,
        merchant_id: MerchantId::from_stored("m-1"),
        amount: AmountMinor::new(1_230).expect("an amount"),
        currency: Currency::Cny,
        payer: CodePayer::Card { pan: 5 },
    };
    PaymentCode::begun(asked, channel(), id(sequence), moment(0))
}

fn codes(rows: &[PaymentCode]) -> WriteSet {
    WriteSet { payment_codes: rows.to_vec(), ..WriteSet::default() }
}

/// One row for a caller's id; a code is spent once, by the commit that has its order.
pub async fn i_9_a_caller_has_one_code_for_an_id_and_spends_it_once(store: &dyn Store) {
    let of = async |caller: &str, id: &str| {
        let (caller, id) = (CallerId::from_stored(caller), CallerOrderId::from_stored(id));
        read(store.payment_code(caller, id)).await
    };
    let first = code(1, "core", "A-1");
    assert_eq!(of("core", "A-1").await, None);
    commit(store, codes(std::slice::from_ref(&first))).await;
    assert_eq!(of("core", "A-1").await, Some(first.clone()));
    assert_eq!((of("core", "A-").await, of("cor", "A-1").await), (None, None));
    refuse(store, codes(&[code(2, "core", "A-1")]), "an id that was used").await;
    commit(store, codes(&[code(3, "other", "A-1"), code(4, "core", "A-11")])).await;
    let outcome = Outcome::Approved(Approval { code: "00".to_owned(), ..Approval::default() });
    let sent = first.learn(&outcome, moment(5));
    commit(store, codes(std::slice::from_ref(&sent))).await;
    refuse(store, codes(&[first.lost(moment(9))]), "version 2 over 2").await;
    let by_agreement = {
        let mut row = code(5, "core", "A-2");
        row.asked.payer = CodePayer::Agreement(AgreementId::of(id(7)));
        row
    };
    commit(store, codes(std::slice::from_ref(&by_agreement))).await;
    assert_eq!(of("core", "A-2").await, Some(by_agreement));
    let spent = sent.spent(moment(7));
    let with_order = |sequence| WriteSet {
        orders: vec![order(sequence)],
        ..codes(std::slice::from_ref(&spent))
    };
    commit(store, with_order(1)).await;
    assert_eq!(of("core", "A-1").await, Some(spent.clone()));
    refuse(store, with_order(2), "a code that was spent").await;
    assert_eq!(read(store.order(id(2))).await, None, "neither row is written");
}

fn ids(page: &AgreementPage) -> Vec<String> {
    page.agreements.iter().map(|row| row.asked.caller_order_id.to_string()).collect()
}

/// A page goes on behind its last row, and a filter that takes few shows no row of others.
pub async fn agreements_are_found_by_caller_and_card(store: &dyn Store) {
    let rows = [
        (1, "core", "m-1", "621626*********0018", 5),
        (2, "other", "m-1", "621626*********0018", 5),
        (3, "core", "m-2", "621626*********0026", 7),
        (4, "core", "m-2", "622202*********0018", 8),
        (5, "core", "m-2", "621626*********0018", 5),
    ];
    for (sequence, caller, merchant, masked, pan) in rows {
        let mut row = agreement(sequence, caller, &format!("G-{sequence}"), merchant);
        row.asked.card.masked = MaskedPan::from_stored(masked);
        row.asked.card.digests.pan = pan;
        commit(store, agreements(&[row])).await;
    }
    let find = async |filter: &AgreementFilter, after: Option<u64>, limit| {
        let after = after.map(|sequence| AgreementId::of(id(sequence)));
        let page = read(store.search_agreements(filter.clone(), after, limit)).await;
        (ids(&page), page.next)
    };
    let behind = |sequence| Some(AgreementId::of(id(sequence)));
    let any = AgreementFilter::default();
    let core = Some(CallerId::from_stored("core"));
    let of_core = AgreementFilter { caller: core.clone(), ..any.clone() };
    assert_eq!(
        find(&any, None, 3).await,
        (vec!["G-1".into(), "G-2".into(), "G-3".into()], behind(3))
    );
    assert_eq!(find(&any, Some(3), 3).await, (vec!["G-4".into(), "G-5".into()], None));
    assert_eq!(find(&of_core, None, 2).await, (vec!["G-1".into(), "G-3".into()], behind(3)));
    let merchant_id = Some(MerchantId::from_stored("m-1"));
    let of_both = AgreementFilter { caller: core, merchant_id, ..any.clone() };
    assert_eq!(find(&of_both, None, 1).await, (vec!["G-1".into()], behind(1)));
    assert_eq!(find(&of_both, Some(1), 1).await, (vec![], None), "the other one's is not seen");
    let digits = |text: &str| Some(text.to_owned());
    let by_ends =
        AgreementFilter { first_six: digits("621626"), last_four: digits("0018"), ..any.clone() };
    assert_eq!(find(&by_ends, None, 9).await.0, ["G-1", "G-2", "G-5"]);
    let by_last = AgreementFilter { last_four: digits("0018"), ..any.clone() };
    assert_eq!(find(&by_last, None, 9).await.0, ["G-1", "G-2", "G-4", "G-5"]);
    let by_number = AgreementFilter { pan_digest: Some(7), ..any };
    assert_eq!(find(&by_number, None, 9).await, (vec!["G-3".into()], None));
}

pub async fn agreements_are_listed_by_merchant(store: &dyn Store) {
    for (sequence, merchant) in [(1, "m-1"), (2, "m-2"), (3, "m-1"), (4, "m-11"), (5, "m-1")] {
        let row = agreement(sequence, "core", &format!("G-{sequence}"), merchant);
        commit(store, agreements(&[row])).await;
    }
    let list = async |merchant: &str, after: Option<u64>, limit| {
        let after = after.map(|sequence| AgreementId::of(id(sequence)));
        let merchant_id = Some(MerchantId::from_stored(merchant));
        let filter = AgreementFilter { merchant_id, ..AgreementFilter::default() };
        ids(&read(store.search_agreements(filter, after, limit)).await)
    };
    assert_eq!(list("m-1", None, 10).await, ["G-1", "G-3", "G-5"]);
    assert_eq!(list("m-1", Some(1), 1).await, ["G-3"]);
    assert_eq!(list("m-1", Some(5), 10).await, Vec::<String>::new());
    assert_eq!(list("m-11", None, 10).await, ["G-4"]);
    assert_eq!(list("m", None, 10).await, Vec::<String>::new());
}

pub async fn i_9_a_caller_uses_an_id_of_a_verification_once(store: &dyn Store) {
    let of = async |caller: &str, id: &str| {
        let (caller, id) = (CallerId::from_stored(caller), CallerOrderId::from_stored(id));
        read(store.verification_by_caller(caller, id)).await
    };
    let first = verification(1, "core", "V-1");
    assert_eq!(of("core", "V-1").await, None);
    commit(store, writes(std::slice::from_ref(&first))).await;
    assert_eq!(of("core", "V-1").await, Some(first.clone()));
    assert_eq!((of("core", "V-").await, of("cor", "V-1").await), (None, None));
    refuse(store, writes(&[verification(2, "core", "V-1")]), "an id that was used").await;
    let both = [verification(3, "core", "V-3"), verification(4, "core", "V-3")];
    refuse(store, writes(&both), "one id in two of a write set").await;
    assert_eq!(of("core", "V-3").await, None);
    commit(store, writes(&[verification(2, "other", "V-1")])).await;
    refuse(store, writes(std::slice::from_ref(&first)), "version 1 over 1").await;
    let outcome = Outcome::Approved(Approval { code: "00".to_owned(), ..Approval::default() });
    let ended = first.learn(&outcome, None, moment(7));
    commit(store, writes(std::slice::from_ref(&ended))).await;
    refuse(store, writes(&[first.lost(moment(9))]), "version 2 over 2").await;
    assert_eq!(of("core", "V-1").await, Some(ended.clone()));
    assert_eq!(read(store.verification(first.id)).await, Some(ended));
    assert_eq!(read(store.verification(VerificationId::of(id(9)))).await, None);
}

fn approvals(rows: &[ApprovalRequest]) -> WriteSet {
    WriteSet { approvals: rows.to_vec(), ..WriteSet::default() }
}

fn operator(person: &str) -> OperatorKey {
    OperatorKey { name: CallerId::from_stored(person), person: CallerId::from_stored(person) }
}

pub fn asked(sequence: u64, action: HeldAction) -> ApprovalRequest {
    let asked = (operator("ann"), "the bank's call".to_owned());
    ApprovalRequest::ask(ApprovalId::of(id(sequence)), action, asked, (moment(0), moment(9)))
}

pub fn switch(name: &str, enabled: bool) -> HeldAction {
    HeldAction::Switch { channel: ChannelId::from_stored(name), enabled }
}

pub async fn i_14_of_requests_that_wait_one_is_about_each_thing(store: &dyn Store) {
    let waiting =
        async |action: &HeldAction| read(store.approval_waiting_on(action)).await.map(|row| row.id);
    let ids = |rows: Vec<ApprovalRequest>| rows.into_iter().map(|row| row.id).collect::<Vec<_>>();
    let first = asked(1, switch("bank", true));
    commit(store, approvals(std::slice::from_ref(&first))).await;
    assert_eq!(waiting(&switch("bank", false)).await, Some(first.id), "about the same thing");
    assert_eq!(waiting(&switch("ban", true)).await, None);
    refuse(store, approvals(&[asked(2, switch("bank", false))]), "a second about it").await;
    let bytes = vec![7; 8 * 1024 * 1024];
    let table = HeldAction::BinTable(HeldBinTable {
        sha256: [7; 32],
        length: 8 * 1024 * 1024,
        source: "uploaded".to_owned(),
        as_of: None,
        version: 1,
        complaint: "few rows".to_owned(),
        bytes: Some(bytes),
    });
    let large = asked(3, table);
    commit(store, approvals(std::slice::from_ref(&large))).await;
    assert_eq!(read(store.approval(large.id)).await, Some(large.clone()), "the largest there is");
    let listed = read(store.waiting_approvals(None, 10)).await;
    assert_eq!(ids(listed), [first.id, large.id], "the oldest first");
    assert_eq!(ids(read(store.waiting_approvals(Some(first.id), 10)).await), [large.id]);
    let present = Present::certain(moment(1));
    let approved = first.approve(&operator("bo"), None, &present).expect("a second person");
    commit(store, approvals(std::slice::from_ref(&approved))).await;
    assert_eq!(waiting(&switch("bank", true)).await, Some(first.id), "it is not carried out");
    refuse(store, approvals(&[asked(4, switch("bank", false))]), "as long as it waits").await;
    refuse(store, approvals(std::slice::from_ref(&approved)), "version 2 over 2").await;
    let done = approved.carried_out(approved.version, moment(2), None);
    commit(store, approvals(std::slice::from_ref(&done))).await;
    assert_eq!(read(store.approval(first.id)).await, Some(done));
    assert_eq!(waiting(&switch("bank", true)).await, None);
    commit(store, approvals(&[asked(4, switch("bank", false))])).await;
    let ended = large.expired(moment(10));
    commit(store, approvals(std::slice::from_ref(&ended))).await;
    assert_eq!(read(store.approval(large.id)).await, Some(ended), "its bytes are gone");
    let fourth = ApprovalId::of(id(4));
    assert_eq!(ids(read(store.waiting_approvals(None, 10)).await), [fourth]);
    let newest = read(store.approvals(None, 2)).await;
    assert_eq!(ids(newest), [fourth, large.id], "the newest first");
    assert_eq!(ids(read(store.approvals(Some(large.id), 9)).await), [first.id]);
}

/// A proposal as evidence opens it.
pub fn proposal(bin: &str, fact: BinFact) -> BinProposal {
    let row = BinRow {
        bin: Bin::parse(bin).expect("a BIN"),
        pan_length: 19,
        issuer_code: "04100000".to_owned(),
        issuer_name: "平安银行".to_owned(),
        card_name: String::new(),
        card_type: CardType::Debit,
        brands: CardBrands::one(Brand::UnionPay),
    };
    let evidence = |sequence| BinEvidence {
        source: BinEvidenceSource::Fee,
        order: id(sequence),
        channel: ChannelId::from_stored("unionpay"),
        at: moment(1),
        told: "a fee of 60".to_owned(),
    };
    BinProposal::open((fact, &row, 3), (1..4).map(evidence).collect(), moment(2))
}

pub async fn a_row_of_the_bin_table_has_one_proposal_of_each_fact(store: &dyn Store) {
    let writes =
        |rows: &[BinProposal]| WriteSet { bin_proposals: rows.to_vec(), ..WriteSet::default() };
    let first = proposal("621626", BinFact::Credit);
    commit(store, writes(std::slice::from_ref(&first))).await;
    refuse(store, writes(std::slice::from_ref(&first)), "version 1 over 1").await;
    let others =
        [("62162601", BinFact::Debit), ("6216", BinFact::Retired), ("621626", BinFact::Debit)];
    let others = others.map(|(bin, fact)| proposal(bin, fact));
    commit(store, writes(&others)).await;
    let list = async |open, after, limit| {
        let rows = read(store.bin_proposals(open, after, limit)).await;
        rows.into_iter().map(|row| row.id.to_string()).collect::<Vec<_>>()
    };
    let all = ["6216-19-retired", "621626-19-debit", "621626-19-credit", "62162601-19-debit"];
    assert_eq!(list(true, None, 10).await, all);
    assert_eq!(list(false, None, 10).await, all);
    assert_eq!(list(false, Some(others[2].id), 1).await, all[2..3]);
    assert_eq!(list(true, Some(first.id), 10).await, all[3..]);
    let decision = BinProposalDecision {
        by: "ann".to_owned(),
        at: moment(5),
        reason: "the issuer's letter".to_owned(),
        bin_table: Some(4),
    };
    let accepted = first.accepted(decision).expect("it is open");
    commit(store, writes(std::slice::from_ref(&accepted))).await;
    assert_eq!(read(store.bin_proposal(first.id)).await, Some(accepted));
    assert_eq!(list(true, None, 10).await, [all[0], all[1], all[3]]);
    assert_eq!(list(true, Some(others[2].id), 10).await, all[3..]);
    assert_eq!(list(false, None, 10).await, all);
}
