//! What a day has left on an operator's desk: unknowns that want a person, bookings that accounting
//! has refused, notices that the core has not taken, and a statement that differs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::any;
use serde_json::json;
use switchyard::app::App;
use switchyard::clock::Clock;
use switchyard::domain::time::{ClearingCalendar, Timestamp};
use switchyard::simulator::{DurationRange, Faults};

use crate::support::core::{Core, Payment};
use crate::support::installation::{CALLER_KEY, Installation, metrics};
use crate::support::simulated::{QUICK_TIMEOUTS, UNIONPAY};
use crate::support::wire::{listen, until};

const DAY_MS: i64 = 24 * 3_600_000;
const DIFFERENCES_PERCENT: u8 = 40;
const PAYMENTS: i64 = 20;
const UNHEARD: i64 = 3;

/// One inquiry, and then a person.
const UNKNOWNS: &str = r#"
inquire = ["100ms"]
then = "operator"
reverse = ["0s"]
not_found_final_after = "2s"
"#;

/// A daemon, and everybody around it.
pub struct Shop {
    pub app: App,
    pub core: Core,
    /// The clearing date of the statement that differs.
    pub date: String,
    pub accounting: Receiver,
    /// The core, which hears of ends.
    pub told: Receiver,
    installation: Installation,
}

/// Somebody who takes everything that is posted, or refuses everything.
pub struct Receiver {
    accepts: Arc<AtomicBool>,
    url: String,
}

impl Receiver {
    async fn start() -> Self {
        let accepts = Arc::new(AtomicBool::new(true));
        let answer = async |State(accepts): State<Arc<AtomicBool>>| {
            if accepts.load(Ordering::SeqCst) {
                StatusCode::OK
            } else {
                StatusCode::UNPROCESSABLE_ENTITY
            }
        };
        let router = Router::new().fallback(any(answer)).with_state(Arc::clone(&accepts));
        Self { accepts, url: format!("http://{}", listen(router).await) }
    }

    pub fn accepts(&self, accepts: bool) {
        self.accepts.store(accepts, Ordering::SeqCst);
    }
}

impl Shop {
    pub async fn open() -> Self {
        // The channel lives some days behind, so that its day is over when it catches up.
        let late_ms = Arc::new(AtomicI64::new(4 * DAY_MS));
        let behind = Arc::clone(&late_ms);
        let installation = Installation::new(move |settings| {
            let behind = Arc::clone(&behind);
            let mut settings = settings.with_differences_percent(DIFFERENCES_PERCENT);
            settings.keeps_refund_fees = true;
            settings.clock = Arc::new(move || {
                let now = Clock::System.now().as_millis();
                Timestamp::from_millis(now - behind.load(Ordering::SeqCst))
            });
            settings
        })
        .await;
        installation.write_channel(UNIONPAY, UNKNOWNS, QUICK_TIMEOUTS);
        let over = "clearing.close_after = \"30d\"\nstatement.carry_days = 1";
        installation.change_channel(UNIONPAY, over);
        let (accounting, told) = (Receiver::start().await, Receiver::start().await);
        let mut settings = installation.settings();
        settings.accounting.url = Some(accounting.url.clone());
        settings.notices.url = Some(told.url.clone());
        settings.notices_retry_for = Duration::from_secs(1);
        let app = App::start(settings, &installation.data(), metrics()).await;
        let app = app.expect("a daemon");
        installation.door.lead_to(Some(app.address()));
        let core = Core::new(app.address(), CALLER_KEY);
        let zone = jiff::tz::TimeZone::get("Asia/Shanghai").expect("a zone");
        let calendar = ClearingCalendar { zone, cut_off: installation.channels.cut_off };
        let then = Clock::System.now().as_millis() - late_ms.load(Ordering::SeqCst);
        let date = calendar.date_of(Timestamp::from_millis(then)).to_string();
        let shop = Self { app, core, date, accounting, told, installation };
        for place in 0..PAYMENTS {
            shop.pay(&format!("P-{place}"), 10_000 + place).await;
        }
        late_ms.store(DAY_MS, Ordering::SeqCst);
        shop.statement_comes().await;
        shop.nobody_hears().await;
        shop.accounting.accepts(false);
        shop.told.accepts(false);
        shop.pay("Q-1", 4_711).await;
        shop.pay("Q-2", 4_712).await;
        let parked = "/v1/accounting-requests?state=parked";
        until("accounting has refused both", async || {
            let rows = shop.core.all(parked, "accounting_requests").await;
            (rows.len() >= 2).then_some(())
        })
        .await;
        until("the core has refused both for too long", async || {
            let rows = shop.core.all("/v1/notices?state=parked", "notices").await;
            (rows.len() >= 2).then_some(())
        })
        .await;
        shop
    }

    async fn pay(&self, order_id: &str, amount: i64) {
        let paid = self.core.pay(&Payment::escrow(order_id, amount)).await;
        assert_eq!(paid.outcome(), (200, "succeeded"), "{}", paid.body);
    }

    /// The statement is run, and what differs is in suspense.
    async fn statement_comes(&self) {
        let path = format!("/v1/channels/{UNIONPAY}/statements/fetch?date={}", self.date);
        let fetched = self.core.post(&path, &json!({})).await;
        assert_eq!(fetched.status, 200, "{}", fetched.body);
        let open = format!("/v1/differences?channel={UNIONPAY}");
        until("what differs is in suspense, and booked", async || {
            let rows = self.core.all(&open, "differences").await;
            let owed = self.core.all("/v1/accounting-requests?state=owed", "accounting_requests");
            let suspended = rows.iter().all(|row| row["state"] == "suspended");
            (!rows.is_empty() && suspended && owed.await.is_empty()).then_some(())
        })
        .await;
    }

    /// Payments whose replies are lost, and whose inquiries are too.
    async fn nobody_hears(&self) {
        let faults = Faults {
            lose_reply: 10_000,
            notice_missing: 10_000,
            hang_for: DurationRange::millis(10, 50),
            ..Faults::calm()
        };
        let unionpay = &self.installation.channels.unionpay;
        unionpay.set_faults(faults).expect("possible faults");
        for place in 0..UNHEARD {
            let payment = Payment::escrow(&format!("U-{place}"), 20_000 + place);
            let unknown = self.core.pay(&payment).await;
            assert_eq!(unknown.outcome(), (202, "unknown"), "{}", unknown.body);
        }
        until("every schedule has run out", async || {
            let rows = self.core.all("/v1/reversals?phase=operator", "reversals").await;
            (rows.len() == usize::try_from(UNHEARD).ok()?).then_some(())
        })
        .await;
        unionpay.set_faults(Faults::calm()).expect("possible faults");
        // The breaker has kept count of the faults.
        until("the breaker lets orders through", async || {
            let channel = self.core.get(&format!("/v1/channels/{UNIONPAY}")).await;
            (channel.body["health"]["breaker_open"] == false).then_some(())
        })
        .await;
    }

    /// A version of the BIN table in which a row is gone and a name has changed.
    pub async fn changes_the_bin_table(&self) {
        let rows = include_str!("../../bin-tables/unionpay.csv").trim_end();
        let (shorter, _) = rows.rsplit_once('\n').expect("rows");
        let table = shorter.to_owned()
            + "\nissuer_code,old_name,new_name,date,source\n01020000,工商银行,新,2020,x\n";
        let source = self.installation.folder().join("table.csv");
        std::fs::write(&source, table).expect("a file");
        let body = json!({ "source": source, "force": true, "reason": "the bank's letter" });
        let taken = self.core.post("/v1/bin-table/refresh", &body).await;
        assert_eq!(taken.status, 200, "{}", taken.body);
    }

    /// Waits until a listing of parked rows is empty.
    pub async fn nothing_is_parked(&self, path: &str, list: &str) {
        until("nothing is parked", async || {
            self.core.all(path, list).await.is_empty().then_some(())
        })
        .await;
    }
}
