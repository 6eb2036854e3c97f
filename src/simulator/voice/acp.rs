//! UnionPay's platform, told what to say.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::codec::FieldLimits;
use crate::codec::form::Fields;
use crate::domain::card::MaskedPan;
use crate::domain::money::{AmountMinor, Currency};
use crate::domain::time::{BusinessDate, Timestamp};
use crate::simulator::agreements::{AgreementBook, CardKnown};
use crate::simulator::dialect::ReplyForm;
use crate::simulator::dialect::acp_card::FORMAT;
use crate::simulator::dialect::acp_operation::{AcpOperation, AcpProduct, BACK_PATH, QUERY_PATH};
use crate::simulator::dialect::acp_reply::{
    OrderTold, SUCCESS, beijing, message, notice_of, query_id, reply, set_end, set_response,
};
use crate::simulator::dialect::unionpay_acp::{
    AcpRequest, DIFFERS, DUPLICATE, UnionPayPlatform, VOID_TOKEN, WRONG_STATE, set_token,
};
use crate::simulator::keys::{PlatformIdentity, SimulatorKeys, SimulatorKeysError};
use crate::simulator::ledger::EntryKind;
use crate::simulator::settings::UnionPayAcpSettings;

use super::{VoiceRefusal, VoiceWords};

/// Succeeded with a defect that is UnionPay's to repair.
const SUCCESS_WITH_DEFECT: &str = "A6";

/// See the head of this file.
pub struct AcpVoice {
    platform: Arc<UnionPayPlatform>,
    keys: Arc<SimulatorKeys>,
    impostor: Arc<PlatformIdentity>,
    agreements: AgreementBook,
    memory: Mutex<AcpMemory>,
}

/// A request that was read and proved.
pub struct AcpHeard {
    call: AcpRequest,
}

/// What has been heard.
#[derive(Default)]
struct AcpMemory {
    /// By the merchant's number.
    orders: HashMap<String, HeardOrder>,
    /// The merchant's numbers by the platform's.
    by_reference: HashMap<String, String>,
    /// Cards that were to be opened for payments by token, with the time of that request.
    openings: HashMap<String, (String, CardKnown)>,
}

/// A request for something that moves or holds money.
struct HeardOrder {
    operation: AcpOperation,
    product: AcpProduct,
    sent_at: String,
    echoed: Fields,
    trace: u64,
    received_at: Timestamp,
    money: (AmountMinor, Currency),
    card: Option<MaskedPan>,
}

impl HeardOrder {
    /// The platform's own number of it.
    fn reference(&self) -> String {
        query_id(self.received_at, self.trace)
    }

    fn told(&self, settle_date: BusinessDate) -> OrderTold {
        let (amount, currency) = self.money;
        let (trace, received_at, card) = (self.trace, self.received_at, self.card.clone());
        OrderTold { trace, received_at, amount, currency, settle_date, card }
    }

    /// Whether a later request may take it back, capture or refund it.
    fn takes(&self, later: AcpOperation) -> bool {
        match later {
            AcpOperation::Undo(EntryKind::Charge) => self.operation == AcpOperation::Consume,
            AcpOperation::Undo(EntryKind::Preauth) | AcpOperation::Capture => {
                self.operation == AcpOperation::Preauth
            }
            AcpOperation::Undo(EntryKind::Capture) => self.operation == AcpOperation::Capture,
            AcpOperation::Refund => {
                matches!(self.operation, AcpOperation::Consume | AcpOperation::Capture)
            }
            AcpOperation::Undo(EntryKind::Undo | EntryKind::Refund | EntryKind::Payout)
            | AcpOperation::Consume
            | AcpOperation::Preauth
            | AcpOperation::Payout
            | AcpOperation::Reverse
            | AcpOperation::Query
            | AcpOperation::File
            | AcpOperation::Verify
            | AcpOperation::OpeningCode
            | AcpOperation::Open
            | AcpOperation::OpeningQuery
            | AcpOperation::PaymentCode(_)
            | AcpOperation::EndToken => false,
        }
    }
}

impl AcpVoice {
    /// Fails only if the system's cryptography does not work.
    pub fn new(settings: &UnionPayAcpSettings) -> Result<Self, SimulatorKeysError> {
        Ok(Self {
            platform: Arc::new(UnionPayPlatform::new(settings)),
            keys: Arc::clone(&settings.keys),
            impostor: Arc::new(PlatformIdentity::impostor()?),
            agreements: AgreementBook::default(),
            memory: Mutex::default(),
        })
    }

    /// The same platform, which has heard nothing yet.
    #[must_use]
    pub fn afresh(&self) -> Self {
        Self {
            platform: Arc::clone(&self.platform),
            keys: Arc::clone(&self.keys),
            impostor: Arc::clone(&self.impostor),
            agreements: AgreementBook::default(),
            memory: Mutex::default(),
        }
    }

    fn memory(&self) -> MutexGuard<'_, AcpMemory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads a request that came to a path, and remembers it.
    pub fn hear(&self, path: &str, body: &[u8], now: Timestamp) -> Result<AcpHeard, VoiceRefusal> {
        let refused = |code| VoiceRefusal { code, words: message(code) };
        let fields =
            Fields::decode_form(body, FieldLimits::MESSAGE).map_err(|_| refused(FORMAT))?;
        let is_query = fields.get("txnType") == Some("00");
        // A file may name addresses whose paths are not UnionPay's own.
        let path = match path {
            BACK_PATH | QUERY_PATH => path,
            _ if is_query => QUERY_PATH,
            _ => BACK_PATH,
        };
        let today = beijing(now).date();
        let call = self.platform.parse(today, &fields, path).map_err(refused)?;
        self.remember(&call, now).map_err(refused)?;
        Ok(AcpHeard { call })
    }

    fn remember(&self, call: &AcpRequest, now: Timestamp) -> Result<(), &'static str> {
        let known = call.token.as_ref().map(|token| self.agreements.of_token(now, token));
        // That a token is void already is no reason not to be asked to end it.
        if matches!(known, Some(None)) && call.operation != AcpOperation::EndToken {
            return Err(VOID_TOKEN);
        }
        let mut memory = self.memory();
        let (number, sent_at) = (call.order_no.clone(), call.sent_at.clone());
        if let (AcpOperation::Open, Some(card)) = (call.operation, &call.card) {
            memory.openings.insert(number, (sent_at, card.known.clone()));
            return Ok(());
        }
        let Some(money) =
            call.money.filter(|_| !matches!(call.operation, AcpOperation::PaymentCode(_)))
        else {
            return Ok(());
        };
        if memory.orders.contains_key(&number) {
            return Err(DUPLICATE);
        }
        if !call.operation.takes_card() {
            let original = memory.original(&call.echoed).ok_or(WRONG_STATE)?;
            if !original.takes(call.operation) || original.product != call.product {
                return Err(DIFFERS);
            }
        }
        let bound = known.flatten().map(|agreement| agreement.masked);
        let order = HeardOrder {
            operation: call.operation,
            product: call.product,
            sent_at,
            echoed: call.echoed.clone(),
            trace: memory.orders.len() as u64 + 1,
            received_at: now,
            money,
            card: call.card.as_ref().map(|card| card.masked.clone()).or(bound),
        };
        memory.by_reference.insert(order.reference(), number.clone());
        memory.orders.insert(number, order);
        Ok(())
    }

    /// Writes the answer to a request.
    pub fn reply(&self, heard: &AcpHeard, words: &VoiceWords<'_>, now: Timestamp) -> Vec<u8> {
        let call = &heard.call;
        let mut fields = call.echoed.clone();
        set_response(&mut fields, words.code);
        let told = self.memory().orders.get(&call.order_no).map(|one| one.told(words.settle_date));
        match (words.end, told) {
            (Some(end), Some(told)) => set_end(&mut fields, &told, end),
            (Some(end), None) => fields.set("origRespCode", end),
            (None, Some(told)) => told.name(&mut fields),
            (None, None) => {}
        }
        let is_yes = [SUCCESS, SUCCESS_WITH_DEFECT].contains(&words.end.unwrap_or(words.code));
        if is_yes {
            self.carry_out(call, &mut fields, now);
        }
        reply(self.signer(words), fields, ReplyForm::Honest).body.to_vec()
    }

    /// Opens or ends an agreement, which a yes tells of.
    fn carry_out(&self, call: &AcpRequest, fields: &mut Fields, now: Timestamp) {
        match call.operation {
            AcpOperation::Open | AcpOperation::OpeningQuery => {
                let opening = self.memory().openings.get(&call.order_no).cloned();
                if let Some((sent_at, card)) = opening {
                    let named = (&*call.order_no, &*sent_at);
                    set_token(fields, &self.agreements.open(now, named, &card));
                }
            }
            AcpOperation::EndToken => {
                self.agreements.end(call.token.as_deref().unwrap_or_default());
            }
            AcpOperation::Consume
            | AcpOperation::Preauth
            | AcpOperation::Payout
            | AcpOperation::Capture
            | AcpOperation::Undo(_)
            | AcpOperation::Refund
            | AcpOperation::Reverse
            | AcpOperation::Query
            | AcpOperation::File
            | AcpOperation::Verify
            | AcpOperation::OpeningCode
            | AcpOperation::PaymentCode(_) => {}
        }
    }

    /// Writes the notice about an order; `None` where nothing was heard of it.
    pub fn notice(&self, order_no: &str, words: &VoiceWords<'_>) -> Option<String> {
        let memory = self.memory();
        let order = memory.orders.get(order_no)?;
        let said = (words.code, ReplyForm::Honest);
        let told = order.told(words.settle_date);
        Some(notice_of(self.signer(words), &order.echoed, &told, said))
    }

    /// The platform's own number of an order; `None` where nothing was heard of it.
    pub fn reference_of(&self, order_no: &str) -> Option<String> {
        self.memory().orders.get(order_no).map(HeardOrder::reference)
    }

    /// The token of an agreement that was opened for this card before anything was heard.
    pub fn token_for(&self, card_number: &str, now: Timestamp) -> String {
        self.agreements.open(now, ("before", ""), &CardKnown::of(card_number)).token
    }

    fn signer(&self, words: &VoiceWords<'_>) -> &PlatformIdentity {
        if words.is_forged { &self.impostor } else { &self.keys.platform }
    }
}

impl AcpMemory {
    /// The order that a follow-up names, by the platform's number or by the merchant's with its
    /// time.
    fn original(&self, fields: &Fields) -> Option<&HeardOrder> {
        match fields.get("origQryId") {
            Some(reference) => self.orders.get(self.by_reference.get(reference)?),
            None => {
                let order = self.orders.get(fields.get("origOrderId")?)?;
                (fields.get("origTxnTime") == Some(&order.sent_at)).then_some(order)
            }
        }
    }
}
