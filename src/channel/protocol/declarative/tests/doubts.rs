//! I-2: an HTTP status that the file does not accept, and a code that it does not list, prove
//! nothing.

use super::*;

/// A yes and a no of Harbour Bank, well signed, under another status.
fn harbour_answers(status: u16) -> [WireReply; 2] {
    let yes = format!(
        r#"{{"code":"0000","orderNo":"{ORDER}","tradeNo":"H1","amount":1230,"settleDate":"1122"}}"#
    );
    let no = r#"{"code":"1051"}"#;
    [yes.as_str(), no].map(|body| WireReply { status, ..harbour_reply(body) })
}

#[test]
fn i_2_a_status_that_the_file_does_not_accept_is_unknown() {
    let adapter = harbour();
    for reply in harbour_answers(200) {
        let found = adapter.decode(&payment(), &reply, now()).outcome;
        assert!(!matches!(found, Outcome::Unknown(_)), "the bodies are good: {found:?}");
    }
    for status in (100..=599).filter(|status| *status != 200) {
        for reply in harbour_answers(status) {
            for request in [payment(), inquiry(), reversal(), undo()] {
                let found = adapter.decode(&request, &reply, now()).outcome;
                assert_eq!(found, unknown(UnknownCause::HttpStatus), "{status} {request:?}");
            }
        }
    }
}

#[test]
fn i_2_no_shipped_file_accepts_what_may_follow_after_processing() {
    for (name, adapter) in ["harbour", "meadow", "canyon", "quarry"].into_iter().zip(all()) {
        let may_follow = |status: &u16| [408, 425, 429].contains(status) || *status >= 500;
        let accepted: Vec<_> =
            adapter.accepted_statuses.iter().copied().filter(may_follow).collect();
        assert!(accepted.is_empty(), "{name} believes {accepted:?}");
        for status in (500..=599).chain([408, 425, 429]) {
            let reply = WireReply { status, headers: HeaderMap::new(), body: Bytes::new() };
            let found = adapter.decode(&payment(), &reply, now()).outcome;
            assert_eq!(found, unknown(UnknownCause::HttpStatus), "{name} {status}");
        }
    }
}

proptest! {
    #[test]
    fn i_2_a_code_that_is_not_listed_is_unknown(code in "[0-9A-Za-z_.-]{1,8}") {
        prop_assume!(!HARBOUR.contains(&format!("\"{code}\"")));
        let body = format!(r#"{{"code":"{code}","orderNo":"{ORDER}","amount":1230}}"#);
        for request in [payment(), inquiry(), reversal(), undo()] {
            let found = harbour().decode(&request, &harbour_reply(&body), now()).outcome;
            prop_assert!(matches!(found, Outcome::Unknown(_)), "{} {:?}", code, found);
        }
    }

    /// The original's own code, in the reply to an inquiry that went well.
    #[test]
    fn i_2_an_original_s_code_that_is_not_listed_is_unknown(code in "[0-9A-Za-z]{1,8}") {
        prop_assume!(!MEADOW.contains(&format!("\"{code}\"")));
        let pairs = format!(
            "amt=12.30&orig_resp_code={code}&order_id={ORDER}&resp_code=00&trace_no=T1"
        );
        let reply = examples::meadow_reply(&pairs);
        let adapter = load(MEADOW).expect("the shipped file is right");
        let found = adapter.decode(&inquiry(), &reply, now()).outcome;
        prop_assert!(matches!(found, Outcome::Unknown(_)), "{} {:?}", code, found);
    }
}
