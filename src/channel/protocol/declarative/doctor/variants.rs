//! The usual ways in which two sides sign differently, each as a change of the file or the message.

use std::collections::BTreeSet;

use super::super::document::MessageBody;
use super::super::format::BodyFormat;
use super::super::parts::{TemplatePart, split};
use super::super::path::Inside;
use super::twist::TextTwist;
use super::{MessageFile, MessageRole, SignatureCause, SignatureQuestion, Trial};
use crate::config::credential::CredentialResolver;
use crate::config::editor::overlay;
use crate::config::mistake::Mistakes;
use crate::config::raw::Document;
use crate::config::section::Section;
use crate::domain::time::Timestamp;

/// The most pairs of changes that are tried where no single one helps.
const PAIRS_MAX: usize = 4_000;
/// The most causes that are named.
const CAUSES_MAX: usize = 6;

/// One thing that may be otherwise.
#[derive(Clone)]
struct Variant {
    words: String,
    change: VariantChange,
}

#[derive(Clone)]
enum VariantChange {
    /// Settings that are laid over the channel file.
    File(String),
    Message(MessageEdit),
    /// Another moment of arrival.
    Now(Timestamp),
}

/// What may have become of a message on its way into a file.
#[derive(Clone)]
enum MessageEdit {
    NoLineEnd,
    LineEnd(&'static str),
    Lf,
    CrLf,
    /// The header of this name stands for another one.
    Header {
        from: http::HeaderName,
        to: http::HeaderName,
    },
}

/// Tries single changes, then pairs of them, and names those that help.
pub(super) fn search(
    question: &SignatureQuestion<'_>,
    trial: &Trial,
    theirs: Option<&[u8]>,
    resolve: &CredentialResolver<'_>,
) -> Vec<SignatureCause> {
    let was_proven = trial.run(question.message, question.now).refusal.is_none();
    let search = Search { question, theirs, resolve, was_proven };
    let variants = VariantList::of(question, trial).variants;
    let mut causes: Vec<SignatureCause> = Vec::new();
    for one in &variants {
        if search.helps(&[one]) {
            causes.push(cause(&[one]));
        }
    }
    causes.extend(search.twisted(trial));
    if causes.is_empty() {
        let pairs = variants
            .iter()
            .enumerate()
            .flat_map(|(at, first)| variants[at + 1..].iter().map(move |second| [first, second]));
        for pair in pairs.filter(can_join).take(PAIRS_MAX) {
            if causes.len() >= 2 {
                break;
            }
            if search.helps(&pair) {
                causes.push(cause(&pair));
            }
        }
    }
    causes.truncate(CAUSES_MAX);
    causes
}

/// Two changes of one key are no pair.
fn can_join([first, second]: &[&Variant; 2]) -> bool {
    match (&first.change, &second.change) {
        (VariantChange::File(first), VariantChange::File(second)) => {
            let keys = |text: &str| -> BTreeSet<String> {
                let line = |line: &str| line.split(" = ").next().unwrap_or_default().to_owned();
                text.lines().map(line).collect()
            };
            keys(first).is_disjoint(&keys(second))
        }
        (VariantChange::File(_), VariantChange::Message(_))
        | (VariantChange::Message(_), VariantChange::File(_)) => true,
        (VariantChange::Message(_) | VariantChange::Now(_) | VariantChange::File(_), _) => false,
    }
}

fn cause(variants: &[&Variant]) -> SignatureCause {
    let words: Vec<&str> = variants.iter().map(|one| one.words.as_str()).collect();
    let settings: Vec<&str> = variants
        .iter()
        .filter_map(|one| match &one.change {
            VariantChange::File(text) => Some(text.as_str()),
            VariantChange::Message(_) | VariantChange::Now(_) => None,
        })
        .collect();
    SignatureCause { words: words.join("; and "), setting: settings.join("\n") }
}

struct Search<'a> {
    question: &'a SignatureQuestion<'a>,
    theirs: Option<&'a [u8]>,
    resolve: &'a CredentialResolver<'a>,
    was_proven: bool,
}

impl Search<'_> {
    fn helps(&self, variants: &[&Variant]) -> bool {
        let mut file = self.question.file.to_owned();
        let mut message = self.question.message.clone();
        let mut now = self.question.now;
        for one in variants {
            match &one.change {
                VariantChange::File(over) => match overlay(&file, over) {
                    Ok(laid) => file = laid,
                    Err(_) => return false,
                },
                VariantChange::Message(edit) => edit.apply(&mut message),
                VariantChange::Now(moment) => now = *moment,
            }
        }
        let Some(trial) = Trial::of(&file, self.question.role, self.resolve) else { return false };
        let outcome = trial.run(&message, now);
        let is_theirs = match (&outcome.text, self.theirs) {
            (Some(text), Some(theirs)) => text[..] == *theirs,
            (None, _) | (_, None) => false,
        };
        is_theirs || (!self.was_proven && outcome.refusal.is_none())
    }

    /// The ways that no key says.
    fn twisted(&self, trial: &Trial) -> Vec<SignatureCause> {
        let message = self.question.message;
        let Some(text) = trial.run(message, self.question.now).text else { return Vec::new() };
        let document = MessageBody::parse(&message.body, trial.form).ok();
        let helps = |twist: &TextTwist| {
            let made = twist.of(&text, &trial.verification.seal, document.as_ref());
            made.is_some_and(|made| {
                let is_theirs = self.theirs.is_some_and(|theirs| theirs == made);
                is_theirs || (!self.was_proven && trial.proves_text(message, &made))
            })
        };
        let name = |twist: TextTwist| SignatureCause {
            words: format!("{}; the channel file has no key for it", twist.name()),
            setting: String::new(),
        };
        TextTwist::ALL.into_iter().filter(helps).map(name).collect()
    }
}

impl MessageEdit {
    fn apply(&self, message: &mut MessageFile) {
        let body = &mut message.body;
        match self {
            Self::NoLineEnd => {
                while body.last().is_some_and(|byte| matches!(byte, b'\r' | b'\n')) {
                    body.pop();
                }
            }
            Self::LineEnd(end) => body.extend_from_slice(end.as_bytes()),
            Self::Lf => body.retain(|byte| *byte != b'\r'),
            Self::CrLf => {
                let mut made = Vec::with_capacity(body.len() + 16);
                for (at, byte) in body.iter().enumerate() {
                    if *byte == b'\n' && (at == 0 || body[at - 1] != b'\r') {
                        made.push(b'\r');
                    }
                    made.push(*byte);
                }
                *body = made;
            }
            Self::Header { from, to } => {
                if let Some(value) = message.headers.remove(from) {
                    message.headers.insert(to.clone(), value);
                }
            }
        }
    }
}

/// Gathers the variants of one file and message.
struct VariantList<'a> {
    variants: Vec<Variant>,
    section: &'a str,
    over: &'a str,
}

impl<'a> VariantList<'a> {
    fn of(question: &SignatureQuestion<'_>, trial: &'a Trial) -> Self {
        let setting = &trial.setting;
        let mut list =
            Self { variants: Vec::new(), section: &setting.section, over: &setting.over };
        let Ok(document) = Document::parse("channel file", question.file) else { return list };
        let unheard = Mistakes::new();
        let http = document.root(&unheard).section("http");
        let Some(section) = http.optional_section(&setting.section) else { return list };
        list.add_message(question, trial);
        list.add_forms(&section, &http);
        list.add_algorithms(&setting.algorithm);
        list.add_texts();
        list.add_fields(question, trial, &section);
        list.add_keys(question, &http, trial);
        list
    }

    fn file(&mut self, words: &str, settings: &[(&str, String)]) {
        let section = self.section;
        let line = |(key, value): &(&str, String)| format!("http.{section}.{key} = {value}");
        let lines: Vec<String> = settings.iter().map(line).collect();
        let change = VariantChange::File(lines.join("\n"));
        self.variants.push(Variant { words: words.to_owned(), change });
    }

    fn message(&mut self, words: &str, edit: MessageEdit) {
        let change = VariantChange::Message(edit);
        self.variants.push(Variant { words: words.to_owned(), change });
    }

    fn add_message(&mut self, question: &SignatureQuestion<'_>, trial: &Trial) {
        self.message(
            "the body ends without the line end that the file has",
            MessageEdit::NoLineEnd,
        );
        self.message("the body ends in a line end that the file lacks", MessageEdit::LineEnd("\n"));
        self.message("the body ends in CRLF, which the file lacks", MessageEdit::LineEnd("\r\n"));
        self.message("the lines of the body end in LF, not CRLF", MessageEdit::Lf);
        self.message("the lines of the body end in CRLF, not LF", MessageEdit::CrLf);
        for (expected, _) in &trial.verification.seal.headers {
            if question.message.headers.contains_key(expected) {
                continue;
            }
            for from in question.message.headers.keys() {
                let words = format!("header `{from}` brings what the file expects in `{expected}`");
                let (from, to) = (from.clone(), expected.clone());
                self.message(&words, MessageEdit::Header { from, to });
            }
        }
        if trial.verification.max_age.is_some() {
            for moment in question.message.headers.values().filter_map(read_time) {
                let apart = question.now.as_millis().abs_diff(moment) / 1_000;
                let words = format!(
                    "the clocks are {apart} s apart, or the message is as old: http.{}.max_age is \
                     shorter",
                    self.section
                );
                let change = VariantChange::Now(Timestamp::from_millis(moment));
                self.variants.push(Variant { words, change });
            }
        }
    }

    fn add_forms(&mut self, section: &Section<'_>, http: &Section<'_>) {
        let keeps = section.boolean_or("keep_empty", false);
        let words = if keeps {
            "empty values are not signed"
        } else {
            "values that are there and empty are signed too"
        };
        self.file(words, &[("keep_empty", (!keeps).to_string())]);
        for encoding in ["hex", "hex_upper", "base64", "base64url"] {
            let words = format!("the signature is written in {encoding}");
            self.file(&words, &[("encoding", quoted(encoding))]);
        }
        let charset = http.text_or("charset", "utf-8").to_ascii_lowercase();
        for other in ["utf-8", "gbk", "gb18030"].into_iter().filter(|one| *one != charset) {
            let change = VariantChange::File(format!("http.charset = {}", quoted(other)));
            let words = format!("the text is encoded in {other}, not {charset}");
            self.variants.push(Variant { words, change });
        }
    }

    fn add_algorithms(&mut self, current: &str) {
        const HMAC: [&str; 5] = ["hmac-sha256", "hmac-sha1", "hmac-md5", "hmac-sha512", "hmac-sm3"];
        const PLAIN: [&str; 5] = ["md5", "sha1", "sha256", "sha512", "sm3"];
        const RSA: [&str; 5] =
            ["rsa-sha256", "rsa-pss-sha256", "rsa-sha512", "rsa-sha1", "rsa-md5"];
        let family = [HMAC, PLAIN, RSA].into_iter().find(|all| all.contains(&current));
        for other in family.into_iter().flatten().filter(|other| *other != current) {
            let words = match (current, other) {
                ("rsa-sha256", "rsa-pss-sha256") => "the padding is PSS, not PKCS#1".to_owned(),
                ("rsa-pss-sha256", "rsa-sha256") => "the padding is PKCS#1, not PSS".to_owned(),
                _ => format!("the algorithm is {other}, not {current}"),
            };
            self.file(&words, &[("algorithm", quoted(other))]);
        }
        if HMAC.contains(&current) {
            for plain in PLAIN {
                for end in ["{{ key }}", "&key={{ key }}"] {
                    let words = format!("it is a plain {plain} with `{end}` at the text's end");
                    let over = quoted(&format!("{}{end}", self.over));
                    self.file(&words, &[("algorithm", quoted(plain)), ("over", over)]);
                }
            }
        }
        if PLAIN.contains(&current) {
            let over = self.over.replace("&key={{ key }}", "").replace("{{ key }}", "");
            for hmac in HMAC {
                let words = format!("it is {hmac} over the text without the key");
                self.file(&words, &[("algorithm", quoted(hmac)), ("over", quoted(&over))]);
            }
        }
        if family.is_some_and(|family| family != RSA) {
            for form in ["text", "hex", "base64"] {
                let words = format!("the key's text is {form}");
                self.file(&words, &[("key_form", quoted(form))]);
            }
        } else if family.is_none() {
            for form in ["der", "raw"] {
                let words = format!("the signature's two numbers are written as {form}");
                self.file(&words, &[("form", quoted(form))]);
            }
            for user in ["1234567812345678", ""] {
                let words = format!("the SM2 user id is `{user}`");
                self.file(&words, &[("user_id", quoted(user))]);
            }
        }
    }

    /// Other texts of the same parts.
    fn add_texts(&mut self) {
        let over = self.over.to_owned();
        let mut told: BTreeSet<String> = BTreeSet::from([over.clone()]);
        let mut add = |list: &mut Self, words: String, text: String| {
            if told.insert(text.clone()) {
                list.file(&words, &[("over", quoted(&text))]);
            }
        };
        for (from, to) in [
            ("&key={{ key }}", "{{ key }}"),
            ("&key={{ key }}", "&{{ key }}"),
            ("{{ key }}", "&key={{ key }}"),
            ("{{ path }}", "{{ path_only }}"),
            ("{{ path_only }}", "{{ path }}"),
            ("{{ body_sha256 }}", "{{ body }}"),
            ("{{ body }}", "{{ body_sha256 }}"),
            ("{{ body }}", "{{ body_md5 }}"),
            ("{{ body }}", "{{ body_sha256_base64 }}"),
            ("\n", ""),
            ("\n", "\r\n"),
            ("\n", "&"),
            ("\n", "."),
        ] {
            // A key that stands behind `&key=` already is not put there twice.
            let doubled = from == "{{ key }}" && over.contains("key={{ key }}");
            if over.contains(from) && !doubled {
                let words = format!("`{}` is signed in the place of `{}`", shown(to), shown(from));
                add(self, words, over.replace(from, to));
            }
        }
        for end in ["\n", "\r\n", "&"] {
            let words = format!("the text ends in `{}`", shown(end));
            add(self, words, format!("{over}{end}"));
            if let Some(shorter) = over.strip_suffix(end) {
                let words = format!("the text ends without `{}`", shown(end));
                add(self, words, shorter.to_owned());
            }
        }
        for order in other_orders(&over) {
            let words = format!("the order of what is signed is `{}`", shown(&order));
            add(self, words, order);
        }
    }

    /// Which values of the body are signed, and in what order.
    fn add_fields(
        &mut self,
        question: &SignatureQuestion<'_>,
        trial: &Trial,
        section: &Section<'_>,
    ) {
        let Ok(body) = MessageBody::parse(&question.message.body, trial.form) else { return };
        let seal = &trial.verification.seal;
        let own = seal.field.as_ref().and_then(|field| field.name_in(seal.sorted_in.as_ref()));
        let exclude = section.optional_texts("exclude").unwrap_or_default();
        let Some(fields) = body.fields_in(seal.sorted_in.as_ref()) else { return };
        let names: Vec<String> = fields.iter().map(|(name, _)| name.to_owned()).collect();
        if !self.over.contains("sorted_fields") {
            self.add_members(&names, seal.element.as_ref());
            return;
        }
        let list = |names: &[String]| {
            let names: Vec<String> = names.iter().map(|name| quoted(name)).collect();
            format!("[{}]", names.join(", "))
        };
        for name in names.iter().filter(|name| own.as_ref() != Some(name)) {
            let (words, left_out) = if exclude.contains(name) {
                let kept = exclude.iter().filter(|other| *other != name).cloned().collect();
                (format!("`{name}` is signed too"), kept)
            } else {
                let more: Vec<String> = exclude.iter().chain([name]).cloned().collect();
                (format!("`{name}` is not signed"), more)
            };
            self.file(&words, &[("exclude", list(&left_out))]);
        }
        let is_signed = |name: &&String| own.as_ref() != Some(*name) && !exclude.contains(name);
        let signed: Vec<&String> = names.iter().filter(is_signed).collect();
        self.add_orders(question, trial, &signed);
        for name in &names {
            let words = format!("the signature stands in `{name}`");
            if own.is_some() {
                self.file(&words, &[("field", quoted(name))]);
            }
        }
    }

    /// The member that is signed.
    fn add_members(&mut self, names: &[String], current: Option<&Inside>) {
        if !self.over.contains("element") {
            return;
        }
        for name in names.iter().filter(|name| current != Some(&Inside::Top((*name).clone()))) {
            let words = format!("the member that is signed is `{name}`");
            self.file(&words, &[("element", quoted(name))]);
        }
    }

    /// Orders of the fields beside that of their names' bytes.
    fn add_orders(&mut self, question: &SignatureQuestion<'_>, trial: &Trial, signed: &[&String]) {
        if trial.verification.seal.sorted_in.is_some() {
            return;
        }
        let body = String::from_utf8_lossy(&question.message.body).into_owned();
        let place = |name: &str| {
            let text = match trial.form.format {
                BodyFormat::Json => format!("\"{name}\""),
                BodyFormat::Xml => format!("<{name}"),
                BodyFormat::Form | BodyFormat::Text => format!("{name}="),
            };
            body.find(&text).unwrap_or(usize::MAX)
        };
        let root = match MessageBody::parse(&question.message.body, trial.form) {
            Ok(MessageBody::Xml(root)) => format!("/{}", root.name),
            Ok(_) | Err(_) => String::new(),
        };
        let mut as_came: Vec<&str> = signed.iter().map(|name| name.as_str()).collect();
        as_came.sort_by_key(|name| place(name));
        let mut by_letter: Vec<&str> = signed.iter().map(|name| name.as_str()).collect();
        by_letter.sort_by_key(|name| name.to_ascii_lowercase());
        let named = |names: &[&str], joint: &str| {
            let pair = |name: &&str| format!("{name}={{{{ {root}/{name} }}}}");
            names.iter().map(pair).collect::<Vec<_>>().join(joint)
        };
        let bare = |names: &[&str], joint: &str| {
            let value = |name: &&str| format!("{{{{ {root}/{name} }}}}");
            names.iter().map(value).collect::<Vec<_>>().join(joint)
        };
        let rows = [
            ("the fields are signed in the order in which they come", named(&as_came, "&")),
            ("the fields are sorted without regard to case", named(&by_letter, "&")),
            ("the values alone are signed, sorted by name", bare(&by_letter, "")),
            ("the values alone are signed, in the order in which they come", bare(&as_came, "")),
        ];
        for (words, text) in rows {
            let over = self.over.replace("{{ sorted_fields }}", &text);
            self.file(words, &[("over", quoted(&over))]);
        }
    }

    /// The other keys of the file in the place of this one.
    fn add_keys(&mut self, question: &SignatureQuestion<'_>, http: &Section<'_>, trial: &Trial) {
        let mut references = BTreeSet::new();
        for name in ["sign", "verify", "notice_verify", "encrypt", "decrypt"] {
            if let Some(section) = http.optional_section(name) {
                references.extend(section.optional_text("key"));
                references.extend(section.map("keys").into_iter().map(|entry| entry.text));
            }
        }
        let known: Vec<&String> =
            trial.setting.references.iter().map(|(_, reference)| reference).collect();
        for reference in references.iter().filter(|reference| !known.contains(reference)) {
            let words = format!("it is signed with the key `{reference}`");
            self.file(&words, &[("key", quoted(reference))]);
        }
        if question.role != MessageRole::Request {
            for (id, reference) in &trial.setting.references {
                let words = format!("it is signed with the key `{reference}`, and names another");
                if !id.is_empty() {
                    self.file(&words, &[("key", quoted(reference))]);
                }
            }
        }
    }
}

/// A text of settings for a value.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Line ends as they are written.
fn shown(text: &str) -> String {
    text.replace('\r', "\\r").replace('\n', "\\n")
}

/// The same expressions in every other order, with the same texts between them.
fn other_orders(over: &str) -> Vec<String> {
    let Ok(parts) = split(over) else { return Vec::new() };
    let words: Vec<&str> = parts
        .iter()
        .filter_map(|part| match part {
            TemplatePart::Expression(word) => Some(*word),
            TemplatePart::Literal(_) => None,
        })
        .collect();
    if !(2..=4).contains(&words.len()) {
        return Vec::new();
    }
    let mut orders = vec![Vec::new()];
    for _ in 0..words.len() {
        let longer = |order: &Vec<usize>| {
            let order = order.clone();
            let rest = (0..words.len()).filter(|at| !order.contains(at)).collect::<Vec<_>>();
            rest.into_iter().map(move |at| [&order[..], &[at]].concat())
        };
        orders = orders.iter().flat_map(longer).collect::<Vec<Vec<usize>>>();
    }
    let write = |order: &Vec<usize>| {
        let mut next = order.iter().map(|at| words[*at]);
        let part = |part: &TemplatePart<'_>| match part {
            TemplatePart::Literal(text) => (*text).to_owned(),
            TemplatePart::Expression(_) => {
                format!("{{{{ {} }}}}", next.next().unwrap_or_default())
            }
        };
        parts.iter().map(part).collect::<String>()
    };
    orders.iter().map(write).filter(|text| text != over).collect()
}

/// A header that is a time in digits, in milliseconds.
fn read_time(value: &http::HeaderValue) -> Option<i64> {
    let text = value.to_str().ok()?;
    let number: i64 = text.parse().ok().filter(|_| text.len() >= 10)?;
    if text.len() <= 11 { number.checked_mul(1_000) } else { Some(number) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_other_orders_keep_what_stands_between() {
        let orders = other_orders("{{ timestamp }}\n{{ body }}");
        assert_eq!(orders, ["{{ body }}\n{{ timestamp }}"]);
        assert_eq!(other_orders("{{ a }}{{ b }}{{ c }}").len(), 5);
        assert_eq!(other_orders("{{ body }}"), Vec::<String>::new());
    }
}
