//! `switchyard channel explain-signature`: why a message does not verify, or a request is refused.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use serde_json::{Value as Json, json};

use crate::certify::stand_ins;
use crate::channel::file::whole::WholeFile;
use crate::channel::protocol::declarative::doctor::{
    MessageFile, MessageRole, SignatureFinding, SignatureQuestion, examine, show_text,
};
use crate::cli::load::print_mistakes;
use crate::cli::output::say;
use crate::clock::Clock;
use crate::codec::sign::{hex_lower, sha256_hex};
use crate::config::credential::CredentialSource;
use crate::config::mistake::Mistake;

/// A message or a text has at most so many bytes.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

#[derive(Debug, Args)]
pub struct ExplainSignatureArgs {
    /// The channel's file, for instance channels/bank.toml
    file: PathBuf,
    #[command(flatten)]
    message: MessageArgs,
    /// The text that the other side says is signed, byte for byte
    #[arg(long, value_name = "FILE")]
    against_text: Option<PathBuf>,
}

/// The message as it was sent or came: a first line, headers, an empty line, the body.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct MessageArgs {
    /// A request of ours that the channel refuses
    #[arg(long, value_name = "FILE")]
    request: Option<PathBuf>,
    /// A reply that we do not believe
    #[arg(long, value_name = "FILE")]
    reply: Option<PathBuf>,
    /// A notice that we do not believe
    #[arg(long, value_name = "FILE")]
    notice: Option<PathBuf>,
}

pub fn explain_signature(args: &ExplainSignatureArgs, as_json: bool) -> anyhow::Result<ExitCode> {
    let named = [
        (MessageRole::Request, &args.message.request),
        (MessageRole::Reply, &args.message.reply),
        (MessageRole::Notice, &args.message.notice),
    ];
    let given = named.into_iter().find_map(|(role, path)| Some((role, path.as_ref()?)));
    let (role, path) = given.context("give --request, --reply or --notice")?;
    let file = match WholeFile::read(&args.file) {
        Ok(whole) => whole.text,
        Err(mistakes) => {
            print_mistakes(&mistakes);
            return Ok(ExitCode::from(1));
        }
    };
    let message = MessageFile::read(&read(path)?)
        .map_err(|problem| anyhow::anyhow!("{}: {problem}", path.display()))?;
    let theirs = args.against_text.as_deref().map(read).transpose()?;
    let source = CredentialSource::new(args.file.parent().unwrap_or(Path::new(".")));
    let made = stand_ins(&args.file);
    let resolve = |reference: &str| {
        source.resolve(reference).or_else(|error| made(reference).map_err(|_| error))
    };
    let question = SignatureQuestion {
        file: &file,
        role,
        message: &message,
        theirs: theirs.as_deref(),
        now: Clock::System.now(),
    };
    let found = match examine(&question, &resolve) {
        Ok(found) => found,
        Err(problem) => {
            let name = args.file.display().to_string();
            let advice = "see [http.sign], [http.verify] and `switchyard channel check`";
            print_mistakes(&[Mistake::new(&name, 0, "http", &problem, advice)]);
            return Ok(ExitCode::from(1));
        }
    };
    let is_well = found.refusal.is_none() && found.difference.is_none();
    if as_json {
        say!("{}", form(&found))?;
    } else {
        show(&found)?;
    }
    Ok(ExitCode::from(u8::from(!is_well)))
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    let bytes = || -> std::io::Result<Vec<u8>> {
        if std::fs::metadata(path)?.len() > FILE_BYTES_MAX {
            return Err(std::io::Error::other("it is longer than any message"));
        }
        std::fs::read(path)
    };
    bytes().with_context(|| path.display().to_string())
}

fn show(found: &SignatureFinding) -> anyhow::Result<()> {
    say!("[http.{}]: {} over {}", found.section, found.algorithm, one_line(&found.over))?;
    for key in &found.keys {
        let id = if key.id.is_empty() { String::new() } else { format!(" ({})", key.id) };
        say!("key: `{}`{id}: {}", key.reference, key.shown)?;
    }
    match &found.text {
        None => say!("signed text: the message has not everything that is signed")?,
        Some(text) => {
            say!("signed text, {} bytes, SHA-256 {}:", text.len(), sha256_hex(text))?;
            say!("{}", show_text(text, &found.secrets))?;
        }
    }
    if let Some(difference) = &found.difference {
        say!("the texts differ from byte {} on:", difference.at)?;
        say!("  ours:   {}", piece(&difference.ours, found))?;
        say!("  theirs: {}", piece(&difference.theirs, found))?;
    }
    match &found.refusal {
        Some(refusal) => say!("not believed: {refusal}")?,
        None => say!("the signature verifies")?,
    }
    for cause in &found.causes {
        say!("likely cause: {}", cause.words)?;
        for line in cause.setting.lines() {
            say!("  {line}")?;
        }
    }
    if found.causes.is_empty() && (found.refusal.is_some() || found.difference.is_some()) {
        say!("no usual cause makes it verify: the key may be another one, or the message changed")?;
    }
    Ok(())
}

fn one_line(text: &str) -> String {
    format!("{text:?}")
}

/// A piece as bytes and, where it holds neither card data nor a key, as text.
fn piece(bytes: &[u8], found: &SignatureFinding) -> String {
    let text = show_text(bytes, &found.secrets);
    if text.contains('*') { format!("{text:?}") } else { format!("{}  {text:?}", hex_lower(bytes)) }
}

fn form(found: &SignatureFinding) -> Json {
    let keys = found
        .keys
        .iter()
        .map(|key| json!({ "reference": key.reference, "id": key.id, "shown": key.shown }));
    let causes =
        found.causes.iter().map(|one| json!({ "cause": one.words, "setting": one.setting }));
    let difference = found.difference.as_ref().map(|one| {
        json!({
            "at": one.at, "ours": piece(&one.ours, found), "theirs": piece(&one.theirs, found),
        })
    });
    json!({
        "section": found.section, "algorithm": found.algorithm, "over": found.over,
        "keys": keys.collect::<Vec<_>>(),
        "text": found.text.as_ref().map(|text| show_text(text, &found.secrets)),
        "text_sha256": found.text.as_ref().map(|text| sha256_hex(text)),
        "refusal": found.refusal, "difference": difference,
        "causes": causes.collect::<Vec<_>>(),
    })
}
