//! What is written for each operation, in both dialects.

use super::*;
use crate::channel::transport::tcp::LinkProtocol;

#[test]
fn a_terminals_messages_have_the_fields_of_the_verified_ones() {
    let adapter = adapter(POSP);
    let tail = "41=12345678 42=898110148160001 49=156";
    let card = "2=6216261000000000018";
    // 2025-06-01 is an odd day, so trace numbers begin at 500000; a sequence of 1 is the second.
    // Batch, trace number and date.
    let original = ["000001", "500001", "0601"].concat();
    let rows = [
        (
            sale(1),
            format!(
                "0200 {card} 3=000000 4=000000010000 11=500001 14=3012 22=012 25=00 {tail} \
                    60=22000001"
            ),
        ),
        (
            ChannelRequest::Charge {
                facts: facts(Operation::Preauth, 2),
                instrument: super::card().into(),
            },
            format!(
                "0100 {card} 3=030000 4=000000010000 11=500002 14=3012 22=012 25=06 {tail} \
                    60=10000001"
            ),
        ),
        (
            follow_up(Operation::Void, Operation::Payment),
            format!(
                "0200 {card} 3=200000 4=000000010000 11=500004 22=012 25=00 \
                    37=060110160102 38=123456 {tail} 60=23000001 61={original}"
            ),
        ),
        (
            follow_up(Operation::Void, Operation::Preauth),
            format!(
                "0100 {card} 3=200000 4=000000010000 11=500004 22=012 25=06 \
                    37=060110160102 38=123456 {tail} 60=11000001 61={original}"
            ),
        ),
        (
            follow_up(Operation::Void, Operation::Capture),
            format!(
                "0200 {card} 3=200000 4=000000010000 11=500004 22=012 25=06 \
                    37=060110160102 38=123456 {tail} 60=21000001 61={original}"
            ),
        ),
        (
            follow_up(Operation::Capture, Operation::Preauth),
            format!(
                "0200 {card} 3=000000 4=000000010000 11=500004 22=012 25=06 \
                    37=060110160102 38=123456 {tail} 60=20000001 61={original}"
            ),
        ),
    ];
    for (request, expected) in rows {
        seals(&adapter, &request, &expected);
    }
}

#[test]
fn a_terminals_refunds_and_reversals_have_theirs() {
    let adapter = adapter(POSP);
    let tail = "41=12345678 42=898110148160001 49=156";
    let card = "2=6216261000000000018";
    // Batch, trace number and date.
    let original = ["000001", "500001", "0601"].concat();
    let rows = [
        (
            follow_up(Operation::Refund, Operation::Payment),
            format!(
                "0220 {card} 3=200000 4=000000010000 11=500004 22=012 25=00 \
                    37=060110160102 38=123456 {tail} 60=25000001 61={original} 63=000"
            ),
        ),
        (
            reversal(Operation::Payment, 1),
            format!(
                "0400 {card} 3=000000 4=000000010000 11=500001 22=012 25=00 39=98 {tail} \
                    60=22000001"
            ),
        ),
        (
            reversal(Operation::Capture, 1),
            format!(
                "0400 {card} 3=000000 4=000000010000 11=500001 22=012 25=06 39=98 {tail} \
                    60=20000001"
            ),
        ),
    ];
    for (request, expected) in rows {
        seals(&adapter, &request, &expected);
    }
}

#[test]
fn a_reversal_says_of_itself_what_its_original_said() {
    use Operation::{Capture, Payment, Preauth, Refund, Undo, Void};
    let adapter = adapter(POSP);
    for (operation, original, says) in [
        (Void, Payment, "3=200000 4=000000010000 11=500001 22=012 25=00 60=23000001"),
        (Void, Preauth, "3=200000 4=000000010000 11=500001 22=012 25=06 60=11000001"),
        (Void, Capture, "3=200000 4=000000010000 11=500001 22=012 25=06 60=21000001"),
        (Refund, Payment, "3=200000 4=000000010000 11=500001 22=012 25=00 60=25000001"),
        (Capture, Preauth, "3=000000 4=000000010000 11=500001 22=012 25=06 60=20000001"),
    ] {
        let request = reversal_of(operation, Some(original), 1);
        let (frame, _) = written(&adapter, &request);
        let fields = fields_of(&adapter, &frame).join(" ");
        assert!(fields.starts_with("0400 2=") && says.split(' ').all(|one| fields.contains(one)));
        // What it said of its own original, it says again.
        let named = ["000001", "500000", "0601"].concat();
        assert!(fields.contains(" 38=123456 ") && fields.contains(&format!(" 61={named} ")));
        // Repeated, with whatever has happened since, it is the same message.
        assert_eq!(written(&super::adapter(POSP), &request).0, frame);
    }
    let cups = super::adapter(CUPS);
    let (frame, _) = written(&cups, &reversal_of(Refund, Some(Payment), 1));
    let fields = fields_of(&cups, &frame).join(" ");
    // Field 90 names the refund itself, by its own message type.
    for says in ["0420 ", " 3=200000 ", " 25=00 ", " 90=0220000002"] {
        assert!(fields.contains(says), "{says}: {fields}");
    }
    assert!(fields.contains(" 38=123456 "), "{fields}");
    // A table that has neither there.
    let bare = super::adapter(&POSP.replace("nodes", "reversal_carries = []\nnodes"));
    let (frame, _) = written(&bare, &reversal_of(Void, Some(Payment), 1));
    let fields = fields_of(&bare, &frame).join(" ");
    assert!(!fields.contains(" 38=") && !fields.contains(" 61="), "{fields}");
    let refused = adapter.encode_frame(&reversal_of(Undo, Some(Payment), 1), later());
    assert!(refused.is_err(), "an undo is owed until it is done");
}

/// The request has these fields, and behind them a MAC that proves it.
fn seals(adapter: &Iso8583, request: &ChannelRequest, expected: &str) {
    let (frame, _) = written(adapter, request);
    let mut fields = fields_of(adapter, &frame);
    let mac = fields.pop().expect("a MAC stands at the end");
    assert!(mac.starts_with("64=") && mac.len() == 11, "{mac}");
    assert_eq!(fields.join(" "), expected);
    let message = message_of(adapter, &frame);
    let rule = adapter.settings.mac.as_ref().expect("it has one").rule;
    assert!(adapter.keys.any("12345678", |key| rule.proves(key, &message)));
}

#[test]
fn an_institutions_messages_have_the_fields_of_the_verified_ones() {
    let adapter = adapter(CUPS);
    let parties = "32=48021000 33=48021000";
    let name = "43=GATEWAY TEST MERCHANT                   ";
    let place = format!("41=12345678 42=898110148160001 {name} 49=156");
    let private = "60=000005000300000000000001000000";
    let original = "90=020000000206011016000004802100000048021000";
    let card = "2=6216261000000000018";
    let rows = [
        (
            sale(1),
            format!(
                "0200 {card} 3=000000 4=000000010000 7=0601101600 11=000002 12=101600 13=0601 \
                    14=3012 18=5411 22=012 25=00 {parties} 37=101600000002 {place} {private}"
            ),
        ),
        (
            follow_up(Operation::Void, Operation::Payment),
            format!(
                "0200 {card} 3=200000 4=000000010000 7=0601101600 11=000005 12=101600 13=0601 \
                    18=5411 22=012 25=00 {parties} 37=101600000005 38=123456 {place} \
                    {private} {original}"
            ),
        ),
        (
            follow_up(Operation::Refund, Operation::Payment),
            format!(
                "0220 {card} 3=200000 4=000000010000 7=0601101600 11=000005 12=101600 13=0601 \
                    18=5411 22=012 25=00 {parties} 37=101600000005 38=123456 {place} \
                    {private} {original}"
            ),
        ),
        (
            reversal(Operation::Payment, 1),
            format!(
                "0420 {card} 3=000000 4=000000010000 7=0601101705 11=500001 12=101600 13=0601 \
                    18=5411 22=012 25=00 {parties} 37=101600000002 {place} \
                    60=435105000300000000000001000000 {original}"
            ),
        ),
    ];
    for (request, expected) in rows {
        let (frame, _) = written(&adapter, &request);
        let mut fields = fields_of(&adapter, &frame);
        let mac = fields.pop().expect("a MAC stands at the end");
        assert!(mac.starts_with("128="), "{mac}");
        assert_eq!(fields.join(" "), expected);
    }
}

#[test]
fn what_stands_behind_the_batch_is_a_setting() {
    let changed = POSP.replace("nodes", "private = \"000600\"\nnodes");
    let changed = changed.replace("[iso8583.mac]", "[iso8583.values]\n63 = \"CUP\"\n[iso8583.mac]");
    let adapter = adapter(&changed);
    for (request, kind, scheme) in [
        (sale(1), "22", "CUP"),
        (follow_up(Operation::Refund, Operation::Payment), "25", "CUP"),
        (reversal(Operation::Payment, 1), "22", "CUP"),
    ] {
        let (frame, _) = written(&adapter, &request);
        let message = message_of(&adapter, &frame);
        let text = |field| message.value(field).map(|value| value.text());
        assert_eq!(text(60), Some(format!("{kind}000001000600")));
        assert_eq!(text(63).as_deref(), Some(scheme));
    }
    // Messages about the line itself have their own network code there.
    let echo = adapter.echo(now(), 8).expect("a line test");
    let fields = fields_of(&adapter, &echo.bytes[2..]).join(" ");
    assert!(fields.contains(" 60=00000001301"), "{fields}");
}

#[test]
fn i_1_a_reversal_after_a_restart_names_the_same_transaction() {
    for section in [POSP, CUPS] {
        // Two adapters: nothing that one remembers helps the other.
        let (before, after) = (adapter(section), adapter(section));
        let (first, _) = written(&before, &reversal(Operation::Payment, 77));
        let (second, _) = written(&after, &reversal(Operation::Payment, 77));
        assert_eq!(first, second);
    }
}

#[test]
fn i_2_what_cannot_be_named_is_not_sent() {
    let adapter = adapter(POSP);
    let mut foreign = facts(Operation::Payment, 1);
    foreign.channel_order_no.order = OrderId::compose(250_601, 2, 1);
    let requests = [
        ChannelRequest::Charge { facts: foreign, instrument: card().into() },
        sale(500_000),
        reversal(Operation::Void, 1),
        follow_up(Operation::Void, Operation::Refund),
        ChannelRequest::Inquiry {
            facts: facts(Operation::Payment, 1),
            original: None,
            pan: None,
            now: now(),
        },
    ];
    for request in requests {
        let error = adapter.encode_frame(&request, now()).map(|_| ()).expect_err("no name");
        assert!(!error.to_string().contains(TEST_PAN));
    }
    // A terminal whose key has not come yet cannot authenticate what it sends.
    let unsigned = super::adapter(POSP_SIGN_IN);
    assert!(unsigned.encode_frame(&sale(1), now()).is_err());
}
