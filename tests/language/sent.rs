//! A request in words, as an order's story keeps it: no expression can bring a secret into it.

use switchyard::channel::SentStamp;
use switchyard::domain::card::{CardInput, Cvv, Expiry, Pan};

use super::*;

/// Everything that a file's author may do with a secret.
const TWISTED: &str = r#"
encrypt = { algorithm = "aes-gcm", key = "env:HEX" }
[http.secrets]
password = "env:KEY"
[http.values]
name = "gateway"
[http.sign]
algorithm = "rsa-sha256"
key = "env:RSA"
over = "{{ timestamp }}.{{ body }}"
headers = { X-Digest = "{{ body_sha256 }}", X-Sig = "RSA t={{ timestamp }},s={{ signature }}" }
[http.payment]
path = "/pay"
headers = { X-Basic = "Basic {{ (name ~ ':' ~ password) | base64 }}", X-Plain = "{{ password }}" }
reply = { code = "/code" }
[http.payment.body]
no = "{{ order_no }}"
amount = "{{ amount }}"
plain = "{{ card.number }}"
backwards = "{{ card.number[::-1] }}"
middle = "{{ card.number[6:10] }}"
each = "{{ card.number[10:11] ~ '-' ~ card.number[11:12] }}"
written = "{{ card.number | base64 }}"
turned = "{{ card.expiry[2:] ~ card.expiry[:2] }}"
hidden = "{{ card.number | encrypted }}"
all = "{{ {'n': card.number, 'c': card.cvv, 'e': card.expiry, 'h': card.holder} | tojson }}"
sealed = "{{ {'n': card.number, 'c': card.cvv} | tojson | encrypted }}"
told = "{{ 'old' if card.expiry < '3000' else 'new' }}"
length = "{{ card.holder | urlencode }}"
secret = "{{ password ~ card.cvv }}"
"#;

fn paid_by(pan: &str, expiry: &str, cvv: &str, holder: &str) -> ChannelRequest {
    let mut card = CardInput::of_number(Pan::of_digits(pan).expect("a number"));
    (card.expiry, card.cvv) = (Expiry::parse_yymm(expiry), Cvv::parse(cvv));
    card.holder = Some(holder.to_owned());
    ChannelRequest::Charge { facts: sample_facts(Operation::Payment, 2), instrument: card.into() }
}

fn stamp_of(bank: &Declarative, request: &ChannelRequest) -> SentStamp {
    SentStamp { at: sample_now(), signature: sent(bank, request).signature }
}

#[test]
fn i_11_no_expression_brings_a_secret_into_the_words() {
    let bank = bank(TWISTED);
    let one = paid_by("6216261739507730018", "2907", "847", "ZHANG SANFENG");
    let other = paid_by("6216269028461350018", "3112", "916", "LI SI");
    let stamp = stamp_of(&bank, &one);
    let words = bank.sent_words(&one, &stamp);
    assert_eq!(words, bank.sent_words(&other, &stamp), "they differ in what is secret alone");
    let begins = &stamp.signature[..12];
    let expected = [
        "POST https://api.bank.example/v1/pay",
        "x-basic: Basic Z2F0ZXdheToqKio=",
        "x-plain: ***",
        "content-type: application/json",
        "x-digest: ***",
        &format!("x-sig: RSA t=1795334400,s={begins}…"),
    ];
    let lines: Vec<&str> = words.lines().collect();
    assert_eq!(lines[..6], expected);
    for part in [
        format!(r#""no":"{ORDER}","amount":1230"#),
        r#""plain":"621626*********0018""#.to_owned(),
        r#""middle":"****""#.to_owned(),
        r#""hidden":"***","all":"{\"c\":\"***\","#.to_owned(),
        r#"\"n\":\"621626*********0018\"}""#.to_owned(),
        r#""secret":"******""#.to_owned(),
    ] {
        assert!(lines[6].contains(&part), "{part} in {words}");
    }
    assert_eq!(lines.len(), 7, "{words}");
}

/// Of a request without secrets everything is shown, so that its signature can be proved again.
#[test]
fn a_signature_over_what_is_shown_is_whole() {
    let bank = bank(
        "[http.sign]\nalgorithm = \"hmac-sha256\"\nkey = \"env:KEY\"\nfield = \"sign\"\n\
         over = \"{{ sorted_fields }}\"\n\
         [http.payment]\npath = \"/pay\"\nreply = { code = \"/code\" }\n\
         body = { no = \"{{ order_no }}\" }\n\
         [http.inquiry]\npath = \"/query\"\nbody = { no = \"{{ order_no }}\" }\n\
         reply = { code = \"/code\", state = \"/state\" }\nstates = { OK = \"approved\" }\n",
    );
    let ChannelRequest::Inquiry { facts, original, now, .. } = inquiry() else { panic!("one") };
    let ask = |pan: Option<Pan>| ChannelRequest::Inquiry {
        facts: facts.clone(),
        original: original.clone(),
        pan,
        now,
    };
    let request = ask(None);
    let wire = sent(&bank, &request);
    let words = bank.sent_words(&request, &stamp_of(&bank, &request));
    let last = words.lines().last().expect("a body");
    assert_eq!(last, body(&wire), "the body as it went, its signature in its place");
    assert!(!words.contains(KEY));
    // The same with the card's number: it is masked, and the signature proves no guess at it.
    let known = ask(Pan::of_digits("6216261739507730018").ok());
    let stamp = stamp_of(&bank, &known);
    assert!(!bank.sent_words(&known, &stamp).contains(&stamp.signature));
}

/// A template that reckons with what is masked tells nothing but where it failed.
#[test]
fn what_cannot_be_written_with_masks_is_not_shown() {
    let bank = bank(
        "[http.payment]\npath = \"/pay\"\nreply = { code = \"/code\" }\n\
         body = { year = \"{{ card.expiry | number }}\" }\n",
    );
    let request = paid_by("6216261739507730018", "2907", "847", "ZHANG SANFENG");
    assert_eq!(body(&sent(&bank, &request)), r#"{"year":2907}"#);
    let words = bank.sent_words(&request, &stamp_of(&bank, &request));
    assert!(words.starts_with("not to be shown: body.year: "), "{words}");
    assert!(!words.contains("2907"), "{words}");
}
