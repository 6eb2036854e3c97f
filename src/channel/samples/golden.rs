//! Golden samples: what a channel's file must send for a made-up request, and what it must make of
//! a reply. They stand beside the channel's file in `samples/<id>.toml`.
//!
//! Requests are the made-up ones of this folder, so a sample names one and writes down what the
//! channel's own manual has. How that is written and compared is `page`'s affair for HTTP and
//! `frame`'s for links. Card data in samples is that of published test cards (I-11).

use std::sync::Arc;

use super::frame::FrameScript;
use super::page::PageScript;
use super::purpose::Purpose;
use crate::channel::protocol::iso8583::Iso8583;
use crate::channel::protocol::sample::{
    SAMPLE_MERCHANT, sample_account, sample_agreement_code, sample_agreement_payment, sample_card,
    sample_code, sample_facts, sample_now, sample_service, with_sample_code,
};
use crate::channel::{Adapter, ChannelRequest};
use crate::config::section::Section;
use crate::domain::attempt::Operation;
use crate::domain::card::CardInput;
use crate::domain::card_service::CardService;
use crate::domain::ids::MerchantId;
use crate::domain::instrument::Instrument;
use crate::domain::payee_account::AccountKind;
use crate::domain::payment_code::CodedKind;

const INQUIRY: &str = "inquiry";
const NOTICE: &str = "notice";
/// The word for samples that ask for a statement.
pub(super) const STATEMENT: &str = "statement";
/// The word for samples of what goes before an operation.
const FIRST: &str = "first";
const SIGN_ON: &str = "sign_on";
const LINE_TEST: &str = "line_test";

/// The medium of a channel's samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Medium {
    Http,
    Links,
}

/// A request and its reply as they are written in the channel's medium.
enum Script {
    Page(PageScript),
    Frame(FrameScript),
}

/// How a link's original was called: retrieval reference and authorisation code.
const LINKED_REFERENCE: &str = "112216000101-123456";

/// One sample, checked.
pub struct Golden {
    pub name: String,
    /// The request's own word, such as `refund` or `inquiry`.
    pub covers: String,
    /// Where it stands in its file.
    pub line: usize,
    request: ChannelRequest,
    ask: Purpose,
    script: Script,
}

/// An adapter, and the same one without looking at signatures.
pub enum Players<'a> {
    Http { adapter: &'a dyn Adapter, unverified: &'a dyn Adapter },
    Links { adapter: &'a Iso8583, unverified: &'a Iso8583 },
}

impl Golden {
    /// Reads every `[[sample]]`; mistakes go to the section's collector.
    pub fn read_all(root: Section<'_>, medium: Medium) -> Vec<Self> {
        let sections = root.sections("sample").into_iter();
        let samples = sections.map(|section| Self::read(section, medium)).collect();
        root.finish();
        samples
    }

    fn read(section: Section<'_>, medium: Medium) -> Self {
        let operations = Operation::ALL.map(|operation| (operation.name(), operation));
        let asks = asks_over(medium);
        let usual = (Purpose::Operation, Some(Operation::Payment));
        let (ask, operation) = section.choice_or("ask", usual, &asks);
        let of = section.choice_or("of", Operation::Payment, &operations);
        let operation = operation.unwrap_or(of);
        let ask = if medium == Medium::Http { first_of(&section, ask) } else { ask };
        let preauth = matches!(operation, Operation::Capture);
        let usual = if preauth { Operation::Preauth } else { Operation::Payment };
        let original = section.choice_or("original", usual, &operations);
        let bare = section.boolean_or("card_number_only", false);
        let merchant = section.optional_parsed("merchant", "shop-1", MerchantId::parse);
        let merchant = merchant.unwrap_or_else(|| MerchantId::from_stored(SAMPLE_MERCHANT));
        let request = match section.boolean_or("by_agreement", false) {
            true if ask == CODE => sample_agreement_code(),
            true => sample_agreement_payment(),
            false => request_of(ask, operation, original, bare),
        };
        let mut request = request.of_merchant(merchant);
        coded(&section, &mut request, operation);
        by_instrument(&section, &mut request);
        with_code(&section, &mut request, bare);
        if let Some(kind) = payee_kind(&section) {
            pay_account(&section, &mut request, kind);
        }
        let linked = match &mut request {
            ChannelRequest::FollowUp { original, .. } => Some(original),
            ChannelRequest::Reversal { original, .. } => original.as_mut(),
            ChannelRequest::Charge { .. }
            | ChannelRequest::Inquiry { .. }
            | ChannelRequest::Service { .. } => None,
        };
        if let (Medium::Links, Some(original)) = (medium, linked) {
            original.channel_reference = Some(LINKED_REFERENCE.to_owned());
        }
        let line = section.line_of("name");
        let (script, is_empty) = match medium {
            Medium::Http => {
                let script = PageScript::read(&section);
                let is_empty = script.is_empty();
                (Script::Page(script), is_empty)
            }
            Medium::Links => {
                let script = FrameScript::read(&section);
                let is_empty = script.is_empty();
                (Script::Frame(script), is_empty)
            }
        };
        let covers = match ask {
            Purpose::Operation | Purpose::Inquiry | Purpose::Reversal | Purpose::Service(_) => {
                request.name()
            }
            Purpose::First => FIRST,
            Purpose::Notice => NOTICE,
            Purpose::Statement => STATEMENT,
            Purpose::SignOn => SIGN_ON,
            Purpose::LineTest => LINE_TEST,
        };
        let covers = covers.to_owned();
        let golden = Self { name: section.text("name"), covers, line, request, ask, script };
        if is_empty {
            let advice = "write [sample.sent], [sample.reply] or both";
            section.mistake("sent", "and `reply` are both missing, so nothing is checked", advice);
        }
        section.finish();
        golden
    }

    /// Whether the reply brings this code: a code that no sample brings is not exercised. What a
    /// code means in the reply to a statement's request, or to a first one, is another matter.
    pub fn brings(&self, code: &str) -> bool {
        if matches!(self.ask, Purpose::Statement | Purpose::First) {
            return false;
        }
        match &self.script {
            Script::Page(script) => script.brings(code),
            Script::Frame(script) => script.brings(code),
        }
    }

    /// Everything in which the adapter does not do what the sample says. What a sign-on brings is
    /// kept by the adapters for the samples behind it, as a link keeps it.
    pub fn play(&self, players: &Players<'_>) -> Vec<String> {
        match (&self.script, players) {
            (Script::Page(script), Players::Http { adapter, unverified }) => {
                script.play(self.ask, &self.request, *adapter, *unverified)
            }
            (Script::Frame(script), Players::Links { adapter, unverified }) => {
                script.play(self.ask, &self.request, adapter, unverified)
            }
            (Script::Page(_), Players::Links { .. }) | (Script::Frame(_), Players::Http { .. }) => {
                vec!["it is written for another medium than the channel's".to_owned()]
            }
        }
    }
}

/// The sending of a code.
const CODE: Purpose = Purpose::Service(CardService::PaymentCode);

/// Has the code be for the order that the sample says.
fn coded(section: &Section<'_>, request: &mut ChannelRequest, of: Operation) {
    let ChannelRequest::Service { subject, .. } = request else { return };
    let Some(charge) = &mut subject.charge else { return };
    match CodedKind::ALL.into_iter().find(|kind| Operation::from(*kind) == of) {
        Some(kind) => charge.kind = kind,
        None => {
            let advice = "write \"payment\" or \"preauth\"";
            section.mistake("of", "is no operation that a code goes with", advice);
        }
    }
}

/// Has the payment be made by what the sample says.
fn by_instrument(section: &Section<'_>, request: &mut ChannelRequest) {
    if !section.choice_or("instrument", false, &[("card", false), ("code", true)]) {
        return;
    }
    match request {
        ChannelRequest::Charge { facts, instrument } if facts.operation != Operation::Payout => {
            *instrument = Arc::new(Instrument::Code(sample_code()));
        }
        _ => section.mistake("instrument", "is for payments only", "take it out"),
    }
}

/// Has the payment or pre-authorisation by card bring the code that the card's holder was sent.
fn with_code(section: &Section<'_>, request: &mut ChannelRequest, bare: bool) {
    if !section.boolean_or("with_code", false) {
        return;
    }
    match request {
        ChannelRequest::Charge { facts, instrument }
            if facts.operation != Operation::Payout && instrument.card().is_some() =>
        {
            *instrument = Arc::new(with_sample_code(card_of(bare)));
        }
        _ => section.mistake("with_code", "is for charges to a card only", "take it out"),
    }
}

/// The sample card, or its number alone.
fn card_of(bare: bool) -> CardInput {
    let mut card = sample_card();
    if bare {
        (card.expiry, card.cvv, card.holder) = (None, None, None);
        (card.id_type, card.id_number, card.phone) = (None, None, None);
    }
    card
}

/// The kind of the account that a payout is made to, where the sample says it.
fn payee_kind(section: &Section<'_>) -> Option<AccountKind> {
    let kinds = AccountKind::ALL.map(|kind| (kind.name(), kind));
    section.optional_choice("payee_kind", &kinds)
}

/// Has the payout be made, or asked about, that goes to an account.
fn pay_account(section: &Section<'_>, request: &mut ChannelRequest, kind: AccountKind) {
    match request {
        ChannelRequest::Charge { facts, instrument } if facts.operation == Operation::Payout => {
            facts.payee_kind = Some(kind);
            *instrument = Arc::new(sample_account(kind).into());
        }
        ChannelRequest::Inquiry { facts, .. } if facts.operation == Operation::Payout => {
            facts.payee_kind = Some(kind);
        }
        _ => {
            section.mistake("payee_kind", "is for payouts and inquiries about them", "take it out");
        }
    }
}

/// What a sample asks, or what goes before it.
fn first_of(section: &Section<'_>, ask: Purpose) -> Purpose {
    if !section.boolean_or("first", false) {
        return ask;
    }
    if ask != Purpose::Operation {
        section.mistake("first", "is for operations only", "take it out");
    }
    Purpose::First
}

/// The words of what a sample may ask.
fn asks_over(medium: Medium) -> Vec<(&'static str, (Purpose, Option<Operation>))> {
    let operations = Operation::ALL.into_iter();
    let operations = operations.map(|one| (one.name(), (Purpose::Operation, Some(one))));
    let mut words = vec![("reversal", Purpose::Reversal)];
    match medium {
        Medium::Http => {
            words.extend([
                (INQUIRY, Purpose::Inquiry),
                (NOTICE, Purpose::Notice),
                (STATEMENT, Purpose::Statement),
            ]);
            words.extend(CardService::ALL.map(|one| (one.name(), Purpose::Service(one))));
        }
        Medium::Links => {
            words.extend([(SIGN_ON, Purpose::SignOn), (LINE_TEST, Purpose::LineTest)]);
        }
    }
    operations.chain(words.into_iter().map(|(word, ask)| (word, (ask, None)))).collect()
}

fn request_of(
    ask: Purpose,
    operation: Operation,
    original: Operation,
    bare: bool,
) -> ChannelRequest {
    let facts = sample_facts(operation, 2);
    let mut card = card_of(bare);
    match (ask, operation) {
        (Purpose::Service(service), _) => sample_service(service, card),
        (Purpose::Inquiry | Purpose::Reversal, _) => {
            let followed_up = !operation.begins_with_card();
            let original = followed_up.then(|| sample_facts(original, 1));
            let (pan, now) = (Some(card.pan.clone()), sample_now());
            match ask {
                Purpose::Inquiry => ChannelRequest::Inquiry { facts, original, pan, now },
                _ => ChannelRequest::Reversal { facts, original, pan, now },
            }
        }
        (
            Purpose::Operation
            | Purpose::First
            | Purpose::Notice
            | Purpose::Statement
            | Purpose::SignOn
            | Purpose::LineTest,
            Operation::Payment | Operation::Preauth | Operation::Payout,
        ) => {
            if operation == Operation::Payout {
                (card.expiry, card.cvv) = (None, None);
            }
            ChannelRequest::Charge { facts, instrument: card.into() }
        }
        (
            Purpose::Operation
            | Purpose::First
            | Purpose::Notice
            | Purpose::Statement
            | Purpose::SignOn
            | Purpose::LineTest,
            Operation::Undo | Operation::Refund | Operation::Void | Operation::Capture,
        ) => {
            let original = sample_facts(original, 1);
            ChannelRequest::FollowUp { facts, original, pan: Some(card.pan.clone()) }
        }
    }
}
