//! What other routes would have made of past orders. Nothing is sent and nothing is written, so
//! that whoever may look may ask.

use std::collections::BTreeMap;

use axum::extract::Request;
use http::Method;
use serde_json::{Value, json};

use crate::config::raw::TEXT_BYTES_MAX;
use crate::console::desk::{PageResult, PageVisit};

/// A form of the largest file: each byte of it may be three.
const FORM_BYTES_MAX: usize = 3 * TEXT_BYTES_MAX;
const MILLION: u64 = 1_000_000;

/// `GET /console/routes/what-if`
pub async fn show(visit: PageVisit) -> PageResult {
    let mut page = visit.page("what_if");
    page.ask("known", "/v1/channels").await?;
    page.put("asked", BTreeMap::<String, String>::new());
    page.show()
}

/// `POST /console/routes/what-if`: the report, or what is wrong with the file, above the form as it
/// was sent. Dates are the operator's days, the last one included.
pub async fn replay(visit: PageVisit, request: Request) -> PageResult {
    let fields = visit.form_within(request, FORM_BYTES_MAX).await?;
    let typed = |name: &str| fields.get(name).map(String::as_str).unwrap_or_default();
    // One that is left out is the API's to refuse.
    let from = visit.date(&fields, "from", 0)?;
    let to = visit.date(&fields, "to", 1)?;
    let question = json!({ "from": from, "to": to, "routes": typed("routes") });
    let answer = visit.try_send(Method::POST, "/v1/routes/replay", Some(&question)).await;
    let answer = visit.still_known(answer)?;
    let mut page = visit.page("what_if");
    page.ask("known", "/v1/channels").await?;
    page.put("asked", &fields);
    if !answer.status.is_success() {
        return page.show_refused(answer.status, &answer.body);
    }
    let report = answer.body;
    page.put("moved_ppm", ppm(&report["moved"], &report["orders"]));
    page.put("channels", side_by_side(&report, "channels", ["channel", "currency"]));
    page.put("struck", side_by_side(&report, "struck", ["channel", "reason"]));
    page.put("report", report);
    page.show()
}

/// A part in millionths; none of nothing.
fn ppm(part: &Value, whole: &Value) -> u64 {
    let (part, whole) = (part.as_u64().unwrap_or_default(), whole.as_u64().unwrap_or_default());
    part.saturating_mul(MILLION).checked_div(whole).unwrap_or_default()
}

/// The rows of both sides' lists: of one key together, as `before` and `after`, in its order.
fn side_by_side(report: &Value, list: &str, key: [&str; 2]) -> Vec<Value> {
    let mut rows = BTreeMap::<[String; 2], [Value; 2]>::new();
    for (place, side) in ["in_force", "candidate"].into_iter().enumerate() {
        for row in report[side][list].as_array().into_iter().flatten() {
            let found = key.map(|name| row[name].as_str().unwrap_or_default().to_owned());
            rows.entry(found).or_default()[place] = row.clone();
        }
    }
    let together = rows.into_iter().map(|(found, [before, after])| {
        let mut row = json!({ "before": before, "after": after });
        for (name, value) in key.iter().zip(found) {
            row[*name] = value.into();
        }
        row
    });
    together.collect()
}
