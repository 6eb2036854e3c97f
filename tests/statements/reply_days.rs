//! The clearing day that a channel's reply names is the day that its file's calendar gives, and the
//! one that the channel's own ledger and statements have it in: for every shipped file, at the cut
//! and between the cut and midnight, at the ends of months and years, on 29 February, and where a
//! file's time zone puts its clocks forward and back.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use switchyard::channel::registry::Registry;
use switchyard::channel::{AttemptFacts, ChannelRequest, Channels};
use switchyard::clock::Clock;
use switchyard::domain::attempt::Operation;
use switchyard::domain::card::{CardInput, Expiry, Pan};
use switchyard::domain::ids::{ChannelId, ChannelOrderNo, MerchantId, OrderId};
use switchyard::domain::money::{AmountMinor, Currency};
use switchyard::domain::outcome::{Approval, Outcome};
use switchyard::domain::terms::CommonTerms;
use switchyard::domain::time::{BusinessDate, Timestamp};
use switchyard::simulator::Simulator;

use crate::support::Scratch;
use crate::{play, shipped};

/// The shipped files by the time of day at which their clearing day ends, and whether their replies
/// name the day.
const FILES: [(&str, &str, bool); 6] = [
    ("canyon-pay", "00:00", false),
    ("meadow-bank", "00:00", false),
    ("quarry-bank", "22:30", true),
    ("harbour-bank", "23:00", true),
    ("lakeside-acquirer", "23:00", true),
    ("unionpay", "23:00", true),
];

/// A moment, and the clearing day that it lies in if that ends at 22:30, 23:00 and 00:00 in China.
const IN_CHINA: [(&str, [&str; 3]); 12] = [
    ("2026-11-22T05:00:00Z", ["2026-11-22", "2026-11-22", "2026-11-22"]),
    ("2026-11-22T14:29:59.999Z", ["2026-11-22", "2026-11-22", "2026-11-22"]),
    ("2026-11-22T14:30:00Z", ["2026-11-23", "2026-11-22", "2026-11-22"]),
    ("2026-11-22T14:59:59.999Z", ["2026-11-23", "2026-11-22", "2026-11-22"]),
    ("2026-11-22T15:00:00Z", ["2026-11-23", "2026-11-23", "2026-11-22"]),
    ("2026-11-22T15:59:59.999Z", ["2026-11-23", "2026-11-23", "2026-11-22"]),
    ("2026-11-22T16:00:00Z", ["2026-11-23", "2026-11-23", "2026-11-23"]),
    ("2026-11-30T15:10:00Z", ["2026-12-01", "2026-12-01", "2026-11-30"]),
    ("2026-12-31T15:10:00Z", ["2027-01-01", "2027-01-01", "2026-12-31"]),
    ("2028-02-28T15:10:00Z", ["2028-02-29", "2028-02-29", "2028-02-28"]),
    ("2028-02-29T14:10:00Z", ["2028-02-29", "2028-02-29", "2028-02-29"]),
    ("2028-02-29T15:10:00Z", ["2028-03-01", "2028-03-01", "2028-02-29"]),
];

/// The same for a file whose channel is in Berlin, around both changes of its clocks, of which the
/// one in spring makes 23:00 an hour earlier by UTC.
const IN_BERLIN: [(&str, [&str; 3]); 6] = [
    ("2026-03-28T21:59:59Z", ["2026-03-29", "2026-03-28", "2026-03-28"]),
    ("2026-03-28T22:00:00Z", ["2026-03-29", "2026-03-29", "2026-03-28"]),
    ("2026-03-29T20:59:59Z", ["2026-03-30", "2026-03-29", "2026-03-29"]),
    ("2026-03-29T21:00:00Z", ["2026-03-30", "2026-03-30", "2026-03-29"]),
    ("2026-10-25T21:00:00Z", ["2026-10-25", "2026-10-25", "2026-10-25"]),
    ("2026-10-25T22:00:00Z", ["2026-10-26", "2026-10-26", "2026-10-25"]),
];

fn moment(text: &str) -> Timestamp {
    let moment: jiff::Timestamp = text.parse().expect("RFC 3339");
    Timestamp::from_millis(moment.as_millisecond())
}

fn column(cut_off: &str) -> usize {
    ["22:30", "23:00", "00:00"].iter().position(|one| *one == cut_off).expect("a column")
}

/// A channel on a clock that its test moves, and the side of ours that speaks to it.
struct Line {
    _scratch: Scratch,
    now: Arc<AtomicI64>,
    channel: ChannelId,
    registry: Registry,
    simulator: Simulator,
}

impl Line {
    async fn open(id: &str, text: &str) -> Self {
        let scratch = Scratch::new();
        let now = Arc::new(AtomicI64::new(0));
        let theirs = Clock::Manual(Arc::clone(&now));
        let simulator = play(id, text, Arc::new(move || theirs.now()), scratch.path()).await;
        let (folder, routes) = (scratch.path().join("channels"), scratch.path().join("routes"));
        let (terms, ours) = (CommonTerms::default(), Clock::Manual(Arc::clone(&now)));
        let registry = Registry::load(&folder, &routes, scratch.path(), terms, ours);
        let registry = registry.unwrap_or_else(|mistakes| panic!("{id}: {mistakes:#?}"));
        let channel = ChannelId::parse(id).expect("an id");
        Self { _scratch: scratch, now, channel, registry, simulator }
    }

    /// Pays at this moment, and gives what the channel told, with the day that it books.
    async fn pay(&self, at: Timestamp, sequence: u64) -> (Approval, String) {
        self.now.store(at.as_millis(), Ordering::SeqCst);
        let utc = at.civil(&jiff::tz::TimeZone::UTC);
        let yymmdd = utc.strftime("%y%m%d").to_string().parse().expect("six digits");
        let facts = AttemptFacts {
            channel_order_no: ChannelOrderNo {
                order: OrderId::compose(yymmdd, 0, sequence),
                attempt: 1,
            },
            sent_at: at,
            announced_at: None,
            operation: Operation::Payment,
            merchant_id: MerchantId::parse("m-1").expect("an id"),
            amount: AmountMinor::new(12_300 + i64::try_from(sequence).expect("few")).expect("some"),
            currency: Currency::Cny,
            description: None,
            channel_reference: None,
            payee_kind: None,
        };
        let amount = facts.amount.get();
        let card = CardInput {
            pan: Pan::parse("6216261000000000018").expect("a published test number"),
            expiry: Expiry::parse_yymm("4911"),
            cvv: None,
            holder: None,
            id_type: None,
            id_number: None,
            phone: None,
        };
        let request = ChannelRequest::Charge { facts: facts.clone(), instrument: card.into() };
        let mut outcome = self.registry.call(&self.channel, request).await.outcome;
        if let Outcome::Pending { .. } = outcome {
            // It works for less than a second, on the clock that stands.
            self.now.fetch_add(1_000, Ordering::SeqCst);
            let inquiry = ChannelRequest::Inquiry { facts, original: None, pan: None, now: at };
            outcome = self.registry.call(&self.channel, inquiry).await.outcome;
        }
        let Outcome::Approved(approval) = outcome else { panic!("{}: {outcome:?}", self.channel) };
        let ledger = self.simulator.ledger();
        let entry = ledger.entries().iter().find(|entry| entry.amount_minor == amount);
        (approval, entry.expect("it was carried out").settle_date.clone())
    }
}

/// Pays at each moment over each file as `change` leaves it, and compares what is told, what is
/// booked, and what must be.
async fn days_agree(rows: &[(&str, [&str; 3])], change: impl Fn(String) -> String) {
    for (id, cut_off, names_day) in FILES {
        let line = Line::open(id, &change(shipped(id))).await;
        for (place, (at, days)) in rows.iter().enumerate() {
            let expected = days[column(cut_off)];
            let (told, booked) = line.pay(moment(at), place as u64).await;
            assert_eq!(booked, expected, "{id}'s ledger at {at}");
            let day = BusinessDate::parse(expected).expect("a date").civil();
            let named = names_day.then(|| day.strftime("%m%d").to_string());
            assert_eq!(told.settle_mmdd, named, "{id}'s reply at {at}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_names_the_day_that_the_channel_books() {
    days_agree(&IN_CHINA, |text| text).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_s_day_ends_in_the_time_zone_of_its_file() {
    days_agree(&IN_BERLIN, |text| {
        let (here, there) = ("time_zone = \"Asia/Shanghai\"", "time_zone = \"Europe/Berlin\"");
        assert_eq!(text.matches(here).count(), 1, "the file says where");
        text.replace(here, there)
    })
    .await;
}
