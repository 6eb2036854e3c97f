//! What channels have shown on orders outlives the process that learnt it.

use serde_json::Value;
use switchyard::simulator::Faults;

use crate::support::core::{Core, Payment};
use crate::support::daemon::{Daemon, INSTALLED};
use crate::support::installation::{CALLER_KEY, Installation};
use crate::support::simulated::{BANK, UNIONPAY};

/// The rates of both channels, as far as they do not tell the time.
async fn rates(core: &Core) -> Vec<Value> {
    let mut all = Vec::new();
    for channel in [BANK, UNIONPAY] {
        let shown = core.get(&format!("/v1/channels/{channel}/rates")).await;
        assert_eq!(shown.status, 200, "{}", shown.body);
        all.push(shown.body["rates"].clone());
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn success_rates_outlive_a_stop_and_a_kill() {
    let town = Installation::new(|channel| channel).await;
    let start = async || {
        let daemon = Daemon::start(town.folder(), &INSTALLED).await;
        town.door.lead_to(Some(daemon.address));
        let core = Core::new(daemon.address, CALLER_KEY);
        (daemon, core)
    };
    let (mut daemon, core) = start().await;
    for payment in [
        Payment::instant("A-1", 500),
        Payment::instant("A-2", 20_000),
        Payment::escrow("A-3", 20_000),
    ] {
        let paid = core.pay(&payment).await;
        assert_eq!(paid.outcome(), (200, "succeeded"), "{}", paid.body);
    }
    let lost = Faults { drop_before: 10_000, ..Faults::calm() };
    town.channels.bank.set_faults(lost).expect("possible faults");
    let open = core.pay(&Payment::instant("A-4", 20_000)).await;
    assert_eq!(open.status, 202, "{}", open.body);
    let learnt = rates(&core).await;
    // The failure is the newest, and weighs a little more.
    let total = |rates: &Value| rates[0]["success_rate_ppm"].as_u64();
    assert!((600_000..666_668).contains(&total(&learnt[0]).expect("a rate")), "{}", learnt[0]);
    assert_eq!((total(&learnt[1]), &learnt[0][0]["samples"]), (Some(1_000_000), &3.into()));

    daemon.signal("TERM");
    assert_eq!(daemon.ended().await.code(), Some(0));
    let (daemon, core) = start().await;
    assert_eq!(rates(&core).await, learnt, "a stop");
    daemon.kill().await;
    let (_daemon, core) = start().await;
    assert_eq!(rates(&core).await, learnt, "a kill");
}
