//! A channel file with both its ends: read with made-up credentials, or with the real ones for a
//! test host.

use std::path::Path;
use std::sync::Arc;

use crate::certify::desk::CaseSubject;
use crate::certify::far_side::{
    AcpFarSide, FarSide, HostLine, HttpFarSide, LinkFarSide, LinkOpening,
};
use crate::certify::keys::RehearsalKeys;
use crate::certify::{common_terms, subject_of};
use crate::channel::file::ChannelFile;
use crate::channel::file::codes::CodeTable;
use crate::channel::file::whole::WholeFile;
use crate::channel::protocol::declarative::far_side::DeclarativeFarSide;
use crate::channel::protocol::declarative::{self, Declarative};
use crate::channel::protocol::iso8583::{self, Iso8583};
use crate::channel::protocol::sample::SAMPLE_MERCHANT;
use crate::channel::protocol::unionpay_acp::{self, UnionPayAcp};
use crate::channel::transport::http::HttpTransport;
use crate::channel::transport::tls;
use crate::clock::{Clock, Timekeeper};
use crate::config::credential::CredentialSource;
use crate::config::editor::overlay;
use crate::config::mistake::{Mistake, Mistakes};
use crate::config::raw::Document;
use crate::config::section::Section;
use crate::domain::ids::{ChannelId, MerchantId};
use crate::simulator::{AcpVoice, Counterpart, DialectSettings, KeyTexts, LinkVoice};

/// The addresses of a UnionPay file that requests go to.
const ACP_ADDRESSES: [&str; 3] = ["transaction_url", "query_url", "reversal_url"];

/// A channel file that can be rehearsed.
pub struct Rehearsal {
    pub file: ChannelFile,
    pub name: String,
    merchant: MerchantId,
    node: u16,
    protocol: RehearsedProtocol,
    /// Every reference of the file to a credential.
    references: Vec<String>,
}

/// Both ends of a file, by its protocol.
enum RehearsedProtocol {
    Http { adapter: Arc<Declarative>, channel: Arc<DeclarativeFarSide> },
    UnionPayAcp { adapter: Arc<UnionPayAcp>, voice: Box<AcpVoice> },
    Iso8583 { adapter: Arc<Iso8583>, voice: LinkVoice },
}

/// The file while it is read.
struct FileReader<'a> {
    name: &'a str,
    document: &'a Document,
    root: &'a Section<'a>,
    file: &'a ChannelFile,
    source: &'a CredentialSource,
    /// Whether the real credentials are wanted.
    is_real: bool,
}

impl Rehearsal {
    /// Reads a file with made-up credentials, or with its real ones for a host, at whose address
    /// the calls go then.
    pub fn read(path: &Path, host: Option<&str>) -> Result<Self, Vec<Mistake>> {
        let name = path.display().to_string();
        let about =
            |problem: String, advice: &str| vec![Mistake::new(&name, 0, "", &problem, advice)];
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        let id = ChannelId::parse(stem).map_err(|error| {
            about(format!("the file's name is not a channel id: {error}"), "rename the file")
        })?;
        let WholeFile { text, document, .. } = WholeFile::read(path)?;
        let document = match host {
            Some(url) => {
                let over = at_host(&document, url).map_err(|error| about(error, HOST_ADVICE))?;
                let text = overlay(&text, &over);
                let text = text.map_err(|error| about(error.to_string(), "mend it"))?;
                Document::parse(&name, &text)?
            }
            None => document,
        };
        let mistakes = Mistakes::new();
        let root = document.root(&mistakes);
        let file = ChannelFile::read(&root, id, &common_terms());
        let source = CredentialSource::new(path.parent().unwrap_or(Path::new(".")));
        let is_real = host.is_some();
        let reader = FileReader {
            name: &name,
            document: &document,
            root: &root,
            file: &file,
            source: &source,
            is_real,
        };
        let read = match file.protocol.as_str() {
            "http" => reader.declarative(),
            "unionpay-acp" => reader.unionpay(),
            "iso8583" => reader.links(),
            other => {
                let problem = format!("`{other}` is no protocol that can be rehearsed");
                return Err(about(problem, "choose http, unionpay-acp or iso8583"));
            }
        };
        let read = match read {
            Ok(read) => read,
            Err(found) => {
                root.finish();
                return Err(mistakes.into_result().err().unwrap_or(found));
            }
        };
        root.finish();
        mistakes.into_result()?;
        let (protocol, references, merchant) = read;
        let node = match &protocol {
            RehearsedProtocol::Iso8583 { adapter, .. } => adapter.first_node(),
            RehearsedProtocol::Http { .. } | RehearsedProtocol::UnionPayAcp { .. } => 1,
        };
        Ok(Self { file, name, merchant, node, protocol, references })
    }

    pub fn subject(&self) -> CaseSubject {
        subject_of(&self.file, self.merchant.clone(), self.node)
    }

    /// Both ends of the wire, for one case.
    pub fn far_side(&self) -> Box<dyn FarSide> {
        match &self.protocol {
            RehearsedProtocol::Http { adapter, channel } => {
                let (adapter, channel) = (Arc::clone(adapter), Arc::clone(channel));
                Box::new(HttpFarSide { adapter, channel })
            }
            RehearsedProtocol::UnionPayAcp { adapter, voice } => {
                Box::new(AcpFarSide::new(Arc::clone(adapter), voice.afresh()))
            }
            RehearsedProtocol::Iso8583 { adapter, voice } => {
                Box::new(LinkFarSide::new(Arc::clone(adapter), voice.afresh()))
            }
        }
    }

    /// Opens the link of a file that has one, which needs no order; see [`LinkFarSide::open`].
    pub fn open_link(&self) -> Option<[LinkOpening; 2]> {
        match &self.protocol {
            RehearsedProtocol::Iso8583 { adapter, voice } => {
                Some(LinkFarSide::new(Arc::clone(adapter), voice.afresh()).open())
            }
            RehearsedProtocol::Http { .. } | RehearsedProtocol::UnionPayAcp { .. } => None,
        }
    }

    /// The way to a host, over the TLS that the file describes.
    pub fn line(&self, source: &CredentialSource) -> Result<HostLine, String> {
        let roots: Result<Vec<String>, String> =
            self.file.tls_roots.iter().map(|reference| source.resolve(reference)).collect();
        let identity = self.file.tls_identity.as_ref();
        let identity = identity.map(|reference| source.resolve(reference)).transpose()?;
        let tls = tls::client_config_as(identity.as_deref(), &roots?)?;
        let mut secrets = Vec::new();
        for reference in &self.references {
            let text = source.resolve(reference).unwrap_or_default();
            secrets.push(text.trim_end_matches(['\r', '\n']).as_bytes().to_vec());
        }
        let clock: Timekeeper = Clock::System.into();
        let transport = HttpTransport::new(self.file.timeouts, tls).heard_by(clock.clone());
        Ok(HostLine { transport, clock, secrets })
    }
}

/// What a protocol's reader finds: both ends, the references to credentials, and the merchant.
type ReadProtocol = (RehearsedProtocol, Vec<String>, MerchantId);

impl FileReader<'_> {
    fn about(&self, problem: String, advice: &str) -> Vec<Mistake> {
        vec![Mistake::new(self.name, 0, "", &problem, advice)]
    }

    fn unread(&self, section: &str) -> Vec<Mistake> {
        let problem = format!("has an [{section}] that cannot be read");
        self.about(problem, "run `switchyard channel check`")
    }

    fn declarative(&self) -> Result<ReadProtocol, Vec<Mistake>> {
        let unheard = Mistakes::new();
        let unheard = self.document.root(&unheard);
        let keys = RehearsalKeys::of_http(&unheard.section("http"));
        let keys = keys.map_err(|text| self.about(text, "check the algorithms of the file"))?;
        let codes = CodeTable::new(self.file.codes.clone());
        let resolve = |reference: &str| match self.is_real {
            true => self.source.resolve(reference),
            false => keys.ours(reference),
        };
        let adapter = declarative::read(self.root.section("http"), &codes, &resolve);
        let adapter = Arc::new(adapter.ok_or_else(|| self.unread("http"))?);
        let merchants = self.root.section("http").optional_section("merchants");
        let first = merchants.and_then(|all| Some(all.keys().first()?.0.to_owned()));
        let merchant = MerchantId::from_stored(first.as_deref().unwrap_or(SAMPLE_MERCHANT));
        let far = declarative::read_far_keys(
            &unheard.section("http"),
            &|one| keys.ours(one),
            &|one| keys.channel(one),
            &|one| keys.stranger(one),
        );
        let channel = Arc::new(DeclarativeFarSide::new(Arc::clone(&adapter), far));
        let references = keys.references().map(str::to_owned).collect();
        Ok((RehearsedProtocol::Http { adapter, channel }, references, merchant))
    }

    fn unionpay(&self) -> Result<ReadProtocol, Vec<Mistake>> {
        let id = self.file.id.as_str();
        let other = Counterpart::read(self.document, id, &mut KeyTexts::new())?;
        let DialectSettings::UnionPayAcp(settings) = &other.dialect else {
            return Err(self.unread("unionpay_acp"));
        };
        let voice = AcpVoice::new(settings);
        let voice = voice.map_err(|error| self.about(error.to_string(), "try it again"))?;
        let resolve = |reference: &str| match self.is_real {
            true => self.source.resolve(reference),
            false => other.credential(reference),
        };
        let (section, codes) = (self.root.section("unionpay_acp"), self.file.codes.clone());
        let adapter = unionpay_acp::section::read(section, codes, &resolve);
        let adapter = Arc::new(adapter.ok_or_else(|| self.unread("unionpay_acp"))?);
        let references = other.credentials.iter().map(|one| one.reference.clone()).collect();
        let merchant = MerchantId::from_stored(SAMPLE_MERCHANT);
        let protocol = RehearsedProtocol::UnionPayAcp { adapter, voice: Box::new(voice) };
        Ok((protocol, references, merchant))
    }

    fn links(&self) -> Result<ReadProtocol, Vec<Mistake>> {
        let id = self.file.id.as_str();
        let other = Counterpart::read(self.document, id, &mut KeyTexts::new())?;
        let DialectSettings::Iso8583(settings) = &other.dialect else {
            return Err(self.unread("iso8583"));
        };
        let voice = LinkVoice::new(settings, other.calendar.clone());
        let read = iso8583::section::read(self.root, self.file, &|one| other.credential(one));
        let read = read.ok_or_else(|| self.unread("iso8583"))?;
        let references = other.credentials.iter().map(|one| one.reference.clone()).collect();
        let merchant = MerchantId::from_stored(SAMPLE_MERCHANT);
        let adapter = Arc::new(read.adapter);
        Ok((RehearsedProtocol::Iso8583 { adapter, voice }, references, merchant))
    }
}

const HOST_ADVICE: &str = "leave --against out, or let a daemon speak to the host";

/// The keys that lead a file's requests to a host. The error says why its protocol has none.
fn at_host(document: &Document, url: &str) -> Result<String, String> {
    let unheard = Mistakes::new();
    let root = document.root(&unheard);
    let set = |key: &str, value: &str| format!("{key} = {}\n", serde_json::Value::from(value));
    match root.optional_text("protocol").as_deref() {
        Some("unionpay-acp") => {
            let section = root.section("unionpay_acp");
            let moved = ACP_ADDRESSES.into_iter().filter_map(|key| {
                let address = section.optional_text(key)?;
                let address: http::Uri = address.parse().ok()?;
                let path = address.path_and_query().map_or("", |path| path.as_str());
                let url = url.trim_end_matches('/');
                Some(set(&format!("unionpay_acp.{key}"), &format!("{url}{path}")))
            });
            Ok(moved.collect())
        }
        Some("iso8583") => Err("its links cannot be tried at a host: a sign-on changes the \
                                terminals' keys under whoever is connected already"
            .to_owned()),
        _ => Ok(set("http.base_url", url)),
    }
}
