//! Templates escape for where they stand; filters; amounts as numbers.

use serde_json::Value;

use super::*;

/// Texts that would end the quotes, element, field or part that they stand in.
const BREAKING: [&str; 12] = [
    r#"","total_amount":"0.01","x":""#,
    r#"\",\"total_amount\":\"0.01"#,
    "</subject><total_amount>0.01</total_amount><subject>",
    "\"/><total_amount>0.01</total_amount><a b=\"",
    "]]><total_amount>0.01</total_amount>",
    "x&total_amount=0.01",
    "x|0.01|",
    "x\r\nX-Amount: 0.01",
    "x\", amount=\"0.01",
    "\\\", amount=\\\"0.01",
    "{{ amount }}%26total_amount%3D0.01",
    "订单 \u{1f600} \u{2028} '",
];

fn with_body(more: &str, body: &str) -> Declarative {
    bank(&format!(
        "{more}\n[http.payment]\npath = \"/pay\"\nreply = {{ code = {} }}\n\
         [http.payment.body]\n{body}",
        if more.contains("\"form\"") {
            "\"code\""
        } else if more.contains("\"xml\"") {
            "\"/d/code\""
        } else {
            "\"/code\""
        },
    ))
}

/// The form's fields, read by another decoder than the one that wrote them.
fn fields(wire: &WireRequest) -> Vec<(String, String)> {
    form_urlencoded::parse(&wire.body).into_owned().collect()
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// Alipay's `biz_content`: as a table, by the filter, and by hand.
#[test]
fn json_inside_a_form_field_escapes_its_values() {
    let table = r#"biz_content = { no = "{{ order_no }}", total_amount = "{{ amount_decimal }}",
        subject = "{{ description }}" }"#;
    let filter = r#"biz_content = """{{ {'no': order_no, 'total_amount': amount_decimal,
        'subject': description} | tojson }}""""#;
    let hand = r#"biz_content = '''{"no":"{{ order_no }}","total_amount":"{{ amount_decimal }}",
        "subject":"{{ description }}"}'''"#;
    for written in [table, filter, hand] {
        let bank = with_body("format = \"form\"", written);
        for breaking in BREAKING {
            let wire = sent(&bank, &paid_for(breaking));
            let found = fields(&wire);
            assert_eq!(found.len(), 1, "{found:?}");
            let inner = json(&found[0].1);
            assert_eq!(inner["subject"], breaking, "{written}");
            assert_eq!(inner["total_amount"], "12.30", "{written}");
            assert_eq!(inner.as_object().map(|members| members.len()), Some(3));
        }
    }
    // What is absent is left out, as in any body.
    let mut silent = sample_facts(Operation::Payment, 2);
    silent.description = None;
    let silent = ChannelRequest::Charge { facts: silent, instrument: sample_card().into() };
    for written in [table, filter] {
        let bank = with_body("format = \"form\"", written);
        let inner = json(&fields(&sent(&bank, &silent))[0].1);
        assert_eq!(inner.as_object().map(|members| members.len()), Some(2), "{written}");
    }
}

#[test]
fn no_description_breaks_out_of_a_body() {
    let json_bank = with_body("", "a = { b = [\"{{ description }}\"] }\nn = \"{{ order_no }}\"");
    let form = with_body("format = \"form\"", "a = \"{{ description }}\"\nn = \"{{ order_no }}\"");
    let xml = with_body(
        "format = \"xml\"",
        "d = { '@a' = \"{{ description }}\", b = \"{{ description }}\" }",
    );
    for breaking in BREAKING {
        let request = paid_for(breaking);
        let read = json(body(&sent(&json_bank, &request)));
        assert_eq!((&read["a"]["b"][0], &read["n"]), (&Value::from(breaking), &Value::from(ORDER)));
        let mut found = fields(&sent(&form, &request));
        found.sort();
        let pair = |name: &str, text: &str| (name.to_owned(), text.to_owned());
        assert_eq!(found, [pair("a", breaking), pair("n", ORDER)]);
        // Written and read by the codec, whose own tests hold it against another reader.
        let wire = sent(&xml, &request);
        let root = switchyard::codec::xml::Element::parse(&wire.body).expect("well-formed");
        assert_eq!(root.text_at("/d/@a"), Ok(Some(breaking)));
        assert_eq!(root.text_at("/d/b"), Ok(Some(breaking)));
        assert_eq!((root.children.len(), root.attributes.len()), (1, 1));
    }
}

#[test]
fn no_description_breaks_out_of_a_text_inside_a_value() {
    let xml =
        with_body("", r#"x = '<o><subject a="{{ description }}">{{ description }}</subject></o>'"#);
    let query =
        with_body("", r#"x = "subject={{ description }}&total_amount={{ amount_decimal }}""#);
    let piped = with_body("", r#"x = "{{ order_no }}|{{ description }}|{{ amount }}""#);
    let value = with_body("", r#"x = '{"a":{{ amount }},"b":{{ description }}}'"#);
    let mut refused = 0;
    for breaking in BREAKING {
        let request = paid_for(breaking);
        let inner = |bank: &Declarative| json(body(&sent(bank, &request)))["x"].clone();
        let text = inner(&xml);
        let root =
            switchyard::codec::xml::Element::parse(text.as_str().expect("a text").as_bytes());
        let root = root.expect("well-formed");
        assert_eq!(root.text_at("/o/subject").err(), None);
        assert_eq!(root.text_at("/o/subject"), Ok(Some(breaking)));
        assert_eq!(root.text_at("/o/subject/@a"), Ok(Some(breaking)));
        let text = inner(&query);
        let found: Vec<(String, String)> =
            form_urlencoded::parse(text.as_str().expect("a text").as_bytes())
                .into_owned()
                .collect();
        assert_eq!(found.len(), 2, "{found:?}");
        assert_eq!((found[0].1.as_str(), found[1].1.as_str()), (breaking, "12.30"));
        let read = json(inner(&value).as_str().expect("a text"));
        assert_eq!((&read["a"], &read["b"]), (&Value::from(1_230), &Value::from(breaking)));
        // Nothing escapes a bar: what has one is not sent.
        match piped.encode(&request, sample_now()) {
            Ok(wire) => {
                let read = json(body(&wire));
                assert_eq!(read["x"].as_str().expect("a text").split('|').count(), 3);
            }
            Err(_) => refused += 1,
        }
    }
    assert_eq!(refused, 2, "the bars, and the line ends");
}

#[test]
fn no_description_breaks_out_of_a_header_or_an_address() {
    let bank = bank(
        r#"
[http.payment]
path = "/pay/{{ description }}"
query = { memo = "{{ description }}" }
headers = { X-Memo = 'K memo="{{ description }}", amount="{{ amount }}"' }
reply = { code = "/code" }
"#,
    );
    let mut sent_ones = 0;
    for breaking in BREAKING {
        // A line end is none of a header's characters: nothing is sent.
        let Ok(wire) = bank.encode(&paid_for(breaking), sample_now()) else { continue };
        sent_ones += 1;
        let url: http::Uri = wire.url.parse().expect("a URL");
        assert_eq!(url.path().matches('/').count(), 3, "{url}");
        assert_eq!(url.query().expect("a query").matches(['&', '=']).count(), 1, "{url}");
        let value = wire.headers.iter().find(|(name, _)| name == "x-memo").map(|(_, value)| value);
        let value = value.expect("the header").as_bytes();
        let mut quotes = 0;
        let mut bytes = value.iter();
        while let Some(byte) = bytes.next() {
            match byte {
                b'\\' => drop(bytes.next()),
                b'"' => quotes += 1,
                _ => {}
            }
        }
        assert_eq!(quotes, 4, "{value:?}");
    }
    assert_eq!(sent_ones, BREAKING.len() - 1);
}

#[test]
fn what_nothing_could_escape_is_a_mistake() {
    let rows = [
        (r#"a = "{{ '{\"a\":\"' ~ description ~ '\"}' }}""#, "nothing is escaped"),
        (r#"a = '{"a":"{{ description }}"'"#, "begins like a JSON text and is none"),
        (r#"a = "<a><![CDATA[{{ description }}]]></a>""#, "no value can be escaped for"),
        (r#"a = "<a {{ description }}='1'/>""#, "inside a tag"),
        (r#"a = "{{ client_ip }}""#, "is not a word of templates"),
        (r#"a = "{{ amount / 100 }}""#, "a number with a point"),
    ];
    for (line, expected) in rows {
        let text = format!(
            "[http.payment]\npath = \"/pay\"\nreply = {{ code = \"/code\" }}\n\
             [http.payment.body]\n{line}"
        );
        assert!(refused(&text).contains(expected), "{}", refused(&text));
    }
}

#[test]
fn filters_write_base64_percents_and_numbers() {
    let text = r#"
secrets = { api_key = "env:KEY" }
[http.payment]
path = "/pay"
headers = { Authorization = "Basic {{ (api_key ~ ':') | base64 }}" }
reply = { code = "/code" }
[http.payment.body]
amount = "{{ amount_decimal | number }}"
inner = "{{ {'amount': amount_decimal | number, 'list': [order_no]} | tojson }}"
memo = "{{ description | urlencode }}"
"#;
    let bank = bank(text);
    let wire = sent(&bank, &paid_for("a b/ü"));
    // printf 'a shared key for tests only:' | base64
    assert_eq!(header(&wire, "authorization"), "Basic YSBzaGFyZWQga2V5IGZvciB0ZXN0cyBvbmx5Og==");
    let inner = format!(r#"{{\"amount\":12.3,\"list\":[\"{ORDER}\"]}}"#);
    let expected = format!(r#"{{"amount":12.3,"inner":"{inner}","memo":"a%20b%2F%C3%BC"}}"#);
    assert_eq!(body(&wire), expected);
    // Read back with a point, in the currency's decimals.
    let decimal = text.replace(
        "code = \"/code\"",
        "code = \"/code\", amount = \"/a\", amount_form = \"decimal\"",
    );
    let bank = super::bank(&decimal);
    assert!(is_approved(&answered(&bank, &payment(), r#"{"code":"0000","a":12.3}"#)));
    assert!(is_unknown(&answered(&bank, &payment(), r#"{"code":"0000","a":12.31}"#)));
}
