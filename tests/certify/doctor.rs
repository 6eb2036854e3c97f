//! The signature doctor: every planted mistake is named, with the setting that mends it, and no
//! card number or key is shown.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use rcgen::{KeyPair, PKCS_RSA_SHA256, RsaKeySize};
use switchyard::channel::protocol::declarative::doctor::{
    MessageFile, MessageRole, SignatureCause, SignatureFinding, SignatureQuestion, examine,
    show_text,
};
use switchyard::codec::crypto::digest::Digest;
use switchyard::codec::crypto::sm2::{Sm2Form, Sm2Signer, USUAL_USER_ID};
use switchyard::codec::sign::{RsaScheme, RsaSigner, hex_lower};
use switchyard::domain::time::Timestamp;

const KEY: &str = "0011223344556677";
const NOW_MS: i64 = 1_795_334_400_000;
const STAMP: &str = "1795334400";

/// A bank that signs a time and the body by HMAC.
const HMAC: &str = r#"
[http]
base_url = "https://bank.example"
[http.verify]
algorithm = "hmac-sha256"
key = "env:KEY"
over = "{{ timestamp }}\n{{ body }}"
headers = { X-Time = "{{ timestamp }}", X-Sig = "{{ signature }}" }
"#;

/// A bank that signs its sorted fields and the key by MD5.
const MD5: &str = r#"
[http]
format = "form"
[http.verify]
algorithm = "md5"
key = "env:KEY"
over = "{{ sorted_fields }}&key={{ key }}"
field = "sign"
encoding = "hex_upper"
"#;

const BODY: &str = r#"{"code":"0000","no":"1"}"#;

fn resolve(reference: &str) -> Result<String, String> {
    match reference {
        "env:KEY" => Ok(KEY.to_owned()),
        "env:OTHER" => Ok("8899aabbccddeeff".to_owned()),
        _ => Err("there is no such credential".to_owned()),
    }
}

fn found(
    file: &str,
    (role, message): (MessageRole, &[u8]),
    theirs: Option<&[u8]>,
    resolve: &dyn Fn(&str) -> Result<String, String>,
) -> SignatureFinding {
    let message = MessageFile::read(message).expect("a message");
    let now = Timestamp::from_millis(NOW_MS);
    let question = SignatureQuestion { file, role, message: &message, theirs, now };
    examine(&question, resolve).expect("the file describes a signature")
}

fn causes_of(file: &str, message: &[u8]) -> Vec<SignatureCause> {
    let found = found(file, (MessageRole::Reply, message), None, &resolve);
    assert!(found.refusal.is_some(), "it must not verify as it is");
    found.causes
}

/// The cause that has both pieces is named.
fn assert_named(causes: &[SignatureCause], words: &str, setting: &str) {
    let is_it = |one: &SignatureCause| one.words.contains(words) && one.setting.contains(setting);
    assert!(causes.iter().any(is_it), "`{words}` with `{setting}` is not among {causes:#?}");
}

fn reply(signature: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\nX-Time: {STAMP}\nX-Sig: {signature}\n\n{body}").into_bytes()
}

fn hmac(digest: Digest, key: &[u8], text: &str) -> Vec<u8> {
    digest.hmac(key, &[text.as_bytes()])
}

#[test]
fn a_message_that_verifies_has_no_cause() {
    let right = hmac(Digest::Sha256, KEY.as_bytes(), &format!("{STAMP}\n{BODY}"));
    let message = reply(&hex_lower(&right), BODY);
    let found = found(HMAC, (MessageRole::Reply, &message), None, &resolve);
    assert_eq!(found.refusal, None);
    assert_eq!(found.causes, []);
    let text = found.text.expect("a text");
    assert_eq!(text[..], *format!("{STAMP}\n{BODY}").as_bytes());
    assert!(found.keys[0].shown.starts_with("a shared key of 16 characters, SHA-256 "));
    assert!(!found.keys[0].shown.contains(KEY));
}

#[test]
fn each_mistake_of_a_shared_key_is_named() {
    let signed = |digest, key: &[u8], text: &str| hex_lower(&hmac(digest, key, text));
    let text = format!("{STAMP}\n{BODY}");
    let key = KEY.as_bytes();
    let sha256 = |text: &str| signed(Digest::Sha256, key, text);
    let rows: [(String, &str, &str); 8] = [
        (
            sha256(&format!("{BODY}\n{STAMP}")),
            "the order of what is signed is `{{ body }}\\n{{ timestamp }}`",
            "http.verify.over = \"{{ body }}\\n{{ timestamp }}\"",
        ),
        (sha256(&format!("{text}\n")), "the text ends in `\\n`", "over"),
        (sha256(&format!("{STAMP}{BODY}")), "`` is signed in the place of `\\n`", "over"),
        (
            signed(Digest::Sha512, key, &text),
            "the algorithm is hmac-sha512",
            "http.verify.algorithm = \"hmac-sha512\"",
        ),
        (
            BASE64.encode(hmac(Digest::Sha256, key, &text)),
            "written in base64",
            "http.verify.encoding = \"base64\"",
        ),
        (
            signed(Digest::Sha256, &[0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77], &text),
            "the key's text is hex",
            "http.verify.key_form = \"hex\"",
        ),
        (
            hex_lower(&Digest::Md5.of(&[format!("{text}&key={KEY}").as_bytes()])),
            "a plain md5 with `&key={{ key }}`",
            "algorithm = \"md5\"",
        ),
        (sha256(&text.to_uppercase()), "upper case", ""),
    ];
    for (signature, words, setting) in rows {
        assert_named(&causes_of(HMAC, &reply(&signature, BODY)), words, setting);
    }
    // What an editor did to the file.
    let message = reply(&sha256(&text), &format!("{BODY}\n"));
    assert_named(&causes_of(HMAC, &message), "without the line end that the file has", "");
    let other = hex_lower(&hmac(Digest::Sha256, b"8899aabbccddeeff", &text));
    let file = format!("{HMAC}[http.sign]\nalgorithm = \"hmac-sha256\"\nkey = \"env:OTHER\"\n");
    let causes = causes_of(&file, &reply(&other, BODY));
    assert_named(&causes, "the key `env:OTHER`", "http.verify.key = \"env:OTHER\"");
}

#[test]
fn two_mistakes_at_once_are_named_together() {
    let text = format!("{STAMP}{BODY}");
    let signature = BASE64.encode(hmac(Digest::Sha1, KEY.as_bytes(), &text));
    let causes = causes_of(HMAC, &reply(&signature, BODY));
    assert_eq!(causes.len(), 0, "three are too many: {causes:?}");
    let signature = BASE64.encode(hmac(Digest::Sha256, KEY.as_bytes(), &text));
    let causes = causes_of(HMAC, &reply(&signature, BODY));
    assert_named(&causes, "base64; and ", "http.verify.encoding = \"base64\"\nhttp.verify.over = ");
}

#[test]
fn a_clock_and_a_header_are_named() {
    let right = hmac(Digest::Sha256, KEY.as_bytes(), &format!("1795330800\n{BODY}"));
    let signature = hex_lower(&right);
    let dated = format!("{HMAC}max_age = \"5m\"\n");
    let old = format!("HTTP/1.1 200 OK\nX-Time: 1795330800\nX-Sig: {signature}\n\n{BODY}");
    let causes = causes_of(&dated, old.as_bytes());
    assert_named(&causes, "the clocks are 3600 s apart", "");
    let named = format!("X-Time: 1795330800\nX-Signature: {signature}\n\n{BODY}");
    let causes = causes_of(HMAC, named.as_bytes());
    assert_named(&causes, "header `x-signature` brings what the file expects in `x-sig`", "");
}

#[test]
fn each_mistake_of_sorted_fields_is_named() {
    let md5 = |text: &str| hex_lower(&Digest::Md5.of(&[text.as_bytes()])).to_ascii_uppercase();
    let body = |sign: &str| format!("no=1&code=00&Amt=5&memo=&sign_type=MD5&url=a%2Fb&sign={sign}");
    let rest = "code=00&no=1";
    let rows = [
        (
            format!("Amt=5&{rest}&sign_type=MD5&url=a/b{KEY}"),
            "`{{ key }}` is signed in the place of `&key={{ key }}`",
            "over",
        ),
        (format!("Amt=5&{rest}&url=a/b&key={KEY}"), "`sign_type` is not signed", "exclude"),
        (
            format!("Amt=5&code=00&memo=&no=1&sign_type=MD5&url=a/b&key={KEY}"),
            "values that are there and empty are signed too",
            "http.verify.keep_empty = true",
        ),
        (
            format!("Amt=5&{rest}&sign_type=MD5&url=a%2Fb&key={KEY}"),
            "the values are url-encoded",
            "",
        ),
        (
            format!("no=1&code=00&Amt=5&memo=&sign_type=MD5&url=a/b&key={KEY}"),
            "in the order in which they come",
            "over",
        ),
    ];
    for (text, words, setting) in rows {
        let message = body(&md5(&text));
        assert_named(&causes_of(MD5, message.as_bytes()), words, setting);
    }
    let gbk = "code=00&memo=%B6%A9&sign=";
    let signed = Digest::Md5.of(&[b"code=00&memo=\xb6\xa9&key=", KEY.as_bytes()]);
    let message = format!("{gbk}{}", hex_lower(&signed).to_ascii_uppercase());
    let causes = causes_of(MD5, message.as_bytes());
    assert_named(&causes, "encoded in gbk, not utf-8", "http.charset = \"gbk\"");
}

#[test]
fn padding_hash_and_user_of_key_pairs_are_named() {
    let pair = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).expect("a key");
    let signer = RsaSigner::from_pem(&pair.serialize_pem()).expect("a signer");
    let public = pair.public_key_pem();
    let sm2 = Sm2Signer::parse(&"17".repeat(32), USUAL_USER_ID).expect("a key");
    let sm2_public = hex_lower(&sm2.public_key());
    let keys = |reference: &str| match reference {
        "file:rsa.pem" => Ok(public.clone()),
        "file:sm2" => Ok(sm2_public.clone()),
        _ => Err("there is no such credential".to_owned()),
    };
    let text = format!("{STAMP}\n{BODY}");
    let file =
        |algorithm: &str, key: &str| HMAC.replace("hmac-sha256", algorithm).replace("env:KEY", key);
    let named = |file: &str, signature: &[u8], words: &str, setting: &str| {
        let message = reply(&BASE64.encode(signature), BODY);
        let found = found(file, (MessageRole::Reply, &message), None, &keys);
        assert!(found.refusal.is_some());
        assert!(found.keys[0].shown.contains("SHA-256"), "{:?}", found.keys);
        assert_named(&found.causes, words, setting);
    };
    let rsa = file("rsa-sha256", "file:rsa.pem");
    let pss = signer.sign_as(RsaScheme::Pss, text.as_bytes());
    named(&rsa, &pss, "the padding is PSS", "http.verify.algorithm = \"rsa-pss-sha256\"");
    let long = signer.sign_as(RsaScheme::Pkcs1Sha512, text.as_bytes());
    named(&rsa, &long, "rsa-sha512", "http.verify.algorithm = \"rsa-sha512\"");
    let curve = file("sm2-sm3", "file:sm2");
    let raw = sm2.sign(text.as_bytes(), Sm2Form::Raw);
    named(&curve, &raw, "written as raw", "http.verify.form = \"raw\"");
    let other = curve.replace("key = ", "user_id = \"M1\"\nkey = ");
    let der = sm2.sign(text.as_bytes(), Sm2Form::Der);
    named(&other, &der, "the SM2 user id is", "http.verify.user_id");
}

#[test]
fn a_request_is_held_against_the_text_that_the_bank_signs() {
    let file = HMAC.replace("http.verify", "http.sign");
    let card = "4111111111111111";
    let body = format!("{{\"pan\":\"{card}\",\"no\":\"1\"}}");
    let text = format!("{STAMP}\n{body}");
    let signature = hex_lower(&hmac(Digest::Sha256, KEY.as_bytes(), &text));
    let head = "POST /pay HTTP/1.1\nHost: bank.example";
    let message = format!("{head}\nX-Time: {STAMP}\nX-Sig: {signature}\n\n{body}");
    let theirs = format!("{body}\n{STAMP}\n");
    let request = (MessageRole::Request, message.as_bytes());
    let found = found(&file, request, Some(theirs.as_bytes()), &resolve);
    assert_eq!(found.refusal, None, "our own key made it");
    let difference = found.difference.as_ref().expect("the texts differ");
    assert_eq!((difference.at, difference.ours[0], difference.theirs[0]), (0, b'1', b'{'));
    assert_named(&found.causes, "the order of what is signed", "http.sign.over");
    let shown = show_text(found.text.as_ref().expect("a text"), &found.secrets);
    assert!(!shown.contains(card) && shown.contains("411111"), "{shown}");
}

#[test]
fn a_shared_key_in_a_text_is_masked() {
    let message = "code=00&no=1&sign=00";
    let found = found(MD5, (MessageRole::Reply, message.as_bytes()), None, &resolve);
    let shown = show_text(found.text.as_ref().expect("a text"), &found.secrets);
    assert_eq!(shown, "code=00&no=1&key=***");
    assert_eq!(found.causes, [], "nothing makes a wrong signature right");
}
