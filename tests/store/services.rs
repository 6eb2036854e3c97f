//! What a channel does with a card beside orders.

use switchyard::domain::card::CardDigests;
use switchyard::domain::ids::{CallerId, CallerOrderId, MerchantId, VerificationId};
use switchyard::domain::outcome::{Approval, Outcome};
use switchyard::domain::verification::{CardVerification, VerificationRequest};
use switchyard::domain::write_set::WriteSet;
use switchyard::store::Store;

use crate::support::books::{channel, id, moment};
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
