//! The protocols that channels speak. Each is one module and knows no other; a new one is a module
//! and its lines here.

pub mod amount;
pub mod declarative;
pub mod iso8583;
pub mod said;
pub mod sample;
pub mod transcript;
pub mod unionpay_acp;

use std::sync::Arc;

use crate::channel::Adapter;
use crate::channel::file::ChannelFile;
use crate::channel::file::codes::CodeTable;
use crate::config::credential::CredentialResolver;
use crate::config::section::Section;
use crate::domain::attempt::Operation;
use crate::domain::instrument::InstrumentKind;

use sample::{sample_now, sample_payout_to};

/// The protocols' names in channel files, and the sections they read.
const PROTOCOLS: [(&str, &str); 3] =
    [("unionpay-acp", "unionpay_acp"), ("iso8583", "iso8583"), ("http", "http")];

/// An adapter that a channel's file builds, with the settings of its transport.
pub enum ProtocolAdapter {
    Http(Arc<dyn Adapter>),
    Links(Box<iso8583::section::Iso8583Channel>),
}

impl ProtocolAdapter {
    /// The adapter, where it speaks HTTP.
    pub fn http(self) -> Option<Arc<dyn Adapter>> {
        match self {
            Self::Http(adapter) => Some(adapter),
            Self::Links(_) => None,
        }
    }
}

/// Builds the adapter that a channel's file asks for, or reports why not.
pub fn read(
    root: &Section<'_>,
    file: &ChannelFile,
    resolve: &CredentialResolver<'_>,
) -> Option<ProtocolAdapter> {
    let codes = file.codes.clone();
    check_reversible(root, file);
    check_instruments(root, file);
    match file.protocol.as_str() {
        "unionpay-acp" => {
            let adapter =
                unionpay_acp::section::read(root.section("unionpay_acp"), codes, resolve)?;
            Some(ProtocolAdapter::Http(Arc::new(adapter)))
        }
        "http" => {
            let codes = CodeTable::new(codes);
            let adapter = declarative::read(root.section("http"), &codes, resolve)?;
            check_abilities(root, file, &adapter);
            Some(ProtocolAdapter::Http(Arc::new(adapter)))
        }
        "iso8583" => {
            Some(ProtocolAdapter::Links(Box::new(iso8583::section::read(root, file, resolve)?)))
        }
        unknown => {
            report_unknown(root, unknown);
            None
        }
    }
}

/// UnionPay's rules: a refund is never taken back by a reversal.
fn check_reversible(root: &Section<'_>, file: &ChannelFile) {
    let refund = file.abilities.reversible.iter().position(|one| *one == Operation::Refund);
    if file.protocol == "unionpay-acp"
        && let Some(index) = refund
    {
        let problem = "this protocol never reverses a refund";
        root.section("abilities").mistake_in("reversible", index, problem, "take it out");
    }
}

/// Links speak of cards alone, and UnionPay of cards and their tokens.
fn check_instruments(root: &Section<'_>, file: &ChannelFile) {
    let spoken: &[InstrumentKind] = match file.protocol.as_str() {
        "unionpay-acp" => &[InstrumentKind::Card, InstrumentKind::Agreement],
        "iso8583" => &[InstrumentKind::Card],
        _ => return,
    };
    let abilities = &file.abilities;
    for (key, kinds) in [("instruments", &abilities.instruments), ("payees", &abilities.payees)] {
        let foreign = kinds.iter().position(|kind| !spoken.contains(kind));
        if let Some(index) = foreign {
            let problem = "this protocol does not speak of it";
            root.section("abilities").mistake_in(key, index, problem, "take it out");
        }
    }
}

/// The same for an adapter that believes replies without a signature: samples seldom have one. It
/// must never speak to a channel.
pub fn read_unverified(
    root: &Section<'_>,
    file: &ChannelFile,
    resolve: &CredentialResolver<'_>,
) -> Option<ProtocolAdapter> {
    let codes = file.codes.clone();
    match file.protocol.as_str() {
        "unionpay-acp" => {
            let adapter =
                unionpay_acp::section::read(root.section("unionpay_acp"), codes, resolve)?;
            Some(ProtocolAdapter::Http(Arc::new(adapter.without_verification())))
        }
        "http" => {
            let adapter = declarative::read(root.section("http"), &CodeTable::new(codes), resolve)?;
            Some(ProtocolAdapter::Http(Arc::new(adapter.without_verification())))
        }
        "iso8583" => {
            let read = iso8583::section::read(root, file, resolve)?;
            let adapter = read.adapter.without_verification();
            Some(ProtocolAdapter::Links(Box::new(iso8583::section::Iso8583Channel {
                adapter,
                ..read
            })))
        }
        unknown => {
            report_unknown(root, unknown);
            None
        }
    }
}

/// The tables of codes in a file of this protocol, each as a section and its key: `[codes]`, and
/// those that the protocol's own section has beside it.
pub fn code_tables(protocol: &str) -> &'static [(&'static str, &'static str)] {
    match protocol {
        "unionpay-acp" => &[
            ("", "codes"),
            ("unionpay_acp", "follow_up_codes"),
            ("unionpay_acp", "undo_codes"),
            ("unionpay_acp", "reversal_codes"),
        ],
        "iso8583" => &[("", "codes"), ("iso8583", "reversal_codes")],
        _ => &[("", "codes")],
    }
}

/// Whether the protocol's messages travel over links instead of HTTP.
pub fn is_linked(protocol: &str) -> bool {
    protocol == "iso8583"
}

/// Every agreed ability must be described; a section beyond that may wait for its agreement.
fn check_abilities(root: &Section<'_>, file: &ChannelFile, adapter: &declarative::Declarative) {
    for ability in &file.abilities.operations {
        let name = ability.name();
        // `preauth_void` is a void too, and `refund_inquiry` an inquiry.
        let fits = |section: &str| {
            section.strip_suffix(name).is_some_and(|front| front.is_empty() || front.ends_with('_'))
        };
        if !adapter.sections().any(fits) {
            let advice = format!("describe it under [http.{name}], or take it out of abilities");
            root.mistake("http", &format!("does not describe the ability `{name}`"), &advice);
        }
    }
    for kind in &file.abilities.account_kinds {
        if !adapter.has_account_kind(*kind) {
            let problem = format!("has no word of the channel's for the kind `{kind}`");
            let advice = format!("add {kind} = \"…\", or take it out of abilities.account_kinds");
            root.section("http").mistake("account_kinds", &problem, &advice);
        }
        // Where no section describes payouts, that was told above.
        let payout = adapter.of_known_merchant(sample_payout_to(*kind));
        if adapter.describes(&payout)
            && let Err(error) = adapter.encode(&payout, sample_now())
        {
            let problem = format!("cannot be built from sample data: {}", error.problem);
            root.section("http").mistake("payout", &problem, "correct the template");
        }
    }
}

/// Passes over a protocol's section without building anything.
pub fn skip(root: &Section<'_>, protocol: &str) {
    match PROTOCOLS.iter().find(|(name, _)| *name == protocol) {
        Some((_, section)) => drop(root.optional_section(section)),
        None => report_unknown(root, protocol),
    }
}

fn report_unknown(root: &Section<'_>, protocol: &str) {
    if !protocol.is_empty() {
        let known: Vec<&str> = PROTOCOLS.iter().map(|(name, _)| *name).collect();
        let advice = format!("choose one of {}", known.join(", "));
        root.mistake("protocol", "names no protocol", &advice);
    }
}
