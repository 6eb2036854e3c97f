//! Every operation of the daemon, over sockets, against the channels' own sides of their protocols.
//!
//! The channel files are the shipped ones, led to simulators that were written apart from the
//! adapters. Three parties keep books of their own: we (clearing records), each channel (its
//! ledger), and an accounting system that also looks, whenever a refund or void is to be booked,
//! whether the channel has been asked for it too early (I-7). In the end they must agree line by
//! line, and account by account, on a calm day and on a hostile one; and each channel's statement
//! of the day must agree with our clearing records.

mod accounting;
mod accounts;
mod agree;
mod agreements;
mod lives;
mod services;
mod statements;
#[path = "../support/mod.rs"]
mod support;
mod terminals;
mod town;

use support::core::Core;
use support::installation::{CALLER_KEY, metrics};
use switchyard::app::App;
use switchyard::simulator::Faults;

use crate::lives::Cashier;
use crate::town::{CHANNELS, Channel, LAKESIDE, MEADOW, QUARRY, Town, UNIONPAY};

/// The seed of the hostile day; it fixes what befalls each request.
const SEED: u64 = 20_261_122;
/// How often each life is lived on the hostile day.
const ROUNDS: usize = 4;

struct Day {
    town: Town,
    app: App,
    core: Core,
}

impl Day {
    async fn begin(seed: u64, accounting_failures_percent: u8) -> Self {
        let town = Town::build(seed, accounting_failures_percent).await;
        let app = App::start(town.settings(), &town.data(), metrics()).await.expect("a daemon");
        town.door.lead_to(Some(app.address()));
        let core = Core::new(app.address(), CALLER_KEY);
        Self { town, app, core }
    }

    /// Waits until nothing is owed, compares all books, and stops the daemon.
    async fn end(self) {
        agree::drain(&self.core, &self.town).await;
        agree::compare(&self.core, &self.town).await;
        self.town.end_day();
        statements::compare(&self.core, &self.town).await;
        self.app.stop().await;
    }
}

/// Lives every life that the channel can, one after another, on a calm day.
async fn live_calmly(channel: Channel) {
    let day = Day::begin(1, 0).await;
    let cashier = Cashier::new(day.core.clone());
    for life in channel.lives() {
        life.live(&cashier, channel).await;
    }
    assert_eq!(cashier.refused_by_channels(), 0, "a calm channel does all that it is asked");
    day.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn i_7_unionpay_and_all_books_agree_after_every_operation() {
    live_calmly(UNIONPAY).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn i_7_meadow_bank_and_all_books_agree_after_every_operation() {
    live_calmly(MEADOW).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn i_7_quarry_bank_and_all_books_agree_after_every_operation() {
    live_calmly(QUARRY).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn i_7_lakeside_acquirer_and_all_books_agree_after_every_operation() {
    live_calmly(LAKESIDE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hostile_day_drains_to_nothing_owed_and_no_refund_is_carried_out_twice() {
    println!("seed {SEED}");
    let day = Day::begin(SEED, 10).await;
    // A channel that signs a lie cannot be compared with; forged notices prove nothing and stay.
    day.town.set_faults(Faults { notice_contradicting: 0, ..Faults::hostile() });
    let cashier = Cashier::new(day.core.clone());
    let cashier = &cashier;
    let lived = CHANNELS.into_iter().flat_map(|channel| {
        let rounds = std::iter::repeat_n(channel.lives(), ROUNDS).flatten();
        rounds.map(move |life| life.live(cashier, channel))
    });
    futures_util::future::join_all(lived).await;
    println!("{} follow-ups were refused by their channels", cashier.refused_by_channels());
    assert!(day.town.went_wrong() > 0, "the day was hostile");
    day.town.set_faults(Faults::calm());
    day.end().await;
}
