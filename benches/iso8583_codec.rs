//! What reading and writing one ISO 8583 sale costs, with every field that a sale usually has.
//!
//! `cargo bench --bench iso8583_codec` measures; any other run only shows that it works. One core,
//! best of the rounds; the MAC is a figure of its own, because it is DES and not packing. Prints,
//! and claims no pass or fail: time depends on the machine.

use std::hint::black_box;
use std::time::Instant;

use switchyard::codec::iso8583::mac::{DesKey, MacForm, MacMethod, MacRule};
use switchyard::codec::iso8583::{Draft, Format, ShippedFormat, decode, encode};

/// A sale of the kind that the shipped format's link sends; published test numbers.
const CUPS: &[(u8, &[u8])] = &[
    (2, b"6216261000000000018"),
    (3, b"000000"),
    (4, b"000000010000"),
    (7, b"0601101600"),
    (11, b"100002"),
    (12, b"101559"),
    (13, b"0601"),
    (14, b"3012"),
    (18, b"5411"),
    (22, b"021"),
    (25, b"00"),
    (26, b"12"),
    (32, b"48021000"),
    (33, b"48021000"),
    (35, b"6216261000000000018=30122010000000000"),
    (37, b"101600100002"),
    (41, b"12345678"),
    (42, b"898110148160001"),
    (43, b"GATEWAY TEST MERCHANT                   "),
    (49, b"156"),
    (52, b"\x0f\xcc\xb3\xe9\xea\x83\xc5\xe7"),
    (53, b"2000000000000000"),
    (60, b"000005000300000000000001000000"),
    (128, b"F3BE264E"),
];
const POSP: &[(u8, &[u8])] = &[
    (2, b"6216261000000000018"),
    (3, b"000000"),
    (4, b"000000010000"),
    (11, b"000002"),
    (14, b"3012"),
    (22, b"021"),
    (25, b"00"),
    (26, b"12"),
    (35, b"6216261000000000018=30122010000000000"),
    (41, b"12345678"),
    (42, b"898110148160001"),
    (49, b"156"),
    (52, b"\xa2\x47\xf2\x1e\xac\xba\x49\x12"),
    (53, b"2600000000000000"),
    (60, b"22000001"),
    (64, b"FD90B78E"),
];

fn main() {
    let measured = std::env::args().any(|argument| argument == "--bench");
    let (rounds, messages) = if measured { (20, 100_000) } else { (1, 100) };
    let cups = MacRule { method: MacMethod::CupsText, form: MacForm::HexHalf, field: 128 };
    let posp = MacRule { method: MacMethod::UnionPayEcb, form: MacForm::HexHalf, field: 64 };
    measure("cups", &Format::shipped(ShippedFormat::Cups), CUPS, cups, rounds, messages);
    measure("posp", &Format::shipped(ShippedFormat::Posp), POSP, posp, rounds, messages);
}

fn measure(
    name: &str,
    format: &Format,
    fields: &[(u8, &[u8])],
    rule: MacRule,
    rounds: usize,
    messages: usize,
) {
    let mut draft = Draft::new(200);
    let mut out = Vec::with_capacity(1_024);
    let write = |draft: &mut Draft, out: &mut Vec<u8>| {
        draft.begin(200);
        for (field, plain) in fields {
            draft.put(*field, black_box(plain));
        }
        out.clear();
        encode(format, draft, out).expect("every value fits")
    };
    let packed = write(&mut draft, &mut out);
    let frame = out.clone();
    let key = DesKey::new(&[0x01, 0x23, 0x45, 0x67, 0x89, 0xAB, 0xCD, 0xEF]).expect("eight bytes");
    let best = |mut one: Box<dyn FnMut() + '_>| {
        let time = |one: &mut dyn FnMut()| {
            let begun = Instant::now();
            (0..messages).for_each(|_| one());
            begun.elapsed().as_nanos() as f64 / messages as f64
        };
        (0..rounds).map(|_| time(&mut *one)).fold(f64::INFINITY, f64::min)
    };
    let read_ns = best(Box::new(|| {
        let message = decode(format, black_box(&frame), 0).expect("a message");
        black_box(message.value(4).and_then(|value| value.number()));
    }));
    let write_ns = best(Box::new(|| {
        black_box(write(&mut draft, &mut out));
    }));
    let mac_ns = best(Box::new(|| {
        black_box(rule.value(&key, &packed.message(format, black_box(&frame))));
    }));
    let both = read_ns + write_ns;
    println!(
        "{name}: {} fields, {} bytes: read {read_ns:.0} ns, write {write_ns:.0} ns, \
         {:.0} messages/s read and written; MAC {mac_ns:.0} ns more",
        fields.len(),
        frame.len(),
        1e9 / both
    );
}
