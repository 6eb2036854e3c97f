//! What readers see of TOML texts and variables, with the exact words of each mistake.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::config::mistake::Mistakes;
use crate::config::section::Section;

const HOUR: Duration = Duration::from_secs(3_600);

fn second() -> Duration {
    Duration::from_secs(1)
}

fn parse(text: &str) -> Document {
    Document::parse("t.toml", text).expect("the test's text is TOML")
}

fn shown(mistakes: Vec<Mistake>) -> Vec<String> {
    mistakes.iter().map(ToString::to_string).collect()
}

/// Reads the text and compares every mistake with the expected ones.
fn check(text: &str, read: impl Fn(Section<'_>), expected: &[&str]) {
    check_document(&parse(text), read, expected);
}

fn check_document(document: &Document, read: impl Fn(Section<'_>), expected: &[&str]) {
    let mistakes = Mistakes::new();
    read(document.root(&mistakes));
    let found = mistakes.into_result().err().map(shown).unwrap_or_default();
    assert_eq!(found, expected);
}

fn variables(given: &[(&str, &str)]) -> Vec<(String, String)> {
    given.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn a_right_file_is_read_without_a_mistake() {
    let text = r#"
name = "ccb"
enabled = true
[pace]
per_second = 50
wait = "250ms"
[unknown]
inquire = ["2s", "5m", "1h", "1d"]
then = "reverse"
[[keys]]
id = 7
[[keys]]
id = 8
[codes]
"00" = "approved"
51 = "declined"
"#;
    let read = |s: Section<'_>| {
        assert_eq!(s.text("name"), "ccb");
        assert!(s.boolean("enabled"));
        let pace = s.section("pace");
        assert_eq!(pace.integer("per_second", 1..=100_000u32), 50);
        assert_eq!(pace.integer_or("burst", 9u8, 1..=10), 9);
        let wait = pace.duration("wait", Duration::ZERO..=HOUR);
        assert_eq!(wait, Duration::from_millis(250));
        pace.finish();
        let unknown = s.section("unknown");
        let all = unknown.durations("inquire", second()..=24 * HOUR);
        assert_eq!(all, [2, 300, 3_600, 86_400].map(Duration::from_secs));
        assert_eq!(unknown.choice("then", &[("operator", 1), ("reverse", 2)]), 2);
        unknown.finish();
        let ids = s.sections("keys").into_iter().map(|key| {
            let id = key.integer("id", 0..=9i64);
            key.finish();
            id
        });
        assert_eq!(ids.collect::<Vec<_>>(), [7, 8]);
        let codes: Vec<_> = s.map("codes").into_iter().map(|e| (e.key, e.text, e.line)).collect();
        let expected = [("00", "approved", 15), ("51", "declined", 16)];
        assert_eq!(codes, expected.map(|(k, t, l)| (k.to_owned(), t.to_owned(), l)));
        assert!(s.optional_section("breaker").is_none());
        s.finish();
    };
    check(text, read, &[]);
}

#[test]
fn every_mistake_of_a_file_is_reported_in_one_run() {
    let text = r#"name = 5
[pace]
per_secnd = 50
wait = 3
burst = 0
zzzzzz = 1
[unknown]
inquire = ["2s", "soon", 5,
  "9h"]
then = "revers"
[[keys]]
[[keys]]
id = "x"
"#;
    let read = |s: Section<'_>| {
        assert_eq!(s.text("name"), "");
        let pace = s.section("pace");
        assert_eq!(pace.integer("per_second", 1..=100_000), 1);
        assert_eq!(pace.integer("burst", 1..=10), 1);
        assert_eq!(pace.duration("wait", second()..=HOUR), second());
        pace.finish();
        let unknown = s.section("unknown");
        assert_eq!(unknown.durations("inquire", second()..=HOUR), [2 * second()]);
        assert_eq!(unknown.choice("then", &[("operator", 1), ("reverse", 2)]), 1);
        unknown.finish();
        for key in s.sections("keys") {
            key.integer("id", 1..=i64::MAX);
            key.finish();
        }
        let limits = s.section("limits");
        limits.boolean("strict");
        limits.texts("names");
        limits.finish();
        s.finish();
    };
    let expected = [
        "t.toml: limits.names: is missing; add `names = [\"...\"]` under [limits]",
        "t.toml: limits.strict: is missing; add `strict = true` under [limits]",
        "t.toml:1: name: is an integer, not a text; write for example \"...\"",
        "t.toml:2: pace.per_second: is missing; add `per_second = 1` under [pace]",
        "t.toml:3: pace.per_secnd: is not a known setting; did you mean per_second?",
        "t.toml:4: pace.wait: is an integer, not a duration; \
         write a duration from \"1s\" to \"1h\"",
        "t.toml:5: pace.burst: 0 is out of range; write a whole number from 1 to 10",
        "t.toml:6: pace.zzzzzz: is not a known setting; \
         remove it; known here: burst, per_second, wait",
        "t.toml:8: unknown.inquire[1]: \"soon\" is not a duration; \
         write a number and ms, s, m, h or d, such as \"5s\"",
        "t.toml:8: unknown.inquire[2]: is an integer, not a duration; \
         write a duration from \"1s\" to \"1h\"",
        "t.toml:9: unknown.inquire[3]: \"9h\" is out of range; \
         write a duration from \"1s\" to \"1h\"",
        "t.toml:10: unknown.then: \"revers\" is not allowed; \
         did you mean \"reverse\"? allowed: operator, reverse",
        "t.toml:11: keys[0].id: is missing; add `id = 1` under this [[keys]]",
        "t.toml:13: keys[1].id: is a text, not an integer; write a whole number of at least 1",
    ];
    check(text, read, &expected);
}

#[test]
fn a_section_of_the_wrong_kind_is_said_once() {
    let read = |s: Section<'_>| {
        let pace = s.section("pace");
        pace.integer("per_second", 1..=9);
        pace.section("inner").text("deep");
        pace.finish();
        assert!(s.sections("routes").is_empty());
        assert_eq!(s.sections("keys").len(), 0);
        assert!(s.optional_texts("names").is_none());
        s.finish();
    };
    let expected = [
        "t.toml:1: pace: is an integer, not a section; write [pace]",
        "t.toml:2: keys[0]: is an integer, not a section; write [[keys]] above each",
        "t.toml:3: names: is a text, not a list; write for example [\"...\"]",
        "t.toml:4: routes: is a section, not a list of sections; write [[routes]] above each",
    ];
    check("pace = 3\nkeys = [1]\nnames = \"a\"\n[routes]\n", read, &expected);
}

#[test]
fn a_caller_reports_meaning_at_the_place_of_the_value() {
    let text = "[unknown]\n\ninquire = [\"5s\",\n \"2s\"]\n";
    let read = |s: Section<'_>| {
        let unknown = s.section("unknown");
        unknown.durations("inquire", second()..=HOUR);
        assert_eq!(unknown.line_of("inquire"), 3);
        assert!(unknown.has("inquire") && !unknown.has("reverse"));
        unknown.mistake_in("inquire", 1, "is before the one above it", "write them in order");
        unknown.mistake("inquire", "ends too early", "go on for 10m");
        unknown.mistake("reverse", "has no schedule", "add one");
        let parsed = unknown.optional_parsed("inquire", "23:00", str::parse::<u8>);
        assert!(parsed.is_none());
        unknown.finish();
    };
    let expected = [
        "t.toml:1: unknown.reverse: has no schedule; add one",
        "t.toml:3: unknown.inquire: ends too early; go on for 10m",
        "t.toml:3: unknown.inquire: is a list, not a text; write for example \"23:00\"",
        "t.toml:4: unknown.inquire[1]: is before the one above it; write them in order",
    ];
    check(text, read, &expected);
}

#[test]
fn i_11_secrets_and_long_numbers_are_never_shown() {
    let text = "password = \"hunter2\"\napi_key = 123456\nlimit = 4111111111111111\n\
                note = \"4111 1111 1111 1111\"\n4111111111111111 = 1\n";
    let read = |s: Section<'_>| {
        s.duration("password", second()..=HOUR);
        s.mistake("password", "hunter2 is too short", "do not use hunter2");
        s.parsed("password", "x", |text| Err::<(), _>(format!("no such thing as {text}")));
        s.integer("api_key", 1..=9);
        s.integer("limit", 1..=9);
        s.duration("note", second()..=HOUR);
        s.finish();
    };
    let expected = [
        "t.toml:1: password: is refused (the value is not shown); correct the value",
        "t.toml:1: password: is refused (the value is not shown); write for example \"x\"",
        "t.toml:1: password: the value (not shown) is not a duration; \
         write a number and ms, s, m, h or d, such as \"5s\"",
        "t.toml:2: api_key: the value (not shown) is out of range; \
         write a whole number from 1 to 9",
        "t.toml:3: limit: (long number) is out of range; write a whole number from 1 to 9",
        "t.toml:4: note: \"(long number)\" is not a duration; \
         write a number and ms, s, m, h or d, such as \"5s\"",
        "t.toml:5: (long number): is not a known setting; \
         remove it; known here: api_key, limit, note, password",
    ];
    check(text, read, &expected);
    assert_eq!(format!("{:?}", parse(text)), "Document(t.toml)");
}

#[test]
fn syntax_mistakes_have_lines_and_more_than_the_first_is_found() {
    for (text, expected) in [
        (
            "a = 1\na = 2\n",
            vec!["t.toml:2: a: duplicate key; keep one of the two; names in a section are unique"],
        ),
        (
            "a = yes\nb = 2\nc 3\n[d]\ne = \"x\nf = 1\n",
            vec![
                "t.toml:1: string values must be quoted, expected literal string; \
                 put the text in double quotes",
                "t.toml:3: key with no value, expected `=`; \
                 write `name = value`, texts in double quotes",
                "t.toml:5: invalid basic string, expected `\"`; correct the TOML syntax here",
            ],
        ),
        ("a = [1,\n", vec!["t.toml:1: unclosed array, expected `]`; close the bracket"]),
        ("[a\nb = 1\n", vec!["t.toml:1: unclosed table, expected `]`; close the bracket"]),
    ] {
        assert_eq!(shown(Document::parse("t.toml", text).unwrap_err()), expected, "{text:?}");
    }
}

#[test]
fn too_large_and_too_deep_texts_are_refused() {
    let large = " ".repeat(TEXT_BYTES_MAX + 1);
    assert_eq!(
        shown(Document::parse("t.toml", &large).unwrap_err()),
        ["t.toml: has 4194305 bytes; keep the file below 4194304 bytes"]
    );
    let dotted = format!("{}a", "a.".repeat(70));
    let deep = format!("\n{} = {}1{}\n", dotted, "[".repeat(20), "]".repeat(20));
    assert_eq!(
        shown(Document::parse("t.toml", &deep).unwrap_err()),
        ["t.toml:2: is nested more than 64 levels deep; nest less deeply"]
    );
}

#[test]
fn a_later_layer_replaces_and_mistakes_point_at_the_layer_of_the_value() {
    let default = "[api]\nlisten = \"127.0.0.1:8080\"\nworkers = 2\nname = \"n\"\ntls = false\n";
    let file = "\n[api]\nworkers = 0\n";
    let environment = variables(&[
        ("SWITCHYARD_API__NAME", "5"),
        ("SWITCHYARD_API__TLS", "maybe"),
        ("SWITCHYARD_API__PORTS", "1, 2,x"),
        ("SWITCHYARD_API__TIMES", "[\"1s\", \"2s\"]"),
        ("SWITCHYARD_API__LISEN", "x"),
        ("SWITCHYARD_SERVICE_HOST", "10.0.0.1"),
        ("HOME", "/root"),
    ]);
    let document = Document::layered(default, Some(("s.toml", file)), environment).unwrap();
    let read = |s: Section<'_>| {
        let api = s.section("api");
        assert_eq!(api.text("listen"), "127.0.0.1:8080");
        assert_eq!(api.line_of("listen"), 2);
        assert_eq!(api.text("name"), "5");
        assert_eq!(api.integer("name", 1..=9), 5);
        api.integer("workers", 1..=9);
        api.boolean("tls");
        assert_eq!(api.integers("ports", 1..=9), [1, 2]);
        assert_eq!(api.durations("times", second()..=HOUR), [1, 2].map(Duration::from_secs));
        api.text("token_file");
        api.finish();
        s.finish();
    };
    let expected = [
        "SWITCHYARD_API__LISEN: api.lisen: is not a known setting; did you mean listen?",
        "SWITCHYARD_API__PORTS: api.ports[2]: is a text, not an integer; \
         write a whole number from 1 to 9",
        "SWITCHYARD_API__TLS: api.tls: is a text, not a boolean; write true or false",
        "s.toml:2: api.token_file: is missing; add `token_file = \"...\"` under [api]",
        "s.toml:3: api.workers: 0 is out of range; write a whole number from 1 to 9",
    ];
    check_document(&document, read, &expected);
}

#[test]
fn mistakes_of_all_layers_are_reported_together() {
    let environment = variables(&[
        ("SWITCHYARD_A__B", "1"),
        ("SWITCHYARD_A__B__C", "1"),
        ("SWITCHYARD___X", "1"),
        ("SWITCHYARD_A__B__C__D__E__F__G__H__I", "1"),
    ]);
    let refused = Document::layered("x = 1", Some(("s.toml", "x = \n")), environment).unwrap_err();
    assert_eq!(
        shown(refused),
        [
            "s.toml:1: string values must be quoted, expected literal string; \
             put the text in double quotes",
            "SWITCHYARD_A__B__C: a.b: is a text, so a variable cannot set a key in it; \
             change it in the file",
            "SWITCHYARD_A__B__C__D__E__F__G__H__I: is not the name of a setting; \
             write SWITCHYARD_<SECTION>__<KEY>",
            "SWITCHYARD___X: is not the name of a setting; write SWITCHYARD_<SECTION>__<KEY>",
        ]
    );
}

#[test]
fn a_template_keeps_its_order_and_refuses_what_no_setting_can_be() {
    let text =
        "[body]\nz = \"1\"\na = [1, true, {y = \"2\", b = 3}]\n[body.m]\nk = 1.5\nd = 2026-01-01\n";
    let read = |s: Section<'_>| {
        let leaf = |text: &str| Tree::Text(text.to_owned());
        let table = Tree::Table(vec![("y".into(), leaf("2")), ("b".into(), Tree::Integer(3))]);
        let list = Tree::List(vec![Tree::Integer(1), Tree::Boolean(true), table]);
        let body = vec![
            ("z".into(), leaf("1")),
            ("a".into(), list),
            ("m".into(), Tree::Table(Vec::new())),
        ];
        assert_eq!(s.value("body"), Some(Tree::Table(body)));
        assert_eq!(s.value("absent"), None);
        s.finish();
    };
    let expected = [
        "t.toml:5: body.m.k: is a number with a point, not a text or an integer; \
         write it in quotes",
        "t.toml:6: body.m.d: is a date or time without quotes, not a text or an integer; \
         write it in quotes",
    ];
    check(text, read, &expected);
}

/// Asks for everything in every way; what comes back does not matter, only that it comes back.
fn read_everything(section: &Section<'_>, depth: usize) {
    for (key, _) in section.keys() {
        section.optional_text(key);
        section.optional_integer(key, 1..=5u8);
        section.optional_duration(key, second()..=HOUR);
        section.durations_or(key, &[], second()..=HOUR);
        section.optional_choice(key, &[("a", 1), ("b", 2)]);
        section.optional_choices(key, &[("a", 1), ("b", 2)]);
        section.boolean_or(key, true);
        section.value(key);
        section.map(key);
        section.mistake_in(key, 3, "is wrong", "correct it");
        if depth < 3 {
            section.sections(key).iter().for_each(|inner| read_everything(inner, depth + 1));
            read_everything(&section.section(key), depth + 1);
        }
    }
    section.texts("absent");
    section.section("absent").section("too").integers("x", 1..=5);
}

fn survive(text: &str) {
    let mistakes = Mistakes::new();
    match Document::parse("t.toml", text) {
        Ok(document) => {
            let root = document.root(&mistakes);
            read_everything(&root, 0);
            root.finish();
            document.root(&mistakes).finish();
        }
        Err(found) => {
            assert!(!found.is_empty());
            mistakes.extend(found);
        }
    }
    for mistake in mistakes.into_result().err().unwrap_or_default() {
        assert!(mistake.line <= text.matches('\n').count() + 1, "{mistake} in {text:?}");
        assert!(!mistake.problem.is_empty() && !mistake.advice.is_empty(), "{mistake}");
    }
}

#[test]
fn odd_texts_give_a_document_or_mistakes() {
    for text in [
        "",
        "[",
        "[]",
        "[[",
        "[[]]",
        "[[a]",
        "=",
        "a=",
        "a",
        ".",
        "a.",
        ".a=1",
        "\"",
        "'''",
        "\r",
        "\u{feff}a=1",
        "\u{feff}",
        "\0",
        "a=[",
        "a={",
        "a=[[[",
        "[a.",
        "[a]]",
        "[[a]]\n[a]",
        "[a]\n[a]",
        "[a.b]\n[a]\nb=1",
        "a.b=1\na.b.c=2",
        "a={b=1}\n[a]",
        "a=[1]\n[[a]]",
        "\"\"=1",
        "a=\"\\u{D800}\"",
        "#\u{7}",
        "a=1e999",
        "a=99999999999999999999",
        "a=0x",
        "a=\"é\nb=é",
    ] {
        survive(text);
    }
    survive(&"[".repeat(100_000));
    survive(&format!("a={}", "[".repeat(100_000)));
    survive(&format!("a={}", "{a=".repeat(10_000)));
    survive(&format!("{}a=1", "a.".repeat(10_000)));
    let key = format!("{}a=", "a.".repeat(70));
    survive(&format!("{key}{}1{}", format!("{{{key}").repeat(70), "}".repeat(70)));
}

proptest! {
    #[test]
    fn arbitrary_text_gives_a_document_or_mistakes(text in ".{0,200}") {
        survive(&text);
    }

    #[test]
    fn arbitrary_toml_like_text_gives_a_document_or_mistakes(
        pieces in prop::collection::vec(
            prop::sample::select(vec![
                "a", "b", "\"k\"", "'", "\"", "\"\"\"", "[", "]", "[[", "]]", "{", "}", "=", " = ",
                ".", ",", "\n", "\r\n", "#", "1", "-5", "1.5", "true", "2026-01-01", "\"2s\"", "é",
                "\\", "_", " ", "\n[a]\n", "\n[[b]]\n", "\na = 1\n", "\nb = [\"x\", 2]\n",
            ]),
            0..40,
        ),
    ) {
        survive(&pieces.concat());
    }

    #[test]
    fn arbitrary_variables_give_a_document_or_mistakes(
        name in "(SWITCHYARD_)?[A-C_]{0,12}", value in "[\\[\\]\",a1é ]{0,20}",
    ) {
        let environment = vec![(name, value)];
        if let Ok(document) = Document::layered("[a]\nb = 1\n", None, environment) {
            let mistakes = Mistakes::new();
            let root = document.root(&mistakes);
            read_everything(&root, 0);
            root.finish();
        }
    }

    #[test]
    fn durations_are_shown_as_they_are_read(millis in 0u64..=10_000_000_000) {
        use crate::config::value::{parse_duration, show_duration};
        for duration in [Duration::from_millis(millis), Duration::from_secs(millis)] {
            prop_assert_eq!(parse_duration(&show_duration(duration)), Some(duration));
        }
    }
}
