//! OpenSSL as an independent witness of UnionPay's signatures, chains and encryption: its command
//! line proves what we sign, decrypts what we encrypt, and makes keys, certificates and signatures
//! that we must judge rightly.
//!
//! Nothing of ours helps it: the signed text is put together here, by the rule of the facts, and
//! every key and certificate is its own. Where the command is missing they are left out, as the
//! last test program says; `.ci/run` demands it.

mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use support::{Scratch, witnesses};
use switchyard::channel::protocol::unionpay_acp::UnionPayAcp;
use switchyard::channel::protocol::unionpay_acp::codes::{CodeOverrides, ReversalReply};
use switchyard::channel::protocol::unionpay_acp::settings::{
    AccessType, MerchantSettings, SigningPem,
};
use switchyard::channel::{Adapter, AttemptFacts, ChannelRequest, WireNotice, WireReply};
use switchyard::clock::Clock;
use switchyard::domain::attempt::Operation;
use switchyard::domain::card::{CardInput, Cvv, Expiry, Pan};
use switchyard::domain::ids::{ChannelOrderNo, MerchantId, OrderId};
use switchyard::domain::money::{AmountMinor, Currency};
use switchyard::domain::outcome::{Outcome, UnknownCause};
use switchyard::domain::time::Timestamp;
use zeroize::Zeroizing;

const MERCHANT_ID: &str = "777290058110097";
const TEST_PAN: &str = "6216261000000000018";
const UNIONPAY: &str = "/CN=041@Z12@中国银联股份有限公司@00010000:SIGN@1";

/// Whether there is no witness.
fn is_left_out() -> bool {
    witnesses::is_left_out(!witnesses::has_openssl(), "the openssl command")
}

/// Runs the command in a folder and answers what it printed.
fn openssl(folder: &Path, arguments: &[&str]) -> Vec<u8> {
    let ran = Command::new("openssl").args(arguments).current_dir(folder).output();
    let ran = ran.expect("it was there a moment ago");
    let words = String::from_utf8_lossy(&ran.stderr).into_owned();
    assert!(ran.status.success(), "openssl {arguments:?}: {words}");
    ran.stdout
}

fn read(folder: &Path, name: &str) -> String {
    std::fs::read_to_string(folder.join(name)).expect("openssl has written it")
}

/// Certificates of OpenSSL's making: root, middle, two signers of UnionPay's, a stranger, the
/// merchant, and UnionPay's key for card data.
struct Town {
    folder: Scratch,
}

impl Town {
    fn build() -> Self {
        let town = Self { folder: Scratch::new() };
        let write = |name: &str, text: &str| {
            std::fs::write(town.path().join(name), text).expect("a file");
        };
        write("ca.ext", "basicConstraints=critical,CA:TRUE\nkeyUsage=keyCertSign,cRLSign\n");
        write("end.ext", "basicConstraints=CA:FALSE\nkeyUsage=digitalSignature,keyEncipherment\n");
        let new_key = ["-newkey", "rsa:2048", "-nodes", "-keyout"];
        let root = ["req", "-x509", "-subj", "/CN=Root", "-days", "3650", "-set_serial", "17"];
        let out = ["root.key", "-out", "root.pem"];
        openssl(town.path(), &[&root[..], &new_key, &out].concat());
        town.issue("middle", "/CN=Middle", "18", "root", "ca.ext");
        town.issue("platform", UNIONPAY, "68759585097", "middle", "end.ext");
        town.issue("platform2", UNIONPAY, "68759585098", "middle", "end.ext");
        town.issue("stranger", "/CN=041@Z12@某公司@1", "68759585099", "middle", "end.ext");
        town.issue("merchant", "/CN=merchant", "68759663125", "middle", "end.ext");
        town.issue("encryption", UNIONPAY, "68759622183", "middle", "end.ext");
        town
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn issue(&self, name: &str, subject: &str, serial: &str, issuer: &str, extensions: &str) {
        let (key, request) = (format!("{name}.key"), format!("{name}.csr"));
        openssl(
            self.path(),
            &[
                "req", "-utf8", "-newkey", "rsa:2048", "-nodes", "-keyout", &key, "-out", &request,
                "-subj", subject,
            ],
        );
        let (authority, authority_key) = (format!("{issuer}.pem"), format!("{issuer}.key"));
        let certificate = format!("{name}.pem");
        openssl(
            self.path(),
            &[
                "x509",
                "-req",
                "-in",
                &request,
                "-CA",
                &authority,
                "-CAkey",
                &authority_key,
                "-set_serial",
                serial,
                "-days",
                "365",
                "-sha256",
                "-extfile",
                extensions,
                "-out",
                &certificate,
            ],
        );
    }

    fn adapter(&self) -> UnionPayAcp {
        let text = |name: &str| read(self.path(), name);
        let host = "https://acp.example.com/gateway/api";
        let settings = MerchantSettings {
            merchant_id: MERCHANT_ID.to_owned(),
            access_type: AccessType::Direct,
            biz_type: "000301".to_owned(),
            token_requestor: None,
            payout_biz_type: "000401".to_owned(),
            reversal_biz_type: "000000".to_owned(),
            verification_biz_type: "000501".to_owned(),
            verification_sub_type: "01".to_owned(),
            channel_type: "07".to_owned(),
            transaction_url: format!("{host}/backTransReq.do"),
            query_url: format!("{host}/queryTrans.do"),
            reversal_url: None,
            statement_url: None,
            notice_url: "https://pay.example.com/notices/unionpay?x=1".to_owned(),
            signing: vec![SigningPem {
                certificate: text("merchant.pem"),
                key: Zeroizing::new(text("merchant.key")),
            }],
            encryption: vec![text("encryption.pem")],
            root_certificates: text("root.pem"),
            intermediate_certificates: Some(text("middle.pem")),
            accepted_signers: Vec::new(),
            production: true,
            reversal_reply: ReversalReply::Final,
            codes: CodeOverrides::default(),
            fields: vec![("reqReserved".to_owned(), "备注 test".to_owned())],
            payment_fields: Vec::new(),
        };
        UnionPayAcp::new(settings).unwrap_or_else(|problems| panic!("{problems:?}"))
    }

    /// Steps 2 to 5 of the facts, with OpenSSL's hash: sorted, joined, hashed, written in hex.
    fn digest_text(&self, fields: &BTreeMap<String, String>) {
        let kept = fields.iter().filter(|(key, value)| *key != "signature" && !value.is_empty());
        let pairs: Vec<String> = kept.map(|(key, value)| format!("{key}={value}")).collect();
        std::fs::write(self.path().join("text"), pairs.join("&")).expect("a file");
        let printed = openssl(self.path(), &["dgst", "-sha256", "-r", "text"]);
        let hex = &printed[..64];
        assert!(hex.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')));
        std::fs::write(self.path().join("hex"), hex).expect("a file");
    }

    /// Signs fields as UnionPay would, with one of its certificates.
    fn sign(&self, signer: &str, fields: &mut BTreeMap<String, String>) {
        let pem = read(self.path(), &format!("{signer}.pem"));
        fields.insert("signPubKeyCert".to_owned(), pem);
        fields.insert("signMethod".to_owned(), "01".to_owned());
        self.digest_text(fields);
        let key = format!("{signer}.key");
        openssl(self.path(), &["dgst", "-sha256", "-sign", &key, "-out", "signature", "hex"]);
        let signature = std::fs::read(self.path().join("signature")).expect("a signature");
        fields.insert("signature".to_owned(), STANDARD.encode(signature));
    }
}

fn now() -> Timestamp {
    Clock::System.now()
}

fn payment(sent_at: Timestamp) -> ChannelRequest {
    let facts = AttemptFacts {
        channel_order_no: ChannelOrderNo { order: OrderId::compose(250_601, 1, 9), attempt: 1 },
        sent_at,
        announced_at: None,
        operation: Operation::Payment,
        merchant_id: MerchantId::parse("M1").expect("an id"),
        amount: AmountMinor::new(10_000).expect("an amount"),
        currency: Currency::Cny,
        description: None,
        channel_reference: None,
        payee_kind: None,
    };
    let card = CardInput {
        pan: Pan::parse(TEST_PAN).expect("a card number"),
        expiry: Expiry::parse_yymm("4911"),
        cvv: Cvv::parse("123"),
        holder: None,
        id_type: None,
        id_number: None,
        phone: Some("13552535506".to_owned()),
    };
    ChannelRequest::Charge { facts, instrument: card.into() }
}

/// The fields of a form, by a library that is not ours.
fn form(body: &[u8]) -> BTreeMap<String, String> {
    let pairs = form_urlencoded::parse(body);
    pairs.map(|(key, value)| (key.into_owned(), value.into_owned())).collect()
}

/// What UnionPay echoes of a request, with its word on it.
fn answer(request: &BTreeMap<String, String>, code: &str) -> BTreeMap<String, String> {
    let echoed = ["merId", "orderId", "txnTime", "txnType", "txnSubType", "txnAmt", "currencyCode"];
    let mut fields: BTreeMap<String, String> = echoed
        .into_iter()
        .map(|key| (key.to_owned(), request.get(key).cloned().unwrap_or_default()))
        .collect();
    fields.insert("respCode".to_owned(), code.to_owned());
    fields.insert("respMsg".to_owned(), "成功[0000000]".to_owned());
    fields
}

fn reply(fields: &BTreeMap<String, String>) -> WireReply {
    let pairs: Vec<String> = fields.iter().map(|(key, value)| format!("{key}={value}")).collect();
    WireReply { status: 200, headers: HeaderMap::new(), body: pairs.join("&").into() }
}

#[test]
fn openssl_proves_what_we_sign_and_opens_what_we_encrypt() {
    if is_left_out() {
        return;
    }
    let town = Town::build();
    let wire = town.adapter().encode(&payment(now()), now()).expect("a request");
    let fields = form(&wire.body);
    assert_eq!(fields["certId"], "68759663125");
    assert_eq!(fields["encryptCertId"], "68759622183");
    assert_eq!(fields["reqReserved"], "备注 test");

    town.digest_text(&fields);
    let signature = STANDARD.decode(&fields["signature"]).expect("base64");
    std::fs::write(town.path().join("signature"), signature).expect("a file");
    openssl(
        town.path(),
        &["x509", "-in", "merchant.pem", "-pubkey", "-noout", "-out", "merchant.pub"],
    );
    let verify = ["dgst", "-sha256", "-verify", "merchant.pub", "-signature", "signature", "hex"];
    assert_eq!(openssl(town.path(), &verify), b"Verified OK\n");
    // PKCS#1 v1.5 signatures are deterministic: OpenSSL's own has the same bytes.
    openssl(
        town.path(),
        &["dgst", "-sha256", "-sign", "merchant.key", "-out", "own-signature", "hex"],
    );
    let own = std::fs::read(town.path().join("own-signature")).expect("a signature");
    assert_eq!(STANDARD.encode(own), fields["signature"]);

    let open = |text: &str| {
        let cipher = STANDARD.decode(text).expect("base64");
        std::fs::write(town.path().join("cipher"), cipher).expect("a file");
        let decrypt = ["pkeyutl", "-decrypt", "-inkey", "encryption.key", "-in", "cipher"];
        String::from_utf8(openssl(town.path(), &decrypt)).expect("text")
    };
    assert_eq!(open(&fields["accNo"]), TEST_PAN);
    let customer = STANDARD.decode(&fields["customerInfo"]).expect("base64");
    let customer = String::from_utf8(customer).expect("text");
    let sealed = customer.strip_prefix("{encryptedInfo=").and_then(|text| text.strip_suffix('}'));
    let opened = open(sealed.unwrap_or_else(|| panic!("{customer}")));
    assert_eq!(opened, "phoneNo=13552535506&cvn2=123&expired=4911");
}

#[test]
fn we_judge_openssls_signatures_as_it_does() {
    if is_left_out() {
        return;
    }
    let town = Town::build();
    let (adapter, sent_at) = (town.adapter(), now());
    let request = payment(sent_at);
    let sent = form(&adapter.encode(&request, now()).expect("a request").body);
    let judge =
        |fields: &BTreeMap<String, String>| adapter.decode(&request, &reply(fields), now()).outcome;
    let chain = ["verify", "-CAfile", "root.pem", "-untrusted", "middle.pem"];
    // Both of UnionPay's certificates are believed while one replaces the other.
    for signer in ["platform", "platform2"] {
        let mut fields = answer(&sent, "00");
        town.sign(signer, &mut fields);
        assert!(matches!(judge(&fields), Outcome::Pending { .. }), "{signer}");
        let own = format!("{signer}.pem");
        openssl(town.path(), &[&chain[..], &[&own]].concat());
    }
    let distrusted = Outcome::Unknown(UnknownCause::BadSignature);
    let mut fields = answer(&sent, "00");
    town.sign("platform", &mut fields);
    for (key, value) in [("txnAmt", "10001"), ("respCode", "64"), ("extra", "x")] {
        let mut changed = fields.clone();
        changed.insert(key.to_owned(), value.to_owned());
        assert_eq!(judge(&changed), distrusted, "{key}");
    }
    // A good chain with another owner, and a good owner with another's signature.
    let mut foreign = answer(&sent, "00");
    town.sign("stranger", &mut foreign);
    assert_eq!(judge(&foreign), distrusted);
    let mut mixed = fields.clone();
    mixed.insert("signPubKeyCert".to_owned(), read(town.path(), "platform2.pem"));
    assert_eq!(judge(&mixed), distrusted);
    // A signer under a root that is not configured.
    let elsewhere = Town::build();
    let mut other = answer(&sent, "00");
    elsewhere.sign("platform", &mut other);
    assert_eq!(judge(&other), distrusted);
}

#[test]
fn a_notice_that_openssl_signed_is_taken_after_a_change_of_certificates_too() {
    if is_left_out() {
        return;
    }
    let town = Town::build();
    let (adapter, sent_at) = (town.adapter(), now());
    let sent = form(&adapter.encode(&payment(sent_at), now()).expect("a request").body);
    for signer in ["platform2", "platform"] {
        let mut fields = answer(&sent, "00");
        fields.insert("queryId".to_owned(), "442401051450467846498".to_owned());
        town.sign(signer, &mut fields);
        let mut body = form_urlencoded::Serializer::new(String::new());
        body.extend_pairs(&fields);
        let wire = WireNotice { headers: HeaderMap::new(), body: body.finish().into() };
        let notice = adapter.decode_notice(&wire, now()).expect("a notice");
        assert_eq!(notice.understood.outcome.name(), "approved", "{signer}");
        let minor = notice.amount.as_ref().and_then(|amount| amount.minor(Currency::Cny));
        assert_eq!(minor, Some(10_000));
    }
}
