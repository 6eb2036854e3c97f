//! Every verified message of the facts: read, written again byte for byte, and its MAC proved.

use super::super::frame::{Framing, LengthForm};
use super::super::header::HeaderForm;
use super::super::mac::{DesKey, MacForm, MacMethod, MacRule, cups_text};
use super::*;

struct Sample {
    name: String,
    message_type: u16,
    fields: Vec<(u8, String)>,
    mac_text: Option<String>,
    frame: Vec<u8>,
}

fn samples() -> Vec<Sample> {
    let mut samples: Vec<Sample> = Vec::new();
    for line in include_str!("golden.txt").lines().filter(|line| !line.starts_with('#')) {
        let Some((word, rest)) = line.split_once(' ') else { continue };
        if word == "=" {
            samples.push(Sample {
                name: rest.to_owned(),
                message_type: 0,
                fields: Vec::new(),
                mac_text: None,
                frame: Vec::new(),
            });
            continue;
        }
        let sample = samples.last_mut().expect("a name comes first");
        match word {
            "type" => sample.message_type = rest.parse().expect("digits"),
            "mac" => sample.mac_text = Some(rest.to_owned()),
            "hex" => sample.frame.extend(bytes_of(rest)),
            field => {
                let plain = rest.trim_end_matches('|').to_owned();
                sample.fields.push((field.parse().expect("a field"), plain));
            }
        }
    }
    samples
}

/// Everything that tells the two kinds of links apart.
fn link_of(sample: &Sample) -> (Format, Framing, HeaderForm, MacRule, DesKey) {
    let framing =
        |form| Framing { form, includes_itself: false, frame_bytes_max: MESSAGE_BYTES_MAX };
    let key = |hex| DesKey::new(&bytes_of(hex)).expect("a key");
    let rule = |method, field| MacRule { method, form: MacForm::HexHalf, field };
    if sample.name.starts_with('P') {
        (
            Format::shipped(ShippedFormat::Posp),
            framing(LengthForm::Binary2),
            HeaderForm::POSP,
            rule(MacMethod::UnionPayEcb, 64),
            key("A1B2C3D4E5F60718"),
        )
    } else {
        (
            Format::shipped(ShippedFormat::Cups),
            framing(LengthForm::Ascii4),
            HeaderForm::Cups,
            rule(MacMethod::CupsText, 128),
            key("0123456789ABCDEF"),
        )
    }
}

#[test]
fn every_verified_message_reads_and_writes_and_proves_its_mac() {
    let samples = samples();
    assert_eq!(samples.len(), 21);
    for sample in &samples {
        let name = &sample.name;
        let (format, framing, header_form, rule, key) = link_of(sample);
        let range = framing.next(&sample.frame).expect(name).expect("it is whole");
        assert_eq!(range.end, sample.frame.len(), "{name}");
        let body = &sample.frame[range];
        let (header, start) = header_form.read(body).expect(name);
        let message = decode(&format, body, start).expect(name);
        assert_eq!(message.message_type(), sample.message_type, "{name}");
        let found: Vec<(u8, String)> =
            message.fields().map(|field| (field, shown(&format, &message, field))).collect();
        assert_eq!(found, sample.fields, "{name}");

        let mut draft = Draft::new(sample.message_type);
        for field in message.fields() {
            let plain: Vec<u8> = message.value(field).expect("it is there").plain().collect();
            draft.put(field, &plain);
        }
        let has_mac = message.has(rule.field);
        if has_mac {
            draft.put(rule.field, b"00000000");
        }
        let mut out = Vec::new();
        let at = framing.begin(&mut out);
        let header_at = out.len();
        header.write(&mut out);
        let packed = encode(&format, &draft, &mut out).expect(name);
        header.finish(&mut out, header_at, true);
        framing.end(&mut out, at).expect("it is short");
        assert_eq!(rule.seal(&key, &format, &packed, &mut out).is_some(), has_mac, "{name}");
        assert_eq!(hex_of(&out), hex_of(&sample.frame), "{name}");
        assert_eq!(rule.proves(&key, &message), has_mac, "{name}");
        if let Some(text) = &sample.mac_text {
            assert_eq!(String::from_utf8_lossy(&cups_text(&message)), *text, "{name}");
        }
    }
}

#[test]
fn a_changed_message_is_not_proved() {
    for sample in &samples() {
        let (format, framing, header_form, rule, key) = link_of(sample);
        let range = framing.next(&sample.frame).expect("whole").expect("whole");
        let body = &sample.frame[range];
        let start = header_form.read(body).expect("a header").1;
        let message = decode(&format, body, start).expect("a message");
        if !message.has(rule.field) {
            continue;
        }
        for field in [4, rule.field] {
            let at = message.offset(field).expect("both are there");
            let mut changed = body.to_vec();
            changed[at] ^= 1;
            let changed = decode(&format, &changed, start).map(|m| rule.proves(&key, &m));
            assert_ne!(changed, Ok(true), "{} field {field}", sample.name);
        }
    }
}

/// Made by others: a balance answer of `goGetSomeFries/alatka-messages`, declined with code 14.
#[test]
fn a_third_partys_message_reads_and_writes() {
    let frame = bytes_of(include_str!("third_party.txt").trim());
    let format = Format::shipped(ShippedFormat::Cups);
    let message = decode(&format, &frame, 0).expect("a message");
    assert_eq!(
        (message.message_type(), message.value(39).map(|v| v.text())),
        (210, Some("14".to_owned()))
    );
    let mut draft = Draft::new(210);
    for field in message.fields() {
        draft.put(field, &message.value(field).expect("there").plain().collect::<Vec<u8>>());
    }
    let mut out = Vec::new();
    encode(&format, &draft, &mut out).expect("it is as it was");
    assert_eq!(hex_of(&out), hex_of(&frame));
}

#[test]
fn the_centres_header_is_read_and_answered() {
    let bytes = bytes_of(
        "2E023034 37333033 30353030 30312020 20303030 31303030 30202020 41413901 30303030 30303030\
         00303030 3030",
    );
    let (header, length) = HeaderForm::Cups.read(&bytes).expect("46 bytes");
    assert_eq!(length, 46);
    let header::FrameHeader::Cups(fields) = &header else { panic!("another kind") };
    assert_eq!(
        (&fields.total, &fields.source, fields.is_reject()),
        (b"0473", b"00010000   ", false)
    );
    let mut out = Vec::new();
    header.write(&mut out);
    assert_eq!(out, bytes);
    let header::FrameHeader::Cups(answer) = header.answered() else { panic!("another kind") };
    assert_eq!(&answer.destination, b"00010000   ");
    for cut in 0..46 {
        assert!(HeaderForm::Cups.read(&bytes[..cut]).is_err());
    }
}
