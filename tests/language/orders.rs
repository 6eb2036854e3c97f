//! Orders as a channel names and finds them, merchants, dates, and replies that are encrypted.

use switchyard::channel::protocol::sample::sample_payout_to;
use switchyard::channel::samples::check::check;
use switchyard::domain::ids::MerchantId;
use switchyard::domain::outcome::UnknownCause;
use switchyard::domain::payee_account::AccountKind;

use super::support::Scratch;
use super::*;

const SEARCH: &str = r#"
[http.payment]
path = "/pay"
body = { no = "{{ order_no }}" }
reply = { code = "/code" }
[http.inquiry]
method = "GET"
path = "/search"
query = { q = "{{ order_no }}" }
reply = { code = "/code?", list = "/data", state = "/data/0/status", order_no = "/data/0/no" }
states = { OK = "approved" }
"#;

/// Stripe's and Square's searches.
#[test]
fn an_empty_list_means_no_such_order_and_nothing_else_does() {
    let bank = bank(SEARCH);
    let found = format!(r#"{{"data":[{{"status":"OK","no":"{ORDER}"}}]}}"#);
    assert!(is_approved(&answered(&bank, &inquiry(), &found)));
    let empty = answered(&bank, &inquiry(), r#"{"data":[]}"#);
    assert!(matches!(empty, Outcome::NotFound { .. }), "{empty:?}");
    let other = found.replace(ORDER, "261122001000000000301");
    assert_eq!(answered(&bank, &inquiry(), &other), Outcome::Unknown(UnknownCause::Mismatched));
    // Of several, the one that has our number counts.
    let beside = |one: &str, two: &str| format!("{},{}", &one[..one.len() - 2], &two[9..]);
    let no = found.replace("OK", "NO");
    for (first, second, is_ours) in [
        (&other, &found, true),
        (&found, &other, true),
        (&other, &no, false),
        (&other, &other, false),
        (&found, &found, false),
    ] {
        let outcome = answered(&bank, &inquiry(), &beside(first, second));
        assert_eq!(is_approved(&outcome), is_ours, "{first} {second}");
        assert!(is_ours || is_unknown(&outcome), "{outcome:?}");
    }
    for nothing in ["", "{}", r#"{"data":null}"#, r#"{"data":{}}"#, r#"{"data":""}"#, "[]"] {
        assert!(is_unknown(&answered(&bank, &inquiry(), nothing)), "{nothing}");
    }
    let silent = SEARCH.replace("OK = \"approved\"", "OK = \"approved\", \"\" = \"not_found\"");
    assert!(refused(&silent).contains("is no word that a reply could have"));
    let any = SEARCH.replace(", order_no = \"/data/0/no\"", "");
    assert!(refused(&any).contains("may hold another order than ours"));
}

#[test]
fn our_number_travels_in_the_channel_s_form() {
    let text = r#"
order_no = "SW{{ order_no }}0000"
[http.verify]
none = true
[http.payment]
path = "/pay/{{ order_no }}"
body = { no = "{{ order_no }}", memo = "order {{ order_no }}" }
reply = { code = "/code", order_no = "/no" }
[http.refund]
path = "/refund"
body = { no = "{{ order_no }}", of = "{{ original.order_no }}" }
reply = { code = "/code" }
[http.notice_verify]
algorithm = "hmac-sha256"
key = "env:KEY"
over = "{{ sorted_fields }}"
field = "sign"
[http.notice]
reply = { code = "/code", order_no = "/no" }
"#;
    let bank = bank(text);
    let wire = sent(&bank, &payment());
    let own = format!("SW{ORDER}0000");
    assert_eq!(body(&wire), format!(r#"{{"no":"{own}","memo":"order {own}"}}"#));
    assert!(wire.url.ends_with(&own));
    let reply =
        |no: &str| answered(&bank, &payment(), &format!(r#"{{"code":"0000","no":"{no}"}}"#));
    assert!(is_approved(&reply(&own)));
    for other in [ORDER, &own.replace("SW", "XX"), &format!("{own}0")] {
        assert_eq!(reply(other), Outcome::Unknown(UnknownCause::Mismatched), "{other}");
    }
    let original = sample_facts(Operation::Payment, 1);
    let facts = sample_facts(Operation::Refund, 2);
    let refund = ChannelRequest::FollowUp { facts, original, pan: None };
    let expected = format!(r#"{{"no":"{own}","of":"SW2611220010000000001010000"}}"#);
    assert_eq!(body(&sent(&bank, &refund)), expected);
    let sign = "4470f102d6d638bb0c1b8c1f606a8ba7e45f490aee8c66ab47752917a517aa1b";
    // Python's hmac over "code=0000&no=SW…0000".
    let said = format!(r#"{{"code":"0000","no":"{own}","sign":"{sign}"}}"#);
    let notice = bank.decode_notice(&posted(&[], &said), sample_now()).expect("it is signed");
    assert_eq!(notice.channel_order_no.to_string(), ORDER);
    let wrong = text.replace("SW{{ order_no }}0000", "SW{{ amount }}");
    assert!(refused(&wrong).contains("order_no"));
}

#[test]
fn each_merchant_of_the_core_has_the_channel_s_names() {
    let text = r#"
notice_url = "https://pay.example/notices/bank"
[http.merchants]
shop-1 = { mch = "8981001", terminal = "T1" }
shop-2 = { mch = "8981002", terminal = "T2" }
[http.payment]
path = "/pay/{{ merchant.mch }}"
body = { m = "{{ merchant.mch | upper }}", t = "t-{{ merchant.terminal }}", n = "{{ notice_url }}" }
reply = { code = "/code" }
"#;
    let bank = bank(text);
    let of = |id: &str| payment().of_merchant(MerchantId::parse(id).expect("an id"));
    let wire = sent(&bank, &of("shop-2"));
    let notices = "https://pay.example/notices/bank";
    assert_eq!(body(&wire), format!(r#"{{"m":"8981002","t":"t-T2","n":"{notices}"}}"#));
    assert!(wire.url.ends_with("/v1/pay/8981002"));
    // A merchant without names would be sent without them.
    let refusal = bank.encode(&of("shop-3"), sample_now()).err().expect("nothing is sent");
    assert!(refusal.problem.contains("does not have the order's merchant"));
    let uneven = text.replace("mch = \"8981002\", terminal = \"T2\"", "mch = \"8981002\"");
    assert!(refused(&uneven).contains("other names than the merchants above it"));
    let unnamed = text.replace("t-{{ merchant.terminal }}", "{{ merchant.shop }}");
    assert!(refused(&unnamed).contains("is no name of a merchant here"));
}

/// A payee's account stands in the body of its payout; its kind, in the channel's word, also where
/// the payout is asked about.
#[test]
fn a_payee_s_account_is_written_in_place_of_a_card() {
    let text = r#"
account_kinds = { login = "LOGON" }
[http.payment]
path = "/pay"
body = { no = "{{ order_no }}" }
reply = { code = "/code" }
[http.payout]
path = "/payout"
reply = { code = "/code" }
[http.payout.body]
card = "{{ card.number }}"
payee = { id = "{{ payee.account }}", kind = "{{ payee.kind }}", name = "{{ payee.name }}" }
[http.payout_inquiry]
path = "/query"
body = { no = "{{ order_no }}", to = "{{ payee.kind | default('CARD') }}" }
reply = { code = "/code", state = "/state" }
states = { OK = "approved" }
"#;
    let bank = bank(text);
    let to_account = sample_payout_to(AccountKind::Login);
    let expected = r#"{"payee":{"id":"payee@mail.example","kind":"LOGON","name":"HOLDER"}}"#;
    assert_eq!(body(&sent(&bank, &to_account)), expected);
    let facts = sample_facts(Operation::Payout, 2);
    let to_card = ChannelRequest::Charge { facts, instrument: sample_card().into() };
    assert_eq!(body(&sent(&bank, &to_card)), r#"{"card":"4111111111111111"}"#);
    for (kind, to) in [(Some(AccountKind::Login), "LOGON"), (None, "CARD")] {
        let mut facts = sample_facts(Operation::Payout, 2);
        facts.payee_kind = kind;
        let asked = ChannelRequest::Inquiry { facts, original: None, pan: None, now: sample_now() };
        let expected = format!(r#"{{"no":"{ORDER}","to":"{to}"}}"#);
        assert_eq!(body(&sent(&bank, &asked)), expected);
    }
    // A kind without a word is none of the channel's; an id travels in no address.
    assert!(!bank.has_account_kind(AccountKind::OpenId));
    for (from, to) in [
        ("\"/payout\"", "\"/payout/{{ payee.account }}\""),
        ("\"/query\"", "\"/query/{{ payee.account }}\""),
        ("to = \"{{ payee.kind | default('CARD') }}\"", "to = \"{{ payee.name }}\""),
        ("login = \"LOGON\"", "logon = \"LOGON\""),
    ] {
        let changed = text.replace(from, to);
        assert!(changed != text && read(&changed).is_err(), "{to}");
    }
}

/// A golden sample says which merchant of the core it is of.
#[test]
fn samples_are_of_a_merchant() {
    let folder = Scratch::new();
    let file = folder.path().join("bank.toml");
    let text = include_str!("../../channels/harbour-bank.toml")
        .replace("[http]\n", "[http]\nmerchants = { shop-1 = { mch = \"8981001\" } }\n")
        .replacen("{{ merchant_id }}", "{{ merchant.mch }}", 1);
    std::fs::write(&file, text).expect("a file");
    let samples = folder.path().join("samples");
    std::fs::create_dir(&samples).expect("a folder");
    let failures = |merchant: &str| {
        let sample = format!(
            "[[sample]]\nname = \"one\"\n{merchant}\n\
             sent.contains = ['\"merchantId\":\"8981001\"']\n"
        );
        std::fs::write(samples.join("bank.toml"), sample).expect("a file");
        let report = check(&file, &|_| Ok(KEY.to_owned()), sample_now()).expect("a right file");
        assert_eq!(report.played.len(), 1);
        report.failed.len()
    };
    assert_eq!(failures("merchant = \"shop-1\""), 0);
    assert_eq!(failures(""), 1, "the usual merchant of samples is not in the file");
}

#[test]
fn a_settle_date_may_have_a_time() {
    let text = r#"
[http.payment]
path = "/pay"
body = { no = "{{ order_no }}" }
reply = { code = "/code", settle_date = "/at" }
"#;
    let bank = bank(text);
    let outcome =
        answered(&bank, &payment(), r#"{"code":"0000","at":"2026-11-28T00:00:00+08:00"}"#);
    let Outcome::Approved(approval) = outcome else { panic!("{outcome:?}") };
    assert_eq!(approval.settle_mmdd.as_deref(), Some("1128"));
}

const SECRET: &str = r#"
decrypt = { algorithm = "sm4-cbc", key = "env:HEX", cipher_text = "/data?", of = ["replies"] }
[http.encrypt]
algorithm = "aes-gcm"
key = "env:HEX"
[http.payment]
path = "/pay"
body = { data = "{{ {'no': card.number, 'cvv': card.cvv} | tojson | encrypted }}" }
reply = { code = "/code", order_no = "/no?" }
"#;

/// `openssl enc -sm4-cbc` with a vector of zeros, which goes before the text.
#[test]
fn an_encrypted_reply_is_opened() {
    let bank = bank(SECRET);
    let data =
        "AAAAAAAAAAAAAAAAAAAAADX8CO1+seQkTqYpm3lcd+U8mug9DVUgMvtqS7WiU3LzkELyDQQotx7B3aJAVvgPhQ==";
    let hidden = |data: &str| answered(&bank, &payment(), &format!(r#"{{"data":"{data}"}}"#));
    assert!(is_approved(&hidden(data)));
    // A refusal that hides nothing is read as it is; a yes that cannot be opened is none.
    let refusal = answered(&bank, &payment(), r#"{"code":"0051"}"#);
    assert!(matches!(refusal, Outcome::Declined(_)), "{refusal:?}");
    for wrong in ["AAAA", &data.replace('A', "B"), "x", &data[..40]] {
        assert!(is_unknown(&hidden(wrong)), "{wrong}");
    }
    let strict = super::bank(&SECRET.replace("/data?", "/data"));
    assert!(is_unknown(&answered(&strict, &payment(), r#"{"code":"0051"}"#)));
    // Several fields go out as one encrypted JSON text.
    let wire = sent(&bank, &payment());
    assert!(!body(&wire).contains("4111"), "{}", body(&wire));
}
