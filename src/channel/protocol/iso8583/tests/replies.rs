//! What is made of answers, and of what links bring beside them.

use super::*;
use crate::channel::transport::tcp::{FrameClass, LinkProtocol};
use crate::domain::outcome::{Outcome, Reason, UnknownCause};

fn outcome(adapter: &Iso8583, request: &ChannelRequest, code: &str) -> Outcome {
    let (frame, asked) = written(adapter, request);
    let reply = answer(adapter, &frame, code, |_| {});
    adapter.decode_frame(&asked, &reply, now()).outcome
}

#[test]
fn codes_mean_what_the_table_says() {
    for section in [POSP, CUPS] {
        let adapter = adapter(section);
        match outcome(&adapter, &sale(1), "00") {
            Outcome::Approved(approval) => {
                let reference = approval.channel_reference.as_deref();
                assert_eq!(reference, Some("060110160102-123456"));
                assert_eq!(approval.settle_mmdd.as_deref(), Some("0601"));
            }
            other => panic!("{other:?}"),
        }
        match outcome(&adapter, &sale(1), "51") {
            Outcome::Declined(decline) => {
                assert_eq!((decline.reason, decline.elsewhere), (Reason::InsufficientFunds, false));
            }
            other => panic!("{other:?}"),
        }
        let unsure = Outcome::Unknown(UnknownCause::ChannelUnsure);
        for code in ["96", "98", "68", "22", "94"] {
            assert_eq!(outcome(&adapter, &sale(1), code), unsure, "{code}");
        }
        let unlisted = Outcome::Unknown(UnknownCause::UnlistedCode);
        assert_eq!(outcome(&adapter, &sale(1), "ZZ"), unlisted);
        // A reversal ends by a yes or by "there is none"; everything else is asked again.
        let undo = reversal(Operation::Payment, 1);
        assert!(matches!(outcome(&adapter, &undo, "00"), Outcome::Approved(_)));
        assert!(matches!(outcome(&adapter, &undo, "25"), Outcome::NotFound { .. }));
        for code in ["51", "96", "ZZ", "30"] {
            assert_eq!(outcome(&adapter, &undo, code), unsure, "{code}");
        }
    }
}

/// Field 39 has two characters: every pair of them that the table does not list.
#[test]
fn i_2_every_unlisted_code_is_unknown() {
    let letters = || ('0'..='9').chain('A'..='Z').chain('a'..='z');
    for section in [POSP, CUPS] {
        let adapter = adapter(section);
        let mut unlisted = 0;
        for code in letters().flat_map(|first| letters().map(move |last| format!("{first}{last}")))
        {
            if adapter.codes.orders.verdict(&code).is_some() {
                continue;
            }
            unlisted += 1;
            let found = outcome(&adapter, &sale(1), &code);
            assert_eq!(found, Outcome::Unknown(UnknownCause::UnlistedCode), "{code}");
        }
        assert!(unlisted > 3_000, "the table lists little: {unlisted}");
    }
}

#[test]
fn i_2_what_is_no_proved_answer_about_it_is_unknown() {
    let adapter = adapter(POSP);
    let (frame, asked) = written(&adapter, &sale(1));
    let cause = |reply: &[u8]| match adapter.decode_frame(&asked, reply, now()).outcome {
        Outcome::Unknown(cause) => cause,
        other => panic!("{other:?}"),
    };
    let honest = answer(&adapter, &frame, "00", |_| {});
    // Another message's answer, our own request come back, half of it, another byte, no MAC.
    let (undo, _) = written(&adapter, &reversal(Operation::Payment, 1));
    assert_eq!(cause(&answer(&adapter, &undo, "00", |_| {})), UnknownCause::Mismatched);
    assert_eq!(cause(&frame), UnknownCause::Mismatched);
    assert_eq!(cause(&honest[..honest.len() / 2]), UnknownCause::Garbled);
    assert_eq!(cause(b""), UnknownCause::Garbled);
    let mut changed = honest;
    let last = changed.len() - 1;
    changed[last] ^= 1;
    assert_eq!(cause(&changed), UnknownCause::BadSignature);
}

/// What an answer repeats must be what was sent: another currency, or another processing code, is
/// an answer about something else, also where it declines.
#[test]
fn i_2_whatever_an_answer_repeats_must_agree() {
    let shared: [(u8, &[u8]); 6] = [
        (3, b"200000"),
        (4, b"000000009999"),
        (11, b"000009"),
        (41, b"87654321"),
        (42, b"898110148160002"),
        (49, b"840"),
    ];
    let of_centre: [(u8, &[u8]); 3] = [(7, b"0601101601"), (32, b"48021001"), (33, b"48021001")];
    for (section, others) in [(POSP, &[][..]), (CUPS, &of_centre[..])] {
        let adapter = adapter(section);
        for request in [sale(1), reversal(Operation::Payment, 1)] {
            let (frame, asked) = written(&adapter, &request);
            for (field, value) in shared.iter().chain(others) {
                for code in ["00", "51"] {
                    let reply = answer(&adapter, &frame, code, |draft| {
                        draft.put(*field, value);
                    });
                    let understood = adapter.decode_frame(&asked, &reply, now());
                    // A terminal of another one has no key of ours, and proves nothing.
                    let causes = [UnknownCause::Mismatched, UnknownCause::BadSignature];
                    let found = causes.map(Outcome::Unknown).contains(&understood.outcome);
                    assert!(found, "{field}: {understood:?}");
                    let objection = understood.objection.expect("the field is named");
                    assert!(objection.as_str().contains(&format!("field {field} ")), "{objection}");
                }
            }
            // What a host leaves out says nothing.
            let asked_for = message_of(&adapter, &frame).value(11).map(|value| value.text());
            let bare = answer(&adapter, &frame, "00", |draft| {
                let kind = draft.message_type();
                let kept =
                    [7, 11, 37, 39, 41].map(|field| (field, draft.get(field).map(<[u8]>::to_vec)));
                draft.begin(kind);
                for (field, value) in kept {
                    value.map(|value| draft.put(field, &value));
                }
            });
            let found = adapter.decode_frame(&asked, &bare, now()).outcome;
            assert!(matches!(found, Outcome::Approved(_)), "{asked_for:?}: {found:?}");
        }
    }
}

/// A message that breaks off is told with its field and offset, and ends the wait of the request
/// that it can be paired with.
#[test]
fn i_2_a_message_that_breaks_off_is_unknown_at_once_where_it_can_be_paired() {
    for (section, listed) in [(POSP, 44), (CUPS, 44)] {
        let adapter = adapter(section);
        // The host's table has a field otherwise than ours: what it writes behind 41 is no length.
        let other = section.replace(
            "[iso8583.mac]",
            &format!("[iso8583.fields]\n{listed} = \"none\"\n[iso8583.mac]"),
        );
        let reader = super::adapter(&other);
        let key = adapter.encode_frame(&sale(1), later()).expect("built").0.key;
        let (frame, asked) = written(&adapter, &sale(1));
        let reply = answer(&adapter, &frame, "00", |draft| {
            draft.put(listed, b"something");
        });
        assert_eq!(reader.sort(&reply), FrameClass::Reply(key));
        let understood = reader.decode_frame(&asked, &reply, now());
        assert_eq!(understood.outcome, Outcome::Unknown(UnknownCause::Garbled));
        let objection = understood.objection.expect("it is told").to_string();
        assert!(objection.starts_with("field 44, byte "), "{objection}");
        // Without the terminal or the time there is nothing to pair it by.
        let cut = reader.sort(&reply[..reply.len().min(48)]);
        match cut {
            FrameClass::Unreadable(problem) => assert!(problem.contains("byte "), "{problem}"),
            other => panic!("{section}: {other:?}"),
        }
    }
}

#[test]
fn i_2_a_message_that_the_centre_bounced_is_unknown() {
    let adapter = adapter(CUPS);
    let (frame, asked) = written(&adapter, &sale(1));
    let mut bounced = frame[..46].to_vec();
    bounced[41..46].copy_from_slice(b"00021");
    bounced.extend_from_slice(&frame);
    let key = adapter.encode_frame(&sale(1), now()).expect("built").0.key;
    assert_eq!(adapter.sort(&bounced), FrameClass::Reply(key));
    let understood = adapter.decode_frame(&asked, &bounced, now());
    assert_eq!(understood.outcome, Outcome::Unknown(UnknownCause::ChannelUnsure));
    assert_eq!(understood.transcript, "bounced: 00021");
}

#[test]
fn i_11_a_transcript_shows_no_card_number() {
    for section in [POSP, CUPS] {
        let adapter = adapter(section);
        let (frame, asked) = written(&adapter, &sale(1));
        // A host that echoes the number where it does not belong.
        let reply = answer(&adapter, &frame, "00", |draft| {
            draft.put(44, TEST_PAN.as_bytes());
        });
        let understood = adapter.decode_frame(&asked, &reply, now());
        assert!(understood.transcript.starts_with("0210 3=000000 4=000000010000"));
        assert!(!understood.transcript.contains(TEST_PAN), "{}", understood.transcript);
    }
}

#[test]
fn answers_are_paired_with_what_they_answer() {
    for section in [POSP, CUPS] {
        let adapter = adapter(section);
        for request in [sale(1), reversal(Operation::Payment, 1), sale(2)] {
            let key = adapter.encode_frame(&request, later()).expect("built").0.key;
            let (frame, _) = written(&adapter, &request);
            let reply = answer(&adapter, &frame, "00", |_| {});
            assert_eq!(adapter.sort(&reply), FrameClass::Reply(key));
            // A request about money is nothing that we answer.
            assert!(matches!(adapter.sort(&frame), FrameClass::Unreadable(_)));
        }
        assert_eq!(adapter.sort(b""), FrameClass::Nothing);
        assert!(matches!(adapter.sort(b"garbage"), FrameClass::Unreadable(_)));
        let echo = adapter.echo(now(), 8).expect("a line test");
        let own = adapter.settings.wire.framing.length_bytes();
        // The far end may test the line in the same way.
        match adapter.sort(&echo.bytes[own..]) {
            FrameClass::Request { answer } => {
                assert_eq!(adapter.sort(&answer[own..]), FrameClass::Reply(echo.key));
            }
            other => panic!("{other:?}"),
        }
    }
}

/// The verified sign-in answer of the facts brings the key that the verified sale is sealed with.
#[test]
fn a_sign_in_brings_the_mac_key() {
    let adapter = adapter(POSP_SIGN_IN);
    let frames = adapter.sign_on(now(), 0);
    assert_eq!(frames.len(), 1);
    let fields = fields_of(&adapter, &frames[0].bytes[2..]).join(" ");
    let expected = "0800 11=000001 41=12345678 42=898110148160001 60=00000001003 63=01 ";
    assert_eq!(fields, expected);
    let reply = answer(&adapter, &frames[0].bytes[2..], "00", |draft| {
        let keys = [
            0x557F_FB14_3800_C09B_u64.to_be_bytes(),
            0x0DFF_0849_57C8_FB33_u64.to_be_bytes(),
            0x4915_10CA_AE3E_FE12_u64.to_be_bytes(),
            0x70DE_A646_0000_0000_u64.to_be_bytes(),
            0x0000_0000_5FFE_0009_u64.to_be_bytes(),
        ];
        draft.put(62, &keys.concat());
    });
    assert_eq!(adapter.sort(&reply), FrameClass::Reply(frames[0].key));
    assert!(adapter.encode_frame(&sale(1), now()).is_err());
    adapter.take_sign_on(&reply).expect("keys");
    let (frame, _) = written(&adapter, &sale(1));
    assert_eq!(frame, written(&super::adapter(POSP), &sale(1)).0);
    let refused = answer(&adapter, &frames[0].bytes[2..], "97", |_| {});
    assert!(adapter.take_sign_on(&refused).is_err());
    let keyless = answer(&adapter, &frames[0].bytes[2..], "00", |_| {});
    assert!(adapter.take_sign_on(&keyless).is_err());
}
