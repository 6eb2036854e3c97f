//! The ledger of an acquirer that knows terminals and trace numbers, in our own numbers.

use std::collections::BTreeMap;

use switchyard::channel::protocol::iso8583::{Numbering, Style};
use switchyard::clock::Clock;
use switchyard::domain::ids::{ChannelOrderNo, OrderId};
use switchyard::domain::time::Timestamp;
use switchyard::simulator::LedgerSnapshot;

/// As the shipped file has them.
const TERMINALS: [&str; 2] = ["12345678", "12345679"];
/// The node of an installation that is told none.
const NODE: u16 = 0;
/// More orders than a test has.
const ORDERS_MAX: u64 = 20_000;
const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

/// Every number that an order of today or yesterday has at the acquirer, and ours for it: days take
/// turns with the two halves of the trace numbers, so none stands for two.
fn ours_by_theirs() -> BTreeMap<String, String> {
    let terminals = TERMINALS.map(str::to_owned).to_vec();
    let numbering = Numbering::new(Style::Posp, terminals, vec![NODE]).expect("two terminals");
    let now = Clock::System.now().as_millis();
    let mut ours = BTreeMap::new();
    for day in [now - DAY_MS, now] {
        let date = Timestamp::from_millis(day).civil(&jiff::tz::TimeZone::UTC);
        let date = date.strftime("%y%m%d").to_string().parse().expect("six digits");
        for sequence in 0..ORDERS_MAX {
            let number =
                ChannelOrderNo { order: OrderId::compose(date, NODE, sequence), attempt: 1 };
            let theirs = numbering.of(number).expect("the terminals are not used up");
            let theirs = format!("{}-{:06}", theirs.terminal, theirs.trace);
            ours.insert(theirs, number.to_string());
        }
    }
    ours
}

pub fn in_our_numbers(ledger: &LedgerSnapshot) -> LedgerSnapshot {
    let ours = ours_by_theirs();
    let name = |theirs: &str| ours.get(theirs).expect("one of our numbers").clone();
    ledger.renamed(name)
}
