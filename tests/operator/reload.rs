//! A reload that would move the day's orders: a signal's is held, and a person's yes puts it in
//! force.

use crate::support::core::Core;
use crate::support::daemon::{Daemon, program};
use crate::support::installation::{CALLER_KEY, Installation};
use crate::support::simulated::{BANK, UNIONPAY};

const ALL_TO_UNIONPAY: &str = r#"
[[rule]]
name = "all goes over UnionPay"
strategy = "priority"
channels = ["unionpay"]
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_s_reload_is_held_and_the_command_accepts_it() {
    let town = Installation::new(|channel| channel).await;
    let daemon = Daemon::installed(&town).await;
    let core = Core::new(daemon.address, CALLER_KEY);
    for number in 0..20 {
        assert_eq!(core.channel_of(&format!("A-{number}")).await, BANK);
    }
    town.write_routes(ALL_TO_UNIONPAY);
    daemon.signal("HUP");
    daemon.logged("the reload is held", 1).await;
    assert!(daemon.log().contains("20 of 20 orders (100.00 %)"), "{}", daemon.log());
    assert_eq!(core.channel_of("B-1").await, BANK, "what was in force stays");

    let reload = async |words: &[&str]| {
        let mut command = program(town.folder());
        let url = format!("http://{}", daemon.address);
        command.args(["reload", "--url", &url, "--key", CALLER_KEY, "--reason", "a new contract"]);
        command.args(words);
        let output = tokio::task::spawn_blocking(move || command.output().expect("it starts"));
        let output = output.await.expect("no panic");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), format!("{}{}", text(&output.stdout), text(&output.stderr)))
    };
    let (code, told) = reload(&[]).await;
    assert_eq!(code, Some(1), "{told}");
    assert!(told.contains("harbour-bank to unionpay: 21"), "{told}");
    let files = told.split_once("--files ").and_then(|(_, rest)| rest.split_once(' '));
    let files = files.expect("what names the files").0.to_owned();
    let (code, told) = reload(&["--accept-moves", "--files", "0a1b2c3d4e5f"]).await;
    assert_eq!(code, Some(1), "{told}");
    assert_eq!(core.channel_of("B-2").await, BANK, "it accepted other files");
    let (code, told) = reload(&["--accept-moves", "--files", &files]).await;
    assert_eq!(code, Some(0), "{told}");
    assert!(told.contains("22 of the last day's 22 orders (100.00 %) go elsewhere"), "{told}");
    assert_eq!(core.channel_of("B-3").await, UNIONPAY);
    // The same again touches no plan; a start asks nobody.
    assert!(reload(&[]).await.1.contains("no plan changes"));
}
