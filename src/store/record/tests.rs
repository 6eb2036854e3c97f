//! Stored forms: their bytes are fixed, every row comes back, and damage is an error.

use proptest::prelude::*;

use super::samples::{self, Draw};
use super::*;
use crate::domain::ids::OrderId;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Rows on disk have these bytes: from the first release on, a change here needs a form byte, a
/// struct and a conversion of its own.
#[test]
fn the_bytes_of_every_row_are_fixed() {
    let rows = [
        ("order", order_bytes(&samples::order())),
        ("entry", entry_bytes(&samples::entry())),
        ("transaction", transaction_bytes(&samples::transaction())),
        ("clearing", clearing_bytes(&samples::clearing())),
        ("accounting", accounting_bytes(&samples::accounting())),
        ("notice", notice_bytes(&samples::notice())),
        ("contradiction", contradiction_bytes(&samples::contradiction())),
        ("audit", audit_bytes(&samples::audit())),
        ("charged_order", order_bytes(&samples::charged_order())),
    ];
    let text: String =
        rows.iter().map(|(name, bytes)| format!("{name} {}\n", hex(bytes))).collect();
    assert_eq!(text, include_str!("golden.txt"));
}

#[test]
fn fixed_rows_come_back() {
    let order = samples::order();
    assert_eq!(read_order(order.id, &order_bytes(&order)).ok(), Some(order));
    let order = samples::charged_order();
    assert_eq!(read_order_version(&order_bytes(&order)).ok(), Some(order.version));
    assert_eq!(read_order(order.id, &order_bytes(&order)).ok(), Some(order));
    let entry = samples::entry();
    assert_eq!(read_entry(entry.order, &entry_bytes(&entry)).ok(), Some(entry));
}

proptest! {
    #[test]
    fn every_row_comes_back(seed in any::<u64>()) {
        let mut draw = Draw::from(seed);
        let row = draw.order();
        let bytes = order_bytes(&row);
        prop_assert_eq!(read_order_version(&bytes).ok(), Some(row.version));
        prop_assert_eq!(read_order(row.id, &bytes).ok(), Some(row));
        let row = draw.entry();
        let bytes = entry_bytes(&row);
        let head = read_entry_head(&bytes).expect("a row just encoded");
        prop_assert_eq!((head.version, head.due_at), (row.version, row.due_at));
        prop_assert_eq!(head.channel, row.channel.as_str());
        prop_assert_eq!(read_entry(row.order, &bytes).ok(), Some(row));
        let row = draw.accounting();
        let bytes = accounting_bytes(&row);
        let head = read_accounting_head(&bytes).expect("a row just encoded");
        prop_assert_eq!(head.version, row.delivery.version);
        prop_assert_eq!((head.status, head.due_at), (row.delivery.status, row.delivery.due_at));
        prop_assert_eq!(read_accounting(row.id, &bytes).ok(), Some(row));
        let row = draw.notice();
        let bytes = notice_bytes(&row);
        let head = read_notice_head(&bytes).expect("a row just encoded");
        prop_assert_eq!((head.version, head.due_at), (row.delivery.version, row.delivery.due_at));
        prop_assert_eq!(read_notice(row.order, &bytes).ok(), Some(row));
        let row = draw.transaction();
        prop_assert_eq!(read_transaction(row.order, &transaction_bytes(&row)).ok(), Some(row));
        let row = draw.clearing();
        let (number, bytes) = (row.channel_order_no, clearing_bytes(&row));
        let read = read_clearing(&row.channel, row.date, number, &bytes);
        prop_assert_eq!(read.ok(), Some(row));
        let row = draw.contradiction();
        let (bytes, claim) = (contradiction_bytes(&row), claim_code(row.claim));
        let read = read_contradiction(row.order, [row.attempt, claim, row.ordinal], &bytes);
        prop_assert_eq!(read.ok(), Some(row));
        let row = draw.audit();
        prop_assert_eq!(read_audit(&audit_bytes(&row)).ok(), Some(row));
    }

    /// Cut short, changed in one byte, or lengthened: an error or another row, never a panic.
    #[test]
    fn damage_is_an_error_and_never_a_panic(
        seed in any::<u64>(),
        place in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut draw = Draw::from(seed);
        let (order, entry) = (order_bytes(&draw.order()), entry_bytes(&draw.entry()));
        let request = draw.accounting();
        let id = draw.id();
        type Reads<'a> = &'a dyn Fn(&[u8]) -> bool;
        let rows: [(Vec<u8>, Reads<'_>); 3] = [
            (order, &|bytes| read_order(id, bytes).is_ok()),
            (entry, &|bytes| read_entry(id, bytes).is_ok()),
            (accounting_bytes(&request), &|bytes| read_accounting(request.id, bytes).is_ok()),
        ];
        for (bytes, reads) in rows {
            prop_assert!(reads(&bytes));
            let cut = place.index(bytes.len());
            prop_assert!(!reads(&bytes[..cut]), "{cut} bytes of {}", bytes.len());
            let mut longer = bytes.clone();
            longer.push(byte);
            prop_assert!(!reads(&longer), "one byte too many");
            let mut changed = bytes;
            changed[cut] ^= byte;
            let _either = reads(&changed);
        }
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let id = OrderId::from_u64(1);
        let _either = read_order(id, &bytes);
        let _either = read_entry(id, &bytes);
        let _either = read_transaction(id, &bytes);
        let _either = read_notice(id, &bytes);
        let _either = read_audit(&bytes);
    }
}

#[test]
fn an_unknown_form_is_damage() {
    let mut bytes = order_bytes(&samples::order());
    bytes[0] = 9;
    let read = read_order(OrderId::from_u64(1), &bytes);
    let Err(StoreError::Damaged { table, detail }) = read else { panic!("it was read") };
    assert_eq!((table, detail.as_str()), ("orders", "it has the unknown form 9"));
    let empty = read_order_version(&[]);
    assert!(matches!(empty, Err(StoreError::Damaged { table: "orders", .. })));
}
