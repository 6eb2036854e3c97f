//! The first page: the day at a glance.

use crate::console::desk::{PageResult, PageVisit};

/// `GET /console`
pub async fn show(visit: PageVisit) -> PageResult {
    let mut page = visit.page("today");
    page.ask("today", "/v1/today").await?;
    page.show()
}
