//! What is said of workers: their last rounds, and what failed.

use std::io;
use std::sync::Arc;

use serde_json::{Value, json};
use switchyard::workers::StopSignal;
use switchyard::workers::driver::{Tasks, Worker};
use tokio::sync::Notify;

use crate::gateway::{Gateway, members};
use crate::support::wire::until;

/// Fails in its first round, and in tasks of the second one; then all goes well.
struct Clumsy {
    rounds: usize,
    next: Arc<Notify>,
}

impl Worker for Clumsy {
    const NAME: &'static str = "clumsy";

    async fn round(&mut self, tasks: &mut Tasks) -> usize {
        self.rounds += 1;
        match self.rounds {
            1 => tasks.fail("the first round fails", &io::Error::other("no luck")),
            2 => {
                tasks.spawn(async { Err("a row that cannot be worked".to_owned()) });
                tasks.spawn(async { panic!("a defect of a task") });
            }
            _ => {}
        }
        self.rounds
    }

    async fn signal(&mut self) {
        self.next.notified().await;
    }
}

async fn clumsy(gateway: &Gateway) -> Value {
    let workers = gateway.get("auditor", "/v1/workers").await.json();
    let [one] = &workers["workers"].as_array().expect("a list")[..] else { panic!("{workers}") };
    one.clone()
}

#[tokio::test]
async fn a_worker_reports_its_last_round_and_what_failed() {
    let gateway = Gateway::start().await;
    let none = gateway.get("operator", "/v1/workers").await.json();
    assert_eq!(none, json!({ "workers": [] }));
    let (stop, asked) = StopSignal::new();
    let next = Arc::new(Notify::new());
    let worker = Clumsy { rounds: 0, next: Arc::clone(&next) };
    let running = gateway.work(worker, None, asked);
    let shows = async |rows: usize, failures: u64| {
        let look = async || {
            let one = clumsy(&gateway).await;
            (one["rows"] == rows && one["failures"] == failures).then_some(one)
        };
        until("its round is shown", look).await
    };
    let first = shows(1, 1).await;
    assert_eq!(members(&first, &["name", "next_at"]), json!(["clumsy", null]));
    assert_eq!(first["last_failure"], json!({ "at": first["began_at"], "error": "no luck" }));
    assert_eq!(first["ended_at"], first["began_at"], "the clock stands still here");
    next.notify_one();
    shows(2, 1).await;
    gateway.later(std::time::Duration::from_secs(60));
    // What a task came to is known when the next round begins.
    let look = async || {
        next.notify_one();
        Some(clumsy(&gateway).await).filter(|one| one["failures"] == 3)
    };
    let later = until("both tasks have failed", look).await;
    assert!(later["began_at"].as_str() > first["began_at"].as_str(), "{later}");
    assert!(later["last_failure"]["at"].as_str() > first["last_failure"]["at"].as_str());
    stop.send(true).expect("it runs");
    running.await.expect("it does not panic");
}
