//! What a channel's file may say, and what is reported.

use super::*;

fn mistakes(from: &str, to: &str, section: &str) -> Vec<String> {
    let whole = format!("{SHARED}{section}");
    let changed = whole.replacen(from, to, 1);
    assert_ne!(changed, whole, "{from}");
    read(&changed).err().unwrap_or_default()
}

#[test]
fn mistakes_are_reported_with_their_keys() {
    let rows = [
        ("\"posp\"", "\"telex\"", "iso8583.style"),
        ("127.0.0.1:7001", "127.0.0.1", "iso8583.addresses[0]"),
        ("[\"12345678\"]", "[]", "iso8583.terminals"),
        ("[\"12345678\"]", "[\"1234\"]", "iso8583.terminals"),
        ("898110148160001", "8981", "iso8583.merchant_id"),
        ("env:mac", "env:none", "iso8583.mac.key"),
        ("keeps_pan = true", "keeps_pan = false", "iso8583.style"),
        ("[\"payment\", \"preauth\", \"capture\"]", "[\"undo\"]", "abilities.reversible"),
        ("[iso8583.mac]", "[iso8583.mac]\nmethod = \"x9.19\"", "iso8583.mac.key"),
        ("[iso8583.mac]", "[iso8583.fields]\n60 = \"n....17\"\n[iso8583.mac]", "iso8583.fields.60"),
        ("[iso8583.mac]", "[iso8583.values]\n7 = \"1\"\n[iso8583.mac]", "iso8583.values.7"),
        ("[iso8583.mac]", "batch = \"1\"\n[iso8583.mac]", "iso8583.batch"),
        ("[iso8583.mac]", "colour = \"1\"\n[iso8583.mac]", "iso8583.colour"),
        ("[iso8583.mac]", "tpdu = \"60\"\n[iso8583.mac]", "iso8583.tpdu"),
        (
            "[iso8583.mac]",
            "sign_on = true\ntls = true\ntls_name = \"\"\n[iso8583.mac]",
            "iso8583.tls_name",
        ),
    ];
    for (from, to, expected) in rows {
        let found = mistakes(from, to, POSP);
        assert!(found.iter().any(|line| line.contains(expected)), "{to}: {found:?}");
    }
    assert!(!mistakes("forwarder = \"48021000\"\n", "", CUPS).is_empty());
    assert!(!mistakes("production = false\n", "", CUPS).is_empty());
}

#[test]
fn a_field_may_be_packed_otherwise() {
    let changed = POSP.replace("[iso8583.mac]", "[iso8583.fields]\n49 = \"n3\"\n[iso8583.mac]");
    let adapter = adapter(&changed);
    let (frame, _) = written(&adapter, &sale(1));
    let message = message_of(&adapter, &frame);
    assert_eq!(message.value(49).map(|value| value.bytes().to_vec()), Some(vec![1, 0x56]));
}
