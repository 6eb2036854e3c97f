//! Pre-authorisations, captures, refunds and voids: each request's golden text, what its reply, its
//! inquiry and its notice mean, and what there is no such thing of.

use super::sample::*;
use crate::channel::protocol::unionpay_acp::request::TransactionType;
use std::sync::Arc;

use crate::channel::{Adapter, ChannelRequest, ServiceFacts};
use crate::codec::FieldLimits;
use crate::codec::acp;
use crate::codec::certificate::Certificate;
use crate::codec::form::Fields;
use crate::domain::attempt::Operation;
use crate::domain::card_service::CardService;
use crate::domain::ids::OrderId;
use crate::domain::outcome::{Outcome, Reason};

fn follow_up(operation: Operation, original: Operation) -> ChannelRequest {
    let mut earlier = facts(original);
    earlier.channel_order_no.order = OrderId::compose(250_531, 1, 7);
    earlier.channel_reference = Some("442401051450467846498".to_owned());
    ChannelRequest::FollowUp { facts: facts(operation), original: earlier, pan: None }
}

fn preauth() -> ChannelRequest {
    ChannelRequest::Charge { facts: facts(Operation::Preauth), instrument: card().into() }
}

/// Every follow-up that there is, with its type.
const FOLLOW_UPS: [(Operation, Operation, &str); 9] = [
    (Operation::Void, Operation::Payment, "31"),
    (Operation::Void, Operation::Preauth, "32"),
    (Operation::Void, Operation::Capture, "33"),
    (Operation::Undo, Operation::Payment, "31"),
    (Operation::Undo, Operation::Preauth, "32"),
    (Operation::Undo, Operation::Capture, "33"),
    (Operation::Refund, Operation::Payment, "04"),
    (Operation::Refund, Operation::Capture, "04"),
    (Operation::Capture, Operation::Preauth, "03"),
];

fn sent(request: &ChannelRequest) -> (String, Fields) {
    let wire = adapter().encode(request, now()).expect("a request");
    let fields = Fields::decode_form(&wire.body, FieldLimits::MESSAGE).expect("a form");
    let certificate = Certificate::from_pem(&merchant_pem()).expect("a certificate");
    let verifier = certificate.verifier().expect("an RSA key");
    assert_eq!(acp::verify_rsa(&fields, &verifier), Ok(()));
    (wire.url, fields)
}

#[test]
fn golden_follow_ups() {
    for (operation, original, kind) in FOLLOW_UPS {
        let (url, fields) = sent(&follow_up(operation, original));
        assert_eq!(url, "https://acp.example.com/gateway/api/backTransReq.do");
        assert_eq!(
            &**acp::signed_text(&fields),
            &format!(
                "accessType=0&backUrl=https://pay.example.com/notices/unionpay?x=1\
                 &bizType=000301&certId=68758028149&channelType=07&currencyCode=156\
                 &encoding=UTF-8&merId=777290058110097&orderId=250601001000000000901\
                 &origQryId=442401051450467846498&signMethod=01&txnAmt=10000&txnSubType=00\
                 &txnTime=20250601101600&txnType={kind}&version=5.1.0"
            ),
            "{operation:?} of {original:?}"
        );
    }
}

#[test]
fn a_preauth_is_a_payment_of_another_type() {
    let (url, held) = sent(&preauth());
    assert_eq!(url, "https://acp.example.com/gateway/api/backTransReq.do");
    let (_, paid) = sent(&payment());
    assert_eq!((held.get("txnType"), held.get("txnSubType")), (Some("02"), Some("01")));
    for (key, value) in paid.iter().filter(|(key, _)| !["txnType", "signature"].contains(key)) {
        assert_eq!(held.get(key), Some(value), "{key}");
    }
    assert_eq!(held.len(), paid.len());
}

#[test]
fn what_there_is_no_such_thing_of_is_not_sent() {
    let mut refused = 0;
    for operation in Operation::ALL {
        for original in Operation::ALL {
            let there_is =
                FOLLOW_UPS.iter().any(|(one, of, _)| (*one, *of) == (operation, original));
            let encoded = adapter().encode(&follow_up(operation, original), now());
            assert_eq!(encoded.is_ok(), there_is, "{operation:?} of {original:?}");
            refused += usize::from(!there_is);
        }
        let charge = ChannelRequest::Charge { facts: facts(operation), instrument: card().into() };
        let encoded = adapter().encode(&charge, now());
        assert_eq!(encoded.is_ok(), operation.begins_with_card(), "{operation:?}");
    }
    assert_eq!(refused, 40);
    let reversal = reversal_of(facts(Operation::Refund), Some(facts(Operation::Payment)));
    let error = adapter().encode(&reversal, now()).err().expect("it is refused");
    assert_eq!(error.problem, "a refund is never reversed");
    let error = adapter().encode(&reversal_of(facts(Operation::Payout), None), now());
    let error = error.err().expect("it is refused");
    assert_eq!(error.problem, "a payout is never reversed");
    let reversal = reversal_of(facts(Operation::Preauth), None);
    assert_eq!(sent(&reversal).1.get("txnType"), Some("99"));
}

#[test]
fn a_verification_is_answered_at_once_and_has_no_money() {
    let of = facts(Operation::Payment);
    let facts = ServiceFacts {
        service: CardService::Verification,
        channel_order_no: of.channel_order_no,
        sent_at: of.sent_at,
        merchant_id: of.merchant_id,
    };
    let request = ChannelRequest::Service { facts, subject: Arc::new(card()).into() };
    let (url, fields) = sent(&request);
    assert!(url.ends_with("backTransReq.do"));
    for (name, value) in [("txnType", "72"), ("txnSubType", "01"), ("bizType", "000501")] {
        assert_eq!(fields.get(name), Some(value));
    }
    assert!(fields.get("accNo").is_some() && fields.get("customerInfo").is_some());
    assert!(["txnAmt", "currencyCode", "backUrl"].iter().all(|name| fields.get(name).is_none()));
    let told = |product: &str, code: &str| {
        let more = [("bizType", product), ("txnSubType", "01"), ("respCode", code)];
        let bare = [("txnAmt", ""), ("currencyCode", "")];
        outcome(&request, "72", &[&more[..], &bare[..]].concat())
    };
    assert_eq!(told("000501", "00").name(), "approved");
    let Outcome::Declined(decline) = told("000501", "66") else { panic!("66 is a no") };
    assert_eq!(decline.reason, Reason::IdentityMismatch);
    assert_eq!(["03", "12", "ZZ"].map(|code| told("000501", code).name()), ["unknown"; 3]);
    assert_eq!(told("000301", "00").name(), "unknown", "another product's answer");
}

fn outcome(request: &ChannelRequest, kind: &str, more: &[(&str, &str)]) -> Outcome {
    let body = signed(answer(kind, more)).encode_line();
    adapter().decode(request, &reply(body), now()).outcome
}

#[test]
fn an_accepted_operation_is_pending_until_it_is_told() {
    let mut requests = vec![(preauth(), "02", Operation::Preauth)];
    for (operation, original, kind) in FOLLOW_UPS {
        requests.push((follow_up(operation, original), kind, operation));
    }
    for (request, kind, operation) in requests {
        let of = |code: &str| outcome(&request, kind, &[("respCode", code)]).name();
        assert_eq!(
            ["00", "05", "03", "12", "10", "ZZ"].map(of),
            ["pending", "pending", "unknown", "unknown", "declined", "unknown"],
            "{operation:?}"
        );
        let inquiry = ChannelRequest::Inquiry {
            facts: facts(operation),
            original: None,
            pan: None,
            now: now(),
        };
        let end = |code: &str| {
            outcome(&inquiry, kind, &[("respCode", "00"), ("origRespCode", code)]).name()
        };
        assert_eq!(
            ["00", "A6", "05", "04", "60", "ZZ"].map(end),
            ["approved", "approved", "pending", "unknown", "declined", "unknown"],
            "{operation:?}"
        );
        let lost = outcome(&inquiry, "00", &[("respCode", "34"), ("txnAmt", "")]);
        assert_eq!(lost.name(), "not_found");
        let (request, sent) = (adapter().encode(&inquiry, now()).expect("a request"), kind);
        assert!(request.url.ends_with("queryTrans.do"), "{sent}");
    }
}

#[test]
fn i_2_the_end_of_one_kind_is_not_that_of_another() {
    for operation in Operation::ALL {
        let inquiry = ChannelRequest::Inquiry {
            facts: facts(operation),
            original: None,
            pan: None,
            now: now(),
        };
        let own: Vec<&str> =
            TransactionType::all_of(operation).iter().map(|kind| kind.code()).collect();
        for kind in ["01", "02", "03", "04", "12", "31", "32", "33", "99"] {
            let end = outcome(&inquiry, kind, &[("respCode", "00"), ("origRespCode", "00")]);
            let expected = if own.contains(&kind) { "approved" } else { "unknown" };
            assert_eq!(end.name(), expected, "{operation:?} {kind}");
        }
    }
    // A reply must be of exactly the type that was sent: a void of a capture is none of a payment.
    let void = follow_up(Operation::Void, Operation::Capture);
    assert_eq!(outcome(&void, "33", &[("respCode", "00")]).name(), "pending");
    assert_eq!(outcome(&void, "31", &[("respCode", "00")]).name(), "unknown");
}

#[test]
fn a_void_of_what_is_gone_is_declined_and_an_undo_of_it_is_done() {
    let code = [("respCode", "45")];
    let void = outcome(&follow_up(Operation::Void, Operation::Payment), "31", &code);
    let Outcome::Declined(decline) = void else { panic!("{void:?}") };
    assert_eq!(decline.reason, Reason::OriginalNotEligible);
    let undo = outcome(&follow_up(Operation::Undo, Operation::Payment), "31", &code);
    assert_eq!(undo.name(), "approved");
}

#[test]
fn each_kind_has_its_notice() {
    let told = |kind: &str, code: &str| {
        let form = signed(answer(kind, &[("respCode", code)])).encode_form();
        let notice = adapter().decode_notice(&notice(form), now()).expect("a notice");
        notice.understood.outcome.name()
    };
    for kind in ["01", "02", "03", "04", "12", "31", "32", "33"] {
        assert_eq!([told(kind, "00"), told(kind, "60")], ["approved", "declined"], "{kind}");
    }
    // A void and an undo read it differently, and the notice does not say which it was.
    for kind in ["31", "32", "33"] {
        assert_eq!([told(kind, "45"), told(kind, "35")], ["unknown", "declined"], "{kind}");
    }
    assert_eq!(told("04", "45"), "declined");
}
