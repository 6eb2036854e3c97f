//! UnionPay's side for the tests: its certificates, signed replies and notices, and a payment.
//! Keys are made once in a test run, afresh.

use std::sync::OnceLock;

use http::HeaderMap;
use rcgen::{CertificateParams, KeyPair, PKCS_RSA_SHA256, RsaKeySize};
use zeroize::Zeroizing;

use crate::channel::protocol::unionpay_acp::UnionPayAcp;
use crate::channel::protocol::unionpay_acp::codes::{CodeOverrides, ReversalReply};
use crate::channel::protocol::unionpay_acp::settings::{AccessType, MerchantSettings, SigningPem};
use crate::channel::{AttemptFacts, ChannelRequest, WireNotice, WireReply};
use crate::codec::acp;
use crate::codec::form::Fields;
use crate::codec::sample_keys::{
    authority_params, end_params, issue, merchant_key, middle_key, other_key,
};
use crate::codec::sign::RsaSigner;
use crate::domain::attempt::Operation;
use crate::domain::card::{CardInput, Cvv, Expiry, Pan};
use crate::domain::ids::{ChannelOrderNo, MerchantId, OrderId};
use crate::domain::money::{AmountMinor, Currency};
use crate::domain::time::Timestamp;

/// The common name of UnionPay's own signer.
pub const UNIONPAY: &str = "041@Z12@中国银联股份有限公司@00010000:SIGN@1";
/// A card number that UnionPay publishes for tests.
pub const TEST_PAN: &str = "6216261000000000018";
pub const MERCHANT_ID: &str = "777290058110097";
pub const ORDER_ID: &str = "250601001000000000901";
/// `now` in Beijing.
pub const TXN_TIME: &str = "20250601101600";

/// 2025-06-01 10:16:00 in Beijing.
pub fn now() -> Timestamp {
    Timestamp::from_millis(1_748_744_160_000)
}

pub fn unionpay_key() -> &'static KeyPair {
    static KEY: OnceLock<KeyPair> = OnceLock::new();
    KEY.get_or_init(|| {
        KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).expect("an RSA key")
    })
}

fn unionpay_signer() -> &'static RsaSigner {
    static SIGNER: OnceLock<RsaSigner> = OnceLock::new();
    SIGNER.get_or_init(|| RsaSigner::from_pem(&unionpay_key().serialize_pem()).expect("a key"))
}

pub fn root_pem() -> String {
    let root = authority_params("Root");
    issue(&root, other_key(), &root, other_key())
}

pub fn middle_pem() -> String {
    issue(&authority_params("Middle"), middle_key(), &authority_params("Root"), other_key())
}

/// A certificate of UnionPay's key under the middle authority.
pub fn signer_pem(params: &CertificateParams) -> String {
    issue(params, unionpay_key(), &authority_params("Middle"), middle_key())
}

pub fn merchant_pem() -> String {
    issue(&end_params("merchant"), merchant_key(), &authority_params("Root"), other_key())
}

pub fn settings() -> MerchantSettings {
    MerchantSettings {
        merchant_id: MERCHANT_ID.to_owned(),
        access_type: AccessType::Direct,
        biz_type: "000301".to_owned(),
        token_requestor: None,
        payout_biz_type: "000401".to_owned(),
        reversal_biz_type: "000000".to_owned(),
        verification_biz_type: "000501".to_owned(),
        verification_sub_type: "01".to_owned(),
        channel_type: "07".to_owned(),
        transaction_url: "https://acp.example.com/gateway/api/backTransReq.do".to_owned(),
        query_url: "https://acp.example.com/gateway/api/queryTrans.do".to_owned(),
        reversal_url: Some("https://acp.example.com/gateway/api/reversal.do".to_owned()),
        statement_url: Some("https://file.example.com/".to_owned()),
        notice_url: "https://pay.example.com/notices/unionpay?x=1".to_owned(),
        signing: vec![SigningPem {
            certificate: merchant_pem(),
            key: Zeroizing::new(merchant_key().serialize_pem()),
        }],
        encryption: Vec::new(),
        root_certificates: root_pem(),
        intermediate_certificates: Some(middle_pem()),
        accepted_signers: Vec::new(),
        production: true,
        reversal_reply: ReversalReply::Final,
        codes: CodeOverrides::default(),
        fields: Vec::new(),
        payment_fields: Vec::new(),
    }
}

pub fn adapter() -> &'static UnionPayAcp {
    static ADAPTER: OnceLock<UnionPayAcp> = OnceLock::new();
    ADAPTER.get_or_init(|| UnionPayAcp::new(settings()).expect("good settings"))
}

pub fn facts(operation: Operation) -> AttemptFacts {
    AttemptFacts {
        channel_order_no: ChannelOrderNo { order: OrderId::compose(250_601, 1, 9), attempt: 1 },
        sent_at: now(),
        announced_at: None,
        operation,
        merchant_id: MerchantId::parse("M1").expect("an id"),
        amount: AmountMinor::new(10_000).expect("an amount"),
        currency: Currency::Cny,
        description: None,
        channel_reference: None,
        payee_kind: None,
    }
}

/// What the core sends at most.
pub fn card() -> CardInput {
    CardInput {
        pan: Pan::parse(TEST_PAN).expect("a card number"),
        expiry: Expiry::parse_yymm("3011"),
        cvv: Cvv::parse("123"),
        holder: Some("张三".to_owned()),
        id_type: None,
        id_number: Some("341126197709218366".to_owned()),
        phone: Some("13552535506".to_owned()),
    }
}

pub fn payment() -> ChannelRequest {
    ChannelRequest::Charge { facts: facts(Operation::Payment), instrument: card().into() }
}

pub fn inquiry() -> ChannelRequest {
    ChannelRequest::Inquiry {
        facts: facts(Operation::Payment),
        original: None,
        pan: None,
        now: now(),
    }
}

/// The reversal of an attempt, which may follow up an original.
pub fn reversal_of(facts: AttemptFacts, original: Option<AttemptFacts>) -> ChannelRequest {
    ChannelRequest::Reversal { facts, original, pan: None, now: now() }
}

pub fn reversal() -> ChannelRequest {
    reversal_of(facts(Operation::Payment), None)
}

pub fn undo() -> ChannelRequest {
    let mut original = facts(Operation::Payment);
    original.channel_order_no.order = OrderId::compose(250_531, 1, 7);
    original.channel_reference = Some("442401051450467846498".to_owned());
    ChannelRequest::FollowUp { facts: facts(Operation::Undo), original, pan: None }
}

/// What UnionPay echoes of the transaction that all requests above are about.
pub fn echo(txn_type: &str) -> Fields {
    [
        ("accessType", "0"),
        (
            "bizType",
            match txn_type {
                "99" => "000000",
                "12" => "000401",
                _ => "000301",
            },
        ),
        ("currencyCode", "156"),
        ("encoding", "UTF-8"),
        ("merId", MERCHANT_ID),
        ("orderId", ORDER_ID),
        ("txnAmt", "10000"),
        ("txnSubType", if matches!(txn_type, "01" | "02" | "99") { "01" } else { "00" }),
        ("txnTime", TXN_TIME),
        ("txnType", txn_type),
        ("version", "5.1.0"),
    ]
    .into_iter()
    .collect()
}

/// An echo with further fields; an empty value takes a field out.
pub fn answer(txn_type: &str, more: &[(&str, &str)]) -> Fields {
    let mut fields = echo(txn_type);
    for (key, value) in more {
        fields.set(key, value);
    }
    fields.trim_and_drop_empty();
    fields
}

/// Signed with UnionPay's key; the certificate is what the test wants it to be.
pub fn signed_with(mut fields: Fields, certificate: &str) -> Fields {
    fields.set("signPubKeyCert", certificate);
    acp::sign_rsa(&mut fields, "68759585097", unionpay_signer());
    fields
}

pub fn signed(fields: Fields) -> Fields {
    static PEM: OnceLock<String> = OnceLock::new();
    signed_with(fields, PEM.get_or_init(|| signer_pem(&end_params(UNIONPAY))))
}

pub fn reply(body: impl Into<Vec<u8>>) -> WireReply {
    WireReply { status: 200, headers: HeaderMap::new(), body: body.into().into() }
}

pub fn notice(body: impl Into<Vec<u8>>) -> WireNotice {
    WireNotice { headers: HeaderMap::new(), body: body.into().into() }
}
