//! Constructs of real, public APIs, one row each: the file says it and the reader takes it, or the
//! reader refuses it with a sentence and the manual lists it. The tests beside this one see those
//! that are taken at work on bytes; nothing is taken and dead.

use super::*;

/// What becomes of a construct.
enum Verdict {
    /// Further keys of `[http]`, its payment among them where the row needs another one.
    Said(&'static str),
    /// The same, and what the reader says of it.
    Refused(&'static str, &'static str),
}
use Verdict::{Refused, Said};

const MANUAL: &str = include_str!("../../docs/CHANNEL-FILE.md");

/// A payment where the row describes none.
const USUAL: &str = "[http.payment]\npath = \"/pay\"\nbody = { no = \"{{ order_no }}\" }\n\
                     reply = { code = \"/code\" }\n";

macro_rules! payment_body {
    ($line:literal) => {
        concat!(
            "[http.payment]\npath = \"/pay\"\nreply = { code = \"/code\" }\n[http.payment.body]\n",
            $line,
            "\n"
        )
    };
}
macro_rules! sign {
    ($lines:literal) => {
        concat!(
            "[http.sign]\nalgorithm = \"hmac-sha256\"\nkey = \"env:KEY\"\n",
            $lines,
            "\nheaders = { X-Sig = \"{{ signature }}\" }\n"
        )
    };
}
macro_rules! verify {
    ($lines:literal) => {
        concat!("[http.verify]\nalgorithm = \"hmac-sha256\"\nkey = \"env:KEY\"\n", $lines, "\n")
    };
}
macro_rules! algorithm {
    ($name:literal, $key:literal) => {
        concat!(
            "[http.sign]\nalgorithm = \"",
            $name,
            "\"\nkey = \"",
            $key,
            "\"\nover = \"{{ body }}\"\nheaders = { X-Sig = \"{{ signature }}\" }\n"
        )
    };
}

/// Construct, whose API has it, and what becomes of it.
const ROWS: [(&str, &str, Verdict); 48] = [
    (
        "form request, JSON reply",
        "Stripe, Alipay, PayPal",
        Said("format = \"form\"\nreply_format = \"json\"\n"),
    ),
    (
        "replies unsigned, notices signed",
        "Stripe, Adyen, Square",
        Said(
            "verify = { none = true }\n\
             notice = { reply = { code = \"/code\", order_no = \"/o\" } }\n\
             [http.notice_verify]\nalgorithm = \"hmac-sha256\"\nkey = \"env:KEY\"\n\
             over = \"{{ body }}\"\nheaders = { X-Sig = \"{{ signature }}\" }\n",
        ),
    ),
    (
        "a time and several signatures in one header",
        "Stripe",
        Said(verify!(
            "over = \"{{ timestamp }}.{{ body }}\"\nheader_list = \",\"\nmax_age = \"5m\"\n\
             headers = { Stripe-Signature = \"t={{ timestamp }},v1={{ signature }}\" }"
        )),
    ),
    (
        "signature over chosen fields of the body",
        "Adyen, 99bill, YeePay",
        Said(verify!(
            "over = \"{{ /a }}:{{ /b/0/c }}\"\nheaders = { X-Sig = \"{{ signature }}\" }"
        )),
    ),
    (
        "HMAC key given in hexadecimal",
        "Adyen",
        Said(
            "[http.sign]\nalgorithm = \"hmac-sha256\"\nkey = \"env:HEX\"\nkey_form = \"hex\"\n\
             over = \"{{ body }}\"\nheaders = { X-Sig = \"{{ signature }}\" }\n",
        ),
    ),
    (
        "signature inside a nested object of the reply",
        "CMB, JD",
        Said(verify!("over = \"{{ element }}\"\nelement = \"body\"\nfield = \"/head/sign\"")),
    ),
    (
        "signature over one JSON member as it travels",
        "Alipay, Douyin, CMB",
        Said(concat!(
            "[http.verify]\nalgorithm = \"hmac-sha256\"\nkey = \"env:KEY\"\n\
             over = \"{{ element }}\"\nfield = \"sign\"\n",
            "[http.payment]\npath = \"/pay\"\nbody = { no = \"{{ order_no }}\" }\n\
             reply = { code = \"/pay_response/code\" }\n"
        )),
    ),
    ("RSA with SHA-1", "Alipay, ChinaPay, CCB, BOC", Said(algorithm!("rsa-sha1", "env:RSA"))),
    ("RSA with MD5", "Lianlian", Said(algorithm!("rsa-md5", "env:RSA"))),
    ("RSA with SHA-512", "some banks", Said(algorithm!("rsa-sha512", "env:RSA"))),
    ("ECDSA", "Airwallex, Visa", Said(algorithm!("ecdsa-sha256", "env:P256"))),
    ("Ed25519", "Wise", Said(algorithm!("ed25519", "env:ED25519"))),
    ("HMAC-SHA512", "Checkout", Said(algorithm!("hmac-sha512", "env:KEY"))),
    (
        "SHA-512 over a text with the key in it",
        "Billdesk, PayU",
        Said(
            "[http.sign]\nalgorithm = \"sha512\"\nkey = \"env:KEY\"\n\
             over = \"{{ body }}{{ key }}\"\nheaders = { X-Sig = \"{{ signature }}\" }\n",
        ),
    ),
    (
        "signature in base64url",
        "YeePay, JWS",
        Said(sign!("over = \"{{ body }}\"\nencoding = \"base64url\"")),
    ),
    (
        "ISO time inside what is signed",
        "YeePay, AWS-like, Baidu",
        Said(sign!("over = '{{ timestamp | time(\"%Y-%m-%dT%H:%M:%SZ\", \"UTC\") }} {{ body }}'")),
    ),
    (
        "path and query apart, headers in what is signed",
        "YeePay, AWS-like",
        Said(sign!(
            "over = '{{ method }} {{ path_only }} {{ query }} {{ header.host }} {{ body_sha256 }}'"
        )),
    ),
    (
        "key as one of the sorted fields",
        "Allinpay",
        Said(
            "[http.sign]\nalgorithm = \"md5\"\nkey = \"env:KEY\"\nover = \"{{ sorted_fields }}\"\n\
             key_field = \"key\"\nfield = \"sign\"\n",
        ),
    ),
    (
        "key behind the sorted fields",
        "WeChat v2, many wallets",
        Said(
            "[http.sign]\nalgorithm = \"md5\"\nkey = \"env:KEY\"\nfield = \"sign\"\n\
             over = \"{{ sorted_fields }}&key={{ key }}\"\nencoding = \"hex_upper\"\n",
        ),
    ),
    (
        "bearer token from a request of its own",
        "PayPal, Citi, Open Banking, Baofoo",
        Said(
            "token = { path = \"/oauth2/token\", reply = { token = \"/access_token\" } }\n\
             [http.payment]\npath = \"/pay\"\nreply = { code = \"/code\" }\n\
             headers = { Authorization = \"Bearer {{ access_token }}\" }\n",
        ),
    ),
    (
        "Basic authorisation made of id and secret",
        "Stripe, PayPal",
        Said(
            "secrets = { api_key = \"env:KEY\" }\n[http.payment]\npath = \"/pay\"\n\
             reply = { code = \"/code\" }\n\
             headers = { Authorization = \"Basic {{ (api_key ~ ':') | base64 }}\" }\n",
        ),
    ),
    (
        "Basic authorisation, ready made in the secret",
        "Stripe, PayPal",
        Said(
            "secrets = { api_key = \"env:KEY\" }\n[http.payment]\npath = \"/pay\"\n\
             reply = { code = \"/code\" }\n\
             headers = { Authorization = \"Basic {{ api_key }}\" }\n",
        ),
    ),
    (
        "JSON text inside a form field, written by a filter",
        "Alipay",
        Said(payment_body!("biz = \"{{ {'no': order_no, 'subject': description} | tojson }}\"")),
    ),
    (
        "JSON text inside a form field, by hand",
        "Alipay",
        Said(payment_body!(
            "biz = '{\"no\":\"{{ order_no }}\",\"subject\":\"{{ description }}\"}'"
        )),
    ),
    ("form names with brackets", "Stripe", Said(payment_body!("\"card[number]\" = \"x\""))),
    (
        "expiry as month and year",
        "Stripe, Adyen",
        Said(payment_body!("m = \"{{ card.expiry[2:] }}\"")),
    ),
    ("amount in yuan as text", "Alipay", Said(payment_body!("a = \"{{ amount_decimal }}\""))),
    (
        "amount in yuan as a JSON number",
        "older bank APIs",
        Said(payment_body!("a = \"{{ amount_decimal | number }}\"")),
    ),
    (
        "HTTP status as the code, without a body",
        "WeChat, REST",
        Said(
            "accept_statuses = [204]\n[http.payment]\npath = \"/pay\"\n\
             reply = { code = \"@status\" }\ncodes = { 204 = \"approved\" }\n",
        ),
    ),
    (
        "two places for one code",
        "Stripe",
        Said(
            "[http.payment]\npath = \"/pay\"\nstates = { OK = \"approved\" }\n\
             reply = { code = [\"/error/decline_code?\", \"/error/code?\"], state = \"/s\" }\n",
        ),
    ),
    (
        "an empty list means no such order",
        "Stripe, Square",
        Said(concat!(
            "[http.payment]\npath = \"/pay\"\nreply = { code = \"/code\" }\n",
            "[http.inquiry]\nmethod = \"GET\"\npath = \"/search\"\nstates = { OK = \"approved\" }\n\
             reply = { code = \"/code?\", list = \"/data\", state = \"/data/0/s\", \
             order_no = \"/data/0/no\" }\n"
        )),
    ),
    (
        "reply wrapped in a list",
        "Adyen, Worldpay",
        Said("[http.payment]\npath = \"/pay\"\nreply = { code = \"/items/0/code\" }\n"),
    ),
    (
        "encrypted reply is opened",
        "NUCC, Ping An, CMB",
        Said(
            "decrypt = { algorithm = \"sm4-cbc\", key = \"env:HEX\", cipher_text = \"/data\", \
             of = [\"replies\"] }\n",
        ),
    ),
    (
        "several fields encrypted as one JSON text",
        "banks' envelopes",
        Said(concat!(
            "encrypt = { algorithm = \"aes-gcm\", key = \"env:HEX\" }\n",
            payment_body!(
                "d = \"{{ {'card': card.number, 'cvv': card.cvv} | tojson | encrypted }}\""
            )
        )),
    ),
    (
        "a fresh symmetric key under the bank's key",
        "CFCA, NUCC, ICBC",
        Said(concat!(
            "[http.encrypt]\nalgorithm = \"sm4-cbc\"\nkey = \"env:PUBLIC\"\n\
             key_under = \"rsa-pkcs1\"\n",
            payment_body!("d = \"{{ card.number | encrypted }}\"\nk = \"{{ envelope_key }}\"")
        )),
    ),
    (
        "RSA encryption of the card (PKCS#1 v1.5)",
        "UnionPay, YeePay",
        Said(concat!(
            "encrypt = { algorithm = \"rsa-pkcs1\", key = \"env:PUBLIC\" }\n",
            payment_body!("c = \"{{ card.number | encrypted }}\"")
        )),
    ),
    (
        "SM2 encryption of the card",
        "CFCA, CMB",
        Said(concat!(
            "encrypt = { algorithm = \"sm2\", key = \"env:SM2\" }\n",
            payment_body!("c = \"{{ card.number | encrypted }}\"")
        )),
    ),
    // A key of the whole file: `mutual_tls` sees it at work.
    ("client certificate", "WeChat v2, Visa", Said("")),
    (
        "GBK bodies",
        "many Chinese banks",
        Said("format = \"form\"\nreply_format = \"json\"\ncharset = \"gbk\"\n"),
    ),
    (
        "DELETE or PATCH",
        "REST",
        Said("[http.payment]\nmethod = \"PATCH\"\npath = \"/pay\"\nreply = { code = \"/code\" }\n"),
    ),
    (
        "two requests for one operation",
        "Stripe, SMS codes, 3-D Secure",
        Said(
            "[http.payment]\npath = \"/pay/{{ first.id }}\"\nbody = { t = \"{{ first.token }}\" }\n\
             reply = { code = \"/code\" }\n[http.payment.first]\npath = \"/tokens\"\n\
             reply = { code = \"/code\" }\nbrings = { token = \"/t\", id = \"/data/0/id\" }\n",
        ),
    ),
    (
        "the payer's address",
        "UnionPay, Adyen, 3-D Secure",
        Refused(payment_body!("ip = \"{{ client_ip }}\""), "is not a word of templates"),
    ),
    (
        "our notice address",
        "every wallet",
        Said(concat!(
            "notice_url = \"https://pay.example/notices/x\"\n",
            payment_body!("n = \"{{ notice_url }}\"")
        )),
    ),
    (
        "the core's merchant as the channel's",
        "facilitators",
        Said(concat!(
            "merchants = { m-1 = { mch = \"1\" }, m-2 = { mch = \"2\" } }\n",
            payment_body!("m = \"{{ merchant.mch }}\"")
        )),
    ),
    (
        "inquiry by several keys and the original's time",
        "UnionPay-like",
        Said(concat!(
            "[http.payment]\npath = \"/pay\"\nreply = { code = \"/code\" }\n",
            "[http.inquiry]\npath = \"/q\"\nstates = { OK = \"approved\" }\n\
             body = { t = '{{ sent_at | time(\"%Y%m%d\", \"UTC\") }}', o = \"{{ order_no }}\" }\n\
             reply = { code = \"/code\", state = \"/s\" }\n"
        )),
    ),
    ("order number in another form", "banks", Said(payment_body!("o = \"SW{{ order_no }}000\""))),
    (
        "reply names our order in that form",
        "banks",
        Said(
            "order_no = \"SW{{ order_no }}000\"\n[http.payment]\npath = \"/pay\"\n\
             body = { o = \"{{ order_no }}\" }\nreply = { code = \"/code\", order_no = \"/o\" }\n",
        ),
    ),
    (
        "settle date with a time",
        "Adyen, WeChat",
        Said(
            "[http.payment]\npath = \"/pay\"\nreply = { code = \"/code\", settle_date = \"/d\" }\n",
        ),
    ),
];

#[test]
fn every_construct_is_said_or_refused_with_a_sentence() {
    let mut said = 0;
    for (construct, apis, verdict) in &ROWS {
        let whole = |keys: &str| {
            let own = keys.contains("[http.payment]");
            format!("{keys}{}", if own { "" } else { USUAL })
        };
        match verdict {
            Said(keys) => {
                said += 1;
                let found = read(&whole(keys)).err();
                assert_eq!(found, None, "{construct} ({apis})");
            }
            Refused(keys, words) => {
                let found = read(&whole(keys)).err().unwrap_or_default();
                assert!(found.iter().any(|one| one.contains(words)), "{construct}: {found:?}");
                assert!(MANUAL.contains(construct), "the manual does not list: {construct}");
            }
        }
    }
    assert_eq!(said, 47);
}
