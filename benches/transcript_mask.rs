//! What it costs to mask one reply before it is kept: on the way of every payment. No pass or fail.
//!
//! `cargo bench --bench transcript_mask` measures and prints the nanoseconds of one reply, with the
//! card's number alone and with everything that a request can know of its owner; any other run only
//! shows that it works.

use std::hint::black_box;
use std::time::Instant;

use switchyard::domain::card::words::{CardEcho, mask_echo};
use switchyard::domain::card::{CardInput, Pan};

/// Short rounds: the best one is then likely to have had the processor for itself.
const REPLIES: u32 = 200;
const ORDER_NO: &str = "2611280000000000123";
const REPLY: &str = concat!(
    r#"{"code":"0000","message":"approved","order_no":"2611280000000000123","#,
    r#""trade_no":"HB20261128000000001234","amount":123456,"currency":"CNY","#,
    r#""settle_date":"20261128","time":"20261128123000","#,
    r#""nonce":"5f0e6a3bb2a94c1d8b8f2a1f44d6c0aa","#,
    r#""sign":"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"}"#
);

fn main() {
    let measured = std::env::args().any(|argument| argument == "--bench");
    let rounds = if measured { 400 } else { 1 };
    let pan = Pan::parse("6216261000000000018").expect("a published test number");
    let number = CardInput::of_number(pan.clone());
    let mut whole = CardInput::of_number(pan);
    whole.holder = Some("ZHANG SAN".to_owned());
    whole.phone = Some("+8613800138000".to_owned());
    whole.id_number = Some("11010119900307001X".to_owned());
    for (name, card) in [("number alone", &number), ("number and owner", &whole)] {
        let best = (0..rounds).map(|_| one_reply(card)).fold(f64::INFINITY, f64::min);
        println!("{name:>16}: {best:.0} ns a reply of {} bytes", REPLY.len());
    }
}

fn one_reply(card: &CardInput) -> f64 {
    let began = Instant::now();
    for _ in 0..REPLIES {
        black_box(mask_echo(black_box(REPLY), CardEcho::of(card), &[ORDER_NO]));
    }
    began.elapsed().as_secs_f64() * 1e9 / f64::from(REPLIES)
}
