//! The meaning of each response code of UnionPay's ACP, by the kind of request that it answers.
//!
//! One code means different things in different places, so there is a table for each: the reply to
//! what moves or holds money (`00` there only means *accepted*), the end of it as an inquiry's
//! `origRespCode` or a notice's `respCode` tells it, and the reply to a reversal. The inquiry's own
//! `respCode` says nothing of the payment, whatever it is, so it has no table of its own.
//! Upholds I-2 and I-3: what is not listed, and what a careful reader would confirm first, is
//! unknown, never a failure.

use crate::channel::file::codes::{CodeMeaning, CodeTable};
use crate::domain::attempt::Operation;
use crate::domain::outcome::Reason;

/// A transaction was accepted, or succeeded.
const SUCCESS: &str = "00";
/// The same, with a defect that is the channel's to repair.
const SUCCESS_WITH_DEFECT: &str = "A6";
/// No such transaction.
const NOT_FOUND: &str = "34";

/// The proof that the reply `00` to a reversal is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ReversalReply {
    /// The reversal is done. No source says that a reversal's end comes later, by notice or
    /// otherwise, and clients in the field take its `00` as the end.
    #[default]
    Final,
    /// The reversal was accepted: it is repeated with the same reference until `46` (already
    /// reversed) proves it.
    Accepted,
}

/// Codes that a channel's file reads otherwise than [`CodeTables`] does by itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CodeOverrides {
    /// Of every operation, in its reply and at its end. Not of a reversal: a further word for
    /// "approved" must not undo anything by itself.
    pub transaction: Vec<(String, CodeMeaning)>,
    /// Of an undo only.
    pub undo: Vec<(String, CodeMeaning)>,
    /// Of refunds, voids and captures only.
    pub follow_up: Vec<(String, CodeMeaning)>,
    /// Of a reversal only.
    pub reversal: Vec<(String, CodeMeaning)>,
}

impl CodeOverrides {
    /// Whether a file may give this code another meaning. What the protocol hangs on may not.
    pub fn may_change(code: &str) -> bool {
        ![SUCCESS, SUCCESS_WITH_DEFECT].contains(&code)
    }
}

/// Every table of one channel.
#[derive(Debug)]
pub(super) struct CodeTables {
    charge: OperationCodes,
    undo: OperationCodes,
    follow_up: OperationCodes,
    reversal: CodeTable,
    service: CodeTable,
}

/// Both tables of one operation.
#[derive(Debug)]
struct OperationCodes {
    reply: CodeTable,
    end: CodeTable,
}

/// The meaning of an inquiry's own `respCode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum InquiryAnswer {
    /// The reply tells what became of the transaction.
    Answered,
    NotFound,
    /// The inquiry failed (asked too often, busy, not understood): nothing is learnt.
    Failed,
}

impl CodeTables {
    pub(super) fn new(overrides: &CodeOverrides, reversal_reply: ReversalReply) -> Self {
        let operation = |own: &[CodeRow], own_overrides: &[(String, CodeMeaning)]| {
            let table = |verdict: fn(&CodeRow) -> CodeMeaning| {
                table(ROWS, verdict)
                    .overridden(overrides.transaction.iter().cloned())
                    .overridden(own.iter().map(|row| (row.code.to_owned(), verdict(row))))
                    .overridden(own_overrides.iter().cloned())
            };
            OperationCodes { reply: table(|row| row.reply), end: table(|row| row.end) }
        };
        let done = match reversal_reply {
            ReversalReply::Final => CodeMeaning::Approved,
            ReversalReply::Accepted => CodeMeaning::Pending,
        };
        let reversal = table(ROWS, |row| row.reply)
            .overridden(REVERSAL_ROWS.iter().map(|(code, verdict)| ((*code).to_owned(), *verdict)))
            .overridden([SUCCESS, SUCCESS_WITH_DEFECT].map(|code| (code.to_owned(), done)))
            .overridden(overrides.reversal.iter().cloned());
        let service = table(ROWS, |row| row.reply)
            .overridden(overrides.transaction.iter().cloned())
            .overridden(
                [SUCCESS, SUCCESS_WITH_DEFECT].map(|code| (code.to_owned(), CodeMeaning::Approved)),
            );
        Self {
            charge: operation(&[], &[]),
            undo: operation(UNDO_ROWS, &overrides.undo),
            follow_up: operation(FOLLOW_UP_ROWS, &overrides.follow_up),
            reversal,
            service,
        }
    }

    /// For the `respCode` of the synchronous reply to what moves or holds money.
    pub(super) fn reply(&self, operation: Operation) -> &CodeTable {
        &self.of(operation).reply
    }

    /// For an inquiry's `origRespCode` and a notice's `respCode`.
    pub(super) fn end(&self, operation: Operation) -> &CodeTable {
        &self.of(operation).end
    }

    /// For the `respCode` of the reply to a reversal.
    pub(super) fn reversal(&self) -> &CodeTable {
        &self.reversal
    }

    /// For the `respCode` of the reply to a service: `00` is its end, since nothing follows it. For
    /// the same reason what wants to be confirmed stays unknown.
    pub(super) fn service(&self) -> &CodeTable {
        &self.service
    }

    /// For the `respCode` of the reply to an inquiry.
    pub(super) fn inquiry(code: &str) -> InquiryAnswer {
        match code {
            SUCCESS | SUCCESS_WITH_DEFECT => InquiryAnswer::Answered,
            NOT_FOUND => InquiryAnswer::NotFound,
            _ => InquiryAnswer::Failed,
        }
    }

    fn of(&self, operation: Operation) -> &OperationCodes {
        match operation {
            Operation::Payment | Operation::Preauth | Operation::Payout => &self.charge,
            Operation::Undo => &self.undo,
            Operation::Refund | Operation::Void | Operation::Capture => &self.follow_up,
        }
    }
}

/// One code of UnionPay's list.
struct CodeRow {
    code: &'static str,
    /// In the synchronous reply.
    reply: CodeMeaning,
    /// Once an inquiry or a notice has told the end.
    end: CodeMeaning,
}

fn table(rows: &[CodeRow], verdict: fn(&CodeRow) -> CodeMeaning) -> CodeTable {
    CodeTable::new(rows.iter().map(|row| (row.code.to_owned(), verdict(row))))
}

const fn row(code: &'static str, reply: CodeMeaning, end: CodeMeaning) -> CodeRow {
    CodeRow { code, reply, end }
}

/// The same in both places.
const fn both(code: &'static str, verdict: CodeMeaning) -> CodeRow {
    row(code, verdict, verdict)
}

const fn no(code: &'static str, reason: Reason) -> CodeRow {
    both(code, CodeMeaning::Declined(reason))
}

/// The channel is closed to this card, business or hour: another channel may take it.
const fn elsewhere(code: &'static str, reason: Reason) -> CodeRow {
    both(code, CodeMeaning::Elsewhere(reason))
}

const fn unknown(code: &'static str) -> CodeRow {
    both(code, CodeMeaning::Unknown)
}

/// A general failure without a reason: believed once an inquiry or a notice has confirmed it.
const fn confirmed_failure(code: &'static str) -> CodeRow {
    row(code, CodeMeaning::Unknown, CodeMeaning::Declined(Reason::ChannelFailure))
}

/// UnionPay's list of response codes (platform access specification, part 5, appendix), in its
/// order. By range: 00–09 platform, 10–29 message, 30–59 merchant, 60–89 issuer and cardholder.
const ROWS: &[CodeRow] = &[
    row(SUCCESS, CodeMeaning::Pending, CodeMeaning::Approved),
    row(SUCCESS_WITH_DEFECT, CodeMeaning::Pending, CodeMeaning::Approved),
    confirmed_failure("01"),
    elsewhere("02", Reason::ChannelUnavailable),
    unknown("03"), // communication time-out
    unknown("04"), // state unclear
    both("05", CodeMeaning::Pending),
    unknown("06"), // busy: nothing says that the request was not taken
    no("10", Reason::InvalidRequest),
    no("11", Reason::AuthenticationFailed),
    unknown("12"), // a duplicate: the first copy arrived, and its end is what counts
    no("13", Reason::InvalidRequest),
    no("14", Reason::InvalidRequest),
    elsewhere("30", Reason::NotSupported),
    elsewhere("31", Reason::MerchantNotPermitted),
    elsewhere("32", Reason::MerchantNotPermitted),
    no("33", Reason::LimitExceeded),
    // 34, 35, 36, 45 and 46 speak of an original, which a payment does not have.
    unknown(NOT_FOUND),
    unknown("35"),
    unknown("36"),
    unknown("37"), // asked too often
    no("38", Reason::SuspectedFraud),
    elsewhere("39", Reason::ChannelUnavailable),
    no("40", Reason::NotEnrolled),
    no("41", Reason::InvalidRequest),
    unknown("42"), // debited after the deadline: the money may have left the cardholder
    elsewhere("43", Reason::NotSupported),
    no("44", Reason::NotEnrolled),
    unknown("45"),
    unknown("46"),
    no("60", Reason::DoNotHonour),
    no("61", Reason::InvalidCard),
    elsewhere("62", Reason::NotSupported),
    no("63", Reason::CardRestricted),
    no("64", Reason::InsufficientFunds),
    no("65", Reason::WrongCredentials),
    no("66", Reason::IdentityMismatch),
    no("67", Reason::PinTriesExceeded),
    elsewhere("68", Reason::NotSupported),
    no("69", Reason::SmsCodeExpired), // the cardholder's input did not come in time
    unknown("70"),                    // waiting for the cardholder's input
    no("71", Reason::WrongSmsCode),
    no("72", Reason::NotEnrolled),
    no("73", Reason::ExpiredCard),
    unknown("74"), // debited, the write-off unclear
    unknown("75"), // debited, the write-off failed: the error file will tell
    no("76", Reason::NotEnrolled),
    no("77", Reason::NotEnrolled),
    no("78", Reason::CardRestricted),
    elsewhere("79", Reason::NotSupported), // this issuer sends no SMS codes
    no("80", Reason::NotEnrolled),
    no("81", Reason::LimitExceeded),
    no("82", Reason::WrongCredentials),
    unknown("83"), // the issuer is still at work
    no("85", Reason::NotSupported),
    no("86", Reason::InvalidRequest),
    no("87", Reason::InvalidRequest),
    no("88", Reason::InvalidRequest),
    no("89", Reason::NotEnrolled),
    no("90", Reason::InsufficientFunds),
    no("91", Reason::IdentityMismatch),
    no("92", Reason::MerchantNotPermitted),
    no("93", Reason::MerchantNotPermitted),
    no("94", Reason::MerchantNotPermitted),
    no("95", Reason::MerchantNotPermitted),
    no("96", Reason::MerchantNotPermitted),
    unknown("98"), // no such file: never the answer to a payment
    confirmed_failure("99"),
];

/// Codes that an undo reads otherwise than a payment: here there is an original.
const UNDO_ROWS: &[CodeRow] = &[
    no(NOT_FOUND, Reason::OriginalNotEligible),
    no("35", Reason::OriginalNotEligible),
    no("36", Reason::InvalidRequest),
    // Already refunded or undone, already reversed: the money is back, which is what was owed.
    both("45", CodeMeaning::Approved),
    both("46", CodeMeaning::Approved),
];

/// What a refund, a void or a capture reads otherwise than a payment. That the original is refunded
/// or undone already was not done under this number: somebody else's work is not our success.
const FOLLOW_UP_ROWS: &[CodeRow] = &[
    no(NOT_FOUND, Reason::OriginalNotEligible),
    no("35", Reason::OriginalNotEligible),
    no("36", Reason::InvalidRequest),
    no("45", Reason::OriginalNotEligible),
    no("46", Reason::OriginalNotEligible),
];

/// Codes that a reversal's reply reads otherwise than a payment's.
///
/// "Declined" ends the reversing and asks the channel once more what became of the payment, so what
/// may be over in a minute (closed, busy) is unknown here: the reversal is then repeated.
const REVERSAL_ROWS: &[(&str, CodeMeaning)] = &[
    ("02", CodeMeaning::Unknown),
    (NOT_FOUND, CodeMeaning::NotFound),
    ("35", CodeMeaning::Declined(Reason::OriginalNotEligible)),
    ("36", CodeMeaning::Declined(Reason::InvalidRequest)),
    ("39", CodeMeaning::Unknown),
    // Refunded or undone by whom? Not by us: what is not known to have succeeded is never undone.
    ("45", CodeMeaning::Declined(Reason::OriginalNotEligible)),
    ("46", CodeMeaning::Approved),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// The whole list, with the class that the facts give each code: S success, U unknown, F
    /// failure, `*` to be confirmed first, O about an original or a file (never about a payment).
    const FACTS: &str = "00S A6S 01F* 02F 03U 04U 05U 06U* 10F 11F 12U* 13F 14F 30F 31F 32F 33F \
        34O 35O 36O 37U 38F 39F 40F 41F 42F* 43F 44F 45O 46O 60F 61F 62F 63F 64F 65F 66F 67F 68F \
        69F 70U* 71F 72F 73F 74U* 75F* 76F 77F 78F 79F 80F 81F 82F 83U* 85F 86F 87F 88F 89F 90F \
        91F 92F 93F 94F 95F 96F 98O 99F*";

    fn codes() -> CodeTables {
        CodeTables::new(&CodeOverrides::default(), ReversalReply::Final)
    }

    fn verdict(table: &CodeTable, code: &str) -> CodeMeaning {
        table.verdict(code).unwrap_or_else(|| panic!("{code} is not listed"))
    }

    const fn is_no(verdict: CodeMeaning) -> bool {
        matches!(verdict, CodeMeaning::Declined(_) | CodeMeaning::Elsewhere(_))
    }

    #[test]
    fn i_2_every_code_of_the_list_means_what_the_facts_say() {
        let codes = codes();
        let payment = &codes.charge;
        let listed: Vec<_> = FACTS.split_whitespace().collect();
        assert_eq!(listed.len(), ROWS.len());
        assert_eq!(payment.reply.iter().count(), ROWS.len());
        for entry in listed {
            let (code, class) = entry.split_at(2);
            let (reply, end) = (verdict(&payment.reply, code), verdict(&payment.end, code));
            let fits = match class {
                "S" => (reply, end) == (CodeMeaning::Pending, CodeMeaning::Approved),
                "F" => is_no(reply) && reply == end,
                "F*" => reply == CodeMeaning::Unknown && end != CodeMeaning::Approved,
                "U" | "U*" => {
                    reply == end && matches!(reply, CodeMeaning::Unknown | CodeMeaning::Pending)
                }
                _ => (reply, end) == (CodeMeaning::Unknown, CodeMeaning::Unknown),
            };
            assert!(fits, "{entry}: {reply:?}, {end:?}");
        }
    }

    #[test]
    fn what_nothing_confirms_is_no_end_of_a_service() {
        let codes = codes();
        let differs = CodeMeaning::Declined(Reason::IdentityMismatch);
        let rows = [
            ("00", CodeMeaning::Approved),
            ("A6", CodeMeaning::Approved),
            ("66", differs),
            ("05", CodeMeaning::Pending),
            ("01", CodeMeaning::Unknown),
            ("04", CodeMeaning::Unknown),
            ("99", CodeMeaning::Unknown),
        ];
        for (code, expected) in rows {
            assert_eq!(verdict(codes.service(), code), expected, "{code}");
        }
    }

    #[test]
    fn one_code_means_different_things_in_different_places() {
        let codes = codes();
        let original = CodeMeaning::Declined(Reason::OriginalNotEligible);
        let invalid = CodeMeaning::Declined(Reason::InvalidRequest);
        let (u, yes, wait) = (CodeMeaning::Unknown, CodeMeaning::Approved, CodeMeaning::Pending);
        let closed = CodeMeaning::Elsewhere(Reason::ChannelUnavailable);
        let failed = CodeMeaning::Declined(Reason::ChannelFailure);
        // In order: payment's reply and end, undo's reply and end, reversal's reply.
        let rows = [
            ("00", [wait, yes, wait, yes, yes]),
            ("A6", [wait, yes, wait, yes, yes]),
            ("01", [u, failed, u, failed, u]),
            ("02", [closed, closed, closed, closed, u]),
            ("05", [wait, wait, wait, wait, wait]),
            ("12", [u, u, u, u, u]),
            ("34", [u, u, original, original, CodeMeaning::NotFound]),
            ("35", [u, u, original, original, original]),
            ("36", [u, u, invalid, invalid, invalid]),
            ("39", [closed, closed, closed, closed, u]),
            ("45", [u, u, yes, yes, original]),
            ("46", [u, u, yes, yes, yes]),
            ("42", [u, u, u, u, u]),
            ("75", [u, u, u, u, u]),
            ("99", [u, failed, u, failed, u]),
        ];
        for (code, expected) in rows {
            let tables = [
                codes.reply(Operation::Payment),
                codes.end(Operation::Payment),
                codes.reply(Operation::Undo),
                codes.end(Operation::Undo),
                codes.reversal(),
            ];
            assert_eq!(tables.map(|table| verdict(table, code)), expected, "{code}");
        }
    }

    #[test]
    fn what_somebody_else_has_taken_back_is_no_success_of_ours() {
        let codes = codes();
        let original = CodeMeaning::Declined(Reason::OriginalNotEligible);
        for operation in [Operation::Refund, Operation::Void, Operation::Capture] {
            let (reply, end) = (codes.reply(operation), codes.end(operation));
            for code in ["34", "35", "45", "46"] {
                assert_eq!(verdict(reply, code), original, "{operation:?} {code}");
                assert_eq!(verdict(end, code), original, "{operation:?} {code}");
            }
            // An accepted refund is pending; what is unclear for a payment is unclear for it.
            assert_eq!(verdict(reply, "00"), CodeMeaning::Pending);
            assert_eq!(verdict(end, "00"), CodeMeaning::Approved);
            for code in ["03", "04", "06", "12", "74", "83"] {
                assert_eq!(verdict(reply, code), CodeMeaning::Unknown, "{operation:?} {code}");
            }
        }
    }

    #[test]
    fn an_inquirys_own_code_says_nothing_of_the_payment() {
        for entry in FACTS.split_whitespace() {
            let expected = match &entry[..2] {
                "00" | "A6" => InquiryAnswer::Answered,
                "34" => InquiryAnswer::NotFound,
                _ => InquiryAnswer::Failed,
            };
            assert_eq!(CodeTables::inquiry(&entry[..2]), expected, "{entry}");
        }
        assert_eq!(CodeTables::inquiry(""), InquiryAnswer::Failed);
    }

    #[test]
    fn reasons_are_our_words() {
        let codes = codes();
        let rows = [
            ("30", "elsewhere not_supported"),
            ("33", "declined limit_exceeded"),
            ("38", "declined suspected_fraud"),
            ("60", "declined do_not_honour"),
            ("61", "declined invalid_card"),
            ("62", "elsewhere not_supported"),
            ("63", "declined card_restricted"),
            ("64", "declined insufficient_funds"),
            ("65", "declined wrong_credentials"),
            ("66", "declined identity_mismatch"),
            ("67", "declined pin_tries_exceeded"),
            ("68", "elsewhere not_supported"),
            ("73", "declined expired_card"),
            ("77", "declined not_enrolled"),
        ];
        for (code, words) in rows {
            let expected = CodeMeaning::parse(words).expect("a verdict");
            assert_eq!(verdict(&codes.charge.reply, code), expected, "{code}");
        }
    }

    #[test]
    fn a_files_codes_apply_where_they_belong() {
        let pair = |code: &str, verdict| vec![(code.to_owned(), verdict)];
        let overrides = CodeOverrides {
            transaction: pair("P1", CodeMeaning::Approved),
            undo: pair("45", CodeMeaning::Unknown),
            follow_up: pair("46", CodeMeaning::Unknown),
            reversal: pair("35", CodeMeaning::NotFound),
        };
        let codes = CodeTables::new(&overrides, ReversalReply::Accepted);
        assert_eq!(codes.end(Operation::Payment).verdict("P1"), Some(CodeMeaning::Approved));
        assert_eq!(codes.reversal().verdict("P1"), None);
        assert_eq!(codes.reply(Operation::Undo).verdict("45"), Some(CodeMeaning::Unknown));
        assert_eq!(codes.reply(Operation::Payment).verdict("45"), Some(CodeMeaning::Unknown));
        for operation in [Operation::Refund, Operation::Void, Operation::Capture] {
            assert_eq!(codes.end(operation).verdict("46"), Some(CodeMeaning::Unknown));
        }
        assert_eq!(codes.reversal().verdict("35"), Some(CodeMeaning::NotFound));
        assert_eq!(codes.reversal().verdict("00"), Some(CodeMeaning::Pending));
        assert_eq!(codes.reversal().verdict("46"), Some(CodeMeaning::Approved));
    }
}
