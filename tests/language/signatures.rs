//! Signatures: by every algorithm, over every part of a message, in both directions.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use switchyard::channel::NoticeRefusal;

use super::support::{Scratch, witnesses};
use super::*;

const PAY: &str = r#"
[http.payment]
path = "/pay"
body = { no = "{{ order_no }}", amount = "{{ amount }}" }
reply = { code = "/code" }
"#;

/// The body of such a payment.
fn pay_body() -> String {
    format!(r#"{{"no":"{ORDER}","amount":1230}}"#)
}

/// OpenSSL verifies what we sign, and we what OpenSSL signs, with keys of its making.
#[test]
fn every_key_pair_signs_and_verifies_as_openssl_does() {
    if witnesses::is_left_out(!witnesses::has_openssl(), "the openssl command") {
        return;
    }
    let rows = [
        ("rsa-sha1", "RSA -pkeyopt rsa_keygen_bits:2048", "sha1"),
        ("rsa-md5", "RSA -pkeyopt rsa_keygen_bits:2048", "md5"),
        ("rsa-sha256", "RSA -pkeyopt rsa_keygen_bits:2048", "sha256"),
        ("rsa-sha512", "RSA -pkeyopt rsa_keygen_bits:2048", "sha512"),
        ("ecdsa-sha256", "EC -pkeyopt ec_paramgen_curve:P-256", "sha256"),
        ("ed25519", "ED25519", ""),
    ];
    for (algorithm, kind, digest) in rows {
        let town = Scratch::new();
        let folder = town.path();
        openssl(folder, &format!("genpkey -algorithm {kind} -out own.pem"));
        openssl(folder, "pkey -in own.pem -pubout -out public.pem");
        let text = format!(
            "{PAY}[http.sign]\nalgorithm = \"{algorithm}\"\nkey = \"file:own.pem\"\n\
             over = \"{{{{ timestamp }}}}.{{{{ body }}}}\"\n\
             headers = {{ X-Sig = \"{{{{ signature }}}}\" }}\n\
             [http.verify]\nalgorithm = \"{algorithm}\"\nkey = \"file:public.pem\"\n\
             over = \"{{{{ body }}}}\"\nheaders = {{ X-Sig = \"{{{{ signature }}}}\" }}\n"
        );
        let bank = read_in(folder, &text).unwrap_or_else(|found| panic!("{found:#?}"));
        let wire = sent(&bank, &payment());
        let signature = BASE64.decode(header(&wire, "x-sig")).expect("base64");
        std::fs::write(folder.join("sig"), &signature).expect("a file");
        std::fs::write(folder.join("text"), format!("1795334400.{}", pay_body())).expect("a file");
        let pure = "-inkey public.pem -rawin -in text -sigfile sig -pubin";
        match digest {
            "" => openssl(folder, &format!("pkeyutl -verify {pure}")),
            _ => openssl(folder, &format!("dgst -{digest} -verify public.pem -signature sig text")),
        };
        let reply = r#"{"code":"0000"}"#;
        std::fs::write(folder.join("reply"), reply).expect("a file");
        match digest {
            "" => openssl(folder, "pkeyutl -sign -inkey own.pem -rawin -in reply -out theirs"),
            _ => openssl(folder, &format!("dgst -{digest} -sign own.pem -out theirs reply")),
        };
        let theirs = BASE64.encode(std::fs::read(folder.join("theirs")).expect("a signature"));
        let answer =
            |body: &str| told(&bank, &payment(), 200, &[("x-sig", &theirs)], body.as_bytes());
        assert!(is_approved(&answer(reply)), "{algorithm}");
        assert!(is_unknown(&answer(r#"{"code":"0000" }"#)), "{algorithm}");
    }
}

/// Keys without armour, as Alipay's console gives them.
#[test]
fn a_key_may_be_bare_base64() {
    if witnesses::is_left_out(!witnesses::has_openssl(), "the openssl command") {
        return;
    }
    let town = Scratch::new();
    let folder = town.path();
    openssl(folder, "genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out own.pem");
    openssl(folder, "rsa -in own.pem -traditional -out pkcs1.pem");
    openssl(folder, "pkey -in own.pem -pubout -out public.pem");
    for name in ["own", "pkcs1", "public"] {
        let text = std::fs::read_to_string(folder.join(format!("{name}.pem"))).expect("a key");
        let bare: String = text.lines().filter(|line| !line.starts_with('-')).collect();
        std::fs::write(folder.join(format!("{name}.txt")), bare).expect("a file");
    }
    for (own, algorithm) in [("own", "rsa-sha256"), ("pkcs1", "rsa-sha256"), ("pkcs1", "rsa-sha1")]
    {
        let text = format!(
            "{PAY}[http.sign]\nalgorithm = \"{algorithm}\"\nkey = \"file:{own}.txt\"\n\
             over = \"{{{{ body }}}}\"\nheaders = {{ X-Sig = \"{{{{ signature }}}}\" }}\n\
             [http.verify]\nalgorithm = \"{algorithm}\"\nkey = \"file:public.txt\"\n\
             over = \"{{{{ body }}}}\"\nheaders = {{ X-Sig = \"{{{{ signature }}}}\" }}\n\
             [http.inquiry]\nlike = \"payment\"\nbody = {{ code = \"0000\" }}\n\
             reply = {{ code = \"/code\", state = \"/state\" }}\nstates = {{ OK = \"approved\" }}\n"
        );
        let bank = read_in(folder, &text).unwrap_or_else(|found| panic!("{found:#?}"));
        // Our own request stands for a reply: the keys are two halves.
        let wire = sent(&bank, &inquiry());
        let outcome =
            told(&bank, &payment(), 200, &[("x-sig", header(&wire, "x-sig"))], &wire.body);
        assert!(is_approved(&outcome), "{own} {algorithm}");
    }
}

/// The values are those of Python's `hmac`, `hashlib` and `base64` over the same text.
#[test]
fn shared_keys_sign_with_every_digest_and_encoding() {
    let rows = [
        (
            "hmac-sha512",
            "hex",
            "",
            "0b03e452bf4895e38c3fea89c082d3ec69d0049ea9a98bd83d676251c8f6f1b8\
             8771f7e099860532c8d4907caca91dad59cb47586128e0e5340c1fde2ed0744b",
        ),
        ("hmac-sha256", "base64url", "", "KxDohuQ_0R7dguAuYAO5QwPI9ZFaQ2OdVFsErsqYNI4"),
        ("hmac-sha1", "hex_upper", "", "56ACE718032C89AA453D4361B6CA70C2E8035CC9"),
        (
            "hmac-sha256",
            "base64",
            "key_form = \"hex\"",
            "MMwtS5YKlb2TwN1Il9+qJC3/8os3nDU3oYPFYj5jSoE=",
        ),
        (
            "hmac-sha256",
            "hex",
            "key_form = \"base64\"",
            "604662fc479e24931cfb2967a49a95addddc1c440c734a3724b730c2cc7f6604",
        ),
        (
            "sha512",
            "hex",
            "",
            "cb75990faa8566fe08eca62e7c54eaba4c8573a21a75b35a92df15797d1ee11f\
             feba8ae519a98da9c8fa07208c4715385ecf5919ec96a20b183d28f3a491af8a",
        ),
    ];
    for (algorithm, encoding, form, expected) in rows {
        let (key, tail) = match (form, algorithm) {
            ("key_form = \"hex\"", _) => ("env:HEX", ""),
            ("key_form = \"base64\"", _) => ("env:BASE64", ""),
            (_, "sha512") => ("env:KEY", "{{ key }}"),
            (_, _) => ("env:KEY", ""),
        };
        let text = format!(
            "{PAY}[http.sign]\nalgorithm = \"{algorithm}\"\nkey = \"{key}\"\n{form}\n\
             over = \"{{{{ body }}}}{tail}\"\nencoding = \"{encoding}\"\n\
             headers = {{ X-Sig = \"{{{{ signature }}}}\" }}\nverify.as_signed = true\n"
        );
        let text = text.replace("verify.as_signed = true\n", "[http.verify]\nas_signed = true\n");
        let bank = bank(&text);
        let wire = sent(&bank, &payment());
        assert_eq!(header(&wire, "x-sig"), expected, "{algorithm} {encoding} {form}");
        let forged = [("x-sig", "AAAA")];
        assert!(is_unknown(&told(&bank, &payment(), 200, &forged, br#"{"code":"0000"}"#)));
    }
}

/// Adyen's own example of its notices' signature, with its published key.
#[test]
fn adyen_signs_chosen_fields_with_a_key_in_hexadecimal() {
    let text = format!(
        r#"{PAY}
[http.verify]
none = true
[http.notice_verify]
algorithm = "hmac-sha256"
key = "env:ADYEN"
key_form = "hex"
encoding = "base64"
over = "{{{{ /i/0/n/pspReference }}}}:{{{{ /i/0/n/originalReference }}}}:\
{{{{ /i/0/n/merchantAccountCode }}}}:{{{{ /i/0/n/merchantReference }}}}:\
{{{{ /i/0/n/amount/value }}}}:\
{{{{ /i/0/n/amount/currency }}}}:{{{{ /i/0/n/eventCode }}}}:{{{{ /i/0/n/success }}}}"
field = "/i/0/n/additionalData/hmacSignature"
[http.notice]
reply = {{ code = "/i/0/n/success", order_no = "/i/0/n/merchantReference" }}
codes = {{ true = "approved", false = "declined do_not_honour" }}
"#
    )
    .replace("\\\n", "");
    let bank = bank(&text);
    let said = r#"{"live":"false","i":[{"n":{"additionalData":{"hmacSignature":
        "coqCmt/IZ4E3CzPvMY8zTjQVL5hYJUiBRg8UU+iCWo0="},"amount":{"value":1130,"currency":"EUR"},
        "pspReference":"7914073381342284","eventCode":"AUTHORISATION",
        "merchantAccountCode":"TestMerchant","merchantReference":"TestPayment-1407325143704",
        "success":"true"}}]}"#;
    // It is believed, and then names no order of ours.
    let read = |body: &str| bank.decode_notice(&posted(&[], body), sample_now());
    assert_eq!(read(said).err(), Some(NoticeRefusal::UnknownOrder));
    for (from, to) in [("1130", "1131"), ("\"true\"", "\"false\""), ("\"coq", "\"Coq")] {
        let forged = read(&said.replace(from, to));
        assert!(matches!(forged, Err(NoticeRefusal::BadSignature(_))), "{to}");
    }
    let unsigned = text.replace(
        "order_no = \"/i/0/n/merchantReference\"",
        "order_no = \"/i/0/n/merchantReference\", reference = \"/i/0/n/reason\"",
    );
    assert!(refused(&unsigned).contains("stands in no part of the message that is signed"));
}

const STRIPE: &str = r#"
[http.payment]
path = "/pay"
body = { no = "{{ order_no }}", amount = "{{ amount }}" }
reply = { code = "/code" }
[http.verify]
none = true
[http.notice_verify]
algorithm = "hmac-sha256"
key = "env:KEY"
over = "{{ timestamp }}.{{ body }}"
headers = { Stripe-Signature = "t={{ timestamp }},v1={{ signature }}" }
header_list = ","
max_age = "5m"
[http.notice]
reply = { code = "/code", order_no = "/no" }
"#;

/// The signature is Python's `hmac` of "1795334400." and the body.
#[test]
fn stripe_sends_several_signatures_in_one_header_and_a_time() {
    let bank = bank(STRIPE);
    let said = format!(r#"{{"code":"0000","no":"{ORDER}"}}"#);
    let good = "f67ebd2748ce579d79164ee48a65f9b04f16bd7ec61c40dc297d219b3ba37159";
    let read = |value: &str, later_s: i64| {
        let now = switchyard::domain::time::Timestamp::from_millis(
            sample_now().as_millis() + later_s * 1_000,
        );
        bank.decode_notice(&posted(&[("stripe-signature", value)], &said), now).map(drop)
    };
    for value in [
        format!("t=1795334400,v1={good}"),
        format!("t=1795334400,v1={},v1={good},v0=00", "0".repeat(64)),
        format!("v0=junk,v1={good},t=1795334400"),
    ] {
        assert_eq!(read(&value, 299), Ok(()), "{value}");
        assert_eq!(read(&value, -299), Ok(()), "{value}");
        assert!(matches!(read(&value, 301), Err(NoticeRefusal::BadSignature(_))), "too old");
        assert!(matches!(read(&value, -301), Err(NoticeRefusal::BadSignature(_))), "to come");
    }
    for value in [
        format!("t=1795334400,v0={good}"),
        format!("t=1795334401,v1={good}"),
        format!("t=1795334400,t=1795334401,v1={good}"),
        format!("v1={good}"),
        String::new(),
    ] {
        assert!(matches!(read(&value, 0), Err(NoticeRefusal::BadSignature(_))), "{value}");
    }
    let timeless = STRIPE.replace("{{ timestamp }}.{{ body }}", "{{ body }}");
    assert!(refused(&timeless).contains("no time is signed"));
}

/// Each item of such a header may stand in quotes, and has a name.
#[test]
fn items_of_a_list_have_names_and_may_have_quotes() {
    let list = "\"t={{ timestamp }},v1={{ signature }}\"";
    let quoted = "'t=\"{{ timestamp }}\", v1=\"{{ signature }}\"'";
    let quoted = bank(&STRIPE.replace(list, quoted));
    let said = format!(r#"{{"code":"0000","no":"{ORDER}"}}"#);
    let good = "f67ebd2748ce579d79164ee48a65f9b04f16bd7ec61c40dc297d219b3ba37159";
    let read = |value: &str| {
        let notice = posted(&[("stripe-signature", value)], &said);
        quoted.decode_notice(&notice, sample_now()).map(drop)
    };
    assert_eq!(read(&format!("v1=\"{good}\",v0=\"x\", t=\"1795334400\"")), Ok(()));
    // Without its quotes it is another item.
    assert!(read(&format!("t=\"1795334400\", v1={good}")).is_err());
    for nameless in ["\"{{ timestamp }},{{ signature }}\"", "\"t={{ timestamp }},{{ signature }}\""]
    {
        let problem = refused(&STRIPE.replace(list, nameless));
        assert!(problem.contains("items without names"), "{problem}");
    }
}

/// What the sorted fields leave out, and what no chosen field is, anyone could change.
#[test]
fn a_notice_says_nothing_that_is_not_signed() {
    let text = |format: &str, over: &str, notice: &str| {
        let code = if format == "xml" { "/d/code" } else { "/code" };
        format!(
            r#"
format = "json"
reply_format = "{format}"
[http.payment]
path = "/pay"
body = {{ no = "{{{{ order_no }}}}" }}
reply = {{ code = "{code}" }}
[http.verify]
algorithm = "hmac-sha256"
key = "env:KEY"
{over}
[http.payment_notice]
{notice}
"#
        )
    };
    let sorted = "over = \"{{ sorted_fields }}\"\nfield = \"sign\"\nexclude = [\"memo\"]";
    let chosen = "over = \"{{ /no }}{{ /code }}\"\nheaders = { X-Sig = \"{{ signature }}\" }";
    let plain = "reply = { code = \"/code\", order_no = \"/no\" }";
    let when = |path: &str| format!("when = {{ \"{path}\" = \"PAY\" }}\n{plain}");
    for (over, signed) in [(sorted, "/data/kind"), (chosen, "/no")] {
        assert_eq!(read(&text("json", over, &when(signed))).err(), None, "{signed}");
    }
    let xml = |no: &str| {
        let reply = format!("reply = {{ code = \"/d/code\", order_no = \"{no}\" }}");
        format!("when = {{ \"/d/kind\" = \"PAY\" }}\n{reply}")
    };
    assert_eq!(read(&text("xml", sorted, &xml("/d/no"))).err(), None);
    for (format, over, notice) in [
        ("json", sorted, when("/memo")),
        ("json", sorted, when("/sign")),
        ("json", sorted, when("/no").replace("\"/code\"", "\"/memo/code\"")),
        ("json", chosen, when("/kind")),
        ("xml", sorted, xml("/d/memo")),
        ("xml", sorted, xml("/d/no/@id")),
        ("xml", sorted, xml("/d/@no")),
    ] {
        let problem = refused(&text(format, over, &notice));
        assert!(problem.contains("in no part of the message that is signed"), "{problem}");
    }
}

const ALIPAY: &str = r#"
format = "form"
reply_format = "json"
[http.verify]
algorithm = "hmac-sha256"
key = "env:KEY"
over = "{{ element }}"
field = "sign"
[http.payment]
path = "/gateway.do"
body = { no = "{{ order_no }}" }
reply = { code = "/pay_response/code", order_no = "/pay_response/out_trade_no" }
"#;

/// The signature is Python's, over the member's own bytes, blanks and escapes included.
#[test]
fn a_json_member_is_verified_as_it_travels() {
    let bank = bank(ALIPAY);
    let member =
        format!(r#"{{"code":"0000", "msg" : "\u6210功\/ok","out_trade_no":"{ORDER}","n":1.20}}"#);
    let sign = "0537bb56cb8e0afe3906cfd393e21099677e4c00b9aeb40ee81bfe5351c0ce38";
    let good = format!(r#"{{ "pay_response" :{member} ,"sign":"{sign}"}}"#);
    assert!(is_approved(&answered(&bank, &payment(), &good)));
    for forged in [
        good.replace(r#""msg" : "#, r#""msg": "#),
        good.replace("1.20", "1.2"),
        // Of two members, which was signed would be a guess.
        good.replace(r#","sign""#, &format!(r#","pay_response":{member},"sign""#)),
        format!(
            r#"{{"query_response":{member},"pay_response":{{"code":"0000"}},"sign":"{sign}"}}"#
        ),
        format!(r#"{{"pay_response":{member}}}"#),
    ] {
        assert!(is_unknown(&answered(&bank, &payment(), &forged)), "{forged}");
    }
    let outside = ALIPAY.replace("\"/pay_response/out_trade_no\"", "\"/out_trade_no\"");
    assert!(refused(&outside).contains("stands in no part of the message that is signed"));
    let flat = ALIPAY.replace("/pay_response/", "/");
    let found = read(&flat).err().unwrap_or_default();
    assert!(found.iter().all(|one| one.contains("no part of the message")), "{found:?}");
    assert!(!found.is_empty());
}

/// Python's `hmac` over the sorted fields of `/body`, and over the text of `/body`.
#[test]
fn a_signature_stands_inside_a_nested_object() {
    let text = |over: &str| {
        format!(
            r#"
[http.verify]
algorithm = "hmac-sha256"
key = "env:KEY"
{over}
field = "/head/sign"
[http.payment]
path = "/pay"
body = {{ no = "{{{{ order_no }}}}" }}
reply = {{ code = "/body/code" }}
"#
        )
    };
    let reply =
        |sign: &str| format!(r#"{{"head":{{"sign":"{sign}"}},"body":{{"z":2,"code":"0000"}}}}"#);
    let sorted = bank(&text("over = \"{{ sorted_fields }}\"\nsorted_in = \"body\""));
    let element = bank(&text("over = \"{{ element }}\"\nelement = \"/body\""));
    for (bank, sign) in [
        (&sorted, "a4b25a9d803d34301e9732566a3d7b1f6bbac157d0c87a30eee87dcec0b672d5"),
        (&element, "bffb7d60c3714692e15498029a8c2bb309b71b9e4cdef0bc601b3be57ffed537"),
    ] {
        assert!(is_approved(&answered(bank, &payment(), &reply(sign))));
        assert!(is_unknown(&answered(bank, &payment(), &reply(sign).replace("2", "3"))));
        assert!(is_unknown(&answered(bank, &payment(), &reply(""))));
    }
    // What could never verify, or sign itself, is a mistake.
    for (over, problem) in [
        ("over = \"{{ sorted_fields }}\"", "stands inside a value that it signs"),
        ("over = \"{{ element }}\"\nelement = \"/head\"", "holds the signature itself"),
        ("over = \"{{ element }}\"\nelement = \"head\"", "holds the signature itself"),
        ("over = \"{{ body }}\"", "of which the signature is a part"),
    ] {
        assert!(refused(&text(over)).contains(problem), "{over}");
    }
    // We sign so too: the head is made, and the signature of it goes in.
    let signing = text("over = \"{{ element }}\"\nelement = \"/body\"")
        .replace("http.verify", "http.sign")
        .replace("{ no = \"{{ order_no }}\" }", "{ body = { z = 2, code = \"0000\" } }");
    let wire = sent(&bank(&signing), &payment());
    let sign = "bffb7d60c3714692e15498029a8c2bb309b71b9e4cdef0bc601b3be57ffed537";
    let expected = format!(r#"{{"body":{{"z":2,"code":"0000"}},"head":{{"sign":"{sign}"}}}}"#);
    assert_eq!(body(&wire), expected);
}

/// Allinpay's way, by Python's `hashlib`: the key is one of the sorted fields.
#[test]
fn the_key_is_one_of_the_sorted_fields() {
    let text = r#"
format = "form"
[http.sign]
algorithm = "md5"
key = "env:KEY"
over = "{{ sorted_fields }}"
key_field = "key"
field = "sign"
encoding = "hex_upper"
[http.verify]
as_signed = true
[http.payment]
path = "/pay"
body = { trxamt = "{{ amount }}", cusid = "5501", reqsn = "{{ order_no }}" }
reply = { code = "code" }
"#;
    let bank = bank(text);
    let wire = sent(&bank, &payment());
    let expected =
        format!("cusid=5501&reqsn={ORDER}&sign=92E9C1139C01CAE4E300911ABE6F69DA&trxamt=1230");
    assert_eq!(body(&wire), expected);
    assert!(is_approved(&answered(
        &bank,
        &payment(),
        "zz=1&code=0000&sign=12F6763251AC5643D4966D1FEE711EFF"
    )));
    assert!(is_unknown(&answered(
        &bank,
        &payment(),
        "zz=2&code=0000&sign=12F6763251AC5643D4966D1FEE711EFF"
    )));
    let without = text.replace("key_field = \"key\"\n", "");
    assert!(read(&without).is_err(), "anyone could sign so");
}

/// Python's `hmac` over the lines that stand below.
#[test]
fn path_query_headers_and_an_iso_time_are_signed_apart() {
    let text = r#"
[http.sign]
algorithm = "hmac-sha256"
key = "env:KEY"
over = """{{ method }}
{{ path_only }}
{{ query }}
host:{{ header.host }}
x-request-id:{{ header.x-request-id }}
{{ timestamp | time("%Y-%m-%dT%H:%M:%SZ", "UTC") }}
{{ body_sha256 }}"""
[http.sign.headers]
X-Date = '{{ timestamp | time("%Y-%m-%dT%H:%M:%SZ", "UTC") }}'
Authorization = "YOP {{ signature }}"
[http.payment]
path = "/pay"
query = { a = "1", b = "{{ order_no }}" }
headers = { X-Request-Id = "r-{{ order_no }}" }
body = { no = "{{ order_no }}", amount = "{{ amount }}" }
reply = { code = "/code" }
"#;
    let wire = sent(&bank(text), &payment());
    assert_eq!(header(&wire, "x-date"), "2026-11-22T08:00:00Z");
    assert_eq!(
        header(&wire, "authorization"),
        "YOP 22d4ae03e1d26d9aa902fa4ce74bfc43d97fec81a4d91fcb1f246d606fa3624e"
    );
    // POST\n/v1/pay\na=1&b=…\nhost:api.bank.example\nx-request-id:r-…\n2026-…Z\nsha256(body)
    assert!(wire.url.ends_with(&format!("/v1/pay?a=1&b={ORDER}")));
    let reply = text.replace("[http.sign]", "[http.verify]").replace("http.sign.", "http.verify.");
    let found = read(&reply).err().unwrap_or_default();
    assert!(found.iter().any(|one| one.contains("which a reply does not have")), "{found:?}");
}
