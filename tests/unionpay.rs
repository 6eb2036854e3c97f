//! The adapter against the simulated UnionPay, operation by operation, over real sockets: two
//! readings of the same facts that share no code but the byte formats.
//!
//! With faults the adapter may say less than the truth, never another one.

mod support;

use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::routing::post;
use http::HeaderMap;
use jiff::tz::{TimeZone, offset};
use support::simulated::far_cut_off;
use support::wire::until;
use switchyard::channel::protocol::unionpay_acp::UnionPayAcp;
use switchyard::channel::protocol::unionpay_acp::codes::{CodeOverrides, ReversalReply};
use switchyard::channel::protocol::unionpay_acp::settings::{
    AccessType, MerchantSettings, SigningPem,
};
use switchyard::channel::transport::http::{HttpTransport, Timeouts};
use switchyard::channel::transport::tls;
use switchyard::channel::{
    Adapter, AttemptFacts, ChannelRequest, ReplyMeaning, ServiceFacts, ServiceSubject, WireNotice,
};
use switchyard::clock::Clock;
use switchyard::domain::attempt::Operation;
use switchyard::domain::card::{CardInput, Expiry, Pan, SmsCode};
use switchyard::domain::card_service::CardService;
use switchyard::domain::ids::{ChannelOrderNo, MerchantId, OrderId};
use switchyard::domain::instrument::Instrument;
use switchyard::domain::money::{AmountMinor, Currency};
use switchyard::domain::outcome::{Decline, Outcome, Reason};
use switchyard::domain::payment_code::{CodedCharge, CodedKind};
use switchyard::domain::time::Timestamp;
use switchyard::simulator::{
    DurationRange, EntryKind, EntryState, Faults, MERCHANT_ID, Simulator, SimulatorKeys,
    SimulatorSettings, TEST_SMS_CODE,
};
use tokio::net::TcpListener;
use zeroize::Zeroizing;

fn keys() -> Arc<SimulatorKeys> {
    static KEYS: OnceLock<Arc<SimulatorKeys>> = OnceLock::new();
    Arc::clone(KEYS.get_or_init(|| Arc::new(SimulatorKeys::generate().expect("five RSA keys"))))
}

const MINUTE: Duration = Duration::from_secs(60);

type Bodies = Arc<Mutex<Vec<Bytes>>>;

/// A place for notices; answers where it is.
async fn inbox(bodies: &Bodies) -> String {
    let take = async |State(bodies): State<Bodies>, body: Bytes| {
        bodies.lock().expect("no panic").push(body);
        "ok"
    };
    let router = Router::new().route("/notices", post(take)).with_state(Arc::clone(bodies));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}/notices")
}

/// The gateway's side of one channel, and the channel.
struct Line {
    simulator: Simulator,
    adapter: UnionPayAcp,
    transport: HttpTransport,
    notices: Bodies,
    sent_at: Timestamp,
}

impl Line {
    async fn open(seed: u64) -> Self {
        Self::open_for(seed, "000301").await
    }

    /// The same of another product.
    async fn open_for(seed: u64, product: &str) -> Self {
        Self::open_with(seed, product, |settings| settings).await
    }

    async fn open_with(
        seed: u64,
        product: &str,
        change: impl FnOnce(SimulatorSettings) -> SimulatorSettings,
    ) -> Self {
        let clock: switchyard::simulator::ChannelClock = Arc::new(|| Clock::System.now());
        let settings = SimulatorSettings::unionpay_acp("unionpay", keys(), clock)
            .with_declines_percent(0)
            .with_seed(seed)
            .with_cut_off(far_cut_off())
            .with_working(DurationRange::ZERO);
        let simulator = Simulator::start(change(settings)).await.expect("a simulator");
        let notices = Bodies::default();
        let adapter = adapter(product, &simulator.base_url(), &inbox(&notices).await);
        let second = Duration::from_secs(1);
        let timeouts = Timeouts { connect: second, reply: second * 2, idle: second * 5 };
        let tls = tls::client_config(&[]).expect("the system's roots");
        let transport = HttpTransport::new(timeouts, tls);
        Self { simulator, adapter, transport, notices, sent_at: Clock::System.now() }
    }

    fn facts(&self, operation: Operation, sequence: u64, amount: i64) -> AttemptFacts {
        AttemptFacts {
            channel_order_no: ChannelOrderNo {
                order: OrderId::compose(261_122, 1, sequence),
                attempt: 1,
            },
            sent_at: self.sent_at,
            announced_at: None,
            operation,
            merchant_id: MerchantId::parse("M1").expect("an id"),
            amount: AmountMinor::new(amount).expect("an amount"),
            currency: Currency::Cny,
            description: None,
            channel_reference: None,
            payee_kind: None,
        }
    }

    async fn ask(&self, request: &ChannelRequest) -> Outcome {
        self.understand(request).await.outcome
    }

    async fn understand(&self, request: &ChannelRequest) -> ReplyMeaning {
        let wire = self.adapter.encode(request, Clock::System.now()).expect("a request");
        match self.transport.send(wire).await {
            Ok(reply) => self.adapter.decode(request, &reply, Clock::System.now()),
            Err(failure) => ReplyMeaning::new(failure.outcome(), String::new()),
        }
    }

    /// Asks for a step of an agreement.
    async fn step(
        &self,
        service: CardService,
        sequence: u64,
        subject: &ServiceSubject,
    ) -> ReplyMeaning {
        let of = self.facts(Operation::Payment, sequence, 1);
        let facts = ServiceFacts {
            service,
            channel_order_no: of.channel_order_no,
            sent_at: of.sent_at,
            merchant_id: of.merchant_id,
        };
        self.understand(&ChannelRequest::Service { facts, subject: subject.clone() }).await
    }

    async fn charge(&self, facts: &AttemptFacts) -> Outcome {
        let card = CardInput {
            pan: Pan::parse("6216261000000000018").expect("a card number"),
            expiry: Expiry::parse_yymm("4911"),
            cvv: None,
            holder: None,
            id_type: None,
            id_number: None,
            phone: None,
        };
        self.ask(&ChannelRequest::Charge { facts: facts.clone(), instrument: card.into() }).await
    }

    async fn follow(&self, facts: &AttemptFacts, original: &AttemptFacts) -> Outcome {
        let (facts, original) = (facts.clone(), original.clone());
        self.ask(&ChannelRequest::FollowUp { facts, original, pan: None }).await
    }

    async fn inquire(&self, facts: &AttemptFacts) -> Outcome {
        let (facts, now) = (facts.clone(), Clock::System.now());
        self.ask(&ChannelRequest::Inquiry { facts, original: None, pan: None, now }).await
    }

    /// Carries an operation out until it is approved, and keeps the channel's number of it.
    async fn done(&self, mut facts: AttemptFacts, original: Option<&AttemptFacts>) -> AttemptFacts {
        let name = facts.operation.name();
        let accepted = match original {
            Some(original) => self.follow(&facts, original).await,
            None => self.charge(&facts).await,
        };
        assert_eq!(accepted.name(), "pending", "{name} is only accepted: {accepted:?}");
        let Outcome::Approved(approval) = self.inquire(&facts).await else {
            panic!("{name} is not approved")
        };
        assert!(approval.settle_mmdd.is_some(), "{name} has its clearing date");
        facts.channel_reference = approval.channel_reference;
        assert!(facts.channel_reference.is_some(), "{name} has the channel's number");
        facts
    }

    fn state(&self, facts: &AttemptFacts) -> Option<(EntryKind, EntryState)> {
        let ledger = self.simulator.ledger();
        ledger.get(&facts.channel_order_no.to_string()).map(|entry| (entry.kind, entry.state))
    }
}

fn adapter(product: &str, base: &str, notice_url: &str) -> UnionPayAcp {
    let keys = keys();
    let settings = MerchantSettings {
        merchant_id: MERCHANT_ID.to_owned(),
        access_type: AccessType::Direct,
        biz_type: product.to_owned(),
        token_requestor: (product == "000902").then(|| "62000000001".to_owned()),
        payout_biz_type: "000401".to_owned(),
        reversal_biz_type: "000000".to_owned(),
        verification_biz_type: "000501".to_owned(),
        verification_sub_type: "01".to_owned(),
        channel_type: "07".to_owned(),
        transaction_url: format!("{base}/gateway/api/backTransReq.do"),
        query_url: format!("{base}/gateway/api/queryTrans.do"),
        reversal_url: None,
        statement_url: Some(format!("{base}/")),
        notice_url: notice_url.to_owned(),
        signing: vec![SigningPem {
            certificate: keys.merchant_certificate_pem.clone(),
            key: Zeroizing::new(keys.merchant_key_pem.clone()),
        }],
        encryption: vec![keys.encryption_certificate_pem.clone()],
        root_certificates: keys.root_pem.clone(),
        intermediate_certificates: Some(keys.intermediate_pem.clone()),
        accepted_signers: Vec::new(),
        production: false,
        reversal_reply: ReversalReply::Final,
        codes: CodeOverrides::default(),
        fields: Vec::new(),
        payment_fields: Vec::new(),
    };
    UnionPayAcp::new(settings).unwrap_or_else(|problems| panic!("{problems:?}"))
}

fn reason(understood: &ReplyMeaning) -> Option<Reason> {
    match &understood.outcome {
        Outcome::Declined(Decline { reason, .. }) => Some(*reason),
        _ => None,
    }
}

fn coded(subject: &ServiceSubject, code: &str) -> ServiceSubject {
    let sms_code = SmsCode::parse(code).map(Arc::new);
    ServiceSubject { sms_code, ..subject.clone() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_card_is_bound_paid_by_its_token_and_unbound() {
    use CardService::{
        AgreementCode, AgreementConfirmation, AgreementEnd, AgreementInquiry, PaymentCode,
    };
    let line = Line::open_for(3, "000902").await;
    let mut card = CardInput::of_number(Pan::parse("6216261000000000018").expect("a card number"));
    (card.phone, card.expiry) = (Some("13800138000".to_owned()), Expiry::parse_yymm("4911"));
    let subject = ServiceSubject::from(Arc::new(card));
    let right = coded(&subject, TEST_SMS_CODE);
    let early = line.step(AgreementConfirmation, 1, &right).await;
    assert_eq!(reason(&early), Some(Reason::WrongSmsCode), "no code was sent: {early:?}");
    assert_eq!(line.step(AgreementCode, 2, &subject).await.outcome.name(), "approved");
    let wrong = line.step(AgreementConfirmation, 3, &coded(&subject, "000000")).await;
    assert_eq!(reason(&wrong), Some(Reason::WrongSmsCode));
    let unopened = line.step(AgreementInquiry, 3, &ServiceSubject::default()).await;
    assert_eq!(unopened.outcome.name(), "not_found");
    let opened = line.step(AgreementConfirmation, 4, &right).await;
    let issued = opened.issued.expect("a token");
    assert!(!opened.transcript.contains(issued.token.expose()), "{}", opened.transcript);
    assert_eq!(issued.token.phone(), "13800138000");
    assert!(issued.ends_at.is_some());
    let asked = line.step(AgreementInquiry, 4, &ServiceSubject::default()).await;
    let told = asked.issued.expect("the same token");
    assert_eq!((told.token.expose(), told.ends_at), (issued.token.expose(), issued.ends_at));
    let again = line.step(AgreementConfirmation, 4, &right).await;
    assert_eq!(again.outcome.name(), "unknown", "a duplicate tells no end");

    let by_token = |code: Option<&str>| {
        let sms_code = code.and_then(SmsCode::parse);
        Arc::new(Instrument::Agreement { token: issued.token.clone(), sms_code })
    };
    let pay = async |sequence, code| {
        let (facts, instrument) = (line.facts(Operation::Payment, sequence, 700), by_token(code));
        let charge = ChannelRequest::Charge { facts: facts.clone(), instrument };
        (line.ask(&charge).await, line.inquire(&facts).await, facts)
    };
    let (accepted, end, mut paid) = pay(5, None).await;
    assert_eq!((accepted.name(), end.name()), ("pending", "approved"));
    let ledger = line.simulator.ledger();
    let entry = ledger.get(&paid.channel_order_no.to_string()).expect("it was charged");
    assert_eq!(entry.card.as_deref(), Some("621626*********0018"));
    let (no_code, ..) = pay(6, Some(TEST_SMS_CODE)).await;
    assert!(matches!(&no_code, Outcome::Declined(no) if no.reason == Reason::WrongSmsCode));
    let charge = Some(coded_for(CodedKind::Payment));
    let token = Some(Arc::new(issued.token.clone()));
    let of_payment = ServiceSubject { token, charge, ..ServiceSubject::default() };
    assert_eq!(line.step(PaymentCode, 7, &of_payment).await.outcome.name(), "approved");
    let (other, ..) = pay(8, Some(TEST_SMS_CODE)).await;
    assert_eq!(other.name(), "declined", "the code is of number 7");
    assert_eq!(pay(7, Some(TEST_SMS_CODE)).await.1.name(), "approved");
    if let Outcome::Approved(approval) = end {
        paid.channel_reference = approval.channel_reference;
    }
    line.done(line.facts(Operation::Refund, 9, 300), Some(&paid)).await;

    let ends = ServiceSubject { charge: None, ..of_payment };
    assert_eq!(line.step(AgreementEnd, 10, &ends).await.outcome.name(), "approved");
    let twice = line.step(AgreementEnd, 11, &ends).await;
    assert_eq!(reason(&twice), Some(Reason::NotEnrolled), "it is void already");
    let (refused, ..) = pay(12, None).await;
    assert!(matches!(&refused, Outcome::Declined(no) if no.reason == Reason::NotEnrolled));
    let card = line.facts(Operation::Payment, 13, 700);
    let by_card = CardInput::of_number(Pan::parse("6216261000000000018").expect("a card number"));
    let charge = ChannelRequest::Charge { facts: card, instrument: by_card.into() };
    let refused = line.adapter.encode(&charge, Clock::System.now()).err().expect("no such thing");
    assert!(refused.problem.contains("tokens"), "{refused}");
}

/// UnionPay's documents want the consume under number, time, amount and card of the request for its
/// code; inquiry, notice and refund go by that time as well, however much later the consume was.
#[tokio::test(flavor = "multi_thread")]
async fn a_payment_by_card_is_known_by_the_number_and_time_of_its_code() {
    let line = Line::open_with(5, "000301", SimulatorSettings::wanting_codes).await;
    let coded = Coded { line: &line };
    let pay = async |facts, code| coded.pay(facts, code).await;
    let sent_of = |sequence, amount| coded.facts(Operation::Payment, sequence, amount);
    let code = async |sequence| coded.send(CodedKind::Payment, sequence).await;
    declined(&pay(sent_of(1, 700), None).await.0, Reason::InvalidRequest);
    declined(&pay(sent_of(2, 700), Some(TEST_SMS_CODE)).await.0, Reason::WrongSmsCode);
    for (sequence, wrong) in [(3, "000000"), (4, TEST_SMS_CODE), (5, TEST_SMS_CODE)] {
        assert_eq!(code(sequence).await, "approved");
        let mut facts = sent_of(sequence, if sequence == 4 { 701 } else { 700 });
        if sequence == 5 {
            // Under the time of its own sending it is another transaction.
            facts.announced_at = None;
        }
        declined(&pay(facts, Some(wrong)).await.0, Reason::WrongSmsCode);
    }
    assert_eq!(code(6).await, "approved");
    let (accepted, mut paid) = pay(sent_of(6, 700), Some(TEST_SMS_CODE)).await;
    assert_eq!(accepted.name(), "pending");
    let Outcome::Approved(approval) = line.inquire(&paid).await else { panic!("it is not found") };
    let by_its_own_time = AttemptFacts { announced_at: None, ..paid.clone() };
    assert_eq!(line.inquire(&by_its_own_time).await.name(), "not_found");
    let noticed = until("a notice of the payment", async || {
        let bodies = line.notices.lock().expect("no panic").clone();
        bodies.into_iter().find_map(|body| {
            let wire = WireNotice { headers: HeaderMap::new(), body };
            let notice = line.adapter.decode_notice(&wire, Clock::System.now()).ok()?;
            (notice.channel_order_no == paid.channel_order_no).then_some(notice)
        })
    });
    let noticed = noticed.await;
    assert_eq!(noticed.sent_at_text, beijing(paid.named_at()));
    assert_ne!(noticed.sent_at_text, beijing(paid.sent_at));
    paid.channel_reference = approval.channel_reference;
    line.done(line.facts(Operation::Refund, 7, 300), Some(&paid)).await;
}

/// A hold has a kind of code of its own (77/04), and that of one kind is no other's.
#[tokio::test(flavor = "multi_thread")]
async fn a_hold_by_card_is_known_by_the_number_and_time_of_its_code() {
    let line = Line::open_with(6, "000301", SimulatorSettings::wanting_codes).await;
    let coded = Coded { line: &line };
    let hold_of = |sequence| coded.facts(Operation::Preauth, sequence, 700);
    declined(&coded.pay(hold_of(1), None).await.0, Reason::InvalidRequest);
    assert_eq!(coded.send(CodedKind::Payment, 2).await, "approved");
    declined(&coded.pay(hold_of(2), Some(TEST_SMS_CODE)).await.0, Reason::WrongSmsCode);
    for sequence in [3, 4] {
        assert_eq!(coded.send(CodedKind::Preauth, sequence).await, "approved");
    }
    let payment = coded.facts(Operation::Payment, 3, 700);
    declined(&coded.pay(payment, Some(TEST_SMS_CODE)).await.0, Reason::WrongSmsCode);
    let (accepted, mut held) = coded.pay(hold_of(4), Some(TEST_SMS_CODE)).await;
    assert_eq!(accepted.name(), "pending");
    let Outcome::Approved(approval) = line.inquire(&held).await else { panic!("it is not held") };
    held.channel_reference = approval.channel_reference;
    line.done(line.facts(Operation::Capture, 5, 700), Some(&held)).await;
}

/// Orders by one card that bring codes of 7.00 yuan.
struct Coded<'line> {
    line: &'line Line,
}

impl Coded<'_> {
    fn card() -> CardInput {
        let number = Pan::parse("6216261000000000018").expect("a card number");
        let mut card = CardInput::of_number(number);
        card.phone = Some("13800138000".to_owned());
        card
    }

    /// An attempt that was announced by its code a minute before.
    fn facts(&self, operation: Operation, sequence: u64, amount: i64) -> AttemptFacts {
        let facts = self.line.facts(operation, sequence, amount);
        let (announced_at, sent_at) = (Some(facts.sent_at), facts.sent_at.plus(MINUTE));
        AttemptFacts { announced_at, sent_at, ..facts }
    }

    async fn send(&self, kind: CodedKind, sequence: u64) -> &'static str {
        let charge = Some(coded_for(kind));
        let target = ServiceSubject { charge, ..Arc::new(Self::card()).into() };
        self.line.step(CardService::PaymentCode, sequence, &target).await.outcome.name()
    }

    async fn pay(&self, facts: AttemptFacts, code: Option<&str>) -> (Outcome, AttemptFacts) {
        let sms_code = code.and_then(SmsCode::parse);
        let instrument = Arc::new(Instrument::Card { card: Self::card(), sms_code });
        let charge = ChannelRequest::Charge { facts: facts.clone(), instrument };
        (self.line.ask(&charge).await, facts)
    }
}

fn declined(outcome: &Outcome, expected: Reason) {
    match outcome {
        Outcome::Declined(Decline { reason, .. }) => assert_eq!(*reason, expected),
        other => panic!("it is not declined: {other:?}"),
    }
}

/// What a code of 7.00 yuan is for.
fn coded_for(kind: CodedKind) -> CodedCharge {
    let amount = AmountMinor::new(700).expect("an amount");
    CodedCharge { kind, amount, currency: Currency::Cny }
}

/// `txnTime` as a notice repeats it.
fn beijing(moment: Timestamp) -> Option<String> {
    let local = moment.civil(&TimeZone::fixed(offset(8)));
    Some(local.strftime("%Y%m%d%H%M%S").to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_is_carried_out_inquired_of_and_noticed() {
    let line = Line::open(1).await;
    let paid = line.done(line.facts(Operation::Payment, 1, 1_000), None).await;
    let part = line.done(line.facts(Operation::Refund, 2, 400), Some(&paid)).await;
    let held = line.done(line.facts(Operation::Preauth, 3, 1_000), None).await;
    let taken = line.done(line.facts(Operation::Capture, 4, 900), Some(&held)).await;
    let back = line.done(line.facts(Operation::Refund, 5, 900), Some(&taken)).await;
    let second = line.done(line.facts(Operation::Preauth, 6, 700), None).await;
    let capture = line.done(line.facts(Operation::Capture, 7, 700), Some(&second)).await;
    let uncapture = line.done(line.facts(Operation::Void, 8, 700), Some(&capture)).await;
    let release = line.done(line.facts(Operation::Void, 9, 700), Some(&second)).await;
    let other = line.done(line.facts(Operation::Payment, 10, 500), None).await;
    let cancel = line.done(line.facts(Operation::Undo, 11, 500), Some(&other)).await;

    let approved = EntryState::Approved;
    let expected = [
        (&paid, EntryKind::Charge, approved),
        (&part, EntryKind::Refund, approved),
        (&held, EntryKind::Preauth, approved),
        (&taken, EntryKind::Capture, approved),
        (&back, EntryKind::Refund, approved),
        (&second, EntryKind::Preauth, EntryState::Undone),
        (&capture, EntryKind::Capture, EntryState::Undone),
        (&uncapture, EntryKind::Undo, approved),
        (&release, EntryKind::Undo, approved),
        (&other, EntryKind::Charge, EntryState::Undone),
        (&cancel, EntryKind::Undo, approved),
    ];
    for (facts, kind, state) in expected {
        assert_eq!(line.state(facts), Some((kind, state)), "{:?}", facts.operation);
    }
    assert_eq!(line.simulator.ledger().net_minor().values().sum::<i64>(), 600);

    // Each has told its end by notice too, under its own number.
    let all = async || (line.notices.lock().expect("no panic").len() >= 11).then_some(());
    until("eleven notices", all).await;
    let bodies = line.notices.lock().expect("no panic").clone();
    for (facts, ..) in expected {
        let told = bodies.iter().filter_map(|body| {
            let notice = WireNotice { headers: HeaderMap::new(), body: body.clone() };
            let notice = line.adapter.decode_notice(&notice, Clock::System.now());
            let notice = notice.expect("a notice that is believed");
            (notice.channel_order_no == facts.channel_order_no).then_some(notice)
        });
        let told: Vec<_> = told.collect();
        assert_eq!(told.len(), 1, "{:?}", facts.operation);
        assert_eq!(told[0].understood.outcome.name(), "approved");
        let minor = told[0].amount.as_ref().and_then(|amount| amount.minor(facts.currency));
        assert_eq!(minor, Some(facts.amount.get()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_must_not_be_is_declined_and_a_duplicate_is_unknown() {
    let line = Line::open(1).await;
    let paid = line.done(line.facts(Operation::Payment, 1, 1_000), None).await;
    let held = line.done(line.facts(Operation::Preauth, 2, 1_000), None).await;
    let more = line.facts(Operation::Refund, 3, 1_001);
    assert_eq!(line.follow(&more, &paid).await.name(), "declined", "more than was paid");
    let part = line.facts(Operation::Void, 4, 999);
    assert_eq!(line.follow(&part, &paid).await.name(), "declined", "a part is no void");
    let capture = line.facts(Operation::Capture, 5, 1_151);
    assert_eq!(line.follow(&capture, &held).await.name(), "declined", "more than 115 %");
    let refund = line.done(line.facts(Operation::Refund, 6, 1_000), Some(&paid)).await;
    assert_eq!(line.follow(&refund, &paid).await.name(), "unknown", "asked twice, done once");
    let again = line.facts(Operation::Refund, 7, 1);
    assert_eq!(line.follow(&again, &paid).await.name(), "declined", "nothing is left");
    let never = line.facts(Operation::Refund, 8, 1);
    assert_eq!(line.inquire(&never).await.name(), "not_found");
    let (facts, now) = (held.clone(), Clock::System.now());
    let reversal = ChannelRequest::Reversal { facts, original: None, pan: None, now };
    assert_eq!(line.ask(&reversal).await.name(), "approved", "an authorisation is reversed");
    assert_eq!(line.state(&held), Some((EntryKind::Preauth, EntryState::Reversed)));
    assert_eq!(line.simulator.ledger().net_minor().values().sum::<i64>(), 0);
}

/// What an outcome claims must be what the ledger has.
fn assert_true(line: &Line, facts: &AttemptFacts, outcome: &Outcome, seed: u64) {
    let state = line.state(facts).map(|(_, state)| state);
    let stands =
        matches!(state, Some(EntryState::Approved | EntryState::Undone | EntryState::Working));
    let fits = match outcome {
        // 05 says "ask later" of whatever it is; only 00 says that it was accepted.
        Outcome::Pending { code, .. } => stands || code == "05",
        Outcome::Approved(_) => stands,
        Outcome::Declined(_) | Outcome::NotFound { .. } => !stands,
        Outcome::NotSent(_) => state.is_none(),
        Outcome::Unknown(_) => true,
    };
    let name = facts.operation.name();
    assert!(fits, "seed {seed}: {name} is said to be {outcome:?} and is {state:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn i_2_under_faults_less_than_the_truth_may_be_said_never_another() {
    for seed in [1, 7, 42] {
        let line = Line::open(seed).await;
        let mut attempts = Vec::new();
        for round in 0..12 {
            line.simulator.set_faults(Faults::calm()).expect("possible faults");
            let at = |place: u64| round * 10 + place;
            let paid = line.done(line.facts(Operation::Payment, at(1), 1_000), None).await;
            let held = line.done(line.facts(Operation::Preauth, at(2), 1_000), None).await;
            let faults =
                Faults { delay: 0, hang_for: DurationRange::millis(20, 50), ..Faults::hostile() };
            line.simulator.set_faults(faults).expect("possible faults");
            let payment = line.facts(Operation::Payment, at(3), 800);
            let outcome = line.charge(&payment).await;
            assert_true(&line, &payment, &outcome, seed);
            attempts.push(payment);
            let follow_ups = [
                (Operation::Refund, at(4), 300, &paid),
                (Operation::Refund, at(5), 700, &paid),
                (Operation::Capture, at(6), 1_000, &held),
                (Operation::Void, at(7), 1_000, &held),
            ];
            for (operation, sequence, amount, original) in follow_ups {
                let facts = line.facts(operation, sequence, amount);
                let outcome = line.follow(&facts, original).await;
                assert_true(&line, &facts, &outcome, seed);
                attempts.push(facts);
            }
        }
        let mut learnt = 0;
        for facts in &attempts {
            let outcome = line.inquire(facts).await;
            assert_true(&line, facts, &outcome, seed);
            learnt += usize::from(!matches!(outcome, Outcome::Unknown(_)));
        }
        assert!(learnt > 0 && learnt < attempts.len(), "seed {seed}: {learnt} were answered");
        // Once nothing goes wrong any more, an inquiry tells the whole truth of each.
        line.simulator.set_faults(Faults::calm()).expect("possible faults");
        for facts in &attempts {
            let outcome = line.inquire(facts).await;
            assert!(!matches!(outcome, Outcome::Unknown(_)), "seed {seed}: {outcome:?}");
            assert_true(&line, facts, &outcome, seed);
        }
    }
}
