//! The latency that the gateway adds to a bank's at a steady 200 payments a second.
//!
//! Arguments: the bank's address, the gateway's address, an API key. Requests go in pairs, one to
//! the bank and one through the gateway, so that both see the same machine; prints p50 and p99 of
//! each and of the difference of the two distributions. `benches/gateway/run` starts the servers.

use std::time::{Duration, Instant};

use reqwest::Client;

const PAYMENTS: u32 = 2_000;
const BETWEEN: Duration = Duration::from_millis(5);

fn main() {
    // `cargo bench` adds a flag of its own.
    let arguments: Vec<String> =
        std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let [bank, gateway, key] = arguments.as_slice() else {
        println!("gateway_latency: run benches/gateway/run, which gives the addresses");
        return;
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(measure(bank, gateway, key));
}

async fn measure(bank: &str, gateway: &str, key: &str) {
    let client = switchyard::workers::client(Duration::from_secs(10)).expect("a client");
    let run = std::process::id();
    let mut direct = Vec::new();
    let mut through = Vec::new();
    let mut ticks = tokio::time::interval(BETWEEN);
    for count in 0..PAYMENTS {
        ticks.tick().await;
        let body = format!(
            "{{\"merchantId\":\"777290058110097\",\"orderNo\":\"9{run:07}{count:09}\",\
             \"sentAt\":\"20260101120000\",\"amount\":1234,\"currency\":\"CNY\",\
             \"card\":{{\"number\":\"6216261000000000018\"}}}}"
        );
        direct.push(time(&client, &format!("http://{bank}/v1/charges"), "", body).await);
        let body = format!(
            "{{\"order_id\":\"l-{run}-{count}\",\"merchant_id\":\"m-1\",\"amount\":1234,\
             \"currency\":\"CNY\",\"card\":{{\"pan\":\"6216261000000000018\"}}}}"
        );
        through.push(time(&client, &format!("http://{gateway}/v1/payments"), key, body).await);
    }
    for (name, times) in [("bank alone", &mut direct), ("through the gateway", &mut through)] {
        times.sort_unstable();
        println!("  {name:<20} p50 {:>6} us   p99 {:>6} us", at(times, 50), at(times, 99));
    }
    let added = |percent| at(&through, percent).saturating_sub(at(&direct, percent));
    println!("  {:<20} p50 {:>6} us   p99 {:>6} us", "added", added(50), added(99));
}

async fn time(client: &Client, url: &str, key: &str, body: String) -> Duration {
    let request = client
        .post(url)
        .header("content-type", "application/json")
        .header("authorization", format!("Bearer {key}"))
        .body(body);
    let started = Instant::now();
    let response = request.send().await.expect("an answer");
    assert_eq!(response.status().as_u16(), 200, "every payment succeeds");
    response.bytes().await.expect("the whole answer");
    started.elapsed()
}

fn at(times: &[Duration], percent: usize) -> u128 {
    times[(times.len() - 1) * percent / 100].as_micros()
}
