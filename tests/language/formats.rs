//! Formats for each direction, encodings, empty bodies, statuses as codes, methods, and who signs
//! what.

use switchyard::channel::{Adapter, NoticeRefusal};
use switchyard::domain::outcome::{Outcome, UnknownCause};

use super::*;

const FORM_OUT: &str = r#"
format = "form"
reply_format = "json"
[http.payment]
path = "/pay"
body = { amount = "{{ amount }}", "metadata[order_no]" = "{{ order_no }}" }
reply = { code = "/code", order_no = "/metadata/order_no", reference = "/id" }
"#;

/// Stripe's way. The form was written by Python's `urllib.parse.urlencode`.
#[test]
fn a_form_goes_out_and_json_comes_in() {
    let bank = bank(FORM_OUT);
    let wire = sent(&bank, &payment());
    assert_eq!(body(&wire), format!("amount=1230&metadata%5Border_no%5D={ORDER}"));
    assert_eq!(header(&wire, "content-type"), "application/x-www-form-urlencoded");
    let reply = format!(r#"{{"code":"0000","id":"pi_1","metadata":{{"order_no":"{ORDER}"}}}}"#);
    let outcome = answered(&bank, &payment(), &reply);
    assert_eq!(outcome.reference(), Some("pi_1"));
    assert!(is_unknown(&answered(&bank, &payment(), "code=0000&id=pi_1")), "a form is no JSON");
    let wrong = FORM_OUT.replace("/code", "code");
    assert!(refused(&wrong).contains("is not a JSON pointer"), "{}", refused(&wrong));
}

#[test]
fn xml_goes_out_and_a_text_comes_in() {
    let text = r#"
format = "xml"
reply_format = "text"
[http.payment]
path = "/pay"
body = { pay = { no = "{{ order_no }}", memo = "{{ description }}" } }
reply = { code = "@body" }
codes = { OK = "approved", BUSY = "unknown" }
"#;
    let bank = bank(text);
    let wire = sent(&bank, &paid_for("<a&b>"));
    let expected = format!("<pay><no>{ORDER}</no><memo>&lt;a&amp;b&gt;</memo></pay>");
    assert!(body(&wire).ends_with(&expected), "{}", body(&wire));
    assert!(is_approved(&answered(&bank, &payment(), "OK\r\n")));
    for unsure in ["", "BUSY", "OK OK", "<html>"] {
        assert!(is_unknown(&answered(&bank, &payment(), unsure)), "{unsure}");
    }
    let wrong = text.replace("@body", "/code");
    assert!(refused(&wrong).contains("all that a text has"));
    let wrong = text.replace("format = \"xml\"", "format = \"text\"");
    assert!(refused(&wrong).contains("format"), "a request is no bare text");
}

/// The bytes are those of Python's codec `gbk`.
#[test]
fn bodies_are_gbk_where_the_file_says_so() {
    let text = r#"
format = "form"
reply_format = "json"
charset = "GBK"
[http.sign]
algorithm = "md5"
key = "env:KEY"
over = "{{ sorted_fields }}&key={{ key }}"
field = "sign"
[http.payment]
path = "/pay"
body = { memo = "{{ description }}" }
reply = { code = "/代码" }
codes = { "成功" = "approved" }
"#;
    let bank = bank(text);
    let wire = sent(&bank, &paid_for("订单 A"));
    // hashlib.md5("memo=订单 A&key=…".encode("gbk"))
    let sign = "4bd36f773706ee55b4fa715e0db6db73";
    assert_eq!(body(&wire), format!("memo=%B6%A9%B5%A5+A&sign={sign}"));
    assert_eq!(header(&wire, "content-type"), "application/x-www-form-urlencoded; charset=GBK");
    let gbk = b"{\"\xb4\xfa\xc2\xeb\":\"\xb3\xc9\xb9\xa6\"}";
    assert!(is_approved(&told(&bank, &payment(), 200, &[], gbk)));
    // Another encoding's bytes, and half a character.
    assert!(is_unknown(&answered(&bank, &payment(), "{\"代码\":\"成功\"}")));
    assert!(is_unknown(&told(&bank, &payment(), 200, &[], &gbk[..10])));
    let lacking = bank.encode(&paid_for("😀"), sample_now()).map(|_| ()).expect_err("an emoji");
    assert_eq!(lacking.problem, "a text has a character that GBK lacks");
    let wrong = text.replace("\"GBK\"", "\"utf-16\"");
    assert!(refused(&wrong).contains("names no encoding"));
}

#[test]
fn a_status_is_a_code_and_a_body_may_be_empty() {
    let text = r#"
accept_statuses = [204, 409]
[http.payment]
path = "/pay"
body = { no = "{{ order_no }}" }
reply = { code = "/code" }
[http.reversal]
method = "DELETE"
path = "/orders/{{ order_no }}"
reply = { code = "@status" }
codes = { 204 = "approved", 409 = "declined original_not_eligible" }
[http.inquiry]
like = "reversal"
method = "GET"
reply = { code = "/code?", state = "/state" }
states = { DONE = "approved" }
"#;
    let bank = bank(text);
    let facts = sample_facts(Operation::Payment, 2);
    let reversal = ChannelRequest::Reversal { facts, original: None, pan: None, now: sample_now() };
    let wire = sent(&bank, &reversal);
    assert_eq!((wire.method.as_str(), wire.body.len()), ("DELETE", 0));
    assert!(wire.url.ends_with(&format!("/v1/orders/{ORDER}")));
    assert!(is_approved(&told(&bank, &reversal, 204, &[], b"")));
    assert!(matches!(told(&bank, &reversal, 409, &[], b"{}"), Outcome::Declined(_)));
    // A status that is not listed, one that is not accepted, and a page of a proxy's.
    assert!(is_unknown(&told(&bank, &reversal, 200, &[], b"")));
    assert_eq!(told(&bank, &reversal, 500, &[], b""), Outcome::Unknown(UnknownCause::HttpStatus));
    assert!(is_unknown(&told(&bank, &reversal, 204, &[], b"<html>")));
    // Nothing is no answer where the file wants one: neither a yes nor "no such order".
    assert!(is_unknown(&told(&bank, &payment(), 200, &[], b"")));
    assert!(is_unknown(&told(&bank, &inquiry(), 200, &[], b"")));
}

#[test]
fn patch_sends_a_body() {
    let text = FORM_OUT.replace("path = \"/pay\"", "method = \"PATCH\"\npath = \"/pay\"");
    let bank = bank(&text);
    let wire = sent(&bank, &payment());
    assert_eq!(wire.method.as_str(), "PATCH");
    assert!(!wire.body.is_empty());
}

/// Stripe's `decline_code`, or else its `code`.
#[test]
fn a_code_stands_in_one_of_several_places() {
    let text = r#"
accept_statuses = [402]
[http.payment]
path = "/pay"
body = { no = "{{ order_no }}" }
reply = { code = ["/error/decline_code?", "/error/code?"], state = "/status" }
states = { succeeded = "approved" }
codes = { card_declined = "declined do_not_honour", lost_card = "declined card_restricted" }
"#;
    let bank = bank(text);
    let reason = |reply: &str| match told(&bank, &payment(), 402, &[], reply.as_bytes()) {
        Outcome::Declined(decline) => decline.code,
        other => panic!("{other:?}"),
    };
    let both = r#"{"error":{"code":"card_declined","decline_code":"lost_card"}}"#;
    assert_eq!(reason(both), "lost_card");
    assert_eq!(reason(r#"{"error":{"code":"card_declined"}}"#), "card_declined");
    assert!(is_approved(&answered(&bank, &payment(), r#"{"status":"succeeded"}"#)));
    assert!(is_unknown(&answered(&bank, &payment(), r#"{"error":{"code":"new"}}"#)));
    let wrong = text.replace("decline_code?", "decline_code");
    assert!(refused(&wrong).contains("at some of its paths only"));
}

const NOTICES: &str = r#"
verify = { none = true }
[http.payment]
path = "/pay"
body = { no = "{{ order_no }}" }
reply = { code = "/code" }
[http.notice_verify]
algorithm = "hmac-sha256"
key = "env:KEY"
over = "{{ body }}"
headers = { X-Signature = "{{ signature }}" }
[http.notice]
reply = { code = "/code", order_no = "/no" }
"#;

/// The signature was made by `openssl dgst -sha256 -hmac`.
#[test]
fn notices_are_signed_where_replies_are_not() {
    let bank = bank(NOTICES);
    assert!(is_approved(&answered(&bank, &payment(), r#"{"code":"0000"}"#)));
    let said = format!(r#"{{"code":"0000","no":"{ORDER}"}}"#);
    let signature = "d906148ecdab1c7b8593e4c4913e561ea388d91a30e765778ef58556f820a5a7";
    let read = |notice| bank.decode_notice(&notice, sample_now());
    let notice = read(posted(&[("x-signature", signature)], &said)).expect("it is signed");
    assert_eq!(notice.channel_order_no.to_string(), ORDER);
    assert!(is_approved(&notice.understood.outcome));
    for wrong in
        [posted(&[], &said), posted(&[("x-signature", signature)], &said.replace('0', "1"))]
    {
        assert!(matches!(read(wrong), Err(NoticeRefusal::BadSignature(_))));
    }
    let silent = NOTICES.replace("verify = { none = true }", "");
    assert!(refused(&silent).contains("nothing is said of replies"));
    let anyone = NOTICES.split("[http.notice_verify]").next().expect("a part");
    let anyone =
        format!("{anyone}[http.notice]\nreply = {{ code = \"/code\", order_no = \"/no\" }}");
    assert!(refused(&anyone).contains("anyone could post one"));
    let timeless = NOTICES.replace("code = \"/code\", order_no", "code = \"@status\", order_no");
    assert!(refused(&timeless).contains("is a status, which a notice has not"));
}
