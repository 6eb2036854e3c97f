//! Random messages come back as they were, in the shipped formats and in random ones; garbage ends
//! in an error and never in a panic. proptest prints the seed of what fails.

use proptest::prelude::*;

use super::super::notation::{FieldKind, Packing, Size};
use super::*;

/// A value of a field's kind, of an allowed length; `seed` draws its characters.
fn value_for(format: &Format, field: u8, seed: u64) -> Vec<u8> {
    let spec = format.field(field).expect("listed");
    let mut random = fastrand::Rng::with_seed(seed ^ u64::from(field));
    let length = match spec.size {
        Size::Fixed(count) => usize::from(count),
        Size::Variable { max, .. } => random.usize(0..=usize::from(max)),
    };
    let mut draw = |place: usize| match spec.kind {
        FieldKind::Numeric => random.u8(b'0'..=b'9'),
        FieldKind::Signed if place == 0 => b'C' + random.u8(0..2),
        FieldKind::Signed => random.u8(b'0'..=b'9'),
        FieldKind::Track if place % 7 == 6 => b'=',
        FieldKind::Track => random.u8(b'0'..=b'9'),
        FieldKind::Alphanumeric => random.u8(b' '..=b'~'),
        FieldKind::Text | FieldKind::Binary => random.u8(..),
    };
    (0..length).map(&mut draw).collect()
}

fn returns_as_it_was(format: &Format, chosen: u128, message_type: u16, seed: u64) {
    let mut draft = Draft::new(9_999);
    draft.put(11, b"999999");
    draft.begin(message_type);
    let fields: Vec<u8> =
        format.numbers_listed().filter(|field| chosen >> (field - 1) & 1 == 1).collect();
    // Written backwards: the order in which fields are put makes no difference.
    for field in fields.iter().rev() {
        draft.put(*field, &value_for(format, *field, seed));
    }
    let mut out = b"head".to_vec();
    let packed = encode(format, &draft, &mut out).expect("every value fits");
    let message = decode(format, &out, 4).expect("what was written reads");
    assert_eq!(message.message_type(), message_type);
    assert_eq!(message.fields().collect::<Vec<u8>>(), fields);
    for field in fields {
        let value = message.value(field).expect("it is there");
        let plain = value_for(format, field, seed);
        assert_eq!(value.plain().collect::<Vec<u8>>(), plain, "field {field}");
        assert!(value.is(&plain) && draft.get(field) == Some(plain.as_slice()));
        let over = packed.message(format, &out);
        assert_eq!(over.packed(field), message.packed(field));
    }
    for cut in 4..out.len().min(200) {
        assert!(decode(format, &out[..cut], 4).is_err(), "cut at {cut}");
    }
    out.push(0);
    assert_eq!(decode(format, &out, 4).err().map(|error| error.flaw), Some(Flaw::Surplus));
}

fn packing() -> impl Strategy<Value = Packing> {
    prop_oneof![Just(Packing::Ascii), Just(Packing::Bcd), Just(Packing::Ebcdic)]
}

prop_compose! {
    fn notation()(
        kind in prop_oneof![Just("n"), Just("an"), Just("ans"), Just("z"), Just("b"), Just("x+n")],
        points in prop_oneof![Just(""), Just(".."), Just("...")],
        length in 1_u16..=99,
        word in prop_oneof![
            Just(""), Just(" pad-left"), Just(" pad-right"), Just(" length-ascii"),
            Just(" length-bcd"), Just(" length-binary"), Just(" length-ebcdic"),
        ],
    ) -> String {
        format!("{kind}{points}{length}{word}")
    }
}

prop_compose! {
    fn format()(
        message_type in packing(),
        numbers in packing(),
        texts in prop_oneof![Just(Packing::Ascii), Just(Packing::Ebcdic)],
        lengths in prop_oneof![packing(), Just(Packing::Binary)],
        bitmap in prop_oneof![
            Just(BitmapForm::Raw), Just(BitmapForm::Hex), Just(BitmapForm::HexEbcdic),
        ],
        signed in prop_oneof![Just(""), Just(" bcd"), Just(" ascii"), Just(" ebcdic")],
        filler in prop_oneof![Just(0_u8), Just(15)],
        fields in proptest::collection::btree_map(2_u8..=128, notation(), 1..60),
    ) -> Format {
        let habits = Habits { message_type, bitmap, numbers, texts, lengths };
        let mut format = Format::empty(habits);
        format.filler = filler;
        for (field, notation) in fields.iter().filter(|(field, _)| **field != 65) {
            let word = if notation.starts_with("x+n") { signed } else { "" };
            format.set(*field, &format!("{notation}{word}")).expect("the notation is right");
        }
        format
    }
}

proptest! {
    #[test]
    fn messages_of_the_shipped_formats_come_back(
        chosen in any::<u128>(), message_type in 0_u16..=9_999, seed in any::<u64>(),
    ) {
        for shipped in [ShippedFormat::Cups, ShippedFormat::Posp] {
            returns_as_it_was(&Format::shipped(shipped), chosen, message_type, seed);
        }
    }

    #[test]
    fn messages_of_any_format_come_back(
        format in format(), chosen in any::<u128>(), message_type in 0_u16..=9_999,
        seed in any::<u64>(),
    ) {
        returns_as_it_was(&format, chosen, message_type, seed);
    }

    #[test]
    fn garbage_ends_in_a_message_or_an_error(
        format in format(), bytes in proptest::collection::vec(any::<u8>(), 0..700),
        start in 0_usize..60,
    ) {
        let shipped = [ShippedFormat::Cups, ShippedFormat::Posp].map(Format::shipped);
        for format in shipped.iter().chain([&format]) {
            if let Ok(message) = decode(format, &bytes, start) {
                for field in message.fields() {
                    let value = message.value(field).expect("it is there");
                    let _ = (value.text(), value.number(), message.packed(field));
                }
            } else if let Err(error) = decode(format, &bytes, start) {
                prop_assert!(error.offset <= bytes.len().max(start));
            }
        }
    }

    #[test]
    fn a_message_with_one_byte_changed_ends_too(
        seed in any::<u64>(), at in any::<proptest::sample::Index>(), byte in any::<u8>(),
    ) {
        let format = Format::shipped(ShippedFormat::Posp);
        let mut draft = Draft::new(200);
        for field in [2, 3, 4, 11, 22, 35, 37, 41, 60, 62, 64] {
            draft.put(field, &value_for(&format, field, seed));
        }
        let mut out = Vec::new();
        encode(&format, &draft, &mut out).expect("every value fits");
        let at = at.index(out.len());
        out[at] = byte;
        let _ = decode(&format, &out, 0).map(|message| message.value(62).map(|v| v.text()));
    }
}

#[test]
fn values_that_do_not_fit_are_refused_where_they_are() {
    let format = Format::shipped(ShippedFormat::Posp);
    let rows: [(u8, &[u8], Flaw); 8] = [
        (4, b"1234567890123", Flaw::FixedLength),
        (4, b"12a", Flaw::Character),
        (2, b"12345678901234567890", Flaw::LengthLimit),
        (64, b"1234567", Flaw::FixedLength),
        (7, b"1234567890", Flaw::Unlisted),
        (128, b"12345678", Flaw::Unlisted),
        (37, b"\x00", Flaw::Character),
        (28, b"X00000000", Flaw::Character),
    ];
    for (field, plain, flaw) in rows {
        let mut draft = Draft::new(200);
        draft.put(field, plain);
        let error = encode(&format, &draft, &mut Vec::new()).expect_err("it does not fit");
        assert_eq!((error.field, error.flaw), (field, flaw), "{error}");
    }
    let mut draft = Draft::new(200);
    draft.put_number(4, 12_345, 12).put_number(11, 0, 6).put(41, b"T1").put(22, b"21");
    assert_eq!(draft.get(4), Some(b"000000012345".as_slice()));
    let mut out = Vec::new();
    let packed = encode(&format, &draft, &mut out).expect("short values are filled");
    let message = packed.message(&format, &out);
    assert!(message.value(41).is_some_and(|value| value.is(b"T1      ")));
    assert!(message.value(22).is_some_and(|value| value.is(b"021")));
    assert_eq!(message.value(4).and_then(|value| value.number()), Some(12_345));
}

#[test]
fn flaws_are_told_with_field_and_offset() {
    let format = Format::shipped(ShippedFormat::Posp);
    let rows: [(&str, u8, usize, Flaw); 10] = [
        ("", 0, 0, Flaw::Short),
        ("02A0", 0, 0, Flaw::MessageType),
        ("02000000", 0, 4, Flaw::Short),
        ("02000000000000000000FF", 0, 10, Flaw::Surplus),
        ("02000200000000000000", 7, 10, Flaw::Unlisted),
        ("0200400000000000000020", 2, 10, Flaw::LengthLimit),
        ("02004000000000000000A0", 2, 10, Flaw::LengthDigits),
        ("0200400000000000000004A012", 2, 11, Flaw::Character),
        ("020040000000000000000412", 2, 12, Flaw::Short),
        ("02001000000000000000123A56789012", 4, 11, Flaw::Character),
    ];
    for (hex, field, offset, flaw) in rows {
        let error = decode(&format, &bytes_of(hex), 0).map(|_| ()).err();
        assert_eq!(error, Some(Iso8583Error { field, offset, flaw }), "{hex}");
    }
}
