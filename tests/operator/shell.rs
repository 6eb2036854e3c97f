//! A shell as small as the manual needs, with its own `curl`, so that nothing depends on what is
//! installed: quotes, variables, `&`, `#`, `|| true`, `export`, `cp`, `rm`, and the program itself.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::support::daemon::{Daemon, program};
use crate::support::wire::http_client;

/// Where the manual has the daemon.
const DAEMON: &str = "127.0.0.1:7070";
/// Commands that ask the running daemon.
const ASK: [&str; 13] = [
    "accounting",
    "agreement",
    "audit",
    "today",
    "order",
    "reversal",
    "transaction",
    "contradiction",
    "clearing",
    "statement",
    "difference",
    "settlement",
    "report",
];

pub struct Shell {
    folder: PathBuf,
    variables: BTreeMap<String, String>,
    /// What runs on behind `&`; it goes with the shell.
    running: Vec<Daemon>,
    /// The daemon's own address.
    address: Option<String>,
    /// The key that it has printed.
    key: Option<String>,
}

impl Shell {
    pub fn new(folder: &Path) -> Self {
        let folder = folder.to_owned();
        let (variables, running) = (BTreeMap::new(), Vec::new());
        Self { folder, variables, running, address: None, key: None }
    }

    /// Runs every command of a block; each must end well.
    pub async fn run(&mut self, place: &str, text: &str) {
        for mut command in commands(place, text) {
            let goes_on = take_last(&mut command, &["&"]);
            let may_fail = take_last(&mut command, &["||", "true"]);
            let mut words: Vec<String> = command.iter().map(|word| self.filled(word)).collect();
            let given = words.iter().take_while(|word| is_assignment(word)).count();
            let given: Vec<String> = words.drain(..given).collect();
            let Some(name) = words.first().cloned() else { continue };
            let words = &words[1..];
            match name.as_str() {
                "export" => self.export(place, words),
                "cp" | "rm" => self.files(place, &name, words),
                "curl" => self.curl(place, words).await,
                "switchyard" if goes_on => self.begin(given, words).await,
                "switchyard" => self.program(place, &given, words, may_fail).await,
                _ => panic!("{place}: `{name}` is no command that is known here"),
            }
        }
    }

    /// Only looks whether the program would take the commands: nobody is there to answer them.
    pub fn parse(&self, place: &str, text: &str) {
        for command in commands(place, text) {
            let words: Vec<String> = command.iter().map(|word| self.filled(word)).collect();
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            match words.as_slice() {
                // They would run for long, write where they should not, or are not ours.
                ["switchyard", "serve" | "simulate" | "demo", ..] | ["cargo" | "psql", ..] => {}
                ["switchyard", rest @ ..] => {
                    let rest: Vec<&str> =
                        rest.iter().copied().take_while(|word| !word.starts_with('>')).collect();
                    let mut program = program(&self.folder);
                    // Those on the folder's own table have nobody to ask, and miss their file.
                    let nobody: &[&str] = match rest.as_slice() {
                        ["bin", "check" | "refresh", ..] => &[],
                        _ => &["--url", "http://127.0.0.1:1", "--key", "none"],
                    };
                    let done = program.args(&rest).args(nobody).output().expect("it starts");
                    let told = String::from_utf8_lossy(&done.stderr);
                    assert_eq!(done.status.code(), Some(1), "{place}: {words:?}: {told}");
                }
                _ => panic!("{place}: {words:?} is no command that is known here"),
            }
        }
    }

    fn filled(&self, word: &Word) -> String {
        let mut text = word.text.clone();
        if word.is_filled {
            for (name, value) in &self.variables {
                text = text.replace(&format!("${name}"), value);
            }
        }
        match &self.address {
            Some(address) => text.replace(DAEMON, address),
            None => text,
        }
    }

    fn export(&mut self, place: &str, words: &[String]) {
        let (name, value) = words[0].split_once('=').expect("a name and a value");
        let value = match value {
            "sy_..." => self.key.clone().unwrap_or_else(|| panic!("{place}: no key was printed")),
            value => value.to_owned(),
        };
        self.variables.insert(name.to_owned(), value);
    }

    fn files(&self, place: &str, name: &str, words: &[String]) {
        let path = |word: &String| self.folder.join(word);
        let done = match (name, words) {
            ("cp", [from, to]) => std::fs::copy(path(from), path(to)).map(|_| ()),
            ("rm", [file]) => std::fs::remove_file(path(file)),
            _ => panic!("{place}: {name} {words:?}"),
        };
        done.unwrap_or_else(|error| panic!("{place}: {name} {words:?}: {error}"));
    }

    /// Starts what goes on running, with ports of its own.
    async fn begin(&mut self, given: Vec<String>, words: &[String]) {
        let mut words: Vec<String> = words.to_vec();
        let serves = words[0] == "serve";
        if serves {
            words.extend(["--listen".to_owned(), "127.0.0.1:0".to_owned()]);
        }
        let given: Vec<(String, String)> = given
            .iter()
            .filter_map(|one| one.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let daemon = Daemon::start_with(&self.folder, &words, &given).await;
        if serves {
            self.address = Some(daemon.address.to_string());
            let key = daemon.printed.iter().find(|line| line.starts_with("sy_"));
            self.key = key.cloned().or(self.key.take());
        }
        self.running.push(daemon);
    }

    async fn program(&self, place: &str, given: &[String], words: &[String], may_fail: bool) {
        let mut program = program(&self.folder);
        program.args(words);
        let asks = ASK.contains(&words[0].as_str()) || words.iter().any(|word| word == "--daemon");
        if let Some(address) = self.address.as_ref().filter(|_| asks) {
            program.args(["--url", &format!("http://{address}")]);
        }
        let given = given.iter().filter_map(|one| one.split_once('='));
        let exported = self.variables.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        program.envs(exported.chain(given));
        let done = tokio::task::spawn_blocking(move || program.output().expect("it starts"));
        let done = done.await.expect("no panic");
        let told = String::from_utf8_lossy(&done.stderr);
        let code = done.status.code();
        assert!(code == Some(0) || may_fail && code == Some(1), "{place}: {words:?}: {told}");
        assert!(!done.stdout.is_empty() || !told.is_empty(), "{place}: {words:?} says something");
    }

    /// `-s`, `-X`, `-H`, `-d` and an address; an answer must be a success.
    async fn curl(&self, place: &str, words: &[String]) {
        let (mut url, mut method, mut body) = (None, None, None);
        let mut headers = Vec::new();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let mut value = || words.next().unwrap_or_else(|| panic!("{place}: {word} what?"));
            match word.as_str() {
                "-s" => {}
                "-X" => method = Some(value().clone()),
                "-H" => headers.push(value().split_once(": ").expect("a header")),
                "-d" => body = Some(value().clone()),
                address if address.starts_with("http") => url = Some(address.to_owned()),
                other => panic!("{place}: this curl has no {other}"),
            }
        }
        let usual = if body.is_some() { "POST" } else { "GET" };
        let method = method.as_deref().unwrap_or(usual).parse().expect("a method");
        let url = url.unwrap_or_else(|| panic!("{place}: curl has no address"));
        let mut request = http_client().request(method, url);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let answer = request.body(body.unwrap_or_default()).send().await.expect("an answer");
        let (status, text) = (answer.status(), answer.text().await.expect("a text"));
        assert!(status.is_success(), "{place}: {status}: {text}");
    }
}

/// Takes these words from the end of a command, if it ends in them.
fn take_last(command: &mut Vec<Word>, words: &[&str]) -> bool {
    let Some(start) = command.len().checked_sub(words.len()) else { return false };
    let found = command[start..].iter().map(|word| word.text.as_str()).eq(words.iter().copied());
    if found {
        command.truncate(start);
    }
    found
}

fn is_assignment(word: &str) -> bool {
    let name = word.split_once('=').map_or("", |(name, _)| name);
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_')
}

/// A word, and whether variables are filled in: not between single quotes.
#[derive(Debug, Clone, Default)]
struct Word {
    text: String,
    is_filled: bool,
}

/// The commands of a block, each as its words.
fn commands(place: &str, text: &str) -> Vec<Vec<Word>> {
    let mut found = Vec::new();
    let mut command: Vec<Word> = Vec::new();
    let mut word: Option<Word> = None;
    let mut quote: Option<char> = None;
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match (quote, character) {
            (Some(end), one) if one == end => quote = None,
            (Some(_), one) => word.get_or_insert_default().text.push(one),
            (None, '"' | '\'') => {
                quote = Some(character);
                word.get_or_insert_default().is_filled = character == '"';
            }
            (None, '\\') if characters.peek() == Some(&'\n') => {
                characters.next();
                command.extend(word.take());
            }
            (None, '#') if word.is_none() => {
                while characters.peek().is_some_and(|next| *next != '\n') {
                    characters.next();
                }
            }
            (None, ' ') => command.extend(word.take()),
            (None, '\n') => {
                command.extend(word.take());
                if !command.is_empty() {
                    found.push(std::mem::take(&mut command));
                }
            }
            (None, one) => {
                let word = word.get_or_insert_with(|| Word { is_filled: true, ..Word::default() });
                word.text.push(one);
            }
        }
    }
    assert!(quote.is_none() && command.is_empty(), "{place}: a quote is not closed");
    found
}

#[test]
fn words_are_as_the_shell_has_them() {
    let text = "A=1 b \"c d\" 'e $F' \\\n  g # not this\n\nh &\n";
    let words: Vec<Vec<String>> = commands("here", text)
        .into_iter()
        .map(|command| command.into_iter().map(|word| word.text).collect())
        .collect();
    assert_eq!(words, [vec!["A=1", "b", "c d", "e $F", "g"], vec!["h", "&"]]);
}
