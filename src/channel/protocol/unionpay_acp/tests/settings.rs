//! Settings: every mistake is reported at once, with its line, and credentials are never quoted.

use super::sample::*;
use crate::channel::file::ChannelFile;
use crate::channel::file::codes::CodeMeaning;
use crate::channel::protocol::unionpay_acp::UnionPayAcp;
use crate::channel::protocol::unionpay_acp::section::read;
use crate::channel::protocol::unionpay_acp::settings::{AccessType, SettingProblem};
use crate::channel::{Adapter, ChannelRequest};
use crate::codec::sample_keys::{end_params, merchant_key, other_key};
use crate::config::mistake::Mistakes;
use crate::config::raw::Document;
use crate::domain::attempt::Operation;
use crate::domain::ids::ChannelId;
use crate::domain::outcome::{Decline, Outcome, Reason};
use crate::domain::terms::CommonTerms;

fn resolve(reference: &str) -> Result<String, String> {
    match reference {
        "file:keys/sign.pem" => Ok(merchant_pem()),
        "file:keys/sign.key" => Ok(merchant_key().serialize_pem()),
        "file:keys/other.key" => Ok(other_key().serialize_pem()),
        "file:keys/encrypt.pem" => Ok(signer_pem(&end_params("encryption"))),
        "file:keys/root.pem" => Ok(root_pem()),
        "file:keys/middle.pem" => Ok(middle_pem()),
        _ => Err("no such file".to_owned()),
    }
}

fn read_text(text: &str, codes: Vec<(String, CodeMeaning)>) -> Result<UnionPayAcp, Vec<String>> {
    let document = Document::parse("unionpay.toml", text).expect("TOML");
    let mistakes = Mistakes::new();
    let root = document.root(&mistakes);
    let adapter = read(root.section("unionpay_acp"), codes, &resolve);
    let words = |list: Vec<_>| list.iter().map(ToString::to_string).collect();
    mistakes.into_result().map_err(words).map(|()| adapter.expect("no mistake, so an adapter"))
}

#[test]
fn the_shipped_channel_file_is_read() {
    let text = include_str!("../../../../../channels/unionpay.toml");
    let adapter = read_text(text, Vec::new()).expect("a good section");
    let wire = adapter.encode(&payment(), now()).expect("a request");
    assert_eq!(wire.url, "https://gateway.test.95516.com/gateway/api/backTransReq.do");
    let wire = adapter.encode(&inquiry(), now()).expect("a request");
    assert_eq!(wire.url, "https://gateway.test.95516.com/gateway/api/queryTrans.do");
}

#[test]
fn the_shipped_channel_file_has_unionpays_terms() {
    let text = include_str!("../../../../../channels/unionpay.toml");
    let document = Document::parse("unionpay.toml", text).expect("TOML");
    let mistakes = Mistakes::new();
    let root = document.root(&mistakes);
    let id = ChannelId::parse("unionpay").expect("an id");
    let file = ChannelFile::read(&root, id, &CommonTerms::default());
    let seconds: Vec<u64> = file.terms.inquire.iter().map(|wait| wait.as_secs()).collect();
    assert_eq!(seconds, [1, 2, 4, 8, 16, 32], "as UnionPay advises");
    assert_eq!(file.abilities.order_operations(), Operation::ALL);
    assert_eq!(file.terms.reversible, [Operation::Payment, Operation::Preauth]);
    assert_eq!(file.terms.refund_days, 330);
    assert_eq!(file.terms.calendar.cut_off, jiff::civil::time(23, 0, 0, 0));
    let statement = file.statement.expect("it downloads statements");
    assert_eq!(statement.download_at, Some(jiff::civil::time(9, 30, 0, 0)));
}

const GOOD: &str = r#"[unionpay_acp]
production = true
merchant_id = "777290058110097"
biz_type = "000301"
transaction_url = "https://acp.example.com/gateway/api/backTransReq.do"
query_url = "https://acp.example.com/gateway/api/queryTrans.do"
notice_url = "https://pay.example.com/notices/unionpay"
root_certificates = "file:keys/root.pem"
signing = [{ certificate = "file:keys/sign.pem", key = "file:keys/sign.key" }]
"#;

#[test]
fn a_short_section_is_enough() {
    let adapter = read_text(GOOD, Vec::new()).expect("a good section");
    let wire = adapter.encode(&reversal(), now()).expect("a request");
    assert_eq!(wire.url, "https://acp.example.com/gateway/api/backTransReq.do");
    assert_eq!(
        format!("{adapter:?}"),
        "UnionPayAcp(https://acp.example.com/gateway/api/backTransReq.do)"
    );
}

#[test]
fn every_mistake_is_reported_with_its_line() {
    let text = r#"
[unionpay_acp]
production = true
merchant_id = "12"
access_type = "acquirer"
biz_type = "301"
transaction_url = "http://acp.example.com/x"
query_url = "https://merchant:key@acp.example.com/x"
signing = [
    { certificate = "file:keys/sign.pem", key = "file:keys/other.key" },
]
encryption_certificates = ["file:keys/encrypt.pem", "file:keys/gone.pem"]
root_certificates = "file:keys/sign.key"
accepted_signers = ["00040000:SIGN"]
reversal_repyl = "final"
[unionpay_acp.fields]
txnAmt = "1"
[unionpay_acp.undo_codes]
45 = "never"
[unionpay_acp.reversal_codes]
00 = "pending"
"#;
    let overrides = vec![("A6".to_owned(), CodeMeaning::Pending)];
    let found = read_text(text, overrides).expect_err("mistakes");
    let expected = [
        "unionpay.toml:2: unionpay_acp.codes: A6 has a fixed meaning in this protocol; remove it; \
         see reversal_reply for reversals",
        "unionpay.toml:2: unionpay_acp.notice_url: is missing; add \
         `notice_url = \"https://pay.example.com/notices/unionpay\"` under [unionpay_acp]",
        "unionpay.toml:4: unionpay_acp.merchant_id: is not 15 letters and digits; write the merId \
         that the acquirer gave you",
        "unionpay.toml:6: unionpay_acp.biz_type: is not 6 digits; write for example \"000301\"",
        "unionpay.toml:7: unionpay_acp.transaction_url: is not encrypted; write an https address \
         in production",
        "unionpay.toml:8: unionpay_acp.query_url: is not a whole web address; write \
         https://host/path",
        "unionpay.toml:10: unionpay_acp.signing[0]: the certificate does not belong to the key; \
         give the merchant's certificate and its private key as PEM",
        "unionpay.toml:12: unionpay_acp.encryption_certificates[1]: no such file; write a \
         reference that can be read: file:… or env:…",
        "unionpay.toml:13: unionpay_acp.root_certificates: the PEM text holds no certificate; \
         from a PKCS#12 file it is taken with `openssl pkcs12 -in FILE -legacy -nodes -out \
         FILE.pem`; give UnionPay's CA certificates as PEM",
        "unionpay.toml:14: unionpay_acp.accepted_signers[0]: is the test system's signer, which \
         production must not believe; remove it",
        "unionpay.toml:15: unionpay_acp.reversal_repyl: is not a known setting; did you mean \
         reversal_reply?",
        "unionpay.toml:16: unionpay_acp.fields: acqInsCode is missing; an acquirer names itself \
         in it",
        "unionpay.toml:16: unionpay_acp.fields: txnAmt is not yours to set; remove it; the \
         request sets it",
        "unionpay.toml:19: unionpay_acp.undo_codes.45: write approved, pending, unknown, \
         not_found, `declined <reason>` or `elsewhere <reason>`; write for example \"declined \
         do_not_honour\"",
        "unionpay.toml:20: unionpay_acp.reversal_codes: 00 has a fixed meaning in this protocol; \
         remove it; see reversal_reply for reversals",
    ];
    assert_eq!(found, expected);
}

#[test]
fn what_could_not_be_read_is_blamed_once() {
    let text = "[unionpay_acp]\nproduction = true\nsigning = [{ certificate = 1 }]\n";
    let found = read_text(text, Vec::new()).expect_err("mistakes");
    for key in ["merchant_id", "biz_type", "query_url", "root_certificates"] {
        let about = found.iter().filter(|mistake| mistake.contains(&format!(".{key}:"))).count();
        assert_eq!(about, 1, "{key}: {found:#?}");
    }
    assert!(found.iter().any(|mistake| mistake.contains("signing[0].certificate: is")));
    assert!(found.iter().any(|mistake| mistake.contains("signing[0].key: is missing")));
}

#[test]
fn a_files_codes_are_used() {
    let codes = vec![("64".to_owned(), CodeMeaning::Elsewhere(Reason::LimitExceeded))];
    let text = GOOD
        .replace("signing =", "intermediate_certificates = \"file:keys/middle.pem\"\nsigning =");
    let adapter = read_text(&text, codes).expect("a good section");
    let body = signed(answer("01", &[("respCode", "64")])).encode_line();
    let found = adapter.decode(&payment(), &reply(body), now()).outcome;
    let decline = Decline { reason: Reason::LimitExceeded, code: "64".to_owned(), elsewhere: true };
    assert_eq!(found, Outcome::Declined(decline));
}

#[test]
fn settings_are_checked_without_a_file_too() {
    let mut settings = settings();
    settings.signing.clear();
    settings.access_type = AccessType::Platform;
    settings.payment_fields = vec![("mer CatCode".to_owned(), "1".to_owned())];
    settings.fields = vec![("acqInsCode".to_owned(), " ".to_owned())];
    settings.notice_url = format!("https://pay.example.com/{}", "x".repeat(256));
    let problems = UnionPayAcp::new(settings).expect_err("problems");
    let words: Vec<_> = problems.iter().map(SettingProblem::to_string).collect();
    assert_eq!(
        words,
        [
            "notice_url: is longer than 256 characters; shorten the path",
            "fields: acqInsCode is empty; give it a value or remove it",
            "payment_fields: has a name that is none of UnionPay's; write the field's name in \
             letters and digits",
            "payment_fields: subMerId is missing; a platform names the merchant below it in it",
            "signing: is empty; give a certificate and its key",
        ]
    );
}

#[test]
fn outside_production_an_unencrypted_address_will_do() {
    let mut settings = settings();
    settings.production = false;
    settings.transaction_url = "http://127.0.0.1:8443/gateway/api/backTransReq.do".to_owned();
    let adapter = UnionPayAcp::new(settings).expect("good settings");
    let request: ChannelRequest = payment();
    assert!(adapter.encode(&request, now()).is_ok());
}

/// A product that needs messages which are not spoken is a mistake at its line, not a payment that
/// UnionPay refuses.
#[test]
fn a_product_that_cannot_be_spoken_is_a_mistake() {
    let text = include_str!("../../../../../channels/unionpay.toml");
    for product in ["000201", "000202", "000401", "000501", "000901", "001001"] {
        let changed = text.replace("biz_type = \"000301\"", &format!("biz_type = \"{product}\""));
        let found = read_text(&changed, Vec::new()).map(|_| ()).expect_err("it is not spoken");
        assert_eq!(found.len(), 1, "{found:?}");
        let words = format!("{product} cannot be spoken");
        assert!(
            found[0].contains("unionpay_acp.biz_type") && found[0].contains(&words),
            "{found:?}"
        );
    }
}

#[test]
fn the_token_product_has_its_requestor_and_no_other_product_has() {
    let text = include_str!("../../../../../channels/unionpay.toml");
    let with = |product: &str, requestor: &str| {
        let lines = format!("biz_type = \"{product}\"\n{requestor}");
        read_text(&text.replace("biz_type = \"000301\"", &lines), Vec::new()).map(|_| ())
    };
    assert!(with("000902", "token_requestor = \"62000000001\"").is_ok());
    for (product, requestor) in [
        ("000902", ""),
        ("000902", "token_requestor = \"a\""),
        ("000902", "token_requestor = \"\""),
        ("000301", "token_requestor = \"62000000001\""),
    ] {
        let found = with(product, requestor).expect_err("it is a mistake");
        assert!(found[0].contains("unionpay_acp.token_requestor"), "{found:?}");
    }
}

#[test]
fn every_certificate_of_the_file_is_watched_and_each_believed_signer() {
    let mut settings = settings();
    settings.encryption = vec![signer_pem(&end_params("encryption"))];
    let adapter = UnionPayAcp::new(settings).expect("good settings");
    let uses = |adapter: &UnionPayAcp| -> Vec<&str> {
        adapter.certificates().iter().map(|term| term.usage.name()).collect()
    };
    assert_eq!(uses(&adapter), ["signing", "encryption", "root", "intermediate"]);
    let body = signed(answer("01", &[("respCode", "64")])).encode_line();
    adapter.decode(&payment(), &reply(body), now());
    assert_eq!(uses(&adapter), ["signing", "encryption", "root", "intermediate", "signer"]);
    // 2030-01-01, which the whole chain has.
    assert!(adapter.certificates().iter().all(|term| term.valid_until_s == 1_893_456_000));
}
