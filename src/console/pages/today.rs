//! The first page: the day at a glance.

use crate::console::desk::{PageResult, PageVisit};

/// `GET /console`
pub async fn show(visit: PageVisit) -> PageResult {
    let mut page = visit.page("today");
    page.ask("today", "/v1/today").await?;
    page.ask("approvals", "/v1/approvals?limit=100").await?;
    page.show()
}
