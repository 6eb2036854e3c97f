//! Independent witnesses of the codecs: libraries of other authors pack what we read, and read what
//! we pack.
//!
//! What the library made once stands beside the script and is always checked. Where python3 has
//! the packages (`.ci/run` puts them below `target/`), the library runs too, with another seed; on
//! a machine without them the last test program says that this part was left out.

#[path = "../support/witnesses.rs"]
mod witnesses;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use switchyard::codec::iso8583::mac::{DesKey, MacForm, MacMethod, MacRule};
use switchyard::codec::iso8583::notation::Packing;
use switchyard::codec::iso8583::{
    BitmapForm, Draft, Format, Habits, ShippedFormat, decode, encode,
};

/// Fields whose plain form the lines write in hexadecimal.
const MARK_BYTES: char = ':';

/// One line of the script's.
struct Line<'t> {
    format: &'t str,
    key: &'t str,
    method: &'t str,
    message_type: u16,
    fields: Vec<(u8, Vec<u8>)>,
    frame: Vec<u8>,
}

fn bytes_of(hex: &str) -> Vec<u8> {
    let digits: Vec<char> = hex.chars().filter(|c| !c.is_whitespace()).collect();
    let byte = |pair: &[char]| {
        let text: String = pair.iter().collect();
        u8::from_str_radix(&text, 16).expect("hexadecimal")
    };
    digits.chunks(2).map(byte).collect()
}

fn read(line: &str) -> Line<'_> {
    let (head, frame) = line.split_once('|').expect("a frame stands behind the bar");
    let mut words = head.split_ascii_whitespace();
    let mut next = || words.next().expect("a line has all its words");
    let (format, key, method, message_type) = (next(), next(), next(), next());
    let field = |word: &str| {
        let at = word.find([MARK_BYTES, '=']).expect("a field has a mark");
        let value = &word[at + 1..];
        let plain = match word[at..].starts_with(MARK_BYTES) {
            true => bytes_of(value),
            false => value.replace('_', " ").into_bytes(),
        };
        (word[..at].parse().expect("a field's number"), plain)
    };
    Line {
        format,
        key,
        method,
        message_type: message_type.parse().expect("a message type"),
        fields: words.map(field).collect(),
        frame: bytes_of(frame),
    }
}

impl Line<'_> {
    fn format(&self) -> Format {
        let cups = |change: fn(Habits) -> Habits, fields: &[(u8, &str)]| {
            let mut format = Format::shipped_under(ShippedFormat::Cups, change);
            for (field, notation) in fields {
                format.set(*field, notation).expect("a form");
            }
            format
        };
        match self.format {
            "cups" => Format::shipped(ShippedFormat::Cups),
            "posp" => Format::shipped(ShippedFormat::Posp),
            "hexmap" => cups(|usual| Habits { bitmap: BitmapForm::Hex, ..usual }, &[]),
            "ebcdic" => cups(
                |usual| Habits {
                    message_type: Packing::Ebcdic,
                    numbers: Packing::Ebcdic,
                    texts: Packing::Ebcdic,
                    lengths: Packing::Ebcdic,
                    ..usual
                },
                &[(128, "b8")],
            ),
            "packed" => cups(
                |usual| Habits {
                    message_type: Packing::Ebcdic,
                    numbers: Packing::Bcd,
                    texts: Packing::Ebcdic,
                    lengths: Packing::Binary,
                    ..usual
                },
                &[(28, "x+n9 bcd"), (128, "b8")],
            ),
            other => panic!("no format {other}"),
        }
    }

    fn rule(&self) -> Option<(MacRule, DesKey)> {
        let method = match self.method {
            "cups" => MacMethod::CupsText,
            "ecb" => MacMethod::UnionPayEcb,
            "x99" => MacMethod::X99,
            "x919" => MacMethod::X919,
            _ => return None,
        };
        let field = if self.format == "posp" { 64 } else { 128 };
        let is_raw = ["ebcdic", "packed"].contains(&self.format);
        let form = if is_raw { MacForm::Raw } else { MacForm::HexHalf };
        let key = DesKey::new(&bytes_of(self.key)).expect("a key");
        Some((MacRule { method, form, field }, key))
    }

    /// Packs the line's fields as we do.
    fn packed(&self) -> Vec<u8> {
        let format = self.format();
        let mut draft = Draft::new(self.message_type);
        for (field, plain) in &self.fields {
            draft.put(*field, plain);
        }
        let mut out = Vec::new();
        let packed = encode(&format, &draft, &mut out).expect("the library packed it too");
        if let Some((rule, key)) = self.rule() {
            assert!(rule.seal(&key, &format, &packed, &mut out).is_some());
        }
        out
    }
}

/// We read what the library packed, prove its MAC, and pack the same bytes.
fn agrees(text: &str) -> usize {
    for (index, text) in text.lines().enumerate() {
        let line = read(text);
        let format = line.format();
        let message = decode(&format, &line.frame, 0).expect("the library packed it");
        assert_eq!(message.message_type(), line.message_type, "line {index}");
        let found: Vec<u8> = message.fields().collect();
        let given: Vec<u8> = line.fields.iter().map(|(field, _)| *field).collect();
        assert_eq!(found, given, "line {index}");
        for (field, plain) in &line.fields {
            let value = message.value(*field).expect("it is there");
            assert!(value.is(plain), "line {index} field {field}");
        }
        if let Some((rule, key)) = line.rule() {
            assert!(rule.proves(&key, &message), "line {index}");
        }
        assert_eq!(line.packed(), line.frame, "line {index}");
    }
    text.lines().count()
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn script() -> PathBuf {
    root().join("tests/witness/iso8583_witness.py")
}

fn run(python: &Path, arguments: &[&str], input: &str) -> String {
    let mut child = Command::new(python)
        .arg(script())
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it ran a moment ago");
    let mut stdin = child.stdin.take().expect("it is piped");
    stdin.write_all(input.as_bytes()).expect("it reads");
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{arguments:?}: the library disagrees");
    String::from_utf8(output.stdout).expect("ASCII")
}

#[test]
fn iso8583_what_a_library_packed_once_reads_and_packs_the_same() {
    assert_eq!(agrees(include_str!("iso8583.txt")), 120);
    assert_eq!(agrees(include_str!("iso8583_abroad.txt")), 45);
}

#[test]
fn iso8583_a_library_packs_for_us_and_reads_from_us() {
    let Some(python) = witnesses::python() else { return };
    let seed = fastrand::u32(..).to_string();
    println!("seed {seed}");
    let theirs = run(&python, &["pack", &seed, "200"], "");
    assert_eq!(agrees(&theirs), 200);
    // The same values, packed by us: the frame of each line is ours.
    let mut ours = String::new();
    for text in theirs.lines() {
        let (head, _) = text.split_once('|').expect("a bar");
        let frame: String = read(text).packed().iter().map(|b| format!("{b:02x}")).collect();
        ours.push_str(&format!("{head}| {frame}\n"));
    }
    assert_eq!(run(&python, &["check"], &ours).trim(), "200");
}
