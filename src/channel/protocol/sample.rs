//! One made-up request of every kind, with every fact that it can have: what cannot be built from
//! these could be built for no order. The card is made from a BIN and the Luhn digit (I-11).

use std::sync::Arc;

use crate::channel::{AttemptFacts, ChannelRequest, ServiceFacts, ServiceSubject};
use crate::domain::attempt::Operation;
use crate::domain::card::{CardInput, CardToken, Cvv, Expiry, Pan, SmsCode, luhn_digit};
use crate::domain::card_service::CardService;
use crate::domain::ids::{ChannelOrderNo, MerchantId, OrderId};
use crate::domain::instrument::Instrument;
use crate::domain::money::{AmountMinor, Currency};
use crate::domain::payee_account::{AccountKind, PayeeAccount};
use crate::domain::payer_code::PayerCode;
use crate::domain::payment_code::{CodedCharge, CodedKind};
use crate::domain::time::{BusinessDate, Timestamp};

/// The day of [`sample_now`], as order numbers have it.
pub const SAMPLE_DATE: u32 = 261_122;

/// The merchant of samples that name no other.
pub const SAMPLE_MERCHANT: &str = "merchant";

/// The moment at which samples are sent: 2026-11-22 08:00:00 UTC.
pub fn sample_now() -> Timestamp {
    Timestamp::from_millis(1_795_334_400_000)
}

/// The clearing date whose statement is asked for: the day before [`sample_now`].
pub fn sample_statement_date() -> BusinessDate {
    BusinessDate::from_yyyymmdd(20_261_121).expect("it is a date")
}

fn sample_number(sequence: u64) -> ChannelOrderNo {
    ChannelOrderNo { order: OrderId::compose(SAMPLE_DATE, 1, sequence), attempt: 1 }
}

/// A sample service to a card; a code is for a payment.
pub fn sample_service(service: CardService, card: CardInput) -> ChannelRequest {
    let facts = ServiceFacts {
        service,
        channel_order_no: sample_number(2),
        sent_at: sample_now(),
        merchant_id: MerchantId::from_stored(SAMPLE_MERCHANT),
    };
    let subject = match service {
        CardService::Verification | CardService::AgreementCode => Arc::new(card).into(),
        CardService::AgreementConfirmation => {
            let sms_code = Some(sample_sms_code().into());
            ServiceSubject { sms_code, ..Arc::new(card).into() }
        }
        CardService::AgreementInquiry => ServiceSubject::default(),
        CardService::AgreementEnd => {
            ServiceSubject { token: Some(sample_token().into()), ..ServiceSubject::default() }
        }
        CardService::PaymentCode => {
            let charge = Some(sample_coded(CodedKind::Payment));
            ServiceSubject { charge, ..Arc::new(card).into() }
        }
    };
    ChannelRequest::Service { facts, subject }
}

/// What a sample code is for.
pub fn sample_coded(kind: CodedKind) -> CodedCharge {
    let AttemptFacts { amount, currency, .. } = sample_facts(kind.into(), 2);
    CodedCharge { kind, amount, currency }
}

/// The facts of a sample attempt; `sequence` tells attempts apart.
pub fn sample_facts(operation: Operation, sequence: u64) -> AttemptFacts {
    AttemptFacts {
        channel_order_no: sample_number(sequence),
        sent_at: sample_now(),
        announced_at: None,
        operation,
        merchant_id: MerchantId::from_stored(SAMPLE_MERCHANT),
        amount: AmountMinor::new(1_230).expect("it is positive and short"),
        currency: Currency::Cny,
        description: Some("sample".to_owned()),
        channel_reference: Some("R1".to_owned()),
        payee_kind: None,
    }
}

/// The token of an agreement.
pub fn sample_token() -> CardToken {
    CardToken::parse("sample-token", "0").expect("it is short and plain")
}

/// The code that a cardholder got by SMS.
pub fn sample_sms_code() -> SmsCode {
    SmsCode::parse("123456").expect("six digits")
}

/// A payment by an agreement, with a code of its own.
pub fn sample_agreement_payment() -> ChannelRequest {
    let (token, sms_code) = (sample_token(), Some(sample_sms_code()));
    let instrument = Arc::new(Instrument::Agreement { token, sms_code });
    ChannelRequest::Charge { facts: sample_facts(Operation::Payment, 2), instrument }
}

/// The code of a payment by an agreement.
pub fn sample_agreement_code() -> ChannelRequest {
    let mut request = sample_service(CardService::PaymentCode, sample_card());
    if let ChannelRequest::Service { subject, .. } = &mut request {
        (subject.card, subject.token) = (None, Some(sample_token().into()));
    }
    request
}

/// The same payment by card with the code that its holder was sent.
pub fn with_sample_code(card: CardInput) -> Instrument {
    Instrument::Card { card, sms_code: Some(sample_sms_code()) }
}

/// A card with everything that a core can give of it.
pub fn sample_card() -> CardInput {
    let payload = "411111111111111";
    let number = format!("{payload}{}", luhn_digit(payload));
    CardInput {
        pan: Pan::parse(&number).expect("its last digit is the Luhn digit"),
        expiry: Expiry::parse_yymm("3012"),
        cvv: Cvv::parse("123"),
        holder: Some("HOLDER".to_owned()),
        id_type: Some("01".to_owned()),
        id_number: Some("X1".to_owned()),
        phone: Some("0".to_owned()),
    }
}

/// A payer's code of eighteen digits, as WeChat Pay's are.
pub fn sample_code() -> PayerCode {
    PayerCode::parse("130000000000001234").expect("it has eighteen digits")
}

/// A payee's account of this kind, with its holder's name.
pub fn sample_account(kind: AccountKind) -> PayeeAccount {
    let id = match kind {
        AccountKind::Login => "payee@mail.example",
        AccountKind::UserId => "2088000000000002",
        AccountKind::OpenId => "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o",
        AccountKind::BankAccount => "65001234098765",
    };
    PayeeAccount::parse(kind, id, Some("HOLDER")).expect("it is as its kind is")
}

/// A payout to such an account.
pub fn sample_payout_to(kind: AccountKind) -> ChannelRequest {
    let facts = sample_facts(Operation::Payout, 2);
    let facts = AttemptFacts { payee_kind: Some(kind), ..facts };
    ChannelRequest::Charge { facts, instrument: Arc::new(sample_account(kind).into()) }
}

/// The part of the sample card that an operation is given.
fn card_for(operation: Operation) -> CardInput {
    let mut card = sample_card();
    if operation == Operation::Payout {
        (card.expiry, card.cvv) = (None, None);
    }
    card
}

/// The operations that one may follow up; none for what begins with a card.
fn originals_of(operation: Operation) -> impl Iterator<Item = Option<Operation>> {
    use Operation::{Capture, Payment, Preauth};
    let originals: &'static [Option<Operation>] = match operation {
        Operation::Payment | Operation::Preauth | Operation::Payout => &[None],
        Operation::Undo | Operation::Refund => &[Some(Payment)],
        Operation::Capture => &[Some(Preauth)],
        Operation::Void => &[Some(Payment), Some(Preauth), Some(Capture)],
    };
    originals.iter().copied()
}

/// Every operation: its own request, an inquiry about it, and its reversal. A void has one of each
/// for each operation that it can cancel. Behind them every service to a card.
pub fn sample_requests(now: Timestamp) -> Vec<ChannelRequest> {
    let mut requests = Vec::new();
    for operation in Operation::ALL {
        let facts = || sample_facts(operation, 2);
        let follow_up = |original| ChannelRequest::FollowUp {
            facts: facts(),
            original: sample_facts(original, 1),
            pan: Some(sample_card().pan.clone()),
        };
        requests.extend(originals_of(operation).map(|original| match original {
            None => {
                ChannelRequest::Charge { facts: facts(), instrument: card_for(operation).into() }
            }
            Some(original) => follow_up(original),
        }));
        let pan = || Some(sample_card().pan.clone());
        requests.extend(originals_of(operation).map(|original| {
            let facts = facts();
            let original = original.map(|original| sample_facts(original, 1));
            ChannelRequest::Inquiry { facts, original, pan: pan(), now }
        }));
        requests.extend(originals_of(operation).map(|original| {
            let facts = facts();
            let original = original.map(|original| sample_facts(original, 1));
            ChannelRequest::Reversal { facts, original, pan: pan(), now }
        }));
    }
    requests.extend(CardService::ALL.map(|service| {
        let mut request = sample_service(service, sample_card());
        // By card or by agreement: a template may name both.
        if let (CardService::PaymentCode, ChannelRequest::Service { subject, .. }) =
            (service, &mut request)
        {
            subject.token = Some(sample_token().into());
        }
        request
    }));
    requests
}
