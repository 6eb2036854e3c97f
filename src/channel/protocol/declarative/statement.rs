//! The statement of a clearing date over a channel's own API, as `[http.statement]` says.
//!
//! The file is the reply's whole body, stands in the reply as base64, or lies at an address that
//! the reply names. That address is the channel's word, and a gateway that went wherever it is told
//! would be anyone's tool: only https, to the hosts of the channel's file, is gone to, and what
//! lies there must have the digest that the reply gave. Codes speak of the request: `pending` is
//! "not there yet", `not_found` is "nothing happened on this date", and only the section's own
//! codes say so, because the shared ones speak of payments. Does no I/O; never panics on what came.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::{Method, Uri};

use super::asked::{Subject, nonce_of};
use super::document::{ChannelAnswer, MessageBody};
use super::path::{Inside, Path};
use super::sign::{Received, RequestLine, UnsignedRequest};
use super::template::Template;
use super::words::Words;
use super::{Declarative, RequestTemplate, host_of};
use crate::channel::file::codes::{CodeMeaning, CodeTable};
use crate::channel::statement::{
    FILES_BYTES_MAX, FilePointer, StatementFile, StatementReply, StatementSource, check_zip,
    gunzip, inflate,
};
use crate::channel::{EncodeError, WireReply, WireRequest};
use crate::codec::FieldLimits;
use crate::codec::crypto::digest::Digest;
use crate::codec::sign::read_hex;
use crate::domain::time::{BusinessDate, Timestamp};

/// The most characters of a code that are kept.
const CODE_LENGTH_MAX: usize = 32;
/// Characters of an address behind its host.
const ADDRESS_LENGTH_MAX: usize = 4_096;
const STATUS_OK: u16 = 200;

/// How a statement is asked for, and where its file is found.
pub struct StatementCall {
    pub sending: RequestTemplate,
    /// The file's name in the inbox.
    pub name: Template,
    /// The reply is believed because TLS brought it, although others are signed.
    pub is_unsigned: bool,
    /// The file is inside a bare zlib stream. gzip and ZIP are seen without being told.
    pub is_zlib: bool,
    pub code: Option<Path>,
    /// The member at the top of the body in which the code stands.
    pub member: Option<Inside>,
    /// The clearing date that the reply speaks of, in digits, dashes apart.
    pub date: Option<Path>,
    pub place: FilePlace,
    pub proof: Option<FileProof>,
    pub shared_codes: CodeTable,
    pub own_codes: CodeTable,
}

/// Where the file is.
pub enum FilePlace {
    /// The reply's body is the file itself, unless it is a document with a code.
    Body,
    /// In the reply, as base64.
    Content(Path),
    Address(Download),
}

/// How the file behind an address is fetched.
pub struct Download {
    pub url: Path,
    /// `host` or `host:port`, in small letters.
    pub hosts: Vec<String>,
    /// Whether the request carries our signature and the section's own headers.
    pub is_signed: bool,
}

/// The digest of the unpacked file.
pub struct FileProof {
    /// Hexadecimal.
    pub hash: Path,
    /// The algorithm's name, where the reply says it.
    pub hash_type: Option<Path>,
    pub algorithm: Digest,
}

impl FileProof {
    fn read(&self, answer: &ChannelAnswer) -> Result<(Digest, Vec<u8>), String> {
        let algorithm = match &self.hash_type {
            Some(path) => {
                let name = required(answer, path, "hash type")?;
                digest_named(&name).ok_or("it names a hash that is not known")?
            }
            None => self.algorithm,
        };
        let hash = required(answer, &self.hash, "hash")?;
        let hash = read_hex(&hash).ok_or("its hash is not hexadecimal")?;
        Ok((algorithm, hash))
    }
}

/// By the names that banks write: `SHA1`, `sha-256`.
pub fn digest_named(name: &str) -> Option<Digest> {
    let plain: String = name.chars().filter(|c| *c != '-').collect();
    match plain.to_ascii_lowercase().as_str() {
        "md5" => Some(Digest::Md5),
        "sha1" => Some(Digest::Sha1),
        "sha256" => Some(Digest::Sha256),
        "sm3" => Some(Digest::Sm3),
        _ => None,
    }
}

impl StatementCall {
    /// The end of a call whose reply has a code that is no approval.
    fn refusal(&self, code: &str) -> Option<StatementReply> {
        let shown = || code.chars().take(CODE_LENGTH_MAX).collect::<String>();
        match self.own_codes.verdict(code) {
            Some(CodeMeaning::Approved) => None,
            Some(CodeMeaning::Pending) => Some(StatementReply::NotYet { code: shown() }),
            Some(CodeMeaning::NotFound) => Some(StatementReply::Empty { code: shown() }),
            None if self.shared_codes.verdict(code) == Some(CodeMeaning::Approved) => None,
            None
            | Some(CodeMeaning::Declined(_) | CodeMeaning::Elsewhere(_) | CodeMeaning::Unknown) => {
                Some(StatementReply::Refused { code: shown() })
            }
        }
    }

    /// The code of a reply; `None` where the file does not say that it has one, or it has none.
    fn code_of(&self, answer: &ChannelAnswer) -> Result<Option<String>, String> {
        let Some(path) = &self.code else { return Ok(None) };
        let found = answer.text(path).map_err(|_| "its code is no text")?;
        match found {
            Some(code) => Ok(Some(code.into_owned())),
            None if path.is_optional || matches!(self.place, FilePlace::Body) => Ok(None),
            None => Err("it has no code".to_owned()),
        }
    }

    /// A reply is a document with the limits of what it may carry.
    const fn limits(&self) -> FieldLimits {
        match self.place {
            // A longer one is a file.
            FilePlace::Body => FieldLimits::MESSAGE,
            FilePlace::Content(_) | FilePlace::Address(_) => FieldLimits::FILE,
        }
    }

    fn check_date(&self, answer: &ChannelAnswer, date: BusinessDate) -> Result<(), String> {
        let Some(path) = &self.date else { return Ok(()) };
        let found = answer.text(path).map_err(|_| "its date is no text")?;
        let Some(found) = found else {
            let problem = || "it does not say its date".to_owned();
            return if path.is_optional { Ok(()) } else { Err(problem()) };
        };
        let digits: String = found.chars().filter(|c| *c != '-').collect();
        let asked = format!("{:08}", date.yyyymmdd());
        if digits == asked { Ok(()) } else { Err("it is of another date".to_owned()) }
    }
}

impl Declarative {
    /// Reads a reply; an error is a reason not to believe it, and quotes nothing of it.
    fn understand_statement(
        &self,
        call: &StatementCall,
        date: BusinessDate,
        reply: &WireReply,
        now: Timestamp,
    ) -> Result<StatementReply, String> {
        if !self.accepted_statuses.contains(&reply.status) {
            return Err(format!("HTTP status {}", reply.status));
        }
        let body = MessageBody::parse_within(&reply.body, self.reply_form, call.limits()).ok();
        if let Some(verification) = self.verification.as_ref().filter(|_| !call.is_unsigned)
            && let Err(problem) = verification.prove(&Received {
                headers: &reply.headers,
                body: &reply.body,
                document: body.as_ref(),
                member: call.member.as_ref(),
                now,
                line: RequestLine::default(),
            })
        {
            return Err(problem.to_owned());
        }
        let answer = body.map(|body| ChannelAnswer { body, status: Some(reply.status) });
        let code = answer.as_ref().map_or(Ok(None), |answer| call.code_of(answer))?;
        if let Some(code) = &code
            && let Some(refusal) = call.refusal(code)
        {
            return Ok(refusal);
        }
        if reply.status != STATUS_OK {
            return Err(format!("HTTP status {}", reply.status));
        }
        let answer = match (&call.place, answer) {
            (FilePlace::Body, _) if code.is_some() => return Err("it brings no file".to_owned()),
            (FilePlace::Body, _) => return self.files(call, date, &reply.body, None),
            (_, Some(answer)) => answer,
            (_, None) => return Err("it is not of the channel's format".to_owned()),
        };
        call.check_date(&answer, date)?;
        let digest = call.proof.as_ref().map(|proof| proof.read(&answer)).transpose()?;
        match &call.place {
            FilePlace::Body => Err("it brings no file".to_owned()),
            FilePlace::Content(path) => {
                let text = required(&answer, path, "file")?;
                let text: String = text.chars().filter(|c| !c.is_ascii_whitespace()).collect();
                let bytes = BASE64.decode(text).map_err(|_| "its file is not base64")?;
                self.files(call, date, &bytes, digest.as_ref())
            }
            FilePlace::Address(download) => {
                let url = required(&answer, &download.url, "address")?;
                let (origin, path) = self.address(&url, &download.hosts)?;
                Ok(StatementReply::Elsewhere(FilePointer { origin, path, digest }))
            }
        }
    }

    /// Scheme, host and port of an address that may be gone to, and its path.
    fn address(&self, url: &str, hosts: &[String]) -> Result<(String, String), String> {
        let uri: Uri = url.parse().map_err(|_| "it names an address that is none")?;
        let clear_allowed = self.destination.origin.starts_with("http://");
        let scheme = match uri.scheme_str() {
            Some("https") => "https",
            Some("http") if clear_allowed => "http",
            Some(_) | None => return Err("it names an address without https".to_owned()),
        };
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        let authority = authority.to_ascii_lowercase();
        let usual_port = if scheme == "https" { ":443" } else { ":80" };
        let host = authority.strip_suffix(usual_port).unwrap_or(&authority);
        if !hosts.iter().any(|allowed| allowed == host) {
            let problem = "it names an address on a host that the channel's file does not allow";
            return Err(problem.to_owned());
        }
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let is_plain = path.len() <= ADDRESS_LENGTH_MAX
            && path.starts_with('/')
            && path.bytes().all(|byte| byte.is_ascii_graphic());
        if !is_plain {
            return Err("it names an address that is none".to_owned());
        }
        // Put together anew of what was checked: nobody reads it in another way.
        Ok((format!("{scheme}://{host}"), path.to_owned()))
    }

    /// The file, unpacked and held against its digest. A ZIP file stays one, for the layout chooses
    /// among its members.
    fn files(
        &self,
        call: &StatementCall,
        date: BusinessDate,
        packed: &[u8],
        digest: Option<&(Digest, Vec<u8>)>,
    ) -> Result<StatementReply, String> {
        let unpacked;
        let mut bytes = packed;
        if call.is_zlib {
            unpacked = inflate(bytes, FILES_BYTES_MAX).map_err(|error| error.to_string())?;
            bytes = &unpacked;
        }
        let gunzipped;
        if bytes.starts_with(&[0x1F, 0x8B]) {
            gunzipped = gunzip(bytes, FILES_BYTES_MAX).map_err(|error| error.to_string())?;
            bytes = &gunzipped;
        }
        let is_zip = bytes.starts_with(b"PK\x03\x04");
        if is_zip {
            check_zip(bytes, FILES_BYTES_MAX).map_err(|error| error.to_string())?;
        }
        if bytes.is_empty() {
            return Err("it brings no file".to_owned());
        }
        if is_page(bytes) {
            return Err("it is a web page".to_owned());
        }
        if let Some((algorithm, expected)) = digest
            && algorithm.of(&[bytes]) != *expected
        {
            return Err("the file has not the hash that was given".to_owned());
        }
        // The words need no moment: the reader has seen to it that a name has only its date.
        let words = self.statement_words(date, Timestamp::from_millis(0));
        let name = call.name.render_text(&words).ok().flatten().unwrap_or_default();
        let name = if is_zip { format!("{name}.zip") } else { name };
        let file = StatementFile::new(&name, bytes.to_vec());
        Ok(StatementReply::Files(vec![file.ok_or("it has a name that no file may have")?]))
    }

    pub(super) fn statement_words(&self, date: BusinessDate, now: Timestamp) -> Words<'_> {
        Words::new(Subject::Statement(date), now, &self.surroundings)
    }
}

/// A proxy's page, for instance.
fn is_page(bytes: &[u8]) -> bool {
    let text = bytes.trim_ascii_start();
    let begins =
        |mark: &[u8]| text.len() >= mark.len() && text[..mark.len()].eq_ignore_ascii_case(mark);
    begins(b"<!doctype html") || begins(b"<html")
}

fn required(answer: &ChannelAnswer, path: &Path, what: &str) -> Result<String, String> {
    let found = answer.text(path).map_err(|_| format!("its {what} is no text"))?;
    found.map(|text| text.into_owned()).ok_or_else(|| format!("it brings no {what}"))
}

impl StatementSource for Declarative {
    fn encode_statement(
        &self,
        date: BusinessDate,
        now: Timestamp,
    ) -> Result<WireRequest, EncodeError> {
        let written = match &self.statement {
            Some(call) => {
                self.write(&call.sending, &self.destination, &self.statement_words(date, now))
            }
            None => Err("this channel file has no [http.statement]".to_owned()),
        };
        written.map_err(|problem| EncodeError { request: "statement", problem })
    }

    fn decode_statement(
        &self,
        date: BusinessDate,
        reply: &WireReply,
        now: Timestamp,
    ) -> StatementReply {
        let call = self.statement.as_ref().ok_or_else(|| "nothing was asked for".to_owned());
        call.and_then(|call| self.understand_statement(call, date, reply, now))
            .unwrap_or_else(|problem| StatementReply::Unbelieved { problem })
    }

    fn encode_file(
        &self,
        date: BusinessDate,
        pointer: &FilePointer,
        now: Timestamp,
    ) -> Result<WireRequest, EncodeError> {
        let FilePointer { origin, path, .. } = pointer;
        let mut wire = WireRequest {
            method: Method::GET,
            url: format!("{origin}{path}"),
            headers: Vec::new(),
            body: bytes::Bytes::new(),
            signature: String::new(),
        };
        let place = self.statement.as_ref().map(|call| (&call.place, &call.sending));
        let signed = match place {
            Some((FilePlace::Address(download), sending)) if download.is_signed => {
                let nonce = || nonce_of("statement file", path, now);
                let host = host_of(origin);
                sending.headers(&self.statement_words(date, now)).and_then(|headers| {
                    let outgoing = UnsignedRequest {
                        method: "GET",
                        path,
                        host,
                        headers: &headers,
                        nonce: &nonce,
                        now,
                        member: None,
                    };
                    let signed = self.sign(&outgoing, None, &self.destination)?;
                    wire.headers = headers;
                    wire.headers.extend(signed.headers);
                    Ok(signed.body)
                })
            }
            Some(_) | None => Ok(bytes::Bytes::new()),
        };
        let failed = |problem| EncodeError { request: "statement file", problem };
        signed.map(|_| wire).map_err(failed)
    }

    fn decode_file(
        &self,
        date: BusinessDate,
        pointer: &FilePointer,
        reply: &WireReply,
        _now: Timestamp,
    ) -> StatementReply {
        let read = match &self.statement {
            _ if reply.status != STATUS_OK => Err(format!("HTTP status {}", reply.status)),
            Some(call) => self.files(call, date, &reply.body, pointer.digest.as_ref()),
            None => Err("nothing was asked for".to_owned()),
        };
        read.unwrap_or_else(|problem| StatementReply::Unbelieved { problem })
    }
}

impl StatementCall {
    /// A pointer as a reply could give one, to try the second request on.
    pub fn sample_pointer(&self) -> Option<FilePointer> {
        match &self.place {
            FilePlace::Body | FilePlace::Content(_) => None,
            FilePlace::Address(download) => Some(FilePointer {
                origin: format!("https://{}", download.hosts.first()?),
                path: "/statement?token=1".to_owned(),
                digest: None,
            }),
        }
    }
}
