//! What is agreed with the simulated channels: four kinds that practice knows.

use std::sync::Arc;
use std::time::Duration;

use jiff::civil;
use jiff::tz::TimeZone;
use switchyard::domain::attempt::Operation;
use switchyard::domain::books::accounting::AccountNames;
use switchyard::domain::fee::{FeeRule, FeeSchedule, RefundFee};
use switchyard::domain::ids::ChannelId;
use switchyard::domain::money::AMOUNT_MINOR_MAX;
use switchyard::domain::terms::{AfterInquiry, ReportedSuccessRule, ReverseUntil, Terms};
use switchyard::domain::time::ClearingCalendar;

/// Answers finally, can be asked, reversed and undone.
pub const DIRECT: &str = "alpha";
/// Only accepts in its reply; the result comes by notice or inquiry. No reversals.
pub const ACCEPTING: &str = "bravo";
/// Cannot be asked: an unknown is reversed at once, as in ISO 8583.
pub const SILENT: &str = "charlie";
/// Takes reversals within the clearing day only, and no undo.
pub const DAY_BOUND: &str = "delta";

/// Those that bind cards: whoever cannot be asked does not.
pub const BINDING: [&str; 3] = [DIRECT, ACCEPTING, DAY_BOUND];

pub const ALL: [&str; 4] = [DIRECT, ACCEPTING, SILENT, DAY_BOUND];

fn seconds(list: &[u64]) -> Vec<Duration> {
    list.iter().map(|seconds| Duration::from_secs(*seconds)).collect()
}

/// One channel takes back captures and refunds too, as few do.
fn reversible(name: &str) -> Vec<Operation> {
    let mut usual = vec![Operation::Payment, Operation::Preauth];
    if name == DIRECT {
        usual.extend([Operation::Capture, Operation::Refund]);
    }
    usual
}

/// The terms of one of [`ALL`].
pub fn terms(name: &str) -> Arc<Terms> {
    let zone = TimeZone::get("Asia/Shanghai").expect("the zone is compiled in");
    let fees = FeeRule {
        name: "standard".to_owned(),
        from: None,
        until: None,
        is_payout: false,
        card_types: Vec::new(),
        categories: Vec::new(),
        from_minor: 0,
        to_minor: AMOUNT_MINOR_MAX,
        rate_ppm: 6_000,
        fixed_minor: 0,
        minimum_minor: 1,
        cap_minor: None,
        refund: RefundFee::Keep,
    };
    let base = Terms {
        channel: ChannelId::from_stored(name),
        inquire: seconds(&[2, 5, 10, 30]),
        then: AfterInquiry::Reverse,
        reverse: seconds(&[0, 30, 120, 300]),
        reverse_until: ReverseUntil::Always,
        not_found_final_after: Duration::from_secs(600),
        not_found_final_after_of: Vec::new(),
        operations: Operation::ALL.to_vec(),
        reversible: reversible(name),
        partial_refund: true,
        refund_days: 180,
        preauth_days: 30,
        follow_up_needs_card: name == SILENT,
        keeps_pan: name == DIRECT || name == SILENT,
        sets_out_within: Duration::from_secs(10),
        call_ends_after: Duration::from_secs(20),
        statement_claims: ReportedSuccessRule::Undo,
        close_after: Duration::from_secs(90),
        calendar: ClearingCalendar { zone, cut_off: civil::time(23, 0, 0, 0) },
        fees: FeeSchedule { rules: vec![fees] },
        accounts: AccountNames::default(),
        has_accounting: true,
        notice_url: None,
    };
    Arc::new(match name {
        ACCEPTING => Terms { then: AfterInquiry::InquireDaily, reverse: Vec::new(), ..base },
        SILENT => Terms { inquire: Vec::new(), ..base },
        DAY_BOUND => Terms {
            reverse_until: ReverseUntil::ClearingDay,
            operations: Operation::ALL.into_iter().filter(|one| *one != Operation::Undo).collect(),
            ..base
        },
        _ => base,
    })
}
