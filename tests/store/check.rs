//! `store check` on books at rest.

use switchyard::app::check::{CheckReport, check_books};
use switchyard::domain::event::{EventKind, OrderEvent};
use switchyard::domain::ids::{AgreementId, OrderId};
use switchyard::domain::instrument::InstrumentFacts;
use switchyard::domain::order::Order;
use switchyard::domain::write_set::{Contradiction, ReportedEnd, WriteSet};
use switchyard::store::Store;

use crate::commit;
use crate::rows::{close, day, found, settled};
use crate::support::books::{
    accepted, channel, contradiction, moment, notice, order, paid, transaction,
};
use switchyard::domain::books::reconcile::Class;
use switchyard::domain::money::Currency;

async fn check(store: &dyn Store) -> CheckReport {
    check_books(store, &|_, _| {}).await.expect("rows that read back")
}

fn event(order: &Order, version: u32, attempt: u8) -> OrderEvent {
    let event = OrderEvent::new(order.id, moment(9), EventKind::Retried, attempt);
    OrderEvent { version, ..event }
}

fn paid_by_agreement(mut order: Order, number: OrderId) -> Order {
    let Some(InstrumentFacts::Card(card)) = order.instruction.instrument else { panic!("a card") };
    let id = AgreementId::of(number);
    order.instruction.instrument = Some(InstrumentFacts::Agreement { id, card });
    order
}

pub async fn what_breaks_an_invariant_is_told(store: &dyn Store) {
    for number in 1..=3 {
        let order = order(number);
        commit(store, accepted(&order)).await;
        commit(store, paid(&order)).await;
    }
    let whole = check(store).await;
    assert_eq!(whole.told, Vec::<String>::new());
    assert_eq!((whole.orders, whole.clearing_records, whole.accounting_requests), (3, 3, 3));
    let none = order(9);
    let gone = order(8).id;
    let unowed =
        Contradiction { undo: Some(gone), ..contradiction(&order(3), 1, ReportedEnd::Failure) };
    let undated = Contradiction {
        clearing_date: Some(day(23)),
        ..contradiction(&order(2), 1, ReportedEnd::Failure)
    };
    let unbound = paid_by_agreement(order(4), order(99).id);
    commit(store, accepted(&unbound)).await;
    commit(
        store,
        WriteSet {
            events: vec![
                event(&order(1), 2, 1),
                event(&order(1), 9, 0),
                event(&order(1), 1, 7),
                event(&none, 1, 0),
            ],
            transactions: vec![transaction(&none)],
            notices: vec![notice(&none, 1)],
            contradictions: vec![contradiction(&none, 1, ReportedEnd::Success), unowed, undated],
            closes: vec![close(channel(), day(20))],
            found: vec![found(9, 0, Class::OnlyTheirs, 8)],
            settled: vec![settled(day(22), Currency::Cny, 1)],
            ..WriteSet::default()
        },
    )
    .await;
    let report = check(store).await;
    let id = none.id;
    for words in [
        format!("I-7: a transaction is of order {id}"),
        format!("I-7: a notice is of order {id}"),
        format!("I-5: a contradiction is of order {id}"),
        format!("I-5: undo {gone} of {} is not there", order(3).id),
        format!("I-5: a claim of {} has no clearing record on its date", order(2).id),
        format!("I-6: an event is of order {id}"),
        format!("I-6: an event tells what order {} has not had", order(1).id),
        format!("order {} is paid by agreement {}", unbound.id, order(99).id),
        "is closed with other sums".to_owned(),
        "I-10: what batch".to_owned(),
        "was settled by nothing".to_owned(),
    ] {
        assert!(report.told.iter().any(|one| one.contains(&words)), "{words}: {:?}", report.told);
    }
    assert_eq!(report.violations, 14, "{:?}", report.told);
}
