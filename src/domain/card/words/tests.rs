//! Spellings of card data, and what only looks like it.

use proptest::prelude::*;

use super::*;
use crate::domain::card::{CardInput, Cvv, Pan, mask};

/// Made up, without a run of one digit: its pieces are known. Its check digit does not fit.
const PAN: &str = concat!("621626123456", "7890128");

fn card() -> CardInput {
    let mut card = CardInput::of_number(Pan::of_digits(PAN).expect("19 digits"));
    card.expiry = Expiry::parse_yymm("3512");
    card.cvv = Cvv::parse("739");
    card.holder = Some("ZHANG San".to_owned());
    card.id_number = Some("110101199003077715".to_owned());
    card.phone = Some("+8613800138000".to_owned());
    card
}

fn of_card(text: &str) -> String {
    mask_echo(text, CardEcho::of(&card()), &[])
}

#[test]
fn i_11_a_number_is_masked_in_whatever_groups_and_with_any_check_digit() {
    let rows = [
        (r#"{"card":"4111111111111111"}"#, r#"{"card":"411111******1111"}"#),
        ("4111111111111112", "411111******1112"),
        ("6216261000000000018", "621626*********0018"),
        ("411111111111", "411111**1111"),
        ("x6216261000000000018y", "x621626*********0018y"),
        ("4111 1111 1111 1111", "4111 11** **** 1111"),
        ("4111-1111-1111-1111 x", "4111-11**-****-1111 x"),
        ("4111.1111.1111.1112", "4111.11**.****.1112"),
        ("4111 - 1111 - 1111 - 1112", "4111 - 11** - **** - 1112"),
        ("4111\u{a0}1111\u{a0}1111\u{a0}1112", "4111\u{a0}11**\u{a0}****\u{a0}1112"),
        (r"4111\u00a01111\u00a01111\u00a01112", r"4111\u00a011**\u00a0****\u00a01112"),
        (r"41111111\n11111112", r"411111**\n****1112"),
        ("4111%201111%201111%201112", "4111%2011**%20****%201112"),
        ("4111+1111+1111+1112", "4111+11**+****+1112"),
        ("4111%25201111%25201111%25201112", "4111%252011**%2520****%25201112"),
        ("4111&nbsp;1111&#160;1111&#xA0;1112", "4111&nbsp;11**&#160;****&#xA0;1112"),
        (r"\u0034111111111111112", r"\u003411111******1112"),
        ("%34111111111111112", "%3411111******1112"),
        ("４１１１１１１１１１１１１１１２", "４１１１１１******１１１２"),
        ("٤١١١١١١١١١١١١١١٢", "٤١١١١١******١١١٢"),
        ("卡4111111111111112号", "卡411111******1112号"),
        ("0004111111111111112", "000411111******1112"),
        ("20261120 4111 1111 1111 1112", "20261120 4111 11** **** 1112"),
        // All of it could be one number, and no part of it is known not to be.
        ("77 4111 1111 1111 1111", "77 4111 **** **** 1111"),
        ("2026-11-20 411111 111111112 12.50", "2026-11-20 4111** *******12 12.50"),
        ("7|4111111111111112|8", "7|411111******1112|8"),
    ];
    for (text, expected) in rows {
        let masked = mask_cards(text);
        assert_eq!(masked, expected);
        assert_eq!(mask_cards(&masked), masked, "once is enough");
    }
}

#[test]
fn what_is_known_to_be_no_card_number_stays() {
    let rows = [
        "",
        "00000000018",
        "12345678901",
        // Our channel order numbers, UnionPay's queryId, Alipay's and WeChat's numbers.
        "261122001000000000901",
        "4200002345202611201234567890",
        "20261120123000",
        "20261120123000123",
        "202611201230",
        "261120123000",
        "1795000000000",
        "000000010000",
        "0000000000000",
        "2026-11-20 12:30:00.123",
        "2026-11-20 100.00 0.30",
        "20261120 10000",
        "1234567890.12",
        "192.168.100.100",
        "10000,20000,30000",
        "12345678\t87654321",
    ];
    for text in rows {
        assert_eq!(mask_cards(text), text.replace('\t', " "));
    }
    let known = "37=987654321098 42=898310148160568";
    let echo = CardEcho::NONE;
    assert_eq!(mask_echo(known, echo, &["987654321098", "898310148160568"]), known);
    assert_ne!(mask_echo(known, echo, &["987654321098"]), known);
    // What the card's number is, is known to be one.
    assert_eq!(mask_echo(PAN, CardEcho::of(&card()), &[PAN]), mask(PAN));
}

#[test]
fn i_11_what_was_sent_is_taken_out_by_value() {
    let rows = [
        // In longer digits, in pieces, encoded.
        (format!("99{PAN}99"), "99621626*********012899"),
        (
            r#"{"a":"6216261234","b":"567890128"}"#.to_owned(),
            r#"{"a":"621626****","b":"*****0128"}"#,
        ),
        ("621626/1234567/890128".to_owned(), "621626/*******/**0128"),
        ("NjIxNjI2MTIzNDU2Nzg5MDEyOA==".to_owned(), "*************************A=="),
        (
            "36323136323631323334353637383930313238".to_owned(),
            "**************************************",
        ),
        // CVV: whole runs only, by name too.
        (r#"{"x":"739"}"#.to_owned(), r#"{"x":"***"}"#),
        ("x=739&y=7390&z=1739&w=739.50".to_owned(), "x=***&y=7390&z=1739&w=739.50"),
        ("%37%33%39".to_owned(), "***"),
        // Expiry.
        (
            "e=3512 f=1235 g=12/35 h=2035-12 i=203512".to_owned(),
            "e=**** f=**** g=**/** h=****-** i=******",
        ),
        ("2035-12-01".to_owned(), "2035-12-01"),
        // The owner.
        ("Zhang SAN, zhang+san, zhang%20san".to_owned(), "Z********, z********, z********"),
        ("id 110101 19900307 7715".to_owned(), "id 1***** ******** ****"),
        ("tel 138-0013-8000 or +8613800138000".to_owned(), "tel 1**-****-**** or +8************"),
        ("unzhang sand".to_owned(), "unzhang sand"),
    ];
    for (text, expected) in rows {
        assert_eq!(of_card(&text), expected, "{text}");
    }
    let mut chinese = card();
    chinese.holder = Some("张三丰".to_owned());
    let echo = CardEcho::of(&chinese);
    assert_eq!(mask_values("户名:张三丰", echo), "户名:张**");
    assert_eq!(
        mask_values(r"\u5f20\u4e09\u4e30 %E5%BC%A0%E4%B8%89%E4%B8%B0", echo),
        r"\u5f20** %E5%BC%A0**"
    );
}

#[test]
fn i_11_a_secret_is_hidden_by_its_name() {
    let rows = [
        (r#"{"cvn2": "123", "amount": 123}"#, r#"{"cvn2": "***", "amount": 123}"#),
        (
            r#"{"card":{"cvv":123,"card_expiry":"2912"}}"#,
            r#"{"card":{"cvv":***,"card_expiry":"****"}}"#,
        ),
        (r#"{"echo":"{\"cvv\": \"123\"}"}"#, r#"{"echo":"{\"cvv\": \"***\"}"}"#),
        ("cvn2=123&expired=2912&amount=1", "cvn2=***&expired=****&amount=1"),
        ("<cvn2>123</cvn2><amount>1</amount>", "<cvn2>***</cvn2><amount>1</amount>"),
        ("卡有效期：2912", "卡有效期：****"),
        ("the CVV is wrong", "the CVV is wrong"),
        (r#"{"CVC-2":""}"#, r#"{"CVC-2":""}"#),
        ("track2=6216261000000000018D29121010&a=1", "track2=****************************&a=1"),
    ];
    for (text, expected) in rows {
        assert_eq!(mask_cards(text), expected);
    }
}

#[test]
fn a_card_number_is_found_in_what_a_caller_writes() {
    let is_card = |digits: &[u8]| digits.starts_with(b"6216") && luhn_fits(digits);
    for text in [
        "6216261000000000018",
        "order-6216261000000000018-1",
        "6216 2610 0000 0000 018",
        "https://core.test/n?card=6216%202610%200000%200000%20018",
        "６２１６２６１００００００００００１８",
    ] {
        assert!(holds_card_number(text, is_card), "{text}");
    }
    for text in [
        "",
        "A-1",
        "6216261000000000019",
        "20261120000000000018",
        "00621626100000000001",
        "short 6216",
    ] {
        assert!(!holds_card_number(text, is_card), "{text}");
    }
    let card = card();
    let echo = CardEcho::of(&card);
    assert!(echo.has_number_in(&format!("x{PAN}y")) && !echo.has_number_in("x621626y"));
}

/// How a number may be written: with a joint between groups, and each character encoded or not.
fn spelling() -> impl Strategy<Value = String> {
    let joint =
        prop::sample::select(vec!["", " ", "-", ".", "\u{a0}", "%20", r"\n", r"\u0020", "+"]);
    (joint, 3_usize..8, 0_u8..4).prop_map(|(joint, width, form)| {
        let spell = |digit: char| match form {
            0 => digit.to_string(),
            1 => format!(r"\u{:04x}", u32::from(digit)),
            2 => format!("%{:02X}", u32::from(digit)),
            _ => char::from_u32(u32::from(digit) + 0xfee0).unwrap_or(digit).to_string(),
        };
        let digits: Vec<char> = PAN.chars().collect();
        let groups: Vec<String> =
            digits.chunks(width).map(|group| group.iter().copied().map(spell).collect()).collect();
        groups.join(joint)
    })
}

#[test]
fn every_secret_name_passes_the_first_look_at_a_word() {
    for name in SECRET_NAMES {
        for spelled in [name.to_owned(), format!("card{name}"), format!("卡{name}")] {
            assert!(spelled.chars().next().is_some_and(may_begin_secret_name), "{spelled}");
            let longest = spelled.chars().count() * 2;
            assert!(longest <= SECRET_NAME_LENGTH_MAX, "{spelled}");
        }
    }
}

/// The digits that a reader of a text finds one after another, whatever stands between them.
fn readable(text: &str) -> String {
    let units = units_of(text);
    (0..units.len()).map(|at| units.character(at)).filter(char::is_ascii_digit).collect()
}

proptest! {
    /// A text of plain characters is read in a way of its own.
    #[test]
    fn i_11_a_plain_text_is_masked_as_any_other(
        pieces in prop::collection::vec(
            prop_oneof![
                Just(PAN.to_owned()),
                (0..PAN.len(), 0..PAN.len())
                    .prop_map(|(one, other)| PAN[one.min(other)..one.max(other)].to_owned()),
                "[ -~]{0,20}",
                "[a-c\"{}:=,. /_-]{0,4}",
                "(cvv|exp|pin|ZHANG San|739|3512|20261122|1[0-9]{11,18})",
            ],
            0..12,
        ),
    ) {
        let (text, card, known) = (pieces.concat(), card(), ["123456789012"]);
        let spelled = CardWords::of(&text, units_of(&text)).masked(CardEcho::of(&card), &known);
        if let Some(plain) = PlainText::of(&text) {
            let plain = CardWords::of(&text, plain).masked(CardEcho::of(&card), &known);
            prop_assert_eq!(plain, spelled);
        }
    }

    #[test]
    fn i_11_no_spelling_brings_a_number_through(
        spelling in spelling(),
        before in "[a-z{}\":= ]{0,8}",
        after in "[a-z{}\":= ]{0,8}",
    ) {
        let text = format!("{before}|{spelling}|{after}");
        for masked in [mask_cards(&text), of_card(&text)] {
            let left = readable(&masked);
            prop_assert!(left.len() <= 10, "{masked}");
        }
    }

    #[test]
    fn no_text_breaks_it(text in "\\PC{0,200}", encoded in r#"[%\\u0-9a-f&;#x ./\-"=]{0,200}"#) {
        for text in [text, encoded] {
            let _ = of_card(&text);
            let _ = holds_card_number(&text, luhn_fits);
        }
    }
}
