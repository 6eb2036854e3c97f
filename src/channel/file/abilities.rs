//! What a channel can be asked, as its file says it.

use crate::config::section::Section;
use crate::domain::attempt::Operation;
use crate::domain::bin::{Brand, CardType};
use crate::domain::card_service::CardService;
use crate::domain::closed_set;
use crate::domain::instrument::InstrumentKind;
use crate::domain::money::Currency;
use crate::domain::payee_account::AccountKind;
use crate::domain::payer_code::MaskedCode;

closed_set! {
    /// A request that a channel may be able to answer.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
    pub enum Ability {
        Payment => "payment",
        Inquiry => "inquiry",
        Reversal => "reversal",
        Undo => "undo",
        Refund => "refund",
        Void => "void",
        Preauth => "preauth",
        Capture => "capture",
        Payout => "payout",
        Verification => "verification",
        AgreementCode => "agreement_code",
        AgreementConfirmation => "agreement_confirmation",
        AgreementInquiry => "agreement_inquiry",
        AgreementEnd => "agreement_end",
        PaymentCode => "payment_code",
    }
}

/// What can pay.
const PAYING: [InstrumentKind; 3] =
    [InstrumentKind::Card, InstrumentKind::Agreement, InstrumentKind::Code];
/// What can be paid.
const PAID: [InstrumentKind; 2] = [InstrumentKind::Card, InstrumentKind::Account];

impl Ability {
    /// The ability to carry out an operation.
    pub const fn of(operation: Operation) -> Self {
        match operation {
            Operation::Payment => Self::Payment,
            Operation::Undo => Self::Undo,
            Operation::Refund => Self::Refund,
            Operation::Void => Self::Void,
            Operation::Preauth => Self::Preauth,
            Operation::Capture => Self::Capture,
            Operation::Payout => Self::Payout,
        }
    }

    /// The ability to do a service to a card.
    pub const fn of_service(service: CardService) -> Self {
        match service {
            CardService::Verification => Self::Verification,
            CardService::AgreementCode => Self::AgreementCode,
            CardService::AgreementConfirmation => Self::AgreementConfirmation,
            CardService::AgreementInquiry => Self::AgreementInquiry,
            CardService::AgreementEnd => Self::AgreementEnd,
            CardService::PaymentCode => Self::PaymentCode,
        }
    }
}

/// A channel's abilities. An absent list of card types or brands means all, unlisted cards too.
#[derive(Debug, Clone)]
pub struct Abilities {
    pub operations: Vec<Ability>,
    /// The operations that its reversal can take back; among `operations`.
    pub reversible: Vec<Operation>,
    pub partial_refund: bool,
    /// Follow-ups must carry the full card number again.
    pub follow_up_needs_card: bool,
    /// What payments and pre-authorisations may name.
    pub instruments: Vec<InstrumentKind>,
    /// What payouts may name.
    pub payees: Vec<InstrumentKind>,
    /// Of accounts, the kinds that payouts may name.
    pub account_kinds: Vec<AccountKind>,
    /// How the codes begin that it takes; empty means all.
    pub code_beginnings: Vec<String>,
    pub card_types: Option<Vec<CardType>>,
    pub brands: Option<Vec<Brand>>,
    pub currencies: Vec<Currency>,
}

impl Abilities {
    pub fn can(&self, ability: Ability) -> bool {
        self.operations.contains(&ability)
    }

    /// The orders' operations among them, as routing and follow-ups ask for them.
    pub fn order_operations(&self) -> Vec<Operation> {
        let takes = |operation: &Operation| self.can(Ability::of(*operation));
        Operation::ALL.into_iter().filter(takes).collect()
    }

    /// Whether nothing but cards pays or is paid.
    pub fn has_cards_alone(&self) -> bool {
        [&self.instruments, &self.payees].into_iter().all(|kinds| *kinds == [InstrumentKind::Card])
    }

    /// The services to a card among them, as routing asks for them.
    pub fn services(&self) -> Vec<CardService> {
        let has = |service: &CardService| self.can(Ability::of_service(*service));
        CardService::ALL.into_iter().filter(has).collect()
    }
}

pub(super) fn read_abilities(root: &Section<'_>) -> Abilities {
    let section = root.section("abilities");
    let operations = Ability::ALL.map(|ability| (ability.name(), ability));
    let card_types = CardType::ALL.map(|kind| (kind.name(), kind));
    let brands = Brand::ALL.map(|brand| (brand.name(), brand));
    let currencies = Currency::ALL.map(|currency| (currency.name(), currency));
    // An undo is never reversed: it is owed until it is done. Money that was paid out has gone.
    let of_orders: Vec<(&str, Operation)> = Operation::ALL
        .into_iter()
        .filter(|operation| !matches!(operation, Operation::Undo | Operation::Payout))
        .map(|operation| (operation.name(), operation))
        .collect();
    let able = section.choices("operations", &operations);
    let instruments = read_instruments(&section, &able);
    let code_beginnings = read_code_beginnings(&section, &instruments);
    let payees = read_payees(&section, &able);
    let account_kinds = read_account_kinds(&section, &payees);
    let abilities = Abilities {
        reversible: read_reversible(&section, &able, &of_orders),
        operations: able,
        instruments,
        payees,
        account_kinds,
        code_beginnings,
        partial_refund: section.boolean_or("partial_refund", true),
        follow_up_needs_card: section.boolean_or("follow_up_needs_card", false),
        card_types: section.optional_choices("card_types", &card_types),
        brands: section.optional_choices("brands", &brands),
        currencies: section.choices("currencies", &currencies),
    };
    if abilities.follow_up_needs_card && abilities.instruments != [InstrumentKind::Card] {
        let advice = "leave only cards in abilities.instruments, or take it out";
        let problem = "what an agreement or a code has paid has no card number to send again";
        section.mistake("follow_up_needs_card", problem, advice);
    }
    section.finish();
    abilities
}

/// What payments name: cards, unless the file says otherwise. Where agreements are among it, they
/// are opened there.
fn read_instruments(section: &Section<'_>, able: &[Ability]) -> Vec<InstrumentKind> {
    const KEY: &str = "instruments";
    let kinds = PAYING.map(|kind| (kind.name(), kind));
    let listed = section.choices_or(KEY, &[InstrumentKind::Card.name()], &kinds);
    let opening = [Ability::AgreementCode, Ability::AgreementConfirmation];
    let opens = opening.iter().all(|ability| able.contains(ability));
    let names = listed.contains(&InstrumentKind::Agreement);
    if names && !opens {
        let advice =
            "add \"agreement_code\" and \"agreement_confirmation\" to abilities.operations";
        section.mistake(KEY, "no agreement could be opened", advice);
    }
    let of_agreements =
        opening.into_iter().chain([Ability::AgreementInquiry, Ability::AgreementEnd]);
    if !names && of_agreements.into_iter().any(|ability| able.contains(&ability)) {
        let advice = "write instruments = [\"agreement\"], or with \"card\" too";
        section.mistake(KEY, "nothing could be paid by an agreement", advice);
    }
    if able.contains(&Ability::PaymentCode) && listed == [InstrumentKind::Code] {
        let advice = "take \"payment_code\" out of abilities.operations";
        section.mistake(KEY, "a payer's code needs no code by SMS", advice);
    }
    listed
}

/// What payouts name: cards, unless the file says otherwise.
fn read_payees(section: &Section<'_>, able: &[Ability]) -> Vec<InstrumentKind> {
    const KEY: &str = "payees";
    let kinds = PAID.map(|kind| (kind.name(), kind));
    let listed = section.choices_or(KEY, &[InstrumentKind::Card.name()], &kinds);
    if section.has(KEY) && !able.contains(&Ability::Payout) {
        let advice = "add \"payout\" to abilities.operations, or take it out";
        section.mistake(KEY, "is of payouts, which the channel does not make", advice);
    }
    listed
}

/// The kinds of accounts that payouts name.
fn read_account_kinds(section: &Section<'_>, payees: &[InstrumentKind]) -> Vec<AccountKind> {
    const KEY: &str = "account_kinds";
    let kinds = AccountKind::ALL.map(|kind| (kind.name(), kind));
    let listed = section.optional_choices(KEY, &kinds).unwrap_or_default();
    match (payees.contains(&InstrumentKind::Account), section.has(KEY)) {
        (true, false) => {
            let advice = "write for example account_kinds = [\"login\"]";
            section.mistake(KEY, "is missing: the accounts that it pays to are of no kind", advice);
        }
        (false, true) => {
            let advice = "write payees = [\"account\"], or take it out";
            section.mistake(KEY, "is of accounts, which the channel does not pay to", advice);
        }
        (true, true) | (false, false) => {}
    }
    listed
}

/// How the codes begin that the channel takes: what tells its wallet from others.
fn read_code_beginnings(section: &Section<'_>, instruments: &[InstrumentKind]) -> Vec<String> {
    const KEY: &str = "code_beginnings";
    let listed = section.optional_texts(KEY).unwrap_or_default();
    let fits = |text: &String| {
        (1..=MaskedCode::BEGINNING).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
    };
    if !listed.iter().all(fits) {
        section.mistake(KEY, "is not a code's first letters or digits", "write [\"10\", \"11\"]");
    }
    if section.has(KEY) && !instruments.contains(&InstrumentKind::Code) {
        let advice = "write instruments = [\"code\"], or take it out";
        section.mistake(KEY, "is of codes, which the channel does not take", advice);
    }
    listed
}

/// The operations that a reversal can take back: payments and pre-authorisations, unless the file
/// says otherwise.
fn read_reversible(
    section: &Section<'_>,
    able: &[Ability],
    operations: &[(&str, Operation)],
) -> Vec<Operation> {
    let has = |operation: Operation| able.contains(&Ability::of(operation));
    let usual = [Operation::Payment, Operation::Preauth];
    let usual: Vec<&str> = usual.into_iter().filter(|one| has(*one)).map(Operation::name).collect();
    let listed = section.choices_or("reversible", &usual, operations);
    for (index, operation) in listed.iter().enumerate() {
        if !has(*operation) {
            let advice = "add it to abilities.operations, or take it out here";
            section.mistake_in("reversible", index, "the channel has no such operation", advice);
        }
    }
    listed
}
