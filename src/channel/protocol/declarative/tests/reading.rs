//! What `[http]` may not say, and templates beyond the shipped files'.

use bytes::Bytes;
use http::HeaderMap;

use super::{
    CANYON, Declarative, HARBOUR, MEADOW, QUARRY, bare_payment, header, inquiry, load, now,
    payment, undo,
};
use crate::channel::{Adapter, ChannelRequest, WireReply};
use crate::domain::bin::CardType;
use crate::domain::outcome::{Outcome, UnknownCause};

/// A small file that is right; rows change one thing in it.
const SMALL: &str = r#"
[codes]
"0" = "approved"
[http]
base_url = "https://bank.example/"
[http.payment]
path = "/pay"
[http.payment.body]
no = "{{ order_no }}"
[http.payment.reply]
code = "/code"
"#;

fn mistakes(text: &str) -> Vec<String> {
    load(text).err().unwrap_or_default()
}

#[test]
fn the_small_file_is_right() {
    assert_eq!(mistakes(SMALL), Vec::<String>::new());
}

/// Makes one change at a time in the small file: from, to, and how its only mistake begins.
fn each_is_reported(rows: &[(&str, &str, &str)]) {
    for (from, to, expected) in rows {
        assert!(SMALL.contains(from));
        let found = mistakes(&SMALL.replace(from, to));
        assert_eq!(found.len(), 1, "{to}: {found:?}");
        assert!(found[0].starts_with(expected), "{to}: {}", found[0]);
    }
}

#[test]
fn a_template_mistake_has_its_line_and_advice() {
    each_is_reported(&[
        (
            "{{ order_no }}",
            "{{ ordr_no }}",
            "bank.toml:9: http.payment.body.no: `ordr_no` is not a word",
        ),
        (
            "{{ order_no }}",
            "{{ order_no",
            "bank.toml:9: http.payment.body.no: has an expression that",
        ),
        ("{{ order_no }}", "{% if x %}", "bank.toml:9: http.payment.body.no: has a statement"),
        (
            "{{ order_no }}",
            "{{ order_no + }}",
            "bank.toml:9: http.payment.body.no: {{ order_no + }}",
        ),
        (
            "{{ order_no }}",
            "{{ original.amount }}",
            "bank.toml:9: http.payment.body.no: `original.amount` is not known",
        ),
        ("{{ order_no }}", "{{ card }}", "bank.toml:9: http.payment.body.no: `card` is not a word"),
        (
            "{{ order_no }}",
            "{{ amount / 100 }}",
            "bank.toml:6: http.payment: cannot be built from sample data: body.no: a number",
        ),
        (
            "{{ order_no }}",
            "{{ order_no | tme }}",
            "bank.toml:6: http.payment: cannot be built from sample data",
        ),
        (
            "{{ order_no }}",
            "{{ now | time('%Y', 'Mars/Base') }}",
            "bank.toml:9: http.payment.body.no: {{ now | time('%Y', 'Mars/Base') }}: the time zone",
        ),
        (
            "{{ order_no }}",
            "{{ (now + 1) | time('%Y', 'Mars/Base') }}",
            "bank.toml:6: http.payment: cannot be built from sample data",
        ),
        ("\"/pay\"", "\"pay\"", "bank.toml:7: http.payment.path: does not begin with a slash"),
        ("\"/pay\"", "\"/pay?x=1\"", "bank.toml:7: http.payment.path: has a character"),
    ]);
}

#[test]
fn a_path_or_code_mistake_has_its_line_and_advice() {
    each_is_reported(&[
        (
            "\"/pay\"",
            "\"/{{ card.number }}\"",
            "bank.toml:7: http.payment.path: `card.number` is card data",
        ),
        ("\"/code\"", "\"code\"", "bank.toml:11: http.payment.reply.code: is not a JSON pointer"),
        (
            "\"/code\"",
            "\"/code\"\nordr_no = \"/x\"",
            "bank.toml:12: http.payment.reply.ordr_no: is not a known setting",
        ),
        ("\"approved\"", "\"pending\"", "bank.toml:6: http.payment.codes: no code means approved"),
        (
            "\"/code\"",
            "\"/code\"\noriginal_no = \"/x\"",
            "bank.toml:10: http.payment.reply: `original_no` is of no meaning here",
        ),
        (
            "\"/code\"",
            "\"/code\"\noriginal_reference = \"/x\"",
            "bank.toml:10: http.payment.reply: `original_reference` is of no meaning here",
        ),
    ]);
}

/// No word about the card takes a yes from its reply.
#[test]
fn a_reply_may_name_the_card_s_type() {
    let more =
        "card_type = \"/card\"\n[http.payment.card_types]\nD = \"debit\"\nQ = \"quasi_credit\"\n";
    let adapter = load(&format!("{SMALL}{more}")).expect("a right file");
    for (card, expected) in [
        (r#","card":"D""#, Some(CardType::Debit)),
        (r#","card":"Q""#, Some(CardType::QuasiCredit)),
        (r#","card":"C""#, None),
        (r#","card":{"type":"D"}"#, None),
        ("", None),
    ] {
        let body = Bytes::from(format!(r#"{{"code":"0"{card}}}"#));
        let reply = WireReply { status: 200, headers: HeaderMap::new(), body };
        let Outcome::Approved(approval) = adapter.decode(&payment(), &reply, now()).outcome else {
            panic!("{card}: it is a yes");
        };
        assert_eq!(approval.card_type, expected, "{card}");
    }
    each_is_reported(&[
        (
            "\"/code\"",
            "\"/code\"\ncard_type = \"/card\"",
            "bank.toml:6: http.payment.card_types: and `reply.card_type` go together",
        ),
        (
            "\"/code\"",
            "\"/code\"\n[http.payment.card_types]\nD = \"debit\"",
            "bank.toml:12: http.payment.card_types: and `reply.card_type` go together",
        ),
    ]);
}

/// A reply in the name of what is followed up is about that, or about nothing of ours.
#[test]
fn i_2_a_reply_about_another_original_is_unknown() {
    let (_, payment) = SMALL.split_once("[http.payment]").expect("it has one");
    let follow_up = format!("[http.undo]{}", payment.replace("http.payment", "http.undo"));
    let read = |more: &str| load(&format!("{SMALL}{follow_up}{more}")).expect("a right file");
    let mut asked = undo();
    if let ChannelRequest::FollowUp { original, .. } = &mut asked {
        original.channel_reference = Some("R1".to_owned());
    }
    let decode = |adapter: &Declarative, body: &str| {
        let body = Bytes::from(body.to_owned());
        let reply = WireReply { status: 200, headers: HeaderMap::new(), body };
        adapter.decode(&asked, &reply, now()).outcome
    };
    let number = read("original_no = \"/of\"\n");
    let reference = read("original_reference = \"/of?\"\n");
    let ours = asked.stated().original.expect("it follows something up").channel_order_no;
    for (adapter, body, is_believed) in [
        (&number, format!(r#"{{"code":"0","of":"{ours}"}}"#), true),
        (&number, r#"{"code":"0","of":"261122001000000000999"}"#.to_owned(), false),
        (&number, r#"{"code":"0"}"#.to_owned(), false),
        (&reference, r#"{"code":"0","of":"R1"}"#.to_owned(), true),
        (&reference, r#"{"code":"0","of":"R2"}"#.to_owned(), false),
        (&reference, r#"{"code":"0"}"#.to_owned(), true),
    ] {
        let found = decode(adapter, &body);
        assert_eq!(matches!(found, Outcome::Approved(_)), is_believed, "{body}: {found:?}");
        assert_eq!(matches!(found, Outcome::Unknown(_)), !is_believed, "{body}: {found:?}");
    }
}

#[test]
fn a_mistake_of_the_whole_has_its_line_and_advice() {
    each_is_reported(&[
        (
            "https://bank.example/",
            "http://bank.example/",
            "bank.toml:5: http.base_url: sends card data in clear",
        ),
        (
            "https://bank.example/",
            "bank.example",
            "bank.toml:5: http.base_url: begins with neither",
        ),
        (
            "https://bank.example/",
            "https://a@bank.example/",
            "bank.toml:5: http.base_url: is more than",
        ),
        (
            "https://bank.example/",
            "https://bank.example/支付",
            "bank.toml:5: http.base_url: is not a URL",
        ),
        (
            "[http]\n",
            "[http]\nformat = \"yaml\"\n",
            "bank.toml:5: http.format: \"yaml\" is not allowed",
        ),
        (
            "[http]\n",
            "[http]\nsecrets = { token = \"env:NOTHING\" }\n",
            "bank.toml:5: http.secrets.token: there is no such credential",
        ),
        (
            "[http]\n",
            "[http]\nvalues = { amount = 1 }\n",
            "bank.toml:5: http.values.amount: is a word of templates already",
        ),
        (
            "[http]\n",
            "[http]\nverify = { as_signed = true }\n",
            "bank.toml:5: http.verify.as_signed: there is no [http.sign]",
        ),
        ("no = ", "no = 1.5\nx = ", "bank.toml:9: http.payment.body.no: is a number with a point"),
    ]);
}

#[test]
fn i_11_a_secret_goes_into_headers_and_bodies_but_into_no_url() {
    let text =
        SMALL.replace("[http]\n", "[http]\nsecrets = { token = \"env:HARBOUR_BANK_KEY\" }\n");
    let headers = "[http.payment.headers]\nAuthorization = \"Bearer {{ token }}\"\n";
    assert_eq!(mistakes(&format!("{text}{headers}")), Vec::<String>::new());
    let found = mistakes(&text.replace("/pay", "/{{ token }}"));
    assert!(found[0].contains("`token` is a secret"), "{found:?}");
    let card = "[http.payment.headers]\nX-Card = \"{{ card.number }}\"\n";
    let found = mistakes(&format!("{text}{card}"));
    assert!(found[0].contains("`card.number` is card data"), "{found:?}");
}

#[test]
fn all_mistakes_are_reported_at_once() {
    let text = SMALL
        .replace("{{ order_no }}", "{{ ordr_no }}")
        .replace("\"/pay\"", "\"pay\"")
        .replace("\"/code\"", "\"code\"")
        .replace("https:", "ftp:");
    assert_eq!(mistakes(&text).len(), 4);
    assert_eq!(mistakes("").len(), 2);
    let codes = mistakes(&SMALL.replace("\"approved\"", "\"yes\""));
    assert!(codes[0].starts_with("bank.toml:3: codes.0: write approved"), "{codes:?}");
    let unknown_too = SMALL.replace("https:", "ftp:").replace("[http]\n", "[http]\nhost = 1\n");
    assert!(mistakes(&unknown_too).iter().any(|mistake| mistake.contains("http.host")));
}

#[test]
fn an_inquiry_says_where_the_original_s_end_stands() {
    let bare = "[http.inquiry]\npath = \"/q\"\nreply = { code = \"/code\" }\n";
    let found = mistakes(&format!("{SMALL}{bare}"));
    assert!(found[0].contains("http.inquiry.reply.state: and `result_code` are missing"));
    let rows = [
        ("reply = { code = \"/code\", state = \"/s\" }", "no state means approved"),
        ("reply = { code = \"/code\", state = \"/s\" }\nstates = { OK = \"fine\" }", "not allowed"),
        (
            "reply = { code = \"/code\", result_code = \"/r\" }\nstates = { A = \"approved\" }",
            "is missing",
        ),
    ];
    for (reply, expected) in rows {
        let found = mistakes(&format!("{SMALL}[http.inquiry]\npath = \"/q\"\n{reply}\n"));
        assert!(found.iter().any(|mistake| mistake.contains(expected)), "{reply}: {found:?}");
    }
}

#[test]
fn a_signature_that_proves_nothing_is_refused() {
    let rows = [
        (
            HARBOUR,
            r#"over = "{{ timestamp }}\n{{ body }}""#,
            r#"over = "{{ timestamp }}""#,
            "leaves the body out",
        ),
        (HARBOUR, "{{ body }}\"", "{{ bdy }}\"", "is not a word of signatures"),
        (HARBOUR, ", X-Signature = \"{{ signature }}\"", "", "not exactly one is given"),
        (HARBOUR, "X-Timestamp = \"{{ timestamp }}\", ", "", "which no header brings"),
        (HARBOUR, "X-Timestamp = \"{{ timestamp }}", "X-A = \"{{ key }}", "no header may have"),
        (HARBOUR, "{{ timestamp }}\\n", "{{ timestamp }}{{ path }}", "which a reply does not have"),
        (HARBOUR, "hmac-sha256", "rsa-sha256", "http.sign.key"),
        (HARBOUR, "hmac-sha256", "md5", "and `algorithm` do not fit"),
        (HARBOUR, "env:HARBOUR_BANK_KEY", "env:OTHER", "there is no such credential"),
        (MEADOW, "{{ sorted_fields }}", "{{ body }}", "of which the signature is a part"),
        (MEADOW, "&key={{ key }}", "", "and `algorithm` do not fit"),
        (CANYON, "over = \"{{ timestamp }}\\n", "as_signed = true\nover = \"", "both sides have"),
        (
            CANYON,
            "serial=\"{{ cert }}\"",
            "serial=\"{{ key_id }}\"",
            "http.sign.key_id: is missing",
        ),
        (
            HARBOUR,
            "verify = {",
            "notice = { like = \"inquiry\" }\nvrify = {",
            "anyone could post one",
        ),
        (CANYON, "{{ cert }}", "{{ crt }}", "is not a word of signatures"),
        (QUARRY, "element = \"body\"\n", "", "and nothing says which"),
        (QUARRY, "element = \"body\"", "element = \"sign\"", "holds the signature itself"),
        (
            QUARRY,
            "[http.payment.body.trade]\n",
            "[http.payment.body]\n",
            "one table inside another",
        ),
        (QUARRY, "orderNo = \"{{ o", "\"1 o\" = \"{{ o", "is not the name of an XML element"),
        (QUARRY, "like = \"refund\"", "like = \"void\"", "names no section of"),
        (QUARRY, "env:QUARRY_BANK_CARD_KEY", "env:HARBOUR_BANK_KEY", "not hexadecimal"),
        (QUARRY, "/trade/body/code", "trade/body/code", "is not a path of elements"),
    ];
    for (text, from, to, expected) in rows {
        assert!(text.contains(from), "{from}");
        let found = mistakes(&text.replace(from, to));
        assert!(found.iter().any(|mistake| mistake.contains(expected)), "{to}: {found:?}");
    }
}

#[test]
fn i_11_no_mistake_quotes_a_credential() {
    let found = mistakes(&HARBOUR.replace("env:HARBOUR_BANK_KEY", "the-key-itself"));
    assert!(!found.is_empty());
    assert!(found.iter().all(|mistake| !mistake.contains("the-key-itself")), "{found:?}");
}

#[test]
fn a_key_that_replaces_another_is_good_beside_it() {
    let verify = "verify = { as_signed = true";
    let rotating = format!("{verify}, keys = {{ older = \"env:HARBOUR_BANK_KEY\" }}");
    assert_eq!(mistakes(&HARBOUR.replace(verify, &rotating)), Vec::<String>::new());
    let wrong = format!("{verify}, keys = {{ older = \"env:GONE\" }}");
    let found = mistakes(&HARBOUR.replace(verify, &wrong));
    assert!(found[0].contains("http.verify.keys.older: there is no such credential"));
}

#[test]
fn a_body_keeps_types_and_leaves_out_what_is_absent() {
    let body = r#"no = "{{ order_no }}"
whole = 3
yes = true
sum = "{{ amount + 1 }}"
text = "A-{{ amount }}/{{ currency | lower }}"
cut = "{{ description[:2] }}"
fallback = "{{ card.holder | default('nobody') }}"
zone = "{{ now | time('%s', 'UTC') }}"
later = "{{ (now + 1000) | time('%s', 'UTC') }}"
list = ["{{ card.cvv }}", "{{ amount_decimal }}", { a = "{{ card.expiry }}" }]
owner.name = "{{ card.holder }}""#;
    let text = SMALL.replace("no = \"{{ order_no }}\"", body);
    let adapter = load(&text).expect("a right file");
    let body = |request| adapter.encode(&request, now()).expect("encodable").body;
    let whole = concat!(
        r#"{"no":"261122001000000000701","whole":3,"yes":true,"sum":1231,"text":"A-1230/cny","#,
        r#""cut":"订单","fallback":"ZHANG \"SAN\"","zone":"1795334401","later":"1795334402","#,
        r#""list":["123","12.30",{"a":"3012"}],"owner":{"name":"ZHANG \"SAN\""}}"#
    );
    assert_eq!(body(payment()), whole);
    let bare = concat!(
        r#"{"no":"261122001000000000701","whole":3,"yes":true,"sum":1231,"text":"A-1230/cny","#,
        r#""fallback":"nobody","zone":"1795334401","later":"1795334402","list":["12.30"]}"#
    );
    assert_eq!(body(bare_payment()), bare);
}

#[test]
fn i_11_an_error_of_a_request_names_the_place_and_no_value() {
    let rows = [
        ("x {{ card.holder }}", "body.no: part of a text is absent from this request"),
        ("{{ 1 if card.holder else [card.number] }}", "body.no: the value is not a text"),
        ("{{ 1 if card.holder else card.number | tme }}", "body.no: the expression fails"),
        ("{{ 1 if card.holder else amount / 7 }}", "body.no: a number with a point"),
    ];
    for (leaf, expected) in rows {
        let text = SMALL.replace("{{ order_no }}", leaf);
        let adapter = load(&text).expect("right for the sample");
        let error = adapter.encode(&bare_payment(), now()).err().expect("not encodable");
        assert!(error.problem.starts_with(expected), "{leaf}: {}", error.problem);
        assert!(!error.to_string().contains("4111"));
    }
    let headers = "[http.payment.headers]\nX-About = \"{{ description }}\"\n";
    let adapter = load(&format!("{SMALL}{headers}")).expect("a right file");
    let error = adapter.encode(&broken_description(), now()).err().expect("not encodable");
    assert_eq!(error.problem, "a header has a character that none may have");
}

fn broken_description() -> crate::channel::ChannelRequest {
    let mut request = payment();
    if let crate::channel::ChannelRequest::Charge { facts, .. } = &mut request {
        facts.description = Some("two\nlines".to_owned());
    }
    request
}

#[test]
fn a_path_may_name_the_order_and_a_get_has_no_body() {
    let inquiry_text = concat!(
        "[http.inquiry]\nmethod = \"GET\"\npath = \"/o/{{ order_no }}/{{ reference }}\"\n",
        "headers = { X-Key = \"k {{ currency }}\" }\n",
        "reply = { code = \"/code\", state = \"/state\" }\n",
        "states = { DONE = \"approved\", NONE = \"not_found\" }\n"
    );
    let text = format!("{SMALL}{inquiry_text}").replace("example/", "example/api/");
    let text = text.replace("[http]\n", "[http]\naccept_statuses = [404]\n");
    let adapter = load(&text).expect("a right file");
    let mut asked = inquiry();
    if let crate::channel::ChannelRequest::Inquiry { facts, .. } = &mut asked {
        facts.channel_reference = Some("a/b?ü".to_owned());
    }
    let wire = adapter.encode(&asked, now()).expect("encodable");
    assert_eq!(wire.method, "GET");
    assert_eq!(wire.url, "https://bank.example/api/o/261122001000000000701/a%2Fb%3F%C3%BC");
    assert_eq!((header(&wire, "x-key"), wire.headers.len(), wire.body.len()), ("k CNY", 1, 0));
    let reply = |status| {
        let body = Bytes::from_static(br#"{"code":0,"state":"NONE"}"#);
        adapter
            .decode(&asked, &WireReply { status, headers: HeaderMap::new(), body }, now())
            .outcome
    };
    let none = Outcome::NotFound { code: "0".to_owned() };
    assert_eq!((reply(200), reply(404)), (none.clone(), none));
    assert_eq!(reply(500), Outcome::Unknown(UnknownCause::HttpStatus));
}
