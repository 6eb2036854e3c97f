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
        ("[iso8583.mac]", "[iso8583.mac]\nfield = 100", "iso8583.mac.field"),
        ("[iso8583.mac]", "[iso8583.mac]\nfield = 128", "iso8583.mac.field"),
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
}

/// What would be read and never used, or never sent.
#[test]
fn what_could_not_come_to_anything_is_a_mistake() {
    for (line, key) in [
        ("acquirer = \"48021000\"", "iso8583.acquirer"),
        ("production = true", "iso8583.production"),
        ("header_counts_itself = false", "iso8583.header_counts_itself"),
        ("reversal_reason = \"4351\"", "iso8583.reversal_reason"),
        ("tls_name = \"a.b\"", "iso8583.tls_name"),
        ("line_test = false\nline_test_after = \"5s\"", "iso8583.line_test_after"),
        ("private = \"0006000000\"", "iso8583.private"),
        ("reversal_carries = [37]", "iso8583.reversal_carries[0]"),
        ("header = \"60220\"", "iso8583.header"),
        ("[iso8583.fields]\n4 = \"none\"", "iso8583.fields"),
        ("[iso8583.fields]\n60 = \"none\"", "iso8583.fields"),
        ("line_test = false\nprivate = \"0006\"\nfields = { 60 = \"none\" }", "iso8583.private"),
        ("[iso8583.fields]\n64 = \"an8 bcd\"", "iso8583.fields.64"),
        ("[iso8583.fields]\n64 = \"n8\"", "iso8583.mac.form"),
        ("[iso8583.values]\n60 = \"22000001000600\"", "iso8583.values.60"),
        ("[iso8583.values]\n49 = \"156\"", "iso8583.values.49"),
        ("[iso8583.values]\n64 = \"1\"", "iso8583.values.64"),
        ("[iso8583.values]\n14 = \"3012\"", "iso8583.values.14"),
        ("[iso8583.values]\n44 = \"more than twenty-five characters\"", "iso8583.values.44"),
    ] {
        let found = mistakes("[iso8583.mac]", &format!("{line}\n[iso8583.mac]"), POSP);
        assert_eq!(found.len(), 1, "{line}: {found:?}");
        assert!(found[0].contains(key), "{line}: {found:?}");
    }
    for (line, key) in [
        ("batch = \"000001\"", "iso8583.batch"),
        // Its own header takes the place of the centre's, which alone says this.
        ("tpdu = \"6000030000\"", "iso8583.production"),
        ("format = { texts = \"ebcdic\" }", "iso8583.mac.method"),
        ("format = { texts = \"bcd\" }", "iso8583.format.texts"),
        ("filler_f = true", "iso8583.filler_f"),
        ("reversal_carries = [61]", "iso8583.reversal_carries[0]"),
    ] {
        let found = mistakes("sign_on = true", &format!("sign_on = true\n{line}"), CUPS);
        assert_eq!(found.len(), 1, "{line}: {found:?}");
        assert!(found[0].contains(key), "{line}: {found:?}");
    }
    let found = mistakes("18 = \"5411\"", "32 = \"1\"", CUPS);
    assert!(found.len() == 1 && found[0].contains("iso8583.values.32"), "{found:?}");
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
